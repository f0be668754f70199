/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/control.h"
#include "cpu/cpuid.h"
#include "cpu/msr.h"
#include "cpu/segment.h"
#include "cpu/smm.h"
#include "tests/fuzz/code.h"

/* Where things are, by physical and (in the first 64 KiB) linear address. */
enum {
    GDT = 0x1000,
    IDT = 0x2000,
    TSS = 0x3000,
    LDT = 0x3800,
    HANDLERS = 0x4000, /* 16 bytes for each vector */
    PML5 = 0x6000,
    PML4 = 0x7000,
    PDPT = 0x8000, /* of linear addresses near zero; PDPT + 0x1000 of all others */
    PD = 0xa000,   /* likewise */
    PT = 0xc000,   /* likewise; 32-bit paging has two pages of each */
    TABLES_END = 0x10000,
    CODE = 0x10000,
    CODE_SIZE = 0x20000,
    STACKS = 0x60000,
};

/* Selectors */
enum {
    CS0 = 0x08, /* of the guest's mode */
    DS0 = 0x10,
    CS3 = 0x18,
    DS3 = 0x20,
    CONFORMING = 0x28,
    SEL_TSS = 0x30,
    SEL_LDT = 0x40,
    SEL_GATE = 0x50,
    SEL_HANDLER = 0x60, /* code of gates: 32 or 64 bits */
    CS16 = 0x68,
    DS16 = 0x70,
    READ_ONLY = 0x78,
    DOWN = 0x80,
    CS32_3 = 0x88,
    GDT_USED = 0x90,
};

static const struct mode_info {
    u32 code;
    enum walk_mode paging;
    bool lma;
} modes[] = {
#define X(id, name, code, paging, lma) {code, WALK_##paging, lma},
    GUEST_MODES(X)
#undef X
};
const char *const guest_mode_names[] = {
#define X(id, name, ...) name,
    GUEST_MODES(X)
#undef X
};

static const struct mode_info *info(const struct guest *g)
{
    return &modes[g->mode];
}

static u8 *ram(const struct guest *g)
{
    return g->m->bus.ram.host;
}

static void put(const struct guest *g, u64 at, u64 val, unsigned size)
{
    memcpy(ram(g) + at, &val, size);
}

static u64 get(const struct guest *g, u64 at)
{
    u64 val;
    memcpy(&val, ram(g) + at, sizeof(val));
    return val;
}

static void make_machine(struct guest *g)
{
    struct error err = {{0}};
    struct prop_node *root = prop_new(NULL, "machine", NULL, 0);
    bool wide = rng_chance(&g->rng, 70); /* else whatever the plain model has */
    if (!prop_set_path(root, "memory.size=2M", &err) ||
        ((wide || g->mode == GUEST_LONG5) &&
         !prop_set_path(root, "cpu.features=+la57,+pcid,+pku", &err)) ||
        (g->kind == GUEST_WILD && rng_chance(&g->rng, 20) &&
         !prop_set_path(root, "cpu.count=2", &err)) ||
        !(g->m = machine_new(root, NULL, &err))) {
        fprintf(stderr, "%s\n", err.text);
        exit(70);
    }
    prop_free(root);
    g->cpu = g->m->group.cpu[0];
}

/* ---- Contents of memory ---- */

static void fill_memory(struct guest *g)
{
    struct code_style style = {.mode = info(g)->code, .wild = g->kind == GUEST_WILD};
    style.base = info(g)->code || g->mode == GUEST_PROT32 ? CODE : 0;
    style.bytes = style.base ? 2 * CODE_SIZE : 0x10000;
    code_fill(&g->rng, &style, ram(g) + CODE, CODE_SIZE);
    for (u64 at = 0; at < GUEST_RAM; at += PAGE_SIZE) {
        u8 *page = ram(g) + at;
        if (at >= CODE && at < CODE + CODE_SIZE)
            continue;
        if (rng_chance(&g->rng, 20))
            code_fill(&g->rng, &style, page, PAGE_SIZE);
        else if (rng_chance(&g->rng, 50))
            for (u64 k = 0; k < PAGE_SIZE; k += 8)
                put(g, at + k, rng_value(&g->rng), 8);
        else
            memcpy(page, ram(g) + CODE + rng_below(&g->rng, CODE_SIZE - 4096), PAGE_SIZE);
    }
}

