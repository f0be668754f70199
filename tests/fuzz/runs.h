/* SPDX-License-Identifier: MIT */
/* Runs of random guests, each in a process of its own, so that one that dies does not end them. */
#ifndef TESTS_FUZZ_RUNS_H
#define TESTS_FUZZ_RUNS_H

#include "tests/fuzz/guest.h"

struct runs {
    enum guest_kind kind;
    enum guest_mode mode;
    u64 seed, count; /* guests: seed, seed + 1, ... */
    u64 insns;       /* of each guest at most */
    bool hashes;     /* print each guest's last state, to compare builds */
};

struct runs_result {
    u64 guests, insns, exceptions, interrupts, faults;
};

/* Each failure is printed with the line that repeats it. */
struct runs_result runs_do(const struct runs *runs);

/* The first instruction after which a tame guest, run in steps, differs from one in blocks. */
void runs_bisect(enum guest_mode mode, u64 seed, u64 insns);

#endif
