/* SPDX-License-Identifier: MIT */
/* From QEMU's specification "QEMU Firmware Configuration (fw_cfg) Device". */
#include "devices/fw_cfg.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define KEY_SIGNATURE 0x00
#define KEY_ID 0x01
#define KEY_FILE_DIR 0x19
#define KEY_FILE_FIRST 0x20
#define KEY_WRITE BIT32(14) /* once asked for write access; without effect now */

#define ID_TRADITIONAL BIT32(0)
#define ID_DMA BIT32(1)

#define DMA_SIGNATURE UINT64_C(0x51454d5520434647) /* "QEMU CFG" */
#define DMA_ERROR BIT32(0)
#define DMA_READ BIT32(1)
#define DMA_SKIP BIT32(2)
#define DMA_SELECT BIT32(3)
#define DMA_WRITE BIT32(4)

#define ITEMS_MAX (FW_CFG_FILES + 32)
#define DIR_ENTRY_SIZE 64

struct item {
    u16 key;
    char name[FW_CFG_NAME_SIZE]; /* empty: no file */
    u8 *bytes;
    u64 size;
};

/* Who makes a file's bytes when it is selected. */
struct hook {
    const char *name;
    void (*select)(void *opaque);
    void *opaque;
};

#define HOOKS_MAX 8

struct fw_cfg {
    const struct device_env *env;
    struct item item[ITEMS_MAX];
    u32 items, files;
    struct hook hook[HOOKS_MAX];
    u32 hooks;
    u16 key; /* as selected; may name no item */
    u64 offset;
    u64 dma_address;
};

/* ---- Items ---- */

static struct item *find_key(struct fw_cfg *fw, u16 key)
{
    for (u32 n = 0; n < fw->items; n++)
        if (fw->item[n].key == key)
            return &fw->item[n];
    return NULL;
}

static struct item *find_file(struct fw_cfg *fw, const char *name)
{
    for (u32 n = 0; n < fw->items; n++)
        if (fw->item[n].name[0] && !strcmp(fw->item[n].name, name))
            return &fw->item[n];
    return NULL;
}

static struct item *add_item(struct fw_cfg *fw, u16 key)
{
    ASSERT(fw->items < ITEMS_MAX);
    struct item *item = &fw->item[fw->items++];
    item->key = key;
    return item;
}

static void set_bytes(struct item *item, const void *bytes, u64 size)
{
    ASSERT(size <= FW_CFG_ITEM_MAX);
    free(item->bytes);
    item->bytes = xalloc(size + 1);
    item->size = size;
    if (size)
        memcpy(item->bytes, bytes, size);
}

void fw_cfg_set(struct fw_cfg *fw, u16 key, const void *bytes, u64 size)
{
    struct item *item = find_key(fw, key);
    set_bytes(item ? item : add_item(fw, key), bytes, size);
}

void fw_cfg_set_value(struct fw_cfg *fw, u16 key, u64 value, unsigned size)
{
    u8 bytes[8];
    ASSERT(size <= sizeof(bytes));
    for (unsigned n = 0; n < size; n++)
        bytes[n] = (u8)(value >> (8 * n));
    fw_cfg_set(fw, key, bytes, size);
}

static void put_be(u8 *to, u64 value, unsigned size)
{
    for (unsigned n = 0; n < size; n++)
        to[n] = (u8)(value >> (8 * (size - 1 - n)));
}

static u64 get_be(const u8 *from, unsigned size)
{
    u64 value = 0;
    for (unsigned n = 0; n < size; n++)
        value = value << 8 | from[n];
    return value;
}

static void write_directory(struct fw_cfg *fw)
{
    u8 dir[4 + FW_CFG_FILES * DIR_ENTRY_SIZE] = {0};
    u8 *entry = dir + 4;
    put_be(dir, fw->files, 4);
    for (u32 n = 0; n < fw->items; n++) {
        const struct item *item = &fw->item[n];
        if (!item->name[0] || entry == dir + sizeof(dir))
            continue;
        put_be(entry, item->size, 4);
        put_be(entry + 4, item->key, 2);
        memcpy(entry + 8, item->name, FW_CFG_NAME_SIZE);
        entry += DIR_ENTRY_SIZE;
    }
    fw_cfg_set(fw, KEY_FILE_DIR, dir, (u64)(entry - dir));
}

