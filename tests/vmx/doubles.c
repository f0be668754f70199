/* SPDX-License-Identifier: MIT */
/*
 * Stand-ins for the parts of vmx/ that these tests never reach, until entry.c, exit.c and
 * intercept.c are there; being weak they give way to them. To be removed then.
 */
#include "vmx/vmx.h"

#define WEAK __attribute__((weak))

WEAK enum virt_result vmx_enter(struct cpu *cpu, const struct insn *i, bool launch)
{
    (void)cpu;
    (void)i;
    (void)launch;
    return VIRT_DONE;
}

WEAK void vmx_take_exit(struct cpu *cpu)
{
    (void)cpu;
}

WEAK bool vmx_intercept(struct cpu *cpu, const struct insn *i, u32 which)
{
    (void)cpu;
    (void)i;
    (void)which;
    return false;
}

WEAK bool vmx_event(struct cpu *cpu, u32 type, const struct exception *e)
{
    (void)cpu;
    (void)type;
    (void)e;
    return false;
}

WEAK void vmx_vectoring(struct cpu *cpu, u32 type, u8 vector, bool has_error, u32 error)
{
    (void)cpu;
    (void)type;
    (void)vector;
    (void)has_error;
    (void)error;
}

WEAK bool vmx_triple_fault(struct cpu *cpu)
{
    (void)cpu;
    return false;
}

WEAK bool vmx_boundary(struct cpu *cpu)
{
    (void)cpu;
    return false;
}

WEAK void vmx_walk_exit(struct cpu *cpu, u64 lin, unsigned acc, const struct walk_out *out)
{
    (void)cpu;
    (void)lin;
    (void)acc;
    (void)out;
}

WEAK void vmx_preemption_event(void *opaque)
{
    (void)opaque;
}
