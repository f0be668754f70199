/* SPDX-License-Identifier: MIT */
/* How fused handlers are made (cpu/op_fuse.h); included by the files that hold them. */
#ifndef CPU_OP_FUSE_FORMS_H
#define CPU_OP_FUSE_FORMS_H

#include "cpu/exec.h"
#include "cpu/flags.h"
#include "cpu/op_fuse.h"

/* The handlers for one kind of first instruction; NULL for conditions that are not fused. */
struct fuse_set {
    const struct op_family *family;
    u8 width, form;
    insn_fn *fn[2][2][16]; /* [flags dead][other page][condition] */
};

/* Each file's sets, ending with one without a family. */
extern const struct fuse_set fuse_sets_cmp[], fuse_sets_test[], fuse_sets_mem[], fuse_sets_alu[];

/*
 * Conditions by kind of operation; a, b operands and r result, u<bits>. O and P are not fused; of
 * INC and DEC neither are those that ask for the CF they keep.
 */
#define SIGNED(bits, v) ((s##bits)(v))
#define SUB_e(bits) (a == b)
#define SUB_s(bits) (SIGNED(bits, r) < 0)
#define SUB_b(bits) (a < b)
#define SUB_be(bits) (a <= b)
#define SUB_l(bits) (SIGNED(bits, a) < SIGNED(bits, b))
#define SUB_le(bits) (SIGNED(bits, a) <= SIGNED(bits, b))
#define LOGIC_e(bits) (r == 0)
#define LOGIC_s(bits) (SIGNED(bits, r) < 0)
#define LOGIC_b(bits) false
#define LOGIC_be(bits) (r == 0)
#define LOGIC_l(bits) (SIGNED(bits, r) < 0)
#define LOGIC_le(bits) (SIGNED(bits, r) <= 0)
/* Less: the true sum is negative. It is if SF says so, but for overflow. */
#define ADD_e(bits) (r == 0)
#define ADD_s(bits) (SIGNED(bits, r) < 0)
#define ADD_b(bits) (r < b)
#define ADD_be(bits) (r < b || r == 0)
#define ADD_l(bits) (SIGNED(bits, r ^ ((a ^ r) & (b ^ r))) < 0)
#define ADD_le(bits) (ADD_l(bits) || r == 0)
#define INC_e(bits) (r == 0)
#define INC_s(bits) (SIGNED(bits, r) < 0)
#define INC_l(bits) (SIGNED(bits, a) < -1)
#define INC_le(bits) (SIGNED(bits, a) <= -1)
#define DEC_e(bits) (r == 0)
#define DEC_s(bits) (SIGNED(bits, r) < 0)
#define DEC_l(bits) (SIGNED(bits, a) < 1)
#define DEC_le(bits) (SIGNED(bits, a) <= 1)

#define NOTE_SUB(bits) SET_CC(SUB, bits, r, b)
#define NOTE_LOGIC(bits) SET_CC_DST(LOGIC, bits, r)
#define NOTE_ADD(bits) SET_CC(ADD, bits, r, b)
/* The old CF is evaluated before the state changes. */
#define NOTE_STEP(op, bits)                                                                        \
    do {                                                                                           \
        cpu->cc_src = cc_carry(cpu);                                                               \
        SET_CC_DST(op, bits, r);                                                                   \
    } while (0)
#define NOTE_INC(bits) NOTE_STEP(INC, bits)
#define NOTE_DEC(bits) NOTE_STEP(DEC, bits)

/* Takes the branch in record j; with dead flags they are noted only on the way to the run loop. */
#define FUSE_LINK(LATE)                                                                            \
    const struct insn *j = i + 1;                                                                  \
    s64 left = cpu->budget - (j->n + 1);                                                           \
    if (unlikely(left < 0)) {                                                                      \
        LATE;                                                                                      \
        return op_link_slow(cpu, j);                                                               \
    }                                                                                              \
    cpu->budget = left;                                                                            \
    GOTO((const struct insn *)(uintptr_t)j->disp)
#define FUSE_XP(LATE)                                                                              \
    const struct insn *j = i + 1;                                                                  \
    u64 rip = j->imm;                                                                              \
    struct jump_entry *je = tlb_jump_slot(cpu->ctx, rip);                                          \
    s64 left = cpu->budget - (j->n + 1);                                                           \
    if (unlikely(left < 0 || je->tag != (rip ^ cpu->jump_key))) {                                  \
        LATE;                                                                                      \
        cpu->rip = rip;                                                                            \
        return op_jump_slow(cpu, j);                                                               \
    }                                                                                              \
    cpu->budget = left;                                                                            \
    GOTO(je->block->code)

/*
 * OPERANDS declares a, b, r (and may take the slow way); WRITE stores r. EARLY and LATE note the
 * flags: one of them is empty.
 */
#define FUSE_ONE(name, bits, OPERANDS, WRITE, COND, GO, EARLY, LATE)                               \
    static HANDLER(name)                                                                           \
    {                                                                                              \
        OPERANDS(bits);                                                                            \
        WRITE(bits);                                                                               \
        EARLY;                                                                                     \
        if (COND) {                                                                                \
            GO(LATE);                                                                              \
        }                                                                                          \
        GOTO(i + 2);                                                                               \
    }
