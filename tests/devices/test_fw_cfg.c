/* SPDX-License-Identifier: MIT */
#include "devices/fw_cfg.h"

#include <string.h>

#include "tests/devices/harness.h"

static struct fw_cfg *fw;

static void begin(void)
{
    fw = harness_make(&fw_cfg_class, NULL);
    fw_cfg_set_value(fw, FW_CFG_CPUS, 0x1234, 2);
    fw_cfg_set_file(fw, "etc/first", "abcdef", 6);
    fw_cfg_set_file(fw, "etc/second", "", 0);
}

static void end(void)
{
    harness_end(&fw_cfg_class, fw);
}

static void choose(u16 key)
{
    bus_io_write(&h.bus, 0x510, 2, key);
}

static u64 next(unsigned bytes)
{
    u64 value = 0;
    for (unsigned n = 0; n < bytes; n++)
        value |= (u64)in8(0x511) << (8 * n);
    return value;
}

static u64 big(const void *at, unsigned size)
{
    u64 value = 0;
    for (unsigned n = 0; n < size; n++)
        value = value << 8 | ((const u8 *)at)[n];
    return value;
}

static void put_big(u8 *to, u64 value, unsigned size)
{
    for (unsigned n = 0; n < size; n++)
        to[n] = (u8)(value >> (8 * (size - 1 - n)));
}

#define REQUEST 0x5000
#define BUFFER 0x6000

static u8 *memory(u64 at)
{
    return h.bus.ram.host + at;
}

/* Runs a request and returns its control word. */
static u32 dma(u32 control, u32 length, u64 address)
{
    u8 low[4];
    put_big(memory(REQUEST), control, 4);
    put_big(memory(REQUEST + 4), length, 4);
    put_big(memory(REQUEST + 8), address, 8);
    put_big(low, REQUEST, 4);
    u32 port;
    memcpy(&port, low, 4);
    bus_io_write(&h.bus, 0x518, 4, port);
    return (u32)big(memory(REQUEST), 4);
}

START_TEST(signature_and_features)
{
    begin();
    ck_assert_uint_eq(next(4), 0x554d4551); /* selected after reset */
    choose(0);
    ck_assert_uint_eq(next(4), 0x554d4551);
    ck_assert_uint_eq(next(2), 0);
    choose(1);
    ck_assert_uint_eq(next(4), 3);
    choose(FW_CFG_CPUS);
    ck_assert_uint_eq(next(4), 0x1234);
    choose(0x4000 | FW_CFG_CPUS);
    ck_assert_uint_eq(next(2), 0x1234);
    choose(0x3333); /* nothing */
    ck_assert_uint_eq(next(4), 0);
    choose(FW_CFG_CPUS);
    out8(0x511, 0x55);
    out8(0x510, 0);
    ck_assert_uint_eq(next(2), 0x1234);
    ck_assert_uint_eq(in8(0x510), 0xff);
    end();
}
END_TEST

START_TEST(directory_of_files)
{
    begin();
    choose(0x19);
    u8 dir[4 + 2 * 64];
    for (size_t n = 0; n < sizeof(dir); n++)
        dir[n] = in8(0x511);
    ck_assert_uint_eq(big(dir, 4), 2);
    ck_assert_uint_eq(big(dir + 4, 4), 6);
    ck_assert_uint_eq(big(dir + 8, 2), 0x20);
    ck_assert_str_eq((char *)dir + 12, "etc/first");
    ck_assert_uint_eq(big(dir + 68, 4), 0);
    ck_assert_uint_eq(big(dir + 72, 2), 0x21);
    ck_assert_str_eq((char *)dir + 76, "etc/second");
    choose(0x20);
    ck_assert_uint_eq(next(8), 0x0000666564636261);
    fw_cfg_set_file(fw, "etc/second", "0123456789", 10);
    choose(0x19);
    next(8);
    next(8);
    for (unsigned n = 16; n < 68; n++)
        next(1);
    ck_assert_uint_eq(next(4), 0x0a000000);
    end();
}
END_TEST

