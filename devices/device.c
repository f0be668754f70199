/* SPDX-License-Identifier: MIT */
#include "devices/device.h"

#include <stdio.h>
#include <string.h>

/* clang-format off */
#define DEVICE(name) extern const struct device_class name##_class;
#include "devices/registry.def"

const struct device_class *const device_classes[] = {
#define DEVICE(name) &name##_class,
#include "devices/registry.def"
};
/* clang-format on */

const size_t device_class_count = ARRAY_SIZE(device_classes);

bool device_port_free(const struct device_env *env, u64 port)
{
    const struct bus *bus = env->bus;
    for (u32 n = 0; n < bus->io_count; n++)
        if (port - bus->io[n].base < bus->io[n].size)
            return false;
    return true;
}

void device_stop(const struct device_env *env, enum cpu_stop why, u32 exit_value)
{
    struct cpu_group *group = env->group;
    if (group->stop != STOP_NONE)
        return;
    group->stop = (int)why;
    group->exit_value = exit_value;
    for (unsigned n = 0; n < group->count; n++)
        group->cpu[n]->leave = true;
}

void snap_flags(struct snap *s, bool *const *flags, size_t count)
{
    for (size_t n = 0; n < count; n++) {
        u8 value = *flags[n];
        SNAP(s, value);
        *flags[n] = value != 0;
    }
}

const struct device_class *device_class_find(const char *name)
{
    for (size_t n = 0; n < device_class_count; n++)
        if (!strcmp(device_classes[n]->name, name))
            return device_classes[n];
    return NULL;
}

bool device_config_read(const struct device_class *class, const struct prop_node *node,
                        void *config, struct error *err)
{
    if (!prop_check(node, class->props, class->prop_count, err))
        return false;
    for (size_t n = 0; n < class->prop_count; n++) {
        struct prop_value value;
        if (!prop_get(node, &class->props[n], &value, err))
            return false;
        *(u64 *)(void *)((char *)config + class->prop_offsets[n]) = value.number;
    }
    return true;
}

void device_config_init(const struct device_class *class, void *config)
{
    struct prop_node *empty = prop_new(NULL, class->name, NULL, 0);
    bool ok = device_config_read(class, empty, config, NULL);
    ASSERT(ok);
    prop_free(empty);
}

static void list_class(const struct device_class *class,
                       void (*line)(void *opaque, const char *text), void *opaque)
{
    char text[256];
    snprintf(text, sizeof(text), "%-12s %s", class->name, class->help);
    line(opaque, text);
    for (size_t n = 0; n < class->prop_count; n++) {
        const struct prop_desc *desc = &class->props[n];
        snprintf(text, sizeof(text), "    %-8s %s (preset: %s)", desc->name, desc->help,
                 desc->preset ? desc->preset : "none");
        line(opaque, text);
    }
}

void device_list(void (*line)(void *opaque, const char *text), void *opaque)
{
    for (size_t n = 0; n < device_class_count; n++)
        list_class(device_classes[n], line, opaque);
}
