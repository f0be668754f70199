/* SPDX-License-Identifier: MIT */
/*
 * Compare-and-branch as one handler. It stands in the first of two adjacent records, does the work
 * of both and takes the branch's target and link from the second, which stays a plain branch: slow
 * paths run the first instruction alone and go on there.
 */
#ifndef CPU_OP_FUSE_H
#define CPU_OP_FUSE_H

#include "cpu/insn.h"

/*
 * The fused handler for first (a handler with live flags) followed by the 64-bit mode Jcc of
 * condition cc, or NULL. flags_dead: nobody sees the flags, neither at the target nor after the
 * branch. xp: the target lies in another page.
 */
insn_fn *fuse_find(insn_fn *first, unsigned cc, bool flags_dead);
insn_fn *fuse_find_xp(insn_fn *first, unsigned cc, bool flags_dead);

/* The twin of a fused handler for a target in another page; NULL if fn is none. */
insn_fn *fuse_cross_page(insn_fn *fn);

/*
 * The twin of a direct near branch (plain or fused) for a target in another page: i->disp is not
 * used. fn itself if it needs none.
 */
insn_fn *branch_cross_page(insn_fn *fn);

#endif
