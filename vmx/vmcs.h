/* SPDX-License-Identifier: MIT */
/*
 * VMCS regions. Guest memory is the only copy of a VMCS, in a fixed layout of our own: each field of
 * vmx/vmcs.def has an 8-byte slot (encoding -> slot by vmcs_slot()), after the header that the SDM
 * gives (revision identifier with the shadow indicator, VMX-abort indicator) and the launch state. A VMCS pointer to what is not RAM reads as
 * all ones. Every value read is hostile: whoever uses one checks it, at entry, by the rules of
 * vmx/checks.def.
 */
#ifndef VMX_VMCS_H
#define VMX_VMCS_H

#include <string.h>

#include "base/types.h"
#include "mmu/ram.h"
#include "vmx/controls.h"

/* The enumerators are the encodings, VMCS_GUEST_RIP and so on. */
enum vmcs_field {
#define FIELD(id, name, encoding, guard) VMCS_##id = (encoding),
#include "vmx/vmcs.def"
};

#define VMCS_REVISION 0x54445531u /* bit 31 clear */
#define VMCS_SHADOW BIT32(31)

/* A VMCS that is current, linked or being moved between: its memory and the place of its slots. */
struct vmcs {
    u64 gpa;  /* physical address (that of the owner's memory), ~0: none */
    u8 *host; /* NULL: not RAM; reads all ones, writes are lost */
    struct ram *ram;
};

/* Index of a field's slot, -1 if there is no such field in this model of the VMCS. */
int vmcs_slot(u32 encoding);
const char *vmcs_field_name(u32 encoding);
/* The highest index (bits 9:1) that a field has: IA32_VMX_VMCS_ENUM. */
u32 vmcs_max_index(void);
unsigned vmcs_field_bits(u32 encoding); /* 16, 32 or 64; natural width is 64 */

struct vmcs vmcs_at(struct ram *ram, u64 gpa);
/* By an encoding known only at run time; see vmcs_read(). */
u64 vmcs_read_any(const struct vmcs *v, enum vmcs_field field);
void vmcs_write_any(const struct vmcs *v, enum vmcs_field field, u64 value);

#define VMCS_HEADER 16 /* bytes before the slots */

enum vmcs_row {
#define FIELD(id, ...) VMCS_ROW_##id,
#include "vmx/vmcs.def"
    VMCS_ROWS
};

/* vmcs_slot() of an encoding that the compiler knows: it leaves the one number. */
static ALWAYS_INLINE int vmcs_known_slot(enum vmcs_field field)
{
    switch (field) {
#define FIELD(id, name, encoding, guard)                                                           \
    case VMCS_##id:                                                                                \
        return WORKS_##guard ? (int)VMCS_ROW_##id : -1;
#include "vmx/vmcs.def"
    default:
        return -1;
    }
}

/* Bits of a field, by its encoding: width is in bits 14:13. */
static ALWAYS_INLINE unsigned vmcs_known_bits(enum vmcs_field field)
{
    unsigned width = (unsigned)field >> 13 & 3;
    return width == 0 ? 16 : width == 2 ? 32 : 64;
}

/*
 * By full-field encoding. 32- and 16-bit fields come zero-extended; writes are truncated. A field that this model of the
 * VMCS lacks reads 0.
 */
static ALWAYS_INLINE u64 vmcs_read(const struct vmcs *v, enum vmcs_field field)
{
    if (!__builtin_constant_p(field))
        return vmcs_read_any(v, field);
    int slot = vmcs_known_slot(field);
    u64 value = UINT64_MAX;
    if (slot < 0)
        return 0;
    if (likely(v->host))
        memcpy(&value, v->host + VMCS_HEADER + 8 * slot, sizeof(value));
    return value & MASK(vmcs_known_bits(field));
}

static ALWAYS_INLINE void vmcs_write(const struct vmcs *v, enum vmcs_field field, u64 value)
{
    int slot = __builtin_constant_p(field) ? vmcs_known_slot(field) : -1;
    if (slot < 0 || unlikely(!v->host)) {
        vmcs_write_any(v, field, value);
        return;
    }
    unsigned at = VMCS_HEADER + 8 * (unsigned)slot;
    value &= MASK(vmcs_known_bits(field));
    ram_store_check(v->ram, v->host + at, sizeof(value));
    memcpy(v->host + at, &value, sizeof(value));
}

/* The header */
u32 vmcs_revision(const struct vmcs *v);
void vmcs_set_abort(const struct vmcs *v, u32 indicator);
bool vmcs_launched(const struct vmcs *v);
void vmcs_set_launched(const struct vmcs *v, bool launched);

#endif
