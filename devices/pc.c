/* SPDX-License-Identifier: MIT */
#include "devices/pc.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/input.h"
#include "cpu/lapic.h"
#include "devices/char_queue.h"
#include "devices/firmware.h"
#include "devices/hpet.h"
#include "devices/i440fx.h"
#include "devices/i8042.h"
#include "devices/i8254.h"
#include "devices/i8259.h"
#include "devices/ioapic.h"
#include "devices/isa_dma.h"

#define MAX_PARTS 48
#define LINT0 0

struct part {
    const struct device_class *class;
    void *state;
};

/* What has come in for a serial port. */
struct serial_in {
    struct pc *pc;
    unsigned n, source;
    struct char_queue queue;
};

struct pc {
    struct device_env env;
    struct cpu_group *group;
    struct part part[MAX_PARTS];
    unsigned parts;
    struct i8259 *pic;
    struct ioapic *ioapic;
    struct i440fx *chipset;
    struct mc146818 *rtc;
    struct piix4_pm *pm;
    struct firmware firmware;
    struct i8042 *kbc;
    unsigned source_of_keys, source_of_motion, source_of_power;
    struct uart16550 *serial[PC_SERIAL_PORTS];
    struct serial_in in[PC_SERIAL_PORTS];
    struct pc_virtio virtio;
    struct vga *vga; /* NULL: absent */
    /* Levels of wires that meet: see enum device_line. */
    bool level[LINE_COUNT];
};

/* ---- Wires ---- */

static void pic_input(struct pc *pc, unsigned irq)
{
    i8259_set(pc->pic, irq, pc->level[LINE_GSI + irq] || pc->level[LINE_PIC + irq]);
}

static void gsi(struct pc *pc, unsigned n, bool level)
{
    pc->level[LINE_GSI + n] = level;
    if (n < LINE_ISA_COUNT)
        pic_input(pc, n);
    /* The timer is on input 2, as the MADT says; nothing else is. */
    if (n != 2)
        ioapic_set(pc->ioapic, n == 0 ? 2 : n, level);
}

/* Interrupts 0 and 8 come from the HPET while it replaces the PIT and the RTC. */
static void timer_lines(struct pc *pc)
{
    bool replaced = pc->level[LINE_HPET_LEGACY];
    gsi(pc, 0, pc->level[replaced ? LINE_HPET0 : LINE_PIT]);
    gsi(pc, 8, pc->level[replaced ? LINE_HPET1 : LINE_RTC]);
}

static void line_set(void *opaque, unsigned line, bool level)
{
    struct pc *pc = opaque;
    ASSERT(line < LINE_COUNT);
    if (line < LINE_GSI_COUNT) {
        gsi(pc, line, level);
        return;
    }
    pc->level[line] = level;
    if (line <= LINE_HPET_LEGACY)
        timer_lines(pc);
    else if (line == LINE_INTR)
        lapic_intr_set(pc->group, LINT0, level);
    else if (line >= LINE_PIRQ)
        i440fx_pirq(pc->chipset, line - LINE_PIRQ, level);
    else if (line >= LINE_PIC)
        pic_input(pc, line - LINE_PIC);
}

static bool apic_send(void *opaque, const struct apic_message *message)
{
    struct pc *pc = opaque;
    struct lapic_msg msg = {
        .dest = message->dest,
        .vector = message->vector,
        .delivery = message->mode,
        .logical = message->logical,
        .level = message->level,
    };
    return lapic_deliver(pc->group, &msg);
}

static int extint_ack(void *opaque)
{
    struct pc *pc = opaque;
    return i8259_ack(pc->pic);
}

static void eoi(void *opaque, u8 vector)
{
    struct pc *pc = opaque;
    ioapic_eoi(pc->ioapic, vector);
}

/* ---- Parts ---- */

