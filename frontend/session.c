/* SPDX-License-Identifier: MIT */
#include "frontend/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/input.h"
#include "base/log.h"
#include "configs/config.h"
#include "configs/machine.h"
#include "configs/settings.h"
#include "devices/pc.h"
#include "frontend/debugger.h"
#include "frontend/gdb.h"
#include "frontend/disks.h"
#include "frontend/image.h"
#include "frontend/monitor.h"
#include "frontend/networks.h"
#include "frontend/outside.h"
#include "frontend/recording.h"
#include "frontend/screenshot.h"
#include "frontend/sendkey.h"
#include "frontend/stats.h"
#include "traces/trace.h"
#include "frontend/terminal.h"
#include "frontend/window.h"

/* The debugger's consoles are looked at this often while the machine is idle. */
#define IDLE_DEBUGGED_NS UINT64_C(20000000)

enum { END_SERIAL, END_DEBUG = PC_SERIAL_PORTS, END_FIRMWARE, END_CONSOLE, ENDS };

struct session {
    const struct options *opt;
    struct terminal *end[ENDS]; /* NULL: no such port */
    struct disks disks;
    struct machine *m;
    struct outside *outside;
    struct networks networks;
    struct window *window; /* NULL: none */
    struct debugger *debugger;
    struct gdb *gdb; /* NULL: none */
    struct monitor *monitor;
    unsigned input_end; /* the one that standard input is for */
    int input_watch;
    bool host_date;
    char *identity; /* for recordings */
};

/* ---- The terminal, which is the first serial port's or the console's ---- */

static bool input_live(void *opaque)
{
    const struct session *s = opaque;
    return terminal_live(s->end[s->input_end]);
}

static void input_prepare(void *opaque, struct outside_wait *wait)
{
    struct session *s = opaque;
    s->input_watch = outside_watch(wait, terminal_fd(s->end[s->input_end]), POLLIN);
}

static void input_arrived(void *opaque, const struct outside_wait *wait)
{
    struct session *s = opaque;
    struct terminal *term = s->end[s->input_end];
    u8 bytes[256];
    if (outside_ready(wait, s->input_watch) && terminal_read(term) && s->m->group.stop == STOP_NONE)
        s->m->group.stop = STOP_USER;
    const struct pc *pc = s->m->pc;
    bool serial = s->input_end == END_SERIAL;
    size_t room = serial ? pc_serial_room(pc, 0) : pc_console_room(pc);
    unsigned source = serial ? pc_serial_source(pc, 0) : pc_console_source(pc);
    input_put(s->m->input, source, bytes, terminal_take(term, bytes, MIN(sizeof(bytes), room)));
}

static bool save_machine(struct session *s, const char *path, struct error *err)
{
    outside_stop(s->outside);
    machine_drop_caches(s->m);
    struct snap *snap = snap_open_save(path, err);
    if (snap)
        machine_snap(s->m, snap);
    outside_start(s->outside);
    return snap && snap_close(snap, err);
}

/* ---- The window ---- */

static bool window_live(void *opaque)
{
    (void)opaque;
    return true;
}

static void window_prepare(void *opaque, struct outside_wait *wait)
{
    const struct session *s = opaque;
    wait->ns = MIN(wait->ns, window_patience(s->window));
}

static void window_arrived(void *opaque, const struct outside_wait *wait)
{
    struct session *s = opaque;
    (void)wait;
    if (window_poll(s->window) && s->m->group.stop == STOP_NONE)
        s->m->group.stop = STOP_USER;
}

static bool show_window(struct session *s, struct error *err)
{
    if (!s->opt->window)
        return true;
    s->window = window_open(s->m, err);
    if (s->window)
        outside_add(s->outside,
                    &(struct outside_client){s, window_live, window_prepare, window_arrived});
    return s->window;
}

/* ---- The debugger's consoles ---- */

static bool debugger_is_live(void *opaque)
{
    const struct session *s = opaque;
    return debugger_live(s->debugger);
}

static void debugger_prepare(void *opaque, struct outside_wait *wait)
{
    if (debugger_is_live(opaque))
        wait->ns = MIN(wait->ns, IDLE_DEBUGGED_NS);
}

static void debugger_arrived(void *opaque, const struct outside_wait *wait)
{
    const struct session *s = opaque;
    (void)wait;
    debugger_poll(s->debugger, 0);
}

static bool monitor_save(void *opaque, const char *path, struct error *err)
{
    return save_machine(opaque, path, err);
}

static bool monitor_screendump(void *opaque, const char *path, struct error *err)
{
    const struct session *s = opaque;
    return screenshot_take(s->m->pc, path, err);
}

static bool monitor_sendkey(void *opaque, const char *keys, struct error *err)
{
    const struct session *s = opaque;
    return sendkey(s->m->pc, keys, err);
}

static void monitor_reset(void *opaque)
{
    const struct session *s = opaque;
    s->m->group.stop = STOP_RESET;
}

