/* SPDX-License-Identifier: MIT */
/*
 * From the IBM PS/2 Hardware Interface Technical Reference, "Auxiliary Device Functions", and
 * Microsoft's descriptions of the IntelliMouse (wheel) and of the IntelliMouse Explorer (buttons 4
 * and 5). Motion arrives in counts, so the resolution is only remembered.
 */
#include "devices/ps2_mouse.h"

#include <stdlib.h>

#include "base/alloc.h"

#define PACKET_MAX 4
#define DELTA_MAX 255 /* of a packet; what is more goes into the next */
#define WHEEL_MAX 7
#define MOTION_MAX 0x10000 /* counts kept for later */
#define NS_PER_S UINT64_C(1000000000)

#define PACKET_ALWAYS BIT32(3)
#define PACKET_X_NEGATIVE BIT32(4)
#define PACKET_Y_NEGATIVE BIT32(5)

#define BUTTONS_3 0x07u
#define BUTTONS_5 0x1fu

enum { STANDARD = 0, WHEEL = 3, EXPLORER = 4 }; /* what it says when asked for its identity */
enum { MODE_STREAM, MODE_REMOTE, MODE_WRAP_STREAM, MODE_WRAP_REMOTE, MODES };

enum {
    CMD_SCALE_1 = 0xe6,
    CMD_SCALE_2 = 0xe7,
    CMD_RESOLUTION = 0xe8,
    CMD_STATUS = 0xe9,
    CMD_STREAM = 0xea,
    CMD_READ = 0xeb,
    CMD_UNWRAP = 0xec,
    CMD_WRAP = 0xee,
    CMD_REMOTE = 0xf0,
    CMD_IDENTIFY = 0xf2,
    CMD_RATE = 0xf3,
    CMD_ENABLE = 0xf4,
    CMD_DISABLE = 0xf5,
    CMD_DEFAULTS = 0xf6,
    CMD_RESEND = 0xfe,
    CMD_RESET = 0xff
};

struct ps2_mouse {
    const struct device_env *env;
    struct ps2_ready ready;
    struct clock_event sample, test;
    struct ps2_queue answers, packets;
    u64 sampled;       /* tick of the latest sample */
    s32 dx, dy, wheel; /* since then; y grows upwards, as in packets */
    u8 buttons, told;  /* held, and told of last */
    u8 command;        /* waits for its parameter; 0: none */
    u8 last;           /* answer sent, for the resend command */
    u8 identity, mode, rate, resolution;
    u8 rates[2]; /* set before: three in a row tell what the driver can handle */
    bool reporting, doubled;
};

static void answer(struct ps2_mouse *mouse, u8 byte)
{
    ps2_queue_put(&mouse->answers, byte);
}

static void announce(const struct ps2_mouse *mouse)
{
    if (ps2_mouse_pending(mouse))
        mouse->ready.fn(mouse->ready.opaque);
}

/* ---- Packets ---- */

static u8 button_mask(const struct ps2_mouse *mouse)
{
    return mouse->identity == EXPLORER ? BUTTONS_5 : BUTTONS_3;
}

static bool news(const struct ps2_mouse *mouse)
{
    return mouse->dx || mouse->dy || (mouse->wheel && mouse->identity != STANDARD) ||
           ((mouse->buttons ^ mouse->told) & button_mask(mouse));
}

/* Takes from *sum what a packet can carry. */
static s32 part_of(s32 *sum, s32 max)
{
    s32 part = MAX(MIN(*sum, max), -max);
    *sum -= part;
    return part;
}

/* "Scaling 2:1": 0, 1, 1, 3, 6, 9, then twice the count. */
static s32 scaled(s32 delta)
{
    static const s32 small[] = {0, 1, 1, 3, 6, 9};
    s32 size = delta < 0 ? -delta : delta;
    size = size < (s32)ARRAY_SIZE(small) ? small[size] : MIN(2 * size, DELTA_MAX);
    return delta < 0 ? -size : size;
}

static u8 fourth_byte(struct ps2_mouse *mouse)
{
    s32 wheel = part_of(&mouse->wheel, WHEEL_MAX);
    if (mouse->identity == WHEEL)
        return (u8)wheel;
    return (u8)((wheel & 0x0f) | (mouse->told & (PS2_BUTTON_4 | PS2_BUTTON_5)) << 1);
}

