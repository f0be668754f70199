/* SPDX-License-Identifier: MIT */
/* SMIs in VMX operation, by the default treatment: the handler sees none of it, RSM goes back to it. */
#include "cpu/optable.h"
#include "cpu/smm.h"
#include "tests/suite.h"
#include "tests/vmx/hosted.h"

#define SMBASE 0x80000u
#define AREA (SMBASE + SMM_AREA)
#define RSM "\x0f\xaa"
#define CPUID "\x0f\xa2"

static void smm_hosted(struct hosted *h)
{
    hosted_init(h);
    h->cpu->smbase = SMBASE;
    ck_assert(ram_write(&h->w.m.bus.ram, SMBASE + SMM_ENTRY, "\x90" RSM, 3));
}

static void smi(struct hosted *h)
{
    struct lapic_msg msg = {.dest = 0xff, .delivery = APIC_SMI};
    ck_assert(lapic_deliver(&h->w.m.group, &msg));
}

START_TEST(root)
{
    struct hosted h;
    smm_hosted(&h);
    code(&h.w, "\x90\x90\x90\x90");
    u64 cr4 = h.cpu->cr4, current = h.cpu->vmx->current.gpa;
    smi(&h);
    run(&h.w, 1);
    ck_assert(h.cpu->smm && !h.cpu->vmx->on);
    ck_assert_uint_eq(get(&h.w, AREA + SMM_CR4, 8), cr4 & ~(u64)CR4_VMXE);
    ck_assert_uint_eq(get(&h.w, AREA + SMM_EPT_ON, 4), 0);
    /* The handler takes down what VMX operation needs. */
    put(&h.w, AREA + SMM_CR0, get(&h.w, AREA + SMM_CR0, 8) & ~(u64)CR0_NE, 8);
    run(&h.w, 1);
    ck_assert(!h.cpu->smm && h.cpu->vmx->on && !h.cpu->nonroot);
    ck_assert_uint_eq(h.cpu->cr4, cr4);
    ck_assert(h.cpu->cr0 & CR0_NE);
    ck_assert_uint_eq(h.cpu->vmx->current.gpa, current);
    ck_assert_uint_eq(h.cpu->rip, CODE);
    guest_code(&h, CPUID);
    exits_for(&h, 1, REASON_CPUID);
    hosted_fini(&h);
}
END_TEST

static void in_guest(bool ept)
{
    struct hosted h;
    smm_hosted(&h);
    if (ept)
        hosted_ept(&h);
    vor(&h, VMCS_PIN_CONTROLS, PIN_NMI | PIN_VIRTUAL_NMIS);
    vset(&h, VMCS_GUEST_INTERRUPTIBILITY, 8); /* virtual-NMI blocking */
    guest_code(&h, "\x90\x90" CPUID);
    enter(&h);
    ck_assert(h.cpu->nonroot);
    u64 eptp = h.cpu->eptp;
    smi(&h);
    run(&h.w, 1);
    ck_assert(h.cpu->smm && !h.cpu->nonroot && h.cpu->eptp == 0 && h.cpu->vpid == 0);
    ck_assert_uint_eq(get(&h.w, AREA + SMM_EPT_ON, 4), ept);
    ck_assert_uint_eq(get(&h.w, AREA + SMM_EPTP, 8), eptp);
    ck_assert_uint_eq(get(&h.w, AREA + SMM_RIP, 8), GUEST);
    run(&h.w, 1);
    ck_assert(h.cpu->nonroot && h.cpu->vmx->on);
    ck_assert_uint_eq(h.cpu->eptp, eptp);
    run(&h.w, 3);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_REASON), REASON_CPUID);
    ck_assert_uint_eq(vget(&h, VMCS_GUEST_RIP), GUEST + 2);
    ck_assert_uint_eq(vget(&h, VMCS_GUEST_INTERRUPTIBILITY), 8);
    ck_assert(h.cpu->rip == HOST && !h.cpu->nmi_blocked);
    hosted_fini(&h);
}

START_TEST(nonroot)
{
    in_guest(false);
    in_guest(true);
}
END_TEST

