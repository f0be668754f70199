/* SPDX-License-Identifier: MIT */
/*
 * The file: a header (magic, mark of the byte order, version, length of the identity, identity, checksum
 * of all this), then blocks (length and checksum, then records). A record is a kind, a source, a length,
 * a tick, and the bytes. The last one is an end record. All in the recording host's byte order.
 */
#include "base/input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/log.h"

#define INPUT_VERSION 1
#define ENDIAN_MARK UINT32_C(0x01020304)
#define IDENTITY_MAX 4096
#define BLOCK_MAX (INPUT_SIZE_MAX + 64)

static const char magic[8] = "TESTREC\x1a";

enum record_kind { RECORD_BYTES, RECORD_VALUE, RECORD_END, RECORD_KINDS };

struct file_header {
    char magic[8];
    u32 endian, version;
    u32 identity_size;
    u32 crc; /* of what stands before it and the identity */
};

struct block_header {
    u32 size, crc;
};

struct record {
    u32 kind, source;
    u32 size; /* of the bytes that follow; RECORD_END: 0, and source tells whether it ended by itself */
    u32 reserved;
    u64 tick;
};

struct source {
    char name[32];
    void (*deliver)(void *opaque, const u8 *bytes, size_t size);
    void *opaque;
};

/* Input that waits for its tick; a list in the order of delivery. */
struct waiting {
    struct waiting *next;
    struct record record;
    u8 bytes[];
};

struct list {
    struct waiting *first, **last;
};

struct input_hub {
    struct clock *clock;
    struct clock_event event;
    struct source source[INPUT_SOURCES_MAX];
    unsigned sources;
    struct list input, values; /* values: of a replay */
    FILE *file;                /* being recorded to */
    char *path;
    bool failed; /* to write */
    bool replaying, diverged;
    u64 end;
};

/* ---- Lists ---- */

static void list_init(struct list *list)
{
    list->first = NULL;
    list->last = &list->first;
}

static void list_add(struct list *list, const struct record *record, const u8 *bytes)
{
    struct waiting *w = xalloc(sizeof(*w) + record->size);
    w->record = *record;
    if (record->size)
        memcpy(w->bytes, bytes, record->size);
    *list->last = w;
    list->last = &w->next;
}

static struct waiting *list_take(struct list *list)
{
    struct waiting *w = list->first;
    list->first = w->next;
    if (!w->next)
        list->last = &list->first;
    return w;
}

static void list_free(struct list *list)
{
    while (list->first)
        free(list_take(list));
}

/* ---- Recording ---- */

static void write_bytes(struct input_hub *hub, const void *bytes, size_t size)
{
    if (!hub->failed && size && fwrite(bytes, 1, size, hub->file) != size)
        hub->failed = true;
}

/* One record as a block of its own, whole on its way to the disk. */
static void write_record(struct input_hub *hub, const struct record *record, const u8 *bytes)
{
    if (!hub->file)
        return;
    struct block_header block = {.size = (u32)sizeof(*record) + record->size};
    block.crc = (u32)crc32(0, (const void *)record, sizeof(*record));
    if (record->size)
        block.crc = (u32)crc32(block.crc, bytes, record->size);
    write_bytes(hub, &block, sizeof(block));
    write_bytes(hub, record, sizeof(*record));
    write_bytes(hub, bytes, record->size);
    if (!hub->failed && fflush(hub->file))
        hub->failed = true;
}

static u32 header_crc(const struct file_header *header, const char *identity)
{
    u32 crc = (u32)crc32(0, (const void *)header, offsetof(struct file_header, crc));
    return (u32)crc32(crc, (const void *)identity, header->identity_size);
}

/* What a recording is of: the machine, and where its input may come from. free() it. */
static char *full_identity(const struct input_hub *hub, const char *identity)
{
    char *text = xasprintf("%.*s; input:", IDENTITY_MAX / 2, identity);
    for (unsigned n = 0; n < hub->sources; n++) {
        char *longer = xasprintf("%s %s", text, hub->source[n].name);
        free(text);
        text = longer;
    }
    ASSERT(strlen(text) <= IDENTITY_MAX);
    return text;
}

static bool start_recording(struct input_hub *hub, const char *path, const char *identity,
                            struct error *err)
{
    struct file_header header = {
        .endian = ENDIAN_MARK, .version = INPUT_VERSION, .identity_size = (u32)strlen(identity)};
    memcpy(header.magic, magic, sizeof(magic));
    header.crc = header_crc(&header, identity);
    hub->file = fopen(path, "wb");
    if (!hub->file)
        return error_set(err, "%s: %s", path, strerror(errno));
    hub->path = xstrdup(path);
    write_bytes(hub, &header, sizeof(header));
    write_bytes(hub, identity, header.identity_size);
    if (fflush(hub->file))
        hub->failed = true;
    return !hub->failed || error_set(err, "%s: %s", path, strerror(errno));
}

