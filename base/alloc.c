/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static _Noreturn void exhausted(size_t count, size_t size)
{
    fprintf(stderr, "testudo: out of memory allocating %zu times %zu bytes\n", count, size);
    exit(70);
}

static void *checked(void *p, size_t count, size_t size)
{
    if (!p && count && size)
        exhausted(count, size);
    return p;
}

void *xalloc(size_t size)
{
    return xalloc_array(1, size);
}

void *xalloc_array(size_t count, size_t size)
{
    return checked(calloc(count, size), count, size);
}

void *xrealloc_array(void *p, size_t count, size_t size)
{
    return checked(reallocarray(p, count, size), count, size);
}

void *xalloc_aligned(size_t align, size_t size)
{
    /* aligned_alloc() wants a multiple of the alignment. */
    size_t whole = (size + align - 1) / align * align;
    if (whole < size)
        exhausted(1, size);
    void *p = checked(aligned_alloc(align, whole), 1, whole);
    return p ? memset(p, 0, whole) : p;
}

char *xstrdup(const char *s)
{
    return checked(strdup(s), 1, strlen(s) + 1);
}

char *xasprintf(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *s = NULL;
    if (vasprintf(&s, fmt, args) < 0)
        exhausted(1, strlen(fmt));
    va_end(args);
    return s;
}

void *host_map(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (p == MAP_FAILED)
        return NULL;
#ifdef MADV_HUGEPAGE
    /* Guests touch their RAM all over: with large pages the host's own TLB reaches further. */
    if (size >= 2 * MIB)
        madvise(p, size, MADV_HUGEPAGE);
#endif
    return p;
}

void host_unmap(void *p, size_t size)
{
    if (p)
        munmap(p, size);
}
