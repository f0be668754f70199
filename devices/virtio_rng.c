/* SPDX-License-Identifier: MIT */
/*
 * From Virtual I/O Device (VIRTIO) Version 1.1, "Entropy Device". The generator is SplitMix64 (Steele,
 * Lea, Flood: "Fast Splittable Pseudorandom Number Generators"), good enough for a simulation and no
 * secret to anybody.
 */
#include "devices/virtio_rng.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "devices/le.h"
#include "devices/virtio_pci.h"

#define BYTES_MAX 256 /* given at a time: a driver asks again */

struct virtio_rng {
    struct virtio_pci pci;
    struct virtio_rng_config config;
    unsigned source; /* of input */
    u64 state;       /* of the generator */
    struct virtq_chain chain;
};

static u64 generate(struct virtio_rng *rng)
{
    u64 z = rng->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* While replaying the host's entropy isn't used, but asking for it does no harm. */
static u64 host_entropy(struct virtio_rng *rng)
{
    u64 live = 0;
    if (getrandom(&live, sizeof(live), 0) != (ssize_t)sizeof(live))
        log_msg(LOG_DEV, "virtio-rng: the host gave no entropy");
    return input_value(rng->config.hub, rng->source, live);
}

static void serve(struct virtio_rng *rng)
{
    u8 bytes[BYTES_MAX];
    u64 size = MIN(rng->chain.in_size, (u64)BYTES_MAX);
    for (unsigned n = 0; n < size; n += 8)
        le_put(bytes + n, 8, rng->config.source == RNG_HOST ? host_entropy(rng) : generate(rng));
    if (virtq_write(&rng->chain, 0, bytes, size))
        virtq_push(&rng->chain, size);
}

static void work(struct virtio *device, unsigned n)
{
    struct virtio_rng *rng = CONTAINER_OF(device, struct virtio_rng, pci.virtio);
    while (virtq_pop(&device->queue[n], &rng->chain))
        serve(rng);
    virtq_tell(&device->queue[n]);
}

static const struct virtio_ops ops = {
    .name = "virtio-rng", .type = 4, .pci_class = 0x00ff00, .queues = 1, .work = work};

static void *virtio_rng_create(const struct device_env *env, const void *config, struct error *err)
{
    struct virtio_rng *rng = xalloc(sizeof(*rng));
    rng->config = *(const struct virtio_rng_config *)config;
    rng->state = rng->config.seed;
    if (!virtio_pci_init(&rng->pci, env, &ops, err)) {
        free(rng);
        return NULL;
    }
    rng->source = input_source(rng->config.hub, "virtio-rng", NULL, NULL);
    return rng;
}

/* The generator goes on: a machine that was reset isn't given the same numbers again. */
static void virtio_rng_reset(void *device)
{
    struct virtio_rng *rng = device;
    virtio_pci_reset(&rng->pci);
}

static void virtio_rng_snap(void *device, struct snap *s)
{
    struct virtio_rng *rng = device;
    virtio_pci_snap(&rng->pci, s);
    SNAP(s, rng->state);
}

static void virtio_rng_free(void *device)
{
    struct virtio_rng *rng = device;
    virtio_pci_fini(&rng->pci);
    free(rng);
}

static const char *const sources[] = {[RNG_SEED] = "seed", [RNG_HOST] = "host", NULL};

static const struct prop_desc props[] = {
    {.name = "source",
     .type = PROP_ENUM,
     .preset = "seed",
     .choices = sources,
     .help = "seed: a generator, the same numbers in each run; host: the host's entropy"},
    {.name = "seed", .type = PROP_UINT, .preset = "1", .help = "what the generator begins with"},
};
static const size_t prop_offsets[] = {
    offsetof(struct virtio_rng_config, source),
    offsetof(struct virtio_rng_config, seed),
};

const struct device_class virtio_rng_class = {
    .name = "virtio_rng",
    .help = "virtio entropy source on PCI",
    .props = props,
    .prop_offsets = prop_offsets,
    .prop_count = ARRAY_SIZE(props),
    .config_size = sizeof(struct virtio_rng_config),
    .create = virtio_rng_create,
    .reset = virtio_rng_reset,
    .snap = virtio_rng_snap,
    .free = virtio_rng_free,
};
