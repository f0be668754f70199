/* SPDX-License-Identifier: MIT */
#include "cpu/softfp.h"

const struct fp_format fp_f32 = {24, -126, 127, 192};
const struct fp_format fp_f64 = {53, -1022, 1023, 1536};
const struct fp_format fp_f80 = {64, -16382, 16383, 24576};
const struct fp_format fp_x24 = {24, -16382, 16383, 24576};
const struct fp_format fp_x53 = {53, -16382, 16383, 24576};

/* ---- Packing and unpacking ---- */

static unsigned leading_zeros(u64 v)
{
    return (unsigned)__builtin_clzll(v);
}

static struct fp make_zero(bool sign)
{
    return (struct fp){.cls = FPC_ZERO, .sign = sign};
}
static struct fp make_inf(bool sign)
{
    return (struct fp){.cls = FPC_INF, .sign = sign};
}

struct fp fp_indefinite(void)
{
    return (struct fp){.cls = FPC_QNAN, .sign = true, .sig = UINT64_C(3) << 62};
}

/* frac: the fraction left-aligned below bit 63. */
static struct fp unpack_nan(bool sign, u64 frac)
{
    return (struct fp){
        .cls = frac & BIT(62) ? FPC_QNAN : FPC_SNAN, .sign = sign, .sig = frac | BIT(63)};
}

static struct fp unpack_denormal(bool sign, u64 frac, s32 emin, bool daz)
{
    if (!frac || daz)
        return make_zero(sign);
    unsigned shift = leading_zeros(frac);
    return (struct fp){.cls = FPC_FINITE,
                       .sign = sign,
                       .sig = frac << shift,
                       .exp = emin - (s32)shift,
                       .denormal = true};
}

struct fp fp_unpack32(const struct fp_env *env, u32 v)
{
    bool sign = v >> 31;
    s32 exp = (v >> 23) & 0xff;
    u64 frac = (u64)(v & 0x7fffff) << 40;
    if (exp == 0)
        return unpack_denormal(sign, frac, -126, env->daz);
    if (exp == 0xff)
        return frac ? unpack_nan(sign, frac) : make_inf(sign);
    return (struct fp){.cls = FPC_FINITE, .sign = sign, .sig = frac | BIT(63), .exp = exp - 127};
}

struct fp fp_unpack64(const struct fp_env *env, u64 v)
{
    bool sign = v >> 63;
    s32 exp = (v >> 52) & 0x7ff;
    u64 frac = (v & MASK(52)) << 11;
    if (exp == 0)
        return unpack_denormal(sign, frac, -1022, env->daz);
    if (exp == 0x7ff)
        return frac ? unpack_nan(sign, frac) : make_inf(sign);
    return (struct fp){.cls = FPC_FINITE, .sign = sign, .sig = frac | BIT(63), .exp = exp - 1023};
}

struct fp fp_unpack80(u64 mant, u16 se)
{
    bool sign = se >> 15;
    s32 exp = se & 0x7fff;
    if (exp == 0)
        return unpack_denormal(sign, mant, -16382, false); /* pseudo-denormals too */
    if (!(mant >> 63))
        return (struct fp){.cls = FPC_SPECIAL, .sign = sign, .sig = mant};
    if (exp == 0x7fff)
        return mant << 1 ? unpack_nan(sign, mant & MASK(63)) : make_inf(sign);
    return (struct fp){.cls = FPC_FINITE, .sign = sign, .sig = mant, .exp = exp - 16383};
}

u32 fp_pack32(struct fp v)
{
    u32 sign = (u32)v.sign << 31;
    switch (v.cls) {
    case FPC_ZERO:
        return sign;
    case FPC_INF:
        return sign | 0x7f800000;
    case FPC_FINITE:
        if (v.exp < -126)
            return sign | (u32)(v.sig >> (40 - 126 - v.exp));
        return sign | (u32)(v.exp + 127) << 23 | ((u32)(v.sig >> 40) & 0x7fffff);
    default:
        return sign | 0x7fc00000 | ((u32)(v.sig >> 40) & 0x7fffff);
    }
}

u64 fp_pack64(struct fp v)
{
    u64 sign = (u64)v.sign << 63;
    switch (v.cls) {
    case FPC_ZERO:
        return sign;
    case FPC_INF:
        return sign | UINT64_C(0x7ff) << 52;
    case FPC_FINITE:
        if (v.exp < -1022)
            return sign | v.sig >> (11 - 1022 - v.exp);
        return sign | (u64)(v.exp + 1023) << 52 | ((v.sig >> 11) & MASK(52));
    default:
        return sign | UINT64_C(0xfff) << 51 | ((v.sig >> 11) & MASK(52));
    }
}

