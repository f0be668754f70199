/* SPDX-License-Identifier: MIT */
/*
 * From the 82371SB data sheet, "IDE Controller", and ATA/ATAPI-6. The timing registers hold what is
 * written; of them only the decode enable bits have an effect. They are on after reset, as firmware
 * leaves them, since a kernel may be started without any.
 */
#include "devices/ide.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "devices/ide_state.h"

#define TIMING 0x40 /* IDETIM: 2 bytes a channel */
#define SLAVE_TIMING 0x44
#define DECODE 0x80 /* in a channel's upper byte */

static const struct {
    u64 command, control;
    unsigned irq;
} places[2] = {{0x1f0, 0x3f6, 14}, {0x170, 0x376, 15}};

/* ---- Drives ---- */

u64 ide_medium(const struct ide_drive *drive)
{
    u64 size = disk_size(drive->disk);
    if (!drive->cdrom)
        return size;
    return drive->tray_open ? 0 : (size + CD_SECTOR - 1) / CD_SECTOR * CD_SECTOR;
}

/* An image may end within a CD's last sector: zeros follow. */
bool ide_medium_read(struct ide_drive *drive, u64 offset, void *to, u32 size)
{
    u64 end = disk_size(drive->disk);
    if (offset > ide_medium(drive) || size > ide_medium(drive) - offset)
        return false;
    u32 there = offset >= end ? 0 : (u32)MIN(size, end - offset);
    memset((u8 *)to + there, 0, size - there);
    return disk_read(drive->disk, offset, to, there);
}

void ide_signature(struct ide_drive *drive)
{
    struct ide_taskfile *r = &drive->regs;
    if (!drive->disk)
        return;
    *r = (struct ide_taskfile){.count = {1}, .low = {1}};
    if (drive->cdrom) {
        r->mid[0] = 0x14;
        r->high[0] = 0xeb;
    }
    drive->error = 1; /* diagnostic passed */
    drive->status = drive->cdrom ? 0 : STATUS_DRDY | STATUS_DSC;
    drive->irq = false;
}

static void drive_reset(struct ide_drive *drive)
{
    ide_signature(drive);
    drive->mode = 0;
    drive->multiple = 0;
    drive->write_cache = true;
    drive->sense = SENSE_NONE;
    drive->tray_open = drive->locked = false;
    if (drive->disk && !drive->cdrom)
        ide_default_geometry(drive);
}

/* ---- Interrupts ---- */

void ide_update_line(struct ide_channel *c)
{
    struct irq_line line = device_line(c->ide->env, LINE_GSI + places[c->index].irq);
    bool level = ide_selected(c)->irq && !(c->control & CONTROL_NIEN);
    if (level && !c->line)
        c->bm.status |= BM_INTERRUPT;
    c->line = level;
    irq_set(&line, level);
}

/* ---- Registers ---- */

static bool decoded(const struct ide_channel *c)
{
    const u8 *config = c->ide->pci.config;
    return (config[PCI_COMMAND] & PCI_COMMAND_IO) && (config[TIMING + 1 + 2 * c->index] & DECODE);
}

/* What reads give for a drive that isn't there: the other one answers, or a channel's pulled-down D7. */
static u8 nobody(const struct ide_channel *c)
{
    return c->drive[0].disk || c->drive[1].disk ? 0 : 0x7f;
}

static u8 register_read(struct ide_channel *c, u64 offset)
{
    struct ide_drive *drive = ide_selected(c);
    unsigned old = c->control & CONTROL_HOB ? 1 : 0;
    if (!drive->disk)
        return nobody(c);
    switch (offset) {
    case 1:
        return drive->error;
    case 2:
        return drive->regs.count[old];
    case 3:
        return drive->regs.low[old];
    case 4:
        return drive->regs.mid[old];
    case 5:
        return drive->regs.high[old];
    case 6:
        return c->device | 0xa0;
    default:
        drive->irq = false;
        ide_update_line(c);
        return drive->status;
    }
}

static void latch(u8 reg[2], u8 value)
{
    reg[1] = reg[0];
    reg[0] = value;
}

/* Both drives take in what is written, whichever is selected. */
static void taskfile_write(struct ide_channel *c, u64 offset, u8 value)
{
    for (unsigned n = 0; n < 2; n++) {
        struct ide_taskfile *r = &c->drive[n].regs;
        u8 *const regs[] = {NULL, r->feature, r->count, r->low, r->mid, r->high};
        latch(regs[offset], value);
    }
}

