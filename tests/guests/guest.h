/* SPDX-License-Identifier: MIT */
/*
 * What a guest test may use. It runs alone on the machine, in 64-bit mode with the first 4 GiB
 * mapped one to one, or (NAME.guest32) in 32-bit protected mode without paging; it tells its
 * results as TAP on the first serial port.
 */
#ifndef GUESTS_GUEST_H
#define GUESTS_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The test itself. Returns guest_done(), which the debug-exit port gets: 0 when all passed. */
int guest_main(void);

/* One result, by name. */
void guest_check(bool ok, const char *name);

/* The same for two values, which are shown if they differ. */
void guest_equal(uint64_t got, uint64_t wanted, const char *name);

/* A check that this machine can't make. */
void guest_skip(const char *name, const char *why);

/* Writes the plan, says whether anything failed. */
int guest_done(void);

void guest_print(const char *text);
void guest_print_hex(uint64_t value);

void *memset(void *to, int byte, size_t size);
void *memcpy(void *to, const void *from, size_t size);

static inline void outb(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

#endif
