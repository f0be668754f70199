/* SPDX-License-Identifier: MIT */
/* The monitor's commands for points and for running. */
#include <stdlib.h>
#include <string.h>

#include "frontend/monitor_state.h"

static void add(struct monitor_call *c, const struct debug_point *point)
{
    struct error err = {{0}};
    unsigned id = debugger_add(c->m->debugger, point, &err);
    if (id)
        fprintf(c->out, "%u\n", id);
    else
        monitor_error(c, "%s", err.text);
}

/* "break vmexit ept_violation" and its like; false: the word is no such kind. */
static bool event_point(struct monitor_call *c, struct debug_point *p, bool *ok)
{
    const char *which = c->words > 2 ? c->word[2] : "any";
    if (!debugger_event_kind(c->word[1], &p->kind))
        return false;
    *ok = debugger_event_number(p->kind, which, &p->number);
    if (!*ok)
        monitor_error(c, "no %s %s",
                      p->kind == DEBUG_VM_EXIT    ? "exit reason"
                      : p->kind == DEBUG_VM_WRITE ? "field"
                                                  : c->word[1],
                      which);
    return true;
}

static void set_point(struct monitor_call *c, bool once)
{
    struct debug_point p = {.kind = DEBUG_EXEC, .once = once};
    bool ok;
    if (event_point(c, &p, &ok)) {
        if (ok)
            add(c, &p);
        return;
    }
    p.physical = !strcmp(c->word[1], "physical");
    if (c->words != 2u + p.physical)
        monitor_error(c,
                      "expected [physical] ADDR, vmexit, vmentry, vmwrite, exception, interrupt");
    else if (monitor_value(c, c->word[1 + p.physical], &p.address))
        add(c, &p);
}

static void set_break(struct monitor_call *c)
{
    set_point(c, false);
}

static void set_once(struct monitor_call *c)
{
    set_point(c, true);
}

/* watch [read|write|access] [physical] ADDR [SIZE] */
static void watch(struct monitor_call *c)
{
    static const struct {
        const char *word;
        enum debug_point_kind kind;
    } kinds[] = {{"write", DEBUG_WRITE}, {"read", DEBUG_READ}, {"access", DEBUG_ACCESS}};
    struct debug_point p = {.kind = DEBUG_WRITE, .size = 8};
    unsigned at = 1;
    for (size_t n = 0; n < ARRAY_SIZE(kinds); n++) {
        if (at == 1 && !strcmp(c->word[at], kinds[n].word)) {
            p.kind = kinds[n].kind;
            at++;
        }
    }
    if (at < c->words && !strcmp(c->word[at], "physical")) {
        p.physical = true;
        at++;
    }
    if (at >= c->words || c->words > at + 2)
        monitor_error(c, "expected [read|write|access] [physical] ADDR [SIZE]");
    else if (monitor_value(c, c->word[at], &p.address) &&
             (at + 1 == c->words || monitor_value(c, c->word[at + 1], &p.size)))
        add(c, &p);
}

static bool point_id(struct monitor_call *c, unsigned *id)
{
    u64 value;
    if (!monitor_value(c, c->word[1], &value))
        return false;
    *id = value > UINT32_MAX ? 0 : (unsigned)value;
    return true;
}

static void no_point(struct monitor_call *c, bool found)
{
    if (!found)
        monitor_error(c, "no point %s", c->word[1]);
}

static void delete_point(struct monitor_call *c)
{
    struct debugger *d = c->m->debugger;
    unsigned id;
    const struct debug_point *first;
    if (!strcmp(c->word[1], "all")) {
        while ((first = debugger_point(d, 0)))
            debugger_remove(d, first->id);
        return;
    }
    if (point_id(c, &id))
        no_point(c, debugger_remove(d, id));
}

static void enable(struct monitor_call *c)
{
    unsigned id;
    if (point_id(c, &id))
        no_point(c, debugger_enable(c->m->debugger, id, true));
}

static void disable(struct monitor_call *c)
{
    unsigned id;
    if (point_id(c, &id))
        no_point(c, debugger_enable(c->m->debugger, id, false));
}

/* ---- Running ---- */

static void stop(struct monitor_call *c)
{
    if (debugger_standing(c->m->debugger))
        monitor_error(c, "it stands");
    else
        debugger_request_stop(c->m->debugger);
}

static void go_on(struct monitor_call *c)
{
    debugger_continue(c->m->debugger);
}

static void step(struct monitor_call *c)
{
    struct debugger *d = c->m->debugger;
    bool alone = c->words > 1;
    if (alone && strcmp(c->word[1], "alone"))
        monitor_error(c, "expected alone");
    else
        debugger_step(d, debugger_selected(d), alone);
}

bool monitor_now_standing(struct monitor *m)
{
    struct error err = {{0}};
    bool silent = m->go_on && debugger_last(m->debugger)->kind == DEBUG_STOP_REQUEST;
    char *path = m->save_path;
    m->go_on = false;
    m->save_path = NULL;
    if (!path)
        return false;
    if (!m->hooks.save(m->hooks.opaque, path, &err))
        fprintf(stderr, "testudo: save: %s\n", err.text);
    free(path);
    if (silent)
        debugger_continue(m->debugger);
    return silent;
}

/* clang-format off */
const struct monitor_command monitor_run_commands[] = {
    {"break", "b", "[physical] ADDR | vmexit [REASON] | vmentry | vmwrite [FIELD] | exception [N] | interrupt [N]", "stop there", 1, 2, true, set_break},
    {"tbreak", NULL, "...", "the same, once", 1, 2, true, set_once},
    {"watch", NULL, "[read|write|access] [physical] ADDR [SIZE]", "stop after an access to memory", 1, 4, true, watch},
    {"delete", "d", "N|all", "remove a point", 1, 1, true, delete_point},
    {"enable", NULL, "N", "a point counts", 1, 1, true, enable},
    {"disable", NULL, "N", "it doesn't", 1, 1, true, disable},
    {"stop", NULL, "", "let the machine stand", 0, 0, false, stop},
    {"continue", "c", "", "let it run", 0, 0, true, go_on},
    {"step", "s", "[alone]", "one instruction of the processor; alone: the others stand still", 0, 1, true, step},
};
/* clang-format on */
const size_t monitor_run_command_count = ARRAY_SIZE(monitor_run_commands);
