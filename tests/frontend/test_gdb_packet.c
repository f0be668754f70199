/* SPDX-License-Identifier: MIT */
#include "frontend/gdb_packet.h"

#include <stdlib.h>
#include <string.h>

#include "tests/suite.h"

static struct gdb_reader reader;

/* Feeds all; the events in order, one letter each. */
static const char *events(const void *bytes, size_t size)
{
    static const char letters[] = {[GDB_NOTHING] = 0,
                                   [GDB_PACKET] = 'P',
                                   [GDB_BAD] = 'B',
                                   [GDB_RESEND] = 'R',
                                   [GDB_INTERRUPT] = 'I'};
    static char seen[64];
    size_t count = 0;
    for (size_t n = 0; n < size; n++) {
        char c = letters[gdb_read_byte(&reader, ((const u8 *)bytes)[n])];
        if (c && count < sizeof(seen) - 1)
            seen[count++] = c;
    }
    seen[count] = 0;
    return seen;
}

#define EVENTS(text) events(text, sizeof(text) - 1)

START_TEST(packets_are_read)
{
    reader = (struct gdb_reader){0};
    ck_assert_str_eq(EVENTS("+$g#67"), "P");
    ck_assert_str_eq((char *)reader.data, "g");
    ck_assert_str_eq(EVENTS("+$m0,4#FD-\3"), "PRI");
    ck_assert_str_eq(EVENTS("$#00"), "P");
    ck_assert_uint_eq(reader.size, 0);
    ck_assert_str_eq(EVENTS("$g#00$g#zz$g#6"), "BB");
    ck_assert_str_eq(EVENTS("7"), "P");
    ck_assert_str_eq(EVENTS("$lost$g#67"), "P");
    ck_assert_str_eq((char *)reader.data, "g");
    ck_assert_str_eq(EVENTS("$a}\3#e1"), "P"); /* an escaped '#' */
    ck_assert_str_eq((char *)reader.data, "a#");
}
END_TEST

START_TEST(what_is_framed_is_read_again)
{
    static u8 data[GDB_PACKET_MAX], frame[2 * GDB_PACKET_MAX + 4];
    reader = (struct gdb_reader){0};
    srand(5);
    for (unsigned n = 0; n < 200; n++) {
        size_t size = n == 0 ? GDB_PACKET_MAX : (size_t)rand() % 600;
        for (size_t k = 0; k < size; k++)
            data[k] = n % 2 ? (u8)rand() : (u8) "#$}*"[rand() % 4];
        size_t framed = gdb_frame(frame, data, size);
        ck_assert_uint_le(framed, 2 * size + 4);
        ck_assert_str_eq(events(frame, framed), "P");
        ck_assert_uint_eq(reader.size, size);
        ck_assert_mem_eq(reader.data, data, size);
    }
}
END_TEST

START_TEST(too_long_a_packet_is_bad)
{
    static char text[GDB_PACKET_MAX + 5];
    reader = (struct gdb_reader){0};
    memset(text, 'a', sizeof(text));
    text[0] = '$';
    memcpy(text + GDB_PACKET_MAX + 2, "#00", 3);
    ck_assert_str_eq(events(text, sizeof(text)), "B");
    ck_assert_str_eq(EVENTS("$g#67"), "P");
}
END_TEST

/* Whatever comes, a whole packet afterwards is understood once the reader is between two again. */
START_TEST(noise_does_no_harm)
{
    static const char likely[] = "$$##}}+-\3*0123456789abcdef";
    reader = (struct gdb_reader){0};
    srand(7);
    for (unsigned n = 0; n < 2000000; n++) {
        u8 byte = rand() % 3 ? (u8)likely[rand() % (int)(sizeof(likely) - 1)] : (u8)rand();
        gdb_read_byte(&reader, byte);
        REQUIRE(reader.size <= GDB_PACKET_MAX);
    }
    EVENTS("#00");
    EVENTS("#00");
    ck_assert_str_eq(EVENTS("$g#67"), "P");
}
END_TEST

START_TEST(numbers)
{
    u64 value;
    u8 bytes[4];
    char text[9];
    const char *at = "1fG";
    ck_assert(gdb_hex_number(&at, &value) && value == 0x1f && *at == 'G');
    ck_assert(!gdb_hex_number(&at, &value));
    at = "ffffffffffffffff,";
    ck_assert(gdb_hex_number(&at, &value) && value == UINT64_MAX);
    at = "10000000000000000";
    ck_assert(!gdb_hex_number(&at, &value));
    ck_assert(gdb_hex_decode("0a1B2c3D", bytes, 4) && bytes[1] == 0x1b);
    ck_assert(!gdb_hex_decode("0a1", bytes, 2) && !gdb_hex_decode("0g", bytes, 1));
    ck_assert_uint_eq(gdb_hex_encode(text, (const u8 *)"\x0a\xff", 2), 4);
    ck_assert_str_eq(text, "0aff");
}
END_TEST

SUITE_MAIN("gdb_packet", &packets_are_read, &what_is_framed_is_read_again,
           &too_long_a_packet_is_bad, &noise_does_no_harm, &numbers)
