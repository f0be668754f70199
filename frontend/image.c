/* SPDX-License-Identifier: MIT */
#include "frontend/image.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/alloc.h"

#define IMAGE_MAX (4 * GIB)

/* One reader for both: plain files by stdio, packed ones by zlib. */
struct source {
    FILE *plain;
    gzFile packed;
};

static s64 source_read(struct source *src, u8 *to, u64 size)
{
    if (src->packed)
        return gzread(src->packed, to, (unsigned)MIN(size, 64 * MIB));
    size_t n = fread(to, 1, size, src->plain);
    return n == 0 && ferror(src->plain) ? -1 : (s64)n;
}

static bool read_all(struct image *img, struct source *src, struct error *err)
{
    u64 room = MIB;
    img->data = xalloc(room);
    for (;;) {
        if (img->size == room) {
            room = MIN(room * 2, IMAGE_MAX + 1);
            img->data = xrealloc_array(img->data, room, 1);
        }
        s64 n = source_read(src, img->data + img->size, room - img->size);
        if (n < 0)
            return error_set(err, "%s: can't be read or is damaged", img->path);
        if (n == 0)
            return true;
        img->size += (u64)n;
        if (img->size > IMAGE_MAX)
            return error_set(err, "%s: larger than 4 GiB", img->path);
    }
}

static bool read_file(struct image *img, const char *path, bool unpack, struct error *err)
{
    *img = (struct image){.path = path};
    struct source src = {0};
    if (unpack)
        src.packed = gzopen(path, "rb"); /* reads plain files as they are */
    else
        src.plain = fopen(path, "rb");
    if (!src.packed && !src.plain)
        return error_set(err, "%s: %s", path, strerror(errno));
    bool ok = read_all(img, &src, err);
    if (src.packed)
        ok = gzclose(src.packed) == Z_OK && ok;
    else
        fclose(src.plain);
    if (!ok) {
        image_free(img);
        return error_set(err, "%s: damaged", path);
    }
    return true;
}

bool image_read(struct image *img, const char *path, struct error *err)
{
    return read_file(img, path, true, err);
}

bool image_read_raw(struct image *img, const char *path, struct error *err)
{
    return read_file(img, path, false, err);
}

void image_free(struct image *img)
{
    free(img->data);
    img->data = NULL;
    img->size = 0;
}

bool boot_put(struct boot *b, u64 hpa, const void *data, u64 size, const char *what,
              struct error *err)
{
    if (ram_write(b->ram, hpa, data, size))
        return true;
    return error_set(
        err, "%s: %s needs memory at 0x%llx to 0x%llx, which the machine does not have",
        b->kernel.path, what, (unsigned long long)hpa, (unsigned long long)(hpa + size));
}

bool boot_put_module(struct boot *b, const struct image *img, u64 limit, u64 *at, struct error *err)
{
    u64 end = MIN(b->low_end, limit) & PAGE_MASK, begin = MAX(b->kernel_end, MIB);
    u64 size = (img->size + PAGE_SIZE - 1) & PAGE_MASK;
    if (end < begin || size > end - begin)
        return error_set(err, "%s: %llu bytes do not fit into the machine's memory", img->path,
                         (unsigned long long)img->size);
    *at = end - size;
    b->low_end = *at;
    return boot_put(b, *at, img->data, img->size, img->path, err);
}

bool boot_put_cmdline(struct boot *b, struct error *err)
{
    const char *text = b->req->append ? b->req->append : "";
    if (strlen(text) >= BOOT_CMDLINE_MAX)
        return error_set(err, "--append: longer than %d bytes", BOOT_CMDLINE_MAX - 1);
    return boot_put(b, BOOT_CMDLINE, text, strlen(text) + 1, "the command line", err);
}

/* ---- ELF ---- */

struct elf_segment {
    u64 offset, filesz, paddr, memsz;
    u32 type;
};

/* Program header n of either class; false past the end or outside the file. */
static bool elf_segment(const struct image *img, unsigned n, struct elf_segment *seg)
{
    if (img->data[EI_CLASS] == ELFCLASS64) {
        Elf64_Ehdr eh;
        Elf64_Phdr ph;
        memcpy(&eh, img->data, sizeof(eh));
        const u8 *p = image_part(img, eh.e_phoff + (u64)n * sizeof(ph), sizeof(ph));
        if (n >= eh.e_phnum || eh.e_phentsize != sizeof(ph) || !p)
            return false;
        memcpy(&ph, p, sizeof(ph));
        *seg = (struct elf_segment){ph.p_offset, ph.p_filesz, ph.p_paddr, ph.p_memsz, ph.p_type};
        return true;
    }
    Elf32_Ehdr eh;
    Elf32_Phdr ph;
    memcpy(&eh, img->data, sizeof(eh));
    const u8 *p = image_part(img, eh.e_phoff + (u64)n * sizeof(ph), sizeof(ph));
    if (n >= eh.e_phnum || eh.e_phentsize != sizeof(ph) || !p)
        return false;
    memcpy(&ph, p, sizeof(ph));
    *seg = (struct elf_segment){ph.p_offset, ph.p_filesz, ph.p_paddr, ph.p_memsz, ph.p_type};
    return true;
}

