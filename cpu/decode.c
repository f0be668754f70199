/* SPDX-License-Identifier: MIT */
/*
 * Bytes are taken in the order of the SDM ("Instruction Format"): prefixes, opcode, ModRM, SIB,
 * displacement, immediate. The row is chosen as soon as opcode and ModRM are known; then its
 * operands say what follows and which fields of the record are filled.
 */
#include "cpu/decode.h"

#include <string.h>

#include "cpu/cpu.h"
#include "cpu/decode_plan.h"

/* ---- Reading the bytes ---- */

enum fetch { FETCH_OK, FETCH_MORE, FETCH_TOO_LONG };

struct reader {
    const u8 *bytes;
    unsigned pos, limit; /* limit: no byte may be taken from there on */
    u8 fetch;            /* enum fetch: why a byte was missing */
    u32 mode;
    u64 rip;
    const struct cpu_model *model;

    u8 rex; /* 0: none */
    u8 rep; /* 0, 0xf2 or 0xf3: the last one */
    bool p66, p67, lock;
    u8 seg; /* override; SEG_COUNT: none */

    u8 map, opcode;
    u8 modrm;
    u8 osize, asize; /* bytes: 2, 4, 8 */
    bool memory;     /* the ModRM or MOFFS operand is memory */
};

#define REX_B(r) (((r)->rex & 1u) * 8)
#define REX_X(r) (((r)->rex & 2u) * 4)
#define REX_R(r) (((r)->rex & 4u) * 2)
#define REX_W(r) ((r)->rex & 8u)
#define MOD(r) ((r)->modrm >> 6)
#define MODRM_REG(r) (((r)->modrm >> 3) & 7)
#define MODRM_RM(r) ((r)->modrm & 7)

/* Little-endian number of size bytes, zero-extended; 0 with r->fetch set when they aren't there. */
static u64 take(struct reader *r, unsigned size)
{
    u64 v = 0;
    if (unlikely(r->pos + size > r->limit)) {
        if (r->fetch == FETCH_OK)
            r->fetch = r->limit == INSN_MAX_LEN ? FETCH_TOO_LONG : FETCH_MORE;
        r->pos = r->limit;
        return 0;
    }
    for (unsigned k = 0; k < size; k++)
        v |= (u64)r->bytes[r->pos + k] << (8 * k);
    r->pos += size;
    return v;
}

static u64 take_signed(struct reader *r, unsigned size)
{
    return sign_extend(take(r, size), size * 8);
}

/* In 64-bit mode only FS and GS can be chosen; the other overrides don't even undo those. */
static void segment_prefix(struct reader *r, enum seg_id seg)
{
    if (!(r->mode & MODE_64) || seg == SEG_FS || seg == SEG_GS)
        r->seg = (u8)seg;
}

static bool legacy_prefix(struct reader *r, u8 byte)
{
    switch (byte) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
        segment_prefix(r, (enum seg_id)((byte >> 3) & 3));
        return true;
    case 0x64:
    case 0x65:
        segment_prefix(r, (enum seg_id)(SEG_FS + (byte & 1)));
        return true;
    case 0x66:
        r->p66 = true;
        return true;
    case 0x67:
        r->p67 = true;
        return true;
    case 0xf0:
        r->lock = true;
        return true;
    case 0xf2:
    case 0xf3:
        r->rep = byte;
        return true;
    default:
        return false;
    }
}

/* REX counts only right before the opcode. */
static void take_opcode(struct reader *r)
{
    u8 byte;
    for (;;) {
        byte = (u8)take(r, 1);
        if (unlikely(r->fetch))
            return;
        if (legacy_prefix(r, byte))
            r->rex = 0;
        else if ((r->mode & MODE_64) && (byte & 0xf0) == 0x40)
            r->rex = byte;
        else
            break;
    }
    r->map = MAP_1B;
    if (byte == 0x0f) {
        r->map = MAP_0F;
        byte = (u8)take(r, 1);
        if (byte == 0x38 || byte == 0x3a) {
            r->map = byte == 0x38 ? MAP_38 : MAP_3A;
            byte = (u8)take(r, 1);
        }
    }
    r->opcode = byte;
}

/* ---- Choosing the row ---- */

