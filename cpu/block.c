/* SPDX-License-Identifier: MIT */
#include "cpu/block.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "cpu/build.h"
#include "cpu/exec.h"
#include "cpu/mem.h"
#include "cpu/op_block.h"

#define HASH_BITS 16
#define ARENA_SIZE (96 * MIB)

/* Which blocks depend on a page; a block that crosses has one in each page. */
struct block_ref {
    struct block *block;
    struct block_ref *next;
    u64 granules;
};

struct block_cache {
    struct cpu_group *group;
    struct ram *ram;
    struct block *hash[1 << HASH_BITS];
    struct block_ref **page; /* by host page of RAM */
    u32 *used_page;          /* those that hold or held code since the last drop of all */
    u32 used_pages, used_room;
    u8 *arena;
    size_t used;
    u64 epoch;
    struct block_stats stats;
};

static void code_written(void *opaque, u8 *page, u64 granules);
static void remapped(void *opaque);

struct block_cache *block_cache_new(struct cpu_group *group)
{
    struct block_cache *cache = xalloc(sizeof(*cache));
    cache->group = group;
    cache->ram = &group->bus->ram;
    cache->page = xalloc_array(ram_pages(cache->ram), sizeof(*cache->page));
    cache->arena = host_map(ARENA_SIZE);
    ASSERT(cache->arena);
    cache->ram->code_written = code_written;
    cache->ram->code_opaque = cache;
    cache->ram->remapped = remapped;
    cache->ram->remapped_opaque = cache;
    return cache;
}

void block_cache_free(struct block_cache *cache)
{
    if (!cache)
        return;
    cache->ram->code_written = NULL;
    cache->ram->remapped = NULL;
    host_unmap(cache->arena, ARENA_SIZE);
    free(cache->page);
    free(cache->used_page);
    free(cache);
}

const struct block_stats *block_statistics(const struct block_cache *cache)
{
    return &cache->stats;
}

u64 block_epoch(const struct block_cache *cache)
{
    return cache->epoch;
}

static size_t host_page(const struct block_cache *cache, const u8 *p)
{
    return (size_t)(p - cache->ram->host) >> PAGE_SHIFT;
}

static unsigned hash_of(const u8 *host, u64 rip, u32 mode)
{
    u64 h = ((u64)(uintptr_t)host ^ rip * 3 ^ (u64)mode << 7) * UINT64_C(0x9e3779b97f4a7c15);
    return (unsigned)(h >> (64 - HASH_BITS));
}

/* Takes a page's blocks out of the hash without a look at those beside them, which go too. */
static void forget_page(struct block_cache *cache, u32 page)
{
    for (struct block_ref *ref = cache->page[page]; ref; ref = ref->next)
        cache->hash[hash_of(ref->block->host, ref->block->rip, ref->block->mode)] = NULL;
    cache->page[page] = NULL;
    cache->ram->code[page] = 0;
}

static void note_page(struct block_cache *cache, size_t page)
{
    if (cache->used_pages == cache->used_room) {
        cache->used_room = cache->used_room ? 2 * cache->used_room : 1024;
        cache->used_page = xrealloc_array(cache->used_page, cache->used_room, sizeof(u32));
    }
    cache->used_page[cache->used_pages++] = (u32)page;
}

void block_drop_all(struct block_cache *cache)
{
    for (u32 n = 0; n < cache->used_pages; n++)
        forget_page(cache, cache->used_page[n]);
    cache->used_pages = 0;
    cache->used = 0;
    cache->epoch++;
    cache->stats.flushes++;
    for (unsigned n = 0; n < cache->group->count; n++) {
        struct cpu *cpu = cache->group->cpu[n];
        for (unsigned c = 0; c < TLB_CONTEXTS; c++)
            if (cpu->tlb_store.ctx[c].valid)
                tlb_jump_flush(&cpu->tlb_store.ctx[c]);
        if (cpu->ctx)
            cpu->jump_key = cpu->ctx->jump_gen;
        cpu->leave = true;
    }
}

