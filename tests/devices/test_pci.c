/* SPDX-License-Identifier: MIT */
#include "devices/pci.h"

#include <string.h>

#include "devices/i440fx.h"
#include "tests/devices/harness.h"

static struct i440fx *chipset;
static struct pci_device card;
static u64 card_register;
static u8 *card_rom;

static u64 card_read(void *opaque, u64 offset, unsigned size)
{
    (void)opaque;
    (void)size;
    return card_register + offset;
}

static void card_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    (void)opaque;
    (void)offset;
    (void)size;
    card_register = value;
}

static const struct bus_ops card_ops = {card_read, card_write, 4};

static u32 get(u8 devfn, u8 reg, unsigned size)
{
    bus_io_write(&h.bus, 0xcf8, 4, UINT32_C(0x80000000) | (u32)devfn << 8 | (reg & 0xfcu));
    return (u32)bus_io_read(&h.bus, 0xcfc + (reg & 3), size);
}

static void set(u8 devfn, u8 reg, unsigned size, u32 value)
{
    bus_io_write(&h.bus, 0xcf8, 4, UINT32_C(0x80000000) | (u32)devfn << 8 | (reg & 0xfcu));
    bus_io_write(&h.bus, 0xcfc + (reg & 3), size, value);
}

#define CARD PCI_DEVFN(3, 0)

static void begin(void)
{
    chipset = harness_make(&i440fx_class, NULL);
    memset(&card, 0, sizeof(card));
    pci_init(&card, "card", &(struct pci_id){0x1234, 0x5678, 0x020000, 7});
    pci_bar_init(&card, 0, &(struct pci_bar){.size = 0x1000, .ops = &card_ops});
    pci_bar_init(&card, 1, &(struct pci_bar){.size = 32, .io = true, .ops = &card_ops});
    pci_bar_init(&card, 2,
                 &(struct pci_bar){.size = MIB, .wide = true, .prefetch = true, .ops = &card_ops});
    card_rom = ram_extra_new(&h.bus.ram, 8 * KIB);
    pci_rom_init(&card, card_rom, 8 * KIB);
    card.config[PCI_INTERRUPT_PIN] = 1;
    pci_add(i440fx_pci(chipset), &card, CARD);
    card_register = 0x100;
}

static void end(void)
{
    pci_remove(&card);
    harness_end(&i440fx_class, chipset);
}

START_TEST(mechanism_1)
{
    begin();
    ck_assert_uint_eq(get(0, 0, 4), 0x12378086);
    ck_assert_uint_eq(get(PCI_DEVFN(1, 0), 0, 4), 0x70008086);
    ck_assert_uint_eq(get(0, 0x0a, 2), 0x0600);
    ck_assert_uint_eq(get(PCI_DEVFN(1, 0), 0x0a, 2), 0x0601);
    ck_assert_uint_eq(get(PCI_DEVFN(2, 0), 0, 4), 0xffffffff);
    ck_assert_uint_eq(get(CARD, 8, 1), 7);
    ck_assert_uint_eq(bus_io_read(&h.bus, 0xcf8, 4), UINT32_C(0x80001808));
    bus_io_write(&h.bus, 0xcf8, 4, 0x1800); /* not enabled */
    ck_assert_uint_eq(bus_io_read(&h.bus, 0xcfc, 4), 0xffffffff);
    bus_io_write(&h.bus, 0xcf8, 4, UINT32_C(0x80010000)); /* another bus */
    ck_assert_uint_eq(bus_io_read(&h.bus, 0xcfc, 4), 0xffffffff);
    bus_io_write(&h.bus, 0xcf8, 4, UINT32_C(0x80000000));
    bus_io_write(&h.bus, 0xcf8, 1, 0xaa); /* only whole double words reach it */
    ck_assert_uint_eq(bus_io_read(&h.bus, 0xcf8, 4), UINT32_C(0x80000000));
    end();
}
END_TEST

START_TEST(read_only_and_clear_bits)
{
    begin();
    set(CARD, 0, 4, 0);
    ck_assert_uint_eq(get(CARD, 0, 4), 0x56781234);
    set(CARD, 4, 2, 0xffff);
    ck_assert_uint_eq(get(CARD, 4, 2), 0x0547);
    set(CARD, 0x3c, 1, 11);
    ck_assert_uint_eq(get(CARD, 0x3c, 2), 0x010b);
    end();
}
END_TEST

