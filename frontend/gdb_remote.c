/* SPDX-License-Identifier: MIT */
#include "frontend/gdb_remote.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "frontend/gdb_commands.h"
#include "frontend/gdb_packet.h"

enum { SIGNAL_INT = 2, SIGNAL_TRAP = 5, SIGNAL_ABORT = 6 }; /* GDB's numbers */

/* A point that GDB set. Software and hardware breakpoints are the same here, but GDB tells them apart. */
struct set_point {
    unsigned id;
    unsigned type;
    u64 address, kind;
};

#define SET_MAX 512

struct gdb_remote {
    struct debugger *d;
    struct gdb_output out;
    struct gdb_regs *regs;
    bool waits, physical;
    unsigned general, run; /* the CPUs that Hg and Hc chose */
    unsigned next_thread;  /* qsThreadInfo */
    struct set_point set[SET_MAX];
    unsigned sets;
    char reply[GDB_PACKET_MAX + 1];
};

/* ---- Replies ---- */

static void reply_bytes(struct gdb_remote *r, const void *data, size_t size)
{
    r->out.packet(r->out.opaque, data, size);
}

static void PRINTF_LIKE(2, 3) reply(struct gdb_remote *r, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(r->reply, sizeof(r->reply), fmt, args);
    va_end(args);
    reply_bytes(r, r->reply, MIN((size_t)n, sizeof(r->reply) - 1));
}

/* GDB gives these numbers no meaning. */
enum { ERR_MALFORMED = 1, ERR_MEMORY = 14, ERR_REGISTER = 22, ERR_POINTS = 28 };

static void reply_error(struct gdb_remote *r, unsigned number)
{
    reply(r, "E%02x", number);
}

static void reply_ok(struct gdb_remote *r, bool ok, unsigned error)
{
    if (ok)
        reply(r, "OK");
    else
        reply_error(r, error);
}

/* Text on GDB's terminal. */
static void say(struct gdb_remote *r, const char *text, size_t size)
{
    enum { PART = 1024 };
    char packet[2 * PART + 2] = "O";
    while (size) {
        size_t n = MIN(size, (size_t)PART);
        size_t digits = gdb_hex_encode(packet + 1, (const u8 *)text, n);
        reply_bytes(r, packet, digits + 1);
        text += n;
        size -= n;
    }
}

/* ---- Stops ---- */

static const struct set_point *find_set(const struct gdb_remote *r, unsigned id)
{
    for (unsigned n = 0; n < r->sets; n++)
        if (r->set[n].id == id)
            return &r->set[n];
    return NULL;
}

static unsigned stop_signal(const struct debug_stop *s)
{
    if (s->kind == DEBUG_STOP_REQUEST)
        return SIGNAL_INT;
    return s->kind == DEBUG_STOP_END ? SIGNAL_ABORT : SIGNAL_TRAP;
}

static void reply_stop(struct gdb_remote *r)
{
    static const char *const reasons[] = {"swbreak:;", "hwbreak:;", "watch", "rwatch", "awatch"};
    const struct debug_stop *s = debugger_last(r->d);
    const struct set_point *set = s->kind == DEBUG_STOP_POINT ? find_set(r, s->point.id) : NULL;
    char why[40] = "";
    if (set && set->type < 2)
        snprintf(why, sizeof(why), "%s", reasons[set->type]);
    else if (set)
        snprintf(why, sizeof(why), "%s:%llx;", reasons[set->type],
                 (unsigned long long)MAX(s->address, set->address));
    reply(r, "T%02xthread:%x;%s", stop_signal(s), s->cpu + 1, why);
}

/* GDB has no words for other reasons, so people are told. */
static void tell_reason(struct gdb_remote *r)
{
    const struct debug_stop *s = debugger_last(r->d);
    char line[256];
    bool plain =
        s->kind == DEBUG_STOP_POINT ? find_set(r, s->point.id) != NULL : s->kind != DEBUG_STOP_END;
    if (plain)
        return;
    snprintf(line, sizeof(line), "%s\n", s->text);
    say(r, line, strlen(line));
}

