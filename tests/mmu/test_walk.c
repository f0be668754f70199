/* SPDX-License-Identifier: MIT */
/*
 * Walks are checked against an oracle written from the SDM's wording that never looks at memory: the
 * test knows which rights it put into which entry.
 */
#include "mmu/walk.h"

#include <string.h>

#include "tests/suite.h"

#define E_P BIT(0)
#define E_RW BIT(1)
#define E_US BIT(2)
#define E_A BIT(5)
#define E_D BIT(6)
#define E_PS BIT(7)
#define E_G BIT(8)
#define E_XD BIT(63)

#define RAM_SIZE (64 * MIB)
#define TABLE(k) (UINT64_C(0x10000) + 0x1000 * (u64)(k)) /* table number k, the root is 0 */
#define PAGE_AT UINT64_C(0x00c00000)                     /* the page mapped, if it is in low RAM */

/* A way to translate: which paging mode and down to which page size. */
struct shape {
    enum walk_mode mode;
    unsigned levels; /* entries in memory */
    u8 shift;        /* of the page */
    const char *name;
};

static const struct shape shapes[] = {
    {WALK_32BIT, 2, 12, "32-bit 4K"},   {WALK_32BIT, 1, 22, "32-bit 4M"},
    {WALK_PAE, 2, 12, "PAE 4K"},        {WALK_PAE, 1, 21, "PAE 2M"},
    {WALK_4LEVEL, 4, 12, "4-level 4K"}, {WALK_4LEVEL, 3, 21, "4-level 2M"},
    {WALK_4LEVEL, 2, 30, "4-level 1G"}, {WALK_5LEVEL, 5, 12, "5-level 4K"},
    {WALK_5LEVEL, 4, 21, "5-level 2M"}, {WALK_5LEVEL, 3, 30, "5-level 1G"},
};

static struct bus bus;

static void set_up(void)
{
    if (!bus.ram.host)
        ck_assert(bus_init(&bus, RAM_SIZE, NULL));
}

static bool is_32bit(const struct shape *s)
{
    return s->mode == WALK_32BIT;
}

static u64 shape_lin(const struct shape *s)
{
    if (s->mode == WALK_32BIT || s->mode == WALK_PAE)
        return UINT64_C(0xc1a35678);
    return s->mode == WALK_4LEVEL ? UINT64_C(0xffffa123c5a35678) : UINT64_C(0xff13a123c5a35678);
}

/* Bits of the linear address that the entry at depth k (0: the first in memory) doesn't index. */
static unsigned depth_shift(const struct shape *s, unsigned k)
{
    if (is_32bit(s))
        return k ? 12 : 22;
    unsigned first = s->mode == WALK_PAE ? 21 : s->mode == WALK_4LEVEL ? 39 : 48;
    return first - 9 * k;
}

static u64 entry_addr(const struct shape *s, unsigned k)
{
    u64 lin = shape_lin(s);
    if (is_32bit(s))
        return TABLE(k) + 4 * ((lin >> depth_shift(s, k)) & 0x3ff);
    return TABLE(k) + 8 * ((lin >> depth_shift(s, k)) & 0x1ff);
}

static unsigned entry_size(const struct shape *s)
{
    return is_32bit(s) ? 4 : 8;
}

static void put_entry(const struct shape *s, unsigned k, u64 entry)
{
    memcpy(bus.ram.host + entry_addr(s, k), &entry, entry_size(s));
}

static u64 get_entry(const struct shape *s, unsigned k)
{
    u64 entry = 0;
    memcpy(&entry, bus.ram.host + entry_addr(s, k), entry_size(s));
    return entry;
}

static u64 page_base(const struct shape *s)
{
    return s->shift == 30 ? 0 : PAGE_AT;
}

/* The entry at depth k with these flags, leading on to the next table or the page. */
static u64 make_entry(const struct shape *s, unsigned k, u64 flags)
{
    if (k + 1 < s->levels)
        return TABLE(k + 1) | flags;
    return page_base(s) | flags | (s->shift > 12 ? E_PS : 0);
}

