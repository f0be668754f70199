/* SPDX-License-Identifier: MIT */
/* The program: verbs of the command line. */
#include <stdio.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "devices/device.h"
#include "frontend/options.h"
#include "frontend/session.h"
#include "frontend/show.h"

static int fail(const struct error *err)
{
    fprintf(stderr, "testudo: %s\n", err->text);
    return STATUS_USAGE;
}

static int run(int argc, char **argv, struct options *opt, struct error *err)
{
    if (!options_parse(opt, argc, argv, err))
        return STATUS_USAGE;
    if (!opt->help)
        return session_run(opt, err);
    printf("usage: testudo run [MACHINE.xml] [options]\n\n");
    options_help();
    return STATUS_OK;
}

static int verb_run(int argc, char **argv)
{
    struct error err = {{0}};
    struct options opt;
    int status = run(argc, argv, &opt, &err);
    options_free(&opt);
    return err.text[0] ? fail(&err) : status;
}

static void print_line(void *opaque, const char *text)
{
    (void)opaque;
    puts(text);
}

static int verb_device(int argc, char **argv)
{
    struct error err = {{0}};
    if (argc != 1 || strcmp(argv[0], "list")) {
        error_set(&err, "device: expected: testudo device list");
        return fail(&err);
    }
    device_list(print_line, NULL);
    return STATUS_OK;
}

static int verb_cpu(int argc, char **argv)
{
    struct error err = {{0}};
    return show_cpu(argc, argv, &err) ? STATUS_OK : fail(&err);
}

static int verb_config(int argc, char **argv)
{
    struct error err = {{0}};
    return show_config(argc, argv, &err) ? STATUS_OK : fail(&err);
}

static int verb_help(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("Testudo %s: an x86-64 machine in software\n\n"
           "usage:\n"
           "  testudo run [MACHINE.xml] [options]   run a machine (testudo run --help)\n"
           "  testudo config check FILE             whether a machine can be had\n"
           "  testudo config help                   what a machine's XML may say\n"
           "  testudo cpu list                      the processor models\n"
           "  testudo cpu show NAME                 what one has, and what it lacks yet\n"
           "  testudo device list                   the devices and their properties\n"
           "  testudo --version\n\n"
           "Exit status: 0 the guest powered off; (v << 1) | 1 the guest wrote v to port 0xf4;\n"
           "2 usage or configuration; 4 a limit was reached; 6 triple fault; 70 internal error.\n",
           TESTUDO_VERSION);
    return STATUS_OK;
}

static int verb_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("testudo %s\n", TESTUDO_VERSION);
    return STATUS_OK;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} verbs[] = {
    {"run", verb_run},   {"config", verb_config}, {"cpu", verb_cpu}, {"device", verb_device},
    {"help", verb_help}, {"--help", verb_help},   {"-h", verb_help}, {"--version", verb_version},
};

int main(int argc, char **argv)
{
    struct error err = {{0}};
    if (argc < 2)
        return verb_help(0, NULL), STATUS_USAGE;
    for (size_t k = 0; k < ARRAY_SIZE(verbs); k++)
        if (!strcmp(argv[1], verbs[k].name))
            return verbs[k].run(argc - 2, argv + 2);
    error_set(&err, "%s: no such command (testudo --help)", argv[1]);
    return fail(&err);
}
