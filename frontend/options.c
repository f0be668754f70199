/* SPDX-License-Identifier: MIT */
#include "frontend/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"

/* How an option's value is taken. */
enum kind {
    KIND_STRING,  /* pointer at offset */
    KIND_NUMBER,  /* u64 at offset; K, M, G are powers of 1000 */
    KIND_SET,     /* becomes the --set assignment "path=VALUE" */
    KIND_SETTING, /* the value is an assignment itself */
    KIND_DISK,    /* FILE,KEY=VALUE,...: --set assignments of the next <disk> */
    KIND_CDROM,
    KIND_SAVE,
    KIND_SCREENSHOT,
    KIND_NET,
    KIND_PACE,
    KIND_RTC,
    KIND_DISPLAY,
    KIND_STRICT,
    KIND_HELP
};

struct option_row {
    const char *name, *value; /* value: how help shows it; NULL: takes none */
    enum kind kind;
    size_t offset;
    const char *path;
    const char *help;
};

#define AT(member) offsetof(struct options, member)
/* clang-format off */
static const struct option_row rows[] = {
    {"--kernel", "FILE", KIND_STRING, AT(kernel), NULL, "Linux bzImage, ELF with a PVH entry, or Multiboot 1 or 2 image (gzip allowed)"},
    {"--initrd", "FILE", KIND_STRING, AT(initrd), NULL, "initial RAM disk; Multiboot: modules \"FILE ARGS,FILE ARGS\""},
    {"--append", "TEXT", KIND_STRING, AT(append), NULL, "the kernel's command line"},
    {"--bios", "FILE", KIND_SET, 0, "firmware.file", "firmware: an image of its chip, as SeaBIOS's bios-256k.bin"},
    {"--disk", "FILE[,...]", KIND_DISK, 0, NULL, "a disk: raw image, and overlay=FILE, bus=ide|virtio, readonly=on (may be repeated)"},
    {"--cdrom", "FILE", KIND_CDROM, 0, NULL, "a CD-ROM drive with this disc (may be repeated)"},
    {"--memory", "SIZE", KIND_SET, 0, "memory.size", "RAM, with K, M or G"},
    {"--cpus", "N", KIND_SET, 0, "cpu.count", "processors"},
    {"--cpu", "NAME", KIND_SET, 0, "cpu.model", "processor model (testudo cpu list)"},
    {"--serial", "WHERE", KIND_SET, 0, "serial.to", "first serial port: stdio (default), file:PATH or none"},
    {"--console", "WHERE", KIND_SET, 0, "console.to", "virtio console (hvc0): stdio, file:PATH or none"},
    {"--net", "user|none", KIND_NET, 0, NULL, "a network card: user[,hostfwd=tcp:[ADDR]:PORT-[GUEST-ADDR]:PORT]...[,mac=ADDR]"},
    {"--display", "none|sdl", KIND_DISPLAY, 0, NULL, "show the screen in a window, with keyboard and mouse"},
    {"--max-insns", "N", KIND_NUMBER, AT(max_insns), NULL, "stop at tick N: instructions since power-on, idle time included (status 4)"},
    {"--stats", "FILE", KIND_STRING, AT(stats), NULL, "write statistics as JSON at the end (- for standard output)"},
    {"--trace", "FILE", KIND_STRING, AT(trace), NULL, "write VM entries and exits to FILE, a line each (- for standard error)"},
    {"--monitor", "WHERE", KIND_STRING, AT(monitor), NULL, "commands on tcp:[HOST:]PORT or unix:PATH; WHERE,wait: stand until told to continue"},
    {"--gdb", "PORT", KIND_STRING, AT(gdb), NULL, "wait for GDB on [HOST:]PORT; PORT,nowait: don't wait"},
    {"--save", "FILE@INSNS", KIND_SAVE, 0, NULL, "save the machine at tick INSNS, and go on"},
    {"--screenshot", "FILE@INSNS", KIND_SCREENSHOT, 0, NULL, "write the screen at tick INSNS as PNG, and go on"},
    {"--load", "FILE", KIND_STRING, AT(load_path), NULL, "go on from a saved machine"},
    {"--record", "FILE", KIND_STRING, AT(record), NULL, "keep all outside input, with its ticks"},
    {"--replay", "FILE", KIND_STRING, AT(replay), NULL, "repeat the input kept in FILE instead of taking any"},
    {"--set", "PATH=VALUE", KIND_SETTING, 0, NULL, "override one property of the configuration"},
    {"--pace", "host|max", KIND_PACE, 0, NULL, "let idle time pass as on the host, or skip it (default: host if input is live)"},
    {"--rtc", "host|fixed", KIND_RTC, 0, NULL, "start the real-time clock at the host's date, or at the fixed one (default)"},
    {"--log", "NAME,...", KIND_STRING, AT(log), NULL, "log channels on standard error"},
    {"--strict", NULL, KIND_STRICT, 0, NULL, "end the run when the guest uses what is not modelled"},
    {"--help", NULL, KIND_HELP, 0, NULL, "this list"},
};
/* clang-format on */

