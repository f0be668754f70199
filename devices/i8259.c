/* SPDX-License-Identifier: MIT */
/*
 * From Intel's 8259A data sheet. Deviations: the edge latch of an input holds until acknowledged
 * even if the input falls before (the chip would report a spurious interrupt); 8080 mode, buffered
 * mode and cascade identities other than a PC's are accepted and mean nothing.
 */
#include "devices/i8259.h"

#include <stdlib.h>

#include "base/alloc.h"

#define CASCADE 2
#define ELCR_MASTER 0xf8
#define ELCR_SLAVE 0xde

struct chip {
    /* Bytes up to need_icw4, flags after: see i8259_snap. */
    u8 irr, isr, imr;
    u8 lines;  /* current input levels */
    u8 elcr;   /* inputs that are level triggered */
    u8 base;   /* vector of input 0 */
    u8 lowest; /* the input of lowest priority; the next one has the highest */
    u8 icw;    /* initialization word expected next at the odd port: 0 none, 2, 3, 4 */
    bool need_icw4, single, ltim;
    bool auto_eoi, rotate_on_auto_eoi, special_nested, special_mask;
    bool read_isr, poll;
};

struct i8259 {
    struct bus *bus;
    struct irq_line intr;
    struct chip chip[2];
};

static unsigned rank(const struct chip *chip, unsigned input)
{
    return (input - chip->lowest - 1u) & 7;
}

/* The input of highest priority in mask; -1 for an empty mask. */
static int best(const struct chip *chip, u8 mask)
{
    for (unsigned n = 1; n <= 8; n++) {
        unsigned input = (chip->lowest + n) & 7;
        if ((mask >> input) & 1)
            return (int)input;
    }
    return -1;
}

/* The input that may interrupt now; -1 if none. */
static int pending(const struct chip *chip)
{
    u8 serving = chip->isr;
    int input = best(chip, (u8)(chip->irr & ~chip->imr));
    if (input < 0)
        return -1;
    if (chip->special_mask)
        serving &= (u8)~chip->imr;
    if (chip->special_nested && input == CASCADE)
        serving &= (u8)~BIT32(CASCADE);
    int in_service = best(chip, serving);
    if (in_service >= 0 && rank(chip, (unsigned)in_service) <= rank(chip, (unsigned)input))
        return -1;
    return input;
}

static bool is_level(const struct chip *chip, unsigned input)
{
    return chip->ltim || ((chip->elcr >> input) & 1);
}

static void chip_set(struct chip *chip, unsigned input, bool level)
{
    u8 bit = (u8)BIT32(input);
    bool was = chip->lines & bit;
    chip->lines = (u8)(level ? chip->lines | bit : chip->lines & ~bit);
    if (is_level(chip, input))
        chip->irr = (u8)(level ? chip->irr | bit : chip->irr & ~bit);
    else if (level && !was)
        chip->irr |= bit;
}

static void update(struct i8259 *pic)
{
    struct chip *master = &pic->chip[0];
    u8 bit = BIT32(CASCADE);
    bool slave = pending(&pic->chip[1]) >= 0;
    /* The slave's output drops at each acknowledge, so a level describes it. */
    master->irr = (u8)(slave ? master->irr | bit : master->irr & ~bit);
    irq_set(&pic->intr, pending(master) >= 0);
}

void i8259_set(void *i8259, unsigned irq, bool level)
{
    struct i8259 *pic = i8259;
    if (irq == CASCADE || irq >= 16)
        return;
    chip_set(&pic->chip[irq >> 3], irq & 7, level);
    update(pic);
}

static void acknowledge(struct chip *chip, unsigned input)
{
    u8 bit = (u8)BIT32(input);
    if (!is_level(chip, input))
        chip->irr &= (u8)~bit;
    if (!chip->auto_eoi)
        chip->isr |= bit;
    else if (chip->rotate_on_auto_eoi)
        chip->lowest = (u8)input;
}

/* Vector of one chip; with nothing pending, that of input 7 without an in-service bit. */
static int chip_ack(struct chip *chip, int input)
{
    if (input < 0)
        return chip->base + 7;
    acknowledge(chip, (unsigned)input);
    return chip->base + input;
}

int i8259_ack(void *i8259)
{
    struct i8259 *pic = i8259;
    int input = pending(&pic->chip[0]);
    int vector = chip_ack(&pic->chip[0], input);
    if (input == CASCADE)
        vector = chip_ack(&pic->chip[1], pending(&pic->chip[1]));
    update(pic);
    return vector;
}

static void write_icw1(struct chip *chip, u8 value)
{
    /* The edge sense circuit is reset: only level-triggered inputs stay requested. */
    chip->ltim = value & 8;
    chip->single = value & 2;
    chip->need_icw4 = value & 1;
    chip->icw = 2;
    chip->imr = 0;
    chip->isr = 0;
    chip->irr = (u8)(chip->ltim ? chip->lines : chip->lines & chip->elcr);
    chip->lowest = 7;
    chip->special_mask = chip->read_isr = chip->poll = false;
    chip->auto_eoi = chip->special_nested = chip->rotate_on_auto_eoi = false;
}

static void end_of_interrupt(struct chip *chip, int input, bool rotate)
{
    if (input < 0)
        return;
    chip->isr &= (u8)~BIT32((unsigned)input);
    if (rotate)
        chip->lowest = (u8)input;
}

static int serving(const struct chip *chip)
{
    return best(chip, chip->special_mask ? (u8)(chip->isr & ~chip->imr) : chip->isr);
}

