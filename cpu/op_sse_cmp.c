/* SPDX-License-Identifier: MIT */
/* SSE and SSE2 comparisons: CMPPS and its kin to masks, COMISS and UCOMISS to EFLAGS. */
#include "cpu/ssefp.h"

/* ---- CMPccPS: predicates 0 to 7 are EQ LT LE UNORD NEQ NLT NLE ORD ---- */

/* LT, LE, NLT and NLE signal for quiet NaNs. */
static bool holds(struct fp_env *env, struct fp a, struct fp b, unsigned predicate)
{
    enum fp_relation rel = fp_compare(env, a, b, ((predicate & 3) == 1) | ((predicate & 3) == 2));
    bool base = false;
    switch (predicate & 3) {
    case 0:
        base = rel == FP_EQUAL;
        break;
    case 1:
        base = rel == FP_LESS;
        break;
    case 2:
        base = rel == FP_LESS || rel == FP_EQUAL;
        break;
    default:
        base = rel == FP_UNORDERED;
        break;
    }
    return base != ((predicate & 4) != 0);
}

static bool compare_lanes(struct cpu *cpu, const struct insn *i, const void *src, unsigned size,
                          unsigned count)
{
    u64 res[2] = {cpu->xmm[i->reg].q[0], cpu->xmm[i->reg].q[1]};
    struct fp_env env = sse_env(cpu);
    for (unsigned n = 0; n < count; n++) {
        u64 a = 0, b = 0;
        memcpy(&a, (const u8 *)res + n * size, size);
        memcpy(&b, (const u8 *)src + n * size, size);
        struct fp x = size == 4 ? fp_unpack32(&env, (u32)a) : fp_unpack64(&env, a);
        struct fp y = size == 4 ? fp_unpack32(&env, (u32)b) : fp_unpack64(&env, b);
        a = holds(&env, x, y, i->imm & 7) ? UINT64_MAX : 0;
        memcpy((u8 *)res + n * size, &a, size);
    }
    if (!sse_raise(cpu, env.flags))
        return false;
    memcpy(cpu->xmm[i->reg].q, res, 16);
    return true;
}

/* Without NaNs a predicate is a choice of "equal" and "less", perhaps inverted. */
#define PICK_EQ(imm) ((~(imm)&1))
#define PICK_LT(imm) (((imm) ^ ((imm) >> 1)) & 1)
#define PICK_NOT(imm) (((imm) >> 2) & 1)

static ALWAYS_INLINE bool cmp64_fast(u64 imm, u64 x, u64 y, u64 *res)
{
    double a = f64_of(x), b = f64_of(y);
    u64 hit = (PICK_EQ(imm) & (a == b)) | (PICK_LT(imm) & (a < b));
    *res = -(hit ^ PICK_NOT(imm));
    return likely(usual64(x)) && likely(usual64(y));
}
static ALWAYS_INLINE bool cmp32_fast(u64 imm, u32 x, u32 y, u32 *res)
{
    float a = f32_of(x), b = f32_of(y);
    u64 hit = (PICK_EQ(imm) & (a == b)) | (PICK_LT(imm) & (a < b));
    *res = (u32) - (hit ^ PICK_NOT(imm));
    return likely(usual32(x)) && likely(usual32(y));
}
static ALWAYS_INLINE v2u64 mask_of(u64 bit)
{
    return (v2u64){-bit, -bit};
}
static ALWAYS_INLINE bool cmpps_fast(u64 imm, v2u64 x, v2u64 y, v2u64 *res)
{
    v4f32 a = (v4f32)x, b = (v4f32)y;
    v2u64 hit =
        ((v2u64)(a == b) & mask_of(PICK_EQ(imm))) | ((v2u64)(a < b) & mask_of(PICK_LT(imm)));
    *res = hit ^ mask_of(PICK_NOT(imm));
    return likely(none(unusual_ps(x) | unusual_ps(y)));
}
static ALWAYS_INLINE bool cmppd_fast(u64 imm, v2u64 x, v2u64 y, v2u64 *res)
{
    v2f64 a = (v2f64)x, b = (v2f64)y;
    v2u64 hit =
        ((v2u64)(a == b) & mask_of(PICK_EQ(imm))) | ((v2u64)(a < b) & mask_of(PICK_LT(imm)));
    *res = hit ^ mask_of(PICK_NOT(imm));
    return likely(usual_pd(x) && usual_pd(y));
}

