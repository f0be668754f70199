/* SPDX-License-Identifier: MIT */
/*
 * The 8254 interval timer at ports 0x40 to 0x43 and its gates and outputs at port 0x61. Counters
 * are not stepped: value and output are functions of the clock. Counter 0 drives LINE_PIT.
 */
#ifndef DEVICES_I8254_H
#define DEVICES_I8254_H

#include "devices/device.h"

#define I8254_HZ 1193182

extern const struct device_class i8254_class;

#endif