/* What happened since the last packet; samples taken by themselves are scaled on demand. */
static void packet(struct ps2_mouse *mouse, struct ps2_queue *to, bool may_scale)
{
    s32 dx = part_of(&mouse->dx, DELTA_MAX), dy = part_of(&mouse->dy, DELTA_MAX);
    if (may_scale && mouse->doubled) {
        dx = scaled(dx);
        dy = scaled(dy);
    }
    mouse->told = mouse->buttons;
    ps2_queue_put(to, (u8)(PACKET_ALWAYS | (mouse->told & BUTTONS_3) |
                           (dx < 0 ? PACKET_X_NEGATIVE : 0) | (dy < 0 ? PACKET_Y_NEGATIVE : 0)));
    ps2_queue_put(to, (u8)dx);
    ps2_queue_put(to, (u8)dy);
    if (mouse->identity != STANDARD)
        ps2_queue_put(to, fourth_byte(mouse));
    else
        mouse->wheel = 0;
}

static bool streaming(const struct ps2_mouse *mouse)
{
    return mouse->mode == MODE_STREAM && mouse->reporting;
}

/* The next sample is due one period after the last, if there is anything to tell by then. */
static void schedule(struct ps2_mouse *mouse)
{
    struct clock *clock = mouse->env->clock;
    if (!streaming(mouse) || !news(mouse)) {
        clock_event_cancel(clock, &mouse->sample);
        return;
    }
    if (clock_event_queued(&mouse->sample))
        return;
    u64 next = mouse->sampled + clock_from_units(clock, NS_PER_S / mouse->rate, NS_PER_S);
    clock_event_set(clock, &mouse->sample, MAX(next, clock->now));
}

/* Without room the hand's doings add up until there is. */
static void take_sample(struct ps2_mouse *mouse)
{
    mouse->sampled = mouse->env->clock->now;
    if (ps2_queue_room(&mouse->packets) >= PACKET_MAX)
        packet(mouse, &mouse->packets, true);
    announce(mouse);
}

static void sample_event(void *opaque)
{
    struct ps2_mouse *mouse = opaque;
    take_sample(mouse);
    schedule(mouse);
}

static s32 added(s32 sum, s32 delta)
{
    return MAX(MIN(sum + delta, MOTION_MAX), -MOTION_MAX);
}

void ps2_mouse_move(struct ps2_mouse *mouse, const struct ps2_motion *motion)
{
    u8 buttons = motion->buttons & BUTTONS_5;
    /* A button that changes again before the driver was told of it: a click must not get lost. */
    if (streaming(mouse) &&
        ((mouse->buttons ^ mouse->told) & (mouse->buttons ^ buttons) & button_mask(mouse)))
        take_sample(mouse);
    mouse->dx = added(mouse->dx, motion->dx);
    mouse->dy = added(mouse->dy, -(s32)motion->dy);
    mouse->wheel = added(mouse->wheel, motion->wheel);
    mouse->buttons = buttons;
    if (mouse->mode == MODE_STREAM && !mouse->reporting)
        mouse->dx = mouse->dy = mouse->wheel = 0;
    schedule(mouse);
}

/* ---- Commands ---- */

static void forget_motion(struct ps2_mouse *mouse)
{
    ps2_queue_clear(&mouse->packets);
    mouse->dx = mouse->dy = mouse->wheel = 0;
    mouse->told = mouse->buttons;
}

static void set_defaults(struct ps2_mouse *mouse)
{
    forget_motion(mouse);
    mouse->mode = MODE_STREAM;
    mouse->rate = 100;
    mouse->resolution = 2;
    mouse->reporting = mouse->doubled = false;
}

/* Drivers that know a wheel or five buttons say so by setting three rates in a row. */
static void set_rate(struct ps2_mouse *mouse, u8 rate)
{
    if (mouse->rates[0] == 200 && rate == 80) {
        if (mouse->rates[1] == 100)
            mouse->identity = WHEEL;
        else if (mouse->rates[1] == 200)
            mouse->identity = EXPLORER;
    }
    mouse->rates[0] = mouse->rates[1];
    mouse->rates[1] = rate;
    mouse->rate = rate;
}

