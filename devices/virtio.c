/* SPDX-License-Identifier: MIT */
/*
 * From Virtual I/O Device (VIRTIO) Version 1.1, "Basic Facilities of a Virtio Device" and "Split
 * Virtqueues". Packed virtqueues are not offered.
 */
#include "devices/virtio.h"

#include "devices/le.h"

#define DESC_SIZE 16
#define DESC_NEXT 1u
#define DESC_WRITE 2u
#define DESC_INDIRECT 4u
#define AVAIL_NO_INTERRUPT 1u

#define ADDRESS_BITS 52 /* of a physical address; beyond are none of the guest's */
#define CHAIN_MAX (256 * MIB)
#define BUDGET (32 * MIB) /* bytes moved at one tick: bounds the host's time away from the guest */
#define CHAIN_COST 64     /* what a buffer counts at least */

/* ---- Guest memory ---- */

static bool memory_range(u64 gpa, u64 size)
{
    return gpa <= MASK(ADDRESS_BITS) && size <= MASK(ADDRESS_BITS) - gpa;
}

static bool memory_read(struct virtio *device, u64 gpa, void *to, u64 size)
{
    if (memory_range(gpa, size) && ram_read(&device->env->bus->ram, gpa, to, size))
        return true;
    virtio_break(device, "reads where there is no memory");
    return false;
}

static bool memory_write(struct virtio *device, u64 gpa, const void *from, u64 size)
{
    if (memory_range(gpa, size) && ram_write(&device->env->bus->ram, gpa, from, size))
        return true;
    virtio_break(device, "writes where there is no memory");
    return false;
}

static bool read16(struct virtio *device, u64 gpa, u16 *value)
{
    u8 bytes[2];
    if (!memory_read(device, gpa, bytes, sizeof(bytes)))
        return false;
    *value = (u16)le_get(bytes, 2);
    return true;
}

static bool write16(struct virtio *device, u64 gpa, u16 value)
{
    u8 bytes[2];
    le_put(bytes, 2, value);
    return memory_write(device, gpa, bytes, sizeof(bytes));
}

static bool broken(const struct virtq *queue, const char *why)
{
    virtio_break(queue->device, why);
    return false;
}

/* ---- Descriptors ---- */

struct desc {
    u64 address;
    u32 size;
    u16 flags, next;
};

/* A table of descriptors: the queue's, then maybe one that it points to. */
struct walk {
    u64 table;
    u32 count, index;
    bool indirect;
};

static bool desc_read(const struct virtq *queue, const struct walk *walk, struct desc *desc)
{
    u8 bytes[DESC_SIZE];
    if (walk->index >= walk->count)
        return broken(queue, "descriptor beyond its table");
    if (!memory_read(queue->device, walk->table + (u64)walk->index * DESC_SIZE, bytes,
                     sizeof(bytes)))
        return false;
    *desc = (struct desc){
        .address = le_get(bytes, 8),
        .size = (u32)le_get(bytes + 8, 4),
        .flags = (u16)le_get(bytes + 12, 2),
        .next = (u16)le_get(bytes + 14, 2),
    };
    return true;
}

static bool walk_into(const struct virtq *queue, struct walk *walk, const struct desc *desc)
{
    if (!virtio_has(queue->device, VIRTIO_F_INDIRECT_DESC) || walk->indirect)
        return broken(queue, "indirect descriptor out of place");
    if ((desc->flags & DESC_NEXT) || !desc->size || desc->size % DESC_SIZE ||
        !memory_range(desc->address, desc->size))
        return broken(queue, "indirect descriptor malformed");
    *walk = (struct walk){desc->address, desc->size / DESC_SIZE, 0, true};
    return true;
}

