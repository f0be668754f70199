/* SPDX-License-Identifier: MIT */
/*
 * Turtle: a hypervisor that runs itself. The outermost instance, on the machine, is level 1; it runs
 * level 2 in its guest, and so on down to level `depth`, whose guest is the payload. All are the same
 * image at the same addresses. Each instance knows two kinds of guest:
 *
 *   the child     the next level, run by a VMCS of our own
 *   grandchildren what the child runs. The child's VMCS (struct child_vmcs, in the child's memory) is
 *                 merged with our own controls into one that the processor runs (struct grandchild)
 *
 * An exit of a grandchild is handled here or reflected to the child, as if the child had got it.
 *
 * Memory: a level's own part is the first LEVEL_STEP of what it sees; the child gets the rest, not
 * mapped one to one. With EPT-on-EPT each level uses EPT for its child, and combines the child's
 * tables with its own for grandchildren. With shadow-on-EPT level 1 uses EPT and the others shadow
 * page tables (and at depth 1 the only one does). Nobody enables interrupts.
 */
#ifndef GUESTS_TURTLE_TURTLE_H
#define GUESTS_TURTLE_TURTLE_H

#include "base/types.h"
#include "tests/guests/turtle/vmx.h"

/* ---- What a level is told by the one that runs it ---- */

#define OPTION_SHADOWING 1u     /* VMCS shadowing */
#define OPTION_SHADOW_PAGING 2u /* shadow-on-EPT */

struct params {
    u32 level, depth, options;
    u64 memory; /* bytes */
};

/* ---- A level's memory ---- */

#define PARAMS_AT UINT64_C(0x1000)
#define IMAGE_AT (2 * MIB)
#define IMAGE_SIZE (2 * MIB)
#define HEAP_AT                                                                                    \
    (4 * MIB) /* up to LEVEL_STEP; its first 2 MiB is where the child's window is mixed */
#define LEVEL_STEP (16 * MIB)
#define MACHINE_MEMORY (128 * MIB)
/*
 * Page j here (j: 1 to depth) belongs to level j, which answers reads of it; to the levels above it
 * is memory like any other.
 */
#define DEVICES_AT UINT64_C(0xd0000000)
#define DEVICE_ANSWER UINT64_C(0x7475726700000000) /* plus the level */
/* Two pages of the payload that its hypervisor exchanges when asked to. */
#define EXCHANGE_A (5 * MIB)
#define EXCHANGE_B (5 * MIB + PAGE_SIZE)

/* Hypercalls: RAX; RBX and RCX are arguments. */
enum { CALL_DONE = 0x7400, CALL_EXCHANGE };

/* CPUID leaves: who is next below; how many are below */
#define LEAF_NEAREST 0x40000000u
#define LEAF_CHAIN 0x40000001u
#define CHAIN_MSR 0x40000000u /* each level adds one on its way down and up */

/* ---- Results (report.c) ---- */

struct record {
    const char *name; /* the image is the same at all levels */
    u64 got, wanted;
    u32 level;
    u32 reason; /* COUNT: of exits for this reason */
    enum record_kind { RECORD_CHECK, RECORD_CHILD_EXITS, RECORD_GRANDCHILD_EXITS } kind;
};
void record_equal(u64 got, u64 wanted, const char *name);
void record_check(bool ok, const char *name);
void record_exits(void);
/* Takes over what the child has recorded. */
void record_import(u64 records, u64 count);
/* To the hypervisor, with all that was recorded here; the end. */
void record_deliver(void) __attribute__((noreturn));
int record_print(void);
/* Something is broken beyond repair: prints what, at any level, and ends the machine. */
void panic(const char *what, u64 value) __attribute__((noreturn));

/* ---- VMCSs ---- */