bool input_record(struct input_hub *hub, const char *path, const char *identity, struct error *err)
{
    char *full = full_identity(hub, identity);
    bool ok = start_recording(hub, path, full, err);
    free(full);
    return ok;
}

bool input_close(struct input_hub *hub, bool by_itself, struct error *err)
{
    if (!hub->file)
        return true;
    struct record end = {.kind = RECORD_END, .source = by_itself, .tick = hub->clock->now};
    write_record(hub, &end, NULL);
    if (fclose(hub->file))
        hub->failed = true;
    hub->file = NULL;
    return !hub->failed || error_set(err, "%s: not all could be written", hub->path);
}

/* ---- Delivery ---- */

static void expect_next(struct input_hub *hub)
{
    if (hub->input.first)
        clock_event_first(hub->clock, &hub->event, hub->input.first->record.tick);
}

static void deliver(void *opaque)
{
    struct input_hub *hub = opaque;
    u64 now = hub->clock->now;
    while (hub->input.first && hub->input.first->record.tick <= now) {
        struct waiting *w = list_take(&hub->input);
        const struct source *s = &hub->source[w->record.source];
        w->record.tick = now;
        write_record(hub, &w->record, w->bytes);
        s->deliver(s->opaque, w->bytes, w->record.size);
        free(w);
    }
    expect_next(hub);
}

void input_put(struct input_hub *hub, unsigned source, const u8 *bytes, size_t size)
{
    ASSERT(source < hub->sources && hub->source[source].deliver && size <= INPUT_SIZE_MAX);
    if (hub->replaying || !size)
        return;
    struct record record = {
        .kind = RECORD_BYTES, .source = source, .size = (u32)size, .tick = hub->clock->now + 1};
    list_add(&hub->input, &record, bytes);
    expect_next(hub);
}

static bool is_expected(const struct waiting *w, unsigned source, u64 now)
{
    return w && w->record.source == source && w->record.tick == now;
}

u64 input_value(struct input_hub *hub, unsigned source, u64 live)
{
    if (!hub)
        return live;
    ASSERT(source < hub->sources);
    u64 now = hub->clock->now, value = live;
    if (hub->replaying && now < hub->end) {
        struct waiting *w = hub->values.first;
        if (!is_expected(w, source, now)) {
            hub->diverged = true;
            return live;
        }
        memcpy(&value, w->bytes, sizeof(value));
        free(list_take(&hub->values));
    }
    struct record record = {
        .kind = RECORD_VALUE, .source = source, .size = sizeof(value), .tick = now};
    write_record(hub, &record, (const u8 *)&value);
    return value;
}

/* ---- Replaying ---- */

struct reader {
    struct input_hub *hub;
    const char *path;
    const u8 *data;
    size_t size, at;
    u64 last_tick;
    bool ended;
    struct error *err;
};

static bool damaged(const struct reader *r, const char *what)
{
    return error_set(r->err, "%s: at byte %zu: %s", r->path, r->at, what);
}

static bool read_header(struct reader *r, const char *identity)
{
    struct file_header header;
    if (r->size < sizeof(header) || memcmp(r->data, magic, sizeof(magic)))
        return error_set(r->err, "%s: not a recording of Testudo", r->path);
    memcpy(&header, r->data, sizeof(header));
    if (header.endian != ENDIAN_MARK)
        return error_set(r->err, "%s: recorded on a host of another byte order", r->path);
    if (header.version != INPUT_VERSION)
        return error_set(r->err, "%s: version %u of recordings: expected %u", r->path,
                         header.version, INPUT_VERSION);
    const char *theirs = (const char *)r->data + sizeof(header);
    if (header.identity_size > IDENTITY_MAX || header.identity_size > r->size - sizeof(header) ||
        header.crc != header_crc(&header, theirs))
        return error_set(r->err, "%s: its header is damaged", r->path);
    if (header.identity_size != strlen(identity) ||
        memcmp(theirs, identity, header.identity_size) != 0)
        return error_set(r->err, "%s: recorded with another machine: %.*s; this one is %s", r->path,
                         (int)header.identity_size, theirs, identity);
    r->at = sizeof(header) + header.identity_size;
    return true;
}

static bool judge_record(const struct reader *r, const struct record *record)
{
    const struct input_hub *hub = r->hub;
    if (r->ended)
        return damaged(r, "a record after the end");
    if (record->kind >= RECORD_KINDS || record->reserved)
        return damaged(r, "a record of unknown kind");
    if (record->tick < r->last_tick || record->tick == CLOCK_NEVER)
        return damaged(r, "a record of an earlier tick than the one before it");
    if (record->kind == RECORD_END)
        return !record->size || damaged(r, "an end record with contents");
    if (record->source >= hub->sources)
        return damaged(r, "input from a source that there isn't");
    if (record->kind == RECORD_VALUE)
        return record->size == sizeof(u64) || damaged(r, "a value of another size than 8 bytes");
    return (hub->source[record->source].deliver && record->size) ||
           damaged(r, "bytes from a source that has none");
}

