/* SPDX-License-Identifier: MIT */
/* The fixed hardware of ACPI: power management registers, timer, soft-off, SMI command port. */
#ifndef DEVICES_ACPI_PM_H
#define DEVICES_ACPI_PM_H

#include "devices/device.h"

/* Where the registers lie; devices/acpi.c tells the guest. */
#define ACPI_PM_EVENT 0x600   /* status, enable: 2 bytes each */
#define ACPI_PM_CONTROL 0x604 /* 2 bytes */
#define ACPI_PM_TIMER 0x608   /* 4 bytes */
#define ACPI_PM_GPE0 0x620    /* status, enable: 2 bytes each */
#define ACPI_SMI_COMMAND 0xb2
#define ACPI_ENABLE 0xa0 /* values for the command port */
#define ACPI_DISABLE 0xa1
#define ACPI_SCI 9
#define ACPI_S5_TYPE 5 /* as in \_S5 of devices/dsdt.asl */
#define ACPI_PM_HZ 3579545

struct acpi_pm;

/* The power button is pressed: a system with ACPI shuts down. */
void acpi_pm_power_button(struct acpi_pm *pm);

extern const struct device_class acpi_pm_class;

#endif
