/* SPDX-License-Identifier: MIT */
/*
 * Where a network card's frames go. Those that come reach the card by its own NAME_receive(), at an
 * exact tick.
 */
#ifndef DEVICES_NET_BACKEND_H
#define DEVICES_NET_BACKEND_H

#include "base/types.h"

/* send: an Ethernet frame without its check sequence; NULL: the cable isn't plugged in. */
struct net_backend {
    void (*send)(void *opaque, const u8 *frame, size_t size);
    void *opaque;
};

#endif
