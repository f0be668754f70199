/* SPDX-License-Identifier: MIT */
#include "frontend/gdb_packet.h"

#define CTRL_C 3
#define ESCAPE '}'
#define ESCAPE_XOR 0x20

static const char digits[] = "0123456789abcdef";

int gdb_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool gdb_hex_number(const char **at, u64 *value)
{
    unsigned count = 0;
    *value = 0;
    for (; gdb_hex_digit(**at) >= 0; (*at)++, count++)
        *value = *value << 4 | (u64)gdb_hex_digit(**at);
    return count > 0 && count <= 16;
}

bool gdb_hex_decode(const char *text, u8 *to, size_t size)
{
    for (size_t n = 0; n < size; n++) {
        int high = gdb_hex_digit(text[2 * n]);
        int low = high < 0 ? -1 : gdb_hex_digit(text[2 * n + 1]);
        if (low < 0)
            return false;
        to[n] = (u8)(high << 4 | low);
    }
    return true;
}

size_t gdb_hex_encode(char *to, const u8 *from, size_t size)
{
    for (size_t n = 0; n < size; n++) {
        to[2 * n] = digits[from[n] >> 4];
        to[2 * n + 1] = digits[from[n] & 15];
    }
    to[2 * size] = 0;
    return 2 * size;
}

static void begin(struct gdb_reader *r)
{
    r->state = GDB_DATA;
    r->size = 0;
    r->overflow = r->said_bad = false;
    r->sum = r->said = 0;
}

static enum gdb_event between(struct gdb_reader *r, u8 byte)
{
    switch (byte) {
    case '$':
        begin(r);
        return GDB_NOTHING;
    case '-':
        return GDB_RESEND;
    case CTRL_C:
        return GDB_INTERRUPT;
    default:
        return GDB_NOTHING;
    }
}

static void append(struct gdb_reader *r, u8 byte)
{
    if (r->size < GDB_PACKET_MAX)
        r->data[r->size++] = byte;
    else
        r->overflow = true;
}

/* A '$' in the middle: the rest of the packet was lost, and another begins. */
static enum gdb_event data(struct gdb_reader *r, u8 byte)
{
    if (byte == '$') {
        begin(r);
        return GDB_NOTHING;
    }
    if (byte == '#') {
        r->state = GDB_SUM_HIGH;
        return GDB_NOTHING;
    }
    r->sum = (u8)(r->sum + byte);
    if (r->state == GDB_DATA && byte == ESCAPE) {
        r->state = GDB_ESCAPED;
        return GDB_NOTHING;
    }
    append(r, r->state == GDB_ESCAPED ? byte ^ ESCAPE_XOR : byte);
    r->state = GDB_DATA;
    return GDB_NOTHING;
}

static enum gdb_event sum(struct gdb_reader *r, u8 byte)
{
    int digit = gdb_hex_digit((char)byte);
    if (digit < 0)
        r->said_bad = true;
    r->said = (u8)(r->said << 4 | (digit & 15));
    if (r->state == GDB_SUM_HIGH) {
        r->state = GDB_SUM_LOW;
        return GDB_NOTHING;
    }
    r->state = GDB_BETWEEN;
    r->data[r->size] = 0;
    bool bad = r->said_bad || r->overflow || r->said != r->sum;
    return bad ? GDB_BAD : GDB_PACKET;
}

enum gdb_event gdb_read_byte(struct gdb_reader *r, u8 byte)
{
    switch (r->state) {
    case GDB_BETWEEN:
        return between(r, byte);
    case GDB_DATA:
    case GDB_ESCAPED:
        return data(r, byte);
    default:
        return sum(r, byte);
    }
}

/* '*' would begin a run-length count. */
static bool must_escape(u8 byte)
{
    return byte == '$' || byte == '#' || byte == '*' || byte == ESCAPE;
}

size_t gdb_frame(u8 *to, const u8 *from, size_t size)
{
    u8 *at = to;
    u8 total = 0;
    *at++ = '$';
    for (size_t n = 0; n < size; n++) {
        u8 byte = from[n];
        if (must_escape(byte)) {
            *at++ = ESCAPE;
            total = (u8)(total + ESCAPE);
            byte ^= ESCAPE_XOR;
        }
        *at++ = byte;
        total = (u8)(total + byte);
    }
    *at++ = '#';
    *at++ = (u8)digits[total >> 4];
    *at++ = (u8)digits[total & 15];
    return (size_t)(at - to);
}
