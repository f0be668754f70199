/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/state.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cpu/msr.h"

static u64 mix(u64 hash, u64 v)
{
    hash = (hash ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

static u64 memory_hash(const u8 *p, u64 size)
{
    u64 hash = 0;
    for (u64 at = 0; at < size; at += 8) {
        u64 v;
        memcpy(&v, p + at, 8);
        hash = mix(hash, v);
    }
    return hash;
}

static void add(struct state *s, const char *name, unsigned index, u64 value)
{
    ASSERT(s->count < STATE_VALUES);
    s->row[s->count].name = name;
    s->row[s->count].index = index;
    s->row[s->count++].value = value;
}

static void add_integer(const struct cpu *cpu, struct state *s)
{
    for (unsigned k = 0; k < 16; k++)
        add(s, "gpr", k, cpu->gpr[k]);
    add(s, "rip", 0, cpu->rip);
    add(s, "rflags", 0, cpu_eflags(cpu));
    for (unsigned k = 0; k < SEG_COUNT; k++) {
        add(s, "selector", k, cpu->seg[k].selector);
        add(s, "segment base", k, cpu->seg[k].base);
        add(s, "segment limit", k, cpu->seg[k].limit);
        add(s, "segment attributes", k, cpu->seg[k].attr);
    }
}

static void add_control(const struct cpu *cpu, struct state *s)
{
    add(s, "cr0", 0, cpu->cr0);
    add(s, "cr2", 0, cpu->cr2);
    add(s, "cr3", 0, cpu->cr3);
    add(s, "cr4", 0, cpu->cr4);
    add(s, "cr8", 0, cpu->cr8);
    add(s, "xcr0", 0, cpu->xcr0);
    add(s, "pkru", 0, cpu->pkru);
    add(s, "efer", 0, cpu->efer);
    for (unsigned k = 0; k < 8; k++)
        add(s, "dr", k, cpu->dr[k]);
    add(s, "gdtr", 0, cpu->gdtr.base ^ (u64)cpu->gdtr.limit << 48);
    add(s, "idtr", 0, cpu->idtr.base ^ (u64)cpu->idtr.limit << 48);
    add(s, "mode", 0, cpu->mode);
    u64 msrs = 0;
    for (unsigned k = 0; k < MSR_SLOTS; k++)
        msrs = mix(msrs, cpu->msr[k]);
    add(s, "MSRs", 0, msrs);
}

static void add_fpu(const struct cpu *cpu, struct state *s)
{
    for (unsigned k = 0; k < 16; k++) {
        add(s, "xmm low", k, cpu->xmm[k].q[0]);
        add(s, "xmm high", k, cpu->xmm[k].q[1]);
    }
    add(s, "mxcsr", 0, cpu->mxcsr);
    for (unsigned k = 0; k < 8; k++) {
        add(s, "significand", k, cpu->st[k].mant);
        add(s, "exponent", k, cpu->st[k].se);
    }
    add(s, "fcw", 0, cpu->fcw);
    add(s, "fsw", 0, cpu->fsw);
    add(s, "empty", 0, cpu->ftw_empty);
    add(s, "fop", 0, cpu->fop);
    add(s, "fip", 0, cpu->fip);
    add(s, "fdp", 0, cpu->fdp);
    add(s, "fcs", 0, cpu->fcs);
    add(s, "fds", 0, cpu->fds);
}

static void add_events(const struct guest *g, struct state *s)
{
    const struct cpu *cpu = g->cpu;
    add(s, "tick", 0, g->m->clock.now);
    add(s, "next event", 0, g->m->clock.next);
    add(s, "instructions", 0, cpu->insns);
    add(s, "exceptions", 0, cpu->exceptions);
    add(s, "interrupts", 0, cpu->interrupts);
    add(s, "activity", 0, cpu->activity);
    add(s, "pending", 0, cpu->pending);
    add(s, "shadow", 0, cpu->irq_shadow);
    add(s, "MOV SS shadow", 0, cpu->mov_ss_shadow);
    add(s, "debug hits", 0, cpu->debug_hits);
    add(s, "NMI blocked", 0, cpu->nmi_blocked);
    add(s, "stop", 0, (u64)g->m->group.stop);
}

void state_take(const struct guest *g, struct state *s)
{
    s->count = 0;
    add_integer(g->cpu, s);
    add_control(g->cpu, s);
    add_fpu(g->cpu, s);
    add_events(g, s);
    add(s, "memory", 0, memory_hash(g->m->bus.ram.host, GUEST_RAM));
}

int state_differ(const struct state *a, const struct state *b)
{
    for (unsigned k = 0; k < a->count; k++)
        if (a->row[k].value != b->row[k].value)
            return (int)k;
    return -1;
}

void state_print(const struct state *a, const struct state *b)
{
    for (unsigned k = 0; k < a->count; k++)
        if (a->row[k].value != b->row[k].value)
            printf("    %s[%u]: %llx, not %llx\n", a->row[k].name, a->row[k].index,
                   (unsigned long long)b->row[k].value, (unsigned long long)a->row[k].value);
}

u64 state_hash(const struct state *s)
{
    u64 hash = s->count;
    for (unsigned k = 0; k < s->count; k++)
        hash = mix(hash, s->row[k].value);
    return hash;
}
