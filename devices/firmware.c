/* SPDX-License-Identifier: MIT */
/* The files and their formats are those of QEMU's fw_cfg that SeaBIOS and OVMF read. */
#include "devices/firmware.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cpu/cpu.h"
#include "devices/acpi.h"
#include "devices/smbios.h"

#define RSDP_FILE "etc/acpi/rsdp"
#define TABLES_FILE "etc/acpi/tables"
#define LOADER_FILE "etc/table-loader"

/* IA32_FEATURE_CONTROL: locked, VMX outside SMX */
#define FEATURE_CONTROL_VMX (BIT(0) | BIT(2))

/* ---- ACPI ---- */

static struct acpi_machine describe(const struct firmware *f)
{
    struct acpi_machine m = {
        .cpus = f->env->group->count,
        .pm_base = piix4_pm_base(f->pm),
        .pci_start = (u32)MAX(f->env->bus->ram.low, 2 * GIB),
        .serial = f->serial,
        .vga = pci_has_class(f->env->pci, 0x03),
    };
    pci_high_range(f->env->pci, &m.pci64_start, &m.pci64_size);
    return m;
}

/* Commands of the table loader, each of 128 bytes. */
enum { LOADER_ALLOCATE = 1, LOADER_POINTER, LOADER_CHECKSUM };
enum { ZONE_HIGH = 1, ZONE_FSEG };
#define COMMAND_SIZE 128
#define COMMANDS_MAX (2 + ACPI_POINTERS_MAX + ACPI_CHECKSUMS_MAX)

struct loader {
    u8 bytes[COMMANDS_MAX * COMMAND_SIZE];
    u32 used;
};

static void put(u8 *to, u64 value, unsigned size)
{
    for (unsigned n = 0; n < size; n++)
        to[n] = (u8)(value >> (8 * n));
}

static u8 *command(struct loader *l, u32 code)
{
    ASSERT(l->used + COMMAND_SIZE <= sizeof(l->bytes));
    u8 *at = l->bytes + l->used;
    l->used += COMMAND_SIZE;
    put(at, code, 4);
    return at + 4;
}

static void put_name(u8 *to, const char *name)
{
    memcpy(to, name, strlen(name) + 1);
}

static void allocate(struct loader *l, const char *file, u32 align, u8 zone)
{
    u8 *at = command(l, LOADER_ALLOCATE);
    put_name(at, file);
    put(at + FW_CFG_NAME_SIZE, align, 4);
    put(at + FW_CFG_NAME_SIZE + 4, zone, 1);
}

static void add_pointer(struct loader *l, const struct acpi_pointer *p)
{
    u8 *at = command(l, LOADER_POINTER);
    put_name(at, p->in_root ? RSDP_FILE : TABLES_FILE);
    put_name(at + FW_CFG_NAME_SIZE, TABLES_FILE);
    put(at + 2 * FW_CFG_NAME_SIZE, p->at, 4);
    put(at + 2 * FW_CFG_NAME_SIZE + 4, p->size, 1);
}

static void add_checksum(struct loader *l, const struct acpi_checksum *c)
{
    u8 *at = command(l, LOADER_CHECKSUM);
    put_name(at, c->in_root ? RSDP_FILE : TABLES_FILE);
    put(at + FW_CFG_NAME_SIZE, c->at, 4);
    put(at + FW_CFG_NAME_SIZE + 4, c->start, 4);
    put(at + FW_CFG_NAME_SIZE + 8, c->size, 4);
}

/* Called anew when firmware reads a file: by then it has chosen where the registers are. */
static void publish_acpi(void *opaque)
{
    struct firmware *f = opaque;
    struct acpi_machine machine = describe(f);
    struct acpi_tables *t = acpi_build(&machine);
    struct loader *l = xalloc(sizeof(*l));
    allocate(l, RSDP_FILE, 16, ZONE_FSEG);
    allocate(l, TABLES_FILE, ACPI_ALIGN, ZONE_HIGH);
    for (u32 n = 0; n < t->pointers; n++)
        add_pointer(l, &t->pointer[n]);
    for (u32 n = 0; n < t->checksums; n++)
        add_checksum(l, &t->checksum[n]);
    fw_cfg_set_file(f->fw, RSDP_FILE, t->root, sizeof(t->root));
    fw_cfg_set_file(f->fw, TABLES_FILE, t->bytes, t->used);
    fw_cfg_set_file(f->fw, LOADER_FILE, l->bytes, l->used);
    free(l);
    free(t);
}

/* ---- SMBIOS ---- */

static struct smbios *build_smbios(const struct firmware *f)
{
    const struct cpu_group *group = f->env->group;
    return smbios_build(&(struct smbios_machine){
        .ram = &f->env->bus->ram,
        .model = group->count ? group->cpu[0]->model : NULL,
        .cpus = group->count,
    });
}

static void publish_smbios(const struct firmware *f)
{
    struct smbios *s = build_smbios(f);
    fw_cfg_set_file(f->fw, "etc/smbios/smbios-anchor", s->anchor, sizeof(s->anchor));
    fw_cfg_set_file(f->fw, "etc/smbios/smbios-tables", s->bytes, s->used);
    free(s);
}

/* ---- All ---- */

