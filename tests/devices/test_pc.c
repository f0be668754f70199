/* SPDX-License-Identifier: MIT */
/* The wiring, with recorders in the place of the local APICs. */
#include "devices/pc.h"

#include <string.h>

#include "base/input.h"
#include "cpu/lapic.h"
#include "devices/char_queue.h"
#include "devices/hpet.h"
#include "devices/ioapic.h"
#include "tests/suite.h"

static struct bus bus;
static struct clock ticks;
static struct cpu_group group;
static struct pc *pc;
static struct pc_config config;
static struct lapic_msg messages[64];
static unsigned message_count;
static bool intr;
static void (*eoi)(void *opaque, u8 vector);
static void *eoi_opaque;

void lapic_map(struct cpu_group *g)
{
    ck_assert_ptr_eq(g, &group);
}

void lapic_listen_eoi(struct cpu_group *g, void (*listener)(void *opaque, u8 vector), void *opaque)
{
    (void)g;
    eoi = listener;
    eoi_opaque = opaque;
}

bool lapic_deliver(struct cpu_group *g, const struct lapic_msg *msg)
{
    (void)g;
    messages[message_count++ % ARRAY_SIZE(messages)] = *msg;
    return true;
}

void lapic_intr_set(void *g, unsigned input, bool level)
{
    (void)g;
    ck_assert_uint_eq(input, 0);
    intr = level;
}

static void begin(void)
{
    struct error err = {{0}};
    ck_assert(bus_init(&bus, MIB, &err));
    clock_init(&ticks, 1000000000);
    group = (struct cpu_group){.clock = &ticks, .bus = &bus};
    message_count = 0;
    intr = false;
    pc_config_init(&config);
    pc = pc_new(&group, &config, &err);
    ck_assert_msg(pc != NULL, "%s", err.text);
}

static void end(void)
{
    pc_free(pc);
    ck_assert_uint_eq(bus.io_count, 0);
    ck_assert_uint_eq(bus.mmio_count, 0);
    clock_fini(&ticks);
    bus_fini(&bus);
}

static void out8(u32 port, u8 value)
{
    bus_io_write(&bus, port, 1, value);
}

static void run_to(u64 tick)
{
    while (ticks.next <= tick) {
        ticks.now = ticks.next;
        clock_run(&ticks);
    }
    ticks.now = tick;
}

static void entry(u32 input, u32 low)
{
    bus_write(&bus, IOAPIC_BASE, 4, 0x10 + 2 * input);
    bus_write(&bus, IOAPIC_BASE + 0x10, 4, low);
}

static void start_pit(void)
{
    out8(0x43, 0x34);
    out8(0x40, 0xa9); /* 1193: 1 kHz */
    out8(0x40, 0x04);
}

START_TEST(timer_reaches_both_controllers)
{
    begin();
    entry(2, 0x30);
    entry(0, 0x31); /* nothing is wired there */
    out8(0x21, 0xfe);
    start_pit();
    run_to(1100000);
    ck_assert_uint_eq(message_count, 1);
    ck_assert_uint_eq(messages[0].vector, 0x30);
    ck_assert(intr);
    ck_assert_int_eq(group.extint_ack(group.extint_opaque), 0x08);
    ck_assert(!intr);
    end();
}
END_TEST

START_TEST(hpet_replaces_the_timer)
{
    begin();
    entry(2, 0x30);
    start_pit();
    bus_write(&bus, HPET_BASE + 0x10, 8, 3);
    run_to(5000000);
    ck_assert_uint_eq(message_count, 0);
    bus_write(&bus, HPET_BASE + 0x100, 8, 0x4c | 0x100); /* periodic */
    bus_write(&bus, HPET_BASE + 0x108, 8, 600000);
    bus_write(&bus, HPET_BASE + 0x108, 8, 100000);
    run_to(8000000);
    ck_assert_uint_eq(message_count, 3);
    bus_write(&bus, HPET_BASE + 0x10, 8, 0);
    message_count = 0;
    run_to(12000000);
    ck_assert_uint_ge(message_count, 4); /* the PIT's again */
    end();
}
END_TEST

START_TEST(level_interrupt_ends_by_broadcast)
{
    begin();
    entry(9, 0x8052);
    u64 rsdp;
    ck_assert(pc_preset(pc, &rsdp, NULL));
    out8(APM_CONTROL, ACPI_ENABLE);
    bus_io_write(&bus, PIIX4_PM_BASE + ACPI_PM_EVENT + 2, 2, 0x100);
    pc_power_button(pc);
    ck_assert_uint_eq(message_count, 1);
    ck_assert(messages[0].level);
    eoi(eoi_opaque, 0x52);
    ck_assert_uint_eq(message_count, 2);
    end();
}
END_TEST

