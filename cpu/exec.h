/* SPDX-License-Identifier: MIT */
/*
 * How handlers are written. A handler commits its state only after the last thing that can fault, and
 * ends with one of:
 *
 *     NEXT                        go on with the following record
 *     SLOW_NEXT                   the same after a slow path, which may have asked to leave the block
 *     return insn_leave(cpu, i)   done; the run loop must look at events, mode or code afresh
 *     return insn_leave_at(cpu, i, rip)   the same, going on at rip (already truncated)
 *     return insn_fault(cpu, i)   not done: cpu->exc (or another outcome) was recorded
 *
 * Fast handlers must not call anything that is not inlined (gcc would need a frame): they tail-call
 * a cold twin that redoes the whole instruction, `return op_x_gen(cpu, i)`. No local's address may
 * escape in them. In a cold handler a local whose address is taken must be out of scope (an inner
 * block, or another function) before NEXT: else gcc calls the next handler instead of jumping to it,
 * and the stack grows. tests/lint/dispatch checks the object code.
 *
 * With a flags-dead variant, `fl` is 0 and the compiler drops the stores: see DEF macros.
 */
#ifndef CPU_EXEC_H
#define CPU_EXEC_H

#include <string.h>

#include "cpu/cpu.h"
#include "cpu/insn.h"
#include "cpu/mem.h"

#ifndef TESTUDO_DISPATCH_TAIL
#define TESTUDO_DISPATCH_TAIL 0
#endif

#if TESTUDO_DISPATCH_TAIL
/* The empty asm keeps gcc from copying the record's address: `add $32, %rsi; jmp *(%rsi)`. */
#define GOTO(p)                                                                                    \
    do {                                                                                           \
        const struct insn *next_ = (p);                                                            \
        __asm__("" : "+r"(next_));                                                                 \
        return next_->fn(cpu, next_);                                                              \
    } while (0)
#else
#define GOTO(p) return (p)
#endif

#define NEXT GOTO(i + 1)
#define SLOW_NEXT                                                                                  \
    do {                                                                                           \
        if (unlikely(cpu->leave))                                                                  \
            return insn_leave(cpu, i);                                                             \
        NEXT;                                                                                      \
    } while (0)

#define HANDLER(name) const struct insn *name(struct cpu *cpu, const struct insn *i)

/* cpu/run.c: the documented ways out of a block; all return NULL */
const struct insn *insn_leave(struct cpu *cpu, const struct insn *i);
const struct insn *insn_leave_at(struct cpu *cpu, const struct insn *i, u64 rip);
const struct insn *insn_fault(struct cpu *cpu, const struct insn *i);
/*
 * Instruction i (a taken branch) is done and control goes to rip, which may lie anywhere: looks the
 * block up in the jump cache and goes on there, or leaves when the budget is used up.
 */
HANDLER(op_jump_slow); /* to cpu->rip, instruction count not yet charged */

/*
 * A near branch to a rip known only now: charges, tests the budget, finds the block in the jump
 * cache, else takes the cold path. Truncate rip and check it against CS.limit before, where needed.
 */
#define JUMP_TO(target)                                                                            \
    do {                                                                                           \
        u64 jump_rip_ = (target);                                                                  \
        struct jump_entry *je_ = tlb_jump_slot(cpu->ctx, jump_rip_);                               \
        cpu->rip = jump_rip_;                                                                      \
        s64 left_ = cpu->budget - (i->n + 1);                                                      \
        if (unlikely(left_ < 0 || je_->tag != (jump_rip_ ^ cpu->jump_key)))                        \
            return op_jump_slow(cpu, i);                                                           \
        cpu->budget = left_;                                                                       \
        GOTO(je_->block->code);                                                                    \
    } while (0)

/*
 * A direct branch inside the page: i->disp is the link to the target's first record, or to a stub that
 * finds it and patches the link. i->imm is the target RIP.
 */
#define JUMP_LINK                                                                                  \
    do {                                                                                           \
        s64 left_ = cpu->budget - (i->n + 1);                                                      \
        if (unlikely(left_ < 0))                                                                   \
            return op_link_slow(cpu, i);                                                           \
        cpu->budget = left_;                                                                       \
        GOTO((const struct insn *)(uintptr_t)i->disp);                                             \
    } while (0)
HANDLER(op_link_slow); /* goes to i->imm by way of the run loop */

/*
 * Instructions, this one included, that may be executed before the run loop must see to events:
 * REP iterations are one each. At least 1.
 */
