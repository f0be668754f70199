/* SPDX-License-Identifier: MIT */
/* What the PS/2 keyboard, the PS/2 mouse and their controller share. */
#ifndef DEVICES_PS2_H
#define DEVICES_PS2_H

#include "base/snap.h"
#include "base/types.h"

#define PS2_ACK 0xfa
#define PS2_RESEND 0xfe
#define PS2_PASSED 0xaa

/* Host nanoseconds of the guest's time that a device takes to test itself. */
#define PS2_TEST_NS 1000000

/* How a device says that it has a byte to send. */
struct ps2_ready {
    void (*fn)(void *opaque);
    void *opaque;
};

#define PS2_QUEUE_SIZE 128

/* Bytes on their way out of a device. */
struct ps2_queue {
    u8 byte[PS2_QUEUE_SIZE];
    u8 first, count;
};

static inline unsigned ps2_queue_room(const struct ps2_queue *queue)
{
    return PS2_QUEUE_SIZE - queue->count;
}

static inline void ps2_queue_clear(struct ps2_queue *queue)
{
    queue->first = queue->count = 0;
}

/* The byte is lost when there is no room. */
void ps2_queue_put(struct ps2_queue *queue, u8 byte);
/* The queue may not be empty. */
u8 ps2_queue_take(struct ps2_queue *queue);
void ps2_queue_snap(struct ps2_queue *queue, struct snap *s);

/*
 * Scan code set 2 to set 1, byte by byte. False: the byte was the prefix of a break code, and the
 * next will come out as one; *release keeps that in mind.
 */
bool ps2_translate(bool *release, u8 byte, u8 *translated);

#endif
