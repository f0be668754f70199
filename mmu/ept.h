/* SPDX-License-Identifier: MIT */
/*
 * The second dimension of translation (SDM "The Extended Page Table Mechanism (EPT)"): from
 * guest-physical to host-physical addresses. Like a walk it never calls up.
 */
#ifndef MMU_EPT_H
#define MMU_EPT_H

#include "mmu/walk.h"

/* EPTP: SDM "Extended-Page-Table Pointer (EPTP)" */
#define EPTP_AD BIT(6)

/* Rights, in entries and in what a translation allows */
enum { EPT_R = 1, EPT_W = 2, EPT_X = 4 };

/* What an access to a guest-physical address is: EPT_* rights it needs. */
struct ept_access {
    u64 gpa;
    unsigned rights;
    bool final;        /* to the translation of a linear address, not to a paging-structure entry */
    bool table;        /* to a guest paging-structure entry: a write where EPT has A and D flags */
    bool linear_valid; /* there is a linear address to speak of */
};

struct ept_place {
    u64 hpa;
    unsigned rights; /* allowed without a further walk: EPT_W only once D is set */
};

/*
 * Walks the EPT of ctx (no EPT: hpa is gpa, all is allowed) and sets its A and D flags, logging the page
 * if ctx has a page-modification log. Else *out is told the guest-physical address and the exit
 * qualification of a violation.
 */
enum walk_result ept_translate(const struct walk_ctx *ctx, const struct ept_access *access,
                               struct ept_place *place, struct walk_out *out);

#endif
