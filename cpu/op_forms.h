/* SPDX-License-Identifier: MIT */
/*
 * Families of integer handlers by operand pattern. The letters are those of the SDM: e an operand
 * that ModRM.rm names (register or memory), g the register ModRM.reg names, i an immediate.
 *
 * Handlers with live flags have plain names, those with dead flags end in _nf; both share the cold
 * twin _gen (flags computed in vain harm nobody).
 *
 * PRE is a statement to run before anything else: NEED_CC_EFLAGS or empty. BODY may use cpu, i and
 *   val   the memory operand (or register rm), u<bits>
 *   res   to be set to what is written back, u<bits> (patterns that write e)
 *   fl    1: flags are live, a constant
 */
#ifndef CPU_OP_FORMS_H
#define CPU_OP_FORMS_H

#include "cpu/exec.h"
#include "cpu/flags.h"

#define FORM_HEAD(name, fl_)                                                                       \
    static HANDLER(name)                                                                           \
    {                                                                                              \
        enum { fl = fl_ };                                                                         \
        (void)fl;

/* ---- e is read and written ---- */
#define E_RMW_REG(name, bits, fl_, PRE, ...)                                                       \
    FORM_HEAD(name, fl_)                                                                           \
    PRE;                                                                                           \
    u##bits val = REG##bits(cpu, i->rm), res;                                                      \
    __VA_ARGS__;                                                                                   \
    SET_REG##bits(cpu, i->rm, res);                                                                \
    NEXT;                                                                                          \
    }
#define E_RMW_MEM(name, gen, bits, fl_, EA, PRE, ...)                                              \
    FORM_HEAD(name, fl_)                                                                           \
    PRE;                                                                                           \
    u8 *p_ = fast_write(cpu, EA(cpu, i), (bits) / 8);                                              \
    if (unlikely(!p_))                                                                             \
        return gen(cpu, i);                                                                        \
    u##bits val = host_load##bits(p_), res;                                                        \
    __VA_ARGS__;                                                                                   \
    host_store##bits(p_, res);                                                                     \
    NEXT;                                                                                          \
    }
#define E_RMW_GEN(name, bits, PRE, ...)                                                            \
    static COLD HANDLER(name)                                                                      \
    {                                                                                              \
        enum { fl = 1 };                                                                           \
        (void)fl;                                                                                  \
        PRE;                                                                                       \
        {                                                                                          \
            struct mem_rmw rmw_;                                                                   \
            if (!mem_rmw_begin(cpu, i, (bits) / 8, &rmw_))                                         \
                return insn_fault(cpu, i);                                                         \
            u##bits val = (u##bits)rmw_.value, res;                                                \
            __VA_ARGS__;                                                                           \
            mem_rmw_end(cpu, i, &rmw_, res);                                                       \
        }                                                                                          \
        SLOW_NEXT;                                                                                 \
    }
