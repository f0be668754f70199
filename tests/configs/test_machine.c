/* SPDX-License-Identifier: MIT */
#include "configs/machine.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "configs/config.h"
#include "tests/suite.h"

/* A machine of 8 MiB with these settings on top. */
static struct machine *build(const char *const *settings, size_t count, struct error *err)
{
    struct prop_node *root = config_load(NULL, err);
    bool ok = prop_set_path(root, "memory.size=8M", err);
    for (size_t n = 0; ok && n < count; n++)
        ok = prop_set_path(root, settings[n], err);
    ck_assert_msg(ok, "%s", err->text);
    struct machine *m = machine_new(root, NULL, err);
    prop_free(root);
    return m;
}

static struct machine *build_one(const char *setting)
{
    struct error err = {{0}};
    struct machine *m = build(&setting, 1, &err);
    ck_assert_msg(m, "%s", err.text);
    return m;
}

static bool snapshot(struct machine *m, const char *path, bool load, struct error *err)
{
    struct snap *s = load ? snap_open_load(path, err) : snap_open_save(path, err);
    if (!s)
        return false;
    machine_snap(m, s);
    return snap_close(s, err);
}

static const char *snapshot_path(void)
{
    static char path[64];
    snprintf(path, sizeof(path), "test_machine.%ld.snap", (long)getpid());
    return path;
}

START_TEST(machines_are_built_and_freed)
{
    for (unsigned n = 0; n < 3; n++) {
        struct machine *m = build_one("cpu.count=3");
        ck_assert_uint_eq(m->group.count, 3);
        ck_assert_uint_eq(m->bus.ram.size, 8 * MIB);
        ck_assert_ptr_nonnull(pc_serial(m->pc, 0));
        ck_assert_ptr_null(pc_serial(m->pc, 1));
        machine_free(m);
    }
    machine_free(NULL);
}
END_TEST

START_TEST(bad_machines_are_refused)
{
    static const struct {
        const char *setting, *message;
    } cases[] = {
        {"cpu.model=z80", "--set: element <cpu>: no processor \"z80\": expected default, haswell, "
                          "icelake, sapphire-rapids, skylake, or FILE.xml"},
        {"cpu.features=sse", "--set: element <cpu>: 'sse': expected +FEATURE or -FEATURE"},
        {"serial.base=0x400", "--set: element <serial>: base=\"0x400\": expected from 512 to 1016"},
    };
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        struct error err = {{0}};
        ck_assert_ptr_null(build(&cases[n].setting, 1, &err));
        ck_assert_msg(strstr(err.text, strrchr(cases[n].message, ':')), "%s", err.text);
        ck_assert_ptr_nonnull(strstr(err.text, "--set: element <"));
    }
    struct error err = {{0}};
    const char *const same[] = {"serial.base=0x2f8", "serial[1].to=none"};
    ck_assert_ptr_null(build(same, 2, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "port 0x2f8 is taken"));
}
END_TEST

START_TEST(firmware_leaves_its_tables)
{
    struct error err = {{0}};
    struct machine *m = build_one("cpu.count=2");
    u8 signature[8];
    ck_assert(machine_firmware(m, &err));
    ck_assert(ram_read(&m->bus.ram, m->rsdp, signature, 8));
    ck_assert_int_eq(memcmp(signature, "RSD PTR ", 8), 0);
    machine_reset(m);
    ck_assert(machine_firmware(m, &err));
    machine_free(m);
}
END_TEST

START_TEST(a_machine_comes_back_as_it_was)
{
    struct error err = {{0}};
    struct machine *a = build_one("cpu.count=2"), *b = build_one("cpu.count=2");
    ck_assert(machine_firmware(a, &err));
    a->group.cpu[1]->gpr[3] = 0x123456789abcdef0;
    a->group.turn = 1;
    ck_assert(ram_write(&a->bus.ram, 0x5000, "tortoise", 8));
    ck_assert_msg(snapshot(a, snapshot_path(), false, &err), "%s", err.text);
    ck_assert_msg(snapshot(b, snapshot_path(), true, &err), "%s", err.text);
    unlink(snapshot_path());
    ck_assert_uint_eq(b->group.cpu[1]->gpr[3], 0x123456789abcdef0);
    ck_assert_uint_eq(b->group.turn, 1);
    ck_assert_uint_eq(b->rsdp, a->rsdp);
    ck_assert_int_eq(memcmp(a->bus.ram.host, b->bus.ram.host, 8 * MIB), 0);
    machine_free(a);
    machine_free(b);
}
END_TEST

START_TEST(other_machines_are_refused)
{
    static const struct {
        const char *setting, *message;
    } cases[] = {
        {"memory.size=16M", "RAM size"},
        {"cpu.count=2", "number of processors"},
        {"cpu.model=haswell", "processor: saved default, here haswell"},
        {"cpu.features=-pcid", "processor's features"},
        {"serial[1].to=none", "number of devices"},
    };
    struct error err = {{0}};
    struct machine *a = build(NULL, 0, &err);
    ck_assert(a && snapshot(a, snapshot_path(), false, &err));
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        struct machine *b = build_one(cases[n].setting);
        err.text[0] = 0;
        ck_assert(!snapshot(b, snapshot_path(), true, &err));
        ck_assert_msg(strstr(err.text, cases[n].message), "%s", err.text);
        machine_free(b);
    }
    unlink(snapshot_path());
    machine_free(a);
}
END_TEST

SUITE_MAIN("machine", &machines_are_built_and_freed, &bad_machines_are_refused,
           &firmware_leaves_its_tables, &a_machine_comes_back_as_it_was,
           &other_machines_are_refused)
