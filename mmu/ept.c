/* SPDX-License-Identifier: MIT */
#include "mmu/ept.h"

#include <string.h>

#define EPT_RIGHTS UINT64_C(7)
#define EPT_PS BIT(7)
#define EPT_A BIT(8)
#define EPT_D BIT(9)
#define LEVELS 4

/* Exit qualification of a violation: bits 2:0 are the access's rights, 5:3 the entries'. */
#define QUAL_LINEAR_VALID BIT(7)
#define QUAL_FINAL BIT(8)

#define PML_ENTRIES 512

struct ept_ref {
    u64 hpa;
    const u8 *host; /* NULL: outside RAM, where entries read as all ones and can't be changed */
    u64 entry;
};

struct ept_walk {
    const struct walk_ctx *ctx;
    const struct ept_access *access;
    struct ept_ref ref[LEVELS];
    unsigned refs;
    unsigned need;   /* rights */
    unsigned rights; /* ANDed over the entries */
    unsigned shift;  /* of the page */
};

static u64 read_entry(struct ept_walk *w, u64 hpa)
{
    struct ept_ref *ref = &w->ref[w->refs++];
    *ref = (struct ept_ref){
        .hpa = hpa, .host = ram_host(&w->ctx->bus->ram, hpa), .entry = ~UINT64_C(0)};
    walk_references++;
    if (ref->host)
        memcpy(&ref->entry, ref->host, 8);
    return ref->entry;
}

static bool is_leaf(unsigned shift, u64 entry)
{
    return shift == 12 || (shift <= 30 && (entry & EPT_PS));
}

/* SDM "EPT Misconfigurations"; entry is present */
static bool misconfigured(const struct walk_ctx *ctx, unsigned shift, u64 entry)
{
    unsigned rights = entry & EPT_RIGHTS;
    u64 reserved = MASK(52) & ~MASK(ctx->maxphyaddr);
    if (rights == EPT_W || rights == (EPT_W | EPT_X))
        return true;
    if (!is_leaf(shift, entry)) /* a PML4 entry has no page-size bit */
        return entry & (reserved | (shift > 30 ? UINT64_C(0xf8) : UINT64_C(0x78)));
    u64 type = BITS(entry, 5, 3);
    if (type == 2 || type == 3 || type == 7)
        return true;
    return entry & (reserved | (MASK(shift) & ~MASK(12)));
}

static enum walk_result violation(const struct ept_walk *w, struct walk_out *out)
{
    u64 qual = w->need | (u64)w->rights << 3;
    if (w->access->linear_valid)
        qual |= QUAL_LINEAR_VALID | (w->access->final ? QUAL_FINAL : 0);
    out->gpa = w->access->gpa;
    out->qualification = qual;
    return WALK_EPT_VIOLATION;
}

static enum walk_result down(struct ept_walk *w, struct walk_out *out)
{
    u64 width = MASK(w->ctx->maxphyaddr) & PAGE_MASK, table = w->ctx->eptp & width;
    if (w->access->gpa >> 48) { /* beyond what four levels translate */
        w->rights = 0;
        return violation(w, out);
    }
    for (w->shift = 39;; w->shift -= 9) {
        u64 entry = read_entry(w, table + 8 * ((w->access->gpa >> w->shift) & MASK(9)));
        w->rights &= entry & EPT_RIGHTS;
        if (!(entry & EPT_RIGHTS))
            return violation(w, out);
        if (misconfigured(w->ctx, w->shift, entry)) {
            out->gpa = w->access->gpa;
            return WALK_EPT_MISCONFIG;
        }
        if (is_leaf(w->shift, entry))
            return WALK_OK;
        table = entry & width;
    }
}

static void set_bits(const struct ept_walk *w, struct ept_ref *ref, u64 bits)
{
    u8 *host = ram_host_w(&w->ctx->bus->ram, ref->hpa);
    if ((ref->entry & bits) == bits || !ref->host || !host) /* in ROM they are lost */
        return;
    ref->entry |= bits;
    ram_store_check(&w->ctx->bus->ram, host, 8);
    memcpy(host, &ref->entry, 8);
}

/* SDM "Page-Modification Logging" */
static bool log_page(struct walk_ctx const *ctx, u64 gpa)
{
    struct walk_pml *pml = ctx->pml;
    u64 page = gpa & PAGE_MASK;
    if (pml->index >= PML_ENTRIES)
        return false;
    ram_write(&ctx->bus->ram, pml->address + 8u * pml->index, &page, 8);
    pml->index--;
    return true;
}

static bool set_accessed_dirty(struct ept_walk *w)
{
    struct ept_ref *leaf = &w->ref[w->refs - 1];
    bool dirties = (w->need & EPT_W) && !(leaf->entry & EPT_D);
    if (dirties && w->ctx->pml && !log_page(w->ctx, w->access->gpa))
        return false;
    for (unsigned k = 0; k + 1 < w->refs; k++)
        set_bits(w, &w->ref[k], EPT_A);
    set_bits(w, leaf, w->need & EPT_W ? EPT_A | EPT_D : EPT_A);
    return true;
}

enum walk_result ept_translate(const struct walk_ctx *ctx, const struct ept_access *access,
                               struct ept_place *place, struct walk_out *out)
{
    if (!ctx->eptp) {
        *place = (struct ept_place){access->gpa, EPT_R | EPT_W | EPT_X};
        return WALK_OK;
    }
    bool flags = ctx->eptp & EPTP_AD;
    struct ept_walk w = {.ctx = ctx, .access = access, .rights = EPT_RIGHTS};
    w.need = access->rights | (access->table && flags ? EPT_W : 0);
    enum walk_result result = down(&w, out);
    if (result != WALK_OK)
        return result;
    if (w.need & ~w.rights)
        return violation(&w, out);
    if (flags && !set_accessed_dirty(&w)) {
        out->gpa = access->gpa;
        return WALK_PML_FULL;
    }
    u64 entry = w.ref[w.refs - 1].entry;
    place->hpa = (entry & MASK(ctx->maxphyaddr) & ~MASK(w.shift)) | (access->gpa & MASK(w.shift));
    place->rights = flags && !(entry & EPT_D) ? w.rights & ~(unsigned)EPT_W : w.rights;
    return WALK_OK;
}
