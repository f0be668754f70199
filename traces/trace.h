/* SPDX-License-Identifier: MIT */
/*
 * The trace of a run (--trace FILE): a line for each event, "TICK CPU EVENT name=value ...", values in
 * hexadecimal but for ticks and numbers of processors. Off: one untaken branch.
 */
#ifndef TRACES_TRACE_H
#define TRACES_TRACE_H

#include "base/types.h"

struct error;

extern bool trace_enabled;

static inline bool trace_on(void)
{
    return unlikely(trace_enabled);
}

/* False: the file can't be written. "-" is standard error. */
bool trace_open(const char *path, struct error *err);
/* False: what was traced did not all reach the file. */
bool trace_close(struct error *err);

/* tick: of the machine's clock; fields: "name=value ..." */
void trace_put(u64 tick, unsigned cpu, const char *event, const char *fields);

#endif
