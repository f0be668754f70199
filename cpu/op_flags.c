/* SPDX-License-Identifier: MIT */
/* PUSHF, POPF, CLI, STI: the flags that depend on CPL, IOPL, virtual-8086 mode, VME and PVI. */
#include "cpu/op_jump.h"
#include "cpu/segment.h"

static unsigned iopl(const struct cpu *cpu)
{
    return (unsigned)(cpu->eflags >> FLAG_IOPL_SHIFT) & 3;
}

/* In virtual-8086 mode with IOPL below 3: 16-bit operands with VME, else #GP(0). */
static bool vm86_restricted(const struct cpu *cpu)
{
    return (cpu->mode & MODE_VM86) && iopl(cpu) < 3;
}

static bool vme_usable(const struct cpu *cpu, unsigned size)
{
    return (cpu->cr4 & CR4_VME) && size == 2;
}

/* ---- PUSHF ---- */

static NOINLINE bool pushf(struct cpu *cpu, const struct insn *i, unsigned size)
{
    u64 flags = cpu_eflags(cpu) & ~(FLAG_VM | FLAG_RF);
    struct stack st;
    if (vm86_restricted(cpu)) {
        if (!vme_usable(cpu, size))
            return cpu_fault_gp(cpu, 0);
        flags = (flags & ~FLAG_IF) | FLAG_IOPL | (flags & FLAG_VIF ? FLAG_IF : 0);
    }
    stack_begin(cpu, &st);
    if (!stack_push(cpu, i, &st, flags, size))
        return false;
    stack_commit(cpu, &st);
    return true;
}

/* ---- POPF ---- */

/* The flags that POPF may change (SDM "POPF/POPFD/POPFQ", table of effects). */
static u64 popf_mask(const struct cpu *cpu, unsigned size)
{
    u64 mask = FLAGS_STATUS | FLAG_TF | FLAG_DF | FLAG_NT;
    if (size > 2)
        mask |= FLAG_AC | FLAG_ID;
    if (cpu_cpl(cpu) <= iopl(cpu))
        mask |= FLAG_IF;
    if (cpu_cpl(cpu) == 0)
        mask |= FLAG_IOPL;
    return mask;
}

static void load_flags(struct cpu *cpu, u64 flags, u64 mask)
{
    u64 old = cpu->eflags;
    set_rflags(cpu, (cpu_eflags(cpu) & ~(mask | FLAG_RF)) | (flags & mask));
    if ((old ^ cpu->eflags) & FLAG_AC)
        cpu_update_mode(cpu);
    /* The run loop must look: single steps begin, interrupts are open, or the view has changed. */
    bool open = (cpu->eflags & FLAG_IF) && cpu->pending;
    if (open || (cpu->eflags & FLAG_TF) || ((old ^ cpu->eflags) & FLAG_AC))
        cpu->leave = true;
}

static bool popf_vme(struct cpu *cpu, u64 flags)
{
    if (((flags & FLAG_IF) && (cpu->eflags & FLAG_VIP)) || (flags & FLAG_TF))
        return cpu_fault_gp(cpu, 0);
    u64 mask = FLAGS_STATUS | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_VIF;
    load_flags(cpu, (flags & 0xffff) | (flags & FLAG_IF ? FLAG_VIF : 0), mask);
    return true;
}

static NOINLINE bool popf(struct cpu *cpu, const struct insn *i, unsigned size)
{
    struct stack st;
    u64 flags;
    bool restricted = vm86_restricted(cpu);
    if (restricted && !vme_usable(cpu, size))
        return cpu_fault_gp(cpu, 0);
    stack_begin(cpu, &st);
    if (!stack_pop(cpu, i, &st, &flags, size))
        return false;
    if (restricted) {
        if (!popf_vme(cpu, flags))
            return false;
    } else {
        load_flags(cpu, flags, popf_mask(cpu, size));
    }
    stack_commit(cpu, &st);
    return true;
}

#define FLAGS_SIZE(bits)                                                                           \
    static HANDLER(pushf_##bits)                                                                   \
    {                                                                                              \
        if (unlikely(!pushf(cpu, i, (bits) / 8)))                                                  \
            return insn_fault(cpu, i);                                                             \
        SLOW_NEXT;                                                                                 \
    }                                                                                              \
    static HANDLER(popf_##bits)                                                                    \
    {                                                                                              \
        if (unlikely(!popf(cpu, i, (bits) / 8)))                                                   \
            return insn_fault(cpu, i);                                                             \
        SLOW_NEXT;                                                                                 \
    }
FLAGS_SIZE(16)
FLAGS_SIZE(32)
FLAGS_SIZE(64)
FAMILY_SIZES(pushf, pushf_16, pushf_32, pushf_64);
FAMILY_SIZES(popf, popf_16, popf_32, popf_64);

/* ---- CLI and STI ---- */

enum if_access { IF_REAL, IF_VIRTUAL, IF_FAULT };

/* Which flag CLI and STI act on here (SDM "CLI - Clear Interrupt Flag", decision table). */
static ALWAYS_INLINE enum if_access if_access(const struct cpu *cpu)
{
    if (likely(cpu_cpl(cpu) <= iopl(cpu)))
        return IF_REAL;
    if (cpu->mode & MODE_VM86)
        return cpu->cr4 & CR4_VME ? IF_VIRTUAL : IF_FAULT;
    return (cpu->cr4 & CR4_PVI) && cpu_cpl(cpu) == 3 ? IF_VIRTUAL : IF_FAULT;
}

static COLD HANDLER(op_if_fault)
{
    cpu_fault_gp(cpu, 0);
    return insn_fault(cpu, i);
}

static HANDLER(op_cli)
{
    enum if_access access = if_access(cpu);
    if (unlikely(access == IF_FAULT))
        return op_if_fault(cpu, i);
    cpu->eflags &= access == IF_REAL ? ~FLAG_IF : ~FLAG_VIF;
    NEXT;
}
FAMILY_ONE(cli, op_cli);

static COLD HANDLER(op_sti_virtual)
{
    if (if_access(cpu) == IF_FAULT || (cpu->eflags & FLAG_VIP))
        return op_if_fault(cpu, i);
    cpu->eflags |= FLAG_VIF;
    NEXT;
}

/*
 * The next instruction comes before any interrupt. Where it follows in this block with nothing
 * pending it does so anyway: a block is run only if no event is due before its end.
 */
static HANDLER(op_sti)
{
    if (unlikely(if_access(cpu) != IF_REAL))
        return op_sti_virtual(cpu, i);
    if (cpu->eflags & FLAG_IF)
        NEXT;
    cpu->eflags |= FLAG_IF;
    if (likely(!cpu->pending && i->n + 1 < insn_block(i)->insns))
        NEXT;
    cpu->irq_shadow = true;
    return insn_leave(cpu, i);
}
FAMILY_ONE(sti, op_sti);
