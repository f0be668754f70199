/* SPDX-License-Identifier: MIT */
#include "devices/hpet.h"

#include "tests/devices/harness.h"

#define TIMER(n) (0x100 + 0x20 * (n))
#define ENABLE 0x4
#define LEVEL 0x2
#define PERIODIC 0x8
#define SET_VALUE 0x40
#define BITS32 0x100
#define ROUTE(gsi) ((u64)(gsi) << 9)
#define TICK 10 /* ns of the counter */

static void *hpet;

static void begin(void)
{
    hpet = harness_make(&hpet_class, NULL);
}

static u64 get(u64 reg)
{
    return bus_read(&h.bus, HPET_BASE + reg, 8);
}

static void set(u64 reg, u64 value)
{
    bus_write(&h.bus, HPET_BASE + reg, 8, value);
}

START_TEST(capabilities)
{
    begin();
    ck_assert_uint_eq(get(0), UINT64_C(0x009896808086a201)); /* 10,000,000 fs */
    ck_assert_uint_eq(bus_read(&h.bus, HPET_BASE + 4, 4), 10000000);
    for (unsigned n = 0; n < 3; n++)
        ck_assert_uint_eq(get(TIMER(n)), UINT64_C(0x00f0000000000030));
    ck_assert_uint_eq(get(TIMER(3)), 0);
    set(0, 0);
    ck_assert_uint_eq(bus_read(&h.bus, HPET_BASE, 4), 0x8086a201);
    harness_end(&hpet_class, hpet);
}
END_TEST

START_TEST(counter_runs_while_enabled)
{
    begin();
    run_to(1000);
    ck_assert_uint_eq(get(0xf0), 0);
    set(0xf0, 5);
    set(0x10, 1);
    run_for(100 * TICK);
    ck_assert_uint_eq(get(0xf0), 105);
    set(0x10, 0);
    run_for(1000);
    ck_assert_uint_eq(get(0xf0), 105);
    set(0xf0, UINT64_C(0x1ffffffff));
    set(0x10, 1);
    run_for(TICK);
    ck_assert_uint_eq(bus_read(&h.bus, HPET_BASE + 0xf0, 4), 0);
    ck_assert_uint_eq(bus_read(&h.bus, HPET_BASE + 0xf4, 4), 2);
    harness_end(&hpet_class, hpet);
}
END_TEST

START_TEST(one_shot_edge)
{
    begin();
    set(0x10, 1);
    set(TIMER(1), ENABLE | ROUTE(21));
    set(TIMER(1) + 8, 500);
    run_to(500 * TICK - 1);
    ck_assert_uint_eq(h.rises[21], 0);
    run_to(500 * TICK);
    ck_assert_uint_eq(h.rises[21], 1);
    ck_assert(!h.level[21]);
    ck_assert_uint_eq(get(0x20), 0);
    run_to(SECOND);
    ck_assert_uint_eq(h.rises[21], 1);
    set(TIMER(1) + 8, get(0xf0) - 1); /* behind the counter: not before it wraps */
    run_to(100 * SECOND);
    ck_assert_uint_eq(h.rises[21], 1);
    harness_end(&hpet_class, hpet);
}
END_TEST

START_TEST(level_until_status_is_cleared)
{
    begin();
    set(TIMER(0), ENABLE | LEVEL | ROUTE(20));
    set(TIMER(0) + 8, 100);
    set(0x10, 1);
    run_to(2000);
    ck_assert(h.level[20]);
    ck_assert_uint_eq(get(0x20), 1);
    set(0x20, 6);
    ck_assert(h.level[20]);
    set(0x20, 1);
    ck_assert(!h.level[20]);
    ck_assert_uint_eq(get(0x20), 0);
    harness_end(&hpet_class, hpet);
}
END_TEST

START_TEST(periodic_by_set_value)
{
    begin();
    set(TIMER(0), ENABLE | PERIODIC | SET_VALUE | BITS32 | ROUTE(22));
    set(TIMER(0) + 8, 1000); /* first match */
    set(TIMER(0) + 8, 300);  /* then each 300 */
    set(0x10, 1);
    run_to(1000 * TICK - 1);
    ck_assert_uint_eq(h.rises[22], 0);
    run_to(1000 * TICK);
    ck_assert_uint_eq(h.rises[22], 1);
    ck_assert_uint_eq(get(TIMER(0) + 8), 1300);
    run_to((1000 + 300 * 10) * TICK);
    ck_assert_uint_eq(h.rises[22], 11);
    harness_end(&hpet_class, hpet);
}
END_TEST

START_TEST(comparator_of_32_bits_wraps)
{
    begin();
    set(0xf0, UINT64_C(0xfffffff0));
    set(0x10, 1);
    set(TIMER(2), ENABLE | BITS32 | ROUTE(23));
    set(TIMER(2) + 8, 0x10);
    run_to(0x20 * TICK);
    ck_assert_uint_eq(h.rises[23], 1);
    run_for((u64)TICK << 32);
    ck_assert_uint_eq(h.rises[23], 2);
    harness_end(&hpet_class, hpet);
}
END_TEST

START_TEST(legacy_replacement)
{
    begin();
    set(0x10, 3);
    ck_assert(h.level[LINE_HPET_LEGACY]);
    set(TIMER(0), ENABLE);
    set(TIMER(0) + 8, 10);
    set(TIMER(1), ENABLE);
    set(TIMER(1) + 8, 20);
    set(TIMER(2), ENABLE); /* input 0: not among its routes */
    set(TIMER(2) + 8, 30);
    run_to(1000);
    ck_assert_uint_eq(h.rises[LINE_HPET0], 1);
    ck_assert_uint_eq(h.rises[LINE_HPET1], 1);
    ck_assert_uint_eq(h.rises[0], 0);
    set(0x10, 1);
    ck_assert(!h.level[LINE_HPET_LEGACY]);
    harness_end(&hpet_class, hpet);
}
END_TEST

START_TEST(saved_and_loaded)
{
    begin();
    set(0x10, 1);
    set(TIMER(1), ENABLE | ROUTE(21));
    set(TIMER(1) + 8, 500);
    run_to(100 * TICK);
    hpet = harness_reload(&hpet_class, hpet, NULL);
    ck_assert_uint_eq(get(0xf0), 100);
    run_to(500 * TICK);
    ck_assert_uint_eq(h.rises[21], 1);
    harness_end(&hpet_class, hpet);
}
END_TEST

START_TEST(any_accesses_do_no_harm)
{
    begin();
    u64 seed = 1;
    for (unsigned n = 0; n < 20000; n++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        u64 offset = (seed >> 33) & 0x1ff;
        unsigned size = 1u << (seed >> 62);
        offset &= ~(u64)(size - 1);
        if ((seed >> 60) & 1)
            bus_read(&h.bus, HPET_BASE + offset, size);
        else
            bus_write(&h.bus, HPET_BASE + offset, size, (seed >> 20) & MASK(seed & 63));
        h.clock.now += seed & 0xff;
        if (h.clock.next <= h.clock.now)
            clock_run(&h.clock);
    }
    harness_end(&hpet_class, hpet);
}
END_TEST

SUITE_MAIN("hpet", &capabilities, &counter_runs_while_enabled, &one_shot_edge,
           &level_until_status_is_cleared, &periodic_by_set_value, &comparator_of_32_bits_wraps,
           &legacy_replacement, &saved_and_loaded, &any_accesses_do_no_harm)
