/* SPDX-License-Identifier: MIT */
#include "devices/i8254.h"

#include "tests/devices/harness.h"

static void *pit;

static void begin(void)
{
    pit = harness_make(&i8254_class, NULL);
}

/* The tick at which unit n begins; times are in units from here on. */
static u64 unit(u64 n)
{
    return clock_from_units(&h.clock, n, I8254_HZ);
}

static u64 unit_now(void)
{
    return clock_to_units(&h.clock, h.clock.now, I8254_HZ);
}

static void program(unsigned counter, u8 mode, u32 count)
{
    out8(0x43, (u8)(counter << 6 | 0x30 | mode << 1));
    out8(0x40 + counter, (u8)count);
    out8(0x40 + counter, (u8)(count >> 8));
}

static u16 latched(unsigned counter)
{
    out8(0x43, (u8)(counter << 6));
    u16 low = in8(0x40 + counter);
    return (u16)(low | in8(0x40 + counter) << 8);
}

static bool out2(void)
{
    return in8(0x61) & 0x20;
}

START_TEST(mode0_counts_down_once)
{
    begin();
    run_to(unit(100));
    program(0, 0, 1000);
    ck_assert(!h.level[LINE_PIT]);
    run_to(unit(101 + 400));
    ck_assert_uint_eq(latched(0), 600);
    run_to(unit(101 + 1000) - 1);
    ck_assert(!h.level[LINE_PIT]);
    run_to(unit(101 + 1000));
    ck_assert(h.level[LINE_PIT]);
    run_to(unit(101 + 1010));
    ck_assert_uint_eq(latched(0), 65526); /* counts on, but no second edge */
    run_for(SECOND);
    ck_assert_uint_eq(h.rises[LINE_PIT], 2); /* the output was high before the mode was set */
    harness_end(&i8254_class, pit);
}
END_TEST

START_TEST(mode0_gate_pauses)
{
    begin();
    program(2, 0, 1000);
    ck_assert(!out2());
    run_to(unit(5000));
    ck_assert_uint_eq(latched(2), 1000);
    out8(0x61, 1);
    run_to(unit(5300));
    out8(0x61, 0);
    run_to(unit(9000));
    ck_assert_uint_eq(latched(2), 700);
    ck_assert(!out2());
    out8(0x61, 1);
    run_to(unit(9699));
    ck_assert(!out2());
    run_to(unit(9700));
    ck_assert(out2());
    out8(0x61, 0);
    ck_assert(out2());
    harness_end(&i8254_class, pit);
}
END_TEST

START_TEST(mode1_is_retriggered)
{
    begin();
    program(2, 1, 100);
    ck_assert(out2());
    out8(0x61, 1);
    run_to(unit(1));
    ck_assert(!out2());
    run_to(unit(80));
    out8(0x61, 0);
    ck_assert(!out2());
    out8(0x61, 1);
    run_to(unit(180));
    ck_assert(!out2());
    run_to(unit(181));
    ck_assert(out2());
    harness_end(&i8254_class, pit);
}
END_TEST

START_TEST(mode2_is_periodic)
{
    begin();
    run_to(unit(9));
    program(0, 2, 11932); /* 100 Hz */
    unsigned before = h.rises[LINE_PIT];
    run_to(unit(10 + 11932 - 1));
    ck_assert(!h.level[LINE_PIT]); /* low for the last unit */
    run_to(unit(10 + 11932));
    ck_assert(h.level[LINE_PIT]);
    ck_assert_uint_eq(h.rises[LINE_PIT] - before, 1);
    ck_assert_uint_eq(latched(0), 11932);
    run_to(unit(10) + SECOND);
    ck_assert_uint_eq(h.rises[LINE_PIT] - before, 99);
    run_for(MILLISECOND);
    ck_assert_uint_eq(h.rises[LINE_PIT] - before, 100);
    harness_end(&i8254_class, pit);
}
END_TEST

START_TEST(mode2_new_count_waits_for_the_cycle)
{
    begin();
    program(0, 2, 1000);
    run_to(unit(1 + 300));
    out8(0x40, 200);
    out8(0x40, 0);
    run_to(unit(1 + 999));
    ck_assert(!h.level[LINE_PIT]);
    unsigned before = h.rises[LINE_PIT];
    run_to(unit(1 + 1000 + 199));
    ck_assert(!h.level[LINE_PIT]);
    run_to(unit(1 + 1000 + 200));
    ck_assert_uint_eq(h.rises[LINE_PIT] - before, 2);
    harness_end(&i8254_class, pit);
}
END_TEST

START_TEST(mode3_is_a_square_wave)
{
    begin();
    out8(0x61, 1);
    program(2, 3, 9); /* odd: high for 5, low for 4 */
    for (unsigned n = 0; n < 27; n++) {
        run_to(unit(1 + n));
        ck_assert_msg(out2() == (n % 9 < 5), "unit %u", n);
    }
    out8(0x61, 0);
    ck_assert(out2());
    program(2, 3, 0); /* 65536, counting by two */
    run_to(unit(100));
    u64 start = unit_now();
    out8(0x61, 1);
    run_to(unit(start + 1 + 1000));
    ck_assert_uint_eq(latched(2), (65536 - 2000) & 0xffff);
    harness_end(&i8254_class, pit);
}
END_TEST