static bool rate_exists(u8 rate)
{
    static const u8 rates[] = {10, 20, 40, 60, 80, 100, 200};
    for (size_t n = 0; n < ARRAY_SIZE(rates); n++)
        if (rates[n] == rate)
            return true;
    return false;
}

static void parameter(struct ps2_mouse *mouse, u8 byte)
{
    bool rate = mouse->command == CMD_RATE;
    mouse->command = 0;
    if (rate ? !rate_exists(byte) : byte > 3) {
        answer(mouse, PS2_RESEND);
        return;
    }
    answer(mouse, PS2_ACK);
    if (rate)
        set_rate(mouse, byte);
    else
        mouse->resolution = byte;
}

static void status(struct ps2_mouse *mouse)
{
    u8 buttons = mouse->buttons;
    answer(mouse,
           (u8)((mouse->mode == MODE_REMOTE ? 0x40 : 0) | (mouse->reporting ? 0x20 : 0) |
                (mouse->doubled ? 0x10 : 0) | (buttons & PS2_BUTTON_LEFT ? 4 : 0) |
                (buttons & PS2_BUTTON_MIDDLE ? 2 : 0) | (buttons & PS2_BUTTON_RIGHT ? 1 : 0)));
    answer(mouse, mouse->resolution);
    answer(mouse, mouse->rate);
}

static void test_event(void *opaque)
{
    struct ps2_mouse *mouse = opaque;
    answer(mouse, PS2_PASSED);
    answer(mouse, STANDARD);
    announce(mouse);
}

static void reset_command(struct ps2_mouse *mouse)
{
    struct clock *clock = mouse->env->clock;
    set_defaults(mouse);
    mouse->identity = STANDARD;
    mouse->rates[0] = mouse->rates[1] = 0;
    clock_event_set(clock, &mouse->test,
                    clock->now + clock_from_units(clock, PS2_TEST_NS, NS_PER_S));
}

static void set_mode(struct ps2_mouse *mouse, u8 mode)
{
    forget_motion(mouse);
    mouse->mode = mode;
}

/* Commands that are acknowledged first. */
static void known_command(struct ps2_mouse *mouse, u8 command)
{
    answer(mouse, PS2_ACK);
    switch (command) {
    case CMD_SCALE_1:
    case CMD_SCALE_2:
        mouse->doubled = command == CMD_SCALE_2;
        break;
    case CMD_RESOLUTION:
    case CMD_RATE:
        mouse->command = command;
        break;
    case CMD_STATUS:
        status(mouse);
        break;
    case CMD_STREAM:
        set_mode(mouse, MODE_STREAM);
        break;
    case CMD_REMOTE:
        set_mode(mouse, MODE_REMOTE);
        break;
    case CMD_READ:
        packet(mouse, &mouse->answers, false);
        break;
    case CMD_WRAP:
        set_mode(mouse, mouse->mode == MODE_REMOTE ? MODE_WRAP_REMOTE : MODE_WRAP_STREAM);
        break;
    case CMD_IDENTIFY:
        answer(mouse, mouse->identity);
        break;
    case CMD_ENABLE:
    case CMD_DISABLE:
        forget_motion(mouse);
        mouse->reporting = command == CMD_ENABLE;
        break;
    case CMD_DEFAULTS:
        set_defaults(mouse);
        break;
    case CMD_RESET:
        reset_command(mouse);
        break;
    default: /* leaving wrap mode when it wasn't on */
        break;
    }
}

static void command_write(struct ps2_mouse *mouse, u8 command)
{
    switch (command) {
    case CMD_SCALE_1:
    case CMD_SCALE_2:
    case CMD_RESOLUTION:
    case CMD_STATUS:
    case CMD_STREAM:
    case CMD_READ:
    case CMD_UNWRAP:
    case CMD_WRAP:
    case CMD_REMOTE:
    case CMD_IDENTIFY:
    case CMD_RATE:
    case CMD_ENABLE:
    case CMD_DISABLE:
    case CMD_DEFAULTS:
    case CMD_RESET:
        known_command(mouse, command);
        break;
    case CMD_RESEND:
        answer(mouse, mouse->last);
        break;
    default:
        answer(mouse, PS2_RESEND);
    }
}

