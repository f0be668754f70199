/* SPDX-License-Identifier: MIT */
#include "cpu/control.h"

#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/lapic.h"
#include "cpu/mem.h"
#include "cpu/segment.h"
#include "mmu/ept.h"

#define CR0_DEFINED                                                                                \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD |     \
     CR0_PG)
#define CR3_NO_FLUSH BIT(63)

bool cpu_load_pdptes(struct cpu *cpu, u64 cr3)
{
    u64 entry[4];
    u64 reserved = ~MASK(cpu->model->phys_bits) | 0x1e6;
    struct ept_access access = {.gpa = cr3 & 0xffffffe0, .rights = EPT_R};
    struct ept_place place;
    struct walk_ctx ctx;
    struct walk_out out = {0};
    cpu_walk_ctx(cpu, true, &ctx);
    out.result = ept_translate(&ctx, &access, &place, &out);
    if (out.result != WALK_OK)
        return cpu_walk_failed(cpu, 0, &out);
    for (unsigned k = 0; k < 4; k++) {
        entry[k] = bus_read(cpu->bus, place.hpa + 8 * k, 8);
        if ((entry[k] & 1) && (entry[k] & reserved))
            return cpu_fault_gp(cpu, 0);
    }
    memcpy(cpu->pdpte, entry, sizeof(entry));
    return true;
}

/* ---- CR0 ---- */

/* Setting CR0.PG with EFER.LME activates IA-32e mode. */
static bool may_activate_long(const struct cpu *cpu)
{
    u32 tr_type = cpu->seg[SEG_TR].attr & ATTR_TYPE;
    return (cpu->cr4 & CR4_PAE) && !(cpu->seg[SEG_CS].attr & ATTR_L) &&
           tr_type != TYPE_TSS16_BUSY && tr_type != TYPE_TSS16;
}

static bool cr0_valid(const struct cpu *cpu, u64 val)
{
    if (val >> 32)
        return false;
    if ((val & CR0_PG) && !(val & CR0_PE))
        return false;
    if ((val & CR0_NW) && !(val & CR0_CD))
        return false;
    if (cpu->virt && !cpu->virt->cr0_valid(cpu, val))
        return false;
    if ((val & CR0_PG) && !(cpu->cr0 & CR0_PG))
        return !(cpu->efer & EFER_LME) || may_activate_long(cpu);
    if (!(val & CR0_PG) && (cpu->cr0 & CR0_PG))
        return !(cpu->mode & MODE_64) && !(cpu->cr4 & CR4_PCIDE);
    return (val & CR0_WP) || !(cpu->cr4 & CR4_CET);
}

bool cpu_write_cr0(struct cpu *cpu, u64 val)
{
    if (!cr0_valid(cpu, val))
        return cpu_fault_gp(cpu, 0);
    val = (val & CR0_DEFINED) | CR0_ET;
    u64 changed = val ^ cpu->cr0, efer = cpu->efer;
    if (changed & CR0_PG)
        efer = (val & CR0_PG) && (efer & EFER_LME) ? efer | EFER_LMA : efer & ~EFER_LMA;
    if ((changed & (CR0_CD | CR0_NW | CR0_PG)) && cpu_uses_pdptes(val, cpu->cr4, efer) &&
        !cpu_load_pdptes(cpu, cpu->cr3))
        return false;
    cpu->cr0 = val;
    cpu->efer = efer;
    if (changed & CR0_PG)
        tlb_flush_space(&cpu->tlb_store, cpu->vpid, -1, false);
    cpu_update_mode(cpu);
    return true;
}

/* ---- CR3 ---- */

bool cpu_write_cr3(struct cpu *cpu, u64 val)
{
    bool keep = (cpu->cr4 & CR4_PCIDE) && (val & CR3_NO_FLUSH);
    if (cpu->cr4 & CR4_PCIDE)
        val &= ~CR3_NO_FLUSH;
    if (cpu_is_long(cpu) && (val >> cpu->model->phys_bits))
        return cpu_fault_gp(cpu, 0);
    if (cpu_uses_pdptes(cpu->cr0, cpu->cr4, cpu->efer) && !cpu_load_pdptes(cpu, val))
        return false;
    cpu->cr3 = val;
    if (!keep) {
        int pcid = cpu->cr4 & CR4_PCIDE ? (int)(val & 0xfff) : 0;
        tlb_flush_space(&cpu->tlb_store, cpu->vpid, pcid, true);
    }
    cpu_update_mode(cpu);
    return true;
}

/* ---- CR4 ---- */

u64 cpu_model_cr4_mask(const struct cpu_model *model)
{
    static const struct {
        u16 feature;
        u64 bits;
    } owned[] = {
        {FEAT_VME, CR4_VME | CR4_PVI}, {FEAT_TSC, CR4_TSD},           {FEAT_DE, CR4_DE},
        {FEAT_PSE, CR4_PSE},           {FEAT_PAE, CR4_PAE},           {FEAT_MCE, CR4_MCE},
        {FEAT_PGE, CR4_PGE},           {FEAT_FXSR, CR4_OSFXSR},       {FEAT_SSE, CR4_OSXMMEXCPT},
        {FEAT_UMIP, CR4_UMIP},         {FEAT_LA57, CR4_LA57},         {FEAT_VMX, CR4_VMXE},
        {FEAT_SMX, CR4_SMXE},          {FEAT_FSGSBASE, CR4_FSGSBASE}, {FEAT_PCID, CR4_PCIDE},
        {FEAT_XSAVE, CR4_OSXSAVE},     {FEAT_SMEP, CR4_SMEP},         {FEAT_SMAP, CR4_SMAP},
        {FEAT_PKU, CR4_PKE},           {FEAT_PKS, CR4_PKS},
    };
    u64 mask = CR4_PCE;
    for (size_t k = 0; k < ARRAY_SIZE(owned); k++)
        if (cpuid_has(model, (enum cpu_feature)owned[k].feature))
            mask |= owned[k].bits;
    return mask;
}

static bool cr4_valid(const struct cpu *cpu, u64 val)
{
    u64 changed = val ^ cpu->cr4;
    if (val & ~cpu_cr4_mask(cpu))
        return false;
    if (cpu->virt && !cpu->virt->cr4_valid(cpu, val))
        return false;
    if (cpu_is_long(cpu) && (!(val & CR4_PAE) || (changed & CR4_LA57)))
        return false;
    if ((changed & val & CR4_PCIDE) && (!cpu_is_long(cpu) || (cpu->cr3 & 0xfff)))
        return false;
    return true;
}

bool cpu_write_cr4(struct cpu *cpu, u64 val)
{
    if (!cr4_valid(cpu, val))
        return cpu_fault_gp(cpu, 0);
    u64 changed = val ^ cpu->cr4;
    if ((changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)) &&
        cpu_uses_pdptes(cpu->cr0, val, cpu->efer) && !cpu_load_pdptes(cpu, cpu->cr3))
        return false;
    cpu->cr4 = val;
    /* SDM "Operations that Invalidate TLBs and Paging-Structure Caches" */
    if (changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_PCIDE | CR4_LA57 | CR4_SMEP))
        tlb_flush_space(&cpu->tlb_store, cpu->vpid, -1, false);
    cpu_update_mode(cpu);
    return true;
}

/* ---- CR8 ---- */

bool cpu_write_cr8(struct cpu *cpu, u64 val)
{
    if (val > 15)
        return cpu_fault_gp(cpu, 0);
    cpu->cr8 = val;
    lapic_set_cr8(cpu->lapic, val);
    return true;
}
