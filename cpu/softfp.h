/* SPDX-License-Identifier: MIT */
/*
 * Exact binary floating point in integers, for SSE and x87: every rounding mode, precision and
 * exception flag. Values are unpacked, worked on and rounded to a format; NaNs follow the rules of
 * the unit (SDM "Rules for Handling NaNs" for SSE, "Operating on NaNs" for x87).
 */
#ifndef CPU_SOFTFP_H
#define CPU_SOFTFP_H

#include "base/types.h"

/* Exception flags, as in MXCSR and the x87 status word. */
#define FP_IE 0x01u
#define FP_DE 0x02u
#define FP_ZE 0x04u
#define FP_OE 0x08u
#define FP_UE 0x10u
#define FP_PE 0x20u
#define FP_ALL 0x3fu
#define FP_BEFORE (FP_IE | FP_DE | FP_ZE) /* found before the operation is made */

enum fp_rounding { FP_NEAREST, FP_DOWN, FP_UP, FP_CHOP };

/* SPECIAL: an x87 encoding that is none of the others (pseudo-NaN, pseudo-infinity, unnormal). */
enum fp_class { FPC_ZERO, FPC_FINITE, FPC_INF, FPC_QNAN, FPC_SNAN, FPC_SPECIAL };

/*
 * FINITE: (-1)^sign * sig * 2^(exp - 63), sig's bit 63 set. NaN: the fraction left-aligned in sig,
 * the quiet bit being bit 62, with bit 63 set.
 */
struct fp {
    u64 sig;
    s32 exp;
    u8 cls;
    bool sign;
    bool denormal; /* it was in the source format */
};

struct fp_format {
    u8 prec;        /* significand bits, the leading one included */
    s32 emin, emax; /* exponents of normal numbers */
    s32 wrap;       /* x87: exponent adjustment of unmasked overflow and underflow */
};
extern const struct fp_format fp_f32, fp_f64, fp_f80;
/* x87 registers under precision control: 24 or 53 bits with the range of the 80-bit format. */
extern const struct fp_format fp_x24, fp_x53;

struct fp_env {
    u8 rounding; /* enum fp_rounding */
    u8 masks;    /* FP_* that are masked */
    u8 flags;    /* FP_* that were found; the caller clears them */
    bool daz, ftz;
    bool x87; /* NaN rules and wrapped results of x87 */
    bool up;  /* the last rounding made the magnitude larger (x87 C1) */
};

struct fp fp_unpack32(const struct fp_env *env, u32 v);
struct fp fp_unpack64(const struct fp_env *env, u64 v);
struct fp fp_unpack80(u64 mant, u16 se);
/* Of values that the last operation rounded to that format. */
u32 fp_pack32(struct fp v);
u64 fp_pack64(struct fp v);
void fp_pack80(struct fp v, u64 *mant, u16 *se);

struct fp fp_add(struct fp_env *env, const struct fp_format *f, struct fp a, struct fp b);
struct fp fp_sub(struct fp_env *env, const struct fp_format *f, struct fp a, struct fp b);
struct fp fp_mul(struct fp_env *env, const struct fp_format *f, struct fp a, struct fp b);
struct fp fp_div(struct fp_env *env, const struct fp_format *f, struct fp a, struct fp b);
struct fp fp_sqrt(struct fp_env *env, const struct fp_format *f, struct fp a);
/* To another format; SNaNs become quiet. */
struct fp fp_convert(struct fp_env *env, const struct fp_format *f, struct fp a);
/* To an integral value in the format. No denormal flag for SSE's sake: set it where it applies. */
struct fp fp_round_int(struct fp_env *env, struct fp a, enum fp_rounding rounding);
/* The integer v, negative if sign, rounded. */
struct fp fp_from_int(struct fp_env *env, const struct fp_format *f, u64 v, bool sign);
/* To a signed integer of `bits` bits; out of range and NaN: IE and the integer indefinite. */
u64 fp_to_int(struct fp_env *env, struct fp a, unsigned bits, enum fp_rounding rounding);

/* Rounds (-1)^sign * (sig + ext * 2^-64) * 2^(exp - 63), sig's bit 63 set, ext's low bit sticky. */
struct fp fp_round(struct fp_env *env, const struct fp_format *f, bool sign, s32 exp, u64 sig,
                   u64 ext);

enum fp_relation { FP_LESS, FP_EQUAL, FP_GREATER, FP_UNORDERED };
/* Flags: IE for SNaN, and for QNaN too if `signal`; DE for denormals. */
enum fp_relation fp_compare(struct fp_env *env, struct fp a, struct fp b, bool signal);

static inline bool fp_is_nan(struct fp a)
{
    return a.cls == FPC_QNAN || a.cls == FPC_SNAN;
}
/* The result of invalid operations: "QNaN floating-point indefinite". */
struct fp fp_indefinite(void);
/* The NaN that results from operands of which one is a NaN; flags IE for a signalling one. */
struct fp fp_propagate(struct fp_env *env, struct fp a, struct fp b);

#endif
