/* SPDX-License-Identifier: MIT */
/* Grandchildren: the child's VMCSs merged with our controls, entries, and exits to the child. */
#include "tests/guests/guest.h"
#include "tests/guests/turtle/turtle.h"
#include "tests/guests/x86.h"

/* ---- Which ---- */

struct grandchild *find_grandchild(u64 vmcs_gpa)
{
    for (unsigned k = 0; k < GRANDCHILDREN; k++)
        if (hv.grandchildren[k].used && hv.grandchildren[k].vmcs_gpa == vmcs_gpa)
            return &hv.grandchildren[k];
    return NULL;
}

static struct grandchild *new_grandchild(void)
{
    for (unsigned k = 0; k < GRANDCHILDREN; k++) {
        struct grandchild *g = &hv.grandchildren[k];
        if (g->used)
            continue;
        if (!g->vmcs) {
            g->vmcs = new_vmcs(0);
            g->msr_bitmap = new_page();
            g->vpid = (u16)(2 + k);
            tables_init(&g->tables);
        }
        return g;
    }
    panic("too many VMCSs of the child", GRANDCHILDREN);
}

/* The child's current one; our VMCS of it is made current. */
static struct grandchild *use_grandchild(void)
{
    struct grandchild *g = find_grandchild(hv.current_gpa);
    if (g) {
        vm_use(g->vmcs);
        return g;
    }
    g = new_grandchild();
    g->used = g->all_dirty = true;
    g->ran = false;
    g->dirties = 0;
    g->vmcs_gpa = hv.current_gpa;
    g->v = hv.current;
    if (vmclear(g->vmcs) != VM_OK)
        panic("VMCLEAR of", g->vmcs);
    vm_use(g->vmcs);
    setup_host();
    flush_grandchild(g);
    flush_vpid(g->vpid); /* of one that had it before */
    return g;
}

bool is_dirty(const struct grandchild *g, u64 field)
{
    for (unsigned k = 0; k < g->dirties; k++)
        if (g->dirty[k] == field)
            return true;
    return g->all_dirty;
}

static void fetch(void *context, u64 field)
{
    struct grandchild *g = context;
    if (!is_dirty(g, field) && !field_is_hot(field) && !(hv.paging && field == VMCS_GUEST_CR3))
        field_set(g->v, field, vm_get(field));
}

/* What is only in our VMCS, to the child's */
static void fetch_all(struct grandchild *g)
{
    if (!g->ran)
        return;
    vm_use(g->vmcs);
    field_each_guest(fetch, g);
    vm_use(hv.vmcs);
}

void forget_grandchild(struct grandchild *g)
{
    fetch_all(g);
    g->used = false;
}

void set_dirty(struct grandchild *g, u64 field)
{
    if (!g || is_dirty(g, field))
        return;
    g->dirty[g->dirties++] = (u16)field;
    if (g->dirties < ARRAY_SIZE(g->dirty))
        return;
    fetch_all(g);
    g->all_dirty = true;
    g->dirties = 0;
}

/* ---- Merging: what the child asks for, and what we need ---- */

static void merge_msr_bitmaps(struct grandchild *g, u32 primary)
{
    const u64 *ours = (const u64 *)hv.msr_bitmap;
    u64 *merged = (u64 *)g->msr_bitmap;
    const u64 *theirs =
        primary & PRIMARY_MSR_BITMAPS ? child_pointer(field_get(g->v, VMCS_MSR_BITMAPS)) : NULL;
    for (unsigned k = 0; k < 512; k++)
        merged[k] = theirs ? ours[k] | theirs[k] : UINT64_MAX;
}

static void merge_control_registers(struct grandchild *g)
{
    const struct child_vmcs *v = g->v;
    u64 mask0 = field_get(v, VMCS_CR0_GUEST_HOST_MASK),
        mask4 = field_get(v, VMCS_CR4_GUEST_HOST_MASK);
    u64 seen0 =
        (field_get(v, VMCS_CR0_READ_SHADOW) & mask0) | (field_get(v, VMCS_GUEST_CR0) & ~mask0);
    u64 seen4 =
        (field_get(v, VMCS_CR4_READ_SHADOW) & mask4) | (field_get(v, VMCS_GUEST_CR4) & ~mask4);
    vm_set(VMCS_CR0_GUEST_HOST_MASK, mask0 | CR0_NEEDED);
    vm_set(VMCS_CR4_GUEST_HOST_MASK, mask4 | CR4_VMXE);
    vm_set(VMCS_CR0_READ_SHADOW, seen0);
    vm_set(VMCS_CR4_READ_SHADOW, seen4);
}

