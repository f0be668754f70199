/* SPDX-License-Identifier: MIT */
#include "frontend/show.h"

#include <stdio.h>
#include <string.h>

#include "configs/config.h"
#include "configs/machine.h"
#include "configs/settings.h"

#define LINE_WIDTH 96

/* ---- Words that flow into lines ---- */

struct flow {
    int column;
    unsigned words;
};

static void flow_word(struct flow *flow, const char *word)
{
    int width = (int)strlen(word) + 1;
    if (!flow->words || flow->column + width > LINE_WIDTH) {
        printf(flow->words ? "\n   " : "   ");
        flow->column = 3;
    }
    printf(" %s", word);
    flow->column += width;
    flow->words++;
}

static void flow_end(const struct flow *flow)
{
    printf(flow->words ? "\n" : "    none\n");
}

/* ---- testudo cpu ---- */

static void show_identity(const struct cpu_model *m)
{
    printf("name              %s\n", m->name);
    printf("brand             %s\n", m->brand);
    printf("vendor            %s\n", m->vendor);
    printf("signature         family 0x%x, model 0x%x, stepping %u (CPUID.1:EAX 0x%08x)\n",
           m->family, m->model, m->stepping, cpuid_signature(m));
    printf("microcode         0x%x (IA32_BIOS_SIGN_ID)\n", m->microcode);
    printf("addresses         %u bits physical, %u bits linear\n", m->phys_bits, m->lin_bits);
    printf("CPUID leaves      up to 0x%x and 0x%x\n", m->max_leaf, m->max_ext_leaf);
    if (m->leaf2[0] | m->leaf2[1] | m->leaf2[2] | m->leaf2[3])
        printf("leaf 2            %08x %08x %08x %08x\n", m->leaf2[0], m->leaf2[1], m->leaf2[2],
               m->leaf2[3]);
    printf("threads, cores    %u a core, ", m->threads);
    printf(m->cores ? "%u a package\n" : "all of the machine in one package\n", m->cores);
}

static void show_msrs(const struct cpu_model *m)
{
    u64 xcr0 = cpuid_xcr0_mask(m);
    printf("crystal clock     %u Hz\n", m->crystal_hz);
    printf("marked frequency  %u MHz (IA32_PLATFORM_INFO)\n", m->mhz);
    printf("arch. abilities   0x%llx (IA32_ARCH_CAPABILITIES)\n",
           (unsigned long long)m->arch_capabilities);
    printf("XCR0              may hold 0x%llx; XSAVE area %u bytes\n", (unsigned long long)xcr0,
           cpuid_xsave_size(xcr0, false));
    printf("IA32_XSS          may hold 0x%llx\n", (unsigned long long)cpuid_xss_mask(m));
}

static void show_caches(const struct cpu_model *m)
{
    static const char *const types[] = {
        [CACHE_DATA] = "data", [CACHE_CODE] = "code", [CACHE_UNIFIED] = "unified"};
    for (unsigned n = 0; n < m->caches; n++) {
        const struct cpu_cache *c = &m->cache[n];
        printf("L%u %-14s %llu KiB, %u ways, %llu sets, lines of %u bytes%s%s\n", c->level,
               types[c->type], (unsigned long long)(c->size / KIB), c->ways,
               (unsigned long long)(c->size / c->ways / c->line), c->line,
               c->shared ? ", shared" : "", c->inclusive ? ", inclusive" : "");
    }
}

static void show_features(const struct cpu_model *m)
{
    struct flow flow = {0};
    printf("features that it has:\n");
    for (unsigned f = 1; f < FEAT_COUNT; f++)
        if (cpuid_has(m, (enum cpu_feature)f))
            flow_word(&flow, cpu_feature_name((enum cpu_feature)f));
    flow_end(&flow);
}

struct missing {
    const struct cpu_model *m;
    struct flow flow;
};

static void each_feature(void *opaque, const char *name)
{
    struct missing *missing = opaque;
    if (!cpuid_has(missing->m, cpu_feature_find(name)))
        flow_word(&missing->flow, name);
}

static bool show_missing(const struct cpu_model *m, const char *name, struct error *err)
{
    struct missing missing = {.m = m};
    if (!strcmp(name, "default"))
        return true;
    printf("features of the real processor that Testudo does not have yet:\n");
    bool ok = config_cpu_features(name, each_feature, &missing, err);
    flow_end(&missing.flow);
    return ok;
}

static bool show_one(const char *name, struct error *err)
{
    struct cpu_model m;
    if (!config_cpu_model(&m, name, NULL, err))
        return false;
    show_identity(&m);
    show_msrs(&m);
    show_caches(&m);
    show_features(&m);
    return show_missing(&m, name, err);
}

static bool list_cpus(struct error *err)
{
    char name[64];
    for (unsigned n = 0; config_cpu_name(n, name, sizeof(name)); n++) {
        struct cpu_model m;
        if (!config_cpu_model(&m, name, NULL, err))
            return false;
        printf("%-18s %s\n", name, m.brand);
    }
    return true;
}

bool show_cpu(int argc, char **argv, struct error *err)
{
    if (argc == 1 && !strcmp(argv[0], "list"))
        return list_cpus(err);
    if (argc == 2 && !strcmp(argv[0], "show"))
        return show_one(argv[1], err);
    return error_set(err, "cpu: expected: testudo cpu list, or testudo cpu show NAME");
}

/* ---- testudo config ---- */

static void print_line(void *opaque, const char *text)
{
    (void)opaque;
    puts(text);
}

/* Builds the machine, which finds all that there is to find but files of the command line. */
static bool check_file(const char *path, struct error *err)
{
    struct prop_node *root = config_load(path, err);
    struct machine *m = root ? machine_new(root, NULL, err) : NULL;
    bool ok = m;
    if (ok)
        printf("%s: %llu MiB of RAM, %u x %s: good\n", path,
               (unsigned long long)(m->bus.ram.size / MIB), m->group.count, m->model.name);
    machine_free(m);
    prop_free(root);
    return ok;
}

bool show_config(int argc, char **argv, struct error *err)
{
    if (argc == 2 && !strcmp(argv[0], "check"))
        return check_file(argv[1], err);
    if (argc == 1 && !strcmp(argv[0], "help")) {
        settings_list(print_line, NULL);
        return true;
    }
    return error_set(err, "config: expected: testudo config check FILE, or testudo config help");
}
