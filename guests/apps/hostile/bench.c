/* Work to be timed. Each prints a line when it begins and one with the counter's ticks when it ends. */
#include "cases.h"
#include "lib/arch.h"
#include "lib/channel.h"
#include "lib/console.h"
#include "lib/crc32.h"
#include "lib/gic.h"
#include "lib/memory.h"
#include "lib/mmu.h"
#include "lib/platform.h"
#include "lib/realm.h"
#include "lib/sha2.h"
#include "lib/start.h"
#include "lib/string.h"
#include "lib/timer.h"
#include "librsi/rsi.h"

static uint64_t begun;

static uint64_t begin(const char *what, uint64_t otherwise) {
  uint64_t count = bootarg_number("n", otherwise);
  printf("hostile: begin %lu %s\n", count, what);
  begun = timer_now();
  return count;
}

static int end(void) {
  uint64_t ticks = timer_now() - begun;
  printf("hostile: end after %lu ticks of %lu a second\n", ticks, timer_frequency());
  return STATUS_OK;
}

/* The call's function id is one that the Host answers by itself; with fid= another one. */
int case_exits(void) {
  uint32_t fid = (uint32_t)bootarg_number("fid", SMCCC_VERSION);
  if (realm.present) {
    static struct rsi_host_call call;
    for (uint64_t left = begin("host calls", 10000); left > 0; left--) {
      call.gprs[0] = fid;
      rsi_host_call((uint64_t)&call);
    }
  } else {
    struct smccc_registers call;
    for (uint64_t left = begin("HVCs", 10000); left > 0; left--) {
      call.x[0] = fid;
      if (!channel_call(&call)) return STATUS_USAGE;
    }
  }
  return end();
}

int case_mmio(void) {
  uint64_t uart = device_map(platform.uart_base, PAGE_SIZE);
  uint64_t status = uart + (platform.uart == UART_PL011 ? 0x18 : 5ull << platform.uart_shift);
  for (uint64_t left = begin("MMIO reads", 10000); left > 0; left--) mmio_read8(status);
  return end();
}

static uint64_t ticks_seen, tick_length;
static void on_tick(uint32_t intid) {
  (void)intid;
  ticks_seen++;
  timer_arm(timer_now() + tick_length);
}

int case_ticks(void) {
  if (!gic_init() || !gic_init_cpu() || platform.timer_intid >= GIC_PRIVATE) {
    printf("hostile: no GICv3\n");
    return STATUS_USAGE;
  }
  tick_length = timer_ticks(bootarg_number("us", 100));
  gic_set_handler(platform.timer_intid, on_tick);
  gic_enable(platform.timer_intid);
  uint64_t count = begin("timer interrupts", 1000);
  timer_arm(timer_now() + tick_length);
  while (*(volatile uint64_t *)&ticks_seen < count) {
    irq_mask();
    if (ticks_seen < count) wfi();
    irq_unmask();
    isb();
  }
  irq_mask();
  timer_stop();
  return end();
}

/* The Host supplies each page at its first touch; beyond the RAM it begins anew with pages that are there already. */
int case_pages(void) {
  uint64_t limit = memory_left() / PAGE_SIZE, sum = 0;
  uint64_t count = begin("pages", limit / 2);
  for (uint64_t i = 0, page = memory_pages(1); i < count && i < limit - 1; i++, page = memory_pages(1)) {
    sum += *(volatile uint64_t *)page;
    *(volatile uint64_t *)page = page;
    if (memory_left() < 2 * PAGE_SIZE) break;
  }
  printf("hostile: sum of what was there: %lx\n", sum);
  return end();
}

int case_ripas(void) {
  uint64_t pages = bootarg_number("pages", 16);
  if (!realm.present || pages == 0) {
    printf("hostile: not in a realm\n");
    return STATUS_USAGE;
  }
  uint64_t base = memory_pages(pages), top = base + pages * PAGE_SIZE;
  for (uint64_t left = begin("RIPAS changes to EMPTY and back", 100); left > 0; left--) {
    *(volatile uint64_t *)base = left;
    if (rsi_ipa_state_set_range(base, top, RSI_EMPTY, RSI_CHANGE_DESTROYED) != RSI_SUCCESS) return STATUS_FAILED;
    if (rsi_ipa_state_set_range(base, top, RSI_RAM, RSI_CHANGE_DESTROYED) != RSI_SUCCESS) return STATUS_FAILED;
  }
  return end();
}

/* --- the integer mix --- */

enum { SORT_SIZE = 4096, SIEVE_SIZE = 32768, PRIMES_BELOW_SIEVE_SIZE = 3512, MATRIX = 24, TEXT_SIZE = 4096 };

static uint32_t sorted[SORT_SIZE];
static uint8_t sieve[SIEVE_SIZE];
static int64_t matrices[3][MATRIX][MATRIX];
static uint8_t text[TEXT_SIZE], copy[TEXT_SIZE];

static uint32_t noise(uint32_t *state) { return *state = *state * 1664525 + 1013904223; }

