/* SPDX-License-Identifier: MIT */
/* Where a character device's bytes go to and come from: terminal, file, or nothing. */
#ifndef DEVICES_CHAR_BACKEND_H
#define DEVICES_CHAR_BACKEND_H

#include "base/types.h"

/*
 * Either function may be NULL. put() takes all bytes. get() gives up to max bytes that have
 * arrived, 0 if none; the device asks when it has room, and whoever owns the backend tells the
 * device when bytes arrive while it has room (uart16550_poll). The device never waits.
 */
struct char_backend {
    void (*put)(void *opaque, const u8 *bytes, size_t count);
    void *opaque; /* of put */
    size_t (*get)(void *opaque, u8 *bytes, size_t max);
    void *get_opaque;
};

#endif
