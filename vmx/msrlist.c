/* SPDX-License-Identifier: MIT */
/* SDM "Loading MSRs" and "Saving MSRs": lists of 16-byte entries in physical memory */
#include "cpu/msr.h"
#include "vmx/vmx.h"

struct entry {
    u32 index, reserved;
    u64 value;
};

#define MSR_FS_BASE 0xc0000100u
#define MSR_GS_BASE 0xc0000101u
#define MSR_SMBASE 0x9eu
#define MSR_SMM_MONITOR_CTL 0x9bu
#define MSR_MICROCODE_UPDATE 0x79u

static bool read_entry(const struct cpu *cpu, u64 address, u32 k, struct entry *e)
{
    *e = (struct entry){UINT32_MAX, UINT32_MAX, UINT64_MAX};
    return ram_read(&cpu->bus->ram, address + 16 * (u64)k, e, sizeof(*e)) && !e->reserved &&
           e->index >> 8 != 8; /* registers of the local APIC */
}

static bool may_load(u32 index)
{
    return index != MSR_FS_BASE && index != MSR_GS_BASE && index != MSR_SMM_MONITOR_CTL &&
           index != MSR_SMBASE && index != MSR_MICROCODE_UPDATE;
}

u32 vmx_load_msrs(struct cpu *cpu, u64 address, u32 count)
{
    for (u32 k = 0; k < count; k++) {
        struct entry e;
        if (!read_entry(cpu, address, k, &e) || !may_load(e.index) ||
            !msr_set(cpu, e.index, e.value))
            return k + 1;
    }
    return 0;
}

u32 vmx_store_msrs(struct cpu *cpu, u64 address, u32 count)
{
    for (u32 k = 0; k < count; k++) {
        struct entry e;
        if (!read_entry(cpu, address, k, &e) || e.index == MSR_SMBASE ||
            !msr_get(cpu, e.index, &e.value))
            return k + 1;
        ram_write(&cpu->bus->ram, address + 16 * (u64)k, &e, sizeof(e));
    }
    return 0;
}
