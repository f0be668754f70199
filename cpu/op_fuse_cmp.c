/* SPDX-License-Identifier: MIT */
/* CMP of registers and immediates with a branch. */
#include "cpu/op_fuse_forms.h"

extern const struct op_family fam_cmp_eg, fam_cmp_ge, fam_cmp_ei;

FUSE(op_fuse_cmp_rr8, 8, SUB, RM_REG_SUB, WRITE_NONE)
FUSE(op_fuse_cmp_rr32, 32, SUB, RM_REG_SUB, WRITE_NONE)
FUSE(op_fuse_cmp_rr64, 64, SUB, RM_REG_SUB, WRITE_NONE)
FUSE(op_fuse_cmp_ri8, 8, SUB, RM_IMM_SUB, WRITE_NONE)
FUSE(op_fuse_cmp_ri32, 32, SUB, RM_IMM_SUB, WRITE_NONE)
FUSE(op_fuse_cmp_ri64, 64, SUB, RM_IMM_SUB, WRITE_NONE)
FUSE(op_fuse_cmp_ge32, 32, SUB, REG_RM_SUB, WRITE_NONE)
FUSE(op_fuse_cmp_ge64, 64, SUB, REG_RM_SUB, WRITE_NONE)

const struct fuse_set fuse_sets_cmp[] = {
    FUSE_SET(op_fuse_cmp_rr8, fam_cmp_eg, W8, FORM_REG),
    FUSE_SET(op_fuse_cmp_rr32, fam_cmp_eg, W32, FORM_REG),
    FUSE_SET(op_fuse_cmp_rr64, fam_cmp_eg, W64, FORM_REG),
    FUSE_SET(op_fuse_cmp_ri8, fam_cmp_ei, W8, FORM_REG),
    FUSE_SET(op_fuse_cmp_ri32, fam_cmp_ei, W32, FORM_REG),
    FUSE_SET(op_fuse_cmp_ri64, fam_cmp_ei, W64, FORM_REG),
    FUSE_SET(op_fuse_cmp_ge32, fam_cmp_ge, W32, FORM_REG),
    FUSE_SET(op_fuse_cmp_ge64, fam_cmp_ge, W64, FORM_REG),
    {0},
};
