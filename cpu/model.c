/* SPDX-License-Identifier: MIT */
/* Building a processor model from names and values, by whoever reads them. */
#include "cpu/cpuid.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPENDS 4

static const u16 depends[FEAT_COUNT][MAX_DEPENDS] = {
#define D1(a) FEAT_##a
#define D2(a, b) FEAT_##a, FEAT_##b
#define DN(a, b, macro, ...) macro
#define DEPENDS(...) DN(__VA_ARGS__, D2, D1, )(__VA_ARGS__)
#define FEATURE(id, name, leaf, subleaf, reg, bit, works, ...) [FEAT_##id] = {DEPENDS(__VA_ARGS__)},
#include "cpu/cpuid.def"
};

/* ---- The set ---- */

static void set_feature(struct cpu_model *m, enum cpu_feature f, bool on)
{
    u64 bit = BIT((unsigned)f % 64);
    u64 *word = &m->features[(unsigned)f / 64];
    *word = on ? *word | bit : *word & ~bit;
}

static bool depends_met(const struct cpu_model *m, unsigned f)
{
    for (unsigned n = 0; n < MAX_DEPENDS; n++)
        if (!cpuid_has(m, (enum cpu_feature)depends[f][n]))
            return false;
    return true;
}

/* Removes what lacks a dependency, until nothing does. */
static void drop_unmet(struct cpu_model *m)
{
    bool changed;
    do {
        changed = false;
        for (unsigned f = 1; f < FEAT_COUNT; f++)
            if (cpuid_has(m, (enum cpu_feature)f) && !depends_met(m, f)) {
                set_feature(m, (enum cpu_feature)f, false);
                changed = true;
            }
    } while (changed);
}

/* The table has no cycles (a test says so), so this ends. */
static bool add_with_depends(struct cpu_model *m, enum cpu_feature f, struct error *err)
{
    if (f == FEAT_NONE || cpuid_has(m, f))
        return true;
    if (!cpu_feature_works(f))
        return error_set(err, "feature '%s' is not implemented yet", cpu_feature_name(f));
    for (unsigned n = 0; n < MAX_DEPENDS; n++)
        if (!add_with_depends(m, (enum cpu_feature)depends[f][n], err))
            return error_prefix(err, "feature '%s'", cpu_feature_name(f));
    set_feature(m, f, true);
    return true;
}

bool cpu_model_feature(struct cpu_model *m, const char *name, struct error *err)
{
    enum cpu_feature f = cpu_feature_find(name);
    if (f == FEAT_NONE)
        return error_set(err, "unknown processor feature '%s'", name);
    if (cpu_feature_works(f))
        set_feature(m, f, true);
    return true;
}

/* Copies the word that text begins with and returns what follows it, NULL if it is too long. */
static const char *take_word(const char *text, const char *ends, char *word, size_t size)
{
    size_t length = strcspn(text, ends);
    if (length >= size)
        return NULL;
    memcpy(word, text, length);
    word[length] = 0;
    return text + length;
}

bool cpu_model_features(struct cpu_model *m, const char *names, struct error *err)
{
    static const char space[] = " \t\r\n";
    char word[64];
    for (const char *p = names + strspn(names, space); *p; p += strspn(p, space)) {
        p = take_word(p, space, word, sizeof(word));
        if (!p)
            return error_set(err, "a processor feature's name is too long");
        if (!cpu_model_feature(m, word, err))
            return false;
    }
    return true;
}

static bool change_one(struct cpu_model *m, const char *word, struct error *err)
{
    if (word[0] != '+' && word[0] != '-')
        return error_set(err, "'%s': expected +FEATURE or -FEATURE", word);
    enum cpu_feature f = cpu_feature_find(word + 1);
    if (f == FEAT_NONE)
        return error_set(err, "unknown processor feature '%s'", word + 1);
    if (word[0] == '+')
        return add_with_depends(m, f, err);
    set_feature(m, f, false);
    drop_unmet(m);
    return true;
}

bool cpu_model_change(struct cpu_model *m, const char *changes, struct error *err)
{
    char word[64];
    for (const char *p = changes; *p; p += *p == ',') {
        p = take_word(p, ",", word, sizeof(word));
        if (!p)
            return error_set(err, "a processor feature's name is too long");
        if (word[0] && !change_one(m, word, err))
            return false;
    }
    return true;
}

/* ---- Plain values ---- */

static bool set_text(char *to, size_t size, const char *value, struct error *err)
{
    if (strlen(value) >= size)
        return error_set(err, "'%s' is longer than %zu characters", value, size - 1);
    memset(to, 0, size);
    memcpy(to, value, strlen(value));
    return true;
}

static bool parse_number(const char *text, u64 min, u64 max, u64 *number, struct error *err)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 0);
    if (end == text || *end || text[0] == '-' || errno || v < min || v > max)
        return error_set(err, "'%s': expected a number from %llu to %llu", text,
                         (unsigned long long)min, (unsigned long long)max);
    *number = v;
    return true;
}

static bool set_leaf2(struct cpu_model *m, const char *value, struct error *err)
{
    u32 v[4];
    char rest;
    if (sscanf(value, "%x %x %x %x %c", &v[0], &v[1], &v[2], &v[3], &rest) != 4)
        return error_set(err, "'%s': expected four hexadecimal numbers", value);
    memcpy(m->leaf2, v, sizeof(v));
    return true;
}

