/* SPDX-License-Identifier: MIT */
/*
 * The power management function of a PIIX4 (PCI 00:01.3): ACPI's registers and the SMBus where
 * software puts them, and the ports that ask for an SMI.
 */
#ifndef DEVICES_PIIX4_PM_H
#define DEVICES_PIIX4_PM_H

#include "devices/acpi_pm.h"
#include "devices/pci.h"

#define APM_CONTROL 0xb2 /* a write asks for an SMI */
#define APM_STATUS 0xb3
/* Commands that switch to and from ACPI mode. */
#define ACPI_ENABLE 0xf1
#define ACPI_DISABLE 0xf0

/* Where firmware puts the registers by custom. */
#define PIIX4_PM_BASE 0x600
#define PIIX4_SMBUS_BASE 0x700

struct piix4_pm;

struct acpi_pm *piix4_pm_registers(struct piix4_pm *piix);
/* Where the registers are; 0: nowhere yet. */
u32 piix4_pm_base(const struct piix4_pm *piix);
/* Puts them at PIIX4_PM_BASE, as firmware would. */
void piix4_pm_preset(struct piix4_pm *piix);

extern const struct device_class piix4_pm_class;

#endif
