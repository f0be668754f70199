/* SPDX-License-Identifier: MIT */
#include "tests/cpu/machine.h"
#include "tests/suite.h"

#define EFER UINT32_C(0xc0000080)
#define NOT_CANONICAL UINT64_C(0x0200000000000000)

static u64 get(const struct machine *m, u32 index)
{
    u64 val = 0;
    ck_assert_msg(msr_get(m->cpu[0], index, &val), "%#x", index);
    return val;
}

static bool set(const struct machine *m, u32 index, u64 val)
{
    return msr_set(m->cpu[0], index, val);
}

/* Writes what must be accepted and reads it back. */
static void keep(const struct machine *m, u32 index, u64 val)
{
    ck_assert_msg(set(m, index, val), "%#x", index);
    ck_assert_uint_eq(get(m, index), val);
}

START_TEST(plain_registers_keep_values)
{
    static const u32 plain[] = {0x175,      0x176,      0xc0000081, 0xc0000082, 0xc0000083,
                                0xc0000100, 0xc0000101, 0xc0000102, 0x400,      0x424};
    struct machine m;
    machine_init(&m, 1, NULL);
    for (unsigned n = 0; n < ARRAY_SIZE(plain); n++)
        keep(&m, plain[n], UINT64_C(0xffffffff81000000) + n);
    keep(&m, 0x174, 0x10);
    keep(&m, 0xc0000103, 0xfff);
    ck_assert(!set(&m, 0xc0000103, BIT(32)));
    ck_assert_uint_eq(m.cpu[0]->lstar, UINT64_C(0xffffffff81000003));
    ck_assert_uint_eq(m.cpu[0]->seg[SEG_FS].base, UINT64_C(0xffffffff81000005));
    machine_fini(&m);
}
END_TEST

START_TEST(absent_registers_fault)
{
    /* 0x8bf, 0x831 are no registers; the others belong to features that are not there. */
    static const u32 absent[] = {0x186, 0x345, 0x38d, 0x480, 0x606,  0x611,      0x831,     0x8bf,
                                 0x122, 0x123, 0xcf,  0x6a0, 0x1fff, 0xc0010015, 0xffffffff};
    struct machine m;
    u64 val;
    machine_init(&m, 1, NULL);
    for (unsigned n = 0; n < ARRAY_SIZE(absent); n++) {
        ck_assert_msg(!msr_get(m.cpu[0], absent[n], &val), "%#x", absent[n]);
        ck_assert_msg(!set(&m, absent[n], 0), "%#x", absent[n]);
    }
    machine_fini(&m);
}
END_TEST

START_TEST(features_bring_registers)
{
    struct machine m;
    u64 val;
    machine_init(&m, 1, "-spec_ctrl,-arch_capabilities,-tsc_deadline_timer,-xsaves,-x2apic");
    ck_assert(!msr_get(m.cpu[0], 0x48, &val));
    ck_assert(!msr_get(m.cpu[0], 0x10a, &val));
    ck_assert(!msr_get(m.cpu[0], 0x6e0, &val));
    ck_assert(!msr_get(m.cpu[0], 0xda0, &val));
    ck_assert(!msr_get(m.cpu[0], 0x802, &val));
    ck_assert(!set(&m, 0x1b, LAPIC_DEFAULT_BASE | APIC_BASE_EN | APIC_BASE_EXTD));
    machine_fini(&m);
}
END_TEST

START_TEST(addresses_must_be_canonical)
{
    struct machine m;
    machine_init(&m, 1, NULL);
    keep(&m, 0xc0000100, UINT64_C(0xff00000000000000));
    ck_assert(!set(&m, 0xc0000100, NOT_CANONICAL));
    ck_assert(!set(&m, 0xc0000082, NOT_CANONICAL));
    ck_assert(!set(&m, 0x175, NOT_CANONICAL));
    machine_fini(&m);
    machine_init(&m, 1, "-la57");
    ck_assert(!set(&m, 0xc0000100, UINT64_C(0xff00000000000000)));
    machine_fini(&m);
}
END_TEST

