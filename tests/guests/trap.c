/* SPDX-License-Identifier: MIT */
#include "tests/guests/trap.h"
#include "tests/guests/x86.h"

uint64_t guest_gdt[GDT_ENTRIES] __attribute__((aligned(16)));
struct trap trap;
trap_hook *trap_hooks[256];
extern char trap_stubs[];
static uint8_t user_stack[8192] __attribute__((aligned(4096)));
static int tries;

#ifdef __x86_64__
uint64_t guest_idt[256][2] __attribute__((aligned(16)));
static uint8_t fault_stack[8192] __attribute__((aligned(16)));
struct tss64 guest_tss __attribute__((aligned(16)));
#else
uint64_t guest_idt[256] __attribute__((aligned(16)));
struct tss32 guest_tss __attribute__((aligned(16)));
struct trap trap_foreign_frame;
#endif

uint64_t descriptor(uint32_t base, uint32_t limit, unsigned type, unsigned flags)
{
    return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)type << 40 |
           (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)(flags & 0xf0) << 48 |
           (uint64_t)(base >> 24) << 56;
}

void set_gate(unsigned vector, word offset, unsigned selector, unsigned type, unsigned ist)
{
    uint64_t lo = (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)ist << 32 |
                  (uint64_t)type << 40 | (uint64_t)(offset >> 16 & 0xffff) << 48;
#ifdef __x86_64__
    guest_idt[vector][0] = lo;
    guest_idt[vector][1] = offset >> 32;
#else
    guest_idt[vector] = lo;
#endif
}

/* Each entry is one multiple of 16 bytes. */
word gate_entry(unsigned vector)
{
    return (word)trap_stubs + 16 * vector;
}

void reset_gate(unsigned vector)
{
    bool soft = vector == BP || vector == OF || vector >= 0x80;
    bool own_stack = sizeof(word) == 8 && (vector == DF || vector == SS || vector == PF);
    set_gate(vector, gate_entry(vector), SEL_CODE, soft ? 0xee : 0x8e, own_stack ? 7 : 0);
}

struct pointer {
    uint16_t limit;
    word base;
} __attribute__((packed));

void load_gdt(unsigned limit)
{
    struct pointer p = {(uint16_t)limit, (word)guest_gdt};
    __asm__ volatile("lgdt %0" : : "m"(p));
}

void load_idt(unsigned limit)
{
    struct pointer p = {(uint16_t)limit, (word)guest_idt};
    __asm__ volatile("lidt %0" : : "m"(p));
}

static void set_tss(void)
{
    uint64_t *tss = &guest_gdt[SEL_TSS / 8];
    *tss = descriptor((uint32_t)(word)&guest_tss, sizeof(guest_tss) - 1, 0x89, 0);
#ifdef __x86_64__
    tss[1] = 0;
    guest_tss.ist[6] = (word)fault_stack + sizeof(fault_stack);
    guest_tss.io_map = sizeof(guest_tss);
#else
    guest_tss.ss0 = SEL_DATA;
    guest_tss.io_map = 104 + 32;
#endif
    __asm__ volatile("ltr %w0" : : "r"(SEL_TSS));
}

void guest_init(void)
{
    bool wide = sizeof(word) == 8;
    guest_gdt[1] = wide ? descriptor(0, 0xfffff, 0x9b, 0xa0) : descriptor(0, 0xfffff, 0x9b, 0xc0);
    guest_gdt[2] = descriptor(0, 0xfffff, 0x93, 0xc0);
    guest_gdt[3] = descriptor(0, 0xfffff, 0x9b, 0xc0);
    guest_gdt[4] = descriptor(0, 0xfffff, 0xfb, 0xc0);
    guest_gdt[5] = descriptor(0, 0xfffff, 0xf3, 0xc0);
    guest_gdt[6] = descriptor(0, 0xfffff, 0xfb, 0xa0);
    guest_gdt[7] = descriptor(0, 0xffff, 0x9b, 0);
    guest_gdt[8] = descriptor(0, 0xffff, 0x93, 0);
    load_gdt(sizeof(guest_gdt) - 1);
    for (unsigned vector = 0; vector < 256; vector++)
        reset_gate(vector);
    load_idt(sizeof(guest_idt) - 1);
    set_tss();
}

static void die(const struct trap *frame)
{
    guest_print("Bail out! trap ");
    guest_print_hex(frame->vector);
    guest_print(" error ");
    guest_print_hex(frame->error);
    guest_print(" at ");
    guest_print_hex(frame->ip);
    guest_print(" cr2 ");
    guest_print_hex(read_cr2());
    guest_print("\n");
    outb(0xf4, 0x7f);
    for (;;)
        __asm__ volatile("cli; hlt");
}

void trap_entry(struct trap *frame);

void trap_entry(struct trap *frame)
{
    trap_hook *hook = trap_hooks[frame->vector & 255];
    if (hook && hook(frame))
        return;
    if (!tries)
        die(frame);
    if (frame->vector == USER_DONE && (frame->cs & 3) == 3)
        trap_unwind(false);
    trap = *frame;
    trap.cr2 = read_cr2();
    trap.dr6 = read_dr6();
    trap_unwind(true);
}

/* In trap.S */
bool try_enter(void (*code)(void *), void *argument);
bool user_enter(void (*code)(void *), void *argument, word flags, void *stack);

bool guest_try(void (*code)(void *), void *argument)
{
    tries++;
    bool trapped = try_enter(code, argument);
    tries--;
    return trapped;
}

bool guest_user_try(void (*code)(void *), void *argument, word flags, void *stack)
{
    tries++;
    bool trapped = user_enter(code, argument, flags, stack);
    tries--;
    return trapped;
}

bool guest_user(void (*code)(void *), void *argument)
{
    return guest_user_try(code, argument, 2, user_stack + sizeof(user_stack) - 64);
}

static void report(bool trapped, int vector, word error, const char *name)
{
    bool ok = trapped ? trap.vector == (word)vector && trap.error == error : vector < 0;
    guest_check(ok, name);
    if (ok)
        return;
    guest_print(trapped ? "# trap " : "# no trap\n");
    if (!trapped)
        return;
    guest_print_hex(trap.vector);
    guest_print(" error ");
    guest_print_hex(trap.error);
    guest_print(" at ");
    guest_print_hex(trap.ip);
    guest_print(" cr2 ");
    guest_print_hex(trap.cr2);
    guest_print("\n");
}

void guest_expect(void (*code)(void *), void *argument, int vector, word error, const char *name)
{
    report(guest_try(code, argument), vector, error, name);
}

void guest_expect_user(void (*code)(void *), void *argument, int vector, word error,
                       const char *name)
{
    report(guest_user(code, argument), vector, error, name);
}
