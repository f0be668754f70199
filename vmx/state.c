/* SPDX-License-Identifier: MIT */
/*
 * The processor's state from and to the guest-state and host-state areas of a VMCS (SDM "Saving Guest
 * State", "Loading Guest State", "Loading Host State"). Which VMCS is the caller's choice: nothing here knows of a
 * current one.
 */
#include "cpu/control.h"
#include "cpu/msr.h"
#include "cpu/segment.h"
#include "vmx/vmx.h"

/* Bits of CR0 that neither entry nor exit loads. */
#define CR0_KEPT (CR0_ET | CR0_NW | CR0_CD)
#define DR7_FIXED UINT64_C(0x400)
#define DR7_WRITABLE UINT64_C(0xffff23ff)
#define RFLAGS_FIXED UINT64_C(2)
#define TSS_LIMIT 0x67

/* Interruptibility state */
#define BLOCKING_STI BIT32(0)
#define BLOCKING_MOV_SS BIT32(1)
#define BLOCKING_NMI BIT32(3)
/* Pending debug exceptions */
#define PENDING_HITS UINT64_C(0xf)
#define PENDING_ENABLED BIT(12)
#define PENDING_BS BIT(14)

/* ---- Segments ---- */

/* The fields of the segment registers lie 2 apart in the order of enum seg_id. */
static enum vmcs_field segment_field(enum vmcs_field first, unsigned k)
{
    return (enum vmcs_field)((unsigned)first + 2 * k);
}

static void save_segments(const struct cpu *cpu, const struct vmcs *v)
{
    for (unsigned k = 0; k < SEG_COUNT; k++) {
        const struct segment *s = &cpu->seg[k];
        vmcs_write(v, segment_field(VMCS_GUEST_ES_SELECTOR, k), s->selector);
        vmcs_write(v, segment_field(VMCS_GUEST_ES_BASE, k), s->base);
        vmcs_write(v, segment_field(VMCS_GUEST_ES_LIMIT, k), s->limit);
        vmcs_write(v, segment_field(VMCS_GUEST_ES_ACCESS_RIGHTS, k), s->attr);
    }
}

static void load_segments(struct cpu *cpu, const struct vmcs *v)
{
    for (unsigned k = 0; k < SEG_COUNT; k++) {
        struct segment *s = &cpu->seg[k];
        s->selector = (u16)vmcs_read(v, segment_field(VMCS_GUEST_ES_SELECTOR, k));
        s->base = vmcs_read(v, segment_field(VMCS_GUEST_ES_BASE, k));
        s->limit = (u32)vmcs_read(v, segment_field(VMCS_GUEST_ES_LIMIT, k));
        s->attr = (u32)vmcs_read(v, segment_field(VMCS_GUEST_ES_ACCESS_RIGHTS, k)) & 0x1f0ff;
    }
}

/* ---- Guest state ---- */

static void save_registers(struct cpu *cpu, const struct vmcs *v)
{
    vmcs_write(v, VMCS_GUEST_CR0, cpu->cr0);
    vmcs_write(v, VMCS_GUEST_CR3, cpu->cr3);
    vmcs_write(v, VMCS_GUEST_CR4, cpu->cr4);
    vmcs_write(v, VMCS_GUEST_RSP, cpu->gpr[RSP]);
    vmcs_write(v, VMCS_GUEST_RIP, cpu->rip);
    vmcs_write(v, VMCS_GUEST_RFLAGS, cpu_eflags(cpu));
    vmcs_write(v, VMCS_GUEST_SYSENTER_CS, cpu->sysenter_cs);
    vmcs_write(v, VMCS_GUEST_SYSENTER_ESP, cpu->sysenter_esp);
    vmcs_write(v, VMCS_GUEST_SYSENTER_EIP, cpu->sysenter_eip);
    vmcs_write(v, VMCS_GUEST_GDTR_BASE, cpu->gdtr.base);
    vmcs_write(v, VMCS_GUEST_GDTR_LIMIT, cpu->gdtr.limit);
    vmcs_write(v, VMCS_GUEST_IDTR_BASE, cpu->idtr.base);
    vmcs_write(v, VMCS_GUEST_IDTR_LIMIT, cpu->idtr.limit);
}

