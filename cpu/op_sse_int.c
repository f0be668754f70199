/* SPDX-License-Identifier: MIT */
/* SSE2 integer instructions, and the logic and shuffles of floating-point lanes. */
#include "cpu/fpu.h"

#define V(lane) V_##lane
#define V_u8 v16u8
#define V_s8 v16s8
#define V_u16 v8u16
#define V_s16 v8s16
#define V_u32 v4u32
#define V_s32 v4s32
#define V_u64 v2u64

#define SHUFFLE(T, x, y, ...) __builtin_shufflevector((T)(x), (T)(y), __VA_ARGS__)
#define EVEN8(x, y) SHUFFLE(v16u8, x, y, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
#define EVEN16(x, y) SHUFFLE(v8u16, x, y, 0, 2, 4, 6, 8, 10, 12, 14)
#define LO8(x, y) SHUFFLE(v16u8, x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HI8(x, y) SHUFFLE(v16u8, x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define LO16(x, y) SHUFFLE(v8u16, x, y, 0, 8, 1, 9, 2, 10, 3, 11)
#define HI16(x, y) SHUFFLE(v8u16, x, y, 4, 12, 5, 13, 6, 14, 7, 15)
#define LO32(x, y) SHUFFLE(v4u32, x, y, 0, 4, 1, 5)
#define HI32(x, y) SHUFFLE(v4u32, x, y, 2, 6, 3, 7)
#define LO64(x, y) SHUFFLE(v2u64, x, y, 0, 2)
#define HI64(x, y) SHUFFLE(v2u64, x, y, 1, 3)

/*
 * BINARY(name, body...): handlers for xmm, xmm/m128 with an aligned memory operand. body computes
 * `v2u64 res` from `v2u64 x` (destination) and `v2u64 y` (source).
 */
