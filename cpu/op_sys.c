/* SPDX-License-Identifier: MIT */
/* System calls, MSRs, CPUID, time, idling, FS and GS bases, caches. */
#include "cpu/cpuid.h"
#include "cpu/decode.h"
#include "cpu/msr.h"
#include "cpu/op_jump.h"
#include "cpu/segment.h"
#include "cpu/smm.h"

/* ---- SYSCALL, SYSRET, SYSENTER, SYSEXIT: flat segments, descriptors are not read ---- */

#define FLAT_CODE (ATTR_G | ATTR_P | ATTR_S | ATTR_CODE | ATTR_RW | ATTR_ACCESSED)
#define FLAT_DATA (ATTR_G | ATTR_DB | ATTR_P | ATTR_S | ATTR_RW | ATTR_ACCESSED)

static void set_flat(struct cpu *cpu, u64 cs, u64 ss, unsigned cpl, bool wide)
{
    u32 dpl = cpl << 5;
    cpu->seg[SEG_CS] = (struct segment){.limit = UINT32_MAX,
                                        .attr = FLAT_CODE | dpl | (wide ? ATTR_L : ATTR_DB),
                                        .selector = (u16)(cs | cpl)};
    cpu->seg[SEG_SS] =
        (struct segment){.limit = UINT32_MAX, .attr = FLAT_DATA | dpl, .selector = (u16)(ss | cpl)};
}

BODY(do_syscall)
{
    if (!(cpu->efer & EFER_SCE))
        return cpu_fault(cpu, EXC_UD);
    u64 flags = cpu_eflags(cpu) & ~FLAG_RF;
    u64 cs = BITS(cpu->star, 47, 32) & 0xfffc;
    cpu->gpr[RCX] = insn_next_rip(i);
    cpu->gpr[R11] = flags;
    set_rflags(cpu, flags & ~cpu->fmask);
    cpu->no_step = !(cpu->eflags & FLAG_TF);
    set_flat(cpu, cs, cs + 8, 0, true);
    cpu->rip = cpu->lstar;
    cpu_update_mode(cpu);
    return true;
}
SYS_FAMILY(SYS_GO, syscall)

static NOINLINE bool sysret(struct cpu *cpu, bool wide)
{
    if (!(cpu->efer & EFER_SCE))
        return cpu_fault(cpu, EXC_UD);
    if (cpu_cpl(cpu) != 0 || (wide && !cpu_is_canonical(cpu, cpu->gpr[RCX])))
        return cpu_fault_gp(cpu, 0);
    u64 sel = BITS(cpu->star, 63, 48);
    cpu->rip = wide ? cpu->gpr[RCX] : (u32)cpu->gpr[RCX];
    set_rflags(cpu, cpu->gpr[R11] & 0x3c7fd7);
    set_flat(cpu, wide ? sel + 16 : sel, sel + 8, 3, wide);
    cpu_update_mode(cpu);
    return true;
}
static HANDLER(sysret_32)
{
    if (unlikely(!sysret(cpu, false)))
        return insn_fault(cpu, i);
    return op_go(cpu, i);
}
static HANDLER(sysret_64)
{
    if (unlikely(!sysret(cpu, true)))
        return insn_fault(cpu, i);
    return op_go(cpu, i);
}
FAMILY_SIZES(sysret, sysret_32, sysret_32, sysret_64);

BODY(do_sysenter)
{
    (void)i;
    u64 cs = cpu->sysenter_cs & 0xfffc;
    bool wide = cpu_is_long(cpu);
    if (!(cpu->mode & MODE_PE) || !cs)
        return cpu_fault_gp(cpu, 0);
    cpu->eflags &= ~(FLAG_VM | FLAG_IF | FLAG_RF);
    cpu->gpr[RSP] = wide ? cpu->sysenter_esp : (u32)cpu->sysenter_esp;
    cpu->rip = wide ? cpu->sysenter_eip : (u32)cpu->sysenter_eip;
    set_flat(cpu, cs, cs + 8, 0, wide);
    cpu_update_mode(cpu);
    return true;
}
SYS_FAMILY(SYS_GO, sysenter)

