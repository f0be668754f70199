/* SPDX-License-Identifier: MIT */
#include "frontend/image.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/alloc.h"
#include "configs/config.h"
#include "configs/machine.h"
#include "tests/suite.h"

#define RAM_SIZE (24 * MIB)
#define LOAD (4 * MIB)
#define FILE_SIZE 0x1800

static struct machine *machine;

static struct cpu *fresh_cpu(void)
{
    struct error err = {{0}};
    if (!machine) {
        struct prop_node *root = config_load(NULL, &err);
        ck_assert(prop_set_path(root, "memory.size=24M", &err));
        machine = machine_new(root, NULL, &err);
        ck_assert_msg(machine, "%s", err.text);
        prop_free(root);
    }
    machine_reset(machine);
    ck_assert(machine_firmware(machine, &err));
    return machine->group.cpu[0];
}

static const char *path_of(const char *suffix)
{
    static char path[4][64];
    static unsigned next;
    char *p = path[next++ % 4];
    snprintf(p, 64, "test_image.%ld%s", (long)getpid(), suffix);
    return p;
}

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    ck_assert(f && fwrite(data, 1, size, f) == size && !fclose(f));
}

static bool load_with(const u8 *file, size_t size, struct boot_request *req, struct error *err)
{
    struct cpu *cpu = fresh_cpu();
    *err = (struct error){{0}};
    req->kernel = path_of(".img");
    req->rsdp = machine->rsdp;
    write_file(req->kernel, file, size);
    bool ok = boot_load(cpu, req, err);
    unlink(req->kernel);
    return ok;
}

static bool load(const u8 *file, size_t size, struct error *err)
{
    struct boot_request req = {.append = "a=b"};
    return load_with(file, size, &req, err);
}

static u32 ram32(u64 hpa)
{
    u32 v;
    ck_assert(ram_read(&machine->bus.ram, hpa, &v, 4));
    return v;
}

static const char *ram_text(u64 hpa)
{
    return (const char *)machine->bus.ram.host + hpa;
}

static void put(u8 *file, size_t at, const void *p, size_t size)
{
    memcpy(file + at, p, size);
}
#define PUT(file, at, ...)                                                                         \
    put(file, at, (const u32[]){__VA_ARGS__}, sizeof((const u32[]){__VA_ARGS__}))

static void fill(u8 *file)
{
    for (size_t n = 0; n < FILE_SIZE; n++)
        file[n] = (u8)(n * 7 + n / 251);
}

static bool is_loaded(const u8 *from, u64 hpa, size_t size)
{
    return !memcmp(machine->bus.ram.host + hpa, from, size);
}

/* ---- One image of each kind ---- */

static void make_elf32(u8 *file)
{
    Elf32_Ehdr eh = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, 1},
                     .e_entry = LOAD + 0x20,
                     .e_phoff = sizeof(eh),
                     .e_phentsize = sizeof(Elf32_Phdr),
                     .e_phnum = 1};
    Elf32_Phdr ph = {.p_type = PT_LOAD,
                     .p_offset = 0x1000,
                     .p_paddr = LOAD,
                     .p_filesz = 0x800,
                     .p_memsz = 0x2800};
    fill(file);
    put(file, 0, &eh, sizeof(eh));
    put(file, sizeof(eh), &ph, sizeof(ph));
}

/* With a note behind the program headers when pvh is set. */
static void make_elf64(u8 *file, bool pvh)
{
    Elf64_Ehdr eh = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1},
                     .e_entry = LOAD + 0x20,
                     .e_phoff = sizeof(eh),
                     .e_phentsize = sizeof(Elf64_Phdr),
                     .e_phnum = 2};
    Elf64_Phdr ph[2] = {{.p_type = PT_LOAD,
                         .p_offset = 0x1000,
                         .p_paddr = LOAD,
                         .p_filesz = 0x800,
                         .p_memsz = 0x2800},
                        {.p_type = pvh ? PT_NOTE : PT_NULL, .p_offset = 0x200, .p_filesz = 36}};
    fill(file);
    put(file, 0, &eh, sizeof(eh));
    put(file, sizeof(eh), ph, sizeof(ph));
    PUT(file, 0x200, 4, 0, 1); /* another note first */
    memcpy(file + 0x20c, "GNU", 4);
    PUT(file, 0x210, 4, 4, 18);
    memcpy(file + 0x21c, "Xen", 4);
    PUT(file, 0x220, LOAD + 0x40);
}

