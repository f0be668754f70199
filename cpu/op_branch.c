/* SPDX-License-Identifier: MIT */
/*
 * Near branches. Each direct one has a twin for targets in another page (_xp), chosen when the block
 * is built. W64 is 64-bit mode; in the other modes targets are checked against CS.limit.
 */
#include "cpu/branch.h"
#include "cpu/flags.h"
#include "cpu/op_fuse.h"

/* A direct branch beyond CS.limit. */
static COLD HANDLER(limit_fault)
{
    cpu_fault_gp(cpu, 0);
    return insn_fault(cpu, i);
}
#define CHECK_NONE
#define CHECK_LIMIT                                                                                \
    if (unlikely(i->imm > cpu->seg[SEG_CS].limit))                                                 \
    return limit_fault(cpu, i)

/* ---- Jcc ---- */
#define JCC_ONE(name, cc, CHECK, GO)                                                               \
    static HANDLER(name)                                                                           \
    {                                                                                              \
        unsigned cond = cc_quick(cpu, COND_##cc);                                                  \
        if (unlikely(cond == CC_NOT_QUICK))                                                        \
            return op_flags_slow(cpu, i);                                                          \
        if (cond) {                                                                                \
            CHECK;                                                                                 \
            GO;                                                                                    \
        }                                                                                          \
        NEXT;                                                                                      \
    }
#define JCC(cc, n)                                                                                 \
    JCC_ONE(op_j##cc, cc, CHECK_NONE, GO_LINK)                                                     \
    JCC_ONE(op_j##cc##_xp, cc, CHECK_NONE, GO_XP)                                                  \
    JCC_ONE(op_j##cc##_limit, cc, CHECK_LIMIT, GO_LINK)                                            \
    JCC_ONE(op_j##cc##_limit_xp, cc, CHECK_LIMIT, GO_XP)                                           \
    const struct op_family fam_j##cc = {{{[W16] = FORMS_ONLY_REG(op_j##cc##_limit),                \
                                          [W32] = FORMS_ONLY_REG(op_j##cc##_limit),                \
                                          [W64] = FORMS_ONLY_REG(op_j##cc)}}};
CONDITIONS(JCC)

/* ---- JMP rel ---- */
#define JMP_ONE(name, CHECK, GO)                                                                   \
    static HANDLER(name)                                                                           \
    {                                                                                              \
        CHECK;                                                                                     \
        GO;                                                                                        \
    }
JMP_ONE(op_jmp, CHECK_NONE, GO_LINK)
JMP_ONE(op_jmp_xp, CHECK_NONE, GO_XP)
JMP_ONE(op_jmp_limit, CHECK_LIMIT, GO_LINK)
JMP_ONE(op_jmp_limit_xp, CHECK_LIMIT, GO_XP)
const struct op_family fam_jmp = {{{[W16] = FORMS_ONLY_REG(op_jmp_limit),
                                    [W32] = FORMS_ONLY_REG(op_jmp_limit),
                                    [W64] = FORMS_ONLY_REG(op_jmp)}}};

/* ---- LOOPcc, JCXZ: the counter has the address size ---- */
static ALWAYS_INLINE u64 counter_mask(const struct insn *i)
{
    return EA_SIZE(i) == 2 ? UINT64_MAX : EA_SIZE(i) == 1 ? UINT32_MAX : 0xffff;
}
static ALWAYS_INLINE u64 count_down(struct cpu *cpu, const struct insn *i)
{
    u64 left = (cpu->gpr[RCX] - 1) & counter_mask(i);
    if (EA_SIZE(i) == 0)
        SET_REG16(cpu, RCX * 8, left);
    else
        cpu->gpr[RCX] = left;
    return left;
}

/* A taken branch must be allowed before RCX changes. */
static ALWAYS_INLINE bool beyond_limit(const struct cpu *cpu, const struct insn *i)
{
    return !(cpu->mode & MODE_64) && i->imm > cpu->seg[SEG_CS].limit;
}
#define LOOP_ONE(name, CONDITION, GO)                                                              \
    static HANDLER(name)                                                                           \
    {                                                                                              \
        bool taken = ((cpu->gpr[RCX] - 1) & counter_mask(i)) != 0 && (CONDITION);                  \
        if (taken && unlikely(beyond_limit(cpu, i)))                                               \
            return limit_fault(cpu, i);                                                            \
        count_down(cpu, i);                                                                        \
        if (taken)                                                                                 \
            GO;                                                                                    \
        NEXT;                                                                                      \
    }
#define JCXZ_ONE(name, GO)                                                                         \
    static HANDLER(name)                                                                           \
    {                                                                                              \
        if (!(cpu->gpr[RCX] & counter_mask(i))) {                                                  \
            if (unlikely(beyond_limit(cpu, i)))                                                    \
                return limit_fault(cpu, i);                                                        \
            GO;                                                                                    \
        }                                                                                          \
        NEXT;                                                                                      \
    }
LOOP_ONE(op_loop, true, GO_LINK)
LOOP_ONE(op_loop_xp, true, GO_XP)
LOOP_ONE(op_loope, cc_zero(cpu), GO_LINK)
LOOP_ONE(op_loope_xp, cc_zero(cpu), GO_XP)
LOOP_ONE(op_loopne, !cc_zero(cpu), GO_LINK)
LOOP_ONE(op_loopne_xp, !cc_zero(cpu), GO_XP)
JCXZ_ONE(op_jcxz, GO_LINK)
JCXZ_ONE(op_jcxz_xp, GO_XP)
FAMILY_ONE(loop, op_loop);
FAMILY_ONE(loope, op_loope);
FAMILY_ONE(loopne, op_loopne);
FAMILY_ONE(jcxz, op_jcxz);

/* ---- CALL ---- */
static NOINLINE bool push_return(struct cpu *cpu, const struct insn *i, unsigned size)
{
    struct stack st;
    stack_begin(cpu, &st);
    if (!stack_push(cpu, i, &st, insn_next_rip(i), size))
        return false;
    stack_commit(cpu, &st);
    return true;
}
static const struct insn *call_to(struct cpu *cpu, const struct insn *i, u64 target, unsigned size)
{
    if (!branch_target_ok(cpu, target) || !push_return(cpu, i, size))
        return insn_fault(cpu, i);
    SLOW_JUMP(target);
}
static COLD HANDLER(call16_slow)
{
    return call_to(cpu, i, i->imm, 2);
}
static COLD HANDLER(call32_slow)
{
    return call_to(cpu, i, i->imm, 4);
}
static COLD HANDLER(call64_slow)
{
    return call_to(cpu, i, i->imm, 8);
}

/* Stores the return address and moves RSP, or takes the slow way. */
#define PUSH_RETURN(slow)                                                                          \
    u64 sp = cpu->gpr[RSP] - 8;                                                                    \
    u8 *stack = fast_write(cpu, sp, 8);                                                            \
    if (unlikely(!stack))                                                                          \
        return slow(cpu, i);                                                                       \
    host_store64(stack, insn_next_rip(i));                                                         \
    cpu->gpr[RSP] = sp

static HANDLER(op_call)
{
    PUSH_RETURN(call64_slow);
    GO_LINK;
}
static HANDLER(op_call_xp)
{
    PUSH_RETURN(call64_slow);
    GO_XP;
}
const struct op_family fam_call = {{{[W16] = FORMS_ONLY_REG(call16_slow),
                                     [W32] = FORMS_ONLY_REG(call32_slow),
                                     [W64] = FORMS_ONLY_REG(op_call)}}};

/* ---- CALL r/m, JMP r/m ---- */
#define INDIRECT_SLOW(bits)                                                                        \
    static COLD HANDLER(call_e##bits##_reg_slow)                                                   \
    {                                                                                              \
        return call_to(cpu, i, REG##bits(cpu, i->rm), (bits) / 8);                                 \
    }                                                                                              \
    static COLD HANDLER(call_e##bits##_gen)                                                        \
    {                                                                                              \
        u64 target = 0;                                                                            \
        {                                                                                          \
            u##bits val;                                                                           \
            if (!mem_read##bits(cpu, i, &val))                                                     \
                return insn_fault(cpu, i);                                                         \
            target = val;                                                                          \
        }                                                                                          \
        return call_to(cpu, i, target, (bits) / 8);                                                \
    }                                                                                              \
    static COLD HANDLER(jmp_e##bits##_reg_slow)                                                    \
    {                                                                                              \
        u64 target = REG##bits(cpu, i->rm);                                                        \
        if (!branch_target_ok(cpu, target))                                                        \
            return insn_fault(cpu, i);                                                             \
        JUMP_TO(target);                                                                           \
    }                                                                                              \
    static COLD HANDLER(jmp_e##bits##_gen)                                                         \
    {                                                                                              \
        u64 target = 0;                                                                            \
        {                                                                                          \
            u##bits val;                                                                           \
            if (!mem_read##bits(cpu, i, &val) || !branch_target_ok(cpu, val))                      \
                return insn_fault(cpu, i);                                                         \
            target = val;                                                                          \
        }                                                                                          \
        SLOW_JUMP(target);                                                                         \
    }
INDIRECT_SLOW(16)
INDIRECT_SLOW(32)
INDIRECT_SLOW(64)

static HANDLER(op_call_e64)
{
    u64 target = REG64(cpu, i->rm);
    if (unlikely(!canonical48(target)))
        return call_e64_reg_slow(cpu, i);
    PUSH_RETURN(call_e64_reg_slow);
    JUMP_TO(target);
}
static HANDLER(op_jmp_e64)
{
    u64 target = REG64(cpu, i->rm);
    if (unlikely(!canonical48(target)))
        return jmp_e64_reg_slow(cpu, i);
    JUMP_TO(target);
}
#define TARGET_FROM(EA, slow)                                                                      \
    const u8 *from = fast_read(cpu, EA(cpu, i), 8);                                                \
    if (unlikely(!from))                                                                           \
        return slow(cpu, i);                                                                       \
    u64 target = host_load64(from);                                                                \
    if (unlikely(!canonical48(target)))                                                            \
    return slow(cpu, i)
#define INDIRECT_MEM(form, EA)                                                                     \
    static HANDLER(op_call_e64_##form)                                                             \
    {                                                                                              \
        TARGET_FROM(EA, call_e64_gen);                                                             \
        PUSH_RETURN(call_e64_gen);                                                                 \
        JUMP_TO(target);                                                                           \
    }                                                                                              \
    static HANDLER(op_jmp_e64_##form)                                                              \
    {                                                                                              \
        TARGET_FROM(EA, jmp_e64_gen);                                                              \
        JUMP_TO(target);                                                                           \
    }
INDIRECT_MEM(bd, EA_BD)
INDIRECT_MEM(bi, EA_BI)
INDIRECT_MEM(seg, EA_SEG)
#define INDIRECT_FAMILY(op)                                                                        \
    const struct op_family fam_##op##_e = {                                                        \
        {{[W16] = {[FORM_REG] = op##_e16_reg_slow, [FORM_GEN] = op##_e16_gen},                     \
          [W32] = {[FORM_REG] = op##_e32_reg_slow, [FORM_GEN] = op##_e32_gen},                     \
          [W64] = {op_##op##_e64, op_##op##_e64_bd, op_##op##_e64_bi, op_##op##_e64_seg,           \
                   op##_e64_gen}}}};
INDIRECT_FAMILY(call)
INDIRECT_FAMILY(jmp)

/* ---- RET: i->imm more bytes are released (0 without operand) ---- */
static NOINLINE bool pop_return(struct cpu *cpu, const struct insn *i, unsigned size)
{
    struct stack st;
    u64 target;
    stack_begin(cpu, &st);
    if (!stack_pop(cpu, i, &st, &target, size) || !branch_target_ok(cpu, target))
        return false;
    st.sp = (st.sp & ~st.mask) | ((st.sp + i->imm) & st.mask);
    stack_commit(cpu, &st);
    cpu->rip = target;
    return true;
}
static const struct insn *ret_sized(struct cpu *cpu, const struct insn *i, unsigned size)
{
    if (!pop_return(cpu, i, size))
        return insn_fault(cpu, i);
    SLOW_JUMP(cpu->rip);
}
static COLD HANDLER(ret16_slow)
{
    return ret_sized(cpu, i, 2);
}
static COLD HANDLER(ret32_slow)
{
    return ret_sized(cpu, i, 4);
}
static COLD HANDLER(ret64_slow)
{
    return ret_sized(cpu, i, 8);
}
static HANDLER(op_ret)
{
    u64 sp = cpu->gpr[RSP];
    const u8 *p = fast_read(cpu, sp, 8);
    if (unlikely(!p))
        return ret64_slow(cpu, i);
    u64 target = host_load64(p);
    if (unlikely(!canonical48(target)))
        return ret64_slow(cpu, i);
    cpu->gpr[RSP] = sp + 8 + i->imm;
    JUMP_TO(target);
}
const struct op_family fam_ret = {{{[W16] = FORMS_ONLY_REG(ret16_slow),
                                    [W32] = FORMS_ONLY_REG(ret32_slow),
                                    [W64] = FORMS_ONLY_REG(op_ret)}}};

/* ---- The twins ---- */
struct twin {
    insn_fn *near, *far;
};
static const struct twin twins[] = {
#define X(cc, n) {op_j##cc, op_j##cc##_xp}, {op_j##cc##_limit, op_j##cc##_limit_xp},
    CONDITIONS(X)
#undef X
        {op_jmp, op_jmp_xp},
    {op_jmp_limit, op_jmp_limit_xp},
    {op_loop, op_loop_xp},
    {op_loope, op_loope_xp},
    {op_loopne, op_loopne_xp},
    {op_jcxz, op_jcxz_xp},
    {op_call, op_call_xp},
};

insn_fn *branch_cross_page(insn_fn *fn)
{
    for (unsigned k = 0; k < ARRAY_SIZE(twins); k++)
        if (twins[k].near == fn)
            return twins[k].far;
    insn_fn *twin = fuse_cross_page(fn);
    return twin ? twin : fn;
}
