/* SPDX-License-Identifier: MIT */
#include "cpu/mem.h"

#include <string.h>

#include "base/error.h"
#include "cpu/probe.h"
#include "cpu/spin.h"

/* Where one page's part of an access goes: RAM by host pointer, else the bus by hpa. */
struct place {
    u8 *host;
    u64 hpa;
};

static bool is_canonical(const struct cpu *cpu, u64 lin)
{
    unsigned bits = cpu->cr4 & CR4_LA57 ? 57 : 48;
    return sign_extend(lin, bits) == lin;
}

/*
 * The linear address after the last byte of a page wraps at 4 GiB outside 64-bit mode, but not that
 * of a descriptor table in IA-32e mode.
 */
static u64 wrap(const struct cpu *cpu, u64 lin, unsigned acc)
{
    u32 wide = acc & ACC_SYSTEM ? MODE_LMA : MODE_64;
    return cpu->mode & wide ? lin : (u32)lin;
}

/* May the current context's translations serve this access? Its view is that of explicit accesses. */
static bool view_fits(const struct cpu *cpu, unsigned acc)
{
    if (acc & ACC_USER)
        return cpu_cpl(cpu) == 3;
    return !(acc & ACC_SYSTEM) || (cpu_cpl(cpu) < 3 && !(cpu->eflags & FLAG_AC));
}

static bool data_breakpoints_armed(const struct cpu *cpu)
{
    return unlikely(cpu->dr[7] & 0xff);
}

/* True if an enabled data breakpoint lies in the page of lin: such pages stay out of the TLB. */
static bool page_has_breakpoint(const struct cpu *cpu, u64 lin)
{
    for (unsigned n = 0; n < 4; n++) {
        unsigned rw = (unsigned)BITS(cpu->dr[7], 17 + 4 * n, 16 + 4 * n);
        if ((cpu->dr[7] >> (2 * n) & 3) && (rw & 1) && !((cpu->dr[n] ^ lin) & PAGE_MASK))
            return true;
    }
    return false;
}

/* SDM "Debug Address Registers": a match is any overlap with the aligned breakpoint range. */
static void note_breakpoints(struct cpu *cpu, u64 lin, unsigned size, unsigned acc)
{
    static const u8 lengths[4] = {1, 2, 8, 4};
    for (unsigned n = 0; n < 4; n++) {
        unsigned rw = (unsigned)BITS(cpu->dr[7], 17 + 4 * n, 16 + 4 * n);
        u64 len = lengths[BITS(cpu->dr[7], 19 + 4 * n, 18 + 4 * n)];
        u64 at = cpu->dr[n] & ~(len - 1);
        bool kind = rw == 3 || (rw == 1 && (acc & ACC_WRITE));
        if ((cpu->dr[7] >> (2 * n) & 3) && kind && lin < at + len && at < lin + size) {
            cpu->debug_hits |= BIT(n);
            cpu->leave = true;
        }
    }
}

static void fill(struct cpu *cpu, u64 lin, const struct walk_out *out)
{
    const struct ram *ram = &cpu->bus->ram;
    u8 *host = ram_host(ram, out->hpa);
    if (!host || cpu->ctx->bypass || (data_breakpoints_armed(cpu) && page_has_breakpoint(cpu, lin)))
        return;
    u8 *page = host - (lin & ~PAGE_MASK);
    struct tlb_fill f = {
        .lin = lin & PAGE_MASK,
        .host = page,
        .read = out->may_read,
        .write = out->may_write && !*ram_code(ram, page) && ram_host_w(ram, out->hpa) == host,
        .exec = out->may_exec,
        .global = out->global,
        .page_shift = out->page_shift,
    };
    tlb_fill(&cpu->tlb_store, cpu->ctx, &f);
}

static enum walk_result walk_page(struct cpu *cpu, u64 lin, unsigned acc, struct walk_out *out)
{
    struct walk_ctx ctx;
    cpu_walk_ctx(cpu, acc & ACC_SYSTEM, &ctx);
    if (acc & ACC_USER)
        ctx.user = true;
    walk_translate(&ctx, lin, acc & ACC_WRITE ? WALK_WRITE : WALK_READ, out);
    return out->result;
}

