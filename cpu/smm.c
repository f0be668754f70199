/* SPDX-License-Identifier: MIT */
#include "cpu/smm.h"

#include <stdio.h>
#include <string.h>

#include "cpu/control.h"
#include "cpu/cpuid.h"
#include "cpu/insn.h"
#include "cpu/msr.h"
#include "cpu/segment.h"

#define CR0_DEFINED UINT64_C(0xe005003f)
#define DR6_FIXED UINT64_C(0xffff0ff0)
#define DR6_WRITABLE UINT64_C(0xe00f)
#define DR7_FIXED UINT64_C(0x400)
#define DR7_WRITABLE UINT64_C(0xffff23ff)

/* Attribute words leave bits 11:8 free. */
#define AREA_UNUSABLE BIT32(8)
#define AREA_ATTR 0xf0ffu

/* ---- The area ---- */

static u64 get(const u8 *area, unsigned at, unsigned size)
{
    u64 v = 0;
    for (unsigned k = 0; k < size; k++)
        v |= (u64)area[at + k] << (8 * k);
    return v;
}

static void put(u8 *area, unsigned at, u64 v, unsigned size)
{
    for (unsigned k = 0; k < size; k++)
        area[at + k] = (u8)(v >> (8 * k));
}

/* SMBASE is any number: the area may lie on MMIO, or nowhere, or wrap at 4 GiB. */
static u64 area_address(const struct cpu *cpu, unsigned at)
{
    return (u32)(cpu->smbase + SMM_AREA + at);
}

static void write_area(struct cpu *cpu, const u8 *area)
{
    for (unsigned k = 0; k < SMM_AREA_SIZE; k++)
        bus_write(cpu->bus, area_address(cpu, k), 1, area[k]);
}

static void read_area(struct cpu *cpu, u8 *area)
{
    for (unsigned k = 0; k < SMM_AREA_SIZE; k++)
        area[k] = (u8)bus_read(cpu->bus, area_address(cpu, k), 1);
}

static unsigned segment_offset(unsigned id)
{
    return id == SEG_LDTR ? SMM_LDTR : id == SEG_TR ? SMM_TR : SMM_SEGMENTS + 16 * id;
}

static unsigned register_offset(unsigned reg)
{
    return SMM_RAX - 8 * reg;
}

/* ---- SMI ---- */

static void save_segments(const struct cpu *cpu, u8 *area)
{
    for (unsigned k = 0; k < SEG_COUNT; k++) {
        const struct segment *s = &cpu->seg[k];
        u32 unusable = s->attr & ATTR_UNUSABLE ? AREA_UNUSABLE : 0;
        unsigned at = segment_offset(k);
        put(area, at, s->selector, 2);
        put(area, at + 2, (s->attr & AREA_ATTR) | unusable, 2);
        put(area, at + 4, s->limit, 4);
        put(area, at + 8, s->base, 8);
    }
    put(area, SMM_GDTR + 4, cpu->gdtr.limit, 2);
    put(area, SMM_GDTR + 8, cpu->gdtr.base, 8);
    put(area, SMM_IDTR + 4, cpu->idtr.limit, 2);
    put(area, SMM_IDTR + 8, cpu->idtr.base, 8);
}

static void save_registers(const struct cpu *cpu, u8 *area)
{
    for (unsigned reg = RAX; reg <= R15; reg++)
        put(area, register_offset(reg), cpu->gpr[reg], 8);
    put(area, SMM_RIP, cpu->rip, 8);
    put(area, SMM_RFLAGS, cpu_eflags(cpu), 8);
    put(area, SMM_DR6, cpu->dr[6], 8);
    put(area, SMM_DR7, cpu->dr[7], 8);
    put(area, SMM_CR0, cpu->cr0, 8);
    put(area, SMM_CR3, cpu->cr3, 8);
    put(area, SMM_CR4, cpu->cr4 & ~CR4_VMXE, 8);
    put(area, SMM_EFER, cpu->efer, 8);
}

/* The I/O instruction that has just been executed, if the SMI came during it (SDM "I/O State
 * Implementation"). */
static void save_io(const struct cpu *cpu, u8 *area)
{
    const struct smm_io *io = &cpu->smm_io;
    if (!io->what || cpu->clock->now != io->until)
        return;
    put(area, SMM_IO_WHAT, io->what, 4);
    put(area, SMM_IO_RIP, io->rip, 8);
    put(area, SMM_IO_RCX, io->rcx, 8);
    put(area, SMM_IO_RSI, io->rsi, 8);
    put(area, SMM_IO_RDI, io->rdi, 8);
}

