/* SPDX-License-Identifier: MIT */
/* Exits of the child that have nothing to do with VMX, and those of grandchildren that are ours. */
#include "tests/guests/turtle/turtle.h"
#include "tests/guests/x86.h"

enum { VECTOR_UD = 6, VECTOR_GP = 13 };
enum { NUMBER_RSP = 4 };

void advance(void)
{
    vm_set(VMCS_GUEST_RIP, vm_get(VMCS_GUEST_RIP) + vm_get(VMCS_EXIT_INSTRUCTION_LENGTH));
}

void inject(u32 vector, bool has_error, u32 error)
{
    u32 info = INTR_VALID | INTR_HARD_EXCEPTION | vector | (has_error ? INTR_HAS_ERROR : 0);
    vm_set(VMCS_VM_ENTRY_INTR_INFO, info);
    if (has_error)
        vm_set(VMCS_VM_ENTRY_EXCEPTION_ERROR_CODE, error);
}

u64 get_reg(unsigned number)
{
    return number == NUMBER_RSP ? vm_get(VMCS_GUEST_RSP) : hv.regs.r[number];
}

static void set_reg(unsigned number, u64 value)
{
    if (number == NUMBER_RSP)
        vm_set(VMCS_GUEST_RSP, value);
    else
        hv.regs.r[number] = value;
}

/* ---- CPUID ---- */

#define CPUID_1_VMX BIT32(5)

static void exit_cpuid(void)
{
    u64 *r = hv.regs.r;
    u32 leaf = (u32)r[0];
    bool last = leaf == LEAF_NEAREST || (leaf == LEAF_CHAIN && hv.level == 1);
    struct cpuid c =
        last ? (struct cpuid){LEAF_CHAIN, hv.level, hv.depth, hv.options} : cpuid(leaf, (u32)r[1]);
    if (leaf == LEAF_CHAIN)
        c.a = last ? 1 : c.a + 1;
    if (leaf == 1 && hv.level == hv.depth)
        c.c &= ~CPUID_1_VMX;
    r[0] = c.a;
    r[3] = c.b;
    r[1] = c.c;
    r[2] = c.d;
    advance();
}

/* ---- I/O: on the machine below, whatever that is ---- */

