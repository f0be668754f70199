/* SPDX-License-Identifier: MIT */
/* One processor: architectural state and the run-time state of its interpreter. */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include "base/clock.h"
#include "base/log.h"
#include "base/snap.h"
#include "base/types.h"
#include "cpu/insn.h"
#include "cpu/spin.h"
#include "cpu/virt.h"
#include "mmu/bus.h"
#include "mmu/tlb.h"
#include "mmu/walk.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };
enum seg_id { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEG_COUNT };

/* Byte offset of the always-zero register that stands for an absent base or index. */
#define ZERO_OFFSET 128

/* EFLAGS */
#define FLAG_CF BIT(0)
#define FLAG_1 BIT(1)
#define FLAG_PF BIT(2)
#define FLAG_AF BIT(4)
#define FLAG_ZF BIT(6)
#define FLAG_SF BIT(7)
#define FLAG_TF BIT(8)
#define FLAG_IF BIT(9)
#define FLAG_DF BIT(10)
#define FLAG_OF BIT(11)
#define FLAG_IOPL_SHIFT 12
#define FLAG_IOPL (3 * BIT(12))
#define FLAG_NT BIT(14)
#define FLAG_RF BIT(16)
#define FLAG_VM BIT(17)
#define FLAG_AC BIT(18)
#define FLAG_VIF BIT(19)
#define FLAG_VIP BIT(20)
#define FLAG_ID BIT(21)
#define FLAGS_STATUS (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

#define CR0_PE BIT(0)
#define CR0_MP BIT(1)
#define CR0_EM BIT(2)
#define CR0_TS BIT(3)
#define CR0_ET BIT(4)
#define CR0_NE BIT(5)
#define CR0_WP BIT(16)
#define CR0_AM BIT(18)
#define CR0_NW BIT(29)
#define CR0_CD BIT(30)
#define CR0_PG BIT(31)

#define CR4_VME BIT(0)
#define CR4_PVI BIT(1)
#define CR4_TSD BIT(2)
#define CR4_DE BIT(3)
#define CR4_PSE BIT(4)
#define CR4_PAE BIT(5)
#define CR4_MCE BIT(6)
#define CR4_PGE BIT(7)
#define CR4_PCE BIT(8)
#define CR4_OSFXSR BIT(9)
#define CR4_OSXMMEXCPT BIT(10)
#define CR4_UMIP BIT(11)
#define CR4_LA57 BIT(12)
#define CR4_VMXE BIT(13)
#define CR4_SMXE BIT(14)
#define CR4_FSGSBASE BIT(16)
#define CR4_PCIDE BIT(17)
#define CR4_OSXSAVE BIT(18)
#define CR4_SMEP BIT(20)
#define CR4_SMAP BIT(21)
#define CR4_PKE BIT(22)
#define CR4_CET BIT(23)
#define CR4_PKS BIT(24)

#define EFER_SCE BIT(0)
#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)
#define EFER_NXE BIT(11)

enum vector {
    EXC_DE,
    EXC_DB,
    EXC_NMI,
    EXC_BP,
    EXC_OF,
    EXC_BR,
    EXC_UD,
    EXC_NM,
    EXC_DF,
    EXC_TS = 10,
    EXC_NP,
    EXC_SS,
    EXC_GP,
    EXC_PF,
    EXC_MF = 16,
    EXC_AC,
    EXC_MC,
    EXC_XM,
    EXC_VE,
    EXC_CP
};

/*
 * A segment register with its hidden part. `attr` has the layout of the VMCS access-rights fields
 * (SDM "Guest Register State"): type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15, unusable
 * 16. limit is in bytes, granularity applied.
 */
