/* SPDX-License-Identifier: MIT */
/* Control and debug registers, XCR0, PKRU, EFLAGS.AC; invalidation of translations. */
#include "cpu/control.h"
#include "cpu/cpuid.h"
#include "cpu/lapic.h"
#include "cpu/msr.h"
#include "cpu/op_jump.h"
#include "cpu/segment.h"

/* Operands of MOV CR and DR: 64 bits in 64-bit mode, else 32, whatever the prefixes. */
static u64 get_reg(const struct cpu *cpu, const struct insn *i)
{
    u64 v = REG64(cpu, i->rm);
    return cpu->mode & MODE_64 ? v : (u32)v;
}

static void set_reg(struct cpu *cpu, const struct insn *i, u64 v)
{
    REG64(cpu, i->rm) = cpu->mode & MODE_64 ? v : (u32)v;
}

/* The local APIC wants the exact time. */
static void sync_clock(struct cpu *cpu, const struct insn *i)
{
    cpu->clock->now = cpu_now(cpu, i);
}

/* ---- Control registers ---- */

BODY(do_mov_from_cr)
{
    switch (i->reg) {
    case 0:
        set_reg(cpu, i, cpu->cr0);
        return true;
    case 2:
        set_reg(cpu, i, cpu->cr2);
        return true;
    case 3:
        set_reg(cpu, i, cpu->cr3);
        return true;
    case 4:
        set_reg(cpu, i, cpu->cr4);
        return true;
    case 8:
        set_reg(cpu, i, lapic_cr8(cpu->lapic));
        return true;
    default:
        return cpu_fault(cpu, EXC_UD);
    }
}
SYS_FAMILY(SYS_NEXT, mov_from_cr)

BODY(do_mov_to_cr)
{
    u64 v = get_reg(cpu, i);
    switch (i->reg) {
    case 0:
        return cpu_write_cr0(cpu, v);
    case 2:
        cpu->cr2 = v;
        return true;
    case 3:
        return cpu_write_cr3(cpu, v);
    case 4:
        return cpu_write_cr4(cpu, v);
    case 8:
        sync_clock(cpu, i);
        return cpu_write_cr8(cpu, v);
    default:
        return cpu_fault(cpu, EXC_UD);
    }
}
SYS_FAMILY(SYS_LEAVE, mov_to_cr)

BODY(do_clts)
{
    (void)i;
    cpu->cr0 &= ~CR0_TS;
    cpu_update_mode(cpu);
    return true;
}
SYS_FAMILY(SYS_LEAVE, clts)

/* LMSW sets PE but can't clear it. */
static bool lmsw(struct cpu *cpu, u16 v)
{
    u64 low = CR0_MP | CR0_EM | CR0_TS;
    return cpu_write_cr0(cpu, (cpu->cr0 & ~low) | (v & (low | CR0_PE)));
}
BODY(lmsw_reg_body)
{
    return lmsw(cpu, REG16(cpu, i->rm));
}
BODY(lmsw_mem_body)
{
    u16 v;
    return mem_read16(cpu, i, &v) && lmsw(cpu, v);
}
SYS_LEAVE(lmsw_reg, lmsw_reg_body)
SYS_LEAVE(lmsw_mem, lmsw_mem_body)
const struct op_family fam_lmsw = {{{FORMS_TWO(lmsw_reg, lmsw_mem), FORMS_TWO(lmsw_reg, lmsw_mem),
                                     FORMS_TWO(lmsw_reg, lmsw_mem), FORMS_TWO(lmsw_reg, lmsw_mem)},
                                    {{0}}}};

/* ---- Debug registers ---- */

#define DR6_FIXED UINT64_C(0xffff0ff0)
#define DR6_WRITABLE UINT64_C(0xe00f)
#define DR6_BD BIT(13)
#define DR7_GD BIT(13)
#define DR7_FIXED UINT64_C(0x400)
#define DR7_WRITABLE UINT64_C(0xffff23ff)

/* DR4 and DR5 are other names of DR6 and DR7 unless CR4.DE makes them undefined. */
static bool debug_register(struct cpu *cpu, unsigned *n)
{
    bool alias = *n == 4 || *n == 5;
    if (*n > 7 || (alias && (cpu->cr4 & CR4_DE)))
        return cpu_fault(cpu, EXC_UD);
    *n = (*n & 7) + (alias ? 2 : 0);
    if (cpu->dr[7] & DR7_GD) {
        cpu_fault(cpu, EXC_DB);
        cpu->exc.dr6 = DR6_BD;
        return false;
    }
    return true;
}

BODY(do_mov_from_dr)
{
    unsigned n = i->reg;
    if (!debug_register(cpu, &n))
        return false;
    set_reg(cpu, i, cpu->dr[n & 7]);
    return true;
}
SYS_FAMILY(SYS_NEXT, mov_from_dr)

BODY(do_mov_to_dr)
{
    unsigned n = i->reg;
    u64 v = get_reg(cpu, i);
    if (!debug_register(cpu, &n))
        return false;
    if (n >= 6 && (v >> 32))
        return cpu_fault_gp(cpu, 0);
    if (n == 6)
        v = (v & DR6_WRITABLE) | DR6_FIXED;
    if (n == 7)
        v = (v & DR7_WRITABLE) | DR7_FIXED;
    cpu->dr[n & 7] = v;
    /* Pages with data breakpoints stay out of the TLB. */
    if (n != 6 && (cpu->dr[7] & 0xff))
        tlb_flush_all(&cpu->tlb_store);
    cpu_update_mode(cpu);
    return true;
}
SYS_FAMILY(SYS_LEAVE, mov_to_dr)

