/* SPDX-License-Identifier: MIT */
#include "devices/vga.h"

#include <stdio.h>
#include <string.h>

#include "devices/i440fx.h"
#include "devices/pci.h"
#include "tests/devices/harness.h"

#define VGA PCI_DEVFN(2, 0)
#define LFB UINT64_C(0xe0000000)
#define MMIO UINT64_C(0xfebf0000)
#define WHITE 0xffffff

static struct i440fx *chipset;
static struct vga *vga;
static struct picture picture;
static struct vga_config config;

static u32 config_get(u8 reg)
{
    bus_io_write(&h.bus, 0xcf8, 4, UINT32_C(0x80000000) | (u32)VGA << 8 | reg);
    return (u32)bus_io_read(&h.bus, 0xcfc, 4);
}

static void config_set(u8 reg, u32 value)
{
    bus_io_write(&h.bus, 0xcf8, 4, UINT32_C(0x80000000) | (u32)VGA << 8 | reg);
    bus_io_write(&h.bus, 0xcfc, 4, value);
}

static void *make(void)
{
    struct error err = {{0}};
    void *device = vga_class.create(&h.env, &config, &err);
    ck_assert_msg(device != NULL, "%s", err.text);
    vga_class.reset(device);
    return device;
}

/* 0xa0000 to 0xbffff belong to the bus, as after the chipset's reset; both BARs are mapped. */
static void begin(void)
{
    chipset = harness_make(&i440fx_class, NULL);
    h.env.pci = i440fx_pci(chipset);
    config = (struct vga_config){0};
    vga = make();
    config_set(0x10, (u32)LFB);
    config_set(0x18, (u32)MMIO);
    config_set(0x04, 2);
}

static void end(void)
{
    picture_free(&picture);
    vga_class.free(vga);
    harness_end(&i440fx_class, chipset);
}

/* ---- Access ---- */

static void indexed(u32 port, u8 index, u8 value)
{
    bus_io_write(&h.bus, port, 2, (u32)value << 8 | index);
}

static void seq(u8 index, u8 value)
{
    indexed(0x3c4, index, value);
}

static void gc(u8 index, u8 value)
{
    indexed(0x3ce, index, value);
}

static void crtc(u8 index, u8 value)
{
    indexed(0x3d4, index, value);
}

static void attr(u8 index, u8 value)
{
    in8(0x3da);
    out8(0x3c0, index);
    out8(0x3c0, value);
    out8(0x3c0, 0x20);
}

static void dispi(u16 index, u16 value)
{
    bus_io_write(&h.bus, 0x1ce, 2, index);
    bus_io_write(&h.bus, 0x1cf, 2, value);
}

static u16 dispi_get(u16 index)
{
    bus_io_write(&h.bus, 0x1ce, 2, index);
    return (u16)bus_io_read(&h.bus, 0x1d0, 2);
}

static void poke(u32 address, u8 value)
{
    bus_write(&h.bus, address, 1, value);
}

static u8 peek(u32 address)
{
    return (u8)bus_read(&h.bus, address, 1);
}

/* ---- Modes, as a BIOS would set them ---- */

struct mode {
    u8 misc;
    u8 seq[5]; /* from register 0 */
    u8 end, offset, total[2], vertical_end, retrace[2], overflow, scan, crtc_mode, underline;
    u8 gc_mode, gc_misc;
    u8 attr_mode;
};

static const struct mode text_80x25 = {.misc = 0x67,
                                       .seq = {3, 0, 3, 0, 2},
                                       .end = 79,
                                       .offset = 40,
                                       .total = {0x5f, 0xbf},
                                       .vertical_end = 0x8f,
                                       .retrace = {0x9c, 0x8e},
                                       .overflow = 0x1f,
                                       .scan = 0x4f,
                                       .crtc_mode = 0xa3,
                                       .underline = 0x1f,
                                       .gc_mode = 0x10,
                                       .gc_misc = 0x0e,
                                       .attr_mode = 0x0c};
static const struct mode graphics_12h = {.misc = 0xe3,
                                         .seq = {3, 1, 15, 0, 6},
                                         .end = 79,
                                         .offset = 40,
                                         .total = {0x5f, 0x0b},
                                         .vertical_end = 0xdf,
                                         .retrace = {0xea, 0x8c},
                                         .overflow = 0x3e,
                                         .scan = 0x40,
                                         .crtc_mode = 0xe3,
                                         .gc_mode = 0,
                                         .gc_misc = 5,
                                         .attr_mode = 1};
static const struct mode graphics_13h = {.misc = 0x63,
                                         .seq = {3, 1, 15, 0, 14},
                                         .end = 79,
                                         .offset = 40,
                                         .total = {0x5f, 0xbf},
                                         .vertical_end = 0x8f,
                                         .retrace = {0x9c, 0x8e},
                                         .overflow = 0x1f,
                                         .scan = 0x41,
                                         .crtc_mode = 0xa3,
                                         .underline = 0x40,
                                         .gc_mode = 0x40,
                                         .gc_misc = 5,
                                         .attr_mode = 0x41};
