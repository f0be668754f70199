/* SPDX-License-Identifier: MIT */
/*
 * A flash chip that the guest can write, for the variables of OVMF: it lies right below the firmware's
 * chip, speaks Intel's command set one byte wide, and keeps its contents in a file of the host. What
 * is programmed or erased has reached the file when the guest's command is done.
 */
#ifndef DEVICES_PFLASH_H
#define DEVICES_PFLASH_H

#include "devices/device.h"

#define PFLASH_BLOCK 4096 /* what is erased at a time */
#define PFLASH_MAX (8 * MIB)

struct pflash_config {
    const char *path; /* a multiple of PFLASH_BLOCK; NULL: an erased chip of one block, no file */
    u64 end;          /* its end's physical address; 0: 4 GiB */
};

extern const struct device_class pflash_class;

#endif
