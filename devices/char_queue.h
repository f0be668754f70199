/* SPDX-License-Identifier: MIT */
/*
 * Bytes that have reached a character device from outside and wait until it has room: the get() side of
 * its backend. Part of the machine, since they came at one exact tick.
 */
#ifndef DEVICES_CHAR_QUEUE_H
#define DEVICES_CHAR_QUEUE_H

#include "base/snap.h"
#include "base/types.h"

#define CHAR_QUEUE_SIZE 4096

struct char_queue {
    u8 bytes[CHAR_QUEUE_SIZE];
    u32 first, count;
};

/* How many bytes there is room for; more are lost. */
static inline size_t char_queue_room(const struct char_queue *q)
{
    return CHAR_QUEUE_SIZE - q->count;
}

void char_queue_put(struct char_queue *q, const u8 *bytes, size_t size);
/* Has the shape of char_backend.get; opaque is the queue. */
size_t char_queue_get(void *opaque, u8 *bytes, size_t max);
void char_queue_snap(struct char_queue *q, struct snap *s);

#endif
