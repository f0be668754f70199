/* SPDX-License-Identifier: MIT */
#include "frontend/debugger.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cpu/probe.h"
#include "frontend/debugger_points.h"

#define CONSOLES_MAX 8

/* What changes when a processor executes an instruction or takes an event. */
struct progress {
    u64 rip, insns, exceptions, interrupts;
    u8 activity;
    bool nonroot;
};

enum go { GO_NOT, GO_ON, GO_QUIT };

struct debugger {
    struct cpu_group *group;
    struct debug_points points;
    struct cpu_probe probe;
    struct tlb_watch watch;
    const struct debug_console *console[CONSOLES_MAX];
    unsigned consoles;
    struct debug_commands commands;
    struct debug_stop last, noted; /* noted: kind is not NONE when it waits for a boundary */
    enum probe_place last_place;
    unsigned selected;
    bool standing, requested;
    enum go go;
    struct cpu *stepping; /* NULL: nobody */
    struct progress before;
    /* Where the run goes on: what stopped it there may pass. */
    struct cpu *pass_cpu;
    u64 pass_tick, pass_rip;
};

/* ---- Stops ---- */

static const char *const stop_words[] = {
    [DEBUG_STOP_REQUEST] = "stopped by request", [DEBUG_STOP_STEP] = "stepped"};

static void write_text(const struct debugger *d, struct debug_stop *s)
{
    const struct cpu *cpu = d->group->cpu[s->cpu];
    char what[128] = "";
    if (s->kind == DEBUG_STOP_POINT)
        debug_points_reason(s, what, sizeof(what));
    else if (s->kind < ARRAY_SIZE(stop_words))
        snprintf(what, sizeof(what), "%s", stop_words[s->kind]);
    snprintf(s->text, sizeof(s->text), "CPU %u at %04x:%llx, tick %llu: %s", s->cpu,
             cpu->seg[SEG_CS].selector, (unsigned long long)s->rip, (unsigned long long)s->tick,
             what);
}

/* Makes s the last stop. */
static void set_last(struct debugger *d, const struct debug_stop *s, u64 rip, u64 tick)
{
    d->last = *s;
    d->last.rip = rip;
    d->last.tick = tick;
    d->noted.kind = DEBUG_STOP_NONE;
    d->requested = false;
    d->stepping = NULL;
    write_text(d, &d->last);
}

static struct debug_stop point_stop(const struct cpu *cpu, const struct debug_point *p,
                                    const struct probe_event *e)
{
    return (struct debug_stop){.kind = DEBUG_STOP_POINT,
                               .point = *p,
                               .cpu = cpu->index,
                               .address = e->lin,
                               .size = e->size,
                               .write = e->write,
                               .number = e->number,
                               .value = e->value};
}

static bool stop_at(struct debugger *d, const struct cpu *cpu, struct debug_point *p,
                    const struct probe_event *e)
{
    p->hits++;
    struct debug_stop s = point_stop(cpu, p, e);
    set_last(d, &s, e->rip, e->tick);
    d->last_place = e->place;
    debug_points_done(&d->points, p);
    return true;
}

/* ---- What the core asks ---- */

static struct progress progress_of(const struct cpu *cpu)
{
    return (struct progress){.rip = cpu->rip,
                             .insns = cpu->insns,
                             .exceptions = cpu->exceptions,
                             .interrupts = cpu->interrupts,
                             .activity = cpu->activity,
                             .nonroot = cpu->nonroot};
}

static bool has_moved(const struct progress *a, const struct progress *b)
{
    return a->rip != b->rip || a->insns != b->insns || a->exceptions != b->exceptions ||
           a->interrupts != b->interrupts || a->activity != b->activity || a->nonroot != b->nonroot;
}

static bool stop_here(struct debugger *d, const struct debug_stop *s)
{
    set_last(d, s, d->group->cpu[s->cpu]->rip, d->group->clock->now);
    d->last_place = PROBE_BOUNDARY;
    return true;
}

/* Whichever processor is asked: the one concerned may have lost its turn just now. */
static bool at_boundary(struct debugger *d)
{
    if (d->noted.kind != DEBUG_STOP_NONE) {
        struct debug_stop s = d->noted;
        struct debug_point *p = debug_points_find(&d->points, s.point.id);
        d->noted.kind = DEBUG_STOP_NONE;
        if (!p) /* a console took it away just now */
            return false;
        s.point.hits = ++p->hits;
        debug_points_done(&d->points, p);
        return stop_here(d, &s);
    }
    if (!d->stepping)
        return false;
    struct progress now = progress_of(d->stepping);
    struct debug_stop s = {.kind = DEBUG_STOP_STEP, .cpu = d->stepping->index};
    return has_moved(&now, &d->before) && stop_here(d, &s);
}

