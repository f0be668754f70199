/* SPDX-License-Identifier: MIT */
/*
 * The decoded form of code: records of one instruction each, in blocks (docs/design.md, "The core").
 * The records are a clean intermediate form: what they say does not depend on how they are run.
 */
#ifndef CPU_INSN_H
#define CPU_INSN_H

#include "base/types.h"

struct cpu;
struct insn;

/*
 * A handler executes record i and gives control on: with tail dispatch it jumps to the next record's
 * handler, with loop dispatch it returns the next record. NULL: back to the run loop, cpu->rip and
 * the count of instructions being committed (see the GOTO family in cpu/exec.h).
 */
typedef const struct insn *insn_fn(struct cpu *cpu, const struct insn *i);

/*
 * 32 bytes. reg, rm, base and index are byte offsets into struct cpu (below 256) for general
 * registers, so that AH is just another offset, and plain numbers for all other register files.
 *   reg   ModRM.reg operand (SDM letters G, S, C, D, P, V)
 *   rm    ModRM.rm operand when it is a register (E, R, Q, W, U); also registers encoded in the
 *         opcode byte (Z) and implied AL/rAX operands; ZERO_OFFSET for none of these
 *   base, index, disp, EA_SHIFT(i): memory operand; an absent base or index is the zero register.
 *         RIP-relative addresses are absolute (blocks are keyed by RIP). With address size 16/32 the
 *         sum is truncated: forms REG, BD, BI and SEG are never used there, only GEN.
 *   imm   immediate, sign-extended to 64 bits (zero-extended for Ib of shifts, ports, vectors); for
 *         near branches the target RIP; for far pointers selector << 32 | offset; ENTER: level << 16
 *         | size
 *   disp  also: far/near link of a branch (struct insn *), MOFFS address of MOV Ov
 */
struct insn {
    insn_fn *fn;
    u8 reg, rm, base, index;
    u8 scale; /* bits 1:0 shift of the index; bits 7:6 address size: 0, 1, 2 for 16, 32, 64 */
    u8 n;     /* records of the block before this one (instructions, up to the block's end) */
    u8 off;   /* bytes of the block before this one */
    u8 misc;  /* bits 3:0 length of the instruction; bits 6:4 segment; bit 7 LOCK prefix */
    u64 disp;
    u64 imm;
};

#define EA_SHIFT(i) ((i)->scale & 63)
#define EA_SIZE(i) ((i)->scale >> 6)
#define INSN_LEN(i) ((i)->misc & 15)
#define INSN_SEG(i) (((i)->misc >> 4) & 7)

#define BLOCK_MAX_INSNS 48
#define BLOCK_MAX_BYTES 240

/* What a block's decoding depends on beside its bytes; cpu->mode holds the current value. */
enum {
    MODE_CPL = 3,       /* bits 1:0 */
    MODE_64 = 1 << 2,   /* CS.L and EFER.LMA */
    MODE_CS32 = 1 << 3, /* CS.D */
    MODE_SS32 = 1 << 4, /* SS.B: stack pointer is ESP (16-bit and 32-bit modes) */
    MODE_PE = 1 << 5,   /* protected mode (CR0.PE) */
    MODE_VM86 = 1 << 6,
    MODE_LMA = 1 << 7,      /* IA-32e mode, compatibility mode included */
    MODE_FPU = 1 << 8,      /* x87/MMX usable: CR0.EM = 0 and CR0.TS = 0 */
    MODE_SSE = 1 << 9,      /* SSE usable: CR0.EM = 0, CR0.TS = 0, CR4.OSFXSR = 1 */
    MODE_AVX = 1 << 10,     /* AVX usable: CR4.OSXSAVE, XCR0[2:1] = 3, CR0.TS = 0, PE, not VM86 */
    MODE_NONROOT = 1 << 11, /* VMX non-root operation: intercepts decoded in */
    MODE_SINGLE = 1 << 12,  /* one instruction a block: exact events, single step */
};

/*
 * A run of records, in one page, that starts at linear address CS.base + rip. The records of its instructions come
 * first (code[k].n == k), then an end record and one stub per exit.
 */
struct block {
    u64 rip;
    u64 pa;       /* host-physical address of the first byte */
    u64 pa2;      /* page crossing instruction: physical page of the rest, else ~0 */
    u64 granules; /* granules of the page that the decoding depends on */
    struct block *hash_next;
    const u8 *host; /* host address of the first byte; NULL: code outside RAM, never cached */
    u32 mode;
    u16 insns, bytes;
    bool valid;
    u16 records; /* of code[], end record and stubs included */
    struct insn code[];
};
_Static_assert(sizeof(struct insn) == 32, "records are 32 bytes");
_Static_assert(offsetof(struct block, code) == 64, "insn_block() counts on it");

static ALWAYS_INLINE const struct block *insn_block(const struct insn *i)
{
    return (const struct block *)(const void *)((const char *)(i - i->n) -
                                                offsetof(struct block, code));
}

/* RIP of the instruction and of the next one, both untruncated (the caller masks to 16/32 bits). */
static ALWAYS_INLINE u64 insn_rip(const struct insn *i)
{
    return insn_block(i)->rip + i->off;
}
static ALWAYS_INLINE u64 insn_next_rip(const struct insn *i)
{
    return insn_block(i)->rip + i->off + INSN_LEN(i);
}

/* Where a memory operand's address comes from; the index of a handler in its family. */
enum op_form {
    FORM_REG, /* no memory operand */
    FORM_BD,  /* 64-bit: base + disp (absent base: zero register), segment base 0 */
    FORM_BI,  /* 64-bit: base + (index << shift) + disp, segment base 0 */
    FORM_SEG, /* 64-bit: as BI, plus the base of FS or GS */
    FORM_GEN, /* any mode, segment and address size: every check made at run time */
    FORM_COUNT
};
enum op_width { W8, W16, W32, W64, W_COUNT };

/*
 * The handlers of one row of the opcode table. First index 1: the arithmetic flags it would produce
 * are overwritten before anyone can see them. The decoder falls back from [1] to [0] and from BD, BI
 * and SEG to GEN where an entry is NULL; NULL after that is #UD.
 */
struct op_family {
    insn_fn *fn[2][W_COUNT][FORM_COUNT];
};

#endif
