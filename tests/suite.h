/* SPDX-License-Identifier: MIT */
/* The main of a unit test: one suite, one case for each test function. */
#ifndef TESTS_SUITE_H
#define TESTS_SUITE_H

#include <check.h>
#include <stddef.h>

/* ck_assert() for inner loops: it reports nothing, and so costs nothing, unless it fails. */
#define REQUIRE(x)                                                                                 \
    do {                                                                                           \
        if (!(x))                                                                                  \
            ck_abort_msg("%s", #x);                                                                \
    } while (0)

static inline int suite_finish(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

/* START_TEST() defines a pointer of the test's name, which is no constant: so a list holds &name. */
typedef const TTest *const *suite_test;

static inline int suite_run(const char *name, const suite_test *tests, size_t count)
{
    Suite *suite = suite_create(name);
    for (size_t k = 0; k < count; k++) {
        TCase *tc = tcase_create((*tests[k])->name);
        tcase_add_test(tc, *tests[k]);
        suite_add_tcase(suite, tc);
    }
    return suite_finish(suite);
}

/* SUITE_MAIN("clock", &first_test, &second_test) */
#define SUITE_MAIN(name, ...)                                                                      \
    int main(void)                                                                                 \
    {                                                                                              \
        const suite_test tests[] = {__VA_ARGS__};                                                  \
        return suite_run(name, tests, sizeof(tests) / sizeof(tests[0]));                           \
    }

#endif
