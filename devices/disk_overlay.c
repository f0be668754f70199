/* SPDX-License-Identifier: MIT */
#include "devices/disk_overlay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "devices/disk_file.h"

#define CLUSTER ((u64)OVERLAY_CLUSTER)
#define HEADER_SIZE UINT64_C(4096)
#define BLOCK UINT64_C(4096) /* the maps are read and written in blocks */
#define BASE_MAX (16 * 1024 * GIB)

struct overlay {
    int fd, base;
    u64 size;     /* bytes of the base */
    u64 map_size; /* bytes of one map */
    u8 *map;      /* as `written` in the file; set bits only within size */
    bool *stale;  /* blocks of the map whose `stable` copy lacks bits */
};

/* ---- Layout ---- */

static u64 clusters(u64 size)
{
    return (size + CLUSTER - 1) / CLUSTER;
}

static u64 stable_at(void)
{
    return HEADER_SIZE;
}

static u64 written_at(const struct overlay *o)
{
    return HEADER_SIZE + o->map_size;
}

static u64 data_at(const struct overlay *o)
{
    return HEADER_SIZE + 2 * o->map_size;
}

static bool mapped(const struct overlay *o, u64 cluster)
{
    return (o->map[cluster / 8] >> (cluster % 8)) & 1;
}

static void put_number(u8 *to, u64 value, unsigned size)
{
    for (unsigned n = 0; n < size; n++)
        to[n] = (u8)(value >> (8 * n));
}

static u64 get_number(const u8 *from, unsigned size)
{
    u64 value = 0;
    for (unsigned n = 0; n < size; n++)
        value |= (u64)from[n] << (8 * n);
    return value;
}

/* ---- Header ---- */

/* FNV-1a of all before the check. */
static u32 header_check(const struct overlay_header *header)
{
    const u8 *p = (const u8 *)header;
    u32 hash = 2166136261u;
    for (size_t n = 0; n < offsetof(struct overlay_header, check); n++)
        hash = (hash ^ p[n]) * 16777619u;
    return hash;
}

/* Which start of the host this is; zeros if it doesn't say. */
static void host_boot(char boot[OVERLAY_BOOT])
{
    u64 size;
    memset(boot, 0, OVERLAY_BOOT);
    int fd = disk_file_open("/proc/sys/kernel/random/boot_id", DISK_FILE_READ, &size, NULL);
    if (fd < 0)
        return;
    if (read(fd, boot, 36) != 36)
        memset(boot, 0, OVERLAY_BOOT);
    close(fd);
}

static bool write_header(const struct overlay *o)
{
    u8 block[HEADER_SIZE] = {0};
    struct overlay_header header;
    memset(&header, 0, sizeof(header));
    memcpy(header.magic, OVERLAY_MAGIC, sizeof(header.magic));
    put_number(header.version, OVERLAY_VERSION, sizeof(header.version));
    put_number(header.cluster, OVERLAY_CLUSTER, sizeof(header.cluster));
    put_number(header.base_size, o->size, sizeof(header.base_size));
    host_boot(header.boot);
    put_number(header.check, header_check(&header), sizeof(header.check));
    memcpy(block, &header, sizeof(header));
    return disk_file_write(o->fd, 0, block, sizeof(block));
}

static bool judge_header(const struct overlay *o, const struct overlay_header *header,
                         struct error *err)
{
    u64 size = get_number(header->base_size, sizeof(header->base_size));
    if (memcmp(header->magic, OVERLAY_MAGIC, sizeof(header->magic)) != 0)
        return error_set(err, "not an overlay");
    if (get_number(header->version, sizeof(header->version)) != OVERLAY_VERSION)
        return error_set(err, "an overlay of another version of Testudo");
    if (get_number(header->check, sizeof(header->check)) != header_check(header) ||
        get_number(header->cluster, sizeof(header->cluster)) != OVERLAY_CLUSTER)
        return error_set(err, "a damaged overlay: its header is wrong");
    if (size != o->size)
        return error_set(err, "the overlay of a disk of %llu bytes, not %llu",
                         (unsigned long long)size, (unsigned long long)o->size);
    return true;
}

/* ---- Maps ---- */

