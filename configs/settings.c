/* SPDX-License-Identifier: MIT */
#include "configs/settings.h"

#include <stdio.h>
#include <string.h>

#include "configs/xml.h"

#define CPUS_MAX 64
#define PROPS_MAX 16

static const struct prop_desc memory_props[] = {
    {.name = "size",
     .type = PROP_SIZE,
     .preset = "512M",
     .min = MIB,
     .max = 512 * GIB,
     .help = "bytes of RAM"},
};
static const struct prop_desc cpu_props[] = {
    {.name = "model",
     .type = PROP_STRING,
     .preset = "default",
     .min = 1,
     .help = "processor model: of \"testudo cpu list\", or FILE.xml"},
    {.name = "count",
     .type = PROP_UINT,
     .preset = "1",
     .min = 1,
     .max = CPUS_MAX,
     .help = "number of processors"},
    {.name = "features", .type = PROP_STRING, .preset = "", .help = "changes: +name,-name"},
};
#define TO_HELP "stdio, file:PATH or none"
static const struct prop_desc firmware_props[] = {
    {.name = "file",
     .type = PROP_STRING,
     .preset = "",
     .help = "image of the firmware's chip; empty: none, --kernel is started directly"},
    {.name = "log",
     .type = PROP_STRING,
     .preset = "none",
     .help = "what it writes to port 0x402: " TO_HELP},
    {.name = "variables",
     .type = PROP_STRING,
     .preset = "",
     .help = "file of its variables' chip, right below it, which it writes; empty: none"},
};
static const struct prop_desc vga_rom_props[] = {
    {.name = "rom",
     .type = PROP_STRING,
     .preset = "/usr/share/seabios/vgabios-stdvga.bin",
     .help = "image of the display's BIOS, for firmware to run; empty: none"},
};
static const struct prop_desc serial_props[] = {
    {.name = "to", .type = PROP_STRING, .preset = "stdio", .help = TO_HELP},
};
static const struct prop_desc debug_props[] = {
    {.name = "to", .type = PROP_STRING, .preset = "none", .help = TO_HELP},
};

static const char *const buses[] = {[BUS_IDE] = "ide", [BUS_VIRTIO] = "virtio", NULL};
static const struct prop_desc disk_props[] = {
    {.name = "path", .type = PROP_STRING, .help = "raw image, or a block device"},
    {.name = "overlay",
     .type = PROP_STRING,
     .preset = "",
     .help = "file that takes all changes; the image stays as it is"},
    {.name = "bus", .type = PROP_ENUM, .preset = "ide", .choices = buses, .help = "ide or virtio"},
    {.name = "readonly", .type = PROP_BOOL, .preset = "false", .help = "the guest can't write"},
};
static const struct prop_desc cdrom_props[] = {
    {.name = "path", .type = PROP_STRING, .help = "ISO image of the disc"},
};
static const struct prop_desc console_props[] = {
    {.name = "to", .type = PROP_STRING, .preset = "none", .help = TO_HELP},
};
static const char *const net_modes[] = {"none", "user", NULL};
enum { NET_NONE, NET_USER };
static const struct prop_desc net_props[] = {
    {.name = "mac",
     .type = PROP_STRING,
     .preset = "",
     .help = "address; empty: 52:54:00:12:34:56 and those that follow"},
    {.name = "mode",
     .type = PROP_ENUM,
     .preset = "none",
     .choices = net_modes,
     .help = "user: a network behind the host's sockets; none: the cable isn't plugged in"},
    {.name = "hostfwd",
     .type = PROP_STRING,
     .preset = "",
     .help = "ports of the host that lead to the guest: tcp:[ADDR]:PORT-[GUEST-ADDR]:PORT,..."},
};

enum element {
    MEMORY,
    CPU,
    FIRMWARE,
    RTC,
    SERIAL,
    DEBUG,
    PVPANIC,
    TEST_DEVICE,
    VGA,
    DISK,
    CDROM,
    CONSOLE,
    RNG,
    NET,
    ELEMENTS
};

