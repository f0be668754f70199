/* SPDX-License-Identifier: MIT */
/*
 * From Intel's 8254 data sheet. A unit is a period of the input clock of 1.193182 MHz; the n-th
 * unit of the machine's time begins when clock_to_units() becomes n. A count written during unit u
 * is loaded at unit u + 1.
 */
#include "devices/i8254.h"

#include <stdlib.h>

#include "base/alloc.h"

#define NO_UNIT UINT64_MAX

struct counter {
    u64 start;   /* unit at which the counting element was loaded with `from` */
    u64 next_at; /* unit at which `next` takes over, at the end of a cycle (modes 2 and 3) */
    u32 from;    /* 1 to 65536 */
    u32 reload;  /* count register: 1 to 65536 (10000 in BCD); 0: nothing written since the mode */
    u32 next;
    u16 latch;
    u8 mode;          /* 0 to 5 */
    u8 access;        /* 1 low byte, 2 high byte, 3 low then high */
    u8 low;           /* low byte of a count being written */
    u8 latched_bytes; /* of `latch`, still to be read: bit 0 low, bit 1 high */
    u8 status;
    bool bcd;
    bool gate;
    bool armed;   /* the counting element holds a count (modes 1 and 5: was triggered) */
    bool expired; /* modes 0 and 4: terminal count was reached before a pause */
    bool write_high, read_high; /* the second byte of access 3 is due */
    bool status_latched;
};

struct i8254 {
    const struct device_env *env;
    struct counter counter[3];
    struct clock_event edge; /* of counter 0's output */
    u64 edge_unit;
    u8 port61;
};

static u64 units_now(const struct i8254 *pit)
{
    return clock_to_units(pit->env->clock, pit->env->clock->now, I8254_HZ);
}

static u32 modulus(const struct counter *c)
{
    return c->bcd ? 10000 : 65536;
}

/* Cycle length in modes 2 and 3, where a count of 1 is not allowed. */
static u32 period(const struct counter *c)
{
    return MAX(c->from, 2u);
}

static u64 elapsed(const struct counter *c, u64 unit)
{
    return unit > c->start ? unit - c->start : 0;
}

/* Makes a count written during a cycle current once that cycle is over. */
static void advance(struct counter *c, u64 unit)
{
    if (c->next_at == NO_UNIT || unit < c->next_at)
        return;
    c->start = c->next_at;
    c->from = c->next;
    c->next_at = NO_UNIT;
}

static bool strobe_level(const struct counter *c, u64 unit)
{
    return c->expired || unit < c->start || unit - c->start != c->from;
}

static bool output(const struct counter *c, u64 unit)
{
    u64 e = elapsed(c, unit);
    if (!c->armed)
        return c->mode != 0;
    switch (c->mode) {
    case 0:
        return c->expired || (c->gate && e >= c->from);
    case 1:
        return unit < c->start || e >= c->from;
    case 2:
        return !c->gate || e % period(c) != period(c) - 1;
    case 3:
        return !c->gate || e % period(c) < (period(c) + 1) / 2;
    case 4:
        return !c->gate || strobe_level(c, unit);
    default:
        return strobe_level(c, unit);
    }
}

/* The counting element as a number, 0 to modulus - 1. */
static u32 value(const struct counter *c, u64 unit)
{
    u64 e = elapsed(c, unit);
    u32 m = modulus(c);
    if (!c->armed)
        return c->reload % m;
    if (!c->gate && c->mode != 1 && c->mode != 5)
        return c->from % m;
    if (c->mode == 2)
        return (period(c) - (u32)(e % period(c))) % m;
    if (c->mode == 3) {
        u32 half = (period(c) + 1) / 2, phase = (u32)(e % period(c));
        return ((period(c) & ~1u) - 2 * (phase < half ? phase : phase - half)) % m;
    }
    return (c->from + m - (u32)(e % m)) % m;
}

static u16 to_bcd(u32 v)
{
    return (u16)(v % 10 | (v / 10 % 10) << 4 | (v / 100 % 10) << 8 | (v / 1000 % 10) << 12);
}

static u32 from_bcd(u32 v)
{
    return (v & 15) + (v >> 4 & 15) * 10 + (v >> 8 & 15) * 100 + (v >> 12 & 15) * 1000;
}

/* The unit after `unit` at which the output may change next. */
static u64 next_edge(const struct counter *c, u64 unit)
{
    u64 e = elapsed(c, unit), p = period(c);
    if (!c->armed || (!c->gate && c->mode != 1 && c->mode != 5))
        return NO_UNIT;
    if (unit < c->start)
        return c->start;
    switch (c->mode) {
    case 0:
    case 1:
        return !c->expired && e < c->from ? c->start + c->from : NO_UNIT;
    case 2:
        return unit - e % p + (e % p < p - 1 ? p - 1 : p);
    case 3:
        return unit - e % p + (e % p < (p + 1) / 2 ? (p + 1) / 2 : p);
    default:
        if (c->expired || e > c->from)
            return NO_UNIT;
        return c->start + c->from + (e == c->from);
    }
}

