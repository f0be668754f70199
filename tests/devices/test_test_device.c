/* SPDX-License-Identifier: MIT */
#include "devices/test_device.h"

#include "devices/i440fx.h"
#include "tests/devices/harness.h"

static struct i440fx *chipset;

static void *begin(void)
{
    struct error err = {{0}};
    struct test_device_config config = {.enabled = 1};
    chipset = harness_make(&i440fx_class, NULL);
    h.env.pci = i440fx_pci(chipset);
    void *device = test_device_class.create(&h.env, &config, &err);
    ck_assert_msg(device != NULL, "%s", err.text);
    test_device_class.reset(device);
    i440fx_class.reset(chipset);
    return device;
}

static void end(void *device)
{
    test_device_class.free(device);
    harness_end(&i440fx_class, chipset);
}

START_TEST(latch)
{
    void *device = begin();
    bus_io_write(&h.bus, TEST_LATCH_PORT, 4, 0x12345678);
    ck_assert_uint_eq(bus_io_read(&h.bus, TEST_LATCH_PORT, 4), 0x12345678);
    ck_assert_uint_eq(bus_io_read(&h.bus, TEST_LATCH_PORT + 1, 2), 0x3456);
    out8(TEST_LATCH_PORT, 0xab);
    ck_assert_uint_eq(bus_io_read(&h.bus, TEST_LATCH_PORT, 4), 0x123456ab);
    out8(TEST_BYTE_PORT, 0x44);
    ck_assert_uint_eq(in8(TEST_BYTE_PORT), 0x44);
    test_device_class.reset(device);
    ck_assert_uint_eq(bus_io_read(&h.bus, TEST_LATCH_PORT, 4), 0);
    end(device);
}
END_TEST

static void flushed(void *opaque)
{
    ++*(unsigned *)opaque;
}

START_TEST(flush)
{
    unsigned count = 0;
    void *device = begin();
    h.bus.ram.remapped = flushed;
    h.bus.ram.remapped_opaque = &count;
    bus_io_write(&h.bus, TEST_FLUSH_PORT, 4, 0xffffffff);
    ck_assert_uint_eq(count, 1);
    end(device);
}
END_TEST

START_TEST(interrupts)
{
    void *device = begin();
    out8(TEST_IRQ_PORT + 5, 1);
    ck_assert(h.level[LINE_GSI + 5]);
    ck_assert_uint_eq(in8(TEST_IRQ_PORT + 5), 1);
    out8(TEST_IRQ_PORT + 5, 0);
    ck_assert(!h.level[LINE_GSI + 5]);
    bus_io_write(&h.bus, TEST_IRQ_PORT + 20, 4, 0xffffffff); /* 20 to 23 */
    ck_assert(h.level[LINE_GSI + 20] && h.level[LINE_GSI + 23]);
    bus_io_write(&h.bus, TEST_IRQ_PORT + 22, 4, 0); /* past the end */
    ck_assert(!h.level[LINE_GSI + 23]);
    end(device);
}
END_TEST

START_TEST(memory)
{
    void *device = begin();
    bus_write(&h.bus, TEST_MEMORY + 0x10, 8, 0x1122334455667788);
    ck_assert_uint_eq(bus_read(&h.bus, TEST_MEMORY + 0x13, 4), 0x22334455);
    bus_write(&h.bus, TEST_MEMORY + TEST_MEMORY_SIZE - 1, 1, 0xaa);
    ck_assert_uint_eq(bus_read(&h.bus, TEST_MEMORY + TEST_MEMORY_SIZE - 1, 1), 0xaa);
    end(device);
}
END_TEST

#define BAR TEST_PCI_MEMORY
#define PORTS TEST_PCI_PORTS

START_TEST(pci_tests)
{
    void *device = begin();
    ck_assert_uint_eq(bus_read(&h.bus, BAR, 4), 0);
    bus_write(&h.bus, BAR, 1, 2);
    u32 offset = (u32)bus_read(&h.bus, BAR + 4, 4), data = (u32)bus_read(&h.bus, BAR + 8, 4);
    ck_assert_uint_eq(bus_read(&h.bus, BAR, 1), 2);
    ck_assert_uint_eq(bus_read(&h.bus, BAR + 16, 4), 0x6f696d6d); /* mmio */
    bus_write(&h.bus, BAR + offset, 1, data);
    bus_write(&h.bus, BAR + offset, 1, data ^ 1);
    bus_write(&h.bus, BAR + offset, 2, data);
    bus_write(&h.bus, BAR + offset, 1, data);
    ck_assert_uint_eq(bus_read(&h.bus, BAR + 12, 4), 2);
    out8(PORTS, 0);
    ck_assert_uint_eq(bus_read(&h.bus, BAR, 1), 0);
    offset = (u32)bus_io_read(&h.bus, PORTS + 4, 4);
    out8(PORTS + offset, 7);
    ck_assert_uint_eq(bus_io_read(&h.bus, PORTS + 12, 4), 1);
    out8(PORTS, 3); /* there is none */
    ck_assert_uint_eq(bus_io_read(&h.bus, PORTS + 12, 4), 0);
    for (u32 at = 0; at < 256; at++) {
        bus_io_write(&h.bus, PORTS + at, 4, at);
        bus_io_read(&h.bus, PORTS + at, 4);
    }
    end(device);
}
END_TEST

START_TEST(save_and_load)
{
    void *device = begin();
    out8(TEST_LATCH_PORT + 2, 9);
    bus_write(&h.bus, TEST_MEMORY, 1, 8);
    bus_write(&h.bus, BAR, 1, 1);
    device = harness_reload(&test_device_class, device, NULL);
    i440fx_class.reset(chipset);
    ck_assert_uint_eq(in8(TEST_LATCH_PORT + 2), 9);
    ck_assert_uint_eq(bus_read(&h.bus, TEST_MEMORY, 1), 8);
    ck_assert_uint_eq(bus_read(&h.bus, BAR, 1), 1);
    end(device);
}
END_TEST

SUITE_MAIN("test device", &latch, &flush, &interrupts, &memory, &pci_tests, &save_and_load)