START_TEST(bars_map_where_the_guest_says)
{
    begin();
    ck_assert(pci_has_class(i440fx_pci(chipset), 2));
    ck_assert(!pci_has_class(i440fx_pci(chipset), 3));
    u64 start, size;
    pci_high_range(i440fx_pci(chipset), &start, &size);
    ck_assert_uint_eq(size, 0);
    set(CARD, 0x10, 4, 0xffffffff);
    ck_assert_uint_eq(get(CARD, 0x10, 4), 0xfffff000);
    set(CARD, 0x14, 4, 0xffffffff);
    ck_assert_uint_eq(get(CARD, 0x14, 4), 0xffffffe1);
    set(CARD, 0x18, 4, 0xffffffff);
    set(CARD, 0x1c, 4, 0xffffffff);
    ck_assert_uint_eq(get(CARD, 0x18, 4), 0xfff0000c);
    ck_assert_uint_eq(get(CARD, 0x1c, 4), 0xffffffff);
    set(CARD, 0x10, 4, 0xd0000000);
    set(CARD, 0x14, 4, 0xc000);
    set(CARD, 0x18, 4, 0);
    set(CARD, 0x1c, 4, 1);
    ck_assert_uint_eq(bus_read(&h.bus, 0xd0000004, 4), 0xffffffff);
    set(CARD, 4, 2, 3);
    ck_assert_uint_eq(bus_read(&h.bus, 0xd0000004, 4), 0x104);
    ck_assert_uint_eq(bus_read(&h.bus, UINT64_C(0x100000008), 4), 0x108);
    ck_assert_uint_eq(bus_io_read(&h.bus, 0xc01c, 4), 0x11c);
    pci_high_range(i440fx_pci(chipset), &start, &size);
    ck_assert_uint_eq(start, 4 * GIB);
    ck_assert_uint_eq(size, MIB);
    bus_io_write(&h.bus, 0xc000, 4, 0x1000);
    ck_assert_uint_eq(bus_read(&h.bus, 0xd0000000, 4), 0x1000);
    set(CARD, 0x10, 4, 0xe0000000);
    ck_assert_uint_eq(bus_read(&h.bus, 0xd0000000, 4), 0xffffffff);
    ck_assert_uint_eq(bus_read(&h.bus, 0xe0000000, 4), 0x1000);
    set(CARD, 4, 2, 0);
    ck_assert_uint_eq(bus_read(&h.bus, 0xe0000000, 4), 0xffffffff);
    end();
}
END_TEST

START_TEST(bars_may_not_cover_others)
{
    begin();
    set(CARD, 4, 2, 3);
    set(CARD, 0x10, 4, 0x1000); /* RAM */
    set(CARD, 0x14, 4, 0xce0);  /* the configuration ports */
    set(CARD, 0x18, 4, 0xd0000000);
    ck_assert_uint_eq(bus_read(&h.bus, 0x1000, 4), 0);
    ck_assert_uint_eq(get(CARD, 0, 4), 0x56781234);
    set(CARD, 0x10, 4, 0xd0001000); /* inside BAR 2 */
    ck_assert_uint_eq(bus_read(&h.bus, 0xd0001000, 4), 0x1100);
    set(CARD, 0x18, 4, 0xe0000000); /* moves away and uncovers it */
    ck_assert_uint_eq(bus_read(&h.bus, 0xd0001000, 4), 0x100);
    pci_reset(i440fx_pci(chipset));
    ck_assert_uint_eq(bus_read(&h.bus, 0xd0001000, 4), 0xffffffff);
    ck_assert_uint_eq(get(CARD, 4, 2), 0);
    end();
}
END_TEST

START_TEST(expansion_rom)
{
    begin();
    card_rom[0] = 0x55;
    card_rom[1] = 0xaa;
    set(CARD, 0x30, 4, 0xfffff800); /* sizing */
    ck_assert_uint_eq(get(CARD, 0x30, 4), 0xffffe000);
    set(CARD, 0x30, 4, 0xd0000000); /* not enabled */
    set(CARD, 4, 2, 2);
    ck_assert_uint_eq(bus_read(&h.bus, 0xd0000000, 2), 0xffff);
    set(CARD, 0x30, 4, 0xd0000001);
    ck_assert_uint_eq(bus_read(&h.bus, 0xd0000000, 2), 0xaa55);
    ck_assert_uint_eq(bus_read(&h.bus, 0xd0002000, 2), 0xffff);
    bus_write(&h.bus, 0xd0000000, 2, 0);
    ck_assert_uint_eq(bus_read(&h.bus, 0xd0000000, 2), 0xaa55);
    set(CARD, 0x30, 1, 0);
    ck_assert_uint_eq(bus_read(&h.bus, 0xd0000000, 2), 0xffff);
    end();
}
END_TEST

