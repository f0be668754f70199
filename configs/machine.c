/* SPDX-License-Identifier: MIT */
#include "configs/machine.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/input.h"
#include "configs/config.h"
#include "configs/settings.h"
#include "cpu/block.h"
#include "cpu/lapic.h"
#include "cpu/msr.h"
#include "devices/pc.h"
#include "vmx/vmx.h"

#define FUNCTIONAL_HZ UINT64_C(1000000000) /* one instruction is one nanosecond */

static void add_cpus(struct machine *m, unsigned count)
{
    m->group.cpu = xalloc_array(count, sizeof(*m->group.cpu));
    m->group.blocks = block_cache_new(&m->group);
    for (unsigned n = 0; n < count; n++) {
        m->group.cpu[n] = cpu_new(&m->group, n, &m->model);
        m->group.count = n + 1;
        vmx_attach(m->group.cpu[n]);
    }
}

static void connect_ends(struct pc_config *pc, const struct machine_ends *ends)
{
    for (unsigned n = 0; n < PC_SERIAL_PORTS; n++)
        pc->serial[n].backend = ends->serial[n];
    pc->debug.backend = ends->debug;
    pc->virtio.console.backend = ends->console;
    for (unsigned n = 0; n < PC_NICS; n++)
        pc->virtio.nic[n].backend = ends->nic[n];
    pc->debug.firmware = ends->firmware_log;
    pc->ide = ends->ide;
    memcpy(pc->virtio.disk, ends->virtio.disk, sizeof(pc->virtio.disk));
    pc->virtio.disks = ends->virtio.disks;
}

static bool build(struct machine *m, const struct prop_node *root, const struct machine_ends *ends,
                  struct error *err)
{
    struct settings set;
    struct error cause = {{0}};
    if (!settings_read(root, &set, err))
        return false;
    if (!config_cpu_model(&m->model, set.model, NULL, &cause))
        return settings_error(root, "cpu.model", &cause, err);
    if (set.features[0] && !config_cpu_model(&m->model, set.model, set.features, &cause))
        return settings_error(root, "cpu.features", &cause, err);
    if (!bus_init(&m->bus, set.memory, &cause))
        return settings_error(root, "memory.size", &cause, err);
    m->group.bus = &m->bus;
    m->group.clock = &m->clock;
    m->group.insn_limit = CLOCK_NEVER;
    add_cpus(m, (unsigned)set.cpus);
    if (ends)
        connect_ends(&set.pc, ends);
    m->firmware = set.pc.firmware.path;
    set.pc.input = m->input;
    m->pc = pc_new(&m->group, &set.pc, &cause);
    return m->pc || settings_error(root, NULL, &cause, err);
}

struct machine *machine_new(const struct prop_node *root, const struct machine_ends *ends,
                            struct error *err)
{
    struct machine *m = xalloc(sizeof(*m));
    clock_init(&m->clock, FUNCTIONAL_HZ);
    m->input = input_new(&m->clock);
    if (build(m, root, ends, err))
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
    for (unsigned n = 0; n < m->group.count; n++) {
        vmx_detach(m->group.cpu[n]);
        cpu_free(m->group.cpu[n]);
    }
    block_cache_free(m->group.blocks);
    free(m->group.cpu);
    bus_fini(&m->bus);
    input_free(m->input);
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
    return pc_preset(m->pc, &m->rsdp, err);
}

void machine_drop_caches(struct machine *m)
{
    block_drop_all(m->group.blocks);
    for (unsigned n = 0; n < m->group.count; n++)
        tlb_flush_all(&m->group.cpu[n]->tlb_store);
}

/* The processor's name for the message, then all of the model that a guest may have seen. */
static void snap_model(const struct cpu_model *model, struct snap *s)
{
    char name[sizeof(model->name)];
    memcpy(name, model->name, sizeof(name));
    SNAP(s, name);
    name[sizeof(name) - 1] = 0;
    if (strcmp(name, model->name))
        snap_fail(s, "processor: saved %s, here %s", name, model->name);
    for (size_t n = 0; n < ARRAY_SIZE(model->features); n++)
        snap_expect(s, "processor's features", model->features[n]);
    snap_expect(s, "processor's signature", cpuid_signature(model));
    snap_expect(s, "processor's address width", model->phys_bits);
    snap_expect(s, "processor's clock", model->crystal_hz);
    snap_expect(s, "IA32_ARCH_CAPABILITIES", model->arch_capabilities);
}

void machine_snap(struct machine *m, struct snap *s)
{
    struct cpu_slice *slice = &m->group.slice;
    snap_section(s, "machine", 2);
    snap_expect(s, "RAM size", m->bus.ram.size);
    snap_expect(s, "number of processors", m->group.count);
    snap_model(&m->model, s);
    SNAP(s, m->clock.now);
    SNAP(s, m->rsdp);
    SNAP(s, m->group.turn);
    snap_range(s, "processor's turn", m->group.turn, 0, m->group.count - 1);
    SNAP(s, slice->end);
    SNAP(s, slice->sample_end);
    SNAP(s, slice->rip);
    SNAP(s, slice->rsp);
    for (unsigned n = 0; n < m->group.count; n++)
        cpu_snap(m->group.cpu[n], s);
    pc_snap(m->pc, s);
    m->group.resched = false; /* what loading devices woke was awake in the saver */
    snap_section(s, "ram", 1);
    snap_pages(s, m->bus.ram.host, m->bus.ram.size);
}
