/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/runs.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "cpu/block.h"
#include "tests/fuzz/state.h"

/* Host seconds after which one guest counts as hung: its instructions end, but one of them doesn't. */
#define HANG_SECONDS 120

/* ---- Ways to run a tame guest ---- */

static void run_plain(struct guest *g, u64 insns, struct rng *r)
{
    (void)r;
    guest_run(g, insns);
}

static void run_steps(struct guest *g, u64 insns, struct rng *r)
{
    (void)r;
    for (u64 end = 1; end <= insns && guest_run(g, end); end++)
        ;
}

static void run_chunks(struct guest *g, u64 insns, struct rng *r)
{
    for (u64 end = 0; end < insns;) {
        u64 more = 1 + rng_below(r, 1u << rng_below(r, 10));
        end = MIN(insns, end + more);
        if (!guest_run(g, end))
            return;
    }
}

static void run_drops(struct guest *g, u64 insns, struct rng *r)
{
    for (u64 end = 0; end < insns;) {
        u64 more = 1 + rng_below(r, 400);
        end = MIN(insns, end + more);
        if (!guest_run(g, end))
            return;
        block_drop_all(g->m->group.blocks);
    }
}

static const struct way {
    const char *name;
    void (*run)(struct guest *g, u64 insns, struct rng *r);
} ways[] = {
    {"in blocks", run_plain},
    {"in steps", run_steps},
    {"in chunks", run_chunks},
    {"dropping code", run_drops},
};

static void run_way(const struct way *way, enum guest_mode mode, u64 seed, u64 insns,
                    struct state *s)
{
    struct guest g;
    struct rng r = rng_make(seed, 1000);
    guest_init(&g, mode, GUEST_TAME, seed);
    way->run(&g, insns, &r);
    state_take(&g, s);
    guest_fini(&g);
}

/* ---- Runs ---- */

/* Shared with the child. */
struct progress {
    u64 seed;
    struct runs_result result;
};

static const char *kind_name(enum guest_kind kind)
{
    return kind == GUEST_TAME ? "equal" : "wild";
}

static void print_repeat(const struct runs *runs, u64 seed)
{
    printf("    repeat: tests/fuzz/test_fuzz %s %s %llu 1 %llu\n", kind_name(runs->kind),
           guest_mode_names[runs->mode], (unsigned long long)seed, (unsigned long long)runs->insns);
    fflush(stdout);
}

static void count(struct runs_result *to, const struct guest *g)
{
    to->guests++;
    for (unsigned k = 0; k < g->m->group.count; k++) {
        to->insns += g->m->group.cpu[k]->insns;
        to->exceptions += g->m->group.cpu[k]->exceptions;
        to->interrupts += g->m->group.cpu[k]->interrupts;
    }
}

static void print_hash(const struct runs *runs, u64 seed, const struct state *s)
{
    printf("%s %s %llu: %016llx\n", kind_name(runs->kind), guest_mode_names[runs->mode],
           (unsigned long long)seed, (unsigned long long)state_hash(s));
}

static void do_tame(const struct runs *runs, u64 seed, struct runs_result *result)
{
    struct guest g;
    struct state first, other;
    guest_init(&g, runs->mode, GUEST_TAME, seed);
    ways[0].run(&g, runs->insns, NULL);
    if (runs->hashes && g.m->group.stop)
        printf("stopped: %d %s\n", g.m->group.stop, g.m->group.stop_text);
    state_take(&g, &first);
    count(result, &g);
    guest_fini(&g);
    for (size_t k = 1; k < ARRAY_SIZE(ways); k++) {
        run_way(&ways[k], runs->mode, seed, runs->insns, &other);
        if (state_differ(&first, &other) < 0)
            continue;
        result->faults++;
        printf("%s, seed %llu: %s differs from %s\n", guest_mode_names[runs->mode],
               (unsigned long long)seed, ways[k].name, ways[0].name);
        state_print(&first, &other);
        print_repeat(runs, seed);
    }
    if (runs->hashes)
        print_hash(runs, seed, &first);
}

