/* SPDX-License-Identifier: MIT */
#include "tests/guests/pages.h"

#define TABLE (PTE_P | PTE_W | PTE_U)
#define FRAME UINT64_C(0x000ffffffffff000)

uint64_t *page_root;
static uint8_t pool[96][4096] __attribute__((aligned(4096)));
static unsigned used;

void *page_new(void)
{
    if (used == sizeof(pool) / sizeof(pool[0])) {
        guest_print("Bail out! no pages left\n");
        outb(0xf4, 0x7e);
    }
    return memset(pool[used++], 0, 4096);
}

/* A table of pieces in place of a large page. */
static uint64_t split(uint64_t entry, int level)
{
    uint64_t *table = page_new(), step = UINT64_C(1) << (12 + 9 * (level - 2));
    uint64_t leaf = level == 2 ? entry & ~PTE_PS : entry;
    for (unsigned k = 0; k < 512; k++)
        table[k] = leaf + k * step;
    return (uint64_t)table | TABLE;
}

volatile uint64_t *page_entry(uint64_t at, int level)
{
    volatile uint64_t *table = page_root;
    for (int k = read_cr4() & 0x1000 ? 5 : 4;; k--) {
        volatile uint64_t *entry = &table[at >> (12 + 9 * (k - 1)) & 511];
        if (k == level)
            return entry;
        if (!(*entry & PTE_P))
            *entry = (uint64_t)page_new() | TABLE;
        else if (k <= 3 && (*entry & PTE_PS))
            *entry = split(*entry, k);
        table = (volatile uint64_t *)(*entry & FRAME);
    }
}

void page_map(uint64_t at, uint64_t entry)
{
    *page_entry(at, 1) = entry;
    invlpg((void *)at);
}

void pages_init(void)
{
    page_root = page_new();
    for (uint64_t at = 0; at < UINT64_C(1) << 32; at += 0x200000)
        *page_entry(at, 2) = at | PTE_P | PTE_W | PTE_PS;
    write_cr3((unsigned long)page_root);
}

void pages_image(bool user)
{
    for (uint64_t at = 0x200000; at < 0x600000; at += 0x200000) {
        volatile uint64_t *entry = page_entry(at, 2);
        if (*entry & PTE_PS) {
            *entry = user ? *entry | PTE_U : *entry & ~PTE_U;
            continue;
        }
        for (uint64_t k = 0; k < 512; k++) {
            entry = page_entry(at + k * 4096, 1);
            *entry = user ? *entry | PTE_U : *entry & ~PTE_U;
        }
    }
    write_cr3(read_cr3());
}
