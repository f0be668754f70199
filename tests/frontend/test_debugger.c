/* SPDX-License-Identifier: MIT */
/* Stops where they are asked for, and a guest that is none the wiser. */
#include "frontend/debugger.h"

#include "tests/cpu/world.h"
#include "tests/suite.h"

#define ROUNDS 300
#define COUNTER 0x80000u
#define COPY 0x81000u
#define EVENT_TICKS 777

/*
 *     mov ecx, 300
 * 05  inc dword [80000h]; add rax, rcx
 * 0f  cmp ecx, 7; je next; next:
 * 14  mov rbx, [80008h]; push rax; pop rdx
 * 1e  mov edi, 81000h; mov esi, 80000h; push rcx; mov ecx, 16
 * 2e  rep movsb; pop rcx; int 80h
 * 33  dec ecx; jnz 05
 * 37  jmp 37
 */
#define PROGRAM                                                                                    \
    "\xb9\x2c\x01\x00\x00\xff\x04\x25\x00\x00\x08\x00\x48\x01\xc8\x83\xf9\x07\x74\x00"             \
    "\x48\x8b\x1c\x25\x08\x00\x08\x00\x50\x5a\xbf\x00\x10\x08\x00\xbe\x00\x00\x08\x00"             \
    "\x51\xb9\x10\x00\x00\x00\xf3\xa4\x59\xcd\x80\xff\xc9\x75\xce\xeb\xfe"
enum {
    INC = CODE + 0x05,
    CMP = CODE + 0x0f,
    REP = CODE + 0x2e,
    DEC = CODE + 0x33,
    JNZ = CODE + 0x35
};

struct scene {
    struct world w;
    struct clock_event nmi;
    struct debugger *d;
    struct debug_console console;
    unsigned stops;
    u64 seed;
    void (*check)(struct scene *s); /* at each stop; may say how to go on */
};

/* An NMI at ticks that have nothing to do with the code. */
static void raise_nmi(void *opaque)
{
    struct scene *s = opaque;
    cpu_raise_pending(s->w.cpu, PEND_NMI);
    clock_event_set(&s->w.m.clock, &s->nmi, s->w.m.clock.now + EVENT_TICKS);
}

static int no_fd(void *opaque)
{
    (void)opaque;
    return -1;
}

static void stopped(void *opaque)
{
    struct scene *s = opaque;
    s->stops++;
    ck_assert(debugger_standing(s->d));
    debugger_continue(s->d);
    if (s->check)
        s->check(s);
}

static void scene_init(struct scene *s)
{
    *s = (struct scene){.check = NULL};
    world_init(&s->w, WORLD_64);
    struct ram *ram = &s->w.m.bus.ram;
    ck_assert(ram_write(ram, HANDLER + 16 * EXC_NMI, "\x48\xcf", 2));
    ck_assert(ram_write(ram, HANDLER + 16 * 0x80, "\x48\xff\xc5\x48\xcf", 5)); /* inc rbp; iretq */
    code(&s->w, PROGRAM);
    clock_event_init(&s->nmi, "nmi", raise_nmi, s);
    clock_event_set(&s->w.m.clock, &s->nmi, EVENT_TICKS);
    s->d = debugger_new(&s->w.m.group);
    s->console = (struct debug_console){.opaque = s, .fd = no_fd, .stopped = stopped};
    debugger_console_add(s->d, &s->console);
}

static void scene_fini(struct scene *s)
{
    debugger_free(s->d);
    clock_event_cancel(&s->w.m.clock, &s->nmi);
    world_fini(&s->w);
}

/* To the end, by as many stops as it takes. */
static void scene_run(struct scene *s)
{
    struct cpu_group *group = &s->w.m.group;
    group->insn_limit = 10500;
    do {
        group->stop = debugger_due(s->d) ? STOP_DEBUG : STOP_NONE;
        cpu_group_run(group);
    } while (group->stop == STOP_DEBUG && debugger_serve(s->d));
    ck_assert_int_eq(group->stop, STOP_LIMIT);
    ck_assert_uint_eq(s->w.cpu->rip, CODE + 0x37);
}

