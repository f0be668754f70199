/* SPDX-License-Identifier: MIT */
/* The PC: all devices on one bus, wired to the processors of a group. */
#ifndef DEVICES_PC_H
#define DEVICES_PC_H

#include "devices/debug_port.h"
#include "devices/ide.h"
#include "devices/flash.h"
#include "devices/fw_cfg.h"
#include "devices/mc146818.h"
#include "devices/pc_virtio.h"
#include "devices/pflash.h"
#include "devices/piix4_pm.h"
#include "devices/ps2_mouse.h"
#include "devices/pvpanic.h"
#include "devices/test_device.h"
#include "devices/uart16550.h"
#include "devices/vga.h"

#define PC_SERIAL_PORTS 2

struct pc;
struct pci_device;

struct pc_config {
    struct mc146818_config rtc;
    struct uart16550_config serial[PC_SERIAL_PORTS]; /* base 0: absent */
    struct debug_port_config debug;
    struct pc_virtio_config virtio;
    struct input_hub *input;               /* NULL: nothing comes in */
    struct pvpanic_config pvpanic;         /* not there unless enabled */
    struct test_device_config test_device; /* not there unless enabled */
    struct vga_config vga;
    struct ide_config ide;          /* no drives, unless the caller says so */
    struct pflash_config variables; /* of the firmware; path NULL: none; end is set here */
    struct flash_config firmware;   /* path NULL: none; something else starts the processors */
};

/* Initial values of all properties; one serial port, without backend. */
void pc_config_init(struct pc_config *config);

/*
 * Builds the devices on group->bus and group->clock, in their state after power-on, and wires them
 * to the local APICs (lapic_map, lapic_listen_eoi, group->extint_ack). The group's CPUs must exist.
 * NULL, with err set, when the configuration can't be had.
 */
struct pc *pc_new(struct cpu_group *group, const struct pc_config *config, struct error *err);
void pc_free(struct pc *pc);

/* The reset line: every device. The caller resets the CPUs and loads firmware or kernel afresh. */
void pc_reset(struct pc *pc);
/* All devices; CPUs, RAM and clock are the caller's. */
void pc_snap(struct pc *pc, struct snap *s);

/*
 * What firmware leaves where there is none: RAM up to 1 MiB, ACPI's registers, tables in RAM. Gives
 * the address of ACPI's root pointer.
 */
bool pc_preset(struct pc *pc, u64 *rsdp, struct error *err);

/* Where firmware finds what is set there before it starts. */
struct fw_cfg *pc_fw_cfg(struct pc *pc);

/* A function on PCI bus 0; NULL if there is none. */
const struct pci_device *pc_pci_function(const struct pc *pc, u8 devfn);

/* Serial port n; NULL if absent. */
struct uart16550 *pc_serial(struct pc *pc, unsigned n);
/* The input source of serial port n, and how many bytes it has room for; more would be lost. */
unsigned pc_serial_source(const struct pc *pc, unsigned n);
size_t pc_serial_room(const struct pc *pc, unsigned n);
/* Those of the virtio console, and the input source of network card n, which must exist. */
unsigned pc_console_source(const struct pc *pc);
size_t pc_console_room(const struct pc *pc);
unsigned pc_nic_source(const struct pc *pc, unsigned n);
/* For how many frames it has room. */
unsigned pc_nic_room(const struct pc *pc, unsigned n);
/* Before the machine runs for the first time: the date, seconds since 1970 UTC. */
void pc_set_date(struct pc *pc, s64 seconds);
/* The display; NULL if absent. */
struct vga *pc_vga(struct pc *pc);
/* From outside, through the input hub: the power button, a key (devices/keys.h), the mouse. */
void pc_power_button(struct pc *pc);
void pc_key(struct pc *pc, u8 usage, bool down);
void pc_mouse(struct pc *pc, const struct ps2_motion *motion);

#endif
