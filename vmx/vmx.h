/* SPDX-License-Identifier: MIT */
/* VMX of one processor: its operation, and what the parts of vmx/ share. */
#ifndef VMX_VMX_H
#define VMX_VMX_H

#include "base/clock.h"
#include "cpu/cpu.h"
#include "vmx/controls.h"
#include "vmx/vmcs.h"

/*
 * The controls of the VMCS in non-root operation, read at entry: the run-time form of its fields.
 * `host` pointers are NULL where the address is not RAM (then all bits read as ones).
 */
struct vmx_controls {
    u32 pin, primary, secondary, exit, entry;
    u32 exception_bitmap, pf_mask, pf_match;
    u64 cr0_mask, cr4_mask, cr0_shadow, cr4_shadow;
    u64 cr3_target[4];
    u32 cr3_targets;
    u64 tsc_offset;
    u64 io_bitmap[2], msr_bitmap; /* physical addresses */
    u64 vmread_bitmap, vmwrite_bitmap;
    u64 virtual_apic; /* physical address */
    u32 tpr_threshold;
    u32 ple_gap, ple_window;
    u64 pml_address;
};

#define VTPR 0x80u /* offset of the task priority in the virtual-APIC page */

/* VMX operation while the processor is in SMM (SDM "Default Treatment of SMI Delivery"). */
struct vmx_smm {
    bool on, nonroot, pml_on, mtf_due;
    u8 virt_exits;
    u16 vpid;
    u64 eptp, apic_access;
};

struct vmx {
    u64 limits[VMX_CLASSES]; /* vmx_control_limits(), exact: what this model's controls may be */
    u64 cr4_mask;            /* and CR4 */
    bool on;                 /* VMX operation */
    u64 vmxon_gpa;
    struct vmcs current; /* gpa ~0: no current VMCS */
    struct vmcs running; /* the VMCS of the guest in non-root operation */
    struct vmcs shadow;  /* what `running`'s link pointer leads to, for shadowed accesses */
    struct vmx_controls ctl;
    struct clock_event preemption; /* VMX-preemption timer */
    u64 preemption_tick;           /* when it expires */
    bool preemption_due;
    bool mtf_pending; /* at once: it was injected */
    bool tpr_due;     /* VTPR may have fallen below the threshold */
    u64 mtf_from;     /* instructions and events completed when the monitor trap began to wait */
    u64 ple_first, ple_last; /* PAUSE-loop exiting */
    struct vmx_smm smm;
    u64 entries, exits, exits_by_reason[80];
};

/* Gives cpu VMX if its model has it: cpu->vmx and cpu->virt. After cpu_new(). */
void vmx_attach(struct cpu *cpu);
void vmx_detach(struct cpu *cpu);

/* ---- The parts (each in the file of that name) ---- */

/* instructions.c: VMXON ... INVVPID, VMCALL, VMFUNC; VMREAD and VMWRITE with shadowing */
enum virt_result vmx_execute(struct cpu *cpu, const struct insn *i, u32 which);
/* Is this VMX instruction defined in the mode that is now? Else #UD is recorded: before any exit. */
bool vmx_insn_defined(struct cpu *cpu, u32 which);
/* VMfail numbers: SDM "VM Instruction Error Numbers" */
void vmx_succeed(struct cpu *cpu);
void vmx_fail_invalid(struct cpu *cpu);
void vmx_fail_valid(struct cpu *cpu, u32 number);
static inline void vmx_fail(struct cpu *cpu, u32 number)
{
    if (cpu->vmx->current.gpa == UINT64_MAX)
        vmx_fail_invalid(cpu);
    else
        vmx_fail_valid(cpu, number);
}

/*
 * entry.c: VMLAUNCH and VMRESUME when CPL and mode allow them: from the check for a current VMCS
 * (and its being no shadow) on
 */
enum virt_result vmx_enter(struct cpu *cpu, const struct insn *i, bool launch);
/* Reads the controls of v into c; no checks. */
void vmx_read_controls(const struct vmcs *v, struct vmx_controls *c);

/* state.c: the areas of a VMCS; controls come from c, which need not be the current ones */
void vmx_save_guest(struct cpu *cpu, const struct vmcs *v, const struct vmx_controls *c);
void vmx_load_guest(struct cpu *cpu, const struct vmcs *v, const struct vmx_controls *c);
void vmx_load_host(struct cpu *cpu, const struct vmcs *v, u32 exit_controls);

/* msrlist.c: the areas of MSRs. Entries are counted from 1; 0: all done, else the one that failed. */
u32 vmx_load_msrs(struct cpu *cpu, u64 address, u32 count);
u32 vmx_store_msrs(struct cpu *cpu, u64 address, u32 count);