static u64 some_code(struct guest *g)
{
    return CODE + rng_below(&g->rng, CODE_SIZE);
}

/* ---- Descriptor tables ---- */

static u64 segment_desc(u64 base, u64 limit, u64 attr)
{
    return (limit & 0xffff) | (base & 0xffffff) << 16 | (attr & 0xf0ff) << 40 |
           (limit >> 16 & 15) << 48 | (base >> 24 & 0xff) << 56;
}

static u64 gate_desc(unsigned type, unsigned dpl, u16 sel, u64 offset)
{
    return (offset & 0xffff) | (u64)sel << 16 | (u64)(0x80 | dpl << 5 | type) << 40 |
           (offset & 0xffff0000) << 32;
}

static void put_gdt(const struct guest *g)
{
    bool lma = info(g)->lma;
    u64 size = info(g)->code == MODE_64 ? 0xa000 : g->mode != GUEST_PROT16 ? 0xc000 : 0;
    u64 limit = size || lma ? 0xfffff : 0xffff;
    const struct {
        u16 sel;
        u64 desc;
    } rows[] = {
        {CS0, segment_desc(0, limit, size | 0x9b)},
        {DS0, segment_desc(0, limit, size ? 0xc093 : 0x93)},
        {CS3, segment_desc(0, limit, size | 0xfb)},
        {DS3, segment_desc(0, limit, size ? 0xc0f3 : 0xf3)},
        {CONFORMING, segment_desc(0, limit, size | 0x9f)},
        {SEL_TSS, segment_desc(TSS, 0x7ff, 0x8b)},
        {SEL_LDT, segment_desc(LDT, 0xff, 0x82)},
        {SEL_GATE, gate_desc(TYPE_CALL32, 3, SEL_HANDLER, CODE + 0x100)},
        {SEL_HANDLER, segment_desc(0, 0xfffff, lma ? 0xa09b : 0xc09b)},
        {CS16, segment_desc(CODE, 0xffff, 0xfb)},
        {DS16, segment_desc(CODE, 0xffff, 0xf3)},
        {READ_ONLY, segment_desc(0, 0xfffff, 0xc0f1)},
        {DOWN, segment_desc(0, 0x10, 0xc0f7)},
        {CS32_3, segment_desc(0, 0xfffff, 0xc0fb)},
    };
    memset(ram(g) + GDT, 0, 0x400);
    for (size_t k = 0; k < ARRAY_SIZE(rows); k++)
        put(g, GDT + rows[k].sel, rows[k].desc, 8);
}

/* A handler that goes on a few bytes behind the instruction, or a jump to somewhere. */
static void put_handler(struct guest *g, unsigned vector)
{
    static const u8 long_skip[] = {0x48, 0x83, 0x04, 0x24, 0, 0x48, 0xcf};
    static const u8 prot_skip[] = {0x83, 0x04, 0x24, 0, 0xcf};
    static const u8 real_skip[] = {0x55, 0x89, 0xe5, 0x83, 0x46, 0x02, 0, 0x5d, 0xcf};
    static const u8 long_drop[] = {0x48, 0x83, 0xc4, 0x08}, prot_drop[] = {0x83, 0xc4, 0x04};
    u8 *p = ram(g) + HANDLERS + 16 * vector, step = (u8)(1 + rng_below(&g->rng, 7));
    bool error = vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
    if (g->mode == GUEST_REAL) {
        memcpy(p, real_skip, sizeof(real_skip));
        p[6] = step;
        return;
    }
    if (error) {
        size_t n = info(g)->lma ? sizeof(long_drop) : sizeof(prot_drop);
        memcpy(p, info(g)->lma ? long_drop : prot_drop, n);
        p += n;
    }
    if (info(g)->lma) {
        memcpy(p, long_skip, sizeof(long_skip));
        p[4] = step;
    } else {
        memcpy(p, prot_skip, sizeof(prot_skip));
        p[3] = step;
    }
}

