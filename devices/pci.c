/* SPDX-License-Identifier: MIT */
/* From the PCI Local Bus Specification, "Configuration Space". */
#include "devices/pci.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define ADDRESS_ENABLE BIT32(31)
#define ADDRESS_BUS(a) (((a) >> 16) & 0xff)
#define ADDRESS_DEVFN(a) (((a) >> 8) & 0xff)
#define ADDRESS_REGISTER(a) ((a)&0xfc)
#define ADDRESS_LOW(a) ((a)&3) /* reserved */
#define ADDRESS_WRITABLE (ADDRESS_ENABLE | 0xffffff)

#define ROM_ENABLE BIT32(0)

#define CAPABILITIES_START 0x40

#define RESET_CPU BIT32(2)
#define RESET_SYSTEM BIT32(1)

struct pci_bus {
    const struct device_env *env;
    struct pci_device *device[256]; /* by devfn */
    u32 address;                    /* port 0xcf8 */
    u8 reset_control;               /* port 0xcf9 */
    u8 asserted[4];                 /* functions that assert each interrupt wire */
};

const struct device_env *pci_env(const struct pci_bus *bus)
{
    return bus->env;
}

struct pci_device *pci_function(const struct pci_bus *bus, u8 devfn)
{
    return bus->device[devfn];
}

u32 pci_config_get(const struct pci_device *device, unsigned offset, unsigned size)
{
    u32 value = 0;
    ASSERT(size <= 4 && offset + size <= 256);
    for (unsigned n = 0; n < size; n++)
        value |= (u32)device->config[offset + n] << (8 * n);
    return value;
}

void pci_config_set(struct pci_device *device, unsigned offset, unsigned size, u32 value)
{
    ASSERT(size <= 4 && offset + size <= 256);
    for (unsigned n = 0; n < size; n++)
        device->config[offset + n] = (u8)(value >> (8 * n));
}

void pci_config_writable(struct pci_device *device, unsigned offset, unsigned size, u32 mask)
{
    for (unsigned n = 0; n < size; n++)
        device->writable[offset + n] = (u8)(mask >> (8 * n));
}

void pci_init(struct pci_device *device, const char *name, const struct pci_id *id)
{
    device->name = name;
    pci_config_set(device, PCI_VENDOR, 2, id->vendor);
    pci_config_set(device, PCI_DEVICE, 2, id->device);
    pci_config_set(device, PCI_REVISION, 1, id->revision);
    pci_config_set(device, PCI_CLASS, 3, id->class);
    pci_config_writable(device, PCI_COMMAND, 2, 0x0547);
    pci_config_writable(device, 0x0c, 2, 0xffff); /* cache line size, latency timer */
    pci_config_writable(device, PCI_INTERRUPT_LINE, 1, 0xff);
    device->clear[PCI_STATUS + 1] = 0xf9;
}

static unsigned bar_offset(const struct pci_device *device, unsigned index)
{
    if (device->bar[index].at)
        return device->bar[index].at;
    return index == PCI_ROM ? PCI_ROM_ADDRESS : PCI_BAR0 + 4 * index;
}

void pci_bar_init(struct pci_device *device, unsigned index, const struct pci_bar *bar)
{
    u64 mask = ~(bar->size - 1);
    ASSERT(index < PCI_BARS && bar->size >= (bar->io ? 4 : 16) && !(bar->size & (bar->size - 1)));
    ASSERT(!bar->wide || (!bar->io && index + 1 < PCI_BARS));
    ASSERT(bar->memory ? !bar->io && bar->size >= PAGE_SIZE : bar->ops != NULL);
    device->bar[index] = *bar;
    device->bar[index].mapped = false;
    unsigned offset = bar_offset(device, index);
    pci_config_set(device, offset, 4,
                   bar->io ? 1u : (bar->wide ? 4u : 0u) | (bar->prefetch ? 8u : 0u));
    pci_config_writable(device, offset, 4, (u32)mask);
    if (bar->wide)
        pci_config_writable(device, offset + 4, 4, (u32)(mask >> 32));
}

void pci_rom_init(struct pci_device *device, u8 *memory, u64 size)
{
    ASSERT(size >= PAGE_SIZE && !(size & (size - 1)));
    device->bar[PCI_ROM] = (struct pci_bar){.size = size, .memory = memory};
    pci_config_writable(device, PCI_ROM_ADDRESS, 4, (u32) ~(size - 1) | ROM_ENABLE);
}

