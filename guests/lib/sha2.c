/*
 * See sha2.h. The constants of SHA-256 are the upper halves of those of SHA-512: both are the leading bits of the
 * fractional parts of the same roots of primes (FIPS 180-4, sections 4.2.2, 4.2.3, 5.3.3, 5.3.5), so one table serves
 * both.
 */
#include "sha2.h"

#include "string.h"

/* Cube roots of the first 80 primes. */
static const uint64_t round_constants[80] = {
    0x428a2f98d728ae22, 0x7137449123ef65cd, 0xb5c0fbcfec4d3b2f, 0xe9b5dba58189dbbc,
    0x3956c25bf348b538, 0x59f111f1b605d019, 0x923f82a4af194f9b, 0xab1c5ed5da6d8118,
    0xd807aa98a3030242, 0x12835b0145706fbe, 0x243185be4ee4b28c, 0x550c7dc3d5ffb4e2,
    0x72be5d74f27b896f, 0x80deb1fe3b1696b1, 0x9bdc06a725c71235, 0xc19bf174cf692694,
    0xe49b69c19ef14ad2, 0xefbe4786384f25e3, 0x0fc19dc68b8cd5b5, 0x240ca1cc77ac9c65,
    0x2de92c6f592b0275, 0x4a7484aa6ea6e483, 0x5cb0a9dcbd41fbd4, 0x76f988da831153b5,
    0x983e5152ee66dfab, 0xa831c66d2db43210, 0xb00327c898fb213f, 0xbf597fc7beef0ee4,
    0xc6e00bf33da88fc2, 0xd5a79147930aa725, 0x06ca6351e003826f, 0x142929670a0e6e70,
    0x27b70a8546d22ffc, 0x2e1b21385c26c926, 0x4d2c6dfc5ac42aed, 0x53380d139d95b3df,
    0x650a73548baf63de, 0x766a0abb3c77b2a8, 0x81c2c92e47edaee6, 0x92722c851482353b,
    0xa2bfe8a14cf10364, 0xa81a664bbc423001, 0xc24b8b70d0f89791, 0xc76c51a30654be30,
    0xd192e819d6ef5218, 0xd69906245565a910, 0xf40e35855771202a, 0x106aa07032bbd1b8,
    0x19a4c116b8d2d0c8, 0x1e376c085141ab53, 0x2748774cdf8eeb99, 0x34b0bcb5e19b48a8,
    0x391c0cb3c5c95a63, 0x4ed8aa4ae3418acb, 0x5b9cca4f7763e373, 0x682e6ff3d6b2b8a3,
    0x748f82ee5defb2fc, 0x78a5636f43172f60, 0x84c87814a1f0ab72, 0x8cc702081a6439ec,
    0x90befffa23631e28, 0xa4506cebde82bde9, 0xbef9a3f7b2c67915, 0xc67178f2e372532b,
    0xca273eceea26619c, 0xd186b8c721c0c207, 0xeada7dd6cde0eb1e, 0xf57d4f7fee6ed178,
    0x06f067aa72176fba, 0x0a637dc5a2c898a6, 0x113f9804bef90dae, 0x1b710b35131c471b,
    0x28db77f523047d84, 0x32caab7b40c72493, 0x3c9ebe0a15c9bebc, 0x431d67c49c100d4c,
    0x4cc5d4becb3e42b6, 0x597f299cfc657e2a, 0x5fcb6fab3ad6faec, 0x6c44198c4a475817,
};

/* Square roots of the first 8 primes. */
static const uint64_t initial[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

#define ROTATE(x, n) ((x) >> (n) | (x) << (sizeof(x) * 8 - (n)))
#define CHOOSE(x, y, z) (((x) & (y)) ^ (~(x) & (z)))
#define MAJORITY(x, y, z) (((x) & (y)) ^ ((x) & (z)) ^ ((y) & (z)))

/* One compression function for both word sizes; the rotation counts are FIPS 180-4 sections 4.1.2 and 4.1.3. */
#define DEFINE_SHA2(name, word, rounds, constant_shift, S0a, S0b, S0c, S1a, S1b, S1c, s0a, s0b, s0c, s1a, s1b, s1c)    \
  static void name##_block(word state[8], const uint8_t *block) {                                                      \
    word w[rounds], v[8];                                                                                              \
    memcpy(v, state, sizeof v);                                                                                        \
    for (uint32_t t = 0; t < (rounds); t++) {                                                                          \
      if (t < 16) {                                                                                                    \
        w[t] = 0;                                                                                                      \
        for (uint32_t i = 0; i < sizeof(word); i++) w[t] = w[t] << 8 | block[t * sizeof(word) + i];                    \
      } else {                                                                                                         \
        word a = w[t - 15], b = w[t - 2];                                                                              \
        w[t] = (ROTATE(b, s1a) ^ ROTATE(b, s1b) ^ b >> s1c) + w[t - 7] +                                               \
               (ROTATE(a, s0a) ^ ROTATE(a, s0b) ^ a >> s0c) + w[t - 16];                                               \
      }                                                                                                                \
      word t1 = v[7] + (ROTATE(v[4], S1a) ^ ROTATE(v[4], S1b) ^ ROTATE(v[4], S1c)) + CHOOSE(v[4], v[5], v[6]) +        \
                (word)(round_constants[t] >> (constant_shift)) + w[t];                                                 \
      word t2 = (ROTATE(v[0], S0a) ^ ROTATE(v[0], S0b) ^ ROTATE(v[0], S0c)) + MAJORITY(v[0], v[1], v[2]);              \
      memmove(v + 1, v, 7 * sizeof(word));                                                                             \
      v[4] += t1;                                                                                                      \
      v[0] = t1 + t2;                                                                                                  \
    }                                                                                                                  \
    for (uint32_t i = 0; i < 8; i++) state[i] += v[i];                                                                 \
  }                                                                                                                    \
                                                                                                                       \
  void name(const void *message, uint64_t size, uint8_t digest[sizeof(word) * 8]) {                                    \
    enum { BLOCK = 16 * sizeof(word) };                                                                                \
    const uint8_t *from = message;                                                                                     \
    uint64_t left = size;                                                                                              \
    word state[8];                                                                                                     \
    for (uint32_t i = 0; i < 8; i++) state[i] = (word)(initial[i] >> (constant_shift));                                \
    for (; left >= BLOCK; left -= BLOCK, from += BLOCK) name##_block(state, from);                                     \
    uint8_t last[2 * BLOCK] = {0};                                                                                     \
    uint64_t padded = left + 1 + 2 * sizeof(word) <= BLOCK ? BLOCK : 2 * BLOCK;                                        \
    memcpy(last, from, left);                                                                                          \
    last[left] = 0x80;                                                                                                 \
    for (uint32_t i = 0; i < 8; i++) last[padded - 1 - i] = (uint8_t)(size * 8 >> i * 8);                              \
    name##_block(state, last);                                                                                         \
    if (padded > BLOCK) name##_block(state, last + BLOCK);                                                             \
    for (uint32_t i = 0; i < sizeof state; i++)                                                                        \
      digest[i] = (uint8_t)(state[i / sizeof(word)] >> (sizeof(word) - 1 - i % sizeof(word)) * 8);                     \
  }

DEFINE_SHA2(sha256, uint32_t, 64, 32, 2, 13, 22, 6, 11, 25, 7, 18, 3, 17, 19, 10)
DEFINE_SHA2(sha512, uint64_t, 80, 0, 28, 34, 39, 14, 18, 41, 1, 8, 7, 19, 61, 6)
