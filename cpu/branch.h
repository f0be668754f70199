/* SPDX-License-Identifier: MIT */
/* What near branches share. */
#ifndef CPU_BRANCH_H
#define CPU_BRANCH_H

#include "cpu/exec.h"

/*
 * Is a 64-bit branch target canonical for 4-level paging? In 5-level paging those that are not go
 * the slow way, which asks branch_target_ok(). The jump cache must not be asked for others: bits of
 * its tags hold a generation.
 */
static ALWAYS_INLINE bool canonical48(u64 va)
{
    return (u64)((s64)(va << 16) >> 16) == va;
}

/* SDM, near branches: target outside CS.limit or not canonical is #GP(0). False: fault recorded. */
static inline bool branch_target_ok(struct cpu *cpu, u64 target)
{
    if (cpu->mode & MODE_64) {
        unsigned bits = cpu->cr4 & CR4_LA57 ? 57 : 48;
        return sign_extend(target, bits) == target || cpu_fault_gp(cpu, 0);
    }
    return target <= cpu->seg[SEG_CS].limit || cpu_fault_gp(cpu, 0);
}

/* Ends a slow twin of a branch, which is done but for going to target. */
#define SLOW_JUMP(target)                                                                          \
    do {                                                                                           \
        if (unlikely(cpu->leave))                                                                  \
            return insn_leave_at(cpu, i, target);                                                  \
        JUMP_TO(target);                                                                           \
    } while (0)

/* Direct branch i: to the target inside the page by link, or in another page. */
#define GO_LINK JUMP_LINK
#define GO_XP JUMP_TO(i->imm)

#endif
