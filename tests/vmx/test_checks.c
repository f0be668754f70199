/* SPDX-License-Identifier: MIT */
/*
 * The checks of VM entry: from VMCSs that pass them all, each rule of vmx/checks.def is broken on its
 * own by a few changes, and must be the one that is found.
 */
#include <stdio.h>
#include <string.h>

#include "tests/cpu/machine.h"
#include "tests/suite.h"
#include "vmx/vmx.h"

/* ---- VMCSs that pass ---- */

enum { PHYS_BITS = 40 }; /* whatever the model has */
enum {
    REGION = 0xa1000,
    VIRTUAL_APIC = 0xa2000, /* VTPR is 40H */
    LINKED = 0xa3000,       /* a VMCS */
    LINKED_SHADOW = 0xa4000,
    BAD_PDPT = 0xa5000, /* its first entry */
    NOTHING = 0xa6000,  /* zeros */
};

enum base {
    LONG,   /* 64-bit host, 64-bit guest, no secondary control */
    LEGACY, /* 32-bit host on a processor that is not in IA-32e mode, 32-bit guest */
    PAE,    /* 64-bit host, 32-bit guest with EPT and PAE paging */
    REAL,   /* 64-bit host, unrestricted guest in real-address mode */
    V86,    /* PAE in virtual-8086 mode */
    USER,   /* LONG at CPL 3 */
    BASES
};

/* Field := (field & ~clear) | set */
struct change {
    u32 field;
    u64 clear, set;
};
#define TO(ID, val)                                                                                \
    {                                                                                              \
        VMCS_##ID, UINT64_MAX, (val)                                                               \
    }
#define ON(ID, bits)                                                                               \
    {                                                                                              \
        VMCS_##ID, 0, (bits)                                                                       \
    }
#define OFF(ID, bits)                                                                              \
    {                                                                                              \
        VMCS_##ID, (bits), 0                                                                       \
    }
#define CHANGES_MAX 6

/* The control bits again: constants, as the tables here need them. */
enum {
#define CONTROL(class, id, name, bit, ...) BIT_##class##_##id = (bit),
#include "vmx/controls.def"
};
#define C(name) BIT(BIT_##name)
#define PIN(name) ON(PIN_CONTROLS, C(PIN_##name))
#define PRIMARY(name) ON(PRIMARY_CONTROLS, C(PRIMARY_##name))
#define SECONDARY(name) ON(SECONDARY_CONTROLS, C(SECONDARY_##name))

static void apply(const struct vmcs *v, const struct change *changes, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        enum vmcs_field field = (enum vmcs_field)changes[k].field;
        if (changes[k].clear | changes[k].set)
            vmcs_write(v, field, (vmcs_read(v, field) & ~changes[k].clear) | changes[k].set);
    }
}

#define ALL(v, ...)                                                                                \
    do {                                                                                           \
        const struct change all[] = {__VA_ARGS__};                                                 \
        apply(v, all, ARRAY_SIZE(all));                                                            \
    } while (0)

#define CR0_BASE (CR0_PE | CR0_NE | CR0_PG | CR0_ET)
#define EFER_LONG (EFER_LME | EFER_LMA)
#define PAT_RESET UINT64_C(0x0007040600070406)

static void set_controls(const struct vmcs *v, const struct cpu_model *model)
{
    static const struct {
        enum vmcs_field field;
        enum vmx_class class;
        u64 more;
    } controls[] = {
        {VMCS_PIN_CONTROLS, CLASS_PIN, 0},
        {VMCS_PRIMARY_CONTROLS, CLASS_PRIMARY, C(PRIMARY_SECONDARY)},
        {VMCS_SECONDARY_CONTROLS, CLASS_SECONDARY, 0},
        {VMCS_VM_EXIT_CONTROLS, CLASS_EXIT, C(EXIT_HOST_64) | C(EXIT_LOAD_EFER) | C(EXIT_LOAD_PAT)},
        {VMCS_VM_ENTRY_CONTROLS, CLASS_ENTRY,
         C(ENTRY_IA32E_GUEST) | C(ENTRY_LOAD_EFER) | C(ENTRY_LOAD_PAT) | C(ENTRY_LOAD_DEBUG)},
    };
    for (unsigned k = 0; k < ARRAY_SIZE(controls); k++) {
        u32 ones = (u32)vmx_control_limits(model, controls[k].class, true);
        vmcs_write(v, controls[k].field, ones | controls[k].more);
    }
    ALL(v, TO(VIRTUAL_APIC_ADDRESS, VIRTUAL_APIC), TO(VPID, 1),
        TO(EPT_POINTER, 0x1000 | 6 | 3 << 3), TO(VMCS_LINK_POINTER, UINT64_MAX));
}

static void set_host(const struct vmcs *v)
{
    ALL(v, TO(HOST_CR0, CR0_BASE), TO(HOST_CR3, 0x1000), TO(HOST_CR4, CR4_PAE | CR4_VMXE),
        TO(HOST_EFER, EFER_LONG), TO(HOST_PAT, PAT_RESET), TO(HOST_RIP, 0x10000),
        TO(HOST_CS_SELECTOR, 0x18), TO(HOST_SS_SELECTOR, 0x10), TO(HOST_TR_SELECTOR, 0x40));
}

