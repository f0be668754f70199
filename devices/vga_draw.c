/* SPDX-License-Identifier: MIT */
/* The picture: what CRTC, attribute controller and DAC make of video memory. */
#include <string.h>

#include "devices/vga_state.h"

#define DOUBLE_SCAN 0x80u
#define CRTC_A13_KEPT 0x01u /* else it is bit 0 of the scan line, as a CGA has its two banks */
#define CRTC_A14_KEPT 0x02u
#define CRTC_BYTE_MODE 0x40u
#define UNPANNED 8 /* with characters of 9 dots; with 8, as 0 */
#define UNSET_WIDTH 640
#define UNSET_HEIGHT 480

/* ---- Colours ---- */

static u32 pixel(u32 red, u32 green, u32 blue)
{
    return red << 16 | green << 8 | blue;
}

/* A value of `bits` bits, 5 or 6, as 8. */
static u32 widen(u32 value, unsigned bits)
{
    return value << (8 - bits) | value >> (2 * bits - 8);
}

static void read_dac(struct vga_screen *screen)
{
    const struct vga *vga = screen->vga;
    bool wide = vga->dispi[DISPI_ENABLE] & DISPI_8BIT_DAC;
    for (unsigned n = 0; n < 256; n++) {
        const u8 *c = vga->dac[n & vga->dac_mask];
        screen->dac[n] =
            wide ? pixel(c[0], c[1], c[2])
                 : pixel(widen(c[0] & 0x3fu, 6), widen(c[1] & 0x3fu, 6), widen(c[2] & 0x3fu, 6));
    }
}

static void read_palette(struct vga_screen *screen)
{
    const u8 *attr = screen->vga->attr;
    for (unsigned n = 0; n < 16; n++) {
        u32 colour = attr[n & attr[ATTR_PLANES] & 15] & 0x3fu;
        if (attr[ATTR_MODE] & ATTR_MODE_P54)
            colour = (colour & 15) | (attr[ATTR_COLOUR] & 3u) << 4;
        colour |= (attr[ATTR_COLOUR] >> 2 & 3u) << 6;
        screen->palette[n] = screen->dac[colour];
    }
}

/* ---- Scan lines ---- */

/*
 * Below the line of line compare the address starts anew at 0 ("split screen"), and panning ends if
 * the attribute controller is told so.
 */
struct vga_scan vga_scan_at(const struct vga *vga, u32 y)
{
    const u8 *crtc = vga->crtc;
    u32 compare = vga_vertical(vga, CRTC_LINE_COMPARE);
    bool split = y > compare, still = split && (vga->attr[ATTR_MODE] & ATTR_MODE_PAN_COMPAT);
    u32 line = split ? y - compare - 1 : y;
    u32 start = (u32)crtc[CRTC_START_HIGH] << 8 | crtc[CRTC_START_LOW];
    u32 rows = (crtc[CRTC_MAXIMUM_SCAN] & 0x1fu) + 1;
    if (crtc[CRTC_MAXIMUM_SCAN] & DOUBLE_SCAN)
        line /= 2;
    if (split)
        start = 0;
    else
        line += crtc[CRTC_PRESET_ROW] & 0x1fu;
    if (!still)
        start += crtc[CRTC_PRESET_ROW] >> 5 & 3u;
    return (struct vga_scan){
        .address = (start + line / rows * crtc[CRTC_OFFSET] * 2) & VGA_PLANE_MASK,
        .row = line % rows,
        .pan = still ? UNPANNED : vga->attr[ATTR_PAN],
    };
}

/*
 * The four planes' bytes that column n of a line in a graphics mode shows. The substituted bits are
 * those of the memory address; in word mode the plane address is half of that.
 */
static const u8 *planes_at(const struct vga *vga, const struct vga_scan *scan, u32 n)
{
    u32 mode = vga->crtc[CRTC_MODE], at = scan->address + n;
    unsigned a13 = mode & CRTC_BYTE_MODE ? 13 : 12, a14 = a13 + 1;
    if (!(mode & CRTC_A13_KEPT))
        at = (at & ~(1u << a13)) | (scan->row & 1) << a13;
    if (!(mode & CRTC_A14_KEPT))
        at = (at & ~(1u << a14)) | (scan->row >> 1 & 1) << a14;
    return &vga->memory[4 * (at & VGA_PLANE_MASK)];
}

static void put_planar(const struct vga_screen *screen, const u8 *planes, u32 *to)
{
    u32 p0 = planes[0], p1 = planes[1], p2 = planes[2], p3 = planes[3];
    for (unsigned dot = 0; dot < 8; dot++) {
        unsigned shift = 7 - dot;
        u32 n = (p0 >> shift & 1) | (p1 >> shift & 1) << 1 | (p2 >> shift & 1) << 2 |
                (p3 >> shift & 1) << 3;
        to[dot] = screen->palette[n];
    }
}

/* Pairs of bits: from planes 0 and 2, then from 1 and 3. */
static void put_interleaved(const struct vga_screen *screen, const u8 *planes, u32 *to)
{
    for (unsigned dot = 0; dot < 8; dot++) {
        const u8 *p = planes + dot / 4;
        unsigned shift = 6 - dot % 4 * 2;
        to[dot] = screen->palette[(p[0] >> shift & 3) | (p[2] >> shift & 3) << 2];
    }
}

/* Bytes; each takes two dots. */
static void put_256(const struct vga_screen *screen, const u8 *planes, u32 *to)
{
    for (unsigned dot = 0; dot < 8; dot++)
        to[dot] = screen->dac[planes[dot / 2]];
}

