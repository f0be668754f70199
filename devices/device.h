/* SPDX-License-Identifier: MIT */
/*
 * What every device has in common. A device is a file pair that defines one `struct device_class
 * NAME_class` and a row in devices/registry.def.
 */
#ifndef DEVICES_DEVICE_H
#define DEVICES_DEVICE_H

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/prop.h"
#include "base/snap.h"
#include "base/types.h"
#include "cpu/cpu.h"
#include "mmu/bus.h"

struct pci_bus;
struct input_hub;

/*
 * The wires of the machine, inputs of device_env.line. The first 24 are the system interrupts: an
 * ISA interrupt n (0 to 15) reaches both the 8259 pair and the I/O APIC, 16 to 23 only the latter.
 */
enum device_line {
    LINE_GSI = 0,
    LINE_ISA_COUNT = 16,
    LINE_GSI_COUNT = 24,
    LINE_PIT = LINE_GSI_COUNT, /* interrupt 0, unless the HPET has replaced it */
    LINE_RTC,                  /* interrupt 8, unless the HPET has replaced it */
    LINE_HPET0,                /* the replacements */
    LINE_HPET1,
    LINE_HPET_LEGACY, /* high: the HPET replaces the PIT's and the RTC's interrupts */
    LINE_INTR,        /* the 8259 pair's output to the processors */
    LINE_RESET_BUTTON,
    LINE_PIC,                              /* 16 inputs of the 8259 pair alone */
    LINE_PIRQ = LINE_PIC + LINE_ISA_COUNT, /* 4 PCI interrupt wires */
    LINE_COUNT = LINE_PIRQ + 4
};

/* A message to local APICs, as the I/O APIC and MSI send them. */
struct apic_message {
    u32 dest;
    bool logical;
    u8 mode; /* delivery mode: 0 fixed, 1 lowest priority, 2 SMI, 4 NMI, 5 INIT, 7 ExtINT */
    u8 vector;
    bool level; /* trigger mode */
};

/* What a device is created in. It outlives the device. */
struct device_env {
    struct bus *bus;
    struct clock *clock;
    struct cpu_group *group; /* to end the run: device_stop() */
    void (*line)(void *opaque, unsigned line, bool level);
    void *line_opaque;
    bool (*apic_send)(void *opaque, const struct apic_message *message); /* false: nobody took it */
    void *apic_opaque;
    struct input_hub *input; /* where values of the host come from (base/input.h); may be NULL */
    struct pci_bus *pci;     /* set when the host bridge exists */
};

static inline struct irq_line device_line(const struct device_env *env, unsigned line)
{
    return (struct irq_line){env->line, env->line_opaque, line};
}

/* Whether no device answers at this port: before mapping where a configuration says. */
bool device_port_free(const struct device_env *env, u64 port);

/* Ends the run of the machine; the first reason stays. */
void device_stop(const struct device_env *env, enum cpu_stop why, u32 exit_value);

struct device_class {
    const char *name; /* as written in configurations */
    const char *help; /* one line */
    /* What a configuration may say, and where in the config struct each value (a u64) goes. */
    const struct prop_desc *props;
    const size_t *prop_offsets;
    size_t prop_count;
    size_t config_size; /* 0: no config struct */
    /*
     * NULL, with err set, if the configuration can't be had. config: NULL if config_size is 0. A
     * config of presets and zeroes can be had: the device then is without its image or backend.
     */
    void *(*create)(const struct device_env *env, const void *config, struct error *err);
    void (*reset)(void *device); /* as the machine's reset line does */
    void (*snap)(void *device, struct snap *s);
    void (*free)(void *device);
};

/* Visits bools: whatever byte is loaded, they come back as true or false. */
void snap_flags(struct snap *s, bool *const *flags, size_t count);

/* All classes, in the order of registry.def. */
extern const struct device_class *const device_classes[];
extern const size_t device_class_count;

const struct device_class *device_class_find(const char *name);
/* Sets each property in a config struct to its preset; other members stay. */
void device_config_init(const struct device_class *class, void *config);
/* Sets them from an element, which may hold no other attributes (prop_check). */
bool device_config_read(const struct device_class *class, const struct prop_node *node,
                        void *config, struct error *err);
/* What `testudo device list` prints. */
void device_list(void (*line)(void *opaque, const char *text), void *opaque);

#endif
