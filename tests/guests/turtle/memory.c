/* SPDX-License-Identifier: MIT */
/*
 * The memory of guests: where the child's is in ours, and the faults by which EPT and shadow page
 * tables are filled.
 */
#include "tests/guests/turtle/turtle.h"
#include "tests/guests/x86.h"

enum { INVALIDATE_ONE = 1 }; /* INVEPT: an EPTP; INVVPID: a VPID */
enum { PF_PRESENT = 1, PF_WRITE = 2, PF_USER = 4, PF_FETCH = 16 };
#define LARGE_MASK (2 * MIB - 1)
#define QUAL_RIGHTS UINT64_C(0x38)

/* ---- The child's memory ---- */

static u64 exchanged(u64 gpa)
{
    u64 page = gpa & PAGE_MASK;
    if (!hv.exchanged || (page != EXCHANGE_A && page != EXCHANGE_B))
        return gpa;
    return (page == EXCHANGE_A ? EXCHANGE_B : EXCHANGE_A) | (gpa & ~PAGE_MASK);
}

/* The 2 MiB at HEAP_AT have their pages in reverse order. */
enum place child_place(u64 gpa, u64 *at, bool *large)
{
    u64 device = (gpa - DEVICES_AT) >> PAGE_SHIFT;
    *large = false;
    if (gpa < hv.memory - LEVEL_STEP) {
        gpa = exchanged(gpa);
        *large = (gpa & ~LARGE_MASK) != HEAP_AT;
        *at = LEVEL_STEP + (*large ? gpa : gpa ^ (LARGE_MASK & PAGE_MASK));
        return PLACE_RAM;
    }
    *at = gpa;
    if (gpa < DEVICES_AT || !device || device > hv.level)
        return PLACE_NONE;
    return device == hv.level ? PLACE_DEVICE : PLACE_PASS;
}

void *child_pointer(u64 gpa)
{
    u64 at;
    bool large;
    if (child_place(gpa, &at, &large) != PLACE_RAM)
        panic("no RAM of the child's at", gpa);
    return (void *)at;
}

void map_child(void)
{
    u64 at, step;
    bool large;
    tables_init(&hv.tables);
    if (hv.paging)
        return;
    for (u64 gpa = 0; gpa < hv.memory - LEVEL_STEP; gpa += step) {
        child_place(gpa, &at, &large);
        step = large ? 2 * MIB : PAGE_SIZE;
        tables_map(&hv.tables, gpa, at | ENTRY_RIGHTS | EPT_WB | (large ? ENTRY_LARGE : 0));
    }
    for (u64 k = 1; k < hv.level; k++) {
        u64 gpa = DEVICES_AT + k * PAGE_SIZE;
        tables_map(&hv.tables, gpa, gpa | ENTRY_RIGHTS | EPT_WB);
    }
}

u64 root_of(const struct tables *t)
{
    return hv.paging ? (u64)t->pages : (u64)t->pages | 3 << 3 | 6; /* four levels, write-back */
}

void flush_vpid(u16 vpid)
{
    if (invvpid(INVALIDATE_ONE, vpid, 0) != VM_OK)
        panic("INVVPID of", vpid);
}

static void flush(const struct tables *t, u16 vpid)
{
    if (hv.paging)
        flush_vpid(vpid);
    else if (invept(INVALIDATE_ONE, root_of(t)) != VM_OK)
        panic("INVEPT of", root_of(t));
}

void flush_child(void)
{
    if (hv.paging)
        tables_reset(&hv.tables);
    flush(&hv.tables, CHILD_VPID);
}

void flush_grandchild(struct grandchild *g)
{
    tables_reset(&g->tables);
    flush(&g->tables, g->vpid);
}

void exchange_pages(void)
{
    hv.exchanged = !hv.exchanged;
    if (!hv.paging)
        for (u64 gpa = EXCHANGE_A; gpa <= EXCHANGE_B; gpa += PAGE_SIZE)
            tables_map(&hv.tables, gpa, (u64)child_pointer(gpa) | ENTRY_RIGHTS | EPT_WB);
    flush_child();
}

