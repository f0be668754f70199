/* SPDX-License-Identifier: MIT */
/* --stats: what a run did, as JSON. */
#ifndef FRONTEND_STATS_H
#define FRONTEND_STATS_H

#include "base/error.h"
#include "configs/machine.h"

struct stats_host {
    u64 wall_ns, cpu_ns;
    u64 ticks; /* the clock when the run began (a loaded machine's is not 0) */
};

/* Host time now. */
struct stats_host stats_now(void);
/* path "-": standard output. begin: taken when the run began. */
bool stats_write(const char *path, const struct machine *m, const struct stats_host *begin,
                 struct error *err);

#endif
