/* SPDX-License-Identifier: MIT */
#include "devices/acpi_pm.h"

#include "tests/devices/harness.h"

static struct acpi_pm *pm;

static void begin(void)
{
    pm = harness_make(&acpi_pm_class, NULL);
}

static u16 in16(u32 port)
{
    return (u16)bus_io_read(&h.bus, port, 2);
}

static void out16(u32 port, u16 value)
{
    bus_io_write(&h.bus, port, 2, value);
}

START_TEST(timer_runs_at_its_rate)
{
    begin();
    run_to(SECOND);
    ck_assert_uint_eq(bus_io_read(&h.bus, ACPI_PM_TIMER, 4), 3579545);
    run_to(1300 * SECOND); /* 32 bits have passed */
    ck_assert_uint_eq(bus_io_read(&h.bus, ACPI_PM_TIMER, 4),
                      (1300 * UINT64_C(3579545)) & UINT32_MAX);
    harness_end(&acpi_pm_class, pm);
}
END_TEST

START_TEST(enabled_by_the_command_port)
{
    begin();
    ck_assert_uint_eq(in16(ACPI_PM_CONTROL), 0);
    out16(ACPI_PM_CONTROL, 1);
    ck_assert_uint_eq(in16(ACPI_PM_CONTROL), 0);
    out8(ACPI_SMI_COMMAND, ACPI_ENABLE);
    ck_assert_uint_eq(in16(ACPI_PM_CONTROL), 1);
    out8(ACPI_SMI_COMMAND, ACPI_DISABLE);
    ck_assert_uint_eq(in16(ACPI_PM_CONTROL), 0);
    harness_end(&acpi_pm_class, pm);
}
END_TEST

START_TEST(soft_off)
{
    begin();
    out16(ACPI_PM_CONTROL, ACPI_S5_TYPE << 10);
    ck_assert_int_eq(h.group.stop, STOP_NONE);
    out16(ACPI_PM_CONTROL, 1 << 10 | 1 << 13); /* another state */
    ck_assert_int_eq(h.group.stop, STOP_NONE);
    out16(ACPI_PM_CONTROL, ACPI_S5_TYPE << 10 | 1 << 13);
    ck_assert_int_eq(h.group.stop, STOP_POWEROFF);
    harness_end(&acpi_pm_class, pm);
}
END_TEST

START_TEST(power_button_interrupts)
{
    begin();
    out8(ACPI_SMI_COMMAND, ACPI_ENABLE);
    acpi_pm_power_button(pm);
    ck_assert(!h.level[ACPI_SCI]);
    out16(ACPI_PM_EVENT + 2, 0x100);
    ck_assert(h.level[ACPI_SCI]);
    ck_assert_uint_eq(in16(ACPI_PM_EVENT), 0x100);
    out8(ACPI_PM_EVENT + 1, 0x01); /* by bytes */
    ck_assert(!h.level[ACPI_SCI]);
    ck_assert_uint_eq(in16(ACPI_PM_EVENT), 0);
    harness_end(&acpi_pm_class, pm);
}
END_TEST

START_TEST(timer_status_at_the_top_bit)
{
    begin();
    out8(ACPI_SMI_COMMAND, ACPI_ENABLE);
    out16(ACPI_PM_EVENT + 2, 0x001);
    u64 half = clock_from_units(&h.clock, BIT(31), ACPI_PM_HZ);
    run_to(half - 1);
    ck_assert(!h.level[ACPI_SCI]);
    run_to(half);
    ck_assert(h.level[ACPI_SCI]);
    out16(ACPI_PM_EVENT, 1);
    ck_assert(!h.level[ACPI_SCI]);
    out16(ACPI_PM_EVENT + 2, 0);
    run_to(2 * half);
    ck_assert_uint_eq(in16(ACPI_PM_EVENT), 1);
    ck_assert_uint_eq(h.rises[ACPI_SCI], 1);
    harness_end(&acpi_pm_class, pm);
}
END_TEST

START_TEST(gpe_block)
{
    begin();
    out16(ACPI_PM_GPE0 + 2, 0x1234);
    ck_assert_uint_eq(in16(ACPI_PM_GPE0 + 2), 0x1234);
    out8(ACPI_PM_GPE0 + 3, 0x56);
    ck_assert_uint_eq(in16(ACPI_PM_GPE0 + 2), 0x5634);
    ck_assert_uint_eq(in16(ACPI_PM_GPE0), 0);
    harness_end(&acpi_pm_class, pm);
}
END_TEST

START_TEST(saved_and_loaded)
{
    begin();
    out8(ACPI_SMI_COMMAND, ACPI_ENABLE);
    out16(ACPI_PM_EVENT + 2, 0x101);
    acpi_pm_power_button(pm);
    pm = harness_reload(&acpi_pm_class, pm, NULL);
    ck_assert_uint_eq(in16(ACPI_PM_EVENT), 0x100);
    ck_assert_uint_eq(in16(ACPI_PM_EVENT + 2), 0x101);
    ck_assert_uint_eq(in16(ACPI_PM_CONTROL), 1);
    harness_end(&acpi_pm_class, pm);
}
END_TEST

SUITE_MAIN("acpi_pm", &timer_runs_at_its_rate, &enabled_by_the_command_port, &soft_off,
           &power_button_interrupts, &timer_status_at_the_top_bit, &gpe_block, &saved_and_loaded)
