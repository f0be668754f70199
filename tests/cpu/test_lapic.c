/* SPDX-License-Identifier: MIT */
#include "tests/cpu/machine.h"
#include "tests/suite.h"

/* Registers, by MMIO offset. */
enum {
    ID = 0x20,
    TPR = 0x80,
    PPR = 0xa0,
    EOI = 0xb0,
    LDR = 0xd0,
    DFR = 0xe0,
    SVR = 0xf0,
    ISR = 0x100,
    TMR = 0x180,
    IRR = 0x200,
    ESR = 0x280,
    ICR = 0x300,
    ICR_HIGH = 0x310,
    TIMER = 0x320,
    LINT0 = 0x350,
    LINT1 = 0x360,
    LVT_ERROR = 0x370,
    INITIAL = 0x380,
    CURRENT = 0x390,
    DIVIDE = 0x3e0
};
#define MASKED BIT32(16)
#define X2APIC_BASE (LAPIC_DEFAULT_BASE | APIC_BASE_EN | APIC_BASE_EXTD)

static u32 reg(struct machine *m, unsigned n, u32 offset)
{
    m->group.running = m->cpu[n];
    u64 val = bus_read(&m->bus, LAPIC_DEFAULT_BASE + offset, 4);
    m->group.running = NULL;
    return (u32)val;
}

static void set(struct machine *m, unsigned n, u32 offset, u32 val)
{
    m->group.running = m->cpu[n];
    bus_write(&m->bus, LAPIC_DEFAULT_BASE + offset, 4, val);
    m->group.running = NULL;
}

static bool pending(const struct machine *m, unsigned n)
{
    bool pend = m->cpu[n]->pending & PEND_INTR;
    ck_assert_int_eq(pend, lapic_has_interrupt(m->cpu[n]->lapic));
    return pend;
}

static int ack(const struct machine *m, unsigned n)
{
    ck_assert(pending(m, n));
    return lapic_ack(m->cpu[n]->lapic);
}

/* CPUs with their local APIC enabled. */
static void start(struct machine *m, unsigned cpus)
{
    machine_init(m, cpus, NULL);
    for (unsigned n = 0; n < cpus; n++)
        set(m, n, SVR, 0x1ff);
}

static void send(struct machine *m, unsigned n, u32 dest, u32 low)
{
    set(m, n, ICR_HIGH, dest << 24);
    set(m, n, ICR, low);
}

START_TEST(reset_state)
{
    struct machine m;
    machine_init(&m, 2, NULL);
    ck_assert_uint_eq(reg(&m, 1, ID), 1 << 24);
    ck_assert_uint_eq(reg(&m, 0, 0x30), 0x60015);
    ck_assert_uint_eq(reg(&m, 0, SVR), 0xff);
    ck_assert_uint_eq(reg(&m, 0, DFR), 0xffffffff);
    ck_assert_uint_eq(reg(&m, 0, LINT0), MASKED);
    ck_assert(lapic_is_bsp(m.cpu[0]->lapic));
    ck_assert(!lapic_is_bsp(m.cpu[1]->lapic));
    /* While disabled by software, entries stay masked and nothing is accepted. */
    set(&m, 0, TIMER, 0x30);
    ck_assert_uint_eq(reg(&m, 0, TIMER), MASKED | 0x30);
    send(&m, 1, 0, 0x4031);
    ck_assert(!pending(&m, 0));
    machine_fini(&m);
}
END_TEST

