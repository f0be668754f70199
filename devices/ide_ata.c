/* SPDX-License-Identifier: MIT */
/* Commands of disks, from ATA/ATAPI-6 ("Command descriptions"), FUA from ATA/ATAPI-7. */
#include <string.h>

#include "devices/ide_state.h"

/* How a command that moves sectors does it. */
enum way { PIO, MULTIPLE, DMA, VERIFY };

static const struct sectors {
    u8 command;
    bool write, extended, through;
    enum way way;
} sector_commands[] = {
    {0x20, false, false, false, PIO},      {0x21, false, false, false, PIO},
    {0x24, false, true, false, PIO},       {0x25, false, true, false, DMA},
    {0x29, false, true, false, MULTIPLE},  {0x30, true, false, false, PIO},
    {0x31, true, false, false, PIO},       {0x34, true, true, false, PIO},
    {0x35, true, true, false, DMA},        {0x39, true, true, false, MULTIPLE},
    {0x3d, true, true, true, DMA},         {0x40, false, false, false, VERIFY},
    {0x41, false, false, false, VERIFY},   {0x42, false, true, false, VERIFY},
    {0xc4, false, false, false, MULTIPLE}, {0xc5, true, false, false, MULTIPLE},
    {0xc8, false, false, false, DMA},      {0xc9, false, false, false, DMA},
    {0xca, true, false, false, DMA},       {0xcb, true, false, false, DMA},
    {0xce, true, true, true, MULTIPLE},
};

static void done(struct ide_channel *c, u8 error)
{
    c->transfer.error = error;
    ide_later(c, STEP_DONE);
}

/* ---- Addresses ---- */

static u64 address_28(const struct ide_channel *c, const struct ide_drive *drive)
{
    const struct ide_taskfile *r = &drive->regs;
    u8 top = c->device & 15;
    if (c->device & DEVICE_LBA)
        return (u64)top << 24 | (u64)r->high[0] << 16 | (u64)r->mid[0] << 8 | r->low[0];
    u64 cylinder = (u64)r->high[0] << 8 | r->mid[0];
    if (r->low[0] == 0 || r->low[0] > drive->sectors || top >= drive->heads)
        return UINT64_MAX;
    return (cylinder * drive->heads + top) * drive->sectors + r->low[0] - 1;
}

static u64 address_48(const struct ide_drive *drive)
{
    const struct ide_taskfile *r = &drive->regs;
    return (u64)r->high[1] << 40 | (u64)r->mid[1] << 32 | (u64)r->low[1] << 24 |
           (u64)r->high[0] << 16 | (u64)r->mid[0] << 8 | r->low[0];
}

static u32 sector_count(const struct ide_drive *drive, bool extended)
{
    const struct ide_taskfile *r = &drive->regs;
    if (!extended)
        return r->count[0] ? r->count[0] : 256;
    u32 count = (u32)r->count[1] << 8 | r->count[0];
    return count ? count : 65536;
}

/* Sets the transfer's place on the disk; false: there is none. */
static bool locate(struct ide_channel *c, const struct ide_drive *drive, bool extended)
{
    u64 total = disk_size(drive->disk) / DISK_SECTOR;
    u64 first = extended ? address_48(drive) : address_28(c, drive);
    u32 count = sector_count(drive, extended);
    if (first >= total || count > total - first)
        return false;
    c->transfer.offset = first * DISK_SECTOR;
    c->transfer.left = (u64)count * DISK_SECTOR;
    return true;
}

static void sectors(struct ide_channel *c, const struct ide_drive *drive, const struct sectors *row)
{
    struct ide_transfer *t = &c->transfer;
    if (row->way == MULTIPLE && !drive->multiple) {
        done(c, ERROR_ABRT);
        return;
    }
    if (row->write && disk_read_only(drive->disk)) {
        done(c, ERROR_ABRT);
        return;
    }
    if (!locate(c, drive, row->extended)) {
        done(c, ERROR_IDNF);
        return;
    }
    t->write = row->write;
    t->dma = row->way == DMA;
    t->through = row->write && (row->through || !drive->write_cache);
    t->block = DISK_SECTOR * (row->way == MULTIPLE ? drive->multiple : 1u);
    if (row->way == VERIFY)
        ide_later(c, STEP_VERIFY);
    else
        ide_data(c);
}

/* ---- Settings ---- */

/* Whether a transfer mode exists: default, PIO to 4, multiword DMA to 2, ultra DMA to 5. */
static bool mode_exists(u8 mode)
{
    return mode <= 0x01 || (mode >= 0x08 && mode <= 0x0c) || (mode >= 0x20 && mode <= 0x22) ||
           (mode >= 0x40 && mode <= 0x45);
}

