/* SPDX-License-Identifier: MIT */
#include "configs/embedded.h"

#include <string.h>

/* A row a file, made by configs/module.am. */
const struct embedded embedded_files[] = {
#include "configs/embedded.inc"
};

const size_t embedded_count = ARRAY_SIZE(embedded_files);

const struct embedded *embedded_find(const char *name)
{
    for (size_t n = 0; n < embedded_count; n++)
        if (!strcmp(embedded_files[n].name, name))
            return &embedded_files[n];
    return NULL;
}
