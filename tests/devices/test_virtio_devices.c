/* SPDX-License-Identifier: MIT */
/* Block device, entropy source, console and network card, each behind its queues. */
#include <stdio.h>

#include "devices/virtio_blk.h"
#include "devices/virtio_console.h"
#include "devices/virtio_net.h"
#include "devices/virtio_rng.h"
#include "tests/devices/virtio_driver.h"

#define F_FLUSH BIT(9)
#define CONFIG(at) (BAR + VIRTIO_PCI_CONFIG + (at))
#define DISK_BYTES (64 * KIB)

static void *device;

static u64 seed = 1;

static u64 noise(void)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return seed >> 16;
}

/* ---- Block device ---- */

#define HEADER (DATA)
#define STATUS (DATA + 0x20)
#define SECTORS (DATA + 0x1000)

static char disk_path[32];
static struct virtio_blk_config blk_config;

static void begin_blk(bool read_only)
{
    struct error err = {{0}};
    strcpy(disk_path, "virtio-blk-XXXXXX");
    int fd = mkstemp(disk_path);
    ck_assert_int_ge(fd, 0);
    for (unsigned n = 0; n < DISK_BYTES / DISK_SECTOR; n++) {
        u8 sector[DISK_SECTOR];
        memset(sector, (int)n, sizeof(sector));
        ck_assert_int_eq(write(fd, sector, sizeof(sector)), DISK_SECTOR);
    }
    close(fd);
    struct disk_config config = {.path = disk_path, .read_only = read_only};
    blk_config.disk = disk_open(&config, &err);
    ck_assert_msg(blk_config.disk != NULL, "%s", err.text);
    blk_config.serial = "a serial number of more than 20 bytes";
    device = harness_make(&virtio_blk_class, &blk_config);
}

static void end_blk(void)
{
    harness_end(&virtio_blk_class, device);
    disk_close(blk_config.disk);
    unlink(disk_path);
}

/* A request in descriptors 0 to 2, of `size` bytes at SECTORS; its status. */
static u8 request(u32 type, u64 sector, u32 size, bool in)
{
    mem_set(HEADER, 8, type);
    mem_set(HEADER + 8, 8, sector);
    mem_set(STATUS, 1, 0xee);
    desc(0, 0, HEADER, 16, NEXT_IS(size ? 1 : 2));
    desc(0, 1, SECTORS, size, (in ? WRITE : 0) | NEXT_IS(2));
    desc(0, 2, STATUS, 1, WRITE);
    submit(0, 0);
    return (u8)mem_get(STATUS, 1);
}

START_TEST(blk_configuration)
{
    begin_blk(false);
    map_bars();
    ck_assert_uint_eq(config_get(0, 4), 0x10421af4);
    ck_assert_uint_eq(bus_read(&h.bus, CONFIG(0), 8), DISK_BYTES / DISK_SECTOR);
    ck_assert_uint_eq(bus_read(&h.bus, CONFIG(12), 4), 126);
    ck_assert_uint_eq(bus_read(&h.bus, CONFIG(20), 4), 512);
    ck_assert(offered() & BIT(13));
    end_blk();
    begin_blk(true);
    map_bars();
    ck_assert(offered() & BIT(5));
    ck_assert(!(offered() & BIT(13)));
    end_blk();
}
END_TEST

START_TEST(blk_requests)
{
    u8 byte;
    begin_blk(false);
    start(ALL_FEATURES);
    ck_assert_uint_eq(request(0, 3, 1024, true), 0);
    ck_assert_uint_eq(used_length(0, 0), 1025);
    ck_assert_uint_eq(mem_get(SECTORS, 1), 3);
    ck_assert_uint_eq(mem_get(SECTORS + 1023, 1), 4);
    mem_set(SECTORS + 512, 8, UINT64_C(0x123456789abcdef0));
    ck_assert_uint_eq(request(1, 126, 1024, false), 0);
    ck_assert_uint_eq(used_length(0, 1), 1);
    ck_assert(disk_read(blk_config.disk, 127 * DISK_SECTOR, &byte, 1));
    ck_assert_uint_eq(byte, 0xf0);
    ck_assert_uint_eq(request(4, 0, 0, false), 0);
    ck_assert_uint_eq(request(8, 0, 20, true), 0);
    ck_assert_uint_eq(mem_get(SECTORS, 8), le_get((const u8 *)"a serial", 8));
    ck_assert_uint_eq(used_length(0, 3), 21);
    mem_set(SECTORS, 8, 10); /* a range: sector, count, flags */
    mem_set(SECTORS + 8, 8, 2);
    ck_assert_uint_eq(request(13, 0, 16, false), 0);
    ck_assert(disk_read(blk_config.disk, 12 * DISK_SECTOR - 1, &byte, 1));
    ck_assert_uint_eq(byte, 0);
    ck_assert(disk_read(blk_config.disk, 12 * DISK_SECTOR, &byte, 1));
    ck_assert_uint_eq(byte, 12);
    ck_assert_uint_eq(request(11, 0, 16, false), 0);
    ck_assert_uint_eq(request(99, 0, 0, false), 2);
    end_blk();
}
END_TEST

