/* SPDX-License-Identifier: MIT */
/* What a run leaves: all that a guest could see of it, to be compared with another run. */
#ifndef TESTS_FUZZ_STATE_H
#define TESTS_FUZZ_STATE_H

#include "tests/fuzz/guest.h"

#define STATE_VALUES 256

struct state {
    unsigned count;
    struct {
        const char *name;
        unsigned index;
        u64 value;
    } row[STATE_VALUES];
};

void state_take(const struct guest *g, struct state *s);
/* The index of the first difference, -1 if there is none. */
int state_differ(const struct state *a, const struct state *b);
/* Prints each difference. */
void state_print(const struct state *a, const struct state *b);
/* One number for the whole. */
u64 state_hash(const struct state *s);

#endif
