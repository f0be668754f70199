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
    /* 3E before an indirect CALL or JMP is "notrack" to Zydis, and DS outside of 64-bit mode to us. */
    bool notrack = (p->z.attributes & ZYDIS_ATTRIB_HAS_NOTRACK) && INSN_SEG(in) == SEG_DS;
    /* LEA doesn't use its segment. */
    if (!ignored && !notrack && p->d.row->cls != CLASS_LEA)
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

/* The width that chooses the handler is the size of the first operand. */
static void compare_width(struct pair *p)
{
    const ZydisDecodedOperand *op = &p->op[0];
    u8 letter = (u8)op_letter(p->d.row, 0);
    bool general = letter == LET_E || letter == LET_G || letter == LET_Z || letter == LET_R ||
                   letter == LET_O || letter == LET_X || letter == LET_Y;
    /* MOV Ev, Sw and its like store a word whatever the width; some results are 64 bits wide anyhow. */
    bool word = p->d.row->op[0] == OPND_RvMw && p->d.form != FORM_REG;
    bool wide = p->d.row->cls == CLASS_VEC || op_has_letter(p->d.row, LET_C) ||
                op_has_letter(p->d.row, LET_D) || p->d.row->feature == FEAT_INVPCID ||
                p->d.row->feature == FEAT_VMX || p->d.row->feature == FEAT_RDPID ||
                strncmp(p->d.row->name, "UD", 2) == 0;
    if (word || wide || p->z.operand_count == 0 || !general ||
        op->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN)
        return;
    if (op->type == ZYDIS_OPERAND_TYPE_REGISTER || op->type == ZYDIS_OPERAND_TYPE_MEMORY)
        differ(p, "width", 8u << p->d.width, op->size);
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
    u8 changed = flag_set(f->modified | f->set_0 | f->set_1);
    u8 written = changed | flag_set(f->undefined);
    if (read & ~p->d.flags_read)
        differ(p, "flags read", p->d.flags_read, read);
    if (p->d.flags_written & ~written)
        differ(p, "flags written", p->d.flags_written, written);
    /* A flag that may stay as it was must be among those read. Undefined ones may stay. */
    if (changed & ~(p->d.row->fw | p->d.flags_read))
        differ(p, "flags not written", p->d.flags_written, changed);
}

/* Zydis has a name for each condition and width, and names for what the SDM leaves out. */
static const char *const aliases[][2] = {
    {"MOVD", "movq"},
    {"FSTP", "fstpnce"},
    {"FNENI", "feni8087_nop"},
    {"FNDISI", "fdisi8087_nop"},
    {"FNSETPM", "fsetpm287_nop"},
    {"CMPXCHG8B", "cmpxchg16b"},
    {"SAL", "shl"},
    {"CBW", "cwde"},
    {"CBW", "cdqe"},
    {"CWD", "cdq"},
    {"CWD", "cqo"},
    {"JCXZ", "jecxz"},
    {"JCXZ", "jrcxz"},
    {"RETF", "ret"},
    {"WBNOINVD", "wbinvd"}, /* unless told that the processor has it */
};

/* Names that end in the size: PUSHFQ, MOVSB, FXSAVE64 */
static bool sized_name(const char *rest)
{
    return strcmp(rest, "64") == 0 || (strchr("bwdq", rest[0]) && !rest[1]);
}

static bool same_name(const char *ours, const char *theirs)
{
    size_t len = strlen(ours);
    if (strncasecmp(ours, theirs, len) == 0 && (theirs[len] == 0 || sized_name(theirs + len)))
        return true;
    for (unsigned k = 0; k < ARRAY_SIZE(aliases); k++)
        if (strcmp(aliases[k][0], ours) == 0 && strcmp(aliases[k][1], theirs) == 0)
            return true;
    return false;
}

/* Reserved NOPs, of which Zydis knows later uses (MPX, CLDEMOTE, PREFETCHWT1), and 3DNow's PREFETCH. */
static bool reserved_nop(const struct pair *p)
{
    const struct op_row *row = p->d.row;
    return row && row->map == MAP_0F && strcmp(row->name, "NOP") == 0;
}

/* MONITOR and MWAIT with 66, BNDMOV and its like (our NOPs) with registers or modes of their own. */
static bool too_strict(const struct pair *p)
{
    return reserved_nop(p) || p->d.row->feature == FEAT_MONITOR;
}

static void compare(struct pair *p)
{
    if (differ(p, "length", INSN_LEN(&p->d.insn), p->z.length) || reserved_nop(p))
        return;
    if (!same_name(p->d.row->name, ZydisMnemonicGetString(p->z.mnemonic)))
        p->complaint = "name";
    for (unsigned k = 0; k < p->z.operand_count; k++)
        compare_operand(p, k);
    compare_width(p);
    compare_flags(p);
}

/* Extensions that the table hasn't, because no model advertises them. */
static bool not_ours(const struct pair *p)
{
    static const char *const absent[] = {
        "SVM",      "SMX",    "SGX",    "SGX_ENCLV",   "SHA",     "SSSE3",   "SSE3",
        "SSE4",     "SSE4A",  "AES",    "RTM",         "CET",     "PADLOCK", "AMD3DNOW",
        "MONITORX", "RDPRU",  "CLZERO", "AMD_INVLPGB", "MCOMMIT", "SNP",     "TSX_LDTRK",
        "RDRAND",   "RDSEED", "MOVDIR", "SERIALIZE",   "PCONFIG",
    };
    const char *ext = ZydisISAExtGetString(p->z.meta.isa_ext);
    if (p->z.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
        return true;
    for (unsigned k = 0; k < ARRAY_SIZE(absent); k++)
        if (strcmp(ext, absent[k]) == 0)
            return true;
    switch (p->z.mnemonic) {
    case ZYDIS_MNEMONIC_RSM:
        return true;
    case ZYDIS_MNEMONIC_SYSCALL:
    case ZYDIS_MNEMONIC_SYSRET:
        return !(p->mode & MODE_64); /* valid there on AMD's processors */
    default:
        return false;
    }
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
    if (!p->d.row)
        strncat(disassembly, ZydisISAExtGetString(p->z.meta.isa_ext), 30);
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
    else if (p.d.row && !too_strict(&p))
        p.complaint = "Zydis calls it invalid";
    else if (p.zydis_ok && !not_ours(&p))
        p.complaint = "#UD";
    if (!p.complaint)
        return true;
    describe(&p, diff);
    return false;
}