/* Level 1 without EPT of the child's: its grandchildren use the child's tables, too. */
static u64 grandchild_root(const struct grandchild *g)
{
    bool has_ept = field_get(g->v, VMCS_SECONDARY_CONTROLS) & SECONDARY_EPT;
    return root_of(has_ept || hv.paging ? &g->tables : &hv.tables);
}

static void merge_controls(struct grandchild *g)
{
    const struct child_vmcs *v = g->v;
    u32 primary = (u32)field_get(v, VMCS_PRIMARY_CONTROLS);
    u32 theirs = (u32)field_get(v, VMCS_SECONDARY_CONTROLS);
    u32 secondary = theirs & ~(SECONDARY_EPT | SECONDARY_VPID | SECONDARY_SHADOWING);
    u32 bitmap = (u32)field_get(v, VMCS_EXCEPTION_BITMAP) | (hv.paging ? BIT32(14) : 0);
    vm_set(VMCS_PIN_CONTROLS, field_get(v, VMCS_PIN_CONTROLS));
    vm_set(VMCS_PRIMARY_CONTROLS, primary | PRIMARY_SECONDARY | PRIMARY_MSR_BITMAPS |
                                      PRIMARY_UNCONDITIONAL_IO | PRIMARY_CR3_LOAD |
                                      PRIMARY_CR3_STORE | (hv.paging ? PRIMARY_INVLPG : 0));
    vm_set(VMCS_SECONDARY_CONTROLS, secondary | own_secondary());
    vm_set(VMCS_VM_EXIT_CONTROLS, control_adjust(MSR_VMX_TRUE_EXIT, EXITS_HOST_64));
    vm_set(VMCS_VM_ENTRY_CONTROLS, field_get(v, VMCS_VM_ENTRY_CONTROLS));
    vm_set(VMCS_EXCEPTION_BITMAP, bitmap);
    vm_set(VMCS_PF_ERROR_CODE_MASK, hv.paging ? 0 : field_get(v, VMCS_PF_ERROR_CODE_MASK));
    vm_set(VMCS_PF_ERROR_CODE_MATCH, hv.paging ? 0 : field_get(v, VMCS_PF_ERROR_CODE_MATCH));
    vm_set(VMCS_CR3_TARGET_COUNT, 0);
    vm_set(VMCS_VM_EXIT_MSR_STORE_COUNT, 0);
    vm_set(VMCS_VM_EXIT_MSR_LOAD_COUNT, 0);
    vm_set(VMCS_VM_ENTRY_MSR_LOAD_COUNT, 0);
    vm_set(VMCS_VMCS_LINK_POINTER, UINT64_MAX);
    vm_set(VMCS_MSR_BITMAPS, (u64)g->msr_bitmap);
    vm_set(VMCS_VPID, g->vpid);
    merge_msr_bitmaps(g, primary);
    merge_control_registers(g);
    if (hv.paging)
        vm_set(VMCS_GUEST_CR3, grandchild_root(g));
    else
        vm_set(VMCS_EPT_POINTER, grandchild_root(g));
}

/* A field of the guest-state area to our VMCS */
static void store(void *context, u64 field)
{
    struct grandchild *g = context;
    if (hv.paging && field == VMCS_GUEST_CR3)
        flush_grandchild(g); /* other tables to be shadowed */
    else if (!field_is_hot(field))
        vm_set(field, field_get(g->v, field));
}

static bool merges(u64 field)
{
    return !field_is_guest(field) && !field_is_host(field);
}

