/* SPDX-License-Identifier: MIT */
/*
 * Where a 32-bit guest test begins, and stays: in protected mode without paging. The PVH entry has
 * left flat segments; guest_main is called with the address of the start information.
 */
    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18                      /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long start

    .text
    .code32
    .globl start
start:
    cld
    movl $stack_top, %esp
    movl %cr0, %eax
    andl $~0xc, %eax                    /* not EM, TS */
    orl $0x10022, %eax                  /* WP, NE, MP */
    movl %eax, %cr0
    lgdt gdt_pointer
    ljmp $8, $1f
1:  movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    pushl %ebx
    call guest_main
    movw $0xf4, %dx
    outb %al, %dx
2:  cli
    hlt
    jmp 2b

    .data
    .balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff            /* 8: code */
    .quad 0x00cf93000000ffff            /* 16: data */
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long gdt

    .bss
    .balign 16
    .skip 65536
stack_top:

    .section .note.GNU-stack, "", @progbits
