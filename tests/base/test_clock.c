/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <stdlib.h>

#include "tests/suite.h"

#define EVENTS 200

struct probe {
    struct clock *clock;
    struct clock_event event;
    unsigned id;
    u64 period;
};

static unsigned ran[100000], ran_count, sooner_count;

static void note(void *opaque)
{
    struct probe *probe = opaque;
    ck_assert(!clock_event_queued(&probe->event));
    ran[ran_count++] = probe->id;
    if (probe->period)
        clock_event_set(probe->clock, &probe->event, probe->event.when + probe->period);
}

static void probe_init(struct probe *probe, struct clock *clock, unsigned id)
{
    *probe = (struct probe){.clock = clock, .id = id};
    clock_event_init(&probe->event, "probe", note, probe);
}

START_TEST(events_run_in_order)
{
    struct clock clock;
    struct probe probe[4];
    clock_init(&clock, 1000);
    for (unsigned k = 0; k < 4; k++)
        probe_init(&probe[k], &clock, k);
    ck_assert_uint_eq(clock.next, CLOCK_NEVER);
    clock_event_set(&clock, &probe[0].event, 50);
    clock_event_set(&clock, &probe[1].event, 10);
    clock_event_set(&clock, &probe[2].event, 50);
    clock_event_set(&clock, &probe[3].event, 51);
    ck_assert_uint_eq(clock.next, 10);
    clock.now = 50;
    clock_run(&clock);
    ck_assert_uint_eq(ran_count, 3);
    ck_assert(ran[0] == 1 && ran[1] == 0 && ran[2] == 2);
    ck_assert_uint_eq(clock.next, 51);
    clock_event_cancel(&clock, &probe[3].event);
    clock_event_cancel(&clock, &probe[3].event);
    ck_assert_uint_eq(clock.next, CLOCK_NEVER);
    clock_fini(&clock);
}
END_TEST

START_TEST(events_are_moved)
{
    struct clock clock;
    struct probe probe[2];
    clock_init(&clock, 1000);
    probe_init(&probe[0], &clock, 0);
    probe_init(&probe[1], &clock, 1);
    clock_event_set(&clock, &probe[0].event, 20);
    clock_event_set(&clock, &probe[1].event, 20);
    clock_event_set(&clock, &probe[0].event, 20); /* now set later than the other */
    clock.now = 20;
    clock_run(&clock);
    ck_assert(ran_count == 2 && ran[0] == 1 && ran[1] == 0);
    clock_event_set(&clock, &probe[0].event, 5); /* in the past: due at once */
    clock_run(&clock);
    ck_assert(ran_count == 3 && !clock_event_queued(&probe[0].event));
    clock_fini(&clock);
}
END_TEST

START_TEST(late_periods_are_made_up)
{
    struct clock clock;
    struct probe probe[2];
    clock_init(&clock, 1000);
    for (unsigned k = 0; k < 2; k++) {
        probe_init(&probe[k], &clock, k);
        probe[k].period = 10 + 5 * k;
        clock_event_set(&clock, &probe[k].event, probe[k].period);
    }
    clock.now = 30;
    clock_run(&clock);
    static const unsigned expected[] = {0, 1, 0, 1, 0}; /* 10, 15, 20, 30 (set first), 30 */
    ck_assert_uint_eq(ran_count, 5);
    for (unsigned k = 0; k < 5; k++)
        ck_assert_uint_eq(ran[k], expected[k]);
    clock_fini(&clock);
}
END_TEST

static void count_sooner(void *opaque)
{
    (void)opaque;
    sooner_count++;
}

START_TEST(sooner_is_called)
{
    struct clock clock;
    struct probe probe[2];
    clock_init(&clock, 1000);
    clock.sooner = count_sooner;
    probe_init(&probe[0], &clock, 0);
    probe_init(&probe[1], &clock, 1);
    clock_event_set(&clock, &probe[0].event, 100);
    ck_assert_uint_eq(sooner_count, 1);
    clock_event_set(&clock, &probe[1].event, 100);
    clock_event_set(&clock, &probe[1].event, 200);
    ck_assert_uint_eq(sooner_count, 1);
    clock_event_set(&clock, &probe[1].event, 99);
    ck_assert_uint_eq(sooner_count, 2);
    clock_event_set(&clock, &probe[1].event, 150);
    clock_event_cancel(&clock, &probe[0].event);
    ck_assert_uint_eq(sooner_count, 2);
    clock_fini(&clock);
}
END_TEST

/* A plain list, searched for its least element, against the heap. */
START_TEST(heap_agrees_with_list)
{
    struct clock clock;
    static struct probe probe[EVENTS];
    static u64 order[EVENTS];
    u64 next_order = 0;
    clock_init(&clock, 1000);
    for (unsigned k = 0; k < EVENTS; k++)
        probe_init(&probe[k], &clock, k);
    srand(1);
    for (unsigned step = 0; step < 20000; step++) {
        unsigned k = (unsigned)rand() % EVENTS;
        if (rand() % 3) {
            clock_event_set(&clock, &probe[k].event, (u64)rand() % 100);
            order[k] = next_order++;
        } else {
            clock_event_cancel(&clock, &probe[k].event);
        }
        u64 least = CLOCK_NEVER;
        for (unsigned j = 0; j < EVENTS; j++)
            if (clock_event_queued(&probe[j].event))
                least = MIN(least, probe[j].event.when);
        REQUIRE(clock.next == least);
    }
    u32 queued = clock.count;
    clock.now = 100;
    clock_run(&clock);
    REQUIRE(ran_count == queued);
    for (unsigned k = 1; k < ran_count; k++) {
        const struct clock_event *a = &probe[ran[k - 1]].event, *b = &probe[ran[k]].event;
        REQUIRE(a->when < b->when || (a->when == b->when && order[ran[k - 1]] < order[ran[k]]));
    }
    clock_fini(&clock);
}
END_TEST

START_TEST(units_are_converted)
{
    struct clock clock;
    clock_init(&clock, 1000000000);
    ck_assert_uint_eq(clock_to_units(&clock, 999999999, 1193182), 1193181);
    ck_assert_uint_eq(clock_to_units(&clock, 1000000000, 1193182), 1193182);
    ck_assert_uint_eq(clock_from_units(&clock, 1, 1193182), 839);
    ck_assert_uint_eq(clock_from_units(&clock, 1193182, 1193182), 1000000000);
    ck_assert_uint_eq(clock_to_units(&clock, UINT64_MAX, 500000000), UINT64_MAX / 2);
    ck_assert_uint_eq(clock_to_units(&clock, UINT64_MAX, 2000000000), CLOCK_NEVER);
    ck_assert_uint_eq(clock_from_units(&clock, UINT64_MAX, 1), CLOCK_NEVER);
    for (u64 units = 0; units < 3000; units++) {
        u64 ticks = clock_from_units(&clock, units, 3579545);
        ck_assert_uint_eq(clock_to_units(&clock, ticks, 3579545), units);
        if (ticks)
            ck_assert_uint_lt(clock_to_units(&clock, ticks - 1, 3579545), units);
    }
    clock_fini(&clock);
}
END_TEST

SUITE_MAIN("clock", &events_run_in_order, &events_are_moved, &late_periods_are_made_up,
           &sooner_is_called, &heap_agrees_with_list, &units_are_converted)
