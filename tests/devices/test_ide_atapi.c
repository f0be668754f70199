/* SPDX-License-Identifier: MIT */
/* CD-ROM drives of the IDE controller. */
#include "devices/ide.h"

#include "tests/devices/ide.h"

#define PORT 0x170u
#define SECTORS 100u

static u8 data[70000];

/* A CD-ROM drive as secondary master; its image ends within the last sector. */
static void begin(void)
{
    begin_drives();
    add_drive(2, SECTORS * 2048 - 512, true, true);
    begin_machine();
}

static void send(const u8 packet[12], u32 limit, bool with_dma)
{
    out8(PORT + 6, 0);
    out8(PORT + 1, with_dma);
    out8(PORT + 4, (u8)limit);
    out8(PORT + 5, (u8)(limit >> 8));
    out8(PORT + 7, 0xa0);
    ck_assert_uint_eq(wait_ready(PORT), 0x58);
    ck_assert_uint_eq(in8(PORT + 2) & 3, 1);
    ck_assert(!h.level[15]);
    out_words(PORT, packet, 12);
}

/* Returns how many bytes came; checks status and reason of each phase. */
static u32 receive(void)
{
    u32 size = 0;
    for (;;) {
        run_for(MILLISECOND);
        ck_assert(h.level[15]);
        u8 status = in8(PORT + 7);
        ck_assert(!h.level[15]);
        if (!(status & DRQ)) {
            ck_assert_uint_eq(in8(PORT + 2) & 3, 3);
            ck_assert_uint_eq(status & 0xfe, 0x50);
            return status & ERR ? 0 : size;
        }
        ck_assert_uint_eq(status, 0x58);
        ck_assert_uint_eq(in8(PORT + 2) & 3, 2);
        u32 bytes = (u32)in8(PORT + 4) | (u32)in8(PORT + 5) << 8;
        ck_assert_uint_le(size + bytes, sizeof(data));
        in_words(PORT, data + size, bytes);
        size += bytes;
    }
}

#define DO(...) (send((const u8[12]){__VA_ARGS__}, 0xfffe, false), receive())

/* The sense that the last command left. */
static u32 sense(void)
{
    ck_assert_uint_eq(DO(0x03, 0, 0, 0, 18), 18);
    ck_assert_uint_eq(data[0], 0x70);
    return (u32)data[2] << 16 | (u32)data[12] << 8 | data[13];
}

static u32 big(const u8 *p)
{
    return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3];
}

START_TEST(signature)
{
    begin();
    ck_assert_uint_eq(in8(PORT + 7), 0);
    ck_assert_uint_eq(in8(PORT + 4), 0x14);
    ck_assert_uint_eq(in8(PORT + 5), 0xeb);
    out8(PORT + 4, 0);
    out8(PORT + 7, 0xec);
    ck_assert_uint_eq(wait_ready(PORT), 0x51);
    ck_assert_uint_eq(in8(PORT + 4), 0x14);
    ck_assert_uint_eq(in8(PORT + 5), 0xeb);
    out8(PORT + 7, 0xa1);
    ck_assert_uint_eq(wait_ready(PORT), 0x58);
    in_words(PORT, data, 512);
    ck_assert_uint_eq(data[0] | data[1] << 8, 0x85c0);
    out8(PORT + 7, 0xa0);
    run_for(MILLISECOND);
    out8(PORT + 7, 0x08); /* DEVICE RESET, within a command */
    ck_assert_uint_eq(in8(PORT + 7), 0);
    ck_assert_uint_eq(in8(PORT + 5), 0xeb);
    run_for(SECOND);
    ck_assert_uint_eq(in8(PORT + 7), 0);
    end_machine();
}
END_TEST

