/* SPDX-License-Identifier: MIT */
#include "devices/isa_dma.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define POST_PORT 0x80

struct isa_dma {
    const struct device_env *env;
    u8 page[16];    /* 0x80 to 0x8f, in part diagnostics */
    u8 channel[48]; /* registers of both controllers */
};

static u64 page_read(void *opaque, u64 offset, unsigned size)
{
    struct isa_dma *dma = opaque;
    (void)size;
    return dma->page[offset];
}

static void page_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct isa_dma *dma = opaque;
    (void)size;
    dma->page[offset] = (u8)value;
}

static u64 first_read(void *opaque, u64 offset, unsigned size)
{
    struct isa_dma *dma = opaque;
    (void)size;
    return offset < 8 ? dma->channel[offset] : 0; /* status: no request, no terminal count */
}

static void first_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct isa_dma *dma = opaque;
    (void)size;
    dma->channel[offset] = (u8)value;
}

static u64 second_read(void *opaque, u64 offset, unsigned size)
{
    struct isa_dma *dma = opaque;
    (void)size;
    return offset < 16 ? dma->channel[16 + offset] : 0;
}

static void second_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    first_write(opaque, 16 + offset, size, value);
}

static const struct bus_ops page_ops = {page_read, page_write, 1};
static const struct bus_ops first_ops = {first_read, first_write, 1};
static const struct bus_ops second_ops = {second_read, second_write, 1};

static void isa_dma_reset(void *device)
{
    struct isa_dma *dma = device;
    memset(dma->page, 0, sizeof(dma->page));
    memset(dma->channel, 0, sizeof(dma->channel));
}

static void *isa_dma_create(const struct device_env *env, const void *config, struct error *err)
{
    struct isa_dma *dma = xalloc(sizeof(*dma));
    (void)config;
    (void)err;
    dma->env = env;
    bus_map_io(env->bus, &(struct bus_region){0x00, 16, &first_ops, dma, "dma 0-3"});
    bus_map_io(env->bus, &(struct bus_region){0xc0, 32, &second_ops, dma, "dma 4-7"});
    bus_map_io(env->bus, &(struct bus_region){POST_PORT, 16, &page_ops, dma, "dma pages"});
    return dma;
}

static void isa_dma_snap(void *device, struct snap *s)
{
    struct isa_dma *dma = device;
    snap_section(s, "isa_dma", 1);
    SNAP(s, dma->page);
    SNAP(s, dma->channel);
}

static void isa_dma_free(void *device)
{
    struct isa_dma *dma = device;
    bus_unmap_io(dma->env->bus, 0x00);
    bus_unmap_io(dma->env->bus, 0xc0);
    bus_unmap_io(dma->env->bus, POST_PORT);
    free(dma);
}

const struct device_class isa_dma_class = {
    .name = "isa_dma",
    .help = "registers of the ISA DMA controllers, without transfers, and port 0x80",
    .create = isa_dma_create,
    .reset = isa_dma_reset,
    .snap = isa_dma_snap,
    .free = isa_dma_free,
};
