/* SPDX-License-Identifier: MIT */
#include "mmu/ram.h"

#include <stdio.h>
#include <string.h>

#include "tests/suite.h"

START_TEST(sizes_are_checked)
{
    static const u64 bad[] = {0, MIB - 1, MIB + 4096, 512 * GIB + MIB, UINT64_MAX};
    struct ram ram;
    for (unsigned k = 0; k < ARRAY_SIZE(bad); k++) {
        struct error err = {0};
        ck_assert(!ram_init(&ram, bad[k], &err));
        ck_assert_ptr_nonnull(strstr(err.text, "expected a multiple of 1 MiB"));
        ck_assert_ptr_null(ram_host(&ram, 0));
    }
    ck_assert(ram_init(&ram, MIB, NULL));
    ck_assert_ptr_nonnull(ram_host(&ram, MIB - 1));
    ck_assert_ptr_null(ram_host(&ram, MIB));
    ck_assert_ptr_null(ram_host(&ram, RAM_HIGH_START));
    ck_assert_ptr_null(ram_host(&ram, UINT64_MAX));
    ram_fini(&ram);
}
END_TEST

START_TEST(the_hole_splits_ram)
{
    struct ram ram;
    ck_assert(ram_init(&ram, 5 * GIB, NULL));
    ck_assert_ptr_eq(ram_host(&ram, RAM_HIGH_START), ram_host(&ram, RAM_HOLE_START - 1) + 1);
    ck_assert_ptr_null(ram_host(&ram, RAM_HOLE_START));
    ck_assert_ptr_null(ram_host(&ram, RAM_HIGH_START - 1));
    ck_assert_ptr_null(ram_host(&ram, RAM_HIGH_START + 2 * GIB));
    ck_assert_uint_eq(ram_hpa(&ram, ram_host(&ram, RAM_HIGH_START + 77)), RAM_HIGH_START + 77);
    ck_assert_uint_eq(ram_hpa(&ram, ram_host(&ram, 77)), 77);
    u8 buffer[16] = "0123456789abcde";
    ck_assert(!ram_write(&ram, RAM_HOLE_START - 8, buffer, 16));
    ck_assert_uint_eq(*ram_host(&ram, RAM_HOLE_START - 8), 0);
    ck_assert(!ram_write(&ram, RAM_HIGH_START - 8, buffer, 16));
    ck_assert(!ram_write(&ram, RAM_HIGH_START + 2 * GIB - 8, buffer, 16));
    ck_assert(!ram_read(&ram, 0, buffer, UINT64_MAX));
    ck_assert(!ram_read(&ram, UINT64_MAX, buffer, 2));
    ck_assert(ram_write(&ram, RAM_HIGH_START + 2 * GIB - 16, buffer, 16));
    ck_assert(ram_read(&ram, RAM_HIGH_START + 2 * GIB - 13, buffer, 5));
    ck_assert(!memcmp(buffer, "34567", 5));
    ck_assert(ram_read(&ram, RAM_HOLE_START, buffer, 0));
    ram_fini(&ram);
}
END_TEST

static char calls[256];

static void code_written(void *opaque, u8 *page, u64 granules)
{
    size_t used = strlen(calls);
    snprintf(calls + used, sizeof(calls) - used, "%llx:%llx ",
             (unsigned long long)ram_hpa(opaque, page), (unsigned long long)granules);
}

START_TEST(stores_to_code_are_told)
{
    struct ram ram;
    ck_assert(ram_init(&ram, MIB, NULL));
    ram.code_written = code_written;
    ram.code_opaque = &ram;
    ck_assert_uint_eq(ram_granules(0, 4096), MASK(64));
    ck_assert_uint_eq(ram_granules(0x12345fff, 1), BIT(63));
    ck_assert_uint_eq(ram_granules(63, 2), 3);
    ck_assert_uint_eq(ram_granules(64, 64), 2);
    *ram_code(&ram, ram_host(&ram, 0x3000)) = BIT(0) | BIT(2);
    static u8 zeroes[0x4000];
    ck_assert(ram_write(&ram, 0x3040, zeroes, 64));
    ck_assert_str_eq(calls, "");
    ck_assert(ram_write(&ram, 0x3041, zeroes, 64));
    ck_assert(ram_write(&ram, 0x2fff, zeroes, 1));
    ck_assert_str_eq(calls, "3000:4 ");
    ck_assert(ram_write(&ram, 0x2f80, zeroes, 0x3000));
    ck_assert_str_eq(calls, "3000:4 3000:5 ");
    ram_fini(&ram);
}
END_TEST

static unsigned changes;

static void remapped(void *opaque)
{
    ck_assert_ptr_nonnull(opaque);
    changes++;
}

