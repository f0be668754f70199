/* SPDX-License-Identifier: MIT */
/* x87: exceptions and the stack; loads, stores, moves, constants. */
#include "cpu/x87.h"

#include "cpu/cpuid.h"

/* ---- Pointers and exceptions ---- */

void x87_note(struct cpu *cpu, const struct insn *i, bool memory)
{
    bool segments = !cpuid_has(cpu->model, FEAT_ZERO_FCS_FDS);
    cpu->fip = insn_rip(i);
    cpu->fcs = segments ? cpu->seg[SEG_CS].selector : 0;
    if (!memory || cpuid_has(cpu->model, FEAT_FDP_EXCPTN_ONLY))
        return;
    cpu->fdp = mem_offset(cpu, i);
    cpu->fds = segments ? cpu->seg[INSN_SEG(i)].selector : 0;
}

static bool is_prefix(const struct cpu *cpu, u8 b)
{
    switch (b) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65:
    case 0x66:
    case 0x67:
    case 0xf2:
    case 0xf3:
        return true;
    default:
        return (cpu->mode & MODE_64) && (b & 0xf0) == 0x40;
    }
}

/*
 * FOP and FDP are wanted only when an unmasked exception is noted (SDM "Fopcode Compatibility
 * Sub-mode"), so the opcode is read back from the code instead of being kept in every record.
 */
static void note_unmasked(struct cpu *cpu, const struct insn *i)
{
    u8 code[15];
    unsigned len = INSN_LEN(i), at = 0;
    struct exception saved = cpu->exc;
    struct vm_exit exit = cpu->exit;
    u64 lin = cpu->seg[SEG_CS].base + insn_rip(i);
    bool ok = lin_read(cpu, i, cpu->mode & MODE_64 ? insn_rip(i) : (u32)lin, code, len, ACC_READ);
    cpu->exc = saved;
    cpu->exit = exit;
    while (ok && at + 1 < len && is_prefix(cpu, code[at]))
        at++;
    if (!ok || at + 1 >= len)
        return;
    cpu->fop = (u16)((code[at] & 7) << 8 | code[at + 1]);
    if (code[at + 1] < 0xc0 && cpuid_has(cpu->model, FEAT_FDP_EXCPTN_ONLY))
        cpu->fdp = mem_offset(cpu, i);
}

struct fp_env x87_env(const struct cpu *cpu)
{
    return (struct fp_env){
        .rounding = (cpu->fcw >> 10) & 3, .masks = cpu->fcw & FP_ALL, .x87 = true};
}

const struct fp_format *x87_format(const struct cpu *cpu)
{
    switch ((cpu->fcw >> 8) & 3) {
    case 0:
        return &fp_x24;
    case 2:
        return &fp_x53;
    default:
        return &fp_f80;
    }
}

bool x87_raise(struct cpu *cpu, const struct insn *i, unsigned flags, bool c1)
{
    unsigned unmasked = ~cpu->fcw & FP_ALL;
    bool before = flags & unmasked & FP_BEFORE;
    if (before)
        flags &= FP_BEFORE | FSW_SF;
    cpu->fsw &= (u16)~FSW_C1;
    if (c1 && (!before || (flags & FSW_SF)))
        cpu->fsw |= FSW_C1;
    cpu->fsw |= (u16)flags;
    if (unlikely(flags & unmasked)) {
        cpu->fsw |= FSW_ES | FSW_B;
        note_unmasked(cpu, i);
    }
    return !before;
}

bool x87_store_allowed(const struct cpu *cpu, unsigned flags)
{
    return !(flags & ~cpu->fcw & (FP_BEFORE | FP_OE | FP_UE));
}

void x87_push_checked(struct cpu *cpu, const struct insn *i, struct fp v)
{
    if (likely(x87_empty(cpu, 7))) {
        cpu->fsw &= (u16)~FSW_C1;
        x87_push(cpu, v);
    } else if (x87_overflow(cpu, i)) {
        x87_push(cpu, fp_indefinite());
    }
}