/* An element's attributes are its own and those of the device that it stands for. */
static const struct element_row {
    const char *name, *help;
    unsigned max; /* how many there may be */
    const struct prop_desc *props;
    size_t count;
    const struct device_class *class;
} rows[ELEMENTS] = {
    [MEMORY] = {"memory", "RAM", 1, memory_props, ARRAY_SIZE(memory_props), NULL},
    [CPU] = {"cpu", "processors", 1, cpu_props, ARRAY_SIZE(cpu_props), NULL},
    [FIRMWARE] = {"firmware", "firmware", 1, firmware_props, ARRAY_SIZE(firmware_props), NULL},
    [RTC] = {"rtc", "real-time clock", 1, NULL, 0, &mc146818_class},
    [SERIAL] = {"serial", "serial port, up to two", PC_SERIAL_PORTS, serial_props,
                ARRAY_SIZE(serial_props), &uart16550_class},
    [DEBUG] = {"debug-port", "console at port 0xe9", 1, debug_props, ARRAY_SIZE(debug_props),
               &debug_port_class},
    [PVPANIC] = {"pvpanic", "panic notifier", 1, NULL, 0, &pvpanic_class},
    [TEST_DEVICE] = {"test-device", "what kvm-unit-tests expects", 1, NULL, 0, &test_device_class},
    [VGA] = {"vga", "display", 1, vga_rom_props, ARRAY_SIZE(vga_rom_props), &vga_class},
    [DISK] = {"disk", "disk, up to 16, four of them (with CD-ROM drives) on IDE", SETTINGS_DISKS,
              disk_props, ARRAY_SIZE(disk_props), NULL},
    [CDROM] = {"cdrom", "CD-ROM drive with a disc, on IDE", SETTINGS_CDROMS, cdrom_props,
               ARRAY_SIZE(cdrom_props), NULL},
    [CONSOLE] = {"console", "virtio console", 1, console_props, ARRAY_SIZE(console_props), NULL},
    [RNG] = {"rng", "virtio entropy source", 1, NULL, 0, &virtio_rng_class},
    [NET] = {"net", "virtio network card, up to four", PC_NICS, net_props, ARRAY_SIZE(net_props),
             NULL},
};

/* ---- Descriptors ---- */

/* Where the second of an element differs from the first. */
static const struct {
    enum element element;
    const char *prop, *preset;
} second_presets[] = {
    {SERIAL, "to", "none"},
    {SERIAL, "base", "0x2f8"},
    {SERIAL, "irq", "3"},
};

static void set_second(enum element e, struct prop_desc *desc)
{
    for (size_t k = 0; k < ARRAY_SIZE(second_presets); k++)
        if (second_presets[k].element == e && !strcmp(second_presets[k].prop, desc->name))
            desc->preset = second_presets[k].preset;
}

/* All descriptors of element e: its own, then its device's. Returns how many. */
static size_t describe(enum element e, unsigned index, struct prop_desc descs[PROPS_MAX])
{
    const struct element_row *row = &rows[e];
    size_t of_class = row->class ? row->class->prop_count : 0;
    ASSERT(row->count + of_class <= PROPS_MAX);
    if (row->count)
        memcpy(descs, row->props, row->count * sizeof(*descs));
    if (of_class)
        memcpy(descs + row->count, row->class->props, of_class * sizeof(*descs));
    for (size_t k = 0; index && k < row->count + of_class; k++)
        set_second(e, &descs[k]);
    return row->count + of_class;
}

/* ---- Structure ---- */

static bool unknown_element(const struct prop_node *node, struct error *err)
{
    char known[1024] = "";
    for (size_t e = 0; e < ELEMENTS; e++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof(known) - used, "%s<%s>", e ? ", " : "", rows[e].name);
    }
    return prop_error(node, err, "no such element in <machine>: expected %s", known);
}

static bool check_element(const struct prop_node *node, const unsigned *seen, enum element e,
                          struct error *err)
{
    struct prop_desc descs[PROPS_MAX];
    if (prop_attr(node, XML_TEXT))
        return prop_error(node, err, "no text is expected here");
    if (node->child_count)
        return prop_error(node->child[0], err, "no element is expected in <%s>", node->name);
    if (seen[e] >= rows[e].max)
        return prop_error(node, err, "expected at most %u", rows[e].max);
    return prop_check(node, descs, describe(e, seen[e], descs), err);
}

static bool check(const struct prop_node *root, struct error *err)
{
    unsigned seen[ELEMENTS] = {0};
    if (strcmp(root->name, "machine"))
        return prop_error(root, err, "expected <machine>");
    if (prop_attr(root, XML_TEXT))
        return prop_error(root, err, "no text is expected here");
    if (!prop_check(root, NULL, 0, err))
        return false;
    for (u32 k = 0; k < root->child_count; k++) {
        const struct prop_node *node = root->child[k];
        size_t e = 0;
        while (e < ELEMENTS && strcmp(rows[e].name, node->name))
            e++;
        if (e == ELEMENTS)
            return unknown_element(node, err);
        if (!check_element(node, seen, (enum element)e, err))
            return false;
        seen[e]++;
    }
    return true;
}

