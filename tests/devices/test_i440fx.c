/* SPDX-License-Identifier: MIT */
/* What lies between 640 KiB and 1 MiB, and at the top of 4 GiB. */
#include "devices/i440fx.h"

#include <stdio.h>
#include <string.h>

#include "devices/flash.h"
#include "tests/devices/harness.h"

#define SMRAM_REGISTER 0x72

static void config_write8(unsigned offset, u8 value)
{
    bus_io_write(&h.bus, 0xcf8, 4, 0x80000000u | (offset & 0xfc));
    bus_io_write(&h.bus, 0xcfc + (offset & 3), 1, value);
}

static u8 config_read8(unsigned offset)
{
    bus_io_write(&h.bus, 0xcf8, 4, 0x80000000u | (offset & 0xfc));
    return (u8)bus_io_read(&h.bus, 0xcfc + (offset & 3), 1);
}

/* Byte n of a ROM whose each KiB differs. */
static u8 rom_byte(u64 n)
{
    return (u8)(n / KIB * 3 + 1);
}

static const char *rom_file(u64 size)
{
    static char path[] = "test_i440fx.rom";
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    for (u64 n = 0; n < size; n++)
        fputc(rom_byte(n), f);
    fclose(f);
    return path;
}

static u8 peek(u64 hpa)
{
    return (u8)bus_read(&h.bus, hpa, 1);
}

static void poke(u64 hpa, u8 value)
{
    bus_write(&h.bus, hpa, 1, value);
}

START_TEST(rom_and_ram_are_chosen_by_pam)
{
    const u64 size = 256 * KIB;
    struct i440fx *chipset = harness_make(&i440fx_class, NULL);
    struct flash_config config = {rom_file(size)};
    struct error err = {{0}};
    struct flash *flash = flash_class.create(&h.env, &config, &err);
    ck_assert_msg(flash != NULL, "%s", err.text);
    i440fx_set_rom(chipset, flash_bytes(flash), flash_size(flash));
    i440fx_class.reset(chipset);
    ck_assert_uint_eq(peek(4 * GIB - 16), rom_byte(size - 16));
    ck_assert_uint_eq(peek(4 * GIB - size), rom_byte(0));
    ck_assert_uint_eq(peek(0xffff0), rom_byte(size - 16));
    ck_assert_uint_eq(peek(0xe0000), rom_byte(128 * KIB));
    ck_assert_uint_eq(peek(0xdffff), 0xff);
    ck_assert_uint_eq(peek(0xa0000), 0xff);
    poke(0xffff0, 7);
    poke(4 * GIB - 16, 7);
    ck_assert_uint_eq(peek(0xffff0), rom_byte(size - 16));
    /* Writes to RAM under the ROM, then RAM for reads: how firmware copies itself. */
    config_write8(0x59, 0x20);
    poke(0xf1234, 0x77);
    ck_assert_uint_eq(peek(0xf1234), rom_byte(size - 64 * KIB + 0x1234));
    config_write8(0x59, 0x10);
    ck_assert_uint_eq(peek(0xf1234), 0x77);
    poke(0xf1234, 0x78);
    ck_assert_uint_eq(peek(0xf1234), 0x77);
    /* 16 KiB each: the second half of the register at 5ah is 0xc4000. */
    config_write8(0x5a, 0x30);
    poke(0xc4000, 0x55);
    poke(0xc3fff, 0x55);
    ck_assert_uint_eq(peek(0xc4000), 0x55);
    ck_assert_uint_eq(peek(0xc3fff), 0xff);
    ck_assert_uint_eq(peek(0xc8000), 0xff);
    i440fx_shadow_ram(chipset);
    poke(0xc8000, 0x56);
    ck_assert_uint_eq(peek(0xc8000), 0x56);
    flash_class.free(flash);
    harness_end(&i440fx_class, chipset);
}
END_TEST

START_TEST(smram_opens_and_locks)
{
    struct i440fx *chipset = harness_make(&i440fx_class, NULL);
    poke(0xa0000, 1);
    ck_assert_uint_eq(peek(0xa0000), 0xff);
    config_write8(SMRAM_REGISTER, 0x40); /* open, but not enabled */
    ck_assert_uint_eq(peek(0xa0000), 0xff);
    config_write8(SMRAM_REGISTER, 0x4a);
    poke(0xa0000, 1);
    ck_assert_uint_eq(peek(0xa0000), 1);
    config_write8(SMRAM_REGISTER, 0x0a);
    ck_assert_uint_eq(peek(0xa0000), 0xff);
    ram_smm_view(&h.bus.ram, true);
    ck_assert_uint_eq(peek(0xa0000), 1);
    ram_smm_view(&h.bus.ram, false);
    config_write8(SMRAM_REGISTER, 0x5a);
    ck_assert_uint_eq(config_read8(SMRAM_REGISTER), 0x1a);
    config_write8(SMRAM_REGISTER, 0x4a);
    ck_assert_uint_eq(config_read8(SMRAM_REGISTER), 0x1a);
    ck_assert_uint_eq(peek(0xa0000), 0xff);
    i440fx_class.reset(chipset);
    ck_assert_uint_eq(config_read8(SMRAM_REGISTER), 0x02);
    config_write8(SMRAM_REGISTER, 0x4a);
    ck_assert_uint_eq(peek(0xa0000), 1);
    harness_end(&i440fx_class, chipset);
}
END_TEST

START_TEST(a_loaded_machine_sees_what_the_saved_one_saw)
{
    struct error err = {{0}};
    static const char path[] = "test_i440fx.snap";
    struct i440fx *chipset = harness_make(&i440fx_class, NULL);
    config_write8(0x59, 0x30);
    config_write8(SMRAM_REGISTER, 0x5a);
    struct snap *s = snap_open_save(path, &err);
    i440fx_class.snap(chipset, s);
    ck_assert_msg(snap_close(s, &err), "%s", err.text);
    i440fx_class.reset(chipset);
    s = snap_open_load(path, &err);
    i440fx_class.snap(chipset, s);
    ck_assert_msg(snap_close(s, &err), "%s", err.text);
    poke(0xf0000, 9);
    ck_assert_uint_eq(peek(0xf0000), 9);
    config_write8(SMRAM_REGISTER, 0x4a);
    ck_assert_uint_eq(config_read8(SMRAM_REGISTER), 0x1a);
    unlink(path);
    harness_end(&i440fx_class, chipset);
}
END_TEST

START_TEST(firmware_files_are_judged)
{
    static const u64 bad[] = {0, 4096, 64 * KIB + 1, 16 * MIB + 4096};
    struct i440fx *chipset = harness_make(&i440fx_class, NULL);
    struct flash_config config;
    for (unsigned n = 0; n < ARRAY_SIZE(bad); n++) {
        struct error err = {{0}};
        config.path = rom_file(bad[n]);
        ck_assert_ptr_null(flash_class.create(&h.env, &config, &err));
        ck_assert_ptr_nonnull(strstr(err.text, "test_i440fx.rom"));
    }
    unlink(config.path);
    struct error err = {{0}};
    ck_assert_ptr_null(flash_class.create(&h.env, &config, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "No such file"));
    ck_assert_uint_eq(h.bus.ram.windows, 0);
    harness_end(&i440fx_class, chipset);
}
END_TEST

SUITE_MAIN("i440fx", &rom_and_ram_are_chosen_by_pam, &smram_opens_and_locks,
           &a_loaded_machine_sees_what_the_saved_one_saw, &firmware_files_are_judged)
