/* SPDX-License-Identifier: MIT */
#include "cpu/msr.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cpu/cpu.h"
#include "cpu/cpuid.h"
#include "cpu/lapic.h"

/* ---- Values of the table ---- */

#define U64_0 UINT64_C(0)
#define APIC_BASE_RESET (LAPIC_DEFAULT_BASE | APIC_BASE_EN) /* and BSP on the bootstrap processor */
/* Corrected-error interrupts, threshold-based status, software error recovery. */
#define MCG_CAP_RESET (MC_BANKS | BIT(10) | BIT(11) | BIT(24))
/* Fast strings, no branch trace storage, no precise event sampling, MONITOR. */
#define MISC_ENABLE_RESET (BIT(0) | BIT(11) | BIT(12) | MISC_ENABLE_MONITOR)
#define MISC_ENABLE_WRITABLE (BIT(0) | MISC_ENABLE_MONITOR | MISC_ENABLE_XD_DISABLE)

#define FEATURE_CONTROL_LOCK BIT(0)
#define FEATURE_CONTROL_VMX_OUTSIDE_SMX BIT(2)

#define MTRR_TYPE_UC 0u
#define MTRR_TYPE_WC 1u
#define MTRR_TYPE_WT 4u
#define MTRR_TYPE_WP 5u
#define MTRR_TYPE_WB 6u
#define PAT_TYPE_UC_MINUS 7u
#define MTRR_MASK_VALID BIT(11)
#define MTRR_FIXED_ENABLE BIT(10)
#define MTRR_ENABLE BIT(11)

/* ---- Helpers ---- */

bool msr_canonical(const struct cpu_model *model, u64 v)
{
    return sign_extend(v, model->lin_bits) == v;
}

u64 msr_tsc(const struct cpu *cpu, const struct insn *i)
{
    return cpu_now(cpu, i) + cpu->tsc_offset;
}

u64 msr_read_tsc(const struct cpu *cpu, const struct insn *i)
{
    u64 offset = unlikely(cpu->nonroot) ? cpu->virt->tsc_offset(cpu) : 0;
    return msr_tsc(cpu, i) + offset;
}

u64 msr_xss(const struct cpu *cpu)
{
    return cpu->msr[MSR_XSS];
}

bool msr_xcr0_valid(const struct cpu_model *model, u64 v)
{
    static const u64 avx = BIT(2), bound = BIT(3) | BIT(4), avx512 = BIT(5) | BIT(6) | BIT(7),
                     amx = BIT(17) | BIT(18);
    if (!(v & 1) || (v & ~cpuid_xcr0_mask(model)))
        return false;
    if ((v & avx) && !(v & 2))
        return false;
    if ((v & bound) && (v & bound) != bound)
        return false;
    if ((v & avx512) && ((v & avx512) != avx512 || !(v & avx)))
        return false;
    return !(v & amx) || (v & amx) == amx;
}

static bool memory_type_valid(u64 type)
{
    return type == MTRR_TYPE_UC || type == MTRR_TYPE_WC ||
           (type >= MTRR_TYPE_WT && type <= MTRR_TYPE_WB);
}

/* The bus runs at 100 MHz; ratios give the frequency of the time-stamp counter. */
static u64 ratio(const struct cpu *cpu)
{
    return MIN(cpu->clock->hz / 100000000, 0xff);
}

/* ---- Registers that are made when read ---- */

static bool read_absent(const struct cpu *cpu, u64 *val)
{
    (void)cpu;
    (void)val;
    return false;
}

static bool read_tsc(const struct cpu *cpu, u64 *val)
{
    return *val = msr_read_tsc(cpu, NULL), true;
}

static bool read_core_thread_count(const struct cpu *cpu, u64 *val)
{
    u64 threads = cpu->group->count;
    return *val = (threads / MAX(cpu->model->threads, 1u)) << 16 | threads, true;
}

