/* SPDX-License-Identifier: MIT */
/* The VMX instructions, in the order of the SDM's "VMX Instruction Reference". */
#include "cpu/control.h"
#include "cpu/cpuid.h"
#include "cpu/exec.h"
#include "cpu/msr.h"
#include "cpu/optable.h"
#include "cpu/probe.h"
#include "cpu/segment.h"
#include "vmx/vmx.h"

/* SDM "VM Instruction Error Numbers" */
enum {
    ERR_VMCALL_IN_ROOT = 1,
    ERR_VMCLEAR_ADDRESS = 2,
    ERR_VMCLEAR_VMXON = 3,
    ERR_VMPTRLD_ADDRESS = 9,
    ERR_VMPTRLD_VMXON = 10,
    ERR_VMPTRLD_REVISION = 11,
    ERR_NO_FIELD = 12,
    ERR_VMXON_IN_ROOT = 15,
    ERR_INVALIDATION = 28
};

#define NONE UINT64_MAX
#define FEATURE_CONTROL_NEEDED (BIT(0) | BIT(2)) /* locked; VMXON outside SMX */

/* ---- Results ---- */

void vmx_succeed(struct cpu *cpu)
{
    cpu_set_status_flags(cpu, 0);
}

void vmx_fail_invalid(struct cpu *cpu)
{
    cpu_set_status_flags(cpu, FLAG_CF);
}

/* The error goes to the current VMCS, even of an access that was shadowed. */
void vmx_fail_valid(struct cpu *cpu, u32 number)
{
    cpu_set_status_flags(cpu, FLAG_ZF);
    vmcs_write(&cpu->vmx->current, VMCS_VM_INSTRUCTION_ERROR, number);
}

static enum virt_result failed(struct cpu *cpu, u32 number)
{
    vmx_fail(cpu, number);
    return VIRT_DONE;
}

static enum virt_result succeeded(struct cpu *cpu)
{
    vmx_succeed(cpu);
    return VIRT_DONE;
}

static enum virt_result fault(struct cpu *cpu, enum vector vector)
{
    if (vector == EXC_GP)
        cpu_fault_gp(cpu, 0);
    else
        cpu_fault(cpu, vector);
    return VIRT_FAULT;
}

/* ---- Operands ---- */

static u64 reg_operand(const struct cpu *cpu, u8 off)
{
    u64 v = REG64(cpu, off);
    return cpu->mode & MODE_64 ? v : (u32)v;
}

/* ModRM.rm of VMREAD and VMWRITE */
static bool is_register(const struct insn *i)
{
    return i->rm != ZERO_OFFSET;
}

static bool address_valid(const struct cpu *cpu, u64 gpa)
{
    return !(gpa & ~PAGE_MASK) && !(gpa >> cpu->model->phys_bits);
}

/* ---- VMXON, VMXOFF ---- */

static bool may_enter_operation(const struct cpu *cpu)
{
    return cpu_cpl(cpu) == 0 && vmx_cr0_valid(cpu->model, cpu->cr0, false) &&
           vmx_cr4_valid(cpu, cpu->cr4) &&
           (cpu->msr[MSR_FEATURE_CONTROL] & FEATURE_CONTROL_NEEDED) == FEATURE_CONTROL_NEEDED;
}

static enum virt_result vmxon(struct cpu *cpu, const struct insn *i)
{
    struct vmx *v = cpu->vmx;
    u64 gpa;
    if (v->on)
        return cpu_cpl(cpu) ? fault(cpu, EXC_GP) : failed(cpu, ERR_VMXON_IN_ROOT);
    if (!may_enter_operation(cpu))
        return fault(cpu, EXC_GP);
    if (!mem_read64(cpu, i, &gpa))
        return VIRT_FAULT;
    struct vmcs region = vmcs_at(&cpu->bus->ram, gpa);
    if (!address_valid(cpu, gpa) || vmcs_revision(&region) != VMCS_REVISION) {
        vmx_fail_invalid(cpu);
        return VIRT_DONE;
    }
    v->on = true;
    v->vmxon_gpa = gpa;
    v->current = (struct vmcs){.gpa = NONE};
    return succeeded(cpu);
}

static enum virt_result vmxoff(struct cpu *cpu)
{
    struct vmx *v = cpu->vmx;
    v->on = false;
    v->vmxon_gpa = NONE;
    v->current = (struct vmcs){.gpa = NONE};
    cpu->monitor_hpa = NONE;
    return succeeded(cpu);
}

/* ---- VMCLEAR, VMPTRLD, VMPTRST ---- */