void gdb_remote_stopped(struct gdb_remote *r)
{
    r->general = r->run = debugger_last(r->d)->cpu;
    if (!r->waits)
        return;
    r->waits = false;
    tell_reason(r);
    reply_stop(r);
}

void gdb_remote_ended(struct gdb_remote *r, int status)
{
    if (r->waits)
        reply(r, "W%02x", (unsigned)status & 0xff);
    r->waits = false;
}

bool gdb_remote_waits(const struct gdb_remote *r)
{
    return r->waits;
}

void gdb_remote_interrupt(struct gdb_remote *r)
{
    if (r->waits)
        debugger_request_stop(r->d);
}

/* ---- Registers ---- */

static struct cpu *general_cpu(const struct gdb_remote *r)
{
    return debugger_group(r->d)->cpu[r->general];
}

static void read_registers(struct gdb_remote *r)
{
    char *at = r->reply;
    u8 value[GDB_REG_MAX];
    for (unsigned n = 0; n < gdb_regs_count(r->regs); n++) {
        gdb_reg_get(r->regs, general_cpu(r), n, value);
        at += gdb_hex_encode(at, value, gdb_reg_size(r->regs, n));
    }
    reply_bytes(r, r->reply, (size_t)(at - r->reply));
}

/* Fewer registers than there are will do. */
static void write_registers(struct gdb_remote *r, const char *text)
{
    u8 value[GDB_REG_MAX];
    bool ok = true;
    for (unsigned n = 0; n < gdb_regs_count(r->regs) && *text; n++) {
        size_t size = gdb_reg_size(r->regs, n);
        if (!gdb_hex_decode(text, value, size)) {
            reply_error(r, ERR_MALFORMED);
            return;
        }
        ok = gdb_reg_set(r->regs, general_cpu(r), n, value) && ok;
        text += 2 * size;
    }
    reply_ok(r, ok, ERR_REGISTER);
}

static void read_register(struct gdb_remote *r, const char *text)
{
    u64 n;
    u8 value[GDB_REG_MAX];
    if (!gdb_hex_number(&text, &n) || *text || n >= gdb_regs_count(r->regs)) {
        reply_error(r, ERR_REGISTER);
        return;
    }
    gdb_reg_get(r->regs, general_cpu(r), (unsigned)n, value);
    gdb_hex_encode(r->reply, value, gdb_reg_size(r->regs, (unsigned)n));
    reply_bytes(r, r->reply, strlen(r->reply));
}

static void write_register(struct gdb_remote *r, const char *text)
{
    u64 n;
    u8 value[GDB_REG_MAX];
    bool ok = gdb_hex_number(&text, &n) && *text == '=' && n < gdb_regs_count(r->regs) &&
              gdb_hex_decode(text + 1, value, gdb_reg_size(r->regs, (unsigned)n));
    ok = ok && gdb_reg_set(r->regs, general_cpu(r), (unsigned)n, value);
    reply_ok(r, ok, ERR_REGISTER);
}

/* ---- Memory ---- */

static size_t read_memory(struct gdb_remote *r, u64 at, u8 *to, size_t size)
{
    return r->physical ? debugger_read_physical(debugger_group(r->d), at, to, size)
                       : debugger_read(general_cpu(r), at, to, size);
}

static size_t write_memory(struct gdb_remote *r, u64 at, const u8 *from, size_t size)
{
    return r->physical ? debugger_write_physical(debugger_group(r->d), at, from, size)
                       : debugger_write(general_cpu(r), at, from, size);
}