/* Drives the interrupt from counter 0's output at `unit` and waits for the next change. */
static void update_irq(struct i8254 *pit, u64 unit)
{
    struct counter *c = &pit->counter[0];
    struct irq_line line = device_line(pit->env, LINE_PIT);
    advance(c, unit);
    irq_set(&line, output(c, unit));
    u64 edge = MIN(next_edge(c, unit), c->next_at);
    pit->edge_unit = edge;
    if (edge == NO_UNIT)
        clock_event_cancel(pit->env->clock, &pit->edge);
    else
        clock_event_set(pit->env->clock, &pit->edge,
                        clock_from_units(pit->env->clock, edge, I8254_HZ));
}

static void edge_due(void *opaque)
{
    struct i8254 *pit = opaque;
    /* By the edge's own time: a late call sees each edge of a short pulse all the same. */
    update_irq(pit, pit->edge_unit);
}

static void load(struct counter *c, u64 unit)
{
    c->start = unit + 1;
    c->from = c->reload;
    c->next_at = NO_UNIT;
    c->armed = true;
    c->expired = false;
}

static void write_count(struct counter *c, u32 raw, u64 unit)
{
    u32 count = c->bcd ? from_bcd(raw) : raw;
    c->reload = count ? count : modulus(c);
    if (c->mode == 1 || c->mode == 5)
        return; /* waits for a trigger */
    if ((c->mode == 2 || c->mode == 3) && c->armed && unit >= c->start) {
        if (!c->gate)
            return; /* the rising gate loads it */
        /* The chip's mode 3 may take it half a cycle earlier. */
        c->next = c->reload;
        c->next_at = unit - elapsed(c, unit) % period(c) + period(c);
        return;
    }
    load(c, unit);
}

static void write_counter(struct counter *c, u8 byte, u64 unit)
{
    if (c->access == 1) {
        write_count(c, byte, unit);
    } else if (c->access == 2) {
        write_count(c, (u32)byte << 8, unit);
    } else if (!c->write_high) {
        c->low = byte;
        c->write_high = true;
        if (c->mode == 0) /* the first byte stops counting */
            c->armed = false;
    } else {
        c->write_high = false;
        write_count(c, (u32)byte << 8 | c->low, unit);
    }
}

static void latch_count(struct counter *c, u64 unit)
{
    if (c->latched_bytes)
        return;
    u32 v = value(c, unit);
    c->latch = c->bcd ? to_bcd(v) : (u16)v;
    c->latched_bytes = c->access;
}

static void latch_status(struct counter *c, u64 unit)
{
    if (c->status_latched)
        return;
    bool null = !c->armed || unit < c->start || c->next_at != NO_UNIT;
    c->status = (u8)((u32)output(c, unit) << 7 | (u32)null << 6 | (u32)c->access << 4 |
                     (u32)c->mode << 1 | (u32)c->bcd);
    c->status_latched = true;
}

static u8 read_counter(struct counter *c, u64 unit)
{
    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    if (c->latched_bytes) {
        bool low = c->latched_bytes & 1;
        c->latched_bytes &= low ? 2 : 0;
        return (u8)(low ? c->latch : c->latch >> 8);
    }
    u32 v = value(c, unit);
    v = c->bcd ? to_bcd(v) : v;
    bool high = c->access == 2 || (c->access == 3 && c->read_high);
    c->read_high = c->access == 3 && !c->read_high;
    return (u8)(high ? v >> 8 : v);
}

static void read_back(struct i8254 *pit, u8 command, u64 unit)
{
    for (unsigned n = 0; n < 3; n++) {
        if (!((command >> (n + 1)) & 1))
            continue;
        if (!(command & 0x20))
            latch_count(&pit->counter[n], unit);
        if (!(command & 0x10))
            latch_status(&pit->counter[n], unit);
    }
}

static void set_mode(struct counter *c, u8 command)
{
    u8 mode = (command >> 1) & 7;
    *c = (struct counter){.gate = c->gate,
                          .next_at = NO_UNIT,
                          .from = 1,
                          .mode = mode >= 6 ? mode & 3 : mode,
                          .access = (command >> 4) & 3,
                          .bcd = command & 1};
}

static void write_command(struct i8254 *pit, u8 command, u64 unit)
{
    unsigned n = command >> 6;
    if (n == 3)
        read_back(pit, command, unit);
    else if (!(command & 0x30))
        latch_count(&pit->counter[n], unit);
    else
        set_mode(&pit->counter[n], command);
}

static void pit_write(void *opaque, u64 offset, unsigned size, u64 byte)
{
    struct i8254 *pit = opaque;
    u64 unit = units_now(pit);
    (void)size;
    for (unsigned n = 0; n < 3; n++)
        advance(&pit->counter[n], unit);
    if (offset == 3)
        write_command(pit, (u8)byte, unit);
    else
        write_counter(&pit->counter[offset], (u8)byte, unit);
    update_irq(pit, unit);
}

