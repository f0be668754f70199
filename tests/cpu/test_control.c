/* SPDX-License-Identifier: MIT */
/* Control registers, the mode and its translation contexts, invalidations, privileged flags. */
#include "cpu/control.h"

#include <stdio.h>

#include "tests/cpu/world.h"
#include "tests/suite.h"

static void refused(struct world *w, bool ok)
{
    ck_assert(!ok);
    ck_assert_uint_eq(w->cpu->exc.vector, EXC_GP);
    ck_assert_uint_eq(w->cpu->exc.error, 0);
    w->cpu->exc.pending = false;
}

START_TEST(after_reset)
{
    struct machine m;
    machine_init(&m, 2, NULL);
    struct cpu *cpu = m.cpu[0];
    ck_assert_uint_eq(cpu->rip, 0xfff0);
    ck_assert_uint_eq(cpu->seg[SEG_CS].base, 0xffff0000);
    ck_assert_uint_eq(cpu->cr0, 0x60000010);
    ck_assert_uint_eq(cpu_eflags(cpu), 2);
    ck_assert_uint_eq(cpu->mode & ~(MODE_FPU | MODE_SSE), 0);
    ck_assert_uint_eq(cpu->activity, ACTIVITY_RUN);
    ck_assert_uint_eq(m.cpu[1]->activity, ACTIVITY_WAIT_SIPI);
    ck_assert_uint_eq(cpu->apic_base, 0xfee00900);
    ck_assert_uint_eq(m.cpu[1]->apic_base, 0xfee00800);
    cpu->xmm[3].q[0] = 5;
    cpu->cr0 = CR0_ET | CR0_PE;
    cpu_reset(cpu, true);
    ck_assert_uint_eq(cpu->xmm[3].q[0], 5);
    ck_assert_uint_eq(cpu->cr0, CR0_ET);
    cpu_reset(cpu, false);
    ck_assert_uint_eq(cpu->xmm[3].q[0], 0);
    machine_fini(&m);
}
END_TEST

START_TEST(cr0_rules)
{
    struct world w;
    world_init(&w, WORLD_32);
    refused(&w, cpu_write_cr0(w.cpu, CR0_PG));
    refused(&w, cpu_write_cr0(w.cpu, CR0_PE | CR0_NW));
    refused(&w, cpu_write_cr0(w.cpu, BIT(32) | CR0_PE));
    ck_assert(cpu_write_cr0(w.cpu, CR0_PE | BIT(10)));
    ck_assert_uint_eq(w.cpu->cr0, CR0_PE | CR0_ET);
    world_fini(&w);
    world_init(&w, WORLD_64);
    refused(&w, cpu_write_cr0(w.cpu, CR0_PE)); /* from 64-bit mode */
    set_cs(&w, CS32);
    cpu_update_mode(w.cpu);
    ck_assert(w.cpu->mode & MODE_LMA);
    ck_assert(cpu_write_cr0(w.cpu, CR0_PE));
    ck_assert(!(w.cpu->efer & EFER_LMA));
    ck_assert(!(w.cpu->mode & MODE_LMA));
    ck_assert(cpu_write_cr4(w.cpu, 0));
    refused(&w, cpu_write_cr0(w.cpu, CR0_PE | CR0_PG)); /* LME without PAE */
    ck_assert(cpu_write_cr4(w.cpu, CR4_PAE));
    set_cs(&w, CS64);
    refused(&w, cpu_write_cr0(w.cpu, CR0_PE | CR0_PG)); /* CS.L */
    set_cs(&w, CS32);
    w.cpu->seg[SEG_TR].attr = 0x83;
    refused(&w, cpu_write_cr0(w.cpu, CR0_PE | CR0_PG)); /* 16-bit TSS */
    world_fini(&w);
}
END_TEST

START_TEST(cr3_rules)
{
    struct world w;
    world_init(&w, WORLD_64);
    refused(&w, cpu_write_cr3(w.cpu, BIT(63) | PML4));
    refused(&w, cpu_write_cr3(w.cpu, BIT(w.m.model.phys_bits)));
    ck_assert(cpu_write_cr3(w.cpu, PML4 | 0x18));
    ck_assert(cpu_write_cr3(w.cpu, PML4));
    ck_assert(cpu_write_cr4(w.cpu, w.cpu->cr4 | CR4_PCIDE));
    ck_assert(cpu_write_cr3(w.cpu, BIT(63) | PML4 | 5));
    ck_assert_uint_eq(w.cpu->cr3, PML4 | 5);
    world_fini(&w);
}
END_TEST