static void *add(struct pc *pc, const struct device_class *class, const void *config,
                 struct error *err)
{
    ASSERT(pc->parts < MAX_PARTS);
    void *state = class->create(&pc->env, config, err);
    if (state)
        pc->part[pc->parts++] = (struct part){class, state};
    return state;
}

void *pc_add(struct pc *pc, const struct device_class *class, const void *config, struct error *err)
{
    return add(pc, class, config, err);
}

static void serial_input(void *opaque, const u8 *bytes, size_t size)
{
    struct serial_in *in = opaque;
    char_queue_put(&in->queue, bytes, size);
    uart16550_poll(in->pc->serial[in->n]);
}

static void power_input(void *opaque, const u8 *bytes, size_t size)
{
    struct pc *pc = opaque;
    (void)bytes;
    (void)size;
    acpi_pm_power_button(piix4_pm_registers(pc->pm));
}

static bool add_keyboard(struct pc *pc, struct error *err)
{
    pc->kbc = add(pc, &i8042_class, NULL, err);
    pc->source_of_keys = input_source(pc->env.input, "keyboard", i8042_keyboard_input, pc->kbc);
    pc->source_of_motion = input_source(pc->env.input, "mouse", i8042_mouse_input, pc->kbc);
    pc->source_of_power = input_source(pc->env.input, "power button", power_input, pc);
    return pc->kbc;
}

static bool add_serial(struct pc *pc, const struct pc_config *config, struct error *err)
{
    for (unsigned n = 0; n < PC_SERIAL_PORTS; n++) {
        if (!config->serial[n].base)
            continue;
        struct uart16550_config port = config->serial[n];
        struct serial_in *in = &pc->in[n];
        *in = (struct serial_in){.pc = pc, .n = n};
        in->source = input_source(config->input, n ? "serial1" : "serial0", serial_input, in);
        port.backend.get = char_queue_get;
        port.backend.get_opaque = &in->queue;
        pc->serial[n] = add(pc, &uart16550_class, &port, err);
        if (!pc->serial[n])
            return false;
    }
    return true;
}

static bool add_vga(struct pc *pc, const struct pc_config *config, struct error *err)
{
    if (config->vga.type == VGA_NONE)
        return true;
    pc->vga = add(pc, &vga_class, &config->vga, err);
    return pc->vga;
}

static bool add_firmware(struct pc *pc, const struct pc_config *config, struct error *err)
{
    struct flash *flash = add(pc, &flash_class, &config->firmware, err);
    if (!flash)
        return false;
    i440fx_set_rom(pc->chipset, flash_bytes(flash), flash_size(flash));
    struct pflash_config variables = config->variables;
    variables.end = 4 * GIB - flash_size(flash);
    return !variables.path || add(pc, &pflash_class, &variables, err);
}

/* What a setup program notes in CMOS of the machine, and SeaBIOS and OVMF look for there. */
static void note_machine(struct pc *pc, struct mc146818 *rtc)
{
    const struct ram *ram = &pc->env.bus->ram;
    u64 extended = MIN((ram->low - MIB) / KIB, 0xffffu);
    u64 above_16m = ram->low > 16 * MIB ? (ram->low - 16 * MIB) / (64 * KIB) : 0;
    u64 high = (ram->size - ram->low) / (64 * KIB);
    const struct {
        u8 index, bytes;
        u64 value;
    } notes[] = {
        {0x14, 1, 0x06},     /* equipment: a coprocessor, a PS/2 mouse */
        {0x15, 2, 640},      /* KiB */
        {0x17, 2, extended}, /* KiB above 1 MiB */
        {0x30, 2, extended},
        {0x34, 2, MIN(above_16m, 0xffffu)}, /* 64 KiB above 16 MiB */
        {0x38, 1, 0x10},
        {0x3d, 1, 0x32},                 /* boot from disk, CD-ROM, floppy disk */
        {0x39, 1, 0x55},                 /* disks' geometry by LBA */
        {0x5b, 3, high},                 /* 64 KiB above 4 GiB */
        {0x5f, 1, pc->group->count - 1}, /* application processors */
    };
    for (size_t n = 0; n < ARRAY_SIZE(notes); n++)
        for (u8 k = 0; k < notes[n].bytes; k++)
            mc146818_set_cmos(rtc, (u8)(notes[n].index + k), (u8)(notes[n].value >> (8 * k)));
}