/* Makes the machine stand before its first instruction, so that points can be set. */
static void add(struct scene *s, struct debug_point p)
{
    struct error err = {{0}};
    ck_assert_msg(debugger_add(s->d, &p, &err), "%s", err.text);
    debugger_request_stop(s->d);
}

/* ---- The guest does not notice ---- */

struct result {
    u64 gpr[16], eflags, now, insns, exceptions, interrupts;
    u8 memory[0x2000], tables[0x1000];
};

static void take_result(const struct scene *s, struct result *r)
{
    const struct cpu *cpu = s->w.cpu;
    memset(r, 0, sizeof(*r));
    memcpy(r->gpr, cpu->gpr, sizeof(r->gpr));
    r->eflags = cpu_eflags(cpu);
    r->now = cpu->clock->now;
    r->insns = cpu->insns;
    r->exceptions = cpu->exceptions;
    r->interrupts = cpu->interrupts;
    ck_assert(ram_read(&s->w.m.bus.ram, COUNTER, r->memory, sizeof(r->memory)));
    ck_assert(ram_read(&s->w.m.bus.ram, PML4 + 0x3000, r->tables, sizeof(r->tables)));
}

static u64 next_random(struct scene *s)
{
    s->seed = s->seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return s->seed >> 33;
}

static void go_on_somehow(struct scene *s)
{
    u64 n = next_random(s) % 8;
    if (n < 3)
        debugger_step(s->d, 0, n == 0);
    if (n == 3) { /* taking a point away and another one */
        const struct debug_point *p = debugger_point(s->d, 0);
        struct debug_point again = *p;
        ck_assert(debugger_remove(s->d, p->id));
        ck_assert(debugger_add(s->d, &again, NULL));
    }
}

static void add_random(struct scene *s)
{
    static const u64 words[] = {COUNTER,   COUNTER + 4, COUNTER + 8, COPY,        COPY + 15,
                                STACK - 8, STACK - 16,  CODE,        IDT + 0x800, PML4 + 0x3400};
    struct debug_point p = {.physical = next_random(s) & 1, .size = 1 + next_random(s) % 9};
    switch (next_random(s) % 4) {
    case 0:
        p.kind = (enum debug_point_kind)(DEBUG_WRITE + next_random(s) % 3);
        p.address = words[next_random(s) % ARRAY_SIZE(words)];
        break;
    case 1:
        p.kind = DEBUG_EXCEPTION;
        p.number = DEBUG_ANY;
        break;
    default:
        p.kind = DEBUG_EXEC;
        p.address = CODE + next_random(s) % 0x38;
        break;
    }
    add(s, p);
}

START_TEST(the_guest_notices_nothing)
{
    static struct result want, got;
    struct scene s;
    unsigned stops = 0;
    scene_init(&s);
    scene_run(&s);
    ck_assert_uint_eq(s.stops, 0);
    ck_assert_uint_eq(s.w.cpu->gpr[RBP], ROUNDS);
    take_result(&s, &want);
    scene_fini(&s);
    for (u64 seed = 1; seed <= 60; seed++) {
        scene_init(&s);
        s.seed = seed * 12345;
        s.check = go_on_somehow;
        for (unsigned n = 0; n < 1 + seed % 5; n++)
            add_random(&s);
        scene_run(&s);
        take_result(&s, &got);
        ck_assert_msg(!memcmp(&want, &got, sizeof(want)), "seed %llu", (unsigned long long)seed);
        stops += s.stops;
        scene_fini(&s);
    }
    ck_assert_uint_gt(stops, 10000);
}
END_TEST

/* ---- Breakpoints ---- */

/* The first stop is the one that was asked for, to set points. */
static void check_inc(struct scene *s)
{
    const struct debug_stop *stop = debugger_last(s->d);
    if (s->stops == 1)
        return;
    ck_assert_int_eq(stop->kind, DEBUG_STOP_POINT);
    ck_assert_uint_eq(stop->rip, INC);
    ck_assert_uint_eq(s->w.cpu->rip, INC);
    ck_assert_uint_eq(get(&s->w, COUNTER, 4), s->stops - 2);
    ck_assert_uint_eq(s->w.cpu->gpr[RCX], ROUNDS + 2 - s->stops);
    ck_assert_uint_eq(stop->point.hits, s->stops - 1);
}

