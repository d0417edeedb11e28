/*
 * Exception vectors of EL2 (DDI 0487, "Exception vectors"). An exception from EL2 itself saves a struct exception_frame on
 * the stack and calls exception_taken(kind, frame). One from a lower EL ends guest_enter, whose result is its kind. Also the
 * probe: a call that survives a synchronous exception.
 */
#include "layout.h"
#include "../lib/frames.h"

        .arch   armv8.4-a

        .macro  lower_el kind
        .balign 128
        stp     x0, x1, [sp, #-16]!
        mov     x1, #\kind
        b       leave_guest
        .endm

        .text
        .balign 2048
        .global vectors
vectors:
        /* SP_EL0, SP_ELx: synchronous, IRQ, FIQ, SError each. */
        .set    kind, 0
        .rept   8
        vector  kind
        .set    kind, kind + 1
        .endr
        /* A lower EL in AArch64 and, which there is none of, in AArch32. */
        .rept   8
        lower_el kind
        .set    kind, kind + 1
        .endr

        exception_frame 2

/*
 * uint64_t guest_enter(struct guest *): runs at a lower EL with the guest's registers until an exception to EL2, and returns
 * the vector's number, 8 to 11. Registers that the procedure call standard keeps are on the stack meanwhile.
 */
        .global guest_enter
guest_enter:
        sub     sp, sp, #96
        save_callee_saved
        mrs     x1, tpidr_el2
        str     x0, [x1, #PE_GUEST]
        mov     x2, sp
        str     x2, [x1, #PE_HOST_SP]
        ldr     x1, [x0, #GUEST_ELR]
        ldr     x2, [x0, #GUEST_SPSR]
        msr     elr_el2, x1
        msr     spsr_el2, x2
        mov     x30, x0
        ldp     x0, x1, [x30, #0]
        restore_x2_to_x29 x30
        ldr     x30, [x30, #240]
        eret

leave_guest:
        mrs     x0, tpidr_el2
        ldr     x0, [x0, #PE_GUEST]
        save_x2_to_x29 x0
        str     x30, [x0, #240]
        ldp     x2, x3, [sp], #16               // X0 and X1 of the guest
        stp     x2, x3, [x0, #0]
        mrs     x2, elr_el2
        mrs     x3, spsr_el2
        str     x2, [x0, #GUEST_ELR]
        str     x3, [x0, #GUEST_SPSR]
        mrs     x2, esr_el2
        mrs     x3, far_el2
        str     x2, [x0, #GUEST_ESR]
        str     x3, [x0, #GUEST_FAR]
        mrs     x2, hpfar_el2
        str     x2, [x0, #GUEST_HPFAR]
        mov     x0, x1
        mrs     x1, tpidr_el2
        ldr     x2, [x1, #PE_HOST_SP]
        mov     sp, x2
        restore_callee_saved
        add     sp, sp, #96
        ret

        exception_probe 2, PE_PROBE
