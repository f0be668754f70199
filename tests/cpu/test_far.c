/* SPDX-License-Identifier: MIT */
/* Far transfers, call gates, task switches, system calls. */
#include "tests/cpu/world.h"
#include "tests/suite.h"

static u64 top(const struct world *w, unsigned slot, unsigned size)
{
    return get(w, w->cpu->seg[SEG_SS].base + w->cpu->gpr[RSP] + slot * size, size);
}

/* The next instruction faults: its handler is entered, an error code on the stack. */
static void expect_fault(struct world *w, u8 vector, u32 error, unsigned size)
{
    put(w, HANDLER + 16u * vector, 0x90, 1);
    run(w, 1);
    ck_assert_uint_eq(w->cpu->rip, HANDLER + 16u * vector + 1);
    ck_assert_uint_eq(top(w, 0, size), error);
    ck_assert_uint_eq(top(w, 1, size), CODE);
}

START_TEST(real_mode)
{
    struct world w;
    world_init(&w, WORLD_REAL);
    code(&w, "\x9a\x34\x02\x00\x20"); /* lcall $0x2000, $0x234 */
    put(&w, 0x20234, 0xcb, 1);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, 0x234);
    ck_assert_uint_eq(w.cpu->seg[SEG_CS].base, 0x20000);
    ck_assert_uint_eq(top(&w, 0, 2), 5);
    ck_assert_uint_eq(top(&w, 1, 2), CODE >> 4);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, 5);
    ck_assert_uint_eq(w.cpu->gpr[RSP], 0x1000);
    world_fini(&w);
}
END_TEST

/* The way of every boot loader: CR0.PE, a far jump, and back. */
START_TEST(to_protected_mode)
{
    struct world w;
    world_init(&w, WORLD_REAL);
    world_tables(&w);
    put(&w, GDT + CS16, 0x00009b010000ffff, 8);
    code(&w, "\x0f\x22\xc0"                     /* mov %eax, %cr0 */
             "\x66\xea\x0b\x00\x01\x00\x08\x00" /* ljmpl $CS32, $CODE + 11 */
             "\x8e\xd9"                         /* mov %ecx, %ds */
             "\xea\x14\x00\x00\x00\x80\x00"     /* ljmp $CS16, $20 */
             "\x0f\x22\xc1"                     /* mov %ecx, %cr0 */
             "\xea\x00\x00\x00\x20");           /* ljmp $0x2000, $0 */
    w.cpu->gpr[RAX] = CR0_PE | CR0_ET;
    w.cpu->gpr[RCX] = CR0_ET; /* and DS0 */
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->mode & (MODE_PE | MODE_CS32), MODE_PE);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 11);
    ck_assert(w.cpu->mode & MODE_CS32);
    run(&w, 2);
    ck_assert_uint_eq(w.cpu->rip, 20);
    ck_assert_uint_eq(w.cpu->seg[SEG_DS].base, 0);
    ck_assert_uint_eq(w.cpu->seg[SEG_DS].limit, 0xffffffff);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->mode & MODE_PE, 0);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->seg[SEG_CS].base, 0x20000);
    ck_assert_uint_eq(w.cpu->rip, 0);
    ck_assert_uint_eq(w.cpu->seg[SEG_DS].limit, 0xffffffff);
    world_fini(&w);
}
END_TEST

START_TEST(direct)
{
    struct world w;
    world_init(&w, WORLD_32);
    code(&w, "\x9a\x00\x00\x02\x00\x08\x00");
    put(&w, HANDLER, 0xcb, 1);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, HANDLER);
    ck_assert_uint_eq(top(&w, 0, 4), CODE + 7);
    ck_assert_uint_eq(top(&w, 1, 4), CS32);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 7);
    ck_assert_uint_eq(w.cpu->gpr[RSP], STACK);
    world_fini(&w);
}
END_TEST

START_TEST(direct_errors)
{
    static const struct {
        u16 sel;
        u8 vector;
        u32 error;
    } cases[] = {{0, EXC_GP, 0},
                 {0x200, EXC_GP, 0x200},
                 {DS0, EXC_GP, DS0},
                 {UCS32, EXC_GP, UCS32 & ~3},
                 {CS32 | 1, EXC_GP, CS32},
                 {ABSENT_CODE, EXC_NP, ABSENT_CODE},
                 {SEL_LDT, EXC_GP, SEL_LDT}};
    struct world w;
    for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
        world_init(&w, WORLD_32);
        code(&w, "\xea\x00\x00\x02\x00\x08\x00");
        put(&w, CODE + 5, cases[k].sel, 2);
        expect_fault(&w, cases[k].vector, cases[k].error, 4);
        world_fini(&w);
    }
}
END_TEST

