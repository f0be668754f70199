/* SPDX-License-Identifier: MIT */
/* Debug registers at work: instruction breakpoints before, traps after an instruction. */
#ifndef CPU_DEBUG_H
#define CPU_DEBUG_H

#include "cpu/cpu.h"

/* Is any instruction breakpoint enabled? Then each instruction is stepped. */
static inline bool debug_fetch_armed(const struct cpu *cpu)
{
    if (likely(!(cpu->dr[7] & 0xff)))
        return false;
    for (unsigned n = 0; n < 4; n++) {
        if ((cpu->dr[7] >> (2 * n) & 3) && BITS(cpu->dr[7], 17 + 4 * n, 16 + 4 * n) == 0)
            return true;
    }
    return false;
}

/* If one matches cpu->rip, records the #DB fault (DR6 bits in exc.dr6) and returns true. */
bool debug_fetch_hits(struct cpu *cpu);

/* Notes the I/O breakpoints that an access to a port hits, in cpu->debug_hits. */
void debug_note_port(struct cpu *cpu, u16 port, unsigned size);

/* Turns cpu->debug_hits into a pending trap-class #DB. */
void debug_trap(struct cpu *cpu);

#endif
