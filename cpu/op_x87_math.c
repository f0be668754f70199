/* SPDX-License-Identifier: MIT */
/* x87: square root, remainders, scaling, rounding to integers; exact, in softfp. */
#include "cpu/x87.h"

static struct fp invalid(struct fp_env *env)
{
    env->flags |= FP_IE;
    return fp_indefinite();
}
static struct fp infinity(bool sign)
{
    return (struct fp){.cls = FPC_INF, .sign = sign};
}
static struct fp zero(bool sign)
{
    return (struct fp){.cls = FPC_ZERO, .sign = sign};
}

/* NaNs and unsupported encodings; true: *r is the result. */
static bool odd_operands(struct fp_env *env, struct fp a, struct fp b, struct fp *r)
{
    if (a.cls <= FPC_INF && b.cls <= FPC_INF)
        return false;
    *r = a.cls == FPC_SPECIAL || b.cls == FPC_SPECIAL ? invalid(env) : fp_propagate(env, a, b);
    return true;
}

/* ---- One operand, ST(0), replaced ---- */

typedef struct fp unary_fn(struct fp_env *env, const struct fp_format *f, struct fp a);

static bool unary(struct cpu *cpu, const struct insn *i, unary_fn *fn)
{
    if (!x87_wait(cpu))
        return false;
    x87_note(cpu, i, false);
    if (unlikely(x87_empty(cpu, 0))) {
        if (x87_underflow(cpu, i))
            x87_put(cpu, 0, fp_indefinite());
        return true;
    }
    struct fp_env env = x87_env(cpu);
    struct fp r = fn(&env, x87_format(cpu), x87_get(cpu, 0));
    if (x87_raise(cpu, i, env.flags, env.up))
        x87_put(cpu, 0, r);
    return true;
}

static struct fp round_int(struct fp_env *env, const struct fp_format *f, struct fp a)
{
    (void)f;
    if (a.denormal)
        env->flags |= FP_DE;
    return fp_round_int(env, a, env->rounding);
}

X87_HANDLER(x87_fsqrt)
{
    return unary(cpu, i, fp_sqrt);
}
X87_HANDLER(x87_frndint)
{
    return unary(cpu, i, round_int);
}
X87_REG(fsqrt)
X87_REG(frndint)

/* ---- FSCALE: ST(0) times two to the power ST(1), chopped ---- */

static struct fp scale_special(struct fp_env *env, struct fp a, struct fp b)
{
    if (b.cls == FPC_INF && b.sign)
        return a.cls == FPC_INF ? invalid(env) : zero(a.sign);
    if (b.cls == FPC_INF)
        return a.cls == FPC_ZERO ? invalid(env) : infinity(a.sign);
    return a;
}

static struct fp scale(struct fp_env *env, const struct fp_format *f, struct fp a, struct fp b)
{
    (void)f;
    struct fp r;
    if (odd_operands(env, a, b, &r))
        return r;
    u8 flags = env->flags;
    if (a.cls != FPC_FINITE || b.cls == FPC_INF)
        r = scale_special(env, a, b);
    else {
        s32 power = 0x10000; /* far beyond any exponent */
        if (b.cls == FPC_ZERO || b.exp < 0)
            power = 0;
        else if (b.exp < 16)
            power = (s32)(b.sig >> (63 - b.exp));
        r = fp_round(env, &fp_f80, a.sign, a.exp + (b.sign ? -power : power), a.sig, 0);
    }
    if ((a.denormal || b.denormal) && !(env->flags & ~flags & FP_IE))
        env->flags |= FP_DE;
    return r;
}

X87_HANDLER(x87_fscale)
{
    if (!x87_wait(cpu))
        return false;
    x87_note(cpu, i, false);
    struct fp_env env = x87_env(cpu);
    if (unlikely(x87_empty(cpu, 0) || x87_empty(cpu, 1))) {
        if (x87_underflow(cpu, i))
            x87_put(cpu, 0, fp_indefinite());
        return true;
    }
    struct fp r = scale(&env, &fp_f80, x87_get(cpu, 0), x87_get(cpu, 1));
    if (x87_raise(cpu, i, env.flags, env.up))
        x87_put(cpu, 0, r);
    return true;
}
X87_REG(fscale)

/* ---- FXTRACT: the exponent replaces ST(0), the significand is pushed ---- */

static void extract(struct fp_env *env, struct fp a, struct fp *exponent, struct fp *significand)
{
    *significand = a;
    if (odd_operands(env, a, a, exponent)) {
        *significand = *exponent;
    } else if (a.cls == FPC_INF) {
        *exponent = infinity(false);
    } else if (a.cls == FPC_ZERO) {
        env->flags |= FP_ZE;
        *exponent = infinity(true);
    } else {
        if (a.denormal)
            env->flags |= FP_DE;
        *exponent = fp_from_int(env, &fp_f80, a.exp < 0 ? -(u64)a.exp : (u64)a.exp, a.exp < 0);
        significand->exp = 0;
    }
}

