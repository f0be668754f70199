/* SPDX-License-Identifier: MIT */
/*
 * The MC146818 real-time clock with 128 bytes of CMOS memory at ports 0x70 and 0x71. Time of day is
 * a function of the machine's clock and begins at a fixed date, so that runs are repeatable.
 */
#ifndef DEVICES_MC146818_H
#define DEVICES_MC146818_H

#include "devices/device.h"

struct mc146818_config {
    u64 start; /* seconds since 1970-01-01 00:00:00 UTC at power-on */
    u64 host;  /* not 0: whoever runs the machine sets the host's date (mc146818_set_start) */
};

/* 2026-01-01 00:00:00 UTC */
#define MC146818_START UINT64_C(1767225600)
#define MC146818_START_TEXT "1767225600"

struct mc146818;

/* The date at power-on, seconds since 1970 UTC, instead of the configured one. */
void mc146818_set_start(struct mc146818 *rtc, s64 start);
/* CMOS bytes that firmware keeps for itself (0x0e to 0x7f but the century). */
void mc146818_set_cmos(struct mc146818 *rtc, u8 index, u8 value);

extern const struct device_class mc146818_class;

#endif
