/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/code.h"

#include <string.h>

#include "cpu/encode.h"
#include "cpu/insn.h"
#include "cpu/optable.h"

#define INTEGER_CLASSES                                                                            \
    (BIT(CLASS_ALU) | BIT(CLASS_LEA) | BIT(CLASS_MUL) | BIT(CLASS_DIV) | BIT(CLASS_SHIFT) |        \
     BIT(CLASS_LOAD) | BIT(CLASS_STORE) | BIT(CLASS_BRANCH) | BIT(CLASS_CALL) | BIT(CLASS_RET) |   \
     BIT(CLASS_STRING) | BIT(CLASS_NOP))

struct writer {
    struct rng *r;
    const struct code_style *style;
    u8 *out;
};

static bool is_64(const struct code_style *style)
{
    return style->mode & MODE_64;
}

/*
 * Tame code leaves alone what makes a run depend on where the translations of code are looked up:
 * page tables stay, and so do the registers that lead to them.
 */
static bool is_tame(const struct op_row *row)
{
    static const char *const no[] = {"LGDT", "LIDT",  "LLDT",  "LTR",    "LMSW",
                                     "HLT",  "MWAIT", "WRMSR", "XSETBV", "INVPCID"};
    for (size_t k = 0; k < ARRAY_SIZE(no); k++)
        if (!strcmp(row->name, no[k]))
            return false;
    bool control = op_has_letter(row, LET_C) || op_has_letter(row, LET_D);
    return !control || op_letter(row, 0) == LET_R; /* reading is fine */
}

static bool fits(const struct writer *w, const struct op_row *row, u64 classes)
{
    if (row->mode == (is_64(w->style) ? OPMODE_I64 : OPMODE_O64))
        return false;
    return (classes >> row->cls & 1) && (w->style->wild || is_tame(row));
}

static const struct op_row *pick_row(const struct writer *w, u64 classes)
{
    for (;;) {
        const struct op_row *row = &op_rows[rng_below(w->r, op_row_count)];
        if (fits(w, row, classes))
            return row;
    }
}

/* A displacement that leads into the preferred memory with no base, or stays near with one. */
static u64 displacement(const struct writer *w)
{
    u64 v = rng_next(w->r);
    switch (v >> 62) {
    case 0:
        return sign_extend(v, 7);
    case 1:
        return sign_extend(v, 16);
    default:
        return w->style->base + v % w->style->bytes;
    }
}

static u64 immediate(const struct writer *w, const struct op_row *row)
{
    u64 v = rng_next(w->r);
    if (op_letter(row, 0) == LET_J) /* forwards rather, so that loops end */
        return v & 3 ? (v >> 8) % 0x60 : sign_extend(v >> 8, v & 4 ? 14 : 7);
    return v & 1 ? displacement(w) : rng_value(w->r);
}

