/* A lock of one word, taken with load-acquire and store exclusives. */
#ifndef GUEST_SPINLOCK_H
#define GUEST_SPINLOCK_H

#include <stdint.h>

struct spinlock {
  uint32_t held;
};

static inline void spin_lock(struct spinlock *lock) {
  while (__atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE) != 0)
    while (__atomic_load_n(&lock->held, __ATOMIC_RELAXED) != 0) __asm__ volatile("yield");
}

static inline void spin_unlock(struct spinlock *lock) { __atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE); }

#endif
