/* SPDX-License-Identifier: MIT */
/* A host with random guests: VMCSs from valid to noise, and what they lead to. */
#ifndef TESTS_FUZZ_VMCS_H
#define TESTS_FUZZ_VMCS_H

#include "tests/cpu/world.h"
#include "tests/fuzz/random.h"
#include "vmx/vmx.h"

/* Physical and, in the host, linear addresses, in the megabyte of a struct world. */
enum {
    VMX_POINTERS = 0x7f000, /* 8-byte addresses of the regions, for VMPTRLD and the like */
    VMX_REGION = 0x80000,   /* VMXON region, then VMCSs */
    VMX_REGIONS = 8,
    VMX_AREA = 0x88000, /* bitmaps, virtual-APIC page, PML, MSR lists */
    VMX_AREAS = 8,
    EPT_TABLES = 0x90000, /* PML4, PDPT, PD, PT */
    HOST_CODE = 0xa0000,
    HOST_CODE_SIZE = 0x10000,
    GUEST_CODE = 0xc0000,
    GUEST_CODE_SIZE = 0x10000,
    VMX_STACK = 0xf0000,
};

/* How far from valid. */
enum vmcs_grade { VMCS_GRADED, VMCS_FIELDS, VMCS_BYTES, VMCS_GRADES };

/* Fills region k (1 to VMX_REGIONS - 1). */
void vmcs_make(struct world *w, struct rng *r, unsigned k, enum vmcs_grade grade);
/* Changes a few fields of region k. */
void vmcs_mutate(struct world *w, struct rng *r, unsigned k, unsigned changes);
/* Everything that VMCSs lead to, and the EPT tables. */
void vmcs_areas(struct world *w, struct rng *r);
/* The encoding of a random field that exists. */
u32 vmcs_random_field(struct rng *r);

#endif
