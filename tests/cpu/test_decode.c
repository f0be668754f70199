/* SPDX-License-Identifier: MIT */
/*
 * The decoder against its table, against Zydis, and against what the SDM says in words. The CPU of
 * these tests has every feature, so that every row is reached.
 */
#include "cpu/decode.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "cpu/encode.h"
#include "tests/cpu/decode_zydis.h"
#include "tests/suite.h"

static const struct cpu_model *all_features(void)
{
    static struct cpu_model model;
    memset(model.features, 0xff, sizeof(model.features));
    return &model;
}

static const u32 modes[] = {DECODE_TEST_16, DECODE_TEST_32, DECODE_TEST_64};

/* xorshift64*: the same bytes on every run */
static u64 rng_state = 88172645463325252u;
static u64 rng(void)
{
    rng_state ^= rng_state >> 12;
    rng_state ^= rng_state << 25;
    rng_state ^= rng_state >> 27;
    return rng_state * 2685821657736338717u;
}

static const char *row_text(const struct op_row *row)
{
    static char text[2][100];
    static unsigned turn;
    char *t = text[turn ^= 1];
    snprintf(t, sizeof(text[0]), "%s (map %u, opcode %02x, prefix %u, ext %x, mode %u)", row->name,
             row->map, row->opcode, row->prefix, row->ext, row->mode);
    return t;
}

/* ---- The table ---- */

/* Bit per combination of mandatory prefixes: none, 66, F2, F3, 66 F2, 66 F3. */
static unsigned prefix_set(const struct op_row *row)
{
    static const u8 set[] = {[PREFIX_ANY] = 63, [PREFIX_NF] = 3,   [PREFIX_NP] = 1,
                             [PREFIX_P66] = 2,  [PREFIX_PF2] = 20, [PREFIX_PF3] = 40};
    return set[row->prefix];
}

static bool share_modrm(const struct op_row *a, const struct op_row *b)
{
    for (unsigned modrm = 0; modrm < 256; modrm++)
        if (op_match_modrm(a, (u8)modrm) && op_match_modrm(b, (u8)modrm))
            return true;
    return false;
}

static bool overlap(const struct op_row *a, const struct op_row *b)
{
    return a->map == b->map && a->opcode < b->opcode + op_opcodes(b) &&
           b->opcode < a->opcode + op_opcodes(a) && (prefix_set(a) & prefix_set(b)) &&
           (a->mode == OPMODE_ANY || b->mode == OPMODE_ANY || a->mode == b->mode) &&
           op_rank(a) == op_rank(b) && share_modrm(a, b);
}

START_TEST(rows_do_not_overlap)
{
    for (unsigned a = 0; a < op_row_count; a++)
        for (unsigned b = a + 1; b < op_row_count; b++)
            ck_assert_msg(!overlap(&op_rows[a], &op_rows[b]), "%s and %s overlap",
                          row_text(&op_rows[a]), row_text(&op_rows[b]));
}
END_TEST

START_TEST(rows_of_an_opcode_agree_on_modrm)
{
    for (unsigned a = 0; a < op_row_count; a++)
        for (unsigned b = a + 1; b < op_row_count; b++)
            if (op_rows[a].map == op_rows[b].map && op_rows[a].opcode == op_rows[b].opcode)
                ck_assert_msg(op_has_modrm(&op_rows[a]) == op_has_modrm(&op_rows[b]),
                              "%s and %s: one has a ModRM byte", row_text(&op_rows[a]),
                              row_text(&op_rows[b]));
}
END_TEST

START_TEST(rows_are_well_formed)
{
    for (unsigned k = 0; k < op_row_count; k++) {
        const struct op_row *row = &op_rows[k];
        bool some = false;
        for (unsigned modrm = 0; modrm < 256; modrm++)
            some |= op_match_modrm(row, (u8)modrm);
        ck_assert_msg(some, "%s: no ModRM byte selects it", row_text(row));
        if (op_opcodes(row) > 1)
            ck_assert_msg(row->opcode % 8 == 0 || row->opcode == 0x91,
                          "%s: eight opcodes must start at a multiple of 8", row_text(row));
    }
}
END_TEST