#define BINARY_FORM(name, form, EA, ...)                                                           \
    static HANDLER(op_##name##_##form)                                                             \
    {                                                                                              \
        const u8 *p_ = fast_read_aligned(cpu, EA(cpu, i));                                         \
        if (unlikely(!p_))                                                                         \
            return op_##name##_gen(cpu, i);                                                        \
        v2u64 x = xmm_get(cpu, i->reg), y = host_load128(p_), res;                                 \
        __VA_ARGS__;                                                                               \
        xmm_set(cpu, i->reg, res);                                                                 \
        NEXT;                                                                                      \
    }
#define BINARY(name, ...)                                                                          \
    static HANDLER(op_##name##_reg)                                                                \
    {                                                                                              \
        v2u64 x = xmm_get(cpu, i->reg), y = xmm_get(cpu, i->rm), res;                              \
        __VA_ARGS__;                                                                               \
        xmm_set(cpu, i->reg, res);                                                                 \
        NEXT;                                                                                      \
    }                                                                                              \
    static NOINLINE bool name##_run(struct cpu *cpu, const struct insn *i)                         \
    {                                                                                              \
        v2u64 x = xmm_get(cpu, i->reg), y, res;                                                    \
        if (!mem_read_aligned(cpu, i, &y))                                                         \
            return false;                                                                          \
        __VA_ARGS__;                                                                               \
        xmm_set(cpu, i->reg, res);                                                                 \
        return true;                                                                               \
    }                                                                                              \
    DEF_SLOW(op_##name##_gen, name##_run)                                                          \
    BINARY_FORM(name, bd, EA_BD, __VA_ARGS__)                                                      \
    BINARY_FORM(name, bi, EA_BI, __VA_ARGS__)                                                      \
    BINARY_FORM(name, seg, EA_SEG, __VA_ARGS__)                                                    \
    FAMILY_BOTH(name, op_##name##_reg, op_##name);

#define LANES(lane, expr)                                                                          \
    V(lane) a = (V(lane))x, b = (V(lane))y;                                                        \
    (void)a, (void)b;                                                                              \
    res = (v2u64)(expr)
#define SIMD(name, lane, expr) BINARY(name, LANES(lane, expr))
#define SIMD_LOW(name, lane, expr) BINARY(name, LANES(lane, expr))

/* Shifts: `expr` shifts a by c. count is out of range if it is above the lane's bits - 1. */
#define SHL_BY(lane, expr, count_)                                                                 \
    u64 count = (count_);                                                                          \
    V(lane) a = (V(lane))x;                                                                        \
    lane c = (lane)(count & (sizeof(lane) * 8 - 1));                                               \
    res = (v2u64)(expr) & -(v2u64)                                                                 \
    {                                                                                              \
        count < sizeof(lane) * 8, count < sizeof(lane) * 8                                         \
    }
#define SAR_BY(lane, expr, count_)                                                                 \
    u64 count = (count_);                                                                          \
    V(lane) a = (V(lane))x;                                                                        \
    lane c = (lane)(count < sizeof(lane) * 8 ? count : sizeof(lane) * 8 - 1);                      \
    res = (v2u64)(expr)
/* By an immediate: the register operand is rm. */
#define SHIFT_IMM(name, ...)                                                                       \
    static HANDLER(op_##name##_i_reg)                                                              \
    {                                                                                              \
        v2u64 x = xmm_get(cpu, i->rm), res;                                                        \
        __VA_ARGS__;                                                                               \
        xmm_set(cpu, i->rm, res);                                                                  \
        NEXT;                                                                                      \
    }                                                                                              \
    FAMILY_REG(name##_i, op_##name##_i_reg);
#define SIMD_SHL(name, lane, expr)                                                                 \
    BINARY(name, SHL_BY(lane, expr, y[0])) SHIFT_IMM(name, SHL_BY(lane, expr, i->imm))
#define SIMD_SAR(name, lane, expr)                                                                 \
    BINARY(name, SAR_BY(lane, expr, y[0])) SHIFT_IMM(name, SAR_BY(lane, expr, i->imm))

#include "cpu/simd.def"

/* clang-format off */
BINARY(punpcklqdq, res = LO64(x, y))
BINARY(punpckhqdq, res = HI64(x, y))
BINARY(unpcklps, res = (v2u64)LO32(x, y))
BINARY(unpckhps, res = (v2u64)HI32(x, y))
BINARY(unpcklpd, res = LO64(x, y))
BINARY(unpckhpd, res = HI64(x, y))
/* clang-format on */

/* ---- Shifts of the whole register ---- */

static HANDLER(op_psrldq_reg)
{
    u64 *q = cpu->xmm[i->rm].q;
    u128 v = (u128)q[1] << 64 | q[0];
    v = i->imm > 15 ? 0 : v >> (8 * (i->imm & 15));
    q[0] = (u64)v;
    q[1] = (u64)(v >> 64);
    NEXT;
}
static HANDLER(op_pslldq_reg)
{
    u64 *q = cpu->xmm[i->rm].q;
    u128 v = (u128)q[1] << 64 | q[0];
    v = i->imm > 15 ? 0 : v << (8 * (i->imm & 15));
    q[0] = (u64)v;
    q[1] = (u64)(v >> 64);
    NEXT;
}
FAMILY_REG(psrldq, op_psrldq_reg);
FAMILY_REG(pslldq, op_pslldq_reg);

/*
 * ---- Shuffles by an immediate ----
 * They pick lanes straight from the source's memory: p, 16 bytes; d: the destination register's.
 */
#define PICK(name, ...)                                                                            \
    static ALWAYS_INLINE void name##_pick(u8 *d, const u8 *p, u64 imm)                             \
    {                                                                                              \
        __VA_ARGS__;                                                                               \
    }                                                                                              \
    static HANDLER(op_##name##_reg)                                                                \
    {                                                                                              \
        name##_pick((u8 *)cpu->xmm[i->reg].q, (const u8 *)cpu->xmm[i->rm].q, i->imm);              \
        NEXT;                                                                                      \
    }                                                                                              \
    static NOINLINE bool name##_run(struct cpu *cpu, const struct insn *i)                         \
    {                                                                                              \
        u8 v[16];                                                                                  \
        if (!mem_read_aligned(cpu, i, v))                                                          \
            return false;                                                                          \
        name##_pick((u8 *)cpu->xmm[i->reg].q, v, i->imm);                                          \
        return true;                                                                               \
    }                                                                                              \
    DEF_SLOW(op_##name##_gen, name##_run)                                                          \
    PICK_FORM(name, bd, EA_BD)                                                                     \
    PICK_FORM(name, bi, EA_BI)                                                                     \
    PICK_FORM(name, seg, EA_SEG)                                                                   \
    FAMILY_BOTH(name, op_##name##_reg, op_##name);
#define PICK_FORM(name, form, EA)                                                                  \
    static HANDLER(op_##name##_##form)                                                             \
    {                                                                                              \
        const u8 *p_ = fast_read_aligned(cpu, EA(cpu, i));                                         \
        if (unlikely(!p_))                                                                         \
            return op_##name##_gen(cpu, i);                                                        \
        name##_pick((u8 *)cpu->xmm[i->reg].q, p_, i->imm);                                         \
        NEXT;                                                                                      \
    }

#define LANE32(from, n) host_load32((from) + 4 * ((imm >> (2 * (n))) & 3))
#define LANE16(from, n) (u64) host_load16((from) + 2 * ((imm >> (2 * (n))) & 3))
#define FOUR16(from)                                                                               \
    (LANE16(from, 0) | LANE16(from, 1) << 16 | LANE16(from, 2) << 32 | LANE16(from, 3) << 48)
#define PUT2(lo, hi)                                                                               \
    host_store128(d, (v2u64){lo, hi}) /* one store, which later loads can be forwarded from */
/* clang-format off */
PICK(pshufd, PUT2(LANE32(p, 0) | (u64)LANE32(p, 1) << 32, LANE32(p, 2) | (u64)LANE32(p, 3) << 32))
PICK(pshuflw, PUT2(FOUR16(p), host_load64(p + 8)))
PICK(pshufhw, PUT2(host_load64(p), FOUR16(p + 8)))
PICK(shufps, PUT2(LANE32(d, 0) | (u64)LANE32(d, 1) << 32, LANE32(p, 2) | (u64)LANE32(p, 3) << 32))
PICK(shufpd, PUT2(host_load64(d + 8 * (imm & 1)), host_load64(p + 8 * ((imm >> 1) & 1))))
/* clang-format on */

/* ---- Words to and from general registers ---- */

static ALWAYS_INLINE void insert_word(struct cpu *cpu, const struct insn *i, u16 v)
{
    host_store16((u8 *)cpu->xmm[i->reg].q + 2 * (i->imm & 7), v);
}
static HANDLER(op_pinsrw_reg)
{
    insert_word(cpu, i, REG16(cpu, i->rm));
    NEXT;
}
static HANDLER(op_pextrw_reg)
{
    SET_REG32(cpu, i->reg, host_load16((const u8 *)cpu->xmm[i->rm].q + 2 * (i->imm & 7)));
    NEXT;
}
DEF_LOAD(op_pinsrw, 16, insert_word(cpu, i, val))
FAMILY_BOTH(pinsrw, op_pinsrw_reg, op_pinsrw);
FAMILY_REG(pextrw, op_pextrw_reg);
