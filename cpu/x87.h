/* SPDX-License-Identifier: MIT */
/* What the files of x87 handlers share: the register stack, exceptions, results. */
#ifndef CPU_X87_H
#define CPU_X87_H

#include "cpu/fpu.h"

/*
 * An x87 handler is a function of the DEF_SLOW kind. A waiting instruction begins with x87_wait(),
 * reads memory, which may fault, then notes the pointers with x87_note(); nothing faults afterwards
 * except a store, which comes before anything is committed.
 */
#define X87_HANDLER(name) static NOINLINE bool name(struct cpu *cpu, const struct insn *i)
/*
 * Family name: register or implied operands; memory operands; handlers are the functions x87_<fn>.
 */
#define X87_REG(name)                                                                              \
    DEF_SLOW(op_##name##_slow, x87_##name)                                                         \
    FAMILY_SLOW(name, op_##name##_slow, 0);
#define X87_MEM(name)                                                                              \
    DEF_SLOW(op_##name##_gen, x87_##name)                                                          \
    FAMILY_SLOW(name, 0, op_##name##_gen);

static inline bool x87_wait(struct cpu *cpu)
{
    return likely(!(cpu->fsw & FSW_ES)) || fpu_pending(cpu);
}

/* FIP and FDP of a non-control instruction; memory: it has an operand there. */
void x87_note(struct cpu *cpu, const struct insn *i, bool memory);

struct fp_env x87_env(const struct cpu *cpu);
/* The format that precision control asks for. */
const struct fp_format *x87_format(const struct cpu *cpu);

/*
 * Notes flags (FP_*, FSW_SF), C1 and the pending exception. False: an unmasked exception of those
 * that are found before the operation: no result. c1 counts only where the instruction defines it
 * so.
 */
bool x87_raise(struct cpu *cpu, const struct insn *i, unsigned flags, bool c1);
/* The same for a store: also false for unmasked overflow and underflow. */
bool x87_store_allowed(const struct cpu *cpu, unsigned flags);

/* ---- The stack; n counts from the top ---- */

static inline bool x87_empty(const struct cpu *cpu, unsigned n)
{
    return (cpu->ftw_empty >> fpu_phys(cpu, n)) & 1;
}
static inline struct x87_reg *x87_reg(struct cpu *cpu, unsigned n)
{
    return &cpu->st[fpu_phys(cpu, n)];
}
static inline struct fp x87_get(struct cpu *cpu, unsigned n)
{
    const struct x87_reg *r = x87_reg(cpu, n);
    return fp_unpack80(r->mant, r->se);
}
static inline void x87_put(struct cpu *cpu, unsigned n, struct fp v)
{
    struct x87_reg *r = x87_reg(cpu, n);
    fp_pack80(v, &r->mant, &r->se);
    cpu->ftw_empty &= (u8) ~(1u << fpu_phys(cpu, n));
}
static inline void x87_pop(struct cpu *cpu)
{
    cpu->ftw_empty |= (u8)(1u << fpu_top(cpu));
    fpu_set_top(cpu, fpu_top(cpu) + 1);
}
static inline void x87_push(struct cpu *cpu, struct fp v)
{
    fpu_set_top(cpu, fpu_top(cpu) - 1);
    x87_put(cpu, 0, v);
}
/* Stack fault of a missing operand; the masked response, if true, is the indefinite. */
static inline bool x87_underflow(struct cpu *cpu, const struct insn *i)
{
    return x87_raise(cpu, i, FP_IE | FSW_SF, false);
}
static inline bool x87_overflow(struct cpu *cpu, const struct insn *i)
{
    return x87_raise(cpu, i, FP_IE | FSW_SF, true);
}
/* Pushes v unless the stack is full. */
void x87_push_checked(struct cpu *cpu, const struct insn *i, struct fp v);

#endif
