/* SPDX-License-Identifier: MIT */
#include "frontend/gdb_regs.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "cpu/cpuid.h"
#include "cpu/fpu.h"
#include "frontend/debugger.h"

enum kind { KIND_INTEGER, KIND_ST, KIND_X87, KIND_XMM, KIND_YMM_HIGH };
enum x87 { X87_FCTRL, X87_FSTAT, X87_FTAG, X87_FISEG, X87_FIOFF, X87_FOSEG, X87_FOOFF, X87_FOP };

struct reg {
    char name[12];
    const char *core; /* KIND_INTEGER: the debugger's name of it */
    enum kind kind;
    unsigned n; /* of its kind */
    unsigned size;
};

#define REGS_MAX 128
#define XML_MAX 16384

struct gdb_regs {
    bool wide;
    unsigned count;
    struct reg reg[REGS_MAX];
    char xml[XML_MAX];
    size_t xml_size;
};

/* ---- The description ---- */

static void PRINTF_LIKE(2, 3) put(struct gdb_regs *r, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(r->xml + r->xml_size, XML_MAX - r->xml_size, fmt, args);
    va_end(args);
    ASSERT(n >= 0 && (size_t)n < XML_MAX - r->xml_size);
    r->xml_size += (size_t)n;
}

static struct reg *add(struct gdb_regs *r, enum kind kind, unsigned n, unsigned size)
{
    ASSERT(r->count < REGS_MAX);
    struct reg *reg = &r->reg[r->count++];
    *reg = (struct reg){.kind = kind, .n = n, .size = size};
    return reg;
}

static void describe(struct gdb_regs *r, const struct reg *reg, const char *rest)
{
    put(r, "<reg name=\"%s\" bitsize=\"%u\" %s/>", reg->name, 8 * reg->size, rest);
}

/* GDB's name may be the short one of the 32-bit register. */
static void add_integer(struct gdb_regs *r, const char *name, const char *core, unsigned size,
                        const char *rest)
{
    struct reg *reg = add(r, KIND_INTEGER, 0, size);
    snprintf(reg->name, sizeof(reg->name), "%s", name);
    reg->core = core;
    describe(r, reg, rest);
}

static void add_numbered(struct gdb_regs *r, enum kind kind, unsigned n, const char *rest)
{
    static const char *const names[] = {
        [KIND_ST] = "st%u", [KIND_XMM] = "xmm%u", [KIND_YMM_HIGH] = "ymm%uh"};
    struct reg *reg = add(r, kind, n, kind == KIND_ST ? 10 : 16);
    char number[4];
    snprintf(number, sizeof(number), "%u", n % 100);
    const char *at = strchr(names[kind], '%');
    snprintf(reg->name, sizeof(reg->name), "%.*s%s%s", (int)(at - names[kind]), names[kind], number,
             at + 2);
    describe(r, reg, rest);
}

static void put_flags(struct gdb_regs *r)
{
    static const struct {
        const char *name;
        unsigned bit;
    } bits[] = {{"CF", 0},  {"", 1},    {"PF", 2},   {"AF", 4},   {"ZF", 6},  {"SF", 7},
                {"TF", 8},  {"IF", 9},  {"DF", 10},  {"OF", 11},  {"NT", 14}, {"RF", 16},
                {"VM", 17}, {"AC", 18}, {"VIF", 19}, {"VIP", 20}, {"ID", 21}};
    put(r, "<flags id=\"i386_eflags\" size=\"4\">");
    for (size_t n = 0; n < ARRAY_SIZE(bits); n++)
        put(r, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>", bits[n].name, bits[n].bit,
            bits[n].bit);
    put(r, "</flags>");
}

static void add_general(struct gdb_regs *r)
{
    static const char *const wide[] = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp",
                                       "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    static const char *const narrow[][2] = {{"eax", "rax"}, {"ecx", "rcx"}, {"edx", "rdx"},
                                            {"ebx", "rbx"}, {"esp", "rsp"}, {"ebp", "rbp"},
                                            {"esi", "rsi"}, {"edi", "rdi"}};
    for (size_t n = 0; r->wide && n < ARRAY_SIZE(wide); n++) {
        bool pointer = !strcmp(wide[n], "rbp") || !strcmp(wide[n], "rsp");
        add_integer(r, wide[n], wide[n], 8, pointer ? "type=\"data_ptr\"" : "type=\"int64\"");
    }
    for (size_t n = 0; !r->wide && n < ARRAY_SIZE(narrow); n++) {
        bool pointer = !strcmp(narrow[n][0], "ebp") || !strcmp(narrow[n][0], "esp");
        add_integer(r, narrow[n][0], narrow[n][1], 4,
                    pointer ? "type=\"data_ptr\"" : "type=\"int32\"");
    }
    if (r->wide)
        add_integer(r, "rip", "rip", 8, "type=\"code_ptr\"");
    else
        add_integer(r, "eip", "rip", 4, "type=\"code_ptr\"");
    add_integer(r, "eflags", "eflags", 4, "type=\"i386_eflags\"");
}

