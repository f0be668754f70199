/* SPDX-License-Identifier: MIT */
/* MUL, IMUL, DIV, IDIV, and the decimal adjustments. */
#include "cpu/op_forms.h"

/* ---- Multiplication: CF = OF = the upper half matters; the SDM leaves the others undefined ---- */
#define DO_MUL_WIDE(bits, signed_, type, wide)                                                     \
    wide product = (wide)(type)val * (type)(u##bits)cpu->gpr[RAX];                                 \
    u##bits low = (u##bits)product, high = (u##bits)(product >> (bits));                           \
    SET_REG##bits(cpu, RAX * 8, low);                                                              \
    SET_REG##bits(cpu, RDX * 8, high);                                                             \
    SET_CC_DST(MUL, bits, low);                                                                    \
    cpu->cc_src = signed_ ? product != (wide)(type)low : high != 0
#define DO_MUL8(signed_, type, wide)                                                               \
    wide product = (wide)((wide)(type)val * (type)(u8)cpu->gpr[RAX]);                              \
    SET_REG16(cpu, RAX * 8, product);                                                              \
    SET_CC_DST(MUL, 8, product);                                                                   \
    cpu->cc_src = product != (wide)(type)product

E_READ_LIVE(op_mul8, 8, , DO_MUL8(0, u8, u16))
E_READ_LIVE(op_mul16, 16, , DO_MUL_WIDE(16, 0, u16, u32))
E_READ_LIVE(op_mul32, 32, , DO_MUL_WIDE(32, 0, u32, u64))
E_READ_LIVE(op_mul64, 64, , DO_MUL_WIDE(64, 0, u64, u128))
const struct op_family fam_mul = {{FAMILY4(op_mul)}};
E_READ_LIVE(op_imul_a8, 8, , DO_MUL8(1, s8, s16))
E_READ_LIVE(op_imul_a16, 16, , DO_MUL_WIDE(16, 1, s16, s32))
E_READ_LIVE(op_imul_a32, 32, , DO_MUL_WIDE(32, 1, s32, s64))
E_READ_LIVE(op_imul_a64, 64, , DO_MUL_WIDE(64, 1, s64, s128))
const struct op_family fam_imul_a = {{FAMILY4(op_imul_a)}};

/* IMUL g,e and g,e,i */
#define DO_IMUL(bits, wide, other)                                                                 \
    wide product = (wide)(s##bits)val * (s##bits)(other);                                          \
    u##bits low = (u##bits)product;                                                                \
    SET_REG##bits(cpu, i->reg, low);                                                               \
    if (fl) {                                                                                      \
        SET_CC_DST(MUL, bits, low);                                                                \
        cpu->cc_src = product != (wide)(s##bits)low;                                               \
    }
#define IMUL_WIDTH(bits, wide)                                                                     \
    E_READ_LIVE(op_imul_ge##bits, bits, , DO_IMUL(bits, wide, REG##bits(cpu, i->reg)))             \
    E_READ_DEAD(op_imul_ge##bits, bits, DO_IMUL(bits, wide, REG##bits(cpu, i->reg)))               \
    E_READ_LIVE(op_imul_gei##bits, bits, , DO_IMUL(bits, wide, i->imm))                            \
    E_READ_DEAD(op_imul_gei##bits, bits, DO_IMUL(bits, wide, i->imm))
IMUL_WIDTH(16, s32)
IMUL_WIDTH(32, s64)
IMUL_WIDTH(64, s128)
const struct op_family fam_imul_ge = {{FAMILY3(op_imul_ge), FAMILY3_NF(op_imul_ge)}};
const struct op_family fam_imul_gei = {{FAMILY3(op_imul_gei), FAMILY3_NF(op_imul_gei)}};

/* ---- Division: flags, which the SDM leaves undefined, stay as they are ---- */
static COLD const struct insn *divide_error(struct cpu *cpu, const struct insn *i)
{
    cpu_fault(cpu, EXC_DE);
    return insn_fault(cpu, i);
}

/* Quotient and remainder are made in `wide`, the type of the double width. */
#define DO_DIV(bits, wide, type)                                                                   \
    wide n_ = (wide)(u##bits)cpu->gpr[RDX] << (bits) | (u##bits)cpu->gpr[RAX];                     \
    if (unlikely(val <= (u##bits)cpu->gpr[RDX]))                                                   \
        return divide_error(cpu, i);                                                               \
    SET_REG##bits(cpu, RAX * 8, n_ / val);                                                         \
    SET_REG##bits(cpu, RDX * 8, n_ % val)
#define DO_DIV8                                                                                    \
    u16 n_ = (u16)cpu->gpr[RAX];                                                                   \
    if (unlikely(val <= n_ >> 8))                                                                  \
        return divide_error(cpu, i);                                                               \
    SET_REG16(cpu, RAX * 8, (u8)(n_ / val) | n_ % val << 8)
E_READ_LIVE(op_div8, 8, , DO_DIV8)
E_READ_LIVE(op_div16, 16, , DO_DIV(16, u32, u16))
E_READ_LIVE(op_div32, 32, , DO_DIV(32, u64, u32))

/* The quotient of a division by -1 overflows in `wide` itself only for the most negative dividend. */
#define DO_IDIV(bits, wide, dividend, SET)                                                         \
    wide n_ = (dividend), d_ = (s##bits)val;                                                       \
    if (unlikely(!d_ || (d_ == -1 && n_ == (wide)(-((wide)1 << (2 * (bits)-2)) * 2))))             \
        return divide_error(cpu, i);                                                               \
    wide q_ = (wide)(n_ / d_), r_ = (wide)(n_ % d_);                                               \
    if (unlikely(q_ != (s##bits)q_))                                                               \
        return divide_error(cpu, i);                                                               \
    SET
#define SET_DIV8 SET_REG16(cpu, RAX * 8, (u8)q_ | (u8)r_ << 8)
#define SET_DIV(bits)                                                                              \
    SET_REG##bits(cpu, RAX * 8, q_);                                                               \
    SET_REG##bits(cpu, RDX * 8, r_)
#define DIVIDEND16 (s32)((u32)(u16)cpu->gpr[RDX] << 16 | (u16)cpu->gpr[RAX])
#define DIVIDEND32 (s64)((u64)(u32)cpu->gpr[RDX] << 32 | (u32)cpu->gpr[RAX])
#define DIVIDEND64 (s128)((u128)cpu->gpr[RDX] << 64 | cpu->gpr[RAX])
E_READ_LIVE(op_idiv8, 8, , DO_IDIV(8, s16, (s16)cpu->gpr[RAX], SET_DIV8))
E_READ_LIVE(op_idiv16, 16, , DO_IDIV(16, s32, DIVIDEND16, SET_DIV(16)))
E_READ_LIVE(op_idiv32, 32, , DO_IDIV(32, s64, DIVIDEND32, SET_DIV(32)))

/*
 * A 128-bit dividend takes a library call, so it is rare forms' business: usually the dividend is
 * the zero- or sign-extended RAX, and the quotient can't overflow (but for -2^63 / -1).
 */
E_READ_GEN(div64_mem_gen, 64, , DO_DIV(64, u128, u64))
E_READ_GEN(idiv64_mem_gen, 64, , DO_IDIV(64, s128, DIVIDEND64, SET_DIV(64)))
static COLD HANDLER(div64_reg_gen)
{
    u64 val = REG64(cpu, i->rm);
    DO_DIV(64, u128, u64);
    NEXT;
}
static COLD HANDLER(idiv64_reg_gen)
{
    u64 val = REG64(cpu, i->rm);
    DO_IDIV(64, s128, DIVIDEND64, SET_DIV(64));
    NEXT;
}
#define DIV64_QUICK(gen)                                                                           \
    if (unlikely(cpu->gpr[RDX] || !val))                                                           \
        return gen(cpu, i);                                                                        \
    u64 n_ = cpu->gpr[RAX];                                                                        \
    cpu->gpr[RAX] = n_ / val;                                                                      \
    cpu->gpr[RDX] = n_ % val
#define IDIV64_QUICK(gen)                                                                          \
    s64 n_ = (s64)cpu->gpr[RAX], d_ = (s64)val;                                                    \
    if (unlikely((s64)cpu->gpr[RDX] != n_ >> 63 || (u64)(d_ + 1) <= 1))                            \
        return gen(cpu, i);                                                                        \
    cpu->gpr[RAX] = (u64)(n_ / d_);                                                                \
    cpu->gpr[RDX] = (u64)(n_ % d_)
#define DIV64_FORMS(op, QUICK)                                                                     \
    E_READ_REG(op_##op##64, 64, 1, , QUICK(op##64_reg_gen))                                        \
    E_READ_MEM(op_##op##64_bd, op##64_mem_gen, 64, 1, EA_BD, , QUICK(op##64_mem_gen))              \
    E_READ_MEM(op_##op##64_bi, op##64_mem_gen, 64, 1, EA_BI, , QUICK(op##64_mem_gen))              \
    E_READ_MEM(op_##op##64_seg, op##64_mem_gen, 64, 1, EA_SEG, , QUICK(op##64_mem_gen))
DIV64_FORMS(div, DIV64_QUICK)
DIV64_FORMS(idiv, IDIV64_QUICK)
#define DIV_FAMILY(op)                                                                             \
    const struct op_family fam_##op = {                                                            \
        {{E_FORMS(op_##op##8),                                                                     \
          E_FORMS(op_##op##16),                                                                    \
          E_FORMS(op_##op##32),                                                                    \
          {op_##op##64, op_##op##64_bd, op_##op##64_bi, op_##op##64_seg, op##64_mem_gen}}}};
DIV_FAMILY(div)
DIV_FAMILY(idiv)

/* ---- Decimal (SDM "Decimal Arithmetic Instructions"); flags evaluated first ---- */
static u64 result_flags(u8 al)
{
    return (al ? 0 : FLAG_ZF) | (al & 0x80 ? FLAG_SF : 0) | (cc_parity_of(al) ? FLAG_PF : 0);
}

/* DAA adds, DAS subtracts: sign is 1 or -1. */
static const struct insn *adjust_packed(struct cpu *cpu, const struct insn *i, int sign)
{
    u64 flags = cpu_status_flags(cpu), out = 0;
    u8 old = (u8)cpu->gpr[RAX], al = old;
    if ((old & 15) > 9 || (flags & FLAG_AF)) {
        al = (u8)(al + 6 * sign);
        out |= FLAG_AF;
        if ((flags & FLAG_CF) || (sign > 0 ? old > 0xf9 : old < 6))
            out |= FLAG_CF;
    }
    if (old > 0x99 || (flags & FLAG_CF)) {
        al = (u8)(al + 0x60 * sign);
        out |= FLAG_CF;
    }
    SET_REG8(cpu, RAX * 8, al);
    cpu_set_status_flags(cpu, out | result_flags(al));
    NEXT;
}
static HANDLER(daa_slow)
{
    return adjust_packed(cpu, i, 1);
}
static HANDLER(das_slow)
{
    return adjust_packed(cpu, i, -1);
}
FAMILY_ONE(daa, daa_slow);
FAMILY_ONE(das, das_slow);

/* AAA, AAS: AX changes by 0x106. SF, ZF, PF (undefined) are those of AL. */
static const struct insn *adjust_unpacked(struct cpu *cpu, const struct insn *i, int sign)
{
    u64 flags = cpu_status_flags(cpu), out = 0;
    u16 ax = (u16)cpu->gpr[RAX];
    if ((ax & 15) > 9 || (flags & FLAG_AF)) {
        ax = (u16)(ax + 0x106 * sign);
        out = FLAG_AF | FLAG_CF;
    }
    SET_REG16(cpu, RAX * 8, ax & 0xff0f);
    cpu_set_status_flags(cpu, out | result_flags(ax & 15));
    NEXT;
}
static HANDLER(aaa_slow)
{
    return adjust_unpacked(cpu, i, 1);
}
static HANDLER(aas_slow)
{
    return adjust_unpacked(cpu, i, -1);
}
FAMILY_ONE(aaa, aaa_slow);
FAMILY_ONE(aas, aas_slow);

static HANDLER(aam_slow)
{
    u8 base = (u8)i->imm, al = (u8)cpu->gpr[RAX];
    if (!base)
        return divide_error(cpu, i);
    SET_REG16(cpu, RAX * 8, al / base << 8 | al % base);
    cpu_set_status_flags(cpu, result_flags(al % base));
    NEXT;
}
static HANDLER(aad_slow)
{
    u8 al = (u8)((cpu->gpr[RAX] & 0xff) + (cpu->gpr[RAX] >> 8 & 0xff) * (i->imm & 0xff));
    SET_REG16(cpu, RAX * 8, al);
    cpu_set_status_flags(cpu, result_flags(al));
    NEXT;
}
FAMILY_ONE(aam, aam_slow);
FAMILY_ONE(aad, aad_slow);
