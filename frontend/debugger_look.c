/* SPDX-License-Identifier: MIT */
/* The debugger's access to memory and registers. */
#include <string.h>

#include "cpu/control.h"
#include "cpu/msr.h"
#include "cpu/segment.h"
#include "frontend/debugger.h"
#include "mmu/peek.h"

/* ---- Memory ---- */

static bool translate(struct cpu *cpu, u64 lin, u64 *hpa)
{
    struct walk_ctx ctx;
    cpu_walk_ctx(cpu, false, &ctx);
    return peek_linear(&ctx, lin, hpa);
}

bool debugger_translate(struct cpu *cpu, u64 lin, u64 *hpa)
{
    struct ram *ram = &cpu->bus->ram;
    bool view = ram->smm_view;
    ram_smm_view(ram, cpu->smm);
    bool ok = translate(cpu, lin, hpa);
    ram_smm_view(ram, view);
    return ok;
}

/* Copies the part of a range that lies in one page. */
static bool copy_from(const struct ram *ram, u64 hpa, void *to, size_t size)
{
    const u8 *host = ram_host(ram, hpa);
    if (host)
        memcpy(to, host, size);
    return host;
}

/* What is read there is written, ROM or not. */
static bool copy_to(struct ram *ram, u64 hpa, const void *from, size_t size)
{
    u8 *host = ram_host(ram, hpa);
    if (!host)
        return false;
    ram_store_check(ram, host, size);
    memcpy(host, from, size);
    return true;
}

static size_t page_part(u64 at, size_t size)
{
    return MIN(size, (size_t)(PAGE_SIZE - (at & ~PAGE_MASK)));
}

size_t debugger_read_physical(struct cpu_group *group, u64 hpa, void *to, size_t size)
{
    size_t done = 0;
    while (done < size) {
        size_t n = page_part(hpa + done, size - done);
        if (!copy_from(&group->bus->ram, hpa + done, (u8 *)to + done, n))
            break;
        done += n;
    }
    return done;
}

size_t debugger_write_physical(struct cpu_group *group, u64 hpa, const void *from, size_t size)
{
    size_t done = 0;
    while (done < size) {
        size_t n = page_part(hpa + done, size - done);
        if (!copy_to(&group->bus->ram, hpa + done, (const u8 *)from + done, n))
            break;
        done += n;
    }
    return done;
}

/* One direction or the other: `to` or `from` is NULL. Memory is what the processor sees, in SMM too. */
static size_t copy(struct cpu *cpu, u64 lin, u8 *to, const u8 *from, size_t size)
{
    struct ram *ram = &cpu->bus->ram;
    bool view = ram->smm_view, ok = true;
    size_t done = 0;
    u64 hpa;
    ram_smm_view(ram, cpu->smm);
    while (ok && done < size && translate(cpu, lin + done, &hpa)) {
        size_t n = page_part(lin + done, size - done);
        ok = to ? copy_from(ram, hpa, to + done, n) : copy_to(ram, hpa, from + done, n);
        done += ok ? n : 0;
    }
    ram_smm_view(ram, view);
    return done;
}

size_t debugger_read(struct cpu *cpu, u64 lin, void *to, size_t size)
{
    return copy(cpu, lin, to, NULL, size);
}

size_t debugger_write(struct cpu *cpu, u64 lin, const void *from, size_t size)
{
    return copy(cpu, lin, NULL, from, size);
}

/* ---- Registers ---- */

#define FLAGS_SETTABLE                                                                             \
    (FLAGS_STATUS | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_RF | FLAG_AC |        \
     FLAG_VIF | FLAG_VIP | FLAG_ID)
#define IA32_EFER 0xc0000080

static bool is_real_mode(const struct cpu *cpu)
{
    return !(cpu->mode & MODE_PE) || (cpu->mode & MODE_VM86);
}

static bool set_rip(struct cpu *cpu, u64 value)
{
    if (!(cpu->mode & MODE_64) && value > UINT32_MAX)
        return false;
    cpu->rip = value;
    return true;
}

static bool set_eflags(struct cpu *cpu, u64 value)
{
    u64 now = cpu_eflags(cpu);
    if ((value ^ now) & ~FLAGS_SETTABLE)
        return false;
    cpu_set_eflags(cpu, value);
    cpu_update_mode(cpu);
    return true;
}

