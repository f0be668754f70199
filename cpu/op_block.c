/* SPDX-License-Identifier: MIT */
#include "cpu/op_block.h"

#include "cpu/block.h"

/* The instructions before it have run; it is none itself. */
static COLD HANDLER(block_end_leave)
{
    cpu->budget -= i->n;
    cpu->rip = i->imm;
    return NULL;
}

HANDLER(op_block_end)
{
    s64 left = cpu->budget - i->n;
    if (unlikely(left < 0))
        return block_end_leave(cpu, i);
    cpu->budget = left;
    GOTO((const struct insn *)(uintptr_t)i->disp);
}

/* Goes to cpu->rip, everything before it being charged. */
static COLD HANDLER(enter_rip)
{
    (void)i;
    if (cpu->leave)
        return NULL;
    u64 rip = cpu->rip;
    struct block *blk = block_find(cpu, rip, 0);
    if (!blk)
        return NULL; /* cpu->exc tells; cpu->rip is the target, where the fetch faults */
    if (cpu->leave)
        return NULL;
    if (block_linkable(blk) && !(blk->mode & MODE_SINGLE)) {
        struct jump_entry *je = tlb_jump_slot(cpu->ctx, rip);
        je->tag = rip ^ cpu->jump_key;
        je->block = blk;
    }
    GOTO(blk->code);
}

static COLD HANDLER(block_end_lookup)
{
    cpu->budget -= i->n;
    cpu->rip = i->imm;
    if (cpu->budget < 0)
        return NULL;
    return enter_rip(cpu, i);
}

HANDLER(op_block_end_xp)
{
    struct jump_entry *je = tlb_jump_slot(cpu->ctx, i->imm);
    s64 left = cpu->budget - i->n;
    if (unlikely(left < 0 || je->tag != (i->imm ^ cpu->jump_key)))
        return block_end_lookup(cpu, i);
    cpu->budget = left;
    GOTO(je->block->code);
}

COLD HANDLER(op_jump_slow)
{
    cpu->budget -= i->n + 1;
    if (cpu->budget < 0)
        return NULL;
    return enter_rip(cpu, i);
}

COLD HANDLER(op_link_slow)
{
    return insn_leave_at(cpu, i, i->imm);
}

COLD HANDLER(op_link_stub)
{
    u64 epoch = block_epoch(cpu->blocks), rip = i->imm;
    struct insn *branch = (struct insn *)(uintptr_t)i->disp;
    cpu->rip = rip;
    struct block *blk = block_find(cpu, rip, 0);
    if (!blk || cpu->leave)
        return NULL;
    if (epoch == block_epoch(cpu->blocks) && block_linkable(blk) && !(blk->mode & MODE_SINGLE))
        branch->disp = (uintptr_t)blk->code;
    GOTO(blk->code);
}

const struct insn *block_behind(const struct insn *i, enum block_behind what)
{
    const struct block *blk = insn_block(i);
    const struct insn *aux = &blk->code[blk->records - 1];
    while (aux->n != i->n || aux->off != what)
        aux--;
    return aux;
}

COLD HANDLER(op_relookup)
{
    cpu->rip = insn_block(i)->rip;
    return enter_rip(cpu, i);
}