/* Which of COM1 and COM2 there are, where one expects them. */
static u8 usual_ports(const struct pc_config *config)
{
    u8 present = 0;
    for (unsigned n = 0; n < PC_SERIAL_PORTS; n++) {
        if (config->serial[n].base == 0x3f8 && config->serial[n].irq == 4)
            present |= 1;
        if (config->serial[n].base == 0x2f8 && config->serial[n].irq == 3)
            present |= 2;
    }
    return present;
}

static bool add_tables(struct pc *pc, const struct pc_config *config, struct error *err)
{
    struct fw_cfg *fw = add(pc, &fw_cfg_class, NULL, err);
    if (!fw)
        return false;
    pc->firmware = (struct firmware){
        .env = &pc->env,
        .fw = fw,
        .pm = pc->pm,
        .serial = usual_ports(config),
        .sercon = (u16)config->serial[0].base,
    };
    firmware_publish(&pc->firmware);
    return true;
}

static bool add_for_tests(struct pc *pc, const struct pc_config *config, struct error *err)
{
    if (config->pvpanic.enabled && !add(pc, &pvpanic_class, &config->pvpanic, err))
        return false;
    return !config->test_device.enabled || add(pc, &test_device_class, &config->test_device, err);
}

static bool build(struct pc *pc, const struct pc_config *config, struct error *err)
{
    pc->pic = add(pc, &i8259_class, NULL, err);
    pc->ioapic = add(pc, &ioapic_class, NULL, err);
    pc->chipset = add(pc, &i440fx_class, NULL, err);
    if (!pc->pic || !pc->ioapic || !pc->chipset)
        return false;
    pc->env.pci = i440fx_pci(pc->chipset);
    if (config->firmware.path && !add_firmware(pc, config, err))
        return false;
    pc->pm = add(pc, &piix4_pm_class, NULL, err);
    struct mc146818 *rtc = pc->rtc = add(pc, &mc146818_class, &config->rtc, err);
    if (!pc->pm || !rtc)
        return false;
    note_machine(pc, rtc);
    return add(pc, &i8254_class, NULL, err) && add(pc, &hpet_class, NULL, err) &&
           add_keyboard(pc, err) && add(pc, &isa_dma_class, NULL, err) &&
           add(pc, &debug_port_class, &config->debug, err) &&
           add(pc, &ide_class, &config->ide, err) && add_serial(pc, config, err) &&
           add_for_tests(pc, config, err) && add_vga(pc, config, err) &&
           pc_virtio_add(pc, &pc->virtio, config, err) && add_tables(pc, config, err);
}

void pc_config_init(struct pc_config *config)
{
    *config = (struct pc_config){0};
    device_config_init(&mc146818_class, &config->rtc);
    device_config_init(&uart16550_class, &config->serial[0]);
    device_config_init(&vga_class, &config->vga);
}

static void connect_processors(struct pc *pc)
{
    struct cpu_group *group = pc->group;
    lapic_map(group);
    lapic_listen_eoi(group, eoi, pc);
    group->extint_ack = extint_ack;
    group->extint_opaque = pc;
}

struct pc *pc_new(struct cpu_group *group, const struct pc_config *config, struct error *err)
{
    struct pc *pc = xalloc(sizeof(*pc));
    pc->group = group;
    pc->env = (struct device_env){
        .bus = group->bus,
        .clock = group->clock,
        .group = group,
        .line = line_set,
        .line_opaque = pc,
        .apic_send = apic_send,
        .apic_opaque = pc,
        .input = config->input,
    };
    if (!build(pc, config, err)) {
        pc_free(pc);
        return NULL;
    }
    connect_processors(pc);
    pc_reset(pc);
    return pc;
}

