/* SPDX-License-Identifier: MIT */
#include "configs/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "configs/embedded.h"
#include "configs/settings.h"
#include "configs/xml.h"

#define CPUS_FOLDER "cpus/"
#define XML_SUFFIX ".xml"

/* There is a first serial port even if nobody speaks of it, so that --set reaches the second. */
static struct prop_node *with_serial(struct prop_node *root)
{
    if (!prop_child(root, "serial", NULL))
        prop_new(root, "serial", root->file, root->line);
    return root;
}

struct prop_node *config_load(const char *path, struct error *err)
{
    struct settings set;
    struct xml x;
    if (!path)
        return with_serial(prop_new(NULL, "machine", NULL, 0));
    struct prop_node *root = NULL;
    if (xml_read_file(&x, path, err) && settings_read(x.root, &set, err) &&
        xml_validate(&x, "machine.xsd", err)) {
        root = with_serial(x.root);
        x.root = NULL;
    }
    xml_free(&x);
    return root;
}

/* ---- Processors ---- */

static bool is_xml_path(const char *name)
{
    size_t length = strlen(name), suffix = strlen(XML_SUFFIX);
    return length > suffix && !strcmp(name + length - suffix, XML_SUFFIX);
}

/* The name of an embedded processor description, in buffer; NULL if the file is something else. */
static const char *cpu_name(const struct embedded *file, char *buffer, size_t size)
{
    if (strncmp(file->name, CPUS_FOLDER, strlen(CPUS_FOLDER)))
        return NULL;
    snprintf(buffer, size, "%s", file->name + strlen(CPUS_FOLDER));
    buffer[strcspn(buffer, ".")] = 0;
    return buffer;
}

const char *config_cpu_name(unsigned n, char *buffer, size_t size)
{
    if (n == 0) {
        snprintf(buffer, size, "default");
        return buffer;
    }
    for (size_t k = 0; k < embedded_count; k++)
        if (cpu_name(&embedded_files[k], buffer, size) && --n == 0)
            return buffer;
    return NULL;
}

static bool unknown_cpu(const char *name, struct error *err)
{
    char known[256] = "", one[64];
    for (unsigned n = 0; config_cpu_name(n, one, sizeof(one)); n++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof(known) - used, "%s, ", one);
    }
    return error_set(err, "no processor \"%s\": expected %sor FILE.xml", name, known);
}

static bool open_processor(struct xml *x, const char *name, struct error *err)
{
    *x = (struct xml){0};
    if (is_xml_path(name))
        return xml_read_file(x, name, err);
    char *path = xasprintf(CPUS_FOLDER "%s" XML_SUFFIX, name);
    const struct embedded *file = embedded_find(path);
    free(path);
    if (!file)
        return unknown_cpu(name, err);
    return xml_read_text(x, file->name, file->data, file->size, err);
}

/* What cpu/model.c says gets the place it is about. */
static bool placed(bool ok, const struct prop_node *node, const struct error *cause,
                   struct error *err)
{
    return ok || prop_error(node, err, "%s", cause->text);
}

enum { CACHE_LEVEL, CACHE_TYPE, CACHE_SIZE, CACHE_LINE, CACHE_WAYS, CACHE_SHARED, CACHE_INCLUSIVE };
static const char *const cache_types[] = {"data", "code", "unified", NULL};
static const struct prop_desc cache_props[] = {
    {.name = "level", .type = PROP_UINT, .min = 1, .max = 4, .help = "1 to 4"},
    {.name = "type", .type = PROP_ENUM, .choices = cache_types, .help = "what it holds"},
    {.name = "size", .type = PROP_SIZE, .min = 1, .max = 4 * GIB, .help = "bytes"},
    {.name = "line", .type = PROP_UINT, .min = 16, .max = 256, .help = "bytes"},
    {.name = "ways", .type = PROP_UINT, .min = 1, .max = 64, .help = "lines of a set"},
    {.name = "shared", .type = PROP_BOOL, .preset = "no", .help = "by all cores"},
    {.name = "inclusive", .type = PROP_BOOL, .preset = "no", .help = "of the inner caches"},
};

