/* SPDX-License-Identifier: MIT */
/* Text modes. Characters are in plane 0, attributes in plane 1, fonts in plane 2. */
#include <stdlib.h>

#include "base/alloc.h"
#include "devices/vga_state.h"

#define FONT_PLANE 2
#define CURSOR_OFF 0x20u
#define CURSOR_FRAMES 8 /* on, then off */
#define BLINK_FRAMES 16
#define BLINK 0x80u

/* How the cells of one scan line are drawn. */
struct text_line {
    const struct vga_screen *screen;
    u32 row;         /* scan line within the characters */
    u32 cursor;      /* plane address of its cell; UINT32_MAX: none on this line */
    u32 font[2];     /* plane addresses, by bit 3 of the attribute */
    u8 mode;         /* attribute mode control */
    bool underlined; /* this is the line that underlines monochrome characters */
};

bool vga_in_text(const struct vga *vga)
{
    return !vga_dispi_on(vga) && !(vga->gc[GC_MISC] & GC_MISC_GRAPHICS);
}

/* The eight fonts of a map select: the even ones come first in the register's order. */
static u32 font_address(u32 select)
{
    return (select & 3) << 14 | (select & 4) << 11;
}

static u32 cursor_at(const struct vga_screen *screen, u32 row)
{
    const u8 *crtc = screen->vga->crtc;
    u32 first = crtc[CRTC_CURSOR_START] & 0x1f, last = crtc[CRTC_CURSOR_END] & 0x1f;
    bool off = (crtc[CRTC_CURSOR_START] & CURSOR_OFF) || screen->frame / CURSOR_FRAMES % 2;
    if (off || row < first || row > last)
        return UINT32_MAX;
    u32 at = (u32)crtc[CRTC_CURSOR_HIGH] << 8 | crtc[CRTC_CURSOR_LOW];
    return (at + (crtc[CRTC_CURSOR_END] >> 5 & 3)) & VGA_PLANE_MASK;
}

static struct text_line line_of(const struct vga_screen *screen, u32 row)
{
    const struct vga *vga = screen->vga;
    u32 map = vga->seq[SEQ_FONT];
    return (struct text_line){
        .screen = screen,
        .row = row,
        .cursor = cursor_at(screen, row),
        .font = {font_address((map & 3) | (map >> 2 & 4)),
                 font_address((map >> 2 & 3) | (map >> 3 & 4))},
        .mode = vga->attr[ATTR_MODE],
        .underlined =
            (vga->attr[ATTR_MODE] & ATTR_MODE_MONO) && row == (vga->crtc[CRTC_UNDERLINE] & 0x1fu),
    };
}

/* Pixels of a cell from the left, in the high of nine bits. */
static u32 glyph(const struct text_line *line, u8 character, u8 attribute)
{
    u32 font = line->font[attribute >> 3 & 1];
    u32 at = (font + character * 32u + line->row) & VGA_PLANE_MASK;
    u32 bits = (u32)line->screen->vga->memory[4 * at + FONT_PLANE] << 1;
    if ((line->mode & ATTR_MODE_LINE_GRAPHICS) && (character & 0xe0) == 0xc0)
        bits |= bits >> 1 & 1;
    return bits;
}

static void draw_cell(const struct text_line *line, u32 address, u32 *to)
{
    const struct vga_screen *screen = line->screen;
    const u8 *cell = &screen->vga->memory[4 * (address & VGA_PLANE_MASK)];
    u8 attribute = cell[1];
    u32 bits = glyph(line, cell[0], attribute);
    u32 fore = attribute & 15u, back = attribute >> 4;
    if (line->underlined && (attribute & 7) == 1)
        bits = 0x1ff;
    if (line->mode & ATTR_MODE_BLINK) {
        back &= 7;
        if ((attribute & BLINK) && screen->frame / BLINK_FRAMES % 2)
            bits = 0;
    }
    if ((address & VGA_PLANE_MASK) == line->cursor)
        bits = 0x1ff;
    for (u32 dot = 0; dot < screen->dots; dot++)
        to[dot] = screen->palette[bits << dot & 0x100 ? fore : back];
}

void vga_text_line(const struct vga_screen *screen, u32 y, u32 *row)
{
    struct vga_scan scan = vga_scan_at(screen->vga, y);
    struct text_line line = line_of(screen, scan.row);
    for (u32 column = 0; column <= screen->columns; column++)
        draw_cell(&line, scan.address + column, row + column * screen->dots);
}

/* ---- As text ---- */

static const u16 low_symbols[33] = u" ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼";
static const u16 high_symbols[130] = u"⌂"
                                     u"ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒ"
                                     u"áíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐"
                                     u"└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀"
                                     u"αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ ";

static char *put_character(char *to, u8 c)
{
    u32 symbol = c < 0x20 ? low_symbols[c] : c < 0x7f ? c : high_symbols[c - 0x7f];
    if (symbol < 0x80) {
        *to++ = (char)symbol;
    } else if (symbol < 0x800) {
        *to++ = (char)(0xc0 | symbol >> 6);
        *to++ = (char)(0x80 | (symbol & 0x3f));
    } else {
        *to++ = (char)(0xe0 | symbol >> 12);
        *to++ = (char)(0x80 | (symbol >> 6 & 0x3f));
        *to++ = (char)(0x80 | (symbol & 0x3f));
    }
    return to;
}

static char *put_row(char *to, const struct vga *vga, u32 address)
{
    u32 columns = vga->crtc[CRTC_HORIZONTAL_END] + 1u;
    char *end = to; /* without trailing blanks */
    for (u32 n = 0; n < columns; n++) {
        u8 c = vga->memory[4 * ((address + n) & VGA_PLANE_MASK)];
        to = put_character(to, c);
        if (c != 0 && c != ' ' && c != 0xff)
            end = to;
    }
    *end++ = '\n';
    return end;
}

char *vga_text(const struct vga *vga)
{
    if (!vga_in_text(vga))
        return NULL;
    u32 lines = vga_vertical(vga, CRTC_VERTICAL_END) + 1;
    u32 columns = vga->crtc[CRTC_HORIZONTAL_END] + 1u;
    char *text = xalloc((size_t)lines * (3 * columns + 1) + 1), *to = text;
    u32 last = UINT32_MAX;
    for (u32 y = 0; y < lines; y++) {
        struct vga_scan scan = vga_scan_at(vga, y);
        if (scan.address != last)
            to = put_row(to, vga, scan.address);
        last = scan.address;
    }
    *to = 0;
    return text;
}
