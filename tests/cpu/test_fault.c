/* SPDX-License-Identifier: MIT */
/* Events: delivery and return in each mode, double and triple faults. */
#include "tests/cpu/world.h"
#include "tests/suite.h"

static u64 top(const struct world *w, unsigned slot, unsigned size)
{
    return get(w, w->cpu->seg[SEG_SS].base + w->cpu->gpr[RSP] + slot * size, size);
}

START_TEST(real_mode)
{
    struct world w;
    world_init(&w, WORLD_REAL);
    put(&w, 0x21 * 4, 0x20000100, 4);
    put(&w, 0x20100, 0xcf, 1); /* iret */
    code(&w, "\xcd\x21\xf4");  /* int $0x21; hlt */
    set_rflags(w.cpu, FLAG_IF | FLAG_CF | FLAG_TF);
    w.cpu->eflags &= ~FLAG_TF;
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, 0x100);
    ck_assert_uint_eq(w.cpu->seg[SEG_CS].base, 0x20000);
    ck_assert_uint_eq(w.cpu->gpr[RSP], 0xffa);
    ck_assert_uint_eq(top(&w, 0, 2), 2);
    ck_assert_uint_eq(top(&w, 1, 2), CODE >> 4);
    ck_assert_uint_eq(top(&w, 2, 2), FLAG_IF | FLAG_CF | FLAG_1);
    ck_assert(!(w.cpu->eflags & FLAG_IF));
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, 2);
    ck_assert_uint_eq(w.cpu->seg[SEG_CS].selector, CODE >> 4);
    ck_assert_uint_eq(cpu_eflags(w.cpu), FLAG_IF | FLAG_CF | FLAG_1);
    world_fini(&w);
}
END_TEST

START_TEST(same_level)
{
    struct world w;
    world_init(&w, WORLD_32);
    code(&w, "\xcd\x30\x90");
    put(&w, HANDLER + 0x300, 0xcf, 1);
    set_rflags(w.cpu, FLAG_IF | FLAG_ZF);
    run(&w, 1);
    ASSERT_HANDLER(&w, 0x30);
    ck_assert_uint_eq(w.cpu->gpr[RSP], STACK - 12);
    ck_assert_uint_eq(top(&w, 0, 4), CODE + 2);
    ck_assert_uint_eq(top(&w, 1, 4), CS32);
    ck_assert_uint_eq(top(&w, 2, 4), FLAG_IF | FLAG_ZF | FLAG_1);
    ck_assert(!(w.cpu->eflags & FLAG_IF));
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 2);
    ck_assert_uint_eq(w.cpu->gpr[RSP], STACK);
    ck_assert(w.cpu->eflags & FLAG_IF);
    world_fini(&w);
}
END_TEST

START_TEST(inner_level)
{
    struct world w;
    world_init(&w, WORLD_32);
    go_user(&w);
    code(&w, "\xcd\x80\xcd\x30");
    put(&w, HANDLER + 0x800, 0xcf, 1);
    run(&w, 1);
    ASSERT_HANDLER(&w, 0x80);
    ck_assert_uint_eq(cpu_cpl(w.cpu), 0);
    ck_assert_uint_eq(w.cpu->seg[SEG_SS].selector, DS0);
    ck_assert_uint_eq(w.cpu->gpr[RSP], STACK0 - 20);
    ck_assert_uint_eq(top(&w, 0, 4), CODE + 2);
    ck_assert_uint_eq(top(&w, 1, 4), UCS32);
    ck_assert_uint_eq(top(&w, 3, 4), STACK3);
    ck_assert_uint_eq(top(&w, 4, 4), UDS);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 2);
    ck_assert_uint_eq(cpu_cpl(w.cpu), 3);
    ck_assert_uint_eq(w.cpu->gpr[RSP], STACK3);
    run(&w, 0);
    /* The gate's DPL forbids it. */
    w.cpu->seg[SEG_DS].selector = 0x1234;
    put(&w, HANDLER + 16 * EXC_GP, 0x90, 1);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, HANDLER + 16 * EXC_GP + 1);
    ck_assert_uint_eq(top(&w, 0, 4), 0x30 * 8 + 2);
    ck_assert_uint_eq(top(&w, 1, 4), CODE + 2);
    ck_assert(top(&w, 3, 4) & FLAG_RF);
    world_fini(&w);
}
END_TEST

