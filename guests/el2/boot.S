/*
 * Entry at EL2 as TF-A enters BL33: EL2h, DAIF masked, MMU and caches off, X1 = HW_CONFIG or 0. The image relocates itself,
 * so it may lie at any 4 KiB aligned address. Secondary PEs enter at secondary_entry through PSCI CPU_ON.
 */
#include "layout.h"

        .arch   armv8.4-a

        .section .head, "ax"
        .global _start
_start:
        b       primary_entry
        .long   0

        .text
primary_entry:
        msr     daifset, #0xf
        mov     x19, x1                         // HW_CONFIG

        adrp    x0, vectors
        add     x0, x0, :lo12:vectors
        msr     vbar_el2, x0
        isb

        /* Relocations: link address -> where we run. */
        adrp    x1, __rela_start
        add     x1, x1, :lo12:__rela_start
        adrp    x2, __rela_end
        add     x2, x2, :lo12:__rela_end
        adrp    x3, _start
        mov     x4, #LINK_BASE
        sub     x3, x3, x4
1:      cmp     x1, x2
        b.hs    2f
        ldp     x5, x6, [x1], #16               // r_offset, r_info
        ldr     x7, [x1], #8                    // r_addend
        cmp     w6, #1027                       // R_AARCH64_RELATIVE, IHI 0056 "Dynamic relocations"
        b.ne    1b
        add     x7, x7, x3
        str     x7, [x5, x3]
        b       1b

2:      adrp    x0, __bss_start
        add     x0, x0, :lo12:__bss_start
        adrp    x1, __bss_end
        add     x1, x1, :lo12:__bss_end
3:      cmp     x0, x1
        b.hs    4f
        stp     xzr, xzr, [x0], #16
        b       3b

        /* What was written with caches off must not be hidden by older cache lines once they are on. */
4:      adrp    x0, __data_start
        add     x0, x0, :lo12:__data_start
        adrp    x1, __bss_end
        add     x1, x1, :lo12:__bss_end
        bl      dcache_clean_invalidate

        adrp    x0, pes                         // struct pe of PE 0
        add     x0, x0, :lo12:pes
        msr     tpidr_el2, x0
        adrp    x1, stacks
        add     x1, x1, :lo12:stacks
        add     x1, x1, #STACK_SIZE
        mov     sp, x1
        mov     x29, xzr
        mov     x30, xzr
        mov     x0, x19
        bl      boot_primary
        b       .

/* A secondary PE. X0 = PSCI context_id = its struct pe, cleaned to the point of coherency as it is read with the MMU off. */
        .global secondary_entry
secondary_entry:
        msr     daifset, #0xf
        msr     tpidr_el2, x0
        ldr     x1, [x0, #PE_STACK_TOP]
        mov     sp, x1
        mov     x29, xzr
        adrp    x1, vectors
        add     x1, x1, :lo12:vectors
        msr     vbar_el2, x1
        adrp    x0, host_regime
        add     x0, x0, :lo12:host_regime
        bl      regime_enter
        mrs     x0, tpidr_el2
        bl      boot_secondary
        b       .

/*
 * void regime_enter(const struct regime *): HCR_EL2, MAIR, TCR, TTBR0 and TTBR1, SCTLR_EL2 of the regime. With the MMU off in
 * between, since the format of TCR_EL2 follows HCR_EL2.E2H. The code is mapped where it lies in every regime.
 */
        .global regime_enter
regime_enter:
        mrs     x1, sctlr_el2
        bic     x1, x1, #1
        msr     sctlr_el2, x1
        isb
        ldp     x1, x2, [x0]
        ldp     x3, x4, [x0, #16]
        ldp     x5, x6, [x0, #32]
        msr     hcr_el2, x1
        isb
        msr     mair_el2, x2
        msr     tcr_el2, x3
        msr     ttbr0_el2, x4
        tbz     x1, #34, 1f                     // E2H: TTBR1_EL2 exists
        msr     s3_4_c2_c0_1, x5
1:      isb
        tlbi    alle2
        tlbi    vmalle1
        ic      iallu
        dsb     nsh
        isb
        msr     sctlr_el2, x6
        isb
        ret

/* void dcache_clean_invalidate(const void *start, const void *end): by virtual address, to the point of coherency. */
        .global dcache_clean_invalidate
dcache_clean_invalidate:
        mrs     x2, ctr_el0
        ubfx    x2, x2, #16, #4                 // DminLine: log2 of words
        mov     x3, #4
        lsl     x3, x3, x2
        sub     x4, x3, #1
        bic     x0, x0, x4
1:      cmp     x0, x1
        b.hs    2f
        dc      civac, x0
        add     x0, x0, x3
        b       1b
2:      dsb     sy
        ret
