/*
 * Entry at S-EL1: EL1h, everything masked, MMU and caches off, X4 = linear index of the PE. Every PE comes here, the first one
 * alone. Also the vectors, and the probe: an access that survives its abort.
 */
#include "layout.h"

        .arch   armv8.4-a

        .section .head, "ax"
        .global _start
_start:
        msr     daifset, #0xf
        mov     x19, x4
        adrp    x0, vectors
        add     x0, x0, :lo12:vectors
        msr     vbar_el1, x0
        isb
        cbnz    x19, 2f

        adrp    x0, __bss_start
        add     x0, x0, :lo12:__bss_start
        adrp    x1, __bss_end
        add     x1, x1, :lo12:__bss_end
1:      cmp     x0, x1
        b.hs    2f
        stp     xzr, xzr, [x0], #16
        b       1b

2:      adrp    x0, stacks
        add     x0, x0, :lo12:stacks
        add     x1, x19, #1
        mov     x2, #STACK_SIZE
        madd    x0, x1, x2, x0
        mov     sp, x0
        mov     x29, xzr
        mov     x30, xzr
        mov     x0, x19
        bl      secure_main
        b       .

        .text
        .balign 2048
vectors:
        .rept   4
        .balign 128
        b       .
        .endr
        .balign 128                             // synchronous, from S-EL1 with its own stack pointer
        stp     x0, x1, [sp, #-16]!
        mrs     x0, elr_el1
        adrp    x1, probe_access
        add     x1, x1, :lo12:probe_access
        cmp     x0, x1
        b.ne    unexpected
        adrp    x1, probe_failed
        add     x1, x1, :lo12:probe_failed
        msr     elr_el1, x1
        ldp     x0, x1, [sp], #16
        eret
        .rept   11
        .balign 128
        b       unexpected
        .endr

unexpected:
        mrs     x0, esr_el1
        mrs     x1, elr_el1
        mrs     x2, far_el1
        bl      unexpected_exception
        b       .

/*
 * bool probe(uint64_t *value, uint64_t va, uint64_t is_write): reads *va into *value, or writes it there. False when the access
 * aborted: ESR_EL1 and FAR_EL1 say how.
 */
        .global probe
probe:
        mov     x3, x0
        cbnz    x2, 1f
        mov     x4, #0
        b       probe_access
1:      ldr     x5, [x3]
        mov     x4, #1
        /* A write reads first, so that there is one instruction that aborts. */
probe_access:
        ldr     x6, [x1]
        cbz     x4, 2f
        str     x5, [x1]
        mov     x0, #1
        ret
2:      str     x6, [x3]
        mov     x0, #1
        ret
probe_failed:
        mov     x0, #0
        ret

/* void enable_mmu(const void *table): the identity map of Secure memory, and Non-secure memory at NS_WINDOW. */
        .global enable_mmu
enable_mmu:
        ldr     x1, =0xff04                     // Attr0 Device-nGnRE, Attr1 Normal write-back
        msr     mair_el1, x1
        ldr     x1, =0x200803519                // T0SZ 25, inner shareable write-back, EPD1, IPS 40 bits
        msr     tcr_el1, x1
        msr     ttbr0_el1, x0
        isb
        tlbi    vmalle1
        dsb     nsh
        isb
        mrs     x1, sctlr_el1
        mov     x2, #0x1005                     // M, C, I
        orr     x1, x1, x2
        msr     sctlr_el1, x1
        isb
        ret

/* void fill_registers(uint64_t pattern): FP/SIMD, and those of EL1 and EL0 that nothing else uses. */
        .global fill_registers
fill_registers:
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
        dup     v\n\().2d, x0
        .endr
        msr     tpidr_el0, x0
        msr     tpidrro_el0, x0
        msr     tpidr_el1, x0
        msr     afsr0_el1, xzr
        msr     cntv_cval_el0, x0
        msr     cntp_cval_el0, x0
        msr     dbgbvr0_el1, x0
        ret

/* uint64_t differing_registers(uint64_t pattern): how many of them do not hold it. */
        .global differing_registers
differing_registers:
        mov     x1, #0
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
        mov     x2, v\n\().d[0]
        mov     x3, v\n\().d[1]
        cmp     x2, x0
        cinc    x1, x1, ne
        cmp     x3, x0
        cinc    x1, x1, ne
        .endr
        .irp    name, tpidr_el0, tpidrro_el0, tpidr_el1, cntv_cval_el0, cntp_cval_el0
        mrs     x2, \name
        cmp     x2, x0
        cinc    x1, x1, ne
        .endr
        mov     x0, x1
        ret
