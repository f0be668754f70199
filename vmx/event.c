/* SPDX-License-Identifier: MIT */
/*
 * Exits that no instruction asks for: of exceptions and interrupts on their way, of walks, and those that wait
 * for a boundary between two instructions (SDM "Other Causes of VM Exits").
 */
#include "cpu/exec.h"
#include "cpu/msr.h"
#include "cpu/segment.h"
#include "vmx/vmx.h"

/* ---- Exceptions and interrupts ---- */

/* SDM "Exception Bitmap"; page faults: PFEC_MASK and PFEC_MATCH */
static bool bitmap_wants(const struct cpu *cpu, const struct exception *e)
{
    const struct vmx_controls *c = &cpu->vmx->ctl;
    bool bit = c->exception_bitmap >> e->vector & 1;
    if (e->vector != EXC_PF)
        return bit;
    return bit == ((e->error & c->pf_mask) == c->pf_match);
}

static u64 exception_qualification(const struct exception *e)
{
    return e->vector == EXC_PF ? e->cr2 : e->vector == EXC_DB ? e->dr6 : 0;
}

/* Bit 12 says nothing of a double fault nor where an event was being delivered. */
static u32 nmi_unblocking(const struct exception *e)
{
    return e->nmi_unblocked && !e->vect_info && e->vector != EXC_DF ? BIT32(12) : 0;
}

static bool exception(struct cpu *cpu, u32 type, const struct exception *e)
{
    if (!bitmap_wants(cpu, e))
        return false;
    vmx_exit_now(cpu, REASON_EXCEPTION_NMI, exception_qualification(e));
    struct vm_exit *x = &cpu->exit;
    x->trap = e->trap;
    x->intr_info = INTR_VALID | type << 8 | e->vector | (e->has_error ? INTR_ERROR_VALID : 0) |
                   nmi_unblocking(e);
    x->intr_error = e->error;
    x->vect_info = e->vect_info;
    x->vect_error = e->vect_error;
    x->insn_len = e->insn_len;
    return true;
}

static bool external_interrupt(struct cpu *cpu)
{
    const struct vmx_controls *c = &cpu->vmx->ctl;
    int vector = 0;
    if (!(c->pin & PIN_EXTERNAL_INTERRUPT))
        return false;
    if ((c->exit & EXIT_ACK_INTERRUPT) && (vector = cpu_ack_interrupt(cpu)) < 0)
        return true; /* withdrawn: there is nothing to exit for */
    vmx_exit_now(cpu, REASON_EXTERNAL_INTERRUPT, 0);
    if (c->exit & EXIT_ACK_INTERRUPT)
        cpu->exit.intr_info = INTR_VALID | INTR_EXTERNAL << 8 | (u32)vector;
    return true;
}

bool vmx_event(struct cpu *cpu, u32 type, const struct exception *e)
{
    switch (type) {
    case INTR_EXTERNAL:
        return external_interrupt(cpu);
    case INTR_NMI:
        if (!(cpu->vmx->ctl.pin & PIN_NMI))
            return false;
        vmx_exit_now(cpu, REASON_EXCEPTION_NMI, 0);
        cpu->exit.intr_info = INTR_VALID | INTR_NMI << 8 | EXC_NMI;
        return true;
    default:
        return exception(cpu, type, e);
    }
}

bool vmx_triple_fault(struct cpu *cpu)
{
    vmx_exit_now(cpu, REASON_TRIPLE_FAULT, 0);
    return true;
}

/* SDM "Exit Qualification for Task Switches" */
void vmx_task_switch(struct cpu *cpu, u16 sel, unsigned cause)
{
    static const u8 sources[] = {
        [TASK_CALL] = 0, [TASK_IRET] = 1, [TASK_JMP] = 2, [TASK_EVENT] = 3};
    vmx_exit_now(cpu, REASON_TASK_SWITCH, sel | (u64)sources[cause] << 30);
}

/* ---- Walks ---- */

void vmx_walk_exit(struct cpu *cpu, u64 lin, const struct walk_out *out)
{
    u32 reason = out->result == WALK_EPT_VIOLATION   ? REASON_EPT_VIOLATION
                 : out->result == WALK_EPT_MISCONFIG ? REASON_EPT_MISCONFIG
                                                     : REASON_PML_FULL;
    vmx_exit_now(cpu, reason, out->qualification);
    cpu->exit.gpa = out->gpa;
    cpu->exit.lin = lin;
}

/* ---- The APIC-access page ---- */

enum { APIC_READ, APIC_WRITE, APIC_FETCH, APIC_DELIVERY };

u8 *vmx_apic_access(struct cpu *cpu, u64 lin, unsigned size, unsigned acc)
{
    const struct vmx_controls *c = &cpu->vmx->ctl;
    unsigned offset = lin & 0xfff;
    bool tpr = offset >= VTPR && offset + size <= VTPR + 4 && !(acc & ACC_FETCH);
    if (tpr && (c->primary & PRIMARY_TPR_SHADOW) && !cpu->delivering) {
        u8 *page = ram_host_rw(&cpu->bus->ram, c->virtual_apic);
        if (page && (acc & ACC_WRITE)) {
            vmx_tpr_written(cpu);
            cpu->leave = true;
        }
        if (page)
            return page + offset;
    }
    u64 type = acc & ACC_FETCH ? APIC_FETCH : acc & ACC_WRITE ? APIC_WRITE : APIC_READ;
    vmx_exit_now(cpu, REASON_APIC_ACCESS, offset | (cpu->delivering ? APIC_DELIVERY : type) << 12);
    cpu->exit.lin = lin;
    return NULL;
}