/* Functions of the core that may fault: the fault is the debugger's, not the guest's. */
static bool without_fault(struct cpu *cpu, bool (*write)(struct cpu *cpu, u64 value), u64 value)
{
    struct exception exc = cpu->exc;
    struct vm_exit exit = cpu->exit;
    bool ok = write(cpu, value);
    cpu->exc = exc;
    cpu->exit = exit;
    return ok;
}

static bool set_control(struct cpu *cpu, unsigned n, u64 value)
{
    switch (n) {
    case 0:
        return without_fault(cpu, cpu_write_cr0, value);
    case 2:
        cpu->cr2 = value;
        return true;
    case 3:
        return without_fault(cpu, cpu_write_cr3, value);
    case 4:
        return without_fault(cpu, cpu_write_cr4, value);
    case 8:
        return without_fault(cpu, cpu_write_cr8, value);
    default:
        return false;
    }
}

static bool set_selector(struct cpu *cpu, unsigned seg, u64 value)
{
    if (!is_real_mode(cpu) || seg >= SEG_LDTR || value > 0xffff)
        return false;
    cpu->seg[seg].selector = (u16)value;
    cpu->seg[seg].base = value << 4;
    cpu_update_mode(cpu);
    return true;
}

/* In 64-bit mode only FS and GS have one. */
static bool set_base(struct cpu *cpu, unsigned seg, u64 value)
{
    if (cpu->mode & MODE_64 ? seg < SEG_FS || !cpu_is_canonical(cpu, value) : value > UINT32_MAX)
        return false;
    cpu->seg[seg].base = value;
    cpu_update_mode(cpu);
    return true;
}

static bool set_table_base(struct cpu *cpu, u64 *base, u64 value)
{
    if (!cpu_is_canonical(cpu, value))
        return false;
    *base = value;
    return true;
}

enum reg_kind { REG_GPR, REG_SELECTOR, REG_BASE, REG_CONTROL, REG_DEBUG, REG_OTHER };
enum reg_other {
    OTHER_RIP,
    OTHER_EFLAGS,
    OTHER_GDT,
    OTHER_IDT,
    OTHER_KGS,
    OTHER_EFER,
    OTHER_MXCSR,
    OTHER_XCR0
};

struct reg_row {
    const char *name;
    enum reg_kind kind;
    unsigned n;
};

/* clang-format off */
static const struct reg_row rows[] = {
    {"rax", REG_GPR, RAX}, {"rbx", REG_GPR, RBX}, {"rcx", REG_GPR, RCX}, {"rdx", REG_GPR, RDX},
    {"rsi", REG_GPR, RSI}, {"rdi", REG_GPR, RDI}, {"rbp", REG_GPR, RBP}, {"rsp", REG_GPR, RSP},
    {"r8", REG_GPR, R8}, {"r9", REG_GPR, R9}, {"r10", REG_GPR, R10}, {"r11", REG_GPR, R11},
    {"r12", REG_GPR, R12}, {"r13", REG_GPR, R13}, {"r14", REG_GPR, R14}, {"r15", REG_GPR, R15},
    {"rip", REG_OTHER, OTHER_RIP}, {"eflags", REG_OTHER, OTHER_EFLAGS},
    {"cs", REG_SELECTOR, SEG_CS}, {"ss", REG_SELECTOR, SEG_SS}, {"ds", REG_SELECTOR, SEG_DS},
    {"es", REG_SELECTOR, SEG_ES}, {"fs", REG_SELECTOR, SEG_FS}, {"gs", REG_SELECTOR, SEG_GS},
    {"ldtr", REG_SELECTOR, SEG_LDTR}, {"tr", REG_SELECTOR, SEG_TR},
    {"cs_base", REG_BASE, SEG_CS}, {"ss_base", REG_BASE, SEG_SS}, {"ds_base", REG_BASE, SEG_DS},
    {"es_base", REG_BASE, SEG_ES}, {"fs_base", REG_BASE, SEG_FS}, {"gs_base", REG_BASE, SEG_GS},
    {"ldtr_base", REG_BASE, SEG_LDTR}, {"tr_base", REG_BASE, SEG_TR},
    {"gdt_base", REG_OTHER, OTHER_GDT}, {"idt_base", REG_OTHER, OTHER_IDT},
    {"k_gs_base", REG_OTHER, OTHER_KGS}, {"efer", REG_OTHER, OTHER_EFER},
    {"mxcsr", REG_OTHER, OTHER_MXCSR}, {"xcr0", REG_OTHER, OTHER_XCR0},
    {"cr0", REG_CONTROL, 0}, {"cr2", REG_CONTROL, 2}, {"cr3", REG_CONTROL, 3},
    {"cr4", REG_CONTROL, 4}, {"cr8", REG_CONTROL, 8},
    {"dr0", REG_DEBUG, 0}, {"dr1", REG_DEBUG, 1}, {"dr2", REG_DEBUG, 2}, {"dr3", REG_DEBUG, 3},
    {"dr6", REG_DEBUG, 6}, {"dr7", REG_DEBUG, 7},
};
/* clang-format on */

