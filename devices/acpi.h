/* SPDX-License-Identifier: MIT */
/* The ACPI tables that describe the machine, built in guest RAM below 1 MiB. */
#ifndef DEVICES_ACPI_H
#define DEVICES_ACPI_H

#include "base/error.h"
#include "base/types.h"
#include "mmu/ram.h"

/* The tables' place; the root pointer lies at its start, where systems scan for it. */
#define ACPI_AREA UINT64_C(0xe0000)
#define ACPI_AREA_SIZE UINT64_C(0x10000)
#define ACPI_MAX_CPUS 255

/*
 * Writes all tables for `cpus` processors whose local APIC identities are 0, 1, ... and gives the
 * address of the root pointer (RSDP). Fails when there are too many processors.
 */
bool acpi_install(struct ram *ram, unsigned cpus, u64 *rsdp_address, struct error *err);

#endif
