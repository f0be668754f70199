/* SPDX-License-Identifier: MIT */
/* Multiboot 1 images ("The Multiboot Specification version 0.6.96"): ELF32, ELF64 and flat. */
#include "frontend/image.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "devices/e820.h"

enum {
    FLAGS_REQUIRED = 0xffff,  /* a loader that doesn't know one of these must refuse */
    FLAGS_KNOWN = 3,          /* modules on page boundaries, memory information */
    FLAG_ADDRESSES = 1 << 16, /* the header says where to load: "address fields" */
    INFO_MEM = 1 << 0,
    INFO_CMDLINE = 1 << 2,
    INFO_MODS = 1 << 3,
    INFO_MMAP = 1 << 6,
    INFO_LOADER = 1 << 9,
    HEADER_SEARCH = 8192,
    MB_MODULES = BOOT_INFO + 0x100,
    MB_MMAP = BOOT_INFO + 0x400,
    MB_NAME = BOOT_INFO + 0x800,
    MB_STRINGS = BOOT_INFO + 0x1000,
    MB_STRINGS_END = BOOT_INFO + 0x8000
};

#define HEADER_MAGIC 0x1badb002u
#define BOOT_MAGIC 0x2badb002u

/* An entry of the list of modules. */
struct module {
    u32 start, end, string, reserved;
};

bool boot_find_multiboot(const struct image *img, u64 *header)
{
    for (u64 at = 0; at + 12 <= MIN(img->size, HEADER_SEARCH); at += 4) {
        u32 h[3];
        memcpy(h, img->data + at, sizeof(h));
        if (h[0] == HEADER_MAGIC && h[0] + h[1] + h[2] == 0) {
            *header = at;
            return true;
        }
    }
    return false;
}

static bool load_flat(struct boot *b, u64 header, u64 *entry, struct error *err)
{
    u32 h[5]; /* header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr */
    const u8 *p = image_part(&b->kernel, header + 12, sizeof(h));
    if (!p)
        return error_set(err, "%s: Multiboot header cut off", b->kernel.path);
    memcpy(h, p, sizeof(h));
    u64 skip = header - (h[0] - h[1]);
    u64 size = h[2] ? (u64)h[2] - h[1] : b->kernel.size - skip;
    struct image data = {.size = size};
    if (h[1] <= h[0] && skip <= header)
        data.data = (u8 *)(uintptr_t)image_part(&b->kernel, skip, size);
    if (!data.data)
        return error_set(err, "%s: the Multiboot header's addresses point outside the file",
                         b->kernel.path);
    *entry = h[4];
    return boot_segment(b, h[1], &data, MAX(size, h[3] > h[1] ? (u64)h[3] - h[1] : 0), err);
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

/* ---- Modules, for Multiboot 2 as well ---- */

static bool put_module(struct boot *b, struct boot_module *mod, struct error *err)
{
    char *path = xstrdup(mod->text);
    path[strcspn(path, " ")] = 0;
    struct image img;
    u64 at = 0;
    bool ok = image_read_raw(&img, path, err) && boot_put_module(b, &img, UINT32_MAX, &at, err);
    mod->start = (u32)at;
    mod->end = (u32)(at + img.size);
    image_free(&img);
    free(path);
    return ok;
}

bool boot_put_modules(struct boot *b, struct boot_module *mods, unsigned *count, struct error *err)
{
    char *list = b->req->initrd ? xstrdup(b->req->initrd) : NULL, *save = NULL;
    bool ok = true;
    *count = 0;
    for (char *t = list ? strtok_r(list, ",", &save) : NULL; t && ok;
         t = strtok_r(NULL, ",", &save)) {
        if (*count == BOOT_MODULES_MAX) {
            ok = error_set(err, "--initrd: more than %d modules", BOOT_MODULES_MAX);
            break;
        }
        mods[*count].text = xstrdup(t);
        ok = put_module(b, &mods[(*count)++], err);
    }
    free(list);
    return ok;
}

void boot_free_modules(struct boot_module *mods, unsigned count)
{
    for (unsigned n = 0; n < count; n++)
        free(mods[n].text);
}

char *boot_multiboot_cmdline(const struct boot *b)
{
    const char *args = b->req->append;
    return xasprintf("%s%s%s", b->kernel.path, args ? " " : "", args ? args : "");
}

/* ---- The information ---- */

static bool put_module_list(struct boot *b, const struct boot_module *mods, unsigned count,
                            u64 *strings, struct error *err)
{
    struct module list[BOOT_MODULES_MAX];
    for (unsigned n = 0; n < count; n++) {
        list[n] = (struct module){mods[n].start, mods[n].end, (u32)*strings, 0};
        if (!put_string(b, mods[n].text, strings, err))
            return false;
    }
    return boot_put(b, MB_MODULES, list, count * sizeof(*list), "the module list", err);
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

static bool put_info(struct boot *b, unsigned modules, u64 strings, struct error *err)
{
    char *cmdline = boot_multiboot_cmdline(b);
    u64 cmdline_at = strings;
    bool ok = put_string(b, cmdline, &strings, err);
    free(cmdline);
    u8 mmap[24 * E820_MAX];
    u32 info[29] = {0};
    info[0] = INFO_MEM | INFO_CMDLINE | INFO_MODS | INFO_MMAP | INFO_LOADER;
    info[1] = E820_LOW_END / KIB;
    info[2] = (u32)((b->ram->low - MIB) / KIB);
    info[4] = (u32)cmdline_at;
    info[5] = modules;
    info[6] = MB_MODULES;
    info[11] = fill_mmap(b, mmap);
    info[12] = MB_MMAP;
    info[16] = MB_NAME;
    return ok && boot_put(b, MB_MMAP, mmap, info[11], "the memory map", err) &&
           boot_put(b, MB_NAME, "Testudo", 8, "its name", err) &&
           boot_put(b, BOOT_INFO, info, sizeof(info), "the Multiboot information", err);
}

bool boot_multiboot(struct boot *b, u64 header, struct error *err)
{
    struct boot_module mods[BOOT_MODULES_MAX];
    unsigned count = 0;
    u64 entry, strings = MB_STRINGS;
    u32 flags;
    memcpy(&flags, b->kernel.data + header + 4, 4);
    u32 unknown = flags & FLAGS_REQUIRED & ~(u32)FLAGS_KNOWN;
    if (unknown)
        return error_set(err, "%s: asks for Multiboot features 0x%x, which are not there",
                         b->kernel.path, unknown);
    if (!(flags & FLAG_ADDRESSES ? load_flat(b, header, &entry, err)
                                 : boot_load_elf(b, &entry, err)))
        return false;
    bool ok = boot_put_modules(b, mods, &count, err) &&
              put_module_list(b, mods, count, &strings, err) && put_info(b, count, strings, err);
    boot_free_modules(mods, count);
    if (ok)
        boot_state_32(b->cpu, (u32)entry, BOOT_MAGIC, BOOT_INFO);
    return ok;
}
