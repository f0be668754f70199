/* SPDX-License-Identifier: MIT */
/* The monitor's `info`: the processors, the machine, the debugger. */
#include <string.h>

#include "cpu/lapic_state.h"
#include "devices/pci.h"
#include "frontend/monitor_state.h"
#include "vmx/vmx.h"

/* ---- Registers ---- */

static void print_segment(FILE *out, const char *name, const struct segment *s)
{
    fprintf(out, "%-4s=%04x %016llx %08x %05x", name, s->selector, (unsigned long long)s->base,
            s->limit, s->attr);
    if (s->attr & ATTR_UNUSABLE)
        fprintf(out, " unusable\n");
    else
        fprintf(out, " DPL=%u %s%s%s\n", ATTR_DPL(s->attr),
                !(s->attr & ATTR_S)   ? "system"
                : s->attr & ATTR_CODE ? "code"
                                      : "data",
                s->attr & ATTR_L ? " 64-bit" : "", s->attr & ATTR_DB ? " 32-bit" : "");
}

static void print_general(FILE *out, const struct cpu *cpu)
{
    static const char names[16][4] = {"RAX", "RBX", "RCX", "RDX", "RSI", "RDI", "RBP", "RSP",
                                      "R8",  "R9",  "R10", "R11", "R12", "R13", "R14", "R15"};
    static const u8 order[16] = {RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP,
                                 R8,  R9,  R10, R11, R12, R13, R14, R15};
    for (unsigned n = 0; n < 16; n++)
        fprintf(out, "%-3s=%016llx%c", names[n], (unsigned long long)cpu->gpr[order[n]],
                n % 4 == 3 ? '\n' : ' ');
}

static void print_control(FILE *out, const struct cpu *cpu)
{
    fprintf(out, "CR0=%08llx CR2=%016llx CR3=%016llx CR4=%08llx CR8=%llx\n",
            (unsigned long long)cpu->cr0, (unsigned long long)cpu->cr2,
            (unsigned long long)cpu->cr3, (unsigned long long)cpu->cr4,
            (unsigned long long)cpu->cr8);
    fprintf(out, "DR0=%016llx DR1=%016llx DR2=%016llx DR3=%016llx\n",
            (unsigned long long)cpu->dr[0], (unsigned long long)cpu->dr[1],
            (unsigned long long)cpu->dr[2], (unsigned long long)cpu->dr[3]);
    fprintf(out, "DR6=%08llx DR7=%08llx EFER=%llx XCR0=%llx MXCSR=%08x\n",
            (unsigned long long)cpu->dr[6], (unsigned long long)cpu->dr[7],
            (unsigned long long)cpu->efer, (unsigned long long)cpu->xcr0, cpu->mxcsr);
}

static void print_vectors(FILE *out, const struct cpu *cpu)
{
    fprintf(out, "FCW=%04x FSW=%04x empty=%02x\n", cpu->fcw, cpu->fsw, cpu->ftw_empty);
    for (unsigned n = 0; n < 8; n++)
        fprintf(out, "FPR%u=%016llx %04x%c", n, (unsigned long long)cpu->st[n].mant, cpu->st[n].se,
                n % 2 ? '\n' : ' ');
    for (unsigned n = 0; n < 16; n++)
        fprintf(out, "XMM%02u=%016llx%016llx%c", n, (unsigned long long)cpu->xmm[n].q[1],
                (unsigned long long)cpu->xmm[n].q[0], n % 2 ? '\n' : ' ');
}

static const char *activity(const struct cpu *cpu)
{
    static const char *const names[] = {[ACTIVITY_RUN] = "active",
                                        [ACTIVITY_HLT] = "HLT",
                                        [ACTIVITY_SHUTDOWN] = "shutdown",
                                        [ACTIVITY_WAIT_SIPI] = "wait-for-SIPI",
                                        [ACTIVITY_MWAIT] = "MWAIT"};
    return cpu->activity < ARRAY_SIZE(names) && names[cpu->activity] ? names[cpu->activity] : "?";
}

static void registers_of(FILE *out, const struct cpu *cpu)
{
    static const char *const names[SEG_COUNT] = {"ES", "CS", "SS", "DS", "FS", "GS", "LDT", "TR"};
    u64 flags = cpu_eflags(cpu);
    print_general(out, cpu);
    fprintf(out, "RIP=%016llx RFL=%08llx [%c%c%c%c%c%c%c] CPL=%u %s, %s\n",
            (unsigned long long)cpu->rip, (unsigned long long)flags, flags & FLAG_DF ? 'D' : '-',
            flags & FLAG_OF ? 'O' : '-', flags & FLAG_SF ? 'S' : '-', flags & FLAG_ZF ? 'Z' : '-',
            flags & FLAG_AF ? 'A' : '-', flags & FLAG_PF ? 'P' : '-', flags & FLAG_CF ? 'C' : '-',
            cpu_cpl(cpu), activity(cpu), cpu->nonroot ? "non-root" : "root");
    for (unsigned n = 0; n < SEG_COUNT; n++)
        print_segment(out, names[n], &cpu->seg[n]);
    fprintf(out, "GDT = %016llx %08x\nIDT = %016llx %08x\n", (unsigned long long)cpu->gdtr.base,
            cpu->gdtr.limit, (unsigned long long)cpu->idtr.base, cpu->idtr.limit);
    print_control(out, cpu);
    print_vectors(out, cpu);
}

