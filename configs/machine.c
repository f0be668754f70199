/* SPDX-License-Identifier: MIT */
#include "configs/machine.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "configs/config.h"
#include "cpu/block.h"
#include "cpu/lapic.h"
#include "cpu/msr.h"
#include "devices/acpi.h"
#include "devices/pc.h"

#define FUNCTIONAL_HZ UINT64_C(1000000000) /* one instruction is one nanosecond */
#define CPUS_MAX 64

enum { MEMORY_SIZE };
static const struct prop_desc memory_props[] = {
    {.name = "size",
     .type = PROP_SIZE,
     .preset = "512M",
     .min = MIB,
     .max = 512 * GIB,
     .help = "bytes of RAM"},
};
enum { CPU_MODEL, CPU_NUMBER, CPU_FEATURES };
static const struct prop_desc cpu_props[] = {
    {.name = "model", .type = PROP_STRING, .preset = "default", .help = "processor model"},
    {.name = "count",
     .type = PROP_UINT,
     .preset = "1",
     .min = 1,
     .max = CPUS_MAX,
     .help = "number of processors"},
    {.name = "features", .type = PROP_STRING, .preset = "", .help = "changes: +name,-name"},
};
enum { RTC_HOST_TIME };
static const struct prop_desc rtc_props[] = {
    {.name = "host-time",
     .type = PROP_BOOL,
     .preset = "false",
     .help = "start at the host's date instead of the fixed one"},
};

/* The element's node, or an empty one (to be freed) that takes all presets. */
static struct prop_node *section(const struct prop_node *root, const char *name)
{
    struct prop_node *node = prop_child(root, name, NULL);
    return node ? node : prop_new((struct prop_node *)(uintptr_t)root, name, root->file, 0);
}

struct settings {
    u64 memory, cpus;
    const char *model, *features;
    bool host_time;
};

static bool read_settings(const struct prop_node *root, struct settings *set, struct error *err)
{
    struct prop_node *memory = section(root, "memory"), *cpu = section(root, "cpu"),
                     *rtc = section(root, "rtc");
    struct prop_value size, model, count, features, host_time;
    if (!prop_check(memory, memory_props, ARRAY_SIZE(memory_props), err) ||
        !prop_check(cpu, cpu_props, ARRAY_SIZE(cpu_props), err) ||
        !prop_check(rtc, rtc_props, ARRAY_SIZE(rtc_props), err) ||
        !prop_get(memory, &memory_props[MEMORY_SIZE], &size, err) ||
        !prop_get(cpu, &cpu_props[CPU_MODEL], &model, err) ||
        !prop_get(cpu, &cpu_props[CPU_NUMBER], &count, err) ||
        !prop_get(cpu, &cpu_props[CPU_FEATURES], &features, err) ||
        !prop_get(rtc, &rtc_props[RTC_HOST_TIME], &host_time, err))
        return false;
    *set = (struct settings){size.number,  count.number, model.string, features.string,
                             host_time.number};
    return true;
}

static bool add_cpus(struct machine *m, unsigned count)
{
    m->group.cpu = xalloc_array(count, sizeof(*m->group.cpu));
    m->group.blocks = block_cache_new(&m->group);
    for (unsigned n = 0; n < count; n++) {
        m->group.cpu[n] = cpu_new(&m->group, n, &m->model);
        m->group.count = n + 1;
    }
    return true;
}

static bool build(struct machine *m, const struct prop_node *root,
                  const struct char_backend *serial, struct error *err)
{
    struct settings set;
    if (!read_settings(root, &set, err) ||
        !config_cpu_model(&m->model, set.model, set.features, err) ||
        !bus_init(&m->bus, set.memory, err))
        return false;
    m->group.bus = &m->bus;
    m->group.clock = &m->clock;
    m->group.insn_limit = CLOCK_NEVER;
    add_cpus(m, (unsigned)set.cpus);
    struct pc_config pc;
    pc_config_init(&pc);
    pc.rtc.host = set.host_time;
    pc.serial[0].backend = *serial;
    m->pc = pc_new(&m->group, &pc, err);
    return m->pc;
}

struct machine *machine_new(const struct prop_node *root, const struct char_backend *serial,
                            struct error *err)
{
    struct machine *m = xalloc(sizeof(*m));
    clock_init(&m->clock, FUNCTIONAL_HZ);
    if (build(m, root, serial, err))
        return m;
    machine_free(m);
    return NULL;
}

void machine_free(struct machine *m)
{
    if (!m)
        return;
    if (m->pc)
        pc_free(m->pc);
    for (unsigned n = 0; n < m->group.count; n++)
        cpu_free(m->group.cpu[n]);
    block_cache_free(m->group.blocks);
    free(m->group.cpu);
    bus_fini(&m->bus);
    clock_fini(&m->clock);
    free(m);
}

void machine_reset(struct machine *m)
{
    machine_drop_caches(m);
    pc_reset(m->pc);
    for (unsigned n = 0; n < m->group.count; n++)
        cpu_reset(m->group.cpu[n], false);
}

bool machine_firmware(struct machine *m, struct error *err)
{
    for (unsigned n = 0; n < m->group.count; n++) {
        msr_firmware(m->group.cpu[n]);
        lapic_virtual_wire(m->group.cpu[n]->lapic);
    }
    return acpi_install(&m->bus.ram, m->group.count, &m->rsdp, err);
}

void machine_drop_caches(struct machine *m)
{
    block_drop_all(m->group.blocks);
    for (unsigned n = 0; n < m->group.count; n++)
        tlb_flush_all(&m->group.cpu[n]->tlb_store);
}

void machine_snap(struct machine *m, struct snap *s)
{
    snap_section(s, "machine", 1);
    snap_expect(s, "RAM size", m->bus.ram.size);
    snap_expect(s, "number of processors", m->group.count);
    SNAP(s, m->clock.now);
    SNAP(s, m->rsdp);
    SNAP(s, m->group.turn);
    snap_range(s, "processor's turn", m->group.turn, 0, m->group.count - 1);
    for (unsigned n = 0; n < m->group.count; n++)
        cpu_snap(m->group.cpu[n], s);
    pc_snap(m->pc, s);
    snap_section(s, "ram", 1);
    snap_pages(s, m->bus.ram.host, m->bus.ram.size);
}
