/* SPDX-License-Identifier: MIT */
#include "devices/i8042.h"

#include <stdio.h>
#include <string.h>

#include "devices/keys.h"
#include "devices/ps2.h"
#include "tests/devices/harness.h"

#define BYTE_TIME (20 * MICROSECOND) /* more than a byte takes */

static void *kbc;

static void begin(void)
{
    kbc = harness_make(&i8042_class, NULL);
}

static void end(void)
{
    harness_end(&i8042_class, kbc);
}

static void key(u8 usage, bool down)
{
    const u8 record[] = {usage, down};
    i8042_keyboard_input(kbc, record, sizeof(record));
}

static void hand(s16 dx, s16 dy, s8 wheel, u8 buttons)
{
    const struct ps2_motion motion = {dx, dy, wheel, buttons};
    u8 record[I8042_MOTION_BYTES];
    i8042_motion_record(&motion, record);
    i8042_mouse_input(kbc, record, sizeof(record));
}

/* The next byte as a driver that polls gets it: -1, none comes; 0x100: from the mouse. */
static int next(void)
{
    run_for(BYTE_TIME);
    u8 status = in8(0x64);
    if (!(status & 1))
        return -1;
    ck_assert_uint_eq(h.level[1], !(status & 0x20));
    return in8(0x60) | (status & 0x20 ? 0x100 : 0);
}

static void expect(const char *hex)
{
    char got[200] = "";
    int byte;
    while ((byte = next()) >= 0 && strlen(got) < 190)
        snprintf(got + strlen(got), 8, byte & 0x100 ? "%sm%02x" : "%s%02x", *got ? " " : "",
                 byte & 0xffu);
    ck_assert_str_eq(got, hex);
}

static void set_mode(u8 mode)
{
    out8(0x64, 0x60);
    out8(0x60, mode);
}

static void raw_mode(void)
{
    set_mode(0x03); /* both interrupts, no translation */
}

static void mouse_command(u8 byte)
{
    out8(0x64, 0xd4);
    out8(0x60, byte);
}

START_TEST(controller_commands)
{
    begin();
    ck_assert_uint_eq(in8(0x64) & 1, 0);
    out8(0x64, 0xaa);
    ck_assert_uint_eq(in8(0x64), 0x1d);
    ck_assert_uint_eq(in8(0x60), 0x55);
    set_mode(0x01);
    ck_assert_uint_eq(in8(0x64) & 8, 0);
    out8(0x64, 0x20);
    ck_assert(h.level[1]);
    ck_assert_uint_eq(in8(0x60), 0x01);
    ck_assert(!h.level[1]);
    static const u8 asked[][2] = {{0xa9, 0x00}, {0xab, 0x00}, {0xa4, 0xf1},
                                  {0xc0, 0x80}, {0xd0, 0xcf}, {0xe0, 0x00}};
    for (size_t n = 0; n < ARRAY_SIZE(asked); n++) {
        out8(0x64, asked[n][0]);
        ck_assert_uint_eq(in8(0x60), asked[n][1]);
    }
    out8(0x64, 0x65);
    out8(0x60, 0x77);
    out8(0x64, 0x25);
    ck_assert_uint_eq(in8(0x60), 0x77);
    ck_assert_uint_eq(in8(0x60), 0x77); /* the buffer keeps its byte */
    end();
}
END_TEST

START_TEST(ports_can_be_disabled)
{
    begin();
    out8(0x64, 0xad);
    key(0x04, true);
    expect("");
    out8(0x64, 0x20);
    expect("75"); /* and the mouse was off from the start */
    out8(0x64, 0xae);
    expect("1e");
    out8(0x64, 0xad);
    key(0x04, false);
    out8(0x60, 0xee); /* a byte for the keyboard enables it */
    expect("ee 9e");
    out8(0x64, 0xa8);
    out8(0x64, 0x20);
    expect("45");
    out8(0x64, 0xa7);
    mouse_command(0xf2);
    expect("mfa m00");
    end();
}
END_TEST

