/* SPDX-License-Identifier: MIT */
/* EPT under the guest's page tables, case by case. */
#include "mmu/walk.h"

#include <string.h>

#include "mmu/ept.h"
#include "tests/mmu/ept_tables.h"

#define G_P BIT(0)
#define G_RW BIT(1)
#define G_US BIT(2)
#define G_A BIT(5)
#define G_D BIT(6)
#define G_XD BIT(63)
#define G_ALL (G_P | G_RW | G_US)

/* A guest-physical page: 0 to 4 hold the guest's tables, the root first, PAGE_SLOT its page. */
#define SLOT_GPA(k) (UINT64_C(0x40200000) + 0x1000 * (u64)(k))
#define SLOT_HPA(k) (UINT64_C(0x80000) + 0x1000 * (u64)((k)*7 + 3))
#define SLOT_ENTRY(k) (EPT_TABLE(3) + 8 * (u64)(k)) /* of EPT */
#define PAGE_SLOT 6

struct guest {
    enum walk_mode mode;
    unsigned levels;
    u64 lin;
};

static const struct guest guests[] = {
    {WALK_NONE, 0, SLOT_GPA(PAGE_SLOT) | 0x678},
    {WALK_32BIT, 2, 0xc1a35678},
    {WALK_PAE, 2, 0xc1a35678},
    {WALK_4LEVEL, 4, 0xffffa123c5a35678},
    {WALK_5LEVEL, 5, 0xff13a123c5a35678},
};

static u64 guest_offset(const struct guest *g, unsigned k)
{
    unsigned up = g->levels - 1 - k;
    if (g->mode == WALK_32BIT)
        return 4 * (g->lin >> (12 + 10 * up) & 0x3ff);
    return 8 * (g->lin >> (12 + 9 * up) & 0x1ff);
}

static void put_guest(const struct guest *g, unsigned k, u64 flags)
{
    u64 entry = SLOT_GPA(k + 1 < g->levels ? k + 1 : PAGE_SLOT) | flags;
    memcpy(bus.ram.host + SLOT_HPA(k) + guest_offset(g, k), &entry, g->mode == WALK_32BIT ? 4 : 8);
}

static u64 guest_flags(const struct guest *g, unsigned k)
{
    u64 entry = peek(SLOT_HPA(k) + guest_offset(g, k));
    return entry & (g->mode == WALK_32BIT ? MASK(12) : MASK(12) | G_XD);
}

static void put_slot(unsigned slot, u64 flags)
{
    poke(SLOT_ENTRY(slot), SLOT_HPA(slot) | WB | flags);
}

static u64 slot_flags(unsigned slot)
{
    return peek(SLOT_ENTRY(slot)) & (RWX | E_A | E_D);
}

/* All allowed in both dimensions, no A or D flag set but those in flags. */
static struct walk_ctx make_guest(const struct guest *g, bool ad, u64 flags)
{
    struct walk_ctx ctx = make_ctx(ad);
    set_up();
    poke(EPT_TABLE(0), EPT_TABLE(1) | RWX);
    poke(EPT_TABLE(1) + 8, EPT_TABLE(2) | RWX);
    poke(EPT_TABLE(2) + 8, EPT_TABLE(3) | RWX);
    for (unsigned k = 0; k <= PAGE_SLOT; k++)
        put_slot(k, RWX);
    for (unsigned k = 0; k < g->levels; k++)
        put_guest(g, k, G_ALL | flags);
    ctx.mode = g->mode;
    ctx.cr3 = SLOT_GPA(0) | 0xfff;
    ctx.pdpte[3] = SLOT_GPA(0) | 1;
    ctx.wp = true;
    return ctx;
}

static u64 walked;

static struct walk_out walk(const struct walk_ctx *ctx, const struct guest *g, enum walk_access a)
{
    struct walk_out out;
    u64 before = walk_references;
    walk_translate(ctx, g->lin, a, &out);
    walked = walk_references - before;
    return out;
}

static void check_violation(const struct walk_out *out, u64 gpa, u64 qualification)
{
    if (out->result != WALK_EPT_VIOLATION || out->gpa != gpa || out->qualification != qualification)
        ck_abort_msg("result %d, gpa %llx, qualification %llx, expected %llx, %llx",
                     (int)out->result, (unsigned long long)out->gpa,
                     (unsigned long long)out->qualification, (unsigned long long)gpa,
                     (unsigned long long)qualification);
}

static void check_guest_clean(const struct guest *g, u64 flags)
{
    for (unsigned k = 0; k < g->levels; k++)
        REQUIRE(guest_flags(g, k) == flags);
}

