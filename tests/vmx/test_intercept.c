/* SPDX-License-Identifier: MIT */
/* Which instructions exit, by which control, and what they tell; registers behind masks and shadows. */
#include "tests/suite.h"
#include "tests/vmx/hosted.h"

#define END "\x0f\xa2" /* CPUID: an instruction that didn't exit is followed by this */

enum { NEVER, PIN_FIELD, PRIMARY_FIELD, SECONDARY_FIELD };

/* Runs code that begins with the instruction; the reason of the first exit. */
static u32 reason_of(struct hosted *h, const char *bytes, size_t size)
{
    ck_assert(ram_write(&h->w.m.bus.ram, GUEST, bytes, size));
    ck_assert(ram_write(&h->w.m.bus.ram, GUEST + size, END, 2));
    block_drop_all(h->cpu->blocks);
    vset(h, VMCS_GUEST_RIP, GUEST);
    enter(h);
    run(&h->w, 2);
    ck_assert_msg(!h->cpu->nonroot, "no exit: at %llx, code %02x", (unsigned long long)h->cpu->rip,
                  (u8)bytes[1]);
    return (u32)vget(h, VMCS_EXIT_REASON);
}
#define REASON_OF(h, bytes) reason_of(h, bytes, sizeof(bytes) - 1)

/* The secondary controls that let an instruction be defined */
#define ENABLED (SECONDARY_RDTSCP | SECONDARY_INVPCID | SECONDARY_XSAVES)

START_TEST(by_controls)
{
    static const struct {
        const char *bytes;
        u8 size, field;
        u32 control, reason;
    } cases[] = {
#define CASE(bytes, field, control, reason) {bytes, sizeof(bytes) - 1, field, control, reason}
        CASE("\x0f\x08", NEVER, 0, REASON_INVD),
        CASE("\x0f\x01\xc1", NEVER, 0, REASON_VMCALL),
        CASE("\x0f\x01\xc2", NEVER, 0, REASON_VMLAUNCH),
        CASE("\x0f\x01\xc4", NEVER, 0, REASON_VMXOFF),
        CASE("\x0f\x78\xc1", NEVER, 0, REASON_VMREAD),
        CASE("\x0f\x79\xc1", NEVER, 0, REASON_VMWRITE),
        CASE("\xf3\x0f\xc7\x36", NEVER, 0, REASON_VMXON),
        CASE("\x66\x0f\xc7\x36", NEVER, 0, REASON_VMCLEAR),
        CASE("\x66\x0f\x38\x80\x06", NEVER, 0, REASON_INVEPT),
        CASE("\x66\x0f\x38\x81\x06", NEVER, 0, REASON_INVVPID),
        CASE("\x0f\x32", NEVER, 0, REASON_RDMSR), /* without bitmaps */
        CASE("\xf4", PRIMARY_FIELD, PRIMARY_HLT, REASON_HLT),
        CASE("\x0f\x01\x3e", PRIMARY_FIELD, PRIMARY_INVLPG, REASON_INVLPG),
        CASE("\x66\x0f\x38\x82\x06", PRIMARY_FIELD, PRIMARY_INVLPG, REASON_INVPCID),
        CASE("\x0f\x01\xc9", PRIMARY_FIELD, PRIMARY_MWAIT, REASON_MWAIT),
        CASE("\x0f\x01\xc8", PRIMARY_FIELD, PRIMARY_MONITOR, REASON_MONITOR),
        CASE("\x0f\x31", PRIMARY_FIELD, PRIMARY_RDTSC, REASON_RDTSC),
        CASE("\x0f\x01\xf9", PRIMARY_FIELD, PRIMARY_RDTSC, REASON_RDTSCP),
        CASE("\x0f\x22\xd8", PRIMARY_FIELD, PRIMARY_CR3_LOAD, REASON_CR_ACCESS),
        CASE("\x0f\x20\xd8", PRIMARY_FIELD, PRIMARY_CR3_STORE, REASON_CR_ACCESS),
        CASE("\x44\x0f\x22\xc0", PRIMARY_FIELD, PRIMARY_CR8_LOAD, REASON_CR_ACCESS),
        CASE("\x44\x0f\x20\xc0", PRIMARY_FIELD, PRIMARY_CR8_STORE, REASON_CR_ACCESS),
        CASE("\x0f\x21\xf8", PRIMARY_FIELD, PRIMARY_MOV_DR, REASON_DR_ACCESS),
        CASE("\xe6\x10", PRIMARY_FIELD, PRIMARY_UNCONDITIONAL_IO, REASON_IO),
        CASE("\xec", PRIMARY_FIELD, PRIMARY_UNCONDITIONAL_IO, REASON_IO),
        CASE("\xf3\x90", PRIMARY_FIELD, PRIMARY_PAUSE, REASON_PAUSE),
        CASE("\x0f\x01\x06", SECONDARY_FIELD, SECONDARY_DESCRIPTOR_TABLE, REASON_GDTR_IDTR),
        CASE("\x0f\x00\xc8", SECONDARY_FIELD, SECONDARY_DESCRIPTOR_TABLE, REASON_LDTR_TR),
        CASE("\x0f\x09", SECONDARY_FIELD, SECONDARY_WBINVD, REASON_WBINVD),
#undef CASE
    };
    for (unsigned k = 0; k < ARRAY_SIZE(cases); k++) {
        struct hosted h;
        hosted_init(&h);
        u32 primary = (u32)vget(&h, VMCS_PRIMARY_CONTROLS) | PRIMARY_SECONDARY;
        bool two = cases[k].field == SECONDARY_FIELD;
        h.cpu->gpr[RSI] = 0x60000;
        h.cpu->gpr[RAX] = cases[k].control == PRIMARY_CR3_LOAD ? PML4 : 0;
        h.cpu->gpr[RCX] = 0;
        if (cases[k].field != NEVER && cases[k].reason != REASON_HLT) {
            vset(&h, VMCS_PRIMARY_CONTROLS, primary);
            vset(&h, VMCS_SECONDARY_CONTROLS, ENABLED);
            u32 got = reason_of(&h, cases[k].bytes, cases[k].size);
            ck_assert_msg(got == REASON_CPUID, "case %u without its control: %s", k,
                          vmx_reason_name(got));
        }
        vset(&h, VMCS_PRIMARY_CONTROLS, two ? primary : primary | cases[k].control);
        vset(&h, VMCS_SECONDARY_CONTROLS, two ? ENABLED | cases[k].control : ENABLED);
        u32 got = reason_of(&h, cases[k].bytes, cases[k].size);
        ck_assert_msg(got == cases[k].reason, "case %u: %s", k, vmx_reason_name(got));
        ck_assert_uint_eq(vget(&h, VMCS_EXIT_INSTRUCTION_LENGTH), cases[k].size);
        hosted_fini(&h);
    }
}
END_TEST

