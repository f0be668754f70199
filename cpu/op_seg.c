/* SPDX-License-Identifier: MIT */
/* MOV, PUSH, POP and LxS of segment registers; LAR, LSL, VERR, VERW, ARPL. */
#include "cpu/op_jump.h"
#include "cpu/segment.h"

/* ---- MOV ---- */

/* After a load of SS nothing comes between it and the next instruction (SDM "MOV - Move"). */
static const struct insn *after_ss(struct cpu *cpu, const struct insn *i)
{
    cpu_update_mode(cpu);
    cpu->irq_shadow = true;
    cpu->mov_ss_shadow = true;
    return insn_leave(cpu, i);
}

static HANDLER(mov_sw_reg)
{
    if (unlikely(!segment_load(cpu, (enum seg_id)i->reg, REG16(cpu, i->rm))))
        return insn_fault(cpu, i);
    if (i->reg == SEG_SS)
        return after_ss(cpu, i);
    NEXT;
}

BODY(mov_sw_body)
{
    u16 sel;
    return mem_read16(cpu, i, &sel) && segment_load(cpu, (enum seg_id)i->reg, sel);
}
static HANDLER(mov_sw_mem)
{
    if (unlikely(!mov_sw_body(cpu, i)))
        return insn_fault(cpu, i);
    if (i->reg == SEG_SS)
        return after_ss(cpu, i);
    SLOW_NEXT;
}
const struct op_family fam_mov_sw = {
    {{FORMS_TWO(mov_sw_reg, mov_sw_mem), FORMS_TWO(mov_sw_reg, mov_sw_mem),
      FORMS_TWO(mov_sw_reg, mov_sw_mem), FORMS_TWO(mov_sw_reg, mov_sw_mem)},
     {{0}}}};

