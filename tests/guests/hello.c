/* SPDX-License-Identifier: MIT */
/* The smallest guest: it starts, reaches 64-bit mode, computes, prints and ends. */
#include "tests/guests/guest.h"

int guest_main(void)
{
    volatile uint64_t a = 0x123456789abcdef0, b = 10;

    guest_check(a * b == 0xb60b60b60b60b560, "64-bit multiplication");
    guest_check(a / b == 0x1d208a5a912e318, "64-bit division");
    return guest_done();
}
