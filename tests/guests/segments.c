/* SPDX-License-Identifier: MIT */
/*
 * Segmentation in 32-bit protected mode: limits, types, privilege; far transfers and gates; LAR, LSL,
 * VERR, VERW; task switches.
 */
#include "tests/guests/trap.h"
#include "tests/guests/x86.h"

enum {
    SEL_A = SEL_FREE, /* what the test at hand wants */
    SEL_B = SEL_FREE + 8,
    SEL_GATE = SEL_FREE + 16,
    SEL_TSS2 = SEL_FREE + 24,
    SEL_TSS16 = SEL_FREE + 32,
    SEL_CODE1 = SEL_FREE + 40, /* ring 1 */
    SEL_DATA1 = SEL_FREE + 48,
    SEL_CONFORMING = SEL_FREE + 56,
    SEL_TASK_GATE = SEL_FREE + 64
};

static void set(unsigned selector, uint64_t d)
{
    guest_gdt[selector / 8] = d;
}

struct access {
    unsigned selector;
    uint32_t offset;
};

static void load_ds(void *p)
{
    __asm__ volatile("mov %0, %%ds; mov %1, %%ds" : : "r"(p), "r"(SEL_DATA));
}

static void load_ss(void *p)
{
    __asm__ volatile("mov %0, %%ss; mov %1, %%ss" : : "r"(p), "r"(SEL_DATA));
}

static void read_es(void *p)
{
    struct access *a = p;
    __asm__ volatile("mov %0, %%es; mov %%es:(%1), %%eax"
                     :
                     : "r"(a->selector), "r"(a->offset)
                     : "eax");
}

static void write_es(void *p)
{
    struct access *a = p;
    __asm__ volatile("mov %0, %%es; mov %%eax, %%es:(%1)"
                     :
                     : "r"(a->selector), "r"(a->offset)
                     : "memory");
}

static void reads(unsigned selector, uint32_t offset, int vector, const char *name)
{
    struct access a = {selector, offset};
    guest_expect(read_es, &a, vector, 0, name);
}

static void writes(unsigned selector, uint32_t offset, int vector, const char *name)
{
    struct access a = {selector, offset};
    guest_expect(write_es, &a, vector, 0, name);
}

static uint8_t arena[0x2000] __attribute__((aligned(4096)));

static void limits(void)
{
    set(SEL_A, descriptor((uint32_t)arena, 0xfff, 0x93, 0x40));
    reads(SEL_A, 0xffc, -1, "the last four bytes");
    reads(SEL_A, 0xffd, GP, "one byte beyond the limit");
    reads(SEL_A, 0xffffffff, GP, "an offset that wraps");
    set(SEL_A, descriptor((uint32_t)arena, 1, 0x93, 0xc0));
    reads(SEL_A, 0x1ffc, -1, "granularity of pages");
    reads(SEL_A, 0x1ffd, GP, "its limit");
    set(SEL_A, descriptor((uint32_t)arena, 0xfff, 0x97, 0x40));
    reads(SEL_A, 0xfff, GP, "expand-down: the limit is outside");
    reads(SEL_A, 0x1000, -1, "expand-down: what follows is inside");
    set(SEL_A, descriptor((uint32_t)arena, 0xfff, 0x97, 0));
    reads(SEL_A, 0xfffc, -1, "expand-down of 16 bits: up to 0xffff");
    reads(SEL_A, 0xfffd, GP, "and not beyond");
    set(SEL_A, descriptor((uint32_t)arena, 0xfff, 0x91, 0x40));
    reads(SEL_A, 0, -1, "read-only data");
    writes(SEL_A, 0, GP, "can't be written");
    set(SEL_A, descriptor((uint32_t)arena, 0xfff, 0x9b, 0x40));
    reads(SEL_A, 0, -1, "readable code");
    writes(SEL_A, 0, GP, "can't be written, either");
    reads(0, 0, GP, "a null segment");
    set(SEL_A, descriptor(0xfffff000, 0xfffff, 0x93, 0xc0));
    reads(SEL_A, 0x300000, -1, "base plus offset wraps at 4 GiB");
    set(SEL_A, descriptor((uint32_t)arena, 0xfff, 0x92, 0x40));
    reads(SEL_A, 0, -1, "use of a segment");
    guest_check(guest_gdt[SEL_A / 8] >> 40 & 1, "sets its accessed bit");
}

