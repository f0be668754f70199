/* SPDX-License-Identifier: MIT */
/* From Virtual I/O Device (VIRTIO) Version 1.1, "Virtio Over PCI Bus". */
#include "devices/virtio_pci.h"

#include "devices/le.h"

#define CAPABILITY_VENDOR 0x09
#define CAPABILITY_SIZE 16 /* cap_vndr to length */
#define CAPABILITY_MORE 4  /* notify_off_multiplier, pci_cfg_data */
#define CAPABILITY_BAR 4
#define CAPABILITY_OFFSET 8
#define CAPABILITY_LENGTH 12

enum { CFG_COMMON = 1, CFG_NOTIFY, CFG_ISR, CFG_DEVICE, CFG_PCI };

#define BAR_STRUCTURES 0
#define BAR_MSIX 1
#define NOTIFY_STRIDE 4
#define SUBSYSTEM 0x1100 /* from 0x40 on: not a transitional device */

#define ISR_QUEUE 1
#define ISR_CONFIG 2

/* struct virtio_pci_common_cfg */
enum {
    COMMON_DEVICE_WORD = 0,
    COMMON_DEVICE_FEATURES = 4,
    COMMON_DRIVER_WORD = 8,
    COMMON_DRIVER_FEATURES = 12,
    COMMON_CONFIG_VECTOR = 16,
    COMMON_QUEUES = 18,
    COMMON_STATUS = 20,
    COMMON_GENERATION = 21,
    COMMON_QUEUE = 22,
    COMMON_QUEUE_SIZE = 24,
    COMMON_QUEUE_VECTOR = 26,
    COMMON_QUEUE_ENABLE = 28,
    COMMON_QUEUE_NOTIFY = 30,
    COMMON_QUEUE_DESC = 32,
    COMMON_QUEUE_AVAIL = 40,
    COMMON_QUEUE_USED = 48,
    COMMON_SIZE = 56
};

/* ---- Interrupts ---- */

static void drive_pin(struct virtio_pci *vp)
{
    pci_intx_set(&vp->pci, vp->isr && !pci_msix_enabled(&vp->msix));
}

static void interrupt(struct virtio *device, const struct virtq *queue)
{
    struct virtio_pci *vp = CONTAINER_OF(device, struct virtio_pci, virtio);
    if (pci_msix_enabled(&vp->msix)) {
        pci_msix_send(&vp->msix, queue ? queue->vector : vp->config_vector);
        return;
    }
    vp->isr |= queue ? ISR_QUEUE : ISR_CONFIG;
    drive_pin(vp);
}

static u8 isr_take(struct virtio_pci *vp)
{
    u8 isr = vp->isr;
    vp->isr = 0;
    drive_pin(vp);
    return isr;
}

/* ---- The common structure ---- */

static u32 feature_word(u64 features, u32 word)
{
    return word < 2 ? (u32)(features >> (32 * word)) : 0;
}

static struct virtq *selected(struct virtio_pci *vp)
{
    return vp->queue < vp->virtio.ops->queues ? &vp->virtio.queue[vp->queue] : NULL;
}

/* All of it as it reads now. */
static void common_image(struct virtio_pci *vp, u8 image[COMMON_SIZE])
{
    const struct virtio *device = &vp->virtio;
    const struct virtq *queue = selected(vp);
    static const struct virtq none = {.vector = VIRTIO_NO_VECTOR};
    if (!queue)
        queue = &none;
    le_put(image + COMMON_DEVICE_WORD, 4, vp->device_word);
    le_put(image + COMMON_DEVICE_FEATURES, 4, feature_word(device->offered, vp->device_word));
    le_put(image + COMMON_DRIVER_WORD, 4, vp->driver_word);
    le_put(image + COMMON_DRIVER_FEATURES, 4, feature_word(device->accepted, vp->driver_word));
    le_put(image + COMMON_CONFIG_VECTOR, 2, vp->config_vector);
    le_put(image + COMMON_QUEUES, 2, device->ops->queues);
    image[COMMON_STATUS] = device->status;
    image[COMMON_GENERATION] = device->generation;
    le_put(image + COMMON_QUEUE, 2, vp->queue);
    le_put(image + COMMON_QUEUE_SIZE, 2, queue->size);
    le_put(image + COMMON_QUEUE_VECTOR, 2, queue->vector);
    le_put(image + COMMON_QUEUE_ENABLE, 2, queue->enabled);
    le_put(image + COMMON_QUEUE_NOTIFY, 2, queue == &none ? 0 : vp->queue);
    le_put(image + COMMON_QUEUE_DESC, 8, queue->desc);
    le_put(image + COMMON_QUEUE_AVAIL, 8, queue->avail);
    le_put(image + COMMON_QUEUE_USED, 8, queue->used);
}

