/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "tests/cpu/machine.h"
#include "tests/suite.h"

enum { EAX, EBX, ECX, EDX };

static struct error err;

/* The value of register reg of a leaf on CPU n. */
static u32 query(const struct machine *m, unsigned n, u32 leaf, u32 subleaf, unsigned reg)
{
    u32 out[4];
    cpuid_query(m->cpu[n], leaf, subleaf, out);
    return out[reg];
}

START_TEST(names_and_bits_are_unique)
{
    static const struct {
        u32 leaf, subleaf;
        unsigned reg, bit;
    } rows[] = {
#define FEATURE(id, name, leaf, subleaf, reg, bit, ...) {leaf, subleaf, reg, bit},
#include "cpu/cpuid.def"
    };
    for (unsigned f = 1; f < FEAT_COUNT; f++) {
        ck_assert_uint_eq(cpu_feature_find(cpu_feature_name(f)), f);
        for (unsigned g = f + 1; g < FEAT_COUNT; g++)
            ck_assert_int_ne(memcmp(&rows[f - 1], &rows[g - 1], sizeof(rows[0])), 0);
    }
}
END_TEST

/* Each feature that works can be had alone: what it depends on works too, and there is no cycle. */
START_TEST(each_working_feature_stands)
{
    for (unsigned f = 1; f < FEAT_COUNT; f++) {
        struct cpu_model m;
        char change[64];
        if (!cpu_feature_works(f))
            continue;
        cpu_model_begin(&m, "test");
        snprintf(change, sizeof(change), "+%s", cpu_feature_name(f));
        ck_assert_msg(cpu_model_change(&m, change, &err), "%s", err.text);
        ck_assert(cpu_model_finish(&m, &err));
        ck_assert(cpuid_has(&m, f));
    }
}
END_TEST

START_TEST(removal_takes_dependents_along)
{
    struct cpu_model m;
    ck_assert(cpu_model_init(&m, "default", "-fxsr,-lm", &err));
    ck_assert(!cpuid_has(&m, FEAT_FXSR));
    ck_assert(!cpuid_has(&m, FEAT_SSE2));
    ck_assert(!cpuid_has(&m, FEAT_XSAVES));
    ck_assert(!cpuid_has(&m, FEAT_LA57));
    ck_assert(cpuid_has(&m, FEAT_NX));
    ck_assert(cpuid_has(&m, FEAT_NONE));
    ck_assert_uint_eq(m.lin_bits, 48);
}
END_TEST

START_TEST(addition_brings_what_it_needs)
{
    struct cpu_model m;
    ck_assert(cpu_model_init(&m, NULL, "-fpu,+sse2", &err));
    ck_assert(cpuid_has(&m, FEAT_FPU));
    ck_assert(cpuid_has(&m, FEAT_SSE));
    ck_assert(!cpuid_has(&m, FEAT_MMX));
}
END_TEST

START_TEST(wrong_changes_are_errors)
{
    static const char *const bad[] = {"+nonsense", "-nonsense", "sse2", "+hle", "+", ",,x"};
    for (unsigned n = 0; n < ARRAY_SIZE(bad); n++) {
        struct cpu_model m;
        struct error e = {{0}};
        ck_assert(!cpu_model_init(&m, NULL, bad[n], &e));
        ck_assert_str_ne(e.text, "");
    }
}
END_TEST

START_TEST(model_from_text)
{
    struct cpu_model m;
    struct cpu_cache cache = {CACHE_UNIFIED, 2, 256 * KIB, 64, 8, false, false};
    cpu_model_begin(&m, "mine");
    ck_assert(cpu_model_set(&m, "model", "0x55", &err));
    ck_assert(cpu_model_set(&m, "stepping", "4", &err));
    ck_assert(cpu_model_set(&m, "brand", "Some processor", &err));
    ck_assert(cpu_model_set(&m, "arch-capabilities", "0x400000000d10e17b", &err));
    ck_assert(cpu_model_set(&m, "leaf2", "76036301 00f0b5ff 0 00c30000", &err));
    ck_assert(cpu_model_features(&m, "\n fpu tsc msr  hle\tarch_capabilities\n", &err));
    ck_assert(cpu_model_add_cache(&m, &cache, &err));
    ck_assert(cpu_model_finish(&m, &err));
    ck_assert_uint_eq(cpuid_signature(&m), 0x50654);
    ck_assert(cpuid_has(&m, FEAT_TSC));
    ck_assert(!cpuid_has(&m, FEAT_HLE));
    ck_assert_uint_eq(m.arch_capabilities, ARCH_CAP_ALL_FIXED);
    ck_assert_uint_eq(m.leaf2[0], 0x76036301);
}
END_TEST

