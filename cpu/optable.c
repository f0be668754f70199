/* SPDX-License-Identifier: MIT */
#include "cpu/optable.h"

#include "cpu/cpuid.h"

const struct op_operand_info op_operands[OPND_COUNT] = {
#define X(name, letter, size) [OPND_##name] = {#name, LET_##letter, SIZE_##size},
    OPERAND_LIST(X)
#undef X
};

/* Families are defined beside their handlers. */
#define OP(map, opcode, prefix, ext, mode, name, op1, op2, op3, fam, cls, feature, exit, fr, fw,   \
           flags)                                                                                  \
    extern const struct op_family fam_##fam;
#include "cpu/optable.def"

/* The names by which rows or their flags together. */
enum {
    NONE,
#define X(name, bit) name = (bit),
    ROW_FLAGS(X)
#undef X
};

/* clang-format off */
const struct op_row op_rows[] = {
#define OP(map_, opcode_, prefix_, ext_, mode_, name_, op1, op2, op3, fam, class_, feature_,       \
           exit_, fr_, fw_, flags_)                                                                \
    {                                                                                              \
        .name = #name_, .family = &fam_##fam, .map = MAP_##map_, .opcode = (opcode_),              \
        .prefix = PREFIX_##prefix_, .mode = OPMODE_##mode_, .ext = EXT_##ext_,                     \
        .op = {OPND_##op1, OPND_##op2, OPND_##op3}, .cls = CLASS_##class_,                         \
        .feature = FEAT_##feature_, .exit = VMEXIT_##exit_, .fr = FS_##fr_, .fw = FS_##fw_,        \
        .flags = (flags_),                                                                         \
    },
#include "cpu/optable.def"
};
/* clang-format on */
const unsigned op_row_count = ARRAY_SIZE(op_rows);

bool op_has_letter(const struct op_row *row, enum op_letter letter)
{
    return op_letter(row, 0) == letter || op_letter(row, 1) == letter ||
           op_letter(row, 2) == letter;
}

bool op_has_modrm(const struct op_row *row)
{
    static const u8 with[] = {LET_C, LET_D, LET_E, LET_G, LET_M, LET_N, LET_P,
                              LET_Q, LET_R, LET_S, LET_T, LET_U, LET_V, LET_W};
    if (row->ext != EXT_ANY)
        return row->ext != EXT_NOMODRM;
    for (unsigned k = 0; k < ARRAY_SIZE(with); k++)
        if (op_has_letter(row, with[k]))
            return true;
    return false;
}

unsigned op_opcodes(const struct op_row *row)
{
    return op_has_letter(row, LET_Z) ? 8 : 1;
}

/* The mod field that the operands ask for. MOV to and from CR and DR don't look at mod. */
static bool mod_suits_operands(const struct op_row *row, bool mod3)
{
    if (op_has_letter(row, LET_M))
        return !mod3;
    if (op_has_letter(row, LET_U) || op_has_letter(row, LET_N) || op_has_letter(row, LET_T))
        return mod3;
    if (op_has_letter(row, LET_R))
        return mod3 || op_has_letter(row, LET_C) || op_has_letter(row, LET_D);
    return true;
}

bool op_match_modrm(const struct op_row *row, u8 modrm)
{
    if (!op_has_modrm(row))
        return true;
    bool mod3 = modrm >= 0xc0;
    if (row->ext >= EXT_X_BASE)
        return modrm == row->ext - EXT_X_BASE;
    if (!mod_suits_operands(row, mod3))
        return false;
    if (row->ext == EXT_M)
        return !mod3;
    if (row->ext == EXT_R)
        return mod3;
    if (row->ext < EXT_D0)
        return true;
    if (((modrm >> 3) & 7) != row->ext % 8)
        return false;
    return row->ext < EXT_D0M || (row->ext < EXT_D0R ? !mod3 : mod3);
}

static unsigned ext_rank(const struct op_row *row)
{
    if (row->ext >= EXT_X_BASE)
        return 4;
    if (row->ext >= EXT_D0M)
        return 3;
    if (row->ext >= EXT_D0)
        return 2;
    return row->ext == EXT_M || row->ext == EXT_R;
}

unsigned op_rank(const struct op_row *row)
{
    unsigned prefix = row->prefix == PREFIX_ANY ? 0 : row->prefix == PREFIX_NF ? 1 : 2;
    return prefix * 16 + ext_rank(row) * 2 + (op_opcodes(row) == 1);
}