START_TEST(gate_16)
{
    struct world w;
    world_init(&w, WORLD_32);
    set_gate(&w, 0x90, gate_desc(TYPE_TRAP16, 3, CS32, 0x4000));
    go_user(&w);
    set_rflags(w.cpu, FLAG_IF);
    code(&w, "\xcd\x90");
    put(&w, 0x4000, 0xcf66, 2);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, 0x4000);
    ck_assert_uint_eq(w.cpu->gpr[RSP], STACK0 - 10);
    ck_assert_uint_eq(top(&w, 0, 2), 2); /* IP is cut */
    ck_assert_uint_eq(top(&w, 4, 2), UDS);
    ck_assert(w.cpu->eflags & FLAG_IF); /* a trap gate */
    world_fini(&w);
}
END_TEST

static void deliver_fails(struct world *w, enum event_kind kind, u8 vector, unsigned fault,
                          u32 error)
{
    u64 rip = w->cpu->rip, rsp = w->cpu->gpr[RSP];
    ck_assert(!cpu_deliver(w->cpu, kind, vector, false, 0));
    ck_assert_uint_eq(w->cpu->exc.vector, fault);
    ck_assert_uint_eq(w->cpu->exc.error, error);
    ck_assert_uint_eq(w->cpu->rip, rip);
    ck_assert_uint_eq(w->cpu->gpr[RSP], rsp);
    w->cpu->exc.pending = false;
}

START_TEST(gate_errors)
{
    struct world w;
    world_init(&w, WORLD_32);
    set_gate(&w, 0x90, 0);
    deliver_fails(&w, EVENT_EXTERNAL, 0x90, EXC_GP, 0x90 * 8 + 3);
    deliver_fails(&w, EVENT_SOFT_INT, 0x90, EXC_GP, 0x90 * 8 + 2);
    set_gate(&w, 0x90, gate_desc(TYPE_INTR32, 0, CS32, 0) & ~BIT(47));
    deliver_fails(&w, EVENT_EXTERNAL, 0x90, EXC_NP, 0x90 * 8 + 3);
    set_gate(&w, 0x90, gate_desc(TYPE_INTR32, 0, 0, 0));
    deliver_fails(&w, EVENT_EXTERNAL, 0x90, EXC_GP, 1);
    set_gate(&w, 0x90, gate_desc(TYPE_INTR32, 0, 0x200, 0));
    deliver_fails(&w, EVENT_SOFT_INT, 0x90, EXC_GP, 0x200);
    set_gate(&w, 0x90, gate_desc(TYPE_INTR32, 0, DS0, 0));
    deliver_fails(&w, EVENT_EXTERNAL, 0x90, EXC_GP, DS0 + 1);
    set_gate(&w, 0x90, gate_desc(TYPE_INTR32, 0, ABSENT_CODE, 0));
    deliver_fails(&w, EVENT_EXTERNAL, 0x90, EXC_NP, ABSENT_CODE + 1);
    set_gate(&w, 0x90, gate_desc(TYPE_INTR32, 0, UCS32, 0));
    deliver_fails(&w, EVENT_EXTERNAL, 0x90, EXC_GP, (UCS32 & ~3) + 1);
    w.cpu->idtr.limit = 0x90 * 8 + 6;
    deliver_fails(&w, EVENT_EXTERNAL, 0x90, EXC_GP, 0x90 * 8 + 3);
    world_fini(&w);
}
END_TEST