/* Faults that come first. */
START_TEST(faults_first)
{
    struct hosted h;
    hosted_init(&h);
    vor(&h, VMCS_PRIMARY_CONTROLS, PRIMARY_RDTSC | PRIMARY_HLT | PRIMARY_SECONDARY);
    vset(&h, VMCS_EXCEPTION_BITMAP, BIT(EXC_GP) | BIT(EXC_UD));
    ck_assert_uint_eq(REASON_OF(&h, "\x0f\x01\xf9"), REASON_EXCEPTION_NMI); /* RDTSCP is off */
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_INTR_INFO), 0x80000306);
    vset(&h, VMCS_GUEST_RFLAGS, 2);
    for (unsigned k = 0; k < 6; k++) /* to CPL 3 */
        hosted_segment(&h, k, k == 1 ? UCS64 : UDS, UINT32_MAX, k == 1 ? 0xa0fb : 0xc0f3);
    ck_assert_uint_eq(REASON_OF(&h, "\xf4"), REASON_EXCEPTION_NMI);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_INTR_INFO), 0x80000b0d);
    vset(&h, VMCS_GUEST_RFLAGS, 2);
    ck_assert_uint_eq(REASON_OF(&h, "\x0f\x31"), REASON_RDTSC);
    vor(&h, VMCS_GUEST_CR4, CR4_TSD);
    ck_assert_uint_eq(REASON_OF(&h, "\x0f\x31"), REASON_EXCEPTION_NMI);
    hosted_fini(&h);
}
END_TEST