void fp_pack80(struct fp v, u64 *mant, u16 *se)
{
    u16 sign = (u16)(v.sign << 15);
    switch (v.cls) {
    case FPC_ZERO:
        *mant = 0;
        *se = sign;
        break;
    case FPC_INF:
        *mant = BIT(63);
        *se = sign | 0x7fff;
        break;
    case FPC_FINITE:
        *mant = v.exp < -16382 ? v.sig >> (-16382 - v.exp) : v.sig;
        *se = (u16)(sign | (v.exp < -16382 ? 0 : v.exp + 16383));
        break;
    default:
        *mant = v.sig | UINT64_C(3) << 62;
        *se = sign | 0x7fff;
        break;
    }
}

/* ---- Rounding ---- */

static bool round_up(enum fp_rounding rounding, bool sign, bool odd, bool half, bool rest)
{
    switch (rounding) {
    case FP_NEAREST:
        return half && (rest || odd);
    case FP_DOWN:
        return sign && (half || rest);
    case FP_UP:
        return !sign && (half || rest);
    default:
        return false;
    }
}

/* A significand cut to its upper prec bits; carry: it became 2^64. */
struct cut {
    u64 sig;
    bool carry, inexact, up;
};

static struct cut cut_to(const struct fp_env *env, bool sign, unsigned prec, u64 sig, u64 ext)
{
    unsigned drop = 64 - prec;
    u64 mask = MASK(drop), unit = BIT(drop & 63);
    bool half, rest;
    if (drop) {
        half = (sig >> (drop - 1)) & 1;
        rest = (sig & (mask >> 1)) || ext;
    } else {
        half = ext >> 63;
        rest = ext << 1;
    }
    struct cut c = {.sig = sig & ~mask, .inexact = half || rest};
    c.up = round_up(env->rounding, sign, c.sig & unit, half, rest);
    if (c.up) {
        c.sig += unit;
        c.carry = c.sig == 0;
    }
    return c;
}

static struct fp finite(bool sign, s32 exp, u64 sig)
{
    return (struct fp){.cls = FPC_FINITE, .sign = sign, .exp = exp, .sig = sig};
}

/* An unmasked overflow: x87 adjusts the exponent, which FSCALE may exceed even so. */
static struct fp wrapped_overflow(struct fp_env *env, const struct fp_format *f, struct fp v,
                                  bool inexact)
{
    if (inexact)
        env->flags |= FP_PE;
    if (!env->x87)
        return make_zero(v.sign); /* nobody's: there is no result */
    v.exp -= f->wrap;
    if (v.exp <= f->emax)
        return v;
    env->flags |= FP_PE;
    env->up = true;
    return make_inf(v.sign);
}

static struct fp overflow(struct fp_env *env, const struct fp_format *f, struct fp v, bool inexact)
{
    env->flags |= FP_OE;
    if (!(env->masks & FP_OE))
        return wrapped_overflow(env, f, v, inexact);
    env->flags |= FP_PE;
    bool inf = env->rounding == FP_NEAREST || env->rounding == (v.sign ? FP_DOWN : FP_UP);
    env->up = inf;
    if (inf)
        return make_inf(v.sign);
    return finite(v.sign, f->emax, ~MASK(64 - f->prec));
}

/* The result is below the format's normal numbers, even if rounded as though it had their range. */
static struct fp underflow(struct fp_env *env, const struct fp_format *f, bool sign, s32 exp,
                           u64 sig, u64 ext)
{
    unsigned shift = (unsigned)(f->emin - exp);
    if (shift > 127)
        shift = 127;
    u128 v = (u128)sig << 64 | ext;
    u128 lost = v & (((u128)1 << shift) - 1);
    v >>= shift;
    if (lost)
        v |= 1;
    struct cut c = cut_to(env, sign, f->prec, (u64)(v >> 64), (u64)v);
    env->up = c.up;
    if (c.inexact)
        env->flags |= FP_UE | FP_PE;
    if (c.carry)
        return finite(sign, f->emin + 1, BIT(63));
    if (!c.sig)
        return make_zero(sign);
    unsigned zeros = leading_zeros(c.sig);
    return finite(sign, f->emin - (s32)zeros, c.sig << zeros);
}

