/* SPDX-License-Identifier: MIT */
/* Processor models and what CPUID says of them. */
#ifndef CPU_CPUID_H
#define CPU_CPUID_H

#include "base/error.h"
#include "base/types.h"

struct cpu;

/* FEAT_NONE is 0 and always present. */
enum cpu_feature {
    FEAT_NONE,
#define FEATURE(id, ...) FEAT_##id,
#include "cpu/cpuid.def"
    FEAT_COUNT
};

enum cache_type { CACHE_DATA = 1, CACHE_CODE = 2, CACHE_UNIFIED = 3 };

/* One subleaf of "Deterministic Cache Parameters" (leaf 4). */
struct cpu_cache {
    enum cache_type type;
    unsigned level;
    u64 size;      /* bytes: a multiple of line * ways */
    unsigned line; /* bytes */
    unsigned ways;
    bool shared; /* by the whole package, else by a core's threads */
    bool inclusive;
};

#define CPU_CACHES_MAX 8

/*
 * IA32_ARCH_CAPABILITIES of a processor without the known transient-execution flaws: RDCL_NO,
 * IBRS_ALL, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, IF_PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO,
 * PSDP_NO, BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO, ITS_NO.
 */
#define ARCH_CAP_ALL_FIXED                                                                         \
    (BIT(0) | BIT(1) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(8) | BIT(13) | BIT(14) | BIT(15) |  \
     BIT(20) | BIT(24) | BIT(26) | BIT(27) | BIT(62))

/* A processor as data. Invariant after cpu_model_finish(): consistent, and only what works. */
struct cpu_model {
    char name[32];
    char vendor[13]; /* 12 characters */
    char brand[49];
    unsigned family, model, stepping; /* as displayed, extended fields folded in */
    u32 microcode;                    /* revision, IA32_BIOS_SIGN_ID */
    u64 features[(FEAT_COUNT + 63) / 64];
    unsigned phys_bits, lin_bits; /* lin_bits follows from LA57 */
    struct cpu_cache cache[CPU_CACHES_MAX];
    unsigned caches;
    u32 leaf2[4];            /* TLB and cache descriptors; all zero: "see leaf 4" alone */
    unsigned threads, cores; /* a core's threads; a package's cores, 0: all of the machine's */
    u32 max_leaf, max_ext_leaf;
    u32 crystal_hz;        /* core crystal clock: the APIC timer's too */
    unsigned mhz;          /* marked frequency, IA32_PLATFORM_INFO's ratio */
    u64 arch_capabilities; /* IA32_ARCH_CAPABILITIES */
};

/* Words of a model's set are 64 features each. */
static inline bool cpuid_has(const struct cpu_model *model, enum cpu_feature f)
{
    return f == FEAT_NONE || ((model->features[(unsigned)f / 64] >> ((unsigned)f % 64)) & 1);
}

/* The feature with this name, FEAT_NONE if there is none. And back; "none" for FEAT_NONE. */
enum cpu_feature cpu_feature_find(const char *name);
const char *cpu_feature_name(enum cpu_feature f);
/* False: Testudo does not implement it yet, so no model advertises it. */
bool cpu_feature_works(enum cpu_feature f);

/*
 * The built-in model (name NULL or "default"): all that works, no processor in particular; for tests
 * and for machines without a configuration. changes: "+name,-name" or NULL; see cpu_model_change().
 */
bool cpu_model_init(struct cpu_model *m, const char *name, const char *changes, struct error *err);

/*
 * For a loader of processor descriptions: begin; set, feature and cache in any order; change for the
 * user's wishes; finish. Errors say what was expected.
 */
void cpu_model_begin(struct cpu_model *m, const char *name);
/*
 * key: vendor, brand, family, model, stepping, microcode, physical-bits, threads, cores,
 * max-leaf, max-extended-leaf, crystal-hz, mhz, arch-capabilities, leaf2 (four numbers). Numbers are
 * decimal or 0x hexadecimal.
 */
bool cpu_model_set(struct cpu_model *m, const char *key, const char *value, struct error *err);
/* A feature of the real processor, left out in silence where it doesn't work yet. */
bool cpu_model_feature(struct cpu_model *m, const char *name, struct error *err);
/* The same for names separated by white space. */
bool cpu_model_features(struct cpu_model *m, const char *names, struct error *err);
bool cpu_model_add_cache(struct cpu_model *m, const struct cpu_cache *cache, struct error *err);
/*
 * "+name,-name,...": adds with all it depends on, removes with all that depends on it. An addition
 * that does not work yet is an error.
 */
bool cpu_model_change(struct cpu_model *m, const char *changes, struct error *err);
/* Drops features that miss a dependency, checks the whole. */
bool cpu_model_finish(struct cpu_model *m, struct error *err);

/* What CPUID with EAX = leaf, ECX = subleaf gives on this processor now: EAX, EBX, ECX, EDX. */
void cpuid_query(const struct cpu *cpu, u32 leaf, u32 subleaf, u32 out[4]);

/* CPUID.1:EAX of the model. */
static inline u32 cpuid_signature(const struct cpu_model *model)
{
    unsigned family = MIN(model->family, 15u), extended = model->family - family;
    return model->stepping | (model->model & 15) << 4 | family << 8 | (model->model >> 4) << 16 |
           extended << 20;
}

/* The x2APIC ID of CPU `index` in a machine of `count` CPUs (for MADT too). */
u32 cpuid_apic_id(const struct cpu_model *model, unsigned count, unsigned index);

/* State components that XCR0 and IA32_XSS may hold on this model. */
u64 cpuid_xcr0_mask(const struct cpu_model *model);
u64 cpuid_xss_mask(const struct cpu_model *model);

/*
 * Bytes of the XSAVE area with the components of `bv`: standard form (by fixed offsets) or compacted.
 * The legacy region and header are always included.
 */
u32 cpuid_xsave_size(u64 bv, bool compacted);

#endif
