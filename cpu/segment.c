/* SPDX-License-Identifier: MIT */
#include "cpu/segment.h"

#include "cpu/msr.h"

bool cpu_is_canonical(const struct cpu *cpu, u64 lin)
{
    return sign_extend(lin, cpu->cr4 & CR4_LA57 ? 57 : 48) == lin;
}

/* Descriptor tables lie at linear addresses of 64 bits in IA-32e mode, of 32 elsewhere. */
static u64 table_address(const struct cpu *cpu, u64 lin)
{
    return cpu_is_long(cpu) ? lin : (u32)lin;
}

/* Where sel's descriptor of `size` bytes lies. False: beyond the limit, or there is no table. */
static bool desc_address(const struct cpu *cpu, u16 sel, unsigned size, u64 *lin)
{
    u64 base = cpu->gdtr.base, limit = cpu->gdtr.limit;
    if (sel & 4) {
        const struct segment *ldt = &cpu->seg[SEG_LDTR];
        if (ldt->attr & ATTR_UNUSABLE)
            return false;
        base = ldt->base;
        limit = ldt->limit;
    }
    u64 offset = sel & 0xfff8u;
    if (offset + size - 1 > limit)
        return false;
    *lin = table_address(cpu, base + offset);
    return true;
}

enum desc_result desc_read(struct cpu *cpu, u16 sel, struct desc *d)
{
    u64 lin;
    d->hi = 0;
    if (!desc_address(cpu, sel, 8, &lin))
        return DESC_OUTSIDE;
    return lin_read_int(cpu, NULL, lin, &d->lo, 8, ACC_READ | ACC_SYSTEM) ? DESC_OK : DESC_FAULT;
}

enum desc_result desc_read_system(struct cpu *cpu, u16 sel, struct desc *d)
{
    enum desc_result res = desc_read(cpu, sel, d);
    if (res != DESC_OK || !cpu_is_long(cpu))
        return res;
    u64 lin;
    if (!desc_address(cpu, sel, 16, &lin))
        return DESC_OUTSIDE;
    lin = table_address(cpu, lin + 8);
    if (!lin_read_int(cpu, NULL, lin, &d->hi, 8, ACC_READ | ACC_SYSTEM))
        return DESC_FAULT;
    return BITS(d->hi, 44, 40) ? DESC_OUTSIDE : DESC_OK;
}

bool desc_fetch(struct cpu *cpu, u16 sel, enum vector vector, u32 ext, struct desc *d)
{
    switch (desc_read(cpu, sel, d)) {
    case DESC_OK:
        return true;
    case DESC_OUTSIDE:
        return cpu_fault_err(cpu, vector, SEL_ERROR(sel) | ext);
    case DESC_FAULT:
        break;
    }
    return false;
}

/* Rewrites the byte of a descriptor that holds its type. */
static bool write_type_byte(struct cpu *cpu, u16 sel, u64 lo)
{
    u64 lin;
    if (!desc_address(cpu, sel, 8, &lin))
        return true; /* it was there when it was read */
    return lin_write_int(cpu, NULL, table_address(cpu, lin + 5), (lo >> 40) & 0xff, 1,
                         ACC_WRITE | ACC_SYSTEM);
}

bool desc_set_accessed(struct cpu *cpu, u16 sel, struct desc *d)
{
    if (d->lo & BIT(40))
        return true;
    d->lo |= BIT(40);
    return write_type_byte(cpu, sel, d->lo);
}

bool desc_set_busy(struct cpu *cpu, u16 sel, bool busy)
{
    struct desc d;
    enum desc_result res = desc_read(cpu, sel, &d);
    if (res != DESC_OK)
        return res == DESC_OUTSIDE;
    d.lo = busy ? d.lo | BIT(41) : d.lo & ~BIT(41);
    return write_type_byte(cpu, sel, d.lo);
}

void segment_set(struct segment *s, u16 sel, const struct desc *d)
{
    s->selector = sel;
    s->attr = desc_attr(d->lo);
    s->base = BITS(d->lo, 39, 16) | BITS(d->lo, 63, 56) << 24 | (d->hi & UINT32_MAX) << 32;
    s->limit = (u32)(BITS(d->lo, 15, 0) | BITS(d->lo, 51, 48) << 16);
    if (s->attr & ATTR_G)
        s->limit = s->limit << 12 | 0xfff;
}

