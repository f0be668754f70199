/* SPDX-License-Identifier: MIT */
/*
 * Port 0xe9, a console without setup, and port 0xf4, which ends the run with an exit status; port
 * 0x402, to which SeaBIOS and OVMF write their log, if somebody wants it.
 */
#ifndef DEVICES_DEBUG_PORT_H
#define DEVICES_DEBUG_PORT_H

#include "devices/char_backend.h"
#include "devices/device.h"

#define DEBUG_CONSOLE_PORT 0xe9
#define DEBUG_EXIT_PORT 0xf4
#define DEBUG_FIRMWARE_PORT 0x402

struct debug_port_config {
    struct char_backend backend;  /* of the console; put only */
    struct char_backend firmware; /* of the firmware's log; put NULL: there is no such port */
};

extern const struct device_class debug_port_class;

#endif
