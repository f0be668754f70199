/* SPDX-License-Identifier: MIT */
/*
 * From the BIOS Boot Specification, "BEV and BCV devices", and "The Linux/x86 Boot Protocol". The
 * program is written out as bytes, so that no host needs an x86 assembler.
 */
#include "devices/linux_rom.h"

#include <string.h>

#include "devices/fw_cfg.h"

#define PNP_HEADER 0x20
#define PNP_CHECKSUM 0x29

/* clang-format off */
static const u8 program[] = {
    0x55, 0xaa, LINUX_ROM_SIZE / 512,
    0xcb,                                     /* lret: nothing to do when the ROM is found */
    [0x1a] = PNP_HEADER, 0,
    [PNP_HEADER] = '$', 'P', 'n', 'P', 1, 2,  /* version 1, 32 bytes */
    [0x2e] = 0x40, 0, 0x48, 0,                /* names of manufacturer and product */
    [0x3a] = 0x66, 0,                         /* entry to boot by */
    [0x40] = 'T', 'e', 's', 't', 'u', 'd', 'o', 0,
    'L', 'i', 'n', 'u', 'x', ' ', 'o', 'f', ' ', '-', '-', 'k', 'e', 'r', 'n', 'e', 'l', 0,
    /* 0x5a: the parts, each as the items of its address, its size and its bytes */
    FW_CFG_SETUP_ADDRESS, FW_CFG_SETUP_SIZE, FW_CFG_SETUP,
    FW_CFG_CMDLINE_ADDRESS, FW_CFG_CMDLINE_SIZE, FW_CFG_CMDLINE,
    FW_CFG_KERNEL_ADDRESS, FW_CFG_KERNEL_SIZE, FW_CFG_KERNEL,
    FW_CFG_INITRD_ADDRESS, FW_CFG_INITRD_SIZE, FW_CFG_INITRD,
    /* 0x66: boot. Stack below 0x7c00, a DMA request at 0x7c10, a number at 0x7c20 */
    0xfa,                                     /* cli */
    0xfc,                                     /* cld */
    0x31, 0xc0,                               /* xor ax, ax */
    0x8e, 0xd8,                               /* mov ds, ax */
    0x8e, 0xd0,                               /* mov ss, ax */
    0xbc, 0x00, 0x7c,                         /* mov sp, 0x7c00 */
    0xbe, 0x5a, 0x00,                         /* mov si, parts */
    /* 0x74: next part */
    0xe8, 0x2b, 0x00,                         /* call number: the address */
    0x66, 0x50,                               /* push eax */
    0xe8, 0x26, 0x00,                         /* call number: the size */
    0x66, 0x50,                               /* push eax */
    0x2e, 0xac,                               /* lodsb cs:[si] */
    0x66, 0x59,                               /* pop ecx */
    0x66, 0x5f,                               /* pop edi */
    0xe8, 0x31, 0x00,                         /* call transfer */
    0x81, 0xfe, 0x66, 0x00,                   /* cmp si, end of parts */
    0x72, 0xe7,                               /* jb next part */
    0xb8, 0x00, 0x10,                         /* mov ax, 0x1000: the setup's segment */
    0x8e, 0xd8,                               /* mov ds, ax */
    0x8e, 0xc0,                               /* mov es, ax */
    0x8e, 0xe0,                               /* mov fs, ax */
    0x8e, 0xe8,                               /* mov gs, ax */
    0x8e, 0xd0,                               /* mov ss, ax */
    0xbc, LINUX_ROM_STACK & 0xff, LINUX_ROM_STACK >> 8, /* mov sp, LINUX_ROM_STACK */
    0xea, 0x00, 0x00, 0x20, 0x10,             /* jmp 0x1020:0 */
    /* 0xa2: number: eax = the item whose key is next */
    0x2e, 0xac,                               /* lodsb cs:[si] */
    0x66, 0xb9, 0x04, 0x00, 0x00, 0x00,       /* mov ecx, 4 */
    0x66, 0xbf, 0x20, 0x7c, 0x00, 0x00,       /* mov edi, 0x7c20 */
    0xe8, 0x05, 0x00,                         /* call transfer */
    0x66, 0xa1, 0x20, 0x7c,                   /* mov eax, [0x7c20] */
    0xc3,                                     /* ret */
    /* 0xb8: transfer: ecx bytes of item al to edi */
    0x66, 0x0f, 0xb6, 0xc0,                   /* movzx eax, al */
    0x66, 0xc1, 0xe0, 0x10,                   /* shl eax, 16 */
    0xb0, 0x0a,                               /* mov al, 0xa: select and read */
    0x66, 0x0f, 0xc8,                         /* bswap eax */
    0x66, 0xa3, 0x10, 0x7c,                   /* mov [0x7c10], eax */
    0x66, 0x0f, 0xc9,                         /* bswap ecx */
    0x66, 0x89, 0x0e, 0x14, 0x7c,             /* mov [0x7c14], ecx */
    0x66, 0x31, 0xc0,                         /* xor eax, eax */
    0x66, 0xa3, 0x18, 0x7c,                   /* mov [0x7c18], eax */
    0x66, 0x0f, 0xcf,                         /* bswap edi */
    0x66, 0x89, 0x3e, 0x1c, 0x7c,             /* mov [0x7c1c], edi */
    0x66, 0xb8, 0x00, 0x00, 0x7c, 0x10,       /* mov eax, 0x7c10, big-endian */
    0xba, (FW_CFG_DMA + 4) & 0xff, (FW_CFG_DMA + 4) >> 8, /* mov dx, FW_CFG_DMA + 4 */
    0x66, 0xef,                               /* out dx, eax */
    0x66, 0xf7, 0x06, 0x10, 0x7c, 0xff, 0xff, 0xff, 0xfe, /* test dword [0x7c10], 0xfeffffff */
    0x75, 0xf5,                               /* jnz: again, it goes on */
    0xc3,                                     /* ret */
};
/* clang-format on */

static void checksum(u8 *from, size_t size, u8 *at)
{
    u8 sum = 0;
    for (size_t n = 0; n < size; n++)
        sum = (u8)(sum + from[n]);
    *at = (u8)(*at - sum);
}

void linux_rom_build(u8 rom[LINUX_ROM_SIZE])
{
    memset(rom, 0, LINUX_ROM_SIZE);
    memcpy(rom, program, sizeof(program));
    checksum(rom + PNP_HEADER, 32, rom + PNP_CHECKSUM);
    checksum(rom, LINUX_ROM_SIZE, rom + LINUX_ROM_SIZE - 1);
}
