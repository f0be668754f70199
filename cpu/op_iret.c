/* SPDX-License-Identifier: MIT */
/*
 * Far RET and IRET in every mode, and the software interrupts. Checks in the order of the SDM's
 * operation sections.
 */
#include "cpu/exec.h"
#include "cpu/op_jump.h"
#include "cpu/segment.h"

HANDLER(op_go)
{
    bool events = cpu->pending || cpu->irq_shadow || cpu->debug_hits || cpu->leave ||
                  (cpu->eflags & (FLAG_TF | FLAG_RF));
    if (events || !(cpu->mode & MODE_64))
        return insn_leave_at(cpu, i, cpu->rip);
    JUMP_TO(cpu->rip);
}

/* A far return under way. */
struct far_return {
    struct stack st;
    unsigned size; /* of each slot */
    bool iret;
    u64 rip, cs, flags;
    u64 sp, ss;   /* popped when the level changes, and always by a 64-bit IRET */
    unsigned cpl; /* of the target */
    struct segment cs_seg, ss_seg;
};

static bool pop(struct cpu *cpu, const struct insn *i, struct far_return *r, u64 *val)
{
    return stack_pop(cpu, i, &r->st, val, r->size);
}

/* ---- Returns in protected and IA-32e mode ---- */

static bool check_cs(struct cpu *cpu, struct far_return *r)
{
    u16 sel = (u16)r->cs;
    u32 error = SEL_ERROR(sel);
    struct desc d;
    if (SEL_NULL(sel))
        return cpu_fault_gp(cpu, 0);
    if (!desc_fetch(cpu, sel, EXC_GP, 0, &d))
        return false;
    unsigned rpl = SEL_RPL(sel), dpl = desc_dpl(d.lo);
    if (!desc_is_code(d.lo) || rpl < cpu_cpl(cpu))
        return cpu_fault_gp(cpu, error);
    if (desc_is_conforming(d.lo) ? dpl > rpl : dpl != rpl)
        return cpu_fault_gp(cpu, error);
    if (cpu_is_long(cpu) && (desc_attr(d.lo) & (ATTR_L | ATTR_DB)) == (ATTR_L | ATTR_DB))
        return cpu_fault_gp(cpu, error);
    if (!desc_present(d.lo))
        return cpu_fault_err(cpu, EXC_NP, error);
    if (!desc_set_accessed(cpu, sel, &d))
        return false;
    segment_set(&r->cs_seg, sel, &d);
    r->cpl = rpl;
    return true;
}

static bool to_64bit(const struct cpu *cpu, const struct far_return *r)
{
    return cpu_is_long(cpu) && (r->cs_seg.attr & ATTR_L);
}

static bool check_ss(struct cpu *cpu, struct far_return *r)
{
    u16 sel = (u16)r->ss;
    if (!SEL_NULL(sel))
        return segment_check_ss(cpu, sel, r->cpl, EXC_GP, 0, &r->ss_seg);
    /* SDM: null is allowed in a return to 64-bit mode at a level other than 3. */
    if (!to_64bit(cpu, r) || r->cpl == 3 || SEL_RPL(sel) != r->cpl)
        return cpu_fault_gp(cpu, 0);
    segment_set_null(&r->ss_seg, sel, r->cpl);
    return true;
}

/* RSP with the popped stack pointer, as wide as the new stack's pointer is. */
static u64 returned_sp(const struct cpu *cpu, const struct far_return *r, u64 sp)
{
    if (to_64bit(cpu, r))
        return sp;
    if (r->ss_seg.attr & ATTR_DB)
        return (u32)sp;
    return (r->st.sp & ~UINT64_C(0xffff)) | (sp & 0xffff);
}

static void commit_return(struct cpu *cpu, const struct far_return *r)
{
    cpu->seg[SEG_CS] = r->cs_seg;
    cpu->rip = r->rip;
}

/* ---- Far RET ---- */

static bool ret_real(struct cpu *cpu, struct far_return *r, u64 release)
{
    if (r->size == 2)
        r->rip &= 0xffff;
    if (r->rip > cpu->seg[SEG_CS].limit)
        return cpu_fault_gp(cpu, 0);
    if (cpu->mode & MODE_VM86)
        segment_set_vm86(cpu, SEG_CS, (u16)r->cs);
    else
        segment_set_real(cpu, SEG_CS, (u16)r->cs);
    cpu->rip = r->rip;
    r->st.sp = (r->st.sp & ~r->st.mask) | ((r->st.sp + release) & r->st.mask);
    stack_commit(cpu, &r->st);
    return true;
}