/* #DB goes where TF stays clear: else a guest would be stepped for ever. */
static void put_idt(struct guest *g)
{
    bool lma = info(g)->lma;
    for (unsigned vector = 0; vector < 256; vector++) {
        put_handler(g, vector);
        bool jump = vector == 1 || rng_chance(&g->rng, 40);
        u64 to = jump ? some_code(g) : HANDLERS + 16 * vector;
        if (g->mode == GUEST_REAL) {
            put(g, IDT + 4 * vector, jump ? (to >> 4) << 16 | (to & 15) : to, 4);
            continue;
        }
        unsigned type = rng_chance(&g->rng, 20) ? TYPE_INTR32 : TYPE_TRAP32;
        bool own = jump && !lma && rng_chance(&g->rng, 50) && g->mode != GUEST_VM86;
        u64 gate = gate_desc(type, rng_chance(&g->rng, 70) ? 3 : 0, own ? CS0 : SEL_HANDLER, to);
        if (lma && rng_chance(&g->rng, 60))
            gate |= (u64)(1 + rng_below(&g->rng, 3)) << 32;
        put(g, IDT + vector * (lma ? 16u : 8u), gate, 8);
        if (lma)
            put(g, IDT + vector * 16u + 8, 0, 8);
    }
}

static void put_tss(const struct guest *g)
{
    memset(ram(g) + TSS, 0, 0x68);
    if (info(g)->lma) {
        for (unsigned k = 0; k < 10; k++)
            put(g, TSS + 4 + 8 * k, STACKS + 0x1000 * (k + 1), 8);
    } else {
        for (unsigned k = 0; k < 3; k++) {
            put(g, TSS + 4 + 8 * k,
                (info(g)->code || g->mode == GUEST_VM86) ? STACKS + 0x1000 * (k + 1) : 0xe000, 4);
            put(g, TSS + 8 + 8 * k, DS0 + k, 4);
        }
    }
    put(g, TSS + 0x66, 0x88, 2);
}

/* ---- Page tables ---- */

#define P_ALL 0x67 /* present, writable, user, accessed, dirty */

/*
 * Every linear address leads somewhere: all entries of a level share the next table. Only those near
 * zero lead to the tables, which only a supervisor may write (and a tame guest nobody).
 */
static u64 leaf(struct guest *g, u64 page, bool low)
{
    u64 flags = P_ALL;
    bool tables = page < TABLES_END >> PAGE_SHIFT;
    if (tables && low)
        return page << PAGE_SHIFT |
               (g->kind == GUEST_TAME && page != TSS >> PAGE_SHIFT ? 0x61 : 0x63);
    if (tables)
        page += 0x40;
    if (rng_chance(&g->rng, 3))
        flags &= ~(u64)rng_next(&g->rng) | 1;
    if (rng_chance(&g->rng, 2))
        flags = 0;
    return (page % (GUEST_RAM >> PAGE_SHIFT)) << PAGE_SHIFT | flags;
}

static void put_tables_32(struct guest *g)
{
    for (unsigned k = 0; k < 1024; k++) {
        put(g, PD + 4 * k, (k ? PT + 0x1000 : PT) | P_ALL, 4);
        put(g, PT + 4 * k, leaf(g, k % 512, true), 4);
        put(g, PT + 0x1000 + 4 * k, leaf(g, k % 512, false), 4);
    }
}

static void put_tables_wide(struct guest *g)
{
    bool pae = info(g)->paging == WALK_PAE;
    for (unsigned k = 0; k < 512; k++) {
        unsigned far = k ? 0x1000 : 0;
        put(g, PML5 + 8 * k, PML4 | P_ALL, 8);
        put(g, PML4 + 8 * k, (PDPT + far) | P_ALL, 8);
        put(g, PDPT + 8 * k, (PD + far) | (pae ? 1 : P_ALL), 8);
        put(g, PDPT + 0x1000 + 8 * k, (PD + 0x1000) | P_ALL, 8);
        put(g, PD + 8 * k, (PT + far) | P_ALL, 8);
        put(g, PD + 0x1000 + 8 * k, (PT + 0x1000) | P_ALL, 8);
        put(g, PT + 8 * k, leaf(g, k, true), 8);
        put(g, PT + 0x1000 + 8 * k, leaf(g, k, false), 8);
    }
    /* Some places a guest should not expect, in wild guests: devices, holes, beyond memory. */
    static const u64 places[] = {0xfee00000, 0xfec00000, 0xfed00000, 0xe0000000, 0xfffff000,
                                 GUEST_RAM,  0xa0000,    BIT(38),    0xc0000000};
    for (unsigned k = 0; g->kind == GUEST_WILD && k < 24; k++)
        put(g, PT + 0x1000 + 8 * (u64)rng_below(&g->rng, 512),
            places[rng_below(&g->rng, ARRAY_SIZE(places))] | P_ALL, 8);
}

