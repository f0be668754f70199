/* SPDX-License-Identifier: MIT */
/*
 * The x87 registers as instructions see them, what SIMD and x87 exceptions do, and loads of 16
 * bytes.
 *
 * cpu->st[] is physical; TOP is in cpu->fsw. MMX register n is the significand of physical register
 * n. FSW.ES and FSW.B follow from the flags and masks: fpu_update_es() after every change of
 * either.
 */
#ifndef CPU_FPU_H
#define CPU_FPU_H

#include "cpu/exec.h"
#include "cpu/softfp.h"

#define FSW_SF 0x40u
#define FSW_ES 0x80u
#define FSW_C0 0x100u
#define FSW_C1 0x200u
#define FSW_C2 0x400u
#define FSW_TOP_SHIFT 11
#define FSW_TOP (7u << FSW_TOP_SHIFT)
#define FSW_C3 0x4000u
#define FSW_B 0x8000u
#define FSW_CC (FSW_C0 | FSW_C1 | FSW_C2 | FSW_C3)

#define FCW_INIT 0x37fu
#define FCW_VALID 0x1f3fu /* bits that hold what is written; bit 6 reads as one */

#define MXCSR_INIT 0x1f80u
#define MXCSR_DAZ 0x40u
#define MXCSR_MASKS_SHIFT 7
#define MXCSR_RC_SHIFT 13
#define MXCSR_FTZ 0x8000u
#define MXCSR_MASK 0xffffu /* of bits that may be set */

static inline unsigned fpu_top(const struct cpu *cpu)
{
    return (cpu->fsw >> FSW_TOP_SHIFT) & 7;
}
static inline void fpu_set_top(struct cpu *cpu, unsigned top)
{
    cpu->fsw = (u16)((cpu->fsw & ~FSW_TOP) | (top & 7) << FSW_TOP_SHIFT);
}
/* Physical number of ST(n). */
static inline unsigned fpu_phys(const struct cpu *cpu, unsigned n)
{
    return (fpu_top(cpu) + n) & 7;
}
static inline void fpu_update_es(struct cpu *cpu)
{
    cpu->fsw &= (u16) ~(FSW_ES | FSW_B);
    if (cpu->fsw & ~cpu->fcw & FP_ALL)
        cpu->fsw |= FSW_ES | FSW_B;
}
static inline void fpu_set_fcw(struct cpu *cpu, u16 fcw)
{
    cpu->fcw = (u16)((fcw & FCW_VALID) | 0x40);
    fpu_update_es(cpu);
}

/* cpu/fpu_state.c */
void fpu_init(struct cpu *cpu); /* FNINIT, RESET */

/*
 * An x87 exception of an earlier instruction is pending. With CR0.NE it is #MF, recorded here
 * (false); without, the FERR# pin would tell a 1980s interrupt controller, which is not modelled,
 * and the instruction goes on (true).
 */
bool fpu_pending(struct cpu *cpu);

/*
 * cpu/op_mmx.c, for conversions. Begin: false if an x87 exception is pending, #MF recorded. Finish:
 * sets MMX register reg (-1: none) and the x87 state that goes with it.
 */
bool mmx_begin(struct cpu *cpu);
void mmx_finish(struct cpu *cpu, int reg, u64 v);

/* cpu/op_sse_fp.c: notes SIMD exceptions in MXCSR; false: one is unmasked, #XM or #UD recorded. */
bool sse_raise(struct cpu *cpu, unsigned flags);

/* ---- 16-byte operands ---- */

typedef u64 v2u64 __attribute__((vector_size(16)));
typedef s64 v2s64 __attribute__((vector_size(16)));
typedef u32 v4u32 __attribute__((vector_size(16)));
typedef s32 v4s32 __attribute__((vector_size(16)));
typedef u16 v8u16 __attribute__((vector_size(16)));
typedef s16 v8s16 __attribute__((vector_size(16)));
typedef u8 v16u8 __attribute__((vector_size(16)));
typedef s8 v16s8 __attribute__((vector_size(16)));
typedef float v4f32 __attribute__((vector_size(16)));
typedef double v2f64 __attribute__((vector_size(16)));

