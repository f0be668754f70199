/* SPDX-License-Identifier: MIT */
/* VM entries and exits: state, failures, injected events, what an exit tells. */
#include "tests/suite.h"
#include "tests/vmx/hosted.h"

#define CPUID "\x0f\xa2"

static const u32 guest_fields[] = {
#define FIELD(id, name, encoding, guard) (encoding),
#include "vmx/vmcs.def"
};

/* Fields of type guest state that no exit changes by itself. */
static bool is_kept(u32 encoding)
{
    return (encoding >> 10 & 3) == 2 && encoding != VMCS_GUEST_RIP &&
           encoding != VMCS_PREEMPTION_TIMER_VALUE;
}

START_TEST(round_trip)
{
    struct hosted h;
    u64 before[ARRAY_SIZE(guest_fields)];
    hosted_init(&h);
    vset(&h, VMCS_GUEST_FS_BASE, 0x12345000);
    vset(&h, VMCS_GUEST_SYSENTER_EIP, 0x77777);
    vor(&h, VMCS_GUEST_RFLAGS, FLAG_IF | FLAG_CF);
    vset(&h, VMCS_GUEST_INTERRUPTIBILITY, 1);
    for (unsigned k = 0; k < ARRAY_SIZE(guest_fields); k++)
        before[k] = vget(&h, (enum vmcs_field)guest_fields[k]);
    guest_code(&h, CPUID);
    exits_for(&h, 1, REASON_CPUID);
    ck_assert_uint_eq(vget(&h, VMCS_GUEST_RIP), GUEST);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_INSTRUCTION_LENGTH), 2);
    for (unsigned k = 0; k < ARRAY_SIZE(guest_fields); k++)
        if (is_kept(guest_fields[k]))
            ck_assert_msg(vget(&h, (enum vmcs_field)guest_fields[k]) == before[k], "%s",
                          vmcs_field_name(guest_fields[k]));
    hosted_fini(&h);
}
END_TEST

START_TEST(host_state)
{
    struct hosted h;
    hosted_init(&h);
    vset(&h, VMCS_GUEST_DR7, 0x401);
    vor(&h, VMCS_GUEST_RFLAGS, FLAG_IF | FLAG_CF);
    guest_code(&h, CPUID);
    exits_for(&h, 1, REASON_CPUID);
    struct cpu *cpu = h.cpu;
    ck_assert_uint_eq(cpu->rip, HOST);
    ck_assert_uint_eq(cpu->gpr[RSP], HOST_STACK);
    ck_assert_uint_eq(cpu_eflags(cpu), 2);
    ck_assert_uint_eq(cpu->dr[7], 0x400);
    ck_assert_uint_eq(cpu->seg[SEG_CS].attr, 0xa09b);
    ck_assert_uint_eq(cpu->seg[SEG_FS].base, 0x111000);
    ck_assert_uint_eq(cpu->seg[SEG_TR].limit, 0x67);
    ck_assert(cpu->seg[SEG_LDTR].attr & ATTR_UNUSABLE);
    ck_assert(cpu->seg[SEG_DS].attr & ATTR_UNUSABLE);
    ck_assert(!(cpu->seg[SEG_SS].attr & ATTR_UNUSABLE));
    ck_assert_uint_eq(cpu->gdtr.limit, 0xffff);
    ck_assert(cpu->vpid == 0 && cpu->eptp == 0);
    hosted_fini(&h);
}
END_TEST

static void fails_with(struct hosted *h, u32 number)
{
    enter(h);
    ck_assert_uint_eq(h->cpu->rip, CODE + 3);
    ck_assert_uint_eq(cpu_status_flags(h->cpu), FLAG_ZF);
    ck_assert_uint_eq(vget(h, VMCS_VM_INSTRUCTION_ERROR), number);
}

START_TEST(vmfail)
{
    struct hosted h;
    hosted_init(&h);
    vset(&h, VMCS_PIN_CONTROLS, 0);
    fails_with(&h, 7);
    hosted_controls(&h);
    vset(&h, VMCS_HOST_CR3, BIT(60));
    fails_with(&h, 8);
    vset(&h, VMCS_HOST_CR3, PML4);
    code(&h.w, "\x0f\x01\xc3"); /* VMRESUME before any VMLAUNCH */
    run(&h.w, 1);
    ck_assert_uint_eq(vget(&h, VMCS_VM_INSTRUCTION_ERROR), 5);
    guest_code(&h, CPUID);
    exits_for(&h, 1, REASON_CPUID);
    code(&h.w, "\x0f\x01\xc2"); /* VMLAUNCH of what is launched */
    run(&h.w, 1);
    ck_assert_uint_eq(vget(&h, VMCS_VM_INSTRUCTION_ERROR), 4);
    h.cpu->gpr[RAX] = DS0;
    code(&h.w, "\x8e\xd0\x0f\x01\xc3"); /* MOV SS, AX; VMRESUME */
    run(&h.w, 2);
    ck_assert_uint_eq(vget(&h, VMCS_VM_INSTRUCTION_ERROR), 26);
    hosted_fini(&h);
}
END_TEST