START_TEST(blk_refuses)
{
    begin_blk(false);
    start(ALL_FEATURES);
    ck_assert_uint_eq(request(0, 128, 512, true), 1);
    ck_assert_uint_eq(request(0, 127, 1024, true), 1);
    ck_assert_uint_eq(request(0, UINT64_MAX, 1024, true), 1);
    ck_assert_uint_eq(request(0, UINT64_MAX / 512 + 1, 512, true), 1);
    ck_assert_uint_eq(request(1, 128, 512, false), 1);
    ck_assert_uint_eq(request(0, 0, 100, true), 1);
    mem_set(SECTORS, 8, 127);
    mem_set(SECTORS + 8, 8, 2);
    ck_assert_uint_eq(request(13, 0, 16, false), 1);
    ck_assert_uint_eq(request(11, 0, 16, false), 1);
    mem_set(SECTORS + 8, 8, 1 | BIT(33));
    ck_assert_uint_eq(request(11, 0, 16, false), 2);
    ck_assert_uint_eq(request(11, 0, 15, false), 1);
    ck_assert(!(status() & VIRTIO_NEEDS_RESET));
    desc(0, 0, HEADER, 8, NEXT_IS(2)); /* half a header */
    submit(0, 0);
    ck_assert(status() & VIRTIO_NEEDS_RESET);
    end_blk();
    begin_blk(true);
    start(ALL_FEATURES);
    ck_assert_uint_eq(request(1, 0, 512, false), 1);
    ck_assert_uint_eq(request(13, 0, 16, false), 2);
    end_blk();
}
END_TEST

START_TEST(blk_snapshot)
{
    begin_blk(false);
    start(ALL_FEATURES);
    ck_assert_uint_eq(request(0, 3, 512, true), 0);
    make_available(0, 0);
    notify(0);
    device = reload(&virtio_blk_class, device, &blk_config);
    mem_set(SECTORS, 8, 0);
    run_for(LATENCY);
    ck_assert_uint_eq(used_count(0), 2);
    ck_assert_uint_eq(mem_get(SECTORS, 1), 3);
    end_blk();
}
END_TEST

/* ---- Entropy source ---- */

static u64 entropy(void)
{
    mem_set(DATA, 8, 0);
    desc(0, 0, DATA, 8, WRITE);
    submit(0, 0);
    return mem_get(DATA, 8);
}

START_TEST(rng_repeats)
{
    u64 first[2], again[2];
    struct virtio_rng_config config = {.seed = 5};
    device = harness_make(&virtio_rng_class, &config);
    start(ALL_FEATURES);
    first[0] = entropy();
    ck_assert_uint_eq(used_length(0, 0), 8);
    device = reload(&virtio_rng_class, device, &config);
    first[1] = entropy();
    ck_assert_uint_ne(first[0], first[1]);
    harness_end(&virtio_rng_class, device);
    for (config.seed = 5; config.seed < 7; config.seed++) {
        device = harness_make(&virtio_rng_class, &config);
        start(ALL_FEATURES);
        again[0] = entropy();
        again[1] = entropy();
        ck_assert_int_eq(!memcmp(first, again, sizeof(first)), config.seed == 5);
        harness_end(&virtio_rng_class, device);
    }
}
END_TEST

START_TEST(rng_of_the_host)
{
    struct virtio_rng_config config = {.source = RNG_HOST};
    device = harness_make(&virtio_rng_class, &config);
    start(ALL_FEATURES);
    u64 first = entropy();
    ck_assert_uint_ne(first, entropy());
    desc(0, 0, DATA, 0x10000, WRITE); /* no more than some at a time */
    submit(0, 0);
    ck_assert_uint_eq(used_length(0, 2), 256);
    desc(0, 0, DATA, 0x10000, 0); /* nothing to write to */
    submit(0, 0);
    ck_assert_uint_eq(used_length(0, 3), 0);
    harness_end(&virtio_rng_class, device);
}
END_TEST

