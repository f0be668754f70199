/* SPDX-License-Identifier: MIT */
#include "base/input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "tests/suite.h"

/* A little machine: a timer that ticks, a line of input, a date; its run is the text it writes. */
static struct clock ticks;
static struct input_hub *hub;
static struct clock_event timer;
static char run[4096];
static unsigned keys, date;
static const char path[] = "test_input.rec";

static void note(const char *what, u64 value)
{
    size_t used = strlen(run);
    snprintf(run + used, sizeof(run) - used, "%llu:%s=%llx ", (unsigned long long)ticks.now, what,
             (unsigned long long)value);
}

static void on_keys(void *opaque, const u8 *bytes, size_t size)
{
    ck_assert_ptr_eq(opaque, &keys);
    for (size_t n = 0; n < size; n++)
        note("key", bytes[n]);
}

static void on_timer(void *opaque)
{
    (void)opaque;
    note("timer", 0);
    clock_event_set(&ticks, &timer, ticks.now + 10);
}

static void power_on(void)
{
    clock_init(&ticks, 1000);
    hub = input_new(&ticks);
    keys = input_source(hub, "keys", on_keys, &keys);
    date = input_source(hub, "date", NULL, NULL);
    clock_event_init(&timer, "timer", on_timer, NULL);
    clock_event_set(&ticks, &timer, 10);
    run[0] = 0;
}

static void power_off(void)
{
    input_free(hub);
    clock_event_cancel(&ticks, &timer);
    ck_assert_uint_eq(ticks.count, 0);
    clock_fini(&ticks);
}

/* `live`: somebody types; 49, 50 and 59 meet the timer's ticks or come just before them. */
static void run_to(u64 end, bool live)
{
    static const u64 typed[] = {3, 9, 10, 49, 50, 59, 71};
    for (u64 now = 0; now <= end; now++) {
        ticks.now = now;
        clock_run(&ticks);
        for (unsigned n = 0; live && n < ARRAY_SIZE(typed); n++)
            if (typed[n] == now)
                input_put(hub, keys, (const u8[]){(u8)(0x40 + n), 1}, 2);
        if (now % 16 == 5)
            note("date", input_value(hub, date, live ? 1000 + now : 0));
    }
}

/* The file and the text of a recorded run. */
static void record(char *text, bool by_itself)
{
    struct error err = {{0}};
    power_on();
    ck_assert(input_record(hub, path, "m", &err));
    run_to(80, true);
    ck_assert(input_close(hub, by_itself, &err));
    strcpy(text, run);
    power_off();
}

START_TEST(a_replay_is_the_recorded_run)
{
    char recorded[sizeof(run)];
    struct error err = {{0}};
    record(recorded, true);
    ck_assert_ptr_nonnull(strstr(recorded, "4:key=40"));
    ck_assert_ptr_nonnull(strstr(recorded, "10:key=41 10:key=1 10:timer"));
    ck_assert_ptr_nonnull(strstr(recorded, "69:date=42d"));
    power_on();
    ck_assert_msg(input_replay(hub, path, "m", &err), "%s", err.text);
    ck_assert(input_replaying(hub));
    ck_assert_uint_eq(input_end(hub), CLOCK_NEVER);
    run_to(80, false);
    ck_assert_str_eq(run, recorded);
    ck_assert(!input_diverged(hub));
    power_off();
}
END_TEST

START_TEST(replays_ignore_live_input)
{
    char recorded[sizeof(run)];
    struct error err = {{0}};
    record(recorded, false);
    power_on();
    ck_assert(input_replay(hub, path, "m", &err));
    ck_assert_uint_eq(input_end(hub), 80);
    run_to(80, true);
    ck_assert_str_eq(run, recorded);
    power_off();
}
END_TEST

START_TEST(without_a_recording_input_comes_all_the_same)
{
    char recorded[sizeof(run)];
    record(recorded, true);
    power_on();
    run_to(80, true);
    ck_assert_str_eq(run, recorded);
    ck_assert_uint_eq(input_value(NULL, 0, 77), 77);
    power_off();
}
END_TEST

START_TEST(other_questions_are_noticed)
{
    char recorded[sizeof(run)];
    struct error err = {{0}};
    record(recorded, true);
    power_on();
    ck_assert(input_replay(hub, path, "m", &err));
    run_to(6, false);
    ck_assert(!input_diverged(hub));
    input_value(hub, date, 0);
    ck_assert(input_diverged(hub));
    power_off();
}
END_TEST

static void read_all(u8 *data, size_t *size)
{
    FILE *f = fopen(path, "rb");
    *size = fread(data, 1, 8192, f);
    fclose(f);
}

static void write_all(const u8 *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    ck_assert_uint_eq(fwrite(data, 1, size, f), size);
    fclose(f);
}

