/* SPDX-License-Identifier: MIT */
/* System-management mode: SMI from each mode, RSM back, what waits, what the handler may change. */
#include "tests/suite.h"

#include <stdio.h>

#include "cpu/smm.h"
#include "tests/cpu/world.h"
#include "tests/fuzz/random.h"

/* SMRAM out of the way of the world's stacks. */
#define SMBASE 0x80000u
#define AREA (SMBASE + SMM_AREA)

#define RSM "\x0f\xaa"
#define NOPS "\x90\x90\x90\x90\x90\x90\x90\x90"

#define smm_code(w, bytes)                                                                         \
    do {                                                                                           \
        ck_assert(ram_write(&(w)->m.bus.ram, SMBASE + SMM_ENTRY, bytes, sizeof(bytes) - 1));       \
        block_drop_all((w)->cpu->blocks);                                                          \
    } while (0)

static void smm_world(struct world *w, enum world_mode mode)
{
    world_init(w, mode);
    w->cpu->smbase = SMBASE;
}

static void smi(struct world *w)
{
    struct lapic_msg msg = {.dest = 0xff, .delivery = APIC_SMI};
    ck_assert(lapic_deliver(&w->m.group, &msg));
}

/* What RSM brings back. */
struct state {
    u64 gpr[16], rip, rflags, cr0, cr3, cr4, efer, dr6, dr7;
    struct segment seg[SEG_COUNT];
    struct dtable gdtr, idtr;
    u32 mode;
};

static struct state state_of(const struct cpu *cpu)
{
    struct state st;
    memset(&st, 0, sizeof(st)); /* compared as bytes */
    memcpy(st.gpr, cpu->gpr, sizeof(st.gpr));
    for (unsigned k = 0; k < SEG_COUNT; k++) {
        st.seg[k].base = cpu->seg[k].base;
        st.seg[k].limit = cpu->seg[k].limit;
        st.seg[k].attr = cpu->seg[k].attr;
        st.seg[k].selector = cpu->seg[k].selector;
    }
    st.rip = cpu->rip;
    st.rflags = cpu_eflags(cpu);
    st.cr0 = cpu->cr0;
    st.cr3 = cpu->cr3;
    st.cr4 = cpu->cr4;
    st.efer = cpu->efer;
    st.dr6 = cpu->dr[6];
    st.dr7 = cpu->dr[7];
    st.gdtr.base = cpu->gdtr.base;
    st.gdtr.limit = cpu->gdtr.limit;
    st.idtr.base = cpu->idtr.base;
    st.idtr.limit = cpu->idtr.limit;
    st.mode = cpu->mode;
    return st;
}

static void assert_entry_state(const struct cpu *cpu)
{
    ck_assert(cpu->smm);
    ck_assert_uint_eq(cpu->seg[SEG_CS].base, SMBASE);
    ck_assert_uint_eq(cpu->seg[SEG_CS].selector, SMBASE >> 4);
    for (unsigned k = SEG_ES; k <= SEG_GS; k++)
        ck_assert_uint_eq(cpu->seg[k].limit, UINT32_MAX);
    ck_assert_uint_eq(cpu->seg[SEG_SS].base, 0);
    ck_assert_uint_eq(cpu->seg[SEG_SS].selector, 0);
    ck_assert_uint_eq(cpu_eflags(cpu), 2);
    ck_assert_uint_eq(cpu->cr0 & (CR0_PE | CR0_EM | CR0_TS | CR0_PG), 0);
    ck_assert_uint_eq(cpu->cr4, 0);
    ck_assert_uint_eq(cpu->efer, 0);
    ck_assert_uint_eq(cpu->dr[7], 0x400);
    ck_assert(cpu->nmi_blocked);
}

