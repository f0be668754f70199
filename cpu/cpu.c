/* SPDX-License-Identifier: MIT */
#include "cpu/cpu.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cpu/cpuid.h"
#include "cpu/lapic.h"
#include "cpu/msr.h"
#include "cpu/segment.h"
#include "cpu/smm.h"

struct cpu *cpu_new(struct cpu_group *group, unsigned index, const struct cpu_model *model)
{
    struct cpu *cpu = xalloc_aligned(64, sizeof(*cpu));
    cpu->index = index;
    cpu->model = model;
    cpu->group = group;
    cpu->clock = group->clock;
    cpu->bus = group->bus;
    cpu->blocks = group->blocks;
    tlb_init(&cpu->tlb_store);
    msr_new(cpu);
    cpu->lapic = lapic_new(cpu);
    cpu_reset(cpu, false);
    return cpu;
}

void cpu_free(struct cpu *cpu)
{
    if (!cpu)
        return;
    lapic_free(cpu->lapic);
    msr_free(cpu);
    tlb_fini(&cpu->tlb_store);
    free(cpu);
}

/* ---- Reset ---- */

#define ATTR_REAL (ATTR_P | ATTR_S | ATTR_RW | ATTR_ACCESSED)

static void reset_segments(struct cpu *cpu)
{
    for (unsigned k = 0; k < SEG_COUNT; k++)
        cpu->seg[k] = (struct segment){.limit = 0xffff, .attr = ATTR_REAL};
    cpu->seg[SEG_CS].selector = 0xf000;
    cpu->seg[SEG_CS].base = 0xffff0000;
    cpu->seg[SEG_LDTR].attr = ATTR_P | TYPE_LDT;
    cpu->seg[SEG_TR].attr = ATTR_P | TYPE_TSS32_BUSY;
    cpu->gdtr = cpu->idtr = (struct dtable){.limit = 0xffff};
}

/* What only RESET sets: INIT leaves the floating-point state alone. */
static void reset_fpu(struct cpu *cpu)
{
    memset(cpu->xmm, 0, sizeof(cpu->xmm));
    memset(cpu->opmask, 0, sizeof(cpu->opmask));
    memset(cpu->st, 0, sizeof(cpu->st));
    cpu->mxcsr = 0x1f80;
    cpu->fcw = 0x40;
    cpu->fsw = 0;
    cpu->ftw_empty = 0;
    cpu->fop = 0;
    cpu->fip = cpu->fdp = 0;
    cpu->fcs = cpu->fds = 0;
    cpu->xcr0 = 1;
    cpu->pkru = 0;
}

static void reset_events(struct cpu *cpu)
{
    cpu->exc = (struct exception){0};
    cpu->exit = (struct vm_exit){0};
    cpu->leave = cpu->irq_shadow = cpu->mov_ss_shadow = false;
    cpu->debug_hits = 0;
    cpu->delivered_at = UINT64_MAX;
    cpu->spin = (struct spin_state){0};
    cpu->nmi_blocked = false;
    cpu->monitor_hpa = UINT64_MAX;
}

/* Root operation, without an EPT or VPID; what VMX itself holds is the layer above's. */
static void reset_virt(struct cpu *cpu)
{
    cpu->nonroot = cpu->virt_attention = cpu->virt_step = cpu->pml_on = false;
    cpu->virt_exits = 0;
    cpu->vpid = 0;
    cpu->eptp = 0;
    cpu->apic_access = UINT64_MAX;
    if (cpu->virt)
        cpu->virt->reset(cpu);
}

/* SDM "Processor State After Reset": IA-32 processor states following power-up, reset, or INIT */
void cpu_reset(struct cpu *cpu, bool init)
{
    u32 id[4];
    memset(cpu->gpr, 0, sizeof(cpu->gpr));
    memset(cpu->dr, 0, sizeof(cpu->dr));
    memset(cpu->pdpte, 0, sizeof(cpu->pdpte));
    reset_segments(cpu);
    reset_events(cpu);
    reset_virt(cpu);
    if (!init)
        reset_fpu(cpu);
    cpu->rip = 0xfff0;
    set_rflags(cpu, FLAG_1);
    cpu->cr0 = (init ? cpu->cr0 & (CR0_CD | CR0_NW) : CR0_CD | CR0_NW) | CR0_ET;
    cpu->cr2 = cpu->cr3 = cpu->cr4 = cpu->cr8 = 0;
    cpu->dr[6] = 0xffff0ff0;
    cpu->dr[7] = 0x400;
    msr_reset(cpu, init);
    cpu->efer = 0;
    if (!init) {
        cpu->apic_base = LAPIC_DEFAULT_BASE | APIC_BASE_EN | (cpu->index ? 0 : APIC_BASE_BSP);
        cpu->pending = 0;
        smm_reset(cpu);
    }
    lapic_reset(cpu->lapic, init);
    cpuid_query(cpu, 1, 0, id);
    cpu->gpr[RDX] = id[0];
    cpu->activity = lapic_is_bsp(cpu->lapic) ? ACTIVITY_RUN : ACTIVITY_WAIT_SIPI;
    tlb_flush_all(&cpu->tlb_store);
    cpu_update_mode(cpu);
}

