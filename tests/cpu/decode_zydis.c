/* SPDX-License-Identifier: MIT */
#include "tests/cpu/decode_zydis.h"

#include <Zydis/Zydis.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "cpu/cpu.h"

#define RIP UINT64_C(0x7ffff000)

struct pair {
    const u8 *bytes;
    u32 mode;
    struct decoded d;
    bool zydis_ok;
    ZydisDecodedInstruction z;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
    const char *complaint;
    u64 ours, theirs;
};

static void zydis_decode(struct pair *p)
{
    ZydisDecoder decoder;
    if (p->mode & MODE_64)
        ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    else if (p->mode & MODE_CS32)
        ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    else
        ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
    p->zydis_ok =
        ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, p->bytes, INSN_MAX_LEN, &p->z, p->op));
}

static bool differ(struct pair *p, const char *what, u64 ours, u64 theirs)
{
    if (ours == theirs)
        return false;
    if (!p->complaint) {
        p->complaint = what;
        p->ours = ours;
        p->theirs = theirs;
    }
    return true;
}

/* Zydis register to the form that records have. */
static u64 register_number(ZydisRegister reg)
{
    if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH)
        return (u64)(reg - ZYDIS_REGISTER_AH) * 8 + 1;
    u64 id = (u64)(s64)ZydisRegisterGetId(reg);
    switch (ZydisRegisterGetClass(reg)) {
    case ZYDIS_REGCLASS_GPR8:
        /* AL to BL, AH to BH, SPL to DIL, R8B ... */
        if (reg >= ZYDIS_REGISTER_SPL)
            return (u64)(reg - ZYDIS_REGISTER_SPL + 4) * 8;
        return (u64)(reg - ZYDIS_REGISTER_AL) * 8;
    case ZYDIS_REGCLASS_GPR16:
    case ZYDIS_REGCLASS_GPR32:
    case ZYDIS_REGCLASS_GPR64:
        return id * 8;
    default:
        return id;
    }
}

static u64 address_register(ZydisRegister reg)
{
    return reg == ZYDIS_REGISTER_NONE ? ZERO_OFFSET : register_number(reg);
}

static u64 segment_number(ZydisRegister reg)
{
    return (u64)(reg - ZYDIS_REGISTER_ES);
}

static void compare_memory(struct pair *p, const ZydisDecodedOperand *op)
{
    const struct insn *in = &p->d.insn;
    u64 disp = (u64)op->mem.disp.value, base = ZERO_OFFSET;
    if (op->mem.base == ZYDIS_REGISTER_RIP || op->mem.base == ZYDIS_REGISTER_EIP)
        disp += RIP + p->z.length;
    else
        base = address_register(op->mem.base);
    u64 mask = MASK(p->z.address_width);
    /* "Special Cases of REX Encodings": REX.B does not make a missing base R13. Zydis forgets with 67. */
    if (op->mem.base == ZYDIS_REGISTER_R13D && p->z.raw.modrm.mod == 0)
        return;
    differ(p, "base", in->base, base);
    differ(p, "index", in->index, address_register(op->mem.index));
    differ(p, "scale", in->index == ZERO_OFFSET ? 0 : 1u << EA_SHIFT(in),
           op->mem.index == ZYDIS_REGISTER_NONE ? 0 : op->mem.scale);
    differ(p, "displacement", in->disp & mask, disp & mask);
    /* Zydis says DS for an override that 64-bit mode ignores, even with SP or BP as the base. */
    bool ignored =
        (p->mode & MODE_64) && op->mem.segment == ZYDIS_REGISTER_DS && INSN_SEG(in) == SEG_SS;
    if (!ignored)
        differ(p, "segment", INSN_SEG(in), segment_number(op->mem.segment));
    differ(p, "address size", 16u << EA_SIZE(in), p->z.address_width);
}

static void compare_immediate(struct pair *p, const ZydisDecodedOperand *op, bool second)
{
    u64 ours = p->d.insn.imm, theirs = op->imm.value.u;
    if (op->imm.is_relative) {
        theirs += RIP + p->z.length;
        differ(p, "target", ours, theirs & MASK(p->z.operand_width));
        return;
    }
    if (p->d.row->map == MAP_1B && p->d.row->opcode == 0xc8) /* ENTER */
        ours = second ? ours >> 16 : ours & 0xffff;
    unsigned width = op->imm.is_signed ? p->op[0].size : 64;
    if (p->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && op->imm.is_signed)
        width = p->z.operand_width;
    differ(p, "immediate", ours & MASK(width), theirs & MASK(width));
}

static void compare_operand(struct pair *p, unsigned k)
{
    const ZydisDecodedOperand *op = &p->op[k];
    const struct insn *in = &p->d.insn;
    bool seen = op->visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN;
    switch (op->type) {
    case ZYDIS_OPERAND_TYPE_REGISTER:
        if (op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG)
            differ(p, "reg", in->reg, register_number(op->reg.value));
        else if (op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM ||
                 op->encoding == ZYDIS_OPERAND_ENCODING_OPCODE)
            differ(p, "rm", in->rm, register_number(op->reg.value));
        break;
    case ZYDIS_OPERAND_TYPE_MEMORY:
        if (seen && op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM)
            compare_memory(p, op);
        else if (seen && p->d.form != FORM_REG && !(p->d.row->flags & ROW_REPS))
            compare_memory(p, op); /* MOFFS */
        break;
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
        if (seen && op->encoding != ZYDIS_OPERAND_ENCODING_NONE)
            compare_immediate(p, op, k > 0);
        break;
    case ZYDIS_OPERAND_TYPE_POINTER:
        differ(p, "pointer", in->imm, (u64)op->ptr.segment << 32 | op->ptr.offset);
        break;
    default:
        break;
    }
}

