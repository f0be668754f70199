/* SPDX-License-Identifier: MIT */
/* The physical address space and the port space: RAM, and regions that devices answer for. */
#ifndef MMU_BUS_H
#define MMU_BUS_H

#include "base/error.h"
#include "base/types.h"
#include "mmu/ram.h"

/*
 * A device's registers. size is 1, 2, 4 or 8 (ports: 1, 2 or 4); [offset, offset + size) lies
 * within the region. Accesses come in the size the guest used; regions with narrow registers set
 * `max_size` and the bus splits wider ones into little-endian parts. Reads return the value in the
 * low bits.
 */
struct bus_ops {
    u64 (*read)(void *opaque, u64 offset, unsigned size);
    void (*write)(void *opaque, u64 offset, unsigned size, u64 value);
    unsigned max_size; /* 0: any */
};

struct bus_region {
    u64 base, size;
    const struct bus_ops *ops;
    void *opaque;
    const char *name;
};

struct bus {
    struct ram ram;
    struct bus_region *mmio, *io; /* sorted by base, no overlap */
    u32 mmio_count, io_count;
};

/* maps nothing but RAM of ram_size bytes */
bool bus_init(struct bus *bus, u64 ram_size, struct error *err);
void bus_fini(struct bus *bus);

/* Overlapping another region or RAM is a bug of the caller (ASSERT). */
void bus_map_mmio(struct bus *bus, const struct bus_region *region);
void bus_map_io(struct bus *bus, const struct bus_region *region);
void bus_unmap_mmio(struct bus *bus, u64 base);
void bus_unmap_io(struct bus *bus, u64 base);

/*
 * Access of size 1 to 8 at hpa that is not RAM (RAM is handled too, for completeness). Nobody
 * there: reads give all ones, writes are lost. Never fails. Must not cross a page.
 */
u64 bus_read(struct bus *bus, u64 hpa, unsigned size);
void bus_write(struct bus *bus, u64 hpa, unsigned size, u64 value);

/* Ports: size 1, 2, 4; port + size may pass 0x10000 (wraps to nobody). */
u64 bus_io_read(struct bus *bus, u32 port, unsigned size);
void bus_io_write(struct bus *bus, u32 port, unsigned size, u64 value);

/* A level-sensitive wire from a device to an interrupt controller input. */
struct irq_line {
    void (*set)(void *opaque, unsigned input, bool level);
    void *opaque;
    unsigned input;
};

static inline void irq_set(const struct irq_line *line, bool level)
{
    if (line->set)
        line->set(line->opaque, line->input, level);
}

#endif
