/* SHA-256 (FIPS 180-4) of messages of 4 KiB: in C, and with the SHA-256 instructions. Both give the same digests. */
#include <arm_neon.h>

#include "../classes.h"

enum { MESSAGE = 4096 };

static uint8_t message[MESSAGE] __attribute__((aligned(64)));

static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
    0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
    0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
    0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t rotate(uint32_t x, uint32_t by) { return x >> by | x << (32 - by); }

static void block_in_c(uint32_t *state, const uint8_t *data) {
  uint32_t w[64];
  for (uint32_t i = 0; i < 16; i++) w[i] = __builtin_bswap32(((const uint32_t *)data)[i]);
  for (uint32_t i = 16; i < 64; i++) {
    uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
    uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
  uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
  for (uint32_t i = 0; i < 64; i++) {
    uint32_t s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25), choice = (e & f) ^ (~e & g);
    uint32_t first = h + s1 + choice + constants[i] + w[i];
    uint32_t s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22), majority = (a & b) ^ (a & c) ^ (b & c);
    h = g;
    g = f;
    f = e;
    e = d + first;
    d = c;
    c = b;
    b = a;
    a = first + s0 + majority;
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
  state[5] += f;
  state[6] += g;
  state[7] += h;
}

static void block_by_instructions(uint32_t *state, const uint8_t *data) {
  uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4), abcd_before = abcd, efgh_before = efgh;
  uint32x4_t w[4];
  for (uint32_t i = 0; i < 4; i++) w[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(data + 16 * i)));
  for (uint32_t i = 0; i < 16; i++) {
    uint32x4_t sum = vaddq_u32(w[0], vld1q_u32(constants + 4 * i)), abcd_now = abcd, next = w[0];
    if (i < 12) next = vsha256su1q_u32(vsha256su0q_u32(w[0], w[1]), w[2], w[3]);
    abcd = vsha256hq_u32(abcd, efgh, sum);
    efgh = vsha256h2q_u32(efgh, abcd_now, sum);
    w[0] = w[1];
    w[1] = w[2];
    w[2] = w[3];
    w[3] = next;
  }
  vst1q_u32(state, vaddq_u32(abcd, abcd_before));
  vst1q_u32(state + 4, vaddq_u32(efgh, efgh_before));
}

/* The digest of a message is written into it, so that the next one differs. */
static uint64_t run(uint64_t count, void (*block)(uint32_t *, const uint8_t *)) {
  static const uint8_t padding[64] __attribute__((aligned(16))) = {[0] = 0x80, [62] = MESSAGE * 8 >> 8 & 0xff, [63] = MESSAGE * 8 & 0xff};
  uint64_t sum = 0;
  for (uint32_t i = 0; i < MESSAGE; i++) message[i] = (uint8_t)(i * 7);
  for (uint64_t round = 0; round < count; round++) {
    uint32_t state[8];
    for (uint32_t i = 0; i < 8; i++) state[i] = initial[i];
    for (uint32_t at = 0; at < MESSAGE; at += 64) block(state, message + at);
    block(state, padding);
    for (uint32_t i = 0; i < 8; i++) {
      sum = mix(sum, state[i]);
      ((uint32_t *)message)[(round * 8 + i) % (MESSAGE / 4)] = state[i];
    }
  }
  return sum;
}

uint64_t run_sha256(uint64_t count) { return run(count, block_in_c); }
uint64_t run_sha256_instructions(uint64_t count) { return run(count, block_by_instructions); }
