/* SPDX-License-Identifier: MIT */
/*
 * x87 transcendental instructions, by MPFR: 128 bits of the true value and whether more follow,
 * then rounded once, so results are the correctly rounded ones; processors may be off by an ulp.
 * FSIN and kin reduce their argument by the pi of 66 bits that the SDM documents ("Approximation of
 * Pi").
 */
#include "cpu/x87.h"

#define MPFR_USE_INTMAX_T 1
#include <mpfr.h>

#define TRANS_PREC 128

/* ---- Between struct fp and MPFR ---- */

static void to_mpfr(mpfr_t x, struct fp a)
{
    mpfr_init2(x, 64);
    if (a.cls == FPC_ZERO)
        mpfr_set_zero(x, a.sign ? -1 : 1);
    else if (a.cls == FPC_INF)
        mpfr_set_inf(x, a.sign ? -1 : 1);
    else {
        mpfr_set_uj_2exp(x, a.sig, a.exp - 63, MPFR_RNDN);
        if (a.sign)
            mpfr_neg(x, x, MPFR_RNDN);
    }
}

/* v was rounded to zero with this ternary value (0: exact). Clears v. */
static struct fp from_mpfr(struct fp_env *env, mpfr_t v, int ternary)
{
    struct fp r = {.cls = FPC_ZERO, .sign = mpfr_signbit(v)};
    if (mpfr_inf_p(v)) {
        r.cls = FPC_INF;
    } else if (!mpfr_zero_p(v)) {
        u64 limb[2] = {0, 0};
        mpz_t z;
        mpz_init(z);
        s32 exp = (s32)mpfr_get_exp(v) - 1;
        mpfr_get_z_2exp(z, v);
        mpz_export(limb, NULL, -1, sizeof(limb[0]), 0, 0, z);
        mpz_clear(z);
        r = fp_round(env, &fp_f80, mpfr_signbit(v), exp, limb[1], limb[0] | (ternary != 0));
    }
    mpfr_clear(v);
    return r;
}

typedef int mpfr_unary(mpfr_t rop, const mpfr_t op, mpfr_rnd_t rnd);

/* fn of a, which is finite. */
static struct fp evaluate(struct fp_env *env, mpfr_unary *fn, struct fp a)
{
    mpfr_t x, v;
    to_mpfr(x, a);
    mpfr_init2(v, TRANS_PREC);
    int ternary = fn(v, x, MPFR_RNDZ);
    mpfr_clear(x);
    return from_mpfr(env, v, ternary);
}

/* ---- Special operands ---- */

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
static const struct fp one = {.cls = FPC_FINITE, .sig = UINT64_C(1) << 63};

static bool odd_operands(struct fp_env *env, struct fp a, struct fp b, struct fp *r)
{
    if (a.cls <= FPC_INF && b.cls <= FPC_INF)
        return false;
    *r = a.cls == FPC_SPECIAL || b.cls == FPC_SPECIAL ? invalid(env) : fp_propagate(env, a, b);
    return true;
}
static void note_denormals(struct fp_env *env, struct fp a, struct fp b)
{
    if (a.denormal || b.denormal)
        env->flags |= FP_DE;
}

/* ---- FSIN, FCOS, FSINCOS, FPTAN ---- */

/* Magnitudes from 2^63 on are left alone with C2 set. */
static bool too_large(struct fp a)
{
    return a.cls == FPC_FINITE && a.exp >= 63;
}

enum circle { CIRCLE_SIN, CIRCLE_COS, CIRCLE_TAN };

/* x less the nearest multiple, returned, of half of pi. */
static long reduce(mpfr_t x)
{
    mpfr_t half_pi, arg;
    long quotient;
    mpfr_inits2(68, half_pi, arg, (mpfr_ptr)NULL);
    mpfr_set_str(half_pi, "1.921fb54442d184698", 16, MPFR_RNDN); /* pi's c90fdaa22168c234c / 2 */
    mpfr_set(arg, x, MPFR_RNDN);
    mpfr_set_prec(x, 256);
    mpfr_remquo(x, &quotient, arg, half_pi, MPFR_RNDN);
    mpfr_clears(half_pi, arg, (mpfr_ptr)NULL);
    return quotient;
}

/* The function of the angle that `quarters` right angles and x make. */
static int circle_value(mpfr_t v, const mpfr_t x, enum circle fn, long quarters)
{
    if (fn == CIRCLE_TAN) {
        int ternary = quarters & 1 ? mpfr_cot(v, x, MPFR_RNDZ) : mpfr_tan(v, x, MPFR_RNDZ);
        if (quarters & 1)
            mpfr_neg(v, v, MPFR_RNDN);
        return ternary;
    }
    quarters += fn == CIRCLE_COS;
    int ternary = quarters & 1 ? mpfr_cos(v, x, MPFR_RNDZ) : mpfr_sin(v, x, MPFR_RNDZ);
    if (quarters & 2)
        mpfr_neg(v, v, MPFR_RNDN);
    return ternary;
}

