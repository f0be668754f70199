/* SPDX-License-Identifier: MIT */
/*
 * Multiboot 2 images ("Multiboot2 Specification version 2.0", machine state for i386): ELF32, ELF64
 * and flat. Headers are lists of tags, aligned to 8; a tag that is not marked optional and asks for
 * what the machine does not have makes the image unloadable.
 */
#include "frontend/image.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "devices/e820.h"

#define HEADER_MAGIC 0xe85250d6u
#define BOOT_MAGIC 0x36d76289u

enum {
    HEADER_SEARCH = 32768,
    HEADER_SIZE = 16,
    ARCH_I386 = 0,
    TAG_ALIGN = 8,
    TAG_HEAD = 8, /* bytes of type, flags and size */
    TAG_OPTIONAL = 1,
    CONSOLE_REQUIRED = 1,
    INFO_END = BOOT_INFO + 0x10000
};

/* Tags of the header. */
enum {
    ASK_END,
    ASK_INFO,
    ASK_ADDRESS,
    ASK_ENTRY,
    ASK_CONSOLE,
    ASK_FRAMEBUFFER,
    ASK_MODULE_ALIGN,
    ASK_EFI_SERVICES,
    ASK_EFI_ENTRY_32,
    ASK_EFI_ENTRY_64,
    ASK_RELOCATABLE
};

/* Tags of the information. */
enum {
    TELL_END,
    TELL_CMDLINE,
    TELL_LOADER,
    TELL_MODULE,
    TELL_MEMORY,
    TELL_MMAP = 6,
    TELL_RSDP_1 = 14,
    TELL_RSDP_2 = 15
};

/* What the header asks for, gathered. */
struct header {
    const u8 *tags;
    u64 at, size; /* offset in the file, bytes in all */
    bool has_address, has_entry;
    u32 address[4]; /* header, load, load end, bss end */
    u32 entry;
};

static u32 get32(const u8 *p)
{
    u32 v;
    memcpy(&v, p, 4);
    return v;
}

static u16 get16(const u8 *p)
{
    u16 v;
    memcpy(&v, p, 2);
    return v;
}

bool boot_find_multiboot2(const struct image *img, u64 *header)
{
    u64 end = MIN(img->size, HEADER_SEARCH);
    for (u64 at = 0; at + HEADER_SIZE <= end; at += TAG_ALIGN) {
        u32 h[4]; /* magic, architecture, length, checksum */
        memcpy(h, img->data + at, sizeof(h));
        if (h[0] == HEADER_MAGIC && h[0] + h[1] + h[2] + h[3] == 0) {
            *header = at;
            return true;
        }
    }
    return false;
}

/* ---- The header ---- */

static bool known_info(u32 type)
{
    return (type >= TELL_CMDLINE && type <= TELL_MEMORY) || type == TELL_MMAP ||
           type == TELL_RSDP_1 || type == TELL_RSDP_2;
}

/* A tag asks for several pieces of information at once. */
static bool check_info(const struct boot *b, const u8 *tag, u32 size, struct error *err)
{
    for (u32 k = TAG_HEAD; k + 4 <= size; k += 4)
        if (!known_info(get32(tag + k)))
            return error_set(err,
                             "%s: needs Multiboot 2 information of type %u, which is not there",
                             b->kernel.path, get32(tag + k));
    return true;
}

static bool check_size(const struct boot *b, u16 type, u32 size, u32 expected, struct error *err)
{
    return size >= expected ||
           error_set(err, "%s: Multiboot 2 tag of type %u is cut off", b->kernel.path, type);
}

/* A tag that is not optional and that is no plain piece of data. */
static bool check_demand(const struct boot *b, const u8 *tag, u16 type, u32 size, struct error *err)
{
    switch (type) {
    case ASK_INFO:
        return check_info(b, tag, size, err);
    case ASK_CONSOLE:
        if (!check_size(b, type, size, TAG_HEAD + 4, err))
            return false;
        return !(get32(tag + TAG_HEAD) & CONSOLE_REQUIRED) ||
               error_set(err,
                         "%s: needs a console of the loader's, which the machine does not have",
                         b->kernel.path);
    case ASK_FRAMEBUFFER:
        return error_set(err, "%s: needs a framebuffer, which the machine does not have",
                         b->kernel.path);
    case ASK_MODULE_ALIGN: /* they always are */
    case ASK_EFI_SERVICES: /* offers for loaders that run on EFI */
    case ASK_EFI_ENTRY_32:
    case ASK_EFI_ENTRY_64:
    case ASK_RELOCATABLE: /* may be moved, need not */
        return true;
    default:
        return error_set(err, "%s: unknown Multiboot 2 tag of type %u", b->kernel.path, type);
    }
}