static void graphics_line(const struct vga_screen *screen, u32 y, u32 *row)
{
    const struct vga *vga = screen->vga;
    struct vga_scan scan = vga_scan_at(vga, y);
    for (u32 n = 0; n <= screen->columns; n++) {
        const u8 *planes = planes_at(vga, &scan, n);
        if (vga->gc[GC_MODE] & GC_MODE_256)
            put_256(screen, planes, row + 8 * n);
        else if (vga->gc[GC_MODE] & GC_MODE_INTERLEAVE)
            put_interleaved(screen, planes, row + 8 * n);
        else
            put_planar(screen, planes, row + 8 * n);
    }
}

/* ---- The extension's modes ---- */

static u32 direct(const u8 *p, unsigned bpp)
{
    u32 v = (u32)p[0] | (u32)p[1] << 8;
    switch (bpp) {
    case 15:
        return pixel(widen(v >> 10 & 31, 5), widen(v >> 5 & 31, 5), widen(v & 31, 5));
    case 16:
        return pixel(widen(v >> 11 & 31, 5), widen(v >> 5 & 63, 6), widen(v & 31, 5));
    default:
        return v | (u32)p[2] << 16;
    }
}

/* Registers are in their ranges, so all of the line lies in video memory. */
static void dispi_line(const struct vga_screen *screen, u32 y, u32 *row)
{
    const struct vga *vga = screen->vga;
    const u16 *r = vga->dispi;
    const u8 *line = vga->memory + (u64)(y + r[DISPI_Y_OFFSET]) * vga_dispi_pitch(vga);
    u32 bytes = r[DISPI_BPP] == 15 ? 2 : r[DISPI_BPP] / 8u;
    for (u32 x = 0; x < screen->width; x++) {
        const u8 *p = line + (x + r[DISPI_X_OFFSET]) * bytes;
        row[x] = bytes == 1 ? screen->dac[*p] : direct(p, r[DISPI_BPP]);
    }
}

static void dispi_planar_line(const struct vga_screen *screen, u32 y, u32 *row)
{
    const struct vga *vga = screen->vga;
    const u16 *r = vga->dispi;
    const u8 *line = vga->memory + (u64)(y + r[DISPI_Y_OFFSET]) * vga_dispi_pitch(vga);
    u32 skip = r[DISPI_X_OFFSET] / 8u;
    for (u32 x = 0; x < screen->width; x += 8)
        put_planar(screen, line + 4 * (x / 8 + skip), row + x);
}

/* ---- The screen ---- */

static void dispi_screen(struct vga_screen *screen)
{
    const u16 *r = screen->vga->dispi;
    screen->width = r[DISPI_XRES];
    screen->height = r[DISPI_YRES];
    screen->line = r[DISPI_BPP] == 4 ? dispi_planar_line : dispi_line;
}

static void crtc_screen(struct vga_screen *screen)
{
    const struct vga *vga = screen->vga;
    bool text = vga_in_text(vga);
    screen->columns = vga->crtc[CRTC_HORIZONTAL_END] + 1u;
    screen->dots = !text || (vga->seq[SEQ_CLOCKING] & CLOCKING_8_DOTS) ? 8 : 9;
    screen->double_dots = vga->seq[SEQ_CLOCKING] & CLOCKING_HALF ? 1 : 0;
    screen->width = MIN(screen->columns * screen->dots << screen->double_dots, PICTURE_SIZE_MAX);
    screen->height = vga_vertical(vga, CRTC_VERTICAL_END) + 1;
    screen->line = text ? vga_text_line : graphics_line;
    if (vga->crtc[CRTC_HORIZONTAL_END])
        return;
    screen->line = NULL; /* nobody has set a mode */
    screen->width = UNSET_WIDTH;
    screen->height = UNSET_HEIGHT;
}

static struct vga_screen screen_of(const struct vga *vga)
{
    struct vga_screen screen = {.vga = vga, .frame = vga_frame(vga)};
    read_dac(&screen);
    read_palette(&screen);
    if (vga_dispi_on(vga))
        dispi_screen(&screen);
    else
        crtc_screen(&screen);
    bool off = !vga_dispi_on(vga) && (vga->seq[SEQ_CLOCKING] & CLOCKING_OFF);
    if (off || !(vga->attr_index & ATTR_INDEX_ON))
        screen.line = NULL;
    return screen;
}

/* Dots by which a line of a VGA mode moves to the left. */
static u32 pan_of(const struct vga_screen *screen, u32 y)
{
    if (vga_dispi_on(screen->vga))
        return 0;
    u32 pan = vga_scan_at(screen->vga, y).pan;
    if (screen->dots == 9)
        return pan < 8 ? pan + 1 : 0;
    return pan & 7;
}

static void draw_line(const struct vga_screen *screen, u32 y, u32 row[VGA_ROW_MAX])
{
    if (!screen->line) {
        memset(row, 0, screen->width * sizeof(*row));
        return;
    }
    screen->line(screen, y, row);
    u32 pan = pan_of(screen, y);
    if (pan)
        memmove(row, row + pan, screen->columns * screen->dots * sizeof(*row));
    if (screen->double_dots)
        for (u32 x = screen->width; x-- > 0;)
            row[x] = row[x / 2];
}

bool vga_render(const struct vga *vga, struct picture *picture)
{
    struct vga_screen screen = screen_of(vga);
    u32 row[VGA_ROW_MAX];
    bool changed = picture_resize(picture, screen.width, screen.height);
    for (u32 y = 0; y < screen.height; y++) {
        draw_line(&screen, y, row);
        changed |= picture_put_row(picture, y, row);
    }
    return changed;
}