static void save(const struct cpu *cpu, u8 *area)
{
    memset(area, 0, SMM_AREA_SIZE);
    save_registers(cpu, area);
    save_segments(cpu, area);
    save_io(cpu, area);
    put(area, SMM_HALT_RESTART, cpu->activity == ACTIVITY_HLT, 1);
    put(area, SMM_REVISION, SMM_REVISION_ID, 4);
    put(area, SMM_SMBASE, cpu->smbase, 4);
    put(area, SMM_EPT_ON, cpu->eptp != 0, 4);
    put(area, SMM_EPTP, cpu->eptp, 8);
}

/* What RSM restores though SMRAM does not hold it. */
static void keep_hidden(struct cpu *cpu)
{
    cpu->smm_hidden = (struct smm_hidden){
        .vmxe = cpu->cr4 & CR4_VMXE,
        .nmi_blocked = cpu->nmi_blocked,
        .vm86 = cpu->eflags & FLAG_VM,
        .ss_dpl = ATTR_DPL(cpu->seg[SEG_SS].attr),
        .cr3 = cpu_uses_pdptes(cpu->cr0, cpu->cr4, cpu->efer) ? cpu->cr3 : UINT64_MAX,
        .debug_hits = cpu->debug_hits,
    };
    memcpy(cpu->smm_hidden.pdpte, cpu->pdpte, sizeof(cpu->pdpte));
}

/* SDM "SMM Handler Execution Environment": the table of the initial state */
static void set_state(struct cpu *cpu)
{
    const u32 attr = ATTR_G | ATTR_P | ATTR_S | ATTR_RW | ATTR_ACCESSED;
    for (unsigned k = SEG_ES; k <= SEG_GS; k++)
        cpu->seg[k] = (struct segment){.limit = UINT32_MAX, .attr = attr};
    cpu->seg[SEG_CS].base = cpu->smbase;
    cpu->seg[SEG_CS].selector = (u16)(cpu->smbase >> 4);
    cpu->rip = SMM_ENTRY;
    set_rflags(cpu, FLAG_1);
    cpu->cr0 &= ~(u64)(CR0_PE | CR0_EM | CR0_TS | CR0_PG);
    cpu->cr4 = 0;
    cpu->efer = 0;
    cpu->dr[7] = DR7_FIXED;
    cpu->nmi_blocked = true;
    cpu->activity = ACTIVITY_RUN;
    cpu->monitor_hpa = UINT64_MAX;
    cpu->debug_hits = 0;
}

void smm_enter(struct cpu *cpu)
{
    u8 area[SMM_AREA_SIZE];
    cpu_clear_pending(cpu, PEND_SMI);
    cpu->msr[MSR_SMI_COUNT] = (u32)(cpu->msr[MSR_SMI_COUNT] + 1);
    keep_hidden(cpu);
    save(cpu, area);
    if (cpu->virt)
        cpu->virt->smi(cpu);
    cpu->smm = true;
    cpu->smm_io.what = 0;
    ram_smm_view(&cpu->bus->ram, true);
    write_area(cpu, area);
    if (log_on(LOG_CPU))
        log_msg(LOG_CPU, "CPU %u: SMI at %04x:%llx, SMBASE %x", cpu->index,
                cpu->seg[SEG_CS].selector, (unsigned long long)cpu->rip, cpu->smbase);
    set_state(cpu);
    tlb_flush_space(&cpu->tlb_store, 0, -1, false);
    cpu_update_mode(cpu);
}

void smm_note_io(struct cpu *cpu, const struct insn *i, u32 what)
{
    cpu->smm_io = (struct smm_io){.what = what | SMM_IO_VALID,
                                  .until = cpu->clock->now + 1,
                                  .rip = insn_rip(i),
                                  .rcx = cpu->gpr[RCX],
                                  .rsi = cpu->gpr[RSI],
                                  .rdi = cpu->gpr[RDI]};
}

/* ---- RSM ---- */

/* What decides whether the state is valid. */
struct control {
    u64 cr0, cr3, cr4, efer, rflags;
};

static bool shut_down(struct cpu *cpu, const char *why)
{
    struct cpu_group *group = cpu->group;
    cpu->activity = ACTIVITY_SHUTDOWN;
    snprintf(group->stop_text, sizeof(group->stop_text), "CPU %u: RSM to an invalid state: %s",
             cpu->index, why);
    log_msg(LOG_CPU, "%s", group->stop_text);
    group->stop = STOP_TRIPLE_FAULT;
    return false;
}

