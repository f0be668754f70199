/* SPDX-License-Identifier: MIT */
/*
 * Shifts and rotates (SDM "Shift and Rotate Instructions"). The count is an immediate, one or CL.
 * Counts above the width are well defined here: as many steps of one bit.
 */
#include "cpu/op_forms.h"

#define COUNT_MASK(bits) ((bits) == 64 ? 63u : 31u)

/*
 * Narrow operands are shifted in 64 bits, where counts up to 31 lose nothing. src is the operand
 * before the last step, so that its outgoing bit is CF; c is 1 or more where flags are live.
 */
#define DO_SHL(bits, c)                                                                            \
    res = (u##bits)((u64)val << (c));                                                              \
    if (fl)                                                                                        \
    SET_CC(SHL, bits, res, (u64)val << ((c)-1))
#define DO_SHR(bits, c)                                                                            \
    res = (u##bits)((u64)val >> (c));                                                              \
    if (fl)                                                                                        \
    SET_CC(SHR, bits, res, (u64)val >> ((c)-1))
#define DO_SAR(bits, c)                                                                            \
    res = (u##bits)((s64)SX(bits, val) >> (c));                                                    \
    if (fl)                                                                                        \
    SET_CC(SAR, bits, res, (s64)SX(bits, val) >> ((c)-1))

/* A count of zero leaves flags and, but for the zeroed upper half, the operand alone. */
#define GUARDED(DO, bits, count)                                                                   \
    unsigned c_ = (unsigned)(count)&COUNT_MASK(bits);                                              \
    if (fl && unlikely(!c_)) {                                                                     \
        res = val;                                                                                 \
    } else {                                                                                       \
        DO(bits, c_);                                                                              \
    }

#define SHIFT_WIDTH(op, DO, bits)                                                                  \
    E_RMW_LIVE(op_##op##_i##bits, bits, , GUARDED(DO, bits, i->imm))                               \
    E_RMW_DEAD(op_##op##_i##bits, bits, GUARDED(DO, bits, i->imm))                                 \
    E_RMW_LIVE(op_##op##_1##bits, bits, , DO(bits, 1))                                             \
    E_RMW_DEAD(op_##op##_1##bits, bits, DO(bits, 1))                                               \
    E_RMW_LIVE(op_##op##_cl##bits, bits, , GUARDED(DO, bits, cpu->gpr[RCX]))                       \
    E_RMW_DEAD(op_##op##_cl##bits, bits, GUARDED(DO, bits, cpu->gpr[RCX]))
#define SHIFT(op, DO)                                                                              \
    SHIFT_WIDTH(op, DO, 8)                                                                         \
    SHIFT_WIDTH(op, DO, 16)                                                                        \
    SHIFT_WIDTH(op, DO, 32)                                                                        \
    SHIFT_WIDTH(op, DO, 64)                                                                        \
    const struct op_family fam_##op##_i = {{FAMILY4(op_##op##_i), FAMILY4_NF(op_##op##_i)}};       \
    const struct op_family fam_##op##_1 = {{FAMILY4(op_##op##_1), FAMILY4_NF(op_##op##_1)}};       \
    const struct op_family fam_##op##_cl = {{FAMILY4(op_##op##_cl), FAMILY4_NF(op_##op##_cl)}};
SHIFT(shl, DO_SHL)
SHIFT(shr, DO_SHR)
SHIFT(sar, DO_SAR)

/* ---- SHLD, SHRD ---- */
/*
 * A 16-bit shift by more than 16 is undefined; here the operands repeat, as in a shift of the three
 * words destination, source, destination. `before` is the destination before the last step.
 */
#define WIDE16(hi, lo) ((u64)(hi) << 32 | (u64)(lo) << 16 | (hi))
#define SHLD16(v, s, c) (u16)((WIDE16(v, s) << (c)) >> 32)
#define SHRD16(v, s, c) (u16)(WIDE16(v, s) >> (c))
#define SHLD32(v, s, c) (u32)(((u64)(v) << 32 | (s)) << (c) >> 32)
#define SHRD32(v, s, c) (u32)(((u64)(s) << 32 | (v)) >> (c))
#define SHLD64(v, s, c) ((c) ? (v) << (c) | (s) >> (64 - (c)) : (v))
#define SHRD64(v, s, c) ((c) ? (v) >> (c) | (s) << (64 - (c)) : (v))

#define DO_DOUBLE(bits, KIND, OP, count)                                                           \
    unsigned c_ = (unsigned)(count)&COUNT_MASK(bits);                                              \
    u##bits s_ = REG##bits(cpu, i->reg);                                                           \
    if (unlikely(!c_)) {                                                                           \
        res = val;                                                                                 \
    } else {                                                                                       \
        u##bits before = OP(val, s_, c_ - 1);                                                      \
        res = OP(val, s_, c_);                                                                     \
        SET_CC(KIND, bits, res, before);                                                           \
    }
#define DOUBLE_WIDTH(bits)                                                                         \
    E_RMW_LIVE(op_shld_i##bits, bits, , DO_DOUBLE(bits, SHL, SHLD##bits, i->imm))                  \
    E_RMW_LIVE(op_shrd_i##bits, bits, , DO_DOUBLE(bits, SHR, SHRD##bits, i->imm))                  \
    E_RMW_LIVE(op_shld_cl##bits, bits, , DO_DOUBLE(bits, SHL, SHLD##bits, cpu->gpr[RCX]))          \
    E_RMW_LIVE(op_shrd_cl##bits, bits, , DO_DOUBLE(bits, SHR, SHRD##bits, cpu->gpr[RCX]))
DOUBLE_WIDTH(16)
DOUBLE_WIDTH(32)
DOUBLE_WIDTH(64)
const struct op_family fam_shld_i = {{FAMILY3(op_shld_i)}};
const struct op_family fam_shrd_i = {{FAMILY3(op_shrd_i)}};
const struct op_family fam_shld_cl = {{FAMILY3(op_shld_cl)}};
const struct op_family fam_shrd_cl = {{FAMILY3(op_shrd_cl)}};
