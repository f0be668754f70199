/* SPDX-License-Identifier: MIT */
#include "base/snap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "tests/suite.h"

#define PAGES 40

/* What a machine might be made of. */
struct state {
    u32 latch;
    u64 counter;
    char text[10];
    u8 *ram;
    struct clock clock;
    struct clock_event event[3];
    u64 model;
    u32 version;
    const char *section;
};

static char path[64];
static unsigned order[8], order_count;

static void note(void *opaque)
{
    order[order_count++] = (unsigned)(uintptr_t)opaque;
}

static void state_init(struct state *st)
{
    *st = (struct state){.model = 1, .version = 3, .section = "timer"};
    st->ram = xalloc_array(PAGES, PAGE_SIZE);
    clock_init(&st->clock, 1000);
    for (uintptr_t k = 0; k < 3; k++)
        clock_event_init(&st->event[k], "event", note, (void *)k);
    if (!path[0])
        snprintf(path, sizeof(path), "test_snap.%ld.tmp", (long)getpid());
}

static void state_fini(struct state *st)
{
    clock_fini(&st->clock);
    free(st->ram);
}

static void state_visit(struct state *st, struct snap *s)
{
    snap_section(s, st->section, st->version);
    SNAP(s, st->latch);
    SNAP(s, st->counter);
    SNAP(s, st->text);
    snap_range(s, "latch", st->latch, 0, 1000);
    snap_expect(s, "model", st->model);
    snap_section(s, "ram", 1);
    snap_pages(s, st->ram, PAGES * PAGE_SIZE);
    snap_section(s, "events", 1);
    for (unsigned k = 0; k < 3; k++)
        snap_event(s, &st->clock, &st->event[k]);
}

static void state_fill(struct state *st)
{
    state_init(st);
    st->latch = 77;
    st->counter = UINT64_C(0x123456789abcdef);
    memcpy(st->text, "some text", 10);
    srand(5);
    for (unsigned k = 0; k < PAGES; k += 3)
        for (unsigned n = 0; n < 64; n++)
            st->ram[k * PAGE_SIZE + (u64)rand() % PAGE_SIZE] = (u8)rand();
    clock_event_set(&st->clock, &st->event[2], 100);
    clock_event_set(&st->clock, &st->event[0], 100);
}

static bool save(struct state *st, struct error *err)
{
    struct snap *s = snap_open_save(path, err);
    if (!s)
        return false;
    ck_assert(!snap_loading(s) && snap_ok(s));
    state_visit(st, s);
    return snap_close(s, err);
}

static bool load(struct state *st, struct error *err)
{
    struct snap *s = snap_open_load(path, err);
    if (!s)
        return false;
    ck_assert(snap_loading(s));
    state_visit(st, s);
    return snap_close(s, err);
}

static void save_good(struct state *st)
{
    struct error err = {0};
    state_fill(st);
    ck_assert_msg(save(st, &err), "%s", err.text);
}

/* Loads into `st`, which must be refused with this text in the message. */
static void refused(struct state *st, const char *why)
{
    struct error err = {0};
    ck_assert(!load(st, &err));
    ck_assert_msg(strstr(err.text, why), "\"%s\" lacks \"%s\"", err.text, why);
    ck_assert_msg(!strncmp(err.text, path, strlen(path)), "%s", err.text);
    state_fini(st);
    state_init(st);
}

START_TEST(what_is_saved_is_loaded)
{
    struct state a, b;
    struct error err = {0};
    save_good(&a);
    state_init(&b);
    memset(b.ram, 0xaa, 5 * PAGE_SIZE);
    clock_event_set(&b.clock, &b.event[1], 5);
    ck_assert_msg(load(&b, &err), "%s", err.text);
    ck_assert(a.latch == b.latch && a.counter == b.counter && !memcmp(a.text, b.text, 10));
    ck_assert(!memcmp(a.ram, b.ram, PAGES * PAGE_SIZE));
    ck_assert(!clock_event_queued(&b.event[1]));
    b.clock.now = 100;
    clock_run(&b.clock);
    ck_assert(order_count == 2 && order[0] == 2 && order[1] == 0);
    state_fini(&a);
    state_fini(&b);
    remove(path);
}
END_TEST