static struct walk_ctx make_ctx(const struct shape *s)
{
    struct walk_ctx ctx = {.bus = &bus, .cr3 = TABLE(0) | 0xfff, .mode = s->mode, .maxphyaddr = 39};
    ctx.nxe = s->mode != WALK_32BIT;
    ctx.pse = true;
    if (s->mode == WALK_PAE) {
        for (unsigned k = 0; k < 4; k++)
            ctx.pdpte[k] = 0;
        ctx.pdpte[shape_lin(s) >> 30 & 3] = TABLE(0) | E_P;
    }
    return ctx;
}

/* ---- Rights ---- */

struct rights {
    bool writable, user, no_exec; /* of the whole translation */
    unsigned key;
};

static bool sdm_supervisor_ok(const struct walk_ctx *c, const struct rights *r, enum walk_access a)
{
    switch (a) {
    case WALK_READ:
        /* Supervisor-mode addresses: always. User-mode ones: by SMAP and EFLAGS.AC. */
        return !r->user || !c->smap || c->smap_off;
    case WALK_WRITE:
        if (c->wp && !r->writable)
            return false;
        return !r->user || !c->smap || c->smap_off;
    default:
        if (r->user && c->smep)
            return false;
        return !r->no_exec;
    }
}

static bool sdm_user_ok(const struct rights *r, enum walk_access a)
{
    if (!r->user)
        return false;
    return a == WALK_READ || (a == WALK_WRITE ? r->writable : !r->no_exec);
}

static bool sdm_key_ok(const struct walk_ctx *c, const struct rights *r, enum walk_access a)
{
    if (c->mode != WALK_4LEVEL && c->mode != WALK_5LEVEL)
        return true;
    if (!c->pke || !r->user || a == WALK_FETCH)
        return true;
    bool ad = c->pkru & BIT32(2 * r->key);
    bool wd = c->pkru & BIT32(2 * r->key + 1);
    if (ad)
        return false;
    if (a == WALK_WRITE && wd)
        return !c->user && !c->wp;
    return true;
}

static bool sdm_ok(const struct walk_ctx *c, const struct rights *r, enum walk_access a)
{
    return (c->user ? sdm_user_ok(r, a) : sdm_supervisor_ok(c, r, a)) && sdm_key_ok(c, r, a);
}

static u32 sdm_error(const struct walk_ctx *c, enum walk_access a, u32 why)
{
    bool fetch_bit = c->smep || (c->nxe && c->mode != WALK_32BIT);
    return why | (a == WALK_WRITE ? 2u : 0) | (c->user ? 4u : 0) |
           (a == WALK_FETCH && fetch_bit ? 16u : 0);
}

/* One case: these flags in each entry, this context, this access. */
struct matrix {
    const struct shape *shape;
    u64 flags[5];
    struct walk_ctx ctx;
};

static void check_memory(const struct matrix *m, u64 above, u64 leaf)
{
    for (unsigned k = 0; k < m->shape->levels; k++) {
        u64 set = k + 1 < m->shape->levels ? above : leaf;
        if (get_entry(m->shape, k) != (make_entry(m->shape, k, m->flags[k]) | set))
            ck_abort_msg("%s: entry %u is wrong after the walk", m->shape->name, k);
    }
}

static void check_ok(const struct matrix *m, const struct rights *r, enum walk_access access,
                     const struct walk_out *out)
{
    const struct walk_ctx *c = &m->ctx;
    u64 gpa = page_base(m->shape) | (shape_lin(m->shape) & MASK(m->shape->shift));
    u64 leaf = m->flags[m->shape->levels - 1];
    bool dirty = access == WALK_WRITE || (leaf & E_D);
    bool ok = out->result == WALK_OK && out->gpa == gpa && out->hpa == gpa &&
              out->page_shift == m->shape->shift && out->global == (c->pge && (leaf & E_G)) &&
              out->may_read == sdm_ok(c, r, WALK_READ) &&
              out->may_write == (sdm_ok(c, r, WALK_WRITE) && dirty) &&
              out->may_exec == sdm_ok(c, r, WALK_FETCH);
    if (!ok)
        ck_abort_msg("%s: result %d, gpa %llx, rights %d%d%d", m->shape->name, (int)out->result,
                     (unsigned long long)out->gpa, out->may_read, out->may_write, out->may_exec);
    check_memory(m, E_A, access == WALK_WRITE ? E_A | E_D : E_A);
}