static bool match_prefix(const struct reader *r, u8 prefix)
{
    switch (prefix) {
    case PREFIX_ANY:
        return true;
    case PREFIX_NF:
        return r->rep == 0;
    case PREFIX_NP:
        return r->rep == 0 && !r->p66;
    case PREFIX_P66:
        return r->rep == 0 && r->p66;
    case PREFIX_PF2:
        return r->rep == 0xf2;
    default:
        return r->rep == 0xf3;
    }
}

static bool match(const struct reader *r, const struct plan *p)
{
    const struct op_row *row = p->row;
    if (!match_prefix(r, row->prefix) || !((p->modrm_ok[MOD(r)] >> (r->modrm & 63)) & 1))
        return false;
    if (row->mode == ((r->mode & MODE_64) ? OPMODE_I64 : OPMODE_O64))
        return false;
    /* With REX.B, 90 is no NOP: it exchanges RAX and R8. F3 makes it PAUSE all the same. */
    if (r->opcode == 0x90 && r->map == MAP_1B && REX_B(r) != 0 && row->prefix == PREFIX_ANY &&
        op_opcodes(row) == 1)
        return false;
    return cpuid_has(r->model, (enum cpu_feature)row->feature);
}

static const struct plan *find_row(struct reader *r)
{
    const struct slot *slot = &decode_slots[r->map][r->opcode];
    if (slot->count == 0)
        return NULL;
    if (slot->modrm)
        r->modrm = (u8)take(r, 1);
    const struct plan *p = &decode_plans[slot->first];
    for (unsigned k = 0; k < slot->count; k++, p++)
        if (match(r, p))
            return p;
    return NULL;
}

/* ---- Sizes ---- */

static void set_sizes(struct reader *r, const struct op_row *row)
{
    bool p66 = r->p66 && row->prefix != PREFIX_P66;
    if (r->mode & MODE_64) {
        r->asize = r->p67 ? 4 : 8;
        if (REX_W(r) || (row->flags & ROW_F64))
            r->osize = 8;
        else
            r->osize = p66 ? 2 : (row->flags & ROW_D64) ? 8 : 4;
    } else {
        bool big = (r->mode & MODE_CS32) != 0;
        r->asize = big != r->p67 ? 4 : 2;
        r->osize = big != p66 ? 4 : 2;
    }
}

/* Bytes of an operand of this size; 0 if it has no particular one. */
static unsigned size_bytes(const struct reader *r, u8 size)
{
    switch (size) {
    case SIZE_b:
        return 1;
    case SIZE_w:
        return 2;
    case SIZE_d:
        return 4;
    case SIZE_q:
        return 8;
    case SIZE_y:
        return r->osize == 8 ? 8 : 4;
    case SIZE_z:
        return r->osize == 2 ? 2 : 4;
    default:
        return r->osize;
    }
}

static u8 width_index(unsigned bytes)
{
    return bytes == 1 ? W8 : bytes == 2 ? W16 : bytes == 4 ? W32 : W64;
}

/* ---- Memory operands ---- */

static u8 gpr(unsigned number)
{
    return (u8)(number * 8);
}

/* SDM "16-Bit Addressing Forms with the ModR/M Byte" */
static void ea16(struct reader *r, struct insn *in, u8 *seg)
{
    static const u8 base[8] = {RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX};
    static const u8 index[4] = {RSI, RDI, RSI, RDI};
    unsigned rm = MODRM_RM(r);
    if (MOD(r) == 0 && rm == 6) {
        in->disp = take(r, 2);
        return;
    }
    in->base = gpr(base[rm]);
    if (rm < 4)
        in->index = gpr(index[rm]);
    if (base[rm] == RBP)
        *seg = SEG_SS;
    if (MOD(r) == 1)
        in->disp = take_signed(r, 1);
    else if (MOD(r) == 2)
        in->disp = take_signed(r, 2);
}

static void sib(struct reader *r, struct insn *in, u8 *seg)
{
    u8 byte = (u8)take(r, 1);
    unsigned index = ((byte >> 3) & 7) | REX_X(r);
    if (index != RSP) {
        in->index = gpr(index);
        in->scale |= byte >> 6;
    }
    unsigned base = byte & 7;
    if (base == RBP && MOD(r) == 0) {
        in->disp = take_signed(r, 4);
        return;
    }
    in->base = gpr(base | REX_B(r));
    if (in->base == gpr(RSP) || in->base == gpr(RBP))
        *seg = SEG_SS;
}

