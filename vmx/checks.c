/* SPDX-License-Identifier: MIT */
/*
 * The checks of VM entry, by the table vmx/checks.def: what a rule is about is there, what it takes to
 * say it is here. Nothing of the processor changes.
 */
#include "cpu/control.h"
#include "cpu/cpuid.h"
#include "cpu/msr.h"
#include "cpu/segment.h"
#include "vmx/vmx.h"

/* The VMCS under check, and what many rules ask of it. */
struct check_ctx {
    struct cpu *cpu;
    const struct cpu_model *model;
    const struct vmcs *v;
    u32 pin, primary, exit, entry;
    u32 secondary; /* 0 if they are not activated */
    u32 event;     /* VM-entry interruption information, 0 if not valid */
    bool lma;      /* the processor is in IA-32e mode now */
    bool host_64, ia32e, ept, unrestricted;
    u64 cr0, cr4; /* the guest's, as all below */
    u64 rflags, debugctl, pending, link;
    bool v86; /* the guest will be in virtual-8086 mode */
    u32 activity, blocking;
    struct segment seg[SEG_COUNT];
};

/* A field by its encoding's name */
#define V(ID) vmcs_read(k->v, VMCS_##ID)

static void read_controls(struct check_ctx *k, struct cpu *cpu, const struct vmcs *v)
{
    *k = (struct check_ctx){.cpu = cpu, .model = cpu->model, .v = v};
    k->pin = (u32)V(PIN_CONTROLS);
    k->primary = (u32)V(PRIMARY_CONTROLS);
    k->secondary = k->primary & PRIMARY_SECONDARY ? (u32)V(SECONDARY_CONTROLS) : 0;
    k->exit = (u32)V(VM_EXIT_CONTROLS);
    k->entry = (u32)V(VM_ENTRY_CONTROLS);
    k->event = (u32)V(VM_ENTRY_INTR_INFO);
    if (!(k->event & INTR_VALID))
        k->event = 0;
    k->lma = cpu->efer & EFER_LMA;
    k->host_64 = k->exit & EXIT_HOST_64;
    k->ia32e = k->entry & ENTRY_IA32E_GUEST;
    k->ept = k->secondary & SECONDARY_EPT;
    k->unrestricted = k->secondary & SECONDARY_UNRESTRICTED_GUEST;
    k->cr0 = V(GUEST_CR0);
}

/* The fields of the segment registers lie in the order of enum seg_id. */
#define SEGMENT_FIELD(first, id) vmcs_read(k->v, (enum vmcs_field)((first) + 2 * (id)))

static void read_guest(struct check_ctx *k)
{
    k->cr4 = V(GUEST_CR4);
    k->rflags = V(GUEST_RFLAGS);
    k->debugctl = V(GUEST_DEBUGCTL);
    k->pending = V(GUEST_PENDING_DEBUG_EXCEPTIONS);
    k->link = V(VMCS_LINK_POINTER);
    k->v86 = k->rflags & FLAG_VM;
    k->activity = (u32)V(GUEST_ACTIVITY_STATE);
    k->blocking = (u32)V(GUEST_INTERRUPTIBILITY);
    for (unsigned id = 0; id < SEG_COUNT; id++)
        k->seg[id] = (struct segment){
            .base = SEGMENT_FIELD(VMCS_GUEST_ES_BASE, id),
            .limit = (u32)SEGMENT_FIELD(VMCS_GUEST_ES_LIMIT, id),
            .attr = (u32)SEGMENT_FIELD(VMCS_GUEST_ES_ACCESS_RIGHTS, id),
            .selector = (u16)SEGMENT_FIELD(VMCS_GUEST_ES_SELECTOR, id),
        };
}

/* ---- Addresses and registers ---- */

static bool within_width(const struct check_ctx *k, u64 gpa)
{
    return !(gpa >> k->model->phys_bits);
}

static bool msr_area_fits(const struct check_ctx *k, u64 gpa, u64 count)
{
    return !count || within_width(k, gpa + 16 * count - 1);
}

/* Bases and MSRs may be canonical for the widest linear addresses, whatever CR4.LA57 says. */
static bool canonical(const struct check_ctx *k, u64 val)
{
    return msr_canonical(k->model, val);
}

