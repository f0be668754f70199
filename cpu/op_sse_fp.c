/* SPDX-License-Identifier: MIT */
/* SSE and SSE2 floating-point arithmetic. */
#include "cpu/ssefp.h"

#include <math.h>

/* ---- The exact path ---- */

struct fp_env sse_env(const struct cpu *cpu)
{
    u8 masks = (cpu->mxcsr >> MXCSR_MASKS_SHIFT) & FP_ALL;
    return (struct fp_env){
        .rounding = (cpu->mxcsr >> MXCSR_RC_SHIFT) & 3,
        .masks = masks,
        .daz = cpu->mxcsr & MXCSR_DAZ,
        .ftz = (cpu->mxcsr & MXCSR_FTZ) && (masks & FP_UE),
    };
}

/*
 * SDM "SIMD Floating-Point Exceptions": an unmasked exception found before the operation, in any
 * lane, keeps those found after it from being detected.
 */
bool sse_raise(struct cpu *cpu, unsigned flags)
{
    unsigned unmasked = ~(cpu->mxcsr >> MXCSR_MASKS_SHIFT) & FP_ALL;
    if (flags & unmasked & FP_BEFORE)
        flags &= FP_BEFORE;
    cpu->mxcsr |= flags;
    if (likely(!(flags & unmasked)))
        return true;
    return cpu_fault(cpu, cpu->cr4 & CR4_OSXMMEXCPT ? EXC_XM : EXC_UD);
}

bool sse_lanes(struct cpu *cpu, unsigned reg, const void *src, const struct lane_op *op)
{
    u64 res[2] = {cpu->xmm[reg].q[0], cpu->xmm[reg].q[1]};
    struct fp_env env = sse_env(cpu);
    for (unsigned n = 0; n < op->count; n++) {
        u64 a = 0, b = 0;
        memcpy(&a, (const u8 *)res + n * op->size, op->size);
        memcpy(&b, (const u8 *)src + n * op->size, op->size);
        a = op->fn(&env, a, b);
        memcpy((u8 *)res + n * op->size, &a, op->size);
    }
    if (!sse_raise(cpu, env.flags))
        return false;
    memcpy(cpu->xmm[reg].q, res, 16);
    return true;
}

bool sse_operand(struct cpu *cpu, const struct insn *i, void *to, unsigned size)
{
    return size == 16 ? mem_read_aligned(cpu, i, to) : mem_read(cpu, i, to, size);
}

