/* SPDX-License-Identifier: MIT */
/*
 * The ports of the two 8237 DMA controllers and their page registers, port 0x80 among them. They
 * hold what is written and move no data: no device here uses ISA DMA.
 */
#ifndef DEVICES_ISA_DMA_H
#define DEVICES_ISA_DMA_H

#include "devices/device.h"

extern const struct device_class isa_dma_class;

#endif
