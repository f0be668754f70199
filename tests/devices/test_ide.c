/* SPDX-License-Identifier: MIT */
#include "devices/ide.h"

#include "tests/devices/ide.h"

#define PORT 0x1f0u
#define SIZE (UINT64_C(40) * MIB)

static u8 data[70000], expected[70000];

/* A disk as primary master, another as primary slave. */
static void begin(void)
{
    begin_drives();
    add_drive(0, SIZE, false, false);
    add_drive(1, MIB, false, true);
    begin_machine();
}

/* A 28-bit command of drive 0 or 1. */
static void command(u8 code, unsigned drive, u32 sector, u8 count)
{
    out8(PORT + 6, (u8)(0xe0 | drive << 4 | sector >> 24));
    out8(PORT + 2, count);
    out8(PORT + 3, (u8)sector);
    out8(PORT + 4, (u8)(sector >> 8));
    out8(PORT + 5, (u8)(sector >> 16));
    out8(PORT + 7, code);
}

static void command_48(u8 code, u64 sector, u16 count)
{
    out8(PORT + 6, 0x40);
    for (unsigned old = 0; old < 2; old++) {
        unsigned shift = old ? 0 : 24;
        out8(PORT + 2, (u8)(count >> (old ? 0 : 8)));
        out8(PORT + 3, (u8)(sector >> shift));
        out8(PORT + 4, (u8)(sector >> (shift + 8)));
        out8(PORT + 5, (u8)(sector >> (shift + 16)));
    }
    out8(PORT + 7, code);
}

static void expect_pattern(unsigned drive, u64 sector, size_t size)
{
    for (size_t n = 0; n < size; n++)
        expected[n] = pattern(drive, sector * 512 + n);
    ck_assert_mem_eq(data, expected, size);
}

static u8 image_byte(unsigned n, u64 at)
{
    u8 byte;
    int fd = open(images[n], O_RDONLY);
    ck_assert_int_eq(pread(fd, &byte, 1, (off_t)at), 1);
    close(fd);
    return byte;
}

static u16 identity(unsigned index)
{
    return (u16)(data[2 * index] | data[2 * index + 1] << 8);
}

static void identify(unsigned drive)
{
    command(0xec, drive, 0, 0);
    ck_assert_uint_eq(wait_ready(PORT), 0x58);
    in_words(PORT, data, 512);
    ck_assert_uint_eq(in8(PORT + 7), 0x50);
}

START_TEST(function)
{
    begin();
    ck_assert_uint_eq(config_get(0, 4), 0x70108086);
    ck_assert_uint_eq(config_get(8, 4) >> 8, 0x010180);
    ck_assert_uint_eq(config_get(0x40, 4), 0x80008000);
    config_set(0x41, 1, 0);
    ck_assert_uint_eq(in8(PORT + 7), 0xff);
    config_set(0x41, 1, 0x80);
    ck_assert_uint_eq(in8(PORT + 7), 0x50);
    config_set(PCI_COMMAND, 2, 0);
    ck_assert_uint_eq(in8(PORT + 7), 0xff);
    end_machine();
}
END_TEST

