/* SPDX-License-Identifier: MIT */
/*
 * Segment descriptors: reading them from the GDT and LDT, the checks of the SDM's "Protection" and
 * "Interrupt and Exception Handling" chapters, and loading of segment registers. Nothing here calls
 * cpu_update_mode(): whoever loads CS or SS does.
 */
#ifndef CPU_SEGMENT_H
#define CPU_SEGMENT_H

#include "cpu/cpu.h"
#include "cpu/mem.h"

#define SEL_RPL(sel) ((sel)&3u)
#define SEL_NULL(sel) (!((sel)&0xfffcu))
/* The selector as an error code names it: without its RPL. */
#define SEL_ERROR(sel) ((sel)&0xfffcu)

/* System descriptor types (SDM "System-Segment and Gate-Descriptor Types") */
enum {
    TYPE_TSS16 = 1,
    TYPE_LDT = 2,
    TYPE_TSS16_BUSY = 3,
    TYPE_CALL16 = 4,
    TYPE_TASK_GATE = 5,
    TYPE_INTR16 = 6,
    TYPE_TRAP16 = 7,
    TYPE_TSS32 = 9, /* and the 64-bit TSS in IA-32e mode */
    TYPE_TSS32_BUSY = 11,
    TYPE_CALL32 = 12,
    TYPE_INTR32 = 14,
    TYPE_TRAP32 = 15,
};

/* lo: the eight bytes all descriptors have; hi: the rest of an IA-32e system descriptor or gate. */
struct desc {
    u64 lo, hi;
};

static inline u32 desc_attr(u64 lo)
{
    return (u32)(lo >> 40) & 0xf0ff;
}
static inline unsigned desc_type(u64 lo)
{
    return (unsigned)(lo >> 40) & ATTR_TYPE;
}
static inline unsigned desc_dpl(u64 lo)
{
    return (unsigned)(lo >> 45) & 3;
}
static inline bool desc_present(u64 lo)
{
    return (lo >> 47) & 1;
}
static inline bool desc_is_system(u64 lo)
{
    return !((lo >> 44) & 1);
}
static inline bool desc_is_code(u64 lo)
{
    return ((lo >> 43) & 3) == 3;
}
static inline bool desc_is_conforming(u64 lo)
{
    return ((lo >> 42) & 7) == 7;
}
static inline bool desc_is_writable(u64 lo)
{
    return ((lo >> 43) & 3) == 2 && ((lo >> 41) & 1);
}
/* Gates: selector and offset of the target. The offset's upper half lies in hi. */
static inline u16 gate_selector(u64 lo)
{
    return (u16)(lo >> 16);
}
static inline u64 gate_offset(const struct desc *gate, bool wide)
{
    u64 low = (gate->lo & 0xffff) | (wide ? (gate->lo >> 32) & 0xffff0000 : 0);
    return low | (gate->hi & UINT32_MAX) << 32;
}

bool cpu_is_canonical(const struct cpu *cpu, u64 lin);
/* Protected mode proper: CR0.PE and not virtual-8086. */
static inline bool cpu_is_protected(const struct cpu *cpu)
{
    return (cpu->mode & (MODE_PE | MODE_VM86)) == MODE_PE;
}
static inline bool cpu_is_long(const struct cpu *cpu)
{
    return cpu->mode & MODE_LMA;
}

/* ---- Reading descriptors ---- */
enum desc_result {
    DESC_OK,
    DESC_OUTSIDE, /* beyond the table's limit, or no LDT */
    DESC_FAULT    /* reading it faulted: recorded in cpu->exc */
};
enum desc_result desc_read(struct cpu *cpu, u16 sel, struct desc *d);
/* 16 bytes in IA-32e mode, where the type field of the upper half must be zero: else DESC_OUTSIDE. */
enum desc_result desc_read_system(struct cpu *cpu, u16 sel, struct desc *d);
/* The same; a selector outside its table is fault `vector` with the selector (or-ed with ext). */
bool desc_fetch(struct cpu *cpu, u16 sel, enum vector vector, u32 ext, struct desc *d);

/* Sets the accessed bit of a code or data descriptor in memory and in d. */
bool desc_set_accessed(struct cpu *cpu, u16 sel, struct desc *d);
/* Sets or clears the busy bit of a TSS descriptor in memory. */
bool desc_set_busy(struct cpu *cpu, u16 sel, bool busy);