START_TEST(efer_rules)
{
    struct machine m;
    machine_init(&m, 1, NULL);
    struct cpu *cpu = m.cpu[0];
    keep(&m, EFER, EFER_SCE | EFER_LME | EFER_NXE);
    ck_assert(set(&m, EFER, EFER_LME | EFER_LMA));
    ck_assert_uint_eq(get(&m, EFER), EFER_LME);
    ck_assert(!set(&m, EFER, BIT(1)));
    ck_assert(!set(&m, EFER, BIT(12)));
    cpu->cr0 |= CR0_PG;
    ck_assert(!set(&m, EFER, 0));
    keep(&m, EFER, EFER_LME | EFER_SCE);
    cpu->cr0 &= ~CR0_PG;
    ck_assert(set(&m, 0x1a0, get(&m, 0x1a0) | MISC_ENABLE_XD_DISABLE));
    ck_assert(!set(&m, EFER, EFER_NXE));
    machine_fini(&m);
}
END_TEST

START_TEST(execute_disable_stays_while_used)
{
    struct machine m;
    machine_init(&m, 1, NULL);
    keep(&m, EFER, EFER_NXE);
    ck_assert(!set(&m, 0x1a0, get(&m, 0x1a0) | MISC_ENABLE_XD_DISABLE));
    ck_assert(!set(&m, 0x1a0, get(&m, 0x1a0) & ~BIT(11)));
    ck_assert(set(&m, 0x1a0, get(&m, 0x1a0)));
    machine_fini(&m);
}
END_TEST

START_TEST(time_stamp_counter)
{
    struct machine m;
    machine_init(&m, 1, NULL);
    m.clock.now = 1000;
    ck_assert_uint_eq(get(&m, 0x10), 1000);
    ck_assert(set(&m, 0x10, 5000));
    ck_assert_uint_eq(get(&m, 0x10), 5000);
    ck_assert_uint_eq(get(&m, 0x3b), 4000);
    ck_assert(set(&m, 0x3b, 0));
    ck_assert_uint_eq(get(&m, 0x10), 1000);
    ck_assert(set(&m, 0x3b, (u64)-100));
    ck_assert_uint_eq(get(&m, 0x10), 900);
    cpu_reset(m.cpu[0], true);
    ck_assert_uint_eq(get(&m, 0x10), 900);
    cpu_reset(m.cpu[0], false);
    ck_assert_uint_eq(get(&m, 0x10), 0);
    ck_assert_uint_eq(get(&m, 0x3b), 0);
    machine_fini(&m);
}
END_TEST

START_TEST(memory_types)
{
    struct machine m;
    machine_init(&m, 1, NULL);
    keep(&m, 0x277, UINT64_C(0x0706050401000006));
    ck_assert(!set(&m, 0x277, UINT64_C(0x0000000000000002)));
    ck_assert(!set(&m, 0x277, UINT64_C(0x0800000000000000)));
    ck_assert_uint_eq(get(&m, 0xfe), 0x508);
    ck_assert(!set(&m, 0xfe, 0x508));
    keep(&m, 0x200, UINT64_C(0x3fff00000006));
    ck_assert(!set(&m, 0x200, 7));
    ck_assert(!set(&m, 0x200, 0x100));
    ck_assert(!set(&m, 0x200, BIT(46)));
    keep(&m, 0x20f, UINT64_C(0x3fffc0000800));
    ck_assert(!set(&m, 0x20f, 0x400));
    keep(&m, 0x250, UINT64_C(0x0606060606060606));
    keep(&m, 0x26f, UINT64_C(0x0505050500010406));
    ck_assert(!set(&m, 0x26f, UINT64_C(0x0705050500010406)));
    keep(&m, 0x2ff, 0xc06);
    ck_assert(!set(&m, 0x2ff, 0xc07));
    ck_assert(!set(&m, 0x2ff, 0x1c06));
    machine_fini(&m);
}
END_TEST

START_TEST(firmware_state)
{
    struct machine m;
    machine_init(&m, 1, NULL);
    keep(&m, 0x3a, 0);
    msr_firmware(m.cpu[0]);
    ck_assert_uint_eq(get(&m, 0x2ff), 0xc06);
    ck_assert_uint_eq(get(&m, 0x200), 0x80000000);
    ck_assert_uint_eq(get(&m, 0x201), UINT64_C(0x3fff80000800));
    ck_assert_uint_eq(get(&m, 0x3a), 5); /* VMX outside SMX, locked */
    ck_assert(!set(&m, 0x3a, 1));
    /* What it leaves could have been written. */
    for (u32 index = 0x200; index < 0x2ff; index++) {
        u64 val;
        if (msr_get(m.cpu[0], index, &val))
            ck_assert_msg(set(&m, index, val), "%#x", index);
    }
    machine_fini(&m);
}
END_TEST

