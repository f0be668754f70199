/* SPDX-License-Identifier: MIT */
/*
 * From the IBM PS/2 Hardware Interface Technical Reference, "Keyboards (101- and 102-Key)". Fake
 * shifts around the cursor keys are left out: they mean the same to no one.
 */
#include "devices/ps2_keyboard.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "devices/keys.h"

#define BREAK_PREFIX 0xf0
#define FIRST_COMMAND 0xed /* bytes from here on are never a command's parameter */
#define SEQUENCE_MAX 8     /* bytes of a make or break sequence */
#define SCAN_SETS 3
#define TYPEMATIC_DEFAULT 0x2b /* 500 ms, then 10.9 a second */

/* What set 3 sends for a key. */
#define TYPE_REPEATS BIT32(0)
#define TYPE_BREAKS BIT32(1)

enum {
    CMD_LEDS = 0xed,
    CMD_ECHO = 0xee,
    CMD_SCAN_SET = 0xf0,
    CMD_IDENTIFY = 0xf2,
    CMD_TYPEMATIC = 0xf3,
    CMD_ENABLE = 0xf4,
    CMD_DISABLE = 0xf5,
    CMD_DEFAULTS = 0xf6,
    CMD_ALL_TYPES = 0xf7, /* to 0xfa */
    CMD_ALL_TYPES_LAST = 0xfa,
    CMD_KEY_TYPE = 0xfb, /* to 0xfd */
    CMD_KEY_TYPE_LAST = 0xfd,
    CMD_RESEND = 0xfe,
    CMD_RESET = 0xff
};

struct ps2_keyboard {
    const struct device_env *env;
    struct ps2_ready ready;
    struct clock_event repeat, test;
    struct ps2_queue answers; /* go before keys */
    struct ps2_queue keys;
    u8 command; /* waits for its parameter; 0: none */
    u8 last;    /* sent, for the resend command */
    u8 leds, typematic;
    u8 set;  /* 1 to 3 */
    u8 held; /* the key that repeats; 0: none */
    u8 down_count;
    bool scanning;
    u8 down[32];  /* bits by usage: make code sent (or queued), break code not */
    u8 type[256]; /* by code of set 3 */
};

/* ---- Bits and small things ---- */

static bool is_down(const struct ps2_keyboard *kbd, u8 usage)
{
    return kbd->down[usage / 8] >> usage % 8 & 1;
}

static void set_down(struct ps2_keyboard *kbd, u8 usage, bool down)
{
    kbd->down[usage / 8] ^= (u8)((is_down(kbd, usage) ^ down) << usage % 8);
    kbd->down_count = (u8)(kbd->down_count + (down ? 1 : -1));
}

static void answer(struct ps2_keyboard *kbd, u8 byte)
{
    ps2_queue_put(&kbd->answers, byte);
}

static void announce(const struct ps2_keyboard *kbd)
{
    if (ps2_keyboard_pending(kbd))
        kbd->ready.fn(kbd->ready.opaque);
}

static void after(struct ps2_keyboard *kbd, struct clock_event *event, u64 ns)
{
    struct clock *clock = kbd->env->clock;
    clock_event_set(clock, event, clock->now + clock_from_units(clock, ns, 1000000000));
}

/* ---- Scan codes ---- */

struct sequence {
    u8 byte[SEQUENCE_MAX];
    unsigned count;
};

static void add(struct sequence *seq, u8 byte)
{
    ASSERT(seq->count < SEQUENCE_MAX);
    seq->byte[seq->count++] = byte;
}

static void add_code(struct sequence *seq, u16 code, bool down)
{
    if (code > 0xff)
        add(seq, (u8)(code >> 8));
    if (!down)
        add(seq, BREAK_PREFIX);
    add(seq, (u8)code);
}

static bool either(const struct ps2_keyboard *kbd, u8 left, u8 right)
{
    return is_down(kbd, left) || is_down(kbd, right);
}

/* Print Screen in set 2: which key it seems to be depends on what else is held. */
static void print_codes(const struct ps2_keyboard *kbd, bool down, struct sequence *seq)
{
    if (either(kbd, KEY_ALT, KEY_ALT_R)) {
        add_code(seq, 0x84, down);
        return;
    }
    bool shift = !either(kbd, KEY_CTRL, KEY_CTRL_R) && !either(kbd, KEY_SHIFT, KEY_SHIFT_R);
    if (shift && down)
        add_code(seq, 0xe012, true);
    add_code(seq, 0xe07c, down);
    if (shift && !down)
        add_code(seq, 0xe012, false);
}

/* Pause: everything when it is pressed, nothing when it is released. */
static void pause_codes(const struct ps2_keyboard *kbd, bool down, struct sequence *seq)
{
    static const u8 plain[] = {0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77};
    static const u8 with_ctrl[] = {0xe0, 0x7e, 0xe0, 0xf0, 0x7e};
    bool ctrl = either(kbd, KEY_CTRL, KEY_CTRL_R);
    const u8 *bytes = ctrl ? with_ctrl : plain;
    size_t count = ctrl ? sizeof(with_ctrl) : sizeof(plain);
    for (size_t n = 0; down && n < count; n++)
        add(seq, bytes[n]);
}

static void set3_codes(const struct ps2_keyboard *kbd, const struct key *key, bool down,
                       struct sequence *seq)
{
    if (key->set3 && (down || (kbd->type[key->set3] & TYPE_BREAKS)))
        add_code(seq, key->set3, down);
}

static void set2_codes(const struct ps2_keyboard *kbd, const struct key *key, bool down,
                       struct sequence *seq)
{
    if (key->usage == KEY_PRINT)
        print_codes(kbd, down, seq);
    else if (key->usage == KEY_PAUSE)
        pause_codes(kbd, down, seq);
    else if (key->set2)
        add_code(seq, key->set2, down);
}

static struct sequence to_set1(const struct sequence *set2)
{
    struct sequence seq = {.count = 0};
    bool release = false;
    u8 byte;
    for (unsigned n = 0; n < set2->count; n++)
        if (ps2_translate(&release, set2->byte[n], &byte))
            add(&seq, byte);
    return seq;
}

static struct sequence codes(const struct ps2_keyboard *kbd, const struct key *key, bool down)
{
    struct sequence seq = {.count = 0};
    if (kbd->set == 3) {
        set3_codes(kbd, key, down, &seq);
        return seq;
    }
    set2_codes(kbd, key, down, &seq);
    return kbd->set == 1 ? to_set1(&seq) : seq;
}

static void send(struct ps2_keyboard *kbd, const struct sequence *seq)
{
    for (unsigned n = 0; n < seq->count; n++)
        ps2_queue_put(&kbd->keys, seq->byte[n]);
    if (seq->count)
        announce(kbd);
}

/* ---- Keys ---- */

/* "Typematic rate and delay": bits 6:5 are quarters of a second. */
static u64 delay_ns(const struct ps2_keyboard *kbd)
{
    return UINT64_C(250000000) * ((kbd->typematic >> 5 & 3) + 1u);
}

/* (8 + A) * 2^B / 240 seconds. */
static u64 period_ns(const struct ps2_keyboard *kbd)
{
    u64 a = kbd->typematic & 7, b = kbd->typematic >> 3 & 3;
    return ((8 + a) << b) * 1000000000 / 240;
}

static bool repeats(const struct ps2_keyboard *kbd, const struct key *key)
{
    if (key->usage == KEY_PAUSE)
        return false;
    return kbd->set != 3 || (kbd->type[key->set3] & TYPE_REPEATS);
}

static void stop_repeat(struct ps2_keyboard *kbd)
{
    kbd->held = 0;
    clock_event_cancel(kbd->env->clock, &kbd->repeat);
}

static void repeat_event(void *opaque)
{
    struct ps2_keyboard *kbd = opaque;
    const struct key *key = key_find(kbd->held);
    if (!key)
        return;
    /* A repetition that would only wait is not made. */
    if (!kbd->keys.count) {
        struct sequence seq = codes(kbd, key, true);
        /* The fake shift of Print Screen is not repeated. */
        if (key->usage == KEY_PRINT && seq.count > 2) {
            memmove(seq.byte, seq.byte + seq.count / 2, seq.count / 2);
            seq.count /= 2;
        }
        send(kbd, &seq);
    }
    after(kbd, &kbd->repeat, period_ns(kbd));
}

/*
 * A make code is only sent when the break codes of all keys that are down still find room after it,
 * so that a guest which does not read misses whole keystrokes, never a release.
 */
static void press(struct ps2_keyboard *kbd, const struct key *key)
{
    struct sequence seq = codes(kbd, key, true);
    stop_repeat(kbd);
    if (ps2_queue_room(&kbd->keys) < seq.count + SEQUENCE_MAX * (kbd->down_count + 1u))
        return;
    set_down(kbd, key->usage, true);
    send(kbd, &seq);
    if (!repeats(kbd, key))
        return;
    kbd->held = key->usage;
    after(kbd, &kbd->repeat, delay_ns(kbd));
}

