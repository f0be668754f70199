/* SPDX-License-Identifier: MIT */
/* Commands of CD-ROM drives: ATA/ATAPI-6 ("PACKET") and MMC-6, SPC-3 for the packets. */
#include <string.h>

#include "devices/ide_state.h"

#define FEATURE_DMA 0x01
#define FEATURE_OVERLAP 0x02

static void done(struct ide_channel *c, u8 error)
{
    c->transfer.error = error;
    ide_later(c, STEP_DONE);
}

/* ---- Commands ---- */

/* The guest says how many bytes it takes at a time; 0 is not a size, so it is no limit. */
static void packet(struct ide_channel *c, const struct ide_drive *drive)
{
    struct ide_transfer *t = &c->transfer;
    const struct ide_taskfile *r = &drive->regs;
    u32 limit = ((u32)r->high[0] << 8 | r->mid[0]) & 0xfffe;
    if (r->feature[0] & FEATURE_OVERLAP) {
        done(c, ERROR_ABRT);
        return;
    }
    t->packet = true;
    t->dma = r->feature[0] & FEATURE_DMA;
    t->block = limit ? limit : 0xfffe;
    ide_soon(c, STEP_PACKET);
}

static void identify(struct ide_channel *c, const struct ide_drive *drive)
{
    struct ide_transfer *t = &c->transfer;
    ide_identify(drive, t->buffer);
    t->size = t->block = DISK_SECTOR;
    ide_data(c);
}

void ide_atapi_command(struct ide_channel *c, struct ide_drive *drive, u8 command)
{
    switch (command) {
    case 0xa0:
        packet(c, drive);
        break;
    case 0xa1:
        identify(c, drive);
        break;
    case 0xef:
        ide_set_features(c, drive);
        break;
    case 0xe5: /* CHECK POWER MODE: active */
        drive->regs.count[0] = 0xff;
        done(c, 0);
        break;
    case 0xe0: /* STANDBY, IDLE, FLUSH CACHE: there is nothing to do */
    case 0xe1:
    case 0xe2:
    case 0xe3:
    case 0xe6:
    case 0xe7:
        done(c, 0);
        break;
    case 0x20: /* those by which hosts look for disks: they see the signature */
    case 0xec:
        ide_signature(drive);
        drive->status = STATUS_BSY;
        done(c, ERROR_ABRT);
        break;
    default:
        log_msg(LOG_DEV, "ide: drive %u: command %#x aborted", drive->number, command);
        done(c, ERROR_ABRT);
    }
}

/* ---- Packets ---- */

static u32 big32(const u8 *p)
{
    return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3];
}

static u32 big16(const u8 *p)
{
    return (u32)p[0] << 8 | p[1];
}

static void finish(struct ide_channel *c, struct ide_drive *drive, u32 sense)
{
    drive->sense = sense;
    ide_finish(c, sense ? (u8)(sense >> 16 << 4 | ERROR_ABRT) : 0);
}

static void read_sectors(struct ide_channel *c, struct ide_drive *drive, u32 first, u32 count)
{
    struct ide_transfer *t = &c->transfer;
    u32 total = (u32)MIN(ide_medium(drive) / CD_SECTOR, UINT32_MAX);
    if (total == 0 || first > total || count > total - first) {
        finish(c, drive, total ? SENSE_OUT_OF_RANGE : SENSE_NO_MEDIUM);
        return;
    }
    t->offset = (u64)first * CD_SECTOR;
    t->left = (u64)count * CD_SECTOR;
    if (count == 0)
        finish(c, drive, SENSE_NONE);
    else
        ide_data(c);
}

/* READ CD: only user data of 2048 bytes can be had. */
static void read_cd(struct ide_channel *c, struct ide_drive *drive, const u8 *packet)
{
    u32 count = big32(packet + 5) & 0xffffff;
    if ((packet[9] & 0xf8) == 0)
        count = 0;
    else if ((packet[9] & 0xf8) != 0x10 || (packet[10] & 7)) {
        finish(c, drive, SENSE_BAD_FIELD);
        return;
    }
    read_sectors(c, drive, big32(packet + 2), count);
}

/* Only loading and ejecting show. */
static u32 start_stop(struct ide_drive *drive, const u8 *packet)
{
    bool load = packet[4] & 1;
    if (!(packet[4] & 2) || packet[4] >> 4)
        return SENSE_NONE;
    if (!load && drive->locked)
        return SENSE_LOCKED;
    drive->tray_open = !load;
    return SENSE_NONE;
}

static u32 seek(const struct ide_drive *drive, const u8 *packet)
{
    u64 total = ide_medium(drive) / CD_SECTOR;
    if (!total)
        return SENSE_NO_MEDIUM;
    return big32(packet + 2) < total ? SENSE_NONE : SENSE_OUT_OF_RANGE;
}

/* Bytes that the guest has room for. */
static u32 allocation(const u8 *packet)
{
    switch (packet[0]) {
    case 0x03:
    case 0x12:
    case 0x1a:
        return packet[4];
    case 0x25:
        return 8;
    case 0xbd:
        return big16(packet + 8);
    default:
        return big16(packet + 7);
    }
}

static void reply(struct ide_channel *c, struct ide_drive *drive, const u8 *packet)
{
    struct ide_transfer *t = &c->transfer;
    drive->sense = packet[0] == 0x03 ? drive->sense : SENSE_NONE;
    u32 size = ide_atapi_reply(drive, packet, t->buffer);
    if (!size) {
        if (drive->sense == SENSE_BAD_COMMAND)
            log_msg(LOG_DEV, "ide: drive %u: packet %#x refused", drive->number, packet[0]);
        finish(c, drive, drive->sense);
        return;
    }
    drive->sense = SENSE_NONE;
    t->size = MIN(size, allocation(packet));
    if (t->size)
        ide_data(c);
    else
        ide_finish(c, 0);
}

void ide_atapi_execute(struct ide_channel *c)
{
    struct ide_transfer *t = &c->transfer;
    struct ide_drive *drive = &c->drive[t->drive];
    u8 packet[IDE_PACKET];
    memcpy(packet, t->buffer, sizeof(packet));
    t->at = t->end = t->size = 0;
    t->write = false;
    switch (packet[0]) {
    case 0x00: /* TEST UNIT READY */
        finish(c, drive, ide_medium(drive) ? SENSE_NONE : SENSE_NO_MEDIUM);
        break;
    case 0x1b:
        finish(c, drive, start_stop(drive, packet));
        break;
    case 0x1e: /* PREVENT ALLOW MEDIUM REMOVAL */
        drive->locked = packet[4] & 1;
        finish(c, drive, SENSE_NONE);
        break;
    case 0x28: /* READ (10) */
        read_sectors(c, drive, big32(packet + 2), big16(packet + 7));
        break;
    case 0xa8: /* READ (12) */
        read_sectors(c, drive, big32(packet + 2), big32(packet + 6));
        break;
    case 0xbe:
        read_cd(c, drive, packet);
        break;
    case 0x2b:
        finish(c, drive, seek(drive, packet));
        break;
    case 0x2f: /* VERIFY (10) */
    case 0x35: /* SYNCHRONIZE CACHE */
    case 0xbb: /* SET CD SPEED */
        finish(c, drive, SENSE_NONE);
        break;
    default:
        reply(c, drive, packet);
    }
}
