/* SPDX-License-Identifier: MIT */
/* From the 82371AB (PIIX4) data sheet, "System Management Bus (SMBus) I/O Space Registers". */
#include "devices/smbus.h"

#include <string.h>

#define REG_HOST_STATUS 0x0
#define REG_SLAVE_STATUS 0x1
#define REG_HOST_CONTROL 0x2
#define REG_BLOCK 0x7

#define STATUS_INTERRUPT 0x02u
#define STATUS_DEVICE_ERROR 0x04u
#define STATUS_CLEARED 0x1eu /* by writing ones */
#define SLAVE_CLEARED 0x3cu
#define CONTROL_START 0x40u
#define CONTROL_STORED 0x1du

/* Every transaction ends at once: no device acknowledges its address. */
static void control_write(struct smbus *bus, u8 value)
{
    bus->reg[REG_HOST_CONTROL] = value & CONTROL_STORED;
    if (value & CONTROL_START)
        bus->reg[REG_HOST_STATUS] |= STATUS_INTERRUPT | STATUS_DEVICE_ERROR;
}

static u64 smbus_read(void *opaque, u64 offset, unsigned size)
{
    const struct smbus *bus = opaque;
    (void)size;
    return bus->reg[offset];
}

static void smbus_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct smbus *bus = opaque;
    (void)size;
    switch (offset) {
    case REG_HOST_STATUS:
        bus->reg[offset] &= (u8) ~(value & STATUS_CLEARED);
        break;
    case REG_SLAVE_STATUS:
        bus->reg[offset] &= (u8) ~(value & SLAVE_CLEARED);
        break;
    case REG_HOST_CONTROL:
        control_write(bus, (u8)value);
        break;
    default:
        if (offset <= REG_BLOCK)
            bus->reg[offset] = (u8)value;
    }
}

const struct bus_ops smbus_ops = {smbus_read, smbus_write, 1};

void smbus_reset(struct smbus *bus)
{
    memset(bus->reg, 0, sizeof(bus->reg));
}
