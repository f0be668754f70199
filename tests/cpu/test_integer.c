/* SPDX-License-Identifier: MIT */
/* Integer instructions in their modes: stack, near branches, ports, decimal, odds and ends. */
#include "tests/suite.h"
#include "tests/cpu/world.h"

#define R(w, reg) ((w)->cpu->gpr[reg])

/* Runs the bytes, n instructions, in a fresh world. */
#define START(w, mode_, bytes)                                                                     \
    struct world w;                                                                                \
    world_init(&w, mode_);                                                                         \
    code(&w, bytes)

/* In vector n's handler, before or after its HLT: whether delivery takes a tick is another's matter. */
#define ASSERT_FAULT(w, n) ck_assert_uint_eq((w)->cpu->rip & ~UINT64_C(1), HANDLER + 16 * (n))

/* ---- Stack ---- */
START_TEST(push_and_pop_64)
{
    START(w, WORLD_64,
          "\x54"             /* push %rsp */
          "\x5b"             /* pop %rbx */
          "\x6a\xff"         /* push $-1 */
          "\x66\x6a\xfe"     /* pushw $-2 */
          "\x66\x58"         /* pop %ax */
          "\x8f\x44\x24\x08" /* pop 8(%rsp) */
          "\xff\x34\x24"     /* push (%rsp) */
          "\x5c");           /* pop %rsp */
    run(&w, 2);
    ck_assert_uint_eq(R(&w, RBX), STACK);
    ck_assert_uint_eq(R(&w, RSP), STACK);
    run(&w, 2);
    ck_assert_uint_eq(R(&w, RSP), STACK - 10);
    ck_assert_uint_eq(get(&w, STACK - 8, 8), UINT64_MAX);
    ck_assert_uint_eq(get(&w, STACK - 10, 2), 0xfffe);
    R(&w, RAX) = 0x123450000;
    run(&w, 1);
    ck_assert_uint_eq(R(&w, RAX), 0x12345fffe);
    run(&w, 1); /* the address is computed with the incremented RSP */
    ck_assert_uint_eq(R(&w, RSP), STACK);
    ck_assert_uint_eq(get(&w, STACK + 8, 8), UINT64_MAX);
    put(&w, STACK, 0x61000, 8);
    run(&w, 2);
    ck_assert_uint_eq(R(&w, RSP), 0x61000);
    world_fini(&w);
}
END_TEST

START_TEST(push_all)
{
    START(w, WORLD_32, "\x60\x61\x66\x60\x66\x61");
    for (unsigned k = 0; k < 8; k++)
        if (k != RSP)
            R(&w, k) = 0x11111111 * k;
    run(&w, 1);
    ck_assert_uint_eq(R(&w, RSP), STACK - 32);
    ck_assert_uint_eq(get(&w, STACK - 20, 4), STACK);
    ck_assert_uint_eq(get(&w, STACK - 32, 4), 0x77777777);
    put(&w, STACK - 20, 0xdead, 4); /* POPA skips it */
    put(&w, STACK - 4, 0xabcd1234, 4);
    run(&w, 1);
    ck_assert_uint_eq(R(&w, RSP), STACK);
    ck_assert_uint_eq(R(&w, RAX), 0xabcd1234);
    R(&w, RDI) = 0x12345678;
    run(&w, 1);
    ck_assert_uint_eq(R(&w, RSP), STACK - 16);
    ck_assert_uint_eq(get(&w, STACK - 16, 2), 0x5678);
    put(&w, STACK - 16, 0x9999, 2);
    run(&w, 1);
    ck_assert_uint_eq(R(&w, RDI), 0x12349999);
    world_fini(&w);
}
END_TEST

START_TEST(enter_and_leave)
{
    START(w, WORLD_64,
          "\xc8\x10\x00\x00" /* enter $16, $0 */
          "\xc9"             /* leave */
          "\xc8\x20\x00\x03" /* enter $32, $3 */
          "\xc9");
    R(&w, RBP) = STACK + 0x100;
    put(&w, STACK + 0x100 - 8, 0x1111, 8);
    put(&w, STACK + 0x100 - 16, 0x2222, 8);
    run(&w, 1);
    ck_assert_uint_eq(R(&w, RBP), STACK - 8);
    ck_assert_uint_eq(R(&w, RSP), STACK - 24);
    ck_assert_uint_eq(get(&w, STACK - 8, 8), STACK + 0x100);
    run(&w, 1);
    ck_assert_uint_eq(R(&w, RBP), STACK + 0x100);
    ck_assert_uint_eq(R(&w, RSP), STACK);
    run(&w, 1);
    ck_assert_uint_eq(R(&w, RBP), STACK - 8);
    ck_assert_uint_eq(R(&w, RSP), STACK - 64);
    ck_assert_uint_eq(get(&w, STACK - 16, 8), 0x1111);
    ck_assert_uint_eq(get(&w, STACK - 24, 8), 0x2222);
    ck_assert_uint_eq(get(&w, STACK - 32, 8), STACK - 8);
    run(&w, 1);
    ck_assert_uint_eq(R(&w, RSP), STACK);
    world_fini(&w);
}
END_TEST

