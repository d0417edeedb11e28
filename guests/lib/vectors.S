/*
 * Exception vectors (DDI 0487, "Exception vectors"): every entry saves a struct exception_frame on the stack and calls
 * exception_taken(kind, frame). Also the probe: a call that survives a synchronous exception.
 */
#include "layout.h"
#include "frames.h"

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

        exception_frame 1

        exception_probe 1, CPU_PROBE
