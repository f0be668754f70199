/* SPDX-License-Identifier: MIT */
/*
 * Save and load of the whole machine. One function per device or unit visits its state in either
 * direction, so what is saved and what is loaded can't differ:
 *
 *     void pit_snap(void *opaque, struct snap *s)
 *     {
 *         struct pit *pit = opaque;
 *         snap_section(s, "pit", 1);
 *         SNAP(s, pit->latch);
 *         snap_event(s, &pit->event);
 *     }
 *
 * Errors are sticky: after the first one loads yield zeroes and the stream's text says what and
 * where. A loaded value is hostile: check ranges (snap_range) before using one as an index. The
 * caller loads into a machine that it throws away on failure, so nothing is left half-done.
 */
#ifndef BASE_SNAP_H
#define BASE_SNAP_H

#include "base/clock.h"
#include "base/error.h"
#include "base/types.h"

struct snap;

/* Opens a file for saving; snap_close() writes checksum and renames it into place. */
struct snap *snap_open_save(const char *path, struct error *err);
/* Opens and verifies (magic, version, size, checksum) a file for loading. NULL and err on failure.
 */
struct snap *snap_open_load(const char *path, struct error *err);
/* Ends the stream. False, with err set, if any step failed (including data left over in a load). */
bool snap_close(struct snap *s, struct error *err);

bool snap_loading(const struct snap *s);
bool snap_ok(const struct snap *s);
void snap_fail(struct snap *s, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Begins a named, versioned section; loading a different name or version fails the stream. */
void snap_section(struct snap *s, const char *name, u32 version);
void snap_bytes(struct snap *s, void *p, size_t size);
/* Sparse form for guest RAM: runs of zero pages take no room. size is a multiple of 4096. */
void snap_pages(struct snap *s, void *p, size_t size);
/* A value that must come back as it was saved (a size, a model); else "what: saved A, here B". */
void snap_expect(struct snap *s, const char *what, u64 value);
/* Fails the stream when a loaded v is not in [lo, hi]. */
void snap_range(struct snap *s, const char *what, u64 v, u64 lo, u64 hi);
/* An event's schedule: queued or not, and when. */
void snap_event(struct snap *s, struct clock *clock, struct clock_event *ev);

/* Any scalar or array without pointers, by value in host byte order (files carry its mark). */
#define SNAP(s, lvalue) snap_bytes((s), &(lvalue), sizeof(lvalue))

#endif
