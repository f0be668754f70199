/* SPDX-License-Identifier: MIT */
/* One x87, MMX or SSE instruction on the host's own processor (x86-64 hosts only). */
#ifndef TESTS_CPU_NATIVE_FP_H
#define TESTS_CPU_NATIVE_FP_H

#include "base/types.h"

struct native_fp {
    u8 fx[512];  /* an FXSAVE64 image */
    u64 gpr[16]; /* by number; gpr[4] (RSP) is not used */
    u64 flags;   /* status flags */
};

/* False on hosts that can't. */
bool native_fp_init(void);

/*
 * Runs the instruction, which must neither branch nor touch the stack or RSP. False: it raised #MF
 * or #XM; then fx alone is updated.
 */
bool native_fp_run(struct native_fp *st, const u8 *bytes, unsigned length);

#endif
