/* SPDX-License-Identifier: MIT */
/*
 * The file that keeps what was written to a disk beside its base image. It has the base's layout:
 *
 *     header    4096 bytes: struct overlay_header, little-endian, then zeros
 *     stable    a bit for each cluster of 4096 bytes, lowest first, padded to 4096 bytes: the
 *               cluster's data below is valid, and was on the host's disk before the bit was
 *     written   the same, set as soon as the data was given to the host
 *     data      cluster n at n times 4096; unwritten ones are holes
 *
 * `written` counts as long as the host has not been restarted since (the header says which start of
 * the host it was): so a killed Testudo loses nothing, and after a power failure of the host the
 * clusters are those that were there at the last flush at least, with none made of lost data.
 */
#ifndef DEVICES_DISK_OVERLAY_H
#define DEVICES_DISK_OVERLAY_H

#include "base/error.h"
#include "base/types.h"

#define OVERLAY_MAGIC "TESTUDO-OVERLAY\n" /* 16 bytes, no terminating zero */
#define OVERLAY_VERSION 1
#define OVERLAY_CLUSTER 4096
#define OVERLAY_BOOT 40

struct overlay_header {
    char magic[16];
    u8 version[4];
    u8 cluster[4];           /* bytes */
    u8 base_size[8];         /* bytes */
    char boot[OVERLAY_BOOT]; /* the host's boot_id at the last opening to write; zeros: unknown */
    u8 check[4];             /* FNV-1a of all before */
};

struct overlay;

/*
 * base: descriptor of the base image, of base_size bytes; it must outlive the overlay. The file is made
 * if absent, unless read_only.
 */
struct overlay *overlay_open(const char *path, int base, u64 base_size, bool read_only,
                             struct error *err);
void overlay_close(struct overlay *overlay);

/* Within the base's size. False with errno set. */
bool overlay_read(struct overlay *overlay, u64 offset, void *to, size_t size);
bool overlay_write(struct overlay *overlay, u64 offset, const void *from, size_t size);
bool overlay_flush(struct overlay *overlay);
void overlay_discard(struct overlay *overlay, u64 offset, u64 size);

#endif
