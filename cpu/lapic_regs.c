/* SPDX-License-Identifier: MIT */
/* The registers of the local APIC as software sees them: a page of memory, or MSRs in x2APIC mode. */
#include "cpu/lapic_state.h"

/* Entry of the local vector table that a register is, -1 for others. */
static int lvt_of(unsigned reg)
{
    if (reg == APIC_LVT_CMCI)
        return LVT_CMCI;
    return reg >= APIC_LVT_TIMER && reg <= APIC_LVT_ERROR ? (int)(reg - APIC_LVT_TIMER) : -1;
}

static u32 logical_id(const struct lapic *l)
{
    return lapic_x2apic(l) ? (l->id >> 4) << 16 | BIT32(l->id & 15) : l->ldr;
}

/* ---- Reading ---- */

/* Version 15H, with LVT_COUNT entries. */
#define VERSION (0x15u | (LVT_COUNT - 1) << 16)

static bool read_vectors(const struct lapic *l, unsigned reg, u32 *val)
{
    if (reg < APIC_ISR || reg >= APIC_IRR + 8)
        return false;
    const u32 *bits = reg < APIC_TMR ? l->isr : reg < APIC_IRR ? l->tmr : l->irr;
    *val = bits[reg & 7];
    return true;
}

/* False: there is no such register. */
static bool read_reg(const struct lapic *l, unsigned reg, u32 *val)
{
    int lvt = lvt_of(reg);
    if (lvt >= 0)
        return *val = l->lvt[lvt], true;
    switch (reg) {
    case APIC_ID:
        return *val = lapic_x2apic(l) ? l->id : l->id << 24, true;
    case APIC_VERSION:
        return *val = VERSION, true;
    case APIC_TPR:
        return *val = l->tpr, true;
    case APIC_PPR:
        return *val = lapic_ppr(l), true;
    case APIC_LDR:
        return *val = logical_id(l), true;
    case APIC_SVR:
        return *val = l->svr, true;
    case APIC_ESR:
        return *val = l->esr, true;
    case APIC_ICR_LOW:
        return *val = l->icr_low, true;
    case APIC_INITIAL_COUNT:
        return *val = l->initial_count, true;
    case APIC_CURRENT_COUNT:
        return *val = lapic_timer_current(l), true;
    case APIC_DIVIDE:
        return *val = l->divide, true;
    default:
        return read_vectors(l, reg, val);
    }
}

static bool read_reg_xapic(const struct lapic *l, unsigned reg, u32 *val)
{
    switch (reg) {
    case APIC_APR:
    case APIC_RRD:
    case APIC_EOI:
        return *val = 0, true;
    case APIC_DFR:
        return *val = l->dfr, true;
    case APIC_ICR_HIGH:
        return *val = l->icr_high, true;
    default:
        return read_reg(l, reg, val);
    }
}

/* ---- Writing ---- */

#define LVT_VECTOR_MODE 0x7ffu
#define LVT_LINT_BITS (LVT_VECTOR_MODE | BIT32(13) | LVT_LEVEL | LVT_MASKED)

static u32 lvt_writable(const struct lapic *l, int lvt)
{
    switch (lvt) {
    case LVT_TIMER:
        return 0xff | LVT_MASKED | BIT32(17) |
               (cpuid_has(l->cpu->model, FEAT_TSC_DEADLINE) ? BIT32(18) : 0);
    case LVT_LINT0:
    case LVT_LINT1:
        return LVT_LINT_BITS;
    case LVT_ERROR:
        return 0xff | LVT_MASKED;
    default:
        return LVT_VECTOR_MODE | LVT_MASKED;
    }
}

static void write_lvt(struct lapic *l, int lvt, u32 val)
{
    u32 old = l->lvt[lvt];
    val &= lvt_writable(l, lvt);
    if (!lapic_software_enabled(l))
        val |= LVT_MASKED;
    l->lvt[lvt] = val | ((val & LVT_LEVEL) ? old & LVT_REMOTE_IRR : 0);
    if (lvt == LVT_TIMER)
        lapic_timer_mode(l, old);
    lapic_update(l);
}

