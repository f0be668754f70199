/* SPDX-License-Identifier: MIT */
/* Multiboot 1 images ("The Multiboot Specification version 0.6.96"): ELF32, ELF64 and flat. */
#include "frontend/image.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "devices/e820.h"

enum {
    FLAG_ADDRESSES = 1 << 16, /* the header says where to load: "address fields" */
    INFO_MEM = 1 << 0,
    INFO_CMDLINE = 1 << 2,
    INFO_MODS = 1 << 3,
    INFO_MMAP = 1 << 6,
    INFO_LOADER = 1 << 9,
    MODULES_MAX = 32,
    MB_MODULES = BOOT_INFO + 0x100,
    MB_MMAP = BOOT_INFO + 0x400,
    MB_NAME = BOOT_INFO + 0x800,
    MB_STRINGS = BOOT_INFO + 0x1000,
    MB_STRINGS_END = BOOT_INFO + 0x8000
};

struct module {
    u32 start, end, string, reserved;
};

static bool load_flat(struct boot *b, u64 header, u64 *entry, struct error *err)
{
    u32 h[5]; /* header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr */
    const u8 *p = image_part(&b->kernel, header + 12, sizeof(h));
    if (!p)
        return error_set(err, "%s: Multiboot header cut off", b->kernel.path);
    memcpy(h, p, sizeof(h));
    u64 skip = header - (h[0] - h[1]);
    u64 size = h[2] ? (u64)h[2] - h[1] : b->kernel.size - skip;
    const u8 *data = h[1] <= h[0] && skip <= header ? image_part(&b->kernel, skip, size) : NULL;
    if (!data)
        return error_set(err, "%s: the Multiboot header's addresses point outside the file",
                         b->kernel.path);
    *entry = h[4];
    if (!boot_put(b, h[1], data, size, "the image", err))
        return false;
    for (u64 at = h[1] + size; at < h[3]; at++) {
        u8 zero = 0;
        if (!boot_put(b, at, &zero, 1, "the image's bss", err))
            return false;
    }
    return true;
}

/* Puts a string into the area of strings at *at and moves it on. */
static bool put_string(struct boot *b, const char *text, u64 *at, struct error *err)
{
    u64 size = strlen(text) + 1;
    if (*at + size > MB_STRINGS_END)
        return error_set(err, "--initrd, --append: the modules' arguments are too long");
    if (!boot_put(b, *at, text, size, "arguments", err))
        return false;
    *at += size;
    return true;
}

/* "FILE ARGS": loads FILE; the module's string is the whole text. */
static bool put_module(struct boot *b, char *text, struct module *mod, u64 *strings,
                       struct error *err)
{
    char *path = xstrdup(text);
    path[strcspn(path, " ")] = 0;
    struct image img;
    u64 at = 0;
    bool ok = image_read_raw(&img, path, err) && boot_put_module(b, &img, UINT32_MAX, &at, err);
    mod->start = (u32)at;
    mod->end = (u32)(at + img.size);
    mod->string = (u32)*strings;
    ok = ok && put_string(b, text, strings, err);
    image_free(&img);
    free(path);
    return ok;
}

static bool put_modules(struct boot *b, struct module *mods, unsigned *count, u64 *strings,
                        struct error *err)
{
    char *list = b->req->initrd ? xstrdup(b->req->initrd) : NULL, *save = NULL;
    bool ok = true;
    for (char *t = list ? strtok_r(list, ",", &save) : NULL; t && ok;
         t = strtok_r(NULL, ",", &save)) {
        if (*count == MODULES_MAX)
            ok = error_set(err, "--initrd: more than %d modules", MODULES_MAX);
        else
            ok = put_module(b, t, &mods[(*count)++], strings, err);
    }
    free(list);
    return ok && boot_put(b, MB_MODULES, mods, *count * sizeof(*mods), "the module list", err);
}

/* Each entry: size of the rest (20), base, length, type. Returns bytes. */
static unsigned fill_mmap(const struct boot *b, u8 *to)
{
    struct e820_range map[E820_MAX];
    unsigned n = e820_build(b->ram, map);
    for (unsigned k = 0; k < n; k++) {
        u32 size = 20;
        memcpy(to + 24 * k, &size, 4);
        memcpy(to + 24 * k + 4, &map[k].base, 8);
        memcpy(to + 24 * k + 12, &map[k].size, 8);
        memcpy(to + 24 * k + 20, &map[k].type, 4);
    }
    return 24 * n;
}

bool boot_multiboot(struct boot *b, u64 header, struct error *err)
{
    u32 flags;
    memcpy(&flags, b->kernel.data + header + 4, 4);
    u64 entry;
    if (!(flags & FLAG_ADDRESSES ? load_flat(b, header, &entry, err)
                                 : boot_load_elf(b, &entry, err)))
        return false;
    struct module mods[MODULES_MAX] = {{0}};
    unsigned count = 0;
    u64 strings = MB_STRINGS, name = MB_NAME;
    if (!put_modules(b, mods, &count, &strings, err))
        return false;
    /* The command line begins with the image's name, as GRUB passes it. */
    char *cmdline = xasprintf("%s%s%s", b->kernel.path, b->req->append ? " " : "",
                              b->req->append ? b->req->append : "");
    u64 cmdline_at = strings;
    bool ok = put_string(b, cmdline, &strings, err);
    free(cmdline);
    u8 mmap[24 * E820_MAX];
    u32 info[29] = {0};
    info[0] = INFO_MEM | INFO_CMDLINE | INFO_MODS | INFO_MMAP | INFO_LOADER;
    info[1] = 640;
    info[2] = (u32)((b->ram->low - MIB) / KIB);
    info[4] = (u32)cmdline_at;
    info[5] = count;
    info[6] = MB_MODULES;
    info[11] = fill_mmap(b, mmap);
    info[12] = MB_MMAP;
    info[16] = MB_NAME;
    ok = ok && boot_put(b, MB_MMAP, mmap, info[11], "the memory map", err) &&
         boot_put(b, name, "Testudo", 8, "its name", err) &&
         boot_put(b, BOOT_INFO, info, sizeof(info), "the Multiboot information", err);
    if (ok)
        boot_state_32(b->cpu, (u32)entry, 0x2badb002, BOOT_INFO);
    return ok;
}
