/* SPDX-License-Identifier: MIT */
#include "frontend/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
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

static void set_raw(struct terminal *term)
{
    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &saved_mode))
        return;
    struct termios raw = saved_mode;
    cfmakeraw(&raw);
    raw.c_oflag |= OPOST; /* our own messages end in plain newlines */
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw))
        return;
    mode_saved = 1;
    term->raw = true;
    atexit(restore_mode);
    signal(SIGTERM, die);
    signal(SIGHUP, die);
    signal(SIGABRT, die);
}

struct terminal *terminal_open(const char *spec, struct error *err)
{
    struct terminal *term = xalloc(sizeof(*term));
    term->in = term->out = -1;
    if (!strcmp(spec, "stdio")) {
        term->in = STDIN_FILENO;
        term->out = STDOUT_FILENO;
        set_raw(term);
    } else if (!strncmp(spec, "file:", 5)) {
        term->out = open(spec + 5, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (term->out < 0) {
            error_set(err, "--serial %s: %s", spec, strerror(errno));
            free(term);
            return NULL;
        }
    } else if (strcmp(spec, "none")) {
        error_set(err, "--serial %s: expected stdio, file:PATH or none", spec);
        free(term);
        return NULL;
    }
    return term;
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

static void put_bytes(void *opaque, const u8 *bytes, size_t count)
{
    struct terminal *term = opaque;
    while (count && term->out >= 0) {
        ssize_t n = write(term->out, bytes, count);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = term->out, .events = POLLOUT};
            poll(&p, 1, -1);
        } else if (n < 0 && errno != EINTR) {
            term->out = -1; /* nobody reads any more: the machine runs on */
        } else if (n > 0) {
            bytes += n;
            count -= (size_t)n;
        }
    }
}

static size_t get_bytes(void *opaque, u8 *bytes, size_t max)
{
    struct terminal *term = opaque;
    size_t n = MIN(max, term->count);
    memcpy(bytes, term->input + term->first, n);
    term->first += n;
    term->count -= n;
    return n;
}

struct char_backend terminal_backend(struct terminal *term)
{
    return (struct char_backend){put_bytes, get_bytes, term};
}

bool terminal_live(const struct terminal *term)
{
    return term->in >= 0;
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
        if (term->escape) {
            term->escape = false;
            if (c == 'x' || c == 'X')
                *quit = true;
            if (c != CTRL_A)
                continue;
        }
        if (term->first + term->count < INPUT_MAX)
            term->input[term->first + term->count++] = c;
    }
}

bool terminal_poll(struct terminal *term, u64 wait_ns, bool *quit)
{
    if (term->in < 0 || term->count)
        return term->count;
    struct pollfd p = {.fd = term->in, .events = POLLIN};
    struct timespec wait = {(time_t)(wait_ns / 1000000000), (long)(wait_ns % 1000000000)};
    if (ppoll(&p, 1, &wait, NULL) <= 0)
        return false;
    u8 bytes[256];
    ssize_t n = read(term->in, bytes, sizeof(bytes));
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        term->in = -1;
    if (n > 0) {
        term->first = 0;
        take_input(term, bytes, (size_t)n, quit);
    }
    return term->count;
}
