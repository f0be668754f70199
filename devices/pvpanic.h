/* SPDX-License-Identifier: MIT */
/*
 * A port, and the same register behind a PCI BAR, by which a guest says that it has panicked (QEMU's
 * docs/specs/pvpanic.rst). A panic ends the run; loading a crash kernel is only logged.
 */
#ifndef DEVICES_PVPANIC_H
#define DEVICES_PVPANIC_H

#include "devices/device.h"

#define PVPANIC_PORT 0x505
#define PVPANIC_PCI_DEVICE 28 /* 1b36:0011 */

struct pvpanic_config {
    u64 enabled;
};

extern const struct device_class pvpanic_class;

#endif
