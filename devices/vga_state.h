/* SPDX-License-Identifier: MIT */
/*
 * The display's state and what its files offer each other.
 *
 * Video memory is one array. Byte `plane` of plane address `a` lies at 4 * a + plane, so the four
 * planes of one address are neighbours, and byte n of the linear framebuffer is plane n % 4 at n / 4.
 * In this order the processor's chain-4 addresses are linear, its odd/even addresses go in steps of
 * two planes, and the CRTC's byte, word and doubleword modes are one: its counter is the plane
 * address.
 */
#ifndef DEVICES_VGA_STATE_H
#define DEVICES_VGA_STATE_H

#include "devices/pci.h"
#include "devices/vga.h"

#define VGA_MEMORY (16 * MIB)
#define VGA_PLANE_MASK 0xffffu /* plane addresses of a VGA: 64 KiB */

enum { SEQ_RESET, SEQ_CLOCKING, SEQ_MAP_MASK, SEQ_FONT, SEQ_MEMORY, SEQ_COUNT };
#define CLOCKING_8_DOTS 0x01u
#define CLOCKING_HALF 0x08u
#define CLOCKING_OFF 0x20u
#define SEQ_MEMORY_PLANAR 0x04u /* no odd/even addressing */
#define SEQ_MEMORY_CHAIN4 0x08u

enum {
    CRTC_HORIZONTAL_TOTAL = 0x00,
    CRTC_HORIZONTAL_END = 0x01,
    CRTC_VERTICAL_TOTAL = 0x06,
    CRTC_OVERFLOW = 0x07,
    CRTC_PRESET_ROW = 0x08,
    CRTC_MAXIMUM_SCAN = 0x09,
    CRTC_CURSOR_START = 0x0a,
    CRTC_CURSOR_END = 0x0b,
    CRTC_START_HIGH = 0x0c,
    CRTC_START_LOW = 0x0d,
    CRTC_CURSOR_HIGH = 0x0e,
    CRTC_CURSOR_LOW = 0x0f,
    CRTC_RETRACE_START = 0x10,
    CRTC_RETRACE_END = 0x11,
    CRTC_VERTICAL_END = 0x12,
    CRTC_OFFSET = 0x13,
    CRTC_UNDERLINE = 0x14,
    CRTC_MODE = 0x17,
    CRTC_LINE_COMPARE = 0x18,
    CRTC_COUNT
};

enum {
    GC_SET_RESET,
    GC_ENABLE_SET_RESET,
    GC_COMPARE,
    GC_ROTATE,
    GC_READ_MAP,
    GC_MODE,
    GC_MISC,
    GC_DONT_CARE,
    GC_BIT_MASK,
    GC_COUNT
};
#define GC_MODE_ODD_EVEN 0x10u
#define GC_MODE_INTERLEAVE 0x20u
#define GC_MODE_256 0x40u
#define GC_MISC_GRAPHICS 0x01u

enum { ATTR_MODE = 0x10, ATTR_OVERSCAN, ATTR_PLANES, ATTR_PAN, ATTR_COLOUR, ATTR_COUNT };
#define ATTR_MODE_MONO 0x02u
#define ATTR_MODE_LINE_GRAPHICS 0x04u
#define ATTR_MODE_BLINK 0x08u
#define ATTR_MODE_PAN_COMPAT 0x20u
#define ATTR_MODE_P54 0x80u
#define ATTR_INDEX_ON 0x20u /* the screen shows something, not the palette's port */

enum {
    DISPI_ID,
    DISPI_XRES,
    DISPI_YRES,
    DISPI_BPP,
    DISPI_ENABLE,
    DISPI_BANK,
    DISPI_VIRT_WIDTH,
    DISPI_VIRT_HEIGHT,
    DISPI_X_OFFSET,
    DISPI_Y_OFFSET,
    DISPI_MEMORY_64K,
    DISPI_COUNT
};
#define DISPI_ENABLED 0x01u
#define DISPI_GETCAPS 0x02u
#define DISPI_8BIT_DAC 0x20u
#define DISPI_NO_CLEAR 0x80u

struct vga {
    const struct device_env *env;
    struct pci_device pci;
    u8 *memory; /* VGA_MEMORY bytes */
    u8 *rom;    /* NULL: none */
    u64 rom_size;
    u8 misc, feature;
    u8 seq_index, crtc_index, gc_index, attr_index;
    bool attr_data; /* the next write to the attribute port is data */
    u8 seq[SEQ_COUNT], crtc[CRTC_COUNT], gc[GC_COUNT], attr[ATTR_COUNT];
    u8 latch[4];
    u8 dac_mask, dac_read, dac_write;
    u8 dac_state;     /* as port 0x3c7 reads: 3 reading, 0 writing */
    u8 dac_component; /* 0 to 2, of the next byte */
    u8 dac_cache[2];  /* components written before the third */
    u8 dac[256][3];
    u16 dispi_index;
    u16 dispi[DISPI_COUNT]; /* while enabled all are in their ranges */
};

/* Ports 0x3b4 to 0x3da. */
u8 vga_port_read(struct vga *vga, u32 port);
void vga_port_write(struct vga *vga, u32 port, u8 value);

/* A byte of the window, at offset from 0xa0000. */
u8 vga_window_read(struct vga *vga, u32 offset);
void vga_window_write(struct vga *vga, u32 offset, u8 value);

/* ---- DISPI ---- */

u16 vga_dispi_read(const struct vga *vga, unsigned index);
void vga_dispi_write(struct vga *vga, unsigned index, u16 value);
void vga_dispi_reset(struct vga *vga);
/* Brings the registers into their ranges, whatever they hold. */
void vga_dispi_limit(struct vga *vga);
static inline bool vga_dispi_on(const struct vga *vga)
{
    return vga->dispi[DISPI_ENABLE] & DISPI_ENABLED;
}
/* Bytes (planes of 4 bits: bytes of all four) from one line to the next. */
u32 vga_dispi_pitch(const struct vga *vga);

/* ---- Timing ---- */

/* Input status register 1, without side effects. */
u8 vga_status(const struct vga *vga);
/* Frames since power-on, at the present refresh rate. */
u64 vga_frame(const struct vga *vga);

/* Ten-bit vertical registers of the CRTC; lowest: the register with the low 8 bits. */
u32 vga_vertical(const struct vga *vga, unsigned lowest);

/* ---- Drawing ---- */

/* What one picture is drawn from. */
struct vga_screen {
    const struct vga *vga;
    u32 width, height;
    void (*line)(const struct vga_screen *screen, u32 y, u32 *row); /* NULL: black */
    u32 columns;                                                    /* character clocks a line */
    u32 dots;                                                       /* of a character clock */
    u32 double_dots;                                                /* 1: each dot is drawn twice */
    u32 dac[256];                                                   /* pixels */
    u32 palette[16];                                                /* pixels by attribute */
    u64 frame;
};

/* Room for a row with panning. */
#define VGA_ROW_MAX (258 * 18)

/* Where the CRTC is at the start of scan line y. */
struct vga_scan {
    u32 address; /* plane address, without the substitutions of CGA modes */
    u32 row;     /* scan line within the row of characters */
    u32 pan;     /* as the panning register has it */
};
struct vga_scan vga_scan_at(const struct vga *vga, u32 y);

void vga_text_line(const struct vga_screen *screen, u32 y, u32 *row);
bool vga_in_text(const struct vga *vga);

#endif
