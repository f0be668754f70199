/* SPDX-License-Identifier: MIT */
/* The VMX capability MSRs (SDM appendix "VMX Capability Reporting Facility"). */
#include "cpu/control.h"
#include "cpu/cpuid.h"
#include "vmx/vmx.h"

enum {
    MSR_BASIC = 0x480,
    MSR_PINBASED,
    MSR_PROCBASED,
    MSR_EXIT,
    MSR_ENTRY,
    MSR_MISC,
    MSR_CR0_FIXED0,
    MSR_CR0_FIXED1,
    MSR_CR4_FIXED0,
    MSR_CR4_FIXED1,
    MSR_VMCS_ENUM,
    MSR_PROCBASED2,
    MSR_EPT_VPID,
    MSR_TRUE_PINBASED,
    MSR_TRUE_PROCBASED,
    MSR_TRUE_EXIT,
    MSR_TRUE_ENTRY,
    MSR_VMFUNC
};

#define MEMORY_WB UINT64_C(6)

/* The default1 classes, named bits included. */
static const u32 default1[] = {
    [CLASS_PIN] = 0x00000016, [CLASS_PRIMARY] = 0x0401e172, [CLASS_SECONDARY] = 0,
    [CLASS_TERTIARY] = 0,     [CLASS_EXIT] = 0x00036dff,    [CLASS_ENTRY] = 0x000011ff,
};

