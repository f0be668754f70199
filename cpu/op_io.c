/* SPDX-License-Identifier: MIT */
/*
 * IN, OUT, INS, OUTS. Devices see the exact time, and may have changed what interrupts are pending,
 * so each access goes back to the run loop; a repeated one after each iteration.
 */
#include "cpu/control.h"
#include "cpu/debug.h"
#include "cpu/exec.h"
#include "cpu/smm.h"

/* The I/O permission bitmap is an array of bits, one a port, somewhere in a 32- or 64-bit TSS. */
static bool bitmap_allows(struct cpu *cpu, const struct insn *i, u16 port, unsigned size)
{
    const struct segment *tr = &cpu->seg[SEG_TR];
    const unsigned at_base = 0x66;
    unsigned type = tr->attr & ATTR_TYPE;
    u64 base, word, wrap = cpu->mode & MODE_LMA ? UINT64_MAX : UINT32_MAX;
    if ((tr->attr & ATTR_UNUSABLE) || (type != 9 && type != 11) || tr->limit < at_base + 1)
        return cpu_fault_gp(cpu, 0);
    if (!lin_read_int(cpu, i, (tr->base + at_base) & wrap, &base, 2, ACC_SYSTEM | ACC_READ))
        return false;
    /* Two bytes are read, whatever bits are wanted: both must lie within the limit. */
    u64 offset = base + port / 8;
    if (offset + 1 > tr->limit)
        return cpu_fault_gp(cpu, 0);
    if (!lin_read_int(cpu, i, (tr->base + offset) & wrap, &word, 2, ACC_SYSTEM | ACC_READ))
        return false;
    return !(word >> (port & 7) & MASK(size)) || cpu_fault_gp(cpu, 0);
}

bool cpu_io_allowed(struct cpu *cpu, const struct insn *i, u16 port, unsigned size)
{
    unsigned iopl = (cpu->eflags & FLAG_IOPL) >> FLAG_IOPL_SHIFT;
    if (!(cpu->mode & MODE_PE))
        return true;
    if (!(cpu->mode & MODE_VM86) && cpu_cpl(cpu) <= iopl)
        return true;
    return bitmap_allows(cpu, i, port, size);
}

/* Did the access bring an SMI, which was not waiting before? */
static void note_smi(struct cpu *cpu, const struct insn *i, u32 before, u32 what)
{
    if (unlikely(cpu->pending & ~before & PEND_SMI))
        smm_note_io(cpu, i, what);
}

static u32 access_of(u16 port, unsigned size)
{
    return (u32)port << SMM_IO_PORT_SHIFT | size << SMM_IO_SIZE_SHIFT;
}

static u64 port_read(struct cpu *cpu, const struct insn *i, u16 port, unsigned size)
{
    u32 before = cpu->pending;
    cpu->clock->now = cpu_now(cpu, i);
    debug_note_port(cpu, port, size);
    u64 val = bus_io_read(cpu->bus, port, size);
    note_smi(cpu, i, before, access_of(port, size) | SMM_IO_IN);
    return val;
}

static void port_write(struct cpu *cpu, const struct insn *i, u16 port, unsigned size, u64 val)
{
    u32 before = cpu->pending;
    cpu->clock->now = cpu_now(cpu, i);
    debug_note_port(cpu, port, size);
    bus_io_write(cpu->bus, port, size, val & MASK(size * 8));
    note_smi(cpu, i, before, access_of(port, size));
}

/* ---- IN, OUT: the port is an immediate or DX ---- */
static const struct insn *in_port(struct cpu *cpu, const struct insn *i, u16 port, unsigned size)
{
    if (!cpu_io_allowed(cpu, i, port, size))
        return insn_fault(cpu, i);
    u64 val = port_read(cpu, i, port, size);
    if (size == 1)
        SET_REG8(cpu, RAX * 8, val);
    else if (size == 2)
        SET_REG16(cpu, RAX * 8, val);
    else
        SET_REG32(cpu, RAX * 8, val);
    return insn_leave(cpu, i);
}

static const struct insn *out_port(struct cpu *cpu, const struct insn *i, u16 port, unsigned size)
{
    if (!cpu_io_allowed(cpu, i, port, size))
        return insn_fault(cpu, i);
    port_write(cpu, i, port, size, cpu->gpr[RAX]);
    return insn_leave(cpu, i);
}

#define PORT(name, fn, port, size)                                                                 \
    static HANDLER(name)                                                                           \
    {                                                                                              \
        return fn(cpu, i, (u16)(port), size);                                                      \
    }
