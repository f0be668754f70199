/* SPDX-License-Identifier: MIT */
/*
 * Page tables of a 64-bit guest: its own copy of the map that start.S made (4 GiB one to one), split
 * where a test wants small pages. Tables allow everything, so that the last entry decides.
 */
#ifndef GUESTS_PAGES_H
#define GUESTS_PAGES_H

#include "tests/guests/trap.h"
#include "tests/guests/x86.h"

#define PTE_P UINT64_C(1)
#define PTE_W UINT64_C(2)
#define PTE_U UINT64_C(4)
#define PTE_A UINT64_C(0x20)
#define PTE_D UINT64_C(0x40)
#define PTE_PS UINT64_C(0x80)
#define PTE_G UINT64_C(0x100)
#define PTE_NX (UINT64_C(1) << 63)

enum { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16, PF_PK = 32 };

/* Builds the map and loads it. */
void pages_init(void);
/* The entry that maps `at` at a level (1: 4 KiB page, 2: 2 MiB, 3: 1 GiB, 4, 5), made if need be. */
volatile uint64_t *page_entry(uint64_t at, int level);
/* Maps the 4 KiB page at `at`, and forgets its translation. */
void page_map(uint64_t at, uint64_t entry);
/* A zeroed page of memory, mapped one to one; the same for page tables. */
void *page_new(void);
/* Makes the guest's own image the user's, or the supervisor's again. */
void pages_image(bool user);
extern uint64_t *page_root;

#endif
