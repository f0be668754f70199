/* SPDX-License-Identifier: MIT */
/*
 * The power management registers of a PIIX4: 64 ports with the fixed hardware of ACPI (events,
 * control, timer, general-purpose events) and the enables of SMIs.
 */
#ifndef DEVICES_ACPI_PM_H
#define DEVICES_ACPI_PM_H

#include "devices/device.h"

#define ACPI_PM_PORTS 64
/* Offsets; devices/acpi.c tells the guest. */
#define ACPI_PM_EVENT 0x00   /* status, enable: 2 bytes each */
#define ACPI_PM_CONTROL 0x04 /* 2 bytes */
#define ACPI_PM_TIMER 0x08   /* 4 bytes, of which 3 count */
#define ACPI_PM_GPE0 0x0c    /* status, enable: 2 bytes each */

#define ACPI_SCI 9
#define ACPI_S5_TYPE 0 /* as in \_S5 of devices/dsdt.asl */
#define ACPI_PM_HZ 3579545

struct acpi_pm;

struct acpi_pm *acpi_pm_new(const struct device_env *env);
void acpi_pm_free(struct acpi_pm *pm);
void acpi_pm_reset(struct acpi_pm *pm);
void acpi_pm_snap(struct acpi_pm *pm, struct snap *s);

/* The registers, for a region of ACPI_PM_PORTS whose opaque is a struct acpi_pm. */
extern const struct bus_ops acpi_pm_ops;

/* The power button is pressed: a system with ACPI shuts down. */
void acpi_pm_power_button(struct acpi_pm *pm);
/* ACPI mode: whether events interrupt. */
void acpi_pm_enable(struct acpi_pm *pm, bool on);
/* Software asks for an SMI by the command port; whether the registers let it through. */
bool acpi_pm_software_smi(struct acpi_pm *pm);

#endif
