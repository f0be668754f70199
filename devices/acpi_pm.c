/* SPDX-License-Identifier: MIT */
/*
 * From the 82371AB (PIIX4) data sheet, "Power Management I/O Space Registers", and the ACPI
 * specification, "ACPI Hardware Specification". Registers are seen byte by byte, as nothing of them
 * changes within an access.
 */
#include "devices/acpi_pm.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define REG_STATUS 0x00
#define REG_ENABLE 0x02
#define REG_CONTROL 0x04
#define REG_SLEEP 0x05 /* the control register's high byte */
#define REG_TIMER 0x08
#define REG_GPE_STATUS 0x0c
#define REG_GPE_ENABLE 0x0e
#define REG_GLOBAL_STATUS 0x18
#define REG_GLOBAL_CONTROL 0x28
#define REG_OUTPUTS 0x34

#define STS_TIMER BIT32(0)
#define STS_POWER_BUTTON BIT32(8)
#define CNT_SCI_EN BIT32(0)
#define SLEEP_TYPE(v) (((v) >> 2) & 7)
#define SLEEP_EN BIT32(5)
#define GLOBAL_APM BIT32(5)
#define GLOBAL_SMI_EN BIT32(0)
#define TIMER_BITS 24
#define OUTPUTS_RESET UINT32_C(0x7fffbfff)

struct acpi_pm {
    const struct device_env *env;
    u8 reg[ACPI_PM_PORTS]; /* but the timer */
    u64 halves_seen;       /* times that the timer's top bit had changed at the last look */
    struct clock_event timer;
};

/* Which bits a write changes, and in which a written 1 clears. The timer and inputs are read-only. */
static const struct {
    u8 writable[ACPI_PM_PORTS], clear[ACPI_PM_PORTS];
} masks = {
    .writable =
        {
            [REG_ENABLE] = 0x21,
            [REG_ENABLE + 1] = 0x05,
            [REG_CONTROL] = 0x03,
            [REG_SLEEP] = 0x1c,
            [REG_GPE_ENABLE] = 0x01,
            [REG_GPE_ENABLE + 1] = 0x0f,
            [0x10] = 0xff,
            [0x11] = 0xff,
            [0x12] = 0xff,
            [0x13] = 0xff,
            [0x20] = 0xff,
            [0x21] = 0xff,
            [REG_GLOBAL_CONTROL] = 0xff,
            [REG_GLOBAL_CONTROL + 1] = 0xff,
            [0x2a] = 0xff,
            [0x2b] = 0xff,
            [0x2c] = 0xff,
            [0x2d] = 0xff,
            [0x2e] = 0xff,
            [0x2f] = 0xff,
            [REG_OUTPUTS] = 0xff,
            [REG_OUTPUTS + 1] = 0xff,
            [REG_OUTPUTS + 2] = 0xff,
            [REG_OUTPUTS + 3] = 0xff,
        },
    .clear =
        {
            [REG_STATUS] = 0x21,
            [REG_STATUS + 1] = 0x8d,
            [REG_GPE_STATUS] = 0x01,
            [REG_GPE_STATUS + 1] = 0x0f,
            [REG_GLOBAL_STATUS] = 0xff,
            [REG_GLOBAL_STATUS + 1] = 0xff,
            [0x1c] = 0xff,
            [0x1d] = 0xff,
            [0x1e] = 0xff,
            [0x1f] = 0xff,
        },
};

static u32 get16(const struct acpi_pm *pm, unsigned offset)
{
    return pm->reg[offset] | (u32)pm->reg[offset + 1] << 8;
}

static u64 timer_units(const struct acpi_pm *pm)
{
    return clock_to_units(pm->env->clock, pm->env->clock->now, ACPI_PM_HZ);
}

