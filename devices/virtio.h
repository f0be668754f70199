/* SPDX-License-Identifier: MIT */
/*
 * Virtio devices apart from their transport: status, features, split virtqueues.
 *
 * A driver's notice (virtio_kick) has the device look at that queue a fixed time later, at a clock
 * event; so guests are interrupted at exact ticks. All that lies in guest memory is hostile: what
 * doesn't make sense breaks the device (DEVICE_NEEDS_RESET), which then does nothing until reset.
 */
#ifndef DEVICES_VIRTIO_H
#define DEVICES_VIRTIO_H

#include "devices/device.h"

#define VIRTIO_QUEUES_MAX 4
#define VIRTIO_CONFIG_MAX 64
#define VIRTQ_SIZE_MAX 256
#define VIRTIO_LATENCY_US 10 /* from a notice to the work it asks for */

#define VIRTIO_NO_VECTOR 0xffff

#define VIRTIO_ACKNOWLEDGE 1u
#define VIRTIO_DRIVER 2u
#define VIRTIO_DRIVER_OK 4u
#define VIRTIO_FEATURES_OK 8u
#define VIRTIO_NEEDS_RESET 64u
#define VIRTIO_FAILED 128u

#define VIRTIO_F_INDIRECT_DESC BIT(28)
#define VIRTIO_F_EVENT_IDX BIT(29)
#define VIRTIO_F_VERSION_1 BIT(32)

struct virtio;

struct virtq {
    struct virtio *device;
    u16 size;              /* as the driver chose: a power of two up to VIRTQ_SIZE_MAX */
    bool enabled;          /* from here on size and addresses are fixed */
    u64 desc, avail, used; /* guest-physical: descriptors, driver area, device area */
    u16 taken;             /* of the available ring: the index next to look at */
    u16 given;             /* of the used ring */
    u16 told;              /* `given` when the driver was last interrupted or need not be */
    u16 vector;            /* the transport's */
};

/* A buffer that the driver made available: parts for the device to read, then parts to write. */
struct virtq_chain {
    struct virtq *queue;
    u16 head;
    unsigned out, in; /* segments */
    u64 out_size, in_size;
    struct virtq_segment {
        u64 gpa;
        u32 size;
    } segment[VIRTQ_SIZE_MAX];
};

struct virtio_ops {
    const char *name;
    u16 type;      /* device id of the specification */
    u32 pci_class; /* 24 bits */
    u64 features;  /* beside those of every device here */
    unsigned queues;
    unsigned config_size;
    /* Buffers may have become available in queue n (or room in it, for one the device writes to). */
    void (*work)(struct virtio *device, unsigned n);
    /* The driver has written to the device's configuration; NULL: it can't. */
    void (*config_write)(struct virtio *device, unsigned offset, u8 value);
    /* Back to the state after creation. May be NULL. */
    void (*reset)(struct virtio *device);
};

struct virtio {
    const struct device_env *env;
    const struct virtio_ops *ops;
    u64 offered, accepted; /* features */
    u8 status;
    u8 generation; /* of config */
    u8 config[VIRTIO_CONFIG_MAX];
    struct virtq queue[VIRTIO_QUEUES_MAX];
    u32 kicked; /* bit n: queue n has work */
    u64 budget; /* bytes that may still be moved at this tick; not saved, it ends with it */
    struct clock_event event;
    /* The transport: interrupts for a queue, NULL: for a change of configuration or status. */
    void (*interrupt)(struct virtio *device, const struct virtq *queue);
    bool (*dma)(const struct virtio *device); /* may the device touch memory at all? */
};

/* env, ops, interrupt and dma are set; the rest zero. `offered` may be changed afterwards. */
void virtio_init(struct virtio *device);
void virtio_fini(struct virtio *device);
/* As by the driver or the machine. */
void virtio_reset(struct virtio *device);
void virtio_snap(struct virtio *device, struct snap *s);

/* ---- For transports ---- */

void virtio_set_status(struct virtio *device, u8 status);
/* Features of word 0 or 1; refused once FEATURES_OK is set. */
void virtio_accept(struct virtio *device, unsigned word, u32 features);
void virtq_set_size(struct virtq *queue, u16 size);
void virtq_enable(struct virtq *queue);
/* A notice for queue n, which need not exist. */
void virtio_kick(struct virtio *device, unsigned n);
/* For all queues: something may have hindered the device until now. */
void virtio_kick_all(struct virtio *device);

/* ---- For devices ---- */

static inline bool virtio_has(const struct virtio *device, u64 feature)
{
    return device->accepted & feature;
}

/* Takes notices and does work: DRIVER_OK, not broken. */
bool virtio_live(const struct virtio *device);
/* The driver did what it must not: the device needs a reset. `why` is for the log. */
void virtio_break(struct virtio *device, const char *why);
/* Sets bytes of the device's configuration that the driver is told of. */
void virtio_config_change(struct virtio *device, unsigned offset, const u8 *bytes, unsigned size);

/* Work at this tick that is worth moving so many bytes; virtq_read() and virtq_write() count theirs. */
void virtio_spend(struct virtio *device, u64 bytes);

/*
 * Takes the next buffer. False: there is none, the device is broken, or enough was done at this tick
 * (the queue is then kicked again).
 */
bool virtq_pop(struct virtq *queue, struct virtq_chain *chain);
/* Undoes the last virtq_pop(), nothing else having been done to the queue. */
void virtq_unpop(struct virtq *queue);
/*
 * Copies from [offset, offset + size) of the readable part, or to the writable part. False: it is
 * shorter, or (the device is then broken) a segment lies where there is no memory.
 */
bool virtq_read(const struct virtq_chain *chain, u64 offset, void *to, u64 size);
bool virtq_write(const struct virtq_chain *chain, u64 offset, const void *from, u64 size);
/* Gives the buffer back, of which `written` bytes, from the first, were written. */
void virtq_push(const struct virtq_chain *chain, u64 written);
/* Interrupts the driver if it wants to know of what was given back. Ends each work(). */
void virtq_tell(struct virtq *queue);

#endif