/* An SMI, one NOP of the handler, RSM: everything is as it was. */
static void there_and_back(struct world *w)
{
    struct cpu *cpu = w->cpu;
    struct state before = state_of(cpu);
    smm_code(w, "\x90" RSM);
    smi(w);
    run(w, 1);
    ck_assert_uint_eq(cpu->rip, SMM_ENTRY + 1);
    assert_entry_state(cpu);
    ck_assert_uint_eq(get(w, AREA + SMM_REVISION, 4), SMM_REVISION_ID);
    ck_assert_uint_eq(get(w, AREA + SMM_SMBASE, 4), SMBASE);
    ck_assert_uint_eq(get(w, AREA + SMM_RIP, 8), before.rip);
    run(w, 1);
    ck_assert(!cpu->smm);
    struct state after = state_of(cpu);
    ck_assert_mem_eq(&after, &before, sizeof(after));
    ck_assert(!cpu->nmi_blocked);
}

START_TEST(modes)
{
    for (unsigned mode = WORLD_REAL; mode <= WORLD_64; mode++) {
        struct world w;
        smm_world(&w, (enum world_mode)mode);
        code(&w, NOPS);
        for (unsigned reg = 0; reg < 16; reg++)
            w.cpu->gpr[reg] = UINT64_C(0x1122334455667788) * (reg + 1);
        set_rflags(w.cpu, FLAG_1 | FLAG_CF | FLAG_OF | FLAG_DF);
        w.cpu->dr[7] = 0x455;
        there_and_back(&w);
        run(&w, 2); /* and the guest goes on */
        ck_assert_uint_eq(get(&w, AREA + SMM_R15, 8), w.cpu->gpr[R15]);
        world_fini(&w);
    }
}
END_TEST

START_TEST(user_modes)
{
    struct world w;
    for (unsigned mode = WORLD_32; mode <= WORLD_64; mode++) {
        smm_world(&w, (enum world_mode)mode);
        code(&w, NOPS);
        go_user(&w);
        segment_set_null(&w.cpu->seg[SEG_GS], 0, 0);
        there_and_back(&w);
        ck_assert_uint_eq(cpu_cpl(w.cpu), 3);
        world_fini(&w);
    }
    smm_world(&w, WORLD_32); /* virtual-8086 mode */
    set_rflags(w.cpu, FLAG_1 | FLAG_VM | FLAG_IOPL);
    for (unsigned k = SEG_ES; k <= SEG_GS; k++)
        segment_set_vm86(w.cpu, (enum seg_id)k, CODE >> 4);
    cpu_update_mode(w.cpu);
    code(&w, NOPS);
    w.cpu->rip = 0;
    there_and_back(&w);
    ck_assert(w.cpu->mode & MODE_VM86);
    world_fini(&w);
}
END_TEST

START_TEST(pae)
{
    struct world w;
    smm_world(&w, WORLD_32);
    code(&w, NOPS);
    put(&w, 0x9000, 0xa001, 8); /* PDPTE 0, a directory of 2-MByte pages */
    put(&w, 0xa000, 0x83, 8);
    ck_assert(cpu_write_cr4(w.cpu, CR4_PAE));
    ck_assert(cpu_write_cr3(w.cpu, 0x9000));
    ck_assert(cpu_write_cr0(w.cpu, CR0_PE | CR0_NE | CR0_PG));
    put(&w, 0x9000, 0, 8); /* the registers stay */
    there_and_back(&w);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 1);
    world_fini(&w);
}
END_TEST

START_TEST(halt)
{
    struct world w;
    smm_world(&w, WORLD_64);
    code(&w, "\xf4" NOPS);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->activity, ACTIVITY_HLT);
    smm_code(&w, RSM);
    smi(&w);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->msr[MSR_SMI_COUNT], 1);
    ck_assert_uint_eq(w.cpu->activity, ACTIVITY_HLT);
    ck_assert_uint_eq(w.cpu->rip, CODE + 1);
    /* MOV BYTE [CS:FEC9H], 0 */
    smm_code(&w, "\x2e\xc6\x06\xc9\xfe\x00" RSM);
    smi(&w);
    run(&w, 3);
    ck_assert_uint_eq(w.cpu->activity, ACTIVITY_RUN);
    ck_assert_uint_eq(w.cpu->rip, CODE + 2);
    world_fini(&w);
}
END_TEST