static bool read_bios_sign_id(const struct cpu *cpu, u64 *val)
{
    return *val = (u64)cpu->model->microcode << 32, true;
}

static bool read_platform_info(const struct cpu *cpu, u64 *val)
{
    return *val = ratio(cpu) << 8 | ratio(cpu) << 40, true;
}

static bool read_perf_status(const struct cpu *cpu, u64 *val)
{
    return *val = ratio(cpu) << 8, true;
}

static bool read_turbo_ratio_limit(const struct cpu *cpu, u64 *val)
{
    return *val = ratio(cpu) * UINT64_C(0x0101010101010101), true;
}

static bool read_arch_capabilities(const struct cpu *cpu, u64 *val)
{
    return *val = cpu->model->arch_capabilities, true;
}

static bool read_tsc_deadline(const struct cpu *cpu, u64 *val)
{
    return *val = lapic_tsc_deadline(cpu->lapic), true;
}

/* ---- Registers with rules for writing; false: #GP ---- */

static bool write_read_only(struct cpu *cpu, u64 *store, u64 val)
{
    (void)cpu;
    (void)store;
    (void)val;
    return false;
}

/* Commands that have no effect on a machine without speculation or microcode. */
static bool write_command(struct cpu *cpu, u64 *store, u64 val)
{
    (void)cpu;
    (void)store;
    (void)val;
    return true;
}

static bool write_zero(struct cpu *cpu, u64 *store, u64 val)
{
    (void)cpu;
    *store = 0;
    return val == 0;
}

static bool write_canonical(struct cpu *cpu, u64 *store, u64 val)
{
    if (!msr_canonical(cpu->model, val))
        return false;
    *store = val;
    return true;
}

static bool write_tsc(struct cpu *cpu, u64 *store, u64 val)
{
    (void)store;
    u64 delta = val - msr_tsc(cpu, NULL);
    cpu->tsc_offset += delta;
    cpu->tsc_adjust += delta;
    lapic_tsc_changed(cpu->lapic);
    return true;
}

static bool write_tsc_adjust(struct cpu *cpu, u64 *store, u64 val)
{
    cpu->tsc_offset += val - *store;
    *store = val;
    lapic_tsc_changed(cpu->lapic);
    return true;
}

static bool write_apic_base(struct cpu *cpu, u64 *store, u64 val)
{
    (void)store;
    return lapic_set_base(cpu->lapic, val);
}

static bool write_tsc_deadline(struct cpu *cpu, u64 *store, u64 val)
{
    (void)store;
    lapic_set_tsc_deadline(cpu->lapic, val);
    return true;
}

static bool write_feature_control(struct cpu *cpu, u64 *store, u64 val)
{
    u64 valid = FEATURE_CONTROL_LOCK;
    if (cpuid_has(cpu->model, FEAT_VMX))
        valid |= FEATURE_CONTROL_VMX_OUTSIDE_SMX;
    if ((*store & FEATURE_CONTROL_LOCK) || (val & ~valid))
        return false;
    *store = val;
    return true;
}

static bool write_spec_ctrl(struct cpu *cpu, u64 *store, u64 val)
{
    static const struct {
        enum cpu_feature feature;
        u64 bits;
    } bits[] = {
        {FEAT_SPEC_CTRL, BIT(0)},
        {FEAT_STIBP, BIT(1)},
        {FEAT_SSBD, BIT(2)},
        {FEAT_IPRED_CTRL, BIT(3) | BIT(4)},
        {FEAT_RRSBA_CTRL, BIT(5) | BIT(6)},
        {FEAT_PSFD, BIT(7)},
        {FEAT_DDPD_U, BIT(8)},
        {FEAT_BHI_CTRL, BIT(10)},
    };
    u64 valid = 0;
    for (unsigned n = 0; n < ARRAY_SIZE(bits); n++)
        if (cpuid_has(cpu->model, bits[n].feature))
            valid |= bits[n].bits;
    if (val & ~valid)
        return false;
    *store = val;
    return true;
}

