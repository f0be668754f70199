/* SPDX-License-Identifier: MIT */
/* Descriptor-table registers: LGDT, LIDT, LLDT, LTR, their stores, SMSW; UMIP. */
#include "cpu/msr.h"
#include "cpu/op_jump.h"
#include "cpu/segment.h"

/* SDM "User-Mode Instruction Prevention" */
static bool umip_allows(struct cpu *cpu)
{
    if ((cpu->cr4 & CR4_UMIP) && cpu_cpl(cpu) > 0)
        return cpu_fault_gp(cpu, 0);
    return true;
}

/* ---- LGDT, LIDT ---- */

/* size: of the operand. The base has 24 bits with 16-bit operands, 64 in 64-bit mode. */
static bool load_table(struct cpu *cpu, const struct insn *i, unsigned size, struct dtable *table)
{
    unsigned wide = cpu->mode & MODE_64 ? 8 : 4;
    u64 lin, limit, base;
    if (!mem_linear(cpu, i, 2 + wide, ACC_READ, &lin) ||
        !lin_read_int(cpu, i, lin, &limit, 2, ACC_READ) ||
        !lin_read_int(cpu, i, lin + 2, &base, wide, ACC_READ))
        return false;
    if (wide == 4 && size == 2)
        base &= 0xffffff;
    if (wide == 8 && !msr_canonical(cpu->model, base)) /* whatever CR4.LA57 says */
        return cpu_fault_gp(cpu, 0);
    table->base = base;
    table->limit = (u32)limit;
    return true;
}

#define LOAD_TABLE(name, table)                                                                    \
    BODY(name##_body_16)                                                                           \
    {                                                                                              \
        return load_table(cpu, i, 2, &cpu->table);                                                 \
    }                                                                                              \
    BODY(name##_body_32)                                                                           \
    {                                                                                              \
        return load_table(cpu, i, 4, &cpu->table);                                                 \
    }                                                                                              \
    SYS_NEXT(name##_16, name##_body_16)                                                            \
    SYS_NEXT(name##_32, name##_body_32)                                                            \
    FAMILY_SIZES(name, name##_16, name##_32, name##_32);
LOAD_TABLE(lgdt, gdtr)
LOAD_TABLE(lidt, idtr)

/* ---- SGDT, SIDT ---- */

/* The whole base is stored with 16-bit operands, too, as processors do since the 386. */
static bool store_table(struct cpu *cpu, const struct insn *i, const struct dtable *table)
{
    unsigned wide = cpu->mode & MODE_64 ? 8 : 4;
    u64 lin;
    if (!umip_allows(cpu) || !mem_linear(cpu, i, 2 + wide, ACC_WRITE, &lin) ||
        !lin_probe(cpu, i, lin, 2 + wide, ACC_WRITE))
        return false;
    return lin_write_int(cpu, i, lin, table->limit, 2, ACC_WRITE) &&
           lin_write_int(cpu, i, lin + 2, table->base, wide, ACC_WRITE);
}
BODY(do_sgdt)
{
    return store_table(cpu, i, &cpu->gdtr);
}
BODY(do_sidt)
{
    return store_table(cpu, i, &cpu->idtr);
}
SYS_FAMILY(SYS_NEXT, sgdt)
SYS_FAMILY(SYS_NEXT, sidt)

/* ---- LLDT, LTR ---- */

static bool load_system(struct cpu *cpu, const struct insn *i, bool memory, bool tr)
{
    u16 sel;
    if (!cpu_is_protected(cpu))
        return cpu_fault(cpu, EXC_UD);
    if (cpu_cpl(cpu) != 0)
        return cpu_fault_gp(cpu, 0);
    if (!memory)
        sel = REG16(cpu, i->rm);
    else if (!mem_read16(cpu, i, &sel))
        return false;
    return tr ? segment_load_tr(cpu, sel) : segment_load_ldtr(cpu, sel);
}

#define LOAD_SYSTEM(name, tr)                                                                      \
    BODY(name##_reg_body)                                                                          \
    {                                                                                              \
        return load_system(cpu, i, false, tr);                                                     \
    }                                                                                              \
    BODY(name##_mem_body)                                                                          \
    {                                                                                              \
        return load_system(cpu, i, true, tr);                                                      \
    }                                                                                              \
    SYS_NEXT(name##_reg, name##_reg_body)                                                          \
    SYS_NEXT(name##_mem, name##_mem_body)                                                          \
    const struct op_family fam_##name = {                                                          \
        {{FORMS_TWO(name##_reg, name##_mem), FORMS_TWO(name##_reg, name##_mem),                    \
          FORMS_TWO(name##_reg, name##_mem), FORMS_TWO(name##_reg, name##_mem)},                   \
         {{0}}}};
LOAD_SYSTEM(lldt, false)
LOAD_SYSTEM(ltr, true)

/* ---- SLDT, STR, SMSW: a register of the operand size, a word of memory ---- */

static bool may_store_selector(struct cpu *cpu)
{
    if (!cpu_is_protected(cpu))
        return cpu_fault(cpu, EXC_UD);
    return umip_allows(cpu);
}

#define STORE_SIZE(name, allowed, value, bits)                                                     \
    BODY(name##_body_##bits)                                                                       \
    {                                                                                              \
        if (!allowed(cpu))                                                                         \
            return false;                                                                          \
        SET_REG##bits(cpu, i->rm, value);                                                          \
        return true;                                                                               \
    }                                                                                              \
    SYS_NEXT(name##_##bits, name##_body_##bits)
#define STORE_SYSTEM(name, allowed, value)                                                         \
    STORE_SIZE(name, allowed, value, 16)                                                           \
    STORE_SIZE(name, allowed, value, 32)                                                           \
    STORE_SIZE(name, allowed, value, 64)                                                           \
    BODY(name##_mem_body)                                                                          \
    {                                                                                              \
        return allowed(cpu) && mem_write16(cpu, i, (u16)(value));                                  \
    }                                                                                              \
    SYS_NEXT(name##_mem, name##_mem_body)                                                          \
    const struct op_family fam_##name = {{{{0},                                                    \
                                           FORMS_TWO(name##_16, name##_mem),                       \
                                           FORMS_TWO(name##_32, name##_mem),                       \
                                           FORMS_TWO(name##_64, name##_mem)},                      \
                                          {{0}}}};
STORE_SYSTEM(sldt, may_store_selector, cpu->seg[SEG_LDTR].selector)
STORE_SYSTEM(str, may_store_selector, cpu->seg[SEG_TR].selector)
STORE_SYSTEM(smsw, umip_allows, cpu->cr0)