START_TEST(call_gate)
{
    struct world w;
    world_init(&w, WORLD_32);
    put(&w, GDT + SEL_GATE, gate_desc(TYPE_CALL32, 3, CS32, HANDLER) | UINT64_C(2) << 32, 8);
    go_user(&w);
    code(&w, "\x9a\x00\x00\x00\x00\x63\x00");
    put(&w, HANDLER, 0x0008ca, 3); /* lret $8 */
    put(&w, STACK3, 0x11111111, 4);
    put(&w, STACK3 + 4, 0x22222222, 4);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, HANDLER);
    ck_assert_uint_eq(cpu_cpl(w.cpu), 0);
    ck_assert_uint_eq(w.cpu->gpr[RSP], STACK0 - 24);
    ck_assert_uint_eq(top(&w, 0, 4), CODE + 7);
    ck_assert_uint_eq(top(&w, 1, 4), UCS32);
    ck_assert_uint_eq(top(&w, 2, 4), 0x11111111);
    ck_assert_uint_eq(top(&w, 3, 4), 0x22222222);
    ck_assert_uint_eq(top(&w, 4, 4), STACK3);
    ck_assert_uint_eq(top(&w, 5, 4), UDS);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 7);
    ck_assert_uint_eq(cpu_cpl(w.cpu), 3);
    ck_assert_uint_eq(w.cpu->gpr[RSP], STACK3 + 8);
    world_fini(&w);
}
END_TEST

START_TEST(call_gate_errors)
{
    struct world w;
    world_init(&w, WORLD_32);
    put(&w, GDT + SEL_GATE, gate_desc(TYPE_CALL32, 0, CS32, HANDLER), 8);
    go_user(&w);
    code(&w, "\x9a\x00\x00\x00\x00\x63\x00");
    expect_fault(&w, EXC_GP, SEL_GATE, 4);
    world_fini(&w);
    world_init(&w, WORLD_32);
    put(&w, GDT + SEL_GATE, gate_desc(TYPE_CALL32, 3, CS32, HANDLER), 8);
    go_user(&w);
    code(&w, "\xea\x00\x00\x00\x00\x63\x00"); /* JMP can't change the level */
    expect_fault(&w, EXC_GP, CS32, 4);
    world_fini(&w);
}
END_TEST

START_TEST(call_gate_64)
{
    struct world w;
    world_init(&w, WORLD_64);
    put(&w, GDT + SEL_GATE, gate_desc(TYPE_CALL32, 3, CS64, HANDLER), 8);
    go_user(&w);
    w.cpu->gpr[RBX] = CODE + 0x100;
    put(&w, CODE + 0x100, 0, 4);
    put(&w, CODE + 0x104, SEL_GATE | 3, 2);
    code(&w, "\xff\x1b");
    put(&w, HANDLER, 0xcb48, 2);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, HANDLER);
    ck_assert_uint_eq(cpu_cpl(w.cpu), 0);
    ck_assert_uint_eq(w.cpu->gpr[RSP], STACK0 - 32);
    ck_assert_uint_eq(w.cpu->seg[SEG_SS].selector, 0);
    ck_assert_uint_eq(top(&w, 3, 8), UDS);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 2);
    ck_assert_uint_eq(w.cpu->gpr[RSP], STACK3);
    ck_assert_uint_eq(cpu_cpl(w.cpu), 3);
    world_fini(&w);
}
END_TEST

START_TEST(to_compatibility_mode)
{
    struct world w;
    world_init(&w, WORLD_64);
    put(&w, STACK - 16, CODE + 0x20, 8);
    put(&w, STACK - 8, CS32, 8);
    w.cpu->gpr[RSP] = STACK - 16;
    code(&w, "\x48\xcb");                      /* lretq */
    put(&w, CODE + 0x20, 0x001800013000ea, 7); /* ljmp $CS64, $0x13000 */
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->mode & (MODE_64 | MODE_LMA | MODE_CS32), MODE_LMA | MODE_CS32);
    run(&w, 1);
    ck_assert(w.cpu->mode & MODE_64);
    ck_assert_uint_eq(w.cpu->rip, 0x13000);
    world_fini(&w);
}
END_TEST

