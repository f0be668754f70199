/* SPDX-License-Identifier: MIT */
#include "devices/mc146818.h"

#include "tests/devices/harness.h"

static struct mc146818 *rtc;
static struct mc146818_config config;

static void begin_at(u64 start)
{
    config = (struct mc146818_config){.start = start};
    rtc = harness_make(&mc146818_class, &config);
}

static void begin(void)
{
    begin_at(MC146818_START);
}

static u8 get(u8 index)
{
    out8(0x70, index);
    return in8(0x71);
}

static void set(u8 index, u8 value)
{
    out8(0x70, index);
    out8(0x71, value);
}

/* Century, year, month, day, hour, minute, second as the registers show them. */
static void expect_time(const u8 expected[7])
{
    static const u8 index[7] = {0x32, 9, 8, 7, 4, 2, 0};
    for (unsigned n = 0; n < 7; n++)
        ck_assert_msg(get(index[n]) == expected[n], "register %#x: %#x, not %#x", index[n],
                      get(index[n]), expected[n]);
}

#define EXPECT(...) expect_time((const u8[]){__VA_ARGS__})

START_TEST(starts_at_the_fixed_date)
{
    begin();
    EXPECT(0x20, 0x26, 0x01, 0x01, 0x00, 0x00, 0x00);
    ck_assert_uint_eq(get(6), 5); /* a Thursday */
    ck_assert_uint_eq(get(13), 0x80);
    ck_assert_uint_eq(in8(0x70), 0xff);
    run_to(3725 * SECOND);
    EXPECT(0x20, 0x26, 0x01, 0x01, 0x01, 0x02, 0x05);
    run_to(59 * 86400 * SECOND - 1);
    EXPECT(0x20, 0x26, 0x02, 0x28, 0x23, 0x59, 0x59);
    run_for(1);
    EXPECT(0x20, 0x26, 0x03, 0x01, 0x00, 0x00, 0x00);
    harness_end(&mc146818_class, rtc);
}
END_TEST

START_TEST(leap_days_and_centuries)
{
    begin_at(951782399); /* 2000-02-28 23:59:59 */
    run_to(SECOND);
    EXPECT(0x20, 0x00, 0x02, 0x29, 0x00, 0x00, 0x00);
    run_for(86400 * SECOND);
    EXPECT(0x20, 0x00, 0x03, 0x01, 0x00, 0x00, 0x00);
    ck_assert_uint_eq(get(6), 4);
    harness_end(&mc146818_class, rtc);
    begin_at(946684799); /* 1999-12-31 23:59:59 */
    EXPECT(0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59);
    run_to(h.clock.now + SECOND);
    EXPECT(0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00);
    harness_end(&mc146818_class, rtc);
}
END_TEST

START_TEST(set_holds_the_time)
{
    begin();
    set(11, 0x82);
    run_to(10 * SECOND);
    set(0x32, 0x20);
    set(9, 0x31);
    set(8, 0x07);
    set(7, 0x15);
    set(4, 0x11);
    set(2, 0x59);
    set(0, 0x58);
    run_to(20 * SECOND + SECOND / 4);
    EXPECT(0x20, 0x31, 0x07, 0x15, 0x11, 0x59, 0x58);
    set(11, 0x02);
    run_to(21 * SECOND);
    EXPECT(0x20, 0x31, 0x07, 0x15, 0x11, 0x59, 0x59);
    run_for(SECOND);
    EXPECT(0x20, 0x31, 0x07, 0x15, 0x12, 0x00, 0x00);
    ck_assert_uint_eq(get(6), 3);
    harness_end(&mc146818_class, rtc);
}
END_TEST

START_TEST(binary_and_12_hours)
{
    begin();
    set(11, 0x84); /* binary, 12 hours */
    set(0, 45);
    set(2, 59);
    set(4, 0x80 | 11); /* 11 p.m. */
    set(7, 30);
    set(8, 9);
    set(9, 99);
    set(11, 0x04);
    run_to(15 * SECOND);
    ck_assert_uint_eq(get(0), 0);
    ck_assert_uint_eq(get(4), 12); /* midnight is 12 a.m. */
    ck_assert_uint_eq(get(7), 1);
    ck_assert_uint_eq(get(8), 10);
    ck_assert_uint_eq(get(9), 99);
    run_for(12 * 3600 * SECOND);
    ck_assert_uint_eq(get(4), 0x80 | 12);
    harness_end(&mc146818_class, rtc);
}
END_TEST

START_TEST(divider_release_updates_half_a_second_later)
{
    begin();
    set(10, 0x66); /* divider held in reset */
    run_to(5 * SECOND + 123);
    EXPECT(0x20, 0x26, 0x01, 0x01, 0x00, 0x00, 0x00);
    set(10, 0x26);
    run_for(SECOND / 2 - 1);
    ck_assert_uint_eq(get(0), 0);
    run_for(1);
    ck_assert_uint_eq(get(0), 1);
    harness_end(&mc146818_class, rtc);
}
END_TEST

