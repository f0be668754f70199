/* SPDX-License-Identifier: MIT */
#include "frontend/net_user.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libslirp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"

#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)
#define FORWARDS_MAX 32
#define FRAME_MAX 1518
#define WAITING_MAX 256

struct forward {
    bool udp;
    struct in_addr host, guest;
    u16 host_port, guest_port;
};

struct frame {
    u16 size;
    u8 bytes[FRAME_MAX];
};

struct net_user {
    Slirp *slirp; /* NULL: not started */
    struct net_user_link link;
    struct forward forward[FORWARDS_MAX];
    unsigned forwards;
    /* Frames for which the card had no room yet: a ring. */
    struct frame waiting[WAITING_MAX];
    unsigned first, count;
    /* What was put into the hub and has not reached the card, for it does so one tick later. */
    u64 put_tick;
    unsigned put_count;
    const struct outside_wait *wait; /* during slirp's look at it */
    struct outside_wait *preparing;
};

/* ---- Frames to the guest ---- */

static unsigned room(const struct net_user *net)
{
    const struct net_user_link *link = &net->link;
    unsigned all = link->room ? link->room(link->room_opaque) : UINT32_MAX;
    unsigned under_way = net->put_tick == link->clock->now ? net->put_count : 0;
    return all - MIN(all, under_way);
}

static void put_frame(struct net_user *net, const struct frame *frame)
{
    u64 now = net->link.clock->now;
    net->put_count = net->put_tick == now ? net->put_count + 1 : 1;
    net->put_tick = now;
    input_put(net->link.hub, net->link.source, frame->bytes, frame->size);
}

static void put_waiting(struct net_user *net)
{
    for (unsigned n = room(net); n && net->count; n--) {
        put_frame(net, &net->waiting[net->first]);
        net->first = (net->first + 1) % WAITING_MAX;
        net->count--;
    }
}

/* slirp has a frame for the guest. One that finds no room is lost, as in any network. */
static ssize_t from_slirp(const void *bytes, size_t size, void *opaque)
{
    struct net_user *net = opaque;
    if (size > FRAME_MAX || net->count == WAITING_MAX)
        return (ssize_t)size;
    struct frame *frame = &net->waiting[(net->first + net->count) % WAITING_MAX];
    memcpy(frame->bytes, bytes, size);
    frame->size = (u16)size;
    net->count++;
    put_waiting(net);
    return (ssize_t)size;
}

/* ---- Frames from the guest ---- */

static void to_slirp(void *opaque, const u8 *frame, size_t size)
{
    struct net_user *net = opaque;
    if (!net->slirp || size > FRAME_MAX)
        return;
    put_waiting(net);
    slirp_input(net->slirp, frame, (int)size);
}

struct net_backend net_user_backend(struct net_user *net)
{
    return (struct net_backend){.send = to_slirp, .opaque = net};
}

/* ---- What slirp wants to know ---- */

static int64_t clock_ns(void *opaque)
{
    const struct net_user *net = opaque;
    return (int64_t)clock_to_units(net->link.clock, net->link.clock->now, NS_PER_S);
}

static void guest_error(const char *message, void *opaque)
{
    (void)opaque;
    log_msg(LOG_DEV, "net: %s", message);
}

/* Descriptors are asked for anew before each wait, and there is no other thread to wake. */
static void ignore_fd(int fd, void *opaque)
{
    (void)fd;
    (void)opaque;
}

static void ignore_notice(void *opaque)
{
    (void)opaque;
}

/* Timers are for IPv6 only. */
static const SlirpCb callbacks = {
    .send_packet = from_slirp,
    .guest_error = guest_error,
    .clock_get_ns = clock_ns,
    .register_poll_fd = ignore_fd,
    .unregister_poll_fd = ignore_fd,
    .notify = ignore_notice,
};

/* ---- Waiting ---- */

static const struct {
    int slirp;
    short host;
} poll_bits[] = {
    {SLIRP_POLL_IN, POLLIN},   {SLIRP_POLL_OUT, POLLOUT}, {SLIRP_POLL_PRI, POLLPRI},
    {SLIRP_POLL_ERR, POLLERR}, {SLIRP_POLL_HUP, POLLHUP},
};

static int add_poll(int fd, int events, void *opaque)
{
    struct net_user *net = opaque;
    short host = 0;
    for (size_t n = 0; n < ARRAY_SIZE(poll_bits); n++)
        if (events & poll_bits[n].slirp)
            host = (short)(host | poll_bits[n].host);
    return outside_watch(net->preparing, fd, host);
}

static int polled(int index, void *opaque)
{
    const struct net_user *net = opaque;
    int events = 0;
    if (!outside_ready(net->wait, index))
        return 0;
    for (size_t n = 0; n < ARRAY_SIZE(poll_bits); n++)
        if (net->wait->fd[index].revents & poll_bits[n].host)
            events |= poll_bits[n].slirp;
    return events;
}

static bool live(void *opaque)
{
    const struct net_user *net = opaque;
    return net->slirp;
}

