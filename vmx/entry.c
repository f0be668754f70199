/* SPDX-License-Identifier: MIT */
/* VM entries (SDM "VM Entries"): from the host to the guest of the current VMCS. */
#include "cpu/control.h"
#include "cpu/exec.h"
#include "cpu/probe.h"
#include "cpu/segment.h"
#include "vmx/vmx.h"

/* SDM "VM Instruction Error Numbers" */
enum { ERR_LAUNCH_NOT_CLEAR = 4, ERR_RESUME_NOT_LAUNCHED = 5, ERR_ENTRY_AFTER_MOV_SS = 26 };

#define QUAL_PDPTE 2

void vmx_read_controls(const struct vmcs *v, struct vmx_controls *c)
{
    *c = (struct vmx_controls){
        .pin = (u32)vmcs_read(v, VMCS_PIN_CONTROLS),
        .primary = (u32)vmcs_read(v, VMCS_PRIMARY_CONTROLS),
        .exit = (u32)vmcs_read(v, VMCS_VM_EXIT_CONTROLS),
        .entry = (u32)vmcs_read(v, VMCS_VM_ENTRY_CONTROLS),
        .exception_bitmap = (u32)vmcs_read(v, VMCS_EXCEPTION_BITMAP),
        .pf_mask = (u32)vmcs_read(v, VMCS_PF_ERROR_CODE_MASK),
        .pf_match = (u32)vmcs_read(v, VMCS_PF_ERROR_CODE_MATCH),
        .cr0_mask = vmcs_read(v, VMCS_CR0_GUEST_HOST_MASK),
        .cr4_mask = vmcs_read(v, VMCS_CR4_GUEST_HOST_MASK),
        .cr0_shadow = vmcs_read(v, VMCS_CR0_READ_SHADOW),
        .cr4_shadow = vmcs_read(v, VMCS_CR4_READ_SHADOW),
        .tsc_offset = vmcs_read(v, VMCS_TSC_OFFSET),
        .io_bitmap = {vmcs_read(v, VMCS_IO_BITMAP_A), vmcs_read(v, VMCS_IO_BITMAP_B)},
        .msr_bitmap = vmcs_read(v, VMCS_MSR_BITMAPS),
        .vmread_bitmap = vmcs_read(v, VMCS_VMREAD_BITMAP),
        .vmwrite_bitmap = vmcs_read(v, VMCS_VMWRITE_BITMAP),
        .virtual_apic = vmcs_read(v, VMCS_VIRTUAL_APIC_ADDRESS),
        .tpr_threshold = (u32)vmcs_read(v, VMCS_TPR_THRESHOLD),
        .ple_gap = (u32)vmcs_read(v, VMCS_PLE_GAP),
        .ple_window = (u32)vmcs_read(v, VMCS_PLE_WINDOW),
        .pml_address = vmcs_read(v, VMCS_PML_ADDRESS),
    };
    if (c->primary & PRIMARY_SECONDARY)
        c->secondary = (u32)vmcs_read(v, VMCS_SECONDARY_CONTROLS);
    u32 targets = (u32)vmcs_read(v, VMCS_CR3_TARGET_COUNT);
    c->cr3_targets = MIN(targets, (u32)ARRAY_SIZE(c->cr3_target));
    for (u32 k = 0; k < ARRAY_SIZE(c->cr3_target); k++)
        c->cr3_target[k] = vmcs_read(v, (enum vmcs_field)((unsigned)VMCS_CR3_TARGET_0 + 2 * k));
}

/* ---- Into non-root operation ---- */