/* The body runs for each guest with EPT's A and D flags off and on. */
#define EACH_GUEST(g, ad)                                                                          \
    for (const struct guest *g = guests; g < guests + ARRAY_SIZE(guests); g++)                     \
        for (int ad = 0; ad < 2; ad++)

START_TEST(tables_elsewhere)
{
    EACH_GUEST(g, ad)
    for (enum walk_access a = WALK_READ; a <= WALK_FETCH; a++) {
        struct walk_ctx ctx = make_guest(g, ad, 0);
        struct walk_out out = walk(&ctx, g, a);
        bool write = a == WALK_WRITE;
        ck_assert_int_eq(out.result, WALK_OK);
        ck_assert_uint_eq(out.gpa, SLOT_GPA(PAGE_SLOT) | 0x678);
        ck_assert_uint_eq(out.hpa, SLOT_HPA(PAGE_SLOT) | 0x678);
        ck_assert_uint_eq(out.page_shift, g->levels ? 12 : 32);
        ck_assert(out.may_read && out.may_exec);
        ck_assert(out.may_write == (write || (!g->levels && !ad)));
        ck_assert_uint_eq(walked, (g->levels + 1) * 5 - 1);
        for (unsigned k = 0; k < g->levels; k++) {
            bool leaf = k + 1 == g->levels;
            ck_assert_uint_eq(guest_flags(g, k), G_ALL | G_A | (leaf && write ? G_D : 0));
            ck_assert_uint_eq(slot_flags(k), RWX | (ad ? E_A | E_D : 0));
        }
        ck_assert_uint_eq(slot_flags(PAGE_SLOT), RWX | (ad ? E_A | (write ? E_D : 0) : 0));
    }
}
END_TEST

START_TEST(table_page_not_readable)
{
    static const u8 rights[] = {0, 4, 1, 5};
    EACH_GUEST(g, ad)
    for (unsigned k = 0; k < g->levels; k++)
        for (unsigned n = 0; n < (ad ? 4 : 2); n++)
            for (enum walk_access a = WALK_READ; a <= WALK_FETCH; a++) {
                struct walk_ctx ctx = make_guest(g, ad, 0);
                put_slot(k, rights[n]);
                put_slot(PAGE_SLOT, 0); /* not met yet */
                struct walk_out out = walk(&ctx, g, a);
                u64 kind = ad ? 3 : 1;
                check_violation(&out, SLOT_GPA(k) + guest_offset(g, k),
                                Q_LINEAR | kind | (u64)rights[n] << 3);
                check_guest_clean(g, G_ALL);
                ck_assert_uint_eq(slot_flags(k), rights[n]);
            }
}
END_TEST

/* Without EPT's flags a table's page may be read-only until a flag in it is to be set. */
START_TEST(table_page_not_writable)
{
    EACH_GUEST(g, bits)
    for (unsigned k = 0; k < g->levels; k++)
        for (u64 rights = 1; rights <= 5; rights += 4)
            for (enum walk_access a = WALK_READ; a <= WALK_FETCH; a++) {
                struct walk_ctx ctx = make_guest(g, false, bits ? G_A : 0);
                put_slot(k, rights);
                struct walk_out out = walk(&ctx, g, a);
                bool leaf = k + 1 == g->levels;
                if (bits && !(leaf && a == WALK_WRITE)) {
                    ck_assert_int_eq(out.result, WALK_OK);
                    ck_assert_uint_eq(out.hpa, SLOT_HPA(PAGE_SLOT) | 0x678);
                    ck_assert(out.may_write == (a == WALK_WRITE));
                    continue;
                }
                check_violation(&out, SLOT_GPA(k) + guest_offset(g, k), Q_LINEAR | 3 | rights << 3);
                ck_assert_uint_eq(guest_flags(g, k), G_ALL | (bits ? G_A : 0));
                ck_assert_uint_eq(guest_flags(g, g->levels - 1) & G_D, 0);
            }
}
END_TEST

