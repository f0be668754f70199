/* SPDX-License-Identifier: MIT */
/*
 * The machine's one time base (docs/design.md, "Time and determinism"). `now` counts ticks: in
 * functional mode one instruction of any CPU is one tick and hz is 1,000,000,000; in timed mode a
 * tick is a core cycle. Every timer of the machine is an event on this clock.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/types.h"

#define CLOCK_NEVER UINT64_MAX

struct clock;

/* Embedded in its owner. Invariant: index is its place in the heap, or CLOCK_IDLE. */
struct clock_event {
    u64 when;  /* tick at which it is due; valid while queued */
    u64 order; /* ties: first set, first run, so that runs are deterministic */
    void (*fn)(void *opaque);
    void *opaque;
    const char *name;
    u32 index;
};
#define CLOCK_IDLE UINT32_MAX

struct clock {
    u64 now;  /* ticks since power-on */
    u64 hz;   /* ticks a second */
    u64 next; /* `when` of the earliest event, CLOCK_NEVER if none */
    u64 next_order;
    struct clock_event **heap;
    u32 count, capacity;
    void (*sooner)(void *opaque); /* called when `next` moved to an earlier tick; may be NULL */
    void *sooner_opaque;
};

void clock_init(struct clock *clock, u64 hz);
void clock_fini(struct clock *clock);
void clock_event_init(struct clock_event *ev, const char *name, void (*fn)(void *), void *opaque);
/* (Re)schedules ev for tick `when`; a tick in the past is due at once (at the next clock_run). */
void clock_event_set(struct clock *clock, struct clock_event *ev, u64 when);
/* The same, before all other events of that tick: for the one event that brings input from outside. */
void clock_event_first(struct clock *clock, struct clock_event *ev, u64 when);
/* Loading only: schedules with the saved place among events of the same tick. */
void clock_event_restore(struct clock *clock, struct clock_event *ev, u64 when, u64 order);
void clock_event_cancel(struct clock *clock, struct clock_event *ev);
static inline bool clock_event_queued(const struct clock_event *ev)
{
    return ev->index != CLOCK_IDLE;
}
/* Runs, in order, all events due at or before clock->now. Handlers may set events. */
void clock_run(struct clock *clock);

/* Converts without overflow: ticks of the clock to units of a `hz` Hz counter and back
 * (floor/ceil). */
u64 clock_to_units(const struct clock *clock, u64 ticks, u64 hz);
u64 clock_from_units(const struct clock *clock, u64 units, u64 hz);

#endif
