/* SPDX-License-Identifier: MIT */
/*
 * One CPU in a megabyte with descriptor tables, page tables and stacks, ready to run code of the
 * test's in real-address, 32-bit protected or 64-bit mode. Everything is mapped one to one.
 */
#ifndef TESTS_CPU_WORLD_H
#define TESTS_CPU_WORLD_H

#include <string.h>

#include "cpu/block.h"
#include "cpu/control.h"
#include "cpu/segment.h"
#include "tests/cpu/machine.h"

enum {
    GDT = 0x1000,
    IDT = 0x2000,
    TSS = 0x3000,
    TSS2 = 0x3400,
    LDT = 0x3800,
    PML4 = 0x8000, /* and PDPT, PD, PT behind it; in 32-bit mode no paging */
    CODE = 0x10000,
    HANDLER = 0x20000, /* of vector n: HANDLER + 16 * n */
    STACK3 = 0x40000,
    STACK0 = 0x50000, /* of the TSS */
    STACK = 0x60000,
    IST1 = 0x70000,
};

/* Selectors. A TSS, LDT or gate has room for 16 bytes. */
enum {
    CS32 = 0x08,
    DS0 = 0x10,
    CS64 = 0x18,
    UCS32 = 0x23,
    UDS = 0x2b,
    UCS64 = 0x33,
    CONFORMING = 0x38,
    SEL_TSS = 0x40,
    SEL_TSS2 = 0x50,
    SEL_GATE = 0x60,
    SEL_LDT = 0x70,
    CS16 = 0x80,
    DS16 = 0x88,
    ABSENT = 0x90,
    EXEC_ONLY = 0x98,
    READ_ONLY = 0xa0,
    DOWN = 0xa8,
    ABSENT_CODE = 0xb0,
};

enum world_mode { WORLD_REAL, WORLD_32, WORLD_64 };

struct world {
    struct machine m;
    struct cpu *cpu;
    enum world_mode mode;
};

static inline void put(struct world *w, u64 at, u64 val, unsigned size)
{
    ck_assert(ram_write(&w->m.bus.ram, at, &val, size));
}

static inline u64 get(const struct world *w, u64 at, unsigned size)
{
    u64 val = 0;
    ck_assert(ram_read(&w->m.bus.ram, at, &val, size));
    return val;
}

/* Code at CODE, from a string literal; RIP goes there. */
#define code(w, bytes)                                                                             \
    do {                                                                                           \
        ck_assert(ram_write(&(w)->m.bus.ram, CODE, bytes, sizeof(bytes) - 1));                     \
        block_drop_all((w)->cpu->blocks);                                                          \
        (w)->cpu->rip = (w)->mode == WORLD_REAL ? 0 : CODE;                                        \
    } while (0)

/* Runs n instructions; a fault that is delivered takes none. */
static inline void run(struct world *w, u64 n)
{
    w->m.group.stop = STOP_NONE;
    w->m.group.insn_limit = w->m.clock.now + n;
    cpu_group_run(&w->m.group);
}

static inline u64 system_desc(unsigned type, unsigned dpl, u64 base, u64 limit)
{
    return (limit & 0xffff) | (base & 0xffffff) << 16 | (u64)(0x80 | dpl << 5 | type) << 40 |
           (limit >> 16 & 15) << 48 | (base >> 24 & 0xff) << 56;
}

static inline u64 gate_desc(unsigned type, unsigned dpl, u16 sel, u64 offset)
{
    return (offset & 0xffff) | (u64)sel << 16 | (u64)(0x80 | dpl << 5 | type) << 40 |
           (offset & 0xffff0000) << 32;
}

static inline void set_gate(struct world *w, u8 vector, u64 gate)
{
    put(w, IDT + vector * (w->mode == WORLD_64 ? 16u : 8u), gate, 8);
}

