/* SPDX-License-Identifier: MIT */
#include "base/prop.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"

#define SET_ORIGIN "--set"

/* ---- The tree ---- */

struct prop_node *prop_new(struct prop_node *parent, const char *name, const char *file, int line)
{
    struct prop_node *node = xalloc(sizeof(*node));
    node->name = xstrdup(name);
    node->file = file ? xstrdup(file) : NULL;
    node->line = line;
    node->parent = parent;
    if (parent) {
        parent->child =
            xrealloc_array(parent->child, parent->child_count + 1, sizeof(struct prop_node *));
        parent->child[parent->child_count++] = node;
    }
    return node;
}

static void take_out(struct prop_node *parent, const struct prop_node *node)
{
    u32 kept = 0;
    for (u32 k = 0; k < parent->child_count; k++)
        if (parent->child[k] != node)
            parent->child[kept++] = parent->child[k];
    parent->child_count = kept;
}

static void free_attr(struct prop_attr *attr)
{
    free(attr->name);
    free(attr->value);
    free(attr->file);
}

/* Frees from the leaves up without recursion: a file may nest elements as deep as it likes. */
void prop_free(struct prop_node *node)
{
    struct prop_node *top = node ? node->parent : NULL;
    while (node != top) {
        if (node->child_count) {
            node = node->child[node->child_count - 1];
            continue;
        }
        struct prop_node *parent = node->parent;
        if (parent)
            take_out(parent, node);
        for (u32 k = 0; k < node->attr_count; k++)
            free_attr(&node->attr[k]);
        free(node->attr);
        free(node->child);
        free(node->name);
        free(node->file);
        free(node);
        node = parent;
    }
}

static struct prop_attr *find_attr(const struct prop_node *node, const char *name)
{
    for (u32 k = 0; k < node->attr_count; k++)
        if (!strcmp(node->attr[k].name, name))
            return &node->attr[k];
    return NULL;
}

const struct prop_attr *prop_attr(const struct prop_node *node, const char *name)
{
    return find_attr(node, name);
}

void prop_set(struct prop_node *node, const char *name, const char *value, const char *file,
              int line)
{
    /* Copied before the old ones go: the arguments may be part of the attribute itself. */
    struct prop_attr fresh = {xstrdup(name), xstrdup(value), file ? xstrdup(file) : NULL, line};
    struct prop_attr *attr = find_attr(node, name);
    if (attr) {
        free_attr(attr);
    } else {
        node->attr = xrealloc_array(node->attr, node->attr_count + 1, sizeof(*node->attr));
        attr = &node->attr[node->attr_count++];
    }
    *attr = fresh;
}

struct prop_node *prop_child(const struct prop_node *node, const char *name,
                             const struct prop_node *after)
{
    for (u32 k = 0; k < node->child_count; k++) {
        struct prop_node *child = node->child[k];
        if (!after && !strcmp(child->name, name))
            return child;
        if (child == after)
            after = NULL;
    }
    return NULL;
}

/* ---- Errors ---- */

struct place {
    const char *file;
    int line;
    const char *element;
};

static bool error_at(const struct place *place, struct error *err, const char *fmt, va_list args)
{
    char text[512], line[16] = ":";
    vsnprintf(text, sizeof(text), fmt, args);
    if (place->line > 0)
        snprintf(line, sizeof(line), ":%d:", place->line);
    if (!place->file)
        return error_set(err, "element <%s>: %s", place->element, text);
    return error_set(err, "%s%s element <%s>: %s", place->file, line, place->element, text);
}

bool prop_error(const struct prop_node *node, struct error *err, const char *fmt, ...)
{
    struct place place = {node->file, node->line, node->name};
    va_list args;
    va_start(args, fmt);
    error_at(&place, err, fmt, args);
    va_end(args);
    return false;
}

/* One property being read: for messages it stands where its attribute was set. */
struct reading {
    const struct prop_node *node;
    const struct prop_desc *desc;
    const struct prop_attr *attr; /* NULL: the preset is read */
    const char *text;
    struct error *err;
};