START_TEST(interrupt_wires)
{
    begin();
    unsigned wire = LINE_PIRQ + 2; /* device 3, INTA# */
    pci_intx_set(&card, true);
    ck_assert(h.level[wire]);
    ck_assert_uint_eq(get(CARD, 6, 2) & 8, 8);
    set(CARD, 4, 2, 0x400);
    ck_assert(!h.level[wire]);
    set(CARD, 4, 2, 0);
    ck_assert(h.level[wire]);
    pci_intx_set(&card, false);
    ck_assert(!h.level[wire]);
    end();
}
END_TEST

START_TEST(isa_bridge_routes_wires)
{
    begin();
    i440fx_pirq(chipset, 1, true);
    ck_assert(h.level[LINE_GSI + 17]);
    for (unsigned n = 0; n < 16; n++)
        ck_assert(!h.level[LINE_PIC + n]);
    set(PCI_DEVFN(1, 0), 0x61, 1, 11);
    ck_assert(h.level[LINE_PIC + 11]);
    set(PCI_DEVFN(1, 0), 0x61, 1, 10);
    ck_assert(!h.level[LINE_PIC + 11]);
    ck_assert(h.level[LINE_PIC + 10]);
    set(PCI_DEVFN(1, 0), 0x61, 1, 8); /* not allowed */
    ck_assert(!h.level[LINE_PIC + 8]);
    i440fx_pirq(chipset, 1, false);
    ck_assert(!h.level[LINE_GSI + 17]);
    end();
}
END_TEST

START_TEST(reset_control)
{
    begin();
    out8(0xcf9, 0x02);
    ck_assert_int_eq(h.group.stop, STOP_NONE);
    ck_assert_uint_eq(in8(0xcf9), 0x02);
    out8(0xcf9, 0x06);
    ck_assert_int_eq(h.group.stop, STOP_RESET);
    end();
}
END_TEST

START_TEST(any_accesses_do_no_harm)
{
    begin();
    u32 seed = 1;
    for (unsigned n = 0; n < 50000; n++) {
        seed = seed * 1664525 + 1013904223;
        u8 devfn = (seed >> 28) < 8 ? CARD : (u8)(seed >> 24);
        u8 reg = (seed >> 16) & 0x3f;
        unsigned size = 1u << ((seed >> 8) % 3);
        reg &= (u8)-size;
        u32 value = seed * 2654435761u;
        set(devfn, reg, size, n % 3 ? value : value & 0x000fff00);
        get(devfn, reg, size);
    }
    end();
}
END_TEST

START_TEST(low_address_bits)
{
    begin();
    u32 address = UINT32_C(0x80000000) | (u32)CARD << 8;
    bus_io_write(&h.bus, 0xcf8, 4, address | 2);
    ck_assert_uint_eq(bus_io_read(&h.bus, 0xcfc, 2), 0x5678);
    ck_assert_uint_eq(bus_io_read(&h.bus, 0xcfe, 2), 0x5678);
    ck_assert_uint_eq(bus_io_read(&h.bus, 0xcfc, 4), 0x56781234);
    bus_io_write(&h.bus, 0xcf8, 4, address | 1);
    ck_assert_uint_eq(bus_io_read(&h.bus, 0xcfc, 1), 0x12);
    ck_assert_uint_eq(bus_io_read(&h.bus, 0xcfc, 2), 0x1234);
    bus_io_write(&h.bus, 0xcf8, 4, address | 0xff);
    bus_io_read(&h.bus, 0xcff, 4);
    bus_io_write(&h.bus, 0xcfd, 4, UINT32_MAX);
    end();
}
END_TEST

SUITE_MAIN("pci", &low_address_bits, &mechanism_1, &read_only_and_clear_bits,
           &bars_map_where_the_guest_says, &bars_may_not_cover_others, &expansion_rom,
           &interrupt_wires, &isa_bridge_routes_wires, &reset_control, &any_accesses_do_no_harm)
