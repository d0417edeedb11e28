/*
 * An RMM that is none: enough at R-EL2 to see whether an emulated RMM is booted, entered, left and served as the RMM-EL3
 * Communication Specification says, and whether VHE works there. main.c has the commands.
 *
 * Entry for cold and warm boot: X0 linear CPU index, X1 version, X2 number of CPUs, X3 shared page; MMU off.
 */
#include "layout.h"

        .arch   armv8.4-a

        .macro  load_constant register, value
        movz    \register, #((\value) & 0xffff)
        movk    \register, #(((\value) >> 16) & 0xffff), lsl #16
        movk    \register, #(((\value) >> 32) & 0xffff), lsl #32
        .endm

        .section .head, "ax"
        .global _start
_start:
        msr     daifset, #0xf
        mov     x19, x0
        mov     x20, x1
        mov     x21, x2
        mov     x22, x3

        load_constant x9, HCR_RMM
        msr     hcr_el2, x9
        isb
        /* From here on these names reach the registers of EL2. */
        adrp    x9, vectors
        add     x9, x9, :lo12:vectors
        msr     vbar_el1, x9

        cmp     x19, #CPUS_MAX
        mov     x0, #-4                         // CPU id out of range
        b.hs    boot_complete

        adrp    x9, stacks
        add     x9, x9, :lo12:stacks
        add     x10, x19, #1
        add     x9, x9, x10, lsl #STACK_SHIFT
        mov     sp, x9

        adrp    x9, cold
        add     x9, x9, :lo12:cold
        ldr     x10, [x9]
        cbz     x10, 2f
        str     xzr, [x9]
        adrp    x0, __bss_start
        add     x0, x0, :lo12:__bss_start
        adrp    x1, __bss_end
        add     x1, x1, :lo12:__bss_end
1:      cmp     x0, x1
        b.hs    2f
        stp     xzr, xzr, [x0], #16
        b       1b

2:      mov     x0, x19
        mov     x1, x20
        mov     x2, x21
        mov     x3, x22
        mov     x4, x10
        bl      probe_boot

boot_complete:
        mov     x1, x0
        load_constant x0, SMC_RMM_BOOT_COMPLETE
        mov     x2, xzr
        smc     #0

        /* X0 to X7 are a command. */
command:
        sub     sp, sp, #64
        stp     x0, x1, [sp, #0]
        stp     x2, x3, [sp, #16]
        stp     x4, x5, [sp, #32]
        stp     x6, x7, [sp, #48]
        mov     x0, sp
        mov     x1, x19
        bl      probe_command
        ldp     x1, x2, [sp, #0]
        ldp     x3, x4, [sp, #16]
        ldr     x5, [sp, #32]
        add     sp, sp, #64
        load_constant x0, SMC_RMI_REQ_COMPLETE
        smc     #0
        b       command

/*
 * uint64_t run_realm(uint64_t x0, uint64_t *el): runs `realm_program` at R-EL1, translation off, until its SMC: its X0, and
 * CurrentEL as it read it.
 */
        .text
        .global run_realm
run_realm:
        stp     x29, x30, [sp, #-112]!
        stp     x19, x20, [sp, #16]
        stp     x21, x22, [sp, #32]
        stp     x23, x24, [sp, #48]
        stp     x25, x26, [sp, #64]
        stp     x27, x28, [sp, #80]
        str     x1, [sp, #96]

        load_constant x9, HCR_REALM
        msr     hcr_el2, x9
        load_constant x9, 0x30d00800            // SCTLR_EL1: RES1
        msr     s3_5_c1_c0_0, x9                // SCTLR_EL12
        adrp    x9, realm_program
        add     x9, x9, :lo12:realm_program
        msr     elr_el2, x9
        mov     x9, #0x3c5                      // EL1h, everything masked
        msr     spsr_el2, x9
        isb
        eret

        .p2align 2
realm_program:
        add     x0, x0, x0
        mrs     x1, CurrentEL
        msr     tpidr_el1, x0
        smc     #0
        b       .

/* The SMC: from the vector, on the stack that run_realm left. */
realm_exit:
        load_constant x9, HCR_RMM
        msr     hcr_el2, x9
        isb
        ldr     x9, [sp, #96]
        str     x1, [x9]
        mrs     x9, esr_el1                     // ESR_EL2: the exception class of an SMC
        lsr     x9, x9, #26
        cmp     x9, #0x17
        csinv   x0, x0, xzr, eq
        ldp     x19, x20, [sp, #16]
        ldp     x21, x22, [sp, #32]
        ldp     x23, x24, [sp, #48]
        ldp     x25, x26, [sp, #64]
        ldp     x27, x28, [sp, #80]
        ldp     x29, x30, [sp], #112
        ret

/* uint64_t pauth_works(void): 1 when a signed pointer authenticates, and one with another modifier does not. */
        .global pauth_works
pauth_works:
        mov     x9, #0x1234
        msr     apiakeylo_el1, x9
        msr     apiakeyhi_el1, x9
        mrs     x10, sctlr_el1                  // SCTLR_EL2
        orr     x11, x10, #(1 << 31)            // EnIA
        msr     sctlr_el1, x11
        isb
        adr     x12, pauth_works
        mov     x13, x12
        pacia   x13, sp
        cmp     x13, x12
        cset    x0, ne
        mov     x14, x13
        autia   x14, sp
        cmp     x14, x12
        csel    x0, x0, xzr, eq
        mov     x14, x13
        autia   x14, x9
        cmp     x14, x12
        csel    x0, x0, xzr, ne
        xpaci   x13
        cmp     x13, x12
        csel    x0, x0, xzr, eq
        mov     x15, x30
        adr     x30, 1f
        paciasp
        retaa
1:      mov     x30, x15
        msr     sctlr_el1, x10
        isb
        ret

/* An exception of the RMM itself: the command, or the boot, ends with the syndrome as its status. */
unexpected:
        mrs     x1, esr_el1
        load_constant x0, SMC_RMI_REQ_COMPLETE
        smc     #0
        mov     x0, #-1
        b       boot_complete

        .macro  vector target
        .p2align 7
        b       \target
        .endm

        .p2align 11
vectors:
        .rept   8
        vector  unexpected
        .endr
        vector  realm_exit
        .rept   7
        vector  unexpected
        .endr

        .data
        .p2align 3
cold:   .quad   1

        .bss
        .p2align STACK_SHIFT
stacks: .space  CPUS_MAX << STACK_SHIFT
