/* Arithmetic in doubles. Compiled without contraction, so that a fused operation is one where the source says so. */
#include "../classes.h"

static uint64_t bits_of(double value) {
  union {
    double value;
    uint64_t bits;
  } both = {value};
  return both.bits;
}

/* Bodies that attract each other, leapfrog steps. */
enum { BODIES = 5 };
struct body {
  double x, y, z, vx, vy, vz, mass;
};

static void advance(struct body *bodies, double dt) {
  for (uint32_t i = 0; i < BODIES; i++) {
    struct body *a = &bodies[i];
    for (uint32_t j = i + 1; j < BODIES; j++) {
      struct body *b = &bodies[j];
      double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
      double square = dx * dx + dy * dy + dz * dz;
      double magnitude = dt / (square * __builtin_sqrt(square));
      a->vx -= dx * b->mass * magnitude;
      a->vy -= dy * b->mass * magnitude;
      a->vz -= dz * b->mass * magnitude;
      b->vx += dx * a->mass * magnitude;
      b->vy += dy * a->mass * magnitude;
      b->vz += dz * a->mass * magnitude;
    }
  }
  for (uint32_t i = 0; i < BODIES; i++) {
    bodies[i].x += dt * bodies[i].vx;
    bodies[i].y += dt * bodies[i].vy;
    bodies[i].z += dt * bodies[i].vz;
  }
}

/* Steps until |z| > 2, at most 50, over a strip of the complex plane. */
static uint64_t escape(double cy) {
  uint64_t steps = 0;
  for (double cx = -2.0; cx < 0.5; cx += 0.03125) {
    double x = 0, y = 0;
    for (uint32_t i = 0; i < 50; i++, steps++) {
      double xx = x * x, yy = y * y;
      if (xx + yy > 4.0) break;
      y = 2.0 * x * y + cy;
      x = xx - yy + cx;
    }
  }
  return steps;
}

uint64_t run_double(uint64_t count) {
  struct body bodies[BODIES] = {
      {0, 0, 0, 0, 0, 0, 39.5},           {4.8, -1.2, -0.1, 0.6, 2.8, -0.02, 0.0377}, {8.3, 4.1, -0.4, -1.0, 1.8, 0.008, 0.0113},
      {12.9, -15.1, -0.2, 1.1, 0.9, -0.01, 0.0017}, {15.4, -25.9, 0.18, 1.0, 0.6, -0.03, 0.002},
  };
  uint64_t sum = 0;
  for (uint64_t round = 0; round < count; round++) {
    for (uint32_t i = 0; i < 40; i++) advance(bodies, 0.001);
    double tail = 0;
    for (uint32_t i = 1; i <= 200; i++) tail += 1.0 / ((double)i * (double)i + (double)(round & 7));
    sum = mix(sum, bits_of(tail));
    sum = mix(sum, escape((double)(round & 63) * 0.015625));
  }
  for (uint32_t i = 0; i < BODIES; i++) sum = mix(mix(sum, bits_of(bodies[i].x)), bits_of(bodies[i].vy));
  return sum;
}

/* exp(x) for |x| < 1 by its series, a product of two vectors, and an iteration towards a square root. */
uint64_t run_fma(uint64_t count) {
  static const double factors[] = {1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120,
                                   1.0 / 24,      1.0 / 6,      1.0 / 2,     1.0,        1.0};
  static double a[64], b[64];
  for (uint32_t i = 0; i < 64; i++) {
    a[i] = 1.0 / (1.0 + i);
    b[i] = 0.5 + 0.01 * i;
  }
  uint64_t sum = 0;
  for (uint64_t round = 0; round < count; round++) {
    double total = 0, x = (double)(round & 255) * 0.00390625;
    for (uint32_t i = 0; i < 32; i++) {
      double y = x - 0.03125 * i, value = factors[0];
      for (uint32_t k = 1; k < sizeof factors / sizeof factors[0]; k++) value = __builtin_fma(value, y, factors[k]);
      total += value;
    }
    double dot = total;
    for (uint32_t i = 0; i < 64; i++) dot = __builtin_fma(a[i], b[i], dot);
    double root = 0.7; /* of 1 / (1 + x), by Newton's method */
    for (uint32_t i = 0; i < 8; i++) {
      double error = __builtin_fma(-(1.0 + x) * root, root, 1.0);
      root = __builtin_fma(0.5 * root, error, root);
    }
    sum = mix(mix(sum, bits_of(dot)), bits_of(root));
  }
  return sum;
}