START_TEST(dma_reads_skips_selects)
{
    begin();
    ck_assert_uint_eq(bus_io_read(&h.bus, 0x514, 4), 0x554d4551);
    ck_assert_uint_eq(bus_io_read(&h.bus, 0x518, 4), 0x47464320);
    memset(memory(BUFFER), 0xee, 16);
    ck_assert_uint_eq(dma(0x00200000 | 8 | 2, 3, BUFFER), 0);
    ck_assert(!memcmp(memory(BUFFER), "abc\xee", 4));
    ck_assert_uint_eq(dma(4, 1, 0), 0);
    ck_assert_uint_eq(dma(2, 4, BUFFER), 0);
    ck_assert(!memcmp(memory(BUFFER), "ef\0\0\xee", 5));
    ck_assert_uint_eq(dma(0x00200000 | 8, 99, BUFFER), 0); /* selects only */
    ck_assert_uint_eq(next(1), 'a');
    ck_assert_uint_eq(dma(4, UINT32_MAX, 0), 0);
    ck_assert_uint_eq(next(1), 0);
    ck_assert_uint_eq(dma(0x77770000 | 8 | 2, 2, BUFFER), 0); /* no such item */
    ck_assert(!memcmp(memory(BUFFER), "\0\0\0\0\xee", 5));
    end();
}
END_TEST

START_TEST(dma_errors)
{
    begin();
    ck_assert_uint_eq(dma(0x00200000 | 8 | 16, 6, BUFFER), 1); /* read-only */
    ck_assert_uint_eq(dma(0x00200000 | 8 | 2, 6, MIB - 3), 1);
    ck_assert_uint_eq(dma(0x00200000 | 8 | 2, UINT32_MAX, 0x80000), 1);
    ck_assert_uint_eq(dma(0x00200000 | 8 | 2, 4, UINT64_MAX - 1), 1);
    ck_assert_uint_eq(dma(0x00200000 | 8 | 2, 0, UINT64_MAX), 0);
    bus_io_write(&h.bus, 0x514, 4, 0xffffffff); /* a request in no memory */
    bus_io_write(&h.bus, 0x518, 4, 0xfeffffff);
    bus_io_write(&h.bus, 0x514, 4, 0); /* one half in memory */
    bus_io_write(&h.bus, 0x518, 4, 0xf8ff0f00);
    bus_io_write(&h.bus, 0x518, 2, 0x50);
    end();
}
END_TEST

static unsigned selections;

static void selected(void *opaque)
{
    char text[2] = {(char)('0' + ++selections), 0};
    fw_cfg_set_file(opaque, "etc/first", text, 2);
}

START_TEST(made_when_selected)
{
    begin();
    selections = 0;
    fw_cfg_set_file(fw, "etc/first", "-", 2);
    fw_cfg_on_select(fw, "etc/first", selected, fw);
    choose(0x20);
    ck_assert_uint_eq(next(1), '1');
    choose(0x20);
    ck_assert_uint_eq(next(1), '2');
    ck_assert_uint_eq(selections, 2);
    end();
}
END_TEST

START_TEST(saved_and_loaded)
{
    begin();
    choose(0x20);
    next(2);
    bus_io_write(&h.bus, 0x514, 4, 0x01000000);
    struct error err = {{0}};
    char path[] = "snap-test-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    struct snap *s = snap_open_save(path, &err);
    fw_cfg_class.snap(fw, s);
    ck_assert(snap_close(s, &err));
    fw_cfg_set_file(fw, "etc/first", "shorter", 3);
    choose(0);
    s = snap_open_load(path, &err);
    fw_cfg_class.snap(fw, s);
    ck_assert_msg(snap_close(s, &err), "%s", err.text);
    ck_assert_uint_eq(next(5), 0x66656463);
    fw_cfg_set_file(fw, "etc/third", "", 0);
    fw_cfg_set(fw, FW_CFG_KERNEL, "kernel", 6);
    s = snap_open_load(path, &err); /* what was not there then is gone */
    fw_cfg_class.snap(fw, s);
    ck_assert_msg(snap_close(s, &err), "%s", err.text);
    choose(FW_CFG_KERNEL);
    ck_assert_uint_eq(next(1), 0);
    choose(0x19);
    ck_assert_uint_eq(next(4), 0x02000000);
    unlink(path);
    end();
}
END_TEST

START_TEST(any_accesses_do_no_harm)
{
    begin();
    u32 seed = 1;
    for (unsigned n = 0; n < 100000; n++) {
        seed = seed * 1664525 + 1013904223;
        u32 port = 0x50e + (seed >> 28), value = seed * 2654435761u;
        unsigned size = 1u << ((seed >> 8) % 3);
        if (n % 7 == 0)
            memcpy(memory((seed >> 10) & 0xffff0), &value, 4);
        if (n % 3)
            bus_io_write(&h.bus, port, size, n % 2 ? value : value & 0xff0f0000);
        else
            bus_io_read(&h.bus, port, size);
    }
    end();
}
END_TEST

SUITE_MAIN("fw_cfg", &signature_and_features, &directory_of_files, &dma_reads_skips_selects,
           &dma_errors, &made_when_selected, &saved_and_loaded, &any_accesses_do_no_harm)
