/* SPDX-License-Identifier: MIT */
#include "tests/guests/guest.h"

enum { UART_DATA = 0x3f8, UART_LINE_STATUS = 0x3fd, UART_CAN_SEND = 0x20 };

static int checks, failures;

void guest_print(const char *text)
{
    for (; *text; text++) {
        while (!(inb(UART_LINE_STATUS) & UART_CAN_SEND))
            ;
        outb(UART_DATA, (uint8_t)*text);
    }
}

static void print_number(int number)
{
    char digits[12], *digit = digits + sizeof(digits) - 1;

    *digit = '\0';
    do {
        *--digit = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    guest_print(digit);
}

void guest_check(bool ok, const char *name)
{
    if (!ok)
        failures++;
    guest_print(ok ? "ok " : "not ok ");
    print_number(++checks);
    guest_print(" - ");
    guest_print(name);
    guest_print("\n");
}

void guest_print_hex(uint64_t value)
{
    char digits[17], *digit = digits + sizeof(digits) - 1;

    *digit = '\0';
    do {
        *--digit = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (value);
    guest_print("0x");
    guest_print(digit);
}

void guest_equal(uint64_t got, uint64_t wanted, const char *name)
{
    guest_check(got == wanted, name);
    if (got == wanted)
        return;
    guest_print("# got ");
    guest_print_hex(got);
    guest_print(", not ");
    guest_print_hex(wanted);
    guest_print("\n");
}

void guest_skip(const char *name, const char *why)
{
    guest_print("ok ");
    print_number(++checks);
    guest_print(" - ");
    guest_print(name);
    guest_print(" # SKIP ");
    guest_print(why);
    guest_print("\n");
}

void *memset(void *to, int byte, size_t size)
{
    for (size_t k = 0; k < size; k++)
        ((volatile char *)to)[k] = (char)byte;
    return to;
}

void *memcpy(void *to, const void *from, size_t size)
{
    for (size_t k = 0; k < size; k++)
        ((volatile char *)to)[k] = ((const char *)from)[k];
    return to;
}

int guest_done(void)
{
    guest_print("1..");
    print_number(checks);
    guest_print("\n");
    return failures != 0;
}
