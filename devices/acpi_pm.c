/* SPDX-License-Identifier: MIT */
/* From the ACPI specification, "ACPI Hardware Specification". There is no management mode. */
#include "devices/acpi_pm.h"

#include <stdlib.h>

#include "base/alloc.h"

#define STS_TIMER BIT32(0)
#define STS_GLOBAL BIT32(5)
#define STS_POWER_BUTTON BIT32(8)
#define STS_RTC BIT32(10)
#define STS_WAKE BIT32(15)
#define STS_ALL (STS_TIMER | STS_GLOBAL | STS_POWER_BUTTON | STS_RTC | STS_WAKE)
#define EN_ALL (STS_TIMER | STS_GLOBAL | STS_POWER_BUTTON | STS_RTC)
#define CNT_SCI_EN BIT32(0)
#define CNT_SLEEP_TYPE(v) (((v) >> 10) & 7)
#define CNT_SLEEP_EN BIT32(13)
#define CNT_WRITABLE 0x1c06u /* SCI_EN is read-only here: the command port sets it */

struct acpi_pm {
    const struct device_env *env;
    u16 status, enable, control;
    u16 gpe_status, gpe_enable;
    u8 command, data; /* ports 0xb2, 0xb3 */
    u64 halves_seen;  /* times that the timer's top bit had changed at the last look */
    struct clock_event timer;
};

static u64 timer_units(const struct acpi_pm *pm)
{
    return clock_to_units(pm->env->clock, pm->env->clock->now, ACPI_PM_HZ);
}

/* TMR_STS is set when bit 31 of the timer changes. */
static void sync_timer(struct acpi_pm *pm)
{
    u64 halves = timer_units(pm) >> 31;
    if (halves != pm->halves_seen)
        pm->status |= STS_TIMER;
    pm->halves_seen = halves;
}

static void update(struct acpi_pm *pm)
{
    struct irq_line sci = device_line(pm->env, LINE_GSI + ACPI_SCI);
    struct clock *clock = pm->env->clock;
    bool event = (pm->status & pm->enable & EN_ALL) || (pm->gpe_status & pm->gpe_enable);
    irq_set(&sci, event && (pm->control & CNT_SCI_EN));
    if (pm->enable & STS_TIMER)
        clock_event_set(clock, &pm->timer,
                        clock_from_units(clock, (pm->halves_seen + 1) << 31, ACPI_PM_HZ));
    else
        clock_event_cancel(clock, &pm->timer);
}

static void timer_due(void *opaque)
{
    sync_timer(opaque);
    update(opaque);
}

void acpi_pm_power_button(struct acpi_pm *pm)
{
    pm->status |= STS_POWER_BUTTON;
    update(pm);
}

static void control_write(struct acpi_pm *pm, u32 value)
{
    pm->control = (u16)((pm->control & CNT_SCI_EN) | (value & CNT_WRITABLE));
    if (!(value & CNT_SLEEP_EN))
        return;
    if (CNT_SLEEP_TYPE(value) == ACPI_S5_TYPE)
        device_stop(pm->env, STOP_POWEROFF, 0);
    else
        unimplemented("ACPI sleep state other than S5");
}

/* The block from ACPI_PM_EVENT, as 16-bit registers. */
static u64 block_read(void *opaque, u64 offset, unsigned size)
{
    struct acpi_pm *pm = opaque;
    u64 word;
    sync_timer(pm);
    switch (offset & ~UINT64_C(1)) {
    case 0:
        word = pm->status;
        break;
    case 2:
        word = pm->enable;
        break;
    case 4:
        word = pm->control;
        break;
    default:
        word = 0;
    }
    return (word >> (offset & 1) * 8) & MASK(size * 8);
}

/* What a write to the byte or word at offset makes of a register, and which bits it touches. */
static u16 placed(u64 offset, unsigned size, u64 value, u16 *mask)
{
    unsigned shift = (unsigned)(offset & 1) * 8;
    *mask = (u16)(MASK(size * 8) << shift);
    return (u16)(value << shift);
}

static void block_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct acpi_pm *pm = opaque;
    u16 mask, word = placed(offset, size, value, &mask);
    sync_timer(pm);
    switch (offset & ~UINT64_C(1)) {
    case 0: /* written ones clear */
        pm->status &= (u16) ~(word & STS_ALL);
        break;
    case 2:
        pm->enable = (u16)((pm->enable & ~mask) | (word & mask & EN_ALL));
        break;
    case 4:
        control_write(pm, (u32)((pm->control & ~mask) | (word & mask)));
        break;
    }
    update(pm);
}

