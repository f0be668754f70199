/* SPDX-License-Identifier: MIT */
/*
 * Packets of GDB's remote serial protocol (GDB manual, "Overview" of "GDB Remote Serial Protocol"):
 * "$data#checksum", with '+' and '-' between them and a lone 0x03 for Ctrl-C. Whatever bytes come,
 * the reader only ever gives one of the events below.
 */
#ifndef FRONTEND_GDB_PACKET_H
#define FRONTEND_GDB_PACKET_H

#include "base/types.h"

#define GDB_PACKET_MAX 16384 /* bytes of data, escapes not counted */

enum gdb_event {
    GDB_NOTHING,
    GDB_PACKET,    /* data[0, size) */
    GDB_BAD,       /* a packet with a wrong checksum, or too long */
    GDB_RESEND,    /* '-' */
    GDB_INTERRUPT, /* Ctrl-C */
};

struct gdb_reader {
    enum { GDB_BETWEEN, GDB_DATA, GDB_ESCAPED, GDB_SUM_HIGH, GDB_SUM_LOW } state;
    size_t size;
    bool overflow;
    u8 sum, said; /* the sum of the bytes, and what the packet says it is */
    bool said_bad;
    u8 data[GDB_PACKET_MAX + 1]; /* a zero follows the data */
};

/* Zeroed it is ready. */
enum gdb_event gdb_read_byte(struct gdb_reader *r, u8 byte);

/* Appends "$data#xx" with escapes at `to`, which has room for 2 * size + 4 bytes; how many it took. */
size_t gdb_frame(u8 *to, const u8 *from, size_t size);

/* Hexadecimal digits. -1: it is none. */
int gdb_hex_digit(char c);
/* The number at *at, which moves behind it. False: there is no digit, or more than 16. */
bool gdb_hex_number(const char **at, u64 *value);
/* Two digits a byte, exactly `size` bytes; false: not that many digits. */
bool gdb_hex_decode(const char *text, u8 *to, size_t size);
/* to has room for 2 * size + 1 characters; how many digits. */
size_t gdb_hex_encode(char *to, const u8 *from, size_t size);

#endif
