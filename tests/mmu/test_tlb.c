/* SPDX-License-Identifier: MIT */
#include "mmu/tlb.h"

#include <stdlib.h>

#include "tests/suite.h"

#define PAGES 48
#define KEYS 12

static struct tlb tlb;
static u8 host_memory[8 * 4096] __attribute__((aligned(4096)));

static bool hits(u64 tag, u64 va, unsigned size)
{
    return va - tag <= PAGE_SIZE - size;
}

static struct tlb_fill make_fill(u64 lin)
{
    return (struct tlb_fill){.lin = lin, .host = host_memory, .read = true, .page_shift = 12};
}

static u64 read_tag(struct tlb_ctx *ctx, u64 va)
{
    return tlb_slot(ctx->entry, va)->rtag;
}

START_TEST(empty_matches_nothing)
{
    tlb_init(&tlb);
    struct tlb_key key = {.vpid = 1};
    struct tlb_ctx *ctx = tlb_find(&tlb, &key);
    REQUIRE((uintptr_t)ctx % 64 == 0);
    static const u64 tops[] = {0, 0x00ffff0000000000, 0xffff800000000000, 0x7ffffffffffff000};
    for (size_t k = 0; k < ARRAY_SIZE(tops); k++)
        for (u64 page = 0; page < 3 * TLB_ENTRIES; page++) {
            u64 va = tops[k] + page * PAGE_SIZE;
            const struct tlb_entry *entry = tlb_slot(ctx->entry, va);
            REQUIRE(!hits(entry->rtag, va, 1) && !hits(entry->wtag, va + 4095, 1));
            REQUIRE(!hits(entry->xtag, va + 1, 8));
        }
    for (u64 rip = 0; rip < 4 * JUMP_ENTRIES; rip++)
        for (u64 gen = 0; gen < 128; gen++)
            REQUIRE(tlb_jump_slot(ctx, rip)->tag != (rip ^ gen << 57));
    tlb_fini(&tlb);
}
END_TEST

START_TEST(fill_allows_what_it_says)
{
    tlb_init(&tlb);
    struct tlb_key key = {.vpid = 1};
    struct tlb_ctx *ctx = tlb_find(&tlb, &key);
    u64 va = UINT64_C(0xffff888000123000);
    for (unsigned bits = 0; bits < 8; bits++) {
        struct tlb_fill fill = make_fill(va + 0x45);
        fill.read = bits & 1;
        fill.write = bits & 2;
        fill.exec = bits & 4;
        tlb_fill(&tlb, ctx, &fill);
        const struct tlb_entry *entry = tlb_slot(ctx->entry, va);
        ck_assert(hits(entry->rtag, va, 8) == fill.read);
        ck_assert(hits(entry->wtag, va + 4088, 8) == fill.write);
        ck_assert(hits(entry->xtag, va, 1) == fill.exec);
        ck_assert(!hits(entry->rtag, va + 4089, 8) && !hits(entry->rtag, va - 1, 1));
        if (bits)
            ck_assert_ptr_eq((u8 *)(uintptr_t)(va + 5 + entry->addend), host_memory + 5);
    }
    ctx->bypass = true;
    struct tlb_fill fill = make_fill(va + PAGE_SIZE);
    tlb_fill(&tlb, ctx, &fill);
    ck_assert(!hits(read_tag(ctx, va + PAGE_SIZE), va + PAGE_SIZE, 1));
    tlb_fini(&tlb);
}
END_TEST