/* ---- The processor ---- */

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "fuzz: the guest can't be set up: %s\n", what);
    abort();
}

static void set_segment(struct guest *g, enum seg_id id, u16 sel)
{
    struct desc d = {get(g, GDT + (sel & ~7u)), 0};
    segment_set(&g->cpu->seg[id], sel, &d);
}

static void set_segments(struct guest *g, u16 code, u16 data)
{
    for (unsigned k = SEG_ES; k <= SEG_GS; k++)
        set_segment(g, (enum seg_id)k, k == SEG_CS ? code : data);
}

static void set_paging(struct guest *g)
{
    struct cpu *cpu = g->cpu;
    enum walk_mode paging = info(g)->paging;
    u64 cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_PGE | CR4_PSE |
              (rng_chance(&g->rng, 40) ? CR4_VME | CR4_PVI : 0);
    u64 cr3 = PML4;
    if (paging == WALK_32BIT) {
        put_tables_32(g);
        cr3 = PD;
    } else if (paging != WALK_NONE) {
        put_tables_wide(g);
        cr4 |= CR4_PAE | (paging == WALK_5LEVEL ? CR4_LA57 : 0);
        cr3 = paging == WALK_PAE ? PDPT : paging == WALK_5LEVEL ? PML5 : PML4;
    }
    if (g->kind == GUEST_WILD)
        cr4 |= rng_next(&g->rng) & cpu_cr4_mask(cpu) & ~(CR4_LA57 | CR4_PCIDE | CR4_PAE);
    must(cpu_write_cr4(cpu, cr4), "CR4");
    must(cpu_write_cr3(cpu, cr3), "CR3");
    u64 efer = EFER_SCE | EFER_NXE | (info(g)->lma ? EFER_LME : 0);
    must(msr_set(cpu, 0xc0000080, efer), "EFER");
    u64 pg = paging == WALK_NONE ? 0 : CR0_PG;
    must(cpu_write_cr0(cpu, CR0_PE | CR0_NE | CR0_WP | CR0_MP | pg |
                                (rng_chance(&g->rng, 30) ? CR0_AM : 0)),
         "CR0");
}

static void set_registers(struct guest *g)
{
    struct cpu *cpu = g->cpu;
    for (unsigned k = 0; k < 16; k++)
        cpu->gpr[k] =
            rng_chance(&g->rng, 50) ? CODE + rng_below(&g->rng, 4 * CODE_SIZE) : rng_value(&g->rng);
    cpu->gpr[RSP] = STACKS - 0x8000 + (rng_next(&g->rng) & 0x7ff8);
    if (g->mode == GUEST_REAL || g->mode == GUEST_VM86 || g->mode == GUEST_PROT16)
        cpu->gpr[RSP] &= 0xffff;
    for (unsigned k = 0; k < 16; k++)
        for (unsigned n = 0; n < 2; n++)
            cpu->xmm[k].q[n] = rng_value(&g->rng);
    cpu->fcw = 0x37f;
    cpu->ftw_empty = (u8)rng_next(&g->rng);
    for (unsigned k = 0; k < 8; k++)
        cpu->st[k] = (struct x87_reg){rng_next(&g->rng) | BIT(63),
                                      (u16)(0x3fff + (rng_next(&g->rng) & 0x801f) - 16)};
    u64 flags = rng_next(&g->rng) & (FLAGS_STATUS | FLAG_DF | FLAG_ID | FLAG_IOPL);
    cpu_set_eflags(cpu, (cpu->eflags & FLAG_VM) | flags | FLAG_1 |
                            (rng_chance(&g->rng, 70) ? FLAG_IF : 0));
}

