/* SPDX-License-Identifier: MIT */
/*
 * Random VMCSs and random sequences of VMX instructions: no harm to the host, no hang. Without
 * arguments a sample; by hand: test_vmx SEED GUESTS INSNS.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cpu/lapic_state.h"
#include "cpu/msr.h"
#include "tests/fuzz/code.h"
#include "tests/fuzz/vmcs.h"
#include "tests/suite.h"

struct totals {
    u64 insns, entries, exits, failures, starts;
    u64 by_reason[80];
};

/* ---- The host's code: in pieces of 64 bytes, each of which may be entered ---- */

struct writer {
    u8 bytes[64];
    unsigned used;
};

static void emit(struct writer *w, const char *bytes, unsigned size)
{
    memcpy(w->bytes + w->used, bytes, size);
    w->used += size;
}

static void emit_u32(struct writer *w, u32 v)
{
    memcpy(w->bytes + w->used, &v, 4);
    w->used += 4;
}

/* An operand of ModRM /ext at an absolute 32-bit address: 04 25 disp32 with ext in the middle. */
static void emit_absolute(struct writer *w, unsigned ext, u32 address)
{
    u8 modrm[2] = {(u8)(0x04 | ext << 3), 0x25};
    emit(w, (const char *)modrm, 2);
    emit_u32(w, address);
}

static u32 pointer(struct rng *r)
{
    return VMX_POINTERS + 8 * rng_below(r, PAGE_SIZE / 8);
}

static void field_access(struct writer *w, struct rng *r, bool write)
{
    u32 field = rng_chance(r, 95) ? vmcs_random_field(r) | rng_chance(r, 5) : (u32)rng_next(r);
    u64 value = rng_value(r);
    emit(w, "\xb8", 1); /* MOV EAX, field */
    emit_u32(w, field);
    emit(w, "\x48\xb9", 2); /* MOV RCX, value */
    emit(w, (const char *)&value, 8);
    emit(w, write ? "\x0f\x79\xc1" : "\x0f\x78\xc1", 3);
}

static void invalidation(struct writer *w, struct rng *r)
{
    emit(w, "\xb8", 1);
    emit_u32(w, rng_below(r, 5));
    emit(w, rng_chance(r, 50) ? "\x66\x0f\x38\x80" : "\x66\x0f\x38\x81", 4);
    emit_absolute(w, 0, VMX_AREA + 16 * rng_below(r, 64));
}

static void vmx_instruction(struct writer *w, struct rng *r)
{
    switch (rng_below(r, 12)) {
    case 0:
        field_access(w, r, true);
        break;
    case 1:
        field_access(w, r, false);
        break;
    case 2:
        emit(w, "\x66\x0f\xc7", 3); /* VMCLEAR */
        emit_absolute(w, 6, pointer(r));
        break;
    case 3:
    case 4:
        emit(w, "\x0f\xc7", 2); /* VMPTRLD */
        emit_absolute(w, 6, pointer(r));
        break;
    case 5:
        emit(w, "\x0f\xc7", 2); /* VMPTRST */
        emit_absolute(w, 7, VMX_POINTERS + 0xff8);
        break;
    case 6:
        invalidation(w, r);
        break;
    case 7:
        if (rng_chance(r, 20))
            emit(w, rng_chance(r, 50) ? "\x0f\x01\xc4" : "\x0f\x01\xc1", 3); /* VMXOFF, VMCALL */
        emit(w, "\xf3\x0f\xc7", 3);                                          /* VMXON */
        emit_absolute(w, 6, VMX_POINTERS + 0xff0);
        break;
    default:
        emit(w, rng_chance(r, 50) ? "\x0f\x01\xc2" : "\x0f\x01\xc3", 3); /* VMLAUNCH, VMRESUME */
        break;
    }
}

/* The first piece: into VMX operation, with a VMCS, launched. */
static void begin(struct writer *w, struct rng *r)
{
    emit(w, "\xf3\x0f\xc7", 3);
    emit_absolute(w, 6, VMX_POINTERS + 0xff0);
    emit(w, "\x0f\xc7", 2);
    emit_absolute(w, 6, pointer(r));
    emit(w, "\x0f\x01\xc2", 3);
}

/* Past the instruction that exited: GUEST_RIP += VM-exit instruction length. */
static void skip_instruction(struct writer *w)
{
    emit(w,
         "\xb8\x0c\x44\x00\x00\x0f\x78\xc1" /* MOV EAX, 440CH; VMREAD RCX, RAX */
         "\xb8\x1e\x68\x00\x00\x0f\x78\xc2" /* MOV EAX, 681EH; VMREAD RDX, RAX */
         "\x48\x01\xd1\x0f\x79\xc1",        /* ADD RCX, RDX; VMWRITE RAX, RCX */
         22);
}

