/* SPDX-License-Identifier: MIT */
#include "base/prop.h"

#include <string.h>

#include "tests/suite.h"

static const char *const colours[] = {"red", "green", NULL};

static const struct prop_desc descs[] = {
    {.name = "on", .type = PROP_BOOL, .preset = "false", .help = "whether it is on"},
    {.name = "count", .type = PROP_UINT, .preset = "1", .min = 1, .max = 64, .help = "how many"},
    {.name = "size", .type = PROP_SIZE, .preset = "16M", .min = MIB, .help = "bytes"},
    {.name = "hz", .type = PROP_FREQUENCY, .preset = "1GHz", .help = "clock"},
    {.name = "file", .type = PROP_STRING, .preset = "none", .min = 1, .max = 20, .help = "path"},
    {.name = "colour", .type = PROP_ENUM, .preset = "red", .choices = colours, .help = "colour"},
    {.name = "model", .type = PROP_STRING, .help = "processor model"},
};
enum { ON, COUNT, SIZE, HZ, PATH, COLOUR, MODEL };

static struct prop_node *make(void)
{
    struct prop_node *root = prop_new(NULL, "machine", "pc.xml", 1);
    struct prop_node *cpu = prop_new(root, "cpu", "pc.xml", 3);
    prop_set(cpu, "model", "haswell", "pc.xml", 4);
    return root;
}

/* Reads descs[which] with this text: the number, or the message. */
static u64 number_of(unsigned which, const char *text)
{
    struct error err = {0};
    struct prop_value value;
    struct prop_node *node = prop_new(NULL, "x", "f", 1);
    prop_set(node, descs[which].name, text, "f", 2);
    ck_assert_msg(prop_get(node, &descs[which], &value, &err), "%s", err.text);
    prop_free(node);
    return value.number;
}

static void refused(unsigned which, const char *text, const char *message)
{
    struct error err = {0};
    struct prop_value value;
    struct prop_node *node = prop_new(NULL, "x", "f.xml", 1);
    prop_set(node, descs[which].name, text, "f.xml", 2);
    ck_assert(!prop_get(node, &descs[which], &value, &err));
    ck_assert(!strncmp(err.text, "f.xml:2: element <x>: ", 22));
    ck_assert_str_eq(err.text + 22, message);
    prop_free(node);
}

START_TEST(values_of_each_type)
{
    ck_assert(number_of(ON, "true") && number_of(ON, "YES") && number_of(ON, "1"));
    ck_assert(!number_of(ON, "off") && !number_of(ON, "0"));
    ck_assert_uint_eq(number_of(COUNT, "64"), 64);
    ck_assert_uint_eq(number_of(COUNT, "0x1F"), 31);
    ck_assert_uint_eq(number_of(SIZE, "512M"), 512 * MIB);
    ck_assert_uint_eq(number_of(SIZE, "4GiB"), 4 * GIB);
    ck_assert_uint_eq(number_of(SIZE, "2048k"), 2 * MIB);
    ck_assert_uint_eq(number_of(SIZE, "1048576"), MIB);
    ck_assert_uint_eq(number_of(SIZE, "18446744073709551615"), UINT64_MAX);
    ck_assert_uint_eq(number_of(HZ, "2.5GHz"), UINT64_C(2500000000));
    ck_assert_uint_eq(number_of(HZ, "32768"), 32768);
    ck_assert_uint_eq(number_of(HZ, "14.31818MHz"), 14318180);
}
END_TEST

START_TEST(bad_values_are_refused)
{
    refused(ON, "maybe", "on=\"maybe\": expected true or false");
    refused(COUNT, "65", "count=\"65\": expected from 1 to 64");
    refused(COUNT, "0", "count=\"0\": expected from 1 to 64");
    refused(COUNT, "", "count=\"\": expected a number");
    refused(COUNT, "-1", "count=\"-1\": expected a number");
    refused(COUNT, "4x", "count=\"4x\": expected a number");
    refused(COUNT, "0x", "count=\"0x\": expected a number");
    refused(COUNT, "18446744073709551616", "count=\"18446744073709551616\": expected a number");
    refused(SIZE, "4P", "size=\"4P\": expected a size, such as 512M");
    refused(SIZE, "99999999999G", "size=\"99999999999G\": expected a size, such as 512M");
    refused(SIZE, "1K", "size=\"1K\": expected from 1048576 up");
    refused(HZ, "1.5Hz", "hz=\"1.5Hz\": expected a frequency, such as 2.5GHz");
    refused(HZ, "1.GHz", "hz=\"1.GHz\": expected a frequency, such as 2.5GHz");
    refused(HZ, "1.0000000001GHz", "hz=\"1.0000000001GHz\": expected a frequency, such as 2.5GHz");
    refused(PATH, "", "file=\"\": expected a length from 1 to 20");
    refused(COLOUR, "blue", "colour=\"blue\": expected one of red, green");
}
END_TEST

