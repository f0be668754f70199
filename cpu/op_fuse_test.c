/* SPDX-License-Identifier: MIT */
/* TEST of registers and immediates, and AND, with a branch. */
#include "cpu/op_fuse_forms.h"

extern const struct op_family fam_test_eg, fam_test_ei, fam_and_eg, fam_and_ei;

FUSE(op_fuse_test_rr8, 8, LOGIC, RM_REG_AND, WRITE_NONE)
FUSE(op_fuse_test_rr32, 32, LOGIC, RM_REG_AND, WRITE_NONE)
FUSE(op_fuse_test_rr64, 64, LOGIC, RM_REG_AND, WRITE_NONE)
FUSE(op_fuse_test_ri8, 8, LOGIC, RM_IMM_AND, WRITE_NONE)
FUSE(op_fuse_test_ri32, 32, LOGIC, RM_IMM_AND, WRITE_NONE)
FUSE(op_fuse_test_ri64, 64, LOGIC, RM_IMM_AND, WRITE_NONE)
FUSE(op_fuse_and_rr32, 32, LOGIC, RM_REG_AND, WRITE_RM)
FUSE(op_fuse_and_rr64, 64, LOGIC, RM_REG_AND, WRITE_RM)
FUSE(op_fuse_and_ri32, 32, LOGIC, RM_IMM_AND, WRITE_RM)
FUSE(op_fuse_and_ri64, 64, LOGIC, RM_IMM_AND, WRITE_RM)

const struct fuse_set fuse_sets_test[] = {
    FUSE_SET(op_fuse_test_rr8, fam_test_eg, W8, FORM_REG),
    FUSE_SET(op_fuse_test_rr32, fam_test_eg, W32, FORM_REG),
    FUSE_SET(op_fuse_test_rr64, fam_test_eg, W64, FORM_REG),
    FUSE_SET(op_fuse_test_ri8, fam_test_ei, W8, FORM_REG),
    FUSE_SET(op_fuse_test_ri32, fam_test_ei, W32, FORM_REG),
    FUSE_SET(op_fuse_test_ri64, fam_test_ei, W64, FORM_REG),
    FUSE_SET(op_fuse_and_rr32, fam_and_eg, W32, FORM_REG),
    FUSE_SET(op_fuse_and_rr64, fam_and_eg, W64, FORM_REG),
    FUSE_SET(op_fuse_and_ri32, fam_and_ei, W32, FORM_REG),
    FUSE_SET(op_fuse_and_ri64, fam_and_ei, W64, FORM_REG),
    {0},
};