/* "ADDRESS,LENGTH" and then `end` */
static bool parse_range(const char **text, u64 *at, u64 *size, char end)
{
    bool ok = gdb_hex_number(text, at) && **text == ',';
    if (!ok)
        return false;
    (*text)++;
    ok = gdb_hex_number(text, size) && **text == end;
    if (ok && end)
        (*text)++;
    return ok;
}

static void read_packet(struct gdb_remote *r, const char *text)
{
    u8 bytes[GDB_PACKET_MAX / 2];
    u64 at, size;
    if (!parse_range(&text, &at, &size, 0)) {
        reply_error(r, ERR_MALFORMED);
        return;
    }
    size_t want = MIN(size, sizeof(bytes)), n = read_memory(r, at, bytes, want);
    if (want && !n) {
        reply_error(r, ERR_MEMORY);
        return;
    }
    size_t digits = gdb_hex_encode(r->reply, bytes, n);
    reply_bytes(r, r->reply, digits);
}

/* binary: X, else M. end: of the packet. */
static void write_packet(struct gdb_remote *r, const char *text, const char *end, bool binary)
{
    u8 bytes[GDB_PACKET_MAX];
    u64 at, size;
    if (!parse_range(&text, &at, &size, ':') || size > sizeof(bytes)) {
        reply_error(r, ERR_MALFORMED);
        return;
    }
    u64 there = (u64)(end - text) / (binary ? 1 : 2);
    if (there != size || (!binary && !gdb_hex_decode(text, bytes, size))) {
        reply_error(r, ERR_MALFORMED);
        return;
    }
    if (binary)
        memcpy(bytes, text, size);
    reply_ok(r, write_memory(r, at, bytes, size) == size, ERR_MEMORY);
}

/* ---- Points ---- */

/* "TYPE,ADDRESS,KIND": kind is the length watched; conditions that may follow are GDB's to check. */
static bool parse_point(const char *text, struct set_point *p)
{
    u64 type;
    *p = (struct set_point){0};
    if (!gdb_hex_number(&text, &type) || *text++ != ',' || !gdb_hex_number(&text, &p->address) ||
        *text++ != ',' || !gdb_hex_number(&text, &p->kind))
        return false;
    p->type = (unsigned)type;
    return type <= 4;
}

static struct set_point *same_set(struct gdb_remote *r, const struct set_point *p)
{
    for (unsigned n = 0; n < r->sets; n++) {
        const struct set_point *s = &r->set[n];
        if (s->type == p->type && s->address == p->address && s->kind == p->kind)
            return &r->set[n];
    }
    return NULL;
}

static void insert_point(struct gdb_remote *r, const char *text)
{
    static const enum debug_point_kind kinds[] = {DEBUG_EXEC, DEBUG_EXEC, DEBUG_WRITE, DEBUG_READ,
                                                  DEBUG_ACCESS};
    struct set_point p;
    if (!parse_point(text, &p)) {
        reply_error(r, ERR_MALFORMED);
        return;
    }
    if (same_set(r, &p)) {
        reply(r, "OK");
        return;
    }
    struct debug_point point = {
        .kind = kinds[p.type], .physical = r->physical, .address = p.address, .size = p.kind};
    if (r->sets < SET_MAX)
        p.id = debugger_add(r->d, &point, NULL);
    if (p.id)
        r->set[r->sets++] = p;
    reply_ok(r, p.id, ERR_POINTS);
}

static void remove_point(struct gdb_remote *r, const char *text)
{
    struct set_point p;
    if (!parse_point(text, &p)) {
        reply_error(r, ERR_MALFORMED);
        return;
    }
    struct set_point *set = same_set(r, &p);
    if (set) {
        debugger_remove(r->d, set->id);
        *set = r->set[--r->sets];
    }
    reply(r, "OK");
}

static void remove_points(struct gdb_remote *r)
{
    while (r->sets)
        debugger_remove(r->d, r->set[--r->sets].id);
}

/* ---- Threads ---- */

static unsigned cpus(const struct gdb_remote *r)
{
    return debugger_group(r->d)->count;
}

