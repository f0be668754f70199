/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/vmcs.h"

#include "cpu/cpuid.h"

static const u32 encodings[] = {
#define FIELD(id, name, encoding, guard) (encoding),
#include "vmx/vmcs.def"
};

u32 vmcs_random_field(struct rng *r)
{
    return encodings[rng_below(r, ARRAY_SIZE(encodings))];
}

static u64 area(struct rng *r)
{
    return VMX_AREA + (u64)rng_below(r, VMX_AREAS) * PAGE_SIZE;
}

/* ---- A valid VMCS, apart from choices ---- */

struct maker {
    struct world *w;
    struct rng *r;
    struct vmcs v;
    bool ept, real, wide;
};

static void set(const struct maker *m, enum vmcs_field field, u64 value)
{
    vmcs_write(&m->v, field, value);
}

/* Those that must be, those wanted, and some others that may be. */
static u32 controls(const struct maker *m, enum vmx_class class, u32 wanted, u32 never)
{
    u64 limits = vmx_control_limits(&m->w->m.model, class, true);
    u32 may = (u32)(limits >> 32), noise = (u32)rng_next(m->r) & (u32)rng_next(m->r);
    return ((wanted | noise) & may & ~never) | (u32)limits;
}

static void set_controls(const struct maker *m)
{
    u32 secondary = m->ept ? SECONDARY_EPT | SECONDARY_UNRESTRICTED_GUEST : 0;
    u32 never = m->ept ? 0 : SECONDARY_EPT | SECONDARY_UNRESTRICTED_GUEST | SECONDARY_PML;
    u32 pin = controls(m, CLASS_PIN, PIN_NMI, 0);
    u32 primary = controls(m, CLASS_PRIMARY, PRIMARY_SECONDARY, 0);
    if (!(pin & PIN_NMI))
        pin &= ~PIN_VIRTUAL_NMIS;
    if (!(pin & PIN_VIRTUAL_NMIS))
        primary &= ~PRIMARY_NMI_WINDOW;
    set(m, VMCS_PIN_CONTROLS, pin);
    set(m, VMCS_PRIMARY_CONTROLS, primary);
    set(m, VMCS_SECONDARY_CONTROLS, controls(m, CLASS_SECONDARY, secondary, never));
    u32 timer = pin & PIN_PREEMPTION_TIMER ? 0 : EXIT_SAVE_PREEMPTION_TIMER;
    set(m, VMCS_VM_EXIT_CONTROLS, controls(m, CLASS_EXIT, EXIT_HOST_64 | EXIT_LOAD_EFER, timer));
    set(m, VMCS_VM_ENTRY_CONTROLS,
        controls(m, CLASS_ENTRY, ENTRY_LOAD_EFER | (m->wide ? ENTRY_IA32E_GUEST : 0),
                 m->wide ? 0 : ENTRY_IA32E_GUEST));
}

static void set_control_fields(const struct maker *m)
{
    static const enum vmcs_field pages[] = {VMCS_IO_BITMAP_A,
                                            VMCS_IO_BITMAP_B,
                                            VMCS_MSR_BITMAPS,
                                            VMCS_PML_ADDRESS,
                                            VMCS_VMREAD_BITMAP,
                                            VMCS_VIRTUAL_APIC_ADDRESS,
                                            VMCS_VMWRITE_BITMAP,
                                            VMCS_APIC_ACCESS_ADDRESS,
                                            VMCS_VM_EXIT_MSR_STORE_ADDRESS,
                                            VMCS_VM_EXIT_MSR_LOAD_ADDRESS,
                                            VMCS_VM_ENTRY_MSR_LOAD_ADDRESS};
    for (unsigned k = 0; k < ARRAY_SIZE(pages); k++)
        set(m, pages[k], area(m->r));
    set(m, VMCS_VPID, 1 + rng_below(m->r, 3));
    set(m, VMCS_EPT_POINTER, EPT_TABLES | 0x1e | (rng_chance(m->r, 50) ? BIT(6) : 0));
    set(m, VMCS_VMCS_LINK_POINTER, UINT64_MAX);
    set(m, VMCS_EXCEPTION_BITMAP,
        rng_next(m->r) & (rng_chance(m->r, 50) ? rng_next(m->r) : UINT64_MAX));
    set(m, VMCS_CR0_GUEST_HOST_MASK, rng_chance(m->r, 50) ? rng_next(m->r) : 0);
    set(m, VMCS_CR4_GUEST_HOST_MASK, rng_chance(m->r, 50) ? rng_next(m->r) : 0);
    set(m, VMCS_CR0_READ_SHADOW, rng_next(m->r));
    set(m, VMCS_CR4_READ_SHADOW, rng_next(m->r));
    set(m, VMCS_CR3_TARGET_COUNT, rng_below(m->r, 5));
    set(m, VMCS_PML_INDEX, rng_below(m->r, 513));
    set(m, VMCS_PREEMPTION_TIMER_VALUE, rng_below(m->r, 40));
    set(m, VMCS_TSC_OFFSET, rng_next(m->r));
    set(m, VMCS_PLE_GAP, rng_below(m->r, 300));
    set(m, VMCS_PLE_WINDOW, rng_below(m->r, 300));
    set(m, VMCS_TPR_THRESHOLD, rng_below(m->r, 4));
    set(m, VMCS_VM_ENTRY_MSR_LOAD_COUNT, rng_chance(m->r, 5) ? 1 : 0);
    set(m, VMCS_VM_EXIT_MSR_STORE_COUNT, rng_chance(m->r, 2) ? 1 : 0);
}

