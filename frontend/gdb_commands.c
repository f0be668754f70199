/* SPDX-License-Identifier: MIT */
#include "frontend/gdb_commands.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/msr.h"

#define WORDS_MAX 5
#define LINE_MAX_CHARS 256

struct words {
    char text[LINE_MAX_CHARS];
    const char *word[WORDS_MAX]; /* "" where there are no more */
    unsigned count;
};

static bool split(const char *line, struct words *w)
{
    *w = (struct words){0};
    for (unsigned n = 0; n < WORDS_MAX; n++)
        w->word[n] = "";
    if (strlen(line) >= sizeof(w->text))
        return false;
    strcpy(w->text, line);
    char *state = NULL;
    for (char *at = strtok_r(w->text, " \t\n", &state); at; at = strtok_r(NULL, " \t\n", &state)) {
        if (w->count == WORDS_MAX)
            return false;
        w->word[w->count++] = at;
    }
    return true;
}

static bool is(const struct words *w, unsigned n, const char *word)
{
    return !strcmp(w->word[n], word);
}

static bool number(const char *text, u64 *value)
{
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 0);
    return *text >= '0' && *text <= '9' && !*end && !errno;
}

/* ---- Points ---- */

static void add_event(struct debugger *d, const struct words *w, enum debug_point_kind kind,
                      FILE *out)
{
    struct debug_point p = {.kind = kind};
    struct error err = {{0}};
    char line[160];
    const char *which = w->count > 2 ? w->word[2] : "any";
    if (w->count > 3 || !debugger_event_number(kind, which, &p.number)) {
        fprintf(out, "break %s: %s is none\n", w->word[1], w->word[2]);
        return;
    }
    p.id = debugger_add(d, &p, &err);
    if (!p.id) {
        fprintf(out, "%s\n", err.text);
        return;
    }
    debugger_describe(&p, line, sizeof(line));
    fprintf(out, "%s\n", line);
}

static bool add_point(struct debugger *d, const struct words *w, FILE *out)
{
    enum debug_point_kind kind;
    if (!debugger_event_kind(w->word[1], &kind))
        return false;
    add_event(d, w, kind, out);
    return true;
}

static void delete_points(struct debugger *d, const struct words *w, FILE *out)
{
    u64 id;
    if (w->count == 1)
        while (debugger_point(d, 0))
            debugger_remove(d, debugger_point(d, 0)->id);
    else if (!number(w->word[1], &id) || id > UINT32_MAX || !debugger_remove(d, (unsigned)id))
        fprintf(out, "delete: there is no %s\n", w->word[1]);
}

static void list_points(struct debugger *d, FILE *out)
{
    char line[160];
    const struct debug_point *p;
    for (unsigned n = 0; (p = debugger_point(d, n)); n++) {
        debugger_describe(p, line, sizeof(line));
        fprintf(out, "%s\n", line);
    }
}

bool debug_point_command(struct debugger *d, const char *line, FILE *out)
{
    struct words w;
    if (!split(line, &w))
        return false;
    if (is(&w, 0, "break"))
        return add_point(d, &w, out);
    if (is(&w, 0, "delete")) {
        delete_points(d, &w, out);
        return true;
    }
    if (is(&w, 0, "info") && (is(&w, 1, "breakpoints") || is(&w, 1, "break"))) {
        list_points(d, out);
        return true;
    }
    return false;
}

/* ---- MSRs ---- */

static void read_msr(struct debugger *d, const struct words *w, FILE *out)
{
    u64 index, value;
    if (!number(w->word[1], &index) || index > UINT32_MAX || w->count != 2)
        fprintf(out, "usage: rdmsr NUMBER\n");
    else if (!msr_get(debugger_cpu(d), (u32)index, &value))
        fprintf(out, "rdmsr: this processor has no MSR 0x%llx\n", (unsigned long long)index);
    else
        fprintf(out, "0x%llx\n", (unsigned long long)value);
}

static void write_msr(struct debugger *d, const struct words *w, FILE *out)
{
    u64 index, value;
    if (!number(w->word[1], &index) || index > UINT32_MAX || !number(w->word[2], &value) ||
        w->count != 3)
        fprintf(out, "usage: wrmsr NUMBER VALUE\n");
    else if (!msr_set(debugger_cpu(d), (u32)index, value))
        fprintf(out, "wrmsr: MSR 0x%llx can't be 0x%llx\n", (unsigned long long)index,
                (unsigned long long)value);
}

/* ---- Memory ---- */

static void set_physical(bool *physical, const struct words *w, FILE *out)
{
    if (is(w, 1, "on") || is(w, 1, "off"))
        *physical = is(w, 1, "on");
    fprintf(out, "addresses are %s\n", *physical ? "physical" : "linear");
}

/* xp ADDRESS [COUNT]: 64-bit words of physical memory */
static void examine_physical(struct debugger *d, const struct words *w, FILE *out)
{
    u64 at, count = 1, word;
    if (!number(w->word[1], &at) || (w->count > 2 && !number(w->word[2], &count)) || count > 512) {
        fprintf(out, "usage: xp ADDRESS [COUNT]\n");
        return;
    }
    for (u64 n = 0; n < count; n++, at += 8) {
        if (debugger_read_physical(debugger_group(d), at, &word, 8) != 8) {
            fprintf(out, "0x%llx: no memory\n", (unsigned long long)at);
            return;
        }
        fprintf(out, "0x%llx: 0x%016llx\n", (unsigned long long)at, (unsigned long long)word);
    }
}

static void help(FILE *out)
{
    fprintf(out, "rdmsr N, wrmsr N VALUE: an MSR of the current thread's processor\n"
                 "phys on|off: take GDB's addresses as physical ones\n"
                 "xp ADDRESS [COUNT]: 64-bit words of physical memory\n"
                 "break vmexit [REASON], vmentry, vmwrite [FIELD], exception [N], interrupt [N]\n"
                 "delete [ID], info breakpoints: of all points, GDB's too\n");
}

void gdb_command(struct debugger *d, bool *physical, const char *line, FILE *out)
{
    struct words w;
    bool whole = split(line, &w);
    if (whole && is(&w, 0, "rdmsr"))
        read_msr(d, &w, out);
    else if (whole && is(&w, 0, "wrmsr"))
        write_msr(d, &w, out);
    else if (whole && is(&w, 0, "phys"))
        set_physical(physical, &w, out);
    else if (whole && is(&w, 0, "xp") && !strchr(w.word[0], '/'))
        examine_physical(d, &w, out);
    else if (whole && is(&w, 0, "help")) {
        help(out);
        debugger_command(d, line, out);
    } else if (!debug_point_command(d, line, out)) {
        debugger_command(d, line, out);
    }
}