static u32 input(u16 port, unsigned size)
{
    u16 v;
    if (size == 1)
        return inb(port);
    if (size == 4)
        return inl(port);
    __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

static void output(u16 port, unsigned size, u32 value)
{
    if (size == 1)
        outb(port, (u8)value);
    else if (size == 2)
        outw(port, (u16)value);
    else
        outl(port, value);
}

static void exit_io(void)
{
    u64 qualification = vm_get(VMCS_EXIT_QUALIFICATION), mask;
    unsigned size = (unsigned)(qualification & 7) + 1;
    u16 port = (u16)(qualification >> 16);
    if (qualification & BIT(4))
        panic("string I/O at port", port);
    mask = size == 4 ? UINT64_MAX : MASK(8 * size);
    if (qualification & BIT(3))
        hv.regs.r[0] = (hv.regs.r[0] & ~mask) | input(port, size);
    else
        output(port, size, (u32)hv.regs.r[0]);
    advance();
}

/* ---- MSRs ---- */

static bool read_msr(u32 index, u64 *value)
{
    if (index == MSR_FEATURE_CONTROL)
        return *value = hv.feature_control, true;
    if (index == MSR_EFER || index == MSR_KERNEL_GS_BASE)
        return *value = rdmsr(index), true;
    if (index == CHAIN_MSR)
        return *value = hv.level == 1 ? hv.chain_msr : rdmsr(index) + 1, true;
    if (index < MSR_VMX_BASIC || index > MSR_VMX_LAST || hv.level == hv.depth)
        return false;
    return *value = capability(index), true;
}

static bool write_msr(u32 index, u64 value)
{
    if (index == MSR_FEATURE_CONTROL && !(hv.feature_control & 1))
        return hv.feature_control = value, true;
    if (index != CHAIN_MSR)
        return false;
    if (hv.level == 1)
        hv.chain_msr = value;
    else
        wrmsr(index, value + 1);
    return true;
}

static void exit_rdmsr(void)
{
    u64 value;
    if (!read_msr((u32)hv.regs.r[1], &value)) {
        inject(VECTOR_GP, true, 0);
        return;
    }
    hv.regs.r[0] = (u32)value;
    hv.regs.r[2] = value >> 32;
    advance();
}

static void exit_wrmsr(void)
{
    if (write_msr((u32)hv.regs.r[1], (u32)hv.regs.r[0] | hv.regs.r[2] << 32))
        advance();
    else
        inject(VECTOR_GP, true, 0);
}

bool common_exit(u32 reason)
{
    switch (reason) {
    case EXIT_CPUID:
        return exit_cpuid(), true;
    case EXIT_IO:
        return exit_io(), true;
    case EXIT_RDMSR:
        return exit_rdmsr(), true;
    case EXIT_WRMSR:
        return exit_wrmsr(), true;
    case EXIT_HLT:
        return advance(), true;
    default:
        return false;
    }
}

/* ---- Control registers of the child ---- */

static void write_child_cr3(u64 value)
{
    hv.child_cr3 = value & ~BIT(63);
    if (hv.paging) {
        flush_child();
        return;
    }
    vm_set(VMCS_GUEST_CR3, hv.child_cr3);
    flush_vpid(CHILD_VPID); /* entries don't, with VPIDs */
}

static void write_child_cr4(u64 value)
{
    hv.vmx_enabled = value & CR4_VMXE;
    hv.host_cached = false;
    vm_set(VMCS_CR4_READ_SHADOW, value);
    vm_set(VMCS_GUEST_CR4, value | CR4_VMXE);
}

static void exit_cr_access(void)
{
    u64 qualification = vm_get(VMCS_EXIT_QUALIFICATION);
    unsigned reg = (unsigned)BITS(qualification, 11, 8);
    switch (BITS(qualification, 5, 4) << 4 | (qualification & 15)) {
    case 0x03:
        write_child_cr3(get_reg(reg));
        break;
    case 0x04:
        write_child_cr4(get_reg(reg));
        break;
    case 0x13:
        set_reg(reg, hv.child_cr3);
        break;
    default:
        panic("access to a control register", qualification);
    }
    advance();
}

/* ---- The rest ---- */

static void exit_invlpg(void)
{
    u64 address = vm_get(VMCS_EXIT_QUALIFICATION);
    tables_unmap(&hv.tables, address);
    if (invvpid(0, CHILD_VPID, address) != VM_OK)
        panic("INVVPID of", address);
    advance();
}

static void exit_vmcall(void)
{
    switch (hv.regs.r[0]) {
    case CALL_DONE:
        record_import(hv.regs.r[3], hv.regs.r[1]);
        hv.done = true;
        break;
    case CALL_EXCHANGE:
        exchange_pages();
        break;
    default:
        panic("hypercall", hv.regs.r[0]);
    }
    advance();
}

void child_exit(u32 reason)
{
    if (reason & ENTRY_FAILURE)
        panic("entry to the child failed", reason);
    hv.child_exits[reason]++;
    if (common_exit(reason))
        return;
    switch (reason) {
    case EXIT_EXCEPTION_NMI:
    case EXIT_EPT_VIOLATION:
        if (!fix_child_fault(reason))
            panic("event of the child", vm_get(VMCS_EXIT_INTR_INFO));
        break;
    case EXIT_CR_ACCESS:
        exit_cr_access();
        break;
    case EXIT_INVLPG:
        exit_invlpg();
        break;
    case EXIT_VMCALL:
        exit_vmcall();
        break;
    default:
        if ((reason < EXIT_VMCLEAR || reason > EXIT_VMXON) && reason != EXIT_INVEPT &&
            reason != EXIT_INVVPID)
            panic("exit of the child", reason);
        if (!hv.vmx_enabled || (!hv.vmx_on && reason != EXIT_VMXON))
            inject(VECTOR_UD, false, 0);
        else
            vmx_instruction(reason);
    }
}
