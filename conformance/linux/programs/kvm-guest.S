// A guest for kvm.c: says what it finds by stores to a device that is not there, at X9. An exception that it does not
// expect is told, too, and is its end.
        .globl  guest_start, guest_end
        .balign 4096
guest_start:
        adr     x0, vectors
        msr     vbar_el1, x0
        movz    x9, #0x0900, lsl #16
        mov     x1, #0
        mov     x2, #1000
sum:    add     x1, x1, x2
        subs    x2, x2, #1
        b.ne    sum
        str     x1, [x9]                // 500500

        ldr     x3, [x9, #0x08]         // loads of several forms
        str     x3, [x9, #0x10]
        ldrsb   x4, [x9, #0x18]
        str     x4, [x9, #0x20]
        mrs     x5, mpidr_el1
        str     x5, [x9, #0x28]
        movz    w0, #0x8400, lsl #16    // PSCI_VERSION
        hvc     #0
        str     x0, [x9, #0x30]

        // Stage 1 on: two blocks of 1 GiB as they are, devices and memory.
        adr     x10, guest_start
        add     x10, x10, #0x10000
        mov     x11, #0x401
        movk    x11, #0x0060, lsl #48
        str     x11, [x10]
        movz    x11, #0x8000, lsl #16
        mov     x12, #0x705
        orr     x11, x11, x12
        str     x11, [x10, #16]
        mov     x11, #0xff00
        msr     mair_el1, x11
        movz    x11, #0x3519
        movk    x11, #0x0080, lsl #16
        movk    x11, #0x2, lsl #32
        msr     tcr_el1, x11
        msr     ttbr0_el1, x10
        isb
        mrs     x11, sctlr_el1
        mov     x12, #0x1000
        orr     x11, x11, x12
        orr     x11, x11, #1
        orr     x11, x11, #4
        msr     sctlr_el1, x11
        isb

        // The virtual GIC: an SGI to itself, then the virtual timer.
        movz    x13, #0x0800, lsl #16
        mov     w14, #0x12
        str     w14, [x13]
        movz    x13, #0x080a, lsl #16
        str     wzr, [x13, #0x14]
        movz    x13, #0x080b, lsl #16
        mov     w14, #-1
        str     w14, [x13, #0x80]
        movz    w14, #0x0800, lsl #16
        orr     w14, w14, #1
        str     w14, [x13, #0x100]
        mov     x14, #1
        msr     s3_0_c12_c12_5, x14     // ICC_SRE_EL1
        isb
        mov     x14, #0xf8
        msr     s3_0_c4_c6_0, x14       // ICC_PMR_EL1
        mov     x14, #1
        msr     s3_0_c12_c12_7, x14     // ICC_IGRPEN1_EL1
        isb
        mov     x20, #0
        msr     daifclr, #2
        mov     x14, #1
        msr     s3_0_c12_c11_5, x14     // ICC_SGI1R_EL1
        isb
sgi:    cbz     x20, sgi
        str     x20, [x9, #0x40]
        mov     x20, #0
        mov     x14, #0x4000
        msr     cntv_tval_el0, x14
        mov     x14, #1
        msr     cntv_ctl_el0, x14
        isb
timer:  wfi
        cbz     x20, timer
        str     x20, [x9, #0x48]

        // Pages that stage 2 has not yet.
        adr     x10, guest_start
        add     x10, x10, #0x20000
        mov     x11, #64
pages:  str     x11, [x10]
        ldr     x12, [x10]
        add     x10, x10, #0x1000
        subs    x11, x11, #1
        b.ne    pages
        str     x12, [x9, #0x50]

        mov     x12, #0x300000
        msr     cpacr_el1, x12
        isb
        fmov    d0, #1.5
        fadd    d0, d0, d0
        fmov    x12, d0
        str     x12, [x9, #0x58]
        str     xzr, [x9, #0xff8]
        b       .

        .balign 2048
vectors:
        .rept   4
        b       .
        .balign 0x80
        .endr
        // Current level with SP_EL1: synchronous.
        mrs     x21, esr_el1
        str     x21, [x9, #0x800]
        mrs     x21, elr_el1
        str     x21, [x9, #0x808]
        str     xzr, [x9, #0xff8]
        .balign 0x80
        mrs     x20, s3_0_c12_c12_0     // ICC_IAR1_EL1
        cmp     x20, #27
        b.ne    ended
        mov     x21, #0
        msr     cntv_ctl_el0, x21
ended:  msr     s3_0_c12_c12_1, x20     // ICC_EOIR1_EL1
        orr     x20, x20, #0x100
        eret
        .balign 0x800
guest_end:
