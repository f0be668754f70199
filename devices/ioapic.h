/* SPDX-License-Identifier: MIT */
/* The I/O APIC: 24 inputs, version 0x20 (with an EOI register). */
#ifndef DEVICES_IOAPIC_H
#define DEVICES_IOAPIC_H

#include "devices/device.h"

#define IOAPIC_BASE UINT64_C(0xfec00000)
#define IOAPIC_INPUTS 24

struct ioapic;

/* Fits struct irq_line; inputs beyond the last are ignored. */
void ioapic_set(void *opaque, unsigned input, bool level);
/* A local APIC finished a level-triggered interrupt with this vector. */
void ioapic_eoi(void *opaque, u8 vector);

extern const struct device_class ioapic_class;

#endif
