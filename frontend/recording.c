/* SPDX-License-Identifier: MIT */
#include "frontend/recording.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/alloc.h"

/* Attributes that say where something is on the host, not what the guest sees. */
static bool is_place(const char *name)
{
    static const char *const places[] = {"to", "path", "overlay", "hostfwd"};
    for (size_t n = 0; n < ARRAY_SIZE(places); n++)
        if (!strcmp(name, places[n]))
            return true;
    return false;
}

static u32 add_text(u32 crc, const char *text)
{
    return (u32)crc32(crc, (const void *)text, (uInt)strlen(text) + 1);
}

static u32 configuration(u32 crc, const struct prop_node *node)
{
    crc = add_text(crc, node->name);
    for (u32 n = 0; n < node->attr_count; n++) {
        if (is_place(node->attr[n].name))
            continue;
        crc = add_text(crc, node->attr[n].name);
        crc = add_text(crc, node->attr[n].value);
    }
    for (u32 n = 0; n < node->child_count; n++)
        crc = configuration(crc, node->child[n]);
    return crc;
}

static bool add_file(u32 *crc, const char *path, struct error *err)
{
    u8 buffer[16384];
    size_t n;
    FILE *f = fopen(path, "rb");
    if (!f)
        return error_set(err, "%s: %s", path, strerror(errno));
    while ((n = fread(buffer, 1, sizeof(buffer), f)))
        *crc = (u32)crc32(*crc, buffer, (uInt)n);
    bool ok = !ferror(f);
    fclose(f);
    return ok || error_set(err, "%s: can't be read", path);
}

/* "FILE ARGUMENTS,..." of Multiboot modules is taken as words; whether they are files shows later. */
static void add_modules(u32 *crc, const char *spec)
{
    struct error ignored;
    if (!add_file(crc, spec, &ignored))
        *crc = add_text(*crc, spec);
}

char *recording_identity(const struct prop_node *root, const struct options *opt, struct error *err)
{
    u32 start = 0;
    if (opt->load_path && !add_file(&start, opt->load_path, err))
        return NULL;
    if (opt->kernel && !opt->load_path) {
        if (!add_file(&start, opt->kernel, err))
            return NULL;
        add_modules(&start, opt->initrd ? opt->initrd : "");
        start = add_text(start, opt->append ? opt->append : "");
    }
    return xasprintf("configuration %08x, %s %08x", configuration(0, root),
                     opt->load_path ? "loaded" : "kernel", start);
}
