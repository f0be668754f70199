/* SPDX-License-Identifier: MIT */
/*
 * A walk gathers the entries it uses, then judges the access by their combined rights (SDM
 * "Determination of Access Rights"), and only then marks them accessed and dirty: a walk that
 * faults leaves no trace. An entry that is not present or has a reserved bit set ends the walk
 * where it is met, so those come before any lack of rights.
 */
#include "mmu/walk.h"

#include <string.h>

#include "mmu/ept.h"

#define PTE_P BIT(0)
#define PTE_RW BIT(1)
#define PTE_US BIT(2)
#define PTE_PWT BIT(3)
#define PTE_PCD BIT(4)
#define PTE_A BIT(5)
#define PTE_D BIT(6)
#define PTE_PS BIT(7)
#define PTE_PAT BIT(7) /* in an entry that maps a 4-KByte page */
#define PTE_G BIT(8)
#define PTE_PAT_LARGE BIT(12) /* in one that maps a larger page */
#define PTE_XD BIT(63)

#define LEVELS_MAX 5

/* One entry that the walk used. */
struct walk_ref {
    u64 gpa, hpa;
    const u8 *host; /* NULL: outside RAM, where entries read as all ones and can't be changed */
    u64 entry;
    bool writable; /* by EPT, without a further walk */
};

struct walk {
    const struct walk_ctx *ctx;
    u64 lin;
    enum walk_access access;
    unsigned entry_size;
    struct walk_ref ref[LEVELS_MAX];
    unsigned refs;
    /* Rights of all entries so far: ANDed R/W and U/S, ORed XD */
    u64 rights;
    bool xd;
};

u64 walk_references;

/* Reads the entry at gpa: every reference to a paging structure goes through here. */
static enum walk_result walk_reference(struct walk *w, u64 gpa, u64 *entry, struct walk_out *out)
{
    struct walk_ref *ref = &w->ref[w->refs++];
    struct ept_access access = {.gpa = gpa, .rights = EPT_R, .table = true, .linear_valid = true};
    struct ept_place place;
    enum walk_result result = ept_translate(w->ctx, &access, &place, out);
    if (result != WALK_OK)
        return result;
    walk_references++;
    ref->gpa = gpa;
    ref->hpa = place.hpa;
    ref->writable = place.rights & EPT_W;
    ref->host = ram_host(&w->ctx->bus->ram, ref->hpa);
    ref->entry = MASK(8 * w->entry_size);
    if (ref->host) {
        ref->entry = 0;
        memcpy(&ref->entry, ref->host, w->entry_size);
    }
    *entry = ref->entry;
    return WALK_OK;
}

/* What the error code says of the access itself (SDM "Page-Fault Exceptions"). */
static u32 access_error(const struct walk_ctx *ctx, enum walk_access access)
{
    u32 error = ctx->user ? PF_USER : 0;
    if (access == WALK_WRITE)
        error |= PF_WRITE;
    /* IA32_EFER.NXE only counts with CR4.PAE, which 32-bit paging is without. */
    bool nx = ctx->nxe && ctx->mode != WALK_32BIT;
    if (access == WALK_FETCH && (nx || ctx->smep))
        error |= PF_FETCH;
    return error;
}

static enum walk_result page_fault(const struct walk *w, u32 why, struct walk_out *out)
{
    out->error_code = access_error(w->ctx, w->access) | why;
    return WALK_PAGE_FAULT;
}

/* Reserved bits that every entry of the mode has. */
static u64 reserved_always(const struct walk_ctx *ctx)
{
    if (ctx->mode == WALK_32BIT)
        return 0;
    unsigned top = ctx->mode == WALK_PAE ? 62 : 51;
    u64 reserved = MASK(top + 1) & ~MASK(ctx->maxphyaddr);
    return ctx->nxe ? reserved : reserved | PTE_XD;
}

/* The same of an entry that maps a large page of 1 << shift bytes. */
static u64 reserved_large(const struct walk_ctx *ctx, unsigned shift)
{
    if (ctx->mode != WALK_32BIT)
        return reserved_always(ctx) | (MASK(shift) & ~MASK(13));
    /* Bits 39:32 of the address of a 4-MByte page stand in bits 20:13 (PSE-36). */
    unsigned width = MIN(ctx->maxphyaddr, 40);
    return MASK(22) & ~MASK(width - 32 + 13);
}

static bool maps_large(const struct walk_ctx *ctx, unsigned shift, u64 entry)
{
    return (entry & PTE_PS) && (shift == 21 || shift == 30 || (shift == 22 && ctx->pse));
}

