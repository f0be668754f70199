/* SPDX-License-Identifier: MIT */
/* Packets and their replies, on a machine of one processor that counts. */
#include "frontend/gdb_remote.h"

#include <stdlib.h>
#include <unistd.h>

#include "frontend/gdb_packet.h"
#include "frontend/gdb_regs.h"
#include "tests/cpu/world.h"
#include "tests/suite.h"

/* 10000h: inc dword [80000h]; inc rax; jmp 10000h */
#define PROGRAM "\xff\x04\x25\x00\x00\x08\x00\x48\xff\xc0\xeb\xf4"

static struct world w;
static struct debugger *d;
static struct gdb_remote *r;
static char last[GDB_PACKET_MAX + 1], text[65536]; /* the last reply, and what was said to people */
static unsigned replies;
static bool acks;

static void take_reply(void *opaque, const u8 *data, size_t size)
{
    (void)opaque;
    ck_assert_uint_le(size, GDB_PACKET_MAX);
    if (size && data[0] == 'O' && (size < 2 || data[1] != 'K')) {
        size_t at = strlen(text), n = (size - 1) / 2;
        if (at + n >= sizeof(text))
            at = 0;
        ck_assert(gdb_hex_decode((const char *)data + 1, (u8 *)text + at, n));
        text[at + n] = 0;
        return;
    }
    memcpy(last, data, size);
    last[size] = 0;
    replies++;
}

static void take_no_acks(void *opaque)
{
    (void)opaque;
    acks = false;
}

/*
 * What GDB says while the machine stands, and what it is told: at once, or for packets that let the
 * machine run when that has stopped.
 */
struct line {
    const char *packet, *reply;
};
static const struct line *script; /* NULL: the machine goes on by itself */
static int pipe_end[2];

static const char *ask(const char *packet);

static int console_fd(void *opaque)
{
    (void)opaque;
    return script ? pipe_end[0] : -1; /* where there is always something to read */
}

static void check_reply(void)
{
    ck_assert_msg(!strcmp(last, script->reply), "%s: %s", script->packet, last);
    script++;
}

static void input(void *opaque)
{
    (void)opaque;
    ask(script->packet);
    if (!gdb_remote_waits(r))
        check_reply();
}

static void stopped(void *opaque)
{
    (void)opaque;
    bool waited = r && gdb_remote_waits(r);
    if (waited)
        gdb_remote_stopped(r);
    if (waited && script)
        check_reply();
}

static const struct debug_console console = {.fd = console_fd, .input = input, .stopped = stopped};

static void run_to_stop(void)
{
    struct cpu_group *group = &w.m.group;
    group->insn_limit = w.m.clock.now + 100000;
    group->stop = debugger_due(d) ? STOP_DEBUG : STOP_NONE;
    cpu_group_run(group);
    if (group->stop == STOP_DEBUG)
        debugger_serve(d);
}

static void begin(enum gdb_arch arch)
{
    const struct gdb_output out = {take_reply, take_no_acks, NULL};
    world_init(&w, WORLD_64);
    code(&w, PROGRAM);
    d = debugger_new(&w.m.group);
    debugger_console_add(d, &console);
    r = gdb_remote_new(d, &out, arch);
    acks = true;
    replies = 0;
    text[0] = last[0] = 0;
}

static void end(void)
{
    gdb_remote_free(r);
    r = NULL;
    debugger_free(d);
    world_fini(&w);
}

static const char *ask_bytes(const void *data, size_t size)
{
    static u8 packet[GDB_PACKET_MAX + 1];
    memcpy(packet, data, size);
    packet[size] = 0;
    strcpy(last, "(nothing)");
    gdb_remote_packet(r, packet, size);
    return last;
}

static const char *ask(const char *packet)
{
    return ask_bytes(packet, strlen(packet));
}

