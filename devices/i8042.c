/* SPDX-License-Identifier: MIT */
/* From the IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device". */
#include "devices/i8042.h"

#include <stdlib.h>

#include "base/alloc.h"

#define QUEUE_SIZE 16
#define KEYBOARD_IRQ 1

#define STATUS_FULL 0x01
#define STATUS_SYSTEM 0x04
#define STATUS_COMMAND 0x08
#define STATUS_UNLOCKED 0x10

#define MODE_IRQ 0x01
#define MODE_SYSTEM 0x04
#define MODE_KEYBOARD_OFF 0x10
#define MODE_MOUSE_OFF 0x20
#define MODE_TRANSLATE 0x40

#define KEYBOARD_ACK 0xfa
#define KEYBOARD_RESEND 0xfe
#define KEYBOARD_PASSED 0xaa

#define OUTPUT_RESET_N 0x01
#define OUTPUT_A20 0x02

struct i8042 {
    const struct device_env *env;
    u8 mode;
    u8 queue[QUEUE_SIZE];
    u8 first, count;
    u8 command;          /* to the controller, waiting for its data byte; 0: none */
    u8 keyboard_command; /* to the keyboard, likewise */
    u8 port92;
    bool last_was_command;
};

static void update_irq(struct i8042 *kbc)
{
    struct irq_line line = device_line(kbc->env, LINE_GSI + KEYBOARD_IRQ);
    irq_set(&line, kbc->count && (kbc->mode & MODE_IRQ));
}

static void push(struct i8042 *kbc, u8 byte)
{
    if (kbc->count == QUEUE_SIZE)
        return;
    kbc->queue[(kbc->first + kbc->count) % QUEUE_SIZE] = byte;
    kbc->count++;
}

static u8 pop(struct i8042 *kbc)
{
    u8 byte = kbc->queue[kbc->first];
    if (!kbc->count)
        return byte; /* the output buffer keeps its last byte */
    kbc->count--;
    if (kbc->count)
        kbc->first = (u8)((kbc->first + 1u) % QUEUE_SIZE);
    return byte;
}

/* The keyboard's data bytes for its commands mean nothing here. */
static void keyboard_write(struct i8042 *kbc, u8 byte)
{
    if (kbc->keyboard_command) {
        bool asks_set = kbc->keyboard_command == 0xf0 && byte == 0;
        kbc->keyboard_command = 0;
        push(kbc, KEYBOARD_ACK);
        if (asks_set)
            push(kbc, kbc->mode & MODE_TRANSLATE ? 0x41 : 0x02);
        return;
    }
    switch (byte) {
    case 0xed: /* lamps */
    case 0xf0: /* scan code set */
    case 0xf3: /* repeat rate */
        kbc->keyboard_command = byte;
        push(kbc, KEYBOARD_ACK);
        break;
    case 0xee: /* echo */
        push(kbc, 0xee);
        break;
    case 0xf2: /* identify */
        push(kbc, KEYBOARD_ACK);
        push(kbc, 0xab);
        push(kbc, kbc->mode & MODE_TRANSLATE ? 0x41 : 0x83);
        break;
    case 0xf4: /* enable, disable, defaults, key types */
    case 0xf5:
    case 0xf6:
    case 0xf7:
    case 0xf8:
    case 0xf9:
    case 0xfa:
        push(kbc, KEYBOARD_ACK);
        break;
    case 0xff: /* reset */
        push(kbc, KEYBOARD_ACK);
        push(kbc, KEYBOARD_PASSED);
        break;
    default:
        push(kbc, KEYBOARD_RESEND);
    }
}

static void output_port_write(struct i8042 *kbc, u8 byte)
{
    if (!(byte & OUTPUT_RESET_N))
        device_stop(kbc->env, STOP_RESET, 0);
}

static void data_write(struct i8042 *kbc, u8 byte)
{
    u8 command = kbc->command;
    kbc->command = 0;
    kbc->last_was_command = false;
    switch (command) {
    case 0x60:
        kbc->mode = byte & 0x7f;
        break;
    case 0xd1:
        output_port_write(kbc, byte);
        break;
    case 0xd2: /* as if the keyboard had sent it */
        push(kbc, byte);
        break;
    case 0xd3: /* as if the mouse had: there is none, so it comes from the keyboard's side */
        push(kbc, byte);
        break;
    case 0xd4: /* to the mouse: nobody answers */
        push(kbc, KEYBOARD_RESEND);
        break;
    default:
        kbc->mode &= (u8)~MODE_KEYBOARD_OFF;
        keyboard_write(kbc, byte);
    }
}

