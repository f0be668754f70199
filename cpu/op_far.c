/* SPDX-License-Identifier: MIT */
/*
 * Far JMP and CALL: within a privilege level, through call gates, to tasks. Checks in the order of the
 * SDM's operation sections. Far returns are in cpu/op_iret.c.
 */
#include "cpu/exec.h"
#include "cpu/op_jump.h"
#include "cpu/segment.h"

/* A far transfer under way. size: of the operands, 2, 4 or 8 bytes. */
struct far {
    u16 sel;
    u64 rip;
    unsigned size;
    bool call;
    struct desc d; /* what sel names */
};

/* The target's code segment as a descriptor, checked as far as types and privileges go. */
struct code_target {
    struct segment cs;
    u64 rip;
    unsigned cpl;
};

/* Commits a transfer to `to`; SS, RSP have been seen to. */
static void set_target(struct cpu *cpu, const struct code_target *to)
{
    cpu->seg[SEG_CS] = to->cs;
    cpu->rip = to->rip;
    cpu_update_mode(cpu);
}

static bool long_code_ok(const struct cpu *cpu, u64 lo)
{
    return !cpu_is_long(cpu) || (desc_attr(lo) & (ATTR_L | ATTR_DB)) != (ATTR_L | ATTR_DB);
}

/* Ends the check of a code segment: presence, accessed bit. */
static bool take_code(struct cpu *cpu, u16 sel, struct desc *d, struct code_target *to)
{
    if (!desc_present(d->lo))
        return cpu_fault_err(cpu, EXC_NP, SEL_ERROR(sel));
    if (!desc_set_accessed(cpu, sel, d))
        return false;
    segment_set(&to->cs, (u16)((sel & ~3u) | to->cpl), d);
    return true;
}

/* ---- Real-address and virtual-8086 mode ---- */

static bool far_real(struct cpu *cpu, const struct insn *i, const struct far *f)
{
    u64 rip = f->size == 2 ? (u16)f->rip : f->rip;
    struct new_stack st;
    new_stack_current(cpu, &st);
    if (f->call && !new_stack_room(cpu, &st, 2, f->size, 0))
        return false;
    if (rip > cpu->seg[SEG_CS].limit)
        return cpu_fault_gp(cpu, 0);
    if (f->call && (!new_stack_push(cpu, i, &st, cpu->seg[SEG_CS].selector, f->size) ||
                    !new_stack_push(cpu, i, &st, next_rip(cpu, i), f->size)))
        return false;
    cpu->gpr[RSP] = st.sp;
    if (cpu->mode & MODE_VM86)
        segment_set_vm86(cpu, SEG_CS, f->sel);
    else
        segment_set_real(cpu, SEG_CS, f->sel);
    cpu->rip = rip;
    cpu_update_mode(cpu);
    return true;
}

/* ---- Direct to a code segment ---- */

static bool far_code(struct cpu *cpu, const struct insn *i, struct far *f)
{
    unsigned cpl = cpu_cpl(cpu), dpl = desc_dpl(f->d.lo);
    struct code_target to = {.rip = f->rip, .cpl = cpl};
    struct new_stack st;
    bool level = desc_is_conforming(f->d.lo) ? dpl <= cpl : dpl == cpl && SEL_RPL(f->sel) <= cpl;
    if (!level || !long_code_ok(cpu, f->d.lo))
        return cpu_fault_gp(cpu, SEL_ERROR(f->sel));
    if (!take_code(cpu, f->sel, &f->d, &to))
        return false;
    new_stack_current(cpu, &st);
    if (f->call && !new_stack_room(cpu, &st, 2, f->size, 0))
        return false;
    if (!segment_check_rip(cpu, &to.cs, to.rip, 0))
        return false;
    if (f->call && (!new_stack_push(cpu, i, &st, cpu->seg[SEG_CS].selector, f->size) ||
                    !new_stack_push(cpu, i, &st, next_rip(cpu, i), f->size)))
        return false;
    cpu->gpr[RSP] = st.sp;
    set_target(cpu, &to);
    return true;
}

/* ---- Call gates ---- */

