/* SPDX-License-Identifier: MIT */
/*
 * FXSAVE, XSAVE and their kin (SDM "Managing State Using the XSAVE Feature Set"), LDMXCSR, STMXCSR.
 *
 * What is loaded is first read whole into a struct image and checked, so that a fault leaves the
 * registers alone; areas that are stored to are probed before the first byte is written.
 */
#include "cpu/fpu.h"

#include "cpu/cpuid.h"

#define LEGACY_SIZE 512u
#define HEADER_SIZE 64u
#define XCOMP_COMPACT BIT(63)

enum { XC_X87, XC_SSE, XC_AVX, XC_OPMASK = 5, XC_ZMM_HI256, XC_HI16_ZMM, XC_PKRU = 9 };
#define XC(name) BIT(XC_##name)

/* State components beyond the legacy region; IA-32 processors of Intel place them so. */
struct component {
    u8 bit;
    bool align; /* to 64 bytes in the compacted form */
    u16 offset; /* in the standard form */
    u16 size;
};
static const struct component components[] = {
    {XC_AVX, false, 576, 256},        {XC_OPMASK, false, 1088, 64},
    {XC_ZMM_HI256, false, 1152, 512}, {XC_HI16_ZMM, false, 1664, 1024},
    {XC_PKRU, false, 2688, 8},
};
#define IMAGE_SIZE 2752u

/* A whole area in the standard form, whatever its form in memory. */
struct image {
    u8 b[IMAGE_SIZE];
};

/* An area in guest memory. */
struct area {
    struct cpu *cpu;
    const struct insn *i;
    u64 lin;
    bool compacted;
    u64 layout; /* compacted: components that have room (XCOMP_BV) */
};

static void put(struct image *m, unsigned at, u64 v, unsigned size)
{
    memcpy(m->b + at, &v, size);
}

static u64 get(const struct image *m, unsigned at, unsigned size)
{
    u64 v = 0;
    memcpy(&v, m->b + at, size);
    return v;
}

/* ---- Guest memory ---- */

static bool area_move(const struct area *a, unsigned at, u8 *p, unsigned size, bool write)
{
    for (unsigned done = 0; done < size; done += 64) {
        unsigned n = MIN(64u, size - done);
        u64 lin = a->lin + at + done;
        if (!(a->cpu->mode & MODE_64))
            lin = (u32)lin;
        if (!(write ? lin_write(a->cpu, a->i, lin, p + done, n, ACC_WRITE)
                    : lin_read(a->cpu, a->i, lin, p + done, n, ACC_READ)))
            return false;
    }
    return true;
}

static bool area_probe(const struct area *a, unsigned size)
{
    for (unsigned done = 0; done < size; done += 64) {
        u64 lin = a->lin + done;
        if (!(a->cpu->mode & MODE_64))
            lin = (u32)lin;
        if (!lin_probe(a->cpu, a->i, lin, MIN(64u, size - done), ACC_WRITE))
            return false;
    }
    return true;
}

static bool area_open(struct area *a, struct cpu *cpu, const struct insn *i, unsigned align,
                      unsigned acc)
{
    *a = (struct area){.cpu = cpu, .i = i};
    unsigned size = align == 64 ? LEGACY_SIZE + HEADER_SIZE : LEGACY_SIZE;
    if (!mem_linear(cpu, i, size, acc, &a->lin))
        return false;
    return a->lin & (align - 1) ? cpu_fault_gp(cpu, 0) : true;
}

/* Where component c is in the area, and the area's size when c is its last. */
static unsigned area_offset(const struct area *a, const struct component *c)
{
    if (!a->compacted)
        return c->offset;
    unsigned at = LEGACY_SIZE + HEADER_SIZE;
    for (unsigned k = 0; k < ARRAY_SIZE(components) && &components[k] <= c; k++) {
        const struct component *d = &components[k];
        if (!(a->layout & BIT(d->bit)))
            continue;
        if (d->align)
            at = (at + 63) & ~63u;
        if (d == c)
            break;
        at += d->size;
    }
    return at;
}

/* ---- Registers to image ---- */

