/* SPDX-License-Identifier: MIT */
/* --log insn: what a CPU is about to execute. */
#ifndef CPU_INSN_LOG_H
#define CPU_INSN_LOG_H

#include "cpu/cpu.h"

#define INSN_TEXT 96

/* One line: tick, CPU, CS:RIP, the instruction in Intel syntax, then registers and flags. */
void insn_log(const struct cpu *cpu);

/*
 * The instruction at rip, of which `size` bytes are given, as text in the processor's present mode. Its
 * length; 0: it is none ("(bad)").
 */
unsigned insn_disassemble(const struct cpu *cpu, u64 rip, const u8 *bytes, size_t size,
                          char text[INSN_TEXT]);

#endif
