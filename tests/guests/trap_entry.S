/* SPDX-License-Identifier: MIT */
/*
 * Entries of the 256 vectors, and the ways into and out of code that may trap (trap.h). A frame is
 * struct trap, its lowest field pushed last.
 */
    .text

    .macro STUBS
    .set vector, 0
    .rept 256
    .balign 16
    .if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
    .else
    push $0
    .endif
    push $vector
    jmp trap_common
    .set vector, vector + 1
    .endr
    .endm

    .globl trap_stubs, try_enter, user_enter, trap_unwind

#ifdef __x86_64__

    .balign 16
trap_stubs:
    STUBS

trap_common:
    push %rax
    push %rcx
    push %rdx
    push %rbx
    push %rbp
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    cld
    mov %rsp, %rdi
    mov %rsp, %rbp
    and $-16, %rsp
    call trap_entry
    mov %rbp, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rbp
    pop %rbx
    pop %rdx
    pop %rcx
    pop %rax
    add $16, %rsp
    iretq

    .macro TRY_BEGIN
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    pushf
    push try_sp
    mov %rsp, try_sp
    .endm

    /* bool try_enter(void (*code)(void *), void *argument) */
try_enter:
    TRY_BEGIN
    mov %rdi, %rax
    mov %rsi, %rdi
    sub $8, %rsp
    call *%rax
    mov try_sp, %rsp
    xor %eax, %eax
try_out:
    pop try_sp
    popf
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

    /* void trap_unwind(bool trapped): out of the latest try_enter or user_enter. */
trap_unwind:
    mov try_sp, %rsp
    mov %edi, %eax
    mov $0x10, %ecx
    mov %ecx, %ds
    mov %ecx, %es
    mov %ecx, %ss
    jmp try_out

    /* bool user_enter(code, argument, flags, stack) */
user_enter:
    TRY_BEGIN
    mov %rsp, guest_tss + 4
    push $0x2b
    push %rcx
    push %rdx
    push $0x33
    lea 1f(%rip), %rax
    push %rax
    mov %rdi, %rax
    mov %rsi, %rdi
    iretq
1:  call *%rax
    int $0x80

    .data
    .balign 8
try_sp:
    .quad 0

#else

    .code32
    .balign 16
trap_stubs:
    STUBS

trap_common:
    pusha
    push %ds
    push %es
    push %fs
    push %gs
    cld
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %ss, %ecx
    cmp %ecx, %eax
    jne foreign_stack
    mov %esp, %ebp
    push %ebp
    call trap_entry
    mov %ebp, %esp
    pop %gs
    pop %fs
    pop %es
    pop %ds
    popa
    add $8, %esp
    iret

    /* A trap on some other stack at CPL 0: its frame is copied, it never returns there. */
foreign_stack:
    mov %esp, %esi
    lar %ecx, %edx
    test $0x400000, %edx
    jnz 1f
    movzwl %si, %esi
1:  mov $trap_foreign_frame, %edi
    mov $19, %ecx
2:  mov %ss:(%esi), %edx
    mov %edx, (%edi)
    add $4, %esi
    add $4, %edi
    loop 2b
    mov %eax, %ss
    mov $foreign_top, %esp
    push $trap_foreign_frame
    call trap_entry
    ud2

    .macro TRY_BEGIN
    push %ebx
    push %ebp
    push %esi
    push %edi
    pushf
    push try_sp
    mov %esp, try_sp
    .endm

try_enter:
    mov 4(%esp), %eax
    mov 8(%esp), %ecx
    TRY_BEGIN
    push %ecx
    call *%eax
    mov try_sp, %esp
    xor %eax, %eax
try_out:
    pop try_sp
    popf
    pop %edi
    pop %esi
    pop %ebp
    pop %ebx
    ret

trap_unwind:
    mov 4(%esp), %eax
    mov $0x10, %ecx
    mov %ecx, %ds
    mov %ecx, %es
    mov %ecx, %ss
    mov try_sp, %esp
    jmp try_out

user_enter:
    mov 4(%esp), %eax
    mov 8(%esp), %edx
    mov 12(%esp), %ecx
    TRY_BEGIN
    mov 40(%esp), %edi
    mov %esp, guest_tss + 4
    sub $4, %edi
    mov %edx, (%edi)
    push $0x2b
    push %edi
    push %ecx
    push $0x23
    push $1f
    mov $0x2b, %ecx
    mov %ecx, %ds
    mov %ecx, %es
    iret
1:  call *%eax
    int $0x80

    .data
    .balign 4
try_sp:
    .long 0
    .bss
    .skip 4096
foreign_top:

#endif

    .section .note.GNU-stack, "", @progbits
