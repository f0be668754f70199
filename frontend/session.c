/* SPDX-License-Identifier: MIT */
#include "frontend/session.h"

#include <stdio.h>
#include <time.h>

#include "base/log.h"
#include "configs/config.h"
#include "configs/machine.h"
#include "configs/settings.h"
#include "devices/pc.h"
#include "frontend/image.h"
#include "frontend/stats.h"
#include "traces/trace.h"
#include "frontend/terminal.h"

/*
 * Input is looked for at every tick that is a multiple of this (functional: instructions), so a run
 * that saves and one that loads look at the same ticks.
 */
#define POLL_TICKS 2000000
#define NS_PER_S UINT64_C(1000000000)
#define IDLE_MAX_NS NS_PER_S
#define LATE_MAX_NS INT64_C(1000000000)

enum { END_SERIAL, END_DEBUG = PC_SERIAL_PORTS, ENDS };

struct session {
    const struct options *opt;
    struct terminal *end[ENDS]; /* NULL: no such port */
    struct machine *m;
    struct clock_event poll; /* no part of the machine: it changes nothing and is never saved */
    bool pace_host;
    s64 late_ns; /* by how much idle time of the host exceeds that of the guest */
};

static bool live(const struct session *s)
{
    return terminal_live(s->end[END_SERIAL]);
}

static u64 host_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * NS_PER_S + (u64)t.tv_nsec;
}

static void stop_for_user(struct session *s, bool quit)
{
    if ((quit || log_strict_hit) && s->m->group.stop == STOP_NONE)
        s->m->group.stop = STOP_USER;
}

/* The event is there as long as something outside may want the run to end or input may come. */
static void set_poll(struct session *s)
{
    struct clock *clock = &s->m->clock;
    if (live(s) || log_strict)
        clock_event_set(clock, &s->poll, (clock->now / POLL_TICKS + 1) * POLL_TICKS);
}

static void poll_event(void *opaque)
{
    struct session *s = opaque;
    bool quit = false;
    if (terminal_poll(s->end[END_SERIAL], 0, &quit))
        pc_serial_poll(s->m->pc);
    stop_for_user(s, quit);
    set_poll(s);
}

/* Nothing but our own event is to come, and no input. */
static bool idle_for_ever(const struct session *s)
{
    const struct clock *clock = &s->m->clock;
    return !live(s) && clock->count == clock_event_queued(&s->poll) &&
           s->m->group.insn_limit == CLOCK_NEVER;
}

/* When something will happen by itself: the next event that isn't our own, or the limit. */
static u64 next_tick(struct session *s)
{
    struct clock *clock = &s->m->clock;
    bool queued = clock_event_queued(&s->poll);
    clock_event_cancel(clock, &s->poll);
    u64 tick = MIN(clock->next, s->m->group.insn_limit);
    if (queued)
        clock_event_set(clock, &s->poll, s->poll.when);
    return tick;
}

/*
 * Idle time passes in host time until tick `end` or until input comes. What the host slept too long
 * is made up for by sleeping less later; what the machine took to execute is not.
 */
static void pass_time(struct session *s, u64 end)
{
    struct clock *clock = &s->m->clock;
    u64 most = clock->now + clock_from_units(clock, IDLE_MAX_NS, NS_PER_S);
    bool quit = false;
    end = MIN(end, most);
    s64 ahead = (s64)clock_to_units(clock, end - clock->now, NS_PER_S);
    u64 begin = host_ns();
    bool input = terminal_poll(s->end[END_SERIAL],
                               ahead > s->late_ns ? (u64)(ahead - s->late_ns) : 0, &quit);
    s->late_ns += (s64)(host_ns() - begin);
    if (input && s->late_ns < ahead)
        ahead = MAX(s->late_ns, 0);
    s->late_ns = MIN(s->late_ns - ahead, LATE_MAX_NS);
    clock->now = MIN(end, clock->now + clock_from_units(clock, (u64)ahead, NS_PER_S));
    if (input)
        pc_serial_poll(s->m->pc);
    stop_for_user(s, quit);
}

/*
 * All CPUs are idle until tick `when`, which may be that of our own event. Without --pace host the
 * clock is moved on by the caller, and input has an effect at that event only.
 */
static void idle(void *opaque, u64 when)
{
    struct session *s = opaque;
    bool quit = false;
    (void)when;
    if (idle_for_ever(s)) {
        s->m->group.stop = STOP_IDLE;
        return;
    }
    if (!live(s))
        return;
    u64 end = next_tick(s);
    if (s->pace_host)
        pass_time(s, end);
    else if (end == CLOCK_NEVER)
        terminal_poll(s->end[END_SERIAL], IDLE_MAX_NS, &quit);
    stop_for_user(s, quit);
}

static int status_of(const struct session *s)
{
    const struct cpu_group *g = &s->m->group;
    if (log_strict_hit)
        fprintf(stderr, "testudo: --strict: not modelled: %s\n", log_strict_hit);
    switch ((enum cpu_stop)g->stop) {
    case STOP_DEBUG_EXIT:
        return (int)(g->exit_value << 1 | 1) & 0xff;
    case STOP_LIMIT:
        fprintf(stderr, "testudo: stopped at tick %llu\n", (unsigned long long)s->m->clock.now);
        return STATUS_LIMIT;
    case STOP_TRIPLE_FAULT:
        fprintf(stderr, "testudo: %s\n", g->stop_text);
        return STATUS_TRIPLE_FAULT;
    case STOP_IDLE:
        fprintf(stderr, "testudo: all processors halted for ever\n");
        return STATUS_LIMIT;
    default:
        return STATUS_OK;
    }
}

