// SPDX-License-Identifier: MIT
//
// stamp SECONDS LAST CONSOLE COMMAND...: runs an emulator with a terminal of its own, /dev/tty to it,
// where its guest's serial port goes. Copies what comes there to the file CONSOLE. For each line that
// ends with "testudo.row: NAME begin" or "... end", prints these two words and the CPU time, in
// nanoseconds, that the emulator with all its threads had used when the line came.
//
// Such lines are the kernel's: written at once and in one piece, where what init writes may come
// late, and cut by them. A terminal, because programs write to one line by line; a program of its
// own, because a shell would have to look at files again and again. The emulator is killed after the
// mark LAST ("fork end"; none if empty) or after SECONDS. The exit status is 0 if it was LAST or the
// emulator's own end, otherwise 1.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

struct watch {
    pid_t child;
    clockid_t clock;
    const char *last;
    char line[256];
    size_t length;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int open_terminal(char **name)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
        die("stamp: pseudo-terminal");
    *name = ptsname(master);
    return master;
}

// Bytes pass as they are, and the driver doesn't echo what it would send to the guest.
static int open_raw(const char *name)
{
    struct termios mode;
    int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0 || tcgetattr(slave, &mode) < 0)
        die(name);
    mode.c_iflag = 0;
    mode.c_oflag = 0;
    mode.c_lflag = 0;
    mode.c_cflag = CREAD | CS8;
    if (tcsetattr(slave, TCSANOW, &mode) < 0)
        die(name);
    return slave;
}

static void start(const char *terminal, char **command)
{
    setsid();
    int controlling = open(terminal, O_RDWR);
    int null = open("/dev/null", O_RDWR);
    if (controlling < 0 || null < 0)
        die("stamp: terminal");
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    execvp(command[0], command);
    die(command[0]);
}

static long long cpu_ns(const struct watch *w)
{
    struct timespec t;
    return clock_gettime(w->clock, &t) < 0 ? -1 : t.tv_sec * 1000000000LL + t.tv_nsec;
}

// One line of the guest's. True if it is the last that matters.
static bool take_line(const struct watch *w)
{
    static const char sign[] = "testudo.row: ";
    const char *mark = strstr(w->line, sign);
    if (!mark)
        return false;
    mark += strlen(sign);
    printf("%s %lld\n", mark, cpu_ns(w));
    fflush(stdout);
    return strcmp(mark, w->last) == 0;
}

static bool take(struct watch *w, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != '\n') {
            if (bytes[i] != '\r' && w->length < sizeof w->line - 1)
                w->line[w->length++] = bytes[i];
            continue;
        }
        w->line[w->length] = 0;
        w->length = 0;
        if (take_line(w))
            return true;
    }
    return false;
}

// False if nothing came within a tenth of a second.
static bool copy_some(struct watch *w, int master, FILE *console, bool *last)
{
    char bytes[4096];
    struct pollfd p = {.fd = master, .events = POLLIN};
    if (poll(&p, 1, 100) <= 0)
        return false;
    ssize_t size = read(master, bytes, sizeof bytes);
    if (size <= 0)
        return false;
    fwrite(bytes, 1, (size_t)size, console);
    *last = take(w, bytes, (size_t)size);
    return true;
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: stamp SECONDS LAST CONSOLE COMMAND...\n");
        return 2;
    }
    char *terminal;
    int master = open_terminal(&terminal);
    int slave = open_raw(terminal); // kept open: the emulator may open its own late
    FILE *console = fopen(argv[3], "w");
    if (!console)
        die(argv[3]);
    struct watch w = {.last = argv[2], .child = fork()};
    if (w.child < 0)
        die("stamp: fork");
    if (w.child == 0)
        start(terminal, argv + 4);
    if (clock_getcpuclockid(w.child, &w.clock) != 0)
        die("stamp: CPU clock");
    time_t limit = time(NULL) + atol(argv[1]);
    bool last = false, ended = false;
    while (!last && !ended && time(NULL) < limit)
        if (!copy_some(&w, master, console, &last))
            ended = waitpid(w.child, NULL, WNOHANG) == w.child;
    if (!ended) {
        kill(w.child, SIGKILL);
        waitpid(w.child, NULL, 0);
    }
    close(slave);
    if (fclose(console) != 0)
        die(argv[3]);
    return last || ended ? 0 : 1;
}
