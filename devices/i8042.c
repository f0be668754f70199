/* SPDX-License-Identifier: MIT */
/*
 * From the IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device
 * Controller". The controller answers at once; a device's byte takes BYTE_NS on its cable. That is
 * less than in the hardware, as port accesses are: drivers that count their polls still meet it.
 */
#include "devices/i8042.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "devices/ps2_keyboard.h"

#define KEYBOARD_IRQ 1
#define MOUSE_IRQ 12
#define BYTE_NS 10000
#define MEMORY_SIZE 32

#define STATUS_FULL 0x01
#define STATUS_SYSTEM 0x04
#define STATUS_COMMAND 0x08
#define STATUS_UNLOCKED 0x10
#define STATUS_MOUSE 0x20

#define MODE_IRQ 0x01
#define MODE_MOUSE_IRQ 0x02
#define MODE_SYSTEM 0x04
#define MODE_KEYBOARD_OFF 0x10
#define MODE_MOUSE_OFF 0x20
#define MODE_TRANSLATE 0x40

#define INPUT_UNLOCKED 0x80
#define OUTPUT_RESET_N 0x01
#define OUTPUT_A20 0x02
#define OUTPUT_KEYBOARD_FULL 0x10
#define OUTPUT_MOUSE_FULL 0x20
#define OUTPUT_CABLES 0xcc /* clock and data lines at rest */

#define SELF_TEST_PASSED 0x55
#define PORT_TEST_PASSED 0x00
#define NO_PASSWORD 0xf1

struct i8042 {
    const struct device_env *env;
    struct ps2_keyboard *keyboard;
    struct ps2_mouse *mouse;
    struct clock_event cable;
    u8 memory[MEMORY_SIZE]; /* the first byte is the command byte: MODE_* */
    u8 output;              /* the output buffer keeps its last byte */
    u8 reply;               /* of the controller, waits for the output buffer */
    u8 command;             /* waits for its data byte; 0: none */
    u8 output_port;         /* bits written: A20 */
    u8 port92;
    bool full, from_mouse; /* the output buffer */
    bool replying, reply_from_mouse;
    bool last_was_command;
    bool release;    /* the translation is inside a break code */
    bool mouse_next; /* whose turn it is if both have something to send */
};

static u8 mode(const struct i8042 *kbc)
{
    return kbc->memory[0];
}

/* ---- The output buffer ---- */

static void update_irq(const struct i8042 *kbc)
{
    struct irq_line keyboard = device_line(kbc->env, LINE_GSI + KEYBOARD_IRQ);
    struct irq_line mouse = device_line(kbc->env, LINE_GSI + MOUSE_IRQ);
    irq_set(&keyboard, kbc->full && !kbc->from_mouse && (mode(kbc) & MODE_IRQ));
    irq_set(&mouse, kbc->full && kbc->from_mouse && (mode(kbc) & MODE_MOUSE_IRQ));
}

static bool keyboard_waits(const struct i8042 *kbc)
{
    return !(mode(kbc) & MODE_KEYBOARD_OFF) && ps2_keyboard_pending(kbc->keyboard);
}

static bool mouse_waits(const struct i8042 *kbc)
{
    return !(mode(kbc) & MODE_MOUSE_OFF) && ps2_mouse_pending(kbc->mouse);
}

static void fill(struct i8042 *kbc, u8 byte, bool from_mouse)
{
    kbc->output = byte;
    kbc->from_mouse = from_mouse;
    kbc->full = true;
}

/*
 * Whatever may fill the empty output buffer: the controller itself at once, else a byte from a
 * device that may send begins its way.
 */
static void proceed(struct i8042 *kbc)
{
    struct clock *clock = kbc->env->clock;
    if (!kbc->full && kbc->replying) {
        kbc->replying = false;
        fill(kbc, kbc->reply, kbc->reply_from_mouse);
    }
    update_irq(kbc);
    if (kbc->full || clock_event_queued(&kbc->cable) || !(keyboard_waits(kbc) || mouse_waits(kbc)))
        return;
    clock_event_set(clock, &kbc->cable, clock->now + clock_from_units(clock, BYTE_NS, 1000000000));
}

