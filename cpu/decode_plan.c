/* SPDX-License-Identifier: MIT */
#include "cpu/decode_plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

struct plan *decode_plans;
struct slot decode_slots[MAP_COUNT][256];

static bool is_vector_letter(u8 letter)
{
    return letter == LET_V || letter == LET_W || letter == LET_U;
}
static bool is_mmx_letter(u8 letter)
{
    return letter == LET_P || letter == LET_Q || letter == LET_N;
}

/* Immediates, ports and branch distances say nothing about the width of the operation. */
static bool gives_width(const struct plan *p, unsigned k)
{
    u8 letter = p->letter[k], size = p->size[k];
    return letter != LET_I && letter != LET_J && size != SIZE_n && size != SIZE_s &&
           size != SIZE_t && size != SIZE_o && size != SIZE_x;
}

static void plan_width(struct plan *p)
{
    p->width_size = SIZE_n;
    p->loose = true;
    for (unsigned k = 0; k < 3 && p->width_size == SIZE_n; k++)
        if (gives_width(p, k))
            p->width_size = p->size[k];
    bool vector = false;
    for (unsigned k = 0; k < 3; k++)
        vector |= p->size[k] == SIZE_x;
    p->loose = p->width_size == SIZE_n || vector;
    if (p->width_size == SIZE_n && vector)
        p->width_size = SIZE_b;
}

static enum fpu_unit plan_unit(const struct plan *p)
{
    const struct op_row *row = p->row;
    bool vector = false, mmx = row->feature == FEAT_MMX;
    for (unsigned k = 0; k < 3; k++) {
        vector |= is_vector_letter(p->letter[k]);
        mmx |= is_mmx_letter(p->letter[k]);
    }
    if (vector || (row->cls == CLASS_VEC && !mmx))
        return UNIT_SSE;
    if (mmx)
        return UNIT_MMX;
    /* FWAIT looks at CR0.MP and TS by itself. */
    bool fwait = row->map == MAP_1B && row->opcode == 0x9b;
    return row->cls == CLASS_FPU && !fwait ? UNIT_X87 : UNIT_NONE;
}

static enum decode_branch plan_branch(const struct op_row *row)
{
    if (op_has_letter(row, LET_J)) {
        if (row->cls == CLASS_CALL)
            return BR_CALL;
        if ((row->map == MAP_1B && row->opcode >> 4 == 7) ||
            (row->map == MAP_0F && row->opcode >> 4 == 8))
            return BR_JCC;
        if (row->map == MAP_1B && row->opcode >= 0xe0 && row->opcode <= 0xe3)
            return BR_LOOP;
        return strcmp(row->name, "CALL") == 0 ? BR_CALL : BR_JMP;
    }
    switch (row->cls) {
    case CLASS_BRANCH:
        return BR_JMP_IND;
    case CLASS_CALL:
        return BR_CALL_IND;
    case CLASS_RET:
        return BR_RET;
    default:
        return BR_NONE;
    }
}

/* What a record without a memory operand may still do; when in doubt, fault. */
static bool plan_implicit(const struct plan *p)
{
    const struct op_row *row = p->row;
    bool operand = false;
    for (unsigned k = 0; k < 3; k++)
        operand |= p->letter[k] == LET_E || p->letter[k] == LET_Z || p->letter[k] == LET_R;
    switch (row->cls) {
    case CLASS_ALU:
    case CLASS_LEA:
    case CLASS_MUL:
    case CLASS_SHIFT:
    case CLASS_NOP:
        return (row->flags & (ROW_D64 | ROW_CPL0)) != 0;
    case CLASS_LOAD:
    case CLASS_STORE:
        return (row->flags & (ROW_D64 | ROW_CPL0)) != 0 || !operand;
    case CLASS_BRANCH:
        return p->branch != BR_JCC && p->branch != BR_LOOP && p->branch != BR_JMP;
    default:
        return true;
    }
}

static void plan_make(struct plan *p, const struct op_row *row)
{
    p->row = row;
    for (unsigned k = 0; k < 3; k++) {
        p->letter[k] = op_operands[row->op[k]].letter;
        p->size[k] = op_operands[row->op[k]].size;
    }
    plan_width(p);
    p->unit = (u8)plan_unit(p);
    p->branch = (u8)plan_branch(row);
    for (unsigned modrm = 0; modrm < 256; modrm++)
        if (op_match_modrm(row, (u8)modrm))
            p->modrm_ok[modrm / 64] |= BIT(modrm % 64);
    p->any_mod = op_has_letter(row, LET_C) || op_has_letter(row, LET_D);
    p->implicit = plan_implicit(p);
}

static int plan_compare(const void *a, const void *b)
{
    unsigned ra = op_rank(((const struct plan *)a)->row);
    unsigned rb = op_rank(((const struct plan *)b)->row);
    return ra < rb ? 1 : ra > rb ? -1 : 0;
}

static void slot_make(enum op_map map, unsigned opcode, unsigned *used)
{
    struct slot *slot = &decode_slots[map][opcode];
    slot->first = (u16)*used;
    for (unsigned k = 0; k < op_row_count; k++) {
        const struct op_row *row = &op_rows[k];
        if (row->map != map || opcode < row->opcode || opcode >= row->opcode + op_opcodes(row))
            continue;
        plan_make(&decode_plans[(*used)++], row);
        ASSERT(slot->count < 255);
        ASSERT(slot->count == 0 || slot->modrm == op_has_modrm(row));
        slot->modrm = op_has_modrm(row);
        slot->count++;
    }
    qsort(&decode_plans[slot->first], slot->count, sizeof(decode_plans[0]), plan_compare);
}

COLD void decode_plans_make(void)
{
    unsigned used = 0, total = 0;
    for (unsigned k = 0; k < op_row_count; k++)
        total += op_opcodes(&op_rows[k]);
    decode_plans = xalloc_array(total + 1, sizeof(decode_plans[0]));
    for (unsigned map = 0; map < MAP_COUNT; map++)
        for (unsigned opcode = 0; opcode < 256; opcode++)
            slot_make(map, opcode, &used);
    ASSERT(used == total);
}