/* ---- Loads ---- */

/* A single or double: exact, but a denormal or signalling NaN is an exception. */
static void load_converted(struct cpu *cpu, const struct insn *i, struct fp v)
{
    x87_note(cpu, i, true);
    if (unlikely(!x87_empty(cpu, 7))) {
        x87_push_checked(cpu, i, v);
        return;
    }
    struct fp_env env = x87_env(cpu);
    v = fp_convert(&env, &fp_f80, v);
    x87_raise(cpu, i, env.flags, false);
    /* A denormal is loaded even when its exception is unmasked. */
    if (!(env.flags & ~cpu->fcw & FP_IE))
        x87_push(cpu, v);
}

X87_HANDLER(x87_fld_m32)
{
    struct fp_env env = {0};
    u32 v;
    if (!x87_wait(cpu) || !mem_read32(cpu, i, &v))
        return false;
    load_converted(cpu, i, fp_unpack32(&env, v));
    return true;
}
X87_HANDLER(x87_fld_m64)
{
    struct fp_env env = {0};
    u64 v;
    if (!x87_wait(cpu) || !mem_read64(cpu, i, &v))
        return false;
    load_converted(cpu, i, fp_unpack64(&env, v));
    return true;
}

/* Ten bytes as they are. */
static void load_raw(struct cpu *cpu, const struct insn *i, struct x87_reg v)
{
    bool room = x87_empty(cpu, 7);
    x87_push_checked(cpu, i, fp_indefinite());
    if (room)
        *x87_reg(cpu, 0) = v;
}

X87_HANDLER(x87_fld_m80)
{
    u8 b[10];
    if (!x87_wait(cpu) || !mem_read(cpu, i, b, 10))
        return false;
    x87_note(cpu, i, true);
    load_raw(cpu, i, (struct x87_reg){.mant = host_load64(b), .se = host_load16(b + 8)});
    return true;
}
X87_HANDLER(x87_fld_st)
{
    if (!x87_wait(cpu))
        return false;
    x87_note(cpu, i, false);
    if (unlikely(x87_empty(cpu, i->rm))) {
        if (x87_underflow(cpu, i))
            x87_push(cpu, fp_indefinite());
        return true;
    }
    load_raw(cpu, i, *x87_reg(cpu, i->rm));
    return true;
}