static void check_breakpoint(bool physical)
{
    struct scene s;
    scene_init(&s);
    s.check = check_inc;
    add(&s, (struct debug_point){.kind = DEBUG_EXEC, .address = INC, .physical = physical});
    scene_run(&s);
    ck_assert_uint_eq(s.stops, 1 + ROUNDS);
    scene_fini(&s);
}

START_TEST(a_breakpoint_stops_before_its_instruction)
{
    check_breakpoint(false);
    check_breakpoint(true);
}
END_TEST

/* Also where the block overwrites the flags before it reads them, and at both halves of a pair. */
static void check_flags(struct scene *s)
{
    u64 flags = cpu_eflags(s->w.cpu);
    bool zero = s->w.cpu->rip == JNZ && s->w.cpu->gpr[RCX] == 0;
    if (s->stops > 1)
        ck_assert_int_eq((flags & FLAG_ZF) != 0, zero);
}

START_TEST(flags_are_exact)
{
    struct scene s;
    scene_init(&s);
    s.check = check_flags;
    add(&s, (struct debug_point){.kind = DEBUG_EXEC, .address = CMP});
    add(&s, (struct debug_point){.kind = DEBUG_EXEC, .address = JNZ});
    scene_run(&s);
    ck_assert_uint_eq(s.stops, 1 + 2 * ROUNDS);
    scene_fini(&s);
}
END_TEST

/* A repeated string instruction stops before each iteration, each being an instruction. */
START_TEST(once_and_disabled)
{
    struct scene s;
    scene_init(&s);
    add(&s, (struct debug_point){.kind = DEBUG_EXEC, .address = INC, .once = true});
    add(&s, (struct debug_point){.kind = DEBUG_EXEC, .address = DEC, .disabled = true});
    scene_run(&s);
    ck_assert_uint_eq(s.stops, 2);
    ck_assert_ptr_nonnull(debugger_point(s.d, 0));
    ck_assert_ptr_null(debugger_point(s.d, 1));
    ck_assert(!debugger_enable(s.d, 1, true));
    ck_assert(debugger_enable(s.d, 2, true));
    ck_assert(!debugger_remove(s.d, 77));
    scene_fini(&s);
}
END_TEST

/* ---- Watchpoints ---- */

static void check_write(struct scene *s)
{
    const struct debug_stop *stop = debugger_last(s->d);
    if (s->stops == 1)
        return;
    ck_assert_uint_eq(stop->rip, INC + 7);
    ck_assert_uint_eq(get(&s->w, COUNTER, 4), s->stops - 1);
    ck_assert_uint_eq(stop->address, COUNTER);
    ck_assert_uint_eq(stop->size, 4);
    ck_assert(stop->write);
}

START_TEST(a_watchpoint_stops_after_its_instruction)
{
    for (unsigned physical = 0; physical < 2; physical++) {
        struct scene s;
        scene_init(&s);
        s.check = check_write;
        add(&s, (struct debug_point){
                    .kind = DEBUG_WRITE, .address = COUNTER, .size = 1, .physical = physical});
        scene_run(&s);
        ck_assert_uint_eq(s.stops, 1 + ROUNDS);
        scene_fini(&s);
    }
}
END_TEST

static unsigned count_stops(struct debug_point p)
{
    struct scene s;
    scene_init(&s);
    add(&s, p);
    scene_run(&s);
    unsigned stops = s.stops - 1;
    scene_fini(&s);
    return stops;
}

START_TEST(watchpoints_see_each_kind_of_access)
{
    /* INC reads and writes, REP MOVSB reads each byte */
    ck_assert_uint_eq(
        count_stops((struct debug_point){.kind = DEBUG_READ, .address = COUNTER, .size = 1}),
        2 * ROUNDS);
    ck_assert_uint_eq(
        count_stops((struct debug_point){.kind = DEBUG_ACCESS, .address = COUNTER + 9, .size = 2}),
        3 * ROUNDS);
    ck_assert_uint_eq(
        count_stops((struct debug_point){.kind = DEBUG_WRITE, .address = COPY + 3, .size = 3}),
        3 * ROUNDS);
    ck_assert_uint_eq(
        count_stops((struct debug_point){.kind = DEBUG_WRITE, .address = COPY + 16, .size = 64}),
        0);
}
END_TEST

