/* SPDX-License-Identifier: MIT */
/*
 * Four-level paging, and five-level where there is LA57 (paging5.c): rights, accessed and dirty bits,
 * what a translation cache may and may not keep.
 */
#include "tests/guests/pages.h"

#define V UINT64_C(0x18000000000) /* a place of the test's own, under another top-level entry */
#define KEY(n) ((uint64_t)(n) << 59)

static volatile uint32_t *const at = (volatile uint32_t *)V;
static uint64_t page_a, page_b;

static void load(void *p)
{
    (void)*(volatile uint32_t *)p;
}

static void store(void *p)
{
    *(volatile uint32_t *)p = 1;
}

static void run(void *p)
{
    ((void (*)(void))p)();
}

static uint64_t bits(uint64_t flags)
{
    return page_a | PTE_P | flags;
}

static void map(uint64_t flags)
{
    page_map(V, bits(flags));
}

static uint64_t flags_of(const volatile uint64_t *entry)
{
    return *entry & (PTE_A | PTE_D);
}

static void accessed_dirty(void)
{
    volatile uint64_t *pte = page_entry(V, 1), *pde = page_entry(V, 2);
    map(PTE_W);
    *pde &= ~PTE_A;
    write_cr3(read_cr3());
    load((void *)V);
    guest_equal(flags_of(pte), PTE_A, "a load sets A");
    guest_equal(*pde & PTE_A, PTE_A, "in each level");
    store((void *)V);
    guest_equal(flags_of(pte), PTE_A | PTE_D, "a store after a load sets D");
    map(PTE_W);
    store((void *)V);
    guest_equal(flags_of(pte), PTE_A | PTE_D, "a store sets A and D");
    map(0);
    guest_expect(store, (void *)V, PF, PF_P | PF_W, "a store to a read-only page");
    guest_equal(flags_of(pte) & PTE_D, 0, "sets no D");
    map(PTE_W);
    __asm__ volatile("lock cmpxchgl %1, %0" : "+m"(*at) : "r"(5), "a"(~*at) : "cc");
    guest_equal(flags_of(pte), PTE_A | PTE_D, "CMPXCHG that fails sets D");
    map(PTE_W);
    *(volatile uint8_t *)page_a = 0xc3;
    run((void *)V);
    guest_equal(flags_of(pte), PTE_A, "a fetch sets A");
}

static void rights(void)
{
    *(volatile uint8_t *)page_a = 0xc3;
    map(PTE_W | PTE_NX);
    guest_expect(run, (void *)V, PF, PF_P | PF_I, "NX");
    guest_expect(load, (void *)V, -1, 0, "NX allows loads");
    map(PTE_W | UINT64_C(1) << 51);
    guest_expect(load, (void *)V, PF, PF_P | PF_RSVD, "a reserved bit of the frame");
    *page_entry(V, 3) |= PTE_NX;
    map(PTE_W);
    write_cr3(read_cr3());
    guest_expect(run, (void *)V, PF, PF_P | PF_I, "NX in an upper level");
    *page_entry(V, 3) &= ~PTE_NX;
    *page_entry(V, 2) &= ~PTE_W;
    write_cr3(read_cr3());
    guest_expect(store, (void *)V, PF, PF_P | PF_W, "read-only in an upper level");
    write_cr0(read_cr0() & ~0x10000ul);
    guest_expect(store, (void *)V, -1, 0, "allowed without CR0.WP");
    write_cr0(read_cr0() | 0x10000);
    guest_expect(store, (void *)V, PF, PF_P | PF_W, "and with it not");
    *page_entry(V, 2) |= PTE_W;
    write_cr3(read_cr3());
    wrmsr(0xc0000080, rdmsr(0xc0000080) & ~0x800ul);
    map(PTE_NX);
    guest_expect(load, (void *)V, PF, PF_P | PF_RSVD, "NX is reserved without EFER.NXE");
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 0x800);
    *page_entry(V, 4) |= PTE_PS;
    map(PTE_W);
    guest_expect(load, (void *)V, PF, PF_P | PF_RSVD, "PS in the top level");
    *page_entry(V, 4) &= ~PTE_PS;
    write_cr3(read_cr3());
}