static bool segment_add(struct virtq_chain *chain, const struct desc *desc)
{
    unsigned n = chain->out + chain->in;
    bool in = desc->flags & DESC_WRITE;
    if (n == VIRTQ_SIZE_MAX)
        return broken(chain->queue, "descriptors without end");
    if (!in && chain->in)
        return broken(chain->queue, "readable descriptor after a writable one");
    if (!memory_range(desc->address, desc->size) ||
        chain->out_size + chain->in_size + desc->size > CHAIN_MAX)
        return broken(chain->queue, "buffer out of bounds");
    chain->segment[n] = (struct virtq_segment){desc->address, desc->size};
    *(in ? &chain->in : &chain->out) += 1;
    *(in ? &chain->in_size : &chain->out_size) += desc->size;
    return true;
}

/* Ends: there are at most VIRTQ_SIZE_MAX segments and one step into an indirect table. */
static bool chain_collect(struct virtq_chain *chain)
{
    const struct virtq *queue = chain->queue;
    struct walk walk = {queue->desc, queue->size, chain->head, false};
    struct desc desc;
    for (;;) {
        if (!desc_read(queue, &walk, &desc))
            return false;
        if (desc.flags & DESC_INDIRECT) {
            if (!walk_into(queue, &walk, &desc))
                return false;
            continue;
        }
        if (!segment_add(chain, &desc))
            return false;
        if (!(desc.flags & DESC_NEXT))
            return true;
        walk.index = desc.next;
    }
}

/* ---- Virtqueues ---- */

static u64 avail_slot(const struct virtq *queue, u16 index)
{
    return queue->avail + 4 + 2 * (u64)(index & (queue->size - 1));
}

static u64 used_slot(const struct virtq *queue, u16 index)
{
    return queue->used + 4 + 8 * (u64)(index & (queue->size - 1));
}

/* "used_event" and "avail_event" lie behind the rings. */
static u64 used_event(const struct virtq *queue)
{
    return queue->avail + 4 + 2 * (u64)queue->size;
}

static u64 avail_event(const struct virtq *queue)
{
    return queue->used + 4 + 8 * (u64)queue->size;
}

/* With event indices the driver gives notice of the buffer after all that were taken. */
static void queue_drained(struct virtq *queue)
{
    if (virtio_has(queue->device, VIRTIO_F_EVENT_IDX))
        write16(queue->device, avail_event(queue), queue->taken);
}

static bool queue_ready(const struct virtq *queue)
{
    struct virtio *device = queue->device;
    return virtio_live(device) && queue->enabled && device->dma(device);
}

void virtio_spend(struct virtio *device, u64 bytes)
{
    device->budget -= MIN(device->budget, bytes);
}

bool virtq_pop(struct virtq *queue, struct virtq_chain *chain)
{
    struct virtio *device = queue->device;
    u16 index;
    if (!queue_ready(queue) || !read16(device, queue->avail + 2, &index))
        return false;
    if (index == queue->taken) {
        queue_drained(queue);
        return false;
    }
    if ((u16)(index - queue->taken) > queue->size)
        return broken(queue, "more buffers available than the queue holds");
    if (!device->budget) {
        virtio_kick(device, (unsigned)(queue - device->queue));
        return false;
    }
    virtio_spend(device, CHAIN_COST);
    chain->queue = queue;
    chain->out = chain->in = 0;
    chain->out_size = chain->in_size = 0;
    if (!read16(device, avail_slot(queue, queue->taken), &chain->head))
        return false;
    queue->taken++;
    return chain_collect(chain);
}

void virtq_unpop(struct virtq *queue)
{
    queue->taken--;
}

/* Copies through segments [first, first + count) from offset on; exactly one of to, from is set. */
static bool copy(const struct virtq_chain *chain, unsigned first, u64 offset, u8 *to,
                 const u8 *from, u64 size)
{
    struct virtio *device = chain->queue->device;
    for (unsigned n = first; size; n++) {
        const struct virtq_segment *segment = &chain->segment[n];
        ASSERT(n < chain->out + chain->in);
        if (offset >= segment->size) {
            offset -= segment->size;
            continue;
        }
        u64 part = MIN(size, segment->size - offset);
        if (to ? !memory_read(device, segment->gpa + offset, to, part)
               : !memory_write(device, segment->gpa + offset, from, part))
            return false;
        to = to ? to + part : NULL;
        from = from ? from + part : NULL;
        size -= part;
        offset = 0;
    }
    return true;
}