START_TEST(loops_through_the_buffer)
{
    begin();
    set_mode(0x03);
    out8(0x64, 0xd2);
    out8(0x60, 0x5a);
    ck_assert(h.level[1] && !h.level[12]);
    expect("5a");
    out8(0x64, 0xd3);
    out8(0x60, 0xa5);
    ck_assert(!h.level[1] && h.level[12]);
    out8(0x64, 0xd0);
    expect("ma5 ef");
    ck_assert(!h.level[1] && !h.level[12]);
    end();
}
END_TEST

/* A key's byte that was there already is read first, then the reply. */
START_TEST(reply_after_key)
{
    begin();
    key(0x04, true);
    run_for(BYTE_TIME);
    out8(0x64, 0x20);
    expect("1e 65");
    end();
}
END_TEST

START_TEST(reset_lines)
{
    static const u8 ways[][3] = {{0x64, 0xfe, 0}, {0x92, 0x03, 0}, {0x64, 0xd1, 0x02}};
    begin();
    out8(0x64, 0xff); /* pulses nothing */
    out8(0x92, 0x02);
    out8(0x64, 0xd1);
    out8(0x60, 0x03);
    ck_assert_int_eq(h.group.stop, STOP_NONE);
    for (size_t n = 0; n < ARRAY_SIZE(ways); n++) {
        out8(ways[n][0], ways[n][1]);
        if (ways[n][2])
            out8(0x60, ways[n][2]);
        ck_assert_int_eq(h.group.stop, STOP_RESET);
        h.group.stop = STOP_NONE;
        i8042_class.reset(kbc);
    }
    end();
}
END_TEST

START_TEST(a20_bits)
{
    begin();
    ck_assert_uint_eq(in8(0x92), 2);
    out8(0x92, 0);
    ck_assert_uint_eq(in8(0x92), 0);
    out8(0x64, 0xd1);
    out8(0x60, 0xdd);
    out8(0x64, 0xd0);
    expect("cd");
    out8(0x64, 0xdf);
    out8(0x64, 0xd0);
    expect("cf");
    end();
}
END_TEST

START_TEST(keyboard_commands)
{
    static const struct {
        const char *send, *answer;
    } talks[] = {
        {"\xee", "ee"},
        {"\xf2", "fa ab 83"},
        {"\xed\x07", "fa fa"},
        {"\xf3\x7f", "fa fa"},
        {"\xf3\xed\x02", "fa fa fa"}, /* a command in a parameter's place is one */
        {"\x55", "fe"},
        {"\xef", "fe"},
        {"\xf5", "fa"},
        {"\xf4", "fa"},
        {"\xf0\x04", "fa fe"},
        {"\xf0\x03", "fa fa"},
        {"\xfc\x1c\x1d", "fa fa fa"},
        {"\xfa", "fa"},
        {"\xf6", "fa"},
        {"\xf2\xfe", "fa ab 83 83"},
    };
    begin();
    raw_mode();
    for (size_t n = 0; n < ARRAY_SIZE(talks); n++) {
        char got[64] = "";
        for (const char *p = talks[n].send; *p; p++) {
            int byte;
            out8(0x60, (u8)*p);
            while ((byte = next()) >= 0)
                snprintf(got + strlen(got), 8, "%s%02x", *got ? " " : "", byte & 0xffu);
        }
        ck_assert_str_eq(got, talks[n].answer);
    }
    out8(0x60, 0xf0);
    expect("fa");
    out8(0x60, 0x00);
    expect("fa 02");
    ck_assert_uint_eq(i8042_leds(kbc), 2);
    out8(0x60, 0xff);
    expect("fa");
    run_for(2 * MILLISECOND);
    expect("aa");
    ck_assert_uint_eq(i8042_leds(kbc), 0);
    end();
}
END_TEST