static void info_registers(struct monitor_call *c)
{
    const struct cpu_group *group = debugger_group(c->m->debugger);
    if (c->words < 3) {
        registers_of(c->out, monitor_cpu(c));
        return;
    }
    if (strcmp(c->word[2], "-a")) {
        monitor_error(c, "expected registers [-a]");
        return;
    }
    for (unsigned n = 0; n < group->count; n++) {
        fprintf(c->out, "%sprocessor %u\n", n ? "\n" : "", n);
        registers_of(c->out, group->cpu[n]);
    }
}

static void info_cpus(struct monitor_call *c)
{
    const struct cpu_group *group = debugger_group(c->m->debugger);
    for (unsigned n = 0; n < group->count; n++) {
        const struct cpu *cpu = group->cpu[n];
        fprintf(c->out, "%c %u: %04x:%016llx %s, %s, %llu instructions, %llu VM entries\n",
                cpu == monitor_cpu(c) ? '*' : ' ', n, cpu->seg[SEG_CS].selector,
                (unsigned long long)cpu->rip, activity(cpu), cpu->nonroot ? "non-root" : "root",
                (unsigned long long)cpu->insns,
                cpu->vmx ? (unsigned long long)cpu->vmx->entries : 0);
    }
}

static void info_status(struct monitor_call *c)
{
    const struct debugger *d = c->m->debugger;
    const struct debug_stop *stop = debugger_last(d);
    fprintf(c->out, "%s at tick %llu\n", debugger_standing(d) ? "stands" : "runs",
            (unsigned long long)debugger_group(d)->clock->now);
    if (stop->kind != DEBUG_STOP_NONE)
        fprintf(c->out, "last stop: %s\n", stop->text);
}

static void info_breakpoints(struct monitor_call *c)
{
    const struct debug_point *p;
    char text[192];
    for (unsigned n = 0; (p = debugger_point(c->m->debugger, n)); n++) {
        debugger_describe(p, text, sizeof(text));
        fprintf(c->out, "%s\n", text);
    }
}

/* ---- Devices ---- */

static void print_set(FILE *out, const char *name, const u32 bits[8])
{
    fprintf(out, "%s", name);
    for (unsigned v = 0; v < 256; v++)
        if (bits[v / 32] >> (v % 32) & 1)
            fprintf(out, " %02x", v);
    fputc('\n', out);
}

static void print_lvt(FILE *out, const char *name, u32 lvt)
{
    static const char *const modes[8] = {"fixed", "1", "SMI", "3", "NMI", "INIT", "6", "ExtINT"};
    fprintf(out, "%-8s %08x vector %02x %s%s%s\n", name, lvt, lvt & 0xff, modes[LVT_MODE(lvt)],
            lvt & LVT_LEVEL ? " level" : "", lvt & LVT_MASKED ? " masked" : "");
}

static void info_lapic(struct monitor_call *c)
{
    static const char *const lvts[LVT_COUNT] = {"timer", "thermal", "perf", "LINT0",
                                                "LINT1", "error",   "CMCI"};
    const struct lapic *l = monitor_cpu(c)->lapic;
    fprintf(c->out, "id %x base %llx %s, spurious %08x, TPR %02x PPR %02x LDR %08x DFR %08x\n",
            l->id, (unsigned long long)l->cpu->apic_base,
            lapic_x2apic(l)    ? "x2APIC"
            : lapic_enabled(l) ? "xAPIC"
                               : "off",
            l->svr, l->tpr, lapic_ppr(l), l->ldr, l->dfr);
    fprintf(c->out, "ICR %08x%08x ESR %02x\n", l->icr_high, l->icr_low, l->esr);
    for (unsigned n = 0; n < LVT_COUNT; n++)
        print_lvt(c->out, lvts[n], l->lvt[n]);
    static const char *const modes[] = {"one-shot", "periodic", "TSC deadline", "reserved"};
    fprintf(c->out, "timer %s: initial %u now %u divide %x deadline %llx\n",
            modes[LVT_TIMER_MODE(l->lvt[LVT_TIMER])], l->initial_count, lapic_timer_current(l),
            l->divide, (unsigned long long)l->deadline);
    print_set(c->out, "IRR", l->irr);
    print_set(c->out, "ISR", l->isr);
    print_set(c->out, "TMR", l->tmr);
}

