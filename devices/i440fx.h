/* SPDX-License-Identifier: MIT */
/*
 * The chipset: a 440FX host bridge (PCI 00:00.0) that says what lies between 640 KiB and 1 MiB, and
 * a PIIX3 ISA bridge (00:01.0) with its routing of PCI interrupts to the 8259 pair.
 */
#ifndef DEVICES_I440FX_H
#define DEVICES_I440FX_H

#include "devices/pci.h"

struct i440fx;

struct pci_bus *i440fx_pci(struct i440fx *chipset);
/* PCI interrupt wire 0 to 3 changed. */
void i440fx_pirq(struct i440fx *chipset, unsigned wire, bool level);

/*
 * Firmware that the host bridge shows at the top of the first MiB, its last 128 KiB at most, where
 * no RAM is chosen for reads. size is a multiple of 4 KiB, at least 64 KiB; call before the first
 * reset.
 */
void i440fx_set_rom(struct i440fx *chipset, u8 *rom, u64 size);
/* RAM from 0xc0000 to 0xfffff for reads and writes, as firmware leaves it. */
void i440fx_shadow_ram(struct i440fx *chipset);

extern const struct device_class i440fx_class;

#endif
