/* SPDX-License-Identifier: MIT */
/*
 * From the 82093AA data sheet and the chipset manuals that extend it. An edge that arrives while
 * its input is masked is lost. Polarity is stored but inputs are logical: asserted is true.
 */
#include "devices/ioapic.h"

#include <stdlib.h>

#include "base/alloc.h"

#define VERSION ((IOAPIC_INPUTS - 1u) << 16 | 0x20u)

#define ENTRY_VECTOR(e) ((u8)(e))
#define ENTRY_MODE(e) ((u8)BITS(e, 10, 8))
#define ENTRY_LOGICAL BIT(11)
#define ENTRY_REMOTE_IRR BIT(14)
#define ENTRY_LEVEL BIT(15)
#define ENTRY_MASKED BIT(16)
#define ENTRY_DEST(e) ((u32)((e) >> 56))
/* Bits software sets: not delivery status, not remote IRR, not the reserved ones. */
#define ENTRY_WRITABLE (UINT64_C(0xff) << 56 | UINT64_C(0x1afff))

#define MODE_FIXED 0
#define MODE_LOWEST 1

struct ioapic {
    const struct device_env *env;
    u64 entry[IOAPIC_INPUTS];
    u32 lines; /* asserted inputs */
    u8 id, select;
};

static void send(struct ioapic *ioapic, unsigned input)
{
    u64 e = ioapic->entry[input];
    struct apic_message message = {
        .dest = ENTRY_DEST(e),
        .logical = e & ENTRY_LOGICAL,
        .mode = ENTRY_MODE(e),
        .vector = ENTRY_VECTOR(e),
        .level = e & ENTRY_LEVEL,
    };
    if (log_on(LOG_APIC))
        log_msg(LOG_APIC, "ioapic: input %u sends %#llx", input, (unsigned long long)e);
    /* Only what ends with an EOI is held back until then. Set first: the EOI may come at once. */
    if (message.level && message.mode <= MODE_LOWEST)
        ioapic->entry[input] |= ENTRY_REMOTE_IRR;
    if (!ioapic->env->apic_send(ioapic->env->apic_opaque, &message))
        ioapic->entry[input] &= ~ENTRY_REMOTE_IRR;
}

/* Sends a level-triggered input that is asserted, unmasked and not in service. */
static void level_check(struct ioapic *ioapic, unsigned input)
{
    u64 e = ioapic->entry[input];
    if ((e & ENTRY_LEVEL) && !(e & (ENTRY_MASKED | ENTRY_REMOTE_IRR)) &&
        ((ioapic->lines >> input) & 1))
        send(ioapic, input);
}

void ioapic_set(void *opaque, unsigned input, bool level)
{
    struct ioapic *ioapic = opaque;
    if (input >= IOAPIC_INPUTS)
        return;
    u32 bit = BIT32(input);
    bool rising = level && !(ioapic->lines & bit);
    ioapic->lines = level ? ioapic->lines | bit : ioapic->lines & ~bit;
    if (ioapic->entry[input] & ENTRY_LEVEL)
        level_check(ioapic, input);
    else if (rising && !(ioapic->entry[input] & ENTRY_MASKED))
        send(ioapic, input);
}

void ioapic_eoi(void *opaque, u8 vector)
{
    struct ioapic *ioapic = opaque;
    for (unsigned n = 0; n < IOAPIC_INPUTS; n++) {
        u64 e = ioapic->entry[n];
        if (!(e & ENTRY_REMOTE_IRR) || ENTRY_VECTOR(e) != vector)
            continue;
        ioapic->entry[n] &= ~ENTRY_REMOTE_IRR;
        level_check(ioapic, n);
    }
}

static u32 register_read(const struct ioapic *ioapic, u8 reg)
{
    unsigned input = (reg - 0x10u) / 2;
    switch (reg) {
    case 0:
    case 2: /* arbitration identity: follows the identity */
        return (u32)ioapic->id << 24;
    case 1:
        return VERSION;
    default:
        if (reg < 0x10 || input >= IOAPIC_INPUTS)
            return 0;
        return (u32)(reg & 1 ? ioapic->entry[input] >> 32 : ioapic->entry[input]);
    }
}

static void entry_write(struct ioapic *ioapic, unsigned input, bool high, u32 value)
{
    u64 *e = &ioapic->entry[input];
    u64 mask = ENTRY_WRITABLE & (high ? ~UINT64_C(0) << 32 : UINT32_MAX);
    *e = (*e & ~mask) | ((high ? (u64)value << 32 : value) & mask);
    if (!(*e & ENTRY_LEVEL)) /* software's way to an EOI before there was a register for it */
        *e &= ~ENTRY_REMOTE_IRR;
    level_check(ioapic, input);
}

static void register_write(struct ioapic *ioapic, u8 reg, u32 value)
{
    unsigned input = (reg - 0x10u) / 2;
    if (reg == 0)
        ioapic->id = (value >> 24) & 15;
    else if (reg >= 0x10 && input < IOAPIC_INPUTS)
        entry_write(ioapic, input, reg & 1, value);
}

static u64 ioapic_read(void *opaque, u64 offset, unsigned size)
{
    struct ioapic *ioapic = opaque;
    u32 value = 0;
    switch (offset & ~UINT64_C(3)) {
    case 0x00:
        value = ioapic->select;
        break;
    case 0x10:
        value = register_read(ioapic, ioapic->select);
        break;
    }
    return ((u64)value >> (offset & 3) * 8) & MASK(size * 8);
}

static void ioapic_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct ioapic *ioapic = opaque;
    (void)size;
    switch (offset) {
    case 0x00:
        ioapic->select = (u8)value;
        break;
    case 0x10:
        register_write(ioapic, ioapic->select, (u32)value);
        break;
    case 0x40:
        ioapic_eoi(ioapic, (u8)value);
        break;
    default:
        if (log_on(LOG_DEV))
            log_msg(LOG_DEV, "ioapic: write of %#llx at %#llx", (unsigned long long)value,
                    (unsigned long long)offset);
    }
}

static const struct bus_ops ioapic_ops = {ioapic_read, ioapic_write, 4};

static void ioapic_reset(void *device)
{
    struct ioapic *ioapic = device;
    for (unsigned n = 0; n < IOAPIC_INPUTS; n++)
        ioapic->entry[n] = ENTRY_MASKED;
    ioapic->id = ioapic->select = 0;
}

static void *ioapic_create(const struct device_env *env, const void *config, struct error *err)
{
    struct ioapic *ioapic = xalloc(sizeof(*ioapic));
    (void)config;
    (void)err;
    ioapic->env = env;
    bus_map_mmio(env->bus,
                 &(struct bus_region){IOAPIC_BASE, 0x1000, &ioapic_ops, ioapic, "ioapic"});
    ioapic_reset(ioapic);
    return ioapic;
}

static void ioapic_snap(void *device, struct snap *s)
{
    struct ioapic *ioapic = device;
    snap_section(s, "ioapic", 1);
    SNAP(s, ioapic->entry);
    SNAP(s, ioapic->lines);
    SNAP(s, ioapic->id);
    SNAP(s, ioapic->select);
}

static void ioapic_free(void *device)
{
    struct ioapic *ioapic = device;
    bus_unmap_mmio(ioapic->env->bus, IOAPIC_BASE);
    free(ioapic);
}

const struct device_class ioapic_class = {
    .name = "ioapic",
    .help = "I/O APIC with 24 inputs",
    .create = ioapic_create,
    .reset = ioapic_reset,
    .snap = ioapic_snap,
    .free = ioapic_free,
};