bool virtq_read(const struct virtq_chain *chain, u64 offset, void *to, u64 size)
{
    if (offset > chain->out_size || size > chain->out_size - offset)
        return false;
    virtio_spend(chain->queue->device, size);
    return copy(chain, 0, offset, to, NULL, size);
}

bool virtq_write(const struct virtq_chain *chain, u64 offset, const void *from, u64 size)
{
    if (offset > chain->in_size || size > chain->in_size - offset)
        return false;
    virtio_spend(chain->queue->device, size);
    return copy(chain, chain->out, offset, NULL, from, size);
}

void virtq_push(const struct virtq_chain *chain, u64 written)
{
    struct virtq *queue = chain->queue;
    u8 element[8];
    if (!queue_ready(queue))
        return;
    le_put(element, 4, chain->head);
    le_put(element + 4, 4, written);
    if (memory_write(queue->device, used_slot(queue, queue->given), element, sizeof(element)) &&
        write16(queue->device, queue->used + 2, (u16)(queue->given + 1)))
        queue->given++;
}

void virtq_tell(struct virtq *queue)
{
    struct virtio *device = queue->device;
    bool by_event = virtio_has(device, VIRTIO_F_EVENT_IDX);
    u16 word, told = queue->told, given = queue->given;
    if (given == told || !queue_ready(queue) ||
        !read16(device, by_event ? used_event(queue) : queue->avail, &word))
        return;
    queue->told = given;
    if (by_event ? (u16)(given - word - 1) < (u16)(given - told) : !(word & AVAIL_NO_INTERRUPT))
        device->interrupt(device, queue);
}

void virtq_set_size(struct virtq *queue, u16 size)
{
    if (queue->enabled || !size || size > VIRTQ_SIZE_MAX || (size & (size - 1)))
        log_msg(LOG_DEV, "%s: queue size %u not taken", queue->device->ops->name, size);
    else
        queue->size = size;
}

void virtq_enable(struct virtq *queue)
{
    if (queue->desc % 16 || queue->avail % 2 || queue->used % 4)
        virtio_break(queue->device, "queue not aligned");
    else
        queue->enabled = true;
}

/* ---- The device ---- */

bool virtio_live(const struct virtio *device)
{
    const u8 needed = VIRTIO_DRIVER_OK | VIRTIO_FEATURES_OK;
    return (device->status & (needed | VIRTIO_NEEDS_RESET | VIRTIO_FAILED)) == needed;
}

void virtio_break(struct virtio *device, const char *why)
{
    if (device->status & VIRTIO_NEEDS_RESET)
        return;
    log_msg(LOG_DEV, "%s: broken by the driver: %s", device->ops->name, why);
    device->status |= VIRTIO_NEEDS_RESET;
    if (device->status & VIRTIO_DRIVER_OK)
        device->interrupt(device, NULL);
}

void virtio_kick(struct virtio *device, unsigned n)
{
    if (n >= device->ops->queues || !virtio_live(device))
        return;
    struct clock *clock = device->env->clock;
    device->kicked |= BIT32(n);
    if (!clock_event_queued(&device->event))
        clock_event_set(clock, &device->event,
                        clock->now + clock_from_units(clock, VIRTIO_LATENCY_US, 1000000));
}

void virtio_kick_all(struct virtio *device)
{
    for (unsigned n = 0; n < device->ops->queues; n++)
        virtio_kick(device, n);
}

