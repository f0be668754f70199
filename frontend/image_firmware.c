/* SPDX-License-Identifier: MIT */
/* A kernel that firmware starts: OVMF as an EFI program, SeaBIOS by an option ROM of ours. */
#include "frontend/image.h"

#include <string.h>

#include "devices/linux_rom.h"

/* Offsets in the kernel's file ("The Linux/x86 Boot Protocol", "The Real-Mode Kernel Header"). */
enum {
    SETUP_SECTORS = 0x1f1,
    VIDEO_MODE = 0x1fa,
    SIGNATURE = 0x202,
    VERSION = 0x206,
    LOADER = 0x210,
    LOAD_FLAGS = 0x211,
    INITRD_ADDRESS = 0x218,
    INITRD_SIZE = 0x21c,
    HEAP_END = 0x224,
    CMDLINE = 0x228,
    INITRD_MAX = 0x22c,
    HEADER_END = 0x240
};

#define SIGNATURE_HDRS 0x53726448
#define LOADED_HIGH 0x01
#define CAN_USE_HEAP 0x80
#define HEAP_MARGIN 0x200

/* Where the parts go; the 16-bit protocol leaves these places free. */
#define AT_SETUP 0x10000
#define AT_CMDLINE 0x20000
#define AT_KERNEL 0x100000
#define CMDLINE_MAX 0x10000
#define FIRMWARE_TOP MIB /* at the end of RAM, for firmware */

static u32 get(const u8 *p, unsigned size)
{
    u32 value = 0;
    memcpy(&value, p, size);
    return value;
}

static void put(u8 *p, u64 value, unsigned size)
{
    memcpy(p, &value, size);
}

/* What kind of file it is; the size of its setup. */
static bool check_kernel(const struct image *kernel, u64 *setup, struct error *err)
{
    const u8 *h = image_part(kernel, 0, HEADER_END);
    if (!h || get(h + SIGNATURE, 4) != SIGNATURE_HDRS || get(h + VERSION, 2) < 0x203 ||
        !(h[LOAD_FLAGS] & LOADED_HIGH))
        return error_set(err, "%s: firmware can start a Linux bzImage only", kernel->path);
    *setup = ((h[SETUP_SECTORS] ? h[SETUP_SECTORS] : 4u) + 1) * 512;
    if (*setup >= kernel->size || *setup > LINUX_ROM_STACK - HEAP_MARGIN)
        return error_set(err, "%s: no kernel behind its %llu bytes of setup", kernel->path,
                         (unsigned long long)*setup);
    if (kernel->size > FW_CFG_ITEM_MAX)
        return error_set(err, "%s: larger than 1 GiB", kernel->path);
    return true;
}

static bool publish_initrd(struct fw_cfg *fw, const struct ram *ram, const struct boot_request *req,
                           u8 *header, struct error *err)
{
    struct image initrd = {0};
    u64 end = MIN(ram->low - FIRMWARE_TOP, (u64)get(header + INITRD_MAX, 4) + 1), at = 0;
    if (req->initrd && !image_read_raw(&initrd, req->initrd, err))
        return false;
    bool fits = initrd.size < end && initrd.size <= FW_CFG_ITEM_MAX;
    if (fits) {
        at = initrd.size ? (end - initrd.size) & PAGE_MASK : 0;
        put(header + INITRD_ADDRESS, at, 4);
        put(header + INITRD_SIZE, initrd.size, 4);
        fw_cfg_set_value(fw, FW_CFG_INITRD_ADDRESS, at, 4);
        fw_cfg_set_value(fw, FW_CFG_INITRD_SIZE, initrd.size, 4);
        fw_cfg_set(fw, FW_CFG_INITRD, initrd.data, initrd.size);
    } else {
        error_set(err, "%s: no room for it in the machine's memory", req->initrd);
    }
    image_free(&initrd);
    return fits;
}

static bool publish_cmdline(struct fw_cfg *fw, const struct boot_request *req, struct error *err)
{
    const char *text = req->append ? req->append : "";
    u64 size = strlen(text) + 1;
    if (size > CMDLINE_MAX)
        return error_set(err, "--append: longer than 64 KiB");
    fw_cfg_set_value(fw, FW_CFG_CMDLINE_ADDRESS, AT_CMDLINE, 4);
    fw_cfg_set_value(fw, FW_CFG_CMDLINE_SIZE, size, 4);
    fw_cfg_set(fw, FW_CFG_CMDLINE, text, size);
    return true;
}

static void publish_kernel(struct fw_cfg *fw, const struct image *kernel, u64 setup)
{
    fw_cfg_set_value(fw, FW_CFG_SETUP_ADDRESS, AT_SETUP, 4);
    fw_cfg_set_value(fw, FW_CFG_SETUP_SIZE, setup, 4);
    fw_cfg_set(fw, FW_CFG_SETUP, kernel->data, setup);
    fw_cfg_set_value(fw, FW_CFG_KERNEL_ADDRESS, AT_KERNEL, 4);
    fw_cfg_set_value(fw, FW_CFG_KERNEL_SIZE, kernel->size - setup, 4);
    fw_cfg_set(fw, FW_CFG_KERNEL, kernel->data + setup, kernel->size - setup);
}

static void publish_rom(struct fw_cfg *fw)
{
    u8 rom[LINUX_ROM_SIZE];
    linux_rom_build(rom);
    fw_cfg_set_file(fw, LINUX_ROM_FILE, rom, sizeof(rom));
    fw_cfg_set_file(fw, "bootorder", LINUX_ROM_BOOT "\n", sizeof(LINUX_ROM_BOOT "\n"));
}

bool boot_publish(struct fw_cfg *fw, const struct ram *ram, const struct boot_request *req,
                  struct error *err)
{
    struct image kernel;
    u64 setup = 0;
    if (!image_read(&kernel, req->kernel, err))
        return false;
    u8 *header = kernel.data;
    bool ok = check_kernel(&kernel, &setup, err) && publish_cmdline(fw, req, err) &&
              publish_initrd(fw, ram, req, header, err);
    if (ok) {
        header[LOADER] = 0xff; /* none that has a number */
        header[LOAD_FLAGS] |= CAN_USE_HEAP;
        put(header + HEAP_END, LINUX_ROM_STACK - HEAP_MARGIN, 2);
        put(header + VIDEO_MODE, 0xffff, 2);
        put(header + CMDLINE, AT_CMDLINE, 4);
        publish_kernel(fw, &kernel, setup);
        publish_rom(fw);
    }
    image_free(&kernel);
    return ok;
}
