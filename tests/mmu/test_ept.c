/* SPDX-License-Identifier: MIT */
/* Translation by EPT alone, its log, and the TLB's contexts of EPT roots and VPIDs. */
#include "mmu/ept.h"

#include <string.h>

#include "mmu/tlb.h"
#include "tests/mmu/ept_tables.h"

#define GPA UINT64_C(0x5a1234567abc)

struct shape {
    unsigned levels, shift;
    u64 page;
};

static const struct shape shapes[] = {{4, 12, 0xabc000}, {3, 21, 0x12200000}, {2, 30, 0x140000000}};

static u64 entry_at(unsigned k)
{
    return EPT_TABLE(k) + 8 * (GPA >> (39 - 9 * k) & 0x1ff);
}

static u64 make_entry(const struct shape *s, unsigned k, u64 flags)
{
    if (k + 1 < s->levels)
        return EPT_TABLE(k + 1) | flags;
    return s->page | WB | flags | (s->shift > 12 ? E_PS : 0);
}

static void put_all(const struct shape *s, u64 flags)
{
    for (unsigned k = 0; k < s->levels; k++)
        poke(entry_at(k), make_entry(s, k, flags));
}

struct run {
    enum walk_result result;
    struct ept_place place;
    struct walk_out out;
    u64 references;
};

static struct run run_access(const struct walk_ctx *ctx, struct ept_access access)
{
    struct run r = {0};
    u64 before = walk_references;
    r.result = ept_translate(ctx, &access, &r.place, &r.out);
    r.references = walk_references - before;
    return r;
}

static struct run run_rights(const struct walk_ctx *ctx, unsigned rights)
{
    return run_access(ctx, (struct ept_access){
                               .gpa = GPA, .rights = rights, .final = true, .linear_valid = true});
}

/* One case: what each entry holds, and the access. */
struct ept_case {
    const struct shape *shape;
    u64 flags[4];
    struct ept_access access;
    bool ad;
};

static void check_flags(const struct ept_case *c, unsigned need, bool ok)
{
    for (unsigned k = 0; k < c->shape->levels; k++) {
        bool leaf = k + 1 == c->shape->levels;
        u64 set = ok && c->ad ? E_A | (leaf && (need & EPT_W) ? E_D : 0) : 0;
        REQUIRE(peek(entry_at(k)) == (make_entry(c->shape, k, c->flags[k]) | set));
    }
}

static void check_case(const struct ept_case *c)
{
    const struct shape *s = c->shape;
    unsigned all = 7, need = c->access.rights | (c->access.table && c->ad ? 2u : 0);
    for (unsigned k = 0; k < s->levels; k++) {
        poke(entry_at(k), make_entry(s, k, c->flags[k]));
        all &= (unsigned)c->flags[k];
    }
    struct walk_ctx ctx = make_ctx(c->ad);
    struct run r = run_access(&ctx, c->access);
    if (need & ~all) {
        u64 qual = need | (u64)all << 3 | (c->access.linear_valid ? Q_LINEAR : 0) |
                   (c->access.linear_valid && c->access.final ? Q_FINAL : 0);
        if (r.result != WALK_EPT_VIOLATION || r.out.qualification != qual || r.out.gpa != GPA)
            ck_abort_msg("%u levels: result %d, qualification %llx, expected %llx", s->levels,
                         (int)r.result, (unsigned long long)r.out.qualification,
                         (unsigned long long)qual);
        check_flags(c, need, false);
        return;
    }
    u64 leaf = c->flags[s->levels - 1];
    bool clean = c->ad && !(need & EPT_W) && !(leaf & E_D);
    REQUIRE(r.result == WALK_OK && r.references == s->levels);
    REQUIRE(r.place.hpa == (s->page | (GPA & MASK(s->shift))));
    REQUIRE(r.place.rights == (clean ? all & ~2u : all));
    check_flags(c, need, true);
}