static void release(struct ps2_keyboard *kbd, const struct key *key)
{
    set_down(kbd, key->usage, false);
    if (kbd->held == key->usage)
        stop_repeat(kbd);
    struct sequence seq = codes(kbd, key, false);
    send(kbd, &seq);
}

void ps2_keyboard_key(struct ps2_keyboard *kbd, u8 usage, bool down)
{
    const struct key *key = key_find(usage);
    if (!key || !kbd->scanning || is_down(kbd, usage) == down)
        return;
    if (down)
        press(kbd, key);
    else
        release(kbd, key);
}

/* ---- Commands ---- */

static void forget_keys(struct ps2_keyboard *kbd)
{
    ps2_queue_clear(&kbd->keys);
    memset(kbd->down, 0, sizeof(kbd->down));
    kbd->down_count = 0;
    stop_repeat(kbd);
}

static void default_types(struct ps2_keyboard *kbd)
{
    static const u8 types[] = {
        [KEY_REPEATS] = TYPE_REPEATS, [KEY_BOTH] = TYPE_BREAKS, [KEY_ONCE] = 0};
    memset(kbd->type, 0, sizeof(kbd->type));
    for (unsigned usage = 0; usage < 256; usage++) {
        const struct key *key = key_find(usage);
        if (key && key->set3)
            kbd->type[key->set3] = types[key->kind];
    }
}

static void set_defaults(struct ps2_keyboard *kbd)
{
    forget_keys(kbd);
    kbd->typematic = TYPEMATIC_DEFAULT;
    kbd->set = 2;
    default_types(kbd);
}

/* What the low bits of the key type commands (all keys, one key) say. */
static u8 type_of(u8 command)
{
    switch (command) {
    case 0xf7: /* typematic */
    case 0xfb:
        return TYPE_REPEATS;
    case 0xf8: /* make and break */
    case 0xfc:
        return TYPE_BREAKS;
    case 0xfa: /* all of it */
        return TYPE_REPEATS | TYPE_BREAKS;
    default: /* make */
        return 0;
    }
}

static void choose_set(struct ps2_keyboard *kbd, u8 set)
{
    if (set > SCAN_SETS) {
        answer(kbd, PS2_RESEND);
        return;
    }
    answer(kbd, PS2_ACK);
    if (!set) {
        answer(kbd, kbd->set);
        return;
    }
    forget_keys(kbd);
    kbd->set = set;
    default_types(kbd);
}

static void parameter(struct ps2_keyboard *kbd, u8 byte)
{
    u8 command = kbd->command;
    kbd->command = 0;
    switch (command) {
    case CMD_LEDS:
        kbd->leds = byte & 7;
        answer(kbd, PS2_ACK);
        break;
    case CMD_TYPEMATIC:
        kbd->typematic = byte & 0x7f;
        answer(kbd, PS2_ACK);
        break;
    case CMD_SCAN_SET:
        choose_set(kbd, byte);
        break;
    default: /* key types: any number of codes, up to the next command */
        kbd->type[byte] = type_of(command);
        kbd->command = command;
        answer(kbd, PS2_ACK);
    }
}

static void test_event(void *opaque)
{
    struct ps2_keyboard *kbd = opaque;
    answer(kbd, PS2_PASSED);
    announce(kbd);
}

static void reset_command(struct ps2_keyboard *kbd)
{
    ps2_queue_clear(&kbd->answers);
    answer(kbd, PS2_ACK);
    set_defaults(kbd);
    kbd->leds = 0;
    kbd->scanning = true;
    after(kbd, &kbd->test, PS2_TEST_NS);
}

static void identify(struct ps2_keyboard *kbd)
{
    answer(kbd, PS2_ACK);
    answer(kbd, 0xab);
    answer(kbd, 0x83);
}

static void enable(struct ps2_keyboard *kbd, u8 command)
{
    if (command == CMD_ENABLE)
        forget_keys(kbd);
    else
        set_defaults(kbd);
    if (command != CMD_DEFAULTS)
        kbd->scanning = command == CMD_ENABLE;
    answer(kbd, PS2_ACK);
}

