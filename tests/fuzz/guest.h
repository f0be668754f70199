/* SPDX-License-Identifier: MIT */
/*
 * A random guest: a PC whose memory holds random code, with the processor in the middle of it, in a
 * given mode. A seed gives the same guest each time.
 */
#ifndef TESTS_FUZZ_GUEST_H
#define TESTS_FUZZ_GUEST_H

#include "configs/machine.h"
#include "tests/fuzz/random.h"

/* name, size of code as MODE_*, paging, long mode */
/* clang-format off */
#define GUEST_MODES(X) \
    X(REAL,   "real",   0,         NONE,   false) \
    X(VM86,   "vm86",   0,         32BIT,  false) \
    X(PROT16, "prot16", 0,         NONE,   false) \
    X(PROT32, "prot32", MODE_CS32, 32BIT,  false) \
    X(PAE,    "pae",    MODE_CS32, PAE,    false) \
    X(COMPAT, "compat", MODE_CS32, 4LEVEL, true) \
    X(LONG4,  "long4",  MODE_64,   4LEVEL, true) \
    X(LONG5,  "long5",  MODE_64,   5LEVEL, true)
/* clang-format on */
enum guest_mode {
#define X(id, ...) GUEST_##id,
    GUEST_MODES(X)
#undef X
        GUEST_MODES_COUNT
};
extern const char *const guest_mode_names[];

enum guest_kind {
    /* Tables as they should be and out of reach: every way to run it must end in the same state. */
    GUEST_TAME,
    /* Anything goes. */
    GUEST_WILD
};

#define GUEST_RAM (2 * MIB)

struct guest {
    enum guest_mode mode;
    enum guest_kind kind;
    bool user; /* starts at CPL 3 */
    struct rng rng;
    struct machine *m;
    struct cpu *cpu;
};

void guest_init(struct guest *g, enum guest_mode mode, enum guest_kind kind, u64 seed);
void guest_fini(struct guest *g);

/* Again in its first mode, with new tables and registers, after it has stopped; memory stays. */
void guest_start(struct guest *g);

/* Instructions retired so far, by all processors. */
u64 guest_insns(const struct guest *g);

/* Runs until tick `end`; false once the guest has stopped for good (triple fault, reset, idle). */
bool guest_run(struct guest *g, u64 end);

/* Something from outside that a guest could do too: MSRs, ports, device registers, descriptors ... */
void guest_disturb(struct guest *g);

#endif
