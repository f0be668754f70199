/* SPDX-License-Identifier: MIT */
/* What firmware finds of a kernel, and the option ROM run on it. */
#include "frontend/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "configs/config.h"
#include "configs/machine.h"
#include "devices/linux_rom.h"
#include "tests/suite.h"

#define SETUP_SIZE 0x400u
#define FILE_SIZE 0x1800u
#define ROM_AT 0xd0000u
#define ROM_ENTRY 0x66u

static struct machine *m;
static u8 file[FILE_SIZE];
static char kernel_path[64], initrd_path[64];

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    ck_assert(f && fwrite(data, 1, size, f) == size && !fclose(f));
}

/* A bzImage of one setup sector whose setup leaves by the debug exit. */
static void begin(void)
{
    static const u8 code[] = {0xb0, 0x15, 0xe6, 0xf4, 0xf4}; /* mov al, 21; out 0xf4, al; hlt */
    struct error err = {{0}};
    u64 rsdp;
    struct prop_node *root = config_load(NULL, &err);
    ck_assert(prop_set_path(root, "memory.size=24M", &err));
    m = machine_new(root, NULL, &err);
    ck_assert_msg(m, "%s", err.text);
    prop_free(root);
    ck_assert(pc_preset(m->pc, &rsdp, &err));
    snprintf(kernel_path, sizeof(kernel_path), "test_image_firmware.%ld.img", (long)getpid());
    snprintf(initrd_path, sizeof(initrd_path), "test_image_firmware.%ld.rd", (long)getpid());
    memset(file, 0, sizeof(file));
    memset(file + SETUP_SIZE, 0x5a, FILE_SIZE - SETUP_SIZE);
    file[0x1f1] = 1;
    memcpy(file + 0x202, "HdrS\x0c\x02", 6);
    file[0x211] = 1;
    memset(file + 0x22c, 0xff, 3);
    memcpy(file + 0x200, "\xeb\x4e", 2);
    memcpy(file + 0x250, code, sizeof(code));
}

static void end(void)
{
    machine_free(m);
    unlink(kernel_path);
    unlink(initrd_path);
}

static bool publish(size_t size, struct error *err)
{
    struct boot_request req = {.kernel = kernel_path, .initrd = initrd_path, .append = "a=b"};
    *err = (struct error){{0}};
    write_file(kernel_path, file, size);
    return boot_publish(pc_fw_cfg(m->pc), &m->bus.ram, &req, err);
}

START_TEST(rom_loads_and_starts_the_kernel)
{
    struct error err;
    begin();
    write_file(initrd_path, "disk", 5);
    ck_assert_msg(publish(FILE_SIZE, &err), "%s", err.text);
    struct cpu *cpu = m->group.cpu[0];
    linux_rom_build(m->bus.ram.host + ROM_AT);
    cpu->seg[SEG_CS].selector = ROM_AT >> 4;
    cpu->seg[SEG_CS].base = ROM_AT;
    cpu->rip = ROM_ENTRY;
    cpu_update_mode(cpu);
    m->group.insn_limit = 100000;
    cpu_group_run(&m->group);
    ck_assert_int_eq(m->group.stop, STOP_DEBUG_EXIT);
    ck_assert_uint_eq(m->group.exit_value, 21);
    ck_assert_uint_eq(cpu->seg[SEG_SS].base, 0x10000);
    const u8 *ram = m->bus.ram.host, *setup = ram + 0x10000;
    u32 at, size;
    ck_assert_str_eq((const char *)ram + 0x20000, "a=b");
    ck_assert_uint_eq(ram[MIB], 0x5a);
    ck_assert_uint_eq(ram[MIB + FILE_SIZE - SETUP_SIZE - 1], 0x5a);
    ck_assert_uint_eq(ram[MIB + FILE_SIZE - SETUP_SIZE], 0);
    memcpy(&at, setup + 0x218, 4);
    memcpy(&size, setup + 0x21c, 4);
    ck_assert_uint_eq(size, 5);
    ck_assert_str_eq((const char *)ram + at, "disk");
    memcpy(&at, setup + 0x228, 4);
    ck_assert_uint_eq(at, 0x20000);
    ck_assert_uint_eq(setup[0x211], 0x81);
    end();
}
END_TEST

START_TEST(rom_is_valid)
{
    u8 rom[LINUX_ROM_SIZE], sum = 0, pnp = 0;
    linux_rom_build(rom);
    for (size_t n = 0; n < sizeof(rom); n++)
        sum = (u8)(sum + rom[n]);
    for (size_t n = 0; n < 32; n++)
        pnp = (u8)(pnp + rom[rom[0x1a] + n]);
    ck_assert_uint_eq(sum, 0);
    ck_assert_uint_eq(pnp, 0);
    ck_assert(!memcmp(rom + rom[0x1a], "$PnP", 4));
    ck_assert_uint_eq(rom[rom[0x1a] + 0x1a], ROM_ENTRY);
    ck_assert_uint_eq(rom[ROM_ENTRY], 0xfa);
}
END_TEST

START_TEST(other_files_are_refused)
{
    struct error err;
    begin();
    write_file(initrd_path, "", 0);
    ck_assert(publish(FILE_SIZE, &err));
    ck_assert(!publish(0x100, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "bzImage"));
    ck_assert(!publish(SETUP_SIZE, &err));
    file[0x1f1] = 0xff;
    ck_assert(!publish(FILE_SIZE, &err));
    file[0x1f1] = 1;
    file[0x202] = 'X';
    ck_assert(!publish(FILE_SIZE, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "bzImage"));
    file[0x202] = 'H';
    u8 *large = calloc(1, 24 * MIB);
    write_file(initrd_path, large, 24 * MIB);
    free(large);
    ck_assert(!publish(FILE_SIZE, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "no room"));
    end();
}
END_TEST

SUITE_MAIN("image_firmware", &rom_loads_and_starts_the_kernel, &rom_is_valid,
           &other_files_are_refused)