/* TMROF_STS is set when the timer's top bit changes. */
static void sync_timer(struct acpi_pm *pm)
{
    u64 halves = timer_units(pm) >> (TIMER_BITS - 1);
    if (halves != pm->halves_seen)
        pm->reg[REG_STATUS] |= STS_TIMER;
    pm->halves_seen = halves;
}

static void update(struct acpi_pm *pm)
{
    struct irq_line sci = device_line(pm->env, LINE_GSI + ACPI_SCI);
    struct clock *clock = pm->env->clock;
    bool event = (get16(pm, REG_STATUS) & get16(pm, REG_ENABLE)) ||
                 (get16(pm, REG_GPE_STATUS) & get16(pm, REG_GPE_ENABLE));
    irq_set(&sci, event && (pm->reg[REG_CONTROL] & CNT_SCI_EN));
    if (pm->reg[REG_ENABLE] & STS_TIMER)
        clock_event_set(
            clock, &pm->timer,
            clock_from_units(clock, (pm->halves_seen + 1) << (TIMER_BITS - 1), ACPI_PM_HZ));
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
    pm->reg[REG_STATUS + 1] |= STS_POWER_BUTTON >> 8;
    update(pm);
}

void acpi_pm_enable(struct acpi_pm *pm, bool on)
{
    u8 *control = &pm->reg[REG_CONTROL];
    *control = (u8)(on ? *control | CNT_SCI_EN : *control & ~CNT_SCI_EN);
    update(pm);
}

/* The end-of-SMI bit of the hardware, which would hold back a second one, is not modelled. */
bool acpi_pm_software_smi(struct acpi_pm *pm)
{
    pm->reg[REG_GLOBAL_STATUS] |= GLOBAL_APM;
    return pm->reg[REG_GLOBAL_CONTROL] & GLOBAL_SMI_EN;
}

static void sleep_now(struct acpi_pm *pm, u64 value)
{
    if (SLEEP_TYPE(value) == ACPI_S5_TYPE)
        device_stop(pm->env, STOP_POWEROFF, 0);
    else
        unimplemented("ACPI sleep state other than S5");
}

static u64 block_read(void *opaque, u64 offset, unsigned size)
{
    struct acpi_pm *pm = opaque;
    (void)size;
    sync_timer(pm);
    if (offset - REG_TIMER < TIMER_BITS / 8)
        return timer_units(pm) >> (8 * (offset - REG_TIMER));
    return pm->reg[offset];
}

static void block_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct acpi_pm *pm = opaque;
    u8 writable = masks.writable[offset], *reg = &pm->reg[offset];
    (void)size;
    sync_timer(pm);
    *reg = (u8)(((*reg & ~writable) | (value & writable)) & ~(value & masks.clear[offset]));
    if (offset == REG_SLEEP && (value & SLEEP_EN))
        sleep_now(pm, value);
    update(pm);
}

const struct bus_ops acpi_pm_ops = {block_read, block_write, 1};

void acpi_pm_reset(struct acpi_pm *pm)
{
    memset(pm->reg, 0, sizeof(pm->reg));
    for (unsigned n = 0; n < 4; n++)
        pm->reg[REG_OUTPUTS + n] = (u8)(OUTPUTS_RESET >> (8 * n));
    pm->halves_seen = timer_units(pm) >> (TIMER_BITS - 1);
    update(pm);
}

struct acpi_pm *acpi_pm_new(const struct device_env *env)
{
    struct acpi_pm *pm = xalloc(sizeof(*pm));
    pm->env = env;
    clock_event_init(&pm->timer, "acpi pm timer", timer_due, pm);
    return pm;
}

void acpi_pm_snap(struct acpi_pm *pm, struct snap *s)
{
    SNAP(s, pm->reg);
    SNAP(s, pm->halves_seen);
    snap_event(s, pm->env->clock, &pm->timer);
}

void acpi_pm_free(struct acpi_pm *pm)
{
    clock_event_cancel(pm->env->clock, &pm->timer);
    free(pm);
}
