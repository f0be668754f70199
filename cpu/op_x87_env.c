/* SPDX-License-Identifier: MIT */
/* x87: control and status words, the environment and the whole state in memory. */
#include "cpu/x87.h"

/* ---- Control and status ---- */

X87_HANDLER(x87_fldcw)
{
    u16 v;
    if (!x87_wait(cpu) || !mem_read16(cpu, i, &v))
        return false;
    fpu_set_fcw(cpu, v);
    return true;
}
X87_MEM(fldcw)

DEF_STORE(op_fnstcw, 16, cpu->fcw)
DEF_STORE(op_fnstsw, 16, cpu->fsw)
FAMILY_MEM(fnstcw, op_fnstcw);
FAMILY_MEM(fnstsw, op_fnstsw);

static HANDLER(op_fnstsw_ax)
{
    cpu->gpr[RAX] = (cpu->gpr[RAX] & ~UINT64_C(0xffff)) | cpu->fsw;
    NEXT;
}
static HANDLER(op_fnclex)
{
    cpu->fsw &= (u16) ~(FP_ALL | FSW_SF | FSW_ES | FSW_B);
    NEXT;
}
static HANDLER(op_fnop_nowait)
{
    NEXT;
}
FAMILY_SLOW(fnstsw_ax, op_fnstsw_ax, 0);
FAMILY_SLOW(fnclex, op_fnclex, 0);
FAMILY_SLOW(fnop_nowait, op_fnop_nowait, 0);

X87_HANDLER(x87_fninit)
{
    (void)i;
    fpu_init(cpu);
    return true;
}
X87_REG(fninit)

/* SDM "WAIT/FWAIT": CR0.EM does not matter. */
X87_HANDLER(x87_fwait)
{
    (void)i;
    if ((cpu->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS))
        return cpu_fault(cpu, EXC_NM);
    return x87_wait(cpu);
}
X87_REG(fwait)

/* ---- The environment: 14 or 28 bytes, in a protected-mode and a real-mode layout ---- */

#define ENV_MAX 28u
#define STATE_MAX (ENV_MAX + 80u)

static bool real_layout(const struct cpu *cpu)
{
    return !(cpu->mode & MODE_PE) || (cpu->mode & MODE_VM86);
}

static unsigned tag_of(const struct cpu *cpu, unsigned phys)
{
    if ((cpu->ftw_empty >> phys) & 1)
        return 3;
    const struct x87_reg *r = &cpu->st[phys];
    unsigned exp = r->se & 0x7fff;
    if (!exp && !r->mant)
        return 1;
    return exp == 0 || exp == 0x7fff || !(r->mant >> 63) ? 2 : 0;
}

static u16 tag_word(const struct cpu *cpu)
{
    unsigned tags = 0;
    for (unsigned n = 0; n < 8; n++)
        tags |= tag_of(cpu, n) << (2 * n);
    return (u16)tags;
}

static void set_tags(struct cpu *cpu, u16 word)
{
    cpu->ftw_empty = 0;
    for (unsigned n = 0; n < 8; n++)
        if (((word >> (2 * n)) & 3) == 3)
            cpu->ftw_empty |= (u8)(1u << n);
}

/* A field of the environment: the 32-bit layouts have them in double words, unused bits set. */
static void put(u8 *env, unsigned n, u32 v, bool wide)
{
    if (wide)
        host_store32(env + 4 * n, v);
    else
        host_store16(env + 2 * n, (u16)v);
}
static u32 get(const u8 *env, unsigned n, bool wide)
{
    return wide ? host_load32(env + 4 * n) : host_load16(env + 2 * n);
}

static unsigned env_size(bool wide)
{
    return wide ? 28 : 14;
}

static void env_build(const struct cpu *cpu, u8 *env, bool wide)
{
    put(env, 0, cpu->fcw | 0xffff0000u, wide);
    put(env, 1, cpu->fsw | 0xffff0000u, wide);
    put(env, 2, tag_word(cpu) | 0xffff0000u, wide);
    u32 fop = cpu->fop & 0x7ff;
    if (!real_layout(cpu)) {
        put(env, 3, (u32)cpu->fip, wide);
        put(env, 4, wide ? cpu->fcs | fop << 16 : cpu->fcs, wide);
        put(env, 5, (u32)cpu->fdp, wide);
        put(env, 6, cpu->fds | 0xffff0000u, wide);
        return;
    }
    /* Linear addresses; the upper bits above the opcode. */
    u32 fip = ((u32)cpu->fcs << 4) + (u32)cpu->fip, fdp = ((u32)cpu->fds << 4) + (u32)cpu->fdp;
    put(env, 3, wide ? (fip & 0xffff) | 0xffff0000u : fip, wide);
    put(env, 4, fip >> 16 << 12 | fop, wide);
    put(env, 5, wide ? (fdp & 0xffff) | 0xffff0000u : fdp, wide);
    put(env, 6, fdp >> 16 << 12, wide);
}

