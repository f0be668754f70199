/* SPDX-License-Identifier: MIT */
/* FXSAVE, XSAVE and their kin: layouts, what is loaded and kept, what faults. */
#include "cpu/fpu.h"

#include "tests/cpu/world.h"
#include "tests/suite.h"

#define AREA 0x30000u
#define FXSAVE "\x0f\xae\x07"
#define FXRSTOR "\x0f\xae\x0f"
#define XSAVE "\x0f\xae\x27"
#define XRSTOR "\x0f\xae\x2f"
#define XSAVEOPT "\x0f\xae\x37"
#define XSAVEC "\x0f\xc7\x27"
#define REX_W "\x48"
#define XCOMP BIT(63)

static void start(struct world *w, enum world_mode mode)
{
    world_init(w, mode);
    ck_assert(cpu_write_cr4(w->cpu, w->cpu->cr4 | CR4_OSFXSR | CR4_OSXSAVE | CR4_OSXMMEXCPT));
    w->cpu->xcr0 = mode == WORLD_64 ? 0x203 : 3;
    cpu_update_mode(w->cpu);
    w->cpu->gpr[RDI] = AREA;
    w->cpu->gpr[RAX] = w->cpu->gpr[RDX] = UINT32_MAX;
    fpu_init(w->cpu);
    for (u64 n = 0; n < 32; n++)
        put(w, HANDLER + 16 * n, 0xfeeb, 2); /* stays there */
}

static void random_registers(struct cpu *cpu)
{
    for (unsigned n = 0; n < 8; n++)
        cpu->st[n] = (struct x87_reg){0x8000000000000000 | n * 0x1111, (u16)(0x3fff + n)};
    for (unsigned n = 0; n < 16; n++) {
        cpu->xmm[n].q[0] = 0x0101010101010101 * (n + 1);
        cpu->xmm[n].q[1] = 0x1010101010101010 + n;
    }
    cpu->fcw = 0x27f;
    cpu->fsw = 3 << 11;
    cpu->ftw_empty = 0xf0;
    cpu->fop = 0x123;
    cpu->fip = 0x1122334455667788;
    cpu->fdp = 0x99aabbccddeeff00;
    cpu->fcs = 0x10;
    cpu->fds = 0x18;
    cpu->mxcsr = 0x1fa0;
    cpu->pkru = 0x55555554;
}

/* Runs one instruction; it must fault with this vector (an error code of 0), or not at all. */
#define NONE 0xffu
static u64 base_of(const struct world *w)
{
    return w->mode == WORLD_REAL ? 0 : CODE;
}
#define RUN(w, bytes, vector)                                                                      \
    do {                                                                                           \
        code(w, bytes);                                                                            \
        run(w, 1);                                                                                 \
        if ((vector) == NONE)                                                                      \
            ck_assert_uint_eq((w)->cpu->rip, base_of(w) + sizeof(bytes) - 1);                      \
        else                                                                                       \
            ASSERT_HANDLER(w, vector);                                                             \
    } while (0)

START_TEST(fxsave_layout)
{
    struct world w;
    start(&w, WORLD_64);
    random_registers(w.cpu);
    RUN(&w, REX_W FXSAVE, NONE);
    ck_assert_uint_eq(get(&w, AREA, 2), 0x27f);
    ck_assert_uint_eq(get(&w, AREA + 2, 2), 3 << 11);
    ck_assert_uint_eq(get(&w, AREA + 4, 2), 0x0f);
    ck_assert_uint_eq(get(&w, AREA + 6, 2), 0x123);
    ck_assert_uint_eq(get(&w, AREA + 8, 8), 0x1122334455667788);
    ck_assert_uint_eq(get(&w, AREA + 16, 8), 0x99aabbccddeeff00);
    ck_assert_uint_eq(get(&w, AREA + 24, 4), 0x1fa0);
    ck_assert_uint_eq(get(&w, AREA + 28, 4), 0xffff);
    ck_assert_uint_eq(get(&w, AREA + 32, 8), 0x8000000000003333); /* ST(0) is register 3 */
    ck_assert_uint_eq(get(&w, AREA + 40, 8), 0x4002);
    ck_assert_uint_eq(get(&w, AREA + 160 + 15 * 16, 8), 0x1010101010101010);
    RUN(&w, FXSAVE, NONE);
    ck_assert_uint_eq(get(&w, AREA + 8, 8), 0x0000001055667788);
    ck_assert_uint_eq(get(&w, AREA + 16, 8), 0x00000018ddeeff00);
    world_fini(&w);
}
END_TEST

