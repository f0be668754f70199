/* SPDX-License-Identifier: MIT */
/*
 * Delivery of one event through the IDT (SDM "INT n/INTO/INT3/INT1 - Call to Interrupt Procedure",
 * "Interrupt and Exception Handling"). Everything that can fault is done before state changes.
 */
#include "cpu/segment.h"
#include "cpu/virt.h"

struct delivery {
    enum event_kind kind;
    u8 vector;
    bool has_error;
    u32 error;
    unsigned cpl; /* of what is interrupted */
    u32 ext;      /* EXT bit of the error codes of faults met on the way */
    bool soft;    /* INT n, INT3, INTO: the gate's DPL is checked */
};

/* An error code that names the gate: IDT bit set. */
static u32 gate_error(const struct delivery *dv)
{
    return (u32)dv->vector << 3 | 2 | dv->ext;
}

/* ---- Real-address mode ---- */

static bool push_real_frame(struct cpu *cpu, struct stack *st, u64 flags)
{
    return stack_push(cpu, NULL, st, flags & 0xffff, 2) &&
           stack_push(cpu, NULL, st, cpu->seg[SEG_CS].selector, 2) &&
           stack_push(cpu, NULL, st, cpu->rip & 0xffff, 2);
}

static bool deliver_real(struct cpu *cpu, const struct delivery *dv)
{
    u64 target;
    struct stack st;
    if (dv->vector * 4u + 3 > cpu->idtr.limit)
        return cpu_fault_gp(cpu, gate_error(dv));
    u64 lin = (u32)(cpu->idtr.base + dv->vector * 4u);
    if (!lin_read_int(cpu, NULL, lin, &target, 4, ACC_READ | ACC_SYSTEM))
        return false;
    u64 flags = cpu_eflags(cpu);
    stack_begin(cpu, &st);
    if (!push_real_frame(cpu, &st, flags))
        return false;
    stack_commit(cpu, &st);
    segment_set_real(cpu, SEG_CS, (u16)(target >> 16));
    cpu->rip = target & 0xffff;
    set_rflags(cpu, flags & ~(FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF));
    return true;
}

/* ---- Virtual-8086 mode: INT n (SDM "Software Interrupt Handling Methods") ---- */

/* The interrupt's bit in the TSS's redirection bitmap: 32 bytes that end where the I/O map begins. */
static bool redirection_bit(struct cpu *cpu, u8 vector, bool *protect)
{
    const struct segment *tr = &cpu->seg[SEG_TR];
    u64 map, byte;
    if (tr->limit < 103)
        return cpu_fault_gp(cpu, 0);
    if (!lin_read_int(cpu, NULL, (u32)(tr->base + 102), &map, 2, ACC_READ | ACC_SYSTEM))
        return false;
    u64 offset = map - 32 + vector / 8;
    if (map < 32 || offset > tr->limit)
        return cpu_fault_gp(cpu, 0);
    if (!lin_read_int(cpu, NULL, (u32)(tr->base + offset), &byte, 1, ACC_READ | ACC_SYSTEM))
        return false;
    *protect = (byte >> (vector & 7)) & 1;
    return true;
}

/* To the virtual machine's own handler, as a processor in real-address mode would. */
static bool redirect_vm86(struct cpu *cpu, u8 vector)
{
    u64 target, flags = cpu_eflags(cpu), image = flags;
    bool iopl3 = (flags & FLAG_IOPL) == FLAG_IOPL;
    struct stack st;
    if (!lin_read_int(cpu, NULL, vector * 4u, &target, 4, ACC_READ))
        return false;
    if (!iopl3)
        image = (image & ~FLAG_IF) | FLAG_IOPL | (flags & FLAG_VIF ? FLAG_IF : 0);
    stack_begin(cpu, &st);
    if (!push_real_frame(cpu, &st, image))
        return false;
    stack_commit(cpu, &st);
    segment_set_vm86(cpu, SEG_CS, (u16)(target >> 16));
    cpu->rip = target & 0xffff;
    set_rflags(cpu, flags & ~((iopl3 ? FLAG_IF : FLAG_VIF) | FLAG_TF | FLAG_RF));
    return true;
}

