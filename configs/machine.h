/* SPDX-License-Identifier: MIT */
/* A whole machine built from a property tree. */
#ifndef CONFIGS_MACHINE_H
#define CONFIGS_MACHINE_H

#include "base/clock.h"
#include "base/prop.h"
#include "cpu/cpu.h"
#include "cpu/cpuid.h"
#include "devices/char_backend.h"
#include "devices/pc.h"

struct machine {
    struct clock clock;
    struct bus bus;
    struct cpu_model model;
    struct cpu_group group;
    struct pc *pc;
    struct input_hub *input; /* what comes from outside (base/input.h) */
    bool firmware;           /* it has firmware, which starts by itself */
    u64 rsdp; /* physical address of the ACPI root pointer, once machine_firmware() has run */
};

/* The host's ends of its ports. */
struct machine_ends {
    struct char_backend serial[PC_SERIAL_PORTS];
    struct char_backend debug;   /* port 0xe9 */
    struct char_backend console; /* on virtio */
    struct net_backend nic[PC_NICS];
    struct char_backend firmware_log; /* port 0x402 */
    struct ide_config ide;
    struct machine_virtio_disks {
        struct virtio_blk_config disk[PC_VIRTIO_DISKS];
        unsigned disks;
    } virtio;
};

/*
 * Builds what root, a <machine> element, describes; what it leaves out has its preset. ends NULL:
 * nothing is connected. NULL and err when the configuration can't be had.
 */
struct machine *machine_new(const struct prop_node *root, const struct machine_ends *ends,
                            struct error *err);
void machine_free(struct machine *m);

/* As the reset line: CPUs and devices; RAM keeps its contents, time goes on. */
void machine_reset(struct machine *m);

/*
 * In the place of firmware: what it leaves before a kernel is started directly: ACPI tables, MTRRs, local APICs in
 * virtual wire mode. After machine_new() and each machine_reset().
 */
bool machine_firmware(struct machine *m, struct error *err);

/* Saves or loads everything; the machine loaded into must be built from the same configuration. */
void machine_snap(struct machine *m, struct snap *s);

/* Drops decoded code and translations, so that a run that saves equals one that loads. */
void machine_drop_caches(struct machine *m);

#endif