START_TEST(control_registers)
{
    struct hosted h;
    hosted_init(&h);
    struct cpu *cpu = h.cpu;
    vset(&h, VMCS_CR0_GUEST_HOST_MASK, CR0_TS | CR0_NE);
    vset(&h, VMCS_CR0_READ_SHADOW, CR0_TS);
    ck_assert_uint_eq(REASON_OF(&h, "\x0f\x20\xc1"), REASON_CPUID); /* MOV RCX, CR0 */
    ck_assert_uint_eq(cpu->gpr[RCX], CR0_PE | CR0_PG | CR0_WP | CR0_ET | CR0_TS);
    /* What agrees with the shadow is written, but for the host's bits. */
    cpu->gpr[RAX] = CR0_PE | CR0_PG | CR0_ET | CR0_TS | CR0_MP;
    ck_assert_uint_eq(REASON_OF(&h, "\x0f\x22\xc0"), REASON_CPUID);
    ck_assert_uint_eq(vget(&h, VMCS_GUEST_CR0), CR0_PE | CR0_PG | CR0_ET | CR0_NE | CR0_MP);
    cpu->gpr[RAX] = CR0_PE | CR0_PG | CR0_ET;
    ck_assert_uint_eq(REASON_OF(&h, "\x0f\x22\xc0"), REASON_CR_ACCESS);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_QUALIFICATION), 0);
    ck_assert_uint_eq(REASON_OF(&h, "\x0f\x06"), REASON_CR_ACCESS); /* CLTS */
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_QUALIFICATION), 2 << 4);
    vset(&h, VMCS_CR0_READ_SHADOW, 0);
    ck_assert_uint_eq(REASON_OF(&h, "\x0f\x06"), REASON_CPUID);
    cpu->gpr[RBX] = CR0_TS;
    ck_assert_uint_eq(REASON_OF(&h, "\x0f\x01\xf3"), REASON_CR_ACCESS); /* LMSW BX */
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_QUALIFICATION), 3 << 4 | CR0_TS << 16);
    cpu->gpr[RBX] = CR0_EM;
    ck_assert_uint_eq(REASON_OF(&h, "\x0f\x01\xf3"), REASON_CPUID);
    ck_assert_uint_eq(vget(&h, VMCS_GUEST_CR0), CR0_PE | CR0_PG | CR0_ET | CR0_NE | CR0_EM);
    /* CR3 targets */
    vor(&h, VMCS_PRIMARY_CONTROLS, PRIMARY_CR3_LOAD);
    vset(&h, VMCS_CR3_TARGET_COUNT, 1);
    vset(&h, VMCS_CR3_TARGET_0, PML4);
    cpu->gpr[RAX] = PML4;
    ck_assert_uint_eq(REASON_OF(&h, "\x0f\x22\xd8"), REASON_CPUID);
    cpu->gpr[RDX] = PML4 + 0x1000;
    ck_assert_uint_eq(REASON_OF(&h, "\x0f\x22\xda"), REASON_CR_ACCESS);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_QUALIFICATION), 3 | RDX << 8);
    hosted_fini(&h);
}
END_TEST

START_TEST(task_priority)
{
    struct hosted h;
    hosted_init(&h);
    vor(&h, VMCS_PRIMARY_CONTROLS, PRIMARY_TPR_SHADOW);
    vset(&h, VMCS_VIRTUAL_APIC_ADDRESS, BITMAPS);
    put(&h.w, BITMAPS + 0x80, 0x50, 4);
    ck_assert_uint_eq(REASON_OF(&h, "\x44\x0f\x20\xc0"), REASON_CPUID);
    ck_assert_uint_eq(h.cpu->gpr[RAX], 5);
    vset(&h, VMCS_TPR_THRESHOLD, 4);
    h.cpu->gpr[RAX] = 3;
    ck_assert_uint_eq(REASON_OF(&h, "\x44\x0f\x22\xc0"), REASON_TPR_BELOW_THRESHOLD);
    ck_assert_uint_eq(vget(&h, VMCS_GUEST_RIP), GUEST + 4);
    ck_assert_uint_eq(get(&h.w, BITMAPS + 0x80, 4), 0x30);
    ck_assert_uint_eq(lapic_cr8(h.cpu->lapic), 0);
    hosted_fini(&h);
}
END_TEST

