/* SPDX-License-Identifier: MIT */
/* A guest played by hand: it makes frames and reads those that come. */
#include "frontend/net_user.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/fuzz/random.h"
#include "tests/suite.h"

#define MS 1000000u /* ticks */
#define FRAMES 128

#define ETHERNET 14
#define IP 20
#define TCP 20
#define HOST UINT32_C(0x0a000202)
#define GUEST UINT32_C(0x0a00020f)

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

static const u8 mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
static const u8 everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static u8 router[6];

static struct clock ticks;
static struct input_hub *hub;
static struct net_user *net;
static struct {
    u8 bytes[1518];
    size_t size;
} frame[FRAMES];
static unsigned frames, read_frames;
static unsigned card_room;

static void receive(void *opaque, const u8 *bytes, size_t size)
{
    ck_assert_ptr_eq(opaque, &frames);
    ck_assert(frames < FRAMES && size <= sizeof(frame[0].bytes));
    memcpy(frame[frames].bytes, bytes, size);
    frame[frames++].size = size;
    card_room -= card_room > 0;
}

static unsigned room_of_card(void *opaque)
{
    (void)opaque;
    return card_room;
}

static void start(const char *hostfwd)
{
    struct error err = {{0}};
    clock_init(&ticks, 1000 * MS);
    hub = input_new(&ticks);
    unsigned source = input_source(hub, "nic0", receive, &frames);
    net = net_user_new(hostfwd, &err);
    ck_assert_msg(net != NULL, "%s", err.text);
    struct net_user_link link = {hub, source, &ticks, room_of_card, NULL};
    frames = read_frames = 0;
    card_room = FRAMES;
    ck_assert_msg(net_user_start(net, &link, &err), "%s", err.text);
}

static void stop(void)
{
    net_user_free(net);
    input_free(hub);
    clock_fini(&ticks);
}

/* A millisecond in which the machine is idle. */
static void pass(void)
{
    struct outside_client client = net_user_client(net);
    struct outside_wait wait = {.ns = MS};
    ck_assert(client.live(client.opaque));
    client.prepare(client.opaque, &wait);
    ck_assert(wait.ns <= MS);
    poll(wait.fd, wait.fds, (int)(wait.ns / MS));
    client.arrived(client.opaque, &wait);
    ticks.now += MS;
    clock_run(&ticks);
}

/* The next frame; NULL if none comes for some seconds. */
static const u8 *next_frame(void)
{
    for (unsigned n = 0; n < 3000 && read_frames == frames; n++)
        pass();
    return read_frames == frames ? NULL : frame[read_frames++].bytes;
}

static void send_frame(const u8 *bytes, size_t size)
{
    struct net_backend backend = net_user_backend(net);
    backend.send(backend.opaque, bytes, size);
    ticks.now++;
    clock_run(&ticks);
}

/* ---- Packets ---- */

static void put16(u8 *p, u32 v)
{
    p[0] = (u8)(v >> 8);
    p[1] = (u8)v;
}

static void put32(u8 *p, u32 v)
{
    put16(p, v >> 16);
    put16(p + 2, v);
}

static u32 get16(const u8 *p)
{
    return (u32)p[0] << 8 | p[1];
}

static u32 get32(const u8 *p)
{
    return get16(p) << 16 | get16(p + 2);
}

static void ethernet(u8 *p, const u8 to[6], u32 type)
{
    memcpy(p, to, 6);
    memcpy(p + 6, mac, 6);
    put16(p + 12, type);
}

static u32 sum(u32 sum, const u8 *p, size_t size)
{
    for (size_t n = 0; n < size; n++)
        sum += n & 1 ? p[n] : (u32)p[n] << 8;
    return sum;
}

static u32 folded(u32 sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}

/* The header at p, for `size` bytes that follow. */
static void ip(u8 *p, u8 protocol, u32 from, u32 to, size_t size)
{
    memset(p, 0, IP);
    p[0] = 0x45;
    put16(p + 2, (u32)(IP + size));
    p[8] = 64;
    p[9] = protocol;
    put32(p + 12, from);
    put32(p + 16, to);
    put16(p + 10, folded(sum(0, p, IP)));
}

