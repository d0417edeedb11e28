/*
 * The classes of `bench`. Each does a fixed amount of work, `count` times, and returns a checksum over its results, which
 * is the same on every machine. What must be there first (touched memory, tables) is made by its prepare function, before
 * the begin mark.
 */
#ifndef BENCH_CLASSES_H
#define BENCH_CLASSES_H

#include <stdint.h>

/* integer.c: lists, matrices of small numbers, a state machine and a CRC over the results, no FP/SIMD registers. */
void prepare_integer(void);
uint64_t run_integer(uint64_t count);

/* memory.c: 32 MiB in pages of 4 KiB. */
void prepare_memory(void);
uint64_t run_sequential(uint64_t count);
uint64_t run_random(uint64_t count);

/* control.c */
uint64_t run_calls(uint64_t count);
void prepare_bytecode(void);
uint64_t run_bytecode(uint64_t count);

/* svc.c: EL0 calls EL1 and comes back. */
void prepare_svc(void);
uint64_t run_svc(uint64_t count);

/* bignum.c: Montgomery exponentiation of 1024-bit numbers. */
uint64_t run_bignum(uint64_t count);

/* fp/double.c */
uint64_t run_double(uint64_t count);
uint64_t run_fma(uint64_t count);

/* fp/simd.c */
void prepare_memcpy(void);
uint64_t run_memcpy(uint64_t count);
uint64_t run_matrix(uint64_t count);

/* fp/sha256.c */
uint64_t run_sha256(uint64_t count);
uint64_t run_sha256_instructions(uint64_t count);

/* realm.c: what a realm asks of its RMM; in a normal VM, of its hypervisor. */
uint64_t run_rsi(uint64_t count);
uint64_t run_host_call(uint64_t count);
uint64_t run_touch(uint64_t count);

/* Reproducible numbers: a 64-bit linear congruential generator (Knuth's MMIX constants); the high half is the good one. */
static inline uint64_t next_random(uint64_t *state) {
  return *state = *state * 6364136223846793005ull + 1442695040888963407ull;
}

/* One more result into a checksum: order matters. */
static inline uint64_t mix(uint64_t sum, uint64_t result) {
  sum ^= result + 0x9e3779b97f4a7c15ull + (sum << 6) + (sum >> 2);
  return sum;
}

#endif