/* All kinds of access to what is in the entries. */
static void check_accesses(struct ept_case *c)
{
    static const u8 kinds[] = {EPT_R, EPT_W, EPT_X, EPT_R | EPT_W};
    for (unsigned n = 0; n < ARRAY_SIZE(kinds); n++)
        for (unsigned bits = 0; bits < 16; bits++) {
            c->access = (struct ept_access){.gpa = GPA, .rights = kinds[n]};
            c->access.final = bits & 1;
            c->access.linear_valid = bits & 2;
            c->access.table = bits & 4 && !(bits & 1);
            c->ad = bits & 8;
            check_case(c);
        }
}

/* Read, read-write, execute-only, read-execute, all, none, in two entries at once. */
START_TEST(rights_of_two_entries)
{
    static const u8 good[] = {1, 3, 4, 5, 7, 0};
    set_up();
    for (unsigned n = 0; n < ARRAY_SIZE(shapes); n++)
        for (unsigned a = 0; a < shapes[n].levels; a++)
            for (unsigned b = 0; b < shapes[n].levels; b++)
                for (unsigned x = 0; x < 36; x++) {
                    struct ept_case c = {.shape = &shapes[n], .flags = {7, 7, 7, 7}};
                    c.flags[a] = good[x % 6];
                    c.flags[b] = good[x / 6];
                    check_accesses(&c);
                }
}
END_TEST

START_TEST(flags_already_set)
{
    set_up();
    for (unsigned n = 0; n < ARRAY_SIZE(shapes); n++)
        for (unsigned bits = 0; bits < 256; bits++) {
            struct ept_case c = {.shape = &shapes[n]};
            for (unsigned k = 0; k < 4; k++)
                c.flags[k] = (u64)((bits >> (2 * k)) & 3) << 8 | (k == 2 ? 5 : 7);
            check_accesses(&c);
            for (unsigned k = 0; k < 4; k++)
                c.flags[k] |= 7;
            check_accesses(&c);
        }
}
END_TEST

START_TEST(not_present_at_each_level)
{
    set_up();
    struct walk_ctx ctx = make_ctx(true);
    for (unsigned n = 0; n < ARRAY_SIZE(shapes); n++)
        for (unsigned k = 0; k < shapes[n].levels; k++) {
            put_all(&shapes[n], RWX);
            /* Nothing else in the entry counts, nor what is further down. */
            poke(entry_at(k), MASK(64) & ~RWX);
            struct run r = run_rights(&ctx, EPT_X);
            ck_assert_int_eq(r.result, WALK_EPT_VIOLATION);
            ck_assert_uint_eq(r.out.qualification, Q_FINAL | 4);
            ck_assert_uint_eq(r.out.gpa, GPA);
            ck_assert_uint_eq(r.references, k + 1);
            for (unsigned j = 0; j < k; j++)
                ck_assert_uint_eq(peek(entry_at(j)), make_entry(&shapes[n], j, RWX));
        }
}
END_TEST

/* ---- Misconfigurations ---- */

static bool sdm_reserved(const struct shape *s, unsigned k, unsigned bit, unsigned width)
{
    bool leaf = k + 1 == s->levels;
    if (bit >= width && bit <= 51)
        return true;
    if (!leaf)
        return bit >= 3 && bit <= (k == 0 ? 7 : 6);
    return (s->levels == 3 && bit >= 12 && bit <= 20) || (s->levels == 2 && bit >= 12 && bit <= 29);
}

static void check_reserved(const struct shape *s, unsigned k, unsigned bit, unsigned width)
{
    struct walk_ctx ctx = make_ctx(true);
    ctx.maxphyaddr = (u8)width;
    put_all(s, RWX);
    u64 entry = peek(entry_at(k));
    bool type = k + 1 == s->levels && bit >= 3 && bit <= 5;
    bool makes_leaf = bit == 7 && k > 0 && k + 1 < s->levels;
    if ((entry & BIT(bit)) || type || makes_leaf)
        return;
    entry |= BIT(bit);
    poke(entry_at(k), entry);
    struct run r = run_rights(&ctx, EPT_R);
    bool here = r.result == WALK_EPT_MISCONFIG && r.references == k + 1;
    if (here != sdm_reserved(s, k, bit, width))
        ck_abort_msg("%u levels, entry %u, bit %u, width %u: %d", s->levels, k, bit, width, here);
    if (here) {
        REQUIRE(r.out.gpa == GPA && peek(entry_at(0)) == (k ? EPT_TABLE(1) | RWX : entry));
        REQUIRE(peek(entry_at(k)) == entry);
    }
}