static void arp(u8 op, const u8 target_mac[6], u32 target)
{
    u8 p[ETHERNET + 28] = {0};
    ethernet(p, everybody, 0x0806);
    u8 *a = p + ETHERNET;
    put16(a, 1);
    put16(a + 2, 0x0800);
    a[4] = 6;
    a[5] = 4;
    put16(a + 6, op);
    memcpy(a + 8, mac, 6);
    put32(a + 14, GUEST);
    memcpy(a + 18, target_mac, 6);
    put32(a + 24, target);
    send_frame(p, sizeof(p));
}

/* Makes the two know each other. */
static void meet(void)
{
    static const u8 nobody[6];
    arp(1, nobody, HOST);
    const u8 *answer = next_frame();
    ck_assert_ptr_nonnull(answer);
    ck_assert_uint_eq(get16(answer + 12), 0x0806);
    ck_assert_uint_eq(get16(answer + ETHERNET + 6), 2);
    ck_assert_uint_eq(get32(answer + ETHERNET + 14), HOST);
    memcpy(router, answer + ETHERNET + 8, 6);
}

struct tcp_segment {
    u32 port, own_port;
    u32 seq, ack;
    u8 flags;
    const u8 *data;
    size_t size;
};

static void send_segment(const struct tcp_segment *s)
{
    u8 p[1514] = {0};
    u8 *t = p + ETHERNET + IP;
    ethernet(p, router, 0x0800);
    ip(p + ETHERNET, 6, GUEST, HOST, TCP + s->size);
    put16(t, s->own_port);
    put16(t + 2, s->port);
    put32(t + 4, s->seq);
    put32(t + 8, s->ack);
    t[12] = TCP / 4 << 4;
    t[13] = s->flags;
    put16(t + 14, 0xffff);
    if (s->size)
        memcpy(t + TCP, s->data, s->size);
    u32 pseudo = sum(6 + TCP + (u32)s->size, p + ETHERNET + 12, 8);
    put16(t + 16, folded(sum(pseudo, t, TCP + s->size)));
    send_frame(p, ETHERNET + IP + TCP + s->size);
}

/* The next TCP segment, ARP's questions being answered. */
static struct tcp_segment next_segment(void)
{
    for (;;) {
        const u8 *p = next_frame();
        ck_assert_ptr_nonnull(p);
        if (get16(p + 12) == 0x0806) {
            arp(2, p + 6, get32(p + ETHERNET + 14));
            continue;
        }
        if (get16(p + 12) != 0x0800 || p[ETHERNET + 9] != 6)
            continue;
        const u8 *t = p + ETHERNET + IP;
        size_t header = (size_t)(t[12] >> 4) * 4;
        return (struct tcp_segment){get16(t),
                                    get16(t + 2),
                                    get32(t + 4),
                                    get32(t + 8),
                                    t[13],
                                    t + header,
                                    get16(p + ETHERNET + 2) - IP - header};
    }
}

/* ---- The host's side ---- */

static int listener(u16 *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(at);
    int s = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert(s >= 0 && !bind(s, (struct sockaddr *)&at, sizeof(at)) && !listen(s, 4));
    ck_assert(!getsockname(s, (struct sockaddr *)&at, &size));
    *port = ntohs(at.sin_port);
    return s;
}

/* Sends back in capitals what comes. */
static void *serve(void *opaque)
{
    char bytes[4096];
    ssize_t n;
    int s = accept(*(int *)opaque, NULL, NULL);
    while ((n = read(s, bytes, sizeof(bytes))) > 0) {
        for (ssize_t k = 0; k < n; k++)
            bytes[k] = (char)(bytes[k] & ~0x20);
        if (write(s, bytes, (size_t)n) != n)
            break;
    }
    close(s);
    return NULL;
}

/* ---- Tests ---- */

static size_t dhcp(u8 *p, u8 kind)
{
    static const u8 cookie[4] = {0x63, 0x82, 0x53, 0x63};
    u8 *d = p + ETHERNET + IP + 8;
    memset(p, 0, 400);
    ethernet(p, everybody, 0x0800);
    d[0] = d[1] = 1;
    d[2] = 6;
    put32(d + 4, 0x12345678);
    memcpy(d + 28, mac, 6);
    memcpy(d + 236, cookie, 4);
    d[240] = 53;
    d[241] = 1;
    d[242] = kind;
    d[243] = 50; /* the address wanted */
    d[244] = 4;
    put32(d + 245, GUEST);
    d[249] = 0xff;
    put16(p + ETHERNET + IP, 68);
    put16(p + ETHERNET + IP + 2, 67);
    put16(p + ETHERNET + IP + 4, 8 + 300);
    ip(p + ETHERNET, 17, 0, 0xffffffff, 8 + 300);
    return ETHERNET + IP + 8 + 300;
}

