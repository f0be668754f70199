/* SPDX-License-Identifier: MIT */
/*
 * MOVS, STOS, LODS, CMPS, SCAS (SDM "String Instructions"). The form index of a family tells the
 * repeat prefix: none, REP/REPE, REPNE. With a prefix each iteration is one instruction of guest
 * time: a run may be cut anywhere between two, and then restarts at the same RIP.
 *
 * Iterations are made in runs on host memory where both operands lie in pages that may be touched
 * directly, one by one elsewhere.
 */
#include "cpu/flags.h"

/* One operand during a repeated instruction. */
struct operand {
    enum seg_id seg;
    unsigned reg; /* RSI or RDI */
    unsigned acc;
    u64 lin;  /* of the current element, set by operand_at() */
    u64 room; /* elements from there on in this direction that lie in one page and segment */
};

struct string {
    struct cpu *cpu;
    const struct insn *i;
    unsigned size; /* bytes an element */
    bool down;     /* EFLAGS.DF */
    u64 mask;      /* of addresses and the counter */
};

static struct string string_begin(struct cpu *cpu, const struct insn *i, unsigned size)
{
    static const u64 masks[4] = {0xffff, UINT32_MAX, UINT64_MAX, UINT64_MAX};
    return (struct string){
        .cpu = cpu, .i = i, .size = size, .down = cpu->eflags & FLAG_DF, .mask = masks[EA_SIZE(i)]};
}

static void set_register(struct string *s, unsigned reg, u64 val)
{
    if (s->mask == 0xffff)
        SET_REG16(s->cpu, reg * 8, val);
    else
        s->cpu->gpr[reg] = val & s->mask;
}

static void advance(struct string *s, unsigned reg, u64 count)
{
    u64 bytes = count * s->size;
    set_register(s, reg, s->down ? s->cpu->gpr[reg] - bytes : s->cpu->gpr[reg] + bytes);
}

/* Elements until offsets wrap or, outside 64-bit mode, may leave the segment. */
static u64 segment_room(const struct string *s, const struct operand *op, u64 offset)
{
    const struct segment *seg = &s->cpu->seg[op->seg];
    if (s->down) {
        bool expands = !(seg->attr & ATTR_CODE) && (seg->attr & ATTR_EXPAND_DOWN);
        return !(s->cpu->mode & MODE_64) && expands ? 1 : offset / s->size + 1;
    }
    u64 last = s->mask;
    if (!(s->cpu->mode & MODE_64)) {
        if (!(seg->attr & ATTR_CODE) && (seg->attr & ATTR_EXPAND_DOWN))
            return 1;
        last = MIN(last, seg->limit);
    }
    return (last - offset) / s->size + ((last - offset) % s->size == s->size - 1);
}

static u64 page_room(const struct string *s, u64 lin)
{
    u64 in_page = lin & ~PAGE_MASK;
    if (in_page + s->size > PAGE_SIZE)
        return 0;
    return s->down ? in_page / s->size + 1 : (PAGE_SIZE - in_page) / s->size;
}

/* Finds where the operand is now. False: fault recorded. */
static bool operand_at(struct string *s, struct operand *op)
{
    u64 offset = s->cpu->gpr[op->reg] & s->mask;
    if (!seg_linear(s->cpu, op->seg, offset, s->size, op->acc, &op->lin))
        return false;
    op->room = MIN(page_room(s, op->lin), segment_room(s, op, offset));
    return true;
}

/* ---- Runs on host memory ---- */

#define ELEMENTS(bits, BODY)                                                                       \
    for (u64 k = 0; k < n; k++, to += step, from += step)                                          \
    host_store##bits(to, BODY)

static void copy_elements(u8 *to, const u8 *from, u64 n, unsigned size, s64 step)
{
    switch (size) {
    case 1:
        ELEMENTS(8, host_load8(from));
        break;
    case 2:
        ELEMENTS(16, host_load16(from));
        break;
    case 4:
        ELEMENTS(32, host_load32(from));
        break;
    default:
        ELEMENTS(64, host_load64(from));
        break;
    }
}

/*
 * Where source bytes are overwritten before they are read, elements must go one by one: then the
 * pattern repeats. Else the whole run may move at once.
 */
