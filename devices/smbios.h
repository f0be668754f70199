/* SPDX-License-Identifier: MIT */
/* SMBIOS structures: what management software reads about the machine. */
#ifndef DEVICES_SMBIOS_H
#define DEVICES_SMBIOS_H

#include "base/types.h"
#include "cpu/cpuid.h"
#include "mmu/ram.h"

#define SMBIOS_ANCHOR_SIZE 31
#define SMBIOS_MAX 0x1000

struct smbios_machine {
    const struct ram *ram;
    const struct cpu_model *model; /* NULL: nothing is said about processors */
    unsigned cpus;
};

struct smbios {
    u8 anchor[SMBIOS_ANCHOR_SIZE]; /* the entry point, without address and checksums at first */
    u8 bytes[SMBIOS_MAX];
    u32 used, count, largest; /* bytes, structures, bytes of the largest */
};

/* free() it. */
struct smbios *smbios_build(const struct smbios_machine *machine);
/* Makes the entry point right for structures at a 32-bit address. Once. */
void smbios_relocate(struct smbios *smbios, u32 address);

#endif
