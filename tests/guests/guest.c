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

int guest_done(void)
{
    guest_print("1..");
    print_number(checks);
    guest_print("\n");
    return failures != 0;
}
