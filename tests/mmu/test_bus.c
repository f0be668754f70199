/* SPDX-License-Identifier: MIT */
#include "mmu/bus.h"

#include <stdio.h>
#include <string.h>

#include "tests/suite.h"

static struct bus bus;
static char calls[512];

/* A device whose byte at offset n reads as its letter plus n. */
static u64 device_read(void *opaque, u64 offset, unsigned size)
{
    size_t used = strlen(calls);
    const char *name = opaque;
    snprintf(calls + used, sizeof(calls) - used, "%s%llx/%u ", name, (unsigned long long)offset,
             size);
    u64 value = UINT64_C(0xdead) << 48; /* bits above the size are the device's to leave */
    for (unsigned k = size; k--;)
        value = value << 8 | (u8)((u8)name[0] + offset + k);
    return value;
}

static void device_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    size_t used = strlen(calls);
    snprintf(calls + used, sizeof(calls) - used, "%s%llx/%u=%llx ", (const char *)opaque,
             (unsigned long long)offset, size, (unsigned long long)value);
}

static const struct bus_ops wide = {device_read, device_write, 0};
static const struct bus_ops narrow = {device_read, device_write, 2};
static char name_a[] = "A", name_b[] = "B", name_c[] = "C";

static void set_up(void)
{
    ck_assert(bus_init(&bus, MIB, NULL));
    struct bus_region b = {UINT64_C(0xfe000100), 0x10, &narrow, name_b, "b"};
    struct bus_region a = {UINT64_C(0xfe000000), 0x100, &wide, name_a, "a"};
    struct bus_region c = {UINT64_C(0xfe000200), 3, &wide, name_c, "c"};
    bus_map_mmio(&bus, &b);
    bus_map_mmio(&bus, &a);
    bus_map_mmio(&bus, &c);
    b.base = 0x70;
    a.base = 0xff00;
    c.base = 0x60;
    bus_map_io(&bus, &a);
    bus_map_io(&bus, &b);
    bus_map_io(&bus, &c);
}

static void expect_calls(const char *expected)
{
    ck_assert_str_eq(calls, expected);
    calls[0] = 0;
}

START_TEST(reads_find_their_region)
{
    set_up();
    ck_assert_uint_eq(bus_read(&bus, 0xfe000008, 8), UINT64_C(0x504f4e4d4c4b4a49));
    expect_calls("A8/8 ");
    ck_assert_uint_eq(bus_read(&bus, 0xfe000104, 4), 0x49484746);
    expect_calls("B4/2 B6/2 ");
    ck_assert_uint_eq(bus_read(&bus, 0xfe000001, 1), 0x42);
    expect_calls("A1/1 ");
    ck_assert_uint_eq(bus_read(&bus, 0xfe000001, 3), 0x444342);
    expect_calls("A1/2 A3/1 ");
    bus_fini(&bus);
}
END_TEST

START_TEST(nobody_reads_as_ones)
{
    set_up();
    ck_assert_uint_eq(bus_read(&bus, 0xd0000000, 8), UINT64_MAX);
    ck_assert_uint_eq(bus_read(&bus, 0xd0000000, 2), 0xffff);
    ck_assert_uint_eq(bus_read(&bus, UINT64_MAX - 7, 8), UINT64_MAX);
    bus_write(&bus, 0xd0000000, 8, 1);
    expect_calls("");
    /* Across the end of a region, and from one into the next. */
    ck_assert_uint_eq(bus_read(&bus, 0xfe000200, 4), 0xff454443);
    expect_calls("C0/2 C2/1 ");
    ck_assert_uint_eq(bus_read(&bus, 0xfe0000fe, 4), 0x4342403f);
    expect_calls("Afe/2 B0/2 ");
    bus_fini(&bus);
}
END_TEST

START_TEST(writes_are_split)
{
    set_up();
    bus_write(&bus, 0xfe000010, 8, UINT64_C(0x1122334455667788));
    expect_calls("A10/8=1122334455667788 ");
    bus_write(&bus, 0xfe000100, 8, UINT64_C(0x1122334455667788));
    expect_calls("B0/2=7788 B2/2=5566 B4/2=3344 B6/2=1122 ");
    bus_write(&bus, 0xfe000101, 1, 0xabcd);
    expect_calls("B1/1=cd ");
    bus_fini(&bus);
}
END_TEST

START_TEST(ram_is_reached)
{
    set_up();
    bus_write(&bus, 0x1234, 8, UINT64_C(0x0102030405060708));
    ck_assert_uint_eq(bus_read(&bus, 0x1236, 3), 0x040506);
    ck_assert_uint_eq(bus_read(&bus, 0x1238, 8), 0x01020304);
    expect_calls("");
    bus_fini(&bus);
}
END_TEST

START_TEST(ports)
{
    set_up();
    ck_assert_uint_eq(bus_io_read(&bus, 0x70, 4), 0x45444342);
    expect_calls("B0/2 B2/2 ");
    ck_assert_uint_eq(bus_io_read(&bus, 0xffff, 4), 0xffffff40);
    expect_calls("Aff/1 ");
    bus_io_write(&bus, 0xfffe, 4, 0x11223344);
    expect_calls("Afe/2=3344 ");
    ck_assert_uint_eq(bus_io_read(&bus, 0x10000, 2), 0xffff);
    bus_unmap_io(&bus, 0x70);
    ck_assert_uint_eq(bus_io_read(&bus, 0x70, 1), 0xff);
    ck_assert_uint_eq(bus_io_read(&bus, 0x60, 1), 0x43);
    bus_unmap_mmio(&bus, 0xfe000000);
    calls[0] = 0;
    ck_assert_uint_eq(bus_read(&bus, 0xfe000000, 4), 0xffffffff);
    ck_assert_uint_eq(bus_read(&bus, 0xfe000100, 1), 0x42);
    bus_fini(&bus);
}
END_TEST

static void overlap(u64 base, u64 size)
{
    set_up();
    struct bus_region region = {base, size, &wide, name_a, "overlap"};
    bus_map_mmio(&bus, &region);
}

START_TEST(overlap_below)
{
    overlap(0xfdffff00, 0x101);
}
END_TEST
START_TEST(overlap_inside)
{
    overlap(0xfe000050, 1);
}
END_TEST
START_TEST(overlap_ram)
{
    overlap(MIB - 1, 2);
}
END_TEST
START_TEST(overlap_none)
{
    overlap(0xfe000110, 0xf0);
    bus_fini(&bus);
}
END_TEST

int main(void)
{
    const suite_test tests[] = {&reads_find_their_region,
                                &nobody_reads_as_ones,
                                &writes_are_split,
                                &ram_is_reached,
                                &ports,
                                &overlap_none};
    Suite *suite = suite_create("bus");
    TCase *tc = tcase_create("bus");
    for (size_t k = 0; k < ARRAY_SIZE(tests); k++)
        tcase_add_test(tc, *tests[k]);
    tcase_add_exit_test(tc, overlap_below, 70);
    tcase_add_exit_test(tc, overlap_inside, 70);
    tcase_add_exit_test(tc, overlap_ram, 70);
    suite_add_tcase(suite, tc);
    return suite_finish(suite);
}
