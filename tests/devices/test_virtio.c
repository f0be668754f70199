/* SPDX-License-Identifier: MIT */
/* Virtqueues and the PCI transport, with a device that answers each buffer by its length. */
#include "devices/virtio_pci.h"

#include "base/alloc.h"
#include "tests/devices/virtio_driver.h"

#define QUEUE 1 /* the one that most tests use */

struct echo {
    struct virtio_pci pci;
    struct virtq_chain chain;
    unsigned served;
};

static struct echo *echo;

/* Copies what it can of the readable part to the writable one. */
static void echo_work(struct virtio *device, unsigned n)
{
    struct echo *e = CONTAINER_OF(device, struct echo, pci.virtio);
    while (virtq_pop(&device->queue[n], &e->chain)) {
        u8 bytes[64];
        u64 size = MIN(MIN(e->chain.out_size, e->chain.in_size), (u64)sizeof(bytes));
        e->served++;
        if (virtq_read(&e->chain, 0, bytes, size) && virtq_write(&e->chain, 0, bytes, size))
            virtq_push(&e->chain, size);
    }
    virtq_tell(&device->queue[n]);
}

static void echo_config(struct virtio *device, unsigned offset, u8 value)
{
    device->config[offset] = value;
}

static const struct virtio_ops echo_ops = {
    .name = "echo",
    .type = 63,
    .pci_class = 0xff0000,
    .features = BIT(3),
    .queues = 3,
    .config_size = 7,
    .work = echo_work,
    .config_write = echo_config,
};

static void *echo_create(const struct device_env *env, const void *config, struct error *err)
{
    struct echo *e = xalloc(sizeof(*e));
    (void)config;
    ck_assert(virtio_pci_init(&e->pci, env, &echo_ops, err));
    return e;
}

static void echo_reset(void *device)
{
    struct echo *e = device;
    virtio_pci_reset(&e->pci);
}

static void echo_snap(void *device, struct snap *s)
{
    struct echo *e = device;
    virtio_pci_snap(&e->pci, s);
}

static void echo_free(void *device)
{
    struct echo *e = device;
    virtio_pci_fini(&e->pci);
    free(e);
}

static const struct device_class echo_class = {.name = "echo",
                                               .create = echo_create,
                                               .reset = echo_reset,
                                               .snap = echo_snap,
                                               .free = echo_free};

static void begin(void)
{
    echo = harness_make(&echo_class, NULL);
}

static void end(void)
{
    harness_end(&echo_class, echo);
}

/* A buffer of two descriptors at 2 * n: 8 bytes to read, 8 to write. */
static u16 pair(unsigned n)
{
    desc(QUEUE, 2 * n, DATA + 0x100 * n, 8, NEXT_IS(2 * n + 1));
    desc(QUEUE, 2 * n + 1, DATA + 0x100 * n + 0x80, 8, WRITE);
    mem_set(DATA + 0x100 * n, 8, UINT64_C(0x1122334455667700) + n);
    mem_set(DATA + 0x100 * n + 0x80, 8, 0);
    return (u16)(2 * n);
}

static u64 answer(unsigned n)
{
    return mem_get(DATA + 0x100 * n + 0x80, 8) - UINT64_C(0x1122334455667700);
}

START_TEST(identity_and_capabilities)
{
    u8 seen = 0, types[] = {1, 2, 3, 4, 5};
    begin();
    ck_assert_uint_eq(config_get(0, 4), 0x107f1af4);
    ck_assert_uint_eq(config_get(8, 4), 0xff000001);
    ck_assert_uint_ge(config_get(PCI_SUBSYSTEM_DEVICE, 2), 0x40);
    for (u32 at = config_get(PCI_CAPABILITIES, 1); at; at = config_get(at + 1, 1))
        if (config_get(at, 1) == 9)
            seen |= (u8)(1u << config_get(at + 3, 1));
    for (unsigned n = 0; n < ARRAY_SIZE(types); n++)
        ck_assert(seen >> types[n] & 1);
    map_bars();
    ck_assert_uint_eq(offered(), BIT(3) | BIT(28) | BIT(29) | BIT(32));
    common_set(0, 4, 2);
    ck_assert_uint_eq(common_get(4, 4), 0);
    ck_assert_uint_eq(common_get(18, 2), 3);
    end();
}
END_TEST

