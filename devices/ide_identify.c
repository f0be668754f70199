/* SPDX-License-Identifier: MIT */
/* From ATA/ATAPI-6, "IDENTIFY DEVICE" and "IDENTIFY PACKET DEVICE". */
#include <stdio.h>
#include <string.h>

#include "devices/ide_state.h"

static void word(u8 *to, unsigned index, u64 value)
{
    to[2 * index] = (u8)value;
    to[2 * index + 1] = (u8)(value >> 8);
}

static void words(u8 *to, unsigned index, u64 value, unsigned count)
{
    for (unsigned n = 0; n < count; n++)
        word(to, index + n, value >> (16 * n));
}

/* Padded with blanks, the first character of each pair in the upper byte. */
static void text(u8 *to, unsigned index, unsigned chars, const char *s)
{
    size_t length = strlen(s);
    for (unsigned n = 0; n < chars; n++)
        to[2 * index + (n ^ 1)] = (u8)(n < length ? s[n] : ' ');
}

/* Word of a family of DMA modes: those that exist, and the chosen one. */
static u64 modes(const struct ide_drive *drive, u8 family, u64 exist)
{
    u64 chosen = (drive->mode & 0xf8) == family ? BIT(drive->mode & 7) : 0;
    return exist | chosen << 8;
}

static void common(const struct ide_drive *drive, u8 *to)
{
    char serial[24];
    snprintf(serial, sizeof(serial), "TESTUDO-%04u", drive->number);
    text(to, 10, 20, serial);
    text(to, 23, 8, "1.0");
    text(to, 27, 40, drive->cdrom ? "Testudo CD-ROM" : "Testudo disk");
    word(to, 49, 0x0b00);                   /* LBA, DMA, IORDY */
    word(to, 53, 0x0006);                   /* words 64 to 70 and 88 are valid */
    word(to, 63, modes(drive, 0x20, 0x07)); /* multiword DMA */
    word(to, 64, 0x0003);                   /* PIO modes 3 and 4 */
    for (unsigned n = 65; n <= 68; n++)
        word(to, n, 120);                              /* cycle times in ns */
    word(to, 80, 0x00f0);                              /* ATA/ATAPI-4 to 7 */
    word(to, 88, modes(drive, 0x40, 0x3f));            /* ultra DMA */
    word(to, 93, drive->number & 1 ? 0x6b00 : 0x600b); /* 80-wire cable, diagnosis passed */
}

static void disk_geometry(const struct ide_drive *drive, u8 *to)
{
    u64 total = disk_size(drive->disk) / DISK_SECTOR;
    u64 chs = (u64)drive->cylinders * drive->heads * drive->sectors;
    word(to, 1, MIN(MAX(total / (16 * 63), 1), 16383));
    word(to, 3, 16);
    word(to, 6, 63);
    word(to, 54, drive->cylinders);
    word(to, 55, drive->heads);
    word(to, 56, drive->sectors);
    words(to, 57, MIN(chs, total), 2);
    words(to, 60, MIN(total, MASK(28)), 2);
    words(to, 100, total, 4);
}

static void disk_words(const struct ide_drive *drive, u8 *to)
{
    word(to, 0, 0x0040); /* not removable */
    disk_geometry(drive, to);
    word(to, 47, 0x8000 | IDE_MULTIPLE_MAX);
    word(to, 50, 0x4000);
    word(to, 53, 0x0007); /* and words 54 to 58 */
    word(to, 59, drive->multiple ? 0x0100u | drive->multiple : 0);
    word(to, 82, 0x0068); /* power management, write cache, look-ahead */
    word(to, 83, 0x7400); /* FLUSH CACHE, FLUSH CACHE EXT, 48-bit addresses */
    word(to, 84, 0x4040); /* FUA */
    word(to, 85, 0x0048 | (drive->write_cache ? 0x0020 : 0));
    word(to, 86, 0x3400);
    word(to, 87, 0x4040);
    word(to, 217, 1); /* doesn't rotate */
}

static void cdrom_words(u8 *to)
{
    word(to, 0, 0x85c0);  /* packets of 12 bytes, DRQ within 50 us, CD-ROM, removable */
    word(to, 82, 0x0218); /* DEVICE RESET, PACKET, power management */
    word(to, 83, 0x4000);
    word(to, 84, 0x4000);
    word(to, 85, 0x0218);
    word(to, 87, 0x4000);
}

void ide_identify(const struct ide_drive *drive, u8 to[DISK_SECTOR])
{
    u8 sum = 0xa5;
    memset(to, 0, DISK_SECTOR);
    common(drive, to);
    if (drive->cdrom)
        cdrom_words(to);
    else
        disk_words(drive, to);
    to[510] = 0xa5;
    for (unsigned n = 0; n < 510; n++)
        sum = (u8)(sum + to[n]);
    to[511] = (u8)-sum;
}