#define SEGMENT(x, selector, base, limit, rights)                                                  \
    TO(GUEST_##x##_SELECTOR, selector), TO(GUEST_##x##_BASE, base), TO(GUEST_##x##_LIMIT, limit),  \
        TO(GUEST_##x##_ACCESS_RIGHTS, rights)
#define DATA_SEGMENTS(...)                                                                         \
    SEGMENT(ES, __VA_ARGS__), SEGMENT(SS, __VA_ARGS__), SEGMENT(DS, __VA_ARGS__),                  \
        SEGMENT(FS, __VA_ARGS__), SEGMENT(GS, __VA_ARGS__)

static void set_guest(const struct vmcs *v)
{
    ALL(v, TO(GUEST_CR0, CR0_BASE), TO(GUEST_CR3, NOTHING), TO(GUEST_CR4, CR4_PAE | CR4_VMXE),
        TO(GUEST_EFER, EFER_LONG), TO(GUEST_PAT, PAT_RESET), TO(GUEST_RIP, 0x10000),
        TO(GUEST_RFLAGS, FLAG_1), TO(GUEST_DR7, 0x400));
    ALL(v, SEGMENT(CS, 0x18, 0, 0xffffffff, 0xa09b), DATA_SEGMENTS(0x10, 0, 0xffffffff, 0xc093),
        SEGMENT(TR, 0x40, 0x3000, 0x67, 0x8b), SEGMENT(LDTR, 0x70, 0x3800, 0xff, 0x82));
}

/* A guest outside IA-32e mode, with EPT */
static void set_pae(const struct vmcs *v)
{
    ALL(v, OFF(VM_ENTRY_CONTROLS, C(ENTRY_IA32E_GUEST)), TO(GUEST_EFER, 0),
        TO(GUEST_CS_ACCESS_RIGHTS, 0xc09b), SECONDARY(EPT));
}

static void set_base(const struct vmcs *v, enum base base)
{
    if (base == PAE || base == V86 || base == REAL || base == LEGACY)
        set_pae(v);
    switch (base) {
    case LEGACY:
        ALL(v, OFF(VM_EXIT_CONTROLS, C(EXIT_HOST_64) | C(EXIT_LOAD_EFER)));
        break;
    case REAL:
        ALL(v, SECONDARY(UNRESTRICTED_GUEST), OFF(GUEST_CR0, CR0_PG | CR0_PE),
            OFF(GUEST_CR4, CR4_PAE), SEGMENT(CS, 0xf000, 0xffff0000, 0xffff, 0x93),
            DATA_SEGMENTS(0, 0, 0xffff, 0x93));
        break;
    case V86:
        ALL(v, ON(GUEST_RFLAGS, FLAG_VM), SEGMENT(CS, 0x1000, 0x10000, 0xffff, 0xf3),
            DATA_SEGMENTS(0x1003, 0x10030, 0xffff, 0xf3));
        break;
    case USER:
        ALL(v, TO(GUEST_CS_SELECTOR, 0x33), TO(GUEST_SS_SELECTOR, 0x2b),
            ON(GUEST_CS_ACCESS_RIGHTS, 0x60), ON(GUEST_SS_ACCESS_RIGHTS, 0x60));
        break;
    default:
        break;
    }
}

struct world {
    struct machine m;
    struct cpu *cpu;
    struct vmcs v;
};

static void put(struct world *w, u64 at, u64 val)
{
    ck_assert(ram_write(&w->m.bus.ram, at, &val, sizeof(val)));
}

static void start(struct world *w)
{
    machine_init(&w->m, 1, NULL);
    w->cpu = w->m.cpu[0];
    w->m.model.features[FEAT_VMX / 64] |= BIT(FEAT_VMX % 64);
    w->m.model.phys_bits = PHYS_BITS;
    vmx_attach(w->cpu);
    put(w, REGION, VMCS_REVISION);
    put(w, VIRTUAL_APIC + 0x80, 0x40);
    put(w, LINKED, VMCS_REVISION);
    put(w, LINKED_SHADOW, VMCS_REVISION | VMCS_SHADOW);
    put(w, BAD_PDPT, 3);
    w->v = vmcs_at(&w->m.bus.ram, REGION);
}

static void build(struct world *w, enum base base)
{
    memset(w->v.host + 16, 0, PAGE_SIZE - 16);
    w->cpu->efer = base == LEGACY ? 0 : EFER_LONG;
    set_controls(&w->v, w->cpu->model);
    set_host(&w->v);
    set_guest(&w->v);
    set_base(&w->v, base);
}

/* ---- One case for each rule, and more where a rule has more to it ---- */

struct breach {
    const char *id;
    enum base base;
    struct change change[CHANGES_MAX];
};

#define BAD_ADDRESS BIT(62) /* not canonical, and wider than any physical address */
#define TOO_WIDE BIT(PHYS_BITS)
#define EVENT(type, vector) TO(VM_ENTRY_INTR_INFO, INTR_VALID | (u32)(type) << 8 | (vector))
#define EVENT_ERROR(type, vector)                                                                  \
    TO(VM_ENTRY_INTR_INFO, INTR_VALID | INTR_ERROR_VALID | (u32)(type) << 8 | (vector))
#define RIGHTS(x, val) TO(GUEST_##x##_ACCESS_RIGHTS, val)
#define RIGHTS_ON(x, bits) ON(GUEST_##x##_ACCESS_RIGHTS, bits)
#define RIGHTS_OFF(x, bits) OFF(GUEST_##x##_ACCESS_RIGHTS, bits)

#define PAGE_BREACHES(id, control, field)                                                          \
    {id "_ALIGNED", LONG, {control, TO(field, 8)}},                                                \
    {                                                                                              \
        id "_WIDTH", LONG,                                                                         \
        {                                                                                          \
            control, TO(field, TOO_WIDE)                                                           \
        }                                                                                          \
    }
#define AREA_BREACHES(id)                                                                          \
    {#id "_ALIGNED", LONG, {TO(id##_COUNT, 1), TO(id##_ADDRESS, 8)}},                              \
        {#id "_WIDTH", LONG, {TO(id##_COUNT, 1), TO(id##_ADDRESS, TOO_WIDE)}},                     \
    {                                                                                              \
#id "_END", LONG,                                                                          \
        {                                                                                          \
            TO(id##_COUNT, 2), TO(id##_ADDRESS, TOO_WIDE - 16)                                     \
        }                                                                                          \
    }
#define SEGMENT_BREACHES(x)                                                                        \
    {"GUEST_" #x "_V86_BASE", V86, {TO(GUEST_##x##_BASE, 0x123)}},                                 \
        {"GUEST_" #x "_V86_LIMIT", V86, {TO(GUEST_##x##_LIMIT, 0xfffff)}},                         \
        {"GUEST_" #x "_V86_RIGHTS", V86, {RIGHTS(x, 0x93)}},                                       \
        {"GUEST_" #x "_S", LONG, {RIGHTS_OFF(x, 0x10)}},                                           \
        {"GUEST_" #x "_PRESENT", LONG, {RIGHTS_OFF(x, 0x80)}},                                     \
        {"GUEST_" #x "_RIGHTS_LOW", LONG, {RIGHTS_ON(x, 0x100)}},                                  \
        {"GUEST_" #x "_G_CLEAR", LONG, {TO(GUEST_##x##_LIMIT, 0xfffffffe)}},                       \
        {"GUEST_" #x "_G_SET", LONG, {RIGHTS_OFF(x, 0x8000)}},                                     \
    {                                                                                              \
        "GUEST_" #x "_RIGHTS_HIGH", LONG,                                                          \
        {                                                                                          \
            RIGHTS_ON(x, BIT(17))                                                                  \
        }                                                                                          \
    }
#define DATA_BREACHES(x)                                                                           \
    SEGMENT_BREACHES(x), {"GUEST_" #x "_TYPE", LONG, {RIGHTS(x, 0xc092)}},                         \
        {"GUEST_" #x "_TYPE", LONG, {RIGHTS(x, 0xc099)}},                                          \
    {                                                                                              \
        "GUEST_" #x "_DPL", LONG,                                                                  \
        {                                                                                          \
            ON(GUEST_##x##_SELECTOR, 3)                                                            \
        }                                                                                          \
    }
#define SYSTEM_BREACHES(x)                                                                         \
    {"GUEST_" #x "_TI", LONG, {ON(GUEST_##x##_SELECTOR, 4)}},                                      \
        {"GUEST_" #x "_BASE", LONG, {TO(GUEST_##x##_BASE, BAD_ADDRESS)}},                          \
        {"GUEST_" #x "_S", LONG, {RIGHTS_ON(x, 0x10)}},                                            \
        {"GUEST_" #x "_PRESENT", LONG, {RIGHTS_OFF(x, 0x80)}},                                     \
        {"GUEST_" #x "_RIGHTS_LOW", LONG, {RIGHTS_ON(x, 0x800)}},                                  \
        {"GUEST_" #x "_G_CLEAR", LONG, {RIGHTS_ON(x, 0x8000)}},                                    \
        {"GUEST_" #x "_G_SET", LONG, {TO(GUEST_##x##_LIMIT, 0x100fff)}},                           \
        {"GUEST_" #x "_RIGHTS_HIGH", LONG, {RIGHTS_ON(x, BIT(31))}},                               \
    {                                                                                              \
        "GUEST_" #x "_TYPE", LONG,                                                                 \
        {                                                                                          \
            RIGHTS(x, 0x83)                                                                        \
        }                                                                                          \
    }

/* clang-format off */
static const struct breach breaches[] = {
    {"PIN_RESERVED", LONG, {ON(PIN_CONTROLS, BIT(9))}},
    {"PIN_RESERVED", LONG, {OFF(PIN_CONTROLS, BIT(1))}},
    {"PRIMARY_RESERVED", LONG, {ON(PRIMARY_CONTROLS, BIT(0))}},
    {"PRIMARY_RESERVED", LONG, {OFF(PRIMARY_CONTROLS, BIT(1))}},
    {"SECONDARY_RESERVED", LONG, {ON(SECONDARY_CONTROLS, BIT(29))}},
    {"CR3_TARGET_COUNT", LONG, {TO(CR3_TARGET_COUNT, 5)}},
    PAGE_BREACHES("IO_BITMAP_A", PRIMARY(IO_BITMAPS), IO_BITMAP_A),
    PAGE_BREACHES("IO_BITMAP_B", PRIMARY(IO_BITMAPS), IO_BITMAP_B),
    PAGE_BREACHES("MSR_BITMAPS", PRIMARY(MSR_BITMAPS), MSR_BITMAPS),
    PAGE_BREACHES("VIRTUAL_APIC", PRIMARY(TPR_SHADOW), VIRTUAL_APIC_ADDRESS),
    {"TPR_THRESHOLD_RESERVED", LONG,
     {PRIMARY(TPR_SHADOW), SECONDARY(APIC_ACCESS), TO(TPR_THRESHOLD, 0x10)}},
    {"TPR_THRESHOLD_VTPR", LONG, {PRIMARY(TPR_SHADOW), TO(TPR_THRESHOLD, 5)}},
    {"VIRTUAL_NMIS", LONG, {PIN(VIRTUAL_NMIS)}},
    {"NMI_WINDOW", LONG, {PIN(NMI), PRIMARY(NMI_WINDOW)}},
    PAGE_BREACHES("APIC_ACCESS", SECONDARY(APIC_ACCESS), APIC_ACCESS_ADDRESS),
    {"VPID_ZERO", LONG, {SECONDARY(VPID), TO(VPID, 0)}},
    {"EPT_POINTER", LONG, {SECONDARY(EPT), TO(EPT_POINTER, 0x1000 | 5 | 3 << 3)}},
    {"EPT_POINTER", LONG, {SECONDARY(EPT), TO(EPT_POINTER, TOO_WIDE | 6 | 3 << 3)}},
    {"PML_EPT", LONG, {SECONDARY(PML)}},
    {"PML_ALIGNED", PAE, {SECONDARY(PML), TO(PML_ADDRESS, 1)}},
    {"PML_WIDTH", PAE, {SECONDARY(PML), TO(PML_ADDRESS, TOO_WIDE)}},
    {"UNRESTRICTED_GUEST_EPT", LONG, {SECONDARY(UNRESTRICTED_GUEST)}},
    PAGE_BREACHES("VMREAD_BITMAP", SECONDARY(VMCS_SHADOWING), VMREAD_BITMAP),
    PAGE_BREACHES("VMWRITE_BITMAP", SECONDARY(VMCS_SHADOWING), VMWRITE_BITMAP),

    {"EXIT_RESERVED", LONG, {OFF(VM_EXIT_CONTROLS, BIT(0))}},
    {"SAVE_PREEMPTION_TIMER", LONG, {ON(VM_EXIT_CONTROLS, C(EXIT_SAVE_PREEMPTION_TIMER))}},
    AREA_BREACHES(VM_EXIT_MSR_STORE),
    AREA_BREACHES(VM_EXIT_MSR_LOAD),

    {"ENTRY_RESERVED", LONG, {OFF(VM_ENTRY_CONTROLS, BIT(0))}},
    {"ENTRY_RESERVED", LONG, {ON(VM_ENTRY_CONTROLS, C(ENTRY_SMM))}},
    {"ENTRY_RESERVED", LONG, {ON(VM_ENTRY_CONTROLS, C(ENTRY_DEACTIVATE_DUAL_MONITOR))}},
    {"EVENT_TYPE", LONG, {EVENT(1, 0)}},
    {"EVENT_VECTOR", LONG, {EVENT(INTR_NMI, 3)}},
    {"EVENT_VECTOR", LONG, {EVENT(INTR_HARD_EXCEPTION, 32)}},
    {"EVENT_VECTOR", LONG, {EVENT(INTR_OTHER, 1)}},
    {"EVENT_HAS_ERROR", LONG, {EVENT(INTR_HARD_EXCEPTION, EXC_GP)}},
    {"EVENT_HAS_ERROR", LONG, {EVENT_ERROR(INTR_HARD_EXCEPTION, EXC_UD)}},
    {"EVENT_HAS_ERROR", LONG, {EVENT_ERROR(INTR_EXTERNAL, EXC_GP)}},
    {"EVENT_HAS_ERROR", REAL, {EVENT_ERROR(INTR_HARD_EXCEPTION, EXC_GP)}},
    {"EVENT_RESERVED", LONG, {EVENT(INTR_NMI, EXC_NMI), ON(VM_ENTRY_INTR_INFO, BIT(12))}},
    {"EVENT_RESERVED", LONG, {EVENT(INTR_NMI, EXC_NMI), ON(VM_ENTRY_INTR_INFO, BIT(30))}},
    {"EVENT_ERROR_CODE", LONG,
     {EVENT_ERROR(INTR_HARD_EXCEPTION, EXC_PF), TO(VM_ENTRY_EXCEPTION_ERROR_CODE, BIT(16))}},
    {"EVENT_LENGTH", LONG, {EVENT(INTR_SOFT_INT, 0x80)}},
    {"EVENT_LENGTH", LONG, {EVENT(INTR_SOFT_EXCEPTION, 3), TO(VM_ENTRY_INSTRUCTION_LENGTH, 16)}},
    {"EVENT_LENGTH", LONG, {EVENT(INTR_PRIV_SOFT_EXCEPTION, 1)}},
    AREA_BREACHES(VM_ENTRY_MSR_LOAD),

    {"HOST_CR0", LONG, {OFF(HOST_CR0, CR0_NE)}},
    {"HOST_CR0", LONG, {OFF(HOST_CR0, CR0_PG)}},
    {"HOST_CR4", LONG, {OFF(HOST_CR4, CR4_VMXE)}},
    {"HOST_CR4", LONG, {ON(HOST_CR4, BIT(31))}},
    {"HOST_CR3", LONG, {ON(HOST_CR3, TOO_WIDE)}},
    {"HOST_CR3", LONG, {ON(HOST_CR3, BIT(63))}},
    {"HOST_SYSENTER_ESP", LONG, {TO(HOST_SYSENTER_ESP, BAD_ADDRESS)}},
    {"HOST_SYSENTER_EIP", LONG, {TO(HOST_SYSENTER_EIP, BAD_ADDRESS)}},
    {"HOST_PAT", LONG, {TO(HOST_PAT, 2)}},
    {"HOST_PAT", LONG, {TO(HOST_PAT, BIT(59))}},
    {"HOST_EFER_RESERVED", LONG, {ON(HOST_EFER, BIT(1))}},
    {"HOST_EFER_LMA", LONG, {OFF(HOST_EFER, EFER_LMA)}},
    {"HOST_EFER_LME", LONG, {OFF(HOST_EFER, EFER_LME)}},

    {"HOST_CS_RPL_TI", LONG, {ON(HOST_CS_SELECTOR, 1)}},
    {"HOST_SS_RPL_TI", LONG, {ON(HOST_SS_SELECTOR, 2)}},
    {"HOST_DS_RPL_TI", LONG, {ON(HOST_DS_SELECTOR, 3)}},
    {"HOST_ES_RPL_TI", LONG, {ON(HOST_ES_SELECTOR, 4)}},
    {"HOST_FS_RPL_TI", LONG, {ON(HOST_FS_SELECTOR, 1)}},
    {"HOST_GS_RPL_TI", LONG, {ON(HOST_GS_SELECTOR, 4)}},
    {"HOST_TR_RPL_TI", LONG, {ON(HOST_TR_SELECTOR, 4)}},
    {"HOST_CS_NULL", LONG, {TO(HOST_CS_SELECTOR, 0)}},
    {"HOST_TR_NULL", LONG, {TO(HOST_TR_SELECTOR, 0)}},
    {"HOST_SS_NULL", LEGACY, {TO(HOST_SS_SELECTOR, 0)}},
    {"HOST_FS_BASE", LONG, {TO(HOST_FS_BASE, BAD_ADDRESS)}},
    {"HOST_GS_BASE", LONG, {TO(HOST_GS_BASE, BAD_ADDRESS)}},
    {"HOST_GDTR_BASE", LONG, {TO(HOST_GDTR_BASE, BAD_ADDRESS)}},
    {"HOST_IDTR_BASE", LONG, {TO(HOST_IDTR_BASE, BAD_ADDRESS)}},
    {"HOST_TR_BASE", LONG, {TO(HOST_TR_BASE, BAD_ADDRESS)}},

    {"LEGACY_IA32E_GUEST", LEGACY, {ON(VM_ENTRY_CONTROLS, C(ENTRY_IA32E_GUEST))}},
    {"LEGACY_HOST_64", LEGACY, {ON(VM_EXIT_CONTROLS, C(EXIT_HOST_64))}},
    {"LONG_HOST_64", LONG, {OFF(VM_EXIT_CONTROLS, C(EXIT_HOST_64) | C(EXIT_LOAD_EFER))}},
    {"HOST_32_PCIDE", LEGACY, {ON(HOST_CR4, CR4_PCIDE)}},
    {"HOST_32_RIP", LEGACY, {ON(HOST_RIP, BIT(32))}},
    {"HOST_64_PAE", LONG, {OFF(HOST_CR4, CR4_PAE)}},
    {"HOST_64_RIP", LONG, {TO(HOST_RIP, BAD_ADDRESS)}},
    {"HOST_64_RIP", LONG, {TO(HOST_RIP, BIT(47))}},

    {"GUEST_CR0", LONG, {OFF(GUEST_CR0, CR0_NE)}},
    {"GUEST_CR0", PAE, {OFF(GUEST_CR0, CR0_PG)}},
    {"GUEST_CR0", REAL, {ON(GUEST_CR0, BIT(32))}},
    {"GUEST_CR0_PG_PE", REAL, {ON(GUEST_CR0, CR0_PG)}},
    {"GUEST_CR4", LONG, {OFF(GUEST_CR4, CR4_VMXE)}},
    {"GUEST_DEBUGCTL", LONG, {TO(GUEST_DEBUGCTL, BIT(2))}},
    {"GUEST_IA32E_PG", LONG,
     {SECONDARY(EPT), SECONDARY(UNRESTRICTED_GUEST), OFF(GUEST_CR0, CR0_PG)}},
    {"GUEST_IA32E_PAE", LONG, {OFF(GUEST_CR4, CR4_PAE)}},
    {"GUEST_PCIDE", PAE, {ON(GUEST_CR4, CR4_PCIDE)}},
    {"GUEST_CR3", LONG, {ON(GUEST_CR3, TOO_WIDE)}},
    {"GUEST_DR7", LONG, {ON(GUEST_DR7, BIT(32))}},
    {"GUEST_SYSENTER_ESP", LONG, {TO(GUEST_SYSENTER_ESP, BAD_ADDRESS)}},
    {"GUEST_SYSENTER_EIP", LONG, {TO(GUEST_SYSENTER_EIP, BAD_ADDRESS)}},
    {"GUEST_PAT", LONG, {TO(GUEST_PAT, UINT64_C(3) << 32)}},
    {"GUEST_EFER_RESERVED", LONG, {ON(GUEST_EFER, BIT(9))}},
    {"GUEST_EFER_LMA", LONG, {OFF(GUEST_EFER, EFER_LONG)}},
    {"GUEST_EFER_LMA", PAE, {ON(GUEST_EFER, EFER_LONG)}},
    {"GUEST_EFER_LME", LONG, {OFF(GUEST_EFER, EFER_LME)}},
    {"GUEST_EFER_LME", PAE, {ON(GUEST_EFER, EFER_LME)}},

    SYSTEM_BREACHES(TR),
    SYSTEM_BREACHES(LDTR),
    SEGMENT_BREACHES(CS),
    SEGMENT_BREACHES(SS),
    DATA_BREACHES(DS),
    DATA_BREACHES(ES),
    DATA_BREACHES(FS),
    DATA_BREACHES(GS),
    {"GUEST_SS_RPL", LONG, {ON(GUEST_CS_SELECTOR, 1)}},
    {"GUEST_FS_BASE", LONG, {TO(GUEST_FS_BASE, BAD_ADDRESS)}},
    {"GUEST_GS_BASE", LONG, {TO(GUEST_GS_BASE, BAD_ADDRESS)}},
    {"GUEST_CS_BASE", LONG, {TO(GUEST_CS_BASE, BIT(32))}},
    {"GUEST_SS_BASE", LONG, {TO(GUEST_SS_BASE, BIT(32))}},
    {"GUEST_DS_BASE", LONG, {TO(GUEST_DS_BASE, BIT(32))}},
    {"GUEST_ES_BASE", LONG, {TO(GUEST_ES_BASE, BIT(32))}},
    {"GUEST_CS_TYPE", LONG, {RIGHTS(CS, 0xa09a)}},
    {"GUEST_CS_TYPE", LONG, {RIGHTS(CS, 0xa093)}},
    {"GUEST_CS_TYPE", REAL, {RIGHTS(CS, 0x97)}},
    {"GUEST_SS_TYPE", LONG, {RIGHTS(SS, 0xc091)}},
    {"GUEST_SS_TYPE", LONG, {RIGHTS(SS, 0xc09b)}},
    {"GUEST_CS_DPL_DATA", REAL, {RIGHTS_ON(CS, 0x60)}},
    {"GUEST_CS_DPL_NONCONFORMING", LONG, {RIGHTS_ON(CS, 0x60)}},
    {"GUEST_CS_DPL_CONFORMING", LONG, {RIGHTS(CS, 0xa0ff)}},
    {"GUEST_SS_DPL_RPL", LONG, {RIGHTS(CS, 0xa09f), RIGHTS_ON(SS, 0x60)}},
    {"GUEST_SS_DPL_REAL", REAL, {RIGHTS_ON(SS, 0x60)}},
    {"GUEST_SS_DPL_REAL", REAL, {RIGHTS(CS, 0x9f), RIGHTS_ON(SS, 0x60)}},
    {"GUEST_CS_DB", LONG, {RIGHTS_ON(CS, 0x4000)}},
    {"GUEST_TR_TYPE", LONG, {RIGHTS(TR, 0x89)}},
    {"GUEST_TR_TYPE", PAE, {RIGHTS(TR, 0x81)}},
    {"GUEST_TR_UNUSABLE", LONG, {RIGHTS_ON(TR, BIT(16))}},

    {"GUEST_GDTR_BASE", LONG, {TO(GUEST_GDTR_BASE, BAD_ADDRESS)}},
    {"GUEST_IDTR_BASE", LONG, {TO(GUEST_IDTR_BASE, BAD_ADDRESS)}},
    {"GUEST_GDTR_LIMIT", LONG, {TO(GUEST_GDTR_LIMIT, BIT(16))}},
    {"GUEST_IDTR_LIMIT", LONG, {TO(GUEST_IDTR_LIMIT, BIT(31))}},

    {"GUEST_RIP_32", PAE, {ON(GUEST_RIP, BIT(32))}},
    {"GUEST_RIP_32", LONG, {RIGHTS(CS, 0xc09b), ON(GUEST_RIP, BIT(32))}},
    {"GUEST_RIP_64", LONG, {ON(GUEST_RIP, BAD_ADDRESS)}},
    {"GUEST_RFLAGS_RESERVED", LONG, {OFF(GUEST_RFLAGS, FLAG_1)}},
    {"GUEST_RFLAGS_RESERVED", LONG, {ON(GUEST_RFLAGS, BIT(3))}},
    {"GUEST_RFLAGS_RESERVED", LONG, {ON(GUEST_RFLAGS, BIT(5))}},
    {"GUEST_RFLAGS_RESERVED", LONG, {ON(GUEST_RFLAGS, BIT(15))}},
    {"GUEST_RFLAGS_RESERVED", LONG, {ON(GUEST_RFLAGS, BIT(22))}},
    {"GUEST_RFLAGS_VM", V86,
     {ON(VM_ENTRY_CONTROLS, C(ENTRY_IA32E_GUEST)), TO(GUEST_EFER, EFER_LONG)}},
    {"GUEST_RFLAGS_VM", V86, {SECONDARY(UNRESTRICTED_GUEST), OFF(GUEST_CR0, CR0_PE | CR0_PG)}},
    {"GUEST_RFLAGS_IF", LONG, {EVENT(INTR_EXTERNAL, 0x20)}},

    {"GUEST_ACTIVITY", LONG, {TO(GUEST_ACTIVITY_STATE, 2)}},
    {"GUEST_ACTIVITY", LONG, {TO(GUEST_ACTIVITY_STATE, 3)}},
    {"GUEST_ACTIVITY_DPL", USER, {TO(GUEST_ACTIVITY_STATE, 1)}},
    {"GUEST_ACTIVITY_BLOCKING", LONG,
     {TO(GUEST_ACTIVITY_STATE, 1), ON(GUEST_RFLAGS, FLAG_IF), TO(GUEST_INTERRUPTIBILITY, 1)}},
    {"GUEST_ACTIVITY_BLOCKING", LONG,
     {TO(GUEST_ACTIVITY_STATE, 1), TO(GUEST_INTERRUPTIBILITY, 2)}},
    {"GUEST_ACTIVITY_EVENT", LONG,
     {TO(GUEST_ACTIVITY_STATE, 1), EVENT_ERROR(INTR_HARD_EXCEPTION, EXC_GP)}},
    {"GUEST_ACTIVITY_EVENT", LONG,
     {TO(GUEST_ACTIVITY_STATE, 1), EVENT(INTR_SOFT_INT, 3), TO(VM_ENTRY_INSTRUCTION_LENGTH, 2)}},
    {"GUEST_BLOCKING_RESERVED", LONG, {TO(GUEST_INTERRUPTIBILITY, BIT(5))}},
    {"GUEST_BLOCKING_BOTH", LONG, {TO(GUEST_INTERRUPTIBILITY, 3), ON(GUEST_RFLAGS, FLAG_IF)}},
    {"GUEST_BLOCKING_STI_IF", LONG, {TO(GUEST_INTERRUPTIBILITY, 1)}},
    {"GUEST_BLOCKING_INTR", LONG,
     {EVENT(INTR_EXTERNAL, 0x20), TO(GUEST_INTERRUPTIBILITY, 1), ON(GUEST_RFLAGS, FLAG_IF)}},
    {"GUEST_BLOCKING_INTR", LONG,
     {EVENT(INTR_EXTERNAL, 0x20), TO(GUEST_INTERRUPTIBILITY, 2), ON(GUEST_RFLAGS, FLAG_IF)}},
    {"GUEST_BLOCKING_MOV_SS_NMI", LONG, {EVENT(INTR_NMI, EXC_NMI), TO(GUEST_INTERRUPTIBILITY, 2)}},
    {"GUEST_BLOCKING_SMI", LONG, {TO(GUEST_INTERRUPTIBILITY, 4)}},
    {"GUEST_BLOCKING_STI_NMI", LONG,
     {EVENT(INTR_NMI, EXC_NMI), TO(GUEST_INTERRUPTIBILITY, 1), ON(GUEST_RFLAGS, FLAG_IF)}},
    {"GUEST_BLOCKING_NMI", LONG,
     {EVENT(INTR_NMI, EXC_NMI), TO(GUEST_INTERRUPTIBILITY, 8), PIN(NMI), PIN(VIRTUAL_NMIS)}},
    {"GUEST_BLOCKING_ENCLAVE", LONG, {TO(GUEST_INTERRUPTIBILITY, 16)}},
    {"GUEST_PENDING_RESERVED", LONG, {TO(GUEST_PENDING_DEBUG_EXCEPTIONS, BIT(4))}},
    {"GUEST_PENDING_RESERVED", LONG, {TO(GUEST_PENDING_DEBUG_EXCEPTIONS, BIT(13))}},
    {"GUEST_PENDING_RESERVED", LONG, {TO(GUEST_PENDING_DEBUG_EXCEPTIONS, BIT(63))}},
    {"GUEST_PENDING_BS_SET", LONG, {TO(GUEST_INTERRUPTIBILITY, 2), ON(GUEST_RFLAGS, FLAG_TF)}},
    {"GUEST_PENDING_BS_SET", LONG, {TO(GUEST_ACTIVITY_STATE, 1), ON(GUEST_RFLAGS, FLAG_TF)}},
    {"GUEST_PENDING_BS_CLEAR", LONG,
     {TO(GUEST_INTERRUPTIBILITY, 2), TO(GUEST_PENDING_DEBUG_EXCEPTIONS, BIT(14))}},
    {"GUEST_PENDING_BS_CLEAR", LONG,
     {TO(GUEST_INTERRUPTIBILITY, 2), TO(GUEST_PENDING_DEBUG_EXCEPTIONS, BIT(14)),
      ON(GUEST_RFLAGS, FLAG_TF), TO(GUEST_DEBUGCTL, 2)}},
    {"GUEST_PENDING_RTM", LONG, {TO(GUEST_PENDING_DEBUG_EXCEPTIONS, BIT(16) | BIT(12))}},
    {"GUEST_LINK_ALIGNED", LONG, {TO(VMCS_LINK_POINTER, LINKED + 1)}},
    {"GUEST_LINK_WIDTH", LONG, {TO(VMCS_LINK_POINTER, TOO_WIDE)}},
    {"GUEST_LINK_REVISION", LONG, {TO(VMCS_LINK_POINTER, NOTHING)}},
    {"GUEST_LINK_SHADOW", LONG, {TO(VMCS_LINK_POINTER, LINKED_SHADOW)}},
    {"GUEST_LINK_SHADOW", LONG, {TO(VMCS_LINK_POINTER, LINKED), SECONDARY(VMCS_SHADOWING)}},
    {"GUEST_LINK_CURRENT", LONG, {TO(VMCS_LINK_POINTER, REGION)}},

    {"GUEST_PDPTE0", PAE, {TO(GUEST_PDPTE0, 3)}},
    {"GUEST_PDPTE1", PAE, {TO(GUEST_PDPTE1, TOO_WIDE | 1)}},
    {"GUEST_PDPTE2", PAE, {TO(GUEST_PDPTE2, BIT(63) | 1)}},
    {"GUEST_PDPTE3", PAE, {TO(GUEST_PDPTE3, 0x101)}},
    {"GUEST_PDPTE0", LEGACY,
     {OFF(SECONDARY_CONTROLS, C(SECONDARY_EPT)), TO(GUEST_CR3, BAD_PDPT)}},
};

/* ---- What is no breach ---- */

static const struct breach passes[] = {
    {"secondary controls are off", LONG,
     {OFF(PRIMARY_CONTROLS, C(PRIMARY_SECONDARY)), TO(SECONDARY_CONTROLS, UINT32_MAX)}},
    {"addresses that don't count", LONG,
     {TO(IO_BITMAP_A, 1), TO(MSR_BITMAPS, 1), TO(VIRTUAL_APIC_ADDRESS, 1), TO(PML_ADDRESS, 1),
      TO(VM_ENTRY_MSR_LOAD_ADDRESS, 1), TO(EPT_POINTER, 0)}},
    {"area up to the end", LONG,
     {TO(VM_EXIT_MSR_LOAD_COUNT, 2), TO(VM_EXIT_MSR_LOAD_ADDRESS, TOO_WIDE - 32)}},
    {"threshold at VTPR", LONG, {PRIMARY(TPR_SHADOW), TO(TPR_THRESHOLD, 4)}},
    {"threshold with APIC accesses", LONG,
     {PRIMARY(TPR_SHADOW), SECONDARY(APIC_ACCESS), TO(TPR_THRESHOLD, 15)}},
    {"NMI window", LONG, {PIN(NMI), PIN(VIRTUAL_NMIS), PRIMARY(NMI_WINDOW)}},
    {"event not valid", LONG, {TO(VM_ENTRY_INTR_INFO, 0x7fffffff)}},
    {"#GP", LONG, {EVENT_ERROR(INTR_HARD_EXCEPTION, EXC_GP)}},
    {"#GP in real-address mode", REAL, {EVENT(INTR_HARD_EXCEPTION, EXC_GP)}},
    {"INT 80H", LONG, {EVENT(INTR_SOFT_INT, 0x80), TO(VM_ENTRY_INSTRUCTION_LENGTH, 15)}},
    {"monitor trap", LONG, {EVENT(INTR_OTHER, 0)}},
    {"interrupt", LONG, {EVENT(INTR_EXTERNAL, 0xff), ON(GUEST_RFLAGS, FLAG_IF)}},
    {"NMI blocked, physically", LONG, {EVENT(INTR_NMI, EXC_NMI), TO(GUEST_INTERRUPTIBILITY, 8)}},
    {"HLT", LONG, {TO(GUEST_ACTIVITY_STATE, 1)}},
    {"HLT and NMI", LONG, {TO(GUEST_ACTIVITY_STATE, 1), EVENT(INTR_NMI, EXC_NMI)}},
    {"HLT and #DB", LONG, {TO(GUEST_ACTIVITY_STATE, 1), EVENT(INTR_HARD_EXCEPTION, EXC_DB)}},
    {"HLT and interrupt", LONG,
     {TO(GUEST_ACTIVITY_STATE, 1), EVENT(INTR_EXTERNAL, 0x20), ON(GUEST_RFLAGS, FLAG_IF)}},
    {"HLT in real-address mode", REAL, {TO(GUEST_ACTIVITY_STATE, 1)}},
    {"null host SS", LONG, {TO(HOST_SS_SELECTOR, 0)}},
    {"host MSRs not loaded", LONG,
     {OFF(VM_EXIT_CONTROLS, C(EXIT_LOAD_EFER) | C(EXIT_LOAD_PAT)), TO(HOST_EFER, 0),
      TO(HOST_PAT, 2)}},
    {"guest MSRs not loaded", LONG,
     {OFF(VM_ENTRY_CONTROLS, C(ENTRY_LOAD_EFER) | C(ENTRY_LOAD_PAT) | C(ENTRY_LOAD_DEBUG)),
      TO(GUEST_EFER, 0), TO(GUEST_PAT, 2), TO(GUEST_DR7, BIT(63)), TO(GUEST_DEBUGCTL, BIT(2))}},
    {"EFER.LME without paging", REAL, {TO(GUEST_EFER, EFER_LME)}},
    {"compatibility mode", LONG, {RIGHTS(CS, 0xc09b)}},
    {"conforming code", LONG, {RIGHTS(CS, 0xa09f)}},
    {"readable code in DS", LONG, {RIGHTS(DS, 0xc09f), ON(GUEST_DS_SELECTOR, 3)}},
    {"unusable segments", LONG,
     {RIGHTS(SS, BIT(16)), RIGHTS(DS, BIT(31) | BIT(16)), TO(GUEST_DS_BASE, BIT(40)),
      RIGHTS(LDTR, BIT(16)), TO(GUEST_LDTR_BASE, BAD_ADDRESS), ON(GUEST_LDTR_SELECTOR, 4)}},
    {"unrestricted guest in protected mode", PAE,
     {SECONDARY(UNRESTRICTED_GUEST), OFF(GUEST_CR0, CR0_PG), ON(GUEST_SS_SELECTOR, 3),
      ON(GUEST_DS_SELECTOR, 3)}},
    {"16-bit TSS", PAE, {RIGHTS(TR, 0x83)}},
    {"RIP not canonical", LONG, {TO(GUEST_RIP, BIT(56))}},
    {"virtual-8086 mode, unrestricted", V86, {SECONDARY(UNRESTRICTED_GUEST)}},
    {"stepping over MOV SS", LONG,
     {TO(GUEST_INTERRUPTIBILITY, 2), ON(GUEST_RFLAGS, FLAG_TF),
      TO(GUEST_PENDING_DEBUG_EXCEPTIONS, BIT(14) | BIT(12) | 0xf)}},
    {"linked VMCS", LONG, {TO(VMCS_LINK_POINTER, LINKED)}},
    {"linked shadow VMCS", LONG, {TO(VMCS_LINK_POINTER, LINKED_SHADOW), SECONDARY(VMCS_SHADOWING)}},
    {"absent PDPTEs", PAE, {TO(GUEST_PDPTE0, 0xffe), TO(GUEST_PDPTE3, NOTHING | 0xe19)}},
    {"PDPTEs that don't count", LONG, {SECONDARY(EPT), TO(GUEST_PDPTE0, UINT64_MAX)}},
    {"PDPTEs in memory", LEGACY, {OFF(SECONDARY_CONTROLS, C(SECONDARY_EPT))}},
};
/* clang-format on */

/* ---- Running them ---- */

enum class { CONTROLS, HOST, GUEST };

static const struct rule {
    enum class class;
    const char *id, *title;
} rules[] = {
#define CHECK(class, id, title, ...) {class, #id, title},
#include "vmx/checks.def"
};

static const struct rule *rule_of(const char *id)
{
    for (unsigned k = 0; k < ARRAY_SIZE(rules); k++)
        if (!strcmp(rules[k].id, id))
            return &rules[k];
    return NULL;
}

static const char *name(const struct vmx_check *found)
{
    return found ? found->id : "nothing";
}

/* SDM "VM-Entry Failures During or After Loading Guest State" */
static u64 qualification_of(const char *id)
{
    static const struct {
        const char *prefix;
        u64 number;
    } numbers[] = {{"GUEST_PDPTE", 2}, {"GUEST_BLOCKING_STI_NMI", 3}, {"GUEST_LINK_", 4}};
    for (unsigned k = 0; k < ARRAY_SIZE(numbers); k++)
        if (!strncmp(id, numbers[k].prefix, strlen(numbers[k].prefix)))
            return numbers[k].number;
    return 0;
}

static void expect_breach(struct world *w, const struct breach *b, unsigned n)
{
    const struct rule *rule = rule_of(b->id);
    ck_assert_msg(rule != NULL, "case %u: no rule %s", n, b->id);
    build(w, b->base);
    apply(&w->v, b->change, CHANGES_MAX);
    u32 error = 0;
    u64 qualification = UINT64_MAX;
    const struct vmx_check *found = vmx_check_controls(w->cpu, &w->v, &error);
    if (rule->class == GUEST) {
        ck_assert_msg(!found, "case %u, %s: found %s", n, b->id, name(found));
        found = vmx_check_guest(w->cpu, &w->v, &qualification);
        ck_assert_uint_eq(qualification, qualification_of(b->id));
    } else {
        ck_assert_uint_eq(error, rule->class == HOST ? 8 : 7);
    }
    ck_assert_msg(!strcmp(name(found), b->id), "case %u, %s: found %s", n, b->id, name(found));
    ck_assert_str_eq(found->title, rule->title);
}

static void expect_pass(struct world *w, const char *what)
{
    u32 error;
    u64 qualification;
    const struct vmx_check *found = vmx_check_controls(w->cpu, &w->v, &error);
    if (!found)
        found = vmx_check_guest(w->cpu, &w->v, &qualification);
    ck_assert_msg(!found, "%s: found %s", what, name(found));
}

START_TEST(each_rule_is_found_broken)
{
    struct world w;
    start(&w);
    for (unsigned n = 0; n < ARRAY_SIZE(breaches); n++)
        expect_breach(&w, &breaches[n], n);
    vmx_detach(w.cpu);
    machine_fini(&w.m);
}
END_TEST

START_TEST(each_rule_has_a_case)
{
    for (unsigned k = 0; k < ARRAY_SIZE(rules); k++) {
        bool found = false;
        for (unsigned n = 0; n < ARRAY_SIZE(breaches) && !found; n++)
            found = !strcmp(rules[k].id, breaches[n].id);
        ck_assert_msg(found, "no case for %s", rules[k].id);
        ck_assert_ptr_eq(rule_of(rules[k].id), &rules[k]); /* and no two have its name */
    }
}
END_TEST

START_TEST(valid_states_pass)
{
    struct world w;
    start(&w);
    for (enum base base = LONG; base < BASES; base++) {
        char text[16];
        snprintf(text, sizeof(text), "base %d", (int)base);
        build(&w, base);
        expect_pass(&w, text);
    }
    for (unsigned n = 0; n < ARRAY_SIZE(passes); n++) {
        build(&w, passes[n].base);
        apply(&w.v, passes[n].change, CHANGES_MAX);
        expect_pass(&w, passes[n].id);
    }
    vmx_detach(w.cpu);
    machine_fini(&w.m);
}
END_TEST

/* A VMCS that is not in RAM is all ones: no memory of the host's is touched, and entry fails. */
START_TEST(outside_of_ram)
{
    struct world w;
    u32 error;
    u64 qualification;
    start(&w);
    w.v = vmcs_at(&w.m.bus.ram, 0xfee00000);
    ck_assert(vmx_check_controls(w.cpu, &w.v, &error));
    ck_assert_uint_eq(error, 7);
    ck_assert(vmx_check_guest(w.cpu, &w.v, &qualification));
    vmx_detach(w.cpu);
    machine_fini(&w.m);
}
END_TEST

SUITE_MAIN("checks", &each_rule_is_found_broken, &each_rule_has_a_case, &valid_states_pass,
           &outside_of_ram)