static void loads(void)
{
    set(SEL_A, descriptor(0, 0xfffff, 0x99, 0xc0));
    guest_expect(load_ds, (void *)SEL_A, GP, SEL_A, "execute-only code in DS");
    guest_expect(load_ss, (void *)SEL_CODE, GP, SEL_CODE, "code in SS");
    guest_expect(load_ss, (void *)0, GP, 0, "null SS");
    guest_expect(load_ss, (void *)SEL_USER_DATA, GP, SEL_USER_DATA & ~3, "SS of the wrong level");
    set(SEL_A, descriptor(0, 0xfffff, 0x91, 0xc0));
    guest_expect(load_ss, (void *)SEL_A, GP, SEL_A, "read-only SS");
    set(SEL_A, descriptor(0, 0xfffff, 0x13, 0xc0));
    guest_expect(load_ds, (void *)SEL_A, NP, SEL_A, "absent DS");
    guest_expect(load_ss, (void *)SEL_A, SS, SEL_A, "absent SS");
    guest_expect(load_ds, (void *)(SEL_DATA | 3), GP, SEL_DATA, "RPL above DPL");
    guest_expect(load_ds, (void *)(SEL_A | 4), GP, SEL_A | 4, "no LDT");
    guest_expect_user(load_ds, (void *)SEL_DATA, GP, SEL_DATA, "CPL above DPL");
    set(SEL_CONFORMING, descriptor(0, 0xfffff, 0x9f, 0xc0));
    guest_expect(load_ds, (void *)(SEL_CONFORMING | 3), -1, 0, "conforming code for any level");
}

#define LOOK(name, instruction)                                                                    \
    static bool name(unsigned selector, uint32_t *out)                                             \
    {                                                                                              \
        bool ok;                                                                                   \
        uint32_t value = 0x55555555;                                                               \
        __asm__ volatile(instruction "; sete %0" : "=q"(ok), "+r"(value) : "r"(selector) : "cc");  \
        *out = value;                                                                              \
        return ok;                                                                                 \
    }
LOOK(lar, "lar %2, %1")
LOOK(lsl, "lsl %2, %1")
LOOK(verr, "verr %w2")
LOOK(verw, "verw %w2")

static void looks(void)
{
    uint32_t v;
    guest_check(lar(SEL_DATA, &v) && (v & 0xf0ff00) == 0xc09300, "LAR of data");
    guest_check(lsl(SEL_DATA, &v) && v == 0xffffffff, "LSL of data");
    guest_check(!lar(0, &v) && v == 0x55555555, "LAR of null");
    guest_check(!lar(SEL_DATA | 3, &v), "LAR with a high RPL");
    guest_check(lar(SEL_TSS, &v) && (v & 0xff00) == 0x8b00, "LAR of a TSS");
    guest_check(lsl(SEL_TSS, &v) && v == sizeof(guest_tss) - 1, "LSL of a TSS");
    set(SEL_GATE, 0x0000ec0000080000);
    guest_check(lar(SEL_GATE, &v), "LAR of a call gate");
    guest_check(!lsl(SEL_GATE, &v), "LSL of a call gate");
    set(SEL_GATE, 0x0000ee0000080000);
    guest_check(!lar(SEL_GATE, &v), "LAR of an interrupt gate");
    guest_check(verr(SEL_CODE, &v), "VERR of readable code");
    guest_check(!verw(SEL_CODE, &v), "VERW of code");
    guest_check(verw(SEL_DATA, &v), "VERW of data");
    set(SEL_A, descriptor(0, 0, 0x98, 0));
    guest_check(!verr(SEL_A, &v), "VERR of execute-only code");
    guest_check(verr(SEL_CONFORMING | 3, &v), "VERR of conforming code with RPL 3");
    guest_check(!verr(SEL_TSS, &v), "VERR of a TSS");
    uint16_t selector = 0x10;
    bool raised;
    __asm__ volatile("arpl %w2, %0; sete %1" : "+m"(selector), "=q"(raised) : "r"(3) : "cc");
    guest_check(raised && selector == 0x13, "ARPL raises");
    __asm__ volatile("arpl %w2, %0; sete %1" : "+m"(selector), "=q"(raised) : "r"(1) : "cc");
    guest_check(!raised && selector == 0x13, "ARPL keeps");
}