static void image_pointers(const struct cpu *cpu, struct image *m, bool rex_w)
{
    if (rex_w) {
        put(m, 8, cpu->fip, 8);
        put(m, 16, cpu->fdp, 8);
        return;
    }
    put(m, 8, (u32)cpu->fip, 4);
    put(m, 12, cpu->fcs, 4);
    put(m, 16, (u32)cpu->fdp, 4);
    put(m, 20, cpu->fds, 4);
}

static void image_x87(const struct cpu *cpu, struct image *m, bool rex_w)
{
    put(m, 0, cpu->fcw, 2);
    put(m, 2, cpu->fsw, 2);
    put(m, 4, (u8)~cpu->ftw_empty, 2);
    put(m, 6, cpu->fop, 2);
    image_pointers(cpu, m, rex_w);
    for (unsigned n = 0; n < 8; n++) {
        const struct x87_reg *r = &cpu->st[fpu_phys(cpu, n)];
        put(m, 32 + 16 * n, r->mant, 8);
        put(m, 40 + 16 * n, r->se, 8);
    }
}

static void image_component(const struct cpu *cpu, struct image *m, const struct component *c)
{
    u8 *to = m->b + c->offset;
    switch (c->bit) {
    case XC_AVX:
        for (unsigned n = 0; n < 16; n++)
            memcpy(to + 16 * n, &cpu->xmm[n].q[2], 16);
        break;
    case XC_OPMASK:
        memcpy(to, cpu->opmask, 64);
        break;
    case XC_ZMM_HI256:
        for (unsigned n = 0; n < 16; n++)
            memcpy(to + 32 * n, &cpu->xmm[n].q[4], 32);
        break;
    case XC_HI16_ZMM:
        for (unsigned n = 0; n < 16; n++)
            memcpy(to + 64 * n, cpu->xmm[16 + n].q, 64);
        break;
    case XC_PKRU:
        put(m, c->offset, cpu->pkru, 8);
        break;
    default:
        break;
    }
}

static unsigned xmm_count(const struct cpu *cpu)
{
    return cpu->mode & MODE_64 ? 16 : 8;
}

/*
 * The legacy instructions know 8 XMM registers outside 64-bit mode; so do the AVX component's
 * rules.
 */
static unsigned component_size(const struct cpu *cpu, const struct component *c)
{
    bool half = c->bit == XC_AVX || c->bit == XC_ZMM_HI256;
    if (c->bit == XC_HI16_ZMM && !(cpu->mode & MODE_64))
        return 0;
    return half && !(cpu->mode & MODE_64) ? c->size / 2u : c->size;
}

/* ---- Image to registers ---- */

static void load_x87(struct cpu *cpu, const struct image *m, bool rex_w)
{
    cpu->fsw = (u16)get(m, 2, 2);
    cpu->ftw_empty = (u8)~get(m, 4, 1);
    cpu->fop = (u16)(get(m, 6, 2) & 0x7ff);
    cpu->fip = get(m, 8, rex_w ? 8 : 4);
    cpu->fdp = get(m, 16, rex_w ? 8 : 4);
    cpu->fcs = rex_w ? 0 : (u16)get(m, 12, 2);
    cpu->fds = rex_w ? 0 : (u16)get(m, 20, 2);
    for (unsigned n = 0; n < 8; n++) {
        struct x87_reg *r = &cpu->st[fpu_phys(cpu, n)];
        r->mant = get(m, 32 + 16 * n, 8);
        r->se = (u16)get(m, 40 + 16 * n, 2);
    }
    fpu_set_fcw(cpu, (u16)get(m, 0, 2));
}

static void load_xmm(struct cpu *cpu, const struct image *m)
{
    for (unsigned n = 0; n < xmm_count(cpu); n++)
        memcpy(cpu->xmm[n].q, m->b + 160 + 16 * n, 16);
}

static void load_component(struct cpu *cpu, const struct image *m, const struct component *c)
{
    const u8 *from = m->b + c->offset;
    switch (c->bit) {
    case XC_AVX:
        for (unsigned n = 0; n < xmm_count(cpu); n++)
            memcpy(&cpu->xmm[n].q[2], from + 16 * n, 16);
        break;
    case XC_OPMASK:
        memcpy(cpu->opmask, from, 64);
        break;
    case XC_ZMM_HI256:
        for (unsigned n = 0; n < xmm_count(cpu); n++)
            memcpy(&cpu->xmm[n].q[4], from + 32 * n, 32);
        break;
    case XC_HI16_ZMM:
        for (unsigned n = 0; n < 16 && (cpu->mode & MODE_64); n++)
            memcpy(cpu->xmm[16 + n].q, from + 64 * n, 64);
        break;
    case XC_PKRU:
        cpu->pkru = (u32)get(m, c->offset, 4);
        break;
    default:
        break;
    }
}

