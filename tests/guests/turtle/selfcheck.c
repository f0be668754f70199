/* SPDX-License-Identifier: MIT */
/*
 * What each level checks of the VMX that it was given: level 1 the processor's, the others that of
 * the level below.
 */
#include "tests/guests/trap.h"
#include "tests/guests/turtle/turtle.h"
#include "tests/guests/x86.h"

#define NO_SUCH_FIELD 0x2ffe
#define BASIC_SIZE(basic) BITS(basic, 44, 32)

/* A VMfail with a number */
static void expect_error(unsigned how, u32 number, const char *name)
{
    u64 error = ~UINT64_C(0) - how;
    if (how == VM_FAIL_VALID)
        error = vm_get(VMCS_VM_INSTRUCTION_ERROR);
    record_equal(error, number, name);
}

static void try_vmread(void *value)
{
    vmread(VMCS_GUEST_RIP, value);
}

static void check_vmxon(u64 region)
{
    u64 value = 0;
    record_check(guest_try(try_vmread, &value) && trap.vector == UD,
                 "VMREAD is undefined before VMXON");
    record_equal(vmxon(region + 8), VM_FAIL_INVALID, "VMXON at no page: VMfailInvalid");
    *(u32 *)region ^= 1;
    record_equal(vmxon(region), VM_FAIL_INVALID, "VMXON with another revision: VMfailInvalid");
    *(u32 *)region ^= 1;
    record_equal(vmxon(region), VM_OK, "VMXON");
}

static void check_without_vmcs(u64 region)
{
    u64 value = 0;
    record_equal(vmread(VMCS_GUEST_RIP, &value), VM_FAIL_INVALID,
                 "VMREAD of no VMCS: VMfailInvalid");
    record_equal(vmwrite(VMCS_GUEST_RIP, 0), VM_FAIL_INVALID, "VMWRITE of no VMCS: VMfailInvalid");
    record_equal(vmptrst(&value), VM_OK, "VMPTRST");
    record_equal(value, UINT64_MAX, "VMPTRST of no VMCS");
    record_equal(vmptrld(region), VM_FAIL_INVALID, "VMPTRLD of what VMXON has: VMfailInvalid");
    record_equal(vm_run(&hv.regs, true), VM_FAIL_INVALID, "VMLAUNCH of no VMCS: VMfailInvalid");
}

static void check_pointers(u64 region, u64 vmcs, u64 other)
{
    u64 value = 0;
    record_equal(vmclear(vmcs), VM_OK, "VMCLEAR");
    record_equal(vmptrld(vmcs), VM_OK, "VMPTRLD");
    vmptrst(&value);
    record_equal(value, vmcs, "VMPTRST gives what VMPTRLD was given");
    expect_error(vmclear(vmcs + 16), ERR_VMCLEAR_ADDRESS, "VMCLEAR at no page fails");
    expect_error(vmclear(region), ERR_VMCLEAR_VMXON, "VMCLEAR of what VMXON has fails");
    expect_error(vmptrld(vmcs + 16), ERR_VMPTRLD_ADDRESS, "VMPTRLD at no page fails");
    expect_error(vmptrld(region), ERR_VMPTRLD_VMXON, "VMPTRLD of what VMXON has fails");
    *(u32 *)other ^= 1;
    expect_error(vmptrld(other), ERR_VMPTRLD_REVISION, "VMPTRLD with another revision fails");
    *(u32 *)other ^= 1;
    vmptrst(&value);
    record_equal(value, vmcs, "VMPTRLD that failed changes nothing");
    expect_error(vmxon(region), ERR_VMXON_IN_ROOT, "VMXON again fails");
}

static u64 round_trip(u64 field, u64 value)
{
    u64 got = 0;
    vmwrite(field, value);
    vmread(field, &got);
    return got;
}

static void check_fields(void)
{
    const u64 value = 0x123456789abcdef0;
    u64 got = 0;
    record_equal(round_trip(VMCS_GUEST_ES_SELECTOR, value), 0xdef0, "a field of 16 bits");
    record_equal(round_trip(VMCS_EXCEPTION_BITMAP, value), 0x9abcdef0, "a field of 32 bits");
    record_equal(round_trip(VMCS_MSR_BITMAPS, value), value, "a field of 64 bits");
    record_equal(round_trip(VMCS_MSR_BITMAPS + 1, 0x11), 0x11, "its high half");
    vmread(VMCS_MSR_BITMAPS, &got);
    record_equal(got, UINT64_C(0x119abcdef0), "and that half in the whole");
    record_equal(round_trip(VMCS_GUEST_RIP, value), value, "a field of natural width");
    expect_error(vmread(NO_SUCH_FIELD, &got), ERR_NO_FIELD, "VMREAD of no field fails");
    expect_error(vmwrite(NO_SUCH_FIELD, 0), ERR_NO_FIELD, "VMWRITE of no field fails");
}