START_TEST(stack_wraps_at_64k)
{
    START(w, WORLD_REAL, "\x50\x58\x66\x50");
    R(&w, RSP) = 0x12340000; /* SP = 0 */
    R(&w, RAX) = 0xaabbccdd;
    run(&w, 1);
    ck_assert_uint_eq(R(&w, RSP), 0x1234fffe);
    ck_assert_uint_eq(get(&w, CODE + 0xfffe, 2), 0xccdd);
    run(&w, 1);
    ck_assert_uint_eq(R(&w, RSP), 0x12340000);
    run(&w, 1);
    ck_assert_uint_eq(get(&w, CODE + 0xfffc, 4), 0xaabbccdd);
    world_fini(&w);
}
END_TEST

/* ---- Near branches ---- */
START_TEST(call_and_ret)
{
    START(w, WORLD_64,
          "\xe8\x0b\x00\x00\x00"         /* call 1f */
          "\xff\xd3"                     /* call *%rbx */
          "\xff\x16"                     /* call *(%rsi) */
          "\xff\xe3\x90\x90\x90\x90\x90" /* jmp *%rbx */
          "\xc2\x10\x00");               /* 1: ret $16 */
    R(&w, RBX) = CODE + 16;
    R(&w, RSI) = STACK + 0x100;
    put(&w, STACK + 0x100, CODE + 16, 8);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 16);
    ck_assert_uint_eq(get(&w, STACK - 8, 8), CODE + 5);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 5);
    ck_assert_uint_eq(R(&w, RSP), STACK + 16);
    run(&w, 2);
    ck_assert_uint_eq(w.cpu->rip, CODE + 7);
    ck_assert_uint_eq(R(&w, RSP), STACK + 32);
    run(&w, 2);
    ck_assert_uint_eq(w.cpu->rip, CODE + 9);
    ck_assert_uint_eq(R(&w, RSP), STACK + 48);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 16);
    world_fini(&w);
}
END_TEST

/* RET, JMP and CALL to a non-canonical address fault themselves, before anything changed. */
START_TEST(not_canonical)
{
    static const char *const insns[] = {"\xc3", "\xff\xe3", "\xff\xd3", "\xff\x26", "\xff\x16"};
    for (unsigned k = 0; k < ARRAY_SIZE(insns); k++) {
        START(w, WORLD_64, "\xf4");
        ck_assert(ram_write(&w.m.bus.ram, CODE, insns[k], strlen(insns[k])));
        R(&w, RSI) = STACK;
        put(&w, STACK, 0x0001000000000000, 8);
        R(&w, RBX) = 0xffff7fffffffffff;
        put(&w, HANDLER + 16 * 13, 0xf4, 1);
        run(&w, 1);
        ASSERT_FAULT(&w, 13);
        ck_assert_uint_eq(get(&w, R(&w, RSP) + 8, 8), CODE);
        ck_assert_uint_eq(get(&w, R(&w, RSP) + 32, 8), STACK);
        world_fini(&w);
    }
}
END_TEST

START_TEST(branches_32)
{
    START(w, WORLD_32,
          "\xe8\x01\x00\x00\x00\x90" /* call 1f; nop */
          "\x66\xc3");               /* 1: retw */
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 6);
    ck_assert_uint_eq(get(&w, STACK - 4, 4), CODE + 5);
    run(&w, 1); /* IP is 16 bits */
    ck_assert_uint_eq(w.cpu->rip, (CODE + 5) & 0xffff);
    ck_assert_uint_eq(R(&w, RSP), STACK - 2);
    world_fini(&w);
}
END_TEST

START_TEST(limit_of_cs)
{
    START(w, WORLD_32, "\x90\xe9\x00\x01\x00\x00");
    w.cpu->seg[SEG_CS].limit = CODE + 0x80;
    put(&w, HANDLER + 16 * 13, 0xf4, 1);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 1);
    run(&w, 1);
    ck_assert_uint_eq(get(&w, STACK - 16, 4), 0);
    ck_assert_uint_eq(get(&w, STACK - 12, 4), CODE + 1);
    world_fini(&w);
}
END_TEST

