/* SPDX-License-Identifier: MIT */
/*
 * The file: a header, then one deflate stream. The header is written last, into the room left for
 * it, so a file cut short never passes for a whole one. The checksum is of the packed bytes: a
 * damaged file is refused before any of it is unpacked.
 */
#include "base/snap.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/alloc.h"

#define SNAP_VERSION 1
#define ENDIAN_MARK UINT32_C(0x01020304)
#define BUFFER_SIZE (64 * 1024)
#define NAME_MAX_LENGTH 63

static const char snap_magic[8] = "TESTUDO\x1a";

/* Multi-byte fields are in the saving host's order, which `endian` tells. */
struct snap_header {
    char magic[8];
    u32 endian;
    u32 version;
    u64 raw_size;
    u64 packed_size;
    u32 packed_crc;
    u32 header_crc; /* of what stands before it */
};
_Static_assert(sizeof(struct snap_header) == 40, "the layout of the file");

struct snap {
    bool loading;
    FILE *file;
    char *path;
    char *temporary; /* saving: where the file grows until it is whole */
    struct error error;
    char section[NAME_MAX_LENGTH + 1];
    z_stream z;
    u64 raw, packed; /* bytes so far */
    u32 crc;
    struct snap_header header;
    u8 buffer[BUFFER_SIZE];
};

static u32 header_crc(const struct snap_header *header)
{
    return (u32)crc32(0, (const void *)header, offsetof(struct snap_header, header_crc));
}

bool snap_loading(const struct snap *s)
{
    return s->loading;
}

bool snap_ok(const struct snap *s)
{
    return !s->error.text[0];
}

void snap_fail(struct snap *s, const char *fmt, ...)
{
    if (!snap_ok(s))
        return;
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (s->section[0])
        error_set(&s->error, "%s: section \"%s\": %s", s->path, s->section, text);
    else
        error_set(&s->error, "%s: %s", s->path, text);
}

static struct snap *snap_new(const char *path, bool loading)
{
    struct snap *s = xalloc(sizeof(*s));
    s->loading = loading;
    s->path = xstrdup(path);
    return s;
}

/* Ends s; what it failed of goes to err. */
static bool snap_free(struct snap *s, struct error *err)
{
    bool ok = snap_ok(s);
    if (!ok)
        error_set(err, "%s", s->error.text);
    if (s->file)
        fclose(s->file);
    if (s->loading)
        inflateEnd(&s->z);
    else
        deflateEnd(&s->z);
    free(s->path);
    free(s->temporary);
    free(s);
    return ok;
}

/* ---- Saving ---- */

struct snap *snap_open_save(const char *path, struct error *err)
{
    struct snap *s = snap_new(path, false);
    s->temporary = xasprintf("%s.%ld.tmp", path, (long)getpid());
    s->file = fopen(s->temporary, "wb");
    if (!s->file || fwrite(&s->header, sizeof(s->header), 1, s->file) != 1)
        snap_fail(s, "can't write: %s", strerror(errno));
    else if (deflateInit(&s->z, Z_BEST_SPEED) != Z_OK)
        snap_fail(s, "zlib can't start");
    if (snap_ok(s))
        return s;
    if (s->file)
        remove(s->temporary);
    snap_free(s, err);
    return NULL;
}

/* Writes what deflate has ready and gives it a fresh buffer. */
static void save_packed(struct snap *s)
{
    size_t size = BUFFER_SIZE - s->z.avail_out;
    if (s->z.next_out && size) {
        s->crc = (u32)crc32(s->crc, s->buffer, (uInt)size);
        s->packed += size;
        if (fwrite(s->buffer, 1, size, s->file) != size)
            snap_fail(s, "can't write: %s", strerror(errno));
    }
    s->z.next_out = s->buffer;
    s->z.avail_out = BUFFER_SIZE;
}

static void save_bytes(struct snap *s, const void *p, size_t size)
{
    const u8 *from = p;
    s->raw += size;
    while (size && snap_ok(s)) {
        uInt part = (uInt)MIN(size, MIB);
        s->z.next_in = (Bytef *)(uintptr_t)from;
        s->z.avail_in = part;
        while (s->z.avail_in && snap_ok(s)) {
            if (!s->z.avail_out)
                save_packed(s);
            deflate(&s->z, Z_NO_FLUSH);
        }
        from += part;
        size -= part;
    }
}