/* Has the machine just stopped here? Then it may go on. */
static bool passes(const struct debugger *d, const struct cpu *cpu, const struct probe_event *e)
{
    if (cpu != d->pass_cpu || e->tick != d->pass_tick)
        return false;
    return e->place == PROBE_FETCH ? e->rip == d->pass_rip : e->place == d->last_place;
}

static bool ask(void *opaque, struct cpu *cpu, const struct probe_event *event)
{
    struct debugger *d = opaque;
    if (event->place == PROBE_BOUNDARY)
        return at_boundary(d);
    struct probe_event e = *event;
    if (e.place == PROBE_EXIT) {
        e.number = cpu->exit.reason;
        e.value = cpu->exit.qualification;
    }
    if (e.place == PROBE_EXCEPTION)
        e.number = cpu->exc.vector;
    struct debug_point *p = debug_points_match(&d->points, &e);
    if (!p)
        return false;
    if (e.place < PROBE_ACCESS)
        return !passes(d, cpu, &e) && stop_at(d, cpu, p, &e);
    if (d->noted.kind == DEBUG_STOP_NONE)
        d->noted = point_stop(cpu, p, &e);
    return true;
}

static bool marks(void *opaque, u64 lin, u64 lin_mask, u64 hpa)
{
    struct debugger *d = opaque;
    return debug_points_mark(&d->points, lin, lin_mask, hpa);
}

static unsigned watch_kinds(void *opaque, u64 lin, const u8 *host)
{
    struct debugger *d = opaque;
    return debug_points_watch(&d->points, lin, host);
}

/* ---- Making and running ---- */

struct debugger *debugger_new(struct cpu_group *group)
{
    struct debugger *d = xalloc(sizeof(*d));
    d->group = group;
    d->points.ram = &group->bus->ram;
    d->probe = (struct cpu_probe){.opaque = d, .ask = ask, .marks = marks};
    d->watch = (struct tlb_watch){.opaque = d, .kinds = watch_kinds};
    return d;
}

void debugger_free(struct debugger *d)
{
    if (!d)
        return;
    for (unsigned n = 0; n < d->group->count; n++)
        d->group->cpu[n]->probe_step = false;
    d->group->alone = NULL;
    probe_set(d->group, NULL, true);
    probe_set_watch(d->group, NULL);
    free(d);
}

/* What points there are comes into force only here, so that taking all away and back costs nothing. */
static void apply(struct debugger *d)
{
    struct cpu_group *group = d->group;
    bool needed = debug_points_any(&d->points) || d->stepping;
    bool code = debug_points_apply_code(&d->points);
    probe_set(group, needed ? &d->probe : NULL, code);
    if (debug_points_apply_watch(&d->points))
        probe_set_watch(group, debug_points_watching(&d->points) ? &d->watch : NULL);
    for (unsigned n = 0; n < group->count; n++)
        group->cpu[n]->probe_step = group->cpu[n] == d->stepping;
}

/* Another processor's slice that is under way ends when somebody is to run alone. */
static void choose_slice(struct cpu_group *group)
{
    if (!group->alone || group->cpu[group->turn] == group->alone)
        return;
    group->turn = group->alone->index;
    group->slice.end = 0;
}

static void resume(struct debugger *d)
{
    d->pass_cpu = d->group->cpu[d->last.cpu];
    d->pass_tick = d->group->clock->now;
    d->pass_rip = d->pass_cpu->rip;
    apply(d);
    choose_slice(d->group);
    if (d->stepping)
        d->before = progress_of(d->stepping);
    d->standing = false;
    for (unsigned n = 0; n < d->consoles; n++)
        if (d->console[n]->resuming)
            d->console[n]->resuming(d->console[n]->opaque);
}

/* Quitting has been said for good. */
static void go(struct debugger *d, struct cpu *stepping, struct cpu *alone)
{
    if (d->go != GO_QUIT)
        d->go = GO_ON;
    d->stepping = stepping;
    d->group->alone = alone;
}

void debugger_continue(struct debugger *d)
{
    go(d, NULL, NULL);
}

void debugger_continue_alone(struct debugger *d, unsigned cpu)
{
    ASSERT(cpu < d->group->count);
    go(d, NULL, d->group->cpu[cpu]);
}

void debugger_step(struct debugger *d, unsigned cpu, bool alone)
{
    ASSERT(cpu < d->group->count);
    go(d, d->group->cpu[cpu], alone ? d->group->cpu[cpu] : NULL);
}

void debugger_quit(struct debugger *d)
{
    d->go = GO_QUIT;
    if (!d->standing && d->group->stop == STOP_NONE)
        d->group->stop = STOP_USER;
}

void debugger_request_stop(struct debugger *d)
{
    if (d->standing && d->go == GO_NOT)
        return;
    d->requested = true;
    if (d->group->stop == STOP_NONE)
        d->group->stop = STOP_DEBUG;
}

bool debugger_due(const struct debugger *d)
{
    return d->requested;
}

