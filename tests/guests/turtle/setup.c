/* SPDX-License-Identifier: MIT */
/* The VMCS that runs the child, and what all VMCSs of ours have in common. */
#include "tests/guests/trap.h"
#include "tests/guests/turtle/turtle.h"
#include "tests/guests/x86.h"

struct constant {
    u16 field;
    u64 value;
};

#define CODE_RIGHTS 0xa09b
#define DATA_RIGHTS 0xc093
#define TSS_RIGHTS 0x8b
#define UNUSABLE 0x10000

u32 control_adjust(u32 msr, u32 wanted)
{
    u64 limits = rdmsr(msr);
    if (wanted & ~(u32)(limits >> 32))
        panic("controls that are not there, of MSR", msr);
    return wanted | (u32)limits;
}

static void set_all(const struct constant *c, unsigned count)
{
    for (unsigned k = 0; k < count; k++)
        vm_set(c[k].field, c[k].value);
}

struct table_register {
    u16 limit;
    u64 base;
} __attribute__((packed));

static struct table_register read_gdtr(void)
{
    struct table_register r;
    __asm__ volatile("sgdt %0" : "=m"(r));
    return r;
}

static struct table_register read_idtr(void)
{
    struct table_register r;
    __asm__ volatile("sidt %0" : "=m"(r));
    return r;
}

u64 gdt_base(void)
{
    return read_gdtr().base;
}

void setup_host(void)
{
    struct constant host[] = {
        {VMCS_HOST_ES_SELECTOR, SEL_DATA},
        {VMCS_HOST_CS_SELECTOR, SEL_CODE},
        {VMCS_HOST_SS_SELECTOR, SEL_DATA},
        {VMCS_HOST_DS_SELECTOR, SEL_DATA},
        {VMCS_HOST_FS_SELECTOR, 0},
        {VMCS_HOST_GS_SELECTOR, 0},
        {VMCS_HOST_TR_SELECTOR, SEL_TSS},
        {VMCS_HOST_CR0, read_cr0()},
        {VMCS_HOST_CR3, read_cr3()},
        {VMCS_HOST_CR4, read_cr4()},
        {VMCS_HOST_FS_BASE, 0},
        {VMCS_HOST_GS_BASE, 0},
        {VMCS_HOST_TR_BASE, (u64)&guest_tss},
        {VMCS_HOST_GDTR_BASE, read_gdtr().base},
        {VMCS_HOST_IDTR_BASE, read_idtr().base},
        {VMCS_HOST_SYSENTER_CS, 0},
        {VMCS_HOST_SYSENTER_ESP, 0},
        {VMCS_HOST_SYSENTER_EIP, 0},
        {VMCS_HOST_RSP, (u64)exit_stack_top},
        {VMCS_HOST_RIP, (u64)vm_exited},
    };
    set_all(host, ARRAY_SIZE(host));
}

/* As level_entry wants it; the segments are those of our own start. */
static void setup_guest(void)
{
    static const struct constant constants[] = {
        {VMCS_GUEST_ES_SELECTOR, SEL_DATA},
        {VMCS_GUEST_CS_SELECTOR, SEL_CODE},
        {VMCS_GUEST_SS_SELECTOR, SEL_DATA},
        {VMCS_GUEST_DS_SELECTOR, SEL_DATA},
        {VMCS_GUEST_FS_SELECTOR, 0},
        {VMCS_GUEST_GS_SELECTOR, 0},
        {VMCS_GUEST_LDTR_SELECTOR, 0},
        {VMCS_GUEST_TR_SELECTOR, SEL_TSS},
        {VMCS_GUEST_ES_LIMIT, UINT32_MAX},
        {VMCS_GUEST_CS_LIMIT, UINT32_MAX},
        {VMCS_GUEST_SS_LIMIT, UINT32_MAX},
        {VMCS_GUEST_DS_LIMIT, UINT32_MAX},
        {VMCS_GUEST_FS_LIMIT, UINT32_MAX},
        {VMCS_GUEST_GS_LIMIT, UINT32_MAX},
        {VMCS_GUEST_LDTR_LIMIT, 0},
        {VMCS_GUEST_TR_LIMIT, 0x67},
        {VMCS_GUEST_GDTR_LIMIT, 0xffff},
        {VMCS_GUEST_IDTR_LIMIT, 0xffff},
        {VMCS_GUEST_ES_ACCESS_RIGHTS, DATA_RIGHTS},
        {VMCS_GUEST_CS_ACCESS_RIGHTS, CODE_RIGHTS},
        {VMCS_GUEST_SS_ACCESS_RIGHTS, DATA_RIGHTS},
        {VMCS_GUEST_DS_ACCESS_RIGHTS, DATA_RIGHTS},
        {VMCS_GUEST_FS_ACCESS_RIGHTS, UNUSABLE},
        {VMCS_GUEST_GS_ACCESS_RIGHTS, UNUSABLE},
        {VMCS_GUEST_LDTR_ACCESS_RIGHTS, UNUSABLE},
        {VMCS_GUEST_TR_ACCESS_RIGHTS, TSS_RIGHTS},
        {VMCS_GUEST_ES_BASE, 0},
        {VMCS_GUEST_CS_BASE, 0},
        {VMCS_GUEST_SS_BASE, 0},
        {VMCS_GUEST_DS_BASE, 0},
        {VMCS_GUEST_FS_BASE, 0},
        {VMCS_GUEST_GS_BASE, 0},
        {VMCS_GUEST_LDTR_BASE, 0},
        {VMCS_GUEST_TR_BASE, 0},
        {VMCS_GUEST_IDTR_BASE, 0},
        {VMCS_GUEST_DR7, 0x400},
        {VMCS_GUEST_RFLAGS, 2},
        {VMCS_GUEST_INTERRUPTIBILITY, 0},
        {VMCS_GUEST_ACTIVITY_STATE, 0},
        {VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS, 0},
        {VMCS_GUEST_DEBUGCTL, 0},
        {VMCS_GUEST_SYSENTER_CS, 0},
        {VMCS_GUEST_SYSENTER_ESP, 0},
        {VMCS_GUEST_SYSENTER_EIP, 0},
    };
    set_all(constants, ARRAY_SIZE(constants));
    vm_set(VMCS_GUEST_GDTR_BASE, hv.start_gdt);
    vm_set(VMCS_GUEST_CR0, read_cr0());
    vm_set(VMCS_GUEST_CR4, read_cr4());
    vm_set(VMCS_GUEST_CR3, hv.paging ? root_of(&hv.tables) : hv.child_cr3);
    vm_set(VMCS_GUEST_RSP, (u64)level_stack_top);
    vm_set(VMCS_GUEST_RIP, (u64)level_entry);
}