/* ---- Console ---- */

static char said[64];
static const char *to_hear;

static void put(void *opaque, const u8 *bytes, size_t count)
{
    (void)opaque;
    strncat(said, (const char *)bytes, count);
}

static size_t get(void *opaque, u8 *bytes, size_t max)
{
    size_t size = MIN(strlen(to_hear), max);
    (void)opaque;
    memcpy(bytes, to_hear, size);
    to_hear += size;
    return size;
}

START_TEST(console)
{
    struct virtio_console_config config = {.backend = {.put = put, .get = get}};
    to_hear = "";
    device = harness_make(&virtio_console_class, &config);
    start(ALL_FEATURES);
    ck_assert(ram_write(&h.bus.ram, DATA, "hello, world", 12));
    desc(1, 0, DATA, 5, NEXT_IS(1));
    desc(1, 1, DATA + 5, 7, 0);
    submit(1, 0);
    ck_assert_str_eq(said, "hello, world");
    ck_assert_uint_eq(used_count(1), 1);
    desc(0, 0, DATA, 4, WRITE);
    desc(0, 1, DATA + 4, 16, WRITE);
    submit(0, 0);
    submit(0, 1);
    ck_assert_uint_eq(used_count(0), 0);
    virtio_console_poll(device);
    run_for(LATENCY);
    ck_assert_uint_eq(used_count(0), 0);
    device = reload(&virtio_console_class, device, &config);
    to_hear = "input";
    virtio_console_poll(device);
    run_for(LATENCY);
    ck_assert_uint_eq(used_count(0), 2);
    ck_assert_uint_eq(used_length(0, 0), 4);
    ck_assert_uint_eq(used_length(0, 1), 1);
    ck_assert_uint_eq(mem_get(DATA, 4), le_get((const u8 *)"inpu", 4));
    ck_assert_uint_eq(mem_get(DATA + 4, 1), 't');
    harness_end(&virtio_console_class, device);
}
END_TEST

/* ---- Network card ---- */

static u8 sent[2048];
static size_t sent_size;

static void send(void *opaque, const u8 *frame, size_t size)
{
    (void)opaque;
    memcpy(sent, frame, size);
    sent_size = size;
}

static struct virtio_net_config net_config = {.mac = {0x52, 0x54, 0, 1, 2, 3},
                                              .backend = {.send = send}};

static void begin_net(void)
{
    sent_size = 0;
    device = harness_make(&virtio_net_class, &net_config);
    start(ALL_FEATURES);
}

static void frame_comes(u8 mark, size_t size)
{
    u8 frame[2048] = {0};
    memset(frame, mark, size);
    virtio_net_receive(device, frame, size);
}

START_TEST(net_address)
{
    u8 mac[6];
    ck_assert(virtio_net_mac("52:54:00:aB:34:56", mac));
    ck_assert_uint_eq(mac[3], 0xab);
    static const char *const wrong[] = {"",
                                        "52:54:00:12:34",
                                        "52:54:00:12:34:56:",
                                        "53:54:00:12:34:56",
                                        "52:54:00:12:34:5g",
                                        "52-54-00-12-34-56",
                                        "5254:00:12:34:56:",
                                        "52:54: 0:12:34:56"};
    for (unsigned n = 0; n < ARRAY_SIZE(wrong); n++)
        ck_assert_msg(!virtio_net_mac(wrong[n], mac), "%s", wrong[n]);
    begin_net();
    ck_assert_uint_eq(bus_read(&h.bus, CONFIG(0), 8), UINT64_C(0x0001030201005452));
    harness_end(&virtio_net_class, device);
}
END_TEST

START_TEST(net_sends)
{
    begin_net();
    mem_set(DATA + 12, 8, UINT64_C(0x1122334455667788));
    desc(1, 0, DATA, 12, NEXT_IS(1));
    desc(1, 1, DATA + 12, 60, 0);
    submit(1, 0);
    ck_assert_uint_eq(sent_size, 60);
    ck_assert_uint_eq(le_get(sent, 8), UINT64_C(0x1122334455667788));
    static const u32 wrong[] = {0, 5, 12, 25, 12 + 1519, 0x10000};
    for (unsigned n = 0; n < ARRAY_SIZE(wrong); n++) {
        desc(1, 0, DATA, wrong[n], 0);
        submit(1, 0);
    }
    ck_assert_uint_eq(sent_size, 60);
    ck_assert_uint_eq(used_count(1), 7);
    ck_assert(!(status() & VIRTIO_NEEDS_RESET));
    harness_end(&virtio_net_class, device);
}
END_TEST

