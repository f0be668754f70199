/* SPDX-License-Identifier: MIT */
#include "configs/xml.h"

#include <errno.h>
#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/xmlschemas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "configs/embedded.h"

#define FILE_MAX MIB

/* libxml2 2.12 made the error that it hands over constant. */
#if LIBXML_VERSION >= 21200
typedef const xmlError *xml_error;
#else
typedef xmlErrorPtr xml_error;
#endif

/* What the parser's callbacks build; found by ctxt->_private. */
struct loader {
    const char *name;
    struct prop_node *root, *node; /* node: the open element */
    struct error *err;
};

/* ---- Parsing ---- */

/*
 * The line of a place in the start tag just read. The parser itself keeps one line an element: that
 * of the tag's end.
 */
static int line_at(const xmlParserCtxt *ctxt, const xmlChar *place)
{
    const xmlParserInput *in = ctxt->input;
    int line = in->line;
    uintptr_t at = (uintptr_t)place;
    if (at < (uintptr_t)in->base || at >= (uintptr_t)in->cur)
        return line; /* the value was unpacked elsewhere */
    for (const xmlChar *p = place; p < in->cur; p++)
        line -= *p == '\n';
    return line;
}

/* A tag holds no '<' but its first character. */
static int tag_line(const xmlParserCtxt *ctxt)
{
    const xmlChar *p = ctxt->input->cur;
    while (p > ctxt->input->base && *--p != '<')
        ;
    return line_at(ctxt, p);
}

static void start_element(void *opaque, const xmlChar *name, const xmlChar *prefix,
                          const xmlChar *uri, int ns_count, const xmlChar **ns, int attr_count,
                          int defaulted, const xmlChar **attrs)
{
    xmlParserCtxt *ctxt = opaque;
    struct loader *l = ctxt->_private;
    xmlSAX2StartElementNs(ctxt, name, prefix, uri, ns_count, ns, attr_count, defaulted, attrs);
    l->node = prop_new(l->node, (const char *)name, l->name, tag_line(ctxt));
    if (!l->root)
        l->root = l->node;
    if (!ctxt->node)
        return;
    ctxt->node->_private = l->node;
    int n = 0;
    for (xmlAttr *a = ctxt->node->properties; a && n < attr_count; a = a->next, n++) {
        xmlChar *value = xmlNodeListGetString(ctxt->myDoc, a->children, 1);
        /* attrs: name, prefix, URI, the value's begin and end for each. */
        prop_set(l->node, (const char *)a->name, value ? (const char *)value : "", l->name,
                 line_at(ctxt, attrs[5 * n + 3]));
        xmlFree(value);
    }
}

static bool has_text(const xmlNode *node)
{
    for (const xmlNode *child = node->children; child; child = child->next)
        if (child->type == XML_CDATA_SECTION_NODE ||
            (child->type == XML_TEXT_NODE && !xmlIsBlankNode(child)))
            return true;
    return false;
}

static void end_element(void *opaque, const xmlChar *name, const xmlChar *prefix,
                        const xmlChar *uri)
{
    xmlParserCtxt *ctxt = opaque;
    struct loader *l = ctxt->_private;
    if (ctxt->node && has_text(ctxt->node)) {
        xmlChar *text = xmlNodeListGetString(ctxt->myDoc, ctxt->node->children, 1);
        prop_set(l->node, XML_TEXT, text ? (const char *)text : "", l->name, l->node->line);
        xmlFree(text);
    }
    xmlSAX2EndElementNs(ctxt, name, prefix, uri);
    l->node = l->node->parent;
}

static void refuse_doctype(void *opaque, const xmlChar *name, const xmlChar *id,
                           const xmlChar *system)
{
    xmlParserCtxt *ctxt = opaque;
    struct loader *l = ctxt->_private;
    (void)name;
    (void)id;
    (void)system;
    error_set(l->err, "%s:%d: a document type declaration is not allowed", l->name,
              ctxt->input->line);
    xmlStopParser(ctxt);
}

/* Puts libxml2's message, which may end in a newline, behind "file:line: ". */
static void parse_error(void *opaque, xml_error error)
{
    xmlParserCtxt *ctxt = opaque;
    struct loader *l = ctxt->_private;
    const char *message = error->message ? error->message : "not well-formed";
    int length = (int)strcspn(message, "\n");
    if (error->level < XML_ERR_ERROR)
        return;
    if (l->node)
        error_set(l->err, "%s:%d: element <%s>: %.*s", l->name, error->line, l->node->name, length,
                  message);
    else
        error_set(l->err, "%s:%d: %.*s", l->name, error->line, length, message);
}