static void save_finish(struct snap *s)
{
    int status;
    do {
        save_packed(s);
        status = deflate(&s->z, Z_FINISH);
    } while (status == Z_OK && snap_ok(s));
    save_packed(s);
    s->header = (struct snap_header){
        .endian = ENDIAN_MARK,
        .version = SNAP_VERSION,
        .raw_size = s->raw,
        .packed_size = s->packed,
        .packed_crc = s->crc,
    };
    memcpy(s->header.magic, snap_magic, sizeof(snap_magic));
    s->header.header_crc = header_crc(&s->header);
    if (!snap_ok(s))
        return;
    bool ok = status == Z_STREAM_END && !fseek(s->file, 0, SEEK_SET) &&
              fwrite(&s->header, sizeof(s->header), 1, s->file) == 1 && !fflush(s->file) &&
              !fsync(fileno(s->file));
    if (!ok)
        snap_fail(s, "can't write: %s", strerror(errno));
}

static bool save_close(struct snap *s, struct error *err)
{
    s->section[0] = 0;
    save_finish(s);
    if (fclose(s->file))
        snap_fail(s, "can't write: %s", strerror(errno));
    s->file = NULL;
    if (snap_ok(s) && rename(s->temporary, s->path))
        snap_fail(s, "can't rename %s: %s", s->temporary, strerror(errno));
    if (!snap_ok(s))
        remove(s->temporary);
    return snap_free(s, err);
}

/* ---- Loading ---- */

static void check_header(struct snap *s)
{
    const struct snap_header *header = &s->header;
    if (fread(&s->header, sizeof(s->header), 1, s->file) != 1 ||
        memcmp(header->magic, snap_magic, sizeof(snap_magic)) != 0)
        snap_fail(s, "is no saved machine");
    else if (header->endian != ENDIAN_MARK)
        snap_fail(s, "was saved on a host of the other byte order");
    else if (header->header_crc != header_crc(header))
        snap_fail(s, "is damaged: the header's checksum is wrong");
    else if (header->version != SNAP_VERSION)
        snap_fail(s, "has version %u of the format, expected %u", (unsigned)header->version,
                  SNAP_VERSION);
}

/* Reads the packed bytes through once; only then is any of them believed. */
static void check_packed(struct snap *s)
{
    u32 crc = 0;
    u64 size = 0;
    size_t got;
    while ((got = fread(s->buffer, 1, BUFFER_SIZE, s->file))) {
        crc = (u32)crc32(crc, s->buffer, (uInt)got);
        size += got;
    }
    if (ferror(s->file))
        snap_fail(s, "can't read: %s", strerror(errno));
    else if (size != s->header.packed_size)
        snap_fail(s, "is damaged: it has %llu bytes of data, its header says %llu",
                  (unsigned long long)size, (unsigned long long)s->header.packed_size);
    else if (crc != s->header.packed_crc)
        snap_fail(s, "is damaged: the checksum is wrong");
    else if (fseek(s->file, sizeof(s->header), SEEK_SET))
        snap_fail(s, "can't read: %s", strerror(errno));
}

struct snap *snap_open_load(const char *path, struct error *err)
{
    struct snap *s = snap_new(path, true);
    s->file = fopen(path, "rb");
    if (!s->file)
        snap_fail(s, "can't open: %s", strerror(errno));
    else
        check_header(s);
    if (snap_ok(s))
        check_packed(s);
    if (snap_ok(s) && inflateInit(&s->z) != Z_OK)
        snap_fail(s, "zlib can't start");
    if (snap_ok(s))
        return s;
    snap_free(s, err);
    return NULL;
}

/* Unpacks up to `size` bytes; fewer where the data end. */
static size_t unpack(struct snap *s, u8 *to, size_t size)
{
    s->z.next_out = to;
    s->z.avail_out = (uInt)size;
    while (s->z.avail_out) {
        if (!s->z.avail_in) {
            s->z.next_in = s->buffer;
            s->z.avail_in = (uInt)fread(s->buffer, 1, BUFFER_SIZE, s->file);
        }
        /* At the end of the file inflate has nothing to do and says so: Z_BUF_ERROR. */
        if (inflate(&s->z, Z_NO_FLUSH) != Z_OK)
            break;
    }
    return size - s->z.avail_out;
}

