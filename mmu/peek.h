/* SPDX-License-Identifier: MIT */
/*
 * Translation as a debugger wants it: by the tables as they are now, without setting flags, checking
 * rights or counting references. Reserved bits are not judged either.
 */
#ifndef MMU_PEEK_H
#define MMU_PEEK_H

#include "mmu/walk.h"

/* The host-physical address of lin in this context; false: something on the way is not present. */
bool peek_linear(const struct walk_ctx *ctx, u64 lin, u64 *hpa);

/* The same of a guest-physical address: the other dimension alone. Without EPT it is the address. */
bool peek_gpa(const struct walk_ctx *ctx, u64 gpa, u64 *hpa);

#endif