START_TEST(packets_have_their_replies)
{
    static const struct {
        const char *packet, *reply;
    } rows[] = {
        {"?", "T00thread:1;"},
        {"vMustReplyEmpty", ""},
        {"!", ""},
        {"", ""},
        {"qC", "QC1"},
        {"qAttached", "1"},
        {"qfThreadInfo", "m1"},
        {"qsThreadInfo", "l"},
        {"qThreadExtraInfo,1", "435055203020_"},
        {"T1", "OK"},
        {"T2", "E01"},
        {"T", "E01"},
        {"Hg0", "OK"},
        {"Hc-1", "OK"},
        {"Hg2", "E01"},
        {"Hx1", "E01"},
        {"m80000,4", "00000000"},
        {"M80000,2:abcd", "OK"},
        {"m80000,4", "abcd0000"},
        {"m200000,4", "E0e"},
        {"mffff8,20", "0000000000000000"},
        {"m0,0", ""},
        {"m", "E01"},
        {"m1", "E01"},
        {"m1,", "E01"},
        {"m11111111111111111,1", "E01"},
        {"m0,1;", "E01"},
        {"M80000,2:ab", "E01"},
        {"M80000,2:abcg", "E01"},
        {"M80000,ffffffffffffffff:00", "E01"},
        {"M200000,1:00", "E0e"},
        {"p0", "0000000000000000"},
        {"P0=1122334455667788", "OK"},
        {"p0", "1122334455667788"},
        {"P0=11", "E16"},
        {"P12=08000000", "E16"},
        {"p10", "0000010000000000"},
        {"pffff", "E16"},
        {"p", "E16"},
        {"Z0,10007,1", "OK"},
        {"Z0,10007,1", "OK"},
        {"z0,10007,1", "OK"},
        {"z0,10007,1", "OK"},
        {"Z5,0,1", "E01"},
        {"Z2,80000,0", "E1c"},
        {"Z2,80000", "E01"},
        {"Z2,ffffffffffffffff,2", "E1c"},
        {"vCont?", "vCont;c;C;s;S"},
        {"vCont;x", "E01"},
        {"vCont;", "E01"},
        {"vCont", "E01"},
        {"vCont;s:9", "E01"},
        {"vCont;C:1", "E01"},
        {"cxyz", "E01"},
        {"S", "E01"},
        {"qXfer:features:read:target.xml:0,4", "m<?xm"},
        {"qXfer:features:read:target.xml:ffffff,4", "E01"},
        {"qXfer:features:read:other.xml:0,4", "E00"},
        {"qRcmd,6", "E01"},
        {"qRcmd,zz", "E01"},
        {"qSymbol::", "OK"},
        {"QStartNoAckMode", "OK"},
        {"QNonStop:1", ""},
    };
    begin(GDB_X86_64);
    for (size_t n = 0; n < ARRAY_SIZE(rows); n++) {
        const char *reply = ask(rows[n].packet);
        size_t size = strcspn(rows[n].reply, "_"); /* _: and more */
        bool whole = !rows[n].reply[size];
        bool same = !strncmp(reply, rows[n].reply, size) && (!whole || !reply[size]);
        if (rows[n].packet[0] != '?')
            ck_assert_msg(same, "%s: %s", rows[n].packet, reply);
    }
    ck_assert(!acks);
    ck_assert_ptr_nonnull(strstr(ask("qSupported:swbreak+"), "PacketSize=4000"));
    end();
}
END_TEST

START_TEST(registers_come_in_the_order_of_the_description)
{
    for (unsigned arch = GDB_X86_64; arch <= GDB_I8086; arch++) {
        begin((enum gdb_arch)arch);
        struct gdb_regs *regs = gdb_regs_new(w.cpu->model, (enum gdb_arch)arch);
        const char *xml = gdb_regs_description(regs), *at = xml;
        size_t bytes = 0;
        unsigned count = 0, bits;
        while ((at = strstr(at, "<reg name="))) {
            ck_assert_int_eq(sscanf(strstr(at, "bitsize"), "bitsize=\"%u\"", &bits), 1);
            ck_assert_uint_eq(gdb_reg_size(regs, count), bits / 8);
            bytes += bits / 8;
            count++;
            at++;
        }
        ck_assert_uint_eq(count, gdb_regs_count(regs));
        ck_assert_uint_eq(strlen(ask("g")), 2 * bytes);
        gdb_regs_free(regs);
        end();
    }
}
END_TEST