struct fp fp_round(struct fp_env *env, const struct fp_format *f, bool sign, s32 exp, u64 sig,
                   u64 ext)
{
    struct cut c = cut_to(env, sign, f->prec, sig, ext);
    struct fp v = finite(sign, exp + c.carry, c.carry ? BIT(63) : c.sig);
    env->up = c.up;
    if (unlikely(v.exp < f->emin)) {
        if (!(env->masks & FP_UE)) {
            env->flags |= FP_UE | (c.inexact ? FP_PE : 0);
            if (!env->x87)
                return make_zero(sign); /* nobody's: there is no result */
            v.exp += f->wrap;
            if (v.exp >= f->emin)
                return v;
            env->flags |= FP_PE; /* too small even for the adjusted exponent (FSCALE) */
            env->up = false;
            return make_zero(sign);
        }
        if (env->ftz) {
            env->flags |= FP_UE | FP_PE;
            return make_zero(sign);
        }
        return underflow(env, f, sign, exp, sig, ext);
    }
    if (unlikely(exp < f->emin)) { /* rounds up to the least normal number */
        struct fp_env quiet = *env;
        v = underflow(&quiet, f, sign, exp, sig, ext);
        env->up = quiet.up;
        env->flags |= FP_PE;
        return v;
    }
    if (unlikely(v.exp > f->emax))
        return overflow(env, f, v, c.inexact);
    if (c.inexact)
        env->flags |= FP_PE;
    return v;
}

/* ---- NaNs and the exceptions of operands ---- */

static struct fp quiet(struct fp a)
{
    a.cls = FPC_QNAN;
    a.sig |= BIT(62);
    return a;
}

static struct fp invalid(struct fp_env *env)
{
    env->flags |= FP_IE;
    return fp_indefinite();
}

static struct fp propagate_x87(struct fp a, struct fp b)
{
    if (!fp_is_nan(b))
        return quiet(a);
    if (!fp_is_nan(a))
        return quiet(b);
    if (a.cls != b.cls)
        return quiet(a.cls == FPC_QNAN ? a : b);
    if (a.sig != b.sig)
        return quiet(a.sig > b.sig ? a : b);
    return quiet(a.sign ? b : a);
}

struct fp fp_propagate(struct fp_env *env, struct fp a, struct fp b)
{
    if (a.cls == FPC_SNAN || b.cls == FPC_SNAN)
        env->flags |= FP_IE;
    if (env->x87)
        return propagate_x87(a, b);
    return quiet(fp_is_nan(a) ? a : b);
}

/* True if the operands alone give the result. */
static bool special_operands(struct fp_env *env, struct fp a, struct fp b, struct fp *res)
{
    if (likely(a.cls <= FPC_INF && b.cls <= FPC_INF))
        return false;
    if (a.cls == FPC_SPECIAL || b.cls == FPC_SPECIAL)
        *res = invalid(env);
    else
        *res = fp_propagate(env, a, b);
    return true;
}

static void note_denormals(struct fp_env *env, struct fp a, struct fp b)
{
    if (unlikely(a.denormal || b.denormal))
        env->flags |= FP_DE;
}

/* ---- Arithmetic ---- */

/* |a| >= |b|, both finite. */
static struct fp add_magnitudes(struct fp_env *env, const struct fp_format *f, struct fp a,
                                struct fp b)
{
    u128 x = (u128)a.sig << 63, y = (u128)b.sig << 63;
    s32 distance = a.exp - b.exp;
    if (distance > 126) {
        y = 1;
    } else {
        u128 lost = y & (((u128)1 << distance) - 1);
        y = y >> distance | (lost != 0);
    }
    u128 sum = a.sign == b.sign ? x + y : x - y;
    if (!sum)
        return make_zero(env->rounding == FP_DOWN);
    u64 high = (u64)(sum >> 64);
    unsigned shift = high ? leading_zeros(high) : 64 + leading_zeros((u64)sum);
    sum <<= shift;
    return fp_round(env, f, a.sign, a.exp + 1 - (s32)shift, (u64)(sum >> 64), (u64)sum);
}

static struct fp add_zeros(struct fp_env *env, const struct fp_format *f, struct fp a, struct fp b)
{
    if (a.cls == FPC_ZERO && b.cls == FPC_ZERO)
        return make_zero(a.sign == b.sign ? a.sign : env->rounding == FP_DOWN);
    struct fp v = a.cls == FPC_ZERO ? b : a;
    return fp_round(env, f, v.sign, v.exp, v.sig, 0);
}

