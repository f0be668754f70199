/* SPDX-License-Identifier: MIT */
#include "traces/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "tests/suite.h"

START_TEST(writes_lines)
{
    char path[] = "/tmp/test_trace.XXXXXX", text[128] = "";
    struct error err = {{0}};
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert(!trace_on());
    ck_assert_msg(trace_open(path, &err), "%s", err.text);
    ck_assert(trace_on());
    trace_put(12, 3, "vmexit", "reason=cpuid rip=8:1000");
    trace_put(13, 0, "vmentry", "rip=8:1002");
    ck_assert(trace_close(&err));
    ck_assert(!trace_on());
    ck_assert_int_gt(read(fd, text, sizeof(text) - 1), 0);
    ck_assert_str_eq(text, "12 3 vmexit reason=cpuid rip=8:1000\n13 0 vmentry rip=8:1002\n");
    close(fd);
    unlink(path);
}
END_TEST

START_TEST(says_what_fails)
{
    struct error err = {{0}}, full = {{0}};
    ck_assert(!trace_open("/nonexistent/folder/file", &err));
    ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/folder/file"));
    ck_assert(!trace_on());
    ck_assert(trace_close(&err)); /* nothing was open */
    ck_assert(trace_open("/dev/full", &full));
    trace_put(1, 0, "event", "fields");
    ck_assert(!trace_close(&full)); /* the disk is full */
    ck_assert_ptr_nonnull(strstr(full.text, "/dev/full"));
}
END_TEST

SUITE_MAIN("trace", &writes_lines, &says_what_fails)
