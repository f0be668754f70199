/* SPDX-License-Identifier: MIT */
/* The function with the registers behind it. */
#include "devices/piix4_pm.h"

#include "tests/devices/pci_harness.h"

#define PM PCI_DEVFN(1, 3)
#define BASE PIIX4_PM_BASE

static struct i440fx *chipset;
static struct piix4_pm *piix;

static void begin(void)
{
    piix = harness_make_pci(&piix4_pm_class, NULL, &chipset);
    piix4_pm_preset(piix);
}

static void end(void)
{
    piix4_pm_class.free(piix);
    harness_end(&i440fx_class, chipset);
}

static u16 in16(u32 port)
{
    return (u16)bus_io_read(&h.bus, port, 2);
}

static void out16(u32 port, u16 value)
{
    bus_io_write(&h.bus, port, 2, value);
}

START_TEST(registers_are_where_software_puts_them)
{
    begin();
    ck_assert_uint_eq(config_get(PM, 0, 4), 0x71138086);
    ck_assert_uint_eq(config_get(PM, 0x40, 4), BASE | 1);
    ck_assert_uint_eq(piix4_pm_base(piix), BASE);
    out16(BASE + 2, 0x100);
    config_set(PM, 0x40, 4, 0xffffb07f); /* 64 ports */
    ck_assert_uint_eq(config_get(PM, 0x40, 2), 0xb041);
    ck_assert_uint_eq(piix4_pm_base(piix), 0xb040);
    ck_assert_uint_eq(in16(BASE + 2), 0xffff);
    ck_assert_uint_eq(in16(0xb042), 0x100);
    config_set(PM, 0x80, 1, 0);
    ck_assert_uint_eq(in16(0xb042), 0xffff);
    ck_assert_uint_eq(piix4_pm_base(piix), 0);
    config_set(PM, 0x40, 4, 0xcc0); /* the configuration ports stay */
    config_set(PM, 0x80, 1, 1);
    ck_assert_uint_eq(config_get(PM, 0, 4), 0x71138086);
    i440fx_class.reset(chipset);
    ck_assert_uint_eq(piix4_pm_base(piix), 0);
    end();
}
END_TEST

START_TEST(timer_runs_at_its_rate)
{
    begin();
    run_to(SECOND);
    ck_assert_uint_eq(bus_io_read(&h.bus, BASE + 8, 4), 3579545);
    run_to(1300 * SECOND); /* 24 bits have passed */
    ck_assert_uint_eq(bus_io_read(&h.bus, BASE + 8, 4), (1300 * UINT64_C(3579545)) & 0xffffff);
    ck_assert_uint_eq(in16(BASE), 1);
    end();
}
END_TEST

START_TEST(enabled_by_the_command_port)
{
    begin();
    ck_assert_uint_eq(in16(BASE + 4), 0);
    out8(APM_CONTROL, ACPI_ENABLE);
    ck_assert_uint_eq(in8(APM_CONTROL), ACPI_ENABLE);
    ck_assert_uint_eq(in16(BASE + 4), 1);
    out8(APM_CONTROL, ACPI_DISABLE);
    ck_assert_uint_eq(in16(BASE + 4), 0);
    out8(APM_STATUS, 0x5a);
    ck_assert_uint_eq(in8(APM_STATUS), 0x5a);
    end();
}
END_TEST

START_TEST(soft_off)
{
    begin();
    out16(BASE + 4, 0 << 10);
    ck_assert_int_eq(h.group.stop, STOP_NONE);
    out16(BASE + 4, 1 << 10 | 1 << 13); /* another state */
    ck_assert_int_eq(h.group.stop, STOP_NONE);
    ck_assert_uint_eq(in16(BASE + 4), 1 << 10);
    out16(BASE + 4, 1 << 13);
    ck_assert_int_eq(h.group.stop, STOP_POWEROFF);
    end();
}
END_TEST

START_TEST(power_button_interrupts)
{
    begin();
    out8(APM_CONTROL, ACPI_ENABLE);
    acpi_pm_power_button(piix4_pm_registers(piix));
    ck_assert(!h.level[ACPI_SCI]);
    out16(BASE + 2, 0x100);
    ck_assert(h.level[ACPI_SCI]);
    ck_assert_uint_eq(in16(BASE), 0x100);
    out8(BASE + 1, 0x01); /* by bytes */
    ck_assert(!h.level[ACPI_SCI]);
    ck_assert_uint_eq(in16(BASE), 0);
    end();
}
END_TEST

