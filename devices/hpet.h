/* SPDX-License-Identifier: MIT */
/* The high-precision event timer: one 64-bit counter of 100 MHz and three comparators. */
#ifndef DEVICES_HPET_H
#define DEVICES_HPET_H

#include "devices/device.h"

#define HPET_BASE UINT64_C(0xfed00000)
#define HPET_HZ 100000000
#define HPET_TIMERS 3
/* Register "Event Timer Block ID": revision 1, three timers, 64 bits, legacy replacement, Intel. */
#define HPET_ID 0x8086a201u

extern const struct device_class hpet_class;

#endif
