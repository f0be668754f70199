/* SPDX-License-Identifier: MIT */
/* From Virtual I/O Device (VIRTIO) Version 1.1, "Network Device". */
#include "devices/virtio_net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "devices/le.h"
#include "devices/virtio_pci.h"

#define F_MAC BIT(5)
#define F_STATUS BIT(16)

#define CONFIG_MAC 0
#define CONFIG_STATUS 6
#define CONFIG_SIZE 8
#define STATUS_LINK_UP 1

enum { RECEIVE, TRANSMIT, QUEUES };

#define HEADER_SIZE 12 /* struct virtio_net_hdr; nothing in it is used but num_buffers */
#define HEADER_BUFFERS 10
#define FRAME_MIN 14

struct waiting {
    u32 size;
    u8 frame[VIRTIO_NET_FRAME_MAX];
};

struct virtio_net {
    struct virtio_pci pci;
    struct net_backend backend;
    struct waiting waiting[VIRTIO_NET_WAITING]; /* a ring */
    u32 first, count;
    struct virtq_chain chain;
};

bool virtio_net_mac(const char *text, u8 mac[6])
{
    unsigned byte[6];
    int end = 0;
    if (strlen(text) != 17 || strspn(text, "0123456789abcdefABCDEF:") != 17 ||
        sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4],
               &byte[5], &end) != 6 ||
        end != 17 || (byte[0] & 1))
        return false;
    for (unsigned n = 0; n < 6; n++)
        mac[n] = (u8)byte[n];
    return true;
}

/* ---- Transmission ---- */

static void transmit(struct virtio_net *net)
{
    const struct net_backend *backend = &net->backend;
    struct virtq_chain *chain = &net->chain;
    u8 frame[VIRTIO_NET_FRAME_MAX];
    u64 size = chain->out_size - MIN(chain->out_size, (u64)HEADER_SIZE);
    if (size < FRAME_MIN || size > VIRTIO_NET_FRAME_MAX)
        log_msg(LOG_DEV, "virtio-net: frame of %llu bytes not sent", (unsigned long long)size);
    else if (!virtq_read(chain, HEADER_SIZE, frame, size))
        return;
    else if (backend->send)
        backend->send(backend->opaque, frame, size);
    virtq_push(chain, 0);
}

/* ---- Reception ---- */

/* Writes the header and then the frame, all or nothing: false if the buffer is too small. */
static bool deliver_whole(struct virtio_net *net, const struct waiting *waiting)
{
    struct virtq_chain *chain = &net->chain;
    u8 header[HEADER_SIZE] = {[HEADER_BUFFERS] = 1};
    return virtq_write(chain, 0, header, HEADER_SIZE) &&
           virtq_write(chain, HEADER_SIZE, waiting->frame, waiting->size);
}

/* A frame into the next buffer. One that does not fit is lost: drivers are to give room for any. */
static bool receive(struct virtio_net *net)
{
    const struct waiting *waiting = &net->waiting[net->first % VIRTIO_NET_WAITING];
    if (!net->count || !virtq_pop(&net->pci.virtio.queue[RECEIVE], &net->chain))
        return false;
    bool done = deliver_whole(net, waiting);
    if (!done)
        log_msg(LOG_DEV, "virtio-net: frame lost: the buffer is too small");
    virtq_push(&net->chain, done ? HEADER_SIZE + waiting->size : 0);
    net->first = (net->first + 1) % VIRTIO_NET_WAITING;
    net->count--;
    return true;
}

void virtio_net_receive(void *opaque, const u8 *frame, size_t size)
{
    struct virtio_net *net = opaque;
    if (size < FRAME_MIN || size > VIRTIO_NET_FRAME_MAX || net->count == VIRTIO_NET_WAITING ||
        !virtio_live(&net->pci.virtio))
        return;
    struct waiting *waiting = &net->waiting[(net->first + net->count) % VIRTIO_NET_WAITING];
    memcpy(waiting->frame, frame, size);
    waiting->size = (u32)size;
    net->count++;
    virtio_kick(&net->pci.virtio, RECEIVE);
}

unsigned virtio_net_room(const struct virtio_net *net)
{
    return VIRTIO_NET_WAITING - net->count;
}

static void work(struct virtio *device, unsigned n)
{
    struct virtio_net *net = CONTAINER_OF(device, struct virtio_net, pci.virtio);
    struct virtq *queue = &device->queue[n];
    if (n == RECEIVE)
        while (receive(net)) {
        }
    else
        while (virtq_pop(queue, &net->chain))
            transmit(net);
    virtq_tell(queue);
}

static void forget(struct virtio *device)
{
    struct virtio_net *net = CONTAINER_OF(device, struct virtio_net, pci.virtio);
    net->first = net->count = 0;
}

/* ---- Life ---- */

static const struct virtio_ops ops = {
    .name = "virtio-net",
    .type = 1,
    .pci_class = 0x020000,
    .features = F_MAC | F_STATUS,
    .queues = QUEUES,
    .config_size = CONFIG_SIZE,
    .work = work,
    .reset = forget,
};

static void *virtio_net_create(const struct device_env *env, const void *config, struct error *err)
{
    const struct virtio_net_config *c = config;
    struct virtio_net *net = xalloc(sizeof(*net));
    net->backend = c->backend;
    memcpy(net->pci.virtio.config + CONFIG_MAC, c->mac, sizeof(c->mac));
    net->pci.virtio.config[CONFIG_STATUS] = c->backend.send ? STATUS_LINK_UP : 0;
    if (virtio_pci_init(&net->pci, env, &ops, err))
        return net;
    free(net);
    return NULL;
}

static void virtio_net_reset(void *device)
{
    struct virtio_net *net = device;
    virtio_pci_reset(&net->pci);
}

static void snap_waiting(struct virtio_net *net, struct snap *s)
{
    SNAP(s, net->first);
    SNAP(s, net->count);
    snap_range(s, "first frame", net->first, 0, VIRTIO_NET_WAITING - 1);
    snap_range(s, "frames", net->count, 0, VIRTIO_NET_WAITING);
    for (u32 n = 0; n < MIN(net->count, (u32)VIRTIO_NET_WAITING); n++) {
        struct waiting *waiting = &net->waiting[(net->first + n) % VIRTIO_NET_WAITING];
        SNAP(s, waiting->size);
        SNAP(s, waiting->frame);
        snap_range(s, "frame size", waiting->size, FRAME_MIN, VIRTIO_NET_FRAME_MAX);
    }
}

static void virtio_net_snap(void *device, struct snap *s)
{
    struct virtio_net *net = device;
    virtio_pci_snap(&net->pci, s);
    snap_waiting(net, s);
}

static void virtio_net_free(void *device)
{
    struct virtio_net *net = device;
    virtio_pci_fini(&net->pci);
    free(net);
}

const struct device_class virtio_net_class = {
    .name = "virtio_net",
    .help = "virtio network card on PCI",
    .config_size = sizeof(struct virtio_net_config),
    .create = virtio_net_create,
    .reset = virtio_net_reset,
    .snap = virtio_net_snap,
    .free = virtio_net_free,
};
