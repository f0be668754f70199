/* SPDX-License-Identifier: MIT */
#include "devices/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "devices/disk_file.h"
#include "devices/disk_overlay.h"

struct disk {
    char *path;
    int fd;
    u64 size;
    bool read_only;
    struct overlay *overlay; /* NULL: none */
};

/* ---- Other formats ---- */

/* What files of other formats have at their beginning, or in the last sector (from_end). */
static const struct format {
    const char *name, *magic;
    size_t size;
    u64 at;
    bool from_end;
} formats[] = {
    {"qcow2", "QFI\xfb", 4, 0, false},
    {"qed", "QED\0", 4, 0, false},
    {"vmdk", "KDMV", 4, 0, false},
    {"vmdk", "COWD", 4, 0, false},
    {"vmdk", "# Disk Descript", 15, 0, false},
    {"vdi", "\x7f\x10\xda\xbe", 4, 0x40, false},
    {"vhdx", "vhdxfile", 8, 0, false},
    {"vpc", "conectix", 8, 0, false},
    {"vpc", "conectix", 8, DISK_SECTOR, true},
};

static bool has_magic(const struct disk *disk, u64 size, const struct format *format)
{
    u8 bytes[16];
    u64 at = format->from_end ? size - format->at : format->at;
    if (size < DISK_SECTOR || !disk_file_read(disk->fd, at, bytes, format->size))
        return false;
    return !memcmp(bytes, format->magic, format->size);
}

/* Before the size is judged: such files have any. */
static bool is_raw(const struct disk *disk, u64 size, struct error *err)
{
    u8 bytes[16];
    for (size_t n = 0; n < ARRAY_SIZE(formats); n++)
        if (has_magic(disk, size, &formats[n]))
            return error_set(
                err, "%s is a %s image; make a raw one: qemu-img convert -O raw %s FILE",
                disk->path, strcmp(formats[n].name, "vpc") ? formats[n].name : "vhd", disk->path);
    if (size >= sizeof(bytes) && disk_file_read(disk->fd, 0, bytes, sizeof(bytes)) &&
        !memcmp(bytes, OVERLAY_MAGIC, sizeof(bytes)))
        return error_set(err, "%s is an overlay: it goes with its disk image as overlay=%s",
                         disk->path, disk->path);
    return true;
}

/* ---- Opening ---- */

static bool open_files(struct disk *disk, const struct disk_config *config, struct error *err)
{
    bool writes = !config->read_only && !config->overlay;
    disk->fd =
        disk_file_open(config->path, writes ? DISK_FILE_WRITE : DISK_FILE_READ, &disk->size, err);
    if (disk->fd < 0 || !is_raw(disk, disk->size, err))
        return false;
    if (disk->size == 0 || disk->size % DISK_SECTOR)
        return error_set(err, "%s: its size of %llu bytes is not that of whole sectors (512 bytes)",
                         config->path, (unsigned long long)disk->size);
    if (!config->overlay)
        return true;
    disk->overlay = overlay_open(config->overlay, disk->fd, disk->size, config->read_only, err);
    return disk->overlay;
}

static void release(struct disk *disk)
{
    if (disk->overlay)
        overlay_close(disk->overlay);
    if (disk->fd >= 0)
        close(disk->fd);
    free(disk->path);
    free(disk);
}

struct disk *disk_open(const struct disk_config *config, struct error *err)
{
    struct disk *disk = xalloc(sizeof(*disk));
    *disk = (struct disk){.path = xstrdup(config->path), .fd = -1, .read_only = config->read_only};
    if (open_files(disk, config, err))
        return disk;
    release(disk);
    return NULL;
}

void disk_close(struct disk *disk)
{
    if (!disk)
        return;
    disk_flush(disk);
    release(disk);
}

u64 disk_size(const struct disk *disk)
{
    return disk->size;
}

bool disk_read_only(const struct disk *disk)
{
    return disk->read_only;
}

/* ---- Data ---- */

static bool within(const struct disk *disk, u64 offset, u64 size)
{
    return offset <= disk->size && size <= disk->size - offset;
}

/* Passes ok through; tells of a failure of the host. */
static bool done(const struct disk *disk, const char *what, u64 offset, bool ok)
{
    if (!ok)
        log_msg(LOG_DEV, "disk: %s: %s at %#llx: %s", disk->path, what, (unsigned long long)offset,
                strerror(errno));
    return ok;
}

bool disk_read(struct disk *disk, u64 offset, void *to, size_t size)
{
    if (!within(disk, offset, size))
        return false;
    return done(disk, "read", offset,
                disk->overlay ? overlay_read(disk->overlay, offset, to, size)
                              : disk_file_read(disk->fd, offset, to, size));
}

bool disk_write(struct disk *disk, u64 offset, const void *from, size_t size)
{
    if (disk->read_only || !within(disk, offset, size))
        return false;
    return done(disk, "write", offset,
                disk->overlay ? overlay_write(disk->overlay, offset, from, size)
                              : disk_file_write(disk->fd, offset, from, size));
}

bool disk_flush(struct disk *disk)
{
    if (disk->read_only)
        return true;
    return done(disk, "flush", 0,
                disk->overlay ? overlay_flush(disk->overlay) : fdatasync(disk->fd) == 0);
}

bool disk_discard(struct disk *disk, u64 offset, u64 size)
{
    if (disk->read_only || !within(disk, offset, size))
        return false;
    if (disk->overlay)
        overlay_discard(disk->overlay, offset, size);
    else if (size)
        disk_file_punch(disk->fd, offset, size);
    return true;
}