static enum virt_result vmclear(struct cpu *cpu, const struct insn *i)
{
    struct vmx *v = cpu->vmx;
    u64 gpa;
    if (!mem_read64(cpu, i, &gpa))
        return VIRT_FAULT;
    if (!address_valid(cpu, gpa))
        return failed(cpu, ERR_VMCLEAR_ADDRESS);
    if (gpa == v->vmxon_gpa)
        return failed(cpu, ERR_VMCLEAR_VMXON);
    struct vmcs region = vmcs_at(&cpu->bus->ram, gpa);
    vmcs_set_launched(&region, false);
    if (gpa == v->current.gpa)
        v->current = (struct vmcs){.gpa = NONE};
    return succeeded(cpu);
}

static enum virt_result vmptrld(struct cpu *cpu, const struct insn *i)
{
    struct vmx *v = cpu->vmx;
    u64 gpa;
    if (!mem_read64(cpu, i, &gpa))
        return VIRT_FAULT;
    if (!address_valid(cpu, gpa))
        return failed(cpu, ERR_VMPTRLD_ADDRESS);
    if (gpa == v->vmxon_gpa)
        return failed(cpu, ERR_VMPTRLD_VMXON);
    struct vmcs region = vmcs_at(&cpu->bus->ram, gpa);
    u32 shadow = WORKS_SECONDARY_VMCS_SHADOWING ? VMCS_SHADOW : 0;
    if ((vmcs_revision(&region) & ~shadow) != VMCS_REVISION)
        return failed(cpu, ERR_VMPTRLD_REVISION);
    v->current = region;
    return succeeded(cpu);
}

static enum virt_result vmptrst(struct cpu *cpu, const struct insn *i)
{
    if (!mem_write64(cpu, i, cpu->vmx->current.gpa))
        return VIRT_FAULT;
    return succeeded(cpu);
}

/* ---- VMREAD, VMWRITE ---- */

/* The VMCS that the instruction is about. In non-root operation the intercept has let it pass. */
static const struct vmcs *accessed(const struct cpu *cpu)
{
    return cpu->nonroot ? &cpu->vmx->shadow : &cpu->vmx->current;
}

static bool is_field(u64 encoding)
{
    return encoding <= UINT32_MAX && vmcs_slot((u32)encoding) >= 0;
}

static enum virt_result vmread(struct cpu *cpu, const struct insn *i)
{
    const struct vmcs *v = accessed(cpu);
    u64 encoding = reg_operand(cpu, i->reg);
    bool wide = cpu->mode & MODE_64;
    if (v->gpa == NONE) {
        vmx_fail_invalid(cpu);
        return VIRT_DONE;
    }
    if (!is_field(encoding)) {
        vmx_fail_valid(cpu, ERR_NO_FIELD);
        return VIRT_DONE;
    }
    u64 val = vmcs_read(v, (enum vmcs_field)(encoding & ~UINT64_C(1)));
    if (encoding & 1)
        val >>= 32;
    if (is_register(i))
        REG64(cpu, i->rm) = wide ? val : (u32)val;
    else if (!(wide ? mem_write64(cpu, i, val) : mem_write32(cpu, i, (u32)val)))
        return VIRT_FAULT;
    return succeeded(cpu);
}

static bool read_source(struct cpu *cpu, const struct insn *i, u64 *val)
{
    u32 low = 0;
    if (is_register(i))
        return *val = reg_operand(cpu, i->rm), true;
    if (cpu->mode & MODE_64)
        return mem_read64(cpu, i, val);
    bool ok = mem_read32(cpu, i, &low);
    *val = low;
    return ok;
}

/* All fields may be written, those of the exit information too (IA32_VMX_MISC says so). */
static enum virt_result vmwrite(struct cpu *cpu, const struct insn *i)
{
    const struct vmcs *v = accessed(cpu);
    u64 encoding = reg_operand(cpu, i->reg), val;
    if (v->gpa == NONE) {
        vmx_fail_invalid(cpu);
        return VIRT_DONE;
    }
    if (!read_source(cpu, i, &val))
        return VIRT_FAULT;
    if (!is_field(encoding)) {
        vmx_fail_valid(cpu, ERR_NO_FIELD);
        return VIRT_DONE;
    }
    enum vmcs_field field = (enum vmcs_field)(encoding & ~UINT64_C(1));
    struct probe_event e = {.place = PROBE_VMWRITE, .number = (u32)encoding, .value = val};
    if (unlikely(cpu->group->probe) && probe_ask(cpu, i, &e))
        return VIRT_FAULT;
    if (encoding & 1)
        val = val << 32 | (u32)vmcs_read(v, field);
    vmcs_write(v, field, val);
    return succeeded(cpu);
}

/* ---- INVEPT, INVVPID ---- */

