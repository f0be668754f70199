/* SPDX-License-Identifier: MIT */
/* SSE and SSE2 moves between XMM registers, memory and general registers. */
#include "cpu/fpu.h"

#define LOW(cpu, n) ((cpu)->xmm[n].q[0])
#define HIGH(cpu, n) ((cpu)->xmm[n].q[1])

/* ---- 16 bytes ---- */

#define UNALIGNED_READ(cpu, va) fast_read(cpu, va, 16)
#define UNALIGNED_WRITE(cpu, va) fast_write(cpu, va, 16)

#define MOVE_LOAD_FORM(name, form, EA, fast)                                                       \
    static HANDLER(name##_##form)                                                                  \
    {                                                                                              \
        const u8 *p = fast(cpu, EA(cpu, i));                                                       \
        if (unlikely(!p))                                                                          \
            return name##_gen(cpu, i);                                                             \
        xmm_set(cpu, i->reg, host_load128(p));                                                     \
        NEXT;                                                                                      \
    }
#define MOVE_LOAD(name, fast, slow_read)                                                           \
    static NOINLINE bool name##_run(struct cpu *cpu, const struct insn *i)                         \
    {                                                                                              \
        u64 v[2];                                                                                  \
        if (!slow_read)                                                                            \
            return false;                                                                          \
        memcpy(cpu->xmm[i->reg].q, v, 16);                                                         \
        return true;                                                                               \
    }                                                                                              \
    DEF_SLOW(name##_gen, name##_run)                                                               \
    MOVE_LOAD_FORM(name, bd, EA_BD, fast)                                                          \
    MOVE_LOAD_FORM(name, bi, EA_BI, fast)                                                          \
    MOVE_LOAD_FORM(name, seg, EA_SEG, fast)

#define MOVE_STORE_FORM(name, form, EA, fast)                                                      \
    static HANDLER(name##_##form)                                                                  \
    {                                                                                              \
        u8 *p = fast(cpu, EA(cpu, i));                                                             \
        if (unlikely(!p))                                                                          \
            return name##_gen(cpu, i);                                                             \
        host_store128(p, xmm_get(cpu, i->reg));                                                    \
        NEXT;                                                                                      \
    }
#define MOVE_STORE(name, fast, slow_write)                                                         \
    static NOINLINE bool name##_run(struct cpu *cpu, const struct insn *i)                         \
    {                                                                                              \
        return slow_write;                                                                         \
    }                                                                                              \
    DEF_SLOW(name##_gen, name##_run)                                                               \
    MOVE_STORE_FORM(name, bd, EA_BD, fast)                                                         \
    MOVE_STORE_FORM(name, bi, EA_BI, fast)                                                         \
    MOVE_STORE_FORM(name, seg, EA_SEG, fast)

static HANDLER(op_mov128_load_reg)
{
    xmm_set(cpu, i->reg, xmm_get(cpu, i->rm));
    NEXT;
}
static HANDLER(op_mov128_store_reg)
{
    xmm_set(cpu, i->rm, xmm_get(cpu, i->reg));
    NEXT;
}
MOVE_LOAD(op_movu_load, UNALIGNED_READ, mem_read(cpu, i, v, 16))
MOVE_LOAD(op_mova_load, fast_read_aligned, mem_read_aligned(cpu, i, v))
MOVE_STORE(op_movu_store, UNALIGNED_WRITE, mem_write(cpu, i, cpu->xmm[i->reg].q, 16))
MOVE_STORE(op_mova_store, fast_write_aligned, mem_write_aligned(cpu, i, cpu->xmm[i->reg].q))
FAMILY_BOTH(movu_load, op_mov128_load_reg, op_movu_load);
FAMILY_BOTH(mova_load, op_mov128_load_reg, op_mova_load);
FAMILY_BOTH(movu_store, op_mov128_store_reg, op_movu_store);
FAMILY_BOTH(mova_store, op_mov128_store_reg, op_mova_store);

/*
 * ---- 8 and 4 bytes: loads clear the rest of the register, moves between registers keep it ----
 * What sets a whole register does so by one store, from which the host can forward a later load.
 */

static HANDLER(op_movss_load_reg)
{
    REG32(&cpu->xmm[i->reg], 0) = REG32(&cpu->xmm[i->rm], 0);
    NEXT;
}
static HANDLER(op_movss_store_reg)
{
    REG32(&cpu->xmm[i->rm], 0) = REG32(&cpu->xmm[i->reg], 0);
    NEXT;
}
static HANDLER(op_movsd_load_reg)
{
    LOW(cpu, i->reg) = LOW(cpu, i->rm);
    NEXT;
}
static HANDLER(op_movsd_store_reg)
{
    LOW(cpu, i->rm) = LOW(cpu, i->reg);
    NEXT;
}
/* MOVQ xmm, xmm clears the high half, in both encodings. */
static HANDLER(op_movq_load_reg)
{
    xmm_set(cpu, i->reg, (v2u64){LOW(cpu, i->rm), 0});
    NEXT;
}
static HANDLER(op_movq_store_reg)
{
    xmm_set(cpu, i->rm, (v2u64){LOW(cpu, i->reg), 0});
    NEXT;
}
DEF_LOAD(op_movss_load, 32, xmm_set(cpu, i->reg, ((v2u64){val, 0})))
DEF_LOAD(op_movsd_load, 64, xmm_set(cpu, i->reg, ((v2u64){val, 0})))
DEF_STORE(op_movss_store, 32, LOW(cpu, i->reg))
DEF_STORE(op_movsd_store, 64, LOW(cpu, i->reg))
FAMILY_BOTH(movss_load, op_movss_load_reg, op_movss_load);
FAMILY_BOTH(movss_store, op_movss_store_reg, op_movss_store);
FAMILY_BOTH(movsd_load, op_movsd_load_reg, op_movsd_load);
FAMILY_BOTH(movsd_store, op_movsd_store_reg, op_movsd_store);
FAMILY_BOTH(movq_load, op_movq_load_reg, op_movsd_load);
FAMILY_BOTH(movq_store, op_movq_store_reg, op_movsd_store);

/* ---- Halves ---- */

static HANDLER(op_movhlps_reg)
{
    LOW(cpu, i->reg) = HIGH(cpu, i->rm);
    NEXT;
}
static HANDLER(op_movlhps_reg)
{
    HIGH(cpu, i->reg) = LOW(cpu, i->rm);
    NEXT;
}
DEF_LOAD(op_movlp_load, 64, LOW(cpu, i->reg) = val)
DEF_LOAD(op_movhp_load, 64, HIGH(cpu, i->reg) = val)
DEF_STORE(op_movhp_store, 64, HIGH(cpu, i->reg))
FAMILY_REG(movhlps, op_movhlps_reg);
FAMILY_REG(movlhps, op_movlhps_reg);
FAMILY_MEM(movlp_load, op_movlp_load);
FAMILY_MEM(movlp_store, op_movsd_store);
FAMILY_MEM(movhp_load, op_movhp_load);
FAMILY_MEM(movhp_store, op_movhp_store);

/* ---- General registers ---- */

static HANDLER(op_movd_load32_reg)
{
    xmm_set(cpu, i->reg, (v2u64){REG32(cpu, i->rm), 0});
    NEXT;
}
static HANDLER(op_movd_load64_reg)
{
    xmm_set(cpu, i->reg, (v2u64){REG64(cpu, i->rm), 0});
    NEXT;
}
static HANDLER(op_movd_store32_reg)
{
    SET_REG32(cpu, i->rm, LOW(cpu, i->reg));
    NEXT;
}
static HANDLER(op_movd_store64_reg)
{
    SET_REG64(cpu, i->rm, LOW(cpu, i->reg));
    NEXT;
}
#define FAMILY_GPR(name, reg32, mem32, reg64, mem64)                                               \
    const struct op_family fam_##name = {                                                          \
        {{FORMS5(reg32, mem32), FORMS5(reg32, mem32), FORMS5(reg32, mem32), FORMS5(reg64, mem64)}, \
         {{0}}}}
FAMILY_GPR(movd_load, op_movd_load32_reg, op_movss_load, op_movd_load64_reg, op_movsd_load);
FAMILY_GPR(movd_store, op_movd_store32_reg, op_movss_store, op_movd_store64_reg, op_movsd_store);

DEF_STORE(op_movnti32, 32, REG32(cpu, i->reg))
DEF_STORE(op_movnti64, 64, REG64(cpu, i->reg))
const struct op_family fam_movnti = {{{FORMS_ONLY_MEM(op_movnti32), FORMS_ONLY_MEM(op_movnti32),
                                       FORMS_ONLY_MEM(op_movnti32), FORMS_ONLY_MEM(op_movnti64)},
                                      {{0}}}};

/*
 * The sign bits of 8 bytes, gathered: each bit lands in the top byte, no two of them in one place.
 */
static ALWAYS_INLINE u32 byte_signs(u64 v)
{
    return (u32)(((v >> 7) & UINT64_C(0x0101010101010101)) * UINT64_C(0x0102040810204080) >> 56);
}
static HANDLER(op_pmovmskb_reg)
{
    SET_REG32(cpu, i->reg, byte_signs(LOW(cpu, i->rm)) | byte_signs(HIGH(cpu, i->rm)) << 8);
    NEXT;
}
static HANDLER(op_movmskps_reg)
{
    u64 lo = LOW(cpu, i->rm), hi = HIGH(cpu, i->rm);
    u64 bits = ((lo >> 31) & 1) | (lo >> 63) << 1 | ((hi >> 31) & 1) << 2 | (hi >> 63) << 3;
    SET_REG32(cpu, i->reg, bits);
    NEXT;
}
static HANDLER(op_movmskpd_reg)
{
    SET_REG32(cpu, i->reg, LOW(cpu, i->rm) >> 63 | HIGH(cpu, i->rm) >> 63 << 1);
    NEXT;
}
FAMILY_REG(pmovmskb, op_pmovmskb_reg);
FAMILY_REG(movmskps, op_movmskps_reg);
FAMILY_REG(movmskpd, op_movmskpd_reg);

/* ---- MASKMOVDQU: bytes whose mask is set go to DS:rDI, or the segment of a prefix ---- */

bool mask_store(struct cpu *cpu, const struct insn *i, const u8 *from, const u8 *mask,
                unsigned size)
{
    static const u64 masks[4] = {0xffff, UINT32_MAX, UINT64_MAX, UINT64_MAX};
    u64 at = cpu->gpr[RDI] & masks[EA_SIZE(i)], lin;
    unsigned set = 0;
    for (unsigned n = 0; n < size; n++)
        set |= (unsigned)(mask[n] >> 7) << n;
    /* No byte at all: whether an inaccessible address faults is up to the processor; here not. */
    if (!set)
        return true;
    if (!seg_linear(cpu, (enum seg_id)INSN_SEG(i), at, size, ACC_WRITE, &lin))
        return false;
    for (unsigned n = 0; n < size; n++)
        if ((set & BIT32(n)) && !lin_probe(cpu, i, lin + n, 1, ACC_WRITE))
            return false;
    for (unsigned n = 0; n < size; n++)
        if ((set & BIT32(n)) && !lin_write(cpu, i, lin + n, from + n, 1, ACC_WRITE))
            return false;
    return true;
}

static NOINLINE bool maskmovdqu(struct cpu *cpu, const struct insn *i)
{
    return mask_store(cpu, i, (const u8 *)cpu->xmm[i->reg].q, (const u8 *)cpu->xmm[i->rm].q, 16);
}
DEF_SLOW(op_maskmovdqu_slow, maskmovdqu)
FAMILY_REG(maskmovdqu, op_maskmovdqu_slow);
