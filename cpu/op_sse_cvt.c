/* SPDX-License-Identifier: MIT */
/* SSE and SSE2 conversions. */
#include "cpu/ssefp.h"

/* ---- One lane, exactly: a is ignored ---- */

#define LANE(name, ...)                                                                            \
    static u64 name(struct fp_env *env, u64 a, u64 v)                                              \
    {                                                                                              \
        (void)a;                                                                                   \
        return __VA_ARGS__;                                                                        \
    }
#define MAGNITUDE(v) ((s64)(v) < 0 ? -(u64)(v) : (u64)(v))
#define TO_INT(bits, from, rounding)                                                               \
    fp_to_int(env, fp_unpack##from(env, (u##from)v), bits, rounding)
#define FROM_INT(to, v) fp_pack##to(fp_from_int(env, &fp_f##to, MAGNITUDE(v), (s64)(v) < 0))
/* clang-format off */
LANE(f32_to_f64, fp_pack64(fp_convert(env, &fp_f64, fp_unpack32(env, (u32)v))))
LANE(f64_to_f32, fp_pack32(fp_convert(env, &fp_f32, fp_unpack64(env, v))))
LANE(s32_to_f32, FROM_INT(32, sign_extend(v, 32)))
LANE(s64_to_f32, FROM_INT(32, v))
LANE(s32_to_f64, FROM_INT(64, sign_extend(v, 32)))
LANE(s64_to_f64, FROM_INT(64, v))
LANE(f32_to_s32, TO_INT(32, 32, env->rounding))
LANE(f64_to_s32, TO_INT(32, 64, env->rounding))
LANE(f32_to_s64, TO_INT(64, 32, env->rounding))
LANE(f64_to_s64, TO_INT(64, 64, env->rounding))
LANE(f32_chop_s32, TO_INT(32, 32, FP_CHOP))
LANE(f64_chop_s32, TO_INT(32, 64, FP_CHOP))
LANE(f32_chop_s64, TO_INT(64, 32, FP_CHOP))
LANE(f64_chop_s64, TO_INT(64, 64, FP_CHOP))
/* clang-format on */

/* How an instruction's source becomes its result. */
struct convert {
    lane_fn *fn;
    u8 from, to; /* bytes of a source and of a result lane */
    u8 count;
    bool clear; /* the rest of the result is zero, not the destination's */
};

/* The result in res, which holds the destination's old value. */
static bool convert_lanes(struct cpu *cpu, const void *src, const struct convert *c, u64 res[2])
{
    u64 out[2] = {c->clear ? 0 : res[0], c->clear ? 0 : res[1]};
    struct fp_env env = sse_env(cpu);
    for (unsigned n = 0; n < c->count; n++) {
        u64 v = 0;
        memcpy(&v, (const u8 *)src + n * c->from, c->from);
        v = c->fn(&env, 0, v);
        memcpy((u8 *)out + n * c->to, &v, c->to);
    }
    if (!sse_raise(cpu, env.flags))
        return false;
    memcpy(res, out, 16);
    return true;
}

/* ---- XMM to XMM ---- */

#define XMM_TWINS(name, ...)                                                                       \
    static const struct convert name##_convert = {__VA_ARGS__};                                    \
    static NOINLINE bool name##_reg_run(struct cpu *cpu, const struct insn *i)                     \
    {                                                                                              \
        return convert_lanes(cpu, cpu->xmm[i->rm].q, &name##_convert, cpu->xmm[i->reg].q);         \
    }                                                                                              \
    static NOINLINE bool name##_mem_run(struct cpu *cpu, const struct insn *i)                     \
    {                                                                                              \
        u64 v[2];                                                                                  \
        return sse_operand(cpu, i, v, name##_convert.from * name##_convert.count) &&               \
               convert_lanes(cpu, v, &name##_convert, cpu->xmm[i->reg].q);                         \
    }                                                                                              \
    DEF_SLOW(op_##name##_slow, name##_reg_run)                                                     \
    DEF_SLOW(op_##name##_gen, name##_mem_run)

/* XMM_CONVERT(name, type, fast, read, load, set, convert...): type is what fast takes. */
#define XMM_FORM(name, form, EA, type, fast, read, load, result, set)                              \
    static HANDLER(op_##name##_##form)                                                             \
    {                                                                                              \
        const u8 *p_ = read(cpu, EA(cpu, i));                                                      \
        result res;                                                                                \
        if (unlikely(!p_) || unlikely(!fast(cpu->mxcsr, load(p_), &res)))                          \
            return op_##name##_gen(cpu, i);                                                        \
        set;                                                                                       \
        NEXT;                                                                                      \
    }
#define XMM_CONVERT(name, type, fast, read, load, result, set, ...)                                \
    XMM_TWINS(name, __VA_ARGS__)                                                                   \
    static HANDLER(op_##name##_reg)                                                                \
    {                                                                                              \
        result res;                                                                                \
        if (unlikely(!fast(cpu->mxcsr, load(cpu->xmm[i->rm].q), &res)))                            \
            return op_##name##_slow(cpu, i);                                                       \
        set;                                                                                       \
        NEXT;                                                                                      \
    }                                                                                              \
    XMM_FORM(name, bd, EA_BD, type, fast, read, load, result, set)                                 \
    XMM_FORM(name, bi, EA_BI, type, fast, read, load, result, set)                                 \
    XMM_FORM(name, seg, EA_SEG, type, fast, read, load, result, set)                               \
    FAMILY_BOTH(name, op_##name##_reg, op_##name);
#define XMM_SLOW(name, ...)                                                                        \
    XMM_TWINS(name, __VA_ARGS__)                                                                   \
    FAMILY_SLOW(name, op_##name##_slow, op_##name##_gen);

#define READ32(cpu, va) fast_read(cpu, va, 4)
#define READ64(cpu, va) fast_read(cpu, va, 8)
#define LOAD32(p) host_load32((const u8 *)(p))
#define LOAD64(p) host_load64((const u8 *)(p))
#define SET32 *(u32 *)(void *)cpu->xmm[i->reg].q = res
#define SET64 cpu->xmm[i->reg].q[0] = res
#define SET128 xmm_set(cpu, i->reg, res)

static ALWAYS_INLINE bool ss2sd_fast(u32 mxcsr, u32 v, u64 *res)
{
    (void)mxcsr;
    *res = f64_bits((double)f32_of(v));
    return likely(usual32(v));
}
static ALWAYS_INLINE bool sd2ss_fast(u32 mxcsr, u64 v, u32 *res)
{
    double a = f64_of(v);
    float r = (float)a;
    *res = f32_bits(r);
    if (unlikely(!well32(*res) && !zero64(v)))
        return false;
    return likely(env_sticky(mxcsr)) || (env_usual(mxcsr) && r == a);
}
/* Two floats at v become two doubles. */
static ALWAYS_INLINE bool ps2pd_fast(u32 mxcsr, u64 v, v2u64 *res)
{
    (void)mxcsr;
    u32 low = (u32)v, high = (u32)(v >> 32);
    *res = (v2u64)(v2f64){(double)f32_of(low), (double)f32_of(high)};
    return likely(usual32(low)) && likely(usual32(high));
}
static ALWAYS_INLINE bool pd2ps_fast(u32 mxcsr, v2u64 v, v2u64 *res)
{
    u32 low = f32_bits((float)f64_of(v[0])), high = f32_bits((float)f64_of(v[1]));
    *res = (v2u64){low | (u64)high << 32, 0};
    return likely(well32(low) || zero64(v[0])) && likely(well32(high) || zero64(v[1])) &&
           likely(env_sticky(mxcsr));
}
static ALWAYS_INLINE bool dq2ps_fast(u32 mxcsr, v2u64 v, v2u64 *res)
{
    *res = (v2u64) __builtin_convertvector((v4s32)v, v4f32);
    return likely(env_sticky(mxcsr));
}
static ALWAYS_INLINE bool dq2pd_fast(u32 mxcsr, u64 v, v2u64 *res)
{
    (void)mxcsr;
    *res = (v2u64)(v2f64){(double)(s32)(u32)v, (double)(s32)(u32)(v >> 32)};
    return true;
}
/* In range; chopping does not ask for the rounding mode. */
static ALWAYS_INLINE bool tps2dq_fast(u32 mxcsr, v2u64 v, v2u64 *res)
{
    v4s32 beyond = (v4s32)((v4s32)((v4u32)v & 0x7fffffffu) >= 0x4f000000);
    if (unlikely(!none(beyond)) || unlikely((mxcsr & 0x1fa0) != 0x1fa0))
        return false;
    *res = (v2u64) __builtin_convertvector((v4f32)v, v4s32);
    return true;
}
/* clang-format off */
XMM_CONVERT(cvtss2sd, u32, ss2sd_fast, READ32, LOAD32, u64, SET64, f32_to_f64, 4, 8, 1, false)
XMM_CONVERT(cvtsd2ss, u64, sd2ss_fast, READ64, LOAD64, u32, SET32, f64_to_f32, 8, 4, 1, false)
XMM_CONVERT(cvtps2pd, u64, ps2pd_fast, READ64, LOAD64, v2u64, SET128, f32_to_f64, 4, 8, 2, false)
XMM_CONVERT(cvtpd2ps, v2u64, pd2ps_fast, fast_read_aligned, host_load128, v2u64, SET128,
            f64_to_f32, 8, 4, 2, true)
XMM_CONVERT(cvtdq2ps, v2u64, dq2ps_fast, fast_read_aligned, host_load128, v2u64, SET128,
            s32_to_f32, 4, 4, 4, false)
XMM_CONVERT(cvtdq2pd, u64, dq2pd_fast, READ64, LOAD64, v2u64, SET128, s32_to_f64, 4, 8, 2, false)
XMM_CONVERT(cvttps2dq, v2u64, tps2dq_fast, fast_read_aligned, host_load128, v2u64, SET128,
            f32_chop_s32, 4, 4, 4, false)
XMM_SLOW(cvtps2dq, f32_to_s32, 4, 4, 4, false)
XMM_SLOW(cvtpd2dq, f64_to_s32, 8, 4, 2, true)
XMM_SLOW(cvttpd2dq, f64_chop_s32, 8, 4, 2, true)
/* clang-format on */

/* ---- General register or memory to XMM; [W64] has a 64-bit integer ---- */

#define INT_TWINS(name, from_bits, ...)                                                            \
    static const struct convert name##_convert = {__VA_ARGS__};                                    \
    static NOINLINE bool name##_reg_run(struct cpu *cpu, const struct insn *i)                     \
    {                                                                                              \
        u##from_bits v = REG##from_bits(cpu, i->rm);                                               \
        return convert_lanes(cpu, &v, &name##_convert, cpu->xmm[i->reg].q);                        \
    }                                                                                              \
    static NOINLINE bool name##_mem_run(struct cpu *cpu, const struct insn *i)                     \
    {                                                                                              \
        u##from_bits v;                                                                            \
        return mem_read##from_bits(cpu, i, &v) &&                                                  \
               convert_lanes(cpu, &v, &name##_convert, cpu->xmm[i->reg].q);                        \
    }                                                                                              \
    DEF_SLOW(op_##name##_slow, name##_reg_run)                                                     \
    DEF_SLOW(op_##name##_gen, name##_mem_run)
#define INT_FORM(name, form, EA, from_bits, to_bits, fast)                                         \
    static HANDLER(op_##name##_##form)                                                             \
    {                                                                                              \
        const u8 *p_ = fast_read(cpu, EA(cpu, i), (from_bits) / 8);                                \
        u##to_bits res;                                                                            \
        if (unlikely(!p_) || unlikely(!fast(cpu->mxcsr, host_load##from_bits(p_), &res)))          \
            return op_##name##_gen(cpu, i);                                                        \
        SET##to_bits;                                                                              \
        NEXT;                                                                                      \
    }
#define INT_CONVERT(name, from_bits, to_bits, fast, ...)                                           \
    INT_TWINS(name, from_bits, __VA_ARGS__)                                                        \
    static HANDLER(op_##name##_reg)                                                                \
    {                                                                                              \
        u##to_bits res;                                                                            \
        if (unlikely(!fast(cpu->mxcsr, REG##from_bits(cpu, i->rm), &res)))                         \
            return op_##name##_slow(cpu, i);                                                       \
        SET##to_bits;                                                                              \
        NEXT;                                                                                      \
    }                                                                                              \
    INT_FORM(name, bd, EA_BD, from_bits, to_bits, fast)                                            \
    INT_FORM(name, bi, EA_BI, from_bits, to_bits, fast)                                            \
    INT_FORM(name, seg, EA_SEG, from_bits, to_bits, fast)

static ALWAYS_INLINE bool si2sd32_fast(u32 mxcsr, u32 v, u64 *res)
{
    (void)mxcsr;
    *res = f64_bits((double)(s32)v);
    return true;
}
static ALWAYS_INLINE bool si2sd64_fast(u32 mxcsr, u64 v, u64 *res)
{
    *res = f64_bits((double)(s64)v);
    return likely(sign_extend(v, 54) == v) || env_sticky(mxcsr);
}
static ALWAYS_INLINE bool si2ss32_fast(u32 mxcsr, u32 v, u32 *res)
{
    *res = f32_bits((float)(s32)v);
    return likely((u32)sign_extend(v, 25) == v) || env_sticky(mxcsr);
}
static ALWAYS_INLINE bool si2ss64_fast(u32 mxcsr, u64 v, u32 *res)
{
    *res = f32_bits((float)(s64)v);
    return likely(sign_extend(v, 25) == v) || env_sticky(mxcsr);
}
/* clang-format off */
INT_CONVERT(cvtsi2sd32, 32, 64, si2sd32_fast, s32_to_f64, 4, 8, 1, false)
INT_CONVERT(cvtsi2sd64, 64, 64, si2sd64_fast, s64_to_f64, 8, 8, 1, false)
INT_CONVERT(cvtsi2ss32, 32, 32, si2ss32_fast, s32_to_f32, 4, 4, 1, false)
INT_CONVERT(cvtsi2ss64, 64, 32, si2ss64_fast, s64_to_f32, 8, 4, 1, false)
/* clang-format on */
#define FAMILY_INT(name)                                                                           \
    const struct op_family fam_##name = {                                                          \
        {{FORMS5(op_##name##32_reg, op_##name##32), FORMS5(op_##name##32_reg, op_##name##32),      \
          FORMS5(op_##name##32_reg, op_##name##32), FORMS5(op_##name##64_reg, op_##name##64)},     \
         {{0}}}};
FAMILY_INT(cvtsi2sd)
FAMILY_INT(cvtsi2ss)

/* ---- XMM or memory to general register; [W64] makes a 64-bit integer ---- */

#define GPR_TWINS(name, from_bits, to_bits, fn)                                                    \
    static bool name##_exact(struct cpu *cpu, const struct insn *i, u##from_bits v)                \
    {                                                                                              \
        struct fp_env env = sse_env(cpu);                                                          \
        u64 res = fn(&env, 0, v);                                                                  \
        if (!sse_raise(cpu, env.flags))                                                            \
            return false;                                                                          \
        SET_REG##to_bits(cpu, i->reg, res);                                                        \
        return true;                                                                               \
    }                                                                                              \
    static NOINLINE bool name##_reg_run(struct cpu *cpu, const struct insn *i)                     \
    {                                                                                              \
        return name##_exact(cpu, i, LOAD##from_bits(cpu->xmm[i->rm].q));                           \
    }                                                                                              \
    static NOINLINE bool name##_mem_run(struct cpu *cpu, const struct insn *i)                     \
    {                                                                                              \
        u##from_bits v;                                                                            \
        return mem_read##from_bits(cpu, i, &v) && name##_exact(cpu, i, v);                         \
    }                                                                                              \
    DEF_SLOW(op_##name##_slow, name##_reg_run)                                                     \
    DEF_SLOW(op_##name##_gen, name##_mem_run)
#define GPR_FORM(name, form, EA, from_bits, to_bits, fast)                                         \
    static HANDLER(op_##name##_##form)                                                             \
    {                                                                                              \
        const u8 *p_ = fast_read(cpu, EA(cpu, i), (from_bits) / 8);                                \
        u##to_bits res;                                                                            \
        if (unlikely(!p_) || unlikely(!fast(cpu->mxcsr, host_load##from_bits(p_), &res)))          \
            return op_##name##_gen(cpu, i);                                                        \
        SET_REG##to_bits(cpu, i->reg, res);                                                        \
        NEXT;                                                                                      \
    }
#define GPR_CONVERT(name, from_bits, to_bits, fast, fn)                                            \
    GPR_TWINS(name, from_bits, to_bits, fn)                                                        \
    static HANDLER(op_##name##_reg)                                                                \
    {                                                                                              \
        u##to_bits res;                                                                            \
        if (unlikely(!fast(cpu->mxcsr, LOAD##from_bits(cpu->xmm[i->rm].q), &res)))                 \
            return op_##name##_slow(cpu, i);                                                       \
        SET_REG##to_bits(cpu, i->reg, res);                                                        \
        NEXT;                                                                                      \
    }                                                                                              \
    GPR_FORM(name, bd, EA_BD, from_bits, to_bits, fast)                                            \
    GPR_FORM(name, bi, EA_BI, from_bits, to_bits, fast)                                            \
    GPR_FORM(name, seg, EA_SEG, from_bits, to_bits, fast)

/* Below 2^(bits - 1) in magnitude, hence neither infinite nor NaN; inexact only if PE is set. */
#define CHOP_FAST(bits, from, type, limit)                                                         \
    static ALWAYS_INLINE bool chop##from##_s##bits##_fast(u32 mxcsr, u##from v, u##bits *res)      \
    {                                                                                              \
        if (unlikely(v << 1 >= (u##from)(limit)))                                                  \
            return false;                                                                          \
        type a = f##from##_of(v);                                                                  \
        s##bits r = (s##bits)a;                                                                    \
        *res = (u##bits)r;                                                                         \
        return likely((mxcsr & (0x1000 + FP_PE)) == 0x1000 + FP_PE) || (type)r == a;               \
    }
/*
 * To nearest: adding and taking away 1.5 * 2^52 rounds in the host's arithmetic, for magnitudes
 * below 2^51; singles are exact as doubles.
 */
#define NEAREST_FAST(bits, from, limit)                                                            \
    static ALWAYS_INLINE bool near##from##_s##bits##_fast(u32 mxcsr, u##from v, u##bits *res)      \
    {                                                                                              \
        if (unlikely(v << 1 >= (u##from)(limit)))                                                  \
            return false;                                                                          \
        double a = f##from##_of(v), r = (a + 0x1.8p52) - 0x1.8p52;                                 \
        *res = (u##bits)(s##bits)r;                                                                \
        return likely((mxcsr & (0x7000 + FP_PE)) == 0x1000 + FP_PE) || r == a;                     \
    }
#define DOUBLE_LIMIT(exp) ((UINT64_C(1023) + (exp)) << 53)
#define SINGLE_LIMIT(exp) ((UINT32_C(127) + (exp)) << 24)
CHOP_FAST(32, 64, double, DOUBLE_LIMIT(31))
CHOP_FAST(64, 64, double, DOUBLE_LIMIT(63))
CHOP_FAST(32, 32, float, SINGLE_LIMIT(31))
CHOP_FAST(64, 32, float, SINGLE_LIMIT(63))
NEAREST_FAST(32, 64, DOUBLE_LIMIT(30))
NEAREST_FAST(64, 64, DOUBLE_LIMIT(50))
NEAREST_FAST(32, 32, SINGLE_LIMIT(30))
NEAREST_FAST(64, 32, SINGLE_LIMIT(50))
/* clang-format off */
GPR_CONVERT(cvttsd2si32, 64, 32, chop64_s32_fast, f64_chop_s32)
GPR_CONVERT(cvttsd2si64, 64, 64, chop64_s64_fast, f64_chop_s64)
GPR_CONVERT(cvttss2si32, 32, 32, chop32_s32_fast, f32_chop_s32)
GPR_CONVERT(cvttss2si64, 32, 64, chop32_s64_fast, f32_chop_s64)
GPR_CONVERT(cvtsd2si32, 64, 32, near64_s32_fast, f64_to_s32)
GPR_CONVERT(cvtsd2si64, 64, 64, near64_s64_fast, f64_to_s64)
GPR_CONVERT(cvtss2si32, 32, 32, near32_s32_fast, f32_to_s32)
GPR_CONVERT(cvtss2si64, 32, 64, near32_s64_fast, f32_to_s64)
/* clang-format on */
FAMILY_INT(cvttsd2si)
FAMILY_INT(cvttss2si)
FAMILY_INT(cvtsd2si)
FAMILY_INT(cvtss2si)

/* ---- MMX registers: memory operands leave the x87 state alone ---- */

#define FROM_MMX(name, ...)                                                                        \
    static const struct convert name##_convert = {__VA_ARGS__};                                    \
    static NOINLINE bool name##_reg_run(struct cpu *cpu, const struct insn *i)                     \
    {                                                                                              \
        u64 v = cpu->st[i->rm & 7].mant;                                                           \
        if (!mmx_begin(cpu) || !convert_lanes(cpu, &v, &name##_convert, cpu->xmm[i->reg].q))       \
            return false;                                                                          \
        mmx_finish(cpu, -1, 0);                                                                    \
        return true;                                                                               \
    }                                                                                              \
    static NOINLINE bool name##_mem_run(struct cpu *cpu, const struct insn *i)                     \
    {                                                                                              \
        u64 v;                                                                                     \
        return mem_read64(cpu, i, &v) &&                                                           \
               convert_lanes(cpu, &v, &name##_convert, cpu->xmm[i->reg].q);                        \
    }                                                                                              \
    DEF_SLOW(op_##name##_slow, name##_reg_run)                                                     \
    DEF_SLOW(op_##name##_gen, name##_mem_run)                                                      \
    FAMILY_SLOW(name, op_##name##_slow, op_##name##_gen);
FROM_MMX(cvtpi2ps, s32_to_f32, 4, 4, 2, false)
FROM_MMX(cvtpi2pd, s32_to_f64, 4, 8, 2, false)

#define TO_MMX(name, ...)                                                                          \
    static const struct convert name##_convert = {__VA_ARGS__};                                    \
    static bool name##_run(struct cpu *cpu, const struct insn *i, const void *src)                 \
    {                                                                                              \
        u64 res[2] = {0, 0};                                                                       \
        if (!convert_lanes(cpu, src, &name##_convert, res))                                        \
            return false;                                                                          \
        mmx_finish(cpu, i->reg, res[0]);                                                           \
        return true;                                                                               \
    }                                                                                              \
    static NOINLINE bool name##_reg_run(struct cpu *cpu, const struct insn *i)                     \
    {                                                                                              \
        return mmx_begin(cpu) && name##_run(cpu, i, cpu->xmm[i->rm].q);                            \
    }                                                                                              \
    static NOINLINE bool name##_mem_run(struct cpu *cpu, const struct insn *i)                     \
    {                                                                                              \
        u64 v[2];                                                                                  \
        return mmx_begin(cpu) &&                                                                   \
               sse_operand(cpu, i, v, name##_convert.from * name##_convert.count) &&               \
               name##_run(cpu, i, v);                                                              \
    }                                                                                              \
    DEF_SLOW(op_##name##_slow, name##_reg_run)                                                     \
    DEF_SLOW(op_##name##_gen, name##_mem_run)                                                      \
    FAMILY_SLOW(name, op_##name##_slow, op_##name##_gen);
TO_MMX(cvtps2pi, f32_to_s32, 4, 4, 2, true)
TO_MMX(cvttps2pi, f32_chop_s32, 4, 4, 2, true)
TO_MMX(cvtpd2pi, f64_to_s32, 8, 4, 2, true)
TO_MMX(cvttpd2pi, f64_chop_s32, 8, 4, 2, true)