START_TEST(failed_entry)
{
    struct hosted h;
    hosted_init(&h);
    vset(&h, VMCS_GUEST_RFLAGS, 0);
    enter(&h);
    ck_assert_uint_eq(h.cpu->rip, HOST);
    ck_assert(!h.cpu->nonroot);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_REASON),
                      REASON_ENTRY_FAILURE | REASON_INVALID_GUEST_STATE);
    ck_assert_uint_eq(vget(&h, VMCS_GUEST_RIP), GUEST);
    ck_assert(!vmcs_launched(&h.v));
    vset(&h, VMCS_GUEST_RFLAGS, 2);
    vset(&h, VMCS_VM_ENTRY_MSR_LOAD_ADDRESS, BITMAPS);
    vset(&h, VMCS_VM_ENTRY_MSR_LOAD_COUNT, 2);
    put(&h.w, BITMAPS, 0x174, 8); /* IA32_SYSENTER_CS */
    put(&h.w, BITMAPS + 8, 0x33, 8);
    put(&h.w, BITMAPS + 16, 0xc0000100, 8); /* IA32_FS_BASE may not be in a list */
    enter(&h);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_REASON), REASON_ENTRY_FAILURE | REASON_MSR_LOADING);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_QUALIFICATION), 2);
    hosted_fini(&h);
}
END_TEST

START_TEST(msr_lists)
{
    struct hosted h;
    u64 val;
    hosted_init(&h);
    vset(&h, VMCS_VM_ENTRY_MSR_LOAD_ADDRESS, BITMAPS);
    vset(&h, VMCS_VM_EXIT_MSR_STORE_ADDRESS, BITMAPS + 0x100);
    vset(&h, VMCS_VM_EXIT_MSR_LOAD_ADDRESS, BITMAPS + 0x200);
    vset(&h, VMCS_VM_ENTRY_MSR_LOAD_COUNT, 1);
    vset(&h, VMCS_VM_EXIT_MSR_STORE_COUNT, 1);
    vset(&h, VMCS_VM_EXIT_MSR_LOAD_COUNT, 1);
    for (u64 at = BITMAPS; at <= BITMAPS + 0x200; at += 0x100)
        put(&h.w, at, 0xc0000102, 8); /* IA32_KERNEL_GS_BASE */
    put(&h.w, BITMAPS + 8, 0x1000, 8);
    put(&h.w, BITMAPS + 0x208, 0x3000, 8);
    guest_code(&h, "\x0f\x01\xf8" CPUID); /* SWAPGS */
    vset(&h, VMCS_GUEST_GS_BASE, 0x2000);
    exits_for(&h, 2, REASON_CPUID);
    ck_assert_uint_eq(vget(&h, VMCS_GUEST_GS_BASE), 0x1000);
    ck_assert_uint_eq(get(&h.w, BITMAPS + 0x108, 8), 0x2000);
    ck_assert(msr_get(h.cpu, 0xc0000102, &val) && val == 0x3000);
    hosted_fini(&h);
}
END_TEST

/* ---- Events ---- */

static void inject(struct hosted *h, u32 info, u32 error, u32 length)
{
    vset(h, VMCS_VM_ENTRY_INTR_INFO, info);
    vset(h, VMCS_VM_ENTRY_EXCEPTION_ERROR_CODE, error);
    vset(h, VMCS_VM_ENTRY_INSTRUCTION_LENGTH, length);
}

static void handler_cpuid(struct hosted *h, u8 vector)
{
    put(&h->w, HANDLER + 16 * vector, 0xa20f, 2);
}