static bool canonical_under(u64 cr4, u64 val)
{
    return sign_extend(val, cr4 & CR4_LA57 ? 57 : 48) == val;
}

/* What is asked of RIP: it need not be canonical, the highest bit that counts may differ. */
static bool high_bits_equal(const struct check_ctx *k, u64 val)
{
    u64 high = (u64)((s64)val >> k->model->lin_bits);
    return high == 0 || high == UINT64_MAX;
}

static bool cr3_valid(const struct check_ctx *k, u64 val)
{
    return within_width(k, val);
}

static bool pat_valid(u64 pat)
{
    static const u8 types = BIT32(0) | BIT32(1) | BIT32(4) | BIT32(5) | BIT32(6) | BIT32(7);
    for (unsigned n = 0; n < 8; n++) {
        u64 type = BITS(pat, 8 * n + 7, 8 * n);
        if (type > 7 || !(types & BIT32(type)))
            return false;
    }
    return true;
}

static u64 efer_mask(const struct check_ctx *k)
{
    bool xd = !(k->cpu->msr[MSR_MISC_ENABLE] & MISC_ENABLE_XD_DISABLE);
    return (cpuid_has(k->model, FEAT_LM) ? EFER_LME | EFER_LMA : 0) |
           (cpuid_has(k->model, FEAT_SYSCALL) ? EFER_SCE : 0) |
           (cpuid_has(k->model, FEAT_NX) && xd ? EFER_NXE : 0);
}

/* With paging on, LMA is LME. */
static bool efer_active(u64 efer)
{
    return !(efer & EFER_LMA) == !(efer & EFER_LME);
}

/* The bits that cpu/msr.def lets IA32_DEBUGCTL have: LBR, BTF, FREEZE_WHILE_SMM */
#define DEBUGCTL_BTF BIT(1)
#define DEBUGCTL_DEFINED (BIT(0) | DEBUGCTL_BTF | BIT(14))

#define SEL_TI 4u
#define SEL_RPL_TI 7u

/* ---- Control fields ---- */

#define CR3_TARGETS_MAX 4

static bool controls_valid(const struct check_ctx *k, enum vmx_class class, u32 val)
{
    u64 limits = k->cpu->vmx->limits[class];
    u32 ones = (u32)limits, may = (u32)(limits >> 32);
    if (class == CLASS_SECONDARY && !(k->primary & PRIMARY_SECONDARY))
        return true;
    return (val & ones) == ones && !(val & ~may);
}

/* Does the TPR threshold count against VTPR at entry? */
static bool threshold_counts(const struct check_ctx *k)
{
    return (k->primary & PRIMARY_TPR_SHADOW) && !(k->secondary & SECONDARY_APIC_ACCESS);
}

static u8 vtpr(const struct check_ctx *k)
{
    const u8 *page = ram_host_rw(k->v->ram, V(VIRTUAL_APIC_ADDRESS) & PAGE_MASK);
    return page ? page[0x80] : UINT8_MAX;
}

/* ---- The event to be injected ---- */

#define EVENT_VECTOR(event) ((event)&0xffu)
#define EVENT_TYPE(event) BITS(event, 10, 8)
#define EVENT_TYPE_RESERVED 1
#define EVENT_RESERVED_BITS 0x7ffff000u
#define EVENT_LENGTH_MAX 15

static bool injects(const struct check_ctx *k, enum intr_type type)
{
    return k->event && EVENT_TYPE(k->event) == type;
}

/* "Other event" is a pending MTF VM exit. */
static bool event_type_valid(const struct check_ctx *k)
{
    return EVENT_TYPE(k->event) != EVENT_TYPE_RESERVED &&
           (WORKS_PRIMARY_MTF || !injects(k, INTR_OTHER));
}

static bool event_vector_valid(const struct check_ctx *k)
{
    u32 vector = EVENT_VECTOR(k->event);
    switch (EVENT_TYPE(k->event)) {
    case INTR_NMI:
        return vector == EXC_NMI;
    case INTR_HARD_EXCEPTION:
        return vector <= 31;
    case INTR_OTHER:
        return vector == 0;
    default:
        return true;
    }
}

