/* Entry: a stack of its own behind the image, X0 (the device tree) is handed on. */
        .section .text.start, "ax"
        .global _start
_start:
        adrp    x9, stack_end
        add     x9, x9, :lo12:stack_end
        mov     sp, x9
        bl      stock_main
1:      wfi
        b       1b

        .global smc
/* uint64_t smc(fid, x1): X0. */
smc:    smc     #0
        ret

        .bss
        .balign 4096
        .space  8192
stack_end:
