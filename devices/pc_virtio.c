/* SPDX-License-Identifier: MIT */
#include "devices/pc_virtio.h"

#include <stdio.h>

#include "base/input.h"
#include "devices/pc.h"

static bool add_disks(struct pc *pc, const struct pc_virtio_config *config, struct error *err)
{
    ASSERT(config->disks <= PC_VIRTIO_DISKS);
    for (unsigned n = 0; n < config->disks; n++) {
        struct virtio_blk_config disk = config->disk[n];
        char serial[VIRTIO_BLK_SERIAL];
        snprintf(serial, sizeof(serial), "testudo-%u", n);
        if (!disk.serial)
            disk.serial = serial;
        if (!pc_add(pc, &virtio_blk_class, &disk, err))
            return false;
    }
    return true;
}

static bool add_nics(struct pc *pc, struct pc_virtio *virtio, const struct pc_config *config,
                     struct error *err)
{
    static const char *const names[PC_NICS] = {"nic0", "nic1", "nic2", "nic3"};
    ASSERT(config->virtio.nics <= PC_NICS);
    for (unsigned n = 0; n < config->virtio.nics; n++) {
        void *nic = pc_add(pc, &virtio_net_class, &config->virtio.nic[n], err);
        if (!nic)
            return false;
        virtio->nic[n] = nic;
        virtio->nic_source[n] = input_source(config->input, names[n], virtio_net_receive, nic);
    }
    return true;
}

static void console_input(void *opaque, const u8 *bytes, size_t size)
{
    struct pc_virtio *virtio = opaque;
    char_queue_put(&virtio->console_in, bytes, size);
    virtio_console_poll(virtio->console);
}

static bool add_console(struct pc *pc, struct pc_virtio *virtio, const struct pc_config *config,
                        struct error *err)
{
    struct virtio_console_config console = config->virtio.console;
    console.backend.get = char_queue_get;
    console.backend.get_opaque = &virtio->console_in;
    virtio->console = pc_add(pc, &virtio_console_class, &console, err);
    if (virtio->console)
        virtio->console_source = input_source(config->input, "console", console_input, virtio);
    return virtio->console;
}

static bool add_rng(struct pc *pc, const struct pc_config *config, struct error *err)
{
    struct virtio_rng_config rng = config->virtio.rng;
    rng.hub = config->input;
    return pc_add(pc, &virtio_rng_class, &rng, err);
}

bool pc_virtio_add(struct pc *pc, struct pc_virtio *virtio, const struct pc_config *config,
                   struct error *err)
{
    return add_disks(pc, &config->virtio, err) && add_nics(pc, virtio, config, err) &&
           (!config->virtio.has_console || add_console(pc, virtio, config, err)) &&
           (!config->virtio.has_rng || add_rng(pc, config, err));
}