/* A thread that must be one; "-1" and "0" are any: *cpu stays. */
static bool parse_thread(const char **text, const struct gdb_remote *r, unsigned *cpu)
{
    u64 id;
    if (!strncmp(*text, "-1", 2)) {
        *text += 2;
        return true;
    }
    if (!gdb_hex_number(text, &id) || id > cpus(r))
        return false;
    if (id)
        *cpu = (unsigned)id - 1;
    return true;
}

static void choose_thread(struct gdb_remote *r, const char *text)
{
    char what = *text;
    unsigned *which = what == 'g' ? &r->general : &r->run;
    if (what != 'g' && what != 'c') {
        reply_error(r, ERR_MALFORMED);
        return;
    }
    text++;
    bool ok = parse_thread(&text, r, which) && !*text;
    if (ok && what == 'g')
        debugger_select(r->d, r->general);
    reply_ok(r, ok, ERR_MALFORMED);
}

static void is_thread_alive(struct gdb_remote *r, const char *text)
{
    unsigned cpu = 0;
    reply_ok(r, parse_thread(&text, r, &cpu) && !*text, ERR_MALFORMED);
}

/* As many as fit well into a packet; GDB asks until there are no more. */
static void list_threads(struct gdb_remote *r, bool first)
{
    enum { AT_A_TIME = 64 };
    char *at = r->reply;
    if (first)
        r->next_thread = 0;
    if (r->next_thread >= cpus(r)) {
        reply(r, "l");
        return;
    }
    for (unsigned n = 0; n < AT_A_TIME && r->next_thread < cpus(r); n++)
        at += sprintf(at, "%c%x", n ? ',' : 'm', ++r->next_thread);
    reply_bytes(r, r->reply, (size_t)(at - r->reply));
}

static void thread_info(struct gdb_remote *r, const char *text)
{
    static const char *const activities[] = {[ACTIVITY_RUN] = "running",
                                             [ACTIVITY_HLT] = "halted",
                                             [ACTIVITY_SHUTDOWN] = "shut down",
                                             [ACTIVITY_WAIT_SIPI] = "waiting for SIPI",
                                             [ACTIVITY_MWAIT] = "in MWAIT"};
    unsigned n = r->general;
    char line[80];
    if (!parse_thread(&text, r, &n) || *text) {
        reply_error(r, ERR_MALFORMED);
        return;
    }
    const struct cpu *cpu = debugger_group(r->d)->cpu[n];
    snprintf(line, sizeof(line), "CPU %u [%s%s]", n, activities[cpu->activity],
             cpu->nonroot ? ", VMX non-root" : "");
    gdb_hex_encode(r->reply, (const u8 *)line, strlen(line));
    reply_bytes(r, r->reply, strlen(r->reply));
}

/* ---- Running ---- */

static void run_on(struct gdb_remote *r)
{
    debugger_continue(r->d);
    r->waits = true;
}

static void step(struct gdb_remote *r, unsigned cpu, bool alone)
{
    debugger_step(r->d, cpu, alone);
    r->waits = true;
}

/* c, s, C and S: "[SIGNAL;][ADDRESS]". Signals mean nothing to a machine. */
static void resume(struct gdb_remote *r, const char *text, bool signal, bool stepping)
{
    u64 number, address;
    bool ok = true;
    if (signal) {
        ok = gdb_hex_number(&text, &number) && (!*text || *text == ';');
        if (*text == ';')
            text++;
    }
    if (ok && *text)
        ok = gdb_hex_number(&text, &address) && !*text &&
             debugger_set(debugger_group(r->d)->cpu[r->run], "rip", address);
    if (!ok) {
        reply_error(r, ERR_MALFORMED);
        return;
    }
    if (stepping)
        step(r, r->run, false);
    else
        run_on(r);
}