#define FUSE_CC(name, bits, kind, OPERANDS, WRITE, COND)                                           \
    FUSE_ONE(name, bits, OPERANDS, WRITE, COND, FUSE_LINK, NOTE_##kind(bits), )                    \
    FUSE_ONE(name##_xp, bits, OPERANDS, WRITE, COND, FUSE_XP, NOTE_##kind(bits), )                 \
    FUSE_ONE(name##_nf, bits, OPERANDS, WRITE, COND, FUSE_LINK, , NOTE_##kind(bits))               \
    FUSE_ONE(name##_nf_xp, bits, OPERANDS, WRITE, COND, FUSE_XP, , NOTE_##kind(bits))
#define FUSE_PAIR(name, bits, kind, OPERANDS, WRITE, yes, no)                                      \
    FUSE_CC(name##_##yes, bits, kind, OPERANDS, WRITE, kind##_##yes(bits))                         \
    FUSE_CC(name##_##no, bits, kind, OPERANDS, WRITE, !kind##_##yes(bits))
/* All conditions that are fused; FUSE_STEP without those of CF. */
#define FUSE_STEP(name, bits, kind, OPERANDS, WRITE)                                               \
    FUSE_PAIR(name, bits, kind, OPERANDS, WRITE, e, ne)                                            \
    FUSE_PAIR(name, bits, kind, OPERANDS, WRITE, s, ns)                                            \
    FUSE_PAIR(name, bits, kind, OPERANDS, WRITE, l, ge)                                            \
    FUSE_PAIR(name, bits, kind, OPERANDS, WRITE, le, g)
#define FUSE(name, bits, kind, OPERANDS, WRITE)                                                    \
    FUSE_STEP(name, bits, kind, OPERANDS, WRITE)                                                   \
    FUSE_PAIR(name, bits, kind, OPERANDS, WRITE, b, ae)                                            \
    FUSE_PAIR(name, bits, kind, OPERANDS, WRITE, be, a)

#define FUSE_ROW_STEP(name, end)                                                                   \
    [COND_e] = name##_e##end, [COND_ne] = name##_ne##end, [COND_s] = name##_s##end,                \
    [COND_ns] = name##_ns##end, [COND_l] = name##_l##end, [COND_ge] = name##_ge##end,              \
    [COND_le] = name##_le##end, [COND_g] = name##_g##end
#define FUSE_ROW(name, end)                                                                        \
    FUSE_ROW_STEP(name, end), [COND_b] = name##_b##end, [COND_ae] = name##_ae##end,                \
                              [COND_be] = name##_be##end, [COND_a] = name##_a##end
#define FUSE_SET_OF(ROW, name, fam, w, form)                                                       \
    {                                                                                              \
        &fam, w, form,                                                                             \
        {                                                                                          \
            {{ROW(name, )}, {ROW(name, _xp)}},                                                     \
            {                                                                                      \
                {ROW(name, _nf)},                                                                  \
                {                                                                                  \
                    ROW(name, _nf_xp)                                                              \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }
#define FUSE_SET(name, fam, w, form) FUSE_SET_OF(FUSE_ROW, name, fam, w, form)
#define FUSE_SET_STEP(name, fam, w, form) FUSE_SET_OF(FUSE_ROW_STEP, name, fam, w, form)

/* ---- OPERANDS and WRITE ---- */
#define RM_REG_SUB(bits)                                                                           \
    u##bits a = REG##bits(cpu, i->rm), b = REG##bits(cpu, i->reg), r = (u##bits)(a - b)
#define REG_RM_SUB(bits)                                                                           \
    u##bits a = REG##bits(cpu, i->reg), b = REG##bits(cpu, i->rm), r = (u##bits)(a - b)
#define RM_IMM_SUB(bits)                                                                           \
    u##bits a = REG##bits(cpu, i->rm), b = (u##bits)i->imm, r = (u##bits)(a - b)
#define RM_REG_AND(bits) u##bits r = REG##bits(cpu, i->rm) & REG##bits(cpu, i->reg)
#define RM_IMM_AND(bits) u##bits r = REG##bits(cpu, i->rm) & (u##bits)i->imm
#define RM_REG_ADD(bits)                                                                           \
    u##bits a = REG##bits(cpu, i->rm), b = REG##bits(cpu, i->reg), r = (u##bits)(a + b)
#define RM_IMM_ADD(bits)                                                                           \
    u##bits a = REG##bits(cpu, i->rm), b = (u##bits)i->imm, r = (u##bits)(a + b)
#define RM_INC(bits) u##bits a = REG##bits(cpu, i->rm), r = (u##bits)(a + 1)
#define RM_DEC(bits) u##bits a = REG##bits(cpu, i->rm), r = (u##bits)(a - 1)
#define WRITE_NONE(bits)
#define WRITE_RM(bits) SET_REG##bits(cpu, i->rm, r)

#endif