/* SDM "32-Bit Addressing Forms with the ModR/M Byte". True: RIP-relative. */
static bool ea32(struct reader *r, struct insn *in, u8 *seg)
{
    unsigned rm = MODRM_RM(r);
    if (rm == RSP) {
        sib(r, in, seg);
    } else if (rm == RBP && MOD(r) == 0) {
        in->disp = take_signed(r, 4);
        return (r->mode & MODE_64) != 0;
    } else {
        in->base = gpr(rm | REX_B(r));
        if (in->base == gpr(RBP))
            *seg = SEG_SS;
    }
    if (MOD(r) == 1)
        in->disp = take_signed(r, 1);
    else if (MOD(r) == 2)
        in->disp = take_signed(r, 4);
    return false;
}

/* ---- Operands ---- */

/* Byte offset of a general register: without REX, byte registers 4 to 7 are AH, CH, DH, BH. */
static u8 gpr_sized(const struct reader *r, unsigned number, u8 size)
{
    if (size == SIZE_b && !r->rex && number >= 4 && number < 8)
        return (u8)((number - 4) * 8 + 1);
    return gpr(number);
}

static void immediate(struct reader *r, const struct op_row *row, unsigned k, struct insn *in)
{
    switch (row->op[k]) {
    case OPND_Ib:
        /* ENTER: the level comes after the size */
        in->imm |= take(r, 1) << (k > 0 && row->op[k - 1] == OPND_Iw ? 16 : 0);
        break;
    case OPND_Ibs:
        in->imm = take_signed(r, 1);
        break;
    case OPND_Iw:
        in->imm = take(r, 2);
        break;
    case OPND_Iv:
        in->imm = take_signed(r, r->osize);
        break;
    case OPND_Iz:
        in->imm = take_signed(r, r->osize == 2 ? 2 : 4);
        break;
    default:
        in->imm = take_signed(r, 4);
        break;
    }
}

/* The distance is the last part of an instruction, so r->pos is its length then. */
static void near_target(struct reader *r, struct insn *in, u8 size)
{
    u64 distance = take_signed(r, size == SIZE_b ? 1 : r->osize == 2 ? 2 : 4);
    in->imm = (r->rip + r->pos + distance) & MASK(r->osize * 8);
}

static void far_pointer(struct reader *r, struct insn *in)
{
    u64 offset = take(r, r->osize == 2 ? 2 : 4);
    in->imm = take(r, 2) << 32 | offset;
}

/* Registers that a row names: the accumulator and its like are operands of their own. */
static void named_register(struct insn *in, u8 operand, bool *rm_used)
{
    static const u8 offset[OPND_COUNT] = {
        [OPND_AH] = 1,           [OPND_BL] = 8 * RBX,     [OPND_BH] = 8 * RBX + 1,
        [OPND_rBX] = 8 * RBX,    [OPND_CH] = 8 * RCX + 1, [OPND_DL] = 8 * RDX,
        [OPND_DH] = 8 * RDX + 1, [OPND_rCX] = 8 * RCX,    [OPND_rDX] = 8 * RDX,
        [OPND_rSP] = 8 * RSP,    [OPND_rBP] = 8 * RBP,    [OPND_rSI] = 8 * RSI,
        [OPND_rDI] = 8 * RDI,    [OPND_EDX] = 8 * RDX,    [OPND_ECX] = 8 * RCX,
        [OPND_CX] = 8 * RCX,     [OPND_eDX] = 8 * RDX,
    };
    switch (operand) {
    case OPND_DX:
    case OPND_CL:
    case OPND_ONE:
    case OPND_ST0:
    case OPND_XMM0:
        return;
    case OPND_ES:
    case OPND_CS:
    case OPND_SS:
    case OPND_DS:
    case OPND_FS:
    case OPND_GS:
        in->reg = (u8)(operand - OPND_ES);
        return;
    default:
        if (!*rm_used)
            in->rm = offset[operand];
        *rm_used = true;
    }
}