START_TEST(bad_values_are_errors)
{
    static const char *const bad[][2] = {{"family", "5"},     {"model", "256"},
                                         {"model", "x"},      {"stepping", "-1"},
                                         {"leaf2", "1 2 3"},  {"physical-bits", "53"},
                                         {"colour", "red"},   {"vendor", "Far too long a name"},
                                         {"crystal-hz", "0"}, {"mhz", ""}};
    for (unsigned n = 0; n < ARRAY_SIZE(bad); n++) {
        struct cpu_model m;
        cpu_model_begin(&m, "bad");
        ck_assert_msg(!cpu_model_set(&m, bad[n][0], bad[n][1], &err), "%s=%s", bad[n][0],
                      bad[n][1]);
    }
    struct cpu_model m;
    struct cpu_cache cache = {CACHE_UNIFIED, 2, 1000, 64, 8, false, false};
    cpu_model_begin(&m, "bad");
    ck_assert(!cpu_model_add_cache(&m, &cache, &err));
}
END_TEST

START_TEST(identity)
{
    struct machine m;
    char text[49] = "";
    machine_init(&m, 1, NULL);
    u32 out[4];
    cpuid_query(m.cpu[0], 0, 0, out);
    ck_assert_uint_eq(out[EAX], m.model.max_leaf);
    ck_assert_int_eq(memcmp(&out[EBX], "Genu", 4), 0);
    ck_assert_int_eq(memcmp(&out[EDX], "ineI", 4), 0);
    ck_assert_int_eq(memcmp(&out[ECX], "ntel", 4), 0);
    for (u32 n = 0; n < 3; n++)
        cpuid_query(m.cpu[0], 0x80000002 + n, 0, (u32 *)(void *)(text + 16 * n));
    ck_assert_str_eq(text, "Testudo processor");
    ck_assert_uint_eq(query(&m, 0, 0x80000000, 0, EAX), 0x80000008);
    ck_assert_uint_eq(query(&m, 0, 0x80000008, 0, EAX), 46 | 57 << 8);
    /* Out of range: what the highest basic leaf gives, here the topology. */
    ck_assert_uint_eq(query(&m, 0, 0x40000000, 1, ECX), query(&m, 0, 0x1f, 1, ECX));
    ck_assert_uint_eq(query(&m, 0, 0xa, 0, EAX), 0);
    machine_fini(&m);
}
END_TEST

START_TEST(bits_that_follow_the_state)
{
    struct machine m;
    machine_init(&m, 1, NULL);
    struct cpu *cpu = m.cpu[0];
    ck_assert(!(query(&m, 0, 1, 0, ECX) & BIT32(27)));
    ck_assert(!(query(&m, 0, 7, 0, ECX) & BIT32(4)));
    cpu->cr4 |= CR4_OSXSAVE | CR4_PKE;
    ck_assert(query(&m, 0, 1, 0, ECX) & BIT32(27));
    ck_assert(query(&m, 0, 7, 0, ECX) & BIT32(4));
    ck_assert(query(&m, 0, 1, 0, EDX) & BIT32(9));
    ck_assert(msr_set(cpu, 0x1b, LAPIC_DEFAULT_BASE | APIC_BASE_BSP));
    ck_assert(!(query(&m, 0, 1, 0, EDX) & BIT32(9)));
    ck_assert(query(&m, 0, 1, 0, ECX) & BIT32(3));
    ck_assert(msr_set(cpu, 0x1a0, BIT(0) | BIT(11) | BIT(12) | MISC_ENABLE_XD_DISABLE));
    ck_assert(!(query(&m, 0, 1, 0, ECX) & BIT32(3)));
    ck_assert(!(query(&m, 0, 0x80000001, 0, EDX) & BIT32(20)));
    machine_fini(&m);
}
END_TEST

