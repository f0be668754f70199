/* SPDX-License-Identifier: MIT */
/*
 * From the IA-PC HPET specification. A comparator matches when the counter reaches it; one written
 * behind the counter waits for the counter to wrap, as in the hardware. No FSB (MSI) delivery.
 */
#include "devices/hpet.h"

#include <stdlib.h>

#include "base/alloc.h"

#define REG_CAPABILITIES 0x00
#define REG_CONFIG 0x10
#define REG_STATUS 0x20
#define REG_COUNTER 0xf0
#define REG_TIMERS 0x100
#define TIMER_STRIDE 0x20

#define CONFIG_ENABLE BIT(0)
#define CONFIG_LEGACY BIT(1)

#define TIMER_LEVEL BIT(1)
#define TIMER_ENABLE BIT(2)
#define TIMER_PERIODIC BIT(3)
#define TIMER_PERIODIC_CAP BIT(4)
#define TIMER_64BIT_CAP BIT(5)
#define TIMER_SET_VALUE BIT(6)
#define TIMER_32BIT BIT(8)
#define TIMER_ROUTE(config) BITS(config, 13, 9)
#define TIMER_WRITABLE                                                                             \
    (TIMER_LEVEL | TIMER_ENABLE | TIMER_PERIODIC | TIMER_SET_VALUE | TIMER_32BIT | 31 * BIT(9))
#define ROUTES UINT64_C(0x00f00000) /* I/O APIC inputs 20 to 23 */
#define PERIOD_FS (UINT64_C(1000000000000000) / HPET_HZ)

/* Further ahead than this no event is set: years, and no sum overflows. */
#define FAR_AHEAD BIT(56)

struct timer {
    struct hpet *hpet;
    struct clock_event event;
    u64 config;
    u64 comparator;
    u64 period; /* what periodic mode adds at each match */
    unsigned index;
    bool line; /* what was last driven, level-triggered */
};

struct hpet {
    const struct device_env *env;
    u64 config, status;
    u64 counter; /* while halted; else its value at unit `start` */
    u64 start;
    struct timer timer[HPET_TIMERS];
};

static bool enabled(const struct hpet *hpet)
{
    return hpet->config & CONFIG_ENABLE;
}

static u64 units_now(const struct hpet *hpet)
{
    return clock_to_units(hpet->env->clock, hpet->env->clock->now, HPET_HZ);
}

static u64 counter_now(const struct hpet *hpet)
{
    return enabled(hpet) ? hpet->counter + (units_now(hpet) - hpet->start) : hpet->counter;
}

static u64 timer_mask(const struct timer *t)
{
    return t->config & TIMER_32BIT ? UINT32_MAX : UINT64_MAX;
}

/* Units until the next match, at least 1. */
static u64 distance(const struct timer *t, u64 counter)
{
    u64 d = (t->comparator - counter) & timer_mask(t);
    return d ? d : (timer_mask(t) == UINT32_MAX ? BIT(32) : FAR_AHEAD + 1);
}

static struct irq_line timer_line(const struct timer *t)
{
    const struct hpet *hpet = t->hpet;
    if ((hpet->config & CONFIG_LEGACY) && t->index < 2)
        return device_line(hpet->env, LINE_HPET0 + t->index);
    return device_line(hpet->env, LINE_GSI + (unsigned)TIMER_ROUTE(t->config));
}

static bool routed(const struct timer *t)
{
    return ((t->hpet->config & CONFIG_LEGACY) && t->index < 2) ||
           ((ROUTES >> TIMER_ROUTE(t->config)) & 1);
}

/* Follows the status bit of a level-triggered timer on its present route. */
static void drive(struct timer *t, bool level)
{
    struct irq_line line = timer_line(t);
    if (t->line == level || (level && !routed(t)))
        return;
    t->line = level;
    irq_set(&line, level);
}