struct segment {
    u64 base;
    u32 limit;
    u32 attr;
    u16 selector;
};
#define ATTR_TYPE 0x0fu
#define ATTR_CODE 0x08u
#define ATTR_CONFORMING 0x04u  /* code */
#define ATTR_EXPAND_DOWN 0x04u /* data */
#define ATTR_RW 0x02u          /* readable code, writable data */
#define ATTR_ACCESSED 0x01u
#define ATTR_S 0x10u
#define ATTR_DPL(a) (((a) >> 5) & 3)
#define ATTR_P 0x80u
#define ATTR_AVL 0x1000u
#define ATTR_L 0x2000u
#define ATTR_DB 0x4000u
#define ATTR_G 0x8000u
#define ATTR_UNUSABLE 0x10000u

struct dtable {
    u64 base;
    u32 limit;
};

/*
 * The lazily evaluated arithmetic flags. dst and src are sign-extended to 64 bits from the width of
 * the operation, so ZF is dst == 0, SF is dst < 0 and PF the parity of dst's low byte for every
 * operation but CC_EFLAGS. The width is in the low two bits of the operation: CC_ADD + W32.
 */
enum cc_op {
    CC_EFLAGS = 0, /* src: the six status flags at their EFLAGS positions */
    CC_ADD = 4,    /* dst = a + src */
    CC_ADC = 8,    /* dst = a + src + 1 (a carry came in; without one it is CC_ADD) */
    CC_SUB = 12,   /* dst = a - src; also CMP */
    CC_SBB = 16,   /* dst = a - src - 1 */
    CC_LOGIC = 20, /* CF = OF = AF = 0 */
    CC_INC = 24,   /* src: old CF (0 or 1) */
    CC_DEC = 28,   /* src: old CF */
    CC_SHL = 32,   /* src: operand before the last one-bit step; OF as for a count of 1; AF 0 */
    CC_SHR = 36,   /* src: operand before the last one-bit step (zero-extended value's sign ext.) */
    CC_SAR = 40,
    CC_MUL = 44, /* src: 1 if CF = OF = 1; dst: low half; AF = 0 */
    CC_COUNT = 48
};

/* Why cpu->pending is not zero. */
enum {
    PEND_INTR = 1, /* the local APIC or the 8259 has an interrupt to deliver */
    PEND_NMI = 2,
    PEND_SMI = 4, /* waits while cpu->smm */
    PEND_INIT = 8,
    PEND_SIPI = 16,
    PEND_VIRT = 32, /* an exit waits for a boundary: cpu->virt_attention */
};

enum cpu_activity {
    ACTIVITY_RUN,
    ACTIVITY_HLT,
    ACTIVITY_SHUTDOWN,
    ACTIVITY_WAIT_SIPI,
    ACTIVITY_MWAIT
};

/* A fault, trap or interrupt on its way to the guest's IDT. */
struct exception {
    bool pending;
    u8 vector;
    bool has_error;
    u32 error;
    u64 cr2;   /* #PF: linear address, written to CR2 when delivered */
    u64 dr6;   /* #DB: bits to set in DR6 when delivered */
    bool trap; /* #DB as a trap: RF is pushed as it is, not set */
    /* For VM exits: the event during whose delivery it struck (SDM "IDT-Vectoring Information"), the
     * length of the instruction, and whether that was an IRET which had ended NMI blocking. */
    u32 vect_info, vect_error;
    u32 insn_len;
    bool nmi_unblocked;
};

struct xmm_reg {
    u64 q[8]; /* 512 bits: XMM low 128, YMM low 256 */
};

/* x87 register in the 80-bit format, kept apart as significand and sign+exponent. */
struct x87_reg {
    u64 mant;
    u16 se;
};

/* What an SMI keeps inside the processor, beside the save area in SMRAM. */
struct smm_hidden {
    u64 pdpte[4]; /* they stay what they are unless the handler changes CR3; */
    u64 cr3;      /* ~0: they were not in use */
    u64 debug_hits;
    bool vmxe; /* CR4.VMXE */
    bool nmi_blocked;
    bool vm86; /* RFLAGS.VM and SS.DPL: restored where RSM returns to VMX operation */
    u8 ss_dpl;
};