void options_help(void)
{
    for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
        char left[48];
        snprintf(left, sizeof(left), "%s %s", rows[k].name, rows[k].value ? rows[k].value : "");
        printf("  %-22s %s\n", left, rows[k].help);
    }
}

static bool parse_number(const char *text, const char *what, u64 *to, struct error *err)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 0);
    u64 scale = *end == 'K' ? 1000 : *end == 'M' ? 1000000 : *end == 'G' ? 1000000000 : 1;
    if (scale != 1)
        end++;
    if (end == text || *end || errno || *text == '-' || v > UINT64_MAX / scale)
        return error_set(err, "%s %s: expected a number", what, text);
    *to = v * scale;
    return true;
}

/* "path=value", or the value alone if path is NULL. */
static bool add_setting(struct options *opt, const char *path, const char *value, struct error *err)
{
    if (opt->set_count == OPTIONS_SET_MAX)
        return error_set(err, "more than %d settings", OPTIONS_SET_MAX);
    opt->set[opt->set_count++] = path ? xasprintf("%s=%s", path, value) : xstrdup(value);
    return true;
}

static bool add_named(struct options *opt, const char *element, unsigned n, const char *assignment,
                      struct error *err)
{
    char *path = xasprintf("%s[%u].%s", element, n, assignment);
    bool ok = add_setting(opt, NULL, path, err);
    free(path);
    return ok;
}

static bool add_cdrom(struct options *opt, const char *value, struct error *err)
{
    char *path = xasprintf("path=%s", value);
    bool ok = add_named(opt, "cdrom", opt->cdroms++, path, err);
    free(path);
    return ok;
}

/* The words after the file are assignments themselves. An overlay of a machine file is not for it. */
static bool add_disk(struct options *opt, const char *value, struct error *err)
{
    char *words = xasprintf("path=%s", value), *rest = words;
    unsigned n = opt->disks++;
    bool ok = true, first = true;
    for (char *word; ok && (word = strsep(&rest, ",")); first = false) {
        if (!first && strncmp(word, "overlay=", 8) && strncmp(word, "bus=", 4) &&
            strncmp(word, "readonly=", 9))
            ok = error_set(err,
                           "--disk %s: \"%s\": expected overlay=FILE, bus=ide|virtio or "
                           "readonly=on|off",
                           value, word);
        ok = ok && add_named(opt, "disk", n, word, err);
        if (first)
            ok = ok && add_named(opt, "disk", n, "overlay=", err);
    }
    free(words);
    return ok;
}

/* FILE@INSNS */
static bool parse_at(const char *name, const char *value, char **path, u64 *tick, struct error *err)
{
    const char *at = strrchr(value, '@');
    if (!at || at == value)
        return error_set(err, "%s %s: expected FILE@INSNS", name, value);
    char *what = xasprintf("%s FILE@INSNS:", name);
    free(*path);
    *path = xasprintf("%.*s", (int)(at - value), value);
    bool ok = parse_number(at + 1, what, tick, err);
    free(what);
    return ok;
}

static bool parse_choice(const char *name, const char *value, const char *yes, const char *no,
                         bool *to, struct error *err)
{
    *to = !strcmp(value, yes);
    if (*to || !strcmp(value, no))
        return true;
    return error_set(err, "%s %s: expected %s or %s", name, value, yes, no);
}

static bool parse_rtc(struct options *opt, const char *value, struct error *err)
{
    bool host;
    if (!parse_choice("--rtc", value, "host", "fixed", &host, err))
        return false;
    return add_setting(opt, "rtc.host", host ? "true" : "false", err);
}

