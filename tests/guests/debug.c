/* SPDX-License-Identifier: MIT */
/* Debug exceptions: breakpoints on code, data and I/O; single steps and what holds them back. */
#include "tests/guests/pages.h"

enum { MAX = 64 };
static struct {
    word ip, dr6, flags;
} hit[MAX];
static unsigned hits;

static bool note(struct trap *frame)
{
    if (hits < MAX) {
        hit[hits].ip = frame->ip;
        hit[hits].flags = frame->flags;
        hit[hits++].dr6 = read_dr6() & 0xe00f;
    }
    write_dr6(0xffff0ff0);
    return true;
}

/* Steps code with TF set by POPF and cleared by POPF. */
#define STEPPED(name, text)                                                                        \
    extern char name[], name##_end[];                                                              \
    static void do_##name(void)                                                                    \
    {                                                                                              \
        hits = 0;                                                                                  \
        __asm__ volatile(".globl " #name ", " #name                                                \
                         "_end\n pushf; orl $0x100, (%%rsp); popf\n" #name ": " text "\n" #name    \
                         "_end:\n"                                                                 \
                         "pushf; andl $~0x100, (%%rsp); popf"                                      \
                         :                                                                         \
                         :                                                                         \
                         : "memory", "cc", "rax", "rcx", "rdx", "rsi", "rdi", "r11");              \
    }

/* The steps after the last instruction of the text: PUSHF, ANDL, and POPF, which ends them. */
#define TAIL 3u

static void check_steps(const char *name, unsigned wanted)
{
    guest_equal(hits, wanted + TAIL, name);
    for (unsigned k = 0; k < hits; k++)
        if (hit[k].dr6 != 0x4000) {
            guest_equal(hit[k].dr6, 0x4000, name);
            break;
        }
}

char buffer[64], other[64];

/* The first step is after the instruction that follows POPF. */
STEPPED(nops, "nop; nop")
STEPPED(rep_movs, "lea buffer(%%rip), %%rsi; lea other(%%rip), %%rdi; mov $3, %%ecx; rep movsb")
STEPPED(rep_none, "xor %%ecx, %%ecx; rep movsb")
STEPPED(mov_ss, "mov %%ss, %%eax; mov %%eax, %%ss; nop; nop")
STEPPED(soft_int, "int $0x90; nop")
STEPPED(sti, "sti; nop; cli")
STEPPED(cpuid_step, "push %%rbx; xor %%eax, %%eax; cpuid; pop %%rbx")
STEPPED(taken, "jmp 1f; nop; 1: nop")

static word flags_in_handler;

static bool note_int(struct trap *frame)
{
    (void)frame;
    flags_in_handler = read_flags();
    return true;
}

static void steps(void)
{
    do_nops();
    check_steps("two NOPs", 2);
    guest_equal(hit[0].ip, (word)nops + 1, "the first step's RIP");
    guest_check(hit[0].flags & 0x100, "TF in the saved flags");
    do_rep_movs();
    check_steps("REP MOVS: a step for each iteration", 3 + 3);
    guest_equal(hit[3].ip, hit[4].ip, "RIP stays at the REP");
    do_rep_none();
    check_steps("REP MOVS of nothing is one step", 2);
    do_mov_ss();
    check_steps("no step after MOV SS", 3);
    guest_equal(hit[1].ip, (word)mov_ss + 5, "but after the next instruction");
    do_sti();
    check_steps("STI holds no step back", 3);
    do_cpuid_step();
    check_steps("CPUID", 4);
    do_taken();
    check_steps("JMP", 2);
    trap_hooks[0x90] = note_int;
    do_soft_int();
    guest_check(!(flags_in_handler & 0x100), "INT n clears TF");
    check_steps("INT n leaves no step", 1);
    guest_equal(hit[0].ip, (word)soft_int + 3, "the next step is after the handler");
}

volatile uint64_t word_data[4] __attribute__((aligned(64)));

static void arm(unsigned n, const volatile void *at, unsigned rw, unsigned len)
{
    switch (n) {
    case 0:
        write_dr0((word)at);
        break;
    case 1:
        write_dr1((word)at);
        break;
    case 2:
        write_dr2((word)at);
        break;
    default:
        write_dr3((word)at);
        break;
    }
    hits = 0;
    write_dr6(0xffff0ff0);
    write_dr7((read_dr7() & ~(15ul << (16 + 4 * n))) | 2ul << (2 * n) | (word)rw << (16 + 4 * n) |
              (word)len << (18 + 4 * n));
}

static void disarm(void)
{
    write_dr7(0x400);
}

static void data(void)
{
    volatile uint8_t *bytes = (volatile uint8_t *)word_data;
    arm(0, &word_data[1], 1, 3);
    word_data[1] = 1;
    guest_equal(hits, 1, "a store to a watched word");
    guest_equal(hit[0].dr6, 1, "DR6.B0");
    (void)word_data[1];
    guest_equal(hits, 1, "a load is no store");
    bytes[12] = 1;
    guest_equal(hits, 1, "a store beyond four bytes");
    bytes[11] = 1;
    guest_equal(hits, 2, "a store to the last byte");
    *(volatile uint64_t *)(bytes + 4) = 0;
    guest_equal(hits, 3, "a store that overlaps");
    *(volatile uint32_t *)(bytes + 4) = 0;
    guest_equal(hits, 3, "a store just before");
    arm(1, &word_data[2], 3, 2);
    (void)word_data[2];
    guest_equal(hits, 1, "a load of a word watched for both");
    guest_equal(hit[0].dr6, 2, "DR6.B1");
    __asm__ volatile("incq word_data+16(%%rip)" : : : "memory", "cc");
    guest_equal(hits, 2, "an increment is one hit");
    arm(2, &word_data[1], 3, 0);
    *(volatile uint64_t *)&word_data[1] = 7;
    guest_equal(hit[0].dr6, 5, "two breakpoints hit at once");
    disarm();
    word_data[1] = 0;
    guest_equal(hits, 1, "none when disarmed");
}

