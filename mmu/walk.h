/* SPDX-License-Identifier: MIT */
/*
 * Translation of a linear address by the guest's page tables (SDM volume 3, "Paging"). A walk never
 * calls up and never raises: it returns an outcome and the caller acts.
 */
#ifndef MMU_WALK_H
#define MMU_WALK_H

#include "base/types.h"
#include "mmu/bus.h"

enum walk_mode { WALK_NONE, WALK_32BIT, WALK_PAE, WALK_4LEVEL, WALK_5LEVEL };

enum walk_access {
    WALK_READ,
    WALK_WRITE,
    WALK_FETCH,
};

enum walk_result {
    WALK_OK,
    WALK_PAGE_FAULT,
    WALK_EPT_VIOLATION,
    WALK_EPT_MISCONFIG,
    WALK_PML_FULL,
};

/* The page-modification log: EPT walks that set a D flag write to it. */
struct walk_pml {
    u64 address; /* of its page */
    u16 index;   /* of the next entry, which goes down; above 511 the log is full */
};

/* Everything a translation depends on. `bus` is where tables are read and A/D bits written. */
struct walk_ctx {
    struct bus *bus;
    u64 cr3;              /* PCID and other low bits are ignored here */
    u64 pdpte[4];         /* PAE: the registers loaded by MOV CR3 (SDM "PDPTE Registers") */
    u64 eptp;             /* 0: no EPT, gpa is hpa */
    struct walk_pml *pml; /* NULL: off */
    enum walk_mode mode;
    u8 maxphyaddr;                      /* physical-address width, bits */
    bool wp, nxe, smep, smap, pse, pge; /* CR0.WP, EFER.NXE, CR4.* */
    bool pke, pks;
    bool user;     /* the access is a user-mode access (CPL 3 and not implicit supervisor) */
    bool smap_off; /* EFLAGS.AC set and access explicit: SMAP does not apply */
    u32 pkru;
    u16 pcid, vpid;
};

#define PF_PRESENT BIT32(0)
#define PF_WRITE BIT32(1)
#define PF_USER BIT32(2)
#define PF_RSVD BIT32(3)
#define PF_FETCH BIT32(4)
#define PF_PK BIT32(5)

struct walk_out {
    enum walk_result result;
    u64 gpa, hpa;   /* of the byte translated; hpa is valid when result is WALK_OK */
    u32 error_code; /* #PF error code when WALK_PAGE_FAULT */
    /* Of an outcome of EPT (SDM "Exit Qualification for EPT Violations"), gpa being its address */
    u64 qualification;
    u8 page_shift; /* 12, 21, 22, 30 (or 32+: no paging) */
    bool global;   /* all of G set in the leaf and CR4.PGE */
    /* What the walk's context may do through this translation without a further walk: */
    bool may_read, may_write, may_exec; /* may_write only once D is set */
    u8 memtype;                         /* PAT index: PAT, PCD, PWT bits of the leaf */
};

/*
 * Walks for one access of kind `access` at linear address `lin` (canonical already checked),
 * setting A and D as the SDM says (locked update of each used entry; D for writes only, none on a
 * fault).
 */
void walk_translate(const struct walk_ctx *ctx, u64 lin, enum walk_access access,
                    struct walk_out *out);

/* Number of page-table references made since start, for statistics. */
extern u64 walk_references;

#endif