static void merge(struct grandchild *g)
{
    bool controls = g->all_dirty;
    if (g->all_dirty)
        field_each_guest(store, g);
    for (unsigned k = 0; k < g->dirties && !g->all_dirty; k++) {
        if (merges(g->dirty[k]))
            controls = true;
        else if (field_is_guest(g->dirty[k]) && g->dirty[k] != VMCS_VMCS_LINK_POINTER)
            store(g, g->dirty[k]);
    }
    if (controls)
        merge_controls(g);
}

static void set_if_changed(bool force, u64 field, u64 *had, u64 value)
{
    if (force || *had != value)
        vm_set(field, value);
    *had = value;
}

static void store_hot(struct grandchild *g)
{
    const struct child_vmcs *v = g->v;
    bool all = g->all_dirty;
    u64 info = field_get(v, VMCS_VM_ENTRY_INTR_INFO);
    set_if_changed(all, VMCS_GUEST_RIP, &g->rip, field_get(v, VMCS_GUEST_RIP));
    set_if_changed(all, VMCS_GUEST_RSP, &g->rsp, field_get(v, VMCS_GUEST_RSP));
    set_if_changed(all, VMCS_GUEST_RFLAGS, &g->rflags, field_get(v, VMCS_GUEST_RFLAGS));
    if (!all && !(info & INTR_VALID))
        return;
    vm_set(VMCS_VM_ENTRY_INTR_INFO, info);
    vm_set(VMCS_VM_ENTRY_EXCEPTION_ERROR_CODE, field_get(v, VMCS_VM_ENTRY_EXCEPTION_ERROR_CODE));
    vm_set(VMCS_VM_ENTRY_INSTRUCTION_LENGTH, field_get(v, VMCS_VM_ENTRY_INSTRUCTION_LENGTH));
}

/* ---- Entry ---- */

static bool allowed(u64 limits, u64 controls)
{
    return (controls & (u32)limits) == (u32)limits && !(controls & ~(limits >> 32));
}

/* Asked anew only after controls have changed. */
static bool controls_allowed(const struct child_vmcs *v)
{
    return allowed(capability(MSR_VMX_TRUE_PINBASED), field_get(v, VMCS_PIN_CONTROLS)) &&
           allowed(capability(MSR_VMX_TRUE_PROCBASED), field_get(v, VMCS_PRIMARY_CONTROLS)) &&
           allowed(capability(MSR_VMX_PROCBASED2), field_get(v, VMCS_SECONDARY_CONTROLS)) &&
           allowed(capability(MSR_VMX_TRUE_EXIT), field_get(v, VMCS_VM_EXIT_CONTROLS)) &&
           allowed(capability(MSR_VMX_TRUE_ENTRY), field_get(v, VMCS_VM_ENTRY_CONTROLS));
}

static bool host_state_valid(const struct child_vmcs *v)
{
    return field_get(v, VMCS_HOST_CS_SELECTOR) && field_get(v, VMCS_HOST_TR_SELECTOR) &&
           (field_get(v, VMCS_HOST_CR0) & CR0_NEEDED) == CR0_NEEDED &&
           (field_get(v, VMCS_HOST_CR4) & CR4_VMXE);
}

static bool controls_dirty(u64 gpa)
{
    const struct grandchild *g = find_grandchild(gpa);
    if (!g || g->all_dirty)
        return true;
    for (unsigned k = 0; k < g->dirties; k++)
        if (!field_is_guest(g->dirty[k]))
            return true;
    return false;
}

void enter_grandchild(void)
{
    copy_from_shadow();
    if (controls_dirty(hv.current_gpa)) {
        u32 error = !controls_allowed(hv.current)   ? ERR_CONTROLS
                    : !host_state_valid(hv.current) ? ERR_HOST_STATE
                                                    : 0;
        if (error) {
            answer(VM_FAIL_VALID, error);
            return;
        }
    }
    struct grandchild *g = use_grandchild();
    merge(g);
    store_hot(g);
    g->all_dirty = false;
    g->dirties = 0;
    hv.running = g;
}

void entry_refused(unsigned how)
{
    u32 number = how == VM_FAIL_VALID ? (u32)vm_get(VMCS_VM_INSTRUCTION_ERROR) : 0;
    hv.running = NULL;
    vm_use(hv.vmcs);
    answer(how, number);
}