START_TEST(features)
{
    begin();
    map_bars();
    accept(BIT(3)); /* without VERSION_1 */
    ck_assert(!(status() & VIRTIO_FEATURES_OK));
    accept(BIT(32) | BIT(4)); /* one that is not offered */
    ck_assert(!(status() & VIRTIO_FEATURES_OK));
    accept(BIT(32) | BIT(3));
    ck_assert(status() & VIRTIO_FEATURES_OK);
    accept(BIT(32)); /* too late */
    common_set(8, 4, 0);
    ck_assert_uint_eq(common_get(12, 4), 8);
    common_set(20, 1, 0);
    ck_assert_uint_eq(status(), 0);
    ck_assert_uint_eq(common_get(12, 4), 0);
    end();
}
END_TEST

START_TEST(registers)
{
    begin();
    map_bars();
    common_set(22, 2, 1);
    ck_assert_uint_eq(common_get(24, 2), 256);
    common_set(24, 2, 100); /* no power of two */
    common_set(24, 2, 512);
    common_set(24, 2, 0);
    ck_assert_uint_eq(common_get(24, 2), 256);
    common_set(24, 2, 32);
    ck_assert_uint_eq(common_get(24, 2), 32);
    common_set(26, 2, 3);
    ck_assert_uint_eq(common_get(26, 2), 3);
    common_set(26, 2, 4); /* there are four vectors */
    ck_assert_uint_eq(common_get(26, 2), 0xffff);
    ck_assert_uint_eq(common_get(30, 2), 1);
    common_set(32, 8, UINT64_C(0x123456789abcdef0));
    ck_assert_uint_eq(common_get(32, 8), UINT64_C(0x123456789abcdef0));
    ck_assert_uint_eq(common_get(36, 4), 0x12345678);
    common_set(33, 1, 0xff); /* of no register's size */
    ck_assert_uint_eq(common_get(32, 8), UINT64_C(0x123456789abcdef0));
    common_set(22, 2, 3); /* no such queue */
    ck_assert_uint_eq(common_get(24, 2), 0);
    common_set(24, 2, 16);
    common_set(28, 2, 1);
    ck_assert_uint_eq(common_get(32, 8), 0);
    bus_write(&h.bus, BAR + VIRTIO_PCI_CONFIG + 4, 4, 0x44332211);
    ck_assert_uint_eq(bus_read(&h.bus, BAR + VIRTIO_PCI_CONFIG + 4, 2), 0x2211);
    ck_assert_uint_eq(bus_read(&h.bus, BAR + VIRTIO_PCI_CONFIG + 6, 1), 0x33);
    ck_assert_uint_eq(bus_read(&h.bus, BAR + VIRTIO_PCI_CONFIG + 8, 4), 0);
    end();
}
END_TEST

START_TEST(buffers_at_the_exact_tick)
{
    begin();
    start(BIT(32));
    make_available(QUEUE, pair(0));
    make_available(QUEUE, pair(1));
    u64 begun = h.clock.now;
    notify(QUEUE);
    run_to(begun + LATENCY - 1);
    ck_assert_uint_eq(used_count(QUEUE), 0);
    run_to(begun + LATENCY);
    ck_assert_uint_eq(used_count(QUEUE), 2);
    ck_assert_uint_eq(used_length(QUEUE, 1), 8);
    ck_assert_uint_eq(answer(0), 0);
    ck_assert_uint_eq(answer(1), 1);
    notify(QUEUE);
    notify(7); /* no such queue */
    run_for(SECOND);
    ck_assert_uint_eq(used_count(QUEUE), 2);
    end();
}
END_TEST