extern char watched[], after_watched[];

static void rep_data(void)
{
    word count, at = (word)buffer;
    arm(0, buffer + 4, 1, 0);
    __asm__ volatile(".globl watched, after_watched\nwatched: rep stosb; after_watched:"
                     : "=c"(count), "+D"(at)
                     : "0"(8), "a"(1)
                     : "memory");
    guest_equal(hits, 1, "REP STOS over a watched byte");
    guest_equal(hit[0].ip, (word)watched, "reported at the iteration, RIP at the REP");
    guest_equal(at, (word)buffer + 8, "and it goes on");
    disarm();
}

extern char code_here[], code_next[];

static void run_code(void)
{
    __asm__ volatile(".globl code_here, code_next\n nop\ncode_here: nop\ncode_next: nop" : : :);
}

static bool note_and_resume(struct trap *frame)
{
    note(frame);
    frame->flags |= 0x10000;
    return true;
}

static void code(void)
{
    trap_hooks[DB] = note_and_resume;
    arm(0, code_here, 0, 0);
    run_code();
    guest_equal(hits, 1, "an instruction breakpoint, once with RF");
    guest_equal(hit[0].ip, (word)code_here, "it is a fault");
    guest_equal(hit[0].dr6, 1, "DR6.B0");
    run_code();
    guest_equal(hits, 2, "RF was cleared");
    arm(1, code_next, 0, 0);
    run_code();
    guest_equal(hits, 2, "RF holds for one instruction");
    disarm();
    write_dr0((word)code_here + 1);
    trap_hooks[DB] = note;
}

extern char ss_break[];

static void code_after_mov_ss(void)
{
    trap_hooks[DB] = note_and_resume;
    arm(0, ss_break, 0, 0);
    __asm__ volatile(".globl ss_break\n mov %%ss, %%eax; mov %%eax, %%ss\nss_break: nop"
                     :
                     :
                     : "rax");
    guest_equal(hits, 0, "no instruction breakpoint after MOV SS");
    disarm();
    arm(0, word_data, 3, 1);
    __asm__ volatile("mov %%ss, word_data(%%rip)\n mov word_data(%%rip), %%ss\nnop\n nop" : : :);
    guest_equal(hits, 2, "data breakpoint of MOV to SS");
    disarm();
    trap_hooks[DB] = note;
}

static void io(void)
{
    write_cr4(read_cr4() | 8);
    arm(0, (void *)0x80, 2, 0);
    outb(0x80, 1);
    guest_equal(hits, 1, "OUT to a watched port");
    outb(0x81, 1);
    guest_equal(hits, 1, "OUT to the next port");
    (void)inb(0x80);
    guest_equal(hits, 2, "IN of a watched port");
    write_cr4(read_cr4() & ~8ul);
    disarm();
}

static void touch_dr7(void *argument)
{
    (void)argument;
    write_dr7(0x400);
}

extern char dr4[];

static void touch_dr4(void *argument)
{
    (void)argument;
    __asm__ volatile("mov %%dr4, %%rax" : : : "rax");
}

static void dr6_high(void *argument)
{
    (void)argument;
    write_dr6(UINT64_C(1) << 32);
}

static void int1(void *argument)
{
    (void)argument;
    __asm__ volatile(".byte 0xf1");
}

static void registers(void)
{
    trap_hooks[DB] = NULL;
    write_dr6(0);
    guest_equal(read_dr6(), 0xffff0ff0, "DR6's fixed bits");
    write_dr7(0);
    guest_equal(read_dr7(), 0x400, "DR7's fixed bit");
    write_dr7(0x2400);
    guest_expect(touch_dr7, 0, DB, 0, "DR7.GD");
    guest_equal(trap.dr6 & 0xe00f, 0x2000, "DR6.BD");
    guest_equal(read_dr7() & 0x2000, 0, "GD is cleared by #DB");
    guest_expect(touch_dr4, 0, -1, 0, "DR4 is DR6");
    write_cr4(read_cr4() | 8);
    guest_expect(touch_dr4, 0, UD, 0, "DR4 with CR4.DE");
    write_cr4(read_cr4() & ~8ul);
    guest_expect(dr6_high, 0, GP, 0, "DR6's upper half");
    write_dr6(0xffff0ff0);
    guest_expect(int1, 0, DB, 0, "INT1");
    guest_equal(trap.dr6 & 0xe00f, 0, "INT1 sets nothing in DR6");
}

int guest_main(void)
{
    guest_init();
    pages_init();
    trap_hooks[DB] = note;
    steps();
    data();
    rep_data();
    code();
    code_after_mov_ss();
    io();
    registers();
    return guest_done();
}