/* Must the event come with an error code? In real-address mode none does. */
static bool event_has_error(const struct check_ctx *k)
{
    const u32 with_error = BIT32(EXC_DF) | BIT32(EXC_TS) | BIT32(EXC_NP) | BIT32(EXC_SS) |
                           BIT32(EXC_GP) | BIT32(EXC_PF) | BIT32(EXC_AC);
    u32 vector = EVENT_VECTOR(k->event);
    return (!k->unrestricted || (k->cr0 & CR0_PE)) && injects(k, INTR_HARD_EXCEPTION) &&
           vector <= 31 && (with_error >> vector & 1);
}

static bool event_is_software(const struct check_ctx *k)
{
    return injects(k, INTR_SOFT_INT) || injects(k, INTR_PRIV_SOFT_EXCEPTION) ||
           injects(k, INTR_SOFT_EXCEPTION);
}

/* IA32_VMX_MISC does not allow a length of 0. */
static bool event_length_valid(const struct check_ctx *k)
{
    u64 length = V(VM_ENTRY_INSTRUCTION_LENGTH);
    return length && length <= EVENT_LENGTH_MAX;
}

/* Is there none, or one that a halted processor takes? */
static bool event_ends_hlt(const struct check_ctx *k)
{
    u32 vector = EVENT_VECTOR(k->event);
    if (injects(k, INTR_HARD_EXCEPTION))
        return vector == EXC_DB || vector == EXC_MC;
    return !event_is_software(k);
}

/* ---- Guest segment registers ---- */

static bool unusable(const struct check_ctx *k, enum seg_id s)
{
    return k->seg[s].attr & ATTR_UNUSABLE;
}

static u32 type(const struct check_ctx *k, enum seg_id s)
{
    return k->seg[s].attr & ATTR_TYPE;
}

static u32 dpl(const struct check_ctx *k, enum seg_id s)
{
    return ATTR_DPL(k->seg[s].attr);
}

/* Are there rules for single bits of its access rights? In virtual-8086 mode all are given. */
static bool rights_count(const struct check_ctx *k, enum seg_id s)
{
    if (s == SEG_TR)
        return true;
    if (k->v86 && s != SEG_LDTR)
        return false;
    return s == SEG_CS || !unusable(k, s);
}

static bool stack_rpl_matches(const struct check_ctx *k)
{
    return SEL_RPL(k->seg[SEG_SS].selector) == SEL_RPL(k->seg[SEG_CS].selector);
}

#define LIMIT_IN_V86 0xffffu
#define RIGHTS_IN_V86 0xf3u

static bool v86_base_valid(const struct check_ctx *k, enum seg_id s)
{
    return !k->v86 || k->seg[s].base == (u64)k->seg[s].selector << 4;
}

static bool v86_limit_valid(const struct check_ctx *k, enum seg_id s)
{
    return !k->v86 || k->seg[s].limit == LIMIT_IN_V86;
}

static bool v86_rights_valid(const struct check_ctx *k, enum seg_id s)
{
    return !k->v86 || k->seg[s].attr == RIGHTS_IN_V86;
}

#define TYPE_DATA_RW (ATTR_RW | ATTR_ACCESSED)
#define TYPE_NONCONFORMING_MAX (ATTR_CODE | ATTR_RW | ATTR_ACCESSED)

/* CS as real-address mode leaves it */
static bool cs_is_data(const struct check_ctx *k)
{
    return type(k, SEG_CS) == TYPE_DATA_RW;
}

static bool cs_is_nonconforming(const struct check_ctx *k)
{
    return (type(k, SEG_CS) & (ATTR_CODE | ATTR_CONFORMING)) == ATTR_CODE;
}

static bool cs_is_conforming(const struct check_ctx *k)
{
    return (type(k, SEG_CS) & (ATTR_CODE | ATTR_CONFORMING)) == (ATTR_CODE | ATTR_CONFORMING);
}

static bool code_type_valid(const struct check_ctx *k)
{
    const u32 code = ATTR_CODE | ATTR_ACCESSED;
    return (type(k, SEG_CS) & code) == code || (k->unrestricted && cs_is_data(k));
}