#define PORTS(op, fn)                                                                              \
    PORT(op##_i8_slow, fn, i->imm & 0xff, 1)                                                       \
    PORT(op##_i16_slow, fn, i->imm & 0xff, 2)                                                      \
    PORT(op##_i32_slow, fn, i->imm & 0xff, 4)                                                      \
    PORT(op##_dx8_slow, fn, cpu->gpr[RDX], 1)                                                      \
    PORT(op##_dx16_slow, fn, cpu->gpr[RDX], 2)                                                     \
    PORT(op##_dx32_slow, fn, cpu->gpr[RDX], 4)
PORTS(in, in_port)
PORTS(out, out_port)
#define PORT_FAMILY(name)                                                                          \
    const struct op_family fam_##name = {                                                          \
        {{FORMS_ONLY_REG(name##8_slow), FORMS_ONLY_REG(name##16_slow),                             \
          FORMS_ONLY_REG(name##32_slow)}}};
PORT_FAMILY(in_i)
PORT_FAMILY(in_dx)
PORT_FAMILY(out_i)
PORT_FAMILY(out_dx)

/* ---- INS, OUTS ---- */
static u64 address_mask(const struct insn *i)
{
    return EA_SIZE(i) == 2 ? UINT64_MAX : EA_SIZE(i) == 1 ? UINT32_MAX : 0xffff;
}

static void set_masked(struct cpu *cpu, unsigned reg, u64 val, u64 mask)
{
    cpu->gpr[reg] = mask == 0xffff ? (cpu->gpr[reg] & ~mask) | (val & mask) : val & mask;
}

static void advance(struct cpu *cpu, const struct insn *i, unsigned reg, unsigned size)
{
    u64 step = cpu->eflags & FLAG_DF ? -(u64)size : size;
    set_masked(cpu, reg, cpu->gpr[reg] + step, address_mask(i));
}

/* The destination must be known to be writable before the port is read. */
static bool ins_once(struct cpu *cpu, const struct insn *i, unsigned size)
{
    u16 port = (u16)cpu->gpr[RDX];
    u64 lin, offset = cpu->gpr[RDI] & address_mask(i);
    if (!cpu_io_allowed(cpu, i, port, size) ||
        !seg_linear(cpu, SEG_ES, offset, size, ACC_WRITE, &lin) ||
        !lin_probe(cpu, i, lin, size, ACC_WRITE))
        return false;
    u64 val = port_read(cpu, i, port, size);
    lin_write_int(cpu, i, lin, val, size, ACC_WRITE);
    advance(cpu, i, RDI, size);
    return true;
}

static bool outs_once(struct cpu *cpu, const struct insn *i, unsigned size)
{
    u16 port = (u16)cpu->gpr[RDX];
    u64 val, offset = cpu->gpr[RSI] & address_mask(i);
    if (!cpu_io_allowed(cpu, i, port, size) ||
        !seg_read(cpu, i, (enum seg_id)INSN_SEG(i), offset, &val, size))
        return false;
    port_write(cpu, i, port, size, val);
    advance(cpu, i, RSI, size);
    return true;
}

typedef bool io_step(struct cpu *cpu, const struct insn *i, unsigned size);

static const struct insn *io_string(struct cpu *cpu, const struct insn *i, unsigned size,
                                    io_step *step)
{
    if (!step(cpu, i, size))
        return insn_fault(cpu, i);
    if (unlikely(cpu->smm_io.what))
        cpu->smm_io.what |= SMM_IO_STRING;
    return insn_leave(cpu, i);
}

/* One iteration; the others follow from the run loop, at the same RIP. */
static const struct insn *io_repeat(struct cpu *cpu, const struct insn *i, unsigned size,
                                    io_step *step)
{
    u64 mask = address_mask(i), left = cpu->gpr[RCX] & mask;
    if (!left)
        return insn_leave(cpu, i);
    if (!step(cpu, i, size))
        return insn_fault(cpu, i);
    if (unlikely(cpu->smm_io.what))
        cpu->smm_io.what |= SMM_IO_STRING | SMM_IO_REP;
    set_masked(cpu, RCX, left - 1, mask);
    if (left == 1)
        return insn_leave(cpu, i);
    u64 rip = insn_rip(i);
    return insn_leave_at(cpu, i, cpu->mode & MODE_64 ? rip : (u32)rip);
}

#define IO_STRING(op, size)                                                                        \
    static HANDLER(op##size##_slow)                                                                \
    {                                                                                              \
        return io_string(cpu, i, size, op##_once);                                                 \
    }                                                                                              \
    static HANDLER(rep_##op##size##_slow)                                                          \
    {                                                                                              \
        return io_repeat(cpu, i, size, op##_once);                                                 \
    }
#define IO_STRINGS(op)                                                                             \
    IO_STRING(op, 1)                                                                               \
    IO_STRING(op, 2)                                                                               \
    IO_STRING(op, 4)                                                                               \
    const struct op_family fam_##op = {{{{op##1_slow, rep_##op##1_slow, rep_##op##1_slow},         \
                                         {op##2_slow, rep_##op##2_slow, rep_##op##2_slow},         \
                                         {op##4_slow, rep_##op##4_slow, rep_##op##4_slow}}}};
IO_STRINGS(ins)
IO_STRINGS(outs)
