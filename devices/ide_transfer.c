/* SPDX-License-Identifier: MIT */
/* From ATA/ATAPI-6, "Bus operational protocols and timing": PIO, DMA, packet and reset protocols. */
#include "devices/ide_state.h"

#include <string.h>

/* What a command takes to begin, and a further block by PIO or a register access of a packet. */
#define COMMAND_HZ 50000
#define BLOCK_HZ 1000000

static void schedule(struct ide_channel *c, enum ide_step step, u64 hz)
{
    struct clock *clock = c->ide->env->clock;
    c->transfer.step = (u8)step;
    clock_event_set(clock, &c->event, clock->now + clock_from_units(clock, 1, hz));
}

void ide_later(struct ide_channel *c, enum ide_step step)
{
    schedule(c, step, COMMAND_HZ);
}

void ide_soon(struct ide_channel *c, enum ide_step step)
{
    schedule(c, step, BLOCK_HZ);
}

void ide_cancel(struct ide_channel *c)
{
    struct ide_transfer *t = &c->transfer;
    clock_event_cancel(c->ide->env->clock, &c->event);
    t->step = STEP_NONE;
    t->drive = t->error = 0;
    t->write = t->packet = t->dma = t->through = false;
    t->offset = t->left = 0;
    t->at = t->end = t->size = 0;
    t->block = DISK_SECTOR;
}

static struct ide_drive *active(struct ide_channel *c)
{
    return &c->drive[c->transfer.drive];
}

static void interrupt(struct ide_channel *c)
{
    active(c)->irq = true;
    ide_update_line(c);
}

/* ---- Beginning and end ---- */

static void command_begins(struct ide_channel *c, struct ide_drive *drive)
{
    ide_cancel(c);
    c->transfer.drive = drive == &c->drive[1];
    drive->irq = false;
    ide_update_line(c);
    drive->error = 0;
    drive->status = STATUS_BSY;
}

static bool channel_busy(const struct ide_channel *c)
{
    return (c->drive[0].status | c->drive[1].status) & STATUS_BSY;
}

/* DEVICE RESET, which packet devices take even while busy. */
static void device_reset(struct ide_channel *c, struct ide_drive *drive)
{
    ide_cancel(c);
    ide_signature(drive);
    ide_update_line(c);
}

/* EXECUTE DEVICE DIAGNOSTIC is for both drives, whichever is selected. */
static void diagnose(struct ide_channel *c)
{
    command_begins(c, &c->drive[c->drive[0].disk ? 0 : 1]);
    c->device = 0;
    for (unsigned n = 0; n < 2; n++)
        if (c->drive[n].disk)
            c->drive[n].status = STATUS_BSY;
    ide_later(c, STEP_DIAGNOSE);
}

void ide_command(struct ide_channel *c, u8 command)
{
    struct ide_drive *drive = ide_selected(c);
    bool none = !c->drive[0].disk && !c->drive[1].disk;
    if (none || (c->control & CONTROL_SRST))
        return;
    if (command == 0x08 && drive->disk && drive->cdrom) {
        device_reset(c, drive);
        return;
    }
    if (channel_busy(c)) {
        log_msg(LOG_DEV, "ide: command %#x while busy", command);
        return;
    }
    if (command == 0x90) {
        diagnose(c);
        return;
    }
    if (!drive->disk)
        return;
    command_begins(c, drive);
    if (drive->cdrom)
        ide_atapi_command(c, drive, command);
    else
        ide_ata_command(c, drive, command);
}

static void reset_done(struct ide_channel *c, bool with_interrupt)
{
    for (unsigned n = 0; n < 2; n++)
        ide_signature(&c->drive[n]);
    if (with_interrupt)
        interrupt(c);
    else
        ide_update_line(c);
}

/* Where a disk's command stopped. */
static void note_place(struct ide_channel *c)
{
    struct ide_drive *drive = active(c);
    u64 sector = c->transfer.offset / DISK_SECTOR;
    drive->regs.low[0] = (u8)sector;
    drive->regs.mid[0] = (u8)(sector >> 8);
    drive->regs.high[0] = (u8)(sector >> 16);
    drive->regs.low[1] = (u8)(sector >> 24);
    drive->regs.mid[1] = (u8)(sector >> 32);
    drive->regs.high[1] = (u8)(sector >> 40);
}

void ide_finish(struct ide_channel *c, u8 error)
{
    struct ide_drive *drive = active(c);
    struct ide_transfer *t = &c->transfer;
    t->step = STEP_NONE;
    t->at = t->end = t->size = 0;
    t->left = 0;
    drive->error = error;
    drive->status = (u8)(STATUS_DRDY | STATUS_DSC | (error ? STATUS_ERR : 0));
    if (t->packet)
        drive->regs.count[0] = REASON_COMMAND | REASON_IN;
    interrupt(c);
}

void ide_fail(struct ide_channel *c)
{
    struct ide_transfer *t = &c->transfer;
    struct ide_drive *drive = active(c);
    if (t->packet) {
        drive->sense = SENSE_READ_ERROR;
        ide_finish(c, (u8)(drive->sense >> 16 << 4 | ERROR_ABRT));
        return;
    }
    note_place(c);
    ide_finish(c, t->write ? ERROR_ABRT : ERROR_UNC);
}

/* All is written: an end with a flush if there has to be one. */
static void written(struct ide_channel *c)
{
    if (c->transfer.through && !disk_flush(active(c)->disk))
        ide_fail(c);
    else
        ide_finish(c, 0);
}

/* ---- Buffer ---- */