static void enter_real(struct guest *g)
{
    put_idt(g);
    for (unsigned k = SEG_ES; k <= SEG_GS; k++)
        segment_set_real(g->cpu, (enum seg_id)k, (u16)(CODE >> 4));
    g->cpu->idtr = (struct dtable){IDT, 0x3ff};
    g->cpu->cr4 |= CR4_OSFXSR;
    g->cpu->rip = rng_below(&g->rng, 0x10000);
}

static void enter_protected(struct guest *g)
{
    struct cpu *cpu = g->cpu;
    put_gdt(g);
    put_idt(g);
    put_tss(g);
    cpu->gdtr = (struct dtable){GDT, GDT_USED - 1};
    cpu->idtr = (struct dtable){IDT, 0xfff};
    set_segments(g, CS32_3, DS0); /* IA-32e mode is not entered with CS.L set */
    set_paging(g);
    set_segments(g, CS0, DS0);
    cpu_update_mode(cpu);
    set_segment(g, SEG_TR, SEL_TSS); /* busy already: the table may be read-only */
    set_segment(g, SEG_LDTR, SEL_LDT);
    cpu->rip = info(g)->code ? some_code(g) : CODE;
    if (g->mode == GUEST_VM86) {
        cpu->eflags |= FLAG_VM;
        for (unsigned k = SEG_ES; k <= SEG_GS; k++)
            segment_set_vm86(cpu, (enum seg_id)k, (u16)(CODE >> 4));
        cpu->rip = rng_below(&g->rng, 0x10000);
    } else if (g->user || g->mode == GUEST_COMPAT) {
        set_segments(g, CS3 | 3, DS3 | 3);
        if (g->mode == GUEST_PROT16)
            set_segments(g, CS16 | 3, DS16 | 3);
    }
    const u32 msrs[] = {0xc0000081, 0xc0000082, 0xc0000083, 0x174, 0x175, 0x176};
    const u64 values[] = {(u64)CS0 << 32 | (u64)CONFORMING << 48,
                          some_code(g),
                          some_code(g),
                          CS0,
                          STACKS,
                          some_code(g)};
    for (size_t k = 0; k < ARRAY_SIZE(msrs); k++)
        msr_set(cpu, msrs[k], values[k]);
}

/* The HPET interrupts through the 8259 in automatic end-of-interrupt mode, at vector 40H. */
static void start_timer(struct guest *g)
{
    static const u8 init[][2] = {{0x20, 0x11}, {0x21, 0x40}, {0x21, 4}, {0x21, 3}, {0xa0, 0x11},
                                 {0xa1, 0x48}, {0xa1, 2},    {0xa1, 3}, {0x21, 0}, {0xa1, 0}};
    struct bus *bus = &g->m->bus;
    const u64 hpet = 0xfed00000;
    for (size_t k = 0; k < ARRAY_SIZE(init); k++)
        bus_io_write(bus, init[k][0], 1, init[k][1]);
    u64 period = 5 + rng_below(&g->rng, 300);
    bus_write(bus, hpet + 0x100, 8, 0x4c);
    bus_write(bus, hpet + 0x108, 8, period);
    bus_write(bus, hpet + 0x10, 8, 3);
}

void guest_start(struct guest *g)
{
    struct error err = {{0}};
    g->m->group.stop = STOP_NONE;
    if (rng_chance(&g->rng, 50)) {
        machine_reset(g->m);
    } else {
        cpu_reset(g->cpu, false);
        machine_drop_caches(g->m);
    }
    must(machine_firmware(g->m, &err), err.text);
    g->user = rng_chance(&g->rng, 40);
    if (g->mode == GUEST_REAL)
        enter_real(g);
    else
        enter_protected(g);
    set_registers(g);
    if (rng_chance(&g->rng, 80))
        start_timer(g);
    machine_drop_caches(g->m);
    cpu_update_mode(g->cpu);
}

void guest_init(struct guest *g, enum guest_mode mode, enum guest_kind kind, u64 seed)
{
    *g = (struct guest){.mode = mode, .kind = kind, .rng = rng_make(seed, mode * 2 + kind)};
    make_machine(g);
    fill_memory(g);
    guest_start(g);
}

u64 guest_insns(const struct guest *g)
{
    u64 insns = 0;
    for (unsigned k = 0; k < g->m->group.count; k++)
        insns += g->m->group.cpu[k]->insns;
    return insns;
}

