/* SPDX-License-Identifier: MIT */
/*
 * All that reaches a machine from outside: keys, bytes of terminals, packets, dates, entropy. It passes
 * one hub, which delivers it at an exact tick, can keep it in a recording (--record) and repeat it from
 * there (--replay): a machine that gets the same input at the same ticks makes the same run.
 *
 * Live input is put in between two instructions, at some tick T; it is delivered at T + 1, before any
 * other event of that tick, in the recording run and the replaying one alike. While replaying, live
 * input is lost.
 *
 * A recording is a header and blocks with checksums, written as they come, so one that breaks off can
 * be replayed up to its last whole block.
 */
#ifndef BASE_INPUT_H
#define BASE_INPUT_H

#include "base/clock.h"
#include "base/error.h"
#include "base/types.h"

struct input_hub;

#define INPUT_SOURCES_MAX 64
#define INPUT_SIZE_MAX (128 * KIB) /* of what is put at a time */

struct input_hub *input_new(struct clock *clock);
/* NULL is allowed. A recording is closed without a word; input_close() says more. */
void input_free(struct input_hub *hub);

/*
 * A source of input, made while the machine is built, always in the same order. deliver is called with
 * clock->now exact; bytes are valid during the call. NULL: a source of values only. hub NULL: 0.
 */
unsigned input_source(struct input_hub *hub, const char *name,
                      void (*deliver)(void *opaque, const u8 *bytes, size_t size), void *opaque);

/* Live input; clock->now is exact. */
void input_put(struct input_hub *hub, unsigned source, const u8 *bytes, size_t size);

/* What the guest sees of the host at this tick: `live`, or when replaying what it saw then. */
u64 input_value(struct input_hub *hub, unsigned source, u64 live);

/*
 * `identity` (one line) says what the machine is and where it starts: a replaying one must have the
 * same. Before the machine runs, all sources being there.
 */
bool input_record(struct input_hub *hub, const char *path, const char *identity, struct error *err);
bool input_replay(struct input_hub *hub, const char *path, const char *identity, struct error *err);

bool input_replaying(const struct input_hub *hub);

/*
 * Replaying: the tick at which the recorded run was ended from outside, or its recording broke off;
 * CLOCK_NEVER if it ended by itself. Nothing is known of what comes after it.
 */
u64 input_end(const struct input_hub *hub);

/* Has the guest asked for a value that the recorded run did not ask for then? */
bool input_diverged(const struct input_hub *hub);

/*
 * The run is over: by_itself, or because of something outside. Recording: false with err set if not all
 * was written.
 */
bool input_close(struct input_hub *hub, bool by_itself, struct error *err);

#endif