bool debugger_standing(const struct debugger *d)
{
    return d->standing;
}

const struct debug_stop *debugger_last(const struct debugger *d)
{
    return &d->last;
}

/* Stands, and lets the consoles work until one of them ends it; so does the last one's going away. */
static void stand(struct debugger *d)
{
    d->standing = true;
    d->go = GO_NOT;
    d->selected = d->last.cpu;
    for (unsigned n = 0; n < d->consoles; n++)
        if (d->console[n]->stopped)
            d->console[n]->stopped(d->console[n]->opaque);
    while (d->go == GO_NOT) {
        if (!debugger_live(d))
            debugger_continue(d);
        else
            debugger_poll(d, -1);
    }
}

bool debugger_serve(struct debugger *d)
{
    bool by_request = d->requested || d->last.kind == DEBUG_STOP_NONE;
    if (by_request) {
        const struct cpu *now = d->group->cpu[d->group->turn];
        struct debug_stop s = {.kind = DEBUG_STOP_REQUEST, .cpu = now->index};
        stop_here(d, &s);
    }
    stand(d);
    if (d->go == GO_ON)
        resume(d);
    return d->go == GO_ON;
}

void debugger_end(struct debugger *d, const char *text)
{
    struct debug_stop s = {.kind = DEBUG_STOP_END, .cpu = d->group->turn};
    stop_here(d, &s);
    snprintf(d->last.text, sizeof(d->last.text), "%s", text);
    stand(d);
    d->standing = false;
}

void debugger_ended(struct debugger *d, int status)
{
    for (unsigned n = 0; n < d->consoles; n++)
        if (d->console[n]->ended)
            d->console[n]->ended(d->console[n]->opaque, status);
}

void debugger_machine_changed(struct debugger *d)
{
    d->noted.kind = DEBUG_STOP_NONE;
    d->pass_cpu = NULL;
    d->group->slice.end = 0;
    d->group->alone = NULL;
}

/* ---- Points ---- */

unsigned debugger_add(struct debugger *d, const struct debug_point *point, struct error *err)
{
    return debug_points_add(&d->points, point, err);
}

bool debugger_remove(struct debugger *d, unsigned id)
{
    struct debug_point *p = debug_points_find(&d->points, id);
    if (p)
        debug_points_remove(&d->points, p);
    return p;
}

bool debugger_enable(struct debugger *d, unsigned id, bool enabled)
{
    struct debug_point *p = debug_points_find(&d->points, id);
    if (p)
        p->disabled = !enabled;
    return p;
}

const struct debug_point *debugger_point(const struct debugger *d, unsigned n)
{
    return n < d->points.count ? &d->points.point[n] : NULL;
}

/* ---- Processors ---- */

unsigned debugger_selected(const struct debugger *d)
{
    return d->selected;
}

bool debugger_select(struct debugger *d, unsigned cpu)
{
    if (cpu >= d->group->count)
        return false;
    d->selected = cpu;
    return true;
}

struct cpu *debugger_cpu(const struct debugger *d)
{
    return d->group->cpu[d->selected];
}

struct cpu_group *debugger_group(const struct debugger *d)
{
    return d->group;
}

/* ---- Consoles ---- */

void debugger_console_add(struct debugger *d, const struct debug_console *console)
{
    ASSERT(d->consoles < CONSOLES_MAX);
    d->console[d->consoles++] = console;
}

void debugger_console_remove(struct debugger *d, const struct debug_console *console)
{
    for (unsigned n = 0; n < d->consoles; n++) {
        if (d->console[n] != console)
            continue;
        d->consoles--;
        memmove(&d->console[n], &d->console[n + 1], (d->consoles - n) * sizeof(d->console[0]));
        return;
    }
}

bool debugger_live(const struct debugger *d)
{
    for (unsigned n = 0; n < d->consoles; n++)
        if (d->console[n]->fd(d->console[n]->opaque) >= 0)
            return true;
    return false;
}

void debugger_poll(struct debugger *d, int wait_ms)
{
    struct pollfd fds[CONSOLES_MAX];
    const struct debug_console *console[CONSOLES_MAX];
    unsigned count = 0;
    for (unsigned n = 0; n < d->consoles; n++) {
        int fd = d->console[n]->fd(d->console[n]->opaque);
        if (fd < 0)
            continue;
        console[count] = d->console[n];
        fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    if (poll(fds, count, wait_ms) <= 0)
        return;
    for (unsigned n = 0; n < count; n++)
        if (fds[n].revents && console[n]->input)
            console[n]->input(console[n]->opaque);
}

void debugger_set_commands(struct debugger *d, const struct debug_commands *commands)
{
    d->commands = *commands;
}

void debugger_command(struct debugger *d, const char *line, FILE *out)
{
    if (!d->commands.run || !d->commands.run(d->commands.opaque, line, out))
        fprintf(out, "%s: no such command\n", line);
}
