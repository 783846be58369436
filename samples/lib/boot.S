/*
 * From the PVH entry point (32 bits, no paging) to start() in 64-bit mode, and from a start-up IPI (16 bits) to
 * start_secondary(). The way from 32 to 64 bits is one piece of code for both.
 */
#include "layout.h"

#define PHYSICAL(symbol) ((symbol) - KERNEL_BASE)

#define PTE_P 0x001
#define PTE_RW 0x002
#define PTE_PS 0x080
#define CR0_PE 0x00000001
#define CR0_BOOT 0x80010033 /* PG WP NE ET MP PE */
#define CR4_BOOT 0x000000a0 /* PGE PAE */
#define MSR_EFER 0xc0000080
#define EFER_BOOT 0x00000900 /* NXE LME */

        .cfi_sections .debug_frame

        .section .note.Xen, "a", @note
        .balign 4
        .long 4
        .long 8
        .long 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
        .asciz "Xen"
        .quad PHYSICAL(start32)

        .text
        .code32
        .globl start32
        .type start32, @function
start32:
        cld
        lgdtl PHYSICAL(boot_gdt_descriptor)
        movl $KERNEL_DS, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        movl %ebx, %ebp /* hvm_start_info; 0 tells a secondary vCPU */

        /* Level 4: entry 0 only in the boot tables, so that address 0 is not mapped later on. */
        movl $PHYSICAL(low_pdpt) + PTE_P + PTE_RW, %eax
        movl %eax, PHYSICAL(boot_pml4)
        movl %eax, PHYSICAL(boot_pml4) + ((DIRECT_MAP >> 39) & 511) * 8
        movl %eax, PHYSICAL(kernel_pml4) + ((DIRECT_MAP >> 39) & 511) * 8
        movl $PHYSICAL(high_pdpt) + PTE_P + PTE_RW, %eax
        movl %eax, PHYSICAL(boot_pml4) + 511 * 8
        movl %eax, PHYSICAL(kernel_pml4) + 511 * 8
        movl $PHYSICAL(direct_pd) + PTE_P + PTE_RW, PHYSICAL(low_pdpt)
        movl $PHYSICAL(high_pd) + PTE_P + PTE_RW, PHYSICAL(high_pdpt) + 510 * 8
        movl $PHYSICAL(image_pt) + PTE_P + PTE_RW, PHYSICAL(high_pd)
        movl $PHYSICAL(fixmap_pt) + PTE_P + PTE_RW, PHYSICAL(high_pd) + 8

        xorl %ecx, %ecx
1:      movl %ecx, %eax
        shll $21, %eax
        orl $PTE_P + PTE_RW + PTE_PS, %eax
        movl %eax, PHYSICAL(direct_pd)(, %ecx, 8)
        movl %ecx, %eax
        shll $12, %eax
        orl $PTE_P + PTE_RW, %eax
        movl %eax, PHYSICAL(image_pt)(, %ecx, 8)
        incl %ecx
        cmpl $512, %ecx
        jne 1b
        .size start32, . - start32

        .globl enter_long_mode
        .type enter_long_mode, @function
enter_long_mode:
        movl $CR4_BOOT, %eax
        movl %eax, %cr4
        movl $PHYSICAL(boot_pml4), %eax
        movl %eax, %cr3
        movl $MSR_EFER, %ecx
        rdmsr
        orl $EFER_BOOT, %eax
        wrmsr
        movl $CR0_BOOT, %eax
        movl %eax, %cr0
        ljmpl $KERNEL_CS, $PHYSICAL(start64_low)

        .code64
start64_low:
        movabsq $start64, %rax
        jmpq *%rax
        .size enter_long_mode, . - enter_long_mode

        .globl start64
        .type start64, @function
start64:
        .cfi_startproc
        .cfi_undefined rip
        testl %ebp, %ebp
        jz 1f
        leaq stacks + PAGE_SIZE + STACK_SIZE(%rip), %rsp
        movl %ebp, %edi
        xorl %ebp, %ebp
        call start
        ud2
1:      movl $1, %edi
        lock xaddl %edi, vcpus_started(%rip)
        cmpl $MAX_VCPUS, %edi
        jae 2f
        imull $PAGE_SIZE + STACK_SIZE, %edi, %eax
        leaq stacks + PAGE_SIZE + STACK_SIZE(%rip), %rsp
        addq %rax, %rsp
        call start_secondary
        ud2
2:      cli
        hlt
        jmp 2b
        .cfi_endproc
        .size start64, . - start64

/* Copied to TRAMPOLINE. Real mode: cs = TRAMPOLINE >> 4. */
        .code16
        .globl trampoline, trampoline_end
        .type trampoline, @function
trampoline:
        cli
        cld
        movw %cs, %ax
        movw %ax, %ds
        lgdtl trampoline_gdt_descriptor - trampoline
        movl %cr0, %eax
        orl $CR0_PE, %eax
        movl %eax, %cr0
        ljmpl $KERNEL32_CS, $TRAMPOLINE + (trampoline32 - trampoline)

        .code32
trampoline32:
        movl $KERNEL_DS, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        xorl %ebp, %ebp
        movl $PHYSICAL(enter_long_mode), %eax
        jmp *%eax

        .balign 4
trampoline_gdt_descriptor:
        .word boot_gdt_end - boot_gdt - 1
        .long PHYSICAL(boot_gdt)
trampoline_end:
        .size trampoline, . - trampoline

        .section .rodata
        .balign 8
boot_gdt:
        .quad 0
        .quad 0x00cf9b000000ffff /* KERNEL32_CS */
        .quad 0x00af9b000000ffff /* KERNEL_CS */
        .quad 0x00cf93000000ffff /* KERNEL_DS */
boot_gdt_end:
boot_gdt_descriptor:
        .word boot_gdt_end - boot_gdt - 1
        .long PHYSICAL(boot_gdt)

        .section .bss.page_aligned, "aw", @nobits
        .balign PAGE_SIZE
        .macro page name
        .globl \name
        .type \name, @object
\name:  .skip PAGE_SIZE
        .size \name, PAGE_SIZE
        .endm
        page boot_pml4
        page kernel_pml4
        page low_pdpt
        page direct_pd
        page high_pdpt
        page high_pd
        page image_pt
        page fixmap_pt

        .section .note.GNU-stack, "", @progbits