void fw_cfg_set_file(struct fw_cfg *fw, const char *name, const void *bytes, u64 size)
{
    struct item *item = find_file(fw, name);
    if (!item) {
        ASSERT(fw->files < FW_CFG_FILES && name[0] && strlen(name) < FW_CFG_NAME_SIZE);
        item = add_item(fw, (u16)(KEY_FILE_FIRST + fw->files++));
        memcpy(item->name, name, strlen(name) + 1);
    }
    bool resized = !item->bytes || item->size != size;
    set_bytes(item, bytes, size);
    if (resized)
        write_directory(fw);
}

void fw_cfg_on_select(struct fw_cfg *fw, const char *name, void (*fn)(void *opaque), void *opaque)
{
    ASSERT(find_file(fw, name) && fw->hooks < HOOKS_MAX);
    fw->hook[fw->hooks++] = (struct hook){name, fn, opaque};
}

/* ---- Ports ---- */

static void select_item(struct fw_cfg *fw, u16 key)
{
    fw->key = (u16)(key & ~KEY_WRITE);
    fw->offset = 0;
    const struct item *item = find_key(fw, fw->key);
    if (!item)
        log_msg(LOG_DEV, "fw_cfg: no item %#x", key);
    for (u32 n = 0; item && n < fw->hooks; n++) {
        const struct hook *hook = &fw->hook[n];
        if (!strcmp(hook->name, item->name))
            hook->select(hook->opaque);
    }
}

/* Past the end there are zeroes for ever. */
static u8 next_byte(struct fw_cfg *fw)
{
    const struct item *item = find_key(fw, fw->key);
    return item && fw->offset < item->size ? item->bytes[fw->offset++] : 0;
}

/* The selector takes words only; the data port is its second byte. */
static u64 selector_read(void *opaque, u64 offset, unsigned size)
{
    return offset == 1 && size == 1 ? next_byte(opaque) : UINT64_MAX;
}

static void selector_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    if (offset == 0 && size == 2)
        select_item(opaque, (u16)value);
}

/* ---- DMA ---- */

/* Zeroes, for what is read past an item's end. */
static bool fill(struct ram *ram, u64 to, u64 size)
{
    static const u8 zeroes[4096];
    while (size) {
        u64 part = MIN(size, sizeof(zeroes));
        if (!ram_write(ram, to, zeroes, part))
            return false;
        to += part;
        size -= part;
    }
    return true;
}

/* What is left of the selected item. */
static u64 rest(const struct fw_cfg *fw, const struct item *item)
{
    return item && fw->offset < item->size ? item->size - fw->offset : 0;
}

static bool dma_read(struct fw_cfg *fw, u64 to, u32 length)
{
    struct ram *ram = &fw->env->bus->ram;
    const struct item *item = find_key(fw, fw->key);
    u64 part = MIN(rest(fw, item), length);
    if (part && !ram_write(ram, to, item->bytes + fw->offset, part))
        return false;
    fw->offset += part;
    return fill(ram, to + part, length - part);
}

/* Whether it worked. control is that of the request. */
static bool dma_transfer(struct fw_cfg *fw, u32 control, u64 address, u32 length)
{
    if (control & DMA_SELECT)
        select_item(fw, (u16)(control >> 16));
    if (control & DMA_READ)
        return dma_read(fw, address, length);
    if (control & DMA_WRITE)
        return false; /* there are no items to write */
    if (control & DMA_SKIP)
        fw->offset += MIN(rest(fw, find_key(fw, fw->key)), length);
    return true;
}

/* The request in RAM: control, length, address, each big-endian. */
static void dma_run(struct fw_cfg *fw)
{
    struct ram *ram = &fw->env->bus->ram;
    u8 request[16], result[4];
    u64 at = fw->dma_address;
    fw->dma_address = 0;
    bool ok = ram_read(ram, at, request, sizeof(request)) &&
              dma_transfer(fw, (u32)get_be(request, 4), get_be(request + 8, 8),
                           (u32)get_be(request + 4, 4));
    put_be(result, ok ? 0 : DMA_ERROR, 4);
    if (!ram_write(ram, at, result, sizeof(result)))
        log_msg(LOG_DEV, "fw_cfg: no memory for a request at %#llx", (unsigned long long)at);
}

