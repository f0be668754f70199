/* SPDX-License-Identifier: MIT */
/* The firmware's chip: read-only memory that ends at 4 GiB, where processors start. */
#ifndef DEVICES_FLASH_H
#define DEVICES_FLASH_H

#include "devices/device.h"

#define FLASH_MIN (64 * KIB) /* sizes are multiples of a page */
#define FLASH_MAX (16 * MIB)

struct flash_config {
    const char *path; /* an image of the chip; NULL: an erased one of FLASH_MIN */
};

struct flash;

u8 *flash_bytes(const struct flash *flash);
u64 flash_size(const struct flash *flash);

extern const struct device_class flash_class;

#endif
