/* SPDX-License-Identifier: MIT */
/*
 * The hardware task switch (SDM "Task Switching"). Up to the commit point, faults are the old task's
 * and nothing has changed; after it they are the new task's, whose state is what was loaded so far.
 */
#include "cpu/control.h"
#include "cpu/segment.h"

#define TSS_LINK 0
#define TSS32_LIMIT_MIN 0x67
#define TSS16_LIMIT_MIN 0x2b
#define DR6_BT BIT(15)

/* A TSS's dynamic part, whatever its layout. */
struct task {
    struct segment tr;
    bool wide; /* 32-bit TSS */
    u64 cr3, eip, eflags;
    u64 gpr[8];
    u64 sel[6]; /* by enum seg_id */
    u64 ldt;
    u64 trap;
};

/* The fields of a 32-bit and a 16-bit TSS. */
struct layout {
    u8 eip, eflags, gpr, seg, segs, ldt, size;
};
static const struct layout layouts[2] = {
    {.eip = 14, .eflags = 16, .gpr = 18, .seg = 34, .segs = 4, .ldt = 42, .size = 2},
    {.eip = 32, .eflags = 36, .gpr = 40, .seg = 72, .segs = 6, .ldt = 96, .size = 4},
};

static bool tss_get(struct cpu *cpu, const struct segment *tr, unsigned at, u64 *val, unsigned size)
{
    return lin_read_int(cpu, NULL, (u32)(tr->base + at), val, size, ACC_READ | ACC_SYSTEM);
}

static bool tss_put(struct cpu *cpu, const struct segment *tr, unsigned at, u64 val, unsigned size)
{
    return lin_write_int(cpu, NULL, (u32)(tr->base + at), val, size, ACC_WRITE | ACC_SYSTEM);
}

/* Can all of [0, bytes) of this TSS be read and written? Then no access to it faults any more. */
static bool probe(struct cpu *cpu, const struct segment *tr, unsigned bytes)
{
    for (unsigned at = 0; at < bytes; at += 4)
        if (!lin_probe(cpu, NULL, (u32)(tr->base + at), 4, ACC_READ | ACC_WRITE | ACC_SYSTEM))
            return false;
    return true;
}

static bool tss_is_wide(const struct segment *tr)
{
    return tr->attr & 8;
}

static unsigned tss_bytes(const struct segment *tr)
{
    return (tss_is_wide(tr) ? TSS32_LIMIT_MIN : TSS16_LIMIT_MIN) + 1;
}

/* ---- Before the commit point ---- */

static bool check_new_tss(struct cpu *cpu, u16 sel, const struct task_event *event,
                          struct segment *tr)
{
    bool iret = event->cause == TASK_IRET;
    enum vector vector = iret ? EXC_TS : EXC_GP;
    u32 error = SEL_ERROR(sel) | event->ext;
    struct desc d;
    if (sel & 4)
        return cpu_fault_err(cpu, vector, error);
    if (!desc_fetch(cpu, sel, vector, event->ext, &d))
        return false;
    unsigned type = desc_type(d.lo) & ~8u;
    if (!desc_is_system(d.lo) || type != (iret ? TYPE_TSS16_BUSY : TYPE_TSS16))
        return cpu_fault_err(cpu, vector, error);
    if (!desc_present(d.lo))
        return cpu_fault_err(cpu, EXC_NP, error);
    segment_set(tr, sel, &d);
    if (tr->limit < (tss_is_wide(tr) ? TSS32_LIMIT_MIN : TSS16_LIMIT_MIN))
        return cpu_fault_err(cpu, EXC_TS, error);
    return true;
}

static bool read_task(struct cpu *cpu, struct task *t)
{
    t->wide = tss_is_wide(&t->tr);
    const struct layout *l = &layouts[t->wide];
    bool ok = tss_get(cpu, &t->tr, l->eip, &t->eip, l->size) &&
              tss_get(cpu, &t->tr, l->eflags, &t->eflags, l->size) &&
              tss_get(cpu, &t->tr, l->ldt, &t->ldt, 2);
    for (unsigned k = 0; ok && k < 8; k++)
        ok = tss_get(cpu, &t->tr, l->gpr + k * l->size, &t->gpr[k], l->size);
    for (unsigned k = 0; ok && k < l->segs; k++)
        ok = tss_get(cpu, &t->tr, l->seg + k * l->size, &t->sel[k], 2);
    if (ok && t->wide)
        ok = tss_get(cpu, &t->tr, 28, &t->cr3, 4) && tss_get(cpu, &t->tr, 100, &t->trap, 2);
    return ok;
}

