/* SPDX-License-Identifier: MIT */
/* The control bits by name: PIN_NMI, SECONDARY_EPT; and the exit reasons: REASON_CPUID. */
#ifndef VMX_CONTROLS_H
#define VMX_CONTROLS_H

#include "base/types.h"

/* Masks; not an enumeration because bit 31 does not fit an int. */
#define CONTROL(class, id, name, bit, ...) UNUSED static const u32 class##_##id = BIT32(bit);
#include "vmx/controls.def"

enum vmx_class {
    CLASS_PIN,
    CLASS_PRIMARY,
    CLASS_SECONDARY,
    CLASS_TERTIARY,
    CLASS_EXIT,
    CLASS_ENTRY,
    VMX_CLASSES
};

/* WORKS_SECONDARY_EPT: is it built? Constants, also for the guards of vmx/vmcs.def. */
enum vmx_works {
    WORKS_UNMODELLED = 0,
    WORKS_ALWAYS = 1,
#define CONTROL(class, id, name, bit, default1, works, feature) WORKS_##class##_##id = (works),
#include "vmx/controls.def"
};

enum vmx_reason {
#define EXIT(id, name, number) REASON_##id = (number),
#include "vmx/exits.def"
};
#define REASON_ENTRY_FAILURE BIT32(31)

/* "cpuid"; "unknown" for none */
const char *vmx_reason_name(u32 reason);

#endif
