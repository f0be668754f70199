/* SPDX-License-Identifier: MIT */
#include "devices/flash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

struct flash {
    const struct device_env *env;
    u8 *bytes;
    u64 size;
};

u8 *flash_bytes(const struct flash *flash)
{
    return flash->bytes;
}

u64 flash_size(const struct flash *flash)
{
    return flash->size;
}

static bool measure(FILE *f, const char *path, u64 *size, struct error *err)
{
    long end = fseek(f, 0, SEEK_END) ? -1 : ftell(f);
    if (end < 0 || fseek(f, 0, SEEK_SET))
        return error_set(err, "firmware %s: %s", path, strerror(errno));
    *size = (u64)end;
    if (*size < FLASH_MIN || *size % PAGE_SIZE || *size > FLASH_MAX)
        return error_set(err,
                         "firmware %s: %ld bytes: expected a multiple of 4096, 64 KiB to 16 MiB",
                         path, end);
    return true;
}

static bool read_image(struct flash *flash, const char *path, struct error *err)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return error_set(err, "firmware %s: %s", path, strerror(errno));
    bool ok = measure(f, path, &flash->size, err);
    if (ok) {
        flash->bytes = ram_extra_new(&flash->env->bus->ram, flash->size);
        ok = fread(flash->bytes, 1, flash->size, f) == flash->size ||
             error_set(err, "firmware %s: can't be read", path);
    }
    fclose(f);
    return ok;
}

static void *flash_create(const struct device_env *env, const void *config, struct error *err)
{
    const char *path = ((const struct flash_config *)config)->path;
    struct flash *flash = xalloc(sizeof(*flash));
    flash->env = env;
    if (!path) {
        flash->size = FLASH_MIN;
        flash->bytes = ram_extra_new(&env->bus->ram, flash->size);
        memset(flash->bytes, 0xff, flash->size);
    } else if (!read_image(flash, path, err)) {
        free(flash);
        return NULL;
    }
    struct ram_window window = {4 * GIB - flash->size, flash->size, flash->bytes, false};
    bool mapped = ram_map(&env->bus->ram, &window);
    ASSERT(mapped); /* made early, so there is room */
    return flash;
}

static void flash_reset(void *device)
{
    (void)device;
}

static void flash_snap(void *device, struct snap *s)
{
    struct flash *flash = device;
    snap_section(s, "flash", 1);
    snap_expect(s, "firmware size", flash->size);
    snap_pages(s, flash->bytes, flash->size);
}

static void flash_free(void *device)
{
    struct flash *flash = device;
    ram_unmap(&flash->env->bus->ram, 4 * GIB - flash->size, flash->bytes);
    free(flash);
}

const struct device_class flash_class = {
    .name = "flash",
    .help = "firmware below 4 GiB",
    .config_size = sizeof(struct flash_config),
    .create = flash_create,
    .reset = flash_reset,
    .snap = flash_snap,
    .free = flash_free,
};
