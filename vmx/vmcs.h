/* SPDX-License-Identifier: MIT */
/*
 * VMCS regions. Guest memory is the only copy of a VMCS, in a fixed layout of our own: each field of
 * vmx/vmcs.def has an 8-byte slot (encoding -> slot by vmcs_slot()), after the header that the SDM
 * gives (revision identifier with the shadow indicator, VMX-abort indicator) and two words of ours
 * (launch state, what was written since the last entry). A VMCS pointer to what is not RAM reads as
 * all ones. Every value read is hostile: whoever uses one checks it, at entry, by the rules of
 * vmx/checks.def.
 */
#ifndef VMX_VMCS_H
#define VMX_VMCS_H

#include "base/types.h"
#include "mmu/ram.h"

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
/* By full-field encoding. 32- and 16-bit fields come zero-extended; writes are truncated. */
u64 vmcs_read(const struct vmcs *v, enum vmcs_field field);
void vmcs_write(const struct vmcs *v, enum vmcs_field field, u64 value);

/* The header */
u32 vmcs_revision(const struct vmcs *v);
void vmcs_set_abort(const struct vmcs *v, u32 indicator);
bool vmcs_launched(const struct vmcs *v);
void vmcs_set_launched(const struct vmcs *v, bool launched);

#endif