START_TEST(priorities)
{
    struct machine m;
    start(&m, 1);
    send(&m, 0, 0, 0x4031);
    send(&m, 0, 0, 0x4052);
    send(&m, 0, 0, 0x4035);
    ck_assert_int_eq(ack(&m, 0), 0x52);
    ck_assert_uint_eq(reg(&m, 0, PPR), 0x50);
    ck_assert_uint_eq(reg(&m, 0, ISR + 0x20), BIT32(0x12));
    ck_assert_uint_eq(reg(&m, 0, IRR + 0x10), BIT32(0x11) | BIT32(0x15));
    ck_assert(!pending(&m, 0));
    set(&m, 0, EOI, 0);
    ck_assert_int_eq(ack(&m, 0), 0x35);
    ck_assert(!pending(&m, 0)); /* 31 is of the same class */
    send(&m, 0, 0, 0x4041);
    ck_assert_int_eq(ack(&m, 0), 0x41); /* nested */
    set(&m, 0, EOI, 0);
    ck_assert(!pending(&m, 0));
    set(&m, 0, EOI, 0);
    ck_assert_int_eq(ack(&m, 0), 0x31);
    set(&m, 0, EOI, 0);
    ck_assert_uint_eq(reg(&m, 0, PPR), 0);
    machine_fini(&m);
}
END_TEST

START_TEST(task_priority)
{
    struct machine m;
    start(&m, 1);
    set(&m, 0, TPR, 0x35);
    ck_assert_uint_eq(lapic_cr8(m.cpu[0]->lapic), 3);
    ck_assert_uint_eq(m.cpu[0]->cr8, 3);
    ck_assert_uint_eq(reg(&m, 0, PPR), 0x35);
    send(&m, 0, 0, 0x403f);
    ck_assert(!pending(&m, 0));
    lapic_set_cr8(m.cpu[0]->lapic, 2);
    ck_assert_uint_eq(reg(&m, 0, TPR), 0x20);
    ck_assert(pending(&m, 0));
    lapic_set_cr8(m.cpu[0]->lapic, 15);
    ck_assert(!pending(&m, 0));
    machine_fini(&m);
}
END_TEST

START_TEST(physical_and_shorthands)
{
    struct machine m;
    start(&m, 3);
    send(&m, 0, 2, 0x4041);
    ck_assert(!pending(&m, 0) && !pending(&m, 1));
    ck_assert_int_eq(ack(&m, 2), 0x41);
    send(&m, 0, 0xff, 0x4051);
    for (unsigned n = 0; n < 3; n++)
        ck_assert_int_eq(ack(&m, n), 0x51);
    send(&m, 1, 0, 0x40000 | 0x4061); /* self */
    ck_assert(!pending(&m, 0) && !pending(&m, 2));
    ck_assert_int_eq(ack(&m, 1), 0x61);
    send(&m, 1, 0, 0xc0000 | 0x4071); /* all others */
    ck_assert(!pending(&m, 1));
    ck_assert_int_eq(ack(&m, 0), 0x71);
    ck_assert_int_eq(ack(&m, 2), 0x71);
    send(&m, 1, 0, 0x80000 | 0x4081); /* all */
    for (unsigned n = 0; n < 3; n++)
        ck_assert_int_eq(ack(&m, n), 0x81);
    machine_fini(&m);
}
END_TEST

START_TEST(logical_flat)
{
    struct machine m;
    start(&m, 3);
    for (unsigned n = 0; n < 3; n++)
        set(&m, n, LDR, 1u << (24 + n));
    send(&m, 0, 5, 0x4841);
    ck_assert_int_eq(ack(&m, 0), 0x41);
    ck_assert(!pending(&m, 1));
    ck_assert_int_eq(ack(&m, 2), 0x41);
    machine_fini(&m);
}
END_TEST

START_TEST(logical_cluster)
{
    struct machine m;
    start(&m, 3);
    for (unsigned n = 0; n < 3; n++)
        set(&m, n, DFR, 0x0fffffff);
    set(&m, 0, LDR, 0x11000000);
    set(&m, 1, LDR, 0x12000000);
    set(&m, 2, LDR, 0x21000000);
    send(&m, 0, 0x13, 0x4841);
    ck_assert_int_eq(ack(&m, 0), 0x41);
    ck_assert_int_eq(ack(&m, 1), 0x41);
    ck_assert(!pending(&m, 2));
    send(&m, 0, 0x21, 0x4851);
    ck_assert_int_eq(ack(&m, 2), 0x51);
    ck_assert(!pending(&m, 0));
    send(&m, 0, 0xff, 0x4861);
    for (unsigned n = 0; n < 3; n++)
        ck_assert_int_eq(ack(&m, n), 0x61);
    machine_fini(&m);
}
END_TEST