START_TEST(dhcp_gives_an_address)
{
    u8 p[400];
    start("");
    for (u8 kind = 1; kind <= 3; kind += 2) {
        send_frame(p, dhcp(p, kind));
        const u8 *answer = next_frame();
        ck_assert_ptr_nonnull(answer);
        const u8 *d = answer + ETHERNET + IP + 8;
        ck_assert_uint_eq(get32(d + 4), 0x12345678);
        ck_assert_uint_eq(get32(d + 16), GUEST);
        ck_assert_uint_eq(d[242], kind == 1 ? 2 : 5);
    }
    stop();
}
END_TEST

START_TEST(a_connection_reaches_the_host)
{
    u16 port;
    int s = listener(&port);
    pthread_t server;
    pthread_create(&server, NULL, serve, &s);
    start("");
    meet();
    struct tcp_segment out = {.port = port, .own_port = 1234, .seq = 100, .flags = SYN};
    send_segment(&out);
    struct tcp_segment in = next_segment();
    ck_assert_uint_eq(in.flags, SYN | ACK);
    ck_assert_uint_eq(in.ack, 101);
    out = (struct tcp_segment){port, 1234, 101, in.seq + 1, ACK | PSH, (const u8 *)"turtle", 6};
    send_segment(&out);
    do
        in = next_segment();
    while (!in.size);
    ck_assert_uint_eq(in.size, 6);
    ck_assert_mem_eq(in.data, "TURTLE", 6);
    out = (struct tcp_segment){port, 1234, 107, in.seq + 6, ACK | FIN, NULL, 0};
    send_segment(&out);
    do
        in = next_segment();
    while (!(in.flags & FIN));
    pthread_join(server, NULL);
    close(s);
    stop();
}
END_TEST

/* The port that a listener had is free again. */
static u16 free_port(void)
{
    u16 port;
    close(listener(&port));
    return port;
}

static int connect_to(u16 port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_port = htons(port)};
    int s = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert(!connect(s, (struct sockaddr *)&at, sizeof(at)));
    return s;
}

START_TEST(a_forwarded_port_reaches_the_guest)
{
    char rule[64], bytes[8];
    struct error err = {{0}};
    u16 port = free_port();
    snprintf(rule, sizeof(rule), "tcp::%u-:22,udp:127.0.0.1:%u-10.0.2.15:53", port, port);
    start(rule);
    int s = connect_to(port);
    struct tcp_segment in = next_segment();
    memcpy(router, frame[read_frames - 1].bytes + 6, 6);
    ck_assert_uint_eq(in.flags, SYN);
    ck_assert_uint_eq(in.own_port, 22);
    struct tcp_segment out = {in.port, 22, 500, in.seq + 1, SYN | ACK, NULL, 0};
    send_segment(&out);
    ck_assert_uint_eq(next_segment().flags, ACK);
    out = (struct tcp_segment){in.port, 22, 501, in.seq + 1, ACK | PSH, (const u8 *)"hello", 5};
    send_segment(&out);
    ck_assert_int_eq(read(s, bytes, sizeof(bytes)), 5);
    ck_assert_mem_eq(bytes, "hello", 5);
    /* A second one of the same cannot be had. */
    struct net_user *other = net_user_new(rule, &err);
    struct net_user_link link = {hub, 0, &ticks, NULL, NULL};
    ck_assert(!net_user_start(other, &link, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "Address already in use"));
    net_user_free(other);
    close(s);
    stop();
}
END_TEST