START_TEST(speculation_controls)
{
    struct machine m;
    u64 val;
    machine_init(&m, 1, "-ssbd");
    keep(&m, 0x48, 0x403);
    ck_assert(!set(&m, 0x48, 4));
    ck_assert(!set(&m, 0x48, BIT(9)));
    ck_assert(set(&m, 0x49, 1));
    ck_assert(!set(&m, 0x49, 2));
    ck_assert(!msr_get(m.cpu[0], 0x49, &val));
    ck_assert(set(&m, 0x10b, 1));
    ck_assert_uint_eq(get(&m, 0x10a), ARCH_CAP_ALL_FIXED);
    ck_assert(!set(&m, 0x10a, 0));
    machine_fini(&m);
}
END_TEST

START_TEST(machine_check_banks)
{
    struct machine m;
    machine_init(&m, 1, NULL);
    ck_assert_uint_eq(get(&m, 0x179) & 0xff, MC_BANKS);
    keep(&m, 0x400, ~UINT64_C(0));
    ck_assert(set(&m, 0x401, 0));
    ck_assert(!set(&m, 0x401, 1));
    keep(&m, 0x280, BIT(30) | 1);
    ck_assert(!set(&m, 0x280, BIT(31)));
    keep(&m, 0x289, BIT(30));
    machine_fini(&m);
}
END_TEST

START_TEST(microcode_revision)
{
    struct machine m;
    machine_init(&m, 1, NULL);
    ck_assert(set(&m, 0x8b, 0));
    ck_assert_uint_eq(get(&m, 0x8b) >> 32, m.model.microcode);
    ck_assert_uint_eq(get(&m, 0xce), UINT64_C(10) << 8 | UINT64_C(10) << 40);
    machine_fini(&m);
}
END_TEST

START_TEST(extended_state_masks)
{
    struct machine m;
    machine_init(&m, 1, NULL);
    keep(&m, 0xda0, 0);
    ck_assert(!set(&m, 0xda0, BIT(8)));
    ck_assert(msr_xcr0_valid(&m.model, 1));
    ck_assert(msr_xcr0_valid(&m.model, 3));
    ck_assert(msr_xcr0_valid(&m.model, 0x203));
    ck_assert(!msr_xcr0_valid(&m.model, 0));
    ck_assert(!msr_xcr0_valid(&m.model, 2));
    ck_assert(!msr_xcr0_valid(&m.model, 7)); /* no AVX yet */
    ck_assert(!msr_xcr0_valid(&m.model, BIT(63) | 1));
    machine_fini(&m);
}
END_TEST

START_TEST(init_keeps_most)
{
    struct machine m;
    machine_init(&m, 1, NULL);
    keep(&m, EFER, EFER_NXE);
    keep(&m, 0xc0000082, 0x1234);
    keep(&m, 0x277, 6);
    cpu_reset(m.cpu[0], true);
    ck_assert_uint_eq(get(&m, EFER), 0);
    ck_assert_uint_eq(get(&m, 0xc0000082), 0x1234);
    ck_assert_uint_eq(get(&m, 0x277), 6);
    cpu_reset(m.cpu[0], false);
    ck_assert_uint_eq(get(&m, 0xc0000082), 0);
    ck_assert_uint_eq(get(&m, 0x277), UINT64_C(0x0007040600070406));
    machine_fini(&m);
}
END_TEST

static u64 next_random(u64 *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Whatever a guest writes: what is accepted can be written again, and nothing breaks. */
START_TEST(random_writes)
{
    struct machine m;
    u64 random = UINT64_C(0x9e3779b97f4a7c15), val;
    machine_init(&m, 2, NULL);
    for (unsigned n = 0; n < 300000; n++) {
        u32 index = (u32)next_random(&random) % 0x1200;
        if (index >= 0x1000)
            index += 0xbffff000;
        u64 shift = next_random(&random) % 64, v = next_random(&random) >> shift;
        struct cpu *cpu = m.cpu[n & 1];
        if (msr_set(cpu, index, v) && index != 0x830 && index != 0x83f && index != 0x80b)
            msr_get(cpu, index, &val);
        if (n % 64 == 0)
            machine_wait(&m, 100);
    }
    machine_fini(&m);
}
END_TEST

SUITE_MAIN("msr", &plain_registers_keep_values, &absent_registers_fault, &features_bring_registers,
           &addresses_must_be_canonical, &efer_rules, &execute_disable_stays_while_used,
           &time_stamp_counter, &memory_types, &firmware_state, &speculation_controls,
           &machine_check_banks, &microcode_revision, &extended_state_masks, &init_keeps_most,
           &random_writes)
