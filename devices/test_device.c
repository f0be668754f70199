/* SPDX-License-Identifier: MIT */
/*
 * What it does is known from kvm-unit-tests (x86/ioapic.c, x86/emulator.c, x86/vmexit.c and others)
 * and from QEMU's docs/specs/pci-testdev.rst.
 */
#include "devices/test_device.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "devices/pci.h"

/* A BAR begins with the head of the test chosen by a write to its first byte. */
enum { HEAD_TEST = 0, HEAD_WIDTH = 1, HEAD_OFFSET = 4, HEAD_DATA = 8, HEAD_COUNT = 12 };
#define HEAD_NAME 16
#define HEAD_SIZE 48
#define TESTS 3 /* in each BAR */
#define NO_TEST 0xff
/* Only the last of them cares what is written. */
#define DATA_MATCH 2
#define DATA 0xfau
#define TARGETS 0x400u /* offset of the first test's byte in the memory BAR, of all in the other */
#define TARGETS_IO 0x80u

struct bar_tests {
    struct test_device *device;
    bool io;
    u8 current; /* NO_TEST: none */
    u32 count;
};

struct test_device {
    const struct device_env *env;
    u8 latch[4], byte;
    u8 memory[TEST_MEMORY_SIZE];
    bool line[LINE_GSI_COUNT];
    struct pci_device pci;
    struct bar_tests tests[2];
};

static u64 load(const u8 *from, unsigned size)
{
    u64 value = 0;
    for (unsigned n = 0; n < size; n++)
        value |= (u64)from[n] << (8 * n);
    return value;
}

static void store(u8 *to, unsigned size, u64 value)
{
    for (unsigned n = 0; n < size; n++)
        to[n] = (u8)(value >> (8 * n));
}

/* ---- Ports ---- */

static u64 latch_read(void *opaque, u64 offset, unsigned size)
{
    const struct test_device *t = opaque;
    return load(t->latch + offset, size);
}

static void latch_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct test_device *t = opaque;
    store(t->latch + offset, size, value);
}

static u64 flush_read(void *opaque, u64 offset, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)size;
    return 0;
}

/* All translations go: which of them lead to the page is known to nobody. */
static void flush_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct test_device *t = opaque;
    struct ram *ram = &t->env->bus->ram;
    (void)offset;
    (void)size;
    (void)value;
    if (ram->remapped)
        ram->remapped(ram->remapped_opaque);
}

static u64 byte_read(void *opaque, u64 offset, unsigned size)
{
    const struct test_device *t = opaque;
    (void)offset;
    (void)size;
    return t->byte;
}

static void byte_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct test_device *t = opaque;
    (void)offset;
    (void)size;
    t->byte = (u8)value;
}

static u64 irq_read(void *opaque, u64 offset, unsigned size)
{
    const struct test_device *t = opaque;
    (void)size;
    return t->line[offset];
}

static void irq_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct test_device *t = opaque;
    struct irq_line line = device_line(t->env, LINE_GSI + (unsigned)offset);
    (void)size;
    t->line[offset] = value;
    irq_set(&line, value);
}

static u64 memory_read(void *opaque, u64 offset, unsigned size)
{
    const struct test_device *t = opaque;
    return load(t->memory + offset, size);
}

static void memory_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct test_device *t = opaque;
    store(t->memory + offset, size, value);
}

static const struct bus_ops latch_ops = {latch_read, latch_write, 4};
static const struct bus_ops flush_ops = {flush_read, flush_write, 4};
static const struct bus_ops byte_ops = {byte_read, byte_write, 1};
static const struct bus_ops irq_ops = {irq_read, irq_write, 1};
static const struct bus_ops memory_ops = {memory_read, memory_write, 8};

/* ---- The PCI function ---- */

static u32 target(const struct bar_tests *b)
{
    return (b->io ? TARGETS_IO : TARGETS) + 4u * b->current;
}

static void fill_head(const struct bar_tests *b, u8 *head)
{
    static const char *const names[TESTS] = {"no-eventfd", "wildcard-eventfd", "datamatch-eventfd"};
    const char *prefix = b->io ? "portio-" : "mmio-";
    memset(head, 0, HEAD_SIZE);
    head[HEAD_TEST] = b->current;
    head[HEAD_WIDTH] = 1;
    store(head + HEAD_OFFSET, 4, target(b));
    store(head + HEAD_DATA, 4, DATA);
    store(head + HEAD_COUNT, 4, b->count);
    memcpy(head + HEAD_NAME, prefix, strlen(prefix));
    memcpy(head + HEAD_NAME + strlen(prefix), names[b->current], strlen(names[b->current]));
}

static u64 bar_read(void *opaque, u64 offset, unsigned size)
{
    const struct bar_tests *b = opaque;
    u8 head[HEAD_SIZE];
    if (b->current == NO_TEST || offset + size > sizeof(head))
        return 0;
    fill_head(b, head);
    return load(head + offset, size);
}

