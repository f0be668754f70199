/* SPDX-License-Identifier: MIT */
#include "vmx/vmcs.h"

/* Offsets in the region */
enum {
    AT_REVISION = 0,
    AT_ABORT = 4,
    AT_LAUNCHED = 8,
    AT_FIELDS = VMCS_HEADER,
};

_Static_assert(AT_FIELDS + 8 * VMCS_ROWS <= PAGE_SIZE, "a region is a page");

/* What tells fields apart: width (14:13), type (11:10) and index (6:1 in use of 9:1). */
#define KEY_COUNT 1024
#define KEY(encoding)                                                                              \
    (((encoding) >> 13 & 3) << 8 | ((encoding) >> 10 & 3) << 6 | ((encoding) >> 1 & 63))
#define WIDTH(encoding) ((encoding) >> 13 & 3)
enum { WIDTH_16, WIDTH_64, WIDTH_32, WIDTH_NATURAL };

/* 1 + row; 0: none of this model's */
static const u8 rows[KEY_COUNT] = {
#define FIELD(id, name, encoding, guard) [KEY(encoding)] = WORKS_##guard ? VMCS_ROW_##id + 1 : 0,
#include "vmx/vmcs.def"
};
_Static_assert(VMCS_ROWS < UINT8_MAX, "rows are bytes");

#define FIELD(id, name, encoding, guard)                                                           \
    _Static_assert(((encoding) & ~0x6c7e) == 0, "KEY() has room for " #name);
#include "vmx/vmcs.def"

int vmcs_slot(u32 encoding)
{
    if (encoding & ~0x6c7fu || ((encoding & 1) && WIDTH(encoding) != WIDTH_64))
        return -1;
    return rows[KEY(encoding)] - 1;
}

unsigned vmcs_field_bits(u32 encoding)
{
    return vmcs_known_bits((enum vmcs_field)encoding);
}

const char *vmcs_field_name(u32 encoding)
{
    switch (encoding & ~1u) {
#define FIELD(id, name, encoding, guard)                                                           \
    case encoding:                                                                                 \
        return #name;
#include "vmx/vmcs.def"
    default:
        return "unknown";
    }
}

u32 vmcs_max_index(void)
{
    static const u32 encodings[] = {
#define FIELD(id, name, encoding, guard) WORKS_##guard ? (encoding) : 0,
#include "vmx/vmcs.def"
    };
    u32 max = 0;
    for (unsigned k = 0; k < ARRAY_SIZE(encodings); k++)
        max = MAX(max, encodings[k] >> 1 & 0x1ff);
    return max;
}

struct vmcs vmcs_at(struct ram *ram, u64 gpa)
{
    return (struct vmcs){.gpa = gpa, .host = ram_host_rw(ram, gpa & PAGE_MASK), .ram = ram};
}

/* ---- Values ---- */

static u64 load(const struct vmcs *v, unsigned at, unsigned size)
{
    u64 value = UINT64_MAX;
    if (v->host)
        memcpy(&value, v->host + at, sizeof(value));
    return value & MASK(8 * size);
}

static void store(const struct vmcs *v, unsigned at, u64 value, unsigned size)
{
    if (!v->host)
        return;
    ram_store_check(v->ram, v->host + at, size);
    memcpy(v->host + at, &value, size);
}

u64 vmcs_read_any(const struct vmcs *v, enum vmcs_field field)
{
    int slot = vmcs_slot(field);
    if (unlikely(slot < 0))
        return 0;
    return load(v, AT_FIELDS + 8 * (unsigned)slot, vmcs_field_bits(field) / 8);
}

void vmcs_write_any(const struct vmcs *v, enum vmcs_field field, u64 value)
{
    int slot = vmcs_slot(field);
    if (unlikely(slot < 0))
        return;
    store(v, AT_FIELDS + 8 * (unsigned)slot, value & MASK(vmcs_field_bits(field)), 8);
}

/* ---- The header ---- */

u32 vmcs_revision(const struct vmcs *v)
{
    return (u32)load(v, AT_REVISION, 4);
}

void vmcs_set_abort(const struct vmcs *v, u32 indicator)
{
    store(v, AT_ABORT, indicator, 4);
}

bool vmcs_launched(const struct vmcs *v)
{
    return load(v, AT_LAUNCHED, 4) == 1;
}

void vmcs_set_launched(const struct vmcs *v, bool launched)
{
    store(v, AT_LAUNCHED, launched, 4);
}
