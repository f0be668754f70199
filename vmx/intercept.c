/* SPDX-License-Identifier: MIT */
/*
 * Exits of instructions (SDM "Instructions That Cause VM Exits Unconditionally", "Instructions That
 * Cause VM Exits Conditionally"). Faults that have priority (SDM "Relative Priority of Faults and VM
 * Exits"), as far as the decoder hasn't settled them, come first in each.
 */
#include "cpu/control.h"
#include "cpu/exec.h"
#include "cpu/msr.h"
#include "cpu/optable.h"
#include "cpu/segment.h"
#include "vmx/vmx.h"

enum virt_intercept vmx_exit_now(struct cpu *cpu, u32 reason, u64 qualification)
{
    cpu->exit = (struct vm_exit){.pending = true, .reason = reason, .qualification = qualification};
    return INTERCEPT_FAULT;
}

static enum virt_intercept exit_if(struct cpu *cpu, u32 control, u32 reason)
{
    return control ? vmx_exit_now(cpu, reason, 0) : INTERCEPT_PASS;
}

static enum virt_intercept undefined(struct cpu *cpu)
{
    cpu_fault(cpu, EXC_UD);
    return INTERCEPT_FAULT;
}

static enum virt_intercept protected(struct cpu *cpu) {
    cpu_fault_gp(cpu, 0); return INTERCEPT_FAULT;
}

/* With instruction information and the displacement of the memory operand. */
static enum virt_intercept exit_with_info(struct cpu *cpu, const struct virt_insn *vi)
{
    vmx_exit_now(cpu, vi->exit, vmx_insn_displacement(vi));
    cpu->exit.insn_info = vmx_insn_info(vi);
    return INTERCEPT_FAULT;
}

/* ---- I/O ---- */

static bool bit_of(const struct cpu *cpu, u64 base, u64 bit)
{
    u8 byte = 0xff;
    ram_read(&cpu->bus->ram, base + bit / 8, &byte, 1);
    return byte >> (bit & 7) & 1;
}

/* An access that wraps beyond port FFFFH exits, too. */
static bool io_exits(const struct cpu *cpu, u16 port, unsigned size)
{
    const struct vmx_controls *c = &cpu->vmx->ctl;
    if (!(c->primary & PRIMARY_IO_BITMAPS))
        return c->primary & PRIMARY_UNCONDITIONAL_IO;
    for (unsigned k = 0; k < size; k++) {
        u32 at = (u32)port + k;
        if (at > 0xffff || bit_of(cpu, c->io_bitmap[at >> 15], at & 0x7fff))
            return true;
    }
    return false;
}

/* Opcodes: 6C-6F strings, E4-E7 with an immediate port, EC-EF with DX; bit 1 set for output. */
static enum virt_intercept io(struct cpu *cpu, const struct virt_insn *vi)
{
    static const u64 masks[4] = {0xffff, UINT32_MAX, UINT64_MAX, UINT64_MAX};
    const struct insn *i = vi->i;
    unsigned opcode = vi->row->opcode, size = vi->width == W8 ? 1 : vi->width == W16 ? 2 : 4;
    bool string = opcode < 0x80, immediate = (opcode & 0xfc) == 0xe4, in = !(opcode & 2);
    u16 port = (u16)(immediate ? i->imm & 0xff : cpu->gpr[RDX]);
    if (string && vi->repeated && !(cpu->gpr[RCX] & masks[EA_SIZE(i)]))
        return INTERCEPT_PASS;
    if (!cpu_io_allowed(cpu, i, port, size))
        return INTERCEPT_FAULT;
    if (!io_exits(cpu, port, size))
        return INTERCEPT_PASS;
    vmx_exit_now(cpu, REASON_IO,
                 (size - 1) | (in ? BIT(3) : 0) | (string ? BIT(4) : 0) |
                     (string && vi->repeated ? BIT(5) : 0) | (immediate ? BIT(6) : 0) |
                     (u64)port << 16);
    if (string) {
        enum seg_id seg = in ? SEG_ES : (enum seg_id)INSN_SEG(i);
        u64 offset = cpu->gpr[in ? RDI : RSI] & masks[EA_SIZE(i)];
        u64 base = !(cpu->mode & MODE_64) || seg >= SEG_FS ? cpu->seg[seg].base : 0;
        cpu->exit.lin = cpu->mode & MODE_64 ? base + offset : (u32)(base + offset);
        cpu->exit.insn_info = vmx_insn_info(vi);
    }
    return INTERCEPT_FAULT;
}

