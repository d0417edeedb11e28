/*
 * Exception vectors of EL2 (DDI 0487, "Exception vectors"). An exception from EL2 itself saves a struct exception_frame on
 * the stack and calls exception_taken(kind, frame). One from a lower EL ends guest_enter, whose result is its kind. Also the
 * probe: a call that survives a synchronous exception.
 */
#include "layout.h"

        .arch   armv8.4-a

        .macro  same_el kind
        .balign 128
        sub     sp, sp, #FRAME_SIZE
        stp     x0, x1, [sp, #0]
        mov     x0, #\kind
        b       save_frame
        .endm

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
        same_el kind
        .set    kind, kind + 1
        .endr
        /* A lower EL in AArch64 and, which there is none of, in AArch32. */
        .rept   8
        lower_el kind
        .set    kind, kind + 1
        .endr

save_frame:
        stp     x2, x3, [sp, #16]
        stp     x4, x5, [sp, #32]
        stp     x6, x7, [sp, #48]
        stp     x8, x9, [sp, #64]
        stp     x10, x11, [sp, #80]
        stp     x12, x13, [sp, #96]
        stp     x14, x15, [sp, #112]
        stp     x16, x17, [sp, #128]
        stp     x18, x19, [sp, #144]
        stp     x20, x21, [sp, #160]
        stp     x22, x23, [sp, #176]
        stp     x24, x25, [sp, #192]
        stp     x26, x27, [sp, #208]
        stp     x28, x29, [sp, #224]
        mrs     x1, elr_el2
        stp     x30, x1, [sp, #240]
        mrs     x1, spsr_el2
        mrs     x2, esr_el2
        stp     x1, x2, [sp, #256]
        mrs     x1, far_el2
        add     x2, sp, #FRAME_SIZE
        stp     x1, x2, [sp, #272]
        mov     x1, sp
        bl      exception_taken
        ldp     x30, x1, [sp, #240]
        ldr     x2, [sp, #256]
        msr     elr_el2, x1
        msr     spsr_el2, x2
        ldp     x2, x3, [sp, #16]
        ldp     x4, x5, [sp, #32]
        ldp     x6, x7, [sp, #48]
        ldp     x8, x9, [sp, #64]
        ldp     x10, x11, [sp, #80]
        ldp     x12, x13, [sp, #96]
        ldp     x14, x15, [sp, #112]
        ldp     x16, x17, [sp, #128]
        ldp     x18, x19, [sp, #144]
        ldp     x20, x21, [sp, #160]
        ldp     x22, x23, [sp, #176]
        ldp     x24, x25, [sp, #192]
        ldp     x26, x27, [sp, #208]
        ldp     x28, x29, [sp, #224]
        ldp     x0, x1, [sp, #0]
        add     sp, sp, #FRAME_SIZE
        eret

/*
 * uint64_t guest_enter(struct guest *): runs at a lower EL with the guest's registers until an exception to EL2, and returns
 * the vector's number, 8 to 11. Registers that the procedure call standard keeps are on the stack meanwhile.
 */
        .global guest_enter
guest_enter:
        sub     sp, sp, #96
        stp     x19, x20, [sp, #0]
        stp     x21, x22, [sp, #16]
        stp     x23, x24, [sp, #32]
        stp     x25, x26, [sp, #48]
        stp     x27, x28, [sp, #64]
        stp     x29, x30, [sp, #80]
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
        ldp     x2, x3, [x30, #16]
        ldp     x4, x5, [x30, #32]
        ldp     x6, x7, [x30, #48]
        ldp     x8, x9, [x30, #64]
        ldp     x10, x11, [x30, #80]
        ldp     x12, x13, [x30, #96]
        ldp     x14, x15, [x30, #112]
        ldp     x16, x17, [x30, #128]
        ldp     x18, x19, [x30, #144]
        ldp     x20, x21, [x30, #160]
        ldp     x22, x23, [x30, #176]
        ldp     x24, x25, [x30, #192]
        ldp     x26, x27, [x30, #208]
        ldp     x28, x29, [x30, #224]
        ldr     x30, [x30, #240]
        eret

leave_guest:
        mrs     x0, tpidr_el2
        ldr     x0, [x0, #PE_GUEST]
        stp     x2, x3, [x0, #16]
        stp     x4, x5, [x0, #32]
        stp     x6, x7, [x0, #48]
        stp     x8, x9, [x0, #64]
        stp     x10, x11, [x0, #80]
        stp     x12, x13, [x0, #96]
        stp     x14, x15, [x0, #112]
        stp     x16, x17, [x0, #128]
        stp     x18, x19, [x0, #144]
        stp     x20, x21, [x0, #160]
        stp     x22, x23, [x0, #176]
        stp     x24, x25, [x0, #192]
        stp     x26, x27, [x0, #208]
        stp     x28, x29, [x0, #224]
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
        ldp     x19, x20, [sp, #0]
        ldp     x21, x22, [sp, #16]
        ldp     x23, x24, [sp, #32]
        ldp     x25, x26, [sp, #48]
        ldp     x27, x28, [sp, #64]
        ldp     x29, x30, [sp, #80]
        add     sp, sp, #96
        ret

/*
 * bool probe_call(uint64_t (*fn)(uint64_t, uint64_t), uint64_t a, uint64_t b, uint64_t *result)
 * Calls fn(a, b). True: it returned, *result is its value. False: it took a synchronous exception, described by
 * pe_current()->fault. What has to survive is saved on the stack; the probe holds the stack pointer while it is armed.
 */
        .global probe_call
probe_call:
        sub     sp, sp, #112
        stp     x19, x20, [sp, #0]
        stp     x21, x22, [sp, #16]
        stp     x23, x24, [sp, #32]
        stp     x25, x26, [sp, #48]
        stp     x27, x28, [sp, #64]
        stp     x29, x30, [sp, #80]
        mrs     x4, tpidr_el2
        ldr     x5, [x4, #PE_PROBE]             // an outer probe, or 0
        stp     x3, x5, [sp, #96]
        mov     x6, sp
        str     x6, [x4, #PE_PROBE]
        mov     x7, x0
        mov     x0, x1
        mov     x1, x2
        blr     x7
        ldp     x3, x5, [sp, #96]
        str     x0, [x3]
        mov     x0, #1
        b       1f

/* The exception handler returns here with the stack pointer of the armed probe in X0. */
        .global probe_landing
probe_landing:
        mov     sp, x0
        ldp     x3, x5, [sp, #96]
        mov     x0, #0
1:      mrs     x4, tpidr_el2
        str     x5, [x4, #PE_PROBE]
        ldp     x19, x20, [sp, #0]
        ldp     x21, x22, [sp, #16]
        ldp     x23, x24, [sp, #32]
        ldp     x25, x26, [sp, #48]
        ldp     x27, x28, [sp, #64]
        ldp     x29, x30, [sp, #80]
        add     sp, sp, #112
        ret