static void make_multiboot_elf(u8 *file)
{
    make_elf32(file);
    PUT(file, 0x100, 0x1badb002, 3, (u32) - (0x1badb002 + 3));
}

static void make_multiboot_flat(u8 *file)
{
    u32 flags = 0x10003;
    fill(file);
    PUT(file, 0x40, 0x1badb002, flags, (u32) - (0x1badb002 + flags), LOAD + 0x40, LOAD,
        LOAD + 0x1000, LOAD + 0x3000, LOAD + 0x80);
}

/* A header with its length and checksum, before tags of `size` bytes that are there already. */
static void multiboot2_head(u8 *file, u32 size)
{
    u32 length = 16 + size;
    PUT(file, 0x100, 0xe85250d6, 0, length, (u32) - (0xe85250d6 + length));
}

static void make_multiboot2_flat(u8 *file)
{
    fill(file);
    PUT(file, 0x110, 2, 24, LOAD + 0x100, LOAD, 0, LOAD + 0x3000); /* address */
    PUT(file, 0x128, 3, 12, LOAD + 0x80, 0);                       /* entry */
    PUT(file, 0x138, 1, 20, 4, 6, 15, 0);                          /* information */
    PUT(file, 0x150, 0 | 1 << 16 | 5, 20, 0, 0, 0, 0);             /* framebuffer, optional */
    PUT(file, 0x168, 0, 8);
    multiboot2_head(file, 0x60);
}

static void make_multiboot2_elf(u8 *file)
{
    make_elf64(file, false);
    PUT(file, 0x110, 6, 8, 0, 8);
    multiboot2_head(file, 16);
}

static void make_pvh(u8 *file)
{
    make_elf64(file, true);
}

static void make_bzimage(u8 *file)
{
    fill(file);
    memset(file, 0, 0x300);
    file[0x1f1] = 1;
    memcpy(file + 0x201, "\x6aHdrS", 5);
    PUT(file, 0x206, 0x20f);
    PUT(file, 0x22c, 0x7fffffff);
    memcpy(file + 0x236, "\1", 2);
    PUT(file, 0x238, 255);
    PUT(file, 0x258, LOAD, 0, 0x4000);
}

static void (*const makers[])(u8 *file) = {
    make_multiboot_elf, make_multiboot_flat, make_multiboot2_elf, make_multiboot2_flat,
    make_pvh,           make_bzimage};

/* ---- They start as their protocols say ---- */

static u8 file[FILE_SIZE];

static void check_32(const struct cpu *cpu, u64 rip, u32 eax)
{
    ck_assert_uint_eq(cpu->rip, rip);
    ck_assert_uint_eq((u32)cpu->gpr[RAX], eax);
    ck_assert((cpu->cr0 & (CR0_PE | CR0_PG)) == CR0_PE && !(cpu->mode & MODE_64));
    ck_assert(!(cpu->eflags & FLAG_IF));
}

START_TEST(elf_segments_are_placed_and_cleared)
{
    struct error err;
    make_multiboot_elf(file);
    fresh_cpu();
    memset(machine->bus.ram.host + LOAD, 0xff, 0x4000);
    ck_assert_msg(load(file, FILE_SIZE, &err), "%s", err.text);
    check_32(machine->group.cpu[0], LOAD + 0x20, 0x2badb002);
    ck_assert(is_loaded(file + 0x1000, LOAD, 0x800));
    ck_assert_uint_eq(ram32(LOAD + 0x800), 0);
    ck_assert_uint_eq(ram32(LOAD + 0x27fc), 0);
    ck_assert_uint_eq(ram32(LOAD + 0x2800), 0xffffffff);
}
END_TEST