static void ready(void *opaque)
{
    proceed(opaque);
}

static void keyboard_arrives(struct i8042 *kbc)
{
    u8 byte = ps2_keyboard_take(kbc->keyboard);
    if (!(mode(kbc) & MODE_TRANSLATE) || ps2_translate(&kbc->release, byte, &byte))
        fill(kbc, byte, false);
}

static void cable_event(void *opaque)
{
    struct i8042 *kbc = opaque;
    bool keyboard = keyboard_waits(kbc), mouse = mouse_waits(kbc);
    if (!kbc->full && mouse && (kbc->mouse_next || !keyboard)) {
        kbc->mouse_next = false;
        fill(kbc, ps2_mouse_take(kbc->mouse), true);
    } else if (!kbc->full && keyboard) {
        kbc->mouse_next = true;
        keyboard_arrives(kbc);
    }
    proceed(kbc);
}

/* A reply that nobody has read gives way to the next. */
static void reply_as(struct i8042 *kbc, u8 byte, bool from_mouse)
{
    kbc->reply = byte;
    kbc->reply_from_mouse = from_mouse;
    kbc->replying = true;
}

static void reply(struct i8042 *kbc, u8 byte)
{
    reply_as(kbc, byte, false);
}

/* ---- Commands ---- */

static void output_port_write(struct i8042 *kbc, u8 byte)
{
    kbc->output_port = byte & OUTPUT_A20;
    if (!(byte & OUTPUT_RESET_N))
        device_stop(kbc->env, STOP_RESET, 0);
}

static u8 output_port_read(const struct i8042 *kbc)
{
    u8 full = !kbc->full ? 0 : kbc->from_mouse ? OUTPUT_MOUSE_FULL : OUTPUT_KEYBOARD_FULL;
    return OUTPUT_CABLES | OUTPUT_RESET_N | kbc->output_port | full;
}

static void mode_write(struct i8042 *kbc, u8 byte)
{
    if ((kbc->memory[0] ^ byte) & MODE_TRANSLATE)
        kbc->release = false;
    kbc->memory[0] = byte;
}

static void set_mode_bits(struct i8042 *kbc, u8 clear, u8 set)
{
    mode_write(kbc, (u8)((mode(kbc) & ~clear) | set));
}

/* Data for a device lets it send again. */
static void data_write(struct i8042 *kbc, u8 byte)
{
    u8 command = kbc->command;
    kbc->command = 0;
    kbc->last_was_command = false;
    switch (command) {
    case 0:
        set_mode_bits(kbc, MODE_KEYBOARD_OFF, 0);
        ps2_keyboard_write(kbc->keyboard, byte);
        break;
    case 0xd1:
        output_port_write(kbc, byte);
        break;
    case 0xd2: /* as if the keyboard or the mouse had sent it */
    case 0xd3:
        reply_as(kbc, byte, command == 0xd3);
        break;
    case 0xd4:
        set_mode_bits(kbc, MODE_MOUSE_OFF, 0);
        ps2_mouse_write(kbc->mouse, byte);
        break;
    case 0x60:
        mode_write(kbc, byte);
        break;
    default: /* 0x61 to 0x7f */
        kbc->memory[command % MEMORY_SIZE] = byte;
    }
}

/* The test also empties the buffers; the guest learns from the system flag that it was run. */
static void self_test(struct i8042 *kbc)
{
    kbc->full = kbc->replying = kbc->release = false;
    set_mode_bits(kbc, 0, MODE_SYSTEM);
    reply(kbc, SELF_TEST_PASSED);
}

static void other_command(struct i8042 *kbc, u8 command)
{
    if (command >= 0xf0) { /* pulses output lines whose bit is 0 */
        if (!(command & OUTPUT_RESET_N))
            device_stop(kbc->env, STOP_RESET, 0);
    } else if (command >= 0x20 && command <= 0x3f) {
        reply(kbc, kbc->memory[command % MEMORY_SIZE]);
    } else if (command >= 0x60 && command <= 0x7f) {
        kbc->command = command;
    } else {
        log_msg(LOG_DEV, "i8042: command %#x", command);
    }
}