/* ---- The mode and the translation context ---- */

static u32 unit_mode(const struct cpu *cpu)
{
    u32 mode = 0;
    bool fpu = !(cpu->cr0 & (CR0_EM | CR0_TS));
    if (fpu)
        mode |= MODE_FPU;
    if (fpu && (cpu->cr4 & CR4_OSFXSR))
        mode |= MODE_SSE;
    bool avx = (cpu->cr4 & CR4_OSXSAVE) && (cpu->xcr0 & 6) == 6;
    if (avx && !(cpu->cr0 & CR0_TS) && (cpu->cr0 & CR0_PE) && !(cpu->eflags & FLAG_VM))
        mode |= MODE_AVX;
    return mode;
}

/* The CPL is SS's DPL; loading SS with null keeps it there. */
static u32 compute_mode(const struct cpu *cpu)
{
    u32 mode = unit_mode(cpu) | (cpu->nonroot ? MODE_NONROOT : 0);
    if (cpu->cr0 & CR0_PE) {
        mode |= MODE_PE;
        if (cpu->eflags & FLAG_VM)
            mode |= MODE_VM86 | 3;
        else
            mode |= ATTR_DPL(cpu->seg[SEG_SS].attr);
    }
    if (cpu->efer & EFER_LMA) {
        mode |= MODE_LMA;
        if (cpu->seg[SEG_CS].attr & ATTR_L)
            return mode | MODE_64;
    }
    if (cpu->seg[SEG_CS].attr & ATTR_DB)
        mode |= MODE_CS32;
    if (cpu->seg[SEG_SS].attr & ATTR_DB)
        mode |= MODE_SS32;
    return mode;
}

static enum walk_mode paging_mode(const struct cpu *cpu)
{
    if (!(cpu->cr0 & CR0_PG))
        return WALK_NONE;
    if (!(cpu->cr4 & CR4_PAE))
        return WALK_32BIT;
    if (!(cpu->efer & EFER_LMA))
        return WALK_PAE;
    return cpu->cr4 & CR4_LA57 ? WALK_5LEVEL : WALK_4LEVEL;
}

static bool uses_pkru(const struct cpu *cpu)
{
    return (cpu->cr4 & CR4_PKE) && (cpu->efer & EFER_LMA);
}

/* Whatever changes the outcome of a walk beside the tables. */
static u8 key_bits(const struct cpu *cpu)
{
    unsigned bits = 0;
    bits |= cpu->cr0 & CR0_WP ? 1 : 0;
    bits |= cpu->efer & EFER_NXE ? 2 : 0;
    bits |= cpu->cr4 & CR4_SMEP ? 4 : 0;
    bits |= cpu->cr4 & CR4_SMAP ? 8 : 0;
    bits |= uses_pkru(cpu) ? 16 : 0;
    bits |= cpu->cr4 & CR4_PSE ? 32 : 0;
    bits |= cpu->cr4 & CR4_PGE ? 64 : 0;
    return (u8)bits;
}

static u8 key_view(const struct cpu *cpu)
{
    if (cpu_cpl(cpu) == 3)
        return TLB_VIEW_USER;
    bool ac = (cpu->eflags & FLAG_AC) && (cpu->cr4 & CR4_SMAP);
    return ac ? TLB_VIEW_SUPER_AC : TLB_VIEW_SUPER;
}

/* EFLAGS.AC at work: each access must be checked, so none may take the fast path. */
static bool checks_alignment(const struct cpu *cpu)
{
    return (cpu->eflags & FLAG_AC) && (cpu->cr0 & CR0_AM) && cpu_cpl(cpu) == 3;
}

/*
 * Without PCIDs one space is kept, which MOV to CR3 empties of all but global translations; with
 * them a space for each PCID.
 */
