/* SPDX-License-Identifier: MIT */
/* The machine's physical memory map as firmware and boot loaders hand it to an operating system. */
#ifndef DEVICES_E820_H
#define DEVICES_E820_H

#include "base/types.h"
#include "mmu/ram.h"

enum e820_type { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3, E820_NVS = 4 };

struct e820_range {
    u64 base, size;
    u32 type; /* enum e820_type */
};

#define E820_MAX 8

/* The extended BIOS data area follows: nothing here uses it, but software expects it. */
#define E820_LOW_END UINT64_C(0x9fc00)

/* Fills ranges, sorted and disjoint, and returns how many there are. */
unsigned e820_build(const struct ram *ram, struct e820_range ranges[E820_MAX]);

#endif