START_TEST(fxsave_round_trip)
{
    struct world w;
    start(&w, WORLD_64);
    random_registers(w.cpu);
    RUN(&w, REX_W FXSAVE, NONE);
    struct cpu before = *w.cpu;
    fpu_init(w.cpu);
    memset(w.cpu->st, 0, sizeof(w.cpu->st));
    memset(w.cpu->xmm, 0xee, 16);
    w.cpu->mxcsr = 0x1f80;
    RUN(&w, REX_W FXRSTOR, NONE);
    ck_assert_mem_eq(w.cpu->xmm, before.xmm, sizeof(before.xmm[0]));
    ck_assert_mem_eq(w.cpu->st, before.st, sizeof(before.st));
    ck_assert_uint_eq(w.cpu->fsw, before.fsw);
    ck_assert_uint_eq(w.cpu->ftw_empty, before.ftw_empty);
    ck_assert_uint_eq(w.cpu->fip, before.fip);
    ck_assert_uint_eq(w.cpu->mxcsr, before.mxcsr);
    world_fini(&w);
}
END_TEST

START_TEST(fxsave_32_bit)
{
    struct world w;
    start(&w, WORLD_32);
    random_registers(w.cpu);
    put(&w, AREA + 160 + 8 * 16, 0x7777, 8);
    RUN(&w, FXSAVE, NONE);
    ck_assert_uint_eq(get(&w, AREA + 160 + 7 * 16, 8), 0x0808080808080808);
    ck_assert_uint_eq(get(&w, AREA + 160 + 8 * 16, 8), 0x7777); /* XMM8 is not there */
    RUN(&w, FXRSTOR, NONE);
    ck_assert_uint_eq(w.cpu->xmm[8].q[0], 0x0909090909090909);
    world_fini(&w);
}
END_TEST

START_TEST(fxsave_faults)
{
    struct world w;
    start(&w, WORLD_64);
    w.cpu->gpr[RDI] = AREA + 8;
    RUN(&w, FXSAVE, EXC_GP);
    w.cpu->gpr[RDI] = AREA;
    put(&w, AREA + 24, 0x10000, 4);
    RUN(&w, FXRSTOR, EXC_GP); /* reserved bit of MXCSR */
    w.cpu->gpr[RDI] = 0x100000 - 256;
    RUN(&w, FXSAVE, EXC_PF);
    w.cpu->gpr[RDI] = AREA;
    w.cpu->cr0 |= CR0_TS;
    cpu_update_mode(w.cpu);
    RUN(&w, FXSAVE, EXC_NM);
    RUN(&w, XSAVE, EXC_NM);
    w.cpu->cr0 ^= CR0_TS | CR0_EM;
    cpu_update_mode(w.cpu);
    RUN(&w, FXSAVE, EXC_NM);
    RUN(&w, XSAVE, NONE); /* does not ask CR0.EM */
    ck_assert(cpu_write_cr4(w.cpu, w.cpu->cr4 & ~CR4_OSXSAVE));
    RUN(&w, XSAVE, EXC_UD);
    RUN(&w, "\x0f\xae\xe7", EXC_UD); /* register form */
    world_fini(&w);
}
END_TEST

START_TEST(xsave_standard)
{
    struct world w;
    start(&w, WORLD_64);
    random_registers(w.cpu);
    put(&w, AREA + 512, 0x80, 8); /* a component that is not asked for stays noted */
    put(&w, AREA + 520, 0x1234, 8);
    RUN(&w, XSAVE, NONE);
    ck_assert_uint_eq(get(&w, AREA + 512, 8), 0x283);
    ck_assert_uint_eq(get(&w, AREA + 520, 8), 0x1234);
    ck_assert_uint_eq(get(&w, AREA + 2688, 4), 0x55555554);
    /* x87 alone; MXCSR's place is not touched */
    w.cpu->gpr[RAX] = 1;
    w.cpu->mxcsr = 0x1f80;
    RUN(&w, XSAVE, NONE);
    ck_assert_uint_eq(get(&w, AREA + 24, 4), 0x1fa0);
    world_fini(&w);
}
END_TEST