/* exit.c */
void vmx_take_exit(struct cpu *cpu);
/* A failed entry after controls and host state were found good: reason with bit 31. */
void vmx_entry_failed(struct cpu *cpu, u32 reason, u64 qualification);
/* A VMX abort: logged; the CPU shuts down. */
void vmx_abort(struct cpu *cpu, u32 indicator);

/*
 * intercept.c: exits of instructions. The records are fault-like; the core adds the instruction's
 * length.
 */
enum virt_intercept vmx_intercept(struct cpu *cpu, const struct virt_insn *vi);
/* Records an exit; always INTERCEPT_FAULT. */
enum virt_intercept vmx_exit_now(struct cpu *cpu, u32 reason, u64 qualification);

/* cr.c: MOV CR, CLTS, LMSW, SMSW, MOV DR in non-root operation */
enum virt_intercept vmx_cr_access(struct cpu *cpu, const struct virt_insn *vi);
enum virt_intercept vmx_dr_access(struct cpu *cpu, const struct virt_insn *vi);

/* info.c: the VM-exit instruction information, by the SDM's tables for each group of instructions */
u32 vmx_insn_info(const struct virt_insn *vi);
/* The displacement of the memory operand, for the exit qualification; RIP-relative: absolute. */
u64 vmx_insn_displacement(const struct virt_insn *vi);

/* event.c: exits of events, of walks, and those that wait for a boundary between two instructions */
bool vmx_event(struct cpu *cpu, u32 type, const struct exception *e);
bool vmx_triple_fault(struct cpu *cpu);
void vmx_task_switch(struct cpu *cpu, u16 sel, unsigned cause);
bool vmx_boundary(struct cpu *cpu, enum virt_boundary which, bool record);
void vmx_walk_exit(struct cpu *cpu, u64 lin, const struct walk_out *out);
u8 *vmx_apic_access(struct cpu *cpu, u64 lin, unsigned size, unsigned acc);
/* The VMX-preemption timer: started at entry with the field's value; what is left of it now. */
void vmx_preemption_start(struct cpu *cpu, u32 value);
u32 vmx_preemption_left(const struct cpu *cpu);
void vmx_preemption_event(void *opaque); /* opaque is the struct cpu */
/*
 * At entry: the monitor trap waits for one instruction or event, or is pending at once where one was
 * injected (SDM "Monitor Trap Flag").
 */
void vmx_monitor_trap_start(struct cpu *cpu, bool injected);
/* Would the monitor trap exit at this boundary? */
bool vmx_monitor_trap_due(const struct cpu *cpu);
/* VTPR was written: is the TPR-threshold exit due? */
void vmx_tpr_written(struct cpu *cpu);
/* Recomputes cpu->virt_attention and cpu->virt_step from the controls and what waits. */
void vmx_update_attention(struct cpu *cpu);

/* checks.c: expands vmx/checks.def */
struct vmx_check {
    const char *id, *title; /* the SDM section that has the rule */
};
/* The first rule that the VMCS breaks, NULL if none: controls and host state (VMfail 7 or 8 in
 * *error), guest state (exit 33, *qualification). */
const struct vmx_check *vmx_check_controls(struct cpu *cpu, const struct vmcs *v, u32 *error);
const struct vmx_check *vmx_check_guest(struct cpu *cpu, const struct vmcs *v, u64 *qualification);

/* caps.c: the capability MSRs, from vmx/controls.def; what CR0 and CR4 must and may hold */
bool vmx_capability(const struct cpu_model *model, u32 msr, u64 *value);
/* Bits 31:0: controls that must be 1; 63:32: that may be. exact: as the TRUE MSRs say. */
u64 vmx_control_limits(const struct cpu_model *model, enum vmx_class class, bool exact);
const char *vmx_control_name(enum vmx_class class, u32 mask);
/* In VMX operation; unrestricted: CR0 of a guest with that control. */
u64 vmx_cr0_fixed(bool unrestricted); /* the bits that are 1 */
bool vmx_cr0_valid(const struct cpu_model *model, u64 val, bool unrestricted);
bool vmx_cr4_valid(const struct cpu *cpu, u64 val);
bool vmx_eptp_valid(const struct cpu_model *model, u64 eptp);

/* report.c: the trace and the log of entries, exits, failing rules, accesses that a shadow serves */
void vmx_report_entry(const struct cpu *cpu, const struct vmcs *v);
void vmx_report_exit(const struct cpu *cpu,
                     const struct vmcs *v); /* cpu->exit, before it is taken */
void vmx_report_rule(const struct cpu *cpu, const struct vmx_check *rule);
void vmx_report_shadow(const struct cpu *cpu, const char *what, u64 value);

#endif