/* A second task at CODE + 0x100 with its own stack. */
static void second_task(struct world *w)
{
    put(w, TSS2 + 32, CODE + 0x100, 4);
    put(w, TSS2 + 36, FLAG_1, 4);
    put(w, TSS2 + 40, 0xaaaa, 4);
    put(w, TSS2 + 56, STACK3, 4);
    put(w, TSS2 + 72, DS0, 4);
    put(w, TSS2 + 76, CS32, 4);
    put(w, TSS2 + 80, DS0, 4);
    put(w, TSS2 + 84, DS0, 4);
    put(w, TSS2 + 88, 0, 4);
    put(w, TSS2 + 92, 0, 4);
}

START_TEST(task_jump)
{
    struct world w;
    world_init(&w, WORLD_32);
    second_task(&w);
    code(&w, "\xea\x00\x00\x00\x00\x50\x00");
    w.cpu->gpr[RBX] = 0x1234;
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 0x100);
    ck_assert_uint_eq(w.cpu->gpr[RAX], 0xaaaa);
    ck_assert_uint_eq(w.cpu->gpr[RSP], STACK3);
    ck_assert_uint_eq(w.cpu->seg[SEG_TR].selector, SEL_TSS2);
    ck_assert_uint_eq(get(&w, GDT + SEL_TSS + 5, 1), 0x89);
    ck_assert_uint_eq(get(&w, GDT + SEL_TSS2 + 5, 1), 0x8b);
    ck_assert_uint_eq(get(&w, TSS + 32, 4), CODE + 7);
    ck_assert_uint_eq(get(&w, TSS + 52, 4), 0x1234);
    ck_assert(w.cpu->cr0 & CR0_TS);
    ck_assert(!(w.cpu->eflags & FLAG_NT));
    world_fini(&w);
}
END_TEST

START_TEST(task_call_and_return)
{
    struct world w;
    world_init(&w, WORLD_32);
    second_task(&w);
    code(&w, "\x9a\x00\x00\x00\x00\x50\x00");
    put(&w, CODE + 0x100, 0xcf, 1);
    run(&w, 1);
    ck_assert(w.cpu->eflags & FLAG_NT);
    ck_assert_uint_eq(get(&w, TSS2, 2), SEL_TSS);
    ck_assert_uint_eq(get(&w, GDT + SEL_TSS + 5, 1), 0x8b);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 7);
    ck_assert_uint_eq(w.cpu->gpr[RSP], STACK);
    ck_assert_uint_eq(w.cpu->seg[SEG_TR].selector, SEL_TSS);
    ck_assert_uint_eq(get(&w, GDT + SEL_TSS2 + 5, 1), 0x89);
    ck_assert_uint_eq(get(&w, TSS2 + 36, 4) & FLAG_NT, 0);
    world_fini(&w);
}
END_TEST

START_TEST(task_gate_for_fault)
{
    struct world w;
    world_init(&w, WORLD_32);
    second_task(&w);
    set_gate(&w, EXC_GP, gate_desc(TYPE_TASK_GATE, 0, SEL_TSS2, 0));
    cpu_fault_gp(w.cpu, 0x1230);
    w.cpu->rip = CODE;
    cpu_deliver_exception(w.cpu);
    ck_assert_uint_eq(w.cpu->rip, CODE + 0x100);
    ck_assert_uint_eq(w.cpu->gpr[RSP], STACK3 - 4);
    ck_assert_uint_eq(top(&w, 0, 4), 0x1230);
    ck_assert(get(&w, TSS + 36, 4) & FLAG_RF);
    world_fini(&w);
}
END_TEST

/* After the commit point, faults are the new task's. */
START_TEST(task_bad_segment)
{
    struct world w;
    world_init(&w, WORLD_32);
    second_task(&w);
    put(&w, TSS2 + 84, 0x200, 4);
    put(&w, HANDLER + 16 * EXC_TS, 0x90, 1);
    code(&w, "\xea\x00\x00\x00\x00\x50\x00");
    run(&w, 2);
    ck_assert_uint_eq(w.cpu->rip, HANDLER + 16 * EXC_TS + 1);
    ck_assert_uint_eq(w.cpu->seg[SEG_TR].selector, SEL_TSS2);
    ck_assert_uint_eq(top(&w, 0, 4), 0x200);
    ck_assert_uint_eq(top(&w, 1, 4), CODE + 0x100);
    world_fini(&w);
}
END_TEST

