/* SPDX-License-Identifier: MIT */
/* From the 82441FX and 82371SB data sheets. */
#include "devices/i440fx.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define PAM 0x59
#define PAM_COUNT 7
#define PAM_READ 1u /* from RAM */
#define PAM_WRITE 2u
#define PAM_PIECE 8 /* the first that PAM registers choose for: 0xc0000 */
#define PAM_TOP 20  /* the first of the topmost 64 KiB, which have one choice */
#define SMRAM 0x72
#define SMRAM_OPEN 0x40u /* to all, not just in SMM */
#define SMRAM_LOCK 0x10u
#define SMRAM_ENABLE 0x08u
#define SMRAM_RESET 0x02u
#define SMRAM_WRITABLE 0x78u
#define PIRQ_ROUTE 0x60
#define PIRQ_OFF 0x80
#define PIRQ_IRQ 0x0f
#define PASSIVE_RELEASE 0x82 /* and delayed transactions */
#define PIRQ_ALLOWED 0xdef8u /* interrupts 3 to 7, 9 to 12, 14, 15 */
#define PIRQ_GSI 16          /* the wires' inputs of the I/O APIC */

struct i440fx {
    const struct device_env *env;
    struct pci_bus *bus;
    struct pci_device host, isa;
    u8 *rom; /* NULL: none */
    u64 rom_size;
    bool pirq[4];
};

struct pci_bus *i440fx_pci(struct i440fx *chipset)
{
    return chipset->bus;
}

/* Drives all 16 inputs of the 8259 pair from the wires routed to them. */
static void route(struct i440fx *chipset)
{
    u32 levels = 0;
    for (unsigned n = 0; n < 4; n++) {
        u8 to = chipset->isa.config[PIRQ_ROUTE + n];
        if (chipset->pirq[n] && !(to & PIRQ_OFF))
            levels |= BIT32(to & PIRQ_IRQ) & PIRQ_ALLOWED;
    }
    for (unsigned n = 0; n < LINE_ISA_COUNT; n++) {
        struct irq_line line = device_line(chipset->env, LINE_PIC + n);
        irq_set(&line, (levels >> n) & 1);
    }
}

void i440fx_pirq(struct i440fx *chipset, unsigned wire, bool level)
{
    struct irq_line gsi = device_line(chipset->env, LINE_GSI + PIRQ_GSI + wire);
    chipset->pirq[wire] = level;
    irq_set(&gsi, level);
    route(chipset);
}

static void isa_written(struct pci_device *device, unsigned offset, unsigned size)
{
    if (offset < PIRQ_ROUTE + 4 && offset + size > PIRQ_ROUTE)
        route(device->opaque);
}

/* ---- Memory from 640 KiB to 1 MiB ---- */

static unsigned pam(const struct i440fx *chipset, unsigned piece)
{
    const u8 *reg = chipset->host.config + PAM;
    unsigned nibble = piece >= PAM_TOP ? 1 : 2 + piece - PAM_PIECE;
    return reg[nibble / 2] >> (nibble % 2 * 4) & (PAM_READ | PAM_WRITE);
}

/* Where the ROM shows in a piece; NULL: nobody answers on PCI. */
static u8 *rom_piece(const struct i440fx *chipset, unsigned piece)
{
    u64 below_top = (u64)(RAM_LEGACY_COUNT - piece) << RAM_LEGACY_SHIFT;
    if (!chipset->rom || below_top > MIN(chipset->rom_size, 128 * KIB))
        return NULL;
    return chipset->rom + (chipset->rom_size - below_top);
}

static void show_memory(struct i440fx *chipset)
{
    struct ram *ram = &chipset->env->bus->ram;
    u8 smram = chipset->host.config[SMRAM];
    bool enabled = smram & SMRAM_ENABLE, open = enabled && (smram & SMRAM_OPEN);
    for (unsigned n = 0; n < RAM_LEGACY_COUNT; n++) {
        u8 *under = ram_legacy_ram(ram, n);
        struct ram_legacy to = {open ? under : NULL, open ? under : NULL};
        if (n >= PAM_PIECE) {
            to.read = pam(chipset, n) & PAM_READ ? under : rom_piece(chipset, n);
            to.write = pam(chipset, n) & PAM_WRITE ? under : NULL;
        }
        ram_legacy_set(ram, n, to);
    }
    ram_smram_set(ram, enabled);
}

