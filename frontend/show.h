/* SPDX-License-Identifier: MIT */
/* Commands that run nothing: testudo cpu, testudo config. */
#ifndef FRONTEND_SHOW_H
#define FRONTEND_SHOW_H

#include "base/error.h"

/* What stands behind the command's name on the command line; false and err if that is wrong. */
bool show_cpu(int argc, char **argv, struct error *err);
bool show_config(int argc, char **argv, struct error *err);

#endif
