/* SPDX-License-Identifier: MIT */
/* The monitor's console: a socket that one client at a time is served on. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "frontend/monitor_state.h"

#define PROMPT "(testudo) "

struct monitor_socket {
    struct monitor *m;
    struct debug_console console;
    int listener, client; /* -1: none */
    char *path;           /* of a Unix socket: removed at the end */
    char line[MONITOR_LINE + 1];
    size_t length;
    bool too_long; /* the rest of the line is dropped */
};

/* A client that doesn't take what it is told loses it: the machine waits for nobody. */
static void tell(struct monitor_socket *s, const char *text, size_t size)
{
    while (s->client >= 0 && size) {
        ssize_t n = send(s->client, text, size, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        text += n;
        size -= (size_t)n;
    }
}

static void prompt(struct monitor_socket *s)
{
    tell(s, PROMPT, strlen(PROMPT));
}

static void hang_up(struct monitor_socket *s)
{
    close(s->client);
    s->client = -1;
    s->length = 0;
    s->too_long = false;
}

static void welcome(struct monitor_socket *s)
{
    s->client = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    if (s->client < 0)
        return;
    /* Long answers, as of `info mem`, wait this long for a slow reader. */
    struct timeval patience = {.tv_sec = 5};
    setsockopt(s->client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    prompt(s);
}

static void execute(struct monitor_socket *s)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    ASSERT(out);
    debugger_command(s->m->debugger, s->line, out);
    fclose(out);
    tell(s, text, size);
    free(text);
    prompt(s);
}

static void end_line(struct monitor_socket *s)
{
    static const char message[] = "the line is too long\n";
    s->line[s->length] = 0;
    if (s->too_long) {
        tell(s, message, strlen(message));
        prompt(s);
    } else {
        execute(s);
    }
    s->length = 0;
    s->too_long = false;
}

static void take(struct monitor_socket *s, const char *bytes, size_t size)
{
    for (size_t n = 0; n < size && s->client >= 0; n++) {
        if (bytes[n] == '\n')
            end_line(s);
        else if (s->length == MONITOR_LINE)
            s->too_long = true;
        else if (bytes[n] && bytes[n] != '\r')
            s->line[s->length++] = bytes[n];
    }
}

static int console_fd(void *opaque)
{
    const struct monitor_socket *s = opaque;
    return s->client >= 0 ? s->client : s->listener;
}

static void console_input(void *opaque)
{
    struct monitor_socket *s = opaque;
    char bytes[512];
    if (s->client < 0) {
        welcome(s);
        return;
    }
    ssize_t n = recv(s->client, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n > 0)
        take(s, bytes, (size_t)n);
    else if (!n || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
        hang_up(s);
}

static void console_stopped(void *opaque)
{
    struct monitor_socket *s = opaque;
    if (monitor_now_standing(s->m))
        return;
    char text[256];
    int n = snprintf(text, sizeof(text), "\n%s\n" PROMPT, debugger_last(s->m->debugger)->text);
    tell(s, text, MIN((size_t)n, sizeof(text) - 1));
}

/* ---- Places ---- */

static bool listen_unix(struct monitor_socket *s, const char *path, struct error *err)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (!*path || strlen(path) >= sizeof(at.sun_path))
        return error_set(err, "unix:%s: expected a path of 1 to %zu characters", path,
                         sizeof(at.sun_path) - 1);
    strcpy(at.sun_path, path);
    s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&at, sizeof(at)) ||
        listen(s->listener, 1))
        return error_set(err, "unix:%s: %s", path, strerror(errno));
    s->path = xstrdup(path);
    return true;
}

static bool listen_tcp(struct monitor_socket *s, const char *where, struct error *err)
{
    const char *colon = strrchr(where, ':');
    char host[256] = "127.0.0.1";
    const char *port = colon ? colon + 1 : where;
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *to = NULL;
    int on = 1;
    if (colon && colon != where)
        snprintf(host, sizeof(host), "%.*s", (int)(colon - where), where);
    int failure = getaddrinfo(host, port, &hints, &to);
    if (failure)
        return error_set(err, "tcp:%s: %s", where, gai_strerror(failure));
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    bool ok = s->listener >= 0 && !bind(s->listener, to->ai_addr, to->ai_addrlen) &&
              !listen(s->listener, 1);
    freeaddrinfo(to);
    return ok || error_set(err, "tcp:%s: %s", where, strerror(errno));
}

static bool listen_at(struct monitor_socket *s, const char *where, struct error *err)
{
    if (!strncmp(where, "unix:", 5))
        return listen_unix(s, where + 5, err);
    if (!strncmp(where, "tcp:", 4))
        return listen_tcp(s, where + 4, err);
    return error_set(err, "%s: expected tcp:[HOST:]PORT[,wait] or unix:PATH[,wait]", where);
}

/* Takes ",wait" off the end of the place. */
static bool take_wait(char *where)
{
    static const char wait[] = ",wait";
    size_t length = strlen(where), end = sizeof(wait) - 1;
    if (length < end || strcmp(where + length - end, wait) != 0)
        return false;
    where[length - end] = 0;
    return true;
}

struct monitor_socket *monitor_socket_new(struct monitor *m, const char *where, struct error *err)
{
    struct monitor_socket *s = xalloc(sizeof(*s));
    char *place = xstrdup(where);
    bool wait = take_wait(place);
    s->m = m;
    s->listener = s->client = -1;
    bool ok = listen_at(s, place, err);
    free(place);
    if (!ok) {
        if (s->listener >= 0)
            close(s->listener);
        free(s);
        return NULL;
    }
    s->console = (struct debug_console){
        .opaque = s, .fd = console_fd, .input = console_input, .stopped = console_stopped};
    debugger_console_add(m->debugger, &s->console);
    if (wait)
        debugger_request_stop(m->debugger);
    return s;
}

void monitor_socket_free(struct monitor_socket *s)
{
    if (!s)
        return;
    debugger_console_remove(s->m->debugger, &s->console);
    if (s->client >= 0)
        close(s->client);
    close(s->listener);
    if (s->path)
        unlink(s->path);
    free(s->path);
    free(s);
}
