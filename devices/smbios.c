/* SPDX-License-Identifier: MIT */
/* From the System Management BIOS reference specification, "Structure definitions". */
#include "devices/smbios.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

#define TYPE_BIOS 0
#define TYPE_SYSTEM 1
#define TYPE_CHASSIS 3
#define TYPE_PROCESSOR 4
#define TYPE_MEMORY_ARRAY 16
#define TYPE_MEMORY_DEVICE 17
#define TYPE_MEMORY_MAP 19
#define TYPE_BOOT 32
#define TYPE_END 127

#define NO_HANDLE 0xffff
#define NO_ERROR_HANDLE 0xfffe
#define UNKNOWN 2
#define OTHER 1
#define SAFE 3

/* One structure of a type at most, but for memory maps: then n counts. */
static u16 handle(u8 type, unsigned n)
{
    return (u16)((unsigned)type << 8 | n);
}

/* A structure being written: its strings follow its formatted part. */
struct part {
    struct smbios *to;
    u32 start;
    char strings[256];
    u32 string_bytes;
    u8 string_count;
};

static void put(struct part *p, u64 value, unsigned size)
{
    ASSERT(p->to->used + size <= SMBIOS_MAX);
    for (unsigned n = 0; n < size; n++)
        p->to->bytes[p->to->used++] = (u8)(value >> (8 * n));
}

/* The number of a string. */
static void put_string(struct part *p, const char *text)
{
    size_t size = strlen(text) + 1;
    ASSERT(p->string_bytes + size <= sizeof(p->strings));
    memcpy(p->strings + p->string_bytes, text, size);
    p->string_bytes += (u32)size;
    put(p, ++p->string_count, 1);
}

static struct part begin(struct smbios *to, u8 type, unsigned n)
{
    struct part p = {.to = to, .start = to->used};
    put(&p, type, 1);
    put(&p, 0, 1);
    put(&p, handle(type, n), 2);
    return p;
}

/* length: that of the formatted part, as the specification says. */
static void end(struct part *p, u8 length)
{
    struct smbios *to = p->to;
    ASSERT(to->used - p->start == length);
    to->bytes[p->start + 1] = length;
    for (u32 n = 0; n < p->string_bytes; n++)
        put(p, (u8)p->strings[n], 1);
    put(p, 0, p->string_bytes ? 1 : 2);
    to->count++;
    to->largest = MAX(to->largest, to->used - p->start);
}

static void put_bios(struct smbios *s)
{
    struct part p = begin(s, TYPE_BIOS, 0);
    put_string(&p, "Testudo");
    put_string(&p, "1");
    put(&p, 0xf000, 2);
    put_string(&p, "01/01/2026");
    put(&p, 3, 1);          /* 256 KiB */
    put(&p, 8, 8);          /* no characteristics */
    put(&p, 0x01, 1);       /* ACPI */
    put(&p, 0x14, 1);       /* a virtual machine; targeted content distribution */
    put(&p, 0xffff0001, 4); /* versions: 1.0, no embedded controller */
    end(&p, 24);
}

static void put_system(struct smbios *s)
{
    struct part p = begin(s, TYPE_SYSTEM, 0);
    put_string(&p, "Testudo");
    put_string(&p, "PC");
    put_string(&p, "1");
    put(&p, 0, 1);
    put(&p, 0, 8); /* no UUID */
    put(&p, 0, 8);
    put(&p, 6, 1); /* woken by the power switch */
    put(&p, 0, 2);
    end(&p, 27);
}

static void put_chassis(struct smbios *s)
{
    struct part p = begin(s, TYPE_CHASSIS, 0);
    put_string(&p, "Testudo");
    put(&p, OTHER, 1);
    put_string(&p, "1");
    put(&p, 0, 2);
    put(&p, SAFE, 1);
    put(&p, SAFE, 1);
    put(&p, SAFE, 1);
    put(&p, UNKNOWN, 1);
    put(&p, 0, 4);
    put(&p, 0, 4); /* height, cords, elements */
    put(&p, 0, 1);
    end(&p, 22);
}

static void put_processor(struct smbios *s, const struct smbios_machine *m)
{
    struct part p = begin(s, TYPE_PROCESSOR, 0);
    u8 cores = (u8)MIN(m->cpus, 255u);
    put_string(&p, "CPU 0");
    put(&p, 3, 1); /* a central processor */
    put(&p, OTHER, 1);
    put_string(&p, m->model->vendor);
    put(&p, cpuid_signature(m->model), 8);
    put_string(&p, m->model->brand[0] ? m->model->brand : m->model->name);
    put(&p, 0, 1);
    put(&p, 0, 2);
    put(&p, m->model->mhz, 2);
    put(&p, m->model->mhz, 2);
    put(&p, 0x41, 1); /* populated, enabled */
    put(&p, OTHER, 1);
    put(&p, NO_HANDLE, 2); /* caches */
    put(&p, NO_HANDLE, 2);
    put(&p, NO_HANDLE, 2);
    put(&p, 0, 3);
    put(&p, cores, 1);
    put(&p, cores, 1);
    put(&p, cores, 1);
    put(&p, 0x04, 2); /* 64-bit */
    put(&p, OTHER, 2);
    end(&p, 42);
}