static bool take_tag(const struct boot *b, struct header *h, const u8 *tag, u32 size,
                     struct error *err)
{
    u16 type = get16(tag), flags = get16(tag + 2);
    switch (type) {
    case ASK_ADDRESS:
        if (!check_size(b, type, size, TAG_HEAD + sizeof(h->address), err))
            return false;
        memcpy(h->address, tag + TAG_HEAD, sizeof(h->address));
        h->has_address = true;
        return true;
    case ASK_ENTRY:
        if (!check_size(b, type, size, TAG_HEAD + 4, err))
            return false;
        h->entry = get32(tag + TAG_HEAD);
        h->has_entry = true;
        return true;
    default:
        return flags & TAG_OPTIONAL || check_demand(b, tag, type, size, err);
    }
}

static bool read_header(const struct boot *b, struct header *h, struct error *err)
{
    const u8 *head = b->kernel.data + h->at;
    h->size = get32(head + 8);
    if (get32(head + 4) != ARCH_I386)
        return error_set(err, "%s: Multiboot 2 header for architecture %u", b->kernel.path,
                         get32(head + 4));
    h->tags = image_part(&b->kernel, h->at, h->size);
    for (u64 at = HEADER_SIZE; h->tags && at + TAG_HEAD <= h->size;) {
        const u8 *tag = h->tags + at;
        u32 size = get32(tag + 4);
        if (size < TAG_HEAD || size > h->size - at)
            break;
        if (get16(tag) == ASK_END)
            return true;
        if (!take_tag(b, h, tag, size, err))
            return false;
        at += ((u64)size + TAG_ALIGN - 1) & ~(u64)(TAG_ALIGN - 1);
    }
    return error_set(err, "%s: Multiboot 2 header cut off", b->kernel.path);
}

/* ---- The image ---- */

static bool load_flat(struct boot *b, const struct header *h, struct error *err)
{
    u64 header = h->address[0], load = h->address[1], end = h->address[2], bss = h->address[3];
    if (!h->has_entry)
        return error_set(err, "%s: Multiboot 2 header with addresses but no entry", b->kernel.path);
    if (load == UINT32_MAX) /* from the file's start */
        load = header - h->at;
    u64 skip = h->at - (header - load);
    struct image data = {.size = end ? end - load : b->kernel.size - skip};
    if (load <= header && skip <= h->at && load <= UINT32_MAX)
        data.data = (u8 *)(uintptr_t)image_part(&b->kernel, skip, data.size);
    if (!data.data)
        return error_set(err, "%s: the Multiboot 2 header's addresses point outside the file",
                         b->kernel.path);
    return boot_segment(b, load, &data, MAX(data.size, bss > load ? bss - load : 0), err);
}

static bool load_image(struct boot *b, const struct header *h, u32 *entry, struct error *err)
{
    u64 elf_entry = 0;
    if (!(h->has_address ? load_flat(b, h, err) : boot_load_elf(b, &elf_entry, err)))
        return false;
    if (!h->has_entry && elf_entry > UINT32_MAX)
        return error_set(err, "%s: its entry is above 4 GiB, where Multiboot 2 can't begin",
                         b->kernel.path);
    *entry = h->has_entry ? h->entry : (u32)elf_entry;
    return true;
}

/* ---- The information ---- */

/* Tags are put one behind the other; `at` is where the next one goes. */
struct info {
    struct boot *b;
    u64 at;
    struct error *err;
};

static bool put(struct info *info, u64 at, const void *data, u64 size)
{
    if (at + size > INFO_END)
        return error_set(info->err, "--initrd, --append: the arguments are too long");
    return boot_put(info->b, at, data, size, "the Multiboot 2 information", info->err);
}

