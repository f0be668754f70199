/* SPDX-License-Identifier: MIT */
/*
 * A virtio block device. A completed write has reached the host's files; a completed flush, or any
 * write of a driver that does without flushes, its disk.
 */
#ifndef DEVICES_VIRTIO_BLK_H
#define DEVICES_VIRTIO_BLK_H

#include "devices/device.h"
#include "devices/disk.h"

#define VIRTIO_BLK_SERIAL 20 /* bytes at most */

struct virtio_blk_config {
    struct disk *disk;  /* NULL: no medium, a capacity of 0. It must outlive the device. */
    const char *serial; /* NULL: none */
};

extern const struct device_class virtio_blk_class;

#endif
