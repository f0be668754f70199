/* SPDX-License-Identifier: MIT */
#include "base/error.h"

#include <string.h>

#include "tests/suite.h"

START_TEST(first_error_stays)
{
    struct error err = {0};
    ck_assert(!error_set(&err, "no %s number %d", "disk", 3));
    ck_assert(!error_set(&err, "another"));
    ck_assert_str_eq(err.text, "no disk number 3");
    ck_assert(!error_set(NULL, "nobody listens"));
}
END_TEST

START_TEST(prefix_goes_before)
{
    struct error err = {0};
    error_set(&err, "not found");
    ck_assert(!error_prefix(&err, "%s:%d", "pc.xml", 7));
    ck_assert_str_eq(err.text, "pc.xml:7: not found");
    ck_assert(!error_prefix(NULL, "x"));
}
END_TEST

START_TEST(long_texts_are_cut)
{
    struct error err = {0};
    char text[3000];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = 0;
    error_set(&err, "%s", text);
    ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
    error_prefix(&err, "file");
    ck_assert_uint_lt(strlen(err.text), sizeof(err.text));
    ck_assert(!strncmp(err.text, "file: xxx", 9));
    error_prefix(&err, "%s", text);
    ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
}
END_TEST

START_TEST(assert_exits_70)
{
    assert_failed("file.c", 1, "x");
}
END_TEST

int main(void)
{
    const suite_test tests[] = {&first_error_stays, &prefix_goes_before, &long_texts_are_cut};
    Suite *suite = suite_create("error");
    TCase *tc = tcase_create("error");
    for (size_t k = 0; k < ARRAY_SIZE(tests); k++)
        tcase_add_test(tc, *tests[k]);
    tcase_add_exit_test(tc, assert_exits_70, 70);
    suite_add_tcase(suite, tc);
    return suite_finish(suite);
}
