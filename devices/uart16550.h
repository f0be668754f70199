/* SPDX-License-Identifier: MIT */
/* A 16550A serial port. Bytes written are sent at once; the line's speed is not modelled. */
#ifndef DEVICES_UART16550_H
#define DEVICES_UART16550_H

#include "devices/char_backend.h"
#include "devices/device.h"

struct uart16550_config {
    u64 base, irq;
    struct char_backend backend;
};

struct uart16550;

/* Bytes may have arrived at the backend: takes as many as the receive FIFO has room for. */
void uart16550_poll(struct uart16550 *uart);

extern const struct device_class uart16550_class;

#endif