START_TEST(stack_errors)
{
    struct world w;
    world_init(&w, WORLD_32);
    go_user(&w);
    put(&w, TSS + 8, 0, 4);
    deliver_fails(&w, EVENT_EXTERNAL, 0x80, EXC_TS, 1);
    put(&w, TSS + 8, 0x200, 4);
    deliver_fails(&w, EVENT_SOFT_INT, 0x80, EXC_TS, 0x200);
    put(&w, TSS + 8, UDS, 4);
    deliver_fails(&w, EVENT_SOFT_INT, 0x80, EXC_TS, UDS & ~3);
    put(&w, TSS + 8, ABSENT, 4);
    deliver_fails(&w, EVENT_SOFT_INT, 0x80, EXC_SS, ABSENT);
    put(&w, TSS + 8, DS16, 4); /* 16-bit: SP wraps after 2 slots and a half of room */
    put(&w, GDT + DS16, 0x000093000000000f, 8);
    put(&w, TSS + 4, 0x10, 4);
    deliver_fails(&w, EVENT_SOFT_INT, 0x80, EXC_SS, DS16);
    w.cpu->seg[SEG_TR].limit = 8;
    deliver_fails(&w, EVENT_SOFT_INT, 0x80, EXC_TS, SEL_TSS);
    world_fini(&w);
}
END_TEST

START_TEST(long_mode)
{
    struct world w;
    world_init(&w, WORLD_64);
    code(&w, "\xcd\x30\x90");
    put(&w, HANDLER + 0x300, 0xcf48, 2);
    w.cpu->gpr[RSP] = STACK - 3;
    run(&w, 1);
    ASSERT_HANDLER(&w, 0x30);
    ck_assert_uint_eq(w.cpu->gpr[RSP], STACK - 16 - 40);
    ck_assert_uint_eq(top(&w, 0, 8), CODE + 2);
    ck_assert_uint_eq(top(&w, 1, 8), CS64);
    ck_assert_uint_eq(top(&w, 3, 8), STACK - 3);
    ck_assert_uint_eq(top(&w, 4, 8), DS0);
    ck_assert_uint_eq(w.cpu->seg[SEG_SS].selector, DS0);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 2);
    ck_assert_uint_eq(w.cpu->gpr[RSP], STACK - 3);
    world_fini(&w);
}
END_TEST

START_TEST(long_mode_user)
{
    struct world w;
    world_init(&w, WORLD_64);
    put(&w, HANDLER + 0x800, 0xcf48, 2);
    go_user(&w);
    code(&w, "\xcd\x80\x90");
    run(&w, 1);
    ASSERT_HANDLER(&w, 0x80);
    ck_assert_uint_eq(cpu_cpl(w.cpu), 0);
    ck_assert_uint_eq(w.cpu->seg[SEG_SS].selector, 0);
    ck_assert_uint_eq(w.cpu->gpr[RSP], STACK0 - 40);
    ck_assert_uint_eq(top(&w, 1, 8), UCS64);
    ck_assert_uint_eq(top(&w, 4, 8), UDS);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 2);
    ck_assert_uint_eq(cpu_cpl(w.cpu), 3);
    ck_assert_uint_eq(w.cpu->seg[SEG_SS].selector, UDS);
    ck_assert_uint_eq(w.cpu->gpr[RSP], STACK3);
    world_fini(&w);
}
END_TEST

