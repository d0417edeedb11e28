/*
 * A realm's program (EL1, stage 1 off): entry, vectors, and calls. X0 at the entry is the context of PSCI CPU_ON; the first
 * REC is entered with 0. All of it is position independent and lies in one run of pages.
 */
        .arch   armv8.4-a

        .section .realm.head, "ax"
        .global realm_start
realm_start:
        b       1f
        .balign 64
1:      mrs     x1, mpidr_el1
        and     x1, x1, #3
        adrp    x2, realm_stacks
        add     x2, x2, :lo12:realm_stacks
        add     x1, x1, #1
        add     x2, x2, x1, lsl #11             // 2 KiB each
        mov     sp, x2
        adrp    x2, realm_vectors
        add     x2, x2, :lo12:realm_vectors
        msr     vbar_el1, x2
        isb
        bl      realm_main
        b       .

        .macro  vector handler
        .balign 128
        b       \handler
        .endm

        .text
        .balign 2048
realm_vectors:
        .rept   4
        vector  .
        .endr
        vector  realm_sync
        vector  realm_irq
        vector  .
        vector  .
        .rept   8
        vector  .
        .endr

/* Keeps ESR and FAR for the command's result; goes on behind the instruction, or at the caller of what could not be fetched. */
realm_sync:
        stp     x0, x1, [sp, #-32]!
        str     x2, [sp, #16]
        adrp    x0, realm_fault
        add     x0, x0, :lo12:realm_fault
        mrs     x1, esr_el1
        mrs     x2, far_el1
        stp     x1, x2, [x0]
        lsr     x1, x1, #26
        mrs     x2, elr_el1
        add     x2, x2, #4
        cmp     x1, #0x21                       // an instruction abort
        csel    x2, x30, x2, eq
        msr     elr_el1, x2
        ldr     x2, [sp, #16]
        ldp     x0, x1, [sp], #32
        eret

realm_irq:
        stp     x0, x1, [sp, #-32]!
        str     x2, [sp, #16]
        adrp    x0, realm_irqs
        add     x0, x0, :lo12:realm_irqs
        mrs     x1, s3_0_c12_c12_0              // ICC_IAR1_EL1
        str     x1, [x0, #8]
        msr     cntv_ctl_el0, xzr
        isb
        ldr     x2, [x0]
        add     x2, x2, #1
        str     x2, [x0]
        msr     s3_0_c12_c12_1, x1              // ICC_EOIR1_EL1
        isb
        ldr     x2, [sp, #16]
        ldp     x0, x1, [sp], #32
        eret

/* uint64_t realm_smc(uint64_t x[4]): an SMC with X0 to X3, which are written back; X0. */
        .global realm_smc
realm_smc:
        stp     x29, x30, [sp, #-32]!
        str     x0, [sp, #16]
        ldp     x2, x3, [x0, #16]
        ldp     x0, x1, [x0]
        smc     #0
        ldr     x9, [sp, #16]
        stp     x0, x1, [x9]
        stp     x2, x3, [x9, #16]
        ldp     x29, x30, [sp], #32
        ret

/* void realm_hvc(void): an RMM may give the address behind the HVC as that of the exception, which then goes on one further. */
        .global realm_hvc
realm_hvc:
        hvc     #0
        nop
        ret

/* void realm_call(uint64_t address): of what may not be there. */

        .global realm_call
realm_call:
        stp     x29, x30, [sp, #-16]!
        blr     x0
        ldp     x29, x30, [sp], #16
        ret

        .bss
        .balign 16
        .global realm_fault, realm_irqs
        .hidden realm_fault, realm_irqs
realm_fault:                                    // ESR, FAR
        .skip   16
realm_irqs:                                     // how many, the last INTID
        .skip   16
realm_stacks:
        .skip   4 * 2048