START_TEST(mode4_strobes_once)
{
    begin();
    program(0, 4, 500);
    ck_assert(h.level[LINE_PIT]);
    unsigned before = h.rises[LINE_PIT];
    run_to(unit(1 + 499));
    ck_assert(h.level[LINE_PIT]);
    run_to(unit(1 + 500));
    ck_assert(!h.level[LINE_PIT]);
    run_to(unit(1 + 501));
    ck_assert(h.level[LINE_PIT]);
    run_for(SECOND);
    ck_assert_uint_eq(h.rises[LINE_PIT] - before, 1);
    out8(0x40, 100); /* a new count starts at once */
    out8(0x40, 0);
    run_for(MILLISECOND);
    ck_assert_uint_eq(h.rises[LINE_PIT] - before, 2);
    harness_end(&i8254_class, pit);
}
END_TEST

START_TEST(mode5_strobes_after_a_trigger)
{
    begin();
    program(2, 5, 50);
    run_to(unit(1000));
    ck_assert(out2());
    out8(0x61, 1);
    run_to(unit(1051));
    ck_assert(!out2());
    run_to(unit(1052));
    ck_assert(out2());
    harness_end(&i8254_class, pit);
}
END_TEST

START_TEST(bytes_latches_and_status)
{
    begin();
    out8(0x43, 0x14); /* counter 0, low byte only, mode 2 */
    out8(0x43, 0xe2); /* read back the status alone */
    ck_assert_uint_eq(in8(0x40), 0x80 | 0x40 | 0x14);
    out8(0x40, 100);
    run_to(unit(1 + 30));
    ck_assert_uint_eq(in8(0x40), 70);
    out8(0x43, 0xc2); /* status and count */
    run_to(unit(1 + 40));
    ck_assert_uint_eq(in8(0x40), 0x80 | 0x14);
    ck_assert_uint_eq(in8(0x40), 70);
    ck_assert_uint_eq(in8(0x40), 60);
    out8(0x43, 0x24); /* high byte only */
    out8(0x40, 2);
    run_for(0);
    u64 now = unit_now();
    run_to(unit(now + 1 + 1));
    ck_assert_uint_eq(in8(0x40), 1);
    out8(0x43, 0x35); /* BCD, 16 bits */
    out8(0x40, 0x00);
    out8(0x40, 0x10);
    now = unit_now();
    run_to(unit(now + 1 + 1));
    ck_assert_uint_eq(latched(0), 0x0999);
    ck_assert_uint_eq(in8(0x43), 0xff);
    harness_end(&i8254_class, pit);
}
END_TEST

START_TEST(port61_shows_gate_and_refresh)
{
    begin();
    out8(0x61, 0x0f);
    ck_assert_uint_eq(in8(0x61) & 0x0f, 0x0f);
    unsigned toggles = 0, last = in8(0x61) & 0x10;
    for (unsigned n = 1; n <= 1000; n++) {
        run_to(n * MICROSECOND);
        unsigned bit = in8(0x61) & 0x10;
        toggles += bit != last;
        last = bit;
    }
    ck_assert_uint_ge(toggles, 65);
    ck_assert_uint_le(toggles, 67);
    harness_end(&i8254_class, pit);
}
END_TEST

START_TEST(late_event_still_makes_an_edge)
{
    begin();
    program(0, 2, 1000);
    unsigned before = h.rises[LINE_PIT];
    h.clock.now = unit(1 + 1000); /* past the whole low pulse */
    clock_run(&h.clock);
    ck_assert_uint_eq(h.rises[LINE_PIT] - before, 1);
    harness_end(&i8254_class, pit);
}
END_TEST

START_TEST(saved_and_loaded)
{
    begin();
    program(0, 2, 5000);
    run_to(unit(1 + 1234));
    pit = harness_reload(&i8254_class, pit, NULL);
    ck_assert_uint_eq(latched(0), 5000 - 1234);
    unsigned before = h.rises[LINE_PIT];
    run_to(unit(1 + 5000));
    ck_assert_uint_eq(h.rises[LINE_PIT] - before, 1);
    harness_end(&i8254_class, pit);
}
END_TEST

START_TEST(any_bytes_do_no_harm)
{
    begin();
    u32 seed = 1;
    for (unsigned n = 0; n < 20000; n++) {
        seed = seed * 1664525 + 1013904223;
        u32 port = (seed >> 16) % 5;
        port = port == 4 ? 0x61 : 0x40 + port;
        if (seed >> 31)
            out8(port, (u8)(seed >> 8));
        else
            in8(port);
        run_for(seed >> 20);
    }
    harness_end(&i8254_class, pit);
}
END_TEST

SUITE_MAIN("i8254", &mode0_counts_down_once, &mode0_gate_pauses, &mode1_is_retriggered,
           &mode2_is_periodic, &mode2_new_count_waits_for_the_cycle, &mode3_is_a_square_wave,
           &mode4_strobes_once, &mode5_strobes_after_a_trigger, &bytes_latches_and_status,
           &port61_shows_gate_and_refresh, &late_event_still_makes_an_edge, &saved_and_loaded,
           &any_bytes_do_no_harm)