START_TEST(lowest_priority)
{
    struct machine m;
    start(&m, 3);
    set(&m, 0, TPR, 0x20);
    struct lapic_msg msg = {.dest = 0xff, .delivery = APIC_LOWEST, .vector = 0x41};
    ck_assert(lapic_deliver(&m.group, &msg));
    ck_assert(!pending(&m, 0) && !pending(&m, 2));
    ck_assert_int_eq(ack(&m, 1), 0x41);
    msg.vector = 0x51;
    ck_assert(lapic_deliver(&m.group, &msg));
    ck_assert_int_eq(ack(&m, 2), 0x51);
    set(&m, 0, SVR, 0xff);
    msg.dest = 0;
    ck_assert(!lapic_deliver(&m.group, &msg));
    machine_fini(&m);
}
END_TEST

static unsigned eoi_count;
static u8 eoi_vector;
static void count_eoi(void *opaque, u8 vector)
{
    (void)opaque;
    eoi_count++;
    eoi_vector = vector;
}

START_TEST(eoi_of_level_interrupts)
{
    struct machine m;
    start(&m, 1);
    lapic_listen_eoi(&m.group, count_eoi, NULL);
    struct lapic_msg msg = {.vector = 0x41, .level = true};
    lapic_deliver(&m.group, &msg);
    ck_assert_uint_eq(reg(&m, 0, TMR + 0x20), BIT32(1));
    ack(&m, 0);
    set(&m, 0, EOI, 0);
    ck_assert_uint_eq(eoi_count, 1);
    ck_assert_uint_eq(eoi_vector, 0x41);
    msg.level = false;
    lapic_deliver(&m.group, &msg);
    ck_assert_uint_eq(reg(&m, 0, TMR + 0x20), 0);
    ack(&m, 0);
    set(&m, 0, EOI, 0);
    ck_assert_uint_eq(eoi_count, 1);
    machine_fini(&m);
}
END_TEST

START_TEST(message_signalled)
{
    struct machine m;
    start(&m, 2);
    lapic_msi(&m.group, 0xfee01000, 0x4061);
    ck_assert(!pending(&m, 0));
    ck_assert_int_eq(ack(&m, 1), 0x61);
    set(&m, 0, LDR, 1u << 24);
    lapic_msi(&m.group, 0xfee0100c, 0x4171);
    ck_assert_int_eq(ack(&m, 0), 0x71);
    machine_fini(&m);
}
END_TEST

START_TEST(init_startup_nmi)
{
    struct machine m;
    start(&m, 2);
    struct cpu *ap = m.cpu[1];
    ck_assert_int_eq(ap->activity, ACTIVITY_WAIT_SIPI);
    send(&m, 0, 1, 0x4500);
    ck_assert_uint_eq(ap->pending, PEND_INIT);
    send(&m, 0, 1, 0x8500); /* level de-assert */
    ap->pending = 0;
    send(&m, 0, 1, 0x469a);
    ck_assert_uint_eq(ap->pending, PEND_SIPI);
    ck_assert_uint_eq(lapic_sipi_vector(ap->lapic), 0x9a);
    ap->pending = 0;
    ap->activity = ACTIVITY_RUN;
    send(&m, 0, 1, 0x4611);
    ck_assert_uint_eq(ap->pending, 0); /* running: ignored */
    send(&m, 0, 1, 0x4500);
    send(&m, 0, 1, 0x4612); /* on its way to waiting */
    ck_assert_uint_eq(ap->pending, PEND_INIT | PEND_SIPI);
    send(&m, 1, 0, 0x4400);
    ck_assert_uint_eq(m.cpu[0]->pending, PEND_NMI);
    machine_fini(&m);
}
END_TEST

