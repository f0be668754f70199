/* SPDX-License-Identifier: MIT */
/* What the files of the local APIC share: registers and timer of one of them. */
#ifndef CPU_LAPIC_STATE_H
#define CPU_LAPIC_STATE_H

#include "base/clock.h"
#include "cpu/cpu.h"
#include "cpu/cpuid.h"
#include "cpu/lapic.h"

/* Register numbers: MMIO offset / 16, and x2APIC MSR index less 800H. */
enum apic_reg {
    APIC_ID = 0x02,
    APIC_VERSION = 0x03,
    APIC_TPR = 0x08,
    APIC_APR = 0x09,
    APIC_PPR = 0x0a,
    APIC_EOI = 0x0b,
    APIC_RRD = 0x0c,
    APIC_LDR = 0x0d,
    APIC_DFR = 0x0e,
    APIC_SVR = 0x0f,
    APIC_ISR = 0x10,
    APIC_TMR = 0x18,
    APIC_IRR = 0x20,
    APIC_ESR = 0x28,
    APIC_LVT_CMCI = 0x2f,
    APIC_ICR_LOW = 0x30,
    APIC_ICR_HIGH = 0x31,
    APIC_LVT_TIMER = 0x32, /* to APIC_LVT_ERROR: consecutive */
    APIC_LVT_ERROR = 0x37,
    APIC_INITIAL_COUNT = 0x38,
    APIC_CURRENT_COUNT = 0x39,
    APIC_DIVIDE = 0x3e,
    APIC_SELF_IPI = 0x3f
};

/* Entries of the local vector table, by register order with CMCI last. */
enum lvt { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_CMCI, LVT_COUNT };
#define LVT_MASKED BIT32(16)
#define LVT_REMOTE_IRR BIT32(14)
#define LVT_LEVEL BIT32(15)
#define LVT_MODE(lvt) (((lvt) >> 8) & 7)
#define LVT_TIMER_MODE(lvt) (((lvt) >> 17) & 3)
enum { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_DEADLINE };

#define SVR_ENABLE BIT32(8)

#define ESR_SEND_ILLEGAL BIT32(5)
#define ESR_RECEIVE_ILLEGAL BIT32(6)
#define ESR_REGISTER BIT32(7)

struct lapic {
    struct cpu *cpu;
    u32 id;   /* x2APIC ID */
    u64 base; /* where the registers are mapped for this CPU; 0 before the first reset */
    u32 tpr, ldr, dfr, svr;
    u32 esr, esr_next; /* as read; collected since the last write to ESR */
    u32 icr_low, icr_high;
    u32 lvt[LVT_COUNT];
    u32 irr[8], isr[8], tmr[8];
    u8 sipi_vector;
    bool lint[2];    /* levels of the wires */
    bool extint_msg; /* an ExtINT message waits to be acknowledged */

    /*
     * Timer. While it runs, the current period began base_units crystal cycles after base_tick and
     * lasts count * divisor cycles, so that periods don't drift by rounding.
     */
    u32 initial_count, divide;
    u32 count; /* 0: stopped */
    u64 base_tick, base_units;
    u64 deadline; /* IA32_TSC_DEADLINE, 0: disarmed */
    struct clock_event timer;

    void (*eoi)(void *opaque, u8 vector);
    void *eoi_opaque;
};

static inline bool lapic_enabled(const struct lapic *l)
{
    return l->cpu->apic_base & APIC_BASE_EN;
}
static inline bool lapic_x2apic(const struct lapic *l)
{
    return (l->cpu->apic_base & (APIC_BASE_EN | APIC_BASE_EXTD)) == (APIC_BASE_EN | APIC_BASE_EXTD);
}
static inline bool lapic_software_enabled(const struct lapic *l)
{
    return l->svr & SVR_ENABLE;
}

/* ---- cpu/lapic.c ---- */
/* Sets or clears PEND_INTR after any change of IRR, ISR, TPR, LINT or enabling. */
void lapic_update(struct lapic *l);
/* A fixed interrupt arrives. */
void lapic_accept(struct lapic *l, u8 vector, bool level);
/* An entry of the local vector table is triggered. */
void lapic_local(struct lapic *l, enum lvt n);
void lapic_error(struct lapic *l, u32 esr_bit);
u32 lapic_ppr(const struct lapic *l);
void lapic_end_of_interrupt(struct lapic *l);

/* ---- cpu/lapic_timer.c ---- */
void lapic_timer_init(struct lapic *l);
void lapic_timer_reset(struct lapic *l);
void lapic_timer_set_count(struct lapic *l, u32 initial);
void lapic_timer_set_divide(struct lapic *l, u32 divide);
u32 lapic_timer_current(const struct lapic *l);
/* After a write to the LVT entry, whose value was `old`. */
void lapic_timer_mode(struct lapic *l, u32 old);

/* ---- cpu/lapic_bus.c ---- */
/* What a write to the interrupt command register asks for. */
void lapic_send(struct lapic *l, u32 low, u32 dest);

/* ---- cpu/lapic_regs.c ---- */
/* After IA32_APIC_BASE has moved from old: the registers answer where the new one says. */
void lapic_moved(struct cpu_group *group, u64 old);

#endif
