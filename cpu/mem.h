/* SPDX-License-Identifier: MIT */
/*
 * The slow, complete way to memory: segmentation, paging, page crossing, devices, decoded code,
 * breakpoints, alignment checks. Functions returning bool give false after recording a fault in
 * cpu->exc, having changed nothing that a guest can see (page-table A/D bits excepted).
 *
 * Accesses to devices need the exact time, hence the record `i` of the executing instruction; NULL
 * when no instruction executes (event delivery).
 */
#ifndef CPU_MEM_H
#define CPU_MEM_H

#include "cpu/cpu.h"

/* Kind of access: how it is checked. Or-ed together. */
enum {
    ACC_READ = 1,
    ACC_WRITE = 2,  /* ACC_READ | ACC_WRITE: read-modify-write, write permission needed first */
    ACC_SYSTEM = 4, /* implicit supervisor access: descriptor tables, TSS, IDT */
    ACC_USER = 8,   /* check as CPL 3 */
    ACC_SS = 16,    /* non-canonical and limit faults are #SS instead of #GP */
    ACC_FETCH = 32, /* code; only told to virt->apic_access() */
};

/* Records the page fault or VM exit that a walk for lin ended in; always false. */
bool cpu_walk_failed(struct cpu *cpu, u64 lin, const struct walk_out *out);

/* ---- By linear address; size 1 to 64 bytes unless said otherwise ---- */
bool lin_read(struct cpu *cpu, const struct insn *i, u64 lin, void *to, unsigned size,
              unsigned acc);
bool lin_write(struct cpu *cpu, const struct insn *i, u64 lin, const void *from, unsigned size,
               unsigned acc);
/* Checks without accessing: a following access of this kind in this instruction can't fault. */
bool lin_probe(struct cpu *cpu, const struct insn *i, u64 lin, unsigned size, unsigned acc);
/* Up to 8 bytes as an integer */
bool lin_read_int(struct cpu *cpu, const struct insn *i, u64 lin, u64 *val, unsigned size,
                  unsigned acc);
bool lin_write_int(struct cpu *cpu, const struct insn *i, u64 lin, u64 val, unsigned size,
                   unsigned acc);

/* Host pointer for a whole run of bytes in one page that may be accessed directly (bulk string moves);
 * NULL when there is none (fault, device, code, breakpoint): then go element by element. */
u8 *lin_host(struct cpu *cpu, u64 lin, unsigned acc);

/* ---- By segment and offset (already truncated to the address size) ---- */
/*
 * Linear address of [offset, offset + size) in seg for this access: presence, type, limit, canonical
 * form. 32-bit wrap applied outside 64-bit mode. Faults: #GP(0), or #SS(0) for SS.
 */
bool seg_linear(struct cpu *cpu, enum seg_id seg, u64 offset, unsigned size, unsigned acc,
                u64 *lin);
bool seg_read(struct cpu *cpu, const struct insn *i, enum seg_id seg, u64 offset, u64 *val,
              unsigned size);
bool seg_write(struct cpu *cpu, const struct insn *i, enum seg_id seg, u64 offset, u64 val,
               unsigned size);

/* ---- The memory operand of a record ---- */
/* The effective address (offset), truncated to the address size: what LEA gives. */
u64 mem_offset(const struct cpu *cpu, const struct insn *i);
/* Its linear address without any check, for INVLPG, which makes no access. */
u64 mem_unchecked_linear(const struct cpu *cpu, const struct insn *i);
/* Its linear address, checked. */
bool mem_linear(struct cpu *cpu, const struct insn *i, unsigned size, unsigned acc, u64 *lin);
bool mem_read8(struct cpu *cpu, const struct insn *i, u8 *val);
bool mem_read16(struct cpu *cpu, const struct insn *i, u16 *val);
bool mem_read32(struct cpu *cpu, const struct insn *i, u32 *val);
bool mem_read64(struct cpu *cpu, const struct insn *i, u64 *val);
bool mem_write8(struct cpu *cpu, const struct insn *i, u8 val);
bool mem_write16(struct cpu *cpu, const struct insn *i, u16 val);
bool mem_write32(struct cpu *cpu, const struct insn *i, u32 val);
bool mem_write64(struct cpu *cpu, const struct insn *i, u64 val);
/* Any size up to 64 bytes; XMM operands that need alignment check it before (#GP(0)). */
bool mem_read(struct cpu *cpu, const struct insn *i, void *to, unsigned size);
bool mem_write(struct cpu *cpu, const struct insn *i, const void *from, unsigned size);

/* Read-modify-write: after begin the write can't fault. */
struct mem_rmw {
    u64 value; /* what begin read, zero-extended */
    u64 lin;
    unsigned size;
};
bool mem_rmw_begin(struct cpu *cpu, const struct insn *i, unsigned size, struct mem_rmw *rmw);
void mem_rmw_end(struct cpu *cpu, const struct insn *i, struct mem_rmw *rmw, u64 value);

/* ---- The stack (SS; stack-address size by mode) ---- */
/*
 * A stack being built or taken down without committing RSP: start with stack_begin, push and pop,
 * then stack_commit. size is 2, 4 or 8 bytes a slot.
 */
struct stack {
    u64 sp;   /* full RSP image */
    u64 mask; /* of the bits that move: 0xffff, 0xffffffff or all */
    u64 base; /* SS base, ignored in 64-bit mode */
    enum seg_id seg;
    unsigned acc;
};
void stack_begin(const struct cpu *cpu, struct stack *st);
bool stack_push(struct cpu *cpu, const struct insn *i, struct stack *st, u64 val, unsigned size);
bool stack_pop(struct cpu *cpu, const struct insn *i, struct stack *st, u64 *val, unsigned size);
void stack_commit(struct cpu *cpu, const struct stack *st);

#endif
