/* SPDX-License-Identifier: MIT */
#include "frontend/status.h"

#include <stdio.h>

#include "vmx/vmx.h"

static u64 instructions(const struct machine *m)
{
    u64 sum = 0;
    for (unsigned n = 0; n < m->group.count; n++)
        sum += m->group.cpu[n]->insns;
    return sum;
}

void status_look(struct status *status, const struct machine *m, u64 host_ns)
{
    u64 insns = instructions(m);
    /* A loaded machine may have fewer than the one before it. */
    if (status->host_ns && host_ns > status->host_ns && insns >= status->insns)
        status->mips = (double)(insns - status->insns) * 1000 / (double)(host_ns - status->host_ns);
    status->insns = insns;
    status->host_ns = host_ns;
}

static bool in_vmx(const struct cpu *cpu)
{
    return cpu->vmx && cpu->vmx->on;
}

static const char *level_name(const struct cpu *cpu)
{
    return cpu->nonroot ? "non-root" : in_vmx(cpu) ? "root" : "off";
}

static char level_letter(const struct cpu *cpu)
{
    return cpu->nonroot ? 'N' : in_vmx(cpu) ? 'R' : '-';
}

/* Thousands apart: 12 345 678. */
static void put_tick(u64 tick, char *text, size_t size)
{
    char digits[32];
    size_t used = 0;
    int count = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)tick);
    for (int n = 0; n < count && used + 2 < size; n++) {
        text[used++] = digits[n];
        if (n + 1 < count && (count - n - 1) % 3 == 0)
            text[used++] = ' ';
    }
    text[used] = 0;
}

void status_line(const struct status *status, const struct machine *m, char *text, size_t size)
{
    char tick[48], levels[68] = "";
    put_tick(m->clock.now, tick, sizeof(tick));
    for (unsigned n = 0; n < m->group.count && n + 1 < sizeof(levels); n++) {
        levels[n] = level_letter(m->group.cpu[n]);
        levels[n + 1] = 0;
    }
    snprintf(text, size, "%5.1f MIPS  %s  VMX %s", status->mips, tick,
             m->group.count == 1 ? level_name(m->group.cpu[0]) : levels);
}