static bool save_task(struct cpu *cpu, u64 eflags)
{
    const struct segment *tr = &cpu->seg[SEG_TR];
    const struct layout *l = &layouts[tss_is_wide(tr)];
    bool ok =
        tss_put(cpu, tr, l->eip, cpu->rip, l->size) && tss_put(cpu, tr, l->eflags, eflags, l->size);
    for (unsigned k = 0; ok && k < 8; k++)
        ok = tss_put(cpu, tr, l->gpr + k * l->size, cpu->gpr[k], l->size);
    for (unsigned k = 0; ok && k < l->segs; k++)
        ok = tss_put(cpu, tr, l->seg + k * l->size, cpu->seg[k].selector, 2);
    return ok;
}

/* Busy bits and the link, which make the switch visible in memory. */
static bool link_tasks(struct cpu *cpu, const struct task *t, enum task_cause cause)
{
    u16 old = cpu->seg[SEG_TR].selector;
    if ((cause == TASK_JMP || cause == TASK_IRET) && !desc_set_busy(cpu, old, false))
        return false;
    bool nested = cause == TASK_CALL || cause == TASK_EVENT;
    if (nested && !tss_put(cpu, &t->tr, TSS_LINK, old, 2))
        return false;
    return cause == TASK_IRET || desc_set_busy(cpu, t->tr.selector, true);
}

/* ---- After it ---- */

static bool load_cr3(struct cpu *cpu, const struct task *t, u32 ext)
{
    if (!t->wide || !(cpu->cr0 & CR0_PG) || t->cr3 == cpu->cr3)
        return true;
    if (cpu_uses_pdptes(cpu->cr0, cpu->cr4, cpu->efer) && !cpu_load_pdptes(cpu, t->cr3)) {
        cpu->exc.error = ext;
        return false;
    }
    cpu->cr3 = t->cr3;
    tlb_flush_space(&cpu->tlb_store, cpu->vpid, 0, true);
    return true;
}

static bool load_ldt(struct cpu *cpu, u16 sel, u32 ext)
{
    u32 error = SEL_ERROR(sel) | ext;
    struct desc d;
    if (SEL_NULL(sel))
        return true;
    if (sel & 4)
        return cpu_fault_err(cpu, EXC_TS, error);
    if (!desc_fetch(cpu, sel, EXC_TS, ext, &d))
        return false;
    if (!desc_is_system(d.lo) || desc_type(d.lo) != TYPE_LDT || !desc_present(d.lo))
        return cpu_fault_err(cpu, EXC_TS, error);
    segment_set(&cpu->seg[SEG_LDTR], sel, &d);
    return true;
}

static bool load_cs(struct cpu *cpu, u16 sel, u32 ext)
{
    u32 error = SEL_ERROR(sel) | ext;
    struct desc d;
    if (SEL_NULL(sel))
        return cpu_fault_err(cpu, EXC_TS, ext);
    if (!desc_fetch(cpu, sel, EXC_TS, ext, &d))
        return false;
    bool level =
        desc_is_conforming(d.lo) ? desc_dpl(d.lo) <= SEL_RPL(sel) : desc_dpl(d.lo) == SEL_RPL(sel);
    if (!desc_is_code(d.lo) || !level)
        return cpu_fault_err(cpu, EXC_TS, error);
    if (!desc_present(d.lo))
        return cpu_fault_err(cpu, EXC_NP, error);
    if (!desc_set_accessed(cpu, sel, &d))
        return false;
    segment_set(&cpu->seg[SEG_CS], sel, &d);
    return true;
}

static bool load_data(struct cpu *cpu, enum seg_id id, u16 sel, u32 ext)
{
    u32 error = SEL_ERROR(sel) | ext;
    struct desc d;
    if (SEL_NULL(sel))
        return true;
    if (!desc_fetch(cpu, sel, EXC_TS, ext, &d))
        return false;
    bool code = desc_is_code(d.lo), readable = !code || (d.lo >> 41 & 1);
    bool level = desc_is_conforming(d.lo) ||
                 (SEL_RPL(sel) <= desc_dpl(d.lo) && cpu_cpl(cpu) <= desc_dpl(d.lo));
    if (desc_is_system(d.lo) || !readable || !level)
        return cpu_fault_err(cpu, EXC_TS, error);
    if (!desc_present(d.lo))
        return cpu_fault_err(cpu, EXC_NP, error);
    if (!desc_set_accessed(cpu, sel, &d))
        return false;
    segment_set(&cpu->seg[id], sel, &d);
    return true;
}