/* ---- Values ---- */

/* One element being read; node NULL: it isn't there, presets are taken. */
struct reading {
    const struct prop_node *node;
    struct prop_desc descs[PROPS_MAX];
    const struct element_row *row;
};

static void reading_begin(struct reading *r, const struct prop_node *root, enum element e,
                          unsigned index)
{
    r->node = NULL;
    r->row = &rows[e];
    for (unsigned k = 0; k <= index; k++)
        r->node = k && !r->node ? NULL : prop_child(root, rows[e].name, r->node);
    describe(e, index, r->descs);
}

/* Property n of an element that check() has accepted. */
static struct prop_value value(const struct reading *r, size_t n)
{
    struct prop_value v = {0};
    struct prop_node none = {.name = (char *)(uintptr_t)r->row->name};
    bool ok = prop_get(r->node ? r->node : &none, &r->descs[n], &v, NULL);
    ASSERT(ok);
    return v;
}

static void read_device(const struct reading *r, void *config)
{
    const struct device_class *class = r->row->class;
    for (size_t n = 0; n < class->prop_count; n++)
        *(u64 *)(void *)((char *)config + class->prop_offsets[n]) =
            value(r, r->row->count + n).number;
}

/* Presets are good, so there is an attribute to speak of. */
static bool check_to(const struct reading *r, const char *name, const char *to, struct error *err)
{
    if (!strcmp(to, "stdio") || !strcmp(to, "none") || (!strncmp(to, "file:", 5) && to[5]))
        return true;
    const struct prop_attr *attr = prop_attr(r->node, name);
    struct prop_node place = {.name = r->node->name, .file = attr->file, .line = attr->line};
    return prop_error(&place, err, "%s=\"%s\": expected " TO_HELP, name, to);
}

static bool read_ports(const struct prop_node *root, struct settings *set, struct error *err)
{
    struct reading r;
    for (unsigned n = 0; n < PC_SERIAL_PORTS; n++) {
        reading_begin(&r, root, SERIAL, n);
        if (n && !r.node)
            break;
        read_device(&r, &set->pc.serial[n]);
        set->serial_to[n] = value(&r, 0).string;
        if (!check_to(&r, "to", set->serial_to[n], err))
            return false;
    }
    if (set->serial_to[1] && !strcmp(set->serial_to[0], "stdio") &&
        !strcmp(set->serial_to[1], "stdio"))
        return prop_error(r.node, err, "to=\"stdio\": the first serial port is there already");
    reading_begin(&r, root, DEBUG, 0);
    set->debug_to = value(&r, 0).string;
    return check_to(&r, "to", set->debug_to, err);
}

static void read_disks(const struct prop_node *root, struct settings *set)
{
    struct reading r;
    for (unsigned n = 0; reading_begin(&r, root, DISK, n), r.node; n++)
        set->disk[set->disks++] = (struct settings_disk){
            .path = value(&r, 0).string,
            .overlay = value(&r, 1).string,
            .bus = (enum settings_bus)value(&r, 2).number,
            .read_only = value(&r, 3).number,
        };
    for (unsigned n = 0; reading_begin(&r, root, CDROM, n), r.node; n++)
        set->disk[set->disks++] = (struct settings_disk){
            .path = value(&r, 0).string, .overlay = "", .cdrom = true, .read_only = true};
}

static bool at_attribute(const struct reading *r, const char *name, struct error *err,
                         const char *what)
{
    const struct prop_attr *attr = prop_attr(r->node, name);
    struct prop_node place = {.name = r->node->name, .file = attr->file, .line = attr->line};
    return prop_error(&place, err, "%s=\"%s\": %s", name, attr->value, what);
}

static bool read_console(const struct prop_node *root, struct settings *set, struct error *err)
{
    struct reading r;
    reading_begin(&r, root, CONSOLE, 0);
    if (!r.node)
        return true;
    set->pc.virtio.has_console = true;
    set->console_to = value(&r, 0).string;
    if (!check_to(&r, "to", set->console_to, err))
        return false;
    return strcmp(set->console_to, "stdio") || strcmp(set->serial_to[0], "stdio") ||
           at_attribute(&r, "to", err, "the first serial port is there already");
}