START_TEST(translates_answers)
{
    begin();
    out8(0x60, 0xf2);
    expect("fa ab 41");
    out8(0x60, 0xf0);
    out8(0x60, 0x00); /* before the acknowledgement was read */
    expect("fa 41");
    end();
}
END_TEST

static void choose_set(u8 set)
{
    out8(0x60, 0xf0);
    expect("fa");
    out8(0x60, set);
    expect("fa");
}

/* Keys in the three scan code sets, from the published tables. */
START_TEST(scan_codes)
{
    static const struct {
        u8 usage;
        const char *set1, *set2, *set3;
    } keys[] = {
        {0x04, "1e 9e", "1c f0 1c", "1c"},
        {0x1d, "2c ac", "1a f0 1a", "1a"},
        {0x1e, "02 82", "16 f0 16", "16"},
        {0x27, "0b 8b", "45 f0 45", "45"},
        {0x28, "1c 9c", "5a f0 5a", "5a"},
        {0x29, "01 81", "76 f0 76", "08"},
        {0x2a, "0e 8e", "66 f0 66", "66"},
        {0x2c, "39 b9", "29 f0 29", "29"},
        {0x31, "2b ab", "5d f0 5d", "5c"},
        {0x39, "3a ba", "58 f0 58", "14 f0 14"},
        {0x3a, "3b bb", "05 f0 05", "07"},
        {0x40, "41 c1", "83 f0 83", "37"},
        {0x45, "58 d8", "07 f0 07", "5e"},
        {0x46, "e0 2a e0 37 e0 b7 e0 aa", "e0 12 e0 7c e0 f0 7c e0 f0 12", "57"},
        {0x48, "e1 1d 45 e1 9d c5", "e1 14 77 e1 f0 14 f0 77", "62"},
        {0x4c, "e0 53 e0 d3", "e0 71 e0 f0 71", "64"},
        {0x52, "e0 48 e0 c8", "e0 75 e0 f0 75", "63"},
        {0x53, "45 c5", "77 f0 77", "76"},
        {0x58, "e0 1c e0 9c", "e0 5a e0 f0 5a", "79"},
        {0x64, "56 d6", "61 f0 61", "13"},
        {0x68, "64 e4", "08 f0 08", ""},
        {0x87, "73 f3", "51 f0 51", ""},
        {0xe0, "1d 9d", "14 f0 14", "11 f0 11"},
        {0xe3, "e0 5b e0 db", "e0 1f e0 f0 1f", "8b f0 8b"},
        {0xe6, "e0 38 e0 b8", "e0 11 e0 f0 11", "39"},
        {0x03, "", "", ""}, /* no keys */
        {0xff, "", "", ""},
    };
    begin();
    for (unsigned set = 1; set <= 3; set++) {
        raw_mode();
        choose_set((u8)set);
        for (size_t n = 0; n < ARRAY_SIZE(keys); n++) {
            key(keys[n].usage, true);
            key(keys[n].usage, true); /* no news */
            key(keys[n].usage, false);
            key(keys[n].usage, false);
            expect(set == 1 ? keys[n].set1 : set == 2 ? keys[n].set2 : keys[n].set3);
        }
    }
    set_mode(0x41);
    choose_set(2);
    for (size_t n = 0; n < ARRAY_SIZE(keys); n++) {
        key(keys[n].usage, true);
        key(keys[n].usage, false);
        expect(keys[n].set1);
    }
    end();
}
END_TEST

START_TEST(print_and_pause_with_modifiers)
{
    begin();
    raw_mode();
    key(KEY_ALT, true);
    expect("11");
    key(KEY_PRINT, true);
    key(KEY_PRINT, false);
    expect("84 f0 84");
    key(KEY_ALT, false);
    key(KEY_CTRL_R, true);
    expect("f0 11 e0 14");
    key(KEY_PRINT, true);
    key(KEY_PRINT, false);
    expect("e0 7c e0 f0 7c");
    key(KEY_PAUSE, true);
    key(KEY_PAUSE, false);
    expect("e0 7e e0 f0 7e");
    end();
}
END_TEST

