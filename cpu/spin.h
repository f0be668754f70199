/* SPDX-License-Identifier: MIT */
/*
 * Finding a processor that waits for another by reading memory over and over, without PAUSE: with
 * several processors on one host thread it would use up whole slices in vain.
 *
 * After SPIN_SAMPLE instructions of a slice a processor whose RIP and RSP have hardly moved is put
 * under watch: it runs one instruction at a time, every access by the slow path. Two equal ways round
 * a short loop that read the same places and change no memory are a spin; its slice ends. From then
 * on its slices begin under watch and end as soon as it is found spinning again. All of this depends
 * on architectural state and instruction counts alone, and ending a slice early is always right; so
 * neither determinism nor the guest is harmed where it is wrong.
 *
 * Where no other processor could make better use of the time there is no watch.
 */
#ifndef CPU_SPIN_H
#define CPU_SPIN_H

#include "base/snap.h"
#include "base/types.h"

struct cpu;

#define SPIN_SAMPLE 256

/* A place that was read or written, and what became of it. */
struct spin_watch {
    bool on;
    bool changed;   /* memory or a device is not as before */
    u8 rounds;      /* complete ways round the loop */
    u8 steps;       /* instructions since `rip` */
    u64 rip;        /* where it began */
    u64 seen, last; /* digests of the places read, this time round and the last */
    u8 last_steps;
    bool reads;
};

/* What is known of a processor from one slice to the next. */
struct spin_state {
    bool spinning;
    u8 rest;      /* slices to go without a sample, after one that was in vain */
    u64 rip, rsp; /* while spinning */
    struct spin_watch watch;
};

/* Begins the watch; the processor is to be stepped until it ends. */
void spin_watch_begin(struct cpu *cpu);
/* After a step under watch. Ends the watch, and the slice where it was a spin. */
void spin_watch_step(struct cpu *cpu);
/* At the end of a slice: ends a watch under way, and a spin that the processor has left. */
void spin_slice_end(struct cpu *cpu);

/* Have RIP and RSP hardly moved since they had these values? */
bool spin_nearby(const struct cpu *cpu, u64 rip, u64 rsp);

/* From cpu/mem.c, under watch only: [hpa, hpa + size) is read, or written. */
void spin_note_read(struct cpu *cpu, u64 hpa, unsigned size);
void spin_note_write(struct cpu *cpu, u64 hpa, bool changes);

void spin_snap(struct spin_state *spin, struct snap *s);

#endif
