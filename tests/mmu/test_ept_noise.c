/* SPDX-License-Identifier: MIT */
/*
 * Walks in two dimensions over tables of noise, against a model of the SDM's wording that works
 * step by step on a memory of its own. Results and all of memory must be equal after each.
 */
#include "mmu/walk.h"

#include <string.h>

#include "mmu/ept.h"
#include "tests/mmu/ept_tables.h"

#define WORLDS 500
#define WALKS 48 /* in each */

/*
 * Host pages 8 to 12 are EPT's tables, 2 is the log, 16 to 63 are the guest's. Guest-physical pages
 * 16 to 63 are these in some order; at 2 MiB and at 1 GiB large pages of EPT show them once more.
 * Noise in an address has only bits above 20, so the guest never gets at EPT's tables.
 */
#define EPT_PAGE(k) ((u64)(8 + (k)) << PAGE_SHIFT)
#define LOG_PAGE UINT64_C(0x2000)
#define FIRST 16
#define PAGES 64
#define SEEN (PAGES * PAGE_SIZE)

static u64 noise(void)
{
    static u64 state = 88172645463325252;
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static bool one_in(u64 n)
{
    return (noise() >> 20) % n == 0;
}

/* ---- The model ---- */

struct model {
    u8 mem[MIB];
    const struct walk_ctx *ctx;
    struct walk_pml pml;
    enum walk_access access;
    /* What it finds */
    enum walk_result result;
    u64 gpa, hpa, qualification;
    u32 error;
    unsigned shift, ept_rights;
    bool write, user, fetch, dirty; /* what the guest's entries say */
};

static u64 model_read(const struct model *m, u64 hpa, unsigned size)
{
    u64 val = 0;
    if (hpa >= MIB)
        return MASK(8 * size);
    memcpy(&val, m->mem + hpa, size);
    return val;
}

static void model_or(struct model *m, u64 hpa, unsigned size, u64 bits)
{
    u64 val = model_read(m, hpa, size) | bits;
    if (hpa < MIB)
        memcpy(m->mem + hpa, &val, size);
}

static bool end(struct model *m, enum walk_result result)
{
    m->result = result;
    return false;
}

static bool end_violation(struct model *m, u64 gpa, unsigned need, u64 rights, bool final)
{
    m->gpa = gpa;
    m->qualification = need | (rights & 7) << 3 | BIT(7) | (final ? BIT(8) : 0);
    return end(m, WALK_EPT_VIOLATION);
}

/* Bits that are 0 in entries of level 4 (PML4) to 1, of tables and of pages. */
static const u64 ept_zero_table[] = {0, 0, 0x78, 0x78, 0xf8};
static const u64 ept_zero_page[] = {0, 0, 0x1ff000, 0x3ffff000, 0};
#define BAD_RIGHTS 0x44u /* 2 and 6 */
#define BAD_TYPES 0x8cu  /* 2, 3 and 7 */

static bool ept_bad(const struct model *m, unsigned level, bool page, u64 e)
{
    u64 zero = (page ? ept_zero_page : ept_zero_table)[level];
    for (unsigned bit = m->ctx->maxphyaddr; bit < 52; bit++)
        zero |= BIT(bit);
    return (e & zero) || (BAD_RIGHTS >> (e & 7) & 1) || (page && (BAD_TYPES >> (e >> 3 & 7) & 1));
}

/* need: EPT_*, of an access to the byte at *gpa, which becomes a host-physical address. */
static bool ept_model(struct model *m, u64 *gpa, unsigned need, bool final)
{
    bool ad = m->ctx->eptp & BIT(6), page = false;
    u64 at[5], e = EPT_PAGE(0), all = 7;
    unsigned level = 5;
    if (*gpa >= BIT(48))
        return end_violation(m, *gpa, need, 0, final);
    while (!page) {
        level--;
        at[level] = (e & MASK(52) & PAGE_MASK) + (*gpa >> (3 + 9 * level) & 0x1ff) * 8;
        e = model_read(m, at[level], 8);
        if (!(e & 7))
            return end_violation(m, *gpa, need, 0, final);
        page = level == 1 || (level < 4 && (e & BIT(7)));
        if (ept_bad(m, level, page, e)) {
            m->gpa = *gpa;
            return end(m, WALK_EPT_MISCONFIG);
        }
        all &= e;
    }
    if (need & ~all)
        return end_violation(m, *gpa, need, all, final);
    if (ad && (need & 2) && !(e & BIT(9)) && m->ctx->pml) {
        if (m->pml.index > 511) {
            m->gpa = *gpa;
            return end(m, WALK_PML_FULL);
        }
        u64 page_at = *gpa & PAGE_MASK;
        memcpy(m->mem + LOG_PAGE + 8 * m->pml.index--, &page_at, 8);
    }
    if (ad && (need & 2))
        model_or(m, at[level], 8, BIT(9));
    for (unsigned k = level; ad && k < 5; k++)
        model_or(m, at[k], 8, BIT(8));
    u64 offset = MASK(3 + 9 * level);
    bool clean = ad && !(model_read(m, at[level], 8) & BIT(9));
    m->ept_rights = (unsigned)all & (clean ? 5 : 7);
    *gpa = (e & MASK(52) & ~offset) | (*gpa & offset);
    return true;
}

static bool end_fault(struct model *m, u32 why)
{
    const struct walk_ctx *c = m->ctx;
    bool nx = c->nxe && c->mode != WALK_32BIT;
    m->error = why | (m->access == WALK_WRITE ? 2u : 0) | (c->user ? 4u : 0) |
               (m->access == WALK_FETCH && (nx || c->smep) ? 16u : 0);
    return end(m, WALK_PAGE_FAULT);
}

static bool guest_bad(const struct model *m, unsigned level, bool page, u64 e)
{
    const struct walk_ctx *c = m->ctx;
    u64 zero = c->nxe ? 0 : BIT(63);
    if (c->mode == WALK_32BIT) {
        unsigned top = c->maxphyaddr < 40 ? c->maxphyaddr : 40;
        return page && level == 2 && (e >> (top - 19) & MASK(22 - (top - 19)));
    }
    for (unsigned bit = c->maxphyaddr; bit < (c->mode == WALK_PAE ? 63 : 52); bit++)
        zero |= BIT(bit);
    if (page && level > 1)
        zero |= level == 2 ? 0x1fe000 : 0x3fffe000;
    return e & (level > 3 ? zero | BIT(7) : zero);
}

static bool guest_allows(const struct model *m, enum walk_access a)
{
    const struct walk_ctx *c = m->ctx;
    if (c->mode == WALK_NONE)
        return true;
    if (c->user ? !m->user : m->user && (a == WALK_FETCH ? c->smep : c->smap && !c->smap_off))
        return false;
    return a == WALK_READ || (a == WALK_FETCH ? m->fetch : m->write || (!c->user && !c->wp));
}

/* Access to the guest's entry at gpa; with EPT's A and D flags each counts as a write. */
static bool guest_access(struct model *m, u64 *gpa, bool write)
{
    return ept_model(m, gpa, write || (m->ctx->eptp & BIT(6)) ? 3 : 1, false);
}

struct step {
    u64 gpa, hpa, entry;
};

static bool guest_marks(struct model *m, struct step *steps, unsigned count, unsigned size)
{
    for (unsigned k = 0; k < count; k++) {
        bool page = k + 1 == count;
        u64 bits = BIT(5) | (page && m->access == WALK_WRITE ? BIT(6) : 0), gpa = steps[k].gpa;
        unsigned rights = m->ept_rights;
        if ((steps[k].entry & bits) == bits || steps[k].hpa >= MIB)
            continue;
        if (!guest_access(m, &gpa, true))
            return false;
        m->ept_rights = rights; /* those of the page */
        model_or(m, steps[k].hpa, size, bits);
    }
    m->dirty = m->access == WALK_WRITE || (steps[count - 1].entry & BIT(6));
    return true;
}

static bool final_access(struct model *m, u64 gpa)
{
    m->gpa = m->hpa = gpa;
    return ept_model(m, &m->hpa, 1u << m->access, true);
}

static bool guest_model(struct model *m, u64 lin)
{
    const struct walk_ctx *c = m->ctx;
    bool wide = c->mode != WALK_32BIT, page = false;
    unsigned size = wide ? 8 : 4, bits = wide ? 9 : 10, count = 0;
    unsigned level = c->mode == WALK_4LEVEL ? 5 : c->mode == WALK_5LEVEL ? 6 : 3;
    struct step steps[5];
    u64 e = c->cr3;
    m->write = m->user = m->fetch = m->dirty = true;
    if (c->mode == WALK_NONE)
        return m->shift = 32, final_access(m, (u32)lin);
    if (c->mode == WALK_PAE && !((e = c->pdpte[(u32)lin >> 30]) & 1))
        return end_fault(m, 0);
    while (!page) {
        level--;
        m->shift = 12 + bits * (level - 1);
        struct step *s = &steps[count++];
        s->gpa = (e & MASK(52) & PAGE_MASK) + (lin >> m->shift & MASK(bits)) * size;
        s->hpa = s->gpa;
        if (!guest_access(m, &s->hpa, false))
            return false;
        e = s->entry = model_read(m, s->hpa, size);
        if (!(e & 1))
            return end_fault(m, 0);
        page = level == 1 || ((e & BIT(7)) && (level == 2 ? wide || c->pse : level == 3));
        if (guest_bad(m, level, page, e))
            return end_fault(m, PF_PRESENT | PF_RSVD);
        m->write &= e >> 1 & 1;
        m->user &= e >> 2 & 1;
        m->fetch &= !(e >> 63);
    }
    if (!guest_allows(m, m->access))
        return end_fault(m, PF_PRESENT);
    u64 base = e & MASK(52) & ~MASK(m->shift);
    if (m->shift == 22)
        base = (e & 0xffc00000) | (e >> 13 & 0xff) << 32;
    return final_access(m, base | (lin & MASK(m->shift))) && guest_marks(m, steps, count, size);
}

/* ---- Tables of noise ---- */

static u64 odds; /* one in so many is wrong somehow */

static u64 noisy_bit(unsigned first)
{
    return BIT(first + noise() % (64 - first));
}

static u64 ept_entry(u64 flags, u64 one_wrong_in)
{
    u64 e = flags | 7 | (noise() & (BIT(8) | BIT(9)));
    if (one_in(one_wrong_in))
        e = (e & ~UINT64_C(7)) | (noise() >> 30 & 7);
    if (one_in(2 * one_wrong_in))
        e ^= BIT(3 + noise() % 5);
    if (one_in(4 * one_wrong_in))
        e ^= noisy_bit(20);
    return e;
}

static void fill_ept(void)
{
    u8 place[PAGES];
    for (unsigned k = FIRST; k < PAGES; k++)
        place[k] = (u8)k;
    for (unsigned k = FIRST; k < PAGES; k++) {
        unsigned j = FIRST + (unsigned)(noise() >> 10) % (PAGES - FIRST);
        u8 was = place[k];
        place[k] = place[j];
        place[j] = was;
    }
    memset(bus.ram.host + EPT_PAGE(0), 0, 4 * PAGE_SIZE);
    poke(EPT_PAGE(0), ept_entry(EPT_PAGE(1), 8 * odds));
    poke(EPT_PAGE(1), ept_entry(EPT_PAGE(2), 4 * odds));
    poke(EPT_PAGE(1) + 8, ept_entry(BIT(7) | WB, 4 * odds));
    poke(EPT_PAGE(2), ept_entry(EPT_PAGE(3), 4 * odds));
    poke(EPT_PAGE(2) + 8, ept_entry(BIT(7) | WB, 4 * odds));
    for (unsigned k = 0; k < 512; k++) {
        u64 to = (u64)place[k < FIRST || k >= PAGES ? FIRST + k % 48 : k] << PAGE_SHIFT;
        poke(EPT_PAGE(3) + 8 * k, ept_entry(to | (u64)(noise() & 2 ? 6 : 0) << 3, odds));
    }
}

/* A guest-physical page: at 0, 2 MiB or 1 GiB. */
static u64 guest_page(void)
{
    static const u64 at[] = {0, 0, 2 * MIB, GIB};
    return at[noise() >> 33 & 3] + (FIRST + (noise() >> 12) % (PAGES - FIRST)) * PAGE_SIZE;
}

/* A table or a page, a large one now and then, rarely with something wrong. */
static u64 guest_entry(bool wide)
{
    static const u64 large[] = {0, 2 * MIB, 4 * MIB, GIB};
    u64 r = noise(), e = guest_page() | 0x7 | (r & 0x178);
    if ((r >> 40) % 12 == 0)
        e = large[r >> 50 & 3] | 0x87 | (r & 0x178);
    if (one_in(odds))
        e ^= BIT(noise() % 3);
    if (one_in(4 * odds))
        e ^= noisy_bit(20);
    if (wide && one_in(odds))
        e |= BIT(63);
    return e;
}

static void fill_guest(bool wide)
{
    unsigned size = wide ? 8 : 4;
    for (u64 at = FIRST * PAGE_SIZE; at < SEEN; at += size) {
        u64 e = guest_entry(wide);
        memcpy(bus.ram.host + at, &e, size);
    }
}

static struct walk_ctx make_world(unsigned n)
{
    static const u8 widths[] = {36, 39, 46, 52};
    u64 r = noise();
    struct walk_ctx ctx = {.bus = &bus, .mode = (enum walk_mode)(n % 5)};
    odds = UINT64_C(4) << (n / 5 % 4) * 2;
    ctx.cr3 = guest_page() | (r & 0xfff);
    ctx.maxphyaddr = widths[r >> 20 & 3];
    ctx.eptp = EPT_PAGE(0) | 0x1e | (r & BIT(22) ? EPTP_AD : 0);
    for (unsigned k = 0; k < 4; k++)
        ctx.pdpte[k] = guest_page() | !one_in(8);
    if (r & BIT(22) && r & BIT(23)) {
        pml = (struct walk_pml){.address = LOG_PAGE, .index = (u16)(r >> 24 & 31)};
        ctx.pml = &pml;
    }
    ctx.pse = r & BIT(30);
    ctx.nxe = !!(r & (BIT(31) | BIT(32)));
    fill_ept();
    fill_guest(ctx.mode != WALK_32BIT);
    return ctx;
}

static void vary(struct walk_ctx *ctx)
{
    u64 r = noise() >> 20;
    ctx->wp = r & 1;
    ctx->smep = (r & 6) == 2;
    ctx->smap = (r & 0x18) == 8;
    ctx->smap_off = r & 0x20;
    ctx->user = r & 0x40;
    if (one_in(4))
        pml.index = (u16)((r >> 8 & 3) - 1);
}

static u64 noisy_lin(const struct walk_ctx *ctx)
{
    u64 lin = noise();
    switch (ctx->mode) {
    case WALK_NONE:
        return (guest_page() | (lin & 0xfff)) ^ (one_in(8) ? lin & 0xfff00000 : 0);
    case WALK_4LEVEL:
        return sign_extend(lin, 48);
    case WALK_5LEVEL:
        return sign_extend(lin, 57);
    default:
        return (u32)lin;
    }
}

static void check_same(const struct model *m, const struct walk_out *out)
{
    REQUIRE(out->result == m->result);
    if (m->ctx->pml)
        REQUIRE(pml.index == m->pml.index);
    if (m->result == WALK_PAGE_FAULT)
        REQUIRE(out->error_code == m->error);
    else
        REQUIRE(out->gpa == m->gpa);
    if (m->result == WALK_EPT_VIOLATION)
        REQUIRE(out->qualification == m->qualification);
    REQUIRE(!memcmp(bus.ram.host, m->mem, SEEN));
    if (m->result != WALK_OK)
        return;
    REQUIRE(out->hpa == m->hpa && out->page_shift == m->shift);
    REQUIRE(out->may_read == (guest_allows(m, WALK_READ) && (m->ept_rights & 1)));
    REQUIRE(out->may_write == (guest_allows(m, WALK_WRITE) && (m->ept_rights & 2) && m->dirty));
    REQUIRE(out->may_exec == (guest_allows(m, WALK_FETCH) && (m->ept_rights & 4)));
}

static struct model model;
static unsigned results[5][WALK_PML_FULL + 1]; /* by guest mode */

static void one_walk(struct walk_ctx *ctx)
{
    struct model *m = &model;
    struct walk_out out;
    vary(ctx);
    u64 lin = noisy_lin(ctx);
    m->ctx = ctx;
    m->pml = pml;
    m->access = (enum walk_access)((noise() >> 15) % 3);
    m->result = WALK_OK;
    guest_model(m, lin);
    walk_translate(ctx, lin, m->access, &out);
    check_same(m, &out);
    results[ctx->mode][out.result]++;
}

/* Each outcome in each mode must have come up often enough for all this to mean something. */
START_TEST(tables_of_noise)
{
    set_up();
    for (unsigned n = 0; n < WORLDS; n++) {
        struct walk_ctx ctx = make_world(n);
        REQUIRE(n == 0 || !memcmp(bus.ram.host + SEEN, model.mem + SEEN, MIB - SEEN));
        memcpy(model.mem, bus.ram.host, MIB);
        for (unsigned k = 0; k < WALKS; k++)
            one_walk(&ctx);
    }
    for (enum walk_mode mode = WALK_NONE; mode <= WALK_5LEVEL; mode++)
        for (enum walk_result r = WALK_OK; r <= WALK_PML_FULL; r++)
            if (r != WALK_PAGE_FAULT || mode != WALK_NONE)
                ck_assert_uint_ge(results[mode][r], 20);
}
END_TEST

SUITE_MAIN("ept_noise", &tables_of_noise)
