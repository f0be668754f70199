/* SPDX-License-Identifier: MIT */
/*
 * The debugger's core, which the GDB stub and the monitor share: points where the machine stops, the
 * last stop, stepping, and looks at registers and memory.
 *
 * Nothing here is seen by the guest: a run that stops and goes on is the run that never stopped, tick
 * by tick, unless somebody changed registers or memory or had one processor run alone. There is one
 * debugger a machine. All functions are for the machine's own thread; those that say "standing" may
 * only be called while the machine stands (debugger_standing()), all others at any time.
 *
 * While the machine stands, cpu_group_run() is not running: it ended with STOP_DEBUG, and the
 * session serves the consoles (debugger_serve()) until one of them calls debugger_continue(),
 * debugger_step() or debugger_quit().
 */
#ifndef FRONTEND_DEBUGGER_H
#define FRONTEND_DEBUGGER_H

#include <stdio.h>

#include "base/error.h"
#include "cpu/cpu.h"

struct debugger;

struct debugger *debugger_new(struct cpu_group *group);
void debugger_free(struct debugger *d); /* NULL is allowed */

/* ---- Points: where to stop ---- */

enum debug_point_kind {
    DEBUG_EXEC,      /* before the instruction whose first byte is at `address` */
    DEBUG_WRITE,     /* after an instruction (or the delivery of an event) that wrote, */
    DEBUG_READ,      /* read, */
    DEBUG_ACCESS,    /* did either to a byte of [address, address + size) */
    DEBUG_VM_EXIT,   /* before an exit of basic reason `number` changes anything */
    DEBUG_VM_ENTRY,  /* after a VM entry, before the guest's first instruction */
    DEBUG_VM_WRITE,  /* before a VMWRITE of the field of encoding `number` */
    DEBUG_EXCEPTION, /* before exception vector `number` is delivered (or causes an exit) */
    DEBUG_INTERRUPT, /* before the first instruction of the handler of external interrupt `number` */
    DEBUG_POINT_KINDS
};

#define DEBUG_ANY UINT32_MAX

/*
 * Watched accesses are those of instructions and of event delivery, not page walks, VMX's own accesses
 * to its structures, or devices. A failed VM entry counts as an exit, but stops after it, the host's
 * state being loaded. Physical addresses are the machine's (not those of a guest under EPT).
 */
struct debug_point {
    unsigned id; /* set by debugger_add(); never 0, never used again */
    enum debug_point_kind kind;
    bool physical; /* address: physical instead of linear */
    u64 address;   /* EXEC, WRITE, READ, ACCESS */
    u64 size;      /* WRITE, READ, ACCESS: bytes, at least 1; may not go round the end */
    u32 number;    /* VM_EXIT, VM_WRITE, EXCEPTION, INTERRUPT: which, or DEBUG_ANY */
    bool disabled;
    bool once; /* removed by the stop it causes */
    u64 hits;  /* stops it caused; set to 0 by debugger_add() */
};

/* Standing. Points are for all processors. The new point's id; 0 with err set: malformed, or too many. */
unsigned debugger_add(struct debugger *d, const struct debug_point *point, struct error *err);
/* Standing. False: there is no such point. */
bool debugger_remove(struct debugger *d, unsigned id);
bool debugger_enable(struct debugger *d, unsigned id, bool enabled);
/* The n-th point in order of id, NULL past the last. Valid until points are added or removed. */
const struct debug_point *debugger_point(const struct debugger *d, unsigned n);
/* One line about it, as "3 break vmexit EPT_VIOLATION, hit 2 times". */
void debugger_describe(const struct debug_point *point, char *to, size_t size);

/* VM-exit reasons and fields by name, as the trace writes them, or by number. False: unknown. */
bool debugger_find_reason(const char *text, u32 *reason);
bool debugger_find_field(const char *text, u32 *encoding);

/* The kind of event that a command's word means: vmexit, vmentry, vmwrite, exception, interrupt. */
bool debugger_event_kind(const char *word, enum debug_point_kind *kind);
/*
 * Which event of that kind `text` means: a reason, a field (of 64 bits: both its encodings), a vector,
 * or "any". False: none; VM entries have no numbers.
 */
bool debugger_event_number(enum debug_point_kind kind, const char *text, u32 *number);

/* ---- Stops ---- */

enum debug_stop_kind {
    DEBUG_STOP_NONE,
    DEBUG_STOP_REQUEST, /* debugger_request_stop() */
    DEBUG_STOP_STEP,    /* debugger_step() is done */
    DEBUG_STOP_POINT,   /* a point: `point` */
    DEBUG_STOP_END /* the guest is at its end (triple fault ...): whatever is said, it won't run on */
};

struct debug_stop {
    enum debug_stop_kind kind;
    struct debug_point point; /* a copy, since a `once` point is gone */
    unsigned cpu;             /* the processor that stopped the machine */
    u64 tick;
    u64 rip;       /* of that processor */
    u64 address;   /* WRITE, READ, ACCESS: first byte accessed */
    unsigned size; /* and how many */
    bool write;
    u32 number;     /* reason (bit 31: of a failed entry), field or vector */
    u64 value;      /* VM_WRITE: what would be written; VM_EXIT: the qualification */
    char text[192]; /* one line for a person, without a newline */
};

