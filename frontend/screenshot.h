/* SPDX-License-Identifier: MIT */
/* Pictures of the screen as PNG files. */
#ifndef FRONTEND_SCREENSHOT_H
#define FRONTEND_SCREENSHOT_H

#include "base/error.h"
#include "devices/pc.h"
#include "devices/picture.h"

/*
 * Writes a picture, which isn't empty, as a PNG of 8-bit red, green and blue. Equal pictures give
 * equal files: there are no dates or other remarks in them.
 */
bool screenshot_write(const struct picture *picture, const char *path, struct error *err);

/* Draws the present screen of a machine and writes it. clock->now must be exact. */
bool screenshot_take(struct pc *pc, const char *path, struct error *err);

#endif
