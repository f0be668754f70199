/* SPDX-License-Identifier: MIT */
/* Small letters for what the window itself has to say. Capitals, digits and ASCII's signs. */
#ifndef FRONTEND_FONT_H
#define FRONTEND_FONT_H

#include "base/types.h"

#define FONT_WIDTH 5 /* dots; one more lies between two letters */
#define FONT_HEIGHT 7

/* Rows of pixels 0x00RRGGBB without gaps. zoom: pixels a dot, in both directions. */
struct font_target {
    u32 *pixel;
    u32 width, height, zoom;
};

/* Draws text with its upper left corner at (x, y), cut at the edges; returns where it ends. */
u32 font_draw(const struct font_target *to, u32 x, u32 y, const char *text, u32 colour);

#endif
