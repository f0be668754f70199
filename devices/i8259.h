/* SPDX-License-Identifier: MIT */
/* The pair of 8259A interrupt controllers, with a PC chipset's edge/level control registers. */
#ifndef DEVICES_I8259_H
#define DEVICES_I8259_H

#include "devices/device.h"

struct i8259;

/* Input irq (0 to 15, 2 is the cascade and ignored); fits struct irq_line. */
void i8259_set(void *i8259, unsigned irq, bool level);
/* The two acknowledge cycles of the processor: the vector. Never fails: may be the spurious one. */
int i8259_ack(void *i8259);

extern const struct device_class i8259_class;

#endif