#define E_RMW_LIVE(name, bits, PRE, ...)                                                           \
    E_RMW_GEN(name##_gen, bits, PRE, __VA_ARGS__)                                                  \
    E_RMW_REG(name, bits, 1, PRE, __VA_ARGS__)                                                     \
    E_RMW_MEM(name##_bd, name##_gen, bits, 1, EA_BD, PRE, __VA_ARGS__)                             \
    E_RMW_MEM(name##_bi, name##_gen, bits, 1, EA_BI, PRE, __VA_ARGS__)                             \
    E_RMW_MEM(name##_seg, name##_gen, bits, 1, EA_SEG, PRE, __VA_ARGS__)
#define E_RMW_DEAD(name, bits, ...)                                                                \
    E_RMW_REG(name##_nf, bits, 0, , __VA_ARGS__)                                                   \
    E_RMW_MEM(name##_bd_nf, name##_gen, bits, 0, EA_BD, , __VA_ARGS__)                             \
    E_RMW_MEM(name##_bi_nf, name##_gen, bits, 0, EA_BI, , __VA_ARGS__)                             \
    E_RMW_MEM(name##_seg_nf, name##_gen, bits, 0, EA_SEG, , __VA_ARGS__)

/* ---- e is only read ---- */
#define E_READ_REG(name, bits, fl_, PRE, ...)                                                      \
    FORM_HEAD(name, fl_)                                                                           \
    PRE;                                                                                           \
    u##bits val = REG##bits(cpu, i->rm);                                                           \
    __VA_ARGS__;                                                                                   \
    NEXT;                                                                                          \
    }
#define E_READ_MEM(name, gen, bits, fl_, EA, PRE, ...)                                             \
    FORM_HEAD(name, fl_)                                                                           \
    PRE;                                                                                           \
    const u8 *p_ = fast_read(cpu, EA(cpu, i), (bits) / 8);                                         \
    if (unlikely(!p_))                                                                             \
        return gen(cpu, i);                                                                        \
    u##bits val = host_load##bits(p_);                                                             \
    __VA_ARGS__;                                                                                   \
    NEXT;                                                                                          \
    }
#define E_READ_GEN(name, bits, PRE, ...)                                                           \
    static COLD HANDLER(name)                                                                      \
    {                                                                                              \
        enum { fl = 1 };                                                                           \
        (void)fl;                                                                                  \
        PRE;                                                                                       \
        {                                                                                          \
            u##bits val;                                                                           \
            if (!mem_read##bits(cpu, i, &val))                                                     \
                return insn_fault(cpu, i);                                                         \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
        SLOW_NEXT;                                                                                 \
    }
#define E_READ_LIVE(name, bits, PRE, ...)                                                          \
    E_READ_GEN(name##_gen, bits, PRE, __VA_ARGS__)                                                 \
    E_READ_REG(name, bits, 1, PRE, __VA_ARGS__)                                                    \
    E_READ_MEM(name##_bd, name##_gen, bits, 1, EA_BD, PRE, __VA_ARGS__)                            \
    E_READ_MEM(name##_bi, name##_gen, bits, 1, EA_BI, PRE, __VA_ARGS__)                            \
    E_READ_MEM(name##_seg, name##_gen, bits, 1, EA_SEG, PRE, __VA_ARGS__)
#define E_READ_DEAD(name, bits, ...)                                                               \
    E_READ_REG(name##_nf, bits, 0, , __VA_ARGS__)                                                  \
    E_READ_MEM(name##_bd_nf, name##_gen, bits, 0, EA_BD, , __VA_ARGS__)                            \
    E_READ_MEM(name##_bi_nf, name##_gen, bits, 0, EA_BI, , __VA_ARGS__)                            \
    E_READ_MEM(name##_seg_nf, name##_gen, bits, 0, EA_SEG, , __VA_ARGS__)

/* ---- e is only written; BODY sets res, and must not have other effects ---- */
#define E_WRITE_REG(name, bits, PRE, ...)                                                          \
    static HANDLER(name)                                                                           \
    {                                                                                              \
        PRE;                                                                                       \
        u##bits res;                                                                               \
        __VA_ARGS__;                                                                               \
        SET_REG##bits(cpu, i->rm, res);                                                            \
        NEXT;                                                                                      \
    }
#define E_WRITE_MEM(name, gen, bits, EA, PRE, ...)                                                 \
    static HANDLER(name)                                                                           \
    {                                                                                              \
        PRE;                                                                                       \
        u8 *p_ = fast_write(cpu, EA(cpu, i), (bits) / 8);                                          \
        if (unlikely(!p_))                                                                         \
            return gen(cpu, i);                                                                    \
        u##bits res;                                                                               \
        __VA_ARGS__;                                                                               \
        host_store##bits(p_, res);                                                                 \
        NEXT;                                                                                      \
    }
#define E_WRITE_GEN(name, bits, PRE, ...)                                                          \
    static COLD HANDLER(name)                                                                      \
    {                                                                                              \
        PRE;                                                                                       \
        u##bits res;                                                                               \
        __VA_ARGS__;                                                                               \
        if (!mem_write##bits(cpu, i, res))                                                         \
            return insn_fault(cpu, i);                                                             \
        SLOW_NEXT;                                                                                 \
    }
#define E_WRITE(name, bits, PRE, ...)                                                              \
    E_WRITE_GEN(name##_gen, bits, PRE, __VA_ARGS__)                                                \
    E_WRITE_REG(name, bits, PRE, __VA_ARGS__)                                                      \
    E_WRITE_MEM(name##_bd, name##_gen, bits, EA_BD, PRE, __VA_ARGS__)                              \
    E_WRITE_MEM(name##_bi, name##_gen, bits, EA_BI, PRE, __VA_ARGS__)                              \
    E_WRITE_MEM(name##_seg, name##_gen, bits, EA_SEG, PRE, __VA_ARGS__)

/* ---- Initializers ---- */
/* One width: register and memory forms of `name`, with live and with dead flags. */
#define E_FORMS(name) FORMS5(name, name)
#define E_FORMS_NF(name)                                                                           \
    {                                                                                              \
        [FORM_REG] = name##_nf, [FORM_BD] = name##_bd_nf, [FORM_BI] = name##_bi_nf,                \
        [FORM_SEG] = name##_seg_nf                                                                 \
    }
/* Families over widths b w d q or w d q, handlers named <name><bits>. */
#define FAMILY4(name)                                                                              \
    {                                                                                              \
        E_FORMS(name##8), E_FORMS(name##16), E_FORMS(name##32), E_FORMS(name##64)                  \
    }
#define FAMILY4_NF(name)                                                                           \
    {                                                                                              \
        E_FORMS_NF(name##8), E_FORMS_NF(name##16), E_FORMS_NF(name##32), E_FORMS_NF(name##64)      \
    }
#define FAMILY3(name)                                                                              \
    {                                                                                              \
        [W16] = E_FORMS(name##16), [W32] = E_FORMS(name##32), [W64] = E_FORMS(name##64)            \
    }
#define FAMILY3_NF(name)                                                                           \
    {                                                                                              \
        [W16] = E_FORMS_NF(name##16), [W32] = E_FORMS_NF(name##32), [W64] = E_FORMS_NF(name##64)   \
    }

#endif
