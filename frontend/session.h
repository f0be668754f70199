/* SPDX-License-Identifier: MIT */
/* One run of a machine: build, load, run, save, report. */
#ifndef FRONTEND_SESSION_H
#define FRONTEND_SESSION_H

#include "frontend/options.h"

/* Exit statuses beside those that the guest chooses (docs/design.md, "Command line"). */
enum {
    STATUS_OK = 0,
    STATUS_USAGE = 2,
    STATUS_LIMIT = 4,
    STATUS_TRIPLE_FAULT = 6,
    STATUS_PANIC = 8
};

/* Runs as the options say; the program's exit status. STATUS_USAGE with err set: nothing was run. */
int session_run(const struct options *opt, struct error *err);

#endif