START_TEST(who_is_there)
{
    begin();
    for (unsigned n = 0; n < 2; n++) {
        out8(PORT + 6, (u8)(n << 4));
        ck_assert_uint_eq(in8(PORT + 7), 0x50);
        ck_assert_uint_eq(in8(PORT + 1), 1);
        ck_assert_uint_eq(in8(PORT + 2), 1);
        ck_assert_uint_eq(in8(PORT + 3), 1);
        ck_assert_uint_eq(in8(PORT + 4), 0);
        ck_assert_uint_eq(in8(PORT + 5), 0);
    }
    ck_assert_uint_eq(in8(0x177), 0x7f); /* nobody on the second channel, so not busy */
    ck_assert_uint_eq(in8(0x376), 0x7f);
    out8(0x177, 0xec);
    out8(0x376, 4);
    out8(0x376, 0);
    run_for(SECOND);
    ck_assert_uint_eq(in8(0x177), 0x7f);
    end_machine();
    begin_drives();
    add_drive(2, MIB, false, false);
    begin_machine();
    out8(0x176, 0x10); /* the master answers for a slave that isn't there */
    out8(0x172, 0x55);
    ck_assert_uint_eq(in8(0x172), 0);
    ck_assert_uint_eq(in8(0x177), 0);
    out8(0x177, 0xec);
    run_for(SECOND);
    ck_assert(!h.level[15]);
    out8(0x176, 0);
    ck_assert_uint_eq(in8(0x172), 0x55);
    out8(0x177, 0xec);
    run_for(MILLISECOND);
    ck_assert(h.level[15]);
    end_machine();
}
END_TEST

START_TEST(identify_device)
{
    begin();
    identify(0);
    ck_assert_uint_eq(identity(0), 0x40);
    ck_assert_uint_eq(identity(60) | (u32)identity(61) << 16, SIZE / 512);
    ck_assert_uint_eq(identity(100) | (u32)identity(101) << 16, SIZE / 512);
    ck_assert_uint_eq(identity(1), SIZE / 512 / (16 * 63));
    ck_assert_uint_eq(identity(83), 0x7400);
    ck_assert_uint_eq(identity(85), 0x68);
    ck_assert_uint_eq(identity(63), 0x07);
    u8 sum = 0;
    for (unsigned n = 0; n < 512; n++)
        sum = (u8)(sum + data[n]);
    ck_assert_uint_eq(sum, 0);
    ck_assert_mem_eq(data + 54, "eTtsdu oidks", 12);
    out8(PORT + 1, 3);
    command(0xef, 0, 0, 0x22);
    ck_assert_uint_eq(wait_ready(PORT), 0x50);
    command(0xc6, 0, 0, 8);
    ck_assert_uint_eq(wait_ready(PORT), 0x50);
    identify(0);
    ck_assert_uint_eq(identity(63), 0x407);
    ck_assert_uint_eq(identity(59), 0x108);
    out8(PORT + 1, 3);
    command(0xef, 0, 0, 0x46);
    ck_assert_uint_eq(wait_ready(PORT), 0x51);
    ck_assert_uint_eq(in8(PORT + 1), 4);
    end_machine();
}
END_TEST

START_TEST(read_by_pio)
{
    begin();
    command(0x20, 0, 5, 3);
    for (unsigned n = 0; n < 3; n++) {
        ck_assert_uint_eq(in8(0x3f6), BSY);
        ck_assert(!h.level[14]);
        run_for(MILLISECOND);
        ck_assert(h.level[14]);
        ck_assert_uint_eq(in8(0x3f6), 0x58);
        ck_assert(h.level[14]); /* the alternate status acknowledges nothing */
        ck_assert_uint_eq(in8(PORT + 7), 0x58);
        ck_assert(!h.level[14]);
        in_words(PORT, data + n * 512, 512);
    }
    ck_assert_uint_eq(in8(0x3f6), 0x50);
    run_for(SECOND);
    ck_assert_uint_eq(h.rises[14], 3);
    ck_assert_uint_eq(in16(PORT), 0xffff);
    expect_pattern(0, 5, 3 * 512);
    command(0x20, 1, 7, 1); /* by 32 bits */
    ck_assert_uint_eq(wait_ready(PORT), 0x58);
    for (unsigned n = 0; n < 512; n += 4) {
        u32 value = (u32)bus_io_read(&h.bus, PORT, 4);
        memcpy(data + n, &value, 4);
    }
    expect_pattern(1, 7, 512);
    end_machine();
}
END_TEST