START_TEST(cr4_rules)
{
    struct world w;
    world_init(&w, WORLD_64);
    u64 cr4 = w.cpu->cr4;
    refused(&w, cpu_write_cr4(w.cpu, cr4 & ~CR4_PAE));
    refused(&w, cpu_write_cr4(w.cpu, cr4 ^ CR4_LA57));
    refused(&w, cpu_write_cr4(w.cpu, cr4 | CR4_SMXE));
    refused(&w, cpu_write_cr4(w.cpu, cr4 | BIT(40)));
    ck_assert(cpu_write_cr3(w.cpu, PML4 | 8));
    refused(&w, cpu_write_cr4(w.cpu, cr4 | CR4_PCIDE));
    ck_assert(cpu_write_cr3(w.cpu, PML4));
    ck_assert(cpu_write_cr4(w.cpu, cr4 | CR4_PCIDE));
    set_cs(&w, CS32);
    cpu_update_mode(w.cpu);
    refused(&w, cpu_write_cr0(w.cpu, CR0_PE)); /* PG off with PCIDE */
    world_fini(&w);
    world_init(&w, WORLD_32);
    refused(&w, cpu_write_cr4(w.cpu, CR4_PCIDE));
    world_fini(&w);
}
END_TEST

START_TEST(pdptes)
{
    struct world w;
    world_init(&w, WORLD_32);
    put(&w, 0x9000, 0xa001, 8);
    put(&w, 0x9008, 2, 8); /* not present: not checked */
    put(&w, 0xa000, 0xe3, 8);
    ck_assert(cpu_write_cr4(w.cpu, CR4_PAE));
    ck_assert(cpu_write_cr3(w.cpu, 0x9000));
    ck_assert(cpu_write_cr0(w.cpu, CR0_PE | CR0_PG));
    ck_assert_uint_eq(w.cpu->pdpte[0], 0xa001);
    put(&w, 0x9000, 0xb001, 8);
    ck_assert_uint_eq(w.cpu->pdpte[0], 0xa001); /* held until the next load */
    put(&w, 0x9008, 3, 8);
    refused(&w, cpu_write_cr3(w.cpu, 0x9000));
    ck_assert_uint_eq(w.cpu->pdpte[0], 0xa001);
    world_fini(&w);
}
END_TEST

static u64 read_lin(struct world *w, u64 lin)
{
    u64 v = 0;
    ck_assert(lin_read_int(w->cpu, NULL, lin, &v, 8, ACC_READ));
    return v;
}

static void map(struct world *w, u64 lin, u64 to, u64 flags)
{
    put(w, PML4 + 0x3000 + 8 * (lin >> 12), to | flags, 8);
}

/* A translation stays as it was until it is invalidated, by whatever means. */
START_TEST(invalidation)
{
    struct world w;
    world_init(&w, WORLD_64);
    put(&w, 0x80000, 0x1111, 8);
    put(&w, 0x81000, 0x2222, 8);
    ck_assert_uint_eq(read_lin(&w, 0x80000), 0x1111);
    map(&w, 0x80000, 0x81000, 7);
    ck_assert_uint_eq(read_lin(&w, 0x80000), 0x1111);
    w.cpu->gpr[RAX] = 0x80000;
    code(&w, "\x0f\x01\x38"); /* invlpg (%rax) */
    run(&w, 1);
    ck_assert_uint_eq(read_lin(&w, 0x80000), 0x2222);
    map(&w, 0x80000, 0x80000, 0x107); /* global */
    ck_assert(cpu_write_cr3(w.cpu, PML4));
    ck_assert_uint_eq(read_lin(&w, 0x80000), 0x1111);
    map(&w, 0x80000, 0x81000, 7);
    ck_assert(cpu_write_cr3(w.cpu, PML4));
    ck_assert_uint_eq(read_lin(&w, 0x80000), 0x1111); /* global translations stay */
    ck_assert(cpu_write_cr4(w.cpu, w.cpu->cr4 ^ CR4_PGE));
    ck_assert_uint_eq(read_lin(&w, 0x80000), 0x2222);
    world_fini(&w);
}
END_TEST