START_TEST(reserved_bits)
{
    static const u8 widths[] = {33, 36, 39, 46, 52};
    set_up();
    for (unsigned n = 0; n < ARRAY_SIZE(shapes); n++)
        for (unsigned w = 0; w < ARRAY_SIZE(widths); w++)
            for (unsigned k = 0; k < shapes[n].levels; k++)
                for (unsigned bit = 3; bit < 64; bit++)
                    check_reserved(&shapes[n], k, bit, widths[w]);
}
END_TEST

START_TEST(rights_that_are_misconfigured)
{
    set_up();
    struct walk_ctx ctx = make_ctx(false);
    for (unsigned n = 0; n < ARRAY_SIZE(shapes); n++)
        for (unsigned k = 0; k < shapes[n].levels; k++)
            for (u64 rights = 1; rights < 8; rights++) {
                put_all(&shapes[n], RWX);
                poke(entry_at(k), make_entry(&shapes[n], k, rights));
                struct run r = run_rights(&ctx, EPT_W);
                bool bad = r.result == WALK_EPT_MISCONFIG;
                ck_assert(bad == (rights == 2 || rights == 6));
                if (bad)
                    ck_assert_uint_eq(r.references, k + 1);
            }
}
END_TEST

START_TEST(memory_types)
{
    set_up();
    struct walk_ctx ctx = make_ctx(true);
    for (unsigned n = 0; n < ARRAY_SIZE(shapes); n++)
        for (unsigned type = 0; type < 8; type++)
            for (unsigned ipat = 0; ipat < 2; ipat++) {
                const struct shape *s = &shapes[n];
                put_all(s, RWX);
                u64 leaf = (make_entry(s, s->levels - 1, RWX) & ~TYPE(7)) | TYPE(type);
                poke(entry_at(s->levels - 1), leaf | (ipat ? BIT(6) : 0));
                struct run r = run_rights(&ctx, EPT_W);
                bool reserved = type == 2 || type == 3 || type == 7;
                ck_assert_int_eq(r.result, reserved ? WALK_EPT_MISCONFIG : WALK_OK);
            }
}
END_TEST

/* A page-size bit where the address is that of a 4-KByte page; a table's entry with a good one. */
START_TEST(large_page_by_its_bit)
{
    set_up();
    struct walk_ctx ctx = make_ctx(false);
    for (unsigned k = 1; k < 3; k++) {
        put_all(&shapes[0], RWX);
        poke(entry_at(k), make_entry(&shapes[0], k, RWX | E_PS));
        ck_assert_int_eq(run_rights(&ctx, EPT_R).result, WALK_EPT_MISCONFIG);
        poke(entry_at(k), UINT64_C(0x40000000) | RWX | E_PS | WB);
        struct run r = run_rights(&ctx, EPT_R);
        ck_assert_int_eq(r.result, WALK_OK);
        ck_assert_uint_eq(r.place.hpa, UINT64_C(0x40000000) | (GPA & MASK(39 - 9 * k)));
    }
    /* There are no pages of 512 GBytes, be the address good for one. */
    poke(entry_at(0), RWX | E_PS);
    ck_assert_int_eq(run_rights(&ctx, EPT_R).result, WALK_EPT_MISCONFIG);
    /* In an entry that maps a 4-KByte page bit 7 means nothing. */
    put_all(&shapes[0], RWX | E_PS | BIT(63) | BIT(52) | BIT(11) | BIT(10));
    poke(entry_at(0), make_entry(&shapes[0], 0, RWX));
    poke(entry_at(1), make_entry(&shapes[0], 1, RWX));
    poke(entry_at(2), make_entry(&shapes[0], 2, RWX));
    struct run r = run_rights(&ctx, EPT_W);
    ck_assert_int_eq(r.result, WALK_OK);
    ck_assert_uint_eq(r.place.hpa, shapes[0].page | (GPA & MASK(12)));
}
END_TEST