/* What happens after power-on and each reset. */
static bool start(struct session *s, struct error *err)
{
    if (s->m->firmware)
        return true;
    struct boot_request req = {
        .kernel = s->opt->kernel, .initrd = s->opt->initrd, .append = s->opt->append};
    if (!machine_firmware(s->m, err))
        return false;
    req.rsdp = s->m->rsdp;
    return boot_load(s->m->group.cpu[0], &req, err);
}

static bool load_snapshot(struct session *s, struct error *err)
{
    struct snap *snap = snap_open_load(s->opt->load_path, err);
    if (!snap)
        return false;
    machine_snap(s->m, snap);
    return snap_close(snap, err);
}

static bool save_snapshot(struct session *s, struct error *err)
{
    machine_drop_caches(s->m);
    struct snap *snap = snap_open_save(s->opt->save_path, err);
    if (!snap)
        return false;
    machine_snap(s->m, snap);
    return snap_close(snap, err);
}

static bool open_ends(struct session *s, const struct settings *set, struct machine_ends *ends,
                      struct error *err)
{
    const char *spec[ENDS] = {[END_DEBUG] = set->debug_to};
    struct char_backend *backend[ENDS] = {[END_DEBUG] = &ends->debug};
    for (unsigned n = 0; n < PC_SERIAL_PORTS; n++) {
        spec[n] = set->serial_to[n];
        backend[n] = &ends->serial[n];
    }
    for (unsigned n = 0; n < ENDS; n++) {
        if (!spec[n])
            continue;
        s->end[n] = terminal_open(spec[n], n == END_SERIAL, err);
        if (!s->end[n])
            return false;
        *backend[n] = terminal_backend(s->end[n]);
    }
    return true;
}

static void close_ends(struct session *s)
{
    for (unsigned n = 0; n < ENDS; n++) {
        terminal_close(s->end[n]);
        s->end[n] = NULL;
    }
}

static bool build(struct session *s, const struct prop_node *root, struct error *err)
{
    struct settings set;
    struct machine_ends ends = {0};
    if (!settings_read(root, &set, err) || !open_ends(s, &set, &ends, err))
        return false;
    s->pace_host = s->opt->pace_given ? s->opt->pace_host : terminal_paced(s->end[END_SERIAL]);
    s->m = machine_new(root, &ends, err);
    return s->m;
}

static bool prepare(struct session *s, struct error *err)
{
    if (s->opt->log && !log_enable(s->opt->log, err))
        return error_prefix(err, "--log");
    struct prop_node *root = config_load(s->opt->machine, err);
    bool ok = root;
    for (unsigned k = 0; ok && k < s->opt->set_count; k++)
        ok = prop_set_path(root, s->opt->set[k], err);
    ok = ok && build(s, root, err);
    prop_free(root);
    if (!ok)
        return false;
    if (s->opt->load_path)
        return load_snapshot(s, err);
    if (!s->opt->kernel && !s->m->firmware)
        return error_set(err, "nothing to run: --kernel, --bios or --load FILE is needed");
    return start(s, err);
}

/* Runs to the next thing the session must do by itself. */
static void run_leg(struct session *s, u64 limit)
{
    s->m->group.insn_limit = limit;
    s->m->group.stop = STOP_NONE;
    cpu_group_run(&s->m->group);
}

static bool restart(struct session *s, struct error *err)
{
    if (!s->opt->kernel && !s->m->firmware)
        return error_set(err,
                         "the guest reset the machine, and there is no --kernel to start anew");
    machine_reset(s->m);
    return start(s, err);
}

/* Runs until the run ends, across resets; stops at tick `until` with STOP_LIMIT. */
static bool run_until(struct session *s, u64 until, struct error *err)
{
    do {
        run_leg(s, until);
    } while (s->m->group.stop == STOP_RESET && restart(s, err));
    return s->m->group.stop != STOP_RESET;
}

/* The whole run, with the stop for --save in it. */
static bool run(struct session *s, struct error *err)
{
    const struct options *opt = s->opt;
    const struct clock *clock = &s->m->clock;
    if (!opt->save_path)
        return run_until(s, opt->max_insns, err);
    if (opt->save_at < clock->now)
        return error_set(err, "--save: the machine loaded is at tick %llu already",
                         (unsigned long long)clock->now);
    if (!run_until(s, MIN(opt->save_at, opt->max_insns), err))
        return false;
    if (s->m->group.stop != STOP_LIMIT || clock->now < opt->save_at)
        return error_set(err, "--save: the run ended at tick %llu, before %llu",
                         (unsigned long long)clock->now, (unsigned long long)opt->save_at);
    clock_event_cancel(&s->m->clock, &s->poll);
    if (!save_snapshot(s, err))
        return false;
    set_poll(s);
    return run_until(s, opt->max_insns, err);
}

int session_run(const struct options *opt, struct error *err)
{
    struct session s = {.opt = opt};
    int status = STATUS_USAGE;
    if (prepare(&s, err) && (!opt->trace || trace_open(opt->trace, err))) {
        struct stats_host begin = stats_now();
        begin.ticks = s.m->clock.now;
        s.m->group.idle = idle;
        s.m->group.idle_opaque = &s;
        clock_event_init(&s.poll, "poll", poll_event, &s);
        set_poll(&s);
        bool ok = run(&s, err);
        close_ends(&s);
        if (ok)
            status = status_of(&s);
        if (opt->stats && !stats_write(opt->stats, s.m, &begin, err))
            status = STATUS_USAGE;
        clock_event_cancel(&s.m->clock, &s.poll);
        if (!trace_close(err))
            status = STATUS_USAGE;
    }
    machine_free(s.m);
    close_ends(&s);
    return status;
}
