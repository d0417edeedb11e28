/* Vectors: copies as a C library makes them, and products of matrices of floats. */
#include <arm_neon.h>

#include "../classes.h"

enum { COPY = 64 << 10, SIZE = 64 };

static uint8_t from[COPY + 64] __attribute__((aligned(64))), to[COPY + 64] __attribute__((aligned(64)));

static __attribute__((noinline)) void copy(uint8_t *target, const uint8_t *source, uint64_t size) {
  for (uint64_t at = 0; at < size; at += 64) {
    uint8x16_t a = vld1q_u8(source + at), b = vld1q_u8(source + at + 16);
    uint8x16_t c = vld1q_u8(source + at + 32), d = vld1q_u8(source + at + 48);
    vst1q_u8(target + at, a);
    vst1q_u8(target + at + 16, b);
    vst1q_u8(target + at + 32, c);
    vst1q_u8(target + at + 48, d);
  }
}

void prepare_memcpy(void) {
  uint64_t random = 3;
  for (uint32_t i = 0; i < sizeof from; i++) from[i] = (uint8_t)(next_random(&random) >> 56);
  for (uint32_t i = 0; i < sizeof to; i++) to[i] = 0;
}

uint64_t run_memcpy(uint64_t count) {
  uint64_t sum = 0;
  for (uint64_t round = 0; round < count; round++) {
    /* Every other one with both ends aligned, the rest at changing distances. */
    uint32_t source = (round & 1) * (uint32_t)(round * 5 & 31), target = (round & 1) * (uint32_t)(round * 11 & 31);
    copy(to + target, from + source, COPY);
    sum = mix(sum, to[round * 4099 % COPY]);
    from[round % COPY]++;
  }
  for (uint32_t i = 0; i < COPY; i++) sum = sum * 31 + to[i];
  return sum;
}

static float left[SIZE][SIZE], right[SIZE][SIZE], product[SIZE][SIZE];

/* Four rows by four columns at a time, in registers. */
static void multiply(void) {
  for (uint32_t i = 0; i < SIZE; i += 4)
    for (uint32_t j = 0; j < SIZE; j += 4) {
      float32x4_t r0 = vdupq_n_f32(0), r1 = r0, r2 = r0, r3 = r0;
      for (uint32_t k = 0; k < SIZE; k += 4) {
        float32x4_t a0 = vld1q_f32(&left[i][k]), a1 = vld1q_f32(&left[i + 1][k]);
        float32x4_t a2 = vld1q_f32(&left[i + 2][k]), a3 = vld1q_f32(&left[i + 3][k]);
#define COLUMN(lane)                                      \
  {                                                       \
    float32x4_t b = vld1q_f32(&right[k + lane][j]);       \
    r0 = vfmaq_laneq_f32(r0, b, a0, lane);                \
    r1 = vfmaq_laneq_f32(r1, b, a1, lane);                \
    r2 = vfmaq_laneq_f32(r2, b, a2, lane);                \
    r3 = vfmaq_laneq_f32(r3, b, a3, lane);                \
  }
        COLUMN(0)
        COLUMN(1)
        COLUMN(2)
        COLUMN(3)
#undef COLUMN
      }
      vst1q_f32(&product[i][j], r0);
      vst1q_f32(&product[i + 1][j], r1);
      vst1q_f32(&product[i + 2][j], r2);
      vst1q_f32(&product[i + 3][j], r3);
    }
}

/* Between -0.5 and 0.5. */
static float any(uint64_t *random) { return (float)(next_random(random) >> 48) / 65536.0f - 0.5f; }

uint64_t run_matrix(uint64_t count) {
  uint64_t random = 5, sum = 0;
  for (uint32_t i = 0; i < SIZE; i++)
    for (uint32_t j = 0; j < SIZE; j++) {
      left[i][j] = any(&random);
      right[i][j] = any(&random);
    }
  for (uint64_t round = 0; round < count; round++) {
    multiply();
    uint32_t i = (uint32_t)round % SIZE;
    left[i][i * 5 % SIZE] = any(&random); /* the next round has other factors */
    for (uint32_t j = 0; j < SIZE; j += 4) {
      uint64x2_t bits = vreinterpretq_u64_f32(vld1q_f32(&product[i][j]));
      sum = mix(mix(sum, vgetq_lane_u64(bits, 0)), vgetq_lane_u64(bits, 1));
    }
  }
  return sum;
}