/* All selectors are there before the first descriptor is looked at; the CPL is that of CS. */
static void load_selectors(struct cpu *cpu, const struct task *t)
{
    unsigned cpl = SEL_RPL(t->sel[SEG_CS]);
    for (unsigned k = 0; k <= SEG_GS; k++)
        segment_set_null(&cpu->seg[k], (u16)t->sel[k], k == SEG_SS ? cpl : 0);
    segment_set_null(&cpu->seg[SEG_LDTR], (u16)t->ldt, 0);
}

static bool load_segments(struct cpu *cpu, const struct task *t, u32 ext)
{
    if (!load_ldt(cpu, (u16)t->ldt, ext))
        return false;
    if (cpu->eflags & FLAG_VM) {
        for (unsigned k = 0; k <= SEG_GS; k++)
            segment_set_vm86(cpu, (enum seg_id)k, (u16)t->sel[k]);
        return true;
    }
    u16 ss = (u16)t->sel[SEG_SS];
    if (!load_cs(cpu, (u16)t->sel[SEG_CS], ext))
        return false;
    if (SEL_NULL(ss))
        return cpu_fault_err(cpu, EXC_TS, ext);
    struct segment s;
    if (!segment_check_ss(cpu, ss, cpu_cpl(cpu), EXC_TS, ext, &s))
        return false;
    cpu->seg[SEG_SS] = s;
    static const enum seg_id data[] = {SEG_DS, SEG_ES, SEG_FS, SEG_GS};
    for (unsigned k = 0; k < ARRAY_SIZE(data); k++)
        if (!load_data(cpu, data[k], (u16)t->sel[data[k]], ext))
            return false;
    return true;
}

static bool push_error(struct cpu *cpu, const struct task *t, const struct task_event *event)
{
    struct new_stack st;
    unsigned size = t->wide ? 4 : 2;
    new_stack_current(cpu, &st);
    if (!new_stack_room(cpu, &st, 1, size, event->ext) ||
        !new_stack_push(cpu, NULL, &st, event->error, size))
        return false;
    cpu->gpr[RSP] = st.sp;
    return true;
}

static void load_registers(struct cpu *cpu, const struct task *t, const struct task_event *event)
{
    bool nested = event->cause == TASK_CALL || event->cause == TASK_EVENT;
    cpu->rip = t->eip;
    set_rflags(cpu, t->eflags | (nested ? FLAG_NT : 0));
    for (unsigned k = 0; k < 8; k++)
        cpu->gpr[k] = t->wide ? t->gpr[k] : (cpu->gpr[k] & ~UINT64_C(0xffff)) | t->gpr[k];
    cpu->cr0 |= CR0_TS;
    cpu->dr[7] &= ~UINT64_C(0x155); /* local enables */
}

/* Everything after the commit point. */
static bool enter_task(struct cpu *cpu, const struct task *t, const struct task_event *event)
{
    cpu->seg[SEG_TR] = t->tr;
    cpu->seg[SEG_TR].attr |= 2; /* busy */
    load_registers(cpu, t, event);
    load_selectors(cpu, t);
    bool ok = load_cr3(cpu, t, event->ext);
    cpu_update_mode(cpu);
    ok = ok && load_segments(cpu, t, event->ext);
    cpu_update_mode(cpu);
    ok = ok && (!event->has_error || push_error(cpu, t, event));
    ok = ok && segment_check_rip(cpu, &cpu->seg[SEG_CS], cpu->rip, event->ext);
    if (t->trap & 1)
        cpu->debug_hits |= DR6_BT;
    return ok;
}

bool task_switch(struct cpu *cpu, u16 sel, const struct task_event *event)
{
    struct task t = {0};
    u64 eflags = cpu_eflags(cpu);
    if (event->cause == TASK_IRET)
        eflags &= ~FLAG_NT;
    if (!check_new_tss(cpu, sel, event, &t.tr))
        return false;
    if (cpu->nonroot) { /* always an exit: SDM "Treatment of Task Switches" */
        cpu->virt->task_switch(cpu, sel, event->cause);
        return false;
    }
    if (!probe(cpu, &cpu->seg[SEG_TR], tss_bytes(&cpu->seg[SEG_TR])) ||
        !probe(cpu, &t.tr, tss_bytes(&t.tr)))
        return false;
    if (!save_task(cpu, eflags) || !read_task(cpu, &t) || !link_tasks(cpu, &t, event->cause))
        return false;
    return enter_task(cpu, &t, event);
}