/* Privilege and virtual-8086 mode are the processor's, not SMRAM's. */
START_TEST(critical_state)
{
    struct hosted h;
    smm_hosted(&h);
    guest_code(&h, "\x90" CPUID);
    enter(&h);
    smi(&h);
    run(&h.w, 1);
    put(&h.w, AREA + SMM_SEGMENTS + 16 * SEG_SS + 2, 0xc0f3, 2);
    put(&h.w, AREA + SMM_SEGMENTS + 16 * SEG_CS, CS64 | 3, 2);
    put(&h.w, AREA + SMM_RFLAGS, FLAG_1 | FLAG_VM, 8);
    run(&h.w, 1);
    ck_assert(h.cpu->nonroot);
    ck_assert_uint_eq(cpu_cpl(h.cpu), 0);
    ck_assert_uint_eq(h.cpu->seg[SEG_CS].selector, CS64);
    ck_assert_uint_eq(h.cpu->eflags & FLAG_VM, 0);
    hosted_fini(&h);
}
END_TEST

/* In SMM there is no VMX, and no way to it. */
START_TEST(no_vmx_in_smm)
{
    struct hosted h;
    smm_hosted(&h);
    code(&h.w, "\x90");
    smi(&h);
    run(&h.w, 1);
    ck_assert(!cpu_write_cr4(h.cpu, CR4_VMXE));
    ck_assert_uint_eq(h.cpu->exc.vector, EXC_GP);
    h.cpu->exc.pending = false;
    ck_assert(!vmx_insn_defined(h.cpu, VMEXIT_VMXON));
    ck_assert(!vmx_insn_defined(h.cpu, VMEXIT_VMREAD));
    h.cpu->exc.pending = false;
    put(&h.w, AREA + SMM_CR4, get(&h.w, AREA + SMM_CR4, 8) | CR4_VMXE, 8);
    run(&h.w, 1);
    ck_assert_int_eq(h.w.m.group.stop, STOP_TRIPLE_FAULT);
    hosted_fini(&h);
}
END_TEST

/* The guest has done nothing yet: SMM's instructions are not its progress. */
START_TEST(monitor_trap)
{
    struct hosted h;
    smm_hosted(&h);
    vor(&h, VMCS_PRIMARY_CONTROLS, PRIMARY_MTF);
    guest_code(&h, "\x90\x90" CPUID);
    enter(&h);
    smi(&h);
    run(&h.w, 2);
    ck_assert(h.cpu->nonroot && !h.cpu->smm);
    run(&h.w, 1);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_REASON), REASON_MONITOR_TRAP);
    ck_assert_uint_eq(vget(&h, VMCS_GUEST_RIP), GUEST + 1);
    hosted_fini(&h);
}
END_TEST

/* An SMI comes before the exits that wait; they follow RSM. */
START_TEST(windows_and_timer)
{
    struct hosted h;
    smm_hosted(&h);
    vor(&h, VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
    vset(&h, VMCS_PREEMPTION_TIMER_VALUE, 1);
    guest_code(&h, "\xeb\xfe");
    ck_assert(ram_write(&h.w.m.bus.ram, SMBASE + SMM_ENTRY, "\xb9\x50\x00\xe2\xfe" RSM, 7));
    enter(&h);
    smi(&h);
    run(&h.w, 40);
    ck_assert(h.cpu->smm && h.cpu->vmx->preemption_due); /* it counts on in SMM */
    run(&h.w, 60);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_REASON), REASON_PREEMPTION_TIMER);
    hosted_fini(&h);
}
END_TEST

START_TEST(init_waits)
{
    struct hosted h;
    smm_hosted(&h);
    guest_code(&h, "\xeb\xfe");
    enter(&h);
    smi(&h);
    run(&h.w, 1);
    cpu_raise_pending(h.cpu, PEND_INIT);
    run(&h.w, 1);
    run(&h.w, 1);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_REASON), REASON_INIT);
    hosted_fini(&h);
}
END_TEST

SUITE_MAIN("smm in VMX operation", &root, &nonroot, &critical_state, &no_vmx_in_smm, &monitor_trap,
           &windows_and_timer, &init_waits)
