/* SPDX-License-Identifier: MIT */
/* Where the beam is: from the CRTC's registers and the machine's clock. */
#include "devices/vga_state.h"

#define STATUS_BLANK 0x01u /* no display: a retrace or a border */
#define STATUS_RETRACE 0x08u

/* Lines and dots of a frame; what is shown comes first. */
struct timing {
    u32 dot_hz;
    u32 dots, dots_shown;
    u32 lines, lines_shown;
    u32 retrace, retrace_end; /* lines */
};

static const struct timing vga_640x480 = {25175000, 800, 640, 525, 480, 490, 492};

/* Bits 8 and 9 are in the overflow register; those of line compare also elsewhere. */
u32 vga_vertical(const struct vga *vga, unsigned lowest)
{
    u32 over = vga->crtc[CRTC_OVERFLOW], low = vga->crtc[lowest];
    switch (lowest) {
    case CRTC_VERTICAL_TOTAL:
        return low | (over & 0x01) << 8 | (over & 0x20) << 4;
    case CRTC_VERTICAL_END:
        return low | (over & 0x02) << 7 | (over & 0x40) << 3;
    case CRTC_RETRACE_START:
        return low | (over & 0x04) << 6 | (over & 0x80) << 2;
    default:
        ASSERT(lowest == CRTC_LINE_COMPARE);
        return low | (over & 0x10) << 4 | (vga->crtc[CRTC_MAXIMUM_SCAN] & 0x40u) << 3;
    }
}

static struct timing from_crtc(const struct vga *vga)
{
    u32 dots = vga->seq[SEQ_CLOCKING] & CLOCKING_8_DOTS ? 8 : 9;
    u32 retrace = vga_vertical(vga, CRTC_RETRACE_START);
    u32 length = (vga->crtc[CRTC_RETRACE_END] - retrace) & 15;
    struct timing t = {
        .dot_hz = (vga->misc >> 2 & 3) == 1 ? 28322000 : 25175000,
        .dots = (vga->crtc[CRTC_HORIZONTAL_TOTAL] + 5u) * dots,
        .dots_shown = (vga->crtc[CRTC_HORIZONTAL_END] + 1u) * dots,
        .lines = vga_vertical(vga, CRTC_VERTICAL_TOTAL) + 2,
        .lines_shown = vga_vertical(vga, CRTC_VERTICAL_END) + 1,
        .retrace = retrace,
        .retrace_end = retrace + (length ? length : 16),
    };
    if (vga->seq[SEQ_CLOCKING] & CLOCKING_HALF)
        t.dot_hz /= 2;
    return t;
}

/*
 * The extension's modes have no timing of their own. Nor has a CRTC that nobody has set up, or not
 * so that a monitor would follow; a guest that waits for a retrace shall still see one.
 */
static struct timing timing_of(const struct vga *vga)
{
    struct timing t = from_crtc(vga);
    bool good = t.dots_shown < t.dots && t.lines_shown <= t.retrace && t.retrace_end < t.lines &&
                t.dots >= 100 && t.lines >= 100;
    return good && !vga_dispi_on(vga) ? t : vga_640x480;
}

static u64 dots_now(const struct vga *vga, const struct timing *t)
{
    return clock_to_units(vga->env->clock, vga->env->clock->now, t->dot_hz);
}

u8 vga_status(const struct vga *vga)
{
    struct timing t = timing_of(vga);
    u32 at = (u32)(dots_now(vga, &t) % (t.dots * t.lines));
    u32 line = at / t.dots, dot = at % t.dots;
    bool blank = line >= t.lines_shown || dot >= t.dots_shown;
    bool retrace = line >= t.retrace && line < t.retrace_end;
    return (u8)((blank ? STATUS_BLANK : 0) | (retrace ? STATUS_RETRACE : 0));
}

u64 vga_frame(const struct vga *vga)
{
    struct timing t = timing_of(vga);
    return dots_now(vga, &t) / (t.dots * t.lines);
}
