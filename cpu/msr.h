/* SPDX-License-Identifier: MIT */
/* Model-specific registers: cpu/msr.def lists them. */
#ifndef CPU_MSR_H
#define CPU_MSR_H

#include "base/snap.h"
#include "base/types.h"

struct cpu;
struct cpu_model;
struct insn;

#define MTRR_VARIABLE 8 /* no more than SeaBIOS can copy to all processors */
#define MC_BANKS 10

/* Places in cpu->msr: MSR_EFER and so on; a run's members follow its first. */
enum msr_slot {
#define MSR(id, name, first, count, ...) MSR_##id, MSR_LAST_##id = MSR_##id + (count)-1,
#include "cpu/msr.def"
    MSR_SLOTS
};

#define MISC_ENABLE_MONITOR BIT(18)
#define MISC_ENABLE_XD_DISABLE BIT(34)

/*
 * RDMSR and WRMSR without their privilege check. i: the record executed, for the exact time. False:
 * #GP(0) is recorded in cpu->exc and nothing has changed. A write may change the mode
 * (cpu_update_mode() has been called): leave the block after it.
 */
bool msr_read(struct cpu *cpu, const struct insn *i, u32 index, u64 *val);
bool msr_write(struct cpu *cpu, const struct insn *i, u32 index, u64 val);
/* The same without recording a fault, for lists of MSRs, loaders and debuggers. */
bool msr_get(struct cpu *cpu, u32 index, u64 *val);
bool msr_set(struct cpu *cpu, u32 index, u64 val);

/* "IA32_EFER", or NULL for none of ours. */
const char *msr_name(u32 index);

/* Called by cpu_new() and cpu_free(): cpu->msr. */
void msr_new(struct cpu *cpu);
void msr_free(struct cpu *cpu);
/*
 * Called by cpu_reset(): all MSRs of the table, those in struct cpu's own fields too. INIT keeps
 * what the SDM's "Processor State After Reset" says it keeps (all but EFER and the segment bases).
 */
void msr_reset(struct cpu *cpu, bool init);
/* cpu->msr; the fields of struct cpu are their owner's matter. */
void msr_snap(struct cpu *cpu, struct snap *s);

/* Time-stamp counter now, TSC_ADJUST and writes included. */
u64 msr_tsc(const struct cpu *cpu, const struct insn *i);
/* What RDTSC and RDMSR read: in non-root operation with the TSC offset. */
u64 msr_read_tsc(const struct cpu *cpu, const struct insn *i);

/* IA32_XSS: supervisor state components that XSAVES and XRSTORS see. */
u64 msr_xss(const struct cpu *cpu);

/* Is v canonical for this processor's widest linear address (what MSR loads are checked against)? */
bool msr_canonical(const struct cpu_model *model, u64 v);
/* The bits of IA32_EFER that exist now, LMA among them. */
u64 msr_efer_mask(const struct cpu *cpu);
/* May XSETBV load this into XCR0? (SDM "XSETBV") */
bool msr_xcr0_valid(const struct cpu_model *model, u64 v);

/*
 * What firmware leaves: MTRRs on, memory write-back but for the hole below 4 GiB and the video
 * window, feature control locked. For a direct boot, on every CPU.
 */
void msr_firmware(struct cpu *cpu);

#endif
