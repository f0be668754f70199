/* SPDX-License-Identifier: MIT */
/* The command line of `testudo run`. */
#ifndef FRONTEND_OPTIONS_H
#define FRONTEND_OPTIONS_H

#include "base/error.h"
#include "base/types.h"

#define OPTIONS_SET_MAX 64

struct options {
    const char *machine; /* XML file; NULL: the built-in PC */
    const char *kernel, *initrd, *append;
    const char *stats;     /* file for JSON statistics, "-" for standard output */
    const char *gdb;       /* where GDB may connect: gdb_open()'s spec; NULL: nowhere */
    const char *monitor;   /* where the monitor may be reached: monitor_listen()'s spec; NULL: no */
    const char *trace;     /* file for the trace, "-" for standard error */
    char *save_path;       /* --save FILE@INSNS */
    char *screenshot_path; /* --screenshot FILE@INSNS */
    const char *load_path;
    const char *record, *replay;
    const char *log;
    u64 save_at, screenshot_at; /* ticks since power-on */
    u64 max_insns;              /* UINT64_MAX: no limit */
    bool pace_given, pace_host; /* --pace; host: idle time passes as on the host */
    bool window;                /* --display sdl */
    bool help;
    char *set[OPTIONS_SET_MAX]; /* PATH=VALUE, --memory and such included, in order */
    unsigned set_count;
    unsigned disks, cdroms; /* how many --disk and --cdrom there are */
    unsigned nets;          /* --net options */
};

/*
 * argv[0] is the first word after "run"; argv must outlive opt. options_free() whether it succeeds or
 * not.
 */
bool options_parse(struct options *opt, int argc, char **argv, struct error *err);
void options_free(struct options *opt);

/* Prints one line an option. */
void options_help(void);

#endif