static bool read_nics(const struct prop_node *root, struct settings *set, struct error *err)
{
    struct reading r;
    struct pc_virtio_config *config = &set->pc.virtio;
    for (unsigned n = 0; reading_begin(&r, root, NET, n), r.node; n++) {
        const u8 preset[6] = {0x52, 0x54, 0x00, 0x12, 0x34, (u8)(0x56 + n)};
        const char *mac = value(&r, 0).string;
        memcpy(config->nic[n].mac, preset, sizeof(preset));
        if (*mac && !virtio_net_mac(mac, config->nic[n].mac))
            return at_attribute(&r, "mac", err, "expected six bytes, as 52:54:00:12:34:56");
        if (value(&r, 1).number == NET_USER)
            set->hostfwd[n] = value(&r, 2).string;
        config->nics = n + 1;
    }
    return true;
}

static bool read_virtio(const struct prop_node *root, struct settings *set, struct error *err)
{
    struct reading r;
    reading_begin(&r, root, RNG, 0);
    read_device(&r, &set->pc.virtio.rng);
    set->pc.virtio.has_rng = r.node;
    return read_console(root, set, err) && read_nics(root, set, err);
}

bool settings_read(const struct prop_node *root, struct settings *set, struct error *err)
{
    struct reading r;
    *set = (struct settings){0};
    if (!check(root, err))
        return false;
    reading_begin(&r, root, MEMORY, 0);
    set->memory = value(&r, 0).number;
    reading_begin(&r, root, CPU, 0);
    set->model = value(&r, 0).string;
    set->cpus = value(&r, 1).number;
    set->features = value(&r, 2).string;
    reading_begin(&r, root, FIRMWARE, 0);
    set->firmware = value(&r, 0).string;
    set->pc.firmware.path = set->firmware[0] ? set->firmware : NULL;
    set->firmware_log = value(&r, 1).string;
    if (!check_to(&r, "log", set->firmware_log, err))
        return false;
    const char *variables = value(&r, 2).string;
    set->pc.variables.path = variables[0] ? variables : NULL;
    if (!strcmp(set->firmware_log, "none"))
        set->firmware_log = NULL; /* firmware that finds no port is faster */
    reading_begin(&r, root, RTC, 0);
    read_device(&r, &set->pc.rtc);
    reading_begin(&r, root, PVPANIC, 0);
    read_device(&r, &set->pc.pvpanic);
    reading_begin(&r, root, TEST_DEVICE, 0);
    read_device(&r, &set->pc.test_device);
    reading_begin(&r, root, VGA, 0);
    read_device(&r, &set->pc.vga);
    if (set->pc.firmware.path && value(&r, 0).string[0])
        set->pc.vga.rom = value(&r, 0).string;
    read_disks(root, set);
    return read_ports(root, set, err) && read_virtio(root, set, err);
}

bool settings_error(const struct prop_node *root, const char *path, const struct error *cause,
                    struct error *err)
{
    if (!path)
        return prop_error(root, err, "%s", cause->text);
    char name[64];
    size_t length = strcspn(path, ".");
    snprintf(name, sizeof(name), "%.*s", (int)length, path);
    const struct prop_node *node = prop_child(root, name, NULL);
    const struct prop_attr *attr = node ? prop_attr(node, path + length + 1) : NULL;
    struct prop_node place = {.name = name};
    place.file = attr ? attr->file : node ? node->file : root->file;
    place.line = attr ? attr->line : node ? node->line : 0;
    return prop_error(&place, err, "%s", cause->text);
}

/* ---- Help ---- */

static void list_prop(const struct prop_desc *desc, void (*line)(void *opaque, const char *text),
                      void *opaque)
{
    static const char *const types[] = {
        [PROP_BOOL] = "true or false",  [PROP_UINT] = "number", [PROP_SIZE] = "size",
        [PROP_FREQUENCY] = "frequency", [PROP_STRING] = "text", [PROP_ENUM] = "choice"};
    char text[256];
    snprintf(text, sizeof(text), "    %-10s %s (%s; preset \"%s\")", desc->name, desc->help,
             types[desc->type], desc->preset ? desc->preset : "");
    line(opaque, text);
}

void settings_list(void (*line)(void *opaque, const char *text), void *opaque)
{
    char text[256];
    for (size_t e = 0; e < ELEMENTS; e++) {
        struct prop_desc descs[PROPS_MAX];
        size_t count = describe((enum element)e, 0, descs);
        snprintf(text, sizeof(text), "<%s>  %s", rows[e].name, rows[e].help);
        line(opaque, text);
        for (size_t n = 0; n < count; n++)
            list_prop(&descs[n], line, opaque);
    }
}
