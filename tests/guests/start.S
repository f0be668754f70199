/* SPDX-License-Identifier: MIT */
/*
 * Where a guest test begins: the PVH entry, in 32-bit protected mode without paging. Maps the first
 * 4 GiB one to one with 2 MiB pages, goes to 64-bit mode and calls guest_main with the address of
 * the PVH start information. What guest_main returns goes to the debug-exit port.
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
    movl %ebx, %esi

    /* Four page directories of 512 pages of 2 MiB each. */
    movl $page_directories, %edi
    movl $0x83, %eax
1:  movl %eax, (%edi)
    movl $0, 4(%edi)
    addl $8, %edi
    addl $0x200000, %eax
    jnc 1b
    movl $page_directories + 3, %eax
    movl $page_pointers, %edi
    movl $4, %ecx
2:  movl %eax, (%edi)
    addl $0x1000, %eax
    addl $8, %edi
    loop 2b
    movl $page_pointers + 3, page_map

    movl $page_map, %eax
    movl %eax, %cr3
    movl %cr4, %eax
    orl $0x620, %eax                    /* PAE, OSFXSR, OSXMMEXCPT */
    movl %eax, %cr4
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x901, %eax                    /* SCE, LME, NXE */
    wrmsr
    movl %cr0, %eax
    andl $~0xc, %eax                    /* not EM, TS */
    orl $0x80010022, %eax               /* PG, WP, NE, MP */
    movl %eax, %cr0
    lgdt gdt_pointer
    ljmp $8, $start64

    .code64
start64:
    movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    movl %esi, %edi
    call guest_main
    movw $0xf4, %dx
    outb %al, %dx
3:  cli
    hlt
    jmp 3b

    .data
    .balign 8
gdt:
    .quad 0
    .quad 0x00af9b000000ffff            /* 8: 64-bit code */
    .quad 0x00cf93000000ffff            /* 16: data */
    .quad 0x00cf9b000000ffff            /* 24: 32-bit code */
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .quad gdt

    .bss
    .balign 4096
page_map:
    .skip 4096
page_pointers:
    .skip 4096
page_directories:
    .skip 4 * 4096
    .skip 65536
stack_top:

    .section .note.GNU-stack, "", @progbits
