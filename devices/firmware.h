/* SPDX-License-Identifier: MIT */
/*
 * What firmware is told about the machine by way of fw_cfg; and, where there is none, the tables it
 * would have left in RAM. Both are made of the same bytes.
 */
#ifndef DEVICES_FIRMWARE_H
#define DEVICES_FIRMWARE_H

#include "devices/fw_cfg.h"
#include "devices/piix4_pm.h"

/* The tables' places without firmware; the root pointer lies where systems scan for it. */
#define FIRMWARE_ACPI UINT64_C(0xe0000)
#define FIRMWARE_SMBIOS UINT64_C(0xf0000)

/* The machine, as of now: it outlives what is made of it. */
struct firmware {
    const struct device_env *env;
    struct fw_cfg *fw;
    struct piix4_pm *pm;
    u8 serial;  /* bits 0 and 1: COM1 and COM2 are there */
    u16 sercon; /* port that SeaBIOS shows its screen on; 0: none */
};

/* Sets all items. Again at reset is allowed. */
void firmware_publish(struct firmware *firmware);

/*
 * Puts the ACPI and SMBIOS tables in RAM and gives the address of the ACPI root pointer. Fails when
 * there are too many processors or there is too little RAM.
 */
bool firmware_install(const struct firmware *firmware, u64 *rsdp, struct error *err);

#endif
