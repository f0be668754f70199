/* SPDX-License-Identifier: MIT */
/* A driver of one virtio device at PCI 00:03.0, in the harness: the guest's side of the tests. */
#ifndef TESTS_DEVICES_VIRTIO_DRIVER_H
#define TESTS_DEVICES_VIRTIO_DRIVER_H

#include <string.h>

#include "devices/le.h"
#include "devices/virtio_pci.h"
#include "tests/devices/harness.h"

#define SLOT PCI_DEVFN(3, 0)
#define BAR UINT64_C(0xe0000000)
#define TABLE UINT64_C(0xe0010000) /* of MSI-X */
#define COMMON(at) (BAR + VIRTIO_PCI_COMMON + (at))
#define LATENCY (VIRTIO_LATENCY_US * MICROSECOND)
#define ALL_FEATURES UINT64_MAX

/* Queue n: 16 entries; its parts, and data, at fixed places. */
#define RING(n) (UINT64_C(0x10000) + UINT64_C(0x4000) * (n))
#define DESC(n) RING(n)
#define AVAIL(n) (RING(n) + 0x1000)
#define USED(n) (RING(n) + 0x2000)
#define DATA UINT64_C(0x40000)
#define ENTRIES 16

#define NEXT 1
#define WRITE 2
#define INDIRECT 4

static u32 config_get(unsigned reg, unsigned size)
{
    bus_io_write(&h.bus, 0xcf8, 4, UINT32_C(0x80000000) | (u32)SLOT << 8 | (reg & 0xfcu));
    return (u32)bus_io_read(&h.bus, 0xcfc + (reg & 3), size);
}

static void config_set(unsigned reg, unsigned size, u32 value)
{
    bus_io_write(&h.bus, 0xcf8, 4, UINT32_C(0x80000000) | (u32)SLOT << 8 | (reg & 0xfcu));
    bus_io_write(&h.bus, 0xcfc + (reg & 3), size, value);
}

static inline u64 common_get(unsigned at, unsigned size)
{
    return bus_read(&h.bus, COMMON(at), size);
}

static inline void common_set(unsigned at, unsigned size, u64 value)
{
    bus_write(&h.bus, COMMON(at), size, value);
}

static inline u8 status(void)
{
    return (u8)common_get(20, 1);
}

static inline void map_bars(void)
{
    config_set(0x10, 4, (u32)BAR);
    config_set(0x14, 4, (u32)TABLE);
    config_set(0x04, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static inline u64 offered(void)
{
    common_set(0, 4, 0);
    u64 low = common_get(4, 4);
    common_set(0, 4, 1);
    return low | common_get(4, 4) << 32;
}

static inline void accept(u64 features)
{
    common_set(8, 4, 0);
    common_set(12, 4, (u32)features);
    common_set(8, 4, 1);
    common_set(12, 4, (u32)(features >> 32));
    common_set(20, 1, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
}

static inline void setup_queue(unsigned n)
{
    common_set(22, 2, n);
    common_set(24, 2, ENTRIES);
    common_set(32, 8, DESC(n));
    common_set(40, 8, AVAIL(n));
    common_set(48, 8, USED(n));
    common_set(28, 2, 1);
}

/* As far as DRIVER_OK, with those of the features that are offered. */
static inline void start(u64 features)
{
    map_bars();
    common_set(20, 1, 0);
    accept(features & offered());
    REQUIRE(status() & VIRTIO_FEATURES_OK);
    for (unsigned n = 0; n < common_get(18, 2); n++)
        setup_queue(n);
    common_set(20, 1, status() | VIRTIO_DRIVER_OK);
}

static inline u64 mem_get(u64 gpa, unsigned size)
{
    u8 bytes[8];
    REQUIRE(ram_read(&h.bus.ram, gpa, bytes, size));
    return le_get(bytes, size);
}

static inline void mem_set(u64 gpa, unsigned size, u64 value)
{
    u8 bytes[8];
    le_put(bytes, size, value);
    REQUIRE(ram_write(&h.bus.ram, gpa, bytes, size));
}

static inline void desc_at(u64 at, u64 address, u32 size, u32 flags_next)
{
    mem_set(at, 8, address);
    mem_set(at + 8, 4, size);
    mem_set(at + 12, 4, flags_next);
}

/* flags_next: flags, and the next descriptor in the upper half */
static inline void desc(unsigned queue, unsigned n, u64 address, u32 size, u32 flags_next)
{
    desc_at(DESC(queue) + 16 * n, address, size, flags_next);
}
#define NEXT_IS(n) (NEXT | (u32)(n) << 16)

static inline u16 used_count(unsigned queue)
{
    return (u16)mem_get(USED(queue) + 2, 2);
}

/* Length that the used ring gives of entry n. */
static inline u32 used_length(unsigned queue, unsigned n)
{
    return (u32)mem_get(USED(queue) + 8 + 8 * (n % ENTRIES), 4);
}

static inline void notify(unsigned queue)
{
    bus_write(&h.bus, BAR + VIRTIO_PCI_NOTIFY + 4 * queue, 2, queue);
}

static inline void make_available(unsigned queue, u16 head)
{
    u16 index = (u16)mem_get(AVAIL(queue) + 2, 2);
    mem_set(AVAIL(queue) + 4 + 2 * (index % ENTRIES), 2, head);
    mem_set(AVAIL(queue) + 2, 2, (u16)(index + 1));
}

/* Makes a buffer available, gives notice and lets the device work. */
static inline void submit(unsigned queue, u16 head)
{
    make_available(queue, head);
    notify(queue);
    run_for(LATENCY);
}

/* Saves the bus and the device, and loads both into a fresh device. */
static inline void *reload(const struct device_class *class, void *device, const void *config)
{
    struct error err = {{0}};
    char path[] = "snap-test-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    struct snap *s = snap_open_save(path, &err);
    ck_assert(s != NULL);
    pci_snap(h.env.pci, s);
    class->snap(device, s);
    ck_assert_msg(snap_close(s, &err), "%s", err.text);
    class->free(device);
    device = class->create(&h.env, config, &err);
    ck_assert(device != NULL);
    pci_reset(h.env.pci);
    class->reset(device);
    s = snap_open_load(path, &err);
    ck_assert_msg(s != NULL, "%s", err.text);
    pci_snap(h.env.pci, s);
    class->snap(device, s);
    ck_assert_msg(snap_close(s, &err), "%s", err.text);
    unlink(path);
    return device;
}

#endif
