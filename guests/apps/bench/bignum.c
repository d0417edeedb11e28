/* Powers modulo an odd number of 1024 bits, by Montgomery multiplication: what public-key cryptography spends its time on. */
#include "classes.h"
#include "lib/string.h"

enum { LIMBS = 16 };
typedef uint64_t number[LIMBS]; /* least significant limb first */

uint64_t bignum_multiply_add(uint64_t *sum, const uint64_t *a, uint64_t limbs, uint64_t b);

/* a -= b; returns the borrow. */
static uint64_t subtract(uint64_t *a, const uint64_t *b) {
  uint64_t borrow = 0;
  for (uint32_t i = 0; i < LIMBS; i++) {
    uint64_t difference = a[i] - b[i], result = difference - borrow;
    borrow = (uint64_t)(a[i] < b[i]) | (uint64_t)(difference < borrow);
    a[i] = result;
  }
  return borrow;
}

/* result = a b / 2^1024 mod modulus, below 2^1024; inverse = -1 / modulus mod 2^64. result may be a or b. */
static void multiply(uint64_t *result, const uint64_t *a, const uint64_t *b, const uint64_t *modulus, uint64_t inverse) {
  uint64_t t[2 * LIMBS + 1] = {0};
  for (uint32_t i = 0; i < LIMBS; i++) {
    uint64_t high = bignum_multiply_add(t + i, a, LIMBS, b[i]);
    uint64_t low = t[i + LIMBS] + high; /* the limb of the last round's carries */
    t[i + LIMBS + 1] += low < high;
    t[i + LIMBS] = low;
    high = bignum_multiply_add(t + i, modulus, LIMBS, t[i] * inverse);
    low = t[i + LIMBS] + high;
    t[i + LIMBS + 1] += low < high;
    t[i + LIMBS] = low;
  }
  if (t[2 * LIMBS] != 0) subtract(t + LIMBS, modulus);
  memcpy(result, t + LIMBS, sizeof(number));
}

uint64_t run_bignum(uint64_t count) {
  uint64_t random = 7, sum = 0;
  number modulus, base, exponent, power;
  for (uint32_t i = 0; i < LIMBS; i++) {
    modulus[i] = next_random(&random) ^ next_random(&random) >> 32;
    base[i] = next_random(&random) ^ next_random(&random) >> 32;
    exponent[i] = next_random(&random) ^ next_random(&random) >> 32;
  }
  modulus[0] |= 1;
  modulus[LIMBS - 1] |= 1ull << 63;
  uint64_t inverse = modulus[0]; /* right in the low 3 bits; each step doubles them */
  for (uint32_t i = 0; i < 5; i++) inverse *= 2 - modulus[0] * inverse;
  inverse = 0 - inverse;

  for (uint64_t round = 0; round < count; round++) {
    memcpy(power, base, sizeof power);
    for (uint32_t bit = 64 * LIMBS - 1; bit-- > 0;) {
      multiply(power, power, power, modulus, inverse);
      if (exponent[bit / 64] >> bit % 64 & 1) multiply(power, power, base, modulus, inverse);
    }
    for (uint32_t i = 0; i < LIMBS; i++) sum = mix(sum, power[i]);
    memcpy(base, power, sizeof base);
  }
  return sum;
}
