/* SPDX-License-Identifier: MIT */
#include "devices/pvpanic.h"

#include "devices/i440fx.h"
#include "devices/pci.h"
#include "tests/devices/harness.h"

#define BAR 0xc0000000u

static struct i440fx *chipset;

static void *begin(void)
{
    struct error err = {{0}};
    chipset = harness_make(&i440fx_class, NULL);
    h.env.pci = i440fx_pci(chipset);
    void *device = pvpanic_class.create(&h.env, NULL, &err);
    ck_assert(device != NULL);
    pvpanic_class.reset(device);
    return device;
}

static void end(void *device)
{
    pvpanic_class.free(device);
    harness_end(&i440fx_class, chipset);
}

START_TEST(port)
{
    void *device = begin();
    ck_assert_uint_eq(in8(PVPANIC_PORT), 3);
    out8(PVPANIC_PORT, 2);
    out8(PVPANIC_PORT, 0xf8);
    ck_assert_int_eq(h.group.stop, STOP_NONE);
    out8(PVPANIC_PORT, 1);
    ck_assert_int_eq(h.group.stop, STOP_PANIC);
    end(device);
}
END_TEST

static void config_write(unsigned offset, u32 value)
{
    u32 address = BIT32(31) | (u32)PCI_DEVFN(PVPANIC_PCI_DEVICE, 0) << 8 | offset;
    bus_io_write(&h.bus, 0xcf8, 4, address);
    bus_io_write(&h.bus, 0xcfc, 4, value);
}

START_TEST(function)
{
    void *device = begin();
    config_write(PCI_BAR0, BAR);
    config_write(PCI_COMMAND, PCI_COMMAND_MEMORY);
    ck_assert_uint_eq(bus_read(&h.bus, BAR, 4), 3);
    bus_write(&h.bus, BAR + 4, 4, 1);
    ck_assert_int_eq(h.group.stop, STOP_NONE);
    bus_write(&h.bus, BAR, 1, 3);
    ck_assert_int_eq(h.group.stop, STOP_PANIC);
    device = harness_reload(&pvpanic_class, device, NULL);
    ck_assert_uint_eq(in8(PVPANIC_PORT), 3);
    end(device);
}
END_TEST

SUITE_MAIN("pvpanic", &port, &function)