static bool reading_error(const struct reading *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
static bool reading_error(const struct reading *r, const char *fmt, ...)
{
    struct place place = {r->node->file, r->node->line, r->node->name};
    if (r->attr) {
        place.file = r->attr->file;
        place.line = r->attr->line;
    }
    va_list args;
    va_start(args, fmt);
    error_at(&place, r->err, fmt, args);
    va_end(args);
    return false;
}

static bool not_a(const struct reading *r, const char *expected)
{
    return reading_error(r, "%s=\"%s\": expected %s", r->desc->name, r->text, expected);
}

/* ---- Values ---- */

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

/* Reads a number at *s and moves on behind it. False: there is none, or it is too large. */
static bool parse_number(const char **s, u64 *number)
{
    unsigned base = 10;
    if ((*s)[0] == '0' && ((*s)[1] | 0x20) == 'x') {
        base = 16;
        *s += 2;
    }
    const char *start = *s;
    u128 value = 0;
    for (; (unsigned)digit_value(**s) < base; (*s)++) {
        value = value * base + (unsigned)digit_value(**s);
        if (value > UINT64_MAX)
            return false;
    }
    *number = (u64)value;
    return *s != start;
}

struct unit {
    const char *name;
    u64 factor;
};

static bool find_unit(const struct unit *units, const char *name, u64 *factor)
{
    for (; units->name; units++)
        if (!strcasecmp(units->name, name)) {
            *factor = units->factor;
            return true;
        }
    return false;
}

static bool parse_size(const char *s, u64 *size)
{
    static const struct unit units[] = {
        {"", 1},      {"B", 1},          {"K", KIB},         {"KB", KIB},         {"KiB", KIB},
        {"M", MIB},   {"MB", MIB},       {"MiB", MIB},       {"G", GIB},          {"GB", GIB},
        {"GiB", GIB}, {"T", 1024 * GIB}, {"TB", 1024 * GIB}, {"TiB", 1024 * GIB}, {NULL, 0},
    };
    u64 number, factor;
    return parse_number(&s, &number) && find_unit(units, s, &factor) &&
           !__builtin_mul_overflow(number, factor, size);
}

/* Digits behind a point, as a numerator over *scale; digits that a GHz can't show are refused. */
static bool parse_fraction(const char **s, u64 *numerator, u64 *scale)
{
    *numerator = 0;
    *scale = 1;
    if (**s != '.')
        return true;
    for ((*s)++; isdigit((unsigned char)**s); (*s)++) {
        if (*scale == 1000000000)
            return false;
        *numerator = *numerator * 10 + (u64)digit_value(**s);
        *scale *= 10;
    }
    return *scale > 1;
}

static bool parse_frequency(const char *s, u64 *hz)
{
    static const struct unit units[] = {
        {"", 1}, {"Hz", 1}, {"kHz", 1000}, {"MHz", 1000000}, {"GHz", 1000000000}, {NULL, 0},
    };
    u64 whole, numerator, scale, factor, product;
    if (!parse_number(&s, &whole) || !parse_fraction(&s, &numerator, &scale) ||
        !find_unit(units, s, &factor) || numerator * factor % scale)
        return false;
    return !__builtin_mul_overflow(whole, factor, &product) &&
           !__builtin_add_overflow(product, numerator * factor / scale, hz);
}

static bool parse_bool(const char *s, u64 *value)
{
    static const struct unit words[] = {
        {"true", 1}, {"yes", 1}, {"on", 1}, {"1", 1},  {"false", 0},
        {"no", 0},   {"off", 0}, {"0", 0},  {NULL, 0},
    };
    return find_unit(words, s, value);
}

static bool read_enum(const struct reading *r, u64 *index)
{
    char known[512] = "";
    for (u64 k = 0; r->desc->choices[k]; k++) {
        if (!strcmp(r->desc->choices[k], r->text)) {
            *index = k;
            return true;
        }
        size_t used = strlen(known);
        snprintf(known + used, sizeof(known) - used, "%s%s", k ? ", " : "", r->desc->choices[k]);
    }
    return reading_error(r, "%s=\"%s\": expected one of %s", r->desc->name, r->text, known);
}

static bool in_range(const struct reading *r, u64 number)
{
    const struct prop_desc *desc = r->desc;
    u64 max = desc->max ? desc->max : UINT64_MAX;
    if (number >= desc->min && number <= max)
        return true;
    const char *what = desc->type == PROP_STRING ? "a length from" : "from";
    if (!desc->max)
        return reading_error(r, "%s=\"%s\": expected %s %llu up", desc->name, r->text, what,
                             (unsigned long long)desc->min);
    return reading_error(r, "%s=\"%s\": expected %s %llu to %llu", desc->name, r->text, what,
                         (unsigned long long)desc->min, (unsigned long long)max);
}

static bool parse_uint(const char *s, u64 *number)
{
    return parse_number(&s, number) && !*s;
}

static bool read_value(const struct reading *r, struct prop_value *value)
{
    value->string = r->text;
    value->number = 0;
    u64 *number = &value->number;
    switch (r->desc->type) {
    case PROP_BOOL:
        return parse_bool(r->text, number) || not_a(r, "true or false");
    case PROP_ENUM:
        return read_enum(r, number);
    case PROP_STRING:
        return in_range(r, strlen(r->text));
    case PROP_UINT:
        return parse_uint(r->text, number) ? in_range(r, *number) : not_a(r, "a number");
    case PROP_SIZE:
        return parse_size(r->text, number) ? in_range(r, *number)
                                           : not_a(r, "a size, such as 512M");
    case PROP_FREQUENCY:
        return parse_frequency(r->text, number) ? in_range(r, *number)
                                                : not_a(r, "a frequency, such as 2.5GHz");
    }
    ASSERT(false);
    return false;
}

bool prop_get(const struct prop_node *node, const struct prop_desc *desc, struct prop_value *value,
              struct error *err)
{
    struct reading r = {.node = node, .desc = desc, .err = err};
    r.attr = prop_attr(node, desc->name);
    r.text = r.attr ? r.attr->value : desc->preset;
    if (!r.text)
        return prop_error(node, err, "attribute \"%s\" is missing (%s)", desc->name, desc->help);
    return read_value(&r, value);
}

static bool known_attr(const struct prop_node *node, const struct prop_attr *attr,
                       const struct prop_desc *descs, size_t count, struct error *err)
{
    char known[512] = "none";
    for (size_t k = 0; k < count; k++) {
        if (!strcmp(descs[k].name, attr->name))
            return true;
        size_t used = k ? strlen(known) : 0;
        snprintf(known + used, sizeof(known) - used, "%s%s", k ? ", " : "", descs[k].name);
    }
    struct reading r = {.node = node, .attr = attr, .err = err};
    return reading_error(&r, "no attribute \"%s\": expected %s", attr->name, known);
}

bool prop_check(const struct prop_node *node, const struct prop_desc *descs, size_t count,
                struct error *err)
{
    struct prop_value value;
    for (u32 k = 0; k < node->attr_count; k++)
        if (!known_attr(node, &node->attr[k], descs, count, err))
            return false;
    for (size_t k = 0; k < count; k++)
        if (!prop_get(node, &descs[k], &value, err))
            return false;
    return true;
}

/* ---- --set ---- */

/* The index-th child of that name; the next one is made. NULL: that would leave a gap. */
static struct prop_node *child_at(struct prop_node *node, const char *name, u64 index)
{
    struct prop_node *child = NULL;
    for (u64 k = 0; k <= index; k++) {
        child = prop_child(node, name, child);
        if (!child)
            return k == index ? prop_new(node, name, SET_ORIGIN, 0) : NULL;
    }
    return child;
}

/* One step of a path, "name" or "name[index]", cut up in place. */
static bool parse_step(char *step, u64 *index)
{
    *index = 0;
    char *bracket = strchr(step, '[');
    if (!bracket)
        return *step != 0;
    *bracket = 0;
    const char *s = bracket + 1;
    return *step && parse_number(&s, index) && !strcmp(s, "]");
}

static bool set_path(struct prop_node *root, char *path, const char *value, const char *assignment,
                     struct error *err)
{
    struct prop_node *node = root;
    char *step = path, *dot;
    while ((dot = strchr(step, '.'))) {
        u64 index;
        *dot = 0;
        if (!parse_step(step, &index))
            return error_set(err, SET_ORIGIN " %s: \"%s\" is no element", assignment, step);
        node = child_at(node, step, index);
        if (!node)
            return error_set(err, SET_ORIGIN " %s: there is no <%s> number %llu", assignment, step,
                             (unsigned long long)index);
        step = dot + 1;
    }
    if (!*step || strpbrk(step, "[]"))
        return error_set(err, SET_ORIGIN " %s: \"%s\" is no attribute", assignment, step);
    prop_set(node, step, value, SET_ORIGIN, 0);
    return true;
}

bool prop_set_path(struct prop_node *root, const char *assignment, struct error *err)
{
    const char *equals = strchr(assignment, '=');
    if (!equals)
        return error_set(err, SET_ORIGIN " %s: expected PATH=VALUE", assignment);
    char *path = xstrdup(assignment);
    path[equals - assignment] = 0;
    bool ok = set_path(root, path, equals + 1, assignment, err);
    free(path);
    return ok;
}