static void set_host(const struct maker *m)
{
    const struct cpu *cpu = m->w->cpu;
    set(m, VMCS_HOST_CR0, CR0_PE | CR0_NE | CR0_PG | CR0_WP | CR0_ET);
    set(m, VMCS_HOST_CR3, PML4);
    set(m, VMCS_HOST_CR4, CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_VMXE);
    set(m, VMCS_HOST_EFER, EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE);
    set(m, VMCS_HOST_PAT, cpu->pat);
    set(m, VMCS_HOST_CS_SELECTOR, CS64);
    set(m, VMCS_HOST_SS_SELECTOR, DS0);
    set(m, VMCS_HOST_DS_SELECTOR, DS0);
    set(m, VMCS_HOST_TR_SELECTOR, SEL_TSS);
    set(m, VMCS_HOST_TR_BASE, TSS);
    set(m, VMCS_HOST_GDTR_BASE, GDT);
    set(m, VMCS_HOST_IDTR_BASE, IDT);
    set(m, VMCS_HOST_RSP, VMX_STACK);
    set(m, VMCS_HOST_RIP, HOST_CODE + rng_below(m->r, HOST_CODE_SIZE / 64) * 64);
}

static void set_segment(const struct maker *m, unsigned k, u32 selector, u32 limit, u32 rights)
{
    set(m, (enum vmcs_field)(VMCS_GUEST_ES_SELECTOR + 2 * k), selector);
    set(m, (enum vmcs_field)(VMCS_GUEST_ES_BASE + 2 * k), m->real ? (u64)selector << 4 : 0);
    set(m, (enum vmcs_field)(VMCS_GUEST_ES_LIMIT + 2 * k), limit);
    set(m, (enum vmcs_field)(VMCS_GUEST_ES_ACCESS_RIGHTS + 2 * k), rights);
}

static void set_guest_segments(const struct maker *m)
{
    for (unsigned k = 0; k < 6; k++) {
        if (m->real)
            set_segment(m, k, k == 1 ? GUEST_CODE >> 4 : 0x4000, 0xffff, k == 1 ? 0x9b : 0x93);
        else
            set_segment(m, k, k == 1 ? (m->wide ? CS64 : CS32) : DS0, UINT32_MAX,
                        k == 1 ? (m->wide ? 0xa09b : 0xc09b) : 0xc093);
    }
    set_segment(m, 6, 0, 0, 0x10000);
    set_segment(m, 7, SEL_TSS, 0x67, 0x8b);
    set(m, (enum vmcs_field)(VMCS_GUEST_ES_BASE + 14), TSS);
    set(m, VMCS_GUEST_GDTR_BASE, GDT);
    set(m, VMCS_GUEST_GDTR_LIMIT, 0xff);
    set(m, VMCS_GUEST_IDTR_BASE, m->real ? 0 : IDT);
    set(m, VMCS_GUEST_IDTR_LIMIT, m->real ? 0x3ff : 0xfff);
}

static void set_guest(const struct maker *m)
{
    u64 paging = m->wide ? CR0_PG | CR0_PE : m->real ? 0 : CR0_PE;
    set(m, VMCS_GUEST_CR0, CR0_NE | CR0_ET | paging);
    set(m, VMCS_GUEST_CR3, PML4);
    set(m, VMCS_GUEST_CR4, CR4_VMXE | CR4_OSFXSR | (m->wide ? CR4_PAE | CR4_PGE : 0));
    set(m, VMCS_GUEST_EFER, m->wide ? EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE : EFER_NXE);
    set(m, VMCS_GUEST_PAT, m->w->cpu->pat);
    set(m, VMCS_GUEST_DR7, rng_chance(m->r, 10) ? rng_next(m->r) & 0xffff03ff : 0x400);
    set(m, VMCS_GUEST_RSP, m->real ? 0x8000 : VMX_STACK);
    set(m, VMCS_GUEST_RIP, (m->real ? 0 : GUEST_CODE) + rng_below(m->r, GUEST_CODE_SIZE - 16));
    u64 trace = rng_chance(m->r, 5) ? FLAG_TF : 0;
    set(m, VMCS_GUEST_RFLAGS, 2 | (rng_chance(m->r, 70) ? FLAG_IF : 0) | trace);
    set(m, VMCS_GUEST_ACTIVITY_STATE, rng_chance(m->r, 5));
    set_guest_segments(m);
}

