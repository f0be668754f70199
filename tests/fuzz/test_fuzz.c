/* SPDX-License-Identifier: MIT */
/*
 * Random guests. Wild ones must do the host no harm; tame ones must end in the same state however
 * they are run. Without arguments: a sample in each mode. By hand:
 *
 *     test_fuzz wild|equal MODE|all [SEED [GUESTS [INSNS]]]
 *     test_fuzz hash-wild|hash-equal ...     prints each guest's last state, to compare builds
 *     test_fuzz bisect MODE SEED INSNS       the instruction where a tame guest's runs part
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/runs.h"
#include "tests/suite.h"

/* The sample of make check. */
#define SAMPLE_SEED 1
#define SAMPLE_GUESTS 4
#define SAMPLE_INSNS 4000

START_TEST(tame_guests)
{
    struct runs runs = {GUEST_TAME,    (enum guest_mode)_i, SAMPLE_SEED,
                        SAMPLE_GUESTS, SAMPLE_INSNS,        false};
    ck_assert_uint_eq(runs_do(&runs).faults, 0);
}
END_TEST

START_TEST(wild_guests)
{
    struct runs runs = {GUEST_WILD,    (enum guest_mode)_i, SAMPLE_SEED,
                        SAMPLE_GUESTS, SAMPLE_INSNS,        false};
    ck_assert_uint_eq(runs_do(&runs).faults, 0);
}
END_TEST

static int sample(void)
{
    Suite *suite = suite_create("fuzz");
    TCase *tc = tcase_create("guests");
    tcase_add_loop_test(tc, tame_guests, 0, GUEST_MODES_COUNT);
    tcase_add_loop_test(tc, wild_guests, 0, GUEST_MODES_COUNT);
    suite_add_tcase(suite, tc);
    return suite_finish(suite);
}

static int usage(void)
{
    fprintf(stderr, "usage: test_fuzz [hash-]wild|[hash-]equal|bisect MODE|all [SEED [GUESTS "
                    "[INSNS]]]\n");
    return 2;
}

static u64 number(int argc, char **argv, int k, u64 preset)
{
    return k < argc ? strtoull(argv[k], NULL, 0) : preset;
}

static u64 do_mode(enum guest_mode mode, int argc, char **argv)
{
    const char *what = argv[1];
    struct runs runs = {.mode = mode,
                        .seed = number(argc, argv, 3, 1),
                        .count = number(argc, argv, 4, 100),
                        .insns = number(argc, argv, 5, 20000)};
    if (!strncmp(what, "hash-", 5)) {
        runs.hashes = true;
        what += 5;
    }
    runs.kind = !strcmp(what, "wild") ? GUEST_WILD : GUEST_TAME;
    struct runs_result got = runs_do(&runs);
    printf("%s %s: seeds %llu to %llu, %llu guests, %llu instructions, %llu exceptions, "
           "%llu interrupts, %llu faults\n",
           what, guest_mode_names[mode], (unsigned long long)runs.seed,
           (unsigned long long)(runs.seed + runs.count - 1), (unsigned long long)got.guests,
           (unsigned long long)got.insns, (unsigned long long)got.exceptions,
           (unsigned long long)got.interrupts, (unsigned long long)got.faults);
    return got.faults;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return sample();
    if (argc < 3)
        return usage();
    u64 faults = 0, known = 0;
    for (unsigned k = 0; k < GUEST_MODES_COUNT; k++) {
        if (strcmp(argv[2], "all") && strcmp(argv[2], guest_mode_names[k]))
            continue;
        known++;
        if (!strcmp(argv[1], "bisect"))
            runs_bisect((enum guest_mode)k, number(argc, argv, 3, 1), number(argc, argv, 4, 4000));
        else
            faults += do_mode((enum guest_mode)k, argc, argv);
    }
    return known ? faults != 0 : usage();
}