static void user(void)
{
    pages_image(true);
    *(volatile uint8_t *)page_a = 0xc3;
    map(PTE_W);
    guest_expect_user(load, (void *)V, PF, PF_P | PF_U, "user: a supervisor's page");
    guest_expect_user(store, (void *)V, PF, PF_P | PF_U | PF_W, "user: a store to it");
    guest_expect_user(run, (void *)V, PF, PF_P | PF_U | PF_I, "user: a fetch from it");
    map(PTE_U);
    guest_expect_user(load, (void *)V, -1, 0, "user: a user's page");
    guest_expect_user(store, (void *)V, PF, PF_P | PF_U | PF_W, "user: read-only");
    write_cr0(read_cr0() & ~0x10000ul);
    guest_expect_user(store, (void *)V, PF, PF_P | PF_U | PF_W, "user: WP doesn't matter");
    write_cr0(read_cr0() | 0x10000);
    *page_entry(V, 3) &= ~PTE_U;
    write_cr3(read_cr3());
    guest_expect_user(load, (void *)V, PF, PF_P | PF_U, "user: supervisor in an upper level");
    *page_entry(V, 3) |= PTE_U;
    write_cr3(read_cr3());
    pages_image(false);
}

static void smep(void)
{
    map(PTE_W | PTE_U);
    *(volatile uint8_t *)page_a = 0xc3;
    guest_expect(run, (void *)V, -1, 0, "running user code without SMEP");
    write_cr4(read_cr4() | 1 << 20);
    guest_expect(run, (void *)V, PF, PF_P | PF_I, "SMEP");
    guest_expect(load, (void *)V, -1, 0, "SMEP allows loads");
    write_cr4(read_cr4() & ~(1ul << 20));
}

static void load_with_ac(void *p)
{
    __asm__ volatile("stac" : : : "cc");
    load(p);
    __asm__ volatile("clac" : : : "cc");
}

static void load_after_clac(void *p)
{
    load_with_ac(p);
    load(p);
}

/* The first descriptor of the LDT. */
static void ldt_load(void *p)
{
    (void)p;
    __asm__ volatile("mov %0, %%ds; mov %1, %%ds" : : "r"(4), "r"(SEL_DATA));
}

static void ldt_load_with_ac(void *p)
{
    __asm__ volatile("stac" : : : "cc");
    ldt_load(p);
}

static void smap(void)
{
    map(PTE_W | PTE_U);
    guest_expect(load, (void *)V, -1, 0, "user data without SMAP");
    write_cr4(read_cr4() | 1 << 21);
    guest_expect(load, (void *)V, PF, PF_P, "SMAP: load");
    guest_expect(store, (void *)V, PF, PF_P | PF_W, "SMAP: store");
    guest_expect(load_with_ac, (void *)V, -1, 0, "SMAP with AC");
    guest_expect(load_after_clac, (void *)V, PF, PF_P, "SMAP after CLAC");
    /* A descriptor table in user memory: AC doesn't help implicit accesses. */
    guest_gdt[SEL_FREE / 8] = descriptor((uint32_t)V, 7, 0x82, 0);
    guest_gdt[SEL_FREE / 8 + 1] = V >> 32;
    *(volatile uint64_t *)page_a = descriptor(0, 0xfffff, 0x93, 0xc0);
    __asm__ volatile("lldt %w0" : : "r"(SEL_FREE));
    guest_expect(ldt_load, 0, PF, PF_P, "SMAP: an LDT in a user page");
    guest_equal(trap.cr2, V, "CR2");
    guest_expect(ldt_load_with_ac, 0, PF, PF_P, "SMAP: AC doesn't matter for it");
    __asm__ volatile("lldt %w0" : : "r"(0));
    write_cr4(read_cr4() & ~(1ul << 21));
    write_flags(2);
}