START_TEST(net_receives)
{
    begin_net();
    frame_comes(1, 60);
    frame_comes(2, 1518);
    frame_comes(3, 13); /* not a frame */
    frame_comes(3, 1519);
    run_for(LATENCY);
    device = reload(&virtio_net_class, device, &net_config);
    for (u16 n = 0; n < 3; n++) {
        desc(0, n, DATA + 0x800 * n, 12 + 1518, WRITE);
        submit(0, n);
    }
    ck_assert_uint_eq(used_count(0), 2);
    ck_assert_uint_eq(used_length(0, 0), 72);
    ck_assert_uint_eq(used_length(0, 1), 1530);
    ck_assert_uint_eq(mem_get(DATA + 8, 8), UINT64_C(0x0101010100010000));
    frame_comes(4, 100);
    run_for(LATENCY);
    ck_assert_uint_eq(used_length(0, 2), 112);
    desc(0, 3, DATA, 50, WRITE); /* too small */
    frame_comes(5, 60);
    submit(0, 3);
    ck_assert_uint_eq(used_length(0, 3), 0);
    harness_end(&virtio_net_class, device);
}
END_TEST

START_TEST(net_floods)
{
    begin_net();
    for (unsigned n = 0; n < 1000; n++)
        frame_comes((u8)n, 60);
    desc(0, 0, DATA, 2048, WRITE);
    for (unsigned n = 0; n < 100; n++)
        submit(0, 0);
    ck_assert_uint_eq(used_count(0), VIRTIO_NET_WAITING);
    harness_end(&virtio_net_class, device);
}
END_TEST

/* ---- All ---- */

static void scatter(unsigned queue)
{
    for (unsigned n = 0; n < ENTRIES; n++) {
        u32 next = (u32)(noise() % ENTRIES) << 16;
        u32 size = (u32)(noise() % 8 ? noise() % 1600 : noise() % 64 * 512);
        desc(queue, n, noise() % 64 ? DATA + noise() % 0x8000 : noise(), size,
             (u32)(noise() % 4) | next);
        mem_set(AVAIL(queue) + 4 + 2 * n, 2, noise() % ENTRIES);
        mem_set(DATA + noise() % 0x8000, 8, noise() % 16);
    }
}

static void bear_noise(const struct device_class *class, const void *config)
{
    to_hear = "";
    device = harness_make(class, config);
    for (unsigned k = 0; k < 1000; k++) {
        if (k % 4 == 0) {
            for (unsigned n = 0; n < 2; n++)
                mem_set(AVAIL(n), 4, 0);
            start(BIT(32) | (noise() & (BIT(9) | BIT(13) | BIT(14) | BIT(28) | BIT(29))));
        }
        unsigned queue = noise() % common_get(18, 2);
        scatter(queue);
        mem_set(AVAIL(queue) + 2, 2, mem_get(AVAIL(queue) + 2, 2) + noise() % 4);
        notify(queue);
        said[0] = 0;
        to_hear = noise() % 2 ? "x" : "";
        if (class == &virtio_net_class)
            frame_comes(1, noise() % 2000);
        run_for(LATENCY);
    }
    harness_end(class, device);
}

static void ignore(void *opaque, const u8 *bytes, size_t count)
{
    (void)opaque;
    (void)bytes;
    (void)count;
}

START_TEST(any_rings_do_no_harm)
{
    struct virtio_rng_config rng = {.seed = 1};
    struct virtio_console_config console_config = {.backend = {.put = ignore, .get = get}};
    bear_noise(&virtio_rng_class, &rng);
    bear_noise(&virtio_console_class, &console_config);
    bear_noise(&virtio_net_class, &net_config);
    begin_blk(false);
    harness_end(&virtio_blk_class, device);
    bear_noise(&virtio_blk_class, &blk_config);
    disk_close(blk_config.disk);
    unlink(disk_path);
}
END_TEST

SUITE_MAIN("virtio_devices", &blk_configuration, &blk_requests, &blk_refuses, &blk_snapshot,
           &rng_repeats, &rng_of_the_host, &console, &net_address, &net_sends, &net_receives,
           &net_floods, &any_rings_do_no_harm)