START_TEST(xsaveopt_leaves_initial_state)
{
    struct world w;
    start(&w, WORLD_64);
    memset(w.cpu->st, 0, sizeof(w.cpu->st));
    memset(w.cpu->xmm, 0, sizeof(w.cpu->xmm));
    w.cpu->mxcsr = 0x1f80;
    w.cpu->pkru = 0;
    put(&w, AREA, 0xabcd, 2);
    put(&w, AREA + 160, 0xabcd, 2);
    put(&w, AREA + 512, UINT64_MAX, 8);
    RUN(&w, XSAVEOPT, NONE);
    ck_assert_uint_eq(get(&w, AREA, 2), 0xabcd);
    ck_assert_uint_eq(get(&w, AREA + 160, 2), 0xabcd);
    ck_assert_uint_eq(get(&w, AREA + 24, 4), 0x1f80); /* MXCSR always */
    ck_assert_uint_eq(get(&w, AREA + 512, 8), ~UINT64_C(0x203));
    world_fini(&w);
}
END_TEST

START_TEST(xsavec_compacted)
{
    struct world w;
    start(&w, WORLD_64);
    random_registers(w.cpu);
    RUN(&w, XSAVEC, NONE);
    ck_assert_uint_eq(get(&w, AREA + 512, 8), 0x203);
    ck_assert_uint_eq(get(&w, AREA + 520, 8), XCOMP | 0x203);
    ck_assert_uint_eq(get(&w, AREA + 576, 4), 0x55555554);
    w.cpu->pkru = 0;
    w.cpu->xmm[0].q[0] = 0;
    for (u64 at = 528; at < 576; at += 8)
        put(&w, AREA + at, 0, 8);
    RUN(&w, XRSTOR, NONE);
    ck_assert_uint_eq(w.cpu->pkru, 0x55555554);
    ck_assert_uint_eq(w.cpu->xmm[0].q[0], 0x0101010101010101);
    ck_assert_uint_eq(w.cpu->mxcsr, 0x1fa0);
    world_fini(&w);
}
END_TEST

static void clear_header(struct world *w)
{
    for (u64 at = 512; at < 576; at += 8)
        put(w, AREA + at, 0, 8);
}

START_TEST(xrstor_initializes)
{
    struct world w;
    start(&w, WORLD_64);
    random_registers(w.cpu);
    clear_header(&w);
    put(&w, AREA + 24, 0x1f00, 4);
    w.cpu->gpr[RAX] = 3;
    RUN(&w, XRSTOR, NONE);
    ck_assert_uint_eq(w.cpu->fcw, 0x37f);
    ck_assert_uint_eq(w.cpu->ftw_empty, 0xff);
    ck_assert_uint_eq(w.cpu->xmm[3].q[0], 0);
    ck_assert_uint_eq(w.cpu->st[3].mant, 0);
    ck_assert_uint_eq(w.cpu->mxcsr, 0x1f00); /* standard form: from memory all the same */
    ck_assert_uint_eq(w.cpu->pkru, 0x55555554);
    /* compacted form: MXCSR is initialized with the rest of SSE state */
    put(&w, AREA + 520, XCOMP | 2, 8);
    w.cpu->gpr[RAX] = 2;
    RUN(&w, XRSTOR, NONE);
    ck_assert_uint_eq(w.cpu->mxcsr, 0x1f80);
    world_fini(&w);
}
END_TEST

START_TEST(xrstor_faults)
{
    static const struct {
        u64 at, value;
    } bad[] = {
        {512, 4},         /* XSTATE_BV: not in XCR0 */
        {520, 1},         /* XCOMP_BV without bit 63 */
        {528, 1},         /* reserved */
        {520, XCOMP | 4}, /* XCOMP_BV: not in XCR0 */
        {24, 0x10000},    /* MXCSR */
    };
    struct world w;
    start(&w, WORLD_64);
    for (unsigned k = 0; k < ARRAY_SIZE(bad); k++) {
        clear_header(&w);
        put(&w, AREA + 24, 0x1f80, 4);
        put(&w, AREA + bad[k].at, bad[k].value, 8);
        RUN(&w, XRSTOR, EXC_GP);
    }
    clear_header(&w);
    put(&w, AREA + 24, 0x1f80, 4);
    RUN(&w, XRSTOR, NONE);
    put(&w, AREA + 520, XCOMP | 1, 8);
    put(&w, AREA + 512, 3, 8); /* more than the layout has room for */
    RUN(&w, XRSTOR, EXC_GP);
    clear_header(&w);
    put(&w, AREA + 520, XCOMP | 1, 8);
    put(&w, AREA + 536, 1, 8); /* reserved in the compacted form only */
    RUN(&w, XRSTOR, EXC_GP);
    w.cpu->gpr[RDI] = AREA + 16;
    RUN(&w, XRSTOR, EXC_GP);
    world_fini(&w);
}
END_TEST

