/* SPDX-License-Identifier: MIT */
#include "devices/smbios.h"

#include <stdlib.h>
#include <string.h>

#include "tests/suite.h"

static u64 get(const u8 *from, unsigned size)
{
    u64 value = 0;
    memcpy(&value, from, size);
    return value;
}

static u8 sum(const u8 *from, u32 size)
{
    u8 total = 0;
    for (u32 n = 0; n < size; n++)
        total = (u8)(total + from[n]);
    return total;
}

/* Walks the structures as software does and counts each type. */
static void walk(const struct smbios *s, unsigned seen[256])
{
    u32 at = 0, count = 0;
    memset(seen, 0, 256 * sizeof(*seen));
    while (at < s->used) {
        u32 start = at;
        seen[s->bytes[at]]++;
        count++;
        at += s->bytes[at + 1];
        while (at + 1 < s->used && (s->bytes[at] || s->bytes[at + 1]))
            at++;
        at += 2;
        ck_assert_uint_le(at - start, s->largest);
    }
    ck_assert_uint_eq(at, s->used);
    ck_assert_uint_eq(count, s->count);
}

START_TEST(structures)
{
    static const u8 types[] = {0, 1, 3, 4, 16, 17, 19, 32, 127};
    struct cpu_model model;
    unsigned seen[256];
    ck_assert(cpu_model_init(&model, NULL, NULL, NULL));
    struct ram ram = {.size = 6 * GIB, .low = 3 * GIB};
    struct smbios *s = smbios_build(&(struct smbios_machine){&ram, &model, 4});
    walk(s, seen);
    for (size_t n = 0; n < ARRAY_SIZE(types); n++)
        ck_assert_uint_eq(seen[types[n]], types[n] == 19 ? 2 : 1);
    free(s);
    ram = (struct ram){.size = 512 * GIB, .low = 3 * GIB};
    s = smbios_build(&(struct smbios_machine){&ram, NULL, 0});
    walk(s, seen);
    ck_assert_uint_eq(seen[4], 0);
    free(s);
}
END_TEST

START_TEST(entry_point)
{
    struct ram ram = {.size = MIB, .low = MIB};
    struct smbios *s = smbios_build(&(struct smbios_machine){&ram, NULL, 1});
    smbios_relocate(s, 0xf0020);
    ck_assert(!memcmp(s->anchor, "_SM_", 4));
    ck_assert(!memcmp(s->anchor + 16, "_DMI_", 5));
    ck_assert_uint_eq(sum(s->anchor, 31), 0);
    ck_assert_uint_eq(sum(s->anchor + 16, 15), 0);
    ck_assert_uint_eq(get(s->anchor + 0x08, 2), s->largest);
    ck_assert_uint_eq(get(s->anchor + 0x16, 2), s->used);
    ck_assert_uint_eq(get(s->anchor + 0x18, 4), 0xf0020);
    ck_assert_uint_eq(get(s->anchor + 0x1c, 2), s->count);
    free(s);
}
END_TEST

SUITE_MAIN("smbios", &structures, &entry_point)