START_TEST(io_and_msr_bitmaps)
{
    struct hosted h;
    hosted_init(&h);
    vor(&h, VMCS_PRIMARY_CONTROLS, PRIMARY_IO_BITMAPS | PRIMARY_MSR_BITMAPS);
    vset(&h, VMCS_IO_BITMAP_A, BITMAPS);
    vset(&h, VMCS_IO_BITMAP_B, BITMAPS + 0x1000);
    vset(&h, VMCS_MSR_BITMAPS, BITMAPS + 0x2000);
    put(&h.w, BITMAPS + 0x80 / 8, 1, 1);
    ck_assert_uint_eq(REASON_OF(&h, "\xe6\x7f"), REASON_CPUID);
    ck_assert_uint_eq(REASON_OF(&h, "\xe6\x80"), REASON_IO);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_QUALIFICATION), 0x80 << 16 | BIT(6));
    ck_assert_uint_eq(REASON_OF(&h, "\xe5\x7e"), REASON_IO); /* IN EAX, 7EH: the last two bytes */
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_QUALIFICATION), 0x7e << 16 | BIT(6) | BIT(3) | 3);
    h.cpu->gpr[RDX] = 0xffff; /* wraps */
    ck_assert_uint_eq(REASON_OF(&h, "\xed"), REASON_IO);
    h.cpu->gpr[RDX] = 0x80;
    h.cpu->gpr[RSI] = 0x61234;
    h.cpu->gpr[RCX] = 2;
    ck_assert_uint_eq(REASON_OF(&h, "\xf3\x6e"), REASON_IO); /* REP OUTSB */
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_QUALIFICATION), 0x80 << 16 | BIT(5) | BIT(4));
    ck_assert_uint_eq(vget(&h, VMCS_GUEST_LINEAR_ADDRESS), 0x61234);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_INSTRUCTION_INFO), 2 << 7 | SEG_DS << 15);
    h.cpu->gpr[RCX] = 0;
    ck_assert_uint_eq(REASON_OF(&h, "\xf3\x6e"), REASON_CPUID);
    h.cpu->gpr[RCX] = 0xc0000082; /* IA32_LSTAR */
    ck_assert_uint_eq(REASON_OF(&h, "\x0f\x32"), REASON_CPUID);
    put(&h.w, BITMAPS + 0x2000 + 1024 + 0x82 / 8, 1 << (0x82 & 7), 1);
    h.cpu->gpr[RCX] = 0xc0000082;
    ck_assert_uint_eq(REASON_OF(&h, "\x0f\x32"), REASON_RDMSR);
    ck_assert_uint_eq(REASON_OF(&h, "\x0f\x30"), REASON_CPUID);
    h.cpu->gpr[RCX] = 0x2000; /* in no bitmap */
    ck_assert_uint_eq(REASON_OF(&h, "\x0f\x32"), REASON_RDMSR);
    hosted_fini(&h);
}
END_TEST

START_TEST(instruction_information)
{
    struct hosted h;
    hosted_init(&h);
    /* VMREAD [RBX + RSI * 4 - 8], RDX */
    ck_assert_uint_eq(REASON_OF(&h, "\x0f\x78\x54\xb3\xf8"), REASON_VMREAD);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_QUALIFICATION), (u64)-8);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_INSTRUCTION_INFO),
                      2 | 2 << 7 | SEG_DS << 15 | RSI << 18 | RBX << 23 | (u32)RDX << 28);
    /* VMWRITE R9, RCX: register operands */
    ck_assert_uint_eq(REASON_OF(&h, "\x44\x0f\x79\xc9"), REASON_VMWRITE);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_INSTRUCTION_INFO), RCX << 3 | BIT(10) | 9u << 28);
    /* VMPTRLD FS:[1234H] */
    ck_assert_uint_eq(REASON_OF(&h, "\x64\x0f\xc7\x34\x25\x34\x12\x00\x00"), REASON_VMPTRLD);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_QUALIFICATION), 0x1234);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_INSTRUCTION_INFO),
                      2 << 7 | SEG_FS << 15 | BIT(22) | BIT(27));
    hosted_fini(&h);
}
END_TEST

START_TEST(ept_exits)
{
    struct hosted h;
    hosted_init(&h);
    hosted_ept(&h);
    put(&h.w, EPT + 0x3000 + 8 * 0xe0, 0xe0000 | 6 << 3 | 1, 8); /* E0000H: read only */
    h.cpu->gpr[RBX] = 0xe0123;
    ck_assert_uint_eq(REASON_OF(&h, "\x8b\x03"), REASON_CPUID);
    h.cpu->gpr[RBX] = 0xe0123;
    ck_assert_uint_eq(REASON_OF(&h, "\x89\x03"), REASON_EPT_VIOLATION);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_QUALIFICATION), 2 | 1 << 3 | BIT(7) | BIT(8));
    ck_assert_uint_eq(vget(&h, VMCS_GUEST_PHYSICAL_ADDRESS), 0xe0123);
    ck_assert_uint_eq(vget(&h, VMCS_GUEST_LINEAR_ADDRESS), 0xe0123);
    ck_assert_uint_eq(vget(&h, VMCS_GUEST_RIP), GUEST);
    put(&h.w, EPT + 0x3000 + 8 * 0xe0, 0xe0000 | 6 << 3 | 2, 8);
    tlb_flush_all(&h.cpu->tlb_store);
    cpu_update_mode(h.cpu);
    h.cpu->gpr[RBX] = 0xe0123;
    ck_assert_uint_eq(REASON_OF(&h, "\x8b\x03"), REASON_EPT_MISCONFIG);
    ck_assert_uint_eq(vget(&h, VMCS_GUEST_PHYSICAL_ADDRESS), 0xe0123);
    hosted_fini(&h);
}
END_TEST