START_TEST(pcids)
{
    struct world w;
    world_init(&w, WORLD_64);
    put(&w, 0x80000, 0x1111, 8);
    put(&w, 0x81000, 0x2222, 8);
    ck_assert(cpu_write_cr4(w.cpu, w.cpu->cr4 | CR4_PCIDE));
    ck_assert(cpu_write_cr3(w.cpu, PML4 | 1));
    ck_assert_uint_eq(read_lin(&w, 0x80000), 0x1111);
    map(&w, 0x80000, 0x81000, 7);
    ck_assert(cpu_write_cr3(w.cpu, PML4 | 2));
    ck_assert_uint_eq(read_lin(&w, 0x80000), 0x2222);
    ck_assert(cpu_write_cr3(w.cpu, BIT(63) | PML4 | 1));
    ck_assert_uint_eq(read_lin(&w, 0x80000), 0x1111);
    ck_assert(cpu_write_cr3(w.cpu, PML4 | 1));
    ck_assert_uint_eq(read_lin(&w, 0x80000), 0x2222);
    /* INVPCID, single context 2 from context 1 */
    map(&w, 0x80000, 0x80000, 7);
    put(&w, 0x90000, 2, 8);
    w.cpu->gpr[RAX] = 1;
    w.cpu->gpr[RBX] = 0x90000;
    code(&w, "\x66\x0f\x38\x82\x03");
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 5);
    ck_assert_uint_eq(read_lin(&w, 0x80000), 0x2222);
    ck_assert(cpu_write_cr3(w.cpu, BIT(63) | PML4 | 2));
    ck_assert_uint_eq(read_lin(&w, 0x80000), 0x1111);
    world_fini(&w);
}
END_TEST

/* The views of user pages: SMAP, EFLAGS.AC, CPL. */
START_TEST(views)
{
    struct world w;
    u64 v;
    world_init(&w, WORLD_64);
    ck_assert_uint_eq(read_lin(&w, 0x80000), 0);
    ck_assert(cpu_write_cr4(w.cpu, w.cpu->cr4 | CR4_SMAP));
    ck_assert(!lin_read_int(w.cpu, NULL, 0x80000, &v, 8, ACC_READ));
    ck_assert_uint_eq(w.cpu->exc.vector, EXC_PF);
    ck_assert_uint_eq(w.cpu->exc.error, PF_PRESENT);
    set_rflags(w.cpu, FLAG_AC);
    cpu_update_mode(w.cpu);
    ck_assert(lin_read_int(w.cpu, NULL, 0x80000, &v, 8, ACC_READ));
    ck_assert(!lin_read_int(w.cpu, NULL, 0x80000, &v, 8, ACC_READ | ACC_SYSTEM));
    set_rflags(w.cpu, 0);
    cpu_update_mode(w.cpu);
    ck_assert(!lin_read_int(w.cpu, NULL, 0x80000, &v, 8, ACC_READ));
    go_user(&w);
    ck_assert(lin_read_int(w.cpu, NULL, 0x80000, &v, 8, ACC_READ));
    w.cpu->exc.pending = false;
    world_fini(&w);
}
END_TEST

START_TEST(protection_keys)
{
    struct world w;
    u64 v;
    world_init(&w, WORLD_64);
    map(&w, 0x80000, 0x80000, 7 | UINT64_C(3) << 59);
    ck_assert(cpu_write_cr4(w.cpu, w.cpu->cr4 | CR4_PKE));
    go_user(&w);
    ck_assert(lin_read_int(w.cpu, NULL, 0x80000, &v, 8, ACC_READ));
    w.cpu->gpr[RAX] = 0x40;
    w.cpu->gpr[RDX] = 0;
    code(&w, "\x0f\x01\xef"); /* wrpkru */
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, CODE + 3);
    ck_assert(!lin_read_int(w.cpu, NULL, 0x80000, &v, 8, ACC_READ));
    ck_assert_uint_eq(w.cpu->exc.error, PF_PRESENT | PF_USER | PF_PK);
    w.cpu->exc.pending = false;
    world_fini(&w);
}
END_TEST

START_TEST(alignment_checks)
{
    struct world w;
    u64 v;
    world_init(&w, WORLD_64);
    ck_assert(cpu_write_cr0(w.cpu, w.cpu->cr0 | CR0_AM));
    go_user(&w);
    ck_assert(lin_read_int(w.cpu, NULL, 0x80001, &v, 8, ACC_READ));
    set_rflags(w.cpu, FLAG_AC);
    cpu_update_mode(w.cpu);
    ck_assert(w.cpu->ctx->bypass);
    ck_assert(!lin_read_int(w.cpu, NULL, 0x80001, &v, 8, ACC_READ));
    ck_assert_uint_eq(w.cpu->exc.vector, EXC_AC);
    w.cpu->exc.pending = false;
    set_rflags(w.cpu, 0);
    cpu_update_mode(w.cpu);
    ck_assert(!w.cpu->ctx->bypass);
    world_fini(&w);
}
END_TEST