START_TEST(presets_and_missing_ones)
{
    struct error err = {0};
    struct prop_value value;
    struct prop_node *node = prop_new(NULL, "cpu", "pc.xml", 9);
    ck_assert(prop_get(node, &descs[SIZE], &value, &err));
    ck_assert_uint_eq(value.number, 16 * MIB);
    ck_assert_str_eq(value.string, "16M");
    ck_assert(!prop_get(node, &descs[MODEL], &value, &err));
    ck_assert_str_eq(err.text,
                     "pc.xml:9: element <cpu>: attribute \"model\" is missing (processor model)");
    prop_free(node);
    err.text[0] = 0;
    node = prop_new(NULL, "cpu", NULL, 0); /* from no file */
    ck_assert(!prop_error(node, &err, "no %s", "good"));
    ck_assert_str_eq(err.text, "element <cpu>: no good");
    prop_set(node, "model", "x", NULL, 0);
    ck_assert(prop_get(node, &descs[MODEL], &value, &err));
    prop_free(node);
}
END_TEST

START_TEST(unknown_attributes_are_refused)
{
    struct error err = {0};
    struct prop_node *root = make(), *cpu = prop_child(root, "cpu", NULL);
    ck_assert_msg(prop_check(cpu, descs, ARRAY_SIZE(descs), &err), "%s", err.text);
    prop_set(cpu, "modell", "x", "pc.xml", 5);
    ck_assert(!prop_check(cpu, descs, ARRAY_SIZE(descs), &err));
    ck_assert_str_eq(err.text, "pc.xml:5: element <cpu>: no attribute \"modell\": expected on, "
                               "count, size, hz, file, colour, model");
    err.text[0] = 0;
    ck_assert(!prop_check(cpu, NULL, 0, &err));
    ck_assert_str_eq(err.text, "pc.xml:4: element <cpu>: no attribute \"model\": expected none");
    prop_free(root);
}
END_TEST

START_TEST(children_by_name)
{
    struct prop_node *root = make();
    struct prop_node *first = prop_new(root, "disk", "pc.xml", 6);
    prop_new(root, "net", "pc.xml", 7);
    struct prop_node *second = prop_new(root, "disk", "pc.xml", 8);
    ck_assert_ptr_eq(prop_child(root, "disk", NULL), first);
    ck_assert_ptr_eq(prop_child(root, "disk", first), second);
    ck_assert_ptr_null(prop_child(root, "disk", second));
    prop_free(first);
    ck_assert_ptr_eq(prop_child(root, "disk", NULL), second);
    struct prop_node *deep = second;
    for (unsigned k = 0; k < 300000; k++)
        deep = prop_new(deep, "a", "f", 1);
    prop_free(root);
    prop_free(NULL);
}
END_TEST

START_TEST(set_by_path)
{
    struct error err = {0};
    struct prop_value value;
    struct prop_node *root = make(), *cpu = prop_child(root, "cpu", NULL);
    ck_assert(prop_set_path(root, "cpu.model=skylake", &err));
    ck_assert_uint_eq(cpu->attr_count, 1);
    ck_assert_str_eq(prop_attr(cpu, "model")->value, "skylake");
    ck_assert(prop_set_path(root, "name=a=b.c[1]", &err));
    ck_assert_str_eq(prop_attr(root, "name")->value, "a=b.c[1]");
    ck_assert(prop_set_path(root, "disk.file=x", &err));
    ck_assert(prop_set_path(root, "disk[1].file=y", &err));
    ck_assert(prop_set_path(root, "disk[0].bus.slot=3", &err));
    struct prop_node *disk = prop_child(root, "disk", NULL);
    ck_assert_str_eq(prop_attr(prop_child(disk, "bus", NULL), "slot")->value, "3");
    ck_assert_str_eq(prop_attr(prop_child(root, "disk", disk), "file")->value, "y");
    /* What was set is named as the place of its error. */
    ck_assert(prop_set_path(root, "cpu.count=0", &err));
    ck_assert(!prop_get(cpu, &descs[COUNT], &value, &err));
    ck_assert_str_eq(err.text, "--set: element <cpu>: count=\"0\": expected from 1 to 64");
    prop_free(root);
}
END_TEST

START_TEST(bad_paths_are_refused)
{
    static const struct {
        const char *path, *message;
    } bad[] = {
        {"cpu.model", "--set cpu.model: expected PATH=VALUE"},
        {"=x", "--set =x: \"\" is no attribute"},
        {"cpu.=x", "--set cpu.=x: \"\" is no attribute"},
        {".model=x", "--set .model=x: \"\" is no element"},
        {"cpu[1.model=x", "--set cpu[1.model=x: \"cpu\" is no element"},
        {"cpu.model[0]=x", "--set cpu.model[0]=x: \"model[0]\" is no attribute"},
        {"disk[2].file=x", "--set disk[2].file=x: there is no <disk> number 2"},
    };
    for (unsigned k = 0; k < ARRAY_SIZE(bad); k++) {
        struct error err = {0};
        struct prop_node *root = make();
        ck_assert(!prop_set_path(root, bad[k].path, &err));
        ck_assert_str_eq(err.text, bad[k].message);
        prop_free(root);
    }
}
END_TEST

SUITE_MAIN("prop", &values_of_each_type, &bad_values_are_refused, &presets_and_missing_ones,
           &unknown_attributes_are_refused, &children_by_name, &set_by_path, &bad_paths_are_refused)