bool cpu_walk_failed(struct cpu *cpu, u64 lin, const struct walk_out *out)
{
    if (likely(out->result == WALK_PAGE_FAULT))
        return cpu_fault_page(cpu, lin, out->error_code);
    cpu->virt->walk_exit(cpu, lin, out);
    return false;
}

static bool is_apic_access(const struct cpu *cpu, const struct walk_out *out)
{
    return unlikely((out->hpa & PAGE_MASK) == cpu->apic_access);
}

/* Translates the page part of an access at lin; false: #PF or an exit is recorded. */
static bool find_place(struct cpu *cpu, u64 lin, unsigned size, unsigned acc, struct place *place)
{
    struct tlb_entry *e = tlb_slot(cpu->tlb, lin);
    u64 tag = acc & ACC_WRITE ? e->wtag : e->rtag;
    if (tlb_tag_is(tag, lin & PAGE_MASK) && view_fits(cpu, acc)) {
        place->host = (u8 *)(uintptr_t)(lin + e->addend);
        place->hpa = ram_hpa(&cpu->bus->ram, place->host);
        return true;
    }
    struct walk_out out;
    if (unlikely(walk_page(cpu, lin, acc, &out) != WALK_OK))
        return cpu_walk_failed(cpu, lin, &out);
    if (is_apic_access(cpu, &out)) {
        place->host = cpu->virt->apic_access(cpu, lin, size, acc);
        place->hpa = place->host ? ram_hpa(&cpu->bus->ram, place->host) : 0;
        return place->host;
    }
    place->hpa = out.hpa;
    place->host =
        acc & ACC_WRITE ? ram_host_w(&cpu->bus->ram, out.hpa) : ram_host(&cpu->bus->ram, out.hpa);
    if (place->host && view_fits(cpu, acc) && !(acc & ACC_USER))
        fill(cpu, lin, &out);
    return true;
}

/* The part of [lin, lin + size) that lies in lin's page. */
static unsigned first_part(u64 lin, unsigned size)
{
    u64 room = PAGE_SIZE - (lin & ~PAGE_MASK);
    return size < room ? size : (unsigned)room;
}

static void sync_clock(struct cpu *cpu, const struct insn *i)
{
    cpu->clock->now = cpu_now(cpu, i);
    cpu->leave = true;
}

static void device_read(struct cpu *cpu, const struct insn *i, u64 hpa, u8 *to, unsigned size)
{
    sync_clock(cpu, i);
    while (size) {
        unsigned n = size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
        u64 v = bus_read(cpu->bus, hpa, n);
        memcpy(to, &v, n);
        to += n;
        hpa += n;
        size -= n;
    }
}

static void device_write(struct cpu *cpu, const struct insn *i, u64 hpa, const u8 *from,
                         unsigned size)
{
    sync_clock(cpu, i);
    while (size) {
        unsigned n = size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
        u64 v = 0;
        memcpy(&v, from, n);
        bus_write(cpu->bus, hpa, n, v);
        from += n;
        hpa += n;
        size -= n;
    }
}

static void store(struct cpu *cpu, const struct insn *i, const struct place *to, const u8 *from,
                  unsigned size)
{
    if (unlikely(cpu->spin.watch.on))
        spin_note_write(cpu, to->hpa, !to->host || memcmp(to->host, from, size) != 0);
    if (unlikely(!to->host)) {
        device_write(cpu, i, to->hpa, from, size);
        return;
    }
    struct ram *ram = &cpu->bus->ram;
    if (unlikely(*ram_code(ram, to->host) & ram_granules(to->hpa, size))) {
        ram_store_check(ram, to->host, size);
        cpu->leave = true; /* the current block may be among the dropped ones */
    }
    memcpy(to->host, from, size);
}

static void load(struct cpu *cpu, const struct insn *i, const struct place *from, u8 *to,
                 unsigned size)
{
    if (unlikely(cpu->spin.watch.on))
        spin_note_read(cpu, from->hpa, size);
    if (unlikely(!from->host))
        device_read(cpu, i, from->hpa, to, size);
    else
        memcpy(to, from->host, size);
}