/* SDM "Exiting From SMM" and what MOV to the registers would not take. NULL: valid. */
static const char *defect(const struct cpu *cpu, const struct control *c)
{
    bool lma = c->efer & EFER_LMA, paging = c->cr0 & CR0_PG;
    if (c->cr0 >> 32 || (paging && !(c->cr0 & CR0_PE)) || (c->cr0 & CR0_NW && !(c->cr0 & CR0_CD)))
        return "CR0";
    if (c->cr4 & ~cpu_model_cr4_mask(cpu->model))
        return "CR4";
    if (c->cr3 >> cpu->model->phys_bits)
        return "CR3";
    if ((c->efer & ~msr_efer_mask(cpu)) || lma != (paging && (c->efer & EFER_LME)))
        return "EFER";
    if (lma ? !(c->cr4 & CR4_PAE) : (c->cr4 & CR4_PCIDE) != 0)
        return "CR4 and EFER";
    if (lma && (c->rflags & FLAG_VM))
        return "RFLAGS.VM in IA-32e mode";
    return NULL;
}

/* Bases have 64 bits where IA-32e mode has them. */
static void load_segment(struct cpu *cpu, const u8 *area, unsigned id)
{
    unsigned at = segment_offset(id);
    u32 attr = (u32)get(area, at + 2, 2);
    bool narrow = id <= SEG_DS;
    cpu->seg[id] =
        (struct segment){.base = get(area, at + 8, narrow ? 4 : 8),
                         .limit = (u32)get(area, at + 4, 4),
                         .attr = (attr & AREA_ATTR) | (attr & AREA_UNUSABLE ? ATTR_UNUSABLE : 0),
                         .selector = (u16)get(area, at, 2)};
}

static void load_segments(struct cpu *cpu, const u8 *area)
{
    for (unsigned k = 0; k < SEG_COUNT; k++)
        load_segment(cpu, area, k);
    cpu->gdtr = (struct dtable){get(area, SMM_GDTR + 8, 8), (u32)get(area, SMM_GDTR + 4, 2)};
    cpu->idtr = (struct dtable){get(area, SMM_IDTR + 8, 8), (u32)get(area, SMM_IDTR + 4, 2)};
    if ((cpu->cr0 & CR0_PE) && (cpu->eflags & FLAG_VM))
        for (unsigned k = SEG_ES; k <= SEG_GS; k++)
            segment_set_vm86(cpu, (enum seg_id)k, cpu->seg[k].selector);
}

static void load_registers(struct cpu *cpu, const u8 *area)
{
    for (unsigned reg = RAX; reg <= R15; reg++)
        cpu->gpr[reg] = get(area, register_offset(reg), 8);
    cpu->rip = get(area, SMM_RIP, 8);
    if (get(area, SMM_IO_RESTART, 1) == 0xff && (get(area, SMM_IO_WHAT, 4) & SMM_IO_VALID)) {
        cpu->rip = get(area, SMM_IO_RIP, 8);
        cpu->gpr[RCX] = get(area, SMM_IO_RCX, 8);
        cpu->gpr[RSI] = get(area, SMM_IO_RSI, 8);
        cpu->gpr[RDI] = get(area, SMM_IO_RDI, 8);
    }
    cpu->dr[6] = (get(area, SMM_DR6, 8) & DR6_WRITABLE) | DR6_FIXED;
    cpu->dr[7] = (get(area, SMM_DR7, 8) & DR7_WRITABLE) | DR7_FIXED;
    cpu->smbase = (u32)get(area, SMM_SMBASE, 4);
    cpu->activity = get(area, SMM_HALT_RESTART, 1) & 1 ? ACTIVITY_HLT : ACTIVITY_RUN;
}

/*
 * SDM "Default Treatment of RSM": VMX-critical state comes from inside, whatever the handler made of
 * SMRAM. fixed: bits of CR0 that VMX operation wants.
 */
static void load_critical(struct cpu *cpu, u64 fixed)
{
    struct segment *ss = &cpu->seg[SEG_SS];
    u16 dpl = cpu->smm_hidden.ss_dpl;
    ss->attr = (ss->attr & ~(3u << 5)) | (u32)dpl << 5;
    if (!(cpu->eflags & FLAG_VM) && (fixed & CR0_PE)) {
        ss->selector = (u16)((ss->selector & ~3u) | dpl);
        cpu->seg[SEG_CS].selector = (u16)((cpu->seg[SEG_CS].selector & ~3u) | dpl);
    }
}

