/* SPDX-License-Identifier: MIT */
/* A host bridge and an IDE controller on the harness, with images in a temporary folder. */
#ifndef TESTS_DEVICES_IDE_H
#define TESTS_DEVICES_IDE_H

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/i440fx.h"
#include "devices/ide.h"
#include "devices/pci.h"
#include "tests/devices/harness.h"

#define IDE PCI_DEVFN(1, 1)
#define BM 0xc000u
#define BSY 0x80
#define DRDY 0x40
#define DRQ 0x08
#define ERR 0x01

static struct i440fx *chipset;
static void *ide;
static struct ide_config drives;
static char folder[32], images[IDE_DRIVES][64];

static inline void config_set(u8 reg, unsigned size, u32 value)
{
    bus_io_write(&h.bus, 0xcf8, 4, UINT32_C(0x80000000) | (u32)IDE << 8 | (reg & 0xfcu));
    bus_io_write(&h.bus, 0xcfc + (reg & 3), size, value);
}

static inline u32 config_get(u8 reg, unsigned size)
{
    bus_io_write(&h.bus, 0xcf8, 4, UINT32_C(0x80000000) | (u32)IDE << 8 | (reg & 0xfcu));
    return (u32)bus_io_read(&h.bus, 0xcfc + (reg & 3), size);
}

static inline void bus_master_on(void)
{
    config_set(PCI_BAR0 + 16, 4, BM);
    config_set(PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
}

/* What byte `at` of drive n holds at first. */
static inline u8 pattern(unsigned n, u64 at)
{
    return (u8)(at * 13 + (at >> 9) * 7 + n);
}

/* Drive n: an image of size bytes, the first MiB of which has the pattern. */
static inline void add_drive(unsigned n, u64 size, bool cdrom, bool read_only)
{
    struct error err = {{0}};
    u64 filled = MIN(size, MIB);
    u8 *bytes = malloc(filled);
    for (u64 k = 0; k < filled; k++)
        bytes[k] = pattern(n, k);
    snprintf(images[n], sizeof(images[n]), "%s/image%u", folder, n);
    int fd = open(images[n], O_RDWR | O_CREAT, 0666);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, filled), (ssize_t)filled);
    ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
    close(fd);
    free(bytes);
    struct disk_config config = {images[n], NULL, read_only};
    drives.drive[n] = (struct ide_drive_config){disk_open(&config, &err), cdrom};
    ck_assert_msg(drives.drive[n].disk != NULL, "%s", err.text);
}

static inline void begin_drives(void)
{
    strcpy(folder, "ide-test-XXXXXX");
    ck_assert(mkdtemp(folder) != NULL);
    drives = (struct ide_config){0};
}

static inline void begin_machine(void)
{
    struct error err = {{0}};
    chipset = harness_make(&i440fx_class, NULL);
    h.env.pci = i440fx_pci(chipset);
    ide = ide_class.create(&h.env, &drives, &err);
    i440fx_class.reset(chipset);
    ide_class.reset(ide);
    bus_master_on();
}

static inline void end_machine(void)
{
    ide_class.free(ide);
    harness_end(&i440fx_class, chipset);
    for (unsigned n = 0; n < IDE_DRIVES; n++) {
        disk_close(drives.drive[n].disk);
        if (drives.drive[n].disk)
            unlink(images[n]);
    }
    rmdir(folder);
}

/* Saved and loaded into a fresh controller; the host bridge's part is set up again. */
static inline void reload(void)
{
    ide = harness_reload(&ide_class, ide, &drives);
    bus_master_on();
}

/* Runs until the channel isn't busy; returns its status, which acknowledges an interrupt. */
static inline u8 wait_ready(u32 port)
{
    for (unsigned n = 0; n < 10000 && (in8(port + 0x206) & BSY); n++)
        run_for(MICROSECOND);
    return in8(port + 7);
}

static inline u16 in16(u32 port)
{
    return (u16)bus_io_read(&h.bus, port, 2);
}

static inline void out16(u32 port, u16 value)
{
    bus_io_write(&h.bus, port, 2, value);
}

static inline void in_words(u32 port, u8 *to, size_t bytes)
{
    for (size_t n = 0; n < bytes; n += 2) {
        u16 word = in16(port);
        to[n] = (u8)word;
        if (n + 1 < bytes)
            to[n + 1] = (u8)(word >> 8);
    }
}

static inline void out_words(u32 port, const u8 *from, size_t bytes)
{
    for (size_t n = 0; n < bytes; n += 2)
        out16(port, (u16)(from[n] | from[n + 1] << 8));
}

/* A region descriptor of the table at 0x1000. */
static inline void set_region(unsigned n, u32 address, u32 size_and_end)
{
    u32 entry[2] = {address, size_and_end};
    ck_assert(ram_write(&h.bus.ram, 0x1000 + 8 * n, entry, sizeof(entry)));
}

#define END UINT32_C(0x80000000)

/* Starts the bus master of channel 0 or 1. */
static inline void start_dma(unsigned channel, bool to_memory)
{
    bus_io_write(&h.bus, BM + 8 * channel + 4, 4, 0x1000);
    out8(BM + 8 * channel + 2, 6);
    out8(BM + 8 * channel, to_memory ? 9 : 1);
}

#endif
