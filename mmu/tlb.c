/* SPDX-License-Identifier: MIT */
#include "mmu/tlb.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define GROUPS (TLB_ENTRIES / 64)
#define JUMP_GEN_STEP BIT(57)
#define EPTP_ROOT (MASK(52) & PAGE_MASK)

/* A multiplicative hash: the top `bits` bits of v times an odd constant. */
static unsigned hash(u64 v, unsigned bits)
{
    return (unsigned)(v * UINT64_C(0x9e3779b97f4a7c15) >> (64 - bits));
}

static unsigned key_hash(const struct tlb_key *key)
{
    u64 space = key->cr3 >> PAGE_SHIFT ^ key->eptp << 8;
    u64 tags = (u64)key->pcid << 32 ^ (u64)key->vpid << 48 ^ key->pkru;
    u64 view = (u64)key->view ^ (u64)key->mode << 4 ^ (u64)key->bits << 8;
    return hash(space ^ tags ^ view << 40, 6);
}
_Static_assert(TLB_RECENT == 64, "key_hash() gives 6 bits");

static u64 region_bit(u64 lin)
{
    return BIT(hash(lin >> 30, 6));
}

/* Place of a host page in a context's set of writable pages. */
static unsigned host_bit(u64 host)
{
    return hash(host >> PAGE_SHIFT, 10);
}

static void note_writable(struct tlb_ctx *ctx, u64 host)
{
    unsigned bit = host_bit(host);
    ctx->writable[bit / 64] |= BIT(bit % 64);
}

/* Empties one entry. */
static void clear_slot(struct tlb_ctx *ctx, size_t slot)
{
    u64 none = tlb_no_tag(slot);
    ctx->entry[slot] = (struct tlb_entry){.rtag = none, .wtag = none, .xtag = none};
    u64 keep = ~BIT(slot % 64);
    ctx->used[slot / 64] &= keep;
    ctx->global[slot / 64] &= keep;
    ctx->large[slot / 64] &= keep;
}

/* Empties the entries whose bits are set in one group's mask. */
static void clear_group(struct tlb_ctx *ctx, size_t group, u64 mask)
{
    while (mask) {
        size_t slot = group * 64 + (size_t)__builtin_ctzll(mask);
        mask &= mask - 1;
        clear_slot(ctx, slot);
    }
}

static void clear_entries(struct tlb_ctx *ctx, bool keep_global)
{
    u64 left = 0;
    for (size_t g = 0; g < GROUPS; g++) {
        clear_group(ctx, g, keep_global ? ctx->used[g] & ~ctx->global[g] : ctx->used[g]);
        left |= ctx->used[g];
    }
    if (left)
        return;
    ctx->large_regions = 0;
    memset(ctx->writable, 0, sizeof(ctx->writable));
}

static void jump_wipe(struct tlb_ctx *ctx)
{
    for (size_t slot = 0; slot < JUMP_ENTRIES; slot++)
        ctx->jump[slot] = (struct jump_entry){.tag = tlb_jump_no_tag(slot)};
}

/*
 * Linear addresses are canonical, so bits 63:57 repeat bit 56, and an entry made under another
 * generation differs from every address under this one. When the generations have gone round, the
 * entries are emptied for good.
 */
void tlb_jump_flush(struct tlb_ctx *ctx)
{
    ctx->jump_gen += JUMP_GEN_STEP;
    if (!ctx->jump_gen)
        jump_wipe(ctx);
}

/* The same, knowing that a context that wasn't in use since its last flush is still empty. */
static void jump_flush(const struct tlb *tlb, struct tlb_ctx *ctx)
{
    if (ctx->jump_clean == ctx->last_use)
        return;
    tlb_jump_flush(ctx);
    if (ctx->last_use != tlb->uses)
        ctx->jump_clean = ctx->last_use;
}

static void flush_ctx(struct tlb *tlb, struct tlb_ctx *ctx, bool keep_global)
{
    clear_entries(ctx, keep_global);
    jump_flush(tlb, ctx);
}

void tlb_init(struct tlb *tlb)
{
    *tlb = (struct tlb){0};
    tlb->ctx = xalloc_aligned(64, TLB_CONTEXTS * sizeof(*tlb->ctx));
    for (size_t k = 0; k < TLB_CONTEXTS; k++) {
        struct tlb_ctx *ctx = &tlb->ctx[k];
        for (size_t slot = 0; slot < TLB_ENTRIES; slot++)
            clear_slot(ctx, slot);
        jump_wipe(ctx);
        ctx->jump_gen = JUMP_GEN_STEP;
    }
}

