/* SPDX-License-Identifier: MIT */
/* Exceptions in 64-bit mode: vectors, error codes, saved RIP and RF, priorities, IST, #DF. */
#include "tests/guests/pages.h"

/* The instruction to test stands at this label. */
#define AT(name, text)                                                                             \
    extern char name[];                                                                            \
    static void do_##name(void *argument)                                                          \
    {                                                                                              \
        __asm__ volatile(".globl " #name "\n" #name ": " text                                      \
                         :                                                                         \
                         : "a"(argument)                                                           \
                         : "memory", "cc", "rcx", "rdx", "rbx", "rsi", "rdi", "r8");               \
    }

#define HOLE UINT64_C(0x80000000) /* no page here, and the page before it is there */
#define NONCANONICAL UINT64_C(0x8000000000000000)

AT(div_zero, "xor %%ecx, %%ecx; 1: div %%ecx")
AT(div_wide, "mov $1, %%edx; mov $1, %%ecx; div %%ecx")
AT(idiv_min, "mov $0x80000000, %%eax; cdq; mov $-1, %%ecx; idiv %%ecx")
AT(int3, "int3")
AT(int_3, ".byte 0xcd, 0x03")
AT(int_14, "int $14")
AT(int_200, "int $200")
AT(ud2, "ud2")
AT(lock_mov, ".byte 0xf0, 0x89, 0x00")
AT(lock_reg, ".byte 0xf0, 0x01, 0xc0")
AT(lock_cmp, ".byte 0xf0, 0x39, 0x00")
AT(lock_bt, ".byte 0xf0, 0x0f, 0xa3, 0x08")
AT(lock_bts, ".byte 0xf0, 0x0f, 0xab, 0x08")
AT(push_es, ".byte 0x06")
AT(daa, ".byte 0x27")
AT(mov_cs, ".byte 0x8e, 0xc8")
AT(mov_cr1, ".byte 0x0f, 0x20, 0xc8")
AT(long_insn,
   ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90")
AT(load, "mov (%%rax), %%ecx")
AT(store, "mov %%ecx, (%%rax)")
AT(rmw, "addl $1, (%%rax)")
AT(load_ss, "mov %%rsp, %%r8; mov %%rax, %%rsp; pop %%rcx; mov %%r8, %%rsp")
AT(load_bp, "push %%rbp; mov %%rax, %%rbp; mov 0(%%rbp), %%ecx; pop %%rbp")
AT(jump, "jmp *%%rax")
AT(call_hole, "call *%%rax")
AT(call_bad_stack, "mov %%rsp, %%r8; mov %%rax, %%rsp; call 1f; 1: mov %%r8, %%rsp")
AT(bound_ud, ".byte 0x62, 0xc0, 0x90, 0x90, 0x90, 0x90")
AT(rdmsr_bad, "mov $0x12345678, %%ecx; rdmsr")
AT(wrmsr_efer, "mov $0xc0000080, %%ecx; mov $-1, %%eax; mov $-1, %%edx; wrmsr")
AT(cr0_bad, "mov $0x80000000, %%ecx; mov %%rcx, %%cr0")
AT(cr4_bad, "mov %%cr4, %%rcx; btc $31, %%rcx; mov %%rcx, %%cr4")
AT(cr4_no_pae, "mov %%cr4, %%rcx; btr $5, %%rcx; mov %%rcx, %%cr4")
AT(cr8_bad, "mov $16, %%ecx; mov %%rcx, %%cr8")
AT(ltr_busy, "ltr %%ax")
AT(mov_ds, "mov %%eax, %%ds; mov $0x10, %%ecx; mov %%ecx, %%ds")
AT(mov_ss, "mov %%eax, %%ss; mov $0x10, %%ecx; mov %%ecx, %%ss")
AT(movaps, "movaps (%%rax), %%xmm0")
AT(hlt, "hlt")
AT(cli, "cli")
AT(in_port, "mov $0x80, %%edx; in %%dx, %%al")
AT(mov_from_cr0, "mov %%cr0, %%rax")
AT(push_imm, "mov %%rsp, %%r8; mov %%rax, %%rsp; push $1; mov %%r8, %%rsp")
AT(pop_mem, "push $1; pop (%%rax)")
AT(iret_load, "mov %%rsp, %%r8; mov %%rax, %%rsp; iretq")
AT(xlat_bad, "mov %%rax, %%rbx; xlat")

static void same(word got, const void *wanted, const char *name)
{
    guest_equal(got, (word)wanted, name);
}

static void simple(void)
{
    static char byte[64] __attribute__((aligned(64)));
    guest_expect(do_div_zero, 0, DE, 0, "DIV by zero");
    same(trap.ip, div_zero + 2, "#DE is a fault");
    guest_check(trap.flags & 0x10000, "a fault's RFLAGS have RF");
    guest_expect(do_div_wide, 0, DE, 0, "DIV whose quotient is too wide");
    guest_expect(do_idiv_min, 0, DE, 0, "IDIV of the least by -1");
    guest_expect(do_int3, 0, BP, 0, "INT3");
    same(trap.ip, int3 + 1, "#BP is a trap");
    guest_check(!(trap.flags & 0x10000), "a trap's RFLAGS have no RF");
    guest_expect(do_int_3, 0, BP, 0, "INT 3 in two bytes");
    same(trap.ip, int_3 + 2, "its RIP");
    guest_expect(do_int_200, 0, 200, 0, "INT n");
    guest_expect(do_ud2, 0, UD, 0, "UD2");
    same(trap.ip, ud2, "#UD is a fault");
    guest_expect(do_lock_mov, byte, UD, 0, "LOCK MOV");
    guest_expect(do_lock_reg, byte, UD, 0, "LOCK ADD to a register");
    guest_expect(do_lock_cmp, byte, UD, 0, "LOCK CMP");
    guest_expect(do_lock_bt, byte, UD, 0, "LOCK BT");
    guest_expect(do_lock_bts, byte, -1, 0, "LOCK BTS");
    guest_expect(do_push_es, 0, UD, 0, "PUSH ES in 64-bit mode");
    guest_expect(do_daa, 0, UD, 0, "DAA in 64-bit mode");
    guest_expect(do_mov_cs, 0, UD, 0, "MOV to CS");
    guest_expect(do_mov_cr1, 0, UD, 0, "MOV from CR1");
    guest_expect(do_long_insn, 0, GP, 0, "an instruction of 16 bytes");
    same(trap.ip, long_insn, "its RIP");
    guest_expect(do_bound_ud, byte, UD, 0, "BOUND's byte in 64-bit mode");
}

static void addresses(void)
{
    guest_expect(do_load, (void *)NONCANONICAL, GP, 0, "load from a non-canonical address");
    guest_expect(do_load_ss, (void *)NONCANONICAL, SS, 0, "POP from a non-canonical address");
    guest_expect(do_load_bp, (void *)NONCANONICAL, SS, 0, "RBP-relative non-canonical load");
    guest_expect(do_load, (void *)UINT64_C(0x7ffffffffffe), GP, 0, "load up to the canonical hole");
    guest_expect(do_jump, (void *)NONCANONICAL, GP, 0, "JMP to a non-canonical address");
    same(trap.ip, jump, "its RIP is the jump's");
    guest_expect(do_call_hole, (void *)HOLE, PF, PF_I, "CALL to an absent page");
    guest_equal(trap.ip, HOLE, "its RIP is the target");
    guest_equal(trap.cr2, HOLE, "its CR2, too");
    guest_expect(do_load, (void *)HOLE, PF, 0, "load from an absent page");
    guest_equal(trap.cr2, HOLE, "CR2");
    same(trap.ip, load, "#PF is a fault");
    guest_expect(do_load, (void *)(HOLE - 2), PF, 0, "load that crosses into an absent page");
    guest_equal(trap.cr2, HOLE, "CR2 is where it crosses");
    guest_expect(do_store, (void *)(HOLE - 2), PF, PF_W, "store that crosses into an absent page");
    guest_equal(*(uint16_t *)(HOLE - 2), 0, "nothing of it was stored");
    guest_expect(do_rmw, (void *)HOLE, PF, PF_W, "read-modify-write of an absent page");
    guest_expect(do_push_imm, (void *)HOLE, -1, 0, "PUSH below an absent page");
    guest_expect(do_push_imm, (void *)(HOLE + 4), PF, PF_W, "PUSH in the midst of the edge");
    guest_equal(trap.sp, HOLE + 4, "RSP is unchanged");
    guest_expect(do_call_bad_stack, (void *)(HOLE + 8), PF, PF_W, "CALL with an absent stack");
    same(trap.ip, call_bad_stack + 6, "its RIP is the CALL's");
    guest_expect(do_pop_mem, (void *)HOLE, PF, PF_W, "POP to an absent page");
    guest_expect(do_xlat_bad, (void *)(NONCANONICAL), GP, 0, "XLAT at a non-canonical address");
    guest_expect(do_movaps, (void *)0x300008, GP, 0, "MOVAPS unaligned");
    guest_expect(do_movaps, (void *)(HOLE + 8), GP, 0, "#GP comes before #PF");
}

static void system_checks(void)
{
    guest_expect(do_rdmsr_bad, 0, GP, 0, "RDMSR of none");
    guest_expect(do_wrmsr_efer, 0, GP, 0, "WRMSR of reserved bits");
    guest_expect(do_cr0_bad, 0, GP, 0, "CR0.PG without PE");
    guest_expect(do_cr4_bad, 0, GP, 0, "CR4's reserved bits");
    guest_expect(do_cr4_no_pae, 0, GP, 0, "CR4.PAE off in 64-bit mode");
    guest_expect(do_cr8_bad, 0, GP, 0, "CR8 beyond 15");
    guest_expect(do_ltr_busy, (void *)SEL_TSS, GP, SEL_TSS, "LTR of a busy TSS");
    guest_expect(do_mov_ds, (void *)SEL_TSS, GP, SEL_TSS, "a TSS in DS");
    guest_expect(do_mov_ds, (void *)0x1000, GP, 0x1000, "DS beyond the GDT");
    guest_expect(do_mov_ds, (void *)0x14, GP, 0x14, "DS from an absent LDT");
    guest_expect(do_mov_ds, (void *)3, -1, 0, "null DS with RPL 3");
    guest_expect(do_mov_ss, (void *)0, -1, 0, "null SS at CPL 0");
    guest_expect(do_mov_ss, (void *)3, GP, 0, "null SS with RPL 3");
    guest_gdt[SEL_FREE / 8] = descriptor(0, 0xfffff, 0x13, 0xc0);
    guest_expect(do_mov_ds, (void *)SEL_FREE, NP, SEL_FREE, "absent data segment in DS");
    guest_expect(do_mov_ss, (void *)SEL_FREE, SS, SEL_FREE, "absent data segment in SS");
}

static void user_checks(void)
{
    pages_image(true);
    guest_expect_user(do_int3, 0, BP, 0, "user: INT3");
    guest_expect_user(do_int_14, 0, GP, 14 * 8 + 2, "user: INT of a gate with DPL 0");
    guest_expect_user(do_int_200, 0, 200, 0, "user: INT of a gate with DPL 3");
    guest_expect_user(do_hlt, 0, GP, 0, "user: HLT");
    guest_expect_user(do_cli, 0, GP, 0, "user: CLI");
    guest_expect_user(do_in_port, 0, GP, 0, "user: IN");
    guest_expect_user(do_mov_from_cr0, 0, GP, 0, "user: MOV from CR0");
    guest_expect_user(do_load, (void *)HOLE, PF, PF_U, "user: load from an absent page");
    guest_expect_user(do_store, (void *)0x1000, PF, PF_U | PF_W | PF_P,
                      "user: store to the kernel");
    guest_expect_user(do_mov_ss, (void *)SEL_DATA, GP, SEL_DATA, "user: kernel's SS");
    guest_expect_user(do_mov_ss, (void *)0, GP, 0, "user: null SS");
    guest_idt[201][0] &= ~(UINT64_C(1) << 47);
    set_gate(202, gate_entry(202), SEL_DATA, 0xee, 0);
    set_gate(203, gate_entry(203), 0, 0xee, 0);
    set_gate(204, gate_entry(204), 0x1000, 0xee, 0);
    set_gate(205, gate_entry(205), SEL_CODE, 0xe6, 0);
    set_gate(206, gate_entry(206), SEL_CODE32, 0xee, 0);
}

AT(int_201, "int $201")
AT(int_202, "int $202")
AT(int_203, "int $203")
AT(int_204, "int $204")
AT(int_205, "int $205")
AT(int_206, "int $206")
AT(int_207, "int $207")

static void gates(void)
{
    guest_expect(do_int_201, 0, NP, 201 * 8 + 2, "INT of an absent gate");
    same(trap.ip, int_201, "its RIP is the INT's");
    guest_expect(do_int_202, 0, GP, SEL_DATA, "a gate to a data segment");
    guest_expect(do_int_203, 0, GP, 0, "a gate to the null selector");
    guest_expect(do_int_204, 0, GP, 0x1000, "a gate beyond the GDT");
    guest_expect(do_int_205, 0, GP, 205 * 8 + 2, "a gate of 16 bits");
    guest_expect(do_int_206, 0, GP, SEL_CODE32, "a gate to 32-bit code");
    load_idt(207 * 16 - 1);
    guest_expect(do_int_207, 0, GP, 207 * 8 + 2, "INT beyond the IDT");
    load_idt(sizeof(guest_idt) - 1);
    set_gate(207, NONCANONICAL, SEL_CODE, 0xee, 0);
    guest_expect(do_int_207, 0, GP, 0, "a gate to a non-canonical address");
    for (unsigned vector = 201; vector < 208; vector++)
        reset_gate(vector);
}

static uint8_t ist_stack[4096] __attribute__((aligned(16)));
static word seen_sp, seen_cs;

static bool note_sp(struct trap *frame)
{
    seen_sp = (word)(&frame->ss + 1);
    seen_cs = frame->cs;
    return true;
}

static void ist(void)
{
    guest_tss.ist[2] = (word)ist_stack + 4096 - 3;
    set_gate(0x90, gate_entry(0x90), SEL_CODE, 0xee, 3);
    trap_hooks[0x90] = note_sp;
    __asm__ volatile("int $0x90");
    same(seen_sp, ist_stack + 4080, "IST, aligned to 16 bytes");
    set_gate(0x90, gate_entry(0x90), SEL_CODE, 0xee, 0);
    __asm__ volatile("int $0x90");
    guest_equal(seen_sp & 15, 0, "RSP aligned to 16 bytes before the frame is pushed");
}

/* What is on the stack of a #DF: the address of the first fault. */
static void double_faults(void)
{
    guest_tss.ist[0] = (word)ist_stack + 4096;
    set_gate(DF, gate_entry(DF), SEL_CODE, 0x8e, 1);
    guest_idt[PF][0] &= ~(UINT64_C(1) << 47);
    guest_expect(do_load, (void *)HOLE, DF, 0, "#NP delivering #PF is #DF");
    same(trap.ip, load, "#DF's RIP");
    guest_equal(trap.cr2, HOLE, "CR2 of the first fault");
    guest_idt[GP][0] &= ~(UINT64_C(1) << 47);
    guest_expect(do_load, (void *)NONCANONICAL, DF, 0, "#NP delivering #GP is #DF");
    guest_idt[UD][0] &= ~(UINT64_C(1) << 47);
    guest_expect(do_ud2, 0, NP, UD * 8 + 3, "#NP delivering #UD is #NP with EXT");
    reset_gate(GP);
    reset_gate(PF);
    reset_gate(UD);
    guest_expect(do_push_imm, (void *)(HOLE + 4), PF, PF_W, "a bad stack pointer, on its own");
    /* #GP's frame can't be pushed: #PF after #GP is delivered in its turn, on an IST. */
    set_gate(PF, gate_entry(PF), SEL_CODE, 0x8e, 1);
    set_gate(GP, gate_entry(GP), SEL_CODE, 0x8e, 2);
    guest_tss.ist[1] = HOLE + 64;
    guest_expect(do_load, (void *)NONCANONICAL, PF, PF_W, "#PF delivering #GP is #PF");
    guest_tss.ist[1] = NONCANONICAL;
    guest_expect(do_load, (void *)NONCANONICAL, DF, 0, "#SS delivering #GP is #DF");
    set_gate(PF, gate_entry(PF), SEL_CODE, 0x8e, 2);
    guest_tss.ist[1] = HOLE + 64;
    guest_expect(do_load, (void *)HOLE, DF, 0, "#PF delivering #PF is #DF");
    guest_check(trap.cr2 < HOLE + 64 && trap.cr2 >= HOLE, "CR2 of the second fault");
    reset_gate(PF);
    reset_gate(GP);
    reset_gate(DF);
}

static word frame[5];

static void iret_faults(void)
{
    word old = (word)ud2;
    frame[0] = old, frame[1] = SEL_CODE, frame[2] = 2, frame[3] = (word)ist_stack + 4000;
    frame[4] = SEL_DATA;
    guest_expect(do_iret_load, frame, UD, 0, "IRET to a #UD");
    guest_equal(trap.sp, (word)ist_stack + 4000, "RSP popped by IRET at the same level");
    frame[1] = 0;
    guest_expect(do_iret_load, frame, GP, 0, "IRET to a null CS");
    same(trap.ip, iret_load + 6, "its RIP is the IRET's");
    same(trap.sp, frame, "RSP is unchanged");
    frame[1] = SEL_DATA;
    guest_expect(do_iret_load, frame, GP, SEL_DATA, "IRET to data");
    frame[1] = SEL_CODE, frame[4] = SEL_DATA | 3;
    guest_expect(do_iret_load, frame, GP, SEL_DATA, "IRET with SS of RPL 3");
    frame[4] = 0;
    guest_expect(do_iret_load, frame, UD, 0, "IRET to a null SS at CPL 0");
    frame[1] = SEL_USER_CODE64;
    guest_expect(do_iret_load, frame, GP, 0, "IRET to a null SS at CPL 3");
    frame[4] = SEL_USER_DATA;
    guest_expect(do_iret_load, frame, UD, 0, "IRET to CPL 3");
    frame[0] = NONCANONICAL;
    guest_expect(do_iret_load, frame, GP, 0, "IRET to a non-canonical RIP");
    frame[0] = old, frame[1] = SEL_CODE, frame[4] = SEL_DATA;
    frame[2] = 2 | 0x4000 | 0x10000;
    guest_expect(do_iret_load, frame, UD, 0, "IRET that sets NT");
    guest_check(trap.flags & 0x4000, "NT was set");
    __asm__ volatile("pushf; orl $0x4000, (%rsp); popf");
    guest_expect(do_iret_load, frame, GP, 0, "IRET with NT in IA-32e mode");
    write_flags(2);
    frame[2] = 2;
    guest_expect(do_iret_load, (void *)(HOLE - 16), PF, 0, "IRET whose frame is partly absent");
    guest_equal(trap.sp, HOLE - 16, "RSP is unchanged");
}

AT(misaligned, "mov 1(%%rax), %%ecx")
AT(misaligned_push, "mov %%rsp, %%r8; sub $3, %%rsp; push %%rax; mov %%r8, %%rsp")

static uint8_t user_stack[4096] __attribute__((aligned(16)));

static void ac(void)
{
    static word aligned[4];
    write_cr0(read_cr0() | 1 << 18);
    guest_check(guest_user_try(do_misaligned, aligned, 2 | 1 << 18, user_stack + 2048) &&
                    trap.vector == AC && trap.error == 0,
                "#AC at CPL 3 with AC");
    guest_check(guest_user_try(do_misaligned_push, aligned, 2 | 1 << 18, user_stack + 2048) &&
                    trap.vector == AC,
                "#AC for PUSH");
    guest_check(!guest_user_try(do_misaligned, aligned, 2, user_stack + 2048), "not without AC");
    guest_check(!guest_try(do_misaligned, aligned), "not at CPL 0");
    write_cr0(read_cr0() & ~(1ul << 18));
}

int guest_main(void)
{
    guest_init();
    pages_init();
    page_map(HOLE - 4096, (uint64_t)page_new() | PTE_P | PTE_W);
    page_map(HOLE, 0);
    simple();
    addresses();
    system_checks();
    user_checks();
    gates();
    ist();
    double_faults();
    iret_faults();
    ac();
    return guest_done();
}