/* ---- Gates ---- */

static bool gate_type_ok(const struct cpu *cpu, unsigned type)
{
    if (type == TYPE_INTR32 || type == TYPE_TRAP32)
        return true;
    return !cpu_is_long(cpu) &&
           (type == TYPE_INTR16 || type == TYPE_TRAP16 || type == TYPE_TASK_GATE);
}

static bool read_gate(struct cpu *cpu, const struct delivery *dv, struct desc *gate)
{
    unsigned size = cpu_is_long(cpu) ? 16 : 8;
    u64 lin = cpu->idtr.base + dv->vector * size;
    gate->hi = 0;
    if (dv->vector * size + size - 1 > cpu->idtr.limit)
        return cpu_fault_gp(cpu, gate_error(dv));
    if (size == 8)
        lin = (u32)lin;
    if (!lin_read(cpu, NULL, lin, gate, size, ACC_READ | ACC_SYSTEM))
        return false;
    if (!desc_is_system(gate->lo) || !gate_type_ok(cpu, desc_type(gate->lo)))
        return cpu_fault_gp(cpu, gate_error(dv));
    if (dv->soft && desc_dpl(gate->lo) < dv->cpl)
        return cpu_fault_gp(cpu, gate_error(dv));
    if (!desc_present(gate->lo))
        return cpu_fault_err(cpu, EXC_NP, gate_error(dv));
    return true;
}

struct target {
    struct segment cs;
    u64 rip;
    unsigned cpl;
};

/* The handler's code segment. */
static bool check_target(struct cpu *cpu, const struct delivery *dv, const struct desc *gate,
                         struct target *to)
{
    u16 sel = gate_selector(gate->lo);
    u32 error = SEL_ERROR(sel) | dv->ext;
    struct desc d;
    if (SEL_NULL(sel))
        return cpu_fault_gp(cpu, dv->ext);
    if (!desc_fetch(cpu, sel, EXC_GP, dv->ext, &d))
        return false;
    if (!desc_is_code(d.lo) || desc_dpl(d.lo) > dv->cpl)
        return cpu_fault_gp(cpu, error);
    if (cpu_is_long(cpu) && (desc_attr(d.lo) & (ATTR_L | ATTR_DB)) != ATTR_L)
        return cpu_fault_gp(cpu, error);
    if (!desc_present(d.lo))
        return cpu_fault_err(cpu, EXC_NP, error);
    to->cpl = desc_is_conforming(d.lo) ? dv->cpl : desc_dpl(d.lo);
    if ((cpu->mode & MODE_VM86) && to->cpl != 0)
        return cpu_fault_gp(cpu, error);
    if (!desc_set_accessed(cpu, sel, &d))
        return false;
    segment_set(&to->cs, (u16)((sel & ~3u) | to->cpl), &d);
    to->rip = gate_offset(gate, desc_type(gate->lo) & 8);
    return true;
}

static void enter_handler(struct cpu *cpu, const struct target *to, const struct new_stack *st,
                          bool interrupt_gate)
{
    u64 off = FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM | (interrupt_gate ? FLAG_IF : 0);
    cpu->eflags &= ~off;
    cpu->seg[SEG_CS] = to->cs;
    cpu->seg[SEG_SS] = st->ss;
    cpu->gpr[RSP] = st->sp;
    cpu->rip = to->rip;
}

/* The part of the frame that every gate builds. */
static bool push_frame(struct cpu *cpu, const struct delivery *dv, struct new_stack *st,
                       unsigned size)
{
    return new_stack_push(cpu, NULL, st, cpu_eflags(cpu), size) &&
           new_stack_push(cpu, NULL, st, cpu->seg[SEG_CS].selector, size) &&
           new_stack_push(cpu, NULL, st, cpu->rip, size) &&
           (!dv->has_error || new_stack_push(cpu, NULL, st, dv->error, size));
}