START_TEST(contexts_are_reused_in_order)
{
    tlb_init(&tlb);
    struct tlb_ctx *ctx[TLB_CONTEXTS];
    struct tlb_fill fill = make_fill(0x1000);
    for (u16 k = 0; k < TLB_CONTEXTS; k++) {
        struct tlb_key key = {.pcid = k};
        ctx[k] = tlb_find(&tlb, &key);
        tlb_fill(&tlb, ctx[k], &fill);
        for (u16 j = 0; j < k; j++)
            ck_assert_ptr_ne(ctx[j], ctx[k]);
    }
    struct tlb_key key = {.pcid = 0};
    ck_assert_ptr_eq(tlb_find(&tlb, &key), ctx[0]);
    ck_assert(hits(read_tag(ctx[0], 0x1000), 0x1000, 1));
    ctx[1]->bypass = true;
    struct tlb_key other = {.pcid = 1000};
    ck_assert_ptr_eq(tlb_find(&tlb, &other), ctx[1]);
    ck_assert(!hits(read_tag(ctx[1], 0x1000), 0x1000, 1));
    ck_assert(!ctx[1]->bypass);
    other.pcid = 1;
    ck_assert_ptr_eq(tlb_find(&tlb, &other), ctx[2]);
    /* Every field tells keys apart. */
    static const struct tlb_key keys[] = {
        {0},         {.eptp = 4096}, {.cr3 = 4096}, {.vpid = 1}, {.pcid = 7},
        {.view = 1}, {.mode = 1},    {.bits = 1},   {.pkru = 1},
    };
    for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
        for (size_t j = 0; j < k; j++)
            ck_assert_ptr_ne(tlb_find(&tlb, &keys[k]), tlb_find(&tlb, &keys[j]));
    tlb_fini(&tlb);
}
END_TEST

/* The generation as a caller sees it: whether what it enters now is found. */
static bool jump_found(struct tlb_ctx *ctx, u64 rip)
{
    return tlb_jump_slot(ctx, rip)->tag == (rip ^ ctx->jump_gen);
}

static void jump_enter(struct tlb_ctx *ctx, u64 rip)
{
    tlb_jump_slot(ctx, rip)->tag = rip ^ ctx->jump_gen;
}

START_TEST(jumps_are_forgotten)
{
    tlb_init(&tlb);
    struct tlb_key one = {.pcid = 1}, two = {.pcid = 2};
    static const u64 rips[] = {0, 0x401000, 0xffffffff81000000, 0xff00000000000000};
    for (unsigned round = 0; round < 1000; round++) {
        struct tlb_ctx *ctx = tlb_find(&tlb, round & 1 ? &one : &two);
        for (unsigned k = 0; k < ARRAY_SIZE(rips); k++)
            ck_assert(!jump_found(ctx, rips[k]));
        u64 rip = rips[(u64)rand() % ARRAY_SIZE(rips)];
        jump_enter(ctx, rip);
        ck_assert(jump_found(ctx, rip));
        ck_assert_uint_eq(ctx->jump_gen & MASK(57), 0);
        switch (round % 5) {
        case 0:
            tlb_jump_flush(ctx);
            break;
        case 1:
            tlb_flush_all(&tlb);
            break;
        case 2:
            tlb_flush_page(&tlb, 0, round & 1 ? 1 : 2, 0x1000);
            break;
        case 3:
            tlb_find(&tlb, round & 1 ? &two : &one); /* not in use when it is flushed */
            tlb_flush_space(&tlb, 0, -1, false);
            break;
        default:
            tlb_flush_space(&tlb, 0, round & 1 ? 1 : 2, true);
        }
    }
    tlb_fini(&tlb);
}
END_TEST

START_TEST(old_jumps_stay_forgotten)
{
    tlb_init(&tlb);
    struct tlb_key key = {.pcid = 1};
    struct tlb_ctx *ctx = tlb_find(&tlb, &key);
    for (unsigned round = 0; round < 300; round++) {
        jump_enter(ctx, 0x401000 + round);
        /* No look-up of the context in between: it stays in use and fills up again. */
        tlb_flush_all(&tlb);
        for (unsigned k = 0; k <= round; k++)
            REQUIRE(!jump_found(ctx, 0x401000 + k));
    }
    tlb_fini(&tlb);
}
END_TEST

