/* SPDX-License-Identifier: MIT */
/* The GDB stub's connection: a TCP port where one GDB at a time may come and go. */
#ifndef FRONTEND_GDB_H
#define FRONTEND_GDB_H

#include "frontend/debugger.h"

struct gdb;

/*
 * spec: "[HOST:]PORT[,nowait][,i386|,i8086]". HOST is localhost if there is none; PORT 0 is any free one. The
 * place is told on standard error. Without nowait the machine stands until GDB lets it go. i386, i8086:
 * what GDB is told that the machine is, which it wants to hear before "set architecture" of that name. NULL with err set.
 */
struct gdb *gdb_open(const char *spec, struct debugger *d, struct error *err);
void gdb_close(struct gdb *gdb); /* NULL is allowed */

/* The TCP port. */
unsigned gdb_port(const struct gdb *gdb);

#endif