/* ---- Translations ---- */

static u16 current_pcid(const struct cpu *cpu)
{
    return cpu->cr4 & CR4_PCIDE ? cpu->cr3 & 0xfff : 0;
}

/* No access, so no check: a non-canonical address makes it a NOP. */
BODY(do_invlpg)
{
    u64 lin = mem_unchecked_linear(cpu, i);
    if (!(cpu->mode & MODE_64) || cpu_is_canonical(cpu, lin))
        tlb_flush_page(&cpu->tlb_store, cpu->vpid, current_pcid(cpu), lin);
    cpu_update_mode(cpu);
    return true;
}
SYS_FAMILY(SYS_LEAVE, invlpg)

enum { INVPCID_ADDRESS, INVPCID_SINGLE, INVPCID_ALL_GLOBAL, INVPCID_ALL };

static bool invpcid_valid(const struct cpu *cpu, u64 type, const u64 desc[2])
{
    if (type > INVPCID_ALL || (desc[0] >> 12))
        return false;
    if (type <= INVPCID_SINGLE && desc[0] && !(cpu->cr4 & CR4_PCIDE))
        return false;
    return type != INVPCID_ADDRESS || cpu_is_canonical(cpu, desc[1]);
}

BODY(do_invpcid)
{
    u64 type = REG64(cpu, i->reg), desc[2];
    struct tlb *tlb = &cpu->tlb_store;
    if (!(cpu->mode & MODE_64))
        type = (u32)type;
    if (!mem_read(cpu, i, desc, sizeof(desc)))
        return false;
    if (!invpcid_valid(cpu, type, desc))
        return cpu_fault_gp(cpu, 0);
    switch (type) {
    case INVPCID_ADDRESS:
        tlb_flush_page(tlb, cpu->vpid, (int)desc[0], desc[1]);
        break;
    case INVPCID_SINGLE:
        tlb_flush_space(tlb, cpu->vpid, (int)desc[0], true);
        break;
    case INVPCID_ALL_GLOBAL:
        tlb_flush_space(tlb, cpu->vpid, -1, false);
        break;
    default:
        tlb_flush_space(tlb, cpu->vpid, -1, true);
        break;
    }
    cpu_update_mode(cpu);
    return true;
}
SYS_FAMILY(SYS_LEAVE, invpcid)

/* ---- XCR0 ---- */

#define XCR0_PKRU BIT(9)

BODY(do_xgetbv)
{
    (void)i;
    u32 index = (u32)cpu->gpr[RCX];
    u64 v = cpu->xcr0;
    if (!(cpu->cr4 & CR4_OSXSAVE))
        return cpu_fault(cpu, EXC_UD);
    if (index > 1 || (index == 1 && !cpuid_has(cpu->model, FEAT_XGETBV1)))
        return cpu_fault_gp(cpu, 0);
    /* XINUSE: a processor may take any component for one that is in use. */
    if (index == 1 && !cpu->pkru)
        v &= ~XCR0_PKRU;
    cpu->gpr[RAX] = (u32)v;
    cpu->gpr[RDX] = v >> 32;
    return true;
}
SYS_FAMILY(SYS_NEXT, xgetbv)

BODY(do_xsetbv)
{
    (void)i;
    u64 v = cpu->gpr[RDX] << 32 | (u32)cpu->gpr[RAX];
    if (!(cpu->cr4 & CR4_OSXSAVE))
        return cpu_fault(cpu, EXC_UD);
    if (cpu_cpl(cpu) != 0 || (u32)cpu->gpr[RCX] != 0 || !msr_xcr0_valid(cpu->model, v))
        return cpu_fault_gp(cpu, 0);
    cpu->xcr0 = v;
    cpu_update_mode(cpu);
    return true;
}
SYS_FAMILY(SYS_LEAVE, xsetbv)

/* ---- Protection keys, SMAP ---- */

BODY(do_rdpkru)
{
    (void)i;
    if (!(cpu->cr4 & CR4_PKE))
        return cpu_fault(cpu, EXC_UD);
    if ((u32)cpu->gpr[RCX])
        return cpu_fault_gp(cpu, 0);
    cpu->gpr[RAX] = cpu->pkru;
    cpu->gpr[RDX] = 0;
    return true;
}
SYS_FAMILY(SYS_NEXT, rdpkru)

BODY(do_wrpkru)
{
    (void)i;
    if (!(cpu->cr4 & CR4_PKE))
        return cpu_fault(cpu, EXC_UD);
    if ((u32)cpu->gpr[RCX] || (u32)cpu->gpr[RDX])
        return cpu_fault_gp(cpu, 0);
    cpu->pkru = (u32)cpu->gpr[RAX];
    cpu_update_mode(cpu);
    return true;
}
SYS_FAMILY(SYS_LEAVE, wrpkru)

/* The view of user pages changes: the same code goes on in another context. */
static ALWAYS_INLINE const struct insn *set_ac(struct cpu *cpu, const struct insn *i, bool ac)
{
    if (cpu_cpl(cpu) != 0) {
        cpu_fault(cpu, EXC_UD);
        return insn_fault(cpu, i);
    }
    cpu->eflags = ac ? cpu->eflags | FLAG_AC : cpu->eflags & ~FLAG_AC;
    cpu_update_mode(cpu);
    SLOW_NEXT;
}
static COLD HANDLER(op_clac)
{
    return set_ac(cpu, i, false);
}
static COLD HANDLER(op_stac)
{
    return set_ac(cpu, i, true);
}
FAMILY_ONE(clac, op_clac);
FAMILY_ONE(stac, op_stac);