/* ---- MSRs ---- */

/* The bitmaps for reads of low and high MSRs, then for writes, lie 1 KByte apart. */
static bool msr_exits(const struct cpu *cpu, u32 index, bool write)
{
    const struct vmx_controls *c = &cpu->vmx->ctl;
    bool high = (index & ~0x1fffu) == 0xc0000000;
    if (!(c->primary & PRIMARY_MSR_BITMAPS) || (index > 0x1fff && !high))
        return true;
    return bit_of(cpu, c->msr_bitmap + (write ? 2048 : 0) + (high ? 1024 : 0), index & 0x1fff);
}

/* ---- PAUSE ---- */

/* SDM "PAUSE": PAUSE-loop exiting, at CPL 0 */
static enum virt_intercept pause(struct cpu *cpu, const struct insn *i)
{
    struct vmx *v = cpu->vmx;
    const struct vmx_controls *c = &v->ctl;
    if (c->primary & PRIMARY_PAUSE)
        return vmx_exit_now(cpu, REASON_PAUSE, 0);
    if (!(c->secondary & SECONDARY_PAUSE_LOOP) || cpu_cpl(cpu) != 0)
        return INTERCEPT_PASS;
    u64 now = msr_tsc(cpu, i);
    if (!v->ple_last || now - v->ple_last > c->ple_gap)
        v->ple_first = now;
    v->ple_last = now;
    return now - v->ple_first > c->ple_window ? vmx_exit_now(cpu, REASON_PAUSE, 0) : INTERCEPT_PASS;
}

/* ---- Translations and tables ---- */

static enum virt_intercept invlpg(struct cpu *cpu, const struct insn *i)
{
    if (!(cpu->vmx->ctl.primary & PRIMARY_INVLPG))
        return INTERCEPT_PASS;
    return vmx_exit_now(cpu, REASON_INVLPG, mem_unchecked_linear(cpu, i));
}

static enum virt_intercept invpcid(struct cpu *cpu, const struct virt_insn *vi)
{
    if (!(cpu->vmx->ctl.secondary & SECONDARY_INVPCID))
        return undefined(cpu);
    return cpu->vmx->ctl.primary & PRIMARY_INVLPG ? exit_with_info(cpu, vi) : INTERCEPT_PASS;
}

static enum virt_intercept descriptor_table(struct cpu *cpu, const struct virt_insn *vi)
{
    bool store = (vi->row->ext & 7) < 2, selector = vi->exit == VMEXIT_LDTR_TR;
    if (!(cpu->vmx->ctl.secondary & SECONDARY_DESCRIPTOR_TABLE))
        return INTERCEPT_PASS;
    if (selector && !cpu_is_protected(cpu))
        return undefined(cpu);
    if (cpu_cpl(cpu) > 0 && (!store || (cpu->cr4 & CR4_UMIP)))
        return protected(cpu);
    return exit_with_info(cpu, vi);
}

/* ---- Time ---- */

static bool is_user(const struct cpu *cpu)
{
    return (cpu->mode & MODE_PE) && cpu_cpl(cpu) > 0;
}

static enum virt_intercept rdtsc(struct cpu *cpu, u32 reason)
{
    const struct vmx_controls *c = &cpu->vmx->ctl;
    if (reason == REASON_RDTSCP && !(c->secondary & SECONDARY_RDTSCP))
        return undefined(cpu);
    if ((cpu->cr4 & CR4_TSD) && is_user(cpu))
        return protected(cpu);
    return exit_if(cpu, c->primary & PRIMARY_RDTSC, reason);
}

static enum virt_intercept rdpmc(struct cpu *cpu)
{
    if (!(cpu->cr4 & CR4_PCE) && is_user(cpu))
        return protected(cpu);
    return exit_if(cpu, cpu->vmx->ctl.primary & PRIMARY_RDPMC, REASON_RDPMC);
}

/* ---- MONITOR, MWAIT, XSETBV, XSAVES ---- */

static enum virt_intercept monitor(struct cpu *cpu, u32 control, u32 reason)
{
    if (cpu_cpl(cpu) != 0)
        return undefined(cpu);
    if (!(cpu->vmx->ctl.primary & control))
        return INTERCEPT_PASS;
    bool armed = reason == REASON_MWAIT && cpu->monitor_hpa != UINT64_MAX;
    return vmx_exit_now(cpu, reason, armed);
}