START_TEST(hostile_ranges_are_refused)
{
    struct scene s;
    struct error err = {{0}};
    struct debug_point p = {.kind = DEBUG_WRITE, .address = UINT64_MAX, .size = 2};
    scene_init(&s);
    ck_assert_uint_eq(debugger_add(s.d, &p, &err), 0);
    p.size = 0;
    ck_assert_uint_eq(debugger_add(s.d, &p, &err), 0);
    p.kind = DEBUG_POINT_KINDS;
    ck_assert_uint_eq(debugger_add(s.d, &p, &err), 0);
    p = (struct debug_point){.kind = DEBUG_ACCESS, .size = UINT64_MAX, .physical = true};
    add(&s, p);
    p = (struct debug_point){.kind = DEBUG_EXEC, .address = UINT64_MAX, .physical = true};
    add(&s, p);
    scene_run(&s);
    ck_assert_uint_gt(s.stops, ROUNDS);
    unsigned n = 2;
    while (debugger_add(s.d, &p, &err))
        n++;
    ck_assert_uint_eq(n, 1024);
    scene_fini(&s);
}
END_TEST

/* ---- Steps ---- */

static void keep_stepping(struct scene *s)
{
    if (s->stops > 1)
        ck_assert_int_eq(debugger_last(s->d)->kind, DEBUG_STOP_STEP);
    debugger_step(s->d, 0, false);
}

/* One stop an instruction (an INT is one) and one for each NMI that comes between two. */
START_TEST(steps_are_single)
{
    struct scene s;
    scene_init(&s);
    s.check = keep_stepping;
    debugger_request_stop(s.d);
    scene_run(&s);
    u64 events = s.w.cpu->clock->now / EVENT_TICKS;
    ck_assert_uint_ge(s.stops, s.w.cpu->insns);
    ck_assert_uint_le(s.stops, 1 + s.w.cpu->insns + events);
    scene_fini(&s);
}
END_TEST

/* ---- Looking ---- */

START_TEST(memory_is_read_without_a_trace)
{
    struct scene s;
    static u8 before[0x5000], after[0x5000], bytes[0x3000];
    u64 hpa = 0;
    scene_init(&s);
    struct ram *ram = &s.w.m.bus.ram;
    put(&s.w, PML4 + 0x3000 + 8 * 0x91, 0, 8);                /* 91000h is not mapped */
    put(&s.w, PML4 + 0x3000 + 8 * 0x92, 0x80000 | 7, 8);      /* 92000h is 80000h */
    put(&s.w, PML4 + 0x3000 + 8 * 0x94, BIT(40) | 0x1007, 8); /* beyond RAM */
    put(&s.w, COUNTER, 0x1234, 8);
    ck_assert(ram_read(ram, PML4, before, sizeof(before)));
    ck_assert_uint_eq(debugger_read(s.w.cpu, 0x90800, bytes, 0x1000), 0x800);
    ck_assert_uint_eq(debugger_read(s.w.cpu, 0x91000, bytes, 1), 0);
    ck_assert_uint_eq(debugger_read(s.w.cpu, 0x92000, bytes, 8), 8);
    ck_assert_uint_eq(bytes[0], 0x34);
    ck_assert_uint_eq(debugger_read(s.w.cpu, 0x94000, bytes, 8), 0);
    ck_assert(debugger_translate(s.w.cpu, 0x92345, &hpa));
    ck_assert_uint_eq(hpa, 0x80345);
    ck_assert_uint_eq(debugger_read(s.w.cpu, UINT64_MAX - 3, bytes, 16), 0);
    ck_assert(ram_read(ram, PML4, after, sizeof(after)));
    ck_assert_mem_eq(before, after, sizeof(before));
    ck_assert_uint_eq(debugger_read_physical(&s.w.m.group, MIB - 8, bytes, 16), 8);
    ck_assert_uint_eq(debugger_read_physical(&s.w.m.group, UINT64_MAX - 7, bytes, 16), 0);
    ck_assert_uint_eq(debugger_write(s.w.cpu, 0x92ffc, "abcdefgh", 8), 8);
    ck_assert_uint_eq(get(&s.w, 0x80ffc, 4), 0x64636261);
    ck_assert_uint_eq(get(&s.w, 0x93000, 4), 0x68676665);
    scene_fini(&s);
}
END_TEST