/* SDM "64-Bit Mode Stack Frame": always with SS and RSP, aligned, in one piece. */
static bool push_long_frame(struct cpu *cpu, const struct delivery *dv, struct new_stack *st)
{
    u64 frame[6] = {dv->error,       cpu->rip,      cpu->seg[SEG_CS].selector,
                    cpu_eflags(cpu), cpu->gpr[RSP], cpu->seg[SEG_SS].selector};
    unsigned first = dv->has_error ? 0 : 1;
    unsigned size = (6 - first) * 8;
    st->sp -= size;
    return lin_write(cpu, NULL, st->sp, &frame[first], size, ACC_WRITE | ACC_SS | st->acc);
}

static bool deliver_long(struct cpu *cpu, const struct delivery *dv)
{
    struct desc gate;
    struct target to;
    struct new_stack st;
    if (!read_gate(cpu, dv, &gate) || !check_target(cpu, dv, &gate, &to))
        return false;
    unsigned ist = (gate.lo >> 32) & 7;
    bool inner = to.cpl < dv->cpl;
    new_stack_current(cpu, &st);
    st.acc = to.cpl == 3 ? ACC_USER : 0;
    st.wide = true;
    st.mask = UINT64_MAX;
    if (inner || ist) {
        struct segment ss = st.ss;
        if (!new_stack_from_tss(cpu, to.cpl, ist, dv->ext, &st))
            return false;
        if (!inner)
            st.ss = ss; /* an interrupt stack without a change of level leaves SS alone */
    }
    st.sp &= ~UINT64_C(15);
    if (!new_stack_room(cpu, &st, 5 + dv->has_error, 8, dv->ext) ||
        !segment_check_rip(cpu, &to.cs, to.rip, dv->ext) || !push_long_frame(cpu, dv, &st))
        return false;
    enter_handler(cpu, &to, &st, desc_type(gate.lo) == TYPE_INTR32);
    return true;
}

static bool push_vm86_segments(struct cpu *cpu, struct new_stack *st, unsigned size)
{
    static const enum seg_id order[] = {SEG_GS, SEG_FS, SEG_DS, SEG_ES};
    for (unsigned k = 0; k < ARRAY_SIZE(order); k++)
        if (!new_stack_push(cpu, NULL, st, cpu->seg[order[k]].selector, size))
            return false;
    return true;
}

static void drop_vm86_segments(struct cpu *cpu)
{
    segment_set_null(&cpu->seg[SEG_GS], 0, 0);
    segment_set_null(&cpu->seg[SEG_FS], 0, 0);
    segment_set_null(&cpu->seg[SEG_DS], 0, 0);
    segment_set_null(&cpu->seg[SEG_ES], 0, 0);
}

static bool deliver_gate(struct cpu *cpu, const struct delivery *dv, const struct desc *gate)
{
    struct target to;
    struct new_stack st;
    if (!check_target(cpu, dv, gate, &to))
        return false;
    bool vm86 = cpu->mode & MODE_VM86;
    bool inner = to.cpl < dv->cpl;
    unsigned size = desc_type(gate->lo) & 8 ? 4 : 2;
    unsigned slots = 3u + dv->has_error + (inner ? 2 : 0) + (vm86 ? 4 : 0);
    u32 ss_error = dv->ext;
    new_stack_current(cpu, &st);
    if (inner) {
        if (!new_stack_from_tss(cpu, to.cpl, 0, dv->ext, &st))
            return false;
        ss_error |= SEL_ERROR(st.ss.selector);
    }
    if (!new_stack_room(cpu, &st, slots, size, ss_error) ||
        !segment_check_rip(cpu, &to.cs, to.rip, dv->ext))
        return false;
    if (vm86 && !push_vm86_segments(cpu, &st, size))
        return false;
    if (inner && (!new_stack_push(cpu, NULL, &st, cpu->seg[SEG_SS].selector, size) ||
                  !new_stack_push(cpu, NULL, &st, cpu->gpr[RSP], size)))
        return false;
    if (!push_frame(cpu, dv, &st, size))
        return false;
    if (vm86)
        drop_vm86_segments(cpu);
    enter_handler(cpu, &to, &st, !(desc_type(gate->lo) & 1));
    return true;
}