/* ---- Walks of a guest's own tables ---- */

struct guest_page {
    u64 gpa;
    u64 rights; /* ENTRY_P, _W, _U, _NX */
    bool large; /* 2 MiB or more */
};

static bool is_leaf(unsigned depth, u64 entry)
{
    return depth == 4 || (depth > 1 && (entry & ENTRY_LARGE));
}

static u64 offset_mask(unsigned depth)
{
    return (BIT(48 - 9 * depth)) - 1;
}

/* CR0.WP and EFER.NXE are 1, SMEP and SMAP off. */
static bool allows(u64 rights, u32 access)
{
    return !((access & PF_WRITE) && !(rights & ENTRY_W)) &&
           !((access & PF_USER) && !(rights & ENTRY_U)) &&
           !((access & PF_FETCH) && (rights & ENTRY_NX));
}

/* access: as in the error code, which becomes the guest's if false. */
static bool guest_walk(u64 root, u64 gva, u32 *access, struct guest_page *p)
{
    u64 *leaf, rights = ENTRY_P | ENTRY_W | ENTRY_U, table = root & ENTRY_FRAME;
    *access &= ~(u32)PF_PRESENT;
    for (unsigned depth = 1;; depth++) {
        leaf = child_pointer(table + 8 * (gva >> (48 - 9 * depth) & 511));
        if (!(*leaf & ENTRY_P))
            return false;
        rights = (rights & (*leaf | ENTRY_NX)) | (*leaf & ENTRY_NX);
        if (is_leaf(depth, *leaf)) {
            p->large = depth < 4;
            p->gpa = (*leaf & ENTRY_FRAME & ~offset_mask(depth)) | (gva & offset_mask(depth));
            break;
        }
        *leaf |= ENTRY_A;
        table = *leaf & ENTRY_FRAME;
    }
    if (!allows(rights, *access)) {
        *access |= PF_PRESENT;
        return false;
    }
    *leaf |= *access & PF_WRITE ? ENTRY_A | ENTRY_D : ENTRY_A;
    p->rights = *leaf & ENTRY_D ? rights : rights & ~ENTRY_W; /* D must be set by a fault */
    return true;
}

/* The child's: its code is the same as ours. */
void *child_linear(u64 address)
{
    struct guest_page p;
    u32 access = 0;
    if (!guest_walk(hv.child_cr3, address, &access, &p))
        panic("operand is not mapped at", address);
    return child_pointer(p.gpa);
}

/* ---- Devices ---- */

/* The payload reads by mov (%rax), %rcx, of three bytes. */
static void answer_device(void)
{
    hv.device_hits++;
    hv.regs.r[1] = DEVICE_ANSWER + hv.level;
    vm_set(VMCS_GUEST_RIP, vm_get(VMCS_GUEST_RIP) + 3);
}

/* ---- Shadow page tables ---- */

static void map(struct tables *t, u16 vpid, u64 address, u64 entry)
{
    tables_map(t, address & (entry & ENTRY_LARGE ? ~LARGE_MASK : PAGE_MASK), entry);
    if (t->overflowed)
        flush(t, vpid);
    t->overflowed = false;
}

/* False: the fault is the guest's, with this error code. */
static bool fix_page_fault(struct tables *t, u16 vpid, u64 root, u64 gva, u32 *error)
{
    struct guest_page p;
    u64 at;
    bool large;
    if (!guest_walk(root, gva, error, &p))
        return false;
    switch (child_place(p.gpa, &at, &large)) {
    case PLACE_NONE:
        panic("no memory at", p.gpa);
    case PLACE_DEVICE:
        answer_device();
        return true;
    default:
        large &= p.large;
        at &= large ? ~LARGE_MASK : PAGE_MASK;
        map(t, vpid, gva, at | p.rights | ENTRY_A | ENTRY_D | (large ? ENTRY_LARGE : 0));
        return true;
    }
}