u8 pci_capability_add(struct pci_device *device, u8 id, unsigned size)
{
    unsigned offset = device->capability_end ? device->capability_end : CAPABILITIES_START;
    unsigned link = PCI_CAPABILITIES;
    ASSERT(size >= 2 && offset + size <= sizeof(device->config));
    while (device->config[link])
        link = device->config[link] + 1u;
    device->config[link] = (u8)offset;
    device->config[offset] = id;
    device->config[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
    device->capability_end = (offset + size + 3) & ~3u;
    return (u8)offset;
}

unsigned pci_slot_free(const struct pci_bus *bus, unsigned from)
{
    while (from < PCI_SLOTS && bus->device[PCI_DEVFN(from, 0)])
        from++;
    return from;
}

void pci_add(struct pci_bus *bus, struct pci_device *device, u8 devfn)
{
    ASSERT(!bus->device[devfn]);
    bus->device[devfn] = device;
    device->bus = bus;
    device->devfn = devfn;
    memcpy(device->initial, device->config, sizeof(device->initial));
}

/* ---- Base address registers ---- */

static bool bar_enabled(const struct pci_device *device, unsigned index)
{
    const struct pci_bar *bar = &device->bar[index];
    u32 enable = bar->io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
    if (bar->enable_at)
        return device->config[bar->enable_at] & 1;
    if (index == PCI_ROM && !(device->config[PCI_ROM_ADDRESS] & ROM_ENABLE))
        return false;
    return bar->size && (pci_config_get(device, PCI_COMMAND, 2) & enable);
}

/* Where the guest wants the BAR; false: nowhere. */
static bool bar_wanted(const struct pci_device *device, unsigned index, u64 *base)
{
    const struct pci_bar *bar = &device->bar[index];
    unsigned offset = bar_offset(device, index);
    if (!bar_enabled(device, index))
        return false;
    *base = pci_config_get(device, offset, 4);
    if (bar->wide)
        *base |= (u64)pci_config_get(device, offset + 4, 4) << 32;
    *base &= ~(bar->size - 1);
    u64 last = *base + (bar->size - 1);
    return *base && last >= *base && last <= (bar->io ? 0xffff : MASK(52));
}

static bool overlaps(u64 a, u64 a_size, u64 b, u64 b_size)
{
    return a <= b + (b_size - 1) && b <= a + (a_size - 1);
}

/* A guest may put a BAR over anything. What was there first stays. */
static bool range_free(const struct bus *bus, bool io, u64 base, u64 size)
{
    const struct bus_region *regions = io ? bus->io : bus->mmio;
    u32 count = io ? bus->io_count : bus->mmio_count;
    u64 high = bus->ram.size - bus->ram.low;
    if (!io && (overlaps(base, size, 0, bus->ram.low) ||
                (high && overlaps(base, size, RAM_HIGH_START, high))))
        return false;
    for (u32 n = 0; n < count; n++)
        if (overlaps(base, size, regions[n].base, regions[n].size))
            return false;
    for (unsigned n = 0; !io && n < bus->ram.windows; n++)
        if (overlaps(base, size, bus->ram.window[n].hpa, bus->ram.window[n].size))
            return false;
    return true;
}

static void bar_unmap(struct pci_device *device, struct pci_bar *bar)
{
    struct bus *bus = device->bus->env->bus;
    if (!bar->mapped)
        return;
    if (bar->io)
        bus_unmap_io(bus, bar->base);
    else if (bar->memory)
        ram_unmap(&bus->ram, bar->base, bar->memory);
    else
        bus_unmap_mmio(bus, bar->base);
    bar->mapped = false;
}

static void bar_map(struct pci_device *device, struct pci_bar *bar, u64 base)
{
    struct bus *bus = device->bus->env->bus;
    struct bus_region region = {base, bar->size, bar->ops, bar->opaque, device->name};
    struct ram_window window = {base, bar->size, bar->memory, bar != &device->bar[PCI_ROM]};
    if (!range_free(bus, bar->io, base, bar->size) ||
        (bar->memory && !ram_map(&bus->ram, &window))) {
        log_msg(LOG_DEV, "pci: %s: BAR at %#llx overlaps something", device->name,
                (unsigned long long)base);
        return;
    }
    if (bar->io)
        bus_map_io(bus, &region);
    else if (!bar->memory)
        bus_map_mmio(bus, &region);
    bar->base = base;
    bar->mapped = true;
}

static void unmap_stale(struct pci_device *device)
{
    for (unsigned n = 0; n <= PCI_ROM; n++) {
        u64 base;
        if (!bar_wanted(device, n, &base) || base != device->bar[n].base)
            bar_unmap(device, &device->bar[n]);
    }
}

static void map_wanted(struct pci_device *device)
{
    for (unsigned n = 0; n <= PCI_ROM; n++) {
        u64 base;
        if (!device->bar[n].mapped && bar_wanted(device, n, &base))
            bar_map(device, &device->bar[n], base);
    }
}

/* Over all functions, since one that moves away may uncover another. */
static void remap(struct pci_bus *bus)
{
    for (unsigned n = 0; n < 256; n++)
        if (bus->device[n])
            unmap_stale(bus->device[n]);
    for (unsigned n = 0; n < 256; n++)
        if (bus->device[n])
            map_wanted(bus->device[n]);
}

bool pci_has_class(const struct pci_bus *bus, u8 class)
{
    for (unsigned n = 0; n < 256; n++)
        if (bus->device[n] && bus->device[n]->config[PCI_CLASS + 2] == class)
            return true;
    return false;
}

void pci_high_range(const struct pci_bus *bus, u64 *start, u64 *size)
{
    u64 first = UINT64_MAX, last = 0;
    for (unsigned n = 0; n < 256 * PCI_BARS; n++) {
        const struct pci_device *device = bus->device[n / PCI_BARS];
        const struct pci_bar *bar = device ? &device->bar[n % PCI_BARS] : NULL;
        if (!bar || !bar->mapped || bar->io || bar->base < 4 * GIB)
            continue;
        first = MIN(first, bar->base);
        last = MAX(last, bar->base + (bar->size - 1));
    }
    *start = last ? first : 0;
    *size = last ? last - first + 1 : 0;
}

/* ---- Interrupt pins ---- */

/* The 440FX's boards begin with wire A at slot 1, where the PIIX's own functions are. */
static unsigned pci_wire(u8 devfn, unsigned pin)
{
    return ((devfn >> 3) - 1u + pin) & 3;
}

static void drive_intx(struct pci_device *device)
{
    struct pci_bus *bus = device->bus;
    unsigned pin = device->config[PCI_INTERRUPT_PIN];
    bool off = pci_config_get(device, PCI_COMMAND, 2) & PCI_COMMAND_INTX_OFF;
    bool level = device->intx && !off;
    if (pin < 1 || pin > 4 || level == device->driven)
        return;
    unsigned wire = pci_wire(device->devfn, pin - 1);
    struct irq_line line = device_line(bus->env, LINE_PIRQ + wire);
    device->driven = level;
    bus->asserted[wire] = (u8)(bus->asserted[wire] + (level ? 1 : -1));
    irq_set(&line, bus->asserted[wire] != 0);
}

void pci_intx_set(struct pci_device *device, bool level)
{
    device->intx = level;
    u8 *status = &device->config[PCI_STATUS];
    *status = (u8)(level ? *status | PCI_STATUS_INTX : *status & ~PCI_STATUS_INTX);
    drive_intx(device);
}

void pci_remove(struct pci_device *device)
{
    pci_intx_set(device, false);
    for (unsigned n = 0; n <= PCI_ROM; n++)
        bar_unmap(device, &device->bar[n]);
    device->bus->device[device->devfn] = NULL;
}

/* ---- Configuration mechanism 1 ---- */

void pci_write(struct pci_device *device, unsigned offset, unsigned size, u32 value)
{
    ASSERT(size <= 4 && offset + size <= 256);
    for (unsigned n = 0; n < size; n++) {
        unsigned at = offset + n;
        u8 byte = (u8)(value >> (8 * n)), w = device->writable[at];
        device->config[at] =
            (u8)(((device->config[at] & ~w) | (byte & w)) & ~(byte & device->clear[at]));
    }
    remap(device->bus);
    drive_intx(device);
    if (device->config_written)
        device->config_written(device, offset, size);
}

static struct pci_device *selected(const struct pci_bus *bus)
{
    if (!(bus->address & ADDRESS_ENABLE) || ADDRESS_BUS(bus->address))
        return NULL;
    return bus->device[ADDRESS_DEVFN(bus->address)];
}

static void reset_write(struct pci_bus *bus, u8 value)
{
    bool rising = value & ~bus->reset_control & RESET_CPU;
    bus->reset_control = value & (RESET_CPU | RESET_SYSTEM);
    if (rising)
        device_stop(bus->env, STOP_RESET, 0);
}

/* The address is only reached by whole double words; the byte at 0xcf9 is the reset control. */
static u64 address_read(void *opaque, u64 offset, unsigned size)
{
    struct pci_bus *bus = opaque;
    if (offset == 0 && size == 4)
        return bus->address;
    return offset == 1 && size == 1 ? bus->reset_control : UINT64_MAX;
}

static void address_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct pci_bus *bus = opaque;
    if (offset == 0 && size == 4)
        bus->address = (u32)value & ADDRESS_WRITABLE;
    else if (offset == 1 && size == 1)
        reset_write(bus, (u8)value);
}

