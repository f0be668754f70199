/* SPDX-License-Identifier: MIT */
/* Lazy flags against flags computed the long way; conditions, quick and full; fused branches. */
#include "tests/suite.h"

#include <stdlib.h>
#include <string.h>

#include "cpu/flags.h"
#include "cpu/op_fuse_forms.h"

static struct cpu *cpu;
static struct tlb_ctx *ctx;

static u64 rng(void)
{
    static u64 x = 0x2545f4914f6cdd1d;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

static u64 value(void)
{
    static const u64 edges[] = {0,         1,       2,          0x7f,       0x80,       0xff,
                                0x7fff,    0x8000,  0xffff,     0x7fffffff, 0x80000000, 0xffffffff,
                                INT64_MAX, BIT(63), UINT64_MAX, 15,         16};
    u64 v = rng() % 3 ? edges[rng() % ARRAY_SIZE(edges)] : rng();
    return v + rng() % 3 - 1;
}

static void setup(void)
{
    cpu = aligned_alloc(64, (sizeof(*cpu) + 63) & ~(size_t)63);
    memset(cpu, 0, sizeof(*cpu));
    ctx = calloc(1, sizeof(*ctx));
    cpu->ctx = ctx;
    cpu->tlb = ctx->entry;
    cpu->mode = MODE_64 | MODE_LMA | MODE_PE;
}

static void teardown(void)
{
    free(cpu);
    free(ctx);
}

/* ---- The long way: bit by bit where that is simplest ---- */

static u64 zsp(u64 r, unsigned bits)
{
    u64 flags = 0;
    unsigned ones = 0;
    for (unsigned k = 0; k < 8; k++)
        ones += (r >> k) & 1;
    if (!(r & MASK(bits)))
        flags |= FLAG_ZF;
    if ((r >> (bits - 1)) & 1)
        flags |= FLAG_SF;
    if (ones % 2 == 0)
        flags |= FLAG_PF;
    return flags;
}

static u64 sum_flags(u64 a, u64 b, unsigned carry, unsigned bits, u64 *r)
{
    u128 sum = (u128)(a & MASK(bits)) + (b & MASK(bits)) + carry;
    s128 signed_sum = (s128)(s64)sign_extend(a, bits) + (s64)sign_extend(b, bits) + carry;
    *r = (u64)sum & MASK(bits);
    u64 flags = zsp(*r, bits);
    if (sum >> bits)
        flags |= FLAG_CF;
    if (signed_sum != (s64)sign_extend(*r, bits))
        flags |= FLAG_OF;
    if ((a & 15) + (b & 15) + carry > 15)
        flags |= FLAG_AF;
    return flags;
}

static u64 difference_flags(u64 a, u64 b, unsigned borrow, unsigned bits, u64 *r)
{
    u128 ua = a & MASK(bits), ub = (u128)(b & MASK(bits)) + borrow;
    s128 signed_diff = (s128)(s64)sign_extend(a, bits) - (s64)sign_extend(b, bits) - borrow;
    *r = (u64)(ua - ub) & MASK(bits);
    u64 flags = zsp(*r, bits);
    if (ua < ub)
        flags |= FLAG_CF;
    if (signed_diff != (s64)sign_extend(*r, bits))
        flags |= FLAG_OF;
    if ((a & 15) < (b & 15) + borrow)
        flags |= FLAG_AF;
    return flags;
}

/* The state after an operation of this kind on random operands; returns the expected flags. */
static u64 random_state(unsigned kind, unsigned w)
{
    unsigned bits = 8u << w;
    u64 a = value(), b = value(), r = 0, flags = 0, src = b;
    bool old_cf = rng() & 1, top = (a >> (bits - 1)) & 1;
    switch (kind) {
    case CC_ADD:
    case CC_ADC:
        flags = sum_flags(a, b, kind == CC_ADC, bits, &r);
        break;
    case CC_SUB:
    case CC_SBB:
        flags = difference_flags(a, b, kind == CC_SBB, bits, &r);
        break;
    case CC_LOGIC:
        r = a;
        flags = zsp(r, bits);
        break;
    case CC_INC:
        flags = (sum_flags(a, 1, 0, bits, &r) & ~FLAG_CF) | old_cf;
        src = old_cf;
        break;
    case CC_DEC:
        flags = (difference_flags(a, 1, 0, bits, &r) & ~FLAG_CF) | old_cf;
        src = old_cf;
        break;
    case CC_SHL:
        r = a << 1;
        flags = zsp(r, bits) | top | (top != ((r >> (bits - 1)) & 1) ? FLAG_OF : 0);
        src = a;
        break;
    case CC_SHR:
        r = (a & MASK(bits)) >> 1;
        flags = zsp(r, bits) | (a & 1) | (top ? FLAG_OF : 0);
        src = a;
        break;
    case CC_SAR:
        r = sign_extend(a, bits) >> 1 | (top ? BIT(63) : 0);
        flags = zsp(r, bits) | (a & 1);
        src = a;
        break;
    default:
        r = a;
        flags = zsp(r, bits) | (old_cf ? FLAG_CF | FLAG_OF : 0);
        src = old_cf;
        break;
    }
    cpu->cc_op = kind + w;
    cpu->cc_dst = sign_extend(r, bits);
    cpu->cc_src = sign_extend(src, bits);
    if (kind == CC_INC || kind == CC_DEC || kind == CC_MUL)
        cpu->cc_src = src;
    return flags;
}

static bool condition(u64 f, unsigned cc)
{
    bool c = f & FLAG_CF, z = f & FLAG_ZF, s = f & FLAG_SF, o = f & FLAG_OF, p = f & FLAG_PF;
    const bool all[16] = {o, !o, c, !c, z,      !z,     c || z,      !c && !z,
                          s, !s, p, !p, s != o, s == o, z || s != o, !z && s == o};
    return all[cc];
}

static unsigned quick(unsigned cc)
{
    switch (cc) {
#define X(name, n)                                                                                 \
    case COND_##name:                                                                              \
        return cc_quick(cpu, COND_##name);
        CONDITIONS(X)
#undef X
    default:
        abort();
    }
}

START_TEST(lazy_flags_are_exact)
{
    setup();
    for (unsigned kind = CC_ADD; kind < CC_COUNT; kind += 4)
        for (unsigned w = W8; w <= W64; w++)
            for (unsigned n = 0; n < 3000; n++) {
                u64 expected = random_state(kind, w);
                if (cpu_status_flags(cpu) != expected)
                    ck_abort_msg("cc_op %u: %03x, not %03x", cpu->cc_op,
                                 (unsigned)cpu_status_flags(cpu), (unsigned)expected);
                REQUIRE(cc_carry(cpu) == (expected & FLAG_CF));
            }
    teardown();
}
END_TEST

START_TEST(conditions_agree)
{
    setup();
    for (unsigned n = 0; n < 100000; n++) {
        u64 flags;
        if (rng() % 4 == 0) {
            flags = rng() & FLAGS_STATUS;
            cpu_set_status_flags(cpu, flags);
        } else {
            flags = random_state((unsigned)(CC_ADD + rng() % 11 * 4), rng() % 4);
        }
        for (unsigned cc = 0; cc < 16; cc++) {
            unsigned q = quick(cc);
            REQUIRE(cpu_condition(cpu, cc) == condition(flags, cc));
            REQUIRE(q == CC_NOT_QUICK || q == condition(flags, cc));
            REQUIRE(cpu->cc_op != CC_EFLAGS || q != CC_NOT_QUICK);
        }
    }
    teardown();
}
END_TEST

START_TEST(rflags_image)
{
    setup();
    cpu_set_eflags(cpu, FLAG_IF | FLAG_DF | FLAG_CF | FLAG_ZF | 3 * BIT(12));
    REQUIRE(cpu_eflags(cpu) == (FLAG_IF | FLAG_DF | FLAG_CF | FLAG_ZF | FLAG_IOPL | FLAG_1));
    REQUIRE(!(cpu->eflags & FLAGS_STATUS));
    cpu_set_eflags(cpu, 0);
    REQUIRE(cpu_eflags(cpu) == FLAG_1);
    teardown();
}
END_TEST

/* ---- Fused branches against the two instructions one by one ---- */

static u64 room[64];
static const struct insn *stopped_at;

static HANDLER(stop)
{
    (void)cpu;
    stopped_at = i;
    return NULL;
}

static void run(const struct insn *code)
{
    const struct insn *i = code;
    while (i)
        i = i->fn(cpu, i);
}

extern const struct op_family fam_jo, fam_jno, fam_jb, fam_jae, fam_je, fam_jne, fam_jbe, fam_ja,
    fam_js, fam_jns, fam_jp, fam_jnp, fam_jl, fam_jge, fam_jle, fam_jg;
static const struct op_family *const jumps[16] = {
    &fam_jo, &fam_jno, &fam_jb, &fam_jae, &fam_je, &fam_jne, &fam_jbe, &fam_ja,
    &fam_js, &fam_jns, &fam_jp, &fam_jnp, &fam_jl, &fam_jge, &fam_jle, &fam_jg};

struct outcome {
    u64 gpr[16], flags, rip;
    s64 budget;
    const struct insn *at;
};

static void run_pair(struct insn *code, insn_fn *first, const struct cpu *start,
                     struct outcome *out)
{
    memcpy(cpu, start, sizeof(*cpu));
    code[0].fn = first;
    stopped_at = NULL;
    cpu->rip = 0;
    run(code);
    memcpy(out->gpr, cpu->gpr, sizeof(out->gpr));
    out->flags = cpu_status_flags(cpu);
    out->budget = cpu->budget;
    out->at = stopped_at;
    out->rip = stopped_at ? 0 : cpu->rip;
}

/* Records: pair, fall-through stop; a stop in another block as the branch's target. */
static void check_set(const struct fuse_set *set, unsigned cc, u8 *data)
{
    struct block *block = (struct block *)(void *)room;
    static u64 target_room[20];
    struct block *target = (struct block *)(void *)target_room;
    struct insn *code = block->code;
    memset(room, 0, sizeof(room));
    block->rip = 0x401000;
    target->code[0].fn = stop;
    struct cpu start = *cpu;
    for (unsigned k = 0; k < 16; k++)
        start.gpr[k] = value();
    random_state((unsigned)(CC_ADD + rng() % 11 * 4), rng() % 4);
    start.cc_op = cpu->cc_op;
    start.cc_dst = cpu->cc_dst;
    start.cc_src = cpu->cc_src;
    start.gpr[RSI] = (u64)(uintptr_t)data;
    u64 operand = rng() % 3 ? start.gpr[RCX] : value();
    memcpy(data, &operand, 8);
    if (rng() % 3 == 0)
        start.gpr[RDX] = start.gpr[RCX];
    code[0] = (struct insn){.reg = RCX * 8, .rm = RDX * 8, .base = RSI * 8, .index = ZERO_OFFSET};
    code[0].imm = rng() % 3 ? value() : start.gpr[RDX];
    code[0].misc = 3;
    code[1] = (struct insn){.fn = jumps[cc]->fn[0][W64][FORM_REG], .n = 1, .off = 3, .misc = 2};
    code[1].imm = 0x401080;
    code[1].disp = (u64)(uintptr_t)target->code;
    code[2].fn = stop;
    start.budget = rng() % 2 ? 100 : 1; /* 1: used up by a taken branch */
    struct jump_entry *je = tlb_jump_slot(ctx, code[1].imm);
    *je = (struct jump_entry){.tag = code[1].imm, .block = target};

    struct outcome plain, fused;
    insn_fn *first = set->family->fn[0][set->width][set->form];
    run_pair(code, first, &start, &plain);
    for (unsigned dead = 0; dead < 2; dead++) {
        for (unsigned xp = 0; xp < 2; xp++) {
            insn_fn *fn = xp ? fuse_find_xp(first, cc, dead) : fuse_find(first, cc, dead);
            if (!fn)
                continue;
            REQUIRE(xp || fuse_cross_page(fn) == fuse_find_xp(first, cc, dead));
            run_pair(code, fn, &start, &fused);
            REQUIRE(fused.at == plain.at);
            REQUIRE(fused.budget == plain.budget);
            REQUIRE(fused.rip == plain.rip);
            REQUIRE(memcmp(fused.gpr, plain.gpr, sizeof(fused.gpr)) == 0);
            REQUIRE((dead && fused.at) || fused.flags == plain.flags);
        }
    }
    memcpy(cpu, &start, sizeof(*cpu));
}

START_TEST(fused_branches_agree)
{
    static const struct fuse_set *const sets[] = {fuse_sets_cmp, fuse_sets_test, fuse_sets_mem,
                                                  fuse_sets_alu};
    setup();
    u8 *data = aligned_alloc(4096, 4096);
    u64 va = (u64)(uintptr_t)data;
    *tlb_slot(cpu->tlb, va) = (struct tlb_entry){.rtag = va, .wtag = va, .addend = 0};
    for (unsigned k = 0; k < ARRAY_SIZE(sets); k++)
        for (const struct fuse_set *set = sets[k]; set->family; set++)
            for (unsigned cc = 0; cc < 16; cc++)
                for (unsigned n = 0; n < 300; n++)
                    check_set(set, cc, data);
    free(data);
    teardown();
}
END_TEST

SUITE_MAIN("flags", &lazy_flags_are_exact, &conditions_agree, &rflags_image, &fused_branches_agree)
