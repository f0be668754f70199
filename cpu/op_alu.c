/* SPDX-License-Identifier: MIT */
/* Two-operand arithmetic and logic, INC, DEC, NEG, NOT (SDM "Binary Arithmetic", "Logical"). */
#include "cpu/op_forms.h"

/* res = a op b, noting flags when fl. */
#define DO_ADD(bits, a, b)                                                                         \
    u##bits b_ = (b);                                                                              \
    res = (u##bits)((a) + b_);                                                                     \
    if (fl)                                                                                        \
    SET_CC(ADD, bits, res, b_)
#define DO_SUB(bits, a, b)                                                                         \
    u##bits b_ = (b);                                                                              \
    res = (u##bits)((a)-b_);                                                                       \
    if (fl)                                                                                        \
    SET_CC(SUB, bits, res, b_)
/* With a carry CC_ADD becomes CC_ADC, CC_SUB becomes CC_SBB. */
#define DO_ADC(bits, a, b)                                                                         \
    u##bits b_ = (b), c_ = (u##bits)cc_carry(cpu);                                                 \
    res = (u##bits)((a) + b_ + c_);                                                                \
    if (fl) {                                                                                      \
        SET_CC(ADD, bits, res, b_);                                                                \
        cpu->cc_op += (unsigned)c_ << 2;                                                           \
    }
#define DO_SBB(bits, a, b)                                                                         \
    u##bits b_ = (b), c_ = (u##bits)cc_carry(cpu);                                                 \
    res = (u##bits)((a)-b_ - c_);                                                                  \
    if (fl) {                                                                                      \
        SET_CC(SUB, bits, res, b_);                                                                \
        cpu->cc_op += (unsigned)c_ << 2;                                                           \
    }
#define DO_LOGIC(bits, expr)                                                                       \
    res = (u##bits)(expr);                                                                         \
    if (fl)                                                                                        \
    SET_CC_DST(LOGIC, bits, res)
#define DO_AND(bits, a, b) DO_LOGIC(bits, (a) & (b))
#define DO_OR(bits, a, b) DO_LOGIC(bits, (a) | (b))
#define DO_XOR(bits, a, b) DO_LOGIC(bits, (a) ^ (b))
/* Without a result */
#define DO_CMP(bits, a, b)                                                                         \
    u##bits b_ = (b), res = (u##bits)((a)-b_);                                                     \
    if (fl)                                                                                        \
    SET_CC(SUB, bits, res, b_)
#define DO_TEST(bits, a, b)                                                                        \
    u##bits res = (u##bits)((a) & (b));                                                            \
    if (fl)                                                                                        \
    SET_CC_DST(LOGIC, bits, res)

#define IMM(bits) (u##bits) i->imm

/* The patterns e,g  g,e  e,i of an operation that writes its first operand. */
#define ALU_WIDTH(op, DO, bits)                                                                    \
    E_RMW_LIVE(op_##op##_eg##bits, bits, , DO(bits, val, REG##bits(cpu, i->reg)))                  \
    E_RMW_DEAD(op_##op##_eg##bits, bits, DO(bits, val, REG##bits(cpu, i->reg)))                    \
    E_READ_LIVE(op_##op##_ge##bits, bits, , u##bits res; DO(bits, REG##bits(cpu, i->reg), val);    \
                SET_REG##bits(cpu, i->reg, res))                                                   \
    E_READ_DEAD(op_##op##_ge##bits, bits, u##bits res; DO(bits, REG##bits(cpu, i->reg), val);      \
                SET_REG##bits(cpu, i->reg, res))                                                   \
    E_RMW_LIVE(op_##op##_ei##bits, bits, , DO(bits, val, IMM(bits)))                               \
    E_RMW_DEAD(op_##op##_ei##bits, bits, DO(bits, val, IMM(bits)))
#define ALU_FAMILIES(op)                                                                           \
    const struct op_family fam_##op##_eg = {{FAMILY4(op_##op##_eg), FAMILY4_NF(op_##op##_eg)}};    \
    const struct op_family fam_##op##_ge = {{FAMILY4(op_##op##_ge), FAMILY4_NF(op_##op##_ge)}};    \
    const struct op_family fam_##op##_ei = {{FAMILY4(op_##op##_ei), FAMILY4_NF(op_##op##_ei)}};
#define ALU(op, DO)                                                                                \
    ALU_WIDTH(op, DO, 8)                                                                           \
    ALU_WIDTH(op, DO, 16)                                                                          \
    ALU_WIDTH(op, DO, 32)                                                                          \
    ALU_WIDTH(op, DO, 64)                                                                          \
    ALU_FAMILIES(op)

ALU(add, DO_ADD)
ALU(sub, DO_SUB)
ALU(adc, DO_ADC)
ALU(sbb, DO_SBB)
ALU(and, DO_AND)
ALU(or, DO_OR)
ALU(xor, DO_XOR)

#define COMPARE_WIDTH(bits)                                                                        \
    E_READ_LIVE(op_cmp_eg##bits, bits, , DO_CMP(bits, val, REG##bits(cpu, i->reg)))                \
    E_READ_LIVE(op_cmp_ge##bits, bits, , DO_CMP(bits, REG##bits(cpu, i->reg), val))                \
    E_READ_LIVE(op_cmp_ei##bits, bits, , DO_CMP(bits, val, IMM(bits)))                             \
    E_READ_LIVE(op_test_eg##bits, bits, , DO_TEST(bits, val, REG##bits(cpu, i->reg)))              \
    E_READ_LIVE(op_test_ei##bits, bits, , DO_TEST(bits, val, IMM(bits)))
COMPARE_WIDTH(8)
COMPARE_WIDTH(16)
COMPARE_WIDTH(32)
COMPARE_WIDTH(64)

const struct op_family fam_cmp_eg = {{FAMILY4(op_cmp_eg)}};
const struct op_family fam_cmp_ge = {{FAMILY4(op_cmp_ge)}};
const struct op_family fam_cmp_ei = {{FAMILY4(op_cmp_ei)}};
const struct op_family fam_test_eg = {{FAMILY4(op_test_eg)}};
const struct op_family fam_test_ei = {{FAMILY4(op_test_ei)}};

/* INC and DEC keep CF. */
#define DO_INC(bits)                                                                               \
    u64 c_ = fl ? cc_carry(cpu) : 0;                                                               \
    res = (u##bits)(val + 1);                                                                      \
    if (fl) {                                                                                      \
        SET_CC_DST(INC, bits, res);                                                                \
        cpu->cc_src = c_;                                                                          \
    }
#define DO_DEC(bits)                                                                               \
    u64 c_ = fl ? cc_carry(cpu) : 0;                                                               \
    res = (u##bits)(val - 1);                                                                      \
    if (fl) {                                                                                      \
        SET_CC_DST(DEC, bits, res);                                                                \
        cpu->cc_src = c_;                                                                          \
    }
#define DO_NEG(bits)                                                                               \
    res = (u##bits)(0 - val);                                                                      \
    if (fl)                                                                                        \
    SET_CC(SUB, bits, res, val)

#define UNARY_WIDTH(op, DO, bits)                                                                  \
    E_RMW_LIVE(op_##op##bits, bits, , DO(bits))                                                    \
    E_RMW_DEAD(op_##op##bits, bits, DO(bits))
#define UNARY(op, DO)                                                                              \
    UNARY_WIDTH(op, DO, 8)                                                                         \
    UNARY_WIDTH(op, DO, 16)                                                                        \
    UNARY_WIDTH(op, DO, 32)                                                                        \
    UNARY_WIDTH(op, DO, 64)                                                                        \
    const struct op_family fam_##op = {{FAMILY4(op_##op), FAMILY4_NF(op_##op)}};
UNARY(inc, DO_INC)
UNARY(dec, DO_DEC)
UNARY(neg, DO_NEG)

E_RMW_LIVE(op_not8, 8, , res = (u8)~val)
E_RMW_LIVE(op_not16, 16, , res = (u16)~val)
E_RMW_LIVE(op_not32, 32, , res = ~val)
E_RMW_LIVE(op_not64, 64, , res = ~val)
const struct op_family fam_not = {{FAMILY4(op_not)}};

/* XADD: the sum is written last, so that XADD of a register with itself leaves the sum. */
#define XADD_WIDTH(bits)                                                                           \
    E_RMW_LIVE(op_xadd##bits, bits, , DO_ADD(bits, val, REG##bits(cpu, i->reg));                   \
               SET_REG##bits(cpu, i->reg, val))
XADD_WIDTH(8)
XADD_WIDTH(16)
XADD_WIDTH(32)
XADD_WIDTH(64)
const struct op_family fam_xadd = {{FAMILY4(op_xadd)}};

/*
 * CMPXCHG writes a destination in memory in any case, but a register (its upper half too) and the
 * accumulator only as the comparison says.
 */
#define DO_CMPXCHG(bits)                                                                           \
    u##bits acc_ = (u##bits)cpu->gpr[RAX], diff_ = (u##bits)(acc_ - val);                          \
    res = diff_ ? val : REG##bits(cpu, i->reg);                                                    \
    SET_CC(SUB, bits, diff_, val);                                                                 \
    if (diff_)                                                                                     \
    SET_REG##bits(cpu, RAX * 8, val)
#define CMPXCHG_WIDTH(bits)                                                                        \
    E_RMW_GEN(op_cmpxchg##bits##_gen, bits, , DO_CMPXCHG(bits))                                    \
    E_READ_REG(op_cmpxchg##bits, bits, 1, , u##bits res; DO_CMPXCHG(bits);                         \
               if (!diff_) SET_REG##bits(cpu, i->rm, res))                                         \
    E_RMW_MEM(op_cmpxchg##bits##_bd, op_cmpxchg##bits##_gen, bits, 1, EA_BD, , DO_CMPXCHG(bits))   \
    E_RMW_MEM(op_cmpxchg##bits##_bi, op_cmpxchg##bits##_gen, bits, 1, EA_BI, , DO_CMPXCHG(bits))   \
    E_RMW_MEM(op_cmpxchg##bits##_seg, op_cmpxchg##bits##_gen, bits, 1, EA_SEG, , DO_CMPXCHG(bits))
CMPXCHG_WIDTH(8)
CMPXCHG_WIDTH(16)
CMPXCHG_WIDTH(32)
CMPXCHG_WIDTH(64)
const struct op_family fam_cmpxchg = {{FAMILY4(op_cmpxchg)}};

/* ADCX carries through CF alone, ADOX through OF alone. */
#define DO_ADX(bits, bit)                                                                          \
    u##bits a_ = REG##bits(cpu, i->reg), s_ = (u##bits)(a_ + val);                                 \
    u##bits r_ = (u##bits)(s_ + ((cpu->cc_src & (bit)) != 0));                                     \
    u64 c_ = s_ < a_ || r_ < s_;                                                                   \
    cpu->cc_src = (cpu->cc_src & ~(u64)(bit)) | (c_ ? (bit) : 0);                                  \
    SET_REG##bits(cpu, i->reg, r_)
E_READ_LIVE(op_adcx32, 32, NEED_CC_EFLAGS, DO_ADX(32, FLAG_CF))
E_READ_LIVE(op_adcx64, 64, NEED_CC_EFLAGS, DO_ADX(64, FLAG_CF))
E_READ_LIVE(op_adox32, 32, NEED_CC_EFLAGS, DO_ADX(32, FLAG_OF))
E_READ_LIVE(op_adox64, 64, NEED_CC_EFLAGS, DO_ADX(64, FLAG_OF))
const struct op_family fam_adcx = {{{[W32] = E_FORMS(op_adcx32), [W64] = E_FORMS(op_adcx64)}}};
const struct op_family fam_adox = {{{[W32] = E_FORMS(op_adox32), [W64] = E_FORMS(op_adox64)}}};
