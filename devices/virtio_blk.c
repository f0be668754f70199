/* SPDX-License-Identifier: MIT */
/* From Virtual I/O Device (VIRTIO) Version 1.1, "Block Device". */
#include "devices/virtio_blk.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "devices/le.h"
#include "devices/virtio_pci.h"

#define F_SIZE_MAX BIT(1)
#define F_SEG_MAX BIT(2)
#define F_RO BIT(5)
#define F_BLK_SIZE BIT(6)
#define F_FLUSH BIT(9)
#define F_DISCARD BIT(13)
#define F_WRITE_ZEROES BIT(14)

/* Where the members of struct virtio_blk_config lie. */
#define CONFIG_CAPACITY 0
#define CONFIG_SIZE_MAX 8
#define CONFIG_SEG_MAX 12
#define CONFIG_BLK_SIZE 20
#define CONFIG_DISCARD 36
#define CONFIG_WRITE_ZEROES 48
#define CONFIG_MAY_UNMAP 56
#define CONFIG_SIZE 60

enum {
    REQUEST_IN = 0,
    REQUEST_OUT = 1,
    REQUEST_FLUSH = 4,
    REQUEST_GET_ID = 8,
    REQUEST_DISCARD = 11,
    REQUEST_WRITE_ZEROES = 13
};
enum { STATUS_OK, STATUS_IOERR, STATUS_UNSUPP };

#define HEADER_SIZE 16
#define RANGE_SIZE 16 /* struct virtio_blk_discard_write_zeroes */
#define RANGE_UNMAP BIT32(0)

#define SEGMENT_BYTES MIB /* these two bound a request */
#define SEGMENTS 126u
#define DISCARD_SECTORS (UINT32_C(1) << 22)
#define ZERO_SECTORS (16 * MIB / DISK_SECTOR)
#define FLUSH_COST MIB
#define PIECE (64 * KIB)

struct virtio_blk {
    struct virtio_pci pci;
    struct disk *disk;
    char serial[VIRTIO_BLK_SERIAL];
    struct virtq_chain chain;
    u8 piece[PIECE];
};

struct request {
    u32 type;
    u64 sector;
    u64 written; /* bytes of data for the driver */
};

static u64 sectors(const struct virtio_blk *blk)
{
    return blk->disk ? disk_size(blk->disk) / DISK_SECTOR : 0;
}

static bool in_range(const struct virtio_blk *blk, u64 sector, u64 count)
{
    return sector <= sectors(blk) && count <= sectors(blk) - sector;
}

static bool read_only(const struct virtio_blk *blk)
{
    return !blk->disk || disk_read_only(blk->disk);
}

/* Whole sectors within the disk, in no more than was offered. */
static bool transfer_allowed(const struct virtio_blk *blk, u64 sector, u64 size)
{
    return size % DISK_SECTOR == 0 && size <= SEGMENTS * SEGMENT_BYTES &&
           in_range(blk, sector, size / DISK_SECTOR);
}

static u8 read_data(struct virtio_blk *blk, struct request *request)
{
    u64 size = blk->chain.in_size - 1, offset = request->sector * DISK_SECTOR;
    if (!transfer_allowed(blk, request->sector, size))
        return STATUS_IOERR;
    while (request->written < size) {
        u64 part = MIN(size - request->written, PIECE);
        if (!disk_read(blk->disk, offset + request->written, blk->piece, part) ||
            !virtq_write(&blk->chain, request->written, blk->piece, part))
            return STATUS_IOERR;
        request->written += part;
    }
    return STATUS_OK;
}

/* Without the flush feature each write is to be stable when it is done. */
static u8 stable(struct virtio_blk *blk)
{
    return virtio_has(&blk->pci.virtio, F_FLUSH) || disk_flush(blk->disk) ? STATUS_OK
                                                                          : STATUS_IOERR;
}

static u8 write_data(struct virtio_blk *blk, const struct request *request)
{
    u64 size = blk->chain.out_size - HEADER_SIZE, offset = request->sector * DISK_SECTOR;
    if (read_only(blk) || !transfer_allowed(blk, request->sector, size))
        return STATUS_IOERR;
    for (u64 done = 0; done < size;) {
        u64 part = MIN(size - done, PIECE);
        if (!virtq_read(&blk->chain, HEADER_SIZE + done, blk->piece, part) ||
            !disk_write(blk->disk, offset + done, blk->piece, part))
            return STATUS_IOERR;
        done += part;
    }
    return stable(blk);
}

static u8 flush(struct virtio_blk *blk)
{
    virtio_spend(&blk->pci.virtio, FLUSH_COST);
    return !blk->disk || disk_flush(blk->disk) ? STATUS_OK : STATUS_IOERR;
}

static u8 get_id(struct virtio_blk *blk, struct request *request)
{
    u64 size = MIN(blk->chain.in_size - 1, (u64)VIRTIO_BLK_SERIAL);
    if (!virtq_write(&blk->chain, 0, blk->serial, size))
        return STATUS_IOERR;
    request->written = size;
    return STATUS_OK;
}

static bool write_zeroes(struct virtio_blk *blk, u64 sector, u64 count)
{
    u64 offset = sector * DISK_SECTOR, end = offset + count * DISK_SECTOR;
    virtio_spend(&blk->pci.virtio, end - offset);
    memset(blk->piece, 0, PIECE);
    for (; offset < end; offset += MIN(end - offset, PIECE))
        if (!disk_write(blk->disk, offset, blk->piece, MIN(end - offset, PIECE)))
            return false;
    return true;
}

