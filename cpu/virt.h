/* SPDX-License-Identifier: MIT */
/*
 * What the core asks of VMX, and how a VM exit leaves an instruction.
 *
 * A VM exit takes the road of a fault: whoever finds its cause records it in cpu->exit, nothing of the
 * instruction having been committed, and returns false; the handler ends with insn_fault(); the run
 * loop sees exit.pending and calls virt->take_exit(). Trap-like exits are recorded after the
 * instruction is done, which then ends with insn_leave() (cpu->leave). Exits win over faults
 * recorded by the same instruction only where their finder says so: one of the two is pending.
 *
 * With cpu->virt NULL (no VMX in the model) none of this is ever looked at.
 * In non-root operation cpu->mode has MODE_NONROOT: the decoder puts op_intercept before each
 * instruction whose row names an exit reason. Root code pays nothing.
 */
#ifndef CPU_VIRT_H
#define CPU_VIRT_H

#include "base/snap.h"
#include "base/types.h"

struct cpu;
struct exception;
struct insn;
struct op_row;
struct walk_out;

/* Interruption types (SDM "VM-Entry Interruption-Information Field") */
enum intr_type {
    INTR_EXTERNAL = 0,
    INTR_NMI = 2,
    INTR_HARD_EXCEPTION = 3,
    INTR_SOFT_INT = 4,
    INTR_PRIV_SOFT_EXCEPTION = 5, /* INT1 */
    INTR_SOFT_EXCEPTION = 6,      /* INT3, INTO */
    INTR_OTHER = 7
};
#define INTR_ERROR_VALID BIT32(11)
#define INTR_VALID BIT32(31)

/* An exit on its way. Fields that do not apply stay 0. */
struct vm_exit {
    bool pending;
    bool trap;  /* the instruction is done: RIP is the next one */
    u32 reason; /* basic reason */
    u64 qualification;
    u64 lin, gpa; /* guest-linear and guest-physical address */
    u32 insn_len;
    u32 insn_info;
    u32 intr_info, intr_error; /* exits due to events */
    u32 vect_info, vect_error; /* the event whose delivery was interrupted */
    bool nmi_unblocked;        /* by an IRET that then faulted */
};

/* cpu->virt_exits */
#define VIRT_INTR 1u /* external interrupts exit, whatever RFLAGS.IF says */
#define VIRT_NMI 2u  /* NMIs exit */
#define VIRT_VNMI 4u /* and blocking by NMI is that of virtual NMIs */

/* virt->boundary(): which of the exits between two instructions */
enum virt_boundary {
    BOUNDARY_TRAP, /* those before a debug trap: TPR below threshold, monitor trap */
    BOUNDARY_EVENT /* those after it: preemption timer, NMI window, interrupt window */
};

/* An instruction that may exit, beside its record. */
struct virt_insn {
    const struct insn *i;
    const struct op_row *row;
    u32 exit;      /* basic reason: enum op_exit */
    u8 width;      /* of its operation: W8 ... W64 */
    bool repeated; /* string instructions: REP */
};

enum virt_intercept {
    INTERCEPT_PASS,  /* the instruction may be executed */
    INTERCEPT_DONE,  /* it has been */
    INTERCEPT_FAULT, /* a fault or an exit is recorded */
};

enum virt_result {
    VIRT_DONE,  /* go on with the next instruction (VMX instructions that succeeded or VMfail'ed) */
    VIRT_FAULT, /* a fault or an exit is recorded */
    VIRT_MOVED  /* VM entry: RIP and mode are the guest's */
};

struct virt_ops {
    /* A VMX instruction; which is its exit reason (VMEXIT_VMXON ...). After decoding's own #UD. */
    enum virt_result (*execute)(struct cpu *cpu, const struct insn *i, u32 which);
    /*
     * Non-root: does this instruction exit? The faults that come
     * before the exit (SDM "Relative Priority of Faults and VM Exits") have been checked by the
     * decoder (#UD, CPL) or are checked in here.
     */
    enum virt_intercept (*intercept)(struct cpu *cpu, const struct virt_insn *vi);
    /* Records are complete; state is saved to the VMCS and the host's loaded. cpu->rip is the
     * guest's RIP to be saved. Clears exit.pending. */
    void (*take_exit)(struct cpu *cpu);
    /*
     * Non-root, an event is about to be delivered (type: enum intr_type). True: it causes an exit,
     * recorded. For external interrupts the vector is not yet known and not yet acknowledged.
     */
    bool (*event)(struct cpu *cpu, u32 type, const struct exception *e);
    /* Non-root: a triple fault. True: an exit is recorded. */
    bool (*triple_fault)(struct cpu *cpu);
    /* Non-root: a task switch to selector sel; cause: enum task_cause. Records the exit. */
    void (*task_switch)(struct cpu *cpu, u16 sel, unsigned cause);
    /*
     * Non-root, between two instructions: exits that wait for their moment. True: one is due, and
     * is recorded if `record`. Called only while cpu->virt_attention is set.
     */
    bool (*boundary)(struct cpu *cpu, enum virt_boundary which, bool record);
    /* A walk ended in an EPT outcome: records the exit. */
    void (*walk_exit)(struct cpu *cpu, u64 lin, const struct walk_out *out);
    /*
     * An access touches the APIC-access page: the host address that it goes to (the virtual-APIC
     * page), NULL: an exit is recorded. acc as for lin_read(), ACC_FETCH for code.
     */
    u8 *(*apic_access)(struct cpu *cpu, u64 lin, unsigned size, unsigned acc);
    /* INIT stays pending: VMX root operation. */
    bool (*init_blocked)(const struct cpu *cpu);
    /* INIT and SIPI: true if they are taken care of (an exit is recorded, or SIPI is blocked). */
    bool (*init)(struct cpu *cpu);
    bool (*sipi)(struct cpu *cpu, u8 vector);
    /* The capability MSRs (480H to 49FH); false: there is no such register. */
    bool (*capability)(const struct cpu *cpu, u32 msr, u64 *value);
    /* May CR0 and CR4 hold this now? VMX operation fixes bits of them. */
    bool (*cr0_valid)(const struct cpu *cpu, u64 val);
    bool (*cr4_valid)(const struct cpu *cpu, u64 val);
    /* What RDTSC adds in non-root operation. */
    u64 (*tsc_offset)(const struct cpu *cpu);
    /*
     * SMI and RSM (SDM "Default Treatment of SMIs and SMM with VMX Operation ..."): VMX operation ends,
     * kept inside, and goes on. rsm: the bits of CR0 that VMX operation fixes to 1 (CR0.PE unless the
     * guest is unrestricted), 0: not in VMX operation.
     */
    void (*smi)(struct cpu *cpu);
    u64 (*rsm)(struct cpu *cpu);
    void (*reset)(struct cpu *cpu);
    void (*snap)(struct cpu *cpu, struct snap *s);
};

#endif
