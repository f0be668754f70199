/* SPDX-License-Identifier: MIT */
/* Linux: a bzImage by the 64-bit boot protocol, and an ELF kernel by its PVH entry. */
#include "frontend/image.h"

#include <string.h>

#include "devices/e820.h"

static void put16(u8 *p, u64 v)
{
    memcpy(p, &v, 2);
}
static void put32(u8 *p, u64 v)
{
    memcpy(p, &v, 4);
}
static void put64(u8 *p, u64 v)
{
    memcpy(p, &v, 8);
}
static u32 get32(const u8 *p)
{
    u32 v;
    memcpy(&v, p, 4);
    return v;
}
static u64 get64(const u8 *p)
{
    u64 v;
    memcpy(&v, p, 8);
    return v;
}
static u16 get16(const u8 *p)
{
    u16 v;
    memcpy(&v, p, 2);
    return v;
}

/* Offsets in struct boot_params ("The Linux/x86 Boot Protocol", "The zero page"). */
enum {
    ZP_RSDP = 0x070,
    ZP_EXT_RAMDISK_IMAGE = 0x0c0,
    ZP_EXT_RAMDISK_SIZE = 0x0c4,
    ZP_EXT_CMD_LINE = 0x0c8,
    ZP_E820_ENTRIES = 0x1e8,
    ZP_HEADER = 0x1f1,
    ZP_SETUP_SECTS = 0x1f1,
    ZP_VID_MODE = 0x1fa,
    ZP_JUMP = 0x200,
    ZP_VERSION = 0x206,
    ZP_TYPE_OF_LOADER = 0x210,
    ZP_LOADFLAGS = 0x211,
    ZP_RAMDISK_IMAGE = 0x218,
    ZP_RAMDISK_SIZE = 0x21c,
    ZP_HEAP_END = 0x224,
    ZP_CMD_LINE = 0x228,
    ZP_INITRD_MAX = 0x22c,
    ZP_RELOCATABLE = 0x234,
    ZP_XLOADFLAGS = 0x236,
    ZP_CMDLINE_SIZE = 0x238,
    ZP_PREF_ADDRESS = 0x258,
    ZP_INIT_SIZE = 0x260,
    ZP_HEADER_MAX = 0x290,
    ZP_E820 = 0x2d0,
    ZP_E820_MAX = 128
};

/* Identity map of the first 4 GiB by 2 MiB pages; returns CR3. */
static bool put_page_tables(struct boot *b, struct error *err)
{
    u64 table[512] = {0};
    table[0] = (BOOT_TABLES + 0x1000) | 3;
    if (!boot_put(b, BOOT_TABLES, table, sizeof(table), "page tables", err))
        return false;
    for (unsigned n = 0; n < 4; n++)
        table[n] = (BOOT_TABLES + 0x2000 + n * 0x1000) | 3;
    if (!boot_put(b, BOOT_TABLES + 0x1000, table, sizeof(table), "page tables", err))
        return false;
    for (u64 n = 0; n < 4; n++) {
        for (u64 k = 0; k < 512; k++)
            table[k] = (n * 512 + k) * 2 * MIB | 0x83;
        if (!boot_put(b, BOOT_TABLES + 0x2000 + n * 0x1000, table, sizeof(table), "page tables",
                      err))
            return false;
    }
    return true;
}

static bool put_initrd(struct boot *b, u64 limit, u64 *at, u64 *size, struct error *err)
{
    *at = *size = 0;
    if (!b->req->initrd)
        return true;
    struct image img;
    if (!image_read_raw(&img, b->req->initrd, err))
        return false;
    bool ok = boot_put_module(b, &img, limit, at, err);
    *size = img.size;
    image_free(&img);
    return ok;
}

static void fill_e820(struct boot *b, u8 *zp)
{
    struct e820_range map[E820_MAX];
    unsigned n = e820_build(b->ram, map);
    for (unsigned k = 0; k < n; k++) {
        put64(zp + ZP_E820 + 20 * k, map[k].base);
        put64(zp + ZP_E820 + 20 * k + 8, map[k].size);
        put32(zp + ZP_E820 + 20 * k + 16, map[k].type);
    }
    zp[ZP_E820_ENTRIES] = (u8)n;
}

static bool check_header(const struct boot *b, const u8 *h, struct error *err)
{
    const char *path = b->kernel.path;
    if (get16(h + ZP_VERSION) < 0x20c || !(get16(h + ZP_XLOADFLAGS) & 1))
        return error_set(err, "%s: boot protocol %u.%02u without a 64-bit entry (2.12 is needed)",
                         path, h[ZP_VERSION + 1], h[ZP_VERSION]);
    if (b->req->append && strlen(b->req->append) > get32(h + ZP_CMDLINE_SIZE))
        return error_set(err, "--append: longer than the %u bytes that %s takes",
                         get32(h + ZP_CMDLINE_SIZE), path);
    return true;
}

