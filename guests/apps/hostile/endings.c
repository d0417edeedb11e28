/* Guests that never end, or end badly: what stops them is the machine's or the VMM's business. */
#include "cases.h"
#include "lib/arch.h"
#include "lib/console.h"
#include "lib/memory.h"
#include "lib/mmu.h"
#include "lib/platform.h"
#include "lib/random.h"
#include "lib/realm.h"
#include "lib/start.h"
#include "librsi/rsi.h"

/* In the upper part of the 48-bit VA space, never mapped. */
#define NOWHERE 0x500000000000ull

int case_loop(void) {
  for (;;) __asm__ volatile("");
}

int case_wfi(void) {
  for (;;) wfi();
}

int case_undefined(void) {
  __asm__ volatile("udf #0");
  return STATUS_FAILED;
}

int case_jump(void) {
  ((void (*)(void))NOWHERE)();
  return STATUS_FAILED;
}

int case_vectors(void) {
  write_sysreg(vbar_el1, NOWHERE);
  isb();
  __asm__ volatile("udf #0");
  return STATUS_FAILED;
}

int case_stack(void) {
  __asm__ volatile("mov sp, %0\n\tudf #0" ::"r"(NOWHERE));
  return STATUS_FAILED;
}

int case_vanish(void) {
  uint64_t next, response, here = image_base();
  if (!realm.present) {
    printf("hostile: not in a realm\n");
    return STATUS_USAGE;
  }
  /* Its next instruction, its vectors and its stack are in this range. */
  rsi_ipa_state_set(here, here + 0x10000, RSI_EMPTY, RSI_CHANGE_DESTROYED, &next, &response);
  return STATUS_FAILED;
}

/* First what the image does not need, then the image: code cannot be written, stack and data can. */
int case_scribble(void) {
  struct random random = {bootarg_number("seed", 0)};
  uint64_t end = platform.ram_base + platform.ram_size, image = image_base();
  volatile uint64_t *word;
  for (word = (uint64_t *)memory_pages(1); (uint64_t)word < end; word++) *word = random_next(&random);
  for (word = (uint64_t *)platform.ram_base; (uint64_t)word < image; word++) *word = random_next(&random);
  mmu_map_identity(image, 0x2000, MMU_DATA);
  for (word = (uint64_t *)image;; word++) *word = random_next(&random);
}