START_TEST(indices_wrap)
{
    begin();
    start(BIT(32));
    for (unsigned n = 8; n < 66000; n += 8) {
        for (unsigned k = 0; k < 8; k++)
            make_available(QUEUE, pair(k));
        notify(QUEUE);
        run_for(LATENCY);
        REQUIRE(used_count(QUEUE) == (u16)n);
        REQUIRE(answer(n / 8 % 8) == n / 8 % 8);
    }
    ck_assert(!(status() & VIRTIO_NEEDS_RESET));
    end();
}
END_TEST

START_TEST(interrupt_by_pin)
{
    begin();
    start(BIT(32));
    submit(QUEUE, pair(0));
    ck_assert(h.level[LINE_PIRQ + 2]);
    ck_assert(config_get(PCI_STATUS, 2) & PCI_STATUS_INTX);
    ck_assert_uint_eq(bus_read(&h.bus, BAR + VIRTIO_PCI_ISR, 1), 1);
    ck_assert(!h.level[LINE_PIRQ + 2]);
    ck_assert_uint_eq(bus_read(&h.bus, BAR + VIRTIO_PCI_ISR, 1), 0);
    mem_set(AVAIL(QUEUE), 2, 1); /* no interrupts */
    submit(QUEUE, pair(0));
    ck_assert_uint_eq(used_count(QUEUE), 2);
    ck_assert(!h.level[LINE_PIRQ + 2]);
    ck_assert_uint_eq(h.sent_count, 0);
    end();
}
END_TEST

static void program(unsigned n, u8 vector)
{
    bus_write(&h.bus, TABLE + 16 * n, 8, 0xfee00000);
    bus_write(&h.bus, TABLE + 16 * n + 8, 4, vector);
    bus_write(&h.bus, TABLE + 16 * n + 12, 4, 0);
}

static unsigned msix_offset(void)
{
    u32 at = config_get(PCI_CAPABILITIES, 1);
    while (config_get(at, 1) != PCI_CAPABILITY_MSIX)
        at = config_get(at + 1, 1);
    return at;
}

static void use_messages(void)
{
    config_set(msix_offset() + 2, 2, 0x8000);
    program(0, 0x50);
    program(2, 0x52);
    common_set(16, 2, 0);
    common_set(22, 2, QUEUE);
    common_set(26, 2, 2);
}

START_TEST(interrupt_by_message)
{
    begin();
    start(BIT(32));
    use_messages();
    submit(QUEUE, pair(0));
    ck_assert_uint_eq(h.sent_count, 1);
    ck_assert_uint_eq(h.sent[0].vector, 0x52);
    ck_assert(!h.level[LINE_PIRQ + 2]);
    submit(QUEUE, 200); /* no such descriptor: a change of status */
    ck_assert(status() & VIRTIO_NEEDS_RESET);
    ck_assert_uint_eq(h.sent_count, 2);
    ck_assert_uint_eq(h.sent[1].vector, 0x50);
    end();
}
END_TEST

START_TEST(event_index)
{
    begin();
    start(BIT(32) | BIT(29));
    use_messages();
    mem_set(AVAIL(QUEUE) + 4 + 2 * ENTRIES, 2, 2); /* used_event: after the third */
    for (unsigned n = 0; n < 3; n++) {
        ck_assert_uint_eq(h.sent_count, 0);
        submit(QUEUE, pair(n));
        ck_assert_uint_eq(mem_get(USED(QUEUE) + 4 + 8 * ENTRIES, 2), n + 1); /* avail_event */
    }
    ck_assert_uint_eq(h.sent_count, 1);
    submit(QUEUE, pair(3));
    ck_assert_uint_eq(h.sent_count, 1);
    end();
}
END_TEST

