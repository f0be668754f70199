/* SPDX-License-Identifier: MIT */
#include "devices/acpi.h"

#include <stdlib.h>
#include <string.h>

#include "tests/suite.h"

#define BASE 0x12340u

static struct acpi_tables *t;

static struct acpi_machine usual(unsigned cpus)
{
    return (struct acpi_machine){.cpus = cpus, .pm_base = 0x600, .pci_start = 0xc0000000};
}

static void build(unsigned cpus)
{
    struct acpi_machine machine = usual(cpus);
    t = acpi_build(&machine);
    acpi_relocate(t, BASE);
}

static u64 get(const u8 *from, unsigned size)
{
    u64 value = 0;
    memcpy(&value, from, size);
    return value;
}

static u8 sum(const u8 *from, u64 size)
{
    u8 total = 0;
    for (u64 n = 0; n < size; n++)
        total = (u8)(total + from[n]);
    return total;
}

/* What lies at an address: a table with this signature, whole. */
static const u8 *at(u64 address, const char *signature)
{
    ck_assert_uint_ge(address, BASE);
    ck_assert_uint_lt(address - BASE, t->used);
    const u8 *table = t->bytes + (address - BASE);
    ck_assert(!memcmp(table, signature, 4));
    ck_assert_uint_le(address - BASE + get(table + 4, 4), t->used);
    return table;
}

/* The table with this signature by way of the RSDT, checked; NULL if there is none. */
static const u8 *find(const char *signature)
{
    const u8 *rsdt = at(get(t->root + 16, 4), "RSDT");
    for (u64 n = 36; n < get(rsdt + 4, 4); n += 4) {
        const u8 *table = t->bytes + (get(rsdt + n, 4) - BASE);
        ck_assert_uint_eq(sum(table, get(table + 4, 4)), 0);
        if (!memcmp(table, signature, 4))
            return table;
    }
    return NULL;
}

START_TEST(root_pointers_lead_to_all_tables)
{
    build(1);
    ck_assert(!memcmp(t->root, "RSD PTR ", 8));
    ck_assert_uint_eq(sum(t->root, 20), 0);
    ck_assert_uint_eq(sum(t->root, 36), 0);
    const u8 *rsdt = at(get(t->root + 16, 4), "RSDT");
    const u8 *xsdt = at(get(t->root + 24, 8), "XSDT");
    ck_assert_uint_eq(sum(rsdt, get(rsdt + 4, 4)), 0);
    ck_assert_uint_eq(sum(xsdt, get(xsdt + 4, 4)), 0);
    ck_assert_uint_eq(get(xsdt + 4, 4) - 36, 2 * (get(rsdt + 4, 4) - 36));
    for (u32 n = 0; n < 4; n++)
        ck_assert_uint_eq(get(rsdt + 36 + 4 * n, 4), get(xsdt + 36 + 8 * n, 8));
    ck_assert(find("HPET") && find("APIC") && find("SSDT"));
    free(t);
}
END_TEST

START_TEST(fixed_description)
{
    build(1);
    const u8 *fadt = find("FACP");
    ck_assert(fadt != NULL);
    ck_assert_uint_eq(get(fadt + 4, 4), 244);
    at(get(fadt + 36, 4), "FACS");
    ck_assert_uint_eq((get(fadt + 36, 4) - BASE) % ACPI_ALIGN, 0);
    const u8 *dsdt = at(get(fadt + 40, 4), "DSDT");
    ck_assert_uint_eq(sum(dsdt, get(dsdt + 4, 4)), 0);
    ck_assert_uint_eq(get(fadt + 132, 8), 0);
    ck_assert_uint_eq(get(fadt + 140, 8), get(fadt + 40, 4));
    ck_assert_uint_eq(get(fadt + 46, 2), 9);
    ck_assert_uint_eq(get(fadt + 48, 4), 0xb2);
    ck_assert_uint_eq(get(fadt + 56, 4), 0x600);
    ck_assert_uint_eq(get(fadt + 64, 4), 0x604);
    ck_assert_uint_eq(get(fadt + 76, 4), 0x608);
    ck_assert_uint_eq(get(fadt + 80, 4), 0x60c);
    ck_assert_uint_eq(get(fadt + 109, 2), 7); /* 8042, other legacy devices, no VGA */
    ck_assert_uint_eq(get(fadt + 112, 4) & (BIT32(20) | BIT32(8)), 0);
    ck_assert_uint_eq(get(fadt + 116, 2), 0x0801); /* reset register: 8-bit port */
    ck_assert_uint_eq(get(fadt + 120, 4), 0xcf9);
    ck_assert_uint_eq(fadt[128], 6);
    free(t);
}
END_TEST

START_TEST(every_processor_is_listed)
{
    static const unsigned counts[] = {1, 2, 64, 255};
    for (size_t k = 0; k < ARRAY_SIZE(counts); k++) {
        build(counts[k]);
        const u8 *madt = find("APIC");
        unsigned seen = 0, ioapics = 0;
        u64 n = 44;
        while (n < get(madt + 4, 4)) {
            const u8 *entry = madt + n;
            if (entry[0] == 0) {
                ck_assert_uint_eq(entry[3], seen);
                seen++;
            }
            ioapics += entry[0] == 1;
            n += entry[1];
        }
        ck_assert_uint_eq(n, get(madt + 4, 4));
        ck_assert_uint_eq(seen, counts[k]);
        ck_assert_uint_eq(ioapics, 1);
        ck_assert_uint_eq(get(find("SSDT") + 4, 4), 36 + 62 + 29 * counts[k]);
        free(t);
    }
}
END_TEST

START_TEST(sizes_do_not_depend_on_the_state)
{
    struct acpi_machine machine = usual(3);
    struct acpi_tables *one = acpi_build(&machine);
    machine = (struct acpi_machine){3, 0xb000, 0x80000000, 8 * GIB, 64 * GIB, 3, true};
    struct acpi_tables *two = acpi_build(&machine);
    ck_assert_uint_eq(one->used, two->used);
    ck_assert_uint_eq(one->pointers, two->pointers);
    ck_assert_uint_eq(one->checksums, two->checksums);
    ck_assert(memcmp(one->bytes, two->bytes, one->used) != 0);
    free(one);
    free(two);
}
END_TEST

SUITE_MAIN("acpi", &root_pointers_lead_to_all_tables, &fixed_description,
           &every_processor_is_listed, &sizes_do_not_depend_on_the_state)