START_TEST(write_protection)
{
    tlb_init(&tlb);
    struct tlb_key key = {.pcid = 1}, user = {.pcid = 1, .view = TLB_VIEW_USER};
    struct tlb_ctx *ctx[2] = {tlb_find(&tlb, &key), tlb_find(&tlb, &user)};
    for (unsigned k = 0; k < 2; k++)
        for (unsigned page = 0; page < 8; page++) {
            struct tlb_fill fill = make_fill(0x10000 + page * PAGE_SIZE);
            fill.host = host_memory + page * PAGE_SIZE;
            fill.write = fill.exec = true;
            tlb_fill(&tlb, ctx[k], &fill);
            fill.lin += TLB_ENTRIES / 2 * PAGE_SIZE; /* mapped twice, here for writing only */
            fill.read = fill.exec = false;
            tlb_fill(&tlb, ctx[k], &fill);
        }
    tlb_write_protect(&tlb, host_memory + 3 * PAGE_SIZE + 17);
    for (unsigned k = 0; k < 2; k++)
        for (unsigned page = 0; page < 8; page++) {
            u64 va = 0x10000 + page * PAGE_SIZE, alias = va + TLB_ENTRIES / 2 * PAGE_SIZE;
            const struct tlb_entry *entry = tlb_slot(ctx[k]->entry, va);
            ck_assert(hits(entry->rtag, va, 1) && hits(entry->xtag, va, 1));
            ck_assert(hits(entry->wtag, va, 1) == (page != 3));
            entry = tlb_slot(ctx[k]->entry, alias);
            ck_assert(hits(entry->wtag, alias, 1) == (page != 3));
            ck_assert(!hits(entry->rtag, alias, 1));
        }
    tlb_fini(&tlb);
}
END_TEST

/* ---- Flushes against a list of what was entered ---- */

/* A translation that a guest may still see: entered and not flushed since. */
struct known {
    bool live, global, large;
    struct tlb_fill fill;
};

static struct tlb_key keys[KEYS];
static struct known known[KEYS][PAGES];

/* Pages in a few GiBs, some of which share slots. */
static u64 page_lin(unsigned page)
{
    u64 region = (u64)(page % 4) * 37 * GIB + (page & 4 ? UINT64_C(0xffff888000000000) : 0);
    return region + (u64)(page / 8) * PAGE_SIZE * (page & 1 ? 1 : TLB_ENTRIES) + 5 * PAGE_SIZE;
}

static void known_fill(unsigned k, unsigned page)
{
    unsigned bits = (unsigned)rand();
    struct tlb_fill fill = {
        .lin = page_lin(page) + (bits & 0xfff),
        .host = host_memory + (bits >> 12) % 8 * PAGE_SIZE,
        .read = bits & BIT(16),
        .write = bits & BIT(17),
        .exec = bits & BIT(18),
        .global = bits & BIT(19),
        .page_shift = bits & BIT(20) ? 21 : 12,
    };
    tlb_fill(&tlb, tlb_find(&tlb, &keys[k]), &fill);
    known[k][page] = (struct known){true, fill.global, fill.page_shift > 12, fill};
}

static void known_drop(unsigned k, bool keep_global)
{
    for (unsigned page = 0; page < PAGES; page++)
        if (!keep_global || !known[k][page].global)
            known[k][page].live = false;
}

static void known_drop_page(unsigned k, unsigned page, bool other_space)
{
    for (unsigned j = 0; j < PAGES; j++) {
        bool same = j == page || page_lin(j) == page_lin(page) ||
                    (known[k][j].large && page_lin(j) >> 21 == page_lin(page) >> 21);
        if (same && (!other_space || known[k][j].global))
            known[k][j].live = false;
    }
}

