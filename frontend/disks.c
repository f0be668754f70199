/* SPDX-License-Identifier: MIT */
#include "frontend/disks.h"

#define SECOND_CHANNEL 2

/* The first free drive from `from` on, around; IDE_DRIVES: none. */
static unsigned free_drive(const struct ide_config *ide, unsigned from)
{
    for (unsigned n = 0; n < IDE_DRIVES; n++)
        if (!ide->drive[(from + n) % IDE_DRIVES].disk)
            return (from + n) % IDE_DRIVES;
    return IDE_DRIVES;
}

static bool on_ide(struct ide_config *ide, const struct settings_disk *set, struct disk *disk,
                   struct error *err)
{
    unsigned n = free_drive(ide, set->cdrom ? SECOND_CHANNEL : 0);
    if (n == IDE_DRIVES)
        return error_set(err, "%s: IDE has only %d drives", set->path, IDE_DRIVES);
    ide->drive[n] = (struct ide_drive_config){disk, set->cdrom};
    return true;
}

static bool on_virtio(struct machine_virtio_disks *virtio, struct disk *disk)
{
    ASSERT(virtio->disks < PC_VIRTIO_DISKS);
    virtio->disk[virtio->disks++].disk = disk;
    return true;
}

static bool open_one(struct disks *disks, const struct settings_disk *set,
                     struct machine_ends *ends, struct error *err)
{
    struct disk_config config = {set->path, set->overlay[0] ? set->overlay : NULL, set->read_only};
    struct disk *disk = disk_open(&config, err);
    if (!disk)
        return false;
    disks->disk[disks->count++] = disk;
    return set->bus == BUS_VIRTIO ? on_virtio(&ends->virtio, disk)
                                  : on_ide(&ends->ide, set, disk, err);
}

bool disks_open(struct disks *disks, const struct settings *set, struct machine_ends *ends,
                struct error *err)
{
    for (unsigned n = 0; n < set->disks; n++)
        if (!open_one(disks, &set->disk[n], ends, err))
            return false;
    return true;
}

void disks_close(struct disks *disks)
{
    while (disks->count)
        disk_close(disks->disk[--disks->count]);
}