START_TEST(set_3_types)
{
    begin();
    raw_mode();
    choose_set(3);
    out8(0x60, 0xf8);
    expect("fa");
    key(0x04, true);
    key(0x04, false);
    expect("1c f0 1c");
    out8(0x60, 0xfd); /* make only: "a" */
    expect("fa");
    out8(0x60, 0x1c);
    expect("fa");
    out8(0x60, 0xf4);
    expect("fa");
    key(0x04, true);
    key(0x04, false);
    key(0x05, true);
    key(0x05, false);
    expect("1c 32 f0 32");
    end();
}
END_TEST

START_TEST(repeats)
{
    begin();
    raw_mode();
    out8(0x60, 0xf3);
    expect("fa");
    out8(0x60, 0x00); /* 250 ms, 30 a second */
    expect("fa");
    u64 start = h.clock.now;
    key(0x04, true);
    expect("1c");
    run_to(start + 249 * MILLISECOND);
    expect("");
    run_to(start + 251 * MILLISECOND);
    expect("1c");
    run_to(start + 282 * MILLISECOND);
    expect("");
    run_to(start + 285 * MILLISECOND);
    expect("1c");
    key(0x05, true);
    run_for(SECOND);
    expect("32 32"); /* no third is made while the second waits */
    key(0x05, false);
    expect("f0 32");
    run_for(SECOND);
    expect(""); /* and "a" does not begin anew */
    key(KEY_PRINT, true);
    expect("e0 12 e0 7c");
    run_for(260 * MILLISECOND);
    expect("e0 7c");
    end();
}
END_TEST

/* A guest that does not read misses keystrokes, but no release of what it saw pressed. */
START_TEST(overrun_keeps_releases)
{
    begin();
    raw_mode();
    key(KEY_SHIFT, true);
    for (unsigned n = 0; n < 200; n++) {
        key((u8)(0x04 + n % 26), true);
        key((u8)(0x04 + n % 26), false);
    }
    key(KEY_SHIFT, false);
    unsigned down = 0, bytes = 0;
    bool release = false;
    for (int byte; (byte = next()) >= 0; bytes++) {
        if (byte == 0xf0) {
            release = true;
            continue;
        }
        down = release ? down - 1 : down + 1;
        release = false;
    }
    ck_assert_uint_eq(down, 0);
    ck_assert_uint_gt(bytes, 90);
    end();
}
END_TEST

START_TEST(disabled_keyboard_sends_no_keys)
{
    begin();
    raw_mode();
    key(0x04, true);
    out8(0x60, 0xf5);
    expect("fa");
    key(0x04, false);
    key(0x05, true);
    expect("");
    out8(0x60, 0xf4);
    expect("fa");
    key(0x05, false); /* it was never seen pressed */
    expect("");
    end();
}
END_TEST

static void talk(const char *send, const char *answer)
{
    char got[64] = "";
    for (; *send; send++) {
        int byte;
        mouse_command((u8)*send);
        while ((byte = next()) >= 0) {
            ck_assert(byte & 0x100);
            snprintf(got + strlen(got), 8, "%s%02x", *got ? " " : "", (unsigned)byte & 0xff);
        }
    }
    ck_assert_str_eq(got, answer);
}

START_TEST(mouse_commands)
{
    begin();
    raw_mode();
    talk("\xff", "fa");
    run_for(2 * MILLISECOND);
    expect("maa m00");
    talk("\xf2", "fa 00");
    talk("\xe9", "fa 00 02 64");
    talk("\xe8\x03", "fa fa");
    talk("\xe8\x04", "fa fe");
    talk("\xf3\x28", "fa fa");
    talk("\xf3\x29", "fa fe");
    talk("\xe7\xf4", "fa fa");
    hand(0, 0, 0, PS2_BUTTON_LEFT | PS2_BUTTON_RIGHT);
    run_for(200 * MILLISECOND);
    expect("m0b m00 m00");
    talk("\xe9", "fa 35 03 28");
    talk("\xe6\xf5\xf0", "fa fa fa");
    talk("\xe9", "fa 45 03 28");
    talk("\xf6", "fa");
    talk("\xe9", "fa 05 02 64");
    talk("\x12", "fe");
    talk("\xec", "fa"); /* not in wrap mode */
    end();
}
END_TEST