#define LANE_BINARY(op)                                                                            \
    static u64 op##_lane32(struct fp_env *env, u64 a, u64 b)                                       \
    {                                                                                              \
        return fp_pack32(                                                                          \
            fp_##op(env, &fp_f32, fp_unpack32(env, (u32)a), fp_unpack32(env, (u32)b)));            \
    }                                                                                              \
    static u64 op##_lane64(struct fp_env *env, u64 a, u64 b)                                       \
    {                                                                                              \
        return fp_pack64(fp_##op(env, &fp_f64, fp_unpack64(env, a), fp_unpack64(env, b)));         \
    }
LANE_BINARY(add)
LANE_BINARY(sub)
LANE_BINARY(mul)
LANE_BINARY(div)

/* The source is the result when the operands are equal or one is a NaN (which stays as it is). */
#define LANE_EXTREME(op, wanted)                                                                   \
    static u64 op##_lane32(struct fp_env *env, u64 a, u64 b)                                       \
    {                                                                                              \
        struct fp x = fp_unpack32(env, (u32)a), y = fp_unpack32(env, (u32)b);                      \
        enum fp_relation rel = fp_compare(env, x, y, true);                                        \
        if (fp_is_nan(y))                                                                          \
            return b;                                                                              \
        return fp_pack32(rel == (wanted) ? x : y);                                                 \
    }                                                                                              \
    static u64 op##_lane64(struct fp_env *env, u64 a, u64 b)                                       \
    {                                                                                              \
        struct fp x = fp_unpack64(env, a), y = fp_unpack64(env, b);                                \
        enum fp_relation rel = fp_compare(env, x, y, true);                                        \
        if (fp_is_nan(y))                                                                          \
            return b;                                                                              \
        return fp_pack64(rel == (wanted) ? x : y);                                                 \
    }
LANE_EXTREME(min, FP_LESS)
LANE_EXTREME(max, FP_GREATER)

/*
 * ---- The common case ---- <op>64_fast(mxcsr, x, y, &r), also 32, ps and pd: true if r is the
 * result and MXCSR stays as it is.
 */

/* Significant bits of a normal number. */
static ALWAYS_INLINE unsigned bits64(u64 v)
{
    return 53 - (unsigned)__builtin_ctzll(v | BIT(52));
}
/* A product of at most 53 significant bits is exact. */
static ALWAYS_INLINE bool fits64(u64 x, u64 y)
{
    return bits64(x) + bits64(y) <= 53;
}
/* Is r = a + b exact? (Knuth's two-sum: the error is a number itself.) */
#define SUM_EXACT(type)                                                                            \
    static ALWAYS_INLINE bool sum_exact_##type(type a, type b, type r)                             \
    {                                                                                              \
        type bb = r - a;                                                                           \
        return (a - (r - bb)) + (b - bb) == 0;                                                     \
    }
SUM_EXACT(float)
SUM_EXACT(double)
static ALWAYS_INLINE v2u64 sum_errors_v4f32(v4f32 a, v4f32 b, v4f32 r)
{
    v4f32 bb = r - a;
    return (v2u64)((a - (r - bb)) + (b - bb) != 0);
}
static ALWAYS_INLINE v2u64 sum_errors_v2f64(v2f64 a, v2f64 b, v2f64 r)
{
    v2f64 bb = r - a;
    return (v2u64)((a - (r - bb)) + (b - bb) != 0);
}
#define SUM_EXACT_PACKED(vector, b) none((v4s32)sum_errors_##vector(a, b, (vector)z))
static ALWAYS_INLINE bool products_exact_ps(v4f32 a, v4f32 b, v4f32 r)
{
    return (double)a[0] * b[0] == r[0] && (double)a[1] * b[1] == r[1] &&
           (double)a[2] * b[2] == r[2] && (double)a[3] * b[3] == r[3];
}

/*
 * The host's square root of a positive normal number, which C too wants correctly rounded. It is
 * exact if it is short enough for its square to be exact and that is the operand.
 */
static u64 sqrt_lane32(struct fp_env *env, u64 a, u64 b)
{
    (void)a;
    if (env->rounding != FP_NEAREST || !usual32((u32)b) || (u32)b >> 31)
        return fp_pack32(fp_sqrt(env, &fp_f32, fp_unpack32(env, (u32)b)));
    float r = sqrtf(f32_of((u32)b));
    if ((double)r * r != f32_of((u32)b))
        env->flags |= FP_PE;
    return f32_bits(r);
}
static u64 sqrt_lane64(struct fp_env *env, u64 a, u64 b)
{
    (void)a;
    if (env->rounding != FP_NEAREST || !usual64(b) || b >> 63)
        return fp_pack64(fp_sqrt(env, &fp_f64, fp_unpack64(env, b)));
    double r = sqrt(f64_of(b));
    u64 z = f64_bits(r);
    if (!fits64(z, z) || r * r != f64_of(b))
        env->flags |= FP_PE;
    return z;
}

/* clang-format off */
#define SCALAR_FAST(op, bits, type, compute, ok, exact)                                            \
    static ALWAYS_INLINE bool op##bits##_fast(u32 mxcsr, u##bits x, u##bits y, u##bits *res)       \
    {                                                                                              \
        if (unlikely(!no_denormal##bits(x)) || unlikely(!no_denormal##bits(y)))                    \
            return false;                                                                          \
        type a = f##bits##_of(x), b = f##bits##_of(y), r = (compute);                              \
        u##bits z = f##bits##_bits(r);                                                             \
        *res = z;                                                                                  \
        if (unlikely(!(ok)))                                                                       \
            return false;                                                                          \
        return likely(env_sticky(mxcsr)) || (env_usual(mxcsr) && (exact));                         \
    }
/* An infinite or NaN operand shows in the result, except that a divisor may be infinite: then the
 * result is zero, which must come from a zero dividend. */
#define MUL_OK(bits) (likely(well##bits(z)) || (zero##bits(z) && (zero##bits(x) || zero##bits(y))))
#define DIV_OK(bits) (likely(well##bits(z)) || (zero##bits(z) && zero##bits(x)))
SCALAR_FAST(add, 64, double, a + b, usual64(z), sum_exact_double(a, b, r))
SCALAR_FAST(add, 32, float, a + b, usual32(z), sum_exact_float(a, b, r))
SCALAR_FAST(sub, 64, double, a - b, usual64(z), sum_exact_double(a, -b, r))
SCALAR_FAST(sub, 32, float, a - b, usual32(z), sum_exact_float(a, -b, r))
SCALAR_FAST(mul, 64, double, a * b, MUL_OK(64), zero64(z) || fits64(x, y))
SCALAR_FAST(mul, 32, float, a * b, MUL_OK(32), (double)a * b == r)
SCALAR_FAST(div, 64, double, a / b, DIV_OK(64), zero64(z) || (fits64(z, y) && r * b == a))
SCALAR_FAST(div, 32, float, a / b, DIV_OK(32), (double)r * b == a)

#define USUAL(bits) (usual##bits(x) && usual##bits(y))
#define EXTREME_FAST(op, bits, type, cond)                                                         \
    static ALWAYS_INLINE bool op##bits##_fast(u32 mxcsr, u##bits x, u##bits y, u##bits *res)       \
    {                                                                                              \
        (void)mxcsr;                                                                               \
        type a = f##bits##_of(x), b = f##bits##_of(y);                                             \
        *res = (cond) ? x : y;                                                                     \
        return likely(USUAL(bits));                                                                \
    }
EXTREME_FAST(min, 64, double, a < b)
EXTREME_FAST(min, 32, float, a < b)
EXTREME_FAST(max, 64, double, a > b)
EXTREME_FAST(max, 32, float, a > b)

/* Packed. Divisions are not looked into: MXCSR.PE is set after the first inexact result. */
#define PACKED_FAST(op, kind, vector, compute, ok, exact)                                          \
    static ALWAYS_INLINE bool op##kind##_fast(u32 mxcsr, v2u64 x, v2u64 y, v2u64 *res)             \
    {                                                                                              \
        vector a = (vector)x, b = (vector)y;                                                       \
        v2u64 z = (v2u64)(compute);                                                                \
        *res = z;                                                                                  \
        if (unlikely(!(ok)))                                                                       \
            return false;                                                                          \
        return likely(env_sticky(mxcsr)) || (env_usual(mxcsr) && (exact));                         \
    }
#define PS_SUM_OK none(unusual_ps(x) | unusual_ps(y) | unusual_ps(z))
#define PD_SUM_OK (usual_pd(x) && usual_pd(y) && usual_pd(z))
#define PS_MUL_OK none(unusual_ps(x) | unusual_ps(y) | (unwell_ps(z) & ~(zero_ps(x) | zero_ps(y))))
#define PS_DIV_OK none(unusual_ps(x) | unwell_ps(y) | (unwell_ps(z) & ~zero_ps(x)))
#define PD_MUL_LANE(n) (well64(z[n]) || zero64(x[n]) || zero64(y[n]))
#define PD_DIV_LANE(n) (well64(y[n]) && (well64(z[n]) || zero64(x[n])))
PACKED_FAST(add, ps, v4f32, a + b, PS_SUM_OK, SUM_EXACT_PACKED(v4f32, b))
PACKED_FAST(sub, ps, v4f32, a - b, PS_SUM_OK, SUM_EXACT_PACKED(v4f32, -b))
PACKED_FAST(mul, ps, v4f32, a * b, PS_MUL_OK, products_exact_ps(a, b, (v4f32)z))
PACKED_FAST(div, ps, v4f32, a / b, PS_DIV_OK, false)
PACKED_FAST(add, pd, v2f64, a + b, PD_SUM_OK, SUM_EXACT_PACKED(v2f64, b))
PACKED_FAST(sub, pd, v2f64, a - b, PD_SUM_OK, SUM_EXACT_PACKED(v2f64, -b))
PACKED_FAST(mul, pd, v2f64, a * b, (usual_pd(x) && usual_pd(y) && PD_MUL_LANE(0) && PD_MUL_LANE(1)),
            (fits64(x[0], y[0]) && fits64(x[1], y[1])))
PACKED_FAST(div, pd, v2f64, a / b, (usual_pd(x) && PD_DIV_LANE(0) && PD_DIV_LANE(1)), false)

#define PACKED_EXTREME_FAST(op, kind, vector, cond, ok)                                            \
    static ALWAYS_INLINE bool op##kind##_fast(u32 mxcsr, v2u64 x, v2u64 y, v2u64 *res)             \
    {                                                                                              \
        (void)mxcsr;                                                                               \
        vector a = (vector)x, b = (vector)y;                                                       \
        v2u64 m = (v2u64)(cond);                                                                   \
        *res = (x & m) | (y & ~m);                                                                 \
        return likely(ok);                                                                         \
    }
PACKED_EXTREME_FAST(min, ps, v4f32, a < b, none(unusual_ps(x) | unusual_ps(y)))
PACKED_EXTREME_FAST(max, ps, v4f32, a > b, none(unusual_ps(x) | unusual_ps(y)))
PACKED_EXTREME_FAST(min, pd, v2f64, a < b, (usual_pd(x) && usual_pd(y)))
PACKED_EXTREME_FAST(max, pd, v2f64, a > b, (usual_pd(x) && usual_pd(y)))
/* clang-format on */

/* ---- Handlers ---- */

/* The slow twins of an instruction: op_<name>_slow (register), op_<name>_gen (memory). */
#define SLOW_TWINS(name, lane, lane_size, lanes)                                                   \
    static const struct lane_op name##_lanes = {lane, lane_size, lanes};                           \
    static NOINLINE bool name##_reg_run(struct cpu *cpu, const struct insn *i)                     \
    {                                                                                              \
        return sse_lanes(cpu, i->reg, cpu->xmm[i->rm].q, &name##_lanes);                           \
    }                                                                                              \
    static NOINLINE bool name##_mem_run(struct cpu *cpu, const struct insn *i)                     \
    {                                                                                              \
        u64 v[2];                                                                                  \
        return sse_operand(cpu, i, v, (lane_size) * (lanes)) &&                                    \
               sse_lanes(cpu, i->reg, v, &name##_lanes);                                           \
    }                                                                                              \
    DEF_SLOW(op_##name##_slow, name##_reg_run)                                                     \
    DEF_SLOW(op_##name##_gen, name##_mem_run)

#define SCALAR_FORM(name, form, EA, op, bits)                                                      \
    static HANDLER(op_##name##_##form)                                                             \
    {                                                                                              \
        const u8 *p_ = fast_read(cpu, EA(cpu, i), (bits) / 8);                                     \
        if (unlikely(!p_))                                                                         \
            return op_##name##_gen(cpu, i);                                                        \
        u##bits res, *to_ = (u##bits *)(void *)cpu->xmm[i->reg].q;                                 \
        if (unlikely(!op##bits##_fast(cpu->mxcsr, *to_, host_load##bits(p_), &res)))               \
            return op_##name##_gen(cpu, i);                                                        \
        *to_ = res;                                                                                \
        NEXT;                                                                                      \
    }
#define SCALAR(name, op, bits)                                                                     \
    SLOW_TWINS(name, op##_lane##bits, (bits) / 8, 1)                                               \
    static HANDLER(op_##name##_reg)                                                                \
    {                                                                                              \
        u##bits res, *to_ = (u##bits *)(void *)cpu->xmm[i->reg].q;                                 \
        u##bits from_ = *(u##bits *)(void *)cpu->xmm[i->rm].q;                                     \
        if (unlikely(!op##bits##_fast(cpu->mxcsr, *to_, from_, &res)))                             \
            return op_##name##_slow(cpu, i);                                                       \
        *to_ = res;                                                                                \
        NEXT;                                                                                      \
    }                                                                                              \
    SCALAR_FORM(name, bd, EA_BD, op, bits)                                                         \
    SCALAR_FORM(name, bi, EA_BI, op, bits)                                                         \
    SCALAR_FORM(name, seg, EA_SEG, op, bits)                                                       \
    FAMILY_BOTH(name, op_##name##_reg, op_##name);

#define PACKED_FORM(name, form, EA, fast)                                                          \
    static HANDLER(op_##name##_##form)                                                             \
    {                                                                                              \
        const u8 *p_ = fast_read_aligned(cpu, EA(cpu, i));                                         \
        if (unlikely(!p_))                                                                         \
            return op_##name##_gen(cpu, i);                                                        \
        v2u64 res;                                                                                 \
        if (unlikely(!fast(cpu->mxcsr, xmm_get(cpu, i->reg), host_load128(p_), &res)))             \
            return op_##name##_gen(cpu, i);                                                        \
        xmm_set(cpu, i->reg, res);                                                                 \
        NEXT;                                                                                      \
    }
#define PACKED(name, lane, lane_size, lanes, fast)                                                 \
    SLOW_TWINS(name, lane, lane_size, lanes)                                                       \
    static HANDLER(op_##name##_reg)                                                                \
    {                                                                                              \
        v2u64 res;                                                                                 \
        if (unlikely(!fast(cpu->mxcsr, xmm_get(cpu, i->reg), xmm_get(cpu, i->rm), &res)))          \
            return op_##name##_slow(cpu, i);                                                       \
        xmm_set(cpu, i->reg, res);                                                                 \
        NEXT;                                                                                      \
    }                                                                                              \
    PACKED_FORM(name, bd, EA_BD, fast)                                                             \
    PACKED_FORM(name, bi, EA_BI, fast)                                                             \
    PACKED_FORM(name, seg, EA_SEG, fast)                                                           \
    FAMILY_BOTH(name, op_##name##_reg, op_##name);

#define FOUR(op)                                                                                   \
    SCALAR(op##ss, op, 32)                                                                         \
    SCALAR(op##sd, op, 64)                                                                         \
    PACKED(op##ps, op##_lane32, 4, 4, op##ps_fast)                                                 \
    PACKED(op##pd, op##_lane64, 8, 2, op##pd_fast)

FOUR(add)
FOUR(sub)
FOUR(mul)
FOUR(div)
FOUR(min)
FOUR(max)

#define SLOW_ONLY(name, lane, lane_size, lanes)                                                    \
    SLOW_TWINS(name, lane, lane_size, lanes)                                                       \
    FAMILY_SLOW(name, op_##name##_slow, op_##name##_gen);

SLOW_ONLY(sqrtss, sqrt_lane32, 4, 1)
SLOW_ONLY(sqrtsd, sqrt_lane64, 8, 1)
SLOW_ONLY(sqrtps, sqrt_lane32, 4, 4)
SLOW_ONLY(sqrtpd, sqrt_lane64, 8, 2)

/*
 * ---- Approximations ---- SDM: relative error at most 1.5 * 2^-12, no exceptions, denormal sources
 * are zeros and denormal results are flushed. Ours are the true values rounded to 12 significant
 * bits, the same on any host.
 */

static struct fp approximate(struct fp v)
{
    struct fp_env env = {.masks = FP_ALL, .ftz = true};
    static const struct fp_format f = {12, -126, 127, 0};
    return v.cls == FPC_FINITE ? fp_round(&env, &f, v.sign, v.exp, v.sig, 0) : v;
}

static struct fp unpack_source(u64 b)
{
    const struct fp_env env = {.daz = true};
    return fp_unpack32(&env, (u32)b);
}

static u64 rcp_lane(struct fp_env *env, u64 a, u64 b)
{
    (void)env, (void)a;
    struct fp_env exact = {.masks = FP_ALL, .ftz = true};
    struct fp one = {.cls = FPC_FINITE, .sig = BIT(63)};
    return fp_pack32(approximate(fp_div(&exact, &fp_f64, one, unpack_source(b))));
}

static u64 rsqrt_lane(struct fp_env *env, u64 a, u64 b)
{
    (void)env, (void)a;
    struct fp_env exact = {.masks = FP_ALL, .ftz = true};
    struct fp one = {.cls = FPC_FINITE, .sig = BIT(63)};
    struct fp root = fp_sqrt(&exact, &fp_f64, unpack_source(b));
    return fp_pack32(approximate(fp_div(&exact, &fp_f64, one, root)));
}

SLOW_ONLY(rcpss, rcp_lane, 4, 1)
SLOW_ONLY(rcpps, rcp_lane, 4, 4)
SLOW_ONLY(rsqrtss, rsqrt_lane, 4, 1)
SLOW_ONLY(rsqrtps, rsqrt_lane, 4, 4)
