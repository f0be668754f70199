/* SPDX-License-Identifier: MIT */
/* The monitor's commands about addresses: dumps, disassembly, page tables, EPT, the TLB. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/insn_log.h"
#include "frontend/monitor_state.h"
#include "mmu/ept.h"
#include "mmu/peek.h"

#define DUMP_MAX 65536 /* items of one command */

/* ---- Formats ---- */

/* "/16xb"; what it doesn't say stays as it was. */
static bool read_format(struct monitor_call *c, const char *text)
{
    struct monitor_format *f = &c->m->format;
    char *end = (char *)(uintptr_t)(text + 1);
    f->count = 1;
    if (isdigit((unsigned char)*end))
        f->count = (unsigned)strtoul(end, &end, 10);
    for (; *end; end++) {
        static const char sizes[] = "bhwg";
        const char *size = strchr(sizes, *end);
        if (size)
            f->size = 1u << (size - sizes);
        else if (strchr("xduocsi", *end))
            f->kind = *end;
        else
            break;
    }
    if (*end || !f->count || f->count > DUMP_MAX) {
        monitor_error(c, "%s: expected /COUNT, one of x d u o c s i, one of b h w g", text);
        return false;
    }
    return true;
}

struct dump {
    struct monitor_call *c;
    u64 at;
    bool physical;
};

static size_t fetch(const struct dump *d, void *to, size_t size)
{
    struct debugger *debugger = d->c->m->debugger;
    if (d->physical)
        return debugger_read_physical(debugger_group(debugger), d->at, to, size);
    return debugger_read(debugger_cpu(debugger), d->at, to, size);
}

static void print_item(FILE *out, char kind, unsigned size, u64 value)
{
    s64 number = (s64)sign_extend(value, 8 * size);
    if (kind == 'd')
        fprintf(out, " %*lld", 2 * (int)size + 2, (long long)number);
    else if (kind == 'u')
        fprintf(out, " %*llu", 2 * (int)size + 2, (unsigned long long)value);
    else if (kind == 'o')
        fprintf(out, " 0%0*llo", (int)(8 * size + 2) / 3, (unsigned long long)value);
    else if (kind == 'c' && isprint((int)(value & 0xff)))
        fprintf(out, " '%c'", (int)(value & 0xff));
    else if (kind == 'c')
        fprintf(out, " \\%03o", (unsigned)(value & 0xff));
    else
        fprintf(out, " 0x%0*llx", 2 * (int)size, (unsigned long long)value);
}

static void no_memory(const struct dump *d)
{
    fprintf(d->c->out, "%016llx: can't be read\n", (unsigned long long)d->at);
}

static void dump_items(struct dump *d)
{
    const struct monitor_format *f = &d->c->m->format;
    unsigned line = f->kind == 'c' ? 8 : 16 / f->size, n = 0;
    for (; n < f->count; n++) {
        u64 value = 0;
        if (fetch(d, &value, f->size) != f->size) {
            if (n % line)
                fputc('\n', d->c->out);
            no_memory(d);
            return;
        }
        if (n % line == 0)
            fprintf(d->c->out, "%s%016llx:", n ? "\n" : "", (unsigned long long)d->at);
        print_item(d->c->out, f->kind, f->size, value);
        d->at += f->size;
    }
    fputc('\n', d->c->out);
}

static void dump_strings(struct dump *d)
{
    for (unsigned n = 0; n < d->c->m->format.count; n++) {
        char ch = 0;
        unsigned length = 0;
        fprintf(d->c->out, "%016llx: \"", (unsigned long long)d->at);
        while (length++ < 4096 && fetch(d, &ch, 1) == 1) {
            d->at++;
            if (!ch)
                break;
            fprintf(d->c->out, isprint((unsigned char)ch) ? "%c" : "\\%03o", (unsigned char)ch);
        }
        fprintf(d->c->out, "\"\n");
    }
}

