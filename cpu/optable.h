/* SPDX-License-Identifier: MIT */
/*
 * The opcode table in memory, one struct op_row for each OP() of cpu/optable.def, and the tokens
 * that rows may use. Each argument of OP() is pasted to a prefix given here (map 1B becomes
 * MAP_1B), except the flags, which are or-ed names of ROW_FLAGS (0 or NONE for none).
 *
 * Of several rows that match an instruction the most specific counts: first by prefix (P66, PF2,
 * PF3 and NP before NF before ANY), then by ModRM (X(n), then DnM and DnR, Dn, M and R, ANY), then
 * a row of one opcode before a row of eight (Z). Rows whose feature the processor lacks don't match
 * at all, so that TZCNT becomes BSF on old processors. Rows that are equally specific may not
 * overlap.
 */
#ifndef CPU_OPTABLE_H
#define CPU_OPTABLE_H

#include "base/types.h"
#include "cpu/insn.h"

enum op_map { MAP_1B, MAP_0F, MAP_38, MAP_3A, MAP_COUNT };

/*
 * ANY, NF: 66 is the operand size. NF: neither F2 nor F3 may be there. PF2 and PF3: 66 is still the
 * operand size for operands that have one (POPCNT, CRC32).
 */
enum op_prefix { PREFIX_ANY, PREFIX_NF, PREFIX_NP, PREFIX_P66, PREFIX_PF2, PREFIX_PF3 };

/* EXT_NOMODRM says what ANY says too when no operand needs a ModRM byte. */
#define EXT_D_LIST(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
enum op_ext {
    EXT_ANY,
    EXT_NOMODRM,
    EXT_MODRM, /* a ModRM byte is there although no operand uses it */
    EXT_M,
    EXT_R,
#define X(n) EXT_D##n = 8 + (n), EXT_D##n##M = 16 + (n), EXT_D##n##R = 24 + (n),
    EXT_D_LIST(X)
#undef X
        EXT_X_BASE = 0x100
};
#define EXT_X(modrm) (EXT_X_BASE | (modrm))

enum op_mode { OPMODE_ANY, OPMODE_O64, OPMODE_I64 };

/*
 * Operand letters are those of the SDM's "Key to Abbreviations", and of ours:
 *   Z   register in the low three bits of the opcode byte (and REX.B)
 *   E, W, Q   register or memory; U, N and R: register only (mod 3, except that R beside C or D
 *       ignores mod); M: memory only
 *   T   x87 register ST(i), i = ModRM.rm
 *   L   a register or constant named by the row
 *   NO  nothing; only gives the row a width
 * Sizes: n none, b w d q t (10 bytes) p (far pointer, by operand size) s (descriptor table) o (16
 * bytes), x (vector), v y z by operand size.
 */
enum op_letter {
    LET_NO,
    LET_A,
    LET_C,
    LET_D,
    LET_E,
    LET_F,
    LET_G,
    LET_I,
    LET_J,
    LET_L,
    LET_M,
    LET_N,
    LET_O,
    LET_P,
    LET_Q,
    LET_R,
    LET_S,
    LET_T,
    LET_U,
    LET_V,
    LET_W,
    LET_X,
    LET_Y,
    LET_Z
};
enum op_size {
    SIZE_n,
    SIZE_b,
    SIZE_w,
    SIZE_d,
    SIZE_q,
    SIZE_o,
    SIZE_t,
    SIZE_p,
    SIZE_s,
    SIZE_x,
    SIZE_v,
    SIZE_y,
    SIZE_z
};