START_TEST(serial_port)
{
    begin();
    ck_assert_ptr_nonnull(pc_serial(pc, 0));
    ck_assert_ptr_null(pc_serial(pc, 1));
    ck_assert_ptr_null(pc_serial(pc, 99));
    entry(4, 0x34);
    out8(0x3fc, 0x08);
    out8(0x3f9, 0x02);
    ck_assert_uint_eq(message_count, 1);
    end();
}
END_TEST

/* What comes in waits until the guest has read what came before it. */
START_TEST(serial_input_comes_through_the_hub)
{
    struct error err = {{0}};
    static u8 typed[CHAR_QUEUE_SIZE + 100];
    begin();
    pc_free(pc);
    struct input_hub *hub = input_new(&ticks);
    config.input = hub;
    pc = pc_new(&group, &config, &err);
    ck_assert_ptr_nonnull(pc);
    for (unsigned n = 0; n < sizeof(typed); n++)
        typed[n] = (u8)(n * 7 + n / 256);
    ck_assert_uint_eq(pc_serial_room(pc, 0), CHAR_QUEUE_SIZE);
    input_put(hub, pc_serial_source(pc, 0), typed, sizeof(typed));
    ck_assert(!(bus_io_read(&bus, 0x3fd, 1) & 1));
    run_to(ticks.now + 1);
    /* One byte is in the receive register, as the FIFO is off. */
    ck_assert_uint_eq(pc_serial_room(pc, 0), 1);
    unsigned got = 0;
    for (; bus_io_read(&bus, 0x3fd, 1) & 1; got++)
        ck_assert_uint_eq(bus_io_read(&bus, 0x3f8, 1), typed[got]);
    ck_assert_uint_eq(got, CHAR_QUEUE_SIZE);
    ck_assert_uint_eq(pc_serial_room(pc, 0), CHAR_QUEUE_SIZE);
    end();
    input_free(hub);
}
END_TEST

START_TEST(cmos_knows_the_memory)
{
    static const u8 index[] = {0x15, 0x16, 0x17, 0x18, 0x34, 0x5b};
    static const u8 value[] = {0x80, 0x02, 0x00, 0x00, 0x00, 0x00}; /* 640 KiB, none above */
    begin();
    for (size_t n = 0; n < ARRAY_SIZE(index); n++) {
        out8(0x70, index[n]);
        ck_assert_uint_eq(bus_io_read(&bus, 0x71, 1), value[n]);
    }
    end();
}
END_TEST

START_TEST(reset_quiets_everything)
{
    begin();
    entry(2, 0x30);
    out8(0x21, 0);
    start_pit();
    run_to(2000000);
    pc_reset(pc);
    message_count = 0;
    run_to(10000000000);
    ck_assert_uint_eq(message_count, 0);
    ck_assert(!intr);
    ck_assert_uint_eq(ticks.count, 0);
    end();
}
END_TEST

/* Accesses of every size anywhere, while time goes on. */
START_TEST(noise_everywhere)
{
    static const u64 places[] = {IOAPIC_BASE, HPET_BASE, 0xe0000000, 0xc0000000};
    begin();
    u64 seed = 1;
    for (unsigned n = 0; n < 300000; n++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        unsigned size = 1u << ((seed >> 60) & 3);
        u64 mmio = places[(seed >> 58) & 3] + ((seed >> 40) & 0x1f8);
        u32 port = (u32)(seed >> 40) & (seed >> 57 & 1 ? 0xffff : 0xfff);
        if (seed >> 56 & 1 && seed & 3)
            bus_write(&bus, mmio, size, seed >> 20);
        else if (seed >> 56 & 1)
            bus_read(&bus, mmio, size);
        else if (seed & 3)
            bus_io_write(&bus, port, MIN(size, 4u), seed >> 20);
        else
            bus_io_read(&bus, port, MIN(size, 4u));
        if (!(seed & 0xf0))
            group.extint_ack(group.extint_opaque);
        eoi(eoi_opaque, (u8)(seed >> 30));
        run_to(ticks.now + ((seed >> 12) & 0xfff));
    }
    pc_reset(pc);
    end();
}
END_TEST

START_TEST(overlapping_serial_ports_are_refused)
{
    begin();
    end();
    struct error err = {{0}};
    ck_assert(bus_init(&bus, MIB, &err));
    clock_init(&ticks, 1000000000);
    config.serial[1] = config.serial[0];
    ck_assert_ptr_null(pc_new(&group, &config, &err));
    ck_assert(strstr(err.text, "0x3f8"));
    pc = NULL;
    end();
}
END_TEST

SUITE_MAIN("pc", &timer_reaches_both_controllers, &hpet_replaces_the_timer,
           &level_interrupt_ends_by_broadcast, &serial_port, &serial_input_comes_through_the_hub,
           &cmos_knows_the_memory, &reset_quiets_everything, &noise_everywhere,
           &overlapping_serial_ports_are_refused)