START_TEST(task_errors)
{
    struct world w;
    world_init(&w, WORLD_32);
    code(&w, "\xea\x00\x00\x00\x00\x40\x00"); /* busy */
    expect_fault(&w, EXC_GP, SEL_TSS, 4);
    world_fini(&w);
    world_init(&w, WORLD_32);
    code(&w, "\xea\x00\x00\x00\x00\x50\x00");
    put(&w, GDT + SEL_TSS2, 0x66, 2);
    put(&w, GDT + SEL_TSS2 + 6, 0, 1);
    expect_fault(&w, EXC_TS, SEL_TSS2, 4);
    world_fini(&w);
}
END_TEST

START_TEST(syscall_sysret)
{
    struct world w;
    world_init(&w, WORLD_64);
    w.cpu->star = UINT64_C(0x1b) << 48 | UINT64_C(0x18) << 32;
    w.cpu->lstar = HANDLER;
    w.cpu->fmask = FLAG_IF | FLAG_TF | FLAG_CF;
    put(&w, HANDLER, 0x070f48, 3);
    go_user(&w);
    set_rflags(w.cpu, FLAG_IF | FLAG_CF | FLAG_ZF);
    code(&w, "\x0f\x05\x90");
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, HANDLER);
    ck_assert_uint_eq(cpu_cpl(w.cpu), 0);
    ck_assert_uint_eq(w.cpu->gpr[RCX], CODE + 2);
    ck_assert_uint_eq(w.cpu->gpr[R11], FLAG_IF | FLAG_CF | FLAG_ZF | FLAG_1);
    ck_assert_uint_eq(cpu_eflags(w.cpu), FLAG_ZF | FLAG_1);
    ck_assert_uint_eq(w.cpu->seg[SEG_CS].selector, 0x18);
    ck_assert_uint_eq(w.cpu->seg[SEG_SS].selector, 0x20);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 2);
    ck_assert_uint_eq(cpu_cpl(w.cpu), 3);
    ck_assert_uint_eq(w.cpu->seg[SEG_CS].selector, 0x2b);
    ck_assert_uint_eq(w.cpu->seg[SEG_SS].selector, 0x23);
    ck_assert_uint_eq(cpu_eflags(w.cpu), FLAG_IF | FLAG_CF | FLAG_ZF | FLAG_1);
    ck_assert(w.cpu->mode & MODE_64);
    world_fini(&w);
}
END_TEST

START_TEST(sysret_errors)
{
    struct world w;
    world_init(&w, WORLD_64);
    code(&w, "\x48\x0f\x07");
    w.cpu->gpr[RCX] = BIT(47);
    expect_fault(&w, EXC_GP, 0, 8);
    world_fini(&w);
    world_init(&w, WORLD_64);
    w.cpu->efer &= ~EFER_SCE;
    put(&w, HANDLER + 16 * EXC_UD, 0x90, 1);
    code(&w, "\x0f\x05");
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, HANDLER + 16 * EXC_UD + 1);
    world_fini(&w);
}
END_TEST

START_TEST(sysenter_sysexit)
{
    struct world w;
    world_init(&w, WORLD_64);
    w.cpu->sysenter_cs = CS64;
    w.cpu->sysenter_eip = HANDLER;
    w.cpu->sysenter_esp = STACK;
    put(&w, HANDLER, 0x350f48, 3);
    go_user(&w);
    set_rflags(w.cpu, FLAG_IF);
    code(&w, "\x0f\x34");
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, HANDLER);
    ck_assert_uint_eq(w.cpu->gpr[RSP], STACK);
    ck_assert_uint_eq(cpu_cpl(w.cpu), 0);
    ck_assert(!(w.cpu->eflags & FLAG_IF));
    w.cpu->gpr[RDX] = CODE + 2;
    w.cpu->gpr[RCX] = STACK3;
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 2);
    ck_assert_uint_eq(w.cpu->gpr[RSP], STACK3);
    ck_assert_uint_eq(w.cpu->seg[SEG_CS].selector, CS64 + 32 + 3);
    ck_assert_uint_eq(cpu_cpl(w.cpu), 3);
    world_fini(&w);
}
END_TEST

SUITE_MAIN("far", &real_mode, &to_protected_mode, &direct, &direct_errors, &call_gate,
           &call_gate_errors, &call_gate_64, &to_compatibility_mode, &task_jump,
           &task_call_and_return, &task_gate_for_fault, &task_bad_segment, &task_errors,
           &syscall_sysret, &sysret_errors, &sysenter_sysexit)