/* ---- Encode and decode ---- */

static void random_encoding(const struct op_row *row, u32 mode, struct op_encoding *e)
{
    static const u8 segs[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    u64 r = rng();
    memset(e, 0, sizeof(*e));
    e->mode = mode;
    e->seg = r & 7 ? 0 : segs[(r >> 3) % 6];
    e->p66 = (r >> 8) % 4 == 0;
    e->p67 = (r >> 11) % 4 == 0;
    e->rex = (mode & MODE_64) && (r >> 14) % 2 ? 0x40 | ((r >> 15) & 15) : 0;
    if (row->flags & ROW_REPS)
        e->rep = (r >> 20) % 3 == 0 ? 0xf2 : (r >> 20) % 3 == 1 ? 0xf3 : 0;
    e->low = (u8)(r >> 24);
    e->modrm = (u8)(r >> 32);
    e->sib = (u8)(r >> 40);
    e->selector = (u16)(r >> 48);
    e->disp = rng();
    e->imm = rng();
}

static bool row_in_mode(const struct op_row *row, u32 mode)
{
    return row->mode != ((mode & MODE_64) ? OPMODE_I64 : OPMODE_O64);
}

/* The row itself, or one that takes some of its bytes by being more specific; or 90 with REX.B. */
static bool same_row(const struct op_row *want, const struct op_row *got)
{
    return want == got || (got && want->map == got->map && op_rank(got) > op_rank(want)) ||
           (got && want->map == MAP_1B && want->opcode == 0x90);
}

static void round_trip(const struct op_row *row, u32 mode)
{
    struct op_encoding e;
    struct decoded d, exact;
    u8 bytes[32];
    random_encoding(row, mode, &e);
    unsigned len = op_encode(row, &e, bytes);
    if (len > INSN_MAX_LEN)
        return;
    u8 modrm = op_fit_modrm(row, e.modrm);
    bool register_faults =
        op_has_letter(row, LET_S) || op_has_letter(row, LET_C) || op_has_letter(row, LET_D);
    for (unsigned avail = 0; avail < len; avail++)
        ck_assert_msg(decode_insn(bytes, avail, mode, 0x1000, all_features(), &d) == DECODE_MORE,
                      "%s: decoded with %u of %u bytes", row_text(row), avail, len);
    /* What comes after it doesn't matter. */
    ck_assert_int_eq(decode_insn(bytes, len, mode, 0x1000, all_features(), &exact), DECODE_OK);
    ck_assert_int_eq(decode_insn(bytes, sizeof(bytes), mode, 0x1000, all_features(), &d),
                     DECODE_OK);
    ck_assert_mem_eq(&d, &exact, sizeof(d));
    if (!d.row && register_faults)
        return;
    ck_assert_msg(same_row(row, d.row), "%s decodes as %s (modrm %02x)", row_text(row),
                  d.row ? row_text(d.row) : "#UD", modrm);
    if (d.row == row)
        ck_assert_msg(INSN_LEN(&d.insn) == len, "%s: length %u, encoded %u", row_text(row),
                      INSN_LEN(&d.insn), len);
}

START_TEST(rows_round_trip)
{
    for (unsigned k = 0; k < op_row_count; k++)
        for (unsigned m = 0; m < ARRAY_SIZE(modes); m++)
            for (unsigned n = 0; n < 60 && row_in_mode(&op_rows[k], modes[m]); n++)
                round_trip(&op_rows[k], modes[m]);
}
END_TEST

/* ---- What the SDM says ---- */

static struct decoded decode(u32 mode, const char *text)
{
    struct decoded d;
    u8 bytes[32] = {0};
    unsigned n = 0;
    for (char *end; *text; text = end) {
        bytes[n++] = (u8)strtoul(text, &end, 16);
        while (*end == ' ')
            end++;
    }
    ck_assert_int_eq(decode_insn(bytes, n, mode, 0x1000, all_features(), &d), DECODE_OK);
    return d;
}

static void expect_name(u32 mode, const char *bytes, const char *name)
{
    struct decoded d = decode(mode, bytes);
    ck_assert_msg(d.row && strcmp(d.row->name, name) == 0, "%s: %s, not %s", bytes,
                  d.row ? d.row->name : "#UD", name);
}
static void expect_fault(u32 mode, const char *bytes, insn_fn *fn)
{
    struct decoded d = decode(mode, bytes);
    ck_assert_msg(d.insn.fn == fn, "%s: %s", bytes, d.row ? d.row->name : "#UD");
    ck_assert(d.ends && d.memory);
}

#define M16 DECODE_TEST_16
#define M32 DECODE_TEST_32
#define M64 DECODE_TEST_64

START_TEST(prefixes_rep_and_nop)
{
    expect_name(M64, "90", "NOP");
    expect_name(M64, "48 90", "NOP");
    expect_name(M64, "41 90", "XCHG");
    ck_assert_uint_eq(decode(M64, "41 90").insn.rm, 8 * R8);
    expect_name(M64, "f2 90", "NOP");
    expect_name(M64, "f3 90", "PAUSE");
    expect_name(M64, "f3 41 90", "PAUSE");
    expect_name(M64, "0f bc c1", "BSF");
    expect_name(M64, "f3 0f bc c1", "TZCNT");
    expect_name(M64, "66 f3 0f b8 c1", "POPCNT");
    expect_name(M64, "66 f2 0f 10 c1", "MOVSD");
    expect_name(M64, "f2 f3 0f 10 c1", "MOVSS");
    expect_name(M64, "f3 f2 0f 10 c1", "MOVSD");
    expect_fault(M64, "0f b8 c1", op_ud);
    ck_assert_int_eq(decode(M64, "a4").form, 0);
    ck_assert_int_eq(decode(M64, "f3 a4").form, 1);
    ck_assert_int_eq(decode(M64, "f2 f3 a4").form, 1);
}
END_TEST

START_TEST(features_choose_rows)
{
    static const u8 tzcnt[] = {0xf3, 0x0f, 0xbc, 0xc1}, movsd[] = {0xf2, 0x0f, 0x10, 0xc1};
    struct cpu_model model = *all_features();
    struct decoded d;
    model.features[FEAT_BMI1 / 64] &= ~BIT(FEAT_BMI1 % 64);
    model.features[FEAT_SSE2 / 64] &= ~BIT(FEAT_SSE2 % 64);
    decode_insn(tzcnt, sizeof(tzcnt), M64, 0, &model, &d);
    ck_assert_str_eq(d.row->name, "BSF");
    decode_insn(movsd, sizeof(movsd), M64, 0, &model, &d);
    ck_assert(d.insn.fn == op_ud);
}
END_TEST

START_TEST(rex_counts_only_before_the_opcode)
{
    struct decoded d = decode(M64, "88 e0"); /* MOV AL, AH */
    ck_assert_uint_eq(d.insn.reg, 1);
    ck_assert_uint_eq(d.insn.rm, 0);
    d = decode(M64, "40 88 e0"); /* MOV AL, SPL */
    ck_assert_uint_eq(d.insn.reg, 8 * RSP);
    d = decode(M64, "48 66 89 c8"); /* REX lost */
    ck_assert_uint_eq(d.width, W16);
    d = decode(M64, "66 48 89 c8");
    ck_assert_uint_eq(d.width, W64);
    d = decode(M64, "48 41 89 c8"); /* the last REX counts */
    ck_assert_uint_eq(d.width, W32);
    ck_assert_uint_eq(d.insn.rm, 8 * R8);
    expect_name(M32, "48", "DEC");
}
END_TEST

START_TEST(sizes_by_mode)
{
    ck_assert_uint_eq(decode(M16, "01 c8").width, W16);
    ck_assert_uint_eq(decode(M16, "66 01 c8").width, W32);
    ck_assert_uint_eq(decode(M32, "01 c8").width, W32);
    ck_assert_uint_eq(decode(M32, "66 01 c8").width, W16);
    ck_assert_uint_eq(decode(M64, "50").width, W64);
    ck_assert_uint_eq(decode(M64, "66 50").width, W16);
    ck_assert_uint_eq(decode(M32, "50").width, W32);
    ck_assert_uint_eq(decode(M64, "66 c3").width, W64);
    ck_assert_uint_eq(decode(M32, "66 c3").width, W16);
    ck_assert_uint_eq(decode(M64, "cf").width, W32);
    ck_assert_uint_eq(decode(M64, "48 cf").width, W64);
    ck_assert_uint_eq(decode(M64, "6a ff").width, W64);
    ck_assert_uint_eq(decode(M64, "0f b6 c1").width, W32);
}
END_TEST

/* Flags of which the row says they are written for certain. */
START_TEST(shifts_by_zero_write_no_flags)
{
    ck_assert_uint_eq(decode(M64, "c1 e0 01").flags_written, FS_ALL);
    ck_assert_uint_eq(decode(M64, "c1 e0 20").flags_written, 0);
    ck_assert_uint_eq(decode(M64, "48 c1 e0 20").flags_written, FS_ALL);
    ck_assert_uint_eq(decode(M64, "48 c1 e0 40").flags_written, 0);
    ck_assert_uint_eq(decode(M64, "c0 c8 00").flags_written, 0);
    ck_assert_uint_eq(decode(M64, "0f a4 c8 00").flags_written, 0);
    ck_assert_uint_eq(decode(M64, "d1 e0").flags_written, FS_ALL);
}
END_TEST

START_TEST(immediates_are_extended)
{
    ck_assert_uint_eq(decode(M64, "48 83 c0 ff").insn.imm, UINT64_MAX);
    ck_assert_uint_eq(decode(M64, "48 05 00 00 00 80").insn.imm, 0xffffffff80000000);
    ck_assert_uint_eq(decode(M64, "48 b8 01 02 03 04 05 06 07 88").insn.imm, 0x8807060504030201);
    ck_assert_uint_eq(decode(M64, "c1 e0 ff").insn.imm, 0xff);
    ck_assert_uint_eq(decode(M64, "c8 34 12 ff").insn.imm, 0xff1234);
    ck_assert_uint_eq(decode(M64, "c2 f0 ff").insn.imm, 0xfff0);
    ck_assert_uint_eq(decode(M64, "e4 80").insn.imm, 0x80);
    ck_assert_uint_eq(decode(M32, "ea 01 02 03 84 05 96").insn.imm, 0x960584030201);
}
END_TEST

START_TEST(branches_have_targets)
{
    struct decoded d = decode(M64, "eb fe");
    ck_assert_uint_eq(d.insn.imm, 0x1000);
    ck_assert_int_eq(d.branch, BR_JMP);
    ck_assert(d.ends);
    d = decode(M64, "0f 84 00 00 00 80");
    ck_assert_uint_eq(d.insn.imm, 0xffffffff80001006);
    ck_assert_int_eq(d.branch, BR_JCC);
    ck_assert(!d.ends);
    d = decode(M64, "66 e8 00 00 00 00"); /* in 64-bit mode 66 is ignored */
    ck_assert_uint_eq(d.insn.imm, 0x1006);
    ck_assert_int_eq(d.branch, BR_CALL);
    ck_assert_uint_eq(decode(M32, "e9 00 00 00 80").insn.imm, 0x80001005);
    ck_assert_uint_eq(decode(M32, "66 e9 00 f0").insn.imm, 4);
    ck_assert_uint_eq(decode(M16, "e9 00 f0").insn.imm, 3);
    ck_assert_int_eq(decode(M64, "e2 00").branch, BR_LOOP);
    ck_assert_int_eq(decode(M64, "ff e0").branch, BR_JMP_IND);
    ck_assert_int_eq(decode(M64, "ff d0").branch, BR_CALL_IND);
    ck_assert_int_eq(decode(M64, "c3").branch, BR_RET);
}
END_TEST

static void expect_ea(u32 mode, const char *bytes, unsigned form, unsigned seg, u64 disp)
{
    struct decoded d = decode(mode, bytes);
    ck_assert_msg(d.form == form, "%s: form %u", bytes, d.form);
    ck_assert_msg(INSN_SEG(&d.insn) == seg, "%s: segment %u", bytes, INSN_SEG(&d.insn));
    ck_assert_msg(d.insn.disp == disp, "%s: disp %llx", bytes, (unsigned long long)d.insn.disp);
}

START_TEST(addresses)
{
    expect_ea(M64, "8b 00", FORM_BD, SEG_DS, 0);
    expect_ea(M64, "8b 45 80", FORM_BD, SEG_SS, (u64)-0x80);
    expect_ea(M64, "41 8b 45 80", FORM_BD, SEG_DS, (u64)-0x80);
    expect_ea(M64, "8b 04 24", FORM_BD, SEG_SS, 0);
    expect_ea(M64, "8b 04 48", FORM_BI, SEG_DS, 0);
    expect_ea(M64, "8b 04 25 00 00 00 80", FORM_BD, SEG_DS, 0xffffffff80000000);
    expect_ea(M64, "65 8b 04 25 10 00 00 00", FORM_SEG, SEG_GS, 0x10);
    expect_ea(M64, "2e 8b 00", FORM_BD, SEG_DS, 0);
    expect_ea(M64, "64 2e 8b 00", FORM_SEG, SEG_FS, 0);
    expect_ea(M64, "67 8b 00", FORM_GEN, SEG_DS, 0);
    expect_ea(M64, "8b 05 00 00 00 00", FORM_BD, SEG_DS, 0x1006);
    expect_ea(M64, "c7 05 f0 ff ff ff 00 00 00 00", FORM_BD, SEG_DS, 0xffa);
    expect_ea(M64, "67 8b 05 00 00 00 f0", FORM_GEN, SEG_DS, 0xf0001007);
    expect_ea(M64, "48 a1 01 02 03 04 05 06 07 08", FORM_BD, SEG_DS, 0x807060504030201);
    expect_ea(M64, "67 a0 01 02 03 84", FORM_GEN, SEG_DS, 0x84030201);
    expect_ea(M16, "8b 46 fe", FORM_GEN, SEG_SS, (u64)-2);
    expect_ea(M16, "26 8b 46 fe", FORM_GEN, SEG_ES, (u64)-2);
    expect_ea(M16, "8b 06 00 80", FORM_GEN, SEG_DS, 0x8000);
    expect_ea(M16, "65 36 8b 06 00 80", FORM_GEN, SEG_SS, 0x8000);
    expect_ea(M32, "8b 05 00 00 00 00", FORM_GEN, SEG_DS, 0);
    struct decoded d = decode(M64, "42 8b 44 a5 01"); /* [RBP + R12 * 4 + 1] */
    ck_assert_uint_eq(d.insn.index, 8 * R12);
    ck_assert_uint_eq(EA_SHIFT(&d.insn), 2);
    ck_assert_uint_eq(d.insn.base, 8 * RBP);
    d = decode(M16, "8b 03"); /* [BP + DI] */
    ck_assert_uint_eq(d.insn.base, 8 * RBP);
    ck_assert_uint_eq(d.insn.index, 8 * RDI);
}
END_TEST

START_TEST(faults_known_from_the_bytes)
{
    expect_fault(M64, "f0 01 c8", op_ud); /* LOCK with a register */
    expect_fault(M64, "f0 8b 00", op_ud); /* LOCK MOV */
    expect_fault(M64, "f0 39 00", op_ud); /* LOCK CMP */
    expect_name(M64, "f0 01 00", "ADD");
    ck_assert_uint_eq(decode(M64, "f0 01 00").insn.misc >> 7, 1);
    expect_fault(M64, "06", op_ud);          /* PUSH ES */
    expect_fault(M64, "0f 20 c8", op_ud);    /* CR1 */
    expect_fault(M64, "44 0f 23 c0", op_ud); /* DR8 */
    expect_fault(M64, "8e c8", op_ud);       /* MOV CS, AX */
    expect_fault(M64, "8c f0", op_ud);       /* no such segment register */
    expect_fault(M64 | 3, "0f 20 c0", op_gp0);
    expect_fault(M64 | 3, "f4", op_gp0);
    expect_fault(M64, "66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90", op_gp0);
    expect_fault(M64 & ~(u32)MODE_SSE, "0f 58 c1", op_fpu_unavailable);
    expect_fault(M64 & ~(u32)MODE_FPU, "d9 c0", op_fpu_unavailable);
    expect_fault(M64 & ~(u32)MODE_FPU, "0f fc c1", op_fpu_unavailable);
    expect_name(M64 & ~(u32)MODE_SSE, "0f fc c1", "PADDB");
    expect_name(M64 & ~(u32)MODE_FPU, "9b", "FWAIT");
}
END_TEST

/* ---- Zydis ---- */

/* Each kind of difference is shown once. */
#define MAX_KINDS 256
static char kinds[MAX_KINDS][sizeof(((struct decode_difference *)0)->kind)];
static unsigned kind_count;

static void against_zydis(const u8 *bytes, u32 mode)
{
    struct decode_difference diff;
    if (decode_zydis_compare(bytes, mode, all_features(), &diff))
        return;
    for (unsigned k = 0; k < kind_count; k++)
        if (strcmp(kinds[k], diff.kind) == 0)
            return;
    if (kind_count == MAX_KINDS)
        return;
    strcpy(kinds[kind_count++], diff.kind);
    fprintf(stderr, "%s\n", diff.text);
}

START_TEST(rows_agree_with_zydis)
{
    kind_count = 0;
    for (unsigned k = 0; k < op_row_count; k++)
        for (unsigned m = 0; m < ARRAY_SIZE(modes); m++)
            for (unsigned n = 0; n < 100 && row_in_mode(&op_rows[k], modes[m]); n++) {
                struct op_encoding e;
                u8 bytes[32] = {0};
                random_encoding(&op_rows[k], modes[m], &e);
                op_encode(&op_rows[k], &e, bytes);
                against_zydis(bytes, modes[m]);
            }
    ck_assert_uint_eq(kind_count, 0);
}
END_TEST

START_TEST(random_bytes_agree_with_zydis)
{
    kind_count = 0;
    for (unsigned n = 0; n < 300000; n++) {
        u8 bytes[32];
        for (unsigned k = 0; k < sizeof(bytes); k += 8) {
            u64 r = rng();
            memcpy(bytes + k, &r, 8);
        }
        if (n % 3 == 0)
            bytes[0] = 0x0f;
        against_zydis(bytes, modes[n % ARRAY_SIZE(modes)]);
    }
    ck_assert_uint_eq(kind_count, 0);
}
END_TEST

SUITE_MAIN("decode", &rows_do_not_overlap, &rows_of_an_opcode_agree_on_modrm, &rows_are_well_formed,
           &rows_round_trip, &prefixes_rep_and_nop, &features_choose_rows,
           &rex_counts_only_before_the_opcode, &sizes_by_mode, &shifts_by_zero_write_no_flags,
           &immediates_are_extended, &branches_have_targets, &addresses,
           &faults_known_from_the_bytes, &rows_agree_with_zydis, &random_bytes_agree_with_zydis)
