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

static void code_written(void *opaque, u64 hpa, u64 granules)
{
    size_t used = strlen(calls);
    ck_assert_ptr_null(opaque);
    snprintf(calls + used, sizeof(calls) - used, "%llx:%llx ", (unsigned long long)hpa,
             (unsigned long long)granules);
}

START_TEST(stores_to_code_are_told)
{
    struct ram ram;
    ck_assert(ram_init(&ram, MIB, NULL));
    ram.code_written = code_written;
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

SUITE_MAIN("ram", &sizes_are_checked, &the_hole_splits_ram, &stores_to_code_are_told)