static struct fp circular(struct fp_env *env, enum circle fn, struct fp a)
{
    struct fp r;
    if (odd_operands(env, a, a, &r))
        return r;
    if (a.cls == FPC_INF)
        return invalid(env);
    note_denormals(env, a, a);
    mpfr_t x, v;
    to_mpfr(x, a);
    mpfr_init2(v, TRANS_PREC);
    long quarters = a.cls == FPC_FINITE && a.exp >= -1 ? reduce(x) : 0;
    int ternary = circle_value(v, x, fn, quarters);
    mpfr_clear(x);
    return from_mpfr(env, v, ternary);
}

/*
 * ST(0) = fn(ST(0)); if push, then its cosine, or for the tangent one, goes on top of it.
 */
static bool circular_insn(struct cpu *cpu, const struct insn *i, enum circle fn, bool push)
{
    if (!x87_wait(cpu))
        return false;
    x87_note(cpu, i, false);
    cpu->fsw &= (u16)~FSW_C2;
    bool missing = x87_empty(cpu, 0);
    if (unlikely(missing || (push && !x87_empty(cpu, 7)))) {
        if (missing ? x87_underflow(cpu, i) : x87_overflow(cpu, i)) {
            x87_put(cpu, 0, fp_indefinite());
            if (push)
                x87_push(cpu, fp_indefinite());
        }
        return true;
    }
    struct fp a = x87_get(cpu, 0), top = one;
    if (too_large(a)) {
        cpu->fsw = (u16)((cpu->fsw & ~FSW_C1) | FSW_C2);
        return true;
    }
    struct fp_env env = x87_env(cpu);
    struct fp r = circular(&env, fn, a);
    if (fn == CIRCLE_SIN && push)
        top = circular(&env, CIRCLE_COS, a);
    else if (fp_is_nan(r))
        top = r;
    if (!x87_raise(cpu, i, env.flags, env.up))
        return true;
    x87_put(cpu, 0, r);
    if (push)
        x87_push(cpu, top);
    return true;
}

X87_HANDLER(x87_fsin)
{
    return circular_insn(cpu, i, CIRCLE_SIN, false);
}
X87_HANDLER(x87_fcos)
{
    return circular_insn(cpu, i, CIRCLE_COS, false);
}
X87_HANDLER(x87_fsincos)
{
    return circular_insn(cpu, i, CIRCLE_SIN, true);
}
X87_HANDLER(x87_fptan)
{
    return circular_insn(cpu, i, CIRCLE_TAN, true);
}

/* ---- F2XM1: 2^x - 1 for x from -1 to 1; undefined beyond ---- */

static int exp2m1(mpfr_t v, const mpfr_t x, mpfr_rnd_t rnd)
{
    mpfr_t ln2, wide;
    mpfr_init2(ln2, 2 * TRANS_PREC);
    mpfr_init2(wide, 2 * TRANS_PREC);
    mpfr_const_log2(ln2, MPFR_RNDN);
    mpfr_mul(wide, x, ln2, MPFR_RNDN);
    mpfr_expm1(wide, wide, MPFR_RNDN);
    mpfr_set(v, wide, rnd);
    /* Irrational but for x = 1 and x = -1. */
    bool exact = mpfr_cmp_si(x, 1) == 0 || mpfr_cmp_si(x, -1) == 0;
    if (exact)
        mpfr_set_d(v, mpfr_sgn(x) > 0 ? 1.0 : -0.5, rnd);
    mpfr_clear(ln2);
    mpfr_clear(wide);
    return !exact;
}

static struct fp two_to_x_less_one(struct fp_env *env, struct fp a)
{
    struct fp r;
    if (odd_operands(env, a, a, &r))
        return r;
    if (a.cls == FPC_ZERO)
        return a;
    if (a.cls == FPC_INF)
        return a.sign ? (struct fp){.cls = FPC_FINITE, .sign = true, .sig = BIT(63)} : a;
    note_denormals(env, a, a);
    if (a.exp >= 1) /* undefined by the SDM */
        return a;
    return evaluate(env, exp2m1, a);
}

X87_HANDLER(x87_f2xm1)
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
    struct fp r = two_to_x_less_one(&env, x87_get(cpu, 0));
    if (x87_raise(cpu, i, env.flags, env.up))
        x87_put(cpu, 0, r);
    return true;
}

/* ---- FYL2X, FYL2XP1, FPATAN: of ST(1) = y and ST(0) = x, one of them popped ---- */

/* y * log, whose own 256 bits are far more than the product's 128. exact: log is rational. */
static struct fp times_log(struct fp_env *env, struct fp y, mpfr_t log, bool exact)
{
    mpfr_t v, factor;
    to_mpfr(factor, y);
    mpfr_init2(v, TRANS_PREC);
    int ternary = mpfr_mul(v, log, factor, MPFR_RNDZ);
    mpfr_clear(factor);
    mpfr_clear(log);
    return from_mpfr(env, v, exact ? ternary : 1);
}

