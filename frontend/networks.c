/* SPDX-License-Identifier: MIT */
#include "frontend/networks.h"

#include "devices/pc.h"

static unsigned room(void *opaque)
{
    const struct network *network = opaque;
    return pc_nic_room(network->pc, network->card);
}

bool networks_open(struct networks *networks, const struct settings *set, struct machine_ends *ends,
                   struct error *err)
{
    for (unsigned n = 0; n < set->pc.virtio.nics; n++) {
        if (!set->hostfwd[n])
            continue;
        struct net_user *user = net_user_new(set->hostfwd[n], err);
        if (!user)
            return false;
        networks->of[networks->count++] = (struct network){.user = user, .card = n};
        ends->nic[n] = net_user_backend(user);
    }
    return true;
}

bool networks_start(struct networks *networks, struct machine *m, struct outside *outside,
                    struct error *err)
{
    for (unsigned n = 0; n < networks->count; n++) {
        struct network *network = &networks->of[n];
        network->pc = m->pc;
        const struct outside_client client = net_user_client(network->user);
        const struct net_user_link link = {
            .hub = m->input,
            .source = pc_nic_source(m->pc, network->card),
            .clock = &m->clock,
            .room = room,
            .room_opaque = network,
        };
        if (!net_user_start(network->user, &link, err))
            return false;
        outside_add(outside, &client);
    }
    return true;
}

void networks_close(struct networks *networks)
{
    for (unsigned n = 0; n < networks->count; n++)
        net_user_free(networks->of[n].user);
    networks->count = 0;
}
