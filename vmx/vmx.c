/* SPDX-License-Identifier: MIT */
/* What the core sees of VMX, and its life. */
#include "vmx/vmx.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cpu/control.h"
#include "cpu/cpuid.h"

#define NONE UINT64_MAX

/* ---- INIT and SIPI ---- */

/* In root operation, until VM entry or VMXOFF. */
static bool init_blocked(const struct cpu *cpu)
{
    return cpu->vmx->on && !cpu->nonroot;
}

static bool init_signal(struct cpu *cpu)
{
    if (cpu->nonroot)
        vmx_exit_now(cpu, REASON_INIT, 0);
    return cpu->nonroot;
}

static bool sipi_signal(struct cpu *cpu, u8 vector)
{
    if (cpu->nonroot && cpu->activity == ACTIVITY_WAIT_SIPI)
        vmx_exit_now(cpu, REASON_SIPI, vector);
    return cpu->vmx->on;
}

/* ---- Registers ---- */

static bool capability(const struct cpu *cpu, u32 msr, u64 *value)
{
    return vmx_capability(cpu->model, msr, value);
}

static bool cr0_valid(const struct cpu *cpu, u64 val)
{
    const struct vmx *v = cpu->vmx;
    bool unrestricted = cpu->nonroot && (v->ctl.secondary & SECONDARY_UNRESTRICTED_GUEST);
    return !v->on || vmx_cr0_valid(cpu->model, val, unrestricted);
}

static bool cr4_valid(const struct cpu *cpu, u64 val)
{
    return !cpu->vmx->on || vmx_cr4_valid(cpu, val);
}

static u64 tsc_offset(const struct cpu *cpu)
{
    const struct vmx_controls *ctl = &cpu->vmx->ctl;
    return cpu->nonroot && (ctl->primary & PRIMARY_TSC_OFFSETTING) ? ctl->tsc_offset : 0;
}

/* ---- SMI and RSM ---- */

static void smi(struct cpu *cpu)
{
    struct vmx *v = cpu->vmx;
    v->smm = (struct vmx_smm){.on = v->on,
                              .nonroot = cpu->nonroot,
                              .pml_on = cpu->pml_on,
                              .mtf_due = cpu->nonroot && vmx_monitor_trap_due(cpu),
                              .virt_exits = cpu->virt_exits,
                              .vpid = cpu->vpid,
                              .eptp = cpu->eptp,
                              .apic_access = cpu->apic_access};
    v->on = cpu->nonroot = cpu->pml_on = false;
    cpu->virt_exits = 0;
    cpu->vpid = 0;
    cpu->eptp = 0;
    cpu->apic_access = NONE;
    vmx_update_attention(cpu);
}

static u64 rsm(struct cpu *cpu)
{
    struct vmx *v = cpu->vmx;
    const struct vmx_smm *from = &v->smm;
    if (!from->on)
        return 0;
    v->on = true;
    if (from->nonroot) {
        cpu->nonroot = true;
        cpu->pml_on = from->pml_on;
        cpu->virt_exits = from->virt_exits;
        cpu->vpid = from->vpid;
        cpu->eptp = from->eptp;
        cpu->apic_access = from->apic_access;
        vmx_monitor_trap_start(cpu, from->mtf_due);
        vmx_update_attention(cpu);
    }
    return vmx_cr0_fixed(from->nonroot && (v->ctl.secondary & SECONDARY_UNRESTRICTED_GUEST));
}

/* ---- Life ---- */

static void reset(struct cpu *cpu)
{
    struct vmx *v = cpu->vmx;
    struct vmcs none = {.gpa = NONE, .ram = &cpu->bus->ram};
    clock_event_cancel(cpu->clock, &v->preemption);
    v->on = v->preemption_due = v->mtf_pending = v->tpr_due = false;
    v->mtf_from = 0;
    v->vmxon_gpa = NONE;
    v->current = v->running = v->shadow = none;
    memset(&v->ctl, 0, sizeof(v->ctl));
    v->preemption_tick = CLOCK_NEVER;
    v->ple_first = v->ple_last = 0;
    v->smm = (struct vmx_smm){0};
}

