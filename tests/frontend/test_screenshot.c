/* SPDX-License-Identifier: MIT */
#include "frontend/screenshot.h"

#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/suite.h"

#define WIDTH 7
#define HEIGHT 3

static u32 pixels[WIDTH * HEIGHT];
static const struct picture picture = {.width = WIDTH, .height = HEIGHT, .pixel = pixels};

static void draw(u32 seed)
{
    for (u32 n = 0; n < ARRAY_SIZE(pixels); n++)
        pixels[n] = (n * 0x10305 + seed) & 0xffffff;
}

static size_t read_file(const char *path, u8 *to, size_t room)
{
    FILE *f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    size_t size = fread(to, 1, room, f);
    fclose(f);
    return size;
}

START_TEST(pixels_come_back)
{
    char path[64];
    struct error err = {{0}};
    u8 rgb[WIDTH * HEIGHT * 3];
    png_image image = {.version = PNG_IMAGE_VERSION};
    snprintf(path, sizeof(path), "test_screenshot.%ld.png", (long)getpid());
    draw(0x123456);
    ck_assert_msg(screenshot_write(&picture, path, &err), "%s", err.text);
    ck_assert(png_image_begin_read_from_file(&image, path));
    ck_assert_uint_eq(image.width, WIDTH);
    ck_assert_uint_eq(image.height, HEIGHT);
    ck_assert_uint_eq(image.format, PNG_FORMAT_RGB);
    ck_assert(png_image_finish_read(&image, NULL, rgb, 0, NULL));
    for (u32 n = 0; n < ARRAY_SIZE(pixels); n++)
        ck_assert_uint_eq((u32)rgb[3 * n] << 16 | (u32)rgb[3 * n + 1] << 8 | rgb[3 * n + 2],
                          pixels[n]);
    unlink(path);
}
END_TEST

START_TEST(equal_pictures_give_equal_files)
{
    char path[64];
    u8 first[4096], second[4096];
    snprintf(path, sizeof(path), "test_screenshot.%ld.png", (long)getpid());
    draw(1);
    ck_assert(screenshot_write(&picture, path, NULL));
    size_t size = read_file(path, first, sizeof(first));
    ck_assert(screenshot_write(&picture, path, NULL));
    ck_assert_uint_eq(read_file(path, second, sizeof(second)), size);
    ck_assert(!memcmp(first, second, size));
    unlink(path);
}
END_TEST

START_TEST(errors_name_the_file)
{
    struct error err = {{0}};
    ck_assert(!screenshot_write(&picture, "no/folder/x.png", &err));
    ck_assert_str_eq(err.text, "screenshot no/folder/x.png: No such file or directory");
    err = (struct error){{0}};
    ck_assert(!screenshot_write(&picture, "/dev/full", &err));
    ck_assert(!strncmp(err.text, "screenshot /dev/full: ", 22));
}
END_TEST

SUITE_MAIN("screenshot", &pixels_come_back, &equal_pictures_give_equal_files, &errors_name_the_file)
