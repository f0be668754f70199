/* SPDX-License-Identifier: MIT */
/*
 * What the images of kvm-unit-tests expect of a virtual machine (QEMU's pc-testdev and pci-testdev):
 * a latch, raised interrupt lines, memory with side effects, a PCI function that counts accesses.
 */
#ifndef DEVICES_TEST_DEVICE_H
#define DEVICES_TEST_DEVICE_H

#include "devices/device.h"

#define TEST_LATCH_PORT 0xe0   /* 4 bytes */
#define TEST_FLUSH_PORT 0xe4   /* 4 bytes; written: drop the translations of this page */
#define TEST_BYTE_PORT 0xe8    /* 1 byte; 0xe9 to 0xeb, QEMU's too, are the debug console's */
#define TEST_IRQ_PORT 0x2000   /* + n: 0 lowers interrupt line n, other values raise it */
#define TEST_MEMORY 0xff000000 /* 64 KiB */
#define TEST_MEMORY_SIZE (64 * KIB)
/* The PCI function, 1b36:0005: tests behind a memory and a port BAR. */
#define TEST_PCI_DEVICE 29
#define TEST_PCI_MEMORY 0xfebf0000u /* at power-on; 4 KiB */
#define TEST_PCI_PORTS 0xcf00u      /* 256 */

struct test_device_config {
    u64 enabled;
};

extern const struct device_class test_device_class;

#endif