START_TEST(injection)
{
    static const struct {
        u32 info, error, length;
        unsigned frame; /* 8-byte slots pushed */
    } events[] = {{0x80000b0d, 0x50, 0, 6}, {0x80000306, 0, 0, 5}, {0x80000021, 0, 0, 5},
                  {0x80000202, 0, 0, 5},    {0x80000480, 0, 2, 5}, {0x80000603, 0, 1, 5}};
    for (unsigned k = 0; k < ARRAY_SIZE(events); k++) {
        struct hosted h;
        hosted_init(&h);
        u8 vector = (u8)events[k].info;
        if (vector == 0x21)
            vor(&h, VMCS_GUEST_RFLAGS, FLAG_IF);
        handler_cpuid(&h, vector);
        inject(&h, events[k].info, events[k].error, events[k].length);
        exits_for(&h, 1, REASON_CPUID);
        ck_assert_uint_eq(vget(&h, VMCS_GUEST_RIP), HANDLER + 16 * vector);
        u64 sp = vget(&h, VMCS_GUEST_RSP);
        ck_assert_uint_eq(sp, GUEST_STACK - 8 * events[k].frame);
        ck_assert_uint_eq(get(&h.w, GUEST_STACK - 40, 8), GUEST + events[k].length);
        if (events[k].frame == 6)
            ck_assert_uint_eq(get(&h.w, sp, 8), events[k].error);
        ck_assert(!(vget(&h, VMCS_VM_ENTRY_INTR_INFO) & INTR_VALID));
        ck_assert_uint_eq(vget(&h, VMCS_GUEST_INTERRUPTIBILITY), vector == EXC_NMI ? 8 : 0);
        hosted_fini(&h);
    }
}
END_TEST

START_TEST(exception_exits)
{
    struct hosted h;
    hosted_init(&h);
    guest_code(&h, "\x0f\x0b");
    vset(&h, VMCS_EXCEPTION_BITMAP, BIT(EXC_UD));
    exits_for(&h, 1, REASON_EXCEPTION_NMI);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_INTR_INFO), 0x80000306);
    ck_assert(vget(&h, VMCS_GUEST_RFLAGS) & FLAG_RF);
    /* Page faults: PFEC_MASK and PFEC_MATCH choose, the bit says which of them exit. */
    vset(&h, VMCS_GUEST_RFLAGS, 2);
    guest_code(&h, "\xc6\x04\x25\x00\x00\x20\x00\x01"); /* MOV BYTE [200000H], 1 */
    vset(&h, VMCS_EXCEPTION_BITMAP, BIT(EXC_PF));
    vset(&h, VMCS_PF_ERROR_CODE_MASK, PF_WRITE);
    vset(&h, VMCS_PF_ERROR_CODE_MATCH, PF_WRITE);
    exits_for(&h, 1, REASON_EXCEPTION_NMI);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_INTR_INFO), 0x80000b0e);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_INTR_ERROR_CODE), PF_WRITE);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_QUALIFICATION), 0x200000);
    ck_assert_uint_ne(h.cpu->cr2, 0x200000);
    vset(&h, VMCS_PF_ERROR_CODE_MATCH, 0);
    handler_cpuid(&h, EXC_PF);
    exits_for(&h, 1, REASON_CPUID);
    ck_assert_uint_eq(h.cpu->cr2, 0x200000);
    hosted_fini(&h);
}
END_TEST

/* A fault while an event is delivered: what was being delivered stands in the IDT-vectoring field. */
START_TEST(vectoring)
{
    struct hosted h;
    hosted_init(&h);
    guest_code(&h, "\xcd\x80"); /* INT 80H */
    vset(&h, VMCS_GUEST_IDTR_LIMIT, 0xff);
    vset(&h, VMCS_EXCEPTION_BITMAP, BIT(EXC_GP));
    exits_for(&h, 1, REASON_EXCEPTION_NMI);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_INTR_INFO), 0x80000b0d);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_INTR_ERROR_CODE), 0x80 << 3 | 2);
    ck_assert_uint_eq(vget(&h, VMCS_IDT_VECTORING_INFO), 0x80000480);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_INSTRUCTION_LENGTH), 2);
    ck_assert_uint_eq(vget(&h, VMCS_GUEST_RIP), GUEST);
    /* #DF that exits by itself is not being delivered; a triple fault neither. */
    vset(&h, VMCS_GUEST_RFLAGS, 2);
    vset(&h, VMCS_GUEST_IDTR_LIMIT, 0);
    vset(&h, VMCS_EXCEPTION_BITMAP, BIT(EXC_DF));
    exits_for(&h, 1, REASON_EXCEPTION_NMI);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_INTR_INFO), 0x80000b08);
    ck_assert_uint_eq(vget(&h, VMCS_IDT_VECTORING_INFO), 0);
    vset(&h, VMCS_GUEST_RFLAGS, 2);
    vset(&h, VMCS_EXCEPTION_BITMAP, 0);
    exits_for(&h, 1, REASON_TRIPLE_FAULT);
    hosted_fini(&h);
}
END_TEST

