/* SPDX-License-Identifier: MIT */
/* SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS, FSGSBASE, CMPXCHG16B and what they refuse. */
#include "tests/guests/pages.h"

enum {
    EFER = 0xc0000080,
    STAR = 0xc0000081,
    LSTAR,
    CSTAR,
    FMASK,
    FS_BASE = 0xc0000100,
    GS_BASE,
    KERNEL_GS_BASE,
    SYSENTER_CS = 0x174,
    SYSENTER_ESP,
    SYSENTER_EIP
};

word seen[8];
word kernel_stack[128];

/* What the kernel finds at its entry goes to seen[]; then back, or to the end by way of a trap. */
extern char entry[], entry_return[], after_call[];
__asm__(".globl entry, entry_return\n"
        "entry: mov %rsp, seen+0; lea kernel_stack+1024, %rsp\n"
        "mov %rcx, seen+8; mov %r11, seen+16\n"
        "mov %cs, %eax; mov %rax, seen+24; mov %ss, %eax; mov %rax, seen+32\n"
        "pushf; pop %rax; mov %rax, seen+40\n"
        "mov seen+0, %rsp\n"
        "entry_return: sysretq\n"
        ".globl enter_done\n"
        "enter_done: mov %rsp, seen+0; mov %cs, %eax; mov %rax, seen+24\n"
        "mov %ss, %eax; mov %rax, seen+32; pushf; pop %rax; mov %rax, seen+40\n"
        "mov seen+48, %rcx; mov seen+56, %rdx; sysexitq\n");
extern char enter_done[];

static void do_syscall(void *p)
{
    (void)p;
    __asm__ volatile(".globl after_call\n mov %%cs, %%eax; mov %%rax, %%rbx\n syscall\n"
                     "after_call: mov %%cs, %%ebx; mov %%rbx, seen+48; mov %%ss, %%ebx\n"
                     "mov %%rbx, seen+56"
                     :
                     :
                     : "rax", "rbx", "rcx", "r11", "memory", "cc");
}

static void do_sysenter(void *p)
{
    (void)p;
    __asm__ volatile("mov %%rsp, seen+48; movq $1f, seen+56\n"
                     "sysenter\n1: mov %%cs, %%eax; mov %%rax, seen+8; mov %%ss, %%eax\n"
                     "mov %%rax, seen+16"
                     :
                     :
                     : "rax", "rcx", "rdx", "memory", "cc");
}

static void do_sysret(void *p)
{
    __asm__ volatile("mov %%rsp, seen\n sysretq" : : "c"(p), "a"(0) : "memory");
}

static void do_sysexit(void *p)
{
    __asm__ volatile("sysexitq" : : "c"(p), "d"(p) : "memory");
}

static void syscalls(void)
{
    wrmsr(STAR, (uint64_t)(SEL_USER_CODE32) << 48 | (uint64_t)SEL_CODE << 32);
    wrmsr(LSTAR, (word)entry);
    wrmsr(FMASK, 0x401);
    guest_expect_user(do_syscall, 0, -1, 0, "SYSCALL and SYSRET");
    guest_equal(seen[1], (word)after_call, "RCX is the return address");
    guest_equal(seen[2] & 0x2, 2, "R11 is RFLAGS");
    guest_equal(seen[3], SEL_CODE, "CS");
    guest_equal(seen[4], SEL_DATA, "SS");
    guest_equal(seen[5] & 0x401, 0, "IA32_FMASK clears flags");
    guest_equal(seen[6], SEL_USER_CODE64, "CS after SYSRET");
    guest_equal(seen[7], SEL_USER_DATA, "SS after SYSRET");
    wrmsr(EFER, rdmsr(EFER) & ~1ul);
    guest_expect_user(do_syscall, 0, UD, 0, "SYSCALL without EFER.SCE");
    guest_expect(do_sysret, 0, UD, 0, "SYSRET without EFER.SCE");
    wrmsr(EFER, rdmsr(EFER) | 1);
    guest_expect_user(do_sysret, 0, GP, 0, "SYSRET at CPL 3");
    guest_expect(do_sysret, (void *)(UINT64_C(1) << 47), GP, 0, "SYSRET to a non-canonical RIP");
    guest_equal(trap.cs, SEL_CODE, "faults at CPL 0");
}