#define MOV_FROM_SEGMENT(bits)                                                                     \
    static HANDLER(mov_ws_##bits)                                                                  \
    {                                                                                              \
        SET_REG##bits(cpu, i->rm, cpu->seg[i->reg].selector);                                      \
        NEXT;                                                                                      \
    }
MOV_FROM_SEGMENT(16)
MOV_FROM_SEGMENT(32)
MOV_FROM_SEGMENT(64)
static HANDLER(mov_ws_mem)
{
    if (unlikely(!mem_write16(cpu, i, cpu->seg[i->reg].selector)))
        return insn_fault(cpu, i);
    SLOW_NEXT;
}
const struct op_family fam_mov_ws = {{{{0},
                                       FORMS_TWO(mov_ws_16, mov_ws_mem),
                                       FORMS_TWO(mov_ws_32, mov_ws_mem),
                                       FORMS_TWO(mov_ws_64, mov_ws_mem)},
                                      {{0}}}};

/* ---- PUSH and POP: the register's number is in reg ---- */

static NOINLINE bool push_seg(struct cpu *cpu, const struct insn *i, unsigned size)
{
    struct stack st;
    stack_begin(cpu, &st);
    if (!stack_push(cpu, i, &st, cpu->seg[i->reg].selector, size))
        return false;
    stack_commit(cpu, &st);
    return true;
}

static NOINLINE bool pop_seg(struct cpu *cpu, const struct insn *i, unsigned size)
{
    struct stack st;
    u64 sel;
    stack_begin(cpu, &st);
    if (!stack_pop(cpu, i, &st, &sel, size) || !segment_load(cpu, (enum seg_id)i->reg, (u16)sel))
        return false;
    stack_commit(cpu, &st);
    return true;
}

#define PUSH_POP_SEGMENT(bits)                                                                     \
    static HANDLER(push_seg_##bits)                                                                \
    {                                                                                              \
        if (unlikely(!push_seg(cpu, i, (bits) / 8)))                                               \
            return insn_fault(cpu, i);                                                             \
        SLOW_NEXT;                                                                                 \
    }                                                                                              \
    static HANDLER(pop_seg_##bits)                                                                 \
    {                                                                                              \
        if (unlikely(!pop_seg(cpu, i, (bits) / 8)))                                                \
            return insn_fault(cpu, i);                                                             \
        if (i->reg == SEG_SS)                                                                      \
            return after_ss(cpu, i);                                                               \
        SLOW_NEXT;                                                                                 \
    }
PUSH_POP_SEGMENT(16)
PUSH_POP_SEGMENT(32)
PUSH_POP_SEGMENT(64)
FAMILY_SIZES(push_seg, push_seg_16, push_seg_32, push_seg_64);
FAMILY_SIZES(pop_seg, pop_seg_16, pop_seg_32, pop_seg_64);

/* ---- LDS, LES, LFS, LGS, LSS ---- */

static NOINLINE bool load_far(struct cpu *cpu, const struct insn *i, enum seg_id id, unsigned size)
{
    u64 lin, offset, sel;
    if (!mem_linear(cpu, i, size + 2, ACC_READ, &lin) ||
        !lin_read_int(cpu, i, lin, &offset, size, ACC_READ) ||
        !lin_read_int(cpu, i, lin + size, &sel, 2, ACC_READ) || !segment_load(cpu, id, (u16)sel))
        return false;
    if (size == 2)
        SET_REG16(cpu, i->reg, offset);
    else
        SET_REG64(cpu, i->reg, offset);
    if (id == SEG_SS)
        cpu_update_mode(cpu);
    return true;
}

#define LOAD_FAR_SIZE(name, id, bits)                                                              \
    static HANDLER(name##_##bits)                                                                  \
    {                                                                                              \
        if (unlikely(!load_far(cpu, i, id, (bits) / 8)))                                           \
            return insn_fault(cpu, i);                                                             \
        if ((id) == SEG_SS)                                                                        \
            return insn_leave(cpu, i);                                                             \
        SLOW_NEXT;                                                                                 \
    }
#define LOAD_FAR(name, id)                                                                         \
    LOAD_FAR_SIZE(name, id, 16)                                                                    \
    LOAD_FAR_SIZE(name, id, 32)                                                                    \
    LOAD_FAR_SIZE(name, id, 64)                                                                    \
    FAMILY_SIZES(name, name##_16, name##_32, name##_64);
LOAD_FAR(les, SEG_ES)
LOAD_FAR(lds, SEG_DS)
LOAD_FAR(lss, SEG_SS)
LOAD_FAR(lfs, SEG_FS)
LOAD_FAR(lgs, SEG_GS)

/* ---- LAR, LSL, VERR, VERW: what a selector would allow, told by ZF ---- */

static void set_zf(struct cpu *cpu, bool zf)
{
    cpu_set_status_flags(cpu, (cpu_status_flags(cpu) & ~FLAG_ZF) | (zf ? FLAG_ZF : 0));
}

static bool read_selector(struct cpu *cpu, const struct insn *i, bool memory, u16 *sel)
{
    if (!memory)
        *sel = REG16(cpu, i->rm);
    return !memory || mem_read16(cpu, i, sel);
}

/* Reads sel's descriptor; *ok: there is one, and its level admits CPL and RPL. */
static bool look_up(struct cpu *cpu, u16 sel, struct desc *d, bool *ok)
{
    *ok = false;
    if (SEL_NULL(sel))
        return true;
    enum desc_result res = desc_read(cpu, sel, d);
    if (res != DESC_OK)
        return res == DESC_OUTSIDE;
    unsigned dpl = desc_dpl(d->lo);
    *ok = desc_is_conforming(d->lo) || (cpu_cpl(cpu) <= dpl && SEL_RPL(sel) <= dpl);
    return true;
}

#define TYPE_BIT(t) (1u << (t))
#define LAR_TYPES                                                                                  \
    (TYPE_BIT(TYPE_TSS16) | TYPE_BIT(TYPE_LDT) | TYPE_BIT(TYPE_TSS16_BUSY) |                       \
     TYPE_BIT(TYPE_CALL16) | TYPE_BIT(TYPE_TASK_GATE) | LAR_TYPES_LONG)
#define LAR_TYPES_LONG                                                                             \
    (TYPE_BIT(TYPE_LDT) | TYPE_BIT(TYPE_TSS32) | TYPE_BIT(TYPE_TSS32_BUSY) | TYPE_BIT(TYPE_CALL32))
#define LSL_TYPES_LONG (LAR_TYPES_LONG & ~TYPE_BIT(TYPE_CALL32))
#define LSL_TYPES (LSL_TYPES_LONG | TYPE_BIT(TYPE_TSS16) | TYPE_BIT(TYPE_TSS16_BUSY))

static bool type_allowed(const struct cpu *cpu, u64 lo, unsigned types, unsigned types_long)
{
    if (!desc_is_system(lo))
        return true;
    return ((cpu_is_long(cpu) ? types_long : types) >> desc_type(lo)) & 1;
}

static void set_by_size(struct cpu *cpu, const struct insn *i, unsigned size, u32 val)
{
    if (size == 2)
        SET_REG16(cpu, i->reg, val);
    else
        SET_REG64(cpu, i->reg, val);
}

static NOINLINE bool lar(struct cpu *cpu, const struct insn *i, unsigned size, bool memory)
{
    struct desc d;
    bool ok;
    u16 sel;
    if (!cpu_is_protected(cpu))
        return cpu_fault(cpu, EXC_UD);
    if (!read_selector(cpu, i, memory, &sel) || !look_up(cpu, sel, &d, &ok))
        return false;
    ok = ok && type_allowed(cpu, d.lo, LAR_TYPES, LAR_TYPES_LONG);
    set_zf(cpu, ok);
    if (ok)
        set_by_size(cpu, i, size, (u32)(d.lo >> 32) & 0x00f0ff00);
    return true;
}

static NOINLINE bool lsl(struct cpu *cpu, const struct insn *i, unsigned size, bool memory)
{
    struct desc d;
    struct segment s;
    bool ok;
    u16 sel;
    if (!cpu_is_protected(cpu))
        return cpu_fault(cpu, EXC_UD);
    if (!read_selector(cpu, i, memory, &sel) || !look_up(cpu, sel, &d, &ok))
        return false;
    ok = ok && type_allowed(cpu, d.lo, LSL_TYPES, LSL_TYPES_LONG);
    set_zf(cpu, ok);
    if (!ok)
        return true;
    segment_set(&s, sel, &d);
    set_by_size(cpu, i, size, s.limit);
    return true;
}

#define LOOK_SIZE(name, bits)                                                                      \
    static HANDLER(name##_reg_##bits)                                                              \
    {                                                                                              \
        if (unlikely(!name(cpu, i, (bits) / 8, false)))                                            \
            return insn_fault(cpu, i);                                                             \
        SLOW_NEXT;                                                                                 \
    }                                                                                              \
    static HANDLER(name##_mem_##bits)                                                              \
    {                                                                                              \
        if (unlikely(!name(cpu, i, (bits) / 8, true)))                                             \
            return insn_fault(cpu, i);                                                             \
        SLOW_NEXT;                                                                                 \
    }
#define LOOK(name)                                                                                 \
    LOOK_SIZE(name, 16)                                                                            \
    LOOK_SIZE(name, 32)                                                                            \
    LOOK_SIZE(name, 64)                                                                            \
    const struct op_family fam_##name = {{{{0},                                                    \
                                           FORMS_TWO(name##_reg_16, name##_mem_16),                \
                                           FORMS_TWO(name##_reg_32, name##_mem_32),                \
                                           FORMS_TWO(name##_reg_64, name##_mem_64)},               \
                                          {{0}}}};
LOOK(lar)
LOOK(lsl)

static bool verify(struct cpu *cpu, const struct insn *i, bool memory, bool write)
{
    struct desc d;
    bool ok;
    u16 sel;
    if (!cpu_is_protected(cpu))
        return cpu_fault(cpu, EXC_UD);
    if (!read_selector(cpu, i, memory, &sel) || !look_up(cpu, sel, &d, &ok))
        return false;
    if (ok && write)
        ok = desc_is_writable(d.lo);
    else if (ok)
        ok = !desc_is_system(d.lo) && (!desc_is_code(d.lo) || (d.lo >> 41 & 1));
    set_zf(cpu, ok);
    return true;
}

#define VERIFY(name, write)                                                                        \
    BODY(do_##name##_reg)                                                                          \
    {                                                                                              \
        return verify(cpu, i, false, write);                                                       \
    }                                                                                              \
    BODY(do_##name##_mem)                                                                          \
    {                                                                                              \
        return verify(cpu, i, true, write);                                                        \
    }                                                                                              \
    SYS_NEXT(name##_reg, do_##name##_reg)                                                          \
    SYS_NEXT(name##_mem, do_##name##_mem)                                                          \
    const struct op_family fam_##name = {                                                          \
        {{FORMS_TWO(name##_reg, name##_mem), FORMS_TWO(name##_reg, name##_mem),                    \
          FORMS_TWO(name##_reg, name##_mem), FORMS_TWO(name##_reg, name##_mem)},                   \
         {{0}}}};
VERIFY(verr, false)
VERIFY(verw, true)

/* ---- ARPL ---- */

static u16 raise_rpl(struct cpu *cpu, u16 dst, u16 src)
{
    bool lower = SEL_RPL(dst) < SEL_RPL(src);
    set_zf(cpu, lower);
    return lower ? (u16)((dst & ~3u) | SEL_RPL(src)) : dst;
}

BODY(arpl_reg_body)
{
    if (!cpu_is_protected(cpu))
        return cpu_fault(cpu, EXC_UD);
    REG16(cpu, i->rm) = raise_rpl(cpu, REG16(cpu, i->rm), REG16(cpu, i->reg));
    return true;
}
BODY(arpl_mem_body)
{
    struct mem_rmw rmw;
    if (!cpu_is_protected(cpu))
        return cpu_fault(cpu, EXC_UD);
    if (!mem_rmw_begin(cpu, i, 2, &rmw))
        return false;
    mem_rmw_end(cpu, i, &rmw, raise_rpl(cpu, (u16)rmw.value, REG16(cpu, i->reg)));
    return true;
}
SYS_NEXT(arpl_reg, arpl_reg_body)
SYS_NEXT(arpl_mem, arpl_mem_body)
const struct op_family fam_arpl = {{{FORMS_TWO(arpl_reg, arpl_mem), FORMS_TWO(arpl_reg, arpl_mem),
                                     FORMS_TWO(arpl_reg, arpl_mem), FORMS_TWO(arpl_reg, arpl_mem)},
                                    {{0}}}};
