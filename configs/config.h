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

/*
 * Fills m from the processor description `name`, of those below or a FILE.xml, with the user's
 * changes ("+avx,-pcid", or NULL) applied.
 */
bool config_cpu_model(struct cpu_model *m, const char *name, const char *changes,
                      struct error *err);

/* Name n of the descriptions there are, in buffer; NULL behind the last. 0 is "default". */
const char *config_cpu_name(unsigned n, char *buffer, size_t size);

/* All features that a description lists, those that don't work yet included. Not of "default". */
bool config_cpu_features(const char *name, void (*each)(void *opaque, const char *feature),
                         void *opaque, struct error *err);

#endif