void segment_set_null(struct segment *s, u16 sel, unsigned dpl)
{
    s->selector = sel;
    s->base = 0;
    s->limit = 0;
    s->attr = ATTR_UNUSABLE | dpl << 5;
}

#define ATTR_REAL (ATTR_P | ATTR_S | ATTR_RW | ATTR_ACCESSED)

void segment_set_real(struct cpu *cpu, enum seg_id id, u16 sel)
{
    struct segment *s = &cpu->seg[id];
    if (s->attr & ATTR_UNUSABLE) {
        s->attr = 0;
        s->limit = 0xffff;
    }
    s->attr = (s->attr & (ATTR_DB | ATTR_G | ATTR_AVL)) | ATTR_REAL;
    s->selector = sel;
    s->base = (u64)sel << 4;
}

void segment_set_vm86(struct cpu *cpu, enum seg_id id, u16 sel)
{
    cpu->seg[id] = (struct segment){
        .base = (u64)sel << 4, .limit = 0xffff, .attr = ATTR_REAL | 3 << 5, .selector = sel};
}

bool segment_in_limit(const struct segment *s, u64 offset, u64 size)
{
    u64 last = offset + size - 1;
    if (!(s->attr & ATTR_CODE) && (s->attr & ATTR_EXPAND_DOWN))
        return offset > s->limit && last <= (s->attr & ATTR_DB ? UINT32_MAX : 0xffff);
    return last <= s->limit;
}

bool segment_check_ss(struct cpu *cpu, u16 sel, unsigned dpl, enum vector vector, u32 ext,
                      struct segment *ss)
{
    struct desc d;
    if (!desc_fetch(cpu, sel, vector, ext, &d))
        return false;
    if (SEL_RPL(sel) != dpl || !desc_is_writable(d.lo) || desc_dpl(d.lo) != dpl)
        return cpu_fault_err(cpu, vector, SEL_ERROR(sel) | ext);
    if (!desc_present(d.lo))
        return cpu_fault_err(cpu, EXC_SS, SEL_ERROR(sel) | ext);
    if (!desc_set_accessed(cpu, sel, &d))
        return false;
    segment_set(ss, sel, &d);
    return true;
}

/* SDM "MOV - Move", loading of SS. */
static bool load_ss(struct cpu *cpu, u16 sel)
{
    unsigned cpl = cpu_cpl(cpu);
    if (SEL_NULL(sel)) {
        if (!(cpu->mode & MODE_64) || cpl == 3 || SEL_RPL(sel) != cpl)
            return cpu_fault_gp(cpu, 0);
        segment_set_null(&cpu->seg[SEG_SS], sel, cpl);
        return true;
    }
    struct segment ss;
    if (!segment_check_ss(cpu, sel, cpl, EXC_GP, 0, &ss))
        return false;
    cpu->seg[SEG_SS] = ss;
    return true;
}

/* Data segments and readable code; conforming code may be read from any level. */
static bool readable_by(u64 lo, unsigned cpl, unsigned rpl)
{
    if (desc_is_system(lo) || (desc_is_code(lo) && !(lo >> 41 & 1)))
        return false;
    return desc_is_conforming(lo) || (rpl <= desc_dpl(lo) && cpl <= desc_dpl(lo));
}

static bool load_data(struct cpu *cpu, enum seg_id id, u16 sel)
{
    if (SEL_NULL(sel)) {
        segment_set_null(&cpu->seg[id], sel, 0);
        return true;
    }
    struct desc d;
    if (!desc_fetch(cpu, sel, EXC_GP, 0, &d))
        return false;
    if (!readable_by(d.lo, cpu_cpl(cpu), SEL_RPL(sel)))
        return cpu_fault_gp(cpu, SEL_ERROR(sel));
    if (!desc_present(d.lo))
        return cpu_fault_err(cpu, EXC_NP, SEL_ERROR(sel));
    if (!desc_set_accessed(cpu, sel, &d))
        return false;
    segment_set(&cpu->seg[id], sel, &d);
    return true;
}

