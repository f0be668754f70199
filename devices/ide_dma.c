/* SPDX-License-Identifier: MIT */
/*
 * From the 82371SB data sheet, "Bus Master Function" and "Physical Region Descriptor". A transfer is
 * made at one event. If the table ends before the data does, the drive waits for more until it is
 * reset, as the hardware's would.
 */
#include "devices/ide_state.h"

#define TABLE_MAX 8192 /* entries: a table lies within 64 KiB */
#define ENTRY_END BIT32(31)

/* A walk through the table. */
struct regions {
    const struct ram *ram;
    u64 next;    /* entry's address */
    u64 address; /* where the next byte goes */
    u32 left;    /* bytes of this region */
    unsigned seen;
    bool last;
};

enum outcome { MOVED, TABLE_ENDED, NO_MEMORY };

static u32 get_u32(const u8 *p)
{
    return (u32)p[0] | (u32)p[1] << 8 | (u32)p[2] << 16 | (u32)p[3] << 24;
}

static enum outcome next_region(struct regions *r)
{
    u8 entry[8];
    if (r->last || r->seen == TABLE_MAX)
        return TABLE_ENDED;
    if (!ram_read(r->ram, r->next, entry, sizeof(entry)))
        return NO_MEMORY;
    u32 word = get_u32(entry + 4);
    r->address = get_u32(entry) & ~1u;
    r->left = word & 0xfffe ? word & 0xfffe : 0x10000;
    r->last = word & ENTRY_END;
    r->next += sizeof(entry);
    r->seen++;
    return MOVED;
}

/* The buffer's bytes up to size, to memory or from it. */
static enum outcome move(struct ide_channel *c, struct regions *r, u32 size)
{
    struct ram *ram = &c->ide->env->bus->ram;
    u8 *data = c->transfer.buffer;
    while (size) {
        enum outcome outcome = r->left ? MOVED : next_region(r);
        if (outcome != MOVED)
            return outcome;
        u32 part = MIN(size, r->left);
        if (!(c->transfer.write ? ram_read(ram, r->address, data, part)
                                : ram_write(ram, r->address, data, part)))
            return NO_MEMORY;
        data += part;
        r->address += part;
        r->left -= part;
        size -= part;
    }
    return MOVED;
}

static void dma_error(struct ide_channel *c)
{
    c->bm.status |= BM_ERROR;
    c->bm.status &= (u8)~BM_ACTIVE;
    ide_fail(c);
}

/* Moves what is left; false: it ended otherwise, which has been dealt with. */
static bool move_all(struct ide_channel *c, struct regions *r)
{
    struct ide_transfer *t = &c->transfer;
    do {
        if (t->write)
            t->size = (u32)MIN(t->left, IDE_BUFFER);
        else if (t->left && !ide_fill(c, IDE_BUFFER)) {
            ide_fail(c);
            return false;
        }
        enum outcome outcome = move(c, r, t->size);
        if (outcome == TABLE_ENDED) {
            c->bm.status &= (u8)~BM_ACTIVE;
            return false;
        }
        if (outcome == NO_MEMORY) {
            dma_error(c);
            return false;
        }
        if (t->write && !ide_drain(c)) {
            ide_fail(c);
            return false;
        }
    } while (t->left);
    return true;
}

void ide_dma_due(struct ide_channel *c)
{
    struct ide_transfer *t = &c->transfer;
    u16 command = (u16)pci_config_get(&c->ide->pci, PCI_COMMAND, 2);
    struct regions r = {.ram = &c->ide->env->bus->ram, .next = c->bm.table};
    if (!(c->bm.status & BM_ACTIVE) || !(command & PCI_COMMAND_MASTER))
        return;
    if (t->write == !!(c->bm.command & BM_TO_MEMORY)) {
        log_msg(LOG_DEV, "ide: bus master set to the wrong direction");
        dma_error(c);
        return;
    }
    if (!move_all(c, &r))
        return;
    /* A table that is longer than the data leaves the bus master active. */
    if (r.last && !r.left)
        c->bm.status &= (u8)~BM_ACTIVE;
    if (t->write && t->through && !disk_flush(c->drive[t->drive].disk))
        ide_fail(c);
    else
        ide_finish(c, 0);
}

/* ---- Registers ---- */

static void command_write(struct ide_channel *c, u8 value)
{
    bool was = c->bm.command & BM_START, is = value & BM_START;
    c->bm.command = value & (BM_START | BM_TO_MEMORY);
    if (was == is)
        return;
    c->bm.status &= (u8)~BM_ACTIVE;
    if (!is)
        return;
    c->bm.status |= BM_ACTIVE;
    if (c->transfer.step == STEP_DMA)
        ide_later(c, STEP_DMA);
}

static u64 bm_read(void *opaque, u64 offset, unsigned size)
{
    struct ide *ide = opaque;
    const struct ide_bus_master *bm = &ide->channel[offset >> 3].bm;
    unsigned reg = offset & 7;
    (void)size;
    if (reg >= 4)
        return (bm->table >> (8 * (reg - 4))) & 0xff;
    return reg == 0 ? bm->command : reg == 2 ? bm->status : 0;
}

static void bm_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct ide *ide = opaque;
    struct ide_channel *c = &ide->channel[offset >> 3];
    unsigned reg = offset & 7, shift = 8 * (reg & 3);
    u8 byte = (u8)value;
    (void)size;
    if (reg >= 4)
        c->bm.table = ((c->bm.table & ~(0xffu << shift)) | (u32)byte << shift) & ~3u;
    else if (reg == 0)
        command_write(c, byte);
    else if (reg == 2) /* written ones clear error and interrupt */
        c->bm.status = (u8)((c->bm.status & ~BM_CAPABLE & ~(byte & (BM_ERROR | BM_INTERRUPT))) |
                            (byte & BM_CAPABLE));
}

const struct bus_ops ide_bm_ops = {bm_read, bm_write, 1};
