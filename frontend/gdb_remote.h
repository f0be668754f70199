/* SPDX-License-Identifier: MIT */
/*
 * What GDB's packets do: the remote serial protocol (GDB manual, "Packets", "General Query Packets",
 * "Stop Reply Packets") without its transport. Threads are processors: thread 1 is CPU 0.
 */
#ifndef FRONTEND_GDB_REMOTE_H
#define FRONTEND_GDB_REMOTE_H

#include "frontend/debugger.h"
#include "frontend/gdb_regs.h"

struct gdb_remote;

/* Where replies go: the data of one packet each. */
struct gdb_output {
    void (*packet)(void *opaque, const u8 *data, size_t size);
    void (*no_acks)(
        void *opaque); /* from the reply that follows on there are no acknowledgements */
    void *opaque;
};

/* arch: what GDB is told that this machine is. d must outlive it. */
struct gdb_remote *gdb_remote_new(struct debugger *d, const struct gdb_output *out,
                                  enum gdb_arch arch);
/* Its points go. */
void gdb_remote_free(struct gdb_remote *r);

/*
 * One packet; a zero must follow the data. Anything may be in it. False: GDB has detached or killed
 * the machine, and the connection is to be closed.
 */
bool gdb_remote_packet(struct gdb_remote *r, const u8 *data, size_t size);

/* Does GDB wait for the machine to stop? Then there are no packets, but Ctrl-C. */
bool gdb_remote_waits(const struct gdb_remote *r);
void gdb_remote_interrupt(struct gdb_remote *r);

/* The machine stopped, or is at its end. */
void gdb_remote_stopped(struct gdb_remote *r);
void gdb_remote_ended(struct gdb_remote *r, int status);

#endif
