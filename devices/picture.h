/* SPDX-License-Identifier: MIT */
/* A picture of the machine's screen, as the display device draws it. */
#ifndef DEVICES_PICTURE_H
#define DEVICES_PICTURE_H

#include "base/types.h"

#define PICTURE_SIZE_MAX 4096 /* of width and of height */

/*
 * Rows from top to bottom, without gaps: the pixel at (x, y) is pixel[y * width + x], a number
 * 0x00RRGGBB (XRGB8888 in the host's byte order). Begin with {0}.
 */
struct picture {
    u32 width, height; /* 1 to PICTURE_SIZE_MAX; both 0: nothing drawn so far */
    u32 *pixel;        /* moves when the size changes */
    size_t capacity;   /* private: pixels there is room for */
};

/* Sets the size; true, and all pixels black, if it is a new one. */
bool picture_resize(struct picture *picture, u32 width, u32 height);
/* Puts one row; returns whether it differs from what was there. */
bool picture_put_row(struct picture *picture, u32 y, const u32 *row);
void picture_free(struct picture *picture);

#endif