/* clang-format off */
#define OPERAND_VECTOR(X, l) \
    X(l##b, l, x) X(l##w, l, x) X(l##d, l, x) X(l##q, l, x) X(l##y, l, x) X(l##x, l, x) X(l##dq, l, x) \
    X(l##ps, l, x) X(l##pd, l, x) X(l##ss, l, x) X(l##sd, l, x) X(l##pi, l, x) X(l, l, x)
#define OPERAND_SIZED(X, l) \
    X(l##b, l, b) X(l##w, l, w) X(l##d, l, d) X(l##q, l, q) X(l##v, l, v) X(l##y, l, y) X(l##z, l, z)
/* X(name, letter, size) */
#define OPERAND_LIST(X) \
    X(__, NO, n) \
    /* no operand, but the width of the handler: by operand size; 32 or 64; 16 or 32; fixed */ \
    X(_v, NO, v) X(_y, NO, y) X(_z, NO, z) X(_b, NO, b) X(_w, NO, w) X(_d, NO, d) X(_q, NO, q) \
    OPERAND_SIZED(X, E) OPERAND_SIZED(X, G) OPERAND_SIZED(X, R) OPERAND_SIZED(X, Z) \
    OPERAND_SIZED(X, M) OPERAND_SIZED(X, X) OPERAND_SIZED(X, Y) \
    /* M: no width; Mt 80-bit real or BCD; Ms LGDT; Ma BOUND; Mp far pointer; Mdq and vectors */ \
    X(M, M, n) X(Mt, M, t) X(Ms, M, s) X(Ma, M, v) X(Mp, M, p) X(Mo, M, o) X(Mdq, M, x) X(Mx, M, x) \
    X(Mps, M, x) X(Mpd, M, x) X(Mss, M, x) X(Msd, M, x) X(Mpi, M, x) \
    /* MOV Ev, Sw and such: register of the operand size, but a word (byte, ...) in memory */ \
    X(RvMw, E, v) X(RyMw, E, y) X(RyMb, E, y) X(RdMb, E, d) X(RdMw, E, d) \
    /* Ib is zero-extended, Ibs sign-extended; Iw zero-extended; Iz and Iv sign-extended */ \
    X(Ib, I, b) X(Ibs, I, b) X(Iw, I, w) X(Id, I, d) X(Iz, I, z) X(Iv, I, v) \
    X(Jb, J, b) X(Jz, J, z) X(Ap, A, p) X(Ob, O, b) X(Ov, O, v) X(Fv, F, v) X(Fw, F, w) X(Fd, F, d) X(Fq, F, q) \
    X(Sw, S, n) X(Cd, C, n) X(Cq, C, n) X(Cy, C, n) X(Dd, D, n) X(Dq, D, n) X(Dy, D, n) \
    OPERAND_VECTOR(X, V) OPERAND_VECTOR(X, W) OPERAND_VECTOR(X, U) \
    OPERAND_VECTOR(X, P) OPERAND_VECTOR(X, Q) OPERAND_VECTOR(X, N) \
    X(STi, T, n) X(ST0, L, n) X(XMM0, L, x) X(ONE, L, n) \
    X(AL, L, b) X(CL, L, b) X(DL, L, b) X(BL, L, b) X(AH, L, b) X(CH, L, b) X(DH, L, b) X(BH, L, b) \
    X(AX, L, w) X(DX, L, n) X(CX, L, w) X(EAX, L, d) X(ECX, L, d) X(EDX, L, d) X(RAX, L, q) \
    X(eAX, L, z) X(eDX, L, z) X(rAX, L, v) X(rCX, L, v) X(rDX, L, v) X(rBX, L, v) X(rSP, L, v) \
    X(rBP, L, v) X(rSI, L, v) X(rDI, L, v) \
    X(ES, L, n) X(CS, L, n) X(SS, L, n) X(DS, L, n) X(FS, L, n) X(GS, L, n)
/* clang-format on */

enum op_operand {
#define X(name, letter, size) OPND_##name,
    OPERAND_LIST(X)
#undef X
        OPND_COUNT
};

/* clang-format off */
#define OP_CLASS_LIST(X) \
    X(ALU) X(LEA) X(MUL) X(DIV) X(SHIFT) X(LOAD) X(STORE) X(BRANCH) X(CALL) X(RET) X(STRING) \
    X(FPU) X(VEC) X(SYS) X(NOP)
/* clang-format on */
enum op_class {
#define X(name) CLASS_##name,
    OP_CLASS_LIST(X)
#undef X
        CLASS_COUNT
};

/* Sets of status flags, letters always in the order OSZAPC. */
enum op_flagset {
    FS_NONE = 0,
    FS_ALL = 63,
    FS_C = 1,
    FS_P = 2,
    FS_PC = 3,
    FS_A = 4,
    FS_AC = 5,
    FS_AP = 6,
    FS_APC = 7,
    FS_Z = 8,
    FS_ZC = 9,
    FS_ZP = 10,
    FS_ZPC = 11,
    FS_ZA = 12,
    FS_ZAC = 13,
    FS_ZAP = 14,
    FS_ZAPC = 15,
    FS_S = 16,
    FS_SC = 17,
    FS_SP = 18,
    FS_SPC = 19,
    FS_SA = 20,
    FS_SAC = 21,
    FS_SAP = 22,
    FS_SAPC = 23,
    FS_SZ = 24,
    FS_SZC = 25,
    FS_SZP = 26,
    FS_SZPC = 27,
    FS_SZA = 28,
    FS_SZAC = 29,
    FS_SZAP = 30,
    FS_SZAPC = 31,
    FS_O = 32,
    FS_OC = 33,
    FS_OP = 34,
    FS_OPC = 35,
    FS_OA = 36,
    FS_OAC = 37,
    FS_OAP = 38,
    FS_OAPC = 39,
    FS_OZ = 40,
    FS_OZC = 41,
    FS_OZP = 42,
    FS_OZPC = 43,
    FS_OZA = 44,
    FS_OZAC = 45,
    FS_OZAP = 46,
    FS_OZAPC = 47,
    FS_OS = 48,
    FS_OSC = 49,
    FS_OSP = 50,
    FS_OSPC = 51,
    FS_OSA = 52,
    FS_OSAC = 53,
    FS_OSAP = 54,
    FS_OSAPC = 55,
    FS_OSZ = 56,
    FS_OSZC = 57,
    FS_OSZP = 58,
    FS_OSZPC = 59,
    FS_OSZA = 60,
    FS_OSZAC = 61,
    FS_OSZAP = 62,
    FS_OSZAPC = 63,
};

/* Basic exit reasons (SDM "VMX Basic Exit Reasons") that the decoded instruction itself may cause.
 */
enum op_exit {
    VMEXIT_TASK_SWITCH = 9,
    VMEXIT_CPUID = 10,
    VMEXIT_GETSEC = 11,
    VMEXIT_HLT = 12,
    VMEXIT_INVD = 13,
    VMEXIT_INVLPG = 14,
    VMEXIT_RDPMC = 15,
    VMEXIT_RDTSC = 16,
    VMEXIT_RSM = 17,
    VMEXIT_VMCALL = 18,
    VMEXIT_VMCLEAR = 19,
    VMEXIT_VMLAUNCH = 20,
    VMEXIT_VMPTRLD = 21,
    VMEXIT_VMPTRST = 22,
    VMEXIT_VMREAD = 23,
    VMEXIT_VMRESUME = 24,
    VMEXIT_VMWRITE = 25,
    VMEXIT_VMXOFF = 26,
    VMEXIT_VMXON = 27,
    VMEXIT_CR_ACCESS = 28,
    VMEXIT_CR = 28,
    VMEXIT_DR_ACCESS = 29,
    VMEXIT_DR = 29,
    VMEXIT_IO = 30,
    VMEXIT_RDMSR = 31,
    VMEXIT_WRMSR = 32,
    VMEXIT_MWAIT = 36,
    VMEXIT_MONITOR = 39,
    VMEXIT_PAUSE = 40,
    VMEXIT_GDTR_IDTR = 46,
    VMEXIT_LDTR_TR = 47,
    VMEXIT_INVEPT = 50,
    VMEXIT_RDTSCP = 51,
    VMEXIT_INVVPID = 53,
    VMEXIT_WBINVD = 54,
    VMEXIT_XSETBV = 55,
    VMEXIT_RDRAND = 57,
    VMEXIT_INVPCID = 58,
    VMEXIT_VMFUNC = 59,
    VMEXIT_ENCLS = 60,
    VMEXIT_RDSEED = 61,
    VMEXIT_XSAVES = 63,
    VMEXIT_XRSTORS = 64,
    VMEXIT_PCONFIG = 65,
    VMEXIT_UMWAIT = 67,
    VMEXIT_TPAUSE = 68,
    VMEXIT_NONE = 255
};

/* NOPE: the memory operand is not accessed (LEA, NOP, PREFETCH). */
#define ROW_FLAGS(X) X(LOCK, 1) X(CPL0, 2) X(END, 4) X(D64, 8) X(F64, 16) X(REPS, 32) X(NOPE, 64)
enum op_row_flags {
    ROW_NONE,
#define X(name, bit) ROW_##name = (bit),
    ROW_FLAGS(X)
#undef X
};

struct op_row {
    const char *name;
    const struct op_family *family;
    u8 map; /* enum op_map */
    u8 opcode;
    u8 prefix;   /* enum op_prefix */
    u8 mode;     /* enum op_mode */
    u16 ext;     /* enum op_ext */
    u8 op[3];    /* enum op_operand */
    u8 cls;      /* enum op_class */
    u16 feature; /* enum cpu_feature */
    u8 exit;     /* enum op_exit */
    u8 fr, fw;   /* enum op_flagset */
    u8 flags;    /* ROW_* */
};

struct op_operand_info {
    const char *name;
    u8 letter, size;
};
extern const struct op_operand_info op_operands[OPND_COUNT];
extern const struct op_row op_rows[];
extern const unsigned op_row_count;

static inline unsigned op_letter(const struct op_row *row, unsigned k)
{
    return op_operands[row->op[k]].letter;
}
bool op_has_letter(const struct op_row *row, enum op_letter letter);
bool op_has_modrm(const struct op_row *row);
/* Number of opcodes that the row stands for: 8 with a Z operand, else 1. */
unsigned op_opcodes(const struct op_row *row);
/* Does this ModRM byte select the row? Rows without a ModRM byte: always. */
bool op_match_modrm(const struct op_row *row, u8 modrm);
/* How specific a row is in the order given above; greater goes first. */
unsigned op_rank(const struct op_row *row);

#endif
