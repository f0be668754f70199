/* SPDX-License-Identifier: MIT */
/*
 * The host-pointer TLB: from a linear page to host memory, for the interpreter's fast path. It is a
 * cache of finished walks and knows nothing of timing (the architectural TLBs of timed mode are
 * models apart).
 *
 * Entries live in contexts, one for each combination of address space (VPID, PCID, EPT root) and
 * privilege view; a change of CR3, CPL or VMX mode switches a pointer. A pool of contexts is
 * reused in least-recently-used order. Geometry and replacement are fixed: a stale translation is
 * visible to a guest, so they are part of the machine.
 *
 * Beside the translations each context has a jump cache: from the linear address of an instruction
 * to its decoded block. Its tags are XORed with a generation in bits 63:57 so that emptying it is
 * an addition.
 */
#ifndef MMU_TLB_H
#define MMU_TLB_H

#include "base/types.h"

#define TLB_ENTRIES 1024
#define TLB_CONTEXTS 64
#define JUMP_ENTRIES 1024

/*
 * A tag is the page's linear address where that kind of access is allowed without a walk, else
 * tlb_no_tag(). The test `va - tag > 4096 - size` covers miss, permission and page crossing at
 * once.
 */
struct tlb_entry {
    u64 rtag, wtag, xtag;
    u64 addend; /* host address = linear address + addend */
};

/*
 * A watched translation is there like any other, but its tag is moved to a page of another slot, so that
 * the fast path misses it: whoever takes the slow path finds it by tlb_tag_is().
 */
#define TLB_WATCHED (UINT64_C(2) << PAGE_SHIFT)

/* Does the tag stand for this page's translation, watched or not? */
static ALWAYS_INLINE bool tlb_tag_is(u64 tag, u64 page)
{
    return !((tag ^ page) & ~TLB_WATCHED);
}

struct block;
struct jump_entry {
    u64 tag; /* linear address ^ generation */
    struct block *block;
};

/*
 * The tags of an entry that allows nothing: addresses that are looked up in another slot, so that
 * no address at all, canonical or not, matches one. An empty jump entry has no valid block pointer.
 */
static ALWAYS_INLINE u64 tlb_no_tag(size_t slot)
{
    return ((u64)slot + 1) << PAGE_SHIFT;
}
static ALWAYS_INLINE u64 tlb_jump_no_tag(size_t slot)
{
    return (u64)slot ^ 1;
}

/* Identity of a context. Unused fields are zero; compared as bytes. */
struct tlb_key {
    u64 eptp;
    u64 cr3; /* 0 when PCIDs tell spaces apart or only one space is kept */
    u16 vpid, pcid;
    u8 view; /* TLB_VIEW_* */
    u8 mode; /* enum walk_mode */
    u8 bits; /* CR0.WP, EFER.NXE, CR4.SMEP, SMAP, PKE ...: whatever changes a walk's outcome */
    u8 pad;
    u32 pkru;
    u32 pad2;
};

enum tlb_view { TLB_VIEW_SUPER, TLB_VIEW_SUPER_AC, TLB_VIEW_USER };

struct tlb_ctx {
    struct tlb_entry entry[TLB_ENTRIES];
    struct jump_entry jump[JUMP_ENTRIES];
    u64 used[TLB_ENTRIES / 64];   /* entries that are not empty */
    u64 global[TLB_ENTRIES / 64]; /* of those, global translations */
    u64 large[TLB_ENTRIES / 64];  /* of those, pieces of pages larger than 4 KiB */
    u64 large_regions;            /* a bit per hash of the GiB that a piece lies in */
    u64 writable[16];             /* a bit per hash of a host page that an entry may write */
    u64 jump_gen;                 /* in bits 63:57 */
    u32 jump_mode; /* decode mode, and base and limit of CS, that `jump` holds blocks for */
    u64 jump_cs;
    struct tlb_key key;
    u64 last_use;
    u64 jump_clean; /* value of last_use up to which `jump` is known to be empty */
    bool valid;
    bool bypass; /* never filled: each access takes the slow path (alignment checks, timed mode) */
};

#define TLB_RECENT 64

/*
 * Pages whose accesses take the slow path, where a debugger sees them. Nothing else changes: the same
 * translations are kept and given up as without.
 */
enum { TLB_WATCH_READ = 1, TLB_WATCH_WRITE = 2 };
struct tlb_watch {
    /* Which accesses to this page of linear addresses, at this host page, are watched: TLB_WATCH_* */
    unsigned (*kinds)(void *opaque, u64 lin, const u8 *host);
    void *opaque;
};

struct tlb {
    struct tlb_ctx *ctx;                /* TLB_CONTEXTS of them */
    struct tlb_ctx *recent[TLB_RECENT]; /* where a key was found last, by its hash */
    u32 count;                          /* contexts used so far: the first ones */
    const struct tlb_watch *watch;      /* NULL: none */
    u64 uses;
    u64 fills, flushes, switches; /* statistics */
};

static ALWAYS_INLINE struct tlb_entry *tlb_slot(struct tlb_entry *table, u64 va)
{
    return &table[(va >> PAGE_SHIFT) & (TLB_ENTRIES - 1)];
}

static ALWAYS_INLINE struct jump_entry *tlb_jump_slot(struct tlb_ctx *ctx, u64 lin)
{
    return &ctx->jump[(lin ^ (lin >> 10)) & (JUMP_ENTRIES - 1)];
}

void tlb_init(struct tlb *tlb);
void tlb_fini(struct tlb *tlb);

/*
 * The context for key, emptied of what another key left. Never fails. Only the context found last
 * is in use: nothing may be entered into another one, nor looked up in it.
 */
struct tlb_ctx *tlb_find(struct tlb *tlb, const struct tlb_key *key);

/* What a finished walk allows. host is the host address of the 4-KByte page's first byte. */
struct tlb_fill {
    u64 lin;
    u8 *host;
    bool read, write, exec, global;
    u8 page_shift; /* of the translation, as in struct walk_out; 0 is taken for 12 */
};
void tlb_fill(struct tlb *tlb, struct tlb_ctx *ctx, const struct tlb_fill *fill);

/*
 * Flushes. They may change the jump_gen of any context, so who keeps a copy of the current one's
 * (as struct cpu does) takes it anew afterwards.
 */
void tlb_jump_flush(struct tlb_ctx *ctx);

/* Everything, in all contexts. */
void tlb_flush_all(struct tlb *tlb);
/* All contexts of (vpid, pcid); keep_global as MOV CR3 does. pcid < 0: any. */
void tlb_flush_space(struct tlb *tlb, u16 vpid, int pcid, bool keep_global);
/*
 * The page that holds lin, as INVLPG: of (vpid, pcid), and of every pcid where it is global. Pieces
 * of large pages in the same GiB go too, since the large page's size is not known here. pcid < 0:
 * any.
 */
void tlb_flush_page(struct tlb *tlb, u16 vpid, int pcid, u64 lin);
/* All contexts with this EPT root (bits 51:12), any VPID. eptp 0: all contexts that have one. */
void tlb_flush_ept(struct tlb *tlb, u64 eptp);
/* From now on, and for what is there already. watch must live until another one is set; NULL: none. */
void tlb_set_watch(struct tlb *tlb, const struct tlb_watch *watch);
/* Removes write permission of each translation of the host page at `host` (it now holds code). */
void tlb_write_protect(struct tlb *tlb, const u8 *host);

#endif
