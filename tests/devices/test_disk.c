/* SPDX-License-Identifier: MIT */
#include "devices/disk.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/disk_overlay.h"
#include "tests/suite.h"

#define SIZE (300 * KIB + 512) /* the last cluster is not whole */
#define MAPS_END (3 * 4096)    /* of an overlay of that size: header and two maps of a block */

static char folder[32];
static char base[64], over[64];
static u8 model[SIZE];
static struct error err;

static void put(const char *path, u64 offset, const void *bytes, size_t size)
{
    int fd = open(path, O_RDWR | O_CREAT, 0666);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, bytes, size, (off_t)offset), (ssize_t)size);
    close(fd);
}

static void get(const char *path, u64 offset, void *bytes, size_t size)
{
    int fd = open(path, O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, bytes, size, (off_t)offset), (ssize_t)size);
    close(fd);
}

static u8 byte_of(const char *path, u64 offset)
{
    u8 byte;
    get(path, offset, &byte, 1);
    return byte;
}

static void begin(void)
{
    strcpy(folder, "disk-test-XXXXXX");
    ck_assert(mkdtemp(folder) != NULL);
    snprintf(base, sizeof(base), "%s/base", folder);
    snprintf(over, sizeof(over), "%s/over", folder);
    for (size_t n = 0; n < SIZE; n++)
        model[n] = (u8)(n * 7 + (n >> 9));
    put(base, 0, model, SIZE);
    err.text[0] = 0;
}

static void end(void)
{
    unlink(base);
    unlink(over);
    rmdir(folder);
}

static struct disk *open_disk(const char *overlay, bool read_only)
{
    struct disk_config config = {base, overlay, read_only};
    err.text[0] = 0;
    return disk_open(&config, &err);
}

static struct disk *must_open(const char *overlay, bool read_only)
{
    struct disk *disk = open_disk(overlay, read_only);
    ck_assert_msg(disk != NULL, "%s", err.text);
    return disk;
}

static void refuses(const char *overlay, const char *why)
{
    struct disk *disk = open_disk(overlay, false);
    ck_assert(disk == NULL);
    ck_assert_msg(strstr(err.text, why) != NULL, "%s", err.text);
    ck_assert(strchr(err.text, '\n') == NULL);
}

/* Compares all of the disk with the model. */
static void same(struct disk *disk)
{
    static u8 now[SIZE];
    ck_assert(disk_read(disk, 0, now, SIZE));
    ck_assert_mem_eq(now, model, SIZE);
}

static void change(struct disk *disk, u64 offset, size_t size, u8 value)
{
    memset(model + offset, value, size);
    ck_assert(disk_write(disk, offset, model + offset, size));
}

START_TEST(raw_file)
{
    begin();
    struct disk *disk = must_open(NULL, false);
    ck_assert_uint_eq(disk_size(disk), SIZE);
    ck_assert(!disk_read_only(disk));
    same(disk);
    change(disk, 1000, 3000, 0xaa);
    ck_assert_uint_eq(byte_of(base, 1000), 0xaa); /* before any flush */
    ck_assert(disk_flush(disk));
    change(disk, SIZE - 1, 1, 0x55);
    same(disk);
    disk_close(disk);
    disk = must_open(NULL, false);
    same(disk);
    disk_close(disk);
    disk_close(NULL);
    end();
}
END_TEST

START_TEST(ends_are_kept)
{
    u8 byte[2] = {0};
    begin();
    for (unsigned n = 0; n < 2; n++) {
        struct disk *disk = must_open(n ? over : NULL, false);
        ck_assert(!disk_write(disk, SIZE, byte, 1));
        ck_assert(!disk_write(disk, SIZE - 1, byte, 2));
        ck_assert(!disk_write(disk, UINT64_MAX, byte, 2));
        ck_assert(!disk_read(disk, SIZE - 1, byte, 2));
        ck_assert(!disk_read(disk, UINT64_MAX - 1, byte, 2));
        ck_assert(!disk_discard(disk, 1, UINT64_MAX));
        ck_assert(disk_read(disk, SIZE, byte, 0));
        ck_assert(disk_write(disk, SIZE, byte, 0));
        same(disk);
        disk_close(disk);
    }
    end();
}
END_TEST

START_TEST(read_only)
{
    u8 byte = 0;
    begin();
    chmod(base, 0444);
    struct disk *disk = must_open(NULL, true);
    ck_assert(disk_read_only(disk));
    ck_assert(!disk_write(disk, 0, &byte, 1));
    ck_assert(!disk_discard(disk, 0, 4096));
    ck_assert(disk_flush(disk));
    same(disk);
    disk_close(disk);
    struct disk_config config = {base, over, true};
    ck_assert(disk_open(&config, &err) == NULL); /* there is no overlay, and none is made */
    ck_assert_int_ne(access(over, F_OK), 0);
    end();
}
END_TEST

