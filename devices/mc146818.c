/* SPDX-License-Identifier: MIT */
/*
 * From Motorola's MC146818A data sheet. The ten time registers hold the time of the last update and
 * are brought up to date when somebody looks. An update is instantaneous; UIP announces it 244 us
 * ahead. Flags that no interrupt is enabled for are worked out when register C is read.
 */
#include "devices/mc146818.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"

#define CRYSTAL_HZ 32768

enum {
    SECONDS,
    SECONDS_ALARM,
    MINUTES,
    MINUTES_ALARM,
    HOURS,
    HOURS_ALARM,
    WEEKDAY,
    DAY,
    MONTH,
    YEAR
};
enum { REG_A = 10, REG_B, REG_C, REG_D, CENTURY = 0x32, CMOS_SIZE = 128 };

#define A_UIP 0x80
#define A_DIVIDER 0x70
#define A_RUNNING 0x20 /* the divider setting for a 32,768 Hz crystal */
#define A_RATE 0x0f
#define B_SET 0x80
#define B_BINARY 0x04
#define B_24H 0x02
#define C_IRQ 0x80
#define C_PERIODIC 0x40
#define C_ALARM 0x20
#define C_UPDATE 0x10
#define C_SOURCES 0x70 /* at the places of their enables in register B */
#define D_VALID 0x80
#define HOUR_PM 0x80
#define ALARM_ANY 0xc0

struct mc146818 {
    const struct device_env *env;
    s64 start;         /* of the power-on */
    s64 synced;        /* the time registers as seconds since 1970 */
    u64 next_update;   /* tick of the next update, while running */
    u64 divider_start; /* tick at which the divider chain began at 0 */
    u64 periods_seen;  /* periods since divider_start at the last look */
    u8 reg[CMOS_SIZE];
    u8 index;
    struct clock_event update, periodic;
};

/* Days since 1970-01-01 of a date of the Gregorian calendar; month 1 to 12. */
static s64 days_of(s64 year, s64 month, s64 day)
{
    year -= month <= 2;
    s64 era = (year >= 0 ? year : year - 399) / 400;
    s64 year_of_era = year - era * 400;
    s64 day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    s64 day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

struct date {
    s64 year;
    unsigned month, day;
};

static struct date date_of(s64 days)
{
    days += 719468;
    s64 era = (days >= 0 ? days : days - 146096) / 146097;
    s64 day_of_era = days - era * 146097;
    s64 year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    s64 day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    s64 shifted = (5 * day_of_year + 2) / 153;
    s64 month = shifted < 10 ? shifted + 3 : shifted - 9;
    return (struct date){year_of_era + era * 400 + (month <= 2), (unsigned)month,
                         (unsigned)(day_of_year - (153 * shifted + 2) / 5 + 1)};
}

static u8 encode(const struct mc146818 *rtc, unsigned v)
{
    return (u8)(rtc->reg[REG_B] & B_BINARY ? v : v / 10 % 10 << 4 | v % 10);
}

static unsigned decode(const struct mc146818 *rtc, u8 v)
{
    return rtc->reg[REG_B] & B_BINARY ? v : (v >> 4) * 10u + (v & 15);
}

static u8 encode_hour(const struct mc146818 *rtc, unsigned hour)
{
    if (rtc->reg[REG_B] & B_24H)
        return encode(rtc, hour);
    return (u8)(encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0));
}

static unsigned decode_hour(const struct mc146818 *rtc, u8 v)
{
    if (rtc->reg[REG_B] & B_24H)
        return decode(rtc, v);
    return decode(rtc, v & (u8)~HOUR_PM) % 12 + (v & HOUR_PM ? 12 : 0);
}

