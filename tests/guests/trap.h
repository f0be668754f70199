/* SPDX-License-Identifier: MIT */
/*
 * Running code that may trap, and user code. guest_init() gives the test its own descriptor tables:
 * the selectors below, and 256 gates. A trap goes to a hook if there is one; otherwise it ends the
 * guest_try() in progress and is kept in `trap`.
 */
#ifndef GUESTS_TRAP_H
#define GUESTS_TRAP_H

#include "tests/guests/guest.h"

enum {
    SEL_CODE = 0x08,
    SEL_DATA = 0x10,
    SEL_CODE32 = 0x18,      /* 64-bit guests; in 32-bit ones another name for the code */
    SEL_USER_CODE32 = 0x23, /* the order SYSRET wants */
    SEL_USER_DATA = 0x2b,
    SEL_USER_CODE64 = 0x33,
    SEL_CODE16 = 0x38,
    SEL_DATA16 = 0x40,
    SEL_TSS = 0x48,
    SEL_FREE = 0x60, /* and what follows, up to GDT_ENTRIES: the test's own */
    GDT_ENTRIES = 64
};

enum {
    DE = 0,
    DB = 1,
    NMI = 2,
    BP = 3,
    OF = 4,
    BR = 5,
    UD = 6,
    NM = 7,
    DF = 8,
    TS = 10,
    NP = 11,
    SS = 12,
    GP = 13,
    PF = 14,
    MF = 16,
    AC = 17,
    USER_DONE = 0x80 /* how user code ends */
};

typedef unsigned long word;

struct trap {
#ifdef __x86_64__
    word r15, r14, r13, r12, r11, r10, r9, r8, di, si, bp, bx, dx, cx, ax;
#else
    word gs, fs, es, ds, di, si, bp, sp_of_pusha, bx, dx, cx, ax;
#endif
    word vector, error, ip, cs, flags;
    word sp, ss; /* 32-bit guests: only from another privilege level */
    word vm86[4];
    word cr2, dr6; /* only in `trap` */
};

struct tss32 {
    uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags;
    uint32_t eax, ecx, edx, ebx, esp, ebp, esi, edi, es, cs, ss, ds, fs, gs, ldt;
    uint16_t trap, io_map;
    uint8_t map[32 + 33]; /* interrupt redirection, the first 256 ports */
} __attribute__((packed));

struct tss64 {
    uint32_t zero;
    uint64_t rsp[3], zero2, ist[7], zero3;
    uint16_t zero4, io_map;
} __attribute__((packed));

extern uint64_t guest_gdt[GDT_ENTRIES];
#ifdef __x86_64__
extern uint64_t guest_idt[256][2];
extern struct tss64 guest_tss;
#else
extern uint64_t guest_idt[256];
extern struct tss32 guest_tss;
#endif
extern struct trap trap; /* the latest that ended a try */

/* Hooks see the frame and may change it. True: go on as it says; false: end the try. */
typedef bool trap_hook(struct trap *frame);
extern trap_hook *trap_hooks[256];

void guest_init(void);

/* Runs code(argument). True if it trapped. */
bool guest_try(void (*code)(void *), void *argument);
/* The same at CPL 3 with these flags and stack (64-bit guests: the pages must be the user's). */
bool guest_user_try(void (*code)(void *), void *argument, word flags, void *stack);
bool guest_user(void (*code)(void *), void *argument);
void trap_unwind(bool trapped) __attribute__((noreturn));

/* Checks that code() traps so (vector -1: not at all). */
void guest_expect(void (*code)(void *), void *argument, int vector, word error, const char *name);
void guest_expect_user(void (*code)(void *), void *argument, int vector, word error,
                       const char *name);

/* Descriptors. type: the access byte, flags: G, D/B, L, AVL as bits 7 to 4. */
uint64_t descriptor(uint32_t base, uint32_t limit, unsigned type, unsigned flags);
void set_gate(unsigned vector, word offset, unsigned selector, unsigned type, unsigned ist);
/*
 * Back to the library's entry; DPL 3 for software interrupts. In 64-bit guests #DF, #SS and #PF have
 * a stack of their own (IST 7).
 */
void reset_gate(unsigned vector);
word gate_entry(unsigned vector);
void load_gdt(unsigned limit);
void load_idt(unsigned limit);

#endif