static void operand(struct reader *r, const struct plan *p, unsigned k, struct insn *in)
{
    u8 size = p->size[k];
    switch (p->letter[k]) {
    case LET_E:
    case LET_R:
        if (!r->memory)
            in->rm = gpr_sized(r, MODRM_RM(r) | REX_B(r), size);
        break;
    case LET_G:
        in->reg = gpr_sized(r, MODRM_REG(r) | REX_R(r), size);
        break;
    case LET_Z:
        in->rm = gpr_sized(r, (r->opcode & 7u) | REX_B(r), size);
        break;
    case LET_C:
    case LET_D:
    case LET_V:
        in->reg = (u8)(MODRM_REG(r) | REX_R(r));
        break;
    case LET_P:
    case LET_S:
        in->reg = MODRM_REG(r);
        break;
    case LET_W:
    case LET_U:
        if (!r->memory)
            in->rm = (u8)(MODRM_RM(r) | REX_B(r));
        break;
    case LET_Q:
    case LET_N:
    case LET_T:
        if (!r->memory)
            in->rm = MODRM_RM(r);
        break;
    case LET_I:
        immediate(r, p->row, k, in);
        break;
    case LET_J:
        near_target(r, in, size);
        break;
    case LET_A:
        far_pointer(r, in);
        break;
    case LET_O:
        in->disp = take(r, r->asize);
        r->memory = true;
        break;
    default:
        break;
    }
}

static void operands(struct reader *r, const struct plan *p, struct insn *in)
{
    bool modrm = decode_slots[r->map][r->opcode].modrm, rip_relative = false;
    bool rm_used = modrm || op_opcodes(p->row) > 1;
    u8 seg = SEG_DS;
    if (modrm && MOD(r) != 3 && !p->any_mod) {
        r->memory = true;
        if (r->asize == 2)
            ea16(r, in, &seg);
        else
            rip_relative = ea32(r, in, &seg);
    }
    for (unsigned k = 0; k < 3; k++) {
        if (p->letter[k] == LET_L)
            named_register(in, p->row->op[k], &rm_used);
        else if (p->letter[k] != LET_NO)
            operand(r, p, k, in);
    }
    if (rip_relative) {
        in->disp += r->rip + r->pos;
        if (r->asize == 4)
            in->disp = (u32)in->disp;
    }
    /* LEA gives an offset: nothing is to be added. */
    if (r->seg != SEG_COUNT && p->row->cls != CLASS_LEA)
        seg = r->seg;
    else
        r->seg = SEG_COUNT;
    in->scale |= (u8)((r->asize == 8 ? 2 : r->asize == 4 ? 1 : 0) << 6);
    in->misc = (u8)(seg << 4);
}

/* ---- Choosing the handler ---- */

static u8 pick_form(const struct reader *r, const struct op_row *row, const struct insn *in)
{
    if (row->flags & ROW_REPS)
        return r->rep == 0 ? 0 : r->rep == 0xf3 ? 1 : 2;
    if (!r->memory)
        return FORM_REG;
    if (!(r->mode & MODE_64) || r->asize != 8)
        return FORM_GEN;
    if (r->seg != SEG_COUNT)
        return FORM_SEG;
    return in->index == ZERO_OFFSET ? FORM_BD : FORM_BI;
}

/* The form's handler, else the general one (REPNE where only REP means something is REP). */
static insn_fn *pick_fn(const struct op_row *row, unsigned dead, u8 width, u8 *form)
{
    insn_fn *const *fn = row->family->fn[dead][width];
    if (fn[*form])
        return fn[*form];
    u8 other = FORM_GEN;
    if (row->flags & ROW_REPS)
        other = *form == 2 ? 1 : *form;
    else if (*form == FORM_REG)
        other = FORM_REG;
    if (fn[other])
        *form = other;
    return fn[other];
}

static bool pick_handler(const struct reader *r, const struct plan *p, struct decoded *out)
{
    const struct op_row *row = p->row;
    u8 form = pick_form(r, row, &out->insn);
    u8 width = width_index(size_bytes(r, p->width_size));
    out->form = form;
    insn_fn *fn = pick_fn(row, 0, width, &out->form);
    /* An instruction that has no widths may have been given one handler only. */
    if (!fn && p->loose && width == W64)
        fn = pick_fn(row, 0, width = W32, &out->form);
    if (!fn && p->loose)
        fn = pick_fn(row, 0, width = W8, &out->form);
    if (!fn)
        return false;
    insn_fn *dead = row->family->fn[1][width][form];
    if (!dead && out->form != form)
        dead = row->family->fn[1][width][out->form];
    out->width = width;
    out->insn.fn = fn;
    out->fn_dead = dead ? dead : fn;
    return true;
}

/* ---- Records that only fault ---- */

