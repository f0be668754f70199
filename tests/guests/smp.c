/* SPDX-License-Identifier: MIT */
/*
 * Several processors: INIT and SIPI, what is each one's own, interprocessor interrupts by every kind of
 * destination, translations shot down, and that nobody's spin uses up another's time.
 */
#include "tests/guests/pages.h"

#define CPUS_MAX 64
#define TRAMPOLINE 0x8000
#define IPI 0x40
#define APIC ((volatile uint32_t *)0xfee00000)
#define MSR_X2APIC 0x800
#define MSR_APIC_BASE 0x1b
#define MSR_TSC_AUX 0xc0000103
#define WINDOW UINT64_C(0x100000000000) /* a page here is mapped anew */

enum { REG_ID = 2, REG_EOI = 0xb, REG_LDR = 0xd, REG_DFR = 0xe, REG_SVR = 0xf, REG_ICR = 0x30 };
enum { TO_SELF = 1 << 18, TO_ALL = 2 << 18, TO_OTHERS = 3 << 18, LOGICAL = 1 << 11 };
enum { MODE_INIT = 5 << 8, MODE_STARTUP = 6 << 8, ASSERT = 1 << 14 };

struct pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

extern char ap_code[], ap_code_end[], ap_gdt[], ap_cr3[];
uint8_t ap_stacks[CPUS_MAX][8192] __attribute__((aligned(16)));
uint32_t ap_count;

__asm__(".code16\n"
        ".globl ap_code\n"
        "ap_code: cli; xorw %ax, %ax; movw %ax, %ds\n"
        "lgdtl ap_gdt - ap_code + 0x8000\n"
        "movl %cr4, %eax; orl $0x620, %eax; movl %eax, %cr4\n"
        "movl ap_cr3 - ap_code + 0x8000, %eax; movl %eax, %cr3\n"
        "movl $0xc0000080, %ecx; rdmsr; orl $0x901, %eax; wrmsr\n"
        "movl $0x80010033, %eax; movl %eax, %cr0\n"
        "ljmpl $8, $ap_64\n"
        ".globl ap_gdt\n"
        "ap_gdt: .word 0; .long 0; .word 0\n"
        ".globl ap_cr3\n"
        "ap_cr3: .long 0\n"
        ".globl ap_code_end\n"
        "ap_code_end:\n"
        ".code64\n"
        "ap_64: movl $16, %eax; movl %eax, %ds; movl %eax, %es; movl %eax, %ss\n"
        "movl $1, %edi; lock xaddl %edi, ap_count(%rip)\n"
        "movl %edi, %eax; shll $13, %eax; leaq ap_stacks+8192(%rax), %rsp\n"
        "xorl %ebp, %ebp; call ap_main; 1: hlt; jmp 1b\n");

/* ---- What each processor does when told to ---- */

typedef void task(unsigned self);

static struct {
    task *volatile task;
    volatile uint32_t id, ipis, done;
} processors[CPUS_MAX];
static unsigned count; /* processors besides this one; numbers are 1 to count, 0 is this one */
static bool x2apic;

static uint32_t apic_read(unsigned reg)
{
    return x2apic ? (uint32_t)rdmsr(MSR_X2APIC + reg) : APIC[4 * reg];
}

static void apic_write(unsigned reg, uint32_t value)
{
    if (x2apic)
        wrmsr(MSR_X2APIC + reg, value);
    else
        APIC[4 * reg] = value;
}

static void send(uint32_t dest, uint32_t command)
{
    if (x2apic) {
        wrmsr(MSR_X2APIC + REG_ICR, (uint64_t)dest << 32 | command);
        return;
    }
    APIC[4 * REG_ICR + 4] = dest << 24;
    APIC[4 * REG_ICR] = command;
}

static unsigned self(void)
{
    return (unsigned)rdmsr(MSR_TSC_AUX);
}

static volatile bool shoot;

static bool ipi(struct trap *frame)
{
    (void)frame;
    if (shoot)
        invlpg((void *)WINDOW);
    processors[self()].ipis++;
    apic_write(REG_EOI, 0);
    return true;
}