START_TEST(multiboot_information)
{
    struct error err;
    char initrd[256];
    const char *one = path_of(".one"), *two = path_of(".two");
    struct boot_request req = {.append = "hello", .initrd = initrd};
    snprintf(initrd, sizeof(initrd), "%s first arg,%s", one, two);
    write_file(one, "module one", 10);
    write_file(two, "module two", 10);
    make_multiboot_flat(file);
    bool ok = load_with(file, FILE_SIZE, &req, &err);
    unlink(one);
    unlink(two);
    ck_assert_msg(ok, "%s", err.text);
    check_32(machine->group.cpu[0], LOAD + 0x80, 0x2badb002);
    ck_assert(is_loaded(file, LOAD, 0x1000));
    u32 info = (u32)machine->group.cpu[0]->gpr[RBX];
    ck_assert_uint_eq(ram32(info), 0x24d);
    ck_assert_uint_eq(ram32(info + 4), 639);
    ck_assert_uint_eq(ram32(info + 8), RAM_SIZE / KIB - 1024);
    ck_assert_ptr_nonnull(strstr(ram_text(ram32(info + 16)), ".img hello"));
    ck_assert_uint_eq(ram32(info + 20), 2);
    u32 mods = ram32(info + 24);
    ck_assert_int_eq(memcmp(ram_text(ram32(mods)), "module one", 10), 0);
    ck_assert_uint_eq(ram32(mods + 4) - ram32(mods), 10);
    ck_assert_ptr_nonnull(strstr(ram_text(ram32(mods + 8)), ".one first arg"));
    ck_assert_int_eq(memcmp(ram_text(ram32(mods + 16)), "module two", 10), 0);
    ck_assert_uint_eq(ram32(mods) % 4096 + ram32(mods + 16) % 4096, 0);
    ck_assert_uint_eq(ram32(ram32(info + 48)), 20);
}
END_TEST

/* The tag of that type, 0 if there is none. */
static u32 find_tag(u32 info, u32 type)
{
    u32 end = info + ram32(info), at = info + 8;
    while (ram32(at) != type && ram32(at)) {
        at += (ram32(at + 4) + 7) & ~7u;
        ck_assert_uint_lt(at, end);
    }
    return ram32(at) == type ? at : 0;
}

START_TEST(multiboot2_information)
{
    struct error err;
    const char *one = path_of(".one");
    struct boot_request req = {.append = "hello", .initrd = one};
    write_file(one, "module one", 10);
    make_multiboot2_flat(file);
    bool ok = load_with(file, FILE_SIZE, &req, &err);
    unlink(one);
    ck_assert_msg(ok, "%s", err.text);
    check_32(machine->group.cpu[0], LOAD + 0x80, 0x36d76289);
    ck_assert(is_loaded(file, LOAD, FILE_SIZE));
    u32 info = (u32)machine->group.cpu[0]->gpr[RBX], tag;
    ck_assert_uint_eq(info % 8 + ram32(info) % 8, 0);
    ck_assert((tag = find_tag(info, 1)) && strstr(ram_text(tag + 8), ".img hello"));
    ck_assert((tag = find_tag(info, 2)) && !strcmp(ram_text(tag + 8), "Testudo"));
    ck_assert((tag = find_tag(info, 3)) && !memcmp(ram_text(ram32(tag + 8)), "module one", 10));
    ck_assert((tag = find_tag(info, 4)) && ram32(tag + 12) == RAM_SIZE / KIB - 1024);
    ck_assert((tag = find_tag(info, 6)) && ram32(tag + 8) == 24 && ram32(tag + 32) == 1);
    ck_assert((tag = find_tag(info, 15)) && !memcmp(ram_text(tag + 8), "RSD PTR ", 8));
    make_multiboot2_elf(file);
    ck_assert_msg(load(file, FILE_SIZE, &err), "%s", err.text);
    check_32(machine->group.cpu[0], LOAD + 0x20, 0x36d76289);
    ck_assert(is_loaded(file + 0x1000, LOAD, 0x800));
}
END_TEST

