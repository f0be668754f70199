/* SPDX-License-Identifier: MIT */
/*
 * MMX instructions and what SSE and SSE2 added to them. Rare today, so one slow form serves all
 * memory operands. Each instruction leaves TOP = 0 and all registers valid, and one that writes a
 * register sets its exponent to ones (SDM "The MMX State and MMX Register Set").
 */
#include "cpu/fpu.h"

typedef u64 m1u64 __attribute__((vector_size(8)));
typedef u32 m2u32 __attribute__((vector_size(8)));
typedef s32 m2s32 __attribute__((vector_size(8)));
typedef u16 m4u16 __attribute__((vector_size(8)));
typedef s16 m4s16 __attribute__((vector_size(8)));
typedef u8 m8u8 __attribute__((vector_size(8)));
typedef s8 m8s8 __attribute__((vector_size(8)));

#define V(lane) V_##lane
#define V_u8 m8u8
#define V_s8 m8s8
#define V_u16 m4u16
#define V_s16 m4s16
#define V_u32 m2u32
#define V_s32 m2s32
#define V_u64 m1u64

#define SHUFFLE(T, x, y, ...) __builtin_shufflevector((T)(x), (T)(y), __VA_ARGS__)
#define EVEN8(x, y) SHUFFLE(m8u8, x, y, 0, 2, 4, 6, 8, 10, 12, 14)
#define EVEN16(x, y) SHUFFLE(m4u16, x, y, 0, 2, 4, 6)
#define LO8(x, y) SHUFFLE(m8u8, x, y, 0, 8, 1, 9, 2, 10, 3, 11)
#define HI8(x, y) SHUFFLE(m8u8, x, y, 4, 12, 5, 13, 6, 14, 7, 15)
#define LO16(x, y) SHUFFLE(m4u16, x, y, 0, 4, 1, 5)
#define HI16(x, y) SHUFFLE(m4u16, x, y, 2, 6, 3, 7)
#define LO32(x, y) SHUFFLE(m2u32, x, y, 0, 2)
#define HI32(x, y) SHUFFLE(m2u32, x, y, 1, 3)

#define MM(cpu, n) ((cpu)->st[(n)&7].mant)

static bool mmx_ready(struct cpu *cpu)
{
    return likely(!(cpu->fsw & FSW_ES)) || fpu_pending(cpu);
}

static void mmx_enter(struct cpu *cpu)
{
    fpu_set_top(cpu, 0);
    cpu->ftw_empty = 0;
}

static void mmx_set(struct cpu *cpu, unsigned n, u64 v)
{
    mmx_enter(cpu);
    MM(cpu, n) = v;
    cpu->st[n & 7].se = 0xffff;
}

bool mmx_begin(struct cpu *cpu)
{
    return mmx_ready(cpu);
}

void mmx_finish(struct cpu *cpu, int reg, u64 v)
{
    if (reg < 0)
        mmx_enter(cpu);
    else
        mmx_set(cpu, (unsigned)reg, v);
}

/*
 * BINARY(name, read, body...): mm, mm/m64. body computes `m1u64 res` from `m1u64 x` (destination)
 * and `m1u64 y` (source); read fills in u64 v from memory.
 */