/* By the VM-exit controls, and what exists only with a control. */
static void save_optional(const struct cpu *cpu, const struct vmcs *v, const struct vmx_controls *c)
{
    if (c->exit & EXIT_SAVE_DEBUG) {
        vmcs_write(v, VMCS_GUEST_DR7, cpu->dr[7]);
        vmcs_write(v, VMCS_GUEST_DEBUGCTL, cpu->msr[MSR_DEBUGCTL]);
    }
    if (c->exit & EXIT_SAVE_PAT)
        vmcs_write(v, VMCS_GUEST_PAT, cpu->pat);
    if (c->exit & EXIT_SAVE_EFER)
        vmcs_write(v, VMCS_GUEST_EFER, cpu->efer);
    if (c->exit & EXIT_SAVE_PREEMPTION_TIMER)
        vmcs_write(v, VMCS_PREEMPTION_TIMER_VALUE, vmx_preemption_left(cpu));
    if (c->secondary & SECONDARY_EPT)
        for (unsigned k = 0; k < 4; k++)
            vmcs_write(v, (enum vmcs_field)((unsigned)VMCS_GUEST_PDPTE0 + 2 * k), cpu->pdpte[k]);
    if (c->secondary & SECONDARY_PML)
        vmcs_write(v, VMCS_PML_INDEX, cpu->pml.index);
    u32 entry = c->entry & ~ENTRY_IA32E_GUEST;
    vmcs_write(v, VMCS_VM_ENTRY_CONTROLS, cpu->efer & EFER_LMA ? entry | ENTRY_IA32E_GUEST : entry);
}

static void save_events(const struct cpu *cpu, const struct vmcs *v)
{
    u32 blocking = 0;
    u64 hits = cpu->debug_hits & (PENDING_HITS | PENDING_BS);
    if (cpu->irq_shadow)
        blocking |= cpu->mov_ss_shadow ? BLOCKING_MOV_SS : BLOCKING_STI;
    if (cpu->nmi_blocked)
        blocking |= BLOCKING_NMI;
    vmcs_write(v, VMCS_GUEST_INTERRUPTIBILITY, blocking);
    vmcs_write(v, VMCS_GUEST_ACTIVITY_STATE, cpu->activity == ACTIVITY_HLT);
    vmcs_write(v, VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS,
               hits & PENDING_HITS ? hits | PENDING_ENABLED : hits);
}

void vmx_save_guest(struct cpu *cpu, const struct vmcs *v, const struct vmx_controls *c)
{
    save_registers(cpu, v);
    save_segments(cpu, v);
    save_optional(cpu, v, c);
    save_events(cpu, v);
}

/* IA32_EFER without the control: LMA, and LME where paging makes them one, follow the mode. */
static u64 implied_efer(const struct cpu *cpu, bool long_mode)
{
    u64 efer = cpu->efer & ~EFER_LMA;
    if (long_mode)
        return efer | EFER_LMA | EFER_LME;
    return cpu->cr0 & CR0_PG ? efer & ~EFER_LME : efer;
}