START_TEST(indirect)
{
    u64 table = DATA + 0x8000;
    begin();
    start(BIT(32) | BIT(28));
    pair(0);
    desc_at(table, DATA, 5, NEXT_IS(2));
    desc_at(table + 16, DATA + 0x83, 5, WRITE);
    desc_at(table + 32, DATA + 5, 3, NEXT_IS(3));
    desc_at(table + 48, DATA + 0x80, 3, WRITE | NEXT_IS(1));
    desc(QUEUE, 9, table, 64, INDIRECT);
    submit(QUEUE, 9);
    ck_assert_uint_eq(used_count(QUEUE), 1);
    ck_assert_uint_eq(answer(0), 0);
    desc(QUEUE, 9, table, 64, INDIRECT | NEXT);
    submit(QUEUE, 9);
    ck_assert(status() & VIRTIO_NEEDS_RESET);
    end();
}
END_TEST

/* What breaks the ring, as the descriptors of queue QUEUE from 0 on; 0 to 3 are used. */
static const struct {
    u64 address;
    u32 size, flags;
} bad[][3] = {
    {{DATA, 8, NEXT_IS(0)}},                                     /* a loop */
    {{DATA, 8, NEXT_IS(1)}, {DATA, 8, NEXT_IS(0)}},              /* a longer one */
    {{DATA, 8, NEXT_IS(16)}},                                    /* beyond the table */
    {{DATA, 8, WRITE | NEXT_IS(1)}, {DATA, 8, 0}},               /* to read after to write */
    {{DATA, 16, INDIRECT}},                                      /* not negotiated */
    {{MIB - 4, 8, NEXT_IS(1)}, {DATA, 8, WRITE}},                /* the end of RAM */
    {{UINT64_MAX - 3, 8, NEXT_IS(1)}, {DATA, 8, WRITE}},         /* the end of everything */
    {{RAM_EXTRA_HOME, 8, NEXT_IS(1)}, {DATA, 8, WRITE}},         /* Testudo's own */
    {{DATA, 8, NEXT_IS(1)}, {UINT64_C(0xe0000000), 8, WRITE}},   /* device registers */
    {{DATA, 0xffffffff, NEXT_IS(1)}, {DATA, 0xffffffff, WRITE}}, /* too much */
};

START_TEST(bad_descriptors_break_the_device)
{
    for (unsigned k = 0; k < ARRAY_SIZE(bad); k++) {
        begin();
        start(BIT(32));
        for (unsigned n = 0; n < 3; n++)
            desc(QUEUE, n, bad[k][n].address, bad[k][n].size, bad[k][n].flags);
        submit(QUEUE, 0);
        ck_assert_msg(status() & VIRTIO_NEEDS_RESET, "case %u", k);
        ck_assert_uint_eq(used_count(QUEUE), 0);
        ck_assert_uint_eq(bus_read(&h.bus, BAR + VIRTIO_PCI_ISR, 1), 2);
        submit(QUEUE, pair(0)); /* nothing more happens */
        ck_assert_uint_eq(used_count(QUEUE), 0);
        mem_set(AVAIL(QUEUE) + 2, 2, 0);
        start(BIT(32)); /* until a reset */
        submit(QUEUE, pair(0));
        ck_assert_uint_eq(used_count(QUEUE), 1);
        end();
    }
}
END_TEST

START_TEST(bad_indirect_tables_break_the_device)
{
    static const u32 sizes[] = {0, 8, 17, 0xffffffff, 0x80000000};
    for (unsigned k = 0; k <= ARRAY_SIZE(sizes); k++) {
        begin();
        start(BIT(32) | BIT(28));
        desc_at(DATA + 0x1000, DATA, 16, INDIRECT); /* one in another */
        desc(QUEUE, 0, DATA + 0x1000, k < ARRAY_SIZE(sizes) ? sizes[k] : 16, INDIRECT);
        submit(QUEUE, 0);
        ck_assert(status() & VIRTIO_NEEDS_RESET);
        end();
    }
}
END_TEST