static u64 reserved_bits(const struct walk_ctx *ctx, unsigned shift, u64 entry)
{
    if (shift > 12 && maps_large(ctx, shift, entry))
        return reserved_large(ctx, shift);
    /* PML4 and PML5 entries have no page-size bit. */
    return shift > 30 ? reserved_always(ctx) | PTE_PS : reserved_always(ctx);
}

static u64 frame(const struct walk_ctx *ctx, unsigned shift, u64 entry)
{
    if (ctx->mode == WALK_32BIT && shift == 22)
        return (entry & MASK(32) & ~MASK(22)) | BITS(entry, 20, 13) << 32;
    return entry & MASK(MIN(ctx->maxphyaddr, 52)) & ~MASK(shift);
}

struct walk_start {
    u64 table;
    unsigned shift;      /* lin >> shift indexes the first table */
    unsigned index_bits; /* of an index into a table */
};

/* False: the PAE PDPTE register says not present. */
static bool walk_start(struct walk *w, struct walk_start *start)
{
    const struct walk_ctx *ctx = w->ctx;
    u64 root = ctx->cr3 & MASK(MIN(ctx->maxphyaddr, 52)) & PAGE_MASK;
    w->entry_size = 8;
    *start = (struct walk_start){.table = root, .shift = 39, .index_bits = 9};
    switch (ctx->mode) {
    case WALK_32BIT:
        w->lin &= MASK(32);
        w->entry_size = 4;
        *start = (struct walk_start){root & MASK(32), 22, 10};
        return true;
    case WALK_PAE: {
        w->lin &= MASK(32);
        u64 pdpte = ctx->pdpte[w->lin >> 30];
        *start = (struct walk_start){frame(ctx, 12, pdpte), 21, 9};
        return pdpte & PTE_P;
    }
    case WALK_5LEVEL:
        start->shift = 48;
        return true;
    default:
        return true;
    }
}

/* Goes down the tables to the entry that maps the page. */
static enum walk_result walk_down(struct walk *w, struct walk_out *out)
{
    struct walk_start at;
    w->rights = PTE_RW | PTE_US;
    if (!walk_start(w, &at))
        return page_fault(w, 0, out);
    for (unsigned shift = at.shift;; shift -= at.index_bits) {
        u64 index = (w->lin >> shift) & MASK(at.index_bits), entry;
        enum walk_result result = walk_reference(w, at.table + index * w->entry_size, &entry, out);
        if (result != WALK_OK)
            return result;
        if (!(entry & PTE_P))
            return page_fault(w, 0, out);
        if (entry & reserved_bits(w->ctx, shift, entry))
            return page_fault(w, PF_PRESENT | PF_RSVD, out);
        w->rights &= entry;
        w->xd |= (entry & PTE_XD) != 0;
        if (shift == 12 || maps_large(w->ctx, shift, entry)) {
            out->page_shift = (u8)shift;
            return WALK_OK;
        }
        at.table = frame(w->ctx, 12, entry);
    }
}

static u64 leaf_entry(const struct walk *w)
{
    return w->ref[w->refs - 1].entry;
}

/* Whether the page's protection key forbids the access (SDM "Protection Keys"). */
static bool key_denies(const struct walk *w, enum walk_access access)
{
    const struct walk_ctx *ctx = w->ctx;
    bool keys = ctx->pke && (ctx->mode == WALK_4LEVEL || ctx->mode == WALK_5LEVEL);
    if (!keys || access == WALK_FETCH || !(w->rights & PTE_US))
        return false;
    unsigned key = (unsigned)BITS(leaf_entry(w), 62, 59);
    u32 access_disable = ctx->pkru >> (2 * key) & 1;
    u32 write_disable = ctx->pkru >> (2 * key) & 2;
    return access_disable || (write_disable && access == WALK_WRITE && (ctx->user || ctx->wp));
}

static bool rights_allow(const struct walk *w, enum walk_access access)
{
    const struct walk_ctx *ctx = w->ctx;
    bool user_page = w->rights & PTE_US;
    if (ctx->user && !user_page)
        return false;
    if (access == WALK_FETCH)
        return !w->xd && !(ctx->smep && !ctx->user && user_page);
    if (ctx->smap && !ctx->smap_off && !ctx->user && user_page)
        return false;
    return access == WALK_READ || (w->rights & PTE_RW) || (!ctx->user && !ctx->wp);
}

static bool may(const struct walk *w, enum walk_access access)
{
    return rights_allow(w, access) && !key_denies(w, access);
}