static void load_guest_registers(struct cpu *cpu, const struct vmcs *v)
{
    u64 cr0 = vmcs_read(v, VMCS_GUEST_CR0) & UINT64_C(0xe005003f);
    cpu->cr0 = (cr0 & ~CR0_KEPT) | (cpu->cr0 & CR0_KEPT);
    cpu->cr3 = vmcs_read(v, VMCS_GUEST_CR3);
    cpu->cr4 = vmcs_read(v, VMCS_GUEST_CR4);
    cpu->gpr[RSP] = vmcs_read(v, VMCS_GUEST_RSP);
    cpu->rip = vmcs_read(v, VMCS_GUEST_RIP);
    set_rflags(cpu, vmcs_read(v, VMCS_GUEST_RFLAGS));
    cpu->sysenter_cs = vmcs_read(v, VMCS_GUEST_SYSENTER_CS);
    cpu->sysenter_esp = vmcs_read(v, VMCS_GUEST_SYSENTER_ESP);
    cpu->sysenter_eip = vmcs_read(v, VMCS_GUEST_SYSENTER_EIP);
    cpu->gdtr = (struct dtable){vmcs_read(v, VMCS_GUEST_GDTR_BASE),
                                (u32)vmcs_read(v, VMCS_GUEST_GDTR_LIMIT)};
    cpu->idtr = (struct dtable){vmcs_read(v, VMCS_GUEST_IDTR_BASE),
                                (u32)vmcs_read(v, VMCS_GUEST_IDTR_LIMIT)};
}

static void load_guest_optional(struct cpu *cpu, const struct vmcs *v, const struct vmx_controls *c)
{
    if (c->entry & ENTRY_LOAD_DEBUG) {
        cpu->dr[7] = (vmcs_read(v, VMCS_GUEST_DR7) & DR7_WRITABLE) | DR7_FIXED;
        cpu->msr[MSR_DEBUGCTL] = vmcs_read(v, VMCS_GUEST_DEBUGCTL);
    }
    if (c->entry & ENTRY_LOAD_PAT)
        cpu->pat = vmcs_read(v, VMCS_GUEST_PAT);
    if (c->entry & ENTRY_LOAD_EFER)
        cpu->efer = vmcs_read(v, VMCS_GUEST_EFER);
    else
        cpu->efer = implied_efer(cpu, c->entry & ENTRY_IA32E_GUEST);
    if (c->secondary & SECONDARY_EPT)
        for (unsigned k = 0; k < 4; k++)
            cpu->pdpte[k] = vmcs_read(v, (enum vmcs_field)((unsigned)VMCS_GUEST_PDPTE0 + 2 * k));
}

static void load_guest_events(struct cpu *cpu, const struct vmcs *v)
{
    u32 blocking = (u32)vmcs_read(v, VMCS_GUEST_INTERRUPTIBILITY);
    cpu->mov_ss_shadow = blocking & BLOCKING_MOV_SS;
    cpu->irq_shadow = blocking & (BLOCKING_MOV_SS | BLOCKING_STI);
    cpu->nmi_blocked = blocking & BLOCKING_NMI;
    cpu->activity = vmcs_read(v, VMCS_GUEST_ACTIVITY_STATE) ? ACTIVITY_HLT : ACTIVITY_RUN;
    cpu->debug_hits =
        vmcs_read(v, VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS) & (PENDING_HITS | PENDING_BS);
}

void vmx_load_guest(struct cpu *cpu, const struct vmcs *v, const struct vmx_controls *c)
{
    load_guest_registers(cpu, v);
    load_segments(cpu, v);
    load_guest_optional(cpu, v, c);
    load_guest_events(cpu, v);
}

/* ---- Host state ---- */

static void set_host_segment(struct cpu *cpu, enum seg_id id, u64 selector, u64 base, u32 attr)
{
    bool null = !selector && id != SEG_CS && id != SEG_TR;
    cpu->seg[id] = (struct segment){.base = base,
                                    .limit = id == SEG_TR ? TSS_LIMIT : UINT32_MAX,
                                    .attr = attr | (null ? ATTR_UNUSABLE : 0),
                                    .selector = (u16)selector};
}