/* A VMCS of the child's, in a layout of our own: a slot for each field (fields.c). */
#define CHILD_REVISION 0x7475726cu
#define SHADOW_INDICATOR BIT32(31)
#define SLOTS_PER_GROUP 24
struct child_vmcs {
    u32 revision, abort;
    u64 launched;
    u64 slot[16 * SLOTS_PER_GROUP];
};

/* Slot of a field by encoding (high halves too), -1: there is no such field. */
int field_slot(u64 encoding);
u64 field_get(const struct child_vmcs *v, u64 encoding);
void field_set(struct child_vmcs *v, u64 encoding, u64 value);
bool field_is_guest(u64 encoding);
bool field_is_host(u64 encoding);
/* Fields that nearly every exit and entry has to do with; those that a shadow VMCS holds. */
extern const u16 hot_fields[];
#define HOT_FIELDS 13
bool field_is_hot(u64 encoding);
/* Calls do_field for all guest-state fields that entries load. */
void field_each_guest(void (*do_field)(void *context, u64 encoding), void *context);

/* ---- Tables of pages: EPT or page tables (tables.c) ---- */

#define TABLE_PAGES 40
#define ENTRY_P UINT64_C(1)
#define ENTRY_W UINT64_C(2)
#define ENTRY_U UINT64_C(4) /* EPT: execute */
#define ENTRY_A UINT64_C(0x20)
#define ENTRY_D UINT64_C(0x40)
#define ENTRY_LARGE UINT64_C(0x80)
#define ENTRY_NX BIT(63)
#define ENTRY_RIGHTS UINT64_C(7)
#define ENTRY_FRAME UINT64_C(0x000ffffffffff000)
#define EPT_WB (UINT64_C(6) << 3)

struct tables {
    u64 *pages; /* the first is the root */
    unsigned used;
    bool overflowed; /* begun anew since this was last cleared: translations must be flushed */
};
void tables_init(struct tables *t);
void tables_reset(struct tables *t);
void tables_map(struct tables *t, u64 at, u64 entry); /* ENTRY_LARGE: 2 MiB */
void tables_unmap(struct tables *t, u64 at);

/* ---- Guests ---- */

struct regs {
    u64 r[16]; /* by number; RSP is in the VMCS */
};

struct grandchild {
    bool used;
    u64 vmcs_gpa; /* in the child's memory */
    struct child_vmcs *v;
    u64 vmcs;         /* ours */
    bool ran;         /* has been launched: its VMCS has the latest state, rare fields only there */
    bool all_dirty;   /* the child's VMCS must be merged anew */
    u16 dirty[8];     /* or these fields of it only */
    unsigned dirties; /* how many */
    u64 rip, rsp, rflags; /* in our VMCS */
    u16 vpid;
    u8 *msr_bitmap;
    struct tables tables; /* combined EPT, or shadow page tables */
};

#define CHILD_VPID 1u /* grandchildren have those that follow */
#define GRANDCHILDREN 6

struct hypervisor {
    u32 level, depth, options;
    u64 memory;
    bool paging;      /* shadow page tables here, else EPT */
    struct regs regs; /* of the guest that runs */

    /* The child */
    u64 vmcs;
    bool launched, done;
    u64 child_cr3;
    u64 start_gdt; /* that of start.S, which the child starts with */
    struct tables tables;
    u8 *msr_bitmap;
    bool exchanged;   /* EXCHANGE_A and _B */
    bool vmx_on;      /* the child is in VMX operation */
    bool vmx_enabled; /* its CR4.VMXE */
    u64 feature_control, vmxon_gpa;
    u64 chain_msr;
    struct child_vmcs *current; /* its current VMCS */
    u64 current_gpa;
    u64 shadow; /* the shadow VMCS that the child's accesses go to */
    u8 *shadow_bitmap;
    u64 host_cache[24]; /* what was last loaded of its host state */
    bool host_cached;

    struct grandchild grandchildren[GRANDCHILDREN];
    struct grandchild *running; /* NULL: the child */

