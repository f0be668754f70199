/* SPDX-License-Identifier: MIT */
/*
 * Disk images: raw files (or block devices of the host), as they are or below a file of changes, an
 * overlay (devices/disk_overlay.h). A write has reached the host's files when disk_write() returns,
 * and its disk when the next disk_flush() has. Files are locked: one writer, or any number of readers.
 */
#ifndef DEVICES_DISK_H
#define DEVICES_DISK_H

#include "base/error.h"
#include "base/types.h"

#define DISK_SECTOR 512

struct disk;

struct disk_config {
    const char *path;
    const char *overlay; /* takes all changes, path stays as it is; made if absent; NULL: none */
    bool read_only;
};

/* NULL and err: no such file, another format, a size that is no multiple of 512 bytes, in use. */
struct disk *disk_open(const struct disk_config *config, struct error *err);
/* NULL is allowed. Flushes. */
void disk_close(struct disk *disk);

u64 disk_size(const struct disk *disk); /* bytes, a multiple of DISK_SECTOR, not 0 */
bool disk_read_only(const struct disk *disk);

/* Any offset and size in bytes. False: beyond the end, or the host failed (which is logged). */
bool disk_read(struct disk *disk, u64 offset, void *to, size_t size);
/* False also if the disk is read-only. After a failure the range holds old and new data. */
bool disk_write(struct disk *disk, u64 offset, const void *from, size_t size);
bool disk_flush(struct disk *disk);
/* The range's contents are no longer needed: they stay, or read as zeros. */
bool disk_discard(struct disk *disk, u64 offset, u64 size);

#endif