START_TEST(interrupts_disabled)
{
    begin();
    out8(0x3f6, 2);
    command(0x20, 0, 0, 1);
    run_for(MILLISECOND);
    ck_assert_uint_eq(in8(0x3f6), 0x58);
    ck_assert(!h.level[14]);
    ck_assert_uint_eq(in8(BM + 2) & 4, 0);
    out8(0x3f6, 0);
    ck_assert(h.level[14]);
    ck_assert_uint_eq(in8(BM + 2) & 4, 4);
    out8(PORT + 6, 0x10); /* the other drive has none */
    ck_assert(!h.level[14]);
    out8(PORT + 6, 0);
    ck_assert(h.level[14]);
    in8(PORT + 7);
    ck_assert(!h.level[14]);
    end_machine();
}
END_TEST

START_TEST(multiple)
{
    begin();
    command(0xc4, 0, 0, 1);
    ck_assert_uint_eq(wait_ready(PORT), 0x51); /* not set */
    command(0xc6, 0, 0, 3);
    ck_assert_uint_eq(wait_ready(PORT), 0x51);
    command(0xc6, 0, 0, 4);
    ck_assert_uint_eq(wait_ready(PORT), 0x50);
    unsigned rises = h.rises[14];
    command(0xc4, 0, 9, 6);
    ck_assert_uint_eq(wait_ready(PORT), 0x58);
    in_words(PORT, data, 2048);
    ck_assert_uint_eq(wait_ready(PORT), 0x58);
    in_words(PORT, data + 2048, 1024);
    ck_assert_uint_eq(in8(PORT + 7), 0x50);
    ck_assert_uint_eq(h.rises[14], rises + 2);
    expect_pattern(0, 9, 6 * 512);
    command_48(0x29, 100, 4);
    ck_assert_uint_eq(wait_ready(PORT), 0x58);
    in_words(PORT, data, 2048);
    expect_pattern(0, 100, 2048);
    command(0xc5, 0, 20, 5);
    ck_assert_uint_eq(wait_ready(PORT), 0x58);
    out_words(PORT, data, 2048);
    ck_assert_uint_eq(wait_ready(PORT), 0x58);
    out_words(PORT, data + 2048, 512);
    ck_assert_uint_eq(wait_ready(PORT), 0x50);
    ck_assert_uint_eq(image_byte(0, 20 * 512 + 77), data[77]);
    end_machine();
}
END_TEST

START_TEST(write_by_pio)
{
    begin();
    memset(data, 0xa5, sizeof(data));
    command(0x30, 0, 100, 2);
    run_for(MILLISECOND);
    ck_assert(!h.level[14]); /* the first block is asked for without an interrupt */
    ck_assert_uint_eq(in8(PORT + 7), 0x58);
    out_words(PORT, data, 512);
    ck_assert_uint_eq(in8(0x3f6), BSY);
    run_for(MILLISECOND);
    ck_assert(h.level[14]);
    ck_assert_uint_eq(image_byte(0, 100 * 512), 0xa5);
    ck_assert_uint_eq(in8(PORT + 7), 0x58);
    out_words(PORT, data, 512);
    run_for(MILLISECOND);
    ck_assert(h.level[14]);
    ck_assert_uint_eq(image_byte(0, 102 * 512 - 1), 0xa5);
    ck_assert_uint_eq(image_byte(0, 102 * 512), pattern(0, 102 * 512));
    ck_assert_uint_eq(in8(PORT + 7), 0x50);
    command(0xe7, 0, 0, 0);
    ck_assert_uint_eq(wait_ready(PORT), 0x50);
    command(0xea, 0, 0, 0);
    ck_assert_uint_eq(wait_ready(PORT), 0x50);
    command(0x30, 1, 100, 2); /* a disk that is read-only */
    ck_assert_uint_eq(wait_ready(PORT), 0x51);
    ck_assert_uint_eq(in8(PORT + 1), 4);
    out8(PORT + 1, 0x82); /* no write cache */
    command(0xef, 0, 0, 0);
    ck_assert_uint_eq(wait_ready(PORT), 0x50);
    command(0x30, 0, 0, 1);
    ck_assert_uint_eq(wait_ready(PORT), 0x58);
    out_words(PORT, data, 512);
    ck_assert_uint_eq(wait_ready(PORT), 0x50);
    identify(0);
    ck_assert_uint_eq(identity(85), 0x48);
    end_machine();
}
END_TEST

