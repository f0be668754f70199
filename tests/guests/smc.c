/* SPDX-License-Identifier: MIT */
/*
 * Self-modifying code is exact: a store to code takes effect with the next instruction, however it is
 * made and through whatever mapping.
 */
#include "tests/guests/pages.h"

#define ALIAS UINT64_C(0x18000000000)

static uint8_t *code;

typedef uint32_t function(void);

static uint32_t call(const void *at)
{
    uint32_t result;
    __asm__ volatile("call *%1" : "=a"(result) : "r"(at) : "memory", "rcx", "rdx", "rsi", "rdi");
    return result;
}

/* mov $value, %eax; ret */
static void put_mov(uint8_t *to, uint32_t value)
{
    volatile uint8_t *p = to;
    p[0] = 0xb8;
    for (unsigned k = 0; k < 4; k++)
        p[1 + k] = (uint8_t)(value >> (8 * k));
    p[5] = 0xc3;
}

static void by_store(void)
{
    put_mov(code, 1);
    guest_equal(call(code), 1, "code as first written");
    put_mov(code, 2);
    guest_equal(call(code), 2, "written again");
    *(volatile uint32_t *)(code + 1) = 3;
    guest_equal(call(code), 3, "its immediate alone");
    bool ok = true;
    for (uint32_t k = 0; k < 1000; k++) {
        *(volatile uint32_t *)(code + 1) = k;
        ok = ok && call(code) == k;
    }
    guest_check(ok, "a thousand times");
    put_mov((uint8_t *)ALIAS, 4);
    guest_equal(call(code), 4, "through another mapping");
    put_mov(code, 5);
    guest_equal(call((void *)ALIAS), 5, "run through another mapping");
    put_mov(code + 4094, 6);
    guest_equal(call(code + 4094), 6, "across a page");
    *(volatile uint8_t *)(code + 4096) = 7;
    guest_equal(call(code + 4094), 0x0700 | 6, "its part in the second page");
}

/* The store changes the immediate of the very next instruction. */
static void next_instruction(void)
{
    static const uint8_t text[] = {
        0xc6, 0x05, 0x01, 0, 0, 0, 42, /* movb $42, 1(%rip) */
        0xb8, 1,    0,    0, 0,        /* mov $1, %eax */
        0xc3,
    };
    memcpy(code, text, sizeof(text));
    guest_equal(call(code), 42, "the next instruction");
    memcpy(code, text, sizeof(text));
    guest_equal(call(code), 42, "the next instruction, the block being known");
    uint8_t *edge = code + 4096 - 7;
    memcpy(edge, text, sizeof(text));
    guest_equal(call(edge), 42, "the next instruction in the next page");
    memcpy(edge, text, sizeof(text));
    guest_equal(call(edge), 42, "again");
}

/* A loop that increments its own immediate. */
static void own_loop(void)
{
    static const uint8_t text[] = {
        0xb9, 10,   0,    0,    0,          /* mov $10, %ecx */
        0x31, 0xc0,                         /* xor %eax, %eax */
        0x05, 1,    0,    0,    0,          /* 7: add $1, %eax */
        0x83, 0x05, 0xf5, 0xff, 0xff, 0xff, /* addl $1, -11(%rip): that 1 */
        1,    0xff, 0xc9,                   /* dec %ecx */
        0x75, 0xf0,                         /* jnz 7 */
        0xc3,
    };
    memcpy(code, text, sizeof(text));
    guest_equal(call(code), 55, "a loop that changes itself");
    memcpy(code, text, sizeof(text));
    guest_equal(call(code), 55, "once more");
}

