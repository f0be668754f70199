/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"

#include <stdlib.h>

#include "tests/suite.h"

START_TEST(memory_is_zeroed)
{
    u8 *p = xalloc_array(100, 3);
    for (unsigned k = 0; k < 300; k++)
        ck_assert_uint_eq(p[k], 0);
    p = xrealloc_array(p, 1000, 3);
    free(p);
    ck_assert_ptr_nonnull(p = xalloc(1));
    free(p);
}
END_TEST

START_TEST(alignment_is_kept)
{
    u8 *p = xalloc_aligned(64, 100);
    ck_assert_uint_eq((uintptr_t)p % 64, 0);
    for (unsigned k = 0; k < 100; k++)
        ck_assert_uint_eq(p[k], 0);
    free(p);
}
END_TEST

START_TEST(strings_are_formatted)
{
    char *s = xasprintf("%s-%d", "a", 5);
    ck_assert_str_eq(s, "a-5");
    char *copy = xstrdup(s);
    ck_assert_str_eq(copy, s);
    ck_assert_ptr_ne(copy, s);
    free(copy);
    free(s);
}
END_TEST

START_TEST(map_is_page_aligned_or_null)
{
    u8 *p = host_map(3 * MIB);
    ck_assert_uint_eq((uintptr_t)p % PAGE_SIZE, 0);
    ck_assert_uint_eq(p[3 * MIB - 1], 0);
    p[3 * MIB - 1] = 1;
    host_unmap(p, 3 * MIB);
    host_unmap(NULL, 1);
    ck_assert_ptr_null(host_map(BIT(62)));
}
END_TEST

SUITE_MAIN("alloc", &memory_is_zeroed, &alignment_is_kept, &strings_are_formatted,
           &map_is_page_aligned_or_null)
