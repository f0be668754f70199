/* SPDX-License-Identifier: MIT */
#include "devices/e820.h"

#include "devices/firmware.h"

unsigned e820_build(const struct ram *ram, struct e820_range ranges[E820_MAX])
{
    unsigned count = 0;
    ranges[count++] = (struct e820_range){0, E820_LOW_END, E820_RAM};
    ranges[count++] = (struct e820_range){E820_LOW_END, 0xa0000 - E820_LOW_END, E820_RESERVED};
    ranges[count++] = (struct e820_range){FIRMWARE_ACPI, MIB - FIRMWARE_ACPI, E820_RESERVED};
    if (ram->low > MIB)
        ranges[count++] = (struct e820_range){MIB, ram->low - MIB, E820_RAM};
    if (ram->size > ram->low)
        ranges[count++] = (struct e820_range){RAM_HIGH_START, ram->size - ram->low, E820_RAM};
    return count;
}