static void work(void *opaque)
{
    struct virtio *device = opaque;
    u32 kicked = device->kicked;
    device->kicked = 0;
    device->budget = BUDGET;
    for (unsigned n = 0; n < device->ops->queues; n++)
        if ((kicked >> n & 1) && queue_ready(&device->queue[n]))
            device->ops->work(device, n);
}

void virtio_accept(struct virtio *device, unsigned word, u32 features)
{
    if (word > 1 || (device->status & VIRTIO_FEATURES_OK))
        return;
    device->accepted &= ~(MASK(32) << (32 * word));
    device->accepted |= (u64)features << (32 * word);
}

void virtio_set_status(struct virtio *device, u8 status)
{
    bool was_live = virtio_live(device);
    bool acceptable =
        !(device->accepted & ~device->offered) && virtio_has(device, VIRTIO_F_VERSION_1);
    if (!status) {
        virtio_reset(device);
        return;
    }
    if ((status & ~device->status & VIRTIO_FEATURES_OK) && !acceptable)
        status &= (u8)~VIRTIO_FEATURES_OK;
    device->status = (u8)((status & ~VIRTIO_NEEDS_RESET) | (device->status & VIRTIO_NEEDS_RESET));
    if (!was_live)
        virtio_kick_all(device);
}

void virtio_config_change(struct virtio *device, unsigned offset, const u8 *bytes, unsigned size)
{
    ASSERT(offset + size <= device->ops->config_size);
    for (unsigned n = 0; n < size; n++)
        device->config[offset + n] = bytes[n];
    device->generation++;
    if (virtio_live(device))
        device->interrupt(device, NULL);
}

static void queue_reset(struct virtio *device, unsigned n)
{
    device->queue[n] =
        (struct virtq){.device = device, .size = VIRTQ_SIZE_MAX, .vector = VIRTIO_NO_VECTOR};
}

void virtio_init(struct virtio *device)
{
    ASSERT(device->ops->queues <= VIRTIO_QUEUES_MAX);
    ASSERT(device->ops->config_size <= VIRTIO_CONFIG_MAX);
    device->offered =
        device->ops->features | VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC;
    clock_event_init(&device->event, device->ops->name, work, device);
    for (unsigned n = 0; n < VIRTIO_QUEUES_MAX; n++)
        queue_reset(device, n);
}

void virtio_fini(struct virtio *device)
{
    clock_event_cancel(device->env->clock, &device->event);
}

void virtio_reset(struct virtio *device)
{
    clock_event_cancel(device->env->clock, &device->event);
    device->accepted = 0;
    device->status = 0;
    device->kicked = 0;
    for (unsigned n = 0; n < VIRTIO_QUEUES_MAX; n++)
        queue_reset(device, n);
    if (device->ops->reset)
        device->ops->reset(device);
}

static void queue_snap(struct virtq *queue, struct snap *s)
{
    bool *const flags[] = {&queue->enabled};
    SNAP(s, queue->size);
    SNAP(s, queue->desc);
    SNAP(s, queue->avail);
    SNAP(s, queue->used);
    SNAP(s, queue->taken);
    SNAP(s, queue->given);
    SNAP(s, queue->told);
    SNAP(s, queue->vector);
    snap_flags(s, flags, 1);
    snap_range(s, "queue size", queue->size, 1, VIRTQ_SIZE_MAX);
    if (queue->size & (queue->size - 1))
        snap_fail(s, "queue size: %u is no power of two", queue->size);
}

void virtio_snap(struct virtio *device, struct snap *s)
{
    snap_section(s, device->ops->name, 1);
    snap_expect(s, "virtio features", device->offered);
    SNAP(s, device->accepted);
    SNAP(s, device->status);
    SNAP(s, device->generation);
    SNAP(s, device->config);
    SNAP(s, device->kicked);
    for (unsigned n = 0; n < device->ops->queues; n++)
        queue_snap(&device->queue[n], s);
    snap_event(s, device->env->clock, &device->event);
    device->kicked &= (u32)MASK(device->ops->queues);
}
