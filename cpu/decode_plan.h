/* SPDX-License-Identifier: MIT */
/* The opcode table arranged for the decoder: by map and opcode, the most specific row first. */
#ifndef CPU_DECODE_PLAN_H
#define CPU_DECODE_PLAN_H

#include "cpu/decode.h"

/* What can be told of a row once and for all. */
struct plan {
    const struct op_row *row;
    u64 modrm_ok[4]; /* bit per ModRM byte that selects the row */
    u8 letter[3], size[3];
    u8 width_size; /* enum op_size that gives the width; SIZE_n: none, by operand size */
    bool loose;    /* a family without handlers of this width means those of W8 */
    u8 unit;       /* enum fpu_unit that must be usable */
    u8 branch;
    bool any_mod;  /* MOV to and from CR and DR: always registers */
    bool implicit; /* reaches memory, or may fault, without a memory operand */
};

/* The rows of one opcode. */
struct slot {
    u16 first; /* in decode_plans[] */
    u8 count;
    bool modrm;
};

extern struct plan *decode_plans; /* NULL before decode_plans_make() */
extern struct slot decode_slots[MAP_COUNT][256];

/* Once for the whole program: the table is constant. */
void decode_plans_make(void);

#endif
