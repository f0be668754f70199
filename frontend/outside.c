/* SPDX-License-Identifier: MIT */
#include "frontend/outside.h"

#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "base/input.h"
#include "base/log.h"

/*
 * Input is looked for at every tick that is a multiple of this (functional: instructions), so a run
 * that saves and one that loads look at the same ticks.
 */
#define POLL_TICKS 2000000
#define NS_PER_S UINT64_C(1000000000)
#define IDLE_MAX_NS NS_PER_S
#define LATE_MAX_NS INT64_C(1000000000)

struct outside {
    struct machine *m;
    struct outside_client client[OUTSIDE_CLIENTS];
    unsigned clients;
    struct clock_event event; /* no part of the machine: it changes nothing and is never saved */
    bool pace_host;
    s64 late_ns; /* by how much idle time of the host exceeds that of the guest */
};

int outside_watch(struct outside_wait *wait, int fd, short events)
{
    if (fd < 0 || wait->fds == OUTSIDE_FDS)
        return -1;
    wait->fd[wait->fds] = (struct pollfd){.fd = fd, .events = events};
    return (int)wait->fds++;
}

bool outside_ready(const struct outside_wait *wait, int index)
{
    return index >= 0 && wait->fd[index].revents;
}

static bool live(const struct outside *o)
{
    for (unsigned n = 0; n < o->clients; n++)
        if (o->client[n].live(o->client[n].opaque))
            return true;
    return false;
}

static u64 host_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * NS_PER_S + (u64)t.tv_nsec;
}

static void wait_for_host(const struct outside *o, struct outside_wait *wait)
{
    for (unsigned n = 0; n < o->clients; n++)
        o->client[n].prepare(o->client[n].opaque, wait);
    struct timespec t = {(time_t)(wait->ns / NS_PER_S), (long)(wait->ns % NS_PER_S)};
    if (ppoll(wait->fd, wait->fds, &t, NULL) < 0)
        for (unsigned n = 0; n < wait->fds; n++)
            wait->fd[n].revents = 0;
}

static void take_in(struct outside *o, const struct outside_wait *wait)
{
    for (unsigned n = 0; n < o->clients; n++)
        o->client[n].arrived(o->client[n].opaque, wait);
    if (log_strict_hit && o->m->group.stop == STOP_NONE)
        o->m->group.stop = STOP_USER;
}

void outside_poll(struct outside *o, u64 wait_ns)
{
    struct outside_wait wait = {.fds = 0, .ns = wait_ns};
    wait_for_host(o, &wait);
    take_in(o, &wait);
}

/* The event is there as long as something outside may want the run to end or input may come. */
void outside_start(struct outside *o)
{
    struct clock *clock = &o->m->clock;
    if (live(o) || log_strict)
        clock_event_set(clock, &o->event, (clock->now / POLL_TICKS + 1) * POLL_TICKS);
}

void outside_stop(struct outside *o)
{
    clock_event_cancel(&o->m->clock, &o->event);
}

static void look(void *opaque)
{
    struct outside *o = opaque;
    outside_poll(o, 0);
    outside_start(o);
}

/* ---- Idle time ---- */

/* Nothing but our own event is to come, and no input. */
static bool idle_for_ever(const struct outside *o)
{
    const struct clock *clock = &o->m->clock;
    return !live(o) && clock->count == clock_event_queued(&o->event) &&
           o->m->group.insn_limit == CLOCK_NEVER;
}

/* When something will happen by itself: the next event that isn't our own, or the limit. */
static u64 next_tick(struct outside *o)
{
    struct clock *clock = &o->m->clock;
    bool queued = clock_event_queued(&o->event);
    clock_event_cancel(clock, &o->event);
    u64 tick = MIN(clock->next, o->m->group.insn_limit);
    if (queued)
        clock_event_set(clock, &o->event, o->event.when);
    return tick;
}

/*
 * Idle time passes in host time until tick `end` or until input comes. What the host slept too long
 * is made up for by sleeping less later; what the machine took to execute is not. The caller moves the
 * clock on to `when` at least: that much is passed in any case, or will be slept for later.
 */
static void pass_time(struct outside *o, u64 end, u64 when)
{
    struct clock *clock = &o->m->clock;
    u64 most = clock->now + clock_from_units(clock, IDLE_MAX_NS, NS_PER_S);
    end = MIN(end, most);
    s64 ahead = (s64)clock_to_units(clock, end - clock->now, NS_PER_S);
    struct outside_wait wait = {.ns = ahead > o->late_ns ? (u64)(ahead - o->late_ns) : 0};
    u64 begin = host_ns();
    wait_for_host(o, &wait);
    o->late_ns += (s64)(host_ns() - begin);
    if (o->late_ns < ahead) /* something came, or a client wanted a shorter wait */
        ahead = MAX(o->late_ns, (s64)clock_to_units(clock, MIN(when, end) - clock->now, NS_PER_S));
    o->late_ns = MIN(o->late_ns - ahead, LATE_MAX_NS);
    clock->now = MIN(end, clock->now + clock_from_units(clock, (u64)ahead, NS_PER_S));
    take_in(o, &wait);
}

/*
 * All CPUs are idle. Without --pace host the clock is moved on by the caller, and input has an effect at
 * our event only.
 */
static void idle(void *opaque, u64 when)
{
    struct outside *o = opaque;
    if (idle_for_ever(o)) {
        o->m->group.stop = STOP_IDLE;
        return;
    }
    if (!live(o) || input_replaying(o->m->input))
        return;
    u64 end = next_tick(o);
    if (o->pace_host)
        pass_time(o, end, when);
    else if (end == CLOCK_NEVER)
        outside_poll(o, IDLE_MAX_NS);
}

/* ---- Life ---- */

struct outside *outside_new(struct machine *m, bool pace_host)
{
    struct outside *o = xalloc(sizeof(*o));
    o->m = m;
    o->pace_host = pace_host;
    clock_event_init(&o->event, "outside", look, o);
    m->group.idle = idle;
    m->group.idle_opaque = o;
    return o;
}

void outside_free(struct outside *o)
{
    if (!o)
        return;
    outside_stop(o);
    o->m->group.idle = NULL;
    free(o);
}

void outside_add(struct outside *o, const struct outside_client *client)
{
    ASSERT(o->clients < OUTSIDE_CLIENTS);
    o->client[o->clients++] = *client;
}