/* ---- Self-modifying code ---- */

static void unhash(struct block_cache *cache, struct block *blk)
{
    struct block **at = &cache->hash[hash_of(blk->host, blk->rip, blk->mode)];
    while (*at && *at != blk)
        at = &(*at)->hash_next;
    if (*at)
        *at = blk->hash_next;
}

/* Links and jump caches may still lead here: from now on they look the code up again. */
static void drop(struct block_cache *cache, struct block *blk)
{
    if (!blk->valid)
        return;
    blk->valid = false;
    unhash(cache, blk);
    blk->code[0].fn = op_relookup;
    cache->stats.dropped++;
}

static void drop_page(struct block_cache *cache, size_t page, u64 granules)
{
    struct block_ref **at = &cache->page[page];
    u64 left = 0;
    while (*at) {
        struct block_ref *ref = *at;
        if (ref->granules & granules || !ref->block->valid) {
            drop(cache, ref->block);
            *at = ref->next;
        } else {
            left |= ref->granules;
            at = &ref->next;
        }
    }
    cache->ram->code[page] = left;
}

static void code_written(void *opaque, u8 *page, u64 granules)
{
    struct block_cache *cache = opaque;
    drop_page(cache, host_page(cache, page), granules);
    if (cache->group->running)
        cache->group->running->leave = true;
}

/* Blocks are of host memory, which stays as it was; what leads to them by address is void. */
static void remapped(void *opaque)
{
    struct block_cache *cache = opaque;
    for (unsigned n = 0; n < cache->group->count; n++) {
        struct cpu *cpu = cache->group->cpu[n];
        tlb_flush_all(&cpu->tlb_store);
        if (cpu->ctx)
            cpu->jump_key = cpu->ctx->jump_gen;
        cpu->leave = true;
    }
}

/* ---- Finding ---- */

/*
 * Host address of the code byte at lin; NULL with `fault` set: #PF or a VM exit is recorded; NULL
 * otherwise: not RAM, at *hpa.
 */
static const u8 *fetch_host(struct cpu *cpu, u64 lin, u64 *hpa, bool *fault)
{
    struct tlb_entry *e = tlb_slot(cpu->tlb, lin);
    *fault = false;
    if (likely(e->xtag == (lin & PAGE_MASK)))
        return (const u8 *)(uintptr_t)(lin + e->addend);
    struct walk_ctx ctx;
    struct walk_out out;
    cpu_walk_ctx(cpu, false, &ctx);
    walk_translate(&ctx, lin, WALK_FETCH, &out);
    if (out.result != WALK_OK) {
        *fault = true;
        cpu_walk_failed(cpu, lin, &out);
        return NULL;
    }
    if (unlikely((out.hpa & PAGE_MASK) == cpu->apic_access)) {
        *fault = true;
        cpu->virt->apic_access(cpu, lin, 1, ACC_FETCH);
        return NULL;
    }
    *hpa = out.hpa;
    u8 *host = ram_host(&cpu->bus->ram, out.hpa);
    if (host && !cpu->ctx->bypass) {
        u8 *page = host - (lin & ~PAGE_MASK);
        struct tlb_fill f = {
            .lin = lin & PAGE_MASK,
            .host = page,
            .read = tlb_tag_is(e->rtag, lin & PAGE_MASK), /* what earlier walks allowed stays */
            .write = tlb_tag_is(e->wtag, lin & PAGE_MASK),
            .exec = true,
            .global = out.global,
            .page_shift = out.page_shift,
        };
        bool breakpoints = cpu->dr[7] & 0xff;
        if (!breakpoints) {
            f.read = out.may_read;
            f.write = out.may_write && !*ram_code(&cpu->bus->ram, page) &&
                      ram_host_w(&cpu->bus->ram, out.hpa) == host;
        }
        tlb_fill(&cpu->tlb_store, cpu->ctx, &f);
    }
    return host;
}

