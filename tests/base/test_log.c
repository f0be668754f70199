/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "tests/suite.h"

START_TEST(channels_are_enabled_by_name)
{
    struct error err = {0};
    ck_assert(log_on(LOG_UNIMP) && !log_on(LOG_CPU) && !log_on(LOG_APIC));
    ck_assert(log_enable("cpu,apic", &err));
    ck_assert(log_on(LOG_CPU) && log_on(LOG_APIC) && !log_on(LOG_MMU));
    ck_assert(log_enable("all", &err));
    ck_assert(log_on(LOG_MMU) && log_on(LOG_MSR));
}
END_TEST

START_TEST(unknown_channels_are_refused)
{
    struct error err = {0};
    u32 before = log_mask;
    ck_assert(!log_enable("cpu,cp", &err));
    ck_assert_str_eq(err.text,
                     "no log channel \"cp\"; there are all, cpu, mmu, vmx, dev, insn, msr, "
                     "apic, unimp");
    ck_assert_uint_eq(log_mask, before);
    err.text[0] = 0;
    ck_assert(!log_enable("cpu,", &err));
    ck_assert(!log_enable("", &err));
}
END_TEST

START_TEST(a_tick_may_follow)
{
    struct error err = {0};
    ck_assert(log_enable("insn@1200,cpu", &err));
    ck_assert_uint_eq(log_from, 1200);
    ck_assert(log_on(LOG_INSN) && log_on(LOG_CPU));
    ck_assert(!log_enable("insn@", &err));
    err.text[0] = 0;
    ck_assert(!log_enable("insn@12x", &err));
    ck_assert_str_eq(err.text, "log channel: expected a tick after @ in \"@12x\"");
}
END_TEST

START_TEST(gaps_are_counted_and_told_once)
{
    FILE *out = freopen("/dev/null", "w", stderr);
    ck_assert_ptr_nonnull(out);
    static char buffer[4096];
    setvbuf(stderr, buffer, _IOFBF, sizeof(buffer));
    char what[] = "thing";
    unimplemented(what);
    unimplemented("thing");
    unimplemented("other");
    ck_assert_uint_eq(unimplemented_count(), 3);
    ck_assert_str_eq(buffer, "unimp: thing\nunimp: other\n");
    ck_assert_ptr_null(log_strict_hit);
    log_strict = true;
    unimplemented("third");
    unimplemented("fourth");
    ck_assert_str_eq(log_strict_hit, "third");
}
END_TEST

SUITE_MAIN("log", &channels_are_enabled_by_name, &unknown_channels_are_refused, &a_tick_may_follow,
           &gaps_are_counted_and_told_once)