static ALWAYS_INLINE u64 insn_budget(const struct cpu *cpu, const struct insn *i)
{
    return (u64)(cpu->budget + BLOCK_MAX_INSNS - i->n);
}
/* Charges `extra` instructions beside the one that the way out of the handler charges. Afterwards end
 * with REP_NEXT (it leaves if the rest of the block might overrun). */
static ALWAYS_INLINE void insn_charge(struct cpu *cpu, u64 extra)
{
    cpu->budget -= (s64)extra;
}
#define REP_NEXT                                                                                   \
    do {                                                                                           \
        if (unlikely(cpu->leave || cpu->budget < 0))                                               \
            return insn_leave(cpu, i);                                                             \
        NEXT;                                                                                      \
    } while (0)

/* ---- Memory operands of fast handlers ---- */

#define EA_BD(cpu, i) (REG64(cpu, (i)->base) + (i)->disp)
#define EA_BI(cpu, i) (REG64(cpu, (i)->base) + (REG64(cpu, (i)->index) << EA_SHIFT(i)) + (i)->disp)
#define EA_SEG(cpu, i) ((cpu)->seg[INSN_SEG(i)].base + EA_BI(cpu, i))

/* Host address for a read (or a read and write) of size bytes at va; NULL: take the slow path. */
static ALWAYS_INLINE const u8 *fast_read(const struct cpu *cpu, u64 va, unsigned size)
{
    const struct tlb_entry *e = tlb_slot(cpu->tlb, va);
    if (unlikely(va - e->rtag > PAGE_SIZE - size))
        return NULL;
    const u8 *p = (const u8 *)(uintptr_t)(va + e->addend);
    if (!p)
        __builtin_unreachable(); /* spares the caller a second test */
    return p;
}
static ALWAYS_INLINE u8 *fast_write(const struct cpu *cpu, u64 va, unsigned size)
{
    const struct tlb_entry *e = tlb_slot(cpu->tlb, va);
    if (unlikely(va - e->wtag > PAGE_SIZE - size))
        return NULL;
    u8 *p = (u8 *)(uintptr_t)(va + e->addend);
    if (!p)
        __builtin_unreachable();
    return p;
}

/* Unaligned little-endian host memory. */
#define HOST_ACCESS(bits)                                                                          \
    static ALWAYS_INLINE u##bits host_load##bits(const u8 *p)                                      \
    {                                                                                              \
        u##bits v;                                                                                 \
        memcpy(&v, p, sizeof(v));                                                                  \
        return v;                                                                                  \
    }                                                                                              \
    static ALWAYS_INLINE void host_store##bits(u8 *p, u##bits v)                                   \
    {                                                                                              \
        memcpy(p, &v, sizeof(v));                                                                  \
    }
HOST_ACCESS(8)
HOST_ACCESS(16)
HOST_ACCESS(32)
HOST_ACCESS(64)
#undef HOST_ACCESS

/* General register write by width: 32-bit results zero the upper half. */
#define SET_REG8(cpu, off, v) (REG8(cpu, off) = (u8)(v))
#define SET_REG16(cpu, off, v) (REG16(cpu, off) = (u16)(v))
#define SET_REG32(cpu, off, v) (REG64(cpu, off) = (u32)(v))
#define SET_REG64(cpu, off, v) (REG64(cpu, off) = (u64)(v))

/*
 * DEF_LOAD(name, bits, body...): handlers name_gen, name_bd, name_bi, name_seg that read the memory
 * operand into `u<bits> val`, run body and go on. body may use cpu, i, val; it may not return.
 */