static void load_hidden(struct cpu *cpu)
{
    const struct smm_hidden *h = &cpu->smm_hidden;
    cpu->nmi_blocked = h->nmi_blocked;
    cpu->debug_hits = h->debug_hits;
    cpu->irq_shadow = cpu->mov_ss_shadow = false;
    memcpy(cpu->pdpte, h->pdpte, sizeof(cpu->pdpte));
}

/* In the new mode: what can only be judged there. */
static bool finish(struct cpu *cpu)
{
    const struct control c = {.cr0 = cpu->cr0, .cr4 = cpu->cr4, .efer = cpu->efer};
    if (!(cpu->mode & MODE_64))
        cpu->rip = (u32)cpu->rip;
    else if (!cpu_is_canonical(cpu, cpu->rip))
        return shut_down(cpu, "RIP is not canonical");
    if (!cpu_uses_pdptes(c.cr0, c.cr4, c.efer) || cpu->cr3 == cpu->smm_hidden.cr3)
        return true;
    bool ok = cpu_load_pdptes(cpu, cpu->cr3);
    cpu->exc.pending = cpu->exit.pending = false;
    return ok || shut_down(cpu, "PDPTEs");
}

bool smm_leave(struct cpu *cpu)
{
    u8 area[SMM_AREA_SIZE];
    const struct smm_hidden *h = &cpu->smm_hidden;
    read_area(cpu, area);
    struct control c = {.cr0 = get(area, SMM_CR0, 8),
                        .cr3 = get(area, SMM_CR3, 8),
                        .cr4 = get(area, SMM_CR4, 8),
                        .efer = get(area, SMM_EFER, 8),
                        .rflags = get(area, SMM_RFLAGS, 8)};
    if (c.cr4 & CR4_VMXE)
        return shut_down(cpu, "CR4.VMXE");
    u64 fixed = cpu->virt ? cpu->virt->rsm(cpu) : 0;
    c.cr0 |= fixed;
    c.cr4 |= h->vmxe ? CR4_VMXE : 0;
    if (fixed)
        c.rflags = (c.rflags & ~FLAG_VM) | (h->vm86 ? FLAG_VM : 0);
    const char *bad = defect(cpu, &c);
    if (bad)
        return shut_down(cpu, bad);
    cpu->cr0 = (c.cr0 & CR0_DEFINED) | CR0_ET;
    cpu->cr3 = c.cr3;
    cpu->cr4 = c.cr4;
    cpu->efer = c.efer;
    set_rflags(cpu, c.rflags);
    load_registers(cpu, area);
    load_segments(cpu, area);
    if (fixed)
        load_critical(cpu, fixed);
    load_hidden(cpu);
    cpu->smm = false;
    ram_smm_view(&cpu->bus->ram, false);
    tlb_flush_all(&cpu->tlb_store);
    cpu_update_mode(cpu);
    if (log_on(LOG_CPU))
        log_msg(LOG_CPU, "CPU %u: RSM to %04x:%llx, SMBASE %x", cpu->index,
                cpu->seg[SEG_CS].selector, (unsigned long long)cpu->rip, cpu->smbase);
    return finish(cpu);
}

/* ---- Life ---- */

void smm_reset(struct cpu *cpu)
{
    cpu->smm = false;
    cpu->smbase = SMM_BASE_RESET;
    cpu->smm_hidden = (struct smm_hidden){0};
    cpu->smm_io = (struct smm_io){0};
}

void smm_snap(struct cpu *cpu, struct snap *s)
{
    struct smm_hidden *h = &cpu->smm_hidden;
    struct smm_io *io = &cpu->smm_io;
    u8 flags = (u8)(cpu->smm | h->vmxe << 1 | h->nmi_blocked << 2 | h->vm86 << 3);
    SNAP(s, flags);
    cpu->smm = flags & 1;
    h->vmxe = flags & 2;
    h->nmi_blocked = flags & 4;
    h->vm86 = flags & 8;
    SNAP(s, cpu->smbase);
    SNAP(s, h->ss_dpl);
    snap_range(s, "SS.DPL saved by an SMI", h->ss_dpl, 0, 3);
    SNAP(s, h->cr3);
    SNAP(s, h->debug_hits);
    SNAP(s, h->pdpte);
    SNAP(s, io->what);
    SNAP(s, io->until);
    SNAP(s, io->rip);
    SNAP(s, io->rcx);
    SNAP(s, io->rsi);
    SNAP(s, io->rdi);
}
