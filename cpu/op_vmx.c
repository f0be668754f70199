/* SPDX-License-Identifier: MIT */
/* The VMX instructions, which the layer above executes; and what comes before an instruction that may
 * cause a VM exit in non-root operation. */
#include "cpu/op_jump.h"
#include "cpu/op_block.h"
#include "cpu/optable.h"

static NOINLINE enum virt_intercept intercept(struct cpu *cpu, const struct insn *i,
                                              const struct insn *aux)
{
    struct virt_insn vi = {.i = i,
                           .row = (const struct op_row *)(uintptr_t)aux->disp,
                           .exit = (u32)aux->imm,
                           .width = aux->reg,
                           .repeated = aux->rm != 0};
    return cpu->virt->intercept(cpu, &vi);
}

COLD HANDLER(op_intercept)
{
    const struct insn *aux = block_behind(i, BEHIND_INTERCEPT);
    enum virt_intercept result = intercept(cpu, i, aux);
    if (likely(result == INTERCEPT_FAULT))
        return insn_fault(cpu, i);
    if (result == INTERCEPT_DONE)
        return insn_leave(cpu, i);
    return aux->fn(cpu, i);
}

static NOINLINE enum virt_result execute(struct cpu *cpu, const struct insn *i, u32 which)
{
    if (cpu->virt)
        return cpu->virt->execute(cpu, i, which);
    cpu_fault(cpu, EXC_UD);
    return VIRT_FAULT;
}

/* Those that only read and write a VMCS go on in their block. */
#define VMX_NEXT(family, reason)                                                                   \
    static COLD HANDLER(op_##family)                                                               \
    {                                                                                              \
        if (unlikely(execute(cpu, i, VMEXIT_##reason) == VIRT_FAULT))                              \
            return insn_fault(cpu, i);                                                             \
        SLOW_NEXT;                                                                                 \
    }                                                                                              \
    FAMILY_ONE(family, op_##family);
#define VMX_LEAVE(family, reason)                                                                  \
    static COLD HANDLER(op_##family)                                                               \
    {                                                                                              \
        enum virt_result result = execute(cpu, i, VMEXIT_##reason);                                \
        if (result == VIRT_FAULT)                                                                  \
            return insn_fault(cpu, i);                                                             \
        return result == VIRT_MOVED ? op_go(cpu, i) : insn_leave(cpu, i);                          \
    }                                                                                              \
    FAMILY_ONE(family, op_##family);

VMX_LEAVE(vmxon, VMXON)
VMX_LEAVE(vmxoff, VMXOFF)
VMX_NEXT(vmclear, VMCLEAR)
VMX_NEXT(vmptrld, VMPTRLD)
VMX_NEXT(vmptrst, VMPTRST)
VMX_NEXT(vmread, VMREAD)
VMX_NEXT(vmwrite, VMWRITE)
VMX_LEAVE(vmlaunch, VMLAUNCH)
VMX_LEAVE(vmresume, VMRESUME)
VMX_LEAVE(vmcall, VMCALL)
VMX_LEAVE(vmfunc, VMFUNC)
VMX_LEAVE(invept, INVEPT)
VMX_LEAVE(invvpid, INVVPID)