static void write_svr(struct lapic *l, u32 val)
{
    l->svr = val & (SVR_ENABLE | 0xff);
    if (!lapic_software_enabled(l))
        for (unsigned n = 0; n < LVT_COUNT; n++)
            l->lvt[n] |= LVT_MASKED;
    lapic_update(l);
}

static void write_esr(struct lapic *l)
{
    l->esr = l->esr_next;
    l->esr_next = 0;
}

#define ICR_BITS 0x000ccfffu /* delivery status is always idle */

static void write_icr(struct lapic *l, u32 low, u32 dest)
{
    l->icr_low = low & ICR_BITS & ~BIT32(12);
    lapic_send(l, l->icr_low, dest);
}

/* False: there is no such register, or it can only be read. Reserved bits are ignored. */
static bool write_reg(struct lapic *l, unsigned reg, u32 val)
{
    int lvt = lvt_of(reg);
    if (lvt >= 0)
        return write_lvt(l, lvt, val), true;
    switch (reg) {
    case APIC_TPR:
        l->tpr = val & 0xff;
        l->cpu->cr8 = l->tpr >> 4;
        return lapic_update(l), true;
    case APIC_EOI:
        return lapic_end_of_interrupt(l), true;
    case APIC_SVR:
        return write_svr(l, val), true;
    case APIC_ESR:
        return write_esr(l), true;
    case APIC_INITIAL_COUNT:
        return lapic_timer_set_count(l, val), true;
    case APIC_DIVIDE:
        return lapic_timer_set_divide(l, val), true;
    default:
        return false;
    }
}

/* Registers that can't be written but exist are no error. */
static bool write_reg_xapic(struct lapic *l, unsigned reg, u32 val)
{
    u32 ignored;
    switch (reg) {
    case APIC_LDR:
        l->ldr = val & 0xff000000;
        return true;
    case APIC_DFR:
        l->dfr = val | 0x0fffffff;
        return true;
    case APIC_ICR_LOW:
        return write_icr(l, val, l->icr_high >> 24), true;
    case APIC_ICR_HIGH:
        l->icr_high = val & 0xff000000;
        return true;
    default:
        return write_reg(l, reg, val) || read_reg_xapic(l, reg, &ignored);
    }
}

/* ---- As MSRs ---- */

bool lapic_msr_read(struct lapic *l, u32 index, u64 *val)
{
    unsigned reg = index - 0x800;
    u32 low;
    if (!lapic_x2apic(l) || !read_reg(l, reg, &low))
        return false;
    *val = low | (reg == APIC_ICR_LOW ? (u64)l->icr_high << 32 : 0);
    return true;
}

/* Bits that may be set in a write to the register in x2APIC mode. */
static u64 x2apic_writable(const struct lapic *l, unsigned reg)
{
    int lvt = lvt_of(reg);
    if (lvt >= 0)
        return lvt_writable(l, lvt) | BIT32(12) |
               (lvt_writable(l, lvt) & LVT_LEVEL ? LVT_REMOTE_IRR : 0);
    switch (reg) {
    case APIC_TPR:
    case APIC_SELF_IPI:
        return 0xff;
    case APIC_SVR:
        return SVR_ENABLE | 0xff;
    case APIC_ICR_LOW:
        return ~UINT64_C(0) << 32 | ICR_BITS;
    case APIC_INITIAL_COUNT:
        return UINT32_MAX;
    case APIC_DIVIDE:
        return 0xb;
    default: /* EOI, ESR: only 0 */
        return 0;
    }
}

static void self_ipi(struct lapic *l, u8 vector)
{
    if (vector < 16)
        lapic_error(l, ESR_SEND_ILLEGAL);
    else
        lapic_accept(l, vector, false);
}