static u64 dma_port_read(void *opaque, u64 offset, unsigned size)
{
    u64 value = 0;
    (void)opaque;
    for (unsigned n = 0; n < size; n++)
        value |= ((DMA_SIGNATURE >> (8 * (7 - offset - n))) & 0xff) << (8 * n);
    return value;
}

/* The address is big-endian; its low half starts the transfer. */
static void dma_port_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct fw_cfg *fw = opaque;
    u8 bytes[4];
    if (size != 4)
        return;
    for (unsigned n = 0; n < 4; n++)
        bytes[n] = (u8)(value >> (8 * n));
    if (offset == 0) {
        fw->dma_address = get_be(bytes, 4) << 32;
    } else if (offset == 4) {
        fw->dma_address |= get_be(bytes, 4);
        dma_run(fw);
    }
}

static const struct bus_ops selector_ops = {selector_read, selector_write, 2};
static const struct bus_ops dma_ops = {dma_port_read, dma_port_write, 4};

/* ---- The device ---- */

static void fw_cfg_reset(void *device)
{
    struct fw_cfg *fw = device;
    fw->key = KEY_SIGNATURE;
    fw->offset = 0;
    fw->dma_address = 0;
}

static void *fw_cfg_create(const struct device_env *env, const void *config, struct error *err)
{
    struct fw_cfg *fw = xalloc(sizeof(*fw));
    (void)config;
    (void)err;
    fw->env = env;
    fw_cfg_set(fw, KEY_SIGNATURE, "QEMU", 4);
    fw_cfg_set_value(fw, KEY_ID, ID_TRADITIONAL | ID_DMA, 4);
    write_directory(fw);
    bus_map_io(env->bus, &(struct bus_region){FW_CFG_SELECTOR, 2, &selector_ops, fw, "fw_cfg"});
    bus_map_io(env->bus, &(struct bus_region){FW_CFG_DMA, 8, &dma_ops, fw, "fw_cfg dma"});
    return fw;
}

static void drop_items(struct fw_cfg *fw)
{
    for (u32 n = 0; n < fw->items; n++)
        free(fw->item[n].bytes);
    memset(fw->item, 0, sizeof(fw->item));
    fw->items = fw->files = 0;
}

static void snap_item(struct snap *s, struct item *item)
{
    SNAP(s, item->key);
    SNAP(s, item->name);
    item->name[FW_CFG_NAME_SIZE - 1] = 0;
    SNAP(s, item->size);
    snap_range(s, "size of a firmware item", item->size, 0, FW_CFG_ITEM_MAX);
    if (!snap_ok(s))
        item->size = 0;
    if (snap_loading(s))
        item->bytes = xalloc(item->size + 1);
    snap_bytes(s, item->bytes, item->size);
}

/* Items are saved too: a kernel among them need not be at hand when loading. */
static void snap_items(struct fw_cfg *fw, struct snap *s)
{
    u32 items = fw->items, files = fw->files;
    SNAP(s, items);
    SNAP(s, files);
    snap_range(s, "number of firmware items", items, 1, ITEMS_MAX);
    snap_range(s, "number of firmware files", files, 0, MIN(items, FW_CFG_FILES));
    if (!snap_ok(s))
        return;
    if (snap_loading(s))
        drop_items(fw);
    fw->items = items;
    fw->files = files;
    for (u32 n = 0; n < items; n++)
        snap_item(s, &fw->item[n]);
}

static void fw_cfg_snap(void *device, struct snap *s)
{
    struct fw_cfg *fw = device;
    snap_section(s, "fw_cfg", 1);
    SNAP(s, fw->key);
    SNAP(s, fw->offset);
    SNAP(s, fw->dma_address);
    snap_items(fw, s);
}

static void fw_cfg_free(void *device)
{
    struct fw_cfg *fw = device;
    bus_unmap_io(fw->env->bus, FW_CFG_SELECTOR);
    bus_unmap_io(fw->env->bus, FW_CFG_DMA);
    drop_items(fw);
    free(fw);
}

const struct device_class fw_cfg_class = {
    .name = "fw_cfg",
    .help = "firmware configuration: items and files at ports 0x510 and, by DMA, 0x514",
    .create = fw_cfg_create,
    .reset = fw_cfg_reset,
    .snap = fw_cfg_snap,
    .free = fw_cfg_free,
};
