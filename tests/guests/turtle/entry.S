/* SPDX-License-Identifier: MIT */
/* Where turtle begins at each level, and its transitions. */
    .text
/* Level 1: what start.S calls, with the start information. */
    .globl guest_main
guest_main:
    jmp turtle_main

/* All others: in 64-bit mode with the tables that start.S made, as level 1 is. */
    .globl level_entry
level_entry:
    movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl $level_stack_top, %esp
    call level_main
1:  hlt
    jmp 1b

/*
 * unsigned vm_run(struct regs *regs, bool launch): to the guest of the current VMCS and back. 0: a VM
 * exit; VM_FAIL_INVALID, VM_FAIL_VALID: no entry was made.
 */
    .globl vm_run
vm_run:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, saved_sp
    mov %rdi, saved_regs
    testl %esi, %esi
    mov 0x00(%rdi), %rax
    mov 0x08(%rdi), %rcx
    mov 0x10(%rdi), %rdx
    mov 0x18(%rdi), %rbx
    mov 0x28(%rdi), %rbp
    mov 0x30(%rdi), %rsi
    mov 0x40(%rdi), %r8
    mov 0x48(%rdi), %r9
    mov 0x50(%rdi), %r10
    mov 0x58(%rdi), %r11
    mov 0x60(%rdi), %r12
    mov 0x68(%rdi), %r13
    mov 0x70(%rdi), %r14
    mov 0x78(%rdi), %r15
    mov 0x38(%rdi), %rdi
    jz 1f
    vmlaunch
    jmp 2f
1:  vmresume
2:  movl $1, %eax
    jc 3f
    movl $2, %eax
    jmp 3f

/* The host's RIP of each VMCS, its RSP being exit_stack_top. */
    .globl vm_exited
vm_exited:
    push %rdi
    mov saved_regs, %rdi
    mov %rax, 0x00(%rdi)
    mov %rcx, 0x08(%rdi)
    mov %rdx, 0x10(%rdi)
    mov %rbx, 0x18(%rdi)
    mov %rbp, 0x28(%rdi)
    mov %rsi, 0x30(%rdi)
    pop %rax
    mov %rax, 0x38(%rdi)
    mov %r8, 0x40(%rdi)
    mov %r9, 0x48(%rdi)
    mov %r10, 0x50(%rdi)
    mov %r11, 0x58(%rdi)
    mov %r12, 0x60(%rdi)
    mov %r13, 0x68(%rdi)
    mov %r14, 0x70(%rdi)
    mov %r15, 0x78(%rdi)
    xorl %eax, %eax
3:  mov saved_sp, %rsp
    cld
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret

    .bss
    .balign 16
saved_sp:
    .skip 8
saved_regs:
    .skip 8
    .skip 64
    .globl exit_stack_top
exit_stack_top:
    .skip 32768
    .globl level_stack_top
level_stack_top:

    .section .note.GNU-stack, "", @progbits