bool ide_fill(struct ide_channel *c, u32 most)
{
    struct ide_transfer *t = &c->transfer;
    u32 size = (u32)MIN(t->left, most);
    t->at = t->end = t->size = 0;
    if (!ide_medium_read(active(c), t->offset, t->buffer, size))
        return false;
    t->offset += size;
    t->left -= size;
    t->size = size;
    return true;
}

bool ide_drain(struct ide_channel *c)
{
    struct ide_transfer *t = &c->transfer;
    if (t->size > t->left || !disk_write(active(c)->disk, t->offset, t->buffer, t->size))
        return false;
    t->offset += t->size;
    t->left -= t->size;
    t->at = t->end = t->size = 0;
    return true;
}

/* ---- PIO ---- */

void ide_data(struct ide_channel *c)
{
    ide_later(c, c->transfer.dma ? STEP_DMA : STEP_BLOCK);
}

/* The guest may move the block from at to end. */
static void offer(struct ide_channel *c, bool with_interrupt)
{
    struct ide_drive *drive = active(c);
    struct ide_transfer *t = &c->transfer;
    t->step = STEP_NONE;
    drive->status = STATUS_DRDY | STATUS_DSC | STATUS_DRQ;
    if (t->packet) {
        drive->regs.count[0] = REASON_IN;
        drive->regs.mid[0] = (u8)(t->end - t->at);
        drive->regs.high[0] = (u8)((t->end - t->at) >> 8);
    }
    if (with_interrupt)
        interrupt(c);
}

static void block_in(struct ide_channel *c)
{
    struct ide_transfer *t = &c->transfer;
    if (t->at == t->size && t->left && !ide_fill(c, IDE_BUFFER)) {
        ide_fail(c);
        return;
    }
    if (t->at == t->size) {
        ide_finish(c, 0);
        return;
    }
    t->end = MIN(t->at + t->block, t->size);
    offer(c, true);
}

/* Takes what the guest has filled, if there was a block; asks for the next. */
static void block_out(struct ide_channel *c)
{
    struct ide_transfer *t = &c->transfer;
    bool first = t->size == 0;
    if (!first && !ide_drain(c)) {
        ide_fail(c);
        return;
    }
    if (t->left == 0) {
        written(c);
        return;
    }
    t->at = 0;
    t->end = t->size = (u32)MIN(t->left, t->block);
    offer(c, !first);
}

static void ask_packet(struct ide_channel *c)
{
    struct ide_transfer *t = &c->transfer;
    offer(c, false);
    active(c)->regs.count[0] = REASON_COMMAND;
    t->write = true;
    t->at = 0;
    t->end = t->size = IDE_PACKET;
}

/* The guest has moved the last byte of a block. */
static void block_moved(struct ide_channel *c)
{
    struct ide_transfer *t = &c->transfer;
    struct ide_drive *drive = active(c);
    bool more = t->write || t->packet || t->at < t->size || t->left;
    drive->status = more ? STATUS_BSY : STATUS_DRDY | STATUS_DSC;
    if (more)
        ide_soon(c, t->packet && t->write ? STEP_EXECUTE : STEP_BLOCK);
}

/* Whether the data register leads to the buffer now, in that direction. */
static bool data_flows(struct ide_channel *c, bool write)
{
    const struct ide_drive *drive = ide_selected(c);
    const struct ide_transfer *t = &c->transfer;
    return drive == active(c) && drive->disk && (drive->status & STATUS_DRQ) && t->write == write &&
           t->at < t->end;
}

u16 ide_data_read(struct ide_channel *c)
{
    struct ide_transfer *t = &c->transfer;
    if (!data_flows(c, false))
        return 0xffff;
    u16 value = t->buffer[t->at];
    if (t->at + 1 < t->end)
        value |= (u16)(t->buffer[t->at + 1] << 8);
    t->at = MIN(t->at + 2, t->end);
    if (t->at == t->end)
        block_moved(c);
    return value;
}

void ide_data_write(struct ide_channel *c, u16 value)
{
    struct ide_transfer *t = &c->transfer;
    if (!data_flows(c, true))
        return;
    t->buffer[t->at] = (u8)value;
    if (t->at + 1 < t->end)
        t->buffer[t->at + 1] = (u8)(value >> 8);
    t->at = MIN(t->at + 2, t->end);
    if (t->at == t->end)
        block_moved(c);
}

/* ---- Steps ---- */

static void verify(struct ide_channel *c)
{
    while (c->transfer.left)
        if (!ide_fill(c, IDE_BUFFER)) {
            ide_fail(c);
            return;
        }
    ide_finish(c, 0);
}

static void flush(struct ide_channel *c)
{
    ide_finish(c, disk_flush(active(c)->disk) ? 0 : ERROR_ABRT);
}

void ide_step_due(void *channel)
{
    struct ide_channel *c = channel;
    struct ide_transfer *t = &c->transfer;
    switch ((enum ide_step)t->step) {
    case STEP_PACKET:
        ask_packet(c);
        break;
    case STEP_EXECUTE:
        ide_atapi_execute(c);
        break;
    case STEP_BLOCK:
        if (t->write)
            block_out(c);
        else
            block_in(c);
        break;
    case STEP_DMA:
        ide_dma_due(c);
        break;
    case STEP_VERIFY:
        verify(c);
        break;
    case STEP_FLUSH:
        flush(c);
        break;
    case STEP_DONE:
        ide_finish(c, t->error);
        break;
    case STEP_DIAGNOSE:
        reset_done(c, true);
        break;
    case STEP_RESET:
        reset_done(c, false);
        break;
    case STEP_NONE:
    case STEP_COUNT:
        break;
    }
}
