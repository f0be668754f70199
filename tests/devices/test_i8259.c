/* SPDX-License-Identifier: MIT */
#include "devices/i8259.h"

#include "tests/devices/harness.h"

static struct i8259 *pic;

/* The PC's usual initialization: vectors from 0x20 and 0x28, icw4 as given for both. */
static void initialize(u8 icw4)
{
    out8(0x20, 0x11);
    out8(0x21, 0x20);
    out8(0x21, 0x04);
    out8(0x21, icw4);
    out8(0xa0, 0x11);
    out8(0xa1, 0x28);
    out8(0xa1, 0x02);
    out8(0xa1, icw4);
}

static void begin(void)
{
    pic = harness_make(&i8259_class, NULL);
    initialize(0x01);
}

static void pulse(unsigned irq)
{
    i8259_set(pic, irq, true);
    i8259_set(pic, irq, false);
}

START_TEST(reset_masks_everything)
{
    pic = harness_make(&i8259_class, NULL);
    for (unsigned n = 0; n < 16; n++)
        i8259_set(pic, n, true);
    ck_assert(!h.level[LINE_INTR]);
    ck_assert_uint_eq(in8(0x21), 0xff);
    out8(0x21, 0xfb);
    out8(0xa1, 0xfe);
    ck_assert_int_eq(i8259_ack(pic), 0x70);
    harness_end(&i8259_class, pic);
}
END_TEST

START_TEST(initialization_with_and_without_icw4)
{
    begin();
    ck_assert_uint_eq(in8(0x21), 0); /* ICW1 clears the mask */
    out8(0x20, 0x10);                /* no ICW4: two more words, then the mask again */
    out8(0x21, 0x40);
    out8(0x21, 0x04);
    out8(0x21, 0xfe);
    ck_assert_uint_eq(in8(0x21), 0xfe);
    pulse(0);
    ck_assert_int_eq(i8259_ack(pic), 0x40);
    out8(0x20, 0x12); /* single: no ICW3 either */
    out8(0x21, 0x50);
    out8(0x21, 0xfd);
    ck_assert_uint_eq(in8(0x21), 0xfd);
    pulse(1);
    ck_assert_int_eq(i8259_ack(pic), 0x51);
    harness_end(&i8259_class, pic);
}
END_TEST

START_TEST(priorities_and_end_of_interrupt)
{
    begin();
    pulse(4);
    ck_assert(h.level[LINE_INTR]);
    ck_assert_int_eq(i8259_ack(pic), 0x24);
    ck_assert(!h.level[LINE_INTR]);
    pulse(5); /* lower: held back */
    ck_assert(!h.level[LINE_INTR]);
    pulse(1); /* higher: nests */
    ck_assert(h.level[LINE_INTR]);
    ck_assert_int_eq(i8259_ack(pic), 0x21);
    out8(0x20, 0x0b);
    ck_assert_uint_eq(in8(0x20), 0x12); /* in service: 1 and 4 */
    out8(0x20, 0x0a);
    ck_assert_uint_eq(in8(0x20), 0x20); /* requested: 5 */
    out8(0x20, 0x20);
    ck_assert(!h.level[LINE_INTR]);
    out8(0x20, 0x20);
    ck_assert_int_eq(i8259_ack(pic), 0x25);
    out8(0x20, 0x65); /* specific */
    out8(0x20, 0x0b);
    ck_assert_uint_eq(in8(0x20), 0);
    harness_end(&i8259_class, pic);
}
END_TEST

START_TEST(slave_needs_both_ends)
{
    begin();
    pulse(8);
    pulse(12);
    ck_assert_int_eq(i8259_ack(pic), 0x28);
    out8(0xa0, 0x20);
    ck_assert(!h.level[LINE_INTR]); /* the master still serves the cascade */
    out8(0x20, 0x20);
    ck_assert(h.level[LINE_INTR]);
    ck_assert_int_eq(i8259_ack(pic), 0x2c);
    harness_end(&i8259_class, pic);
}
END_TEST

START_TEST(special_fully_nested_lets_the_slave_nest)
{
    begin();
    initialize(0x11);
    pulse(12);
    ck_assert_int_eq(i8259_ack(pic), 0x2c);
    pulse(8);
    ck_assert(h.level[LINE_INTR]);
    ck_assert_int_eq(i8259_ack(pic), 0x28);
    harness_end(&i8259_class, pic);
}
END_TEST

