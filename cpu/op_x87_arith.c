/* SPDX-License-Identifier: MIT */
/* x87: arithmetic of two operands, comparisons, and what goes with them. */
#include "cpu/x87.h"

typedef struct fp binary_fn(struct fp_env *env, const struct fp_format *f, struct fp a,
                            struct fp b);

static struct fp subr(struct fp_env *env, const struct fp_format *f, struct fp a, struct fp b)
{
    return fp_sub(env, f, b, a);
}
static struct fp divr(struct fp_env *env, const struct fp_format *f, struct fp a, struct fp b)
{
    return fp_div(env, f, b, a);
}

/* ST(dst) = fn(a, b). False: an unmasked exception, no pop. */
static bool compute(struct cpu *cpu, const struct insn *i, unsigned dst, binary_fn *fn,
                    const struct fp operand[2])
{
    struct fp_env env = x87_env(cpu);
    struct fp r = fn(&env, x87_format(cpu), operand[0], operand[1]);
    if (!x87_raise(cpu, i, env.flags, env.up))
        return false;
    x87_put(cpu, dst, r);
    return true;
}

/* ST(dst) = fn(ST(dst), ST(src)) */
static bool registers(struct cpu *cpu, const struct insn *i, unsigned dst, unsigned src,
                      binary_fn *fn)
{
    x87_note(cpu, i, false);
    if (unlikely(x87_empty(cpu, dst) || x87_empty(cpu, src))) {
        if (!x87_underflow(cpu, i))
            return false;
        x87_put(cpu, dst, fp_indefinite());
        return true;
    }
    return compute(cpu, i, dst, fn, (struct fp[2]){x87_get(cpu, dst), x87_get(cpu, src)});
}

static bool with_memory(struct cpu *cpu, const struct insn *i, struct fp b, binary_fn *fn)
{
    x87_note(cpu, i, true);
    if (unlikely(x87_empty(cpu, 0))) {
        if (x87_underflow(cpu, i))
            x87_put(cpu, 0, fp_indefinite());
        return true;
    }
    compute(cpu, i, 0, fn, (struct fp[2]){x87_get(cpu, 0), b});
    return true;
}

/* The memory operand as a number; false: fault. */
enum operand_kind { KIND_M32, KIND_M64, KIND_I16, KIND_I32 };

static struct fp from_int(s64 v)
{
    struct fp_env env = {0};
    return fp_from_int(&env, &fp_f80, v < 0 ? -(u64)v : (u64)v, v < 0);
}

static bool operand(struct cpu *cpu, const struct insn *i, enum operand_kind kind, struct fp *v)
{
    static const u8 sizes[] = {4, 8, 2, 4};
    const struct fp_env env = {0};
    u64 raw = 0;
    if (!x87_wait(cpu) || !mem_read(cpu, i, &raw, sizes[kind]))
        return false;
    switch (kind) {
    case KIND_M32:
        *v = fp_unpack32(&env, (u32)raw);
        break;
    case KIND_M64:
        *v = fp_unpack64(&env, raw);
        break;
    case KIND_I16:
        *v = from_int((s16)raw);
        break;
    default:
        *v = from_int((s32)raw);
        break;
    }
    return true;
}

/*
 * In D8 ST(0) is the destination; in DC and DE ST(i) is, and the roles of minuend and subtrahend
 * follow the destination: FSUB ST(i), ST(0) is ST(i) - ST(0).
 */