/* ---- Reflection ---- */

static const u16 host_to_guest[][2] = {
    {VMCS_HOST_ES_SELECTOR, VMCS_GUEST_ES_SELECTOR},
    {VMCS_HOST_CS_SELECTOR, VMCS_GUEST_CS_SELECTOR},
    {VMCS_HOST_SS_SELECTOR, VMCS_GUEST_SS_SELECTOR},
    {VMCS_HOST_DS_SELECTOR, VMCS_GUEST_DS_SELECTOR},
    {VMCS_HOST_FS_SELECTOR, VMCS_GUEST_FS_SELECTOR},
    {VMCS_HOST_GS_SELECTOR, VMCS_GUEST_GS_SELECTOR},
    {VMCS_HOST_TR_SELECTOR, VMCS_GUEST_TR_SELECTOR},
    {VMCS_HOST_CR0, VMCS_GUEST_CR0},
    {VMCS_HOST_CR4, VMCS_GUEST_CR4},
    {VMCS_HOST_FS_BASE, VMCS_GUEST_FS_BASE},
    {VMCS_HOST_GS_BASE, VMCS_GUEST_GS_BASE},
    {VMCS_HOST_TR_BASE, VMCS_GUEST_TR_BASE},
    {VMCS_HOST_GDTR_BASE, VMCS_GUEST_GDTR_BASE},
    {VMCS_HOST_IDTR_BASE, VMCS_GUEST_IDTR_BASE},
    {VMCS_HOST_SYSENTER_CS, VMCS_GUEST_SYSENTER_CS},
    {VMCS_HOST_SYSENTER_ESP, VMCS_GUEST_SYSENTER_ESP},
    {VMCS_HOST_SYSENTER_EIP, VMCS_GUEST_SYSENTER_EIP},
};

/*
 * The child's host state. A child is turtle: it does not change its segments behind our back, so that
 * only what differs from the last time has to be written.
 */
static void load_host_state(const struct child_vmcs *v)
{
    for (unsigned k = 0; k < ARRAY_SIZE(host_to_guest); k++)
        set_if_changed(!hv.host_cached, host_to_guest[k][1], &hv.host_cache[k],
                       field_get(v, host_to_guest[k][0]));
    if (!hv.host_cached) {
        vm_set(VMCS_GUEST_GDTR_LIMIT, 0xffff);
        vm_set(VMCS_GUEST_IDTR_LIMIT, 0xffff);
        vm_set(VMCS_GUEST_LDTR_ACCESS_RIGHTS, 0x10000);
        vm_set(VMCS_GUEST_DR7, 0x400);
        vm_set(VMCS_CR4_READ_SHADOW, field_get(v, VMCS_HOST_CR4));
    }
    hv.host_cached = true;
    if (field_get(v, VMCS_HOST_CR3) != hv.child_cr3)
        panic("the child's host has another CR3:", field_get(v, VMCS_HOST_CR3));
    vm_set(VMCS_GUEST_RIP, field_get(v, VMCS_HOST_RIP));
    vm_set(VMCS_GUEST_RSP, field_get(v, VMCS_HOST_RSP));
    vm_set(VMCS_GUEST_RFLAGS, 2);
}

static bool has_info(u32 reason)
{
    return (reason >= EXIT_VMCLEAR && reason <= EXIT_VMXON) || reason == EXIT_INVEPT ||
           reason == EXIT_INVVPID;
}