static void command_write(struct i8042 *kbc, u8 command)
{
    kbc->last_was_command = true;
    kbc->command = 0;
    switch (command) {
    case 0xa4:
        reply(kbc, NO_PASSWORD);
        break;
    case 0xa7:
    case 0xa8:
        set_mode_bits(kbc, MODE_MOUSE_OFF, command == 0xa7 ? MODE_MOUSE_OFF : 0);
        break;
    case 0xa9: /* tests of the ports' lines */
    case 0xab:
        reply(kbc, PORT_TEST_PASSED);
        break;
    case 0xaa:
        self_test(kbc);
        break;
    case 0xad:
    case 0xae:
        set_mode_bits(kbc, MODE_KEYBOARD_OFF, command == 0xad ? MODE_KEYBOARD_OFF : 0);
        break;
    case 0xc0:
        reply(kbc, INPUT_UNLOCKED);
        break;
    case 0xd0:
        reply(kbc, output_port_read(kbc));
        break;
    case 0xd1:
    case 0xd2:
    case 0xd3:
    case 0xd4:
        kbc->command = command;
        break;
    case 0xdd: /* A20 off and on, of later controllers */
    case 0xdf:
        kbc->output_port = command & OUTPUT_A20;
        break;
    case 0xe0: /* test inputs: the cables' clocks, at rest */
        reply(kbc, 0);
        break;
    default:
        other_command(kbc, command);
    }
}

/* ---- Ports ---- */

/* The wire falls between two bytes: each is an edge. */
static u64 data_port_read(void *opaque, u64 offset, unsigned size)
{
    struct i8042 *kbc = opaque;
    (void)offset;
    (void)size;
    kbc->full = false;
    update_irq(kbc);
    u8 byte = kbc->output;
    proceed(kbc);
    return byte;
}

static void data_port_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    (void)offset;
    (void)size;
    data_write(opaque, (u8)value);
    proceed(opaque);
}

static u64 status_read(void *opaque, u64 offset, unsigned size)
{
    const struct i8042 *kbc = opaque;
    (void)offset;
    (void)size;
    return STATUS_UNLOCKED | (kbc->full ? STATUS_FULL : 0u) |
           (kbc->full && kbc->from_mouse ? STATUS_MOUSE : 0u) |
           (mode(kbc) & MODE_SYSTEM ? STATUS_SYSTEM : 0u) |
           (kbc->last_was_command ? STATUS_COMMAND : 0u);
}

static void command_port_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    (void)offset;
    (void)size;
    command_write(opaque, (u8)value);
    proceed(opaque);
}

static u64 port92_read(void *opaque, u64 offset, unsigned size)
{
    struct i8042 *kbc = opaque;
    (void)offset;
    (void)size;
    return kbc->port92;
}

static void port92_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct i8042 *kbc = opaque;
    bool reset = value & ~(u64)kbc->port92 & OUTPUT_RESET_N;
    (void)offset;
    (void)size;
    kbc->port92 = value & (OUTPUT_RESET_N | OUTPUT_A20);
    if (reset)
        device_stop(kbc->env, STOP_RESET, 0);
}

static const struct bus_ops data_ops = {data_port_read, data_port_write, 1};
static const struct bus_ops status_ops = {status_read, command_port_write, 1};
static const struct bus_ops port92_ops = {port92_read, port92_write, 1};

/* ---- Input ---- */

void i8042_keyboard_input(void *opaque, const u8 *bytes, size_t size)
{
    struct i8042 *kbc = opaque;
    for (; size >= I8042_KEY_BYTES; size -= I8042_KEY_BYTES, bytes += I8042_KEY_BYTES)
        ps2_keyboard_key(kbc->keyboard, bytes[0], bytes[1] & 1);
}

void i8042_motion_record(const struct ps2_motion *motion, u8 record[I8042_MOTION_BYTES])
{
    u16 dx = (u16)motion->dx, dy = (u16)motion->dy;
    record[0] = (u8)dx;
    record[1] = (u8)(dx >> 8);
    record[2] = (u8)dy;
    record[3] = (u8)(dy >> 8);
    record[4] = (u8)motion->wheel;
    record[5] = motion->buttons;
}

