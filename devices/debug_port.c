/* SPDX-License-Identifier: MIT */
#include "devices/debug_port.h"

#include <stdlib.h>

#include "base/alloc.h"

struct debug_port {
    const struct device_env *env;
    struct char_backend backend, firmware;
};

/* Reads as the number of the console's port, both: how guests find out that it is there. */
static u64 console_read(void *opaque, u64 offset, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)size;
    return DEBUG_CONSOLE_PORT;
}

static void console_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct debug_port *port = opaque;
    u8 byte = (u8)value;
    (void)offset;
    (void)size;
    if (port->backend.put)
        port->backend.put(port->backend.opaque, &byte, 1);
}

static void firmware_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct debug_port *port = opaque;
    u8 byte = (u8)value;
    (void)offset;
    (void)size;
    port->firmware.put(port->firmware.opaque, &byte, 1);
}

static u64 exit_read(void *opaque, u64 offset, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)size;
    return UINT64_MAX;
}

static void exit_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct debug_port *port = opaque;
    (void)size;
    if (!offset)
        device_stop(port->env, STOP_DEBUG_EXIT, (u32)value);
}

static const struct bus_ops console_ops = {console_read, console_write, 1};
static const struct bus_ops firmware_ops = {console_read, firmware_write, 1};
static const struct bus_ops exit_ops = {exit_read, exit_write, 4};

static void debug_port_reset(void *device)
{
    (void)device;
}

static void *debug_port_create(const struct device_env *env, const void *config, struct error *err)
{
    struct debug_port *port = xalloc(sizeof(*port));
    const struct debug_port_config *given = config;
    (void)err;
    port->env = env;
    port->backend = given->backend;
    port->firmware = given->firmware;
    if (port->firmware.put)
        bus_map_io(env->bus, &(struct bus_region){DEBUG_FIRMWARE_PORT, 1, &firmware_ops, port,
                                                  "firmware log"});
    bus_map_io(env->bus,
               &(struct bus_region){DEBUG_CONSOLE_PORT, 1, &console_ops, port, "port e9h"});
    bus_map_io(env->bus, &(struct bus_region){DEBUG_EXIT_PORT, 4, &exit_ops, port, "debug exit"});
    return port;
}

static void debug_port_snap(void *device, struct snap *s)
{
    (void)device;
    snap_section(s, "debug_port", 1);
}

static void debug_port_free(void *device)
{
    struct debug_port *port = device;
    if (port->firmware.put)
        bus_unmap_io(port->env->bus, DEBUG_FIRMWARE_PORT);
    bus_unmap_io(port->env->bus, DEBUG_CONSOLE_PORT);
    bus_unmap_io(port->env->bus, DEBUG_EXIT_PORT);
    free(port);
}

const struct device_class debug_port_class = {
    .name = "debug_port",
    .help = "console at port 0xe9, firmware's log at 0x402, exit with a status at 0xf4",
    .config_size = sizeof(struct debug_port_config),
    .create = debug_port_create,
    .reset = debug_port_reset,
    .snap = debug_port_snap,
    .free = debug_port_free,
};
