/* SPDX-License-Identifier: MIT */
/*
 * A virtio entropy source: a generator that begins with a seed, so that runs repeat; or the host's
 * entropy, which is an input to the machine.
 */
#ifndef DEVICES_VIRTIO_RNG_H
#define DEVICES_VIRTIO_RNG_H

#include "base/input.h"
#include "devices/device.h"

enum virtio_rng_source { RNG_SEED, RNG_HOST };

struct virtio_rng_config {
    u64 source; /* enum virtio_rng_source */
    u64 seed;
    struct input_hub *hub; /* for the host's entropy; NULL: it is not recorded */
};

extern const struct device_class virtio_rng_class;

#endif
