/* SPDX-License-Identifier: MIT */
/* What a CD-ROM drive tells of itself and its disc: MMC-6 and SPC-3, one function a command. */
#include <string.h>

#include "devices/ide_state.h"

#define REPLY_MAX 512
#define LEAD_OUT 0xaa
#define DATA_TRACK 0x14        /* Q channel: position; data, copying forbidden */
#define CD_SECTORS_MAX 450000u /* a larger disc is a DVD */

static void put16(u8 *p, u32 value)
{
    p[0] = (u8)(value >> 8);
    p[1] = (u8)value;
}

static void put32(u8 *p, u32 value)
{
    put16(p, value >> 16);
    put16(p + 2, value);
}

static u32 sectors(const struct ide_drive *drive)
{
    return (u32)MIN(ide_medium(drive) / CD_SECTOR, UINT32_MAX);
}

static u32 refuse(struct ide_drive *drive, u32 sense)
{
    drive->sense = sense;
    return 0;
}

static u32 request_sense(struct ide_drive *drive, u8 *to)
{
    to[0] = 0x70;
    to[2] = (u8)(drive->sense >> 16);
    to[7] = 10;
    to[12] = (u8)(drive->sense >> 8);
    to[13] = (u8)drive->sense;
    return 18;
}

static u32 inquiry(struct ide_drive *drive, const u8 *packet, u8 *to)
{
    if (packet[1] & 3) /* no vital product data */
        return refuse(drive, SENSE_BAD_FIELD);
    to[0] = 0x05; /* CD-ROM */
    to[1] = 0x80; /* removable */
    to[3] = 0x21; /* ATAPI's form */
    to[4] = 31;
    memcpy(to + 8, "TESTUDO CD-ROM          1.0 ", 28);
    return 36;
}

static u32 read_capacity(struct ide_drive *drive, u8 *to)
{
    u32 total = sectors(drive);
    if (!total)
        return refuse(drive, SENSE_NO_MEDIUM);
    put32(to, total - 1);
    put32(to + 4, CD_SECTOR);
    return 8;
}

/* ---- READ TOC/PMA/ATIP ---- */

static void put_address(u8 *to, u32 sector, bool msf)
{
    if (!msf) {
        put32(to, sector);
        return;
    }
    u64 frame = (u64)sector + 150;
    u64 minute = MIN(frame / (75 * 60), 255);
    to[0] = 0;
    to[1] = (u8)minute;
    to[2] = (u8)(frame / 75 % 60);
    to[3] = (u8)(frame % 75);
}

static u8 *track(u8 *to, u8 number, u32 sector, bool msf)
{
    to[1] = DATA_TRACK;
    to[2] = number;
    put_address(to + 4, sector, msf);
    return to + 8;
}

/* One line of the raw form: a point of the lead-in. */
static u8 *point(u8 *to, u8 number, u32 sector, bool msf)
{
    to[0] = 1; /* session */
    to[1] = DATA_TRACK;
    to[3] = number;
    if (number == 0xa0 || number == 0xa1)
        to[8] = 1; /* first and last track */
    else
        put_address(to + 7, sector, msf);
    return to + 11;
}

static u32 read_toc(struct ide_drive *drive, const u8 *packet, u8 *to)
{
    u32 total = sectors(drive);
    bool msf = packet[1] & 2;
    u8 format = packet[2] & 15 ? packet[2] & 15 : packet[9] >> 6, from = packet[6];
    u8 *end = to + 4;
    if (!total)
        return refuse(drive, SENSE_NO_MEDIUM);
    if (format > 2 || (format == 0 && from > 1 && from != LEAD_OUT))
        return refuse(drive, SENSE_BAD_FIELD);
    if (format == 1 || (format == 0 && from <= 1))
        end = track(end, 1, 0, msf);
    if (format == 0)
        end = track(end, LEAD_OUT, total, msf);
    if (format == 2) {
        end = point(end, 0xa0, 0, msf);
        end = point(end, 0xa1, 0, msf);
        end = point(end, 0xa2, total, msf);
        end = point(end, 1, 0, msf);
    }
    put16(to, (u32)(end - to - 2));
    to[2] = to[3] = 1; /* first and last track or session */
    return (u32)(end - to);
}

/* ---- MODE SENSE ---- */

/* Read error recovery parameters: none. */
static u8 *recovery_page(u8 *to)
{
    to[0] = 0x01;
    to[1] = 6;
    return to + 8;
}

static u8 *capabilities_page(const struct ide_drive *drive, u8 *to)
{
    to[0] = 0x2a;
    to[1] = 18;
    to[2] = 0x3b;                                 /* reads CD-R, CD-RW, DVD-ROM, DVD-R */
    to[4] = 0x70;                                 /* mode 2, several sessions */
    to[6] = (u8)(0x29 | (drive->locked ? 2 : 0)); /* tray, ejects, locks */
    put16(to + 8, 706);                           /* KB/s: four times the speed of sound */
    put16(to + 12, 512);                          /* KB of buffer */
    put16(to + 14, 706);
    return to + 20;
}

