/* SPDX-License-Identifier: MIT */
/* Virtual-8086 mode: entered by IRET, left by traps; INT n, CLI, PUSHF and others by IOPL and VME. */
#include "tests/guests/trap.h"
#include "tests/guests/x86.h"

#define VM (1ul << 17)
#define IOPL3 0x3000ul
#define VIF (1ul << 19)
#define VIP (1ul << 20)
#define TEXT 0x20000u /* where the 16-bit code lies: 2000:0000 */

static struct trap got;

static bool note(struct trap *frame)
{
    got = *frame;
    return false;
}

/* Enters at 2000:0000 by IRET with the frame that it wants: the handler of what ends it unwinds. */
struct vm86_frame {
    word ip, cs, flags, sp, ss, es, ds, fs, gs;
};
static struct vm86_frame start;

static void enter(void *p)
{
    (void)p;
    __asm__ volatile("mov %%esp, guest_tss+4\n mov %0, %%esp\n mov $0x1234, %%eax\n iret"
                     :
                     : "r"(&start)
                     : "memory");
}

/* Runs bytes in virtual-8086 mode until they trap. */
static void run(const char *bytes, unsigned size, word flags)
{
    volatile uint8_t *to = (volatile uint8_t *)TEXT;
    for (unsigned k = 0; k < size; k++)
        to[k] = (uint8_t)bytes[k];
    to[size] = 0xf1; /* INT1 ends what doesn't trap */
    start = (struct vm86_frame){0,      0x2000, 2 | VM | flags, 0x1000, 0x3000,
                                0x1111, 0x2000, 0x3333,         0x4444};
    guest_try(enter, 0);
    /* The test's stack pointer for CPL 0 was inside the try. */
}
#define RUN(bytes, flags) run(bytes, sizeof(bytes) - 1, flags)

static void ends(unsigned vector, word error, unsigned ip, const char *name)
{
    bool ok = got.vector == vector && got.error == error && got.ip == ip;
    guest_check(ok, name);
    if (!ok) {
        guest_print("# vector, error, IP ");
        guest_print_hex(got.vector);
        guest_print(" ");
        guest_print_hex(got.error);
        guest_print(" ");
        guest_print_hex(got.ip);
        guest_print("\n");
    }
}

static uint16_t stacked(unsigned at)
{
    return *(volatile uint16_t *)(0x30000 + at);
}

static void entry(void)
{
    RUN("", IOPL3);
    ends(DB, 0, 1, "IRET to virtual-8086 mode, INT1 out of it");
    guest_equal(got.flags & (VM | IOPL3), VM | IOPL3, "VM and IOPL in the frame");
    guest_equal(got.cs, 0x2000, "CS");
    guest_equal(got.ss, 0x3000, "SS");
    guest_equal(got.sp, 0x1000, "ESP");
    guest_equal(got.vm86[0], 0x1111, "ES");
    guest_equal(got.vm86[1], 0x2000, "DS");
    guest_equal(got.vm86[2], 0x3333, "FS");
    guest_equal(got.vm86[3], 0x4444, "GS");
    guest_equal(got.gs | got.fs | (got.es & 0) | (got.ds & 0), 0,
                "FS and GS are null in the handler");
    guest_equal(got.ax, 0x1234, "EAX goes through");
    RUN("\x8c\xc8\x8e\xc0\x8c\xc0", IOPL3); /* mov ax,cs; mov es,ax; mov ax,es */
    guest_equal(got.ax & 0xffff, 0x2000, "segment loads as in real mode");
    RUN("\xb8\x55\xaa\xa3\x00\x08", IOPL3); /* mov ax,0xaa55; mov [0x800],ax */
    guest_equal(*(volatile uint16_t *)(TEXT + 0x800), 0xaa55, "a store by DS times 16");
    RUN("\x0f\x00\xc8", IOPL3); /* str ax */
    ends(UD, 0, 0, "STR isn't recognized");
    RUN("\xf4", IOPL3);
    ends(GP, 0, 0, "HLT needs CPL 0");
    RUN("\x0f\x20\xc0", IOPL3);
    ends(GP, 0, 0, "MOV from CR0 needs CPL 0");
    RUN("\x66\xa1\xfd\xff", IOPL3); /* mov eax,[0xfffd] */
    ends(GP, 0, 0, "the limit is 64 KiB");
    RUN("\xe4\x80", IOPL3);
    ends(GP, 0, 0, "IN looks at the I/O map, whatever IOPL is");
    guest_tss.map[32 + 16] = 0xfe;
    RUN("\xe4\x80", IOPL3);
    ends(DB, 0, 3, "and is allowed by it");
    guest_tss.map[32 + 16] = 0xff;
}