/* ---- Segment registers ---- */
/* The register's contents by a descriptor; hi counts for system segments in IA-32e mode. */
void segment_set(struct segment *s, u16 sel, const struct desc *d);
/* The unusable segment that a null selector gives; dpl keeps the CPL in a null SS. */
void segment_set_null(struct segment *s, u16 sel, unsigned dpl);
/* Real-address mode (limit and attributes stay) and virtual-8086 mode (fixed ones). */
void segment_set_real(struct cpu *cpu, enum seg_id id, u16 sel);
void segment_set_vm86(struct cpu *cpu, enum seg_id id, u16 sel);

/* Is [offset, offset + size) inside the segment's limit? (Attributes other than direction ignored.) */
bool segment_in_limit(const struct segment *s, u64 offset, u64 size);

/* MOV, POP and LxS to ES, SS, DS, FS or GS, in any mode, with all checks. */
bool segment_load(struct cpu *cpu, enum seg_id id, u16 sel);
bool segment_load_ldtr(struct cpu *cpu, u16 sel);
bool segment_load_tr(struct cpu *cpu, u16 sel);

/*
 * The stack of a privilege level for a code segment with DPL = RPL(sel): the checks that IRET, RET
 * and (with vector #TS) gates make; fills ss. The caller treats null selectors.
 */
bool segment_check_ss(struct cpu *cpu, u16 sel, unsigned dpl, enum vector vector, u32 ext,
                      struct segment *ss);

/* A target in CS at offset rip: canonical or within the limit, else #GP(ext). */
bool segment_check_rip(struct cpu *cpu, const struct segment *cs, u64 rip, u32 ext);

/* Return to an outer level: data segments that the new CPL may not use become null. */
void segment_drop_inner(struct cpu *cpu, unsigned cpl);

/* ---- A stack other than the current one, for gates and events ---- */
struct new_stack {
    struct segment ss;
    u64 sp, mask;
    unsigned acc;
    bool wide; /* 64-bit mode: no limits */
};
/* The current stack as such, by SS; for 64-bit handlers set wide and mask. */
void new_stack_current(const struct cpu *cpu, struct new_stack *st);
/* Room for `slots` pushes of `size` bytes, else #SS(error). */
bool new_stack_room(struct cpu *cpu, const struct new_stack *st, unsigned slots, unsigned size,
                    u32 error);
bool new_stack_push(struct cpu *cpu, const struct insn *i, struct new_stack *st, u64 val,
                    unsigned size);
/* SS:SP for privilege level dpl from the current TSS; faults carry ext. In IA-32e mode ist 1 to 7
 * selects an interrupt stack; SS becomes null there. */
bool new_stack_from_tss(struct cpu *cpu, unsigned dpl, unsigned ist, u32 ext, struct new_stack *st);

/* All of RFLAGS without the side effects of cpu_set_eflags(): cpu_update_mode() must follow. */
static inline void set_rflags(struct cpu *cpu, u64 flags)
{
    cpu->eflags = (flags & ~FLAGS_STATUS & 0x3fffff & ~(BIT(3) | BIT(5) | BIT(15))) | FLAG_1;
    cpu->cc_op = CC_EFLAGS;
    cpu->cc_src = flags & FLAGS_STATUS;
}

/*
 * cpu/cpu.c. The translations of CPL 0, ahead of time, for the accesses that the delivery of an event
 * makes on its way there; cpu_update_mode() puts things right in the end.
 */
void cpu_enter_supervisor(struct cpu *cpu);

/* ---- Task switches: cpu/task.c ---- */
enum task_cause { TASK_CALL, TASK_JMP, TASK_IRET, TASK_EVENT };
struct task_event {
    enum task_cause cause;
    bool has_error; /* TASK_EVENT: error code to push on the new task's stack */
    u32 error;
    u32 ext; /* or-ed to the error codes of faults */
};
/*
 * Switches to the task whose TSS selector is sel, saving the current one with cpu->rip as its EIP.
 * Afterwards cpu->rip is the new task's. False: a fault is recorded; it is the new task's where
 * TR has changed (cpu->rip is then its EIP).
 */
bool task_switch(struct cpu *cpu, u16 sel, const struct task_event *event);

#endif