static void select_context(struct cpu *cpu)
{
    struct tlb_key key = {
        .eptp = cpu->eptp, .vpid = cpu->vpid, .view = key_view(cpu), .mode = (u8)paging_mode(cpu)};
    bool bypass = checks_alignment(cpu) || cpu->spin.watch.on;
    if (key.mode != WALK_NONE) {
        key.bits = key_bits(cpu);
        key.pcid = cpu->cr4 & CR4_PCIDE ? cpu->cr3 & 0xfff : 0;
        key.pkru = uses_pkru(cpu) ? cpu->pkru : 0;
    }
    key.bits |= cpu->smm ? 128 : 0;
    key.pad = bypass;
    if (!cpu->ctx || memcmp(&cpu->ctx->key, &key, sizeof(key))) {
        cpu->ctx = tlb_find(&cpu->tlb_store, &key);
        cpu->ctx->bypass = bypass;
        cpu->tlb = cpu->ctx->entry;
    }
}

void cpu_enter_supervisor(struct cpu *cpu)
{
    cpu->mode &= ~(u32)MODE_CPL;
    select_context(cpu);
}

void cpu_update_mode(struct cpu *cpu)
{
    cpu->mode = compute_mode(cpu);
    select_context(cpu);
    struct tlb_ctx *ctx = cpu->ctx;
    const struct segment *cs = &cpu->seg[SEG_CS];
    u64 place = cpu->mode & MODE_64 ? 0 : (u32)cs->base | (u64)cs->limit << 32;
    if (ctx->jump_mode != cpu->mode || ctx->jump_cs != place) {
        tlb_jump_flush(ctx);
        ctx->jump_mode = cpu->mode;
        ctx->jump_cs = place;
    }
    cpu->jump_key = ctx->jump_gen;
}

void cpu_walk_ctx(struct cpu *cpu, bool implicit_super, struct walk_ctx *ctx)
{
    bool user = cpu_cpl(cpu) == 3 && !implicit_super;
    *ctx = (struct walk_ctx){
        .bus = cpu->bus,
        .cr3 = cpu->cr3,
        .mode = paging_mode(cpu),
        .maxphyaddr = (u8)cpu->model->phys_bits,
        .wp = cpu->cr0 & CR0_WP,
        .nxe = cpu->efer & EFER_NXE,
        .smep = cpu->cr4 & CR4_SMEP,
        .smap = cpu->cr4 & CR4_SMAP,
        .pse = cpu->cr4 & CR4_PSE,
        .pge = cpu->cr4 & CR4_PGE,
        .pke = uses_pkru(cpu),
        .user = user,
        .smap_off = (cpu->eflags & FLAG_AC) && !implicit_super && !user,
        .pkru = cpu->pkru,
        .pcid = cpu->cr4 & CR4_PCIDE ? cpu->cr3 & 0xfff : 0,
        .vpid = cpu->vpid,
        .eptp = cpu->eptp,
        .pml = cpu->pml_on ? &cpu->pml : NULL,
    };
    memcpy(ctx->pdpte, cpu->pdpte, sizeof(ctx->pdpte));
}

/* ---- Save and load ---- */

static void snap_segment(struct snap *s, struct segment *seg)
{
    SNAP(s, seg->base);
    SNAP(s, seg->limit);
    SNAP(s, seg->attr);
    SNAP(s, seg->selector);
}

static void snap_segments(struct cpu *cpu, struct snap *s)
{
    for (unsigned k = 0; k < SEG_COUNT; k++)
        snap_segment(s, &cpu->seg[k]);
    SNAP(s, cpu->gdtr.base);
    SNAP(s, cpu->gdtr.limit);
    SNAP(s, cpu->idtr.base);
    SNAP(s, cpu->idtr.limit);
}

static void snap_control(struct cpu *cpu, struct snap *s)
{
    SNAP(s, cpu->cr0);
    SNAP(s, cpu->cr2);
    SNAP(s, cpu->cr3);
    SNAP(s, cpu->cr4);
    SNAP(s, cpu->cr8);
    SNAP(s, cpu->xcr0);
    SNAP(s, cpu->dr);
    SNAP(s, cpu->pdpte);
    SNAP(s, cpu->efer);
    SNAP(s, cpu->star);
    SNAP(s, cpu->lstar);
    SNAP(s, cpu->cstar);
    SNAP(s, cpu->fmask);
    SNAP(s, cpu->kernel_gs_base);
    SNAP(s, cpu->tsc_aux);
    SNAP(s, cpu->sysenter_cs);
    SNAP(s, cpu->sysenter_esp);
    SNAP(s, cpu->sysenter_eip);
    SNAP(s, cpu->apic_base);
    SNAP(s, cpu->pat);
    SNAP(s, cpu->tsc_offset);
    SNAP(s, cpu->tsc_adjust);
}

