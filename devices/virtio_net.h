/* SPDX-License-Identifier: MIT */
/*
 * A virtio network card: one pair of queues, no offloads. Frames that come wait for room in a queue of
 * their own; those that find it full are lost.
 */
#ifndef DEVICES_VIRTIO_NET_H
#define DEVICES_VIRTIO_NET_H

#include "devices/device.h"
#include "devices/net_backend.h"

#define VIRTIO_NET_FRAME_MAX 1518 /* bytes: an MTU of 1500, header, VLAN tag */
#define VIRTIO_NET_WAITING 64     /* frames */

struct virtio_net_config {
    u8 mac[6];
    struct net_backend backend;
};

struct virtio_net;

/* "52:54:00:12:34:56". False: it is none, or names a group. */
bool virtio_net_mac(const char *text, u8 mac[6]);

/* A frame without check sequence comes. clock->now is exact. */
void virtio_net_receive(void *opaque, const u8 *frame, size_t size);
/* For how many frames there is room. */
unsigned virtio_net_room(const struct virtio_net *net);

extern const struct device_class virtio_net_class;

#endif