START_TEST(one_writer_or_many_readers)
{
    begin();
    struct disk *disk = must_open(NULL, false);
    refuses(NULL, "in use");
    ck_assert(open_disk(NULL, true) == NULL);
    ck_assert(open_disk(over, false) == NULL);
    ck_assert_msg(strstr(err.text, "in use") != NULL, "%s", err.text);
    disk_close(disk);
    disk = must_open(NULL, true);
    struct disk *second = must_open(over, false), *third = must_open(NULL, true);
    refuses(NULL, "in use");
    refuses(over, "in use");
    disk_close(second);
    second = must_open(over, true);
    same(second);
    disk_close(disk);
    disk_close(second);
    disk_close(third);
    end();
}
END_TEST

START_TEST(what_is_no_raw_image)
{
    static const struct {
        const char *bytes, *name;
        u64 at;
    } cases[] = {
        {"QFI\xfb", "qcow2", 0},
        {"QED", "qed", 0},
        {"KDMV", "vmdk", 0},
        {"COWD", "vmdk", 0},
        {"vhdxfile", "vhdx", 0},
        {"# Disk DescriptorFile", "vmdk", 0},
        {"conectix", "vhd", 0},
        {"conectix", "vhd", SIZE - 512},
        {"\x7f\x10\xda\xbe", "vdi", 0x40},
    };
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        begin();
        put(base, cases[n].at, cases[n].bytes, strlen(cases[n].bytes) + 1);
        refuses(NULL, "qemu-img convert -O raw");
        ck_assert_msg(strstr(err.text, cases[n].name) != NULL, "%s", err.text);
        refuses(over, "qemu-img convert -O raw");
        ck_assert_int_ne(access(over, F_OK), 0);
        end();
    }
    begin();
    ck_assert_int_eq(truncate(base, 1000), 0);
    refuses(NULL, "1000 bytes");
    ck_assert_int_eq(truncate(base, 0), 0);
    refuses(NULL, "0 bytes");
    unlink(base);
    refuses(NULL, "No such file");
    ck_assert_int_eq(mkfifo(base, 0666), 0);
    refuses(NULL, "neither a file nor a block device");
    unlink(base);
    end();
}
END_TEST

START_TEST(overlay_keeps_the_base)
{
    static u8 before[SIZE], after[SIZE];
    begin();
    chmod(base, 0444);
    get(base, 0, before, SIZE);
    struct disk *disk = must_open(over, false);
    same(disk);
    change(disk, 5000, 100, 1);          /* within a cluster */
    change(disk, 8191, 2, 2);            /* across two */
    change(disk, 3 * 4096, 4 * 4096, 3); /* whole ones */
    change(disk, 20 * 4096 - 7, 9 * 4096, 4);
    change(disk, SIZE - 3, 3, 5); /* the last, which is short */
    change(disk, 74 * 4096 + 10, 4300, 6);
    same(disk);
    disk_close(disk);
    disk = must_open(over, false);
    same(disk);
    change(disk, 5050, 1, 7);
    same(disk);
    disk_close(disk);
    disk = must_open(over, true);
    same(disk);
    disk_close(disk);
    get(base, 0, after, SIZE);
    ck_assert_mem_eq(before, after, SIZE);
    end();
}
END_TEST

/* As kill -9 leaves it: everything written is there without a flush. */
START_TEST(overlay_of_a_killed_writer)
{
    begin();
    struct disk *disk = must_open(over, false);
    change(disk, 5000, 100, 1);
    char copy[80], command[200];
    snprintf(copy, sizeof(copy), "%s/copy", folder);
    snprintf(command, sizeof(command), "cp %s %s", over, copy);
    ck_assert_int_eq(system(command), 0);
    struct disk *other = must_open(copy, false);
    same(other);
    disk_close(other);
    disk_close(disk);
    unlink(copy);
    end();
}
END_TEST

/* Another boot_id in the header: bits that aren't stable don't count. */
static void forget_boot(void)
{
    struct overlay_header header;
    get(over, 0, &header, sizeof(header));
    memset(header.boot, 'x', sizeof(header.boot));
    u32 hash = 2166136261u;
    for (size_t n = 0; n < offsetof(struct overlay_header, check); n++)
        hash = (hash ^ ((u8 *)&header)[n]) * 16777619u;
    for (unsigned n = 0; n < 4; n++)
        header.check[n] = (u8)(hash >> (8 * n));
    put(over, 0, &header, sizeof(header));
}

