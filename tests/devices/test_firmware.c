/* SPDX-License-Identifier: MIT */
/* Firmware's side of the table loader, and what is there without firmware. */
#include "devices/firmware.h"

#include <string.h>

#include "devices/e820.h"
#include "tests/devices/pci_harness.h"

#define FILES 8

static struct i440fx *chipset;
static struct firmware firmware;

/* A file as firmware sees it, and the memory that it chose for it. */
struct file {
    char name[56];
    u8 bytes[0x8000];
    u32 size;
    u64 address;
};

static struct file files[FILES];
static unsigned file_count;

static void begin(void)
{
    firmware.pm = harness_make_pci(&piix4_pm_class, NULL, &chipset);
    firmware.fw = fw_cfg_class.create(&h.env, NULL, NULL);
    firmware.env = &h.env;
    firmware.serial = 1;
    firmware.sercon = 0x3f8;
    file_count = 0;
    i440fx_shadow_ram(chipset);
    firmware_publish(&firmware);
}

static void end(void)
{
    fw_cfg_class.free(firmware.fw);
    piix4_pm_class.free(firmware.pm);
    harness_end(&i440fx_class, chipset);
}

static u64 next_big(unsigned bytes)
{
    u64 value = 0;
    while (bytes--)
        value = value << 8 | in8(0x511);
    return value;
}

/* Reads a file by the directory. */
static struct file *read_file(const char *name)
{
    struct file *file = &files[file_count++];
    ck_assert_uint_le(file_count, FILES);
    bus_io_write(&h.bus, 0x510, 2, 0x19);
    for (u64 left = next_big(4); left; left--) {
        file->size = (u32)next_big(4);
        u16 key = (u16)(next_big(4) >> 16);
        for (unsigned n = 0; n < sizeof(file->name); n++)
            file->name[n] = (char)in8(0x511);
        if (strcmp(file->name, name))
            continue;
        ck_assert_uint_le(file->size, sizeof(file->bytes));
        bus_io_write(&h.bus, 0x510, 2, key);
        for (u32 n = 0; n < file->size; n++)
            file->bytes[n] = in8(0x511);
        return file;
    }
    ck_abort_msg("no file %s", name);
}

static struct file *loaded(const u8 *name)
{
    for (unsigned n = 0; n < file_count; n++)
        if (!strcmp(files[n].name, (const char *)name))
            return &files[n];
    ck_abort_msg("%s was not allocated", name);
}

static u64 get(const u8 *from, unsigned size)
{
    u64 value = 0;
    memcpy(&value, from, size);
    return value;
}

/* Files go where firmware_install() puts them, so that results can be compared. */
static void run_command(const u8 *c)
{
    struct file *file, *from;
    u64 value;
    switch (get(c, 4)) {
    case 1:
        file = read_file((const char *)c + 4);
        ck_assert(c[64] == 1 || c[64] == 2);
        file->address = c[64] == 2 ? FIRMWARE_ACPI : FIRMWARE_ACPI + 64;
        break;
    case 2:
        file = loaded(c + 4);
        from = loaded(c + 60);
        ck_assert_uint_le(get(c + 116, 4) + c[120], file->size);
        value = get(file->bytes + get(c + 116, 4), c[120]);
        ck_assert_uint_lt(value, from->size);
        value += from->address;
        memcpy(file->bytes + get(c + 116, 4), &value, c[120]);
        break;
    case 3:
        file = loaded(c + 4);
        ck_assert_uint_le(get(c + 64, 4) + get(c + 68, 4), file->size);
        for (u64 n = 0; n < get(c + 68, 4); n++)
            value = n ? value + file->bytes[get(c + 64, 4) + n] : file->bytes[get(c + 64, 4)];
        file->bytes[get(c + 60, 4)] = (u8)(file->bytes[get(c + 60, 4)] - value);
        break;
    default:
        ck_abort_msg("command %llu", (unsigned long long)get(c, 4));
    }
}

START_TEST(loaded_tables_equal_installed_ones)
{
    begin();
    u64 rsdp;
    /* Firmware chooses where the registers are before it reads the tables. */
    bus_io_write(&h.bus, 0xcf8, 4, 0x80000b40);
    bus_io_write(&h.bus, 0xcfc, 4, 0xb000);
    bus_io_write(&h.bus, 0xcf8, 4, 0x80000b80);
    bus_io_write(&h.bus, 0xcfc, 1, 1);
    const struct file *script = read_file("etc/table-loader");
    ck_assert_uint_eq(script->size % 128, 0);
    for (u32 n = 0; n < script->size; n += 128)
        run_command(script->bytes + n);
    ck_assert(firmware_install(&firmware, &rsdp, NULL));
    ck_assert_uint_eq(rsdp, FIRMWARE_ACPI);
    const struct file *root = loaded((const u8 *)"etc/acpi/rsdp");
    const struct file *tables = loaded((const u8 *)"etc/acpi/tables");
    ck_assert(!memcmp(root->bytes, h.bus.ram.host + FIRMWARE_ACPI, root->size));
    ck_assert(!memcmp(tables->bytes, h.bus.ram.host + FIRMWARE_ACPI + 64, tables->size));
    end();
}
END_TEST

START_TEST(numbers_and_files)
{
    begin();
    const struct file *map = read_file("etc/e820");
    ck_assert_uint_eq(map->size, 20);
    ck_assert_uint_eq(get(map->bytes + 8, 8), MIB);
    ck_assert_uint_eq(get(map->bytes + 16, 4), 1);
    ck_assert_uint_eq(get(read_file("etc/sercon-port")->bytes, 2), 0x3f8);
    ck_assert_uint_eq(read_file("etc/system-states")->bytes[5], 0x80);
    ck_assert_uint_eq(read_file("etc/smbios/smbios-anchor")->size, 31);
    ck_assert_uint_gt(read_file("etc/smbios/smbios-tables")->size, 100);
    bus_io_write(&h.bus, 0x510, 2, FW_CFG_RAM_SIZE);
    ck_assert_uint_eq(next_big(8), UINT64_C(0x0000100000000000)); /* 1 MiB, little-endian */
    bus_io_write(&h.bus, 0x510, 2, FW_CFG_IRQ0_OVERRIDE);
    ck_assert_uint_eq(next_big(1), 1);
    end();
}
END_TEST

START_TEST(smbios_is_where_systems_scan)
{
    begin();
    u64 rsdp;
    ck_assert(firmware_install(&firmware, &rsdp, NULL));
    const u8 *anchor = h.bus.ram.host + FIRMWARE_SMBIOS;
    ck_assert(!memcmp(anchor, "_SM_", 4));
    ck_assert_uint_eq(get(anchor + 0x18, 4), FIRMWARE_SMBIOS + 32);
    ck_assert_uint_eq(h.bus.ram.host[FIRMWARE_SMBIOS + 32], 0);
    ck_assert_uint_eq(h.bus.ram.host[FIRMWARE_SMBIOS + 33], 24);
    end();
}
END_TEST

START_TEST(too_many_processors)
{
    begin();
    struct error err = {{0}};
    u64 rsdp;
    h.group.count = 256;
    ck_assert(!firmware_install(&firmware, &rsdp, &err));
    ck_assert_str_eq(err.text, "256 processors: at most 255 can be described");
    h.group.count = 0;
    end();
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

SUITE_MAIN("firmware", &loaded_tables_equal_installed_ones, &numbers_and_files,
           &smbios_is_where_systems_scan, &too_many_processors, &memory_map)