START_TEST(interrupt_stack_table)
{
    struct world w;
    world_init(&w, WORLD_64);
    set_gate(&w, 0x81, gate_desc(TYPE_TRAP32, 0, CS64, HANDLER) | BIT(32));
    ck_assert(cpu_deliver(w.cpu, EVENT_EXTERNAL, 0x81, true, 0x1234));
    ck_assert_uint_eq(w.cpu->gpr[RSP], IST1 - 48);
    ck_assert_uint_eq(top(&w, 0, 8), 0x1234);
    ck_assert_uint_eq(top(&w, 4, 8), STACK);
    ck_assert_uint_eq(w.cpu->seg[SEG_SS].selector, DS0); /* level and SS stay */
    put(&w, TSS + 36, 0x8000000000000000, 8);
    set_gate(&w, 0x82, gate_desc(TYPE_TRAP32, 0, CS32, HANDLER));
    deliver_fails(&w, EVENT_EXTERNAL, 0x81, EXC_SS, 1);
    deliver_fails(&w, EVENT_EXTERNAL, 0x82, EXC_GP, CS32 + 1); /* no 64-bit segment */
    set_gate(&w, 0x83, gate_desc(TYPE_INTR16, 0, CS64, HANDLER));
    deliver_fails(&w, EVENT_EXTERNAL, 0x83, EXC_GP, 0x83 * 8 + 3);
    world_fini(&w);
}
END_TEST

START_TEST(page_fault)
{
    struct world w;
    world_init(&w, WORLD_64);
    put(&w, PML4 + 0x3000 + 8 * (CODE >> 12), CODE | 6, 8);
    put(&w, HANDLER + 16 * EXC_PF, 0x90, 1);
    tlb_flush_all(&w.cpu->tlb_store);
    code(&w, "\x90");
    w.cpu->rip = CODE + 5;
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, HANDLER + 16 * EXC_PF + 1);
    ck_assert_uint_eq(w.cpu->cr2, CODE + 5);
    ck_assert_uint_eq(top(&w, 0, 8), PF_FETCH);
    ck_assert_uint_eq(top(&w, 1, 8), CODE + 5);
    ck_assert(top(&w, 3, 8) & FLAG_RF);
    world_fini(&w);
}
END_TEST

START_TEST(double_fault)
{
    struct world w;
    world_init(&w, WORLD_64);
    set_gate(&w, EXC_GP, 0);
    cpu_fault_gp(w.cpu, 0x10);
    cpu_deliver_exception(w.cpu);
    ASSERT_HANDLER(&w, EXC_DF);
    ck_assert_uint_eq(top(&w, 0, 8), 0);
    /* A page fault while a contributory one is delivered is taken in its turn. */
    w.cpu->gpr[RSP] = 0x200000;
    set_gate(&w, EXC_PF, gate_desc(TYPE_INTR32, 0, CS64, HANDLER + 16 * EXC_PF) | BIT(32));
    set_gate(&w, EXC_GP, gate_desc(TYPE_INTR32, 0, CS64, HANDLER));
    cpu_fault_gp(w.cpu, 0x10);
    cpu_deliver_exception(w.cpu);
    ASSERT_HANDLER(&w, EXC_PF);
    ck_assert_uint_eq(w.cpu->cr2, 0x200000 - 48);
    ck_assert_uint_eq(top(&w, 0, 8), PF_WRITE);
    /* Two page faults are a double fault. */
    w.cpu->gpr[RSP] = 0x200000;
    set_gate(&w, EXC_PF, gate_desc(TYPE_INTR32, 0, CS64, HANDLER));
    set_gate(&w, EXC_DF, gate_desc(TYPE_INTR32, 0, CS64, HANDLER + 16 * EXC_DF) | BIT(32));
    cpu_fault_page(w.cpu, 0x123000, 0);
    cpu_deliver_exception(w.cpu);
    ASSERT_HANDLER(&w, EXC_DF);
    ck_assert_uint_eq(w.m.group.stop, STOP_NONE);
    world_fini(&w);
}
END_TEST

START_TEST(triple_fault)
{
    struct world w;
    world_init(&w, WORLD_64);
    w.cpu->idtr.limit = 0;
    code(&w, "\x0f\x0b");
    run(&w, 3);
    ck_assert_uint_eq(w.m.group.stop, STOP_TRIPLE_FAULT);
    ck_assert_ptr_nonnull(strstr(w.m.group.stop_text, "0000000000010000"));
    ck_assert_uint_eq(w.cpu->activity, ACTIVITY_SHUTDOWN);
    world_fini(&w);
}
END_TEST