static void dump_code(struct dump *d)
{
    const struct cpu *cpu = monitor_cpu(d->c);
    for (unsigned n = 0; n < d->c->m->format.count; n++) {
        u8 bytes[15];
        char text[INSN_TEXT];
        size_t have = fetch(d, bytes, sizeof(bytes));
        if (!have) {
            no_memory(d);
            return;
        }
        unsigned length = insn_disassemble(cpu, d->at, bytes, have, text);
        fprintf(d->c->out, "%016llx: %s\n", (unsigned long long)d->at, text);
        d->at += length ? length : 1;
    }
}

static void dump(struct monitor_call *c, bool physical)
{
    struct dump d = {.c = c, .physical = physical};
    bool format = c->word[1][0] == '/';
    c->m->format.count = 1;
    if (c->words != 2u + format) {
        monitor_error(c, "expected [/FORMAT] ADDR");
        return;
    }
    if ((format && !read_format(c, c->word[1])) || !monitor_value(c, c->word[c->words - 1], &d.at))
        return;
    if (c->m->format.kind == 's')
        dump_strings(&d);
    else if (c->m->format.kind == 'i')
        dump_code(&d);
    else
        dump_items(&d);
}

void monitor_x(struct monitor_call *c)
{
    dump(c, false);
}

void monitor_xp(struct monitor_call *c)
{
    dump(c, true);
}

void monitor_translate(struct monitor_call *c)
{
    u64 lin, hpa;
    if (!monitor_value(c, c->word[1], &lin))
        return;
    if (debugger_translate(monitor_cpu(c), lin, &hpa))
        fprintf(c->out, "0x%llx\n", (unsigned long long)hpa);
    else
        fprintf(c->out, "not mapped\n");
}

/* ---- EPT ---- */

#define EPT_LEVELS_MAX 5
#define EPT_LEAF BIT(7)
#define EPT_ADDRESS (MASK(52) & PAGE_MASK)

/* One entry that a walk of EPT uses. */
struct ept_step {
    unsigned level;
    u64 table, entry;
    unsigned index;
};

/* The walk of gpa by eptp, without side effects. Returns the steps; *hpa is ~0 if it isn't mapped. */
static unsigned ept_look(struct debugger *d, u64 eptp, u64 gpa, struct ept_step *step, u64 *hpa)
{
    unsigned levels = (unsigned)BITS(eptp, 5, 3) + 1, n = 0;
    u64 table = eptp & EPT_ADDRESS;
    *hpa = UINT64_MAX;
    if (levels < 4 || levels > EPT_LEVELS_MAX)
        return 0;
    for (unsigned level = levels; level; level--) {
        unsigned shift = PAGE_SHIFT + 9 * (level - 1);
        struct ept_step *s = &step[n++];
        *s = (struct ept_step){level, table, MASK(64), (unsigned)(gpa >> shift & 511)};
        debugger_read_physical(debugger_group(d), table + 8 * s->index, &s->entry, 8);
        if (!(s->entry & (EPT_R | EPT_W | EPT_X)))
            return n;
        table = s->entry & EPT_ADDRESS;
        if (level == 1 || (level <= 3 && (s->entry & EPT_LEAF))) {
            *hpa = (table & ~MASK(shift)) | (gpa & MASK(shift));
            return n;
        }
    }
    return n;
}

static bool ept_root(struct monitor_call *c, u64 *eptp)
{
    const struct cpu *cpu = monitor_cpu(c);
    if (c->words > 3)
        return monitor_value(c, c->word[3], eptp);
    *eptp = cpu->eptp;
    if (!*eptp)
        monitor_error(c, "the processor uses no EPT now: expected ept ADDR EPTP");
    return *eptp;
}

