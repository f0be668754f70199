/* SPDX-License-Identifier: MIT */
/*
 * PUSH, POP, PUSHA, POPA, ENTER, LEAVE. The width is the operand size; W64 is 64-bit mode, where
 * the stack has no limit. Segment registers and flags are elsewhere.
 */
#include "cpu/exec.h"

/*
 * Slow ways are functions that return false after a fault: handlers must not have locals whose
 * address is taken.
 */
#define SLOW_END(done)                                                                             \
    do {                                                                                           \
        if (!(done))                                                                               \
            return insn_fault(cpu, i);                                                             \
        SLOW_NEXT;                                                                                 \
    } while (0)

static NOINLINE bool push_value(struct cpu *cpu, const struct insn *i, u64 val, unsigned size)
{
    struct stack st;
    stack_begin(cpu, &st);
    if (!stack_push(cpu, i, &st, val, size))
        return false;
    stack_commit(cpu, &st);
    return true;
}
static NOINLINE bool pop_value(struct cpu *cpu, const struct insn *i, u64 *val, unsigned size)
{
    struct stack st;
    stack_begin(cpu, &st);
    if (!stack_pop(cpu, i, &st, val, size))
        return false;
    stack_commit(cpu, &st);
    return true;
}

/* ---- PUSH ---- */
#define PUSH_SLOW(bits)                                                                            \
    static COLD HANDLER(push_r##bits##_slow)                                                       \
    {                                                                                              \
        SLOW_END(push_value(cpu, i, REG##bits(cpu, i->rm), (bits) / 8));                           \
    }                                                                                              \
    static COLD HANDLER(push_i##bits##_slow)                                                       \
    {                                                                                              \
        SLOW_END(push_value(cpu, i, (u##bits)i->imm, (bits) / 8));                                 \
    }                                                                                              \
    static NOINLINE bool push_mem##bits(struct cpu *cpu, const struct insn *i)                     \
    {                                                                                              \
        u##bits val;                                                                               \
        return mem_read##bits(cpu, i, &val) && push_value(cpu, i, val, (bits) / 8);                \
    }                                                                                              \
    static COLD HANDLER(push_e##bits##_gen)                                                        \
    {                                                                                              \
        SLOW_END(push_mem##bits(cpu, i));                                                          \
    }
PUSH_SLOW(16)
PUSH_SLOW(32)
PUSH_SLOW(64)

#define PUSH_FAST(val, slow)                                                                       \
    u64 sp = cpu->gpr[RSP] - 8;                                                                    \
    u8 *p = fast_write(cpu, sp, 8);                                                                \
    if (unlikely(!p))                                                                              \
        return slow(cpu, i);                                                                       \
    host_store64(p, val);                                                                          \
    cpu->gpr[RSP] = sp;                                                                            \
    NEXT
static HANDLER(op_push_r64)
{
    PUSH_FAST(REG64(cpu, i->rm), push_r64_slow);
}
static HANDLER(op_push_i64)
{
    PUSH_FAST(i->imm, push_i64_slow);
}
#define PUSH_MEM(form, EA)                                                                         \
    static HANDLER(op_push_e64_##form)                                                             \
    {                                                                                              \
        const u8 *from = fast_read(cpu, EA(cpu, i), 8);                                            \
        if (unlikely(!from))                                                                       \
            return push_e64_gen(cpu, i);                                                           \
        PUSH_FAST(host_load64(from), push_e64_gen);                                                \
    }
PUSH_MEM(bd, EA_BD)
PUSH_MEM(bi, EA_BI)
PUSH_MEM(seg, EA_SEG)
const struct op_family fam_push_e = {
    {{[W16] = {[FORM_REG] = push_r16_slow, [FORM_GEN] = push_e16_gen},
      [W32] = {[FORM_REG] = push_r32_slow, [FORM_GEN] = push_e32_gen},
      [W64] = {op_push_r64, op_push_e64_bd, op_push_e64_bi, op_push_e64_seg, push_e64_gen}}}};
const struct op_family fam_push_i = {{{[W16] = FORMS_ONLY_REG(push_i16_slow),
                                       [W32] = FORMS_ONLY_REG(push_i32_slow),
                                       [W64] = FORMS_ONLY_REG(op_push_i64)}}};

/* ---- POP: RSP is committed first, so that POP RSP leaves the popped value ---- */
#define POP_SLOW(bits)                                                                             \
    static NOINLINE bool pop_reg##bits(struct cpu *cpu, const struct insn *i)                      \
    {                                                                                              \
        u64 val;                                                                                   \
        if (!pop_value(cpu, i, &val, (bits) / 8))                                                  \
            return false;                                                                          \
        SET_REG##bits(cpu, i->rm, val);                                                            \
        return true;                                                                               \
    }                                                                                              \
    static COLD HANDLER(pop_r##bits##_slow)                                                        \
    {                                                                                              \
        SLOW_END(pop_reg##bits(cpu, i));                                                           \
    }                                                                                              \
    /* An address with RSP as base is computed with the incremented RSP. */                        \
    static NOINLINE bool pop_mem##bits(struct cpu *cpu, const struct insn *i)                      \
    {                                                                                              \
        u64 val, old = cpu->gpr[RSP];                                                              \
        if (!pop_value(cpu, i, &val, (bits) / 8))                                                  \
            return false;                                                                          \
        if (mem_write##bits(cpu, i, (u##bits)val))                                                 \
            return true;                                                                           \
        cpu->gpr[RSP] = old;                                                                       \
        return false;                                                                              \
    }                                                                                              \
    static COLD HANDLER(pop_e##bits##_gen)                                                         \
    {                                                                                              \
        SLOW_END(pop_mem##bits(cpu, i));                                                           \
    }
POP_SLOW(16)
POP_SLOW(32)
POP_SLOW(64)
static HANDLER(op_pop_r64)
{
    u64 sp = cpu->gpr[RSP];
    const u8 *p = fast_read(cpu, sp, 8);
    if (unlikely(!p))
        return pop_r64_slow(cpu, i);
    u64 val = host_load64(p);
    cpu->gpr[RSP] = sp + 8;
    REG64(cpu, i->rm) = val;
    NEXT;
}
const struct op_family fam_pop_e = {
    {{[W16] = {[FORM_REG] = pop_r16_slow, [FORM_GEN] = pop_e16_gen},
      [W32] = {[FORM_REG] = pop_r32_slow, [FORM_GEN] = pop_e32_gen},
      [W64] = {[FORM_REG] = op_pop_r64, [FORM_GEN] = pop_e64_gen}}}};

/* ---- PUSHA, POPA: only outside 64-bit mode ---- */
static NOINLINE bool push_all(struct cpu *cpu, const struct insn *i, unsigned size)
{
    struct stack st;
    stack_begin(cpu, &st);
    u64 sp = st.sp;
    for (unsigned r = RAX; r <= RDI; r++)
        if (!stack_push(cpu, i, &st, r == RSP ? sp : cpu->gpr[r], size))
            return false;
    stack_commit(cpu, &st);
    return true;
}
static NOINLINE bool pop_all(struct cpu *cpu, const struct insn *i, unsigned size)
{
    struct stack st;
    u64 val[8];
    stack_begin(cpu, &st);
    for (unsigned r = RDI + 1; r-- > RAX;)
        if (!stack_pop(cpu, i, &st, &val[r], size))
            return false;
    stack_commit(cpu, &st);
    for (unsigned r = RAX; r <= RDI; r++) {
        if (r == RSP)
            continue;
        if (size == 2)
            SET_REG16(cpu, r * 8, val[r]);
        else
            SET_REG32(cpu, r * 8, val[r]);
    }
    return true;
}
static HANDLER(pusha16_slow)
{
    SLOW_END(push_all(cpu, i, 2));
}
static HANDLER(pusha32_slow)
{
    SLOW_END(push_all(cpu, i, 4));
}
static HANDLER(popa16_slow)
{
    SLOW_END(pop_all(cpu, i, 2));
}
static HANDLER(popa32_slow)
{
    SLOW_END(pop_all(cpu, i, 4));
}
const struct op_family fam_pusha = {
    {{[W16] = FORMS_ONLY_REG(pusha16_slow), [W32] = FORMS_ONLY_REG(pusha32_slow)}}};
const struct op_family fam_popa = {
    {{[W16] = FORMS_ONLY_REG(popa16_slow), [W32] = FORMS_ONLY_REG(popa32_slow)}}};

/* ---- ENTER, LEAVE ---- */
/* rBP by operand size; the part of RSP or RBP that a stack address has is st->mask. */
static void set_rbp(struct cpu *cpu, u64 val, unsigned size)
{
    if (size == 2)
        SET_REG16(cpu, RBP * 8, val);
    else if (size == 4)
        SET_REG32(cpu, RBP * 8, val);
    else
        cpu->gpr[RBP] = val;
}

/* Copies the frame pointers of the enclosing levels from the old frame. */
static bool enter_levels(struct cpu *cpu, const struct insn *i, struct stack *st, u64 frame,
                         unsigned size)
{
    unsigned level = (i->imm >> 16) & 31;
    struct stack old = *st;
    for (unsigned k = 1; k < level; k++) {
        u64 val;
        old.sp = (old.sp & ~old.mask) | ((cpu->gpr[RBP] - k * size) & old.mask);
        if (!stack_pop(cpu, i, &old, &val, size) || !stack_push(cpu, i, st, val, size))
            return false;
    }
    return level == 0 || stack_push(cpu, i, st, frame, size);
}

static NOINLINE bool enter_sized(struct cpu *cpu, const struct insn *i, unsigned size)
{
    struct stack st;
    stack_begin(cpu, &st);
    if (!stack_push(cpu, i, &st, cpu->gpr[RBP], size))
        return false;
    u64 frame = st.sp;
    if (!enter_levels(cpu, i, &st, frame, size))
        return false;
    st.sp = (st.sp & ~st.mask) | ((st.sp - (i->imm & 0xffff)) & st.mask);
    /* SDM "ENTER": the new top of the stack must be writable. */
    u64 lin;
    if (!seg_linear(cpu, SEG_SS, st.sp & st.mask, size, ACC_WRITE, &lin) ||
        !lin_probe(cpu, i, lin, size, ACC_WRITE | ACC_SS))
        return false;
    stack_commit(cpu, &st);
    set_rbp(cpu, frame, size);
    return true;
}
static HANDLER(enter16_slow)
{
    SLOW_END(enter_sized(cpu, i, 2));
}
static HANDLER(enter32_slow)
{
    SLOW_END(enter_sized(cpu, i, 4));
}
static HANDLER(enter64_slow)
{
    SLOW_END(enter_sized(cpu, i, 8));
}
const struct op_family fam_enter = {{{[W16] = FORMS_ONLY_REG(enter16_slow),
                                      [W32] = FORMS_ONLY_REG(enter32_slow),
                                      [W64] = FORMS_ONLY_REG(enter64_slow)}}};

static NOINLINE bool leave_sized(struct cpu *cpu, const struct insn *i, unsigned size)
{
    struct stack st;
    u64 val;
    stack_begin(cpu, &st);
    st.sp = (st.sp & ~st.mask) | (cpu->gpr[RBP] & st.mask);
    if (!stack_pop(cpu, i, &st, &val, size))
        return false;
    stack_commit(cpu, &st);
    set_rbp(cpu, val, size);
    return true;
}
static COLD HANDLER(leave16_slow)
{
    SLOW_END(leave_sized(cpu, i, 2));
}
static COLD HANDLER(leave32_slow)
{
    SLOW_END(leave_sized(cpu, i, 4));
}
static COLD HANDLER(leave64_slow)
{
    SLOW_END(leave_sized(cpu, i, 8));
}
static HANDLER(op_leave64)
{
    u64 sp = cpu->gpr[RBP];
    const u8 *p = fast_read(cpu, sp, 8);
    if (unlikely(!p))
        return leave64_slow(cpu, i);
    cpu->gpr[RBP] = host_load64(p);
    cpu->gpr[RSP] = sp + 8;
    NEXT;
}
const struct op_family fam_leave = {{{[W16] = FORMS_ONLY_REG(leave16_slow),
                                      [W32] = FORMS_ONLY_REG(leave32_slow),
                                      [W64] = FORMS_ONLY_REG(op_leave64)}}};