START_TEST(misconfiguration_against_violation)
{
    set_up();
    struct walk_ctx ctx = make_ctx(true);
    const struct shape *s = &shapes[0];
    /* A right that upper entries lack is missed only at the end. */
    for (unsigned k = 1; k < 4; k++) {
        put_all(s, RWX);
        poke(entry_at(0), make_entry(s, 0, EPT_R));
        poke(entry_at(k), make_entry(s, k, RWX | BIT(40)));
        struct run r = run_rights(&ctx, EPT_W);
        ck_assert_int_eq(r.result, WALK_EPT_MISCONFIG);
        ck_assert_uint_eq(r.references, k + 1);
        ck_assert_uint_eq(peek(entry_at(0)), make_entry(s, 0, EPT_R));
        /* But an entry that is not present ends the walk where it is met. */
        poke(entry_at(k - 1), 0);
        ck_assert_int_eq(run_rights(&ctx, EPT_W).result, WALK_EPT_VIOLATION);
    }
}
END_TEST

START_TEST(tables_outside_ram)
{
    set_up();
    struct walk_ctx ctx = make_ctx(true);
    for (unsigned width = 33; width <= 52; width += 19) {
        ctx.maxphyaddr = (u8)width;
        for (unsigned k = 0; k < 4; k++) {
            put_all(&shapes[0], RWX);
            ctx.eptp = k ? EPTP_BASE : UINT64_C(0xf0000018);
            if (k)
                poke(entry_at(k - 1), UINT64_C(0xf0000000) | RWX);
            struct run r = run_rights(&ctx, EPT_R);
            ck_assert_int_eq(r.result, WALK_EPT_MISCONFIG);
            ck_assert_uint_eq(r.references, k + 1);
        }
    }
}
END_TEST

START_TEST(address_beyond_48_bits)
{
    set_up();
    struct walk_ctx ctx = make_ctx(true);
    ctx.maxphyaddr = 52;
    put_all(&shapes[0], RWX);
    for (unsigned bit = 48; bit < 52; bit++) {
        struct ept_access access = {.gpa = GPA | BIT(bit), .rights = EPT_W, .linear_valid = true};
        struct run r = run_access(&ctx, access);
        ck_assert_int_eq(r.result, WALK_EPT_VIOLATION);
        ck_assert_uint_eq(r.out.qualification, Q_LINEAR | EPT_W);
        ck_assert_uint_eq(r.out.gpa, GPA | BIT(bit));
        ck_assert_uint_eq(peek(entry_at(0)), make_entry(&shapes[0], 0, RWX));
    }
}
END_TEST

START_TEST(no_ept)
{
    set_up();
    struct walk_ctx ctx = {.bus = &bus, .maxphyaddr = 52, .pml = &pml};
    struct run r = run_access(&ctx, (struct ept_access){.gpa = GPA | BIT(51), .rights = EPT_W});
    ck_assert_int_eq(r.result, WALK_OK);
    ck_assert_uint_eq(r.place.hpa, GPA | BIT(51));
    ck_assert_uint_eq(r.place.rights, 7);
    ck_assert_uint_eq(r.references, 0);
    ck_assert_uint_eq(pml.index, 511);
}
END_TEST

START_TEST(table_maps_itself)
{
    set_up();
    struct walk_ctx ctx = make_ctx(true);
    u64 at = EPT_TABLE(0) + 8 * 0x30; /* a good entry of each level; type 0 and a 4-KByte page */
    poke(at, EPT_TABLE(0) | RWX);
    struct ept_access access = {.gpa = UINT64_C(0x180c06030180), .rights = EPT_W};
    struct run r = run_access(&ctx, access);
    ck_assert_int_eq(r.result, WALK_OK);
    ck_assert_uint_eq(r.place.hpa, at);
    ck_assert_uint_eq(peek(at), EPT_TABLE(0) | RWX | E_A | E_D);
}
END_TEST

