/* splitmix64: small, and every seed gives a full period. For tests, not for secrets. */
#ifndef GUEST_RANDOM_H
#define GUEST_RANDOM_H

#include <stdint.h>

struct random {
  uint64_t state;
};

static inline uint64_t random_next(struct random *random) {
  uint64_t z = random->state += 0x9e3779b97f4a7c15ull;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ z >> 27) * 0x94d049bb133111ebull;
  return z ^ z >> 31;
}

/* 0 to limit - 1. */
static inline uint64_t random_below(struct random *random, uint64_t limit) { return random_next(random) % limit; }

#endif
