/* SPDX-License-Identifier: MIT */
/* Flag instructions, conversions, XLAT, CMPXCHG8B/16B, BOUND, hints and fences. */
#include "cpu/op_forms.h"

/* Slow ways are functions of their own: handlers must not have locals whose address is taken. */
#define SLOW_END(done)                                                                             \
    do {                                                                                           \
        if (!(done))                                                                               \
            return insn_fault(cpu, i);                                                             \
        SLOW_NEXT;                                                                                 \
    } while (0)

/* ---- Flags ---- */
static HANDLER(op_clc)
{
    NEED_CC_EFLAGS;
    cpu->cc_src &= ~FLAG_CF;
    NEXT;
}
static HANDLER(op_stc)
{
    NEED_CC_EFLAGS;
    cpu->cc_src |= FLAG_CF;
    NEXT;
}
static HANDLER(op_cmc)
{
    NEED_CC_EFLAGS;
    cpu->cc_src ^= FLAG_CF;
    NEXT;
}
static HANDLER(op_cld)
{
    cpu->eflags &= ~FLAG_DF;
    NEXT;
}
static HANDLER(op_std)
{
    cpu->eflags |= FLAG_DF;
    NEXT;
}
#define FLAGS_AH (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF)
static HANDLER(op_lahf)
{
    NEED_CC_EFLAGS;
    REG8(cpu, RAX * 8 + 1) = (u8)((cpu->cc_src & FLAGS_AH) | FLAG_1);
    NEXT;
}
static HANDLER(op_sahf)
{
    NEED_CC_EFLAGS;
    cpu->cc_src = (cpu->cc_src & FLAG_OF) | (REG8(cpu, RAX * 8 + 1) & FLAGS_AH);
    NEXT;
}
static HANDLER(op_salc)
{
    REG8(cpu, RAX * 8) = (u8)(0 - cc_carry(cpu));
    NEXT;
}
FAMILY_ONE(clc, op_clc);
FAMILY_ONE(stc, op_stc);
FAMILY_ONE(cmc, op_cmc);
FAMILY_ONE(cld, op_cld);
FAMILY_ONE(std, op_std);
FAMILY_ONE(lahf, op_lahf);
FAMILY_ONE(sahf, op_sahf);
FAMILY_ONE(salc, op_salc);

/* ---- CBW, CWDE, CDQE; CWD, CDQ, CQO ---- */
static HANDLER(op_cbw16)
{
    SET_REG16(cpu, RAX * 8, SX(8, cpu->gpr[RAX]));
    NEXT;
}
static HANDLER(op_cbw32)
{
    SET_REG32(cpu, RAX * 8, SX(16, cpu->gpr[RAX]));
    NEXT;
}
static HANDLER(op_cbw64)
{
    cpu->gpr[RAX] = SX(32, cpu->gpr[RAX]);
    NEXT;
}
static HANDLER(op_cwd16)
{
    SET_REG16(cpu, RDX * 8, (s16)cpu->gpr[RAX] < 0 ? 0xffff : 0);
    NEXT;
}
static HANDLER(op_cwd32)
{
    SET_REG32(cpu, RDX * 8, (s32)cpu->gpr[RAX] < 0 ? UINT32_MAX : 0);
    NEXT;
}
static HANDLER(op_cwd64)
{
    cpu->gpr[RDX] = (u64)((s64)cpu->gpr[RAX] >> 63);
    NEXT;
}
const struct op_family fam_cbw = {{{[W16] = FORMS_ONLY_REG(op_cbw16),
                                    [W32] = FORMS_ONLY_REG(op_cbw32),
                                    [W64] = FORMS_ONLY_REG(op_cbw64)}}};
const struct op_family fam_cwd = {{{[W16] = FORMS_ONLY_REG(op_cwd16),
                                    [W32] = FORMS_ONLY_REG(op_cwd32),
                                    [W64] = FORMS_ONLY_REG(op_cwd64)}}};

