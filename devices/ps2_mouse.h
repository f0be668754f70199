/* SPDX-License-Identifier: MIT */
/* A PS/2 mouse with a wheel and five buttons, which begins as one without wheel and with three. */
#ifndef DEVICES_PS2_MOUSE_H
#define DEVICES_PS2_MOUSE_H

#include "devices/device.h"
#include "devices/ps2.h"

struct ps2_mouse;

#define PS2_BUTTON_LEFT BIT32(0)
#define PS2_BUTTON_RIGHT BIT32(1)
#define PS2_BUTTON_MIDDLE BIT32(2)
#define PS2_BUTTON_4 BIT32(3)
#define PS2_BUTTON_5 BIT32(4)

/* What a hand does with it. */
struct ps2_motion {
    s16 dx, dy; /* counts to the right and down */
    s8 wheel;   /* notches towards the user */
    u8 buttons; /* PS2_BUTTON_*: held from now on */
};

/* ready is called when bytes have become available. */
struct ps2_mouse *ps2_mouse_new(const struct device_env *env, struct ps2_ready ready);
void ps2_mouse_free(struct ps2_mouse *mouse);
void ps2_mouse_reset(struct ps2_mouse *mouse); /* power on */
void ps2_mouse_snap(struct ps2_mouse *mouse, struct snap *s);

void ps2_mouse_move(struct ps2_mouse *mouse, const struct ps2_motion *motion);

bool ps2_mouse_pending(const struct ps2_mouse *mouse);
/* The next byte to the controller; there must be one. */
u8 ps2_mouse_take(struct ps2_mouse *mouse);
/* A byte from the controller. */
void ps2_mouse_write(struct ps2_mouse *mouse, u8 byte);

#endif
