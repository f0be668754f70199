/* SPDX-License-Identifier: MIT */
/*
 * Message-signalled interrupts of PCI functions: the MSI and the MSI-X capability. A message goes to
 * the local APICs if its address is theirs, else it is the memory write that the guest asked for.
 *
 * While either is enabled its owner leaves the interrupt pin alone. State that a guest sees in the
 * configuration space is kept there, so it is reset and saved with the function.
 */
#ifndef DEVICES_PCI_MSI_H
#define DEVICES_PCI_MSI_H

#include "devices/pci.h"

#define PCI_CAPABILITY_MSI 0x05
#define PCI_CAPABILITY_MSIX 0x11

#define MSIX_VECTORS_MAX 64
#define MSIX_BAR_SIZE UINT64_C(0x1000) /* of the BAR with the table, at 0, and the pending bits */
#define MSIX_PENDING_OFFSET 0x800

struct pci_msi {
    struct pci_device *device;
    u8 offset; /* of the capability */
    unsigned vectors;
};

/* Before pci_add(): vectors: 1, 2, 4, 8, 16 or 32. With 64-bit addresses and masks. */
void pci_msi_init(struct pci_msi *msi, struct pci_device *device, unsigned vectors);
bool pci_msi_enabled(const struct pci_msi *msi);
/* Sends vector `vector`, or notes it as pending while it is masked. Nothing while disabled. */
void pci_msi_send(struct pci_msi *msi, unsigned vector);
/* To be called from device->config_written(). */
void pci_msi_written(struct pci_msi *msi, unsigned offset, unsigned size);

struct msix_entry {
    u64 address;
    u32 data;
    bool masked;
};

struct pci_msix {
    struct pci_device *device;
    u8 offset; /* of the capability */
    unsigned vectors;
    struct msix_entry entry[MSIX_VECTORS_MAX];
    u64 pending; /* bit n: vector n */
};

/* Before pci_add(): vectors: 1 to MSIX_VECTORS_MAX; the table takes the BAR `bar`. */
void pci_msix_init(struct pci_msix *msix, struct pci_device *device, unsigned vectors,
                   unsigned bar);
bool pci_msix_enabled(const struct pci_msix *msix);
/* As pci_msi_send(). A vector that there isn't is ignored. */
void pci_msix_send(struct pci_msix *msix, unsigned vector);
void pci_msix_written(struct pci_msix *msix, unsigned offset, unsigned size);
void pci_msix_reset(struct pci_msix *msix);
/* After the bus's own state. */
void pci_msix_snap(struct pci_msix *msix, struct snap *s);

#endif