static u16 vector_of(const struct virtio_pci *vp, u64 value)
{
    return value < vp->msix.vectors ? (u16)value : VIRTIO_NO_VECTOR;
}

/* The function's configuration space stays, and with it how it sends messages. */
static void driver_reset(struct virtio_pci *vp)
{
    virtio_reset(&vp->virtio);
    vp->device_word = vp->driver_word = 0;
    vp->queue = 0;
    vp->config_vector = VIRTIO_NO_VECTOR;
    isr_take(vp);
}

static void status_write(struct virtio_pci *vp, u8 status)
{
    if (status)
        virtio_set_status(&vp->virtio, status);
    else
        driver_reset(vp);
}

/* Registers of the device itself. False: there is none of that offset and size. */
static bool device_write(struct virtio_pci *vp, unsigned at, unsigned size, u64 value)
{
    if (at == COMMON_DEVICE_WORD && size == 4)
        vp->device_word = (u32)value;
    else if (at == COMMON_DRIVER_WORD && size == 4)
        vp->driver_word = (u32)value;
    else if (at == COMMON_DRIVER_FEATURES && size == 4)
        virtio_accept(&vp->virtio, vp->driver_word, (u32)value);
    else if (at == COMMON_CONFIG_VECTOR && size == 2)
        vp->config_vector = vector_of(vp, value);
    else if (at == COMMON_STATUS && size == 1)
        status_write(vp, (u8)value);
    else if (at == COMMON_QUEUE && size == 2)
        vp->queue = (u16)value;
    else
        return false;
    return true;
}

/* A half of an address; fixed once the queue is enabled. */
static bool address_write(struct virtq *queue, unsigned at, u64 value)
{
    u64 *const address[] = {&queue->desc, &queue->avail, &queue->used};
    unsigned n = (at - COMMON_QUEUE_DESC) / 8, shift = at & 4 ? 32 : 0;
    if (queue->enabled)
        return false;
    *address[n] &= ~(MASK(32) << shift);
    *address[n] |= (value & MASK(32)) << shift;
    return true;
}

static bool queue_write(struct virtio_pci *vp, unsigned at, unsigned size, u64 value)
{
    struct virtq *queue = selected(vp);
    if (!queue)
        return false;
    if (at == COMMON_QUEUE_SIZE && size == 2)
        virtq_set_size(queue, (u16)value);
    else if (at == COMMON_QUEUE_VECTOR && size == 2)
        queue->vector = vector_of(vp, value);
    else if (at == COMMON_QUEUE_ENABLE && size == 2 && value == 1)
        virtq_enable(queue);
    else if (at >= COMMON_QUEUE_DESC && at < COMMON_SIZE && at % 4 == 0 && size == 4)
        return address_write(queue, at, value);
    else
        return false;
    return true;
}

static u64 image_get(const u8 *image, u64 limit, u64 at, unsigned size)
{
    return at < limit && size <= limit - at ? le_get(image + at, size) : 0;
}

/* ---- BAR 0 ---- */

static u64 structures_read(void *opaque, u64 offset, unsigned size)
{
    struct virtio_pci *vp = opaque;
    u8 image[COMMON_SIZE];
    u64 at = offset & 0xfff;
    switch (offset & ~UINT64_C(0xfff)) {
    case VIRTIO_PCI_COMMON:
        common_image(vp, image);
        return image_get(image, COMMON_SIZE, at, size);
    case VIRTIO_PCI_ISR:
        return at ? 0 : isr_take(vp);
    case VIRTIO_PCI_CONFIG:
        return image_get(vp->virtio.config, vp->virtio.ops->config_size, at, size);
    default:
        return 0;
    }
}