static void add_x87(struct gdb_regs *r)
{
    static const char *const names[] = {"fctrl", "fstat", "ftag",  "fiseg",
                                        "fioff", "foseg", "fooff", "fop"};
    for (unsigned n = 0; n < 8; n++)
        add_numbered(r, KIND_ST, n, "type=\"i387_ext\"");
    for (unsigned n = 0; n < ARRAY_SIZE(names); n++) {
        struct reg *reg = add(r, KIND_X87, n, 4);
        snprintf(reg->name, sizeof(reg->name), "%s", names[n]);
        describe(r, reg, "type=\"int\" group=\"float\"");
    }
}

static void add_core(struct gdb_regs *r)
{
    static const char *const segments[] = {"cs", "ss", "ds", "es", "fs", "gs"};
    put(r, "<feature name=\"org.gnu.gdb.i386.core\">");
    put_flags(r);
    add_general(r);
    for (size_t n = 0; n < ARRAY_SIZE(segments); n++)
        add_integer(r, segments[n], segments[n], 4, "type=\"int32\"");
    add_x87(r);
    put(r, "</feature>");
}

static void add_sse(struct gdb_regs *r)
{
    put(r, "<feature name=\"org.gnu.gdb.i386.sse\">"
           "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
           "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
           "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>"
           "<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
           "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"
           "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
           "<union id=\"vec128\">"
           "<field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>"
           "<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>"
           "<field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>"
           "<field name=\"uint128\" type=\"uint128\"/></union>");
    for (unsigned n = 0; n < (r->wide ? 16 : 8); n++)
        add_numbered(r, KIND_XMM, n, "type=\"vec128\"");
    add_integer(r, "mxcsr", "mxcsr", 4, "type=\"int\" group=\"vector\"");
    put(r, "</feature>");
}

static void add_avx(struct gdb_regs *r)
{
    put(r, "<feature name=\"org.gnu.gdb.i386.avx\">");
    for (unsigned n = 0; n < (r->wide ? 16 : 8); n++)
        add_numbered(r, KIND_YMM_HIGH, n, "type=\"uint128\"");
    put(r, "</feature>");
}

static void add_system(struct gdb_regs *r)
{
    static const char *const words[] = {"cr0", "cr2", "cr3", "cr4", "cr8",  "dr0", "dr1",
                                        "dr2", "dr3", "dr6", "dr7", "efer", "xcr0"};
    static const char *const bases[] = {"k_gs_base", "cs_base", "ss_base",  "ds_base", "es_base",
                                        "ldtr_base", "tr_base", "gdt_base", "idt_base"};
    static const char *const rest = "type=\"uint64\" group=\"system\"";
    if (r->wide) {
        put(r, "<feature name=\"org.gnu.gdb.i386.segments\">");
        add_integer(r, "fs_base", "fs_base", 8, "type=\"uint64\"");
        add_integer(r, "gs_base", "gs_base", 8, "type=\"uint64\"");
        put(r, "</feature>");
    }
    put(r, "<feature name=\"org.testudo.system\">");
    if (!r->wide) {
        add_integer(r, "fs_base", "fs_base", 8, rest);
        add_integer(r, "gs_base", "gs_base", 8, rest);
    }
    for (size_t n = 0; n < ARRAY_SIZE(bases); n++)
        add_integer(r, bases[n], bases[n], 8, rest);
    for (size_t n = 0; n < ARRAY_SIZE(words); n++)
        add_integer(r, words[n], words[n], 8, rest);
    add_integer(r, "ldtr", "ldtr", 4, "type=\"uint32\" group=\"system\"");
    add_integer(r, "tr", "tr", 4, "type=\"uint32\" group=\"system\"");
    put(r, "</feature>");
}

struct gdb_regs *gdb_regs_new(const struct cpu_model *model, enum gdb_arch arch)
{
    static const char *const names[] = {
        [GDB_X86_64] = "i386:x86-64", [GDB_I386] = "i386", [GDB_I8086] = "i8086"};
    struct gdb_regs *r = xalloc(sizeof(*r));
    r->wide = arch == GDB_X86_64;
    put(r,
        "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target>"
        "<architecture>%s</architecture>",
        names[arch]);
    add_core(r);
    if (cpuid_has(model, FEAT_SSE))
        add_sse(r);
    if (cpuid_has(model, FEAT_AVX))
        add_avx(r);
    add_system(r);
    put(r, "</target>");
    return r;
}

void gdb_regs_free(struct gdb_regs *regs)
{
    free(regs);
}

const char *gdb_regs_description(const struct gdb_regs *regs)
{
    return regs->xml;
}

unsigned gdb_regs_count(const struct gdb_regs *regs)
{
    return regs->count;
}

size_t gdb_reg_size(const struct gdb_regs *regs, unsigned n)
{
    return regs->reg[n].size;
}

/* ---- x87 ---- */