START_TEST(mwait)
{
    struct world w;
    smm_world(&w, WORLD_64);
    code(&w, "\x0f\x01\xc8\x0f\x01\xc9" NOPS); /* MONITOR, MWAIT */
    w.cpu->gpr[RAX] = STACK;
    w.cpu->gpr[RCX] = w.cpu->gpr[RDX] = 0;
    run(&w, 2);
    ck_assert_uint_eq(w.cpu->activity, ACTIVITY_MWAIT);
    smm_code(&w, RSM);
    smi(&w);
    run(&w, 2);
    ck_assert_uint_eq(w.cpu->rip, CODE + 7);
    world_fini(&w);
}
END_TEST

/* A port whose accesses bring an SMI. */
struct trap_port {
    struct world *w;
    unsigned reads, writes;
};

static u64 trap_read(void *opaque, u64 offset, unsigned size)
{
    struct trap_port *port = opaque;
    (void)offset;
    (void)size;
    if (port->reads++ == 0)
        smi(port->w);
    return 0x55;
}

static void trap_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct trap_port *port = opaque;
    (void)offset;
    (void)size;
    (void)value;
    if (port->writes++ == 0)
        smi(port->w);
}

static void trap_port_init(struct trap_port *port, struct world *w)
{
    static const struct bus_ops ops = {trap_read, trap_write, 4};
    *port = (struct trap_port){.w = w};
    bus_map_io(&w->m.bus, &(struct bus_region){0xb2, 4, &ops, port, "trap"});
}

/* MOV BYTE [CS:FEC8H], FFH */
#define RESTART_IO "\x2e\xc6\x06\xc8\xfe\xff"

START_TEST(io_restart)
{
    struct world w;
    struct trap_port port;
    smm_world(&w, WORLD_64);
    trap_port_init(&port, &w);
    code(&w, "\xe6\xb2" NOPS);
    smm_code(&w, RESTART_IO RSM);
    run(&w, 3);
    ck_assert_uint_eq(get(&w, AREA + SMM_IO_WHAT, 4), 0xb2 << 16 | 1 << 4 | SMM_IO_VALID);
    ck_assert_uint_eq(get(&w, AREA + SMM_RIP, 8), CODE + 2);
    ck_assert_uint_eq(get(&w, AREA + SMM_IO_RIP, 8), CODE);
    ck_assert_uint_eq(w.cpu->rip, CODE);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 2);
    ck_assert_uint_eq(port.writes, 2);
    /* An SMI from elsewhere tells of no I/O. */
    smm_code(&w, RSM);
    smi(&w);
    run(&w, 1);
    ck_assert_uint_eq(get(&w, AREA + SMM_IO_WHAT, 4), 0);
    world_fini(&w);
}
END_TEST

START_TEST(string_restart)
{
    struct world w;
    struct trap_port port;
    smm_world(&w, WORLD_64);
    trap_port_init(&port, &w);
    code(&w, "\xf3\x6c" NOPS); /* REP INSB */
    smm_code(&w, RESTART_IO RSM);
    w.cpu->gpr[RDX] = 0xb2;
    w.cpu->gpr[RCX] = 3;
    w.cpu->gpr[RDI] = STACK3;
    run(&w, 3);
    ck_assert_uint_eq(get(&w, AREA + SMM_IO_WHAT, 4),
                      0xb2 << 16 | 1 << 4 | SMM_IO_REP | SMM_IO_STRING | SMM_IO_VALID | SMM_IO_IN);
    ck_assert_uint_eq(w.cpu->gpr[RCX], 3);
    ck_assert_uint_eq(w.cpu->gpr[RDI], STACK3);
    run(&w, 3);
    ck_assert_uint_eq(w.cpu->gpr[RCX], 0);
    ck_assert_uint_eq(w.cpu->gpr[RDI], STACK3 + 3);
    ck_assert_uint_eq(port.reads, 4);
    world_fini(&w);
}
END_TEST

