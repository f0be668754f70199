/* SPDX-License-Identifier: MIT */
/* One instruction on the host's own processor (x86-64 hosts only). */
#ifndef TESTS_CPU_NATIVE_H
#define TESTS_CPU_NATIVE_H

#include "base/types.h"

struct native_state {
    u64 gpr[16]; /* by number; gpr[4] (RSP) is not used */
    u64 flags;   /* status flags */
};

/* False on hosts that can't. */
bool native_init(void);

/*
 * Runs the instruction, which must neither branch nor touch the stack or RSP, with the registers
 * and status flags of st and leaves there what it made of them. False: it raised #DE.
 */
bool native_run(struct native_state *st, const u8 *bytes, unsigned length);

#endif