START_TEST(external_interrupts)
{
    struct machine m;
    machine_init(&m, 2, NULL);
    lapic_virtual_wire(m.cpu[0]->lapic);
    lapic_virtual_wire(m.cpu[1]->lapic);
    lapic_intr_set(&m.group, 0, true);
    ck_assert(!pending(&m, 1));
    ck_assert_int_eq(ack(&m, 0), LAPIC_EXTINT);
    ck_assert(pending(&m, 0)); /* the wire is still high */
    lapic_intr_set(&m.group, 0, false);
    ck_assert(!pending(&m, 0));
    set(&m, 0, LINT0, 0x700 | MASKED);
    lapic_intr_set(&m.group, 0, true);
    ck_assert(!pending(&m, 0));
    set(&m, 0, LINT0, 0x700);
    ck_assert(pending(&m, 0));
    lapic_intr_set(&m.group, 1, true);
    ck_assert(m.cpu[1]->pending & PEND_NMI);
    machine_fini(&m);
}
END_TEST

/* Off: LINT0 is INTR, the registers are gone, what was set is lost. */
START_TEST(disabled)
{
    struct machine m;
    start(&m, 1);
    send(&m, 0, 0, 0x4041);
    ck_assert(lapic_set_base(m.cpu[0]->lapic, LAPIC_DEFAULT_BASE));
    ck_assert(!pending(&m, 0));
    ck_assert_uint_eq(reg(&m, 0, SVR), 0xffffffff);
    lapic_intr_set(&m.group, 0, true);
    ck_assert_int_eq(ack(&m, 0), LAPIC_EXTINT);
    ck_assert(lapic_set_base(m.cpu[0]->lapic, LAPIC_DEFAULT_BASE | APIC_BASE_EN));
    ck_assert(!pending(&m, 0));
    ck_assert_uint_eq(reg(&m, 0, SVR), 0xff);
    machine_fini(&m);
}
END_TEST

START_TEST(level_lint)
{
    struct machine m;
    start(&m, 1);
    set(&m, 0, LINT0, 0x8041);
    lapic_intr_set(&m.group, 0, true);
    ck_assert_int_eq(ack(&m, 0), 0x41);
    ck_assert_uint_eq(reg(&m, 0, LINT0), 0xc041);
    set(&m, 0, EOI, 0);
    ck_assert_int_eq(ack(&m, 0), 0x41); /* still high */
    lapic_intr_set(&m.group, 0, false);
    set(&m, 0, EOI, 0);
    ck_assert(!pending(&m, 0));
    ck_assert_uint_eq(reg(&m, 0, LINT0), 0x8041);
    machine_fini(&m);
}
END_TEST

START_TEST(errors)
{
    struct machine m;
    start(&m, 1);
    set(&m, 0, LVT_ERROR, 0x38);
    send(&m, 0, 0, 0x4003);
    ck_assert_uint_eq(reg(&m, 0, ESR), 0);
    set(&m, 0, ESR, 0);
    ck_assert_uint_eq(reg(&m, 0, ESR), 0x20);
    ck_assert_int_eq(ack(&m, 0), 0x38);
    set(&m, 0, EOI, 0);
    lapic_msi(&m.group, 0xfee00000, 0x4005);
    ck_assert_int_eq(ack(&m, 0), 0x38);
    set(&m, 0, ESR, 0);
    ck_assert_uint_eq(reg(&m, 0, ESR), 0x40);
    set(&m, 0, 0x40, 0); /* no such register */
    set(&m, 0, ESR, 0);
    ck_assert_uint_eq(reg(&m, 0, ESR), 0x80);
    set(&m, 0, LVT_ERROR, 0x05); /* an illegal vector for errors must not recurse */
    send(&m, 0, 0, 0x4003);
    machine_fini(&m);
}
END_TEST

