/* SPDX-License-Identifier: MIT */
/*
 * XML files read into property trees. A file is the user's input: at most 1 MiB, no document type
 * declaration (so no entities but the predefined ones), no network, no other file is read.
 */
#ifndef CONFIGS_XML_H
#define CONFIGS_XML_H

#include "base/error.h"
#include "base/prop.h"

/* An element's text, if there is more than white space, is the attribute of this name. */
#define XML_TEXT "#text"

struct xml {
    void *doc; /* libxml2's form, for xml_validate() */
    struct prop_node *root;
};

/* Both leave x to be freed by xml_free(), whether they succeed or not. */
bool xml_read_file(struct xml *x, const char *path, struct error *err);
/* name: of the text, for messages. */
bool xml_read_text(struct xml *x, const char *name, const void *text, size_t size,
                   struct error *err);

/* Checks x against the XML Schema configs/NAME, which is part of the program. */
bool xml_validate(const struct xml *x, const char *schema, struct error *err);

void xml_free(struct xml *x);

#endif