static const struct mode graphics_4 = {.misc = 0x63,
                                       .seq = {3, 9, 3, 0, 2},
                                       .end = 39,
                                       .offset = 20,
                                       .total = {0x2d, 0xbf},
                                       .vertical_end = 0x8f,
                                       .retrace = {0x9c, 0x8e},
                                       .overflow = 0x1f,
                                       .scan = 0xc1,
                                       .crtc_mode = 0xa2,
                                       .gc_mode = 0x30,
                                       .gc_misc = 0x0f,
                                       .attr_mode = 1};
static const struct mode graphics_6 = {.misc = 0x63,
                                       .seq = {3, 1, 1, 0, 6},
                                       .end = 79,
                                       .offset = 40,
                                       .total = {0x5f, 0xbf},
                                       .vertical_end = 0x8f,
                                       .retrace = {0x9c, 0x8e},
                                       .overflow = 0x1f,
                                       .scan = 0xc1,
                                       .crtc_mode = 0xc2,
                                       .gc_mode = 0,
                                       .gc_misc = 0x0d,
                                       .attr_mode = 1};

static void set_mode(const struct mode *m)
{
    out8(0x3c2, m->misc);
    for (u8 n = 0; n < 5; n++)
        seq(n, m->seq[n]);
    crtc(0x11, 0);
    const u8 crtc_values[][2] = {
        {0, m->total[0]},  {1, m->end},           {6, m->total[1]},      {7, m->overflow},
        {9, m->scan},      {0x10, m->retrace[0]}, {0x11, m->retrace[1]}, {0x12, m->vertical_end},
        {0x13, m->offset}, {0x14, m->underline},  {0x17, m->crtc_mode},  {0x18, 0xff},
        {0x0a, 0x20}};
    for (size_t n = 0; n < ARRAY_SIZE(crtc_values); n++)
        crtc(crtc_values[n][0], crtc_values[n][1]);
    for (u8 n = 0; n < 9; n++)
        gc(n, 0);
    gc(5, m->gc_mode);
    gc(6, m->gc_misc);
    gc(7, 15);
    gc(8, 0xff);
    for (u8 n = 0; n < 16; n++)
        attr(n, n);
    attr(0x10, m->attr_mode);
    attr(0x12, 15);
    attr(0x13, m->attr_mode & 1 || m->seq[1] & 1 ? 0 : 8);
    attr(0x14, 0);
}

/* Colour n of the first 16 becomes 0x010101 * 17 * n; colour 15 is white. */
static void grey_palette(void)
{
    bus_io_write(&h.bus, 0x1ce, 2, 4);
    u16 old = (u16)bus_io_read(&h.bus, 0x1cf, 2);
    bus_io_write(&h.bus, 0x1cf, 2, old | 0x20);
    out8(0x3c8, 0);
    for (unsigned n = 0; n < 256; n++)
        for (unsigned k = 0; k < 3; k++)
            out8(0x3c9, (u8)(n < 16 ? 17 * n : n));
    out8(0x3c6, 0xff);
}

static u32 grey(u32 n)
{
    return (n < 16 ? 17 * n : n) * 0x010101;
}

static u32 at(u32 x, u32 y)
{
    ck_assert(x < picture.width && y < picture.height);
    return picture.pixel[y * picture.width + x];
}

static void draw(u32 width, u32 height)
{
    vga_render(vga, &picture);
    ck_assert_uint_eq(picture.width, width);
    ck_assert_uint_eq(picture.height, height);
}

/* The dots of a glyph, from the left: '#' colour `fore`, '.' colour `back`. */
static void expect_row(u32 x, u32 y, const char *dots, u32 fore, u32 back)
{
    for (u32 n = 0; dots[n]; n++)
        ck_assert_msg(at(x + n, y) == grey(dots[n] == '#' ? fore : back), "(%u, %u): %06x", x + n,
                      y, at(x + n, y));
}

static void load_glyph(u32 font, u8 character, u8 first, u8 second)
{
    seq(2, 4);
    seq(4, 6);
    gc(5, 0);
    gc(6, 4);
    poke(0xa0000 + font + character * 32, first);
    poke(0xa0001 + font + character * 32, second);
    seq(2, 3);
    seq(4, 2);
    gc(5, 0x10);
    gc(6, 14);
}

static void put_cell(u32 n, u8 character, u8 attribute)
{
    bus_write(&h.bus, 0xb8000 + 2 * n, 2, (u32)attribute << 8 | character);
}

/* ---- Text ---- */

