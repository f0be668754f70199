/* SPDX-License-Identifier: MIT */
/* A PCI bus of a chipset in the harness, and its configuration space as a guest reaches it. */
#ifndef TESTS_DEVICES_PCI_HARNESS_H
#define TESTS_DEVICES_PCI_HARNESS_H

#include "devices/i440fx.h"
#include "tests/devices/harness.h"

static inline u32 config_get(u8 devfn, u8 reg, unsigned size)
{
    bus_io_write(&h.bus, 0xcf8, 4, UINT32_C(0x80000000) | (u32)devfn << 8 | (reg & 0xfcu));
    return (u32)bus_io_read(&h.bus, 0xcfc + (reg & 3), size);
}

static inline void config_set(u8 devfn, u8 reg, unsigned size, u32 value)
{
    bus_io_write(&h.bus, 0xcf8, 4, UINT32_C(0x80000000) | (u32)devfn << 8 | (reg & 0xfcu));
    bus_io_write(&h.bus, 0xcfc + (reg & 3), size, value);
}

/* A device of a class beside a chipset. */
static inline void *harness_make_pci(const struct device_class *class, const void *config,
                                     struct i440fx **chipset)
{
    struct error err = {{0}};
    *chipset = harness_make(&i440fx_class, NULL);
    h.env.pci = i440fx_pci(*chipset);
    void *device = class->create(&h.env, config, &err);
    ck_assert_msg(device != NULL, "%s", err.text);
    class->reset(device);
    return device;
}

#endif