static void patch_code(struct scene *s)
{
    if (s->stops == 2) /* INC becomes a NOP, now that it is decoded */
        ck_assert_uint_eq(debugger_write(s->w.cpu, INC, "\x0f\x1f\x80\0\0\0\0", 7), 7);
}

START_TEST(code_can_be_written)
{
    struct scene s;
    scene_init(&s);
    s.check = patch_code;
    add(&s, (struct debug_point){.kind = DEBUG_EXEC, .address = DEC, .once = true});
    scene_run(&s);
    ck_assert_uint_eq(get(&s.w, COUNTER, 4), 1);
    scene_fini(&s);
}
END_TEST

START_TEST(registers_keep_to_their_rules)
{
    static const struct {
        const char *name;
        u64 value;
        bool ok;
    } sets[] = {
        {"rax", UINT64_MAX, true},
        {"rip", 0x1234, true},
        {"eflags", 0xffffffff, false},
        {"eflags", 0x8d7, true},
        {"cs", 8, false},
        {"fs_base", BIT(47), false},
        {"fs_base", 0x7000, true},
        {"ds_base", 1, false},
        {"cr0", BIT(40), false},
        {"cr4", UINT64_MAX, false},
        {"cr3", PML4 | 8, true},
        {"cr8", 16, false},
        {"cr8", 3, true},
        {"efer", 1, false},
        {"mxcsr", 0x10000, false},
        {"k_gs_base", BIT(63), false},
        {"dr7", 0x401, false},
        {"xcr0", 7, false},
        {"gdt_base", GDT + 8, true},
        {"no_register", 0, false},
        {"", 0, false},
    };
    struct scene s;
    u64 value = 0;
    scene_init(&s);
    for (size_t n = 0; n < ARRAY_SIZE(sets); n++) {
        u64 before = 0;
        bool known = debugger_get(s.w.cpu, sets[n].name, &before);
        ck_assert_msg(debugger_set(s.w.cpu, sets[n].name, sets[n].value) == sets[n].ok, "%s",
                      sets[n].name);
        ck_assert_int_eq(debugger_get(s.w.cpu, sets[n].name, &value), known);
        if (known)
            ck_assert_uint_eq(value, sets[n].ok ? sets[n].value : before);
        ck_assert(!s.w.cpu->exc.pending && !s.w.cpu->exit.pending);
    }
    scene_fini(&s);
}
END_TEST

START_TEST(names_are_found)
{
    u32 n = 0;
    ck_assert(debugger_find_reason("EPT_VIOLATION", &n) && n == 48);
    ck_assert(debugger_find_reason("cpuid", &n) && n == 10);
    ck_assert(debugger_find_reason("0x1e", &n) && n == 30);
    ck_assert(!debugger_find_reason("unknown", &n) && !debugger_find_reason("", &n));
    ck_assert(!debugger_find_reason("99999", &n) && !debugger_find_reason("-1", &n));
    ck_assert(debugger_find_field("Guest_RIP", &n) && n == 0x681e);
    ck_assert(debugger_find_field("0x681e", &n) && n == 0x681e);
    ck_assert(!debugger_find_field("0x7ffe", &n) && !debugger_find_field("guest", &n));
}
END_TEST

SUITE_MAIN("debugger", &the_guest_notices_nothing, &a_breakpoint_stops_before_its_instruction,
           &flags_are_exact, &once_and_disabled, &a_watchpoint_stops_after_its_instruction,
           &watchpoints_see_each_kind_of_access, &hostile_ranges_are_refused, &steps_are_single,
           &memory_is_read_without_a_trace, &code_can_be_written, &registers_keep_to_their_rules,
           &names_are_found)