START_TEST(mxcsr)
{
    struct world w;
    start(&w, WORLD_64);
    put(&w, AREA, 0x9fc0, 4);
    RUN(&w, "\x0f\xae\x17", NONE);
    ck_assert_uint_eq(w.cpu->mxcsr, 0x9fc0);
    RUN(&w, "\x0f\xae\x5f\x08", NONE);
    ck_assert_uint_eq(get(&w, AREA + 8, 4), 0x9fc0);
    put(&w, AREA, 0x19fc0, 4);
    RUN(&w, "\x0f\xae\x17", EXC_GP);
    w.cpu->cr0 |= CR0_EM;
    cpu_update_mode(w.cpu);
    RUN(&w, "\x0f\xae\x17", EXC_UD);
    world_fini(&w);
}
END_TEST

START_TEST(alignment)
{
    struct world w;
    start(&w, WORLD_64);
    w.cpu->gpr[RDI] = AREA + 8;
    RUN(&w, "\x0f\x10\x07", NONE);       /* MOVUPS */
    RUN(&w, "\x0f\x28\x07", EXC_GP);     /* MOVAPS */
    RUN(&w, "\x0f\x29\x07", EXC_GP);     /* MOVAPS, store */
    RUN(&w, "\x66\x0f\xef\x07", EXC_GP); /* PXOR */
    RUN(&w, "\x0f\x58\x07", EXC_GP);     /* ADDPS */
    RUN(&w, "\xf2\x0f\x58\x07", NONE);   /* ADDSD */
    RUN(&w, "\x66\x0f\x6f\x07", EXC_GP); /* MOVDQA */
    RUN(&w, "\x66\x0f\x60\x07", EXC_GP); /* PUNPCKLBW */
    RUN(&w, "\x66\x0f\x70\x07\x00", EXC_GP);
    RUN(&w, "\x0f\x60\x07", NONE); /* MMX PUNPCKLBW */
    world_fini(&w);
}
END_TEST

START_TEST(exceptions)
{
    struct world w;
    start(&w, WORLD_64);
    struct cpu *cpu = w.cpu;
    /* 1 / 0 unmasked: #XM, or #UD when the system doesn't know of it */
    cpu->xmm[0].q[0] = 0x3ff0000000000000;
    cpu->xmm[1].q[0] = 0;
    cpu->mxcsr = 0x1f80 & ~0x200u;
    RUN(&w, "\xf2\x0f\x5e\xc1", EXC_XM);
    ck_assert_uint_eq(cpu->mxcsr, 0x1d84);
    ck_assert_uint_eq(cpu->xmm[0].q[0], 0x3ff0000000000000);
    ck_assert(cpu_write_cr4(cpu, cpu->cr4 & ~CR4_OSXMMEXCPT));
    RUN(&w, "\xf2\x0f\x5e\xc1", EXC_UD);
    /* x87: the next waiting instruction finds it, pointers say where it was */
    fpu_init(cpu);
    cpu->fcw &= (u16)~FP_ZE;
    RUN(&w, "\xd9\xe8", NONE); /* FLD1 */
    RUN(&w, "\xd9\xee", NONE); /* FLDZ */
    RUN(&w, "\xde\xf9", NONE); /* FDIVP */
    ck_assert_uint_eq(cpu->fsw & 0x80bf, 0x8084);
    ck_assert_uint_eq(cpu->fop, 0x6f9);
    ck_assert_uint_eq(cpu->fip, CODE);
    RUN(&w, "\xd9\xe8", EXC_MF);
    RUN(&w, "\x9b", EXC_MF);
    RUN(&w, "\x0f\x77", EXC_MF); /* EMMS */
    RUN(&w, "\xdd\x3f", NONE);   /* FNSTSW does not wait */
    world_fini(&w);
}
END_TEST

