/* SPDX-License-Identifier: MIT */
#include "configs/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "configs/embedded.h"
#include "configs/settings.h"
#include "configs/xml.h"
#include "tests/suite.h"

/* Writes text to a file of its own, which the caller unlinks. */
static void write_file(char path[64], const char *suffix, const void *text, size_t size)
{
    snprintf(path, 64, "test_config.%ld%s", (long)getpid(), suffix);
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, size, f), size);
    ck_assert_int_eq(fclose(f), 0);
}

static struct prop_node *load(const char *text, struct error *err)
{
    char path[64];
    write_file(path, ".xml", text, strlen(text));
    struct prop_node *root = config_load(path, err);
    unlink(path);
    return root;
}

/* Without its "FILE:". */
static const char *message(const struct error *err)
{
    const char *colon = strchr(err->text, ':');
    return colon ? colon + 1 : err->text;
}

/* Of the list of all elements, only the first two. */
static void cut_list(struct error *err)
{
    char *list = strstr(err->text, ", <cpu>");
    if (list)
        list[strlen(", <cpu>")] = 0;
}

START_TEST(good_machines_are_read)
{
    struct error err = {{0}};
    struct settings set;
    struct prop_node *root = load("<machine>\n <memory size='&#49;G'/>\n"
                                  " <cpu model='skylake' count='0x4' features='-pku'/>\n"
                                  " <rtc host='yes'/>\n <serial to='file:a&amp;b'/>\n"
                                  " <serial/>\n <debug-port to='stdio'/>\n"
                                  " <cdrom path='c'/><disk path='a' overlay='o' bus='virtio'/>"
                                  "<disk path='b' readonly='on'/></machine>",
                                  &err);
    ck_assert_msg(root, "%s", err.text);
    ck_assert(settings_read(root, &set, &err));
    ck_assert_uint_eq(set.memory, GIB);
    ck_assert_uint_eq(set.cpus, 4);
    ck_assert_str_eq(set.model, "skylake");
    ck_assert_str_eq(set.features, "-pku");
    ck_assert_uint_eq(set.pc.rtc.host, 1);
    ck_assert_uint_eq(set.pc.rtc.start, MC146818_START);
    ck_assert_str_eq(set.serial_to[0], "file:a&b");
    ck_assert_uint_eq(set.pc.serial[0].base, 0x3f8);
    ck_assert_str_eq(set.serial_to[1], "none");
    ck_assert_uint_eq(set.pc.serial[1].base, 0x2f8);
    ck_assert_uint_eq(set.pc.serial[1].irq, 3);
    ck_assert_str_eq(set.debug_to, "stdio");
    ck_assert_uint_eq(set.disks, 3);
    ck_assert_str_eq(set.disk[0].path, "a");
    ck_assert_str_eq(set.disk[0].overlay, "o");
    ck_assert_int_eq(set.disk[0].bus, BUS_VIRTIO);
    ck_assert(!set.disk[0].read_only && !set.disk[0].cdrom);
    ck_assert_str_eq(set.disk[1].path, "b");
    ck_assert_str_eq(set.disk[1].overlay, "");
    ck_assert_int_eq(set.disk[1].bus, BUS_IDE);
    ck_assert(set.disk[1].read_only);
    ck_assert_str_eq(set.disk[2].path, "c");
    ck_assert(set.disk[2].read_only && set.disk[2].cdrom);
    prop_free(root);
}
END_TEST

START_TEST(virtio_devices_are_there_if_named)
{
    static const u8 second[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x57}, third[6] = {2, 0, 0, 0, 0, 9};
    struct error err = {{0}};
    struct settings set;
    struct prop_node *root = load("<machine><serial to='none'/><console to='stdio'/>"
                                  "<rng source='host' seed='0x10'/>"
                                  "<net/><net/><net mac='02:00:00:00:00:09'/></machine>",
                                  &err);
    ck_assert_msg(root && settings_read(root, &set, &err), "%s", err.text);
    ck_assert(set.pc.virtio.has_console && set.pc.virtio.has_rng);
    ck_assert_str_eq(set.console_to, "stdio");
    ck_assert_uint_eq(set.pc.virtio.rng.source, RNG_HOST);
    ck_assert_uint_eq(set.pc.virtio.rng.seed, 16);
    ck_assert_uint_eq(set.pc.virtio.nics, 3);
    ck_assert_mem_eq(set.pc.virtio.nic[1].mac, second, 6);
    ck_assert_mem_eq(set.pc.virtio.nic[2].mac, third, 6);
    prop_free(root);
    root = load("<machine/>", &err);
    ck_assert(root && settings_read(root, &set, &err));
    ck_assert(!set.pc.virtio.has_console && !set.pc.virtio.has_rng && !set.pc.virtio.nics);
    ck_assert_ptr_null(set.console_to);
    prop_free(root);
}
END_TEST