static void env_apply(struct cpu *cpu, const u8 *env, bool wide)
{
    cpu->fsw = (u16)get(env, 1, wide);
    set_tags(cpu, (u16)get(env, 2, wide));
    u32 third = get(env, 3, wide), fourth = get(env, 4, wide), sixth = get(env, 6, wide);
    if (!real_layout(cpu)) {
        cpu->fip = third;
        cpu->fcs = (u16)fourth;
        cpu->fop = wide ? (u16)(fourth >> 16 & 0x7ff) : 0;
        cpu->fdp = get(env, 5, wide);
        cpu->fds = (u16)sixth;
    } else {
        u32 high = wide ? 0xffff : 0xf;
        cpu->fip = (third & 0xffff) | (fourth >> 12 & high) << 16;
        cpu->fop = (u16)(fourth & 0x7ff);
        cpu->fdp = (get(env, 5, wide) & 0xffff) | (sixth >> 12 & high) << 16;
        cpu->fcs = cpu->fds = 0;
    }
    fpu_set_fcw(cpu, (u16)get(env, 0, wide));
}

/* ---- Memory: more than an access can hold, so probed before and moved piecewise ---- */

static bool block_read(struct cpu *cpu, const struct insn *i, u8 *to, unsigned size)
{
    u64 lin;
    if (!mem_linear(cpu, i, size, ACC_READ, &lin))
        return false;
    for (unsigned done = 0; done < size; done += 2)
        if (!lin_read(cpu, i, cpu->mode & MODE_64 ? lin + done : (u32)(lin + done), to + done, 2,
                      ACC_READ))
            return false;
    return true;
}

static bool block_write(struct cpu *cpu, const struct insn *i, const u8 *from, unsigned size)
{
    u64 lin;
    if (!mem_linear(cpu, i, size, ACC_WRITE, &lin))
        return false;
    for (int probe = 1; probe >= 0; probe--)
        for (unsigned done = 0; done < size; done += 2) {
            u64 at = cpu->mode & MODE_64 ? lin + done : (u32)(lin + done);
            if (!(probe ? lin_probe(cpu, i, at, 2, ACC_WRITE)
                        : lin_write(cpu, i, at, from + done, 2, ACC_WRITE)))
                return false;
        }
    return true;
}

/* ---- FNSTENV, FLDENV, FNSAVE, FRSTOR ---- */

static bool store_env(struct cpu *cpu, const struct insn *i, bool wide)
{
    u8 env[ENV_MAX];
    env_build(cpu, env, wide);
    if (!block_write(cpu, i, env, env_size(wide)))
        return false;
    fpu_set_fcw(cpu, cpu->fcw | FP_ALL);
    return true;
}

static bool load_env(struct cpu *cpu, const struct insn *i, bool wide)
{
    u8 env[ENV_MAX];
    if (!x87_wait(cpu) || !block_read(cpu, i, env, env_size(wide)))
        return false;
    env_apply(cpu, env, wide);
    return true;
}

static bool store_state(struct cpu *cpu, const struct insn *i, bool wide)
{
    u8 state[STATE_MAX];
    unsigned at = env_size(wide);
    env_build(cpu, state, wide);
    for (unsigned n = 0; n < 8; n++, at += 10) {
        host_store64(state + at, x87_reg(cpu, n)->mant);
        host_store16(state + at + 8, x87_reg(cpu, n)->se);
    }
    if (!block_write(cpu, i, state, at))
        return false;
    fpu_init(cpu);
    return true;
}

static bool load_state(struct cpu *cpu, const struct insn *i, bool wide)
{
    u8 state[STATE_MAX];
    unsigned at = env_size(wide);
    if (!x87_wait(cpu) || !block_read(cpu, i, state, at + 80))
        return false;
    env_apply(cpu, state, wide);
    for (unsigned n = 0; n < 8; n++, at += 10)
        *x87_reg(cpu, n) = (struct x87_reg){host_load64(state + at), host_load16(state + at + 8)};
    return true;
}

/* [W16] has the 16-bit layout. */
#define BY_SIZE(name, fn)                                                                          \
    X87_HANDLER(x87_##name##16)                                                                    \
    {                                                                                              \
        return fn(cpu, i, false);                                                                  \
    }                                                                                              \
    X87_HANDLER(x87_##name##32)                                                                    \
    {                                                                                              \
        return fn(cpu, i, true);                                                                   \
    }                                                                                              \
    DEF_SLOW(op_##name##16_gen, x87_##name##16)                                                    \
    DEF_SLOW(op_##name##32_gen, x87_##name##32)                                                    \
    const struct op_family fam_##name = {                                                          \
        {{FORMS_SLOW(0, op_##name##32_gen), FORMS_SLOW(0, op_##name##16_gen),                      \
          FORMS_SLOW(0, op_##name##32_gen), FORMS_SLOW(0, op_##name##32_gen)},                     \
         {{0}}}};
BY_SIZE(fnstenv, store_env)
BY_SIZE(fldenv, load_env)
BY_SIZE(fnsave, store_state)
BY_SIZE(frstor, load_state)
