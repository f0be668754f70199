/* SPDX-License-Identifier: MIT */
#include "frontend/session.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/suite.h"

#define LOAD 0x400000u
#define WORDS_MAX 24

/* Files of this test live in a folder of its own. */
static void enter_folder(void)
{
    char name[64];
    snprintf(name, sizeof(name), "test_session.%ld", (long)getpid());
    ck_assert(!mkdir(name, 0777) && !chdir(name));
}

static void leave_folder(void)
{
    static const char *const files[] = {"kernel", "console", "stats", "snap", "shot"};
    char name[64];
    for (size_t n = 0; n < ARRAY_SIZE(files); n++)
        unlink(files[n]);
    snprintf(name, sizeof(name), "test_session.%ld", (long)getpid());
    ck_assert(!chdir("..") && !rmdir(name));
}

/* A flat Multiboot image whose 32-bit code is this. */
static void write_kernel(const void *code, size_t size)
{
    const u32 header[8] = {0x1badb002, 0x10000, (u32) - (0x1badb002 + 0x10000), LOAD, LOAD,
                           0,          0,       LOAD + sizeof(header)};
    FILE *f = fopen("kernel", "wb");
    ck_assert(f && fwrite(header, sizeof(header), 1, f) == 1 && fwrite(code, size, 1, f) == 1);
    ck_assert(!fclose(f));
}

static char *read_text(const char *path)
{
    static char text[4096];
    FILE *f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = 0;
    return text;
}

static u64 instructions(void)
{
    unsigned long long v = 0;
    const char *at = strstr(read_text("stats"), "\"instructions\":");
    ck_assert(at && sscanf(at, "\"instructions\": %llu", &v) == 1);
    return v;
}

/* As the command line would run it, on a small machine whose serial port is the file "console". */
static int run(const char *text, struct error *err)
{
    char copy[512], *words[WORDS_MAX] = {NULL}, *save = NULL;
    int count = 0;
    struct options opt;
    *err = (struct error){{0}};
    snprintf(copy, sizeof(copy), "--memory 8M --stats stats --serial file:console %s", text);
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
        words[count++] = w;
    ck_assert_msg(options_parse(&opt, count, words, err), "%s", err->text);
    int status = session_run(&opt, err);
    options_free(&opt);
    return status;
}

/* Counts down from 3,000,000, writes "k" and ends with status (5 << 1) | 1. */
static const u8 counter[] = {0xb9, 0xc0, 0xc6, 0x2d, 0x00, 0x49, 0x75, 0xfd, 0x66, 0xba,
                             0xf8, 0x03, 0xb0, 'k',  0xee, 0xb0, 0x05, 0xe6, 0xf4, 0xf4};
#define COUNTER_INSNS 6000006

static void set_up_counter(void)
{
    enter_folder();
    write_kernel(counter, sizeof(counter));
}

START_TEST(a_run_has_its_status_and_counts)
{
    struct error err;
    set_up_counter();
    ck_assert_int_eq(run("--kernel kernel", &err), 11);
    ck_assert_str_eq(err.text, "");
    ck_assert_str_eq(read_text("console"), "k");
    ck_assert_uint_eq(instructions(), COUNTER_INSNS);
    ck_assert_int_eq(run("--kernel kernel --max-insns 5M", &err), STATUS_LIMIT);
    ck_assert_uint_eq(instructions(), 5000000);
    ck_assert_int_eq(run("--kernel kernel --max-insns 0", &err), STATUS_LIMIT);
    ck_assert_uint_eq(instructions(), 0);
    leave_folder();
}
END_TEST

/* Looking for input changes nothing. */
START_TEST(polling_leaves_the_guest_alone)
{
    struct error err;
    int fd[2];
    set_up_counter();
    ck_assert(!pipe(fd) && dup2(fd[0], STDIN_FILENO) >= 0);
    int out = open("console", O_WRONLY | O_CREAT | O_TRUNC, 0666);
    ck_assert_int_eq(write(fd[1], "input", 5), 5);
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    ck_assert(dup2(out, STDOUT_FILENO) >= 0);
    int status = run("--kernel kernel --serial stdio", &err);
    ck_assert(dup2(saved, STDOUT_FILENO) >= 0);
    ck_assert_int_eq(status, 11);
    ck_assert_str_eq(read_text("console"), "k");
    ck_assert_uint_eq(instructions(), COUNTER_INSNS);
    leave_folder();
}
END_TEST

START_TEST(a_saved_run_goes_on_as_it_would_have)
{
    static const char *const places[] = {"snap@0", "snap@1", "snap@2M", "snap@3000001",
                                         "snap@6000003"};
    struct error err;
    set_up_counter();
    for (size_t n = 0; n < ARRAY_SIZE(places); n++) {
        char words[128];
        snprintf(words, sizeof(words), "--kernel kernel --save %s", places[n]);
        ck_assert_msg(run(words, &err) == 11, "%s", err.text);
        ck_assert_uint_eq(instructions(), COUNTER_INSNS);
        ck_assert_str_eq(read_text("console"), "k");
        ck_assert_msg(run("--load snap", &err) == 11, "%s", err.text);
        ck_assert_uint_eq(instructions(), COUNTER_INSNS);
        ck_assert_str_eq(read_text("console"), "k");
    }
    leave_folder();
}
END_TEST

