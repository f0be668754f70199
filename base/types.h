/* SPDX-License-Identifier: MIT */
/* Integer names and compiler helpers that every layer uses. */
#ifndef BASE_TYPES_H
#define BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
__extension__ typedef unsigned __int128 u128;
__extension__ typedef __int128 s128;

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define NOINLINE __attribute__((noinline))
#define COLD __attribute__((noinline, cold))
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define UNUSED __attribute__((unused))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Bit helpers: BIT(n) is 64 bits wide; BITS(v, hi, lo) extracts an inclusive field. */
#define BIT(n) (UINT64_C(1) << (n))
#define BIT32(n) (UINT32_C(1) << (n))
#define MASK(n) ((n) >= 64 ? ~UINT64_C(0) : BIT(n) - 1)
#define BITS(v, hi, lo) (((v) >> (lo)) & MASK((hi) - (lo) + 1))

#define PAGE_SHIFT 12
#define PAGE_SIZE UINT64_C(4096)
#define PAGE_MASK (~(PAGE_SIZE - 1))

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

/* Sign-extends the low `bits` bits of v. */
static ALWAYS_INLINE u64 sign_extend(u64 v, unsigned bits)
{
    return (u64)((s64)(v << (64 - bits)) >> (64 - bits));
}

#endif
