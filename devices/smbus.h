/* SPDX-License-Identifier: MIT */
/* The host controller of a PIIX4's SMBus, on which there is nobody. */
#ifndef DEVICES_SMBUS_H
#define DEVICES_SMBUS_H

#include "devices/device.h"

#define SMBUS_PORTS 16

struct smbus {
    u8 reg[SMBUS_PORTS];
};

void smbus_reset(struct smbus *bus);
/* The registers, for a region of SMBUS_PORTS whose opaque is a struct smbus. */
extern const struct bus_ops smbus_ops;

#endif