/* MODE SENSE (10) and (6), whose headers have 8 and 4 bytes. */
static u32 mode_sense(struct ide_drive *drive, const u8 *packet, u8 *to)
{
    bool wide = packet[0] == 0x5a;
    u8 page = packet[2] & 0x3f;
    u8 *end = to + (wide ? 8 : 4);
    if (packet[2] >> 6 == 3 || (page != 0x01 && page != 0x2a && page != 0x3f))
        return refuse(drive, SENSE_BAD_FIELD); /* no saved values */
    if (page != 0x2a)
        end = recovery_page(end);
    if (page != 0x01)
        end = capabilities_page(drive, end);
    u8 medium = ide_medium(drive) ? 0x01 : drive->tray_open ? 0x71 : 0x70;
    if (wide)
        put16(to, (u32)(end - to - 2));
    else
        to[0] = (u8)(end - to - 1);
    to[wide ? 2 : 1] = medium;
    return (u32)(end - to);
}

/* ---- GET CONFIGURATION ---- */

struct features {
    u8 *end;
    u32 from; /* lowest number wanted */
    u8 only;  /* 2: none but `from`; 1: only current ones */
};

/* Room for a feature's data of `size` bytes, or NULL if it isn't wanted. */
static u8 *feature(struct features *f, u32 number, u8 flags, u8 size)
{
    u8 *at = f->end;
    if (f->only == 2 ? number != f->from : number < f->from)
        return NULL;
    if (f->only == 1 && !(flags & 1))
        return NULL;
    put16(at, number);
    at[2] = flags;
    at[3] = size;
    f->end += 4 + size;
    return at + 4;
}

static u32 get_configuration(struct ide_drive *drive, const u8 *packet, u8 *to)
{
    u32 total = sectors(drive);
    bool dvd = total > CD_SECTORS_MAX, cd = total && !dvd;
    struct features f = {to + 8, (u32)packet[2] << 8 | packet[3], packet[1] & 3};
    if (f.only == 3)
        return refuse(drive, SENSE_BAD_FIELD);
    put16(to + 6, dvd ? 0x10 : cd ? 0x08 : 0); /* current profile */
    u8 *data = feature(&f, 0x0000, 3, 8);      /* profiles */
    if (data) {
        put16(data, 0x10);
        data[2] = dvd;
        put16(data + 4, 0x08);
        data[6] = cd;
    }
    data = feature(&f, 0x0001, 0x0b, 8); /* core: ATAPI */
    if (data) {
        put32(data, 2);
        data[4] = 1;
    }
    data = feature(&f, 0x0003, 0x0b, 4); /* removable: tray, ejects, locks */
    if (data)
        data[0] = 0x29;
    data = feature(&f, 0x0010, total ? 1 : 0, 8); /* reads at random */
    if (data) {
        put32(data, CD_SECTOR);
        put16(data + 4, 16);
    }
    feature(&f, 0x001e, cd ? 0x09 : 0x08, 4);  /* reads CDs */
    feature(&f, 0x001f, dvd ? 0x01 : 0x00, 0); /* reads DVDs */
    put32(to, (u32)(f.end - to - 4));
    return (u32)(f.end - to);
}

/* ---- State ---- */

/* GET EVENT STATUS NOTIFICATION: nothing ever happens to the medium from outside. */
static u32 event_status(struct ide_drive *drive, const u8 *packet, u8 *to)
{
    if (!(packet[1] & 1)) /* only by polling */
        return refuse(drive, SENSE_BAD_FIELD);
    to[3] = 0x10; /* classes there are: media */
    if (!(packet[4] & 0x10)) {
        put16(to, 2);
        to[2] = 0x80; /* no event available */
        return 4;
    }
    put16(to, 6);
    to[2] = 4;
    to[5] = (u8)((ide_medium(drive) ? 2 : 0) | (drive->tray_open ? 1 : 0));
    return 8;
}

static u32 disc_information(struct ide_drive *drive, const u8 *packet, u8 *to)
{
    if (packet[1] & 7)
        return refuse(drive, SENSE_BAD_FIELD);
    if (!ide_medium(drive))
        return refuse(drive, SENSE_NO_MEDIUM);
    put16(to, 32);
    to[2] = 0x0e; /* complete, and so is the last session */
    to[3] = to[4] = to[5] = to[6] = 1;
    to[7] = 0x20; /* for unrestricted use */
    memset(to + 16, 0xff, 8);
    return 34;
}

static u32 track_information(struct ide_drive *drive, u8 *to)
{
    u32 total = sectors(drive);
    if (!total)
        return refuse(drive, SENSE_NO_MEDIUM);
    put16(to, 34);
    to[2] = to[3] = 1; /* track, session */
    to[5] = 0x04;      /* data */
    to[6] = 0x01;      /* mode 1 */
    put32(to + 24, total);
    return 36;
}

static u32 mechanism_status(u8 *to)
{
    put16(to + 6, 0); /* no changer */
    return 8;
}

u32 ide_atapi_reply(struct ide_drive *drive, const u8 packet[IDE_PACKET], u8 *buffer)
{
    memset(buffer, 0, REPLY_MAX);
    switch (packet[0]) {
    case 0x03:
        return request_sense(drive, buffer);
    case 0x12:
        return inquiry(drive, packet, buffer);
    case 0x1a:
    case 0x5a:
        return mode_sense(drive, packet, buffer);
    case 0x25:
        return read_capacity(drive, buffer);
    case 0x43:
        return read_toc(drive, packet, buffer);
    case 0x46:
        return get_configuration(drive, packet, buffer);
    case 0x4a:
        return event_status(drive, packet, buffer);
    case 0x51:
        return disc_information(drive, packet, buffer);
    case 0x52:
        return track_information(drive, buffer);
    case 0xbd:
        return mechanism_status(buffer);
    default:
        return refuse(drive, SENSE_BAD_COMMAND);
    }
}