static ALWAYS_INLINE v2u64 host_load128(const void *p)
{
    v2u64 v;
    memcpy(&v, p, sizeof(v));
    return v;
}
static ALWAYS_INLINE void host_store128(void *p, v2u64 v)
{
    memcpy(p, &v, sizeof(v));
}
static ALWAYS_INLINE v2u64 xmm_get(const struct cpu *cpu, unsigned n)
{
    return host_load128(cpu->xmm[n].q);
}
static ALWAYS_INLINE void xmm_set(struct cpu *cpu, unsigned n, v2u64 v)
{
    host_store128(cpu->xmm[n].q, v);
}

/* Spares the caller's test a second comparison. */
static ALWAYS_INLINE u8 *not_null(u8 *p)
{
    if (!p)
        __builtin_unreachable();
    return p;
}

/*
 * Host address of an aligned 16-byte operand at va, NULL: the slow path. One test finds a miss and
 * a misaligned address, tags being multiples of the page size.
 */
static ALWAYS_INLINE const u8 *fast_read_aligned(const struct cpu *cpu, u64 va)
{
    const struct tlb_entry *e = tlb_slot(cpu->tlb, va);
    if (unlikely((va - e->rtag) & ~(PAGE_SIZE - 16)))
        return NULL;
    return not_null((u8 *)(uintptr_t)(va + e->addend));
}
static ALWAYS_INLINE u8 *fast_write_aligned(const struct cpu *cpu, u64 va)
{
    const struct tlb_entry *e = tlb_slot(cpu->tlb, va);
    if (unlikely((va - e->wtag) & ~(PAGE_SIZE - 16)))
        return NULL;
    return not_null((u8 *)(uintptr_t)(va + e->addend));
}

/*
 * The same at leisure: the memory operand of legacy SSE instructions, #GP(0) when misaligned.
 * cpu/fpu_state.c.
 */
bool mem_read_aligned(struct cpu *cpu, const struct insn *i, void *to);
bool mem_write_aligned(struct cpu *cpu, const struct insn *i, const void *from);

/*
 * MASKMOVQ, MASKMOVDQU: stores the bytes of `from` whose mask has bit 7 set at DS:rDI (or the
 * segment of a prefix). cpu/op_sse_move.c.
 */
bool mask_store(struct cpu *cpu, const struct insn *i, const u8 *from, const u8 *mask,
                unsigned size);

/* The four widths of a family are the same. */
#define FAMILY_BOTH(name, reg, mem)                                                                \
    const struct op_family fam_##name = {                                                          \
        {{FORMS5(reg, mem), FORMS5(reg, mem), FORMS5(reg, mem), FORMS5(reg, mem)}, {{0}}}}
#define FAMILY_MEM(name, mem)                                                                      \
    const struct op_family fam_##name = {                                                          \
        {{FORMS_ONLY_MEM(mem), FORMS_ONLY_MEM(mem), FORMS_ONLY_MEM(mem), FORMS_ONLY_MEM(mem)},     \
         {{0}}}}
#define FAMILY_REG(name, reg)                                                                      \
    const struct op_family fam_##name = {                                                          \
        {{FORMS_ONLY_REG(reg), FORMS_ONLY_REG(reg), FORMS_ONLY_REG(reg), FORMS_ONLY_REG(reg)},     \
         {{0}}}}
/* One handler for memory operands of every form (slow ones), another for registers (may be 0). */
#define FORMS_SLOW(reg, gen)                                                                       \
    {                                                                                              \
        reg, gen, gen, gen, gen                                                                    \
    }
#define FAMILY_SLOW(name, reg, gen)                                                                \
    const struct op_family fam_##name = {                                                          \
        {{FORMS_SLOW(reg, gen), FORMS_SLOW(reg, gen), FORMS_SLOW(reg, gen), FORMS_SLOW(reg, gen)}, \
         {{0}}}}

/*
 * A slow handler is a function `bool name(cpu, i)` that executes the whole instruction or records a
 * fault (false), and this around it. Its locals are gone when the next handler is jumped to.
 */
#define DEF_SLOW(handler, body_fn)                                                                 \
    static COLD HANDLER(handler)                                                                   \
    {                                                                                              \
        if (unlikely(!body_fn(cpu, i)))                                                            \
            return insn_fault(cpu, i);                                                             \
        SLOW_NEXT;                                                                                 \
    }

#endif