static void copy_run(const struct string *s, u8 *to, const u8 *from, u64 n)
{
    u64 bytes = n * s->size;
    if (s->down) {
        u8 *first_to = to + s->size - bytes;
        const u8 *first_from = from + s->size - bytes;
        bool overlap = (u64)(from - to) < bytes;
        if (overlap && from != to)
            copy_elements(to, from, n, s->size, -(s64)s->size);
        else
            memmove(first_to, first_from, bytes);
    } else if ((u64)(to - from) < bytes && from != to) {
        copy_elements(to, from, n, s->size, s->size);
    } else {
        memmove(to, from, bytes);
    }
}

static void fill_run(const struct string *s, u8 *to, u64 val, u64 n)
{
    if (s->down)
        to -= (n - 1) * s->size;
    u8 byte = (u8)val;
    u64 mask = MASK(s->size * 8);
    if ((val & mask) == (byte * UINT64_C(0x0101010101010101) & mask)) {
        memset(to, byte, n * s->size);
        return;
    }
    for (u64 k = 0; k < n; k++)
        memcpy(to + k * s->size, &val, s->size);
}

static u64 load_element(const u8 *p, unsigned size)
{
    u64 val = 0;
    memcpy(&val, p, size);
    return val;
}

/* ---- The repetition ---- */

/* What a step of iterations came to. */
enum outcome { STEP_DONE, STEP_STOP /* the condition ended it */, STEP_FAULT };

/* Makes 1 to room iterations and says in *count how many; registers are advanced. */
typedef enum outcome step_fn(struct string *s, u64 room, u64 *count);

/* How a repetition goes on: after it, at itself again, or it faulted. */
enum repeat_end { REPEAT_DONE, REPEAT_CUT, REPEAT_FAULT };

/*
 * Charges all iterations but the last, which the way out charges. A step that is followed by
 * another is charged in full before that, so that devices see the exact time.
 */
static ALWAYS_INLINE enum repeat_end repeat(struct string *s, step_fn *step)
{
    struct cpu *cpu = s->cpu;
    u64 left = cpu->gpr[RCX] & s->mask;
    while (left) {
        u64 budget = insn_budget(cpu, s->i), count = 0;
        enum outcome outcome = step(s, MIN(left, budget), &count);
        if (unlikely(outcome == STEP_FAULT))
            return REPEAT_FAULT;
        left -= count;
        set_register(s, RCX, left);
        bool done = !left || outcome == STEP_STOP;
        if (done || cpu->leave || count == budget) {
            insn_charge(cpu, count - 1);
            return done ? REPEAT_DONE : REPEAT_CUT;
        }
        insn_charge(cpu, count);
    }
    return REPEAT_DONE;
}

static ALWAYS_INLINE const struct insn *after_repeat(struct cpu *cpu, const struct insn *i,
                                                     enum repeat_end end)
{
    if (unlikely(end == REPEAT_FAULT))
        return insn_fault(cpu, i);
    if (unlikely(end == REPEAT_CUT)) {
        u64 rip = insn_rip(i);
        return insn_leave_at(cpu, i, cpu->mode & MODE_64 ? rip : (u32)rip);
    }
    REP_NEXT;
}

/* ---- MOVS ---- */
static enum outcome movs_step(struct string *s, u64 room, u64 *count)
{
    struct cpu *cpu = s->cpu;
    struct operand src = {(enum seg_id)INSN_SEG(s->i), RSI, ACC_READ, 0, 0};
    struct operand dst = {SEG_ES, RDI, ACC_WRITE, 0, 0};
    if (!operand_at(s, &src) || !operand_at(s, &dst))
        return STEP_FAULT;
    u64 n = MIN(room, MIN(src.room, dst.room)), val;
    const u8 *from = n ? lin_host(cpu, src.lin, ACC_READ) : NULL;
    u8 *to = from ? lin_host(cpu, dst.lin, ACC_WRITE) : NULL;
    if (likely(to != NULL)) {
        copy_run(s, to, from, n);
    } else {
        n = 1;
        if (!lin_read_int(cpu, s->i, src.lin, &val, s->size, ACC_READ) ||
            !lin_write_int(cpu, s->i, dst.lin, val, s->size, ACC_WRITE))
            return STEP_FAULT;
    }
    advance(s, RSI, n);
    advance(s, RDI, n);
    *count = n;
    return STEP_DONE;
}