#define BINARY(name, read, ...)                                                                    \
    static ALWAYS_INLINE void name##_mmx_apply(struct cpu *cpu, const struct insn *i, u64 source)  \
    {                                                                                              \
        m1u64 x = {MM(cpu, i->reg)}, y = {source}, res;                                            \
        __VA_ARGS__;                                                                               \
        mmx_set(cpu, i->reg, res[0]);                                                              \
    }                                                                                              \
    static NOINLINE bool name##_mmx_load(struct cpu *cpu, const struct insn *i)                    \
    {                                                                                              \
        u64 v;                                                                                     \
        if (!mmx_ready(cpu) || !read(cpu, i, &v))                                                  \
            return false;                                                                          \
        name##_mmx_apply(cpu, i, v);                                                               \
        return true;                                                                               \
    }                                                                                              \
    static NOINLINE bool name##_mmx_move(struct cpu *cpu, const struct insn *i)                    \
    {                                                                                              \
        if (!mmx_ready(cpu))                                                                       \
            return false;                                                                          \
        name##_mmx_apply(cpu, i, MM(cpu, i->rm));                                                  \
        return true;                                                                               \
    }                                                                                              \
    DEF_SLOW(op_##name##_mmx_gen, name##_mmx_load)                                                 \
    DEF_SLOW(op_##name##_mmx_slow, name##_mmx_move)                                                \
    FAMILY_SLOW(name##_mmx, op_##name##_mmx_slow, op_##name##_mmx_gen);

static bool read_low(struct cpu *cpu, const struct insn *i, u64 *v)
{
    u32 low;
    if (!mem_read32(cpu, i, &low))
        return false;
    *v = low;
    return true;
}

#define LANES(lane, expr)                                                                          \
    V(lane) a = (V(lane))x, b = (V(lane))y;                                                        \
    (void)a, (void)b;                                                                              \
    res = (m1u64)(expr)
#define SIMD(name, lane, expr) BINARY(name, mem_read64, LANES(lane, expr))
#define SIMD_LOW(name, lane, expr) BINARY(name, read_low, LANES(lane, expr))

#define SHL_BY(lane, expr, count_)                                                                 \
    u64 count = (count_);                                                                          \
    V(lane) a = (V(lane))x;                                                                        \
    lane c = (lane)(count & (sizeof(lane) * 8 - 1));                                               \
    res = count < sizeof(lane) * 8 ? (m1u64)(expr) : (m1u64)                                       \
    {                                                                                              \
        0                                                                                          \
    }
#define SAR_BY(lane, expr, count_)                                                                 \
    u64 count = (count_);                                                                          \
    V(lane) a = (V(lane))x;                                                                        \
    lane c = (lane)(count < sizeof(lane) * 8 ? count : sizeof(lane) * 8 - 1);                      \
    res = (m1u64)(expr)
/* By an immediate: the register operand is rm. */
#define SHIFT_IMM(name, ...)                                                                       \
    static NOINLINE bool name##_i_mmx(struct cpu *cpu, const struct insn *i)                       \
    {                                                                                              \
        m1u64 x = {MM(cpu, i->rm)}, res;                                                           \
        if (!mmx_ready(cpu))                                                                       \
            return false;                                                                          \
        __VA_ARGS__;                                                                               \
        mmx_set(cpu, i->rm, res[0]);                                                               \
        return true;                                                                               \
    }                                                                                              \
    DEF_SLOW(op_##name##_i_mmx_slow, name##_i_mmx)                                                 \
    FAMILY_REG(name##_i_mmx, op_##name##_i_mmx_slow);
#define SIMD_SHL(name, lane, expr)                                                                 \
    BINARY(name, mem_read64, SHL_BY(lane, expr, y[0])) SHIFT_IMM(name, SHL_BY(lane, expr, i->imm))
#define SIMD_SAR(name, lane, expr)                                                                 \
    BINARY(name, mem_read64, SAR_BY(lane, expr, y[0])) SHIFT_IMM(name, SAR_BY(lane, expr, i->imm))

#include "cpu/simd.def"

static u64 shuffle_words(u64 v, u64 imm)
{
    u64 res = 0;
    for (unsigned n = 0; n < 4; n++)
        res |= (v >> (16 * ((imm >> (2 * n)) & 3)) & 0xffff) << (16 * n);
    return res;
}
static u64 insert_word(u64 v, u64 imm, u16 word)
{
    unsigned shift = 16 * (imm & 3);
    return (v & ~(UINT64_C(0xffff) << shift)) | (u64)word << shift;
}

/* clang-format off */
BINARY(pshufw, mem_read64, (void)x; res = (m1u64){shuffle_words(y[0], i->imm)})
/* clang-format on */
/*
 * ---- Moves ----
 * MOVE(name, body...): a handler whose body, which may return false after a fault, runs once no x87
 * exception is pending.
 */
#define MOVE(handler, name, ...)                                                                   \
    static NOINLINE bool name(struct cpu *cpu, const struct insn *i)                               \
    {                                                                                              \
        if (!mmx_ready(cpu))                                                                       \
            return false;                                                                          \
        __VA_ARGS__;                                                                               \
        return true;                                                                               \
    }                                                                                              \
    DEF_SLOW(handler, name)

/* A store commits MMX state after the access that may fault. */
#define STORE(write, v)                                                                            \
    if (!write(cpu, i, v))                                                                         \
        return false;                                                                              \
    mmx_enter(cpu)
#define LOAD(type, read)                                                                           \
    type v;                                                                                        \
    if (!read(cpu, i, &v))                                                                         \
        return false;                                                                              \
    mmx_set(cpu, i->reg, v)

/* clang-format off */
MOVE(op_movd_mmx_load32_slow, movd_load32, mmx_set(cpu, i->reg, REG32(cpu, i->rm)))
MOVE(op_movd_mmx_load64_slow, movd_load64, mmx_set(cpu, i->reg, REG64(cpu, i->rm)))
MOVE(op_movd_mmx_load32_gen, movd_load32_mem, LOAD(u32, mem_read32))
MOVE(op_movq_mmx_load_gen, movq_load_mem, LOAD(u64, mem_read64))
MOVE(op_movd_mmx_store32_slow, movd_store32, mmx_enter(cpu); SET_REG32(cpu, i->rm, MM(cpu, i->reg)))
MOVE(op_movd_mmx_store64_slow, movd_store64, mmx_enter(cpu); SET_REG64(cpu, i->rm, MM(cpu, i->reg)))
MOVE(op_movd_mmx_store32_gen, movd_store32_mem, STORE(mem_write32, (u32)MM(cpu, i->reg)))
MOVE(op_movq_mmx_store_gen, movq_store_mem, STORE(mem_write64, MM(cpu, i->reg)))
MOVE(op_movq_mmx_load_slow, movq_load, mmx_set(cpu, i->reg, MM(cpu, i->rm)))
MOVE(op_movq_mmx_store_slow, movq_store, mmx_set(cpu, i->rm, MM(cpu, i->reg)))
MOVE(op_movq2dq_slow, movq2dq, xmm_set(cpu, i->reg, (v2u64){MM(cpu, i->rm), 0}); mmx_enter(cpu))
MOVE(op_movdq2q_slow, movdq2q, mmx_set(cpu, i->reg, cpu->xmm[i->rm].q[0]))
MOVE(op_pinsrw_mmx_slow, pinsrw_reg,
     mmx_set(cpu, i->reg, insert_word(MM(cpu, i->reg), i->imm, REG16(cpu, i->rm))))
MOVE(op_pinsrw_mmx_gen, pinsrw_mem,
     u16 v;
     if (!mem_read16(cpu, i, &v))
         return false;
     mmx_set(cpu, i->reg, insert_word(MM(cpu, i->reg), i->imm, v)))
MOVE(op_pextrw_mmx_slow, pextrw,
     SET_REG32(cpu, i->reg, (u16)(MM(cpu, i->rm) >> (16 * (i->imm & 3)))); mmx_enter(cpu))
MOVE(op_pmovmskb_mmx_slow, pmovmskb,
     u64 v = (MM(cpu, i->rm) >> 7) & UINT64_C(0x0101010101010101);
     SET_REG32(cpu, i->reg, v * UINT64_C(0x0102040810204080) >> 56); mmx_enter(cpu))
MOVE(op_maskmovq_slow, maskmovq,
     u64 from = MM(cpu, i->reg), mask = MM(cpu, i->rm);
     if (!mask_store(cpu, i, (const u8 *)&from, (const u8 *)&mask, 8))
         return false;
     mmx_enter(cpu))
MOVE(op_emms_slow, emms, (void)i; fpu_set_top(cpu, 0); cpu->ftw_empty = 0xff)

const struct op_family fam_movd_mmx_load = {
    {{FORMS_SLOW(op_movd_mmx_load32_slow, op_movd_mmx_load32_gen),
      FORMS_SLOW(op_movd_mmx_load32_slow, op_movd_mmx_load32_gen),
      FORMS_SLOW(op_movd_mmx_load32_slow, op_movd_mmx_load32_gen),
      FORMS_SLOW(op_movd_mmx_load64_slow, op_movq_mmx_load_gen)}, {{0}}}};
const struct op_family fam_movd_mmx_store = {
    {{FORMS_SLOW(op_movd_mmx_store32_slow, op_movd_mmx_store32_gen),
      FORMS_SLOW(op_movd_mmx_store32_slow, op_movd_mmx_store32_gen),
      FORMS_SLOW(op_movd_mmx_store32_slow, op_movd_mmx_store32_gen),
      FORMS_SLOW(op_movd_mmx_store64_slow, op_movq_mmx_store_gen)}, {{0}}}};
/* clang-format on */
FAMILY_SLOW(movq_mmx_load, op_movq_mmx_load_slow, op_movq_mmx_load_gen);
FAMILY_SLOW(movq_mmx_store, op_movq_mmx_store_slow, op_movq_mmx_store_gen);
FAMILY_REG(movq2dq, op_movq2dq_slow);
FAMILY_REG(movdq2q, op_movdq2q_slow);
FAMILY_SLOW(pinsrw_mmx, op_pinsrw_mmx_slow, op_pinsrw_mmx_gen);
FAMILY_REG(pextrw_mmx, op_pextrw_mmx_slow);
FAMILY_REG(pmovmskb_mmx, op_pmovmskb_mmx_slow);
FAMILY_REG(maskmovq, op_maskmovq_slow);
FAMILY_SLOW(emms, op_emms_slow, 0);
