/* SPDX-License-Identifier: MIT */
#include "frontend/window.h"

#include <SDL.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "devices/keys.h"
#include "devices/picture.h"
#include "frontend/font.h"
#include "frontend/screenshot.h"
#include "frontend/status.h"

/* Host time between two looks at events: at least, and at most. */
#define POLL_NS UINT64_C(4000000)
#define IDLE_NS UINT64_C(8000000)
#define FRAME_NS UINT64_C(33000000)
#define STATUS_NS UINT64_C(250000000)
#define STATUS_ZOOM 2
#define STATUS_COLOUR 0x00c8c8c8
#define STATUS_GROUND 0x00202020
#define ZOOM_MAX 4
#define FIRST_WIDTH 720 /* until the machine shows something: as in text mode */
#define FIRST_HEIGHT 400
#define KEYS 256

struct window {
    struct machine *m;
    SDL_Window *sdl;
    SDL_Renderer *renderer;
    SDL_Texture *screen, *line; /* the picture; the status line */
    struct picture picture;
    u32 line_width;
    u32 zoom;
    bool grabbed, stale; /* stale: what was drawn is gone, or the layout is another */
    bool closing;        /* it was closed once */
    bool quit;
    bool down[KEYS]; /* as the guest was told */
    struct ps2_motion motion;
    bool moved;                /* motion holds what the guest has yet to be told */
    u64 polled, drawn, looked; /* host time of the last */
    struct status status;
    char text[160];
};

static u64 host_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * UINT64_C(1000000000) + (u64)t.tv_nsec;
}

/* ---- Drawing ---- */

static void set_title(struct window *w)
{
    const char *title = w->closing   ? "Testudo - power button pressed; close again to end"
                        : w->grabbed ? "Testudo - Ctrl-Alt-G releases mouse and keyboard"
                                     : "Testudo";
    SDL_SetWindowTitle(w->sdl, title);
}

static SDL_Texture *new_texture(struct window *w, SDL_Texture *old, u32 width, u32 height)
{
    if (old)
        SDL_DestroyTexture(old);
    return SDL_CreateTexture(w->renderer, SDL_PIXELFORMAT_RGB888, SDL_TEXTUREACCESS_STREAMING,
                             (int)width, (int)height);
}

/* The window follows the guest's mode, unless somebody made it full. */
static void fit_window(struct window *w)
{
    if (SDL_GetWindowFlags(w->sdl) & (SDL_WINDOW_FULLSCREEN_DESKTOP | SDL_WINDOW_MAXIMIZED))
        return;
    SDL_SetWindowSize(w->sdl, (int)(w->picture.width * w->zoom),
                      (int)(w->picture.height * w->zoom + WINDOW_STATUS_HEIGHT));
}

/* Where the picture goes in an area: as large as its shape allows, in the middle. */
static SDL_Rect placed(const struct picture *picture, int width, int height)
{
    s64 pw = picture->width, ph = picture->height;
    SDL_Rect at = {0, 0, width, MAX(height, 1)};
    if ((s64)width * ph > (s64)at.h * pw)
        at.w = (int)MAX(at.h * pw / ph, 1);
    else
        at.h = (int)MAX(width * ph / pw, 1);
    at.x = (width - at.w) / 2;
    at.y = (MAX(height, 1) - at.h) / 2;
    return at;
}

static bool update_screen(struct window *w)
{
    u32 width = w->picture.width, height = w->picture.height;
    const struct vga *vga = pc_vga(w->m->pc);
    bool changed = vga && vga_render(vga, &w->picture);
    if (!w->picture.width && picture_resize(&w->picture, FIRST_WIDTH, FIRST_HEIGHT))
        changed = true;
    if (w->picture.width != width || w->picture.height != height) {
        w->screen = new_texture(w, w->screen, w->picture.width, w->picture.height);
        fit_window(w);
        w->stale = true;
    }
    if ((changed || w->stale) && w->screen)
        SDL_UpdateTexture(w->screen, NULL, w->picture.pixel,
                          (int)(w->picture.width * sizeof(*w->picture.pixel)));
    return changed;
}