/* ---- STOS ---- */
static enum outcome stos_step(struct string *s, u64 room, u64 *count)
{
    struct cpu *cpu = s->cpu;
    struct operand dst = {SEG_ES, RDI, ACC_WRITE, 0, 0};
    if (!operand_at(s, &dst))
        return STEP_FAULT;
    u64 n = MIN(room, dst.room);
    u8 *to = n ? lin_host(cpu, dst.lin, ACC_WRITE) : NULL;
    if (likely(to != NULL)) {
        fill_run(s, to, cpu->gpr[RAX], n);
    } else {
        n = 1;
        if (!lin_write_int(cpu, s->i, dst.lin, cpu->gpr[RAX], s->size, ACC_WRITE))
            return STEP_FAULT;
    }
    advance(s, RDI, n);
    *count = n;
    return STEP_DONE;
}

/* ---- LODS: only the last element counts, but all are read ---- */
static void set_accumulator(struct cpu *cpu, u64 val, unsigned size)
{
    switch (size) {
    case 1:
        SET_REG8(cpu, RAX * 8, val);
        break;
    case 2:
        SET_REG16(cpu, RAX * 8, val);
        break;
    default:
        cpu->gpr[RAX] = val; /* zero-extended */
        break;
    }
}
static enum outcome lods_step(struct string *s, u64 room, u64 *count)
{
    struct operand src = {(enum seg_id)INSN_SEG(s->i), RSI, ACC_READ, 0, 0};
    if (!operand_at(s, &src))
        return STEP_FAULT;
    u64 n = MIN(room, src.room), val;
    const u8 *from = n ? lin_host(s->cpu, src.lin, ACC_READ) : NULL;
    if (likely(from != NULL)) {
        u64 bytes = (n - 1) * s->size;
        val = load_element(s->down ? from - bytes : from + bytes, s->size);
    } else {
        n = 1;
        if (!lin_read_int(s->cpu, s->i, src.lin, &val, s->size, ACC_READ))
            return STEP_FAULT;
    }
    advance(s, RSI, n);
    set_accumulator(s->cpu, val, s->size);
    *count = n;
    return STEP_DONE;
}

/* ---- CMPS, SCAS: flags are those of the last iteration made ---- */
static void note_compare(struct cpu *cpu, u64 a, u64 b, unsigned size)
{
    unsigned bits = size * 8;
    cpu->cc_op = CC_SUB + (size == 1 ? W8 : size == 2 ? W16 : size == 4 ? W32 : W64);
    cpu->cc_dst = sign_extend(a - b, bits);
    cpu->cc_src = sign_extend(b, bits);
}

/* REPE goes on while elements are equal, REPNE while they differ. */
static ALWAYS_INLINE enum outcome cmps_step(struct string *s, u64 room, u64 *count, bool repe)
{
    struct cpu *cpu = s->cpu;
    struct operand src = {(enum seg_id)INSN_SEG(s->i), RSI, ACC_READ, 0, 0};
    struct operand dst = {SEG_ES, RDI, ACC_READ, 0, 0};
    if (!operand_at(s, &src) || !operand_at(s, &dst))
        return STEP_FAULT;
    u64 n = MIN(room, MIN(src.room, dst.room)), a = 0, b = 0, k = 0;
    const u8 *pa = n ? lin_host(cpu, src.lin, ACC_READ) : NULL;
    const u8 *pb = pa ? lin_host(cpu, dst.lin, ACC_READ) : NULL;
    if (likely(pb != NULL)) {
        s64 step = s->down ? -(s64)s->size : (s64)s->size;
        do {
            a = load_element(pa, s->size);
            b = load_element(pb, s->size);
            pa += step;
            pb += step;
            k++;
        } while (k < n && (a == b) == repe);
    } else {
        k = 1;
        if (!lin_read_int(cpu, s->i, src.lin, &a, s->size, ACC_READ) ||
            !lin_read_int(cpu, s->i, dst.lin, &b, s->size, ACC_READ))
            return STEP_FAULT;
    }
    advance(s, RSI, k);
    advance(s, RDI, k);
    note_compare(cpu, a, b, s->size);
    *count = k;
    return (a == b) == repe ? STEP_DONE : STEP_STOP;
}
static enum outcome cmps_repe_step(struct string *s, u64 room, u64 *count)
{
    return cmps_step(s, room, count, true);
}
static enum outcome cmps_repne_step(struct string *s, u64 room, u64 *count)
{
    return cmps_step(s, room, count, false);
}

