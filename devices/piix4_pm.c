/* SPDX-License-Identifier: MIT */
/* From the 82371AB (PIIX4) data sheet, "Power Management (Function 3)". */
#include "devices/piix4_pm.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "devices/smbus.h"

#define PM_BASE 0x40
#define DEVICE_ACTIVITY_B 0x58
#define APMC_EN BIT32(25)
#define PM_IO_ENABLE 0x80
#define SMBUS_BASE 0x90
#define SMBUS_CONFIG 0xd2
#define SMBUS_REVISION 0xd6

#define DELIVERY_SMI 2

struct piix4_pm {
    const struct device_env *env;
    struct pci_device function;
    struct acpi_pm *registers;
    struct smbus smbus;
    u8 command, status; /* of the APM ports */
};

struct acpi_pm *piix4_pm_registers(struct piix4_pm *piix)
{
    return piix->registers;
}

u32 piix4_pm_base(const struct piix4_pm *piix)
{
    const struct pci_device *f = &piix->function;
    return f->config[PM_IO_ENABLE] & 1 ? pci_config_get(f, PM_BASE, 4) & ~1u : 0;
}

void piix4_pm_preset(struct piix4_pm *piix)
{
    struct pci_device *f = &piix->function;
    pci_write(f, PM_BASE, 4, PIIX4_PM_BASE);
    pci_write(f, PM_IO_ENABLE, 1, 1);
    pci_write(f, SMBUS_BASE, 4, PIIX4_SMBUS_BASE);
    pci_write(f, SMBUS_CONFIG, 1, 9);
}

/* ---- APM ports ---- */

static u64 apm_read(void *opaque, u64 offset, unsigned size)
{
    struct piix4_pm *piix = opaque;
    (void)size;
    return offset ? piix->status : piix->command;
}

static void ask_for_smi(struct piix4_pm *piix)
{
    const struct apic_message smi = {.mode = DELIVERY_SMI}; /* to the bootstrap processor */
    if (!(pci_config_get(&piix->function, DEVICE_ACTIVITY_B, 4) & APMC_EN))
        return;
    if (acpi_pm_software_smi(piix->registers))
        piix->env->apic_send(piix->env->apic_opaque, &smi);
}

/*
 * ACPI mode is switched here and not by the firmware's SMI handler: SeaBIOS and OVMF without SMM
 * have none that knows these commands.
 */
static void apm_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct piix4_pm *piix = opaque;
    (void)size;
    if (offset) {
        piix->status = (u8)value;
        return;
    }
    piix->command = (u8)value;
    if (value == ACPI_ENABLE || value == ACPI_DISABLE)
        acpi_pm_enable(piix->registers, value == ACPI_ENABLE);
    ask_for_smi(piix);
}

static const struct bus_ops apm_ops = {apm_read, apm_write, 1};

/* ---- The function ---- */

static void writable(struct pci_device *f, unsigned from, unsigned to)
{
    for (unsigned n = from; n <= to; n++)
        f->writable[n] = 0xff;
}

/* Device monitors and their timers are kept, and do nothing. */
static void function_init(struct piix4_pm *piix)
{
    struct pci_device *f = &piix->function;
    pci_init(f, "piix4 pm", &(struct pci_id){0x8086, 0x7113, 0x068000, 3});
    f->config[PCI_STATUS] = 0x80;
    f->config[PCI_STATUS + 1] = 0x02;
    f->config[PCI_INTERRUPT_LINE] = ACPI_SCI;
    f->config[PCI_INTERRUPT_PIN] = 1;
    pci_bar_init(f, 4,
                 &(struct pci_bar){.size = ACPI_PM_PORTS,
                                   .io = true,
                                   .ops = &acpi_pm_ops,
                                   .opaque = piix->registers,
                                   .at = PM_BASE,
                                   .enable_at = PM_IO_ENABLE});
    pci_bar_init(f, 5,
                 &(struct pci_bar){.size = SMBUS_PORTS,
                                   .io = true,
                                   .ops = &smbus_ops,
                                   .opaque = &piix->smbus,
                                   .at = SMBUS_BASE,
                                   .enable_at = SMBUS_CONFIG});
    memset(f->writable + PM_BASE + 2, 0, 2); /* ports have 16 bits */
    memset(f->writable + SMBUS_BASE + 2, 0, 2);
    writable(f, 0x44, 0x7f);
    f->writable[PM_IO_ENABLE] = 0x01;
    f->writable[SMBUS_CONFIG] = 0x0f;
    writable(f, SMBUS_CONFIG + 1, SMBUS_REVISION - 1);
    pci_add(piix->env->pci, f, PCI_DEVFN(1, 3));
}

static void *piix4_pm_create(const struct device_env *env, const void *config, struct error *err)
{
    struct piix4_pm *piix = xalloc(sizeof(*piix));
    (void)config;
    (void)err;
    piix->env = env;
    piix->registers = acpi_pm_new(env);
    function_init(piix);
    bus_map_io(env->bus, &(struct bus_region){APM_CONTROL, 2, &apm_ops, piix, "apm"});
    return piix;
}

static void piix4_pm_reset(void *device)
{
    struct piix4_pm *piix = device;
    acpi_pm_reset(piix->registers);
    smbus_reset(&piix->smbus);
    piix->command = piix->status = 0;
}

/* Configuration space is saved with the bus. */
static void piix4_pm_snap(void *device, struct snap *s)
{
    struct piix4_pm *piix = device;
    snap_section(s, "piix4_pm", 1);
    acpi_pm_snap(piix->registers, s);
    SNAP(s, piix->smbus.reg);
    SNAP(s, piix->command);
    SNAP(s, piix->status);
}

static void piix4_pm_free(void *device)
{
    struct piix4_pm *piix = device;
    pci_remove(&piix->function);
    bus_unmap_io(piix->env->bus, APM_CONTROL);
    acpi_pm_free(piix->registers);
    free(piix);
}

const struct device_class piix4_pm_class = {
    .name = "piix4_pm",
    .help = "power management: ACPI events, soft-off, 3.579545 MHz timer, SMI by port 0xb2, SMBus",
    .create = piix4_pm_create,
    .reset = piix4_pm_reset,
    .snap = piix4_pm_snap,
    .free = piix4_pm_free,
};
