/* SPDX-License-Identifier: MIT */
/* Messages between local APICs, from the I/O APIC and from devices: who they are for, what they do. */
#include "cpu/lapic_state.h"

/* ---- Destinations (SDM "Determining IPI Destination") ---- */

static bool match_physical(const struct lapic *l, const struct lapic_msg *msg)
{
    if (msg->wide)
        return msg->dest == UINT32_MAX || msg->dest == l->id;
    return (msg->dest & 0xff) == 0xff || (msg->dest & 0xff) == l->id;
}

/* The logical x2APIC ID: cluster 31:16, one bit of 15:0. */
static bool match_logical_x2apic(const struct lapic *l, const struct lapic_msg *msg)
{
    u32 cluster = l->id >> 4, bit = BIT32(l->id & 15);
    if (!msg->wide)
        return (msg->dest & 0xff) == 0xff || (cluster == 0 && (msg->dest & 0xff & bit));
    return msg->dest == UINT32_MAX || (msg->dest >> 16 == cluster && (msg->dest & bit));
}

static bool match_logical_xapic(const struct lapic *l, const struct lapic_msg *msg)
{
    if (msg->wide && msg->dest > 0xff && msg->dest != UINT32_MAX)
        return false;
    u32 dest = msg->dest & 0xff, logical = l->ldr >> 24;
    switch (l->dfr >> 28) {
    case 0xf: /* flat */
        return dest & logical;
    case 0: /* cluster */
        return dest == 0xff || (dest >> 4 == logical >> 4 && (dest & logical & 0xf));
    default:
        return false;
    }
}

static bool match(const struct lapic *l, const struct lapic_msg *msg)
{
    if (!lapic_enabled(l))
        return false;
    if (!msg->logical)
        return match_physical(l, msg);
    return lapic_x2apic(l) ? match_logical_x2apic(l, msg) : match_logical_xapic(l, msg);
}

/* ---- Effects ---- */

/* A SIPI reaches a processor that waits for it or is about to, having been sent INIT. */
static void startup(struct lapic *l, u8 vector)
{
    const struct cpu *cpu = l->cpu;
    if (cpu->activity != ACTIVITY_WAIT_SIPI && !(cpu->pending & PEND_INIT))
        return;
    l->sipi_vector = vector;
    cpu_raise_pending(l->cpu, PEND_SIPI);
}

static void receive(struct lapic *l, const struct lapic_msg *msg)
{
    switch (msg->delivery) {
    case APIC_FIXED:
    case APIC_LOWEST:
        lapic_accept(l, msg->vector, msg->level);
        break;
    case APIC_SMI:
        cpu_raise_pending(l->cpu, PEND_SMI);
        break;
    case APIC_NMI:
        cpu_raise_pending(l->cpu, PEND_NMI);
        break;
    case APIC_INIT:
        if (msg->deassert)
            break;
        cpu_clear_pending(l->cpu, PEND_SIPI);
        cpu_raise_pending(l->cpu, PEND_INIT);
        break;
    case APIC_STARTUP:
        startup(l, msg->vector);
        break;
    case APIC_EXTINT:
        l->extint_msg = true;
        lapic_update(l);
        break;
    default: /* reserved */
        break;
    }
}

/* Of those that match, the one doing the least important work; the lowest index breaks ties. */
static bool deliver_lowest(struct cpu_group *group, const struct lapic_msg *msg)
{
    struct lapic *best = NULL;
    for (unsigned n = 0; n < group->count; n++) {
        struct lapic *l = group->cpu[n]->lapic;
        if (!match(l, msg) || !lapic_software_enabled(l))
            continue;
        if (!best || lapic_ppr(l) < lapic_ppr(best))
            best = l;
    }
    if (best)
        receive(best, msg);
    return best;
}

bool lapic_deliver(struct cpu_group *group, const struct lapic_msg *msg)
{
    bool any = false;
    if (msg->delivery == APIC_LOWEST)
        return deliver_lowest(group, msg);
    for (unsigned n = 0; n < group->count; n++) {
        struct lapic *l = group->cpu[n]->lapic;
        if (match(l, msg)) {
            receive(l, msg);
            any = true;
        }
    }
    return any;
}

void lapic_msi(struct cpu_group *group, u64 address, u32 data)
{
    struct lapic_msg msg = {.dest = (u32)BITS(address, 19, 12),
                            .logical = address & BIT(2),
                            .vector = (u8)data,
                            .delivery = (u8)BITS(data, 10, 8),
                            .level = data & BIT(15)};
    lapic_deliver(group, &msg);
}

/* ---- The interrupt command register ---- */

enum shorthand { TO_DEST, TO_SELF, TO_ALL, TO_OTHERS };

static void send_shorthand(struct lapic *l, const struct lapic_msg *msg, enum shorthand to)
{
    const struct cpu_group *group = l->cpu->group;
    for (unsigned n = 0; n < group->count; n++) {
        struct lapic *other = group->cpu[n]->lapic;
        bool self = other == l;
        if (lapic_enabled(other) && (to == TO_ALL || self == (to == TO_SELF)))
            receive(other, msg);
    }
}

void lapic_send(struct lapic *l, u32 low, u32 dest)
{
    enum shorthand to = (enum shorthand)BITS(low, 19, 18);
    struct lapic_msg msg = {.dest = dest,
                            .vector = (u8)low,
                            .delivery = (u8)BITS(low, 10, 8),
                            .logical = low & BIT32(11),
                            .wide = lapic_x2apic(l)};
    msg.deassert = msg.delivery == APIC_INIT && !(low & BIT32(14)) && (low & BIT32(15));
    if (log_on(LOG_APIC))
        log_msg(LOG_APIC, "CPU %u sends mode %u vector %#x to %#x, shorthand %u", l->cpu->index,
                msg.delivery, msg.vector, dest, to);
    if (msg.delivery <= APIC_LOWEST && msg.vector < 16) {
        lapic_error(l, ESR_SEND_ILLEGAL);
        return;
    }
    if (to == TO_DEST)
        lapic_deliver(l->cpu->group, &msg);
    else if (to != TO_SELF || msg.delivery == APIC_FIXED)
        send_shorthand(l, &msg, to);
}
