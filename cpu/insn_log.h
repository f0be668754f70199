/* SPDX-License-Identifier: MIT */
/* --log insn: what a CPU is about to execute. */
#ifndef CPU_INSN_LOG_H
#define CPU_INSN_LOG_H

#include "cpu/cpu.h"

/* One line: tick, CPU, CS:RIP, the instruction in Intel syntax, then registers and flags. */
void insn_log(const struct cpu *cpu);

#endif