static void time_to_registers(struct mc146818 *rtc)
{
    s64 days = rtc->synced / 86400, second = rtc->synced % 86400;
    if (second < 0) {
        second += 86400;
        days--;
    }
    struct date date = date_of(days);
    unsigned year = (unsigned)(date.year % 100), century = (unsigned)(date.year / 100 % 100);
    rtc->reg[SECONDS] = encode(rtc, (unsigned)(second % 60));
    rtc->reg[MINUTES] = encode(rtc, (unsigned)(second / 60 % 60));
    rtc->reg[HOURS] = encode_hour(rtc, (unsigned)(second / 3600));
    rtc->reg[WEEKDAY] = encode(rtc, (unsigned)((days % 7 + 11) % 7 + 1));
    rtc->reg[DAY] = encode(rtc, date.day);
    rtc->reg[MONTH] = encode(rtc, date.month);
    rtc->reg[YEAR] = encode(rtc, year);
    rtc->reg[CENTURY] = (u8)(century / 10 << 4 | century % 10);
}

/* A guest may have written anything: what is out of range counts on (13 o'clock of day 45). */
static void registers_to_time(struct mc146818 *rtc)
{
    unsigned century = (rtc->reg[CENTURY] >> 4) * 10u + (rtc->reg[CENTURY] & 15);
    unsigned month = decode(rtc, rtc->reg[MONTH]);
    s64 year = (s64)century * 100 + decode(rtc, rtc->reg[YEAR]);
    s64 days = days_of(year, month >= 1 && month <= 12 ? month : 1, decode(rtc, rtc->reg[DAY]));
    rtc->synced = days * 86400 + decode_hour(rtc, rtc->reg[HOURS]) * 3600 +
                  decode(rtc, rtc->reg[MINUTES]) * 60 + decode(rtc, rtc->reg[SECONDS]);
}

static bool divider_runs(const struct mc146818 *rtc)
{
    return (rtc->reg[REG_A] & A_DIVIDER) == A_RUNNING;
}

static bool updates_run(const struct mc146818 *rtc)
{
    return divider_runs(rtc) && !(rtc->reg[REG_B] & B_SET);
}

/* Whether the alarm registers match the time registers; 0xc0 to 0xff match anything. */
static bool alarm_matches(const struct mc146818 *rtc, s64 time)
{
    s64 second = (time % 86400 + 86400) % 86400;
    u8 now[3] = {encode(rtc, (unsigned)(second % 60)), encode(rtc, (unsigned)(second / 60 % 60)),
                 encode_hour(rtc, (unsigned)(second / 3600))};
    for (unsigned n = 0; n < 3; n++) {
        u8 alarm = rtc->reg[SECONDS_ALARM + 2 * n];
        if ((alarm & ALARM_ANY) != ALARM_ANY && alarm != now[n])
            return false;
    }
    return true;
}

/* Performs the updates that are due, up to a day of them one by one for the alarm. */
static void sync(struct mc146818 *rtc)
{
    struct clock *clock = rtc->env->clock;
    if (!updates_run(rtc) || clock->now < rtc->next_update)
        return;
    u64 count = (clock->now - rtc->next_update) / clock->hz + 1;
    for (u64 n = 1; n <= MIN(count, 86400u) && !(rtc->reg[REG_C] & C_ALARM); n++)
        if (alarm_matches(rtc, rtc->synced + (s64)n))
            rtc->reg[REG_C] |= C_ALARM;
    rtc->reg[REG_C] |= C_UPDATE;
    rtc->synced += (s64)count;
    rtc->next_update += count * clock->hz;
    time_to_registers(rtc);
}

/* Frequency of the periodic interrupt as a power of two below the crystal's; 0: none. */
static unsigned rate_shift(const struct mc146818 *rtc)
{
    unsigned rate = rtc->reg[REG_A] & A_RATE;
    if (!rate || !divider_runs(rtc))
        return 0;
    return rate < 3 ? rate + 6 : rate - 1;
}

static u64 periods_now(const struct mc146818 *rtc)
{
    const struct clock *clock = rtc->env->clock;
    u64 ticks = clock->now - rtc->divider_start;
    return clock_to_units(clock, ticks, CRYSTAL_HZ) >> rate_shift(rtc);
}

static void sync_periodic(struct mc146818 *rtc)
{
    if (!rate_shift(rtc))
        return;
    u64 periods = periods_now(rtc);
    if (periods != rtc->periods_seen)
        rtc->reg[REG_C] |= C_PERIODIC;
    rtc->periods_seen = periods;
}