enum { INVEPT_SINGLE = 1, INVEPT_ALL = 2 };
enum { INVVPID_ADDRESS, INVVPID_SINGLE, INVVPID_ALL, INVVPID_SINGLE_NON_GLOBAL };

static enum virt_result invept(struct cpu *cpu, const struct insn *i)
{
    u64 type = reg_operand(cpu, i->reg), desc[2];
    if (type != INVEPT_SINGLE && type != INVEPT_ALL)
        return failed(cpu, ERR_INVALIDATION);
    if (!mem_read(cpu, i, desc, sizeof(desc)))
        return VIRT_FAULT;
    if (type == INVEPT_SINGLE && !vmx_eptp_valid(cpu->model, desc[0]))
        return failed(cpu, ERR_INVALIDATION);
    if (type == INVEPT_SINGLE && (desc[0] & PAGE_MASK))
        tlb_flush_ept(&cpu->tlb_store, desc[0]);
    else
        tlb_flush_ept(&cpu->tlb_store, 0);
    cpu_update_mode(cpu);
    return succeeded(cpu);
}

static bool invvpid_valid(const struct cpu *cpu, u64 type, const u64 desc[2])
{
    if (desc[0] >> 16)
        return false;
    if (type == INVVPID_ADDRESS && !cpu_is_canonical(cpu, desc[1]))
        return false;
    return type == INVVPID_ALL || desc[0];
}

static enum virt_result invvpid(struct cpu *cpu, const struct insn *i)
{
    u64 type = reg_operand(cpu, i->reg), desc[2];
    struct tlb *tlb = &cpu->tlb_store;
    if (type > INVVPID_SINGLE_NON_GLOBAL)
        return failed(cpu, ERR_INVALIDATION);
    if (!mem_read(cpu, i, desc, sizeof(desc)))
        return VIRT_FAULT;
    if (!invvpid_valid(cpu, type, desc))
        return failed(cpu, ERR_INVALIDATION);
    switch (type) {
    case INVVPID_ADDRESS:
        tlb_flush_page(tlb, (u16)desc[0], -1, desc[1]);
        break;
    case INVVPID_SINGLE:
        tlb_flush_space(tlb, (u16)desc[0], -1, false);
        break;
    case INVVPID_ALL:
        tlb_flush_all(tlb);
        break;
    default:
        tlb_flush_space(tlb, (u16)desc[0], -1, true);
        break;
    }
    cpu_update_mode(cpu);
    return succeeded(cpu);
}

/* ---- All of them ---- */

/*
 * VMX instructions are undefined outside protected mode and in compatibility mode, VMXON without
 * CR4.VMXE, the others outside VMX operation. VMCALL in non-root operation exits in any mode.
 */
bool vmx_insn_defined(struct cpu *cpu, u32 which)
{
    bool mode_ok = (cpu->mode & MODE_PE) && !(cpu->mode & MODE_VM86) &&
                   (!(cpu->mode & MODE_LMA) || (cpu->mode & MODE_64));
    bool operation_ok = which == VMEXIT_VMXON ? cpu->cr4 & CR4_VMXE : cpu->vmx->on;
    if (which == VMEXIT_VMFUNC)
        return cpu_fault(cpu, EXC_UD); /* its control is not built */
    if (which == VMEXIT_VMCALL && cpu->nonroot)
        return true;
    return (mode_ok && operation_ok) || cpu_fault(cpu, EXC_UD);
}

enum virt_result vmx_execute(struct cpu *cpu, const struct insn *i, u32 which)
{
    if (!vmx_insn_defined(cpu, which))
        return VIRT_FAULT;
    if (which == VMEXIT_VMXON)
        return vmxon(cpu, i);
    if (cpu_cpl(cpu) != 0)
        return fault(cpu, EXC_GP);
    switch (which) {
    case VMEXIT_VMREAD:
        return vmread(cpu, i);
    case VMEXIT_VMWRITE:
        return vmwrite(cpu, i);
    case VMEXIT_VMLAUNCH:
    case VMEXIT_VMRESUME:
        return vmx_enter(cpu, i, which == VMEXIT_VMLAUNCH);
    case VMEXIT_VMCLEAR:
        return vmclear(cpu, i);
    case VMEXIT_VMPTRLD:
        return vmptrld(cpu, i);
    case VMEXIT_VMPTRST:
        return vmptrst(cpu, i);
    case VMEXIT_VMXOFF:
        return vmxoff(cpu);
    case VMEXIT_INVEPT:
        return invept(cpu, i);
    case VMEXIT_INVVPID:
        return invvpid(cpu, i);
    case VMEXIT_VMCALL:
        return failed(cpu, ERR_VMCALL_IN_ROOT);
    default:
        return fault(cpu, EXC_UD);
    }
}