static bool is_page_fault(u32 reason)
{
    return reason == EXIT_EXCEPTION_NMI && (u8)vm_get(VMCS_EXIT_INTR_INFO) == 14;
}

bool fix_child_fault(u32 reason)
{
    u64 at, gva;
    bool large;
    if (reason == EXIT_EPT_VIOLATION) {
        u64 gpa = vm_get(VMCS_GUEST_PHYSICAL_ADDRESS);
        if (child_place(gpa, &at, &large) != PLACE_DEVICE)
            panic("EPT violation of the child at", gpa);
        answer_device();
        return true;
    }
    if (!hv.paging || !is_page_fault(reason))
        return false;
    u32 error = (u32)vm_get(VMCS_EXIT_INTR_ERROR_CODE);
    gva = vm_get(VMCS_EXIT_QUALIFICATION);
    if (!fix_page_fault(&hv.tables, CHILD_VPID, hv.child_cr3, gva, &error)) {
        write_cr2(gva);
        inject(14, true, error);
    }
    return true;
}

/* ---- Grandchildren ---- */

/* Through the child's EPT. False: it has no such page, or not with these rights. */
static bool ept_walk(u64 eptp, u64 gpa, u64 need, struct guest_page *p)
{
    u64 entry, table = eptp & ENTRY_FRAME;
    p->rights = ENTRY_RIGHTS;
    for (unsigned depth = 1;; depth++) {
        entry = *(u64 *)child_pointer(table + 8 * (gpa >> (48 - 9 * depth) & 511));
        p->rights &= entry;
        if (!(entry & ENTRY_RIGHTS))
            return false;
        if (is_leaf(depth, entry)) {
            p->large = depth < 4;
            p->gpa = (entry & ENTRY_FRAME & ~offset_mask(depth)) | (gpa & offset_mask(depth));
            return !(need & ~p->rights);
        }
        table = entry & ENTRY_FRAME;
    }
}

static enum fix fix_ept(struct grandchild *g, struct fault_info *f)
{
    struct guest_page p = {.rights = ENTRY_RIGHTS};
    u64 at;
    bool large;
    bool has_ept = field_get(g->v, VMCS_SECONDARY_CONTROLS) & SECONDARY_EPT;
    p.gpa = f->gpa;
    if (has_ept &&
        !ept_walk(field_get(g->v, VMCS_EPT_POINTER), f->gpa, f->qualification & ENTRY_RIGHTS, &p)) {
        f->qualification = (f->qualification & ~QUAL_RIGHTS) | p.rights << 3;
        return FIX_REFLECT;
    }
    switch (child_place(p.gpa, &at, &large)) {
    case PLACE_NONE:
        panic("no memory of a grandchild at", p.gpa);
    case PLACE_DEVICE:
        answer_device();
        return FIX_DONE;
    default:
        if (!has_ept)
            panic("EPT violation of a grandchild at", p.gpa);
        large &= p.large;
        at &= large ? ~LARGE_MASK : PAGE_MASK;
        map(&g->tables, g->vpid, f->gpa, at | p.rights | EPT_WB | (large ? ENTRY_LARGE : 0));
        return FIX_DONE;
    }
}

enum fix fix_grandchild_fault(struct grandchild *g, u32 reason, struct fault_info *f)
{
    f->qualification = vm_get(VMCS_EXIT_QUALIFICATION);
    f->gpa = 0;
    if (reason == EXIT_EPT_VIOLATION) {
        f->gpa = vm_get(VMCS_GUEST_PHYSICAL_ADDRESS);
        return fix_ept(g, f);
    }
    if (!hv.paging || !is_page_fault(reason))
        return FIX_REFLECT;
    f->error = (u32)vm_get(VMCS_EXIT_INTR_ERROR_CODE);
    u64 root = field_get(g->v, VMCS_GUEST_CR3);
    bool ours = fix_page_fault(&g->tables, g->vpid, root, f->qualification, &f->error);
    f->page_fault = true;
    return ours ? FIX_DONE : FIX_REFLECT;
}