void monitor_info_ept(struct monitor_call *c)
{
    static const char *const types[8] = {"UC", "WC", "2", "3", "WT", "WP", "WB", "7"};
    struct ept_step step[EPT_LEVELS_MAX];
    u64 gpa, eptp, hpa;
    if (c->words < 3) {
        monitor_error(c, "expected ept ADDR [EPTP]");
        return;
    }
    if (!monitor_value(c, c->word[2], &gpa) || !ept_root(c, &eptp))
        return;
    fprintf(c->out, "EPTP %016llx: %u levels, %s, accessed and dirty flags %s\n",
            (unsigned long long)eptp, (unsigned)BITS(eptp, 5, 3) + 1, types[eptp & 7],
            eptp & EPTP_AD ? "on" : "off");
    unsigned count = ept_look(c->m->debugger, eptp, gpa, step, &hpa);
    for (unsigned n = 0; n < count; n++) {
        const struct ept_step *s = &step[n];
        u64 e = s->entry;
        bool leaf = s->level == 1 || (s->level <= 3 && (e & EPT_LEAF));
        fprintf(c->out, "level %u: %012llx[%3u] = %016llx %c%c%c %c%c%s%s\n", s->level,
                (unsigned long long)s->table, s->index, (unsigned long long)e,
                e & EPT_R ? 'r' : '-', e & EPT_W ? 'w' : '-', e & EPT_X ? 'x' : '-',
                e & BIT(8) ? 'A' : '-', e & BIT(9) ? 'D' : '-', leaf ? " " : "",
                leaf ? types[BITS(e, 5, 3)] : "");
    }
    if (hpa == UINT64_MAX)
        fprintf(c->out, "%llx is not mapped\n", (unsigned long long)gpa);
    else
        fprintf(c->out, "%llx is at %llx\n", (unsigned long long)gpa, (unsigned long long)hpa);
}

/* ---- Linear addresses that are mapped ---- */

#define PTE_P BIT(0)
#define PTE_RW BIT(1)
#define PTE_US BIT(2)
#define PTE_PS BIT(7)
#define PTE_XD BIT(63)

/* Ranges with the same rights, being joined. */
struct ranges {
    struct monitor_call *c;
    struct walk_ctx ctx;
    unsigned entry_bytes, index_bits, linear_bits;
    u64 from, to, rights; /* to == from: none */
};

static void flush_range(struct ranges *r)
{
    if (r->to != r->from)
        fprintf(r->c->out, "%016llx-%016llx %12llx %c%c%c\n",
                (unsigned long long)sign_extend(r->from, r->linear_bits),
                (unsigned long long)sign_extend(r->to - 1, r->linear_bits),
                (unsigned long long)(r->to - r->from), r->rights & PTE_US ? 'u' : '-',
                r->rights & PTE_RW ? 'w' : 'r', r->rights & PTE_XD ? '-' : 'x');
    r->from = r->to = 0;
}

static void add_range(struct ranges *r, u64 lin, u64 size, u64 rights)
{
    if (r->to != lin || r->rights != rights || r->to == r->from) {
        flush_range(r);
        r->from = lin;
        r->rights = rights;
    }
    r->to = lin + size;
}

/* An entry of a paging structure at a guest-physical address; 0 where there is no memory. */
static u64 table_entry(const struct ranges *r, u64 gpa)
{
    struct cpu_group *group = debugger_group(r->c->m->debugger);
    u64 hpa, entry = 0;
    if (!peek_gpa(&r->ctx, gpa, &hpa) ||
        debugger_read_physical(group, hpa, &entry, r->entry_bytes) != r->entry_bytes)
        return 0;
    return entry;
}

static void walk_table(struct ranges *r, u64 table, unsigned level, u64 lin, u64 rights);

static void walk_entry(struct ranges *r, u64 entry, unsigned level, u64 lin, u64 rights)
{
    unsigned shift = PAGE_SHIFT + r->index_bits * (level - 1);
    if (!(entry & PTE_P))
        return;
    /* What only some entries allow is not allowed; what one forbids to execute, all do. */
    rights = (rights & entry & (PTE_RW | PTE_US)) | ((rights | entry) & PTE_XD);
    bool may_be_large = level > 1 && level <= (r->entry_bytes == 4 ? 2u : 3u);
    if (level == 1 || (may_be_large && (entry & PTE_PS)))
        add_range(r, lin, BIT(shift), rights);
    else
        walk_table(r, entry & EPT_ADDRESS, level - 1, lin, rights);
}

