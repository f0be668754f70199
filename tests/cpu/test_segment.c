/* SPDX-License-Identifier: MIT */
#include "cpu/segment.h"

#include "tests/cpu/world.h"
#include "tests/suite.h"

#define OK 0xff

static void expect(struct world *w, bool ok, unsigned vector, u32 error)
{
    ck_assert_int_eq(ok, vector == OK);
    if (vector == OK)
        return;
    ck_assert(w->cpu->exc.pending);
    ck_assert_uint_eq(w->cpu->exc.vector, vector);
    ck_assert_uint_eq(w->cpu->exc.error, error);
    w->cpu->exc.pending = false;
}

static void load(struct world *w, enum seg_id id, unsigned sel, unsigned vector, u32 error)
{
    expect(w, segment_load(w->cpu, id, (u16)sel), vector, error);
    if (vector == OK)
        ck_assert_uint_eq(w->cpu->seg[id].selector, sel);
}

START_TEST(data_segments)
{
    struct world w;
    world_init(&w, WORLD_32);
    load(&w, SEG_DS, DS0, OK, 0);
    load(&w, SEG_DS, DS0 | 3, EXC_GP, DS0);
    load(&w, SEG_DS, UDS, OK, 0);
    load(&w, SEG_DS, 0, OK, 0);
    ck_assert(w.cpu->seg[SEG_DS].attr & ATTR_UNUSABLE);
    load(&w, SEG_DS, 3, OK, 0);
    load(&w, SEG_ES, ABSENT, EXC_NP, ABSENT);
    load(&w, SEG_ES, EXEC_ONLY, EXC_GP, EXEC_ONLY);
    load(&w, SEG_ES, CS32, OK, 0);
    load(&w, SEG_ES, CONFORMING | 3, OK, 0);
    load(&w, SEG_ES, SEL_TSS, EXC_GP, SEL_TSS);
    load(&w, SEG_ES, 0x100, EXC_GP, 0x100);
    load(&w, SEG_ES, 0x104, EXC_GP, 0x104); /* no LDT of that length */
    load(&w, SEG_FS, DOWN, OK, 0);
    world_fini(&w);
}
END_TEST

START_TEST(data_segments_from_user)
{
    struct world w;
    world_init(&w, WORLD_32);
    go_user(&w);
    load(&w, SEG_DS, DS0 | 3, EXC_GP, DS0);
    load(&w, SEG_DS, DS0, EXC_GP, DS0);
    load(&w, SEG_DS, UDS, OK, 0);
    load(&w, SEG_DS, UDS & ~3, OK, 0);
    load(&w, SEG_DS, CONFORMING | 3, OK, 0);
    load(&w, SEG_DS, CS32 | 3, EXC_GP, CS32);
    world_fini(&w);
}
END_TEST

START_TEST(stack_segment)
{
    struct world w;
    world_init(&w, WORLD_32);
    load(&w, SEG_SS, DS0, OK, 0);
    load(&w, SEG_SS, 0, EXC_GP, 0);
    load(&w, SEG_SS, UDS, EXC_GP, UDS & ~3);
    load(&w, SEG_SS, DS0 | 3, EXC_GP, DS0);
    load(&w, SEG_SS, READ_ONLY, EXC_GP, READ_ONLY);
    load(&w, SEG_SS, CS32, EXC_GP, CS32);
    load(&w, SEG_SS, ABSENT, EXC_SS, ABSENT);
    load(&w, SEG_SS, DOWN, OK, 0);
    world_fini(&w);
    world_init(&w, WORLD_64);
    load(&w, SEG_SS, 0, OK, 0);
    load(&w, SEG_SS, 3, EXC_GP, 0);
    go_user(&w);
    load(&w, SEG_SS, 3, EXC_GP, 0);
    world_fini(&w);
}
END_TEST

START_TEST(accessed_bit)
{
    struct world w;
    world_init(&w, WORLD_32);
    put(&w, GDT + DS16, 0x000092000000ffff, 8);
    load(&w, SEG_DS, DS16, OK, 0);
    ck_assert_uint_eq(get(&w, GDT + DS16, 8), 0x000093000000ffff);
    ck_assert_uint_eq(w.cpu->seg[SEG_DS].attr, 0x93);
    world_fini(&w);
}
END_TEST

START_TEST(limits)
{
    struct segment up = {.limit = 0xfff, .attr = 0x93};
    struct segment down = {.limit = 0xfff, .attr = 0x97};
    ck_assert(segment_in_limit(&up, 0xffc, 4));
    ck_assert(!segment_in_limit(&up, 0xffd, 4));
    ck_assert(!segment_in_limit(&up, 0xffffffff, 4));
    ck_assert(!segment_in_limit(&down, 0xfff, 1));
    ck_assert(segment_in_limit(&down, 0x1000, 4));
    ck_assert(segment_in_limit(&down, 0xfffc, 4));
    ck_assert(!segment_in_limit(&down, 0xfffd, 4));
    down.attr |= ATTR_DB;
    ck_assert(segment_in_limit(&down, 0xfffd, 4));
    ck_assert(!segment_in_limit(&down, 0xfffffffe, 4));
}
END_TEST

