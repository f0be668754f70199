/* SPDX-License-Identifier: MIT */
#include "devices/device.h"

#include <string.h>

#include "devices/debug_port.h"
#include "devices/isa_dma.h"
#include "devices/mc146818.h"
#include "devices/uart16550.h"
#include "tests/devices/harness.h"

START_TEST(every_row_is_complete)
{
    for (size_t n = 0; n < device_class_count; n++) {
        const struct device_class *class = device_classes[n];
        ck_assert(class->create && class->reset && class->snap && class->free);
        ck_assert(*class->name && *class->help);
        ck_assert_ptr_eq(device_class_find(class->name), class);
    }
    ck_assert_ptr_null(device_class_find("tape"));
}
END_TEST

/* Each device alone: made from its presets, reset, saved, loaded and freed without a trace. */
START_TEST(every_row_lives_alone)
{
    for (size_t n = 0; n < device_class_count; n++) {
        const struct device_class *class = device_classes[n];
        u64 config[32] = {0};
        ck_assert_uint_le(class->config_size, sizeof(config));
        device_config_init(class, config);
        void *device = harness_make(class, config);
        device = harness_reload(class, device, config);
        class->reset(device);
        harness_end(class, device);
    }
}
END_TEST

/* No port of any device makes trouble, whatever the size. */
START_TEST(every_port_and_register_bears_noise)
{
    for (size_t n = 0; n < device_class_count; n++) {
        u64 config[32] = {0};
        device_config_init(device_classes[n], config);
        void *device = harness_make(device_classes[n], config);
        u64 seed = 1;
        for (unsigned k = 0; k < 20000; k++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
            bool io = h.bus.io_count && (!h.bus.mmio_count || seed >> 63);
            const struct bus_region *list = io ? h.bus.io : h.bus.mmio;
            u32 count = io ? h.bus.io_count : h.bus.mmio_count;
            if (!count)
                break;
            const struct bus_region *region = &list[(seed >> 40) % count];
            u64 address = region->base + (seed >> 20) % region->size;
            unsigned size = 1u << ((seed >> 16) % 3);
            address &= ~(u64)(size - 1);
            h.sent_count = 0;
            if (io && (seed & 1))
                bus_io_write(&h.bus, (u32)address, size, seed >> 24);
            else if (io)
                bus_io_read(&h.bus, (u32)address, size);
            else if (seed & 1)
                bus_write(&h.bus, address, size, seed >> 24);
            else
                bus_read(&h.bus, address, size);
            h.clock.now += (seed >> 8) & 0xffff;
            if (h.clock.next <= h.clock.now)
                clock_run(&h.clock);
        }
        harness_end(device_classes[n], device);
    }
}
END_TEST

START_TEST(configuration)
{
    struct uart16550_config config;
    struct error err = {{0}};
    struct prop_node *node = prop_new(NULL, "uart16550", "m.xml", 7);
    prop_set(node, "base", "0x2f8", "m.xml", 7);
    prop_set(node, "irq", "3", "m.xml", 7);
    ck_assert(device_config_read(&uart16550_class, node, &config, &err));
    ck_assert_uint_eq(config.base, 0x2f8);
    ck_assert_uint_eq(config.irq, 3);
    prop_set(node, "irq", "8", "m.xml", 7);
    ck_assert(!device_config_read(&uart16550_class, node, &config, &err));
    ck_assert(strstr(err.text, "m.xml:7"));
    prop_free(node);
}
END_TEST

static unsigned lines;

static void count_line(void *opaque, const char *text)
{
    (void)opaque;
    ck_assert(strlen(text) > 10);
    lines++;
}

START_TEST(list)
{
    device_list(count_line, NULL);
    ck_assert_uint_gt(lines, device_class_count);
}
END_TEST

static char console[32];

static void put(void *opaque, const u8 *bytes, size_t count)
{
    (void)opaque;
    strncat(console, (const char *)bytes, count);
}

START_TEST(debug_ports)
{
    struct debug_port_config config = {.backend = {.put = put}};
    void *port = harness_make(&debug_port_class, &config);
    ck_assert_uint_eq(in8(0xe9), 0xe9);
    out8(0xe9, 'o');
    out8(0xe9, 'k');
    ck_assert_str_eq(console, "ok");
    bus_io_write(&h.bus, 0xf4, 4, 21);
    ck_assert_int_eq(h.group.stop, STOP_DEBUG_EXIT);
    ck_assert_uint_eq(h.group.exit_value, 21);
    out8(0xf4, 1); /* the first reason stays */
    ck_assert_uint_eq(h.group.exit_value, 21);
    harness_end(&debug_port_class, port);
}
END_TEST

SUITE_MAIN("device", &every_row_is_complete, &every_row_lives_alone,
           &every_port_and_register_bears_noise, &configuration, &list, &debug_ports)