void guest_fini(struct guest *g)
{
    machine_free(g->m);
}

bool guest_run(struct guest *g, u64 end)
{
    struct cpu_group *group = &g->m->group;
    group->insn_limit = end;
    cpu_group_run(group);
    if (group->stop != STOP_LIMIT)
        return false;
    group->stop = STOP_NONE;
    return true;
}

/* ---- Disturbances ---- */

static u32 random_msr(struct rng *r)
{
    static const struct {
        u32 first, count, stride;
    } rows[] = {
#define MSR(id, name, first, count, stride, ...) {first, count, stride},
#include "cpu/msr.def"
    };
    u32 k = rng_below(r, ARRAY_SIZE(rows) + 12);
    if (k < ARRAY_SIZE(rows))
        return rows[k].first + rng_below(r, rows[k].count) * rows[k].stride;
    return k & 1 ? 0x800 + rng_below(r, 0x100) : (u32)rng_value(r);
}

static u16 random_port(struct rng *r)
{
    static const u16 ports[] = {0x20,  0x21,  0x40,  0x43,  0x60,   0x61,   0x64,  0x70,  0x71,
                                0x80,  0x92,  0xa0,  0xa1,  0xb2,   0xe9,   0x2f8, 0x3f8, 0x3fd,
                                0x4d0, 0x4d1, 0x600, 0x604, 0xb000, 0xafe0, 0xcf8, 0xcfc, 0xcf9};
    u16 port = rng_chance(r, 70) ? ports[rng_below(r, ARRAY_SIZE(ports))] : (u16)rng_next(r);
    return (u16)(port + (rng_chance(r, 40) ? rng_below(r, 8) : 0));
}

static void disturb_ports(struct guest *g)
{
    struct rng *r = &g->rng;
    struct bus *bus = &g->m->bus;
    for (unsigned k = rng_below(r, 16); k > 0; k--) {
        unsigned size = 1u << rng_below(r, 3);
        u16 port = random_port(r);
        if (port == 0xcf8 ||
            rng_chance(r, 10)) /* PCI configuration space, mostly devices that exist */
            bus_io_write(bus, 0xcf8, 4,
                         0x80000000 | (rng_next(r) & (rng_chance(r, 80) ? 0x1ffc : 0xfffffc)));
        if (rng_chance(r, 50))
            bus_io_write(bus, port, size, rng_value(r));
        else
            bus_io_read(bus, port, size);
    }
}

static void disturb_mmio(struct guest *g)
{
    static const u64 bases[] = {0xfec00000, 0xfee00000, 0xfed00000, 0xe0000000,
                                0xa0000,    0xf0000,    0xfffff000};
    struct rng *r = &g->rng;
    struct bus *bus = &g->m->bus;
    for (unsigned k = rng_below(r, 16); k > 0; k--) {
        u64 at = bases[rng_below(r, ARRAY_SIZE(bases))] +
                 rng_below(r, rng_chance(r, 70) ? 0x400 : 0x1000);
        unsigned size = 1 + rng_below(r, 8);
        if ((at & ~PAGE_MASK) + size > PAGE_SIZE)
            at -= size;
        if (rng_chance(r, 70))
            at &= ~UINT64_C(7);
        if (rng_chance(r, 50))
            bus_write(bus, at, size, rng_value(r));
        else
            bus_read(bus, at, size);
    }
}

static void disturb_msrs(struct guest *g)
{
    struct rng *r = &g->rng;
    for (unsigned k = rng_below(r, 12); k > 0; k--) {
        u32 index = random_msr(r);
        u64 val = rng_value(r);
        msr_get(g->cpu, index, &val);
        msr_set(g->cpu, index, rng_chance(r, 50) ? val ^ BIT(rng_below(r, 64)) : rng_value(r));
    }
}

