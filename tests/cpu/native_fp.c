/* SPDX-License-Identifier: MIT */
#include "tests/cpu/native_fp.h"

#if defined(__x86_64__) && defined(__linux__)

#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

/* One page: code from its start, the state at DATA. The code reaches the state RIP-relatively. */
#define DATA 2048u
#define FX_AT DATA
#define GPR_AT (DATA + 512u)
#define FLAGS_AT (GPR_AT + 16 * 8)
#define STATUS 0x8d5u

static u8 *page;
static unsigned at;
static sigjmp_buf escape;
static u8 fault_fx[512];

static void emit(const void *bytes, unsigned n)
{
    memcpy(page + at, bytes, n);
    at += n;
}

static void emit_rip(unsigned target)
{
    s32 distance = (s32)target - (s32)(at + 4);
    emit(&distance, 4);
}

/* MOV between register and state: opcode 8b loads, 89 stores. */
static void emit_mov(u8 opcode, unsigned reg)
{
    u8 code[3] = {(u8)(0x48 | (reg & 8) >> 1), opcode, (u8)(5 | (reg & 7) << 3)};
    emit(code, 3);
    emit_rip(GPR_AT + reg * 8);
}

static const u8 saved[] = {3, 5, 12, 13, 14, 15}; /* callee-saved registers */

static void emit_push(u8 base, unsigned reg)
{
    u8 code[2] = {0x41, (u8)(base + (reg & 7))};
    emit(code + (reg < 8), 1 + (reg >= 8));
}

static void on_sigfpe(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    ucontext_t *uc = context;
    memcpy(fault_fx, uc->uc_mcontext.fpregs, sizeof(fault_fx));
    __asm__ volatile("fninit; ldmxcsr %0" : : "m"((const u32){0x1f80}));
    siglongjmp(escape, 1);
}

bool native_fp_init(void)
{
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return false;
    struct sigaction sa = {.sa_sigaction = on_sigfpe};
    sigemptyset(&sa.sa_mask);
    sa.sa_flags = SA_NODEFER | SA_SIGINFO;
    return sigaction(SIGFPE, &sa, NULL) == 0;
}

static void build(const u8 *bytes, unsigned length)
{
    at = 0;
    for (unsigned k = 0; k < sizeof(saved); k++)
        emit_push(0x50, saved[k]);
    emit((const u8[]){0x48, 0x0f, 0xae, 0x0d}, 4); /* fxrstor64 */
    emit_rip(FX_AT);
    emit((const u8[]){0xff, 0x35}, 2); /* push flags */
    emit_rip(FLAGS_AT);
    emit((const u8[]){0x9d}, 1); /* popf */
    for (unsigned reg = 0; reg < 16; reg++)
        if (reg != 4)
            emit_mov(0x8b, reg);
    emit(bytes, length);
    for (unsigned reg = 0; reg < 16; reg++)
        if (reg != 4)
            emit_mov(0x89, reg);
    emit((const u8[]){0x9c, 0x8f, 0x05}, 3); /* pushf; pop flags */
    emit_rip(FLAGS_AT);
    emit((const u8[]){0x48, 0x0f, 0xae, 0x05}, 4); /* fxsave64 */
    emit_rip(FX_AT);
    for (unsigned k = sizeof(saved); k-- > 0;)
        emit_push(0x58, saved[k]);
    emit((const u8[]){0xdb, 0xe3, 0xfc, 0xc3}, 4); /* fninit; cld; ret */
}

bool native_fp_run(struct native_fp *st, const u8 *bytes, unsigned length)
{
    build(bytes, length);
    u64 flags = st->flags | 0x202;
    memcpy(page + FX_AT, st->fx, sizeof(st->fx));
    memcpy(page + GPR_AT, st->gpr, sizeof(st->gpr));
    memcpy(page + FLAGS_AT, &flags, 8);
    void (*code)(void);
    memcpy(&code, &page, sizeof(code));
    if (sigsetjmp(escape, 0)) {
        memcpy(st->fx, fault_fx, sizeof(st->fx));
        return false;
    }
    code();
    __asm__ volatile("ldmxcsr %0" : : "m"((const u32){0x1f80}));
    memcpy(st->fx, page + FX_AT, sizeof(st->fx));
    memcpy(st->gpr, page + GPR_AT, sizeof(st->gpr));
    memcpy(&st->flags, page + FLAGS_AT, 8);
    st->flags &= STATUS;
    return true;
}

#else

bool native_fp_init(void)
{
    return false;
}

bool native_fp_run(struct native_fp *st, const u8 *bytes, unsigned length)
{
    (void)st;
    (void)bytes;
    (void)length;
    return false;
}

#endif