static bool parse(struct xml *x, struct loader *l, const void *text, size_t size)
{
    xmlParserCtxt *ctxt = xmlNewParserCtxt();
    if (!ctxt)
        return error_set(l->err, "%s: libxml2 can't start", l->name);
    ctxt->_private = l;
    ctxt->sax->startElementNs = start_element;
    ctxt->sax->endElementNs = end_element;
    ctxt->sax->internalSubset = refuse_doctype;
    ctxt->sax->serror = parse_error;
    x->doc = xmlCtxtReadMemory(ctxt, text, (int)size, l->name, NULL, XML_PARSE_NONET);
    x->root = l->root;
    bool ok = x->doc && ctxt->wellFormed && x->root;
    xmlFreeParserCtxt(ctxt);
    return ok || error_set(l->err, "%s: no XML", l->name);
}

bool xml_read_text(struct xml *x, const char *name, const void *text, size_t size,
                   struct error *err)
{
    *x = (struct xml){0};
    struct loader l = {.name = name, .err = err};
    if (size > FILE_MAX)
        return error_set(err, "%s: larger than 1 MiB", name);
    return parse(x, &l, text, size);
}

bool xml_read_file(struct xml *x, const char *path, struct error *err)
{
    *x = (struct xml){0};
    FILE *f = fopen(path, "rb");
    if (!f)
        return error_set(err, "%s: %s", path, strerror(errno));
    char *text = xalloc(FILE_MAX + 1);
    size_t size = fread(text, 1, FILE_MAX + 1, f);
    bool ok = !ferror(f);
    if (!ok)
        error_set(err, "%s: %s", path, strerror(errno));
    fclose(f);
    ok = ok && xml_read_text(x, path, text, size, err);
    free(text);
    return ok;
}

void xml_free(struct xml *x)
{
    xmlFreeDoc(x->doc);
    prop_free(x->root);
    *x = (struct xml){0};
}

/* ---- The schema ---- */

struct validation {
    const struct xml *x;
    struct error *err;
    bool broken; /* the schema itself */
};

/* Behind "Element 'x': " and "Element 'x', ", with which libxml2 begins. */
static const char *after_element(const char *message)
{
    if (strncmp(message, "Element '", 9))
        return message;
    const char *end = strchr(message + 9, '\'');
    return end && end[1] ? end + 2 + (end[2] == ' ') : message;
}

static void schema_error(void *opaque, xml_error error)
{
    struct validation *v = opaque;
    const xmlNode *node = error->node;
    const char *message = after_element(error->message ? error->message : "not valid");
    if (node && node->type == XML_ATTRIBUTE_NODE)
        node = node->parent;
    const struct prop_node *place = node && node->_private ? node->_private : v->x->root;
    prop_error(place, v->err, "%.*s", (int)strcspn(message, "\n"), message);
}

static void schema_broken(void *opaque, xml_error error)
{
    struct validation *v = opaque;
    v->broken = true;
    error_set(v->err, "schema: %d: %s", error->line, error->message ? error->message : "broken");
}

static xmlSchema *load_schema(const char *name, struct validation *v)
{
    const struct embedded *file = embedded_find(name);
    ASSERT(file);
    xmlSchemaParserCtxt *ctxt =
        xmlSchemaNewMemParserCtxt((const char *)file->data, (int)file->size);
    if (!ctxt)
        return NULL;
    xmlSchemaSetParserStructuredErrors(ctxt, schema_broken, v);
    xmlSchema *schema = xmlSchemaParse(ctxt);
    xmlSchemaFreeParserCtxt(ctxt);
    return schema;
}

bool xml_validate(const struct xml *x, const char *name, struct error *err)
{
    struct validation v = {.x = x, .err = err};
    xmlSchema *schema = load_schema(name, &v);
    xmlSchemaValidCtxt *ctxt = schema ? xmlSchemaNewValidCtxt(schema) : NULL;
    bool ok = false;
    if (ctxt) {
        xmlSchemaSetValidStructuredErrors(ctxt, schema_error, &v);
        ok = xmlSchemaValidateDoc(ctxt, x->doc) == 0;
    }
    xmlSchemaFreeValidCtxt(ctxt);
    xmlSchemaFree(schema);
    return ok || error_set(err, "%s: not valid by %s", x->root->file, name);
}