static void disturb_control(struct guest *g)
{
    struct rng *r = &g->rng;
    struct cpu *cpu = g->cpu;
    bool (*const write[])(struct cpu *, u64) = {cpu_write_cr0, cpu_write_cr3, cpu_write_cr4,
                                                cpu_write_cr8};
    const u64 old[] = {cpu->cr0, cpu->cr3, cpu->cr4, cpu->cr8};
    u32 k = rng_below(r, 4);
    u64 val = rng_chance(r, 60) ? old[k] ^ BIT(rng_below(r, k == 1 ? 64 : 32)) : rng_value(r);
    write[k](cpu, val);
    for (unsigned n = 0; n < 4; n++)
        if (rng_chance(r, 5))
            cpu->dr[n] = CODE + rng_below(r, 4 * CODE_SIZE);
    if (rng_chance(r, 5))
        cpu->dr[7] = (rng_next(r) & 0xffff23ff) | 0x400;
    cpu->exc.pending = false;
    tlb_flush_all(&cpu->tlb_store);
    cpu_update_mode(cpu);
}

/* Bits of a table, or segment registers by random selectors. */
static void disturb_tables(struct guest *g)
{
    struct rng *r = &g->rng;
    for (unsigned k = rng_below(r, 8); k > 0; k--) {
        u64 at = 0x1000 + rng_below(r, TABLES_END - 0x1000 - 8);
        u8 byte = (u8)(ram(g)[at] ^ (1 << rng_below(r, 8)));
        must(ram_write(&g->m->bus.ram, at, &byte, 1), "RAM");
    }
    if (rng_chance(r, 30)) {
        u64 at = 0x1000 + 8 * rng_below(r, (TABLES_END - 0x1000) / 8), v = rng_value(r);
        must(ram_write(&g->m->bus.ram, at, &v, 8), "RAM");
    }
    if (rng_chance(r, 30))
        segment_load(g->cpu, (enum seg_id)(rng_chance(r, 50) ? SEG_ES : SEG_DS + rng_below(r, 3)),
                     (u16)rng_below(r, 0x100));
    g->cpu->exc.pending = false;
}

static void disturb_registers(struct guest *g)
{
    struct cpu *cpu = g->cpu;
    for (unsigned k = 0; k < 4; k++)
        cpu->gpr[rng_below(&g->rng, 16)] =
            rng_chance(&g->rng, 50) ? rng_value(&g->rng) : rng_below(&g->rng, GUEST_RAM);
    if (rng_chance(&g->rng, 50))
        cpu->gpr[RDX] = random_port(&g->rng);
    if (rng_chance(&g->rng, 20))
        cpu->gpr[RCX] = random_msr(&g->rng);
    if (rng_chance(&g->rng, 30))
        cpu->gpr[RCX] = rng_below(&g->rng, 200);
    if (rng_chance(&g->rng, 30))
        cpu->gpr[RSP] = STACKS + rng_below(&g->rng, 0x10000);
    if (rng_chance(&g->rng, 30))
        cpu->rip = info(g)->code ? some_code(g) : rng_below(&g->rng, 0x10000);
}

/* An SMI, whose handler is whatever lies there; or noise in the save area before RSM. */
static void disturb_smm(struct guest *g)
{
    struct cpu *cpu = g->cpu;
    u8 rsm[] = {0x0f, 0xaa};
    if (!cpu->smm) {
        if (rng_chance(&g->rng, 20))
            cpu->smbase = (u32)rng_value(&g->rng);
        cpu_raise_pending(cpu, PEND_SMI);
        return;
    }
    for (unsigned k = rng_below(&g->rng, 4); k; k--) {
        u64 at = cpu->smbase + SMM_AREA + rng_below(&g->rng, SMM_AREA_SIZE / 8) * 8;
        u64 value = rng_value(&g->rng);
        ram_write(&g->m->bus.ram, at, &value, sizeof(value));
    }
    if (rng_chance(&g->rng, 80))
        ram_write(&g->m->bus.ram, cpu->seg[SEG_CS].base + cpu->rip, rsm, sizeof(rsm));
}

void guest_disturb(struct guest *g)
{
    void (*const ways[])(struct guest *) = {disturb_ports,   disturb_mmio,   disturb_msrs,
                                            disturb_control, disturb_tables, disturb_registers,
                                            disturb_smm,     disturb_smm};
    /* Devices and MSRs look for the running processor. */
    g->m->group.running = g->cpu;
    ways[rng_below(&g->rng, ARRAY_SIZE(ways))](g);
    disturb_registers(g);
    g->m->group.running = NULL;
}