START_TEST(loops)
{
    START(w, WORLD_64,
          "\xe2\xfe"       /* loop . */
          "\x67\xe2\xfd"   /* loop (ecx) . */
          "\xe3\x01\xf4"   /* jrcxz 1f */
          "\x67\xe0\xfd"   /* 1: loopne (ecx) . */
          "\xe1\xfe\x90"); /* loope . */
    R(&w, RCX) = 3;
    run(&w, 3);
    ck_assert_uint_eq(w.cpu->rip, CODE + 2);
    ck_assert_uint_eq(R(&w, RCX), 0);
    R(&w, RCX) = 0x700000001;
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 5);
    ck_assert_uint_eq(R(&w, RCX), 0);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 8);
    set_rflags(w.cpu, FLAG_ZF);
    R(&w, RCX) = 9;
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 11);
    run(&w, 2);
    ck_assert_uint_eq(w.cpu->rip, CODE + 11);
    ck_assert_uint_eq(R(&w, RCX), 6);
    set_rflags(w.cpu, 0);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 13);
    world_fini(&w);
}
END_TEST

/* ---- Ports ---- */
static u64 port_value, port_time;
static unsigned port_size;
static struct clock *port_clock;

static u64 port_read(void *opaque, u64 offset, unsigned size)
{
    (void)opaque;
    port_size = size;
    port_time = port_clock->now;
    return port_value + offset;
}
static void port_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    (void)opaque;
    port_size = size;
    port_time = port_clock->now;
    port_value = value + offset;
}
static void map_ports(struct world *w)
{
    static const struct bus_ops ops = {.read = port_read, .write = port_write};
    struct bus_region region = {.base = 0x340, .size = 16, .ops = &ops, .name = "test"};
    port_clock = &w->m.clock;
    bus_map_io(&w->m.bus, &region);
}

START_TEST(ports)
{
    START(w, WORLD_64,
          "\x90\x90\xec"     /* nop; nop; in (%dx),%al */
          "\x66\xed\xed"     /* in (%dx),%ax; in (%dx),%eax */
          "\xee\x66\xef\xef" /* out */
          "\xf3\x6e"         /* rep outsb */
          "\xf3\x66\x6d");   /* rep insw */
    map_ports(&w);
    R(&w, RDX) = 0x341;
    R(&w, RAX) = UINT64_MAX;
    port_value = 0x11223343;
    u64 now = w.m.clock.now;
    run(&w, 3);
    ck_assert_uint_eq(R(&w, RAX), 0xffffffffffffff44);
    ck_assert_uint_eq(port_time, now + 2);
    run(&w, 1);
    ck_assert_uint_eq(R(&w, RAX), 0xffffffffffff3344);
    run(&w, 1);
    ck_assert_uint_eq(R(&w, RAX), 0x11223344);
    run(&w, 1);
    ck_assert_uint_eq(port_value, 0x44 + 1);
    run(&w, 1);
    ck_assert_uint_eq(port_value, 0x3344 + 1);
    ck_assert_uint_eq(port_size, 2);
    run(&w, 1);
    ck_assert_uint_eq(port_value, 0x11223344 + 1);
    R(&w, RSI) = R(&w, RDI) = STACK;
    put(&w, STACK, 0x030201, 4);
    R(&w, RCX) = 3;
    run(&w, 2);
    ck_assert_uint_eq(port_value, 3);
    ck_assert_uint_eq(R(&w, RCX), 1);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 12);
    ck_assert_uint_eq(R(&w, RSI), STACK + 3);
    R(&w, RCX) = 2;
    port_value = 0xabcc;
    run(&w, 2);
    ck_assert_uint_eq(get(&w, STACK, 4), 0xabcdabcd);
    ck_assert_uint_eq(R(&w, RDI), STACK + 4);
    ck_assert_uint_eq(w.cpu->rip, CODE + 15);
    world_fini(&w);
}
END_TEST

