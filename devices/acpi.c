/* SPDX-License-Identifier: MIT */
/* From the ACPI specification, "ACPI Software Programming Model". */
#include "devices/acpi.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cpu/lapic.h"
#include "devices/acpi_pm.h"
#include "devices/dsdt.hex"
#include "devices/hpet.h"
#include "devices/ioapic.h"

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
#define FADT_TIMER_32BIT BIT32(8)
#define FADT_RESET_REGISTER BIT32(10)

/* MADT interrupt flags */
#define ACTIVE_HIGH 1u
#define LEVEL (3u << 2)

/* Tables are built here and then copied to guest RAM. */
struct area {
    u8 bytes[ACPI_AREA_SIZE];
    u32 used;
};

/* Appends an integer of size bytes, little-endian. */
static void put(struct area *area, u64 value, unsigned size)
{
    ASSERT(area->used + size <= sizeof(area->bytes));
    for (unsigned n = 0; n < size; n++)
        area->bytes[area->used++] = (u8)(value >> (8 * n));
}

static void put_bytes(struct area *area, const void *bytes, size_t size)
{
    ASSERT(size <= sizeof(area->bytes) - area->used);
    memcpy(area->bytes + area->used, bytes, size);
    area->used += (u32)size;
}

static void put_at(struct area *area, u32 offset, u64 value, unsigned size)
{
    u32 used = area->used;
    area->used = offset;
    put(area, value, size);
    area->used = used;
}

static void align(struct area *area, u32 to)
{
    while (area->used % to)
        put(area, 0, 1);
}

/* Makes the bytes from `from` on add up to zero with the byte at `at`. */
static void checksum(struct area *area, u32 from, u32 to, u32 at)
{
    u8 sum = 0;
    area->bytes[at] = 0;
    for (u32 n = from; n < to; n++)
        sum = (u8)(sum + area->bytes[n]);
    area->bytes[at] = (u8)-sum;
}

static u64 address_of(u32 offset)
{
    return ACPI_AREA + offset;
}

/* Begins a table; its offset goes to table_end(). */
static u32 table_begin(struct area *area, const char *signature, u8 revision)
{
    align(area, 16);
    u32 start = area->used;
    put_bytes(area, signature, 4);
    put(area, 0, 4);
    put(area, revision, 1);
    put(area, 0, 1);
    put_bytes(area, "TSTUDO", 6);
    put_bytes(area, "TESTUDO ", 8);
    put(area, 1, 4);
    put_bytes(area, "TSTD", 4);
    put(area, 1, 4);
    return start;
}

static void table_end(struct area *area, u32 start)
{
    put_at(area, start + 4, area->used - start, 4);
    checksum(area, start, area->used, start + 9);
}

static void put_address(struct area *area, u8 space, u8 bits, u64 address)
{
    put(area, address ? space : 0, 1);
    put(area, address ? bits : 0, 1);
    put(area, 0, 2); /* bit offset, access size */
    put(area, address, 8);
}

static u32 build_facs(struct area *area)
{
    align(area, 64);
    u32 start = area->used;
    put_bytes(area, "FACS", 4);
    put(area, 64, 4);
    put(area, 0, 8);
    put(area, 0, 8);
    put(area, 0, 8);
    put(area, 1, 1);
    while (area->used < start + 64)
        put(area, 0, 1);
    return start;
}

static u32 build_dsdt(struct area *area)
{
    align(area, 16);
    u32 start = area->used;
    put_bytes(area, dsdt_aml_code, sizeof(dsdt_aml_code));
    return start;
}

static void fadt_blocks(struct area *area)
{
    put(area, ACPI_PM_EVENT, 4);
    put(area, 0, 4);
    put(area, ACPI_PM_CONTROL, 4);
    put(area, 0, 4);
    put(area, 0, 4); /* PM2 control */
    put(area, ACPI_PM_TIMER, 4);
    put(area, ACPI_PM_GPE0, 4);
    put(area, 0, 4); /* GPE1 */
    put(area, 4, 1); /* lengths */
    put(area, 2, 1);
    put(area, 0, 1);
    put(area, 4, 1);
    put(area, 4, 1);
    put(area, 0, 1);
    put(area, 0, 1); /* GPE1 base */
    put(area, 0, 1); /* no C-state notification */
}

