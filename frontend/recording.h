/* SPDX-License-Identifier: MIT */
/* --record and --replay: which machine a recording is of. */
#ifndef FRONTEND_RECORDING_H
#define FRONTEND_RECORDING_H

#include "base/error.h"
#include "base/prop.h"
#include "frontend/options.h"

/*
 * One line for input_record() and input_replay(): checksums of the configuration (but for what names
 * files and other ends on the host), of the kernel and its like, of the machine loaded. Disk images are
 * not in it: who replays starts from the same ones. free() it; NULL with err set: a file can't be read.
 */
char *recording_identity(const struct prop_node *root, const struct options *opt,
                         struct error *err);

#endif