static bool read_cache(const struct prop_node *node, struct cpu_model *m, struct error *err)
{
    struct prop_value v[ARRAY_SIZE(cache_props)];
    struct error cause = {{0}};
    if (!prop_check(node, cache_props, ARRAY_SIZE(cache_props), err))
        return false;
    for (size_t n = 0; n < ARRAY_SIZE(cache_props); n++)
        if (!prop_get(node, &cache_props[n], &v[n], err))
            return false;
    struct cpu_cache cache = {
        .type = (enum cache_type)(CACHE_DATA + v[CACHE_TYPE].number),
        .level = (unsigned)v[CACHE_LEVEL].number,
        .size = v[CACHE_SIZE].number,
        .line = (unsigned)v[CACHE_LINE].number,
        .ways = (unsigned)v[CACHE_WAYS].number,
        .shared = v[CACHE_SHARED].number,
        .inclusive = v[CACHE_INCLUSIVE].number,
    };
    return placed(cpu_model_add_cache(m, &cache, &cause), node, &cause, err);
}

static bool read_features(const struct prop_node *node, struct cpu_model *m, struct error *err)
{
    const struct prop_attr *text = prop_attr(node, XML_TEXT);
    struct error cause = {{0}};
    return !text || placed(cpu_model_features(m, text->value, &cause), node, &cause, err);
}

/* The schema has accepted root. */
static bool read_processor(const struct prop_node *root, struct cpu_model *m, struct error *err)
{
    struct error cause = {{0}};
    cpu_model_begin(m, prop_attr(root, "name")->value);
    for (u32 k = 0; k < root->attr_count; k++) {
        const struct prop_attr *attr = &root->attr[k];
        bool ok = !strcmp(attr->name, "name") || cpu_model_set(m, attr->name, attr->value, &cause);
        struct prop_node place = {.name = root->name, .file = attr->file, .line = attr->line};
        if (!placed(ok, &place, &cause, err))
            return false;
    }
    for (u32 k = 0; k < root->child_count; k++) {
        const struct prop_node *node = root->child[k];
        if (!(strcmp(node->name, "cache") ? read_features : read_cache)(node, m, err))
            return false;
    }
    return true;
}

static bool finish(struct cpu_model *m, const struct prop_node *root, const char *changes,
                   struct error *err)
{
    struct error cause = {{0}};
    if (changes && !cpu_model_change(m, changes, &cause))
        return error_set(err, "features=\"%s\": %s", changes, cause.text);
    return placed(cpu_model_finish(m, &cause), root, &cause, err);
}

bool config_cpu_model(struct cpu_model *m, const char *name, const char *changes, struct error *err)
{
    struct xml x;
    if (!strcmp(name, "default"))
        return cpu_model_init(m, NULL, changes, err);
    bool ok = open_processor(&x, name, err) && xml_validate(&x, "processor.xsd", err) &&
              read_processor(x.root, m, err) && finish(m, x.root, changes, err);
    xml_free(&x);
    return ok;
}

bool config_cpu_features(const char *name, void (*each)(void *opaque, const char *feature),
                         void *opaque, struct error *err)
{
    struct xml x;
    bool ok = open_processor(&x, name, err) && xml_validate(&x, "processor.xsd", err);
    const struct prop_node *node = NULL;
    while (ok && (node = prop_child(x.root, "features", node))) {
        const struct prop_attr *text = prop_attr(node, XML_TEXT);
        char *words = xstrdup(text ? text->value : ""), *save = NULL;
        for (char *w = strtok_r(words, " \t\r\n", &save); w; w = strtok_r(NULL, " \t\r\n", &save))
            each(opaque, w);
        free(words);
    }
    xml_free(&x);
    return ok;
}