void fpu_init(struct cpu *cpu)
{
    cpu->fcw = FCW_INIT;
    cpu->fsw = 0;
    cpu->ftw_empty = 0xff;
    cpu->fop = 0;
    cpu->fip = cpu->fdp = 0;
    cpu->fcs = cpu->fds = 0;
}

bool fpu_pending(struct cpu *cpu)
{
    return !(cpu->cr0 & CR0_NE) || cpu_fault(cpu, EXC_MF);
}

/* ---- FXSAVE, FXRSTOR ---- */

static bool not_available(struct cpu *cpu)
{
    return cpu->cr0 & (CR0_EM | CR0_TS) ? cpu_fault(cpu, EXC_NM) : true;
}

static bool fxsave(struct cpu *cpu, const struct insn *i, bool rex_w)
{
    struct area a;
    if (!not_available(cpu) || !area_open(&a, cpu, i, 16, ACC_WRITE) ||
        !area_probe(&a, LEGACY_SIZE))
        return false;
    struct image m;
    memset(m.b, 0, LEGACY_SIZE);
    image_x87(cpu, &m, rex_w);
    unsigned size = 160;
    if (cpu->cr4 & CR4_OSFXSR) {
        size += 16 * xmm_count(cpu);
        for (unsigned n = 0; n < xmm_count(cpu); n++)
            memcpy(m.b + 160 + 16 * n, cpu->xmm[n].q, 16);
    }
    put(&m, 24, cpu->mxcsr, 4);
    put(&m, 28, MXCSR_MASK, 4);
    /*
     * Without OSFXSR the processor need not store MXCSR and XMM, and with it only the XMM of the
     * mode.
     */
    return area_move(&a, 0, m.b, size, true);
}

static bool fxrstor(struct cpu *cpu, const struct insn *i, bool rex_w)
{
    struct area a;
    struct image m;
    if (!not_available(cpu) || !area_open(&a, cpu, i, 16, ACC_READ) ||
        !area_move(&a, 0, m.b, LEGACY_SIZE, false))
        return false;
    u32 mxcsr = (u32)get(&m, 24, 4);
    bool sse = cpu->cr4 & CR4_OSFXSR;
    if (sse && (mxcsr & ~MXCSR_MASK))
        return cpu_fault_gp(cpu, 0);
    load_x87(cpu, &m, rex_w);
    if (sse) {
        cpu->mxcsr = mxcsr;
        load_xmm(cpu, &m);
    }
    return true;
}

/* ---- XSAVE and variants ---- */

enum xsave_kind { XK_XSAVE, XK_XSAVEOPT, XK_XSAVEC, XK_XSAVES };

static bool all_zero(const void *p, size_t size)
{
    const u8 *b = p;
    for (size_t n = 0; n < size; n++)
        if (b[n])
            return false;
    return true;
}

static bool x87_in_use(const struct cpu *cpu)
{
    bool init = cpu->fcw == FCW_INIT && !cpu->fsw && cpu->ftw_empty == 0xff && !cpu->fop &&
                !cpu->fip && !cpu->fdp && !cpu->fcs && !cpu->fds;
    for (unsigned n = 0; n < 8 && init; n++)
        init = !cpu->st[n].mant && !cpu->st[n].se;
    return !init;
}

static bool xmm_in_use(const struct cpu *cpu)
{
    for (unsigned n = 0; n < xmm_count(cpu); n++)
        if (cpu->xmm[n].q[0] | cpu->xmm[n].q[1])
            return true;
    return false;
}

/* XINUSE, for the components of bv; m holds their image. MXCSR counts as SSE state throughout. */
static u64 in_use(const struct cpu *cpu, const struct image *m, u64 bv)
{
    u64 used = 0;
    if ((bv & XC(X87)) && x87_in_use(cpu))
        used |= XC(X87);
    if ((bv & XC(SSE)) && (xmm_in_use(cpu) || cpu->mxcsr != MXCSR_INIT))
        used |= XC(SSE);
    for (unsigned k = 0; k < ARRAY_SIZE(components); k++) {
        const struct component *c = &components[k];
        if ((bv & BIT(c->bit)) && !all_zero(m->b + c->offset, component_size(cpu, c)))
            used |= BIT(c->bit);
    }
    return used;
}

