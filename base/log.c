/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* So many different gaps are told apart; further ones are counted without a line. */
#define UNIMP_MAX 256

u32 log_mask = BIT32(LOG_UNIMP);
u64 log_from;
bool log_strict;
const char *log_strict_hit;

static const char *const channel_names[LOG_COUNT] = {
#define X(id, name, help) [LOG_##id] = (name),
    LOG_CHANNELS(X)
#undef X
};

static const char *unimp_seen[UNIMP_MAX];
static unsigned unimp_distinct;
static u64 unimp_total;

void log_msg(enum log_channel c, const char *fmt, ...)
{
    if (!log_on(c))
        return;
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "%s: ", channel_names[c]);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
}

static bool channel_mask(const char *name, size_t length, u32 *mask)
{
    if (length == 3 && !memcmp(name, "all", 3)) {
        *mask = BIT32(LOG_COUNT) - 1;
        return true;
    }
    for (unsigned c = 0; c < LOG_COUNT; c++)
        if (strlen(channel_names[c]) == length && !memcmp(name, channel_names[c], length)) {
            *mask = BIT32(c);
            return true;
        }
    return false;
}

static bool channel_unknown(const char *name, size_t length, struct error *err)
{
    char known[256] = "all";
    for (unsigned c = 0; c < LOG_COUNT; c++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof(known) - used, ", %s", channel_names[c]);
    }
    return error_set(err, "no log channel \"%.*s\"; there are %s", (int)length, name, known);
}

/* "@TICK" at *s, which is moved behind it. */
static bool take_tick(const char **s, struct error *err)
{
    char *end;
    unsigned long long tick = strtoull(*s + 1, &end, 0);
    if (end == *s + 1 || (*end && *end != ','))
        return error_set(err, "log channel: expected a tick after @ in \"%s\"", *s);
    log_from = tick;
    *s = end;
    return true;
}

bool log_enable(const char *list, struct error *err)
{
    u32 chosen = 0;
    for (const char *s = list;; s++) {
        size_t length = strcspn(s, ",@");
        u32 mask;
        if (!channel_mask(s, length, &mask))
            return channel_unknown(s, length, err);
        chosen |= mask;
        s += length;
        if (*s == '@' && !take_tick(&s, err))
            return false;
        if (!*s)
            break;
    }
    log_mask |= chosen;
    return true;
}

/* Whether `what` is reported now for the first time. */
static bool unimp_first(const char *what)
{
    for (unsigned k = 0; k < unimp_distinct; k++)
        if (unimp_seen[k] == what || !strcmp(unimp_seen[k], what))
            return false;
    if (unimp_distinct == UNIMP_MAX)
        return false;
    unimp_seen[unimp_distinct++] = what;
    return true;
}

void unimplemented(const char *what)
{
    unimp_total++;
    if (unimp_first(what))
        log_msg(LOG_UNIMP, "%s", what);
    if (log_strict && !log_strict_hit)
        log_strict_hit = what;
}

u64 unimplemented_count(void)
{
    return unimp_total;
}