START_TEST(timer_status_at_the_top_bit)
{
    begin();
    out8(APM_CONTROL, ACPI_ENABLE);
    out16(BASE + 2, 0x001);
    u64 half = clock_from_units(&h.clock, BIT(23), ACPI_PM_HZ);
    run_to(half - 1);
    ck_assert(!h.level[ACPI_SCI]);
    run_to(half);
    ck_assert(h.level[ACPI_SCI]);
    out16(BASE, 1);
    ck_assert(!h.level[ACPI_SCI]);
    out16(BASE + 2, 0);
    run_to(2 * half);
    ck_assert_uint_eq(in16(BASE), 1);
    ck_assert_uint_eq(h.rises[ACPI_SCI], 1);
    end();
}
END_TEST

START_TEST(general_purpose_events)
{
    begin();
    out16(BASE + 0xe, 0xffff);
    ck_assert_uint_eq(in16(BASE + 0xe), 0x0f01);
    out8(BASE + 0xf, 0x02);
    ck_assert_uint_eq(in16(BASE + 0xe), 0x0201);
    ck_assert_uint_eq(in16(BASE + 0xc), 0);
    end();
}
END_TEST

START_TEST(software_smi)
{
    begin();
    out8(APM_CONTROL, 1); /* neither enable is set */
    config_set(PM, 0x58, 4, BIT32(25));
    out8(APM_CONTROL, 1);
    ck_assert_uint_eq(h.sent_count, 0);
    ck_assert_uint_eq(in8(BASE + 0x18), 0x20); /* asked for by APM */
    bus_io_write(&h.bus, BASE + 0x28, 4, 1);
    out8(APM_CONTROL, 0xb5);
    ck_assert_uint_eq(h.sent_count, 1);
    ck_assert_uint_eq(h.sent[0].mode, 2);
    ck_assert_uint_eq(in8(APM_CONTROL), 0xb5);
    out8(APM_STATUS, 1);
    ck_assert_uint_eq(h.sent_count, 1);
    end();
}
END_TEST

START_TEST(smbus_without_devices)
{
    begin();
    ck_assert_uint_eq(in8(PIIX4_SMBUS_BASE), 0);
    out8(PIIX4_SMBUS_BASE + 4, 0xa1);
    out8(PIIX4_SMBUS_BASE + 2, 0x48);
    ck_assert_uint_eq(in8(PIIX4_SMBUS_BASE), 0x06); /* done; nobody answered */
    ck_assert_uint_eq(in8(PIIX4_SMBUS_BASE + 2), 0x08);
    ck_assert_uint_eq(in8(PIIX4_SMBUS_BASE + 4), 0xa1);
    out8(PIIX4_SMBUS_BASE, 0xff);
    ck_assert_uint_eq(in8(PIIX4_SMBUS_BASE), 0);
    end();
}
END_TEST

START_TEST(saved_and_loaded)
{
    begin();
    out8(APM_CONTROL, ACPI_ENABLE);
    out8(APM_STATUS, 7);
    out16(BASE + 2, 0x101);
    out8(PIIX4_SMBUS_BASE + 3, 0x77);
    acpi_pm_power_button(piix4_pm_registers(piix));
    piix = harness_reload(&piix4_pm_class, piix, NULL);
    piix4_pm_preset(piix); /* the chipset saves configuration space */
    ck_assert_uint_eq(in16(BASE), 0x100);
    ck_assert_uint_eq(in16(BASE + 2), 0x101);
    ck_assert_uint_eq(in16(BASE + 4), 1);
    ck_assert_uint_eq(in8(APM_STATUS), 7);
    ck_assert_uint_eq(in8(PIIX4_SMBUS_BASE + 3), 0x77);
    end();
}
END_TEST

START_TEST(any_accesses_do_no_harm)
{
    begin();
    u32 seed = 1;
    for (unsigned n = 0; n < 50000; n++) {
        seed = seed * 1664525 + 1013904223;
        u32 value = seed * 2654435761u, reg = (seed >> 16) & 0x7f;
        unsigned size = 1u << ((seed >> 8) % 3);
        if (n % 5 == 0)
            config_set(PM, (u8)(reg * 2 & -size), size, value & 0x3ff);
        else if (n % 2)
            bus_io_write(&h.bus, (n % 3 ? 0x600u : 0x0u) + reg * 2, size, value);
        else
            bus_io_read(&h.bus, (n % 3 ? 0x600u : 0x0u) + reg * 2, size);
        h.sent_count = 0;
        run_for(value % 100000);
    }
    end();
}
END_TEST

SUITE_MAIN("piix4_pm", &registers_are_where_software_puts_them, &timer_runs_at_its_rate,
           &enabled_by_the_command_port, &soft_off, &power_button_interrupts,
           &timer_status_at_the_top_bit, &general_purpose_events, &software_smi,
           &smbus_without_devices, &saved_and_loaded, &any_accesses_do_no_harm)