static void random_flush(void)
{
    unsigned target = (unsigned)rand() % KEYS, page = (unsigned)rand() % PAGES;
    const struct tlb_key *key = &keys[target];
    bool any = rand() & 1, keep = rand() & 1;
    int pcid = any ? -1 : key->pcid;
    unsigned kind = (unsigned)rand() % 16;
    if (kind == 0)
        tlb_flush_all(&tlb);
    else if (kind == 1)
        tlb_flush_ept(&tlb, any ? 0 : key->eptp | 0x5e);
    else if (kind < 6)
        tlb_flush_space(&tlb, key->vpid, pcid, keep);
    else
        tlb_flush_page(&tlb, key->vpid, pcid, page_lin(page) + 0x123);
    for (unsigned k = 0; k < KEYS; k++) {
        bool mine = keys[k].vpid == key->vpid && (any || keys[k].pcid == key->pcid);
        if (kind == 0)
            known_drop(k, false);
        else if (kind == 1 && keys[k].eptp && (any || key->eptp == keys[k].eptp))
            known_drop(k, false);
        else if (kind > 1 && kind < 6 && mine)
            known_drop(k, keep);
        else if (kind >= 6 && keys[k].vpid == key->vpid)
            known_drop_page(k, page, !mine);
    }
}

/* Each entry of each context must be the last fill of its page, still alive. */
static void check_entries(void)
{
    for (unsigned k = 0; k < KEYS; k++) {
        struct tlb_ctx *ctx = tlb_find(&tlb, &keys[k]);
        for (unsigned page = 0; page < PAGES; page++) {
            u64 va = page_lin(page);
            const struct tlb_entry *entry = tlb_slot(ctx->entry, va);
            const struct known *kn = &known[k][page];
            bool r = hits(entry->rtag, va, 1), w = hits(entry->wtag, va, 1);
            bool x = hits(entry->xtag, va, 1);
            if (!r && !w && !x)
                continue;
            REQUIRE(kn->live);
            REQUIRE(r == kn->fill.read && w == kn->fill.write && x == kn->fill.exec);
            REQUIRE((u8 *)(uintptr_t)(va + entry->addend) == kn->fill.host);
        }
    }
}

START_TEST(no_stale_translation)
{
    tlb_init(&tlb);
    srand(7);
    for (unsigned k = 0; k < KEYS; k++)
        keys[k] = (struct tlb_key){.vpid = k & 1,
                                   .pcid = (u16)(k / 2 % 3),
                                   .view = (u8)(k / 6),
                                   .eptp = k & 1 ? (k % 3 + 1) * PAGE_SIZE | 0x1e : 0};
    for (unsigned step = 0; step < 20000; step++) {
        for (unsigned n = 0; n < 4; n++)
            known_fill((unsigned)rand() % KEYS, (unsigned)rand() % PAGES);
        if (rand() & 1)
            random_flush();
        check_entries();
    }
    tlb_fini(&tlb);
}
END_TEST

START_TEST(flushes_spare_the_rest)
{
    tlb_init(&tlb);
    struct tlb_key key = {.pcid = 1}, other = {.pcid = 2};
    struct tlb_ctx *ctx = tlb_find(&tlb, &key), *ctx2 = tlb_find(&tlb, &other);
    struct tlb_fill fill = make_fill(0x405000);
    tlb_fill(&tlb, ctx, &fill);
    tlb_fill(&tlb, ctx2, &fill);
    fill.lin = UINT64_C(0xffffffff81000000);
    fill.global = true;
    fill.page_shift = 21;
    tlb_fill(&tlb, ctx, &fill);
    /* Another page, small, of no large page's GiB. */
    tlb_flush_page(&tlb, 0, 1, 0x401000);
    ck_assert(hits(read_tag(ctx, 0x405000), 0x405000, 1));
    ck_assert(hits(read_tag(ctx, fill.lin), fill.lin, 1));
    tlb_flush_page(&tlb, 0, 2, 0x405000);
    ck_assert(hits(read_tag(ctx, 0x405000), 0x405000, 1));
    tlb_fill(&tlb, ctx2, &(struct tlb_fill){.lin = 0x405000, .host = host_memory, .read = true});
    /* The other space keeps its own; global translations stay where asked. */
    tlb_flush_space(&tlb, 0, 1, true);
    ck_assert(!hits(read_tag(ctx, 0x405000), 0x405000, 1));
    ck_assert(hits(read_tag(ctx2, 0x405000), 0x405000, 1));
    ck_assert(hits(read_tag(ctx, fill.lin), fill.lin, 1));
    /* A large page goes by any of its addresses, a global one from any space. */
    tlb_flush_page(&tlb, 0, 2, fill.lin + 0x1ff000);
    ck_assert(!hits(read_tag(ctx, fill.lin), fill.lin, 1));
    ck_assert(hits(read_tag(ctx2, 0x405000), 0x405000, 1));
    tlb_fini(&tlb);
}
END_TEST

