/* SPDX-License-Identifier: MIT */
/*
 * fuzz_recording FILE: replays FILE as a recording, for a fuzzer (AFL++: afl-fuzz -i recordings -o out --
 * fuzz_recording @@). First as it is; then its blocks behind a good header, with checksums made right,
 * so that what a fuzzer changes is looked at behind them. Nothing may crash, hang or leak; whether FILE
 * is good does not matter. Any recording of --record will do to begin with.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/input.h"

#define SOURCES 8
#define HEADER 24      /* bytes, before the identity */
#define FILE_MAX MIB   /* longer ones say nothing new */
#define STEPS_MAX 4096 /* of the machine */

struct machine {
    struct clock clock;
    struct input_hub *hub;
    unsigned values;
    u64 sum;
};

static void deliver(void *opaque, const u8 *bytes, size_t size)
{
    struct machine *m = opaque;
    for (size_t n = 0; n < size; n++)
        m->sum = m->sum * 31 + bytes[n];
}

static void power_on(struct machine *m)
{
    *m = (struct machine){.sum = 0};
    clock_init(&m->clock, 1000000000);
    m->hub = input_new(&m->clock);
    for (unsigned n = 0; n < SOURCES; n++)
        input_source(m->hub, "bytes", deliver, m);
    m->values = input_source(m->hub, "values", NULL, NULL);
}

/* Asks for a value at each tick at which something comes. */
static void run(struct machine *m)
{
    for (unsigned n = 0; n < STEPS_MAX && m->clock.next < input_end(m->hub); n++) {
        m->clock.now = m->clock.next;
        clock_run(&m->clock);
        m->sum += input_value(m->hub, m->values, n);
    }
}

static void power_off(struct machine *m)
{
    input_free(m->hub);
    clock_fini(&m->clock);
}

static void replay(const char *path)
{
    struct machine m;
    struct error err = {{0}};
    power_on(&m);
    bool ok = input_replay(m.hub, path, "fuzz", &err);
    ASSERT(ok == !err.text[0] && !strchr(err.text, '\n'));
    if (ok)
        run(&m);
    else
        fprintf(stderr, "%s\n", err.text);
    power_off(&m);
}

/* A recording in which nothing happened, not closed. */
static void write_header(const char *path)
{
    struct machine m;
    struct error err;
    power_on(&m);
    if (!input_record(m.hub, path, "fuzz", &err))
        exit(1);
    power_off(&m);
}

/* Where the first block is. */
static size_t skip_header(const u8 *data, size_t size)
{
    u32 identity;
    if (size < HEADER || memcmp(data, "TESTREC", 7) != 0)
        return 0;
    memcpy(&identity, data + 16, sizeof(identity));
    return identity <= size - HEADER ? HEADER + identity : 0;
}

static void mend_checksums(u8 *data, size_t size)
{
    u32 length;
    for (size_t at = 0; size - at >= 8; at += 8 + length) {
        memcpy(&length, data + at, sizeof(length));
        if (length > size - at - 8)
            return;
        u32 crc = (u32)crc32(0, data + at + 8, length);
        memcpy(data + at + 4, &crc, sizeof(crc));
    }
}

static void replay_blocks(u8 *data, size_t size)
{
    char path[64];
    int fd = memfd_create("recording", 0);
    if (fd < 0)
        exit(1);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    write_header(path);
    mend_checksums(data, size);
    lseek(fd, 0, SEEK_END);
    if (write(fd, data, size) != (ssize_t)size)
        exit(1);
    replay(path);
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: fuzz_recording FILE\n");
        return 2;
    }
    replay(argv[1]);
    FILE *f = fopen(argv[1], "rb");
    if (!f)
        return 2;
    u8 *data = xalloc(FILE_MAX);
    size_t size = fread(data, 1, FILE_MAX, f);
    fclose(f);
    size_t skipped = skip_header(data, size);
    replay_blocks(data + skipped, size - skipped);
    free(data);
    return 0;
}
