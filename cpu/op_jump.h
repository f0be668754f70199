/* SPDX-License-Identifier: MIT */
/* Handlers of system instructions: a function that does it all, and the way on. */
#ifndef CPU_OP_JUMP_H
#define CPU_OP_JUMP_H

#include "cpu/exec.h"

/*
 * The return address of record i. The instruction pointer has 32 bits outside 64-bit mode, with 16-bit
 * code too: what runs past FFFFH there meets the limit of CS, it does not wrap.
 */
static inline u64 next_rip(const struct cpu *cpu, const struct insn *i)
{
    u64 rip = insn_next_rip(i);
    return cpu->mode & MODE_64 ? rip : (u32)rip;
}

/* Record i is done, control goes to cpu->rip in the mode that is now. */
HANDLER(op_go);

/*
 * A body is `bool name(cpu, i)`: it executes the whole instruction, or records a fault and returns
 * false. Its locals are gone when the handler around it jumps on: bodies are NOINLINE.
 *   SYS_NEXT   goes on with the next record
 *   SYS_LEAVE  the run loop must look at mode, events or code afresh
 *   SYS_GO     goes on at cpu->rip
 */
#define BODY(name) static NOINLINE bool name(struct cpu *cpu, const struct insn *i)
#define SYS_NEXT(handler, body)                                                                    \
    static COLD HANDLER(handler)                                                                   \
    {                                                                                              \
        if (unlikely(!body(cpu, i)))                                                               \
            return insn_fault(cpu, i);                                                             \
        SLOW_NEXT;                                                                                 \
    }
#define SYS_LEAVE(handler, body)                                                                   \
    static COLD HANDLER(handler)                                                                   \
    {                                                                                              \
        if (unlikely(!body(cpu, i)))                                                               \
            return insn_fault(cpu, i);                                                             \
        return insn_leave(cpu, i);                                                                 \
    }
#define SYS_GO(handler, body)                                                                      \
    static COLD HANDLER(handler)                                                                   \
    {                                                                                              \
        if (unlikely(!body(cpu, i)))                                                               \
            return insn_fault(cpu, i);                                                             \
        return op_go(cpu, i);                                                                      \
    }

/* FAMILY_ONE of a body whose name is do_<family>. */
#define SYS_FAMILY(kind, name) kind(op_##name, do_##name) FAMILY_ONE(name, op_##name);

/* One handler for register operands, another for memory, whatever the form. */
#define FORMS_TWO(reg, mem)                                                                        \
    {                                                                                              \
        reg, mem, mem, mem, mem                                                                    \
    }
/* By operand size, none of a byte. */
#define FAMILY_SIZES(name, h16, h32, h64)                                                          \
    const struct op_family fam_##name = {                                                          \
        {{{0}, FORMS_ALL(h16), FORMS_ALL(h32), FORMS_ALL(h64)}, {{0}}}}

#endif