static bool is_elf(const struct image *img)
{
    return img->size >= sizeof(Elf64_Ehdr) && !memcmp(img->data, ELFMAG, SELFMAG) &&
           img->data[EI_DATA] == ELFDATA2LSB &&
           (img->data[EI_CLASS] == ELFCLASS64 || img->data[EI_CLASS] == ELFCLASS32);
}

static bool zero_fill(struct boot *b, u64 at, u64 size, struct error *err)
{
    static const u8 zeros[4096];
    while (size) {
        u64 n = MIN(size, sizeof(zeros));
        if (!boot_put(b, at, zeros, n, "a segment", err))
            return false;
        at += n;
        size -= n;
    }
    return true;
}

static bool overlap(u64 a, u64 a_end, u64 b, u64 b_end)
{
    return a < b_end && b < a_end;
}

bool boot_segment(struct boot *b, u64 hpa, const struct image *data, u64 memory_size,
                  struct error *err)
{
    u64 end = hpa + memory_size;
    if (end < hpa)
        return error_set(err, "%s: a segment reaches beyond 2^64", b->kernel.path);
    if (overlap(hpa, end, BOOT_GDT, BOOT_CMDLINE + BOOT_CMDLINE_MAX) ||
        overlap(hpa, end, BOOT_HOLE, MIB))
        return error_set(err,
                         "%s: a segment at 0x%llx to 0x%llx overlaps what the loader needs below "
                         "1 MiB",
                         b->kernel.path, (unsigned long long)hpa, (unsigned long long)end);
    if (hpa < b->ram->low)
        b->kernel_end = MAX(b->kernel_end, end);
    return boot_put(b, hpa, data->data, data->size, "a segment", err) &&
           zero_fill(b, hpa + data->size, memory_size - data->size, err);
}

bool boot_load_elf(struct boot *b, u64 *entry, struct error *err)
{
    struct elf_segment seg;
    unsigned loaded = 0;
    if (!is_elf(&b->kernel))
        return error_set(err, "%s: no ELF file, and its Multiboot header has no addresses",
                         b->kernel.path);
    for (unsigned n = 0; elf_segment(&b->kernel, n, &seg); n++) {
        if (seg.type != PT_LOAD || !seg.memsz)
            continue;
        struct image data = {.size = seg.filesz};
        data.data = (u8 *)(uintptr_t)image_part(&b->kernel, seg.offset, seg.filesz);
        if (!data.data || seg.filesz > seg.memsz)
            return error_set(err, "%s: program header %u points outside the file", b->kernel.path,
                             n);
        if (!boot_segment(b, seg.paddr, &data, seg.memsz, err))
            return false;
        loaded++;
    }
    if (!loaded)
        return error_set(err, "%s: ELF file without loadable segments", b->kernel.path);
    if (b->kernel.data[EI_CLASS] == ELFCLASS64) {
        memcpy(entry, b->kernel.data + offsetof(Elf64_Ehdr, e_entry), 8);
    } else {
        u32 entry32;
        memcpy(&entry32, b->kernel.data + offsetof(Elf32_Ehdr, e_entry), 4);
        *entry = entry32;
    }
    return true;
}

#define XEN_ELFNOTE_PHYS32_ENTRY 18

/* The entry in a Xen note of type PHYS32_ENTRY, as ELF kernels for PVH carry it. */
static bool find_pvh_entry(const struct image *img, u32 *entry)
{
    struct elf_segment seg;
    for (unsigned n = 0; elf_segment(img, n, &seg); n++) {
        const u8 *notes = seg.type == PT_NOTE ? image_part(img, seg.offset, seg.filesz) : NULL;
        for (u64 at = 0; notes && seg.filesz - at >= 12;) {
            u32 h[3];
            memcpy(h, notes + at, sizeof(h));
            u64 name = at + 12, desc = name + (((u64)h[0] + 3) & ~UINT64_C(3));
            u64 next = desc + (((u64)h[1] + 3) & ~UINT64_C(3));
            if (next > seg.filesz)
                break;
            if (h[2] == XEN_ELFNOTE_PHYS32_ENTRY && h[0] == 4 && !memcmp(notes + name, "Xen", 4) &&
                h[1] >= 4) {
                memcpy(entry, notes + desc, 4);
                return true;
            }
            at = next;
        }
    }
    return false;
}

static bool load(struct boot *b, struct error *err)
{
    const struct image *img = &b->kernel;
    u64 header;
    u32 entry;
    if (boot_find_multiboot(img, &header))
        return boot_multiboot(b, header, err);
    if (boot_find_multiboot2(img, &header))
        return boot_multiboot2(b, header, err);
    if (is_elf(img) && find_pvh_entry(img, &entry))
        return boot_pvh(b, entry, err);
    const u8 *setup = image_part(img, 0x202, 4);
    if (setup && !memcmp(setup, "HdrS", 4))
        return boot_linux(b, err);
    return error_set(
        err, "%s: neither a Linux bzImage, an ELF file with a PVH entry nor a Multiboot image",
        img->path);
}

bool boot_load(struct cpu *cpu, const struct boot_request *req, struct error *err)
{
    struct boot b = {.cpu = cpu, .ram = &cpu->bus->ram, .req = req};
    b.low_end = b.ram->low;
    if (!image_read(&b.kernel, req->kernel, err))
        return false;
    bool ok = load(&b, err);
    image_free(&b.kernel);
    return ok;
}