START_TEST(text)
{
    begin();
    set_mode(&text_80x25);
    grey_palette();
    load_glyph(0, 'A', 0x18, 0x81);
    load_glyph(0, 0xc4, 0xff, 0x01);
    put_cell(0, 'A', 0x1f);
    put_cell(81, 'A', 0x07);
    put_cell(1, 0xc4, 0x07);
    draw(720, 400);
    expect_row(0, 0, "...##....", 15, 1);
    expect_row(0, 1, "#......#.", 15, 1);
    expect_row(9, 0, "#########", 7, 0);
    expect_row(9, 1, ".......##", 7, 0);
    expect_row(9, 16, "...##....", 7, 0);
    attr(0x10, 0x08); /* no ninth dot */
    vga_render(vga, &picture);
    expect_row(9, 0, "########.", 7, 0);
    seq(1, 1); /* 8 dots */
    attr(0x13, 0);
    draw(640, 400);
    expect_row(8, 1, ".......#", 7, 0);
    seq(1, 9); /* 40 columns, doubled */
    crtc(0x11, 0x0e);
    crtc(1, 39);
    draw(640, 400);
    expect_row(0, 1, "##............##", 15, 1);
    char *text = vga_text(vga);
    ck_assert_int_eq(strncmp(text, "A─\n", 5), 0);
    free(text);
    end();
}
END_TEST

START_TEST(text_as_utf8)
{
    begin();
    set_mode(&text_80x25);
    put_cell(0, 'H', 7);
    put_cell(1, 1, 7);
    put_cell(3, 0xe3, 7);
    put_cell(4, 0xfe, 7);
    put_cell(80 * 24 + 79, '!', 7);
    char *text = vga_text(vga);
    ck_assert_int_eq(strncmp(text, "H☺ π■\n\n", strlen("H☺ π■\n\n")), 0);
    unsigned lines = 0;
    for (const char *p = text; *p; p++)
        lines += *p == '\n';
    ck_assert_uint_eq(lines, 25);
    ck_assert_str_eq(text + strlen(text) - 2, "!\n");
    free(text);
    set_mode(&graphics_12h);
    ck_assert_ptr_null(vga_text(vga));
    end();
}
END_TEST

START_TEST(two_fonts)
{
    begin();
    set_mode(&text_80x25);
    grey_palette();
    load_glyph(0, 'A', 0x80, 0);
    load_glyph(0x2000, 'A', 0x01, 0);
    put_cell(0, 'A', 0x07);
    put_cell(1, 'A', 0x0f);
    seq(3, 0x20); /* bit 3 of the attribute clear: font 0; set: font 4 */
    attr(0x12, 7);
    draw(720, 400);
    expect_row(0, 0, "#........", 7, 0);
    expect_row(9, 0, ".......#.", 7, 0);
    seq(3, 0x10);
    vga_render(vga, &picture);
    expect_row(0, 0, ".......#.", 7, 0);
    expect_row(9, 0, "#........", 7, 0);
    end();
}
END_TEST

/* 449 lines of 900 dots at 28.322 MHz: 14.27 ms a frame. */
#define FRAME UINT64_C(14268060)

START_TEST(cursor_and_blinking)
{
    begin();
    set_mode(&text_80x25);
    grey_palette();
    load_glyph(0, 'A', 0xff, 0xff);
    put_cell(0, 'A', 0x87);
    put_cell(2, ' ', 0x07);
    crtc(0x0a, 13);
    crtc(0x0b, 14);
    crtc(0x0f, 2);
    draw(720, 400);
    expect_row(18, 12, ".........", 7, 0);
    expect_row(18, 13, "#########", 7, 0);
    expect_row(18, 14, "#########", 7, 0);
    expect_row(18, 15, ".........", 7, 0);
    expect_row(0, 0, "########.", 7, 0);
    ck_assert(!vga_render(vga, &picture));
    run_to(8 * FRAME + 1000);
    ck_assert(vga_render(vga, &picture));
    expect_row(18, 13, ".........", 7, 0);
    expect_row(0, 0, "########.", 7, 0);
    run_to(16 * FRAME + 1000);
    vga_render(vga, &picture);
    expect_row(18, 13, "#########", 7, 0);
    expect_row(0, 0, ".........", 7, 0);
    attr(0x10, 4); /* bit 7 is a bright background */
    vga_render(vga, &picture);
    expect_row(0, 0, "########.", 7, 8);
    crtc(0x0a, 0x20 | 13);
    vga_render(vga, &picture);
    expect_row(18, 13, ".........", 7, 0);
    end();
}
END_TEST

START_TEST(monochrome_underlines)
{
    begin();
    set_mode(&text_80x25);
    grey_palette();
    attr(0x10, 0x0e);
    crtc(0x14, 12);
    put_cell(0, ' ', 1);
    put_cell(1, ' ', 7);
    draw(720, 400);
    expect_row(0, 12, "#########.........", 1, 0);
    expect_row(0, 11, "..................", 1, 0);
    end();
}
END_TEST