static NOINLINE bool sysexit(struct cpu *cpu, bool wide)
{
    u64 cs = cpu->sysenter_cs & 0xfffc;
    if (!(cpu->mode & MODE_PE) || cpu_cpl(cpu) != 0 || !cs)
        return cpu_fault_gp(cpu, 0);
    if (wide && (!cpu_is_canonical(cpu, cpu->gpr[RCX]) || !cpu_is_canonical(cpu, cpu->gpr[RDX])))
        return cpu_fault_gp(cpu, 0);
    cpu->gpr[RSP] = wide ? cpu->gpr[RCX] : (u32)cpu->gpr[RCX];
    cpu->rip = wide ? cpu->gpr[RDX] : (u32)cpu->gpr[RDX];
    cs += wide ? 32 : 16;
    set_flat(cpu, cs, cs + 8, 3, wide);
    cpu_update_mode(cpu);
    return true;
}
static HANDLER(sysexit_32)
{
    if (unlikely(!sysexit(cpu, false)))
        return insn_fault(cpu, i);
    return op_go(cpu, i);
}
static HANDLER(sysexit_64)
{
    if (unlikely(!sysexit(cpu, true)))
        return insn_fault(cpu, i);
    return op_go(cpu, i);
}
FAMILY_SIZES(sysexit, sysexit_32, sysexit_32, sysexit_64);

/* ---- FS and GS bases ---- */

static HANDLER(op_swapgs)
{
    u64 base = cpu->seg[SEG_GS].base;
    cpu->seg[SEG_GS].base = cpu->kernel_gs_base;
    cpu->kernel_gs_base = base;
    NEXT;
}
FAMILY_ONE(swapgs, op_swapgs);

static const struct insn *fsgs_undefined(struct cpu *cpu, const struct insn *i)
{
    cpu_fault(cpu, EXC_UD);
    return insn_fault(cpu, i);
}
static const struct insn *fsgs_not_canonical(struct cpu *cpu, const struct insn *i)
{
    cpu_fault_gp(cpu, 0);
    return insn_fault(cpu, i);
}

