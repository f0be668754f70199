/* SPDX-License-Identifier: MIT */
/*
 * A 64-bit host in VMX operation, with a VMCS whose guest is 64-bit too, in the same page tables:
 * tests change the fields that they are about.
 */
#ifndef TESTS_VMX_HOSTED_H
#define TESTS_VMX_HOSTED_H

#include "cpu/cpuid.h"
#include "cpu/lapic_state.h"
#include "tests/cpu/world.h"
#include "vmx/vmx.h"

enum {
    VMXON_REGION = 0xa0000,
    VMCS1 = 0xa1000, /* and VMCS2 ... behind it */
    VMCS2 = 0xa2000,
    VMCS3 = 0xa3000,
    BITMAPS = 0xa8000, /* four zero pages */
    EPT = 0xb0000,     /* four levels, identity */
    GUEST = 0xc0000,   /* the guest's code */
    HOST = 0xc8000,    /* where exits lead: JMP to itself */
    GUEST_STACK = 0xd0000,
    HOST_STACK = 0xd8000,
};

struct hosted {
    struct world w;
    struct cpu *cpu;
    struct vmcs v;
};

static inline void vset(struct hosted *h, enum vmcs_field field, u64 value)
{
    vmcs_write_any(&h->v, field, value);
}

static inline u64 vget(const struct hosted *h, enum vmcs_field field)
{
    return vmcs_read_any(&h->v, field);
}

static inline void vor(struct hosted *h, enum vmcs_field field, u64 bits)
{
    vset(h, field, vget(h, field) | bits);
}

static inline void hosted_host(struct hosted *h)
{
    vset(h, VMCS_HOST_CR0, CR0_PE | CR0_NE | CR0_PG | CR0_WP | CR0_ET);
    vset(h, VMCS_HOST_CR3, PML4);
    vset(h, VMCS_HOST_CR4, CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_VMXE);
    vset(h, VMCS_HOST_CS_SELECTOR, CS64);
    vset(h, VMCS_HOST_SS_SELECTOR, DS0);
    vset(h, VMCS_HOST_TR_SELECTOR, SEL_TSS);
    vset(h, VMCS_HOST_FS_BASE, 0x111000);
    vset(h, VMCS_HOST_GS_BASE, 0x222000);
    vset(h, VMCS_HOST_TR_BASE, TSS);
    vset(h, VMCS_HOST_GDTR_BASE, GDT);
    vset(h, VMCS_HOST_IDTR_BASE, IDT);
    vset(h, VMCS_HOST_RSP, HOST_STACK);
    vset(h, VMCS_HOST_RIP, HOST);
}

static inline void hosted_segment(struct hosted *h, unsigned k, u32 selector, u32 limit, u32 rights)
{
    vset(h, (enum vmcs_field)(VMCS_GUEST_ES_SELECTOR + 2 * k), selector);
    vset(h, (enum vmcs_field)(VMCS_GUEST_ES_LIMIT + 2 * k), limit);
    vset(h, (enum vmcs_field)(VMCS_GUEST_ES_ACCESS_RIGHTS + 2 * k), rights);
}

static inline void hosted_guest(struct hosted *h)
{
    vset(h, VMCS_GUEST_CR0, CR0_PE | CR0_NE | CR0_PG | CR0_WP | CR0_ET);
    vset(h, VMCS_GUEST_CR3, PML4);
    vset(h, VMCS_GUEST_CR4, CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_VMXE);
    vset(h, VMCS_GUEST_DR7, 0x400);
    vset(h, VMCS_GUEST_RSP, GUEST_STACK);
    vset(h, VMCS_GUEST_RIP, GUEST);
    vset(h, VMCS_GUEST_RFLAGS, 2);
    vset(h, VMCS_VMCS_LINK_POINTER, UINT64_MAX);
    for (unsigned k = 0; k < 6; k++)
        hosted_segment(h, k, k == 1 ? CS64 : DS0, UINT32_MAX, k == 1 ? 0xa09b : 0xc093);
    hosted_segment(h, 6, 0, 0, 0x10000);
    hosted_segment(h, 7, SEL_TSS, 0x2ff, 0x8b);
    vset(h, VMCS_GUEST_TR_BASE, TSS);
    vset(h, VMCS_GUEST_GDTR_BASE, GDT);
    vset(h, VMCS_GUEST_GDTR_LIMIT, 0xff);
    vset(h, VMCS_GUEST_IDTR_BASE, IDT);
    vset(h, VMCS_GUEST_IDTR_LIMIT, 0xfff);
}

