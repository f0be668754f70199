/* SPDX-License-Identifier: MIT */
/*
 * The window (--display sdl): the machine's screen, a status line below it, and its keyboard and
 * mouse. It looks at the machine and never changes it but by input (pc_key(), pc_mouse(), the power
 * button).
 *
 * A click into the picture grabs mouse and keyboard; Ctrl-Alt-G takes and releases them, Ctrl-Alt-F
 * toggles full screen, Ctrl-Alt-S writes a screenshot, Ctrl-Alt-plus and -minus change the scale,
 * Ctrl-Alt-Q ends the run. Closing the window presses the power button first, then ends the run.
 */
#ifndef FRONTEND_WINDOW_H
#define FRONTEND_WINDOW_H

#include "base/error.h"
#include "configs/machine.h"

#define WINDOW_STATUS_HEIGHT 20 /* pixels below the picture */

struct window;

/* NULL, with err set, where there is no display. m outlives it. One window of a program at most. */
struct window *window_open(struct machine *m, struct error *err);
void window_close(struct window *w); /* NULL is allowed */

/* How long one may wait before the next window_poll(): host nanoseconds; 0: something happened. */
u64 window_patience(struct window *w);

/*
 * Takes what happened, and draws, as often as a person can tell: it may be called all the time, and
 * when clock->now is exact. True: the run is to end.
 */
bool window_poll(struct window *w);

#endif