static void make_fault(const struct reader *r, struct decoded *out, insn_fn *fn)
{
    out->insn.fn = out->fn_dead = fn;
    out->insn.misc = (u8)((out->insn.misc & 0xf0) | r->pos);
    out->row = fn == op_ud ? NULL : out->row;
    out->flags_read = FS_ALL;
    out->flags_written = 0;
    out->memory = out->ends = true;
    out->branch = BR_NONE;
}

/* Register numbers that don't exist; MOV to CS. */
static bool bad_register(const struct plan *p, const struct insn *in)
{
    for (unsigned k = 0; k < 3; k++) {
        switch (p->letter[k]) {
        case LET_S:
            if (in->reg > SEG_GS || (k == 0 && in->reg == SEG_CS))
                return true;
            break;
        case LET_C:
            if (in->reg == 1 || (in->reg > 4 && in->reg != 8))
                return true;
            break;
        case LET_D:
            if (in->reg > 7)
                return true;
            break;
        default:
            break;
        }
    }
    return false;
}

static bool unit_usable(u8 unit, u32 mode)
{
    return unit == UNIT_NONE || (mode & (unit == UNIT_SSE ? MODE_SSE : MODE_FPU));
}

/* Faults known from the bytes and the mode, the first that applies; NULL: none. */
static insn_fn *known_fault(const struct reader *r, const struct plan *p, struct decoded *out)
{
    const struct op_row *row = p->row;
    if (r->lock && (!(row->flags & ROW_LOCK) || !r->memory))
        return op_ud;
    if (bad_register(p, &out->insn))
        return op_ud;
    if ((row->flags & ROW_CPL0) && (r->mode & MODE_CPL))
        return op_gp0;
    if (!unit_usable(p->unit, r->mode)) {
        out->insn.reg = p->unit;
        return op_fpu_unavailable;
    }
    return NULL;
}

/* A shift by an immediate whose masked count is 0 leaves all flags. */
static bool leaves_flags(const struct plan *p, const struct decoded *out)
{
    return p->row->cls == CLASS_SHIFT && (p->letter[1] == LET_I || p->letter[2] == LET_I) &&
           (out->insn.imm & (out->width == W64 ? 63 : 31)) == 0;
}

static void finish(const struct reader *r, const struct plan *p, struct decoded *out)
{
    const struct op_row *row = p->row;
    out->insn.misc |= (u8)(r->pos | (r->lock ? 0x80 : 0));
    out->row = row;
    insn_fn *fault = known_fault(r, p, out);
    if (!fault && !pick_handler(r, p, out))
        fault = op_ud;
    if (fault) {
        make_fault(r, out, fault);
        return;
    }
    if (r->mode & MODE_NONROOT)
        out->exit = row->exit;
    out->flags_read = row->fr;
    out->flags_written = leaves_flags(p, out) ? 0 : row->fw;
    out->memory = p->implicit || (r->memory && !(row->flags & ROW_NOPE) && row->cls != CLASS_LEA);
    out->branch = p->branch;
    out->ends = (row->flags & ROW_END) ||
                (p->branch != BR_NONE && p->branch != BR_JCC && p->branch != BR_LOOP);
}

enum decode_status decode_insn(const u8 *bytes, unsigned avail, u32 mode, u64 rip,
                               const struct cpu_model *model, struct decoded *out)
{
    if (unlikely(!decode_plans))
        decode_plans_make();
    struct reader r = {.bytes = bytes,
                       .limit = MIN(avail, INSN_MAX_LEN),
                       .mode = mode,
                       .rip = rip,
                       .model = model,
                       .seg = SEG_COUNT};
    memset(out, 0, sizeof(*out));
    out->exit = VMEXIT_NONE;
    out->insn.base = out->insn.index = out->insn.rm = ZERO_OFFSET;

    take_opcode(&r);
    const struct plan *p = r.fetch ? NULL : find_row(&r);
    if (p) {
        set_sizes(&r, p->row);
        operands(&r, p, &out->insn);
    }
    if (unlikely(r.fetch == FETCH_MORE))
        return DECODE_MORE;
    if (unlikely(r.fetch == FETCH_TOO_LONG))
        make_fault(&r, out, op_gp0);
    else if (unlikely(!p))
        make_fault(&r, out, op_ud);
    else
        finish(&r, p, out);
    return DECODE_OK;
}