START_TEST(addresses)
{
    begin();
    command(0x91, 0, 3 << 24, 17); /* 4 heads, 17 sectors */
    ck_assert_uint_eq(wait_ready(PORT), 0x50);
    out8(PORT + 6, 0xa2); /* cylinder 1, head 2, sector 3 */
    out8(PORT + 2, 1);
    out8(PORT + 3, 3);
    out8(PORT + 4, 1);
    out8(PORT + 5, 0);
    out8(PORT + 7, 0x20);
    ck_assert_uint_eq(wait_ready(PORT), 0x58);
    in_words(PORT, data, 512);
    expect_pattern(0, (1 * 4 + 2) * 17 + 2, 512);
    out8(PORT + 3, 0); /* there is no sector 0 */
    out8(PORT + 7, 0x20);
    ck_assert_uint_eq(wait_ready(PORT), 0x51);
    ck_assert_uint_eq(in8(PORT + 1), 0x10);
    command(0x20, 0, SIZE / 512 - 1, 2);
    ck_assert_uint_eq(wait_ready(PORT), 0x51);
    ck_assert_uint_eq(in8(PORT + 1), 0x10);
    command_48(0x24, UINT64_C(0xffffffffffff), 1);
    ck_assert_uint_eq(wait_ready(PORT), 0x51);
    command(0x40, 0, 0, 0); /* 256 sectors */
    ck_assert_uint_eq(wait_ready(PORT), 0x50);
    command_48(0x42, 0, 0); /* 65536 sectors */
    ck_assert_uint_eq(wait_ready(PORT), 0x50);
    command_48(0x42, SIZE / 512 - 65535, 0);
    ck_assert_uint_eq(wait_ready(PORT), 0x51);
    command(0xf8, 0, 0, 0);
    ck_assert_uint_eq(wait_ready(PORT), 0x50);
    ck_assert_uint_eq(in8(PORT + 3) | in8(PORT + 4) << 8 | in8(PORT + 5) << 16, SIZE / 512 - 1);
    end_machine();
}
END_TEST

START_TEST(beyond_28_bits)
{
    begin_drives();
    add_drive(0, 200 * GIB, false, false);
    begin_machine();
    u64 sector = BIT(28) + 12345;
    memset(data, 0x77, 512);
    command_48(0x34, sector, 1);
    ck_assert_uint_eq(wait_ready(PORT), 0x58);
    out_words(PORT, data, 512);
    ck_assert_uint_eq(wait_ready(PORT), 0x50);
    ck_assert_uint_eq(image_byte(0, sector * 512 + 511), 0x77);
    command_48(0x27, 0, 0);
    ck_assert_uint_eq(wait_ready(PORT), 0x50);
    u64 last = in8(PORT + 3) | (u64)in8(PORT + 4) << 8 | (u64)in8(PORT + 5) << 16;
    out8(0x3f6, 0x80);
    last |= (u64)in8(PORT + 3) << 24 | (u64)in8(PORT + 4) << 32 | (u64)in8(PORT + 5) << 40;
    ck_assert_uint_eq(last, 200 * GIB / 512 - 1);
    out8(PORT + 1, 0); /* any write shows the new values again */
    ck_assert_uint_eq(in8(PORT + 3), last & 0xff);
    identify(0);
    ck_assert_uint_eq(identity(61), 0x0fff);
    end_machine();
}
END_TEST