static void load_host_segments(struct cpu *cpu, const struct vmcs *v, bool long_mode)
{
    const u32 data = ATTR_P | ATTR_S | ATTR_RW | ATTR_ACCESSED | ATTR_DB | ATTR_G;
    const u32 code = ATTR_P | ATTR_S | ATTR_CODE | ATTR_RW | ATTR_ACCESSED | ATTR_G |
                     (long_mode ? ATTR_L : ATTR_DB);
    set_host_segment(cpu, SEG_CS, vmcs_read(v, VMCS_HOST_CS_SELECTOR), 0, code);
    set_host_segment(cpu, SEG_SS, vmcs_read(v, VMCS_HOST_SS_SELECTOR), 0, data);
    set_host_segment(cpu, SEG_DS, vmcs_read(v, VMCS_HOST_DS_SELECTOR), 0, data);
    set_host_segment(cpu, SEG_ES, vmcs_read(v, VMCS_HOST_ES_SELECTOR), 0, data);
    set_host_segment(cpu, SEG_FS, vmcs_read(v, VMCS_HOST_FS_SELECTOR),
                     vmcs_read(v, VMCS_HOST_FS_BASE), data);
    set_host_segment(cpu, SEG_GS, vmcs_read(v, VMCS_HOST_GS_SELECTOR),
                     vmcs_read(v, VMCS_HOST_GS_BASE), data);
    set_host_segment(cpu, SEG_TR, vmcs_read(v, VMCS_HOST_TR_SELECTOR),
                     vmcs_read(v, VMCS_HOST_TR_BASE), ATTR_P | TYPE_TSS32_BUSY);
    cpu->seg[SEG_LDTR] = (struct segment){.attr = ATTR_UNUSABLE};
    cpu->gdtr = (struct dtable){vmcs_read(v, VMCS_HOST_GDTR_BASE), 0xffff};
    cpu->idtr = (struct dtable){vmcs_read(v, VMCS_HOST_IDTR_BASE), 0xffff};
}

static void load_host_registers(struct cpu *cpu, const struct vmcs *v, bool long_mode)
{
    u64 cr4 = vmcs_read(v, VMCS_HOST_CR4);
    cpu->cr0 =
        (vmcs_read(v, VMCS_HOST_CR0) & UINT64_C(0xe005003f) & ~CR0_KEPT) | (cpu->cr0 & CR0_KEPT);
    cpu->cr3 = vmcs_read(v, VMCS_HOST_CR3);
    cpu->cr4 = long_mode ? cr4 | CR4_PAE : cr4 & ~(u64)CR4_PCIDE;
    cpu->dr[7] = DR7_FIXED;
    cpu->msr[MSR_DEBUGCTL] = 0;
    cpu->sysenter_cs = vmcs_read(v, VMCS_HOST_SYSENTER_CS);
    cpu->sysenter_esp = vmcs_read(v, VMCS_HOST_SYSENTER_ESP);
    cpu->sysenter_eip = vmcs_read(v, VMCS_HOST_SYSENTER_EIP);
    cpu->rip = vmcs_read(v, VMCS_HOST_RIP);
    cpu->gpr[RSP] = vmcs_read(v, VMCS_HOST_RSP);
    set_rflags(cpu, RFLAGS_FIXED);
}

void vmx_load_host(struct cpu *cpu, const struct vmcs *v, u32 exit_controls)
{
    bool long_mode = exit_controls & EXIT_HOST_64;
    load_host_registers(cpu, v, long_mode);
    load_host_segments(cpu, v, long_mode);
    if (exit_controls & EXIT_LOAD_EFER)
        cpu->efer = vmcs_read(v, VMCS_HOST_EFER);
    else
        cpu->efer = implied_efer(cpu, long_mode);
    if (exit_controls & EXIT_LOAD_PAT)
        cpu->pat = vmcs_read(v, VMCS_HOST_PAT);
    cpu->activity = ACTIVITY_RUN;
    cpu->irq_shadow = cpu->mov_ss_shadow = false;
    cpu->debug_hits = 0;
    cpu->monitor_hpa = UINT64_MAX;
}