static void walk_table(struct ranges *r, u64 table, unsigned level, u64 lin, u64 rights)
{
    unsigned shift = PAGE_SHIFT + r->index_bits * (level - 1);
    for (u64 n = 0; n < BIT(r->index_bits); n++)
        walk_entry(r, table_entry(r, table + n * r->entry_bytes), level, lin + (n << shift),
                   rights);
}

/* The entries of CR3's table itself, being in registers, allow everything below them. */
static void walk_pae(struct ranges *r)
{
    for (unsigned n = 0; n < 4; n++)
        if (r->ctx.pdpte[n] & PTE_P)
            walk_table(r, r->ctx.pdpte[n] & EPT_ADDRESS, 2, (u64)n << 30, PTE_RW | PTE_US);
}

void monitor_info_mem(struct monitor_call *c)
{
    struct ranges r = {.c = c, .entry_bytes = 8, .index_bits = 9};
    cpu_walk_ctx(monitor_cpu(c), false, &r.ctx);
    r.linear_bits = r.ctx.mode == WALK_5LEVEL ? 57 : r.ctx.mode == WALK_4LEVEL ? 48 : 64;
    u64 root = r.ctx.cr3 & EPT_ADDRESS, all = PTE_RW | PTE_US;
    switch (r.ctx.mode) {
    case WALK_NONE:
        fprintf(c->out, "paging is off\n");
        return;
    case WALK_32BIT:
        r.entry_bytes = 4;
        r.index_bits = 10;
        walk_table(&r, root & UINT32_MAX, 2, 0, all);
        break;
    case WALK_PAE:
        walk_pae(&r);
        break;
    case WALK_4LEVEL:
        walk_table(&r, root, 4, 0, all);
        break;
    case WALK_5LEVEL:
        walk_table(&r, root, 5, 0, all);
        break;
    }
    flush_range(&r);
}

/* ---- The host-pointer TLB ---- */

static void print_context(struct monitor_call *c, const struct tlb_ctx *ctx, bool current)
{
    static const char *const views[] = {"supervisor", "supervisor, AC", "user"};
    unsigned used = 0;
    for (size_t n = 0; n < ARRAY_SIZE(ctx->used); n++)
        used += (unsigned)__builtin_popcountll(ctx->used[n]);
    fprintf(c->out, "%c vpid %u pcid %u cr3 %llx eptp %llx, %s: %u translations\n",
            current ? '*' : ' ', ctx->key.vpid, ctx->key.pcid, (unsigned long long)ctx->key.cr3,
            (unsigned long long)ctx->key.eptp, views[ctx->key.view % ARRAY_SIZE(views)], used);
}

static void print_translation(struct monitor_call *c, const struct tlb_ctx *ctx, size_t slot)
{
    const struct tlb_entry *e = &ctx->entry[slot];
    u64 none = tlb_no_tag(slot);
    u64 page = e->rtag != none ? e->rtag : e->xtag != none ? e->xtag : e->wtag;
    const struct ram *ram = &monitor_cpu(c)->bus->ram;
    fprintf(c->out, "  %016llx -> %012llx %c%c%c%s\n", (unsigned long long)page,
            (unsigned long long)ram_hpa(ram, (const u8 *)(uintptr_t)(page + e->addend)),
            e->rtag != none ? 'r' : '-', e->wtag != none ? 'w' : '-', e->xtag != none ? 'x' : '-',
            ctx->global[slot / 64] >> (slot % 64) & 1 ? " global" : "");
}

void monitor_info_tlb(struct monitor_call *c)
{
    const struct cpu *cpu = monitor_cpu(c);
    for (u32 n = 0; n < cpu->tlb_store.count; n++)
        if (cpu->tlb_store.ctx[n].valid)
            print_context(c, &cpu->tlb_store.ctx[n], &cpu->tlb_store.ctx[n] == cpu->ctx);
    fprintf(c->out, "in the current one:\n");
    for (size_t slot = 0; slot < TLB_ENTRIES; slot++)
        if (cpu->ctx->used[slot / 64] >> (slot % 64) & 1)
            print_translation(c, cpu->ctx, slot);
}