void tlb_fini(struct tlb *tlb)
{
    free(tlb->ctx);
    *tlb = (struct tlb){0};
}

static bool holds(const struct tlb_ctx *ctx, const struct tlb_key *key)
{
    return ctx->valid && !memcmp(&ctx->key, key, sizeof(*key));
}

/* The context that holds key, else the one to give up for it: a new one, or longest not used. */
static struct tlb_ctx *search(struct tlb *tlb, const struct tlb_key *key)
{
    struct tlb_ctx *oldest = &tlb->ctx[0];
    for (size_t k = 0; k < tlb->count; k++) {
        struct tlb_ctx *ctx = &tlb->ctx[k];
        if (holds(ctx, key))
            return ctx;
        if (ctx->last_use < oldest->last_use)
            oldest = ctx;
    }
    return tlb->count < TLB_CONTEXTS ? &tlb->ctx[tlb->count++] : oldest;
}

struct tlb_ctx *tlb_find(struct tlb *tlb, const struct tlb_key *key)
{
    struct tlb_ctx **recent = &tlb->recent[key_hash(key)];
    struct tlb_ctx *ctx = *recent;
    tlb->switches++;
    if (!ctx || !holds(ctx, key)) {
        ctx = *recent = search(tlb, key);
        if (!holds(ctx, key)) {
            flush_ctx(tlb, ctx, false);
            ctx->key = *key;
            ctx->valid = true;
            ctx->bypass = false;
        }
    }
    ctx->last_use = ++tlb->uses;
    return ctx;
}

/* The page that a used entry's tag stands for: its bits that choose the slot may be anything. */
static u64 tag_page(u64 tag, size_t slot)
{
    u64 choosing = (u64)(TLB_ENTRIES - 1) << PAGE_SHIFT;
    return (tag & ~choosing) | (u64)slot << PAGE_SHIFT;
}

static u64 watched_tag(u64 tag, size_t slot, bool watched)
{
    if (tag == tlb_no_tag(slot))
        return tag;
    u64 page = tag_page(tag, slot);
    return watched ? page ^ TLB_WATCHED : page;
}

static void mark_watched(const struct tlb *tlb, struct tlb_entry *entry, size_t slot)
{
    u64 none = tlb_no_tag(slot), page = entry->rtag != none ? entry->rtag : entry->wtag;
    if (page == none)
        return;
    page = tag_page(page, slot);
    unsigned kinds = 0;
    if (tlb->watch)
        kinds = tlb->watch->kinds(tlb->watch->opaque, page,
                                  (const u8 *)(uintptr_t)(page + entry->addend));
    entry->rtag = watched_tag(entry->rtag, slot, kinds & TLB_WATCH_READ);
    entry->wtag = watched_tag(entry->wtag, slot, kinds & TLB_WATCH_WRITE);
}

void tlb_set_watch(struct tlb *tlb, const struct tlb_watch *watch)
{
    tlb->watch = watch;
    for (size_t k = 0; k < tlb->count; k++)
        for (size_t slot = 0; slot < TLB_ENTRIES; slot++)
            mark_watched(tlb, &tlb->ctx[k].entry[slot], slot);
}

void tlb_fill(struct tlb *tlb, struct tlb_ctx *ctx, const struct tlb_fill *fill)
{
    if (ctx->bypass)
        return;
    u64 page = fill->lin & PAGE_MASK;
    struct tlb_entry *entry = tlb_slot(ctx->entry, page);
    size_t slot = (size_t)(entry - ctx->entry);
    clear_slot(ctx, slot);
    if (!fill->read && !fill->write && !fill->exec)
        return;
    u64 none = tlb_no_tag(slot);
    entry->rtag = fill->read ? page : none;
    entry->wtag = fill->write ? page : none;
    entry->xtag = fill->exec ? page : none;
    entry->addend = (u64)(uintptr_t)fill->host - page;
    ctx->used[slot / 64] |= BIT(slot % 64);
    if (fill->global)
        ctx->global[slot / 64] |= BIT(slot % 64);
    if (fill->page_shift > PAGE_SHIFT) {
        ctx->large[slot / 64] |= BIT(slot % 64);
        ctx->large_regions |= region_bit(page);
    }
    if (fill->write)
        note_writable(ctx, (uintptr_t)fill->host);
    if (unlikely(tlb->watch))
        mark_watched(tlb, entry, slot);
    tlb->fills++;
}

/* The page that a used entry translates. */
static u64 entry_page(const struct tlb_entry *entry, size_t slot)
{
    u64 none = tlb_no_tag(slot), tag = entry->rtag;
    if (tag == none)
        tag = entry->xtag != none ? entry->xtag : entry->wtag;
    return tag_page(tag, slot);
}

