/* SPDX-License-Identifier: MIT */
#include "frontend/options.h"

#include <string.h>

#include "base/log.h"
#include "tests/suite.h"

#define WORDS_MAX 16

static struct options opt;

/* Splits text at spaces and parses the words. */
static bool parse(const char *text, struct error *err)
{
    static char copy[512];
    char *words[WORDS_MAX] = {NULL}, *save = NULL;
    int count = 0;
    *err = (struct error){{0}};
    ck_assert_uint_lt(strlen(text), sizeof(copy));
    strcpy(copy, text);
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
        words[count++] = w;
    options_free(&opt);
    return options_parse(&opt, count, words, err);
}

START_TEST(presets)
{
    struct error err;
    ck_assert(parse("", &err));
    ck_assert_ptr_null(opt.machine);
    ck_assert_ptr_null(opt.kernel);
    ck_assert_ptr_null(opt.save_path);
    ck_assert_uint_eq(opt.max_insns, UINT64_MAX);
    ck_assert_uint_eq(opt.set_count, 0);
    ck_assert(!opt.pace_given && !opt.help);
}
END_TEST

START_TEST(values_in_either_form)
{
    struct error err;
    ck_assert(parse("--kernel a pc.xml --initrd=b=c --append -x --max-insns 3M --stats -", &err));
    ck_assert_str_eq(opt.kernel, "a");
    ck_assert_str_eq(opt.machine, "pc.xml");
    ck_assert_str_eq(opt.initrd, "b=c");
    ck_assert_str_eq(opt.append, "-x");
    ck_assert_uint_eq(opt.max_insns, 3000000);
    ck_assert_str_eq(opt.stats, "-");
}
END_TEST

START_TEST(settings_keep_their_order)
{
    static const char *const expected[] = {"memory.size=1G", "cpu.count=2", "cpu.model=haswell",
                                           "serial.to=none", "cpu.count=3", "rtc.host=true",
                                           "rtc.host=false"};
    struct error err;
    ck_assert(parse("--memory 1G --cpus 2 --cpu haswell --serial none --set cpu.count=3 --rtc host "
                    "--rtc fixed",
                    &err));
    ck_assert_uint_eq(opt.set_count, ARRAY_SIZE(expected));
    for (size_t n = 0; n < ARRAY_SIZE(expected); n++)
        ck_assert_str_eq(opt.set[n], expected[n]);
}
END_TEST

START_TEST(disks)
{
    static const char *const expected[] = {
        "disk[0].path=a.img", "disk[0].overlay=",  "cdrom[0].path=x,y.iso", "disk[1].path=b=c",
        "disk[1].overlay=",   "disk[1].overlay=o", "disk[1].bus=ide",       "disk[1].readonly=on"};
    struct error err;
    ck_assert(parse("--disk a.img --cdrom x,y.iso --disk b=c,overlay=o,bus=ide,readonly=on", &err));
    ck_assert_uint_eq(opt.set_count, ARRAY_SIZE(expected));
    for (size_t n = 0; n < ARRAY_SIZE(expected); n++)
        ck_assert_str_eq(opt.set[n], expected[n]);
}
END_TEST

START_TEST(network_cards)
{
    static const char *const expected[] = {
        "net[0].mode=user", "net[0].mac=52:54:00:00:00:01",
        "net[0].hostfwd=tcp::2222-:22,udp:0.0.0.0:53-10.0.2.16:53", "net[1].mode=none"};
    struct error err;
    ck_assert(parse("--net user,hostfwd=tcp::2222-:22,mac=52:54:00:00:00:01,"
                    "hostfwd=udp:0.0.0.0:53-10.0.2.16:53 --net none",
                    &err));
    ck_assert_uint_eq(opt.set_count, ARRAY_SIZE(expected));
    for (size_t n = 0; n < ARRAY_SIZE(expected); n++)
        ck_assert_str_eq(opt.set[n], expected[n]);
    ck_assert(!parse("--net user,tap0", &err));
    ck_assert_ptr_nonnull(strstr(err.text, "tap0: expected hostfwd=RULE or mac=ADDRESS"));
}
END_TEST

START_TEST(saving)
{
    struct error err;
    ck_assert(parse("--save a@b@0", &err));
    ck_assert_str_eq(opt.save_path, "a@b");
    ck_assert_uint_eq(opt.save_at, 0);
    ck_assert(parse("--screenshot a.png@7K", &err));
    ck_assert_str_eq(opt.screenshot_path, "a.png");
    ck_assert_uint_eq(opt.screenshot_at, 7000);
    ck_assert(parse("--save x@2G --load y", &err));
    ck_assert_str_eq(opt.save_path, "x");
    ck_assert_uint_eq(opt.save_at, 2000000000);
    ck_assert_str_eq(opt.load_path, "y");
}
END_TEST

START_TEST(choices)
{
    struct error err;
    ck_assert(parse("--pace host", &err));
    ck_assert(opt.pace_given && opt.pace_host);
    ck_assert(parse("--pace max --help", &err));
    ck_assert(opt.pace_given && !opt.pace_host && opt.help);
    ck_assert(!log_strict);
    ck_assert(parse("--strict", &err));
    ck_assert(log_strict);
}
END_TEST

START_TEST(mistakes_are_named)
{
    static const struct {
        const char *words, *message;
    } cases[] = {
        {"--kernl x", "--kernl: no such option (testudo run --help lists them)"},
        {"-k x", "-k: no such option (testudo run --help lists them)"},
        {"a.xml b.xml", "b.xml: a second machine file (the first is a.xml)"},
        {"--kernel", "--kernel: needs a value: FILE"},
        {"--help=1", "--help: takes no value"},
        {"--max-insns many", "--max-insns many: expected a number"},
        {"--max-insns -1", "--max-insns -1: expected a number"},
        {"--max-insns 1Z", "--max-insns 1Z: expected a number"},
        {"--max-insns 1KK", "--max-insns 1KK: expected a number"},
        {"--max-insns 18446744073709551616", NULL},
        {"--max-insns 18446744073709551615K", NULL},
        {"--save file", "--save file: expected FILE@INSNS"},
        {"--save @5", "--save @5: expected FILE@INSNS"},
        {"--save f@", NULL},
        {"--screenshot f", "--screenshot f: expected FILE@INSNS"},
        {"--disk a,b", "--disk a,b: \"b\": expected overlay=FILE, bus=ide|virtio or "
                       "readonly=on|off"},
        {"--pace fast", "--pace fast: expected host or max"},
        {"--rtc now", "--rtc now: expected host or fixed"},
    };
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        struct error err;
        ck_assert_msg(!parse(cases[n].words, &err), "%s", cases[n].words);
        ck_assert(err.text[0]);
        if (cases[n].message)
            ck_assert_str_eq(err.text, cases[n].message);
    }
}
END_TEST

START_TEST(too_many_settings)
{
    char *words[2 * OPTIONS_SET_MAX + 2];
    struct error err = {{0}};
    for (int n = 0; n < 2 * OPTIONS_SET_MAX + 2; n += 2) {
        words[n] = "--set";
        words[n + 1] = "a.b=c";
    }
    ck_assert(options_parse(&opt, 2 * OPTIONS_SET_MAX, words, &err));
    options_free(&opt);
    ck_assert(!options_parse(&opt, 2 * OPTIONS_SET_MAX + 2, words, &err));
    ck_assert_str_eq(err.text, "more than 64 settings");
}
END_TEST

SUITE_MAIN("options", &presets, &values_in_either_form, &settings_keep_their_order, &disks,
           &network_cards, &saving, &choices, &mistakes_are_named, &too_many_settings)
