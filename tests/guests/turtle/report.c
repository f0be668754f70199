/* SPDX-License-Identifier: MIT */
/*
 * Results. Each level keeps records, which go down with the last hypercall; level 1 prints them: a
 * character printed further up would cost an exit of each level below.
 */
#include "tests/guests/guest.h"
#include "tests/guests/turtle/turtle.h"

#define RECORDS 512
static struct record records[RECORDS];
static u32 used;

static const char *const reason_names[EXIT_REASONS] = {
#define EXIT(id, name, number) [number] = #name,
#include "vmx/exits.def"
};

static void add(struct record r)
{
    if (used < RECORDS)
        records[used++] = r;
}

void record_equal(u64 got, u64 wanted, const char *name)
{
    add((struct record){
        .name = name, .got = got, .wanted = wanted, .level = hv.level, .kind = RECORD_CHECK});
}

void record_check(bool ok, const char *name)
{
    record_equal(ok, true, name);
}

static void add_counts(const u32 *counts, enum record_kind kind)
{
    for (u32 k = 0; k < EXIT_REASONS; k++)
        if (counts[k])
            add((struct record){.level = hv.level, .kind = kind, .reason = k, .got = counts[k]});
}

static void record_seen(u32 reason, const char *name)
{
    record_check(hv.child_exits[reason], name);
}

/* Exits by which a hypervisor is known */
static void record_hypervisor_exits(void)
{
    bool shadowing = is_set(OPTION_SHADOWING);
    record_seen(EXIT_VMXON, "VMXON exits");
    record_seen(EXIT_VMCLEAR, "VMCLEAR exits");
    record_seen(EXIT_VMPTRLD, "VMPTRLD exits");
    record_seen(EXIT_VMPTRST, "VMPTRST exits");
    record_seen(EXIT_VMREAD, "VMREAD exits");
    record_seen(EXIT_VMWRITE, "VMWRITE exits");
    record_seen(EXIT_VMLAUNCH, "VMLAUNCH exits");
    record_seen(EXIT_VMRESUME, "VMRESUME exits");
    record_seen(EXIT_INVVPID, "INVVPID exits");
    if (!is_set(OPTION_SHADOW_PAGING))
        record_seen(EXIT_INVEPT, "INVEPT exits");
    record_seen(EXIT_VMXOFF, "VMXOFF exits");
    record_check(!hv.hot_accesses == shadowing, "shadowed fields do not exit, others do");
    record_check(hv.reflected, "exits were reflected");
}

/* What the payload does, it does once where nothing else is said (payload.c). */
static void record_payload_exits(void)
{
    record_equal(hv.child_exits[EXIT_CPUID], 3, "CPUID exits");
    record_equal(hv.child_exits[EXIT_HLT], 1, "HLT exits");
    record_equal(hv.child_exits[EXIT_IO], 2, "I/O exits");
    record_equal(hv.child_exits[EXIT_RDMSR], 2, "RDMSR exits");
    record_equal(hv.child_exits[EXIT_WRMSR], 1, "WRMSR exits");
    record_equal(hv.child_exits[EXIT_CR_ACCESS], 3, "MOV CR3 exits");
    record_equal(hv.child_exits[EXIT_VMCALL], 3, "VMCALL exits");
    record_equal(hv.child_exits[EXIT_VMXON], 1, "VMXON exits");
    record_check(hv.paging ? hv.child_exits[EXIT_INVLPG] > 0 : !hv.child_exits[EXIT_INVLPG],
                 "INVLPG exits only if page tables are shadowed");
    if (hv.paging)
        record_check(hv.child_exits[EXIT_EXCEPTION_NMI] > 2, "page faults exit");
    else
        record_equal(hv.child_exits[EXIT_EPT_VIOLATION], 1, "EPT violations exit");
}

void record_exits(void)
{
    record_equal(hv.device_hits, 1, "the read of this level's device came here");
    if (hv.level == hv.depth)
        record_payload_exits();
    else
        record_hypervisor_exits();
    add_counts(hv.child_exits, RECORD_CHILD_EXITS);
    add_counts(hv.grandchild_exits, RECORD_GRANDCHILD_EXITS);
}

void record_import(u64 at, u64 count)
{
    for (u64 k = 0; k < count; k++)
        add(*(struct record *)child_linear(at + k * sizeof(struct record)));
}

void record_deliver(void)
{
    u64 call = CALL_DONE;
    __asm__ volatile("vmcall" : "+a"(call) : "b"(records), "c"((u64)used) : "memory");
    panic("returned from the last hypercall", call);
}

/* ---- Printing ---- */

static char *append(char *to, const char *text)
{
    while (*text)
        *to++ = *text++;
    *to = '\0';
    return to;
}

static char *append_number(char *to, u64 number)
{
    char digits[24], *digit = digits + sizeof(digits) - 1;
    *digit = '\0';
    do {
        *--digit = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    return append(to, digit);
}

static void print_check(const struct record *r)
{
    char name[160], *at = append(name, r->level > hv.depth ? "payload" : "level ");
    if (r->level <= hv.depth)
        at = append_number(at, r->level);
    at = append(at, ": ");
    append(at, r->name);
    guest_equal(r->got, r->wanted, name);
}

static void print_count(const struct record *r)
{
    char line[160], *at = append_number(append(line, "# level "), r->level);
    at = append(at, r->kind == RECORD_CHILD_EXITS ? ", child: " : ", grandchildren: ");
    at = append(at, reason_names[r->reason] ? reason_names[r->reason] : "unknown");
    append(append_number(append(at, " "), r->got), "\n");
    guest_print(line);
}

int record_print(void)
{
    for (u32 k = 0; k < used; k++)
        if (records[k].kind == RECORD_CHECK)
            print_check(&records[k]);
        else
            print_count(&records[k]);
    guest_check(used < RECORDS, "all results were kept");
    return guest_done();
}

void panic(const char *what, u64 value)
{
    guest_print("Bail out! level ");
    guest_print_hex(hv.level);
    guest_print(": ");
    guest_print(what);
    guest_print(" ");
    guest_print_hex(value);
    guest_print("\n");
    outb(0xf4, 0x7e);
    for (;;)
        __asm__ volatile("hlt");
}