static struct fp ylog2_special(struct fp_env *env, struct fp x, struct fp y)
{
    bool below_one = x.cls == FPC_ZERO || (x.cls == FPC_FINITE && x.exp < 0);
    bool is_one = x.cls == FPC_FINITE && !x.exp && x.sig == BIT(63);
    if (x.cls == FPC_ZERO) {
        if (y.cls == FPC_ZERO)
            return invalid(env);
        if (y.cls == FPC_FINITE)
            env->flags |= FP_ZE;
        return infinity(!y.sign);
    }
    if (is_one && y.cls == FPC_INF)
        return invalid(env);
    if (x.cls == FPC_INF && y.cls == FPC_ZERO)
        return invalid(env);
    if (y.cls == FPC_ZERO || is_one)
        return zero(y.sign != below_one);
    return infinity(y.sign != below_one);
}

static struct fp ylog2(struct fp_env *env, struct fp x, struct fp y)
{
    struct fp r;
    if (odd_operands(env, x, y, &r))
        return r;
    if (x.sign && x.cls != FPC_ZERO)
        return invalid(env);
    bool is_one = x.cls == FPC_FINITE && !x.exp && x.sig == BIT(63);
    if (x.cls != FPC_FINITE || y.cls != FPC_FINITE || is_one) {
        r = ylog2_special(env, x, y);
        if (!(env->flags & (FP_IE | FP_ZE)))
            note_denormals(env, x, y);
        return r;
    }
    note_denormals(env, x, y);
    mpfr_t arg, log;
    to_mpfr(arg, x);
    mpfr_init2(log, 2 * TRANS_PREC);
    mpfr_log2(log, arg, MPFR_RNDN);
    mpfr_clear(arg);
    return times_log(env, y, log, x.sig == BIT(63));
}

static struct fp ylog2p1(struct fp_env *env, struct fp x, struct fp y)
{
    struct fp r;
    if (odd_operands(env, x, y, &r))
        return r;
    if (x.cls == FPC_INF || y.cls == FPC_INF) {
        bool bad = x.cls == FPC_ZERO || y.cls == FPC_ZERO || (x.cls == FPC_INF && x.sign);
        return bad ? invalid(env) : infinity(x.sign != y.sign);
    }
    if (x.cls == FPC_FINITE && x.sign && x.exp >= 0)
        return invalid(env); /* undefined by the SDM: 1 + x is not positive */
    note_denormals(env, x, y);
    if (x.cls == FPC_ZERO || y.cls == FPC_ZERO)
        return zero(x.sign != y.sign);
    mpfr_t arg, log, ln2;
    to_mpfr(arg, x);
    mpfr_init2(log, 2 * TRANS_PREC);
    mpfr_init2(ln2, 2 * TRANS_PREC);
    mpfr_log1p(log, arg, MPFR_RNDN);
    mpfr_const_log2(ln2, MPFR_RNDN);
    mpfr_div(log, log, ln2, MPFR_RNDN);
    mpfr_clear(arg);
    mpfr_clear(ln2);
    return times_log(env, y, log, false);
}

static struct fp arctangent(struct fp_env *env, struct fp x, struct fp y)
{
    struct fp r;
    if (odd_operands(env, x, y, &r))
        return r;
    note_denormals(env, x, y);
    mpfr_t a, b, v;
    to_mpfr(a, y);
    to_mpfr(b, x);
    mpfr_init2(v, TRANS_PREC);
    int ternary = mpfr_atan2(v, a, b, MPFR_RNDZ);
    mpfr_clear(a);
    mpfr_clear(b);
    return from_mpfr(env, v, ternary);
}

typedef struct fp popping_fn(struct fp_env *env, struct fp x, struct fp y);

static bool popping_insn(struct cpu *cpu, const struct insn *i, popping_fn *fn)
{
    if (!x87_wait(cpu))
        return false;
    x87_note(cpu, i, false);
    if (unlikely(x87_empty(cpu, 0) || x87_empty(cpu, 1))) {
        if (x87_underflow(cpu, i)) {
            x87_put(cpu, 1, fp_indefinite());
            x87_pop(cpu);
        }
        return true;
    }
    struct fp_env env = x87_env(cpu);
    struct fp r = fn(&env, x87_get(cpu, 0), x87_get(cpu, 1));
    if (!x87_raise(cpu, i, env.flags, env.up))
        return true;
    x87_put(cpu, 1, r);
    x87_pop(cpu);
    return true;
}
X87_HANDLER(x87_fyl2x)
{
    return popping_insn(cpu, i, ylog2);
}
X87_HANDLER(x87_fyl2xp1)
{
    return popping_insn(cpu, i, ylog2p1);
}
X87_HANDLER(x87_fpatan)
{
    return popping_insn(cpu, i, arctangent);
}

X87_REG(fsin)
X87_REG(fcos)
X87_REG(fsincos)
X87_REG(fptan)
X87_REG(f2xm1)
X87_REG(fyl2x)
X87_REG(fyl2xp1)
X87_REG(fpatan)
