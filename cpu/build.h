/* SPDX-License-Identifier: MIT */
/* From bytes to a block's records: decoding, liveness of flags, fusing, links. */
#ifndef CPU_BUILD_H
#define CPU_BUILD_H

#include "cpu/cpu.h"

struct build_input {
    const u8 *bytes;
    unsigned avail; /* bytes that may be used: to the page's end, or what was gathered */
    bool single;    /* one instruction only */
};

/*
 * Fills blk (rip, pa and mode are set; room for the largest block) with records. False: the first
 * instruction needs more bytes than there are.
 */
bool build_block(struct cpu *cpu, struct block *blk, const struct build_input *in);

#endif