/* A and D are written through EPT like anything else. */
static enum walk_result set_bits(struct walk *w, struct walk_ref *ref, u64 bits,
                                 struct walk_out *out)
{
    u8 *host = ram_host_w(&w->ctx->bus->ram, ref->hpa);
    if ((ref->entry & bits) == bits || !ref->host || !host) /* in ROM they are lost */
        return WALK_OK;
    if (!ref->writable) {
        struct ept_access access = {
            .gpa = ref->gpa, .rights = EPT_R | EPT_W, .table = true, .linear_valid = true};
        struct ept_place place;
        enum walk_result result = ept_translate(w->ctx, &access, &place, out);
        if (result != WALK_OK)
            return result;
    }
    /* What is there now: EPT's walks may have set flags of their own in the same place. */
    u64 now = 0;
    memcpy(&now, host, w->entry_size);
    now |= bits;
    ref->entry |= bits;
    ram_store_check(&w->ctx->bus->ram, host, w->entry_size);
    memcpy(host, &now, w->entry_size);
    return WALK_OK;
}

static enum walk_result set_accessed_dirty(struct walk *w, struct walk_out *out)
{
    enum walk_result result = WALK_OK;
    for (unsigned k = 0; k < w->refs && result == WALK_OK; k++) {
        bool dirty = k + 1 == w->refs && w->access == WALK_WRITE;
        result = set_bits(w, &w->ref[k], dirty ? PTE_A | PTE_D : PTE_A, out);
    }
    return result;
}

static enum walk_result walk_final(const struct walk_ctx *ctx, enum walk_access kind,
                                   struct ept_place *place, struct walk_out *out)
{
    static const u8 rights[] = {[WALK_READ] = EPT_R, [WALK_WRITE] = EPT_W, [WALK_FETCH] = EPT_X};
    struct ept_access access = {
        .gpa = out->gpa, .rights = rights[kind], .final = true, .linear_valid = true};
    enum walk_result result = ept_translate(ctx, &access, place, out);
    out->hpa = place->hpa;
    return result;
}

static u8 memtype_index(u64 leaf, unsigned shift)
{
    u64 pat = leaf & (shift == 12 ? PTE_PAT : PTE_PAT_LARGE) ? BIT(2) : 0;
    return (u8)(pat | BITS(leaf, 4, 3));
}

static enum walk_result walk_finish(struct walk *w, struct walk_out *out)
{
    const struct walk_ctx *ctx = w->ctx;
    if (!may(w, w->access)) {
        u32 key = key_denies(w, w->access) ? PF_PK : 0;
        return page_fault(w, PF_PRESENT | key, out);
    }
    unsigned shift = out->page_shift;
    out->gpa = frame(ctx, shift, leaf_entry(w)) | (w->lin & MASK(shift));
    struct ept_place place = {0};
    enum walk_result result = walk_final(ctx, w->access, &place, out);
    if (result == WALK_OK)
        result = set_accessed_dirty(w, out);
    if (result != WALK_OK)
        return result;
    u64 leaf = leaf_entry(w);
    out->global = ctx->pge && (leaf & PTE_G);
    out->may_read = (place.rights & EPT_R) && may(w, WALK_READ);
    out->may_write = (place.rights & EPT_W) && may(w, WALK_WRITE) && (leaf & PTE_D);
    out->may_exec = (place.rights & EPT_X) && may(w, WALK_FETCH);
    out->memtype = memtype_index(leaf, shift);
    return WALK_OK;
}

static enum walk_result walk_unpaged(const struct walk_ctx *ctx, u64 lin, enum walk_access access,
                                     struct walk_out *out)
{
    struct ept_place place = {0};
    out->gpa = lin & MASK(32);
    out->page_shift = 32;
    enum walk_result result = walk_final(ctx, access, &place, out);
    out->may_read = place.rights & EPT_R;
    out->may_write = place.rights & EPT_W;
    out->may_exec = place.rights & EPT_X;
    return result;
}

void walk_translate(const struct walk_ctx *ctx, u64 lin, enum walk_access access,
                    struct walk_out *out)
{
    *out = (struct walk_out){0};
    if (ctx->mode == WALK_NONE) {
        out->result = walk_unpaged(ctx, lin, access, out);
        return;
    }
    struct walk w = {.ctx = ctx, .lin = lin, .access = access};
    out->result = walk_down(&w, out);
    if (out->result == WALK_OK)
        out->result = walk_finish(&w, out);
}