/* ---- The VMX-preemption timer ---- */

#define TIMER_RATE 5 /* IA32_VMX_MISC: it counts down when this bit of the TSC changes */

void vmx_preemption_start(struct cpu *cpu, u32 value)
{
    struct vmx *v = cpu->vmx;
    u64 tsc = msr_tsc(cpu, NULL);
    u64 end = ((tsc >> TIMER_RATE) + value) << TIMER_RATE;
    v->preemption_due = !value;
    v->preemption_tick = cpu->clock->now + (value ? end - tsc : 0);
    if (value)
        clock_event_set(cpu->clock, &v->preemption, v->preemption_tick);
}

u32 vmx_preemption_left(const struct cpu *cpu)
{
    const struct vmx *v = cpu->vmx;
    u64 now = cpu->clock->now;
    if (v->preemption_due || now >= v->preemption_tick)
        return 0;
    u64 tsc = msr_tsc(cpu, NULL), end = tsc + (v->preemption_tick - now);
    return (u32)((end >> TIMER_RATE) - (tsc >> TIMER_RATE));
}

void vmx_preemption_event(void *opaque)
{
    struct cpu *cpu = opaque;
    cpu->vmx->preemption_due = true;
    vmx_update_attention(cpu);
}

/* ---- Exits that wait for a boundary ---- */

#define NO_REASON UINT32_MAX
#define NOT_YET UINT64_MAX /* the run loop has not come round since the entry */

void vmx_monitor_trap_start(struct cpu *cpu, bool injected)
{
    struct vmx *v = cpu->vmx;
    v->mtf_from = NOT_YET;
    v->mtf_pending = injected;
}

/* What has been completed: an instruction or the delivery of an event ends the monitor trap's wait. */
static u64 progress(const struct cpu *cpu)
{
    return cpu->insns + cpu->exceptions + cpu->interrupts;
}

void vmx_tpr_written(struct cpu *cpu)
{
    cpu->vmx->tpr_due = true;
    vmx_update_attention(cpu);
}

static bool tpr_is_below(const struct cpu *cpu)
{
    const struct vmx_controls *c = &cpu->vmx->ctl;
    u8 vtpr = 0xff;
    ram_read(&cpu->bus->ram, c->virtual_apic + VTPR, &vtpr, 1);
    return (c->primary & PRIMARY_TPR_SHADOW) && (c->tpr_threshold & 15) > vtpr >> 4;
}

bool vmx_monitor_trap_due(const struct cpu *cpu)
{
    const struct vmx *v = cpu->vmx;
    bool progressed = v->mtf_from != NOT_YET && progress(cpu) != v->mtf_from;
    return v->mtf_pending || ((v->ctl.primary & PRIMARY_MTF) && progressed);
}

static u32 trap_reason(struct cpu *cpu)
{
    struct vmx *v = cpu->vmx;
    if (v->tpr_due && tpr_is_below(cpu))
        return REASON_TPR_BELOW_THRESHOLD;
    if (v->mtf_from == NOT_YET)
        v->mtf_from = progress(cpu);
    return vmx_monitor_trap_due(cpu) ? REASON_MONITOR_TRAP : NO_REASON;
}

/* SDM "NMI-Window Exiting and Virtual-NMI Blocking", "Interrupt-Window Exiting and Virtual-Interrupt Delivery" */
static u32 event_reason(const struct cpu *cpu)
{
    const struct vmx *v = cpu->vmx;
    if (v->preemption_due)
        return REASON_PREEMPTION_TIMER;
    bool nmi_open = !cpu->nmi_blocked && !cpu->irq_shadow;
    if ((v->ctl.primary & PRIMARY_NMI_WINDOW) && nmi_open)
        return REASON_NMI_WINDOW;
    if ((cpu->pending & PEND_NMI) && (nmi_open || (cpu->virt_exits & VIRT_VNMI)))
        return NO_REASON; /* it goes first */
    bool open = (cpu->eflags & FLAG_IF) && !cpu->irq_shadow;
    return (v->ctl.primary & PRIMARY_INTERRUPT_WINDOW) && open ? REASON_INTERRUPT_WINDOW
                                                               : NO_REASON;
}

bool vmx_boundary(struct cpu *cpu, enum virt_boundary which, bool record)
{
    u32 reason = which == BOUNDARY_TRAP ? trap_reason(cpu) : event_reason(cpu);
    if (record && which == BOUNDARY_TRAP)
        cpu->vmx->tpr_due = false;
    if (reason == NO_REASON)
        return false;
    if (record) {
        vmx_exit_now(cpu, reason, 0);
        cpu->exit.trap = true;
    }
    return true;
}

void vmx_update_attention(struct cpu *cpu)
{
    struct vmx *v = cpu->vmx;
    u32 windows = PRIMARY_NMI_WINDOW | PRIMARY_INTERRUPT_WINDOW | PRIMARY_MTF;
    bool waits = (v->ctl.primary & windows) || v->preemption_due || v->mtf_pending || v->tpr_due;
    cpu->virt_attention = cpu->nonroot && waits;
    cpu->virt_step = cpu->nonroot && (v->ctl.primary & PRIMARY_MTF);
    if (cpu->virt_attention)
        cpu_raise_pending(cpu, PEND_VIRT);
    else
        cpu_clear_pending(cpu, PEND_VIRT);
}
