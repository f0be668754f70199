/* SPDX-License-Identifier: MIT */
#include "mmu/peek.h"

#include <string.h>

#define PRESENT BIT(0)
#define LARGE BIT(7)
#define EPT_PRESENT UINT64_C(7)
#define ADDRESS (MASK(52) & PAGE_MASK)

static bool read_entry(const struct walk_ctx *ctx, u64 hpa, unsigned size, u64 *entry)
{
    const u8 *host = ram_host(&ctx->bus->ram, hpa);
    *entry = 0;
    if (host)
        memcpy(entry, host, size);
    return host;
}

bool peek_gpa(const struct walk_ctx *ctx, u64 gpa, u64 *hpa)
{
    u64 table = ctx->eptp & ADDRESS, entry;
    if (!ctx->eptp) {
        *hpa = gpa;
        return true;
    }
    if (gpa >> 48)
        return false;
    for (unsigned shift = 39;; shift -= 9) {
        if (!read_entry(ctx, table + 8 * ((gpa >> shift) & MASK(9)), 8, &entry) ||
            !(entry & EPT_PRESENT))
            return false;
        if (shift == 12 || (shift <= 30 && (entry & LARGE))) {
            *hpa = (entry & ADDRESS & ~MASK(shift)) | (gpa & MASK(shift));
            return true;
        }
        table = entry & ADDRESS;
    }
}

static bool read_guest_entry(const struct walk_ctx *ctx, u64 gpa, unsigned size, u64 *entry)
{
    u64 hpa;
    return peek_gpa(ctx, gpa, &hpa) && read_entry(ctx, hpa, size, entry) && (*entry & PRESENT);
}

/* 32-bit paging (SDM "32-Bit Paging") */
static bool down_32bit(const struct walk_ctx *ctx, u64 lin, u64 *gpa)
{
    u64 pde, pte;
    if (!read_guest_entry(ctx, (ctx->cr3 & 0xfffff000) + 4 * (lin >> 22), 4, &pde))
        return false;
    if ((pde & LARGE) && ctx->pse) {
        *gpa = (pde & 0xffc00000) | BITS(pde, 20, 13) << 32 | (lin & MASK(22));
        return true;
    }
    if (!read_guest_entry(ctx, (pde & 0xfffff000) + 4 * (lin >> 12 & MASK(10)), 4, &pte))
        return false;
    *gpa = (pte & 0xfffff000) | (lin & MASK(12));
    return true;
}

/* From the table whose entries are chosen by the 9 bits of lin from `shift` on */
static bool down(const struct walk_ctx *ctx, u64 table, unsigned shift, u64 lin, u64 *gpa)
{
    for (;; shift -= 9) {
        u64 entry;
        if (!read_guest_entry(ctx, table + 8 * (lin >> shift & MASK(9)), 8, &entry))
            return false;
        if (shift == 12 || (shift <= 30 && (entry & LARGE))) {
            *gpa = (entry & ADDRESS & ~MASK(shift)) | (lin & MASK(shift));
            return true;
        }
        table = entry & ADDRESS;
    }
}

bool peek_linear(const struct walk_ctx *ctx, u64 lin, u64 *hpa)
{
    u64 gpa = lin;
    bool ok = true;
    switch (ctx->mode) {
    case WALK_NONE:
        gpa = (u32)lin;
        break;
    case WALK_32BIT:
        ok = down_32bit(ctx, (u32)lin, &gpa);
        break;
    case WALK_PAE: {
        u64 pdpte = ctx->pdpte[(u32)lin >> 30];
        ok = (pdpte & PRESENT) && down(ctx, pdpte & ADDRESS, 21, (u32)lin, &gpa);
        break;
    }
    default:
        ok = down(ctx, ctx->cr3 & ADDRESS, ctx->mode == WALK_5LEVEL ? 48 : 39, lin, &gpa);
        break;
    }
    return ok && peek_gpa(ctx, gpa, hpa);
}
