/* SPDX-License-Identifier: MIT */
/* Random code. */
#ifndef TESTS_FUZZ_CODE_H
#define TESTS_FUZZ_CODE_H

#include "base/types.h"
#include "tests/fuzz/random.h"

struct code_style {
    u32 mode;  /* MODE_64, MODE_CS32: the size of code */
    bool wild; /* all instructions, junk between them; else those that leave the tables alone */
    u64 base, bytes; /* linear addresses that memory operands should like */
};

/* Fills all of buf; the last instruction is cut short. */
void code_fill(struct rng *r, const struct code_style *style, u8 *buf, size_t size);

#endif