static void load_int(struct cpu *cpu, const struct insn *i, s64 v)
{
    struct fp_env env = {0};
    x87_note(cpu, i, true);
    u64 magnitude = v < 0 ? -(u64)v : (u64)v;
    x87_push_checked(cpu, i, fp_from_int(&env, &fp_f80, magnitude, v < 0));
}
#define FILD(bits)                                                                                 \
    X87_HANDLER(x87_fild_m##bits)                                                                  \
    {                                                                                              \
        u##bits v;                                                                                 \
        if (!x87_wait(cpu) || !mem_read##bits(cpu, i, &v))                                         \
            return false;                                                                          \
        load_int(cpu, i, (s##bits)v);                                                              \
        return true;                                                                               \
    }                                                                                              \
    X87_MEM(fild_m##bits)
FILD(16)
FILD(32)
FILD(64)

X87_HANDLER(x87_fbld)
{
    u8 b[10];
    if (!x87_wait(cpu) || !mem_read(cpu, i, b, 10))
        return false;
    u64 v = 0;
    for (int n = 8; n >= 0; n--)
        v = v * 100 + (u64)(b[n] >> 4) * 10 + (b[n] & 15);
    struct fp_env env = {0};
    struct fp f = fp_from_int(&env, &fp_f80, v, b[9] >> 7);
    f.sign = b[9] >> 7;
    x87_note(cpu, i, true);
    x87_push_checked(cpu, i, f);
    return true;
}

/* ---- Stores ---- */

/*
 * The common part: value and flags are known; writes unless an unmasked exception forbids it, then
 * notes the exceptions and pops.
 */
struct x87_store {
    u8 bytes[10];
    u8 size;
    bool pop, up;
    unsigned flags;
};

static bool store(struct cpu *cpu, const struct insn *i, const struct x87_store *s)
{
    bool allowed = x87_store_allowed(cpu, s->flags);
    if (allowed && !mem_write(cpu, i, s->bytes, s->size))
        return false;
    x87_note(cpu, i, true);
    /* What isn't stored isn't rounded. */
    x87_raise(cpu, i, allowed ? s->flags : s->flags & ~FP_PE, s->up && allowed);
    if (allowed && s->pop)
        x87_pop(cpu);
    return true;
}

/* ST(0), or the indefinite with the flags of a stack fault. */
static struct fp store_source(struct cpu *cpu, unsigned *flags)
{
    if (likely(!x87_empty(cpu, 0)))
        return x87_get(cpu, 0);
    *flags = FP_IE | FSW_SF;
    return fp_indefinite();
}

static bool store_float(struct cpu *cpu, const struct insn *i, unsigned bits, bool pop)
{
    if (!x87_wait(cpu))
        return false;
    struct x87_store s = {.size = (u8)(bits / 8), .pop = pop};
    struct fp v = store_source(cpu, &s.flags);
    struct fp_env env = x87_env(cpu);
    v.denormal = false; /* no exception here */
    if (bits == 32)
        host_store32(s.bytes, fp_pack32(fp_convert(&env, &fp_f32, v)));
    else
        host_store64(s.bytes, fp_pack64(fp_convert(&env, &fp_f64, v)));
    s.flags |= env.flags;
    s.up = env.up;
    return store(cpu, i, &s);
}

/* rounding: enum fp_rounding, negative: as the control word says. */
static bool store_int(struct cpu *cpu, const struct insn *i, unsigned bits, int rounding, bool pop)
{
    if (!x87_wait(cpu))
        return false;
    struct x87_store s = {.size = (u8)(bits / 8), .pop = pop};
    struct fp v = store_source(cpu, &s.flags);
    struct fp_env env = x87_env(cpu);
    u64 r = fp_to_int(&env, v, bits, rounding < 0 ? env.rounding : (enum fp_rounding)rounding);
    host_store64(s.bytes, r);
    s.flags |= env.flags;
    s.up = env.up && !(env.flags & FP_IE);
    return store(cpu, i, &s);
}
#define STORE(name, call)                                                                          \
    X87_HANDLER(x87_##name)                                                                        \
    {                                                                                              \
        return call;                                                                               \
    }                                                                                              \
    X87_MEM(name)
STORE(fst_m32, store_float(cpu, i, 32, false))
STORE(fst_m64, store_float(cpu, i, 64, false))
STORE(fstp_m32, store_float(cpu, i, 32, true))
STORE(fstp_m64, store_float(cpu, i, 64, true))
STORE(fist_m16, store_int(cpu, i, 16, -1, false))
STORE(fist_m32, store_int(cpu, i, 32, -1, false))
STORE(fistp_m16, store_int(cpu, i, 16, -1, true))
STORE(fistp_m32, store_int(cpu, i, 32, -1, true))
STORE(fistp_m64, store_int(cpu, i, 64, -1, true))
STORE(fisttp_m16, store_int(cpu, i, 16, FP_CHOP, true))
STORE(fisttp_m32, store_int(cpu, i, 32, FP_CHOP, true))
STORE(fisttp_m64, store_int(cpu, i, 64, FP_CHOP, true))

X87_HANDLER(x87_fstp_m80)
{
    if (!x87_wait(cpu))
        return false;
    struct x87_store s = {.size = 10, .pop = true};
    struct x87_reg r = *x87_reg(cpu, 0);
    if (unlikely(x87_empty(cpu, 0))) {
        s.flags = FP_IE | FSW_SF;
        fp_pack80(fp_indefinite(), &r.mant, &r.se);
    }
    host_store64(s.bytes, r.mant);
    host_store16(s.bytes + 8, r.se);
    return store(cpu, i, &s);
}

/* 18 decimal digits and a sign. */
X87_HANDLER(x87_fbstp)
{
    if (!x87_wait(cpu))
        return false;
    struct x87_store s = {.size = 10, .pop = true};
    struct fp v = store_source(cpu, &s.flags);
    struct fp_env env = x87_env(cpu);
    s64 r = (s64)fp_to_int(&env, v, 64, env.rounding);
    u64 magnitude = r < 0 ? -(u64)r : (u64)r;
    if ((env.flags & FP_IE) || magnitude > UINT64_C(999999999999999999)) {
        env.flags = FP_IE;
        memcpy(s.bytes, "\0\0\0\0\0\0\0\xc0\xff\xff", 10); /* packed BCD indefinite */
    } else {
        for (unsigned n = 0; n < 9; n++, magnitude /= 100)
            s.bytes[n] = (u8)(magnitude / 10 % 10 << 4 | magnitude % 10);
        s.bytes[9] = (u8)(v.sign << 7);
        s.up = env.up;
    }
    s.flags |= env.flags;
    return store(cpu, i, &s);
}

X87_MEM(fld_m32)
X87_MEM(fld_m64)
X87_MEM(fld_m80)
X87_MEM(fbld)
X87_MEM(fstp_m80)
X87_MEM(fbstp)
X87_REG(fld_st)

/* ---- Moves between registers ---- */

static bool store_register(struct cpu *cpu, const struct insn *i, bool pop)
{
    if (!x87_wait(cpu))
        return false;
    x87_note(cpu, i, false);
    if (unlikely(x87_empty(cpu, 0))) {
        if (!x87_underflow(cpu, i))
            return true;
        x87_put(cpu, i->rm, fp_indefinite());
    } else {
        *x87_reg(cpu, i->rm) = *x87_reg(cpu, 0);
        cpu->ftw_empty &= (u8) ~(1u << fpu_phys(cpu, i->rm));
        cpu->fsw &= (u16)~FSW_C1;
    }
    if (pop)
        x87_pop(cpu);
    return true;
}
X87_HANDLER(x87_fst_st)
{
    return store_register(cpu, i, false);
}
X87_HANDLER(x87_fstp_st)
{
    return store_register(cpu, i, true);
}

X87_HANDLER(x87_fxch)
{
    if (!x87_wait(cpu))
        return false;
    x87_note(cpu, i, false);
    if (unlikely(x87_empty(cpu, 0) || x87_empty(cpu, i->rm))) {
        if (!x87_underflow(cpu, i))
            return true;
        if (x87_empty(cpu, 0))
            x87_put(cpu, 0, fp_indefinite());
        if (x87_empty(cpu, i->rm))
            x87_put(cpu, i->rm, fp_indefinite());
    } else {
        cpu->fsw &= (u16)~FSW_C1;
    }
    struct x87_reg swap = *x87_reg(cpu, 0);
    *x87_reg(cpu, 0) = *x87_reg(cpu, i->rm);
    *x87_reg(cpu, i->rm) = swap;
    return true;
}

static bool move_if(struct cpu *cpu, const struct insn *i, bool condition)
{
    if (!x87_wait(cpu))
        return false;
    x87_note(cpu, i, false);
    if (unlikely(x87_empty(cpu, 0) || x87_empty(cpu, i->rm))) {
        if (x87_underflow(cpu, i))
            x87_put(cpu, 0, fp_indefinite());
        return true;
    }
    if (condition)
        *x87_reg(cpu, 0) = *x87_reg(cpu, i->rm);
    return true;
}
/* cc: that of the corresponding CMOVcc */
#define FCMOV(name, cc)                                                                            \
    X87_HANDLER(x87_##name)                                                                        \
    {                                                                                              \
        return move_if(cpu, i, cpu_condition(cpu, cc));                                            \
    }                                                                                              \
    X87_REG(name)
FCMOV(fcmovb, 2)
FCMOV(fcmovnb, 3)
FCMOV(fcmove, 4)
FCMOV(fcmovne, 5)
FCMOV(fcmovbe, 6)
FCMOV(fcmovnbe, 7)
FCMOV(fcmovu, 10)
FCMOV(fcmovnu, 11)

static bool change_sign(struct cpu *cpu, const struct insn *i, u16 keep, u16 flip)
{
    if (!x87_wait(cpu))
        return false;
    x87_note(cpu, i, false);
    if (unlikely(x87_empty(cpu, 0))) {
        if (x87_underflow(cpu, i))
            x87_put(cpu, 0, fp_indefinite());
        return true;
    }
    struct x87_reg *r = x87_reg(cpu, 0);
    r->se = (r->se & keep) ^ flip;
    cpu->fsw &= (u16)~FSW_C1;
    return true;
}
X87_HANDLER(x87_fchs)
{
    return change_sign(cpu, i, 0xffff, 0x8000);
}
X87_HANDLER(x87_fabs)
{
    return change_sign(cpu, i, 0x7fff, 0);
}
X87_REG(fst_st)
X87_REG(fstp_st)
X87_REG(fxch)
X87_REG(fchs)
X87_REG(fabs)

/* ---- Constants: kept with 128 bits and rounded as the rounding control says ---- */

static bool load_constant(struct cpu *cpu, const struct insn *i, s32 exp, u64 sig, u64 ext)
{
    if (!x87_wait(cpu))
        return false;
    x87_note(cpu, i, false);
    struct fp_env env = x87_env(cpu);
    struct fp v = {.cls = FPC_ZERO};
    if (sig)
        v = fp_round(&env, &fp_f80, false, exp, sig, ext);
    x87_push_checked(cpu, i, v);
    return true;
}
#define CONSTANT(name, exp, sig, ext)                                                              \
    X87_HANDLER(x87_##name)                                                                        \
    {                                                                                              \
        return load_constant(cpu, i, exp, UINT64_C(sig), UINT64_C(ext));                           \
    }                                                                                              \
    X87_REG(name)
CONSTANT(fld1, 0, 0x8000000000000000, 0)
CONSTANT(fldl2t, 1, 0xd49a784bcd1b8afe, 0x492bf6ff4dafdb4d)
CONSTANT(fldl2e, 0, 0xb8aa3b295c17f0bb, 0xbe87fed0691d3e88)
CONSTANT(fldpi, 1, 0xc90fdaa22168c234, 0xc4c6628b80dc1cd1)
CONSTANT(fldlg2, -2, 0x9a209a84fbcff798, 0x8f8959ac0b7c9178)
CONSTANT(fldln2, -1, 0xb17217f7d1cf79ab, 0xc9e3b39803f2f6af)
CONSTANT(fldz, 0, 0, 0)

/* ---- The stack itself ---- */

#define MANAGE(name, ...)                                                                          \
    X87_HANDLER(x87_##name)                                                                        \
    {                                                                                              \
        if (!x87_wait(cpu))                                                                        \
            return false;                                                                          \
        x87_note(cpu, i, false);                                                                   \
        __VA_ARGS__;                                                                               \
        return true;                                                                               \
    }                                                                                              \
    X87_REG(name)
MANAGE(fnop, (void)i)
MANAGE(ffree, cpu->ftw_empty |= (u8)(1u << fpu_phys(cpu, i->rm)); cpu->fsw &= (u16)~FSW_C1)
MANAGE(ffreep, cpu->ftw_empty |= (u8)(1u << fpu_phys(cpu, i->rm)); cpu->fsw &= (u16)~FSW_C1;
       x87_pop(cpu))
MANAGE(fdecstp, fpu_set_top(cpu, fpu_top(cpu) - 1); cpu->fsw &= (u16)~FSW_C1)
MANAGE(fincstp, fpu_set_top(cpu, fpu_top(cpu) + 1); cpu->fsw &= (u16)~FSW_C1)
