/* SPDX-License-Identifier: MIT */
/* Log channels on standard error, chosen by --log NAME,NAME. Off: one untaken branch. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/types.h"

struct error;

#define LOG_CHANNELS(X)                                                                            \
    X(CPU, "cpu", "faults, mode changes, triple faults")                                           \
    X(MMU, "mmu", "page walks and flushes")                                                        \
    X(VMX, "vmx", "VM entries, exits and failing checks")                                          \
    X(DEV, "dev", "device register accesses that look wrong")                                      \
    X(INSN, "insn", "each instruction before it executes, with registers (very slow)")             \
    X(MSR, "msr", "accesses to MSRs that do not exist")                                            \
    X(APIC, "apic", "local APIC and interrupt routing")                                            \
    X(UNIMP, "unimp", "behaviour the guest asked for that is not modelled (always on)")

enum log_channel {
#define X(id, name, help) LOG_##id,
    LOG_CHANNELS(X)
#undef X
        LOG_COUNT
};

extern u32 log_mask; /* bit per channel */
extern u64 log_from; /* tick before which channel insn is silent: --log insn@TICK */

static inline bool log_on(enum log_channel c)
{
    return unlikely((log_mask >> c) & 1);
}

/* Prints "channel: message" to standard error when the channel is on. */
void log_msg(enum log_channel c, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Enables the channels in a comma-separated list of names ("all" for all), one of them NAME@TICK. */
bool log_enable(const char *list, struct error *err);

/*
 * Notes guest behaviour that is not modelled: logged the first time for each `what` (a string
 * literal), counted every time. Under --strict the first one ends the run: unimplemented_fatal().
 */
void unimplemented(const char *what);
u64 unimplemented_count(void);
extern bool log_strict;            /* --strict */
extern const char *log_strict_hit; /* the first `what` under --strict; NULL if none */

#endif