static void fadt_extended_blocks(struct area *area)
{
    put_address(area, SPACE_IO, 32, ACPI_PM_EVENT);
    put_address(area, SPACE_IO, 0, 0);
    put_address(area, SPACE_IO, 16, ACPI_PM_CONTROL);
    put_address(area, SPACE_IO, 0, 0);
    put_address(area, SPACE_IO, 0, 0);
    put_address(area, SPACE_IO, 32, ACPI_PM_TIMER);
    put_address(area, SPACE_IO, 32, ACPI_PM_GPE0);
    put_address(area, SPACE_IO, 0, 0);
}

static u32 build_fadt(struct area *area, u32 facs, u32 dsdt)
{
    u32 start = table_begin(area, "FACP", 4);
    put(area, address_of(facs), 4);
    put(area, address_of(dsdt), 4);
    put(area, 0, 1);
    put(area, 1, 1); /* profile: desktop */
    put(area, ACPI_SCI, 2);
    put(area, ACPI_SMI_COMMAND, 4);
    put(area, ACPI_ENABLE, 1);
    put(area, ACPI_DISABLE, 1);
    put(area, 0, 2); /* no S4BIOS, no P-states */
    fadt_blocks(area);
    put(area, 0xffff, 2); /* no C2, no C3 */
    put(area, 0xffff, 2);
    put(area, 0, 4); /* flush size and stride: WBINVD works */
    put(area, 0, 4); /* duty cycle; no day or month alarm */
    put(area, CMOS_CENTURY, 1);
    put(area, BOOT_LEGACY_DEVICES | BOOT_8042 | BOOT_NO_VGA, 2);
    put(area, 0, 1);
    put(area,
        FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLEEP_BUTTON | FADT_NO_FIXED_RTC | FADT_TIMER_32BIT |
            FADT_RESET_REGISTER,
        4);
    put_address(area, SPACE_IO, 8, RESET_PORT);
    put(area, RESET_VALUE, 1);
    put(area, 0, 3);
    put(area, 0, 8); /* the FACS has its 32-bit address: never both */
    put(area, address_of(dsdt), 8);
    fadt_extended_blocks(area);
    ASSERT(area->used - start == 244);
    table_end(area, start);
    return start;
}

static void madt_override(struct area *area, u8 irq, u32 gsi, u16 flags)
{
    put(area, 2, 1);
    put(area, 10, 1);
    put(area, 0, 1); /* ISA */
    put(area, irq, 1);
    put(area, gsi, 4);
    put(area, flags, 2);
}

static u32 build_madt(struct area *area, unsigned cpus)
{
    u32 start = table_begin(area, "APIC", 4);
    put(area, LAPIC_DEFAULT_BASE, 4);
    put(area, 1, 4); /* there is an 8259 pair */
    for (unsigned n = 0; n < cpus; n++) {
        put(area, 0, 1);
        put(area, 8, 1);
        put(area, n, 1);
        put(area, n, 1);
        put(area, 1, 4);
    }
    put(area, 1, 1);
    put(area, 12, 1);
    put(area, 0, 2); /* identity */
    put(area, IOAPIC_BASE, 4);
    put(area, 0, 4); /* first interrupt */
    madt_override(area, 0, 2, 0);
    madt_override(area, ACPI_SCI, ACPI_SCI, ACTIVE_HIGH | LEVEL);
    put(area, 4, 1); /* NMI: LINT1 of all processors */
    put(area, 6, 1);
    put(area, 0xff, 1);
    put(area, 0, 2);
    put(area, 1, 1);
    table_end(area, start);
    return start;
}

