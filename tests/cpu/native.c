/* SPDX-License-Identifier: MIT */
#include "tests/cpu/native.h"

#if defined(__x86_64__) && defined(__linux__)

#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

/* One page: code from its start, the state at DATA. The code reaches the state RIP-relatively. */
#define DATA 2048
#define FLAGS_AT (DATA + 16 * 8)
#define STATUS 0x8d5u

static u8 *page;
static unsigned at;
static sigjmp_buf escape;

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
    emit_rip(DATA + reg * 8);
}

static const u8 saved[] = {3, 5, 12, 13, 14, 15}; /* callee-saved registers */

static void emit_push(u8 base, unsigned reg)
{
    u8 code[2] = {0x41, (u8)(base + (reg & 7))};
    emit(code + (reg < 8), 1 + (reg >= 8));
}

static void on_sigfpe(int sig)
{
    (void)sig;
    siglongjmp(escape, 1);
}

bool native_init(void)
{
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return false;
    struct sigaction sa = {.sa_handler = on_sigfpe};
    sigemptyset(&sa.sa_mask);
    sa.sa_flags = SA_NODEFER;
    return sigaction(SIGFPE, &sa, NULL) == 0;
}

static void build(const u8 *bytes, unsigned length)
{
    at = 0;
    for (unsigned k = 0; k < sizeof(saved); k++)
        emit_push(0x50, saved[k]);
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
    for (unsigned k = sizeof(saved); k-- > 0;)
        emit_push(0x58, saved[k]);
    emit((const u8[]){0xfc, 0xc3}, 2); /* cld; ret */
}

bool native_run(struct native_state *st, const u8 *bytes, unsigned length)
{
    build(bytes, length);
    memcpy(page + DATA, st->gpr, sizeof(st->gpr));
    u64 flags = st->flags | 0x202;
    memcpy(page + FLAGS_AT, &flags, 8);
    void (*code)(void);
    memcpy(&code, &page, sizeof(code));
    if (sigsetjmp(escape, 0))
        return false;
    code();
    memcpy(st->gpr, page + DATA, sizeof(st->gpr));
    memcpy(&st->flags, page + FLAGS_AT, 8);
    st->flags &= STATUS;
    return true;
}

#else

bool native_init(void)
{
    return false;
}

bool native_run(struct native_state *st, const u8 *bytes, unsigned length)
{
    (void)st;
    (void)bytes;
    (void)length;
    return false;
}

#endif