static ALWAYS_INLINE enum outcome scas_step(struct string *s, u64 room, u64 *count, bool repe)
{
    struct cpu *cpu = s->cpu;
    struct operand dst = {SEG_ES, RDI, ACC_READ, 0, 0};
    if (!operand_at(s, &dst))
        return STEP_FAULT;
    u64 n = MIN(room, dst.room), a = cpu->gpr[RAX] & MASK(s->size * 8), b = 0, k = 0;
    const u8 *pb = n ? lin_host(cpu, dst.lin, ACC_READ) : NULL;
    if (likely(pb != NULL)) {
        s64 step = s->down ? -(s64)s->size : (s64)s->size;
        do {
            b = load_element(pb, s->size);
            pb += step;
            k++;
        } while (k < n && (a == b) == repe);
    } else {
        k = 1;
        if (!lin_read_int(cpu, s->i, dst.lin, &b, s->size, ACC_READ))
            return STEP_FAULT;
    }
    advance(s, RDI, k);
    note_compare(cpu, a, b, s->size);
    *count = k;
    return (a == b) == repe ? STEP_DONE : STEP_STOP;
}
static enum outcome scas_repe_step(struct string *s, u64 room, u64 *count)
{
    return scas_step(s, room, count, true);
}
static enum outcome scas_repne_step(struct string *s, u64 room, u64 *count)
{
    return scas_step(s, room, count, false);
}

