/* SPDX-License-Identifier: MIT */
/*
 * The integer handlers against the host's processor: each row's encodings with random operands, on
 * every form of handler there is (fast, general, with live and with dead flags), from lazy and from
 * evaluated flags. Skipped where the host is no x86-64.
 */
#include "tests/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/decode.h"
#include "cpu/encode.h"
#include "cpu/exec.h"
#include "tests/cpu/machine.h"
#include "tests/cpu/native.h"
#if defined(__x86_64__)
#include <cpuid.h>
#endif

static struct machine m;
static struct cpu *cpu;
static u8 *buffer;   /* two pages of RAM that the CPU sees at their host address */
static u64 room[32]; /* for a block of two records */

static u64 rng(void)
{
    static u64 x = 0x9e3779b97f4a7c15;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

/* Mostly values at the edges. */
static u64 value(void)
{
    static const u64 edges[] = {0,         1,       2,          0x7f,       0x80,       0xff,
                                0x7fff,    0x8000,  0xffff,     0x7fffffff, 0x80000000, 0xffffffff,
                                INT64_MAX, BIT(63), UINT64_MAX, 0x0f,       0x10};
    switch (rng() % 4) {
    case 0:
        return edges[rng() % ARRAY_SIZE(edges)];
    case 1:
        return rng() >> (rng() % 64);
    case 2:
        return edges[rng() % ARRAY_SIZE(edges)] + rng() % 3 - 1;
    default:
        return rng();
    }
}

static HANDLER(stop)
{
    (void)cpu;
    (void)i;
    return NULL;
}

static bool setup(void)
{
    if (!native_init())
        return false;
    machine_init(&m, 1, NULL);
    cpu = m.cpu[0];
    memset(m.model.features, 0xff, sizeof(m.model.features)); /* those not advertised yet, too */
    cpu->mode = MODE_64 | MODE_LMA | MODE_PE | MODE_CS32;
    buffer = (u8 *)(((uintptr_t)m.bus.ram.host + 0x20000) & ~(uintptr_t)4095);
    for (unsigned k = 0; k < 2; k++) {
        u64 va = (u64)(uintptr_t)buffer + k * PAGE_SIZE;
        struct tlb_entry *e = tlb_slot(cpu->tlb, va);
        *e = (struct tlb_entry){.rtag = va, .wtag = va, .xtag = va, .addend = 0};
    }
    return true;
}

/* ---- What is tested ---- */

struct undefined {
    const char *names;
    u64 flags;
};
#define UNDEF_ALL FLAGS_STATUS
static const struct undefined undefined[] = {
    {" AND OR XOR TEST ", FLAG_AF},
    {" MUL IMUL ", FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF},
    {" DIV IDIV ", UNDEF_ALL},
    {" SHL SAL SHR SAR SHLD SHRD ", FLAG_AF},
    {" BT BTS BTR BTC ", FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF},
    {" BSF BSR ", UNDEF_ALL & ~FLAG_ZF},
    {" TZCNT LZCNT ", FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF},
};

static bool named(const char *list, const char *name)
{
    char word[32];
    snprintf(word, sizeof(word), " %s ", name);
    return strstr(list, word) != NULL;
}

static bool wanted(const struct op_row *row)
{
    static const char *const list =
        " ADD OR ADC SBB AND SUB XOR CMP TEST INC DEC NOT NEG XADD CMPXCHG ADCX ADOX MUL IMUL DIV "
        "IDIV"
        " ROL ROR RCL RCR SHL SHR SAL SAR SHLD SHRD BT BTS BTR BTC BSF BSR TZCNT LZCNT POPCNT BSWAP"
        " MOVZX MOVSX MOVSXD MOVBE XCHG LEA CBW CWD CLC STC CMC SAHF LAHF CMPXCHG8B MOVNTI NOP "
        " MOVS STOS LODS CMPS SCAS ";
    if (row->mode == OPMODE_I64)
        return false;
    if (row->cls == CLASS_NOP) /* other hints are undefined on some processors */
        return row->map == MAP_0F && row->opcode == 0x1f;
    if (strncmp(row->name, "SET", 3) == 0 || strncmp(row->name, "CMOV", 4) == 0)
        return true;
    if (strcmp(row->name, "MOV") == 0)
        return !op_has_letter(row, LET_S) && !op_has_letter(row, LET_C) &&
               !op_has_letter(row, LET_D) && !op_has_letter(row, LET_O) && op_has_modrm(row);
    if (strcmp(row->name, "BSWAP") == 0)
        return true;
    return named(list, row->name);
}

#if defined(__x86_64__)
/* Bit of a CPUID register of the host; __builtin_cpu_supports() knows fewer names under clang. */
static bool host_bit(unsigned leaf, unsigned reg, unsigned bit)
{
    unsigned r[4] = {0};
    if (!__get_cpuid_count(leaf, 0, &r[0], &r[1], &r[2], &r[3]))
        return false;
    return r[reg] >> bit & 1;
}
#endif

static bool host_has(const struct op_row *row)
{
#if defined(__x86_64__)
    enum { EBX = 1, ECX = 2 };
    switch (row->feature) {
    case FEAT_ADX:
        return host_bit(7, EBX, 19);
    case FEAT_MOVBE:
        return host_bit(1, ECX, 22);
    case FEAT_BMI1:
        return host_bit(7, EBX, 3);
    case FEAT_LZCNT:
        return host_bit(0x80000001, ECX, 5);
    case FEAT_POPCNT:
        return host_bit(1, ECX, 23);
    default:
        return true;
    }
#else
    (void)row;
    return true;
#endif
}

static u64 ignored_flags(const struct decoded *d, const struct native_state *before)
{
    const char *name = d->row->name;
    u64 flags = 0;
    for (unsigned k = 0; k < ARRAY_SIZE(undefined); k++)
        if (named(undefined[k].names, name))
            flags |= undefined[k].flags;
    if (d->row->cls != CLASS_SHIFT)
        return flags;
    unsigned bits = 8u << d->width, count = d->insn.imm & (bits == 64 ? 63 : 31);
    if (d->row->op[1] == OPND_CL || d->row->op[2] == OPND_CL)
        count = before->gpr[RCX] & (bits == 64 ? 63 : 31);
    if (d->row->op[1] == OPND_ONE)
        count = 1;
    if (count == 0)
        return 0;
    if (count != 1)
        flags |= FLAG_OF;
    if (count >= bits && named(" SHL SAL SHR SHLD SHRD ", name))
        flags |= FLAG_CF;
    return flags;
}

/* 16-bit double shifts by more than 16 are undefined altogether; so is BSWAP of 16 bits. */
static bool undefined_result(const struct decoded *d, const struct native_state *before)
{
    if (named(" BSWAP ", d->row->name))
        return d->width == W16;
    if (!named(" SHLD SHRD ", d->row->name) || d->width != W16)
        return false;
    u64 count = d->row->op[2] == OPND_CL ? before->gpr[RCX] : d->insn.imm;
    return (count & 31) > 16;
}

/* ---- One case ---- */

struct test_case {
    u8 bytes[32];
    unsigned length;
    struct decoded d;
    struct native_state before, after;
    u32 cc_op;
    u64 cc_dst, cc_src;
    u8 memory[768], memory_after[768];
    bool fault;
};

static bool uses_rsp(const struct insn *in)
{
    return in->reg / 8 == RSP || in->rm / 8 == RSP || in->base / 8 == RSP || in->index / 8 == RSP;
}

static bool make_encoding(const struct op_row *row, struct test_case *t)
{
    struct op_encoding e = {.mode = MODE_64 | MODE_CS32};
    e.p66 = rng() % 4 == 0;
    e.rex = rng() % 3 ? (u8)(0x40 | rng() % 16) : 0;
    e.low = rng() % 8;
    e.modrm = (u8)rng();
    e.sib = (u8)rng();
    e.p67 = row->cls == CLASS_LEA && rng() % 4 == 0;
    if (row->cls == CLASS_LEA && (e.modrm & 0xc7) == 5)
        return false; /* relative to RIP, which is another here */
    e.disp = value();
    e.imm = value();
    if ((row->flags & ROW_REPS) && rng() % 4)
        e.rep = 0xf2 + (rng() & 1);
    t->length = op_encode(row, &e, t->bytes);
    if (decode_insn(t->bytes, t->length, cpu->mode, 0x1000, &m.model, &t->d) != DECODE_OK)
        return false;
    if (t->d.row != row || INSN_LEN(&t->d.insn) != t->length)
        return false;
    if (t->d.insn.fn == op_ud || t->d.insn.fn == op_gp0 || uses_rsp(&t->d.insn))
        return false;
    /* A family without an entry is somebody's who isn't done. */
    return t->d.insn.fn != NULL;
}

static bool is_string(const struct decoded *d)
{
    return d->row->flags & ROW_REPS;
}

static bool has_memory(const struct decoded *d)
{
    return !is_string(d) && d->form != FORM_REG;
}

static u8 *window(void)
{
    return buffer + PAGE_SIZE - 512; /* all that operands may reach */
}

/* Makes the operand's address point into the buffer, sometimes across its pages. */
static bool aim(struct test_case *t)
{
    const struct insn *in = &t->d.insn;
    u64 *gpr = t->before.gpr;
    u64 target = (u64)(uintptr_t)buffer + PAGE_SIZE - 64 + rng() % 128;
    if (rng() % 8)
        target -= 256;
    if (named(" CMPXCHG8B ", t->d.row->name))
        target &= ~UINT64_C(15);
    if (in->base == ZERO_OFFSET || in->base == in->index)
        return false;
    if (named(" BT BTS BTR BTC ", t->d.row->name) && t->d.row->op[1] != OPND_Ib) {
        if (in->reg == in->base || in->reg == in->index)
            return false;
        u64 off = rng() % 256 - 128;
        gpr[in->reg / 8] = t->d.width == W16   ? (rng() & ~0xffffull) | (u16)off
                           : t->d.width == W32 ? (rng() << 32) | (u32)off
                                               : off;
    }
    u64 index = in->index == ZERO_OFFSET ? 0 : gpr[in->index / 8];
    gpr[in->base / 8] = target - (index << EA_SHIFT(in)) - in->disp;
    if (rng() % 2 && named(" CMPXCHG CMPXCHG8B ", t->d.row->name)) { /* one that succeeds */
        bool wide = t->d.width == W64;
        memcpy(t->memory + (target - (u64)(uintptr_t)window()), &gpr[RAX], 8);
        memcpy(t->memory + (target - (u64)(uintptr_t)window()) + (wide ? 8 : 4), &gpr[RDX], 8);
    }
    return true;
}

static void aim_string(struct test_case *t)
{
    u64 mid = (u64)(uintptr_t)buffer + PAGE_SIZE - 128;
    t->before.gpr[RSI] = mid + rng() % 128;
    t->before.gpr[RDI] = mid + rng() % 128;
    t->before.gpr[RCX] = rng() % 9;
    if (rng() % 2) /* equal elements */
        memset(t->memory, (int)(rng() % 2 ? t->before.gpr[RAX] & 0xff : 0), sizeof(t->memory));
}

static void random_flags(struct test_case *t)
{
    t->cc_op = rng() % 3 ? (u32)(rng() % CC_COUNT) : CC_EFLAGS;
    unsigned bits = 8u << (t->cc_op & 3);
    t->cc_src = sign_extend(value(), bits);
    t->cc_dst = sign_extend(value(), bits);
    if (t->cc_op < CC_ADD) {
        t->cc_op = CC_EFLAGS;
        t->cc_src = rng() & FLAGS_STATUS;
    }
    u32 kind = t->cc_op & ~3u;
    if (kind == CC_INC || kind == CC_DEC || kind == CC_MUL)
        t->cc_src &= 1;
}

static void set_cc(const struct test_case *t)
{
    cpu->cc_op = t->cc_op;
    cpu->cc_dst = t->cc_dst;
    cpu->cc_src = t->cc_src;
}

static bool make_case(const struct op_row *row, struct test_case *t)
{
    memset(t, 0, sizeof(*t));
    if (!make_encoding(row, t))
        return false;
    for (unsigned k = 0; k < 16; k++)
        t->before.gpr[k] = value();
    for (unsigned k = 0; k < sizeof(t->memory); k += 8) {
        u64 v = value();
        memcpy(t->memory + k, &v, 8);
    }
    if (has_memory(&t->d) && t->d.row->cls != CLASS_LEA && !(row->flags & ROW_NOPE) && !aim(t))
        return false;
    if (is_string(&t->d))
        aim_string(t);
    random_flags(t);
    set_cc(t);
    t->before.flags = cpu_status_flags(cpu);
    return !undefined_result(&t->d, &t->before);
}

static void run_native(struct test_case *t)
{
    t->after = t->before;
    memcpy(window(), t->memory, sizeof(t->memory));
    t->fault = !native_run(&t->after, t->bytes, t->length);
    if (t->fault)
        t->after = t->before;
    memcpy(t->memory_after, window(), sizeof(t->memory));
}

static void run_handler(const struct test_case *t, insn_fn *fn)
{
    memcpy(window(), t->memory, sizeof(t->memory));
    memcpy(cpu->gpr, t->before.gpr, sizeof(cpu->gpr));
    set_cc(t);
    cpu->exc.pending = false;
    cpu->leave = false;
    cpu->budget = 1000;
    struct block *block = (struct block *)(void *)room;
    struct insn *in = block->code;
    block->rip = 0x1000;
    *in = t->d.insn;
    in->fn = fn;
    in[1].fn = stop;
    const struct insn *i = in;
    while (i && i != &in[1])
        i = i->fn(cpu, i);
}

static _Noreturn void report(const struct test_case *t, const char *how, const char *what)
{
    fprintf(stderr, "# %s (%s): %s differs; bytes", t->d.row->name, how, what);
    for (unsigned k = 0; k < t->length; k++)
        fprintf(stderr, " %02x", t->bytes[k]);
    fprintf(stderr, "\n# flags before %03llx native %03llx ours %03llx (cc_op %u)\n",
            (unsigned long long)t->before.flags, (unsigned long long)t->after.flags,
            (unsigned long long)cpu_status_flags(cpu), t->cc_op);
    for (unsigned k = 0; k < 16; k++)
        fprintf(stderr, "# r%-2u before %016llx native %016llx ours %016llx%s\n", k,
                (unsigned long long)t->before.gpr[k], (unsigned long long)t->after.gpr[k],
                (unsigned long long)cpu->gpr[k], t->after.gpr[k] != cpu->gpr[k] ? " <" : "");
    ck_abort_msg("%s (%s): %s differs", t->d.row->name, how, what);
}

static void compare(const struct test_case *t, const char *how, bool flags)
{
    if (cpu->exc.pending != t->fault)
        report(t, how, "fault");
    for (unsigned k = 0; k < 16; k++)
        if (k != RSP && cpu->gpr[k] != t->after.gpr[k])
            report(t, how, "register");
    if (memcmp(window(), t->memory_after, sizeof(t->memory)) != 0)
        report(t, how, "memory");
    u64 ignored = ignored_flags(&t->d, &t->before);
    if (flags && ((cpu_status_flags(cpu) ^ t->after.flags) & ~ignored))
        report(t, how, "flags");
}

/* A handler must make the same of the same flags however they are represented, undefined ones too. */
static void compare_representation(struct test_case *t, insn_fn *fn, u64 lazy_result)
{
    struct test_case again = *t;
    again.cc_op = CC_EFLAGS;
    again.cc_src = t->before.flags;
    run_handler(&again, fn);
    if (cpu_status_flags(cpu) != lazy_result)
        report(t, "representation", "flags");
}

static void check_case(struct test_case *t)
{
    const struct op_family *family = t->d.row->family;
    static const char *const forms[] = {"reg", "bd", "bi", "seg", "gen"};
    run_native(t);
    unsigned first = has_memory(&t->d) && t->d.form != FORM_GEN ? FORM_BD : t->d.form;
    unsigned last = has_memory(&t->d) ? FORM_GEN : t->d.form;
    for (unsigned dead = 0; dead < 2; dead++) {
        for (unsigned form = first; form <= last; form++) {
            insn_fn *fn = family->fn[dead][t->d.width][form];
            if (!fn || (form == FORM_BD && t->d.insn.index != ZERO_OFFSET))
                continue;
            run_handler(t, fn);
            compare(t, forms[form], !dead);
            if (!dead && !t->fault)
                compare_representation(t, fn, cpu_status_flags(cpu));
        }
    }
}

START_TEST(handlers_agree_with_the_host)
{
    if (!setup())
        return;
    unsigned rows = 0;
    const char *only = getenv("ROW");
    unsigned rounds = getenv("ROUNDS") ? (unsigned)atoi(getenv("ROUNDS")) : 400;
    for (unsigned k = 0; k < op_row_count; k++) {
        const struct op_row *row = &op_rows[k];
        if (!wanted(row) || !host_has(row) || (only && strcmp(only, row->name) != 0))
            continue;
        unsigned cases = 0;
        for (unsigned n = 0; n < rounds * 20 && cases < rounds; n++) {
            struct test_case t;
            if (!make_case(row, &t))
                continue;
            cases++;
            check_case(&t);
        }
        if (!cases)
            ck_abort_msg("no case of %s, opcode %02x", row->name, row->opcode);
        rows++;
    }
    ck_assert_uint_ge(rows, only ? 1 : 200);
    machine_fini(&m);
}
END_TEST

SUITE_MAIN("native", &handlers_agree_with_the_host)
