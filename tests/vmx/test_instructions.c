/* SPDX-License-Identifier: MIT */
/* The VMX instructions in root operation: faults, VMfail numbers, and VMREAD by the shadow. */
#include "cpu/optable.h"
#include "tests/cpu/world.h"
#include "tests/suite.h"
#include "vmx/vmx.h"

enum { VMXON_REGION = 0xa0000, REGION = 0xa1000, REGION2 = 0xa2000, OPERAND = 0xb0000 };

#define VMXON "\xf3\x0f\xc7\x33"   /* [rbx] */
#define VMCLEAR "\x66\x0f\xc7\x33" /* [rbx] */
#define VMPTRLD "\x0f\xc7\x33"     /* [rbx] */
#define VMPTRST "\x0f\xc7\x3b"     /* [rbx] */
#define VMREAD "\x0f\x78\xc1"      /* rcx := field rax */
#define VMREAD_MEM "\x0f\x78\x03"  /* [rbx] := field rax */
#define VMWRITE "\x0f\x79\xc1"     /* field rax := rcx */
#define VMWRITE_MEM "\x0f\x79\x03" /* field rax := [rbx] */
#define VMCALL "\x0f\x01\xc1"
#define VMXOFF "\x0f\x01\xc4"
#define VMFUNC "\x0f\x01\xd4"
#define INVEPT "\x66\x0f\x38\x80\x03"  /* type rax, [rbx] */
#define INVVPID "\x66\x0f\x38\x81\x03" /* type rax, [rbx] */

#define SUCCEEDED UINT64_C(0)
#define INVALID FLAG_CF
#define VALID FLAG_ZF

static void start(struct world *w)
{
    world_init(w, WORLD_64);
    struct cpu *cpu = w->cpu;
    w->m.model.features[FEAT_VMX / 64] |= BIT(FEAT_VMX % 64);
    vmx_attach(cpu);
    cpu->msr[MSR_FEATURE_CONTROL] = 5;
    ck_assert(cpu_write_cr4(cpu, cpu->cr4 | CR4_VMXE));
    put(w, VMXON_REGION, VMCS_REVISION, 4);
    put(w, REGION, VMCS_REVISION, 4);
    put(w, REGION2, VMCS_REVISION | VMCS_SHADOW, 4);
    cpu->gpr[RBX] = OPERAND;
}

static void finish(struct world *w)
{
    vmx_detach(w->cpu);
    world_fini(w);
}

/* One instruction with this operand in memory; how it ended: the status flags. */
#define execute(w, bytes, operand)                                                                 \
    (put(w, OPERAND, operand, 8), execute_code(w, bytes, sizeof(bytes) - 1))
static u64 execute_code(struct world *w, const char *bytes, size_t size)
{
    ck_assert(ram_write(&w->m.bus.ram, CODE, bytes, size));
    block_drop_all(w->cpu->blocks);
    w->cpu->rip = CODE;
    cpu_set_status_flags(w->cpu, FLAGS_STATUS);
    run(w, 1);
    ck_assert_msg(w->cpu->rip == CODE + size, "went to %#llx", (unsigned long long)w->cpu->rip);
    return cpu_status_flags(w->cpu);
}

#define faults(w, bytes, vector)                                                                   \
    do {                                                                                           \
        code(w, bytes);                                                                            \
        run(w, 1);                                                                                 \
        ck_assert_uint_eq((w)->cpu->rip & ~UINT64_C(15), HANDLER + 16 * (vector));                 \
        (w)->cpu->gpr[RSP] = STACK;                                                                \
    } while (0)

static void expect_error(struct world *w, u64 number)
{
    ck_assert_uint_eq(vmcs_read(&w->cpu->vmx->current, VMCS_VM_INSTRUCTION_ERROR), number);
}

static void enter_operation(struct world *w)
{
    ck_assert_uint_eq(execute(w, VMXON, VMXON_REGION), SUCCEEDED);
    ck_assert_uint_eq(execute(w, VMCLEAR, REGION), SUCCEEDED);
    ck_assert_uint_eq(execute(w, VMPTRLD, REGION), SUCCEEDED);
}

START_TEST(vmxon)
{
    struct world w;
    start(&w);
    faults(&w, VMCLEAR, EXC_UD);
    w.cpu->msr[MSR_FEATURE_CONTROL] = 1;
    faults(&w, VMXON, EXC_GP);
    w.cpu->msr[MSR_FEATURE_CONTROL] = 5;
    w.cpu->cr4 &= ~CR4_VMXE;
    faults(&w, VMXON, EXC_UD);
    w.cpu->cr4 |= CR4_VMXE;
    w.cpu->cr0 &= ~CR0_NE;
    faults(&w, VMXON, EXC_GP);
    w.cpu->cr0 |= CR0_NE;
    w.cpu->gpr[RBX] = MIB;
    faults(&w, VMXON, EXC_PF);
    w.cpu->gpr[RBX] = OPERAND;
    ck_assert_uint_eq(execute(&w, VMXON, VMXON_REGION + 8), INVALID);
    ck_assert_uint_eq(execute(&w, VMXON, BIT(w.m.model.phys_bits)), INVALID);
    ck_assert_uint_eq(execute(&w, VMXON, REGION2), INVALID);
    ck_assert_uint_eq(execute(&w, VMXON, VMXON_REGION), SUCCEEDED);
    ck_assert_uint_eq(execute(&w, VMXON, VMXON_REGION), INVALID); /* no current VMCS to note it */
    ck_assert(!cpu_write_cr4(w.cpu, w.cpu->cr4 & ~CR4_VMXE));
    w.cpu->exc.pending = false;
    ck_assert(!cpu_write_cr0(w.cpu, w.cpu->cr0 & ~CR0_NE));
    w.cpu->exc.pending = false;
    ck_assert_uint_eq(execute(&w, VMXOFF, 0), SUCCEEDED);
    faults(&w, VMXOFF, EXC_UD);
    finish(&w);
}
END_TEST

