/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/error.h"

static bool earlier(const struct clock_event *a, const struct clock_event *b)
{
    return a->when != b->when ? a->when < b->when : a->order < b->order;
}

static void place(struct clock *clock, struct clock_event *ev, u32 index)
{
    clock->heap[index] = ev;
    ev->index = index;
}

/* Moves ev, which belongs about `index`, to where the heap's order wants it. */
static void sift(struct clock *clock, struct clock_event *ev, u32 index)
{
    while (index > 0 && earlier(ev, clock->heap[(index - 1) / 2])) {
        place(clock, clock->heap[(index - 1) / 2], index);
        index = (index - 1) / 2;
    }
    for (;;) {
        u32 child = 2 * index + 1;
        if (child >= clock->count)
            break;
        if (child + 1 < clock->count && earlier(clock->heap[child + 1], clock->heap[child]))
            child++;
        if (!earlier(clock->heap[child], ev))
            break;
        place(clock, clock->heap[child], index);
        index = child;
    }
    place(clock, ev, index);
}

static void update_next(struct clock *clock)
{
    u64 old = clock->next;
    clock->next = clock->count ? clock->heap[0]->when : CLOCK_NEVER;
    if (clock->next < old && clock->sooner)
        clock->sooner(clock->sooner_opaque);
}

static void take_out(struct clock *clock, struct clock_event *ev)
{
    ASSERT(ev->index < clock->count && clock->heap[ev->index] == ev);
    u32 index = ev->index;
    ev->index = CLOCK_IDLE;
    struct clock_event *last = clock->heap[--clock->count];
    if (last != ev)
        sift(clock, last, index);
}

void clock_init(struct clock *clock, u64 hz)
{
    *clock = (struct clock){.hz = hz, .next = CLOCK_NEVER, .next_order = 1};
}

void clock_fini(struct clock *clock)
{
    for (u32 k = 0; k < clock->count; k++)
        clock->heap[k]->index = CLOCK_IDLE;
    free(clock->heap);
    *clock = (struct clock){.next = CLOCK_NEVER};
}

void clock_event_init(struct clock_event *ev, const char *name, void (*fn)(void *), void *opaque)
{
    *ev = (struct clock_event){.fn = fn, .opaque = opaque, .name = name, .index = CLOCK_IDLE};
}

static void schedule(struct clock *clock, struct clock_event *ev, u64 when, u64 order)
{
    u32 index = ev->index;
    if (index == CLOCK_IDLE) {
        if (clock->count == clock->capacity) {
            clock->capacity = clock->capacity ? 2 * clock->capacity : 16;
            clock->heap = xrealloc_array(clock->heap, clock->capacity, sizeof(*clock->heap));
        }
        index = clock->count++;
    } else {
        ASSERT(index < clock->count && clock->heap[index] == ev);
    }
    ev->when = when;
    ev->order = order;
    sift(clock, ev, index);
    update_next(clock);
}

void clock_event_set(struct clock *clock, struct clock_event *ev, u64 when)
{
    schedule(clock, ev, when, clock->next_order++);
}

void clock_event_first(struct clock *clock, struct clock_event *ev, u64 when)
{
    schedule(clock, ev, when, 0);
}

void clock_event_restore(struct clock *clock, struct clock_event *ev, u64 when, u64 order)
{
    schedule(clock, ev, when, order);
    clock->next_order = MAX(clock->next_order, order + 1);
}

void clock_event_cancel(struct clock *clock, struct clock_event *ev)
{
    if (ev->index == CLOCK_IDLE)
        return;
    take_out(clock, ev);
    update_next(clock);
}

void clock_run(struct clock *clock)
{
    while (clock->count && clock->heap[0]->when <= clock->now) {
        struct clock_event *ev = clock->heap[0];
        take_out(clock, ev);
        update_next(clock);
        ev->fn(ev->opaque);
    }
}

u64 clock_to_units(const struct clock *clock, u64 ticks, u64 hz)
{
    u128 units = (u128)ticks * hz / clock->hz;
    return units > CLOCK_NEVER ? CLOCK_NEVER : (u64)units;
}

u64 clock_from_units(const struct clock *clock, u64 units, u64 hz)
{
    u128 product = (u128)units * clock->hz;
    u128 ticks = product / hz + (product % hz != 0);
    return ticks > CLOCK_NEVER ? CLOCK_NEVER : (u64)ticks;
}
