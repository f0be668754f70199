/* SPDX-License-Identifier: MIT */
/* CMP and TEST with a memory operand of base and displacement, with a branch. */
#include "cpu/op_fuse_forms.h"

extern const struct op_family fam_cmp_eg, fam_cmp_ge, fam_cmp_ei, fam_test_eg, fam_test_ei;

/* The plain instruction's cold twin goes on with the plain branch. */
#define LOAD(family, bits)                                                                         \
    const u8 *p = fast_read(cpu, EA_BD(cpu, i), (bits) / 8);                                       \
    if (unlikely(!p))                                                                              \
        return family.fn[0][W##bits][FORM_GEN](cpu, i);                                            \
    u##bits val = host_load##bits(p)
#define MEM_REG_SUB(bits)                                                                          \
    LOAD(fam_cmp_eg, bits);                                                                        \
    u##bits a = val, b = REG##bits(cpu, i->reg), r = (u##bits)(a - b)
#define REG_MEM_SUB(bits)                                                                          \
    LOAD(fam_cmp_ge, bits);                                                                        \
    u##bits a = REG##bits(cpu, i->reg), b = val, r = (u##bits)(a - b)
#define MEM_IMM_SUB(bits)                                                                          \
    LOAD(fam_cmp_ei, bits);                                                                        \
    u##bits a = val, b = (u##bits)i->imm, r = (u##bits)(a - b)
#define MEM_REG_AND(bits)                                                                          \
    LOAD(fam_test_eg, bits);                                                                       \
    u##bits r = val & REG##bits(cpu, i->reg)
#define MEM_IMM_AND(bits)                                                                          \
    LOAD(fam_test_ei, bits);                                                                       \
    u##bits r = val & (u##bits)i->imm

#define FUSE_MEM(bits)                                                                             \
    FUSE(op_fuse_cmp_mr##bits, bits, SUB, MEM_REG_SUB, WRITE_NONE)                                 \
    FUSE(op_fuse_cmp_rm##bits, bits, SUB, REG_MEM_SUB, WRITE_NONE)                                 \
    FUSE(op_fuse_cmp_mi##bits, bits, SUB, MEM_IMM_SUB, WRITE_NONE)                                 \
    FUSE(op_fuse_test_mr##bits, bits, LOGIC, MEM_REG_AND, WRITE_NONE)                              \
    FUSE(op_fuse_test_mi##bits, bits, LOGIC, MEM_IMM_AND, WRITE_NONE)
FUSE_MEM(8)
FUSE_MEM(32)
FUSE_MEM(64)

#define FUSE_MEM_SETS(bits)                                                                        \
    FUSE_SET(op_fuse_cmp_mr##bits, fam_cmp_eg, W##bits, FORM_BD),                                  \
        FUSE_SET(op_fuse_cmp_rm##bits, fam_cmp_ge, W##bits, FORM_BD),                              \
        FUSE_SET(op_fuse_cmp_mi##bits, fam_cmp_ei, W##bits, FORM_BD),                              \
        FUSE_SET(op_fuse_test_mr##bits, fam_test_eg, W##bits, FORM_BD),                            \
        FUSE_SET(op_fuse_test_mi##bits, fam_test_ei, W##bits, FORM_BD)

const struct fuse_set fuse_sets_mem[] = {
    FUSE_MEM_SETS(8),
    FUSE_MEM_SETS(32),
    FUSE_MEM_SETS(64),
    {0},
};
