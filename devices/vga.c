/* SPDX-License-Identifier: MIT */
/*
 * The display as a PCI function and a device. BAR 2 follows QEMU's "Standard VGA" specification:
 * ports 0x3c0 to 0x3df at 0x400, the DISPI registers at 0x500, extended registers at 0x600. Its EDID
 * area is empty.
 */
#include "devices/vga.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "devices/vga_state.h"

#define WINDOW_BASE 0xa0000
#define WINDOW_SIZE 0x20000
#define DISPI_PORTS 0x1ce /* index; data at the next port and at the one after it */

#define MMIO_SIZE PAGE_SIZE
#define MMIO_PORTS 0x400
#define MMIO_DISPI 0x500
#define MMIO_EXTENDED 0x600
#define EXTENDED_SIZE 8
#define LITTLE_ENDIAN_PIXELS 0x1e1e1e1eu

#define DEVFN PCI_DEVFN(2, 0)
#define BAR_MEMORY 0
#define BAR_MMIO 2

/* ---- Regions ---- */

static const struct {
    u32 base, size;
} port_ranges[] = {{0x3b4, 2}, {0x3ba, 1}, {0x3c0, 16}, {0x3d4, 2}, {0x3da, 1}};

/* A region's offset counts from its first port, so there is one pair of functions for each. */
#define PORT_REGION(base)                                                                          \
    static u64 read_##base(void *opaque, u64 offset, unsigned size)                                \
    {                                                                                              \
        (void)size;                                                                                \
        return vga_port_read(opaque, base + (u32)offset);                                          \
    }                                                                                              \
    static void write_##base(void *opaque, u64 offset, unsigned size, u64 value)                   \
    {                                                                                              \
        (void)size;                                                                                \
        vga_port_write(opaque, base + (u32)offset, (u8)value);                                     \
    }

PORT_REGION(0x3b4)
PORT_REGION(0x3ba)
PORT_REGION(0x3c0)
PORT_REGION(0x3d4)
PORT_REGION(0x3da)

static const struct bus_ops port_ops[] = {{read_0x3b4, write_0x3b4, 1},
                                          {read_0x3ba, write_0x3ba, 1},
                                          {read_0x3c0, write_0x3c0, 1},
                                          {read_0x3d4, write_0x3d4, 1},
                                          {read_0x3da, write_0x3da, 1}};

/* Words only: parts of the two ports mean nothing. */
static u64 dispi_read(void *opaque, u64 offset, unsigned size)
{
    struct vga *vga = opaque;
    if (size != 2)
        return UINT64_MAX;
    return offset ? vga_dispi_read(vga, vga->dispi_index) : vga->dispi_index;
}

static void dispi_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct vga *vga = opaque;
    if (size != 2)
        return;
    if (offset)
        vga_dispi_write(vga, vga->dispi_index, (u16)value);
    else
        vga->dispi_index = (u16)value;
}

static const struct bus_ops dispi_ops = {dispi_read, dispi_write, 2};

static u64 window_read(void *opaque, u64 offset, unsigned size)
{
    (void)size;
    return vga_window_read(opaque, (u32)offset);
}

static void window_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    (void)size;
    vga_window_write(opaque, (u32)offset, (u8)value);
}

static const struct bus_ops window_ops = {window_read, window_write, 1};

/* ---- BAR 2 ---- */

static u64 mmio_ports_read(struct vga *vga, u32 port, unsigned size)
{
    u64 value = 0;
    for (unsigned n = 0; n < size; n++)
        value |= (u64)vga_port_read(vga, port + n) << (8 * n);
    return value;
}

static u64 extended_read(u64 reg)
{
    const u32 words[2] = {EXTENDED_SIZE, LITTLE_ENDIAN_PIXELS};
    return words[reg / 4] >> (reg % 4 * 8);
}

static bool in_ports(u64 offset, unsigned size)
{
    return offset >= MMIO_PORTS && offset + size <= MMIO_PORTS + 0x20;
}

static bool in_dispi(u64 offset, unsigned size)
{
    return offset >= MMIO_DISPI && offset < MMIO_DISPI + 2 * DISPI_COUNT && size == 2;
}