START_TEST(current_vmcs)
{
    struct world w;
    start(&w);
    ck_assert_uint_eq(execute(&w, VMXON, VMXON_REGION), SUCCEEDED);
    ck_assert_uint_eq(execute(&w, VMPTRST, 0), SUCCEEDED);
    ck_assert_uint_eq(get(&w, OPERAND, 8), UINT64_MAX);
    ck_assert_uint_eq(execute(&w, VMREAD, 0), INVALID);
    ck_assert_uint_eq(execute(&w, VMPTRLD, REGION + 1), INVALID);
    ck_assert_uint_eq(execute(&w, VMPTRLD, REGION), SUCCEEDED);
    ck_assert_uint_eq(execute(&w, VMXON, VMXON_REGION), VALID);
    expect_error(&w, 15);
    ck_assert_uint_eq(execute(&w, VMCLEAR, REGION + 1), VALID);
    expect_error(&w, 2);
    ck_assert_uint_eq(execute(&w, VMCLEAR, VMXON_REGION), VALID);
    expect_error(&w, 3);
    ck_assert_uint_eq(execute(&w, VMPTRLD, REGION + 1), VALID);
    expect_error(&w, 9);
    ck_assert_uint_eq(execute(&w, VMPTRLD, VMXON_REGION), VALID);
    expect_error(&w, 10);
    ck_assert_uint_eq(execute(&w, VMPTRLD, OPERAND), VALID);
    expect_error(&w, 11);
    ck_assert_uint_eq(execute(&w, VMCALL, 0), VALID);
    expect_error(&w, 1);
    ck_assert_uint_eq(execute(&w, VMPTRST, 0), SUCCEEDED);
    ck_assert_uint_eq(get(&w, OPERAND, 8), REGION);
    ck_assert_uint_eq(execute(&w, VMPTRLD, REGION2), SUCCEEDED); /* a shadow */
    ck_assert_uint_eq(execute(&w, VMCLEAR, REGION), SUCCEEDED);
    ck_assert_uint_eq(w.cpu->vmx->current.gpa, REGION2);
    ck_assert_uint_eq(execute(&w, VMCLEAR, REGION2), SUCCEEDED);
    ck_assert_uint_eq(w.cpu->vmx->current.gpa, UINT64_MAX);
    faults(&w, VMFUNC, EXC_UD);
    finish(&w);
}
END_TEST

START_TEST(fields)
{
    struct world w;
    start(&w);
    enter_operation(&w);
    u64 *gpr = w.cpu->gpr;
    gpr[RAX] = VMCS_GUEST_RIP;
    gpr[RCX] = UINT64_C(0x1122334455667788);
    ck_assert_uint_eq(execute(&w, VMWRITE, 0), SUCCEEDED);
    gpr[RCX] = 0;
    ck_assert_uint_eq(execute(&w, VMREAD, 0), SUCCEEDED);
    ck_assert_uint_eq(gpr[RCX], UINT64_C(0x1122334455667788));
    ck_assert_uint_eq(execute(&w, VMREAD_MEM, 0), SUCCEEDED);
    ck_assert_uint_eq(get(&w, OPERAND, 8), UINT64_C(0x1122334455667788));
    gpr[RAX] = VMCS_GUEST_CS_SELECTOR;
    ck_assert_uint_eq(execute(&w, VMWRITE_MEM, 0x12345678), SUCCEEDED);
    ck_assert_uint_eq(execute(&w, VMREAD, 0), SUCCEEDED);
    ck_assert_uint_eq(gpr[RCX], 0x5678);
    gpr[RAX] = VMCS_EPT_POINTER + 1; /* the high half */
    gpr[RCX] = UINT64_C(0xffffffff00000012);
    ck_assert_uint_eq(execute(&w, VMWRITE, 0), SUCCEEDED);
    ck_assert_uint_eq(vmcs_read(&w.cpu->vmx->current, VMCS_EPT_POINTER), UINT64_C(0x12) << 32);
    ck_assert_uint_eq(execute(&w, VMREAD, 0), SUCCEEDED);
    ck_assert_uint_eq(gpr[RCX], 0x12);
    gpr[RAX] = VMCS_EXIT_REASON; /* read-only but for the capability that is there */
    ck_assert_uint_eq(execute(&w, VMWRITE, 0), SUCCEEDED);
    gpr[RAX] = VMCS_POSTED_INTERRUPT_VECTOR;
    ck_assert_uint_eq(execute(&w, VMREAD, 0), VALID);
    expect_error(&w, 12);
    gpr[RAX] = VMCS_GUEST_RIP + 1;
    ck_assert_uint_eq(execute(&w, VMWRITE, 0), VALID);
    gpr[RAX] = VMCS_GUEST_RIP | BIT(32);
    ck_assert_uint_eq(execute(&w, VMWRITE, 0), VALID);
    gpr[RAX] = VMCS_GUEST_RIP;
    gpr[RBX] = MIB;
    faults(&w, VMWRITE_MEM, EXC_PF);
    faults(&w, VMREAD_MEM, EXC_PF);
    go_user(&w);
    code(&w, VMREAD);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip & ~UINT64_C(15), HANDLER + 16 * EXC_GP);
    finish(&w);
}
END_TEST