/* The code segment a gate leads to. */
static bool gate_target(struct cpu *cpu, const struct far *f, struct code_target *to)
{
    u16 sel = gate_selector(f->d.lo);
    unsigned cpl = cpu_cpl(cpu);
    struct desc d;
    if (SEL_NULL(sel))
        return cpu_fault_gp(cpu, 0);
    if (!desc_fetch(cpu, sel, EXC_GP, 0, &d))
        return false;
    if (!desc_is_code(d.lo) || desc_dpl(d.lo) > cpl)
        return cpu_fault_gp(cpu, SEL_ERROR(sel));
    if (cpu_is_long(cpu) && (desc_attr(d.lo) & (ATTR_L | ATTR_DB)) != ATTR_L)
        return cpu_fault_gp(cpu, SEL_ERROR(sel));
    bool conforming = desc_is_conforming(d.lo);
    if (!f->call && !conforming && desc_dpl(d.lo) != cpl)
        return cpu_fault_gp(cpu, SEL_ERROR(sel));
    to->cpl = conforming ? cpl : desc_dpl(d.lo);
    to->rip = gate_offset(&f->d, desc_type(f->d.lo) & 8);
    return take_code(cpu, sel, &d, to);
}

#define PARAMS_MAX 31

/* The parameters that a 16-bit or 32-bit gate copies, the last pushed first. */
static bool read_params(struct cpu *cpu, const struct insn *i, unsigned count, unsigned size,
                        u64 *p)
{
    struct stack st;
    stack_begin(cpu, &st);
    for (unsigned k = 0; k < count; k++)
        if (!stack_pop(cpu, i, &st, &p[k], size))
            return false;
    return true;
}

static bool push_return(struct cpu *cpu, const struct insn *i, struct new_stack *st, unsigned size)
{
    return new_stack_push(cpu, i, st, cpu->seg[SEG_CS].selector, size) &&
           new_stack_push(cpu, i, st, next_rip(cpu, i), size);
}

/* To more privilege: the stack of the new level. */
static bool gate_inner(struct cpu *cpu, const struct insn *i, const struct far *f, unsigned size,
                       const struct code_target *to)
{
    unsigned count = cpu_is_long(cpu) ? 0 : BITS(f->d.lo, 36, 32);
    u64 params[PARAMS_MAX];
    struct new_stack st;
    if (!new_stack_from_tss(cpu, to->cpl, 0, 0, &st) ||
        !new_stack_room(cpu, &st, 4 + count, size, SEL_ERROR(st.ss.selector)) ||
        !segment_check_rip(cpu, &to->cs, to->rip, 0) || !read_params(cpu, i, count, size, params))
        return false;
    if (!new_stack_push(cpu, i, &st, cpu->seg[SEG_SS].selector, size) ||
        !new_stack_push(cpu, i, &st, cpu->gpr[RSP], size))
        return false;
    for (unsigned k = count; k-- > 0;)
        if (!new_stack_push(cpu, i, &st, params[k], size))
            return false;
    if (!push_return(cpu, i, &st, size))
        return false;
    cpu->seg[SEG_SS] = st.ss;
    cpu->gpr[RSP] = st.sp;
    set_target(cpu, to);
    return true;
}

static bool gate_same(struct cpu *cpu, const struct insn *i, unsigned size,
                      const struct code_target *to)
{
    struct new_stack st;
    new_stack_current(cpu, &st);
    if (size == 8) {
        st.wide = true;
        st.mask = UINT64_MAX;
    }
    if (!new_stack_room(cpu, &st, 2, size, 0) || !segment_check_rip(cpu, &to->cs, to->rip, 0) ||
        !push_return(cpu, i, &st, size))
        return false;
    cpu->gpr[RSP] = st.sp;
    set_target(cpu, to);
    return true;
}

static bool far_gate(struct cpu *cpu, const struct insn *i, const struct far *f)
{
    struct code_target to;
    unsigned size = cpu_is_long(cpu) ? 8 : desc_type(f->d.lo) & 8 ? 4 : 2;
    if (!desc_present(f->d.lo))
        return cpu_fault_err(cpu, EXC_NP, SEL_ERROR(f->sel));
    if (!gate_target(cpu, f, &to))
        return false;
    if (f->call && to.cpl < cpu_cpl(cpu))
        return gate_inner(cpu, i, f, size, &to);
    if (f->call)
        return gate_same(cpu, i, size, &to);
    if (!segment_check_rip(cpu, &to.cs, to.rip, 0))
        return false;
    set_target(cpu, &to);
    return true;
}

/* ---- Tasks ---- */

static bool far_task(struct cpu *cpu, const struct insn *i, const struct far *f)
{
    struct task_event event = {.cause = f->call ? TASK_CALL : TASK_JMP};
    u16 sel = f->sel;
    if (desc_type(f->d.lo) == TYPE_TASK_GATE) {
        if (!desc_present(f->d.lo))
            return cpu_fault_err(cpu, EXC_NP, SEL_ERROR(sel));
        sel = gate_selector(f->d.lo);
    }
    cpu->rip = next_rip(cpu, i);
    return task_switch(cpu, sel, &event);
}