static void load_bytes(struct snap *s, void *p, size_t size)
{
    u8 *to = p;
    size_t left = size;
    while (left && snap_ok(s)) {
        size_t part = MIN(left, MIB);
        if (unpack(s, to, part) != part)
            snap_fail(s, "the data end too early");
        to += part;
        left -= part;
    }
    s->raw += size;
    if (!snap_ok(s))
        memset(p, 0, size);
}

static bool load_close(struct snap *s, struct error *err)
{
    s->section[0] = 0;
    u8 rest;
    if (snap_ok(s) && (s->raw != s->header.raw_size || unpack(s, &rest, 1)))
        snap_fail(s, "has data left over after the last section");
    return snap_free(s, err);
}

bool snap_close(struct snap *s, struct error *err)
{
    return s->loading ? load_close(s, err) : save_close(s, err);
}

/* ---- What units visit their state with ---- */

void snap_bytes(struct snap *s, void *p, size_t size)
{
    if (s->loading)
        load_bytes(s, p, size);
    else if (snap_ok(s))
        save_bytes(s, p, size);
}

static void check_section(struct snap *s, const char *name, u32 version)
{
    char found[NAME_MAX_LENGTH + 1] = {0};
    u32 length, found_version;
    SNAP(s, length);
    if (snap_ok(s) && length > NAME_MAX_LENGTH)
        snap_fail(s, "expected section \"%s\", found no section", name);
    snap_bytes(s, found, snap_ok(s) ? length : 0);
    SNAP(s, found_version);
    if (!snap_ok(s))
        return;
    if (strcmp(found, name) != 0)
        snap_fail(s, "expected section \"%s\", found \"%s\"", name, found);
    else if (found_version != version)
        snap_fail(s, "section \"%s\" has version %u, expected %u", name, (unsigned)found_version,
                  (unsigned)version);
}

void snap_section(struct snap *s, const char *name, u32 version)
{
    u32 length = (u32)strlen(name);
    ASSERT(length <= NAME_MAX_LENGTH);
    s->section[0] = 0;
    if (s->loading) {
        check_section(s, name, version);
    } else {
        SNAP(s, length);
        snap_bytes(s, (char *)(uintptr_t)name, length);
        SNAP(s, version);
    }
    if (snap_ok(s))
        memcpy(s->section, name, length + 1);
}

static bool page_is_zero(const u8 *page)
{
    for (size_t k = 0; k < PAGE_SIZE; k += sizeof(u64)) {
        u64 word;
        memcpy(&word, page + k, sizeof(word));
        if (word)
            return false;
    }
    return true;
}

void snap_pages(struct snap *s, void *p, size_t size)
{
    ASSERT(size % PAGE_SIZE == 0);
    for (u8 *page = p; page < (u8 *)p + size; page += PAGE_SIZE) {
        u8 filled = !s->loading && !page_is_zero(page);
        SNAP(s, filled);
        if (filled > 1)
            snap_fail(s, "a page is neither empty nor full");
        if (!snap_ok(s))
            return;
        if (filled)
            snap_bytes(s, page, PAGE_SIZE);
        else if (s->loading && !page_is_zero(page))
            memset(page, 0, PAGE_SIZE);
    }
}

void snap_expect(struct snap *s, const char *what, u64 value)
{
    u64 saved = value;
    SNAP(s, saved);
    if (saved != value)
        snap_fail(s, "%s: saved %llu, here %llu", what, (unsigned long long)saved,
                  (unsigned long long)value);
}

void snap_range(struct snap *s, const char *what, u64 v, u64 lo, u64 hi)
{
    if (s->loading && (v < lo || v > hi))
        snap_fail(s, "%s: %llu is not from %llu to %llu", what, (unsigned long long)v,
                  (unsigned long long)lo, (unsigned long long)hi);
}

void snap_event(struct snap *s, struct clock *clock, struct clock_event *ev)
{
    u8 queued = clock_event_queued(ev);
    u64 when = queued ? ev->when : 0, order = queued ? ev->order : 0;
    SNAP(s, queued);
    SNAP(s, when);
    SNAP(s, order);
    if (!s->loading)
        return;
    snap_range(s, ev->name, queued, 0, 1);
    clock_event_cancel(clock, ev);
    if (queued && snap_ok(s))
        clock_event_restore(clock, ev, when, order);
}
