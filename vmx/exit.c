/* SPDX-License-Identifier: MIT */
/* VM exits (SDM "VM Exits"): from the guest of the VMCS that runs to its host. */
#include <stdio.h>

#include "cpu/control.h"
#include "cpu/probe.h"
#include "cpu/segment.h"
#include "vmx/vmx.h"

/* SDM "VMX Aborts" */
enum { ABORT_SAVE_MSR = 1, ABORT_HOST_PDPTE = 2, ABORT_LOAD_MSR = 4 };

#define QUAL_NMI_UNBLOCKING BIT(12)

void vmx_abort(struct cpu *cpu, u32 indicator)
{
    struct cpu_group *group = cpu->group;
    vmcs_set_abort(&cpu->vmx->running, indicator);
    cpu->activity = ACTIVITY_SHUTDOWN;
    cpu->leave = true;
    snprintf(group->stop_text, sizeof(group->stop_text), "CPU %u: VMX abort %u, VMCS %llx",
             cpu->index, indicator, (unsigned long long)cpu->vmx->running.gpa);
    log_msg(LOG_VMX, "%s", group->stop_text);
    group->stop = STOP_TRIPLE_FAULT;
}

/* ---- What the VMCS is told ---- */

static bool reports_unblocking(const struct vm_exit *x)
{
    return x->nmi_unblocked && !x->vect_info &&
           (x->reason == REASON_EPT_VIOLATION || x->reason == REASON_PML_FULL);
}

/* SDM "Recording VM-Exit Information and Updating VM-Entry Control Fields" */
static void write_information(const struct vmcs *v, const struct vm_exit *x)
{
    u64 qualification = x->qualification | (reports_unblocking(x) ? QUAL_NMI_UNBLOCKING : 0);
    vmcs_write(v, VMCS_EXIT_REASON, x->reason);
    vmcs_write(v, VMCS_EXIT_QUALIFICATION, qualification);
    vmcs_write(v, VMCS_GUEST_LINEAR_ADDRESS, x->lin);
    vmcs_write(v, VMCS_GUEST_PHYSICAL_ADDRESS, x->gpa);
    vmcs_write(v, VMCS_EXIT_INTR_INFO, x->intr_info);
    vmcs_write(v, VMCS_EXIT_INTR_ERROR_CODE, x->intr_error);
    vmcs_write(v, VMCS_IDT_VECTORING_INFO, x->vect_info);
    vmcs_write(v, VMCS_IDT_VECTORING_ERROR_CODE, x->vect_error);
    vmcs_write(v, VMCS_EXIT_INSTRUCTION_LENGTH, x->insn_len);
    vmcs_write(v, VMCS_EXIT_INSTRUCTION_INFO, x->insn_info);
    u64 entry = vmcs_read(v, VMCS_VM_ENTRY_INTR_INFO);
    vmcs_write(v, VMCS_VM_ENTRY_INTR_INFO, entry & ~(u64)INTR_VALID);
}

/* ---- Into root operation ---- */

static void leave_nonroot(struct cpu *cpu)
{
    struct vmx *v = cpu->vmx;
    clock_event_cancel(cpu->clock, &v->preemption);
    v->preemption_due = v->mtf_pending = v->tpr_due = false;
    cpu->nonroot = cpu->pml_on = false;
    cpu->virt_exits = 0;
    if (!cpu->vpid)
        tlb_flush_space(&cpu->tlb_store, 0, -1, false);
    cpu->vpid = 0;
    cpu->eptp = 0;
    cpu->apic_access = UINT64_MAX;
    vmx_update_attention(cpu);
}

/* From the guest that runs to the host of v. */
static void enter_host(struct cpu *cpu, const struct vmcs *v, u32 exit_controls)
{
    leave_nonroot(cpu);
    vmx_load_host(cpu, v, exit_controls);
    cpu_update_mode(cpu);
    if (cpu_uses_pdptes(cpu->cr0, cpu->cr4, cpu->efer) && !cpu_load_pdptes(cpu, cpu->cr3)) {
        cpu->exc.pending = false;
        vmx_abort(cpu, ABORT_HOST_PDPTE);
        return;
    }
    if (vmx_load_msrs(cpu, vmcs_read(v, VMCS_VM_EXIT_MSR_LOAD_ADDRESS),
                      (u32)vmcs_read(v, VMCS_VM_EXIT_MSR_LOAD_COUNT)))
        vmx_abort(cpu, ABORT_LOAD_MSR);
    cpu_update_mode(cpu);
}

/* Blocking by NMI afterwards: begun by an NMI that exits, else physical blocking as it was. */
static bool nmi_blocked_after(const struct cpu *cpu)
{
    const struct vm_exit *x = &cpu->exit;
    if (x->reason == REASON_EXCEPTION_NMI && (x->intr_info >> 8 & 7) == INTR_NMI)
        return true;
    return cpu->virt_exits & VIRT_VNMI ? false : cpu->nmi_blocked;
}

static void count_exit(struct vmx *v, u32 reason)
{
    v->exits++;
    if (reason < ARRAY_SIZE(v->exits_by_reason))
        v->exits_by_reason[reason]++;
}

void vmx_take_exit(struct cpu *cpu)
{
    struct vmx *vmx = cpu->vmx;
    struct vmcs v = vmx->running;
    vmx_report_exit(cpu, &v);
    count_exit(vmx, cpu->exit.reason);
    /* Hits of an instruction that was not completed, or the exit itself, are not pending. */
    if (!cpu->exit.trap || cpu->exit.reason == REASON_EXCEPTION_NMI)
        cpu->debug_hits = 0;
    vmx_save_guest(cpu, &v, &vmx->ctl);
    write_information(&v, &cpu->exit);
    bool nmi_blocked = nmi_blocked_after(cpu);
    u32 controls = vmx->ctl.exit;
    cpu->exit.pending = false;
    cpu->exc.pending = false;
    cpu->nonroot = false; /* the time-stamp counter is stored without the guest's offset */
    if (vmx_store_msrs(cpu, vmcs_read(&v, VMCS_VM_EXIT_MSR_STORE_ADDRESS),
                       (u32)vmcs_read(&v, VMCS_VM_EXIT_MSR_STORE_COUNT))) {
        vmx_abort(cpu, ABORT_SAVE_MSR);
        return;
    }
    enter_host(cpu, &v, controls);
    cpu->nmi_blocked = nmi_blocked;
}

void vmx_entry_failed(struct cpu *cpu, u32 reason, u64 qualification)
{
    struct vmcs v = cpu->vmx->current;
    bool nmi_blocked = cpu->nmi_blocked;
    cpu->exit =
        (struct vm_exit){.reason = reason | REASON_ENTRY_FAILURE, .qualification = qualification};
    struct probe_event e = {
        .place = PROBE_FAILED_ENTRY, .number = cpu->exit.reason, .value = qualification};
    vmx_report_exit(cpu, &v);
    probe_ask(cpu, NULL, &e);
    count_exit(cpu->vmx, reason);
    cpu->vmx->running = v;
    vmcs_write(&v, VMCS_EXIT_REASON, cpu->exit.reason);
    vmcs_write(&v, VMCS_EXIT_QUALIFICATION, qualification);
    enter_host(cpu, &v, (u32)vmcs_read(&v, VMCS_VM_EXIT_CONTROLS));
    cpu->nmi_blocked = nmi_blocked;
}