/*
 * Guests written on emulators (kvm-unit-tests) choose the byte by the reserved bits of the address and
 * access port 0xcfc; others set these bits and choose by the port, too.
 */
static unsigned chosen(const struct pci_bus *bus, u64 offset, unsigned size)
{
    u64 low = ADDRESS_LOW(bus->address);
    if (!(low & (size - 1)) && offset + low + size <= 4 && !(offset & low))
        offset += low;
    return ADDRESS_REGISTER(bus->address) + (unsigned)offset;
}

static u64 data_read(void *opaque, u64 offset, unsigned size)
{
    struct pci_bus *bus = opaque;
    struct pci_device *device = selected(bus);
    if (!device)
        return UINT64_MAX;
    unsigned at = chosen(bus, offset, size);
    if (device->config_reading)
        device->config_reading(device, at, size);
    return pci_config_get(device, at, size);
}

static void data_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct pci_bus *bus = opaque;
    struct pci_device *device = selected(bus);
    if (device)
        pci_write(device, chosen(bus, offset, size), size, (u32)value);
}

static const struct bus_ops address_ops = {address_read, address_write, 4};
static const struct bus_ops data_ops = {data_read, data_write, 4};

struct pci_bus *pci_new(const struct device_env *env)
{
    struct pci_bus *bus = xalloc(sizeof(*bus));
    bus->env = env;
    bus_map_io(env->bus, &(struct bus_region){0xcf8, 4, &address_ops, bus, "pci address"});
    bus_map_io(env->bus, &(struct bus_region){0xcfc, 4, &data_ops, bus, "pci data"});
    return bus;
}