    u32 child_exits[EXIT_REASONS], grandchild_exits[EXIT_REASONS], reflected;
    u32 hot_accesses; /* VMREADs and VMWRITEs of hot fields that exited, of the child */
    u32 device_hits;
    u8 *heap;
};
extern struct hypervisor hv;

static inline bool is_set(u32 option)
{
    return hv.options & option;
}

/* ---- main.c ---- */

void *new_page(void); /* zeroed */
u64 vm_get(u64 field);
void vm_set(u64 field, u64 value);
void vm_use(u64 vmcs); /* makes it current */
u64 new_vmcs(u32 flags);

/* ---- setup.c ---- */

extern char vm_exited[], exit_stack_top[], level_entry[], level_stack_top[];
u32 control_adjust(u32 msr, u32 wanted);
/* What both our VMCSs and the merged ones have. */
void setup_host(void);
u64 gdt_base(void);
void setup_child(void);
u32 own_secondary(void);
u64 root_of(const struct tables *t); /* EPTP or CR3 */

/* ---- memory.c ---- */

enum place { PLACE_RAM, PLACE_PASS, PLACE_DEVICE, PLACE_NONE };
/* Where the child's memory is in ours; large: so is all of its 2 MiB. */
enum place child_place(u64 gpa, u64 *at, bool *large);
void *child_pointer(u64 gpa); /* panics where there is no RAM */
/* The child's linear memory: size bytes within a page. */
void *child_linear(u64 address);
void map_child(void); /* its EPT, or nothing yet */
void exchange_pages(void);

/* An exit that may be due to our own tables. True: it was, and has been dealt with. */
bool fix_child_fault(u32 reason);
enum fix { FIX_DONE, FIX_REFLECT };
/* The same for a grandchild; to be reflected: with these. */
struct fault_info {
    u64 qualification, gpa;
    bool page_fault; /* by the child's tables, with this error code */
    u32 error;
};
enum fix fix_grandchild_fault(struct grandchild *g, u32 reason, struct fault_info *f);
void flush_vpid(u16 vpid);
void flush_child(void);
void flush_grandchild(struct grandchild *g);

/* ---- child.c ---- */

void advance(void);
void inject(u32 vector, bool has_error, u32 error);
void child_exit(u32 reason);
/* Exits that are handled alike whoever runs. False: not of these. */
bool common_exit(u32 reason);
u64 capability(u32 msr);
u64 get_reg(unsigned number);

/* ---- vmxinsn.c ---- */

void vmx_instruction(u32 reason);
/* A grandchild's access to the shadow VMCS that the child has given it; false: reflect it */
bool shadowed_access(struct grandchild *g, u32 reason);
void answer(unsigned how, u32 number);
void copy_to_shadow(void);
void copy_from_shadow(void);

/* ---- nested.c ---- */

struct grandchild *find_grandchild(u64 vmcs_gpa);
/* The child's VMLAUNCH, VMRESUME. */
void enter_grandchild(void);
/* The processor refused the merged VMCS. */
void entry_refused(unsigned how);
void grandchild_exit(u32 reason);
/* Writes back what is only in our VMCS, and forgets it. */
void forget_grandchild(struct grandchild *g);
/* The child has written to this field. */
void set_dirty(struct grandchild *g, u64 field);
bool is_dirty(const struct grandchild *g, u64 field);

/* ---- The rest ---- */

unsigned vm_run(struct regs *regs, bool launch);
/* The start information is that of PVH. */
struct start_info;
int turtle_main(const struct start_info *info);
void level_main(struct params *params) __attribute__((noreturn));
void selfcheck_operation(void); /* before anything runs; leaves VMX operation on, no VMCS current */
void selfcheck_entry(void);     /* with the child's VMCS set up and current, not launched */
unsigned vmlaunch_again(void);  /* the VMfail number of a VMLAUNCH that cannot succeed */
void payload(u32 depth, u32 options);

#endif