START_TEST(dma)
{
    begin();
    set_region(0, 0x10000, 1024);
    set_region(1, 0x20000, 65536 & 0xffff);
    set_region(2, 0x40000, 1024 | END);
    start_dma(0, true);
    ck_assert_uint_eq(in8(BM + 2), 1);
    command(0xc8, 0, 50, 132);
    ck_assert_uint_eq(in8(0x3f6), BSY);
    run_for(MILLISECOND);
    ck_assert(h.level[14]);
    ck_assert_uint_eq(in8(BM + 2), 4); /* all the table, all the data */
    ck_assert_uint_eq(in8(PORT + 7), 0x50);
    out8(BM, 0);
    out8(BM + 2, 4);
    ck_assert_uint_eq(in8(BM + 2), 0);
    ck_assert(ram_read(&h.bus.ram, 0x10000, data, 1024));
    expect_pattern(0, 50, 1024);
    ck_assert(ram_read(&h.bus.ram, 0x20000, data, 65536));
    expect_pattern(0, 52, 65536);
    ck_assert(ram_read(&h.bus.ram, 0x40000, data, 1024));
    expect_pattern(0, 180, 1024);

    memset(data, 0x3c, 2048);
    ck_assert(ram_write(&h.bus.ram, 0x30000, data, 2048));
    set_region(0, 0x30000, 4096 | END); /* longer than the data */
    command_48(0x35, 1000, 4);
    run_for(MILLISECOND);
    ck_assert_uint_eq(in8(0x3f6), BSY); /* it waits for the bus master */
    start_dma(0, false);
    run_for(MILLISECOND);
    ck_assert_uint_eq(in8(BM + 2), 5);
    ck_assert_uint_eq(in8(PORT + 7), 0x50);
    ck_assert_uint_eq(image_byte(0, 1000 * 512), 0x3c);
    ck_assert_uint_eq(image_byte(0, 1004 * 512 - 1), 0x3c);
    ck_assert_uint_eq(image_byte(0, 1004 * 512), pattern(0, 1004 * 512));
    out8(BM, 0);
    command_48(0x3d, 1000, 4);
    start_dma(0, false);
    ck_assert_uint_eq(wait_ready(PORT), 0x50);
    end_machine();
}
END_TEST

static void soft_reset(void)
{
    out8(BM, 0);
    out8(0x3f6, 4);
    ck_assert_uint_eq(in8(0x3f6), BSY);
    out8(0x3f6, 0);
    ck_assert_uint_eq(wait_ready(PORT), 0x50);
    ck_assert_uint_eq(in8(PORT + 1), 1);
}

START_TEST(hostile_tables)
{
    begin();
    set_region(0, 0x10000, 512 | END); /* too short: the drive waits until it is reset */
    command(0xc8, 0, 0, 8);
    start_dma(0, true);
    run_for(SECOND);
    ck_assert_uint_eq(in8(BM + 2), 0);
    ck_assert_uint_eq(in8(0x3f6), BSY);
    soft_reset();
    set_region(0, UINT32_C(0xfffffff0), 4096 | END); /* no memory there */
    command(0xc8, 0, 0, 8);
    start_dma(0, true);
    run_for(MILLISECOND);
    ck_assert_uint_eq(in8(BM + 2), 6);
    ck_assert_uint_eq(in8(PORT + 7), 0x51);
    set_region(0, 0xffffc, 4096 | END); /* over the end of RAM */
    command(0xca, 0, 0, 8);
    start_dma(0, false);
    run_for(MILLISECOND);
    ck_assert_uint_eq(in8(BM + 2), 0); /* the start bit did not rise */
    ck_assert_uint_eq(in8(0x3f6), BSY);
    soft_reset();
    command(0xca, 0, 0, 8);
    start_dma(0, false);
    run_for(MILLISECOND);
    ck_assert_uint_eq(in8(BM + 2), 6);
    ck_assert_uint_eq(image_byte(0, 0), pattern(0, 0));
    out8(BM, 0);
    command(0xca, 0, 0, 8); /* the wrong direction */
    start_dma(0, true);
    run_for(MILLISECOND);
    ck_assert_uint_eq(in8(BM + 2), 6);
    out8(BM, 0);
    bus_io_write(&h.bus, BM + 4, 4, 0xfffffffc); /* a table where nothing is */
    command(0xc8, 0, 0, 8);
    out8(BM + 2, 6);
    out8(BM, 9);
    run_for(MILLISECOND);
    ck_assert_uint_eq(in8(BM + 2), 6);
    for (unsigned n = 0; n < 8192; n++) /* a table without end, of the smallest regions */
        ck_assert(ram_write(&h.bus.ram, 0x1000 + 8 * n, (u32[2]){0x30000, 2}, 8));
    out8(BM, 0);
    command_48(0x25, 0, 0);
    start_dma(0, true);
    run_for(MILLISECOND);
    ck_assert_uint_eq(in8(0x3f6), BSY);
    soft_reset();
    config_set(PCI_COMMAND, 2, PCI_COMMAND_IO); /* not a bus master */
    command(0xc8, 0, 0, 1);
    start_dma(0, true);
    run_for(SECOND);
    ck_assert_uint_eq(in8(0x3f6), BSY);
    soft_reset();
    end_machine();
}
END_TEST