static bool busy(const struct ide_channel *c)
{
    return (c->drive[0].status | c->drive[1].status) & STATUS_BSY;
}

static void register_write(struct ide_channel *c, u64 offset, u8 value)
{
    c->control &= (u8)~CONTROL_HOB;
    if (offset == 7) {
        ide_command(c, value);
        return;
    }
    if (busy(c)) {
        log_msg(LOG_DEV, "ide: register %u written while busy", (unsigned)offset);
        return;
    }
    if (offset == 6) {
        c->device = value;
        ide_update_line(c);
    } else {
        taskfile_write(c, offset, value);
    }
}

static u64 command_read(void *opaque, u64 offset, unsigned size)
{
    struct ide_channel *c = opaque;
    u64 value = 0;
    if (!decoded(c))
        return UINT64_MAX;
    if (offset == 0 && size >= 2) {
        value = ide_data_read(c);
        return size == 2 ? value : value | (u64)ide_data_read(c) << 16;
    }
    for (unsigned n = 0; n < size; n++)
        value |= (u64)(offset + n ? register_read(c, offset + n) : 0xff) << (8 * n);
    return value;
}

static void command_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct ide_channel *c = opaque;
    if (!decoded(c))
        return;
    if (offset == 0 && size >= 2) {
        ide_data_write(c, (u16)value);
        if (size == 4)
            ide_data_write(c, (u16)(value >> 16));
        return;
    }
    for (unsigned n = 0; n < size; n++)
        if (offset + n)
            register_write(c, offset + n, (u8)(value >> (8 * n)));
}

/* As the status register, but an interrupt stays. */
static u64 control_read(void *opaque, u64 offset, unsigned size)
{
    struct ide_channel *c = opaque;
    const struct ide_drive *drive = ide_selected(c);
    (void)offset;
    (void)size;
    if (!decoded(c))
        return UINT64_MAX;
    return drive->disk ? drive->status : nobody(c);
}

static void soft_reset_begins(struct ide_channel *c)
{
    ide_cancel(c);
    for (unsigned n = 0; n < 2; n++)
        if (c->drive[n].disk) {
            c->drive[n].irq = false;
            c->drive[n].status = STATUS_BSY;
        }
    c->device = 0;
}

static void control_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct ide_channel *c = opaque;
    u8 old = c->control;
    (void)offset;
    (void)size;
    if (!decoded(c))
        return;
    c->control = (u8)value & (CONTROL_HOB | CONTROL_SRST | CONTROL_NIEN);
    if (c->control & ~old & CONTROL_SRST)
        soft_reset_begins(c);
    else if (old & ~c->control & CONTROL_SRST)
        ide_later(c, STEP_RESET);
    ide_update_line(c);
}

static const struct bus_ops command_ops = {command_read, command_write, 4};
static const struct bus_ops control_ops = {control_read, control_write, 1};

/* ---- Device ---- */

static void channel_reset(struct ide_channel *c)
{
    ide_cancel(c);
    c->device = c->control = 0;
    c->bm = (struct ide_bus_master){0};
    for (unsigned n = 0; n < 2; n++)
        drive_reset(&c->drive[n]);
    ide_update_line(c);
}

static void ide_reset(void *device)
{
    struct ide *ide = device;
    for (unsigned n = 0; n < 2; n++)
        channel_reset(&ide->channel[n]);
}

static void function_init(struct ide *ide)
{
    struct pci_device *pci = &ide->pci;
    pci_init(pci, "piix3 ide", &(struct pci_id){0x8086, 0x7010, 0x010180, 0});
    pci_config_set(pci, PCI_COMMAND, 2, PCI_COMMAND_IO);
    pci->config[TIMING + 1] = pci->config[TIMING + 3] = DECODE;
    memset(pci->writable + TIMING, 0xff, 4);
    pci->writable[SLAVE_TIMING] = 0xff;
    pci_bar_init(pci, 4,
                 &(struct pci_bar){.size = 16, .io = true, .ops = &ide_bm_ops, .opaque = ide});
    pci_add(ide->env->pci, pci, PCI_DEVFN(1, 1));
}

static void channel_init(struct ide *ide, unsigned index, const struct ide_drive_config *config)
{
    struct ide_channel *c = &ide->channel[index];
    c->ide = ide;
    c->index = index;
    clock_event_init(&c->event, "ide", ide_step_due, c);
    for (unsigned n = 0; n < 2; n++) {
        c->drive[n].disk = config[n].disk;
        c->drive[n].cdrom = config[n].cdrom;
        c->drive[n].number = 2 * index + n;
    }
    bus_map_io(ide->env->bus,
               &(struct bus_region){places[index].command, 8, &command_ops, c, "ide command"});
    bus_map_io(ide->env->bus,
               &(struct bus_region){places[index].control, 1, &control_ops, c, "ide control"});
}