static void fill_host(struct world *w, struct rng *r)
{
    for (u64 at = HOST_CODE; at < HOST_CODE + HOST_CODE_SIZE; at += 64) {
        struct writer piece = {.used = 0};
        if (at == HOST_CODE)
            begin(&piece, r);
        else if (rng_chance(r, 60))
            skip_instruction(&piece);
        while (piece.used < 40)
            vmx_instruction(&piece, r);
        emit(&piece, "\xe9", 1); /* JMP to another piece */
        u64 to = HOST_CODE + rng_below(r, HOST_CODE_SIZE / 64) * UINT64_C(64);
        emit_u32(&piece, (u32)(to - (at + piece.used + 4)));
        ck_assert(piece.used <= 64);
        ck_assert(ram_write(&w->m.bus.ram, at, piece.bytes, piece.used));
    }
    for (u64 n = 0; n < 256; n++) { /* all handlers lead there, too */
        u64 at = HANDLER + 16 * n;
        u64 to = HOST_CODE + rng_below(r, HOST_CODE_SIZE / 64) * UINT64_C(64);
        put(w, at, 0xe9 | (to - (at + 5)) << 8, 5);
    }
    put(w, VMX_POINTERS + 0xff0, VMX_REGION, 8);
}

/* ---- A machine ---- */

/* Instructions that may exit, at random places of random code. */
static void add_exiting(u8 *code, size_t size, struct rng *r)
{
    static const char *const some[] = {
        "\x0f\xa2",                     /* CPUID */
        "\x0f\x31",                     /* RDTSC */
        "\x0f\x01\xf9",                 /* RDTSCP */
        "\x0f\x33",                     /* RDPMC */
        "\xb9\x74\x01\x01\x01\x0f\x32", /* MOV ECX, ...; RDMSR */
        "\x0f\x32",                     /* RDMSR */
        "\x0f\x30",                     /* WRMSR */
        "\x0f\x20\xc0",                 /* MOV RAX, CR0 */
        "\x0f\x22\xc0",                 /* MOV CR0, RAX */
        "\x0f\x20\xd8",                 /* MOV RAX, CR3 */
        "\x0f\x22\xd8",                 /* MOV CR3, RAX */
        "\x0f\x20\xe0",                 /* MOV RAX, CR4 */
        "\x0f\x22\xe0",                 /* MOV CR4, RAX */
        "\x44\x0f\x20\xc0",             /* MOV RAX, CR8 */
        "\x44\x0f\x22\xc0",             /* MOV CR8, RAX */
        "\x0f\x21\xf8",                 /* MOV RAX, DR7 */
        "\x0f\x23\xf8",                 /* MOV DR7, RAX */
        "\x0f\x06",                     /* CLTS */
        "\x0f\x01\xf0",                 /* LMSW AX */
        "\x0f\x01\xe0",                 /* SMSW EAX */
        "\xf4",                         /* HLT */
        "\xf3\x90",                     /* PAUSE */
        "\x0f\x01\xc8",                 /* MONITOR */
        "\x0f\x01\xc9",                 /* MWAIT */
        "\xe4\x40",                     /* IN AL, 40H */
        "\xe6\x40",                     /* OUT 40H, AL */
        "\xee",                         /* OUT DX, AL */
        "\xf3\x6e",                     /* REP OUTSB */
        "\x6c",                         /* INSB */
        "\x0f\x01\x38",                 /* INVLPG [RAX] */
        "\x66\x0f\x38\x82\x01",         /* INVPCID RAX, [RCX] */
        "\x0f\x08",                     /* INVD */
        "\x0f\x09",                     /* WBINVD */
        "\x0f\x01\xd1",                 /* XSETBV */
        "\x0f\x01\x01",                 /* SGDT [RCX] */
        "\x0f\x01\x18",                 /* LIDT [RAX] */
        "\x0f\x01\xc1",                 /* VMCALL */
        "\xcc",                         /* INT3 */
        "\xcd\x80",                     /* INT 80H */
        "\xfb",                         /* STI */
        "\x48\xcf",                     /* IRETQ */
    };
    for (size_t at = 0; at + 16 < size; at += 4 + rng_below(r, 16)) {
        const char *one = some[rng_below(r, ARRAY_SIZE(some))];
        memcpy(code + at, one, strlen(one));
    }
}

static void fill_guest(struct world *w, struct rng *r)
{
    static u8 code[GUEST_CODE_SIZE];
    struct code_style style = {
        .mode = MODE_64, .wild = true, .base = STACK3, .bytes = 2 * PAGE_SIZE};
    code_fill(r, &style, code, sizeof(code));
    add_exiting(code, sizeof(code), r);
    ck_assert(ram_write(&w->m.bus.ram, GUEST_CODE, code, sizeof(code)));
}

