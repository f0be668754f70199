/* SPDX-License-Identifier: MIT */
#include "frontend/monitor.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "frontend/monitor_state.h"
#include "traces/trace.h"

void monitor_error(struct monitor_call *c, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(c->out, "%s: ", c->word[0]);
    vfprintf(c->out, fmt, args);
    fputc('\n', c->out);
    va_end(args);
}

/* ---- Values ---- */

struct reading {
    struct monitor_call *c;
    const char *at;
    unsigned depth;
    bool failed;
};

static u64 sum(struct reading *r);

static u64 wrong(struct reading *r)
{
    if (!r->failed)
        monitor_error(r->c, "\"%s\": expected a number or a register", r->at);
    r->failed = true;
    return 0;
}

static u64 register_value(struct reading *r)
{
    char name[32];
    u64 value = 0;
    size_t length = strspn(r->at, "abcdefghijklmnopqrstuvwxyz0123456789_");
    if (!length || length >= sizeof(name))
        return wrong(r);
    snprintf(name, sizeof(name), "%.*s", (int)length, r->at);
    if (!debugger_get(monitor_cpu(r->c), name, &value))
        return wrong(r);
    r->at += length;
    return value;
}

static u64 factor(struct reading *r)
{
    u64 value;
    char *end;
    if (r->failed || r->depth > 20)
        return wrong(r);
    if (*r->at == '-') {
        r->at++;
        r->depth++;
        value = 0 - factor(r);
        r->depth--;
        return value;
    }
    if (*r->at == '(') {
        r->at++;
        r->depth++;
        value = sum(r);
        r->depth--;
        if (*r->at != ')')
            return wrong(r);
        r->at++;
        return value;
    }
    if (*r->at == '$') {
        r->at++;
        return register_value(r);
    }
    if (!isdigit((unsigned char)*r->at))
        return register_value(r);
    errno = 0;
    value = strtoull(r->at, &end, 0);
    if (errno)
        return wrong(r);
    r->at = end;
    return value;
}

static u64 product(struct reading *r)
{
    u64 value = factor(r);
    while (*r->at == '*' && !r->failed) {
        r->at++;
        value *= factor(r);
    }
    return value;
}

static u64 sum(struct reading *r)
{
    u64 value = product(r);
    while ((*r->at == '+' || *r->at == '-') && !r->failed) {
        bool minus = *r->at++ == '-';
        u64 more = product(r);
        value += minus ? 0 - more : more;
    }
    return value;
}

bool monitor_value(struct monitor_call *c, const char *text, u64 *value)
{
    struct reading r = {.c = c, .at = text};
    *value = sum(&r);
    if (!r.failed && *r.at)
        wrong(&r);
    return !r.failed;
}

/* ---- Commands that are neither about running nor information ---- */

static void help(struct monitor_call *c);

static void print(struct monitor_call *c)
{
    u64 value;
    if (monitor_value(c, c->word[1], &value))
        fprintf(c->out, "0x%llx (%lld)\n", (unsigned long long)value, (long long)value);
}

static void set(struct monitor_call *c)
{
    u64 value;
    if (!monitor_value(c, c->word[2], &value))
        return;
    if (!debugger_set(monitor_cpu(c), c->word[1], value))
        monitor_error(c, "%s can't be set to 0x%llx", c->word[1], (unsigned long long)value);
}

static void select_cpu(struct monitor_call *c)
{
    u64 n;
    if (!monitor_value(c, c->word[1], &n))
        return;
    if (n > UINT32_MAX || !debugger_select(c->m->debugger, (unsigned)n))
        monitor_error(c, "no processor %llu", (unsigned long long)n);
}

static void trace(struct monitor_call *c)
{
    struct error err = {{0}};
    bool on = !strcmp(c->word[1], "on");
    if (!on && (strcmp(c->word[1], "off") || c->words > 2)) {
        monitor_error(c, "expected on FILE or off");
        return;
    }
    if (on && (c->words < 3 || trace_on())) {
        monitor_error(c, trace_on() ? "it is on" : "expected on FILE");
        return;
    }
    if (!(on ? trace_open(c->word[2], &err) : trace_close(&err)))
        monitor_error(c, "%s", err.text);
}

static void log_channels(struct monitor_call *c)
{
    struct error err = {{0}};
    if (!log_enable(c->word[1], &err))
        monitor_error(c, "%s", err.text);
}

/* A file by one of the session's functions. */
static void to_file(struct monitor_call *c,
                    bool (*hook)(void *opaque, const char *path, struct error *err))
{
    struct error err = {{0}};
    if (!hook)
        monitor_error(c, "this machine can't");
    else if (!hook(c->m->hooks.opaque, c->word[1], &err))
        monitor_error(c, "%s", err.text);
}

static void screendump(struct monitor_call *c)
{
    to_file(c, c->m->hooks.screendump);
}

static void sendkey(struct monitor_call *c)
{
    to_file(c, c->m->hooks.sendkey);
}

/* Only a machine that stands is whole; one that runs is stopped for it and goes on. */
static void save(struct monitor_call *c)
{
    struct monitor *m = c->m;
    if (debugger_standing(m->debugger) || !m->hooks.save) {
        to_file(c, m->hooks.save);
        return;
    }
    free(m->save_path);
    m->save_path = xstrdup(c->word[1]);
    m->go_on = true;
    debugger_request_stop(m->debugger);
}

static void reset(struct monitor_call *c)
{
    if (c->m->hooks.reset)
        c->m->hooks.reset(c->m->hooks.opaque);
    else
        monitor_error(c, "this machine can't");
}

static void power_button(struct monitor_call *c)
{
    if (c->m->hooks.power_button)
        c->m->hooks.power_button(c->m->hooks.opaque);
    else
        monitor_error(c, "this machine can't");
}