START_TEST(page_refused)
{
    static const u8 rights[] = {0, 1, 3, 4, 5, 7};
    static const u8 need[] = {[WALK_READ] = 1, [WALK_WRITE] = 2, [WALK_FETCH] = 4};
    EACH_GUEST(g, ad)
    for (unsigned n = 0; n < ARRAY_SIZE(rights); n++)
        for (enum walk_access a = WALK_READ; a <= WALK_FETCH; a++) {
            struct walk_ctx ctx = make_guest(g, ad, 0);
            put_slot(PAGE_SLOT, rights[n]);
            struct walk_out out = walk(&ctx, g, a);
            if (need[a] & rights[n]) {
                ck_assert_int_eq(out.result, WALK_OK);
                continue;
            }
            check_violation(&out, SLOT_GPA(PAGE_SLOT) | 0x678,
                            Q_FINAL | need[a] | (u64)rights[n] << 3);
            ck_assert_uint_eq(slot_flags(PAGE_SLOT), rights[n]);
            if (g->levels)
                ck_assert_uint_eq(guest_flags(g, g->levels - 1) & G_D, 0);
        }
}
END_TEST

/* Each dimension with its rights and its D flag; a write then sets both flags if it may. */
START_TEST(rights_of_both_dimensions)
{
    static const u8 rights[] = {1, 3, 5, 7};
    EACH_GUEST(g, ad)
    for (unsigned n = 0; n < 4 * 16; n++) {
        struct walk_ctx ctx = make_guest(g, ad, G_A);
        bool rw = n & 4, xd = n & 8 && g->mode != WALK_32BIT, guest_d = n & 16, ept_d = n & 32;
        unsigned r = rights[n & 3];
        if (g->levels)
            put_guest(g, g->levels - 1,
                      G_P | G_US | (rw ? G_RW : 0) | (xd ? G_XD : 0) | (guest_d ? G_D : 0));
        rw |= !g->levels;
        xd &= g->levels != 0;
        guest_d |= !g->levels;
        put_slot(PAGE_SLOT, r | (ept_d ? E_D : 0));
        struct walk_out out = walk(&ctx, g, WALK_READ);
        ck_assert_int_eq(out.result, WALK_OK);
        ck_assert(out.may_read);
        ck_assert(out.may_exec == ((r & 4) && !xd));
        ck_assert(out.may_write == ((r & 2) && rw && guest_d && (ept_d || !ad)));
        out = walk(&ctx, g, WALK_WRITE);
        ck_assert_int_eq(out.result, !rw        ? WALK_PAGE_FAULT
                                     : !(r & 2) ? WALK_EPT_VIOLATION
                                                : WALK_OK);
        ck_assert(out.may_write == (out.result == WALK_OK));
    }
}
END_TEST

START_TEST(execute_only_page)
{
    EACH_GUEST(g, ad)
    {
        struct walk_ctx ctx = make_guest(g, ad, 0);
        put_slot(PAGE_SLOT, EPT_X);
        struct walk_out out = walk(&ctx, g, WALK_FETCH);
        ck_assert_int_eq(out.result, WALK_OK);
        ck_assert(out.may_exec && !out.may_read && !out.may_write);
    }
}
END_TEST

START_TEST(page_fault_comes_first)
{
    EACH_GUEST(g, ad)
    for (unsigned k = 0; k < g->levels; k++) {
        struct walk_ctx ctx = make_guest(g, ad, 0);
        put_slot(PAGE_SLOT, 0);
        if (k + 1 < g->levels)
            put_slot(k + 1, 0);
        put_guest(g, k, 0);
        struct walk_out out = walk(&ctx, g, WALK_WRITE);
        ck_assert_int_eq(out.result, WALK_PAGE_FAULT);
        ck_assert_uint_eq(out.error_code, PF_WRITE);
        /* Lack of rights is found with the last table read, before the page is looked for. */
        ctx = make_guest(g, ad, 0);
        put_slot(PAGE_SLOT, 2);
        put_guest(g, k, G_P | G_US);
        out = walk(&ctx, g, WALK_WRITE);
        ck_assert_int_eq(out.result, WALK_PAGE_FAULT);
        ck_assert_uint_eq(out.error_code, PF_PRESENT | PF_WRITE);
        put_slot(g->levels - 1, 0);
        ck_assert_int_eq(walk(&ctx, g, WALK_WRITE).result, WALK_EPT_VIOLATION);
    }
}
END_TEST

START_TEST(misconfigured_below_guest)
{
    EACH_GUEST(g, ad)
    for (unsigned k = 0; k <= g->levels; k++) {
        struct walk_ctx ctx = make_guest(g, ad, 0);
        bool table = k < g->levels;
        put_slot(table ? k : PAGE_SLOT, 6);
        struct walk_out out = walk(&ctx, g, WALK_READ);
        ck_assert_int_eq(out.result, WALK_EPT_MISCONFIG);
        ck_assert_uint_eq(out.gpa,
                          table ? SLOT_GPA(k) + guest_offset(g, k) : SLOT_GPA(PAGE_SLOT) | 0x678);
        check_guest_clean(g, G_ALL);
    }
}
END_TEST