static u64 pit_read(void *opaque, u64 offset, unsigned size)
{
    struct i8254 *pit = opaque;
    u64 unit = units_now(pit);
    (void)size;
    if (offset == 3)
        return 0xff;
    advance(&pit->counter[offset], unit);
    return read_counter(&pit->counter[offset], unit);
}

/* A falling gate pauses modes 0 and 4; a rising one triggers modes 1 and 5, restarts 2 and 3. */
static void set_gate(struct counter *c, bool gate, u64 unit)
{
    if (c->gate == gate)
        return;
    advance(c, unit);
    if (!gate && c->armed && (c->mode == 0 || c->mode == 4)) {
        u32 left = value(c, unit);
        c->expired = c->expired || elapsed(c, unit) >= c->from;
        c->from = left ? left : modulus(c);
    }
    c->gate = gate;
    if (!gate)
        return;
    if (c->mode == 0 || c->mode == 4)
        c->start = unit;
    else if (c->reload)
        load(c, unit);
}

/* Bit 4, the refresh request, toggles with each cycle of counter 1 (15 us unless programmed). */
static bool refresh_toggle(const struct i8254 *pit, u64 unit)
{
    const struct counter *c = &pit->counter[1];
    bool runs = c->armed && (c->mode == 2 || c->mode == 3);
    return (runs ? elapsed(c, unit) / period(c) : unit / 18) & 1;
}

static u64 port61_read(void *opaque, u64 offset, unsigned size)
{
    struct i8254 *pit = opaque;
    u64 unit = units_now(pit);
    (void)offset;
    (void)size;
    advance(&pit->counter[1], unit);
    advance(&pit->counter[2], unit);
    return pit->port61 | (u64)refresh_toggle(pit, unit) << 4 |
           (u64)output(&pit->counter[2], unit) << 5;
}

static void port61_write(void *opaque, u64 offset, unsigned size, u64 byte)
{
    struct i8254 *pit = opaque;
    (void)offset;
    (void)size;
    pit->port61 = byte & 0x0f;
    set_gate(&pit->counter[2], byte & 1, units_now(pit));
}

static const struct bus_ops pit_ops = {pit_read, pit_write, 1};
static const struct bus_ops port61_ops = {port61_read, port61_write, 1};

static void i8254_reset(void *device)
{
    struct i8254 *pit = device;
    for (unsigned n = 0; n < 3; n++)
        pit->counter[n] =
            (struct counter){.gate = n != 2, .access = 3, .mode = 3, .from = 1, .next_at = NO_UNIT};
    pit->port61 = 0;
    update_irq(pit, units_now(pit));
}

static void *i8254_create(const struct device_env *env, const void *config, struct error *err)
{
    struct i8254 *pit = xalloc(sizeof(*pit));
    (void)config;
    (void)err;
    pit->env = env;
    clock_event_init(&pit->edge, "i8254 edge", edge_due, pit);
    bus_map_io(env->bus, &(struct bus_region){0x40, 4, &pit_ops, pit, "i8254"});
    bus_map_io(env->bus, &(struct bus_region){0x61, 1, &port61_ops, pit, "port 61h"});
    return pit;
}

static void snap_counter(struct snap *s, struct counter *c)
{
    bool *const flags[] = {&c->bcd,        &c->gate,      &c->armed,         &c->expired,
                           &c->write_high, &c->read_high, &c->status_latched};
    snap_bytes(s, c, offsetof(struct counter, bcd));
    snap_flags(s, flags, ARRAY_SIZE(flags));
    snap_range(s, "8254 mode", c->mode, 0, 5);
    snap_range(s, "8254 access", c->access, 1, 3);
    snap_range(s, "8254 count", c->from, 1, 65536);
    snap_range(s, "8254 reload", c->reload, 0, 65536);
    snap_range(s, "8254 next count", c->next, 0, 65536);
}

static void i8254_snap(void *device, struct snap *s)
{
    struct i8254 *pit = device;
    snap_section(s, "i8254", 1);
    for (unsigned n = 0; n < 3; n++)
        snap_counter(s, &pit->counter[n]);
    SNAP(s, pit->port61);
    SNAP(s, pit->edge_unit);
    snap_event(s, pit->env->clock, &pit->edge);
}

static void i8254_free(void *device)
{
    struct i8254 *pit = device;
    clock_event_cancel(pit->env->clock, &pit->edge);
    bus_unmap_io(pit->env->bus, 0x40);
    bus_unmap_io(pit->env->bus, 0x61);
    free(pit);
}

const struct device_class i8254_class = {
    .name = "i8254",
    .help = "interval timer, three counters of 1.193182 MHz, with port 0x61",
    .create = i8254_create,
    .reset = i8254_reset,
    .snap = i8254_snap,
    .free = i8254_free,
};
