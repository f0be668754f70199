/* SPDX-License-Identifier: MIT */
/* From a row of the opcode table to bytes: for tests that go over all rows. */
#ifndef CPU_ENCODE_H
#define CPU_ENCODE_H

#include "cpu/optable.h"

/* What the row leaves open. Fields that it has no use for are ignored. */
struct op_encoding {
    u32 mode;      /* MODE_64, MODE_CS32: the size of code */
    u8 seg;        /* segment override byte; 0: none */
    bool p66, p67; /* size prefixes; a row of prefix P66 has its own */
    bool lock;
    u8 rep;   /* 0, 0xf2, 0xf3; a row of prefix PF2 or PF3 has its own */
    u8 rex;   /* 0: none; only in 64-bit mode */
    u8 low;   /* low bits of the opcode of a Z row */
    u8 modrm; /* reg and mod are made to fit the row */
    u8 sib;
    u64 disp, imm;
    u16 selector; /* of Ap */
};

/* The ModRM byte nearest to modrm that selects the row. */
u8 op_fit_modrm(const struct op_row *row, u8 modrm);

/* Writes the instruction (at most 32 bytes, which may be too long a one) and returns its length. */
unsigned op_encode(const struct op_row *row, const struct op_encoding *e, u8 out[32]);

#endif