static void check_case(const struct matrix *m, enum walk_access access)
{
    const struct shape *s = m->shape;
    struct rights r = {.writable = true, .user = true};
    bool present = true, reserved = false;
    for (unsigned k = 0; k < s->levels; k++)
        put_entry(s, k, make_entry(s, k, m->flags[k]));
    for (unsigned k = 0; k < s->levels && present && !reserved; k++) {
        present = m->flags[k] & E_P;
        reserved = present && (m->flags[k] & E_XD) && !m->ctx.nxe;
        r.writable &= (m->flags[k] & E_RW) != 0;
        r.user &= (m->flags[k] & E_US) != 0;
        r.no_exec |= (m->flags[k] & E_XD) != 0;
    }
    r.key = (unsigned)(m->flags[s->levels - 1] >> 59) & 15;
    struct walk_out out;
    walk_translate(&m->ctx, shape_lin(s), access, &out);
    if (present && !reserved && sdm_ok(&m->ctx, &r, access)) {
        check_ok(m, &r, access, &out);
        return;
    }
    u32 why = !present ? 0 : reserved ? 9u : sdm_key_ok(&m->ctx, &r, access) ? 1u : 33u;
    u32 error = sdm_error(&m->ctx, access, why);
    if (out.result != WALK_PAGE_FAULT || out.error_code != error)
        ck_abort_msg("%s: result %d, error %x, expected %x", s->name, (int)out.result,
                     (unsigned)out.error_code, (unsigned)error);
    check_memory(m, 0, 0);
}

/* Spreads the low bits of a counter over the switches of a context. */
static void set_switches(struct walk_ctx *ctx, unsigned bits)
{
    ctx->wp = bits & 1;
    ctx->smep = bits & 2;
    ctx->smap = bits & 4;
    ctx->smap_off = bits & 8;
    ctx->user = bits & 16;
    ctx->pge = bits & 32;
    ctx->nxe = bits & 64;
}
#define SWITCHES 128

/* R/W, U/S, XD, and P now and then, by a counter. */
static u64 some_flags(const struct shape *s, unsigned bits)
{
    u64 flags = (bits & 1 ? E_RW : 0) | (bits & 2 ? E_US : 0) | (bits & 4 ? 0 : E_P);
    return flags | (!is_32bit(s) && (bits & 8) ? E_XD : 0);
}

static void all_switches(struct matrix *m)
{
    for (unsigned bits = 0; bits < SWITCHES; bits++) {
        set_switches(&m->ctx, bits);
        check_case(m, WALK_READ);
        check_case(m, WALK_WRITE);
        check_case(m, WALK_FETCH);
    }
}

START_TEST(rights_of_two_entries)
{
    set_up();
    for (unsigned n = 0; n < ARRAY_SIZE(shapes); n++) {
        const struct shape *s = &shapes[n];
        struct matrix m = {.shape = s, .ctx = make_ctx(s)};
        for (unsigned varied = 0; varied < s->levels; varied++)
            for (unsigned bits = 0; bits < 256; bits++) {
                for (unsigned k = 0; k < s->levels; k++)
                    m.flags[k] = E_P | E_RW | E_US;
                m.flags[varied] = some_flags(s, bits & 15);
                m.flags[s->levels - 1] &= some_flags(s, bits >> 4) | E_XD;
                m.flags[s->levels - 1] |= some_flags(s, bits >> 4) & E_XD;
                all_switches(&m);
            }
    }
}
END_TEST

