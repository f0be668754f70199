/* SPDX-License-Identifier: MIT */
/*
 * String instructions against the SDM's one-iteration definition: all of them, each mode, address
 * size, direction and prefix, operands that overlap and that cross pages, cut at any count, and
 * page faults in the middle.
 */
#include "tests/suite.h"
#include "tests/cpu/world.h"

#define ARENA UINT64_C(0x80000) /* linear address of the operands */
#define ARENA_SIZE 0x4000u

static u64 rng(void)
{
    static u64 x = 0x853c49e6748fea9b;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

struct sample {
    u8 opcode;     /* without the width bit */
    u8 rep;        /* 0, 0xf2, 0xf3 */
    unsigned size; /* element bytes */
    u64 mask;      /* addresses and counter */
    u64 base;      /* of ES and DS */
    u64 absent;    /* page that is not mapped; 0: none */
};

/* What is expected: registers, memory of the arena, flags. */
struct model {
    u64 gpr[16], flags;
    u8 memory[ARENA_SIZE];
    bool fault;
};

static u64 load(const struct model *md, u64 lin, unsigned size)
{
    u64 v = 0;
    memcpy(&v, md->memory + (lin - ARENA), size);
    return v;
}

static bool absent(const struct sample *s, u64 lin)
{
    return s->absent &&
           ((lin ^ s->absent) >> 12 == 0 || ((lin + s->size - 1) ^ s->absent) >> 12 == 0);
}

static u64 merge(u64 old, u64 val, u64 mask)
{
    return mask == 0xffff ? (old & ~mask) | (val & mask) : val & mask;
}

static void compare(struct model *md, u64 a, u64 b, unsigned size)
{
    unsigned bits = size * 8;
    u64 r = (a - b) & MASK(bits);
    bool of = ((a ^ b) & (a ^ r)) >> (bits - 1) & 1;
    md->flags = (a < b ? FLAG_CF : 0) | (r ? 0 : FLAG_ZF) | (r >> (bits - 1) ? FLAG_SF : 0) |
                (of ? FLAG_OF : 0) | ((a & 15) < (b & 15) ? FLAG_AF : 0) |
                (__builtin_parity(r & 0xff) ? 0 : FLAG_PF);
}

/* One iteration; false: it faults. */
static bool iterate(struct model *md, const struct sample *s, bool down)
{
    u64 step = down ? -(u64)s->size : s->size;
    u64 src = s->base + (md->gpr[RSI] & s->mask), dst = s->base + (md->gpr[RDI] & s->mask);
    u64 acc = md->gpr[RAX] & MASK(s->size * 8);
    bool from_src = s->opcode == 0xa4 || s->opcode == 0xa6 || s->opcode == 0xac;
    bool to_dst = s->opcode != 0xac;
    if ((from_src && absent(s, src)) || (to_dst && absent(s, dst)))
        return false;
    u64 a = from_src ? load(md, src, s->size) : acc;
    switch (s->opcode) {
    case 0xa4:
    case 0xaa:
        memcpy(md->memory + (dst - ARENA), &a, s->size);
        break;
    case 0xac:
        md->gpr[RAX] = s->size < 4 ? (md->gpr[RAX] & ~MASK(s->size * 8)) | a : a;
        break;
    default:
        compare(md, a, load(md, dst, s->size), s->size);
        break;
    }
    if (from_src)
        md->gpr[RSI] = merge(md->gpr[RSI], md->gpr[RSI] + step, s->mask);
    if (to_dst)
        md->gpr[RDI] = merge(md->gpr[RDI], md->gpr[RDI] + step, s->mask);
    return true;
}

/* Runs up to n iterations; returns how many were made, *done: the instruction is complete. */
static u64 expect(struct model *md, const struct sample *s, bool down, u64 n, bool *done)
{
    bool compares = s->opcode == 0xa6 || s->opcode == 0xae;
    *done = false;
    if (!s->rep) {
        md->fault = !iterate(md, s, down);
        *done = !md->fault;
        return *done;
    }
    if (!(md->gpr[RCX] & s->mask)) {
        *done = true;
        return 1;
    }
    for (u64 k = 0; k < n; k++) {
        if (!iterate(md, s, down)) {
            md->fault = true;
            return k;
        }
        md->gpr[RCX] = merge(md->gpr[RCX], md->gpr[RCX] - 1, s->mask);
        bool equal = md->flags & FLAG_ZF;
        if (!(md->gpr[RCX] & s->mask) || (compares && equal != (s->rep == 0xf3))) {
            *done = true;
            return k + 1;
        }
    }
    return n;
}

static void random_memory(struct world *w, struct model *md)
{
    unsigned kind = rng() % 3;
    for (unsigned k = 0; k < ARENA_SIZE; k++)
        md->memory[k] = (u8)(kind == 0 ? rng() : kind == 1 ? 0x55 : k & 1);
    ck_assert(ram_write(&w->m.bus.ram, ARENA, md->memory, ARENA_SIZE));
}

static unsigned encode(const struct world *w, const struct sample *s, u8 *out)
{
    unsigned n = 0;
    u64 native = w->mode == WORLD_64 ? UINT64_MAX : w->mode == WORLD_32 ? UINT32_MAX : 0xffff;
    if (s->mask != native)
        out[n++] = 0x67;
    if ((s->size == 2) != (w->mode == WORLD_REAL) && (s->size == 2 || s->size == 4))
        out[n++] = 0x66;
    if (s->rep)
        out[n++] = s->rep;
    if (s->size == 8)
        out[n++] = 0x48;
    out[n++] = s->opcode | (s->size > 1);
    return n;
}

static void map_page(struct world *w, u64 lin, bool present)
{
    put(w, PML4 + 0x3000 + 8 * (lin >> 12), (lin & ~0xfffull) | (present ? 7 : 6), 8);
    tlb_flush_all(&w->cpu->tlb_store);
    cpu_update_mode(w->cpu);
}

static void check_sample(struct world *w, struct sample *s)
{
    static struct model md;
    struct cpu *cpu = w->cpu;
    u8 bytes[16];
    bool down = rng() & 1, done;
    random_memory(w, &md);
    for (unsigned k = 0; k < 16; k++)
        if (k != RSP)
            cpu->gpr[k] = rng();
    u64 middle = ARENA + ARENA_SIZE / 2 - s->base;
    u64 spread = rng() & 1 ? 16 : 0x400;
    cpu->gpr[RSI] = merge(cpu->gpr[RSI], middle + rng() % spread, s->mask);
    cpu->gpr[RDI] = merge(cpu->gpr[RDI], middle + rng() % spread, s->mask);
    cpu->gpr[RCX] = merge(cpu->gpr[RCX], rng() % (rng() & 1 ? 8 : 700), s->mask);
    if (rng() & 1)
        cpu->gpr[RAX] = 0x5555555555555555;
    set_rflags(cpu, (rng() & FLAGS_STATUS) | (down ? FLAG_DF : 0));
    if (s->absent)
        map_page(w, s->absent, false);

    memcpy(md.gpr, cpu->gpr, sizeof(md.gpr));
    md.flags = cpu_status_flags(cpu);
    md.fault = false;
    unsigned length = encode(w, s, bytes);
    memset(bytes + length, 0x90, sizeof(bytes) - length);
    ck_assert(ram_write(&w->m.bus.ram, CODE, bytes, sizeof(bytes)));
    block_drop_all(cpu->blocks);
    u64 start = cpu->rip = w->mode == WORLD_REAL ? 0 : CODE;
    u64 n = 1 + rng() % (rng() & 1 ? 4 : 800), before = w->m.clock.now;
    u64 made = expect(&md, s, down, n, &done);
    if (done && n > made)
        n = made; /* no further than the instruction itself */
    run(w, md.fault ? made : n);
    if (md.fault) { /* the next iteration faults */
        REQUIRE(w->m.clock.now - before == made);
        w->m.group.insn_limit = w->m.clock.now + 1;
        w->m.group.stop = STOP_NONE;
        put(w, HANDLER + 16 * 14, 0xf4, 1);
        put(w, IDT + 16 * 14, gate_desc(TYPE_INTR32, 0, CS64, HANDLER + 16 * 14), 8);
        cpu_group_run(&w->m.group);
        REQUIRE((cpu->rip & ~UINT64_C(1)) == HANDLER + 16 * 14); /* before or after its HLT */
        REQUIRE(get(w, cpu->gpr[RSP] + 8, 8) == start);
        REQUIRE((get(w, cpu->gpr[RSP] + 24, 8) & FLAGS_STATUS) == md.flags);
        cpu->activity = ACTIVITY_RUN;
        cpu->gpr[RSP] = STACK;
    } else {
        REQUIRE(cpu->rip == (done ? start + length : start));
        REQUIRE(w->m.clock.now - before == n);
        REQUIRE(cpu_status_flags(cpu) == md.flags);
    }
    for (unsigned k = 0; k < 16; k++)
        REQUIRE(k == RSP || cpu->gpr[k] == md.gpr[k]);
    u8 memory[ARENA_SIZE];
    ck_assert(ram_read(&w->m.bus.ram, ARENA, memory, ARENA_SIZE));
    REQUIRE(memcmp(memory, md.memory, ARENA_SIZE) == 0);
    if (s->absent)
        map_page(w, s->absent, true);
}

static void check_mode(enum world_mode mode, unsigned rounds, bool faults)
{
    static const u8 opcodes[] = {0xa4, 0xa6, 0xaa, 0xac, 0xae};
    static const u8 reps[] = {0, 0xf2, 0xf3, 0xf3};
    struct world w;
    world_init(&w, mode);
    if (mode == WORLD_REAL)
        for (unsigned k = SEG_ES; k <= SEG_DS; k += SEG_DS)
            segment_set_real(w.cpu, (enum seg_id)k, ARENA >> 4);
    for (unsigned n = 0; n < rounds; n++) {
        bool narrow = rng() & 1;
        struct sample s = {.opcode = opcodes[rng() % ARRAY_SIZE(opcodes)],
                           .rep = reps[rng() % ARRAY_SIZE(reps)],
                           .size = 1u << rng() % (mode == WORLD_64 ? 4 : 3)};
        s.mask = mode == WORLD_64   ? narrow ? UINT32_MAX : UINT64_MAX
                 : mode == WORLD_32 ? UINT32_MAX
                 : narrow           ? UINT32_MAX
                                    : 0xffff;
        s.base = mode == WORLD_REAL ? ARENA : 0;
        if (faults)
            s.absent = ARENA + ARENA_SIZE / 2 + (rng() & 1 ? 0x1000 : -(u64)0x1000);
        check_sample(&w, &s);
    }
    world_fini(&w);
}

START_TEST(real_mode)
{
    check_mode(WORLD_REAL, 2500, false);
}
END_TEST

START_TEST(protected_mode)
{
    check_mode(WORLD_32, 2500, false);
}
END_TEST

START_TEST(long_mode)
{
    check_mode(WORLD_64, 2500, false);
}
END_TEST

START_TEST(page_faults)
{
    check_mode(WORLD_64, 2500, true);
}
END_TEST

SUITE_MAIN("string", &real_mode, &protected_mode, &long_mode, &page_faults)
