/* SPDX-License-Identifier: MIT */
/*
 * Guest RAM: host memory by host-physical address (hpa: the machine's physical address, what L0
 * sees). RAM lies at [0, low) and, above the PCI hole, at [4 GiB, 4 GiB + high).
 *
 * Every store that a CPU's fast path does not prove harmless passes ram_store_check(), which knows
 * of decoded code: each page has a mask of 64 granules of 64 bytes that hold decoded code. Pages
 * with a mask of zero may be written through the host-pointer TLB without asking.
 */
#ifndef MMU_RAM_H
#define MMU_RAM_H

#include "base/error.h"
#include "base/types.h"

#define RAM_HOLE_START (3 * GIB)
#define RAM_HIGH_START (4 * GIB)
#define RAM_GRANULE_SHIFT 6

struct ram {
    u8 *host;  /* low then high, contiguous on the host */
    u64 size;  /* bytes in all */
    u64 low;   /* bytes below the hole: min(size, RAM_HOLE_START) */
    u64 *code; /* per page (by host offset): granules with decoded code */
    /* Called for a store into a granule with code, before control returns to the guest. */
    void (*code_written)(void *opaque, u64 hpa, u64 granules);
    void *code_opaque;
};

/* size: bytes, a multiple of 1 MiB, 1 MiB to 512 GiB. */
bool ram_init(struct ram *ram, u64 size, struct error *err);
void ram_fini(struct ram *ram);

/* Host pointer of the byte at hpa, NULL where there is no RAM. Contiguous to the page's end. */
static inline u8 *ram_host(const struct ram *ram, u64 hpa)
{
    if (likely(hpa < ram->low))
        return ram->host + hpa;
    if (hpa >= RAM_HIGH_START && hpa - RAM_HIGH_START < ram->size - ram->low)
        return ram->host + ram->low + (hpa - RAM_HIGH_START);
    return NULL;
}

/* The inverse of ram_host() for a pointer into RAM. */
static inline u64 ram_hpa(const struct ram *ram, const u8 *p)
{
    u64 offset = (u64)(p - ram->host);
    return offset < ram->low ? offset : offset - ram->low + RAM_HIGH_START;
}

/* The code mask of the page that host byte p (of RAM) lies in. */
static inline u64 *ram_code(const struct ram *ram, const u8 *p)
{
    return &ram->code[(u64)(p - ram->host) >> PAGE_SHIFT];
}

/* Granule mask of [offset, offset + size) within one page; size 1 to 4096 - offset. */
static inline u64 ram_granules(u64 offset, u64 size)
{
    unsigned first = (unsigned)(offset & (PAGE_SIZE - 1)) >> RAM_GRANULE_SHIFT;
    unsigned last = (unsigned)((offset & (PAGE_SIZE - 1)) + size - 1) >> RAM_GRANULE_SHIFT;
    return (~UINT64_C(0) >> (63 - (last - first))) << first;
}

/* To be called before each store of size bytes at hpa (host p), all within one page. */
static inline void ram_store_check(struct ram *ram, u64 hpa, const u8 *p, u64 size)
{
    u64 hit = *ram_code(ram, p) & ram_granules(hpa, size);
    if (unlikely(hit))
        ram->code_written(ram->code_opaque, hpa & PAGE_MASK, hit);
}

/*
 * DMA and loaders: copy to and from [hpa, hpa + size), any length, crossing pages. Return false,
 * having copied nothing, where a byte of the range is not RAM.
 */
bool ram_read(const struct ram *ram, u64 hpa, void *to, u64 size);
bool ram_write(struct ram *ram, u64 hpa, const void *from, u64 size);

#endif
