/* SPDX-License-Identifier: MIT */
/*
 * Writing the control registers with all that the SDM's "Control Registers", "Paging" and
 * "Initializing IA-32e Mode" ask: MOV CR, LMSW, task switches and, later, VM transitions.
 */
#ifndef CPU_CONTROL_H
#define CPU_CONTROL_H

#include "cpu/cpu.h"

/* The bits of CR4 that this model has. */
u64 cpu_model_cr4_mask(const struct cpu_model *model);
/* Those that may be set: in SMM CR4.VMXE is reserved (SDM "Protection of CR4.VMXE in SMM"). */
static inline u64 cpu_cr4_mask(const struct cpu *cpu)
{
    return cpu_model_cr4_mask(cpu->model) & ~(cpu->smm ? (u64)CR4_VMXE : 0);
}

/*
 * As MOV to the register: false with #GP(0) recorded and nothing changed, else translations are
 * flushed as required and the mode is up to date.
 */
bool cpu_write_cr0(struct cpu *cpu, u64 val);
bool cpu_write_cr3(struct cpu *cpu, u64 val);
bool cpu_write_cr4(struct cpu *cpu, u64 val);
bool cpu_write_cr8(struct cpu *cpu, u64 val);

struct insn;
/* SDM "I/O Privilege Level": may this code use these ports? False: a fault is recorded. size: 1, 2, 4 */
bool cpu_io_allowed(struct cpu *cpu, const struct insn *i, u16 port, unsigned size);

/* Loads the PDPTE registers by this CR3 (SDM "PDPTE Registers"); false: #GP(0) for a reserved
 * bit, or a VM exit of EPT, is recorded, and nothing has changed. */
bool cpu_load_pdptes(struct cpu *cpu, u64 cr3);

/* PAE paging proper: 32-bit linear addresses through PDPTE registers. */
static inline bool cpu_uses_pdptes(u64 cr0, u64 cr4, u64 efer)
{
    return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LMA);
}

#endif
