/* SPDX-License-Identifier: MIT */
/*
 * The display: a VGA with the Bochs VBE extension ("DISPI"), as a PCI function 1234:1111. BAR 0 is
 * the video memory, BAR 2 the registers once more; legacy ports and the window at 0xa0000 always
 * answer.
 */
#ifndef DEVICES_VGA_H
#define DEVICES_VGA_H

#include "devices/device.h"
#include "devices/picture.h"

#define VGA_ROM_MAX (64 * KIB)

struct vga;

enum vga_type { VGA_STD, VGA_NONE };

struct vga_config {
    u64 type;        /* enum vga_type; a machine with none doesn't create the device */
    const char *rom; /* file with the contents of the expansion ROM; NULL: no ROM */
};

extern const struct device_class vga_class;

/*
 * Draws the present screen. Returns whether the picture differs from what it held before. Nothing of
 * the machine changes. The phases of cursor and blinking characters come from clock->now, so equal
 * machines at equal ticks give equal pictures.
 */
bool vga_render(const struct vga *vga, struct picture *picture);

/*
 * The screen's characters in a text mode: UTF-8 (from code page 437), a newline after each row, no
 * blanks before it. free() it. NULL in graphics modes.
 */
char *vga_text(const struct vga *vga);

#endif
