/* SPDX-License-Identifier: MIT */
/* Keys by name: what the monitor's `sendkey` presses. */
#ifndef FRONTEND_SENDKEY_H
#define FRONTEND_SENDKEY_H

#include "base/error.h"
#include "devices/pc.h"

/*
 * Presses the keys of a combination such as "ctrl-alt-delete" one after the other and releases them
 * in the reverse order. Names: devices/keys.def. False, with err set and nothing pressed: it knows
 * one of them not.
 */
bool sendkey(struct pc *pc, const char *keys, struct error *err);

/* Types a text as on a keyboard with the US layout; characters that it doesn't have are left out. */
void sendkey_text(struct pc *pc, const char *text);

#endif