START_TEST(latch)
{
    struct world w;
    smm_world(&w, WORLD_32);
    code(&w, NOPS);
    smm_code(&w, "\x90\x90" RSM);
    smi(&w);
    run(&w, 1);
    smi(&w);
    smi(&w); /* one is latched, not two */
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->msr[MSR_SMI_COUNT], 1);
    run(&w, 2); /* RSM, and at once the second */
    ck_assert_uint_eq(w.cpu->msr[MSR_SMI_COUNT], 2);
    assert_entry_state(w.cpu);
    run(&w, 4);
    ck_assert(!w.cpu->smm);
    ck_assert_uint_eq(w.cpu->rip, CODE + 2);
    ck_assert_uint_eq(w.cpu->msr[MSR_SMI_COUNT], 2);
    world_fini(&w);
}
END_TEST

START_TEST(relocation)
{
    struct world w;
    smm_world(&w, WORLD_32);
    w.cpu->smbase = SMM_BASE_RESET;
    code(&w, NOPS);
    /* MOV DWORD [CS:FF00H], SMBASE; RSM */
    const char handler[] = "\x2e\x66\xc7\x06\x00\xff\x00\x00\x08\x00" RSM;
    ck_assert(ram_write(&w.m.bus.ram, 0x38000, handler, sizeof(handler) - 1));
    smm_code(&w, "\x90" RSM);
    smi(&w);
    run(&w, 2);
    ck_assert_uint_eq(w.cpu->smbase, SMBASE);
    there_and_back(&w);
    cpu_reset(w.cpu, true); /* INIT keeps it */
    ck_assert_uint_eq(w.cpu->smbase, SMBASE);
    cpu_reset(w.cpu, false);
    ck_assert_uint_eq(w.cpu->smbase, SMM_BASE_RESET);
    world_fini(&w);
}
END_TEST

START_TEST(rsm_outside)
{
    for (unsigned mode = WORLD_32; mode <= WORLD_64; mode++) {
        struct world w;
        smm_world(&w, (enum world_mode)mode);
        code(&w, RSM);
        run(&w, 1);
        ck_assert_uint_eq(w.cpu->exceptions, 1);
        ck_assert_uint_eq(w.cpu->rip & ~15u, HANDLER + 16 * EXC_UD);
        world_fini(&w);
    }
}
END_TEST

START_TEST(nmi_and_init)
{
    struct world w;
    smm_world(&w, WORLD_64);
    code(&w, NOPS);
    put(&w, HANDLER + 16 * EXC_NMI, 0x90909090, 4);
    smm_code(&w, "\x90\x90" RSM);
    smi(&w);
    run(&w, 1);
    cpu_raise_pending(w.cpu, PEND_NMI);
    run(&w, 1);
    ck_assert(w.cpu->smm && w.cpu->rip == SMM_ENTRY + 2);
    run(&w, 2);
    ck_assert_uint_eq(w.cpu->rip, HANDLER + 16 * EXC_NMI + 1);
    ck_assert(w.cpu->nmi_blocked);
    smi(&w); /* in the NMI's handler: blocked before, blocked after, whatever SMM does */
    run(&w, 1);
    w.cpu->nmi_blocked = false;
    cpu_raise_pending(w.cpu, PEND_INIT);
    run(&w, 1);
    ck_assert(w.cpu->smm);
    run(&w, 1);
    ck_assert(!w.cpu->smm && w.cpu->nmi_blocked);
    run(&w, 0);
    ck_assert(w.cpu->pending & PEND_INIT);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->cr0 & CR0_PE, 0);
    world_fini(&w);
}
END_TEST

START_TEST(shadow)
{
    struct world w;
    smm_world(&w, WORLD_32);
    code(&w, "\x8e\xd0" NOPS); /* MOV SS, AX */
    smm_code(&w, RSM);
    w.cpu->gpr[RAX] = DS0;
    run(&w, 1);
    smi(&w);
    ck_assert(w.cpu->irq_shadow);
    run(&w, 1); /* ends the shadow */
    ck_assert(w.cpu->smm);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 3);
    world_fini(&w);
}
END_TEST