/* From our VMCS, which is current, to the child's */
static void save_exit(struct grandchild *g, u32 reason, const struct fault_info *f)
{
    struct child_vmcs *v = g->v;
    bool event = reason == EXIT_EXCEPTION_NMI, walk = reason == EXIT_EPT_VIOLATION;
    u64 intr = event ? vm_get(VMCS_EXIT_INTR_INFO) : 0;
    field_set(v, VMCS_EXIT_INTR_INFO, intr);
    field_set(v, VMCS_GUEST_PHYSICAL_ADDRESS, f->gpa);
    if (intr & INTR_HAS_ERROR)
        field_set(v, VMCS_EXIT_INTR_ERROR_CODE,
                  f->page_fault ? f->error : vm_get(VMCS_EXIT_INTR_ERROR_CODE));
    field_set(v, VMCS_IDT_VECTORING_INFO, event || walk ? vm_get(VMCS_IDT_VECTORING_INFO) : 0);
    if (!event && !walk)
        field_set(v, VMCS_EXIT_INSTRUCTION_LENGTH, vm_get(VMCS_EXIT_INSTRUCTION_LENGTH));
    if (has_info(reason))
        field_set(v, VMCS_EXIT_INSTRUCTION_INFO, vm_get(VMCS_EXIT_INSTRUCTION_INFO));
    field_set(v, VMCS_GUEST_RIP, g->rip = vm_get(VMCS_GUEST_RIP));
    field_set(v, VMCS_GUEST_RSP, g->rsp = vm_get(VMCS_GUEST_RSP));
    field_set(v, VMCS_GUEST_RFLAGS, g->rflags = vm_get(VMCS_GUEST_RFLAGS));
    field_set(v, VMCS_VM_ENTRY_INTR_INFO, field_get(v, VMCS_VM_ENTRY_INTR_INFO) & ~(u64)INTR_VALID);
}

static void reflect(struct grandchild *g, u32 reason, const struct fault_info *f)
{
    struct child_vmcs *v = g->v;
    hv.reflected++;
    field_set(v, VMCS_EXIT_REASON, reason);
    field_set(v, VMCS_EXIT_QUALIFICATION, f->qualification);
    if (!(reason & ENTRY_FAILURE)) {
        save_exit(g, reason, f);
        v->launched = true;
    }
    hv.running = NULL;
    if (is_set(OPTION_SHADOWING)) {
        copy_to_shadow(); /* leaves hv.vmcs current */
    } else {
        vm_use(hv.vmcs);
    }
    load_host_state(v);
}

/* ---- Exits ---- */

static bool msr_wanted(const struct child_vmcs *v, u32 primary, bool write)
{
    u32 index = (u32)hv.regs.r[1];
    bool high = (index & ~0x1fffu) == 0xc0000000u;
    if (!(primary & PRIMARY_MSR_BITMAPS) || (index > 0x1fff && !high))
        return true;
    const u8 *map = child_pointer(field_get(v, VMCS_MSR_BITMAPS));
    u32 bit = index & 0x1fff;
    return map[(write ? 2048 : 0) + (high ? 1024 : 0) + bit / 8] >> bit % 8 & 1;
}

/* Does the child want to see it? What faults have to do with our tables has been settled. */
static bool is_wanted(const struct child_vmcs *v, u32 reason)
{
    u32 primary = (u32)field_get(v, VMCS_PRIMARY_CONTROLS);
    switch (reason) {
    case EXIT_HLT:
        return primary & PRIMARY_HLT;
    case EXIT_IO:
        return primary & PRIMARY_UNCONDITIONAL_IO;
    case EXIT_INVLPG:
        return primary & PRIMARY_INVLPG;
    case EXIT_RDMSR:
    case EXIT_WRMSR:
        return msr_wanted(v, primary, reason == EXIT_WRMSR);
    case EXIT_EXCEPTION_NMI:
        return field_get(v, VMCS_EXCEPTION_BITMAP) >> (vm_get(VMCS_EXIT_INTR_INFO) & 31) & 1;
    default:
        return true;
    }
}

void grandchild_exit(u32 reason)
{
    struct grandchild *g = hv.running;
    struct fault_info f = {0};
    hv.grandchild_exits[(u16)reason % EXIT_REASONS]++;
    if (reason == EXIT_EXCEPTION_NMI || reason == EXIT_EPT_VIOLATION) {
        if (fix_grandchild_fault(g, reason, &f) == FIX_DONE)
            return;
    } else {
        f.qualification = vm_get(VMCS_EXIT_QUALIFICATION);
    }
    if ((reason == EXIT_VMREAD || reason == EXIT_VMWRITE) && shadowed_access(g, reason))
        return;
    if (is_wanted(g->v, reason)) {
        reflect(g, reason, &f);
        return;
    }
    if (!common_exit(reason))
        panic("exit that nobody wants", reason);
}
