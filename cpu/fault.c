/* SPDX-License-Identifier: MIT */
/*
 * Faults on their way to the guest: recording them, the rules for a fault during another's delivery
 * (SDM "Interrupt 8 - Double Fault Exception"), and what debug exceptions do to DR6 and DR7. The
 * delivery itself is in cpu/deliver.c.
 */
#include <stdio.h>

#include "cpu/cpu.h"
#include "cpu/segment.h"
#include "cpu/virt.h"

#define DR6_BD BIT(13)
#define DR7_GD BIT(13)

bool cpu_fault(struct cpu *cpu, enum vector vector)
{
    cpu->exc = (struct exception){.pending = true, .vector = (u8)vector};
    return false;
}

bool cpu_fault_err(struct cpu *cpu, enum vector vector, u32 error)
{
    cpu->exc = (struct exception){
        .pending = true, .vector = (u8)vector, .has_error = true, .error = error};
    return false;
}

bool cpu_fault_page(struct cpu *cpu, u64 lin, u32 error)
{
    cpu_fault_err(cpu, EXC_PF, error);
    cpu->exc.cr2 = lin;
    return false;
}

/* ---- Double and triple faults ---- */

enum fault_class { CLASS_BENIGN, CLASS_CONTRIBUTORY, CLASS_PAGE, CLASS_DOUBLE };

static enum fault_class fault_class(u8 vector)
{
    switch (vector) {
    case EXC_DE:
    case EXC_TS:
    case EXC_NP:
    case EXC_SS:
    case EXC_GP:
    case EXC_CP:
        return CLASS_CONTRIBUTORY;
    case EXC_PF:
    case EXC_VE:
        return CLASS_PAGE;
    case EXC_DF:
        return CLASS_DOUBLE;
    default:
        return CLASS_BENIGN;
    }
}

enum fault_pair { PAIR_SERIAL, PAIR_DOUBLE, PAIR_SHUTDOWN };

/* SDM "Conditions for Generating a Double Fault" */
static enum fault_pair fault_pair(u8 first, u8 second)
{
    enum fault_class a = fault_class(first), b = fault_class(second);
    if (a == CLASS_DOUBLE)
        return b == CLASS_BENIGN ? PAIR_SERIAL : PAIR_SHUTDOWN;
    if (a == CLASS_BENIGN || b == CLASS_BENIGN)
        return PAIR_SERIAL;
    if (a == CLASS_CONTRIBUTORY && b == CLASS_PAGE)
        return PAIR_SERIAL;
    return PAIR_DOUBLE;
}

static const char *vector_name(u8 vector)
{
    static const char names[][4] = {"DE", "DB", "NMI", "BP", "OF", "BR", "UD", "NM",
                                    "DF", "9",  "TS",  "NP", "SS", "GP", "PF", "15",
                                    "MF", "AC", "MC",  "XM", "VE", "CP"};
    return vector < ARRAY_SIZE(names) ? names[vector] : "?";
}

static void shutdown(struct cpu *cpu, const struct exception *first, const struct exception *second)
{
    struct cpu_group *group = cpu->group;
    cpu->activity = ACTIVITY_SHUTDOWN;
    cpu->leave = true;
    if (!group)
        return;
    snprintf(group->stop_text, sizeof(group->stop_text),
             "CPU %u: triple fault: #%s (error code 0x%x) while delivering #%s at %04x:%016llx, "
             "RSP %016llx, CR0 %llx, CR2 %016llx, CR3 %llx, CR4 %llx, EFER %llx",
             cpu->index, vector_name(second->vector), second->error, vector_name(first->vector),
             cpu->seg[SEG_CS].selector, (unsigned long long)cpu->rip,
             (unsigned long long)cpu->gpr[RSP], (unsigned long long)cpu->cr0,
             (unsigned long long)cpu->cr2, (unsigned long long)cpu->cr3,
             (unsigned long long)cpu->cr4, (unsigned long long)cpu->efer);
    log_msg(LOG_CPU, "%s", group->stop_text);
    group->stop = STOP_TRIPLE_FAULT;
}

/*
 * RF in the pushed RFLAGS (SDM "Resume Flag"): 1 for faults, so that restarting the instruction
 * does not hit its breakpoint again; as it is for traps, aborts and the instruction breakpoint.
 */
static bool pushes_rf(const struct exception *e)
{
    switch (e->vector) {
    case EXC_DB:
        return e->dr6 & DR6_BD;
    case EXC_BP:
    case EXC_OF:
    case EXC_DF:
    case EXC_MC:
        return false;
    default:
        return true;
    }
}

static void note_exception(struct cpu *cpu, const struct exception *e)
{
    cpu->exceptions++;
    if (e->vector == EXC_PF)
        cpu->cr2 = e->cr2;
    if (e->vector == EXC_DB) {
        cpu->dr[6] = (cpu->dr[6] & ~UINT64_C(15)) | e->dr6;
        cpu->dr[7] &= ~DR7_GD;
    }
    if (log_on(LOG_CPU))
        log_msg(LOG_CPU, "CPU %u: #%s(%x) at %04x:%llx CPL %u CR2 %llx", cpu->index,
                vector_name(e->vector), e->error, cpu->seg[SEG_CS].selector,
                (unsigned long long)cpu->rip, cpu_cpl(cpu), (unsigned long long)e->cr2);
}

/* Does this exception cause a VM exit instead? RF is then saved as it would be pushed. */
static bool exits(struct cpu *cpu, const struct exception *e)
{
    return cpu->nonroot && cpu->virt->event(cpu, INTR_HARD_EXCEPTION, e);
}

/* Benign faults may follow each other for ever where a handler's stack is misaligned at CPL 3. */
#define SERIAL_MAX 16

/* injected: how far the first exception has come is VM entry's affair. */
static void deliver_chain(struct cpu *cpu, struct exception first, bool injected)
{
    struct exception second;
    for (unsigned n = 0;; n++) {
        cpu->exc.pending = false;
        if (!injected || n) {
            if (pushes_rf(&first))
                cpu->eflags |= FLAG_RF;
            if (exits(cpu, &first))
                return;
            note_exception(cpu, &first);
        }
        if (cpu_deliver(cpu, EVENT_FAULT, first.vector, first.has_error, first.error) ||
            cpu->exit.pending)
            return;
        second = cpu->exc;
        cpu->exc.pending = false;
        if (exits(cpu, &second))
            return;
        enum fault_pair pair = fault_pair(first.vector, second.vector);
        if (second.vector == EXC_PF)
            cpu->cr2 = second.cr2;
        if (pair == PAIR_SHUTDOWN || n == SERIAL_MAX)
            break;
        first = second;
        if (pair == PAIR_DOUBLE)
            first = (struct exception){.vector = EXC_DF, .has_error = true};
    }
    if (!cpu->nonroot || !cpu->virt->triple_fault(cpu))
        shutdown(cpu, &first, &second);
}

void cpu_deliver_exception(struct cpu *cpu)
{
    deliver_chain(cpu, cpu->exc, false);
}

void cpu_inject_exception(struct cpu *cpu, u8 vector, bool has_error, u32 error)
{
    struct exception e = {.vector = vector, .has_error = has_error, .error = error};
    deliver_chain(cpu, e, true);
}
