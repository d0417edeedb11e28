/* See pe.h. */
#include "pe.h"

#include "../lib/arch.h"
#include "console.h"
#include "gic.h"
#include "mmu.h"
#include "test.h"
#include "timer.h"

struct pe pes[NR_PES];
uint32_t pe_count;
uint8_t stacks[NR_PES][STACK_SIZE] __attribute__((section(".noinit"), aligned(4096)));

extern const char secondary_entry[];
void boot_secondary(struct pe *pe);

void pe_init(void) {
  for (uint32_t i = 0; i < NR_PES; i++) {
    pes[i].index = i;
    pes[i].stack_top = (uint64_t)stacks[i] + STACK_SIZE;
    pes[i].mpidr = (uint64_t)(i / 4) << 16 | (uint64_t)(i % 4) << 8;
  }
  pe_count = gic_count_redistributors();
}

int64_t psci(uint32_t function, uint64_t x1, uint64_t x2, uint64_t x3) {
  struct smccc_registers registers = {{function, x1, x2, x3}};
  smc_call(&registers);
  return (int64_t)registers.x[0];
}

int64_t pe_start(uint32_t index, pe_function function, uint64_t argument) {
  struct pe *pe = &pes[index];
  pe->function = function;
  pe->argument = argument;
  pe->done = 0;
  /* The PE reads these with its MMU off. */
  dcache_clean_invalidate(pe, pe + 1);
  dcache_clean_invalidate(&host_regime, &host_regime + 1);
  return psci(PSCI_CPU_ON, pe->mpidr, (uint64_t)secondary_entry, (uint64_t)pe);
}

void boot_secondary(struct pe *pe) {
  pe->probe_sp = 0;
  pe->guest = 0;
  gic_init_pe();
  pe->result = pe->function(pe, pe->argument);
  __atomic_store_n(&pe->done, 1, __ATOMIC_RELEASE);
  sev();
  psci(PSCI_CPU_OFF, 0, 0, 0);
  panic("PE %u: CPU_OFF returned", pe->index);
}

bool pe_join(uint32_t index, uint64_t *result) {
  struct pe *pe = &pes[index];
  uint64_t deadline = timer_now() + timer_ticks(1000000);
  while (__atomic_load_n(&pe->done, __ATOMIC_ACQUIRE) == 0 ||
         psci(PSCI_AFFINITY_INFO, pe->mpidr, 0, 0) != AFFINITY_OFF)
    if (timer_now() > deadline) {
      message("PE %u did not finish", index);
      return false;
    }
  *result = pe->result;
  return true;
}

bool pe_all(pe_function function) {
  bool ok = true;
  for (uint32_t i = 1; i < pe_count; i++) {
    int64_t status = pe_start(i, function, i);
    if (status != PSCI_SUCCESS) {
      message("CPU_ON of PE %u returned %ld", i, status);
      return false;
    }
  }
  for (uint32_t i = 1; i < pe_count; i++) {
    uint64_t result;
    if (!pe_join(i, &result)) return false;
    if (result != 0) {
      message("PE %u returned 0x%lx", i, result);
      ok = false;
    }
  }
  return ok;
}