/* A tag of two parts: fixed fields, then data of any length. */
static bool put_tag(struct info *info, u32 type, const struct image *fields,
                    const struct image *data)
{
    u32 head[2] = {type, (u32)(TAG_HEAD + fields->size + data->size)};
    u64 at = info->at;
    info->at += (head[1] + TAG_ALIGN - 1u) & ~(TAG_ALIGN - 1u);
    return put(info, at, head, sizeof(head)) &&
           put(info, at + TAG_HEAD, fields->data, fields->size) &&
           put(info, at + TAG_HEAD + fields->size, data->data, data->size);
}

static struct image bytes(const void *p, u64 size)
{
    return (struct image){.data = (u8 *)(uintptr_t)p, .size = size};
}

static bool put_data(struct info *info, u32 type, const void *p, u64 size)
{
    struct image none = bytes("", 0), data = bytes(p, size);
    return put_tag(info, type, &none, &data);
}

static bool put_mmap(struct info *info)
{
    struct e820_range map[E820_MAX];
    struct entry {
        u64 base, size;
        u32 type, reserved;
    } entries[E820_MAX];
    const u32 form[2] = {sizeof(struct entry), 0}; /* and the version */
    unsigned count = e820_build(info->b->ram, map);
    for (unsigned n = 0; n < count; n++)
        entries[n] = (struct entry){map[n].base, map[n].size, map[n].type, 0};
    struct image fields = bytes(form, sizeof(form)),
                 data = bytes(entries, count * sizeof(*entries));
    return put_tag(info, TELL_MMAP, &fields, &data);
}

static bool put_module_tags(struct info *info, const struct boot_module *mods, unsigned count)
{
    for (unsigned n = 0; n < count; n++) {
        const u32 ends[2] = {mods[n].start, mods[n].end};
        struct image fields = bytes(ends, sizeof(ends)),
                     text = bytes(mods[n].text, strlen(mods[n].text) + 1);
        if (!put_tag(info, TELL_MODULE, &fields, &text))
            return false;
    }
    return true;
}

/* Copies of the root pointer: the first 20 bytes are its first version. */
static bool put_rsdp(struct info *info)
{
    u8 rsdp[36];
    u64 at = info->b->req->rsdp;
    if (!at || !ram_read(info->b->ram, at, rsdp, sizeof(rsdp)))
        return true;
    return put_data(info, TELL_RSDP_1, rsdp, 20) && put_data(info, TELL_RSDP_2, rsdp, sizeof(rsdp));
}

static bool put_info(struct boot *b, const struct boot_module *mods, unsigned count,
                     struct error *err)
{
    struct info info = {b, BOOT_INFO + 8, err};
    char *cmdline = boot_multiboot_cmdline(b);
    const u32 memory[2] = {E820_LOW_END / KIB, (u32)((b->ram->low - MIB) / KIB)};
    static const char loader[] = "Testudo";
    bool ok = put_data(&info, TELL_CMDLINE, cmdline, strlen(cmdline) + 1) &&
              put_data(&info, TELL_LOADER, loader, sizeof(loader)) &&
              put_data(&info, TELL_MEMORY, memory, sizeof(memory)) && put_mmap(&info) &&
              put_rsdp(&info) && put_module_tags(&info, mods, count) &&
              put_data(&info, TELL_END, "", 0);
    free(cmdline);
    const u32 head[2] = {(u32)(info.at - BOOT_INFO), 0};
    return ok && put(&info, BOOT_INFO, head, sizeof(head));
}

bool boot_multiboot2(struct boot *b, u64 header, struct error *err)
{
    struct boot_module mods[BOOT_MODULES_MAX];
    struct header h = {.at = header};
    unsigned count = 0;
    u32 entry = 0;
    if (!read_header(b, &h, err) || !load_image(b, &h, &entry, err))
        return false;
    bool ok = boot_put_modules(b, mods, &count, err) && put_info(b, mods, count, err);
    boot_free_modules(mods, count);
    if (ok)
        boot_state_32(b->cpu, entry, BOOT_MAGIC, BOOT_INFO);
    return ok;
}
