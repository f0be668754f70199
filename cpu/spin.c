/* SPDX-License-Identifier: MIT */
#include "cpu/spin.h"

#include "cpu/cpu.h"

#define LOOP_BYTES 64 /* its code, about */
#define LOOP_STEPS 32 /* its instructions, at most */
#define ROUNDS 2      /* that must be equal */
#define REST 8        /* slices */

bool spin_nearby(const struct cpu *cpu, u64 rip, u64 rsp)
{
    return cpu->rip - rip + LOOP_BYTES < 2 * LOOP_BYTES &&
           cpu->gpr[RSP] - rsp + LOOP_BYTES < 2 * LOOP_BYTES;
}

static u64 digest(u64 so_far, u64 value)
{
    u64 v = (so_far ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return v ^ v >> 29;
}

void spin_note_read(struct cpu *cpu, u64 hpa, unsigned size)
{
    struct spin_watch *w = &cpu->spin.watch;
    w->reads = true;
    w->seen = digest(digest(w->seen, hpa), size);
}

void spin_note_write(struct cpu *cpu, u64 hpa, bool changes)
{
    struct spin_watch *w = &cpu->spin.watch;
    w->seen = digest(w->seen, ~hpa);
    w->changed |= changes;
}

/* Under watch nothing is found in the TLB: cpu_update_mode() chooses a context that stays empty. */
void spin_watch_begin(struct cpu *cpu)
{
    cpu->spin.watch = (struct spin_watch){.on = true, .rip = cpu->rip};
    cpu_update_mode(cpu);
}

static void watch_end(struct cpu *cpu, bool spinning)
{
    struct spin_state *spin = &cpu->spin;
    bool was_spinning = spin->spinning;
    spin->watch = (struct spin_watch){0};
    spin->spinning = spinning;
    if (spinning) {
        spin->rip = cpu->rip;
        spin->rsp = cpu->gpr[RSP];
        cpu->group->resched = true;
    } else if (!was_spinning) {
        spin->rest = REST;
    }
    cpu_update_mode(cpu);
}

void spin_watch_step(struct cpu *cpu)
{
    struct spin_watch *w = &cpu->spin.watch;
    w->steps++;
    if (w->changed || cpu->activity != ACTIVITY_RUN || w->steps > LOOP_STEPS) {
        watch_end(cpu, false);
        return;
    }
    if (cpu->rip != w->rip)
        return;
    bool same = w->reads && w->rounds && w->seen == w->last && w->steps == w->last_steps;
    if (same || w->rounds == ROUNDS) {
        watch_end(cpu, same);
        return;
    }
    w->rounds++;
    w->last = w->seen;
    w->last_steps = w->steps;
    w->seen = 0;
    w->steps = 0;
}

void spin_slice_end(struct cpu *cpu)
{
    struct spin_state *spin = &cpu->spin;
    if (spin->watch.on)
        watch_end(cpu, false);
    if (spin->spinning && !spin_nearby(cpu, spin->rip, spin->rsp))
        spin->spinning = false;
}

static void snap_watch(struct spin_watch *w, struct snap *s)
{
    u8 flags = (u8)(w->on | w->changed << 1 | w->reads << 2);
    SNAP(s, flags);
    w->on = flags & 1;
    w->changed = flags & 2;
    w->reads = flags & 4;
    SNAP(s, w->rounds);
    SNAP(s, w->steps);
    SNAP(s, w->last_steps);
    SNAP(s, w->rip);
    SNAP(s, w->seen);
    SNAP(s, w->last);
    snap_range(s, "rounds of a spin", w->rounds, 0, ROUNDS);
    snap_range(s, "steps of a spin", w->steps, 0, LOOP_STEPS);
}

void spin_snap(struct spin_state *spin, struct snap *s)
{
    u8 spinning = spin->spinning;
    SNAP(s, spinning);
    spin->spinning = spinning & 1;
    SNAP(s, spin->rest);
    SNAP(s, spin->rip);
    SNAP(s, spin->rsp);
    snap_watch(&spin->watch, s);
}
