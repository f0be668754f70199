/* SPDX-License-Identifier: MIT */
/* From the ACPI specification, "ACPI Software Programming Model". */
#include "devices/acpi.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cpu/lapic.h"
#include "devices/dsdt.hex"
#include "devices/hpet.h"
#include "devices/ioapic.h"
#include "devices/piix4_pm.h"

#define HEADER_SIZE 36
#define SPACE_MEMORY 0
#define SPACE_IO 1
#define RESET_PORT 0xcf9
#define RESET_VALUE 0x06
#define CMOS_CENTURY 0x32

/* FADT: IA-PC boot architecture and fixed feature flags */
#define BOOT_LEGACY_DEVICES BIT32(0)
#define BOOT_8042 BIT32(1)
#define BOOT_NO_VGA BIT32(2)
#define FADT_WBINVD BIT32(0)
#define FADT_PROC_C1 BIT32(2)
#define FADT_NO_SLEEP_BUTTON BIT32(5)
#define FADT_NO_FIXED_RTC BIT32(6)
#define FADT_RESET_REGISTER BIT32(10)

/* MADT interrupt flags */
#define ACTIVE_HIGH 1u
#define LEVEL (3u << 2)

/* Appends an integer of size bytes, little-endian. */
static void put(struct acpi_tables *t, u64 value, unsigned size)
{
    ASSERT(t->used + size <= sizeof(t->bytes));
    for (unsigned n = 0; n < size; n++)
        t->bytes[t->used++] = (u8)(value >> (8 * n));
}

static void put_bytes(struct acpi_tables *t, const void *bytes, size_t size)
{
    ASSERT(size <= sizeof(t->bytes) - t->used);
    memcpy(t->bytes + t->used, bytes, size);
    t->used += (u32)size;
}

static void put_at(u8 *to, u64 value, unsigned size)
{
    for (unsigned n = 0; n < size; n++)
        to[n] = (u8)(value >> (8 * n));
}

static u64 get_at(const u8 *from, unsigned size)
{
    u64 value = 0;
    for (unsigned n = 0; n < size; n++)
        value |= (u64)from[n] << (8 * n);
    return value;
}

static void align(struct acpi_tables *t, u32 to)
{
    while (t->used % to)
        put(t, 0, 1);
}

static void note_pointer(struct acpi_tables *t, bool in_root, u32 at, u8 size)
{
    ASSERT(t->pointers < ACPI_POINTERS_MAX);
    t->pointer[t->pointers++] = (struct acpi_pointer){in_root, at, size};
}

static void put_pointer(struct acpi_tables *t, u32 to, u8 size)
{
    note_pointer(t, false, t->used, size);
    put(t, to, size);
}

static void note_checksum(struct acpi_tables *t, struct acpi_checksum sum)
{
    ASSERT(t->checksums < ACPI_CHECKSUMS_MAX);
    t->checksum[t->checksums++] = sum;
}

/* Begins a table; its offset goes to table_end(). */
static u32 table_begin(struct acpi_tables *t, const char *signature, u8 revision)
{
    align(t, 16);
    u32 start = t->used;
    put_bytes(t, signature, 4);
    put(t, 0, 4);
    put(t, revision, 1);
    put(t, 0, 1);
    put_bytes(t, "TSTUDO", 6);
    put_bytes(t, "TESTUDO ", 8);
    put(t, 1, 4);
    put_bytes(t, "TSTD", 4);
    put(t, 1, 4);
    return start;
}

static void table_end(struct acpi_tables *t, u32 start)
{
    u32 size = t->used - start;
    put_at(t->bytes + start + 4, size, 4);
    note_checksum(t, (struct acpi_checksum){false, start + 9, start, size});
}

static void put_address(struct acpi_tables *t, u8 space, u8 bits, u64 address)
{
    put(t, address ? space : 0, 1);
    put(t, address ? bits : 0, 1);
    put(t, 0, 2); /* bit offset, access size */
    put(t, address, 8);
}

static u32 build_facs(struct acpi_tables *t)
{
    align(t, 64);
    u32 start = t->used;
    put_bytes(t, "FACS", 4);
    put(t, 64, 4);
    put(t, 0, 8);
    put(t, 0, 8);
    put(t, 0, 8);
    put(t, 1, 1);
    while (t->used < start + 64)
        put(t, 0, 1);
    return start;
}

static u32 build_dsdt(struct acpi_tables *t)
{
    align(t, 16);
    u32 start = t->used;
    put_bytes(t, dsdt_aml_code, sizeof(dsdt_aml_code));
    t->bytes[start + 9] = 0;
    note_checksum(t, (struct acpi_checksum){false, start + 9, start, sizeof(dsdt_aml_code)});
    return start;
}