/* One range is offered, and taken, at a time. */
static u8 change_range(struct virtio_blk *blk, const struct request *request)
{
    u8 range[RANGE_SIZE];
    bool discard = request->type == REQUEST_DISCARD;
    if (!virtio_has(&blk->pci.virtio, discard ? F_DISCARD : F_WRITE_ZEROES))
        return STATUS_UNSUPP;
    if (read_only(blk) || blk->chain.out_size != HEADER_SIZE + RANGE_SIZE ||
        !virtq_read(&blk->chain, HEADER_SIZE, range, RANGE_SIZE))
        return STATUS_IOERR;
    u64 sector = le_get(range, 8), count = le_get(range + 8, 4);
    u32 flags = (u32)le_get(range + 12, 4);
    if (flags & ~(discard ? 0 : RANGE_UNMAP))
        return STATUS_UNSUPP;
    if (count > (discard ? DISCARD_SECTORS : ZERO_SECTORS) || !in_range(blk, sector, count))
        return STATUS_IOERR;
    bool done = discard ? disk_discard(blk->disk, sector * DISK_SECTOR, count * DISK_SECTOR)
                        : write_zeroes(blk, sector, count);
    return done ? stable(blk) : STATUS_IOERR;
}

static u8 execute(struct virtio_blk *blk, struct request *request)
{
    switch (request->type) {
    case REQUEST_IN:
        return read_data(blk, request);
    case REQUEST_OUT:
        return write_data(blk, request);
    case REQUEST_FLUSH:
        return flush(blk);
    case REQUEST_GET_ID:
        return get_id(blk, request);
    case REQUEST_DISCARD:
    case REQUEST_WRITE_ZEROES:
        return change_range(blk, request);
    default:
        return STATUS_UNSUPP;
    }
}

/* The buffer in blk->chain: a header to read; data; a byte to write, for the status. */
static void serve(struct virtio_blk *blk)
{
    struct virtq_chain *chain = &blk->chain;
    struct request request = {0};
    u8 header[HEADER_SIZE];
    if (!chain->in_size || chain->out_size < HEADER_SIZE) {
        virtio_break(&blk->pci.virtio, "request without header or status");
        return;
    }
    if (!virtq_read(chain, 0, header, HEADER_SIZE))
        return;
    request.type = (u32)le_get(header, 4);
    request.sector = le_get(header + 8, 8);
    u8 status = execute(blk, &request);
    if (virtq_write(chain, chain->in_size - 1, &status, 1))
        virtq_push(chain, request.written + 1);
}

static void work(struct virtio *device, unsigned n)
{
    struct virtio_blk *blk = CONTAINER_OF(device, struct virtio_blk, pci.virtio);
    while (virtq_pop(&device->queue[n], &blk->chain))
        serve(blk);
    virtq_tell(&device->queue[n]);
}

static const struct virtio_ops ops = {
    .name = "virtio-blk",
    .type = 2,
    .pci_class = 0x010000,
    .features = F_SIZE_MAX | F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_DISCARD | F_WRITE_ZEROES,
    .queues = 1,
    .config_size = CONFIG_SIZE,
    .work = work,
};

static void describe(struct virtio_blk *blk)
{
    u8 *config = blk->pci.virtio.config;
    le_put(config + CONFIG_CAPACITY, 8, sectors(blk));
    le_put(config + CONFIG_SIZE_MAX, 4, SEGMENT_BYTES);
    le_put(config + CONFIG_SEG_MAX, 4, SEGMENTS);
    le_put(config + CONFIG_BLK_SIZE, 4, DISK_SECTOR);
    le_put(config + CONFIG_DISCARD, 4, DISCARD_SECTORS);
    le_put(config + CONFIG_DISCARD + 4, 4, 1);
    le_put(config + CONFIG_DISCARD + 8, 4, 1);
    le_put(config + CONFIG_WRITE_ZEROES, 4, ZERO_SECTORS);
    le_put(config + CONFIG_WRITE_ZEROES + 4, 4, 1);
    config[CONFIG_MAY_UNMAP] = 0;
    if (read_only(blk)) {
        blk->pci.virtio.offered |= F_RO;
        blk->pci.virtio.offered &= ~(F_DISCARD | F_WRITE_ZEROES);
    }
}

static void *virtio_blk_create(const struct device_env *env, const void *config, struct error *err)
{
    const struct virtio_blk_config *c = config;
    struct virtio_blk *blk = xalloc(sizeof(*blk));
    blk->disk = c->disk;
    if (c->serial)
        memcpy(blk->serial, c->serial, strnlen(c->serial, VIRTIO_BLK_SERIAL));
    if (!virtio_pci_init(&blk->pci, env, &ops, err)) {
        free(blk);
        return NULL;
    }
    describe(blk);
    return blk;
}

static void virtio_blk_reset(void *device)
{
    struct virtio_blk *blk = device;
    virtio_pci_reset(&blk->pci);
}

static void virtio_blk_snap(void *device, struct snap *s)
{
    struct virtio_blk *blk = device;
    snap_expect(s, "disk size", sectors(blk));
    virtio_pci_snap(&blk->pci, s);
}

static void virtio_blk_free(void *device)
{
    struct virtio_blk *blk = device;
    virtio_pci_fini(&blk->pci);
    free(blk);
}

const struct device_class virtio_blk_class = {
    .name = "virtio_blk",
    .help = "virtio block device on PCI",
    .config_size = sizeof(struct virtio_blk_config),
    .create = virtio_blk_create,
    .reset = virtio_blk_reset,
    .snap = virtio_blk_snap,
    .free = virtio_blk_free,
};