START_TEST(the_built_in_machine_has_presets)
{
    struct error err = {{0}};
    struct settings set;
    struct prop_node *root = config_load(NULL, &err);
    ck_assert(root && settings_read(root, &set, &err));
    ck_assert_uint_eq(set.memory, 512 * MIB);
    ck_assert_uint_eq(set.cpus, 1);
    ck_assert_str_eq(set.model, "default");
    ck_assert_str_eq(set.serial_to[0], "stdio");
    ck_assert_ptr_null(set.serial_to[1]);
    ck_assert_uint_eq(set.pc.serial[1].base, 0);
    ck_assert_str_eq(set.debug_to, "none");
    ck_assert_uint_eq(set.disks, 0);
    prop_free(root);
}
END_TEST

START_TEST(bad_machines_are_refused_with_their_place)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"<machine>\n<memry/></machine>",
         "2: element <memry>: no such element in <machine>: expected <memory>, <cpu>"},
        {"<machine>\n<memory\n size='1M'\n sise='1'/></machine>",
         "4: element <memory>: no attribute \"sise\": expected size"},
        {"<machine><console to='stdio'/></machine>",
         "1: element <console>: to=\"stdio\": the first serial port is there already"},
        {"<machine><net mac='52:54:00:12:34'/></machine>",
         "1: element <net>: mac=\"52:54:00:12:34\": expected six bytes, as 52:54:00:12:34:56"},
        {"<machine><net/><net/><net/><net/><net/></machine>",
         "1: element <net>: expected at most 4"},
        {"<machine><memory size='1x'/></machine>",
         "1: element <memory>: size=\"1x\": expected a size, such as 512M"},
        {"<machine><memory size='900G'/></machine>",
         "1: element <memory>: size=\"900G\": expected from 1048576 to 549755813888"},
        {"<machine><cpu count='65'/></machine>",
         "1: element <cpu>: count=\"65\": expected from 1 to 64"},
        {"<machine><rtc\nhost='maybe'/></machine>",
         "2: element <rtc>: host=\"maybe\": expected true or false"},
        {"<machine><memory/>\n<memory/></machine>", "2: element <memory>: expected at most 1"},
        {"<machine><serial/><serial/>\n<serial/></machine>",
         "2: element <serial>: expected at most 2"},
        {"<machine><serial/><serial to='stdio'/></machine>",
         "1: element <serial>: to=\"stdio\": the first serial port is there already"},
        {"<machine><serial to='tcp:1'/></machine>",
         "1: element <serial>: to=\"tcp:1\": expected stdio, file:PATH or none"},
        {"<machine><memory><a/></memory></machine>",
         "1: element <a>: no element is expected in <memory>"},
        {"<machine><disk/></machine>",
         "1: element <disk>: attribute \"path\" is missing (raw image, or a block device)"},
        {"<machine><disk path='a' bus='scsi'/></machine>",
         "1: element <disk>: bus=\"scsi\": expected one of ide, virtio"},
        {"<machine>512M</machine>", "1: element <machine>: no text is expected here"},
        {"<machine><cpu>x</cpu></machine>", "1: element <cpu>: no text is expected here"},
        {"<machine size='1'/>", "1: element <machine>: no attribute \"size\": expected none"},
        {"<pc/>", "1: element <pc>: expected <machine>"},
        {"<!DOCTYPE machine SYSTEM 'other.dtd'>\n<machine/>",
         "1: a document type declaration is not allowed"},
        {"<!DOCTYPE m [<!ENTITY a 'bb'><!ENTITY b '&a;&a;'>]>\n<machine/>",
         "1: a document type declaration is not allowed"},
    };
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        struct error err = {{0}};
        ck_assert_ptr_null(load(cases[n].text, &err));
        cut_list(&err);
        ck_assert_str_eq(message(&err), cases[n].message);
    }
}
END_TEST

START_TEST(what_is_no_xml_is_refused)
{
    static const char *const texts[] = {"",
                                        "machine",
                                        "<machine",
                                        "<machine>",
                                        "<machine></pc>",
                                        "<machine a='1' a='2'/>",
                                        "<machine>&x;</machine>",
                                        "<machine/><machine/>",
                                        "<m:machine xmlns:m='urn:x'/>",
                                        "<machine xmlns='urn:x'/>"};
    for (size_t n = 0; n < ARRAY_SIZE(texts); n++) {
        struct error err = {{0}};
        ck_assert_ptr_null(load(texts[n], &err));
        ck_assert(err.text[0]);
        ck_assert_ptr_null(strchr(err.text, '\n'));
    }
    struct error err = {{0}};
    ck_assert_ptr_null(config_load("no/such/file.xml", &err));
    ck_assert_str_eq(err.text, "no/such/file.xml: No such file or directory");
}
END_TEST