/* The last stop; before the first its kind is DEBUG_STOP_NONE. */
const struct debug_stop *debugger_last(const struct debugger *d);

/* Asks for a stop as soon as the machine is between two instructions. At most one is pending. */
void debugger_request_stop(struct debugger *d);

bool debugger_standing(const struct debugger *d);

/*
 * Standing: what debugger_serve() is to do when the console returns. step: until processor `cpu` has
 * executed one instruction or taken an event instead; other processors run meanwhile as they always
 * would or, with `alone`, stand still. A halted processor is waited for. continue_alone: only `cpu` runs.
 */
void debugger_continue(struct debugger *d);
void debugger_continue_alone(struct debugger *d, unsigned cpu);
void debugger_step(struct debugger *d, unsigned cpu, bool alone);
/* At any time: ends the run as Ctrl-A X does. */
void debugger_quit(struct debugger *d);

/* The processor that commands are about when they name none: the last stop's, until selected anew. */
unsigned debugger_selected(const struct debugger *d);
bool debugger_select(struct debugger *d, unsigned cpu); /* false: there is no such processor */
struct cpu *debugger_cpu(const struct debugger *d);     /* the selected one */
struct cpu_group *debugger_group(const struct debugger *d);

/* ---- Consoles ---- */

/*
 * A console is a GDB connection, a monitor on a socket, ... Its functions are called between two
 * instructions, whether the machine runs or stands. All but `fd` may be NULL.
 */
struct debug_console {
    void *opaque;
    int (*fd)(void *opaque);        /* to wait for input on, -1: none now; asked before each wait */
    void (*input)(void *opaque);    /* there may be input; must not block */
    void (*stopped)(void *opaque);  /* the machine has come to stand: debugger_last() */
    void (*resuming)(void *opaque); /* it is about to run on */
    void (*ended)(void *opaque, int status); /* the run is over, with this exit status */
};
/* console must live until it is removed. */
void debugger_console_add(struct debugger *d, const struct debug_console *console);
void debugger_console_remove(struct debugger *d, const struct debug_console *console);

/*
 * The monitor's commands, for GDB's `monitor` and whoever else has a line of text. run: executes `line`
 * and writes what it has to say to `out`; false: it knows no such command, and wrote nothing.
 */
struct debug_commands {
    void *opaque;
    bool (*run)(void *opaque, const char *line, FILE *out);
};
void debugger_set_commands(struct debugger *d, const struct debug_commands *commands);
/* By way of the commands set; says so on `out` when there is no such command. */
void debugger_command(struct debugger *d, const char *line, FILE *out);

/* ---- For the session ---- */

/* Is there a console (then the session must poll)? */
bool debugger_live(const struct debugger *d);
/* Hands input to the consoles, waiting up to wait_ms host milliseconds for it (-1: until it comes). */
void debugger_poll(struct debugger *d, int wait_ms);
/*
 * cpu_group_run() ended with STOP_DEBUG: serves the consoles until the machine is to run on (true) or
 * to quit (false). Afterwards cpu_group_run() goes on where it was.
 */
bool debugger_serve(struct debugger *d);
/* Is a stop asked for that the machine has not come to (it was not running)? Then don't run it. */
bool debugger_due(const struct debugger *d);
/* The guest can't go on, as `text` says: serves the consoles once more, until one continues or quits. */
void debugger_end(struct debugger *d, const char *text);
/* Tells the consoles the exit status. */
void debugger_ended(struct debugger *d, int status);
/* The machine was reset or loaded: what is known of its instruction under way is void. */
void debugger_machine_changed(struct debugger *d);

/* ---- Memory and registers (standing, or in a console's input()) ---- */

/*
 * By linear address as the processor translates it now: page tables and EPT are read, but no flags are
 * set in them, no rights checked, nothing faults. By physical address likewise. Only RAM and ROM:
 * device registers are neither read nor written. They return how many bytes from the first on could
 * be copied. Writes go to ROM too, and drop decoded code as the guest's would.
 */
size_t debugger_read(struct cpu *cpu, u64 lin, void *to, size_t size);
size_t debugger_write(struct cpu *cpu, u64 lin, const void *from, size_t size);
size_t debugger_read_physical(struct cpu_group *group, u64 hpa, void *to, size_t size);
size_t debugger_write_physical(struct cpu_group *group, u64 hpa, const void *from, size_t size);
/* The physical address of lin; false: it is not mapped. */
bool debugger_translate(struct cpu *cpu, u64 lin, u64 *hpa);

/*
 * Integer registers by name: "rax" ... "r15", "rip", "eflags", "cs" ... "gs", "ldtr", "tr" (selectors),
 * "cs_base" ... , "gdt_base", "idt_base", "k_gs_base", "cr0" ... "cr8", "dr0" ... "dr7", "efer",
 * "mxcsr", "xcr0". dr0 to dr7 and xcr0 can only be read. False: no such register, or (set) the processor can't hold that value, which then
 * keeps the old one. In protected mode a selector can't be set, since its descriptor would not be loaded.
 */
bool debugger_get(const struct cpu *cpu, const char *name, u64 *value);
bool debugger_set(struct cpu *cpu, const char *name, u64 value);

#endif