static u64 mmio_read(void *opaque, u64 offset, unsigned size)
{
    struct vga *vga = opaque;
    if (in_ports(offset, size))
        return mmio_ports_read(vga, 0x3c0 + (u32)(offset - MMIO_PORTS), size);
    if (in_dispi(offset, size))
        return vga_dispi_read(vga, (unsigned)(offset - MMIO_DISPI) / 2);
    if (offset >= MMIO_EXTENDED && offset < MMIO_EXTENDED + EXTENDED_SIZE)
        return extended_read(offset - MMIO_EXTENDED);
    return 0;
}

static void mmio_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct vga *vga = opaque;
    if (in_ports(offset, size))
        for (unsigned n = 0; n < size; n++)
            vga_port_write(vga, 0x3c0 + (u32)(offset - MMIO_PORTS) + n, (u8)(value >> (8 * n)));
    else if (in_dispi(offset, size))
        vga_dispi_write(vga, (unsigned)(offset - MMIO_DISPI) / 2, (u16)value);
    else if (offset == MMIO_EXTENDED + 4 && value != (LITTLE_ENDIAN_PIXELS & MASK(8 * size)))
        unimplemented("VGA: big-endian framebuffer");
}

static const struct bus_ops mmio_ops = {mmio_read, mmio_write, 2};

/* ---- The device ---- */

static void vga_reset(void *device)
{
    struct vga *vga = device;
    vga->misc = vga->feature = 0;
    vga->seq_index = vga->crtc_index = vga->gc_index = vga->attr_index = 0;
    vga->attr_data = false;
    memset(vga->seq, 0, sizeof(vga->seq));
    memset(vga->crtc, 0, sizeof(vga->crtc));
    memset(vga->gc, 0, sizeof(vga->gc));
    memset(vga->attr, 0, sizeof(vga->attr));
    memset(vga->latch, 0, sizeof(vga->latch));
    memset(vga->dac, 0, sizeof(vga->dac));
    vga->dac_mask = 0xff;
    vga->dac_read = vga->dac_write = vga->dac_state = vga->dac_component = 0;
    memset(vga->dac_cache, 0, sizeof(vga->dac_cache));
    vga_dispi_reset(vga);
}

/* The ROM's place is a power of two; what the image doesn't fill is 0xff. */
static bool load_rom(struct vga *vga, FILE *f, const char *path, struct error *err)
{
    u8 *image = xalloc(VGA_ROM_MAX + 1);
    size_t size = fread(image, 1, VGA_ROM_MAX + 1, f);
    bool ok = size && size <= VGA_ROM_MAX && !ferror(f);
    if (ok) {
        for (vga->rom_size = PAGE_SIZE; vga->rom_size < size;)
            vga->rom_size *= 2;
        vga->rom = ram_extra_new(&vga->env->bus->ram, vga->rom_size);
        memset(vga->rom, 0xff, vga->rom_size);
        memcpy(vga->rom, image, size);
    }
    free(image);
    return ok || error_set(err, "display's BIOS %s: expected 1 byte to 64 KiB", path);
}

static bool open_rom(struct vga *vga, const char *path, struct error *err)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return error_set(err, "display's BIOS %s: %s (Debian has one in seabios)", path,
                         strerror(errno));
    bool ok = load_rom(vga, f, path, err);
    fclose(f);
    return ok;
}

static void init_function(struct vga *vga)
{
    struct pci_device *pci = &vga->pci;
    pci_init(pci, "vga", &(struct pci_id){0x1234, 0x1111, 0x030000, 2});
    pci_config_set(pci, PCI_SUBSYSTEM_VENDOR, 2, 0x1af4);
    pci_config_set(pci, PCI_SUBSYSTEM_DEVICE, 2, 0x1100);
    vga->memory = ram_extra_new(&vga->env->bus->ram, VGA_MEMORY);
    pci_bar_init(pci, BAR_MEMORY,
                 &(struct pci_bar){.size = VGA_MEMORY, .prefetch = true, .memory = vga->memory});
    pci_bar_init(pci, BAR_MMIO,
                 &(struct pci_bar){.size = MMIO_SIZE, .ops = &mmio_ops, .opaque = vga});
    if (vga->rom)
        pci_rom_init(pci, vga->rom, vga->rom_size);
}