#define DEF_LOAD_FORM(name, bits, form, EA, ...)                                                   \
    static HANDLER(name##_##form)                                                                  \
    {                                                                                              \
        const u8 *p_ = fast_read(cpu, EA(cpu, i), (bits) / 8);                                     \
        if (unlikely(!p_))                                                                         \
            return name##_gen(cpu, i);                                                             \
        u##bits val = host_load##bits(p_);                                                         \
        __VA_ARGS__;                                                                               \
        NEXT;                                                                                      \
    }
#define DEF_LOAD(name, bits, ...)                                                                  \
    static COLD HANDLER(name##_gen)                                                                \
    {                                                                                              \
        {                                                                                          \
            u##bits val;                                                                           \
            if (!mem_read##bits(cpu, i, &val))                                                     \
                return insn_fault(cpu, i);                                                         \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
        SLOW_NEXT;                                                                                 \
    }                                                                                              \
    DEF_LOAD_FORM(name, bits, bd, EA_BD, __VA_ARGS__)                                              \
    DEF_LOAD_FORM(name, bits, bi, EA_BI, __VA_ARGS__)                                              \
    DEF_LOAD_FORM(name, bits, seg, EA_SEG, __VA_ARGS__)

/* DEF_STORE(name, bits, expr): stores the value of expr (which may use cpu and i) to memory. */
#define DEF_STORE_FORM(name, bits, form, EA, expr)                                                 \
    static HANDLER(name##_##form)                                                                  \
    {                                                                                              \
        u8 *p_ = fast_write(cpu, EA(cpu, i), (bits) / 8);                                          \
        if (unlikely(!p_))                                                                         \
            return name##_gen(cpu, i);                                                             \
        host_store##bits(p_, (u##bits)(expr));                                                     \
        NEXT;                                                                                      \
    }
#define DEF_STORE(name, bits, expr)                                                                \
    static COLD HANDLER(name##_gen)                                                                \
    {                                                                                              \
        if (!mem_write##bits(cpu, i, (u##bits)(expr)))                                             \
            return insn_fault(cpu, i);                                                             \
        SLOW_NEXT;                                                                                 \
    }                                                                                              \
    DEF_STORE_FORM(name, bits, bd, EA_BD, expr)                                                    \
    DEF_STORE_FORM(name, bits, bi, EA_BI, expr)                                                    \
    DEF_STORE_FORM(name, bits, seg, EA_SEG, expr)

/*
 * DEF_RMW(name, bits, body...): reads the memory operand into `u<bits> val`, body computes `u<bits>
 * res` (declared by the macro) and may set flags, which is written back. Write permission is
 * checked before body runs, so body may commit.
 */
#define DEF_RMW_FORM(name, bits, form, EA, ...)                                                    \
    static HANDLER(name##_##form)                                                                  \
    {                                                                                              \
        u8 *p_ = fast_write(cpu, EA(cpu, i), (bits) / 8);                                          \
        if (unlikely(!p_))                                                                         \
            return name##_gen(cpu, i);                                                             \
        u##bits val = host_load##bits(p_), res;                                                    \
        __VA_ARGS__;                                                                               \
        host_store##bits(p_, res);                                                                 \
        NEXT;                                                                                      \
    }
#define DEF_RMW(name, bits, ...)                                                                   \
    static COLD HANDLER(name##_gen)                                                                \
    {                                                                                              \
        {                                                                                          \
            struct mem_rmw rmw_;                                                                   \
            if (!mem_rmw_begin(cpu, i, (bits) / 8, &rmw_))                                         \
                return insn_fault(cpu, i);                                                         \
            u##bits val = (u##bits)rmw_.value, res;                                                \
            __VA_ARGS__;                                                                           \
            mem_rmw_end(cpu, i, &rmw_, res);                                                       \
        }                                                                                          \
        SLOW_NEXT;                                                                                 \
    }                                                                                              \
    DEF_RMW_FORM(name, bits, bd, EA_BD, __VA_ARGS__)                                               \
    DEF_RMW_FORM(name, bits, bi, EA_BI, __VA_ARGS__)                                               \
    DEF_RMW_FORM(name, bits, seg, EA_SEG, __VA_ARGS__)

/* Initializers of families. FORMS5(reg, mem): one width's five forms. */
#define FORMS_MEM(mem)                                                                             \
    [FORM_BD] = mem##_bd, [FORM_BI] = mem##_bi, [FORM_SEG] = mem##_seg, [FORM_GEN] = mem##_gen
#define FORMS5(reg, mem)                                                                           \
    {                                                                                              \
        [FORM_REG] = reg, FORMS_MEM(mem)                                                           \
    }
#define FORMS_ONLY_MEM(mem)                                                                        \
    {                                                                                              \
        FORMS_MEM(mem)                                                                             \
    }
#define FORMS_ONLY_REG(reg)                                                                        \
    {                                                                                              \
        [FORM_REG] = reg                                                                           \
    }
/* An instruction with one handler whatever its width and form. */
#define FORMS_ALL(fn_)                                                                             \
    {                                                                                              \
        fn_, fn_, fn_, fn_, fn_                                                                    \
    }
#define FAMILY_ONE(name, fn_)                                                                      \
    const struct op_family fam_##name = {                                                          \
        {{FORMS_ALL(fn_), FORMS_ALL(fn_), FORMS_ALL(fn_), FORMS_ALL(fn_)}, {{0}}}}

#endif
