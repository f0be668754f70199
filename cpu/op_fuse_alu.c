/* SPDX-License-Identifier: MIT */
/* ADD, SUB, INC, DEC of registers with a branch. */
#include "cpu/op_fuse_forms.h"

extern const struct op_family fam_add_eg, fam_add_ei, fam_sub_eg, fam_sub_ei, fam_inc, fam_dec;

FUSE(op_fuse_add_rr32, 32, ADD, RM_REG_ADD, WRITE_RM)
FUSE(op_fuse_add_rr64, 64, ADD, RM_REG_ADD, WRITE_RM)
FUSE(op_fuse_add_ri32, 32, ADD, RM_IMM_ADD, WRITE_RM)
FUSE(op_fuse_add_ri64, 64, ADD, RM_IMM_ADD, WRITE_RM)
FUSE(op_fuse_sub_rr32, 32, SUB, RM_REG_SUB, WRITE_RM)
FUSE(op_fuse_sub_rr64, 64, SUB, RM_REG_SUB, WRITE_RM)
FUSE(op_fuse_sub_ri32, 32, SUB, RM_IMM_SUB, WRITE_RM)
FUSE(op_fuse_sub_ri64, 64, SUB, RM_IMM_SUB, WRITE_RM)
FUSE_STEP(op_fuse_inc32, 32, INC, RM_INC, WRITE_RM)
FUSE_STEP(op_fuse_inc64, 64, INC, RM_INC, WRITE_RM)
FUSE_STEP(op_fuse_dec32, 32, DEC, RM_DEC, WRITE_RM)
FUSE_STEP(op_fuse_dec64, 64, DEC, RM_DEC, WRITE_RM)

const struct fuse_set fuse_sets_alu[] = {
    FUSE_SET(op_fuse_add_rr32, fam_add_eg, W32, FORM_REG),
    FUSE_SET(op_fuse_add_rr64, fam_add_eg, W64, FORM_REG),
    FUSE_SET(op_fuse_add_ri32, fam_add_ei, W32, FORM_REG),
    FUSE_SET(op_fuse_add_ri64, fam_add_ei, W64, FORM_REG),
    FUSE_SET(op_fuse_sub_rr32, fam_sub_eg, W32, FORM_REG),
    FUSE_SET(op_fuse_sub_rr64, fam_sub_eg, W64, FORM_REG),
    FUSE_SET(op_fuse_sub_ri32, fam_sub_ei, W32, FORM_REG),
    FUSE_SET(op_fuse_sub_ri64, fam_sub_ei, W64, FORM_REG),
    FUSE_SET_STEP(op_fuse_inc32, fam_inc, W32, FORM_REG),
    FUSE_SET_STEP(op_fuse_inc64, fam_inc, W64, FORM_REG),
    FUSE_SET_STEP(op_fuse_dec32, fam_dec, W32, FORM_REG),
    FUSE_SET_STEP(op_fuse_dec64, fam_dec, W64, FORM_REG),
    {0},
};