enum { TAG_VALID, TAG_ZERO, TAG_SPECIAL, TAG_EMPTY };

/* SDM "x87 FPU Tag Word": the classes are made up from what the registers hold. */
static unsigned tag_of(const struct cpu *cpu, unsigned phys)
{
    const struct x87_reg *st = &cpu->st[phys];
    unsigned exponent = st->se & 0x7fff;
    if (cpu->ftw_empty >> phys & 1)
        return TAG_EMPTY;
    if (!exponent && !st->mant)
        return TAG_ZERO;
    return exponent == 0x7fff || !(st->mant >> 63) ? TAG_SPECIAL : TAG_VALID;
}

static u32 get_x87(const struct cpu *cpu, enum x87 which)
{
    u32 tags = 0;
    switch (which) {
    case X87_FCTRL:
        return cpu->fcw;
    case X87_FSTAT:
        return cpu->fsw;
    case X87_FTAG:
        for (unsigned n = 0; n < 8; n++)
            tags |= tag_of(cpu, n) << (2 * n);
        return tags;
    case X87_FISEG:
        return cpu->fcs;
    case X87_FIOFF:
        return (u32)cpu->fip;
    case X87_FOSEG:
        return cpu->fds;
    case X87_FOOFF:
        return (u32)cpu->fdp;
    default:
        return cpu->fop;
    }
}

static void set_tags(struct cpu *cpu, u32 tags)
{
    cpu->ftw_empty = 0;
    for (unsigned n = 0; n < 8; n++)
        if ((tags >> (2 * n) & 3) == TAG_EMPTY)
            cpu->ftw_empty |= (u8)(1u << n);
}

static void set_x87(struct cpu *cpu, enum x87 which, u32 value)
{
    switch (which) {
    case X87_FCTRL:
        fpu_set_fcw(cpu, (u16)value);
        break;
    case X87_FSTAT:
        cpu->fsw = (u16)value;
        fpu_update_es(cpu);
        break;
    case X87_FTAG:
        set_tags(cpu, value);
        break;
    case X87_FISEG:
        cpu->fcs = (u16)value;
        break;
    case X87_FIOFF:
        cpu->fip = value;
        break;
    case X87_FOSEG:
        cpu->fds = (u16)value;
        break;
    case X87_FOOFF:
        cpu->fdp = value;
        break;
    default:
        cpu->fop = value & 0x7ff;
        break;
    }
}

/* ---- Values ---- */

static void get_integer(const struct cpu *cpu, const struct reg *reg, u8 *to)
{
    u64 value = 0;
    bool known = debugger_get(cpu, reg->core, &value);
    ASSERT(known);
    memcpy(to, &value, reg->size);
}

void gdb_reg_get(const struct gdb_regs *regs, const struct cpu *cpu, unsigned n, u8 *to)
{
    const struct reg *reg = &regs->reg[n];
    const struct x87_reg *st = &cpu->st[fpu_phys(cpu, reg->n & 7)];
    u32 word;
    switch (reg->kind) {
    case KIND_INTEGER:
        get_integer(cpu, reg, to);
        break;
    case KIND_ST:
        memcpy(to, &st->mant, 8);
        memcpy(to + 8, &st->se, 2);
        break;
    case KIND_X87:
        word = get_x87(cpu, (enum x87)reg->n);
        memcpy(to, &word, 4);
        break;
    case KIND_XMM:
        memcpy(to, &cpu->xmm[reg->n].q[0], 16);
        break;
    case KIND_YMM_HIGH:
        memcpy(to, &cpu->xmm[reg->n].q[2], 16);
        break;
    }
}

/* The upper half of a 64-bit register that GDB knows the lower one of stays. */
static bool set_integer(struct cpu *cpu, const struct reg *reg, const u8 *from)
{
    u64 value = 0;
    debugger_get(cpu, reg->core, &value);
    memcpy(&value, from, reg->size);
    return debugger_set(cpu, reg->core, value);
}

bool gdb_reg_set(const struct gdb_regs *regs, struct cpu *cpu, unsigned n, const u8 *from)
{
    const struct reg *reg = &regs->reg[n];
    struct x87_reg *st = &cpu->st[fpu_phys(cpu, reg->n & 7)];
    u8 now[GDB_REG_MAX];
    u32 word = 0;
    gdb_reg_get(regs, cpu, n, now);
    if (!memcmp(now, from, reg->size))
        return true;
    switch (reg->kind) {
    case KIND_INTEGER:
        return set_integer(cpu, reg, from);
    case KIND_ST:
        memcpy(&st->mant, from, 8);
        memcpy(&st->se, from + 8, 2);
        break;
    case KIND_X87:
        memcpy(&word, from, 4);
        set_x87(cpu, (enum x87)reg->n, word);
        break;
    case KIND_XMM:
        memcpy(&cpu->xmm[reg->n].q[0], from, 16);
        break;
    case KIND_YMM_HIGH:
        memcpy(&cpu->xmm[reg->n].q[2], from, 16);
        break;
    }
    return true;
}