static void fadt_blocks(struct acpi_tables *t, u32 base)
{
    put(t, base + ACPI_PM_EVENT, 4);
    put(t, 0, 4);
    put(t, base + ACPI_PM_CONTROL, 4);
    put(t, 0, 4);
    put(t, 0, 4); /* PM2 control */
    put(t, base + ACPI_PM_TIMER, 4);
    put(t, base + ACPI_PM_GPE0, 4);
    put(t, 0, 4); /* GPE1 */
    put(t, 4, 1); /* lengths */
    put(t, 2, 1);
    put(t, 0, 1);
    put(t, 4, 1);
    put(t, 4, 1);
    put(t, 0, 1);
    put(t, 0, 1); /* GPE1 base */
    put(t, 0, 1); /* no C-state notification */
}

static void fadt_extended_blocks(struct acpi_tables *t, u32 base)
{
    put_address(t, SPACE_IO, 32, base + ACPI_PM_EVENT);
    put_address(t, SPACE_IO, 0, 0);
    put_address(t, SPACE_IO, 16, base + ACPI_PM_CONTROL);
    put_address(t, SPACE_IO, 0, 0);
    put_address(t, SPACE_IO, 0, 0);
    put_address(t, SPACE_IO, 32, base + ACPI_PM_TIMER);
    put_address(t, SPACE_IO, 32, base + ACPI_PM_GPE0);
    put_address(t, SPACE_IO, 0, 0);
}

static u32 build_fadt(struct acpi_tables *t, const struct acpi_machine *m, u32 facs, u32 dsdt)
{
    u32 start = table_begin(t, "FACP", 4);
    put_pointer(t, facs, 4);
    put_pointer(t, dsdt, 4);
    put(t, 0, 1);
    put(t, 1, 1); /* profile: desktop */
    put(t, ACPI_SCI, 2);
    put(t, APM_CONTROL, 4);
    put(t, ACPI_ENABLE, 1);
    put(t, ACPI_DISABLE, 1);
    put(t, 0, 2); /* no S4BIOS, no P-states */
    fadt_blocks(t, m->pm_base);
    put(t, 0xffff, 2); /* no C2, no C3 */
    put(t, 0xffff, 2);
    put(t, 0, 4); /* flush size and stride: WBINVD works */
    put(t, 0, 4); /* duty cycle; no day or month alarm */
    put(t, CMOS_CENTURY, 1);
    put(t, BOOT_LEGACY_DEVICES | BOOT_8042 | (m->vga ? 0 : BOOT_NO_VGA), 2);
    put(t, 0, 1);
    put(t,
        FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLEEP_BUTTON | FADT_NO_FIXED_RTC | FADT_RESET_REGISTER,
        4);
    put_address(t, SPACE_IO, 8, RESET_PORT);
    put(t, RESET_VALUE, 1);
    put(t, 0, 3);
    put(t, 0, 8); /* the FACS has its 32-bit address: never both */
    put_pointer(t, dsdt, 8);
    fadt_extended_blocks(t, m->pm_base);
    ASSERT(t->used - start == 244);
    table_end(t, start);
    return start;
}

static void madt_override(struct acpi_tables *t, u8 irq, u32 gsi, u16 flags)
{
    put(t, 2, 1);
    put(t, 10, 1);
    put(t, 0, 1); /* ISA */
    put(t, irq, 1);
    put(t, gsi, 4);
    put(t, flags, 2);
}

static u32 build_madt(struct acpi_tables *t, unsigned cpus)
{
    u32 start = table_begin(t, "APIC", 4);
    put(t, LAPIC_DEFAULT_BASE, 4);
    put(t, 1, 4); /* there is an 8259 pair */
    for (unsigned n = 0; n < cpus; n++) {
        put(t, 0, 1);
        put(t, 8, 1);
        put(t, n, 1);
        put(t, n, 1);
        put(t, 1, 4);
    }
    put(t, 1, 1);
    put(t, 12, 1);
    put(t, 0, 2); /* identity */
    put(t, IOAPIC_BASE, 4);
    put(t, 0, 4); /* first interrupt */
    madt_override(t, 0, 2, 0);
    madt_override(t, ACPI_SCI, ACPI_SCI, ACTIVE_HIGH | LEVEL);
    put(t, 4, 1); /* NMI: LINT1 of all processors */
    put(t, 6, 1);
    put(t, 0xff, 1);
    put(t, 0, 2);
    put(t, 1, 1);
    table_end(t, start);
    return start;
}

static u32 build_hpet(struct acpi_tables *t)
{
    u32 start = table_begin(t, "HPET", 1);
    put(t, HPET_ID, 4);
    put_address(t, SPACE_MEMORY, 64, HPET_BASE);
    put(t, 0, 1);      /* the first one */
    put(t, 0x0080, 2); /* least period in ticks */
    put(t, 0, 1);
    table_end(t, start);
    return start;
}