/* A system descriptor: gates and TSSs whose DPL admits both CPL and RPL. */
static bool far_system(struct cpu *cpu, const struct insn *i, struct far *f)
{
    u32 error = SEL_ERROR(f->sel);
    unsigned type = desc_type(f->d.lo), dpl = desc_dpl(f->d.lo);
    bool gate = type == TYPE_CALL32 || (type == TYPE_CALL16 && !cpu_is_long(cpu));
    bool task =
        type == TYPE_TASK_GATE || (type & ~8u) == TYPE_TSS16 || (type & ~8u) == TYPE_TSS16_BUSY;
    if (cpu_is_long(cpu)) {
        enum desc_result res = desc_read_system(cpu, f->sel, &f->d);
        if (res == DESC_FAULT)
            return false;
        if (res == DESC_OUTSIDE || !gate)
            return cpu_fault_gp(cpu, error);
    }
    if (!gate && !task)
        return cpu_fault_gp(cpu, error);
    if (dpl < cpu_cpl(cpu) || SEL_RPL(f->sel) > dpl)
        return cpu_fault_gp(cpu, error);
    return gate ? far_gate(cpu, i, f) : far_task(cpu, i, f);
}

static bool far_transfer(struct cpu *cpu, const struct insn *i, struct far *f)
{
    if (!cpu_is_protected(cpu))
        return far_real(cpu, i, f);
    if (SEL_NULL(f->sel))
        return cpu_fault_gp(cpu, 0);
    if (!desc_fetch(cpu, f->sel, EXC_GP, 0, &f->d))
        return false;
    if (desc_is_system(f->d.lo))
        return far_system(cpu, i, f);
    if (!desc_is_code(f->d.lo))
        return cpu_fault_gp(cpu, SEL_ERROR(f->sel));
    return far_code(cpu, i, f);
}

/*
 * The handlers jump on, so nothing whose address is taken may live in them: the transfer is made in
 * a function of its own.
 */
enum far_result { FAR_DONE, FAR_FAULT, FAR_TASK_FAULT };

static NOINLINE enum far_result far_run(struct cpu *cpu, const struct insn *i, struct far f)
{
    u16 tr = cpu->seg[SEG_TR].selector;
    if (far_transfer(cpu, i, &f))
        return FAR_DONE;
    /* A fault after a task switch's commit point is the new task's. */
    return cpu->seg[SEG_TR].selector != tr ? FAR_TASK_FAULT : FAR_FAULT;
}

static NOINLINE enum far_result far_direct(struct cpu *cpu, const struct insn *i, unsigned size,
                                           bool call)
{
    return far_run(
        cpu, i,
        (struct far){.sel = (u16)(i->imm >> 32), .rip = (u32)i->imm, .size = size, .call = call});
}

/* m16:16, m16:32, m16:64 */
static NOINLINE enum far_result far_indirect(struct cpu *cpu, const struct insn *i, unsigned size,
                                             bool call)
{
    struct far f = {.size = size, .call = call};
    u64 lin, sel;
    if (!mem_linear(cpu, i, size + 2, ACC_READ, &lin) ||
        !lin_read_int(cpu, i, lin, &f.rip, size, ACC_READ) ||
        !lin_read_int(cpu, i, lin + size, &sel, 2, ACC_READ))
        return FAR_FAULT;
    f.sel = (u16)sel;
    return far_run(cpu, i, f);
}

static const struct insn *far_end(struct cpu *cpu, const struct insn *i, enum far_result result)
{
    if (likely(result == FAR_DONE))
        return op_go(cpu, i);
    return result == FAR_FAULT ? insn_fault(cpu, i) : insn_leave_at(cpu, i, cpu->rip);
}

#define FAR_HANDLERS(name, kind, call)                                                             \
    static HANDLER(name##_16)                                                                      \
    {                                                                                              \
        return far_end(cpu, i, kind(cpu, i, 2, call));                                             \
    }                                                                                              \
    static HANDLER(name##_32)                                                                      \
    {                                                                                              \
        return far_end(cpu, i, kind(cpu, i, 4, call));                                             \
    }                                                                                              \
    static HANDLER(name##_64)                                                                      \
    {                                                                                              \
        return far_end(cpu, i, kind(cpu, i, 8, call));                                             \
    }                                                                                              \
    FAMILY_SIZES(name, name##_16, name##_32, name##_64);

FAR_HANDLERS(call_far, far_direct, true)
FAR_HANDLERS(jmp_far, far_direct, false)
FAR_HANDLERS(call_far_ind, far_indirect, true)
FAR_HANDLERS(jmp_far_ind, far_indirect, false)
