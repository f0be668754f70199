/* SPDX-License-Identifier: MIT */
/* Accepting, ranking and acknowledging interrupts. */
#include "cpu/lapic.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cpu/lapic_state.h"

/* ---- Vectors as bits ---- */

static void set_vector(u32 *bits, unsigned v, bool on)
{
    if (on)
        bits[v / 32] |= BIT32(v % 32);
    else
        bits[v / 32] &= ~BIT32(v % 32);
}

static bool has_vector(const u32 *bits, unsigned v)
{
    return (bits[v / 32] >> (v % 32)) & 1;
}

/* The highest vector set, -1 if none. */
static int highest(const u32 *bits)
{
    for (int n = 7; n >= 0; n--)
        if (bits[n])
            return n * 32 + 31 - __builtin_clz(bits[n]);
    return -1;
}

/* ---- Priorities ---- */

/* SDM "Task and Processor Priorities" */
u32 lapic_ppr(const struct lapic *l)
{
    int servicing = highest(l->isr);
    u32 class = servicing < 0 ? 0 : (u32)servicing & 0xf0;
    return (l->tpr & 0xf0) >= class ? l->tpr : class;
}

static bool lint_is_extint(const struct lapic *l, unsigned input)
{
    u32 lvt = l->lvt[LVT_LINT0 + input];
    return l->lint[input] && !(lvt & LVT_MASKED) && LVT_MODE(lvt) == APIC_EXTINT;
}

/* With the local APIC off, LINT0 is the processor's INTR pin. */
static bool extint_waits(const struct lapic *l)
{
    if (!lapic_enabled(l))
        return l->lint[0];
    return l->extint_msg || lint_is_extint(l, 0) || lint_is_extint(l, 1);
}

/* The vector that outranks what the processor does now, -1 if none. */
static int deliverable(const struct lapic *l)
{
    int v = highest(l->irr);
    if (v < 0 || !lapic_enabled(l))
        return -1;
    return ((u32)v & 0xf0) > (lapic_ppr(l) & 0xf0) ? v : -1;
}

bool lapic_has_interrupt(const struct lapic *l)
{
    return extint_waits(l) || deliverable(l) >= 0;
}

void lapic_update(struct lapic *l)
{
    bool want = lapic_has_interrupt(l), have = l->cpu->pending & PEND_INTR;
    if (want && !have)
        cpu_raise_pending(l->cpu, PEND_INTR);
    else if (!want && have)
        cpu_clear_pending(l->cpu, PEND_INTR);
}

int lapic_ack(struct lapic *l)
{
    if (extint_waits(l)) {
        l->extint_msg = false;
        lapic_update(l);
        return LAPIC_EXTINT;
    }
    int v = deliverable(l);
    if (v < 0) /* withdrawn while the processor was answering */
        return (int)(l->svr & 0xff);
    set_vector(l->irr, (unsigned)v, false);
    set_vector(l->isr, (unsigned)v, true);
    lapic_update(l);
    return v;
}

/* ---- Accepting ---- */

void lapic_error(struct lapic *l, u32 esr_bit)
{
    l->esr_next |= esr_bit;
    u32 lvt = l->lvt[LVT_ERROR];
    if (!(lvt & LVT_MASKED) && (lvt & 0xff) >= 16) /* else it would be an error again */
        lapic_accept(l, (u8)lvt, false);
}

void lapic_accept(struct lapic *l, u8 vector, bool level)
{
    if (!lapic_enabled(l) || !lapic_software_enabled(l))
        return;
    if (vector < 16) {
        lapic_error(l, ESR_RECEIVE_ILLEGAL);
        return;
    }
    if (log_on(LOG_APIC))
        log_msg(LOG_APIC, "CPU %u accepts vector %#x%s", l->cpu->index, vector,
                level ? ", level" : "");
    set_vector(l->irr, vector, true);
    set_vector(l->tmr, vector, level);
    lapic_update(l);
}

/* Level-triggered LINT pins hold off until the EOI of the last one. */
static void local_fixed(struct lapic *l, enum lvt n)
{
    u32 lvt = l->lvt[n];
    bool level = (n == LVT_LINT0 || n == LVT_LINT1) && (lvt & LVT_LEVEL);
    if (level && (lvt & LVT_REMOTE_IRR))
        return;
    if (level)
        l->lvt[n] |= LVT_REMOTE_IRR;
    lapic_accept(l, (u8)lvt, level);
}