START_TEST(user_mode_prevention)
{
    static const char insns[][4] = {"\x0f\x01\x00", "\x0f\x01\x08", "\x0f\x00\xc0", "\x0f\x00\xc8",
                                    "\x0f\x01\xe0"};
    struct world w;
    for (size_t k = 0; k < ARRAY_SIZE(insns); k++) {
        world_init(&w, WORLD_64);
        go_user(&w);
        w.cpu->gpr[RAX] = 0x80000;
        code(&w, "\x90\x90\x90");
        put(&w, HANDLER + 16 * EXC_GP, 0x90, 1);
        ck_assert(ram_write(&w.m.bus.ram, CODE, insns[k], 3));
        run(&w, 1);
        ck_assert_uint_eq(w.cpu->rip, CODE + 3);
        ck_assert(cpu_write_cr4(w.cpu, w.cpu->cr4 | CR4_UMIP));
        w.cpu->rip = CODE;
        run(&w, 1);
        ck_assert_uint_eq(w.cpu->rip, HANDLER + 16 * EXC_GP + 1);
        world_fini(&w);
    }
}
END_TEST

START_TEST(descriptor_table_registers)
{
    struct world w;
    world_init(&w, WORLD_64);
    w.cpu->gpr[RAX] = 0x80000;
    w.cpu->gpr[RBX] = 0x80100;
    put(&w, 0x80000, 0x1234, 2);
    put(&w, 0x80002, 0xffff800000001000, 8);
    code(&w, "\x0f\x01\x18\x0f\x01\x0b\x0f\x01\x18"); /* lidt (%rax); sidt (%rbx); lidt (%rax) */
    run(&w, 2);
    ck_assert_uint_eq(w.cpu->idtr.base, 0xffff800000001000);
    ck_assert_uint_eq(get(&w, 0x80100, 2), 0x1234);
    ck_assert_uint_eq(get(&w, 0x80102, 8), 0xffff800000001000);
    put(&w, 0x80002, 0x800000000000, 8); /* canonical to a processor with LA57, whatever CR4 says */
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->idtr.base, 0x800000000000);
    code(&w, "\x0f\x01\x18");
    put(&w, 0x80002, 0x0f00000000000000, 8);
    put(&w, HANDLER + 16 * EXC_GP, 0x90, 1);
    w.cpu->idtr = (struct dtable){IDT, 0xfff};
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, HANDLER + 16 * EXC_GP + 1);
    world_fini(&w);
}
END_TEST

START_TEST(debug_registers)
{
    struct world w;
    world_init(&w, WORLD_64);
    put(&w, HANDLER + 16, 0x90, 1);
    w.cpu->gpr[RAX] = 0x1234;
    w.cpu->gpr[RBX] = 0x2000;
    code(&w, "\x0f\x23\xc0"   /* mov %rax, %dr0 */
             "\x0f\x23\xf3"   /* mov %rbx, %dr6 */
             "\x0f\x23\xfb"   /* mov %rbx, %dr7 */
             "\x0f\x21\xc1"); /* mov %dr0, %rcx */
    run(&w, 3);
    ck_assert_uint_eq(w.cpu->dr[0], 0x1234);
    ck_assert_uint_eq(w.cpu->dr[6], 0xffff2ff0);
    ck_assert_uint_eq(w.cpu->dr[7], 0x2400);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, HANDLER + 17);
    ck_assert_uint_eq(w.cpu->dr[6] & BIT(13), BIT(13));
    ck_assert_uint_eq(w.cpu->dr[7], 0x400);
    ck_assert_uint_eq(get(&w, w.cpu->gpr[RSP], 8), CODE + 9);
    world_fini(&w);
}
END_TEST

START_TEST(lookups)
{
    struct world w;
    world_init(&w, WORLD_32);
    w.cpu->gpr[RAX] = UDS;
    w.cpu->gpr[RDX] = 0x200;
    code(&w, "\x0f\x02\xc8" /* lar %eax, %ecx */
             "\x0f\x03\xd8" /* lsl %eax, %ebx */
             "\x0f\x00\xe0" /* verr %ax */
             "\x0f\x00\xea" /* verw %dx */
             "\x63\xd0");   /* arpl %dx, %ax */
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->gpr[RCX], 0x00c0f300);
    ck_assert(cpu_status_flags(w.cpu) & FLAG_ZF);
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->gpr[RBX], 0xffffffff);
    run(&w, 1);
    ck_assert(cpu_status_flags(w.cpu) & FLAG_ZF);
    run(&w, 1);
    ck_assert(!(cpu_status_flags(w.cpu) & FLAG_ZF));
    w.cpu->gpr[RDX] = 3;
    w.cpu->gpr[RAX] = 0x10;
    run(&w, 1);
    ck_assert(cpu_status_flags(w.cpu) & FLAG_ZF);
    ck_assert_uint_eq(w.cpu->gpr[RAX], 0x13);
    world_fini(&w);
}
END_TEST

