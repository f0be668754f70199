/* SPDX-License-Identifier: MIT */
/* From JEDEC's Common Flash Interface (JESD68) and Intel's "StrataFlash Memory" data sheets. */
#include "devices/pflash.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "devices/disk.h"

enum command {
    PROGRAM_OTHER = 0x10,
    ERASE = 0x20,
    PROGRAM = 0x40,
    CLEAR_STATUS = 0x50,
    READ_STATUS = 0x70,
    READ_ID = 0x90,
    QUERY = 0x98,
    CONFIRM = 0xd0,
    READ_ARRAY = 0xff
};

#define STATUS_READY 0x80u
#define STATUS_ERASE_ERROR 0x20u
#define STATUS_PROGRAM_ERROR 0x10u
#define STATUS_SEQUENCE_ERROR (STATUS_ERASE_ERROR | STATUS_PROGRAM_ERROR)

#define MAKER 0x89
#define DEVICE_ID 0x18
#define QUERY_START 0x10
#define QUERY_SIZE 0x21

struct pflash {
    const struct device_env *env;
    struct disk *file; /* NULL: none */
    u8 *bytes;
    u64 base, size;
    bool stale;  /* the file is not what bytes are: a saved machine was loaded */
    bool mapped; /* reads see the array */
    u8 mode;     /* what reads see: READ_ARRAY, READ_STATUS, READ_ID, QUERY */
    u8 pending;  /* a command that waits for its second write; 0: none */
    u8 status;
};

/* ---- What reads see ---- */

static void set_mode(struct pflash *p, u8 mode)
{
    bool array = mode == READ_ARRAY;
    struct ram *ram = &p->env->bus->ram;
    struct ram_window window = {p->base, p->size, p->bytes, false};
    p->mode = mode;
    if (array == p->mapped)
        return;
    if (array)
        p->mapped = ram_map(ram, &window); /* else reads come here one by one */
    else
        ram_unmap(ram, p->base, p->bytes);
    p->mapped = p->mapped && array;
}

/* "QRY", Intel's command set, no alternate, voltages, typical and greatest times, geometry. */
static u8 query_byte(const struct pflash *p, u64 offset)
{
    u64 blocks = p->size / PFLASH_BLOCK - 1;
    const u8 table[QUERY_SIZE] = {'Q',
                                  'R',
                                  'Y',
                                  1,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0, /* 0x10 */
                                  0x45,
                                  0x55,
                                  0,
                                  0,
                                  7,
                                  0,
                                  0x0a,
                                  0,
                                  4,
                                  0,
                                  4,
                                  0, /* 0x1b */
                                  (u8)__builtin_ctzll(PFLASH_MAX),
                                  0,
                                  0,
                                  0,
                                  0,
                                  1, /* 0x27: size, bus, buffer, regions */
                                  (u8)blocks,
                                  (u8)(blocks >> 8),
                                  PFLASH_BLOCK / 256,
                                  0};
    return offset - QUERY_START < QUERY_SIZE ? table[offset - QUERY_START] : 0;
}

static u8 read_byte(const struct pflash *p, u64 offset)
{
    switch (p->mode) {
    case READ_STATUS:
        return p->status;
    case READ_ID:
        return offset == 0 ? MAKER : offset == 1 ? DEVICE_ID : 0;
    case QUERY:
        return query_byte(p, offset);
    default:
        return p->bytes[offset];
    }
}

static u64 pflash_read(void *opaque, u64 offset, unsigned size)
{
    (void)size;
    return read_byte(opaque, offset);
}

/* ---- Commands ---- */

/* The changed range goes to the file. A file that can't be written is an error of the chip. */
static bool keep(struct pflash *p, u64 offset, u64 size)
{
    if (p->stale) {
        offset = 0;
        size = p->size;
    }
    if (p->file && !disk_write(p->file, offset, p->bytes + offset, size))
        return false;
    p->stale = false;
    return true;
}

/* Programming only turns ones into zeros. */
static void program(struct pflash *p, u64 offset, u8 value)
{
    p->bytes[offset] &= value;
    p->status |= STATUS_READY;
    if (!keep(p, offset, 1))
        p->status |= STATUS_PROGRAM_ERROR;
}

