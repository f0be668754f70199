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
    ram->host = host_map(size);
    if (!ram->host)
        return error_set(err, "the host has no room for %llu MiB of guest memory",
                         (unsigned long long)(size / MIB));
    ram->size = size;
    ram->low = MIN(size, RAM_HOLE_START);
    ram->code = xalloc_array(size / PAGE_SIZE, sizeof(*ram->code));
    return true;
}

void ram_fini(struct ram *ram)
{
    host_unmap(ram->host, ram->size);
    free(ram->code);
    *ram = (struct ram){0};
}

/* Whether all of [hpa, hpa + size) is RAM; it then lies in one run of host memory. */
static bool all_ram(const struct ram *ram, u64 hpa, u64 size)
{
    if (hpa < ram->low)
        return size <= ram->low - hpa;
    u64 high = ram->size - ram->low;
    return hpa >= RAM_HIGH_START && hpa - RAM_HIGH_START < high &&
           size <= high - (hpa - RAM_HIGH_START);
}

bool ram_read(const struct ram *ram, u64 hpa, void *to, u64 size)
{
    if (!size)
        return true;
    if (!all_ram(ram, hpa, size))
        return false;
    memcpy(to, ram_host(ram, hpa), size);
    return true;
}

bool ram_write(struct ram *ram, u64 hpa, const void *from, u64 size)
{
    if (size && !all_ram(ram, hpa, size))
        return false;
    const u8 *source = from;
    while (size) {
        u64 part = MIN(size, PAGE_SIZE - (hpa & ~PAGE_MASK));
        u8 *p = ram_host(ram, hpa);
        ram_store_check(ram, hpa, p, part);
        memcpy(p, source, part);
        hpa += part;
        source += part;
        size -= part;
    }
    return true;
}