struct far {
    uint32_t offset;
    uint16_t selector;
} __attribute__((packed));

struct far target;

static void call_far(void *p)
{
    (void)p;
    __asm__ volatile("lcall *target_far" : : : "memory", "eax", "ecx", "edx");
}

static void jmp_far(void *p)
{
    (void)p;
    __asm__ volatile("ljmp *target_far" : : : "memory");
}

/* What runs at the end of a far call: it notes CS, SS, ESP and the parameters, and returns. */
word seen[16];
extern char far_function[], far_params[], far_landing[];
__asm__(".globl target_far, far_function, far_params, far_landing\n"
        "target_far = target\n"
        "far_function: mov %cs, %eax; mov %eax, %ss:seen; mov %ss, %eax; mov %eax, %ss:seen+4\n"
        "mov %esp, %ss:seen+8\n"
        "mov (%esp), %eax; mov %eax, %ss:seen+12; mov 4(%esp), %eax; mov %eax, %ss:seen+16\n"
        "mov 8(%esp), %eax; mov %eax, %ss:seen+20; mov 12(%esp), %eax; mov %eax, %ss:seen+24\n"
        "mov 16(%esp), %eax; mov %eax, %ss:seen+28; mov 20(%esp), %eax; mov %eax, %ss:seen+32\n"
        "lret\n"
        "far_params: mov %cs, %eax; mov %eax, %ss:seen; mov %ss, %eax; mov %eax, %ss:seen+4\n"
        "mov %esp, %ss:seen+8\n"
        "mov 8(%esp), %eax; mov %eax, %ss:seen+20; mov 12(%esp), %eax; mov %eax, %ss:seen+24\n"
        "lret $8\n"
        "far_landing: ud2\n");

static void transfers(void)
{
    target = (struct far){(uint32_t)far_function, SEL_CODE};
    guest_expect(call_far, 0, -1, 0, "far CALL");
    guest_equal(seen[4], SEL_CODE, "the pushed CS");
    target.selector = SEL_DATA;
    guest_expect(call_far, 0, GP, SEL_DATA, "far CALL to data");
    target.selector = 0;
    guest_expect(call_far, 0, GP, 0, "far CALL to null");
    target.selector = SEL_USER_CODE32;
    guest_expect(call_far, 0, GP, SEL_USER_CODE32 & ~3, "far CALL to another level");
    set(SEL_A, descriptor(0, 0xfffff, 0x1b, 0xc0));
    target.selector = SEL_A;
    guest_expect(jmp_far, 0, NP, SEL_A, "far JMP to absent code");
    set(SEL_A, descriptor(0, 0xff, 0x9b, 0x40));
    guest_expect(jmp_far, 0, GP, 0, "far JMP beyond the limit");
    target = (struct far){(uint32_t)far_landing, SEL_CODE};
    guest_expect(jmp_far, 0, UD, 0, "far JMP");
    target.selector = SEL_CONFORMING;
    guest_expect_user(jmp_far, 0, UD, 0, "far JMP to conforming code");
    guest_equal(trap.cs, SEL_CONFORMING | 3, "keeps the level");
}

static uint64_t call_gate(unsigned selector, uint32_t offset, unsigned type, unsigned params)
{
    return (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)params << 32 |
           (uint64_t)type << 40 | (uint64_t)(offset >> 16) << 48;
}

static void call_with_params(void *p)
{
    (void)p;
    __asm__ volatile("push $0x1111; push $0x2222; lcall *target_far; mov %%esp, %%eax"
                     :
                     :
                     : "memory", "eax", "ecx", "edx");
}