START_TEST(large_and_deep_files_are_refused)
{
    size_t size = 2 * MIB;
    char *text = calloc(1, size + 1);
    ck_assert_ptr_nonnull(text);
    struct error err = {{0}};
    memset(text, ' ', size);
    memcpy(text, "<machine>", 9);
    ck_assert_ptr_null(load(text, &err));
    ck_assert_str_eq(message(&err), " larger than 1 MiB");
    text[0] = 0;
    for (unsigned n = 0; n < 1000; n++)
        memcpy(text + 3 * n, "<a>", 4);
    err.text[0] = 0;
    ck_assert_ptr_null(load(text, &err));
    free(text);
}
END_TEST

/* Each preset of the tables, and each element, is good by the schema too. */
static void add_line(void *opaque, const char *text)
{
    char *xml = opaque, name[64], preset[64];
    size_t used = strlen(xml);
    const char *mark = strstr(text, "preset \"");
    if (sscanf(text, "<%63[^>]>", name) == 1)
        snprintf(xml + used, 2048 - used, "%s<%s", used > 9 ? "/>\n" : "", name);
    else if (sscanf(text, " %63s", name) == 1 && mark) {
        snprintf(preset, sizeof(preset), "%.*s", (int)strcspn(mark + 8, "\""), mark + 8);
        snprintf(xml + used, 2048 - used, " %s='%s'", name, preset);
    }
}

START_TEST(schema_and_tables_agree)
{
    char xml[2048] = "<machine>";
    struct error err = {{0}};
    settings_list(add_line, xml);
    strncat(xml, "/></machine>", sizeof(xml) - strlen(xml) - 1);
    struct prop_node *root = load(xml, &err);
    ck_assert_msg(root, "%s: %s", err.text, xml);
    u32 elements = 0;
    for (const char *at = xml; (at = strchr(at, '\n')); at++)
        elements++;
    ck_assert_uint_eq(root->child_count, elements + 1);
    prop_free(root);
    /* And what the tables refuse, the schema does. */
    static const char *const bad[] = {"<machine><memory sise='1'/></machine>",
                                      "<machine><memory size='1x'/></machine>",
                                      "<machine><x/></machine>",
                                      "<machine><rtc host='maybe'/></machine>",
                                      "<machine><serial to='x'/></machine>",
                                      "<machine><disk path='a' bus='scsi'/></machine>",
                                      "<machine><cdrom/></machine>",
                                      "<machine>x</machine>",
                                      "<processor name='x'/>"};
    for (size_t n = 0; n < ARRAY_SIZE(bad); n++) {
        struct xml x;
        ck_assert(xml_read_text(&x, "bad", bad[n], strlen(bad[n]), &err));
        ck_assert(!xml_validate(&x, "machine.xsd", &err));
        ck_assert_ptr_nonnull(strstr(err.text, "bad:1: element <"));
        xml_free(&x);
        err.text[0] = 0;
    }
}
END_TEST

START_TEST(settings_override_and_are_checked)
{
    static const struct {
        const char *setting, *message;
    } cases[] = {
        {"memory.size=1G", NULL},
        {"serial[1].to=none", NULL},
        {"memory.sise=1", "--set: element <memory>: no attribute \"sise\": expected size"},
        {"cpu.count=many", "--set: element <cpu>: count=\"many\": expected a number"},
        {"tape.file=x", "--set: element <tape>: no such element in <machine>: expected <memory>, "
                        "<cpu>"},
        {"serial.to=x", "--set: element <serial>: to=\"x\": expected stdio, file:PATH or none"},
    };
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        struct error err = {{0}};
        struct settings set;
        struct prop_node *root = load("<machine><memory size='2G'/><serial/></machine>", &err);
        ck_assert(root && prop_set_path(root, cases[n].setting, &err));
        ck_assert(settings_read(root, &set, &err) == !cases[n].message);
        cut_list(&err);
        if (cases[n].message)
            ck_assert_str_eq(err.text, cases[n].message);
        else
            ck_assert_uint_eq(set.memory, n ? 2 * GIB : GIB);
        prop_free(root);
    }
}
END_TEST

/* ---- Processors ---- */

START_TEST(all_processors_load)
{
    char name[64];
    unsigned n = 0;
    for (; config_cpu_name(n, name, sizeof(name)); n++) {
        struct error err = {{0}};
        struct cpu_model m;
        ck_assert_msg(config_cpu_model(&m, name, NULL, &err), "%s", err.text);
        ck_assert_str_eq(m.name, name);
        ck_assert_str_eq(m.vendor, "GenuineIntel");
        ck_assert(cpuid_has(&m, FEAT_LM) && m.caches == 4);
    }
    ck_assert_uint_eq(n, 5);
}
END_TEST

