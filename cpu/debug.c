/* SPDX-License-Identifier: MIT */
#include "cpu/debug.h"

bool debug_fetch_hits(struct cpu *cpu)
{
    if (!debug_fetch_armed(cpu))
        return false;
    u64 lin = cpu->mode & MODE_64 ? cpu->rip : (u32)(cpu->seg[SEG_CS].base + cpu->rip), hits = 0;
    for (unsigned n = 0; n < 4; n++) {
        bool on = cpu->dr[7] >> (2 * n) & 3;
        if (on && BITS(cpu->dr[7], 19 + 4 * n, 16 + 4 * n) == 0 && cpu->dr[n] == lin)
            hits |= BIT(n);
    }
    if (!hits)
        return false;
    cpu->exc = (struct exception){.pending = true, .vector = EXC_DB, .dr6 = hits};
    return true;
}

void debug_note_port(struct cpu *cpu, u16 port, unsigned size)
{
    static const u8 lengths[4] = {1, 2, 8, 4};
    if (likely(!(cpu->dr[7] & 0xff)) || !(cpu->cr4 & CR4_DE))
        return;
    for (unsigned n = 0; n < 4; n++) {
        u64 len = lengths[BITS(cpu->dr[7], 19 + 4 * n, 18 + 4 * n)];
        u64 at = cpu->dr[n] & ~(len - 1);
        bool on = cpu->dr[7] >> (2 * n) & 3;
        if (on && BITS(cpu->dr[7], 17 + 4 * n, 16 + 4 * n) == 2 && port < at + len &&
            at < (u64)port + size)
            cpu->debug_hits |= BIT(n);
    }
}

void debug_trap(struct cpu *cpu)
{
    u64 hits = cpu->debug_hits;
    cpu->debug_hits = 0;
    if (cpu->exc.pending || cpu->exit.pending) /* the instruction faulted after all: that stands */
        return;
    cpu->exc = (struct exception){.pending = true, .vector = EXC_DB, .dr6 = hits, .trap = true};
}
