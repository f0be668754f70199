/* SPDX-License-Identifier: MIT */
/*
 * System-management mode as firmware uses it: the handler is put into SMRAM, SMBASE relocated into it,
 * SMRAM hidden; then SMIs strike 64-bit code with paging, HLT and interrupt handlers.
 */
#include "tests/guests/pages.h"

#define APIC ((volatile uint32_t *)0xfee00000)
#define IPI 0x40
#define SMI (2 << 8)
#define FIXED (1 << 14)
#define FIRST 0x30000 /* SMBASE after RESET */
#define SMBASE 0xa0000
#define AREA 0xfe00
#define SMRAM_REGISTER 0x72 /* of the 440FX, function 0 of device 0 */
#define SMRAM_OPEN 0x4a
#define SMRAM_CLOSED 0x0a
#define SMI_COUNT 0x34

/* What the handler leaves for others to see. */
#define NOTES ((volatile uint32_t *)0x9000)
enum { RUNS, CR0, FLAGS, RIP, CS_BASE, REVISION, NOTE_COUNT };

extern char relocate[], relocate_end[], handler[], handler_end[];

__asm__(".code16\n"
        ".globl relocate, relocate_end, handler, handler_end\n"
        /* MOV DWORD [CS:FF00H], SMBASE */
        "relocate: .byte 0x2e, 0x66, 0xc7, 0x06; .word 0xff00; .long 0xa0000\n"
        "rsm\n"
        "relocate_end:\n"
        "handler: movw $0x900, %ax; movw %ax, %ds\n"
        "incl 0\n"
        "movl %cr0, %eax; movl %eax, 4\n"
        "pushfl; popl %eax; movl %eax, 8\n"
        "movl %cs:0xff78, %eax; movl %eax, 12\n" /* RIP */
        "movw %cs, %ax; movzwl %ax, %eax; shll $4, %eax; movl %eax, 16\n"
        "movl %cs:0xfefc, %eax; movl %eax, 20\n"
        "movb 0x40, %al; testb %al, %al; jz 1f\n"
        "movb $0, %cs:0xfec9\n" /* don't go back to HLT */
        "1: rsm\n"
        "handler_end:\n"
        ".code64\n");

static void set_smram(uint8_t value)
{
    outl(0xcf8, 0x80000000 | (SMRAM_REGISTER & ~3));
    outb(0xcfc + (SMRAM_REGISTER & 3), value);
}

static void send(uint32_t command)
{
    APIC[0x310 / 4] = APIC[0x20 / 4];
    APIC[0x300 / 4] = command;
}

static void copy(uint64_t to, const char *from, const char *end)
{
    memcpy((void *)to, from, (size_t)(end - from));
}

static void install(void)
{
    set_smram(SMRAM_OPEN);
    copy(FIRST + 0x8000, relocate, relocate_end);
    copy(SMBASE + 0x8000, handler, handler_end);
    guest_equal(*(uint8_t *)(SMBASE + 0x8000), *(uint8_t *)handler, "SMRAM is open");
    set_smram(SMRAM_CLOSED);
    guest_check(*(volatile uint32_t *)(SMBASE + 0x8000) != *(uint32_t *)(void *)handler,
                "and hidden");
}

static unsigned ipis;

static bool ipi(struct trap *frame)
{
    (void)frame;
    ipis++;
    APIC[0xb0 / 4] = 0;
    return true;
}

/* Registers survive, whatever the handler did with them. */
static void registers(void)
{
    uint64_t ax = 0x1122334455667788, r15 = 0x99aabbccddeeff00, cr3 = read_cr3();
    volatile uint32_t *command = &APIC[0x300 / 4];
    uint32_t runs = NOTES[RUNS];
    APIC[0x310 / 4] = APIC[0x20 / 4];
    __asm__ volatile("mov %1, %%r15; movl $0x4200, (%2); nop; nop; mov %%r15, %1"
                     : "+a"(ax), "+b"(r15)
                     : "c"(command)
                     : "r15", "memory");
    guest_equal(NOTES[RUNS], runs + 1, "the handler runs in SMRAM");
    guest_check(ax == 0x1122334455667788 && r15 == 0x99aabbccddeeff00, "64-bit registers survive");
    guest_equal(read_cr3(), cr3, "CR3");
    guest_equal(rdmsr(0xc0000080) >> 8 & 5, 5, "IA-32e mode goes on");
    guest_equal(NOTES[CR0] & 0x80000001, 0, "the handler is in real-address mode");
    guest_equal(NOTES[FLAGS], 2, "its RFLAGS");
    guest_equal(NOTES[CS_BASE], SMBASE, "its CS");
    guest_equal(NOTES[REVISION] & 0x30000, 0x30000, "I/O restart and SMBASE relocation");
}

static void halted(void)
{
    uint32_t runs = NOTES[RUNS];
    /* An interrupt follows the SMI: HLT is gone back to in between. */
    __asm__ volatile("cli");
    ipis = 0;
    send(FIXED | IPI);
    send(FIXED | SMI);
    __asm__ volatile("sti; hlt");
    guest_check(ipis == 1 && NOTES[RUNS] == runs + 1, "an SMI before an interrupt that ends HLT");
    /* The PIT's I/O APIC entry as an SMI; the handler ends HLT. */
    volatile uint32_t *select = (volatile uint32_t *)0xfec00000, *window = select + 4;
    *select = 0x10 + 2 * 2 + 1;
    *window = APIC[0x20 / 4];
    *select = 0x10 + 2 * 2;
    *window = SMI;
    ((volatile uint8_t *)NOTES)[0x40] = 1;
    outb(0x43, 0x30);
    outb(0x40, 0x80);
    outb(0x40, 0);
    __asm__ volatile("cli; hlt");
    ((volatile uint8_t *)NOTES)[0x40] = 0;
    *select = 0x10 + 2 * 2;
    *window = 1 << 16;
    guest_equal(NOTES[RUNS], runs + 2, "an SMI from the I/O APIC wakes from HLT");
}

static void do_rsm(void *argument)
{
    (void)argument;
    __asm__ volatile("rsm");
}

int guest_main(void)
{
    guest_init();
    pages_init();
    trap_hooks[IPI] = ipi;
    APIC[0xf0 / 4] = 0x1ff;
    __asm__ volatile("sti");
    install();
    guest_expect(do_rsm, 0, UD, 0, "RSM outside SMM is undefined");
    uint64_t smis = rdmsr(SMI_COUNT);
    send(FIXED | SMI);
    guest_equal(rdmsr(SMI_COUNT), smis + 1, "MSR_SMI_COUNT");
    guest_equal(NOTES[RUNS], 0, "the first SMI relocates");
    guest_equal(*(volatile uint32_t *)(FIRST + AREA + 0x100), SMBASE, "SMBASE in the save area");
    registers();
    halted();
    return guest_done();
}
