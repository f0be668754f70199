/* SPDX-License-Identifier: MIT */
#include "mmu/bus.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define IO_SPACE UINT64_C(0x10000)

bool bus_init(struct bus *bus, u64 ram_size, struct error *err)
{
    *bus = (struct bus){0};
    return ram_init(&bus->ram, ram_size, err);
}

void bus_fini(struct bus *bus)
{
    ram_fini(&bus->ram);
    free(bus->mmio);
    free(bus->io);
    *bus = (struct bus){0};
}

/* Index of the first region of the sorted list that ends above addr. */
static u32 region_index(const struct bus_region *list, u32 count, u64 addr)
{
    u32 low = 0, high = count;
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        if (list[middle].base + (list[middle].size - 1) < addr)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const struct bus_region *region_at(const struct bus_region *list, u32 count, u64 addr)
{
    u32 index = region_index(list, count, addr);
    return index < count && list[index].base <= addr ? &list[index] : NULL;
}

static void region_add(struct bus_region **list, u32 *count, const struct bus_region *region)
{
    u64 last = region->base + (region->size - 1);
    ASSERT(region->size && last >= region->base && region->ops->read && region->ops->write);
    u32 index = region_index(*list, *count, region->base);
    ASSERT(index == *count || (*list)[index].base > last);
    *list = xrealloc_array(*list, *count + 1, sizeof(**list));
    memmove(*list + index + 1, *list + index, (*count - index) * sizeof(**list));
    (*list)[index] = *region;
    (*count)++;
}

static void region_remove(struct bus_region *list, u32 *count, u64 base)
{
    u32 index = region_index(list, *count, base);
    ASSERT(index < *count && list[index].base == base);
    (*count)--;
    memmove(list + index, list + index + 1, (*count - index) * sizeof(*list));
}

/* From 640 KiB to 1 MiB the chipset says whose it is. */
static bool overlaps_ram(const struct ram *ram, const struct bus_region *region)
{
    u64 high = ram->size - ram->low;
    u64 last = region->base + (region->size - 1);
    if (region->base >= RAM_LEGACY && last < MIB)
        return false;
    return region->base < ram->low ||
           (high && region->base < RAM_HIGH_START + high && last >= RAM_HIGH_START);
}

void bus_map_mmio(struct bus *bus, const struct bus_region *region)
{
    ASSERT(!overlaps_ram(&bus->ram, region));
    region_add(&bus->mmio, &bus->mmio_count, region);
}

void bus_map_io(struct bus *bus, const struct bus_region *region)
{
    ASSERT(region->base < IO_SPACE && region->size <= IO_SPACE - region->base);
    region_add(&bus->io, &bus->io_count, region);
}

void bus_unmap_mmio(struct bus *bus, u64 base)
{
    region_remove(bus->mmio, &bus->mmio_count, base);
}

void bus_unmap_io(struct bus *bus, u64 base)
{
    region_remove(bus->io, &bus->io_count, base);
}

/* How much of an access of `size` bytes at `offset` one call of the region takes: a power of two.
 */
static unsigned part_size(const struct bus_region *region, u64 offset, unsigned size)
{
    u64 room = region->size - offset;
    if (region->ops->max_size)
        room = MIN(room, region->ops->max_size);
    unsigned part = 8;
    while (part > size || part > room)
        part /= 2;
    return part;
}

/* Reads from the regions of a list; a byte that no region holds is 0xff. */
static u64 list_read(const struct bus_region *list, u32 count, u64 addr, unsigned size)
{
    u64 value = 0;
    for (unsigned done = 0, part; done < size; done += part) {
        const struct bus_region *region = region_at(list, count, addr + done);
        u64 got = 0xff;
        part = 1;
        if (region) {
            u64 offset = addr + done - region->base;
            part = part_size(region, offset, size - done);
            got = region->ops->read(region->opaque, offset, part) & MASK(8 * part);
        }
        value |= got << (8 * done);
    }
    return value;
}

static void list_write(struct bus_region *const *list, const u32 *count, u64 addr, unsigned size,
                       u64 value)
{
    for (unsigned done = 0, part; done < size; done += part) {
        /* Looked up afresh for each part: a write may map and unmap regions. */
        const struct bus_region *region = region_at(*list, *count, addr + done);
        part = 1;
        if (region) {
            u64 offset = addr + done - region->base;
            part = part_size(region, offset, size - done);
            region->ops->write(region->opaque, offset, part,
                               (value >> (8 * done)) & MASK(8 * part));
        }
    }
}

u64 bus_read(struct bus *bus, u64 hpa, unsigned size)
{
    ASSERT(size - 1 < 8 && (hpa & ~PAGE_MASK) + size <= PAGE_SIZE);
    const u8 *p = ram_host(&bus->ram, hpa);
    if (!p)
        return list_read(bus->mmio, bus->mmio_count, hpa, size);
    u64 value = 0;
    memcpy(&value, p, size);
    return value;
}

void bus_write(struct bus *bus, u64 hpa, unsigned size, u64 value)
{
    ASSERT(size - 1 < 8 && (hpa & ~PAGE_MASK) + size <= PAGE_SIZE);
    u8 *p = ram_host_w(&bus->ram, hpa);
    if (!p) {
        list_write(&bus->mmio, &bus->mmio_count, hpa, size, value);
        return;
    }
    ram_store_check(&bus->ram, p, size);
    memcpy(p, &value, size);
}

u64 bus_io_read(struct bus *bus, u32 port, unsigned size)
{
    return list_read(bus->io, bus->io_count, port, size);
}

void bus_io_write(struct bus *bus, u32 port, unsigned size, u64 value)
{
    list_write(&bus->io, &bus->io_count, port, size, value);
}