static void monitor_power_button(void *opaque)
{
    const struct session *s = opaque;
    pc_power_button(s->m->pc);
}

static bool attach_debugger(struct session *s, struct error *err)
{
    s->debugger = debugger_new(&s->m->group);
    outside_add(s->outside,
                &(struct outside_client){s, debugger_is_live, debugger_prepare, debugger_arrived});
    s->monitor =
        monitor_new(s->debugger, s->m,
                    &(struct monitor_hooks){s, monitor_save, monitor_screendump, monitor_sendkey,
                                            monitor_reset, monitor_power_button});
    if (s->opt->monitor && !monitor_listen(s->monitor, s->opt->monitor, err))
        return error_prefix(err, "--monitor");
    if (s->opt->gdb)
        s->gdb = gdb_open(s->opt->gdb, s->debugger, err);
    return s->gdb || !s->opt->gdb;
}

static void detach_debugger(struct session *s)
{
    gdb_close(s->gdb);
    monitor_free(s->monitor);
    debugger_free(s->debugger);
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
    case STOP_PANIC:
        fprintf(stderr, "testudo: the guest has panicked\n");
        return STATUS_PANIC;
    default:
        return STATUS_OK;
    }
}

/* What happens after power-on and each reset. */
static bool start(struct session *s, struct error *err)
{
    struct boot_request req = {
        .kernel = s->opt->kernel, .initrd = s->opt->initrd, .append = s->opt->append};
    if (s->m->firmware)
        return !req.kernel || boot_publish(pc_fw_cfg(s->m->pc), &s->m->bus.ram, &req, err);
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

static bool open_ends(struct session *s, const struct settings *set, struct machine_ends *ends,
                      struct error *err)
{
    const char *spec[ENDS] = {[END_DEBUG] = set->debug_to,
                              [END_FIRMWARE] = set->firmware_log,
                              [END_CONSOLE] = set->console_to};
    struct char_backend *backend[ENDS] = {[END_DEBUG] = &ends->debug,
                                          [END_FIRMWARE] = &ends->firmware_log,
                                          [END_CONSOLE] = &ends->console};
    if (set->console_to && !strcmp(set->console_to, "stdio"))
        s->input_end = END_CONSOLE;
    for (unsigned n = 0; n < PC_SERIAL_PORTS; n++) {
        spec[n] = set->serial_to[n];
        backend[n] = &ends->serial[n];
    }
    for (unsigned n = 0; n < ENDS; n++) {
        if (!spec[n])
            continue;
        s->end[n] = terminal_open(spec[n], n == s->input_end, err);
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
    if (!settings_read(root, &set, err) || !open_ends(s, &set, &ends, err) ||
        !disks_open(&s->disks, &set, &ends, err) || !networks_open(&s->networks, &set, &ends, err))
        return false;
    s->host_date = set.pc.rtc.host;
    s->m = machine_new(root, &ends, err);
    if (!s->m)
        return false;
    bool paced = s->opt->window || s->networks.count || terminal_paced(s->end[s->input_end]);
    s->outside = outside_new(s->m, s->opt->pace_given ? s->opt->pace_host : paced);
    outside_add(s->outside, &(struct outside_client){s, input_live, input_prepare, input_arrived});
    return show_window(s, err);
}

static bool configure(struct session *s, struct error *err)
{
    struct prop_node *root = config_load(s->opt->machine, err);
    bool ok = root;
    for (unsigned k = 0; ok && k < s->opt->set_count; k++)
        ok = prop_set_path(root, s->opt->set[k], err);
    ok = ok && build(s, root, err);
    if (ok && (s->opt->record || s->opt->replay))
        ok = (s->identity = recording_identity(root, s->opt, err));
    prop_free(root);
    return ok;
}

/* The machine is as it will start; from here on, what comes from outside counts. */
static bool open_input(struct session *s, struct error *err)
{
    struct input_hub *hub = s->m->input;
    unsigned date = input_source(hub, "date", NULL, NULL);
    if (s->opt->replay && !input_replay(hub, s->opt->replay, s->identity, err))
        return error_prefix(err, "--replay");
    if (s->opt->record && !input_record(hub, s->opt->record, s->identity, err))
        return error_prefix(err, "--record");
    if (s->host_date && !s->opt->load_path)
        pc_set_date(s->m->pc, (s64)input_value(hub, date, (u64)time(NULL)));
    return input_replaying(hub) || networks_start(&s->networks, s->m, s->outside, err);
}

static bool prepare(struct session *s, struct error *err)
{
    if (s->opt->log && !log_enable(s->opt->log, err))
        return error_prefix(err, "--log");
    if (!configure(s, err))
        return false;
    if (s->opt->load_path)
        return load_snapshot(s, err) && open_input(s, err);
    if (!s->opt->kernel && !s->m->firmware)
        return error_set(err, "nothing to run: --kernel, --bios or --load FILE is needed");
    return start(s, err) && open_input(s, err);
}

/* Runs to the next thing the session must do by itself. */
static void run_leg(struct session *s, u64 limit)
{
    struct cpu_group *group = &s->m->group;
    group->insn_limit = limit;
    for (;;) {
        group->stop = debugger_due(s->debugger) ? STOP_DEBUG : STOP_NONE;
        cpu_group_run(group);
        if (group->stop != STOP_DEBUG)
            break;
        if (!debugger_serve(s->debugger)) {
            group->stop = STOP_USER;
            break;
        }
    }
    if (group->stop == STOP_TRIPLE_FAULT)
        debugger_end(s->debugger, group->stop_text);
}

static bool restart(struct session *s, struct error *err)
{
    if (!s->opt->kernel && !s->m->firmware)
        return error_set(err,
                         "the guest reset the machine, and there is no --kernel to start anew");
    machine_reset(s->m);
    debugger_machine_changed(s->debugger);
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

static u64 last_tick(const struct session *s)
{
    return MIN(s->opt->max_insns, input_end(s->m->input));
}

/* What an option asks for at a tick. */
struct stop {
    const char *option;
    u64 at;
    bool (*act)(struct session *, struct error *);
};

static bool save_here(struct session *s, struct error *err)
{
    return save_machine(s, s->opt->save_path, err);
}

static bool draw_here(struct session *s, struct error *err)
{
    return screenshot_take(s->m->pc, s->opt->screenshot_path, err);
}

static bool run_to_stop(struct session *s, const struct stop *stop, struct error *err)
{
    const struct clock *clock = &s->m->clock;
    if (stop->at < clock->now)
        return error_set(err, "%s: the machine loaded is at tick %llu already", stop->option,
                         (unsigned long long)clock->now);
    if (!run_until(s, MIN(stop->at, last_tick(s)), err))
        return false;
    if (s->m->group.stop != STOP_LIMIT || clock->now < stop->at)
        return error_set(err, "%s: the run ended at tick %llu, before %llu", stop->option,
                         (unsigned long long)clock->now, (unsigned long long)stop->at);
    return stop->act(s, err);
}

/* The whole run, with the stops for --save and --screenshot in it. */
static bool run(struct session *s, struct error *err)
{
    const struct options *opt = s->opt;
    const struct stop save = {"--save", opt->save_at, save_here};
    const struct stop draw = {"--screenshot", opt->screenshot_at, draw_here};
    const struct stop *stops[2];
    unsigned count = 0;
    if (opt->save_path)
        stops[count++] = &save;
    if (opt->screenshot_path)
        stops[count++] = &draw;
    if (count == 2 && draw.at < save.at) {
        stops[0] = &draw;
        stops[1] = &save;
    }
    for (unsigned n = 0; n < count; n++)
        if (!run_to_stop(s, stops[n], err))
            return false;
    return run_until(s, last_tick(s), err);
}

/* A replay that reached its end, or went another way. True: *status says how the run ended. */
static bool replay_ended(struct session *s, int *status)
{
    const struct input_hub *hub = s->m->input;
    if (input_diverged(hub)) {
        fprintf(stderr,
                "testudo: --replay: the run is not the recorded one: it asked for a value of "
                "the host that the recording does not have\n");
        *status = STATUS_USAGE;
        return true;
    }
    if (s->m->group.stop != STOP_LIMIT || s->m->clock.now < input_end(hub))
        return false;
    fprintf(stderr, "testudo: the recording ends at tick %llu\n",
            (unsigned long long)s->m->clock.now);
    *status = STATUS_OK;
    return true;
}

static int run_and_report(struct session *s, struct error *err)
{
    const struct options *opt = s->opt;
    int status = STATUS_USAGE;
    struct stats_host begin = stats_now();
    begin.ticks = s->m->clock.now;
    outside_start(s->outside);
    bool ok = run(s, err);
    close_ends(s);
    if (ok && !replay_ended(s, &status))
        status = status_of(s);
    if (!input_close(s->m->input, s->m->group.stop != STOP_USER, err))
        status = STATUS_USAGE;
    if (opt->stats && !stats_write(opt->stats, s->m, &begin, err))
        status = STATUS_USAGE;
    if (!trace_close(err))
        status = STATUS_USAGE;
    debugger_ended(s->debugger, status);
    return status;
}

int session_run(const struct options *opt, struct error *err)
{
    struct session s = {.opt = opt};
    int status = STATUS_USAGE;
    if (prepare(&s, err) && attach_debugger(&s, err) &&
        (!opt->trace || trace_open(opt->trace, err)))
        status = run_and_report(&s, err);
    detach_debugger(&s);
    outside_free(s.outside);
    networks_close(&s.networks);
    window_close(s.window);
    machine_free(s.m);
    disks_close(&s.disks);
    close_ends(&s);
    free(s.identity);
    return status;
}
