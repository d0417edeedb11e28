/*
 * A kernel's way in and out as it usually is: all general registers and the exception's are saved in a frame and restored.
 * The frame is struct exception_frame (lib/exception.h); SP_EL0 takes the place of its SP.
 */
#include "lib/layout.h"
#include "lib/frames.h"

        .text
        .balign 2048
        .global svc_vectors
svc_vectors:
        .set    entry, 0
        .rept   16
        .balign 128
        .if     entry == 8                      // lower EL, AArch64, synchronous
        sub     sp, sp, #FRAME_SIZE
        stp     x0, x1, [sp, #0]
        b       svc_entry
        .else
        b       svc_unexpected
        .endif
        .set    entry, entry + 1
        .endr

svc_unexpected:
        mrs     x0, esr_el1
        mrs     x1, elr_el1
        b       svc_fatal

svc_entry:
        save_x2_to_x29 sp
        mrs     x21, sp_el0
        mrs     x22, elr_el1
        mrs     x23, spsr_el1
        stp     x30, x22, [sp, #240]
        str     x23, [sp, #256]
        str     x21, [sp, #280]
        mrs     x24, esr_el1
        lsr     x25, x24, #26
        cmp     x25, #0x15                      // EC: SVC of AArch64
        b.ne    svc_unexpected
        mov     x0, sp
        bl      svc_handle                      // nonzero: the end
        cbnz    x0, svc_leave
        ldp     x30, x22, [sp, #240]
        ldr     x23, [sp, #256]
        ldr     x21, [sp, #280]
        msr     sp_el0, x21
        msr     elr_el1, x22
        msr     spsr_el1, x23
        restore_x2_to_x29 sp
        ldp     x0, x1, [sp, #0]
        add     sp, sp, #FRAME_SIZE
        eret

/* void svc_enter(uint64_t entry, uint64_t count): EL0 at `entry` with X0 = count; returns when svc_handle says so. */
        .global svc_enter
svc_enter:
        sub     sp, sp, #112
        save_callee_saved
        mrs     x9, vbar_el1
        str     x9, [sp, #96]
        adrp    x9, svc_vectors
        add     x9, x9, :lo12:svc_vectors
        msr     vbar_el1, x9
        msr     elr_el1, x0
        mov     x9, #0x3c0                      // EL0t, DAIF masked
        msr     spsr_el1, x9
        mov     x0, x1
        isb
        eret

svc_leave:
        add     sp, sp, #FRAME_SIZE
        ldr     x9, [sp, #96]
        msr     vbar_el1, x9
        isb
        restore_callee_saved
        add     sp, sp, #112
        ret

/* What runs at EL0, copied to a page of its own: calls 0 with X0 = what is left, then call 1. */
        .global svc_program, svc_program_end
        .balign 16
svc_program:
        mov     x19, x0
        mov     x20, #0
1:      mov     x0, x19
        mov     x8, #0
        svc     #0
        add     x20, x20, x0
        eor     x20, x20, x20, ror #7
        subs    x19, x19, #1
        b.ne    1b
        mov     x0, x20
        mov     x8, #1
        svc     #0
        b       .
svc_program_end:
