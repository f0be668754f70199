/* SPDX-License-Identifier: MIT */
/*
 * The run loop. Everything that is not the straight execution of instructions happens here, between
 * two of them: events of the clock, interrupts, faults on their way to the guest, single steps.
 *
 * Time: clock->now is right in the run loop and whenever a device is reached. Inside a chunk of
 * execution the tick of an instruction is time_base - budget + n (cpu_now()). A chunk ends exactly
 * at the tick it was given: blocks run as long as any block fits into what is left, the rest is run
 * one instruction at a time.
 */
#include "cpu/run.h"

#include "base/error.h"
#include "cpu/block.h"
#include "cpu/debug.h"
#include "cpu/exec.h"
#include "cpu/insn_log.h"
#include "cpu/lapic.h"
#include "cpu/probe.h"
#include "cpu/smm.h"

/* Instructions a CPU runs before the next one has its turn, with several CPUs. */
#define QUANTUM 5000

u64 cpu_now(const struct cpu *cpu, const struct insn *i)
{
    return i ? cpu->time_base - (u64)cpu->budget + i->n : cpu->clock->now;
}

/* ---- Ways out of a block ---- */

static u64 truncate_rip(const struct cpu *cpu, u64 rip)
{
    return cpu->mode & MODE_64 ? rip : (u32)rip;
}

const struct insn *insn_leave_at(struct cpu *cpu, const struct insn *i, u64 rip)
{
    cpu->budget -= i->n + 1;
    cpu->rip = rip;
    return NULL;
}

/* The mode may have changed by now, but only by an instruction that sets RIP by itself or stays put. */
const struct insn *insn_leave(struct cpu *cpu, const struct insn *i)
{
    return insn_leave_at(cpu, i, truncate_rip(cpu, insn_next_rip(i)));
}

const struct insn *insn_fault(struct cpu *cpu, const struct insn *i)
{
    cpu->budget -= i->n;
    cpu->rip = truncate_rip(cpu, insn_rip(i));
    cpu->exc.insn_len = cpu->exit.insn_len = INSN_LEN(i);
    return NULL;
}

/* ---- Pending events ---- */

/*
 * The running CPU comes to the run loop after this instruction, for another's event too: its slice must not
 * end where the chunk happens to, which is at the next event of the clock, a look at the host among them.
 */
void cpu_raise_pending(struct cpu *cpu, u32 pend)
{
    struct cpu *running = cpu->group->running;
    cpu->pending |= pend;
    if (running != cpu)
        cpu->group->resched = true;
    if (running)
        running->leave = true;
}

void cpu_clear_pending(struct cpu *cpu, u32 pend)
{
    cpu->pending &= ~pend;
}

static bool interrupts_enabled(const struct cpu *cpu)
{
    return cpu->eflags & FLAG_IF || unlikely(cpu->virt_exits & VIRT_INTR);
}

static bool nmis_enabled(const struct cpu *cpu)
{
    return !cpu->nmi_blocked || unlikely(cpu->virt_exits & VIRT_VNMI);
}

/*
 * A delivery takes no time, but for one straight after another: neither a handler whose first
 * instruction faults nor a line that interrupts each handler at its start may stop the clock.
 */
static void count_delivery(struct cpu *cpu)
{
    struct clock *clock = cpu->clock;
    if (cpu->delivered_at == clock->now)
        clock->now++;
    cpu->delivered_at = clock->now;
}

static void take_sipi(struct cpu *cpu)
{
    cpu_clear_pending(cpu, PEND_SIPI);
    if (cpu->virt && cpu->virt->sipi(cpu, lapic_sipi_vector(cpu->lapic)))
        return;
    if (cpu->activity != ACTIVITY_WAIT_SIPI)
        return;
    u8 vector = lapic_sipi_vector(cpu->lapic);
    cpu->activity = ACTIVITY_RUN;
    cpu->seg[SEG_CS].selector = (u16)(vector << 8);
    cpu->seg[SEG_CS].base = (u64)vector << 12;
    cpu->rip = 0;
    cpu_update_mode(cpu);
}

static void take_init(struct cpu *cpu)
{
    cpu_clear_pending(cpu, PEND_INIT);
    if (cpu->virt && cpu->virt->init(cpu))
        return;
    cpu_reset(cpu, true);
    cpu->activity = lapic_is_bsp(cpu->lapic) ? ACTIVITY_RUN : ACTIVITY_WAIT_SIPI;
}

int cpu_ack_interrupt(struct cpu *cpu)
{
    int vector = lapic_ack(cpu->lapic);
    if (vector < 0 && cpu->group->extint_ack)
        vector = cpu->group->extint_ack(cpu->group->extint_opaque);
    return vector;
}

static void take_interrupt(struct cpu *cpu)
{
    if (cpu->nonroot && cpu->virt->event(cpu, INTR_EXTERNAL, NULL))
        return;
    int vector = cpu_ack_interrupt(cpu);
    if (vector < 0)
        return;
    cpu->interrupts++;
    cpu->activity = ACTIVITY_RUN;
    count_delivery(cpu);
    struct probe_event e = {.place = PROBE_INTERRUPT, .number = (u32)vector};
    if (cpu_deliver(cpu, EVENT_EXTERNAL, (u8)vector, false, 0))
        probe_ask(cpu, NULL, &e);
}

static void take_nmi(struct cpu *cpu)
{
    cpu_clear_pending(cpu, PEND_NMI);
    if (cpu->nonroot && cpu->virt->event(cpu, INTR_NMI, NULL))
        return;
    cpu->activity = ACTIVITY_RUN;
    cpu->nmi_blocked = true;
    count_delivery(cpu);
    cpu_deliver(cpu, EVENT_NMI, EXC_NMI, false, 0);
}

static void finish_exception(struct cpu *cpu)
{
    count_delivery(cpu);
    cpu_deliver_exception(cpu);
}

/* Before the traps of the instruction that is done; a fault is delivered first. */
static bool take_smi(struct cpu *cpu)
{
    if (likely(!(cpu->pending & PEND_SMI)) || cpu->exc.pending || !smm_open(cpu))
        return false;
    smm_enter(cpu);
    return true;
}

/* INIT waits for the end of SMM and of VMX root operation. */
static bool init_open(const struct cpu *cpu)
{
    return (cpu->pending & PEND_INIT) && !cpu->smm && !(cpu->virt && cpu->virt->init_blocked(cpu));
}

static bool sipi_open(const struct cpu *cpu)
{
    return (cpu->pending & PEND_SIPI) && !cpu->smm;
}

/* SDM "Priority Among Concurrent Events": one event, the foremost. True if one was taken. */
static bool take_event(struct cpu *cpu)
{
    if (init_open(cpu))
        return take_init(cpu), true;
    if (sipi_open(cpu))
        return take_sipi(cpu), true;
    if (cpu->activity == ACTIVITY_WAIT_SIPI || cpu->activity == ACTIVITY_SHUTDOWN)
        return false;
    if ((cpu->pending & PEND_NMI) && nmis_enabled(cpu) && !cpu->irq_shadow)
        return take_nmi(cpu), true;
    if ((cpu->pending & PEND_INTR) && interrupts_enabled(cpu) && !cpu->irq_shadow)
        return take_interrupt(cpu), true;
    return false;
}

/* SDM "MWAIT": a store to the monitored line, an event, or with ECX[0] a masked interrupt too. */
static bool mwait_ends(const struct cpu *cpu)
{
    bool interrupt = (cpu->pending & PEND_INTR) && (cpu->mwait_masked || interrupts_enabled(cpu));
    return interrupt || ((cpu->pending & PEND_NMI) && nmis_enabled(cpu)) || cpu_monitor_hit(cpu);
}

static void wake_mwait(struct cpu *cpu)
{
    cpu->activity = ACTIVITY_RUN;
    cpu->monitor_hpa = UINT64_MAX;
}

