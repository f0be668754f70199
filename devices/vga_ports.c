/* SPDX-License-Identifier: MIT */
/*
 * The VGA's ports. From the IBM VGA technical reference, "Video Subsystem Programming
 * Considerations" and the register descriptions. The CRTC raises no interrupt.
 */
#include "devices/vga_state.h"

#define MISC_COLOUR 0x01u
#define PROTECT 0x80u
#define PROTECTED_REGISTERS 8
#define OVERFLOW_LINE_COMPARE 0x10u /* the one bit that protection leaves */

static const u8 seq_bits[SEQ_COUNT] = {0x03, 0x3d, 0x0f, 0x3f, 0x0e};
static const u8 gc_bits[GC_COUNT] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff};
static const u8 attr_bits[ATTR_COUNT] = {0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
                                         0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
                                         0x3f, 0x3f, 0xef, 0xff, 0x3f, 0x0f, 0x0f};

static void crtc_write(struct vga *vga, u8 value)
{
    unsigned index = vga->crtc_index;
    if (index >= CRTC_COUNT)
        return;
    if (index < PROTECTED_REGISTERS && (vga->crtc[CRTC_RETRACE_END] & PROTECT)) {
        if (index != CRTC_OVERFLOW)
            return;
        value = (u8)((vga->crtc[index] & ~OVERFLOW_LINE_COMPARE) | (value & OVERFLOW_LINE_COMPARE));
    }
    vga->crtc[index] = value;
}

/* Reading input status 1 makes the next write an index. */
static void attr_write(struct vga *vga, u8 value)
{
    unsigned index = vga->attr_index & 0x1f;
    if (!vga->attr_data)
        vga->attr_index = value & 0x3f;
    else if (index < ATTR_COUNT)
        vga->attr[index] = value & attr_bits[index];
    vga->attr_data = !vga->attr_data;
}

/* ---- DAC ---- */

static void dac_begin(struct vga *vga, u8 state, u8 index)
{
    vga->dac_state = state;
    vga->dac_component = 0;
    if (state)
        vga->dac_read = index;
    else
        vga->dac_write = index;
}

static u8 dac_read(struct vga *vga)
{
    u8 value = vga->dac[vga->dac_read][vga->dac_component];
    if (++vga->dac_component == 3) {
        vga->dac_component = 0;
        vga->dac_read++;
    }
    return value;
}

/* A colour changes when its third component is there. */
static void dac_write(struct vga *vga, u8 value)
{
    u8 *colour = vga->dac[vga->dac_write];
    if (!(vga->dispi[DISPI_ENABLE] & DISPI_8BIT_DAC))
        value &= 0x3f;
    if (vga->dac_component < 2) {
        vga->dac_cache[vga->dac_component++] = value;
        return;
    }
    colour[0] = vga->dac_cache[0];
    colour[1] = vga->dac_cache[1];
    colour[2] = value;
    vga->dac_component = 0;
    vga->dac_write++;
}

/* ---- Ports ---- */

/* The CRTC and a few others are at 0x3bx or at 0x3dx; the other place is empty. */
static bool absent(const struct vga *vga, u32 port)
{
    u32 here = vga->misc & MISC_COLOUR ? 0x3d0 : 0x3b0;
    return (port & ~0xfu) != 0x3c0 && (port & ~0xfu) != here;
}

static u32 as_colour(u32 port)
{
    return (port & ~0xfu) == 0x3b0 ? port + 0x20 : port;
}

u8 vga_port_read(struct vga *vga, u32 port)
{
    if (absent(vga, port))
        return 0xff;
    switch (as_colour(port)) {
    case 0x3c0:
        return vga->attr_data ? 0 : vga->attr_index;
    case 0x3c1:
        return (vga->attr_index & 0x1f) < ATTR_COUNT ? vga->attr[vga->attr_index & 0x1f] : 0;
    case 0x3c2: /* no interrupt, no sense */
        return 0;
    case 0x3c4:
        return vga->seq_index;
    case 0x3c5:
        return vga->seq_index < SEQ_COUNT ? vga->seq[vga->seq_index] : 0;
    case 0x3c6:
        return vga->dac_mask;
    case 0x3c7:
        return vga->dac_state;
    case 0x3c8:
        return vga->dac_write;
    case 0x3c9:
        return dac_read(vga);
    case 0x3ca:
        return vga->feature;
    case 0x3cc:
        return vga->misc;
    case 0x3ce:
        return vga->gc_index;
    case 0x3cf:
        return vga->gc_index < GC_COUNT ? vga->gc[vga->gc_index] : 0;
    case 0x3d4:
        return vga->crtc_index;
    case 0x3d5:
        return vga->crtc_index < CRTC_COUNT ? vga->crtc[vga->crtc_index] : 0;
    case 0x3da:
        vga->attr_data = false;
        return vga_status(vga);
    default:
        return 0xff;
    }
}

void vga_port_write(struct vga *vga, u32 port, u8 value)
{
    if (absent(vga, port))
        return;
    switch (as_colour(port)) {
    case 0x3c0:
        attr_write(vga, value);
        break;
    case 0x3c2:
        vga->misc = value & 0xef;
        break;
    case 0x3c4:
        vga->seq_index = value & 7;
        break;
    case 0x3c5:
        if (vga->seq_index < SEQ_COUNT)
            vga->seq[vga->seq_index] = value & seq_bits[vga->seq_index];
        break;
    case 0x3c6:
        vga->dac_mask = value;
        break;
    case 0x3c7:
        dac_begin(vga, 3, value);
        break;
    case 0x3c8:
        dac_begin(vga, 0, value);
        break;
    case 0x3c9:
        dac_write(vga, value);
        break;
    case 0x3ce:
        vga->gc_index = value & 15;
        break;
    case 0x3cf:
        if (vga->gc_index < GC_COUNT)
            vga->gc[vga->gc_index] = value & gc_bits[vga->gc_index];
        break;
    case 0x3d4:
        vga->crtc_index = value;
        break;
    case 0x3d5:
        crtc_write(vga, value);
        break;
    case 0x3da:
        vga->feature = value & 0x08;
        break;
    default:
        log_msg(LOG_DEV, "vga: write of %#x to port %#x", value, port);
    }
}
