/* SPDX-License-Identifier: MIT */
/*
 * The Bochs VBE extension ("DISPI"), version 0xb0c5, as described in Bochs's iodev/display sources
 * and by its users: QEMU's VGA BIOS, Linux's bochs driver, OVMF's QemuVideoDxe.
 */
#include <string.h>

#include "devices/vga_state.h"

#define ID_FIRST 0xb0c0u
#define ID_LAST 0xb0c5u
#define XRES_MAX 2560
#define YRES_MAX 1600
#define BPP_MAX 32

u32 vga_dispi_pitch(const struct vga *vga)
{
    u32 width = vga->dispi[DISPI_VIRT_WIDTH];
    switch (vga->dispi[DISPI_BPP]) {
    case 4:
        return width / 2;
    case 15:
        return width * 2;
    default:
        return width * (vga->dispi[DISPI_BPP] / 8);
    }
}

static u16 limit(u32 value, u32 low, u32 high)
{
    return (u16)MIN(MAX(value, low), high);
}

static bool known_depth(u16 bpp)
{
    return bpp == 4 || bpp == 8 || bpp == 15 || bpp == 16 || bpp == 24 || bpp == 32;
}

void vga_dispi_limit(struct vga *vga)
{
    u16 *r = vga->dispi;
    r[DISPI_MEMORY_64K] = VGA_MEMORY / (64 * KIB);
    r[DISPI_BANK] &= (u16)(VGA_MEMORY / (r[DISPI_BPP] == 4 ? 256 * KIB : 64 * KIB) - 1);
    if (r[DISPI_ID] < ID_FIRST || r[DISPI_ID] > ID_LAST)
        r[DISPI_ID] = ID_LAST;
    if (!vga_dispi_on(vga))
        return;
    if (!known_depth(r[DISPI_BPP]))
        r[DISPI_BPP] = 8;
    r[DISPI_XRES] = limit(r[DISPI_XRES] & ~7u, 8, XRES_MAX);
    r[DISPI_VIRT_WIDTH] = limit(r[DISPI_VIRT_WIDTH] & ~7u, r[DISPI_XRES], 0xfff8);
    u32 lines = (u32)VGA_MEMORY / vga_dispi_pitch(vga);
    r[DISPI_VIRT_HEIGHT] = limit(lines, 1, 0xffff);
    r[DISPI_YRES] = limit(r[DISPI_YRES], 1, MIN(YRES_MAX, r[DISPI_VIRT_HEIGHT]));
    r[DISPI_X_OFFSET] = limit(r[DISPI_X_OFFSET], 0, (u32)(r[DISPI_VIRT_WIDTH] - r[DISPI_XRES]));
    r[DISPI_Y_OFFSET] = limit(r[DISPI_Y_OFFSET], 0, (u32)(r[DISPI_VIRT_HEIGHT] - r[DISPI_YRES]));
}

void vga_dispi_reset(struct vga *vga)
{
    memset(vga->dispi, 0, sizeof(vga->dispi));
    vga->dispi_index = 0;
    vga_dispi_limit(vga);
}

u16 vga_dispi_read(const struct vga *vga, unsigned index)
{
    static const u16 most[] = {
        [DISPI_XRES] = XRES_MAX, [DISPI_YRES] = YRES_MAX, [DISPI_BPP] = BPP_MAX};
    if (index >= DISPI_COUNT)
        return 0;
    bool caps = vga->dispi[DISPI_ENABLE] & DISPI_GETCAPS;
    return caps && index >= DISPI_XRES && index <= DISPI_BPP ? most[index] : vga->dispi[index];
}

static void clear_screen(struct vga *vga)
{
    u64 size = (u64)vga_dispi_pitch(vga) * vga->dispi[DISPI_YRES];
    for (u64 at = 0; at < size; at += PAGE_SIZE)
        ram_store_check(&vga->env->bus->ram, vga->memory + at, PAGE_SIZE);
    memset(vga->memory, 0, size);
}

static void write_enable(struct vga *vga, u16 value)
{
    bool begins = (value & DISPI_ENABLED) && !vga_dispi_on(vga);
    vga->dispi[DISPI_ENABLE] = value;
    if (!(value & DISPI_ENABLED))
        vga->dispi[DISPI_BANK] = 0;
    if (!begins)
        return;
    vga->dispi[DISPI_VIRT_WIDTH] = vga->dispi[DISPI_X_OFFSET] = vga->dispi[DISPI_Y_OFFSET] = 0;
    vga_dispi_limit(vga);
    if (!(value & DISPI_NO_CLEAR))
        clear_screen(vga);
}

void vga_dispi_write(struct vga *vga, unsigned index, u16 value)
{
    switch (index) {
    case DISPI_ID:
        if (value < ID_FIRST || value > ID_LAST)
            return;
        break;
    case DISPI_ENABLE:
        write_enable(vga, value);
        return;
    case DISPI_XRES:
    case DISPI_YRES:
    case DISPI_BPP:
    case DISPI_BANK:
    case DISPI_VIRT_WIDTH:
    case DISPI_X_OFFSET:
    case DISPI_Y_OFFSET:
        break;
    case DISPI_VIRT_HEIGHT: /* follows from the width; drivers write it all the same */
        return;
    default:
        log_msg(LOG_DEV, "vga: write of %#x to DISPI register %u", value, index);
        return;
    }
    vga->dispi[index] = value;
    vga_dispi_limit(vga);
}
