/* SPDX-License-Identifier: MIT */
/* The window on SDL's "dummy" driver: no display is needed, and events are made here. */
#include "frontend/window.h"

#include <SDL.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "devices/keys.h"
#include "frontend/font.h"
#include "frontend/sendkey.h"
#include "frontend/status.h"
#include "tests/suite.h"

static struct machine *m;

static void machine_up(const char *cpus)
{
    struct error err = {{0}};
    struct prop_node *root = prop_new(NULL, "machine", NULL, 0);
    prop_set(prop_new(root, "memory", NULL, 0), "size", "4M", NULL, 0);
    prop_set(prop_new(root, "cpu", NULL, 0), "count", cpus, NULL, 0);
    prop_set(prop_new(root, "serial", NULL, 0), "to", "none", NULL, 0);
    prop_set(prop_new(root, "vga", NULL, 0), "rom", "", NULL, 0);
    m = machine_new(root, NULL, &err);
    ck_assert_msg(m != NULL, "%s", err.text);
    prop_free(root);
    bus_io_write(&m->bus, 0x64, 1, 0x60); /* both devices on, no interrupts, no translation */
    bus_io_write(&m->bus, 0x60, 1, 0x00);
    bus_io_write(&m->bus, 0x64, 1, 0xd4);
    bus_io_write(&m->bus, 0x60, 1, 0xf4);
}

/* What a driver reads from both devices, in hexadecimal; "m" is before the mouse's bytes. */
static const char *told(void)
{
    static char text[512];
    size_t used = 0;
    text[0] = 0;
    for (unsigned quiet = 0; quiet < 1000 && used + 5 < sizeof(text); quiet++) {
        m->clock.now += 20000;
        clock_run(&m->clock);
        u64 status = bus_io_read(&m->bus, 0x64, 1);
        if (!(status & 1))
            continue;
        u64 byte = bus_io_read(&m->bus, 0x60, 1);
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s%02x", used ? " " : "",
                                 status & 0x20 ? "m" : "", (unsigned)byte & 0xff);
        quiet = 0;
    }
    return text;
}

static struct window *open_window(void)
{
    struct error err = {{0}};
    setenv("SDL_VIDEODRIVER", "dummy", 1);
    machine_up("1");
    ck_assert_str_eq(told(), "mfa");
    struct window *w = window_open(m, &err);
    ck_assert_msg(w != NULL, "%s", err.text);
    return w;
}

/* Polls after a pause, as polls that follow at once do nothing. */
static bool poll(struct window *w)
{
    SDL_Delay(5);
    return window_poll(w);
}

static void push_key(SDL_Scancode key, bool down)
{
    SDL_Event event = {.key = {.type = down ? SDL_KEYDOWN : SDL_KEYUP,
                               .windowID = 1,
                               .state = down ? SDL_PRESSED : SDL_RELEASED,
                               .keysym = {.scancode = key}}};
    SDL_PushEvent(&event);
}

static void push_combination(SDL_Scancode key)
{
    push_key(SDL_SCANCODE_LCTRL, true);
    push_key(SDL_SCANCODE_LALT, true);
    push_key(key, true);
    push_key(key, false);
    push_key(SDL_SCANCODE_LALT, false);
    push_key(SDL_SCANCODE_LCTRL, false);
}

static void push_button(u8 button, bool down)
{
    SDL_Event event = {.button = {.type = down ? SDL_MOUSEBUTTONDOWN : SDL_MOUSEBUTTONUP,
                                  .windowID = 1,
                                  .button = button,
                                  .state = down ? SDL_PRESSED : SDL_RELEASED}};
    SDL_PushEvent(&event);
}

static void push_motion(s32 dx, s32 dy)
{
    SDL_Event event = {.motion = {.type = SDL_MOUSEMOTION, .windowID = 1, .xrel = dx, .yrel = dy}};
    SDL_PushEvent(&event);
}

static void push_window(u8 what)
{
    SDL_Event event = {.window = {.type = SDL_WINDOWEVENT, .windowID = 1, .event = what}};
    SDL_PushEvent(&event);
}

