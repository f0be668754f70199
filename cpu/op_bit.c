/* SPDX-License-Identifier: MIT */
/* Bit tests, scans and counts (SDM "Bit and Byte Instructions"). */
#include "cpu/op_forms.h"

/*
 * BT and its kind set CF; ZF, SF and PF stay; OF = CF and AF = 0 (both undefined in the SDM). In
 * lazy form that is CC_MUL, whatever width the old result had.
 */
static ALWAYS_INLINE void set_bit_flags(struct cpu *cpu, u64 bit)
{
    if (cpu->cc_op == CC_EFLAGS) {
        u64 keep = cpu->cc_src & (FLAG_ZF | FLAG_SF | FLAG_PF);
        cpu->cc_src = keep | bit | bit << 11;
    } else {
        cpu->cc_op = CC_MUL + W64;
        cpu->cc_src = bit;
    }
}

#define BIT_AT(bits, off) (u##bits)((u##bits)1 << ((off) & ((bits)-1)))
#define NOTE_BIT(bits, v, off) set_bit_flags(cpu, (v) >> ((off) & ((bits)-1)) & 1)
#define NEW_bt(bits, v, m) (v)
#define NEW_bts(bits, v, m) (u##bits)((v) | (m))
#define NEW_btr(bits, v, m) (u##bits)((v) & ~(m))
#define NEW_btc(bits, v, m) (u##bits)((v) ^ (m))

/* With an immediate the operand is a word of the operand size. */
#define BT_EI(bits) E_READ_LIVE(op_bt_ei##bits, bits, , NOTE_BIT(bits, val, i->imm))
#define BTX_EI(op, bits)                                                                           \
    E_RMW_LIVE(op_##op##_ei##bits, bits, , res = NEW_##op(bits, val, BIT_AT(bits, i->imm));        \
               NOTE_BIT(bits, val, i->imm))

/*
 * With a register and a memory operand the register is an offset into a string of bits that reaches
 * both ways: the word accessed is some words from the operand. EA_BITS: for the fast forms.
 */
#define BIT_WORD(bits, off) ((u64)((s64)SX(bits, off) >> ((bits) == 64 ? 6 : 5)) * ((bits) / 8))
#define EA_BITS32(cpu, i, EA) (EA(cpu, i) + BIT_WORD(32, REG32(cpu, (i)->reg)))
#define EA_BITS64(cpu, i, EA) (EA(cpu, i) + BIT_WORD(64, REG64(cpu, (i)->reg)))

/* BIT_WORD for 16 bits: words of two bytes. */
static u64 bit_string_offset(const struct cpu *cpu, const struct insn *i, unsigned bits)
{
    static const u64 masks[4] = {0xffff, UINT32_MAX, UINT64_MAX, UINT64_MAX};
    s64 off = (s64)sign_extend(REG64(cpu, i->reg), bits);
    u64 words = (u64)(off >> (bits == 16 ? 4 : bits == 32 ? 5 : 6));
    return (mem_offset(cpu, i) + words * (bits / 8)) & masks[EA_SIZE(i)];
}

static bool bit_string_linear(struct cpu *cpu, const struct insn *i, unsigned bits, unsigned acc,
                              u64 *lin)
{
    u64 offset = bit_string_offset(cpu, i, bits);
    return seg_linear(cpu, (enum seg_id)INSN_SEG(i), offset, bits / 8, acc, lin);
}

