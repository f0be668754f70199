/* SPDX-License-Identifier: MIT */
#include "devices/pci_msi.h"

#include <string.h>

#include "devices/i440fx.h"
#include "tests/devices/harness.h"

#define CARD PCI_DEVFN(3, 0)
#define TABLE UINT64_C(0xe0000000)
#define ENTRY(n) (TABLE + 16 * (n))

static struct i440fx *chipset;
static struct pci_device card;
static struct pci_msi msi;
static struct pci_msix msix;

static void written(struct pci_device *device, unsigned offset, unsigned size)
{
    (void)device;
    pci_msi_written(&msi, offset, size);
    pci_msix_written(&msix, offset, size);
}

static u32 get(unsigned reg, unsigned size)
{
    bus_io_write(&h.bus, 0xcf8, 4, UINT32_C(0x80000000) | (u32)CARD << 8 | (reg & 0xfcu));
    return (u32)bus_io_read(&h.bus, 0xcfc + (reg & 3), size);
}

static void set(unsigned reg, unsigned size, u32 value)
{
    bus_io_write(&h.bus, 0xcf8, 4, UINT32_C(0x80000000) | (u32)CARD << 8 | (reg & 0xfcu));
    bus_io_write(&h.bus, 0xcfc + (reg & 3), size, value);
}