struct fp fp_add(struct fp_env *env, const struct fp_format *f, struct fp a, struct fp b)
{
    struct fp res;
    if (special_operands(env, a, b, &res))
        return res;
    if (a.cls == FPC_INF && b.cls == FPC_INF && a.sign != b.sign)
        return invalid(env);
    note_denormals(env, a, b);
    if (a.cls == FPC_INF || b.cls == FPC_INF)
        return a.cls == FPC_INF ? make_inf(a.sign) : make_inf(b.sign);
    if (a.cls == FPC_ZERO || b.cls == FPC_ZERO)
        return add_zeros(env, f, a, b);
    bool larger = a.exp > b.exp || (a.exp == b.exp && a.sig >= b.sig);
    return larger ? add_magnitudes(env, f, a, b) : add_magnitudes(env, f, b, a);
}

struct fp fp_sub(struct fp_env *env, const struct fp_format *f, struct fp a, struct fp b)
{
    if (!fp_is_nan(b))
        b.sign = !b.sign;
    return fp_add(env, f, a, b);
}

struct fp fp_mul(struct fp_env *env, const struct fp_format *f, struct fp a, struct fp b)
{
    struct fp res;
    if (special_operands(env, a, b, &res))
        return res;
    bool sign = a.sign != b.sign;
    if ((a.cls == FPC_INF && b.cls == FPC_ZERO) || (a.cls == FPC_ZERO && b.cls == FPC_INF))
        return invalid(env);
    note_denormals(env, a, b);
    if (a.cls == FPC_INF || b.cls == FPC_INF)
        return make_inf(sign);
    if (a.cls == FPC_ZERO || b.cls == FPC_ZERO)
        return make_zero(sign);
    u128 product = (u128)a.sig * b.sig;
    s32 exp = a.exp + b.exp + 1;
    if (!(product >> 127)) {
        product <<= 1;
        exp--;
    }
    return fp_round(env, f, sign, exp, (u64)(product >> 64), (u64)product);
}

static struct fp divide(struct fp_env *env, const struct fp_format *f, struct fp a, struct fp b)
{
    bool less = a.sig < b.sig;
    u128 dividend = (u128)a.sig << (less ? 64 : 63);
    u64 q = (u64)(dividend / b.sig);
    u128 twice = (dividend % b.sig) << 1;
    u64 ext = twice >= b.sig ? BIT(63) : 0;
    if (twice != b.sig && twice)
        ext |= 1;
    return fp_round(env, f, a.sign != b.sign, a.exp - b.exp - less, q, ext);
}

struct fp fp_div(struct fp_env *env, const struct fp_format *f, struct fp a, struct fp b)
{
    struct fp res;
    if (special_operands(env, a, b, &res))
        return res;
    bool sign = a.sign != b.sign;
    if ((a.cls == FPC_INF && b.cls == FPC_INF) || (a.cls == FPC_ZERO && b.cls == FPC_ZERO))
        return invalid(env);
    if (b.cls == FPC_ZERO && a.cls == FPC_FINITE) {
        env->flags |= FP_ZE;
        return make_inf(sign);
    }
    note_denormals(env, a, b);
    if (a.cls == FPC_INF || b.cls == FPC_ZERO)
        return make_inf(sign);
    if (a.cls == FPC_ZERO || b.cls == FPC_INF)
        return make_zero(sign);
    return divide(env, f, a, b);
}

/* The integer square root of v and whether it is inexact. */
static u64 square_root(u128 v, bool *inexact)
{
    u64 root = 0;
    u128 rest = 0;
    for (int n = 63; n >= 0; n--) {
        rest = rest << 2 | (u64)((v >> (2 * n)) & 3);
        u128 trial = (u128)root << 2 | 1;
        root <<= 1;
        if (rest >= trial) {
            rest -= trial;
            root |= 1;
        }
    }
    *inexact = rest != 0;
    return root;
}

struct fp fp_sqrt(struct fp_env *env, const struct fp_format *f, struct fp a)
{
    struct fp res;
    if (special_operands(env, a, a, &res))
        return res;
    if (a.cls == FPC_ZERO)
        return a;
    if (a.sign)
        return invalid(env);
    note_denormals(env, a, a);
    if (a.cls == FPC_INF)
        return a;
    /* sig * 2^(exp - 63): an even power of two is taken out, 64 bits of root are left. */
    bool odd = a.exp & 1;
    bool inexact;
    u64 root = square_root((u128)a.sig << (odd ? 64 : 63), &inexact);
    /* The root has 64 bits; whether the next one is set: 2 root + 1 squared against the operand. */
    u64 ext = 0;
    if (inexact) {
        u128 v = (u128)a.sig << (odd ? 64 : 63), square = (u128)root * root;
        ext = v - square > root ? BIT(63) | 1 : 1;
    }
    return fp_round(env, f, false, (a.exp - odd) / 2, root, ext);
}

