/* SPDX-License-Identifier: MIT */
/* Little-endian numbers in bytes, for what devices and guests share in memory. */
#ifndef DEVICES_LE_H
#define DEVICES_LE_H

#include "base/types.h"

/* size: 1 to 8 bytes. */
static inline u64 le_get(const u8 *bytes, unsigned size)
{
    u64 value = 0;
    for (unsigned n = 0; n < size; n++)
        value |= (u64)bytes[n] << (8 * n);
    return value;
}

static inline void le_put(u8 *bytes, unsigned size, u64 value)
{
    for (unsigned n = 0; n < size; n++)
        bytes[n] = (u8)(value >> (8 * n));
}

#endif
