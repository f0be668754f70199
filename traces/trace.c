/* SPDX-License-Identifier: MIT */
#include "traces/trace.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

bool trace_enabled;
static FILE *file;
static const char *name;

bool trace_open(const char *path, struct error *err)
{
    file = strcmp(path, "-") ? fopen(path, "w") : stderr;
    if (!file)
        return error_set(err, "--trace %s: %s", path, strerror(errno));
    name = path;
    trace_enabled = true;
    return true;
}

bool trace_close(struct error *err)
{
    if (!file)
        return true;
    bool ok = !ferror(file);
    ok = (file == stderr ? !fflush(file) : !fclose(file)) && ok;
    file = NULL;
    trace_enabled = false;
    return ok || error_set(err, "--trace %s: %s", name, strerror(errno));
}

void trace_put(u64 tick, unsigned cpu, const char *event, const char *fields)
{
    fprintf(file, "%llu %u %s %s\n", (unsigned long long)tick, cpu, event, fields);
}