static void erase(struct pflash *p, u64 offset)
{
    u64 block = offset & ~(u64)(PFLASH_BLOCK - 1);
    memset(p->bytes + block, 0xff, PFLASH_BLOCK);
    p->status |= STATUS_READY;
    if (!keep(p, block, PFLASH_BLOCK))
        p->status |= STATUS_ERASE_ERROR;
}

static void second_write(struct pflash *p, u64 offset, u8 value)
{
    u8 command = p->pending;
    p->pending = 0;
    if (command != ERASE)
        program(p, offset, value);
    else if (value == CONFIRM)
        erase(p, offset);
    else
        p->status |= STATUS_READY | STATUS_SEQUENCE_ERROR;
}

static void first_write(struct pflash *p, u8 value)
{
    switch (value) {
    case PROGRAM:
    case PROGRAM_OTHER:
    case ERASE:
        p->pending = value;
        set_mode(p, READ_STATUS);
        break;
    case CLEAR_STATUS: /* the ready bit too: so OVMF knows QEMU's chip */
        p->status = 0;
        break;
    case READ_ARRAY:
    case READ_STATUS:
    case READ_ID:
    case QUERY:
        set_mode(p, value);
        break;
    default:
        log_msg(LOG_DEV, "pflash: command %#x", value);
        p->status |= STATUS_READY | STATUS_SEQUENCE_ERROR;
        set_mode(p, READ_STATUS);
    }
}

static void pflash_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct pflash *p = opaque;
    (void)size;
    if (p->pending)
        second_write(p, offset, (u8)value);
    else
        first_write(p, (u8)value);
}

static const struct bus_ops ops = {pflash_read, pflash_write, 1};

/* ---- The device ---- */

static bool load_file(struct pflash *p, const char *path, struct error *err)
{
    p->file = disk_open(&(struct disk_config){.path = path}, err);
    if (!p->file)
        return error_prefix(err, "firmware's variables");
    p->size = disk_size(p->file);
    if (p->size % PFLASH_BLOCK || p->size > PFLASH_MAX)
        return error_set(err, "firmware's variables %s: expected a multiple of %d bytes, to 8 MiB",
                         path, PFLASH_BLOCK);
    p->bytes = ram_extra_new(&p->env->bus->ram, p->size);
    return disk_read(p->file, 0, p->bytes, p->size) ||
           error_set(err, "firmware's variables %s: can't be read", path);
}

static void *pflash_create(const struct device_env *env, const void *config, struct error *err)
{
    const struct pflash_config *given = config;
    struct pflash *p = xalloc(sizeof(*p));
    p->env = env;
    if (!given->path) {
        p->size = PFLASH_BLOCK;
        p->bytes = ram_extra_new(&env->bus->ram, p->size);
        memset(p->bytes, 0xff, p->size);
    } else if (!load_file(p, given->path, err)) {
        disk_close(p->file);
        free(p);
        return NULL;
    }
    p->base = (given->end ? given->end : 4 * GIB) - p->size;
    bus_map_mmio(env->bus, &(struct bus_region){p->base, p->size, &ops, p, "pflash"});
    set_mode(p, READ_ARRAY);
    return p;
}

static void pflash_reset(void *device)
{
    struct pflash *p = device;
    p->pending = p->status = 0;
    set_mode(p, READ_ARRAY);
}

static void pflash_snap(void *device, struct snap *s)
{
    struct pflash *p = device;
    u8 mode = p->mode;
    snap_section(s, "pflash", 1);
    snap_expect(s, "size of the firmware's variables", p->size);
    snap_pages(s, p->bytes, p->size);
    SNAP(s, mode);
    SNAP(s, p->pending);
    SNAP(s, p->status);
    if (!snap_loading(s) || !snap_ok(s))
        return;
    p->stale = true;
    set_mode(p, mode);
}

static void pflash_free(void *device)
{
    struct pflash *p = device;
    set_mode(p, READ_STATUS);
    bus_unmap_mmio(p->env->bus, p->base);
    disk_close(p->file);
    free(p);
}

const struct device_class pflash_class = {
    .name = "pflash",
    .help = "writable flash with Intel's commands, for the firmware's variables",
    .config_size = sizeof(struct pflash_config),
    .create = pflash_create,
    .reset = pflash_reset,
    .snap = pflash_snap,
    .free = pflash_free,
};