static u64 timer_read(void *opaque, u64 offset, unsigned size)
{
    return ((u32)timer_units(opaque) >> offset * 8) & MASK(size * 8);
}

static void timer_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    (void)opaque;
    (void)offset;
    (void)size;
    (void)value;
}

static u64 gpe_read(void *opaque, u64 offset, unsigned size)
{
    struct acpi_pm *pm = opaque;
    u64 word = offset & 2 ? pm->gpe_enable : pm->gpe_status;
    return (word >> (offset & 1) * 8) & MASK(size * 8);
}

static void gpe_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct acpi_pm *pm = opaque;
    u16 mask, word = placed(offset, size, value, &mask);
    if (offset & 2)
        pm->gpe_enable = (u16)((pm->gpe_enable & ~mask) | (word & mask));
    else
        pm->gpe_status &= (u16)~word;
    update(pm);
}

static u64 smi_read(void *opaque, u64 offset, unsigned size)
{
    struct acpi_pm *pm = opaque;
    (void)size;
    return offset ? pm->data : pm->command;
}

/* Stands for the firmware's handler of the software SMI. */
static void smi_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct acpi_pm *pm = opaque;
    (void)size;
    if (offset) {
        pm->data = (u8)value;
        return;
    }
    pm->command = (u8)value;
    if (value == ACPI_ENABLE)
        pm->control |= CNT_SCI_EN;
    else if (value == ACPI_DISABLE)
        pm->control &= (u16)~CNT_SCI_EN;
    update(pm);
}

static const struct bus_ops block_ops = {block_read, block_write, 2};
static const struct bus_ops timer_ops = {timer_read, timer_write, 4};
static const struct bus_ops gpe_ops = {gpe_read, gpe_write, 2};
static const struct bus_ops smi_ops = {smi_read, smi_write, 1};

static void acpi_pm_reset(void *device)
{
    struct acpi_pm *pm = device;
    pm->status = pm->enable = pm->control = pm->gpe_status = pm->gpe_enable = 0;
    pm->command = pm->data = 0;
    pm->halves_seen = timer_units(pm) >> 31;
    update(pm);
}

static void *acpi_pm_create(const struct device_env *env, const void *config, struct error *err)
{
    struct acpi_pm *pm = xalloc(sizeof(*pm));
    (void)config;
    (void)err;
    pm->env = env;
    clock_event_init(&pm->timer, "acpi pm timer", timer_due, pm);
    bus_map_io(env->bus, &(struct bus_region){ACPI_PM_EVENT, 6, &block_ops, pm, "acpi pm1"});
    bus_map_io(env->bus, &(struct bus_region){ACPI_PM_TIMER, 4, &timer_ops, pm, "acpi timer"});
    bus_map_io(env->bus, &(struct bus_region){ACPI_PM_GPE0, 4, &gpe_ops, pm, "acpi gpe0"});
    bus_map_io(env->bus, &(struct bus_region){ACPI_SMI_COMMAND, 2, &smi_ops, pm, "smi command"});
    return pm;
}

static void acpi_pm_snap(void *device, struct snap *s)
{
    struct acpi_pm *pm = device;
    snap_section(s, "acpi_pm", 1);
    SNAP(s, pm->status);
    SNAP(s, pm->enable);
    SNAP(s, pm->control);
    SNAP(s, pm->gpe_status);
    SNAP(s, pm->gpe_enable);
    SNAP(s, pm->command);
    SNAP(s, pm->data);
    SNAP(s, pm->halves_seen);
    snap_event(s, pm->env->clock, &pm->timer);
}

static void acpi_pm_free(void *device)
{
    struct acpi_pm *pm = device;
    clock_event_cancel(pm->env->clock, &pm->timer);
    bus_unmap_io(pm->env->bus, ACPI_PM_EVENT);
    bus_unmap_io(pm->env->bus, ACPI_PM_TIMER);
    bus_unmap_io(pm->env->bus, ACPI_PM_GPE0);
    bus_unmap_io(pm->env->bus, ACPI_SMI_COMMAND);
    free(pm);
}

const struct device_class acpi_pm_class = {
    .name = "acpi_pm",
    .help = "ACPI fixed hardware: events, soft-off, 3.579545 MHz timer, GPE block",
    .create = acpi_pm_create,
    .reset = acpi_pm_reset,
    .snap = acpi_pm_snap,
    .free = acpi_pm_free,
};