START_TEST(invalidations)
{
    struct world w;
    start(&w);
    enter_operation(&w);
    u64 *gpr = w.cpu->gpr, eptp = 0x9000 | 6 | 3 << 3;
    put(&w, OPERAND + 8, 0, 8);
    for (u64 type = 0; type < 6; type++) {
        bool ok = type == 1 || type == 2;
        gpr[RAX] = type;
        ck_assert_uint_eq(execute(&w, INVEPT, eptp), ok ? SUCCEEDED : VALID);
        ck_assert_uint_eq(execute(&w, INVEPT, 0), type == 2 ? SUCCEEDED : VALID);
        expect_error(&w, 28);
        ck_assert_uint_eq(execute(&w, INVVPID, 7), type < 4 ? SUCCEEDED : VALID);
        ck_assert_uint_eq(execute(&w, INVVPID, 0), type == 2 ? SUCCEEDED : VALID);
        ck_assert_uint_eq(execute(&w, INVVPID, 0x10007), VALID);
    }
    gpr[RAX] = 0;
    put(&w, OPERAND + 8, BIT(63), 8);
    ck_assert_uint_eq(execute(&w, INVVPID, 7), VALID);
    finish(&w);
}
END_TEST

/* What the intercept lets pass in non-root operation goes to the VMCS of the link pointer. */
START_TEST(shadowed_access)
{
    struct world w;
    start(&w);
    enter_operation(&w);
    struct cpu *cpu = w.cpu;
    struct insn i = {.reg = 8 * RAX, .rm = 8 * RCX};
    cpu->nonroot = true;
    cpu->gpr[RAX] = VMCS_GUEST_RIP;
    cpu->gpr[RCX] = 77;
    ck_assert_int_eq(vmx_execute(cpu, &i, VMEXIT_VMWRITE), VIRT_DONE);
    ck_assert_uint_eq(cpu_status_flags(cpu), INVALID); /* no link pointer */
    cpu->vmx->shadow = vmcs_at(&w.m.bus.ram, REGION2);
    ck_assert_int_eq(vmx_execute(cpu, &i, VMEXIT_VMWRITE), VIRT_DONE);
    ck_assert_uint_eq(cpu_status_flags(cpu), SUCCEEDED);
    ck_assert_uint_eq(vmcs_read(&cpu->vmx->shadow, VMCS_GUEST_RIP), 77);
    ck_assert_uint_eq(vmcs_read(&cpu->vmx->current, VMCS_GUEST_RIP), 0);
    cpu->gpr[RAX] = 0x7ffe;
    ck_assert_int_eq(vmx_execute(cpu, &i, VMEXIT_VMREAD), VIRT_DONE);
    ck_assert_uint_eq(cpu_status_flags(cpu), VALID);
    ck_assert_uint_eq(vmcs_read(&cpu->vmx->current, VMCS_VM_INSTRUCTION_ERROR), 12);
    cpu->nonroot = false;
    finish(&w);
}
END_TEST

START_TEST(capability_msrs)
{
    struct world w;
    u64 v;
    start(&w);
    ck_assert(msr_get(w.cpu, 0x480, &v));
    ck_assert_uint_eq((u32)v, VMCS_REVISION);
    ck_assert(msr_get(w.cpu, 0x489, &v));
    ck_assert_uint_eq(v, cpu_cr4_mask(w.cpu));
    ck_assert(!msr_get(w.cpu, 0x49f, &v));
    ck_assert(!msr_set(w.cpu, 0x480, 0));
    finish(&w);
    machine_init(&w.m, 1, NULL);
    vmx_attach(w.m.cpu[0]);
    ck_assert_uint_eq(cpuid_has(&w.m.model, FEAT_VMX), w.m.cpu[0]->virt != NULL);
    vmx_detach(w.m.cpu[0]);
    ck_assert(!msr_get(w.m.cpu[0], 0x480, &v));
    machine_fini(&w.m);
}
END_TEST

SUITE_MAIN("instructions", &vmxon, &current_vmcs, &fields, &invalidations, &shadowed_access,
           &capability_msrs)
