/* SPDX-License-Identifier: MIT */
/*
 * The chipset as far as software looks for it: a 440FX host bridge (PCI 00:00.0) and a PIIX3 ISA
 * bridge (00:01.0) with its routing of PCI interrupts to the 8259 pair.
 */
#ifndef DEVICES_I440FX_H
#define DEVICES_I440FX_H

#include "devices/pci.h"

struct i440fx;

struct pci_bus *i440fx_pci(struct i440fx *chipset);
/* PCI interrupt wire 0 to 3 changed. */
void i440fx_pirq(struct i440fx *chipset, unsigned wire, bool level);

extern const struct device_class i440fx_class;

#endif
