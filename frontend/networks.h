/* SPDX-License-Identifier: MIT */
/* The host's ends of the machine's network cards. */
#ifndef FRONTEND_NETWORKS_H
#define FRONTEND_NETWORKS_H

#include "configs/machine.h"
#include "configs/settings.h"
#include "frontend/net_user.h"

struct network {
    struct net_user *user;
    const struct pc *pc;
    unsigned card;
};

struct networks {
    struct network of[PC_NICS];
    unsigned count;
};

/* Before the machine is built: what its cards send goes to ends->nic[]. */
bool networks_open(struct networks *networks, const struct settings *set, struct machine_ends *ends,
                   struct error *err);
/* The machine is about to run, and not to repeat a recording. */
bool networks_start(struct networks *networks, struct machine *m, struct outside *outside,
                    struct error *err);
void networks_close(struct networks *networks);

#endif
