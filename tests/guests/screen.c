/* SPDX-License-Identifier: MIT */
/*
 * The guest of tests/boot/window: it draws a picture in a graphics mode and tells on the serial port
 * what its keyboard and mouse send. F2 changes the mode, F10 ends it.
 */
#include "tests/guests/guest.h"

enum { PCI_ADDRESS = 0xcf8, PCI_DATA = 0xcfc, DISPLAY_ID = 0x11111234, FRAME_BUFFER = 0xe0000000 };
enum { INPUT_STATUS = 0x3da, ATTRIBUTE = 0x3c0, ATTRIBUTE_SHOWN = 0x20 };
enum { DISPI_INDEX = 0x1ce, DISPI_DATA = 0x1cf };
enum { DISPI_XRES = 1, DISPI_YRES, DISPI_BPP, DISPI_ENABLE, DISPI_ON = 0x41 };
enum { KBC_DATA = 0x60, KBC_STATUS = 0x64, FULL = 0x01, FROM_MOUSE = 0x20, BREAK = 0x80 };
enum { KEY_F2 = 0x3c, KEY_F10 = 0x44 };

static void outw(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static void outl(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static uint32_t inl(uint16_t port)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void pci_select(uint32_t device, uint32_t reg)
{
    outl(PCI_ADDRESS, 0x80000000 | device << 11 | reg);
}

/* Nobody has set the machine up: the display's memory gets its address here. */
static bool place_frame_buffer(void)
{
    for (uint32_t device = 0; device < 32; device++) {
        pci_select(device, 0);
        if (inl(PCI_DATA) != DISPLAY_ID)
            continue;
        pci_select(device, 0x10);
        outl(PCI_DATA, FRAME_BUFFER);
        pci_select(device, 0x04);
        outw(PCI_DATA, 0x0003);
        return true;
    }
    return false;
}

static void dispi(uint16_t index, uint16_t value)
{
    outw(DISPI_INDEX, index);
    outw(DISPI_DATA, value);
}

static void draw(unsigned width, unsigned height, unsigned bpp)
{
    dispi(DISPI_ENABLE, 0);
    dispi(DISPI_XRES, (uint16_t)width);
    dispi(DISPI_YRES, (uint16_t)height);
    dispi(DISPI_BPP, (uint16_t)bpp);
    dispi(DISPI_ENABLE, DISPI_ON);
    inb(INPUT_STATUS); /* the next write is to the attribute controller's index */
    outb(ATTRIBUTE, ATTRIBUTE_SHOWN);
    volatile uint32_t *large = (volatile uint32_t *)(uintptr_t)FRAME_BUFFER;
    volatile uint16_t *small = (volatile uint16_t *)(uintptr_t)FRAME_BUFFER;
    for (unsigned y = 0; y < height; y++)
        for (unsigned x = 0; x < width; x++)
            if (bpp == 32)
                large[y * width + x] = (x & 0xff) | (y & 0xff) << 8 | ((x ^ y) & 0xff) << 16;
            else
                small[y * width + x] = (uint16_t)(x * 3 + y * 7);
    guest_print("drawn\n");
}

static void kbc_command(uint8_t command, uint8_t data)
{
    outb(KBC_STATUS, command);
    outb(KBC_DATA, data);
}

static void start_devices(void)
{
    kbc_command(0x60, 0x40); /* both on, translation, no interrupts */
    kbc_command(0xd4, 0xf4); /* the mouse reports */
    while (!(inb(KBC_STATUS) & FULL))
        ;
    inb(KBC_DATA);
}

/* Tells of a byte; the code of a key that was pressed, else 0. */
static uint8_t take_byte(void)
{
    uint8_t status = inb(KBC_STATUS), byte;
    if (!(status & FULL))
        return 0;
    byte = inb(KBC_DATA);
    guest_print(status & FROM_MOUSE ? "mouse " : "key ");
    guest_print_hex(byte);
    guest_print("\n");
    return (status & FROM_MOUSE) || (byte & BREAK) ? 0 : byte;
}

int guest_main(void)
{
    guest_check(place_frame_buffer(), "there is a display");
    start_devices();
    draw(640, 480, 32);
    for (;;) {
        uint8_t key = take_byte();
        if (key == KEY_F2)
            draw(800, 600, 16);
        else if (key == KEY_F10)
            return guest_done();
    }
}
