/* SPDX-License-Identifier: MIT */
#include "frontend/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "tests/suite.h"

#define WAIT_NS UINT64_C(2000000000)

/* Makes a terminal standard input and output of this process; its other end. */
static int use_terminal(struct termios *mode)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    ck_assert_int_ge(master, 0);
    ck_assert(!grantpt(master) && !unlockpt(master));
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    ck_assert_int_ge(slave, 0);
    ck_assert(!tcgetattr(slave, mode));
    ck_assert(dup2(slave, STDIN_FILENO) >= 0 && dup2(slave, STDOUT_FILENO) >= 0);
    close(slave);
    return master;
}

/* Makes a pipe standard input; its writing end. */
static int use_pipe(void)
{
    int fd[2];
    ck_assert(!pipe(fd));
    ck_assert_int_ge(dup2(fd[0], STDIN_FILENO), 0);
    close(fd[0]);
    return fd[1];
}

static void type(int fd, const char *text)
{
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static struct terminal *open_stdio(void)
{
    struct error err = {{0}};
    struct terminal *term = terminal_open("stdio", true, &err);
    ck_assert_msg(term, "%s", err.text);
    return term;
}

/* Looks once, waiting so long: is there anything to be taken? */
static bool look(struct terminal *term, u64 wait_ns, bool *quit)
{
    struct pollfd p = {.fd = terminal_fd(term), .events = POLLIN};
    if (p.fd >= 0 && poll(&p, 1, (int)(wait_ns / 1000000)) > 0 && terminal_read(term))
        *quit = true;
    return terminal_pending(term);
}

/* What the device gets, as a string. */
static const char *taken(struct terminal *term)
{
    static char bytes[8192];
    size_t n = terminal_take(term, (u8 *)bytes, sizeof(bytes) - 1);
    bytes[n] = 0;
    return bytes;
}

static bool is_raw(void)
{
    struct termios mode;
    ck_assert(!tcgetattr(STDIN_FILENO, &mode));
    return !(mode.c_lflag & (ICANON | ECHO | ISIG));
}

START_TEST(a_terminal_is_raw_while_it_is_open)
{
    struct termios mode;
    int master = use_terminal(&mode);
    struct terminal *term = open_stdio();
    bool quit = false;
    ck_assert(is_raw() && terminal_live(term));
    ck_assert(!look(term, 0, &quit));
    type(master, "a\003b\r");
    ck_assert(look(term, WAIT_NS, &quit) && !quit);
    ck_assert_str_eq(taken(term), "a\003b\r");
    ck_assert(!look(term, 0, &quit));
    terminal_close(term);
    ck_assert(!is_raw());
    term = open_stdio();
    ck_assert(is_raw());
    terminal_close(term);
    close(master);
}
END_TEST

START_TEST(ctrl_a_is_an_escape)
{
    struct termios mode;
    int master = use_terminal(&mode);
    struct terminal *term = open_stdio();
    bool quit = false;
    type(master, "1\001\0012\001z3\001");
    ck_assert(look(term, WAIT_NS, &quit) && !quit);
    ck_assert_str_eq(taken(term), "1\0012"
                                  "3");
    type(master, "x");
    ck_assert(!look(term, WAIT_NS, &quit) && quit);
    terminal_close(term);
    close(master);
}
END_TEST

/* The guest takes nothing, and more is typed than there is room for. */
START_TEST(quitting_works_when_nobody_listens)
{
    struct termios mode;
    int master = use_terminal(&mode);
    struct terminal *term = open_stdio();
    bool quit = false;
    char text[201];
    memset(text, 'x', 200);
    text[200] = 0;
    for (unsigned n = 0; n < 40; n++) {
        type(master, text);
        ck_assert(look(term, WAIT_NS, &quit) && !quit);
    }
    type(master, "\001X");
    for (unsigned n = 0; n < 100 && !quit; n++)
        ck_assert(look(term, WAIT_NS, &quit));
    ck_assert(quit);
    ck_assert_uint_eq(strlen(taken(term)), 4096);
    terminal_close(term);
    close(master);
}
END_TEST

START_TEST(hanging_up_ends_input)
{
    struct termios mode;
    int master = use_terminal(&mode);
    struct terminal *term = open_stdio();
    bool quit = false;
    close(master);
    ck_assert(!look(term, WAIT_NS, &quit) && !quit);
    ck_assert(!terminal_live(term));
    terminal_close(term);
}
END_TEST

/* Whatever ends the program, the terminal is as it was. */
START_TEST(the_terminal_survives_the_program)
{
    static const int ends[] = {0, SIGTERM, SIGABRT, SIGHUP};
    struct termios mode;
    int master = use_terminal(&mode);
    for (size_t n = 0; n < ARRAY_SIZE(ends); n++) {
        pid_t pid = fork();
        if (!pid) {
            signal(SIGTERM, SIG_DFL);              /* Check has taken it */
            static struct terminal *volatile term; /* not closed, and no leak */
            term = open_stdio();
            if (ends[n] && term)
                raise(ends[n]);
            exit(0);
        }
        int status;
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert(ends[n] ? WIFSIGNALED(status) && WTERMSIG(status) == ends[n] : WIFEXITED(status));
        ck_assert(!is_raw());
    }
    close(master);
}
END_TEST

START_TEST(a_pipe_is_taken_as_it_is)
{
    int fd = use_pipe();
    struct terminal *term = open_stdio();
    bool quit = false;
    type(fd, "ls\001x\n");
    ck_assert(look(term, WAIT_NS, &quit) && !quit);
    type(fd, "later");
    ck_assert(look(term, 0, &quit));
    ck_assert_str_eq(taken(term), "ls\001x\n");
    close(fd);
    ck_assert(look(term, WAIT_NS, &quit));
    ck_assert_str_eq(taken(term), "later");
    ck_assert(terminal_live(term));
    ck_assert(!look(term, WAIT_NS, &quit));
    ck_assert(!terminal_live(term) && !quit);
    ck_assert(!look(term, WAIT_NS, &quit));
    terminal_close(term);
}
END_TEST

/* All of a long input arrives, whatever portions the device takes. */
START_TEST(a_pipe_loses_nothing)
{
    enum { TOTAL = 3000 };
    int fd = use_pipe();
    struct terminal *term = open_stdio();
    char text[TOTAL + 1] = {0}, got[TOTAL + 64];
    size_t count = 0, portion = 1;
    bool quit = false;
    for (size_t n = 0; n < TOTAL; n++)
        text[n] = (char)('a' + n % 26);
    type(fd, text);
    close(fd);
    while (look(term, 0, &quit)) {
        count += terminal_take(term, (u8 *)got + count, portion);
        portion = portion % 17 + 1;
        ck_assert_uint_le(count, TOTAL);
    }
    ck_assert_uint_eq(count, TOTAL);
    ck_assert_int_eq(memcmp(got, text, TOTAL), 0);
    terminal_close(term);
}
END_TEST

START_TEST(files_and_nothing)
{
    struct error err = {{0}};
    char path[64], spec[80], text[8] = "";
    bool quit = false;
    snprintf(path, sizeof(path), "test_terminal.%ld.txt", (long)getpid());
    snprintf(spec, sizeof(spec), "file:%s", path);
    struct terminal *file = terminal_open(spec, true, &err),
                    *none = terminal_open("none", true, &err);
    ck_assert(file && none && !terminal_live(file) && !terminal_live(none));
    struct char_backend end = terminal_backend(file);
    end.put(end.opaque, (const u8 *)"hello", 5);
    end = terminal_backend(none);
    end.put(end.opaque, (const u8 *)"hello", 5);
    ck_assert(!look(file, WAIT_NS, &quit) && !look(none, WAIT_NS, &quit));
    terminal_close(file);
    terminal_close(none);
    FILE *f = fopen(path, "r");
    ck_assert(f && fread(text, 1, 7, f) == 5);
    fclose(f);
    unlink(path);
    ck_assert_str_eq(text, "hello");
    ck_assert_ptr_null(terminal_open("file:no/such/folder/x", true, &err));
    ck_assert_str_eq(err.text, "no/such/folder/x: No such file or directory");
    err.text[0] = 0;
    ck_assert_ptr_null(terminal_open("tcp:1", true, &err));
    ck_assert_str_eq(err.text, "tcp:1: expected stdio, file:PATH or none");
}
END_TEST

SUITE_MAIN("terminal", &a_terminal_is_raw_while_it_is_open, &ctrl_a_is_an_escape,
           &quitting_works_when_nobody_listens, &hanging_up_ends_input,
           &the_terminal_survives_the_program, &a_pipe_is_taken_as_it_is, &a_pipe_loses_nothing,
           &files_and_nothing)