static void map_legacy(struct vga *vga)
{
    struct bus *bus = vga->env->bus;
    bus_map_mmio(bus,
                 &(struct bus_region){WINDOW_BASE, WINDOW_SIZE, &window_ops, vga, "vga window"});
    bus_map_io(bus, &(struct bus_region){DISPI_PORTS, 4, &dispi_ops, vga, "vga dispi"});
    for (size_t n = 0; n < ARRAY_SIZE(port_ranges); n++)
        bus_map_io(bus, &(struct bus_region){port_ranges[n].base, port_ranges[n].size, &port_ops[n],
                                             vga, "vga"});
}

static void *vga_create(const struct device_env *env, const void *config, struct error *err)
{
    const struct vga_config *c = config;
    struct vga *vga = xalloc(sizeof(*vga));
    vga->env = env;
    if (c->rom && !open_rom(vga, c->rom, err)) {
        free(vga);
        return NULL;
    }
    init_function(vga);
    pci_add(env->pci, &vga->pci, DEVFN);
    map_legacy(vga);
    return vga;
}

static void snap_registers(struct vga *vga, struct snap *s)
{
    bool *const flags[] = {&vga->attr_data};
    SNAP(s, vga->misc);
    SNAP(s, vga->feature);
    SNAP(s, vga->seq_index);
    SNAP(s, vga->crtc_index);
    SNAP(s, vga->gc_index);
    SNAP(s, vga->attr_index);
    snap_flags(s, flags, 1);
    SNAP(s, vga->seq);
    SNAP(s, vga->crtc);
    SNAP(s, vga->gc);
    SNAP(s, vga->attr);
    SNAP(s, vga->latch);
    SNAP(s, vga->dac_mask);
    SNAP(s, vga->dac_read);
    SNAP(s, vga->dac_write);
    SNAP(s, vga->dac_state);
    SNAP(s, vga->dac_component);
    SNAP(s, vga->dac_cache);
    SNAP(s, vga->dac);
    snap_range(s, "component of a colour", vga->dac_component, 0, 2);
    SNAP(s, vga->dispi_index);
    SNAP(s, vga->dispi);
}

static void vga_snap(void *device, struct snap *s)
{
    struct vga *vga = device;
    snap_section(s, "vga", 1);
    snap_registers(vga, s);
    if (snap_loading(s)) {
        vga->dac_component %= 3;
        vga_dispi_limit(vga);
    }
    snap_expect(s, "size of the display's BIOS", vga->rom_size);
    if (vga->rom)
        snap_pages(s, vga->rom, vga->rom_size);
    snap_pages(s, vga->memory, VGA_MEMORY);
}

static void vga_free(void *device)
{
    struct vga *vga = device;
    struct bus *bus = vga->env->bus;
    pci_remove(&vga->pci);
    bus_unmap_mmio(bus, WINDOW_BASE);
    bus_unmap_io(bus, DISPI_PORTS);
    for (size_t n = 0; n < ARRAY_SIZE(port_ranges); n++)
        bus_unmap_io(bus, port_ranges[n].base);
    free(vga);
}

static const char *const types[] = {[VGA_STD] = "std", [VGA_NONE] = "none", NULL};
static const struct prop_desc vga_props[] = {
    {.name = "type",
     .type = PROP_ENUM,
     .preset = "std",
     .choices = types,
     .help = "display: std, a VGA with the Bochs VBE extension; none"},
};
static const size_t vga_prop_offsets[] = {offsetof(struct vga_config, type)};

const struct device_class vga_class = {
    .name = "vga",
    .help = "VGA with the Bochs VBE extension, 16 MiB, PCI 1234:1111",
    .props = vga_props,
    .prop_offsets = vga_prop_offsets,
    .prop_count = ARRAY_SIZE(vga_props),
    .config_size = sizeof(struct vga_config),
    .create = vga_create,
    .reset = vga_reset,
    .snap = vga_snap,
    .free = vga_free,
};