/* Execute-disable can't be taken away while it is in use. */
static bool write_misc_enable(struct cpu *cpu, u64 *store, u64 val)
{
    if ((val & MISC_ENABLE_XD_DISABLE) && (cpu->efer & EFER_NXE))
        return false;
    *store = val;
    return true;
}

static bool write_debugctl(struct cpu *cpu, u64 *store, u64 val)
{
    (void)cpu;
    if (val & BIT(0))
        unimplemented("last-branch records");
    if (val & BIT(1))
        unimplemented("single stepping on branches");
    *store = val;
    return true;
}

static bool write_mtrr_base(struct cpu *cpu, u64 *store, u64 val)
{
    if ((val & ~((MASK(cpu->model->phys_bits) & PAGE_MASK) | 0xff)) ||
        !memory_type_valid(val & 0xff))
        return false;
    *store = val;
    return true;
}

static bool write_mtrr_mask(struct cpu *cpu, u64 *store, u64 val)
{
    if (val & ~((MASK(cpu->model->phys_bits) & PAGE_MASK) | MTRR_MASK_VALID))
        return false;
    *store = val;
    return true;
}

static bool write_mtrr_fixed(struct cpu *cpu, u64 *store, u64 val)
{
    (void)cpu;
    for (unsigned n = 0; n < 8; n++)
        if (!memory_type_valid((val >> (8 * n)) & 0xff))
            return false;
    *store = val;
    return true;
}

static bool write_mtrr_def_type(struct cpu *cpu, u64 *store, u64 val)
{
    (void)cpu;
    if (!memory_type_valid(val & 0xff))
        return false;
    *store = val;
    return true;
}

static bool write_pat(struct cpu *cpu, u64 *store, u64 val)
{
    (void)cpu;
    for (unsigned n = 0; n < 8; n++) {
        u64 type = (val >> (8 * n)) & 0xff;
        if (!memory_type_valid(type) && type != PAT_TYPE_UC_MINUS)
            return false;
    }
    *store = val;
    return true;
}

static bool write_xss(struct cpu *cpu, u64 *store, u64 val)
{
    if (val & ~cpuid_xss_mask(cpu->model))
        return false;
    *store = val;
    return true;
}

/* LMA follows LME and CR0.PG and can't be written; LME is fixed while paging is on. */
u64 msr_efer_mask(const struct cpu *cpu)
{
    const struct cpu_model *model = cpu->model;
    u64 valid = EFER_LMA;
    if (cpuid_has(model, FEAT_SYSCALL))
        valid |= EFER_SCE;
    if (cpuid_has(model, FEAT_LM))
        valid |= EFER_LME;
    if (cpuid_has(model, FEAT_NX) && !(cpu->msr[MSR_MISC_ENABLE] & MISC_ENABLE_XD_DISABLE))
        valid |= EFER_NXE;
    return valid;
}

static bool write_efer(struct cpu *cpu, u64 *store, u64 val)
{
    if ((val & ~msr_efer_mask(cpu)) || (((val ^ *store) & EFER_LME) && (cpu->cr0 & CR0_PG)))
        return false;
    *store = (val & ~EFER_LMA) | (*store & EFER_LMA);
    cpu_update_mode(cpu);
    return true;
}

/* ---- The table ---- */

typedef bool msr_reader(const struct cpu *cpu, u64 *val);
typedef bool msr_writer(struct cpu *cpu, u64 *store, u64 val);

struct msr_row {
    const char *name;
    u32 first, count, stride;
    u32 slot;
    enum cpu_feature feature;
    size_t field; /* offset in struct cpu, or IN_SLOT */
    u64 reset, writable;
    msr_reader *read;
    msr_writer *write;
};
#define IN_SLOT SIZE_MAX

