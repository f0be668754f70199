/* SPDX-License-Identifier: MIT */
/*
 * What a machine's configuration may say: one table of elements, over the properties that layers
 * and devices declare. configs/machine.xsd says the same for other tools; a test compares them.
 */
#ifndef CONFIGS_SETTINGS_H
#define CONFIGS_SETTINGS_H

#include "base/error.h"
#include "base/prop.h"
#include "devices/pc.h"

/* Strings belong to the tree that was read. */
enum settings_bus { BUS_IDE, BUS_VIRTIO };

struct settings_disk {
    const char *path, *overlay; /* overlay "": none */
    enum settings_bus bus;
    bool cdrom, read_only;
};

#define SETTINGS_DISKS 16
#define SETTINGS_CDROMS 4

struct settings {
    u64 memory; /* bytes */
    u64 cpus;
    const char *model, *features;
    const char *firmware; /* path; "": none */
    struct pc_config pc;  /* without backends */
    /* Each network card on user networking: its forwarded ports (frontend/net_user.h); else NULL. */
    const char *hostfwd[PC_NICS];
    /* Where a port leads: "stdio", "file:PATH", "none"; NULL: there is no such port. */
    const char *serial_to[PC_SERIAL_PORTS];
    const char *debug_to, *firmware_log, *console_to;
    struct settings_disk disk[SETTINGS_DISKS + SETTINGS_CDROMS]; /* CD-ROM drives last */
    unsigned disks;
};

/* All of root, a <machine> element: anything unknown or out of range is an error. */
bool settings_read(const struct prop_node *root, struct settings *set, struct error *err);

/*
 * An error that concerns "element.attribute" of the first such element (it may not be there), or the
 * machine as a whole (NULL). Returns false.
 */
bool settings_error(const struct prop_node *root, const char *path, const struct error *cause,
                    struct error *err);

/* Prints all elements, their attributes, presets and ranges. */
void settings_list(void (*line)(void *opaque, const char *text), void *opaque);

#endif
