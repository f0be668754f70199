/* SPDX-License-Identifier: MIT */
#include "frontend/stats.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "cpu/block.h"
#include "vmx/vmx.h"

static u64 clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (u64)t.tv_sec * UINT64_C(1000000000) + (u64)t.tv_nsec;
}

struct stats_host stats_now(void)
{
    return (struct stats_host){.wall_ns = clock_ns(CLOCK_MONOTONIC),
                               .cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID)};
}

static void put(FILE *f, const char *indent, const char *name, u64 value, const char *end)
{
    fprintf(f, "%s\"%s\": %llu%s\n", indent, name, (unsigned long long)value, end);
}

/* Entries, exits, and the exits by the reasons that occurred. */
static void put_vmx(FILE *f, const struct vmx *v)
{
    fprintf(f, "      \"vmx\": {\n");
    put(f, "        ", "entries", v->entries, ",");
    put(f, "        ", "exits", v->exits, ",");
    fprintf(f, "        \"exits_by_reason\": {");
    const char *separator = "\n";
    for (u32 reason = 0; reason < ARRAY_SIZE(v->exits_by_reason); reason++) {
        if (!v->exits_by_reason[reason])
            continue;
        fprintf(f, "%s          \"%s\": %llu", separator, vmx_reason_name(reason),
                (unsigned long long)v->exits_by_reason[reason]);
        separator = ",\n";
    }
    fprintf(f, "%s}\n      }\n", *separator == ',' ? "\n        " : "");
}

static void put_cpu(FILE *f, const struct cpu *cpu, const char *end)
{
    fprintf(f, "    {\n");
    put(f, "      ", "index", cpu->index, ",");
    put(f, "      ", "instructions", cpu->insns, ",");
    put(f, "      ", "exceptions", cpu->exceptions, ",");
    put(f, "      ", "interrupts", cpu->interrupts, ",");
    put(f, "      ", "slow_accesses", cpu->slow_accesses, ",");
    put(f, "      ", "block_lookups", cpu->lookups, ",");
    put(f, "      ", "tlb_fills", cpu->tlb_store.fills, ",");
    put(f, "      ", "tlb_flushes", cpu->tlb_store.flushes, ",");
    put(f, "      ", "tlb_switches", cpu->tlb_store.switches, cpu->vmx ? "," : "");
    if (cpu->vmx)
        put_vmx(f, cpu->vmx);
    fprintf(f, "    }%s\n", end);
}

static const char *stop_name(int stop)
{
    static const char *const names[] = {[STOP_NONE] = "none",
                                        [STOP_LIMIT] = "limit",
                                        [STOP_POWEROFF] = "power-off",
                                        [STOP_RESET] = "reset",
                                        [STOP_DEBUG_EXIT] = "debug-exit",
                                        [STOP_TRIPLE_FAULT] = "triple-fault",
                                        [STOP_USER] = "user",
                                        [STOP_SAVE] = "save",
                                        [STOP_IDLE] = "idle",
                                        [STOP_PANIC] = "panic"};
    return stop >= 0 && (size_t)stop < ARRAY_SIZE(names) ? names[stop] : "unknown";
}

static void put_all(FILE *f, const struct machine *m, const struct stats_host *begin)
{
    struct stats_host now = stats_now();
    const struct block_stats *blocks = block_statistics(m->group.blocks);
    u64 insns = 0;
    for (unsigned n = 0; n < m->group.count; n++)
        insns += m->group.cpu[n]->insns;
    fprintf(f, "{\n");
    put(f, "  ", "instructions", insns, ",");
    put(f, "  ", "clock", m->clock.now, ",");
    put(f, "  ", "clock_at_begin", begin->ticks, ",");
    fprintf(f, "  \"stop\": \"%s\",\n", stop_name(m->group.stop));
    fprintf(f, "  \"host_seconds\": %.3f,\n", (double)(now.wall_ns - begin->wall_ns) / 1e9);
    fprintf(f, "  \"host_cpu_seconds\": %.3f,\n", (double)(now.cpu_ns - begin->cpu_ns) / 1e9);
    put(f, "  ", "page_walk_references", walk_references, ",");
    put(f, "  ", "blocks_decoded", blocks->decoded, ",");
    put(f, "  ", "instructions_decoded", blocks->insns, ",");
    put(f, "  ", "blocks_dropped", blocks->dropped, ",");
    put(f, "  ", "block_cache_flushes", blocks->flushes, ",");
    put(f, "  ", "unimplemented", unimplemented_count(), ",");
    fprintf(f, "  \"cpus\": [\n");
    for (unsigned n = 0; n < m->group.count; n++)
        put_cpu(f, m->group.cpu[n], n + 1 < m->group.count ? "," : "");
    fprintf(f, "  ]\n}\n");
}

bool stats_write(const char *path, const struct machine *m, const struct stats_host *begin,
                 struct error *err)
{
    if (!strcmp(path, "-")) {
        put_all(stdout, m, begin);
        return true;
    }
    FILE *f = fopen(path, "w");
    if (!f)
        return error_set(err, "--stats %s: %s", path, strerror(errno));
    put_all(f, m, begin);
    bool ok = !ferror(f);
    ok = !fclose(f) && ok;
    return ok || error_set(err, "--stats %s: %s", path, strerror(errno));
}
