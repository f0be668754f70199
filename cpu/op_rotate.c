/* SPDX-License-Identifier: MIT */
/*
 * ROL, ROR, RCL, RCR (SDM "Rotate Instructions"): they change CF and OF alone, so with live flags
 * the other four must have been evaluated. OF follows the rule for a count of one whatever the
 * count, where the SDM leaves it undefined.
 */
#include "cpu/op_forms.h"

#define COUNT_MASK(bits) ((bits) == 64 ? 63u : 31u)
#define TOP(bits, v) (((u64)(v) >> ((bits)-1)) & 1)

static ALWAYS_INLINE u64 with_cf_of(u64 flags, u64 cf, u64 of)
{
    return (flags & ~(FLAG_CF | FLAG_OF)) | cf | of << 11;
}

#define DO_ROL(bits, count)                                                                        \
    unsigned c_ = (unsigned)(count)&COUNT_MASK(bits), k_ = c_ & ((bits)-1);                        \
    res = (u##bits)((u##bits)(val << k_) | (u##bits)(val >> (-k_ & ((bits)-1))));                  \
    if (fl && c_)                                                                                  \
    cpu->cc_src = with_cf_of(cpu->cc_src, res & 1, TOP(bits, res) ^ (res & 1))
#define DO_ROR(bits, count)                                                                        \
    unsigned c_ = (unsigned)(count)&COUNT_MASK(bits), k_ = c_ & ((bits)-1);                        \
    res = (u##bits)((u##bits)(val >> k_) | (u##bits)(val << (-k_ & ((bits)-1))));                  \
    if (fl && c_)                                                                                  \
    cpu->cc_src =                                                                                  \
        with_cf_of(cpu->cc_src, TOP(bits, res), TOP(bits, res) ^ (TOP(bits, (u##bits)(res << 1))))

#define ROTATE_WIDTH(op, DO, bits)                                                                 \
    E_RMW_LIVE(op_##op##_i##bits, bits, NEED_CC_EFLAGS, DO(bits, i->imm))                          \
    E_RMW_DEAD(op_##op##_i##bits, bits, DO(bits, i->imm))                                          \
    E_RMW_LIVE(op_##op##_1##bits, bits, NEED_CC_EFLAGS, DO(bits, 1))                               \
    E_RMW_DEAD(op_##op##_1##bits, bits, DO(bits, 1))                                               \
    E_RMW_LIVE(op_##op##_cl##bits, bits, NEED_CC_EFLAGS, DO(bits, cpu->gpr[RCX]))                  \
    E_RMW_DEAD(op_##op##_cl##bits, bits, DO(bits, cpu->gpr[RCX]))
#define ROTATE(op, DO)                                                                             \
    ROTATE_WIDTH(op, DO, 8)                                                                        \
    ROTATE_WIDTH(op, DO, 16)                                                                       \
    ROTATE_WIDTH(op, DO, 32)                                                                       \
    ROTATE_WIDTH(op, DO, 64)                                                                       \
    const struct op_family fam_##op##_i = {{FAMILY4(op_##op##_i), FAMILY4_NF(op_##op##_i)}};       \
    const struct op_family fam_##op##_1 = {{FAMILY4(op_##op##_1), FAMILY4_NF(op_##op##_1)}};       \
    const struct op_family fam_##op##_cl = {{FAMILY4(op_##op##_cl), FAMILY4_NF(op_##op##_cl)}};
ROTATE(rol, DO_ROL)
ROTATE(ror, DO_ROR)

/* Rotation of bits + 1 bits, CF being the topmost. */
#define ROL_WIDE(bits, k) wide_ = (k) ? wide_ << (k) | wide_ >> ((bits) + 1 - (k)) : wide_
#define ROR_WIDE(bits, k) wide_ = (k) ? wide_ >> (k) | wide_ << ((bits) + 1 - (k)) : wide_
#define DO_CARRY(bits, ROTATE_WIDE, OVERFLOW, count)                                               \
    unsigned c_ = (unsigned)(count)&COUNT_MASK(bits), k_ = c_ % ((bits) + 1);                      \
    u128 wide_ = (u128)(cpu->cc_src & 1) << (bits) | val;                                          \
    ROTATE_WIDE(bits, k_);                                                                         \
    res = (u##bits)wide_;                                                                          \
    u64 cf_ = (u64)(wide_ >> (bits)) & 1;                                                          \
    if (c_)                                                                                        \
    cpu->cc_src = with_cf_of(cpu->cc_src, cf_, OVERFLOW(bits))
#define RCL_OVERFLOW(bits) cf_ ^ TOP(bits, res)
#define RCR_OVERFLOW(bits) TOP(bits, res) ^ TOP(bits, (u##bits)(res << 1))
#define DO_RCL(bits, count) DO_CARRY(bits, ROL_WIDE, RCL_OVERFLOW, count)
#define DO_RCR(bits, count) DO_CARRY(bits, ROR_WIDE, RCR_OVERFLOW, count)

#define CARRY_WIDTH(op, DO, bits)                                                                  \
    E_RMW_LIVE(op_##op##_i##bits, bits, NEED_CC_EFLAGS, DO(bits, i->imm))                          \
    E_RMW_LIVE(op_##op##_1##bits, bits, NEED_CC_EFLAGS, DO(bits, 1))                               \
    E_RMW_LIVE(op_##op##_cl##bits, bits, NEED_CC_EFLAGS, DO(bits, cpu->gpr[RCX]))
#define CARRY(op, DO)                                                                              \
    CARRY_WIDTH(op, DO, 8)                                                                         \
    CARRY_WIDTH(op, DO, 16)                                                                        \
    CARRY_WIDTH(op, DO, 32)                                                                        \
    CARRY_WIDTH(op, DO, 64)                                                                        \
    const struct op_family fam_##op##_i = {{FAMILY4(op_##op##_i)}};                                \
    const struct op_family fam_##op##_1 = {{FAMILY4(op_##op##_1)}};                                \
    const struct op_family fam_##op##_cl = {{FAMILY4(op_##op##_cl)}};
CARRY(rcl, DO_RCL)
CARRY(rcr, DO_RCR)