static void sensitive(void)
{
    RUN("\xfa", 0);
    ends(GP, 0, 0, "CLI with IOPL 0");
    RUN("\xfb", 0);
    ends(GP, 0, 0, "STI with IOPL 0");
    RUN("\x9c", 0);
    ends(GP, 0, 0, "PUSHF with IOPL 0");
    RUN("\x9d", 0);
    ends(GP, 0, 0, "POPF with IOPL 0");
    RUN("\xcf", 0);
    ends(GP, 0, 0, "IRET with IOPL 0");
    RUN("\xcd\x21", 0);
    ends(GP, 0, 0, "INT n with IOPL 0");
    RUN("\xcc", 0);
    ends(BP, 0, 1, "INT3 with IOPL 0 goes to its gate");
    RUN("\xfa\x9c", IOPL3 | 0x200);
    ends(DB, 0, 3, "CLI and PUSHF with IOPL 3");
    guest_equal(stacked(0xffe) & 0x200, 0, "CLI cleared IF");
    guest_equal(got.flags & 0x200, 0, "for good");
    RUN("\xcd\xc8", IOPL3);
    ends(200, 0, 2, "INT n with IOPL 3 goes to its gate");
    RUN("\xcd\x21", IOPL3);
    ends(GP, 0x21 * 8 + 2, 0, "whose DPL must be 3");
    set_gate(0xc9, gate_entry(0xc9), SEL_CODE32 | 3, 0xee, 0);
    guest_gdt[SEL_FREE / 8] = descriptor(0, 0xfffff, 0xfb, 0xc0);
    set_gate(0xc9, gate_entry(0xc9), SEL_FREE, 0xee, 0);
    RUN("\xcd\xc9", IOPL3);
    ends(GP, SEL_FREE, 0, "and whose code must have DPL 0");
    reset_gate(0xc9);
    /* pushw 0x0202|..., pushw cs, pushw 7; iret */
    RUN("\x68\x02\x02\x0e\x68\x09\x00\xcf\xf4", IOPL3);
    ends(DB, 0, 10, "IRET with IOPL 3 stays in the mode");
    guest_equal(got.flags & (0x200 | IOPL3 | VM), 0x200 | IOPL3 | VM, "and changes IF, not IOPL");
}

static void vme(void)
{
    if (!(cpuid(1, 0).d & 2)) {
        guest_skip("VME", "no VME");
        return;
    }
    write_cr4(read_cr4() | 1);
    RUN("\xfb", 0);
    ends(DB, 0, 2, "VME: STI");
    guest_equal(got.flags & (VIF | 0x200), VIF, "sets VIF, not IF");
    RUN("\xfa", VIF);
    ends(DB, 0, 2, "VME: CLI");
    guest_equal(got.flags & VIF, 0, "clears VIF");
    RUN("\xfb", VIP);
    ends(GP, 0, 0, "VME: STI with VIP");
    RUN("\x9c", VIF);
    ends(DB, 0, 2, "VME: PUSHF");
    guest_equal(stacked(0xffe) & (0x200 | IOPL3), 0x200 | IOPL3, "VIF as IF, IOPL as 3");
    RUN("\x66\x9c", VIF);
    ends(GP, 0, 0, "VME: PUSHFD");
    RUN("\x68\x02\x02\x9d", 0);
    ends(DB, 0, 5, "VME: POPF");
    guest_equal(got.flags & (VIF | 0x200), VIF, "IF goes to VIF");
    RUN("\x68\x02\x03\x9d", 0);
    ends(GP, 0, 3, "VME: POPF of TF");
    RUN("\x68\x02\x02\x9d", VIP);
    ends(GP, 0, 3, "VME: POPF of IF with VIP");
    /* INT 0x21: its redirection bit is clear, so the machine's own vector table is used. */
    *(volatile uint32_t *)(0x21 * 4) = 0x20000100;
    *(volatile uint8_t *)(TEXT + 0x100) = 0xf1;
    RUN("\xcd\x21", VIF);
    ends(DB, 0, 0x101, "VME: INT n by the redirection map");
    guest_equal(stacked(0xffa), 2, "the return address");
    guest_equal(stacked(0xffc), 0x2000, "its segment");
    guest_equal(stacked(0xffe) & (0x200 | IOPL3), 0x200 | IOPL3, "VIF as IF in the pushed flags");
    guest_equal(got.flags & VIF, 0, "VIF is cleared");
    RUN("\xcd\x21", IOPL3 | 0x200);
    ends(DB, 0, 0x101, "VME: INT n with IOPL 3");
    guest_equal(got.flags & 0x200, 0, "IF is cleared");
    guest_tss.map[0x21 / 8] |= 1 << (0x21 & 7);
    RUN("\xcd\x21", 0);
    ends(GP, 0, 0, "VME: INT n whose bit is set, IOPL 0");
    RUN("\xcd\x21", IOPL3);
    ends(GP, 0x21 * 8 + 2, 0, "and IOPL 3: the gate");
    guest_tss.map[0x21 / 8] = 0;
    write_cr4(read_cr4() & ~1ul);
}

static void set_vif(void *p)
{
    (void)p;
    __asm__ volatile("sti" : : : "cc");
}

static void pvi(void)
{
    write_cr4(read_cr4() | 2);
    guest_expect_user(set_vif, 0, -1, 0, "PVI: STI at CPL 3");
    write_cr4(read_cr4() & ~2ul);
    guest_expect_user(set_vif, 0, GP, 0, "STI at CPL 3 without it");
}

int guest_main(void)
{
    guest_init();
    memset(guest_tss.map, 0, 32);
    memset(guest_tss.map + 32, 0xff, 33);
    for (unsigned vector = 0; vector < 256; vector++)
        trap_hooks[vector] = note;
    trap_hooks[USER_DONE] = NULL;
    entry();
    sensitive();
    vme();
    pvi();
    return guest_done();
}