/* The four layouts of the environment (SDM "x87 FPU State Image in Memory"). */
START_TEST(environment)
{
    struct world w;
    start(&w, WORLD_32);
    random_registers(w.cpu);
    RUN(&w, "\xd9\x37", NONE); /* 32-bit protected mode */
    ck_assert_uint_eq(get(&w, AREA, 4), 0xffff027f);
    ck_assert_uint_eq(get(&w, AREA + 4, 4), 0xffff1800);
    ck_assert_uint_eq(get(&w, AREA + 8, 4), 0xffffff00);
    ck_assert_uint_eq(get(&w, AREA + 12, 4), 0x55667788);
    ck_assert_uint_eq(get(&w, AREA + 16, 4), 0x01230010);
    ck_assert_uint_eq(get(&w, AREA + 20, 4), 0xddeeff00);
    ck_assert_uint_eq(get(&w, AREA + 24, 4), 0xffff0018);
    ck_assert_uint_eq(w.cpu->fcw, 0x27f); /* all masked afterwards, as they were */
    w.cpu->fop = 0;
    w.cpu->fcw = 0x340;
    RUN(&w, "\xd9\x27", NONE); /* FLDENV */
    ck_assert_uint_eq(w.cpu->fcw, 0x27f);
    ck_assert_uint_eq(w.cpu->fop, 0x123);
    ck_assert_uint_eq(w.cpu->fdp, 0xddeeff00);
    RUN(&w, "\x66\xd9\x37", NONE); /* 16-bit protected mode */
    ck_assert_uint_eq(get(&w, AREA, 8), 0x7788ff001800027f);
    ck_assert_uint_eq(get(&w, AREA + 8, 6), 0x0018ff000010);
    world_fini(&w);

    start(&w, WORLD_REAL);
    random_registers(w.cpu);
    w.cpu->gpr[RBX] = 0x100;
    u64 at = CODE + 0x100;
    RUN(&w, "\x66\xd9\x37", NONE); /* FNSTENV [BX], 32-bit: linear addresses */
    ck_assert_uint_eq(get(&w, at + 12, 4), 0xffff7888);
    ck_assert_uint_eq(get(&w, at + 16, 4), 0x05566123);
    ck_assert_uint_eq(get(&w, at + 20, 4), 0xffff0080);
    ck_assert_uint_eq(get(&w, at + 24, 4), 0x0ddef000);
    RUN(&w, "\xd9\x37", NONE);
    ck_assert_uint_eq(get(&w, at, 8), 0x7888ff001800027f);
    ck_assert_uint_eq(get(&w, at + 8, 6), 0xf00000806123);
    world_fini(&w);
}
END_TEST

START_TEST(unavailable)
{
    struct world w;
    start(&w, WORLD_64);
    w.cpu->cr0 |= CR0_TS;
    cpu_update_mode(w.cpu);
    RUN(&w, "\xd9\xe8", EXC_NM);
    RUN(&w, "\x0f\x77", EXC_NM);
    RUN(&w, "\x0f\x58\xc1", EXC_NM);
    RUN(&w, "\x9b", NONE); /* FWAIT asks for CR0.MP as well */
    w.cpu->cr0 |= CR0_MP;
    RUN(&w, "\x9b", EXC_NM);
    w.cpu->cr0 = (w.cpu->cr0 & ~CR0_TS) | CR0_EM;
    cpu_update_mode(w.cpu);
    RUN(&w, "\xd9\xe8", EXC_NM);
    RUN(&w, "\x0f\x77", EXC_UD);
    RUN(&w, "\x0f\x58\xc1", EXC_UD);
    world_fini(&w);
}
END_TEST

SUITE_MAIN("extended state", &fxsave_layout, &fxsave_round_trip, &fxsave_32_bit, &fxsave_faults,
           &xsave_standard, &xsaveopt_leaves_initial_state, &xsavec_compacted, &xrstor_initializes,
           &xrstor_faults, &mxcsr, &alignment, &environment, &exceptions, &unavailable)
