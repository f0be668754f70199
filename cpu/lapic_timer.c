/* SPDX-License-Identifier: MIT */
/* The APIC timer (SDM "APIC Timer"): it counts the core crystal clock, divided. */
#include "cpu/lapic_state.h"

#include "cpu/msr.h"

static u64 divisor(const struct lapic *l)
{
    u32 code = (l->divide & 3) | ((l->divide >> 1) & 4);
    return code == 7 ? 1 : UINT64_C(2) << code;
}

static u64 period(const struct lapic *l)
{
    return l->count * divisor(l);
}

/* Crystal cycles since the current period began. */
static u64 elapsed(const struct lapic *l)
{
    const struct clock *clock = l->cpu->clock;
    u64 units = clock_to_units(clock, clock->now - l->base_tick, l->cpu->model->crystal_hz);
    return units - l->base_units;
}

static void arm(struct lapic *l)
{
    struct clock *clock = l->cpu->clock;
    u64 end = l->base_units + period(l);
    u64 when = l->base_tick + clock_from_units(clock, end, l->cpu->model->crystal_hz);
    clock_event_set(clock, &l->timer, MAX(when, clock->now + 1));
}

static void start(struct lapic *l, u32 count)
{
    l->count = count;
    l->base_tick = l->cpu->clock->now;
    l->base_units = 0;
    if (count)
        arm(l);
    else
        clock_event_cancel(l->cpu->clock, &l->timer);
}

/* Whole periods that have gone by unnoticed are dropped, as an interrupt still pending would be. */
static void next_period(struct lapic *l)
{
    u64 late = elapsed(l) - period(l);
    l->base_units += period(l);
    l->count = l->initial_count;
    if (!l->count)
        return;
    l->base_units += late / period(l) * period(l);
    arm(l);
}

static void expired(void *opaque)
{
    struct lapic *l = opaque;
    switch (LVT_TIMER_MODE(l->lvt[LVT_TIMER])) {
    case TIMER_DEADLINE:
        l->deadline = 0;
        break;
    case TIMER_PERIODIC:
        if (l->count)
            next_period(l);
        break;
    default:
        l->count = 0;
        break;
    }
    lapic_local(l, LVT_TIMER);
}

void lapic_timer_init(struct lapic *l)
{
    clock_event_init(&l->timer, "APIC timer", expired, l);
}

void lapic_timer_reset(struct lapic *l)
{
    l->initial_count = l->divide = l->count = 0;
    l->deadline = 0;
    clock_event_cancel(l->cpu->clock, &l->timer);
}

void lapic_timer_set_count(struct lapic *l, u32 initial)
{
    if (LVT_TIMER_MODE(l->lvt[LVT_TIMER]) == TIMER_DEADLINE)
        return;
    l->initial_count = initial;
    start(l, initial);
}

u32 lapic_timer_current(const struct lapic *l)
{
    if (!l->count)
        return 0;
    u64 gone = elapsed(l) / divisor(l);
    return gone < l->count ? l->count - (u32)gone : 0;
}

/* A period under way goes on with what is left of it; a periodic timer then reloads in full. */
void lapic_timer_set_divide(struct lapic *l, u32 divide)
{
    u32 left = lapic_timer_current(l);
    l->divide = divide & 0xb;
    if (l->count)
        start(l, left ? left : 1);
}

void lapic_timer_mode(struct lapic *l, u32 old)
{
    bool was = LVT_TIMER_MODE(old) == TIMER_DEADLINE;
    bool is = LVT_TIMER_MODE(l->lvt[LVT_TIMER]) == TIMER_DEADLINE;
    if (was == is)
        return;
    l->count = l->initial_count = 0;
    l->deadline = 0;
    clock_event_cancel(l->cpu->clock, &l->timer);
}

/* ---- TSC-deadline mode ---- */

static void arm_deadline(struct lapic *l)
{
    struct clock *clock = l->cpu->clock;
    u64 tsc = msr_tsc(l->cpu, NULL);
    u64 wait = l->deadline > tsc ? l->deadline - tsc : 0;
    if (!l->deadline || wait > CLOCK_NEVER - 1 - clock->now)
        clock_event_cancel(clock, &l->timer);
    else
        clock_event_set(clock, &l->timer, clock->now + wait);
}

u64 lapic_tsc_deadline(const struct lapic *l)
{
    return l->deadline;
}

void lapic_set_tsc_deadline(struct lapic *l, u64 value)
{
    if (LVT_TIMER_MODE(l->lvt[LVT_TIMER]) != TIMER_DEADLINE)
        return;
    l->deadline = value;
    arm_deadline(l);
}

void lapic_tsc_changed(struct lapic *l)
{
    if (LVT_TIMER_MODE(l->lvt[LVT_TIMER]) == TIMER_DEADLINE)
        arm_deadline(l);
}