static void config_write(struct virtio *device, u64 at, unsigned size, u64 value)
{
    const struct virtio_ops *ops = device->ops;
    for (unsigned n = 0; n < size && at + n < ops->config_size; n++)
        if (ops->config_write)
            ops->config_write(device, (unsigned)at + n, (u8)(value >> (8 * n)));
}

static void structures_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct virtio_pci *vp = opaque;
    unsigned at = offset & 0xfff;
    switch (offset & ~UINT64_C(0xfff)) {
    case VIRTIO_PCI_COMMON:
        if (!device_write(vp, at, size, value) && !queue_write(vp, at, size, value))
            log_msg(LOG_DEV, "%s: write of %u bytes at %#x: %#llx", vp->pci.name, size, at,
                    (unsigned long long)value);
        break;
    case VIRTIO_PCI_CONFIG:
        config_write(&vp->virtio, at, size, value);
        break;
    case VIRTIO_PCI_NOTIFY:
        virtio_kick(&vp->virtio, at / NOTIFY_STRIDE);
        break;
    default:
        break;
    }
}

/* ---- Capabilities, and access to BAR 0 through the configuration space ---- */

static u8 capability(struct virtio_pci *vp, u8 type, u32 offset, u32 length)
{
    bool more = type == CFG_NOTIFY || type == CFG_PCI;
    unsigned size = CAPABILITY_SIZE + (more ? CAPABILITY_MORE : 0);
    u8 at = pci_capability_add(&vp->pci, CAPABILITY_VENDOR, size);
    pci_config_set(&vp->pci, at + 2u, 1, size);
    pci_config_set(&vp->pci, at + 3u, 1, type);
    pci_config_set(&vp->pci, at + CAPABILITY_BAR, 1, BAR_STRUCTURES);
    pci_config_set(&vp->pci, at + CAPABILITY_OFFSET, 4, offset);
    pci_config_set(&vp->pci, at + CAPABILITY_LENGTH, 4, length);
    return at;
}

static void add_capabilities(struct virtio_pci *vp)
{
    const struct virtio_ops *ops = vp->virtio.ops;
    capability(vp, CFG_COMMON, VIRTIO_PCI_COMMON, COMMON_SIZE);
    u8 at = capability(vp, CFG_NOTIFY, VIRTIO_PCI_NOTIFY, ops->queues * NOTIFY_STRIDE);
    pci_config_set(&vp->pci, at + CAPABILITY_SIZE, 4, NOTIFY_STRIDE);
    capability(vp, CFG_ISR, VIRTIO_PCI_ISR, 1);
    if (ops->config_size)
        capability(vp, CFG_DEVICE, VIRTIO_PCI_CONFIG, ops->config_size);
    vp->window = capability(vp, CFG_PCI, 0, 0);
    pci_config_writable(&vp->pci, vp->window + CAPABILITY_BAR, 1, 0xff);
    pci_config_writable(&vp->pci, vp->window + CAPABILITY_OFFSET, 4, ~UINT32_C(0));
    pci_config_writable(&vp->pci, vp->window + CAPABILITY_LENGTH, 4, ~UINT32_C(0));
    pci_config_writable(&vp->pci, vp->window + CAPABILITY_SIZE, 4, ~UINT32_C(0));
}

/* Whether an access to the configuration space means the window's data, and where that lies. */
static bool window_hit(const struct virtio_pci *vp, unsigned offset, unsigned size, u32 *at,
                       u32 *length)
{
    unsigned data = vp->window + CAPABILITY_SIZE;
    *at = pci_config_get(&vp->pci, vp->window + CAPABILITY_OFFSET, 4);
    *length = pci_config_get(&vp->pci, vp->window + CAPABILITY_LENGTH, 4);
    return offset < data + CAPABILITY_MORE && offset + size > data &&
           vp->pci.config[vp->window + CAPABILITY_BAR] == BAR_STRUCTURES &&
           (*length == 1 || *length == 2 || *length == 4) && *at % *length == 0 &&
           *at < VIRTIO_PCI_BAR_SIZE;
}