bool boot_linux(struct boot *b, struct error *err)
{
    const u8 *file = image_part(&b->kernel, 0, ZP_HEADER_MAX);
    if (!file)
        return error_set(err, "%s: shorter than its header", b->kernel.path);
    if (!check_header(b, file, err))
        return false;
    u8 zp[4096] = {0};
    unsigned header_end = 0x202 + file[0x201];
    memcpy(zp + ZP_HEADER, file + ZP_HEADER, MIN(header_end, (unsigned)ZP_HEADER_MAX) - ZP_HEADER);
    u64 setup = ((file[ZP_SETUP_SECTS] ? file[ZP_SETUP_SECTS] : 4u) + 1) * 512;
    if (setup >= b->kernel.size)
        return error_set(err, "%s: no kernel behind its %llu bytes of setup", b->kernel.path,
                         (unsigned long long)setup);
    u64 load = get64(file + ZP_PREF_ADDRESS), size = b->kernel.size - setup;
    u64 init_end = load + get32(file + ZP_INIT_SIZE), at, initrd_size;
    if (load < MIB || init_end < load)
        return error_set(err, "%s: wants to be at 0x%llx", b->kernel.path,
                         (unsigned long long)load);
    if (init_end > b->ram->low)
        return error_set(err, "%s: needs memory up to 0x%llx, the machine has 0x%llx",
                         b->kernel.path, (unsigned long long)init_end,
                         (unsigned long long)b->ram->low);
    struct image body = {.data = b->kernel.data + setup, .size = size};
    if (!boot_segment(b, load, &body, size, err))
        return false;
    b->kernel_end = MAX(b->kernel_end, init_end);
    if (!put_initrd(b, (u64)get32(file + ZP_INITRD_MAX) + 1, &at, &initrd_size, err))
        return false;
    zp[ZP_TYPE_OF_LOADER] = 0xff;
    zp[ZP_LOADFLAGS] |= 1;
    put16(zp + ZP_VID_MODE, 0xffff);
    put32(zp + ZP_RAMDISK_IMAGE, at);
    put32(zp + ZP_RAMDISK_SIZE, initrd_size);
    put32(zp + ZP_CMD_LINE, BOOT_CMDLINE);
    put64(zp + ZP_RSDP, b->req->rsdp);
    fill_e820(b, zp);
    if (!boot_put(b, BOOT_INFO, zp, sizeof(zp), "the zero page", err) ||
        !boot_put_cmdline(b, err) || !put_page_tables(b, err))
        return false;
    boot_state_64(b->cpu, load + 0x200, BOOT_INFO, BOOT_TABLES);
    return true;
}

/* ---- PVH ("x86/HVM direct boot ABI") ---- */

enum { PVH_MAGIC = 0x336ec578, PVH_MODULES = BOOT_INFO + 0x100, PVH_MEMMAP = BOOT_INFO + 0x200 };

bool boot_pvh(struct boot *b, u32 entry, struct error *err)
{
    u64 unused, at, size;
    if (!boot_load_elf(b, &unused, err) || !put_initrd(b, b->ram->low, &at, &size, err) ||
        !boot_put_cmdline(b, err))
        return false;
    struct e820_range map[E820_MAX];
    unsigned n = e820_build(b->ram, map);
    u8 info[56] = {0}, module[32] = {0}, table[24 * E820_MAX] = {0};
    for (unsigned k = 0; k < n; k++) {
        put64(table + 24 * k, map[k].base);
        put64(table + 24 * k + 8, map[k].size);
        put32(table + 24 * k + 16, map[k].type);
    }
    put64(module, at);
    put64(module + 8, size);
    put32(info, PVH_MAGIC);
    put32(info + 4, 1); /* version */
    put32(info + 12, at ? 1 : 0);
    put64(info + 16, PVH_MODULES);
    put64(info + 24, BOOT_CMDLINE);
    put64(info + 32, b->req->rsdp);
    put64(info + 40, PVH_MEMMAP);
    put32(info + 48, n);
    if (!boot_put(b, BOOT_INFO, info, sizeof(info), "the start info", err) ||
        !boot_put(b, PVH_MODULES, module, sizeof(module), "the module list", err) ||
        !boot_put(b, PVH_MEMMAP, table, (u64)24 * n, "the memory map", err))
        return false;
    boot_state_32(b->cpu, entry, 0, BOOT_INFO);
    return true;
}
