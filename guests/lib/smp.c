/* See smp.h. CPU 0 of `cpus` is always the boot CPU, whatever its place in the device tree. */
#include "smp.h"

#include "arch.h"
#include "console.h"
#include "mmu.h"
#include "platform.h"
#include "psci.h"

/* Aff3, Aff2, Aff1, Aff0 of MPIDR_EL1 (DDI 0487): what "reg" of a cpu node and PSCI's target_cpu hold. */
#define MPIDR_AFFINITY 0xff00ffffffull

struct cpu cpus[NR_CPUS];
uint8_t stacks[NR_CPUS][STACK_SIZE] __attribute__((section(".noinit"), aligned(4096)));

extern const char secondary_entry[];
void boot_secondary(struct cpu *cpu);

void smp_init(void) {
  uint64_t self = read_sysreg(mpidr_el1) & MPIDR_AFFINITY;
  uint32_t count = platform.cpu_count < NR_CPUS ? platform.cpu_count : NR_CPUS;
  uint32_t next = 1;
  for (uint32_t i = 0; i < NR_CPUS; i++) {
    cpus[i].index = i;
    cpus[i].stack_top = (uint64_t)stacks[i] + STACK_SIZE;
  }
  cpus[0].mpidr = self;
  cpus[0].online = 1;
  for (uint32_t i = 0; i < count; i++)
    if (platform.cpu_mpidr[i] != self && next < NR_CPUS) cpus[next++].mpidr = platform.cpu_mpidr[i];
}

int64_t smp_start(uint32_t index, void (*entry)(struct cpu *)) {
  struct cpu *cpu = &cpus[index];
  cpu->entry = entry;
  /* The new CPU reads these with its MMU off. */
  dcache_clean_invalidate(cpu, cpu + 1);
  dcache_clean_invalidate(&mmu_registers, &mmu_registers + 1);
  return psci_cpu_on(cpu->mpidr, (uint64_t)secondary_entry, (uint64_t)cpu);
}

void boot_secondary(struct cpu *cpu) {
  cpu->probe_sp = 0;
  __atomic_store_n(&cpu->online, 1, __ATOMIC_RELEASE);
  sev();
  cpu->entry(cpu);
  smp_stop_self();
}

void smp_stop_self(void) {
  __atomic_store_n(&cpu_current()->online, 0, __ATOMIC_RELEASE);
  sev();
  int64_t status = psci_cpu_off();
  panic("CPU_OFF returned %ld", status);
}