#define BT_EG(bits)                                                                                \
    E_READ_REG(op_bt_eg##bits, bits, 1, , NOTE_BIT(bits, val, REG##bits(cpu, i->reg)))             \
    static COLD HANDLER(op_bt_eg##bits##_gen)                                                      \
    {                                                                                              \
        {                                                                                          \
            u64 lin, val;                                                                          \
            if (!bit_string_linear(cpu, i, bits, ACC_READ, &lin) ||                                \
                !lin_read_int(cpu, i, lin, &val, (bits) / 8, ACC_READ))                            \
                return insn_fault(cpu, i);                                                         \
            NOTE_BIT(bits, val, REG##bits(cpu, i->reg));                                           \
        }                                                                                          \
        SLOW_NEXT;                                                                                 \
    }
#define BTX_EG(op, bits)                                                                           \
    E_RMW_REG(op_##op##_eg##bits, bits, 1, , u##bits off = REG##bits(cpu, i->reg);                 \
              res = NEW_##op(bits, val, BIT_AT(bits, off)); NOTE_BIT(bits, val, off))              \
    static COLD HANDLER(op_##op##_eg##bits##_gen)                                                  \
    {                                                                                              \
        {                                                                                          \
            u64 lin, val, off = REG##bits(cpu, i->reg);                                            \
            if (!bit_string_linear(cpu, i, bits, ACC_READ | ACC_WRITE, &lin) ||                    \
                !lin_probe(cpu, i, lin, (bits) / 8, ACC_READ | ACC_WRITE) ||                       \
                !lin_read_int(cpu, i, lin, &val, (bits) / 8, ACC_READ))                            \
                return insn_fault(cpu, i);                                                         \
            u64 res = NEW_##op(bits, val, BIT_AT(bits, off));                                      \
            lin_write_int(cpu, i, lin, res, (bits) / 8, ACC_WRITE);                                \
            NOTE_BIT(bits, val, off);                                                              \
        }                                                                                          \
        SLOW_NEXT;                                                                                 \
    }
#define EA_BITS32_BD(cpu, i) EA_BITS32(cpu, i, EA_BD)
#define EA_BITS32_BI(cpu, i) EA_BITS32(cpu, i, EA_BI)
#define EA_BITS64_BD(cpu, i) EA_BITS64(cpu, i, EA_BD)
#define EA_BITS64_BI(cpu, i) EA_BITS64(cpu, i, EA_BI)
#define BT_EG_FAST(bits)                                                                           \
    E_READ_MEM(op_bt_eg##bits##_bd, op_bt_eg##bits##_gen, bits, 1, EA_BITS##bits##_BD, ,           \
               NOTE_BIT(bits, val, REG##bits(cpu, i->reg)))                                        \
    E_READ_MEM(op_bt_eg##bits##_bi, op_bt_eg##bits##_gen, bits, 1, EA_BITS##bits##_BI, ,           \
               NOTE_BIT(bits, val, REG##bits(cpu, i->reg)))
#define BTX_EG_FAST(op, bits)                                                                      \
    E_RMW_MEM(op_##op##_eg##bits##_bd, op_##op##_eg##bits##_gen, bits, 1, EA_BITS##bits##_BD, ,    \
              u##bits off = REG##bits(cpu, i->reg);                                                \
              res = NEW_##op(bits, val, BIT_AT(bits, off)); NOTE_BIT(bits, val, off))              \
    E_RMW_MEM(op_##op##_eg##bits##_bi, op_##op##_eg##bits##_gen, bits, 1, EA_BITS##bits##_BI, ,    \
              u##bits off = REG##bits(cpu, i->reg);                                                \
              res = NEW_##op(bits, val, BIT_AT(bits, off)); NOTE_BIT(bits, val, off))

#define BIT_SLOW_FORMS(name)                                                                       \
    {                                                                                              \
        [FORM_REG] = name, [FORM_GEN] = name##_gen                                                 \
    }
#define BIT_FORMS(name)                                                                            \
    {                                                                                              \
        [FORM_REG] = name, [FORM_BD] = name##_bd, [FORM_BI] = name##_bi, [FORM_GEN] = name##_gen   \
    }
#define BIT_FAMILIES(op)                                                                           \
    const struct op_family fam_##op##_ei = {{FAMILY3(op_##op##_ei)}};                              \
    const struct op_family fam_##op##_eg = {{{[W16] = BIT_SLOW_FORMS(op_##op##_eg16),              \
                                              [W32] = BIT_FORMS(op_##op##_eg32),                   \
                                              [W64] = BIT_FORMS(op_##op##_eg64)}}};
#define BTX(op)                                                                                    \
    BTX_EI(op, 16)                                                                                 \
    BTX_EI(op, 32)                                                                                 \
    BTX_EI(op, 64)                                                                                 \
    BTX_EG(op, 16)                                                                                 \
    BTX_EG(op, 32)                                                                                 \
    BTX_EG(op, 64)                                                                                 \
    BTX_EG_FAST(op, 32)                                                                            \
    BTX_EG_FAST(op, 64)                                                                            \
    BIT_FAMILIES(op)

BT_EI(16)
BT_EI(32)
BT_EI(64)
BT_EG(16)
BT_EG(32)
BT_EG(64)
BT_EG_FAST(32)
BT_EG_FAST(64)
BIT_FAMILIES(bt)
BTX(bts)
BTX(btr)
BTX(btc)

/*
 * ---- Scans and counts. BSF and BSR of zero leave the destination alone (its upper half too) and set
 * ZF; the flags the SDM leaves undefined are those of a logical operation on the source. ----
 */
#define DO_BSF(bits)                                                                               \
    if (fl)                                                                                        \
        SET_CC_DST(LOGIC, bits, val);                                                              \
    if (val)                                                                                       \
    SET_REG##bits(cpu, i->reg, __builtin_ctzll(val))
#define DO_BSR(bits)                                                                               \
    if (fl)                                                                                        \
        SET_CC_DST(LOGIC, bits, val);                                                              \
    if (val)                                                                                       \
    SET_REG##bits(cpu, i->reg, 63 - __builtin_clzll(val))
/* CF: the source was zero; ZF: the result is; the others are undefined. */
#define SET_COUNT(bits, n)                                                                         \
    unsigned n_ = (n);                                                                             \
    SET_REG##bits(cpu, i->reg, n_);                                                                \
    if (fl) {                                                                                      \
        cpu->cc_op = CC_EFLAGS;                                                                    \
        cpu->cc_src = (n_ == (bits) ? FLAG_CF : 0) | (n_ ? 0 : FLAG_ZF);                           \
    }
#define DO_TZCNT(bits) SET_COUNT(bits, val ? (unsigned)__builtin_ctzll(val) : (bits))
#define DO_LZCNT(bits)                                                                             \
    SET_COUNT(bits, val ? (unsigned)__builtin_clzll(val) - (64 - (bits)) : (bits))

/* Without the host's instruction the builtin would be a call. */
static ALWAYS_INLINE unsigned population(u64 v)
{
    v -= v >> 1 & UINT64_C(0x5555555555555555);
    v = (v & UINT64_C(0x3333333333333333)) + (v >> 2 & UINT64_C(0x3333333333333333));
    v = (v + (v >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (unsigned)(v * UINT64_C(0x0101010101010101) >> 56);
}
/* All status flags but ZF are cleared, PF too. */
#define DO_POPCNT(bits)                                                                            \
    SET_REG##bits(cpu, i->reg, population(val));                                                   \
    if (fl) {                                                                                      \
        cpu->cc_op = CC_EFLAGS;                                                                    \
        cpu->cc_src = val ? 0 : FLAG_ZF;                                                           \
    }

#define SCAN_WIDTH(op, DO, bits)                                                                   \
    E_READ_LIVE(op_##op##bits, bits, , DO(bits))                                                   \
    E_READ_DEAD(op_##op##bits, bits, DO(bits))
#define SCAN(op, DO)                                                                               \
    SCAN_WIDTH(op, DO, 16)                                                                         \
    SCAN_WIDTH(op, DO, 32)                                                                         \
    SCAN_WIDTH(op, DO, 64)                                                                         \
    const struct op_family fam_##op = {{FAMILY3(op_##op), FAMILY3_NF(op_##op)}};
SCAN(bsf, DO_BSF)
SCAN(bsr, DO_BSR)
SCAN(tzcnt, DO_TZCNT)
SCAN(lzcnt, DO_LZCNT)
SCAN(popcnt, DO_POPCNT)