/* ---- Execution ---- */

static void enter_block(struct cpu *cpu, const struct block *blk)
{
    const struct insn *i = blk->code;
#if TESTUDO_DISPATCH_TAIL
    i->fn(cpu, i);
#else
    while (i)
        i = i->fn(cpu, i);
#endif
}

/* Runs `count` instructions (exactly one if `single`), or fewer if something wants the run loop. */
static void run_chunk(struct cpu *cpu, u64 count, bool single)
{
    u64 start = cpu->clock->now;
    cpu->budget = single ? 1 - BLOCK_MAX_INSNS : (s64)(count - BLOCK_MAX_INSNS);
    cpu->time_base = start + (u64)cpu->budget;
    cpu->leave = false;
    cpu->jump_key = cpu->ctx->jump_gen;
#ifdef TESTUDO_TORTURE
    block_drop_all(cpu->blocks);
    cpu->leave = false;
#endif
    struct block *blk = block_find(cpu, cpu->rip, single ? MODE_SINGLE : 0);
    if (blk) {
        cpu->leave = false; /* block_find may have dropped all code, which is no matter here */
        enter_block(cpu, blk);
    }
    cpu->clock->now = cpu->time_base - (u64)cpu->budget;
    cpu->insns += cpu->clock->now - start;
}

/* One instruction with everything that can hang on a single one: shadows, TF, RF, breakpoints. */
static void step(struct cpu *cpu)
{
    bool mov_ss = cpu->mov_ss_shadow, tf = cpu->eflags & FLAG_TF, rf = cpu->eflags & FLAG_RF;
    bool nonroot = cpu->nonroot, smm = cpu->smm, shadow = cpu->irq_shadow;
    cpu->irq_shadow = cpu->mov_ss_shadow = cpu->no_step = false;
    if (!rf && !mov_ss && debug_fetch_hits(cpu))
        return;
    u64 before = cpu->clock->now;
    if (log_on(LOG_INSN) && before >= log_from)
        insn_log(cpu);
    cpu->after_mov_ss = mov_ss;
    run_chunk(cpu, 1, true);
    cpu->after_mov_ss = false;
    bool stopped = cpu->clock->now == before && cpu->group->stop == STOP_DEBUG;
    /* A VM exit saves them; a debugger's stop has them still before it. */
    if ((nonroot && (cpu->exit.pending || cpu->exc.pending)) || stopped) {
        cpu->irq_shadow = shadow;
        cpu->mov_ss_shadow = mov_ss;
    }
    /* After a VM entry or RSM the flags are another's. */
    if (cpu->exc.pending || cpu->exit.pending || cpu->clock->now == before ||
        cpu->nonroot != nonroot || cpu->smm != smm)
        return;
    if (rf)
        cpu->eflags &= ~FLAG_RF;
    if (tf && !cpu->no_step)
        cpu->debug_hits |= BIT(14); /* DR6.BS */
}

static bool must_step(const struct cpu *cpu, u64 count)
{
    return count < BLOCK_MAX_INSNS || cpu->irq_shadow || cpu->virt_step || cpu->probe_step ||
           (cpu->eflags & (FLAG_TF | FLAG_RF)) || debug_fetch_armed(cpu) ||
           (log_on(LOG_INSN) && cpu->clock->now >= log_from);
}

/* Exits that waited for this boundary between two instructions. */
static bool boundary_exit(struct cpu *cpu, enum virt_boundary which)
{
    return unlikely(cpu->virt_attention) && cpu->virt->boundary(cpu, which, true);
}

static bool wakes_for_exit(struct cpu *cpu)
{
    return cpu->exit.pending ||
           (cpu->virt_attention && (cpu->virt->boundary(cpu, BOUNDARY_TRAP, false) ||
                                    cpu->virt->boundary(cpu, BOUNDARY_EVENT, false)));
}

