/* SPDX-License-Identifier: MIT */
/* A few CPUs on a bus with a megabyte of RAM, for tests of what hangs on a CPU. Nothing runs. */
#ifndef TESTS_CPU_MACHINE_H
#define TESTS_CPU_MACHINE_H

#include <check.h>

#include "base/clock.h"
#include "cpu/cpu.h"
#include "cpu/cpuid.h"
#include "cpu/lapic.h"
#include "cpu/msr.h"
#include "mmu/bus.h"

#define MACHINE_CPUS_MAX 8

struct machine {
    struct bus bus;
    struct clock clock;
    struct cpu_model model;
    struct cpu_group group;
    struct cpu *cpu[MACHINE_CPUS_MAX];
};

static inline void machine_init(struct machine *m, unsigned cpus, const char *changes)
{
    struct error err = {{0}};
    *m = (struct machine){.group = {.insn_limit = CLOCK_NEVER}};
    ck_assert_msg(bus_init(&m->bus, MIB, &err), "%s", err.text);
    ck_assert_msg(cpu_model_init(&m->model, NULL, changes, &err), "%s", err.text);
    clock_init(&m->clock, 1000000000);
    m->group.cpu = m->cpu;
    m->group.count = cpus;
    m->group.clock = &m->clock;
    m->group.bus = &m->bus;
    for (unsigned n = 0; n < cpus; n++)
        m->cpu[n] = cpu_new(&m->group, n, &m->model);
    lapic_map(&m->group);
}

static inline void machine_fini(struct machine *m)
{
    for (unsigned n = 0; n < m->group.count; n++)
        cpu_free(m->cpu[n]);
    clock_fini(&m->clock);
    bus_fini(&m->bus);
}

/* Lets time pass and events happen. */
static inline void machine_wait(struct machine *m, u64 ticks)
{
    u64 end = m->clock.now + ticks;
    while (m->clock.next <= end) {
        m->clock.now = MAX(m->clock.now, m->clock.next);
        clock_run(&m->clock);
    }
    m->clock.now = end;
}

#endif