static void draw_line(struct window *w)
{
    size_t pixels = (size_t)w->line_width * WINDOW_STATUS_HEIGHT;
    struct font_target to = {xalloc_array(pixels, sizeof(u32)), w->line_width, WINDOW_STATUS_HEIGHT,
                             STATUS_ZOOM};
    for (size_t n = 0; n < pixels; n++)
        to.pixel[n] = STATUS_GROUND;
    font_draw(&to, 4, 3, w->text, STATUS_COLOUR);
    SDL_UpdateTexture(w->line, NULL, to.pixel, (int)(w->line_width * sizeof(u32)));
    free(to.pixel);
}

static bool update_line(struct window *w, u32 width, u64 now)
{
    char text[sizeof(w->text)];
    bool due = now - w->looked >= STATUS_NS;
    if (due) {
        status_look(&w->status, w->m, now);
        w->looked = now;
        status_line(&w->status, w->m, text, sizeof(text));
        due = strcmp(text, w->text);
        memcpy(w->text, text, sizeof(text));
    }
    if (!w->line || width != w->line_width) {
        w->line = new_texture(w, w->line, width, WINDOW_STATUS_HEIGHT);
        w->line_width = width;
        due = true;
    }
    if ((due || w->stale) && w->line)
        draw_line(w);
    return due;
}

static void present(struct window *w, int width, int height)
{
    SDL_Rect line = {0, height - WINDOW_STATUS_HEIGHT, width, WINDOW_STATUS_HEIGHT};
    SDL_Rect at = placed(&w->picture, width, height - WINDOW_STATUS_HEIGHT);
    bool whole = at.w % (int)w->picture.width == 0 && at.h % (int)w->picture.height == 0;
    SDL_SetRenderDrawColor(w->renderer, 0, 0, 0, 255);
    SDL_RenderClear(w->renderer);
    if (w->screen) {
        SDL_SetTextureScaleMode(w->screen, whole ? SDL_ScaleModeNearest : SDL_ScaleModeLinear);
        SDL_RenderCopy(w->renderer, w->screen, NULL, &at);
    }
    if (w->line)
        SDL_RenderCopy(w->renderer, w->line, NULL, &line);
    SDL_RenderPresent(w->renderer);
    w->stale = false;
}

static void draw(struct window *w, u64 now)
{
    int width, height;
    bool changed = update_screen(w);
    if (SDL_GetRendererOutputSize(w->renderer, &width, &height) || width < 1 || height < 1)
        return;
    changed |= update_line(w, (u32)width, now);
    if (changed || w->stale)
        present(w, width, height);
}

/* ---- Keyboard ---- */

static void tell_key(struct window *w, u8 usage, bool down)
{
    if (w->down[usage] == down)
        return;
    w->down[usage] = down;
    pc_key(w->m->pc, usage, down);
}

static void release_keys(struct window *w)
{
    for (unsigned usage = 0; usage < KEYS; usage++)
        tell_key(w, (u8)usage, false);
}

static void grab(struct window *w, bool on)
{
    w->grabbed = on;
    SDL_SetRelativeMouseMode(on ? SDL_TRUE : SDL_FALSE);
    SDL_SetWindowKeyboardGrab(w->sdl, on ? SDL_TRUE : SDL_FALSE);
    set_title(w);
}

static void toggle_full(struct window *w)
{
    bool full = SDL_GetWindowFlags(w->sdl) & SDL_WINDOW_FULLSCREEN_DESKTOP;
    SDL_SetWindowFullscreen(w->sdl, full ? 0 : SDL_WINDOW_FULLSCREEN_DESKTOP);
    if (full)
        fit_window(w);
    w->stale = true;
}

static void rescale(struct window *w, u32 zoom)
{
    w->zoom = MIN(MAX(zoom, 1u), ZOOM_MAX);
    fit_window(w);
}

#define SHOTS_MAX 1000