START_TEST(resets)
{
    begin();
    command(0x20, 0, 0, 8); /* under way */
    soft_reset();
    ck_assert(!h.level[14]);
    run_for(SECOND);
    ck_assert(!h.level[14]);
    ck_assert_uint_eq(in8(PORT + 2), 1);
    out8(PORT + 6, 0x10);
    out8(PORT + 7, 0x90); /* diagnostic of both, master selected */
    run_for(MILLISECOND);
    ck_assert(h.level[14]);
    ck_assert_uint_eq(in8(PORT + 6) & 0x10, 0);
    ck_assert_uint_eq(in8(PORT + 7), 0x50);
    ck_assert_uint_eq(in8(PORT + 1), 1);
    command(0x08, 0, 0, 0); /* for packet devices only */
    ck_assert_uint_eq(wait_ready(PORT), 0x51);
    command(0x20, 0, 0, 8);
    ide_class.reset(ide);
    ck_assert(!h.level[14]);
    run_for(SECOND);
    ck_assert_uint_eq(in8(PORT + 7), 0x50);
    ck_assert(!h.level[14]);
    end_machine();
}
END_TEST

START_TEST(other_commands)
{
    static const u8 good[] = {0x10, 0x70, 0x95, 0x97, 0xe0, 0xe1, 0xe2, 0xe3, 0xe5, 0xe7, 0xea};
    static const u8 bad[] = {0x00, 0x06, 0xa0, 0xa1, 0xb0, 0xf1, 0xff};
    begin();
    for (unsigned n = 0; n < sizeof(good); n++) {
        command(good[n], 0, 0, 0);
        ck_assert_msg(wait_ready(PORT) == 0x50, "%#x", good[n]);
    }
    command(0xe5, 0, 0, 0);
    wait_ready(PORT);
    ck_assert_uint_eq(in8(PORT + 2), 0xff);
    for (unsigned n = 0; n < sizeof(bad); n++) {
        command(bad[n], 0, 0, 0);
        ck_assert_msg(wait_ready(PORT) == 0x51, "%#x", bad[n]);
        ck_assert_uint_eq(in8(PORT + 1), 4);
    }
    end_machine();
}
END_TEST