START_TEST(mouse_modes)
{
    begin();
    raw_mode();
    hand(3, 4, 0, 0); /* not enabled: nobody hears */
    talk("\xf0", "fa");
    hand(5, -6, 0, 1);
    talk("\xeb", "fa 09 05 06");
    talk("\xeb", "fa 09 00 00");
    talk("\xee\x55\xf2\xec", "fa 55 f2 fa");
    talk("\xe9", "fa 44 02 64");
    talk("\xee\xff", "fa fa");
    run_for(2 * MILLISECOND);
    expect("maa m00");
    talk("\xea\xf4", "fa fa");
    hand(-1, 1, 0, 0);
    run_for(20 * MILLISECOND);
    expect("m38 mff mff");
    end();
}
END_TEST

START_TEST(mouse_samples)
{
    begin();
    raw_mode();
    talk("\xf4", "fa");
    run_for(20 * MILLISECOND);
    hand(300, 0, 0, 0); /* more than a packet holds */
    expect("m08 mff m00");
    hand(1, 0, 0, 0);
    expect("");
    run_for(10 * MILLISECOND);
    expect("m08 m2e m00");
    run_for(100 * MILLISECOND);
    expect("");
    hand(0, 0, 0, 1); /* a click within one sample */
    hand(0, 0, 0, 0);
    run_for(20 * MILLISECOND);
    expect("m09 m00 m00 m08 m00 m00");
    talk("\xe7", "fa");
    run_for(20 * MILLISECOND);
    hand(4, -20, 0, 0);
    expect("m08 m06 m28");
    hand(0, 0, 1, PS2_BUTTON_4); /* it has neither wheel nor such a button */
    run_for(20 * MILLISECOND);
    expect("");
    end();
}
END_TEST

START_TEST(mouse_wheel_and_buttons)
{
    begin();
    raw_mode();
    talk("\xf3\xc8\xf3\x64\xf3\x50\xf2", "fa fa fa fa fa fa fa 03");
    talk("\xf4", "fa");
    run_for(20 * MILLISECOND);
    hand(0, 0, -1, 0);
    expect("m08 m00 m00 mff");
    talk("\xf3\xc8\xf3\xc8\xf3\x50\xf2", "fa fa fa fa fa fa fa 04");
    run_for(20 * MILLISECOND);
    hand(1, 0, 1, PS2_BUTTON_5);
    expect("m08 m01 m00 m21");
    run_for(20 * MILLISECOND);
    hand(0, 0, -1, PS2_BUTTON_4);
    expect("m08 m00 m00 m1f");
    talk("\xff", "fa");
    run_for(2 * MILLISECOND);
    expect("maa m00");
    talk("\xf2", "fa 00");
    end();
}
END_TEST

/* Both at once: bytes come in turn, those of each device in order; reads without need lose none. */
START_TEST(keyboard_and_mouse_together)
{
    begin();
    raw_mode();
    talk("\xf4", "fa");
    run_for(20 * MILLISECOND);
    hand(1, 2, 0, 0);
    key(0x04, true);
    key(0x04, false);
    in8(0x60);
    expect("1c m28 f0 m01 1c mfe");
    end();
}
END_TEST

START_TEST(hub_records_may_be_cut)
{
    u8 bytes[17];
    begin();
    memset(bytes, 0xff, sizeof(bytes));
    for (size_t size = 0; size < sizeof(bytes); size++) {
        i8042_keyboard_input(kbc, bytes, size);
        i8042_mouse_input(kbc, bytes, size);
    }
    expect("");
    end();
}
END_TEST