/* A 32-bit frame for IRET at the top of the stack. */
static void push_frame(struct world *w, const u32 *frame, unsigned count)
{
    w->cpu->gpr[RSP] = STACK - 4 * count;
    for (unsigned k = 0; k < count; k++)
        put(w, STACK - 4 * count + 4 * k, frame[k], 4);
}

START_TEST(virtual_8086)
{
    struct world w;
    const u32 frame[] = {0x10, CODE >> 4, FLAG_VM | FLAG_IOPL | FLAG_1, 0xfffe, 0x5000, 1, 2, 3, 4};
    world_init(&w, WORLD_32);
    code(&w, "\xcf");
    push_frame(&w, frame, 9);
    put(&w, CODE + 0x10, 0x80cd, 2);
    put(&w, HANDLER + 0x800, 0xcf, 1);
    run(&w, 1);
    ck_assert(w.cpu->mode & MODE_VM86);
    ck_assert_uint_eq(w.cpu->rip, 0x10);
    ck_assert_uint_eq(w.cpu->seg[SEG_SS].base, 0x50000);
    ck_assert_uint_eq(w.cpu->seg[SEG_GS].selector, 4);
    run(&w, 1);
    ASSERT_HANDLER(&w, 0x80);
    ck_assert_uint_eq(w.cpu->mode & (MODE_VM86 | MODE_CPL), 0);
    ck_assert_uint_eq(w.cpu->gpr[RSP], STACK0 - 36);
    ck_assert_uint_eq(top(&w, 0, 4), 0x12);
    ck_assert_uint_eq(top(&w, 2, 4) & (FLAG_VM | FLAG_IOPL), FLAG_VM | FLAG_IOPL);
    ck_assert_uint_eq(top(&w, 5, 4), 1);
    ck_assert_uint_eq(top(&w, 6, 4), 2);
    ck_assert_uint_eq(top(&w, 8, 4), 4);
    ck_assert(w.cpu->seg[SEG_DS].attr & ATTR_UNUSABLE);
    run(&w, 1);
    ck_assert(w.cpu->mode & MODE_VM86);
    ck_assert_uint_eq(w.cpu->rip, 0x12);
    ck_assert_uint_eq(w.cpu->gpr[RSP], 0xfffe);
    world_fini(&w);
}
END_TEST

START_TEST(virtual_8086_restricted)
{
    struct world w;
    const u32 frame[] = {0x10, CODE >> 4, FLAG_VM | FLAG_1, 0xfffe, 0x5000, 0, 0, 0, 0};
    world_init(&w, WORLD_32);
    code(&w, "\xcf");
    push_frame(&w, frame, 9);
    put(&w, CODE + 0x10, 0x80cdfb, 3); /* sti; int $0x80 */
    put(&w, 0x80 * 4, 0x20000345, 4);
    run(&w, 1);
    struct cpu saved = *w.cpu;
    put(&w, HANDLER + 16 * EXC_GP, 0x90, 1);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, HANDLER + 16 * EXC_GP + 1);
    ck_assert_uint_eq(top(&w, 1, 4), 0x10);
    /* With VME it is VIF that STI sets, and the bitmap says where INT goes. */
    memcpy(w.cpu->gpr, saved.gpr, sizeof(saved.gpr));
    memcpy(w.cpu->seg, saved.seg, sizeof(saved.seg));
    w.cpu->rip = saved.rip;
    set_rflags(w.cpu, FLAG_VM);
    ck_assert(cpu_write_cr4(w.cpu, CR4_VME));
    run(&w, 2);
    ck_assert_uint_eq(w.cpu->rip, 0x345);
    ck_assert_uint_eq(w.cpu->seg[SEG_CS].base, 0x20000);
    ck_assert(!(w.cpu->eflags & (FLAG_VIF | FLAG_IF)));
    ck_assert_uint_eq(top(&w, 2, 2), FLAG_IF | FLAG_IOPL | FLAG_1);
    ck_assert_uint_eq(top(&w, 0, 2), 0x13);
    ck_assert(w.cpu->mode & MODE_VM86);
    world_fini(&w);
}
END_TEST

