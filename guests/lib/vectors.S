/*
 * Exception vectors (DDI 0487, "Exception vectors"): every entry saves a struct exception_frame on the stack and calls
 * exception_taken(kind, frame). Also the probe: a call that survives a synchronous exception.
 */
#include "layout.h"

        .macro  vector kind
        .balign 128
        sub     sp, sp, #FRAME_SIZE
        stp     x0, x1, [sp, #0]
        mov     x0, #\kind
        b       save_frame
        .endm

        .text
        .balign 2048
        .global vectors
vectors:
        /* Current EL with SP_EL0, current EL with SP_ELx, lower EL AArch64, AArch32: synchronous, IRQ, FIQ, SError each. */
        .set    kind, 0
        .rept   16
        vector  kind
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
        mrs     x1, elr_el1
        stp     x30, x1, [sp, #240]
        mrs     x1, spsr_el1
        mrs     x2, esr_el1
        stp     x1, x2, [sp, #256]
        mrs     x1, far_el1
        add     x2, sp, #FRAME_SIZE
        stp     x1, x2, [sp, #272]
        mov     x1, sp
        bl      exception_taken
        ldp     x30, x1, [sp, #240]
        ldr     x2, [sp, #256]
        msr     elr_el1, x1
        msr     spsr_el1, x2
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
 * bool probe_call(uint64_t (*fn)(uint64_t, uint64_t), uint64_t a, uint64_t b, uint64_t *result)
 * Calls fn(a, b). True: it returned, *result is its value. False: it took a synchronous exception, described by
 * cpu_current()->probe. What has to survive is saved on the stack; the probe holds the stack pointer while it is armed.
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
        mrs     x4, tpidr_el1
        ldr     x5, [x4, #CPU_PROBE]            // an outer probe, or 0
        stp     x3, x5, [sp, #96]
        mov     x6, sp
        str     x6, [x4, #CPU_PROBE]
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
1:      mrs     x4, tpidr_el1
        str     x5, [x4, #CPU_PROBE]
        ldp     x19, x20, [sp, #0]
        ldp     x21, x22, [sp, #16]
        ldp     x23, x24, [sp, #32]
        ldp     x25, x26, [sp, #48]
        ldp     x27, x28, [sp, #64]
        ldp     x29, x30, [sp, #80]
        add     sp, sp, #112
        ret