/* A single-step trap waits beneath the SMI. */
START_TEST(step_trap)
{
    struct world w;
    smm_world(&w, WORLD_32);
    struct trap_port port;
    trap_port_init(&port, &w);
    code(&w, "\xe6\xb2" NOPS);
    smm_code(&w, "\x90" RSM);
    set_rflags(w.cpu, FLAG_1 | FLAG_TF);
    run(&w, 2);
    ck_assert(w.cpu->smm);
    run(&w, 2);
    ck_assert_uint_eq(w.cpu->exceptions, 1);
    ck_assert_uint_eq(w.cpu->rip & ~15u, HANDLER + 16 * EXC_DB);
    ck_assert_uint_eq(get(&w, w.cpu->gpr[RSP], 4), CODE + 2);
    world_fini(&w);
}
END_TEST

START_TEST(waits_for_sipi)
{
    struct world w;
    smm_world(&w, WORLD_REAL);
    code(&w, NOPS);
    w.cpu->activity = ACTIVITY_WAIT_SIPI;
    smi(&w);
    w.m.group.stop = STOP_NONE;
    w.m.group.insn_limit = CLOCK_NEVER;
    cpu_group_run(&w.m.group);
    ck_assert_int_eq(w.m.group.stop, STOP_IDLE);
    ck_assert(!w.cpu->smm && (w.cpu->pending & PEND_SMI));
    world_fini(&w);
}
END_TEST

/* ---- RSM to invalid states ---- */

static void rsm_shuts_down(unsigned at, u64 value)
{
    struct world w;
    smm_world(&w, WORLD_64);
    code(&w, NOPS);
    smm_code(&w, "\x90" RSM);
    smi(&w);
    run(&w, 1);
    put(&w, AREA + at, value, 8);
    run(&w, 1);
    ck_assert_msg(w.m.group.stop == STOP_TRIPLE_FAULT, "field %x", at);
    ck_assert_uint_eq(w.cpu->activity, ACTIVITY_SHUTDOWN);
    world_fini(&w);
}

START_TEST(invalid_states)
{
    static const struct {
        unsigned at;
        u64 value;
    } bad[] = {
        {SMM_CR0, CR0_PG | CR0_NE},
        {SMM_CR0, CR0_PE | CR0_PG | CR0_NW},
        {SMM_CR0, BIT(32) | CR0_PE},
        {SMM_CR0, CR0_PE},
        {SMM_CR4, CR4_PAE | CR4_VMXE},
        {SMM_CR4, CR4_PAE | BIT(63)},
        {SMM_CR4, 0},
        {SMM_CR3, BIT(60)},
        {SMM_EFER, EFER_LME},
        {SMM_EFER, EFER_LMA},
        {SMM_EFER, EFER_LME | EFER_LMA | 2},
        {SMM_EFER, 0},
        {SMM_RFLAGS, FLAG_1 | FLAG_VM},
        {SMM_RIP, BIT(60)},
    };
    for (size_t k = 0; k < ARRAY_SIZE(bad); k++)
        rsm_shuts_down(bad[k].at, bad[k].value);
}
END_TEST

START_TEST(bad_pdptes)
{
    struct world w;
    smm_world(&w, WORLD_32);
    code(&w, NOPS);
    smm_code(&w, "\x90" RSM);
    smi(&w);
    run(&w, 1);
    put(&w, 0x9000, 0x1e7, 8); /* reserved bits */
    put(&w, AREA + SMM_CR3, 0x9000, 8);
    put(&w, AREA + SMM_CR4, CR4_PAE, 8);
    put(&w, AREA + SMM_CR0, CR0_PE | CR0_PG, 8);
    run(&w, 1);
    ck_assert_int_eq(w.m.group.stop, STOP_TRIPLE_FAULT);
    world_fini(&w);
}
END_TEST

/* ---- Hostile handlers ---- */

