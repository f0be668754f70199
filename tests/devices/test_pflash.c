/* SPDX-License-Identifier: MIT */
#include "devices/pflash.h"

#include <stdio.h>
#include <string.h>

#include "tests/devices/harness.h"

#define SIZE (2 * PFLASH_BLOCK)
#define BASE (4 * GIB - SIZE)

static struct pflash *chip;
static struct pflash_config config;
static const char path[] = "test_pflash.img";

static void begin(void)
{
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    for (unsigned n = 0; n < SIZE; n++)
        fputc((int)(n / 16 & 0xff), f);
    fclose(f);
    config = (struct pflash_config){.path = path};
    chip = harness_make(&pflash_class, &config);
}

static void end(void)
{
    harness_end(&pflash_class, chip);
    unlink(path);
}

static u8 peek(u64 offset)
{
    return (u8)bus_read(&h.bus, BASE + offset, 1);
}

static void poke(u64 offset, u8 value)
{
    bus_write(&h.bus, BASE + offset, 1, value);
}

static u8 in_file(long offset)
{
    FILE *f = fopen(path, "rb");
    ck_assert(f && !fseek(f, offset, SEEK_SET));
    int c = fgetc(f);
    fclose(f);
    return (u8)c;
}

START_TEST(reads_like_memory)
{
    begin();
    ck_assert_uint_eq(peek(0x123), 0x12);
    ck_assert_uint_eq(bus_read(&h.bus, BASE + 0x1018, 8), UINT64_C(0x0101010101010101));
    ck_assert_ptr_nonnull(ram_host(&h.bus.ram, BASE));
    ck_assert_ptr_null(ram_host_w(&h.bus.ram, BASE));
    end();
}
END_TEST

START_TEST(programs_and_erases)
{
    begin();
    poke(0x120, 0x40);
    poke(0x120, 0x06);
    ck_assert_uint_eq(peek(0x120), 0x80);
    poke(0, 0xff);
    ck_assert_uint_eq(peek(0x120), 0x12 & 0x06);
    ck_assert_uint_eq(in_file(0x120), 0x12 & 0x06);
    poke(0x1234, 0x20);
    poke(0x1234, 0xd0);
    poke(0, 0xff);
    ck_assert_uint_eq(peek(0x1000), 0xff);
    ck_assert_uint_eq(peek(0x1fff), 0xff);
    ck_assert_uint_eq(peek(0xfff), 0xff);
    ck_assert_uint_eq(peek(0xfef), 0xfe);
    ck_assert_uint_eq(in_file(0x1000), 0xff);
    poke(0x1234, 0x20); /* not confirmed */
    poke(0x1234, 0x00);
    ck_assert_uint_eq(peek(0), 0xb0);
    end();
}
END_TEST

/* As OVMF finds out whether there is a chip. */
START_TEST(detection)
{
    begin();
    u8 original = peek(0x100);
    poke(0x100, 0x50);
    ck_assert_uint_eq(peek(0x100), original);
    poke(0x100, 0x70);
    ck_assert_uint_eq(peek(0x100), 0);
    poke(0x100, 0x10);
    poke(0x100, original);
    poke(0x100, 0x70);
    ck_assert_uint_eq(peek(0x100) & 0x10, 0);
    poke(0x100, 0x98);
    ck_assert_uint_eq(peek(0x10), 'Q');
    ck_assert_uint_eq(peek(0x12), 'Y');
    poke(0, 0x90);
    ck_assert_uint_eq(peek(0), 0x89);
    poke(0, 0x33); /* no such command */
    ck_assert_uint_eq(peek(0), 0xb0);
    pflash_class.reset(chip);
    ck_assert_uint_eq(peek(0x100), original);
    end();
}
END_TEST

START_TEST(saved_and_loaded)
{
    begin();
    poke(0x20, 0x40);
    poke(0x20, 0x00);
    poke(0x30, 0x40); /* half a command */
    struct error err = {{0}};
    char snapshot[] = "snap-test-XXXXXX";
    int fd = mkstemp(snapshot);
    ck_assert_int_ge(fd, 0);
    close(fd);
    struct snap *s = snap_open_save(snapshot, &err);
    pflash_class.snap(chip, s);
    ck_assert(snap_close(s, &err));
    poke(0x30, 0xff);
    poke(0, 0x20);
    poke(0, 0xd0);
    poke(0, 0xff);
    ck_assert_uint_eq(peek(0x20), 0xff);
    s = snap_open_load(snapshot, &err);
    pflash_class.snap(chip, s);
    ck_assert_msg(snap_close(s, &err), "%s", err.text);
    unlink(snapshot);
    ck_assert_uint_eq(peek(0), 0x80);
    poke(0x30, 0x01);
    poke(0, 0xff);
    ck_assert_uint_eq(peek(0x20), 0x00);
    ck_assert_uint_eq(peek(0x30), 0x01);
    ck_assert_uint_eq(in_file(0x120), 0x12); /* the file follows with the first change */
    ck_assert_uint_eq(in_file(0x20), 0x00);
    end();
}
END_TEST

START_TEST(wrong_files_are_refused)
{
    struct error err = {{0}};
    begin();
    struct pflash_config wrong = {.path = "no-such-file"};
    ck_assert_ptr_null(pflash_class.create(&h.env, &wrong, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "no-such-file"));
    FILE *f = fopen("test_pflash.bad", "wb");
    for (unsigned n = 0; n < 512; n++)
        fputc(0, f);
    fclose(f);
    err = (struct error){{0}};
    wrong.path = "test_pflash.bad";
    ck_assert_ptr_null(pflash_class.create(&h.env, &wrong, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "multiple"));
    unlink("test_pflash.bad");
    end();
}
END_TEST

START_TEST(any_accesses_do_no_harm)
{
    begin();
    u32 seed = 1;
    for (unsigned n = 0; n < 20000; n++) {
        seed = seed * 1664525 + 1013904223;
        u64 at = BASE + ((seed >> 8) % (SIZE - 8) & ~7u);
        unsigned size = 1u << (seed >> 30);
        if (n % 3)
            bus_write(&h.bus, at, size, seed * 2654435761u);
        else
            bus_read(&h.bus, at, size);
    }
    end();
}
END_TEST

SUITE_MAIN("pflash", &reads_like_memory, &programs_and_erases, &detection, &saved_and_loaded,
           &wrong_files_are_refused, &any_accesses_do_no_harm)