/* The I/O instruction during which an SMI came, if it is taken at tick `until`: cpu/smm.h. */
struct smm_io {
    u32 what; /* 0: none */
    u64 until;
    u64 rip, rcx, rsi, rdi; /* as before the access */
};

struct lapic;
struct vmx;
struct block_cache;
struct cpu_model;
struct machine_ops;
struct cpu_probe;

struct cpu {
    /* Reached by one-byte offsets in records: keep first and in this order. */
    u64 gpr[16];
    u64 zero; /* offset ZERO_OFFSET; never written */

    /* Hot: touched by handlers. */
    struct tlb_entry *tlb; /* entries of the current context */
    s64 budget;            /* instructions until the run loop must see to events, less BLOCK_MAX */
    u64 cc_dst, cc_src;
    u32 cc_op;
    u32 mode;     /* MODE_*, without MODE_SINGLE */
    u64 jump_key; /* jump-cache generation of the current context */
    struct tlb_ctx *ctx;
    u64 rip;    /* valid in the run loop and in slow paths after insn_commit() */
    u64 eflags; /* all but the six status flags, which are zero here; bit 1 set */
    struct segment seg[SEG_COUNT];
    bool leave;         /* a slow path asks to return to the run loop after this instruction */
    bool irq_shadow;    /* STI or MOV SS just executed: nothing is delivered before the next */
    bool mov_ss_shadow; /* of those, MOV SS / POP SS: debug traps are held too */
    u8 activity;        /* enum cpu_activity */
    u32 pending;        /* PEND_* */
    u64 time_base;      /* clock tick = time_base - budget (+ i->n inside a block) */
    u64 delivered_at;   /* tick of the last exception's delivery */
    u64 debug_hits;     /* DR6 bits of a trap-class #DB due after this instruction */
    bool no_step;       /* the instruction (INT n, SYSCALL ...) left no single-step trap behind */
    struct exception exc;

    /* Control state */
    u64 cr0, cr2, cr3, cr4, cr8, xcr0;
    u64 dr[8];
    struct dtable gdtr, idtr;
    u64 pdpte[4];
    bool nmi_blocked;
    u32 pkru;
    u32 mxcsr;
    struct xmm_reg xmm[32];
    u64 opmask[8];

    /* x87: st[] is physical (not rotated); tag bit set = empty */
    struct x87_reg st[8];
    u16 fcw, fsw; /* TOP lives in fsw bits 13:11 */
    u8 ftw_empty; /* bit n: physical register n is empty */
    u16 fop;
    u64 fip, fdp;
    u16 fcs, fds;

    /* MSRs that are plain storage or feed the above (cpu/msr.def names them) */
    u64 efer, star, lstar, cstar, fmask, kernel_gs_base, tsc_aux;
    u64 sysenter_cs, sysenter_esp, sysenter_eip;
    u64 apic_base, pat;
    u64 tsc_offset; /* TSC = ticks + tsc_offset (IA32_TIME_STAMP_COUNTER, TSC_ADJUST) */
    u64 tsc_adjust;
    u64 *msr; /* storage of the rows of cpu/msr.def, by row */

    /* MONITOR */
    bool mwait_masked;   /* the MWAIT under way ends with masked interrupts, too */
    u64 monitor_hpa;     /* of the line, ~0: not armed */
    u8 monitor_line[64]; /* what it held then */

    struct spin_state spin;

    /* System-management mode */
    bool smm;
    u32 smbase;
    struct smm_hidden smm_hidden;
    struct smm_io smm_io;