static void close_all(struct window *w)
{
    window_close(w);
    machine_free(m);
}

START_TEST(keys)
{
    struct window *w = open_window();
    push_key(SDL_SCANCODE_A, true);
    push_key(SDL_SCANCODE_A, false);
    push_key(SDL_SCANCODE_RIGHT, true);
    SDL_Event again = {
        .key = {.type = SDL_KEYDOWN, .state = SDL_PRESSED, .repeat = 1, .keysym.scancode = 4}};
    SDL_PushEvent(&again);
    ck_assert(!poll(w));
    ck_assert_str_eq(told(), "1c f0 1c e0 74");
    push_window(SDL_WINDOWEVENT_FOCUS_LOST); /* whoever lets go elsewhere is not heard */
    poll(w);
    ck_assert_str_eq(told(), "e0 f0 74");
    push_key(SDL_SCANCODE_RIGHT, false);
    push_key((SDL_Scancode)400, true);
    poll(w);
    ck_assert_str_eq(told(), "");
    close_all(w);
}
END_TEST

START_TEST(hot_keys)
{
    struct window *w = open_window();
    push_combination(SDL_SCANCODE_F);
    push_combination(SDL_SCANCODE_F);
    push_combination(SDL_SCANCODE_EQUALS);
    push_combination(SDL_SCANCODE_MINUS);
    ck_assert(!poll(w));
    ck_assert_ptr_null(strstr(told(), "2b")); /* the guest sees no F */
    push_combination(SDL_SCANCODE_DELETE);    /* which is for the guest */
    poll(w);
    ck_assert_str_eq(told(), "14 11 e0 71 e0 f0 71 f0 11 f0 14");
    push_combination(SDL_SCANCODE_Q);
    ck_assert(poll(w));
    close_all(w);
}
END_TEST

START_TEST(mouse)
{
    struct window *w = open_window();
    push_motion(5, 5);
    push_button(SDL_BUTTON_LEFT, true); /* grabs */
    push_button(SDL_BUTTON_LEFT, false);
    poll(w);
    ck_assert_str_eq(told(), "");
    push_motion(2, 0);
    push_motion(1, -4);
    poll(w);
    ck_assert_str_eq(told(), "m08 m03 m04");
    push_button(SDL_BUTTON_RIGHT, true);
    push_button(SDL_BUTTON_RIGHT, false);
    poll(w);
    ck_assert_str_eq(told(), "m0a m00 m00 m08 m00 m00");
    push_combination(SDL_SCANCODE_G);
    poll(w);
    told();
    push_motion(2, 0);
    poll(w);
    ck_assert_str_eq(told(), "");
    close_all(w);
}
END_TEST

/* The first closing presses the power button, the second ends the run. */
START_TEST(closing)
{
    struct window *w = open_window();
    push_window(SDL_WINDOWEVENT_CLOSE);
    ck_assert(!poll(w));
    push_window(SDL_WINDOWEVENT_CLOSE);
    ck_assert(poll(w));
    close_all(w);
}
END_TEST

/* Drawing changes nothing of the machine, however the mode changes. */
START_TEST(draws)
{
    struct window *w = open_window();
    u64 tick = m->clock.now;
    u32 events = m->clock.count;
    for (unsigned n = 0; n < 4; n++) {
        SDL_Delay(35);
        push_window(SDL_WINDOWEVENT_EXPOSED);
        poll(w);
    }
    bus_io_write(&m->bus, 0x1ce, 2, 1); /* a graphics mode */
    bus_io_write(&m->bus, 0x1cf, 2, 320);
    bus_io_write(&m->bus, 0x1ce, 2, 2);
    bus_io_write(&m->bus, 0x1cf, 2, 240);
    bus_io_write(&m->bus, 0x1ce, 2, 3);
    bus_io_write(&m->bus, 0x1cf, 2, 32);
    bus_io_write(&m->bus, 0x1ce, 2, 4);
    bus_io_write(&m->bus, 0x1cf, 2, 1);
    SDL_Delay(35);
    poll(w);
    int width, height;
    SDL_GetWindowSize(SDL_GetWindowFromID(1), &width, &height);
    ck_assert_int_eq(width, 320);
    ck_assert_int_eq(height, 240 + WINDOW_STATUS_HEIGHT);
    ck_assert_uint_eq(m->clock.now, tick);
    ck_assert_uint_eq(m->clock.count, events);
    close_all(w);
}
END_TEST