static void command_write(struct ps2_keyboard *kbd, u8 command)
{
    switch (command) {
    case CMD_ECHO:
        answer(kbd, CMD_ECHO);
        break;
    case CMD_IDENTIFY:
        identify(kbd);
        break;
    case CMD_ENABLE:
    case CMD_DISABLE:
    case CMD_DEFAULTS:
        enable(kbd, command);
        break;
    case CMD_RESET:
        reset_command(kbd);
        break;
    case CMD_RESEND:
        answer(kbd, kbd->last);
        break;
    case CMD_LEDS:
    case CMD_SCAN_SET:
    case CMD_TYPEMATIC:
        kbd->command = command;
        answer(kbd, PS2_ACK);
        break;
    default:
        if (command >= CMD_ALL_TYPES && command <= CMD_ALL_TYPES_LAST) {
            memset(kbd->type, type_of(command), sizeof(kbd->type));
            answer(kbd, PS2_ACK);
        } else if (command >= CMD_KEY_TYPE && command <= CMD_KEY_TYPE_LAST) {
            kbd->command = command;
            answer(kbd, PS2_ACK);
        } else {
            answer(kbd, PS2_RESEND);
        }
    }
}

/* Whoever writes gives up what was being answered; a test that runs is cut short. */
void ps2_keyboard_write(struct ps2_keyboard *kbd, u8 byte)
{
    ps2_queue_clear(&kbd->answers);
    clock_event_cancel(kbd->env->clock, &kbd->test);
    if (byte < FIRST_COMMAND && kbd->command) {
        parameter(kbd, byte);
    } else {
        kbd->command = 0;
        command_write(kbd, byte);
    }
    announce(kbd);
}

bool ps2_keyboard_pending(const struct ps2_keyboard *kbd)
{
    return kbd->answers.count || kbd->keys.count;
}

u8 ps2_keyboard_take(struct ps2_keyboard *kbd)
{
    kbd->last = ps2_queue_take(kbd->answers.count ? &kbd->answers : &kbd->keys);
    return kbd->last;
}

u32 ps2_keyboard_leds(const struct ps2_keyboard *kbd)
{
    return kbd->leds;
}

/* ---- Life ---- */

void ps2_keyboard_reset(struct ps2_keyboard *kbd)
{
    clock_event_cancel(kbd->env->clock, &kbd->test);
    ps2_queue_clear(&kbd->answers);
    set_defaults(kbd);
    kbd->leds = kbd->command = 0;
    kbd->last = PS2_PASSED;
    kbd->scanning = true;
}

struct ps2_keyboard *ps2_keyboard_new(const struct device_env *env, struct ps2_ready ready)
{
    struct ps2_keyboard *kbd = xalloc(sizeof(*kbd));
    kbd->env = env;
    kbd->ready = ready;
    clock_event_init(&kbd->repeat, "keyboard repeat", repeat_event, kbd);
    clock_event_init(&kbd->test, "keyboard test", test_event, kbd);
    ps2_keyboard_reset(kbd);
    return kbd;
}

void ps2_keyboard_free(struct ps2_keyboard *kbd)
{
    clock_event_cancel(kbd->env->clock, &kbd->repeat);
    clock_event_cancel(kbd->env->clock, &kbd->test);
    free(kbd);
}

/* Loaded bits say how many keys are down, so that release() can rely on the number. */
static void count_down(struct ps2_keyboard *kbd)
{
    kbd->down_count = 0;
    for (unsigned usage = 0; usage < 256; usage++) {
        if (!is_down(kbd, (u8)usage))
            continue;
        if (key_find(usage))
            kbd->down_count++;
        else
            kbd->down[usage / 8] &= (u8) ~(1u << usage % 8);
    }
}

void ps2_keyboard_snap(struct ps2_keyboard *kbd, struct snap *s)
{
    bool *const flags[] = {&kbd->scanning};
    snap_section(s, "keyboard", 1);
    ps2_queue_snap(&kbd->answers, s);
    ps2_queue_snap(&kbd->keys, s);
    SNAP(s, kbd->command);
    SNAP(s, kbd->last);
    SNAP(s, kbd->leds);
    SNAP(s, kbd->typematic);
    SNAP(s, kbd->set);
    SNAP(s, kbd->held);
    SNAP(s, kbd->down);
    SNAP(s, kbd->type);
    snap_flags(s, flags, 1);
    snap_range(s, "keyboard's scan code set", kbd->set, 1, SCAN_SETS);
    snap_event(s, kbd->env->clock, &kbd->repeat);
    snap_event(s, kbd->env->clock, &kbd->test);
    if (snap_loading(s))
        count_down(kbd);
}