static enum virt_intercept xsetbv(struct cpu *cpu)
{
    if (!(cpu->cr4 & CR4_OSXSAVE))
        return undefined(cpu);
    return cpu_cpl(cpu) != 0 ? protected(cpu) : vmx_exit_now(cpu, REASON_XSETBV, 0);
}

/* No supervisor state component is modelled, so the exiting bitmap has nothing to match. */
static enum virt_intercept xsaves(struct cpu *cpu)
{
    return cpu->vmx->ctl.secondary & SECONDARY_XSAVES ? INTERCEPT_PASS : undefined(cpu);
}

/* ---- VMX instructions ---- */

/* SDM "VMCS Shadowing": does the access go to the shadow VMCS? */
static bool is_shadowed(const struct cpu *cpu, const struct virt_insn *vi)
{
    const struct vmx_controls *c = &cpu->vmx->ctl;
    u64 field = REG64(cpu, vi->i->reg);
    if (!(c->secondary & SECONDARY_VMCS_SHADOWING))
        return false;
    if (!(cpu->mode & MODE_64))
        field = (u32)field;
    u64 bitmap = vi->exit == VMEXIT_VMREAD ? c->vmread_bitmap : c->vmwrite_bitmap;
    return field <= 0x7fff && !bit_of(cpu, bitmap, field);
}

static enum virt_intercept vmx_instruction(struct cpu *cpu, const struct virt_insn *vi)
{
    bool access = vi->exit == VMEXIT_VMREAD || vi->exit == VMEXIT_VMWRITE;
    if (!vmx_insn_defined(cpu, vi->exit))
        return INTERCEPT_FAULT;
    if (access && is_shadowed(cpu, vi))
        return INTERCEPT_PASS;
    return exit_with_info(cpu, vi);
}

/* ---- All of them ---- */

enum virt_intercept vmx_intercept(struct cpu *cpu, const struct virt_insn *vi)
{
    const struct vmx_controls *c = &cpu->vmx->ctl;
    switch (vi->exit) {
    case VMEXIT_CPUID:
    case VMEXIT_INVD:
        return vmx_exit_now(cpu, vi->exit, 0);
    case VMEXIT_HLT:
        return exit_if(cpu, c->primary & PRIMARY_HLT, REASON_HLT);
    case VMEXIT_INVLPG:
        return invlpg(cpu, vi->i);
    case VMEXIT_RDPMC:
        return rdpmc(cpu);
    case VMEXIT_RDTSC:
    case VMEXIT_RDTSCP:
        return rdtsc(cpu, vi->exit);
    case VMEXIT_CR_ACCESS:
        return vmx_cr_access(cpu, vi);
    case VMEXIT_DR_ACCESS:
        return vmx_dr_access(cpu, vi);
    case VMEXIT_IO:
        return io(cpu, vi);
    case VMEXIT_RDMSR:
    case VMEXIT_WRMSR:
        return exit_if(cpu, msr_exits(cpu, (u32)cpu->gpr[RCX], vi->exit == VMEXIT_WRMSR), vi->exit);
    case VMEXIT_MWAIT:
        return monitor(cpu, PRIMARY_MWAIT, REASON_MWAIT);
    case VMEXIT_MONITOR:
        return monitor(cpu, PRIMARY_MONITOR, REASON_MONITOR);
    case VMEXIT_PAUSE:
        return pause(cpu, vi->i);
    case VMEXIT_GDTR_IDTR:
    case VMEXIT_LDTR_TR:
        return descriptor_table(cpu, vi);
    case VMEXIT_WBINVD:
        return exit_if(cpu, c->secondary & SECONDARY_WBINVD, REASON_WBINVD);
    case VMEXIT_XSETBV:
        return xsetbv(cpu);
    case VMEXIT_RDRAND:
        return exit_if(cpu, c->secondary & SECONDARY_RDRAND, REASON_RDRAND);
    case VMEXIT_RDSEED:
        return exit_if(cpu, c->secondary & SECONDARY_RDSEED, REASON_RDSEED);
    case VMEXIT_INVPCID:
        return invpcid(cpu, vi);
    case VMEXIT_XSAVES:
    case VMEXIT_XRSTORS:
        return xsaves(cpu);
    default:
        return vmx_instruction(cpu, vi);
    }
}