static void begin(void)
{
    chipset = harness_make(&i440fx_class, NULL);
    memset(&card, 0, sizeof(card));
    pci_init(&card, "card", &(struct pci_id){0x1234, 0x5678, 0x020000, 7});
    pci_msi_init(&msi, &card, 4);
    pci_msix_init(&msix, &card, 3, 1);
    card.config_written = written;
    pci_add(i440fx_pci(chipset), &card, CARD);
    set(0x14, 4, (u32)TABLE);
    set(0x04, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void end(void)
{
    pci_remove(&card);
    harness_end(&i440fx_class, chipset);
}

static void ck_message(unsigned n, u32 dest, u8 vector)
{
    ck_assert_uint_eq(h.sent_count, n + 1);
    ck_assert_uint_eq(h.sent[n].dest, dest);
    ck_assert_uint_eq(h.sent[n].vector, vector);
}

START_TEST(list)
{
    begin();
    ck_assert(get(PCI_STATUS, 2) & PCI_STATUS_CAPABILITIES);
    unsigned at = get(PCI_CAPABILITIES, 1);
    ck_assert_uint_eq(at, 0x40);
    ck_assert_uint_eq(get(at, 1), PCI_CAPABILITY_MSI);
    ck_assert_uint_eq(get(at + 2, 2), 0x0184);
    at = get(at + 1, 1);
    ck_assert_uint_eq(at, 0x58);
    ck_assert_uint_eq(get(at, 1), PCI_CAPABILITY_MSIX);
    ck_assert_uint_eq(get(at + 1, 1), 0);
    ck_assert_uint_eq(get(at + 2, 2), 2);
    ck_assert_uint_eq(get(at + 4, 4), 1);
    ck_assert_uint_eq(get(at + 8, 4), 0x801);
    set(at, 4, 0xffffffff);
    ck_assert_uint_eq(get(at, 4), 0xc0020011); /* enable and mask all */
    end();
}
END_TEST

START_TEST(msi_messages)
{
    begin();
    set(0x44, 4, 0xfee0300c);
    set(0x4c, 2, 0x4143);
    pci_msi_send(&msi, 1);
    ck_assert_uint_eq(h.sent_count, 0); /* not enabled */
    set(0x42, 2, 0x0021);               /* four vectors */
    pci_msi_send(&msi, 1);
    ck_message(0, 3, 0x41);
    ck_assert(h.sent[0].logical);
    ck_assert_uint_eq(h.sent[0].mode, 1);
    ck_assert(!h.sent[0].level);
    pci_msi_send(&msi, 3);
    ck_message(1, 3, 0x43);
    set(0x42, 2, 0x0001); /* one: all share it */
    pci_msi_send(&msi, 2);
    ck_message(2, 3, 0x43);
    set(0x42, 2, 0x0071); /* more than there are */
    pci_msi_send(&msi, 2);
    ck_message(3, 3, 0x42);
    end();
}
END_TEST

START_TEST(msi_masks)
{
    begin();
    set(0x44, 4, 0xfee01000);
    set(0x4c, 2, 0x0080);
    set(0x50, 4, 0xffffffff);
    ck_assert_uint_eq(get(0x50, 4), 0xf);
    set(0x42, 2, 0x0021);
    pci_msi_send(&msi, 0);
    pci_msi_send(&msi, 2);
    ck_assert_uint_eq(h.sent_count, 0);
    ck_assert_uint_eq(get(0x54, 4), 0x5);
    set(0x54, 4, 0);
    ck_assert_uint_eq(get(0x54, 4), 0x5);
    set(0x50, 4, 0xb);
    ck_message(0, 1, 0x82);
    ck_assert_uint_eq(get(0x54, 4), 0x1);
    end();
}
END_TEST

static void program(unsigned n, u64 address, u32 data)
{
    bus_write(&h.bus, ENTRY(n), 8, address);
    bus_write(&h.bus, ENTRY(n) + 8, 4, data);
    bus_write(&h.bus, ENTRY(n) + 12, 4, 0);
}

START_TEST(msix_masks)
{
    begin();
    ck_assert_uint_eq(bus_read(&h.bus, ENTRY(1) + 12, 4), 1);
    program(1, 0xfee02004, 0x51);
    ck_assert_uint_eq(bus_read(&h.bus, ENTRY(1), 8), 0xfee02004);
    pci_msix_send(&msix, 1);
    ck_assert_uint_eq(h.sent_count, 0); /* not enabled */
    set(0x5a, 2, 0x8000);
    pci_msix_send(&msix, 1);
    ck_message(0, 2, 0x51);
    pci_msix_send(&msix, 2); /* masked */
    pci_msix_send(&msix, 3); /* no such */
    ck_assert_uint_eq(bus_read(&h.bus, TABLE + 0x800, 8), 4);
    bus_write(&h.bus, TABLE + 0x800, 8, 0);
    ck_assert_uint_eq(bus_read(&h.bus, TABLE + 0x800, 8), 4);
    program(2, 0xfee0f000, 0x52);
    ck_message(1, 15, 0x52);
    set(0x5a, 2, 0xc000);
    pci_msix_send(&msix, 1);
    ck_assert_uint_eq(h.sent_count, 2);
    set(0x5a, 2, 0x8000);
    ck_message(2, 2, 0x51);
    ck_assert_uint_eq(bus_read(&h.bus, TABLE + 0x800, 4), 0);
    end();
}
END_TEST

START_TEST(odd_messages)
{
    u32 word = 0;
    begin();
    set(0x5a, 2, 0x8000);
    program(0, 0x2000, 0x12345678); /* memory */
    pci_msix_send(&msix, 0);
    ck_assert(ram_read(&h.bus.ram, 0x2000, &word, 4));
    ck_assert_uint_eq(word, 0x12345678);
    program(0, UINT64_C(0xfffffffffffffffc), 1); /* nowhere */
    pci_msix_send(&msix, 0);
    program(0, 0xfee00000, 0x0341); /* reserved mode */
    pci_msix_send(&msix, 0);
    program(0, 0xfee00000, 0x8041); /* level, not asserted */
    pci_msix_send(&msix, 0);
    ck_assert_uint_eq(h.sent_count, 0);
    program(0, 0xfee00000, 0xc041);
    pci_msix_send(&msix, 0);
    ck_message(0, 0, 0x41);
    ck_assert(h.sent[0].level);
    set(0x04, 2, PCI_COMMAND_MEMORY); /* no bus master */
    pci_msix_send(&msix, 0);
    ck_assert_uint_eq(h.sent_count, 1);
    end();
}
END_TEST

START_TEST(accesses_of_other_sizes)
{
    begin();
    program(0, 0xfee01000, 0x99);
    bus_write(&h.bus, ENTRY(0) + 8, 1, 0x77);
    bus_write(&h.bus, ENTRY(0) + 8, 2, 0x77);
    ck_assert_uint_eq(bus_read(&h.bus, ENTRY(0) + 8, 4), 0x99);
    ck_assert_uint_eq(bus_read(&h.bus, ENTRY(0) + 3, 1), 0xfe);
    ck_assert_uint_eq(bus_read(&h.bus, ENTRY(5), 8), 0);
    ck_assert_uint_eq(bus_read(&h.bus, TABLE + 0xff8, 8), 0);
    bus_write(&h.bus, ENTRY(5), 8, 1);
    end();
}
END_TEST

SUITE_MAIN("pci_msi", &list, &msi_messages, &msi_masks, &msix_masks, &odd_messages,
           &accesses_of_other_sizes)
