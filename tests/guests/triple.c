/* SPDX-License-Identifier: MIT */
/* A triple fault ends the run with its own status and the place of the instruction behind it. */
#include "tests/guests/guest.h"

extern const char invalid[];

int guest_main(void)
{
    static const struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } no_idt = {0, 0};

    guest_print("# ends with status 6\n# says at 0008:");
    for (int digit = 15; digit >= 0; digit--) {
        char text[2] = {"0123456789abcdef"[(uintptr_t)invalid >> (4 * digit) & 15], 0};
        guest_print(text);
    }
    guest_print(",\n");
    guest_check(true, "on the way to a triple fault");
    guest_done();
    __asm__ volatile("lidt %0\n"
                     "    .globl invalid\n"
                     "invalid:\n"
                     "    ud2"
                     :
                     : "m"(no_idt));
    return 1;
}