bool segment_load(struct cpu *cpu, enum seg_id id, u16 sel)
{
    if (cpu->mode & MODE_VM86)
        segment_set_vm86(cpu, id, sel);
    else if (!(cpu->mode & MODE_PE))
        segment_set_real(cpu, id, sel);
    else
        return id == SEG_SS ? load_ss(cpu, sel) : load_data(cpu, id, sel);
    return true;
}

/* LLDT and LTR: a system descriptor of the GDT. */
static bool fetch_system(struct cpu *cpu, u16 sel, struct desc *d)
{
    if (sel & 4)
        return cpu_fault_gp(cpu, SEL_ERROR(sel));
    enum desc_result res = desc_read_system(cpu, sel, d);
    if (res == DESC_OUTSIDE)
        return cpu_fault_gp(cpu, SEL_ERROR(sel));
    return res == DESC_OK;
}

static bool base_is_canonical(const struct cpu *cpu, const struct segment *s)
{
    return !cpu_is_long(cpu) || msr_canonical(cpu->model, s->base); /* whatever CR4.LA57 says */
}

bool segment_load_ldtr(struct cpu *cpu, u16 sel)
{
    struct segment ldt;
    if (SEL_NULL(sel)) {
        segment_set_null(&cpu->seg[SEG_LDTR], sel, 0);
        return true;
    }
    struct desc d;
    if (!fetch_system(cpu, sel, &d))
        return false;
    if (!desc_is_system(d.lo) || desc_type(d.lo) != TYPE_LDT)
        return cpu_fault_gp(cpu, SEL_ERROR(sel));
    if (!desc_present(d.lo))
        return cpu_fault_err(cpu, EXC_NP, SEL_ERROR(sel));
    segment_set(&ldt, sel, &d);
    if (!base_is_canonical(cpu, &ldt))
        return cpu_fault_gp(cpu, SEL_ERROR(sel));
    cpu->seg[SEG_LDTR] = ldt;
    return true;
}

bool segment_load_tr(struct cpu *cpu, u16 sel)
{
    if (SEL_NULL(sel))
        return cpu_fault_gp(cpu, 0);
    struct desc d;
    if (!fetch_system(cpu, sel, &d))
        return false;
    unsigned type = desc_type(d.lo);
    if (!desc_is_system(d.lo) || !(type == TYPE_TSS32 || (type == TYPE_TSS16 && !cpu_is_long(cpu))))
        return cpu_fault_gp(cpu, SEL_ERROR(sel));
    if (!desc_present(d.lo))
        return cpu_fault_err(cpu, EXC_NP, SEL_ERROR(sel));
    struct segment tr;
    segment_set(&tr, sel, &d);
    if (!base_is_canonical(cpu, &tr))
        return cpu_fault_gp(cpu, SEL_ERROR(sel));
    if (!desc_set_busy(cpu, sel, true))
        return false;
    tr.attr |= 2; /* busy */
    cpu->seg[SEG_TR] = tr;
    return true;
}

bool segment_check_rip(struct cpu *cpu, const struct segment *cs, u64 rip, u32 ext)
{
    bool wide = cpu_is_long(cpu) && (cs->attr & ATTR_L);
    if (wide ? !cpu_is_canonical(cpu, rip) : rip > cs->limit)
        return cpu_fault_gp(cpu, ext);
    return true;
}

static void drop(struct segment *s)
{
    s->selector = 0;
    s->attr |= ATTR_UNUSABLE;
}

/*
 * Processors mark what they drop unusable and leave base and limit: after a VM exit, user code counts on the base of
 * an FS whose selector is null and whose DPL is 0.
 */
void segment_drop_inner(struct cpu *cpu, unsigned cpl)
{
    static const enum seg_id data[] = {SEG_ES, SEG_FS, SEG_GS, SEG_DS};
    for (unsigned k = 0; k < ARRAY_SIZE(data); k++) {
        struct segment *s = &cpu->seg[data[k]];
        bool conforming =
            (s->attr & (ATTR_CODE | ATTR_CONFORMING)) == (ATTR_CODE | ATTR_CONFORMING);
        if (!(s->attr & ATTR_UNUSABLE) && !conforming && ATTR_DPL(s->attr) < cpl)
            drop(s);
    }
}