/* SDM "Instruction Execution" checks before the fetch: canonical RIP, CS limit. */
static bool fetch_allowed(struct cpu *cpu, u64 rip)
{
    if (cpu->mode & MODE_64) {
        unsigned bits = cpu->cr4 & CR4_LA57 ? 57 : 48;
        if (unlikely(sign_extend(rip, bits) != rip))
            return cpu_fault_gp(cpu, 0);
        return true;
    }
    if (unlikely(rip > cpu->seg[SEG_CS].limit))
        return cpu_fault_gp(cpu, 0);
    return true;
}

/*
 * In legacy modes the CS limit may come inside the page (of linear addresses: CS.base need not be
 * aligned). There each instruction is a block of its own.
 */
static bool limit_in_page(const struct cpu *cpu, u64 rip)
{
    if (cpu->mode & MODE_64)
        return false;
    u64 lin = cpu->seg[SEG_CS].base + rip;
    u64 last = rip + (PAGE_SIZE - 1 - (lin & ~PAGE_MASK));
    return unlikely(last > cpu->seg[SEG_CS].limit);
}

static void add_ref(struct block_cache *cache, struct block *blk, const u8 *host, u64 granules)
{
    struct block_ref *ref = (struct block_ref *)(void *)(cache->arena + cache->used);
    cache->used += sizeof(*ref);
    size_t page = host_page(cache, host);
    *ref = (struct block_ref){.block = blk, .next = cache->page[page], .granules = granules};
    cache->page[page] = ref;
    if (!ref->next)
        note_page(cache, page);
    if (!cache->ram->code[page]) {
        for (unsigned n = 0; n < cache->group->count; n++)
            tlb_write_protect(&cache->group->cpu[n]->tlb_store,
                              cache->ram->host + (page << PAGE_SHIFT));
    }
    cache->ram->code[page] |= granules;
}

/* Each instruction with a stub and the handlers behind an intercept and a probe, an end with its stub */
#define BLOCK_ROOM (sizeof(struct block) + (4 * BLOCK_MAX_INSNS + 2) * sizeof(struct insn) + 128)

/* Room for the largest block at the arena's end; drops everything when there is none. */
static struct block *new_block(struct block_cache *cache)
{
    cache->used = (cache->used + 63) & ~(size_t)63;
    if (cache->used + BLOCK_ROOM > ARENA_SIZE)
        block_drop_all(cache);
    struct block *blk = (struct block *)(void *)(cache->arena + cache->used);
    memset(blk, 0, sizeof(*blk));
    return blk;
}

static void keep_block(struct block_cache *cache, struct block *blk, const u8 *second)
{
    cache->used += offsetof(struct block, code) + blk->records * sizeof(struct insn);
    blk->valid = true;
    u64 first = MIN(blk->bytes, PAGE_SIZE - (blk->pa & ~PAGE_MASK));
    blk->granules |= ram_granules(blk->pa, first);
    add_ref(cache, blk, blk->host, blk->granules);
    if (second)
        add_ref(cache, blk, second, ram_granules(0, blk->bytes - first));
    unsigned h = hash_of(blk->host, blk->rip, blk->mode);
    blk->hash_next = cache->hash[h];
    cache->hash[h] = blk;
    cache->stats.decoded++;
    cache->stats.insns += blk->insns;
}

static struct block *lookup(struct block_cache *cache, const u8 *host, u64 rip, u32 mode)
{
    struct block *blk = cache->hash[hash_of(host, rip, mode)];
    while (blk && !(blk->host == host && blk->rip == rip && blk->mode == mode))
        blk = blk->hash_next;
    return blk;
}

static u64 code_linear(const struct cpu *cpu, u64 rip)
{
    return cpu->mode & MODE_64 ? rip : (u32)(cpu->seg[SEG_CS].base + rip);
}

