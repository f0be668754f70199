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
/* Its output. */
struct char_backend terminal_backend(struct terminal *term);

/* Can input arrive (then an idle machine waits for it in host time)? False after end of file. */
bool terminal_live(const struct terminal *term);

/* Does input come in its own time, as from a person, and not all at once as from a file? */
bool terminal_paced(const struct terminal *term);

/*
 * Where to wait for input; -1: nowhere. A file or a pipe is read when all that was read before is taken,
 * so nothing of it is lost. A terminal is read always, or nobody would see Ctrl-A X when the guest does
 * not listen.
 */
int terminal_fd(const struct terminal *term);
/* Reads what is there, without waiting. True: Ctrl-A X was typed. */
bool terminal_read(struct terminal *term);
/* Bytes that were read and not handed out. */
size_t terminal_pending(const struct terminal *term);
/* Hands out up to max of them. */
size_t terminal_take(struct terminal *term, u8 *bytes, size_t max);

#endif
