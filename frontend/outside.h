/* SPDX-License-Identifier: MIT */
/*
 * A run's contact with the host. Clients (terminal, network, window, debugger) are asked at fixed ticks,
 * and while all processors are idle, whether something has arrived; what has goes through the input hub.
 * Idle time may pass as on the host.
 */
#ifndef FRONTEND_OUTSIDE_H
#define FRONTEND_OUTSIDE_H

#include <poll.h>

#include "configs/machine.h"

#define OUTSIDE_CLIENTS 16
#define OUTSIDE_FDS 256

/* What is waited for. */
struct outside_wait {
    struct pollfd fd[OUTSIDE_FDS];
    unsigned fds;
    u64 ns; /* host nanoseconds, at most */
};

/* Adds a file descriptor; its index in fd[], -1 if there is no room or fd is negative. */
int outside_watch(struct outside_wait *wait, int fd, short events);
/* Has something happened at this index (-1 is allowed)? */
bool outside_ready(const struct outside_wait *wait, int index);

struct outside_client {
    void *opaque;
    /* May input come some day? An idle machine then waits for it. */
    bool (*live)(void *opaque);
    /* Before a wait: says what to wait for, and how long at most. */
    void (*prepare)(void *opaque, struct outside_wait *wait);
    /* After it: takes in what has arrived, between two instructions, clock->now being exact. */
    void (*arrived)(void *opaque, const struct outside_wait *wait);
};

struct outside;

/* pace_host: idle time passes as on the host as long as there are live clients. */
struct outside *outside_new(struct machine *m, bool pace_host);
void outside_free(struct outside *o); /* NULL is allowed */
void outside_add(struct outside *o, const struct outside_client *client);

/* Before the machine runs, and around whatever looks at its clock's events (a save). */
void outside_start(struct outside *o);
void outside_stop(struct outside *o);

/* The machine stands: waits up to wait_ns for whatever comes, and takes it in. */
void outside_poll(struct outside *o, u64 wait_ns);

#endif