/* Bytes of an instruction outside RAM, or crossing a page: gathered into buf. 0: fault recorded. */
static unsigned gather(struct cpu *cpu, u64 rip, u8 buf[16], const u8 **second, u64 *pa2)
{
    u64 lin = code_linear(cpu, rip);
    *second = NULL;
    *pa2 = UINT64_MAX;
    for (unsigned n = 0; n < 15; n++) {
        u64 at = code_linear(cpu, rip + n), hpa = 0;
        bool fault;
        const u8 *p = fetch_host(cpu, at, &hpa, &fault);
        if (fault) /* the bytes so far may be a whole instruction, but the caller found they are not */
            return 0;
        buf[n] = p ? *p : (u8)bus_read(cpu->bus, hpa, 1);
        if (p && ((at ^ lin) & PAGE_MASK) && !*second) {
            *second = p;
            *pa2 = ram_hpa(&cpu->bus->ram, p) & PAGE_MASK;
        }
    }
    return 15;
}

/*
 * An instruction that crosses a page or lies outside RAM: a block of its own. With *second it is
 * kept (its key includes the second page), else built anew each time.
 */
static struct block *find_odd(struct cpu *cpu, u64 rip, u32 mode, const u8 *host)
{
    struct block_cache *cache = cpu->blocks;
    u8 buf[16];
    const u8 *second;
    u64 pa2;
    unsigned avail = gather(cpu, rip, buf, &second, &pa2);
    if (!avail)
        return NULL;
    struct block *old = host ? lookup(cache, host, rip, mode) : NULL;
    if (old && old->pa2 == pa2)
        return old;
    struct block *blk = new_block(cache);
    *blk = (struct block){.rip = rip, .host = host, .mode = mode, .pa2 = pa2};
    if (host)
        blk->pa = ram_hpa(cache->ram, host);
    struct build_input in = {.bytes = buf, .avail = avail, .single = true};
    build_block(cpu, blk, &in);
    u64 room = PAGE_SIZE - (code_linear(cpu, rip) & ~PAGE_MASK);
    if (host && second && blk->bytes > room)
        keep_block(cache, blk, second);
    return blk;
}

static struct block *find_plain(struct cpu *cpu, u64 rip, u32 mode, const u8 *host)
{
    struct block_cache *cache = cpu->blocks;
    struct block *blk = lookup(cache, host, rip, mode);
    if (likely(blk && blk->pa2 == UINT64_MAX))
        return blk;
    if (blk)
        return find_odd(cpu, rip, mode, host);
    u64 lin = code_linear(cpu, rip);
    struct build_input in = {.bytes = host,
                             .avail = (unsigned)(PAGE_SIZE - (lin & ~PAGE_MASK)),
                             .single = mode & MODE_SINGLE};
    blk = new_block(cache);
    *blk = (struct block){.rip = rip, .host = host, .mode = mode, .pa2 = UINT64_MAX};
    blk->pa = ram_hpa(cache->ram, host);
    if (!build_block(cpu, blk, &in))
        return find_odd(cpu, rip, mode, host);
    keep_block(cache, blk, NULL);
    return blk;
}

bool block_linkable(const struct block *blk)
{
    return blk->valid && blk->pa2 == UINT64_MAX;
}

struct block *block_find(struct cpu *cpu, u64 rip, u32 extra)
{
    cpu->lookups++;
    if (!fetch_allowed(cpu, rip))
        return NULL;
    bool limited = limit_in_page(cpu, rip);
    u32 mode = cpu->mode | extra | (limited ? MODE_SINGLE : 0);
    u64 hpa = 0;
    bool fault;
    const u8 *host = fetch_host(cpu, code_linear(cpu, rip), &hpa, &fault);
    if (fault)
        return NULL;
    struct block *blk = host ? find_plain(cpu, rip, mode, host) : find_odd(cpu, rip, mode, NULL);
    /* Only an instruction by itself can be: all others end in a page that may be run. */
    bool outside = !(cpu->mode & MODE_64) && blk && rip + blk->bytes - 1 > cpu->seg[SEG_CS].limit;
    if (unlikely(outside)) {
        cpu_fault_gp(cpu, 0);
        return NULL;
    }
    return blk;
}