/* EPT leads the guest's table out of RAM: its entries are all ones. */
START_TEST(table_page_outside_ram)
{
    EACH_GUEST(g, ad)
    if (g->levels > 1) {
        struct walk_ctx ctx = make_guest(g, ad, 0);
        poke(SLOT_ENTRY(1), UINT64_C(0xf0000000) | RWX);
        struct walk_out out = walk(&ctx, g, WALK_READ);
        if (g->mode == WALK_32BIT) { /* where that is a good entry, of the last page of 4 GiB */
            check_violation(&out, UINT64_C(0xfffff678), Q_FINAL | 1);
            continue;
        }
        ck_assert_int_eq(out.result, WALK_PAGE_FAULT);
        ck_assert_uint_eq(out.error_code, PF_PRESENT | PF_RSVD);
    }
}
END_TEST

START_TEST(guest_points_beyond_48_bits)
{
    const struct guest *g = &guests[4];
    for (unsigned k = 0; k < g->levels; k++) {
        struct walk_ctx ctx = make_guest(g, true, 0);
        ctx.maxphyaddr = 52;
        put_guest(g, k, G_ALL | BIT(50));
        struct walk_out out = walk(&ctx, g, WALK_READ);
        if (k + 1 < g->levels)
            check_violation(&out, (SLOT_GPA(k + 1) | BIT(50)) + guest_offset(g, k + 1),
                            Q_LINEAR | 3);
        else
            check_violation(&out, SLOT_GPA(PAGE_SLOT) | BIT(50) | 0x678, Q_FINAL | 1);
    }
}
END_TEST

/* The table pages count as written; each page is logged once, in the order of the walk. */
START_TEST(log_of_a_walk)
{
    for (const struct guest *g = guests; g < guests + ARRAY_SIZE(guests); g++)
        for (u16 room = 0; room <= g->levels + 1; room++) {
            struct walk_ctx ctx = make_guest(g, true, 0);
            ctx.pml = &pml;
            pml.index = (u16)(room - 1);
            struct walk_out out = walk(&ctx, g, WALK_WRITE);
            for (unsigned k = 0; k < room; k++)
                ck_assert_uint_eq(peek(LOG_AT + 8 * (room - 1 - k)),
                                  SLOT_GPA(k < g->levels ? k : PAGE_SLOT));
            ck_assert_uint_eq(pml.index, 0xffff);
            if (room == g->levels + 1) {
                ck_assert_int_eq(out.result, WALK_OK);
                continue;
            }
            bool table = room < g->levels;
            ck_assert_int_eq(out.result, WALK_PML_FULL);
            ck_assert_uint_eq(out.gpa, table ? SLOT_GPA(room) + guest_offset(g, room)
                                             : SLOT_GPA(PAGE_SLOT) | 0x678);
            ck_assert_uint_eq(slot_flags(table ? room : PAGE_SLOT), RWX);
            check_guest_clean(g, G_ALL);
        }
}
END_TEST

/*
 * The guest's last table is EPT's own: the entry that maps the guest's page, and says so in both
 * dimensions. A flag that one walk sets must outlive those that the other sets.
 */
START_TEST(guest_table_is_ept_table)
{
    const struct guest *g = &guests[3];
    struct walk_ctx ctx = make_guest(g, true, 0);
    u64 at = EPT_TABLE(3) + guest_offset(g, 3), slot = guest_offset(g, 3) / 8;
    poke(SLOT_ENTRY(3), EPT_TABLE(3) | WB | RWX);
    poke(at, SLOT_GPA(slot) | RWX);
    struct walk_out out = walk(&ctx, g, WALK_WRITE);
    ck_assert_int_eq(out.result, WALK_OK);
    ck_assert_uint_eq(out.gpa, SLOT_GPA(slot) | 0x678);
    ck_assert_uint_eq(out.hpa, SLOT_GPA(slot) | 0x678);
    ck_assert_uint_eq(peek(at), SLOT_GPA(slot) | RWX | G_A | G_D | E_A | E_D);
}
END_TEST

SUITE_MAIN("ept_walk", &tables_elsewhere, &table_page_not_readable, &table_page_not_writable,
           &page_refused, &rights_of_both_dimensions, &execute_only_page, &page_fault_comes_first,
           &misconfigured_below_guest, &table_page_outside_ram, &guest_points_beyond_48_bits,
           &log_of_a_walk, &guest_table_is_ept_table)