START_TEST(scrolling_panning_and_split_screen)
{
    begin();
    set_mode(&text_80x25);
    grey_palette();
    load_glyph(0, 'A', 0x80, 0x40);
    put_cell(0, 'A', 7);
    put_cell(80, 'A', 15);
    crtc(0x0d, 80);
    vga_render(vga, &picture);
    expect_row(0, 0, "#...", 15, 0);
    crtc(0x08, 1); /* from the second scan line */
    vga_render(vga, &picture);
    expect_row(0, 0, ".#..", 15, 0);
    crtc(0x08, 0);
    put_cell(81, 'A', 7);
    attr(0x13, 1); /* two dots to the left */
    vga_render(vga, &picture);
    expect_row(0, 0, ".......#..", 7, 0);
    crtc(0x18, 99);
    crtc(0x09, 0x0f);
    crtc(0x11, 0x0e); /* without protection */
    crtc(0x07, 0x0f);
    vga_render(vga, &picture);
    expect_row(0, 100, "........", 15, 0); /* address 0, panned as well */
    attr(0x10, 0x2c);
    vga_render(vga, &picture);
    expect_row(0, 100, "#.......", 7, 0);
    expect_row(0, 0, ".......#..", 7, 0);
    end();
}
END_TEST

/* ---- Graphics ---- */

START_TEST(planar)
{
    begin();
    set_mode(&graphics_12h);
    grey_palette();
    for (u8 n = 0; n < 4; n++) {
        seq(2, (u8)(1u << n));
        poke(0xa0000 + 80, (u8)(0x80 >> n));
    }
    seq(2, 15);
    poke(0xa0001 + 80, 0x0f);
    draw(640, 480);
    ck_assert_uint_eq(at(0, 1), grey(1));
    ck_assert_uint_eq(at(1, 1), grey(2));
    ck_assert_uint_eq(at(2, 1), grey(4));
    ck_assert_uint_eq(at(3, 1), grey(8));
    ck_assert_uint_eq(at(4, 1), 0);
    ck_assert_uint_eq(at(11, 1), 0);
    ck_assert_uint_eq(at(12, 1), WHITE);
    attr(0x12, 7); /* without plane 3 */
    vga_render(vga, &picture);
    ck_assert_uint_eq(at(3, 1), 0);
    ck_assert_uint_eq(at(12, 1), grey(7));
    attr(0x10, 0x81); /* bits 4 to 7 of the index from the colour select */
    attr(0x14, 0x0e);
    vga_render(vga, &picture);
    ck_assert_uint_eq(at(0, 1), grey(0xe1));
    attr(0x13, 3);
    vga_render(vga, &picture);
    ck_assert_uint_eq(at(9, 1), grey(0xe7));
    end();
}
END_TEST

START_TEST(bytes_chained_and_not)
{
    begin();
    set_mode(&graphics_13h);
    grey_palette();
    for (u32 n = 0; n < 8; n++)
        poke(0xa0000 + 320 * 199 + 312 + n, (u8)(0x80 + n));
    draw(640, 400);
    for (u32 n = 0; n < 8; n++) {
        ck_assert_uint_eq(at(624 + 2 * n, 398), grey(0x80 + n));
        ck_assert_uint_eq(at(625 + 2 * n, 399), grey(0x80 + n));
    }
    /* Mode X: planes apart; the picture stays. */
    seq(4, 6);
    crtc(0x14, 0);
    crtc(0x17, 0xe3);
    ck_assert(!vga_render(vga, &picture));
    seq(2, 4);
    poke(0xa0000, 0x55);
    vga_render(vga, &picture);
    ck_assert_uint_eq(at(4, 0), grey(0x55));
    ck_assert_uint_eq(at(2, 0), 0);
    gc(4, 2);
    ck_assert_uint_eq(peek(0xa0000), 0x55);
    crtc(0x0d, 1); /* four pixels to the left */
    vga_render(vga, &picture);
    ck_assert_uint_eq(at(624, 398), grey(0x84));
    ck_assert_uint_eq(bus_read(&h.bus, LFB + 2, 1), 0x55);
    end();
}
END_TEST

START_TEST(cga_modes)
{
    begin();
    set_mode(&graphics_4);
    grey_palette();
    poke(0xb8000, 0x1b);      /* line 0: 0 1 2 3 */
    poke(0xb8001, 0xc0);      /* then 3 0 0 0 */
    poke(0xba000, 0xe4);      /* line 1: 3 2 1 0 */
    poke(0xb8000 + 80, 0xff); /* line 2 */
    draw(640, 400);
    for (u32 n = 0; n < 4; n++) {
        ck_assert_uint_eq(at(2 * n, 0), grey(n));
        ck_assert_uint_eq(at(2 * n + 1, 1), grey(n));
        ck_assert_uint_eq(at(2 * n, 2), grey(3 - n));
        ck_assert_uint_eq(at(2 * n, 4), grey(3));
    }
    ck_assert_uint_eq(at(8, 0), grey(3));
    ck_assert_uint_eq(at(10, 0), 0);
    set_mode(&graphics_6);
    attr(0x12, 1);
    grey_palette();
    for (u32 n = 0; n < 0x4000; n++)
        poke(0xb8000 + n, 0);
    poke(0xb8000, 0xa0);
    poke(0xba000 + 79, 0x01);
    draw(640, 400);
    ck_assert_uint_eq(at(0, 0), grey(1));
    ck_assert_uint_eq(at(1, 0), 0);
    ck_assert_uint_eq(at(2, 1), grey(1));
    ck_assert_uint_eq(at(639, 2), grey(1));
    ck_assert_uint_eq(at(639, 3), grey(1));
    ck_assert_uint_eq(at(639, 4), 0);
    end();
}
END_TEST

