/* SPDX-License-Identifier: MIT */
#include "cpu/encode.h"

struct writer {
    const struct op_encoding *e;
    u8 *out;
    unsigned len;
};

static void put(struct writer *w, u64 v, unsigned size)
{
    for (unsigned k = 0; k < size; k++)
        w->out[w->len++] = (u8)(v >> (8 * k));
}

u8 op_fit_modrm(const struct op_row *row, u8 modrm)
{
    /* Change as little as possible: reg, then mod, then both, then the whole. */
    for (unsigned flip = 0; flip < 256; flip++) {
        u8 mask = (u8)(((flip & 7) << 3) | ((flip & 0x18) << 3) | (flip >> 5));
        if (op_match_modrm(row, modrm ^ mask))
            return modrm ^ mask;
    }
    return modrm;
}

static void prefixes(struct writer *w, const struct op_row *row)
{
    const struct op_encoding *e = w->e;
    if (e->seg)
        put(w, e->seg, 1);
    if (e->lock)
        put(w, 0xf0, 1);
    if (e->p67)
        put(w, 0x67, 1);
    if (row->prefix == PREFIX_P66 || (e->p66 && row->prefix != PREFIX_NP))
        put(w, 0x66, 1);
    if (row->prefix == PREFIX_PF2 || row->prefix == PREFIX_PF3)
        put(w, row->prefix == PREFIX_PF2 ? 0xf2 : 0xf3, 1);
    else if (e->rep && row->prefix == PREFIX_ANY)
        put(w, e->rep, 1);
    if (e->rex && (e->mode & MODE_64))
        put(w, e->rex, 1);
}

static void opcode(struct writer *w, const struct op_row *row)
{
    static const u8 third[MAP_COUNT] = {[MAP_38] = 0x38, [MAP_3A] = 0x3a};
    if (row->map != MAP_1B)
        put(w, 0x0f, 1);
    if (third[row->map])
        put(w, third[row->map], 1);
    put(w, row->opcode + (op_opcodes(row) > 1 ? w->e->low & 7u : 0u), 1);
}

static unsigned address_size(const struct op_encoding *e)
{
    if (e->mode & MODE_64)
        return e->p67 ? 4 : 8;
    return ((e->mode & MODE_CS32) != 0) != e->p67 ? 4 : 2;
}

static unsigned operand_size(const struct op_row *row, const struct op_encoding *e)
{
    bool p66 = e->p66 && row->prefix != PREFIX_P66 && row->prefix != PREFIX_NP;
    if (!(e->mode & MODE_64))
        return ((e->mode & MODE_CS32) != 0) != p66 ? 4 : 2;
    if ((e->rex & 8) || (row->flags & ROW_F64))
        return 8;
    if (p66)
        return 2;
    return row->flags & ROW_D64 ? 8 : 4;
}

static void modrm(struct writer *w, const struct op_row *row)
{
    u8 byte = op_fit_modrm(row, w->e->modrm);
    unsigned mod = byte >> 6, rm = byte & 7, size = address_size(w->e) == 2 ? 2 : 4;
    put(w, byte, 1);
    if (mod == 3 || op_has_letter(row, LET_C) || op_has_letter(row, LET_D))
        return;
    bool no_base = size == 2 ? rm == 6 : rm == 5;
    if (size == 4 && rm == 4) {
        put(w, w->e->sib, 1);
        no_base = (w->e->sib & 7) == 5;
    }
    if (mod == 1)
        put(w, w->e->disp, 1);
    else if (mod == 2 || no_base)
        put(w, w->e->disp, size);
}

static void immediates(struct writer *w, const struct op_row *row)
{
    const struct op_encoding *e = w->e;
    unsigned osize = operand_size(row, e), z = osize == 2 ? 2 : 4;
    for (unsigned k = 0; k < 3; k++) {
        u8 size = op_operands[row->op[k]].size;
        switch (op_letter(row, k)) {
        case LET_I:
        case LET_J:
            if (size == SIZE_b)
                put(w, k > 0 && row->op[k - 1] == OPND_Iw ? e->imm >> 16 : e->imm, 1);
            else
                put(w, e->imm,
                    size == SIZE_w   ? 2
                    : size == SIZE_d ? 4
                    : size == SIZE_z ? z
                                     : osize);
            break;
        case LET_O:
            put(w, e->disp, address_size(e));
            break;
        case LET_A:
            put(w, e->imm, z);
            put(w, e->selector, 2);
            break;
        default:
            break;
        }
    }
}

unsigned op_encode(const struct op_row *row, const struct op_encoding *e, u8 out[32])
{
    struct writer w = {e, out, 0};
    prefixes(&w, row);
    opcode(&w, row);
    if (op_has_modrm(row))
        modrm(&w, row);
    immediates(&w, row);
    return w.len;
}
