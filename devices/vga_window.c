/* SPDX-License-Identifier: MIT */
/*
 * The window at 0xa0000: how the graphics controller reads and writes planes. From the IBM VGA
 * technical reference, "Graphics Controller Registers" and "Sequencer Registers".
 */
#include "devices/vga_state.h"

#define MISC_RAM 0x02u

/* The byte of memory that an access is about. */
struct place {
    u32 address; /* of the planes */
    u32 planes;  /* mask of those that the addressing allows */
    u32 plane;   /* that is read */
};

/* Where offset lies in the part of the window that the memory map select opens; false: outside. */
static bool in_map(const struct vga *vga, u32 *offset)
{
    static const struct {
        u32 first, size;
    } maps[4] = {{0, 0x20000}, {0, 0x10000}, {0x10000, 0x8000}, {0x18000, 0x8000}};
    unsigned map = vga->gc[GC_MISC] >> 2 & 3;
    *offset -= maps[map].first;
    return *offset < maps[map].size;
}

static u32 bank(const struct vga *vga)
{
    return vga_dispi_on(vga) ? (u32)vga->dispi[DISPI_BANK] << 16 : 0;
}

/* Modes of the extension with 8 and more bits show memory as it is. */
static bool linear(const struct vga *vga)
{
    return vga_dispi_on(vga) && vga->dispi[DISPI_BPP] != 4;
}

static struct place find(const struct vga *vga, u32 offset, bool odd_even)
{
    u32 mask = vga_dispi_on(vga) ? VGA_MEMORY / 4 - 1 : VGA_PLANE_MASK;
    if (vga->seq[SEQ_MEMORY] & SEQ_MEMORY_CHAIN4)
        return (struct place){offset >> 2 & mask, 1u << (offset & 3), offset & 3};
    if (odd_even)
        return (struct place){offset >> 1 & mask, offset & 1 ? 0xa : 0x5,
                              (vga->gc[GC_READ_MAP] & 2u) | (offset & 1)};
    return (struct place){(offset + bank(vga)) & mask, 0xf, vga->gc[GC_READ_MAP] & 3u};
}

/* ---- Reading ---- */

/* A bit is set where the four planes hold the colour that is compared. */
static u8 compare(const struct vga *vga)
{
    u32 differ = 0;
    for (unsigned n = 0; n < 4; n++)
        if (vga->gc[GC_DONT_CARE] >> n & 1)
            differ |= vga->latch[n] ^ (vga->gc[GC_COMPARE] >> n & 1 ? 0xffu : 0u);
    return (u8)~differ;
}

u8 vga_window_read(struct vga *vga, u32 offset)
{
    if (!(vga->misc & MISC_RAM) || !in_map(vga, &offset))
        return 0xff;
    if (linear(vga))
        return vga->memory[(offset + bank(vga)) & (VGA_MEMORY - 1)];
    struct place place = find(vga, offset, vga->gc[GC_MODE] & GC_MODE_ODD_EVEN);
    for (unsigned n = 0; n < 4; n++)
        vga->latch[n] = vga->memory[4 * place.address + n];
    return vga->gc[GC_MODE] & 0x08 ? compare(vga) : vga->latch[place.plane];
}

/* ---- Writing ---- */

static u8 rotate(const struct vga *vga, u8 value)
{
    unsigned by = vga->gc[GC_ROTATE] & 7;
    return (u8)(value >> by | value << (8 - by));
}

static u8 combine(const struct vga *vga, u8 value, u8 latch)
{
    switch (vga->gc[GC_ROTATE] >> 3 & 3) {
    case 1:
        return value & latch;
    case 2:
        return value | latch;
    case 3:
        return value ^ latch;
    default:
        return value;
    }
}

/* What set/reset, or a colour taken from the processor, gives a plane: all ones or none. */
static u8 expand(u32 colour, unsigned plane)
{
    return colour >> plane & 1 ? 0xff : 0;
}

/* What plane n gets when the processor writes value. */
static u8 plane_value(const struct vga *vga, unsigned n, u8 value)
{
    u8 mask = vga->gc[GC_BIT_MASK], latch = vga->latch[n], data;
    switch (vga->gc[GC_MODE] & 3) {
    case 0:
        data = vga->gc[GC_ENABLE_SET_RESET] >> n & 1 ? expand(vga->gc[GC_SET_RESET], n)
                                                     : rotate(vga, value);
        break;
    case 1:
        return latch;
    case 2:
        data = expand(value, n);
        break;
    default:
        mask &= rotate(vga, value);
        data = expand(vga->gc[GC_SET_RESET], n);
    }
    return (u8)((combine(vga, data, latch) & mask) | (latch & ~mask));
}

void vga_window_write(struct vga *vga, u32 offset, u8 value)
{
    struct ram *ram = &vga->env->bus->ram;
    if (!(vga->misc & MISC_RAM) || !in_map(vga, &offset))
        return;
    if (linear(vga)) {
        u8 *p = &vga->memory[(offset + bank(vga)) & (VGA_MEMORY - 1)];
        ram_store_check(ram, p, 1);
        *p = value;
        return;
    }
    struct place place = find(vga, offset, !(vga->seq[SEQ_MEMORY] & SEQ_MEMORY_PLANAR));
    u8 *p = &vga->memory[4 * place.address];
    ram_store_check(ram, p, 4);
    for (unsigned n = 0; n < 4; n++)
        if (place.planes & vga->seq[SEQ_MAP_MASK] & (1u << n))
            p[n] = plane_value(vga, n, value);
}
