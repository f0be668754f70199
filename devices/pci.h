/* SPDX-License-Identifier: MIT */
/*
 * The PCI bus of a PC: bus 0 behind configuration mechanism 1 (ports 0xcf8 and 0xcfc). Functions
 * embed a struct pci_device; what the guest writes to configuration space passes the masks here.
 */
#ifndef DEVICES_PCI_H
#define DEVICES_PCI_H

#include "devices/device.h"

#define PCI_SLOTS 32
#define PCI_DEVFN(device, function) ((u8)((device) << 3 | (function)))
#define PCI_BARS 6
#define PCI_ROM PCI_BARS /* place of the expansion ROM among a function's base address registers */

#define PCI_VENDOR 0x00
#define PCI_DEVICE 0x02
#define PCI_COMMAND 0x04
#define PCI_STATUS 0x06
#define PCI_REVISION 0x08
#define PCI_CLASS 0x09 /* interface, subclass, base class: 3 bytes */
#define PCI_HEADER_TYPE 0x0e
#define PCI_BAR0 0x10
#define PCI_SUBSYSTEM_VENDOR 0x2c
#define PCI_SUBSYSTEM_DEVICE 0x2e
#define PCI_ROM_ADDRESS 0x30
#define PCI_CAPABILITIES 0x34
#define PCI_INTERRUPT_LINE 0x3c
#define PCI_INTERRUPT_PIN 0x3d

#define PCI_COMMAND_IO BIT32(0)
#define PCI_COMMAND_MEMORY BIT32(1)
#define PCI_COMMAND_MASTER BIT32(2)
#define PCI_COMMAND_INTX_OFF BIT32(10)
#define PCI_STATUS_INTX BIT32(3)
#define PCI_STATUS_CAPABILITIES BIT32(4)

/* A base address register. The region is mapped where, and while, the guest says so. */
struct pci_bar {
    u64 size; /* a power of two, at least 16 (4 for ports); 0: none */
    bool io;
    bool wide; /* 64-bit memory BAR; takes the next register as well */
    bool prefetch;
    const struct bus_ops *ops;
    void *opaque;
    u8 *memory; /* extra memory (mmu/ram.h) that the BAR shows; then ops is not used */
    /* A register outside the header: its offset, and that of the byte whose bit 0 enables it. */
    u8 at, enable_at; /* 0: the usual ones */
    /* Private: */
    bool mapped;
    u64 base;
};

struct pci_device {
    const char *name;
    struct pci_bus *bus;
    u8 devfn;
    u8 config[256];
    u8 writable[256]; /* bits a guest write changes */
    u8 clear[256];    /* bits a guest write of 1 clears */
    u8 initial[256];  /* what reset restores; taken by pci_add() */
    struct pci_bar bar[PCI_BARS + 1];
    unsigned capability_end; /* private: where pci_capability_add() goes on */
    bool intx;               /* the function asserts its interrupt pin */
    bool driven;             /* the wire as last driven */
    /* Before a read by the guest of [offset, offset + size); may be NULL. */
    void (*config_reading)(struct pci_device *device, unsigned offset, unsigned size);
    /* After a write by the guest to [offset, offset + size); may be NULL. */
    void (*config_written)(struct pci_device *device, unsigned offset, unsigned size);
    void *opaque;
};

struct pci_id {
    u16 vendor, device;
    u32 class; /* base class, subclass, interface: 24 bits */
    u8 revision;
};

struct pci_bus *pci_new(const struct device_env *env);
void pci_free(struct pci_bus *bus);
void pci_reset(struct pci_bus *bus);
void pci_snap(struct pci_bus *bus, struct snap *s);

const struct device_env *pci_env(const struct pci_bus *bus);

/* Fills identity and the masks of a type 0 header. */
void pci_init(struct pci_device *device, const char *name, const struct pci_id *id);
/* Before pci_add(). */
void pci_bar_init(struct pci_device *device, unsigned index, const struct pci_bar *bar);
/* Before pci_add(): an expansion ROM in extra memory; size: a power of two, at least 4096. */
void pci_rom_init(struct pci_device *device, u8 *memory, u64 size);
/*
 * Before pci_add(): puts a capability of size bytes (those of id and next included) at the end of the
 * list. Returns its offset in config, a multiple of 4.
 */
u8 pci_capability_add(struct pci_device *device, u8 id, unsigned size);
/* Before pci_add(): lets the guest write the bits of mask in a register. */
void pci_config_writable(struct pci_device *device, unsigned offset, unsigned size, u32 mask);
/* The lowest device number from `from` on without a function 0; PCI_SLOTS: none. */
unsigned pci_slot_free(const struct pci_bus *bus, unsigned from);
/* Puts the function on the bus; device->opaque and bytes of config must be final. */
void pci_add(struct pci_bus *bus, struct pci_device *device, u8 devfn);
void pci_remove(struct pci_device *device);

/* The function at devfn, NULL if there is none. */
struct pci_device *pci_function(const struct pci_bus *bus, u8 devfn);

u32 pci_config_get(const struct pci_device *device, unsigned offset, unsigned size);
void pci_config_set(struct pci_device *device, unsigned offset, unsigned size, u32 value);

/* As the guest writes: masks hold, BARs move. */
void pci_write(struct pci_device *device, unsigned offset, unsigned size, u32 value);

/* Whether there is a function of this base class. */
bool pci_has_class(const struct pci_bus *bus, u8 class);
/* The range above 4 GiB that BARs are in now; size 0: none is. */
void pci_high_range(const struct pci_bus *bus, u64 *start, u64 *size);

/* The function's interrupt pin (INTA# and so on, by its configuration byte). */
void pci_intx_set(struct pci_device *device, bool level);

#endif