/* Numbers by name, with their range and where they go. */
static const struct number_key {
    const char *name;
    u64 min, max;
    size_t offset, size;
} number_keys[] = {
#define KEY(name, member, min, max)                                                                \
    {                                                                                              \
        name, min, max, offsetof(struct cpu_model, member),                                        \
            sizeof(((struct cpu_model *)0)->member)                                                \
    }
    KEY("family", family, 6, 0xf + 0xff),
    KEY("model", model, 0, 0xff),
    KEY("stepping", stepping, 0, 15),
    KEY("microcode", microcode, 1, UINT32_MAX),
    KEY("physical-bits", phys_bits, 36, 52),
    KEY("threads", threads, 1, 2),
    KEY("cores", cores, 0, 128),
    KEY("max-leaf", max_leaf, 0xd, 0x1f),
    KEY("max-extended-leaf", max_ext_leaf, 0x80000008, 0x80000008),
    KEY("crystal-hz", crystal_hz, 1000000, 1000000000),
    KEY("mhz", mhz, 100, 10000),
    KEY("arch-capabilities", arch_capabilities, 0, UINT64_MAX),
#undef KEY
};

static bool set_number(struct cpu_model *m, const struct number_key *key, const char *value,
                       struct error *err)
{
    u64 v = 0;
    if (!parse_number(value, key->min, key->max, &v, err))
        return error_prefix(err, "%s", key->name);
    char *to = (char *)m + key->offset;
    if (key->size == sizeof(u32))
        memcpy(to, &(u32){(u32)v}, sizeof(u32));
    else
        memcpy(to, &v, sizeof(v));
    return true;
}

bool cpu_model_set(struct cpu_model *m, const char *key, const char *value, struct error *err)
{
    if (!strcmp(key, "vendor"))
        return set_text(m->vendor, sizeof(m->vendor), value, err);
    if (!strcmp(key, "brand"))
        return set_text(m->brand, sizeof(m->brand), value, err);
    if (!strcmp(key, "leaf2"))
        return set_leaf2(m, value, err);
    for (unsigned n = 0; n < ARRAY_SIZE(number_keys); n++)
        if (!strcmp(key, number_keys[n].name))
            return set_number(m, &number_keys[n], value, err);
    return error_set(err, "unknown processor property '%s'", key);
}

/* ---- Caches ---- */

static bool cache_is_sane(const struct cpu_cache *c)
{
    u64 way = (u64)c->line * c->ways;
    return c->type >= CACHE_DATA && c->type <= CACHE_UNIFIED && c->level >= 1 && c->level <= 4 &&
           c->line >= 16 && c->line <= 256 && c->ways >= 1 && c->ways <= 64 && c->size &&
           c->size <= 4 * GIB && c->size % way == 0;
}

bool cpu_model_add_cache(struct cpu_model *m, const struct cpu_cache *cache, struct error *err)
{
    if (m->caches == CPU_CACHES_MAX)
        return error_set(err, "more than %d caches", CPU_CACHES_MAX);
    if (!cache_is_sane(cache))
        return error_set(err, "cache of level %u: expected a size of whole sets (line %u, ways %u)",
                         cache->level, cache->line, cache->ways);
    m->cache[m->caches++] = *cache;
    return true;
}

/* ---- The whole ---- */

void cpu_model_begin(struct cpu_model *m, const char *name)
{
    *m = (struct cpu_model){.vendor = "GenuineIntel",
                            .family = 6,
                            .microcode = 1,
                            .phys_bits = 39,
                            .lin_bits = 48,
                            .threads = 1,
                            .max_leaf = 0x16,
                            .max_ext_leaf = 0x80000008,
                            .crystal_hz = 25000000,
                            .mhz = 1000};
    snprintf(m->name, sizeof(m->name), "%s", name);
}

bool cpu_model_finish(struct cpu_model *m, struct error *err)
{
    if (strlen(m->vendor) != 12)
        return error_set(err, "vendor '%s': expected 12 characters", m->vendor);
    drop_unmet(m);
    m->lin_bits = cpuid_has(m, FEAT_LA57) ? 57 : 48;
    if (!cpuid_has(m, FEAT_ARCH_CAPABILITIES))
        m->arch_capabilities = 0;
    return true;
}

bool cpu_model_init(struct cpu_model *m, const char *name, const char *changes, struct error *err)
{
    static const struct cpu_cache caches[] = {
        {CACHE_DATA, 1, 32 * KIB, 64, 8, false, false},
        {CACHE_CODE, 1, 32 * KIB, 64, 8, false, false},
        {CACHE_UNIFIED, 2, 1 * MIB, 64, 16, false, false},
        {CACHE_UNIFIED, 3, 16 * MIB, 64, 16, true, false},
    };
    if (name && strcmp(name, "default"))
        return error_set(err, "unknown processor '%s'", name);
    cpu_model_begin(m, "default");
    m->model = 0x6a;
    m->stepping = 6;
    m->microcode = 0xd000404;
    m->phys_bits = 46;
    m->max_leaf = 0x1f;
    m->arch_capabilities = ARCH_CAP_ALL_FIXED;
    snprintf(m->brand, sizeof(m->brand), "Testudo processor");
    for (unsigned f = 1; f < FEAT_COUNT; f++)
        set_feature(m, (enum cpu_feature)f,
                    cpu_feature_works((enum cpu_feature)f) && f != FEAT_HYPERVISOR);
    for (unsigned n = 0; n < ARRAY_SIZE(caches); n++)
        if (!cpu_model_add_cache(m, &caches[n], err))
            return false;
    return (!changes || cpu_model_change(m, changes, err)) && cpu_model_finish(m, err);
}