static void keep_record(struct reader *r, const struct record *record, const u8 *bytes)
{
    struct input_hub *hub = r->hub;
    r->last_tick = record->tick;
    if (record->kind != RECORD_END) {
        list_add(record->kind == RECORD_VALUE ? &hub->values : &hub->input, record, bytes);
        return;
    }
    r->ended = true;
    hub->end = record->source ? CLOCK_NEVER : record->tick;
}

/* One block. *whole false: the file breaks off in it. */
static bool read_block(struct reader *r, bool *whole)
{
    struct block_header block;
    struct record record;
    size_t left = r->size - r->at;
    *whole = false;
    if (left < sizeof(block))
        return true;
    memcpy(&block, r->data + r->at, sizeof(block));
    if (block.size < sizeof(record) || block.size > BLOCK_MAX)
        return damaged(r, "a block of impossible size");
    if (left - sizeof(block) < block.size)
        return true;
    const u8 *bytes = r->data + r->at + sizeof(block);
    if (block.crc != (u32)crc32(0, bytes, block.size))
        return damaged(r, "a block whose checksum is wrong");
    memcpy(&record, bytes, sizeof(record));
    if (record.size != block.size - sizeof(record))
        return damaged(r, "a record of another size than its block");
    if (!judge_record(r, &record))
        return false;
    keep_record(r, &record, bytes + sizeof(record));
    r->at += sizeof(block) + block.size;
    *whole = true;
    return true;
}

static bool read_blocks(struct reader *r)
{
    bool whole = true;
    while (whole && r->at < r->size)
        if (!read_block(r, &whole))
            return false;
    if (!r->ended)
        r->hub->end = r->last_tick;
    return true;
}

static u8 *read_file(const char *path, size_t *size, struct error *err)
{
    FILE *f = fopen(path, "rb");
    u8 *data = NULL;
    size_t room = 0, n = 1;
    *size = 0;
    if (!f) {
        error_set(err, "%s: %s", path, strerror(errno));
        return NULL;
    }
    while (n) {
        if (*size == room) {
            room = room ? 2 * room : 64 * KIB;
            data = xrealloc_array(data, room, 1);
        }
        n = fread(data + *size, 1, room - *size, f);
        *size += n;
    }
    if (ferror(f)) {
        error_set(err, "%s: can't be read", path);
        free(data);
        data = NULL;
    }
    fclose(f);
    return data;
}

bool input_replay(struct input_hub *hub, const char *path, const char *identity, struct error *err)
{
    struct reader r = {.hub = hub, .path = path, .err = err};
    u8 *data = read_file(path, &r.size, err);
    if (!data)
        return false;
    r.data = data;
    r.last_tick = hub->clock->now;
    char *full = full_identity(hub, identity);
    bool ok = read_header(&r, full) && read_blocks(&r);
    free(full);
    free(data);
    if (!ok) {
        list_free(&hub->input);
        list_free(&hub->values);
        return false;
    }
    hub->replaying = true;
    expect_next(hub);
    return true;
}

bool input_replaying(const struct input_hub *hub)
{
    return hub->replaying;
}

u64 input_end(const struct input_hub *hub)
{
    return hub->end;
}

bool input_diverged(const struct input_hub *hub)
{
    return hub->diverged;
}

/* ---- Life ---- */

struct input_hub *input_new(struct clock *clock)
{
    struct input_hub *hub = xalloc(sizeof(*hub));
    hub->clock = clock;
    hub->end = CLOCK_NEVER;
    list_init(&hub->input);
    list_init(&hub->values);
    clock_event_init(&hub->event, "input", deliver, hub);
    return hub;
}

void input_free(struct input_hub *hub)
{
    if (!hub)
        return;
    clock_event_cancel(hub->clock, &hub->event);
    if (hub->file)
        fclose(hub->file);
    list_free(&hub->input);
    list_free(&hub->values);
    free(hub->path);
    free(hub);
}

unsigned input_source(struct input_hub *hub, const char *name,
                      void (*deliver_input)(void *opaque, const u8 *bytes, size_t size),
                      void *opaque)
{
    if (!hub)
        return 0;
    ASSERT(hub->sources < INPUT_SOURCES_MAX);
    struct source *s = &hub->source[hub->sources];
    snprintf(s->name, sizeof(s->name), "%s", name);
    s->deliver = deliver_input;
    s->opaque = opaque;
    return hub->sources++;
}