static void print_function(FILE *out, const struct pci_device *f)
{
    fprintf(out, "00:%02x.%u %04x:%04x class %06x %s\n", f->devfn >> 3, f->devfn & 7,
            pci_config_get(f, PCI_VENDOR, 2), pci_config_get(f, PCI_DEVICE, 2),
            pci_config_get(f, PCI_CLASS, 3), f->name);
    for (unsigned n = 0; n < PCI_BARS; n++) {
        const struct pci_bar *bar = &f->bar[n];
        if (!bar->size)
            continue;
        fprintf(out, "    BAR%u %s %llx bytes", n,
                bar->io     ? "ports,"
                : bar->wide ? "64-bit memory,"
                            : "memory,",
                (unsigned long long)bar->size);
        if (bar->mapped)
            fprintf(out, " at %llx\n", (unsigned long long)bar->base);
        else
            fprintf(out, ", not mapped\n");
    }
    if (f->config[PCI_INTERRUPT_PIN])
        fprintf(out, "    INT%c#, line %u%s\n", 'A' + f->config[PCI_INTERRUPT_PIN] - 1,
                f->config[PCI_INTERRUPT_LINE], f->driven ? ", asserted" : "");
}

static void info_pci(struct monitor_call *c)
{
    for (unsigned devfn = 0; devfn < 256; devfn++) {
        const struct pci_device *f = pc_pci_function(c->m->machine->pc, (u8)devfn);
        if (f)
            print_function(c->out, f);
    }
}

static void print_regions(FILE *out, const struct bus_region *list, u32 count)
{
    for (u32 n = 0; n < count; n++)
        fprintf(out, "  %012llx-%012llx %s\n", (unsigned long long)list[n].base,
                (unsigned long long)(list[n].base + list[n].size - 1), list[n].name);
}

static void info_mtree(struct monitor_call *c)
{
    const struct bus *bus = monitor_cpu(c)->bus;
    const struct ram *ram = &bus->ram;
    fprintf(c->out, "memory\n  %012x-%012llx RAM\n", 0, (unsigned long long)ram->low - 1);
    if (ram->size > ram->low)
        fprintf(c->out, "  %012llx-%012llx RAM\n", (unsigned long long)RAM_HIGH_START,
                (unsigned long long)(RAM_HIGH_START + ram->size - ram->low - 1));
    for (unsigned n = 0; n < ram->windows; n++)
        fprintf(c->out, "  %012llx-%012llx %s\n", (unsigned long long)ram->window[n].hpa,
                (unsigned long long)(ram->window[n].hpa + ram->window[n].size - 1),
                ram->window[n].writable ? "video memory" : "ROM");
    for (unsigned n = 0; n < RAM_LEGACY_COUNT; n++) {
        const struct ram_legacy *l = &ram->legacy[n];
        u8 *under = ram_legacy_ram(ram, n);
        fprintf(c->out, "  %012llx reads %s, writes %s\n",
                (unsigned long long)(RAM_LEGACY + ((u64)n << RAM_LEGACY_SHIFT)),
                l->read == under ? "RAM"
                : l->read        ? "ROM"
                                 : "PCI",
                l->write ? "RAM" : "PCI");
    }
    print_regions(c->out, bus->mmio, bus->mmio_count);
    fprintf(c->out, "ports\n");
    print_regions(c->out, bus->io, bus->io_count);
}

/* ---- Topics ---- */

static const struct {
    const char *name;
    void (*run)(struct monitor_call *c);
} topics[] = {
    {"registers", info_registers},
    {"cpus", info_cpus},
    {"status", info_status},
    {"breakpoints", info_breakpoints},
    {"mem", monitor_info_mem},
    {"mtree", info_mtree},
    {"tlb", monitor_info_tlb},
    {"ept", monitor_info_ept},
    {"vmcs", monitor_info_vmcs},
    {"lapic", info_lapic},
    {"pci", info_pci},
};

void monitor_info(struct monitor_call *c)
{
    for (size_t n = 0; n < ARRAY_SIZE(topics); n++) {
        if (!strcmp(topics[n].name, c->word[1])) {
            topics[n].run(c);
            return;
        }
    }
    fprintf(c->out, "info: no topic %s: expected", c->word[1]);
    for (size_t n = 0; n < ARRAY_SIZE(topics); n++)
        fprintf(c->out, "%s %s", n ? "," : "", topics[n].name);
    fputc('\n', c->out);
}