/* AML of Device (C<number>) { Name (_HID, "ACPI0007") Name (_UID, number) }. */
static void processor_object(struct acpi_tables *t, unsigned number)
{
    static const char digits[] = "0123456789ABCDEF";
    char name[4] = {'C', digits[(number >> 8) & 15], digits[(number >> 4) & 15],
                    digits[number & 15]};
    put_bytes(t, "\x5b\x82", 2);
    put(t, 1 + 4 + 15 + 7, 1); /* package length, itself included */
    put_bytes(t, name, 4);
    put_bytes(t,
              "\x08_HID\x0d"
              "ACPI0007",
              15); /* with the final zero */
    put_bytes(t, "\x08_UID\x0a", 6);
    put(t, number, 1);
}

/* AML of Name (<name>, value) with an integer of 1, 2, 4 or 8 bytes. */
static void name_object(struct acpi_tables *t, const char *name, u64 value, unsigned size)
{
    put(t, 0x08, 1);
    put_bytes(t, name, 4);
    put(t, size == 1 ? 0x0a : size == 2 ? 0x0b : size == 4 ? 0x0c : 0x0e, 1);
    put(t, value, size);
}

/* AML in the scope \_SB: what the DSDT leaves open, and the processors. */
static u32 build_ssdt(struct acpi_tables *t, const struct acpi_machine *m)
{
    u32 start = table_begin(t, "SSDT", 2);
    u32 length = 3 + 5 + 8 + 10 + 14 + 14 + 7 + m->cpus * 29; /* of the scope behind its opcode */
    put(t, 0x10, 1);
    put(t, 0x80 | (length & 15), 1); /* package length in three bytes */
    put(t, (length >> 4) & 0xff, 1);
    put(t, length >> 12, 1);
    put_bytes(t, "\\_SB_", 5);
    name_object(t, "PMBS", m->pm_base, 2);
    name_object(t, "PCIB", m->pci_start, 4);
    name_object(t, "P64B", m->pci64_start, 8);
    name_object(t, "P64L", m->pci64_size, 8);
    name_object(t, "SERL", m->serial, 1);
    for (unsigned n = 0; n < m->cpus; n++)
        processor_object(t, n);
    ASSERT(t->used - start == HEADER_SIZE + 1 + length);
    table_end(t, start);
    return start;
}

/* RSDT or XSDT, whose pointers have 4 or 8 bytes. */
static u32 build_root(struct acpi_tables *t, u8 size, const u32 *tables, unsigned count)
{
    u32 start = table_begin(t, size == 4 ? "RSDT" : "XSDT", 1);
    for (unsigned n = 0; n < count; n++)
        put_pointer(t, tables[n], size);
    table_end(t, start);
    return start;
}

static void build_rsdp(struct acpi_tables *t, u32 rsdt, u32 xsdt)
{
    memcpy(t->root, "RSD PTR \0TSTUDO\2", 16);
    put_at(t->root + 16, rsdt, 4);
    put_at(t->root + 20, ACPI_RSDP_SIZE, 4);
    put_at(t->root + 24, xsdt, 8);
    note_pointer(t, true, 16, 4);
    note_pointer(t, true, 24, 8);
    note_checksum(t, (struct acpi_checksum){true, 8, 0, 20});
    note_checksum(t, (struct acpi_checksum){true, 32, 0, ACPI_RSDP_SIZE});
}

struct acpi_tables *acpi_build(const struct acpi_machine *machine)
{
    struct acpi_tables *t = xalloc(sizeof(*t));
    u32 tables[4];
    ASSERT(machine->cpus <= ACPI_MAX_CPUS);
    u32 facs = build_facs(t);
    tables[0] = build_fadt(t, machine, facs, build_dsdt(t));
    tables[1] = build_madt(t, machine->cpus);
    tables[2] = build_hpet(t);
    tables[3] = build_ssdt(t, machine);
    u32 rsdt = build_root(t, 4, tables, ARRAY_SIZE(tables));
    u32 xsdt = build_root(t, 8, tables, ARRAY_SIZE(tables));
    build_rsdp(t, rsdt, xsdt);
    return t;
}

void acpi_relocate(struct acpi_tables *t, u64 address)
{
    for (u32 n = 0; n < t->pointers; n++) {
        const struct acpi_pointer *p = &t->pointer[n];
        u8 *at = (p->in_root ? t->root : t->bytes) + p->at;
        put_at(at, get_at(at, p->size) + address, p->size);
    }
    for (u32 n = 0; n < t->checksums; n++) {
        const struct acpi_checksum *c = &t->checksum[n];
        u8 *base = c->in_root ? t->root : t->bytes, sum = 0;
        for (u32 k = 0; k < c->size; k++)
            sum = (u8)(sum + base[c->start + k]);
        base[c->at] = (u8)-sum;
    }
}
