/* SPDX-License-Identifier: MIT */
/*
 * The smallest user of KVM: kvm_guest hello|exits N. A virtual machine of one page in real-address
 * mode that prints a line and shuts down, or makes N exits to user space and N within the kernel and
 * says how many of this machine's instructions each took: by the TSC, of which Testudo makes one tick an instruction.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u
#define PORT_TEXT 0xe9
#define PORT_END 0xf4

struct machine {
    int kvm, vm, vcpu;
    uint8_t *memory;
    struct kvm_run *run;
};

static int check(int result, const char *what)
{
    if (result >= 0)
        return result;
    perror(what);
    exit(1);
}

static void machine_init(struct machine *m, const uint8_t *code, size_t size)
{
    m->kvm = check(open("/dev/kvm", O_RDWR), "/dev/kvm");
    m->vm = check(ioctl(m->kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    m->memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memcpy(m->memory, code, size);
    struct kvm_userspace_memory_region region = {.memory_size = PAGE,
                                                 .userspace_addr = (uintptr_t)m->memory};
    check(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
    m->vcpu = check(ioctl(m->vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
    int room = check(ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
    m->run = mmap(NULL, (size_t)room, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
    struct kvm_sregs sregs;
    check(ioctl(m->vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
    sregs.cs.base = sregs.cs.selector = 0;
    check(ioctl(m->vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
}

static void set_registers(struct machine *m, uint64_t rsi, uint64_t rdi)
{
    struct kvm_regs regs = {.rflags = 2, .rsp = PAGE, .rsi = rsi, .rdi = rdi};
    check(ioctl(m->vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

/* Runs until the end port is written; returns how often user space was reached otherwise. */
static uint64_t run(struct machine *m)
{
    for (uint64_t exits = 0;; exits++) {
        check(ioctl(m->vcpu, KVM_RUN, 0), "KVM_RUN");
        if (m->run->exit_reason != KVM_EXIT_IO) {
            fprintf(stderr, "kvm_guest: unexpected exit %u\n", m->run->exit_reason);
            exit(1);
        }
        if (m->run->io.port == PORT_END)
            return exits;
        if (m->run->io.port == PORT_TEXT)
            putchar(*((char *)m->run + m->run->io.data_offset));
    }
}

static int hello(void)
{
    static const uint8_t code[] = {
        0xbe, 0x00,      0x01, /*    mov si, 100h */
        0xac,                  /* 1: lodsb */
        0x84, 0xc0,            /*    test al, al */
        0x74, 0x04,            /*    jz 2f */
        0xe6, PORT_TEXT,       /*    out PORT_TEXT, al */
        0xeb, 0xf7,            /*    jmp 1b */
        0xe6, PORT_END,        /* 2: out PORT_END, al */
        0xf4,                  /*    hlt */
    };
    static const char text[] = "kvm_guest: hello from the innermost guest\n";
    struct machine m;
    machine_init(&m, code, sizeof(code));
    memcpy(m.memory + 0x100, text, sizeof(text));
    set_registers(&m, 0, 0);
    return run(&m) == strlen(text) ? 0 : 1;
}

static uint64_t tsc(void)
{
    uint32_t low, high;
    __asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high)::"memory");
    return (uint64_t)high << 32 | low;
}

static void measure(const char *name, const uint8_t *code, size_t size, unsigned long count)
{
    struct machine m;
    machine_init(&m, code, size);
    set_registers(&m, 16, 0); /* the first ones bring in code and data */
    run(&m);
    set_registers(&m, count & 0xffff, count >> 16);
    uint64_t begin = tsc(), users = run(&m), end = tsc();
    printf("kvm_guest: %lu %s: %llu instructions each (%llu to user space)\n", count, name,
           (unsigned long long)((end - begin) / count), (unsigned long long)users);
}

/* The count is in DI:SI. */
#define LOOP(...)                                                                                  \
    {                                                                                              \
        0x66, 0xc1, 0xe7, 0x10,                                          /*    shl edi, 16 */      \
            0x66, 0x0f, 0xb7, 0xf6,                                      /*    movzx esi, si */    \
            0x66, 0x01, 0xfe,                                            /*    add esi, edi */     \
            __VA_ARGS__, 0x66, 0x4e,                                     /* 1: ...; dec esi */     \
            0x75, (uint8_t)(-4 - (int)sizeof((uint8_t[]){__VA_ARGS__})), /* jnz 1b */              \
            0xe6, PORT_END                                               /*    out PORT_END, al */ \
    }

int main(int argc, char **argv)
{
    static const uint8_t out[] = LOOP(0xe6, 0x10);   /* out 10h, al */
    static const uint8_t cpuid[] = LOOP(0x0f, 0xa2); /* cpuid */
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 2 && !strcmp(argv[1], "hello"))
        return hello();
    unsigned long count = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    if (argc != 3 || strcmp(argv[1], "exits") != 0 || !count) {
        fprintf(stderr, "usage: kvm_guest hello | exits N\n");
        return 2;
    }
    measure("out", out, sizeof(out), count);
    measure("cpuid", cpuid, sizeof(cpuid), count);
    return 0;
}