/* ---- Conversions ---- */

struct fp fp_convert(struct fp_env *env, const struct fp_format *f, struct fp a)
{
    if (a.cls == FPC_SPECIAL)
        return invalid(env);
    if (fp_is_nan(a))
        return fp_propagate(env, a, a);
    note_denormals(env, a, a);
    if (a.cls != FPC_FINITE)
        return a;
    return fp_round(env, f, a.sign, a.exp, a.sig, 0);
}

/* a's magnitude as an integer rounded; exp < 64. carry: it became 2^64. */
static u64 integer_part(struct fp_env *env, struct fp a, enum fp_rounding rounding, bool *carry)
{
    unsigned shift = (unsigned)(63 - a.exp);
    u64 whole = shift < 64 ? a.sig >> shift : 0, ext = 1;
    if (shift == 0)
        ext = 0;
    else if (shift <= 64)
        ext = a.sig << (64 - shift);
    bool up = round_up(rounding, a.sign, whole & 1, ext >> 63, ext << 1 != 0);
    if (ext)
        env->flags |= FP_PE;
    env->up = up;
    whole += up;
    *carry = up && !whole;
    return whole;
}

struct fp fp_round_int(struct fp_env *env, struct fp a, enum fp_rounding rounding)
{
    if (a.cls == FPC_SPECIAL)
        return invalid(env);
    if (fp_is_nan(a))
        return fp_propagate(env, a, a);
    if (a.cls != FPC_FINITE || a.exp >= 63)
        return a;
    bool carry;
    u64 v = integer_part(env, a, rounding, &carry);
    if (carry)
        return finite(a.sign, 64, BIT(63));
    if (!v)
        return make_zero(a.sign);
    unsigned zeros = leading_zeros(v);
    return finite(a.sign, 63 - (s32)zeros, v << zeros);
}

struct fp fp_from_int(struct fp_env *env, const struct fp_format *f, u64 v, bool sign)
{
    if (!v)
        return make_zero(false);
    unsigned zeros = leading_zeros(v);
    return fp_round(env, f, sign, 63 - (s32)zeros, v << zeros, 0);
}

u64 fp_to_int(struct fp_env *env, struct fp a, unsigned bits, enum fp_rounding rounding)
{
    u64 indefinite = (u64)-1 << (bits - 1);
    if (a.cls == FPC_ZERO)
        return 0;
    if (a.cls != FPC_FINITE || a.exp > 63) {
        env->flags |= FP_IE;
        return indefinite;
    }
    u8 flags = env->flags;
    bool carry;
    u64 v = integer_part(env, a, rounding, &carry);
    u64 limit = BIT(bits - 1);
    if (carry || v > limit || (v == limit && !a.sign)) {
        env->flags = flags | FP_IE;
        return indefinite;
    }
    return a.sign ? -v : v;
}

enum fp_relation fp_compare(struct fp_env *env, struct fp a, struct fp b, bool signal)
{
    if (unlikely(a.cls > FPC_INF || b.cls > FPC_INF)) {
        bool quiet_only = a.cls <= FPC_QNAN && b.cls <= FPC_QNAN;
        if (signal || !quiet_only)
            env->flags |= FP_IE;
        return FP_UNORDERED;
    }
    note_denormals(env, a, b);
    if (a.cls == FPC_ZERO && b.cls == FPC_ZERO)
        return FP_EQUAL;
    if (a.cls == FPC_ZERO)
        return b.sign ? FP_GREATER : FP_LESS;
    if (b.cls == FPC_ZERO)
        return a.sign ? FP_LESS : FP_GREATER;
    if (a.sign != b.sign)
        return a.sign ? FP_LESS : FP_GREATER;
    s32 ea = a.cls == FPC_INF ? INT32_MAX : a.exp, eb = b.cls == FPC_INF ? INT32_MAX : b.exp;
    if (ea == eb && a.sig == b.sig)
        return FP_EQUAL;
    bool less = ea < eb || (ea == eb && a.sig < b.sig);
    return less != a.sign ? FP_LESS : FP_GREATER;
}