START_TEST(bad_rings_break_the_device)
{
    static const struct {
        unsigned at;
        u64 value;
    } cases[] = {{32, MIB}, {40, MIB - 2}, {48, UINT64_C(0xfffffffffffff000)},
                 {48, 6},   {32, 8},       {40, 1}};
    for (unsigned k = 0; k < ARRAY_SIZE(cases); k++) {
        begin();
        map_bars();
        accept(BIT(32));
        common_set(22, 2, QUEUE);
        common_set(24, 2, ENTRIES);
        common_set(32, 8, DESC(QUEUE));
        common_set(40, 8, AVAIL(QUEUE));
        common_set(48, 8, USED(QUEUE));
        common_set(cases[k].at, 8, cases[k].value);
        common_set(28, 2, 1);
        common_set(20, 1, status() | VIRTIO_DRIVER_OK);
        submit(QUEUE, pair(0));
        ck_assert_msg(status() & VIRTIO_NEEDS_RESET, "case %u", k);
        end();
    }
    begin();
    start(BIT(32));
    mem_set(AVAIL(QUEUE) + 2, 2, ENTRIES + 1); /* more than the ring holds */
    notify(QUEUE);
    run_for(LATENCY);
    ck_assert(status() & VIRTIO_NEEDS_RESET);
    end();
}
END_TEST

START_TEST(not_before_it_may)
{
    begin();
    start(BIT(32));
    config_set(0x04, 2, PCI_COMMAND_MEMORY); /* no bus master */
    submit(QUEUE, pair(0));
    ck_assert_uint_eq(used_count(QUEUE), 0);
    config_set(0x04, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    run_for(LATENCY);
    ck_assert_uint_eq(used_count(QUEUE), 1);
    common_set(20, 1, 0);
    accept(BIT(32));
    setup_queue(QUEUE);
    submit(QUEUE, pair(1)); /* no DRIVER_OK */
    ck_assert_uint_eq(used_count(QUEUE), 1);
    end();
}
END_TEST

START_TEST(through_the_configuration_space)
{
    begin();
    config_set(0x04, 2, PCI_COMMAND_MASTER); /* no BAR is mapped */
    u32 at = config_get(PCI_CAPABILITIES, 1);
    while (config_get(at, 1) != 9 || config_get(at + 3, 1) != 5)
        at = config_get(at + 1, 1);
    config_set(at + 4, 1, 0);
    config_set(at + 8, 4, 24); /* queue_size */
    config_set(at + 12, 4, 2);
    ck_assert_uint_eq(config_get(at + 16, 4), 256);
    config_set(at + 16, 4, 64);
    config_set(at + 8, 4, 25); /* not aligned: nothing */
    config_set(at + 16, 4, 32);
    config_set(at + 8, 4, 24);
    ck_assert_uint_eq(config_get(at + 16, 2), 64);
    config_set(at + 4, 1, 1); /* no structure there */
    config_set(at + 16, 4, 128);
    config_set(at + 4, 1, 0);
    ck_assert_uint_eq(config_get(at + 16, 4), 64);
    config_set(at + 8, 4, 0xfffffffc);
    config_set(at + 12, 4, 4);
    config_set(at + 16, 4, 1);
    config_get(at + 16, 4);
    end();
}
END_TEST

START_TEST(snapshot)
{
    begin();
    start(ALL_FEATURES);
    use_messages();
    submit(QUEUE, pair(0));
    make_available(QUEUE, pair(1));
    notify(QUEUE); /* the work is yet to be done */
    u64 due = h.clock.now + LATENCY;
    run_for(5);
    echo = reload(&echo_class, echo, NULL);
    ck_assert_uint_eq(h.clock.next, due);
    ck_assert(status() & VIRTIO_DRIVER_OK);
    mem_set(AVAIL(QUEUE) + 4 + 2 * ENTRIES, 2, 1); /* used_event */
    run_to(due);
    ck_assert_uint_eq(used_count(QUEUE), 2);
    ck_assert_uint_eq(answer(1), 1);
    ck_assert_uint_eq(h.sent_count, 2);
    ck_assert_uint_eq(h.sent[1].vector, 0x52);
    ck_assert_uint_eq(common_get(48, 8), USED(QUEUE));
    end();
}
END_TEST

static u64 seed = 1;

static u64 noise(void)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return seed >> 16;
}