static void snap_fpu(struct cpu *cpu, struct snap *s)
{
    SNAP(s, cpu->pkru);
    SNAP(s, cpu->mxcsr);
    SNAP(s, cpu->xmm);
    SNAP(s, cpu->opmask);
    for (unsigned k = 0; k < ARRAY_SIZE(cpu->st); k++) {
        SNAP(s, cpu->st[k].mant);
        SNAP(s, cpu->st[k].se);
    }
    SNAP(s, cpu->fcw);
    SNAP(s, cpu->fsw);
    SNAP(s, cpu->ftw_empty);
    SNAP(s, cpu->fop);
    SNAP(s, cpu->fip);
    SNAP(s, cpu->fdp);
    SNAP(s, cpu->fcs);
    SNAP(s, cpu->fds);
}

static void snap_events(struct cpu *cpu, struct snap *s)
{
    SNAP(s, cpu->irq_shadow);
    SNAP(s, cpu->mov_ss_shadow);
    SNAP(s, cpu->activity);
    snap_range(s, "CPU activity", cpu->activity, ACTIVITY_RUN, ACTIVITY_MWAIT);
    SNAP(s, cpu->pending);
    SNAP(s, cpu->debug_hits);
    SNAP(s, cpu->exc.pending);
    SNAP(s, cpu->exc.vector);
    SNAP(s, cpu->exc.has_error);
    SNAP(s, cpu->exc.error);
    SNAP(s, cpu->exc.cr2);
    SNAP(s, cpu->exc.dr6);
    SNAP(s, cpu->exc.trap);
    SNAP(s, cpu->exc.vect_info);
    SNAP(s, cpu->exc.vect_error);
    SNAP(s, cpu->exc.insn_len);
    SNAP(s, cpu->exc.nmi_unblocked);
    SNAP(s, cpu->nmi_blocked);
    SNAP(s, cpu->monitor_hpa);
    SNAP(s, cpu->monitor_line);
    SNAP(s, cpu->mwait_masked);
    SNAP(s, cpu->delivered_at);
    SNAP(s, cpu->insns);
    SNAP(s, cpu->exceptions);
    SNAP(s, cpu->interrupts);
}

static void snap_exit(struct vm_exit *e, struct snap *s)
{
    SNAP(s, e->pending);
    SNAP(s, e->trap);
    SNAP(s, e->reason);
    SNAP(s, e->qualification);
    SNAP(s, e->lin);
    SNAP(s, e->gpa);
    SNAP(s, e->insn_len);
    SNAP(s, e->insn_info);
    SNAP(s, e->intr_info);
    SNAP(s, e->intr_error);
    SNAP(s, e->vect_info);
    SNAP(s, e->vect_error);
    SNAP(s, e->nmi_unblocked);
}

static void snap_virt(struct cpu *cpu, struct snap *s)
{
    SNAP(s, cpu->nonroot);
    SNAP(s, cpu->virt_attention);
    SNAP(s, cpu->virt_step);
    SNAP(s, cpu->virt_exits);
    SNAP(s, cpu->vpid);
    SNAP(s, cpu->eptp);
    SNAP(s, cpu->apic_access);
    SNAP(s, cpu->pml_on);
    SNAP(s, cpu->pml.address);
    SNAP(s, cpu->pml.index);
    snap_exit(&cpu->exit, s);
    if (cpu->virt)
        cpu->virt->snap(cpu, s);
    else if (snap_loading(s) && (cpu->nonroot || cpu->exit.pending))
        snap_fail(s, "a processor without VMX in VMX non-root operation");
    if (snap_loading(s) && cpu->nonroot && cpu->smm)
        snap_fail(s, "a processor in SMM and in VMX non-root operation");
}

void cpu_snap(struct cpu *cpu, struct snap *s)
{
    u64 flags = cpu_eflags(cpu);
    snap_section(s, "cpu", 5);
    snap_expect(s, "CPU number", cpu->index);
    SNAP(s, cpu->gpr);
    SNAP(s, cpu->rip);
    SNAP(s, flags);
    set_rflags(cpu, flags);
    snap_segments(cpu, s);
    snap_control(cpu, s);
    snap_fpu(cpu, s);
    snap_events(cpu, s);
    smm_snap(cpu, s);
    spin_snap(&cpu->spin, s);
    msr_snap(cpu, s);
    lapic_snap(cpu->lapic, s);
    snap_virt(cpu, s);
    /* Both the saver and the loader go on with no cached translation. */
    tlb_flush_all(&cpu->tlb_store);
    cpu_update_mode(cpu);
}