static void by_strings(void)
{
    uint8_t other[8];
    put_mov(code, 1);
    call(code);
    put_mov(other, 0x1234);
    void *to = code;
    const void *from = other;
    uint64_t count = 6;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
    guest_equal(call(code), 0x1234, "REP MOVS over known code");
    to = code + 1, count = 4;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(0x77) : "memory");
    guest_equal(call(code), 0x77777777, "REP STOS over known code");
    __asm__ volatile("movq %0, (%1)" : : "r"(UINT64_C(0x00c3000000aab8)), "r"(code) : "memory");
    guest_equal(call(code), 0xaa, "a wide store");
    uint32_t swap = 0xbb;
    __asm__ volatile("xchg %0, 1(%1)" : "+r"(swap) : "r"(code) : "memory");
    guest_equal(call(code), 0xbb, "XCHG");
    __asm__ volatile("lock incl 1(%0)" : : "r"(code) : "memory", "cc");
    guest_equal(call(code), 0xbc, "LOCK INC");
    uint64_t sp;
    __asm__ volatile("mov %%rsp, %0\n lea 8(%1), %%rsp\n push %2\n mov %0, %%rsp"
                     : "=&r"(sp)
                     : "r"(code), "r"(UINT64_C(0x00c3000000ccb8))
                     : "memory");
    guest_equal(call(code), 0xcc, "PUSH");
    __asm__ volatile("movq %0, %%xmm0; movdqu %%xmm0, (%1)"
                     :
                     : "r"(UINT64_C(0x00c3000000ddb8)), "r"(code)
                     : "memory");
    guest_equal(call(code), 0xdd, "MOVDQU");
}

/*
 * REP STOS that writes NOPs over what follows; then over itself, too: whether its remaining
 * iterations are still done is the processor's choice, what comes after them is not.
 */
static void over_itself(void)
{
    static const uint8_t text[] = {
        0x48,
        0x8d,
        0x3d,
        0x10,
        0,
        0,
        0, /* lea 16(%rip), %rdi: 23 */
        0xb9,
        8,
        0,
        0,
        0, /* mov $8, %ecx */
        0xb0,
        0x90, /* mov $0x90, %al */
        0xf3,
        0xaa, /* 14: rep stosb */
        0x90,
        0x90,
        0x90,
        0x90,
        0x90,
        0x90,
        0x90,
        /* 23: overwritten by NOPs before it is reached */
        0x0f,
        0x0b,
        0x0f,
        0x0b,
        0x0f,
        0x0b,
        0x0f,
        0x0b,
        0xb8,
        9,
        0,
        0,
        0, /* mov $9, %eax */
        0xc3,
    };
    memcpy(code, text, sizeof(text));
    guest_equal(call(code), 9, "REP STOS over what follows");
    memcpy(code, text, sizeof(text));
    *(volatile uint8_t *)(code + 3) = 7; /* from the REP STOS itself on */
    *(volatile uint8_t *)(code + 8) = 17;
    for (unsigned k = 23; k < 31; k++)
        *(volatile uint8_t *)(code + k) = 0x90;
    guest_equal(call(code), 9, "REP STOS over itself");
}

/* A page table's accessed bit is a store, too: code in the table's page stays right. */
static void by_walk(void)
{
    volatile uint64_t *table = (volatile uint64_t *)((uint64_t)page_entry(ALIAS, 1) & ~4095ul);
    uint8_t *at = (uint8_t *)(table + 300);
    /* A page of code beside entries in use: entry 200 maps a page whose first use sets A. */
    put_mov(at, 0x42);
    guest_equal(call(at), 0x42, "code in a page table");
    table[299] = (uint64_t)code | PTE_P | PTE_W;
    invlpg((void *)(ALIAS + 299 * 4096));
    (void)*(volatile uint8_t *)(ALIAS + 299 * 4096);
    guest_check(table[299] & PTE_A, "the walk sets A beside it");
    guest_equal(call(at), 0x42, "and the code still runs");
    table[300] = 0;
}

int guest_main(void)
{
    guest_init();
    pages_init();
    code = page_new();
    page_new();
    page_map(ALIAS, (uint64_t)code | PTE_P | PTE_W);
    by_store();
    next_instruction();
    own_loop();
    by_strings();
    over_itself();
    by_walk();
    return guest_done();
}
