/* SPDX-License-Identifier: MIT */
/*
 * The keyboard controller (ports 0x60, 0x64) with a keyboard that answers its commands but has no
 * keys yet, and system control port A (0x92). There is no second (mouse) port. A20 is always open.
 */
#ifndef DEVICES_I8042_H
#define DEVICES_I8042_H

#include "devices/device.h"

extern const struct device_class i8042_class;

#endif