static void step_watched(struct cpu *cpu)
{
    step(cpu);
    if (cpu->spin.watch.on)
        spin_watch_step(cpu);
}

/* Devices' transfers are nobody's in SMM. */
static void run_clock_events(struct cpu *cpu)
{
    ram_smm_view(&cpu->bus->ram, false);
    clock_run(cpu->clock);
    ram_smm_view(&cpu->bus->ram, cpu->smm);
}

static void run_until(struct cpu *cpu, u64 end)
{
    struct clock *clock = cpu->clock;
    struct cpu_group *group = cpu->group;
    while (!group->stop && !group->resched) {
        if (clock->now >= clock->next)
            run_clock_events(cpu);
        if (!cpu->exit.pending && take_smi(cpu))
            continue;
        if (unlikely(cpu->exit.pending) ||
            (!cpu->exc.pending && boundary_exit(cpu, BOUNDARY_TRAP))) {
            if (!probe_stops(cpu, PROBE_EXIT))
                cpu->virt->take_exit(cpu);
            continue;
        }
        if (cpu->debug_hits && !cpu->mov_ss_shadow)
            debug_trap(cpu);
        if (unlikely(cpu->exc.pending)) {
            if (!probe_stops(cpu, PROBE_EXCEPTION))
                finish_exception(cpu);
            continue;
        }
        if (probe_stops(cpu, PROBE_BOUNDARY))
            return;
        if (clock->now >= end || group->stop)
            return;
        if (cpu->activity == ACTIVITY_MWAIT && mwait_ends(cpu))
            wake_mwait(cpu);
        if (boundary_exit(cpu, BOUNDARY_EVENT))
            continue;
        if (cpu->pending && take_event(cpu))
            continue;
        if (cpu->activity != ACTIVITY_RUN)
            return;
        u64 count = MIN(end, clock->next) - clock->now;
        if (log_on(LOG_INSN) && clock->now < log_from)
            count = MIN(count, log_from - clock->now);
        if (unlikely(cpu->spin.watch.on))
            step_watched(cpu);
        else if (unlikely(must_step(cpu, count)))
            step(cpu);
        else
            run_chunk(cpu, count, false);
    }
}

/* Can this CPU do anything now? */
static bool runnable(struct cpu *cpu)
{
    if (cpu->activity == ACTIVITY_RUN || init_open(cpu) || sipi_open(cpu) ||
        unlikely(wakes_for_exit(cpu)) || ((cpu->pending & PEND_SMI) && smm_open(cpu)))
        return true;
    if (cpu->activity == ACTIVITY_WAIT_SIPI || cpu->activity == ACTIVITY_SHUTDOWN)
        return false;
    if (cpu->activity == ACTIVITY_MWAIT)
        return mwait_ends(cpu);
    return ((cpu->pending & PEND_INTR) && interrupts_enabled(cpu)) ||
           ((cpu->pending & PEND_NMI) && nmis_enabled(cpu));
}

static void skip_idle(struct cpu_group *group)
{
    struct clock *clock = group->clock;
    u64 when = MIN(clock->next, group->insn_limit);
    if (group->idle)
        group->idle(group->idle_opaque, when);
    else if (when == CLOCK_NEVER)
        group->stop = STOP_IDLE;                /* nothing will ever happen again */
    when = MIN(clock->next, group->insn_limit); /* something may have come meanwhile */
    if (group->stop || when == CLOCK_NEVER)
        return;
    clock->now = MAX(clock->now, when);
    clock_run(clock);
}

static struct cpu *next_runnable(const struct cpu_group *group, unsigned *at)
{
    for (unsigned n = 0; n < group->count; n++) {
        unsigned k = (*at + n) % group->count;
        if (group->alone && group->alone != group->cpu[k])
            continue;
        if (runnable(group->cpu[k])) {
            *at = k;
            return group->cpu[k];
        }
    }
    return NULL;
}

/* ---- Slices of several CPUs ---- */

