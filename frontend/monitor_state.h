/* SPDX-License-Identifier: MIT */
/* What the files of the monitor share. */
#ifndef FRONTEND_MONITOR_STATE_H
#define FRONTEND_MONITOR_STATE_H

#include "frontend/monitor.h"

#define MONITOR_WORDS 16
#define MONITOR_LINE 1024

struct monitor_socket;

/* What `x` and `xp` remember of their last format. */
struct monitor_format {
    unsigned count;
    char kind; /* x d u o c s i */
    unsigned size;
};

struct monitor {
    struct debugger *debugger;
    struct machine *machine;
    struct monitor_hooks hooks;
    struct monitor_format format;
    char *save_path; /* to be saved to as soon as the machine stands */
    bool go_on;      /* and then to be continued */
    struct monitor_socket *socket;
};

/* A command being executed: its words (word[0] is its name) and where its text goes. */
struct monitor_call {
    struct monitor *m;
    FILE *out;
    char *word[MONITOR_WORDS];
    unsigned words;
};

/* A row: min and max are numbers of arguments. */
struct monitor_command {
    const char *name, *other; /* other: a second name, or NULL */
    const char *arguments, *help;
    unsigned min, max;
    bool standing; /* the machine must stand */
    void (*run)(struct monitor_call *c);
};

static inline struct cpu *monitor_cpu(const struct monitor_call *c)
{
    return debugger_cpu(c->m->debugger);
}

/* Says what is wrong. */
void monitor_error(struct monitor_call *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

/*
 * A value: numbers, registers (rip, $rip), + - * and parentheses, all in 64 bits. False: it said what
 * is wrong.
 */
bool monitor_value(struct monitor_call *c, const char *text, u64 *value);

/* monitor_info.c */
void monitor_info(struct monitor_call *c);
/* monitor_memory.c: addresses and what lies there */
void monitor_x(struct monitor_call *c);
void monitor_xp(struct monitor_call *c);
void monitor_translate(struct monitor_call *c);
void monitor_info_mem(struct monitor_call *c);
void monitor_info_tlb(struct monitor_call *c);
void monitor_info_ept(struct monitor_call *c);
/* monitor_vmx.c */
void monitor_info_vmcs(struct monitor_call *c);
/* monitor_run.c: points, running */
extern const struct monitor_command monitor_run_commands[];
extern const size_t monitor_run_command_count;
/* The machine stands: does what waited for that. True: it is to run on without a word to anyone. */
bool monitor_now_standing(struct monitor *m);

/* monitor_socket.c */
struct monitor_socket *monitor_socket_new(struct monitor *m, const char *where, struct error *err);
void monitor_socket_free(struct monitor_socket *s);

#endif