START_TEST(blank_screens)
{
    begin();
    draw(640, 480); /* no mode */
    ck_assert_uint_eq(at(0, 0), 0);
    set_mode(&graphics_13h);
    grey_palette();
    poke(0xa0000, 15);
    draw(640, 400);
    ck_assert_uint_eq(at(0, 0), WHITE);
    in8(0x3da);
    out8(0x3c0, 0);
    vga_render(vga, &picture);
    ck_assert_uint_eq(at(0, 0), 0);
    out8(0x3c0, 0x00);
    in8(0x3da);
    out8(0x3c0, 0x20);
    seq(1, 0x21);
    vga_render(vga, &picture);
    ck_assert_uint_eq(at(0, 0), 0);
    seq(1, 1);
    vga_render(vga, &picture);
    ck_assert_uint_eq(at(0, 0), WHITE);
    end();
}
END_TEST

/* ---- The window ---- */

static void planes_are(u32 offset, u32 expected)
{
    ck_assert_uint_eq(bus_read(&h.bus, LFB + 4 * offset, 4), expected);
}

START_TEST(write_modes)
{
    begin();
    set_mode(&graphics_12h);
    poke(0xa0000, 0xa5);
    planes_are(0, 0xa5a5a5a5);
    gc(3, 3); /* rotated */
    poke(0xa0000, 0x81);
    planes_are(0, 0x30303030);
    gc(3, 0);
    gc(1, 5); /* set/reset for planes 0 and 2 */
    gc(0, 4);
    poke(0xa0001, 0x12);
    planes_are(1, 0x12ff1200);
    gc(1, 0);
    bus_write(&h.bus, LFB + 8, 4, 0x44332211);
    ck_assert_uint_eq(peek(0xa0002), 0x11); /* fills the latches */
    gc(8, 0x0f);
    poke(0xa0003, 0xff);
    planes_are(3, 0x4f3f2f1f);
    static const u32 combined[4] = {0xc3c3c3c3, 0x40030201, 0xc7f3e3d3, 0x87f0e1d2};
    for (u8 n = 0; n < 4; n++) {
        gc(8, 0xff);
        gc(3, (u8)(n << 3));
        peek(0xa0002);
        poke(0xa0004, 0xc3);
        planes_are(4, combined[n]);
    }
    gc(3, 0);
    gc(5, 1);
    seq(2, 0xe);
    poke(0xa0005, 0x99); /* the latches, without plane 0 */
    planes_are(5, 0x44332200);
    seq(2, 15);
    gc(5, 2);
    gc(8, 0x81);
    poke(0xa0006, 0x6); /* a colour */
    planes_are(6, 0x44b3a310);
    gc(5, 3);
    gc(8, 0xf0);
    gc(0, 0x9);
    poke(0xa0007, 0x3c); /* mask 0x30, colour 9 */
    planes_are(7, 0x74030231);
    end();
}
END_TEST

START_TEST(read_modes)
{
    begin();
    set_mode(&graphics_12h);
    bus_write(&h.bus, LFB, 4, 0x44332211);
    for (u8 n = 0; n < 4; n++) {
        gc(4, n);
        ck_assert_uint_eq(peek(0xa0000), 0x11 * (n + 1));
    }
    gc(5, 8);
    gc(2, 1);
    /* Colour 1: plane 0 set, the others clear. */
    ck_assert_uint_eq(peek(0xa0000), 0x11 & ~0x22 & ~0x33 & ~0x44);
    gc(7, 1); /* only plane 0 matters */
    ck_assert_uint_eq(peek(0xa0000), 0x11);
    gc(7, 0);
    ck_assert_uint_eq(peek(0xa0000), 0xff);
    end();
}
END_TEST

START_TEST(memory_maps)
{
    static const struct {
        u32 base, size;
    } maps[4] = {{0xa0000, 0x20000}, {0xa0000, 0x10000}, {0xb0000, 0x8000}, {0xb8000, 0x8000}};
    begin();
    set_mode(&graphics_12h);
    bus_write(&h.bus, LFB, 1, 0x5a);
    for (u8 n = 0; n < 4; n++) {
        gc(6, (u8)(n << 2 | 1));
        for (u32 a = 0xa0000; a < 0xc0000; a += 0x8000) {
            bool inside = a >= maps[n].base && a - maps[n].base < maps[n].size;
            bool first = inside && (a - maps[n].base) % 0x10000 == 0;
            ck_assert_uint_eq(peek(a), first ? 0x5a : inside ? 0 : 0xff);
        }
    }
    out8(0x3c2, 0xe1); /* the processor has no access */
    ck_assert_uint_eq(peek(0xb8000), 0xff);
    poke(0xb8000, 1);
    ck_assert_uint_eq(bus_read(&h.bus, LFB, 1), 0x5a);
    end();
}
END_TEST

/* ---- Registers ---- */