/* Interruptions of all types, valid ones mostly. */
static void set_injection(const struct maker *m)
{
    static const struct {
        u32 info, length;
    } events[] = {{0x80000020, 0}, {0x80000202, 0}, {0x80000306, 0}, {0x80000b0d, 0},
                  {0x80000b0e, 0}, {0x80000480, 2}, {0x80000603, 1}, {0x80000501, 1},
                  {0x80000b08, 0}, {0x80000700, 0}, {0x80000b0c, 0}, {0x80000300, 0}};
    if (!rng_chance(m->r, 40))
        return;
    unsigned k = rng_below(m->r, ARRAY_SIZE(events));
    u32 no_error = m->real ? ~(u32)INTR_ERROR_VALID : UINT32_MAX;
    set(m, VMCS_VM_ENTRY_INTR_INFO, events[k].info & no_error);
    set(m, VMCS_VM_ENTRY_INSTRUCTION_LENGTH, events[k].length);
    set(m, VMCS_VM_ENTRY_EXCEPTION_ERROR_CODE,
        (events[k].info & 0xff) == EXC_DF ? 0 : rng_below(m->r, 8));
}

static void make_valid(struct world *w, struct rng *r, const struct vmcs *v)
{
    struct maker m = {.w = w, .r = r, .v = *v, .ept = rng_chance(r, 70)};
    m.real = m.ept && rng_chance(r, 25);
    m.wide = !m.real && (!m.ept || rng_chance(r, 70));
    memset(v->host + 8, 0, PAGE_SIZE - 8);
    set_controls(&m);
    set_control_fields(&m);
    set_host(&m);
    set_guest(&m);
    set_injection(&m);
}

void vmcs_mutate(struct world *w, struct rng *r, unsigned k, unsigned changes)
{
    struct vmcs v = vmcs_at(&w->m.bus.ram, VMX_REGION + k * PAGE_SIZE);
    while (changes--) {
        enum vmcs_field field = (enum vmcs_field)vmcs_random_field(r);
        u64 value = rng_value(r), now = vmcs_read(&v, field);
        if (rng_chance(r, 50))
            value = now ^ BIT(rng_below(r, 64));
        vmcs_write(&v, field, rng_chance(r, 20) ? area(r) : value);
    }
}

void vmcs_make(struct world *w, struct rng *r, unsigned k, enum vmcs_grade grade)
{
    u64 gpa = VMX_REGION + k * PAGE_SIZE;
    struct vmcs v = vmcs_at(&w->m.bus.ram, gpa);
    u32 revision = VMCS_REVISION | (rng_chance(r, 5) ? VMCS_SHADOW : 0);
    put(w, gpa, rng_chance(r, 98) ? revision : (u32)rng_next(r), 4);
    if (grade == VMCS_GRADED) {
        make_valid(w, r, &v);
        vmcs_mutate(w, r, k, rng_chance(r, 50) ? 0 : rng_below(r, 11));
    } else if (grade == VMCS_FIELDS) {
        vmcs_mutate(w, r, k, 300);
    } else {
        for (unsigned at = 8; at < PAGE_SIZE; at += 8)
            put(w, gpa + at, rng_value(r), 8);
    }
}

/* ---- What they lead to ---- */

/* An identity map with gaps, small permissions and now and then an entry that can't be. */
static void ept_tables(struct world *w, struct rng *r)
{
    put(w, EPT_TABLES, (EPT_TABLES + 0x1000) | 7, 8);
    put(w, EPT_TABLES + 0x1000, (EPT_TABLES + 0x2000) | 7, 8);
    put(w, EPT_TABLES + 0x2000, (EPT_TABLES + 0x3000) | 7, 8);
    for (u64 n = 0; n < 256; n++) {
        u64 entry = n << PAGE_SHIFT | 6 << 3 | 7;
        if (rng_chance(r, 4))
            entry ^= rng_below(r, 8);
        if (rng_chance(r, 1))
            entry = rng_value(r);
        put(w, EPT_TABLES + 0x3000 + 8 * n, entry, 8);
    }
}

void vmcs_areas(struct world *w, struct rng *r)
{
    for (unsigned at = 0; at < VMX_AREAS * PAGE_SIZE; at += 8) {
        u64 value = rng_chance(r, 50) ? 0 : rng_value(r) & rng_next(r);
        put(w, VMX_AREA + at, value, 8);
    }
    ept_tables(w, r);
    for (unsigned k = 0; k < PAGE_SIZE / 8; k++) {
        u64 gpa = VMX_REGION + rng_below(r, VMX_REGIONS) * (u64)PAGE_SIZE;
        put(w, VMX_POINTERS + 8 * k, rng_chance(r, 95) ? gpa : rng_value(r), 8);
    }
    put(w, VMX_REGION, VMCS_REVISION, 4);
}