static bool ret_outer(struct cpu *cpu, const struct insn *i, struct far_return *r, u64 release)
{
    r->st.sp = (r->st.sp & ~r->st.mask) | ((r->st.sp + release) & r->st.mask);
    if (!pop(cpu, i, r, &r->sp) || !pop(cpu, i, r, &r->ss) || !check_ss(cpu, r) ||
        !segment_check_rip(cpu, &r->cs_seg, r->rip, 0))
        return false;
    cpu->gpr[RSP] = returned_sp(cpu, r, r->sp + release);
    cpu->seg[SEG_SS] = r->ss_seg;
    commit_return(cpu, r);
    segment_drop_inner(cpu, r->cpl);
    return true;
}

static NOINLINE bool ret_far(struct cpu *cpu, const struct insn *i, unsigned size, u64 release)
{
    struct far_return r = {.size = size};
    stack_begin(cpu, &r.st);
    if (!pop(cpu, i, &r, &r.rip) || !pop(cpu, i, &r, &r.cs))
        return false;
    if (!cpu_is_protected(cpu))
        return ret_real(cpu, &r, release);
    if (!check_cs(cpu, &r))
        return false;
    if (r.cpl > cpu_cpl(cpu))
        return ret_outer(cpu, i, &r, release);
    if (!segment_check_rip(cpu, &r.cs_seg, r.rip, 0))
        return false;
    commit_return(cpu, &r);
    r.st.sp = (r.st.sp & ~r.st.mask) | ((r.st.sp + release) & r.st.mask);
    stack_commit(cpu, &r.st);
    return true;
}

static const struct insn *ret_far_finish(struct cpu *cpu, const struct insn *i, unsigned size,
                                         u64 release)
{
    if (!ret_far(cpu, i, size, release))
        return insn_fault(cpu, i);
    cpu_update_mode(cpu);
    return op_go(cpu, i);
}

/* ---- IRET ---- */

/* The flags an IRET at this CPL may change (SDM "IRET/IRETD/IRETQ"). */
static u64 iret_mask(const struct cpu *cpu, unsigned size)
{
    unsigned cpl = cpu_cpl(cpu), iopl = BITS(cpu->eflags, 13, 12);
    u64 mask = FLAGS_STATUS | FLAG_TF | FLAG_DF | FLAG_NT;
    if (size > 2)
        mask |= FLAG_RF | FLAG_AC | FLAG_ID;
    if (cpl <= iopl)
        mask |= FLAG_IF;
    if (cpl == 0) {
        mask |= FLAG_IOPL;
        if (size > 2)
            mask |= FLAG_VIF | FLAG_VIP;
    }
    return mask;
}

static void load_flags(struct cpu *cpu, u64 flags, u64 mask)
{
    set_rflags(cpu, (cpu_eflags(cpu) & ~mask) | (flags & mask));
}

static bool pop_frame(struct cpu *cpu, const struct insn *i, struct far_return *r)
{
    return pop(cpu, i, r, &r->rip) && pop(cpu, i, r, &r->cs) && pop(cpu, i, r, &r->flags);
}

static bool iret_real(struct cpu *cpu, const struct insn *i, struct far_return *r)
{
    if (!pop_frame(cpu, i, r))
        return false;
    if (r->rip > cpu->seg[SEG_CS].limit)
        return cpu_fault_gp(cpu, 0);
    u64 keep = r->size == 2 ? ~UINT64_C(0xffff) : FLAG_VM | FLAG_VIF | FLAG_VIP;
    segment_set_real(cpu, SEG_CS, (u16)r->cs);
    cpu->rip = r->rip;
    stack_commit(cpu, &r->st);
    load_flags(cpu, r->flags, ~keep);
    return true;
}

/* With CR4.VME and IOPL below 3, a 16-bit IRET changes VIF in place of IF. */
static bool iret_vme(struct cpu *cpu, const struct insn *i, struct far_return *r)
{
    if (!(cpu->cr4 & CR4_VME) || r->size != 2)
        return cpu_fault_gp(cpu, 0);
    if (!pop_frame(cpu, i, r))
        return false;
    if (((r->flags & FLAG_IF) && (cpu->eflags & FLAG_VIP)) || (r->flags & FLAG_TF))
        return cpu_fault_gp(cpu, 0);
    if (r->rip > cpu->seg[SEG_CS].limit)
        return cpu_fault_gp(cpu, 0);
    segment_set_vm86(cpu, SEG_CS, (u16)r->cs);
    cpu->rip = r->rip;
    stack_commit(cpu, &r->st);
    u64 vif = r->flags & FLAG_IF ? FLAG_VIF : 0;
    u64 mask = FLAGS_STATUS | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_VIF;
    load_flags(cpu, (r->flags & 0xffff) | vif, mask);
    return true;
}

