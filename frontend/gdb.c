/* SPDX-License-Identifier: MIT */
#include "frontend/gdb.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "frontend/gdb_packet.h"
#include "frontend/gdb_remote.h"

/* A GDB that takes no bytes for so long is gone. */
#define WRITE_WAIT_MS 10000

struct gdb {
    struct debugger *d;
    struct debug_console console;
    int listening, client; /* client: -1: none */
    unsigned port;
    enum gdb_arch arch;
    struct gdb_remote *remote; /* with the client */
    bool acks;
    bool broken; /* the client is to be dropped */
    struct gdb_reader reader;
    u8 frame[2 * GDB_PACKET_MAX + 4]; /* what was sent last */
    size_t frame_size;
};

/* ---- Bytes out ---- */

static void send_bytes(struct gdb *g, const u8 *bytes, size_t size)
{
    while (size && !g->broken) {
        ssize_t n = send(g->client, bytes, size, MSG_NOSIGNAL);
        struct pollfd fd = {.fd = g->client, .events = POLLOUT};
        bool again = n < 0 && (errno == EAGAIN || errno == EINTR);
        if (n > 0) {
            bytes += n;
            size -= (size_t)n;
        } else if (!again || poll(&fd, 1, WRITE_WAIT_MS) == 0) {
            g->broken = true;
        }
    }
}

static void send_packet(void *opaque, const u8 *data, size_t size)
{
    struct gdb *g = opaque;
    ASSERT(size <= GDB_PACKET_MAX);
    g->frame_size = gdb_frame(g->frame, data, size);
    send_bytes(g, g->frame, g->frame_size);
}

static void no_acks(void *opaque)
{
    struct gdb *g = opaque;
    g->acks = false;
}

/* ---- Connections ---- */

static void drop_client(struct gdb *g)
{
    gdb_remote_free(g->remote);
    g->remote = NULL;
    close(g->client);
    g->client = -1;
    if (debugger_standing(g->d))
        debugger_continue(g->d);
}

static void set_nonblocking(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void accept_client(struct gdb *g)
{
    const struct gdb_output out = {send_packet, no_acks, g};
    int one = 1, fd = accept(g->listening, NULL, NULL);
    if (fd < 0)
        return;
    set_nonblocking(fd);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    g->client = fd;
    g->acks = true;
    g->broken = false;
    g->reader = (struct gdb_reader){0};
    g->frame_size = 0;
    g->remote = gdb_remote_new(g->d, &out, g->arch);
    debugger_request_stop(g->d);
}

/* ---- Bytes in ---- */

static void acknowledge(struct gdb *g, char c)
{
    if (g->acks)
        send_bytes(g, (const u8 *)&c, 1);
}

static void take_byte(struct gdb *g, u8 byte)
{
    switch (gdb_read_byte(&g->reader, byte)) {
    case GDB_PACKET:
        acknowledge(g, '+');
        if (!gdb_remote_packet(g->remote, g->reader.data, g->reader.size))
            g->broken = true;
        break;
    case GDB_BAD:
        acknowledge(g, '-');
        break;
    case GDB_RESEND:
        if (g->acks)
            send_bytes(g, g->frame, g->frame_size);
        break;
    case GDB_INTERRUPT:
        gdb_remote_interrupt(g->remote);
        break;
    case GDB_NOTHING:
        break;
    }
}

static void take_input(struct gdb *g)
{
    u8 bytes[4096];
    ssize_t n = recv(g->client, bytes, sizeof(bytes), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        g->broken = true;
    for (ssize_t k = 0; k < n && !g->broken; k++)
        take_byte(g, bytes[k]);
}

/* ---- The console ---- */

/* A second GDB waits in the queue until the first has gone. */
static int console_fd(void *opaque)
{
    struct gdb *g = opaque;
    return g->client >= 0 ? g->client : g->listening;
}

/* Until the machine has come to stand for a new client, its packets wait. */
static void console_input(void *opaque)
{
    struct gdb *g = opaque;
    if (g->client < 0)
        accept_client(g);
    else if (debugger_standing(g->d) || gdb_remote_waits(g->remote))
        take_input(g);
    if (g->client >= 0 && g->broken)
        drop_client(g);
}

static void console_stopped(void *opaque)
{
    struct gdb *g = opaque;
    if (g->remote)
        gdb_remote_stopped(g->remote);
}

static void console_ended(void *opaque, int status)
{
    struct gdb *g = opaque;
    if (g->remote)
        gdb_remote_ended(g->remote, status);
}

/* ---- Opening ---- */

struct place {
    char host[128], port[16];
    bool wait;
    enum gdb_arch arch;
};

static bool parse_options(const char *text, struct place *to)
{
    while (*text == ',') {
        size_t n = strcspn(++text, ",");
        if (n == 6 && !strncmp(text, "nowait", n))
            to->wait = false;
        else if (n == 4 && !strncmp(text, "i386", n))
            to->arch = GDB_I386;
        else if (n == 5 && !strncmp(text, "i8086", n))
            to->arch = GDB_I8086;
        else
            return false;
        text += n;
    }
    return !*text;
}

static bool parse_place(const char *spec, struct place *to)
{
    *to = (struct place){.host = "localhost", .wait = true};
    size_t all = strcspn(spec, ",");
    const char *colon = memrchr(spec, ':', all), *port = colon ? colon + 1 : spec;
    size_t host = colon ? (size_t)(colon - spec) : 0, digits = (size_t)(spec + all - port);
    if (host >= sizeof(to->host) || !digits || digits > 5 || strspn(port, "0123456789") != digits)
        return false;
    if (host)
        snprintf(to->host, sizeof(to->host), "%.*s", (int)host, spec);
    snprintf(to->port, sizeof(to->port), "%.*s", (int)digits, port);
    return atoi(to->port) <= 65535 && parse_options(spec + all, to);
}

static int listen_at(const struct addrinfo *a)
{
    int one = 1, fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, 1)) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    set_nonblocking(fd);
    return fd;
}