/* ---- XLAT: AL = seg:[rBX + AL] ---- */
static NOINLINE bool xlat(struct cpu *cpu, const struct insn *i)
{
    static const u64 masks[4] = {0xffff, UINT32_MAX, UINT64_MAX, UINT64_MAX};
    u64 val, offset = (cpu->gpr[RBX] + (cpu->gpr[RAX] & 0xff)) & masks[EA_SIZE(i)];
    if (!seg_read(cpu, i, (enum seg_id)INSN_SEG(i), offset, &val, 1))
        return false;
    SET_REG8(cpu, RAX * 8, val);
    return true;
}
static HANDLER(xlat_slow)
{
    SLOW_END(xlat(cpu, i));
}
FAMILY_ONE(xlat, xlat_slow);

/* ---- CMPXCHG8B, CMPXCHG16B: ZF alone changes; the destination is written in any case ---- */
static void note_zero_flag(struct cpu *cpu, bool equal)
{
    u64 flags = cpu_status_flags(cpu) & ~FLAG_ZF;
    cpu_set_status_flags(cpu, flags | (equal ? FLAG_ZF : 0));
}

static NOINLINE bool cmpxchg8b(struct cpu *cpu, const struct insn *i)
{
    struct mem_rmw rmw;
    if (!mem_rmw_begin(cpu, i, 8, &rmw))
        return false;
    u64 expected = cpu->gpr[RDX] << 32 | (u32)cpu->gpr[RAX];
    u64 desired = cpu->gpr[RCX] << 32 | (u32)cpu->gpr[RBX];
    bool equal = rmw.value == expected;
    if (!equal) {
        cpu->gpr[RAX] = (u32)rmw.value;
        cpu->gpr[RDX] = rmw.value >> 32;
    }
    mem_rmw_end(cpu, i, &rmw, equal ? desired : rmw.value);
    note_zero_flag(cpu, equal);
    return true;
}

/* Alignment is checked before the page tables are. */
static NOINLINE bool cmpxchg16b(struct cpu *cpu, const struct insn *i)
{
    u64 lin, val[2];
    if (!mem_linear(cpu, i, 16, ACC_READ | ACC_WRITE, &lin))
        return false;
    if (lin & 15)
        return cpu_fault_gp(cpu, 0);
    if (!lin_probe(cpu, i, lin, 16, ACC_READ | ACC_WRITE) ||
        !lin_read(cpu, i, lin, val, 16, ACC_READ))
        return false;
    bool equal = val[0] == cpu->gpr[RAX] && val[1] == cpu->gpr[RDX];
    u64 desired[2] = {cpu->gpr[RBX], cpu->gpr[RCX]};
    if (!equal) {
        cpu->gpr[RAX] = val[0];
        cpu->gpr[RDX] = val[1];
    }
    lin_write(cpu, i, lin, equal ? desired : val, 16, ACC_WRITE);
    note_zero_flag(cpu, equal);
    return true;
}

static COLD HANDLER(cmpxchg8b_slow)
{
    SLOW_END(cmpxchg8b(cpu, i));
}
static COLD HANDLER(cmpxchg16b_slow)
{
    SLOW_END(cmpxchg16b(cpu, i));
}