#define ARITH_MEM(name, fn, suffix, kind)                                                          \
    X87_HANDLER(x87_##name##_##suffix)                                                             \
    {                                                                                              \
        struct fp v;                                                                               \
        return operand(cpu, i, kind, &v) && with_memory(cpu, i, v, fn);                            \
    }                                                                                              \
    X87_MEM(name##_##suffix)
#define ARITH(name, fn)                                                                            \
    ARITH_MEM(name, fn, m32, KIND_M32)                                                             \
    ARITH_MEM(name, fn, m64, KIND_M64)                                                             \
    ARITH_MEM(name, fn, i16, KIND_I16)                                                             \
    ARITH_MEM(name, fn, i32, KIND_I32)                                                             \
    X87_HANDLER(x87_##name##_st0)                                                                  \
    {                                                                                              \
        if (!x87_wait(cpu))                                                                        \
            return false;                                                                          \
        registers(cpu, i, 0, i->rm, fn);                                                           \
        return true;                                                                               \
    }                                                                                              \
    X87_HANDLER(x87_##name##_sti)                                                                  \
    {                                                                                              \
        if (!x87_wait(cpu))                                                                        \
            return false;                                                                          \
        registers(cpu, i, i->rm, 0, fn);                                                           \
        return true;                                                                               \
    }                                                                                              \
    X87_HANDLER(x87_##name##p)                                                                     \
    {                                                                                              \
        if (!x87_wait(cpu))                                                                        \
            return false;                                                                          \
        if (registers(cpu, i, i->rm, 0, fn))                                                       \
            x87_pop(cpu);                                                                          \
        return true;                                                                               \
    }                                                                                              \
    X87_REG(name##_st0)                                                                            \
    X87_REG(name##_sti)                                                                            \
    X87_REG(name##p)
ARITH(fadd, fp_add)
ARITH(fmul, fp_mul)
ARITH(fsub, fp_sub)
ARITH(fsubr, subr)
ARITH(fdiv, fp_div)
ARITH(fdivr, divr)

/* ---- Comparisons ---- */

static const u16 relation_cc[] = {
    [FP_LESS] = FSW_C0,
    [FP_EQUAL] = FSW_C3,
    [FP_GREATER] = 0,
    [FP_UNORDERED] = FSW_C0 | FSW_C2 | FSW_C3,
};

/*
 * What a comparison found. SDM "FCOM": with an unmasked invalid-operation exception the condition
 * codes are not set; with an unmasked denormal exception they are, as processors do, but nothing is
 * popped.
 */
struct finding {
    enum fp_relation rel;
    bool set, pop;
};

/* Compares ST(0) with b. */
static struct finding relate(struct cpu *cpu, const struct insn *i, struct fp b, bool signal)
{
    struct fp_env env = x87_env(cpu);
    struct finding f = {.rel = fp_compare(&env, x87_get(cpu, 0), b, signal)};
    f.pop = x87_raise(cpu, i, env.flags, false);
    f.set = !(env.flags & ~cpu->fcw & FP_IE);
    return f;
}

static struct finding missing(struct cpu *cpu, const struct insn *i)
{
    bool masked = x87_underflow(cpu, i);
    return (struct finding){FP_UNORDERED, masked, masked};
}

static struct finding relate_register(struct cpu *cpu, const struct insn *i, unsigned n,
                                      bool signal)
{
    x87_note(cpu, i, false);
    if (unlikely(x87_empty(cpu, 0) || x87_empty(cpu, n)))
        return missing(cpu, i);
    return relate(cpu, i, x87_get(cpu, n), signal);
}

static void finish(struct cpu *cpu, struct finding f, unsigned pops)
{
    if (f.set)
        cpu->fsw = (u16)((cpu->fsw & ~(FSW_C0 | FSW_C2 | FSW_C3)) | relation_cc[f.rel]);
    while (f.pop && pops--)
        x87_pop(cpu);
}

static bool compare(struct cpu *cpu, const struct insn *i, unsigned n, bool signal, unsigned pops)
{
    if (!x87_wait(cpu))
        return false;
    finish(cpu, relate_register(cpu, i, n, signal), pops);
    return true;
}

static bool compare_flags(struct cpu *cpu, const struct insn *i, bool signal, bool pop)
{
    static const u8 flags[] = {
        [FP_LESS] = FLAG_CF,
        [FP_EQUAL] = FLAG_ZF,
        [FP_GREATER] = 0,
        [FP_UNORDERED] = FLAG_ZF | FLAG_PF | FLAG_CF,
    };
    if (!x87_wait(cpu))
        return false;
    struct finding f = relate_register(cpu, i, i->rm, signal);
    if (f.set) {
        cpu->cc_op = CC_EFLAGS;
        cpu->cc_src = flags[f.rel];
    }
    if (f.pop && pop)
        x87_pop(cpu);
    return true;
}

static bool compare_memory(struct cpu *cpu, const struct insn *i, enum operand_kind kind, bool pop)
{
    struct fp v;
    if (!operand(cpu, i, kind, &v))
        return false;
    x87_note(cpu, i, true);
    finish(cpu, x87_empty(cpu, 0) ? missing(cpu, i) : relate(cpu, i, v, true), pop);
    return true;
}

#define COMPARE(name, call)                                                                        \
    X87_HANDLER(x87_##name)                                                                        \
    {                                                                                              \
        return call;                                                                               \
    }                                                                                              \
    X87_REG(name)
#define COMPARE_MEM(suffix, kind)                                                                  \
    X87_HANDLER(x87_fcom_##suffix)                                                                 \
    {                                                                                              \
        return compare_memory(cpu, i, kind, false);                                                \
    }                                                                                              \
    X87_HANDLER(x87_fcomp_##suffix)                                                                \
    {                                                                                              \
        return compare_memory(cpu, i, kind, true);                                                 \
    }                                                                                              \
    X87_MEM(fcom_##suffix)                                                                         \
    X87_MEM(fcomp_##suffix)
COMPARE_MEM(m32, KIND_M32)
COMPARE_MEM(m64, KIND_M64)
COMPARE_MEM(i16, KIND_I16)
COMPARE_MEM(i32, KIND_I32)
COMPARE(fcom_st0, compare(cpu, i, i->rm, true, 0))
COMPARE(fcomp_st0, compare(cpu, i, i->rm, true, 1))
COMPARE(fcompp, compare(cpu, i, 1, true, 2))
COMPARE(fucom, compare(cpu, i, i->rm, false, 0))
COMPARE(fucomp, compare(cpu, i, i->rm, false, 1))
COMPARE(fucompp, compare(cpu, i, 1, false, 2))
COMPARE(fcomi, compare_flags(cpu, i, true, false))
COMPARE(fcomip, compare_flags(cpu, i, true, true))
COMPARE(fucomi, compare_flags(cpu, i, false, false))
COMPARE(fucomip, compare_flags(cpu, i, false, true))

X87_HANDLER(x87_ftst)
{
    const struct fp zero = {.cls = FPC_ZERO};
    if (!x87_wait(cpu))
        return false;
    x87_note(cpu, i, false);
    finish(cpu, x87_empty(cpu, 0) ? missing(cpu, i) : relate(cpu, i, zero, true), 0);
    return true;
}

X87_HANDLER(x87_fxam)
{
    static const u16 classes[] = {
        [FPC_ZERO] = FSW_C3, [FPC_FINITE] = FSW_C2, [FPC_INF] = FSW_C2 | FSW_C0,
        [FPC_QNAN] = FSW_C0, [FPC_SNAN] = FSW_C0,   [FPC_SPECIAL] = 0,
    };
    if (!x87_wait(cpu))
        return false;
    x87_note(cpu, i, false);
    struct fp v = x87_get(cpu, 0);
    u16 cc = classes[v.cls];
    if (v.denormal)
        cc = FSW_C3 | FSW_C2;
    if (x87_empty(cpu, 0))
        cc = FSW_C3 | FSW_C0;
    cpu->fsw = (u16)((cpu->fsw & ~FSW_CC) | cc | (v.sign ? FSW_C1 : 0));
    return true;
}
X87_REG(ftst)
X87_REG(fxam)