START_TEST(overlay_after_a_restart_of_the_host)
{
    static u8 flushed[SIZE];
    begin();
    struct disk *disk = must_open(over, false);
    change(disk, 0, 4096, 1);
    ck_assert(disk_flush(disk));
    memcpy(flushed, model, SIZE);
    change(disk, 8192, 100, 2);
    u8 maps[8192];
    get(over, 4096, maps, sizeof(maps));
    ck_assert_uint_eq(maps[0], 1);
    ck_assert_uint_eq(maps[4096], 5);
    disk_close(disk);
    put(over, 4096, maps, sizeof(maps));
    forget_boot();
    memcpy(model, flushed, SIZE);
    disk = must_open(over, true);
    same(disk);
    disk_close(disk);
    disk = must_open(over, false);
    same(disk);
    ck_assert_uint_eq(byte_of(over, 8192), 1);
    change(disk, 8192, 100, 3);
    disk_close(disk);
    disk = must_open(over, false);
    same(disk);
    disk_close(disk);
    end();
}
END_TEST

START_TEST(overlays_of_others_and_damaged)
{
    begin();
    struct disk *disk = must_open(over, false);
    change(disk, 0, 1, 1);
    disk_close(disk);
    ck_assert_int_eq(truncate(base, SIZE - 512), 0);
    refuses(over, "the overlay of a disk of 307712 bytes, not 307200");
    ck_assert_int_eq(truncate(base, SIZE), 0);
    ck_assert_int_eq(truncate(over, MAPS_END + SIZE - 1), 0);
    refuses(over, "damaged");
    ck_assert_int_eq(truncate(over, 100), 0);
    refuses(over, "not an overlay");
    unlink(over);
    put(over, 0, "some text", 9);
    refuses(over, "not an overlay");
    ck_assert_uint_eq(byte_of(over, 0), 's');
    unlink(over);
    struct disk_config config = {over, NULL, false};
    disk = must_open(over, false);
    disk_close(disk);
    ck_assert(disk_open(&config, &err) == NULL);
    ck_assert_msg(strstr(err.text, "is an overlay") != NULL, "%s", err.text);
    refuses(base, "in use"); /* the base as its own overlay */
    end();
}
END_TEST

START_TEST(overlay_that_was_being_made)
{
    begin();
    put(over, 0, "", 0);
    struct disk *disk = must_open(over, false); /* an empty file */
    disk_close(disk);
    ck_assert_int_eq(truncate(over, 4096), 0); /* a header alone */
    disk = must_open(over, false);
    same(disk);
    change(disk, 0, 1, 1);
    disk_close(disk);
    disk = must_open(over, false);
    same(disk);
    disk_close(disk);
    end();
}
END_TEST

/* Each byte of the header spoilt, and maps full of ones: an error, or a disk that works. */
START_TEST(hostile_overlays)
{
    begin();
    disk_close(must_open(over, false));
    for (u64 at = 0; at < sizeof(struct overlay_header); at++) {
        u8 good = byte_of(over, at), bad = good ^ 0x41;
        put(over, at, &bad, 1);
        ck_assert(open_disk(over, false) == NULL);
        ck_assert(err.text[0] != 0);
        put(over, at, &good, 1);
    }
    u8 ones[8192];
    memset(ones, 0xff, sizeof(ones));
    put(over, 4096, ones, sizeof(ones));
    struct disk *disk = must_open(over, false);
    memset(model, 0, SIZE); /* all clusters are there, all holes */
    same(disk);
    change(disk, SIZE - 600, 600, 9);
    same(disk);
    disk_close(disk);
    end();
}
END_TEST

START_TEST(discard)
{
    begin();
    for (unsigned n = 0; n < 2; n++) {
        struct disk *disk = must_open(n ? over : NULL, false);
        change(disk, 0, 65536, 9);
        ck_assert(disk_discard(disk, 0, 0));
        ck_assert(disk_discard(disk, 4095, 16386));
        static u8 now[SIZE];
        ck_assert(disk_read(disk, 0, now, SIZE));
        for (size_t k = 0; k < SIZE; k++)
            REQUIRE(now[k] == model[k] || (!now[k] && k >= 4095 && k < 4095 + 16386));
        memcpy(model, now, SIZE);
        change(disk, 5000, 100, 1);
        same(disk);
        disk_close(disk);
    }
    end();
}
END_TEST

START_TEST(random_writes)
{
    begin();
    u64 seed = 1;
    struct disk *disk = must_open(over, false);
    for (unsigned n = 0; n < 2000; n++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        u64 offset = (seed >> 20) % SIZE;
        size_t size = (size_t)MIN((seed >> 44) & 0x3fff, SIZE - offset);
        change(disk, offset, size, (u8)n);
        if (n % 100 == 0) {
            same(disk);
            disk_close(disk);
            disk = must_open(over, false);
        }
        if (n % 37 == 0)
            ck_assert(disk_flush(disk));
    }
    same(disk);
    disk_close(disk);
    end();
}
END_TEST

SUITE_MAIN("disk", &raw_file, &ends_are_kept, &read_only, &one_writer_or_many_readers,
           &what_is_no_raw_image, &overlay_keeps_the_base, &overlay_of_a_killed_writer,
           &overlay_after_a_restart_of_the_host, &overlays_of_others_and_damaged,
           &overlay_that_was_being_made, &hostile_overlays, &discard, &random_writes)