/* Checks that come before translation: canonical form and alignment. */
static bool check_address(struct cpu *cpu, u64 lin, unsigned size, unsigned acc)
{
    cpu->slow_accesses++;
    if ((cpu->mode & MODE_LMA) &&
        unlikely(!is_canonical(cpu, lin) || !is_canonical(cpu, lin + size - 1)))
        return cpu_fault_err(cpu, acc & ACC_SS ? EXC_SS : EXC_GP, 0);
    bool checked = (cpu->eflags & FLAG_AC) && (cpu->cr0 & CR0_AM) && cpu_cpl(cpu) == 3;
    if (unlikely(checked) && !(acc & ACC_SYSTEM) && size <= 8 && (lin & (size - 1)))
        return cpu_fault_err(cpu, EXC_AC, 0);
    return true;
}

static NOINLINE void note_watched(struct cpu *cpu, u64 lin, unsigned size, unsigned acc,
                                  const struct place place[2])
{
    unsigned n = first_part(lin, size);
    struct probe_event e = {.place = PROBE_ACCESS,
                            .lin = lin,
                            .size = size,
                            .first = n,
                            .hpa = {place[0].hpa, n < size ? place[1].hpa : 0},
                            .read = acc & ACC_READ,
                            .write = acc & ACC_WRITE};
    probe_ask(cpu, NULL, &e);
}

/* Translates both parts of an access before either is made. */
static bool find_places(struct cpu *cpu, u64 lin, unsigned size, unsigned acc,
                        struct place place[2])
{
    unsigned n = first_part(lin, size);
    if (!check_address(cpu, lin, size, acc) || !find_place(cpu, lin, n, acc, &place[0]))
        return false;
    if (n < size && !find_place(cpu, wrap(cpu, lin + n, acc), size - n, acc, &place[1]))
        return false;
    if (data_breakpoints_armed(cpu) && !(acc & ACC_SYSTEM))
        note_breakpoints(cpu, lin, size, acc);
    if (unlikely(cpu->tlb_store.watch))
        note_watched(cpu, lin, size, acc, place);
    return true;
}

bool lin_read(struct cpu *cpu, const struct insn *i, u64 lin, void *to, unsigned size, unsigned acc)
{
    struct place place[2];
    if (!find_places(cpu, lin, size, acc | ACC_READ, place))
        return false;
    unsigned n = first_part(lin, size);
    load(cpu, i, &place[0], to, n);
    if (n < size)
        load(cpu, i, &place[1], (u8 *)to + n, size - n);
    return true;
}

bool lin_write(struct cpu *cpu, const struct insn *i, u64 lin, const void *from, unsigned size,
               unsigned acc)
{
    struct place place[2];
    if (!find_places(cpu, lin, size, acc | ACC_WRITE, place))
        return false;
    unsigned n = first_part(lin, size);
    store(cpu, i, &place[0], from, n);
    if (n < size)
        store(cpu, i, &place[1], (const u8 *)from + n, size - n);
    return true;
}

bool lin_probe(struct cpu *cpu, const struct insn *i, u64 lin, unsigned size, unsigned acc)
{
    (void)i;
    struct place place[2];
    return find_places(cpu, lin, size, acc, place);
}

bool lin_read_int(struct cpu *cpu, const struct insn *i, u64 lin, u64 *val, unsigned size,
                  unsigned acc)
{
    u64 v = 0;
    if (!lin_read(cpu, i, lin, &v, size, acc))
        return false;
    *val = v;
    return true;
}

bool lin_write_int(struct cpu *cpu, const struct insn *i, u64 lin, u64 val, unsigned size,
                   unsigned acc)
{
    return lin_write(cpu, i, lin, &val, size, acc);
}

