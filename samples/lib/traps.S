/*
 * Entry points of the 32 exceptions and of Xen's event upcall. Each leaves a struct trap_frame (runtime.h) and a frame
 * pointer record on the stack, so that a back-trace goes from the handler into the interrupted function.
 */
        .cfi_sections .debug_frame
        .text

/* Slots of 16 bytes: traps.c computes their addresses. */
        .balign 16
        .globl trap_stubs
        .type trap_stubs, @function
trap_stubs:
        .set vector, 0
        .rept 33
        .balign 16
        .cfi_startproc simple
        .cfi_signal_frame
        .if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
        .cfi_def_cfa rsp, 48
        .else
        .cfi_def_cfa rsp, 40
        .endif
        .cfi_offset rip, -40
        .cfi_offset rsp, -16
        .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
        pushq $0
        .cfi_adjust_cfa_offset 8
        .endif
        pushq $vector
        .cfi_adjust_cfa_offset 8
        jmp trap_entry
        .cfi_endproc
        .set vector, vector + 1
        .endr
        .size trap_stubs, . - trap_stubs

        .macro save register
        pushq %\register
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset \register, 0
        .endm
        .macro restore register
        popq %\register
        .cfi_adjust_cfa_offset -8
        .cfi_restore \register
        .endm

        .type trap_entry, @function
trap_entry:
        .cfi_startproc simple
        .cfi_signal_frame
        .cfi_def_cfa rsp, 56
        .cfi_offset rip, -40
        .cfi_offset rsp, -16
        cld
        save rdi
        save rsi
        save rdx
        save rcx
        save rax
        save r8
        save r9
        save r10
        save r11
        save rbx
        save rbp
        save r12
        save r13
        save r14
        save r15
        movq %rsp, %rdi
        pushq 17 * 8(%rdi) /* rip of the interrupted code as return address of a frame record */
        pushq %rbp
        movq %rsp, %rbp
        .cfi_def_cfa rbp, 192
        andq $-16, %rsp
        call trap
        leaq 16(%rbp), %rsp
        .cfi_def_cfa rsp, 176
        restore r15
        restore r14
        restore r13
        restore r12
        restore rbp
        restore rbx
        restore r11
        restore r10
        restore r9
        restore r8
        restore rax
        restore rcx
        restore rdx
        restore rsi
        restore rdi
        addq $16, %rsp
        .cfi_adjust_cfa_offset -16
        iretq
        .cfi_endproc
        .size trap_entry, . - trap_entry

        .section .note.GNU-stack, "", @progbits
