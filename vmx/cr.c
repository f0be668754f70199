/* SPDX-License-Identifier: MIT */
/*
 * Control and debug registers in non-root operation (SDM "Guest/Host Masks and Read Shadows for CR0 and
 * CR4", "Changes to Instruction Behavior in VMX Non-Root Operation").
 */
#include "cpu/control.h"
#include "cpu/exec.h"
#include "cpu/optable.h"
#include "vmx/vmx.h"

enum { ACCESS_TO_CR, ACCESS_FROM_CR, ACCESS_CLTS, ACCESS_LMSW };

#define LMSW_BITS (CR0_PE | CR0_MP | CR0_EM | CR0_TS)

static enum virt_intercept cr_exit(struct cpu *cpu, unsigned cr, unsigned access, unsigned reg)
{
    return vmx_exit_now(cpu, REASON_CR_ACCESS, cr | access << 4 | reg << 8);
}

static enum virt_intercept done(bool ok)
{
    return ok ? INTERCEPT_DONE : INTERCEPT_FAULT;
}

/* ---- Values under a mask ---- */

static u64 visible(u64 value, u64 mask, u64 shadow)
{
    return (value & ~mask) | (shadow & mask);
}

static u64 visible_cr0(const struct cpu *cpu)
{
    const struct vmx_controls *c = &cpu->vmx->ctl;
    u64 value = visible(cpu->cr0, c->cr0_mask, c->cr0_shadow);
    if (c->cr0_mask)
        vmx_report_shadow(cpu, "CR0", value);
    return value;
}

static u64 visible_cr4(const struct cpu *cpu)
{
    const struct vmx_controls *c = &cpu->vmx->ctl;
    u64 value = visible(cpu->cr4, c->cr4_mask, c->cr4_shadow);
    if (c->cr4_mask)
        vmx_report_shadow(cpu, "CR4", value);
    return value;
}

static void set_reg(struct cpu *cpu, const struct insn *i, u64 v)
{
    REG64(cpu, i->rm) = cpu->mode & MODE_64 ? v : (u32)v;
}

/* ---- CR8 ---- */

static struct vmcs virtual_apic(const struct cpu *cpu)
{
    return vmcs_at(&cpu->bus->ram, cpu->vmx->ctl.virtual_apic);
}

static enum virt_intercept read_cr8(struct cpu *cpu, const struct insn *i)
{
    const struct vmx_controls *c = &cpu->vmx->ctl;
    if (c->primary & PRIMARY_CR8_STORE)
        return cr_exit(cpu, 8, ACCESS_FROM_CR, i->rm / 8u);
    if (!(c->primary & PRIMARY_TPR_SHADOW))
        return INTERCEPT_PASS;
    struct vmcs page = virtual_apic(cpu);
    u64 value = page.host ? page.host[VTPR] >> 4 : 15;
    vmx_report_shadow(cpu, "TPR", value);
    set_reg(cpu, i, value);
    return INTERCEPT_DONE;
}

static enum virt_intercept write_cr8(struct cpu *cpu, const struct insn *i, u64 value)
{
    const struct vmx_controls *c = &cpu->vmx->ctl;
    if (c->primary & PRIMARY_CR8_LOAD)
        return cr_exit(cpu, 8, ACCESS_TO_CR, i->rm / 8u);
    if (!(c->primary & PRIMARY_TPR_SHADOW))
        return INTERCEPT_PASS;
    if (value > 15)
        return done(cpu_fault_gp(cpu, 0));
    u32 tpr = (u32)value << 4;
    ram_write(&cpu->bus->ram, c->virtual_apic + VTPR, &tpr, sizeof(tpr));
    vmx_report_shadow(cpu, "TPR", value);
    vmx_tpr_written(cpu);
    return INTERCEPT_DONE;
}

/* ---- MOV from and to CR ---- */

static enum virt_intercept mov_from_cr(struct cpu *cpu, const struct insn *i)
{
    switch (i->reg) {
    case 0:
        set_reg(cpu, i, visible_cr0(cpu));
        return INTERCEPT_DONE;
    case 3:
        if (cpu->vmx->ctl.primary & PRIMARY_CR3_STORE)
            return cr_exit(cpu, 3, ACCESS_FROM_CR, i->rm / 8u);
        return INTERCEPT_PASS;
    case 4:
        set_reg(cpu, i, visible_cr4(cpu));
        return INTERCEPT_DONE;
    case 8:
        return read_cr8(cpu, i);
    default:
        return INTERCEPT_PASS;
    }
}

static bool is_cr3_target(const struct cpu *cpu, u64 value)
{
    const struct vmx_controls *c = &cpu->vmx->ctl;
    for (u32 n = 0; n < c->cr3_targets; n++)
        if (c->cr3_target[n] == value)
            return true;
    return false;
}