static void start(struct world *w, struct rng *r)
{
    world_init(w, WORLD_64);
    struct cpu *cpu = w->cpu;
    vmx_attach(cpu);
    cpu->msr[MSR_FEATURE_CONTROL] = 5;
    ck_assert(cpu_write_cr4(cpu, cpu->cr4 | CR4_VMXE));
    vmcs_areas(w, r);
    for (unsigned k = 1; k < VMX_REGIONS; k++)
        vmcs_make(w, r, k, VMCS_GRADED);
    fill_host(w, r);
    fill_guest(w, r);
    block_drop_all(cpu->blocks);
    cpu->rip = HOST_CODE;
    cpu->gpr[RSP] = VMX_STACK;
}

static void finish(struct world *w, struct totals *t)
{
    const struct vmx *v = w->cpu->vmx;
    t->insns += w->cpu->insns;
    t->entries += v->entries;
    t->exits += v->exits;
    for (unsigned k = 0; k < ARRAY_SIZE(t->by_reason); k++)
        t->by_reason[k] += v->exits_by_reason[k];
    t->starts++;
    vmx_detach(w->cpu);
    world_fini(w);
}

static void disturb(struct world *w, struct rng *r)
{
    unsigned k = 1 + rng_below(r, VMX_REGIONS - 1);
    w->m.group.running = w->cpu;
    switch (rng_below(r, 8)) {
    case 0:
        cpu_raise_pending(w->cpu, PEND_NMI);
        break;
    case 1:
        lapic_accept(w->cpu->lapic, (u8)(32 + rng_below(r, 224)), false);
        break;
    case 2:
        if (rng_chance(r, 10))
            cpu_raise_pending(w->cpu, PEND_INIT);
        break;
    case 3:
        vmcs_areas(w, r);
        break;
    case 4:
    case 5:
        vmcs_mutate(w, r, k, 1 + rng_below(r, 4));
        break;
    default:
        vmcs_make(w, r, k,
                  rng_chance(r, 80) ? VMCS_GRADED : (enum vmcs_grade)rng_below(r, VMCS_GRADES));
        break;
    }
    w->m.group.running = NULL;
    block_drop_all(w->cpu->blocks);
}

/* Back to the host's code, whatever came of it. */
static bool is_over(const struct world *w)
{
    int stop = w->m.group.stop;
    return stop == STOP_TRIPLE_FAULT || stop == STOP_IDLE || w->cpu->activity == ACTIVITY_WAIT_SIPI;
}

static void one_guest(u64 seed, u64 insns, struct totals *t)
{
    struct rng r = rng_make(seed, 7);
    u64 done = 0;
    while (done < insns) {
        struct world w;
        start(&w, &r);
        u64 end = w.m.clock.now + insns - done;
        while (w.m.clock.now < end) {
            run(&w, 1 + rng_below(&r, 300));
            if (is_over(&w))
                break;
            disturb(&w, &r);
        }
        done += w.m.clock.now + 1;
        finish(&w, t);
    }
}

static void say(const struct totals *t)
{
    printf("%llu instructions, %llu starts, %llu entries, %llu exits:",
           (unsigned long long)t->insns, (unsigned long long)t->starts,
           (unsigned long long)t->entries, (unsigned long long)t->exits);
    for (u32 k = 0; k < ARRAY_SIZE(t->by_reason); k++)
        if (t->by_reason[k])
            printf(" %s %llu", vmx_reason_name(k), (unsigned long long)t->by_reason[k]);
    printf("\n");
}

START_TEST(sample)
{
    struct totals t = {0};
    for (u64 seed = 1; seed <= 16; seed++)
        one_guest(seed, 2000, &t);
    ck_assert_uint_gt(t.entries, 1000); /* it is not hollow */
    unsigned reasons = 0;
    for (unsigned k = 0; k < ARRAY_SIZE(t.by_reason); k++)
        reasons += t.by_reason[k] != 0;
    ck_assert_uint_gt(reasons, 20);
}
END_TEST

static u64 first_seed, guests, guest_insns;

START_TEST(by_hand)
{
    struct totals t = {0};
    for (u64 seed = first_seed; seed < first_seed + guests; seed++)
        one_guest(seed, guest_insns, &t);
    say(&t);
}
END_TEST

int main(int argc, char **argv)
{
    const suite_test tests[] = {argc == 4 ? &by_hand : &sample};
    if (argc == 4) {
        first_seed = strtoull(argv[1], NULL, 0);
        guests = strtoull(argv[2], NULL, 0);
        guest_insns = strtoull(argv[3], NULL, 0);
        setenv("CK_DEFAULT_TIMEOUT", "3600", 1);
    }
    return suite_run("vmx noise", tests, 1);
}