static void prepare(void *opaque, struct outside_wait *wait)
{
    struct net_user *net = opaque;
    if (!net->slirp)
        return;
    uint32_t ms = (uint32_t)MIN(wait->ns / NS_PER_MS + 1, (u64)INT32_MAX);
    net->preparing = wait;
    slirp_pollfds_fill(net->slirp, &ms, add_poll, net);
    wait->ns = MIN(wait->ns, ms * NS_PER_MS);
    if (net->count && room(net))
        wait->ns = 0;
}

static void arrived(void *opaque, const struct outside_wait *wait)
{
    struct net_user *net = opaque;
    if (!net->slirp)
        return;
    put_waiting(net);
    net->wait = wait;
    slirp_pollfds_poll(net->slirp, 0, polled, net);
}

struct outside_client net_user_client(struct net_user *net)
{
    return (struct outside_client){net, live, prepare, arrived};
}

/* ---- Forwarded ports ---- */

/* "[ADDR]:PORT" */
static bool parse_end(const char *text, struct in_addr *address, u16 *port)
{
    char name[INET_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof(name))
        return false;
    snprintf(name, sizeof(name), "%.*s", (int)(colon - text), text);
    if (name[0] && inet_pton(AF_INET, name, address) != 1)
        return false;
    size_t digits = strspn(colon + 1, "0123456789");
    unsigned long number = strtoul(colon + 1, NULL, 10);
    *port = (u16)number;
    return digits && digits <= 5 && !colon[1 + digits] && number && number <= UINT16_MAX;
}

static bool parse_forward(char *text, struct forward *f)
{
    f->host.s_addr = htonl(INADDR_LOOPBACK);
    f->guest.s_addr = 0; /* slirp takes the first address that it gives away */
    f->udp = !strncmp(text, "udp:", 4);
    if (!f->udp && strncmp(text, "tcp:", 4) != 0)
        return false;
    char *guest = strchr(text, '-');
    if (!guest)
        return false;
    *guest++ = 0;
    return parse_end(text + 4, &f->host, &f->host_port) &&
           parse_end(guest, &f->guest, &f->guest_port);
}

static bool add_forward(struct net_user *net, const char *text, size_t length, struct error *err)
{
    char rule[64];
    if (net->forwards == FORWARDS_MAX)
        return error_set(err, "hostfwd: more than %d ports", FORWARDS_MAX);
    snprintf(rule, sizeof(rule), "%.*s", (int)length, text);
    if (length >= sizeof(rule) || !parse_forward(rule, &net->forward[net->forwards]))
        return error_set(err, "hostfwd %.*s: expected tcp:[ADDR]:PORT-[GUEST-ADDR]:PORT",
                         (int)MIN(length, sizeof(rule)), text);
    net->forwards++;
    return true;
}

static bool add_forwards(struct net_user *net, const char *text, struct error *err)
{
    while (*text) {
        size_t length = strcspn(text, ",");
        if (!add_forward(net, text, length, err))
            return false;
        text += length;
        text += *text == ',';
    }
    return true;
}

static bool open_forward(struct net_user *net, const struct forward *f, struct error *err)
{
    char name[INET_ADDRSTRLEN];
    if (slirp_add_hostfwd(net->slirp, f->udp, f->host, f->host_port, f->guest, f->guest_port) >= 0)
        return true;
    int why = errno;
    inet_ntop(AF_INET, &f->host, name, sizeof(name));
    return error_set(err, "hostfwd: %s port %u of %s: %s", f->udp ? "UDP" : "TCP", f->host_port,
                     name, strerror(why));
}

/* ---- Life ---- */

static struct in_addr of_network(u32 host)
{
    return (struct in_addr){htonl(UINT32_C(0x0a000200) + host)};
}

bool net_user_start(struct net_user *net, const struct net_user_link *link, struct error *err)
{
    SlirpConfig config = {
        .version = SLIRP_CONFIG_VERSION_MIN,
        .in_enabled = true,
        .vnetwork = of_network(0),
        .vnetmask = {htonl(UINT32_C(0xffffff00))},
        .vhost = of_network(2),
        .vnameserver = of_network(3),
        .vdhcp_start = of_network(15),
    };
    net->link = *link;
    net->put_tick = CLOCK_NEVER;
    /* slirp writes to sockets whose other end may be gone. */
    signal(SIGPIPE, SIG_IGN);
    net->slirp = slirp_new(&config, &callbacks, net);
    if (!net->slirp)
        return error_set(err, "the network could not be made");
    for (unsigned n = 0; n < net->forwards; n++)
        if (!open_forward(net, &net->forward[n], err))
            return false;
    return true;
}

struct net_user *net_user_new(const char *hostfwd, struct error *err)
{
    struct net_user *net = xalloc(sizeof(*net));
    if (add_forwards(net, hostfwd, err))
        return net;
    net_user_free(net);
    return NULL;
}

void net_user_free(struct net_user *net)
{
    if (!net)
        return;
    if (net->slirp)
        slirp_cleanup(net->slirp);
    free(net);
}
