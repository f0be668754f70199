/* SPDX-License-Identifier: MIT */
/* Buses and a clock of 1 GHz without processors, and records of what a device drives. */
#ifndef TESTS_DEVICES_HARNESS_H
#define TESTS_DEVICES_HARNESS_H

#include <stdlib.h>
#include <unistd.h>

#include "devices/i440fx.h"
#include "devices/pci.h"
#include "tests/suite.h"

#define MICROSECOND UINT64_C(1000)
#define MILLISECOND (1000 * MICROSECOND)
#define SECOND (1000 * MILLISECOND)

struct harness {
    struct bus bus;
    struct clock clock;
    struct cpu_group group;
    struct device_env env;
    bool level[LINE_COUNT];
    unsigned rises[LINE_COUNT];
    u64 last_rise[LINE_COUNT]; /* tick */
    struct apic_message sent[64];
    unsigned sent_count;
    bool refuse; /* no local APIC accepts a message */
};

static struct harness h;

static void harness_line(void *opaque, unsigned line, bool level)
{
    (void)opaque;
    ck_assert_uint_lt(line, LINE_COUNT);
    if (level && !h.level[line]) {
        h.rises[line]++;
        h.last_rise[line] = h.clock.now;
    }
    h.level[line] = level;
}

static bool harness_send(void *opaque, const struct apic_message *message)
{
    (void)opaque;
    ck_assert_uint_lt(h.sent_count, ARRAY_SIZE(h.sent));
    h.sent[h.sent_count++] = *message;
    return !h.refuse;
}

/* Makes the device of a class, after reset. There is a PCI bus unless the device brings its own. */
static inline void *harness_make(const struct device_class *class, const void *config)
{
    struct error err = {{0}};
    h = (struct harness){0};
    ck_assert(bus_init(&h.bus, MIB, &err));
    clock_init(&h.clock, SECOND);
    h.group = (struct cpu_group){.clock = &h.clock, .bus = &h.bus};
    h.env = (struct device_env){.bus = &h.bus,
                                .clock = &h.clock,
                                .group = &h.group,
                                .line = harness_line,
                                .apic_send = harness_send};
    if (class != &i440fx_class)
        h.env.pci = pci_new(&h.env);
    void *device = class->create(&h.env, config, &err);
    ck_assert_msg(device != NULL, "%s", err.text);
    class->reset(device);
    return device;
}

/* Ends a test: the device lets go of bus and clock. */
static inline void harness_end(const struct device_class *class, void *device)
{
    class->free(device);
    if (class != &i440fx_class)
        pci_free(h.env.pci);
    ck_assert_uint_eq(h.bus.io_count, 0);
    ck_assert_uint_eq(h.bus.mmio_count, 0);
    ck_assert_uint_eq(h.clock.count, 0);
    clock_fini(&h.clock);
    bus_fini(&h.bus);
}

static inline void out8(u32 port, u8 value)
{
    bus_io_write(&h.bus, port, 1, value);
}

static inline u8 in8(u32 port)
{
    return (u8)bus_io_read(&h.bus, port, 1);
}

/* Runs all events up to a tick, each at its own time. */
static inline void run_to(u64 tick)
{
    while (h.clock.next <= tick) {
        h.clock.now = MAX(h.clock.next, h.clock.now);
        clock_run(&h.clock);
    }
    h.clock.now = tick;
}

static inline void run_for(u64 ticks)
{
    run_to(h.clock.now + ticks);
}

/* Saves the device to a file and loads it into a fresh one in the same harness. */
static inline void *harness_reload(const struct device_class *class, void *device,
                                   const void *config)
{
    struct error err = {{0}};
    char path[] = "snap-test-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    struct snap *s = snap_open_save(path, &err);
    ck_assert(s != NULL);
    class->snap(device, s);
    ck_assert_msg(snap_close(s, &err), "%s", err.text);
    class->free(device);
    device = class->create(&h.env, config, &err);
    ck_assert(device != NULL);
    class->reset(device);
    s = snap_open_load(path, &err);
    ck_assert_msg(s != NULL, "%s", err.text);
    class->snap(device, s);
    ck_assert_msg(snap_close(s, &err), "%s", err.text);
    unlink(path);
    return device;
}

#endif