static void *ide_create(const struct device_env *env, const void *config, struct error *err)
{
    const struct ide_config *drives = config;
    struct ide *ide = xalloc(sizeof(*ide));
    (void)err;
    ide->env = env;
    function_init(ide);
    for (unsigned n = 0; n < 2; n++)
        channel_init(ide, n, &drives->drive[2 * n]);
    return ide;
}

static void ide_free(void *device)
{
    struct ide *ide = device;
    pci_remove(&ide->pci);
    for (unsigned n = 0; n < 2; n++) {
        clock_event_cancel(ide->env->clock, &ide->channel[n].event);
        bus_unmap_io(ide->env->bus, places[n].command);
        bus_unmap_io(ide->env->bus, places[n].control);
    }
    free(ide);
}

/* ---- Snapshots ---- */

static void snap_drive(struct snap *s, struct ide_drive *drive)
{
    bool *const flags[] = {&drive->irq, &drive->write_cache, &drive->tray_open, &drive->locked};
    snap_expect(s, "bytes of an IDE drive", drive->disk ? disk_size(drive->disk) : 0);
    snap_expect(s, "kind of an IDE drive", drive->cdrom);
    SNAP(s, drive->regs);
    SNAP(s, drive->status);
    SNAP(s, drive->error);
    SNAP(s, drive->mode);
    SNAP(s, drive->multiple);
    SNAP(s, drive->heads);
    SNAP(s, drive->sectors);
    SNAP(s, drive->cylinders);
    SNAP(s, drive->sense);
    snap_flags(s, flags, ARRAY_SIZE(flags));
    snap_range(s, "sectors a block", drive->multiple, 0, IDE_MULTIPLE_MAX);
}

/* Only the part of the buffer that is in use. */
static void snap_transfer(struct snap *s, struct ide_channel *c)
{
    struct ide_transfer *t = &c->transfer;
    bool *const flags[] = {&t->write, &t->packet, &t->dma, &t->through};
    SNAP(s, t->drive);
    SNAP(s, t->step);
    SNAP(s, t->error);
    snap_flags(s, flags, ARRAY_SIZE(flags));
    SNAP(s, t->offset);
    SNAP(s, t->left);
    SNAP(s, t->block);
    SNAP(s, t->at);
    SNAP(s, t->end);
    SNAP(s, t->size);
    snap_range(s, "IDE drive", t->drive, 0, 1);
    snap_range(s, "IDE step", t->step, 0, STEP_COUNT - 1);
    snap_range(s, "IDE block", t->block, 2, IDE_BUFFER);
    snap_range(s, "IDE buffer's size", t->size, 0, IDE_BUFFER);
    snap_range(s, "IDE block's end", t->end, 0, t->size);
    snap_range(s, "place in IDE buffer", t->at, 0, t->end);
    if (t->drive < 2 && !c->drive[t->drive].disk && t->step != STEP_RESET)
        snap_range(s, "IDE step without a drive", t->step, STEP_NONE, STEP_NONE);
    if (snap_ok(s))
        snap_bytes(s, t->buffer, t->size);
}

static void snap_channel(struct snap *s, struct ide_channel *c)
{
    bool *const flags[] = {&c->line};
    for (unsigned n = 0; n < 2; n++)
        snap_drive(s, &c->drive[n]);
    SNAP(s, c->device);
    SNAP(s, c->control);
    SNAP(s, c->bm.command);
    SNAP(s, c->bm.status);
    SNAP(s, c->bm.table);
    snap_flags(s, flags, ARRAY_SIZE(flags));
    snap_transfer(s, c);
    snap_event(s, c->ide->env->clock, &c->event);
}

static void ide_snap(void *device, struct snap *s)
{
    struct ide *ide = device;
    snap_section(s, "ide", 1);
    for (unsigned n = 0; n < 2; n++)
        snap_channel(s, &ide->channel[n]);
}

const struct device_class ide_class = {
    .name = "ide",
    .help = "IDE controller of the PIIX3: two channels, four disks or CD-ROM drives, DMA",
    .config_size = sizeof(struct ide_config),
    .create = ide_create,
    .reset = ide_reset,
    .snap = ide_snap,
    .free = ide_free,
};
