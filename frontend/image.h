/* SPDX-License-Identifier: MIT */
/* Loading a kernel straight into guest RAM, without firmware. */
#ifndef FRONTEND_IMAGE_H
#define FRONTEND_IMAGE_H

#include "base/error.h"
#include "base/types.h"
#include "cpu/cpu.h"
#include "devices/fw_cfg.h"

/* A whole file in memory. image_read() unpacks gzip, image_read_raw() leaves files as they are. */
struct image {
    const char *path;
    u8 *data;
    u64 size;
};
bool image_read(struct image *img, const char *path, struct error *err);
bool image_read_raw(struct image *img, const char *path, struct error *err);
void image_free(struct image *img);

/*
 * The part of an image at [offset, offset + size), NULL if it is not all there. Every header field of
 * an image is the user's input: take parts by this only.
 */
static inline const u8 *image_part(const struct image *img, u64 offset, u64 size)
{
    return offset <= img->size && size <= img->size - offset ? img->data + offset : NULL;
}

/* What to start and how. Paths and text may be NULL but for kernel. */
struct boot_request {
    const char *kernel;
    const char *initrd; /* Linux: one file; Multiboot: "FILE ARGS,FILE ARGS" */
    const char *append; /* command line */
    u64 rsdp;           /* physical address of the ACPI RSDP */
};

/*
 * Loads the kernel by what its header says (Linux bzImage by the 64-bit boot protocol, ELF with a PVH
 * entry, Multiboot 1 or 2) and sets cpu, which must be in its reset state, to the entry.
 */
bool boot_load(struct cpu *cpu, const struct boot_request *req, struct error *err);

/*
 * Hands kernel (a Linux bzImage), initrd and command line to firmware by fw_cfg; SeaBIOS also gets an
 * option ROM that boots them.
 */
bool boot_publish(struct fw_cfg *fw, const struct ram *ram, const struct boot_request *req,
                  struct error *err);

/* ---- Between the loaders (frontend/image_*.c) ---- */

struct boot {
    struct cpu *cpu;
    struct ram *ram;
    const struct boot_request *req;
    struct image kernel;
    u64 kernel_end; /* of what the kernel takes below 4 GiB: modules are placed above */
    u64 low_end;    /* end of RAM below 4 GiB that is still free: modules are placed below it */
};

/* A Multiboot module: --initrd "FILE ARGS,FILE ARGS". */
struct boot_module {
    u32 start, end;
    char *text; /* "FILE ARGS", its string */
};
#define BOOT_MODULES_MAX 32

/* Fixed places below 640 KiB that the loaders use. */
#define BOOT_GDT 0x1000
#define BOOT_TABLES 0x2000 /* page tables for the 64-bit entry: up to 0x9000 */
#define BOOT_INFO 0x10000  /* zero page, start info or Multiboot information */
#define BOOT_CMDLINE 0x20000
#define BOOT_CMDLINE_MAX 0x10000
#define BOOT_HOLE 0xa0000 /* no RAM from here to 1 MiB, as far as software goes */

bool boot_linux(struct boot *b, struct error *err);
bool boot_pvh(struct boot *b, u32 entry, struct error *err);
bool boot_multiboot(struct boot *b, u64 header, struct error *err);
bool boot_multiboot2(struct boot *b, u64 header, struct error *err);
/* Offset of a header with a right checksum that lies where the specification wants it. */
bool boot_find_multiboot(const struct image *img, u64 *header);
bool boot_find_multiboot2(const struct image *img, u64 *header);

/* Copies size bytes to hpa; error text names what. */
bool boot_put(struct boot *b, u64 hpa, const void *data, u64 size, const char *what,
              struct error *err);
/*
 * A piece of the kernel at hpa: size bytes of data, then zeros up to memory_size. It must leave alone
 * the low memory that loaders use.
 */
bool boot_segment(struct boot *b, u64 hpa, const struct image *data, u64 memory_size,
                  struct error *err);
/* Loads the PT_LOAD segments of an ELF32 or ELF64 file at their physical addresses. */
bool boot_load_elf(struct boot *b, u64 *entry, struct error *err);
/* Puts a file as high as possible below limit (exclusive), page aligned; its address in *at. */
bool boot_put_module(struct boot *b, const struct image *img, u64 limit, u64 *at,
                     struct error *err);
bool boot_put_cmdline(struct boot *b, struct error *err);
/* Loads all Multiboot modules; boot_free_modules() whether it succeeds or not. */
bool boot_put_modules(struct boot *b, struct boot_module *mods, unsigned *count, struct error *err);
void boot_free_modules(struct boot_module *mods, unsigned count);
/* "PATH ARGS": what a Multiboot kernel gets as its command line. free() it. */
char *boot_multiboot_cmdline(const struct boot *b);

/* CPU states at the entries */
void boot_state_64(struct cpu *cpu, u64 rip, u64 rsi, u64 cr3);
void boot_state_32(struct cpu *cpu, u32 eip, u32 eax, u32 ebx);

#endif