START_TEST(multiboot2_demands)
{
    static const struct {
        u32 words[4];
        const char *message;
    } cases[] = {
        {{5, 20, 0, 0}, "needs a framebuffer, which the machine does not have"},
        {{5 | 1 << 16, 20, 0, 0}, NULL},
        {{4, 12, 1, 0}, "needs a console of the loader's, which the machine does not have"},
        {{4, 12, 2, 0}, NULL},
        {{1, 12, 9, 0}, "needs Multiboot 2 information of type 9, which is not there"},
        {{1 | 1 << 16, 12, 9, 0}, NULL},
        {{77, 8, 0, 0}, "unknown Multiboot 2 tag of type 77"},
        {{77 | 1 << 16, 8, 0, 0}, NULL},
        {{3, 8, 0, 0}, "Multiboot 2 tag of type 3 is cut off"},
        {{2, 12, 0, 0}, "Multiboot 2 tag of type 2 is cut off"},
        {{1, 7, 0, 0}, "Multiboot 2 header cut off"},
        {{1, 0xfffffff8, 0, 0}, "Multiboot 2 header cut off"},
    };
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        struct error err;
        make_multiboot2_elf(file);
        memset(file + 0x110, 0, 0x20);
        memcpy(file + 0x110, cases[n].words, 16);
        u32 size = (cases[n].words[1] + 7) & 0x38;
        PUT(file, 0x110 + size, 0, 8);
        multiboot2_head(file, size + 8);
        ck_assert_msg(load(file, FILE_SIZE, &err) == !cases[n].message, "%zu: %s", n, err.text);
        if (cases[n].message)
            ck_assert_msg(strstr(err.text, cases[n].message), "%zu: %s", n, err.text);
    }
}
END_TEST

START_TEST(pvh_start)
{
    struct error err;
    make_pvh(file);
    ck_assert_msg(load(file, FILE_SIZE, &err), "%s", err.text);
    check_32(machine->group.cpu[0], LOAD + 0x40, 0);
    u32 info = (u32)machine->group.cpu[0]->gpr[RBX];
    ck_assert_uint_eq(ram32(info), 0x336ec578);
    ck_assert_str_eq(ram_text(ram32(info + 24)), "a=b");
    ck_assert_int_eq(memcmp(ram_text(ram32(info + 32)), "RSD PTR ", 8), 0);
    ck_assert_uint_ge(ram32(info + 48), 3);
}
END_TEST

START_TEST(linux_start)
{
    struct error err;
    const char *initrd = path_of(".initrd");
    struct boot_request req = {.append = "quiet", .initrd = initrd};
    write_file(initrd, "files", 5);
    make_bzimage(file);
    bool ok = load_with(file, FILE_SIZE, &req, &err);
    unlink(initrd);
    ck_assert_msg(ok, "%s", err.text);
    const struct cpu *cpu = machine->group.cpu[0];
    ck_assert_uint_eq(cpu->rip, LOAD + 0x200);
    ck_assert(cpu->mode & MODE_64);
    ck_assert(is_loaded(file + 0x400, LOAD, FILE_SIZE - 0x400));
    u32 zp = (u32)cpu->gpr[RSI];
    ck_assert_str_eq(ram_text(ram32(zp + 0x228)), "quiet");
    ck_assert_int_eq(memcmp(ram_text(ram32(zp + 0x218)), "files", 5), 0);
    ck_assert_uint_eq(ram32(zp + 0x21c), 5);
    ck_assert_uint_eq(ram32(zp + 0x70), machine->rsdp);
}
END_TEST

START_TEST(packed_images_are_unpacked)
{
    struct error err;
    u8 packed[FILE_SIZE + 1024];
    z_stream z = {0};
    make_multiboot_elf(file);
    ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = file;
    z.avail_in = FILE_SIZE;
    z.next_out = packed;
    z.avail_out = sizeof(packed);
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t size = z.total_out;
    deflateEnd(&z);
    ck_assert_msg(load(packed, size, &err), "%s", err.text);
    ck_assert(!load(packed, size - 20, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "damaged"));
    packed[size / 2] ^= 1;
    ck_assert(!load(packed, size, &err));
}
END_TEST

/* ---- What can't be started ---- */