/* Rings of noise, near enough to sense that some of it is served. */
static void scatter(void)
{
    for (unsigned n = 0; n < ENTRIES; n++) {
        static const u64 places[] = {DATA,    DATA,           DATA,           0,
                                     MIB - 8, RAM_EXTRA_HOME, UINT64_MAX - 4, UINT64_C(0xe0000000)};
        u32 next = (u32)(noise() % (noise() % 8 ? ENTRIES : 65536));
        u32 flags = (u32)(noise() % 16 ? noise() % 4 : noise() % 8);
        u32 size = (u32)(noise() % 16 ? noise() % 64 : noise());
        u64 place = noise() % 4 ? DATA + noise() % 0x8000 : places[noise() % 8];
        desc(QUEUE, n, place, size, flags | next << 16);
        desc_at(DATA + 16 * n, place, size, flags | (u32)(noise() % 8) << 16);
        mem_set(AVAIL(QUEUE) + 4 + 2 * n, 2, noise() % (noise() % 8 ? ENTRIES : 65536));
    }
}

START_TEST(any_rings_do_no_harm)
{
    unsigned served = 0;
    begin();
    for (unsigned k = 0; k < 2000; k++) {
        if (k % 4 == 0) {
            mem_set(AVAIL(QUEUE), 4, 0);
            start(BIT(32) | (noise() & (BIT(28) | BIT(29))));
        }
        scatter();
        h.sent_count = 0;
        mem_set(AVAIL(QUEUE) + 2, 2, mem_get(AVAIL(QUEUE) + 2, 2) + noise() % 4);
        notify(QUEUE);
        run_for(LATENCY);
        served += echo->served;
        echo->served = 0;
    }
    ck_assert_uint_gt(served, 100);
    end();
}
END_TEST

START_TEST(any_accesses_do_no_harm)
{
    begin();
    for (unsigned k = 0; k < 100000; k++) {
        unsigned size = 1u << noise() % 3, at = (unsigned)(noise() % 0x4000) & ~(size - 1);
        h.sent_count = 0;
        if (k % 64 == 0)
            start(BIT(32) | (noise() & (BIT(28) | BIT(29))));
        if (noise() % 2)
            at &= 0x303f;
        switch (noise() % 8) {
        case 0:
            config_set(0x40 + noise() % 0x80, 1u << noise() % 3, (u32)noise());
            break;
        case 1:
            config_get((unsigned)noise() % 0x100, 1);
            break;
        case 2:
            bus_write(&h.bus, TABLE + (at & 0xfff), size, noise());
            break;
        case 3:
            bus_read(&h.bus, BAR + at, size);
            break;
        case 4:
            run_for(noise() % LATENCY);
            break;
        default:
            bus_write(&h.bus, BAR + at, size, noise() % 4 ? noise() % 32 : noise());
            break;
        }
    }
    end();
}
END_TEST

SUITE_MAIN("virtio", &identity_and_capabilities, &features, &registers, &buffers_at_the_exact_tick,
           &indices_wrap, &interrupt_by_pin, &interrupt_by_message, &event_index, &indirect,
           &bad_descriptors_break_the_device, &bad_indirect_tables_break_the_device,
           &bad_rings_break_the_device, &not_before_it_may, &through_the_configuration_space,
           &snapshot, &any_rings_do_no_harm, &any_accesses_do_no_harm)
