/* SPDX-License-Identifier: MIT */
/* A virtio console with one port. */
#ifndef DEVICES_VIRTIO_CONSOLE_H
#define DEVICES_VIRTIO_CONSOLE_H

#include "devices/char_backend.h"
#include "devices/device.h"

struct virtio_console_config {
    struct char_backend backend;
};

struct virtio_console;

/* Bytes may have arrived at the backend: takes as many as the driver has given room for. */
void virtio_console_poll(struct virtio_console *console);

extern const struct device_class virtio_console_class;

#endif