START_TEST(differences_are_named)
{
    struct state a, b;
    save_good(&a);
    state_init(&b);
    b.model = 2;
    refused(&b, "section \"timer\": model: saved 1, here 2");
    b.section = "clock";
    refused(&b, ": expected section \"clock\", found \"timer\"");
    b.version = 4;
    refused(&b, ": section \"timer\" has version 3, expected 4");
    a.latch = 1001;
    ck_assert(save(&a, NULL));
    refused(&b, "section \"timer\": latch: 1001 is not from 0 to 1000");
    state_fini(&a);
    state_fini(&b);
    remove(path);
}
END_TEST

static long file_size(void)
{
    FILE *file = fopen(path, "rb");
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    fclose(file);
    return size;
}

static void flip(long at)
{
    FILE *file = fopen(path, "r+b");
    fseek(file, at, SEEK_SET);
    int c = fgetc(file);
    fseek(file, at, SEEK_SET);
    fputc(c ^ 0x10, file);
    fclose(file);
}

START_TEST(damage_is_refused)
{
    struct state a, b;
    save_good(&a);
    state_init(&b);
    long size = file_size();
    for (long at = 0; at < size; at++) {
        flip(at);
        refused(&b, at < 8    ? "is no saved machine"
                    : at < 12 ? "byte order"
                    : at < 40 ? "the header's checksum is wrong"
                              : "is damaged: the checksum is wrong");
        flip(at);
    }
    struct error err = {0};
    ck_assert_msg(load(&b, &err), "%s", err.text);
    ck_assert_int_eq(truncate(path, size - 1), 0);
    refused(&b, "is damaged: it has");
    ck_assert_int_eq(truncate(path, 41), 0);
    refused(&b, "is damaged");
    ck_assert_int_eq(truncate(path, 39), 0);
    refused(&b, "is no saved machine");
    ck_assert_int_eq(truncate(path, 0), 0);
    refused(&b, "is no saved machine");
    remove(path);
    refused(&b, "can't open: No such file");
    state_fini(&a);
    state_fini(&b);
}
END_TEST

START_TEST(too_little_and_too_much)
{
    struct state st;
    struct error err = {0};
    u32 word = 5, more[3] = {9, 9, 9};
    state_init(&st);
    struct snap *s = snap_open_save(path, &err);
    SNAP(s, word);
    ck_assert(snap_close(s, &err));
    s = snap_open_load(path, &err);
    ck_assert(!snap_close(s, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "left over"));
    err.text[0] = 0;
    s = snap_open_load(path, &err);
    SNAP(s, more);
    ck_assert(!snap_ok(s));
    ck_assert(!more[0] && !more[1] && !more[2]);
    more[0] = 1;
    SNAP(s, more); /* errors stay */
    ck_assert_uint_eq(more[0], 0);
    ck_assert(!snap_close(s, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "end too early"));
    state_fini(&st);
    remove(path);
}
END_TEST

START_TEST(failed_saves_leave_the_old_file)
{
    struct state a;
    struct error err = {0};
    save_good(&a);
    long size = file_size();
    struct snap *s = snap_open_save(path, &err);
    snap_section(s, "disk", 1);
    snap_fail(s, "can't be saved with %d requests open", 2);
    ck_assert(!snap_close(s, &err));
    ck_assert_ptr_nonnull(
        strstr(err.text, "section \"disk\": can't be saved with 2 requests open"));
    ck_assert_int_eq(file_size(), size);
    err.text[0] = 0;
    ck_assert_ptr_null(snap_open_save("/no/such/folder/x", &err));
    ck_assert_ptr_nonnull(strstr(err.text, "/no/such/folder/x: can't write: No such file"));
    state_fini(&a);
    remove(path);
}
END_TEST

START_TEST(large_blocks)
{
    struct error err = {0};
    size_t size = 5 * MIB + 123;
    u8 *a = xalloc(size), *b = xalloc(size);
    struct state st;
    state_init(&st);
    for (size_t k = 0; k < size; k++)
        a[k] = (u8)rand();
    struct snap *s = snap_open_save(path, &err);
    snap_bytes(s, a, size);
    ck_assert(snap_close(s, &err));
    s = snap_open_load(path, &err);
    snap_bytes(s, b, size);
    ck_assert_msg(snap_close(s, &err), "%s", err.text);
    ck_assert(!memcmp(a, b, size));
    free(a);
    free(b);
    state_fini(&st);
    remove(path);
}
END_TEST

SUITE_MAIN("snap", &what_is_saved_is_loaded, &differences_are_named, &damage_is_refused,
           &too_little_and_too_much, &failed_saves_leave_the_old_file, &large_blocks)