START_TEST(rotation)
{
    begin();
    pulse(0);
    ck_assert_int_eq(i8259_ack(pic), 0x20);
    out8(0x20, 0xa0); /* rotate on EOI: 0 becomes the lowest */
    pulse(0);
    pulse(7);
    ck_assert_int_eq(i8259_ack(pic), 0x27);
    out8(0x20, 0x20);
    out8(0x20, 0xc2); /* 2 the lowest, so 3 the highest */
    pulse(3);
    ck_assert_int_eq(i8259_ack(pic), 0x23);
    harness_end(&i8259_class, pic);
}
END_TEST

START_TEST(automatic_end_of_interrupt)
{
    begin();
    initialize(0x03);
    pulse(3);
    pulse(6);
    ck_assert_int_eq(i8259_ack(pic), 0x23);
    ck_assert(h.level[LINE_INTR]);
    ck_assert_int_eq(i8259_ack(pic), 0x26);
    harness_end(&i8259_class, pic);
}
END_TEST

START_TEST(special_mask)
{
    begin();
    pulse(1);
    ck_assert_int_eq(i8259_ack(pic), 0x21);
    out8(0x21, 0x02);
    pulse(6);
    ck_assert(!h.level[LINE_INTR]);
    out8(0x20, 0x68);
    ck_assert(h.level[LINE_INTR]);
    out8(0x20, 0x48);
    ck_assert(!h.level[LINE_INTR]);
    harness_end(&i8259_class, pic);
}
END_TEST

START_TEST(spurious_is_input_7_and_not_in_service)
{
    begin();
    out8(0x4d0, 0x20); /* 5 level triggered */
    i8259_set(pic, 5, true);
    ck_assert(h.level[LINE_INTR]);
    i8259_set(pic, 5, false);
    ck_assert(!h.level[LINE_INTR]);
    ck_assert_int_eq(i8259_ack(pic), 0x27);
    out8(0x20, 0x0b);
    ck_assert_uint_eq(in8(0x20), 0);
    harness_end(&i8259_class, pic);
}
END_TEST

START_TEST(level_asks_again_edge_does_not)
{
    begin();
    out8(0x4d0, 0xff);
    out8(0x4d1, 0xff);
    ck_assert_uint_eq(in8(0x4d0), 0xf8);
    ck_assert_uint_eq(in8(0x4d1), 0xde);
    i8259_set(pic, 10, true);
    ck_assert_int_eq(i8259_ack(pic), 0x2a);
    out8(0xa0, 0x20);
    out8(0x20, 0x20);
    ck_assert(h.level[LINE_INTR]);
    i8259_set(pic, 10, false);
    i8259_set(pic, 1, true);
    ck_assert_int_eq(i8259_ack(pic), 0x21);
    out8(0x20, 0x20);
    ck_assert(!h.level[LINE_INTR]);
    harness_end(&i8259_class, pic);
}
END_TEST

START_TEST(poll_acknowledges)
{
    begin();
    out8(0x20, 0x0c);
    ck_assert_uint_eq(in8(0x20), 0x07);
    pulse(3);
    out8(0x20, 0x0c);
    ck_assert_uint_eq(in8(0x20), 0x83);
    ck_assert(!h.level[LINE_INTR]);
    harness_end(&i8259_class, pic);
}
END_TEST

START_TEST(saved_and_loaded)
{
    begin();
    out8(0x21, 0x0f);
    pulse(5);
    pulse(14);
    pic = harness_reload(&i8259_class, pic, NULL);
    ck_assert_uint_eq(in8(0x21), 0x0f);
    ck_assert_int_eq(i8259_ack(pic), 0x25);
    out8(0x21, 0);
    out8(0x20, 0x20);
    ck_assert_int_eq(i8259_ack(pic), 0x2e);
    harness_end(&i8259_class, pic);
}
END_TEST

SUITE_MAIN("i8259", &reset_masks_everything, &initialization_with_and_without_icw4,
           &priorities_and_end_of_interrupt, &slave_needs_both_ends,
           &special_fully_nested_lets_the_slave_nest, &rotation, &automatic_end_of_interrupt,
           &special_mask, &spurious_is_input_7_and_not_in_service, &level_asks_again_edge_does_not,
           &poll_acknowledges, &saved_and_loaded)