START_TEST(attribute_flip_flop)
{
    begin();
    out8(0x3c2, 1);
    in8(0x3da);
    out8(0x3c0, 3);
    out8(0x3c0, 0x2a);
    out8(0x3c0, 3);
    ck_assert_uint_eq(in8(0x3c1), 0x2a);
    in8(0x3da);
    out8(0x3c0, 4);
    ck_assert_uint_eq(in8(0x3c1), 0);
    ck_assert_uint_eq(in8(0x3ba), 0xff); /* the monochrome place is empty */
    out8(0x3c2, 0);
    ck_assert_uint_eq(in8(0x3da), 0xff);
    out8(0x3b4, 0x0f);
    out8(0x3b5, 0x77);
    ck_assert_uint_eq(in8(0x3b5), 0x77);
    end();
}
END_TEST

START_TEST(protected_registers)
{
    begin();
    out8(0x3c2, 1);
    crtc(0, 0x5f);
    crtc(0x11, 0x80);
    crtc(0, 0x11);
    crtc(7, 0xff);
    out8(0x3d4, 0);
    ck_assert_uint_eq(in8(0x3d5), 0x5f);
    out8(0x3d4, 7);
    ck_assert_uint_eq(in8(0x3d5), 0x10);
    end();
}
END_TEST

START_TEST(dac)
{
    begin();
    out8(0x3c8, 5);
    out8(0x3c9, 0xff);
    out8(0x3c9, 0x20);
    out8(0x3c7, 5);
    ck_assert_uint_eq(in8(0x3c7), 3);
    ck_assert_uint_eq(in8(0x3c9), 0); /* not before the third component */
    out8(0x3c8, 5);
    ck_assert_uint_eq(in8(0x3c7), 0);
    out8(0x3c9, 0xff);
    out8(0x3c9, 0x20);
    out8(0x3c9, 0x01);
    ck_assert_uint_eq(in8(0x3c8), 6);
    out8(0x3c7, 5);
    ck_assert_uint_eq(in8(0x3c9), 0x3f);
    ck_assert_uint_eq(in8(0x3c9), 0x20);
    ck_assert_uint_eq(in8(0x3c9), 0x01);
    set_mode(&graphics_13h);
    out8(0x3c6, 5);
    poke(0xa0000, 0xf5);
    vga_render(vga, &picture);
    ck_assert_uint_eq(at(0, 0), 0xff8204);
    end();
}
END_TEST

START_TEST(retrace_follows_the_clock)
{
    begin();
    set_mode(&text_80x25);
    unsigned blank = 0, retrace = 0, begins = 0, last = 0;
    for (u64 n = 0; n < 10 * FRAME; n += 10 * MICROSECOND) {
        run_to(n);
        u8 status = in8(0x3da);
        blank += status & 1;
        retrace += status >> 3 & 1;
        begins += (status & 8) && !last;
        last = status & 8;
    }
    unsigned all = (unsigned)(10 * FRAME / (10 * MICROSECOND));
    ck_assert_uint_eq(begins, 10);
    /* 2 of 449 lines; all but 400 lines of 720 of 900 dots */
    ck_assert(retrace > all * 3 / 1000 && retrace < all * 6 / 1000);
    ck_assert(blank > all * 27 / 100 && blank < all * 31 / 100);
    end();
}
END_TEST

START_TEST(unset_crtc_has_retraces)
{
    begin();
    out8(0x3c2, 1);
    u8 seen = 0, missed = 0;
    for (u64 n = 0; n < 20 * MILLISECOND; n += 20 * MICROSECOND) {
        run_to(n);
        seen |= in8(0x3da);
        missed |= (u8)~in8(0x3da);
    }
    ck_assert_uint_eq(seen & missed & 9, 9);
    end();
}
END_TEST

/* ---- DISPI ---- */

static void dispi_mode(u16 width, u16 height, u16 bpp)
{
    out8(0x3c2, 0x63);
    in8(0x3da);
    out8(0x3c0, 0x20);
    dispi(4, 0);
    dispi(1, width);
    dispi(2, height);
    dispi(3, bpp);
    dispi(4, 0x41);
}

