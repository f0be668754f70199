/* SPDX-License-Identifier: MIT */
#include "frontend/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"

#define CTRL_A 1
#define INPUT_MAX 4096

struct terminal {
    int in, out; /* -1: none */
    bool raw;
    bool escape; /* Ctrl-A was typed */
    u8 input[INPUT_MAX];
    size_t first, count; /* of input[], bytes not yet taken by the device */
};

/* For the restoring at exit and on signals: there is one terminal. */
static struct termios saved_mode;
static volatile sig_atomic_t mode_saved;

static void restore_mode(void)
{
    if (mode_saved)
        tcsetattr(STDIN_FILENO, TCSANOW, &saved_mode);
    mode_saved = 0;
}

static void die(int sig)
{
    restore_mode();
    signal(sig, SIG_DFL);
    raise(sig);
}

/* What ends the program and nobody else has taken (a sanitizer may have). */
static void catch_signals(void)
{
    static const int signals[] = {SIGHUP,  SIGINT, SIGQUIT, SIGTERM, SIGABRT,
                                  SIGSEGV, SIGBUS, SIGFPE,  SIGILL};
    for (size_t k = 0; k < ARRAY_SIZE(signals); k++) {
        struct sigaction old;
        if (!sigaction(signals[k], NULL, &old) && !(old.sa_flags & SA_SIGINFO) &&
            old.sa_handler == SIG_DFL)
            signal(signals[k], die);
    }
}

static void set_raw(struct terminal *term)
{
    static bool prepared;
    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &saved_mode))
        return;
    if (!prepared) {
        atexit(restore_mode);
        catch_signals();
        prepared = true;
    }
    struct termios raw = saved_mode;
    cfmakeraw(&raw);
    raw.c_oflag |= OPOST; /* our own messages end in plain newlines */
    mode_saved = 1;
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw))
        mode_saved = 0;
    term->raw = mode_saved;
}

static bool open_ends(struct terminal *term, const char *spec, bool input, struct error *err)
{
    if (!strcmp(spec, "none"))
        return true;
    if (!strcmp(spec, "stdio")) {
        term->out = STDOUT_FILENO;
        if (input) {
            term->in = STDIN_FILENO;
            set_raw(term);
        }
        return true;
    }
    if (strncmp(spec, "file:", 5))
        return error_set(err, "%s: expected stdio, file:PATH or none", spec);
    term->out = open(spec + 5, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return term->out >= 0 || error_set(err, "%s: %s", spec + 5, strerror(errno));
}

struct terminal *terminal_open(const char *spec, bool input, struct error *err)
{
    struct terminal *term = xalloc(sizeof(*term));
    term->in = term->out = -1;
    if (open_ends(term, spec, input, err))
        return term;
    free(term);
    return NULL;
}

void terminal_close(struct terminal *term)
{
    if (!term)
        return;
    if (term->raw)
        restore_mode();
    if (term->out > STDERR_FILENO)
        close(term->out);
    free(term);
}

/* The machine runs on: its state does not depend on who reads. */
static void lose_output(struct terminal *term, const char *why)
{
    fprintf(stderr, "testudo: output of a port is lost from here on: %s\n", why);
    if (term->out > STDERR_FILENO)
        close(term->out);
    term->out = -1;
}

static void put_bytes(void *opaque, const u8 *bytes, size_t count)
{
    struct terminal *term = opaque;
    while (count && term->out >= 0) {
        ssize_t n = write(term->out, bytes, count);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = term->out, .events = POLLOUT};
            poll(&p, 1, -1);
        } else if (n < 0 && errno != EINTR) {
            lose_output(term, strerror(errno));
        } else if (n > 0) {
            bytes += n;
            count -= (size_t)n;
        }
    }
}

size_t terminal_take(struct terminal *term, u8 *bytes, size_t max)
{
    size_t n = MIN(max, term->count);
    memcpy(bytes, term->input + term->first, n);
    term->first += n;
    term->count -= n;
    return n;
}

struct char_backend terminal_backend(struct terminal *term)
{
    return (struct char_backend){.put = put_bytes, .opaque = term};
}

bool terminal_live(const struct terminal *term)
{
    return term->in >= 0;
}

bool terminal_paced(const struct terminal *term)
{
    struct stat st;
    return term->in >= 0 && !fstat(term->in, &st) && !S_ISREG(st.st_mode);
}

/* What the device has no room for is lost, as on a serial line. */
static void keep(struct terminal *term, u8 byte)
{
    if (term->first + term->count < INPUT_MAX)
        term->input[term->first + term->count++] = byte;
}

/* Takes out the escape sequences; only a real terminal has them. */
static void take_input(struct terminal *term, const u8 *bytes, size_t count, bool *quit)
{
    for (size_t k = 0; k < count; k++) {
        u8 c = bytes[k];
        if (term->raw && !term->escape && c == CTRL_A) {
            term->escape = true;
            continue;
        }
        if (term->escape && (c == 'x' || c == 'X'))
            *quit = true;
        if (!term->escape || c == CTRL_A)
            keep(term, c);
        term->escape = false;
    }
}

size_t terminal_pending(const struct terminal *term)
{
    return term->count;
}

int terminal_fd(const struct terminal *term)
{
    return !term->count || term->raw ? term->in : -1;
}

bool terminal_read(struct terminal *term)
{
    u8 bytes[256];
    bool quit = false;
    ssize_t n = read(term->in, bytes, sizeof(bytes));
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        term->in = -1;
    memmove(term->input, term->input + term->first, term->count);
    term->first = 0;
    if (n > 0)
        take_input(term, bytes, (size_t)n, &quit);
    return quit;
}
