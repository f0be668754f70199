/* SPDX-License-Identifier: MIT */
/*
 * The innermost guest. How often it does what exits is counted by its hypervisor: report.c has these
 * numbers.
 */
#include "tests/guests/pages.h"
#include "tests/guests/turtle/turtle.h"

#define SCRATCH_PORT 0x3ff /* the serial port's scratch register */
#define NO_MSR 0x123
#define FREE_LINEAR UINT64_C(0x40000000)

static void expect_trap(void (*code)(void *), void *argument, unsigned vector, word error,
                        const char *name)
{
    bool trapped = guest_try(code, argument);
    record_equal(trapped ? trap.vector << 32 | trap.error : UINT64_MAX, (u64)vector << 32 | error,
                 name);
}

static u64 hypercall(u64 number)
{
    __asm__ volatile("vmcall" : "+a"(number) : : "memory");
    return number;
}

static void check_instructions(u32 depth)
{
    const u64 value = 0x1122334455667788;
    record_equal(cpuid(LEAF_NEAREST, 0).b, depth, "CPUID is answered by the nearest hypervisor");
    record_equal(cpuid(LEAF_CHAIN, 0).a, depth, "CPUID goes through all hypervisors");
    record_check(!(cpuid(1, 0).c & BIT32(5)), "CPUID has no VMX");
    outb(SCRATCH_PORT, 0x5a);
    record_equal(inb(SCRATCH_PORT), 0x5a, "I/O reaches the machine's device");
    wrmsr(CHAIN_MSR, value);
    record_equal(rdmsr(CHAIN_MSR), value + 2 * (u64)(depth - 1),
                 "an MSR goes through all hypervisors");
    wrmsr(MSR_KERNEL_GS_BASE, 0x123456);
    record_equal(rdmsr(MSR_KERNEL_GS_BASE), 0x123456, "an MSR that does not exit");
    __asm__ volatile("hlt");
    record_check(true, "HLT is over");
}

static void read_no_msr(void *unused)
{
    (void)unused;
    rdmsr(NO_MSR);
}

static void do_vmxon(void *unused)
{
    (void)unused;
    vmxon(0);
}

static void check_traps(void)
{
    expect_trap(read_no_msr, NULL, GP, 0, "RDMSR of no MSR faults");
    expect_trap(do_vmxon, NULL, UD, 0, "VMXON is undefined");
}

/* ---- Memory ---- */

static void read_byte(void *at)
{
    *(volatile u8 *)at;
}

static void write_byte(void *at)
{
    *(volatile u8 *)at = 1;
}

/* Pages of both kinds of the window */
static void check_memory(void)
{
    u64 sum = 0;
    for (u64 k = 0; k < 8; k++)
        *(volatile u64 *)(HEAP_AT + 2 * MIB - 4 * PAGE_SIZE + k * PAGE_SIZE + 8 * k) = k * k + 1;
    for (u64 k = 0; k < 8; k++)
        sum =
            sum * 3 + *(volatile u64 *)(HEAP_AT + 2 * MIB - 4 * PAGE_SIZE + k * PAGE_SIZE + 8 * k);
    record_equal(sum, 6524, "memory keeps what was written");
}

static void check_exchange(void)
{
    volatile u64 *a = (volatile u64 *)EXCHANGE_A, *b = (volatile u64 *)EXCHANGE_B;
    *a = 0xaaaa;
    *b = 0xbbbb;
    hypercall(CALL_EXCHANGE);
    record_equal(*a, 0xbbbb, "a page that the hypervisor has exchanged");
    record_equal(*b, 0xaaaa, "and the other one");
    *a = 0xcccc;
    hypercall(CALL_EXCHANGE);
    record_equal(*b, 0xcccc, "a page that was exchanged back");
}

static void check_paging(void)
{
    volatile u64 *p = (volatile u64 *)FREE_LINEAR;
    u64 first = HEAP_AT + 16 * PAGE_SIZE, second = 8 * MIB;
    pages_init();
    *(volatile u64 *)first = 0x1;
    *(volatile u64 *)second = 0x2;
    page_map(FREE_LINEAR, first | PTE_P | PTE_W);
    record_equal(*p, 0x1, "a page of one's own");
    record_equal(*page_entry(FREE_LINEAR, 1) & (PTE_A | PTE_D), PTE_A,
                 "reading sets the accessed flag");
    *p = 0x11;
    record_equal(*page_entry(FREE_LINEAR, 1) & (PTE_A | PTE_D), PTE_A | PTE_D,
                 "writing sets the dirty flag");
    page_map(FREE_LINEAR, second | PTE_P);
    record_equal(*p, 0x2, "another page there after INVLPG");
    record_equal(*(volatile u64 *)first, 0x11, "the first page has what was written");
    expect_trap(write_byte, (void *)FREE_LINEAR, PF, PF_P | PF_W,
                "a write to a read-only page faults");
    record_equal(trap.cr2, FREE_LINEAR, "with its address");
    page_map(FREE_LINEAR, 0);
    expect_trap(read_byte, (void *)(FREE_LINEAR + 5), PF, 0, "a read of a page not there faults");
    record_equal(trap.cr2, FREE_LINEAR + 5, "with this address");
    *page_entry(FREE_LINEAR, 1) = first | PTE_P;
    record_equal(read_cr3(), (u64)page_root, "CR3");
    write_cr3((u64)page_root);
    record_equal(*p, 0x11, "a page again after MOV CR3");
}

/* By the instruction that hypervisors know */
static u64 read_device(u64 at)
{
    u64 value = 0;
    __asm__ volatile(".byte 0x48, 0x8b, 0x08" : "+c"(value) : "a"(at) : "memory");
    return value;
}

static void check_devices(u32 depth)
{
    static const char *const names[] = {"device of level 1", "device of level 2",
                                        "device of level 3", "device of level 4"};
    for (u32 k = 1; k <= depth; k++)
        record_equal(read_device(DEVICES_AT + k * PAGE_SIZE), DEVICE_ANSWER + k, names[k - 1]);
}

void payload(u32 depth, u32 options)
{
    hv.depth = depth;
    hv.options = options;
    check_instructions(depth);
    check_traps();
    check_memory();
    check_exchange();
    check_paging();
    check_devices(depth);
}
