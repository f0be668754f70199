/* SPDX-License-Identifier: MIT */
/* Files of configs/ that are part of the program, so that it runs from anywhere. */
#ifndef CONFIGS_EMBEDDED_H
#define CONFIGS_EMBEDDED_H

#include "base/types.h"

struct embedded {
    const char *name; /* below configs/: "cpus/haswell.xml" */
    const u8 *data;   /* a zero byte follows */
    size_t size;
};

/* configs/module.am lists them. */
extern const struct embedded embedded_files[];
extern const size_t embedded_count;

/* NULL if there is none of that name. */
const struct embedded *embedded_find(const char *name);

#endif
