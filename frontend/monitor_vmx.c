/* SPDX-License-Identifier: MIT */
/* The monitor's look at VMCSs. */
#include <string.h>

#include "frontend/monitor_state.h"
#include "vmx/vmx.h"

static void print_field(FILE *out, const struct vmcs *v, const char *name, enum vmcs_field field)
{
    fprintf(out, "  %-36s %0*llx\n", name, (int)vmcs_field_bits(field) / 4,
            (unsigned long long)vmcs_read_any(v, field));
}

static void print_vmcs(struct monitor_call *c, const struct vmcs *v)
{
    u32 revision = vmcs_revision(v);
    const struct vmx *vmx = monitor_cpu(c)->vmx;
    fprintf(c->out, "VMCS at %llx: revision %x%s, %s%s%s\n", (unsigned long long)v->gpa,
            revision & ~VMCS_SHADOW, revision & VMCS_SHADOW ? " (shadow)" : "",
            vmcs_launched(v) ? "launched" : "clear", v->gpa == vmx->current.gpa ? ", current" : "",
            v->gpa == vmx->running.gpa && monitor_cpu(c)->nonroot ? ", running" : "");
#define FIELD(id, name, encoding, guard)                                                           \
    if (vmcs_slot(encoding) >= 0)                                                                  \
        print_field(c->out, v, #name, VMCS_##id);
#include "vmx/vmcs.def"
}

static bool none(struct monitor_call *c, const char *what)
{
    monitor_error(c, "there is no %s VMCS", what);
    return false;
}

/* current (the default), running, linked (of the running one, else of the current), or an address */
static bool which(struct monitor_call *c, struct vmcs *v)
{
    const struct cpu *cpu = monitor_cpu(c);
    const char *word = c->words > 2 ? c->word[2] : "current";
    const struct vmcs *base = cpu->nonroot ? &cpu->vmx->running : &cpu->vmx->current;
    u64 address;
    if (!strcmp(word, "current")) {
        *v = cpu->vmx->current;
        return v->gpa != UINT64_MAX || none(c, word);
    }
    if (!strcmp(word, "running")) {
        *v = cpu->vmx->running;
        return cpu->nonroot || none(c, word);
    }
    if (!strcmp(word, "linked")) {
        u64 link = base->gpa == UINT64_MAX ? base->gpa : vmcs_read(base, VMCS_VMCS_LINK_POINTER);
        *v = vmcs_at(&cpu->bus->ram, link);
        return link != UINT64_MAX || none(c, word);
    }
    if (!monitor_value(c, word, &address))
        return false;
    *v = vmcs_at(&cpu->bus->ram, address & PAGE_MASK);
    if (v->host && (vmcs_revision(v) & ~VMCS_SHADOW) == VMCS_REVISION)
        return true;
    monitor_error(c, "at %llx there is no VMCS", (unsigned long long)address);
    return false;
}

void monitor_info_vmcs(struct monitor_call *c)
{
    struct vmcs v;
    if (!monitor_cpu(c)->vmx)
        monitor_error(c, "the processor has no VMX");
    else if (which(c, &v))
        print_vmcs(c, &v);
}