static void config_reading(struct pci_device *pci, unsigned offset, unsigned size)
{
    struct virtio_pci *vp = pci->opaque;
    u32 at, length;
    if (window_hit(vp, offset, size, &at, &length))
        pci_config_set(pci, vp->window + CAPABILITY_SIZE, 4, (u32)structures_read(vp, at, length));
}

static void config_written(struct pci_device *pci, unsigned offset, unsigned size)
{
    struct virtio_pci *vp = pci->opaque;
    u32 at, length;
    pci_msix_written(&vp->msix, offset, size);
    drive_pin(vp);
    if (offset < PCI_COMMAND + 2)
        virtio_kick_all(&vp->virtio); /* it may have become a bus master */
    if (window_hit(vp, offset, size, &at, &length))
        structures_write(vp, at, length, pci_config_get(pci, vp->window + CAPABILITY_SIZE, length));
}

static bool may_dma(const struct virtio *device)
{
    const struct virtio_pci *vp = CONTAINER_OF(device, struct virtio_pci, virtio);
    return pci_config_get(&vp->pci, PCI_COMMAND, 2) & PCI_COMMAND_MASTER;
}

/* ---- Life ---- */

static void function_init(struct virtio_pci *vp)
{
    static const struct bus_ops structures_ops = {structures_read, structures_write, 4};
    const struct virtio_ops *ops = vp->virtio.ops;
    struct pci_id id = {VIRTIO_PCI_VENDOR, (u16)VIRTIO_PCI_DEVICE(ops->type), ops->pci_class, 1};
    struct pci_bar bar = {.size = VIRTIO_PCI_BAR_SIZE, .ops = &structures_ops, .opaque = vp};
    pci_init(&vp->pci, ops->name, &id);
    pci_config_set(&vp->pci, PCI_SUBSYSTEM_VENDOR, 2, VIRTIO_PCI_VENDOR);
    pci_config_set(&vp->pci, PCI_SUBSYSTEM_DEVICE, 2, SUBSYSTEM);
    pci_config_set(&vp->pci, PCI_INTERRUPT_PIN, 1, 1);
    pci_bar_init(&vp->pci, BAR_STRUCTURES, &bar);
    pci_msix_init(&vp->msix, &vp->pci, ops->queues + 1, BAR_MSIX);
    add_capabilities(vp);
    vp->pci.opaque = vp;
    vp->pci.config_reading = config_reading;
    vp->pci.config_written = config_written;
}

bool virtio_pci_init(struct virtio_pci *vp, const struct device_env *env,
                     const struct virtio_ops *ops, struct error *err)
{
    unsigned slot = pci_slot_free(env->pci, VIRTIO_PCI_SLOT);
    if (slot == PCI_SLOTS)
        return error_set(err, "%s: all slots of the PCI bus are taken", ops->name);
    vp->virtio.env = env;
    vp->virtio.ops = ops;
    vp->virtio.interrupt = interrupt;
    vp->virtio.dma = may_dma;
    virtio_init(&vp->virtio);
    function_init(vp);
    vp->config_vector = VIRTIO_NO_VECTOR;
    pci_add(env->pci, &vp->pci, PCI_DEVFN(slot, 0));
    return true;
}

void virtio_pci_fini(struct virtio_pci *vp)
{
    virtio_fini(&vp->virtio);
    pci_remove(&vp->pci);
}

void virtio_pci_reset(struct virtio_pci *vp)
{
    driver_reset(vp);
    pci_msix_reset(&vp->msix);
}

void virtio_pci_snap(struct virtio_pci *vp, struct snap *s)
{
    virtio_snap(&vp->virtio, s);
    pci_msix_snap(&vp->msix, s);
    SNAP(s, vp->device_word);
    SNAP(s, vp->driver_word);
    SNAP(s, vp->queue);
    SNAP(s, vp->config_vector);
    SNAP(s, vp->isr);
}