/* What the guest's translations depend on. */
static void set_translation(struct cpu *cpu, const struct vmcs *v, const struct vmx_controls *c)
{
    cpu->vpid = c->secondary & SECONDARY_VPID ? (u16)vmcs_read(v, VMCS_VPID) : 0;
    cpu->eptp = c->secondary & SECONDARY_EPT ? vmcs_read(v, VMCS_EPT_POINTER) : 0;
    cpu->apic_access = c->secondary & SECONDARY_APIC_ACCESS
                           ? vmcs_read(v, VMCS_APIC_ACCESS_ADDRESS) & PAGE_MASK
                           : UINT64_MAX;
    cpu->pml_on = c->secondary & SECONDARY_PML;
    cpu->pml =
        (struct walk_pml){.address = c->pml_address, .index = (u16)vmcs_read(v, VMCS_PML_INDEX)};
    if (!cpu->vpid) /* SDM "Operations that Invalidate Cached Mappings" */
        tlb_flush_space(&cpu->tlb_store, 0, -1, false);
}

static u8 event_controls(const struct vmx_controls *c)
{
    unsigned flags = 0;
    if (c->pin & PIN_EXTERNAL_INTERRUPT)
        flags |= VIRT_INTR;
    if (c->pin & PIN_NMI)
        flags |= VIRT_NMI;
    if (c->pin & PIN_VIRTUAL_NMIS)
        flags |= VIRT_VNMI;
    return (u8)flags;
}

static void link_shadow(struct cpu *cpu, const struct vmcs *v, const struct vmx_controls *c)
{
    struct vmcs none = {.gpa = UINT64_MAX, .ram = &cpu->bus->ram};
    u64 link = vmcs_read(v, VMCS_VMCS_LINK_POINTER);
    bool shadowing = (c->secondary & SECONDARY_VMCS_SHADOWING) && link != UINT64_MAX;
    cpu->vmx->shadow = shadowing ? vmcs_at(&cpu->bus->ram, link) : none;
}

/*
 * SDM "Loading Guest State" for the transition from the host that runs into the guest of v. False: PDPTEs in memory
 * are invalid, the guest's registers being loaded.
 */
static bool enter_guest(struct cpu *cpu, const struct vmcs *v)
{
    struct vmx *vmx = cpu->vmx;
    struct vmx_controls *c = &vmx->ctl;
    vmx_read_controls(v, c);
    vmx->running = *v;
    cpu->nonroot = true;
    cpu->virt_exits = event_controls(c);
    link_shadow(cpu, v, c);
    set_translation(cpu, v, c);
    vmx_load_guest(cpu, v, c);
    cpu_update_mode(cpu);
    vmx->ple_last = vmx->ple_first = 0;
    cpu->monitor_hpa = UINT64_MAX;
    bool pae = cpu_uses_pdptes(cpu->cr0, cpu->cr4, cpu->efer);
    return !pae || (c->secondary & SECONDARY_EPT) || cpu_load_pdptes(cpu, cpu->cr3);
}

/* ---- Event injection ---- */

/* SDM "Vectored-Event Injection"; a fault or exit on the way is left for the run loop. */
static void inject(struct cpu *cpu, const struct vmcs *v, u32 info)
{
    static const u8 kinds[] = {
        [INTR_EXTERNAL] = EVENT_EXTERNAL,       [INTR_NMI] = EVENT_NMI,
        [INTR_SOFT_INT] = EVENT_SOFT_INT,       [INTR_PRIV_SOFT_EXCEPTION] = EVENT_PRIV_SOFT,
        [INTR_SOFT_EXCEPTION] = EVENT_SOFT_EXC,
    };
    u32 type = info >> 8 & 7;
    bool soft = type >= INTR_SOFT_INT && type <= INTR_SOFT_EXCEPTION;
    u32 len = soft ? (u32)vmcs_read(v, VMCS_VM_ENTRY_INSTRUCTION_LENGTH) : 0;
    bool has_error = info & INTR_ERROR_VALID;
    u32 error = has_error ? (u32)vmcs_read(v, VMCS_VM_ENTRY_EXCEPTION_ERROR_CODE) : 0;
    u64 rip = cpu->rip;
    cpu->debug_hits = 0;
    if (type == INTR_HARD_EXCEPTION) {
        cpu_inject_exception(cpu, (u8)info, has_error, error);
        return;
    }
    cpu->rip = cpu->mode & MODE_64 ? rip + len : (u32)(rip + len);
    if (!cpu_deliver(cpu, (enum event_kind)kinds[type], (u8)info, has_error, error)) {
        cpu->rip = rip;
        cpu->exit.insn_len = cpu->exc.insn_len = len;
    }
}