/* All that may be set comes back, and all that is read may be written as it is. */
START_TEST(registers_round_trip)
{
    static char all[GDB_PACKET_MAX], packet[GDB_PACKET_MAX + 2];
    begin(GDB_X86_64);
    w.cpu->xmm[3].q[0] = 0x123456789;
    w.cpu->xmm[3].q[3] = 0x987;
    w.cpu->st[2].mant = BIT(63);
    strcpy(all, ask("g"));
    struct cpu before = *w.cpu;
    snprintf(packet, sizeof(packet), "G%.*s", GDB_PACKET_MAX - 2, all);
    ck_assert_str_eq(ask(packet), "OK");
    ck_assert_mem_eq(&before, w.cpu, sizeof(before));
    struct gdb_regs *regs = gdb_regs_new(w.cpu->model, GDB_X86_64);
    srand(3);
    for (unsigned n = 0; n < 20000; n++) {
        unsigned reg = (unsigned)rand() % gdb_regs_count(regs);
        u8 was[GDB_REG_MAX], value[GDB_REG_MAX], now[GDB_REG_MAX];
        size_t size = gdb_reg_size(regs, reg);
        gdb_reg_get(regs, w.cpu, reg, was);
        memcpy(value, was, size);
        for (size_t k = 0; k < size; k++)
            value[k] = rand() % 2 ? (u8)rand() : was[k];
        bool ok = gdb_reg_set(regs, w.cpu, reg, value);
        gdb_reg_get(regs, w.cpu, reg, now);
        if (!ok)
            REQUIRE(!memcmp(now, was, size));
    }
    gdb_regs_free(regs);
    end();
}
END_TEST

START_TEST(running)
{
    static const struct line lines[] = {
        {"Z1,10007,1", "OK"},
        {"c", "T05thread:1;hwbreak:;"},
        {"m80000,4", "01000000"},
        {"z1,10007,1", "OK"},
        {"Z0,10000,1", "OK"},
        {"Z2,80000,4", "OK"},
        {"vCont;c", "T05thread:1;swbreak:;"},
        {"vCont;s:1;c", "T05thread:1;watch:80000;"},
        {"vCont;s:1", "T05thread:1;"},
        {"p10", "0a00010000000000"},
        {"s10000", "T05thread:1;watch:80000;"},
        {"C05", "T05thread:1;swbreak:;"},
        {"Z3,80000,1", "OK"},
        {"z2,80000,4", "OK"},
        {"vCont;c:1", "T05thread:1;rwatch:80000;"},
        {"z3,80000,1", "OK"},
        {"Z4,7fffe,4", "OK"},
        {"vCont;C05:1;c", "T05thread:1;swbreak:;"},
        {"c", "T05thread:1;awatch:80000;"},
        {"D", "OK"},
        {NULL, NULL},
    };
    ck_assert(!pipe(pipe_end) && write(pipe_end[1], "x", 1) == 1);
    begin(GDB_X86_64);
    script = lines;
    debugger_request_stop(d);
    while (script->packet)
        run_to_stop();
    ck_assert_ptr_null(debugger_point(d, 0));
    script = NULL;
    end();
}
END_TEST

static const char *command(const char *line)
{
    char packet[512] = "qRcmd,";
    gdb_hex_encode(packet + strlen(packet), (const u8 *)line, strlen(line));
    text[0] = 0;
    ck_assert_str_eq(ask(packet), "OK");
    return text;
}

