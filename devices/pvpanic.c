/* SPDX-License-Identifier: MIT */
#include "devices/pvpanic.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "devices/pci.h"

#define PANICKED BIT32(0)
#define CRASH_LOADED BIT32(1)
#define SUPPORTED (PANICKED | CRASH_LOADED)

struct pvpanic {
    const struct device_env *env;
    u8 events; /* that the guest is to use */
    struct pci_device pci;
};

static u64 pvpanic_read(void *opaque, u64 offset, unsigned size)
{
    const struct pvpanic *p = opaque;
    (void)size;
    return offset ? 0 : p->events;
}

static void pvpanic_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct pvpanic *p = opaque;
    (void)size;
    if (offset)
        return;
    if (value & PANICKED) {
        log_msg(LOG_DEV, "pvpanic: the guest has panicked");
        device_stop(p->env, STOP_PANIC, 0);
    } else if (value & CRASH_LOADED) {
        log_msg(LOG_DEV, "pvpanic: the guest has panicked and starts its crash kernel");
    }
}

static const struct bus_ops pvpanic_ops = {pvpanic_read, pvpanic_write, 1};

static void pvpanic_reset(void *device)
{
    struct pvpanic *p = device;
    p->events = SUPPORTED;
}

static void *pvpanic_create(const struct device_env *env, const void *config, struct error *err)
{
    struct pvpanic *p = xalloc(sizeof(*p));
    (void)config;
    (void)err;
    p->env = env;
    bus_map_io(env->bus, &(struct bus_region){PVPANIC_PORT, 1, &pvpanic_ops, p, "pvpanic"});
    pci_init(&p->pci, "pvpanic", &(struct pci_id){0x1b36, 0x0011, 0x088000, 1});
    pci_config_set(&p->pci, PCI_SUBSYSTEM_VENDOR, 4, 0x11001af4);
    pci_bar_init(&p->pci, 0, &(struct pci_bar){.size = 16, .ops = &pvpanic_ops, .opaque = p});
    if (env->pci)
        pci_add(env->pci, &p->pci, PCI_DEVFN(PVPANIC_PCI_DEVICE, 0));
    return p;
}

static void pvpanic_snap(void *device, struct snap *s)
{
    struct pvpanic *p = device;
    snap_section(s, "pvpanic", 1);
    SNAP(s, p->events);
}

static void pvpanic_free(void *device)
{
    struct pvpanic *p = device;
    if (p->pci.bus)
        pci_remove(&p->pci);
    bus_unmap_io(p->env->bus, PVPANIC_PORT);
    free(p);
}

static const struct prop_desc pvpanic_props[] = {
    {.name = "enabled",
     .type = PROP_BOOL,
     .preset = "false",
     .help = "there at all: port 0x505 and a PCI function; a guest's panic ends the run"},
};
static const size_t pvpanic_offsets[] = {offsetof(struct pvpanic_config, enabled)};

const struct device_class pvpanic_class = {
    .name = "pvpanic",
    .help = "port 0x505 and a PCI function by which a guest says that it has panicked",
    .props = pvpanic_props,
    .prop_offsets = pvpanic_offsets,
    .prop_count = ARRAY_SIZE(pvpanic_props),
    .config_size = sizeof(struct pvpanic_config),
    .create = pvpanic_create,
    .reset = pvpanic_reset,
    .snap = pvpanic_snap,
    .free = pvpanic_free,
};