#define FSGSBASE(seg_name, id)                                                                     \
    static HANDLER(rd##seg_name##base_32)                                                          \
    {                                                                                              \
        if (unlikely(!(cpu->cr4 & CR4_FSGSBASE)))                                                  \
            return fsgs_undefined(cpu, i);                                                         \
        SET_REG32(cpu, i->rm, cpu->seg[id].base);                                                  \
        NEXT;                                                                                      \
    }                                                                                              \
    static HANDLER(rd##seg_name##base_64)                                                          \
    {                                                                                              \
        if (unlikely(!(cpu->cr4 & CR4_FSGSBASE)))                                                  \
            return fsgs_undefined(cpu, i);                                                         \
        SET_REG64(cpu, i->rm, cpu->seg[id].base);                                                  \
        NEXT;                                                                                      \
    }                                                                                              \
    static HANDLER(wr##seg_name##base_32)                                                          \
    {                                                                                              \
        if (unlikely(!(cpu->cr4 & CR4_FSGSBASE)))                                                  \
            return fsgs_undefined(cpu, i);                                                         \
        cpu->seg[id].base = REG32(cpu, i->rm);                                                     \
        NEXT;                                                                                      \
    }                                                                                              \
    static HANDLER(wr##seg_name##base_64)                                                          \
    {                                                                                              \
        if (unlikely(!(cpu->cr4 & CR4_FSGSBASE)))                                                  \
            return fsgs_undefined(cpu, i);                                                         \
        if (unlikely(!cpu_is_canonical(cpu, REG64(cpu, i->rm))))                                   \
            return fsgs_not_canonical(cpu, i);                                                     \
        cpu->seg[id].base = REG64(cpu, i->rm);                                                     \
        NEXT;                                                                                      \
    }                                                                                              \
    FAMILY_SIZES(rd##seg_name##base, NULL, rd##seg_name##base_32, rd##seg_name##base_64);          \
    FAMILY_SIZES(wr##seg_name##base, NULL, wr##seg_name##base_32, wr##seg_name##base_64);
FSGSBASE(fs, SEG_FS)
FSGSBASE(gs, SEG_GS)

/* ---- MSRs, CPUID ---- */

static void set_edx_eax(struct cpu *cpu, u64 v)
{
    cpu->gpr[RAX] = (u32)v;
    cpu->gpr[RDX] = v >> 32;
}

BODY(do_rdmsr)
{
    u64 v;
    if (!msr_read(cpu, i, (u32)cpu->gpr[RCX], &v))
        return false;
    set_edx_eax(cpu, v);
    return true;
}
SYS_FAMILY(SYS_NEXT, rdmsr)

BODY(do_wrmsr)
{
    return msr_write(cpu, i, (u32)cpu->gpr[RCX], cpu->gpr[RDX] << 32 | (u32)cpu->gpr[RAX]);
}
SYS_FAMILY(SYS_LEAVE, wrmsr)

BODY(do_cpuid)
{
    u32 out[4];
    (void)i;
    cpuid_query(cpu, (u32)cpu->gpr[RAX], (u32)cpu->gpr[RCX], out);
    cpu->gpr[RAX] = out[0];
    cpu->gpr[RBX] = out[1];
    cpu->gpr[RCX] = out[2];
    cpu->gpr[RDX] = out[3];
    return true;
}
SYS_FAMILY(SYS_NEXT, cpuid)

/* ---- Time ---- */

static bool tsc_allowed(struct cpu *cpu)
{
    if ((cpu->cr4 & CR4_TSD) && (cpu->mode & MODE_PE) && cpu_cpl(cpu) > 0)
        return cpu_fault_gp(cpu, 0);
    return true;
}

BODY(do_rdtsc)
{
    if (!tsc_allowed(cpu))
        return false;
    set_edx_eax(cpu, msr_read_tsc(cpu, i));
    return true;
}
SYS_FAMILY(SYS_NEXT, rdtsc)

BODY(do_rdtscp)
{
    if (!tsc_allowed(cpu))
        return false;
    set_edx_eax(cpu, msr_read_tsc(cpu, i));
    cpu->gpr[RCX] = (u32)cpu->tsc_aux;
    return true;
}
SYS_FAMILY(SYS_NEXT, rdtscp)

BODY(do_rdpid)
{
    REG64(cpu, i->rm) = cpu->tsc_aux;
    return true;
}
SYS_FAMILY(SYS_NEXT, rdpid)

/* No model has performance counters yet, so every index is beyond the last. */
BODY(do_rdpmc)
{
    (void)i;
    return cpu_fault_gp(cpu, 0);
}
SYS_FAMILY(SYS_NEXT, rdpmc)

/* ---- Idling ---- */

BODY(do_hlt)
{
    (void)i;
    cpu->activity = ACTIVITY_HLT;
    return true;
}
SYS_FAMILY(SYS_LEAVE, hlt)

#define LINE_SIZE UINT64_C(64)

/* What the monitored line holds, NULL where it is not RAM. */
static const u8 *monitored(const struct cpu *cpu)
{
    return cpu->monitor_hpa == UINT64_MAX ? NULL : ram_host(&cpu->bus->ram, cpu->monitor_hpa);
}

bool cpu_monitor_hit(const struct cpu *cpu)
{
    const u8 *line = monitored(cpu);
    return !line || memcmp(line, cpu->monitor_line, LINE_SIZE) != 0;
}

BODY(do_monitor)
{
    static const u64 masks[4] = {0xffff, UINT32_MAX, UINT64_MAX, UINT64_MAX};
    struct walk_ctx ctx;
    struct walk_out out;
    u64 lin, offset = cpu->gpr[RAX] & masks[EA_SIZE(i)];
    if (cpu_cpl(cpu) != 0)
        return cpu_fault(cpu, EXC_UD);
    if ((u32)cpu->gpr[RCX])
        return cpu_fault_gp(cpu, 0);
    if (!seg_linear(cpu, (enum seg_id)INSN_SEG(i), offset, 1, ACC_READ, &lin) ||
        !lin_probe(cpu, i, lin, 1, ACC_READ))
        return false;
    cpu_walk_ctx(cpu, false, &ctx);
    walk_translate(&ctx, lin, WALK_READ, &out);
    cpu->monitor_hpa = out.result == WALK_OK ? out.hpa & ~(LINE_SIZE - 1) : UINT64_MAX;
    const u8 *line = monitored(cpu);
    if (line)
        memcpy(cpu->monitor_line, line, LINE_SIZE);
    return true;
}
SYS_FAMILY(SYS_NEXT, monitor)

/*
 * An MWAIT may end for any reason of the implementation's. It sleeps where the run loop is sure to
 * wake it: one CPU, with interrupts open; else the guest's idle loop comes round again.
 */
BODY(do_mwait)
{
    (void)i;
    if (cpu_cpl(cpu) != 0)
        return cpu_fault(cpu, EXC_UD);
    if ((u32)cpu->gpr[RCX] & ~1u)
        return cpu_fault_gp(cpu, 0);
    cpu->mwait_masked = cpu->gpr[RCX] & 1;
    if (cpu->monitor_hpa != UINT64_MAX) /* else MWAIT does not wait */
        cpu->activity = ACTIVITY_MWAIT;
    return true;
}
SYS_FAMILY(SYS_LEAVE, mwait)

/* ---- RSM ---- */

static COLD HANDLER(op_rsm)
{
    if (!cpu->smm) {
        cpu_fault(cpu, EXC_UD);
        return insn_fault(cpu, i);
    }
    cpu->no_step = true;
    if (smm_leave(cpu))
        return insn_leave_at(cpu, i, cpu->rip);
    return insn_leave(cpu, i);
}
FAMILY_ONE(rsm, op_rsm);

/* ---- Caches (none are modelled), undefined instructions ---- */

BODY(do_wbinvd)
{
    (void)cpu;
    (void)i;
    return true;
}
SYS_FAMILY(SYS_NEXT, wbinvd)

FAMILY_ONE(ud, op_ud);
