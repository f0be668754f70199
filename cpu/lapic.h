/* SPDX-License-Identifier: MIT */
/*
 * The local APIC (SDM "Advanced Programmable Interrupt Controller (APIC)"), one for each CPU.
 *
 * It keeps cpu->pending up to date: PEND_INTR while there is an interrupt that lapic_ack() would
 * give, PEND_NMI, PEND_SMI, PEND_INIT and PEND_SIPI when one has been accepted. clock->now must be exact when
 * a function of this header is called.
 */
#ifndef CPU_LAPIC_H
#define CPU_LAPIC_H

#include "base/snap.h"
#include "base/types.h"
#include "mmu/bus.h"

struct cpu;
struct cpu_group;
struct lapic;

#define LAPIC_DEFAULT_BASE UINT64_C(0xfee00000)

#define APIC_BASE_BSP BIT(8)
#define APIC_BASE_EXTD BIT(10)
#define APIC_BASE_EN BIT(11)

/* lapic_ack(): the vector comes from the 8259 (group->extint_ack). */
#define LAPIC_EXTINT (-1)

/* Called by cpu_new() and cpu_free(). Sets cpu->lapic. cpu->model, clock and group must be set. */
struct lapic *lapic_new(struct cpu *cpu);
void lapic_free(struct lapic *lapic);
/* Called by cpu_reset(), after cpu->apic_base has been set for RESET (INIT keeps that and the ID). */
void lapic_reset(struct lapic *lapic, bool init);
void lapic_snap(struct lapic *lapic, struct snap *s);

/* Maps the registers of all CPUs' local APICs: once, when the group's CPUs exist. */
void lapic_map(struct cpu_group *group);

/*
 * What firmware leaves: enabled, LINT0 ExtINT on the bootstrap processor (masked on others), LINT1
 * NMI. For a direct boot.
 */
void lapic_virtual_wire(struct lapic *lapic);

/* ---- From the CPU ---- */
bool lapic_is_bsp(const struct lapic *lapic);
u32 lapic_id(const struct lapic *lapic); /* 32 bits in x2APIC mode, else 8 */
bool lapic_has_interrupt(const struct lapic *lapic);
/* Accepts the foremost interrupt: its vector moves from IRR to ISR; or LAPIC_EXTINT. */
int lapic_ack(struct lapic *lapic);
u8 lapic_sipi_vector(const struct lapic *lapic);

/* CR8 is bits 7:4 of the TPR; cpu->cr8 mirrors it. v: 0 to 15. */
u64 lapic_cr8(const struct lapic *lapic);
void lapic_set_cr8(struct lapic *lapic, u64 v);

/* IA32_APIC_BASE. False: #GP (reserved bits, mode transition that is not allowed). */
bool lapic_set_base(struct lapic *lapic, u64 value);
/* IA32_TSC_DEADLINE. */
u64 lapic_tsc_deadline(const struct lapic *lapic);
void lapic_set_tsc_deadline(struct lapic *lapic, u64 value);
/* TSC or TSC_ADJUST was written: the deadline's tick has moved. */
void lapic_tsc_changed(struct lapic *lapic);
/* MSRs 800H to 8FFH. False: #GP. */
bool lapic_msr_read(struct lapic *lapic, u32 index, u64 *val);
bool lapic_msr_write(struct lapic *lapic, u32 index, u64 val);

/* ---- From the system ---- */
enum apic_delivery {
    APIC_FIXED,
    APIC_LOWEST,
    APIC_SMI,
    APIC_NMI = 4,
    APIC_INIT,
    APIC_STARTUP,
    APIC_EXTINT
};

/* An interrupt message. `wide`: dest has 32 bits (from an x2APIC ICR), else 8. */
struct lapic_msg {
    u32 dest;
    u8 vector;
    u8 delivery; /* enum apic_delivery */
    bool logical, wide;
    bool deassert; /* INIT level de-assert */
    bool level;    /* level triggered: an EOI is broadcast */
};

/* False: no local APIC accepted it. */
bool lapic_deliver(struct cpu_group *group, const struct lapic_msg *msg);
/* A write of `data` to an address in 0xfee00000 to 0xfeefffff by a device (SDM "Message Signalled
 * Interrupts"). */
void lapic_msi(struct cpu_group *group, u64 address, u32 data);

/*
 * The wires LINT0 (the 8259's INTR) and LINT1 (NMI), which reach all CPUs. lapic_intr_set() has the
 * shape of irq_line.set: opaque is the group, input 0 or 1.
 */
void lapic_intr_set(void *opaque, unsigned input, bool level);

/* The I/O APIC's ear for EOI messages of level-triggered vectors. Once the CPUs exist. */
void lapic_listen_eoi(struct cpu_group *group, void (*eoi)(void *opaque, u8 vector), void *opaque);

#endif
