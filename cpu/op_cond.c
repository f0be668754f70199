/* SPDX-License-Identifier: MIT */
/* SETcc and CMOVcc: the condition is known before memory is touched. */
#include "cpu/op_forms.h"

#define CONDITION(cc)                                                                              \
    unsigned cond = cc_quick(cpu, COND_##cc);                                                      \
    if (unlikely(cond == CC_NOT_QUICK))                                                            \
    return op_flags_slow(cpu, i)

#define SETCC(cc, n)                                                                               \
    E_WRITE(op_set##cc, 8, CONDITION(cc), res = (u8)cond)                                          \
    const struct op_family fam_set##cc = {{{E_FORMS(op_set##cc)}}};
CONDITIONS(SETCC)

/*
 * The operand is read whatever the condition, and a 32-bit destination always written. Masks spare
 * the host a branch that compilers chose CMOV to avoid.
 */
#define CMOV_WIDTH(cc, bits)                                                                       \
    E_READ_LIVE(op_cmov##cc##bits, bits, CONDITION(cc), u##bits old = REG##bits(cpu, i->reg);      \
                SET_REG##bits(cpu, i->reg, old ^ ((old ^ val) & (u##bits)(0 - (u64)cond))))
#define CMOV(cc, n)                                                                                \
    CMOV_WIDTH(cc, 16)                                                                             \
    CMOV_WIDTH(cc, 32)                                                                             \
    CMOV_WIDTH(cc, 64)                                                                             \
    const struct op_family fam_cmov##cc = {{FAMILY3(op_cmov##cc)}};
CONDITIONS(CMOV)