START_TEST(keys_against_rights)
{
    static const u32 masks[] = {0, 1, 2, 3};
    set_up();
    for (unsigned n = 0; n < ARRAY_SIZE(shapes); n++) {
        const struct shape *s = &shapes[n];
        struct matrix m = {.shape = s, .ctx = make_ctx(s)};
        if (is_32bit(s) || s->mode == WALK_PAE)
            continue;
        m.ctx.pke = true;
        for (unsigned key = 0; key < 16; key += 5)
            for (unsigned bits = 0; bits < 16 * ARRAY_SIZE(masks); bits++) {
                for (unsigned k = 0; k < s->levels; k++)
                    m.flags[k] = E_P | E_RW | E_US;
                m.flags[s->levels - 1] = some_flags(s, bits & 15) | (u64)key << 59;
                u32 mask = masks[bits >> 4];
                m.ctx.pkru = mask << (2 * key); /* only this key's */
                all_switches(&m);
                m.ctx.pkru = ~(UINT32_C(3) << (2 * key)); /* all but this key's */
                all_switches(&m);
            }
        m.ctx.pke = false;
        m.ctx.pkru = ~UINT32_C(0);
        m.flags[s->levels - 1] = E_P | E_US | E_RW;
        all_switches(&m);
    }
}
END_TEST

START_TEST(keys_need_long_mode)
{
    set_up();
    for (unsigned n = 0; n < 4; n++) {
        struct matrix m = {.shape = &shapes[n], .ctx = make_ctx(&shapes[n])};
        m.flags[0] = m.flags[1] = E_P | E_RW | E_US;
        m.ctx.pke = true;
        m.ctx.pkru = ~UINT32_C(0);
        all_switches(&m);
    }
}
END_TEST

START_TEST(accessed_dirty_global)
{
    set_up();
    for (unsigned n = 0; n < ARRAY_SIZE(shapes); n++) {
        const struct shape *s = &shapes[n];
        struct matrix m = {.shape = s, .ctx = make_ctx(s)};
        for (unsigned bits = 0; bits < 64; bits++) {
            for (unsigned k = 0; k < s->levels; k++)
                m.flags[k] = E_P | E_RW | E_US | (bits & 1 ? E_A : 0);
            u64 leaf = (bits & 2 ? E_A : 0) | (bits & 4 ? E_D : 0) | (bits & 8 ? E_G : 0);
            m.flags[s->levels - 1] = E_P | leaf | (bits & 16 ? E_RW : 0) | (bits & 32 ? E_US : 0);
            all_switches(&m);
        }
    }
}
END_TEST

/* ---- Reserved bits ---- */

/* Whether SDM's figure of the entry's format says that `bit` must be 0. */
static bool sdm_reserved(const struct shape *s, unsigned k, unsigned bit, const struct walk_ctx *c)
{
    bool leaf = k + 1 == s->levels;
    unsigned width = c->maxphyaddr;
    if (is_32bit(s)) {
        if (!leaf || s->shift == 12)
            return false;
        unsigned carried = width < 40 ? width : 40; /* bits of address that PSE-36 gives */
        return bit < 22 && bit >= carried - 32 + 13;
    }
    if (bit == 63)
        return !c->nxe;
    if (bit >= width && bit < (s->mode == WALK_PAE ? 63 : 52))
        return true;
    if (leaf && s->shift > 12)
        return bit >= 13 && bit < s->shift;
    return bit == 7 && depth_shift(s, k) > 30; /* PML4E, PML5E */
}

static void check_reserved(const struct shape *s, unsigned k, unsigned bit,
                           const struct walk_ctx *c)
{
    for (unsigned j = 0; j < s->levels; j++)
        put_entry(s, j, make_entry(s, j, E_P | E_RW | E_US));
    u64 entry = get_entry(s, k);
    if (entry & BIT(bit))
        return;
    /* Setting PS makes another kind of entry where there is one, whose other bits now count. */
    if (bit == 7 && k + 1 < s->levels && depth_shift(s, k) <= 30)
        return;
    put_entry(s, k, entry | BIT(bit));
    struct walk_out out;
    u64 before = walk_references;
    walk_translate(c, shape_lin(s), WALK_READ, &out);
    bool fault_here = out.result == WALK_PAGE_FAULT && (out.error_code & PF_RSVD) &&
                      walk_references - before == k + 1;
    if (fault_here != sdm_reserved(s, k, bit, c))
        ck_abort_msg("%s: entry %u bit %u, width %u: reserved %d", s->name, k, bit, c->maxphyaddr,
                     fault_here);
    if (fault_here)
        ck_assert_uint_eq(out.error_code, PF_PRESENT | PF_RSVD);
    /* A bit that is not reserved and no address changes nothing; in an address it shows. */
    if (!fault_here && k + 1 == s->levels)
        ck_assert_int_eq(out.result, bit ? WALK_OK : WALK_PAGE_FAULT);
}

