/* SPDX-License-Identifier: MIT */
#include "mmu/ram.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

bool ram_init(struct ram *ram, u64 size, struct error *err)
{
    *ram = (struct ram){0};
    if (size < MIB || size > 512 * GIB || size % MIB)
        return error_set(err, "memory of %llu bytes: expected a multiple of 1 MiB from 1M to 512G",
                         (unsigned long long)size);
    ram->host = host_map(size + RAM_EXTRA_MAX);
    if (!ram->host)
        return error_set(err, "the host has no room for %llu MiB of guest memory",
                         (unsigned long long)(size / MIB));
    ram->size = size;
    ram->low = MIN(size, RAM_HOLE_START);
    ram->code = xalloc_array(ram_pages(ram), sizeof(*ram->code));
    for (unsigned n = 0; n < RAM_LEGACY_COUNT; n++)
        ram->legacy[n] = (struct ram_legacy){ram_legacy_ram(ram, n), ram_legacy_ram(ram, n)};
    return true;
}

void ram_fini(struct ram *ram)
{
    host_unmap(ram->host, ram->size + RAM_EXTRA_MAX);
    free(ram->code);
    *ram = (struct ram){0};
}

/* ---- What lies where ---- */

u8 *ram_extra_new(struct ram *ram, u64 size)
{
    ASSERT(size && !(size & ~PAGE_MASK) && size <= RAM_EXTRA_MAX - ram->extra);
    u8 *extra = ram->host + ram->size + ram->extra;
    ram->extra += size;
    return extra;
}

static void remapped(struct ram *ram)
{
    if (ram->remapped)
        ram->remapped(ram->remapped_opaque);
}

bool ram_map(struct ram *ram, const struct ram_window *window)
{
    ASSERT(!((window->hpa | window->size) & ~PAGE_MASK) && window->hpa >= MIB);
    if (ram->windows == RAM_WINDOWS)
        return false;
    ram->window[ram->windows++] = *window;
    remapped(ram);
    return true;
}

void ram_unmap(struct ram *ram, u64 hpa, const u8 *host)
{
    unsigned n = 0;
    while (n < ram->windows && (ram->window[n].hpa != hpa || ram->window[n].host != host))
        n++;
    ASSERT(n < ram->windows);
    ram->windows--;
    memmove(&ram->window[n], &ram->window[n + 1], (ram->windows - n) * sizeof(ram->window[0]));
    remapped(ram);
}

void ram_legacy_set(struct ram *ram, unsigned piece, struct ram_legacy to)
{
    ASSERT(piece < RAM_LEGACY_COUNT);
    if (ram->legacy[piece].read == to.read && ram->legacy[piece].write == to.write)
        return;
    ram->legacy[piece] = to;
    remapped(ram);
}

void ram_smram_set(struct ram *ram, bool on)
{
    if (ram->smram == on)
        return;
    ram->smram = on;
    remapped(ram);
}

static u8 *legacy_host(const struct ram *ram, u64 hpa, bool write)
{
    unsigned piece = (unsigned)((hpa - RAM_LEGACY) >> RAM_LEGACY_SHIFT);
    u8 *p = write ? ram->legacy[piece].write : ram->legacy[piece].read;
    if (ram->smm_view && ram->smram && piece < RAM_SMRAM_COUNT)
        p = ram_legacy_ram(ram, piece);
    return p ? p + (hpa & MASK(RAM_LEGACY_SHIFT)) : NULL;
}

static u8 *window_host(const struct ram *ram, u64 hpa, bool write)
{
    for (unsigned n = 0; n < ram->windows; n++) {
        const struct ram_window *w = &ram->window[n];
        if (hpa - w->hpa < w->size)
            return !write || w->writable ? w->host + (hpa - w->hpa) : NULL;
    }
    return NULL;
}

u8 *ram_host_other(const struct ram *ram, u64 hpa, bool write)
{
    if (hpa < MIN(ram->low, RAM_LEGACY))
        return ram->host + hpa;
    if (hpa < MIN(ram->low, MIB))
        return legacy_host(ram, hpa, write);
    if (hpa - RAM_HIGH_START < ram->size - ram->low)
        return ram->host + ram->low + (hpa - RAM_HIGH_START);
    if (hpa - RAM_EXTRA_HOME < ram->extra)
        return ram->host + ram->size + (hpa - RAM_EXTRA_HOME);
    return window_host(ram, hpa, write);
}

/* ---- DMA ---- */

/* Whether the host has memory for all of [hpa, hpa + size). */
static bool all_host(const struct ram *ram, u64 hpa, u64 size, bool write)
{
    /* A range longer than all there is would take long to walk along. */
    if (size > ram_pages(ram) << PAGE_SHIFT || hpa + (size - 1) < hpa)
        return false;
    u64 last = (hpa + (size - 1)) & PAGE_MASK;
    for (u64 page = hpa & PAGE_MASK;; page += PAGE_SIZE) {
        if (page >= MIB && page < ram->low)
            page = MIN(last, ram->low - PAGE_SIZE);
        else if (page - RAM_HIGH_START < ram->size - ram->low)
            page = MIN(last, RAM_HIGH_START + (ram->size - ram->low) - PAGE_SIZE);
        else if (!ram_host_other(ram, page, write))
            return false;
        if (page == last)
            return true;
    }
}

bool ram_read(const struct ram *ram, u64 hpa, void *to, u64 size)
{
    if (size && !all_host(ram, hpa, size, false))
        return false;
    u8 *target = to;
    while (size) {
        u64 part = MIN(size, PAGE_SIZE - (hpa & ~PAGE_MASK));
        memcpy(target, ram_host(ram, hpa), part);
        hpa += part;
        target += part;
        size -= part;
    }
    return true;
}

bool ram_write(struct ram *ram, u64 hpa, const void *from, u64 size)
{
    if (size && !all_host(ram, hpa, size, true))
        return false;
    const u8 *source = from;
    while (size) {
        u64 part = MIN(size, PAGE_SIZE - (hpa & ~PAGE_MASK));
        u8 *p = ram_host_w(ram, hpa);
        ram_store_check(ram, p, part);
        memcpy(p, source, part);
        hpa += part;
        source += part;
        size -= part;
    }
    return true;
}
