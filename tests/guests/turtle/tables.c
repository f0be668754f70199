/* SPDX-License-Identifier: MIT */
/*
 * Four levels of tables, EPT and page tables alike: both have their frames in the same bits, bit 7 for
 * large pages, and 7 for all rights. The memory is our own, mapped one to one.
 */
#include "tests/guests/guest.h"
#include "tests/guests/turtle/turtle.h"

void tables_init(struct tables *t)
{
    t->pages = new_page();
    for (unsigned k = 1; k < TABLE_PAGES; k++)
        new_page();
    t->used = 1;
    t->overflowed = false;
}

static void clear(u64 *page)
{
    for (unsigned k = 0; k < 512; k++)
        page[k] = 0;
}

void tables_reset(struct tables *t)
{
    clear(t->pages);
    t->used = 1;
}

static u64 *new_table(struct tables *t)
{
    u64 *page = t->pages + 512 * t->used++;
    clear(page);
    return page;
}

/* The entry for `at` at a depth of 3 (2 MiB) or 4 (4 KiB). */
static volatile u64 *entry_at(struct tables *t, u64 at, unsigned depth, bool make)
{
    volatile u64 *table = t->pages;
    for (unsigned k = 1;; k++) {
        volatile u64 *entry = &table[at >> (48 - 9 * k) & 511];
        if (k == depth)
            return entry;
        if (!(*entry & ENTRY_RIGHTS) || (*entry & ENTRY_LARGE)) {
            if (!make)
                return *entry & ENTRY_RIGHTS ? entry : NULL;
            *entry = (u64)new_table(t) | ENTRY_RIGHTS;
        }
        table = (volatile u64 *)(*entry & ENTRY_FRAME);
    }
}

void tables_map(struct tables *t, u64 at, u64 entry)
{
    if (t->used + 3 > TABLE_PAGES) {
        tables_reset(t);
        t->overflowed = true;
    }
    *entry_at(t, at, entry & ENTRY_LARGE ? 3 : 4, true) = entry;
}

void tables_unmap(struct tables *t, u64 at)
{
    volatile u64 *entry = entry_at(t, at, 4, false);
    if (entry)
        *entry = 0;
}
