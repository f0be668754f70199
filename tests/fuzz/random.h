/* SPDX-License-Identifier: MIT */
/* Random numbers that a seed repeats. */
#ifndef TESTS_FUZZ_RANDOM_H
#define TESTS_FUZZ_RANDOM_H

#include "base/types.h"

struct rng {
    u64 state;
};

/* splitmix64 */
static inline u64 rng_next(struct rng *r)
{
    u64 z = r->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Numbers for one purpose: what another purpose takes doesn't shift them. */
static inline struct rng rng_make(u64 seed, u64 purpose)
{
    struct rng r = {seed};
    r.state = rng_next(&r) ^ purpose * UINT64_C(0xd6e8feb86659fd93);
    return r;
}

/* 0 to n - 1 */
static inline u32 rng_below(struct rng *r, u32 n)
{
    return (u32)(rng_next(r) >> 32) % n;
}

static inline bool rng_chance(struct rng *r, u32 percent)
{
    return rng_below(r, 100) < percent;
}

/* Numbers as they make trouble: small, near powers of two, few bits, all bits. */
static inline u64 rng_value(struct rng *r)
{
    u64 v = rng_next(r);
    switch (rng_below(r, 6)) {
    case 0:
        return v & 0xff;
    case 1:
        return BIT(v & 63) - (v >> 62);
    case 2:
        return sign_extend(v, 1 + (unsigned)(v >> 58));
    case 3:
        return BIT(v & 63) | BIT(v >> 6 & 63);
    case 4:
        return v & UINT32_MAX;
    default:
        return v;
    }
}

#endif