/* A lock holds until reset. */
static void lock_smram(struct i440fx *chipset)
{
    struct pci_device *host = &chipset->host;
    bool locked = host->config[SMRAM] & SMRAM_LOCK;
    host->writable[SMRAM] = locked ? 0 : SMRAM_WRITABLE;
    if (locked)
        host->config[SMRAM] &= (u8)~SMRAM_OPEN;
}

static void host_written(struct pci_device *device, unsigned offset, unsigned size)
{
    if (offset > SMRAM || offset + size <= PAM)
        return;
    lock_smram(device->opaque);
    show_memory(device->opaque);
}

void i440fx_set_rom(struct i440fx *chipset, u8 *rom, u64 size)
{
    ASSERT(size >= 64 * KIB && size % PAGE_SIZE == 0);
    chipset->rom = rom;
    chipset->rom_size = size;
}

void i440fx_shadow_ram(struct i440fx *chipset)
{
    memset(chipset->host.config + PAM, (PAM_READ | PAM_WRITE) * 0x11, PAM_COUNT);
    show_memory(chipset);
}

/* ---- Parts ---- */

static void host_init(struct i440fx *chipset)
{
    struct pci_device *host = &chipset->host;
    pci_init(host, "i440fx host bridge", &(struct pci_id){0x8086, 0x1237, 0x060000, 2});
    pci_config_set(host, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    memset(host->writable + PAM, 0x33, PAM_COUNT);
    host->writable[PAM] = 0x30;
    host->writable[SMRAM] = SMRAM_WRITABLE;
    host->config[SMRAM] = SMRAM_RESET;
    /* SeaBIOS knows a virtual machine by these numbers of QEMU's. */
    pci_config_set(host, PCI_SUBSYSTEM_VENDOR, 4, 0x11001af4);
    host->config_written = host_written;
    host->opaque = chipset;
    pci_add(chipset->bus, host, PCI_DEVFN(0, 0));
}

static void isa_init(struct i440fx *chipset)
{
    struct pci_device *isa = &chipset->isa;
    pci_init(isa, "piix3 isa bridge", &(struct pci_id){0x8086, 0x7000, 0x060100, 0});
    pci_config_set(isa, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    isa->config[PCI_HEADER_TYPE] = 0x80; /* there are more functions */
    memset(isa->config + PIRQ_ROUTE, PIRQ_OFF, 4);
    memset(isa->writable + PIRQ_ROUTE, PIRQ_OFF | PIRQ_IRQ, 4);
    isa->config[PASSIVE_RELEASE] = 0x02;
    isa->writable[PASSIVE_RELEASE] = 0x0f;
    isa->config_written = isa_written;
    isa->opaque = chipset;
    pci_add(chipset->bus, isa, PCI_DEVFN(1, 0));
}

static void *i440fx_create(const struct device_env *env, const void *config, struct error *err)
{
    struct i440fx *chipset = xalloc(sizeof(*chipset));
    (void)config;
    (void)err;
    chipset->env = env;
    chipset->bus = pci_new(env);
    host_init(chipset);
    isa_init(chipset);
    return chipset;
}

static void i440fx_reset(void *device)
{
    struct i440fx *chipset = device;
    pci_reset(chipset->bus);
}

static void i440fx_snap(void *device, struct snap *s)
{
    struct i440fx *chipset = device;
    bool *const flags[] = {&chipset->pirq[0], &chipset->pirq[1], &chipset->pirq[2],
                           &chipset->pirq[3]};
    snap_section(s, "i440fx", 1);
    pci_snap(chipset->bus, s);
    snap_flags(s, flags, ARRAY_SIZE(flags));
    if (!snap_loading(s))
        return;
    lock_smram(chipset);
    show_memory(chipset);
}

static void i440fx_free(void *device)
{
    struct i440fx *chipset = device;
    pci_remove(&chipset->host);
    pci_remove(&chipset->isa);
    pci_free(chipset->bus);
    free(chipset);
}

const struct device_class i440fx_class = {
    .name = "i440fx",
    .help = "PCI host bridge (440FX) and ISA bridge (PIIX3), reset control at 0xcf9",
    .create = i440fx_create,
    .reset = i440fx_reset,
    .snap = i440fx_snap,
    .free = i440fx_free,
};