START_TEST(interrupt_flag)
{
    struct world w;
    world_init(&w, WORLD_32);
    go_user(&w);
    put(&w, HANDLER + 16 * EXC_GP, 0x90, 1);
    code(&w, "\xfb\xfa\x9c\x9d\x90");
    run(&w, 1);
    ck_assert_uint_eq(w.cpu->rip, HANDLER + 16 * EXC_GP + 1);
    go_user(&w);
    w.cpu->rip = CODE;
    ck_assert(cpu_write_cr4(w.cpu, CR4_PVI));
    run(&w, 1);
    ck_assert(w.cpu->eflags & FLAG_VIF);
    ck_assert(!(w.cpu->eflags & FLAG_IF));
    run(&w, 1);
    ck_assert(!(w.cpu->eflags & FLAG_VIF));
    set_rflags(w.cpu, FLAG_IOPL);
    w.cpu->rip = CODE;
    run(&w, 2);
    ck_assert_uint_eq(w.cpu->eflags & (FLAG_IF | FLAG_VIF), 0);
    ck_assert_uint_eq(w.cpu->rip, CODE + 2);
    /* POPF at IOPL 0 changes neither IF nor IOPL. */
    set_rflags(w.cpu, FLAG_IF);
    run(&w, 1);
    put(&w, w.cpu->gpr[RSP], FLAG_IOPL | FLAG_CF, 4);
    run(&w, 1);
    ck_assert_uint_eq(cpu_eflags(w.cpu), FLAG_IF | FLAG_CF | FLAG_1);
    world_fini(&w);
}
END_TEST

/* STI holds interrupts for one instruction, wherever blocks end. */
START_TEST(sti_shadow)
{
    struct world w;
    for (unsigned chunk = 1; chunk <= 3; chunk++) {
        world_init(&w, WORLD_64);
        code(&w, "\xfb\x90\x90\x90");
        for (unsigned n = 0; n < chunk; n++)
            run(&w, n == 0 ? 1 : chunk);
        ck_assert(w.cpu->eflags & FLAG_IF);
        world_fini(&w);
    }
    world_init(&w, WORLD_64);
    code(&w, "\xfb\x90\x90\x90");
    run(&w, 1);
    ck_assert(w.cpu->irq_shadow);
    run(&w, 1);
    ck_assert(!w.cpu->irq_shadow);
    world_fini(&w);
}
END_TEST

START_TEST(snapshot)
{
    struct world w;
    struct error err = {{0}};
    char path[] = "test-control.snap";
    world_init(&w, WORLD_64);
    w.cpu->gpr[R9] = 0x123456789abcdef0;
    w.cpu->cc_op = CC_SUB + W32;
    w.cpu->cc_dst = 0;
    w.cpu->cc_src = 7;
    struct snap *s = snap_open_save(path, &err);
    ck_assert_msg(s != NULL, "%s", err.text);
    cpu_snap(w.cpu, s);
    ck_assert_msg(snap_close(s, &err), "%s", err.text);
    u64 flags = cpu_eflags(w.cpu);
    cpu_reset(w.cpu, false);
    s = snap_open_load(path, &err);
    ck_assert_msg(s != NULL, "%s", err.text);
    cpu_snap(w.cpu, s);
    ck_assert_msg(snap_close(s, &err), "%s", err.text);
    ck_assert_uint_eq(w.cpu->gpr[R9], 0x123456789abcdef0);
    ck_assert_uint_eq(cpu_eflags(w.cpu), flags);
    ck_assert(w.cpu->mode & MODE_64);
    ck_assert_uint_eq(w.cpu->seg[SEG_TR].base, TSS);
    ck_assert_uint_eq(read_lin(&w, GDT + CS64), 0x00af9b000000ffff);
    remove(path);
    world_fini(&w);
}
END_TEST

SUITE_MAIN("control", &after_reset, &cr0_rules, &cr3_rules, &cr4_rules, &pdptes, &invalidation,
           &pcids, &views, &protection_keys, &alignment_checks, &user_mode_prevention,
           &descriptor_table_registers, &debug_registers, &lookups, &interrupt_flag, &sti_shadow,
           &snapshot)