START_TEST(reserved_bits)
{
    static const u8 widths[] = {32, 36, 39, 40, 46, 52};
    set_up();
    for (unsigned n = 0; n < ARRAY_SIZE(shapes); n++)
        for (unsigned w = 0; w < ARRAY_SIZE(widths); w++)
            for (unsigned nxe = 0; nxe < 2; nxe++) {
                const struct shape *s = &shapes[n];
                struct walk_ctx ctx = make_ctx(s);
                ctx.maxphyaddr = widths[w];
                ctx.nxe = nxe;
                for (unsigned k = 0; k < s->levels; k++)
                    for (unsigned bit = 0; bit < 8 * entry_size(s); bit++)
                        check_reserved(s, k, bit, &ctx);
            }
}
END_TEST

START_TEST(not_present_hides_reserved)
{
    set_up();
    const struct shape *s = &shapes[4];
    struct walk_ctx ctx = make_ctx(s);
    struct walk_out out;
    for (unsigned k = 0; k < s->levels; k++)
        put_entry(s, k, make_entry(s, k, E_P | E_RW | E_US));
    put_entry(s, 3, MASK(64) & ~E_P);
    walk_translate(&ctx, shape_lin(s), WALK_WRITE, &out);
    ck_assert_int_eq(out.result, WALK_PAGE_FAULT);
    ck_assert_uint_eq(out.error_code, PF_WRITE);
    /* Reserved bits come before rights that an upper entry lacks. */
    put_entry(s, 0, make_entry(s, 0, E_P));
    put_entry(s, 3, make_entry(s, 3, E_P | BIT(45)));
    ctx.user = true;
    walk_translate(&ctx, shape_lin(s), WALK_WRITE, &out);
    ck_assert_uint_eq(out.error_code, PF_PRESENT | PF_WRITE | PF_USER | PF_RSVD);
}
END_TEST

/* ---- Single things ---- */

START_TEST(pse_extends_addresses)
{
    set_up();
    const struct shape *s = &shapes[1];
    struct walk_ctx ctx = make_ctx(s);
    struct walk_out out;
    u64 entry = UINT64_C(0x12c00000) | E_P | E_PS | UINT64_C(0x5a) << 13;
    put_entry(s, 0, entry);
    ctx.maxphyaddr = 40;
    walk_translate(&ctx, shape_lin(s), WALK_READ, &out);
    ck_assert_int_eq(out.result, WALK_OK);
    ck_assert_uint_eq(out.hpa, UINT64_C(0x5a12c00000) | (shape_lin(s) & MASK(22)));
    /* Without CR4.PSE the same entry leads to a table. */
    ctx.pse = false;
    put_entry(s, 0, TABLE(1) | E_P | E_PS);
    u64 pte = PAGE_AT | E_P;
    memcpy(bus.ram.host + TABLE(1) + 4 * (shape_lin(s) >> 12 & 0x3ff), &pte, 4);
    walk_translate(&ctx, shape_lin(s), WALK_READ, &out);
    ck_assert_int_eq(out.result, WALK_OK);
    ck_assert_uint_eq(out.hpa, PAGE_AT | (shape_lin(s) & MASK(12)));
    ck_assert_uint_eq(out.page_shift, 12);
}
END_TEST

START_TEST(pae_uses_registers)
{
    set_up();
    const struct shape *s = &shapes[2];
    struct walk_ctx ctx = make_ctx(s);
    struct walk_out out;
    ctx.cr3 = 0;
    put_entry(s, 0, make_entry(s, 0, E_P));
    put_entry(s, 1, make_entry(s, 1, E_P));
    walk_translate(&ctx, shape_lin(s), WALK_READ, &out);
    ck_assert_int_eq(out.result, WALK_OK);
    /* Its neighbour isn't present. */
    walk_translate(&ctx, shape_lin(s) ^ BIT(30), WALK_FETCH, &out);
    ck_assert_int_eq(out.result, WALK_PAGE_FAULT);
    ck_assert_uint_eq(out.error_code, PF_FETCH);
}
END_TEST