#define COMPARE_TWINS(name, size, count)                                                           \
    static NOINLINE bool name##_reg_run(struct cpu *cpu, const struct insn *i)                     \
    {                                                                                              \
        return compare_lanes(cpu, i, cpu->xmm[i->rm].q, size, count);                              \
    }                                                                                              \
    static NOINLINE bool name##_mem_run(struct cpu *cpu, const struct insn *i)                     \
    {                                                                                              \
        u64 v[2];                                                                                  \
        return sse_operand(cpu, i, v, (size) * (count)) && compare_lanes(cpu, i, v, size, count);  \
    }                                                                                              \
    DEF_SLOW(op_##name##_slow, name##_reg_run)                                                     \
    DEF_SLOW(op_##name##_gen, name##_mem_run)
#define COMPARE_FORM(name, form, type, to, from, set, fast)                                        \
    static HANDLER(op_##name##_##form)                                                             \
    {                                                                                              \
        from;                                                                                      \
        type res;                                                                                  \
        if (unlikely(!fast(i->imm, to, y, &res)))                                                  \
            return op_##name##_gen(cpu, i);                                                        \
        set;                                                                                       \
        NEXT;                                                                                      \
    }
#define FROM_MEMORY(name, type, pointer, load)                                                     \
    const u8 *p_ = pointer;                                                                        \
    if (unlikely(!p_))                                                                             \
        return op_##name##_gen(cpu, i);                                                            \
    type y = load(p_)
#define SCALAR_LANE(n, bits) (*(u##bits *)(void *)cpu->xmm[n].q)

#define COMPARE_SCALAR_FORM(name, form, EA, bits)                                                  \
    COMPARE_FORM(                                                                                  \
        name, form, u##bits, SCALAR_LANE(i->reg, bits),                                            \
        FROM_MEMORY(name, u##bits, fast_read(cpu, EA(cpu, i), (bits) / 8), host_load##bits),       \
        SCALAR_LANE(i->reg, bits) = res, cmp##bits##_fast)
#define COMPARE_SCALAR(name, bits)                                                                 \
    COMPARE_TWINS(name, (bits) / 8, 1)                                                             \
    static HANDLER(op_##name##_reg)                                                                \
    {                                                                                              \
        u##bits res;                                                                               \
        if (unlikely(!cmp##bits##_fast(i->imm, SCALAR_LANE(i->reg, bits),                          \
                                       SCALAR_LANE(i->rm, bits), &res)))                           \
            return op_##name##_slow(cpu, i);                                                       \
        SCALAR_LANE(i->reg, bits) = res;                                                           \
        NEXT;                                                                                      \
    }                                                                                              \
    COMPARE_SCALAR_FORM(name, bd, EA_BD, bits)                                                     \
    COMPARE_SCALAR_FORM(name, bi, EA_BI, bits)                                                     \
    COMPARE_SCALAR_FORM(name, seg, EA_SEG, bits)                                                   \
    FAMILY_BOTH(name, op_##name##_reg, op_##name);

#define COMPARE_PACKED_FORM(name, form, EA)                                                        \
    COMPARE_FORM(name, form, v2u64, xmm_get(cpu, i->reg),                                          \
                 FROM_MEMORY(name, v2u64, fast_read_aligned(cpu, EA(cpu, i)), host_load128),       \
                 xmm_set(cpu, i->reg, res), name##_fast)
#define COMPARE_PACKED(name, size, count)                                                          \
    COMPARE_TWINS(name, size, count)                                                               \
    static HANDLER(op_##name##_reg)                                                                \
    {                                                                                              \
        v2u64 res;                                                                                 \
        if (unlikely(!name##_fast(i->imm, xmm_get(cpu, i->reg), xmm_get(cpu, i->rm), &res)))       \
            return op_##name##_slow(cpu, i);                                                       \
        xmm_set(cpu, i->reg, res);                                                                 \
        NEXT;                                                                                      \
    }                                                                                              \
    COMPARE_PACKED_FORM(name, bd, EA_BD)                                                           \
    COMPARE_PACKED_FORM(name, bi, EA_BI)                                                           \
    COMPARE_PACKED_FORM(name, seg, EA_SEG)                                                         \
    FAMILY_BOTH(name, op_##name##_reg, op_##name);

COMPARE_SCALAR(cmpss, 32)
COMPARE_SCALAR(cmpsd, 64)
COMPARE_PACKED(cmpps, 4, 4)
COMPARE_PACKED(cmppd, 8, 2)

/* ---- COMISS, UCOMISS: ZF, PF, CF; the other status flags are cleared ---- */

static ALWAYS_INLINE void set_relation(struct cpu *cpu, u64 flags)
{
    cpu->cc_op = CC_EFLAGS;
    cpu->cc_src = flags;
}

static bool comi(struct cpu *cpu, struct fp_env *env, struct fp a, struct fp b, bool signal)
{
    static const u8 flags[] = {
        [FP_LESS] = FLAG_CF,
        [FP_EQUAL] = FLAG_ZF,
        [FP_GREATER] = 0,
        [FP_UNORDERED] = FLAG_ZF | FLAG_PF | FLAG_CF,
    };
    enum fp_relation rel = fp_compare(env, a, b, signal);
    if (!sse_raise(cpu, env->flags))
        return false;
    set_relation(cpu, flags[rel]);
    return true;
}
static bool comi32(struct cpu *cpu, const struct insn *i, u32 y, bool signal)
{
    struct fp_env env = sse_env(cpu);
    u32 x = SCALAR_LANE(i->reg, 32);
    return comi(cpu, &env, fp_unpack32(&env, x), fp_unpack32(&env, y), signal);
}
static bool comi64(struct cpu *cpu, const struct insn *i, u64 y, bool signal)
{
    struct fp_env env = sse_env(cpu);
    u64 x = SCALAR_LANE(i->reg, 64);
    return comi(cpu, &env, fp_unpack64(&env, x), fp_unpack64(&env, y), signal);
}

/* Ordered and without denormals: no exception whatever MXCSR says. */
#define COMI_FAST(bits, type)                                                                      \
    static ALWAYS_INLINE bool comi##bits##_fast(u##bits x, u##bits y, u64 *flags)                  \
    {                                                                                              \
        type a = f##bits##_of(x), b = f##bits##_of(y);                                             \
        *flags = (a < b ? FLAG_CF : 0) | (a == b ? FLAG_ZF : 0);                                   \
        return likely(usual##bits(x)) && likely(usual##bits(y));                                   \
    }
COMI_FAST(32, float)
COMI_FAST(64, double)

#define COMI_FORM(name, form, EA, bits)                                                            \
    static HANDLER(op_##name##_##form)                                                             \
    {                                                                                              \
        FROM_MEMORY(name, u##bits, fast_read(cpu, EA(cpu, i), (bits) / 8), host_load##bits);       \
        u64 flags;                                                                                 \
        if (unlikely(!comi##bits##_fast(SCALAR_LANE(i->reg, bits), y, &flags)))                    \
            return op_##name##_gen(cpu, i);                                                        \
        set_relation(cpu, flags);                                                                  \
        NEXT;                                                                                      \
    }
#define COMI(name, bits, signal)                                                                   \
    static NOINLINE bool name##_reg_run(struct cpu *cpu, const struct insn *i)                     \
    {                                                                                              \
        return comi##bits(cpu, i, SCALAR_LANE(i->rm, bits), signal);                               \
    }                                                                                              \
    static NOINLINE bool name##_mem_run(struct cpu *cpu, const struct insn *i)                     \
    {                                                                                              \
        u##bits v;                                                                                 \
        return mem_read##bits(cpu, i, &v) && comi##bits(cpu, i, v, signal);                        \
    }                                                                                              \
    DEF_SLOW(op_##name##_slow, name##_reg_run)                                                     \
    DEF_SLOW(op_##name##_gen, name##_mem_run)                                                      \
    static HANDLER(op_##name##_reg)                                                                \
    {                                                                                              \
        u64 flags;                                                                                 \
        if (unlikely(                                                                              \
                !comi##bits##_fast(SCALAR_LANE(i->reg, bits), SCALAR_LANE(i->rm, bits), &flags)))  \
            return op_##name##_slow(cpu, i);                                                       \
        set_relation(cpu, flags);                                                                  \
        NEXT;                                                                                      \
    }                                                                                              \
    COMI_FORM(name, bd, EA_BD, bits)                                                               \
    COMI_FORM(name, bi, EA_BI, bits)                                                               \
    COMI_FORM(name, seg, EA_SEG, bits)                                                             \
    FAMILY_BOTH(name, op_##name##_reg, op_##name);

COMI(ucomiss, 32, false)
COMI(ucomisd, 64, false)
COMI(comiss, 32, true)
COMI(comisd, 64, true)
