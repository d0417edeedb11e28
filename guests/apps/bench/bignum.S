/*
 * uint64_t bignum_multiply_add(uint64_t *sum, const uint64_t *a, uint64_t limbs, uint64_t b): sum[0..limbs) += a * b; returns
 * the carry out. limbs is a multiple of 4. Two chains of carries for each 4 limbs: the low halves of the products with the
 * sum, then the high halves, one limb further.
 */
        .text
        .global bignum_multiply_add
bignum_multiply_add:
        mov     x4, #0                          // carry into the next limb
1:      ldp     x5, x6, [x1], #16
        ldp     x7, x8, [x1], #16
        ldp     x9, x10, [x0]
        ldp     x11, x12, [x0, #16]
        mul     x13, x5, x3
        mul     x14, x6, x3
        mul     x15, x7, x3
        mul     x16, x8, x3
        umulh   x5, x5, x3
        umulh   x6, x6, x3
        umulh   x7, x7, x3
        umulh   x8, x8, x3
        adds    x9, x9, x13
        adcs    x10, x10, x14
        adcs    x11, x11, x15
        adcs    x12, x12, x16
        adc     x8, x8, xzr                     // a high half is at most 2^64 - 2
        adds    x9, x9, x4
        adcs    x10, x10, x5
        adcs    x11, x11, x6
        adcs    x12, x12, x7
        adc     x4, x8, xzr
        stp     x9, x10, [x0], #16
        stp     x11, x12, [x0], #16
        subs    x2, x2, #4
        b.ne    1b
        mov     x0, x4
        ret
