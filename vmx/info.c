/* SPDX-License-Identifier: MIT */
/* SDM "Information for VM Exits Due to Instruction Execution": the instruction-information field */
#include "cpu/optable.h"
#include "vmx/vmx.h"

#define INFO_ADDRESS_SIZE(i) ((u32)EA_SIZE(i) << 7)
#define INFO_REGISTER BIT32(10) /* the operand is a register */
#define INFO_SEGMENT(i) ((u32)INSN_SEG(i) << 15)
#define INFO_INDEX_INVALID BIT32(22)
#define INFO_BASE_INVALID BIT32(27)

static bool is_register(const struct insn *i)
{
    return i->rm != ZERO_OFFSET;
}

/* Bytes into struct cpu to a register's number. */
static u32 number(u8 offset)
{
    return offset / 8u;
}

static u32 memory_info(const struct insn *i)
{
    u32 info = INFO_ADDRESS_SIZE(i) | INFO_SEGMENT(i);
    if (i->index == ZERO_OFFSET)
        info |= INFO_INDEX_INVALID;
    else
        info |= (u32)(i->scale & 3) | number(i->index) << 18;
    if (i->base == ZERO_OFFSET)
        info |= INFO_BASE_INVALID;
    else
        info |= number(i->base) << 23;
    return info;
}

/* Register or memory, as for LLDT and VMREAD. */
static u32 operand_info(const struct insn *i)
{
    return is_register(i) ? INFO_REGISTER | number(i->rm) << 3 : memory_info(i);
}

/* ModRM.reg of the opcodes 0F 00 and 0F 01 */
static u32 opcode_extension(const struct op_row *row)
{
    return row->ext & 7u;
}

u32 vmx_insn_info(const struct virt_insn *vi)
{
    const struct insn *i = vi->i;
    switch (vi->exit) {
    case VMEXIT_IO:
        return INFO_ADDRESS_SIZE(i) | INFO_SEGMENT(i);
    case VMEXIT_GDTR_IDTR: /* SGDT, SIDT, LGDT, LIDT are /0 to /3 */
        return memory_info(i) | (vi->width != W16 ? BIT32(11) : 0) |
               opcode_extension(vi->row) << 28;
    case VMEXIT_LDTR_TR: /* SLDT, STR, LLDT, LTR too */
        return operand_info(i) | opcode_extension(vi->row) << 28;
    case VMEXIT_VMREAD:
    case VMEXIT_VMWRITE:
        return operand_info(i) | number(i->reg) << 28;
    case VMEXIT_INVEPT:
    case VMEXIT_INVVPID:
    case VMEXIT_INVPCID:
        return memory_info(i) | number(i->reg) << 28;
    case VMEXIT_VMCLEAR:
    case VMEXIT_VMPTRLD:
    case VMEXIT_VMPTRST:
    case VMEXIT_VMXON:
        return memory_info(i);
    default:
        return 0;
    }
}

u64 vmx_insn_displacement(const struct virt_insn *vi)
{
    return is_register(vi->i) ? 0 : vi->i->disp;
}
