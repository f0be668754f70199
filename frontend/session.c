/* SPDX-License-Identifier: MIT */
#include "frontend/session.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "configs/config.h"
#include "configs/machine.h"
#include "devices/pc.h"
#include "devices/uart16550.h"
#include "frontend/image.h"
#include "frontend/stats.h"
#include "frontend/terminal.h"

/* How often input is looked for: every so many ticks (functional: instructions). */
#define POLL_TICKS 2000000
#define NS_PER_S UINT64_C(1000000000)

struct session {
    const struct options *opt;
    struct terminal *term;
    struct machine *m;
    struct clock_event poll;
    u64 host_start, tick_start; /* --pace host: when the run began */
    bool quit;
};

static u64 host_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * NS_PER_S + (u64)t.tv_nsec;
}

static void look_for_input(struct session *s, u64 wait_ns)
{
    if (terminal_poll(s->term, wait_ns, &s->quit))
        uart16550_poll(pc_serial(s->m->pc, 0));
    if (s->quit)
        s->m->group.stop = STOP_USER;
}

static void poll_event(void *opaque)
{
    struct session *s = opaque;
    look_for_input(s, 0);
    clock_event_set(&s->m->clock, &s->poll, s->m->clock.now + POLL_TICKS);
}

/*
 * All CPUs are idle until tick `when`. With --pace host, guest time that would be skipped passes in
 * host time, cut into pieces in which input is looked for; the machine's clock is behind the host's
 * by what it took longer to execute, which is not made up for.
 */
static void idle(void *opaque, u64 when)
{
    struct session *s = opaque;
    struct clock *clock = &s->m->clock;
    bool live = terminal_live(s->term);
    if (!s->opt->pace_host || !live) {
        look_for_input(s, 0);
        if (when == CLOCK_NEVER && !live)
            s->m->group.stop = STOP_IDLE;
        return;
    }
    u64 wait = when == CLOCK_NEVER ? NS_PER_S : clock_to_units(clock, when - clock->now, NS_PER_S);
    u64 begin = host_ns();
    look_for_input(s, wait);
    u64 passed = clock_from_units(clock, host_ns() - begin, clock->hz);
    if (s->m->group.cpu[0]->pending && clock->now + passed < when)
        clock->now += passed;
}

static int status_of(const struct session *s)
{
    const struct cpu_group *g = &s->m->group;
    switch ((enum cpu_stop)g->stop) {
    case STOP_DEBUG_EXIT:
        return (int)(g->exit_value << 1 | 1) & 0xff;
    case STOP_LIMIT:
        fprintf(stderr, "testudo: stopped after %llu instructions\n",
                (unsigned long long)s->m->clock.now);
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

static bool start_kernel(struct session *s, struct error *err)
{
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

static bool prepare(struct session *s, struct error *err)
{
    struct prop_node *root = config_load(s->opt->machine, err);
    bool ok = root;
    for (unsigned k = 0; ok && k < s->opt->set_count; k++)
        ok = prop_set_path(root, s->opt->set[k], err);
    if (ok)
        s->term = terminal_open(s->opt->serial, err);
    ok = ok && s->term;
    struct char_backend serial = {0};
    if (ok) {
        serial = terminal_backend(s->term);
        s->m = machine_new(root, &serial, err);
        ok = s->m;
    }
    prop_free(root);
    if (!ok)
        return false;
    if (s->opt->load_path)
        return load_snapshot(s, err);
    if (!s->opt->kernel)
        return error_set(err, "nothing to run: --kernel FILE or --load FILE is needed");
    return start_kernel(s, err);
}

/* Runs to the next thing the session must do by itself. */
static void run_leg(struct session *s, u64 limit)
{
    s->m->group.insn_limit = limit;
    s->m->group.stop = STOP_NONE;
    cpu_group_run(&s->m->group);
}

static bool run(struct session *s, struct error *err)
{
    struct machine *m = s->m;
    bool save = s->opt->save_path && s->opt->save_at >= m->clock.now;
    for (;;) {
        u64 limit = save ? MIN(s->opt->save_at, s->opt->max_insns) : s->opt->max_insns;
        run_leg(s, limit);
        if (m->group.stop == STOP_LIMIT && save && m->clock.now >= s->opt->save_at) {
            clock_event_cancel(&m->clock, &s->poll);
            if (!save_snapshot(s, err))
                return false;
            clock_event_set(&m->clock, &s->poll, m->clock.now);
            save = false;
            if (m->clock.now < s->opt->max_insns)
                continue;
        }
        if (m->group.stop != STOP_RESET)
            return true;
        machine_reset(m);
        if (s->opt->kernel && !start_kernel(s, err))
            return false;
    }
}

int session_run(const struct options *opt, struct error *err)
{
    struct session s = {.opt = opt};
    int status = STATUS_USAGE;
    if (prepare(&s, err)) {
        struct stats_host host = stats_now();
        s.m->group.idle = idle;
        s.m->group.idle_opaque = &s;
        clock_event_init(&s.poll, "poll", poll_event, &s);
        if (terminal_live(s.term))
            clock_event_set(&s.m->clock, &s.poll, s.m->clock.now);
        if (run(&s, err)) {
            terminal_close(s.term);
            s.term = NULL;
            status = status_of(&s);
            if (opt->stats && !stats_write(opt->stats, s.m, &host, err))
                status = STATUS_USAGE;
        }
        clock_event_cancel(&s.m->clock, &s.poll);
    }
    machine_free(s.m);
    terminal_close(s.term);
    return status;
}