static u64 written[8];
static unsigned writes;

static void code_written(void *opaque, u8 *page, u64 granules)
{
    ck_assert_ptr_eq(opaque, &bus);
    ck_assert_uint_ne(granules, 0);
    written[writes++ % ARRAY_SIZE(written)] = ram_hpa(&bus.ram, page);
}

START_TEST(writes_pass_the_store_check)
{
    set_up();
    struct walk_ctx ctx = make_ctx(true);
    ctx.pml = &pml;
    put_all(&shapes[0], RWX | E_A);
    bus.ram.code_written = code_written;
    bus.ram.code_opaque = &bus;
    *ram_code(&bus.ram, bus.ram.host + EPT_TABLE(3)) = MASK(64);
    *ram_code(&bus.ram, bus.ram.host + LOG_AT) = BIT(63);
    run_rights(&ctx, EPT_R);
    ck_assert_uint_eq(writes, 0);
    run_rights(&ctx, EPT_W);
    ck_assert_uint_eq(writes, 2);
    ck_assert_uint_eq(written[0], LOG_AT);
    ck_assert_uint_eq(written[1], EPT_TABLE(3));
}
END_TEST

/* ---- The page-modification log ---- */

START_TEST(logs_clean_to_dirty)
{
    set_up();
    struct walk_ctx ctx = make_ctx(true);
    ctx.pml = &pml;
    for (unsigned n = 0; n < ARRAY_SIZE(shapes); n++) {
        const struct shape *s = &shapes[n];
        u16 index = (u16)(300 + n);
        pml.index = index;
        memset(bus.ram.host + LOG_AT, 0, PAGE_SIZE);
        put_all(s, RWX);
        run_rights(&ctx, EPT_R);
        run_rights(&ctx, EPT_X);
        ck_assert_uint_eq(pml.index, index);
        ck_assert_int_eq(run_rights(&ctx, EPT_W).result, WALK_OK);
        ck_assert_uint_eq(pml.index, index - 1);
        /* The 4-KByte page, however large the one that EPT maps. */
        ck_assert_uint_eq(peek(LOG_AT + 8u * index), GPA & PAGE_MASK);
        run_rights(&ctx, EPT_W);
        ck_assert_uint_eq(pml.index, index - 1);
        /* No log of what is refused. */
        poke(entry_at(0), make_entry(s, 0, EPT_R));
        poke(entry_at(s->levels - 1), make_entry(s, s->levels - 1, RWX));
        ck_assert_int_eq(run_rights(&ctx, EPT_W).result, WALK_EPT_VIOLATION);
        ck_assert_uint_eq(pml.index, index - 1);
        for (unsigned k = 0; k < 512; k++)
            REQUIRE(k == index || !peek(LOG_AT + 8 * k));
    }
}
END_TEST

START_TEST(log_wraps_and_fills)
{
    set_up();
    struct walk_ctx ctx = make_ctx(true);
    ctx.pml = &pml;
    pml.index = 0;
    put_all(&shapes[0], RWX);
    ck_assert_int_eq(run_rights(&ctx, EPT_W).result, WALK_OK);
    ck_assert_uint_eq(peek(LOG_AT), GPA & PAGE_MASK);
    ck_assert_uint_eq(pml.index, 0xffff);
    static const u16 full[] = {512, 513, 0x7fff, 0x8000, 0xffff};
    for (unsigned n = 0; n < ARRAY_SIZE(full); n++) {
        pml.index = full[n];
        /* Dirty already: nothing to log. */
        ck_assert_int_eq(run_rights(&ctx, EPT_W).result, WALK_OK);
        put_all(&shapes[0], RWX);
        struct run r = run_rights(&ctx, EPT_W);
        ck_assert_int_eq(r.result, WALK_PML_FULL);
        ck_assert_uint_eq(r.out.gpa, GPA);
        ck_assert_uint_eq(pml.index, full[n]);
        for (unsigned k = 0; k < 4; k++)
            ck_assert_uint_eq(peek(entry_at(k)), make_entry(&shapes[0], k, RWX));
        ck_assert_int_eq(run_rights(&ctx, EPT_R).result, WALK_OK);
        put_all(&shapes[0], RWX | E_A | E_D);
    }
}
END_TEST