START_TEST(extended_state)
{
    struct machine m;
    machine_init(&m, 1, NULL);
    struct cpu *cpu = m.cpu[0];
    ck_assert_uint_eq(query(&m, 0, 0xd, 0, EAX), 0x203);
    ck_assert_uint_eq(query(&m, 0, 0xd, 0, EBX), 576);
    ck_assert_uint_eq(query(&m, 0, 0xd, 0, ECX), 2696);
    cpu->xcr0 = 0x203;
    ck_assert_uint_eq(query(&m, 0, 0xd, 0, EBX), 2696);
    ck_assert_uint_eq(query(&m, 0, 0xd, 1, EBX), 584);
    ck_assert_uint_eq(query(&m, 0, 0xd, 1, EAX), 0xf);
    ck_assert_uint_eq(query(&m, 0, 0xd, 9, EAX), 8);
    ck_assert_uint_eq(query(&m, 0, 0xd, 9, EBX), 2688);
    ck_assert_uint_eq(query(&m, 0, 0xd, 2, EAX), 0);
    ck_assert_uint_eq(cpuid_xsave_size(7, false), 832);
    ck_assert_uint_eq(cpuid_xsave_size(BIT(9) | BIT(17), true), 576 + 64 + 64);
    machine_fini(&m);
}
END_TEST

START_TEST(frequencies_agree_with_the_clock)
{
    struct machine m;
    machine_init(&m, 1, NULL);
    ck_assert_uint_eq(query(&m, 0, 0x15, 0, EAX), 1);
    ck_assert_uint_eq(query(&m, 0, 0x15, 0, EBX), 40);
    ck_assert_uint_eq(query(&m, 0, 0x15, 0, ECX), 25000000);
    ck_assert_uint_eq(query(&m, 0, 0x16, 0, EAX), 1000);
    machine_fini(&m);
}
END_TEST

START_TEST(topology)
{
    struct machine m;
    machine_init(&m, 6, NULL);
    ck_assert_uint_eq(query(&m, 5, 0xb, 0, EDX), 5);
    ck_assert_uint_eq(query(&m, 5, 0xb, 1, EAX), 3);
    ck_assert_uint_eq(query(&m, 5, 0xb, 1, EBX), 6);
    ck_assert_uint_eq(query(&m, 5, 0xb, 2, ECX), 2);
    ck_assert_uint_eq(query(&m, 5, 1, 0, EBX) >> 24, 5);
    m.model.threads = 2;
    m.model.cores = 3;
    ck_assert_uint_eq(cpuid_apic_id(&m.model, 8, 7), 8 | 1);
    ck_assert_uint_eq(query(&m, 0, 0xb, 0, EAX), 1);
    ck_assert_uint_eq(query(&m, 0, 0xb, 1, EAX), 3);
    /* L1 is shared by a core's two threads, L3 by the package's eight IDs. */
    ck_assert_uint_eq(query(&m, 0, 4, 0, EAX) >> 14 & 0xfff, 1);
    ck_assert_uint_eq(query(&m, 0, 4, 3, EAX) >> 14 & 0xfff, 7);
    ck_assert_uint_eq(query(&m, 0, 4, 3, EAX) >> 26, 3);
    ck_assert_uint_eq(query(&m, 0, 4, 4, EAX), 0);
    machine_fini(&m);
}
END_TEST

SUITE_MAIN("cpuid", &names_and_bits_are_unique, &each_working_feature_stands,
           &removal_takes_dependents_along, &addition_brings_what_it_needs,
           &wrong_changes_are_errors, &model_from_text, &bad_values_are_errors, &identity,
           &bits_that_follow_the_state, &extended_state, &frequencies_agree_with_the_clock,
           &topology)