static void write_ocw2(struct chip *chip, u8 value)
{
    bool rotate = value & 0x80, specific = value & 0x40, eoi = value & 0x20;
    if (eoi)
        end_of_interrupt(chip, specific ? value & 7 : serving(chip), rotate);
    else if (specific && rotate)
        chip->lowest = value & 7;
    else if (!specific)
        chip->rotate_on_auto_eoi = rotate;
}

static void write_ocw3(struct chip *chip, u8 value)
{
    if (value & 0x40)
        chip->special_mask = value & 0x20;
    if (value & 4)
        chip->poll = true;
    else if (value & 2)
        chip->read_isr = value & 1;
}

static void write_odd(struct chip *chip, u8 value)
{
    switch (chip->icw) {
    case 2:
        chip->base = value & 0xf8;
        chip->icw = !chip->single ? 3 : chip->need_icw4 ? 4 : 0;
        break;
    case 3:
        chip->icw = chip->need_icw4 ? 4 : 0;
        break;
    case 4:
        chip->special_nested = value & 0x10;
        chip->auto_eoi = value & 2;
        chip->icw = 0;
        break;
    default:
        chip->imr = value;
    }
}

static struct chip *chip_of(struct i8259 *pic, u64 port)
{
    return &pic->chip[port >= 0xa0];
}

static void pic_write(struct i8259 *pic, u64 port, u8 value)
{
    struct chip *chip = chip_of(pic, port);
    if (port & 1)
        write_odd(chip, value);
    else if (value & 0x10)
        write_icw1(chip, value);
    else if (value & 8)
        write_ocw3(chip, value);
    else
        write_ocw2(chip, value);
    update(pic);
}

static u8 pic_read(struct i8259 *pic, u64 port)
{
    struct chip *chip = chip_of(pic, port);
    if (chip->poll) {
        int input = pending(chip);
        chip->poll = false;
        if (input < 0)
            return 7;
        acknowledge(chip, (unsigned)input);
        update(pic);
        return (u8)(0x80 | input);
    }
    if (port & 1)
        return chip->imr;
    return chip->read_isr ? chip->isr : chip->irr;
}

static u64 master_read(void *opaque, u64 offset, unsigned size)
{
    (void)size;
    return pic_read(opaque, 0x20 + offset);
}

static void master_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    (void)size;
    pic_write(opaque, 0x20 + offset, (u8)value);
}

static u64 slave_read(void *opaque, u64 offset, unsigned size)
{
    (void)size;
    return pic_read(opaque, 0xa0 + offset);
}

static void slave_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    (void)size;
    pic_write(opaque, 0xa0 + offset, (u8)value);
}

static u64 elcr_read(void *opaque, u64 offset, unsigned size)
{
    struct i8259 *pic = opaque;
    (void)size;
    return pic->chip[offset].elcr;
}

static void elcr_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct i8259 *pic = opaque;
    struct chip *chip = &pic->chip[offset];
    (void)size;
    chip->elcr = (u8)(value & (offset ? ELCR_SLAVE : ELCR_MASTER));
    chip->irr = (u8)((chip->irr & ~chip->elcr) | (chip->lines & chip->elcr));
    update(pic);
}

static const struct bus_ops master_ops = {master_read, master_write, 1};
static const struct bus_ops slave_ops = {slave_read, slave_write, 1};
static const struct bus_ops elcr_ops = {elcr_read, elcr_write, 1};

static void i8259_reset(void *device)
{
    struct i8259 *pic = device;
    for (unsigned n = 0; n < 2; n++) {
        u8 lines = pic->chip[n].lines;
        /* As firmware leaves it: the real-mode vectors, everything masked. */
        pic->chip[n] =
            (struct chip){.lines = lines, .lowest = 7, .imr = 0xff, .base = n ? 0x70 : 0x08};
    }
    update(pic);
}

static void *i8259_create(const struct device_env *env, const void *config, struct error *err)
{
    struct i8259 *pic = xalloc(sizeof(*pic));
    (void)config;
    (void)err;
    pic->bus = env->bus;
    pic->intr = device_line(env, LINE_INTR);
    bus_map_io(pic->bus, &(struct bus_region){0x20, 2, &master_ops, pic, "i8259 master"});
    bus_map_io(pic->bus, &(struct bus_region){0xa0, 2, &slave_ops, pic, "i8259 slave"});
    bus_map_io(pic->bus, &(struct bus_region){0x4d0, 2, &elcr_ops, pic, "i8259 elcr"});
    return pic;
}

static void i8259_snap(void *device, struct snap *s)
{
    struct i8259 *pic = device;
    snap_section(s, "i8259", 1);
    for (unsigned n = 0; n < 2; n++) {
        struct chip *chip = &pic->chip[n];
        bool *const flags[] = {&chip->need_icw4,
                               &chip->single,
                               &chip->ltim,
                               &chip->auto_eoi,
                               &chip->rotate_on_auto_eoi,
                               &chip->special_nested,
                               &chip->special_mask,
                               &chip->read_isr,
                               &chip->poll};
        snap_bytes(s, chip, offsetof(struct chip, need_icw4));
        snap_flags(s, flags, ARRAY_SIZE(flags));
        snap_range(s, "8259 lowest priority", chip->lowest, 0, 7);
    }
}

static void i8259_free(void *device)
{
    struct i8259 *pic = device;
    bus_unmap_io(pic->bus, 0x20);
    bus_unmap_io(pic->bus, 0xa0);
    bus_unmap_io(pic->bus, 0x4d0);
    free(pic);
}

const struct device_class i8259_class = {
    .name = "i8259",
    .help = "interrupt controllers: a pair of 8259A with edge/level control",
    .create = i8259_create,
    .reset = i8259_reset,
    .snap = i8259_snap,
    .free = i8259_free,
};