/* Ring 3 with IOPL 0: the bitmap decides; it must lie within the limit, two bytes each time. */
START_TEST(port_permission)
{
    for (unsigned k = 0; k < 6; k++) {
        START(w, WORLD_64, "\xed"); /* in (%dx),%eax */
        map_ports(&w);
        put(&w, HANDLER + 16 * 13, 0xf4, 1);
        R(&w, RDX) = 0x346;
        if (k == 1)
            put(&w, TSS + 0x88 + 0x346 / 8, 0x40, 1); /* port 0x346 itself */
        if (k == 2)
            put(&w, TSS + 0x88 + 0x348 / 8, 0x02, 1); /* 0x349 */
        if (k == 3)
            put(&w, TSS + 0x88 + 0x348 / 8, 0x04, 1); /* 0x34a, which isn't touched */
        if (k == 4)
            w.cpu->seg[SEG_TR].limit = 0x88 + 0x346 / 8;
        if (k == 5) {
            put(&w, TSS + 0x88 + 0x346 / 8, 0xff, 1);
            w.cpu->eflags |= FLAG_IOPL;
        }
        go_user(&w);
        run(&w, 1);
        bool fault = k == 1 || k == 2 || k == 4;
        if (fault)
            ASSERT_FAULT(&w, 13);
        else
            ck_assert_uint_eq(w.cpu->rip, CODE + 1);
        world_fini(&w);
    }
}
END_TEST

/* ---- Decimal: the SDM's rules, written again ---- */
struct decimal {
    u8 al, ah;
    bool af, cf;
};

static void daa(struct decimal *d)
{
    u8 old = d->al;
    bool old_cf = d->cf;
    d->cf = false;
    if ((d->al & 15) > 9 || d->af) {
        d->cf = old_cf || d->al > 0xff - 6;
        d->al += 6;
        d->af = true;
    }
    if (old > 0x99 || old_cf) {
        d->al += 0x60;
        d->cf = true;
    }
}
static void das(struct decimal *d)
{
    u8 old = d->al;
    bool old_cf = d->cf;
    d->cf = false;
    if ((d->al & 15) > 9 || d->af) {
        d->cf = old_cf || d->al < 6;
        d->al -= 6;
        d->af = true;
    }
    if (old > 0x99 || old_cf) {
        d->al -= 0x60;
        d->cf = true;
    }
}
static void aaa(struct decimal *d)
{
    u16 ax = (u16)(d->ah << 8 | d->al);
    d->cf = d->af = (d->al & 15) > 9 || d->af;
    if (d->af)
        ax += 0x106;
    d->al = ax & 15;
    d->ah = (u8)(ax >> 8);
}
static void aas(struct decimal *d)
{
    u16 ax = (u16)(d->ah << 8 | d->al);
    d->cf = d->af = (d->al & 15) > 9 || d->af;
    if (d->af)
        ax -= 0x106;
    d->al = ax & 15;
    d->ah = (u8)(ax >> 8);
}

START_TEST(decimal_adjustment)
{
    static void (*const rule[])(struct decimal *) = {daa, das, aaa, aas};
    struct world w;
    world_init(&w, WORLD_REAL);
    for (unsigned op = 0; op < 4; op++) {
        put(&w, CODE, 0x27 + 8 * op, 1);
        block_drop_all(w.cpu->blocks);
        for (unsigned k = 0; k < 0x400; k++) {
            struct decimal d = {.al = (u8)k, .ah = 5, .af = k & 0x100, .cf = k & 0x200};
            R(&w, RAX) = 0x500 | (k & 0xff);
            set_rflags(w.cpu, (d.af ? FLAG_AF : 0) | (d.cf ? FLAG_CF : 0));
            bool af_kept = d.af;
            w.cpu->rip = 0;
            run(&w, 1);
            rule[op](&d);
            u64 f = cpu_status_flags(w.cpu);
            REQUIRE(R(&w, RAX) == (u64)(d.ah << 8 | d.al));
            REQUIRE(!(f & FLAG_CF) == !d.cf);
            REQUIRE(!(f & FLAG_AF) == !d.af || (!d.af && af_kept));
            REQUIRE(op >= 2 || (!(f & FLAG_ZF) == (d.al != 0) && !(f & FLAG_SF) == !(d.al & 0x80)));
        }
    }
    world_fini(&w);
}
END_TEST

START_TEST(aam_and_aad)
{
    START(w, WORLD_32, "\xd4\x0a\xd5\x0a\xd4\x00");
    put(&w, HANDLER, 0xf4, 1);
    R(&w, RAX) = 0xff47; /* 71 */
    run(&w, 1);
    ck_assert_uint_eq(R(&w, RAX), 0x0701);
    run(&w, 1);
    ck_assert_uint_eq(R(&w, RAX), 71);
    run(&w, 1);
    ASSERT_FAULT(&w, 0);
    world_fini(&w);
}
END_TEST

/* ---- Others ---- */
START_TEST(bound)
{
    START(w, WORLD_32, "\x62\x03\x66\x62\x03"); /* bound %eax,(%ebx); bound %ax,(%ebx) */
    put(&w, HANDLER + 16 * 5, 0xf4, 1);
    R(&w, RBX) = STACK;
    put(&w, STACK, 0x7fff0000fffe0000, 8);
    R(&w, RAX) = 0x7fff0000;
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 2);
    R(&w, RAX) = 3; /* bounds 0 and -2 */
    run(&w, 1);
    ASSERT_FAULT(&w, 5);
    world_fini(&w);
}
END_TEST

