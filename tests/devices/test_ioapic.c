/* SPDX-License-Identifier: MIT */
#include "devices/ioapic.h"

#include "tests/devices/harness.h"

static struct ioapic *ioapic;

static void begin(void)
{
    ioapic = harness_make(&ioapic_class, NULL);
}

static u32 get(u8 reg)
{
    bus_write(&h.bus, IOAPIC_BASE, 4, reg);
    return (u32)bus_read(&h.bus, IOAPIC_BASE + 0x10, 4);
}

static void set(u8 reg, u32 value)
{
    bus_write(&h.bus, IOAPIC_BASE, 4, reg);
    bus_write(&h.bus, IOAPIC_BASE + 0x10, 4, value);
}

static void entry(unsigned n, u32 dest, u32 low)
{
    set((u8)(0x11 + 2 * n), dest << 24);
    set((u8)(0x10 + 2 * n), low);
}

START_TEST(identity_and_reset)
{
    begin();
    ck_assert_uint_eq(get(1), 0x00170020);
    ck_assert_uint_eq(get(0), 0);
    set(0, 0xff000000);
    ck_assert_uint_eq(get(0), 0x0f000000);
    ck_assert_uint_eq(get(2), 0x0f000000);
    for (unsigned n = 0; n < 24; n++)
        ck_assert_uint_eq(get((u8)(0x10 + 2 * n)), 0x00010000);
    ck_assert_uint_eq(get(0x40), 0);
    ck_assert_uint_eq(get(0xff), 0);
    set(0x10, 0xffffffff);
    set(0x11, 0xffffffff);
    ck_assert_uint_eq(get(0x10), 0x0001afff);
    ck_assert_uint_eq(get(0x11), 0xff000000);
    harness_end(&ioapic_class, ioapic);
}
END_TEST

START_TEST(edge_sends_once)
{
    begin();
    entry(4, 3, 0x0931); /* lowest priority, logical */
    ioapic_set(ioapic, 4, true);
    ioapic_set(ioapic, 4, true);
    ck_assert_uint_eq(h.sent_count, 1);
    ck_assert_uint_eq(h.sent[0].dest, 3);
    ck_assert_uint_eq(h.sent[0].vector, 0x31);
    ck_assert_uint_eq(h.sent[0].mode, 1);
    ck_assert(h.sent[0].logical && !h.sent[0].level);
    ioapic_set(ioapic, 4, false);
    ioapic_set(ioapic, 4, true);
    ck_assert_uint_eq(h.sent_count, 2);
    ioapic_set(ioapic, 24, true);
    ioapic_set(ioapic, 4000, true);
    harness_end(&ioapic_class, ioapic);
}
END_TEST

START_TEST(masked_edge_is_lost)
{
    begin();
    entry(5, 0, 0x10040);
    ioapic_set(ioapic, 5, true);
    entry(5, 0, 0x40);
    ck_assert_uint_eq(h.sent_count, 0);
    harness_end(&ioapic_class, ioapic);
}
END_TEST

START_TEST(level_waits_for_the_end)
{
    begin();
    entry(9, 1, 0x8050);
    ioapic_set(ioapic, 9, true);
    ck_assert_uint_eq(h.sent_count, 1);
    ck_assert(h.sent[0].level);
    ck_assert_uint_eq(get(0x10 + 18), 0xc050); /* remote IRR */
    ioapic_set(ioapic, 9, false);
    ioapic_set(ioapic, 9, true);
    ck_assert_uint_eq(h.sent_count, 1);
    ioapic_eoi(ioapic, 0x51);
    ck_assert_uint_eq(h.sent_count, 1);
    ioapic_eoi(ioapic, 0x50); /* still asserted: again */
    ck_assert_uint_eq(h.sent_count, 2);
    ioapic_set(ioapic, 9, false);
    bus_write(&h.bus, IOAPIC_BASE + 0x40, 4, 0x50);
    ck_assert_uint_eq(get(0x10 + 18), 0x8050);
    ck_assert_uint_eq(h.sent_count, 2);
    harness_end(&ioapic_class, ioapic);
}
END_TEST

START_TEST(unmasking_sends_a_level)
{
    begin();
    entry(9, 1, 0x18050);
    ioapic_set(ioapic, 9, true);
    ck_assert_uint_eq(h.sent_count, 0);
    entry(9, 1, 0x8050);
    ck_assert_uint_eq(h.sent_count, 1);
    set(0x10 + 18, 0x10050); /* edge and masked: drops remote IRR */
    ck_assert_uint_eq(get(0x10 + 18), 0x10050);
    set(0x10 + 18, 0x8050);
    ck_assert_uint_eq(h.sent_count, 2);
    harness_end(&ioapic_class, ioapic);
}
END_TEST

START_TEST(nobody_accepts)
{
    begin();
    h.refuse = true;
    entry(9, 1, 0x8050);
    ioapic_set(ioapic, 9, true);
    ck_assert_uint_eq(get(0x10 + 18), 0x8050);
    harness_end(&ioapic_class, ioapic);
}
END_TEST

START_TEST(saved_and_loaded)
{
    begin();
    entry(9, 1, 0x8050);
    ioapic_set(ioapic, 9, true);
    ioapic = harness_reload(&ioapic_class, ioapic, NULL);
    ck_assert_uint_eq(get(0x10 + 18), 0xc050);
    ioapic_eoi(ioapic, 0x50);
    ck_assert_uint_eq(h.sent_count, 2);
    harness_end(&ioapic_class, ioapic);
}
END_TEST

SUITE_MAIN("ioapic", &identity_and_reset, &edge_sends_once, &masked_edge_is_lost,
           &level_waits_for_the_end, &unmasking_sends_a_level, &nobody_accepts, &saved_and_loaded)
