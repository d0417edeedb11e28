/*
 * What the vectors of EL1 (lib) and of EL2 (el2) have in common, as assembler macros; `el` is 1 or 2. Offsets of struct
 * exception_frame are exception.h's: X0 to X30, ELR, SPSR, ESR, FAR, SP.
 */

/* X19 to X30, which the procedure call standard keeps, in the first 96 bytes at SP. */
        .macro  save_callee_saved
        stp     x19, x20, [sp, #0]
        stp     x21, x22, [sp, #16]
        stp     x23, x24, [sp, #32]
        stp     x25, x26, [sp, #48]
        stp     x27, x28, [sp, #64]
        stp     x29, x30, [sp, #80]
        .endm

        .macro  restore_callee_saved
        ldp     x19, x20, [sp, #0]
        ldp     x21, x22, [sp, #16]
        ldp     x23, x24, [sp, #32]
        ldp     x25, x26, [sp, #48]
        ldp     x27, x28, [sp, #64]
        ldp     x29, x30, [sp, #80]
        .endm

/* X2 to X29 in a frame at \base. */
        .macro  save_x2_to_x29 base
        stp     x2, x3, [\base, #16]
        stp     x4, x5, [\base, #32]
        stp     x6, x7, [\base, #48]
        stp     x8, x9, [\base, #64]
        stp     x10, x11, [\base, #80]
        stp     x12, x13, [\base, #96]
        stp     x14, x15, [\base, #112]
        stp     x16, x17, [\base, #128]
        stp     x18, x19, [\base, #144]
        stp     x20, x21, [\base, #160]
        stp     x22, x23, [\base, #176]
        stp     x24, x25, [\base, #192]
        stp     x26, x27, [\base, #208]
        stp     x28, x29, [\base, #224]
        .endm

        .macro  restore_x2_to_x29 base
        ldp     x2, x3, [\base, #16]
        ldp     x4, x5, [\base, #32]
        ldp     x6, x7, [\base, #48]
        ldp     x8, x9, [\base, #64]
        ldp     x10, x11, [\base, #80]
        ldp     x12, x13, [\base, #96]
        ldp     x14, x15, [\base, #112]
        ldp     x16, x17, [\base, #128]
        ldp     x18, x19, [\base, #144]
        ldp     x20, x21, [\base, #160]
        ldp     x22, x23, [\base, #176]
        ldp     x24, x25, [\base, #192]
        ldp     x26, x27, [\base, #208]
        ldp     x28, x29, [\base, #224]
        .endm

/* An entry of the vectors: room for the frame, X0 and X1 in it, the kind in X0. */
        .macro  vector kind
        .balign 128
        sub     sp, sp, #FRAME_SIZE
        stp     x0, x1, [sp, #0]
        mov     x0, #\kind
        b       save_frame
        .endm

/* save_frame: the rest of the frame, exception_taken(kind, frame), and back with what the frame then holds. */
        .macro  exception_frame el
save_frame:
        save_x2_to_x29 sp
        mrs     x1, elr_el\el
        stp     x30, x1, [sp, #240]
        mrs     x1, spsr_el\el
        mrs     x2, esr_el\el
        stp     x1, x2, [sp, #256]
        mrs     x1, far_el\el
        add     x2, sp, #FRAME_SIZE
        stp     x1, x2, [sp, #272]
        mov     x1, sp
        bl      exception_taken
        ldp     x30, x1, [sp, #240]
        ldr     x2, [sp, #256]
        msr     elr_el\el, x1
        msr     spsr_el\el, x2
        restore_x2_to_x29 sp
        ldp     x0, x1, [sp, #0]
        add     sp, sp, #FRAME_SIZE
        eret
        .endm

/*
 * bool probe_call(uint64_t (*fn)(uint64_t, uint64_t), uint64_t a, uint64_t b, uint64_t *result)
 * Calls fn(a, b). True: it returned, *result is its value. False: it took a synchronous exception, which the structure that
 * TPIDR_ELx points to describes. What has to survive is saved on the stack; the probe, at \offset of that structure, holds
 * the stack pointer while it is armed.
 */
        .macro  exception_probe el, offset
        .global probe_call
probe_call:
        sub     sp, sp, #112
        save_callee_saved
        mrs     x4, tpidr_el\el
        ldr     x5, [x4, #\offset]              // an outer probe, or 0
        stp     x3, x5, [sp, #96]
        mov     x6, sp
        str     x6, [x4, #\offset]
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
1:      mrs     x4, tpidr_el\el
        str     x5, [x4, #\offset]
        restore_callee_saved
        add     sp, sp, #112
        ret
        .endm