static void bar_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct bar_tests *b = opaque;
    if (offset == HEAD_TEST) {
        struct bar_tests *tests = b->device->tests;
        tests[0].current = tests[1].current = NO_TEST; /* one test at a time */
        b->current = value < TESTS ? (u8)value : NO_TEST;
        b->count = 0;
        return;
    }
    if (b->current == NO_TEST || offset != target(b))
        return;
    if (b->current != DATA_MATCH || (size == 1 && value == DATA))
        b->count++;
}

static const struct bus_ops bar_ops = {bar_read, bar_write, 4};

static void add_function(struct test_device *t)
{
    struct pci_device *pci = &t->pci;
    pci_init(pci, "pci test device", &(struct pci_id){0x1b36, 0x0005, 0x00ff00, 0});
    for (unsigned n = 0; n < 2; n++) {
        t->tests[n] = (struct bar_tests){.device = t, .io = n, .current = NO_TEST};
        pci_bar_init(
            pci, n,
            &(struct pci_bar){
                .size = n ? 256 : PAGE_SIZE, .io = n, .ops = &bar_ops, .opaque = &t->tests[n]});
    }
    pci_config_set(pci, PCI_SUBSYSTEM_VENDOR, 4, 0x11001af4);
    /* The images look for it where firmware has put it; there may be none. */
    pci_config_set(pci, PCI_BAR0, 4, TEST_PCI_MEMORY);
    pci_config_set(pci, PCI_BAR0 + 4, 4, TEST_PCI_PORTS | 1);
    pci_config_set(pci, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    if (t->env->pci)
        pci_add(t->env->pci, pci, PCI_DEVFN(TEST_PCI_DEVICE, 0));
}

/* ---- Life ---- */

static void test_device_reset(void *device)
{
    struct test_device *t = device;
    memset(t->latch, 0, sizeof(t->latch));
    t->byte = 0;
    memset(t->memory, 0, sizeof(t->memory));
    memset(t->line, 0, sizeof(t->line));
    for (unsigned n = 0; n < 2; n++) {
        t->tests[n].current = NO_TEST;
        t->tests[n].count = 0;
    }
}

static void *test_device_create(const struct device_env *env, const void *config, struct error *err)
{
    struct bus *bus = env->bus;
    struct test_device *t = xalloc(sizeof(*t));
    (void)config;
    (void)err;
    t->env = env;
    bus_map_io(bus, &(struct bus_region){TEST_LATCH_PORT, 4, &latch_ops, t, "test latch"});
    bus_map_io(bus, &(struct bus_region){TEST_FLUSH_PORT, 4, &flush_ops, t, "test flush"});
    bus_map_io(bus, &(struct bus_region){TEST_BYTE_PORT, 1, &byte_ops, t, "test byte"});
    bus_map_io(bus,
               &(struct bus_region){TEST_IRQ_PORT, LINE_GSI_COUNT, &irq_ops, t, "test interrupts"});
    bus_map_mmio(
        bus, &(struct bus_region){TEST_MEMORY, TEST_MEMORY_SIZE, &memory_ops, t, "test memory"});
    add_function(t);
    return t;
}

static void test_device_snap(void *device, struct snap *s)
{
    struct test_device *t = device;
    bool *flags[LINE_GSI_COUNT];
    snap_section(s, "test_device", 1);
    SNAP(s, t->latch);
    SNAP(s, t->byte);
    SNAP(s, t->memory);
    for (unsigned n = 0; n < LINE_GSI_COUNT; n++)
        flags[n] = &t->line[n];
    snap_flags(s, flags, LINE_GSI_COUNT);
    for (unsigned n = 0; n < 2; n++) {
        struct bar_tests *b = &t->tests[n];
        SNAP(s, b->current);
        SNAP(s, b->count);
        if (b->current != NO_TEST)
            snap_range(s, "test of the PCI test device", b->current, 0, TESTS - 1);
    }
}

static void test_device_free(void *device)
{
    struct test_device *t = device;
    struct bus *bus = t->env->bus;
    if (t->pci.bus)
        pci_remove(&t->pci);
    bus_unmap_io(bus, TEST_LATCH_PORT);
    bus_unmap_io(bus, TEST_FLUSH_PORT);
    bus_unmap_io(bus, TEST_BYTE_PORT);
    bus_unmap_io(bus, TEST_IRQ_PORT);
    bus_unmap_mmio(bus, TEST_MEMORY);
    free(t);
}

static const struct prop_desc test_device_props[] = {
    {.name = "enabled",
     .type = PROP_BOOL,
     .preset = "false",
     .help = "there at all: ports 0xe0 to 0xe8 and 0x2000, memory at 0xff000000, a PCI function"},
};
static const size_t test_device_offsets[] = {offsetof(struct test_device_config, enabled)};

const struct device_class test_device_class = {
    .name = "test_device",
    .help = "what kvm-unit-tests expects: latch, interrupt lines, memory, PCI test function",
    .props = test_device_props,
    .prop_offsets = test_device_offsets,
    .prop_count = ARRAY_SIZE(test_device_props),
    .config_size = sizeof(struct test_device_config),
    .create = test_device_create,
    .reset = test_device_reset,
    .snap = test_device_snap,
    .free = test_device_free,
};
