/* SPDX-License-Identifier: MIT */
/*
 * The monitor: commands in words, for a person on a socket (--monitor) and behind GDB's `monitor`. It
 * stands on the debugger's core (frontend/debugger.h); each command is a row of a table in monitor.c.
 */
#ifndef FRONTEND_MONITOR_H
#define FRONTEND_MONITOR_H

#include <stdio.h>

#include "base/error.h"
#include "configs/machine.h"
#include "frontend/debugger.h"

struct monitor;

/* What the session does for it; a function that is NULL can't be had. Machine standing or not. */
struct monitor_hooks {
    void *opaque;
    bool (*save)(void *opaque, const char *path, struct error *err);
    bool (*screendump)(void *opaque, const char *path, struct error *err);
    bool (*sendkey)(void *opaque, const char *keys, struct error *err); /* "ctrl-alt-delete" */
    void (*reset)(void *opaque);
    void (*power_button)(void *opaque);
};

/* Sets the debugger's commands (debugger_set_commands). Everything given outlives the monitor. */
struct monitor *monitor_new(struct debugger *debugger, struct machine *machine,
                            const struct monitor_hooks *hooks);
void monitor_free(struct monitor *m); /* NULL is allowed */

/*
 * Serves a console on "tcp:[HOST:]PORT" (HOST: 127.0.0.1) or "unix:PATH", one client at a time; with
 * ",wait" after it the machine stands first, until a console has it continue. False
 * with err set: that place can't be had.
 */
bool monitor_listen(struct monitor *m, const char *where, struct error *err);

#endif
