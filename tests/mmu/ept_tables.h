/* SPDX-License-Identifier: MIT */
/* What the tests of EPT share: a little RAM, and EPT's tables in it. */
#ifndef TESTS_MMU_EPT_TABLES_H
#define TESTS_MMU_EPT_TABLES_H

#include <string.h>

#include "mmu/ept.h"
#include "tests/suite.h"

#define E_PS BIT(7)
#define E_A BIT(8)
#define E_D BIT(9)
#define TYPE(n) ((u64)(n) << 3)
#define WB TYPE(6)
#define RWX UINT64_C(7)

#define Q_LINEAR UINT64_C(0x80)
#define Q_FINAL UINT64_C(0x180)

#define EPT_TABLE(k) (UINT64_C(0x10000) + 0x1000 * (u64)(k)) /* table number k, the root is 0 */
#define LOG_AT UINT64_C(0x20000)
#define EPTP_BASE (EPT_TABLE(0) | 0x18 | 6)

static struct bus bus;
static struct walk_pml pml;

static inline void set_up(void)
{
    if (!bus.ram.host)
        ck_assert(bus_init(&bus, MIB, NULL));
    memset(bus.ram.host, 0, MIB);
    pml = (struct walk_pml){.address = LOG_AT, .index = 511};
}

static inline u64 peek(u64 hpa)
{
    u64 val;
    memcpy(&val, bus.ram.host + hpa, 8);
    return val;
}

static inline void poke(u64 hpa, u64 val)
{
    memcpy(bus.ram.host + hpa, &val, 8);
}

static inline struct walk_ctx make_ctx(bool ad)
{
    return (struct walk_ctx){
        .bus = &bus, .maxphyaddr = 39, .eptp = EPTP_BASE | (ad ? EPTP_AD : 0), .nxe = true};
}

#endif