START_TEST(saved_and_loaded)
{
    begin();
    raw_mode();
    talk("\xf3\xc8\xf3\x64\xf3\x50\xf4", "fa fa fa fa fa fa fa");
    run_for(20 * MILLISECOND);
    choose_set(3);
    key(0x04, true);
    key(KEY_SHIFT, true);
    hand(400, 0, 2, 3);
    run_for(BYTE_TIME);
    kbc = harness_reload(&i8042_class, kbc, NULL);
    expect("m0b 1c mff 12 m00 m02");
    key(KEY_SHIFT, false);
    run_for(20 * MILLISECOND);
    expect("f0 m0b 12 m91 m00 m00");
    end();
}
END_TEST

/* Anything at any time, saved and loaded in between: no harm. */
START_TEST(noise)
{
    begin();
    u64 seed = 42;
    for (unsigned n = 0; n < 100000; n++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        u8 a = (u8)(seed >> 56), b = (u8)(seed >> 48);
        switch (a % 8) {
        case 0:
            key(b, a >> 7);
            break;
        case 1:
            hand((s16)(seed >> 16), (s16)(seed >> 32), (s8)b, a >> 3);
            break;
        case 2:
            out8(0x64, b);
            break;
        case 3:
            mouse_command(b | 0xe0);
            break;
        case 4:
            out8(0x60, b | (a & 0xe0));
            break;
        case 5:
            run_for(seed >> 40 & 0x1fffff);
            break;
        default:
            in8(0x64);
            in8(0x60);
        }
        if (n % 10000 == 9999)
            kbc = harness_reload(&i8042_class, kbc, NULL);
    }
    end();
}
END_TEST

START_TEST(names_and_characters)
{
    bool shift;
    ck_assert_uint_eq(key_named("ctrl", 4), KEY_CTRL);
    ck_assert_uint_eq(key_named("ctrl_r", 6), KEY_CTRL_R);
    ck_assert_uint_eq(key_named("f1x", 2), 0x3a);
    ck_assert_uint_eq(key_named("nosuch", 6), 0);
    ck_assert_uint_eq(key_of_char('a', &shift), 0x04);
    ck_assert(!shift);
    ck_assert_uint_eq(key_of_char('Z', &shift), 0x1d);
    ck_assert(shift);
    static const struct {
        char c;
        const char *name;
        bool shift;
    } chars[] = {{'1', "1", false},          {'0', "0", false},        {'!', "1", true},
                 {')', "0", true},           {'\n', "ret", false},     {'\r', "ret", false},
                 {'\b', "backspace", false}, {'\t', "tab", false},     {' ', "spc", false},
                 {'_', "minus", true},       {'=', "equal", false},    {'|', "backslash", true},
                 {'"', "apostrophe", true},  {'~', "grave", true},     {'?', "slash", true},
                 {'/', "slash", false},      {';', "semicolon", false}};
    for (size_t n = 0; n < ARRAY_SIZE(chars); n++) {
        u8 usage = key_of_char(chars[n].c, &shift);
        ck_assert_str_eq(key_find(usage)->name, chars[n].name);
        ck_assert_uint_eq(shift, chars[n].shift);
    }
    ck_assert_uint_eq(key_of_char('\x01', &shift), 0);
    ck_assert_uint_eq(key_of_char('\xe4', &shift), 0);
}
END_TEST

SUITE_MAIN("i8042", &controller_commands, &ports_can_be_disabled, &loops_through_the_buffer,
           &reply_after_key, &reset_lines, &a20_bits, &keyboard_commands, &translates_answers,
           &scan_codes, &print_and_pause_with_modifiers, &set_3_types, &repeats,
           &overrun_keeps_releases, &disabled_keyboard_sends_no_keys, &mouse_commands, &mouse_modes,
           &mouse_samples, &mouse_wheel_and_buttons, &keyboard_and_mouse_together,
           &hub_records_may_be_cut, &saved_and_loaded, &noise, &names_and_characters)
