/* SPDX-License-Identifier: MIT */
/* A PS/2 keyboard with 101 keys and more, as its cable shows it. */
#ifndef DEVICES_PS2_KEYBOARD_H
#define DEVICES_PS2_KEYBOARD_H

#include "devices/device.h"
#include "devices/ps2.h"

struct ps2_keyboard;

#define PS2_LED_SCROLL BIT32(0)
#define PS2_LED_NUM BIT32(1)
#define PS2_LED_CAPS BIT32(2)

/* ready is called when bytes have become available. */
struct ps2_keyboard *ps2_keyboard_new(const struct device_env *env, struct ps2_ready ready);
void ps2_keyboard_free(struct ps2_keyboard *kbd);
void ps2_keyboard_reset(struct ps2_keyboard *kbd); /* power on */
void ps2_keyboard_snap(struct ps2_keyboard *kbd, struct snap *s);

/* Somebody pressed or released a key (devices/keys.h). What is no key, or not news, does nothing. */
void ps2_keyboard_key(struct ps2_keyboard *kbd, u8 usage, bool down);

bool ps2_keyboard_pending(const struct ps2_keyboard *kbd);
/* The next byte to the controller; there must be one. */
u8 ps2_keyboard_take(struct ps2_keyboard *kbd);
/* A byte from the controller. */
void ps2_keyboard_write(struct ps2_keyboard *kbd, u8 byte);

u32 ps2_keyboard_leds(const struct ps2_keyboard *kbd); /* PS2_LED_* */

#endif