/* The picture goes into the first file testudo-NNN.png that isn't there. */
static void screenshot(const struct window *w)
{
    struct error err = {{0}};
    char path[32];
    unsigned n = 0;
    do {
        snprintf(path, sizeof(path), "testudo-%03u.png", n);
    } while (!access(path, F_OK) && ++n < SHOTS_MAX);
    if (n == SHOTS_MAX)
        error_set(&err, "%s and all before it are there already", path);
    else if (screenshot_write(&w->picture, path, &err))
        fprintf(stderr, "testudo: the screen is in %s\n", path);
    if (err.text[0])
        fprintf(stderr, "testudo: %s\n", err.text);
}

/* Ctrl-Alt and a key: for the window. */
static bool hot_key(struct window *w, SDL_Scancode key)
{
    if (!(w->down[KEY_CTRL] || w->down[KEY_CTRL_R]) || !w->down[KEY_ALT])
        return false;
    switch (key) {
    case SDL_SCANCODE_F:
        toggle_full(w);
        return true;
    case SDL_SCANCODE_G:
        grab(w, !w->grabbed);
        return true;
    case SDL_SCANCODE_Q:
        w->quit = true;
        return true;
    case SDL_SCANCODE_S:
        screenshot(w);
        return true;
    case SDL_SCANCODE_EQUALS:
    case SDL_SCANCODE_KP_PLUS:
        rescale(w, w->zoom + 1);
        return true;
    case SDL_SCANCODE_MINUS:
    case SDL_SCANCODE_KP_MINUS:
        rescale(w, w->zoom - 1);
        return true;
    default:
        return false;
    }
}

/* SDL's scan codes are the keys' USB HID usages, as ours. The guest's keyboard repeats by itself. */
static void key_event(struct window *w, const SDL_KeyboardEvent *event)
{
    SDL_Scancode key = event->keysym.scancode;
    if (event->repeat || key >= KEYS)
        return;
    if (event->state != SDL_PRESSED || !hot_key(w, key))
        tell_key(w, (u8)key, event->state == SDL_PRESSED);
}

/* ---- Mouse ---- */

static void tell_motion(struct window *w)
{
    if (!w->moved)
        return;
    pc_mouse(w->m->pc, &w->motion);
    w->motion = (struct ps2_motion){.buttons = w->motion.buttons};
    w->moved = false;
}

static s16 sum(s16 a, int b)
{
    return (s16)MAX(MIN(a + MAX(MIN(b, INT16_MAX), -INT16_MAX), INT16_MAX), -INT16_MAX);
}

static void motion_event(struct window *w, const SDL_MouseMotionEvent *event)
{
    if (!w->grabbed)
        return;
    w->motion.dx = sum(w->motion.dx, event->xrel);
    w->motion.dy = sum(w->motion.dy, event->yrel);
    w->moved = true;
}

/* Each change of a button is told by itself, so that none gets lost. */
static void button_event(struct window *w, const SDL_MouseButtonEvent *event)
{
    static const u8 buttons[] = {[SDL_BUTTON_LEFT] = PS2_BUTTON_LEFT,
                                 [SDL_BUTTON_MIDDLE] = PS2_BUTTON_MIDDLE,
                                 [SDL_BUTTON_RIGHT] = PS2_BUTTON_RIGHT,
                                 [SDL_BUTTON_X1] = PS2_BUTTON_4,
                                 [SDL_BUTTON_X2] = PS2_BUTTON_5};
    u8 button = event->button < ARRAY_SIZE(buttons) ? buttons[event->button] : 0;
    bool down = event->state == SDL_PRESSED;
    if (!w->grabbed) {
        if (down)
            grab(w, true);
        return;
    }
    tell_motion(w);
    w->motion.buttons = (u8)(down ? w->motion.buttons | button : w->motion.buttons & ~button);
    w->moved = true;
    tell_motion(w);
}

static void wheel_event(struct window *w, const SDL_MouseWheelEvent *event)
{
    if (!w->grabbed)
        return;
    w->motion.wheel = (s8)MAX(MIN(w->motion.wheel - event->y, 127), -127);
    w->moved = true;
}

static void lose_focus(struct window *w)
{
    release_keys(w);
    tell_motion(w);
    if (w->motion.buttons) {
        w->motion.buttons = 0;
        w->moved = true;
    }
    if (w->grabbed)
        grab(w, false);
}