START_TEST(processors_can_be_changed)
{
    struct error err = {{0}};
    struct cpu_model m;
    ck_assert(config_cpu_model(&m, "skylake", "-xsave,+umip", &err));
    ck_assert(!cpuid_has(&m, FEAT_XSAVE) && !cpuid_has(&m, FEAT_XSAVEOPT));
    ck_assert(cpuid_has(&m, FEAT_UMIP));
    ck_assert(!config_cpu_model(&m, "skylake", "+nonsense", &err));
    ck_assert_str_eq(err.text, "features=\"+nonsense\": unknown processor feature 'nonsense'");
    err.text[0] = 0;
    ck_assert(!config_cpu_model(&m, "pentium", NULL, &err));
    ck_assert_str_eq(err.text, "no processor \"pentium\": expected default, haswell, icelake, "
                               "sapphire-rapids, skylake, or FILE.xml");
}
END_TEST

static bool load_cpu(const char *text, struct cpu_model *m, struct error *err)
{
    char path[64];
    write_file(path, ".xml", text, strlen(text));
    bool ok = config_cpu_model(m, path, NULL, err);
    unlink(path);
    return ok;
}

START_TEST(processor_files_are_read_and_checked)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"<processor name='mine' family='6' mhz='3000'>\n<features>fpu tsc msr</features>\n"
         "<cache level='1' type='data' size='32K' line='64' ways='8'/></processor>",
         NULL},
        {"<processor family='6'/>",
         "1: element <processor>: The attribute 'name' is required but missing."},
        {"<processor name='x'\nfamily='5'/>",
         "2: element <processor>: family: '5': expected a number from 6 to 270"},
        {"<processor name='x'>\n<features>fpu sse9</features></processor>",
         "2: element <features>: unknown processor feature 'sse9'"},
        {"<processor name='x'>\n<cash/></processor>",
         "2: element <cash>: This element is not expected. Expected is one of ( features, cache "
         ")."},
        {"<processor name='x'><cache level='9' type='data' size='32K' line='64' ways='8'/>"
         "</processor>",
         "1: element <cache>: level=\"9\": expected from 1 to 4"},
        {"<processor name='x'><cache level='1' type='data' size='33000' line='64' ways='8'/>"
         "</processor>",
         "1: element <cache>: cache of level 1: expected a size of whole sets (line 64, ways 8)"},
        {"<processor name='x' vendor='short'/>",
         "1: element <processor>: vendor 'short': expected 12 characters"},
        {"<machine/>", "1: element <machine>: No matching global declaration available for the "
                       "validation root."},
    };
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        struct error err = {{0}};
        struct cpu_model m;
        ck_assert_msg(load_cpu(cases[n].text, &m, &err) == !cases[n].message, "%zu: %s", n,
                      err.text);
        if (cases[n].message)
            ck_assert_str_eq(message(&err), cases[n].message);
        else
            ck_assert(m.mhz == 3000 && m.caches == 1 && !strcmp(m.name, "mine"));
    }
}
END_TEST

/* ---- Noise ---- */

static u64 noise(u64 *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Damaged files are read or refused; either way nothing is overrun (the sanitizer watches). */
START_TEST(damaged_files_do_no_harm)
{
    static const char bytes[] = "<>&;'\"/= x0\n\t!?[]-\xff";
    u64 state = 88172645463325252u;
    for (size_t k = 0; k < embedded_count; k++) {
        const struct embedded *file = &embedded_files[k];
        char *text = calloc(1, file->size + 1);
        ck_assert_ptr_nonnull(text);
        for (unsigned round = 0; round < 150; round++) {
            memcpy(text, file->data, file->size);
            for (u64 n = noise(&state) % 4 + 1; n; n--)
                text[noise(&state) % file->size] = bytes[noise(&state) % (sizeof(bytes) - 1)];
            struct error err = {{0}};
            struct xml x;
            size_t size = round % 3 ? file->size : noise(&state) % file->size;
            bool ok = xml_read_text(&x, "noise", text, size, &err) &&
                      xml_validate(&x, "processor.xsd", &err);
            ck_assert(ok || err.text[0]);
            xml_free(&x);
        }
        free(text);
    }
}
END_TEST

SUITE_MAIN("config", &good_machines_are_read, &virtio_devices_are_there_if_named,
           &the_built_in_machine_has_presets, &bad_machines_are_refused_with_their_place,
           &what_is_no_xml_is_refused, &large_and_deep_files_are_refused, &schema_and_tables_agree,
           &settings_override_and_are_checked, &all_processors_load, &processors_can_be_changed,
           &processor_files_are_read_and_checked, &damaged_files_do_no_harm)