START_TEST(dispi_registers)
{
    begin();
    ck_assert_uint_eq(dispi_get(0), 0xb0c5);
    dispi(0, 0xb0c2);
    ck_assert_uint_eq(dispi_get(0), 0xb0c2);
    dispi(0, 0x1234);
    ck_assert_uint_eq(dispi_get(0), 0xb0c2);
    ck_assert_uint_eq(dispi_get(10), 256);
    dispi(4, 2);
    ck_assert_uint_eq(dispi_get(1), 2560);
    ck_assert_uint_eq(dispi_get(2), 1600);
    ck_assert_uint_eq(dispi_get(3), 32);
    dispi_mode(1027, 768, 32);
    ck_assert_uint_eq(dispi_get(1), 1024);
    ck_assert_uint_eq(dispi_get(6), 1024);
    ck_assert_uint_eq(dispi_get(7), 4096);
    dispi(6, 2048);
    ck_assert_uint_eq(dispi_get(7), 2048);
    dispi(8, 5000);
    dispi(9, 5000);
    ck_assert_uint_eq(dispi_get(8), 1024);
    ck_assert_uint_eq(dispi_get(9), 2048 - 768);
    /* The same through BAR 2, words and double words. */
    ck_assert_uint_eq(bus_read(&h.bus, MMIO + 0x500, 2), 0xb0c2);
    ck_assert_uint_eq(bus_read(&h.bus, MMIO + 0x502, 4), 768 << 16 | 1024);
    bus_write(&h.bus, MMIO + 0x50c, 2, 1600);
    ck_assert_uint_eq(dispi_get(6), 1600);
    ck_assert_uint_eq(bus_read(&h.bus, MMIO + 0x600, 4), 8);
    ck_assert_uint_eq(bus_read(&h.bus, MMIO + 0x604, 4), 0x1e1e1e1e);
    bus_write(&h.bus, MMIO + 0x40e, 2, 0x5a08); /* graphics controller */
    ck_assert_uint_eq(bus_read(&h.bus, MMIO + 0x40f, 1), 0x5a);
    dispi_mode(0xffff, 0xffff, 99);
    ck_assert_uint_eq(dispi_get(1), 2560);
    ck_assert_uint_eq(dispi_get(2), 1600);
    ck_assert_uint_eq(dispi_get(3), 8);
    end();
}
END_TEST

START_TEST(dispi_depths)
{
    static const struct {
        u16 bpp;
        u64 value, expected;
        unsigned bytes;
    } depths[] = {
        {8, 0x80, 0x808080, 1},    {15, 0x7c1f, 0xff00ff, 2},   {16, 0x07e0, 0x00ff00, 2},
        {16, 0x8410, 0x848284, 2}, {24, 0x123456, 0x123456, 3}, {32, 0xff654321, 0x654321, 4},
    };
    begin();
    for (size_t n = 0; n < ARRAY_SIZE(depths); n++) {
        dispi_mode(800, 600, depths[n].bpp);
        grey_palette();
        u64 place = LFB + (800 * 3 + 5) * depths[n].bytes;
        for (unsigned k = 0; k < depths[n].bytes; k++)
            bus_write(&h.bus, place + k, 1, depths[n].value >> (8 * k));
        draw(800, 600);
        ck_assert_uint_eq(at(5, 3), depths[n].expected);
        ck_assert_uint_eq(at(4, 3), 0);
        ck_assert_uint_eq(at(6, 3), 0);
    }
    dispi_mode(800, 600, 4);
    for (u8 n = 0; n < 16; n++)
        attr(n, n);
    attr(0x10, 1);
    attr(0x12, 15);
    grey_palette();
    bus_write(&h.bus, LFB + 4 * (100 * 3 + 1), 4, 0x80008080);
    draw(800, 600);
    ck_assert_uint_eq(at(8, 3), grey(11));
    ck_assert_uint_eq(at(9, 3), 0);
    end();
}
END_TEST

START_TEST(dispi_scrolls_banks_and_clears)
{
    begin();
    dispi_mode(640, 480, 32);
    gc(6, 5);
    dispi(6, 1280);
    dispi(8, 8);
    dispi(9, 16);
    bus_write(&h.bus, LFB + (1280 * 16 + 8) * 4, 4, WHITE);
    draw(640, 480);
    ck_assert_uint_eq(at(0, 0), WHITE);
    dispi(5, 1); /* bank 1 is offset 64 KiB: line 16 begins at 81920 */
    ck_assert_uint_eq(peek(0xa0000 + 81920 - 65536 + 32), 0xff);
    poke(0xa0000 + 81920 - 65536 + 36, 0x7f);
    vga_render(vga, &picture);
    ck_assert_uint_eq(at(1, 0), 0x7f);
    dispi(4, 0);
    dispi(4, 0x81); /* not cleared */
    ck_assert_uint_eq(bus_read(&h.bus, LFB + (1280 * 16 + 8) * 4, 4), WHITE);
    dispi(4, 0);
    dispi(4, 1);
    ck_assert_uint_eq(bus_read(&h.bus, LFB + (1280 * 16 + 8) * 4, 4), 0);
    end();
}
END_TEST

/* ---- PCI, snapshots, hostile guests ---- */

START_TEST(bars_move)
{
    begin();
    ck_assert_uint_eq(config_get(0), 0x11111234);
    ck_assert_uint_eq(config_get(8), 0x03000002);
    config_set(0x10, 0xffffffff);
    ck_assert_uint_eq(config_get(0x10), 0xff000008);
    config_set(0x10, 0xd0000000);
    bus_write(&h.bus, 0xd0000000 + 16 * MIB - 4, 4, 0x12345678);
    config_set(0x10, 0xc0000000);
    ck_assert_uint_eq(bus_read(&h.bus, 0xd0000000 + 16 * MIB - 4, 4), 0xffffffff);
    ck_assert_uint_eq(bus_read(&h.bus, 0xc0000000 + 16 * MIB - 4, 4), 0x12345678);
    config_set(0x04, 0);
    ck_assert_uint_eq(bus_read(&h.bus, 0xc0000000, 4), 0xffffffff);
    ck_assert_uint_eq(config_get(0x30), 0);
    end();
}
END_TEST

