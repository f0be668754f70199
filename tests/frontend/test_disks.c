/* SPDX-License-Identifier: MIT */
#include "frontend/disks.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/suite.h"

static char folder[] = "disks-test-XXXXXX", path[6][32];
static struct settings set;
static struct machine_ends ends;
static struct disks disks;
static struct error err;

static void begin(void)
{
    ck_assert(mkdtemp(folder) != NULL);
    for (unsigned n = 0; n < ARRAY_SIZE(path); n++) {
        snprintf(path[n], sizeof(path[n]), "%s/%u", folder, n);
        int fd = open(path[n], O_RDWR | O_CREAT, 0666);
        ck_assert_int_eq(ftruncate(fd, 4096), 0);
        close(fd);
    }
}

static void end(void)
{
    disks_close(&disks);
    ck_assert_uint_eq(disks.count, 0);
    for (unsigned n = 0; n < ARRAY_SIZE(path); n++)
        unlink(path[n]);
    rmdir(folder);
}

static void add(unsigned n, bool cdrom)
{
    set.disk[set.disks++] =
        (struct settings_disk){.path = path[n], .overlay = "", .cdrom = cdrom, .read_only = cdrom};
}

START_TEST(drives_have_their_places)
{
    begin();
    add(0, false);
    add(1, true);
    add(2, true);
    add(3, true);
    ck_assert_msg(disks_open(&disks, &set, &ends, &err), "%s", err.text);
    ck_assert_uint_eq(disks.count, 4);
    ck_assert_ptr_eq(ends.ide.drive[0].disk, disks.disk[0]);
    ck_assert(!ends.ide.drive[0].cdrom);
    ck_assert_ptr_eq(ends.ide.drive[2].disk, disks.disk[1]);
    ck_assert(ends.ide.drive[2].cdrom);
    ck_assert_ptr_eq(ends.ide.drive[3].disk, disks.disk[2]);
    ck_assert_ptr_eq(ends.ide.drive[1].disk, disks.disk[3]);
    ck_assert(ends.ide.drive[1].cdrom);
    end();
}
END_TEST

START_TEST(what_cannot_be_had)
{
    begin();
    for (unsigned n = 0; n < 5; n++)
        add(n, false);
    ck_assert(!disks_open(&disks, &set, &ends, &err));
    ck_assert_msg(strstr(err.text, "only 4 drives") != NULL, "%s", err.text);
    disks_close(&disks);
    ends = (struct machine_ends){0};
    err.text[0] = 0;
    set.disk[1].path = path[0]; /* twice the same */
    ck_assert(!disks_open(&disks, &set, &ends, &err));
    ck_assert_msg(strstr(err.text, "in use") != NULL, "%s", err.text);
    end();
}
END_TEST

SUITE_MAIN("disks", &drives_have_their_places, &what_cannot_be_had)
