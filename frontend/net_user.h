/* SPDX-License-Identifier: MIT */
/*
 * A network of the guest's own behind the host's sockets, by libslirp: 10.0.2.0/24 with a router at
 * 10.0.2.2 (the host itself, too), a name server at 10.0.2.3, and DHCP, which gives 10.0.2.15 first.
 * Its timers run by the machine's clock; all that it sends passes the input hub. IPv4 only.
 *
 * Its connections are the host's and no part of a saved machine: after a load, or a replay that goes on,
 * there are none, and whatever the guest sends on an old one is answered with a reset.
 */
#ifndef FRONTEND_NET_USER_H
#define FRONTEND_NET_USER_H

#include "base/clock.h"
#include "base/error.h"
#include "base/input.h"
#include "devices/net_backend.h"
#include "frontend/outside.h"

struct net_user;

/*
 * hostfwd: forwarded ports, separated by commas: "tcp:[ADDR]:PORT-[GUEST-ADDR]:PORT", or with udp; ADDR
 * left out: 127.0.0.1, and for the guest 10.0.2.15. "": none. Opens nothing yet.
 */
struct net_user *net_user_new(const char *hostfwd, struct error *err);
void net_user_free(struct net_user *net); /* NULL is allowed */

/* Where the card's frames go; before net_user_start() they are lost. */
struct net_backend net_user_backend(struct net_user *net);

/* The card. */
struct net_user_link {
    struct input_hub *hub;
    unsigned source;
    const struct clock *clock;
    unsigned (*room)(void *opaque); /* for how many frames; NULL: any number */
    void *room_opaque;
};

/* Opens forwarded ports. Not for a replay, which has no network. */
bool net_user_start(struct net_user *net, const struct net_user_link *link, struct error *err);

struct outside_client net_user_client(struct net_user *net);

#endif
