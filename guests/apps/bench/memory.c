/*
 * 32 MiB of RAM through pages of 4 KiB: in order, and all over. The identity map of RAM has blocks of 2 MiB, so the pages are
 * mapped a second time, one page off the blocks' alignment.
 */
#include "classes.h"
#include "lib/exception.h"
#include "lib/memory.h"
#include "lib/mmu.h"

enum { WORKING_SET = 32 << 20, WORDS = WORKING_SET / 8 };

static uint64_t *words;

void prepare_memory(void) {
  uint64_t pages = WORKING_SET / PAGE_SIZE;
  uint64_t pa = (memory_pages(pages + 512 + 1) + MMU_BLOCK_SIZE - 1) / MMU_BLOCK_SIZE * MMU_BLOCK_SIZE + PAGE_SIZE;
  if (!mmu_map(MMU_WINDOW, pa, WORKING_SET, MMU_DATA)) panic("no tables for 32 MiB of pages");
  words = (uint64_t *)MMU_WINDOW;
  for (uint64_t i = 0; i < WORDS; i++) words[i] = i; /* also because the host supplies a page at its first touch */
}

uint64_t run_sequential(uint64_t count) {
  uint64_t total = 0;
  for (uint64_t round = 0; round < count; round++) {
    for (uint64_t i = 0; i < WORDS; i++) words[i] = i * (round + 3);
    uint64_t sum = 0;
    for (uint64_t i = 0; i < WORDS; i++) sum += words[i] ^ i;
    total = mix(total, sum);
  }
  return total;
}

/* Each address follows from what the last one held. */
uint64_t run_random(uint64_t count) {
  uint64_t at = 1, sum = 0;
  for (uint64_t left = count * 1000; left > 0; left--) {
    uint64_t value = words[(at >> 33) % WORDS];
    words[(at >> 20) % WORDS] = value + left;
    sum += value;
    at = at * 6364136223846793005ull + value;
  }
  return mix(sum, at);
}