static void schedule(struct mc146818 *rtc)
{
    struct clock *clock = rtc->env->clock;
    u8 enabled = rtc->reg[REG_B];
    if (updates_run(rtc) && (enabled & (C_ALARM | C_UPDATE)))
        clock_event_set(clock, &rtc->update, rtc->next_update);
    else
        clock_event_cancel(clock, &rtc->update);
    if (rate_shift(rtc) && (enabled & C_PERIODIC))
        clock_event_set(
            clock, &rtc->periodic,
            rtc->divider_start +
                clock_from_units(clock, (periods_now(rtc) + 1) << rate_shift(rtc), CRYSTAL_HZ));
    else
        clock_event_cancel(clock, &rtc->periodic);
}

static void update_irq(struct mc146818 *rtc)
{
    struct irq_line line = device_line(rtc->env, LINE_RTC);
    bool irq = rtc->reg[REG_C] & rtc->reg[REG_B] & C_SOURCES;
    rtc->reg[REG_C] = (u8)((rtc->reg[REG_C] & ~C_IRQ) | (irq ? C_IRQ : 0));
    irq_set(&line, irq);
}

static void refresh(struct mc146818 *rtc)
{
    sync(rtc);
    sync_periodic(rtc);
    update_irq(rtc);
}

static void event_due(void *opaque)
{
    refresh(opaque);
    schedule(opaque);
}

static void write_a(struct mc146818 *rtc, u8 value)
{
    struct clock *clock = rtc->env->clock;
    bool ran = divider_runs(rtc);
    rtc->reg[REG_A] = value & (u8)~A_UIP;
    if (!ran && divider_runs(rtc)) {
        /* The first update comes half a second after the divider is released. */
        rtc->divider_start = clock->now;
        rtc->next_update = clock->now + clock->hz / 2;
    }
    rtc->periods_seen = rate_shift(rtc) ? periods_now(rtc) : 0;
}

static void write_b(struct mc146818 *rtc, u8 value)
{
    const struct clock *clock = rtc->env->clock;
    bool ran = updates_run(rtc);
    rtc->reg[REG_B] = value;
    if (value & B_SET)
        rtc->reg[REG_B] = value & (u8)~C_UPDATE;
    if (ran || !updates_run(rtc))
        return;
    /* Updates resume with the divider's second, whose phase SET leaves alone. */
    if (clock->now >= rtc->next_update)
        rtc->next_update += ((clock->now - rtc->next_update) / clock->hz + 1) * clock->hz;
    registers_to_time(rtc);
    time_to_registers(rtc);
}

static void write_register(struct mc146818 *rtc, u8 index, u8 value)
{
    if (index == REG_A) {
        write_a(rtc, value);
    } else if (index == REG_B) {
        write_b(rtc, value);
    } else if (index < REG_A || index == CENTURY) {
        rtc->reg[index] = value;
        bool alarm = index < 6 && (index & 1);
        if (updates_run(rtc) && !alarm)
            registers_to_time(rtc);
    } else if (index != REG_C && index != REG_D) {
        rtc->reg[index] = value;
    }
}

static u8 read_register(struct mc146818 *rtc, u8 index)
{
    const struct clock *clock = rtc->env->clock;
    u8 value = rtc->reg[index];
    if (index == REG_A && updates_run(rtc) &&
        rtc->next_update - clock->now <= clock_from_units(clock, 8, CRYSTAL_HZ))
        return value | A_UIP;
    if (index == REG_C) {
        rtc->reg[REG_C] = 0;
        update_irq(rtc);
    }
    return value;
}

static u64 rtc_read(void *opaque, u64 offset, unsigned size)
{
    struct mc146818 *rtc = opaque;
    (void)size;
    if (!offset)
        return 0xff; /* the index is write-only */
    refresh(rtc);
    return read_register(rtc, rtc->index);
}

static void rtc_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct mc146818 *rtc = opaque;
    (void)size;
    if (!offset) {
        rtc->index = value & (CMOS_SIZE - 1); /* bit 7 masks NMI, which nobody raises here */
        return;
    }
    refresh(rtc);
    write_register(rtc, rtc->index, (u8)value);
    schedule(rtc);
    update_irq(rtc);
}