static bool deliver_protected(struct cpu *cpu, const struct delivery *dv)
{
    struct desc gate;
    if (!read_gate(cpu, dv, &gate))
        return false;
    if (desc_type(gate.lo) != TYPE_TASK_GATE)
        return deliver_gate(cpu, dv, &gate);
    struct task_event event = {
        .cause = TASK_EVENT, .has_error = dv->has_error, .error = dv->error, .ext = dv->ext};
    return task_switch(cpu, gate_selector(gate.lo), &event);
}

static bool deliver_vm86_int(struct cpu *cpu, const struct delivery *dv)
{
    bool protect = true;
    if ((cpu->cr4 & CR4_VME) && !redirection_bit(cpu, dv->vector, &protect))
        return false;
    if (!protect)
        return redirect_vm86(cpu, dv->vector);
    if ((cpu->eflags & FLAG_IOPL) != FLAG_IOPL)
        return cpu_fault_gp(cpu, 0);
    return deliver_protected(cpu, dv);
}

/* SDM "Information for VM Exits That Occur During Event Delivery" */
static void note_vectoring(struct cpu *cpu, const struct delivery *dv)
{
    static const u8 types[] = {
        [EVENT_EXTERNAL] = INTR_EXTERNAL,       [EVENT_NMI] = INTR_NMI,
        [EVENT_FAULT] = INTR_HARD_EXCEPTION,    [EVENT_SOFT_INT] = INTR_SOFT_INT,
        [EVENT_SOFT_EXC] = INTR_SOFT_EXCEPTION, [EVENT_PRIV_SOFT] = INTR_PRIV_SOFT_EXCEPTION,
    };
    u32 info = INTR_VALID | dv->vector | (u32)types[dv->kind] << 8 |
               (dv->has_error ? INTR_ERROR_VALID : 0);
    if (cpu->exit.pending) {
        cpu->exit.vect_info = info;
        cpu->exit.vect_error = dv->error;
    } else {
        cpu->exc.vect_info = info;
        cpu->exc.vect_error = dv->error;
    }
}

bool cpu_deliver(struct cpu *cpu, enum event_kind kind, u8 vector, bool has_error, u32 error)
{
    bool soft = kind == EVENT_SOFT_INT || kind == EVENT_SOFT_EXC;
    struct delivery dv = {.kind = kind,
                          .vector = vector,
                          .has_error = has_error,
                          .error = error,
                          .cpl = cpu_cpl(cpu),
                          .ext = soft ? 0 : 1,
                          .soft = soft};
    bool ok;
    cpu->delivering = true;
    if (cpu_is_long(cpu) && dv.cpl == 3)
        cpu_enter_supervisor(cpu);
    if (!(cpu->mode & MODE_PE))
        ok = deliver_real(cpu, &dv);
    else if ((cpu->mode & MODE_VM86) && kind == EVENT_SOFT_INT)
        ok = deliver_vm86_int(cpu, &dv);
    else
        ok = cpu_is_long(cpu) ? deliver_long(cpu, &dv) : deliver_protected(cpu, &dv);
    cpu->delivering = false;
    if (!ok && cpu_is_long(cpu) && dv.cpl == 3)
        cpu_update_mode(cpu);
    if (!ok) {
        note_vectoring(cpu, &dv);
        return false;
    }
    if (kind == EVENT_NMI)
        cpu->nmi_blocked = true;
    cpu->activity = ACTIVITY_RUN;
    cpu->irq_shadow = cpu->mov_ss_shadow = false;
    cpu_update_mode(cpu);
    return true;
}