START_TEST(bit_strings_16)
{
    START(w, WORLD_REAL, "\x0f\xab\x07\x66\x0f\xb3\x07\x0f\xa3\x07"); /* bts, btrl, bt (%bx) */
    R(&w, RBX) = 0x2000;
    R(&w, RAX) = 0xffffffef; /* -17: in the second word down */
    run(&w, 1);
    ck_assert_uint_eq(get(&w, CODE + 0x2000 - 4, 2), 0x8000);
    run(&w, 1);
    ck_assert(cpu_condition(w.cpu, 2));
    ck_assert_uint_eq(get(&w, CODE + 0x2000 - 4, 2), 0);
    run(&w, 1);
    ck_assert(!cpu_condition(w.cpu, 2));
    world_fini(&w);
}
END_TEST

START_TEST(xlat_and_salc)
{
    START(w, WORLD_REAL, "\x2e\xd7\xf9\xd6\xf8\xd6"); /* xlat %cs:; stc; salc; clc; salc */
    R(&w, RBX) = 0xfff0;
    R(&w, RAX) = 0x1220;
    put(&w, CODE + 0x10, 0x99, 1); /* 0xfff0 + 0x20 wraps */
    run(&w, 1);
    ck_assert_uint_eq(R(&w, RAX), 0x1299);
    run(&w, 2);
    ck_assert_uint_eq(R(&w, RAX), 0x12ff);
    run(&w, 2);
    ck_assert_uint_eq(R(&w, RAX), 0x1200);
    world_fini(&w);
}
END_TEST

START_TEST(nop_keeps_the_upper_half)
{
    START(w, WORLD_64, "\x90\x66\x90\x49\x90\x41\x90\xf3\x90");
    R(&w, RAX) = 0x1111111122222222;
    R(&w, R8) = 0x3333333344444444;
    run(&w, 2);
    ck_assert_uint_eq(R(&w, RAX), 0x1111111122222222);
    run(&w, 1); /* xchg %rax,%r8 */
    ck_assert_uint_eq(R(&w, RAX), 0x3333333344444444);
    run(&w, 1); /* xchg %eax,%r8d */
    ck_assert_uint_eq(R(&w, RAX), 0x22222222);
    ck_assert_uint_eq(R(&w, R8), 0x44444444);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 9);
    world_fini(&w);
}
END_TEST

START_TEST(mov_absolute)
{
    START(w, WORLD_64,
          "\x48\xa1\x00\x00\x06\x00\x00\x00\x00\x00"   /* movabs STACK,%rax */
          "\x66\xa3\x10\x00\x06\x00\x00\x00\x00\x00"   /* movabs %ax,STACK+16 */
          "\x67\xa0\x10\x00\x06\x00"                   /* addr32 mov STACK+16,%al */
          "\x64\xa2\x10\x00\x00\x00\x00\x00\x00\x00"); /* movabs %al,%fs:16 */
    put(&w, STACK, 0x1122334455667788, 8);
    w.cpu->seg[SEG_FS].base = STACK + 0x100;
    run(&w, 2);
    ck_assert_uint_eq(R(&w, RAX), 0x1122334455667788);
    ck_assert_uint_eq(get(&w, STACK + 16, 8), 0x7788);
    put(&w, STACK + 16, 0x99, 1);
    run(&w, 2);
    ck_assert_uint_eq(R(&w, RAX), 0x1122334455667799);
    ck_assert_uint_eq(get(&w, STACK + 0x110, 1), 0x99);
    world_fini(&w);
}
END_TEST

START_TEST(cmpxchg16b_alignment)
{
    START(w, WORLD_64, "\x48\x0f\xc7\x0e"); /* cmpxchg16b (%rsi) */
    put(&w, HANDLER + 16 * 13, 0xf4, 1);
    R(&w, RSI) = STACK + 8;
    run(&w, 1);
    ASSERT_FAULT(&w, 13);
    world_fini(&w);
}
END_TEST

SUITE_MAIN("integer", &push_and_pop_64, &push_all, &enter_and_leave, &stack_wraps_at_64k,
           &call_and_ret, &not_canonical, &branches_32, &limit_of_cs, &loops, &ports,
           &port_permission, &decimal_adjustment, &aam_and_aad, &bound, &bit_strings_16,
           &xlat_and_salc, &nop_keeps_the_upper_half, &mov_absolute, &cmpxchg16b_alignment)
