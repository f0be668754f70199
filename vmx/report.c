/* SPDX-License-Identifier: MIT */
/* What VMX does, for the trace (--trace) and the log (--log vmx): the same words in both. */
#include <stdarg.h>
#include <stdio.h>

#include "traces/trace.h"
#include "vmx/vmx.h"

static bool is_wanted(void)
{
    return trace_on() || log_on(LOG_VMX);
}

static void PRINTF_LIKE(3, 4) report(const struct cpu *cpu, const char *event, const char *fmt, ...)
{
    char fields[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(fields, sizeof(fields), fmt, args);
    va_end(args);
    if (trace_on())
        trace_put(cpu->clock->now, cpu->index, event, fields);
    if (log_on(LOG_VMX))
        log_msg(LOG_VMX, "%llu %u %s %s", (unsigned long long)cpu->clock->now, cpu->index, event,
                fields);
}

void vmx_report_entry(const struct cpu *cpu, const struct vmcs *v)
{
    if (is_wanted())
        report(cpu, "vmentry", "rip=%x:%llx vmcs=%llx event=%llx", cpu->seg[SEG_CS].selector,
               (unsigned long long)cpu->rip, (unsigned long long)v->gpa,
               (unsigned long long)vmcs_read(v, VMCS_VM_ENTRY_INTR_INFO));
}

/* The field that a VMREAD or VMWRITE which exits is about. */
static const char *accessed_field(const struct cpu *cpu, const struct vm_exit *x)
{
    if (x->reason != REASON_VMREAD && x->reason != REASON_VMWRITE)
        return "";
    return vmcs_field_name((u32)cpu->gpr[x->insn_info >> 28]);
}

void vmx_report_exit(const struct cpu *cpu, const struct vmcs *v)
{
    const struct vm_exit *x = &cpu->exit;
    if (!is_wanted())
        return;
    const char *field = accessed_field(cpu, x);
    report(
        cpu, x->reason & REASON_ENTRY_FAILURE ? "vmentry_failure" : "vmexit",
        "reason=%s rip=%x:%llx vmcs=%llx qualification=%llx event=%x:%x vectoring=%x:%x gpa=%llx "
        "lin=%llx length=%x info=%x%s%s",
        vmx_reason_name(x->reason), cpu->seg[SEG_CS].selector, (unsigned long long)cpu->rip,
        (unsigned long long)v->gpa, (unsigned long long)x->qualification, x->intr_info,
        x->intr_error, x->vect_info, x->vect_error, (unsigned long long)x->gpa,
        (unsigned long long)x->lin, x->insn_len, x->insn_info, *field ? " field=" : "", field);
}

void vmx_report_rule(const struct cpu *cpu, const struct vmx_check *rule)
{
    if (is_wanted())
        report(cpu, "vmentry_rule", "rule=%s section=\"%s\"", rule->id, rule->title);
}

void vmx_report_shadow(const struct cpu *cpu, const char *what, u64 value)
{
    if (is_wanted())
        report(cpu, "shadow", "register=%s value=%llx", what, (unsigned long long)value);
}