START_TEST(what_it_is)
{
    begin();
    ck_assert_uint_eq(DO(0x12, 0, 0, 0, 36), 36);
    ck_assert_uint_eq(data[0], 5);
    ck_assert_uint_eq(data[1], 0x80);
    ck_assert_mem_eq(data + 8, "TESTUDO CD-ROM", 14);
    ck_assert_uint_eq(DO(0x12, 0, 0, 0, 5), 5); /* an odd size */
    ck_assert_uint_eq(DO(0x12, 0, 0, 0, 0), 0);
    ck_assert_uint_eq(DO(0x12, 1, 0x80, 0, 36), 0);
    ck_assert_uint_eq(sense(), 0x052400);
    ck_assert_uint_eq(DO(0x00), 0);
    ck_assert_uint_eq(sense(), 0);
    ck_assert_uint_eq(DO(0x25), 8);
    ck_assert_uint_eq(big(data), SECTORS - 1);
    ck_assert_uint_eq(big(data + 4), 2048);
    ck_assert_uint_eq(DO(0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 128), 28);
    ck_assert_uint_eq(data[1], 26);
    ck_assert_uint_eq(data[8], 0x2a);
    ck_assert_uint_eq(DO(0x46, 0, 0, 0, 0, 0, 0, 2), 64);
    ck_assert_uint_eq(big(data), 60);
    ck_assert_uint_eq(data[7], 8);
    ck_assert_uint_eq(DO(0x46, 2, 0, 1, 0, 0, 0, 2), 20);
    ck_assert_uint_eq(DO(0x51, 0, 0, 0, 0, 0, 0, 0, 34), 34);
    ck_assert_uint_eq(DO(0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8), 8);
    ck_assert_uint_eq(DO(0x42), 0);
    ck_assert_uint_eq(sense(), 0x052000);
    ck_assert_uint_eq(sense(), 0); /* told once */
    end_machine();
}
END_TEST

START_TEST(contents)
{
    begin();
    ck_assert_uint_eq(DO(0x43, 0, 0, 0, 0, 0, 0, 0, 100), 20);
    ck_assert_uint_eq(data[1], 18);
    ck_assert_uint_eq(data[6], 1);
    ck_assert_uint_eq(big(data + 8), 0);
    ck_assert_uint_eq(data[14], 0xaa);
    ck_assert_uint_eq(big(data + 16), SECTORS);
    ck_assert_uint_eq(DO(0x43, 2, 0, 0, 0, 0, 0xaa, 0, 100), 12);
    ck_assert_uint_eq(big(data + 8), 3 << 8 | 25); /* 100 + 150 frames */
    ck_assert_uint_eq(DO(0x43, 0, 1, 0, 0, 0, 0, 0, 100), 12);
    ck_assert_uint_eq(DO(0x43, 2, 2, 0, 0, 0, 0, 1), 4 + 4 * 11);
    ck_assert_uint_eq(DO(0x43, 0, 0, 0, 0, 0, 5, 0, 100), 0);
    ck_assert_uint_eq(sense(), 0x052400);
    end_machine();
}
END_TEST

static void expect_sectors(u32 first, u32 count)
{
    for (u32 n = 0; n < count * 2048; n++) {
        u64 at = (u64)first * 2048 + n;
        u8 byte = at < SECTORS * 2048 - 512 ? pattern(2, at) : 0;
        REQUIRE(data[n] == byte);
    }
}

START_TEST(read_by_pio)
{
    begin();
    ck_assert_uint_eq(DO(0x28, 0, 0, 0, 0, 7, 0, 0, 3), 3 * 2048);
    expect_sectors(7, 3);
    unsigned rises = h.rises[15];
    send((const u8[12]){0xa8, 0, 0, 0, 0, 90, 0, 0, 0, 10}, 2048, false);
    ck_assert_uint_eq(receive(), 10 * 2048);
    ck_assert_uint_eq(h.rises[15], rises + 11);
    expect_sectors(90, 10);
    send((const u8[12]){0x28, 0, 0, 0, 0, 1, 0, 0, 33}, 1001, false); /* across the buffer's end */
    ck_assert_uint_eq(receive(), 33 * 2048);
    expect_sectors(1, 33);
    send((const u8[12]){0x28, 0, 0, 0, 0, 1, 0, 0, 1}, 0, false);
    ck_assert_uint_eq(receive(), 2048);
    ck_assert_uint_eq(DO(0x28, 0, 0, 0, 0, 99, 0, 0, 2), 0);
    ck_assert_uint_eq(in8(PORT + 1), 0x54);
    ck_assert_uint_eq(sense(), 0x052100);
    ck_assert_uint_eq(DO(0xa8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), 0);
    ck_assert_uint_eq(DO(0x28, 0, 0, 0, 0, 0, 0, 0, 0), 0);
    ck_assert_uint_eq(sense(), 0);
    ck_assert_uint_eq(DO(0xbe, 0, 0, 0, 0, 4, 0, 0, 1, 0x10), 2048);
    expect_sectors(4, 1);
    ck_assert_uint_eq(DO(0xbe, 0, 0, 0, 0, 4, 0, 0, 1, 0xf8), 0);
    ck_assert_uint_eq(sense(), 0x052400);
    end_machine();
}
END_TEST

