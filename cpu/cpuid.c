/* SPDX-License-Identifier: MIT */
#include "cpu/cpuid.h"

#include <string.h>

#include "cpu/cpu.h"
#include "cpu/lapic.h"
#include "cpu/msr.h"

enum { EAX, EBX, ECX, EDX };

struct feature {
    const char *name;
    u32 leaf, subleaf;
    u8 reg, bit;
    bool works;
};

static const struct feature features[FEAT_COUNT] = {
    [FEAT_NONE] = {"none", 0, 0, 0, 0, true},
#define FEATURE(id, name, leaf, subleaf, reg, bit, works, ...)                                     \
    [FEAT_##id] = {name, leaf, subleaf, reg, bit, works},
#include "cpu/cpuid.def"
};

enum cpu_feature cpu_feature_find(const char *name)
{
    for (unsigned f = 1; f < FEAT_COUNT; f++)
        if (!strcmp(features[f].name, name))
            return (enum cpu_feature)f;
    return FEAT_NONE;
}

const char *cpu_feature_name(enum cpu_feature f)
{
    return (unsigned)f < FEAT_COUNT ? features[f].name : "none";
}

bool cpu_feature_works(enum cpu_feature f)
{
    return features[f].works;
}

/* All bits of the table that the model has in this register. */
static u32 feature_bits(const struct cpu_model *model, u32 leaf, u32 subleaf, unsigned reg)
{
    u32 bits = 0;
    for (unsigned f = 1; f < FEAT_COUNT; f++) {
        const struct feature *row = &features[f];
        if (row->leaf == leaf && row->subleaf == subleaf && row->reg == reg &&
            cpuid_has(model, (enum cpu_feature)f))
            bits |= BIT32(row->bit);
    }
    return bits;
}

/* ---- Extended state ---- */

/* State components of XSAVE; offsets are those of the standard form. */
static const struct component {
    u32 size, offset;
    bool supervisor, aligned;
    enum cpu_feature feature;
} components[] = {
    [2] = {256, 576, false, false, FEAT_AVX},        [5] = {64, 1088, false, false, FEAT_AVX512F},
    [6] = {512, 1152, false, false, FEAT_AVX512F},   [7] = {1024, 1664, false, false, FEAT_AVX512F},
    [9] = {8, 2688, false, false, FEAT_PKU},         [11] = {16, 0, true, false, FEAT_CET_SS},
    [12] = {24, 0, true, false, FEAT_CET_SS},        [17] = {64, 2752, false, true, FEAT_AMX_TILE},
    [18] = {8192, 2816, false, true, FEAT_AMX_TILE},
};
#define XSAVE_LEGACY_AND_HEADER 576u

static u64 component_mask(const struct cpu_model *model, bool supervisor)
{
    u64 mask = supervisor ? 0 : 3; /* x87 and SSE need no feature but XSAVE */
    for (unsigned n = 0; n < ARRAY_SIZE(components); n++) {
        const struct component *c = &components[n];
        if (c->size && c->supervisor == supervisor && cpuid_has(model, c->feature))
            mask |= BIT(n);
    }
    return mask;
}

u64 cpuid_xcr0_mask(const struct cpu_model *model)
{
    return cpuid_has(model, FEAT_XSAVE) ? component_mask(model, false) : 0;
}

u64 cpuid_xss_mask(const struct cpu_model *model)
{
    return cpuid_has(model, FEAT_XSAVES) ? component_mask(model, true) : 0;
}

u32 cpuid_xsave_size(u64 bv, bool compacted)
{
    u32 end = XSAVE_LEGACY_AND_HEADER;
    for (unsigned n = 2; n < ARRAY_SIZE(components); n++) {
        const struct component *c = &components[n];
        if (!(bv & BIT(n)) || !c->size)
            continue;
        if (!compacted)
            end = MAX(end, c->offset + c->size);
        else
            end = (c->aligned ? (end + 63) & ~63u : end) + c->size;
    }
    return end;
}

static void leaf_xsave_component(const struct cpu_model *model, u32 n, u32 out[4])
{
    u64 mask = cpuid_xcr0_mask(model) | cpuid_xss_mask(model);
    if (n >= ARRAY_SIZE(components) || !(mask & BIT(n)))
        return;
    out[EAX] = components[n].size;
    out[EBX] = components[n].offset;
    out[ECX] = components[n].supervisor | (u32)components[n].aligned << 1;
}

static void leaf_xsave(const struct cpu *cpu, u32 subleaf, u32 out[4])
{
    const struct cpu_model *model = cpu->model;
    u64 xcr0 = cpuid_xcr0_mask(model), xss = cpuid_xss_mask(model);
    if (!cpuid_has(model, FEAT_XSAVE))
        return;
    if (subleaf == 0) {
        out[EAX] = (u32)xcr0;
        out[EBX] = cpuid_xsave_size(cpu->xcr0, false);
        out[ECX] = cpuid_xsave_size(xcr0, false);
        out[EDX] = (u32)(xcr0 >> 32);
    } else if (subleaf == 1) {
        out[EAX] = feature_bits(model, 0xd, 1, EAX);
        if (cpuid_has(model, FEAT_XSAVEC))
            out[EBX] = cpuid_xsave_size(cpu->xcr0 | msr_xss(cpu), true);
        out[ECX] = (u32)xss;
        out[EDX] = (u32)(xss >> 32);
    } else {
        leaf_xsave_component(model, subleaf, out);
    }
}

/* ---- Topology ---- */

static unsigned width_of(unsigned count)
{
    unsigned width = 0;
    while ((1u << width) < count)
        width++;
    return width;
}

/* Bits of the APIC ID below the core's number, and below the package's. */
static unsigned smt_shift(const struct cpu_model *model)
{
    return width_of(MAX(model->threads, 1u));
}

static unsigned package_cores(const struct cpu_model *model, unsigned count)
{
    unsigned threads = MAX(model->threads, 1u);
    return model->cores ? model->cores : (MAX(count, 1u) + threads - 1) / threads;
}

static unsigned package_shift(const struct cpu_model *model, unsigned count)
{
    return smt_shift(model) + width_of(package_cores(model, count));
}

u32 cpuid_apic_id(const struct cpu_model *model, unsigned count, unsigned index)
{
    unsigned threads = MAX(model->threads, 1u);
    unsigned cores = package_cores(model, count), core = index / threads;
    return (u32)((core / cores) << package_shift(model, count) |
                 (core % cores) << smt_shift(model) | index % threads);
}

/* "Extended Topology Enumeration": leaves 0BH and 1FH, levels SMT and core. */
static void leaf_topology(const struct cpu *cpu, u32 subleaf, u32 out[4])
{
    const struct cpu_model *model = cpu->model;
    unsigned count = cpu->group->count, threads = MAX(model->threads, 1u);
    out[ECX] = subleaf & 0xff;
    out[EDX] = cpuid_apic_id(model, count, cpu->index);
    if (subleaf == 0) {
        out[EAX] = smt_shift(model);
        out[EBX] = MIN(threads, count);
        out[ECX] |= 1 << 8;
    } else if (subleaf == 1) {
        out[EAX] = package_shift(model, count);
        out[EBX] = model->cores ? MIN(model->cores * threads, count) : count;
        out[ECX] |= 2 << 8;
    }
}

/* ---- Basic leaves ---- */

static void leaf_vendor(const struct cpu_model *model, u32 out[4])
{
    out[EAX] = model->max_leaf;
    memcpy(&out[EBX], model->vendor, 4);
    memcpy(&out[EDX], model->vendor + 4, 4);
    memcpy(&out[ECX], model->vendor + 8, 4);
}

static void leaf_features(const struct cpu *cpu, u32 out[4])
{
    const struct cpu_model *model = cpu->model;
    unsigned count = cpu->group->count;
    out[EAX] = cpuid_signature(model);
    out[EBX] = 8 << 8 /* CLFLUSH: 8 quadwords */ | 1u << (16 + package_shift(model, count)) |
               (cpuid_apic_id(model, count, cpu->index) & 0xff) << 24;
    out[ECX] = feature_bits(model, 1, 0, ECX);
    out[EDX] = feature_bits(model, 1, 0, EDX);
    if ((out[ECX] & BIT32(26)) && (cpu->cr4 & CR4_OSXSAVE))
        out[ECX] |= BIT32(27);
    if (!(cpu->apic_base & APIC_BASE_EN))
        out[EDX] &= ~BIT32(9);
    if (!(cpu->msr[MSR_MISC_ENABLE] & MISC_ENABLE_MONITOR))
        out[ECX] &= ~BIT32(3);
}

static void leaf_descriptors(const struct cpu_model *model, u32 out[4])
{
    static const u32 see_leaf_4[4] = {0x00ff0001, 0, 0, 0};
    memcpy(out, model->leaf2[0] ? model->leaf2 : see_leaf_4, sizeof(see_leaf_4));
}

static void leaf_cache(const struct cpu *cpu, u32 subleaf, u32 out[4])
{
    const struct cpu_model *model = cpu->model;
    if (subleaf >= model->caches)
        return;
    const struct cpu_cache *c = &model->cache[subleaf];
    unsigned package = package_shift(model, cpu->group->count);
    u32 ids = 1u << (c->shared ? package : smt_shift(model));
    u32 cores = 1u << (package - smt_shift(model));
    out[EAX] = c->type | c->level << 5 | BIT32(8) /* self initializing */ | (ids - 1) << 14 |
               (cores - 1) << 26;
    out[EBX] = (c->line - 1) | (c->ways - 1) << 22;
    out[ECX] = (u32)(c->size / c->line / c->ways) - 1;
    out[EDX] = (u32)c->inclusive << 1;
}

/* Only C1: deeper states would only add their exit latencies. */
static void leaf_monitor(const struct cpu_model *model, u32 out[4])
{
    if (!cpuid_has(model, FEAT_MONITOR))
        return;
    out[EAX] = out[EBX] = 64;
    out[ECX] = 3; /* hints are enumerated; interrupts end MWAIT even if masked */
    out[EDX] = 0x20;
}

static void leaf_extended_features(const struct cpu *cpu, u32 subleaf, u32 out[4])
{
    const struct cpu_model *model = cpu->model;
    for (unsigned reg = EAX; reg <= EDX; reg++)
        out[reg] = feature_bits(model, 7, subleaf, reg);
    if (subleaf != 0)
        return;
    out[EAX] = 2; /* the last subleaf */
    if ((out[ECX] & BIT32(3)) && (cpu->cr4 & CR4_PKE))
        out[ECX] |= BIT32(4);
}

static u32 common_divisor(u32 a, u32 b)
{
    while (b) {
        u32 rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* "Time Stamp Counter and Nominal Core Crystal Clock": the TSC counts the machine's ticks. */
static void leaf_tsc(const struct cpu *cpu, u32 out[4])
{
    u32 hz = (u32)cpu->clock->hz, crystal = cpu->model->crystal_hz;
    u32 divisor = common_divisor(hz, crystal);
    out[EAX] = crystal / divisor;
    out[EBX] = hz / divisor;
    out[ECX] = crystal;
}

static void leaf_frequency(const struct cpu *cpu, u32 out[4])
{
    out[EAX] = out[EBX] = (u32)(cpu->clock->hz / 1000000);
    out[ECX] = 100;
}

static void basic_leaf(const struct cpu *cpu, u32 leaf, u32 subleaf, u32 out[4])
{
    const struct cpu_model *model = cpu->model;
    switch (leaf) {
    case 0:
        leaf_vendor(model, out);
        break;
    case 1:
        leaf_features(cpu, out);
        break;
    case 2:
        leaf_descriptors(model, out);
        break;
    case 4:
        leaf_cache(cpu, subleaf, out);
        break;
    case 5:
        leaf_monitor(model, out);
        break;
    case 6:
        out[EAX] = feature_bits(model, 6, 0, EAX);
        break;
    case 7:
        leaf_extended_features(cpu, subleaf, out);
        break;
    case 0xb:
    case 0x1f:
        leaf_topology(cpu, subleaf, out);
        break;
    case 0xd:
        leaf_xsave(cpu, subleaf, out);
        break;
    case 0x15:
        leaf_tsc(cpu, out);
        break;
    case 0x16:
        leaf_frequency(cpu, out);
        break;
    default:
        break; /* 0AH too: no performance monitoring */
    }
}

/* ---- Extended leaves ---- */

static void leaf_cache_l2(const struct cpu_model *model, u32 out[4])
{
    /* Encoded associativity for 1, 2, 4, 8, 16 and more ways. */
    static const u8 code[] = {1, 2, 4, 6, 8, 8};
    for (unsigned n = 0; n < model->caches; n++) {
        const struct cpu_cache *c = &model->cache[n];
        if (c->level == 2)
            out[ECX] =
                c->line | (u32)code[MIN(width_of(c->ways), 5u)] << 12 | (u32)(c->size / KIB) << 16;
    }
}

static void extended_leaf(const struct cpu *cpu, u32 leaf, u32 out[4])
{
    const struct cpu_model *model = cpu->model;
    switch (leaf) {
    case 0x80000000:
        out[EAX] = model->max_ext_leaf;
        break;
    case 0x80000001:
        out[ECX] = feature_bits(model, leaf, 0, ECX);
        out[EDX] = feature_bits(model, leaf, 0, EDX);
        if (!(cpu->mode & MODE_64)) /* SYSCALL is shown only where it can be executed */
            out[EDX] &= ~BIT32(11);
        if (cpu->msr[MSR_MISC_ENABLE] & MISC_ENABLE_XD_DISABLE)
            out[EDX] &= ~BIT32(20);
        break;
    case 0x80000002:
    case 0x80000003:
    case 0x80000004:
        memcpy(out, model->brand + 16 * (leaf - 0x80000002), 16);
        break;
    case 0x80000006:
        leaf_cache_l2(model, out);
        break;
    case 0x80000007:
        out[EDX] = feature_bits(model, leaf, 0, EDX);
        break;
    case 0x80000008:
        out[EAX] = model->phys_bits | model->lin_bits << 8;
        out[EBX] = feature_bits(model, leaf, 0, EBX);
        break;
    default:
        break;
    }
}

/* A leaf above the highest one of its range gives the data of the highest basic leaf. */
void cpuid_query(const struct cpu *cpu, u32 leaf, u32 subleaf, u32 out[4])
{
    const struct cpu_model *model = cpu->model;
    memset(out, 0, 4 * sizeof(out[0]));
    if (leaf >= 0x80000000 && leaf <= model->max_ext_leaf)
        extended_leaf(cpu, leaf, out);
    else
        basic_leaf(cpu, MIN(leaf, model->max_leaf), subleaf, out);
}
