/* SPDX-License-Identifier: MIT */
/*
 * The IDE function of the PIIX3 (PCI 00:01.1): two channels at the legacy ports (0x1f0, 0x3f6,
 * interrupt 14; 0x170, 0x376, interrupt 15) with bus-master DMA in BAR 4, and up to four drives.
 *
 * A written sector has reached the host's files before the drive reports completion; FLUSH CACHE ends
 * when they are on the host's disk. With its write cache turned off a drive flushes at each command.
 */
#ifndef DEVICES_IDE_H
#define DEVICES_IDE_H

#include "devices/device.h"
#include "devices/disk.h"

#define IDE_DRIVES 4 /* primary master, primary slave, secondary master, secondary slave */

struct ide_drive_config {
    struct disk *disk; /* NULL: no drive. It must outlive the device. */
    bool cdrom;        /* then the disk is only read */
};

struct ide_config {
    struct ide_drive_config drive[IDE_DRIVES];
};

extern const struct device_class ide_class;

#endif
