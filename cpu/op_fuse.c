/* SPDX-License-Identifier: MIT */
#include "cpu/op_fuse.h"

#include "cpu/op_fuse_forms.h"

static const struct fuse_set *const all_sets[] = {fuse_sets_cmp, fuse_sets_test, fuse_sets_mem,
                                                  fuse_sets_alu};

static insn_fn *find(insn_fn *first, unsigned cc, bool flags_dead, bool xp)
{
    for (unsigned k = 0; k < ARRAY_SIZE(all_sets); k++)
        for (const struct fuse_set *set = all_sets[k]; set->family; set++)
            if (set->family->fn[0][set->width][set->form] == first)
                return set->fn[flags_dead][xp][cc & 15];
    return NULL;
}

insn_fn *fuse_find(insn_fn *first, unsigned cc, bool flags_dead)
{
    return find(first, cc, flags_dead, false);
}

insn_fn *fuse_find_xp(insn_fn *first, unsigned cc, bool flags_dead)
{
    return find(first, cc, flags_dead, true);
}

static insn_fn *twin_in(const struct fuse_set *set, insn_fn *fn)
{
    for (unsigned dead = 0; dead < 2; dead++)
        for (unsigned cc = 0; cc < 16; cc++)
            if (set->fn[dead][0][cc] == fn)
                return set->fn[dead][1][cc];
    return NULL;
}

insn_fn *fuse_cross_page(insn_fn *fn)
{
    for (unsigned k = 0; k < ARRAY_SIZE(all_sets); k++) {
        for (const struct fuse_set *set = all_sets[k]; set->family; set++) {
            insn_fn *twin = twin_in(set, fn);
            if (twin)
                return twin;
        }
    }
    return NULL;
}
