/* SPDX-License-Identifier: MIT */
/* Reading configurations: machines and processor models in XML. */
#ifndef CONFIGS_CONFIG_H
#define CONFIGS_CONFIG_H

#include "base/error.h"
#include "base/prop.h"
#include "cpu/cpuid.h"

/*
 * The <machine> element of an XML file, checked against the schema; path NULL: an empty one, which is
 * the built-in PC. NULL and err on failure. prop_free() it.
 */
struct prop_node *config_load(const char *path, struct error *err);

/* Fills m from the processor description `name` with the user's changes ("+avx,-pcid") applied. */
bool config_cpu_model(struct cpu_model *m, const char *name, const char *changes,
                      struct error *err);

#endif
