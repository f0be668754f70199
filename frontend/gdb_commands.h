/* SPDX-License-Identifier: MIT */
/* GDB's `monitor` commands: those that make no sense but in GDB, then the monitor's own. */
#ifndef FRONTEND_GDB_COMMANDS_H
#define FRONTEND_GDB_COMMANDS_H

#include "frontend/debugger.h"

/* physical: whether GDB's memory accesses and points are to physical addresses; "phys" changes it. */
void gdb_command(struct debugger *d, bool *physical, const char *line, FILE *out);

/*
 * The points of issue: "break vmexit [REASON]", "break vmentry", "break vmwrite [FIELD]", "break exception [N]",
 * "break interrupt [N]", "delete [ID]", "info breakpoints". False: it is none of these. line need not
 * outlive the call.
 */
bool debug_point_command(struct debugger *d, const char *line, FILE *out);

#endif