START_TEST(vmcs_shadowing)
{
    struct hosted h;
    hosted_init(&h);
    put(&h.w, VMCS2, VMCS_REVISION | VMCS_SHADOW, 4);
    const struct vmcs shadow = vmcs_at(&h.w.m.bus.ram, VMCS2);
    vmcs_write_any(&shadow, VMCS_GUEST_RIP, 0x4321);
    vor(&h, VMCS_PRIMARY_CONTROLS, PRIMARY_SECONDARY);
    vset(&h, VMCS_SECONDARY_CONTROLS, SECONDARY_VMCS_SHADOWING);
    vset(&h, VMCS_VMREAD_BITMAP, BITMAPS);
    vset(&h, VMCS_VMWRITE_BITMAP, BITMAPS + 0x1000);
    vset(&h, VMCS_VMCS_LINK_POINTER, VMCS2);
    h.cpu->gpr[RAX] = VMCS_GUEST_RIP;
    ck_assert_uint_eq(REASON_OF(&h, "\x0f\x78\xc1"), REASON_CPUID); /* VMREAD RCX, RAX */
    ck_assert_uint_eq(h.cpu->gpr[RCX], 0x4321);
    h.cpu->gpr[RAX] = VMCS_GUEST_RSP;
    h.cpu->gpr[RCX] = 0x777;
    ck_assert_uint_eq(REASON_OF(&h, "\x0f\x79\xc1"), REASON_CPUID);
    ck_assert_uint_eq(vmcs_read_any(&shadow, VMCS_GUEST_RSP), 0x777);
    put(&h.w, BITMAPS + VMCS_GUEST_RIP / 8, 1 << (VMCS_GUEST_RIP & 7), 1);
    h.cpu->gpr[RAX] = VMCS_GUEST_RIP;
    ck_assert_uint_eq(REASON_OF(&h, "\x0f\x78\xc1"), REASON_VMREAD);
    h.cpu->gpr[RAX] = 0x8000 | VMCS_GUEST_RSP; /* beyond the bitmap */
    ck_assert_uint_eq(REASON_OF(&h, "\x0f\x78\xc1"), REASON_VMREAD);
    hosted_fini(&h);
}
END_TEST

START_TEST(apic_access_page)
{
    struct hosted h;
    hosted_init(&h);
    hosted_ept(&h);
    vor(&h, VMCS_PRIMARY_CONTROLS, PRIMARY_TPR_SHADOW);
    vor(&h, VMCS_SECONDARY_CONTROLS, SECONDARY_APIC_ACCESS);
    vset(&h, VMCS_APIC_ACCESS_ADDRESS, 0xe0000);
    vset(&h, VMCS_VIRTUAL_APIC_ADDRESS, BITMAPS);
    h.cpu->gpr[RBX] = 0xe0080;
    put(&h.w, BITMAPS + 0x80, 0x70, 4);
    ck_assert_uint_eq(REASON_OF(&h, "\x8b\x0b"), REASON_CPUID); /* MOV ECX, [RBX]: VTPR */
    ck_assert_uint_eq(h.cpu->gpr[RCX], 0x70);
    h.cpu->gpr[RBX] = 0xe00b0;
    ck_assert_uint_eq(REASON_OF(&h, "\x89\x0b"), REASON_APIC_ACCESS);
    ck_assert_uint_eq(vget(&h, VMCS_EXIT_QUALIFICATION), 0xb0 | 1 << 12);
    hosted_fini(&h);
}
END_TEST

START_TEST(time_stamp_offset)
{
    struct hosted h;
    hosted_init(&h);
    vor(&h, VMCS_PRIMARY_CONTROLS, PRIMARY_TSC_OFFSETTING);
    vset(&h, VMCS_TSC_OFFSET, UINT64_C(1) << 40);
    ck_assert_uint_eq(REASON_OF(&h, "\x0f\x31"), REASON_CPUID);
    ck_assert_uint_eq(h.cpu->gpr[RDX], 1 << 8);
    hosted_fini(&h);
}
END_TEST

SUITE_MAIN("intercept", &by_controls, &faults_first, &control_registers, &task_priority,
           &io_and_msr_bitmaps, &instruction_information, &ept_exits, &vmcs_shadowing,
           &apic_access_page, &time_stamp_offset)