START_TEST(places_are_checked)
{
    static const struct {
        u32 paddr, memsz;
        const char *message;
    } cases[] = {
        {LOAD, 0x7ff, "points outside the file"},
        {LOAD, RAM_SIZE, "which the machine does not have"},
        {RAM_SIZE, 0x800, "which the machine does not have"},
        {0xfffff000, 0x2000, "which the machine does not have"},
        {0x10000, 0x800, "overlaps what the loader needs"},
        {0x30000, 0x800, NULL},
        {0x9f000, 0x1001, "overlaps what the loader needs"},
    };
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        struct error err;
        make_multiboot_elf(file);
        PUT(file, sizeof(Elf32_Ehdr) + offsetof(Elf32_Phdr, p_paddr), cases[n].paddr);
        PUT(file, sizeof(Elf32_Ehdr) + offsetof(Elf32_Phdr, p_memsz), cases[n].memsz);
        ck_assert_msg(load(file, FILE_SIZE, &err) == !cases[n].message, "%zu: %s", n, err.text);
        if (cases[n].message)
            ck_assert_msg(strstr(err.text, cases[n].message), "%zu: %s", n, err.text);
    }
}
END_TEST

START_TEST(modules_stay_clear_of_the_kernel)
{
    struct error err;
    const char *initrd = path_of(".initrd");
    struct boot_request req = {.initrd = initrd};
    u8 *large = xalloc(8 * MIB);
    write_file(initrd, large, 8 * MIB);
    make_multiboot_elf(file);
    PUT(file, sizeof(Elf32_Ehdr) + offsetof(Elf32_Phdr, p_paddr), RAM_SIZE - 4 * MIB);
    ck_assert(!load_with(file, FILE_SIZE, &req, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "do not fit into the machine's memory"));
    PUT(file, sizeof(Elf32_Ehdr) + offsetof(Elf32_Phdr, p_paddr), LOAD);
    ck_assert_msg(load_with(file, FILE_SIZE, &req, &err), "%s", err.text);
    unlink(initrd);
    free(large);
}
END_TEST

START_TEST(other_files_are_refused)
{
    struct error err;
    struct boot_request req = {.initrd = "no/such/file"};
    fill(file);
    for (size_t size = 0; size <= FILE_SIZE; size += size < 64 ? 1 : 333)
        ck_assert(!load(file, size, &err) && strstr(err.text, "neither a Linux bzImage"));
    for (size_t k = 0; k < ARRAY_SIZE(makers); k++) {
        makers[k](file);
        ck_assert(!load_with(file, FILE_SIZE, &req, &err));
        ck_assert_str_eq(err.text, "no/such/file: No such file or directory");
    }
    ck_assert(!boot_load(fresh_cpu(), &(struct boot_request){.kernel = "no/such/file"},
                         &(struct error){{0}}));
}
END_TEST

/* ---- Noise ---- */

static u64 noise(void)
{
    static u64 state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void damage(void)
{
    static const u32 words[] = {0,          1,          0xffffffff, 0x7fffffff, 0x80000000,
                                FILE_SIZE,  0xfffffff0, LOAD,       4096,       RAM_SIZE,
                                0x1badb002, 0xe85250d6, 18,         6,          2};
    for (u64 n = noise() % 3 + 1; n; n--) {
        size_t at = noise() % 0x300;
        if (noise() % 2)
            file[at] = (u8)noise();
        else
            memcpy(file + (at & ~(size_t)3), &words[noise() % ARRAY_SIZE(words)], 4);
    }
}

/* Loaded or refused, never overrun: the sanitized build watches. */
START_TEST(damaged_images_do_no_harm)
{
    for (size_t k = 0; k < ARRAY_SIZE(makers); k++)
        for (unsigned round = 0; round < 250; round++) {
            struct error err;
            size_t size = round % 4 ? FILE_SIZE : noise() % FILE_SIZE;
            makers[k](file);
            damage();
            ck_assert(load(file, size, &err) == !err.text[0]);
        }
}
END_TEST

SUITE_MAIN("image", &elf_segments_are_placed_and_cleared, &multiboot_information,
           &multiboot2_information, &multiboot2_demands, &pvh_start, &linux_start,
           &packed_images_are_unpacked, &places_are_checked, &modules_stay_clear_of_the_kernel,
           &other_files_are_refused, &damaged_images_do_no_harm)