START_TEST(commands)
{
    begin(GDB_X86_64);
    ck_assert_str_eq(command("rdmsr 0xc0000080"), "0xd01\n");
    ck_assert_str_eq(command("rdmsr 0x12345678"), "rdmsr: this processor has no MSR 0x12345678\n");
    ck_assert_str_eq(command("wrmsr 0xc0000102 0x5000"), "");
    ck_assert_str_eq(command("rdmsr 0xc0000102"), "0x5000\n");
    ck_assert_str_eq(command("rdmsr"), "usage: rdmsr NUMBER\n");
    ck_assert_str_eq(command("phys on"), "addresses are physical\n");
    ck_assert_str_eq(ask("m400000,1"), "E0e");
    ck_assert_str_eq(command("phys off"), "addresses are linear\n");
    ck_assert_str_eq(command("xp 0x10000"), "0x10000: 0x4800080000250"
                                            "4ff\n");
    ck_assert_str_eq(command("xp 0xffffffffffffffff"), "0xffffffffffffffff: no memory\n");
    ck_assert_ptr_nonnull(strstr(command("break vmexit EPT_VIOLATION"), "vmexit ept_violation"));
    ck_assert_ptr_nonnull(strstr(command("break vmexit"), "vmexit any"));
    ck_assert_ptr_nonnull(strstr(command("break vmwrite guest_rip"), "vmwrite guest_rip"));
    ck_assert_ptr_nonnull(strstr(command("break exception 14"), "exception 14"));
    ck_assert_ptr_nonnull(strstr(command("break exception 256"), "is none"));
    ck_assert_ptr_nonnull(strstr(command("break vmexit NONSENSE"), "is none"));
    ck_assert_ptr_nonnull(strstr(command("info breakpoints"), "3 break vmwrite guest_rip"));
    command("delete 1");
    ck_assert_ptr_nonnull(strstr(command("delete 1"), "there is no 1"));
    command("delete");
    ck_assert_str_eq(command("info breakpoints"), "");
    ck_assert_str_eq(command("nonsense"), "nonsense: no such command\n");
    ck_assert_str_eq(command(""), ": no such command\n");
    end();
}
END_TEST

/* Random packets of plausible letters: no crash, no hang, and never more than one reply. */
START_TEST(noise_does_no_harm)
{
    static const char letters[] = "0123456789abcdef,;:=+-?!gGpPmMXcCsSzZHTDkvqQR#$*";
    static const char *const starts[] = {"",
                                         "vCont;",
                                         "qRcmd,",
                                         "qXfer:features:read:target.xml:",
                                         "P",
                                         "p",
                                         "m",
                                         "M",
                                         "X",
                                         "Z",
                                         "z",
                                         "H",
                                         "T",
                                         "G",
                                         "c",
                                         "s",
                                         "qThreadExtraInfo,",
                                         "m80000,",
                                         "X80000,4:",
                                         "Z2,80000,"};
    static u8 packet[1024];
    begin(GDB_X86_64);
    srand(11);
    for (unsigned n = 0; n < 200000; n++) {
        const char *start = starts[(unsigned)rand() % ARRAY_SIZE(starts)];
        size_t size = strlen(start), more = (size_t)rand() % 24;
        memcpy(packet, start, size);
        for (size_t k = 0; k < more; k++)
            packet[size++] =
                rand() % 8 ? (u8)letters[(unsigned)rand() % (sizeof(letters) - 1)] : (u8)rand();
        unsigned before = replies;
        ask_bytes(packet, size);
        REQUIRE(replies <= before + 1);
        if (gdb_remote_waits(r)) {
            debugger_request_stop(d);
            run_to_stop();
        }
        if (n % 1000 == 999) { /* registers have become noise: a new machine */
            end();
            begin(GDB_X86_64);
        }
    }
    end();
}
END_TEST

SUITE_MAIN("gdb_remote", &packets_have_their_replies,
           &registers_come_in_the_order_of_the_description, &registers_round_trip, &running,
           &commands, &noise_does_no_harm)
