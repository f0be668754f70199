/* SPDX-License-Identifier: MIT */
/* The processor's state at the entries of the boot protocols. */
#include "frontend/image.h"

static void set_segment(struct segment *s, u16 selector, u32 attr)
{
    *s = (struct segment){.selector = selector, .limit = UINT32_MAX, .attr = attr};
}

#define FLAT_DATA (ATTR_S | ATTR_P | ATTR_RW | ATTR_ACCESSED | ATTR_DB | ATTR_G)
#define FLAT_CODE (FLAT_DATA | ATTR_CODE)
#define FLAT_CODE64 ((FLAT_CODE & ~ATTR_DB) | ATTR_L)

/* A table with the descriptors that the selectors name, so that a kernel may reload them. */
static void put_gdt(struct cpu *cpu, u64 code)
{
    u64 gdt[5] = {0, 0, code, UINT64_C(0x00cf93000000ffff), UINT64_C(0x00008b0000000067)};
    bool ok = ram_write(&cpu->bus->ram, BOOT_GDT, gdt, sizeof(gdt));
    ASSERT(ok); /* RAM is at least 1 MiB */
    cpu->gdtr = (struct dtable){.base = BOOT_GDT, .limit = sizeof(gdt) - 1};
    cpu->idtr = (struct dtable){0};
}

static void set_flat(struct cpu *cpu, u32 code)
{
    set_segment(&cpu->seg[SEG_CS], 0x10, code);
    set_segment(&cpu->seg[SEG_SS], 0x18, FLAT_DATA);
    set_segment(&cpu->seg[SEG_DS], 0x18, FLAT_DATA);
    set_segment(&cpu->seg[SEG_ES], 0x18, FLAT_DATA);
    set_segment(&cpu->seg[SEG_FS], 0x18, FLAT_DATA);
    set_segment(&cpu->seg[SEG_GS], 0x18, FLAT_DATA);
    cpu->seg[SEG_TR] = (struct segment){.selector = 0x20, .limit = 0x67, .attr = ATTR_P | 0xb};
    cpu->eflags = FLAG_1;
}

void boot_state_64(struct cpu *cpu, u64 rip, u64 rsi, u64 cr3)
{
    put_gdt(cpu, UINT64_C(0x00af9b000000ffff));
    set_flat(cpu, FLAT_CODE64);
    cpu->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE;
    cpu->cr4 = CR4_PAE;
    cpu->cr3 = cr3;
    cpu->efer = EFER_LME | EFER_LMA;
    cpu->rip = rip;
    cpu->gpr[RSI] = rsi;
    cpu_update_mode(cpu);
}

void boot_state_32(struct cpu *cpu, u32 eip, u32 eax, u32 ebx)
{
    put_gdt(cpu, UINT64_C(0x00cf9b000000ffff));
    set_flat(cpu, FLAT_CODE);
    cpu->cr0 = CR0_PE | CR0_ET;
    cpu->rip = eip;
    cpu->gpr[RAX] = eax;
    cpu->gpr[RBX] = ebx;
    cpu_update_mode(cpu);
}
