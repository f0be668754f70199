/* SPDX-License-Identifier: MIT */
#include "cpu/decode.h"
#include "cpu/exec.h"

COLD HANDLER(op_ud)
{
    cpu_fault(cpu, EXC_UD);
    return insn_fault(cpu, i);
}

COLD HANDLER(op_gp0)
{
    cpu_fault_gp(cpu, 0);
    return insn_fault(cpu, i);
}

/* SDM, exception tables of the x87, MMX and SSE instructions: for x87 CR0.EM means #NM, too. */
COLD HANDLER(op_fpu_unavailable)
{
    bool ud = false;
    if (i->reg == UNIT_MMX || i->reg == UNIT_SSE)
        ud = (cpu->cr0 & CR0_EM) != 0;
    if (i->reg == UNIT_SSE)
        ud = ud || !(cpu->cr4 & CR4_OSFXSR);
    cpu_fault(cpu, ud ? EXC_UD : EXC_NM);
    return insn_fault(cpu, i);
}
