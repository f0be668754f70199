/* SPDX-License-Identifier: MIT */
/* The line below the window's picture: how fast the guest is and where its processors are. */
#ifndef FRONTEND_STATUS_H
#define FRONTEND_STATUS_H

#include "configs/machine.h"

/* Begin with {0}. */
struct status {
    u64 insns, host_ns; /* at the last look */
    double mips;        /* million instructions a second since the look before; 0 at first */
};

/* To be called a few times a second; host_ns is a clock that only goes on. */
void status_look(struct status *status, const struct machine *m, u64 host_ns);

/*
 * Writes the line: speed, tick, and each processor's level now: "root", "non-root", or "off" outside VMX
 * operation (several processors: R, N and -).
 */
void status_line(const struct status *status, const struct machine *m, char *text, size_t size);

#endif
