/* SPDX-License-Identifier: MIT */
/* The images behind a machine's disks: opened here, handed to the machine. */
#ifndef FRONTEND_DISKS_H
#define FRONTEND_DISKS_H

#include "configs/machine.h"
#include "configs/settings.h"
#include "devices/disk.h"

struct disks {
    struct disk *disk[SETTINGS_DISKS + SETTINGS_CDROMS];
    unsigned count;
};

/*
 * Opens all of set's images into ends. Disks on IDE take its drives in order, CD-ROM drives the first
 * free one from the second channel on. disks_close() whether it succeeds or not, after the machine.
 */
bool disks_open(struct disks *disks, const struct settings *set, struct machine_ends *ends,
                struct error *err);
void disks_close(struct disks *disks);

#endif