/* Offset of the next block of a map at or after at that may hold bits; end if there is none. */
static u64 next_block(const struct overlay *o, u64 at, u64 end)
{
    off_t data = lseek(o->fd, (off_t)at, SEEK_DATA);
    if (data < 0)
        return errno == ENXIO ? end : at;
    return MIN(MAX((u64)data & ~(BLOCK - 1), at), end);
}

static bool read_map(struct overlay *o, u64 from)
{
    for (u64 at = next_block(o, from, from + o->map_size); at < from + o->map_size;
         at = next_block(o, at + BLOCK, from + o->map_size))
        if (!disk_file_read(o->fd, at, o->map + (at - from), BLOCK))
            return false;
    u64 count = clusters(o->size);
    if (count % 8)
        o->map[count / 8] &= (u8)MASK(count % 8);
    memset(o->map + (count + 7) / 8, 0, o->map_size - (count + 7) / 8);
    return true;
}

static bool find_stale(struct overlay *o)
{
    u8 block[BLOCK];
    for (u64 at = 0; at < o->map_size; at += BLOCK) {
        if (!disk_file_read(o->fd, stable_at() + at, block, BLOCK))
            return false;
        o->stale[at / BLOCK] = memcmp(block, o->map + at, BLOCK) != 0;
    }
    return true;
}

/* After a restart of the host only what is stable counts. */
static bool fall_back(struct overlay *o)
{
    return read_map(o, stable_at()) && disk_file_write(o->fd, written_at(o), o->map, o->map_size) &&
           fdatasync(o->fd) == 0;
}

static bool load(struct overlay *o, const struct overlay_header *header, bool read_only)
{
    char boot[OVERLAY_BOOT];
    host_boot(boot);
    bool same = boot[0] && !memcmp(boot, header->boot, sizeof(boot));
    if (read_only)
        return read_map(o, same ? written_at(o) : stable_at());
    if (!(same ? read_map(o, written_at(o)) : fall_back(o)))
        return false;
    return find_stale(o) && (same || write_header(o));
}

/* ---- Opening ---- */

/* Header first: a file that ends after it is an overlay that nothing was written to yet. */
static bool make_file(struct overlay *o, u64 *file_size)
{
    if (*file_size == 0 && !write_header(o))
        return false;
    *file_size = data_at(o) + o->size;
    return ftruncate(o->fd, (off_t)*file_size) == 0 && fdatasync(o->fd) == 0;
}

static bool start(struct overlay *o, u64 file_size, bool read_only, struct error *err)
{
    struct overlay_header header;
    bool fresh = file_size == 0;
    if (fresh && !read_only && !make_file(o, &file_size))
        return error_set(err, "%s", strerror(errno));
    if (file_size < HEADER_SIZE)
        return error_set(err, "not an overlay");
    if (!disk_file_read(o->fd, 0, &header, sizeof(header)))
        return error_set(err, "%s", strerror(errno));
    if (!judge_header(o, &header, err))
        return false;
    if (file_size == HEADER_SIZE && !read_only && !make_file(o, &file_size))
        return error_set(err, "%s", strerror(errno));
    if (file_size != data_at(o) + o->size)
        return error_set(err, "a damaged overlay: it has %llu bytes, not %llu",
                         (unsigned long long)file_size, (unsigned long long)(data_at(o) + o->size));
    return load(o, &header, read_only) || error_set(err, "%s", strerror(errno));
}

struct overlay *overlay_open(const char *path, int base, u64 base_size, bool read_only,
                             struct error *err)
{
    u64 file_size;
    if (base_size > BASE_MAX) {
        error_set(err, "%s: an overlay's disk may have 16 TiB", path);
        return NULL;
    }
    int fd = disk_file_open(path, read_only ? DISK_FILE_READ : DISK_FILE_CREATE, &file_size, err);
    if (fd < 0)
        return NULL;
    struct overlay *o = xalloc(sizeof(*o));
    *o = (struct overlay){.fd = fd, .base = base, .size = base_size};
    o->map_size = ((clusters(base_size) + 7) / 8 + BLOCK - 1) & ~(BLOCK - 1);
    o->map = xalloc(o->map_size);
    o->stale = xalloc_array(o->map_size / BLOCK, sizeof(*o->stale));
    struct error cause = {{0}};
    if (start(o, file_size, read_only, &cause))
        return o;
    error_set(err, "%s: %s", path, cause.text);
    overlay_close(o);
    return NULL;
}

