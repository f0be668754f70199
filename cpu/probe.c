/* SPDX-License-Identifier: MIT */
#include "cpu/probe.h"

#include "cpu/block.h"
#include "cpu/exec.h"
#include "cpu/op_block.h"

static u64 truncate_rip(const struct cpu *cpu, u64 rip)
{
    return cpu->mode & MODE_64 ? rip : (u32)rip;
}

bool probe_ask(struct cpu *cpu, const struct insn *i, struct probe_event *e)
{
    struct cpu_group *group = cpu->group;
    if (!group || !group->probe)
        return false;
    e->tick = cpu_now(cpu, i);
    e->rip = i ? truncate_rip(cpu, insn_rip(i)) : cpu->rip;
    if (!group->probe->ask(group->probe->opaque, cpu, e))
        return false;
    cpu->leave = true;
    if (e->place < PROBE_ACCESS && group->stop == STOP_NONE)
        group->stop = STOP_DEBUG;
    return true;
}

static u64 code_hpa(const struct block *blk, u64 off)
{
    return blk->host ? blk->pa + off : UINT64_MAX;
}

bool probe_marks(struct cpu *cpu, const struct block *blk, u64 off)
{
    const struct cpu_probe *probe = cpu->group->probe;
    if (likely(!probe))
        return false;
    u64 rip = blk->rip + off, hpa = code_hpa(blk, off);
    if (blk->mode & MODE_64)
        return probe->marks(probe->opaque, rip, UINT64_MAX, hpa);
    return probe->marks(probe->opaque, cpu->seg[SEG_CS].base + rip, ~PAGE_MASK, hpa);
}

void probe_set(struct cpu_group *group, const struct cpu_probe *probe, bool code)
{
    group->probe = probe;
    if (code)
        block_drop_all(group->blocks);
}

void probe_set_watch(struct cpu_group *group, const struct tlb_watch *watch)
{
    for (unsigned n = 0; n < group->count; n++)
        tlb_set_watch(&group->cpu[n]->tlb_store, watch);
}

/* ---- A marked instruction ---- */

static NOINLINE bool stops_at(struct cpu *cpu, const struct insn *i)
{
    u64 rip = insn_rip(i), base = cpu->mode & MODE_64 ? 0 : cpu->seg[SEG_CS].base;
    struct probe_event e = {.place = PROBE_FETCH, .lin = truncate_rip(cpu, base + rip)};
    e.hpa[0] = code_hpa(insn_block(i), i->off);
    return probe_ask(cpu, i, &e);
}

/* Before the instruction: as if the block ended here. */
static COLD const struct insn *leave_before(struct cpu *cpu, const struct insn *i)
{
    cpu->budget -= i->n;
    cpu->rip = truncate_rip(cpu, insn_rip(i));
    return NULL;
}

COLD HANDLER(op_probe)
{
    if (stops_at(cpu, i))
        return leave_before(cpu, i);
    return block_behind(i, BEHIND_PROBE)->fn(cpu, i);
}