/* Controls: what must be, 64-bit host and guest, debug registers. */
static inline void hosted_controls(struct hosted *h)
{
    const u64 *limits = h->cpu->vmx->limits;
    vset(h, VMCS_PIN_CONTROLS, (u32)limits[CLASS_PIN]);
    vset(h, VMCS_PRIMARY_CONTROLS, (u32)limits[CLASS_PRIMARY]);
    vset(h, VMCS_VM_EXIT_CONTROLS, (u32)limits[CLASS_EXIT] | EXIT_HOST_64 | EXIT_SAVE_DEBUG);
    vset(h, VMCS_VM_ENTRY_CONTROLS,
         (u32)limits[CLASS_ENTRY] | ENTRY_IA32E_GUEST | ENTRY_LOAD_DEBUG);
}

static inline void hosted_init(struct hosted *h)
{
    world_init(&h->w, WORLD_64);
    struct cpu *cpu = h->cpu = h->w.cpu;
    h->w.m.model.features[FEAT_VMX / 64] |= BIT(FEAT_VMX % 64);
    vmx_attach(cpu);
    cpu->msr[MSR_FEATURE_CONTROL] = 5;
    ck_assert(cpu_write_cr4(cpu, cpu->cr4 | CR4_VMXE));
    for (u64 gpa = VMXON_REGION; gpa <= VMCS3; gpa += PAGE_SIZE)
        put(&h->w, gpa, VMCS_REVISION, 4);
    cpu->vmx->on = true;
    cpu->vmx->vmxon_gpa = VMXON_REGION;
    cpu->vmx->current = h->v = vmcs_at(&h->w.m.bus.ram, VMCS1);
    hosted_controls(h);
    hosted_host(h);
    hosted_guest(h);
    put(&h->w, HOST, 0xfeeb, 2);
}

static inline void hosted_fini(struct hosted *h)
{
    vmx_detach(h->cpu);
    world_fini(&h->w);
}

/* Identity, 4-KByte pages, write-back; the secondary controls go on with EPT and VPID. */
static inline void hosted_ept(struct hosted *h)
{
    put(&h->w, EPT, (EPT + 0x1000) | 7, 8);
    put(&h->w, EPT + 0x1000, (EPT + 0x2000) | 7, 8);
    put(&h->w, EPT + 0x2000, (EPT + 0x3000) | 7, 8);
    for (u64 n = 0; n < 256; n++)
        put(&h->w, EPT + 0x3000 + 8 * n, n << PAGE_SHIFT | 6 << 3 | 7, 8);
    vor(h, VMCS_PRIMARY_CONTROLS, PRIMARY_SECONDARY);
    vor(h, VMCS_SECONDARY_CONTROLS, SECONDARY_EPT | SECONDARY_VPID);
    vset(h, VMCS_EPT_POINTER, EPT | 0x1e);
    vset(h, VMCS_VPID, 1);
}

/* The guest's code, from a string literal. */
#define guest_code(h, bytes)                                                                       \
    do {                                                                                           \
        ck_assert(ram_write(&(h)->w.m.bus.ram, GUEST, bytes, sizeof(bytes) - 1));                  \
        block_drop_all((h)->cpu->blocks);                                                          \
    } while (0)

/* Executes VMLAUNCH or VMRESUME; the next tick is the guest's, or what came of a failure. */
static inline void enter(struct hosted *h)
{
    bool launched = vmcs_launched(&h->v);
    ck_assert(ram_write(&h->w.m.bus.ram, CODE, launched ? "\x0f\x01\xc3" : "\x0f\x01\xc2", 3));
    block_drop_all(h->cpu->blocks);
    h->cpu->rip = CODE;
    run(&h->w, 1);
}

/* Enters, and runs up to n instructions of the guest; it has exited then, for this reason. */
static inline void exits_for(struct hosted *h, u64 n, u32 reason)
{
    enter(h);
    ck_assert(h->cpu->nonroot || h->cpu->rip == HOST || h->cpu->exc.pending);
    run(&h->w, n);
    ck_assert_msg(!h->cpu->nonroot, "no exit, at %llx", (unsigned long long)h->cpu->rip);
    ck_assert_msg(vget(h, VMCS_EXIT_REASON) == reason, "exit reason %#x",
                  (unsigned)vget(h, VMCS_EXIT_REASON));
}

#endif
