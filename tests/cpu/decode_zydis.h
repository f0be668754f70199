/* SPDX-License-Identifier: MIT */
/* The decoder's answer for some bytes beside that of Zydis. */
#ifndef TESTS_CPU_DECODE_ZYDIS_H
#define TESTS_CPU_DECODE_ZYDIS_H

#include "cpu/decode.h"

/* Modes in which everything may be executed. */
#define DECODE_TEST_16 (MODE_PE | MODE_FPU | MODE_SSE | MODE_AVX)
#define DECODE_TEST_32 (DECODE_TEST_16 | MODE_CS32 | MODE_SS32)
#define DECODE_TEST_64 (DECODE_TEST_16 | MODE_64 | MODE_LMA)

struct decode_difference {
    char kind[128]; /* the same for all differences of this sort */
    char text[512];
};

/* False: they differ in a way that isn't explained. bytes: at least 16. */
bool decode_zydis_compare(const u8 *bytes, u32 mode, const struct cpu_model *model,
                          struct decode_difference *diff);

#endif