u8 *lin_host(struct cpu *cpu, u64 lin, unsigned acc)
{
    struct tlb_entry *e = tlb_slot(cpu->tlb, lin);
    u64 page = lin & PAGE_MASK;
    bool rok = !(acc & ACC_READ) || e->rtag == page;
    bool wok = !(acc & ACC_WRITE) || e->wtag == page;
    if (likely(rok && wok))
        return (u8 *)(uintptr_t)(lin + e->addend);
    if (cpu->ctx->bypass || ((cpu->mode & MODE_LMA) && !is_canonical(cpu, lin)))
        return NULL;
    bool rthere = !(acc & ACC_READ) || tlb_tag_is(e->rtag, page);
    bool wthere = !(acc & ACC_WRITE) || tlb_tag_is(e->wtag, page);
    if (unlikely(rthere && wthere)) /* watched */
        return NULL;
    struct walk_out out;
    if (walk_page(cpu, lin, acc, &out) != WALK_OK || is_apic_access(cpu, &out))
        return NULL;
    u8 *host = ram_host(&cpu->bus->ram, out.hpa);
    if (!host)
        return NULL;
    fill(cpu, lin, &out);
    rok = !(acc & ACC_READ) || e->rtag == page;
    wok = !(acc & ACC_WRITE) || e->wtag == page;
    return rok && wok ? host : NULL;
}

/* ---- Segments ---- */

static bool segment_fault(struct cpu *cpu, enum seg_id seg)
{
    return cpu_fault_err(cpu, seg == SEG_SS ? EXC_SS : EXC_GP, 0);
}

/* SDM "Limit Checking" and "Type Checking". */
static bool segment_allows(const struct segment *s, u64 offset, unsigned size, unsigned acc)
{
    if ((s->attr & ATTR_UNUSABLE) || !(s->attr & ATTR_P))
        return false;
    bool code = s->attr & ATTR_CODE;
    if ((acc & ACC_WRITE) && (code || !(s->attr & ATTR_RW)))
        return false;
    if ((acc & ACC_READ) && code && !(s->attr & ATTR_RW))
        return false;
    u64 last = offset + size - 1;
    if (!code && (s->attr & ATTR_EXPAND_DOWN))
        return offset > s->limit && last <= (s->attr & ATTR_DB ? UINT32_MAX : 0xffff);
    return last <= s->limit;
}

bool seg_linear(struct cpu *cpu, enum seg_id seg, u64 offset, unsigned size, unsigned acc, u64 *lin)
{
    const struct segment *s = &cpu->seg[seg];
    if (cpu->mode & MODE_64) {
        u64 at = offset + (seg >= SEG_FS ? s->base : 0);
        if (unlikely(!is_canonical(cpu, at) || !is_canonical(cpu, at + size - 1)))
            return segment_fault(cpu, seg);
        *lin = at;
        return true;
    }
    if (unlikely(!segment_allows(s, offset, size, acc)))
        return segment_fault(cpu, seg);
    *lin = (u32)(s->base + offset);
    return true;
}

bool seg_read(struct cpu *cpu, const struct insn *i, enum seg_id seg, u64 offset, u64 *val,
              unsigned size)
{
    u64 lin;
    return seg_linear(cpu, seg, offset, size, ACC_READ, &lin) &&
           lin_read_int(cpu, i, lin, val, size, ACC_READ);
}

bool seg_write(struct cpu *cpu, const struct insn *i, enum seg_id seg, u64 offset, u64 val,
               unsigned size)
{
    u64 lin;
    return seg_linear(cpu, seg, offset, size, ACC_WRITE, &lin) &&
           lin_write_int(cpu, i, lin, val, size, ACC_WRITE);
}

/* ---- The memory operand of a record ---- */

u64 mem_offset(const struct cpu *cpu, const struct insn *i)
{
    static const u64 masks[4] = {0xffff, UINT32_MAX, UINT64_MAX, UINT64_MAX};
    u64 sum = REG64(cpu, i->base) + (REG64(cpu, i->index) << (i->scale & 3)) + i->disp;
    return sum & masks[EA_SIZE(i)];
}

u64 mem_unchecked_linear(const struct cpu *cpu, const struct insn *i)
{
    enum seg_id seg = (enum seg_id)INSN_SEG(i);
    u64 offset = mem_offset(cpu, i);
    if (!(cpu->mode & MODE_64))
        return (u32)(offset + cpu->seg[seg].base);
    return seg >= SEG_FS ? offset + cpu->seg[seg].base : offset;
}

bool mem_linear(struct cpu *cpu, const struct insn *i, unsigned size, unsigned acc, u64 *lin)
{
    return seg_linear(cpu, (enum seg_id)INSN_SEG(i), mem_offset(cpu, i), size, acc, lin);
}