/* ---- Contexts of the TLB ---- */

static u8 host_page[4096] __attribute__((aligned(4096)));

static bool cached(struct tlb *tlb, const struct tlb_key *key)
{
    return tlb_slot(tlb_find(tlb, key)->entry, 0x5000)->rtag == 0x5000;
}

static void cache_all(struct tlb *tlb, const struct tlb_key *keys, size_t count)
{
    struct tlb_fill fill = {.lin = 0x5000, .host = host_page, .read = true, .global = true};
    for (size_t k = 0; k < count; k++) {
        struct tlb_ctx *ctx = tlb_find(tlb, &keys[k]);
        tlb_fill(tlb, ctx, &fill);
        *tlb_jump_slot(ctx, 0x5000) = (struct jump_entry){.tag = 0x5000 ^ ctx->jump_gen};
    }
}

static void check_cached(struct tlb *tlb, const struct tlb_key *keys, size_t count, u64 kept)
{
    for (size_t k = 0; k < count; k++) {
        struct tlb_ctx *ctx = tlb_find(tlb, &keys[k]);
        ck_assert(cached(tlb, &keys[k]) == !!(kept & BIT(k)));
        ck_assert((tlb_jump_slot(ctx, 0x5000)->tag == (0x5000 ^ ctx->jump_gen)) ==
                  !!(kept & BIT(k)));
    }
}

START_TEST(tlb_contexts)
{
    static const struct tlb_key keys[] = {
        {.vpid = 0},
        {.vpid = 1},
        {.vpid = 1, .pcid = 5},
        {.vpid = 2},
        {.eptp = 0x10001e, .vpid = 1},
        {.eptp = 0x10005e, .vpid = 1, .pcid = 5},
        {.eptp = 0x10005e, .vpid = 2},
        {.eptp = 0x20001e, .vpid = 1},
        {.eptp = 0x20001e, .vpid = 2},
        {.eptp = 0x800000010001e, .vpid = 2},
    };
    const size_t count = ARRAY_SIZE(keys);
    struct tlb tlb;
    tlb_init(&tlb);
    for (size_t k = 0; k < count; k++) {
        ck_assert(!cached(&tlb, &keys[k]));
        cache_all(&tlb, &keys[k], 1);
    }
    check_cached(&tlb, keys, count, 0x3ff);
    tlb_flush_ept(&tlb, 0x10001e); /* its low bits don't count, the VPID neither */
    check_cached(&tlb, keys, count, 0x38f);
    cache_all(&tlb, keys, count);
    tlb_flush_ept(&tlb, 0x80000001001e);
    check_cached(&tlb, keys, count, 0x3ff);
    tlb_flush_ept(&tlb, 0x800000010005e);
    check_cached(&tlb, keys, count, 0x1ff);
    tlb_flush_ept(&tlb, 0);
    check_cached(&tlb, keys, count, 0xf);
    cache_all(&tlb, keys, count);
    tlb_flush_space(&tlb, 1, -1, false);
    check_cached(&tlb, keys, count, 0x349);
    cache_all(&tlb, keys, count);
    tlb_flush_space(&tlb, 1, 5, false);
    check_cached(&tlb, keys, count, 0x3db);
    cache_all(&tlb, keys, count);
    tlb_flush_space(&tlb, 0, -1, false);
    check_cached(&tlb, keys, count, 0x3fe);
    tlb_fini(&tlb);
}
END_TEST

SUITE_MAIN("ept", &rights_of_two_entries, &flags_already_set, &not_present_at_each_level,
           &reserved_bits, &rights_that_are_misconfigured, &memory_types, &large_page_by_its_bit,
           &misconfiguration_against_violation, &tables_outside_ram, &address_beyond_48_bits,
           &no_ept, &table_maps_itself, &writes_pass_the_store_check, &logs_clean_to_dirty,
           &log_wraps_and_fills, &tlb_contexts)
