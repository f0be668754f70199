/* SPDX-License-Identifier: MIT */
/*
 * The PCI transport of virtio devices, without the legacy interface: one memory BAR with the common,
 * notification, interrupt-status and device structures, another with the MSI-X table.
 */
#ifndef DEVICES_VIRTIO_PCI_H
#define DEVICES_VIRTIO_PCI_H

#include "devices/pci.h"
#include "devices/pci_msi.h"
#include "devices/virtio.h"

#define VIRTIO_PCI_VENDOR 0x1af4
#define VIRTIO_PCI_DEVICE(type) (0x1040 + (type))
#define VIRTIO_PCI_SLOT 3 /* the first that is looked at for a free one */

/* Where the structures lie in BAR 0. */
#define VIRTIO_PCI_COMMON 0x0000
#define VIRTIO_PCI_ISR 0x1000
#define VIRTIO_PCI_CONFIG 0x2000
#define VIRTIO_PCI_NOTIFY 0x3000
#define VIRTIO_PCI_BAR_SIZE 0x4000

/* Begins a device's own structure. */
struct virtio_pci {
    struct virtio virtio;
    struct pci_device pci;
    struct pci_msix msix;
    u32 device_word, driver_word; /* of features: selected */
    u16 queue;                    /* selected; it need not exist */
    u16 config_vector;
    u8 isr;
    u8 window; /* offset of the capability that gives access through the configuration space */
};

/*
 * Puts the device into the lowest free slot from VIRTIO_PCI_SLOT on. Everything in vp is zero.
 * False: all slots are taken.
 */
bool virtio_pci_init(struct virtio_pci *vp, const struct device_env *env,
                     const struct virtio_ops *ops, struct error *err);
void virtio_pci_fini(struct virtio_pci *vp);
/* The machine's reset; the bus has reset the configuration space. */
void virtio_pci_reset(struct virtio_pci *vp);
void virtio_pci_snap(struct virtio_pci *vp, struct snap *s);

#endif
