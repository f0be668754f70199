/* SPDX-License-Identifier: MIT */
/* The fields that turtle offers its child, by group (width and type, bits 14:13 and 11:10). */
#include "tests/guests/turtle/turtle.h"

enum { WIDTH_16, WIDTH_64, WIDTH_32, WIDTH_NATURAL };
enum { TYPE_CONTROL, TYPE_INFORMATION, TYPE_GUEST, TYPE_HOST };

/* Which indices exist */
static const u32 exists[16] = {
    [WIDTH_16 * 4 + TYPE_CONTROL] = 0x1, /* VPID */
    [WIDTH_16 * 4 + TYPE_GUEST] = 0xff,
    [WIDTH_16 * 4 + TYPE_HOST] = 0x7f,
    [WIDTH_64 * 4 + TYPE_CONTROL] = 0x18217f, /* TSC offset, EPTP, VMREAD and VMWRITE bitmaps */
    [WIDTH_64 * 4 + TYPE_INFORMATION] = 0x1,
    [WIDTH_64 * 4 + TYPE_GUEST] = 0x1e3, /* no PAT, EFER */
    [WIDTH_32 * 4 + TYPE_CONTROL] = 0xbfff,
    [WIDTH_32 * 4 + TYPE_INFORMATION] = 0xff,
    [WIDTH_32 * 4 + TYPE_GUEST] = 0x3fffff,
    [WIDTH_32 * 4 + TYPE_HOST] = 0x1,
    [WIDTH_NATURAL * 4 + TYPE_CONTROL] = 0xff,
    [WIDTH_NATURAL * 4 + TYPE_INFORMATION] = 0x3f,
    [WIDTH_NATURAL * 4 + TYPE_GUEST] = 0xfffff,
    [WIDTH_NATURAL * 4 + TYPE_HOST] = 0xfff,
};

const u16 hot_fields[HOT_FIELDS] = {
    VMCS_EXIT_REASON,
    VMCS_EXIT_QUALIFICATION,
    VMCS_EXIT_INSTRUCTION_LENGTH,
    VMCS_EXIT_INTR_INFO,
    VMCS_EXIT_INTR_ERROR_CODE,
    VMCS_EXIT_INSTRUCTION_INFO,
    VMCS_IDT_VECTORING_INFO,
    VMCS_GUEST_PHYSICAL_ADDRESS,
    VMCS_GUEST_RIP,
    VMCS_GUEST_RSP,
    VMCS_GUEST_RFLAGS,
    VMCS_VM_ENTRY_INTR_INFO,
    VMCS_VM_ENTRY_EXCEPTION_ERROR_CODE,
};

static unsigned group_of(u64 encoding)
{
    return (unsigned)(BITS(encoding, 14, 13) << 2 | BITS(encoding, 11, 10));
}

static unsigned width_of(u64 encoding)
{
    return (unsigned)BITS(encoding, 14, 13);
}

int field_slot(u64 encoding)
{
    u64 index = BITS(encoding, 9, 1);
    unsigned group = group_of(encoding);
    if (encoding >> 15 || (encoding & BIT(12)) || index >= SLOTS_PER_GROUP)
        return -1;
    if (!(exists[group] >> index & 1) || ((encoding & 1) && width_of(encoding) != WIDTH_64))
        return -1;
    return (int)(group * SLOTS_PER_GROUP + index);
}

u64 field_get(const struct child_vmcs *v, u64 encoding)
{
    u64 value = v->slot[field_slot(encoding)];
    return encoding & 1 ? value >> 32 : value;
}

void field_set(struct child_vmcs *v, u64 encoding, u64 value)
{
    u64 *slot = &v->slot[field_slot(encoding)];
    if (encoding & 1)
        *slot = value << 32 | (u32)*slot;
    else if (width_of(encoding) == WIDTH_16)
        *slot = (u16)value;
    else if (width_of(encoding) == WIDTH_32)
        *slot = (u32)value;
    else
        *slot = value;
}

bool field_is_guest(u64 encoding)
{
    return BITS(encoding, 11, 10) == TYPE_GUEST;
}

bool field_is_host(u64 encoding)
{
    return BITS(encoding, 11, 10) == TYPE_HOST;
}

bool field_is_hot(u64 encoding)
{
    for (unsigned k = 0; k < HOT_FIELDS; k++)
        if (hot_fields[k] == encoding)
            return true;
    return false;
}

void field_each_guest(void (*do_field)(void *context, u64 encoding), void *context)
{
    for (u64 width = 0; width < 4; width++)
        for (u64 index = 0; index < SLOTS_PER_GROUP; index++) {
            u64 encoding = width << 13 | TYPE_GUEST << 10 | index << 1;
            bool pdpte = encoding >= VMCS_GUEST_PDPTE0 && encoding <= VMCS_GUEST_PDPTE3;
            if (field_slot(encoding) >= 0 && encoding != VMCS_VMCS_LINK_POINTER &&
                encoding != VMCS_GUEST_SMBASE && !pdpte)
                do_field(context, encoding);
        }
}
