/* SPDX-License-Identifier: MIT */
/*
 * The lazily evaluated status flags (enum cc_op in cpu/cpu.h): how handlers note a result, and how
 * those that need a flag get it without a call.
 *
 * Whatever a consumer makes of the state must not depend on how it is represented: CC_EFLAGS with
 * the evaluated bits and the operation that made them give the same answers, undefined flags too.
 */
#ifndef CPU_FLAGS_H
#define CPU_FLAGS_H

#include "cpu/exec.h"

/* Condition codes: the low nibble of the opcodes of Jcc, SETcc and CMOVcc. */
/* clang-format off */
#define CONDITIONS(X) \
    X(o, 0) X(no, 1) X(b, 2) X(ae, 3) X(e, 4) X(ne, 5) X(be, 6) X(a, 7) \
    X(s, 8) X(ns, 9) X(p, 10) X(np, 11) X(l, 12) X(ge, 13) X(le, 14) X(g, 15)
/* clang-format on */

enum condition {
#define X(name, cc) COND_##name = (cc),
    CONDITIONS(X)
#undef X
};

/* Sign-extends the low `bits` bits to 64. */
#define SX(bits, v) ((u64)(s64)(s##bits)(v))

/* Notes the result of an operation of CC_<op>; SET_CC_DST where CC_<op> needs no src. */
#define SET_CC_DST(op, bits, dst)                                                                  \
    do {                                                                                           \
        cpu->cc_op = CC_##op + W##bits;                                                            \
        cpu->cc_dst = SX(bits, dst);                                                               \
    } while (0)
#define SET_CC(op, bits, dst, src)                                                                 \
    do {                                                                                           \
        SET_CC_DST(op, bits, dst);                                                                 \
        cpu->cc_src = SX(bits, src);                                                               \
    } while (0)

/* CF, 0 or 1. */
static ALWAYS_INLINE u64 cc_carry(const struct cpu *cpu)
{
    u64 dst = cpu->cc_dst, src = cpu->cc_src;
    unsigned op = cpu->cc_op, shift = 64 - (8u << (op & 3));
    switch (op & ~3u) {
    case CC_ADD:
        return dst < src;
    case CC_ADC:
        return dst <= src;
    case CC_SUB:
        return (dst + src) << shift < src << shift;
    case CC_SBB:
        return (dst + src + 1) << shift <= src << shift;
    case CC_LOGIC:
        return 0;
    case CC_SHL:
        return src >> 63;
    default: /* CC_EFLAGS, CC_INC, CC_DEC, CC_MUL; CC_SHR, CC_SAR: the last bit shifted out */
        return src & 1;
    }
}

/* The same for consumers that mostly follow a comparison: spares them the indirect jump. */
static ALWAYS_INLINE bool cc_quick_carry(const struct cpu *cpu)
{
    unsigned op = cpu->cc_op, shift = 64 - (8u << (op & 3));
    if (likely((op & ~3u) == CC_SUB))
        return (cpu->cc_dst + cpu->cc_src) << shift < cpu->cc_src << shift;
    return cc_carry(cpu);
}

/* PF: even parity of the low byte. */
static ALWAYS_INLINE bool cc_parity_of(u64 dst)
{
    return !__builtin_parity((unsigned)(dst & 0xff));
}

static ALWAYS_INLINE bool cc_zero(const struct cpu *cpu)
{
    return cpu->cc_op == CC_EFLAGS ? cpu->cc_src & FLAG_ZF : cpu->cc_dst == 0;
}
static ALWAYS_INLINE bool cc_sign(const struct cpu *cpu)
{
    return (s64)(cpu->cc_op == CC_EFLAGS ? cpu->cc_src << 56 : cpu->cc_dst) < 0;
}
static ALWAYS_INLINE bool cc_parity(const struct cpu *cpu)
{
    return cpu->cc_op == CC_EFLAGS ? cpu->cc_src & FLAG_PF : cc_parity_of(cpu->cc_dst);
}

#define CC_NOT_QUICK 2u

/* SF != OF (or also ZF, for le), where it is cheap: else CC_NOT_QUICK. */
static ALWAYS_INLINE unsigned cc_quick_less(const struct cpu *cpu, bool or_equal)
{
    unsigned op = cpu->cc_op, shift = 64 - (8u << (op & 3));
    u64 dst = cpu->cc_dst, src = cpu->cc_src;
    if (likely((op & ~3u) == CC_SUB)) {
        s64 a = (s64)((dst + src) << shift), b = (s64)(src << shift);
        return or_equal ? a <= b : a < b;
    }
    if ((op & ~3u) == CC_LOGIC)
        return or_equal ? (s64)dst <= 0 : (s64)dst < 0;
    if (op == CC_EFLAGS) {
        bool less = !(src & FLAG_SF) != !(src & FLAG_OF);
        return or_equal ? less || (src & FLAG_ZF) : less;
    }
    return CC_NOT_QUICK;
}

static ALWAYS_INLINE unsigned cc_quick_overflow(const struct cpu *cpu)
{
    if ((cpu->cc_op & ~3u) == CC_LOGIC)
        return 0;
    if (cpu->cc_op == CC_EFLAGS)
        return (cpu->cc_src >> 11) & 1;
    return CC_NOT_QUICK;
}

/*
 * The condition cc (a constant), 0 or 1, without a call; CC_NOT_QUICK when the state needs the full
 * evaluation: then the handler does `return op_flags_slow(cpu, i)`.
 */
static ALWAYS_INLINE unsigned cc_quick(const struct cpu *cpu, enum condition cc)
{
    unsigned v;
    switch (cc & ~1u) {
    case COND_o:
        v = cc_quick_overflow(cpu);
        break;
    case COND_b:
        v = cc_quick_carry(cpu);
        break;
    case COND_e:
        v = cc_zero(cpu);
        break;
    case COND_be:
        v = cc_zero(cpu) || cc_quick_carry(cpu);
        break;
    case COND_s:
        v = cc_sign(cpu);
        break;
    case COND_p:
        v = cc_parity(cpu);
        break;
    default:
        v = cc_quick_less(cpu, (cc & ~1u) == COND_le);
        break;
    }
    return v == CC_NOT_QUICK ? v : v ^ (cc & 1);
}

/* Evaluates the flags into CC_EFLAGS and runs record i again. */
HANDLER(op_flags_slow);

/* First statement of handlers that change some status flags and keep others. */
#define NEED_CC_EFLAGS                                                                             \
    do {                                                                                           \
        if (cpu->cc_op != CC_EFLAGS)                                                               \
            return op_flags_slow(cpu, i);                                                          \
    } while (0)

#endif