START_TEST(extra_memory_is_where_it_is_mapped)
{
    struct ram ram;
    ck_assert(ram_init(&ram, 2 * MIB, NULL));
    ram.remapped = remapped;
    ram.remapped_opaque = &ram;
    u8 *rom = ram_extra_new(&ram, 0x2000), *video = ram_extra_new(&ram, 0x1000);
    const u64 rom_at = 4 * GIB - 0x2000, video_at = UINT64_C(0xe0000000);
    ck_assert_ptr_null(ram_host(&ram, rom_at));
    ck_assert(ram_map(&ram, &(struct ram_window){rom_at, 0x2000, rom, false}));
    ck_assert(ram_map(&ram, &(struct ram_window){video_at, 0x1000, video, true}));
    ck_assert_uint_eq(changes, 2);
    ck_assert_ptr_eq(ram_host(&ram, rom_at + 0x1fff), rom + 0x1fff);
    ck_assert_ptr_null(ram_host_w(&ram, rom_at));
    ck_assert_ptr_null(ram_host_rw(&ram, rom_at));
    ck_assert_ptr_null(ram_host(&ram, rom_at + 0x2000));
    ck_assert_ptr_eq(ram_host_rw(&ram, video_at + 5), video + 5);
    ck_assert_ptr_null(ram_host(&ram, video_at + 0x1000));
    /* Each byte has an address of its own that no mapping changes. */
    u64 home = ram_hpa(&ram, video + 7);
    ck_assert_ptr_eq(ram_host_rw(&ram, home), video + 7);
    ram_unmap(&ram, video_at, video);
    ck_assert_uint_eq(changes, 3);
    ck_assert_ptr_null(ram_host(&ram, video_at));
    ck_assert_ptr_eq(ram_host_rw(&ram, home), video + 7);
    ck_assert_ptr_null(ram_host(&ram, RAM_EXTRA_HOME + 0x3000));
    /* The table is full at some point, and says so. */
    unsigned more = 0;
    while (ram_map(&ram, &(struct ram_window){(2 + more) * GIB, 0x1000, video, true}))
        more++;
    ck_assert_uint_eq(more, RAM_WINDOWS - 1);
    ram_fini(&ram);
}
END_TEST

START_TEST(the_chipset_says_what_lies_below_one_mib)
{
    struct ram ram;
    ck_assert(ram_init(&ram, 2 * MIB, NULL));
    ram.remapped = remapped;
    ram.remapped_opaque = &ram;
    u8 *rom = ram_extra_new(&ram, 0x4000), *under = ram.host + 0xf0000;
    ck_assert_ptr_eq(ram_host_rw(&ram, 0xf0123), under + 0x123);
    ram_legacy_set(&ram, 20, (struct ram_legacy){rom, under});
    ram_legacy_set(&ram, 20, (struct ram_legacy){rom, under});
    ck_assert_uint_eq(changes, 1);
    ck_assert_ptr_eq(ram_host(&ram, 0xf3fff), rom + 0x3fff);
    ck_assert_ptr_eq(ram_host_w(&ram, 0xf3fff), under + 0x3fff);
    ck_assert_ptr_null(ram_host_rw(&ram, 0xf3fff));
    ck_assert_ptr_eq(ram_host_rw(&ram, 0xf4000), under + 0x4000);
    ram_legacy_set(&ram, 0, (struct ram_legacy){NULL, NULL});
    ck_assert_ptr_null(ram_host(&ram, 0xa0000));
    ck_assert_ptr_eq(ram_host_rw(&ram, 0x9ffff), ram.host + 0x9ffff);
    /* SMRAM is for processors in SMM. */
    ram_smm_view(&ram, true);
    ck_assert_ptr_null(ram_host(&ram, 0xa0000));
    ram_smram_set(&ram, true);
    ck_assert_uint_eq(changes, 3);
    ck_assert_ptr_eq(ram_host_rw(&ram, 0xa0000), ram.host + 0xa0000);
    ck_assert_ptr_eq(ram_host(&ram, 0xf0000), rom);
    ram_smm_view(&ram, false);
    ck_assert_ptr_null(ram_host(&ram, 0xa0000));
    ram_fini(&ram);
}
END_TEST

START_TEST(dma_goes_where_the_host_has_memory)
{
    struct ram ram;
    static u8 buffer[3 * MIB], back[3 * MIB];
    ck_assert(ram_init(&ram, 4 * MIB, NULL));
    for (unsigned n = 0; n < sizeof(buffer); n++)
        buffer[n] = (u8)(n * 7 ^ n >> 8);
    ck_assert(ram_write(&ram, 0x3ffe, buffer, sizeof(buffer)));
    ck_assert(ram_read(&ram, 0x3ffe, back, sizeof(back)));
    ck_assert(!memcmp(buffer, back, sizeof(back)));
    u8 *rom = ram_extra_new(&ram, 0x4000);
    ram_legacy_set(&ram, 20, (struct ram_legacy){rom, NULL});
    memset(rom, 0x5a, 0x4000);
    ck_assert(ram_read(&ram, 0x3ffe, back, sizeof(back)));
    ck_assert_uint_eq(back[0xf0000 - 0x3ffe], 0x5a);
    ck_assert_uint_eq(back[0xf4000 - 0x3ffe], buffer[0xf4000 - 0x3ffe]);
    ck_assert(!ram_write(&ram, 0xeffff, buffer, 2));
    ck_assert(ram_write(&ram, 0xeffff, buffer, 1));
    ram_legacy_set(&ram, 20, (struct ram_legacy){NULL, NULL});
    ck_assert(!ram_read(&ram, 0x3ffe, back, sizeof(back)));
    ck_assert(!ram_write(&ram, UINT64_MAX - 1, buffer, 4));
    ck_assert(!ram_read(&ram, 0, back, UINT64_MAX));
    ram_fini(&ram);
}
END_TEST

SUITE_MAIN("ram", &sizes_are_checked, &the_hole_splits_ram, &stores_to_code_are_told,
           &extra_memory_is_where_it_is_mapped, &the_chipset_says_what_lies_below_one_mib,
           &dma_goes_where_the_host_has_memory)
