/* SPDX-License-Identifier: MIT */
/*
 * Registers in GDB's numbering, and the target description that says which those are. 64-bit ones are
 * what GDB has for a 64-bit program, 32-bit ones for "set architecture i386" and i8086.
 */
#ifndef FRONTEND_GDB_REGS_H
#define FRONTEND_GDB_REGS_H

#include "cpu/cpu.h"

struct gdb_regs;

#define GDB_REG_MAX 16 /* bytes of the widest register */

enum gdb_arch { GDB_X86_64, GDB_I386, GDB_I8086 };

/* What this model's processors have. */
struct gdb_regs *gdb_regs_new(const struct cpu_model *model, enum gdb_arch arch);
void gdb_regs_free(struct gdb_regs *regs);

/* target.xml */
const char *gdb_regs_description(const struct gdb_regs *regs);

unsigned gdb_regs_count(const struct gdb_regs *regs);
/* Bytes of register n, which is below the count. */
size_t gdb_reg_size(const struct gdb_regs *regs, unsigned n);
void gdb_reg_get(const struct gdb_regs *regs, const struct cpu *cpu, unsigned n, u8 *to);
/* False: the processor can't hold that value. */
bool gdb_reg_set(const struct gdb_regs *regs, struct cpu *cpu, unsigned n, const u8 *from);

#endif
