/* SPDX-License-Identifier: MIT */
/*
 * Memory that the host backs, by host-physical address (hpa: the machine's physical address, what
 * L0 sees). RAM lies at [0, low) and, above the PCI hole, at [4 GiB, 4 GiB + high). Beside it there
 * is extra memory (ROM, video memory), which devices map where they want.
 *
 * From 640 KiB to 1 MiB a chipset decides, in pieces of 16 KiB, what is read and what is written:
 * RAM, extra memory, or nothing here (the bus); see ram_legacy_set(). All of it is RAM at first.
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
#define RAM_EXTRA_MAX (64 * MIB)
#define RAM_WINDOWS 16 /* extra memory mapped at a time, at most */

/* The pieces from 640 KiB to 1 MiB. */
#define RAM_LEGACY UINT64_C(0xa0000)
#define RAM_LEGACY_SHIFT 14
#define RAM_LEGACY_COUNT 24
#define RAM_SMRAM_COUNT 8 /* the first of them, to 0xbffff, are RAM for processors in SMM */

/* Extra memory has its own addresses, beyond what a processor can have, mapped or not. */
#define RAM_EXTRA_HOME BIT(62)

/* Extra memory at a physical address. */
struct ram_window {
    u64 hpa, size;
    u8 *host;
    bool writable;
};

struct ram_legacy {
    u8 *read, *write; /* of the piece's first byte; NULL: the bus */
};

struct ram {
    u8 *host;  /* low, high, extra: contiguous on the host */
    u64 size;  /* bytes of RAM in all */
    u64 low;   /* bytes below the hole: min(size, RAM_HOLE_START) */
    u64 extra; /* bytes of extra memory handed out */
    u64 *code; /* per page (by host offset): granules with decoded code */
    struct ram_legacy legacy[RAM_LEGACY_COUNT];
    struct ram_window window[RAM_WINDOWS];
    unsigned windows;
    bool smram;    /* processors in SMM see RAM below 0xc0000; see ram_smram_set() */
    bool smm_view; /* the processor that runs is in SMM */
    /* Called for a store into granules with code of a page, before control returns to the guest. */
    void (*code_written)(void *opaque, u8 *page, u64 granules);
    void *code_opaque;
    /* What lies where has changed: translations into host memory are void. */
    void (*remapped)(void *opaque);
    void *remapped_opaque;
};

/* size: bytes, a multiple of 1 MiB, 1 MiB to 512 GiB. */
bool ram_init(struct ram *ram, u64 size, struct error *err);
void ram_fini(struct ram *ram);

/* Pages in all that host offsets may name: the size of tables by page. */
static inline u64 ram_pages(const struct ram *ram)
{
    return (ram->size + RAM_EXTRA_MAX) >> PAGE_SHIFT;
}

/*
 * Extra memory: size bytes, a multiple of 4096, zeroed; it lives as long as the RAM. More than
 * RAM_EXTRA_MAX in all is the caller's bug.
 */
u8 *ram_extra_new(struct ram *ram, u64 size);

/*
 * Puts extra memory at hpa, page-aligned and outside RAM; what is mapped first wins where windows
 * overlap. Guest writes to a window that is not writable go to the bus. False: RAM_WINDOWS are in use.
 */
bool ram_map(struct ram *ram, const struct ram_window *window);
/* Takes away the window that was mapped at hpa from this memory. */
void ram_unmap(struct ram *ram, u64 hpa, const u8 *host);

/* What a piece of 640 KiB to 1 MiB reads and writes; members are NULL, RAM or extra memory. */
void ram_legacy_set(struct ram *ram, unsigned piece, struct ram_legacy to);
/* RAM of a piece, whatever is mapped there. */
static inline u8 *ram_legacy_ram(const struct ram *ram, unsigned piece)
{
    return ram->host + RAM_LEGACY + ((u64)piece << RAM_LEGACY_SHIFT);
}
/* Whether processors in SMM see RAM from 0xa0000 to 0xbffff, whatever else is there. */
void ram_smram_set(struct ram *ram, bool on);
/*
 * Whether the processor that runs from here on is in SMM. Translations made in SMM have a context
 * of their own, so nothing is flushed.
 */
static inline void ram_smm_view(struct ram *ram, bool smm)
{
    ram->smm_view = smm;
}

/* ram_host() and ram_host_w() outside RAM from 1 MiB to the hole. */
u8 *ram_host_other(const struct ram *ram, u64 hpa, bool write);

/* Where the byte at hpa is read, NULL where the host has none. Contiguous to the page's end. */
static inline u8 *ram_host(const struct ram *ram, u64 hpa)
{
    if (likely(hpa - MIB < ram->low - MIB))
        return ram->host + hpa;
    return ram_host_other(ram, hpa, false);
}

/* Where it is written; NULL: the bus takes the write. */
static inline u8 *ram_host_w(const struct ram *ram, u64 hpa)
{
    if (likely(hpa - MIB < ram->low - MIB))
        return ram->host + hpa;
    return ram_host_other(ram, hpa, true);
}

/* Where it is both read and written: NULL if that is not one place. */
static inline u8 *ram_host_rw(const struct ram *ram, u64 hpa)
{
    u8 *p = ram_host(ram, hpa);
    return p == ram_host_w(ram, hpa) ? p : NULL;
}

/* An address of the byte at p, RAM or extra memory, whatever is mapped there. */
static inline u64 ram_hpa(const struct ram *ram, const u8 *p)
{
    u64 offset = (u64)(p - ram->host);
    if (offset < ram->low)
        return offset;
    return offset < ram->size ? offset - ram->low + RAM_HIGH_START
                              : offset - ram->size + RAM_EXTRA_HOME;
}

/* The code mask of the page that host byte p lies in. */
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

/* To be called before each store of size bytes at host byte p, all within one page. */
static inline void ram_store_check(struct ram *ram, u8 *p, u64 size)
{
    u64 hit = *ram_code(ram, p) & ram_granules((uintptr_t)p, size);
    if (unlikely(hit))
        ram->code_written(ram->code_opaque, (u8 *)((uintptr_t)p & PAGE_MASK), hit);
}

/*
 * DMA and loaders: copy to and from [hpa, hpa + size), any length, crossing pages. Return false,
 * having copied nothing, where the host has no memory for a byte of the range.
 */
bool ram_read(const struct ram *ram, u64 hpa, void *to, u64 size);
bool ram_write(struct ram *ram, u64 hpa, const void *from, u64 size);

#endif