    /* Surroundings */
    unsigned index; /* 0 is the bootstrap processor */
    struct bus *bus;
    struct clock *clock;
    struct tlb tlb_store;
    struct block_cache *blocks; /* shared by all CPUs of the machine */
    struct lapic *lapic;
    const struct cpu_model *model;
    const struct virt_ops *virt; /* set when the model has VMX */
    struct vmx *vmx;             /* the state of vmx/; NULL without */
    struct vm_exit exit;
    bool nonroot;        /* VMX non-root operation; cpu_update_mode() makes MODE_NONROOT of it */
    bool virt_attention; /* virt->boundary() wants to be asked */
    bool virt_step;      /* and after each instruction */
    bool after_mov_ss;   /* the instruction under way follows MOV SS or POP SS: no VM entry */
    u8 virt_exits;       /* VIRT_*: what events do in non-root operation */
    u16 vpid;            /* current VPID, 0 outside non-root operation or without VPIDs */
    u64 eptp;            /* EPT pointer in force, 0: none */
    u64 apic_access;     /* physical address of the APIC-access page in force, ~0: none */
    bool delivering;     /* an event is being delivered through the IDT */
    bool pml_on;
    struct walk_pml pml; /* page-modification log in force */
    struct cpu_group *group;
    void *user;      /* the frontend's */
    bool probe_step; /* for the probe: ask at PROBE_BOUNDARY after each instruction */

    /* Statistics */
    u64 insns; /* retired by this CPU, up to the last return to the run loop */
    u64 exceptions, interrupts, slow_accesses, lookups;
};
_Static_assert(offsetof(struct cpu, zero) == ZERO_OFFSET, "records count on it");

#define REG8(cpu, off) (*(u8 *)((char *)(cpu) + (off)))
#define REG16(cpu, off) (*(u16 *)(void *)((char *)(cpu) + (off)))
#define REG32(cpu, off) (*(u32 *)(void *)((char *)(cpu) + (off)))
#define REG64(cpu, off) (*(u64 *)(void *)((char *)(cpu) + (off)))

static inline unsigned cpu_cpl(const struct cpu *cpu)
{
    return cpu->mode & MODE_CPL;
}

/* A CPU's turn. One that was stopped in its middle goes on as if nothing had been. */
struct cpu_slice {
    u64 end;        /* tick; 0: none is under way */
    u64 sample_end; /* until then the CPU is suspected of spinning, if it then still is where it was: */
    u64 rip, rsp;
};

/* The machine's processors and what they share; run by cpu_group_run() (cpu/run.c). */
struct cpu_group {
    struct cpu **cpu;
    unsigned count;
    struct clock *clock;
    struct bus *bus;
    struct block_cache *blocks;
    u64 insn_limit;      /* stop at this clock tick (functional: instructions); CLOCK_NEVER: none */
    unsigned turn;       /* whose slice is next */
    struct cpu *running; /* the one inside its slice, NULL between slices */
    bool resched;        /* ends the running CPU's slice (IPI sent, another CPU woken) */
    int stop;            /* enum cpu_stop: set by devices and faults to end the run */
    u32 exit_value;      /* STOP_DEBUG_EXIT: the value written to port 0xf4 */
    char stop_text[256]; /* STOP_TRIPLE_FAULT: where */
    /* 8259: vector for an ExtINT interrupt acknowledged by a CPU; -1 none (contract: `irq_chip`) */
    int (*extint_ack)(void *opaque);
    void *extint_opaque;
    /* All CPUs idle: let host time pass until tick `when`, or poll input. May be NULL. */
    void (*idle)(void *opaque, u64 when);
    void *idle_opaque;
    const struct cpu_probe *probe; /* a debugger's; NULL: none. probe_set() */
    struct cpu *alone;             /* the only CPU that runs; NULL: all */
    struct cpu_slice slice;        /* of the CPU whose turn it is */
};

enum cpu_stop {
    STOP_NONE,
    STOP_LIMIT,
    STOP_POWEROFF,
    STOP_RESET,
    STOP_DEBUG_EXIT,
    STOP_TRIPLE_FAULT,
    STOP_USER,
    STOP_SAVE,
    STOP_DEBUG, /* cpu_group_run() called anew goes on as if it had not stopped */
    STOP_IDLE,  /* halted with no event to come */
    STOP_PANIC  /* the guest said that it has panicked */
};