static void gates(void)
{
    set(SEL_GATE, call_gate(SEL_CODE, (uint32_t)far_function, 0x8c, 0));
    target = (struct far){0x12345, SEL_GATE};
    guest_expect(call_far, 0, -1, 0, "a call gate to the same level");
    guest_equal(seen[0], SEL_CODE, "its CS");
    guest_expect_user(call_far, 0, GP, SEL_GATE, "a gate with DPL 0 at CPL 3");
    set(SEL_GATE, call_gate(SEL_CODE, (uint32_t)far_function, 0xec, 0));
    guest_expect_user(call_far, 0, -1, 0, "a call gate to more privilege");
    guest_equal(seen[0], SEL_CODE, "CS");
    guest_equal(seen[1], SEL_DATA, "SS");
    guest_equal(seen[4], SEL_USER_CODE32, "the pushed CS");
    guest_equal(seen[6], SEL_USER_DATA, "the pushed SS");
    set(SEL_GATE, call_gate(SEL_CODE, (uint32_t)far_params, 0xec, 2));
    guest_expect_user(call_with_params, 0, -1, 0, "a call gate with parameters");
    guest_equal(seen[5], 0x2222, "the last pushed");
    guest_equal(seen[6], 0x1111, "the first");
    set(SEL_GATE, call_gate(SEL_CODE, (uint32_t)far_landing, 0xec, 0));
    guest_expect_user(jmp_far, 0, GP, SEL_CODE, "JMP through a gate to more privilege");
    set(SEL_GATE, call_gate(SEL_CONFORMING, (uint32_t)far_landing, 0xec, 0));
    guest_expect_user(jmp_far, 0, UD, 0, "JMP through a gate to conforming code");
    set(SEL_GATE, call_gate(SEL_CODE, (uint32_t)far_function, 0x6c, 0));
    guest_expect_user(call_far, 0, NP, SEL_GATE, "an absent gate");
    set(SEL_GATE, call_gate(SEL_DATA, (uint32_t)far_function, 0xec, 0));
    guest_expect_user(call_far, 0, GP, SEL_DATA, "a gate to data");
    set(SEL_GATE, call_gate(0, (uint32_t)far_function, 0xec, 0));
    guest_expect_user(call_far, 0, GP, 0, "a gate to null");
    /* The stack that the TSS gives. */
    set(SEL_CODE1, descriptor(0, 0xfffff, 0xbb, 0xc0));
    set(SEL_DATA1, descriptor(0, 0xfffff, 0xb3, 0xc0));
    set(SEL_GATE, call_gate(SEL_CODE1, (uint32_t)far_function, 0xec, 0));
    guest_tss.esp1 = (uint32_t)arena + sizeof(arena);
    guest_tss.ss1 = SEL_DATA1 | 1;
    guest_expect_user(call_far, 0, -1, 0, "a call gate to CPL 1");
    guest_equal(seen[0], SEL_CODE1 | 1, "CS");
    guest_equal(seen[1], SEL_DATA1 | 1, "SS");
    guest_equal(seen[2], (uint32_t)arena + sizeof(arena) - 16, "ESP");
    guest_tss.ss1 = SEL_DATA1;
    guest_expect_user(call_far, 0, TS, SEL_DATA1, "an SS in the TSS with the wrong RPL");
    guest_tss.ss1 = 0;
    guest_expect_user(call_far, 0, TS, 0, "a null SS in the TSS");
    set(SEL_DATA1, descriptor(0, 0xfffff, 0x33, 0xc0));
    guest_tss.ss1 = SEL_DATA1 | 1;
    guest_expect_user(call_far, 0, SS, SEL_DATA1, "an absent SS in the TSS");
    set(SEL_DATA1, descriptor((uint32_t)arena, 7, 0xb3, 0x40));
    guest_tss.esp1 = 8;
    guest_expect_user(call_far, 0, SS, SEL_DATA1, "no room on the new stack");
    set(SEL_DATA1, descriptor(0, 0xfffff, 0xb3, 0xc0));
}

/* ---- Tasks ---- */

static struct tss32 task;
static uint8_t task_stack[1024] __attribute__((aligned(16)));
word task_runs;
extern char task_code[];
__asm__(".globl task_code\n"
        "task_code: incl task_runs; str %eax; mov %eax, seen; pushf; pop %eax; mov %eax, seen+4\n"
        "mov %ebx, seen+8; mov %cr0, %eax; mov %eax, seen+12; iret\n"
        "jmp task_code\n");

static void make_task(void)
{
    task = (struct tss32){.cs = SEL_CODE,
                          .ss = SEL_DATA,
                          .ds = SEL_DATA,
                          .es = SEL_DATA,
                          .eip = (uint32_t)task_code,
                          .esp = (uint32_t)task_stack + sizeof(task_stack),
                          .ebx = 0x1234,
                          .eflags = 2,
                          .io_map = sizeof(task)};
    set(SEL_TSS2, descriptor((uint32_t)&task, 103, 0x89, 0));
    target = (struct far){0, SEL_TSS2};
}