void ap_main(unsigned number);
void ap_main(unsigned number)
{
    unsigned me = number + 1;
    load_idt(0xfff);
    wrmsr(MSR_TSC_AUX, me);
    apic_write(REG_SVR, 0x1ff);
    processors[me].id = apic_read(REG_ID) >> (x2apic ? 0 : 24);
    processors[me].done = 1;
    __asm__ volatile("sti");
    for (;;) {
        task *job = processors[me].task;
        if (job) {
            processors[me].task = 0;
            job(me);
            processors[me].done++;
        }
        __asm__ volatile("hlt");
    }
}

/* HLT may miss what was told just before it: the IPI is there to wake. */
static void start(unsigned n, task *job)
{
    processors[n].task = job;
    send(processors[n].id, ASSERT | IPI);
}

static void wait(uint64_t ticks)
{
    uint64_t from = rdtsc();
    while (rdtsc() - from < ticks)
        __asm__ volatile("pause");
}

static bool wait_done(unsigned n, uint32_t done)
{
    for (unsigned k = 0; k < 100000 && processors[n].done != done; k++)
        __asm__ volatile("pause");
    return processors[n].done == done;
}

static bool everybody(task *job)
{
    uint32_t done[CPUS_MAX];
    bool ok = true;
    for (unsigned n = 1; n <= count; n++) {
        done[n] = processors[n].done;
        start(n, job);
    }
    for (unsigned n = 1; n <= count; n++)
        ok = wait_done(n, done[n] + 1) && ok;
    return ok;
}

/* ---- Start ---- */

static void bring_up(void)
{
    struct pointer gdt;
    uint32_t cr3 = (uint32_t)read_cr3();
    __asm__ volatile("sgdt %0" : "=m"(gdt));
    memcpy((void *)TRAMPOLINE, ap_code, (size_t)(ap_code_end - ap_code));
    memcpy((char *)TRAMPOLINE + (ap_gdt - ap_code), &gdt.limit, 2);
    memcpy((char *)TRAMPOLINE + (ap_gdt - ap_code) + 2, &gdt.base, 4);
    memcpy((char *)TRAMPOLINE + (ap_cr3 - ap_code), &cr3, 4);
    wrmsr(MSR_TSC_AUX, 0);
    apic_write(REG_SVR, 0x1ff);
    processors[0].id = apic_read(REG_ID) >> 24;
    __asm__ volatile("sti");
    send(0, TO_OTHERS | ASSERT | MODE_INIT);
    wait(10000);
    send(0, TO_OTHERS | ASSERT | MODE_STARTUP | TRAMPOLINE >> 12);
    wait(1000000);
    send(0, TO_OTHERS | ASSERT | MODE_STARTUP | TRAMPOLINE >> 12); /* they are past it */
    wait(1000000);
    count = ap_count;
}

static bool different_ids(void)
{
    for (unsigned a = 0; a <= count; a++)
        for (unsigned b = 0; b < a; b++)
            if (processors[a].id == processors[b].id)
                return false;
    return true;
}

/* ---- What is each one's own; time is everybody's ---- */

static uint64_t stamps[CPUS_MAX];

static void own_registers(unsigned me)
{
    wrmsr(0xc0000102, UINT64_C(0x1000) * me); /* IA32_KERNEL_GS_BASE */
    wrmsr(0x174, 8 * me);                     /* IA32_SYSENTER_CS */
    stamps[me] = rdtsc();
}

static bool own_kept;

static void check_registers(unsigned me)
{
    if (rdmsr(0xc0000102) != UINT64_C(0x1000) * me || rdmsr(0x174) != 8 * me || self() != me)
        own_kept = false;
}

static void registers(void)
{
    uint64_t before = rdtsc();
    own_kept = everybody(own_registers);
    uint64_t after = rdtsc();
    bool within = true;
    for (unsigned n = 1; n <= count; n++)
        within = within && before < stamps[n] && stamps[n] < after;
    guest_check(within, "every time-stamp counter is between two readings of another");
    own_kept = everybody(check_registers) && own_kept;
    guest_check(own_kept, "each has its own MSRs");
}

/* ---- Interprocessor interrupts ---- */

static bool got(unsigned n, uint32_t times)
{
    uint32_t had = processors[n].ipis;
    processors[n].ipis = 0;
    return had == times;
}