static inline void world_tables(struct world *w)
{
    static const struct {
        u16 sel;
        u64 desc;
    } gdt[] = {
        {CS32, 0x00cf9b000000ffff},       {DS0, 0x00cf93000000ffff},
        {CS64, 0x00af9b000000ffff},       {UCS32 & ~7, 0x00cffb000000ffff},
        {UDS & ~7, 0x00cff3000000ffff},   {UCS64 & ~7, 0x00affb000000ffff},
        {CONFORMING, 0x00cf9f000000ffff}, {CS16, 0x00009b000000ffff},
        {DS16, 0x000093000000ffff},       {ABSENT, 0x00cf13000000ffff},
        {EXEC_ONLY, 0x00cf99000000ffff},  {READ_ONLY, 0x00cf91000000ffff},
        {DOWN, 0x00cf97000000ffff},       {ABSENT_CODE, 0x00cf1b000000ffff},
    };
    for (size_t k = 0; k < ARRAY_SIZE(gdt); k++)
        put(w, GDT + gdt[k].sel, gdt[k].desc, 8);
    bool wide = w->mode == WORLD_64;
    put(w, GDT + SEL_TSS, system_desc(TYPE_TSS32, 0, TSS, 0x2ff), 8);
    put(w, GDT + SEL_TSS2, system_desc(TYPE_TSS32, 0, TSS2, 0x2ff), 8);
    put(w, GDT + SEL_LDT, system_desc(TYPE_LDT, 0, LDT, 0xff), 8);
    for (unsigned n = 0; n < 256; n++)
        set_gate(w, (u8)n,
                 gate_desc(TYPE_INTR32, n >= 0x80 ? 3 : 0, wide ? CS64 : CS32, HANDLER + 16 * n));
    put(w, TSS + 4, STACK0, 4);
    put(w, TSS + 8, wide ? 0 : DS0, 4);
    if (wide)
        put(w, TSS + 36, IST1, 8);
    put(w, TSS + 102, 0x88, 2); /* I/O map; the redirection bitmap lies before it */
    w->cpu->gdtr = (struct dtable){GDT, 0xff};
    w->cpu->idtr = (struct dtable){IDT, 0xfff};
}

/* 4 levels, 4-KByte pages, all of the megabyte for user and supervisor. */
static inline void world_paging(struct world *w)
{
    put(w, PML4, (PML4 + 0x1000) | 7, 8);
    put(w, PML4 + 0x1000, (PML4 + 0x2000) | 7, 8);
    put(w, PML4 + 0x2000, (PML4 + 0x3000) | 7, 8);
    for (u64 n = 0; n < 256; n++)
        put(w, PML4 + 0x3000 + 8 * n, n << 12 | 7, 8);
}

static inline void set_cs(struct world *w, u16 sel)
{
    struct desc d = {.lo = get(w, GDT + (sel & ~7u), 8)};
    segment_set(&w->cpu->seg[SEG_CS], sel, &d);
}

static inline void set_data(struct world *w, u16 sel)
{
    struct desc d = {.lo = get(w, GDT + (sel & ~7u), 8)};
    for (unsigned k = SEG_ES; k <= SEG_GS; k++)
        if (k != SEG_CS)
            segment_set(&w->cpu->seg[k], sel, &d);
}

/* To ring 3, with its own stack. */
static inline void go_user(struct world *w)
{
    set_cs(w, w->mode == WORLD_64 ? UCS64 : UCS32);
    set_data(w, UDS);
    w->cpu->gpr[RSP] = STACK3;
    cpu_update_mode(w->cpu);
}

static inline void world_init(struct world *w, enum world_mode mode)
{
    machine_init(&w->m, 1, NULL);
    struct cpu *cpu = w->cpu = w->m.cpu[0];
    w->mode = mode;
    cpu->blocks = w->m.group.blocks = block_cache_new(&w->m.group);
    cpu->gpr[RSP] = mode == WORLD_REAL ? 0x1000 : STACK;
    if (mode == WORLD_REAL) {
        for (unsigned k = SEG_ES; k <= SEG_GS; k++)
            segment_set_real(cpu, (enum seg_id)k, CODE >> 4);
        cpu_update_mode(cpu);
        return;
    }
    world_tables(w);
    set_cs(w, CS32);
    set_data(w, DS0);
    ck_assert(cpu_write_cr0(cpu, CR0_PE | CR0_NE));
    if (mode == WORLD_64) {
        world_paging(w);
        ck_assert(cpu_write_cr4(cpu, CR4_PAE | CR4_PGE | CR4_OSFXSR));
        ck_assert(cpu_write_cr3(cpu, PML4));
        ck_assert(msr_set(cpu, 0xc0000080, EFER_LME | EFER_NXE | EFER_SCE));
        ck_assert(cpu_write_cr0(cpu, CR0_PE | CR0_NE | CR0_PG | CR0_WP));
        set_cs(w, CS64);
    }
    cpu_update_mode(cpu);
    ck_assert(segment_load_tr(cpu, SEL_TSS));
}

static inline void world_fini(struct world *w)
{
    struct block_cache *blocks = w->m.group.blocks;
    machine_fini(&w->m);
    block_cache_free(blocks);
}

/* The CPU stands at the first instruction of vector n's handler. */
#define ASSERT_HANDLER(w, n) ck_assert_uint_eq((w)->cpu->rip, HANDLER + 16 * (u64)(n))

#endif