START_TEST(fields)
{
    struct segment s;
    struct desc d = {.lo = 0x12c39a345678ffff};
    segment_set(&s, 8, &d);
    ck_assert_uint_eq(s.base, 0x12345678);
    ck_assert_uint_eq(s.limit, 0x3ffff * UINT32_C(4096) + 0xfff);
    ck_assert_uint_eq(s.attr, 0xc09a);
    struct desc tss = {.lo = 0x1200893456780067, .hi = 0xffff8000};
    segment_set(&s, 8, &tss);
    ck_assert_uint_eq(s.base, 0xffff800012345678);
    ck_assert_uint_eq(s.limit, 0x67);
}
END_TEST

START_TEST(ldtr)
{
    struct world w;
    world_init(&w, WORLD_32);
    put(&w, LDT + 8, 0x00cf93000000ffff, 8);
    expect(&w, segment_load_ldtr(w.cpu, 0), OK, 0);
    load(&w, SEG_DS, 0xc, EXC_GP, 0xc);
    expect(&w, segment_load_ldtr(w.cpu, SEL_LDT), OK, 0);
    load(&w, SEG_DS, 0xc, OK, 0);
    expect(&w, segment_load_ldtr(w.cpu, SEL_TSS), EXC_GP, SEL_TSS);
    expect(&w, segment_load_ldtr(w.cpu, 0xc), EXC_GP, 0xc);
    put(&w, GDT + SEL_LDT + 5, TYPE_LDT, 1);
    expect(&w, segment_load_ldtr(w.cpu, SEL_LDT), EXC_NP, SEL_LDT);
    world_fini(&w);
}
END_TEST

START_TEST(task_register)
{
    struct world w;
    world_init(&w, WORLD_32);
    ck_assert_uint_eq(get(&w, GDT + SEL_TSS + 5, 1), 0x8b);
    expect(&w, segment_load_tr(w.cpu, SEL_TSS), EXC_GP, SEL_TSS); /* busy */
    expect(&w, segment_load_tr(w.cpu, 0), EXC_GP, 0);
    expect(&w, segment_load_tr(w.cpu, SEL_LDT), EXC_GP, SEL_LDT);
    expect(&w, segment_load_tr(w.cpu, SEL_TSS2), OK, 0);
    world_fini(&w);
    world_init(&w, WORLD_64);
    put(&w, GDT + SEL_TSS2 + 8, 0xffff8000, 8);
    expect(&w, segment_load_tr(w.cpu, SEL_TSS2), OK, 0);
    ck_assert_uint_eq(w.cpu->seg[SEG_TR].base, 0xffff800000000000 + TSS2);
    put(&w, GDT + SEL_TSS2 + 5, 0x89, 1);
    put(&w, GDT + SEL_TSS2 + 8, 0x0ff00000, 8); /* not canonical */
    expect(&w, segment_load_tr(w.cpu, SEL_TSS2), EXC_GP, SEL_TSS2);
    put(&w, GDT + SEL_TSS2 + 8, UINT64_C(1) << 40, 8); /* a type in the upper half */
    expect(&w, segment_load_tr(w.cpu, SEL_TSS2), EXC_GP, SEL_TSS2);
    world_fini(&w);
}
END_TEST

START_TEST(real_and_vm86)
{
    struct world w;
    world_init(&w, WORLD_REAL);
    w.cpu->seg[SEG_DS].limit = 0xffffffff; /* as left by protected mode */
    ck_assert(segment_load(w.cpu, SEG_DS, 0x1234));
    ck_assert_uint_eq(w.cpu->seg[SEG_DS].base, 0x12340);
    ck_assert_uint_eq(w.cpu->seg[SEG_DS].limit, 0xffffffff);
    segment_set_null(&w.cpu->seg[SEG_ES], 0, 0);
    ck_assert(segment_load(w.cpu, SEG_ES, 0x1000));
    ck_assert_uint_eq(w.cpu->seg[SEG_ES].limit, 0xffff);
    world_fini(&w);
    world_init(&w, WORLD_32);
    w.cpu->eflags |= FLAG_VM;
    cpu_update_mode(w.cpu);
    ck_assert_uint_eq(cpu_cpl(w.cpu), 3);
    ck_assert(segment_load(w.cpu, SEG_DS, 0x1234));
    ck_assert_uint_eq(w.cpu->seg[SEG_DS].attr, 0xf3);
    ck_assert_uint_eq(w.cpu->seg[SEG_DS].limit, 0xffff);
    world_fini(&w);
}
END_TEST

SUITE_MAIN("segment", &data_segments, &data_segments_from_user, &stack_segment, &accessed_bit,
           &limits, &fields, &ldtr, &task_register, &real_and_vm86)