START_TEST(iret_errors)
{
    static const struct {
        u32 cs, ss;
        u8 vector;
        u32 error;
    } cases[] = {
        {0, 0, EXC_GP, 0},
        {0x200, 0, EXC_GP, 0x200},
        {DS0, 0, EXC_GP, DS0},
        {UCS32 & ~3, 0, EXC_GP, UCS32 & ~3},
        {CS32 | 3, 0, EXC_GP, CS32},
        {ABSENT_CODE, 0, EXC_NP, ABSENT_CODE},
        {UCS32, 0, EXC_GP, 0},
        {UCS32, UDS & ~3, EXC_GP, UDS & ~3},
        {UCS32, DS0 | 3, EXC_GP, DS0},
        {UCS32, UCS32, EXC_GP, UCS32 & ~3},
    };
    struct world w;
    for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
        const u32 frame[] = {CODE, cases[k].cs, 2, STACK3, cases[k].ss};
        world_init(&w, WORLD_32);
        put(&w, HANDLER + 16 * cases[k].vector, 0x90, 1);
        code(&w, "\xcf");
        push_frame(&w, frame, 5);
        run(&w, 1);
        ck_assert_uint_eq(w.cpu->rip, HANDLER + 16 * cases[k].vector + 1);
        ck_assert_uint_eq(top(&w, 0, 4), cases[k].error);
        ck_assert_uint_eq(w.cpu->gpr[RSP], STACK - 20 - 16);
        world_fini(&w);
    }
}
END_TEST

START_TEST(iret_privileged_flags)
{
    struct world w;
    const u32 frame[] = {CODE + 1, UCS32, FLAG_IOPL | FLAG_IF | FLAG_CF | FLAG_ID, STACK3, UDS};
    world_init(&w, WORLD_32);
    go_user(&w);
    code(&w, "\xcf\x90");
    push_frame(&w, frame, 3);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 1);
    ck_assert_uint_eq(cpu_eflags(w.cpu), FLAG_CF | FLAG_ID | FLAG_1);
    world_fini(&w);
}
END_TEST

START_TEST(drops_data_segments)
{
    struct world w;
    const u32 frame[] = {CODE, UCS32, 2, STACK3, UDS};
    world_init(&w, WORLD_32);
    code(&w, "\xcf");
    push_frame(&w, frame, 5);
    ck_assert(segment_load(w.cpu, SEG_ES, UDS));
    ck_assert(segment_load(w.cpu, SEG_FS, CONFORMING));
    w.cpu->seg[SEG_GS].base = 0x1234;
    run(&w, 1);
    ck_assert_uint_eq(cpu_cpl(w.cpu), 3);
    ck_assert(w.cpu->seg[SEG_GS].attr & ATTR_UNUSABLE);
    ck_assert_uint_eq(w.cpu->seg[SEG_GS].base, 0x1234);
    ck_assert_uint_eq(w.cpu->seg[SEG_ES].selector, UDS);
    ck_assert_uint_eq(w.cpu->seg[SEG_FS].selector, CONFORMING);
    ck_assert_uint_eq(w.cpu->seg[SEG_DS].selector, 0);
    ck_assert(w.cpu->seg[SEG_DS].attr & ATTR_UNUSABLE);
    world_fini(&w);
}
END_TEST

START_TEST(nmi_blocking)
{
    struct world w;
    world_init(&w, WORLD_64);
    code(&w, "\x90\x90\x90");
    put(&w, HANDLER + 32, 0xcf48, 2);
    cpu_raise_pending(w.cpu, PEND_NMI);
    run(&w, 0);
    run(&w, 1);
    ck_assert(!w.cpu->nmi_blocked);
    ck_assert_uint_eq(w.cpu->rip, CODE);
    ck_assert(cpu_deliver(w.cpu, EVENT_NMI, EXC_NMI, false, 0));
    ck_assert(w.cpu->nmi_blocked);
    world_fini(&w);
}
END_TEST

