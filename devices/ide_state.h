/* SPDX-License-Identifier: MIT */
/*
 * Inside of the IDE controller: ide.c (function, registers, interrupts, snapshots), ide_transfer.c
 * (the phases of a command), ide_dma.c (bus master), ide_ata.c and ide_identify.c (disks), ide_atapi.c
 * and ide_atapi_reply.c (CD-ROM). A channel has one command at a time, of one of its drives. It goes on
 * in steps, each at an event on the clock.
 */
#ifndef DEVICES_IDE_STATE_H
#define DEVICES_IDE_STATE_H

#include "devices/ide.h"
#include "devices/pci.h"

#define IDE_BUFFER 65536u
#define IDE_MULTIPLE_MAX 16 /* sectors */
#define IDE_PACKET 12       /* bytes */
#define CD_SECTOR 2048u

/* ATA/ATAPI, "Status register", "Error register", "Device Control register", "Device register". */
#define STATUS_BSY 0x80
#define STATUS_DRDY 0x40
#define STATUS_DF 0x20
#define STATUS_DSC 0x10
#define STATUS_DRQ 0x08
#define STATUS_ERR 0x01
#define ERROR_UNC 0x40
#define ERROR_IDNF 0x10
#define ERROR_ABRT 0x04
#define CONTROL_HOB 0x80
#define CONTROL_SRST 0x04
#define CONTROL_NIEN 0x02
#define DEVICE_LBA 0x40
#define DEVICE_DEV 0x10
/* Of a packet command in the count register. */
#define REASON_COMMAND 0x01
#define REASON_IN 0x02

#define BM_START 0x01
#define BM_TO_MEMORY 0x08
#define BM_ACTIVE 0x01
#define BM_ERROR 0x02
#define BM_INTERRUPT 0x04
#define BM_CAPABLE 0x60

/* SCSI sense key << 16, additional code << 8, qualifier. */
#define SENSE(key, code, qualifier) ((u32)(key) << 16 | (code) << 8 | (qualifier))
#define SENSE_NONE 0u
#define SENSE_NO_MEDIUM SENSE(2, 0x3a, 0x02)
#define SENSE_READ_ERROR SENSE(3, 0x11, 0)
#define SENSE_BAD_COMMAND SENSE(5, 0x20, 0)
#define SENSE_OUT_OF_RANGE SENSE(5, 0x21, 0)
#define SENSE_BAD_FIELD SENSE(5, 0x24, 0)
#define SENSE_LOCKED SENSE(5, 0x53, 0x02)

/* Written registers, with the byte before: 48-bit commands take both. */
struct ide_taskfile {
    u8 feature[2], count[2], low[2], mid[2], high[2];
};

struct ide_drive {
    struct disk *disk; /* NULL: no drive */
    bool cdrom;
    unsigned number; /* 0 to 3 */
    struct ide_taskfile regs;
    u8 status, error;
    bool irq; /* it asserts INTRQ, once selected */
    u8 mode;  /* transfer mode, as SET FEATURES names it */
    /* Disks */
    u8 multiple; /* sectors; 0: not set */
    u8 heads, sectors;
    u16 cylinders;
    bool write_cache;
    /* CD-ROM */
    u32 sense;
    bool tray_open, locked;
};

enum ide_step {
    STEP_NONE,    /* idle, or the guest moves data */
    STEP_PACKET,  /* ask for the packet */
    STEP_EXECUTE, /* carry it out */
    STEP_BLOCK,   /* next block by PIO */
    STEP_DMA,     /* wait for the bus master, then move all */
    STEP_VERIFY,
    STEP_FLUSH,
    STEP_DONE, /* complete with transfer.error */
    STEP_DIAGNOSE,
    STEP_RESET, /* SRST is over */
    STEP_COUNT
};

/* What the present command moves. Invariant: at <= end <= size <= IDE_BUFFER. */
struct ide_transfer {
    u8 drive;
    u8 step; /* enum ide_step */
    u8 error;
    bool write, packet, dma;
    bool through; /* flush when written */
    u64 offset;   /* byte of the disk that comes next into the buffer or out of it */
    u64 left;     /* bytes from there on */
    u32 block;    /* bytes by PIO at a time, 2 at least */
    u32 at;       /* next byte of the buffer that the guest reads or writes */
    u32 end;      /* of the block */
    u32 size;     /* bytes in the buffer */
    u8 buffer[IDE_BUFFER];
};

struct ide_bus_master {
    u8 command, status;
    u32 table; /* physical address of the PRD table */
};

struct ide_channel {
    struct ide *ide;
    unsigned index;
    struct ide_drive drive[2];
    u8 device, control;
    bool line;
    struct ide_bus_master bm;
    struct clock_event event;
    struct ide_transfer transfer;
};

struct ide {
    const struct device_env *env;
    struct pci_device pci;
    struct ide_channel channel[2];
};

static inline struct ide_drive *ide_selected(struct ide_channel *c)
{
    return &c->drive[c->device & DEVICE_DEV ? 1 : 0];
}

/* ---- ide.c ---- */

void ide_update_line(struct ide_channel *c);
/* What a drive shows after a reset: which kind it is. */
void ide_signature(struct ide_drive *drive);
/* Bytes of the medium, whole sectors of the drive's own size; 0: none is in. */
u64 ide_medium(const struct ide_drive *drive);
/* Within ide_medium(). */
bool ide_medium_read(struct ide_drive *drive, u64 offset, void *to, u32 size);

/* ---- ide_transfer.c ---- */

/* The guest wrote the command register. */
void ide_command(struct ide_channel *c, u8 command);
/* The next step comes after the time that a command, or a block of it, takes. */
void ide_later(struct ide_channel *c, enum ide_step step);
void ide_soon(struct ide_channel *c, enum ide_step step);
/* Ends whatever goes on, without a word to the guest. */
void ide_cancel(struct ide_channel *c);
void ide_step_due(void *channel);
/* The data register: 16 bits. */
u16 ide_data_read(struct ide_channel *c);
void ide_data_write(struct ide_channel *c, u16 value);
/* Begins moving transfer.left bytes of the disk, or .size of the buffer, as .dma and .write say. */
void ide_data(struct ide_channel *c);
/* The command is over; error 0: it went well. */
void ide_finish(struct ide_channel *c, u8 error);
/* Buffer from disk, and back; false: the host failed, or there is no such place. */
bool ide_fill(struct ide_channel *c, u32 most);
bool ide_drain(struct ide_channel *c);
/* As ide_finish() when a step on the disk failed. */
void ide_fail(struct ide_channel *c);

/* ---- ide_dma.c ---- */

extern const struct bus_ops ide_bm_ops; /* of both channels; opaque: struct ide */
void ide_dma_due(struct ide_channel *c);

/* ---- ide_ata.c, ide_identify.c ---- */

void ide_ata_command(struct ide_channel *c, struct ide_drive *drive, u8 command);
/* Of both kinds of drive. */
void ide_set_features(struct ide_channel *c, struct ide_drive *drive);
void ide_default_geometry(struct ide_drive *drive);
void ide_identify(const struct ide_drive *drive, u8 to[DISK_SECTOR]);

/* ---- ide_atapi.c, ide_atapi_reply.c ---- */

void ide_atapi_command(struct ide_channel *c, struct ide_drive *drive, u8 command);
void ide_atapi_execute(struct ide_channel *c);
/* Writes a reply to a packet into buffer. Returns its whole size, at most 512; 0: sense is set. */
u32 ide_atapi_reply(struct ide_drive *drive, const u8 packet[IDE_PACKET], u8 *buffer);

#endif