static void raise_interrupt(struct timer *t)
{
    struct hpet *hpet = t->hpet;
    if (t->config & TIMER_LEVEL)
        hpet->status |= BIT(t->index);
    if (!(t->config & TIMER_ENABLE) || !routed(t))
        return;
    if (t->config & TIMER_LEVEL) {
        drive(t, true);
        return;
    }
    struct irq_line line = timer_line(t);
    irq_set(&line, true);
    irq_set(&line, false);
}

static void schedule(struct timer *t)
{
    struct hpet *hpet = t->hpet;
    struct clock *clock = hpet->env->clock;
    u64 d = enabled(hpet) ? distance(t, counter_now(hpet)) : FAR_AHEAD + 1;
    /* Without an interrupt and without a period to count nobody can tell a match. */
    bool matters = t->config & (TIMER_ENABLE | TIMER_LEVEL | TIMER_PERIODIC);
    if (d > FAR_AHEAD || !matters)
        clock_event_cancel(clock, &t->event);
    else
        clock_event_set(clock, &t->event, clock_from_units(clock, units_now(hpet) + d, HPET_HZ));
}

static void match(void *opaque)
{
    struct timer *t = opaque;
    if ((t->config & TIMER_PERIODIC) && t->period) {
        u64 mask = timer_mask(t), late = (counter_now(t->hpet) - t->comparator) & mask;
        t->comparator = (t->comparator + (late / t->period + 1) * t->period) & mask;
    }
    raise_interrupt(t);
    schedule(t);
}

static u64 timer_read(const struct timer *t, u64 reg)
{
    switch (reg) {
    case 0x00:
        return t->config | TIMER_PERIODIC_CAP | TIMER_64BIT_CAP | ROUTES << 32;
    case 0x08:
        return t->comparator;
    default:
        return 0; /* FSB route: not supported */
    }
}

static void timer_write_config(struct timer *t, u64 value)
{
    if (t->line)
        drive(t, false);
    t->config = value & TIMER_WRITABLE;
    if (t->config & TIMER_32BIT) {
        t->comparator &= UINT32_MAX;
        t->period &= UINT32_MAX;
    }
    if (!(t->config & TIMER_LEVEL))
        t->hpet->status &= ~BIT(t->index);
    else if ((t->config & TIMER_ENABLE) && (t->hpet->status & BIT(t->index)))
        drive(t, true);
}

/* In periodic mode a write sets the period; the comparator as well if asked by the "set" bit. */
static void timer_write_comparator(struct timer *t, u64 value)
{
    value &= timer_mask(t);
    if (!(t->config & TIMER_PERIODIC) || (t->config & TIMER_SET_VALUE))
        t->comparator = value;
    if (t->config & TIMER_PERIODIC)
        t->period = value;
    t->config &= ~TIMER_SET_VALUE;
}

static u64 register_read(const struct hpet *hpet, u64 reg)
{
    if (reg >= REG_TIMERS) {
        u64 n = (reg - REG_TIMERS) / TIMER_STRIDE;
        return n < HPET_TIMERS ? timer_read(&hpet->timer[n], reg % TIMER_STRIDE) : 0;
    }
    switch (reg) {
    case REG_CAPABILITIES:
        return PERIOD_FS << 32 | HPET_ID;
    case REG_CONFIG:
        return hpet->config;
    case REG_STATUS:
        return hpet->status;
    case REG_COUNTER:
        return counter_now(hpet);
    default:
        return 0;
    }
}

static void config_write(struct hpet *hpet, u64 value)
{
    struct irq_line legacy = device_line(hpet->env, LINE_HPET_LEGACY);
    u64 counter = counter_now(hpet);
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        drive(&hpet->timer[n], false);
    hpet->config = value & (CONFIG_ENABLE | CONFIG_LEGACY);
    hpet->counter = counter;
    hpet->start = units_now(hpet);
    irq_set(&legacy, hpet->config & CONFIG_LEGACY);
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        if ((hpet->timer[n].config & TIMER_ENABLE) && (hpet->status & BIT(n)))
            drive(&hpet->timer[n], true);
}

