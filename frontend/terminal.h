/* SPDX-License-Identifier: MIT */
/*
 * The host's ends of ports: the terminal (--serial stdio), a file, or nothing.
 *
 * A terminal is put into raw mode while the machine runs, so that Ctrl-C reaches the guest; Ctrl-A X
 * ends the run, Ctrl-A Ctrl-A sends one Ctrl-A. It is restored at exit, however that comes about.
 */
#ifndef FRONTEND_TERMINAL_H
#define FRONTEND_TERMINAL_H

#include "base/error.h"
#include "base/types.h"
#include "devices/char_backend.h"

struct terminal;

/*
 * spec: "stdio", "file:PATH" or "none". input: take standard input for it, and set the mode of the
 * terminal that it may be; one terminal of a program at most.
 */
struct terminal *terminal_open(const char *spec, bool input, struct error *err);
void terminal_close(struct terminal *term);
struct char_backend terminal_backend(struct terminal *term);

/* Can input arrive (then an idle machine waits for it in host time)? False after end of file. */
bool terminal_live(const struct terminal *term);

/* Does input come in its own time, as from a person, and not all at once as from a file? */
bool terminal_paced(const struct terminal *term);

/*
 * Takes in what has arrived, waiting up to wait_ns host nanoseconds for more than was there. True:
 * there is input for the device. *quit is set when Ctrl-A X was typed.
 */
bool terminal_poll(struct terminal *term, u64 wait_ns, bool *quit);

#endif
