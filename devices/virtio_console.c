/* SPDX-License-Identifier: MIT */
/* From Virtual I/O Device (VIRTIO) Version 1.1, "Console Device". */
#include "devices/virtio_console.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "devices/virtio_pci.h"

enum { RECEIVE, TRANSMIT, QUEUES };

#define PIECE 4096

struct virtio_console {
    struct virtio_pci pci;
    struct char_backend backend;
    struct virtq_chain chain;
    u8 piece[PIECE];
};

/* All that the driver has to say in one buffer. */
static void transmit(struct virtio_console *console)
{
    struct virtq_chain *chain = &console->chain;
    for (u64 done = 0; done < chain->out_size;) {
        u64 part = MIN(chain->out_size - done, (u64)PIECE);
        if (!virtq_read(chain, done, console->piece, part))
            return;
        if (console->backend.put)
            console->backend.put(console->backend.opaque, console->piece, part);
        done += part;
    }
    virtq_push(chain, 0);
}

/* Fills one buffer as far as bytes have arrived. False: nothing has, it is still available. */
static bool receive(struct virtio_console *console)
{
    const struct char_backend *backend = &console->backend;
    struct virtq_chain *chain = &console->chain;
    size_t room = MIN(chain->in_size, (u64)PIECE), got = 0;
    if (backend->get && room)
        got = backend->get(backend->get_opaque, console->piece, room);
    ASSERT(got <= room);
    if (room && !got) {
        virtq_unpop(chain->queue);
        return false;
    }
    if (virtq_write(chain, 0, console->piece, got))
        virtq_push(chain, got);
    return true;
}

static void work(struct virtio *device, unsigned n)
{
    struct virtio_console *console = CONTAINER_OF(device, struct virtio_console, pci.virtio);
    struct virtq *queue = &device->queue[n];
    bool more = true;
    while (more && virtq_pop(queue, &console->chain)) {
        if (n == TRANSMIT)
            transmit(console);
        else
            more = receive(console);
    }
    virtq_tell(queue);
}

void virtio_console_poll(struct virtio_console *console)
{
    virtio_kick(&console->pci.virtio, RECEIVE);
}

static const struct virtio_ops ops = {
    .name = "virtio-console", .type = 3, .pci_class = 0x078000, .queues = QUEUES, .work = work};

static void *virtio_console_create(const struct device_env *env, const void *config,
                                   struct error *err)
{
    const struct virtio_console_config *c = config;
    struct virtio_console *console = xalloc(sizeof(*console));
    console->backend = c->backend;
    if (virtio_pci_init(&console->pci, env, &ops, err))
        return console;
    free(console);
    return NULL;
}

static void virtio_console_reset(void *device)
{
    struct virtio_console *console = device;
    virtio_pci_reset(&console->pci);
}

static void virtio_console_snap(void *device, struct snap *s)
{
    struct virtio_console *console = device;
    virtio_pci_snap(&console->pci, s);
}

static void virtio_console_free(void *device)
{
    struct virtio_console *console = device;
    virtio_pci_fini(&console->pci);
    free(console);
}

const struct device_class virtio_console_class = {
    .name = "virtio_console",
    .help = "virtio console on PCI, one port",
    .config_size = sizeof(struct virtio_console_config),
    .create = virtio_console_create,
    .reset = virtio_console_reset,
    .snap = virtio_console_snap,
    .free = virtio_console_free,
};