/* In wrap mode all comes back, but for the two commands that end it. */
static void wrapped_write(struct ps2_mouse *mouse, u8 byte)
{
    if (byte != CMD_RESET && byte != CMD_UNWRAP) {
        answer(mouse, byte);
        return;
    }
    mouse->mode = mouse->mode == MODE_WRAP_REMOTE ? MODE_REMOTE : MODE_STREAM;
    known_command(mouse, byte);
}

/* Whoever writes gives up answers and the packet under way; a test that runs is cut short. */
void ps2_mouse_write(struct ps2_mouse *mouse, u8 byte)
{
    ps2_queue_clear(&mouse->answers);
    ps2_queue_clear(&mouse->packets);
    clock_event_cancel(mouse->env->clock, &mouse->test);
    if (mouse->mode >= MODE_WRAP_STREAM)
        wrapped_write(mouse, byte);
    else if (mouse->command)
        parameter(mouse, byte);
    else
        command_write(mouse, byte);
    announce(mouse);
    schedule(mouse);
}

bool ps2_mouse_pending(const struct ps2_mouse *mouse)
{
    return mouse->answers.count || mouse->packets.count;
}

u8 ps2_mouse_take(struct ps2_mouse *mouse)
{
    mouse->last = ps2_queue_take(mouse->answers.count ? &mouse->answers : &mouse->packets);
    return mouse->last;
}

/* ---- Life ---- */

void ps2_mouse_reset(struct ps2_mouse *mouse)
{
    clock_event_cancel(mouse->env->clock, &mouse->test);
    ps2_queue_clear(&mouse->answers);
    set_defaults(mouse);
    mouse->identity = STANDARD;
    mouse->rates[0] = mouse->rates[1] = 0;
    mouse->command = 0;
    mouse->last = PS2_PASSED;
    schedule(mouse);
}

struct ps2_mouse *ps2_mouse_new(const struct device_env *env, struct ps2_ready ready)
{
    struct ps2_mouse *mouse = xalloc(sizeof(*mouse));
    mouse->env = env;
    mouse->ready = ready;
    clock_event_init(&mouse->sample, "mouse sample", sample_event, mouse);
    clock_event_init(&mouse->test, "mouse test", test_event, mouse);
    ps2_mouse_reset(mouse);
    return mouse;
}

void ps2_mouse_free(struct ps2_mouse *mouse)
{
    clock_event_cancel(mouse->env->clock, &mouse->sample);
    clock_event_cancel(mouse->env->clock, &mouse->test);
    free(mouse);
}

static void snap_ranges(const struct ps2_mouse *mouse, struct snap *s)
{
    const u64 most = 2 * (u64)MOTION_MAX;
    snap_range(s, "mouse's motion", (u64)((s64)mouse->dx + MOTION_MAX), 0, most);
    snap_range(s, "mouse's motion", (u64)((s64)mouse->dy + MOTION_MAX), 0, most);
    snap_range(s, "mouse's wheel", (u64)((s64)mouse->wheel + MOTION_MAX), 0, most);
    snap_range(s, "mouse's mode", mouse->mode, 0, MODES - 1);
    snap_range(s, "mouse's sample rate", mouse->rate, 10, 200);
}

void ps2_mouse_snap(struct ps2_mouse *mouse, struct snap *s)
{
    bool *const flags[] = {&mouse->reporting, &mouse->doubled};
    snap_section(s, "mouse", 1);
    ps2_queue_snap(&mouse->answers, s);
    ps2_queue_snap(&mouse->packets, s);
    SNAP(s, mouse->sampled);
    SNAP(s, mouse->dx);
    SNAP(s, mouse->dy);
    SNAP(s, mouse->wheel);
    SNAP(s, mouse->buttons);
    SNAP(s, mouse->told);
    SNAP(s, mouse->command);
    SNAP(s, mouse->last);
    SNAP(s, mouse->identity);
    SNAP(s, mouse->mode);
    SNAP(s, mouse->rate);
    SNAP(s, mouse->resolution);
    SNAP(s, mouse->rates);
    snap_flags(s, flags, ARRAY_SIZE(flags));
    if (snap_ok(s))
        snap_ranges(mouse, s);
    snap_event(s, mouse->env->clock, &mouse->sample);
    snap_event(s, mouse->env->clock, &mouse->test);
}