START_TEST(timer_one_shot)
{
    struct machine m;
    start(&m, 1);
    set(&m, 0, TIMER, 0x40);
    set(&m, 0, DIVIDE, 0xb);
    set(&m, 0, INITIAL, 1000); /* 25 MHz: 40 ticks each */
    machine_wait(&m, 39);
    ck_assert_uint_eq(reg(&m, 0, CURRENT), 1000);
    machine_wait(&m, 1);
    ck_assert_uint_eq(reg(&m, 0, CURRENT), 999);
    machine_wait(&m, 39959);
    ck_assert(!pending(&m, 0));
    ck_assert_uint_eq(reg(&m, 0, CURRENT), 1);
    machine_wait(&m, 1);
    ck_assert_int_eq(ack(&m, 0), 0x40);
    ck_assert_uint_eq(reg(&m, 0, CURRENT), 0);
    ck_assert_uint_eq(m.clock.next, CLOCK_NEVER);
    set(&m, 0, DIVIDE, 0); /* by 2 */
    set(&m, 0, INITIAL, 10);
    machine_wait(&m, 400);
    ck_assert_uint_eq(reg(&m, 0, CURRENT), 5);
    set(&m, 0, INITIAL, 0);
    ck_assert_uint_eq(m.clock.next, CLOCK_NEVER);
    machine_fini(&m);
}
END_TEST

START_TEST(timer_periodic)
{
    struct machine m;
    start(&m, 1);
    m.clock.now = 12345;
    set(&m, 0, TIMER, 0x20040);
    set(&m, 0, DIVIDE, 0x3); /* by 16 */
    set(&m, 0, INITIAL, 100);
    for (unsigned n = 1; n <= 5; n++) {
        machine_wait(&m, 64000 - 1);
        ck_assert(!pending(&m, 0));
        machine_wait(&m, 1);
        ck_assert_int_eq(ack(&m, 0), 0x40);
        ck_assert_uint_eq(reg(&m, 0, CURRENT), 100);
        set(&m, 0, EOI, 0);
    }
    set(&m, 0, TIMER, 0x20040 | MASKED);
    machine_wait(&m, 64000 + 640);
    ck_assert(!pending(&m, 0));
    ck_assert_uint_eq(reg(&m, 0, CURRENT), 99);
    /* Events that come late skip whole periods. */
    m.clock.now += 64000 * 10;
    clock_run(&m.clock);
    ck_assert_uint_eq(reg(&m, 0, CURRENT), 99);
    machine_fini(&m);
}
END_TEST

/* A clock whose hz is no multiple of the crystal's must not drift. */
START_TEST(timer_does_not_drift)
{
    struct machine m;
    start(&m, 1);
    m.clock.hz = 2399999999;
    set(&m, 0, TIMER, 0x20040);
    set(&m, 0, DIVIDE, 0xb);
    set(&m, 0, INITIAL, 7);
    for (u64 n = 1; n <= 1000; n++) {
        u64 due = (n * 7 * m.clock.hz + 24999999) / 25000000;
        machine_wait(&m, due - 1 - m.clock.now);
        ck_assert(!pending(&m, 0));
        machine_wait(&m, 1);
        ck_assert_int_eq(ack(&m, 0), 0x40);
        set(&m, 0, EOI, 0);
    }
    machine_fini(&m);
}
END_TEST

START_TEST(timer_deadline)
{
    struct machine m;
    start(&m, 1);
    struct cpu *cpu = m.cpu[0];
    u64 val;
    ck_assert(msr_set(cpu, 0x6e0, 500)); /* not in that mode: ignored */
    ck_assert(msr_get(cpu, 0x6e0, &val) && val == 0);
    set(&m, 0, TIMER, 0x40040);
    set(&m, 0, INITIAL, 10);
    ck_assert_uint_eq(reg(&m, 0, CURRENT), 0);
    ck_assert(msr_set(cpu, 0x6e0, 500));
    ck_assert(msr_get(cpu, 0x6e0, &val) && val == 500);
    machine_wait(&m, 499);
    ck_assert(!pending(&m, 0));
    machine_wait(&m, 1);
    ck_assert_int_eq(ack(&m, 0), 0x40);
    ck_assert(msr_get(cpu, 0x6e0, &val) && val == 0);
    set(&m, 0, EOI, 0);
    ck_assert(msr_set(cpu, 0x6e0, 1)); /* past: at once */
    machine_wait(&m, 0);
    ck_assert_int_eq(ack(&m, 0), 0x40);
    set(&m, 0, EOI, 0);
    ck_assert(msr_set(cpu, 0x6e0, 2000));
    ck_assert(msr_set(cpu, 0x3b, 1000)); /* the counter jumps ahead */
    machine_wait(&m, 500);
    ck_assert_int_eq(ack(&m, 0), 0x40);
    ck_assert(msr_set(cpu, 0x6e0, 3000));
    set(&m, 0, TIMER, 0x40); /* another mode disarms it */
    ck_assert_uint_eq(m.clock.next, CLOCK_NEVER);
    machine_fini(&m);
}
END_TEST

