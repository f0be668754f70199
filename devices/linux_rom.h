/* SPDX-License-Identifier: MIT */
/*
 * An option ROM that boots the Linux kernel among fw_cfg's items by the 16-bit boot protocol, for
 * firmware like SeaBIOS that can't itself.
 */
#ifndef DEVICES_LINUX_ROM_H
#define DEVICES_LINUX_ROM_H

#include "base/types.h"

#define LINUX_ROM_SIZE 512
/* The file in fw_cfg, below a folder whose files SeaBIOS takes as option ROMs. */
#define LINUX_ROM_FILE "genroms/testudo-linux.rom"
/* Whose line in the file "bootorder" makes it come first. */
#define LINUX_ROM_BOOT "/rom@" LINUX_ROM_FILE

/* Where it leaves the kernel's heap for its setup: offset from the setup's address. */
#define LINUX_ROM_STACK 0xe000

void linux_rom_build(u8 rom[LINUX_ROM_SIZE]);

#endif