static void pkru(uint32_t value)
{
    __asm__ volatile("wrpkru" : : "a"(value), "c"(0), "d"(0) : "memory");
}

static void keys(void)
{
    if (!(cpuid(7, 0).c & 8)) {
        guest_skip("protection keys", "no PKU");
        return;
    }
    write_cr4(read_cr4() | 1 << 22);
    map(PTE_W | PTE_U | KEY(5));
    pkru(1 << 10);
    guest_expect(load, (void *)V, PF, PF_P | PF_PK, "PKU: access disabled");
    guest_expect(store, (void *)V, PF, PF_P | PF_PK | PF_W, "PKU: a store");
    pkru(2 << 10);
    guest_expect(load, (void *)V, -1, 0, "PKU: only writes disabled");
    guest_expect(store, (void *)V, PF, PF_P | PF_PK | PF_W, "PKU: then a store faults");
    write_cr0(read_cr0() & ~0x10000ul);
    guest_expect(store, (void *)V, -1, 0, "PKU: not the supervisor's without WP");
    write_cr0(read_cr0() | 0x10000);
    *(volatile uint8_t *)page_a = 0xc3;
    pkru(1 << 10);
    guest_expect(run, (void *)V, -1, 0, "PKU: not fetches");
    map(PTE_W | KEY(5));
    guest_expect(store, (void *)V, -1, 0, "PKU: not supervisor pages");
    pkru(0);
    write_cr4(read_cr4() & ~(1ul << 22));
}

/* Stale translations. The two pages hold 0xa and 0xb. */
static void point(uint64_t page, uint64_t flags)
{
    *page_entry(V, 1) = page | PTE_P | PTE_W | flags;
}

static void mark(void)
{
    *(volatile uint32_t *)page_a = 0xa;
    *(volatile uint32_t *)page_b = 0xb;
    point(page_a, 0);
    invlpg(at);
    (void)*at;
}

static void invalidation(void)
{
    mark();
    point(page_b, 0);
    uint32_t stale = *at;
    guest_check(stale == 0xa || stale == 0xb, "before INVLPG the old or the new page");
    invlpg((char *)at + 0x123);
    guest_equal(*at, 0xb, "INVLPG of any byte of the page");
    mark();
    point(page_b, 0);
    write_cr3(read_cr3());
    guest_equal(*at, 0xb, "MOV to CR3");
    /* Fewer rights take effect at once after INVLPG; more rights without it, at the latest by a
     * fault, which drops the translation. */
    mark();
    *page_entry(V, 1) = 0;
    invlpg(at);
    guest_expect(load, (void *)V, PF, 0, "an unmapped page");
    point(page_a, 0);
    guest_expect(load, (void *)V, -1, 0, "absent entries are not cached");
    map(0);
    load((void *)V);
    point(page_a, 0);
    guest_try(store, (void *)V);
    guest_expect(store, (void *)V, -1, 0, "a fault drops the translation");
    /* Large pages. */
    volatile uint64_t *pde = page_entry(V + 0x40000000, 2);
    *pde = 0x10000000 | PTE_P | PTE_W | PTE_PS;
    volatile uint32_t *big = (volatile uint32_t *)(V + 0x40000000);
    big[0] = 1;
    big[0x1000] = 2;
    *(volatile uint32_t *)0x10200000 = 3;
    *(volatile uint32_t *)0x10204000 = 4;
    *pde = 0x10200000 | PTE_P | PTE_W | PTE_PS;
    invlpg(big + 0x7000);
    guest_equal(big[0], 3, "INVLPG of a large page drops all of it");
    guest_equal(big[0x1000], 4, "every piece");
}