START_TEST(rom)
{
    char path[] = "vga-rom-test-XXXXXX";
    u8 bytes[5000] = {0x55, 0xaa, 10};
    struct error err = {{0}};
    FILE *f = fdopen(mkstemp(path), "wb");
    ck_assert(fwrite(bytes, 1, sizeof(bytes), f) == sizeof(bytes) && !fclose(f));
    begin();
    vga_class.free(vga);
    config.rom = path;
    vga = make();
    config_set(0x30, 0xffffffff);
    ck_assert_uint_eq(config_get(0x30), 0xffffe001);
    config_set(0x30, 0xfe000001);
    config_set(0x04, 2);
    ck_assert_uint_eq(bus_read(&h.bus, 0xfe000000, 4), 0x0aaa55);
    ck_assert_uint_eq(bus_read(&h.bus, 0xfe000000 + 5000, 4), 0xffffffff);
    vga = harness_reload(&vga_class, vga, &config);
    vga_class.free(vga);
    unlink(path);
    ck_assert_ptr_null(vga_class.create(&h.env, &config, &err));
    ck_assert(strstr(err.text, path));
    harness_end(&i440fx_class, chipset);
}
END_TEST

START_TEST(saved_and_loaded)
{
    struct picture before = {0};
    begin();
    set_mode(&text_80x25);
    grey_palette();
    load_glyph(0, 'A', 0x18, 0x81);
    put_cell(7, 'A', 0x1f);
    run_to(3 * FRAME);
    vga_render(vga, &before);
    out8(0x3c8, 3);
    out8(0x3c9, 1);
    vga = harness_reload(&vga_class, vga, &config);
    vga_render(vga, &picture);
    ck_assert_uint_eq(picture.width, before.width);
    ck_assert_uint_eq(picture.height, before.height);
    ck_assert(!memcmp(picture.pixel, before.pixel, 720 * 400 * sizeof(u32)));
    picture_free(&before);
    out8(0x3c9, 2);
    out8(0x3c9, 3);
    out8(0x3c7, 3);
    ck_assert_uint_eq(in8(0x3c9), 1);
    end();
}
END_TEST

static u32 random32(void)
{
    static u64 seed = 1;
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (u32)(seed >> 32);
}

static void random_access(void)
{
    static const u16 ports[] = {0x3b4, 0x3ba, 0x3c0, 0x3c4, 0x3c8, 0x3ce, 0x3d4, 0x3da, 0x3c2};
    u32 r = random32(), v = random32();
    unsigned size = 1u << (r >> 4) % 3;
    switch (r & 15) {
    case 0:
        dispi((u16)(r >> 8 & 15), (u16)v);
        break;
    case 1:
        dispi(4, (u16)(v & 0xe3));
        break;
    case 2:
        bus_write(&h.bus, MMIO + (r >> 8 & 0xffc), size, v);
        bus_read(&h.bus, MMIO + (r >> 8 & 0xffc), size);
        break;
    case 3:
        bus_write(&h.bus, LFB + (v & 0xfffffc), size, r);
        break;
    case 4:
    case 5:
    case 6:
        bus_write(&h.bus, 0xa0000 + (v & 0x1fff8), 8, r * UINT64_C(0x100000001));
        break;
    case 7:
    case 8:
        bus_read(&h.bus, 0xa0000 + (v & 0x1fff8), 8);
        break;
    case 9:
        config_set((u8)(r >> 8 & 0x3c), v);
        config_set(0x10, (u32)LFB);
        config_set(0x18, (u32)MMIO);
        config_set(0x04, 2);
        break;
    case 10:
        bus_io_read(&h.bus, ports[(r >> 8) % ARRAY_SIZE(ports)], size);
        break;
    default:
        bus_io_write(&h.bus, ports[(r >> 8) % ARRAY_SIZE(ports)], size, v);
    }
}

START_TEST(any_accesses_do_no_harm)
{
    begin();
    log_mask = 0;
    for (unsigned n = 0; n < 200000; n++) {
        random_access();
        h.clock.now += random32() >> 8;
        if (n % 2000 == 0) {
            vga_render(vga, &picture);
            free(vga_text(vga));
        }
        if (n == 100000)
            vga = harness_reload(&vga_class, vga, &config);
    }
    end();
}
END_TEST

SUITE_MAIN("vga", &text, &text_as_utf8, &two_fonts, &cursor_and_blinking, &monochrome_underlines,
           &scrolling_panning_and_split_screen, &planar, &bytes_chained_and_not, &cga_modes,
           &blank_screens, &write_modes, &read_modes, &memory_maps, &attribute_flip_flop,
           &protected_registers, &dac, &retrace_follows_the_clock, &unset_crtc_has_retraces,
           &dispi_registers, &dispi_depths, &dispi_scrolls_banks_and_clears, &bars_move, &rom,
           &saved_and_loaded, &any_accesses_do_no_harm)