static void snap_vmcs(struct cpu *cpu, struct snap *s, struct vmcs *v)
{
    SNAP(s, v->gpa);
    if (snap_loading(s))
        *v = v->gpa == NONE ? (struct vmcs){.gpa = NONE} : vmcs_at(&cpu->bus->ram, v->gpa);
}

static void snap_smm(struct vmx_smm *smm, struct snap *s)
{
    u8 flags = (u8)(smm->on | smm->nonroot << 1 | smm->pml_on << 2 | smm->mtf_due << 3);
    SNAP(s, flags);
    smm->on = flags & 1;
    smm->nonroot = flags & 2;
    smm->pml_on = flags & 4;
    smm->mtf_due = flags & 8;
    SNAP(s, smm->virt_exits);
    SNAP(s, smm->vpid);
    SNAP(s, smm->eptp);
    SNAP(s, smm->apic_access);
}

static void snap(struct cpu *cpu, struct snap *s)
{
    struct vmx *v = cpu->vmx;
    snap_section(s, "vmx", 2);
    SNAP(s, v->on);
    SNAP(s, v->vmxon_gpa);
    snap_vmcs(cpu, s, &v->current);
    snap_vmcs(cpu, s, &v->running);
    snap_vmcs(cpu, s, &v->shadow);
    SNAP(s, v->ctl);
    snap_event(s, cpu->clock, &v->preemption);
    SNAP(s, v->preemption_tick);
    SNAP(s, v->preemption_due);
    SNAP(s, v->mtf_pending);
    SNAP(s, v->tpr_due);
    SNAP(s, v->mtf_from);
    SNAP(s, v->ple_first);
    SNAP(s, v->ple_last);
    snap_smm(&v->smm, s);
    SNAP(s, v->entries);
    SNAP(s, v->exits);
    SNAP(s, v->exits_by_reason);
    snap_range(s, "CR3-target count", v->ctl.cr3_targets, 0, ARRAY_SIZE(v->ctl.cr3_target));
}

static const struct virt_ops ops = {
    .execute = vmx_execute,
    .intercept = vmx_intercept,
    .take_exit = vmx_take_exit,
    .event = vmx_event,
    .triple_fault = vmx_triple_fault,
    .task_switch = vmx_task_switch,
    .boundary = vmx_boundary,
    .walk_exit = vmx_walk_exit,
    .apic_access = vmx_apic_access,
    .init_blocked = init_blocked,
    .init = init_signal,
    .sipi = sipi_signal,
    .capability = capability,
    .cr0_valid = cr0_valid,
    .cr4_valid = cr4_valid,
    .tsc_offset = tsc_offset,
    .smi = smi,
    .rsm = rsm,
    .reset = reset,
    .snap = snap,
};

void vmx_attach(struct cpu *cpu)
{
    if (!cpuid_has(cpu->model, FEAT_VMX))
        return;
    cpu->vmx = xalloc(sizeof(*cpu->vmx));
    for (unsigned k = 0; k < VMX_CLASSES; k++)
        cpu->vmx->limits[k] = vmx_control_limits(cpu->model, (enum vmx_class)k, true);
    cpu->vmx->cr4_mask = cpu_cr4_mask(cpu);
    clock_event_init(&cpu->vmx->preemption, "VMX-preemption timer", vmx_preemption_event, cpu);
    reset(cpu);
    cpu->virt = &ops;
}

void vmx_detach(struct cpu *cpu)
{
    if (!cpu->vmx)
        return;
    clock_event_cancel(cpu->clock, &cpu->vmx->preemption);
    free(cpu->vmx);
    cpu->vmx = NULL;
    cpu->virt = NULL;
}

const char *vmx_reason_name(u32 reason)
{
    switch (reason & 0xffff) {
#define EXIT(id, name, number)                                                                     \
    case number:                                                                                   \
        return #name;
#include "vmx/exits.def"
    default:
        return "unknown";
    }
}