static void quit(struct monitor_call *c)
{
    debugger_quit(c->m->debugger);
}

/* clang-format off */
static const struct monitor_command commands[] = {
    {"help", "?", "[COMMAND]", "this list, or one line of it", 0, 1, false, help},
    {"info", NULL, "TOPIC [ARGUMENT]", "registers, cpus, status, breakpoints, mem, mtree, tlb, ept ADDR, vmcs [WHICH], lapic, pci", 1, 3, false, monitor_info},
    {"x", NULL, "/FORMAT ADDR", "memory at a linear address; FORMAT: count, x d u o c s i, b h w g", 1, 2, false, monitor_x},
    {"xp", NULL, "/FORMAT ADDR", "memory at a physical address", 1, 2, false, monitor_xp},
    {"gva2hpa", "gva2gpa", "ADDR", "the physical address of a linear one", 1, 1, false, monitor_translate},
    {"print", "p", "VALUE", "a value: numbers, registers, + - * ( )", 1, 1, false, print},
    {"set", NULL, "REGISTER VALUE", "change a register", 2, 2, true, set},
    {"cpu", NULL, "N", "the processor that commands are about", 1, 1, false, select_cpu},
    {"trace", NULL, "on FILE|off", "the trace of VM entries and exits", 1, 2, false, trace},
    {"log", NULL, "NAME,...", "more log channels on standard error", 1, 1, false, log_channels},
    {"save", "savevm", "FILE", "save the machine, for --load", 1, 1, false, save},
    {"screendump", NULL, "FILE", "the screen as a PNG picture", 1, 1, false, screendump},
    {"sendkey", NULL, "KEYS", "press and release keys, as ctrl-alt-delete", 1, 1, false, sendkey},
    {"system_reset", NULL, "", "press the reset button", 0, 0, false, reset},
    {"system_powerdown", NULL, "", "press the power button", 0, 0, false, power_button},
    {"quit", "q", "", "end the run", 0, 0, false, quit},
};
/* clang-format on */

/* ---- Lines ---- */

static bool is_named(const struct monitor_command *row, const char *name)
{
    return !strcmp(row->name, name) || (row->other && !strcmp(row->other, name));
}

static const struct monitor_command *command_at(size_t n)
{
    if (n < ARRAY_SIZE(commands))
        return &commands[n];
    n -= ARRAY_SIZE(commands);
    return n < monitor_run_command_count ? &monitor_run_commands[n] : NULL;
}

static const struct monitor_command *find(const char *name)
{
    const struct monitor_command *row;
    for (size_t n = 0; (row = command_at(n)); n++)
        if (is_named(row, name))
            return row;
    return NULL;
}

static void help(struct monitor_call *c)
{
    const struct monitor_command *row;
    const char *only = c->words > 1 ? c->word[1] : NULL;
    bool found = false;
    for (size_t n = 0; (row = command_at(n)); n++) {
        char left[64];
        if (only && !is_named(row, only))
            continue;
        snprintf(left, sizeof(left), "%s%s%s %s", row->name, row->other ? "|" : "",
                 row->other ? row->other : "", row->arguments);
        fprintf(c->out, "%-36s %s\n", left, row->help);
        found = true;
    }
    if (!found)
        monitor_error(c, "no command %s", only);
}

/* "x/4xg A" is "x" "/4xg" "A". */
static void split(struct monitor_call *c, char *line)
{
    char *at = line;
    while (*at && c->words < MONITOR_WORDS) {
        at += strspn(at, " \t\r\n");
        if (!*at)
            return;
        c->word[c->words++] = at;
        at += c->words == 1 ? strcspn(at, " \t\r\n/") : strcspn(at, " \t\r\n");
        if (c->words == 1 && *at == '/') { /* room for a space: the line was copied with some */
            memmove(at + 1, at, strlen(at) + 1);
            *at = ' ';
        }
        if (*at)
            *at++ = 0;
    }
}

static void execute(struct monitor_call *c, const struct monitor_command *row)
{
    unsigned arguments = c->words - 1;
    if (arguments < row->min || arguments > row->max)
        monitor_error(c, "expected %s %s", row->name, row->arguments);
    else if (row->standing && !debugger_standing(c->m->debugger))
        monitor_error(c, "the machine runs: stop it first");
    else
        row->run(c);
}

static bool run_line(void *opaque, const char *line, FILE *out)
{
    char text[MONITOR_LINE + 2];
    struct monitor_call c = {.m = opaque, .out = out};
    if (strlen(line) > MONITOR_LINE) {
        fprintf(out, "more than %d characters\n", MONITOR_LINE);
        return true;
    }
    snprintf(text, sizeof(text), "%s", line);
    split(&c, text);
    if (!c.words)
        return true;
    const struct monitor_command *row = find(c.word[0]);
    if (row)
        execute(&c, row);
    return row;
}

/* ---- Life ---- */

struct monitor *monitor_new(struct debugger *debugger, struct machine *machine,
                            const struct monitor_hooks *hooks)
{
    struct monitor *m = xalloc(sizeof(*m));
    m->debugger = debugger;
    m->machine = machine;
    m->hooks = *hooks;
    m->format = (struct monitor_format){.count = 1, .kind = 'x', .size = 4};
    debugger_set_commands(debugger, &(struct debug_commands){m, run_line});
    return m;
}

void monitor_free(struct monitor *m)
{
    if (!m)
        return;
    monitor_socket_free(m->socket);
    free(m->save_path);
    free(m);
}

bool monitor_listen(struct monitor *m, const char *where, struct error *err)
{
    m->socket = monitor_socket_new(m, where, err);
    return m->socket;
}