static void globals(void)
{
    write_cr4(read_cr4() | 0x80);
    point(page_a, PTE_G);
    *(volatile uint32_t *)page_a = 0xa;
    *(volatile uint32_t *)page_b = 0xb;
    invlpg(at);
    (void)*at;
    point(page_b, PTE_G);
    write_cr3(read_cr3());
    uint32_t stale = *at;
    guest_check(stale == 0xa || stale == 0xb, "MOV to CR3 may keep global pages");
    invlpg(at);
    guest_equal(*at, 0xb, "INVLPG drops global ones");
    point(page_a, PTE_G);
    write_cr4(read_cr4() & ~0x80ul);
    guest_equal(*at, 0xa, "a change of CR4.PGE drops them, too");
}

static void invpcid(uint64_t type, uint64_t pcid, uint64_t address)
{
    uint64_t desc[2] = {pcid, address};
    __asm__ volatile("invpcid %1, %0" : : "r"(type), "m"(desc) : "memory");
}

static void bad_type(void *p)
{
    (void)p;
    invpcid(4, 0, 0);
}

static void bad_pcid(void *p)
{
    (void)p;
    invpcid(1, 0x1000, 0);
}

static void bad_address(void *p)
{
    (void)p;
    invpcid(0, 0, UINT64_C(1) << 63);
}

static void pcid_without_pcide(void *p)
{
    (void)p;
    invpcid(1, 1, 0);
}

static void set_pcide(void *p)
{
    (void)p;
    write_cr4(read_cr4() | 1 << 17);
}

static void clear_paging(void *p)
{
    (void)p;
    write_cr0(read_cr0() & ~(1ul << 31));
}

static void pcids(void)
{
    uint64_t root = (uint64_t)page_root;
    if (!(cpuid(1, 0).c >> 17 & 1) || !(cpuid(7, 0).b >> 10 & 1)) {
        guest_skip("PCIDs", "no PCID, or no INVPCID");
        return;
    }
    guest_expect(pcid_without_pcide, 0, GP, 0, "INVPCID of a PCID without CR4.PCIDE");
    write_cr3(root | 8);
    guest_expect(set_pcide, 0, GP, 0, "CR4.PCIDE with a PCID in CR3");
    write_cr3(root);
    guest_expect(set_pcide, 0, -1, 0, "CR4.PCIDE");
    guest_expect(clear_paging, 0, GP, 0, "CR0.PG off in 64-bit mode");
    mark();
    write_cr3(root | 1);
    (void)*at;
    point(page_b, 0);
    write_cr3(root | 1 | UINT64_C(1) << 63);
    guest_check(*at == 0xa || *at == 0xb, "CR3 without flush may keep translations");
    write_cr3(root | 1);
    guest_equal(*at, 0xb, "with flush it doesn't");
    guest_equal(read_cr3(), root | 1, "CR3 shows the PCID");
    write_cr3(root | UINT64_C(1) << 63);
    invlpg(at);
    guest_equal(*at, 0xb, "INVLPG in the current PCID");
    point(page_a, 0);
    invpcid(0, 0, V);
    guest_equal(*at, 0xa, "INVPCID of an address");
    point(page_b, 0);
    invpcid(1, 0, 0);
    guest_equal(*at, 0xb, "INVPCID of one PCID");
    point(page_a, 0);
    invpcid(3, 0, 0);
    guest_equal(*at, 0xa, "INVPCID of all but global ones");
    point(page_b, 0);
    invpcid(2, 0, 0);
    guest_equal(*at, 0xb, "INVPCID of all");
    write_cr3(root | 1 | UINT64_C(1) << 63);
    guest_equal(*at, 0xb, "of the other PCID, too");
    point(page_a, 0);
    write_cr3(root | UINT64_C(1) << 63);
    invpcid(0, 1, V);
    write_cr3(root | 1 | UINT64_C(1) << 63);
    guest_equal(*at, 0xa, "INVPCID of another PCID's address");
    write_cr3(root);
    guest_expect(bad_type, 0, GP, 0, "INVPCID of type 4");
    guest_expect(bad_pcid, 0, GP, 0, "INVPCID with reserved bits");
    guest_expect(bad_address, 0, GP, 0, "INVPCID of a non-canonical address");
    write_cr4(read_cr4() & ~(1ul << 17));
}