START_TEST(update_in_progress)
{
    begin();
    run_to(SECOND - 250 * MICROSECOND);
    ck_assert_uint_eq(get(10), 0x26);
    run_to(SECOND - 244 * MICROSECOND);
    ck_assert_uint_eq(get(10), 0xa6);
    run_to(SECOND - 1);
    ck_assert_uint_eq(get(10), 0xa6);
    run_to(SECOND);
    ck_assert_uint_eq(get(10), 0x26);
    set(11, 0x82);
    run_to(2 * SECOND - 1);
    ck_assert_uint_eq(get(10), 0x26);
    harness_end(&mc146818_class, rtc);
}
END_TEST

START_TEST(periodic_interrupt)
{
    begin();
    set(10, 0x26); /* 1024 Hz */
    get(12);
    set(11, 0x42);
    unsigned count = 0;
    while (h.clock.now < SECOND) {
        ck_assert_uint_lt(count, 2000);
        run_to(h.clock.next);
        ck_assert(h.level[LINE_RTC]);
        ck_assert_uint_eq(get(12) & 0xc0, 0xc0);
        ck_assert(!h.level[LINE_RTC]);
        count++;
    }
    ck_assert_uint_ge(count, 1023);
    ck_assert_uint_le(count, 1024);
    set(10, 0x2f); /* 2 Hz */
    u64 start = h.last_rise[LINE_RTC];
    run_for(SECOND);
    ck_assert(h.level[LINE_RTC]);
    ck_assert_uint_le(h.last_rise[LINE_RTC] - start, SECOND / 2 + MILLISECOND);
    harness_end(&mc146818_class, rtc);
}
END_TEST

START_TEST(update_interrupt)
{
    begin();
    set(11, 0x12);
    run_to(SECOND - 1);
    ck_assert(!h.level[LINE_RTC]);
    run_to(SECOND);
    ck_assert(h.level[LINE_RTC]);
    ck_assert_uint_eq(get(12) & 0xb0, 0x90);
    set(11, 0x82); /* SET clears the enable */
    ck_assert_uint_eq(get(11), 0x82);
    run_for(3 * SECOND);
    ck_assert_uint_eq(h.rises[LINE_RTC], 1);
    harness_end(&mc146818_class, rtc);
}
END_TEST

START_TEST(alarm_matches_and_wildcards)
{
    begin();
    set(1, 0x05);
    set(3, 0x01);
    set(5, 0x00);
    set(11, 0x22);
    run_to(65 * SECOND - 1);
    ck_assert(!h.level[LINE_RTC]);
    run_to(65 * SECOND);
    ck_assert(h.level[LINE_RTC]);
    ck_assert_uint_eq(get(12) & 0xa0, 0xa0);
    set(3, 0xc0);
    set(5, 0xff);
    run_to(125 * SECOND);
    ck_assert(h.level[LINE_RTC]);
    ck_assert_uint_eq(h.last_rise[LINE_RTC] / SECOND, 125);
    harness_end(&mc146818_class, rtc);
}
END_TEST

START_TEST(flags_without_interrupts)
{
    begin();
    get(12);
    ck_assert_uint_eq(get(12), 0);
    run_to(100 * SECOND);
    ck_assert_uint_eq(get(12), 0x50); /* alarm at 00:00:00 not passed again */
    ck_assert_uint_eq(h.rises[LINE_RTC], 0);
    run_to(86400 * SECOND);
    ck_assert_uint_eq(get(12), 0x70);
    harness_end(&mc146818_class, rtc);
}
END_TEST

START_TEST(memory_and_reset)
{
    begin();
    mc146818_set_cmos(rtc, 0x34, 0x12);
    set(0x7f, 0xab);
    set(11, 0x72);
    mc146818_class.reset(rtc);
    ck_assert_uint_eq(get(0x34), 0x12);
    ck_assert_uint_eq(get(0xff), 0xab); /* bit 7 is not part of the index */
    ck_assert_uint_eq(get(11), 0x02);
    harness_end(&mc146818_class, rtc);
}
END_TEST

START_TEST(saved_and_loaded)
{
    begin();
    set(11, 0x12);
    run_to(7 * SECOND + 5);
    get(12);
    rtc = harness_reload(&mc146818_class, rtc, &config);
    EXPECT(0x20, 0x26, 0x01, 0x01, 0x00, 0x00, 0x07);
    run_to(8 * SECOND - 1);
    ck_assert(!h.level[LINE_RTC]);
    run_to(8 * SECOND);
    ck_assert(h.level[LINE_RTC]);
    harness_end(&mc146818_class, rtc);
}
END_TEST

START_TEST(any_bytes_do_no_harm)
{
    begin();
    u32 seed = 1;
    for (unsigned n = 0; n < 20000; n++) {
        seed = seed * 1664525 + 1013904223;
        if (seed >> 30)
            set((u8)((seed >> 8) & 0x3f), (u8)(seed >> 20));
        else
            get((u8)((seed >> 8) & 0x3f));
        run_for((u64)(seed >> 16) << 12);
    }
    harness_end(&mc146818_class, rtc);
}
END_TEST

SUITE_MAIN("mc146818", &starts_at_the_fixed_date, &leap_days_and_centuries, &set_holds_the_time,
           &binary_and_12_hours, &divider_release_updates_half_a_second_later, &update_in_progress,
           &periodic_interrupt, &update_interrupt, &alarm_matches_and_wildcards,
           &flags_without_interrupts, &memory_and_reset, &saved_and_loaded, &any_bytes_do_no_harm)