/* What the actions of a vCont come to. */
struct actions {
    bool steps, others; /* others: there is one for all threads that have none of their own */
    bool only;          /* one thread goes on, and was named */
    unsigned step_cpu, only_cpu;
};

/* One action, "s:2" or "C05" or "c". False: malformed, or not ours. */
static bool parse_action(const char **text, const struct gdb_remote *r, struct actions *a)
{
    u64 signal;
    char what = *(*text)++;
    bool named = false;
    unsigned cpu = r->run;
    if (!strchr("cCsS", what) || !what)
        return false;
    if ((what == 'C' || what == 'S') && !gdb_hex_number(text, &signal))
        return false;
    if (**text == ':') {
        (*text)++;
        named = strncmp(*text, "-1", 2) != 0;
        if (!parse_thread(text, r, &cpu))
            return false;
    }
    bool stepping = what == 's' || what == 'S';
    if (stepping && !a->steps) {
        a->steps = true;
        a->step_cpu = cpu;
    }
    if (!named)
        a->others = true;
    if (named && !stepping) {
        a->others = a->others || a->only; /* two that go on: then let all */
        a->only = true;
        a->only_cpu = cpu;
    }
    return true;
}

/* The first action that names a thread, or names none, is that thread's. */
static void continue_packet(struct gdb_remote *r, const char *text)
{
    struct actions a = {0};
    bool ok = *text == ';';
    while (ok && *text == ';') {
        text++;
        ok = parse_action(&text, r, &a);
    }
    if (!ok || *text) {
        reply_error(r, ERR_MALFORMED);
        return;
    }
    if (a.steps) {
        step(r, a.step_cpu, !a.others && !a.only);
    } else if (a.only && !a.others) {
        debugger_continue_alone(r->d, a.only_cpu);
        r->waits = true;
    } else {
        run_on(r);
    }
}

/* ---- Queries ---- */

static void supported(struct gdb_remote *r)
{
    reply(r,
          "PacketSize=%x;qXfer:features:read+;vContSupported+;QStartNoAckMode+;swbreak+;hwbreak+",
          GDB_PACKET_MAX);
}

/* "target.xml:OFFSET,LENGTH" */
static void read_features(struct gdb_remote *r, const char *text)
{
    static const char name[] = "target.xml:";
    const char *xml = gdb_regs_description(r->regs);
    u64 offset, size, total = strlen(xml);
    if (strncmp(text, name, strlen(name))) {
        reply(r, "E00");
        return;
    }
    text += strlen(name);
    if (!parse_range(&text, &offset, &size, 0) || offset > total) {
        reply_error(r, ERR_MALFORMED);
        return;
    }
    size = MIN(MIN(size, total - offset), GDB_PACKET_MAX / 2 - 8); /* it may be escaped */
    r->reply[0] = offset + size < total ? 'm' : 'l';
    memcpy(r->reply + 1, xml + offset, size);
    reply_bytes(r, r->reply, size + 1);
}

static void command(struct gdb_remote *r, const char *text)
{
    char line[1024], *output = NULL;
    size_t digits = strlen(text), size = 0;
    if (digits % 2 || digits / 2 >= sizeof(line) || !gdb_hex_decode(text, (u8 *)line, digits / 2)) {
        reply_error(r, ERR_MALFORMED);
        return;
    }
    line[digits / 2] = 0;
    FILE *out = open_memstream(&output, &size);
    ASSERT(out);
    gdb_command(r->d, &r->physical, line, out);
    fclose(out);
    say(r, output, size);
    free(output);
    reply(r, "OK");
}

static bool starts(const char *text, const char *with, const char **rest)
{
    size_t n = strlen(with);
    *rest = text + n;
    return !strncmp(text, with, n);
}