static int listen_on(const struct place *at, struct error *err)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list;
    int fd = -1, why = getaddrinfo(at->host, at->port, &hints, &list);
    if (why) {
        error_set(err, "--gdb: %s: %s", at->host, gai_strerror(why));
        return -1;
    }
    for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
        fd = listen_at(a);
    if (fd < 0)
        error_set(err, "--gdb: %s:%s: %s", at->host, at->port, strerror(errno));
    freeaddrinfo(list);
    return fd;
}

static unsigned port_of(int fd)
{
    struct sockaddr_storage a;
    socklen_t size = sizeof(a);
    char port[16] = "0";
    if (!getsockname(fd, (struct sockaddr *)&a, &size))
        getnameinfo((struct sockaddr *)&a, size, NULL, 0, port, sizeof(port), NI_NUMERICSERV);
    return (unsigned)atoi(port);
}

struct gdb *gdb_open(const char *spec, struct debugger *d, struct error *err)
{
    struct place at;
    if (!parse_place(spec, &at)) {
        error_set(err, "--gdb %s: expected [HOST:]PORT[,nowait][,i386|,i8086]", spec);
        return NULL;
    }
    int fd = listen_on(&at, err);
    if (fd < 0)
        return NULL;
    struct gdb *g = xalloc(sizeof(*g));
    g->d = d;
    g->listening = fd;
    g->client = -1;
    g->port = port_of(fd);
    g->arch = at.arch;
    g->console = (struct debug_console){.opaque = g,
                                        .fd = console_fd,
                                        .input = console_input,
                                        .stopped = console_stopped,
                                        .ended = console_ended};
    debugger_console_add(d, &g->console);
    if (at.wait)
        debugger_request_stop(d);
    fprintf(stderr, "testudo: gdb: target remote %s:%u\n", at.host, g->port);
    return g;
}

void gdb_close(struct gdb *gdb)
{
    if (!gdb)
        return;
    debugger_console_remove(gdb->d, &gdb->console);
    if (gdb->client >= 0)
        drop_client(gdb);
    close(gdb->listening);
    free(gdb);
}

unsigned gdb_port(const struct gdb *gdb)
{
    return gdb->port;
}