/* Bit n of `who`: processor n gets it, and no other. */
static void sends_to(uint32_t dest, uint32_t command, uint64_t who, const char *name)
{
    bool ok = true;
    for (unsigned n = 0; n <= count; n++)
        processors[n].ipis = 0;
    send(dest, command | ASSERT | IPI);
    wait(20000);
    for (unsigned n = 0; n <= count; n++)
        ok = got(n, who >> n & 1) && ok;
    guest_check(ok, name);
}

static uint64_t all(void)
{
    return count == 63 ? UINT64_MAX : (UINT64_C(2) << count) - 1;
}

static void flat(unsigned me)
{
    apic_write(REG_DFR, UINT32_MAX);
    apic_write(REG_LDR, me < 8 ? 1u << (24 + me) : 0);
}

static void clusters(unsigned me)
{
    apic_write(REG_DFR, 0x0fffffff);
    apic_write(REG_LDR, me < 30 ? ((me / 2) << 4 | 1u << (me & 1)) << 24 : 0);
}

static void xapic_ipis(void)
{
    sends_to(0, TO_SELF, 1, "to itself");
    sends_to(0, TO_ALL, all(), "to all");
    sends_to(0, TO_OTHERS, all() & ~UINT64_C(1), "to all others");
    sends_to(processors[count].id, 0, UINT64_C(1) << count, "to one by its ID");
    sends_to(0xff, 0, all(), "to ID FFH");
    sends_to(0x77, 0, 0, "to an ID that nobody has");
    flat(0);
    everybody(flat);
    sends_to(0x6, LOGICAL, count >= 2 ? 6 : 2, "flat: two of them");
    sends_to(0xff, LOGICAL, all() & 0xff, "flat: all eight");
    clusters(0);
    everybody(clusters);
    sends_to(0x03, LOGICAL, 3, "clusters: all of the first");
    sends_to(0x12, LOGICAL, count >= 3 ? 8 : 0, "clusters: one of the second");
    sends_to(0xff, LOGICAL, all(), "clusters: all");
}

static void to_x2apic(unsigned me)
{
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 1 << 10);
    processors[me].id = (uint32_t)rdmsr(MSR_X2APIC + REG_ID);
}

static void x2apic_ipis(void)
{
    if (!(cpuid(1, 0).c >> 21 & 1)) {
        guest_skip("x2APIC mode", "not in this model");
        return;
    }
    /* Tell all while messages are still sent by the one way, then go oneself. */
    for (unsigned n = 1; n <= count; n++)
        start(n, to_x2apic);
    wait(100000);
    x2apic = true;
    to_x2apic(0);
    wait(1000);
    uint32_t cluster = 0, bits = 0;
    uint64_t who = 0;
    for (unsigned n = 0; n <= count; n++)
        if (processors[n].id >> 4 == cluster && (n & 1)) {
            bits |= 1u << (processors[n].id & 15);
            who |= UINT64_C(1) << n;
        }
    sends_to(0, TO_ALL, all(), "x2APIC: to all");
    sends_to(0, TO_OTHERS, all() & ~UINT64_C(1), "x2APIC: to all others");
    sends_to(processors[count].id, 0, UINT64_C(1) << count, "x2APIC: to one by its ID");
    sends_to(UINT32_MAX, 0, all(), "x2APIC: to ID FFFFFFFFH");
    sends_to(0xff, 0, 0, "x2APIC: FFH is an ID like others");
    sends_to(bits, LOGICAL, who, "x2APIC: some of a cluster");
}

/* ---- Translations ---- */

static volatile uint32_t saw[CPUS_MAX];

static void look(unsigned me)
{
    saw[me] = *(volatile uint32_t *)WINDOW;
}

static void shoot_down(void)
{
    uint32_t *page[2] = {page_new(), page_new()};
    bool ok = true;
    for (uint32_t k = 0; k < 6; k++) {
        *page[k & 1] = k;
        *page_entry(WINDOW, 1) = (uint64_t)page[k & 1] | PTE_P | PTE_W;
        invlpg((void *)WINDOW);
        shoot = true;
        send(0, TO_OTHERS | ASSERT | IPI);
        wait(20000);
        shoot = false;
        ok = everybody(look) && ok;
        for (unsigned n = 1; n <= count; n++)
            ok = ok && saw[n] == k;
    }
    guest_check(ok, "translations are shot down by IPIs");
}