/* ---- Stacks of other privilege levels ---- */

void new_stack_current(const struct cpu *cpu, struct new_stack *st)
{
    st->ss = cpu->seg[SEG_SS];
    st->sp = cpu->gpr[RSP];
    st->acc = 0;
    st->wide = cpu->mode & MODE_64;
    st->mask = st->wide ? UINT64_MAX : cpu->mode & MODE_SS32 ? UINT32_MAX : 0xffff;
}

bool new_stack_room(struct cpu *cpu, const struct new_stack *st, unsigned slots, unsigned size,
                    u32 error)
{
    for (unsigned k = 1; k <= slots; k++) {
        u64 at = (st->sp - k * size) & st->mask;
        bool ok = st->wide ? cpu_is_canonical(cpu, at) && cpu_is_canonical(cpu, at + size - 1)
                           : segment_in_limit(&st->ss, at, size);
        if (!ok)
            return cpu_fault_err(cpu, EXC_SS, error);
    }
    return true;
}

bool new_stack_push(struct cpu *cpu, const struct insn *i, struct new_stack *st, u64 val,
                    unsigned size)
{
    u64 sp = (st->sp - size) & st->mask;
    u64 lin = st->wide ? sp : (u32)(st->ss.base + sp);
    if (!lin_write_int(cpu, i, lin, val, size, ACC_WRITE | ACC_SS | st->acc))
        return false;
    st->sp = (st->sp & ~st->mask) | sp;
    return true;
}

static bool tss_read(struct cpu *cpu, u32 offset, unsigned size, u64 *val)
{
    u64 lin = table_address(cpu, cpu->seg[SEG_TR].base + offset);
    return lin_read_int(cpu, NULL, lin, val, size, ACC_READ | ACC_SYSTEM);
}

/* SDM "64-Bit Mode Stack Switching", "Interrupt Stack Table" */
static bool long_stack_from_tss(struct cpu *cpu, unsigned dpl, unsigned ist, u32 ext,
                                struct new_stack *st)
{
    const struct segment *tr = &cpu->seg[SEG_TR];
    u32 offset = ist ? 28 + 8 * ist : 4 + 8 * dpl;
    if (offset + 7 > tr->limit)
        return cpu_fault_err(cpu, EXC_TS, SEL_ERROR(tr->selector) | ext);
    segment_set_null(&st->ss, (u16)dpl, dpl);
    st->mask = UINT64_MAX;
    st->wide = true;
    st->acc = dpl == 3 ? ACC_USER : ACC_SYSTEM;
    return tss_read(cpu, offset, 8, &st->sp);
}

bool new_stack_from_tss(struct cpu *cpu, unsigned dpl, unsigned ist, u32 ext, struct new_stack *st)
{
    if (cpu_is_long(cpu))
        return long_stack_from_tss(cpu, dpl, ist, ext, st);
    const struct segment *tr = &cpu->seg[SEG_TR];
    unsigned size = (tr->attr & 8) ? 4 : 2; /* 32-bit or 16-bit TSS */
    u32 offset = size == 4 ? 4 + 8 * dpl : 2 + 4 * dpl;
    u64 sp, ss;
    if (offset + size + 1 > tr->limit)
        return cpu_fault_err(cpu, EXC_TS, SEL_ERROR(tr->selector) | ext);
    if (!tss_read(cpu, offset, size, &sp) || !tss_read(cpu, offset + size, 2, &ss))
        return false;
    if (SEL_NULL(ss))
        return cpu_fault_err(cpu, EXC_TS, ext);
    if (!segment_check_ss(cpu, (u16)ss, dpl, EXC_TS, ext, &st->ss))
        return false;
    st->sp = sp;
    st->mask = st->ss.attr & ATTR_DB ? UINT32_MAX : 0xffff;
    st->wide = false;
    st->acc = dpl == 3 ? ACC_USER : ACC_SYSTEM;
    return true;
}