START_TEST(single_step)
{
    struct world w;
    world_init(&w, WORLD_64);
    put(&w, HANDLER + 16, 0xcf48, 2);
    code(&w, "\x90\x90\xcd\x80\x90");
    w.cpu->eflags |= FLAG_TF;
    run(&w, 1);
    run(&w, 1); /* the handler's IRET: the trap came after the NOP */
    ck_assert_uint_eq(w.cpu->rip, CODE + 1);
    ck_assert_uint_eq(w.cpu->dr[6] & 0xf00f, 0x4000);
    ck_assert(w.cpu->eflags & FLAG_TF);
    run(&w, 2);
    ck_assert_uint_eq(w.cpu->rip, CODE + 2);
    w.cpu->dr[6] = 0xffff0ff0;
    run(&w, 1); /* INT clears TF and leaves no trap behind */
    ck_assert_uint_eq(w.cpu->rip, HANDLER + 16 * 0x80);
    ck_assert_uint_eq(w.cpu->dr[6], 0xffff0ff0);
    ck_assert(!(w.cpu->eflags & FLAG_TF));
    world_fini(&w);
}
END_TEST

/* #UD at the handler of #UD, for ever: the clock goes on, so the run ends at its limit. */
START_TEST(endless_faults)
{
    struct world w;
    world_init(&w, WORLD_64);
    put(&w, HANDLER + 16 * EXC_UD, 0x0b0f, 2);
    code(&w, "\x0f\x0b");
    u64 sp = w.cpu->gpr[RSP];
    run(&w, 20);
    ck_assert_uint_eq(w.cpu->rip, HANDLER + 16 * EXC_UD);
    ck_assert_uint_lt(w.cpu->gpr[RSP], sp);
    world_fini(&w);
}
END_TEST

/* A request that stays, through a trap gate, which leaves IF set: the clock goes on here too. */
START_TEST(endless_interrupts)
{
    struct world w;
    world_init(&w, WORLD_64);
    set_gate(&w, 0xff, gate_desc(TYPE_TRAP32, 0, CS64, HANDLER)); /* the spurious vector */
    code(&w, "\x90\x90");
    w.cpu->eflags |= FLAG_IF;
    w.cpu->pending |= PEND_INTR;
    run(&w, 20);
    ck_assert_uint_eq(w.cpu->rip, HANDLER);
    ck_assert_uint_gt(w.cpu->interrupts, 10);
    ck_assert_uint_eq(w.m.clock.now, 20);
    world_fini(&w);
}
END_TEST

START_TEST(instruction_breakpoint)
{
    struct world w;
    world_init(&w, WORLD_64);
    put(&w, HANDLER + 16, 0xcf48, 2);
    code(&w, "\x90\x90\x90");
    w.cpu->dr[2] = CODE + 1;
    w.cpu->dr[7] = 0x400 | 0x10;
    run(&w, 2);
    ck_assert_uint_eq(w.cpu->dr[6] & 0xf00f, 4);
    ck_assert_uint_eq(w.cpu->rip, CODE + 1);
    /* The handler sets RF in the image to go on. */
    w.cpu->eflags |= FLAG_RF;
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 2);
    ck_assert(!(w.cpu->eflags & FLAG_RF));
    world_fini(&w);
}
END_TEST

SUITE_MAIN("fault", &real_mode, &same_level, &inner_level, &gate_16, &gate_errors, &stack_errors,
           &long_mode, &long_mode_user, &interrupt_stack_table, &page_fault, &double_fault,
           &triple_fault, &virtual_8086, &virtual_8086_restricted, &iret_errors,
           &iret_privileged_flags, &drops_data_segments, &nmi_blocking, &single_step,
           &endless_faults, &endless_interrupts, &instruction_breakpoint)
