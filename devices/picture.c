/* SPDX-License-Identifier: MIT */
#include "devices/picture.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

bool picture_resize(struct picture *picture, u32 width, u32 height)
{
    size_t pixels = (size_t)width * height;
    ASSERT(width && width <= PICTURE_SIZE_MAX && height && height <= PICTURE_SIZE_MAX);
    if (picture->width == width && picture->height == height)
        return false;
    if (picture->capacity < pixels) {
        picture->pixel = xrealloc_array(picture->pixel, pixels, sizeof(*picture->pixel));
        picture->capacity = pixels;
    }
    memset(picture->pixel, 0, pixels * sizeof(*picture->pixel));
    picture->width = width;
    picture->height = height;
    return true;
}

bool picture_put_row(struct picture *picture, u32 y, const u32 *row)
{
    u32 *to = picture->pixel + (size_t)y * picture->width;
    size_t size = picture->width * sizeof(*row);
    ASSERT(y < picture->height);
    if (!memcmp(to, row, size))
        return false;
    memcpy(to, row, size);
    return true;
}

void picture_free(struct picture *picture)
{
    free(picture->pixel);
    *picture = (struct picture){0};
}