static void sysenters(void)
{
    wrmsr(SYSENTER_CS, 0);
    guest_expect_user(do_sysenter, 0, GP, 0, "SYSENTER with a null IA32_SYSENTER_CS");
    guest_expect(do_sysexit, 0, GP, 0, "SYSEXIT with it");
    wrmsr(SYSENTER_CS, SEL_CODE);
    wrmsr(SYSENTER_ESP, (word)kernel_stack + 1024);
    wrmsr(SYSENTER_EIP, (word)enter_done);
    guest_expect_user(do_sysenter, 0, -1, 0, "SYSENTER and SYSEXIT");
    guest_equal(seen[0], (word)kernel_stack + 1024, "RSP");
    guest_equal(seen[3], SEL_CODE, "CS");
    guest_equal(seen[4], SEL_DATA, "SS");
    guest_equal(seen[5] & 0x200, 0, "IF is cleared");
    guest_equal(seen[1], (SEL_CODE + 32) | 3, "CS after SYSEXIT");
    guest_equal(seen[2], (SEL_CODE + 40) | 3, "SS after SYSEXIT");
    guest_expect_user(do_sysexit, 0, GP, 0, "SYSEXIT at CPL 3");
    guest_expect(do_sysexit, (void *)(UINT64_C(1) << 47), GP, 0, "SYSEXIT to non-canonical");
}

static void swap(void *p)
{
    (void)p;
    __asm__ volatile("swapgs");
}

static void wrgs(void *p)
{
    __asm__ volatile("wrgsbase %0" : : "r"(p));
}

static void wrmsr_gs(void *p)
{
    wrmsr(GS_BASE, (word)p);
}

static void bases(void)
{
    wrmsr(GS_BASE, 0x1111);
    wrmsr(KERNEL_GS_BASE, 0x2222);
    swap(0);
    guest_equal(rdmsr(GS_BASE), 0x2222, "SWAPGS: the GS base");
    guest_equal(rdmsr(KERNEL_GS_BASE), 0x1111, "the other");
    guest_expect_user(swap, 0, GP, 0, "SWAPGS at CPL 3");
    guest_expect(wrmsr_gs, (void *)(UINT64_C(1) << 63), GP, 0, "WRMSR of a non-canonical base");
    guest_expect(wrgs, 0, UD, 0, "WRGSBASE without CR4.FSGSBASE");
    write_cr4(read_cr4() | 1 << 16);
    guest_expect(wrgs, (void *)(UINT64_C(1) << 63), GP, 0, "WRGSBASE of a non-canonical base");
    guest_expect_user(wrgs, (void *)0x3333, -1, 0, "WRGSBASE at CPL 3");
    guest_equal(rdmsr(GS_BASE), 0x3333, "its effect");
    word read;
    __asm__ volatile("mov $-1, %0; rdgsbase %k0" : "=r"(read));
    guest_equal(read, 0x3333, "RDGSBASE of 32 bits");
    static word data = 0x55;
    wrmsr(FS_BASE, (word)&data - 8);
    __asm__ volatile("mov %%fs:8, %0" : "=r"(read));
    guest_equal(read, 0x55, "an FS-relative load");
    __asm__ volatile("mov %1, %%fs; rdfsbase %0" : "=r"(read) : "r"(SEL_DATA));
    guest_equal(read, 0, "loading FS loads its base");
    __asm__ volatile("mov %0, %%gs" : : "r"(0));
    write_cr4(read_cr4() & ~(1ul << 16));
}

static word pair[4] __attribute__((aligned(16)));

static void cmpxchg16b(void *p)
{
    __asm__ volatile("lock cmpxchg16b (%0)"
                     :
                     : "r"(p), "a"(0), "d"(0), "b"(0), "c"(0)
                     : "memory", "cc");
}

static void pairs(void)
{
    word low = 1, high = 2;
    bool equal;
    pair[0] = 1, pair[1] = 2;
    __asm__ volatile("lock cmpxchg16b %1; sete %0"
                     : "=q"(equal), "+m"(*(char(*)[16])pair), "+a"(low), "+d"(high)
                     : "b"(3ul), "c"(4ul)
                     : "cc");
    guest_check(equal && pair[0] == 3 && pair[1] == 4, "CMPXCHG16B that finds its operand");
    __asm__ volatile("lock cmpxchg16b %1; sete %0"
                     : "=q"(equal), "+m"(*(char(*)[16])pair), "+a"(low), "+d"(high)
                     : "b"(5ul), "c"(6ul)
                     : "cc");
    guest_check(!equal && low == 3 && high == 4 && pair[0] == 3, "and that doesn't");
    guest_expect(cmpxchg16b, pair + 1, GP, 0, "CMPXCHG16B off its alignment");
}

int guest_main(void)
{
    guest_init();
    pages_init();
    pages_image(true);
    syscalls();
    sysenters();
    bases();
    pairs();
    return guest_done();
}
