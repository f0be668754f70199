/* SPDX-License-Identifier: MIT */
/* From bytes to records, by cpu/optable.def. */
#ifndef CPU_DECODE_H
#define CPU_DECODE_H

#include "cpu/cpuid.h"
#include "cpu/insn.h"
#include "cpu/optable.h"

#define INSN_MAX_LEN 15

enum decode_status {
    DECODE_OK,
    DECODE_MORE, /* needs bytes beyond avail */
};

/* Branches whose target is in insn.imm, and those that are known only when executed. */
enum decode_branch {
    BR_NONE,
    BR_JCC,      /* Jcc: condition in the low nibble of the row's opcode */
    BR_LOOP,     /* LOOP, LOOPE, LOOPNE, JCXZ */
    BR_JMP,      /* JMP rel */
    BR_CALL,     /* CALL rel */
    BR_JMP_IND,  /* JMP r/m, far JMP */
    BR_CALL_IND, /* CALL r/m, far CALL */
    BR_RET       /* RET, far RET, IRET */
};

struct decoded {
    struct insn insn;             /* n and off are 0; fn computes flags */
    const struct op_row *row;     /* NULL for op_ud and op_gp0 for too long an instruction */
    insn_fn *fn_dead;             /* variant for flags nobody sees, == insn.fn if there is none */
    u8 flags_read, flags_written; /* enum op_flagset */
    bool memory;                  /* may fault (or exit) other than as told by the flags it reads */
    bool ends;                    /* nothing of this block is executed after it */
    u8 branch;                    /* enum decode_branch */
    u8 exit;        /* non-root operation: the exit reason that it may cause, VMEXIT_NONE: none */
    u8 width, form; /* indices into the family of insn.fn; form is the REP kind for REPS */
};

/*
 * Decodes the instruction at bytes[0, avail), which is at RIP rip, for a CPU whose cpu->mode is
 * mode. What is undefined, privileged or too long gives a record whose handler raises that fault.
 * avail need not be more than INSN_MAX_LEN.
 */
enum decode_status decode_insn(const u8 *bytes, unsigned avail, u32 mode, u64 rip,
                               const struct cpu_model *model, struct decoded *out);

/* ---- cpu/op_fault.c: handlers of records that only fault ---- */
insn_fn op_ud;  /* #UD */
insn_fn op_gp0; /* #GP(0) */
/* The unit of insn.reg (enum fpu_unit) can't be used with this CR0 and CR4: #UD or #NM. */
insn_fn op_fpu_unavailable;
enum fpu_unit { UNIT_NONE, UNIT_X87, UNIT_MMX, UNIT_SSE };

#endif
