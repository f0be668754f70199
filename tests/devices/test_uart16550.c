/* SPDX-License-Identifier: MIT */
#include "devices/uart16550.h"

#include <string.h>

#include "tests/devices/harness.h"

#define BASE 0x3f8
#define IRQ 4

static struct uart16550 *uart;
static struct uart16550_config config;
static char sent[256];
static const char *waiting = "";

static void put(void *opaque, const u8 *bytes, size_t count)
{
    (void)opaque;
    strncat(sent, (const char *)bytes, count);
}

static size_t take(void *opaque, u8 *bytes, size_t max)
{
    (void)opaque;
    size_t count = strnlen(waiting, max);
    memcpy(bytes, waiting, count);
    waiting += count;
    return count;
}

static void begin(void)
{
    device_config_init(&uart16550_class, &config);
    config.backend = (struct char_backend){.put = put, .get = take};
    sent[0] = 0;
    waiting = "";
    uart = harness_make(&uart16550_class, &config);
}

static u8 get(unsigned reg)
{
    return in8(BASE + reg);
}

static void set(unsigned reg, u8 value)
{
    out8(BASE + reg, value);
}

static void arrive(const char *text)
{
    waiting = text;
    uart16550_poll(uart);
}

START_TEST(presets)
{
    begin();
    ck_assert_uint_eq(config.base, BASE);
    ck_assert_uint_eq(config.irq, IRQ);
    ck_assert_uint_eq(get(5), 0x60);
    ck_assert_uint_eq(get(2), 0x01);
    ck_assert_uint_eq(get(6), 0xb0);
    set(1, 0xff);
    ck_assert_uint_eq(get(1), 0x0f);
    set(7, 0x5a);
    ck_assert_uint_eq(get(7), 0x5a);
    harness_end(&uart16550_class, uart);
}
END_TEST

START_TEST(divisor_latch)
{
    begin();
    set(3, 0x83);
    set(0, 0x0c);
    set(1, 0x01);
    ck_assert_uint_eq(get(0), 0x0c);
    ck_assert_uint_eq(get(1), 0x01);
    set(3, 0x03);
    ck_assert_uint_eq(get(1), 0);
    ck_assert_str_eq(sent, "");
    harness_end(&uart16550_class, uart);
}
END_TEST

START_TEST(transmitter_is_empty_at_once)
{
    begin();
    set(4, 0x08);
    set(1, 0x02);
    ck_assert(h.level[IRQ]); /* enabling it while empty interrupts */
    ck_assert_uint_eq(get(2), 0x02);
    ck_assert(!h.level[IRQ]); /* seen */
    ck_assert_uint_eq(get(2), 0x01);
    set(0, 'h');
    set(0, 'i');
    ck_assert_str_eq(sent, "hi");
    ck_assert(h.level[IRQ]);
    ck_assert_uint_eq(get(5), 0x60);
    set(1, 0);
    ck_assert(!h.level[IRQ]);
    harness_end(&uart16550_class, uart);
}
END_TEST

START_TEST(out2_gates_the_interrupt)
{
    begin();
    set(1, 0x02);
    ck_assert(!h.level[IRQ]);
    set(4, 0x08);
    ck_assert(h.level[IRQ]);
    harness_end(&uart16550_class, uart);
}
END_TEST

START_TEST(receives_without_fifo)
{
    begin();
    set(4, 0x08);
    set(1, 0x01);
    arrive("ab");
    ck_assert(h.level[IRQ]);
    ck_assert_uint_eq(get(2), 0x04);
    ck_assert_uint_eq(get(5), 0x61);
    ck_assert_str_eq(waiting, "b"); /* there is room for one */
    ck_assert_uint_eq(get(0), 'a');
    ck_assert_uint_eq(get(0), 'b');
    ck_assert_uint_eq(get(5), 0x60);
    ck_assert(!h.level[IRQ]);
    harness_end(&uart16550_class, uart);
}
END_TEST

