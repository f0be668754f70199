/* SPDX-License-Identifier: MIT */
/*
 * The keyboard controller (ports 0x60 and 0x64) with a PS/2 keyboard and a PS/2 mouse, and system
 * control port A (0x92). The A20 line is always open: its bits are kept and mean nothing.
 */
#ifndef DEVICES_I8042_H
#define DEVICES_I8042_H

#include "devices/device.h"
#include "devices/ps2_mouse.h"

struct i8042;

extern const struct device_class i8042_class;

/*
 * Input, in the form that travels through the hub (base/input.h): any number of records.
 * Keyboard: usage (devices/keys.h), 1 pressed or 0 released. Mouse: dx and dy (16 bits each, low
 * byte first), wheel, buttons, as in struct ps2_motion. What is left over is ignored.
 */
#define I8042_KEY_BYTES 2
#define I8042_MOTION_BYTES 6
void i8042_keyboard_input(void *opaque, const u8 *bytes, size_t size);
void i8042_mouse_input(void *opaque, const u8 *bytes, size_t size);
/* Writes the record of a motion. */
void i8042_motion_record(const struct ps2_motion *motion, u8 record[I8042_MOTION_BYTES]);

u32 i8042_leds(const struct i8042 *kbc); /* PS2_LED_* */

#endif
