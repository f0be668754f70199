/* SPDX-License-Identifier: MIT */
/*
 * What a debugger above sees of the core. With group->probe NULL the core pays nothing but a test where
 * it is between two blocks; with a probe the guest still notices nothing: code is decoded into the
 * same blocks, translations are the same ones.
 *
 * The probe is asked at the places below. At those that say "may stop" it can answer that the machine is
 * to stop there: the run ends with STOP_DEBUG, nothing of what was about to happen having been
 * done. When the run goes on the probe is asked again, and must then let it pass. At the others
 * it can but remember something (answer true, and the block is left after the instruction), to stop at
 * PROBE_BOUNDARY.
 */
#ifndef CPU_PROBE_H
#define CPU_PROBE_H

#include "cpu/cpu.h"

enum probe_place {
    PROBE_FETCH,     /* may stop: an instruction that the probe has marked: lin, hpa[0] */
    PROBE_BOUNDARY,  /* may stop: the next instruction, interrupt or exit is about to come */
    PROBE_EXIT,      /* may stop: the VM exit recorded in cpu->exit */
    PROBE_EXCEPTION, /* may stop: the exception recorded in cpu->exc */
    PROBE_VMWRITE,   /* may stop: number: encoding; value */
    PROBE_ACCESS,    /* in a page that the TLB watches, or another: lin, hpa, size, first ... */
    PROBE_ENTRY,     /* a VM entry is done */
    PROBE_FAILED_ENTRY, /* number: the exit reason, with bit 31; the host's state is about to be loaded */
    PROBE_INTERRUPT /* number: vector of the external interrupt that was delivered */
};

struct probe_event {
    enum probe_place place;
    u64 tick; /* set by probe_ask(); PROBE_ACCESS: where the block began, or later */
    u64 rip;  /* set by probe_ask(): of the instruction under way, else the next one */
    u64 lin;
    u64 hpa[2];           /* of each page's part; ~0: unknown */
    unsigned size, first; /* bytes; of those in the first page */
    bool read, write;
    u32 number;
    u64 value;
};

struct cpu_probe {
    void *opaque;
    bool (*ask)(void *opaque, struct cpu *cpu, const struct probe_event *e);
    /*
     * Is the instruction at this place to be marked? Asked when code is decoded. Of lin only the bits in
     * lin_mask are known (in legacy modes the block may be used under another CS base).
     */
    bool (*marks)(void *opaque, u64 lin, u64 lin_mask, u64 hpa);
};

/*
 * To the group's probe, if there is one. True at a place that may stop: stop (group->stop is set); the
 * caller gets out. i: the record under way, NULL in the run loop.
 */
bool probe_ask(struct cpu *cpu, const struct insn *i, struct probe_event *e);

/* The same in the run loop, for a place that has no more to say. */
static inline bool probe_stops(struct cpu *cpu, enum probe_place place)
{
    if (likely(!cpu->group->probe))
        return false;
    struct probe_event e = {.place = place};
    return probe_ask(cpu, NULL, &e);
}

/* For the decoder: is the instruction of blk at rip to be marked? */
bool probe_marks(struct cpu *cpu, const struct block *blk, u64 off);

/*
 * Between two runs: sets the probe (NULL: none). code: what it marks has changed, so all decoded code
 * is dropped. watch: for the TLBs of all CPUs (NULL: none); must live as long as it is set.
 */
void probe_set(struct cpu_group *group, const struct cpu_probe *probe, bool code);
void probe_set_watch(struct cpu_group *group, const struct tlb_watch *watch);

#endif