/* Flags: the row may read more and write less than happens, never the other way round. */
static u8 flag_set(ZydisAccessedFlagsMask mask)
{
    u8 set = 0;
    set |= mask & ZYDIS_CPUFLAG_CF ? FS_C : 0;
    set |= mask & ZYDIS_CPUFLAG_PF ? FS_P : 0;
    set |= mask & ZYDIS_CPUFLAG_AF ? FS_A : 0;
    set |= mask & ZYDIS_CPUFLAG_ZF ? FS_Z : 0;
    set |= mask & ZYDIS_CPUFLAG_SF ? FS_S : 0;
    set |= mask & ZYDIS_CPUFLAG_OF ? FS_O : 0;
    return set;
}

static void compare_flags(struct pair *p)
{
    const ZydisAccessedFlags *f = p->z.cpu_flags;
    u8 read = flag_set(f->tested);
    u8 written = flag_set(f->modified | f->set_0 | f->set_1 | f->undefined);
    if (read & ~p->d.flags_read)
        differ(p, "flags read", p->d.flags_read, read);
    if (p->d.flags_written & ~written)
        differ(p, "flags written", p->d.flags_written, written);
    /* What isn't said to be written may make code slow, not wrong, unless it is read too. */
    if (written & ~(p->d.flags_written | p->d.flags_read))
        differ(p, "flags not written", p->d.flags_written, written);
}

/* Zydis has a name for each condition and width, and names for what the SDM leaves out. */
static const char *const aliases[][2] = {
    {"MOVD", "movq"},
    {"FSTP", "fstpnce"},
    {"FNENI", "feni8087_nop"},
    {"FNDISI", "fdisi8087_nop"},
    {"FNSETPM", "fsetpm287_nop"},
};

static bool same_name(const char *ours, const char *theirs)
{
    size_t len = strlen(ours);
    if (strncasecmp(ours, theirs, len) == 0 &&
        (theirs[len] == 0 || strcmp(theirs + len, "64") == 0))
        return true;
    for (unsigned k = 0; k < ARRAY_SIZE(aliases); k++)
        if (strcmp(aliases[k][0], ours) == 0 && strcmp(aliases[k][1], theirs) == 0)
            return true;
    return false;
}

static void compare(struct pair *p)
{
    if (differ(p, "length", INSN_LEN(&p->d.insn), p->z.length))
        return;
    if (!same_name(p->d.row->name, ZydisMnemonicGetString(p->z.mnemonic)))
        p->complaint = "name";
    for (unsigned k = 0; k < p->z.operand_count; k++)
        compare_operand(p, k);
    compare_flags(p);
}

/* What Zydis knows and the table hasn't. */
static bool not_ours(const struct pair *p)
{
    return p->z.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY;
}

static void hex(const u8 *bytes, unsigned n, char *to)
{
    for (unsigned k = 0; k < n; k++)
        sprintf(to + 3 * k, "%02x ", bytes[k]);
}

static void disassemble(const struct pair *p, char *to, size_t size)
{
    ZydisFormatter formatter;
    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    snprintf(to, size, "(invalid)");
    if (p->zydis_ok)
        ZydisFormatterFormatInstruction(&formatter, &p->z, p->op, p->z.operand_count_visible, to,
                                        size, RIP, ZYAN_NULL);
}

static void describe(const struct pair *p, struct decode_difference *diff)
{
    char dump[64], disassembly[160];
    const char *ours = p->d.row ? p->d.row->name : "#UD";
    const char *theirs = p->zydis_ok ? ZydisMnemonicGetString(p->z.mnemonic) : "(invalid)";
    int bits = p->mode & MODE_64 ? 64 : p->mode & MODE_CS32 ? 32 : 16;
    hex(p->bytes, INSN_MAX_LEN, dump);
    disassemble(p, disassembly, sizeof(disassembly));
    snprintf(diff->kind, sizeof(diff->kind), "%s/%s/%s", ours, theirs, p->complaint);
    snprintf(diff->text, sizeof(diff->text), "%d bits: %s: ours %s, Zydis %s: %s (%llx, %llx)",
             bits, dump, ours, disassembly, p->complaint, (unsigned long long)p->ours,
             (unsigned long long)p->theirs);
}

bool decode_zydis_compare(const u8 *bytes, u32 mode, const struct cpu_model *model,
                          struct decode_difference *diff)
{
    struct pair p = {.bytes = bytes, .mode = mode};
    zydis_decode(&p);
    decode_insn(bytes, INSN_MAX_LEN + 1, mode, RIP, model, &p.d);
    if (p.d.row && p.zydis_ok)
        compare(&p);
    else if (p.d.row)
        p.complaint = "Zydis calls it invalid";
    else if (p.zydis_ok && !not_ours(&p))
        p.complaint = "#UD";
    if (!p.complaint)
        return true;
    describe(&p, diff);
    return false;
}