static void put_memory(struct smbios *s, u64 size)
{
    struct part p = begin(s, TYPE_MEMORY_ARRAY, 0);
    bool wide = size / KIB >= UINT32_C(0x80000000);
    put(&p, OTHER, 1);
    put(&p, 3, 1); /* system memory */
    put(&p, 3, 1); /* no error correction */
    put(&p, wide ? UINT32_C(0x80000000) : size / KIB, 4);
    put(&p, NO_ERROR_HANDLE, 2);
    put(&p, 1, 2);
    put(&p, wide ? size : 0, 8);
    end(&p, 23);

    p = begin(s, TYPE_MEMORY_DEVICE, 0);
    wide = size / MIB >= 0x7fff;
    put(&p, handle(TYPE_MEMORY_ARRAY, 0), 2);
    put(&p, NO_ERROR_HANDLE, 2);
    put(&p, 0xffff, 2); /* widths: unknown */
    put(&p, 0xffff, 2);
    put(&p, wide ? 0x7fff : size / MIB, 2);
    put(&p, 9, 1); /* DIMM */
    put(&p, 0, 1);
    put_string(&p, "DIMM 0");
    put(&p, 0, 1);
    put(&p, 7, 1); /* RAM */
    put(&p, BIT32(1), 2);
    put(&p, 0, 2);
    put_string(&p, "Testudo");
    put(&p, 0, 4);
    put(&p, wide ? size / MIB : 0, 4);
    put(&p, 0, 8);
    end(&p, 40);
}

/* Memory at [from, to). */
static void put_map(struct smbios *s, unsigned n, u64 from, u64 to)
{
    struct part p = begin(s, TYPE_MEMORY_MAP, n);
    bool wide = to / KIB - 1 >= UINT32_MAX;
    put(&p, wide ? UINT32_MAX : from / KIB, 4);
    put(&p, wide ? UINT32_MAX : to / KIB - 1, 4);
    put(&p, handle(TYPE_MEMORY_ARRAY, 0), 2);
    put(&p, 1, 1);
    put(&p, wide ? from : 0, 8);
    put(&p, wide ? to - 1 : 0, 8);
    end(&p, 31);
}

static void put_last(struct smbios *s)
{
    struct part p = begin(s, TYPE_BOOT, 0);
    put(&p, 0, 7); /* no errors */
    end(&p, 11);
    p = begin(s, TYPE_END, 0);
    end(&p, 4);
}

static void build_anchor(struct smbios *s)
{
    struct smbios anchor = {.used = 0};
    struct part p = {.to = &anchor};
    put(&p, 0x5f4d535f, 4); /* "_SM_" */
    put(&p, 0, 1);
    put(&p, SMBIOS_ANCHOR_SIZE, 1);
    put(&p, 0x0802, 2); /* version 2.8 */
    put(&p, s->largest, 2);
    put(&p, 0, 6);
    put(&p, 0x494d445f, 4); /* "_DMI_" */
    put(&p, 0x5f, 1);
    put(&p, 0, 1);
    put(&p, s->used, 2);
    put(&p, 0, 4);
    put(&p, s->count, 2);
    put(&p, 0x28, 1);
    ASSERT(anchor.used == SMBIOS_ANCHOR_SIZE);
    memcpy(s->anchor, anchor.bytes, SMBIOS_ANCHOR_SIZE);
}

struct smbios *smbios_build(const struct smbios_machine *machine)
{
    struct smbios *s = xalloc(sizeof(*s));
    const struct ram *ram = machine->ram;
    put_bios(s);
    put_system(s);
    put_chassis(s);
    if (machine->model)
        put_processor(s, machine);
    put_memory(s, ram->size);
    put_map(s, 0, 0, ram->low);
    if (ram->size > ram->low)
        put_map(s, 1, RAM_HIGH_START, RAM_HIGH_START + (ram->size - ram->low));
    put_last(s);
    build_anchor(s);
    return s;
}

static void checksum(u8 *from, u32 size, u8 *at)
{
    u8 sum = 0;
    for (u32 n = 0; n < size; n++)
        sum = (u8)(sum + from[n]);
    *at = (u8)(*at - sum);
}

void smbios_relocate(struct smbios *s, u32 address)
{
    u8 *a = s->anchor;
    for (unsigned n = 0; n < 4; n++)
        a[0x18 + n] = (u8)(address >> (8 * n));
    checksum(a + 0x10, 0x0f, a + 0x15);
    checksum(a, SMBIOS_ANCHOR_SIZE, a + 0x04);
}
