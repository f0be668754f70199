/* SPDX-License-Identifier: MIT */
/* Data transfer: MOV and its extending forms, LEA, XCHG, CMOVcc, SETcc, MOVBE, BSWAP. */
#include "cpu/op_forms.h"

/* ---- MOV ---- */
#define MOV_WIDTH(bits)                                                                            \
    E_WRITE(op_mov_eg##bits, bits, , res = REG##bits(cpu, i->reg))                                 \
    E_WRITE(op_mov_ei##bits, bits, , res = (u##bits)i->imm)                                        \
    E_READ_LIVE(op_mov_ge##bits, bits, , SET_REG##bits(cpu, i->reg, val))
MOV_WIDTH(8)
MOV_WIDTH(16)
MOV_WIDTH(32)
MOV_WIDTH(64)
const struct op_family fam_mov_eg = {{FAMILY4(op_mov_eg)}};
const struct op_family fam_mov_ei = {{FAMILY4(op_mov_ei)}};
const struct op_family fam_mov_ge = {{FAMILY4(op_mov_ge)}};

/* MOV between the accumulator (in rm) and an absolute address */
#define MOFFS_WIDTH(bits)                                                                          \
    DEF_LOAD(op_mov_ao##bits, bits, SET_REG##bits(cpu, RAX * 8, val))                              \
    DEF_STORE(op_mov_oa##bits, bits, cpu->gpr[RAX])
MOFFS_WIDTH(8)
MOFFS_WIDTH(16)
MOFFS_WIDTH(32)
MOFFS_WIDTH(64)
#define MOFFS_FAMILY(name)                                                                         \
    {                                                                                              \
        FORMS_ONLY_MEM(name##8), FORMS_ONLY_MEM(name##16), FORMS_ONLY_MEM(name##32),               \
            FORMS_ONLY_MEM(name##64)                                                               \
    }
const struct op_family fam_mov_ao = {{MOFFS_FAMILY(op_mov_ao)}};
const struct op_family fam_mov_oa = {{MOFFS_FAMILY(op_mov_oa)}};

/* ---- MOVZX, MOVSX, MOVSXD: from `from` bits; the register's width by name ---- */
#define EXTEND(name, from, to, expr)                                                               \
    E_READ_LIVE(op_##name##to, from, , SET_REG##to(cpu, i->reg, expr))
#define EXTENDS(name, from, expr)                                                                  \
    EXTEND(name, from, 16, expr)                                                                   \
    EXTEND(name, from, 32, expr)                                                                   \
    EXTEND(name, from, 64, expr)                                                                   \
    const struct op_family fam_##name = {{FAMILY3(op_##name)}};
EXTENDS(movzx_b, 8, val)
EXTENDS(movzx_w, 16, val)
EXTENDS(movsx_b, 8, SX(8, val))
EXTENDS(movsx_w, 16, SX(16, val))
EXTEND(movsxd_w, 16, 16, val)
EXTEND(movsxd_d, 32, 32, val)
EXTEND(movsxd_d, 32, 64, SX(32, val))
const struct op_family fam_movsxd = {{{[W16] = E_FORMS(op_movsxd_w16),
                                       [W32] = E_FORMS(op_movsxd_d32),
                                       [W64] = E_FORMS(op_movsxd_d64)}}};

/* ---- LEA: the segment does not matter ---- */
#define LEA_WIDTH(bits)                                                                            \
    static HANDLER(op_lea##bits##_bd)                                                              \
    {                                                                                              \
        SET_REG##bits(cpu, i->reg, EA_BD(cpu, i));                                                 \
        NEXT;                                                                                      \
    }                                                                                              \
    static HANDLER(op_lea##bits##_bi)                                                              \
    {                                                                                              \
        SET_REG##bits(cpu, i->reg, EA_BI(cpu, i));                                                 \
        NEXT;                                                                                      \
    }                                                                                              \
    static HANDLER(op_lea##bits##_gen)                                                             \
    {                                                                                              \
        SET_REG##bits(cpu, i->reg, mem_offset(cpu, i));                                            \
        NEXT;                                                                                      \
    }
LEA_WIDTH(16)
LEA_WIDTH(32)
LEA_WIDTH(64)
#define LEA_FORMS(bits)                                                                            \
    {                                                                                              \
        [FORM_BD] = op_lea##bits##_bd, [FORM_BI] = op_lea##bits##_bi,                              \
        [FORM_SEG] = op_lea##bits##_bi, [FORM_GEN] = op_lea##bits##_gen                            \
    }
const struct op_family fam_lea = {
    {{[W16] = LEA_FORMS(16), [W32] = LEA_FORMS(32), [W64] = LEA_FORMS(64)}}};

/* ---- XCHG ---- */
#define XCHG_WIDTH(bits)                                                                           \
    E_RMW_LIVE(op_xchg_eg##bits, bits, , res = REG##bits(cpu, i->reg);                             \
               SET_REG##bits(cpu, i->reg, val))
XCHG_WIDTH(8)
XCHG_WIDTH(16)
XCHG_WIDTH(32)
XCHG_WIDTH(64)
const struct op_family fam_xchg_eg = {{FAMILY4(op_xchg_eg)}};

/* With the accumulator; 90 is NOP in every operand size: it does not zero RAX's upper half. */
#define XCHG_A(bits)                                                                               \
    static HANDLER(op_xchg_a##bits)                                                                \
    {                                                                                              \
        u##bits a = (u##bits)cpu->gpr[RAX], b = REG##bits(cpu, i->rm);                             \
        if (i->rm) {                                                                               \
            SET_REG##bits(cpu, RAX * 8, b);                                                        \
            SET_REG##bits(cpu, i->rm, a);                                                          \
        }                                                                                          \
        NEXT;                                                                                      \
    }
XCHG_A(16)
XCHG_A(32)
XCHG_A(64)
const struct op_family fam_xchg_a = {{{[W16] = FORMS_ONLY_REG(op_xchg_a16),
                                       [W32] = FORMS_ONLY_REG(op_xchg_a32),
                                       [W64] = FORMS_ONLY_REG(op_xchg_a64)}}};

/* ---- MOVBE, BSWAP ---- */
#define MOVBE_WIDTH(bits)                                                                          \
    DEF_LOAD(op_movbe_load##bits, bits, SET_REG##bits(cpu, i->reg, __builtin_bswap##bits(val)))    \
    DEF_STORE(op_movbe_store##bits, bits, __builtin_bswap##bits(REG##bits(cpu, i->reg)))
MOVBE_WIDTH(16)
MOVBE_WIDTH(32)
MOVBE_WIDTH(64)
#define MOVBE_FAMILY(name)                                                                         \
    {                                                                                              \
        [W16] = FORMS_ONLY_MEM(name##16), [W32] = FORMS_ONLY_MEM(name##32),                        \
        [W64] = FORMS_ONLY_MEM(name##64)                                                           \
    }
const struct op_family fam_movbe_load = {{MOVBE_FAMILY(op_movbe_load)}};
const struct op_family fam_movbe_store = {{MOVBE_FAMILY(op_movbe_store)}};

/* BSWAP of a 16-bit register is undefined; processors store zero. */
static HANDLER(op_bswap16)
{
    SET_REG16(cpu, i->rm, 0);
    NEXT;
}
static HANDLER(op_bswap32)
{
    SET_REG32(cpu, i->rm, __builtin_bswap32(REG32(cpu, i->rm)));
    NEXT;
}
static HANDLER(op_bswap64)
{
    SET_REG64(cpu, i->rm, __builtin_bswap64(REG64(cpu, i->rm)));
    NEXT;
}
const struct op_family fam_bswap = {{{[W16] = FORMS_ONLY_REG(op_bswap16),
                                      [W32] = FORMS_ONLY_REG(op_bswap32),
                                      [W64] = FORMS_ONLY_REG(op_bswap64)}}};
