/* SPDX-License-Identifier: MIT */
/* The virtio devices of the PC, in PCI slots from 3 on: disks, network cards, console, entropy. */
#ifndef DEVICES_PC_VIRTIO_H
#define DEVICES_PC_VIRTIO_H

#include "devices/char_queue.h"
#include "devices/virtio_blk.h"
#include "devices/virtio_console.h"
#include "devices/virtio_net.h"
#include "devices/virtio_rng.h"

#define PC_VIRTIO_DISKS 16
#define PC_NICS 4

struct pc;
struct pc_config;

/* Zeroes: none. */
struct pc_virtio_config {
    struct virtio_blk_config disk[PC_VIRTIO_DISKS]; /* serial NULL: "testudo-0" and so on */
    struct virtio_net_config nic[PC_NICS];
    struct virtio_console_config console; /* what it gets comes from the input hub */
    struct virtio_rng_config rng;
    unsigned disks, nics;
    bool has_console, has_rng;
};

struct pc_virtio {
    struct virtio_console *console;
    struct char_queue console_in; /* what has come in for it */
    unsigned console_source;      /* of input */
    struct virtio_net *nic[PC_NICS];
    unsigned nic_source[PC_NICS];
};

/* Adds them to the machine (pc_add) by config->virtio. */
bool pc_virtio_add(struct pc *pc, struct pc_virtio *virtio, const struct pc_config *config,
                   struct error *err);

/* Implemented by the PC: a part of it. NULL: err is set. */
void *pc_add(struct pc *pc, const struct device_class *class, const void *config,
             struct error *err);

#endif