START_TEST(fifo_trigger_and_timeout)
{
    begin();
    set(4, 0x08);
    set(2, 0x81); /* trigger at 8 */
    set(1, 0x01);
    arrive("1234567");
    ck_assert_uint_eq(get(2), 0xcc);
    arrive("8");
    ck_assert_uint_eq(get(2), 0xc4);
    arrive("9abcdefghij");
    ck_assert_str_eq(waiting, "hij");
    for (const char *p = "123456789abcdefghij"; *p; p++)
        ck_assert_uint_eq(get(0), (u8)*p);
    ck_assert_uint_eq(get(2), 0xc1);
    arrive("xyz");
    set(2, 0x83); /* clears it */
    ck_assert_uint_eq(get(5), 0x60);
    harness_end(&uart16550_class, uart);
}
END_TEST

START_TEST(loopback)
{
    begin();
    set(4, 0x10 | 0x0a); /* RTS and OUT2 */
    ck_assert_uint_eq(get(6) & 0xf0, 0x90);
    set(4, 0x10 | 0x05);                    /* DTR and OUT1 */
    ck_assert_uint_eq(get(6), 0x60 | 0x0b); /* clear-to-send, data-set-ready, carrier changed */
    ck_assert_uint_eq(get(6), 0x60);
    set(4, 0x10);
    ck_assert_uint_eq(get(6), 0x06); /* the ring ended */
    waiting = "no";
    set(0, 'x');
    ck_assert_str_eq(sent, "");
    ck_assert_uint_eq(get(5), 0x61);
    set(0, 'y'); /* overruns */
    ck_assert_uint_eq(get(5), 0x63);
    ck_assert_uint_eq(get(5), 0x61);
    ck_assert_uint_eq(get(0), 'y');
    set(4, 0); /* what waited outside comes in */
    ck_assert_uint_eq(get(0), 'n');
    harness_end(&uart16550_class, uart);
}
END_TEST

START_TEST(interrupt_priorities)
{
    begin();
    set(2, 0x01);
    set(1, 0x0f);
    set(4, 0x18);
    for (unsigned n = 0; n < 17; n++)
        set(0, (u8)n);
    ck_assert_uint_eq(get(2), 0xc6);
    ck_assert_uint_eq(get(5) & 0x1e, 0x02);
    ck_assert_uint_eq(get(2), 0xc4);
    for (unsigned n = 0; n < 16; n++)
        ck_assert_uint_eq(get(0), n);
    ck_assert_uint_eq(get(2), 0xc2);
    ck_assert_uint_eq(get(2), 0xc0); /* modem lines changed when the loop closed */
    get(6);
    ck_assert_uint_eq(get(2), 0xc1);
    harness_end(&uart16550_class, uart);
}
END_TEST

START_TEST(port_must_be_free)
{
    begin();
    struct error err = {{0}};
    config.base = BASE + 7;
    ck_assert_ptr_null(uart16550_class.create(&h.env, &config, &err));
    ck_assert_str_eq(err.text, "serial port at 0x3ff: port 0x3ff is taken");
    harness_end(&uart16550_class, uart);
}
END_TEST

START_TEST(saved_and_loaded)
{
    begin();
    set(4, 0x08);
    set(2, 0x01);
    set(1, 0x01);
    arrive("hello");
    get(0);
    uart = harness_reload(&uart16550_class, uart, &config);
    for (const char *p = "ello"; *p; p++)
        ck_assert_uint_eq(get(0), (u8)*p);
    harness_end(&uart16550_class, uart);
}
END_TEST

SUITE_MAIN("uart16550", &presets, &divisor_latch, &transmitter_is_empty_at_once,
           &out2_gates_the_interrupt, &receives_without_fifo, &fifo_trigger_and_timeout, &loopback,
           &interrupt_priorities, &port_must_be_free, &saved_and_loaded)
