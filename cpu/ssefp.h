/* SPDX-License-Identifier: MIT */
/*
 * SSE floating point: the common case on the host's own arithmetic, everything else lane by lane in
 * softfp. The host computes when operands and result are normal numbers or zero, rounding is to
 * nearest, all exceptions are masked, and MXCSR.PE is already set or the result is known to be
 * exact; then nothing but the result changes. The host is assumed to round to nearest with IEEE
 * single and double precision, which C says by FLT_EVAL_METHOD 0 (softfp itself assumes nothing).
 */
#ifndef CPU_SSEFP_H
#define CPU_SSEFP_H

#include <float.h>

#include "cpu/fpu.h"

_Static_assert(FLT_EVAL_METHOD == 0, "float and double operations have just that precision");

/* One lane: bits in, bits out, flags into env. */
typedef u64 lane_fn(struct fp_env *env, u64 a, u64 b);

/* What an instruction does to each lane; the lanes above `count` are kept. */
struct lane_op {
    lane_fn *fn;
    u8 size;  /* bytes of a lane: 4, 8 */
    u8 count; /* lanes, from the lowest */
};

struct fp_env sse_env(const struct cpu *cpu);
/* XMM register reg = op(reg, src) exactly; false: fault recorded, MXCSR's flags set. */
bool sse_lanes(struct cpu *cpu, unsigned reg, const void *src, const struct lane_op *op);
/* Reads the memory operand of `size` bytes, aligned if 16. */
bool sse_operand(struct cpu *cpu, const struct insn *i, void *to, unsigned size);

static ALWAYS_INLINE float f32_of(u32 v)
{
    float f;
    memcpy(&f, &v, 4);
    return f;
}
static ALWAYS_INLINE u32 f32_bits(float f)
{
    u32 v;
    memcpy(&v, &f, 4);
    return v;
}
static ALWAYS_INLINE double f64_of(u64 v)
{
    double f;
    memcpy(&f, &v, 8);
    return f;
}
static ALWAYS_INLINE u64 f64_bits(double f)
{
    u64 v;
    memcpy(&v, &f, 8);
    return v;
}

/* Round to nearest, all masked; and PE set. */
static ALWAYS_INLINE bool env_usual(u32 mxcsr)
{
    return (mxcsr & 0x7f80) == 0x1f80;
}
static ALWAYS_INLINE bool env_sticky(u32 mxcsr)
{
    return (mxcsr & 0x7fa0) == 0x1fa0;
}

/* Zero, normal, infinite or NaN. */
#define PREDICATES(bits, sig, top)                                                                 \
    static ALWAYS_INLINE bool no_denormal##bits(u##bits v)                                         \
    {                                                                                              \
        return (v << 1) - 1 >= ((u##bits)1 << (sig)) - 1;                                          \
    }                                                                                              \
    static ALWAYS_INLINE bool finite##bits(u##bits v)                                              \
    {                                                                                              \
        return v << 1 < (u##bits)(top) << (sig);                                                   \
    }                                                                                              \
    /* Zero or normal. */                                                                          \
    static ALWAYS_INLINE bool usual##bits(u##bits v)                                               \
    {                                                                                              \
        return no_denormal##bits(v) && finite##bits(v);                                            \
    }                                                                                              \
    /* Normal and above the least normal binade, where "tiny" needs thought. */                    \
    static ALWAYS_INLINE bool well##bits(u##bits v)                                                \
    {                                                                                              \
        return (v << 1) - ((u##bits)2 << (sig)) < (u##bits)((top)-2) << (sig);                     \
    }                                                                                              \
    static ALWAYS_INLINE bool zero##bits(u##bits v)                                                \
    {                                                                                              \
        return (u##bits)(v << 1) == 0;                                                             \
    }
PREDICATES(64, 53, 0x7ff)
PREDICATES(32, 24, 0xff)
#undef PREDICATES

/* All ones in lanes that are neither zero nor normal; and in those that are not well as above. */
static ALWAYS_INLINE v4s32 unusual_ps(v2u64 v)
{
    v4u32 t = (v4u32)v & 0x7fffffffu;
    v4s32 s = (v4s32)(t - 0x00800000u);
    return (v4s32)(s > 0x7effffff) | ((v4s32)(s < 0) & (v4s32)(t != 0));
}
static ALWAYS_INLINE v4s32 unwell_ps(v2u64 v)
{
    v4s32 s = (v4s32)(((v4u32)v & 0x7fffffffu) - 0x01000000u);
    return (v4s32)(s > 0x7e7fffff) | (v4s32)(s < 0);
}
static ALWAYS_INLINE v4s32 zero_ps(v2u64 v)
{
    return (v4s32)(((v4u32)v & 0x7fffffffu) == 0);
}
static ALWAYS_INLINE bool none(v4s32 m)
{
    v2u64 v = (v2u64)m;
    return (v[0] | v[1]) == 0;
}
static ALWAYS_INLINE bool usual_pd(v2u64 v)
{
    return usual64(v[0]) && usual64(v[1]);
}

#endif