START_TEST(saved_and_loaded)
{
    begin();
    command(0x20, 0, 5, 3);
    reload(); /* while busy */
    ck_assert_uint_eq(wait_ready(PORT), 0x58);
    in_words(PORT, data, 100);
    reload(); /* within a block */
    in_words(PORT, data + 100, 412);
    ck_assert_uint_eq(wait_ready(PORT), 0x58);
    in_words(PORT, data + 512, 512);
    ck_assert_uint_eq(wait_ready(PORT), 0x58);
    in_words(PORT, data + 1024, 512);
    expect_pattern(0, 5, 3 * 512);
    command(0x30, 0, 100, 1);
    ck_assert_uint_eq(wait_ready(PORT), 0x58);
    out_words(PORT, data, 256);
    reload();
    out_words(PORT, data + 256, 256);
    ck_assert_uint_eq(wait_ready(PORT), 0x50);
    ck_assert_uint_eq(image_byte(0, 100 * 512 + 300), data[300]);
    set_region(0, 0x10000, 1024 | END);
    start_dma(0, true);
    command(0xc8, 0, 50, 2);
    reload();
    ck_assert_uint_eq(wait_ready(PORT), 0x50);
    ck_assert_uint_eq(in8(BM + 2), 4);
    ck_assert(ram_read(&h.bus.ram, 0x10000, data, 1024));
    expect_pattern(0, 50, 1024);
    end_machine();
}
END_TEST

static u64 seed;

static u32 dice(u32 sides)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (u32)((seed >> 33) % sides);
}

static u8 any_command(void)
{
    static const u8 known[] = {0x08, 0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35,
                               0x39, 0x3d, 0x42, 0x90, 0x91, 0xa0, 0xa1, 0xc4,
                               0xc5, 0xc6, 0xc8, 0xca, 0xce, 0xe7, 0xec, 0xef};
    return dice(8) ? known[dice(sizeof(known))] : (u8)dice(256);
}

static void any_access(void)
{
    u32 channel = dice(2), port = channel ? 0x170 : 0x1f0;
    switch (dice(10)) {
    case 0:
        out8(port + 7, any_command());
        break;
    case 1:
        out8(port + 0x206, dice(8) ? 0 : (u8)dice(256));
        break;
    case 2:
        out8(BM + dice(16), (u8)dice(256));
        break;
    case 3:
        bus_io_write(&h.bus, BM + 8 * channel + 4, 4, dice(2) ? 0x1000 : dice(UINT32_MAX));
        break;
    case 4:
        out8(BM + 8 * channel, dice(2) ? 0 : dice(2) ? 1 : 9);
        break;
    case 5:
        for (u32 n = dice(3000); n; n--)
            in16(port);
        break;
    case 6:
        for (u32 n = dice(3000); n; n--)
            out16(port, (u16)(dice(4) ? 0 : dice(65536)));
        break;
    case 7:
        bus_io_write(&h.bus, port + dice(9), 1u << dice(3), dice(UINT32_MAX));
        break;
    case 8:
        bus_io_read(&h.bus, port + dice(9), 1u << dice(3));
        break;
    default:
        out8(port + 1 + dice(6), (u8)(dice(3) ? dice(4) : dice(256)));
    }
}

START_TEST(any_accesses_do_no_harm)
{
    begin_drives();
    for (unsigned n = 0; n < 4; n++)
        add_drive(n, (n + 1) * MIB, n == 3, n == 3);
    begin_machine();
    for (seed = 1; seed < 4; seed++)
        for (unsigned n = 0; n < 20000; n++) {
            if (dice(50) == 0)
                for (unsigned k = 0; k < 4; k++)
                    set_region(k, dice(4) ? dice(MIB) : dice(UINT32_MAX),
                               dice(2) ? dice(65536) : dice(UINT32_MAX));
            any_access();
            run_for(dice(30 * MICROSECOND));
            if (dice(2000) == 0)
                reload();
        }
    end_machine();
}
END_TEST

SUITE_MAIN("ide", &function, &who_is_there, &identify_device, &read_by_pio, &interrupts_disabled,
           &multiple, &write_by_pio, &addresses, &beyond_28_bits, &dma, &hostile_tables, &resets,
           &other_commands, &saved_and_loaded, &any_accesses_do_no_harm)
