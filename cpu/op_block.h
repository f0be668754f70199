/* SPDX-License-Identifier: MIT */
/* Handlers of the records that are not instructions: ends of blocks, link stubs. */
#ifndef CPU_OP_BLOCK_H
#define CPU_OP_BLOCK_H

#include "cpu/exec.h"

/* End of a block whose successor lies in the same page: imm is its RIP, disp the link. */
HANDLER(op_block_end);
/* The same when it lies in another page. */
HANDLER(op_block_end_xp);
/* What a branch's link first points at: finds the target (imm) and patches the branch (disp). */
HANDLER(op_link_stub);
/* Non-root operation: an instruction that may cause a VM exit. */
HANDLER(op_intercept);
/* An instruction that a debugger has marked. */
HANDLER(op_probe);
/*
 * The auxiliary record, one of the last of its block, with the handler that one of these has taken the place
 * of: record i's.
 */
enum block_behind { BEHIND_INTERCEPT, BEHIND_PROBE };
const struct insn *block_behind(const struct insn *i, enum block_behind what);
/* First record of a dropped block. */
HANDLER(op_relookup);

#endif