/* Another VMCS has other values. */
static void check_two(u64 vmcs, u64 other)
{
    u64 got = 0;
    vm_set(VMCS_GUEST_RSP, 0x1111);
    vmclear(other);
    vm_use(other);
    vm_set(VMCS_GUEST_RSP, 0x2222);
    vm_use(vmcs);
    record_equal(vm_get(VMCS_GUEST_RSP), 0x1111, "the first of two VMCSs");
    vm_use(other);
    record_equal(vm_get(VMCS_GUEST_RSP), 0x2222, "the second of two VMCSs");
    vmclear(vmcs);
    vmptrst(&got);
    record_equal(got, other, "VMCLEAR of another VMCS leaves the current one");
    vmclear(other);
    vmptrst(&got);
    record_equal(got, UINT64_MAX, "VMCLEAR of the current VMCS leaves none");
}

static void check_invalidation(void)
{
    expect_error(invvpid(9, 1, 0), ERR_INVALIDATION, "INVVPID of no type fails");
    expect_error(invvpid(1, 0, 0), ERR_INVALIDATION, "INVVPID of VPID 0 fails");
    record_equal(invvpid(2, 0, 0), VM_OK, "INVVPID of all");
    if (rdmsr(MSR_VMX_PROCBASED2) >> 32 & SECONDARY_EPT) {
        expect_error(invept(9, 0), ERR_INVALIDATION, "INVEPT of no type fails");
        record_equal(invept(2, 0), VM_OK, "INVEPT of all");
    }
}

void selfcheck_operation(void)
{
    u64 basic = rdmsr(MSR_VMX_BASIC);
    record_check(!(basic & BIT32(31)), "the revision has bit 31 clear");
    record_check(BASIC_SIZE(basic) && BASIC_SIZE(basic) <= PAGE_SIZE, "a VMCS fits a page");
    record_equal(rdmsr(MSR_FEATURE_CONTROL) & 5, 5, "IA32_FEATURE_CONTROL is locked");
    record_check(cpuid(1, 0).c & BIT32(5), "CPUID tells of VMX");
    if (hv.level > 1)
        record_equal(cpuid(LEAF_NEAREST, 0).b, hv.level - 1, "the level below answers");
    u64 region = new_vmcs(0), vmcs = new_vmcs(0), other = new_vmcs(0);
    check_vmxon(region);
    check_without_vmcs(region);
    check_pointers(region, vmcs, other);
    check_fields();
    check_invalidation();
    check_two(vmcs, other);
}

/* The field has this value for one VMLAUNCH. */
static void expect_refusal(u64 field, u64 value, u32 number, const char *name)
{
    u64 had = vm_get(field);
    vm_set(field, value);
    expect_error(vm_run(&hv.regs, true), number, name);
    vm_set(field, had);
}

unsigned vmlaunch_again(void)
{
    unsigned how = vm_run(&hv.regs, true);
    return how == VM_FAIL_VALID ? (unsigned)vm_get(VMCS_VM_INSTRUCTION_ERROR) : UINT32_MAX - how;
}

void selfcheck_entry(void)
{
    expect_error(vm_run(&hv.regs, false), ERR_RESUME_NOT_LAUNCHED,
                 "VMRESUME before VMLAUNCH fails");
    expect_refusal(VMCS_PIN_CONTROLS, 0, ERR_CONTROLS, "a control that must be 1");
    expect_refusal(VMCS_PRIMARY_CONTROLS, UINT32_MAX, ERR_CONTROLS, "controls that must be 0");
    expect_refusal(VMCS_HOST_CS_SELECTOR, 0, ERR_HOST_STATE, "a null CS of the host");
    expect_refusal(VMCS_HOST_CR4, read_cr4() & ~CR4_VMXE, ERR_HOST_STATE,
                   "no CR4.VMXE of the host");
    vm_set(VMCS_GUEST_RFLAGS, 0);
    record_equal(vm_run(&hv.regs, true), VM_OK, "invalid guest state is an exit");
    record_equal(vm_get(VMCS_EXIT_REASON), ENTRY_FAILURE | EXIT_INVALID_GUEST_STATE,
                 "with the reason that says so");
    vm_set(VMCS_GUEST_RFLAGS, 2);
    expect_error(vm_run(&hv.regs, false), ERR_RESUME_NOT_LAUNCHED, "that VMLAUNCH did not launch");
}