START_TEST(no_display)
{
    struct error err = {{0}};
    machine_up("1");
    setenv("SDL_VIDEODRIVER", "nosuch", 1);
    ck_assert_ptr_null(window_open(m, &err));
    ck_assert(strstr(err.text, "--display sdl: "));
    machine_free(m);
}
END_TEST

START_TEST(font)
{
    enum { WIDTH = 20, HEIGHT = 9 };
    u32 pixel[WIDTH * HEIGHT] = {0};
    const struct font_target to = {pixel, WIDTH, HEIGHT, 1};
    ck_assert_uint_eq(font_draw(&to, 0, 1, "a1", 7), 12);
    ck_assert_uint_eq(pixel[WIDTH + 0], 0); /* A: .###. over #...# */
    ck_assert_uint_eq(pixel[WIDTH + 1], 7);
    ck_assert_uint_eq(pixel[2 * WIDTH + 0], 7);
    ck_assert_uint_eq(pixel[4 * WIDTH + 2], 7);
    ck_assert_uint_eq(pixel[7 * WIDTH + 1], 0);
    ck_assert_uint_eq(pixel[WIDTH + 6 + 2], 7); /* 1: its top */
    const struct font_target large = {pixel, WIDTH, HEIGHT, 3};
    font_draw(&large, 17, 5, "\xff W cut off", 9); /* stays inside: a sanitizer looks on */
    font_draw(&large, 100, 100, "outside", 9);
}
END_TEST

START_TEST(status_texts)
{
    struct status status = {0};
    char text[160];
    machine_up("1");
    status_look(&status, m, 1000000000);
    m->group.cpu[0]->insns += 50000000;
    status_look(&status, m, 1500000000);
    m->clock.now = 1234567;
    status_line(&status, m, text, sizeof(text));
    ck_assert_str_eq(text, "100.0 MIPS  1 234 567  VMX off");
    m->group.cpu[0]->nonroot = true;
    status_line(&status, m, text, sizeof(text));
    ck_assert_str_eq(text, "100.0 MIPS  1 234 567  VMX non-root");
    m->group.cpu[0]->nonroot = false;
    status_line(&status, m, text, 8);
    ck_assert_str_eq(text, "100.0 M");
    machine_free(m);
    machine_up("3");
    m->group.cpu[1]->nonroot = true;
    m->clock.now = 999;
    status = (struct status){0};
    status_line(&status, m, text, sizeof(text));
    ck_assert_str_eq(text, "  0.0 MIPS  999  VMX -N-");
    machine_free(m);
}
END_TEST

START_TEST(keys_by_name)
{
    struct error err = {{0}};
    machine_up("1");
    told();
    ck_assert(sendkey(m->pc, "ctrl-alt-delete", &err));
    ck_assert_str_eq(told(), "14 11 e0 71 e0 f0 71 f0 11 f0 14");
    static const char *const wrong[] = {"", "ctrl-", "-", "nosuch-a", "a-b-c-d-e-f-g-h-i"};
    for (size_t n = 0; n < ARRAY_SIZE(wrong); n++) {
        err = (struct error){{0}};
        ck_assert(!sendkey(m->pc, wrong[n], &err));
        ck_assert(err.text[0]);
    }
    ck_assert_str_eq(told(), "");
    sendkey_text(m->pc, "aB\n");
    ck_assert_str_eq(told(), "1c f0 1c 12 32 f0 32 f0 12 5a f0 5a");
    machine_free(m);
}
END_TEST

SUITE_MAIN("window", &keys, &hot_keys, &mouse, &closing, &draws, &no_display, &font, &status_texts,
           &keys_by_name)