/* ---- Spinning ---- */

static volatile uint32_t lock_word;
static volatile uint32_t counter;

static void spin_reading(unsigned me)
{
    (void)me;
    __asm__ volatile("1: cmpl $0, %0; jne 1b" : : "m"(lock_word) : "cc");
}

static void spin_exchanging(unsigned me)
{
    uint32_t one = 1;
    (void)me;
    __asm__ volatile("1: movl $1, %0; xchgl %0, %1; testl %0, %0; jnz 1b"
                     : "+r"(one), "+m"(lock_word)
                     :
                     : "cc", "memory");
    lock_word = 0;
}

static void spin_comparing(unsigned me)
{
    (void)me;
    __asm__ volatile("1: xorl %%eax, %%eax; movl $1, %%ecx; lock cmpxchgl %%ecx, %0; jnz 1b"
                     : "+m"(lock_word)
                     :
                     : "cc", "memory", "eax", "ecx");
    lock_word = 0;
}

static __attribute__((noinline)) bool taken(void)
{
    return lock_word != 0;
}

static void spin_calling(unsigned me)
{
    (void)me;
    while (taken())
        ;
}

/* A loop that counts its turns. */
static void spin_counting(unsigned me)
{
    uint32_t turns = 0;
    while (lock_word && turns < UINT32_MAX - me)
        turns++;
}

static void spin_pausing(unsigned me)
{
    (void)me;
    while (lock_word)
        __asm__ volatile("pause");
}

/* Some 400,000 instructions with loads and stores. */
static uint64_t work(void)
{
    uint64_t from = rdtsc();
    for (uint32_t k = 0; k < 100000; k++)
        counter += k;
    return rdtsc() - from;
}

/* The others spin while this one works: its work may not take much longer than alone. */
static void spins(task *job, const char *name)
{
    uint32_t done[CPUS_MAX];
    bool ok = true;
    uint64_t alone = work();
    lock_word = 1;
    for (unsigned n = 1; n <= count; n++) {
        done[n] = processors[n].done;
        start(n, job);
    }
    wait(count * 20000);
    uint64_t beside = work();
    lock_word = 0;
    for (unsigned n = 1; n <= count; n++)
        ok = wait_done(n, done[n] + 1) && ok;
    guest_check(ok, name);
    guest_print("# work alone ");
    guest_print_hex(alone);
    guest_print(" beside spinning processors ");
    guest_print_hex(beside);
    guest_print("\n");
    guest_check(beside < alone + alone / 4, "spinning leaves the time to who works");
}

/* Computing without a store is no spin: three of them get equal shares. */
static volatile uint64_t computed[CPUS_MAX];

static void compute(unsigned me)
{
    uint64_t from = rdtsc();
    __asm__ volatile("movl $200000, %%ecx; 1: decl %%ecx; jnz 1b" : : : "ecx", "cc");
    computed[me] = rdtsc() - from;
}

static void computes(void)
{
    uint64_t least = UINT64_MAX, most = 0;
    bool ok = everybody(compute);
    for (unsigned n = 1; n <= count; n++) {
        least = computed[n] < least ? computed[n] : least;
        most = computed[n] > most ? computed[n] : most;
    }
    guest_check(ok && most < 2 * least, "computing processors get equal shares");
}

int guest_main(void)
{
    guest_init();
    pages_init();
    trap_hooks[IPI] = ipi;
    bring_up();
    if (!count) {
        guest_skip("several processors", "there is one");
        return guest_done();
    }
    guest_print("# processors: ");
    guest_print_hex(count + 1);
    guest_print("\n");
    guest_check(different_ids(), "each has its own APIC ID");
    registers();
    xapic_ipis();
    shoot_down();
    spins(spin_reading, "reading until a lock is free");
    spins(spin_exchanging, "exchanging until it is free");
    spins(spin_comparing, "comparing until it is free");
    spins(spin_calling, "calling until it is free");
    spins(spin_counting, "counting until it is free");
    spins(spin_pausing, "pausing until it is free");
    computes();
    x2apic_ipis();
    return guest_done();
}