/* ---- cpu/cpu.c ---- */
struct cpu *cpu_new(struct cpu_group *group, unsigned index, const struct cpu_model *model);
void cpu_free(struct cpu *cpu);
/* State after RESET (SDM "Processor State After Reset"); init: after INIT (keeps what INIT keeps). */
void cpu_reset(struct cpu *cpu, bool init);
void cpu_snap(struct cpu *cpu, struct snap *s);

/*
 * Recomputes cpu->mode, the walk context and the TLB context after a change of CR0, CR3, CR4, EFER,
 * CPL, CS, SS, EFLAGS.AC/VM, PKRU, XCR0. Cheap; must follow every such change before the guest runs on.
 * The caller's instruction must end its block (leave through insn_leave).
 */
void cpu_update_mode(struct cpu *cpu);
/* Has the monitored line been written since MONITOR? An MWAIT then ends (or does not wait). */
bool cpu_monitor_hit(const struct cpu *cpu);
/* The walk context of the current mode. implicit: supervisor access to a descriptor table etc. */
void cpu_walk_ctx(struct cpu *cpu, bool implicit_super, struct walk_ctx *ctx);

/* ---- cpu/flags.c ---- */
u64 cpu_status_flags(const struct cpu *cpu); /* the six status flags, evaluated */
u64 cpu_eflags(const struct cpu *cpu);       /* the whole RFLAGS image */
void cpu_set_status_flags(struct cpu *cpu, u64 flags);
/* Writes all of RFLAGS (no privilege rules); calls cpu_update_mode when AC or VM changed. */
void cpu_set_eflags(struct cpu *cpu, u64 eflags);
bool cpu_condition(const struct cpu *cpu, unsigned cc); /* cc: low nibble of Jcc opcode */

/* ---- faults: cpu/fault.c ---- */
/*
 * Record a fault of the current instruction; nothing of it may have been committed. They always
 * return false, so helpers can `return cpu_fault_gp(cpu, 0)`. The handler then ends with
 * `return insn_fault(cpu, i)`.
 */
bool cpu_fault(struct cpu *cpu, enum vector vector); /* without error code */
bool cpu_fault_err(struct cpu *cpu, enum vector vector, u32 error);
bool cpu_fault_page(struct cpu *cpu, u64 lin, u32 error);
static inline bool cpu_fault_gp(struct cpu *cpu, u32 error)
{
    return cpu_fault_err(cpu, EXC_GP, error);
}
/* Delivers cpu->exc through the IDT: double and triple faults included. cpu->rip is the saved RIP. */
void cpu_deliver_exception(struct cpu *cpu);
enum event_kind {
    EVENT_EXTERNAL,
    EVENT_NMI,
    EVENT_FAULT,
    EVENT_SOFT_INT /* INT n */,
    EVENT_SOFT_EXC /* INT3, INTO */,
    EVENT_PRIV_SOFT /* INT1 */
};
/* The same for an exception that VM entry injects: it causes no exit and sets no register. */
void cpu_inject_exception(struct cpu *cpu, u8 vector, bool has_error, u32 error);
/* Delivers one event. cpu->rip must be the return address. False: a fault is pending in cpu->exc. */
bool cpu_deliver(struct cpu *cpu, enum event_kind kind, u8 vector, bool has_error, u32 error);

/* ---- cpu/run.c ---- */
/* Runs the machine until group->stop. */
void cpu_group_run(struct cpu_group *group);
/* Exact tick of the instruction being executed; i may be NULL in the run loop. */
u64 cpu_now(const struct cpu *cpu, const struct insn *i);
/* An event line changed: makes the running CPU return to its run loop after this instruction. */
void cpu_raise_pending(struct cpu *cpu, u32 pend);
void cpu_clear_pending(struct cpu *cpu, u32 pend);
/* Acknowledges the foremost external interrupt; its vector, or -1 if there is none after all. */
int cpu_ack_interrupt(struct cpu *cpu);

#endif