X87_HANDLER(x87_fxtract)
{
    if (!x87_wait(cpu))
        return false;
    x87_note(cpu, i, false);
    bool missing = x87_empty(cpu, 0);
    if (unlikely(missing || !x87_empty(cpu, 7))) {
        if (missing ? x87_underflow(cpu, i) : x87_overflow(cpu, i)) {
            x87_put(cpu, 0, fp_indefinite());
            x87_push(cpu, fp_indefinite());
        }
        return true;
    }
    struct fp_env env = x87_env(cpu);
    struct fp exponent, significand;
    extract(&env, x87_get(cpu, 0), &exponent, &significand);
    if (!x87_raise(cpu, i, env.flags, false))
        return true;
    x87_put(cpu, 0, exponent);
    x87_push(cpu, significand);
    return true;
}
X87_REG(fxtract)

/* ---- FPREM, FPREM1: ST(0) less a multiple of ST(1) ---- */

struct remainder {
    struct fp value;
    u64 quotient; /* low bits */
    bool divided; /* there is a quotient */
    bool partial; /* the exponent came down, but not below that of the divisor */
};

/* a.sig * 2^shift modulo b.sig. */
static u64 reduce(u64 a, u64 b, unsigned shift, u64 *quotient)
{
    u64 q = a / b;
    u128 rest = a % b;
    while (shift--) {
        rest <<= 1;
        q <<= 1;
        if (rest >= b) {
            rest -= b;
            q |= 1;
        }
    }
    *quotient = q;
    return (u64)rest;
}

static struct fp make(struct fp_env *env, bool sign, s32 exp, u64 sig)
{
    if (!sig)
        return zero(sign);
    unsigned zeros = (unsigned)__builtin_clzll(sig);
    return fp_round(env, &fp_f80, sign, exp - (s32)zeros, sig << zeros, 0);
}

/* Finite operands that are not zero. */
static struct remainder divide(struct fp_env *env, struct fp a, struct fp b, bool nearest)
{
    struct remainder r = {.value = a};
    s32 distance = a.exp - b.exp;
    if (distance < -1 || (distance < 0 && !nearest)) {
        r.value = fp_round(env, &fp_f80, a.sign, a.exp, a.sig, 0);
        return r;
    }
    u64 rest;
    if (distance > 63) {
        /* SDM: the exponent comes down by 32 to 63; an even multiple of what it may. */
        unsigned step = 32 + (unsigned)distance % 32;
        rest = reduce(a.sig, b.sig, step, &r.quotient);
        r.value = make(env, a.sign, b.exp + distance - (s32)step, rest);
        r.quotient = 0;
        r.partial = true;
        return r;
    }
    if (distance < 0) {     /* nearest only: the quotient is 0 or 1 */
        u128 twice = a.sig; /* 2a in units of b's last place */
        bool up = twice > b.sig;
        rest = up ? 0 : a.sig;
        r.value = up ? make(env, !a.sign, a.exp, (u64)(((u128)b.sig << 1) - a.sig))
                     : fp_round(env, &fp_f80, a.sign, a.exp, a.sig, 0);
        r.quotient = up;
        return r;
    }
    rest = reduce(a.sig, b.sig, (unsigned)distance, &r.quotient);
    bool sign = a.sign;
    if (nearest && ((u128)rest << 1 > b.sig || ((u128)rest << 1 == b.sig && (r.quotient & 1)))) {
        rest = b.sig - rest;
        sign = !sign;
        r.quotient++;
    }
    r.value = rest ? make(env, sign, b.exp, rest) : zero(a.sign);
    return r;
}

static struct remainder remainder_of(struct fp_env *env, struct fp a, struct fp b, bool nearest)
{
    struct remainder r = {.value = a};
    if (odd_operands(env, a, b, &r.value))
        return r;
    if (a.cls == FPC_INF || b.cls == FPC_ZERO) {
        r.value = invalid(env);
        return r;
    }
    if (a.denormal || b.denormal)
        env->flags |= FP_DE;
    if (a.cls == FPC_FINITE && b.cls == FPC_FINITE)
        r = divide(env, a, b, nearest);
    else if (a.cls == FPC_FINITE)
        r.value = fp_round(env, &fp_f80, a.sign, a.exp, a.sig, 0);
    r.divided = true;
    return r;
}

static bool remainder_insn(struct cpu *cpu, const struct insn *i, bool nearest)
{
    if (!x87_wait(cpu))
        return false;
    x87_note(cpu, i, false);
    cpu->fsw &= (u16)~FSW_C2;
    if (unlikely(x87_empty(cpu, 0) || x87_empty(cpu, 1))) {
        if (x87_underflow(cpu, i))
            x87_put(cpu, 0, fp_indefinite());
        return true;
    }
    struct fp_env env = x87_env(cpu);
    struct remainder r = remainder_of(&env, x87_get(cpu, 0), x87_get(cpu, 1), nearest);
    if (!x87_raise(cpu, i, env.flags, false))
        return true;
    x87_put(cpu, 0, r.value);
    if (!r.divided)
        return true;
    unsigned cc = (r.quotient & 4 ? FSW_C0 : 0) | (r.quotient & 2 ? FSW_C3 : 0) |
                  (r.quotient & 1 ? FSW_C1 : 0) | (r.partial ? FSW_C2 : 0);
    cpu->fsw = (u16)((cpu->fsw & ~FSW_CC) | cc);
    return true;
}
X87_HANDLER(x87_fprem)
{
    return remainder_insn(cpu, i, false);
}
X87_HANDLER(x87_fprem1)
{
    return remainder_insn(cpu, i, true);
}
X87_REG(fprem)
X87_REG(fprem1)