static enum virt_intercept mov_to_cr(struct cpu *cpu, const struct insn *i)
{
    const struct vmx_controls *c = &cpu->vmx->ctl;
    u64 v = REG64(cpu, i->rm);
    unsigned reg = i->rm / 8u;
    if (!(cpu->mode & MODE_64))
        v = (u32)v;
    switch (i->reg) {
    case 0:
        if ((v ^ c->cr0_shadow) & c->cr0_mask)
            return cr_exit(cpu, 0, ACCESS_TO_CR, reg);
        return done(cpu_write_cr0(cpu, visible(v, c->cr0_mask, cpu->cr0)));
    case 3:
        if ((c->primary & PRIMARY_CR3_LOAD) && !is_cr3_target(cpu, v))
            return cr_exit(cpu, 3, ACCESS_TO_CR, reg);
        return INTERCEPT_PASS;
    case 4:
        if ((v ^ c->cr4_shadow) & c->cr4_mask)
            return cr_exit(cpu, 4, ACCESS_TO_CR, reg);
        return done(cpu_write_cr4(cpu, visible(v, c->cr4_mask, cpu->cr4)));
    case 8:
        return write_cr8(cpu, i, v);
    default:
        return INTERCEPT_PASS;
    }
}

/* ---- CLTS, LMSW, SMSW ---- */

static enum virt_intercept clts(struct cpu *cpu)
{
    const struct vmx_controls *c = &cpu->vmx->ctl;
    if (!(c->cr0_mask & CR0_TS))
        return INTERCEPT_PASS;
    if (c->cr0_shadow & CR0_TS)
        return cr_exit(cpu, 0, ACCESS_CLTS, 0);
    return INTERCEPT_DONE; /* TS belongs to the host and seems to be clear */
}

static bool lmsw_exits(const struct vmx_controls *c, u64 v)
{
    bool sets_pe = c->cr0_mask & v & ~c->cr0_shadow & CR0_PE;
    return sets_pe || (c->cr0_mask & (v ^ c->cr0_shadow) & (CR0_MP | CR0_EM | CR0_TS));
}

/* The operand is fetched before it can be judged. */
static enum virt_intercept lmsw(struct cpu *cpu, const struct insn *i)
{
    const struct vmx_controls *c = &cpu->vmx->ctl;
    bool memory = i->rm == ZERO_OFFSET;
    u64 lin = 0;
    u16 v;
    if (!memory)
        v = REG16(cpu, i->rm);
    else if (!mem_linear(cpu, i, 2, ACC_READ, &lin) || !mem_read16(cpu, i, &v))
        return INTERCEPT_FAULT;
    if (lmsw_exits(c, v)) {
        cr_exit(cpu, 0, ACCESS_LMSW, 0);
        cpu->exit.qualification |= (memory ? BIT(6) : 0) | (u64)v << 16;
        cpu->exit.lin = lin;
        return INTERCEPT_FAULT;
    }
    u64 open = LMSW_BITS & ~c->cr0_mask, pe = cpu->cr0 & CR0_PE;
    return done(cpu_write_cr0(cpu, (cpu->cr0 & ~open) | (v & open) | pe));
}

static enum virt_intercept smsw(struct cpu *cpu, const struct virt_insn *vi)
{
    const struct insn *i = vi->i;
    if ((cpu->cr4 & CR4_UMIP) && cpu_cpl(cpu) > 0)
        return done(cpu_fault_gp(cpu, 0));
    u64 v = visible_cr0(cpu);
    if (i->rm == ZERO_OFFSET)
        return done(mem_write16(cpu, i, (u16)v));
    if (vi->width == W16)
        SET_REG16(cpu, i->rm, v);
    else if (vi->width == W32)
        SET_REG32(cpu, i->rm, v);
    else
        SET_REG64(cpu, i->rm, v);
    return INTERCEPT_DONE;
}

enum virt_intercept vmx_cr_access(struct cpu *cpu, const struct virt_insn *vi)
{
    switch (vi->row->opcode) {
    case 0x20:
        return mov_from_cr(cpu, vi->i);
    case 0x22:
        return mov_to_cr(cpu, vi->i);
    case 0x06:
        return clts(cpu);
    default: /* 0F 01 /4, /6 */
        return (vi->row->ext & 7) == 4 ? smsw(cpu, vi) : lmsw(cpu, vi->i);
    }
}

/* ---- Debug registers ---- */

enum virt_intercept vmx_dr_access(struct cpu *cpu, const struct virt_insn *vi)
{
    const struct insn *i = vi->i;
    bool alias = i->reg == 4 || i->reg == 5;
    if (!(cpu->vmx->ctl.primary & PRIMARY_MOV_DR))
        return INTERCEPT_PASS;
    if (alias && (cpu->cr4 & CR4_DE))
        return done(cpu_fault(cpu, EXC_UD));
    u64 from = vi->row->opcode == 0x21 ? BIT(4) : 0;
    return vmx_exit_now(cpu, REASON_DR_ACCESS, i->reg | from | (u64)(i->rm / 8u) << 8);
}