void pc_free(struct pc *pc)
{
    if (!pc)
        return;
    while (pc->parts) {
        const struct part *part = &pc->part[--pc->parts];
        part->class->free(part->state);
    }
    if (pc->group->extint_opaque == pc)
        pc->group->extint_ack = NULL;
    free(pc);
}

void pc_reset(struct pc *pc)
{
    for (unsigned n = 0; n < pc->parts; n++)
        pc->part[n].class->reset(pc->part[n].state);
}

void pc_snap(struct pc *pc, struct snap *s)
{
    bool *flags[LINE_COUNT];
    snap_section(s, "pc", 3);
    snap_expect(s, "number of devices", pc->parts);
    for (unsigned n = 0; n < LINE_COUNT; n++)
        flags[n] = &pc->level[n];
    snap_flags(s, flags, LINE_COUNT);
    for (unsigned n = 0; n < PC_SERIAL_PORTS; n++)
        char_queue_snap(&pc->in[n].queue, s);
    char_queue_snap(&pc->virtio.console_in, s);
    for (unsigned n = 0; n < pc->parts; n++)
        pc->part[n].class->snap(pc->part[n].state, s);
}

bool pc_preset(struct pc *pc, u64 *rsdp, struct error *err)
{
    i440fx_shadow_ram(pc->chipset);
    piix4_pm_preset(pc->pm);
    return firmware_install(&pc->firmware, rsdp, err);
}

struct fw_cfg *pc_fw_cfg(struct pc *pc)
{
    return pc->firmware.fw;
}

const struct pci_device *pc_pci_function(const struct pc *pc, u8 devfn)
{
    return pci_function(pc->env.pci, devfn);
}

struct uart16550 *pc_serial(struct pc *pc, unsigned n)
{
    return n < PC_SERIAL_PORTS ? pc->serial[n] : NULL;
}

unsigned pc_serial_source(const struct pc *pc, unsigned n)
{
    return pc->in[n].source;
}

size_t pc_serial_room(const struct pc *pc, unsigned n)
{
    return char_queue_room(&pc->in[n].queue);
}

unsigned pc_console_source(const struct pc *pc)
{
    return pc->virtio.console_source;
}

size_t pc_console_room(const struct pc *pc)
{
    return char_queue_room(&pc->virtio.console_in);
}

unsigned pc_nic_source(const struct pc *pc, unsigned n)
{
    ASSERT(n < PC_NICS);
    return pc->virtio.nic_source[n];
}

unsigned pc_nic_room(const struct pc *pc, unsigned n)
{
    ASSERT(n < PC_NICS);
    return virtio_net_room(pc->virtio.nic[n]);
}

void pc_set_date(struct pc *pc, s64 seconds)
{
    mc146818_set_start(pc->rtc, seconds);
}

struct vga *pc_vga(struct pc *pc)
{
    return pc->vga;
}

void pc_power_button(struct pc *pc)
{
    const u8 pressed = 1;
    if (pc->env.input)
        input_put(pc->env.input, pc->source_of_power, &pressed, sizeof(pressed));
    else
        power_input(pc, &pressed, sizeof(pressed));
}

void pc_key(struct pc *pc, u8 usage, bool down)
{
    const u8 record[I8042_KEY_BYTES] = {usage, down};
    if (pc->env.input)
        input_put(pc->env.input, pc->source_of_keys, record, sizeof(record));
    else
        i8042_keyboard_input(pc->kbc, record, sizeof(record));
}

void pc_mouse(struct pc *pc, const struct ps2_motion *motion)
{
    u8 record[I8042_MOTION_BYTES];
    i8042_motion_record(motion, record);
    if (pc->env.input)
        input_put(pc->env.input, pc->source_of_motion, record, sizeof(record));
    else
        i8042_mouse_input(pc->kbc, record, sizeof(record));
}