START_TEST(external_interrupts)
{
    struct hosted h;
    hosted_init(&h);
    vor(&h, VMCS_PIN_CONTROLS, PIN_EXTERNAL_INTERRUPT | PIN_NMI);
    vor(&h, VMCS_VM_EXIT_CONTROLS, EXIT_ACK_INTERRUPT);
    guest_code(&h, "\x90\x90\x90\x90\xeb\xfe");
    lapic_virtual_wire(h.cpu->lapic);
    enter(&h);
    lapic_accept(h.cpu->lapic, 0x41, false);
    run(&h.w, 1); /* IF is 0 and does not matter */
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_REASON), REASON_EXTERNAL_INTERRUPT);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_INTR_INFO), 0x80000041);
    enter(&h);
    h.cpu->pending |= PEND_NMI;
    run(&h.w, 1);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_INTR_INFO), 0x80000202);
    ck_assert(h.cpu->nmi_blocked);
    hosted_fini(&h);
}
END_TEST

/* ---- Exits that wait ---- */

START_TEST(windows)
{
    struct hosted h;
    hosted_init(&h);
    guest_code(&h, "\x90\xfb\x90\x90\x90"); /* NOP; STI; NOP ... */
    vor(&h, VMCS_PRIMARY_CONTROLS, PRIMARY_INTERRUPT_WINDOW);
    exits_for(&h, 4, REASON_INTERRUPT_WINDOW);
    ck_assert_uint_eq(vget(&h, VMCS_GUEST_RIP), GUEST + 3); /* behind STI's shadow */
    hosted_controls(&h);
    vor(&h, VMCS_PIN_CONTROLS, PIN_NMI | PIN_VIRTUAL_NMIS);
    vor(&h, VMCS_PRIMARY_CONTROLS, PRIMARY_NMI_WINDOW);
    vset(&h, VMCS_GUEST_INTERRUPTIBILITY, 8);
    u64 frame[] = {GUEST + 3, CS64, 2, GUEST_STACK, DS0};
    for (unsigned k = 0; k < 5; k++)
        put(&h.w, GUEST_STACK - 40 + 8 * k, frame[k], 8);
    vset(&h, VMCS_GUEST_RSP, GUEST_STACK - 40);
    vset(&h, VMCS_GUEST_RIP, GUEST);
    guest_code(&h, "\x90\x48\xcf\x90\x90"); /* NOP; IRETQ */
    exits_for(&h, 4, REASON_NMI_WINDOW);
    ck_assert_uint_eq(vget(&h, VMCS_GUEST_RIP), GUEST + 3);
    ck_assert_uint_eq(vget(&h, VMCS_GUEST_INTERRUPTIBILITY), 0);
    hosted_fini(&h);
}
END_TEST

START_TEST(monitor_trap)
{
    struct hosted h;
    hosted_init(&h);
    guest_code(&h, "\x90\xff\xc0\x0f\x0b"); /* NOP; INC EAX; UD2 */
    vor(&h, VMCS_PRIMARY_CONTROLS, PRIMARY_MTF);
    exits_for(&h, 2, REASON_MONITOR_TRAP);
    ck_assert_uint_eq(vget(&h, VMCS_GUEST_RIP), GUEST + 1);
    exits_for(&h, 2, REASON_MONITOR_TRAP);
    ck_assert_uint_eq(vget(&h, VMCS_GUEST_RIP), GUEST + 3);
    exits_for(&h, 2, REASON_MONITOR_TRAP); /* the delivery of #UD is a step, too */
    ck_assert_uint_eq(vget(&h, VMCS_GUEST_RIP), HANDLER + 16 * EXC_UD);
    inject(&h, 0x80000306, 0, 0);
    exits_for(&h, 1, REASON_MONITOR_TRAP);
    ck_assert_uint_eq(vget(&h, VMCS_GUEST_RIP), HANDLER + 16 * EXC_UD);
    hosted_fini(&h);
}
END_TEST