bool lapic_msr_write(struct lapic *l, u32 index, u64 val)
{
    unsigned reg = index - 0x800;
    if (!lapic_x2apic(l) || (val & ~x2apic_writable(l, reg)))
        return false;
    switch (reg) {
    case APIC_ICR_LOW:
        l->icr_high = (u32)(val >> 32);
        return write_icr(l, (u32)val, l->icr_high), true;
    case APIC_SELF_IPI:
        return self_ipi(l, (u8)val), true;
    default:
        return write_reg(l, reg, (u32)val);
    }
}

/* ---- As memory ---- */

/* The APIC that answers: the one of the CPU that is executing. */
static struct lapic *answering(const struct cpu_group *group)
{
    struct cpu *cpu = group->running ? group->running : group->cpu[0];
    struct lapic *l = cpu->lapic;
    return lapic_enabled(l) && !lapic_x2apic(l) ? l : NULL;
}

static u64 mmio_read(void *opaque, u64 offset, unsigned size)
{
    struct lapic *l = answering(opaque);
    u32 val = 0;
    if (!l)
        return MASK(size * 8);
    if (offset >= 0x400 || !read_reg_xapic(l, (unsigned)offset >> 4, &val))
        lapic_error(l, ESR_REGISTER);
    return (offset & 15) < 4 ? (u64)val >> (8 * (offset & 3)) & MASK(size * 8) : 0;
}

/* Registers are written by aligned accesses of 32 bits; the SDM leaves others undefined. */
static void mmio_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct lapic *l = answering(opaque);
    if (!l)
        return;
    if (size != 4 || (offset & 15)) {
        if (log_on(LOG_APIC))
            log_msg(LOG_APIC, "write of %u bytes at offset %#llx ignored", size,
                    (unsigned long long)offset);
        return;
    }
    if (offset >= 0x400 || !write_reg_xapic(l, (unsigned)offset >> 4, (u32)value))
        lapic_error(l, ESR_REGISTER);
}

static const struct bus_ops mmio_ops = {mmio_read, mmio_write, 4};

static bool overlaps(u64 base, u64 other, u64 size)
{
    return base < other + size && other < base + PAGE_SIZE;
}

static bool place_is_free(const struct bus *bus, u64 base)
{
    if (ram_host(&bus->ram, base))
        return false;
    for (u32 n = 0; n < bus->mmio_count; n++)
        if (overlaps(base, bus->mmio[n].base, bus->mmio[n].size))
            return false;
    return true;
}

static bool is_mapped(const struct bus *bus, u64 base)
{
    for (u32 n = 0; n < bus->mmio_count; n++)
        if (bus->mmio[n].base == base && bus->mmio[n].ops == &mmio_ops)
            return true;
    return false;
}

static void map_at(struct cpu_group *group, u64 base)
{
    if (is_mapped(group->bus, base))
        return;
    if (!place_is_free(group->bus, base)) {
        unimplemented("local APIC over RAM or a device");
        return;
    }
    struct bus_region region = {base, PAGE_SIZE, &mmio_ops, group, "local APIC"};
    bus_map_mmio(group->bus, &region);
}

void lapic_moved(struct cpu_group *group, u64 old)
{
    bool used = false;
    for (unsigned n = 0; n < group->count; n++)
        used = used || (group->cpu[n]->apic_base & PAGE_MASK) == old;
    if (!used && is_mapped(group->bus, old))
        bus_unmap_mmio(group->bus, old);
    for (unsigned n = 0; n < group->count; n++)
        map_at(group, group->cpu[n]->apic_base & PAGE_MASK);
}

void lapic_map(struct cpu_group *group)
{
    for (unsigned n = 0; n < group->count; n++) {
        struct cpu *cpu = group->cpu[n];
        cpu->lapic->id = cpuid_apic_id(cpu->model, group->count, cpu->index);
    }
    map_at(group, LAPIC_DEFAULT_BASE);
}
