/* SPDX-License-Identifier: MIT */
#include "devices/char_queue.h"

void char_queue_put(struct char_queue *q, const u8 *bytes, size_t size)
{
    for (size_t n = 0; n < size && q->count < CHAR_QUEUE_SIZE; n++)
        q->bytes[(q->first + q->count++) % CHAR_QUEUE_SIZE] = bytes[n];
}

size_t char_queue_get(void *opaque, u8 *bytes, size_t max)
{
    struct char_queue *q = opaque;
    size_t n = 0;
    for (; n < max && q->count; n++, q->count--) {
        bytes[n] = q->bytes[q->first];
        q->first = (q->first + 1) % CHAR_QUEUE_SIZE;
    }
    return n;
}

void char_queue_snap(struct char_queue *q, struct snap *s)
{
    SNAP(s, q->bytes);
    SNAP(s, q->first);
    SNAP(s, q->count);
    snap_range(s, "input queue's start", q->first, 0, CHAR_QUEUE_SIZE - 1);
    snap_range(s, "input queue's length", q->count, 0, CHAR_QUEUE_SIZE);
    if (!snap_ok(s))
        *q = (struct char_queue){.first = 0};
}