void i8042_mouse_input(void *opaque, const u8 *bytes, size_t size)
{
    struct i8042 *kbc = opaque;
    for (; size >= I8042_MOTION_BYTES; size -= I8042_MOTION_BYTES, bytes += I8042_MOTION_BYTES) {
        const struct ps2_motion motion = {
            .dx = (s16)(bytes[0] | bytes[1] << 8),
            .dy = (s16)(bytes[2] | bytes[3] << 8),
            .wheel = (s8)bytes[4],
            .buttons = bytes[5],
        };
        ps2_mouse_move(kbc->mouse, &motion);
    }
}

u32 i8042_leds(const struct i8042 *kbc)
{
    return ps2_keyboard_leds(kbc->keyboard);
}

/* ---- Life ---- */

static void i8042_reset(void *device)
{
    struct i8042 *kbc = device;
    for (unsigned n = 0; n < MEMORY_SIZE; n++)
        kbc->memory[n] = 0;
    mode_write(kbc, MODE_IRQ | MODE_SYSTEM | MODE_MOUSE_OFF | MODE_TRANSLATE);
    kbc->output = kbc->reply = kbc->command = 0;
    kbc->output_port = kbc->port92 = OUTPUT_A20;
    kbc->full = kbc->from_mouse = kbc->replying = kbc->reply_from_mouse = false;
    kbc->last_was_command = kbc->release = kbc->mouse_next = false;
    clock_event_cancel(kbc->env->clock, &kbc->cable);
    ps2_keyboard_reset(kbc->keyboard);
    ps2_mouse_reset(kbc->mouse);
    update_irq(kbc);
}

static void *i8042_create(const struct device_env *env, const void *config, struct error *err)
{
    struct i8042 *kbc = xalloc(sizeof(*kbc));
    const struct ps2_ready notice = {ready, kbc};
    (void)config;
    (void)err;
    kbc->env = env;
    clock_event_init(&kbc->cable, "i8042", cable_event, kbc);
    kbc->keyboard = ps2_keyboard_new(env, notice);
    kbc->mouse = ps2_mouse_new(env, notice);
    bus_map_io(env->bus, &(struct bus_region){0x60, 1, &data_ops, kbc, "i8042 data"});
    bus_map_io(env->bus, &(struct bus_region){0x64, 1, &status_ops, kbc, "i8042 status"});
    bus_map_io(env->bus, &(struct bus_region){0x92, 1, &port92_ops, kbc, "port 92h"});
    return kbc;
}

static void i8042_snap(void *device, struct snap *s)
{
    struct i8042 *kbc = device;
    bool *const flags[] = {&kbc->full,      &kbc->from_mouse,       &kbc->replying,
                           &kbc->release,   &kbc->reply_from_mouse, &kbc->last_was_command,
                           &kbc->mouse_next};
    snap_section(s, "i8042", 2);
    SNAP(s, kbc->memory);
    SNAP(s, kbc->output);
    SNAP(s, kbc->reply);
    SNAP(s, kbc->command);
    SNAP(s, kbc->output_port);
    SNAP(s, kbc->port92);
    snap_flags(s, flags, ARRAY_SIZE(flags));
    snap_event(s, kbc->env->clock, &kbc->cable);
    ps2_keyboard_snap(kbc->keyboard, s);
    ps2_mouse_snap(kbc->mouse, s);
}

static void i8042_free(void *device)
{
    struct i8042 *kbc = device;
    bus_unmap_io(kbc->env->bus, 0x60);
    bus_unmap_io(kbc->env->bus, 0x64);
    bus_unmap_io(kbc->env->bus, 0x92);
    clock_event_cancel(kbc->env->clock, &kbc->cable);
    ps2_keyboard_free(kbc->keyboard);
    ps2_mouse_free(kbc->mouse);
    free(kbc);
}

const struct device_class i8042_class = {
    .name = "i8042",
    .help = "keyboard controller, PS/2 keyboard, PS/2 mouse with wheel, port 0x92",
    .create = i8042_create,
    .reset = i8042_reset,
    .snap = i8042_snap,
    .free = i8042_free,
};