static bool iret_vm86(struct cpu *cpu, const struct insn *i, struct far_return *r)
{
    if ((cpu->eflags & FLAG_IOPL) != FLAG_IOPL)
        return iret_vme(cpu, i, r);
    if (!pop_frame(cpu, i, r))
        return false;
    if (r->rip > cpu->seg[SEG_CS].limit)
        return cpu_fault_gp(cpu, 0);
    u64 keep = FLAG_VM | FLAG_IOPL | FLAG_VIP | FLAG_VIF;
    segment_set_vm86(cpu, SEG_CS, (u16)r->cs);
    cpu->rip = r->rip;
    stack_commit(cpu, &r->st);
    load_flags(cpu, r->flags, r->size == 2 ? 0xffff & ~keep : ~keep);
    return true;
}

/* SDM, label RETURN-TO-VIRTUAL-8086-MODE */
static bool iret_to_vm86(struct cpu *cpu, const struct insn *i, struct far_return *r)
{
    u64 seg[SEG_COUNT];
    if (!pop(cpu, i, r, &r->sp) || !pop(cpu, i, r, &r->ss) || !pop(cpu, i, r, &seg[SEG_ES]) ||
        !pop(cpu, i, r, &seg[SEG_DS]) || !pop(cpu, i, r, &seg[SEG_FS]) ||
        !pop(cpu, i, r, &seg[SEG_GS]))
        return false;
    if (r->rip > 0xffff)
        return cpu_fault_gp(cpu, 0);
    seg[SEG_CS] = r->cs;
    seg[SEG_SS] = r->ss;
    for (unsigned k = SEG_ES; k <= SEG_GS; k++)
        segment_set_vm86(cpu, (enum seg_id)k, (u16)seg[k]);
    cpu->gpr[RSP] = (u32)r->sp;
    cpu->rip = r->rip;
    set_rflags(cpu, r->flags);
    return true;
}

/* SDM, label TASK-RETURN */
static bool iret_task(struct cpu *cpu, const struct insn *i)
{
    struct task_event event = {.cause = TASK_IRET};
    u64 link;
    if (!lin_read_int(cpu, i, (u32)cpu->seg[SEG_TR].base, &link, 2, ACC_READ | ACC_SYSTEM))
        return false;
    cpu->rip = next_rip(cpu, i);
    return task_switch(cpu, (u16)link, &event);
}

/* A 64-bit IRET pops all five slots whatever they say: in one piece. */
static bool pop_long_frame(struct cpu *cpu, const struct insn *i, struct far_return *r)
{
    u64 frame[5];
    if (!lin_read(cpu, i, r->st.sp, frame, sizeof(frame), ACC_READ | ACC_SS))
        return false;
    r->rip = frame[0];
    r->cs = frame[1];
    r->flags = frame[2];
    r->sp = frame[3];
    r->ss = frame[4];
    return true;
}

static bool iret_long(struct cpu *cpu, const struct insn *i, struct far_return *r)
{
    if (!pop_long_frame(cpu, i, r) || !check_cs(cpu, r) || !check_ss(cpu, r) ||
        !segment_check_rip(cpu, &r->cs_seg, r->rip, 0))
        return false;
    cpu->gpr[RSP] = returned_sp(cpu, r, r->sp);
    cpu->seg[SEG_SS] = r->ss_seg;
    load_flags(cpu, r->flags, iret_mask(cpu, r->size));
    commit_return(cpu, r);
    if (r->cpl > cpu_cpl(cpu))
        segment_drop_inner(cpu, r->cpl);
    return true;
}

static bool iret_protected(struct cpu *cpu, const struct insn *i, struct far_return *r)
{
    bool from_64bit = cpu->mode & MODE_64;
    unsigned cpl = cpu_cpl(cpu);
    if (!pop_frame(cpu, i, r))
        return false;
    if ((r->flags & FLAG_VM) && r->size == 4 && cpl == 0 && !cpu_is_long(cpu))
        return iret_to_vm86(cpu, i, r);
    if (!check_cs(cpu, r))
        return false;
    bool outer = r->cpl > cpl;
    if (outer || from_64bit) {
        if (!pop(cpu, i, r, &r->sp) || !pop(cpu, i, r, &r->ss) || !check_ss(cpu, r))
            return false;
    }
    if (!segment_check_rip(cpu, &r->cs_seg, r->rip, 0))
        return false;
    if (outer || from_64bit) {
        cpu->gpr[RSP] = returned_sp(cpu, r, r->sp);
        cpu->seg[SEG_SS] = r->ss_seg;
    } else {
        stack_commit(cpu, &r->st);
    }
    load_flags(cpu, r->flags, iret_mask(cpu, r->size));
    commit_return(cpu, r);
    if (outer)
        segment_drop_inner(cpu, r->cpl);
    return true;
}

