/* SPDX-License-Identifier: MIT */
/* Allocation that cannot fail: exhaustion ends the program with status 70 and a message. */
#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H

#include "base/types.h"

void *xalloc(size_t size);                     /* zeroed; free() it */
void *xalloc_array(size_t count, size_t size); /* zeroed, overflow checked */
void *xrealloc_array(void *p, size_t count, size_t size);
void *xalloc_aligned(size_t align, size_t size); /* zeroed; free() it */
char *xstrdup(const char *s);
char *xasprintf(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Zeroed, page-aligned, lazily backed by the host (for guest RAM). NULL when the host refuses. */
void *host_map(size_t size);
void host_unmap(void *p, size_t size);

#endif