START_TEST(tables_outside_ram)
{
    set_up();
    struct walk_out out;
    for (unsigned n = 0; n < ARRAY_SIZE(shapes); n++) {
        struct walk_ctx ctx = make_ctx(&shapes[n]);
        ctx.maxphyaddr = 46;
        ctx.cr3 = UINT64_C(0xf0000000);
        ctx.pdpte[3] = UINT64_C(0xf0000000) | E_P;
        ctx.pse = false;
        walk_translate(&ctx, shape_lin(&shapes[n]), WALK_WRITE, &out);
        if (shapes[n].mode != WALK_32BIT) {
            ck_assert_uint_eq(out.error_code, PF_PRESENT | PF_RSVD | PF_WRITE);
            continue;
        }
        /* All ones are a good 32-bit entry: its table and page are at the top of 4 GiB. */
        ck_assert_int_eq(out.result, WALK_OK);
        ck_assert_uint_eq(out.hpa, UINT64_C(0xfffff678));
        ctx.pse = true;
        walk_translate(&ctx, shape_lin(&shapes[n]), WALK_READ, &out);
        ck_assert_uint_eq(out.error_code, PF_PRESENT | PF_RSVD);
    }
}
END_TEST

START_TEST(no_paging)
{
    struct walk_out out;
    struct walk_ctx ctx = {.bus = &bus, .mode = WALK_NONE, .maxphyaddr = 39};
    set_up();
    walk_translate(&ctx, UINT64_C(0xfffffff0), WALK_WRITE, &out);
    ck_assert_int_eq(out.result, WALK_OK);
    ck_assert_uint_eq(out.gpa, UINT64_C(0xfffffff0));
    ck_assert_uint_eq(out.hpa, out.gpa);
    ck_assert(out.may_read && out.may_write && out.may_exec && !out.global);
    ck_assert_uint_ge(out.page_shift, 32);
}
END_TEST

START_TEST(memory_type_bits)
{
    set_up();
    for (unsigned n = 0; n < ARRAY_SIZE(shapes); n++)
        for (unsigned type = 0; type < 8; type++) {
            const struct shape *s = &shapes[n];
            struct walk_ctx ctx = make_ctx(s);
            struct walk_out out;
            u64 pat = s->shift == 12 ? BIT(7) : BIT(12);
            u64 flags = E_P | (u64)(type & 3) << 3 | (type & 4 ? pat : 0);
            for (unsigned k = 0; k + 1 < s->levels; k++)
                put_entry(s, k, make_entry(s, k, E_P | BIT(3) | BIT(4)));
            put_entry(s, s->levels - 1, make_entry(s, s->levels - 1, flags));
            walk_translate(&ctx, shape_lin(s), WALK_READ, &out);
            ck_assert_int_eq(out.result, WALK_OK);
            ck_assert_uint_eq(out.memtype, type);
            ck_assert_uint_eq(out.gpa, page_base(s) | (shape_lin(s) & MASK(s->shift)));
        }
}
END_TEST

START_TEST(table_maps_itself)
{
    set_up();
    const struct shape *s = &shapes[4];
    struct walk_ctx ctx = make_ctx(s);
    struct walk_out out;
    u64 self = TABLE(0) | E_P | E_RW, after;
    memcpy(bus.ram.host + TABLE(0) + 8 * 0x1ed, &self, 8);
    u64 lin = UINT64_C(0xfffff6fb7dbedf68); /* index 0x1ed four times over */
    walk_translate(&ctx, lin, WALK_WRITE, &out);
    ck_assert_int_eq(out.result, WALK_OK);
    ck_assert_uint_eq(out.hpa, TABLE(0) + 0xf68);
    memcpy(&after, bus.ram.host + TABLE(0) + 8 * 0x1ed, 8);
    ck_assert_uint_eq(after, self | E_A | E_D);
}
END_TEST

static u64 written_at, written_granules;

static void code_written(void *opaque, u8 *page, u64 granules)
{
    ck_assert_ptr_eq(opaque, &bus);
    written_at = ram_hpa(&bus.ram, page);
    written_granules = granules;
}