/* What slirp is told to do after the host's end is gone must not end the program. */
START_TEST(connections_break)
{
    u16 port;
    int s = listener(&port);
    start("");
    meet();
    struct tcp_segment out = {.port = port, .own_port = 1234, .seq = 100, .flags = SYN};
    send_segment(&out);
    struct tcp_segment in = next_segment();
    int peer = accept(s, NULL, NULL);
    struct linger none = {1, 0};
    setsockopt(peer, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    close(peer);
    for (u32 n = 0; n < 4; n++) {
        out = (struct tcp_segment){port, 1234, 101 + n, in.seq + 1, ACK | PSH, (const u8 *)"x", 1};
        send_segment(&out);
    }
    in = next_segment();
    /* And nobody is at this port. */
    close(s);
    out = (struct tcp_segment){.port = port, .own_port = 1235, .seq = 100, .flags = SYN};
    send_segment(&out);
    do
        in = next_segment();
    while (in.own_port != 1235);
    ck_assert(in.flags & RST);
    /* A segment of a connection that isn't: as after a load. */
    out = (struct tcp_segment){port, 1236, 7, 9, ACK, NULL, 0};
    send_segment(&out);
    do
        in = next_segment();
    while (in.own_port != 1236);
    ck_assert(in.flags & RST);
    stop();
}
END_TEST

START_TEST(frames_wait_for_room)
{
    static const u8 nobody[6];
    start("");
    meet();
    card_room = 2;
    for (u32 n = 0; n < 300; n++)
        arp(1, nobody, HOST + n % 2);
    ck_assert_uint_eq(frames, 3);
    pass();
    ck_assert_uint_eq(frames, 3);
    card_room = 50;
    pass();
    ck_assert_uint_eq(frames, 53);
    for (u32 n = 0; n < 50; n++)
        ck_assert_uint_eq(get32(frame[3 + n].bytes + ETHERNET + 14), HOST + n % 2);
    stop();
}
END_TEST

START_TEST(strange_frames_do_no_harm)
{
    struct rng r = rng_make(1, 1);
    u8 p[1518];
    start("");
    meet();
    for (u32 n = 0; n < 20000; n++) {
        size_t size = 14 + rng_below(&r, n & 1 ? 100 : sizeof(p) - 14);
        for (size_t k = 0; k < size; k++)
            p[k] = (u8)rng_next(&r);
        ethernet(p, router, n % 7 == 0 ? 0x0806 : 0x0800);
        if (n % 3) {
            static const u8 protocols[] = {1, 6, 17};
            ip(p + ETHERNET, protocols[n % 3], GUEST, n % 5 ? HOST : HOST + 1, size & 0xfff);
            if (n % 4 == 0)
                p[ETHERNET + 14 + rng_below(&r, 6)] ^= 4;
        }
        send_frame(p, size);
        frames = read_frames = 0;
        card_room = FRAMES;
        if (n % 100 == 0)
            pass();
        frames = 0;
    }
    stop();
}
END_TEST

START_TEST(rules_are_judged)
{
    static const char *const bad[] = {
        "tcp",
        "tcp:",
        "tcp::1",
        "tcp::1-",
        "sctp::1-:2",
        "tcp::0-:22",
        "tcp::65536-:22",
        "tcp::1-:2x",
        "tcp::-:22",
        "tcp:1.2.3:1-:2",
        "tcp:a:1-b:2",
        "tcp::22-22",
        "tcp::1-:2,tcp::",
        "tcp::99999999999999999999999-:1",
    };
    static const char *const good[] = {"", "tcp::1-:2", "udp:0.0.0.0:65535-10.0.2.16:1",
                                       "tcp::1-:2,tcp::3-:4,udp::1-:2"};
    for (size_t n = 0; n < ARRAY_SIZE(bad); n++) {
        struct error err = {{0}};
        ck_assert_ptr_null(net_user_new(bad[n], &err));
        ck_assert_msg(strstr(err.text, "expected tcp:") != NULL, "%s: %s", bad[n], err.text);
    }
    for (size_t n = 0; n < ARRAY_SIZE(good); n++) {
        struct error err = {{0}};
        struct net_user *user = net_user_new(good[n], &err);
        ck_assert_msg(user != NULL, "%s: %s", good[n], err.text);
        /* It isn't started: frames are lost, and nothing is waited for. */
        struct net_backend backend = net_user_backend(user);
        struct outside_client client = net_user_client(user);
        struct outside_wait wait = {.ns = 7};
        backend.send(backend.opaque, everybody, 6);
        client.prepare(client.opaque, &wait);
        client.arrived(client.opaque, &wait);
        ck_assert(wait.ns == 7 && wait.fds == 0 && !client.live(client.opaque));
        net_user_free(user);
    }
}
END_TEST

SUITE_MAIN("net_user", &dhcp_gives_an_address, &a_connection_reaches_the_host,
           &a_forwarded_port_reaches_the_guest, &connections_break, &frames_wait_for_room,
           &strange_frames_do_no_harm, &rules_are_judged)