static void image_fill(const struct cpu *cpu, struct image *m, u64 bv, bool rex_w)
{
    memset(m->b, 0, sizeof(m->b));
    if (bv & XC(X87))
        image_x87(cpu, m, rex_w);
    if (bv & (XC(SSE) | XC(AVX))) {
        put(m, 24, cpu->mxcsr, 4);
        put(m, 28, MXCSR_MASK, 4);
    }
    if (bv & XC(SSE))
        for (unsigned n = 0; n < xmm_count(cpu); n++)
            memcpy(m->b + 160 + 16 * n, cpu->xmm[n].q, 16);
    for (unsigned k = 0; k < ARRAY_SIZE(components); k++)
        if (bv & BIT(components[k].bit))
            image_component(cpu, m, &components[k]);
}

/* Stores the pieces of `bv`, and MXCSR with its mask if asked for. */
static bool area_store(const struct area *a, struct image *m, u64 bv, bool mxcsr)
{
    if ((bv & XC(X87)) &&
        !(area_move(a, 0, m->b, 24, true) && area_move(a, 32, m->b + 32, 128, true)))
        return false;
    if (mxcsr && !area_move(a, 24, m->b + 24, 8, true))
        return false;
    if ((bv & XC(SSE)) && !area_move(a, 160, m->b + 160, 16 * xmm_count(a->cpu), true))
        return false;
    for (unsigned k = 0; k < ARRAY_SIZE(components); k++) {
        const struct component *c = &components[k];
        if ((bv & BIT(c->bit)) &&
            !area_move(a, area_offset(a, c), m->b + c->offset, component_size(a->cpu, c), true))
            return false;
    }
    return true;
}

static unsigned area_size(const struct area *a, u64 bv)
{
    unsigned size = LEGACY_SIZE + HEADER_SIZE;
    for (unsigned k = 0; k < ARRAY_SIZE(components); k++)
        if (bv & BIT(components[k].bit))
            size = MAX(size, area_offset(a, &components[k]) + components[k].size);
    return size;
}

static bool xsave_usable(struct cpu *cpu)
{
    if (!(cpu->cr4 & CR4_OSXSAVE))
        return cpu_fault(cpu, EXC_UD);
    return cpu->cr0 & CR0_TS ? cpu_fault(cpu, EXC_NM) : true;
}

static u64 requested(const struct cpu *cpu)
{
    return cpu->gpr[RDX] << 32 | (u32)cpu->gpr[RAX];
}

/* XCR0, and for XSAVES and XRSTORS IA32_XSS: no supervisor component is modelled, so it is zero. */
static u64 enabled(const struct cpu *cpu)
{
    return cpu->xcr0;
}

static bool xsave(struct cpu *cpu, const struct insn *i, enum xsave_kind kind, bool rex_w)
{
    struct area a;
    if (!xsave_usable(cpu) || !area_open(&a, cpu, i, 64, ACC_WRITE))
        return false;
    u64 rfbm = requested(cpu) & enabled(cpu);
    a.compacted = kind >= XK_XSAVEC;
    a.layout = rfbm;
    struct image m;
    image_fill(cpu, &m, rfbm, rex_w);
    u64 used = in_use(cpu, &m, rfbm), header[2] = {0, 0};
    if (!a.compacted && !area_move(&a, LEGACY_SIZE, (u8 *)header, 8, false))
        return false;
    if (!area_probe(&a, area_size(&a, rfbm)))
        return false;
    u64 stored = kind == XK_XSAVE ? rfbm : used;
    bool mxcsr = a.compacted ? used & XC(SSE) : rfbm & (XC(SSE) | XC(AVX));
    header[0] = (header[0] & ~rfbm) | used;
    header[1] = XCOMP_COMPACT | rfbm;
    return area_store(&a, &m, stored, mxcsr) &&
           area_move(&a, LEGACY_SIZE, (u8 *)header, a.compacted ? 16 : 8, true);
}