bool mem_read(struct cpu *cpu, const struct insn *i, void *to, unsigned size)
{
    u64 lin;
    return mem_linear(cpu, i, size, ACC_READ, &lin) && lin_read(cpu, i, lin, to, size, ACC_READ);
}

bool mem_write(struct cpu *cpu, const struct insn *i, const void *from, unsigned size)
{
    u64 lin;
    return mem_linear(cpu, i, size, ACC_WRITE, &lin) &&
           lin_write(cpu, i, lin, from, size, ACC_WRITE);
}

#define MEM_ACCESS(bits)                                                                           \
    bool mem_read##bits(struct cpu *cpu, const struct insn *i, u##bits *val)                       \
    {                                                                                              \
        return mem_read(cpu, i, val, (bits) / 8);                                                  \
    }                                                                                              \
    bool mem_write##bits(struct cpu *cpu, const struct insn *i, u##bits val)                       \
    {                                                                                              \
        return mem_write(cpu, i, &val, (bits) / 8);                                                \
    }
MEM_ACCESS(8)
MEM_ACCESS(16)
MEM_ACCESS(32)
MEM_ACCESS(64)

bool mem_rmw_begin(struct cpu *cpu, const struct insn *i, unsigned size, struct mem_rmw *rmw)
{
    rmw->size = size;
    rmw->value = 0;
    struct place place[2];
    if (!mem_linear(cpu, i, size, ACC_READ | ACC_WRITE, &rmw->lin) ||
        !find_places(cpu, rmw->lin, size, ACC_READ | ACC_WRITE, place))
        return false;
    unsigned n = first_part(rmw->lin, size);
    load(cpu, i, &place[0], (u8 *)&rmw->value, n);
    if (n < size)
        load(cpu, i, &place[1], (u8 *)&rmw->value + n, size - n);
    return true;
}

void mem_rmw_end(struct cpu *cpu, const struct insn *i, struct mem_rmw *rmw, u64 value)
{
    /* The walk of mem_rmw_begin allowed the write, and nothing has run in between. */
    bool ok = lin_write(cpu, i, rmw->lin, &value, rmw->size, ACC_WRITE);
    ASSERT(ok);
}

/* ---- The stack ---- */

void stack_begin(const struct cpu *cpu, struct stack *st)
{
    st->sp = cpu->gpr[RSP];
    st->mask = cpu->mode & MODE_64 ? UINT64_MAX : cpu->mode & MODE_SS32 ? UINT32_MAX : 0xffff;
    st->base = cpu->seg[SEG_SS].base;
    st->seg = SEG_SS;
    st->acc = 0;
}

static bool stack_linear(struct cpu *cpu, const struct stack *st, u64 sp, unsigned size,
                         unsigned acc, u64 *lin)
{
    if (!st->acc)
        return seg_linear(cpu, SEG_SS, sp, size, acc, lin);
    *lin = st->mask == UINT64_MAX ? sp : (u32)(st->base + sp); /* limits are the caller's */
    return true;
}

bool stack_push(struct cpu *cpu, const struct insn *i, struct stack *st, u64 val, unsigned size)
{
    u64 sp = (st->sp - size) & st->mask, lin;
    unsigned acc = st->acc | ACC_WRITE | ACC_SS;
    if (!stack_linear(cpu, st, sp, size, ACC_WRITE, &lin) ||
        !lin_write_int(cpu, i, lin, val, size, acc))
        return false;
    st->sp = (st->sp & ~st->mask) | sp;
    return true;
}

bool stack_pop(struct cpu *cpu, const struct insn *i, struct stack *st, u64 *val, unsigned size)
{
    u64 sp = st->sp & st->mask, lin;
    unsigned acc = st->acc | ACC_READ | ACC_SS;
    if (!stack_linear(cpu, st, sp, size, ACC_READ, &lin) ||
        !lin_read_int(cpu, i, lin, val, size, acc))
        return false;
    st->sp = (st->sp & ~st->mask) | ((sp + size) & st->mask);
    return true;
}

void stack_commit(struct cpu *cpu, const struct stack *st)
{
    cpu->gpr[RSP] = st->sp;
}