static const struct bus_ops rtc_ops = {rtc_read, rtc_write, 1};

void mc146818_set_cmos(struct mc146818 *rtc, u8 index, u8 value)
{
    ASSERT(index > REG_D && index < CMOS_SIZE && index != CENTURY);
    rtc->reg[index] = value;
}

/* The reset line spares the battery's domain: time, divider and memory. */
static void mc146818_reset(void *device)
{
    struct mc146818 *rtc = device;
    refresh(rtc);
    rtc->reg[REG_B] &= B_SET | B_BINARY | B_24H;
    rtc->reg[REG_C] = 0;
    rtc->index = 0;
    schedule(rtc);
    update_irq(rtc);
}

static void power_on(struct mc146818 *rtc)
{
    const struct clock *clock = rtc->env->clock;
    rtc->reg[REG_A] = A_RUNNING | 6; /* as firmware leaves it: 1024 Hz */
    rtc->reg[REG_B] = B_24H;
    rtc->reg[REG_D] = D_VALID;
    rtc->synced = rtc->start;
    rtc->divider_start = clock->now;
    rtc->next_update = clock->now + clock->hz;
    time_to_registers(rtc);
}

void mc146818_set_start(struct mc146818 *rtc, s64 start)
{
    rtc->start = rtc->synced = start;
    time_to_registers(rtc);
}

static void *mc146818_create(const struct device_env *env, const void *config, struct error *err)
{
    const struct mc146818_config *c = config;
    struct mc146818 *rtc = xalloc(sizeof(*rtc));
    (void)err;
    rtc->env = env;
    rtc->start = (s64)c->start;
    clock_event_init(&rtc->update, "rtc update", event_due, rtc);
    clock_event_init(&rtc->periodic, "rtc periodic", event_due, rtc);
    bus_map_io(env->bus, &(struct bus_region){0x70, 2, &rtc_ops, rtc, "mc146818"});
    power_on(rtc);
    return rtc;
}

static void mc146818_snap(void *device, struct snap *s)
{
    struct mc146818 *rtc = device;
    snap_section(s, "mc146818", 1);
    SNAP(s, rtc->synced);
    SNAP(s, rtc->next_update);
    SNAP(s, rtc->divider_start);
    SNAP(s, rtc->periods_seen);
    SNAP(s, rtc->reg);
    SNAP(s, rtc->index);
    snap_range(s, "time of day", (u64)rtc->synced + BIT(40), 0, BIT(41));
    snap_range(s, "CMOS index", rtc->index, 0, CMOS_SIZE - 1);
    snap_event(s, rtc->env->clock, &rtc->update);
    snap_event(s, rtc->env->clock, &rtc->periodic);
}

static void mc146818_free(void *device)
{
    struct mc146818 *rtc = device;
    clock_event_cancel(rtc->env->clock, &rtc->update);
    clock_event_cancel(rtc->env->clock, &rtc->periodic);
    bus_unmap_io(rtc->env->bus, 0x70);
    free(rtc);
}

static const struct prop_desc mc146818_props[] = {
    {.name = "start",
     .type = PROP_UINT,
     .preset = MC146818_START_TEXT,
     .max = UINT32_MAX,
     .help = "time at power-on, seconds since 1970 UTC"},
    {.name = "host", .type = PROP_BOOL, .preset = "false", .help = "begin at the host's date"},
};
static const size_t mc146818_offsets[] = {offsetof(struct mc146818_config, start),
                                          offsetof(struct mc146818_config, host)};

const struct device_class mc146818_class = {
    .name = "mc146818",
    .help = "real-time clock and CMOS memory",
    .props = mc146818_props,
    .prop_offsets = mc146818_offsets,
    .prop_count = ARRAY_SIZE(mc146818_props),
    .config_size = sizeof(struct mc146818_config),
    .create = mc146818_create,
    .reset = mc146818_reset,
    .snap = mc146818_snap,
    .free = mc146818_free,
};