/* What the other CPUs could do with the time. */
enum others {
    OTHERS_SLEEP, /* nothing, until cpu_raise_pending() wakes one */
    OTHERS_WATCH, /* nothing, but a store may wake one from MWAIT */
    OTHERS_SPIN,
    OTHERS_WORK
};

static enum others others_of(const struct cpu *cpu)
{
    const struct cpu_group *group = cpu->group;
    enum others most = OTHERS_SLEEP;
    for (unsigned n = 0; n < group->count && most != OTHERS_WORK; n++) {
        struct cpu *other = group->cpu[n];
        enum others what = OTHERS_SLEEP;
        if (other == cpu)
            continue;
        if (runnable(other))
            what = other->spin.spinning ? OTHERS_SPIN : OTHERS_WORK;
        else if (other->activity == ACTIVITY_MWAIT)
            what = OTHERS_WATCH;
        most = MAX(most, what);
    }
    return most;
}

/* A slice begins: how long it may be, and whether the CPU is looked at for a spin (cpu/spin.h). */
static void begin_slice(struct cpu *cpu)
{
    struct cpu_slice *slice = &cpu->group->slice;
    struct spin_state *spin = &cpu->spin;
    u64 now = cpu->clock->now;
    bool several = cpu->group->count > 1 && !cpu->group->alone;
    enum others others = several ? others_of(cpu) : OTHERS_SLEEP;
    *slice = (struct cpu_slice){.end = others == OTHERS_SLEEP ? CLOCK_NEVER : now + QUANTUM};
    if (others != OTHERS_WORK)
        return;
    if (spin->spinning) {
        spin_watch_begin(cpu);
    } else if (spin->rest) {
        spin->rest--;
    } else {
        slice->sample_end = now + SPIN_SAMPLE;
        slice->rip = cpu->rip;
        slice->rsp = cpu->gpr[RSP];
    }
}

/* Runs the slice to its end, or to a stop in it, after which the debugger may have it go on. */
static void run_slice(struct cpu *cpu)
{
    struct cpu_group *group = cpu->group;
    struct cpu_slice *slice = &group->slice;
    if (slice->sample_end) {
        run_until(cpu, MIN(slice->sample_end, group->insn_limit));
        if (group->stop || group->resched || cpu->clock->now < slice->sample_end)
            return;
        slice->sample_end = 0;
        if (spin_nearby(cpu, slice->rip, slice->rsp))
            spin_watch_begin(cpu);
    }
    run_until(cpu, MIN(slice->end, group->insn_limit));
}

/* A stop in the middle, by the debugger or at the limit: nothing is to come of it. */
static bool slice_goes_on(const struct cpu *cpu)
{
    const struct cpu_group *group = cpu->group;
    u64 now = cpu->clock->now;
    if (group->resched)
        return false;
    if (group->stop)
        return group->stop == STOP_DEBUG;
    return now >= group->insn_limit && now < group->slice.end;
}

static void end_slice(struct cpu *cpu)
{
    struct cpu_group *group = cpu->group;
    spin_slice_end(cpu);
    group->slice.end = 0;
    group->turn = (group->turn + 1) % group->count;
}

void cpu_group_run(struct cpu_group *group)
{
    struct clock *clock = group->clock;
    while (!group->stop) {
        if (clock->now >= group->insn_limit) {
            group->stop = STOP_LIMIT;
            break;
        }
        bool goes_on = group->slice.end && !group->resched;
        struct cpu *cpu = goes_on ? group->cpu[group->turn] : next_runnable(group, &group->turn);
        if (!cpu) {
            skip_idle(group);
            continue;
        }
        group->running = cpu;
        group->resched = false;
        ram_smm_view(&group->bus->ram, cpu->smm);
        if (!goes_on)
            begin_slice(cpu);
        run_slice(cpu);
        group->running = NULL;
        ram_smm_view(&group->bus->ram, false);
        if (!slice_goes_on(cpu))
            end_slice(cpu);
    }
}
