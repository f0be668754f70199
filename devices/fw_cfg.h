/* SPDX-License-Identifier: MIT */
/*
 * The firmware configuration interface that SeaBIOS and OVMF know from QEMU (ports 0x510 to 0x51b):
 * numbered items of bytes, some of which are files with a name. All are read-only to the guest.
 */
#ifndef DEVICES_FW_CFG_H
#define DEVICES_FW_CFG_H

#include "devices/device.h"

#define FW_CFG_SELECTOR 0x510
#define FW_CFG_DMA 0x514

/* Keys. Architecture's own have bit 15 set. */
#define FW_CFG_UUID 0x02
#define FW_CFG_RAM_SIZE 0x03
#define FW_CFG_NO_GRAPHICS 0x04
#define FW_CFG_CPUS 0x05
#define FW_CFG_KERNEL_ADDRESS 0x07
#define FW_CFG_KERNEL_SIZE 0x08
#define FW_CFG_INITRD_ADDRESS 0x0a
#define FW_CFG_INITRD_SIZE 0x0b
#define FW_CFG_NUMA 0x0d
#define FW_CFG_BOOT_MENU 0x0e
#define FW_CFG_CPUS_MAX 0x0f
#define FW_CFG_KERNEL 0x11
#define FW_CFG_INITRD 0x12
#define FW_CFG_CMDLINE_ADDRESS 0x13
#define FW_CFG_CMDLINE_SIZE 0x14
#define FW_CFG_CMDLINE 0x15
#define FW_CFG_SETUP_ADDRESS 0x16
#define FW_CFG_SETUP_SIZE 0x17
#define FW_CFG_SETUP 0x18
#define FW_CFG_ACPI_TABLES 0x8000
#define FW_CFG_SMBIOS_ENTRIES 0x8001
#define FW_CFG_IRQ0_OVERRIDE 0x8002

#define FW_CFG_FILES 64     /* at most */
#define FW_CFG_NAME_SIZE 56 /* of a file, with the final zero */
#define FW_CFG_ITEM_MAX GIB

struct fw_cfg;

/* Sets an item that is no file, or changes it; the bytes are copied. size: to FW_CFG_ITEM_MAX. */
void fw_cfg_set(struct fw_cfg *fw, u16 key, const void *bytes, u64 size);
/* The same, little-endian in size bytes (to 8). */
void fw_cfg_set_value(struct fw_cfg *fw, u16 key, u64 value, unsigned size);
/* Adds a file or changes its bytes. */
void fw_cfg_set_file(struct fw_cfg *fw, const char *name, const void *bytes, u64 size);

/*
 * Called (name outlives it) before a guest reads a file anew (by selecting it), so that it may be set to what fits the
 * state of the machine: its size may not change. At power-on it must be there already.
 */
void fw_cfg_on_select(struct fw_cfg *fw, const char *name, void (*fn)(void *opaque), void *opaque);

extern const struct device_class fw_cfg_class;

#endif