void lapic_local(struct lapic *l, enum lvt n)
{
    u32 lvt = l->lvt[n];
    if (lvt & LVT_MASKED)
        return;
    switch (n == LVT_TIMER || n == LVT_ERROR ? APIC_FIXED : LVT_MODE(lvt)) {
    case APIC_FIXED:
        local_fixed(l, n);
        break;
    case APIC_SMI:
        cpu_raise_pending(l->cpu, PEND_SMI);
        break;
    case APIC_NMI:
        cpu_raise_pending(l->cpu, PEND_NMI);
        break;
    case APIC_INIT:
        cpu_raise_pending(l->cpu, PEND_INIT);
        break;
    default: /* ExtINT is a level, seen by extint_waits() */
        break;
    }
}

static bool lint_level_fixed(const struct lapic *l, unsigned input)
{
    u32 lvt = l->lvt[LVT_LINT0 + input];
    return LVT_MODE(lvt) == APIC_FIXED && (lvt & LVT_LEVEL);
}

static void lint_set(struct lapic *l, unsigned input, bool level)
{
    bool rising = level && !l->lint[input];
    l->lint[input] = level;
    if (!lapic_enabled(l)) {
        if (rising && input == 1)
            cpu_raise_pending(l->cpu, PEND_NMI);
    } else if (rising) {
        lapic_local(l, LVT_LINT0 + input);
    }
    lapic_update(l);
}

void lapic_intr_set(void *opaque, unsigned input, bool level)
{
    struct cpu_group *group = opaque;
    ASSERT(input < 2);
    for (unsigned n = 0; n < group->count; n++)
        lint_set(group->cpu[n]->lapic, input, level);
}

/* ---- End of interrupt ---- */

static void lint_eoi(struct lapic *l, unsigned vector)
{
    for (unsigned input = 0; input < 2; input++) {
        u32 *lvt = &l->lvt[LVT_LINT0 + input];
        if (!(*lvt & LVT_REMOTE_IRR) || (*lvt & 0xff) != vector)
            continue;
        *lvt &= ~LVT_REMOTE_IRR;
        if (l->lint[input] && lint_level_fixed(l, input))
            lapic_local(l, LVT_LINT0 + input);
    }
}

void lapic_end_of_interrupt(struct lapic *l)
{
    int v = highest(l->isr);
    if (v < 0)
        return;
    set_vector(l->isr, (unsigned)v, false);
    if (has_vector(l->tmr, (unsigned)v)) {
        lint_eoi(l, (unsigned)v);
        if (l->eoi)
            l->eoi(l->eoi_opaque, (u8)v);
    }
    lapic_update(l);
}

void lapic_listen_eoi(struct cpu_group *group, void (*eoi)(void *opaque, u8 vector), void *opaque)
{
    for (unsigned n = 0; n < group->count; n++) {
        group->cpu[n]->lapic->eoi = eoi;
        group->cpu[n]->lapic->eoi_opaque = opaque;
    }
}

/* ---- Life ---- */

struct lapic *lapic_new(struct cpu *cpu)
{
    struct lapic *l = xalloc(sizeof(*l));
    l->cpu = cpu;
    cpu->lapic = l;
    lapic_timer_init(l);
    return l;
}

void lapic_free(struct lapic *l)
{
    if (!l)
        return;
    clock_event_cancel(l->cpu->clock, &l->timer);
    free(l);
}

/* SDM "Local APIC State After Power-Up or Reset", "... After an INIT Reset": the wires stay. */
static void reset_registers(struct lapic *l)
{
    l->tpr = l->ldr = l->esr = l->esr_next = l->icr_low = l->icr_high = 0;
    l->dfr = UINT32_MAX;
    l->svr = 0xff;
    for (unsigned n = 0; n < LVT_COUNT; n++)
        l->lvt[n] = LVT_MASKED;
    memset(l->irr, 0, sizeof(l->irr));
    memset(l->isr, 0, sizeof(l->isr));
    memset(l->tmr, 0, sizeof(l->tmr));
    l->extint_msg = false;
    l->cpu->cr8 = 0;
    lapic_timer_reset(l);
    lapic_update(l);
}

/* After a change of IA32_APIC_BASE. Before the first reset there is nothing to move. */
static void follow_base(struct lapic *l)
{
    u64 old = l->base, base = l->cpu->apic_base & PAGE_MASK;
    l->base = base;
    if (old && old != base)
        lapic_moved(l->cpu->group, old);
}