void overlay_close(struct overlay *o)
{
    close(o->fd);
    free(o->map);
    free(o->stale);
    free(o);
}

/* ---- Data ---- */

/* Bytes from offset, at most size, that lie in clusters which are all mapped or all not. */
static size_t run(const struct overlay *o, u64 offset, size_t size, bool *in_overlay)
{
    u64 cluster = offset / CLUSTER;
    *in_overlay = mapped(o, cluster);
    u64 end = (cluster + 1) * CLUSTER;
    while (end < offset + size && mapped(o, ++cluster) == *in_overlay)
        end += CLUSTER;
    return (size_t)MIN(end - offset, size);
}

bool overlay_read(struct overlay *o, u64 offset, void *to, size_t size)
{
    while (size) {
        bool in_overlay;
        size_t part = run(o, offset, size, &in_overlay);
        if (!(in_overlay ? disk_file_read(o->fd, data_at(o) + offset, to, part)
                         : disk_file_read(o->base, offset, to, part)))
            return false;
        to = (u8 *)to + part;
        offset += part;
        size -= part;
    }
    return true;
}

/* The base's bytes of a cluster that will be written in part. */
static bool copy_cluster(struct overlay *o, u64 cluster)
{
    u8 data[OVERLAY_CLUSTER];
    u64 at = cluster * CLUSTER;
    size_t size = (size_t)MIN(CLUSTER, o->size - at);
    return disk_file_read(o->base, at, data, size) &&
           disk_file_write(o->fd, data_at(o) + at, data, size);
}

/* The ends of [offset, end), where they are no cluster's. */
static bool copy_ends(struct overlay *o, u64 offset, u64 end)
{
    u64 first = offset / CLUSTER, last = (end - 1) / CLUSTER;
    bool whole_last = end % CLUSTER == 0 || end == o->size;
    bool cut_first = offset % CLUSTER || (first == last && !whole_last);
    if (cut_first && !mapped(o, first) && !copy_cluster(o, first))
        return false;
    bool cut_last = last != first && !whole_last;
    return !cut_last || mapped(o, last) || copy_cluster(o, last);
}

/* Marks clusters first to last as written, in the file too. */
static bool set_mapped(struct overlay *o, u64 first, u64 last)
{
    bool changed = false;
    for (u64 cluster = first; cluster <= last; cluster++) {
        if (mapped(o, cluster))
            continue;
        changed = true;
        o->map[cluster / 8] |= (u8)(1u << (cluster % 8));
        o->stale[cluster / 8 / BLOCK] = true;
    }
    return !changed || disk_file_write(o->fd, written_at(o) + first / 8, o->map + first / 8,
                                       last / 8 - first / 8 + 1);
}

bool overlay_write(struct overlay *o, u64 offset, const void *from, size_t size)
{
    if (!size)
        return true;
    return copy_ends(o, offset, offset + size) &&
           disk_file_write(o->fd, data_at(o) + offset, from, size) &&
           set_mapped(o, offset / CLUSTER, (offset + size - 1) / CLUSTER);
}

bool overlay_flush(struct overlay *o)
{
    bool changed = false;
    if (fdatasync(o->fd))
        return false;
    for (u64 n = 0; n < o->map_size / BLOCK; n++) {
        if (!o->stale[n])
            continue;
        if (!disk_file_write(o->fd, stable_at() + n * BLOCK, o->map + n * BLOCK, BLOCK))
            return false;
        changed = true;
    }
    if (!changed)
        return true;
    if (fdatasync(o->fd))
        return false;
    memset(o->stale, 0, o->map_size / BLOCK * sizeof(*o->stale));
    return true;
}

void overlay_discard(struct overlay *o, u64 offset, u64 size)
{
    u64 end = offset + size;
    for (u64 cluster = clusters(offset); (cluster + 1) * CLUSTER <= end; cluster++)
        if (mapped(o, cluster))
            disk_file_punch(o->fd, data_at(o) + cluster * CLUSTER, CLUSTER);
}