/* ---- XRSTOR, XRSTORS ---- */

struct header {
    u64 xstate_bv, xcomp_bv, reserved[6];
};

/* SDM "XRSTOR", "XRSTORS": what is wrong with the header is #GP(0). */
static bool header_valid(const struct cpu *cpu, const struct header *h, bool supervisor)
{
    u64 allowed = supervisor ? enabled(cpu) : cpu->xcr0;
    if (!(h->xcomp_bv & XCOMP_COMPACT))
        return !supervisor && !h->xcomp_bv && !h->reserved[0] && !(h->xstate_bv & ~allowed);
    return cpuid_has(cpu->model, FEAT_XSAVEC) && !(h->xcomp_bv & ~(allowed | XCOMP_COMPACT)) &&
           !(h->xstate_bv & ~h->xcomp_bv) && all_zero(h->reserved, sizeof(h->reserved));
}

/* Reads what is to be loaded; the rest of m is the initial configuration. */
static bool area_load(const struct area *a, struct image *m, u64 load, bool mxcsr)
{
    memset(m->b, 0, sizeof(m->b));
    put(m, 0, FCW_INIT, 2);
    put(m, 24, MXCSR_INIT, 4);
    if ((load & XC(X87)) &&
        !(area_move(a, 0, m->b, 24, false) && area_move(a, 32, m->b + 32, 128, false)))
        return false;
    if (mxcsr && !area_move(a, 24, m->b + 24, 4, false))
        return false;
    if ((load & XC(SSE)) && !area_move(a, 160, m->b + 160, 16 * xmm_count(a->cpu), false))
        return false;
    for (unsigned k = 0; k < ARRAY_SIZE(components); k++) {
        const struct component *c = &components[k];
        if ((load & BIT(c->bit)) &&
            !area_move(a, area_offset(a, c), m->b + c->offset, component_size(a->cpu, c), false))
            return false;
    }
    return true;
}

static void image_commit(struct cpu *cpu, const struct image *m, u64 rfbm, bool rex_w)
{
    if (rfbm & XC(X87))
        load_x87(cpu, m, rex_w);
    if (rfbm & XC(SSE))
        load_xmm(cpu, m);
    for (unsigned k = 0; k < ARRAY_SIZE(components); k++)
        if (rfbm & BIT(components[k].bit))
            load_component(cpu, m, &components[k]);
}

static bool xrstor(struct cpu *cpu, const struct insn *i, bool supervisor, bool rex_w)
{
    struct area a;
    struct header h;
    if (!xsave_usable(cpu) || !area_open(&a, cpu, i, 64, ACC_READ) ||
        !area_move(&a, LEGACY_SIZE, (u8 *)&h, sizeof(h), false))
        return false;
    if (!header_valid(cpu, &h, supervisor))
        return cpu_fault_gp(cpu, 0);
    a.compacted = h.xcomp_bv & XCOMP_COMPACT;
    a.layout = h.xcomp_bv;
    u64 rfbm = requested(cpu) & (supervisor ? enabled(cpu) : cpu->xcr0), load = rfbm & h.xstate_bv;
    /* The standard form treats MXCSR apart from SSE state, the compacted form as part of it. */
    bool touch_mxcsr = a.compacted ? rfbm & XC(SSE) : rfbm & (XC(SSE) | XC(AVX));
    struct image m;
    if (!area_load(&a, &m, load, a.compacted ? load & XC(SSE) : touch_mxcsr))
        return false;
    u32 mxcsr = (u32)get(&m, 24, 4);
    if (touch_mxcsr && (mxcsr & ~MXCSR_MASK))
        return cpu_fault_gp(cpu, 0);
    image_commit(cpu, &m, rfbm, rex_w);
    if (touch_mxcsr)
        cpu->mxcsr = mxcsr;
    return true;
}

/* ---- Handlers ---- */