static void crossing(void)
{
    volatile uint8_t *end = (volatile uint8_t *)V + 4094;
    page_map(V, page_a | PTE_P | PTE_W);
    page_map(V + 4096, page_b | PTE_P | PTE_W);
    *(volatile uint32_t *)end = 0x44332211;
    guest_equal(*(volatile uint16_t *)(page_a + 4094), 0x2211, "a store across pages: first part");
    guest_equal(*(volatile uint16_t *)page_b, 0x4433, "second part");
    guest_equal(*(volatile uint32_t *)end, 0x44332211, "a load across pages");
    /* mov $0x12345678, %eax; ret */
    static const uint8_t code[] = {0xb8, 0x78, 0x56, 0x34, 0x12, 0xc3};
    for (unsigned k = 0; k < sizeof(code); k++)
        end[k] = code[k];
    uint32_t result;
    __asm__ volatile("call *%1" : "=&a"(result) : "r"(end) : "memory");
    guest_equal(result, 0x12345678, "an instruction across pages");
    /* The second page changes, first in place and then by another mapping. */
    *(volatile uint8_t *)(page_b + 2) = 0x99;
    __asm__ volatile("call *%1" : "=&a"(result) : "r"(end) : "memory");
    guest_equal(result, 0x99345678, "whose second page was written");
    memcpy((void *)(page_b + 2048), (void *)page_b, 64);
    uint64_t page_c = (uint64_t)page_new();
    memcpy((void *)page_c, (void *)page_b, 64);
    *(volatile uint8_t *)(page_c + 2) = 0x77;
    page_map(V + 4096, page_c | PTE_P | PTE_W);
    __asm__ volatile("call *%1" : "=&a"(result) : "r"(end) : "memory");
    guest_equal(result, 0x77345678, "whose second page was mapped anew");
    page_map(V + 4096, 0);
    guest_expect(run, (void *)end, PF, PF_I, "an instruction that crosses into an absent page");
    guest_equal(trap.cr2, V + 4096, "CR2 is where it crosses");
    guest_equal(trap.ip, (uint64_t)end, "RIP is the instruction's");
    page_map(V + 4096, page_c | PTE_P | PTE_NX);
    guest_expect(run, (void *)end, PF, PF_I | PF_P, "and into one that forbids it");
}

static void gigabyte(void)
{
    if (!(cpuid(0x80000001, 0).d >> 26 & 1)) {
        guest_skip("pages of 1 GiB", "none");
        return;
    }
    *page_entry(V + (UINT64_C(2) << 30), 3) = PTE_P | PTE_W | PTE_PS;
    volatile uint32_t *p = (volatile uint32_t *)(V + (UINT64_C(2) << 30) + page_a);
    *(volatile uint32_t *)page_a = 0x1234;
    guest_equal(*p, 0x1234, "a page of 1 GiB");
    *page_entry(V + (UINT64_C(2) << 30), 3) |= 0x2000;
    write_cr3(read_cr3());
    guest_expect(load, (void *)p, PF, PF_P | PF_RSVD, "reserved bits of its frame");
    *page_entry(V + (UINT64_C(2) << 30), 3) = 0;
    write_cr3(read_cr3());
}

int guest_main(void)
{
    guest_init();
    pages_init();
    page_a = (uint64_t)page_new();
    page_b = (uint64_t)page_new();
    guest_check(read_cr4() & 0x20, "PAE is on");
    accessed_dirty();
    rights();
    user();
    smep();
    smap();
    keys();
    invalidation();
    globals();
    pcids();
    crossing();
    gigabyte();
    return guest_done();
}
