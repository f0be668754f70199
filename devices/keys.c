/* SPDX-License-Identifier: MIT */
#include "devices/keys.h"

#include <string.h>

static const struct key keys[256] = {
#define KEY(usage, name, set2, set3, kind) [usage] = {usage, name, set2, set3, KEY_##kind},
#include "devices/keys.def"
};

const struct key *key_find(unsigned usage)
{
    return usage < ARRAY_SIZE(keys) && keys[usage].usage ? &keys[usage] : NULL;
}

u8 key_named(const char *name, size_t length)
{
    for (unsigned usage = 0; usage < ARRAY_SIZE(keys); usage++) {
        const char *its = keys[usage].name;
        if (its && strlen(its) == length && !memcmp(its, name, length))
            return (u8)usage;
    }
    return 0;
}

u8 key_of_char(char c, bool *shift)
{
    /* In the order of usages, from "1" on; letters are computed. */
    static const char plain[] = "1234567890\n\033\b\t -=[]\\\001;'`,./";
    static const char shifted[] = "!@#$%^&*()\001\001\001\001\001_+{}|\001:\"~<>?";
    const char *at;
    *shift = false;
    if (c >= 'a' && c <= 'z')
        return (u8)(0x04 + (c - 'a'));
    *shift = true;
    if (c >= 'A' && c <= 'Z')
        return (u8)(0x04 + (c - 'A'));
    if (c == 0 || c == '\001')
        return 0;
    if (c == '\r')
        c = '\n';
    at = strchr(plain, c);
    *shift = !at;
    if (at)
        return (u8)(0x1e + (at - plain));
    at = strchr(shifted, c);
    return at ? (u8)(0x1e + (at - shifted)) : 0;
}