/* [W64] is the form with REX.W: 64-bit FIP and FDP. */
#define STATE_INSN(name, call32, call64)                                                           \
    static NOINLINE bool name##_32(struct cpu *cpu, const struct insn *i)                          \
    {                                                                                              \
        return call32;                                                                             \
    }                                                                                              \
    static NOINLINE bool name##_64(struct cpu *cpu, const struct insn *i)                          \
    {                                                                                              \
        return call64;                                                                             \
    }                                                                                              \
    DEF_SLOW(op_##name##_32_gen, name##_32)                                                        \
    DEF_SLOW(op_##name##_64_gen, name##_64)                                                        \
    const struct op_family fam_##name = {                                                          \
        {{FORMS_SLOW(0, op_##name##_32_gen), FORMS_SLOW(0, op_##name##_32_gen),                    \
          FORMS_SLOW(0, op_##name##_32_gen), FORMS_SLOW(0, op_##name##_64_gen)},                   \
         {{0}}}}

/* clang-format off */
STATE_INSN(fxsave, fxsave(cpu, i, false), fxsave(cpu, i, true));
STATE_INSN(fxrstor, fxrstor(cpu, i, false), fxrstor(cpu, i, true));
STATE_INSN(xsave, xsave(cpu, i, XK_XSAVE, false), xsave(cpu, i, XK_XSAVE, true));
STATE_INSN(xsaveopt, xsave(cpu, i, XK_XSAVEOPT, false), xsave(cpu, i, XK_XSAVEOPT, true));
STATE_INSN(xsavec, xsave(cpu, i, XK_XSAVEC, false), xsave(cpu, i, XK_XSAVEC, true));
STATE_INSN(xsaves, xsave(cpu, i, XK_XSAVES, false), xsave(cpu, i, XK_XSAVES, true));
/* clang-format on */

/* PKRU decides what the TLB may hold, so after XRSTOR the mode is computed afresh. */
#define RESTORE_INSN(name, supervisor)                                                             \
    static NOINLINE bool name##_any(struct cpu *cpu, const struct insn *i, bool rex_w)             \
    {                                                                                              \
        u32 pkru = cpu->pkru;                                                                      \
        if (!xrstor(cpu, i, supervisor, rex_w))                                                    \
            return false;                                                                          \
        if (cpu->pkru != pkru)                                                                     \
            cpu_update_mode(cpu);                                                                  \
        return true;                                                                               \
    }                                                                                              \
    static COLD HANDLER(op_##name##_32_gen)                                                        \
    {                                                                                              \
        return name##_any(cpu, i, false) ? insn_leave(cpu, i) : insn_fault(cpu, i);                \
    }                                                                                              \
    static COLD HANDLER(op_##name##_64_gen)                                                        \
    {                                                                                              \
        return name##_any(cpu, i, true) ? insn_leave(cpu, i) : insn_fault(cpu, i);                 \
    }                                                                                              \
    const struct op_family fam_##name = {                                                          \
        {{FORMS_SLOW(0, op_##name##_32_gen), FORMS_SLOW(0, op_##name##_32_gen),                    \
          FORMS_SLOW(0, op_##name##_32_gen), FORMS_SLOW(0, op_##name##_64_gen)},                   \
         {{0}}}}
RESTORE_INSN(xrstor, false);
RESTORE_INSN(xrstors, true);

static NOINLINE bool ldmxcsr(struct cpu *cpu, const struct insn *i)
{
    u32 v;
    if (!mem_read32(cpu, i, &v))
        return false;
    if (v & ~MXCSR_MASK)
        return cpu_fault_gp(cpu, 0);
    cpu->mxcsr = v;
    return true;
}
DEF_SLOW(op_ldmxcsr_gen, ldmxcsr)
FAMILY_SLOW(ldmxcsr, 0, op_ldmxcsr_gen);

DEF_STORE(op_stmxcsr, 32, cpu->mxcsr)
FAMILY_MEM(stmxcsr, op_stmxcsr);

/* ---- Aligned 16-byte operands ---- */

bool mem_read_aligned(struct cpu *cpu, const struct insn *i, void *to)
{
    u64 lin;
    if (!mem_linear(cpu, i, 16, ACC_READ, &lin))
        return false;
    return lin & 15 ? cpu_fault_gp(cpu, 0) : lin_read(cpu, i, lin, to, 16, ACC_READ);
}

bool mem_write_aligned(struct cpu *cpu, const struct insn *i, const void *from)
{
    u64 lin;
    if (!mem_linear(cpu, i, 16, ACC_WRITE, &lin))
        return false;
    return lin & 15 ? cpu_fault_gp(cpu, 0) : lin_write(cpu, i, lin, from, 16, ACC_WRITE);
}
