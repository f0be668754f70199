/* SPDX-License-Identifier: MIT */
/*
 * System-management mode (SDM "System Management Mode"): the SMI, the state it saves in SMRAM, RSM.
 *
 * The save area has the layout of AMD64 processors (APM volume 2, "SMM State-Save Area") and says so
 * by its revision: the SDM leaves the meaning of the revision's low half to the processor, and this
 * is the 64-bit layout that firmware written for virtual machines knows (SeaBIOS, OVMF). Reserved
 * fields of it have the EPT pointer where the SDM's "Default Treatment of SMI Delivery" wants it.
 * What has no place in the area (CR2, DR0 to DR3, floating point) the handler keeps, as on hardware.
 */
#ifndef CPU_SMM_H
#define CPU_SMM_H

#include "cpu/cpu.h"

struct insn;

#define SMM_BASE_RESET 0x30000u
#define SMM_ENTRY 0x8000u /* of the handler, from SMBASE */

/* SMRAM, from SMBASE: 512 bytes that end at SMBASE + 0xffff. */
#define SMM_AREA 0xfe00u
#define SMM_AREA_SIZE 512u
/* Offsets in the area of what handlers read and change. */
enum {
    SMM_SEGMENTS = 0x00, /* ES CS SS DS FS GS: selector 2, attributes 2, limit 4, base 8 */
    SMM_GDTR = 0x60,     /* limit at 4 (2 bytes), base at 8 */
    SMM_LDTR = 0x70,
    SMM_IDTR = 0x80,
    SMM_TR = 0x90,
    SMM_IO_RIP = 0xa0, /* of the I/O instruction that caused the SMI, and its RCX, RSI, RDI */
    SMM_IO_RCX = 0xa8,
    SMM_IO_RSI = 0xb0,
    SMM_IO_RDI = 0xb8,
    SMM_IO_WHAT = 0xc0,      /* 4 bytes, SMM_IO_* */
    SMM_IO_RESTART = 0xc8,   /* 1 byte; the handler writes ffH: execute the I/O instruction again */
    SMM_HALT_RESTART = 0xc9, /* 1 byte: bit 0, RSM goes back to HLT */
    SMM_EFER = 0xd0,
    SMM_EPTP = 0xd8, /* EPTP, valid if SMM_EPT_ON (4 bytes) is 1 */
    SMM_EPT_ON = 0xe0,
    SMM_REVISION = 0xfc, /* 4 bytes */
    SMM_SMBASE = 0x100,  /* 4 bytes; RSM takes the handler's value */
    SMM_CR4 = 0x148,
    SMM_CR3 = 0x150,
    SMM_CR0 = 0x158,
    SMM_DR7 = 0x160,
    SMM_DR6 = 0x168,
    SMM_RFLAGS = 0x170,
    SMM_RIP = 0x178,
    SMM_R15 = 0x180, /* down to RAX, the last: 8 bytes each */
    SMM_RAX = 0x1f8,
};
#define SMM_REVISION_ID 0x30064u /* I/O instruction restart, SMBASE relocation; layout 64H */

#define SMM_IO_IN BIT32(0)
#define SMM_IO_VALID BIT32(1)
#define SMM_IO_STRING BIT32(2)
#define SMM_IO_REP BIT32(3)
#define SMM_IO_SIZE_SHIFT 4  /* a bit each for 1, 2, 4 bytes */
#define SMM_IO_PORT_SHIFT 16 /* 16 bits */

/* Would an SMI that is pending be taken at this boundary between two instructions? */
static inline bool smm_open(const struct cpu *cpu)
{
    return !cpu->smm && !cpu->irq_shadow && cpu->activity != ACTIVITY_WAIT_SIPI &&
           cpu->activity != ACTIVITY_SHUTDOWN;
}

/* Takes the pending SMI. cpu->rip is where RSM returns to. */
void smm_enter(struct cpu *cpu);

/*
 * RSM in SMM: cpu->rip and all else are as the area says. False: the state was invalid and the
 * processor has shut down.
 */
bool smm_leave(struct cpu *cpu);

/*
 * An SMI has come during the access of I/O instruction i, whose registers have not been changed yet.
 * what: SMM_IO_* without SMM_IO_VALID.
 */
void smm_note_io(struct cpu *cpu, const struct insn *i, u32 what);

/* After RESET: SMBASE, not in SMM. */
void smm_reset(struct cpu *cpu);
void smm_snap(struct cpu *cpu, struct snap *s);

#endif