static bool stack_type_valid(const struct check_ctx *k)
{
    return !rights_count(k, SEG_SS) || (type(k, SEG_SS) & ~ATTR_EXPAND_DOWN) == TYPE_DATA_RW;
}

/* Accessed; if it is code, readable */
static bool data_type_valid(const struct check_ctx *k, enum seg_id s)
{
    u32 t = type(k, s);
    return !rights_count(k, s) || ((t & ATTR_ACCESSED) && (!(t & ATTR_CODE) || (t & ATTR_RW)));
}

static bool data_dpl_valid(const struct check_ctx *k, enum seg_id s)
{
    if (!rights_count(k, s) || k->unrestricted || type(k, s) > TYPE_NONCONFORMING_MAX)
        return true;
    return dpl(k, s) >= SEL_RPL(k->seg[s].selector);
}

static bool code_or_data(const struct check_ctx *k, enum seg_id s)
{
    return !rights_count(k, s) || (k->seg[s].attr & ATTR_S);
}

static bool system_segment(const struct check_ctx *k, enum seg_id s)
{
    return !(k->seg[s].attr & ATTR_S);
}

static bool present(const struct check_ctx *k, enum seg_id s)
{
    return !rights_count(k, s) || (k->seg[s].attr & ATTR_P);
}

static bool rights_low_clear(const struct check_ctx *k, enum seg_id s)
{
    return !rights_count(k, s) || !BITS(k->seg[s].attr, 11, 8);
}

static bool rights_high_clear(const struct check_ctx *k, enum seg_id s)
{
    return !rights_count(k, s) || !BITS(k->seg[s].attr, 31, 17);
}

/* A limit in pages ends with a page's last byte ... */
static bool fine_limit_valid(const struct check_ctx *k, enum seg_id s)
{
    return !rights_count(k, s) || !(k->seg[s].attr & ATTR_G) ||
           (k->seg[s].limit & ~PAGE_MASK) == ~PAGE_MASK;
}

/* ... and one in bytes has 20 bits. */
static bool coarse_limit_valid(const struct check_ctx *k, enum seg_id s)
{
    return !rights_count(k, s) || (k->seg[s].attr & ATTR_G) || !(k->seg[s].limit >> 20);
}

/* TSSs are busy; 16-bit ones are not for IA-32e mode. */
static bool task_type_valid(const struct check_ctx *k)
{
    return type(k, SEG_TR) == TYPE_TSS32_BUSY || (!k->ia32e && type(k, SEG_TR) == TYPE_TSS16_BUSY);
}

static bool guest_64(const struct check_ctx *k)
{
    return k->ia32e && (k->seg[SEG_CS].attr & ATTR_L);
}

/* ---- Guest RFLAGS and non-register state ---- */

/* Bits 63:22, 15, 5 and 3 are 0, bit 1 is 1. */
#define RFLAGS_FIXED (~MASK(22) | BIT(15) | BIT(5) | BIT(3) | FLAG_1)

/* IA32_VMX_MISC promises no activity states but these. */
enum { GUEST_ACTIVE, GUEST_HALTED };

#define BLOCKING_STI BIT32(0)
#define BLOCKING_MOV_SS BIT32(1)
#define BLOCKING_SMI BIT32(2)
#define BLOCKING_NMI BIT32(3)
#define BLOCKING_ENCLAVE BIT32(4)
#define BLOCKING_RESERVED (~UINT32_C(0x1f))

#define PENDING_BREAKPOINTS UINT64_C(0xf)
#define PENDING_BUS_LOCK BIT(11)
#define PENDING_ENABLED BIT(12)
#define PENDING_BS BIT(14)
#define PENDING_RTM BIT(16)

static u64 pending_mask(const struct check_ctx *k)
{
    u64 bus_lock = cpuid_has(k->model, FEAT_BUS_LOCK_DETECT) ? PENDING_BUS_LOCK : 0;
    return PENDING_BREAKPOINTS | bus_lock | PENDING_ENABLED | PENDING_BS | PENDING_RTM;
}

/* Would a debug trap have to wait, so that it is among the pending exceptions? */
static bool debug_waits(const struct check_ctx *k)
{
    return (k->blocking & (BLOCKING_STI | BLOCKING_MOV_SS)) || k->activity == GUEST_HALTED;
}