START_TEST(saving_and_loading_can_fail)
{
    struct error err;
    set_up_counter();
    ck_assert_int_eq(run("--kernel kernel --save snap@7M", &err), STATUS_USAGE);
    ck_assert_str_eq(err.text, "--save: the run ended at tick 6000006, before 7000000");
    ck_assert_int_eq(access("snap", F_OK), -1);
    ck_assert_int_eq(run("--kernel kernel --save snap@2M --max-insns 1M", &err), STATUS_USAGE);
    ck_assert_str_eq(err.text, "--save: the run ended at tick 1000000, before 2000000");
    ck_assert_int_eq(run("--kernel kernel --save no/folder/snap@5", &err), STATUS_USAGE);
    ck_assert(err.text[0]);
    ck_assert_int_eq(run("--kernel kernel --save snap@2M", &err), 11);
    ck_assert_int_eq(run("--load snap --save again@1M", &err), STATUS_USAGE);
    ck_assert_str_eq(err.text, "--save: the machine loaded is at tick 2000000 already");
    ck_assert_int_eq(run("--load snap --memory 16M", &err), STATUS_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "RAM size"));
    ck_assert_int_eq(run("--load snap --cpu haswell", &err), STATUS_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "saved default, here haswell"));
    ck_assert_int_eq(run("--load kernel", &err), STATUS_USAGE);
    ck_assert(err.text[0]);
    ck_assert_int_eq(run("--load no/file", &err), STATUS_USAGE);
    leave_folder();
}
END_TEST

START_TEST(nothing_runs_on_a_bad_command_line)
{
    static const char *const words[] = {"",
                                        "--kernel no/file",
                                        "--kernel kernel --memory x",
                                        "--kernel kernel --log nonsense",
                                        "--kernel kernel --set cpu.colour=red",
                                        "--kernel kernel --serial file:no/folder/x",
                                        "no/machine.xml --kernel kernel"};
    struct error err;
    set_up_counter();
    for (size_t n = 0; n < ARRAY_SIZE(words); n++) {
        unlink("stats");
        ck_assert_int_eq(run(words[n], &err), STATUS_USAGE);
        ck_assert(err.text[0]);
        ck_assert_int_eq(access("stats", F_OK), -1);
    }
    leave_folder();
}
END_TEST

START_TEST(a_triple_fault_has_its_status)
{
    static const u8 code[] = {0x0f, 0x0b};
    struct error err;
    enter_folder();
    write_kernel(code, sizeof(code));
    ck_assert_int_eq(run("--kernel kernel", &err), STATUS_TRIPLE_FAULT);
    leave_folder();
}
END_TEST

/* Halted with interrupts off: nothing will ever happen, whatever input would be looked for. */
START_TEST(halting_for_ever_ends_the_run)
{
    static const u8 code[] = {0xfa, 0xf4};
    struct error err;
    enter_folder();
    write_kernel(code, sizeof(code));
    int null = open("/dev/null", O_RDONLY);
    ck_assert(null >= 0 && dup2(null, STDIN_FILENO) >= 0);
    ck_assert_int_eq(run("--kernel kernel", &err), STATUS_LIMIT);
    ck_assert_int_eq(run("--kernel kernel --serial stdio", &err), STATUS_LIMIT);
    ck_assert_uint_eq(instructions(), 2);
    leave_folder();
}
END_TEST

/* Resets through port 0x64 again and again. */
START_TEST(a_reset_starts_the_kernel_anew)
{
    static const u8 code[] = {0x66, 0xba, 0xf8, 0x03, 0xb0, 'r', 0xee,
                              0xb0, 0xfe, 0xe6, 0x64, 0xeb, 0xfe};
    struct error err;
    enter_folder();
    write_kernel(code, sizeof(code));
    ck_assert_int_eq(run("--kernel kernel --save snap@1 --max-insns 50", &err), STATUS_LIMIT);
    ck_assert_uint_eq(instructions(), 50);
    ck_assert_int_eq(strncmp(read_text("console"), "rrrrrrrrrr", 10), 0);
    ck_assert_int_eq(run("--load snap --max-insns 50", &err), STATUS_USAGE);
    ck_assert_str_eq(err.text,
                     "the guest reset the machine, and there is no --kernel to start anew");
    leave_folder();
}
END_TEST

START_TEST(the_screen_is_written_at_its_tick)
{
    struct error err;
    set_up_counter();
    ck_assert_int_eq(run("--kernel kernel --screenshot shot@2M --save snap@1M", &err), 11);
    ck_assert_uint_eq(instructions(), COUNTER_INSNS);
    ck_assert(!memcmp(read_text("shot"), "\x89PNG", 4));
    unlink("shot");
    ck_assert_int_eq(run("--load snap --screenshot shot@2M --save snap@3M", &err), 11);
    ck_assert(!memcmp(read_text("shot"), "\x89PNG", 4));
    ck_assert_int_eq(run("--load snap --screenshot shot@2M", &err), STATUS_USAGE);
    ck_assert_str_eq(err.text, "--screenshot: the machine loaded is at tick 3000000 already");
    ck_assert_int_eq(run("--kernel kernel --screenshot shot@7M", &err), STATUS_USAGE);
    ck_assert_str_eq(err.text, "--screenshot: the run ended at tick 6000006, before 7000000");
    ck_assert_int_eq(run("--kernel kernel --screenshot shot@0 --set vga.type=none", &err),
                     STATUS_USAGE);
    ck_assert_str_eq(err.text, "screenshot shot: the machine has no display");
    leave_folder();
}
END_TEST

SUITE_MAIN("session", &a_run_has_its_status_and_counts, &polling_leaves_the_guest_alone,
           &a_saved_run_goes_on_as_it_would_have, &saving_and_loading_can_fail,
           &the_screen_is_written_at_its_tick, &nothing_runs_on_a_bad_command_line,
           &a_triple_fault_has_its_status, &halting_for_ever_ends_the_run,
           &a_reset_starts_the_kernel_anew)
