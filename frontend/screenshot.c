/* SPDX-License-Identifier: MIT */
#include "frontend/screenshot.h"

#include <errno.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

/* Three bytes a pixel, without gaps. */
static u8 *rgb_of(const struct picture *picture)
{
    size_t pixels = (size_t)picture->width * picture->height;
    u8 *rgb = xalloc_array(pixels, 3);
    for (size_t n = 0; n < pixels; n++) {
        rgb[3 * n] = (u8)(picture->pixel[n] >> 16);
        rgb[3 * n + 1] = (u8)(picture->pixel[n] >> 8);
        rgb[3 * n + 2] = (u8)picture->pixel[n];
    }
    return rgb;
}

static bool write_png(const struct picture *picture, FILE *f, const char *path, struct error *err)
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = picture->width,
                       .height = picture->height,
                       .format = PNG_FORMAT_RGB};
    u8 *rgb = rgb_of(picture);
    bool ok = png_image_write_to_stdio(&image, f, 0, rgb, 0, NULL);
    free(rgb);
    png_image_free(&image);
    return ok || error_set(err, "screenshot %s: %s", path, image.message);
}

bool screenshot_write(const struct picture *picture, const char *path, struct error *err)
{
    FILE *f = fopen(path, "wb");
    if (!f)
        return error_set(err, "screenshot %s: %s", path, strerror(errno));
    bool ok = write_png(picture, f, path, err);
    if (fclose(f) && ok)
        ok = error_set(err, "screenshot %s: %s", path, strerror(errno));
    return ok;
}

bool screenshot_take(struct pc *pc, const char *path, struct error *err)
{
    const struct vga *vga = pc_vga(pc);
    struct picture picture = {0};
    if (!vga)
        return error_set(err, "screenshot %s: the machine has no display", path);
    vga_render(vga, &picture);
    bool ok = screenshot_write(&picture, path, err);
    picture_free(&picture);
    return ok;
}