/* ---- Without prefix: one iteration, no counter ---- */
#define ONCE(name, step, bits)                                                                     \
    static NOINLINE bool name##bits##_once(struct cpu *cpu, const struct insn *i)                  \
    {                                                                                              \
        struct string s = string_begin(cpu, i, (bits) / 8);                                        \
        u64 count;                                                                                 \
        return step(&s, 1, &count) != STEP_FAULT;                                                  \
    }                                                                                              \
    static COLD HANDLER(name##bits##_slow)                                                         \
    {                                                                                              \
        if (!name##bits##_once(cpu, i))                                                            \
            return insn_fault(cpu, i);                                                             \
        SLOW_NEXT;                                                                                 \
    }

/* 64-bit addresses, no segment base: the case of the fast handlers. */
#define FLAT(i) (EA_SIZE(i) == 2 && INSN_SEG(i) < SEG_FS)
#define STEP_BY(cpu, size) ((cpu)->eflags & FLAG_DF ? -(u64)(size) : (u64)(size))

#define STRING_ONE(bits)                                                                           \
    ONCE(movs, movs_step, bits)                                                                    \
    static HANDLER(op_movs##bits)                                                                  \
    {                                                                                              \
        const u8 *from = fast_read(cpu, cpu->gpr[RSI], (bits) / 8);                                \
        u8 *to = fast_write(cpu, cpu->gpr[RDI], (bits) / 8);                                       \
        if (unlikely(!FLAT(i) || !from || !to))                                                    \
            return movs##bits##_slow(cpu, i);                                                      \
        host_store##bits(to, host_load##bits(from));                                               \
        cpu->gpr[RSI] += STEP_BY(cpu, (bits) / 8);                                                 \
        cpu->gpr[RDI] += STEP_BY(cpu, (bits) / 8);                                                 \
        NEXT;                                                                                      \
    }                                                                                              \
    ONCE(stos, stos_step, bits)                                                                    \
    static HANDLER(op_stos##bits)                                                                  \
    {                                                                                              \
        u8 *to = fast_write(cpu, cpu->gpr[RDI], (bits) / 8);                                       \
        if (unlikely(EA_SIZE(i) != 2 || !to))                                                      \
            return stos##bits##_slow(cpu, i);                                                      \
        host_store##bits(to, (u##bits)cpu->gpr[RAX]);                                              \
        cpu->gpr[RDI] += STEP_BY(cpu, (bits) / 8);                                                 \
        NEXT;                                                                                      \
    }                                                                                              \
    ONCE(lods, lods_step, bits)                                                                    \
    static HANDLER(op_lods##bits)                                                                  \
    {                                                                                              \
        const u8 *from = fast_read(cpu, cpu->gpr[RSI], (bits) / 8);                                \
        if (unlikely(!FLAT(i) || !from))                                                           \
            return lods##bits##_slow(cpu, i);                                                      \
        SET_REG##bits(cpu, RAX * 8, host_load##bits(from));                                        \
        cpu->gpr[RSI] += STEP_BY(cpu, (bits) / 8);                                                 \
        NEXT;                                                                                      \
    }                                                                                              \
    ONCE(cmps, cmps_repe_step, bits)                                                               \
    static HANDLER(op_cmps##bits)                                                                  \
    {                                                                                              \
        const u8 *pa = fast_read(cpu, cpu->gpr[RSI], (bits) / 8);                                  \
        const u8 *pb = fast_read(cpu, cpu->gpr[RDI], (bits) / 8);                                  \
        if (unlikely(!FLAT(i) || !pa || !pb))                                                      \
            return cmps##bits##_slow(cpu, i);                                                      \
        u##bits a = host_load##bits(pa), b = host_load##bits(pb);                                  \
        SET_CC(SUB, bits, a - b, b);                                                               \
        cpu->gpr[RSI] += STEP_BY(cpu, (bits) / 8);                                                 \
        cpu->gpr[RDI] += STEP_BY(cpu, (bits) / 8);                                                 \
        NEXT;                                                                                      \
    }                                                                                              \
    ONCE(scas, scas_repe_step, bits)                                                               \
    static HANDLER(op_scas##bits)                                                                  \
    {                                                                                              \
        const u8 *pb = fast_read(cpu, cpu->gpr[RDI], (bits) / 8);                                  \
        if (unlikely(EA_SIZE(i) != 2 || !pb))                                                      \
            return scas##bits##_slow(cpu, i);                                                      \
        u##bits a = (u##bits)cpu->gpr[RAX], b = host_load##bits(pb);                               \
        SET_CC(SUB, bits, a - b, b);                                                               \
        cpu->gpr[RDI] += STEP_BY(cpu, (bits) / 8);                                                 \
        NEXT;                                                                                      \
    }
STRING_ONE(8)
STRING_ONE(16)
STRING_ONE(32)
STRING_ONE(64)

#define REPEATED(name, step, bits)                                                                 \
    static NOINLINE enum repeat_end name##bits(struct cpu *cpu, const struct insn *i)              \
    {                                                                                              \
        struct string s = string_begin(cpu, i, (bits) / 8);                                        \
        return repeat(&s, step);                                                                   \
    }                                                                                              \
    static HANDLER(name##bits##_slow)                                                              \
    {                                                                                              \
        return after_repeat(cpu, i, name##bits(cpu, i));                                           \
    }
#define REPEATED4(name, step)                                                                      \
    REPEATED(name, step, 8)                                                                        \
    REPEATED(name, step, 16)                                                                       \
    REPEATED(name, step, 32)                                                                       \
    REPEATED(name, step, 64)
REPEATED4(rep_movs, movs_step)
REPEATED4(rep_stos, stos_step)
REPEATED4(rep_lods, lods_step)
REPEATED4(repe_cmps, cmps_repe_step)
REPEATED4(repne_cmps, cmps_repne_step)
REPEATED4(repe_scas, scas_repe_step)
REPEATED4(repne_scas, scas_repne_step)

#define STRING_FAMILY(op, rep, repne)                                                              \
    const struct op_family fam_##op = {{{{op_##op##8, rep##8_slow, repne##8_slow},                 \
                                         {op_##op##16, rep##16_slow, repne##16_slow},              \
                                         {op_##op##32, rep##32_slow, repne##32_slow},              \
                                         {op_##op##64, rep##64_slow, repne##64_slow}}}};
STRING_FAMILY(movs, rep_movs, rep_movs)
STRING_FAMILY(stos, rep_stos, rep_stos)
STRING_FAMILY(lods, rep_lods, rep_lods)
STRING_FAMILY(cmps, repe_cmps, repne_cmps)
STRING_FAMILY(scas, repe_scas, repne_scas)