/* The attribute `name` of the network card that this option is about. */
static bool set_net(struct options *opt, const char *name, const char *value, struct error *err)
{
    char path[32];
    snprintf(path, sizeof(path), "net[%u].%s", opt->nets, name);
    return add_setting(opt, path, value, err);
}

/* Words "hostfwd=RULE" are gathered in `rules`, of the same size as text. */
static bool parse_net_words(struct options *opt, char *text, char *rules, struct error *err)
{
    for (char *at, *word = strtok_r(text, ",", &at); word; word = strtok_r(NULL, ",", &at)) {
        if (!strncmp(word, "hostfwd=", 8)) {
            strcat(rules, *rules ? "," : "");
            strcat(rules, word + 8);
        } else if (strncmp(word, "mac=", 4) != 0) {
            return error_set(err, "--net: %s: expected hostfwd=RULE or mac=ADDRESS", word);
        } else if (!set_net(opt, "mac", word + 4, err)) {
            return false;
        }
    }
    return !*rules || set_net(opt, "hostfwd", rules, err);
}

/* "MODE,hostfwd=RULE,...,mac=ADDRESS" */
static bool parse_net(struct options *opt, const char *value, struct error *err)
{
    char *mode = xasprintf("%.*s", (int)strcspn(value, ","), value);
    char *words = xstrdup(value + strlen(mode));
    char *rules = xalloc(strlen(value) + 1);
    bool ok = set_net(opt, "mode", mode, err) && parse_net_words(opt, words, rules, err);
    opt->nets++;
    free(mode);
    free(words);
    free(rules);
    return ok;
}

static bool take(struct options *opt, const struct option_row *row, const char *value,
                 struct error *err)
{
    switch (row->kind) {
    case KIND_STRING:
        memcpy((char *)opt + row->offset, &value, sizeof(value));
        return true;
    case KIND_NUMBER:
        return parse_number(value, row->name, (u64 *)(void *)((char *)opt + row->offset), err);
    case KIND_SET:
        return add_setting(opt, row->path, value, err);
    case KIND_SETTING:
        return add_setting(opt, NULL, value, err);
    case KIND_DISK:
        return add_disk(opt, value, err);
    case KIND_CDROM:
        return add_cdrom(opt, value, err);
    case KIND_SAVE:
        return parse_at(row->name, value, &opt->save_path, &opt->save_at, err);
    case KIND_SCREENSHOT:
        return parse_at(row->name, value, &opt->screenshot_path, &opt->screenshot_at, err);
    case KIND_NET:
        return parse_net(opt, value, err);
    case KIND_PACE:
        opt->pace_given = true;
        return parse_choice("--pace", value, "host", "max", &opt->pace_host, err);
    case KIND_RTC:
        return parse_rtc(opt, value, err);
    case KIND_DISPLAY:
        return parse_choice("--display", value, "sdl", "none", &opt->window, err);
    case KIND_STRICT:
        log_strict = true;
        return true;
    case KIND_HELP:
        opt->help = true;
        return true;
    }
    return false;
}

static const struct option_row *find_row(const char *name, size_t len)
{
    for (size_t k = 0; k < ARRAY_SIZE(rows); k++)
        if (strlen(rows[k].name) == len && !memcmp(rows[k].name, name, len))
            return &rows[k];
    return NULL;
}

bool options_parse(struct options *opt, int argc, char **argv, struct error *err)
{
    *opt = (struct options){.max_insns = UINT64_MAX};
    for (int k = 0; k < argc; k++) {
        const char *word = argv[k];
        if (word[0] != '-') {
            if (opt->machine)
                return error_set(err, "%s: a second machine file (the first is %s)", word,
                                 opt->machine);
            opt->machine = word;
            continue;
        }
        size_t len = strcspn(word, "=");
        const struct option_row *row = find_row(word, len);
        if (!row)
            return error_set(err, "%s: no such option (testudo run --help lists them)", word);
        const char *value = word[len] ? word + len + 1 : NULL;
        if (row->value && !value && ++k < argc)
            value = argv[k];
        if (row->value && !value)
            return error_set(err, "%s: needs a value: %s", row->name, row->value);
        if (!row->value && value)
            return error_set(err, "%s: takes no value", row->name);
        if (!take(opt, row, value, err))
            return false;
    }
    return true;
}

void options_free(struct options *opt)
{
    free(opt->save_path);
    free(opt->screenshot_path);
    for (unsigned k = 0; k < opt->set_count; k++)
        free(opt->set[k]);
    *opt = (struct options){0};
}