static u32 build_hpet(struct area *area)
{
    u32 start = table_begin(area, "HPET", 1);
    put(area, HPET_ID, 4);
    put_address(area, SPACE_MEMORY, 64, HPET_BASE);
    put(area, 0, 1);      /* the first one */
    put(area, 0x0080, 2); /* least period in ticks */
    put(area, 0, 1);
    table_end(area, start);
    return start;
}

/* AML of Device (C<number>) { Name (_HID, "ACPI0007") Name (_UID, number) }. */
static void processor_object(struct area *area, unsigned number)
{
    static const char digits[] = "0123456789ABCDEF";
    char name[4] = {'C', digits[(number >> 8) & 15], digits[(number >> 4) & 15],
                    digits[number & 15]};
    put_bytes(area, "\x5b\x82", 2);
    put(area, 1 + 4 + 15 + 7, 1); /* package length, itself included */
    put_bytes(area, name, 4);
    put_bytes(area,
              "\x08_HID\x0d"
              "ACPI0007",
              15); /* with the final zero */
    put_bytes(area, "\x08_UID\x0a", 6);
    put(area, number, 1);
}

/* The processors, as AML in the scope \_SB. */
static u32 build_ssdt(struct area *area, unsigned cpus)
{
    u32 start = table_begin(area, "SSDT", 2);
    u32 length = 3 + 5 + cpus * 29; /* of the scope behind its opcode */
    put(area, 0x10, 1);
    put(area, 0x80 | (length & 15), 1); /* package length in three bytes */
    put(area, (length >> 4) & 0xff, 1);
    put(area, length >> 12, 1);
    put_bytes(area, "\\_SB_", 5);
    for (unsigned n = 0; n < cpus; n++)
        processor_object(area, n);
    ASSERT(area->used - start == HEADER_SIZE + 1 + length);
    table_end(area, start);
    return start;
}

/* RSDT or XSDT, whose pointers have 4 or 8 bytes. */
static u32 build_root(struct area *area, unsigned size, const u32 *tables, unsigned count)
{
    u32 start = table_begin(area, size == 4 ? "RSDT" : "XSDT", 1);
    for (unsigned n = 0; n < count; n++)
        put(area, address_of(tables[n]), size);
    table_end(area, start);
    return start;
}

static void build_rsdp(struct area *area, u32 rsdt, u32 xsdt)
{
    u32 end = area->used;
    area->used = 0;
    put_bytes(area, "RSD PTR ", 8);
    put(area, 0, 1);
    put_bytes(area, "TSTUDO", 6);
    put(area, 2, 1);
    put(area, address_of(rsdt), 4);
    put(area, 36, 4);
    put(area, address_of(xsdt), 8);
    put(area, 0, 4);
    ASSERT(area->used == 36);
    checksum(area, 0, 20, 8);
    checksum(area, 0, 36, 32);
    area->used = end;
}

bool acpi_install(struct ram *ram, unsigned cpus, u64 *rsdp_address, struct error *err)
{
    if (cpus > ACPI_MAX_CPUS)
        return error_set(err, "%u processors: at most %d can be described", cpus, ACPI_MAX_CPUS);
    struct area *area = xalloc(sizeof(*area));
    u32 tables[4];
    area->used = 64; /* the root pointer's place */
    u32 facs = build_facs(area);
    tables[0] = build_fadt(area, facs, build_dsdt(area));
    tables[1] = build_madt(area, cpus);
    tables[2] = build_hpet(area);
    tables[3] = build_ssdt(area, cpus);
    u32 rsdt = build_root(area, 4, tables, ARRAY_SIZE(tables));
    u32 xsdt = build_root(area, 8, tables, ARRAY_SIZE(tables));
    build_rsdp(area, rsdt, xsdt);
    bool ok = ram_write(ram, ACPI_AREA, area->bytes, area->used);
    free(area);
    if (!ok)
        return error_set(err, "no memory for the ACPI tables at %#llx",
                         (unsigned long long)ACPI_AREA);
    *rsdp_address = ACPI_AREA;
    return true;
}