/* The fast forms: allocators in kernels live on them. */
#define CMPXCHG8B_FORM(form, EA)                                                                   \
    static HANDLER(op_cmpxchg8b_##form)                                                            \
    {                                                                                              \
        NEED_CC_EFLAGS;                                                                            \
        u8 *p = fast_write(cpu, EA(cpu, i), 8);                                                    \
        if (unlikely(!p))                                                                          \
            return cmpxchg8b_slow(cpu, i);                                                         \
        u64 val = host_load64(p);                                                                  \
        if (val == (cpu->gpr[RDX] << 32 | (u32)cpu->gpr[RAX])) {                                   \
            host_store64(p, cpu->gpr[RCX] << 32 | (u32)cpu->gpr[RBX]);                             \
            cpu->cc_src |= FLAG_ZF;                                                                \
        } else {                                                                                   \
            cpu->gpr[RAX] = (u32)val;                                                              \
            cpu->gpr[RDX] = val >> 32;                                                             \
            cpu->cc_src &= ~FLAG_ZF;                                                               \
        }                                                                                          \
        NEXT;                                                                                      \
    }                                                                                              \
    static HANDLER(op_cmpxchg16b_##form)                                                           \
    {                                                                                              \
        NEED_CC_EFLAGS;                                                                            \
        u64 va = EA(cpu, i);                                                                       \
        u8 *p = fast_write(cpu, va, 16);                                                           \
        if (unlikely(!p || (va & 15)))                                                             \
            return cmpxchg16b_slow(cpu, i);                                                        \
        u64 low = host_load64(p), high = host_load64(p + 8);                                       \
        if (low == cpu->gpr[RAX] && high == cpu->gpr[RDX]) {                                       \
            host_store64(p, cpu->gpr[RBX]);                                                        \
            host_store64(p + 8, cpu->gpr[RCX]);                                                    \
            cpu->cc_src |= FLAG_ZF;                                                                \
        } else {                                                                                   \
            cpu->gpr[RAX] = low;                                                                   \
            cpu->gpr[RDX] = high;                                                                  \
            cpu->cc_src &= ~FLAG_ZF;                                                               \
        }                                                                                          \
        NEXT;                                                                                      \
    }
CMPXCHG8B_FORM(bd, EA_BD)
CMPXCHG8B_FORM(bi, EA_BI)
CMPXCHG8B_FORM(seg, EA_SEG)
#define CMPXCHG8B_FORMS(name)                                                                      \
    {                                                                                              \
        [FORM_BD] = op_##name##_bd, [FORM_BI] = op_##name##_bi, [FORM_SEG] = op_##name##_seg,      \
        [FORM_GEN] = name##_slow                                                                   \
    }
const struct op_family fam_cmpxchg8b = {
    {{[W32] = CMPXCHG8B_FORMS(cmpxchg8b), [W64] = CMPXCHG8B_FORMS(cmpxchg16b)}}};

/* ---- BOUND: two signed bounds in memory ---- */
static NOINLINE bool bound_sized(struct cpu *cpu, const struct insn *i, unsigned size)
{
    u64 pair = 0;
    unsigned bits = size * 8;
    if (!mem_read(cpu, i, &pair, 2 * size))
        return false;
    s64 index = (s64)sign_extend(REG64(cpu, i->reg), bits);
    s64 lower = (s64)sign_extend(pair, bits), upper = (s64)sign_extend(pair >> bits, bits);
    return (index >= lower && index <= upper) || cpu_fault(cpu, EXC_BR);
}
static HANDLER(bound16_slow)
{
    SLOW_END(bound_sized(cpu, i, 2));
}
static HANDLER(bound32_slow)
{
    SLOW_END(bound_sized(cpu, i, 4));
}
const struct op_family fam_bound = {
    {{[W16] = {[FORM_GEN] = bound16_slow}, [W32] = {[FORM_GEN] = bound32_slow}}}};

/* ---- Hints, fences, cache lines ---- */
static HANDLER(op_nop)
{
    (void)cpu; /* loop dispatch doesn't need it */
    NEXT;
}
FAMILY_ONE(nop, op_nop);

/* A spinning CPU lets the others run. */
static HANDLER(pause_slow)
{
    if (cpu->group->count < 2)
        NEXT;
    cpu->group->resched = true;
    return insn_leave(cpu, i);
}
FAMILY_ONE(pause, pause_slow);

/* SDM "CLFLUSH": checked as a byte load; there is no cache to write back. */
static NOINLINE bool clflush(struct cpu *cpu, const struct insn *i)
{
    u64 lin;
    return mem_linear(cpu, i, 1, ACC_READ, &lin) && lin_probe(cpu, i, lin, 1, ACC_READ);
}
static COLD HANDLER(clflush_gen)
{
    SLOW_END(clflush(cpu, i));
}
#define CLFLUSH_FORM(form, EA)                                                                     \
    static HANDLER(op_clflush_##form)                                                              \
    {                                                                                              \
        if (unlikely(!fast_read(cpu, EA(cpu, i), 1)))                                              \
            return clflush_gen(cpu, i);                                                            \
        NEXT;                                                                                      \
    }
CLFLUSH_FORM(bd, EA_BD)
CLFLUSH_FORM(bi, EA_BI)
CLFLUSH_FORM(seg, EA_SEG)
#define CLFLUSH_FORMS                                                                              \
    {                                                                                              \
        [FORM_BD] = op_clflush_bd, [FORM_BI] = op_clflush_bi, [FORM_SEG] = op_clflush_seg,         \
        [FORM_GEN] = clflush_gen                                                                   \
    }
const struct op_family fam_clflush = {
    {{CLFLUSH_FORMS, CLFLUSH_FORMS, CLFLUSH_FORMS, CLFLUSH_FORMS}}};