static void query(struct gdb_remote *r, const char *text)
{
    const char *rest;
    if (starts(text, "Supported", &rest))
        supported(r);
    else if (starts(text, "Xfer:features:read:", &rest))
        read_features(r, rest);
    else if (starts(text, "Rcmd,", &rest))
        command(r, rest);
    else if (starts(text, "ThreadExtraInfo,", &rest))
        thread_info(r, rest);
    else if (!strcmp(text, "fThreadInfo"))
        list_threads(r, true);
    else if (!strcmp(text, "sThreadInfo"))
        list_threads(r, false);
    else if (!strcmp(text, "C"))
        reply(r, "QC%x", r->general + 1);
    else if (starts(text, "Attached", &rest))
        reply(r, "1");
    else if (!strcmp(text, "Symbol::"))
        reply(r, "OK");
    else
        reply(r, "%s", "");
}

static void set_query(struct gdb_remote *r, const char *text)
{
    if (!strcmp(text, "StartNoAckMode")) {
        r->out.no_acks(r->out.opaque);
        reply(r, "OK");
    } else {
        reply(r, "%s", "");
    }
}

/* ---- All packets ---- */

static bool detach(struct gdb_remote *r)
{
    reply(r, "OK");
    remove_points(r);
    debugger_continue(r->d);
    return false;
}

static bool kill_machine(struct gdb_remote *r, bool answered)
{
    if (answered)
        reply(r, "OK");
    debugger_quit(r->d);
    return false;
}

static bool long_packet(struct gdb_remote *r, const char *text)
{
    const char *rest;
    if (!strcmp(text, "Cont?"))
        reply(r, "vCont;c;C;s;S");
    else if (starts(text, "Cont", &rest))
        continue_packet(r, rest);
    else if (starts(text, "Kill", &rest))
        return kill_machine(r, true);
    else
        reply(r, "%s", ""); /* vMustReplyEmpty, too */
    return true;
}

static void look(struct gdb_remote *r, const char *text, const char *end)
{
    switch (text[0]) {
    case 'g':
        read_registers(r);
        break;
    case 'G':
        write_registers(r, text + 1);
        break;
    case 'p':
        read_register(r, text + 1);
        break;
    case 'P':
        write_register(r, text + 1);
        break;
    case 'm':
        read_packet(r, text + 1);
        break;
    case 'M':
    case 'X':
        write_packet(r, text + 1, end, text[0] == 'X');
        break;
    case 'Z':
        insert_point(r, text + 1);
        break;
    case 'z':
        remove_point(r, text + 1);
        break;
    case 'H':
        choose_thread(r, text + 1);
        break;
    case 'T':
        is_thread_alive(r, text + 1);
        break;
    case 'q':
        query(r, text + 1);
        break;
    case 'Q':
        set_query(r, text + 1);
        break;
    default:
        reply(r, "%s", "");
        break;
    }
}

bool gdb_remote_packet(struct gdb_remote *r, const u8 *data, size_t size)
{
    const char *text = (const char *)data;
    if (r->waits)
        return true;
    switch (text[0]) {
    case '?':
        reply_stop(r);
        return true;
    case 'c':
    case 's':
    case 'C':
    case 'S':
        resume(r, text + 1, text[0] == 'C' || text[0] == 'S', text[0] == 's' || text[0] == 'S');
        return true;
    case 'D':
        return detach(r);
    case 'k':
        return kill_machine(r, false);
    case 'v':
        return long_packet(r, text + 1);
    default:
        look(r, text, text + size);
        return true;
    }
}

/* ---- */

struct gdb_remote *gdb_remote_new(struct debugger *d, const struct gdb_output *out,
                                  enum gdb_arch arch)
{
    struct gdb_remote *r = xalloc(sizeof(*r));
    r->d = d;
    r->out = *out;
    r->regs = gdb_regs_new(debugger_group(d)->cpu[0]->model, arch);
    r->general = r->run = debugger_selected(d);
    return r;
}

void gdb_remote_free(struct gdb_remote *r)
{
    if (!r)
        return;
    remove_points(r);
    gdb_regs_free(r->regs);
    free(r);
}