static const struct msr_row rows[] = {
#define SLOT IN_SLOT
#define AT(field) offsetof(struct cpu, field)
#define PLAIN NULL
#define ABSENT read_absent
#define RONLY write_read_only
#define MSR(id, name, first, count, stride, feature, where, reset, writable, read, write)          \
    {name, first, count, stride, MSR_##id, FEAT_##feature, where, reset, writable, read, write},
#include "cpu/msr.def"
#undef SLOT
#undef AT
#undef PLAIN
#undef ABSENT
#undef RONLY
};

/* By index: 1 + place in cpu->msr, 0 for none. Places know their row. */
#define LOW_INDICES 0x1000u
#define HIGH_BASE 0xc0000000u
#define HIGH_INDICES 0x200u
static u16 low_slots[LOW_INDICES], high_slots[HIGH_INDICES];
static u8 slot_rows[MSR_SLOTS];

_Static_assert(ARRAY_SIZE(rows) <= UINT8_MAX, "slot_rows holds row numbers");

static u16 *index_entry(u32 index)
{
    if (index < LOW_INDICES)
        return &low_slots[index];
    return index - HIGH_BASE < HIGH_INDICES ? &high_slots[index - HIGH_BASE] : NULL;
}

static void build_index(void)
{
    if (low_slots[rows[0].first])
        return;
    for (unsigned r = 0; r < ARRAY_SIZE(rows); r++)
        for (u32 n = 0; n < rows[r].count; n++) {
            u16 *entry = index_entry(rows[r].first + n * rows[r].stride);
            ASSERT(entry && !*entry);
            slot_rows[rows[r].slot + n] = (u8)r;
            *entry = (u16)(rows[r].slot + n + 1);
        }
}

/* The register's row and place; NULL where this processor has none. */
static const struct msr_row *find(const struct cpu *cpu, u32 index, u32 *slot)
{
    const u16 *entry = index_entry(index);
    if (!entry || !*entry)
        return NULL;
    *slot = *entry - 1u;
    const struct msr_row *row = &rows[slot_rows[*slot]];
    return cpuid_has(cpu->model, row->feature) ? row : NULL;
}

static u64 *storage(struct cpu *cpu, const struct msr_row *row, u32 slot)
{
    if (row->field == IN_SLOT)
        return &cpu->msr[slot];
    return (u64 *)(void *)((char *)cpu + row->field);
}

static bool is_x2apic(const struct cpu *cpu, u32 index)
{
    return index - 0x800 < 0x100 && cpuid_has(cpu->model, FEAT_X2APIC);
}

/* The VMX capability MSRs: read-only values that the layer above makes. */
static bool is_vmx(u32 index)
{
    return index - 0x480 < 0x20;
}

const char *msr_name(u32 index)
{
    build_index();
    const u16 *entry = index_entry(index);
    if (index - 0x800 < 0x100)
        return "x2APIC register";
    if (is_vmx(index))
        return "VMX capability";
    return entry && *entry ? rows[slot_rows[*entry - 1]].name : NULL;
}

/* ---- Access ---- */

bool msr_get(struct cpu *cpu, u32 index, u64 *val)
{
    u32 slot;
    if (is_x2apic(cpu, index))
        return lapic_msr_read(cpu->lapic, index, val);
    if (is_vmx(index))
        return cpu->virt && cpu->virt->capability(cpu, index, val);
    const struct msr_row *row = find(cpu, index, &slot);
    if (!row)
        return false;
    if (row->read)
        return row->read(cpu, val);
    *val = *storage(cpu, row, slot);
    return true;
}

bool msr_set(struct cpu *cpu, u32 index, u64 val)
{
    u32 slot;
    if (is_x2apic(cpu, index))
        return lapic_msr_write(cpu->lapic, index, val);
    const struct msr_row *row = find(cpu, index, &slot);
    if (!row)
        return false;
    u64 *store = storage(cpu, row, slot);
    if ((val ^ *store) & ~row->writable)
        return false;
    if (row->write)
        return row->write(cpu, store, val);
    *store = val;
    return true;
}

static bool fault(struct cpu *cpu, const struct insn *i, u32 index, const char *what)
{
    if (log_on(LOG_MSR)) {
        const char *name = msr_name(index);
        log_msg(LOG_MSR, "%s of %#x (%s) at %#llx: #GP", what, index, name ? name : "unknown",
                (unsigned long long)(i ? insn_rip(i) : cpu->rip));
    }
    return cpu_fault_gp(cpu, 0);
}

bool msr_read(struct cpu *cpu, const struct insn *i, u32 index, u64 *val)
{
    cpu->clock->now = cpu_now(cpu, i);
    return msr_get(cpu, index, val) || fault(cpu, i, index, "read");
}

bool msr_write(struct cpu *cpu, const struct insn *i, u32 index, u64 val)
{
    cpu->clock->now = cpu_now(cpu, i);
    return msr_set(cpu, index, val) || fault(cpu, i, index, "write");
}

/* ---- Life ---- */

void msr_new(struct cpu *cpu)
{
    build_index();
    cpu->msr = xalloc_array(MSR_SLOTS, sizeof(u64));
}

void msr_free(struct cpu *cpu)
{
    free(cpu->msr);
    cpu->msr = NULL;
}

static void reset_all(struct cpu *cpu)
{
    for (unsigned slot = 0; slot < MSR_SLOTS; slot++) {
        const struct msr_row *row = &rows[slot_rows[slot]];
        *storage(cpu, row, slot) = row->reset;
    }
    if (cpu->index == 0)
        cpu->apic_base |= APIC_BASE_BSP;
    if (!cpuid_has(cpu->model, FEAT_MONITOR))
        cpu->msr[MSR_MISC_ENABLE] &= ~MISC_ENABLE_MONITOR;
    cpu->tsc_offset = 0 - cpu->clock->now;
}

void msr_reset(struct cpu *cpu, bool init)
{
    if (init)
        cpu->efer = 0;
    else
        reset_all(cpu);
}

void msr_snap(struct cpu *cpu, struct snap *s)
{
    snap_section(s, "msr", 1);
    snap_expect(s, "number of MSRs", MSR_SLOTS);
    snap_bytes(s, cpu->msr, MSR_SLOTS * sizeof(u64));
}

/* ---- Firmware ---- */

static u64 eight_times(u64 type)
{
    return type * UINT64_C(0x0101010101010101);
}

void msr_firmware(struct cpu *cpu)
{
    u64 *msr = cpu->msr;
    u64 hole = cpu->bus->ram.low <= 2 * GIB ? 2 * GIB : RAM_HOLE_START;
    msr[MSR_MTRR_FIX64K] = msr[MSR_MTRR_FIX16K] = eight_times(MTRR_TYPE_WB);
    msr[MSR_MTRR_FIX16K + 1] = eight_times(MTRR_TYPE_UC);
    for (unsigned n = 0; n < 8; n++)
        msr[MSR_MTRR_FIX4K + n] = eight_times(MTRR_TYPE_WP);
    msr[MSR_MTRR_PHYSBASE] = hole | MTRR_TYPE_UC;
    msr[MSR_MTRR_PHYSMASK] =
        (MASK(cpu->model->phys_bits) & ~(RAM_HIGH_START - hole - 1)) | MTRR_MASK_VALID;
    msr[MSR_MTRR_DEF_TYPE] = MTRR_ENABLE | MTRR_FIXED_ENABLE | MTRR_TYPE_WB;
    msr[MSR_FEATURE_CONTROL] = FEATURE_CONTROL_LOCK;
    if (cpuid_has(cpu->model, FEAT_VMX))
        msr[MSR_FEATURE_CONTROL] |= FEATURE_CONTROL_VMX_OUTSIDE_SMX;
}