START_TEST(read_by_dma)
{
    begin();
    set_region(0, 0x10000, 4096);
    set_region(1, 0x20000, 2048 | END);
    send((const u8[12]){0x28, 0, 0, 0, 0, 9, 0, 0, 3}, 0, true);
    start_dma(1, true);
    ck_assert_uint_eq(receive(), 0);
    ck_assert_uint_eq(in8(BM + 10), 4);
    ck_assert(ram_read(&h.bus.ram, 0x10000, data, 4096));
    ck_assert(ram_read(&h.bus.ram, 0x20000, data + 4096, 2048));
    expect_sectors(9, 3);
    out8(BM + 8, 0);
    set_region(0, 0x10000, 36 | END);
    start_dma(1, true);
    send((const u8[12]){0x12, 0, 0, 0, 36}, 0, true);
    ck_assert_uint_eq(receive(), 0);
    ck_assert(ram_read(&h.bus.ram, 0x10000, data, 36));
    ck_assert_mem_eq(data + 8, "TESTUDO", 7);
    out8(BM + 8, 0);
    end_machine();
}
END_TEST

START_TEST(tray)
{
    begin();
    ck_assert_uint_eq(DO(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
    ck_assert_uint_eq(data[5], 2);
    ck_assert_uint_eq(DO(0x4a, 1, 0, 0, 0x02, 0, 0, 0, 8), 4);
    ck_assert_uint_eq(data[2], 0x80);
    DO(0x1e, 0, 0, 0, 1);
    DO(0x1b, 0, 0, 0, 2);
    ck_assert_uint_eq(sense(), 0x055302); /* locked */
    DO(0x1e, 0, 0, 0, 0);
    DO(0x1b, 0, 0, 0, 2);
    ck_assert_uint_eq(sense(), 0);
    DO(0x00);
    ck_assert_uint_eq(sense(), 0x023a02);
    ck_assert_uint_eq(DO(0x28, 0, 0, 0, 0, 7, 0, 0, 3), 0);
    ck_assert_uint_eq(sense(), 0x023a02);
    ck_assert_uint_eq(DO(0x25), 0);
    ck_assert_uint_eq(DO(0x43, 0, 0, 0, 0, 0, 0, 0, 100), 0);
    ck_assert_uint_eq(DO(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
    ck_assert_uint_eq(data[5], 1);
    reload();
    DO(0x00);
    ck_assert_uint_eq(sense(), 0x023a02);
    DO(0x1b, 0, 0, 0, 3);
    DO(0x00);
    ck_assert_uint_eq(sense(), 0);
    end_machine();
}
END_TEST

START_TEST(saved_and_loaded)
{
    begin();
    send((const u8[12]){0x28, 0, 0, 0, 0, 7, 0, 0, 3}, 2048, false);
    reload();
    run_for(MILLISECOND);
    ck_assert_uint_eq(in8(PORT + 7), 0x58);
    in_words(PORT, data, 2048);
    reload();
    u8 first[2048];
    memcpy(first, data, sizeof(first));
    ck_assert_uint_eq(receive(), 2 * 2048);
    expect_sectors(8, 2);
    memcpy(data, first, sizeof(first));
    expect_sectors(7, 1);
    end_machine();
}
END_TEST

/* Every packet's first bytes, with random others: an answer or a sense, and the drive stays well. */
START_TEST(any_packets_do_no_harm)
{
    u64 seed = 1;
    begin();
    for (unsigned n = 0; n < 10000; n++) {
        u8 packet[12];
        for (unsigned k = 0; k < 12; k++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
            packet[k] = (u8)(seed >> ((seed >> 60) & 1 ? 33 : 62));
        }
        packet[0] = (u8)n;
        if ((packet[0] == 0x28 && packet[7]) || packet[0] == 0xa8 || packet[0] == 0xbe)
            packet[6] = packet[7] = packet[8] = 0;
        send(packet, (u32)(seed >> 20) & 0xffff, false);
        receive();
    }
    end_machine();
}
END_TEST

SUITE_MAIN("ide_atapi", &signature, &what_it_is, &contents, &read_by_pio, &read_by_dma, &tray,
           &saved_and_loaded, &any_packets_do_no_harm)