u32 own_secondary(void)
{
    return SECONDARY_VPID | (hv.paging ? 0 : SECONDARY_EPT);
}

static void setup_controls(void)
{
    u32 primary = PRIMARY_HLT | PRIMARY_UNCONDITIONAL_IO | PRIMARY_MSR_BITMAPS | PRIMARY_SECONDARY |
                  PRIMARY_CR3_LOAD | PRIMARY_CR3_STORE | (hv.paging ? PRIMARY_INVLPG : 0);
    struct constant controls[] = {
        {VMCS_PIN_CONTROLS, control_adjust(MSR_VMX_TRUE_PINBASED, 0)},
        {VMCS_PRIMARY_CONTROLS, control_adjust(MSR_VMX_TRUE_PROCBASED, primary)},
        {VMCS_SECONDARY_CONTROLS, control_adjust(MSR_VMX_PROCBASED2, own_secondary())},
        {VMCS_VM_EXIT_CONTROLS, control_adjust(MSR_VMX_TRUE_EXIT, EXITS_HOST_64)},
        {VMCS_VM_ENTRY_CONTROLS, control_adjust(MSR_VMX_TRUE_ENTRY, ENTRY_IA32E)},
        {VMCS_EXCEPTION_BITMAP, hv.paging ? BIT32(14) : 0},
        {VMCS_PF_ERROR_CODE_MASK, 0},
        {VMCS_PF_ERROR_CODE_MATCH, 0},
        {VMCS_CR3_TARGET_COUNT, 0},
        {VMCS_VM_EXIT_MSR_STORE_COUNT, 0},
        {VMCS_VM_EXIT_MSR_LOAD_COUNT, 0},
        {VMCS_VM_ENTRY_MSR_LOAD_COUNT, 0},
        {VMCS_VM_ENTRY_INTR_INFO, 0},
        {VMCS_MSR_BITMAPS, (u64)hv.msr_bitmap},
        {VMCS_VPID, CHILD_VPID},
        {VMCS_CR0_GUEST_HOST_MASK, CR0_NEEDED},
        {VMCS_CR0_READ_SHADOW, read_cr0()},
        {VMCS_CR4_GUEST_HOST_MASK, CR4_VMXE},
        {VMCS_CR4_READ_SHADOW, read_cr4() & ~CR4_VMXE},
        {VMCS_VMCS_LINK_POINTER, UINT64_MAX},
    };
    set_all(controls, ARRAY_SIZE(controls));
    if (!hv.paging)
        vm_set(VMCS_EPT_POINTER, root_of(&hv.tables));
    if (is_set(OPTION_SHADOWING)) {
        vm_set(VMCS_VMREAD_BITMAP, (u64)hv.shadow_bitmap);
        vm_set(VMCS_VMWRITE_BITMAP, (u64)hv.shadow_bitmap);
    }
}

/* All MSRs exit but IA32_KERNEL_GS_BASE. */
static void make_msr_bitmap(void)
{
    u32 bit = MSR_KERNEL_GS_BASE & 0x1fff;
    hv.msr_bitmap = new_page();
    for (unsigned k = 0; k < PAGE_SIZE; k++)
        hv.msr_bitmap[k] = 0xff;
    hv.msr_bitmap[1024 + bit / 8] &= (u8) ~(1u << bit % 8);
    hv.msr_bitmap[3072 + bit / 8] &= (u8) ~(1u << bit % 8);
}

/* Of VMREAD as of VMWRITE: all exit but hot fields. */
static void make_shadow(void)
{
    hv.shadow_bitmap = new_page();
    for (unsigned k = 0; k < PAGE_SIZE; k++)
        hv.shadow_bitmap[k] = 0xff;
    for (unsigned k = 0; k < HOT_FIELDS; k++)
        hv.shadow_bitmap[hot_fields[k] / 8] &= (u8) ~(1u << hot_fields[k] % 8);
    hv.shadow = new_vmcs(SHADOW_INDICATOR);
    if (vmclear(hv.shadow) != VM_OK)
        panic("VMCLEAR of", hv.shadow);
}

/* The child's first state; its VMCS is left current. */
void setup_child(void)
{
    hv.child_cr3 = read_cr3();
    map_child();
    make_msr_bitmap();
    if (is_set(OPTION_SHADOWING))
        make_shadow();
    hv.vmcs = new_vmcs(0);
    if (vmclear(hv.vmcs) != VM_OK)
        panic("VMCLEAR of", hv.vmcs);
    vm_use(hv.vmcs);
    setup_host();
    setup_guest();
    setup_controls();
}