static bool replays(const char *identity, struct error *err)
{
    *err = (struct error){{0}};
    power_on();
    bool ok = input_replay(hub, path, identity, err);
    ck_assert(ok == !err->text[0]);
    if (ok)
        run_to(80, false);
    else
        ck_assert_ptr_nonnull(strstr(err->text, path));
    power_off();
    return ok;
}

START_TEST(a_recording_that_breaks_off_is_replayed_to_there)
{
    char recorded[sizeof(run)];
    static u8 data[8192];
    size_t size, good = 0;
    struct error err;
    record(recorded, true);
    read_all(data, &size);
    for (size_t n = 0; n < size; n++) {
        write_all(data, n);
        good += replays("m", &err);
    }
    ck_assert_uint_gt(good, size / 2);
    write_all(data, size - 1);
    power_on();
    ck_assert(input_replay(hub, path, "m", &err));
    ck_assert_uint_eq(input_end(hub), 72);
    power_off();
}
END_TEST

START_TEST(damaged_recordings_are_refused)
{
    char recorded[sizeof(run)];
    static u8 data[8192];
    size_t size;
    struct error err;
    record(recorded, true);
    ck_assert(replays("m", &err));
    ck_assert(!replays("another", &err));
    ck_assert_ptr_nonnull(strstr(err.text, "another machine: m; input: keys date; this one is"));
    read_all(data, &size);
    for (size_t n = 0; n < size; n++) {
        data[n] ^= 0x10;
        write_all(data, size);
        replays("m", &err); /* a length that reaches past the end breaks off the file */
        data[n] ^= 0x10;
    }
    data[size - 1] ^= 1;
    write_all(data, size);
    ck_assert(!replays("m", &err));
    ck_assert_ptr_nonnull(strstr(err.text, "checksum"));
    write_all((const u8 *)"TESTUDO", 7);
    ck_assert(!replays("m", &err));
    unlink(path);
    ck_assert(!replays("m", &err));
    ck_assert_ptr_nonnull(strstr(err.text, "No such file"));
}
END_TEST

/* A block whose checksum is right, behind a header: is it the contents that are judged? */
static bool forged(const u32 record[8], size_t size, struct error *err)
{
    static u8 data[8192];
    size_t at;
    power_on();
    ck_assert(input_record(hub, path, "m", err));
    power_off();
    read_all(data, &at);
    u32 crc = (u32)crc32(0, (const u8 *)record, (uInt)size);
    memcpy(data + at, &(const u32){(u32)size}, 4);
    memcpy(data + at + 4, &crc, 4);
    memcpy(data + at + 8, record, size);
    write_all(data, at + 8 + size);
    return replays("m", err);
}

START_TEST(forged_records_are_refused)
{
    /* kind, source, size, reserved, tick */
    static const struct {
        u32 record[8];
        size_t size;
        const char *why;
    } bad[] = {
        {{0, 0, 1, 0, 5, 0}, 8, "impossible size"},
        {{3, 0, 0, 0, 5, 0}, 24, "unknown kind"},
        {{0xffffffff, 0, 0, 0, 5, 0}, 24, "unknown kind"},
        {{2, 0, 0, 1, 5, 0}, 24, "unknown kind"},
        {{2, 0, 4, 0, 5, 0, 0}, 28, "end record with contents"},
        {{0, 0, 4, 0, 5, 0}, 24, "another size than its block"},
        {{0, 0, 0xffffffe8, 0, 5, 0}, 24, "another size than its block"},
        {{0, 2, 4, 0, 5, 0, 0}, 28, "source that there isn't"},
        {{0, 0xffffffff, 4, 0, 5, 0, 0}, 28, "source that there isn't"},
        {{0, 1, 4, 0, 5, 0, 0}, 28, "source that has none"},
        {{0, 0, 0, 0, 5, 0}, 24, "source that has none"},
        {{1, 1, 4, 0, 5, 0, 0}, 28, "another size than 8"},
        {{0, 0, 4, 0, 0xffffffff, 0xffffffff, 0}, 28, "earlier tick"},
    };
    struct error err = {{0}};
    ck_assert(forged((const u32[8]){0, 0, 8, 0, 5, 0, 1, 2}, 32, &err));
    ck_assert(forged((const u32[8]){2, 1, 0, 0, 5, 0}, 24, &err));
    for (size_t n = 0; n < ARRAY_SIZE(bad); n++) {
        ck_assert(!forged(bad[n].record, bad[n].size, &err));
        ck_assert_msg(strstr(err.text, bad[n].why) && strstr(err.text, "at byte "), "%zu: %s", n,
                      err.text);
    }
    unlink(path);
}
END_TEST

SUITE_MAIN("input", &a_replay_is_the_recorded_run, &replays_ignore_live_input,
           &without_a_recording_input_comes_all_the_same, &other_questions_are_noticed,
           &a_recording_that_breaks_off_is_replayed_to_there, &damaged_recordings_are_refused,
           &forged_records_are_refused)