void lapic_reset(struct lapic *l, bool init)
{
    const struct cpu *cpu = l->cpu;
    if (!init) {
        l->id = cpuid_apic_id(cpu->model, MAX(cpu->group->count, cpu->index + 1), cpu->index);
        l->sipi_vector = 0;
        follow_base(l);
    }
    reset_registers(l);
}

void lapic_virtual_wire(struct lapic *l)
{
    l->svr = SVR_ENABLE | 0xff;
    l->lvt[LVT_LINT0] = lapic_is_bsp(l) ? APIC_EXTINT << 8 : LVT_MASKED;
    l->lvt[LVT_LINT1] = APIC_NMI << 8;
    lapic_update(l);
}

void lapic_snap(struct lapic *l, struct snap *s)
{
    snap_section(s, "lapic", 1);
    SNAP(s, l->id);
    SNAP(s, l->tpr);
    SNAP(s, l->ldr);
    SNAP(s, l->dfr);
    SNAP(s, l->svr);
    SNAP(s, l->esr);
    SNAP(s, l->esr_next);
    SNAP(s, l->icr_low);
    SNAP(s, l->icr_high);
    SNAP(s, l->lvt);
    SNAP(s, l->irr);
    SNAP(s, l->isr);
    SNAP(s, l->tmr);
    SNAP(s, l->sipi_vector);
    u8 wires = (u8)(l->lint[0] | l->lint[1] << 1 | l->extint_msg << 2);
    SNAP(s, wires);
    l->lint[0] = wires & 1;
    l->lint[1] = wires & 2;
    l->extint_msg = wires & 4;
    SNAP(s, l->initial_count);
    SNAP(s, l->divide);
    SNAP(s, l->count);
    SNAP(s, l->base_tick);
    SNAP(s, l->base_units);
    SNAP(s, l->deadline);
    snap_event(s, l->cpu->clock, &l->timer);
    if (!snap_loading(s))
        return;
    u64 base = l->cpu->apic_base & PAGE_MASK;
    snap_range(s, "local APIC's address", base, 0, MASK(l->cpu->model->phys_bits));
    if (snap_ok(s))
        follow_base(l);
}

/* ---- Small questions ---- */

bool lapic_is_bsp(const struct lapic *l)
{
    return l->cpu->apic_base & APIC_BASE_BSP;
}

u32 lapic_id(const struct lapic *l)
{
    return lapic_x2apic(l) ? l->id : l->id & 0xff;
}

u8 lapic_sipi_vector(const struct lapic *l)
{
    return l->sipi_vector;
}

u64 lapic_cr8(const struct lapic *l)
{
    return l->tpr >> 4;
}

void lapic_set_cr8(struct lapic *l, u64 v)
{
    l->tpr = (u32)(v & 15) << 4;
    l->cpu->cr8 = v & 15;
    lapic_update(l);
}

/* ---- IA32_APIC_BASE ---- */

/* SDM "x2APIC State Transitions": EXTD needs EN, and is left only by way of EN = 0. */
static bool transition_allowed(u64 from, u64 to)
{
    if ((to & APIC_BASE_EXTD) && !(to & APIC_BASE_EN))
        return false;
    if ((from & APIC_BASE_EXTD) && (to & APIC_BASE_EN))
        return to & APIC_BASE_EXTD;
    return (from & APIC_BASE_EN) || !(to & APIC_BASE_EXTD);
}

bool lapic_set_base(struct lapic *l, u64 value)
{
    struct cpu *cpu = l->cpu;
    u64 old = cpu->apic_base;
    u64 valid = APIC_BASE_BSP | APIC_BASE_EN | (MASK(cpu->model->phys_bits) & PAGE_MASK);
    if (cpuid_has(cpu->model, FEAT_X2APIC))
        valid |= APIC_BASE_EXTD;
    if ((value & ~valid) || !transition_allowed(old, value))
        return false;
    cpu->apic_base = value;
    if ((old & APIC_BASE_EN) && !(value & APIC_BASE_EN))
        reset_registers(l);
    if (!(old & APIC_BASE_EXTD) && (value & APIC_BASE_EXTD))
        l->icr_high = 0;
    follow_base(l);
    lapic_update(l);
    return true;
}
