/* SPDX-License-Identifier: MIT */
/* Keys by number (USB HID usage) and by name, and what has to be pressed for a text. */
#ifndef DEVICES_KEYS_H
#define DEVICES_KEYS_H

#include "base/types.h"

#define KEY_CTRL 0xe0
#define KEY_SHIFT 0xe1
#define KEY_ALT 0xe2
#define KEY_CTRL_R 0xe4
#define KEY_SHIFT_R 0xe5
#define KEY_ALT_R 0xe6
#define KEY_PRINT 0x46
#define KEY_PAUSE 0x48

/* What scan code set 3 does with a key by default. */
enum key_kind { KEY_REPEATS, KEY_BOTH, KEY_ONCE };

struct key {
    u8 usage; /* 0: no key */
    const char *name;
    u16 set2; /* 0xe0nn: two bytes; 0: none */
    u8 set3;  /* 0: none */
    u8 kind;  /* enum key_kind */
};

/* NULL: there is no such key. */
const struct key *key_find(unsigned usage);
/* The key of that name ("a", "ret", "ctrl"): its usage; 0: there is none. */
u8 key_named(const char *name, size_t length);

/*
 * What types an ASCII character (or newline, tab, backspace, escape) on a keyboard with the US
 * layout: a usage, and whether Shift must be held. 0: nothing does.
 */
u8 key_of_char(char c, bool *shift);

#endif