void tlb_flush_all(struct tlb *tlb)
{
    tlb->flushes++;
    for (size_t k = 0; k < tlb->count; k++)
        flush_ctx(tlb, &tlb->ctx[k], false);
}

void tlb_flush_space(struct tlb *tlb, u16 vpid, int pcid, bool keep_global)
{
    tlb->flushes++;
    for (size_t k = 0; k < tlb->count; k++) {
        struct tlb_ctx *ctx = &tlb->ctx[k];
        if (ctx->key.vpid == vpid && (pcid < 0 || ctx->key.pcid == pcid))
            flush_ctx(tlb, ctx, keep_global);
    }
}

/*
 * Empties the pieces of large pages in lin's GiB, of them only the global ones if so asked. The set of
 * regions, which only grows as entries come and go, is made anew on the way.
 */
static void clear_large(struct tlb_ctx *ctx, u64 lin, bool only_global)
{
    if (!(ctx->large_regions & region_bit(lin)))
        return;
    ctx->large_regions = 0;
    for (size_t g = 0; g < GROUPS; g++) {
        u64 mask = ctx->large[g], open = only_global ? ctx->global[g] : MASK(64);
        while (mask) {
            unsigned n = (unsigned)__builtin_ctzll(mask);
            size_t slot = g * 64 + n;
            u64 page = entry_page(&ctx->entry[slot], slot);
            mask &= mask - 1;
            if ((page ^ lin) >> 30 || !(open & BIT(n)))
                ctx->large_regions |= region_bit(page);
            else
                clear_slot(ctx, slot);
        }
    }
}

static void flush_page_in(struct tlb_ctx *ctx, u64 lin, bool only_global)
{
    size_t slot = (size_t)(tlb_slot(ctx->entry, lin) - ctx->entry);
    u64 group = only_global ? ctx->global[slot / 64] : ctx->used[slot / 64];
    if (group & BIT(slot % 64) && entry_page(&ctx->entry[slot], slot) == lin)
        clear_slot(ctx, slot);
    clear_large(ctx, lin, only_global);
}

void tlb_flush_page(struct tlb *tlb, u16 vpid, int pcid, u64 lin)
{
    tlb->flushes++;
    for (size_t k = 0; k < tlb->count; k++) {
        struct tlb_ctx *ctx = &tlb->ctx[k];
        if (ctx->key.vpid != vpid)
            continue;
        flush_page_in(ctx, lin & PAGE_MASK, pcid >= 0 && ctx->key.pcid != pcid);
        jump_flush(tlb, ctx);
    }
}

void tlb_flush_ept(struct tlb *tlb, u64 eptp)
{
    tlb->flushes++;
    for (size_t k = 0; k < tlb->count; k++) {
        struct tlb_ctx *ctx = &tlb->ctx[k];
        bool wanted = eptp ? !((ctx->key.eptp ^ eptp) & EPTP_ROOT) : true;
        if (ctx->key.eptp && wanted)
            flush_ctx(tlb, ctx, false);
    }
}

/* Takes the right to write from one entry; one that had no other goes. */
static void protect_slot(struct tlb_ctx *ctx, size_t slot)
{
    struct tlb_entry *entry = &ctx->entry[slot];
    u64 none = tlb_no_tag(slot);
    if (entry->rtag != none || entry->xtag != none)
        entry->wtag = none;
    else
        clear_slot(ctx, slot);
}

/* The set of writable pages is made anew on the way. */
static void write_protect_in(struct tlb_ctx *ctx, u64 host)
{
    memset(ctx->writable, 0, sizeof(ctx->writable));
    for (size_t g = 0; g < GROUPS; g++) {
        u64 mask = ctx->used[g];
        while (mask) {
            size_t slot = g * 64 + (size_t)__builtin_ctzll(mask);
            mask &= mask - 1;
            const struct tlb_entry *entry = &ctx->entry[slot];
            if (entry->wtag == tlb_no_tag(slot))
                continue;
            u64 at = tag_page(entry->wtag, slot) + entry->addend;
            if (at == host)
                protect_slot(ctx, slot);
            else
                note_writable(ctx, at);
        }
    }
}

void tlb_write_protect(struct tlb *tlb, const u8 *host)
{
    u64 page = (u64)(uintptr_t)host & PAGE_MASK;
    unsigned bit = host_bit(page);
    for (size_t k = 0; k < tlb->count; k++) {
        struct tlb_ctx *ctx = &tlb->ctx[k];
        if (ctx->writable[bit / 64] >> (bit % 64) & 1)
            write_protect_in(ctx, page);
    }
}