void pci_free(struct pci_bus *bus)
{
    bus_unmap_io(bus->env->bus, 0xcf8);
    bus_unmap_io(bus->env->bus, 0xcfc);
    free(bus);
}

void pci_reset(struct pci_bus *bus)
{
    bus->address = 0;
    bus->reset_control = 0;
    for (unsigned n = 0; n < 256; n++) {
        struct pci_device *device = bus->device[n];
        if (!device)
            continue;
        pci_intx_set(device, false);
        memcpy(device->config, device->initial, sizeof(device->config));
        if (device->config_written)
            device->config_written(device, 0, 256);
    }
    remap(bus);
}

static void snap_device(struct snap *s, struct pci_device *device)
{
    bool *const flags[] = {&device->intx, &device->driven};
    snap_expect(s, "PCI function", device->devfn);
    SNAP(s, device->config);
    snap_flags(s, flags, ARRAY_SIZE(flags));
}

void pci_snap(struct pci_bus *bus, struct snap *s)
{
    snap_section(s, "pci", 1);
    SNAP(s, bus->address);
    SNAP(s, bus->reset_control);
    SNAP(s, bus->asserted);
    for (unsigned n = 0; n < 256; n++)
        if (bus->device[n])
            snap_device(s, bus->device[n]);
    if (!snap_loading(s))
        return;
    bus->address &= ADDRESS_WRITABLE;
    remap(bus);
}
