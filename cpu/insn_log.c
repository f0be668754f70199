/* SPDX-License-Identifier: MIT */
#include "cpu/insn_log.h"

#include <Zydis/Zydis.h>
#include <stdio.h>

/* Reads code without side effects: no A bits, no faults. Only what the TLB knows or is not paged. */
static size_t peek_code(const struct cpu *cpu, u8 bytes[15])
{
    size_t n = 0;
    for (; n < 15; n++) {
        u64 lin = cpu->mode & MODE_64 ? cpu->rip + n : (u32)(cpu->seg[SEG_CS].base + cpu->rip + n);
        const struct tlb_entry *e = tlb_slot(cpu->tlb, lin);
        const u8 *p = NULL;
        if (e->xtag == (lin & PAGE_MASK))
            p = (const u8 *)(uintptr_t)(lin + e->addend);
        else if (!(cpu->cr0 & CR0_PG))
            p = ram_host(&cpu->bus->ram, lin);
        if (!p)
            break;
        bytes[n] = *p;
    }
    return n;
}

unsigned insn_disassemble(const struct cpu *cpu, u64 rip, const u8 *bytes, size_t size,
                          char text[INSN_TEXT])
{
    ZydisMachineMode mode = cpu->mode & MODE_64     ? ZYDIS_MACHINE_MODE_LONG_64
                            : cpu->mode & MODE_CS32 ? ZYDIS_MACHINE_MODE_LEGACY_32
                                                    : ZYDIS_MACHINE_MODE_LEGACY_16;
    ZydisDisassembledInstruction insn;
    bool good = ZYAN_SUCCESS(ZydisDisassembleIntel(mode, rip, bytes, size, &insn));
    snprintf(text, INSN_TEXT, "%s", good ? insn.text : "(bad)");
    return good ? insn.info.length : 0;
}

static void disassemble(const struct cpu *cpu, char text[INSN_TEXT])
{
    u8 bytes[15];
    size_t n = peek_code(cpu, bytes);
    if (!insn_disassemble(cpu, cpu->rip, bytes, n, text) && !n)
        snprintf(text, INSN_TEXT, "(code not yet translated)");
}

void insn_log(const struct cpu *cpu)
{
    static const char names[16][4] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                      "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    char text[INSN_TEXT], regs[512];
    disassemble(cpu, text);
    size_t at = 0;
    for (unsigned n = 0; n < 16; n++)
        at += (size_t)snprintf(regs + at, sizeof(regs) - at, " %s=%llx", names[n],
                               (unsigned long long)cpu->gpr[n]);
    log_msg(LOG_INSN, "%llu %u %04x:%llx %s |%s fl=%llx", (unsigned long long)cpu->clock->now,
            cpu->index, cpu->seg[SEG_CS].selector, (unsigned long long)cpu->rip, text, regs,
            (unsigned long long)cpu_eflags(cpu));
}