static bool wr(struct machine *m, unsigned n, u32 index, u64 val)
{
    return msr_set(m->cpu[n], index, val);
}
static u64 rd(struct machine *m, unsigned n, u32 index)
{
    u64 val = 0;
    ck_assert_msg(msr_get(m->cpu[n], index, &val), "%#x", index);
    return val;
}

START_TEST(x2apic_transitions)
{
    struct machine m;
    machine_init(&m, 1, NULL);
    u64 bsp = APIC_BASE_BSP, off = LAPIC_DEFAULT_BASE | bsp, on = off | APIC_BASE_EN;
    ck_assert(!wr(&m, 0, 0x1b, off | APIC_BASE_EXTD));
    ck_assert(!wr(&m, 0, 0x802, 0));
    ck_assert(wr(&m, 0, 0x1b, on | APIC_BASE_EXTD));
    ck_assert_uint_eq(rd(&m, 0, 0x802), 0);
    ck_assert_uint_eq(reg(&m, 0, SVR), 0xffffffff);
    ck_assert(!wr(&m, 0, 0x1b, on));
    ck_assert(!wr(&m, 0, 0x1b, off | APIC_BASE_EXTD));
    ck_assert(wr(&m, 0, 0x1b, off));
    ck_assert(!wr(&m, 0, 0x1b, on | APIC_BASE_EXTD));
    ck_assert(wr(&m, 0, 0x1b, on));
    ck_assert(!wr(&m, 0, 0x1b, on | BIT(46)));
    ck_assert(!wr(&m, 0, 0x1b, on | 1));
    machine_fini(&m);
}
END_TEST

START_TEST(x2apic_registers)
{
    struct machine m;
    u64 val;
    machine_init(&m, 2, NULL);
    ck_assert(wr(&m, 0, 0x1b, X2APIC_BASE | APIC_BASE_BSP));
    ck_assert(wr(&m, 1, 0x1b, X2APIC_BASE));
    ck_assert_uint_eq(rd(&m, 1, 0x802), 1);
    ck_assert_uint_eq(rd(&m, 1, 0x80d), 2);
    ck_assert(wr(&m, 0, 0x80f, 0x1ff));
    ck_assert(wr(&m, 1, 0x80f, 0x1ff));
    ck_assert(!wr(&m, 0, 0x80f, 0x1000));
    ck_assert(!wr(&m, 0, 0x808, 0x100));
    ck_assert(!wr(&m, 0, 0x80b, 1));
    ck_assert(!wr(&m, 0, 0x828, 1));
    ck_assert(!wr(&m, 0, 0x832, BIT(32)));
    static const u32 read_only[] = {0x802, 0x803, 0x80a, 0x80d, 0x810, 0x820, 0x839};
    for (unsigned n = 0; n < ARRAY_SIZE(read_only); n++) {
        rd(&m, 0, read_only[n]);
        ck_assert_msg(!wr(&m, 0, read_only[n], 0), "%#x", read_only[n]);
    }
    ck_assert(!msr_get(m.cpu[0], 0x80b, &val));
    ck_assert(!msr_get(m.cpu[0], 0x80e, &val));
    ck_assert(!msr_get(m.cpu[0], 0x83f, &val));
    machine_fini(&m);
}
END_TEST

