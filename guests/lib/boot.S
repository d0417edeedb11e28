/*
 * Entry of every guest image: the arm64 Image header (Linux, "Booting AArch64 Linux", section 4), self-relocation,
 * and the way into C with the MMU still off. Secondary CPUs enter at secondary_entry through PSCI CPU_ON.
 *
 * State at entry, set by the VMM and, in a realm, by the RMM (DEN0137 1.0-rel0, "REC entry"): EL1h, DAIF masked, MMU
 * and caches off, X0 = IPA of the DTB. The image may lie at any 4 KiB aligned address: it is linked as a position
 * independent executable and applies its own R_AARCH64_RELATIVE entries.
 */
#include "layout.h"

        .arch   armv8.4-a

/* Image header. The fields after code1 are written by link.ld, which knows the size. */
        .section .head, "ax"
        .global _start
_start:
        b       primary_entry                   // code0
        .long   0                               // code1

        .text
primary_entry:
        msr     daifset, #0xf
        mov     x19, x0                         // DTB

        adrp    x0, vectors
        add     x0, x0, :lo12:vectors
        msr     vbar_el1, x0
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

        /*
         * Zero the BSS. Stacks and page tables lie in .noinit and are not touched here: in a realm every first touch of
         * a page beyond the file costs an exit to the Host.
         */
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

        adrp    x0, cpus                        // struct cpu of CPU 0
        add     x0, x0, :lo12:cpus
        msr     tpidr_el1, x0
        adrp    x1, stacks
        add     x1, x1, :lo12:stacks
        add     x1, x1, #STACK_SIZE
        mov     sp, x1
        mov     x29, xzr
        mov     x30, xzr
        mov     x0, x19
        bl      boot_primary
        b       .

/*
 * A secondary CPU. X0 = PSCI context_id = its struct cpu. That structure and mmu_registers were cleaned to the point of
 * coherency by smp.c, since they are read here with the MMU off.
 */
        .global secondary_entry
secondary_entry:
        msr     daifset, #0xf
        msr     tpidr_el1, x0
        ldr     x1, [x0, #CPU_STACK_TOP]
        mov     sp, x1
        mov     x29, xzr
        adrp    x1, vectors
        add     x1, x1, :lo12:vectors
        msr     vbar_el1, x1
        adrp    x0, mmu_registers
        add     x0, x0, :lo12:mmu_registers
        bl      mmu_enable
        mrs     x0, tpidr_el1
        bl      boot_secondary
        b       .

/* void mmu_enable(const struct mmu_registers *): loads MAIR, TCR, TTBR0 and SCTLR_EL1, in this order. */
        .global mmu_enable
mmu_enable:
        ldp     x1, x2, [x0]
        ldp     x3, x4, [x0, #16]
        msr     mair_el1, x1
        msr     tcr_el1, x2
        msr     ttbr0_el1, x3
        isb
        tlbi    vmalle1
        ic      iallu
        dsb     nsh
        isb
        msr     sctlr_el1, x4
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