/* Heap sort of pseudo-random numbers: compares, branches, loads and stores at changing distances. */
static void sift(uint32_t root, uint32_t size) {
  for (uint32_t child; (child = 2 * root + 1) < size; root = child) {
    if (child + 1 < size && sorted[child] < sorted[child + 1]) child++;
    if (sorted[root] >= sorted[child]) return;
    uint32_t swap = sorted[root];
    sorted[root] = sorted[child];
    sorted[child] = swap;
  }
}

static bool mix_sort(uint32_t seed) {
  uint64_t before = 0, after = 0;
  for (uint32_t i = 0; i < SORT_SIZE; i++) before += sorted[i] = noise(&seed);
  for (uint32_t i = SORT_SIZE / 2; i-- > 0;) sift(i, SORT_SIZE);
  for (uint32_t size = SORT_SIZE - 1; size > 0; size--) {
    uint32_t swap = sorted[0];
    sorted[0] = sorted[size];
    sorted[size] = swap;
    sift(0, size);
  }
  for (uint32_t i = 0; i < SORT_SIZE; i++) {
    after += sorted[i];
    if (i > 0 && sorted[i - 1] > sorted[i]) return false;
  }
  return before == after;
}

/* Sieve of Eratosthenes: byte stores with strides. */
static bool mix_sieve(void) {
  uint32_t primes = 0;
  memset(sieve, 0, sizeof sieve);
  for (uint32_t i = 2; i < SIEVE_SIZE; i++) {
    if (sieve[i] != 0) continue;
    primes++;
    for (uint32_t multiple = 2 * i; multiple < SIEVE_SIZE; multiple += i) sieve[multiple] = 1;
  }
  return primes == PRIMES_BELOW_SIEVE_SIZE;
}

/* (A B) v = A (B v), in wrapping arithmetic: multiply-add. */
static bool mix_matrix(uint32_t seed) {
  uint64_t v[MATRIX], bv[MATRIX];
  for (uint32_t i = 0; i < MATRIX; i++) {
    v[i] = noise(&seed);
    for (uint32_t j = 0; j < MATRIX; j++) {
      matrices[0][i][j] = noise(&seed);
      matrices[1][i][j] = noise(&seed);
    }
  }
  for (uint32_t i = 0; i < MATRIX; i++)
    for (uint32_t j = 0; j < MATRIX; j++) {
      uint64_t sum = 0;
      for (uint32_t k = 0; k < MATRIX; k++) sum += (uint64_t)matrices[0][i][k] * (uint64_t)matrices[1][k][j];
      matrices[2][i][j] = (int64_t)sum;
    }
  for (uint32_t i = 0; i < MATRIX; i++) {
    bv[i] = 0;
    for (uint32_t k = 0; k < MATRIX; k++) bv[i] += (uint64_t)matrices[1][i][k] * v[k];
  }
  for (uint32_t i = 0; i < MATRIX; i++) {
    uint64_t left = 0, right = 0;
    for (uint32_t k = 0; k < MATRIX; k++) {
      left += (uint64_t)matrices[2][i][k] * v[k];
      right += (uint64_t)matrices[0][i][k] * bv[k];
    }
    if (left != right) return false;
  }
  return true;
}

/* Divisions, with the defining equation as the check. */
static bool mix_divide(uint32_t seed) {
  for (uint32_t i = 0; i < 2000; i++) {
    uint64_t a = (uint64_t)noise(&seed) << 32 | noise(&seed), b = (noise(&seed) >> (i & 31)) | 1;
    if (a / b * b + a % b != a || a % b >= b) return false;
  }
  return true;
}

/* Decimal text of numbers and back: calls, byte accesses, data-dependent branches. */
static bool mix_text(uint32_t seed) {
  uint32_t length = 0, count = 0, start = seed;
  while (length + 12 < TEXT_SIZE) {
    length += snprintf((char *)text + length, TEXT_SIZE - length, "%u ", noise(&seed));
    count++;
  }
  memcpy(copy, text, length);
  uint32_t number = 0;
  for (uint32_t i = 0; i < length; i++) {
    if (copy[i] != ' ') {
      number = number * 10 + (uint32_t)(copy[i] - '0');
    } else {
      if (number != noise(&start)) return false;
      number = 0;
      count--;
    }
  }
  return count == 0 && memcmp(text, copy, length) == 0;
}

/* SHA-256 of the two-block example of FIPS 180-4. */
static bool mix_hash(void) {
  static const uint8_t expected[8] = {0x24, 0x8d, 0x6a, 0x61, 0xd2, 0x06, 0x38, 0xb8};
  uint8_t digest[SHA256_SIZE];
  for (uint32_t i = 0; i < 20; i++) sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, digest);
  return memcmp(digest, expected, sizeof expected) == 0;
}

int case_mix(void) {
  static const char *const names[] = {"sort", "sieve", "matrix", "divide", "text", "hash"};
  uint64_t count = begin("rounds of the integer mix", 100);
  for (uint32_t round = 0; round < count; round++) {
    bool right[] = {mix_sort(round), mix_sieve(), mix_matrix(round), mix_divide(round), mix_text(round), mix_hash()};
    for (uint32_t i = 0; i < sizeof right / sizeof right[0]; i++) {
      if (right[i]) continue;
      printf("hostile: round %u: %s is wrong\n", round, names[i]);
      return STATUS_FAILED;
    }
  }
  return end();
}
