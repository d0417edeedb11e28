/*
 * bench: one class of work, as the bootargs say: class=NAME, and n= for how much of it. Prints a line when it begins and one
 * with a checksum over its results when it ends, for whoever measures from outside. Unknown or no class: prints the list,
 * exit status 2. Runs as a realm, as a normal VM, and on QEMU's virt board.
 */
#include "classes.h"
#include "lib/arch.h"
#include "lib/console.h"
#include "lib/platform.h"
#include "lib/start.h"
#include "lib/string.h"

static const struct {
  const char *name;
  void (*prepare)(void);
  uint64_t (*run)(uint64_t count);
  uint64_t count; /* without n= */
  const char *what;
} classes[] = {
    {"integer", prepare_integer, run_integer, 1000, "lists, small matrices, a state machine, CRC; n rounds"},
    {"sequential", prepare_memory, run_sequential, 10, "writes and reads 32 MiB in order, n times"},
    {"random", prepare_memory, run_random, 1000, "n thousand dependent reads and writes all over 32 MiB"},
    {"calls", 0, run_calls, 10, "Fibonacci numbers by recursion, the 20th to the 27th in turn"},
    {"bytecode", prepare_bytecode, run_bytecode, 100, "an interpreter with one indirect branch for each operation"},
    {"double", 0, run_double, 1000, "orbits and series in doubles: add, multiply, divide, square root"},
    {"fma", 0, run_fma, 1000, "polynomials and products of vectors in doubles by fused multiply-add"},
    {"memcpy", prepare_memcpy, run_memcpy, 1000, "copies of 64 KiB in vectors of 16 bytes, aligned and not"},
    {"sha256", 0, run_sha256, 100, "SHA-256 of 4 KiB in C"},
    {"sha256-instructions", 0, run_sha256_instructions, 100, "SHA-256 of 4 KiB with the SHA-256 instructions"},
    {"matrix", 0, run_matrix, 100, "products of 64 x 64 matrices of floats in vectors"},
    {"svc", prepare_svc, run_svc, 10000, "system calls: EL0, EL1, EL0"},
    {"bignum", 0, run_bignum, 10, "powers modulo a number of 1024 bits: multiply, multiply high, carries"},
    {"rsi", 0, run_rsi, 1000, "RSI_VERSION; no realm: a PSCI call"},
    {"host-call", 0, run_host_call, 1000, "RSI_HOST_CALL; no realm: HVC"},
    {"touch", 0, run_touch, 1000, "first touches of pages of RAM"},
};
enum { CLASSES = sizeof classes / sizeof classes[0] };

/* CPACR_EL1.FPEN: neither EL1 nor EL0 traps FP and SIMD. DDI 0487, "CPACR_EL1". */
#define CPACR_FPEN (3ull << 20)

int main(void) {
  char name[32] = "";
  bootarg("class", name, sizeof name);
  for (uint32_t i = 0; i < CLASSES; i++) {
    if (strcmp(classes[i].name, name) != 0) continue;
    uint64_t count = bootarg_number("n", classes[i].count);
    write_sysreg(cpacr_el1, read_sysreg(cpacr_el1) | CPACR_FPEN);
    isb();
    if (classes[i].prepare != 0) classes[i].prepare();
    printf("bench: begin %s %lu\n", name, count);
    uint64_t sum = classes[i].run(count);
    printf("bench: end %s %016lx\n", name, sum);
    return STATUS_OK;
  }
  printf("bench: no class \"%s\"; bootargs class= takes\n", name);
  for (uint32_t i = 0; i < CLASSES; i++) printf("  %-20s %s\n", classes[i].name, classes[i].what);
  return STATUS_USAGE;
}