static void status_write(struct hpet *hpet, u64 value)
{
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        if (value & hpet->status & BIT(n)) {
            hpet->status &= ~BIT(n);
            drive(&hpet->timer[n], false);
        }
}

static void register_write(struct hpet *hpet, u64 reg, u64 value)
{
    if (reg >= REG_TIMERS) {
        u64 n = (reg - REG_TIMERS) / TIMER_STRIDE;
        if (n >= HPET_TIMERS)
            return;
        if (reg % TIMER_STRIDE == 0)
            timer_write_config(&hpet->timer[n], value);
        else if (reg % TIMER_STRIDE == 8)
            timer_write_comparator(&hpet->timer[n], value);
    } else if (reg == REG_CONFIG) {
        config_write(hpet, value);
    } else if (reg == REG_STATUS) {
        status_write(hpet, value);
    } else if (reg == REG_COUNTER) {
        hpet->counter = value;
        hpet->start = units_now(hpet);
    }
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        schedule(&hpet->timer[n]);
}

static u64 hpet_read(void *opaque, u64 offset, unsigned size)
{
    u64 value = register_read(opaque, offset & ~UINT64_C(7));
    return (value >> (offset & 7) * 8) & MASK(size * 8);
}

/* Narrow writes keep the register's other bytes; in the status register those mean nothing. */
static void hpet_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    u64 reg = offset & ~UINT64_C(7);
    unsigned shift = (unsigned)(offset & 7) * 8;
    u64 mask = MASK(size * 8) << shift;
    u64 old = reg == REG_STATUS ? 0 : register_read(opaque, reg);
    if ((offset & 7) + size > 8) {
        log_msg(LOG_DEV, "hpet: misaligned write of %u bytes at %#llx", size,
                (unsigned long long)offset);
        return;
    }
    register_write(opaque, reg, (old & ~mask) | (value << shift & mask));
}

static const struct bus_ops hpet_ops = {hpet_read, hpet_write, 8};

static void hpet_reset(void *device)
{
    struct hpet *hpet = device;
    config_write(hpet, 0);
    hpet->status = hpet->counter = hpet->start = 0;
    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        struct timer *t = &hpet->timer[n];
        drive(t, false);
        t->config = t->period = 0;
        t->comparator = UINT64_MAX;
        schedule(t);
    }
}

static void *hpet_create(const struct device_env *env, const void *config, struct error *err)
{
    struct hpet *hpet = xalloc(sizeof(*hpet));
    (void)config;
    (void)err;
    hpet->env = env;
    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        hpet->timer[n].hpet = hpet;
        hpet->timer[n].index = n;
        clock_event_init(&hpet->timer[n].event, "hpet", match, &hpet->timer[n]);
    }
    bus_map_mmio(env->bus, &(struct bus_region){HPET_BASE, 0x400, &hpet_ops, hpet, "hpet"});
    return hpet;
}

static void hpet_snap(void *device, struct snap *s)
{
    struct hpet *hpet = device;
    snap_section(s, "hpet", 1);
    SNAP(s, hpet->config);
    SNAP(s, hpet->status);
    SNAP(s, hpet->counter);
    SNAP(s, hpet->start);
    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        struct timer *t = &hpet->timer[n];
        bool *const flags[] = {&t->line};
        SNAP(s, t->config);
        SNAP(s, t->comparator);
        SNAP(s, t->period);
        snap_flags(s, flags, 1);
        snap_range(s, "HPET timer configuration", t->config & ~TIMER_WRITABLE, 0, 0);
        snap_event(s, hpet->env->clock, &t->event);
    }
}

static void hpet_free(void *device)
{
    struct hpet *hpet = device;
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        clock_event_cancel(hpet->env->clock, &hpet->timer[n].event);
    bus_unmap_mmio(hpet->env->bus, HPET_BASE);
    free(hpet);
}

const struct device_class hpet_class = {
    .name = "hpet",
    .help = "high-precision event timer, 100 MHz, three comparators",
    .create = hpet_create,
    .reset = hpet_reset,
    .snap = hpet_snap,
    .free = hpet_free,
};
