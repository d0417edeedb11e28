/* PSCI CPU_SUSPEND with loss of context (DEN0022, "CPU_SUSPEND"): the PE comes back at resume_entry with its MMU off. */
#include "layout.h"
#include "../lib/frames.h"

        .arch   armv8.4-a
        .text

/* bool suspend_powerdown(uint64_t power_state): false when the call returned instead, which it must not. */
        .global suspend_powerdown
suspend_powerdown:
        sub     sp, sp, #96
        save_callee_saved
        mov     x1, sp
        adrp    x2, suspended_sp
        add     x2, x2, :lo12:suspended_sp
        str     x1, [x2]
        mov     x19, x0
        mov     x0, x2
        add     x1, x2, #8
        bl      dcache_clean_invalidate
        mov     x1, x19
        movz    x0, #0x0001
        movk    x0, #0xc400, lsl #16            // CPU_SUSPEND
        adrp    x2, resume_entry
        add     x2, x2, :lo12:resume_entry
        mov     x3, #0xc0de
        smc     #0
        mov     x0, #0
        b       1f

        .global resume_entry
resume_entry:
        msr     daifset, #0xf
        adrp    x1, resumed_with
        str     x0, [x1, :lo12:resumed_with]
        adrp    x1, pes                         // PE 0 alone suspends itself
        add     x1, x1, :lo12:pes
        msr     tpidr_el2, x1
        adrp    x1, vectors
        add     x1, x1, :lo12:vectors
        msr     vbar_el2, x1
        adrp    x1, suspended_sp
        ldr     x1, [x1, :lo12:suspended_sp]
        mov     sp, x1
        adrp    x0, host_regime
        add     x0, x0, :lo12:host_regime
        bl      regime_enter
        mov     x0, #1
1:      restore_callee_saved
        add     sp, sp, #96
        ret

        .bss
        .balign 64
suspended_sp:
        .skip   64
