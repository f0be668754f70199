/* SPDX-License-Identifier: MIT */
/*
 * The ACPI tables that describe the machine. They are built free of their place: what holds an
 * address holds an offset at first, and a list says where those are.
 */
#ifndef DEVICES_ACPI_H
#define DEVICES_ACPI_H

#include "base/types.h"

#define ACPI_MAX_CPUS 255
#define ACPI_TABLES_MAX 0x10000 /* bytes */
#define ACPI_ALIGN 64           /* of the tables' place */
#define ACPI_RSDP_SIZE 36

/* What the tables depend on. */
struct acpi_machine {
    unsigned cpus;               /* local APIC identities are 0, 1, ...; at most ACPI_MAX_CPUS */
    u32 pm_base;                 /* of the power management registers */
    u32 pci_start;               /* memory for PCI begins here and ends below the I/O APIC */
    u64 pci64_start, pci64_size; /* above 4 GiB; size 0: none */
    u8 serial;                   /* bits 0 and 1: COM1 and COM2 are there */
    bool vga;
};

/* A pointer of `size` bytes, in the root pointer or the tables, to an offset in the tables. */
struct acpi_pointer {
    bool in_root;
    u32 at;
    u8 size;
};

/* The byte at `at` makes those from `start` on add up to zero. */
struct acpi_checksum {
    bool in_root;
    u32 at, start, size;
};

#define ACPI_POINTERS_MAX 24
#define ACPI_CHECKSUMS_MAX 16

/* Pointers hold offsets and checksums are zero. */
struct acpi_tables {
    u8 root[ACPI_RSDP_SIZE];
    u8 bytes[ACPI_TABLES_MAX];
    u32 used;
    struct acpi_pointer pointer[ACPI_POINTERS_MAX];
    struct acpi_checksum checksum[ACPI_CHECKSUMS_MAX];
    u32 pointers, checksums;
};

/* free() it. Its sizes depend on the number of processors alone. */
struct acpi_tables *acpi_build(const struct acpi_machine *machine);
/* Makes the tables right for a place: the address of bytes[0], aligned to ACPI_ALIGN. Once. */
void acpi_relocate(struct acpi_tables *tables, u64 address);

#endif