START_TEST(preemption_timer)
{
    struct hosted h;
    hosted_init(&h);
    guest_code(&h, "\xff\xc0\xeb\xfc"); /* INC EAX for ever */
    vor(&h, VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
    vor(&h, VMCS_VM_EXIT_CONTROLS, EXIT_SAVE_PREEMPTION_TIMER);
    vset(&h, VMCS_PREEMPTION_TIMER_VALUE, 3);
    u64 from = h.w.m.clock.now;
    exits_for(&h, 200, REASON_PREEMPTION_TIMER);
    ck_assert_uint_eq(vget(&h, VMCS_PREEMPTION_TIMER_VALUE), 0);
    ck_assert_uint_ge(h.cpu->gpr[RAX], 30); /* 2 to 3 times 32 ticks, an INC in every other */
    ck_assert_uint_le(h.cpu->gpr[RAX], 48);
    vset(&h, VMCS_PREEMPTION_TIMER_VALUE, 0);
    exits_for(&h, 1, REASON_PREEMPTION_TIMER);
    vset(&h, VMCS_PREEMPTION_TIMER_VALUE, 100);
    guest_code(&h, CPUID);
    vset(&h, VMCS_GUEST_RIP, GUEST);
    exits_for(&h, 1, REASON_CPUID);
    ck_assert_uint_ge(vget(&h, VMCS_PREEMPTION_TIMER_VALUE), 98);
    ck_assert_uint_gt(h.w.m.clock.now, from);
    hosted_fini(&h);
}
END_TEST

/* ---- Transitions in general ---- */

/* Nothing of entry and exit is tied to one VMCS: state goes through three. */
START_TEST(chain_of_three)
{
    struct hosted h;
    hosted_init(&h);
    const struct vmcs v[3] = {h.v, vmcs_at(&h.w.m.bus.ram, VMCS2), vmcs_at(&h.w.m.bus.ram, VMCS3)};
    struct vmx_controls c;
    vset(&h, VMCS_GUEST_FS_BASE, 0x4000);
    vset(&h, VMCS_GUEST_RIP, 0x123456);
    vmx_read_controls(&v[0], &c);
    for (unsigned k = 0; k + 1 < ARRAY_SIZE(v); k++) {
        vmx_load_guest(h.cpu, &v[k], &c);
        cpu_update_mode(h.cpu);
        vmx_save_guest(h.cpu, &v[k + 1], &c);
        vmx_load_host(h.cpu, &v[0], c.exit); /* another's state in between */
    }
    for (unsigned k = 0; k < ARRAY_SIZE(guest_fields); k++) {
        enum vmcs_field field = (enum vmcs_field)guest_fields[k];
        if (is_kept(guest_fields[k]) && field != VMCS_VMCS_LINK_POINTER)
            ck_assert_msg(vmcs_read_any(&v[2], field) == vmcs_read_any(&v[0], field), "%s",
                          vmcs_field_name(field));
    }
    ck_assert_uint_eq(vmcs_read_any(&v[2], VMCS_GUEST_RIP), 0x123456);
    hosted_fini(&h);
}
END_TEST

/* With a VPID, entries and exits leave all translations alone; without one they flush. */
START_TEST(translations_stay)
{
    struct hosted h;
    hosted_init(&h);
    hosted_ept(&h);
    guest_code(&h, CPUID);
    exits_for(&h, 1, REASON_CPUID);
    u64 flushes = h.cpu->tlb_store.flushes, fills = h.cpu->tlb_store.fills;
    for (unsigned k = 0; k < 10; k++)
        exits_for(&h, 1, REASON_CPUID);
    ck_assert_uint_eq(h.cpu->tlb_store.flushes, flushes);
    ck_assert_uint_eq(h.cpu->tlb_store.fills, fills);
    vset(&h, VMCS_SECONDARY_CONTROLS, 0);
    exits_for(&h, 1, REASON_CPUID);
    ck_assert_uint_gt(h.cpu->tlb_store.flushes, flushes);
    hosted_fini(&h);
}
END_TEST

/* INIT waits in root operation, for VM entry or VMXOFF. */
START_TEST(init_in_root)
{
    struct hosted h;
    hosted_init(&h);
    code(&h.w, "\x90\x90\x90");
    cpu_raise_pending(h.cpu, PEND_INIT);
    run(&h.w, 2);
    ck_assert_uint_eq(h.cpu->rip, CODE + 2);
    guest_code(&h, "\x90" CPUID);
    exits_for(&h, 1, REASON_INIT);
    ck_assert_uint_eq(vget(&h, VMCS_GUEST_RIP), GUEST);
    ck_assert(!(h.cpu->pending & PEND_INIT));
    cpu_raise_pending(h.cpu, PEND_INIT);
    code(&h.w, "\x90\x0f\x01\xc4"); /* VMXOFF */
    run(&h.w, 2);
    ck_assert(h.cpu->cr0 & CR0_PE);
    run(&h.w, 1);
    ck_assert(!(h.cpu->cr0 & CR0_PE));
    hosted_fini(&h);
}
END_TEST

SUITE_MAIN("transition", &round_trip, &host_state, &vmfail, &failed_entry, &msr_lists, &injection,
           &exception_exits, &vectoring, &external_interrupts, &windows, &monitor_trap,
           &preemption_timer, &chain_of_three, &translations_stay, &init_in_root)