/* Only RAM: firmware adds what it reserves itself. */
static void publish_memory(const struct firmware *f)
{
    const struct ram *ram = &f->env->bus->ram;
    u8 map[40] = {0};
    put(map + 8, ram->low, 8);
    put(map + 16, 1, 4);
    put(map + 20, RAM_HIGH_START, 8);
    put(map + 28, ram->size - ram->low, 8);
    put(map + 36, 1, 4);
    fw_cfg_set_file(f->fw, "etc/e820", map, ram->size > ram->low ? 40 : 20);
    fw_cfg_set_value(f->fw, FW_CFG_RAM_SIZE, ram->size, 8);
}

static void publish_numbers(const struct firmware *f)
{
    static const u8 uuid[16];
    unsigned cpus = f->env->group->count;
    fw_cfg_set(f->fw, FW_CFG_UUID, uuid, sizeof(uuid));
    fw_cfg_set_value(f->fw, FW_CFG_NO_GRAPHICS, !pci_has_class(f->env->pci, 0x03), 2);
    fw_cfg_set_value(f->fw, FW_CFG_CPUS, cpus, 2);
    fw_cfg_set_value(f->fw, FW_CFG_CPUS_MAX, cpus, 2);
    fw_cfg_set_value(f->fw, FW_CFG_NUMA, 0, 8);
    fw_cfg_set_value(f->fw, FW_CFG_BOOT_MENU, 0, 2);
    fw_cfg_set_value(f->fw, FW_CFG_KERNEL_SIZE, 0, 4); /* none as yet */
    fw_cfg_set_value(f->fw, FW_CFG_INITRD_SIZE, 0, 4);
    fw_cfg_set_value(f->fw, FW_CFG_CMDLINE_SIZE, 0, 4);
    fw_cfg_set_value(f->fw, FW_CFG_SETUP_SIZE, 0, 4);
    fw_cfg_set_value(f->fw, FW_CFG_ACPI_TABLES, 0, 2);
    fw_cfg_set_value(f->fw, FW_CFG_SMBIOS_ENTRIES, 0, 2);
    fw_cfg_set_value(f->fw, FW_CFG_IRQ0_OVERRIDE, 1, 4);
}

static bool has_vmx(const struct firmware *f)
{
    const struct cpu_group *group = f->env->group;
    return group->count && cpuid_has(group->cpu[0]->model, FEAT_VMX);
}

static void publish_files(const struct firmware *f)
{
    /* For S0 to S5: bit 7, whether there is such a state, and its SLP_TYP. */
    static const u8 states[6] = {0x80, 0, 0, 1, 2, 0x80 | ACPI_S5_TYPE};
    static const u8 features[8] = {FEATURE_CONTROL_VMX};
    static const u8 wait[2] = {0xc4, 0x09}; /* ms, if there is a menu */
    u8 sercon[2];
    fw_cfg_set_file(f->fw, "etc/system-states", states, sizeof(states));
    if (has_vmx(f)) /* else there is no such MSR */
        fw_cfg_set_file(f->fw, "etc/msr_feature_control", features, sizeof(features));
    fw_cfg_set_file(f->fw, "etc/boot-menu-wait", wait, sizeof(wait));
    put(sercon, f->sercon, 2);
    if (f->sercon)
        fw_cfg_set_file(f->fw, "etc/sercon-port", sercon, sizeof(sercon));
}

void firmware_publish(struct firmware *f)
{
    static const char *const built[] = {RSDP_FILE, TABLES_FILE, LOADER_FILE};
    publish_numbers(f);
    publish_files(f);
    publish_memory(f);
    publish_smbios(f);
    publish_acpi(f);
    for (size_t n = 0; n < ARRAY_SIZE(built); n++)
        fw_cfg_on_select(f->fw, built[n], publish_acpi, f);
}

static bool install_acpi(const struct firmware *f)
{
    struct acpi_machine machine = describe(f);
    struct acpi_tables *t = acpi_build(&machine);
    struct ram *ram = &f->env->bus->ram;
    acpi_relocate(t, FIRMWARE_ACPI + ACPI_ALIGN);
    bool ok = FIRMWARE_ACPI + ACPI_ALIGN + t->used <= FIRMWARE_SMBIOS &&
              ram_write(ram, FIRMWARE_ACPI, t->root, sizeof(t->root)) &&
              ram_write(ram, FIRMWARE_ACPI + ACPI_ALIGN, t->bytes, t->used);
    free(t);
    return ok;
}

static bool install_smbios(const struct firmware *f)
{
    struct smbios *s = build_smbios(f);
    struct ram *ram = &f->env->bus->ram;
    smbios_relocate(s, FIRMWARE_SMBIOS + 32);
    bool ok = ram_write(ram, FIRMWARE_SMBIOS, s->anchor, sizeof(s->anchor)) &&
              ram_write(ram, FIRMWARE_SMBIOS + 32, s->bytes, s->used);
    free(s);
    return ok;
}

bool firmware_install(const struct firmware *f, u64 *rsdp, struct error *err)
{
    if (f->env->group->count > ACPI_MAX_CPUS)
        return error_set(err, "%u processors: at most %d can be described", f->env->group->count,
                         ACPI_MAX_CPUS);
    if (!install_acpi(f) || !install_smbios(f))
        return error_set(err, "no memory for the firmware's tables at %#llx",
                         (unsigned long long)FIRMWARE_ACPI);
    *rsdp = FIRMWARE_ACPI;
    return true;
}
