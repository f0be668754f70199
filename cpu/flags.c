/* SPDX-License-Identifier: MIT */
#include "cpu/flags.h"

/* The first operand, recovered from result and second operand; low bits only are meaningful. */
static u64 first_operand(unsigned op, u64 dst, u64 src)
{
    switch (op & ~3u) {
    case CC_ADD:
        return dst - src;
    case CC_ADC:
        return dst - src - 1;
    case CC_SUB:
        return dst + src;
    case CC_SBB:
        return dst + src + 1;
    default:
        return 0;
    }
}

static bool overflow(unsigned op, u64 dst, u64 src)
{
    unsigned top = (8u << (op & 3)) - 1;
    u64 a = first_operand(op, dst, src), v;
    switch (op & ~3u) {
    case CC_ADD:
    case CC_ADC:
        v = (a ^ dst) & (src ^ dst);
        break;
    case CC_SUB:
    case CC_SBB:
        v = (a ^ src) & (a ^ dst);
        break;
    case CC_INC:
        v = dst & ~(dst - 1);
        break;
    case CC_DEC:
        v = ~dst & (dst + 1);
        break;
    case CC_SHL:
    case CC_SHR:
        v = src ^ dst;
        break;
    case CC_MUL:
        return src & 1;
    default:
        return false;
    }
    return (v >> top) & 1;
}

static bool adjust(unsigned op, u64 dst, u64 src)
{
    switch (op & ~3u) {
    case CC_ADD:
    case CC_ADC:
    case CC_SUB:
    case CC_SBB:
        return ((first_operand(op, dst, src) ^ dst ^ src) >> 4) & 1;
    case CC_INC:
        return (dst & 15) == 0;
    case CC_DEC:
        return (dst & 15) == 15;
    default:
        return false;
    }
}

u64 cpu_status_flags(const struct cpu *cpu)
{
    unsigned op = cpu->cc_op;
    u64 dst = cpu->cc_dst, src = cpu->cc_src;
    if (op == CC_EFLAGS)
        return src;
    u64 flags = cc_carry(cpu) ? FLAG_CF : 0;
    if (cc_parity_of(dst))
        flags |= FLAG_PF;
    if (adjust(op, dst, src))
        flags |= FLAG_AF;
    if (!dst)
        flags |= FLAG_ZF;
    if (dst >> 63)
        flags |= FLAG_SF;
    if (overflow(op, dst, src))
        flags |= FLAG_OF;
    return flags;
}

u64 cpu_eflags(const struct cpu *cpu)
{
    return cpu->eflags | cpu_status_flags(cpu);
}

void cpu_set_status_flags(struct cpu *cpu, u64 flags)
{
    cpu->cc_op = CC_EFLAGS;
    cpu->cc_src = flags & FLAGS_STATUS;
}

void cpu_set_eflags(struct cpu *cpu, u64 eflags)
{
    u64 old = cpu->eflags;
    cpu->eflags = (eflags & ~FLAGS_STATUS) | FLAG_1;
    cpu_set_status_flags(cpu, eflags);
    if ((old ^ cpu->eflags) & (FLAG_AC | FLAG_VM))
        cpu_update_mode(cpu);
}

bool cpu_condition(const struct cpu *cpu, unsigned cc)
{
    u64 f = cpu_status_flags(cpu);
    bool v, less = !(f & FLAG_SF) != !(f & FLAG_OF);
    switch (cc & 14) {
    case COND_o:
        v = f & FLAG_OF;
        break;
    case COND_b:
        v = f & FLAG_CF;
        break;
    case COND_e:
        v = f & FLAG_ZF;
        break;
    case COND_be:
        v = f & (FLAG_CF | FLAG_ZF);
        break;
    case COND_s:
        v = f & FLAG_SF;
        break;
    case COND_p:
        v = f & FLAG_PF;
        break;
    case COND_l:
        v = less;
        break;
    default:
        v = less || (f & FLAG_ZF);
        break;
    }
    return v != (cc & 1);
}

COLD HANDLER(op_flags_slow)
{
    cpu_set_status_flags(cpu, cpu_status_flags(cpu));
    GOTO(i);
}