static bool steps(const struct check_ctx *k)
{
    return (k->rflags & FLAG_TF) && !(k->debugctl & DEBUGCTL_BTF);
}

static bool pending_rtm_valid(const struct check_ctx *k)
{
    return k->pending == (PENDING_RTM | PENDING_ENABLED) && cpuid_has(k->model, FEAT_RTM) &&
           !(k->blocking & BLOCKING_MOV_SS);
}

#define NO_LINK UINT64_MAX

static u32 link_revision(const struct check_ctx *k)
{
    struct vmcs linked = vmcs_at(k->v->ram, k->link);
    return vmcs_revision(&linked);
}

/* ---- Guest page-directory-pointer-table entries ---- */

static bool pdpte_valid(const struct check_ctx *k, unsigned n)
{
    u64 entry, reserved = ~MASK(k->model->phys_bits) | 0x1e6;
    if (!cpu_uses_pdptes(k->cr0, k->cr4, k->ia32e ? EFER_LMA : 0))
        return true;
    if (k->ept)
        entry = vmcs_read(k->v, (enum vmcs_field)(VMCS_GUEST_PDPTE0 + 2 * n));
    else
        entry = bus_read(k->cpu->bus, (V(GUEST_CR3) & 0xffffffe0) + UINT64_C(8) * n, 8);
    return !(entry & 1) || !(entry & reserved);
}

/* ---- The table ---- */

enum check_class { CHECK_CONTROLS, CHECK_HOST, CHECK_GUEST };

/* clang-format off */
enum rule {
#define CHECK(class, id, ...) RULE_##id,
#include "vmx/checks.def"
    RULE_NONE
};

static const struct vmx_check rules[] = {
#define CHECK(class, id, title, ...) {#id, title},
#include "vmx/checks.def"
};

/* The class is a constant: of each expansion only its rows remain. */
static ALWAYS_INLINE enum rule first_broken(const struct check_ctx *k, enum check_class which)
{
#define CHECK(class, id, title, ...)                                                               \
    if (which == CHECK_##class && !(__VA_ARGS__))                                                  \
        return RULE_##id;
#include "vmx/checks.def"
    return RULE_NONE;
}
/* clang-format on */

static const struct vmx_check *find(enum rule rule)
{
    return rule == RULE_NONE ? NULL : &rules[rule];
}

/* SDM "VM Instruction Error Numbers" */
enum { ERR_CONTROLS = 7, ERR_HOST = 8 };

const struct vmx_check *vmx_check_controls(struct cpu *cpu, const struct vmcs *v, u32 *error)
{
    struct check_ctx k;
    read_controls(&k, cpu, v);
    enum rule rule = first_broken(&k, CHECK_CONTROLS);
    *error = ERR_CONTROLS;
    if (rule == RULE_NONE) {
        rule = first_broken(&k, CHECK_HOST);
        *error = ERR_HOST;
    }
    return find(rule);
}

/* SDM "VM-Entry Failures During or After Loading Guest State" */
enum { FAILURE_PDPTE = 2, FAILURE_NMI = 3, FAILURE_LINK = 4 };

static u64 failure(enum rule rule)
{
    switch (rule) {
    case RULE_GUEST_PDPTE0:
    case RULE_GUEST_PDPTE1:
    case RULE_GUEST_PDPTE2:
    case RULE_GUEST_PDPTE3:
        return FAILURE_PDPTE;
    case RULE_GUEST_BLOCKING_STI_NMI:
        return FAILURE_NMI;
    case RULE_GUEST_LINK_ALIGNED:
    case RULE_GUEST_LINK_WIDTH:
    case RULE_GUEST_LINK_REVISION:
    case RULE_GUEST_LINK_SHADOW:
    case RULE_GUEST_LINK_CURRENT:
        return FAILURE_LINK;
    default:
        return 0;
    }
}

const struct vmx_check *vmx_check_guest(struct cpu *cpu, const struct vmcs *v, u64 *qualification)
{
    struct check_ctx k;
    read_controls(&k, cpu, v);
    read_guest(&k);
    enum rule rule = first_broken(&k, CHECK_GUEST);
    *qualification = failure(rule);
    return find(rule);
}
