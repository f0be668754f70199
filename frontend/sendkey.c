/* SPDX-License-Identifier: MIT */
#include "frontend/sendkey.h"

#include <string.h>

#include "devices/keys.h"

#define KEYS_MAX 8

bool sendkey(struct pc *pc, const char *keys, struct error *err)
{
    u8 usage[KEYS_MAX];
    unsigned count = 0;
    for (const char *name = keys;; name++) {
        size_t length = strcspn(name, "-");
        if (count == KEYS_MAX)
            return error_set(err, "%s: more than %d keys at once", keys, KEYS_MAX);
        usage[count] = key_named(name, length);
        if (!usage[count++])
            return error_set(err, "%.*s: no such key", (int)MIN(length, 40u), name);
        name += length;
        if (!*name)
            break;
    }
    for (unsigned n = 0; n < count; n++)
        pc_key(pc, usage[n], true);
    while (count)
        pc_key(pc, usage[--count], false);
    return true;
}

void sendkey_text(struct pc *pc, const char *text)
{
    for (; *text; text++) {
        bool shift;
        u8 usage = key_of_char(*text, &shift);
        if (!usage)
            continue;
        if (shift)
            pc_key(pc, KEY_SHIFT, true);
        pc_key(pc, usage, true);
        pc_key(pc, usage, false);
        if (shift)
            pc_key(pc, KEY_SHIFT, false);
    }
}
