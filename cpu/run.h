/* SPDX-License-Identifier: MIT */
/* The run loop's declarations stand in cpu/cpu.h; this header exists so that run.c has its own. */
#ifndef CPU_RUN_H
#define CPU_RUN_H

#include "cpu/cpu.h"

#endif