static void command_write(struct i8042 *kbc, u8 command)
{
    kbc->last_was_command = true;
    kbc->command = 0;
    switch (command) {
    case 0x20:
        push(kbc, kbc->mode);
        break;
    case 0x60:
    case 0xd1:
    case 0xd2:
    case 0xd3:
    case 0xd4:
        kbc->command = command;
        break;
    case 0xa7:
        kbc->mode |= MODE_MOUSE_OFF;
        break;
    case 0xa8:
        kbc->mode &= (u8)~MODE_MOUSE_OFF;
        break;
    case 0xa9: /* test of the mouse port: clock line stuck low */
        push(kbc, 0x01);
        break;
    case 0xaa: /* self test */
        kbc->first = kbc->count = 0;
        push(kbc, 0x55);
        break;
    case 0xab: /* test of the keyboard port: good */
        push(kbc, 0x00);
        break;
    case 0xad:
        kbc->mode |= MODE_KEYBOARD_OFF;
        break;
    case 0xae:
        kbc->mode &= (u8)~MODE_KEYBOARD_OFF;
        break;
    case 0xc0: /* input port */
        push(kbc, 0x80);
        break;
    case 0xd0:
        push(kbc, OUTPUT_RESET_N | OUTPUT_A20);
        break;
    default:
        if (command >= 0xf0) {
            if (!(command & 1)) /* pulse the reset line */
                device_stop(kbc->env, STOP_RESET, 0);
        } else if (log_on(LOG_DEV)) {
            log_msg(LOG_DEV, "i8042: command %#x", command);
        }
    }
}

static u64 kbc_read(void *opaque, u64 offset, unsigned size)
{
    struct i8042 *kbc = opaque;
    (void)offset;
    (void)size;
    u8 byte = pop(kbc);
    /* The line falls between two bytes: each is an edge. */
    struct irq_line line = device_line(kbc->env, LINE_GSI + KEYBOARD_IRQ);
    irq_set(&line, false);
    update_irq(kbc);
    return byte;
}

static void kbc_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    (void)offset;
    (void)size;
    data_write(opaque, (u8)value);
    update_irq(opaque);
}

static u64 status_read(void *opaque, u64 offset, unsigned size)
{
    struct i8042 *kbc = opaque;
    (void)offset;
    (void)size;
    return STATUS_UNLOCKED | (kbc->count ? STATUS_FULL : 0u) |
           (kbc->mode & MODE_SYSTEM ? STATUS_SYSTEM : 0u) |
           (kbc->last_was_command ? STATUS_COMMAND : 0u);
}

static void status_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    (void)offset;
    (void)size;
    command_write(opaque, (u8)value);
    update_irq(opaque);
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
    bool reset = value & ~(u64)kbc->port92 & 1;
    (void)offset;
    (void)size;
    kbc->port92 = (u8)(value & 1) | OUTPUT_A20;
    if (reset)
        device_stop(kbc->env, STOP_RESET, 0);
}

static const struct bus_ops data_ops = {kbc_read, kbc_write, 1};
static const struct bus_ops status_ops = {status_read, status_write, 1};
static const struct bus_ops port92_ops = {port92_read, port92_write, 1};

static void i8042_reset(void *device)
{
    struct i8042 *kbc = device;
    kbc->mode = MODE_IRQ | MODE_SYSTEM | MODE_MOUSE_OFF | MODE_TRANSLATE;
    kbc->first = kbc->count = 0;
    kbc->command = kbc->keyboard_command = 0;
    kbc->port92 = OUTPUT_A20;
    kbc->last_was_command = false;
    update_irq(kbc);
}

static void *i8042_create(const struct device_env *env, const void *config, struct error *err)
{
    struct i8042 *kbc = xalloc(sizeof(*kbc));
    (void)config;
    (void)err;
    kbc->env = env;
    bus_map_io(env->bus, &(struct bus_region){0x60, 1, &data_ops, kbc, "i8042 data"});
    bus_map_io(env->bus, &(struct bus_region){0x64, 1, &status_ops, kbc, "i8042 status"});
    bus_map_io(env->bus, &(struct bus_region){0x92, 1, &port92_ops, kbc, "port 92h"});
    return kbc;
}

static void i8042_snap(void *device, struct snap *s)
{
    struct i8042 *kbc = device;
    bool *const flags[] = {&kbc->last_was_command};
    snap_section(s, "i8042", 1);
    snap_bytes(s, &kbc->mode,
               offsetof(struct i8042, last_was_command) - offsetof(struct i8042, mode));
    snap_flags(s, flags, 1);
    snap_range(s, "keyboard queue start", kbc->first, 0, QUEUE_SIZE - 1);
    snap_range(s, "keyboard queue count", kbc->count, 0, QUEUE_SIZE);
}

static void i8042_free(void *device)
{
    struct i8042 *kbc = device;
    bus_unmap_io(kbc->env->bus, 0x60);
    bus_unmap_io(kbc->env->bus, 0x64);
    bus_unmap_io(kbc->env->bus, 0x92);
    free(kbc);
}

const struct device_class i8042_class = {
    .name = "i8042",
    .help = "keyboard controller with a keyboard that has no keys, port 0x92",
    .create = i8042_create,
    .reset = i8042_reset,
    .snap = i8042_snap,
    .free = i8042_free,
};
