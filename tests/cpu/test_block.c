/* SPDX-License-Identifier: MIT */
/* Where blocks of code end: the limit of CS, the page. */
#include "tests/cpu/world.h"
#include "tests/suite.h"

static void put_code(struct world *w, u64 at, const char *bytes, size_t size)
{
    ck_assert(ram_write(&w->m.bus.ram, at, bytes, size));
}

/* Real-address mode, code at CS:rip, CS.base not aligned to a page. */
static void at_top(struct world *w, u64 rip, const char *bytes, size_t size)
{
    world_init(w, WORLD_REAL);
    segment_set_real(w->cpu, SEG_CS, 0x1001);
    put_code(w, 0x10010 + rip, bytes, size);
    put_code(w, 0x10010, "\x40\x40\x40", 3); /* INC AX */
    cpu_update_mode(w->cpu);
    w->cpu->rip = rip;
}

/* IP has more than 16 bits: what runs past FFFFH meets the limit. */
START_TEST(ip_does_not_wrap)
{
    struct world w;
    at_top(&w, 0xfff8, "\x90\x90\x90\x90\x90\x90\x90\x90\x41\x41", 10);
    w.cpu->gpr[RSP] = 0x100;
    put(&w, 4 * EXC_GP, 0x20000100, 4);
    put_code(&w, 0x20100, "\xeb\xfe", 2); /* JMP to itself */
    run(&w, 100);
    ck_assert_uint_eq(w.cpu->exceptions, 1);
    ck_assert_uint_eq(get(&w, w.cpu->seg[SEG_SS].base + (w.cpu->gpr[RSP] & 0xffff), 2), 0);
    ck_assert_uint_eq(w.cpu->gpr[RAX], 0);
    ck_assert_uint_eq(w.cpu->gpr[RCX], 0);
    world_fini(&w);
}
END_TEST

START_TEST(no_instruction_passes_the_limit)
{
    struct world w;
    at_top(&w, 0xfffe, "\x90\xb0\x01", 3); /* NOP; MOV AL, 1 */
    w.cpu->gpr[RSP] = 0x100;
    put(&w, 4 * EXC_GP, 0x20000100, 4);
    put_code(&w, 0x20100, "\xeb\xfe", 2); /* JMP to itself */
    run(&w, 100);
    ck_assert_uint_eq(w.cpu->exceptions, 1);
    ck_assert_uint_eq(w.cpu->seg[SEG_CS].base + w.cpu->rip, 0x20100);
    ck_assert_uint_eq(get(&w, w.cpu->seg[SEG_SS].base + (w.cpu->gpr[RSP] & 0xffff), 2), 0xffff);
    ck_assert_uint_eq(w.cpu->gpr[RAX], 0);
    world_fini(&w);
}
END_TEST

/* An instruction that crosses the page in which the segment ends, too. */
START_TEST(crossing_is_checked)
{
    struct world w;
    world_init(&w, WORLD_32);
    put_code(&w, CODE + 0xffe, "\xb8\x01\x02\x03\x04", 5);
    w.cpu->seg[SEG_CS].limit = CODE + 0x1001;
    cpu_update_mode(w.cpu);
    w.cpu->rip = CODE + 0xffe;
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->exceptions, 1);
    w.cpu->seg[SEG_CS].limit = CODE + 0x1002;
    cpu_update_mode(w.cpu);
    w.cpu->rip = CODE + 0xffe;
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->exceptions, 1);
    ck_assert_uint_eq(w.cpu->gpr[RAX], 0x04030201);
    world_fini(&w);
}
END_TEST

/* Jumps between two pages are remembered; a smaller limit forgets them. */
START_TEST(limit_changes)
{
    struct world w;
    world_init(&w, WORLD_32);
    put_code(&w, CODE, "\xe9\xfb\x0f\x00\x00", 5);          /* JMP CODE + 1000H */
    put_code(&w, CODE + 0x1000, "\xe9\xfb\xef\xff\xff", 5); /* JMP CODE */
    w.cpu->rip = CODE;
    run(&w, 500);
    ck_assert_uint_eq(w.cpu->exceptions, 0);
    w.cpu->seg[SEG_CS].limit = CODE + 0xfff;
    cpu_update_mode(w.cpu);
    run(&w, 500);
    ck_assert_uint_ge(w.cpu->exceptions, 1);
    world_fini(&w);
}
END_TEST

SUITE_MAIN("block", &ip_does_not_wrap, &no_instruction_passes_the_limit, &crossing_is_checked,
           &limit_changes)