/* Every page with bit 12 set is watched, or with bit 13 for writes only. */
static unsigned watch_some(void *opaque, u64 lin, const u8 *host)
{
    (void)opaque;
    (void)host;
    if (lin & BIT(12))
        return TLB_WATCH_READ | TLB_WATCH_WRITE;
    return lin & BIT(13) ? TLB_WATCH_WRITE : 0;
}

static void same_step(struct tlb *t, const struct tlb_key *key, unsigned bits)
{
    u64 lin = page_lin((bits >> 24) % PAGES);
    struct tlb_fill fill = {.lin = lin,
                            .host = host_memory + (bits >> 12) % 8 * PAGE_SIZE,
                            .read = bits & BIT(16),
                            .write = bits & BIT(17),
                            .exec = bits & BIT(18),
                            .global = bits & BIT(19),
                            .page_shift = bits & BIT(20) ? 21 : 12};
    struct tlb_ctx *ctx = tlb_find(t, key);
    if (bits % 16 == 0)
        tlb_flush_page(t, key->vpid, bits & BIT(21) ? -1 : key->pcid, lin);
    else if (bits % 16 == 1)
        tlb_write_protect(t, fill.host);
    else if (bits % 256 == 2)
        tlb_flush_space(t, key->vpid, -1, bits & BIT(21));
    else
        tlb_fill(t, ctx, &fill);
}

/* Watched translations miss, and are otherwise there as they would be. */
START_TEST(watching_changes_nothing)
{
    static const struct tlb_watch watch = {watch_some, NULL};
    struct tlb twin;
    tlb_init(&tlb);
    tlb_init(&twin);
    srand(9);
    for (unsigned step = 0; step < 100000; step++) {
        struct tlb_key key = {.pcid = (u16)(rand() & 1)};
        unsigned bits = (unsigned)rand() ^ (unsigned)rand() << 16;
        same_step(&tlb, &key, bits);
        same_step(&twin, &key, bits);
        if (step % 64 == 0)
            tlb_set_watch(&twin, rand() & 1 ? &watch : NULL);
        struct tlb_ctx *ctx = tlb_find(&tlb, &key), *other = tlb_find(&twin, &key);
        for (unsigned page = 0; page < PAGES; page++) {
            u64 va = page_lin(page);
            const struct tlb_entry *a = tlb_slot(ctx->entry, va), *b = tlb_slot(other->entry, va);
            unsigned kinds = twin.watch ? watch_some(NULL, va, NULL) : 0;
            REQUIRE(tlb_tag_is(b->rtag, va) == hits(a->rtag, va, 1));
            REQUIRE(tlb_tag_is(b->wtag, va) == hits(a->wtag, va, 1));
            REQUIRE(hits(b->rtag, va, 1) == (hits(a->rtag, va, 1) && !(kinds & TLB_WATCH_READ)));
            REQUIRE(hits(b->wtag, va, 1) == (hits(a->wtag, va, 1) && !(kinds & TLB_WATCH_WRITE)));
            REQUIRE(hits(b->xtag, va, 1) == hits(a->xtag, va, 1));
            REQUIRE(a->addend == b->addend);
        }
    }
    tlb_fini(&twin);
    tlb_fini(&tlb);
}
END_TEST

SUITE_MAIN("tlb", &empty_matches_nothing, &fill_allows_what_it_says, &contexts_are_reused_in_order,
           &jumps_are_forgotten, &old_jumps_stay_forgotten, &write_protection,
           &no_stale_translation, &flushes_spare_the_rest, &watching_changes_nothing)
