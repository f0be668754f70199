/* SPDX-License-Identifier: MIT */
#include "devices/acpi.h"

#include <string.h>

#include "devices/e820.h"
#include "tests/suite.h"

static struct ram ram;
static u64 rsdp;

static void install(unsigned cpus)
{
    struct error err = {{0}};
    ck_assert(ram_init(&ram, 2 * MIB, &err));
    ck_assert_msg(acpi_install(&ram, cpus, &rsdp, &err), "%s", err.text);
}

static u32 get32(u64 hpa)
{
    u32 value;
    ck_assert(ram_read(&ram, hpa, &value, 4));
    return value;
}

static u8 sum(u64 hpa, u32 size)
{
    u8 total = 0;
    for (u32 n = 0; n < size; n++)
        total = (u8)(total + *ram_host(&ram, hpa + n));
    return total;
}

static bool is(u64 hpa, const char *signature)
{
    return !memcmp(ram_host(&ram, hpa), signature, strlen(signature));
}

/* The table with this signature by way of the RSDT, checked; 0 if there is none. */
static u64 find(const char *signature)
{
    u64 rsdt = get32(rsdp + 16);
    for (u32 n = 36; n < get32(rsdt + 4); n += 4) {
        u64 table = get32(rsdt + n);
        ck_assert_uint_eq(sum(table, get32(table + 4)), 0);
        if (is(table, signature))
            return table;
    }
    return 0;
}

START_TEST(root_pointers_lead_to_all_tables)
{
    install(1);
    ck_assert_uint_ge(rsdp, 0xe0000);
    ck_assert_uint_lt(rsdp, MIB);
    ck_assert_uint_eq(rsdp % 16, 0);
    ck_assert(is(rsdp, "RSD PTR "));
    ck_assert_uint_eq(sum(rsdp, 20), 0);
    ck_assert_uint_eq(sum(rsdp, 36), 0);
    u64 rsdt = get32(rsdp + 16), xsdt = get32(rsdp + 24);
    ck_assert(is(rsdt, "RSDT"));
    ck_assert(is(xsdt, "XSDT"));
    ck_assert_uint_eq(sum(xsdt, get32(xsdt + 4)), 0);
    ck_assert_uint_eq(get32(xsdt + 4) - 36, 2 * (get32(rsdt + 4) - 36));
    for (u32 n = 0; n < 4; n++)
        ck_assert_uint_eq(get32(rsdt + 36 + 4 * n), get32(xsdt + 36 + 8 * n));
    ck_assert(find("HPET") && find("APIC") && find("SSDT"));
    ram_fini(&ram);
}
END_TEST

START_TEST(fixed_description)
{
    install(1);
    u64 fadt = find("FACP");
    ck_assert(fadt != 0);
    ck_assert_uint_eq(get32(fadt + 4), 244);
    ck_assert(is(get32(fadt + 36), "FACS"));
    ck_assert_uint_eq(get32(fadt + 36) % 64, 0);
    u64 dsdt = get32(fadt + 40);
    ck_assert(is(dsdt, "DSDT"));
    ck_assert_uint_eq(sum(dsdt, get32(dsdt + 4)), 0);
    ck_assert_uint_eq(get32(fadt + 132), 0);
    ck_assert_uint_eq(get32(fadt + 140), get32(fadt + 40));
    ck_assert_uint_eq(get32(fadt + 56), 0x600);
    ck_assert_uint_eq(get32(fadt + 64), 0x604);
    ck_assert_uint_eq(get32(fadt + 76), 0x608);
    ck_assert_uint_eq(get32(fadt + 80), 0x620);
    ck_assert_uint_eq(get32(fadt + 112) & BIT32(20), 0); /* not hardware-reduced */
    ck_assert_uint_eq(get32(fadt + 116), 0x0801);        /* reset register: 8-bit port */
    ck_assert_uint_eq(get32(fadt + 120), 0xcf9);
    ck_assert_uint_eq(*ram_host(&ram, fadt + 128), 6);
    ram_fini(&ram);
}
END_TEST

START_TEST(every_processor_is_listed)
{
    static const unsigned counts[] = {1, 2, 64, 255};
    for (size_t k = 0; k < ARRAY_SIZE(counts); k++) {
        install(counts[k]);
        u64 madt = find("APIC");
        unsigned seen = 0, ioapics = 0;
        u32 n = 44;
        while (n < get32(madt + 4)) {
            const u8 *entry = ram_host(&ram, madt + n);
            if (entry[0] == 0) {
                ck_assert_uint_eq(entry[3], seen);
                seen++;
            }
            ioapics += entry[0] == 1;
            n += entry[1];
        }
        ck_assert_uint_eq(n, get32(madt + 4));
        ck_assert_uint_eq(seen, counts[k]);
        ck_assert_uint_eq(ioapics, 1);
        ck_assert_uint_eq(get32(find("SSDT") + 4), 36 + 9 + 29 * counts[k]);
        ram_fini(&ram);
    }
}
END_TEST

START_TEST(too_many_processors)
{
    struct error err = {{0}};
    ck_assert(ram_init(&ram, MIB, NULL));
    ck_assert(!acpi_install(&ram, 256, &rsdp, &err));
    ck_assert_str_eq(err.text, "256 processors: at most 255 can be described");
    ram_fini(&ram);
}
END_TEST

START_TEST(memory_map)
{
    struct e820_range map[E820_MAX];
    struct ram model = {.size = 6 * GIB, .low = 3 * GIB};
    unsigned count = e820_build(&model, map);
    u64 usable = 0;
    ck_assert_uint_le(count, E820_MAX);
    for (unsigned n = 0; n < count; n++) {
        if (n)
            ck_assert_uint_ge(map[n].base, map[n - 1].base + map[n - 1].size);
        if (map[n].type == E820_RAM)
            usable += map[n].size;
    }
    ck_assert_uint_eq(map[count - 1].base, 4 * GIB);
    ck_assert_uint_eq(map[count - 1].size, 3 * GIB);
    ck_assert_uint_eq(usable, 6 * GIB - MIB + E820_LOW_END);
    model = (struct ram){.size = MIB, .low = MIB};
    ck_assert_uint_eq(e820_build(&model, map), 3);
}
END_TEST

SUITE_MAIN("acpi", &root_pointers_lead_to_all_tables, &fixed_description,
           &every_processor_is_listed, &too_many_processors, &memory_map)