static unsigned type_of(unsigned selector)
{
    return guest_gdt[selector / 8] >> 40 & 15;
}

static void int_task(void *p)
{
    (void)p;
    __asm__ volatile("int $0x91" : : : "memory", "eax");
}

static void iret_nt(void *p)
{
    (void)p;
    __asm__ volatile("pushf; orl $0x4000, (%%esp); popf; iret" : : : "memory");
}

static void tasks(void)
{
    make_task();
    guest_expect(call_far, 0, -1, 0, "CALL to a task, and IRET");
    guest_equal(task_runs, 1, "it ran");
    guest_equal(seen[0], SEL_TSS2, "TR in the task");
    guest_equal(seen[1] & 0x4000, 0x4000, "NT in the task");
    guest_equal(seen[2], 0x1234, "its EBX");
    guest_equal(seen[3] & 8, 8, "CR0.TS");
    guest_equal(task.link, SEL_TSS, "the back link");
    guest_equal(type_of(SEL_TSS2), 9, "after IRET its TSS isn't busy");
    guest_equal(type_of(SEL_TSS), 11, "and the first one is");
    guest_expect(call_far, 0, -1, 0, "CALL again: the task goes on behind its IRET");
    guest_equal(task_runs, 2, "it ran again");
    set(SEL_TASK_GATE, call_gate(SEL_TSS2, 0, 0xe5, 0));
    target.selector = SEL_TASK_GATE;
    guest_expect(call_far, 0, -1, 0, "CALL through a task gate");
    guest_expect_user(call_far, 0, -1, 0, "from CPL 3, too");
    guest_idt[0x91] = call_gate(SEL_TSS2, 0, 0xe5, 0);
    guest_expect(int_task, 0, -1, 0, "INT through a task gate");
    guest_equal(task_runs, 5, "it ran each time");
    target.selector = SEL_TSS;
    guest_expect(call_far, 0, GP, SEL_TSS, "CALL to a busy task");
    guest_tss.link = SEL_TSS2;
    guest_expect(iret_nt, 0, TS, SEL_TSS2, "IRET to a task that isn't busy");
    write_flags(2);
    make_task();
    set(SEL_TSS2, descriptor((uint32_t)&task, 102, 0x89, 0));
    guest_expect(call_far, 0, TS, SEL_TSS2, "a TSS too short");
    set(SEL_TSS2, descriptor((uint32_t)&task, 103, 0x09, 0));
    guest_expect(call_far, 0, NP, SEL_TSS2, "an absent TSS");
    write_cr0(read_cr0() & ~8ul);
}

/*
 * A task whose DS is wrong: the fault is the new task's, before its first instruction. (With a wrong
 * LDTR, CS or SS it has no stack yet, and only a task gate could take the fault.)
 */
static bool back_from_task(struct trap *frame)
{
    trap = *frame;
    __asm__ volatile("str %w0" : "=r"(seen[5]));
    /* Back by hand: this task is the main one again. */
    set(SEL_TSS, guest_gdt[SEL_TSS / 8] & ~(UINT64_C(2) << 40));
    __asm__ volatile("ltr %w0" : : "r"(SEL_TSS));
    return false;
}

static void bad_tasks(void)
{
    trap_hooks[TS] = trap_hooks[NP] = trap_hooks[SS] = back_from_task;
    make_task();
    task.ds = SEL_TSS;
    guest_expect(call_far, 0, TS, SEL_TSS, "a task with a TSS in DS");
    guest_equal(seen[5] & 0xffff, SEL_TSS2, "the fault is the new task's");
    guest_equal(trap.ip, (uint32_t)task_code, "at its first instruction");
    trap_hooks[TS] = trap_hooks[NP] = trap_hooks[SS] = NULL;
    write_cr0(read_cr0() & ~8ul);
    write_flags(2);
}

int guest_main(void)
{
    guest_init();
    limits();
    loads();
    looks();
    transfers();
    gates();
    tasks();
    bad_tasks();
    return guest_done();
}
