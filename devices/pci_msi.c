/* SPDX-License-Identifier: MIT */
/*
 * From the PCI Local Bus Specification, "Message Signaled Interrupts", and the SDM, "Message Signalled
 * Interrupts", for what a message says to local APICs. Messages with the redirection hint off take
 * the destination mode into account all the same, as processors do.
 */
#include "devices/pci_msi.h"

#define ADDRESS_APIC(a) ((a) >> 20 == 0xfee)
#define ADDRESS_DEST(a) ((u32)((a) >> 12) & 0xff)
#define ADDRESS_LOGICAL BIT32(2)
#define DATA_VECTOR(d) ((u8)(d))
#define DATA_MODE(d) ((u8)((d) >> 8 & 7))
#define DATA_ASSERT BIT32(14)
#define DATA_LEVEL BIT32(15)

#define MODE_RESERVED 3
#define MODE_STARTUP 6 /* not for messages of devices */

/* The MSI capability with 64-bit addresses and masks. */
#define MSI_CONTROL 2
#define MSI_ADDRESS 4
#define MSI_DATA 12
#define MSI_MASK 16
#define MSI_PENDING 20
#define MSI_SIZE 24
#define MSI_ENABLE 0x0001u
#define MSI_CAPABLE(c) ((c) >> 1 & 7)
#define MSI_CHOSEN(c) ((c) >> 4 & 7)
#define MSI_CHOICE 0x0070u
#define MSI_WIDE 0x0080u
#define MSI_MASKABLE 0x0100u

#define MSIX_CONTROL 2
#define MSIX_TABLE 4
#define MSIX_PENDING 8
#define MSIX_SIZE 12
#define MSIX_ENABLE 0x8000u
#define MSIX_MASK_ALL 0x4000u
#define MSIX_ENTRY 16 /* bytes */

static void send(struct pci_device *device, u64 address, u32 data)
{
    const struct device_env *env = pci_env(device->bus);
    struct apic_message message = {
        .dest = ADDRESS_DEST(address),
        .logical = address & ADDRESS_LOGICAL,
        .mode = DATA_MODE(data),
        .vector = DATA_VECTOR(data),
        .level = data & DATA_LEVEL,
    };
    if (!(pci_config_get(device, PCI_COMMAND, 2) & PCI_COMMAND_MASTER)) {
        log_msg(LOG_DEV, "%s: message lost: not a bus master", device->name);
        return;
    }
    if (!ADDRESS_APIC(address)) {
        u8 bytes[4] = {(u8)data, (u8)(data >> 8), (u8)(data >> 16), (u8)(data >> 24)};
        bool done = ram_write(&env->bus->ram, address, bytes, sizeof(bytes));
        log_msg(LOG_DEV, "%s: message to %#llx%s", device->name, (unsigned long long)address,
                done ? "" : ", where there is no memory");
        return;
    }
    if (message.mode == MODE_RESERVED || message.mode == MODE_STARTUP ||
        (message.level && !(data & DATA_ASSERT)))
        return;
    env->apic_send(env->apic_opaque, &message);
}

/* ---- MSI ---- */

static u32 msi_control(const struct pci_msi *msi)
{
    return pci_config_get(msi->device, msi->offset + MSI_CONTROL, 2);
}

void pci_msi_init(struct pci_msi *msi, struct pci_device *device, unsigned vectors)
{
    unsigned log2 = (unsigned)__builtin_ctz(vectors);
    ASSERT(vectors && vectors <= 32 && !(vectors & (vectors - 1)));
    u8 at = pci_capability_add(device, PCI_CAPABILITY_MSI, MSI_SIZE);
    *msi = (struct pci_msi){device, at, vectors};
    pci_config_set(device, at + MSI_CONTROL, 2, MSI_MASKABLE | MSI_WIDE | log2 << 1);
    pci_config_writable(device, at + MSI_CONTROL, 2, MSI_CHOICE | MSI_ENABLE);
    pci_config_writable(device, at + MSI_ADDRESS, 4, ~UINT32_C(3));
    pci_config_writable(device, at + MSI_ADDRESS + 4, 4, ~UINT32_C(0));
    pci_config_writable(device, at + MSI_DATA, 2, 0xffff);
    pci_config_writable(device, at + MSI_MASK, 4, (u32)MASK(vectors));
}

bool pci_msi_enabled(const struct pci_msi *msi)
{
    return msi_control(msi) & MSI_ENABLE;
}

/* The guest may give fewer vectors than it was asked for: they are shared. */
static void msi_message(struct pci_msi *msi, unsigned vector)
{
    u32 control = msi_control(msi), given = BIT32(MIN(MSI_CHOSEN(control), MSI_CAPABLE(control)));
    u64 address = pci_config_get(msi->device, msi->offset + MSI_ADDRESS, 4) |
                  (u64)pci_config_get(msi->device, msi->offset + MSI_ADDRESS + 4, 4) << 32;
    u32 data = pci_config_get(msi->device, msi->offset + MSI_DATA, 2);
    send(msi->device, address, (data & ~(given - 1)) | (vector & (given - 1)));
}

/* Sends what is pending and not masked. */
static void msi_flush(struct pci_msi *msi)
{
    struct pci_device *device = msi->device;
    u32 pending = pci_config_get(device, msi->offset + MSI_PENDING, 4);
    u32 ready = pending & ~pci_config_get(device, msi->offset + MSI_MASK, 4);
    if (!pci_msi_enabled(msi))
        return;
    pci_config_set(device, msi->offset + MSI_PENDING, 4, pending & ~ready);
    for (unsigned n = 0; n < msi->vectors; n++)
        if (ready >> n & 1)
            msi_message(msi, n);
}