/* ---- Events ---- */

static void close_event(struct window *w)
{
    if (w->closing) {
        w->quit = true;
        return;
    }
    w->closing = true;
    pc_power_button(w->m->pc);
    set_title(w);
}

static void window_event(struct window *w, const SDL_WindowEvent *event)
{
    switch (event->event) {
    case SDL_WINDOWEVENT_CLOSE:
        close_event(w);
        break;
    case SDL_WINDOWEVENT_FOCUS_LOST:
        lose_focus(w);
        break;
    case SDL_WINDOWEVENT_EXPOSED:
    case SDL_WINDOWEVENT_SIZE_CHANGED:
        w->stale = true;
        break;
    default:
        break;
    }
}

static void take_event(struct window *w, const SDL_Event *event)
{
    switch (event->type) {
    case SDL_KEYDOWN:
    case SDL_KEYUP:
        key_event(w, &event->key);
        break;
    case SDL_MOUSEMOTION:
        motion_event(w, &event->motion);
        break;
    case SDL_MOUSEBUTTONDOWN:
    case SDL_MOUSEBUTTONUP:
        button_event(w, &event->button);
        break;
    case SDL_MOUSEWHEEL:
        wheel_event(w, &event->wheel);
        break;
    case SDL_WINDOWEVENT:
        window_event(w, &event->window);
        break;
    case SDL_RENDER_TARGETS_RESET:
    case SDL_RENDER_DEVICE_RESET:
        w->stale = true;
        break;
    default:
        break; /* SDL_QUIT follows the closing of the last window, which was heard already */
    }
}

u64 window_patience(struct window *w)
{
    SDL_PumpEvents();
    if (!SDL_HasEvents(SDL_FIRSTEVENT, SDL_LASTEVENT))
        return IDLE_NS;
    w->polled = 0; /* so that the next look is not put off */
    return 0;
}

bool window_poll(struct window *w)
{
    u64 now = host_ns();
    if (now - w->polled < POLL_NS)
        return w->quit;
    SDL_Event event;
    w->polled = now;
    while (SDL_PollEvent(&event))
        take_event(w, &event);
    tell_motion(w);
    if (now - w->drawn >= FRAME_NS) {
        draw(w, now);
        w->drawn = now;
    }
    return w->quit;
}

/* ---- Life ---- */

static bool create(struct window *w)
{
    w->sdl =
        SDL_CreateWindow("Testudo", SDL_WINDOWPOS_UNDEFINED, SDL_WINDOWPOS_UNDEFINED, FIRST_WIDTH,
                         FIRST_HEIGHT + WINDOW_STATUS_HEIGHT, SDL_WINDOW_RESIZABLE);
    if (!w->sdl)
        return false;
    w->renderer = SDL_CreateRenderer(w->sdl, -1, 0);
    return w->renderer;
}

struct window *window_open(struct machine *m, struct error *err)
{
    /* Ctrl-C ends the program as ever; the compositor and the screen saver are the user's. */
    SDL_SetHint(SDL_HINT_NO_SIGNAL_HANDLERS, "1");
    SDL_SetHint(SDL_HINT_VIDEO_X11_NET_WM_BYPASS_COMPOSITOR, "0");
    SDL_SetHint(SDL_HINT_MOUSE_FOCUS_CLICKTHROUGH, "1");
    struct window *w = xalloc(sizeof(*w));
    w->m = m;
    w->zoom = 1;
    w->stale = true;
    if (SDL_Init(SDL_INIT_VIDEO) || !create(w)) {
        error_set(err, "--display sdl: %s", SDL_GetError());
        window_close(w);
        return NULL;
    }
    SDL_EnableScreenSaver();
    set_title(w);
    return w;
}

void window_close(struct window *w)
{
    if (!w)
        return;
    if (w->screen)
        SDL_DestroyTexture(w->screen);
    if (w->line)
        SDL_DestroyTexture(w->line);
    if (w->renderer)
        SDL_DestroyRenderer(w->renderer);
    if (w->sdl)
        SDL_DestroyWindow(w->sdl);
    SDL_Quit();
    picture_free(&w->picture);
    free(w);
}
