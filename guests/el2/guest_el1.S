/*
 * The EL1 side of guest.c: vectors that count interrupts and hand everything else to EL2, and the end of a guest's function.
 * Also a piece of code for EL0.
 */
#include "layout.h"

        .arch   armv8.4-a

        .text
/* void el1_return: the guest's function has returned, X0 is its result. */
        .global el1_return
el1_return:
        hvc     #HVC_DONE
        b       .

        .macro  to_el2
        .balign 128
        mrs     x0, esr_el1
        mrs     x1, far_el1
        mrs     x2, elr_el1
        hvc     #HVC_FAULT
        b       .
        .endm

        .macro  counted handler
        .balign 128
        b       \handler
        .endm

        .balign 2048
        .global el1_vectors
el1_vectors:
        .rept   4
        to_el2
        .endr
        to_el2                                  // EL1 with SP_EL1: synchronous
        counted el1_irq
        to_el2
        counted el1_serror
        .rept   8
        to_el2
        .endr

el1_irq:
        stp     x0, x1, [sp, #-32]!
        str     x2, [sp, #16]
        adrp    x0, guest_el1
        add     x0, x0, :lo12:guest_el1
        mrs     x1, s3_0_c12_c12_0              // ICC_IAR1_EL1
        str     x1, [x0, #8]
        ldr     x2, [x0]
        add     x2, x2, #1
        str     x2, [x0]
        msr     s3_0_c12_c12_1, x1              // ICC_EOIR1_EL1
        isb
        ldr     x2, [sp, #16]
        ldp     x0, x1, [sp], #32
        eret

el1_serror:
        stp     x0, x1, [sp, #-16]!
        adrp    x0, guest_el1
        add     x0, x0, :lo12:guest_el1
        ldr     x1, [x0, #16]
        add     x1, x1, #1
        str     x1, [x0, #16]
        ldp     x0, x1, [sp], #16
        eret

/* At EL0: a store that is allowed, an SVC, a load that is not. */
        .global el0_code, el0_code_end
el0_code:
        mov     x2, #0xe10
        str     x2, [x0]
        svc     #7
        ldr     x2, [x1]
        b       .
el0_code_end:

        .bss
        .balign 16
        .global guest_el1
guest_el1:
        .skip   24