void pci_msi_send(struct pci_msi *msi, unsigned vector)
{
    u32 pending = pci_config_get(msi->device, msi->offset + MSI_PENDING, 4);
    ASSERT(vector < msi->vectors);
    if (!pci_msi_enabled(msi))
        return;
    pci_config_set(msi->device, msi->offset + MSI_PENDING, 4, pending | BIT32(vector));
    msi_flush(msi);
}

void pci_msi_written(struct pci_msi *msi, unsigned offset, unsigned size)
{
    if (offset < (unsigned)msi->offset + MSI_SIZE && offset + size > msi->offset)
        msi_flush(msi);
}

/* ---- MSI-X ---- */

static u32 msix_control(const struct pci_msix *msix)
{
    return pci_config_get(msix->device, msix->offset + MSIX_CONTROL, 2);
}

bool pci_msix_enabled(const struct pci_msix *msix)
{
    return msix_control(msix) & MSIX_ENABLE;
}

static void msix_flush(struct pci_msix *msix)
{
    u32 control = msix_control(msix);
    if (!(control & MSIX_ENABLE) || (control & MSIX_MASK_ALL))
        return;
    for (unsigned n = 0; n < msix->vectors; n++) {
        const struct msix_entry *entry = &msix->entry[n];
        if (!(msix->pending >> n & 1) || entry->masked)
            continue;
        msix->pending &= ~BIT(n);
        send(msix->device, entry->address, entry->data);
    }
}

void pci_msix_send(struct pci_msix *msix, unsigned vector)
{
    if (vector >= msix->vectors || !pci_msix_enabled(msix))
        return;
    msix->pending |= BIT(vector);
    msix_flush(msix);
}

void pci_msix_written(struct pci_msix *msix, unsigned offset, unsigned size)
{
    if (offset < (unsigned)msix->offset + MSIX_SIZE && offset + size > msix->offset)
        msix_flush(msix);
}

static u64 table_read(void *opaque, u64 offset, unsigned size)
{
    const struct pci_msix *msix = opaque;
    u64 n = offset / MSIX_ENTRY, value = 0;
    if (offset >= MSIX_PENDING_OFFSET && offset < MSIX_PENDING_OFFSET + 8)
        value = msix->pending >> (offset & 4 ? 32 : 0);
    else if (n >= msix->vectors)
        return 0;
    else if ((offset & 8) == 0)
        value = msix->entry[n].address >> (offset & 4 ? 32 : 0);
    else
        value = offset & 4 ? msix->entry[n].masked : msix->entry[n].data;
    (void)size;
    return (u32)value >> (8 * (offset & 3));
}

static void entry_write(struct msix_entry *entry, unsigned offset, u32 value)
{
    switch (offset) {
    case 0:
        entry->address = (entry->address & ~MASK(32)) | (value & ~UINT32_C(3));
        break;
    case 4:
        entry->address = (u32)entry->address | (u64)value << 32;
        break;
    case 8:
        entry->data = value;
        break;
    default:
        entry->masked = value & 1;
        break;
    }
}

static void table_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct pci_msix *msix = opaque;
    u64 n = offset / MSIX_ENTRY;
    if (size != 4 || offset % 4 || n >= msix->vectors) {
        log_msg(LOG_DEV, "%s: MSI-X: write of %u bytes at %#llx", msix->device->name, size,
                (unsigned long long)offset);
        return;
    }
    entry_write(&msix->entry[n], (unsigned)offset % MSIX_ENTRY, (u32)value);
    msix_flush(msix);
}

void pci_msix_init(struct pci_msix *msix, struct pci_device *device, unsigned vectors, unsigned bar)
{
    static const struct bus_ops table_ops = {table_read, table_write, 4};
    struct pci_bar table = {.size = MSIX_BAR_SIZE, .ops = &table_ops, .opaque = msix};
    ASSERT(vectors && vectors <= MSIX_VECTORS_MAX);
    u8 at = pci_capability_add(device, PCI_CAPABILITY_MSIX, MSIX_SIZE);
    *msix = (struct pci_msix){.device = device, .offset = at, .vectors = vectors};
    pci_bar_init(device, bar, &table);
    pci_config_set(device, at + MSIX_CONTROL, 2, vectors - 1);
    pci_config_writable(device, at + MSIX_CONTROL, 2, MSIX_ENABLE | MSIX_MASK_ALL);
    pci_config_set(device, at + MSIX_TABLE, 4, bar);
    pci_config_set(device, at + MSIX_PENDING, 4, MSIX_PENDING_OFFSET | bar);
    pci_msix_reset(msix);
}

void pci_msix_reset(struct pci_msix *msix)
{
    for (unsigned n = 0; n < msix->vectors; n++)
        msix->entry[n] = (struct msix_entry){.masked = true};
    msix->pending = 0;
}

void pci_msix_snap(struct pci_msix *msix, struct snap *s)
{
    snap_expect(s, "MSI-X vectors", msix->vectors);
    for (unsigned n = 0; n < msix->vectors; n++) {
        struct msix_entry *entry = &msix->entry[n];
        bool *const flags[] = {&entry->masked};
        SNAP(s, entry->address);
        SNAP(s, entry->data);
        snap_flags(s, flags, 1);
    }
    SNAP(s, msix->pending);
}
