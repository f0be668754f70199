/* SPDX-License-Identifier: MIT */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool error_set(struct error *err, const char *fmt, ...)
{
    if (!err || err->text[0])
        return false;
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->text, sizeof(err->text), fmt, args);
    va_end(args);
    return false;
}

bool error_prefix(struct error *err, const char *fmt, ...)
{
    if (!err)
        return false;
    struct error old = *err;
    va_list args;
    va_start(args, fmt);
    int written = vsnprintf(err->text, sizeof(err->text), fmt, args);
    va_end(args);
    size_t used = written < 0 ? 0 : MIN((size_t)written, sizeof(err->text) - 1);
    size_t room = sizeof(err->text) - used;
    if (room > sizeof(": "))
        snprintf(err->text + used, room, ": %.*s", (int)(room - sizeof(": ")), old.text);
    return false;
}

_Noreturn void assert_failed(const char *file, int line, const char *what)
{
    fflush(stdout);
    fprintf(stderr, "testudo: internal error at %s:%d: %s\n", file, line, what);
    exit(70);
}
