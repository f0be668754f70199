/* SPDX-License-Identifier: MIT */
#include "cpu/build.h"

#include <string.h>

#include "base/error.h"
#include "cpu/decode.h"
#include "cpu/op_fuse.h"
#include "cpu/op_block.h"
#include "cpu/probe.h"

/* A block under construction. */
struct build {
    struct cpu *cpu;
    struct block *blk;
    struct decoded dec[BLOCK_MAX_INSNS];
    unsigned count; /* instructions so far */
    unsigned bytes;
    unsigned page_offset;         /* of the block's first byte */
    bool marked[BLOCK_MAX_INSNS]; /* a debugger may stop before the instruction */
};

static bool is_direct(const struct decoded *d)
{
    return d->branch >= BR_JCC && d->branch <= BR_CALL;
}

static bool never_falls_through(const struct decoded *d)
{
    return d->ends || d->branch >= BR_JMP;
}

/* Decodes until something ends the block. False: not even one instruction fits into `in`. */
static bool decode_all(struct build *b, const struct build_input *in)
{
    u32 mode = b->blk->mode & ~(u32)MODE_SINGLE;
    do {
        struct decoded *d = &b->dec[b->count];
        unsigned avail = in->avail - b->bytes;
        if (!avail || decode_insn(in->bytes + b->bytes, avail, mode, b->blk->rip + b->bytes,
                                  b->cpu->model, d) == DECODE_MORE)
            return b->count > 0;
        d->insn.n = (u8)b->count;
        d->insn.off = (u8)b->bytes;
        b->marked[b->count] = probe_marks(b->cpu, b->blk, b->bytes);
        b->count++;
        b->bytes += INSN_LEN(&d->insn);
        if (never_falls_through(d) || in->single)
            return true;
    } while (b->count < BLOCK_MAX_INSNS && b->bytes <= BLOCK_MAX_BYTES - INSN_MAX_LEN);
    return true;
}

/*
 * Chooses the variant that computes no flags where the block overwrites them before anyone can see
 * them. Whatever may fault, exit, stop or leave the block sees all flags.
 */
static void drop_dead_flags(struct build *b)
{
    unsigned live = FS_ALL;
    for (unsigned k = b->count; k-- > 0;) {
        struct decoded *d = &b->dec[k];
        if (!(d->flags_written & live))
            d->insn.fn = d->fn_dead;
        live = (live & ~(unsigned)d->flags_written) | d->flags_read;
        if (d->memory || d->ends || d->branch != BR_NONE || d->exit != VMEXIT_NONE || b->marked[k])
            live = FS_ALL;
    }
}

static bool same_page(const struct build *b, u64 rip)
{
    return rip - b->blk->rip + b->page_offset < PAGE_SIZE;
}

/* Appends a stub that will find `rip` and patch record `from`; returns the new number of records. */
static unsigned add_stub(struct build *b, unsigned at, unsigned from, u64 rip)
{
    struct insn *stub = &b->blk->code[at];
    memset(stub, 0, sizeof(*stub));
    stub->fn = op_link_stub;
    stub->n = (u8)at;
    stub->imm = rip;
    stub->disp = (uintptr_t)&b->blk->code[from];
    b->blk->code[from].disp = (uintptr_t)stub;
    return at + 1;
}

static unsigned add_end(struct build *b, unsigned at)
{
    struct insn *end = &b->blk->code[at];
    u64 rip = b->blk->rip + b->bytes;
    memset(end, 0, sizeof(*end));
    end->n = (u8)at;
    end->off = (u8)b->bytes;
    end->imm = b->blk->mode & MODE_64 ? rip : (u32)rip;
    end->fn = same_page(b, end->imm) ? op_block_end : op_block_end_xp;
    return at + 1;
}

/* A producer of flags and the conditional jump behind it as one handler; both records stay. */
static void fuse_pairs(struct build *b)
{
    if (!(b->blk->mode & MODE_64) || (b->blk->mode & MODE_SINGLE))
        return;
    for (unsigned k = 0; k + 1 < b->count; k++) {
        const struct decoded *jcc = &b->dec[k + 1];
        if (jcc->branch != BR_JCC || b->marked[k] || b->marked[k + 1])
            continue;
        unsigned cc = jcc->row->opcode & 15;
        insn_fn *first = b->dec[k].insn.fn;
        insn_fn *fused = same_page(b, jcc->insn.imm) ? fuse_find(first, cc, false)
                                                     : fuse_find_xp(first, cc, false);
        if (fused)
            b->blk->code[k].fn = fused;
    }
}

/* Behind the stubs: what op_intercept executes in place of record k if nothing intercepts it. */
static unsigned add_intercept(struct build *b, unsigned at, unsigned k)
{
    struct insn *aux = &b->blk->code[at];
    memset(aux, 0, sizeof(*aux));
    aux->fn = b->blk->code[k].fn;
    aux->n = (u8)k;
    aux->imm = b->dec[k].exit;
    aux->disp = (uintptr_t)b->dec[k].row;
    aux->reg = b->dec[k].width;
    aux->rm = b->dec[k].form;
    b->blk->code[k].fn = op_intercept;
    return at + 1;
}

static unsigned add_probe(struct build *b, unsigned at, unsigned k)
{
    struct insn *aux = &b->blk->code[at];
    memset(aux, 0, sizeof(*aux));
    aux->fn = b->blk->code[k].fn;
    aux->n = (u8)k;
    aux->off = BEHIND_PROBE;
    b->blk->code[k].fn = op_probe;
    return at + 1;
}

static void lay_out(struct build *b)
{
    struct insn *code = b->blk->code;
    unsigned at = b->count;
    for (unsigned k = 0; k < b->count; k++)
        code[k] = b->dec[k].insn;
    if (!never_falls_through(&b->dec[b->count - 1]))
        at = add_end(b, at);
    unsigned records = at;
    for (unsigned k = 0; k < records; k++) {
        bool end = k >= b->count;
        if (end ? code[k].fn == op_block_end : is_direct(&b->dec[k]) && same_page(b, code[k].imm))
            at = add_stub(b, at, k, code[k].imm);
        else if (!end && is_direct(&b->dec[k]))
            code[k].fn = branch_cross_page(code[k].fn);
    }
    for (unsigned k = 0; k < b->count; k++)
        if (b->dec[k].exit != VMEXIT_NONE)
            at = add_intercept(b, at, k);
    for (unsigned k = 0; k < b->count; k++)
        if (b->marked[k])
            at = add_probe(b, at, k);
    b->blk->records = (u16)at;
    fuse_pairs(b);
}

bool build_block(struct cpu *cpu, struct block *blk, const struct build_input *in)
{
    struct build b;
    b.cpu = cpu;
    b.blk = blk;
    b.count = 0;
    b.bytes = 0;
    b.page_offset = (unsigned)(blk->pa & ~PAGE_MASK);
    if (!decode_all(&b, in))
        return false;
    drop_dead_flags(&b);
    blk->insns = (u16)b.count;
    blk->bytes = (u16)b.bytes;
    lay_out(&b);
    return true;
}