static const struct reg_row *find_row(const char *name)
{
    for (size_t n = 0; n < ARRAY_SIZE(rows); n++)
        if (!strcmp(rows[n].name, name))
            return &rows[n];
    return NULL;
}

static u64 get_control(const struct cpu *cpu, unsigned n)
{
    const u64 values[] = {cpu->cr0, 0, cpu->cr2, cpu->cr3, cpu->cr4, 0, 0, 0, cpu->cr8};
    return values[n];
}

static u64 get_other(const struct cpu *cpu, unsigned n)
{
    switch ((enum reg_other)n) {
    case OTHER_RIP:
        return cpu->rip;
    case OTHER_EFLAGS:
        return cpu_eflags(cpu);
    case OTHER_GDT:
        return cpu->gdtr.base;
    case OTHER_IDT:
        return cpu->idtr.base;
    case OTHER_KGS:
        return cpu->kernel_gs_base;
    case OTHER_EFER:
        return cpu->efer;
    case OTHER_MXCSR:
        return cpu->mxcsr;
    default:
        return cpu->xcr0;
    }
}

static bool set_other(struct cpu *cpu, unsigned n, u64 value)
{
    switch ((enum reg_other)n) {
    case OTHER_RIP:
        return set_rip(cpu, value);
    case OTHER_EFLAGS:
        return set_eflags(cpu, value);
    case OTHER_GDT:
        return set_table_base(cpu, &cpu->gdtr.base, value);
    case OTHER_IDT:
        return set_table_base(cpu, &cpu->idtr.base, value);
    case OTHER_KGS:
        return set_table_base(cpu, &cpu->kernel_gs_base, value);
    case OTHER_EFER:
        return msr_set(cpu, IA32_EFER, value);
    case OTHER_MXCSR:
        if (value > 0xffff)
            return false;
        cpu->mxcsr = (u32)value;
        return true;
    default:
        return false;
    }
}

static u64 get(const struct cpu *cpu, const struct reg_row *row)
{
    switch (row->kind) {
    case REG_GPR:
        return cpu->gpr[row->n];
    case REG_SELECTOR:
        return cpu->seg[row->n].selector;
    case REG_BASE:
        return cpu->seg[row->n].base;
    case REG_CONTROL:
        return get_control(cpu, row->n);
    case REG_DEBUG:
        return cpu->dr[row->n];
    default:
        return get_other(cpu, row->n);
    }
}

bool debugger_get(const struct cpu *cpu, const char *name, u64 *value)
{
    const struct reg_row *row = find_row(name);
    if (row)
        *value = get(cpu, row);
    return row;
}

bool debugger_set(struct cpu *cpu, const char *name, u64 value)
{
    const struct reg_row *row = find_row(name);
    if (!row)
        return false;
    if (get(cpu, row) == value) /* not even a flush of translations */
        return true;
    switch (row->kind) {
    case REG_GPR:
        cpu->gpr[row->n] = value;
        return true;
    case REG_SELECTOR:
        return set_selector(cpu, row->n, value);
    case REG_BASE:
        return set_base(cpu, row->n, value);
    case REG_CONTROL:
        return set_control(cpu, row->n, value);
    case REG_DEBUG:
        return false;
    default:
        return set_other(cpu, row->n, value);
    }
}