void ide_set_features(struct ide_channel *c, struct ide_drive *drive)
{
    bool ok = true;
    switch (drive->regs.feature[0]) {
    case 0x02:
        drive->write_cache = true;
        ok = !drive->cdrom;
        break;
    case 0x82: /* what is in the cache goes out */
        drive->write_cache = false;
        ok = !drive->cdrom;
        if (ok) {
            ide_later(c, STEP_FLUSH);
            return;
        }
        break;
    case 0x03:
        ok = mode_exists(drive->regs.count[0]);
        if (ok)
            drive->mode = drive->regs.count[0];
        break;
    case 0x55: /* look-ahead, and what a soft reset would keep, are nothing here */
    case 0xaa:
    case 0x66:
    case 0xcc:
        break;
    default:
        ok = false;
    }
    done(c, ok ? 0 : ERROR_ABRT);
}

static bool set_multiple(struct ide_drive *drive)
{
    u8 count = drive->regs.count[0];
    if (count > IDE_MULTIPLE_MAX || (count & (count - 1)))
        return false;
    drive->multiple = count;
    return true;
}

static u16 cylinders_for(const struct ide_drive *drive)
{
    u64 cylinders = disk_size(drive->disk) / DISK_SECTOR / ((u64)drive->heads * drive->sectors);
    return (u16)MIN(MAX(cylinders, 1), 16383);
}

void ide_default_geometry(struct ide_drive *drive)
{
    drive->heads = 16;
    drive->sectors = 63;
    drive->cylinders = cylinders_for(drive);
}

static bool initialize_parameters(struct ide_channel *c, struct ide_drive *drive)
{
    if (drive->regs.count[0] == 0)
        return false;
    drive->heads = (u8)((c->device & 15) + 1);
    drive->sectors = drive->regs.count[0];
    drive->cylinders = cylinders_for(drive);
    return true;
}

static void native_max(struct ide_channel *c, struct ide_drive *drive, bool extended)
{
    struct ide_taskfile *r = &drive->regs;
    u64 last = disk_size(drive->disk) / DISK_SECTOR - 1;
    if (!extended) {
        last = MIN(last, MASK(28));
        c->device = (u8)((c->device & 0xf0) | last >> 24);
    }
    r->low[0] = (u8)last;
    r->mid[0] = (u8)(last >> 8);
    r->high[0] = (u8)(last >> 16);
    if (extended) {
        r->low[1] = (u8)(last >> 24);
        r->mid[1] = (u8)(last >> 32);
        r->high[1] = (u8)(last >> 40);
    }
}

/* ---- Commands without sectors ---- */

static void identify(struct ide_channel *c, const struct ide_drive *drive)
{
    struct ide_transfer *t = &c->transfer;
    ide_identify(drive, t->buffer);
    t->size = t->block = DISK_SECTOR;
    ide_data(c);
}

static bool on_disk(struct ide_channel *c, const struct ide_drive *drive)
{
    return address_28(c, drive) < disk_size(drive->disk) / DISK_SECTOR;
}

/* The commands that are over at once; false: it can't be done, or there is no such command. */
static bool simple(struct ide_channel *c, struct ide_drive *drive, u8 command)
{
    switch (command) {
    case 0x27:
    case 0xf8:
        native_max(c, drive, command == 0x27);
        return true;
    case 0x91:
        return initialize_parameters(c, drive);
    case 0xc6:
        return set_multiple(drive);
    case 0x98: /* CHECK POWER MODE: active */
    case 0xe5:
        drive->regs.count[0] = 0xff;
        return true;
    case 0x94: /* STANDBY, IDLE, at once or after a time; SLEEP */
    case 0x95:
    case 0x96:
    case 0x97:
    case 0x99:
    case 0xe0:
    case 0xe1:
    case 0xe2:
    case 0xe3:
    case 0xe6:
        return true;
    }
    if ((command & 0xf0) == 0x10) /* RECALIBRATE */
        return true;
    return (command & 0xf0) == 0x70 && on_disk(c, drive); /* SEEK */
}

static void other(struct ide_channel *c, struct ide_drive *drive, u8 command)
{
    if (simple(c, drive, command)) {
        done(c, 0);
        return;
    }
    log_msg(LOG_DEV, "ide: drive %u: command %#x aborted", drive->number, command);
    done(c, ERROR_ABRT);
}

void ide_ata_command(struct ide_channel *c, struct ide_drive *drive, u8 command)
{
    for (size_t n = 0; n < ARRAY_SIZE(sector_commands); n++)
        if (sector_commands[n].command == command) {
            sectors(c, drive, &sector_commands[n]);
            return;
        }
    switch (command) {
    case 0xe7:
    case 0xea:
        ide_later(c, STEP_FLUSH);
        break;
    case 0xec:
        identify(c, drive);
        break;
    case 0xef:
        ide_set_features(c, drive);
        break;
    default:
        other(c, drive, command);
    }
}