/* Control fields pass the checks often enough for the rest to be tried. */
static void random_area(struct world *w, struct rng *r)
{
    static const u64 cr0s[] = {CR0_ET, CR0_ET | CR0_PE, CR0_ET | CR0_PE | CR0_PG};
    u64 cr0 = cr0s[rng_below(r, 3)], cr4 = rng_value(r) & cpu_cr4_mask(w->cpu);
    bool lme = rng_below(r, 2);
    for (unsigned at = 0; at < SMM_AREA_SIZE; at += 8)
        if (rng_below(r, 4))
            put(w, AREA + at, rng_value(r), 8);
    if (lme && (cr0 & CR0_PG))
        cr4 |= CR4_PAE;
    else
        cr4 &= ~(u64)CR4_PCIDE;
    put(w, AREA + SMM_CR0, cr0, 8);
    put(w, AREA + SMM_CR4, cr4, 8);
    put(w, AREA + SMM_CR3, rng_below(r, 2) ? PML4 : rng_value(r) & 0xff000, 8);
    put(w, AREA + SMM_EFER, !lme ? 0 : cr0 & CR0_PG ? EFER_LME | EFER_LMA : EFER_LME, 8);
    if (rng_below(r, 2))
        put(w, AREA + SMM_RIP, CODE + rng_below(r, 64), 8);
    if (rng_below(r, 2))
        put(w, AREA + SMM_RFLAGS, rng_value(r) & ~(u64)FLAG_VM, 8);
    if (rng_below(r, 4))
        put(w, AREA + SMM_HALT_RESTART, 0, 1);
}

START_TEST(hostile_areas)
{
    struct rng r = rng_make(7, 0);
    unsigned survived = 0;
    for (unsigned n = 0; n < 300; n++) {
        struct world w;
        smm_world(&w, (enum world_mode)rng_below(&r, 3));
        code(&w, NOPS);
        smm_code(&w, "\x90" RSM);
        for (u64 at = CODE; at < CODE + 128; at += 8)
            put(&w, at, rng_value(&r), 8);
        smi(&w);
        run(&w, 1);
        random_area(&w, &r);
        run(&w, 1);
        survived += w.m.group.stop != STOP_TRIPLE_FAULT;
        for (unsigned k = 0; k < 4 && w.m.group.stop != STOP_TRIPLE_FAULT; k++) {
            if (rng_below(&r, 3) == 0)
                smi(&w);
            run(&w, 20);
        }
        world_fini(&w);
    }
    ck_assert_uint_gt(survived, 100);
}
END_TEST

/* SMBASE anywhere: SMRAM on the local APIC, beyond RAM, odd, wrapping. */
START_TEST(strange_bases)
{
    static const u32 bases[] = {0xfee00000 - 0xfe00, 0xfedf8000, 0xffffff00, 0x80001, 0xf8000, 1};
    for (size_t k = 0; k < ARRAY_SIZE(bases); k++) {
        struct world w;
        smm_world(&w, WORLD_REAL);
        code(&w, NOPS);
        w.cpu->smbase = bases[k];
        smi(&w);
        run(&w, 30);
        world_fini(&w);
    }
}
END_TEST

START_TEST(snapshot)
{
    struct world w;
    struct error err = {{0}};
    const char *path = "test-smm.snap";
    smm_world(&w, WORLD_64);
    code(&w, NOPS);
    struct state before = state_of(w.cpu);
    smm_code(&w, "\x90" RSM);
    w.cpu->nmi_blocked = true;
    smi(&w);
    run(&w, 1);
    struct snap *s = snap_open_save(path, &err);
    cpu_snap(w.cpu, s);
    ck_assert_msg(snap_close(s, &err), "%s", err.text);
    cpu_reset(w.cpu, false);
    s = snap_open_load(path, &err);
    ck_assert_msg(s != NULL, "%s", err.text);
    cpu_snap(w.cpu, s);
    ck_assert_msg(snap_close(s, &err), "%s", err.text);
    remove(path);
    assert_entry_state(w.cpu);
    run(&w, 1);
    struct state after = state_of(w.cpu);
    ck_assert_mem_eq(&after, &before, sizeof(after));
    ck_assert(w.cpu->nmi_blocked);
    world_fini(&w);
}
END_TEST

SUITE_MAIN("smm", &modes, &user_modes, &pae, &halt, &mwait, &io_restart, &string_restart, &latch,
           &relocation, &rsm_outside, &nmi_and_init, &shadow, &step_trap, &waits_for_sipi,
           &invalid_states, &bad_pdptes, &hostile_areas, &strange_bases, &snapshot)