static void choose(const struct writer *w, const struct op_row *row, struct op_encoding *e)
{
    static const u8 segs[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    struct rng *r = w->r;
    u64 v = rng_next(r);
    *e = (struct op_encoding){.mode = w->style->mode, .modrm = (u8)v, .sib = (u8)(v >> 8)};
    e->low = (u8)(v >> 16);
    if (rng_chance(r, 8))
        e->seg = segs[rng_below(r, ARRAY_SIZE(segs))];
    e->p66 = rng_chance(r, 12);
    e->p67 = rng_chance(r, 5);
    bool lock = row->flags & ROW_LOCK;
    e->lock = rng_chance(r, lock ? 15 : w->style->wild ? 2 : 0);
    if (row->flags & ROW_REPS)
        e->rep = rng_chance(r, 40) ? rng_chance(r, 70) ? 0xf3 : 0xf2 : 0;
    else if (rng_chance(r, 2))
        e->rep = rng_chance(r, 50) ? 0xf3 : 0xf2;
    if (is_64(w->style) && rng_chance(r, 60))
        e->rex = rng_chance(r, 60) ? 0x48 : (u8)(0x40 | (v >> 24 & 15));
    if (rng_chance(r, 25)) /* no base: an absolute or RIP-relative address */
        e->modrm = (u8)((e->modrm & 0x38) | (rng_chance(r, 50) ? 4 : 5));
    if ((e->modrm & 0xc7) == 4 && rng_chance(r, 70))
        e->sib = 0x25;
    e->disp = displacement(w);
    e->imm = immediate(w, row);
    e->selector = (u16)(v >> 32 & 0xff);
}

static unsigned put_row(const struct writer *w, const struct op_row *row)
{
    struct op_encoding e;
    choose(w, row, &e);
    return op_encode(row, &e, w->out);
}

/* A register gets an address that memory operands can use. */
static unsigned put_pointer(const struct writer *w)
{
    unsigned n = 0, reg = rng_below(w->r, 8);
    u64 to = w->style->base + rng_next(w->r) % w->style->bytes;
    if (is_64(w->style))
        w->out[n++] = rng_chance(w->r, 50) ? 0x40 : 0x41;
    w->out[n++] = (u8)(0xb8 + reg);
    unsigned size = w->style->mode & (MODE_64 | MODE_CS32) ? 4 : 2;
    for (unsigned k = 0; k < size; k++)
        w->out[n++] = (u8)(to >> (8 * k));
    return n;
}

/* Something that sets flags, and a conditional jump. */
static unsigned put_compare(const struct writer *w)
{
    static const u8 producers[] = {0x38, 0x39, 0x3a, 0x3b, 0x84, 0x85, 0x28, 0x29, 0x2b,
                                   0x01, 0x03, 0x21, 0x23, 0x09, 0x31, 0x33, 0xff, 0xfe};
    u64 v = rng_next(w->r);
    unsigned n = 0;
    if (is_64(w->style) && (v & 1))
        w->out[n++] = 0x48;
    u8 op = producers[rng_below(w->r, ARRAY_SIZE(producers))];
    w->out[n++] = op;
    w->out[n++] = (u8)(0xc0 | (v >> 8 & (op >= 0xfe ? 0x0f : 0x3f)));
    if (v & 0x10000) { /* short */
        w->out[n++] = (u8)(0x70 | (v >> 24 & 15));
        w->out[n++] = (u8)(v & 0x60000 ? v >> 32 & 0x1f : v >> 32);
        return n;
    }
    w->out[n++] = 0x0f;
    w->out[n++] = (u8)(0x80 | (v >> 24 & 15));
    u64 to = sign_extend(v >> 32, v & 0x20000 ? 14 : 7);
    unsigned size = w->style->mode & (MODE_64 | MODE_CS32) ? 4 : 2;
    for (unsigned k = 0; k < size; k++)
        w->out[n++] = (u8)(to >> (8 * k));
    return n;
}

/* A counted loop: DEC rCX, JNZ back, or LOOP. */
static unsigned put_loop(const struct writer *w)
{
    unsigned n = 0;
    u8 back = (u8)(0xe0 + rng_below(w->r, 0x1c));
    if (rng_chance(w->r, 50)) {
        w->out[n++] = 0xe2;
    } else {
        w->out[n++] = 0xff;
        w->out[n++] = 0xc9;
        w->out[n++] = 0x75;
    }
    w->out[n++] = back;
    return n;
}

/* A small count, so that REP and loops end. */
static unsigned put_count(const struct writer *w)
{
    unsigned size = w->style->mode & (MODE_64 | MODE_CS32) ? 4 : 2;
    memset(w->out, 0, 8);
    w->out[0] = 0xb9;
    w->out[1] = (u8)rng_below(w->r, 64);
    return 1 + size;
}

static unsigned put_junk(const struct writer *w)
{
    unsigned n = 1 + rng_below(w->r, 15);
    for (unsigned k = 0; k < n; k++)
        w->out[k] = (u8)rng_next(w->r);
    return n;
}

static unsigned put_one(const struct writer *w)
{
    u32 dice = rng_below(w->r, 100);
    if (dice < (w->style->wild ? 6u : 1u))
        return put_junk(w);
    if (dice < 12)
        return put_pointer(w);
    if (dice < 13) {
        w->out[0] = 0xfb; /* STI */
        return 1;
    }
    if (dice < 16)
        return put_count(w);
    if (dice < 19)
        return put_loop(w);
    if (dice < 35)
        return put_compare(w);
    if (dice < 80)
        return put_row(w, pick_row(w, INTEGER_CLASSES));
    if (dice < 88)
        return put_row(w, pick_row(w, BIT(CLASS_VEC)));
    if (dice < 93)
        return put_row(w, pick_row(w, BIT(CLASS_FPU)));
    return dice < (w->style->wild ? 100u : 95u) ? put_row(w, pick_row(w, BIT(CLASS_SYS)))
                                                : put_row(w, pick_row(w, INTEGER_CLASSES));
}

void code_fill(struct rng *r, const struct code_style *style, u8 *buf, size_t size)
{
    u8 insn[40];
    struct writer w = {r, style, insn};
    for (size_t at = 0; at < size;) {
        size_t n = put_one(&w);
        n = MIN(n, size - at);
        memcpy(buf + at, insn, n);
        at += n;
    }
}