START_TEST(x2apic_messages)
{
    struct machine m;
    machine_init(&m, 3, NULL);
    for (unsigned n = 0; n < 3; n++) {
        ck_assert(wr(&m, n, 0x1b, X2APIC_BASE));
        ck_assert(wr(&m, n, 0x80f, 0x1ff));
    }
    ck_assert(wr(&m, 0, 0x830, UINT64_C(1) << 32 | 0x4041));
    ck_assert_uint_eq(rd(&m, 0, 0x830), UINT64_C(1) << 32 | 0x4041);
    ck_assert(!pending(&m, 0));
    ck_assert_int_eq(ack(&m, 1), 0x41);
    ck_assert(wr(&m, 0, 0x830, UINT64_C(6) << 32 | 0x4851)); /* logical */
    ck_assert_int_eq(ack(&m, 1), 0x51);
    ck_assert_int_eq(ack(&m, 2), 0x51);
    ck_assert(wr(&m, 0, 0x830, UINT64_C(0x10006) << 32 | 0x4861)); /* another cluster */
    ck_assert(!pending(&m, 1));
    ck_assert(wr(&m, 0, 0x830, UINT64_C(0xffffffff) << 32 | 0x4071));
    for (unsigned n = 0; n < 3; n++)
        ck_assert_int_eq(ack(&m, n), 0x71);
    ck_assert(wr(&m, 2, 0x83f, 0x81));
    ck_assert_int_eq(ack(&m, 2), 0x81);
    lapic_msi(&m.group, 0xfee02000, 0x4091);
    ck_assert_int_eq(ack(&m, 2), 0x91);
    machine_fini(&m);
}
END_TEST

START_TEST(moved_registers)
{
    struct machine m;
    start(&m, 1);
    u64 low = APIC_BASE_BSP | APIC_BASE_EN;
    ck_assert(wr(&m, 0, 0x1b, 0x42000000 | low));
    m.group.running = m.cpu[0];
    ck_assert_uint_eq(bus_read(&m.bus, 0x420000f0, 4), 0x1ff);
    ck_assert_uint_eq(bus_read(&m.bus, 0xfee000f0, 4), 0xffffffff);
    ck_assert(wr(&m, 0, 0x1b, low)); /* over RAM: not modelled, no harm */
    ck_assert(wr(&m, 0, 0x1b, (MASK(46) & PAGE_MASK) | low));
    ck_assert(wr(&m, 0, 0x1b, LAPIC_DEFAULT_BASE | low));
    ck_assert_uint_eq(bus_read(&m.bus, 0xfee000f0, 4), 0x1ff);
    ck_assert(wr(&m, 0, 0x1b, 0x42000000 | low));
    cpu_reset(m.cpu[0], false);
    ck_assert_uint_eq(bus_read(&m.bus, 0xfee000f0, 4), 0xff);
    machine_fini(&m);
}
END_TEST

START_TEST(odd_accesses)
{
    struct machine m;
    start(&m, 1);
    m.group.running = m.cpu[0];
    for (u64 offset = 0; offset < PAGE_SIZE; offset++)
        for (unsigned size = 1; size <= 8; size *= 2) {
            if (offset % PAGE_SIZE + size > PAGE_SIZE)
                continue;
            bus_read(&m.bus, LAPIC_DEFAULT_BASE + offset, size);
            bus_write(&m.bus, LAPIC_DEFAULT_BASE + offset, size, UINT64_C(0x123456789abcdef0));
        }
    machine_fini(&m);
}
END_TEST

SUITE_MAIN("lapic", &reset_state, &priorities, &task_priority, &physical_and_shorthands,
           &logical_flat, &logical_cluster, &lowest_priority, &eoi_of_level_interrupts,
           &message_signalled, &init_startup_nmi, &external_interrupts, &disabled, &level_lint,
           &errors, &timer_one_shot, &timer_periodic, &timer_does_not_drift, &timer_deadline,
           &x2apic_transitions, &x2apic_registers, &x2apic_messages, &moved_registers,
           &odd_accesses)