static NOINLINE bool iret(struct cpu *cpu, const struct insn *i, unsigned size)
{
    struct far_return r = {.size = size, .iret = true};
    stack_begin(cpu, &r.st);
    if (!(cpu->mode & MODE_PE))
        return iret_real(cpu, i, &r);
    if (cpu->mode & MODE_VM86)
        return iret_vm86(cpu, i, &r);
    if (!(cpu->eflags & FLAG_NT))
        return (cpu->mode & MODE_64) && size == 8 ? iret_long(cpu, i, &r)
                                                  : iret_protected(cpu, i, &r);
    return cpu_is_long(cpu) ? cpu_fault_gp(cpu, 0) : iret_task(cpu, i);
}

/*
 * IRET ends blocking by NMI even if it then faults, which a VM exit reports. With NMI exiting but no
 * virtual NMIs it leaves the blocking alone (SDM "Changes to Instruction Behavior in VMX Non-Root Operation").
 */
static bool unblock_nmis(struct cpu *cpu)
{
    bool was = cpu->nmi_blocked;
    if ((cpu->virt_exits & (VIRT_NMI | VIRT_VNMI)) == VIRT_NMI)
        return false;
    cpu->nmi_blocked = false;
    return was;
}

static const struct insn *iret_finish(struct cpu *cpu, const struct insn *i, unsigned size)
{
    u16 tr = cpu->seg[SEG_TR].selector;
    bool unblocked = unblock_nmis(cpu);
    if (iret(cpu, i, size)) {
        cpu_update_mode(cpu);
        return op_go(cpu, i);
    }
    cpu->exc.nmi_unblocked = cpu->exit.nmi_unblocked = unblocked;
    return cpu->seg[SEG_TR].selector != tr ? insn_leave_at(cpu, i, cpu->rip) : insn_fault(cpu, i);
}

#define RETURN_HANDLERS(bits)                                                                      \
    static HANDLER(ret_far_##bits)                                                                 \
    {                                                                                              \
        return ret_far_finish(cpu, i, (bits) / 8, 0);                                              \
    }                                                                                              \
    static HANDLER(ret_far_imm_##bits)                                                             \
    {                                                                                              \
        return ret_far_finish(cpu, i, (bits) / 8, i->imm);                                         \
    }                                                                                              \
    static HANDLER(iret_##bits)                                                                    \
    {                                                                                              \
        return iret_finish(cpu, i, (bits) / 8);                                                    \
    }
RETURN_HANDLERS(16)
RETURN_HANDLERS(32)
RETURN_HANDLERS(64)

FAMILY_SIZES(ret_far, ret_far_16, ret_far_32, ret_far_64);
FAMILY_SIZES(ret_far_imm, ret_far_imm_16, ret_far_imm_32, ret_far_imm_64);
FAMILY_SIZES(iret, iret_16, iret_32, iret_64);

/* ---- Software interrupts ---- */

/* INT3, INTO and INT1 are subject to the exception bitmap. */
static bool soft_exits(struct cpu *cpu, enum event_kind kind, u8 vector)
{
    struct exception e = {.vector = vector};
    u32 type = kind == EVENT_PRIV_SOFT ? INTR_PRIV_SOFT_EXCEPTION : INTR_SOFT_EXCEPTION;
    return cpu->virt->event(cpu, type, &e);
}

static const struct insn *soft_event(struct cpu *cpu, const struct insn *i, enum event_kind kind,
                                     u8 vector)
{
    u16 tr = cpu->seg[SEG_TR].selector;
    if (unlikely(cpu->nonroot) && kind != EVENT_SOFT_INT && soft_exits(cpu, kind, vector))
        return insn_fault(cpu, i);
    cpu->rip = next_rip(cpu, i);
    if (cpu_deliver(cpu, kind, vector, false, 0)) {
        cpu->no_step = true;
        return op_go(cpu, i);
    }
    return cpu->seg[SEG_TR].selector != tr ? insn_leave_at(cpu, i, cpu->rip) : insn_fault(cpu, i);
}

static HANDLER(op_int)
{
    return soft_event(cpu, i, EVENT_SOFT_INT, (u8)i->imm);
}
FAMILY_ONE(int, op_int);

static HANDLER(op_int3)
{
    return soft_event(cpu, i, EVENT_SOFT_EXC, EXC_BP);
}
FAMILY_ONE(int3, op_int3);

static HANDLER(op_int1)
{
    return soft_event(cpu, i, EVENT_PRIV_SOFT, EXC_DB);
}
FAMILY_ONE(int1, op_int1);

static COLD HANDLER(op_into)
{
    if (cpu_status_flags(cpu) & FLAG_OF)
        return soft_event(cpu, i, EVENT_SOFT_EXC, EXC_OF);
    return insn_leave(cpu, i);
}
FAMILY_ONE(into, op_into);