/* Disturbed every few hundred instructions, started again when it stops. */
static void do_wild(const struct runs *runs, u64 seed, struct runs_result *result)
{
    struct guest g;
    guest_init(&g, runs->mode, GUEST_WILD, seed);
    struct rng r = rng_make(seed, 2000);
    for (u64 n = 0; guest_insns(&g) < runs->insns && n < runs->insns / 16 + 16; n++) {
        if (guest_run(&g, g.m->clock.now + 1 + rng_below(&r, 500)))
            guest_disturb(&g);
        else
            guest_start(&g);
    }
    count(result, &g);
    if (runs->hashes) {
        struct state s;
        state_take(&g, &s);
        print_hash(runs, seed, &s);
    }
    guest_fini(&g);
}

static void child(const struct runs *runs, struct progress *p)
{
    for (; p->seed < runs->seed + runs->count; p->seed++) {
        alarm(HANG_SECONDS);
        (runs->kind == GUEST_TAME ? do_tame : do_wild)(runs, p->seed, &p->result);
    }
    fflush(stdout);
}

struct runs_result runs_do(const struct runs *runs)
{
    struct progress *p =
        mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(p != MAP_FAILED);
    p->seed = runs->seed;
    while (p->seed < runs->seed + runs->count) {
        int status = 0;
        fflush(stdout);
        pid_t pid = fork();
        ASSERT(pid >= 0);
        if (!pid) {
            child(runs, p);
            _exit(0);
        }
        waitpid(pid, &status, 0);
        if (!status)
            break;
        printf("%s, seed %llu: %s %d\n", guest_mode_names[runs->mode], (unsigned long long)p->seed,
               WIFSIGNALED(status) ? "killed by signal" : "ended with status",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        print_repeat(runs, p->seed++);
        p->result.faults++;
    }
    struct runs_result result = p->result;
    munmap(p, sizeof(*p));
    return result;
}

/* ---- Finding the instruction ---- */

static void print_place(enum guest_mode mode, u64 seed, u64 insns)
{
    struct guest g;
    guest_init(&g, mode, GUEST_TAME, seed);
    run_steps(&g, insns, NULL);
    struct cpu *cpu = g.cpu;
    u64 lin = cpu->mode & MODE_64 ? cpu->rip : (u32)(cpu->seg[SEG_CS].base + cpu->rip);
    printf("after %llu: CS:RIP %04x:%llx mode %x RFLAGS %llx bytes", (unsigned long long)insns,
           cpu->seg[SEG_CS].selector, (unsigned long long)cpu->rip, cpu->mode,
           (unsigned long long)cpu_eflags(cpu));
    struct walk_ctx ctx;
    cpu_walk_ctx(cpu, false, &ctx);
    for (unsigned k = 0; k < 16; k++) {
        struct walk_out out;
        walk_translate(&ctx, lin + k, WALK_FETCH, &out);
        const u8 *p = out.result == WALK_OK ? ram_host(&cpu->bus->ram, out.hpa) : NULL;
        if (p)
            printf(" %02x", *p);
        else
            printf(" --");
    }
    printf("\n");
    guest_fini(&g);
}

/* The first number of instructions after which way k has parted from the first way; 0: none. */
static u64 parting(enum guest_mode mode, u64 seed, u64 insns, size_t k)
{
    u64 good = 0, bad = insns + 1;
    struct state a, b;
    while (bad - good > 1) {
        u64 middle = good + (bad - good) / 2;
        run_way(&ways[0], mode, seed, middle, &a);
        run_way(&ways[k], mode, seed, middle, &b);
        *(state_differ(&a, &b) < 0 ? &good : &bad) = middle;
    }
    return bad > insns ? 0 : bad;
}

void runs_bisect(enum guest_mode mode, u64 seed, u64 insns)
{
    struct state a, b;
    for (size_t k = 1; k < ARRAY_SIZE(ways); k++) {
        u64 bad = parting(mode, seed, insns, k);
        if (!bad)
            continue;
        /* Near its end a run goes in steps: what parts them may be a block of instructions back. */
        printf("%s, not %s:\n", ways[k].name, ways[0].name);
        for (u64 n = bad < BLOCK_MAX_INSNS ? 0 : bad - BLOCK_MAX_INSNS; n <= bad; n++)
            print_place(mode, seed, n);
        run_way(&ways[0], mode, seed, bad, &a);
        run_way(&ways[k], mode, seed, bad, &b);
        state_print(&a, &b);
    }
}
