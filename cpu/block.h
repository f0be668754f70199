/* SPDX-License-Identifier: MIT */
/*
 * The block cache: decoded code keyed by where it lies in RAM, its RIP and the decode mode; shared by
 * all CPUs of a machine.
 *
 * Invariants. A block lies in one page, but for a single instruction that crosses into the next. A
 * link inside a page points at the first record of a block; when a store hits that block its first
 * record is turned into one that looks the code up afresh, so links need no undoing. Blocks are
 * never freed one by one: when the arena is full everything is dropped, which changes `epoch`.
 */
#ifndef CPU_BLOCK_H
#define CPU_BLOCK_H

#include "cpu/cpu.h"

struct block_cache;

struct block_cache *block_cache_new(struct cpu_group *group);
void block_cache_free(struct block_cache *cache);

/*
 * The block of the code at rip (in CS, decode mode cpu->mode | extra, extra being 0 or MODE_SINGLE),
 * decoded if need be. NULL: the fetch faulted, cpu->exc says how.
 */
struct block *block_find(struct cpu *cpu, u64 rip, u32 extra);

/* Whether jumps to blk may be cached by linear address or link (not when it was specially checked). */
bool block_linkable(const struct block *blk);

/* Changes when all decoded code was dropped: pointers to records from before are dead. */
u64 block_epoch(const struct block_cache *cache);

/* Drops all decoded code. The caller must not return into a block. */
void block_drop_all(struct block_cache *cache);

struct block_stats {
    u64 decoded, insns, dropped, flushes;
};
const struct block_stats *block_statistics(const struct block_cache *cache);

#endif