START_TEST(marks_pass_the_store_check)
{
    set_up();
    const struct shape *s = &shapes[4];
    struct walk_ctx ctx = make_ctx(s);
    struct walk_out out;
    for (unsigned k = 0; k < s->levels; k++)
        put_entry(s, k, make_entry(s, k, E_P | E_RW | E_A));
    bus.ram.code_written = code_written;
    bus.ram.code_opaque = &bus;
    *ram_code(&bus.ram, bus.ram.host + TABLE(3)) = MASK(64);
    walk_translate(&ctx, shape_lin(s), WALK_READ, &out);
    ck_assert_uint_eq(written_granules, 0);
    walk_translate(&ctx, shape_lin(s), WALK_WRITE, &out);
    ck_assert_uint_eq(written_at, TABLE(3));
    ck_assert_uint_eq(written_granules, BIT((entry_addr(s, 3) & 0xfff) / 64));
}
END_TEST

/* ---- Tables of noise ---- */

static u64 noise(void)
{
    static u64 state = 88172645463325252;
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

/* Entries that mostly lead on to other tables of noise, inside RAM. */
static void fill_noise(void)
{
    for (unsigned k = 0; k < 16 * 512; k++) {
        u64 r = noise(), entry = r;
        if (r & 7 << 20)
            entry = TABLE(noise() % 16) | (r & (MASK(12) & ~(r & BIT(30) ? 0 : E_PS))) | E_P;
        if ((r >> 24 & 7) == 0)
            entry |= noise() & UINT64_C(0xfff0000000000000);
        memcpy(bus.ram.host + TABLE(0) + 8 * k, &entry, 8);
    }
}

static struct walk_ctx noisy_ctx(void)
{
    u64 r = noise();
    struct walk_ctx ctx = {.bus = &bus, .cr3 = r & BIT(40) ? TABLE(r >> 60) : noise()};
    ctx.mode = (enum walk_mode)(noise() % 5);
    ctx.maxphyaddr = (u8)(32 + noise() % 21);
    for (unsigned k = 0; k < 4; k++)
        ctx.pdpte[k] = TABLE(noise() % 16) | (noise() & MASK(12));
    set_switches(&ctx, (unsigned)(r & 127));
    ctx.pse = r & BIT(8);
    ctx.pke = r & BIT(9);
    ctx.pkru = (u32)noise();
    return ctx;
}

/* What the walk says of each kind of access must be what a walk for that kind gives. */
static void check_agreement(const struct walk_ctx *ctx, u64 lin, const struct walk_out *out)
{
    const bool may[] = {out->may_read, out->may_write, out->may_exec};
    for (enum walk_access a = WALK_READ; a <= WALK_FETCH; a++) {
        struct walk_out again;
        if (a == WALK_WRITE && !may[a])
            continue; /* it might only be clean so far */
        walk_translate(ctx, lin, a, &again);
        REQUIRE((again.result == WALK_OK) == may[a]);
        if (may[a])
            REQUIRE(again.hpa == out->hpa && again.page_shift == out->page_shift);
    }
}

START_TEST(tables_of_noise)
{
    unsigned good = 0;
    set_up();
    for (unsigned n = 0; n < 200000; n++) {
        struct walk_ctx ctx = noisy_ctx();
        struct walk_out out;
        u64 lin = noise(), before = walk_references;
        if (n % 1000 == 0)
            fill_noise();
        walk_translate(&ctx, lin, (enum walk_access)(n % 3), &out);
        REQUIRE(walk_references - before <= 5);
        if (out.result != WALK_OK) {
            REQUIRE(out.result == WALK_PAGE_FAULT);
            continue;
        }
        good++;
        REQUIRE(out.gpa >> MAX(ctx.maxphyaddr, 32) == 0);
        check_agreement(&ctx, lin, &out);
    }
    ck_assert_uint_gt(good, 10000);
}
END_TEST

SUITE_MAIN("walk", &rights_of_two_entries, &keys_against_rights, &keys_need_long_mode,
           &accessed_dirty_global, &reserved_bits, &not_present_hides_reserved,
           &pse_extends_addresses, &pae_uses_registers, &tables_outside_ram, &no_paging,
           &memory_type_bits, &table_maps_itself, &marks_pass_the_store_check, &tables_of_noise)
