/* SPDX-License-Identifier: MIT */
/* The debugger's table of points, and what they match. For frontend/debugger.c alone. */
#ifndef FRONTEND_DEBUGGER_POINTS_H
#define FRONTEND_DEBUGGER_POINTS_H

#include "cpu/probe.h"
#include "frontend/debugger.h"

#define DEBUG_POINTS_MAX 1024

/* A code address that decoded blocks are marked for, or a watched range. */
struct debug_place {
    enum debug_point_kind kind;
    bool physical;
    u64 address, size;
};

struct debug_points {
    const struct ram *ram;
    struct debug_point point[DEBUG_POINTS_MAX]; /* in order of id */
    unsigned count, last_id;
    /* What the core was told last */
    struct debug_place code[DEBUG_POINTS_MAX], watched[DEBUG_POINTS_MAX];
    unsigned codes, watches;
};

unsigned debug_points_add(struct debug_points *t, const struct debug_point *p, struct error *err);
void debug_points_remove(struct debug_points *t, struct debug_point *p);
struct debug_point *debug_points_find(struct debug_points *t, unsigned id);
/* A stop at p: it goes if it is for once. */
void debug_points_done(struct debug_points *t, struct debug_point *p);

/* Is any point enabled? */
bool debug_points_any(const struct debug_points *t);
/* The first enabled point that the event is about; NULL: none. */
struct debug_point *debug_points_match(struct debug_points *t, const struct probe_event *e);

/* Takes note of what the core is to be told of. True: that has changed since the last time. */
bool debug_points_apply_code(struct debug_points *t);
bool debug_points_apply_watch(struct debug_points *t);
/* What it was told: is this code marked, which accesses to this page are watched, and is any? */
bool debug_points_mark(const struct debug_points *t, u64 lin, u64 lin_mask, u64 hpa);
unsigned debug_points_watch(const struct debug_points *t, u64 lin, const u8 *host);
bool debug_points_watching(const struct debug_points *t);

/* What happened, for people: of a stop at a point. */
void debug_points_reason(const struct debug_stop *s, char *to, size_t size);

#endif
