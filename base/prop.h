/* SPDX-License-Identifier: MIT */
/*
 * The typed property tree that configurations are read into. A node is an element: a name,
 * attributes, children, and the file and line it came from. The tree's values are text; each layer
 * declares, as descriptors, the properties it takes, and reads its own with prop_get(). Messages
 * have the form `file:line: element <name>: ...`.
 *
 *     static const struct prop_desc memory_props[] = {
 *         {.name = "size", .type = PROP_SIZE, .preset = "256M", .min = MIB, .max = 512 * GIB,
 *          .help = "bytes of RAM"},
 *     };
 *     struct prop_value size;
 *     if (!prop_check(node, memory_props, ARRAY_SIZE(memory_props), err) ||
 *         !prop_get(node, &memory_props[0], &size, err))
 *         return false;
 */
#ifndef BASE_PROP_H
#define BASE_PROP_H

#include "base/error.h"
#include "base/types.h"

enum prop_type {
    PROP_BOOL,      /* true, false, yes, no, on, off, 1, 0 */
    PROP_UINT,      /* decimal, or hexadecimal after 0x */
    PROP_SIZE,      /* bytes: a number with an optional K, M, G or T (powers of 1024) */
    PROP_FREQUENCY, /* Hz: a number, maybe with a fraction, with an optional Hz, kHz, MHz or GHz */
    PROP_STRING,
    PROP_ENUM, /* one of `choices`; its value is the index */
};

struct prop_desc {
    const char *name;
    enum prop_type type;
    const char *preset;         /* taken when there is no such attribute; NULL: one must be given */
    u64 min, max;               /* numbers, inclusive; strings: the length. max 0: no limit */
    const char *const *choices; /* PROP_ENUM: ends with NULL */
    const char *help;
};

struct prop_value {
    u64 number;         /* all but PROP_STRING */
    const char *string; /* the text; it belongs to the tree or the descriptor */
};

struct prop_attr {
    char *name, *value;
    char *file; /* where it was set: --set changes single attributes of a node */
    int line;   /* 0: no line to speak of */
};

struct prop_node {
    char *name;
    char *file; /* NULL: from no file */
    int line;   /* 0: no line to speak of */
    struct prop_node *parent;
    struct prop_node **child;
    struct prop_attr *attr;
    u32 child_count, attr_count;
};

/* A new root (parent NULL) or the last child of parent. file NULL: it comes from no file. */
struct prop_node *prop_new(struct prop_node *parent, const char *name, const char *file, int line);
/* Frees node and all below it; a child is taken out of its parent. NULL is allowed. */
void prop_free(struct prop_node *node);

/* Sets an attribute, replacing an earlier one of that name. */
void prop_set(struct prop_node *node, const char *name, const char *value, const char *file,
              int line);
/* The attribute, NULL if there is none. */
const struct prop_attr *prop_attr(const struct prop_node *node, const char *name);

/* First child of that name after `after` (NULL: from the start); NULL if there is none. */
struct prop_node *prop_child(const struct prop_node *node, const char *name,
                             const struct prop_node *after);

/* Reads one property by its descriptor, or its preset. */
bool prop_get(const struct prop_node *node, const struct prop_desc *desc, struct prop_value *value,
              struct error *err);
/* Whether each attribute of node has a descriptor and each descriptor can be read. */
bool prop_check(const struct prop_node *node, const struct prop_desc *descs, size_t count,
                struct error *err);

/*
 * --set: "cpu.model=haswell" sets the attribute `model` of the element <cpu> below root;
 * "disk[1].x" takes the second <disk>. A missing element is made if it is the first of its name or
 * the next. Descriptors judge the value later.
 */
bool prop_set_path(struct prop_node *root, const char *assignment, struct error *err);

/* Sets err to "file:line: element <name>: " and the message. Always returns false. */
bool prop_error(const struct prop_node *node, struct error *err, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

#endif