/* What waits at the start: injected events, timers, windows. */
static void start_events(struct cpu *cpu, const struct vmcs *v)
{
    const struct vmx_controls *c = &cpu->vmx->ctl;
    u32 info = (u32)vmcs_read(v, VMCS_VM_ENTRY_INTR_INFO);
    bool vectored = (info & INTR_VALID) && (info >> 8 & 7) != INTR_OTHER;
    bool trap = (info & INTR_VALID) && !vectored;
    if (vectored)
        inject(cpu, v, info);
    vmx_monitor_trap_start(cpu, trap || (vectored && (c->primary & PRIMARY_MTF)));
    if (c->pin & PIN_PREEMPTION_TIMER)
        vmx_preemption_start(cpu, (u32)vmcs_read(v, VMCS_PREEMPTION_TIMER_VALUE));
    cpu->vmx->tpr_due = c->primary & PRIMARY_TPR_SHADOW;
    vmx_update_attention(cpu);
}

/* ---- VMLAUNCH, VMRESUME ---- */

static u32 entry_error(const struct cpu *cpu, bool launch)
{
    bool launched = vmcs_launched(&cpu->vmx->current);
    if (cpu->after_mov_ss)
        return ERR_ENTRY_AFTER_MOV_SS;
    if (launch)
        return launched ? ERR_LAUNCH_NOT_CLEAR : 0;
    return launched ? 0 : ERR_RESUME_NOT_LAUNCHED;
}

static u32 check_controls(struct cpu *cpu, const struct vmcs *v)
{
    u32 error = 0;
    const struct vmx_check *rule = vmx_check_controls(cpu, v, &error);
    if (!rule)
        return 0;
    vmx_report_rule(cpu, rule);
    return error;
}

/* From the checks of guest state on a failure is an exit. */
static void transition(struct cpu *cpu, const struct vmcs *v, bool launch)
{
    u64 qualification = 0;
    const struct vmx_check *rule = vmx_check_guest(cpu, v, &qualification);
    if (rule) {
        vmx_report_rule(cpu, rule);
        vmx_entry_failed(cpu, REASON_INVALID_GUEST_STATE, qualification);
        return;
    }
    if (!enter_guest(cpu, v)) {
        cpu->exc.pending = false;
        vmx_entry_failed(cpu, REASON_INVALID_GUEST_STATE, QUAL_PDPTE);
        return;
    }
    u32 bad = vmx_load_msrs(cpu, vmcs_read(v, VMCS_VM_ENTRY_MSR_LOAD_ADDRESS),
                            (u32)vmcs_read(v, VMCS_VM_ENTRY_MSR_LOAD_COUNT));
    if (bad) {
        vmx_entry_failed(cpu, REASON_MSR_LOADING, bad);
        return;
    }
    cpu_update_mode(cpu);
    if (launch)
        vmcs_set_launched(v, true);
    cpu->vmx->entries++;
    vmx_report_entry(cpu, v);
    start_events(cpu, v);
    struct probe_event e = {.place = PROBE_ENTRY};
    probe_ask(cpu, NULL, &e);
}

enum virt_result vmx_enter(struct cpu *cpu, const struct insn *i, bool launch)
{
    struct vmx *vmx = cpu->vmx;
    struct vmcs v = vmx->current;
    if (v.gpa == UINT64_MAX || (vmcs_revision(&v) & VMCS_SHADOW)) {
        vmx_fail_invalid(cpu);
        return VIRT_DONE;
    }
    u32 error = entry_error(cpu, launch);
    if (!error)
        error = check_controls(cpu, &v);
    if (error) {
        vmx_fail_valid(cpu, error);
        return VIRT_DONE;
    }
    cpu->clock->now = cpu_now(cpu, i);
    transition(cpu, &v, launch);
    cpu->leave = true;
    return VIRT_MOVED;
}