static const struct control {
    const char *name;
    u8 class;
    bool default1, works;
    u16 feature;
    u32 mask;
} controls[] = {
#define CONTROL(class, id, name, bit, default1, works, feature)                                    \
    {#name, CLASS_##class, default1, works, FEAT_##feature, BIT32(bit)},
#include "vmx/controls.def"
};

u64 vmx_control_limits(const struct cpu_model *model, enum vmx_class class, bool exact)
{
    u32 ones = default1[class], may = ones;
    for (unsigned k = 0; k < ARRAY_SIZE(controls); k++) {
        const struct control *c = &controls[k];
        if (c->class != class || !c->works || !cpuid_has(model, (enum cpu_feature)c->feature))
            continue;
        may |= c->mask;
        if (exact)
            ones &= ~c->mask;
    }
    return (u64)may << 32 | ones;
}

const char *vmx_control_name(enum vmx_class class, u32 mask)
{
    for (unsigned k = 0; k < ARRAY_SIZE(controls); k++)
        if (controls[k].class == class && controls[k].mask == mask)
            return controls[k].name;
    return "reserved";
}

/* ---- CR0 and CR4 in VMX operation ---- */

#define CR0_FIXED0 (CR0_PE | CR0_NE | CR0_PG)
#define CR0_FIXED1 UINT64_C(0xffffffff)
#define CR4_FIXED0 CR4_VMXE

static bool within(u64 val, u64 ones, u64 may)
{
    return (val & ones) == ones && !(val & ~may);
}

u64 vmx_cr0_fixed(bool unrestricted)
{
    return unrestricted ? CR0_NE : CR0_FIXED0;
}

bool vmx_cr0_valid(const struct cpu_model *model, u64 val, bool unrestricted)
{
    (void)model;
    return within(val, vmx_cr0_fixed(unrestricted), CR0_FIXED1);
}

bool vmx_cr4_valid(const struct cpu *cpu, u64 val)
{
    return within(val, CR4_FIXED0, cpu->vmx->cr4_mask);
}

/* ---- EPT and VPID ---- */

enum {
    EPT_EXEC_ONLY = 0,
    EPT_WALK_4 = 6,
    EPT_UC = 8,
    EPT_WB = 14,
    EPT_2M = 16,
    EPT_1G = 17,
    EPT_INVEPT = 20,
    EPT_AD = 21,
    EPT_INVEPT_SINGLE = 25,
    EPT_INVEPT_ALL = 26,
    VPID_INVVPID = 32,
    VPID_ADDRESS = 40,
    VPID_SINGLE = 41,
    VPID_ALL = 42,
    VPID_SINGLE_GLOBAL = 43
};

static u64 ept_vpid(const struct cpu_model *model)
{
    u64 may = vmx_control_limits(model, CLASS_SECONDARY, true) >> 32, val = 0;
    if (may & SECONDARY_EPT)
        val |= BIT(EPT_EXEC_ONLY) | BIT(EPT_WALK_4) | BIT(EPT_UC) | BIT(EPT_WB) | BIT(EPT_2M) |
               BIT(EPT_1G) | BIT(EPT_INVEPT) | BIT(EPT_AD) | BIT(EPT_INVEPT_SINGLE) |
               BIT(EPT_INVEPT_ALL);
    if (may & SECONDARY_VPID)
        val |= BIT(VPID_INVVPID) | BIT(VPID_ADDRESS) | BIT(VPID_SINGLE) | BIT(VPID_ALL) |
               BIT(VPID_SINGLE_GLOBAL);
    return val;
}

bool vmx_eptp_valid(const struct cpu_model *model, u64 eptp)
{
    u64 type = eptp & 7;
    return (type == 0 || type == MEMORY_WB) && BITS(eptp, 5, 3) == 3 && !BITS(eptp, 11, 7) &&
           !(eptp >> model->phys_bits);
}

/* ---- The MSRs ---- */

#define BASIC_INS_OUTS BIT(54)
#define BASIC_TRUE BIT(55)
#define MISC_TIMER_RATE UINT64_C(5)
#define MISC_STORE_LMA BIT(5)
#define MISC_HLT BIT(6)
#define MISC_CR3_TARGETS (UINT64_C(4) << 16)
#define MISC_WRITE_ALL BIT(29)

static u64 basic(void)
{
    return VMCS_REVISION | PAGE_SIZE << 32 | MEMORY_WB << 50 | BASIC_INS_OUTS | BASIC_TRUE;
}

static u64 misc(void)
{
    u64 val = MISC_TIMER_RATE | MISC_HLT | MISC_CR3_TARGETS;
    if (WORKS_SECONDARY_UNRESTRICTED_GUEST)
        val |= MISC_STORE_LMA;
    if (WORKS_SECONDARY_VMCS_SHADOWING)
        val |= MISC_WRITE_ALL;
    return val;
}

bool vmx_capability(const struct cpu_model *model, u32 msr, u64 *value)
{
    static const u8 classes[] = {CLASS_PIN, CLASS_PRIMARY, CLASS_EXIT, CLASS_ENTRY};
    if (!cpuid_has(model, FEAT_VMX))
        return false;
    switch (msr) {
    case MSR_BASIC:
        return *value = basic(), true;
    case MSR_PINBASED:
    case MSR_PROCBASED:
    case MSR_EXIT:
    case MSR_ENTRY:
        *value = vmx_control_limits(model, (enum vmx_class)classes[msr - MSR_PINBASED], false);
        return true;
    case MSR_TRUE_PINBASED:
    case MSR_TRUE_PROCBASED:
    case MSR_TRUE_EXIT:
    case MSR_TRUE_ENTRY:
        *value = vmx_control_limits(model, (enum vmx_class)classes[msr - MSR_TRUE_PINBASED], true);
        return true;
    case MSR_PROCBASED2:
        *value = vmx_control_limits(model, CLASS_SECONDARY, true);
        return WORKS_PRIMARY_SECONDARY;
    case MSR_MISC:
        return *value = misc(), true;
    case MSR_CR0_FIXED0:
        return *value = CR0_FIXED0, true;
    case MSR_CR0_FIXED1:
        return *value = CR0_FIXED1, true;
    case MSR_CR4_FIXED0:
        return *value = CR4_FIXED0, true;
    case MSR_CR4_FIXED1:
        return *value = cpu_model_cr4_mask(model), true;
    case MSR_VMCS_ENUM:
        return *value = vmcs_max_index() << 1, true;
    case MSR_EPT_VPID:
        return *value = ept_vpid(model), WORKS_SECONDARY_EPT || WORKS_SECONDARY_VPID;
    case MSR_VMFUNC:
        return *value = 0, WORKS_SECONDARY_VMFUNC;
    default:
        return false;
    }
}
